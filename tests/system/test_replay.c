/* `--record` and `cis replay` as a user sees them: the same bytes and the same exit code, with
 * nothing of the world in which the run was recorded. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "system/guests.h"
#include "system/replay.h"

static void configure_ai(struct sys *s)
{
    static const char text[] =
        "[ai]\nprovider = \"command\"\ncommand = \"/bin/cat\"\nunsafe_command = true\n";
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(s->home, "config");
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    sys_file(s, "config/config.toml", text, sizeof text - 1);
}

/* ---- the same again ---- */

static void skills_of_every_abi_are_played_without_their_services(void **state)
{
    struct sys *s = *state;
    static const char *const guests[] = {GUEST("abi_packed"), GUEST("abi_buffer"),
                                         GUEST("abi_direct"), GUEST("abi_sdk"), GUEST("abi_plain")};
    configure_ai(s);
    for (size_t i = 0; i < sizeof guests / sizeof *guests; i++) {
        int exit = RECORD(s, guests[i], "--input", "5", "--allow", "ai");
        assert_same(s, exit, exit); /* one of them wants another input, and says so */
    }
}

static void guests_in_c_and_go_are_played(void **state)
{
    struct sys *s = *state;
    s->input = cis_bytes_of("[\"from stdin\"]", 14);
    assert_same(s, 0, RECORD(s, GUEST("echo"), "--input", "-"));
    assert_same(s, 0, RECORD(s, GUEST("cat"), "--input", "-"));
#if !defined(__SANITIZE_THREAD__)
    if (access(GUEST("go_command"), R_OK) == 0) {
        assert_same(s, 0, RECORD(s, GUEST("go_command"), "--input", "{\"Name\":\"Ada\"}"));
        assert_same(s, 1, RECORD(s, GUEST("go_command"), "--input", "[]"));
        assert_same(s, 0, RECORD(s, GUEST("go_reactor"), "--input", "{\"a\":[1,2]}"));
        assert_same(s, 0, RECORD(s, GUEST("go_reactor"), "--method", "add", "--input", "[3,4]"));
    }
#endif
}

static void every_shape_of_a_skill_is_played(void **state)
{
    struct sys *s = *state;
    assert_same(s, 0, RECORD(s, GUEST("shape_init")));
    assert_same(s, 0, RECORD(s, GUEST("shape_events")));
    assert_same(s, 0, RECORD(s, GUEST("shape_wizard")));
    assert_same(s, 0,
                RECORD(s, GUEST("shape_organizer"), "--method", "skill_parse_keywords", "--input",
                       "\"some words of a text\""));
}

static void eight_mebibytes_of_input_are_played(void **state)
{
    struct sys *s = *state;
    size_t len = 8u << 20;
    char *text = malloc(len + 2);
    memset(text, 'x', len);
    text[0] = text[len - 1] = '"';
    s->input = cis_bytes_of(text, len);
    char *echo = sys_wat(s, "echo.wat", GUEST_ECHO);
    assert_same(s, 0, RECORD(s, echo, "--input", "-"));
    assert_int_equal(s->last.output.len, len);
    free(echo);
    free(text);
}

static void every_end_of_a_run_is_played(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET), *loop = sys_wat(s, "loop.wat", GUEST_CALL_LOOP);
    char *trap = sys_wat(s, "trap.wat", GUEST_TRAP), *grow = sys_wat(s, "grow.wat", GUEST_GROW);
    assert_same(s, 0, RECORD(s, set));
    assert_same(s, 1, RECORD(s, set, "--method", "skill_fail"));
    assert_same(s, 5, RECORD(s, set, "--method", "skill_trap"));
    assert_contains(sys_err(s), "cis replay: recorded end: ");
    assert_same(s, 5, RECORD(s, trap));
    assert_same(s, 6, RECORD(s, loop, "--time", "100ms"));
    assert_contains(sys_err(s), "time limit");
    assert_same(s, 6, RECORD(s, loop, "--fuel", "5000"));
    assert_contains(sys_err(s), "fuel of 5000 units used up");
    assert_same(s, 0, RECORD(s, grow, "--memory", "100MiB"));
    assert_same(s, 6, RECORD(s, grow, "--memory", "10KiB"));
    free(set);
    free(loop);
    free(trap);
    free(grow);
}

static void a_call_of_a_refused_function_is_played(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_same(s, 0, RECORD(s, set, "--deny", "memory"));
    free(set);
}

/* Not of this run: memory of the tenant is as the recorded run left it. */
static void a_replay_writes_nothing(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, RECORD(s, set));
    assert_exit(s, 0, cis(s, "memory", "delete", "k", "--skill", "file:set"));
    assert_exit(s, 0, cis(s, "replay", recording_of(s)));
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "file:set"));
    assert_exit(s, 0, cis(s, "runs", "list"));
    struct said list = take(s, 0);
    assert_exit(s, 0, cis(s, "replay", recording_of(s)));
    assert_exit(s, 0, cis(s, "runs", "list"));
    assert_string_equal(sys_out(s), list.out);
    said_done(&list);
    free(set);
}

static void json_counts_what_would_be_shown(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(s, 0, RECORD(s, add, "--method", "add", "--input", "[20,22]"));
    assert_string_equal(sys_out(s), "42\n");
    assert_exit(s, 0, cis(s, "replay", recording_of(s), "--json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"calls\":0,\"code\":\"OK\",\"exit_code\":0,");
    assert_contains(sys_out(s), "\"stdout_bytes\":3,\"stderr_bytes\":0");
    assert_contains(sys_out(s), "add.wat");
    assert_contains(sys_out(s), "skill run");
    free(add);
}

static void the_trace_of_a_replay_is_that_of_the_run(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, RECORD(s, set, "--trace", "host"));
    assert_contains(sys_err(s), "host  env.memory_set(key=\"k\", klen=1, val=\"v\", vlen=1) = 0");
    assert_exit(s, 0, cis(s, "replay", recording_of(s), "--trace", "host"));
    assert_contains(sys_err(s), "host  env.memory_set(key=\"k\", klen=1, val=\"v\", vlen=1) = 0");
    free(set);
}

/* ---- programs ---- */

static void a_program_finds_the_same_world_again(void **state)
{
    struct sys *s = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    for (int i = 0; i < 20000; i++) {
        cis_buf_printf(&text, "%d\n", i);
    }
    s->input = cis_buf_bytes(&text);
    assert_same(s, 0, RUN(s, "--dir", folder(s, "rw", ""), GUEST("world"), "/d"));
    assert_contains(sys_out(s), "stdin 108890\n");
    assert_contains(sys_out(s), "write 200000\npread 5000 ");
    assert_contains(sys_out(s), "entry file\n");
    assert_contains(sys_out(s), "100 MiB: yes\n");
    assert_contains(sys_err(s), "at its end: 0\n");
    struct said first = take(s, 0);
    assert_same(s, 77,
                RUN(s, "--dir", folder(s, "cow", ":cow"), "--env", "HELLO=there", "--memory",
                    "32MiB", "--", GUEST("world"), "/d", "77"));
    assert_contains(sys_out(s), "environment there\n");
    assert_contains(sys_out(s), "100 MiB: no\n");
    assert_string_not_equal(sys_out(s), first.out);
    said_done(&first);
    assert_same(s, 0, RUN(s, "-w", GUEST("world"), "/workspace", "0"));
    assert_contains(sys_out(s), "write 200000\n");
    assert_same(s, 0, RUN(s, GUEST("world"), "/nowhere", "0"));
    assert_contains(sys_out(s), "open: ");
}

static void every_end_of_a_program_is_played(void **state)
{
    struct sys *s = *state;
    s->input = cis_bytes_of("few", 3);
    assert_same(s, 134, RUN(s, GUEST("world"), "/d", "trap"));
    assert_contains(sys_err(s), "at its end: trap\n");
    assert_contains(sys_err(s), "unreachable code reached");
    assert_same(s, 124, RUN(s, "--time", "1s", GUEST("world"), "/d", "spin"));
    assert_contains(sys_err(s), "at its end: spin\n");
    assert_same(s, 125, RUN(s, "--fuel", "40000", GUEST("world"), "/d", "0"));
    assert_contains(sys_err(s), "fuel of 40000 units used up");
    assert_same(s, 125, RUN(s, "--memory", "64KiB", GUEST("world")));
}

static void a_numeric_export_is_played_with_what_it_printed(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_same(s, 0, RUN(s, "--invoke", "add", add, "20", "22"));
    assert_string_equal(sys_out(s), "42\n");
    free(add);
}

static void goroutines_maps_and_timers_of_go_are_played(void **state)
{
    struct sys *s = *state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* minutes */
#endif
    if (access(GUEST("go_world"), R_OK) != 0) {
        not_tested("go", "its guests were not built");
    }
    assert_same(s, 0, RUN(s, "--dir", folder(s, "go", ""), GUEST("go_world"), "/d"));
    assert_contains(sys_out(s), "job 49\n");
    assert_contains(sys_out(s), "/d/f19 ");
    struct said first = take(s, 0);
    assert_same(s, 0, RUN(s, "--dir", folder(s, "go", ""), GUEST("go_world"), "/d"));
    assert_string_not_equal(sys_out(s), first.out);
    said_done(&first);
}

/* Connects until somebody answers, says hello, waits for the answer. */
static void *visitor(void *arg)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)(uintptr_t)arg),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char answer[32] = "";
    for (int i = 0; i < 20000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
            bool ok = write(fd, "hello", 5) == 5 && read(fd, answer, sizeof answer) == 5;
            close(fd);
            return ok ? (void *)1 : NULL;
        }
        close(fd);
        usleep(1000);
    }
    return NULL;
}

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void a_connection_is_played_with_nobody_at_the_other_end(void **state)
{
    struct sys *s = *state;
    char listen[64];
    pthread_t thread;
    void *answered;
    uint16_t port = free_port();
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    assert_int_equal(pthread_create(&thread, NULL, visitor, (void *)(uintptr_t)port), 0);
    int exit =
        RUN(s, "--listen", listen, "--dir", folder(s, "net", ""), GUEST("world"), "/d", "accept");
    pthread_join(thread, &answered);
    assert_non_null(answered);
    assert_same(s, 0, exit);
    assert_contains(sys_out(s), "connection 0: hello\nsent 0\n");
}

/* Reads all of its input, a MiB at a time, and exits with how many there were. */
static const char reader[] =
    "(module (import \"wasi_snapshot_preview1\" \"fd_read\""
    "  (func $read (param i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
    " (memory (export \"memory\") 20) (data (i32.const 0) \"\\10\\00\\00\\00\\00\\00\\10\\00\")"
    " (func (export \"_start\") (local $mib i32)"
    "  (loop $l (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "   (local.set $mib (i32.add (local.get $mib) (i32.load (i32.const 8))))"
    "   (br_if $l (i32.load (i32.const 8))))"
    "  (call $exit (i32.shr_u (local.get $mib) (i32.const 20)))))";

static void zeros(struct sys *s, off_t bytes, char path[4300])
{
    snprintf(path, 4300, "%s/zeros", s->home);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, bytes), 0);
    close(fd);
}

static void a_record_that_would_be_too_large_ends_the_run(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(s, "reader.wat", reader), *set = sys_wat(s, "set.wat", GUEST_SET);
    char data[4300];
    struct stat st;
    zeros(s, 8 << 20, data);
    assert_exit(
        s, 125,
        cis(s, "run", "--record", recording_of(s), "--record-max", "4MiB", "--stdin", data, guest));
    assert_contains(sys_err(s), "the recording would be larger than 4194304 bytes");
    assert_contains(sys_err(s), "--record-max");
    assert_int_equal(stat(recording_of(s), &st), 0);
    assert_in_range(st.st_size, 0, 4 << 20);
    assert_int_not_equal(cis(s, "replay", recording_of(s)), 0);
    assert_exit(
        s, 8,
        cis(s, "run", "--record", recording_of(s), "--record-max", "9MiB", "--stdin", data, guest));
    assert_exit(s, 8, cis(s, "replay", recording_of(s)));
    assert_int_not_equal(RECORD(s, set, "--record-max", "64"), 0); /* nor is its work kept */
    assert_contains(sys_err(s), "--record-max");
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "file:set"));
    assert_exit(s, 2, cis(s, "run", "--record", recording_of(s), "--record-max", "much", guest));
    assert_exit(s, 2, cis(s, "run", "--record", recording_of(s), "--record-max", "0", guest));
    free(guest);
    free(set);
}

/* What is read makes the recording longer, and the process no larger. */
static void a_long_read_is_recorded_in_constant_memory(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(s, "reader.wat", reader), data[4300];
    zeros(s, 200 << 20, data);
    assert_exit(s, 200, cis(s, "run", "--record", recording_of(s), "--stdin", data, guest));
    struct stat st;
    assert_int_equal(stat(recording_of(s), &st), 0);
    assert_in_range(st.st_size, 200 << 20, (200 << 20) + (1 << 20));
    assert_exit(s, 200, replay_elsewhere(s));
#if !defined(__SANITIZE_ADDRESS__)
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &used), 0); /* the first test: no others yet */
    assert_in_range(used.ru_maxrss, 1, 100 << 10);
#endif
    free(guest);
}

/* ---- what differs, what is damaged ---- */

static void the_first_call_that_differs_is_named(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, RECORD(s, set));
    edit(s, "(i32.const 17) (i32.const 1)", "(i32.const 16) (i32.const 2)");
    assert_exit(s, 125, cis(s, "replay", recording_of(s)));
    assert_string_equal(sys_err(s), "cis replay: call 1 (memory_set): argument 3 (val) is 16 "
                                    "here, 17 recorded\n");
    assert_exit(s, 0, RECORD(s, set));
    edit(s, "\"kv\"", "\"kw\"");
    assert_exit(s, 125, cis(s, "replay", recording_of(s), "--json"));
    assert_contains(sys_err(s), "call 1 (memory_set): byte 0 of the 1 that are read at 0x11 is "
                                "0x77 here, 0x76 recorded");
    assert_contains(sys_out(s), "\"code\":\"DIVERGED\"");
    free(set);
}

static void a_recording_that_is_cut_or_changed_says_so(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, RECORD(s, set));
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(recording_of(s), &file, err));
    sys_file(s, "run.recording", file.ptr, file.len - 9);
    assert_exit(s, 125, cis(s, "replay", recording_of(s)));
    assert_contains(sys_err(s), "cut off at byte ");
    file.ptr[file.len / 2] ^= 1;
    sys_file(s, "run.recording", file.ptr, file.len);
    assert_exit(s, 125, cis(s, "replay", recording_of(s)));
    assert_contains(sys_err(s), "the checksum does not match");
    assert_exit(s, 126, cis(s, "replay", set));
    assert_contains(sys_err(s), "not a recorded run");
    assert_exit(s, 126, cis(s, "replay", "/nowhere/at/all"));
    assert_exit(s, 2, cis(s, "replay"));
    free(set);
}

static void the_module_may_be_given_but_must_be_the_same(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET), *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(s, 0, RECORD(s, set));
    assert_exit(s, 0, cis(s, "replay", recording_of(s), "--wasm", set));
    assert_exit(s, 2, cis(s, "replay", recording_of(s), "--wasm", add));
    assert_contains(sys_err(s), "add.wat: is not the module that was recorded in");
    free(set);
    free(add);
}

static void a_replay_keeps_to_its_own_limits(void **state)
{
    struct sys *s = *state;
    char *loop = sys_wat(s, "loop.wat", GUEST_CALL_LOOP);
    assert_exit(s, 6, RECORD(s, loop, "--time", "50ms"));
    assert_exit(s, 125, cis(s, "replay", recording_of(s), "--memory", "1MiB"));
    assert_contains(sys_err(s),
                    "the run had up to 134217728 bytes of memory, the limit is 1048576");
    assert_exit(s, 2, cis(s, "replay", recording_of(s), "--memory", "much"));
    /* A play that would never end. */
    assert_exit(s, 6, RECORD(s, loop, "--fuel", "4000000000"));
    assert_exit(s, 124, cis(s, "replay", recording_of(s), "--time", "50ms"));
    free(loop);
}

/* ---- what is not recorded ---- */

static void a_run_that_cannot_be_recorded_keeps_nothing(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 7, cis(s, "skill", "run", "--wasm", set, "--record", "/dev/full"));
    assert_contains(sys_err(s), "/dev/full: the run cannot be recorded any further: No space");
    assert_exit(s, 7, cis(s, "skill", "run", "--wasm", set, "--record", "/no/such/folder/x"));
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "file:set"));
    /* The disk is full when the run is at its end. */
    char script[9000];
    size_t len = 8u << 20;
    char *text = malloc(len);
    memset(text, '1', len);
    s->input = cis_bytes_of(text, len);
    snprintf(script, sizeof script,
             "trap '' XFSZ; ulimit -f 5000; exec %s skill run --wasm %s --method skill_execute "
             "--record %s --input -",
             CIS_PROGRAM, set, recording_of(s));
    assert_exit(s, 7, sys_exec(s, (const char *const[]){"/bin/sh", "-c", script, NULL}));
    assert_contains(sys_err(s),
                    "run.recording: the run cannot be recorded any further: File too large");
    s->input = (struct cis_bytes){0};
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "file:set"));
    assert_exit(s, 125, cis(s, "replay", recording_of(s)));
    assert_contains(sys_err(s), "it was not recorded to its end");
    free(text);
    free(set);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_long_read_is_recorded_in_constant_memory),
        T(skills_of_every_abi_are_played_without_their_services),
        T(guests_in_c_and_go_are_played),
        T(every_shape_of_a_skill_is_played),
        T(eight_mebibytes_of_input_are_played),
        T(every_end_of_a_run_is_played),
        T(a_call_of_a_refused_function_is_played),
        T(a_replay_writes_nothing),
        T(json_counts_what_would_be_shown),
        T(a_record_that_would_be_too_large_ends_the_run),
        T(the_trace_of_a_replay_is_that_of_the_run),
        T(a_program_finds_the_same_world_again),
        T(every_end_of_a_program_is_played),
        T(a_numeric_export_is_played_with_what_it_printed),
        T(goroutines_maps_and_timers_of_go_are_played),
        T(a_connection_is_played_with_nobody_at_the_other_end),
        T(the_first_call_that_differs_is_named),
        T(a_recording_that_is_cut_or_changed_says_so),
        T(the_module_may_be_given_but_must_be_the_same),
        T(a_replay_keeps_to_its_own_limits),
        T(a_run_that_cannot_be_recorded_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
