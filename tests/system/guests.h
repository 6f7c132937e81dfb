/* Small guests as text, one job each. The loader accepts them as they are. */
#ifndef CIS_TESTS_SYSTEM_GUESTS_H
#define CIS_TESTS_SYSTEM_GUESTS_H

#define GUEST_ADD                                                                                  \
    "(module (func (export \"add\") (param i32 i32) (result i32)"                                  \
    " (i32.add (local.get 0) (local.get 1))))"
#define GUEST_LOOP                                                                                 \
    "(module (memory (export \"memory\") 1) (func (export \"main\") (result i32)"                  \
    " (loop $l (br $l)) (i32.const 0)))"
/* Calls the host once, then never again. */
#define GUEST_CALL_LOOP                                                                            \
    "(module (import \"cis\" \"input_len\" (func $len (result i64)))"                              \
    " (memory (export \"memory\") 1) (func (export \"main\") (result i32) (drop (call $len))"      \
    " (loop $l (br $l)) (i32.const 0)))"
#define GUEST_TRAP                                                                                 \
    "(module (memory (export \"memory\") 1)"                                                       \
    " (func $inner_most unreachable) (func $middle (call $inner_most))"                            \
    " (func (export \"main\") (result i32) (call $middle) (i32.const 0)))"
/* Grows by 16 MiB until it is told no; its result is the number of steps. */
#define GUEST_GROW                                                                                 \
    "(module (memory (export \"memory\") 1) (func (export \"main\") (result i32)"                  \
    " (local $n i32) (loop $l (if (i32.ne (memory.grow (i32.const 256)) (i32.const -1))"           \
    " (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $l))))"                      \
    " (local.get $n)))"
#define GUEST_ECHO                                                                                 \
    "(module (import \"cis\" \"input_len\" (func $len (result i64)))"                              \
    " (import \"cis\" \"input_read\" (func $read (param i64 i32 i32) (result i32)))"               \
    " (import \"cis\" \"output_write\" (func $write (param i32 i32) (result i32)))"                \
    " (memory (export \"memory\") 16)"                                                             \
    " (func (export \"main\") (result i32) (local $at i64) (local $n i32)"                         \
    "  (block $done (loop $l"                                                                      \
    "   (local.set $n (call $read (local.get $at) (i32.const 0) (i32.const 1000000)))"             \
    "   (br_if $done (i32.le_s (local.get $n) (i32.const 0)))"                                     \
    "   (drop (call $write (i32.const 0) (local.get $n)))"                                         \
    "   (local.set $at (i64.add (local.get $at) (i64.extend_i32_s (local.get $n))))"               \
    "   (br_if $l (i64.lt_s (local.get $at) (call $len)))))"                                       \
    "  (i32.const 0)))"
/* Sets key k to v and ends as its method says. */
#define GUEST_SET                                                                                  \
    "(module (import \"env\" \"memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"     \
    " (memory (export \"memory\") 1) (data (i32.const 16) \"kv\")"                                 \
    " (func $put (drop (call $set (i32.const 16) (i32.const 1) (i32.const 17) (i32.const 1))))"    \
    " (func (export \"main\") (result i32) (call $put) (i32.const 7))"                             \
    " (func (export \"skill_execute\") (param i32 i32) (result i32) (call $put) (i32.const 0))"    \
    " (func (export \"skill_fail\") (param i32 i32) (result i32) (call $put) (i32.const -3))"      \
    " (func (export \"skill_trap\") (param i32 i32) (result i32) (call $put) (unreachable)))"

#endif
