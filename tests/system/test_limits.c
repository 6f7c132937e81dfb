/* Limits as a user sees them: which one, configured, reached; and what is left behind. */
#include "system/system.h"

#include <signal.h>
#include <sys/wait.h>
#include "system/guests.h"

static void s0_4_an_endless_loop_ends_at_its_deadline(void **state)
{
    struct sys *s = *state;
    char *loop = sys_wat(s, "loop.wat", GUEST_LOOP);
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", loop, "--time", "100ms"));
    assert_contains(sys_err(s), "time");
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", loop, "--time", "100ms", "--json"));
    assert_contains(sys_out(s), "\"limit\":\"time\",\"configured\":100");
    assert_contains(sys_out(s), "\"status\":\"limit\"");
    free(loop);
}

static void s0_4_memory_grow_past_the_cap_fails_inside_the_guest(void **state)
{
    struct sys *s = *state;
    char *grow = sys_wat(s, "grow.wat", GUEST_GROW);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", grow));
    assert_string_equal(sys_out(s), "7\n"); /* 128 MiB: one page and seven times 16 MiB */
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", grow, "--memory", "64MiB", "--json"));
    assert_contains(sys_out(s), "\"limit_hit\":{\"limit\":\"memory\",\"configured\":67108864");
    assert_contains(sys_out(s), "\"status\":\"ok\"");
    free(grow);
}

static void s1_10_a_minimum_above_the_cap_is_refused_before_the_start(void **state)
{
    struct sys *s = *state;
    char *big = sys_wat(s, "big.wat",
                        "(module (memory (export \"memory\") 8200) (func $s unreachable) (start "
                        "$s) (func (export \"main\") (result i32) (i32.const 0)))");
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", big, "--memory", "512MiB"));
    assert_contains(sys_err(s), "memory");
    assert_contains(sys_err(s), "536870912");
    free(big);
}

static void fuel_is_a_deterministic_limit(void **state)
{
    struct sys *s = *state;
    char *loop = sys_wat(s, "loop.wat", GUEST_LOOP), *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", loop, "--fuel", "100000"));
    assert_contains(sys_err(s), "fuel");
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[1,1]",
                    "--fuel", "1000", "--json"));
    char *first = strdup(strstr(sys_out(s), "\"fuel\":"));
    *strchr(first, ',') = 0;
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[1,1]",
                    "--fuel", "1000", "--json"));
    assert_contains(sys_out(s), first);
    free(first);
    free(loop);
    free(add);
}

/* Lists /d: its first 400 KB TIMES times, or all of it by pieces of 4 KiB. */
#define LISTS(times)                                                                               \
    "(module (import \"wasi_snapshot_preview1\" \"fd_readdir\" (func $r (param i32 i32 i32 i64 "   \
    "i32) (result i32))) (memory (export \"memory\") 16)"                                          \
    " (func (export \"_start\") (local $i i32)"                                                    \
    "  (loop $l (if (call $r (i32.const 3) (i32.const 64) (i32.const 400000) (i64.const 0) "       \
    "(i32.const 0)) (then unreachable))"                                                           \
    "   (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) "                \
    "(i32.const " times "))))))"
#define WALKS                                                                                      \
    "(module (import \"wasi_snapshot_preview1\" \"fd_readdir\" (func $r (param i32 i32 i32 i64 "   \
    "i32) (result i32))) (memory (export \"memory\") 1)"                                           \
    " (func (export \"_start\") (local $at i32) (local $end i32) (local $cookie i64)"              \
    "  (loop $l (if (call $r (i32.const 3) (i32.const 64) (i32.const 4096) (local.get $cookie) "   \
    "(i32.const 0)) (then unreachable))"                                                           \
    "   (local.set $end (i32.add (i32.const 64) (i32.load (i32.const 0))))"                        \
    "   (local.set $at (i32.const 64))"                                                            \
    "   (loop $e (if (i32.le_u (i32.add (local.get $at) (i32.const 24)) (local.get $end)) (then "  \
    "    (local.set $cookie (i64.load (local.get $at)))"                                           \
    "    (local.set $at (i32.add (local.get $at) (i32.add (i32.const 24) (i32.load offset=16 "     \
    "(local.get $at))))) (br $e))))"                                                               \
    "   (br_if $l (i32.eq (i32.load (i32.const 0)) (i32.const 4096))))))"

/* A name that is read burns fuel, so a listing is no way to make the host work for nothing. A
 * folder whose time is not settled is read anew for each cookie 0. */
static void a_listing_burns_fuel_by_its_names(void **state)
{
    struct sys *s = *state;
    char *once = sys_wat(s, "once.wat", LISTS("1")), *often = sys_wat(s, "often.wat", LISTS("50"));
    char *walks = sys_wat(s, "walks.wat", WALKS), dir[4300];
    snprintf(dir, sizeof dir,
             "cd '%s' && mkdir d && cd d && seq -f n%%05.0f 10000 | xargs touch && touch -d "
             "2100-01-01 .",
             s->home);
    assert_exit(s, 0, sys_exec(s, (const char *const[]){"/bin/sh", "-c", dir, NULL}));
    snprintf(dir, sizeof dir, "%s/d::/d", s->home);
    assert_exit(s, 0, cis(s, "run", "--dir", dir, "--fuel", "1000000", once));
    assert_exit(s, 125, cis(s, "run", "--dir", dir, "--fuel", "600000", once));
    assert_contains(sys_err(s), "fuel");
    assert_exit(s, 125, cis(s, "run", "--dir", dir, "--fuel", "10000000", often));
    assert_contains(sys_err(s), "fuel");
    assert_exit(s, 125, cis(s, "run", "--dir", dir, "--fuel", "600000", walks));
    assert_contains(sys_err(s), "fuel");
    assert_exit(s, 0, cis(s, "run", "--dir", dir, "--fuel", "10000000", walks));
    free(once);
    free(often);
    free(walks);
}

static void the_output_is_capped_by_name(void **state)
{
    struct sys *s = *state;
    char *echo = sys_wat(s, "echo.wat", GUEST_ECHO);
    assert_exit(
        s, 6, cis(s, "skill", "run", "--wasm", echo, "--input", "\"0123456789\"", "--output", "8"));
    assert_contains(sys_err(s), "output");
    free(echo);
}

static void deep_recursion_is_a_trap_and_the_host_lives(void **state)
{
    struct sys *s = *state;
    char *deep = sys_wat(s, "deep.wat",
                         "(module (memory (export \"memory\") 1) (func $f (param i32) (result i32) "
                         "(i32.add (i32.const 1) (call $f (local.get 0)))) (func (export \"main\") "
                         "(result i32) (call $f (i32.const 0))))");
    assert_exit(s, 5, cis(s, "skill", "run", "--wasm", deep));
    assert_contains(sys_err(s), "stack");
    free(deep);
}

/* The first Ctrl-C cancels: 130, nothing kept, and the record of the run says so. */
static void ctrl_c_cancels_a_run(void **state)
{
    struct sys *s = *state;
    char *loop = sys_wat(s, "loop.wat", GUEST_CALL_LOOP), script[13000];
    /* It runs when its host call has been traced. */
    snprintf(script, sizeof script,
             "mkfifo '%s/trace'; "
             "'%s' skill run --wasm '%s' --time 60s --trace host 2>'%s/trace' & pid=$!; "
             "{ while read -r line; do case $line in *input_len*) kill -INT $pid; esac; done; } "
             "<'%s/trace'; wait $pid; echo code $?",
             s->home, CIS_PROGRAM, loop, s->home, s->home);
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    assert_exit(s, 0, sys_exec(s, argv));
    assert_contains(sys_out(s), "code 130");
    assert_exit(s, 0, cis(s, "runs", "list", "--json"));
    assert_contains(sys_out(s), "\"cancelled\"");
    free(loop);
}

static void an_output_limit_of_all_there_is_holds_what_is_written(void **state)
{
    struct sys *s = *state;
    char *echo = sys_wat(s, "echo.wat", GUEST_ECHO);
    size_t n = 300000;
    char *input = malloc(n + 1);
    memset(input, 'x', n);
    input[0] = input[n - 1] = '"';
    input[n] = 0;
    s->input = cis_bytes_of(input, n);
    assert_exit(
        s, 0,
        cis(s, "skill", "run", "--wasm", echo, "--input", "-", "--output", "18446744073709551615"));
    s->input = (struct cis_bytes){0};
    assert_int_equal(strlen(sys_out(s)), n);
    assert_memory_equal(sys_out(s), input, n);
    free(input);
    free(echo);
}

/* The second one ends what does not come to its end: here output that nobody reads. */
static void the_second_ctrl_c_ends_a_program_that_hangs(void **state)
{
#if defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizer's own _exit flushes stdout first, which is what hangs */
#endif
    struct sys *s = *state;
    enum { LARGE = 2 << 20 }; /* more than a pipe holds */
    char *echo = sys_wat(s, "echo.wat", GUEST_ECHO), *text = malloc(LARGE), script[20000];
    memset(text, 'x', LARGE);
    text[0] = text[LARGE - 1] = '"';
    char *input = strdup(sys_file(s, "input.json", text, LARGE));
    /* One byte was read: it writes, and after 64 KiB hangs. After the first signal it is still
     * there a while later, cancelled or not; the next ones are one too many. */
    snprintf(script, sizeof script,
             "mkfifo '%s/out'; exec 3<>'%s/out'; "
             "'%s' skill run --wasm '%s' --memory 64MiB --input '@%s' >&3 3<&- & pid=$!; "
             "head -c 1 <&3; kill -INT $pid; sleep 1; kill -0 $pid && echo hangs; "
             "kill -INT $pid; wait $pid; echo code $?",
             s->home, s->home, CIS_PROGRAM, echo, input);
    assert_exit(s, 0, sys_exec(s, (const char *const[]){"/bin/sh", "-c", script, NULL}));
    assert_string_equal(sys_out(s), "\"hangs\ncode 130\n");
    free(input);
    free(text);
    free(echo);
}

/* A small hostile module must not take the host down: compiling is limited too. */
static void a_compile_bomb_is_a_named_limit(void **state)
{
    struct sys *s = *state;
    size_t n = 0, max = 8u << 20;
    char *wat = malloc(max);
    n += (size_t)snprintf(
        wat + n, max - n,
        "(module (memory (export \"memory\") 1) (func (export \"main\") (result i32) (local i32)");
    for (int i = 0; i < 60000; i++) {
        n += (size_t)snprintf(wat + n, max - n,
                              "(block(br_if 0(local.get 0))(i32.store(local.get "
                              "0)(call_indirect(result i32)(local.get 0))))");
    }
    n += (size_t)snprintf(wat + n, max - n, "(i32.const 0)) (table 1 funcref))");
    char *bomb = sys_wat(s, "bomb.wat", wat);
    char *config = NULL;
    assert_true(asprintf(&config, "%s/config", s->home) > 0);
    assert_ok(cis_file_mkdirs(config, 0700, err));
    static const char limits[] = "[engine]\ncompile_memory = \"256MiB\"\ncompile_time = \"2s\"\n";
    sys_file(s, "config/config.toml", limits, sizeof limits - 1);
    int code = cis(s, "skill", "run", "--wasm", bomb);
    if (code != 0 && code != 6) {
        fail_msg("exit %d: %s", code, sys_err(s));
    }
    if (code == 6) {
        assert_contains(sys_err(s), "compil");
    }
    free(config);
    free(bomb);
    free(wat);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(s0_4_an_endless_loop_ends_at_its_deadline),
        T(s0_4_memory_grow_past_the_cap_fails_inside_the_guest),
        T(s1_10_a_minimum_above_the_cap_is_refused_before_the_start),
        T(fuel_is_a_deterministic_limit),
        T(a_listing_burns_fuel_by_its_names),
        T(the_output_is_capped_by_name),
        T(an_output_limit_of_all_there_is_holds_what_is_written),
        T(deep_recursion_is_a_trap_and_the_host_lives),
        T(ctrl_c_cancels_a_run),
        T(the_second_ctrl_c_ends_a_program_that_hangs),
        T(a_compile_bomb_is_a_named_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
