/* Modules written to harm whoever loads them, through the program: each is refused by name, traps
 * or ends at a limit that is named, and the next run is as good as ever. Exit codes: 3 the module,
 * 5 a trap, 6 a limit. */
#include "system/system.h"

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/modules.h"
#include "system/guests.h"

#define WASM(s) sizeof(s) - 1, s

static const char *wasm_file(struct sys *s, struct cis_buf *m)
{
    assert_int_equal(m->failed, CIS_OK);
    const char *path = sys_file(s, "m.wasm", m->ptr, m->len);
    cis_buf_done(m);
    return path;
}

static void config(struct sys *s, const char *text)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(s->home, "config");
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    sys_file(s, "config/config.toml", text, strlen(text));
}

static void the_host_lives(struct sys *s)
{
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[1,1]"));
    assert_string_equal(sys_out(s), "2\n");
    free(add);
}

static const char small_compiler[] =
    "[engine]\ncompile_memory = \"256MiB\"\ncompile_time = \"2s\"\n";

/* ---- happy: odd, but valid ---- */

static void put_main_seven(struct cis_buf *m)
{
    put_header(m);
    cis_buf_add(m, "\1\5\1\x60\0\1\x7f\3\2\1\0\7\x08\1\4main\0\0\x0a\6\1\4\0\x41\7\x0b", 29);
}

static void names_that_cannot_be_read_are_left_alone(void **state)
{
    static const struct {
        size_t len;
        const char *bytes;
    } sections[] = {
        {WASM("\0\x0b\4name\1\xff\xff\xff\xff\x0f")}, /* a length of 4 GiB */
        {WASM("\0\x07\4name\1\x7f")},                 /* cut off */
        {WASM("\0\x0a\4name\1\3\1\0\x7f")},           /* a name longer than its section */
        {WASM("\0\x0c\4name\0\5\4\x1b[2J")},          /* escapes as the module's name */
        {WASM("\0\x05\4name")},                       /* nothing */
    };
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        struct cis_buf m = CIS_BUF_INIT(4096), body = CIS_BUF_INIT(4096);
        put_main_seven(&m);
        /* The length byte of the section is made right here. */
        cis_buf_add(&body, sections[i].bytes + 2, sections[i].len - 2);
        put_section(&m, 0, &body);
        cis_buf_done(&body);
        const char *path = wasm_file(s, &m);
        assert_exit(s, 0, cis(s, "skill", "run", "--wasm", path));
        assert_string_equal(sys_out(s), "7\n");
        assert_exit(s, 0, cis(s, "inspect", s->path));
        assert_lacks(sys_out(s), "\x1b");
    }
}

static void tables_that_grow_past_the_limit_are_told_no(void **state)
{
    struct sys *s = *state;
    char *grow = sys_wat(s, "grow.wat",
                         "(module (table 1 funcref) (memory (export \"memory\") 1)"
                         " (func (export \"main\") (result i32)"
                         "  (table.grow (ref.null func) (i32.const 2000000000))))");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", grow));
    assert_string_equal(sys_out(s), "-1\n");
    free(grow);
    the_host_lives(s);
}

static void a_branch_table_of_60000_targets_runs(void **state)
{
    struct sys *s = *state;
    struct cis_buf wat = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&wat, "(module (func (export \"main\") (result i32) (block (br_table");
    for (int i = 0; i < 60000; i++) {
        cis_buf_text(&wat, " 0");
    }
    cis_buf_text(&wat, " (i32.const 59999))) (i32.const 5)))");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", wasm_file(s, &wat)));
    assert_string_equal(sys_out(s), "5\n");
}

/* ---- refused ---- */

static void what_is_no_module_is_refused_by_name(void **state)
{
    static const struct {
        size_t len;
        const char *bytes, *says;
    } files[] = {
        {WASM(""), "empty"},
        {WASM("\x7f"
              "ELF\2\1\1\0"),
         "native code (ELF)"},
        {WASM("\0as"), "wrong magic"},
        {WASM("\0asm\1\0"), "cut off"},
        {WASM("\0asm\2\0\0\0"), "version 2"},
        {WASM("\0asm\1\0\0\0\1\xff\xff\xff\xff\x0f"), "not a valid WebAssembly module"},
        {WASM("\0asm\1\0\0\0\1\6\xff\xff\xff\xff\x0f\x60"), "not a valid WebAssembly module"},
        {WASM("\0asm\1\0\0\0\x0a\1\1"), "not a valid WebAssembly module"},
        {WASM("((((((((((((((((((((((((((((("), "1:2: "},
        {WASM("(module (func (unknown))"), "1:"},
        {WASM("(module (memory 1 1 shared))"), "shared memory"},
        {WASM("(module (type (struct)))"), "garbage-collected"},
        {WASM("(module (func (param externref)))"), "externref"},
        {WASM("(module (memory i64 1))"), "memory64"},
        {WASM("(component)"), "component"},
    };
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = sys_file(s, "m.wasm", files[i].bytes, files[i].len);
        assert_exit(s, 3, cis(s, "skill", "run", "--wasm", path));
        assert_contains(sys_err(s), files[i].says);
        assert_int_equal(s->last.output.len, 0);
    }
    the_host_lives(s);
}

static void ten_thousand_imports_that_nobody_provides_are_one_line(void **state)
{
    struct sys *s = *state;
    struct cis_buf wat = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&wat, "(module");
    for (int i = 0; i < 10000; i++) {
        cis_buf_printf(&wat, " (import \"env\" \"\\1b[31m%d\" (func))", i);
    }
    cis_buf_text(&wat, " (func (export \"main\")))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", wasm_file(s, &wat)));
    assert_true(s->last.errors.len < 500);
    assert_contains(sys_err(s), "9999 more");
    assert_lacks(sys_err(s), "\x1b");
    the_host_lives(s);
}

static void names_of_a_module_cannot_steer_the_terminal_or_forge_a_line(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "esc.wat",
                        "(module (import \"m\\1b[31m\\u{202e}\\0aruns: yes\" \"x\\1b]0;t\\07\" "
                        "(func)) (func (export \"e\\0aruns: yes\\c2\\9b2J\")))");
    assert_exit(s, 0, cis(s, "inspect", wat));
    assert_lacks(sys_out(s), "\x1b");
    assert_lacks(sys_out(s), "\xe2\x80\xae");
    assert_lacks(sys_out(s), "\xc2\x9b");
    assert_lacks(sys_out(s), "\nruns: yes");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", wat));
    assert_lacks(sys_err(s), "\x1b");
    assert_lacks(sys_err(s), "\nruns: yes");
    free(wat);
}

static void the_name_of_a_file_cannot_forge_a_line_of_a_backtrace(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "x\nruns: yes.wat", "(module (func (export \"main\") unreachable))");
    assert_exit(s, 5, cis(s, "skill", "run", "--wasm", wat));
    assert_lacks(sys_err(s), "\nruns: yes");
    assert_exit(s, 134, cis(s, "run", "--invoke", "main", wat));
    assert_lacks(sys_err(s), "\nruns: yes");
    free(wat);
}

/* ---- traps ---- */

static void what_fails_at_the_start_is_a_trap(void **state)
{
    static const char *const modules[] = {
        "(module (memory 1) (data (i32.const 65536) \"x\") (func (export \"main\")))",
        "(module (table 1 funcref) (func $f) (elem (i32.const 1) $f) (func (export \"main\")))",
        "(module (func $f (call $f)) (start $f) (func (export \"main\")))",
        "(module (func $f unreachable) (start $f) (func (export \"main\")))",
    };
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        char *wat = sys_wat(s, "m.wat", modules[i]);
        assert_exit(s, 5, cis(s, "skill", "run", "--wasm", wat));
        free(wat);
    }
    the_host_lives(s);
}

/* ---- limits ---- */

static void what_never_ends_ends_at_the_time_limit(void **state)
{
    static const char *const modules[] = {
        "(module (func $f (loop (br 0))) (start $f) (func (export \"main\")))",
        /* each instruction works on all of a large memory */
        "(module (memory 1600) (func (export \"main\") (loop"
        " (memory.fill (i32.const 0) (i32.const 1) (i32.const 104857600)) (br 0))))",
        "(module (memory 1600) (func (export \"main\") (loop"
        " (memory.copy (i32.const 0) (i32.const 1) (i32.const 104857599)) (br 0))))",
        "(module (func $f (param i32) (if (local.get 0) (then"
        " (call $f (i32.sub (local.get 0) (i32.const 1)))"
        " (call $f (i32.sub (local.get 0) (i32.const 1))))))"
        " (func (export \"main\") (call $f (i32.const 60))))",
    };
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        char *wat = sys_wat(s, "m.wat", modules[i]);
        assert_exit(s, 6,
                    cis(s, "skill", "run", "--wasm", wat, "--time", "100ms", "--memory", "256MiB"));
        assert_contains(sys_err(s), "time limit");
        free(wat);
    }
    the_host_lives(s);
}

static void huge_tables_and_memories_are_refused_before_the_start(void **state)
{
    static const char *const modules[] = {
        "(module (table 4000000000 funcref) (func (export \"main\")))",
        "(module (table 9000000 funcref) (table 9000000 funcref) (func (export \"main\")))",
        "(module (memory 65536) (func (export \"main\")))",
        "(module (memory 4000) (memory 4000) (memory 4000) (func (export \"main\")))",
    };
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        char *wat = sys_wat(s, "m.wat", modules[i]);
        assert_exit(s, 6, cis(s, "skill", "run", "--wasm", wat));
        assert_contains(sys_err(s), "memory");
        free(wat);
    }
    the_host_lives(s);
}

/* 90 KB that ask for seconds and gigabytes of compiling. */
static void compile_bombs_are_a_named_limit(void **state)
{
    struct sys *s = *state;
    struct cis_buf m = CIS_BUF_INIT(1u << 20);
    config(s, small_compiler);
    put_bomb(&m, 5000, 10000);
    assert_true(m.len < 102400);
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", wasm_file(s, &m)));
    assert_contains(sys_err(s), "compiling it");
    assert_contains(sys_err(s), "limit");
    the_host_lives(s);
}

/* What the command says on a terminal; its exit code. */
static int on_terminal(struct sys *s, const char *const argv[], char *out, size_t cap)
{
    size_t n = 0;
    int master, status;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("CIS_HOME", s->home, 1);
        execv(CIS_PROGRAM, (char *const *)(uintptr_t)argv);
        _exit(99);
    }
    for (ssize_t got; n < cap - 1 && (got = read(master, out + n, cap - 1 - n)) > 0;) {
        n += (size_t)got;
    }
    out[n] = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(master);
    return WEXITSTATUS(status);
}

static void is_told(const char *out, const char *doing)
{
    const char *line = strstr(out, doing);
    assert_non_null(line);
    assert_contains(line, ": 2 s");
    assert_contains(line, "\r\033[K");
}

/* One line on a terminal, after two seconds, gone at the end; nothing where nobody looks. */
static void a_long_compile_is_told_on_a_terminal(void **state)
{
    struct sys *s = *state;
    struct cis_buf m = CIS_BUF_INIT(1u << 20);
    char out[8192];
    put_bomb(&m, 5000, 10000);
    const char *file = wasm_file(s, &m);
    const char *const run[] = {
        CIS_PROGRAM, "run", "--compile-time", "5s", "--compile-memory", "8GiB", file, NULL};
    assert_int_equal(on_terminal(s, run, out, sizeof out), 125);
    is_told(out, "compiling ");
    assert_contains(out, "takes more than 5.0 s of processor time (compiler time limit: "
                         "engine.compile_time, --compile-time)");
    assert_exit(s, 125,
                cis(s, "run", "--compile-time", "3s", "--compile-memory", "8GiB", file, "again"));
    assert_lacks(sys_err(s), "compiling /");
}

static void a_long_reading_is_told_on_a_terminal(void **state)
{
    struct sys *s = *state;
    struct cis_buf m = CIS_BUF_INIT(8u << 20);
    char out[8192];
    config(s, "[engine]\ncompile_time = \"60s\"\n");
    put_slow_to_read(&m, 2500000);
    char *file = strdup(wasm_file(s, &m));
    const char *const install[] = {CIS_PROGRAM, "skill", "install", file, "--yes", NULL};
    int code = on_terminal(s, install, out, sizeof out); /* it may take the whole limit */
    assert_true(code == 0 || code == 6);
    is_told(out, "reading ");
    free(file);
}

/* 7 MB that ask for seconds of validation: read in the compiler's process, under its limits. */
static void modules_that_are_slow_to_read_are_a_named_limit(void **state)
{
    struct sys *s = *state;
    struct cis_buf m = CIS_BUF_INIT(8u << 20);
    config(s, "[engine]\ncompile_time = \"1s\"\n");
    put_slow_to_read(&m, 2500000);
    char *file = strdup(wasm_file(s, &m));
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", file));
    assert_contains(sys_err(s), "reading it takes more than 1.0 s");
    assert_exit(s, 6, cis(s, "inspect", file));
    assert_contains(sys_err(s), "reading it takes more than 1.0 s");
    assert_exit(s, 6, cis(s, "skill", "install", file, "--yes"));
    assert_contains(sys_err(s), "reading it takes more than 1.0 s");
    free(file);
    the_host_lives(s);
}

/* ---- what is left behind ---- */

static void a_crash_leaves_no_core_file(void **state)
{
    struct sys *s = *state;
    char *loop = sys_wat(s, "loop.wat", GUEST_LOOP), script[9000];
    snprintf(script, sizeof script,
             "ulimit -c unlimited 2>/dev/null; '%s' skill run --wasm '%s' --time 60s & pid=$!; "
             "while [ -z \"$(ls '%s/data' 2>/dev/null)\" ]; do :; done; "
             "grep 'core file' /proc/$pid/limits; kill -KILL $pid; wait $pid",
             CIS_PROGRAM, loop, s->home);
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    sys_exec(s, argv);
    assert_contains(sys_out(s), "Max core file size        0 ");
    free(loop);
}

/* Where the kernel hands core dumps to a program, their size has no limit: a process that may not
 * be dumped is. Its files in /proc then belong to root, which is how it shows (to other users than
 * root). */
static void nothing_of_a_process_is_dumped(void **state)
{
    struct sys *s = *state;
    char script[9000];
    snprintf(script, sizeof script,
             "as=; [ $(id -u) -ne 0 ] || as='setpriv --reuid 65534 --regid 65534 --clear-groups'; "
             "cd '%s'; chmod 711 .; mkdir of; [ -z \"$as\" ] || chown 65534 of; mkfifo never; "
             "CIS_HOME=$PWD/of $as '%s' run - <never & pid=$!; exec 3>never; "
             "end=$(($(date +%%s) + 120)); until [ \"$owner\" = cis:0 ] || "
             "[ $(date +%%s) -ge $end ]; do owner=$(cat /proc/$pid/comm):$(stat -c %%u "
             "/proc/$pid/mem); sleep 0.01; done; "
             "grep State /proc/$pid/status; kill -KILL $pid; wait $pid; echo $owner",
             s->home, CIS_PROGRAM);
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    sys_exec(s, argv);
    assert_string_equal(sys_out(s), "State:\tS (sleeping)\ncis:0\n");
}

/* With --debug-info it may be dumped and looked at, by whoever gave it. The second thread says that
 * the process has read its arguments. A sanitizer would set the limit to zero by itself. */
static void a_process_is_dumped_with_debug_info_alone(void **state)
{
    struct sys *s = *state;
    static const char *const cases[][2] = {
        {"run --debug-info", "cis:65534 core as before\n"},
        {"--debug-info run", ""},
        {"run", "cis:0 core none\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[9000];
        snprintf(script, sizeof script,
                 "me=$(id -u); as=; [ $me -ne 0 ] || { me=65534; "
                 "as='setpriv --reuid 65534 --regid 65534 --clear-groups'; }; "
                 "cd '%s'; chmod 711 .; rm -rf of; mkdir of; [ -z \"$as\" ] || chown 65534 of; "
                 "rm -f never; mkfifo never; ulimit -S -c 8 2>/dev/null; "
                 "ASAN_OPTIONS=$ASAN_OPTIONS:disable_coredump=0 CIS_HOME=$PWD/of $as '%s' %s - "
                 "<never 2>/dev/null & pid=$!; exec 3>never; "
                 "while kill -0 $pid 2>/dev/null && "
                 "! grep -q 'Threads:.[2-9]' /proc/$pid/status 2>/dev/null; do sleep 0.01; done; "
                 "if [ -e /proc/$pid/mem ]; then owner=$(stat -c %%u /proc/$pid/mem); "
                 "[ $owner != $me ] || owner=65534; "
                 "core() { awk '/core file/ { print $5 }' /proc/$1/limits; }; is=other; "
                 "[ $(core $pid) != 0 ] || is=none; "
                 "[ $owner = 0 ] || [ $(core $pid) != $(core $$) ] || is='as before'; "
                 "echo $(cat /proc/$pid/comm):$owner core $is; fi; "
                 "kill -KILL $pid 2>/dev/null; wait $pid; true",
                 s->home, CIS_PROGRAM, cases[i][0]);
        const char *argv[] = {"/bin/sh", "-c", script, NULL};
        sys_exec(s, argv);
        assert_string_equal(sys_out(s), cases[i][1]);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_that_cannot_be_read_are_left_alone),
        T(tables_that_grow_past_the_limit_are_told_no),
        T(a_branch_table_of_60000_targets_runs),
        T(what_is_no_module_is_refused_by_name),
        T(ten_thousand_imports_that_nobody_provides_are_one_line),
        T(names_of_a_module_cannot_steer_the_terminal_or_forge_a_line),
        T(the_name_of_a_file_cannot_forge_a_line_of_a_backtrace),
        T(what_fails_at_the_start_is_a_trap),
        T(what_never_ends_ends_at_the_time_limit),
        T(huge_tables_and_memories_are_refused_before_the_start),
        T(compile_bombs_are_a_named_limit),
        T(a_long_compile_is_told_on_a_terminal),
        T(a_long_reading_is_told_on_a_terminal),
        T(modules_that_are_slow_to_read_are_a_named_limit),
        T(a_crash_leaves_no_core_file),
        T(nothing_of_a_process_is_dumped),
        T(a_process_is_dumped_with_debug_info_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
