;; @NAME@: answers {"echo": INPUT}. The host writes the input where alloc says and gives skill_execute
;; its place; what output_write gets is the output.
(module
  (import "cis" "host_log" (func $log (param i32 i32 i32)))
  (import "cis" "output_write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "{\"echo\":")
  (data (i32.const 32) "}")
  (data (i32.const 48) "echo")
  (global $next (mut i32) (i32.const 1024))

  ;; Hands out the memory from 1,024 on and grows it as needed; nothing is ever given back.
  (func (export "alloc") (param $size i32) (result i32)
    (local $at i32) (local $end i64) (local $have i64)
    (local.set $at (global.get $next))
    (local.set $end (i64.add (i64.extend_i32_u (local.get $at)) (i64.extend_i32_u (local.get $size))))
    (local.set $have (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
    (if (i64.gt_u (local.get $end) (local.get $have))
      (then
        (if (i32.eq
              (memory.grow
                (i32.wrap_i64
                  (i64.shr_u
                    (i64.add (i64.sub (local.get $end) (local.get $have)) (i64.const 65535))
                    (i64.const 16))))
              (i32.const -1))
          (then (return (i32.const 0))))))
    (global.set $next (i32.wrap_i64 (local.get $end)))
    (local.get $at))
  (func (export "dealloc") (param $at i32) (param $size i32))

  (func (export "skill_execute") (param $input i32) (param $len i32) (result i32)
    (call $log (i32.const 2) (i32.const 48) (i32.const 4))
    (drop (call $write (i32.const 16) (i32.const 8)))
    (drop (call $write (local.get $input) (local.get $len)))
    (drop (call $write (i32.const 32) (i32.const 1)))
    (i32.const 0)))
