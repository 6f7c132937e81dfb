/* Components that take a resource of one kind for another, through the program: they end before
 * anything of them runs, with the function's name. And those that make linking or their instances
 * dear. */
#include "system/system.h"

/* f() gives a pollable to a function that was declared to take one in place of what it takes. */
#define HEAD                                                                                       \
    "(component"                                                                                   \
    " (import \"wasi:io/poll@0.2.0\" (instance $poll"                                              \
    "  (export \"pollable\" (type (sub resource)))))"                                              \
    " (alias export $poll \"pollable\" (type $pollable))"                                          \
    " (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $clock"                              \
    "  (export \"pollable\" (type $p (eq $pollable)))"                                             \
    "  (export \"subscribe-duration\" (func (param \"when\" u64) (result (own $p))))))"
#define TAIL                                                                                       \
    " (alias export $clock \"subscribe-duration\" (func $make))"                                   \
    " (core func $make_c (canon lower (func $make)))"                                              \
    " (core module $libc (memory (export \"memory\") 1))"                                          \
    " (core instance $libc (instantiate $libc))"                                                   \
    " (alias core export $libc \"memory\" (core memory $mem))"

static const char splice[] =
    HEAD " (import \"wasi:io/error@0.2.0\" (instance $error"
         "  (export \"error\" (type (sub resource)))))"
         " (alias export $error \"error\" (type $error_t))"
         " (import \"wasi:io/streams@0.2.0\" (instance $streams"
         "  (export \"error\" (type $e (eq $error_t)))"
         "  (export \"pollable\" (type $p (eq $pollable)))"
         "  (export \"output-stream\" (type $out (sub resource)))"
         "  (type $se (variant (case \"last-operation-failed\" (own $e)) (case \"closed\")))"
         "  (export \"stream-error\" (type $see (eq $se)))"
         "  (export \"[method]output-stream.splice\" (func (param \"self\" (borrow $out))"
         "   (param \"src\" (borrow $p)) (param \"len\" u64) (result (result u64 (error $see)))))))"
         " (alias export $streams \"output-stream\" (type $out_t))"
         " (import \"wasi:cli/stdout@0.2.0\" (instance $stdout"
         "  (export \"output-stream\" (type $o (eq $out_t)))"
         "  (export \"get-stdout\" (func (result (own $o))))))" TAIL
         " (alias export $streams \"[method]output-stream.splice\" (func $splice))"
         " (alias export $stdout \"get-stdout\" (func $get))"
         " (core func $splice_c (canon lower (func $splice) (memory $mem)))"
         " (core func $get_c (canon lower (func $get)))"
         " (core module $m"
         "  (import \"h\" \"make\" (func $make (param i64) (result i32)))"
         "  (import \"h\" \"get\" (func $get (result i32)))"
         "  (import \"h\" \"splice\" (func $splice (param i32 i32 i64 i32)))"
         "  (func (export \"f\") (result i32)"
         "   (call $splice (call $get) (call $make (i64.const 0x4141414141414141)) (i64.const 64)"
         "    (i32.const 64)) (i32.const 7)))"
         " (core instance $i (instantiate $m (with \"h\" (instance (export \"make\" (func $make_c))"
         "  (export \"get\" (func $get_c)) (export \"splice\" (func $splice_c))))))"
         " (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))";

/* Its result is a descriptor, it says: what is read through that is no file. */
static const char own[] = HEAD
    " (import \"wasi:filesystem/types@0.2.0\" (instance $fs"
    "  (export \"descriptor\" (type $d (sub resource)))"
    "  (export \"[method]descriptor.sync\" (func (param \"self\" (borrow $d))"
    "   (result (result (error u8)))))))" TAIL
    " (alias export $fs \"[method]descriptor.sync\" (func $sync))"
    " (core func $sync_c (canon lower (func $sync) (memory $mem)))"
    " (core module $m (import \"h\" \"sync\" (func $sync (param i32 i32)))"
    "  (func (export \"f\") (result i32) (call $sync (i32.const 1) (i32.const 8)) (i32.const 7)))"
    " (core instance $i (instantiate $m (with \"h\" (instance (export \"sync\""
    "  (func $sync_c))))))"
    " (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))";

/* What wasi:io/streams calls an input-stream is a pollable. */
static const char renamed[] =
    HEAD " (import \"wasi:io/streams@0.2.0\" (instance $streams"
         "  (export \"pollable\" (type $p (eq $pollable)))"
         "  (export \"input-stream\" (type $in (eq $pollable)))"
         "  (export \"[method]input-stream.subscribe\" (func (param \"self\" (borrow $in))"
         "   (result (own $p))))))" TAIL
         " (alias export $streams \"[method]input-stream.subscribe\" (func $sub))"
         " (core func $sub_c (canon lower (func $sub)))"
         " (core module $m (import \"h\" \"make\" (func $make (param i64) (result i32)))"
         "  (import \"h\" \"sub\" (func $sub (param i32) (result i32)))"
         "  (func (export \"f\") (result i32) (call $sub (call $make (i64.const 1)))))"
         " (core instance $i (instantiate $m (with \"h\" (instance (export \"make\" (func $make_c))"
         "  (export \"sub\" (func $sub_c))))))"
         " (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))";

static void refused(struct sys *s, const char *text, const char *name)
{
    char *path = sys_wat(s, "attack.wat", text);
    assert_exit(s, 126, cis(s, "run", "--invoke", "f()", path));
    assert_contains(sys_err(s), name);
    assert_string_equal(sys_out(s), "");
    assert_exit(s, 126, cis(s, "run", "--trap-unknown-imports", "--invoke", "f()", path));
    assert_contains(sys_err(s), name);
    free(path);
}

static void a_pollable_is_no_stream_to_splice_from(void **state)
{
    refused(*state, splice, "wasi:io/streams@0.2.0.[method]output-stream.splice");
}

static void a_function_with_another_error_is_no_function_of_ours(void **state)
{
    refused(*state, own, "wasi:filesystem/types@0.2.0.[method]descriptor.sync");
}

static void an_interface_cannot_call_a_pollable_an_input_stream(void **state)
{
    refused(*state, renamed, "wasi:io/streams@0.2.0.input-stream");
}

/* ---- what linking and instances cost ---- */

static void a_type_that_is_imported_nine_hundred_times_is_refused_at_once(void **state)
{
    struct sys *s = *state;
    struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&text, "(component (type $t (instance");
    for (int i = 0; i < 900; i++) {
        cis_buf_printf(&text, "(export \"f%d\" (func))", i);
    }
    cis_buf_text(&text, "))");
    for (int i = 0; i < 900; i++) {
        cis_buf_printf(&text, "(import \"a:b/i%d\" (instance (type $t)))", i);
    }
    cis_buf_byte(&text, ')');
    char *path = sys_wat(s, "attack.wat", cis_buf_cstr(&text));
    s->timeout_ns = 20 * CIS_NS_PER_S;
    assert_exit(s, 125, cis(s, "run", "--time", "1s", "--invoke", "f()", path));
    assert_contains(sys_err(s), "imports more than 10000");
    cis_buf_done(&text);
    free(path);
}

static void globals_of_thirty_instances_are_within_the_memory_of_the_run(void **state)
{
    struct sys *s = *state;
    struct cis_buf text = CIS_BUF_INIT(4u << 20);
    cis_buf_text(&text, "(component (core module $m");
    for (int i = 0; i < 60000; i++) {
        cis_buf_text(&text, "(global i32 (i32.const 0))");
    }
    cis_buf_text(&text, "(func (export \"f\")))");
    for (int i = 0; i < 30; i++) {
        cis_buf_printf(&text, "(core instance $i%d (instantiate $m))", i);
    }
    cis_buf_text(&text, "(func (export \"f\") (canon lift (core func $i0 \"f\"))))");
    char *path = sys_wat(s, "attack.wat", cis_buf_cstr(&text));
    assert_exit(s, 125, cis(s, "run", "--memory", "16MiB", "--invoke", "f()", path));
    assert_contains(sys_err(s), "bytes of memory to start");
    assert_exit(s, 0, cis(s, "run", "--memory", "64MiB", "--invoke", "f()", path));
    cis_buf_done(&text);
    free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pollable_is_no_stream_to_splice_from),
        TEST(a_function_with_another_error_is_no_function_of_ours),
        TEST(an_interface_cannot_call_a_pollable_an_input_stream),
        TEST(a_type_that_is_imported_nine_hundred_times_is_refused_at_once),
        TEST(globals_of_thirty_instances_are_within_the_memory_of_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
