#include "harness.h"
#include "waits.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/budget.h"
#include "base/cancel.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/url.h"

static void codes_and_errnos_lead_to_each_other(void **state)
{
    (void)state;
    static const struct {
        cis_code code;
        int no;
    } pairs[] = {{CIS_OK, 0},
                 {CIS_E_NOTFOUND, ENOENT},
                 {CIS_E_EXISTS, EEXIST},
                 {CIS_E_DENIED, EACCES},
                 {CIS_E_INVALID, EINVAL},
                 {CIS_E_UNSUPPORTED, EOPNOTSUPP},
                 {CIS_E_QUOTA, EDQUOT},
                 {CIS_E_LIMIT, EMFILE},
                 {CIS_E_NOMEM, ENOMEM},
                 {CIS_E_EXPIRED, ESTALE},
                 {CIS_E_CONFLICT, EBUSY},
                 {CIS_E_CANCELLED, EINTR},
                 {CIS_E_IO, EIO}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(cis_code_errno(pairs[i].code), pairs[i].no);
        assert_int_equal(cis_code_of_errno(pairs[i].no), pairs[i].code);
    }
    for (int c = 0; c < CIS_E_COUNT_ + 5; c++) { /* and some that are none */
        int no = cis_code_errno((cis_code)c);
        assert_int_equal(no == 0, c == CIS_OK);
        assert_int_not_equal(no < 0, true);
        assert_int_equal(cis_code_of_errno(no) == CIS_OK, c == CIS_OK);
    }
    for (int no = -5; no < 4096; no++) { /* a code that an errno becomes stays what it is */
        cis_code code = cis_code_of_errno(no);
        assert_int_equal(code == CIS_OK, no == 0);
        assert_int_equal(cis_code_of_errno(cis_code_errno(code)), code);
    }
}

static void an_error_message_is_one_line_cut_at_a_character(void **state)
{
    (void)state;
    struct cis_error err;
    assert_int_equal(cis_fail(&err, CIS_E_IO,
                              "a\nb\x01"
                              "c"),
                     CIS_E_IO);
    assert_string_equal(err.msg, "a b?c");
    char text[400];
    memset(text, 'x', sizeof text);
    memcpy(text + CIS_ERROR_MSG_MAX - 2, "\xC3\xA9", 2);
    text[399] = 0;
    cis_fail(&err, CIS_E_IO, "%s", text);
    assert_true(cis_utf8_valid(err.msg, strlen(err.msg)));
    assert_int_equal(cis_error_prefix(&err, CIS_E_IO, "up"), CIS_E_IO);
    assert_memory_equal(err.msg, "up: xxx", 7);
}

static void every_code_has_a_name_and_an_exit_code(void **state)
{
    (void)state;
    for (int i = 0; i < CIS_E_COUNT_; i++) {
        assert_true(strlen(cis_code_name((cis_code)i)) > 1);
        assert_true(cis_code_skill_exit((cis_code)i) >= 0);
    }
    assert_string_equal(cis_code_name((cis_code)9999), "INTERNAL");
    assert_int_equal(cis_code_skill_exit(CIS_E_DEADLINE), 6);
    assert_int_equal(cis_code_run_exit(CIS_E_TRAP), 134);
}

static void sizes_and_durations_are_read_strictly(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(cis_str_size(CIS_STR("128MiB"), &v) && v == 128ull << 20);
    assert_true(cis_str_size(CIS_STR("64K"), &v) && v == 65536);
    assert_true(cis_str_duration(CIS_STR("30s"), &v) && v == 30 * CIS_NS_PER_S);
    assert_true(cis_str_duration(CIS_STR("1500ms"), &v) && v == 1500 * CIS_NS_PER_MS);
    assert_false(cis_str_size(CIS_STR("-1"), &v));
    assert_false(cis_str_size(CIS_STR("1e3"), &v));
    assert_false(cis_str_size(CIS_STR(""), &v));
    assert_false(cis_str_size(CIS_STR("99999999999999TiB"), &v));
    assert_false(cis_str_duration(CIS_STR("5 s"), &v));
    assert_false(cis_str_u64(CIS_STR("18446744073709551616"), &v));
    assert_true(cis_str_u64(CIS_STR("18446744073709551615"), &v) && v == UINT64_MAX);
    uint32_t octal = 7;
    assert_false(cis_str_octal(CIS_STR(""), &octal) || cis_str_octal(CIS_STR("8"), &octal) ||
                 cis_str_octal(CIS_STR("-1"), &octal) || cis_str_octal(CIS_STR("1z"), &octal) ||
                 cis_str_octal(CIS_STR("00000000001"), &octal));
    assert_int_equal(octal, 7);
    assert_true(cis_str_octal(CIS_STR("100644"), &octal) && octal == 0100644);
}

static void utf8_is_checked_by_the_unicode_table(void **state)
{
    (void)state;
    assert_true(cis_utf8_valid("h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 10));
    assert_false(cis_utf8_valid("\xC0\x80", 2));
    assert_false(cis_utf8_valid("\xED\xA0\x80", 3));
    assert_false(cis_utf8_valid("\xF4\x90\x80\x80", 4));
    assert_false(cis_utf8_valid("\xE2\x82", 2));
    assert_int_equal(cis_utf8_floor("a\xE2\x82\xAC", 4, 3), 1);
    assert_int_equal(cis_utf8_floor("a\xE2\x82\xAC", 4, 4), 4);
}

static void a_buffer_fails_once_and_stays_failed(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(8);
    cis_buf_text(&b, "12345678");
    assert_ok(cis_buf_check(&b, "b", err));
    cis_buf_byte(&b, 'x');
    cis_buf_text(&b, "");
    assert_fails(CIS_E_LIMIT, "larger than 8", cis_buf_check(&b, "b", err));
    assert_null(cis_buf_take(&b, NULL));
}

/* Volatile: the compiler would know these sizes and say so. */
static volatile size_t most = SIZE_MAX;

static void a_buffer_without_a_limit_has_room_for_what_it_says(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(most);
    char text[1000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 100; i++) {
        cis_buf_add(&b, text, sizeof text);
        assert_true(b.cap > b.len);
    }
    assert_int_equal(b.len, 100 * sizeof text);
    assert_null(cis_buf_reserve(&b, most - b.len));
    assert_fails(CIS_E_NOMEM, "memory", cis_buf_check(&b, "b", err));
}

static void a_buffer_of_any_limit_never_says_more_than_it_has(void **state)
{
    (void)state;
    for (size_t max = 0; max < 300; max++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(max);
        for (size_t n = 0; b.failed == CIS_OK; n++) {
            cis_buf_byte(&b, 'x');
            assert_true(b.failed != CIS_OK || (b.cap > b.len && b.cap <= max + 1));
            assert_int_equal(b.failed == CIS_OK, n < max);
        }
    }
    for (int i = 0; i < 64; i++) { /* what is asked for at once, against limits near the top */
        CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(most - (size_t)i);
        cis_buf_text(&b, "x");
        assert_null(cis_buf_reserve(&b, most - (size_t)(i % 8)));
        assert_true(b.failed == CIS_E_LIMIT || b.failed == CIS_E_NOMEM);
    }
}

static void a_size_that_wraps_is_refused_memory(void **state)
{
    (void)state;
    assert_true(cis_size_add(most, 1) == SIZE_MAX);
    assert_true(cis_size_add(most - 1, 1) == SIZE_MAX);
    assert_true(cis_size_mul(most / 2 + 1, 2) == SIZE_MAX);
    assert_int_equal(cis_size_add(2, 3), 5);
    assert_int_equal(cis_size_mul(2, 3), 6);
    assert_int_equal(cis_cap_next(0, 8, 100), 8);
    assert_int_equal(cis_cap_next(50, 8, 100), 100);
    assert_int_equal(cis_cap_next(51, 8, 100), 100);
    assert_int_equal(cis_cap_next(0, 8, 5), 5);
    assert_true(cis_cap_next(100, 8, 100) == SIZE_MAX);
    assert_true(cis_cap_next(101, 8, 100) == SIZE_MAX);
    assert_null(cis_alloc(cis_size_add(most, 1)));
    assert_null(cis_zalloc(most));
    assert_null(cis_calloc(most / 2 + 2, 2));
    assert_null(cis_calloc(2, most / 2 + 2));
    assert_null(cis_strndup("x", most));
    CIS_CLEANUP(cis_freep) char *p = cis_realloc_array(NULL, 2, 3);
    assert_non_null(p);
    assert_null(cis_realloc(p, most));
    assert_null(cis_realloc_array(p, most / 2 + 2, 2));
    memset(p, 'x', 6); /* a refusal leaves what was there */
}

static void json_text_is_escaped_and_repaired(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1000);
    cis_buf_json(&b, (struct cis_str){"a\"\\\n\x01\xFF\xC3\xA9", 8});
    assert_string_equal(cis_buf_cstr(&b), "\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\xC3\xA9\"");
}

static void a_map_keeps_insertion_order_over_ten_thousand_keys(void **state)
{
    (void)state;
    struct cis_map map = CIS_MAP_INIT;
    char key[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        assert_ok(cis_map_set(&map, cis_str_of(key), cis_strdup(key), NULL, err));
    }
    cis_free(cis_map_remove(&map, CIS_STR("key-5")));
    assert_null(cis_map_get(&map, CIS_STR("key-5")));
    assert_string_equal(cis_map_get(&map, CIS_STR("key-9999")), "key-9999");
    int n = 0;
    cis_map_foreach (&map, e) {
        n++;
    }
    assert_int_equal(n, 9999);
    assert_int_equal(map.live, 9999);
    cis_map_done(&map, cis_free);
}

static void a_file_is_written_whole_and_read_bounded(void **state)
{
    (void)state;
    char *dir = test_dir_new();
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, "f");
    assert_ok(cis_file_write(path, cis_bytes_of("hello", 5), 0600, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(5);
    assert_ok(cis_file_read(path, &b, err));
    assert_string_equal(cis_buf_cstr(&b), "hello");
    CIS_CLEANUP(cis_buf_done) struct cis_buf small = CIS_BUF_INIT(4);
    assert_fails(CIS_E_LIMIT, "larger than 4", cis_file_read(path, &small, err));
    assert_fails(CIS_E_NOTFOUND, "nothere", cis_file_read("/nothere", &small, err));
    assert_fails(CIS_E_INVALID, "directory", cis_file_read(dir, &small, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf zero = CIS_BUF_INIT(1 << 20);
    assert_fails(CIS_E_LIMIT, "larger", cis_file_read("/dev/zero", &zero, err));
    assert_ok(cis_file_remove_tree(dir, err));
    assert_false(cis_file_exists(dir));
    free(dir);
}

static void file_is(const char *path, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf have = CIS_BUF_INIT(1000);
    assert_ok(cis_file_read(path, &have, err));
    assert_string_equal(cis_buf_cstr(&have), text);
}

static void only_a_regular_file_is_replaced_by_what_is_written_there(void **state)
{
    (void)state;
    struct stat st;
    char *dir = test_dir_new(), text[8] = "";
    CIS_CLEANUP(cis_freep) char *fifo = cis_path_join(dir, "fifo");
    CIS_CLEANUP(cis_freep) char *link = cis_path_join(dir, "link");
    CIS_CLEANUP(cis_freep) char *over = cis_path_join(dir, "over");
    CIS_CLEANUP(cis_freep) char *file = cis_path_join(dir, "file");
    CIS_CLEANUP(cis_freep) char *loop = cis_path_join(dir, "loop");
    CIS_CLEANUP(cis_freep) char *node = cis_path_join(dir, "node");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int fd = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_ok(cis_file_put(fifo, cis_bytes_of("piped", 5), 0600, err));
    assert_int_equal(read(fd, text, sizeof text), 5);
    assert_memory_equal(text, "piped", 5);
    close(fd);
    assert_int_equal(lstat(fifo, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));

    assert_int_equal(symlink("file", link), 0);
    assert_int_equal(symlink(link, over), 0); /* absolute, and a link to a link */
    for (int i = 0; i < 2; i++) {             /* the target is not there; it is */
        assert_ok(cis_file_put(over, cis_bytes_of(i == 0 ? "one" : "two", 3), 0644, err));
        file_is(file, i == 0 ? "one" : "two");
        assert_int_equal(lstat(link, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(lstat(over, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
    }
    assert_ok(cis_file_put(file, cis_bytes_of("own", 3), 0600, err)); /* private stays private */
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    assert_int_equal(symlink("loop", loop), 0);
    assert_fails(CIS_E_IO, "loop", cis_file_put(loop, cis_bytes_of("x", 1), 0600, err));
    assert_fails(CIS_E_IO, "directory", cis_file_put(dir, cis_bytes_of("x", 1), 0600, err));
    if (mknod(node, S_IFCHR | 0600, makedev(1, 7)) == 0) { /* /dev/full, made by root alone */
        assert_fails(CIS_E_IO, "space", cis_file_put(node, cis_bytes_of("x", 1), 0600, err));
        assert_int_equal(lstat(node, &st), 0);
        assert_true(S_ISCHR(st.st_mode));
    }
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

static void a_child_gets_its_input_and_nothing_else(void **state)
{
    (void)state;
    const char *argv[] = {"sh", "-c", "cat; echo ${HOME-none}; ls /proc/self/fd | wc -l; exit 3",
                          NULL};
    const char *envp[] = {"PATH=/usr/bin:/bin", NULL};
    struct cis_process_options o = {.argv = argv,
                                    .envp = envp,
                                    .input = &(struct cis_bytes){(const uint8_t *)"in\n", 3},
                                    .ninput = 1,
                                    .output_max = 100,
                                    .errors_max = 100,
                                    .stop = {CIS_NEVER, NULL}};
    struct cis_process_result r;
    assert_ok(cis_process_run(&o, &r, err));
    assert_string_equal(cis_buf_cstr(&r.output), "in\nnone\n4\n");
    assert_int_equal(r.exit_code, 3);
    cis_process_result_done(&r);
}

/* More than a pipe holds, both ways at once, in parts of which some are empty. */
static void a_child_gets_its_input_in_parts(void **state)
{
    (void)state;
    size_t len = 3u << 20;
    uint8_t *large = malloc(len);
    assert_non_null(large);
    for (size_t i = 0; i < len; i++) {
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    const struct cis_bytes input[] = {cis_bytes_of(NULL, 0),    cis_bytes_of("head", 4),
                                      cis_bytes_of(large, len), cis_bytes_of("", 0),
                                      cis_bytes_of("tail", 4),  cis_bytes_of(NULL, 0)};
    const char *argv[] = {"/bin/cat", NULL};
    struct cis_process_options o = {.argv = argv,
                                    .input = input,
                                    .ninput = sizeof input / sizeof *input,
                                    .output_max = len + 8,
                                    .stop = {CIS_NEVER, NULL}};
    struct cis_process_result r;
    assert_ok(cis_process_run(&o, &r, err));
    assert_int_equal(r.output.len, len + 8);
    assert_memory_equal(r.output.ptr, "head", 4);
    assert_memory_equal(r.output.ptr + 4, large, len);
    assert_memory_equal(r.output.ptr + 4 + len, "tail", 4);
    cis_process_result_done(&r);
    o.output_max = len + 7;
    assert_fails(CIS_E_LIMIT, "output of the command", cis_process_run(&o, &r, err));
    argv[0] = "/bin/true"; /* reads nothing of it */
    assert_ok(cis_process_run(&o, &r, err));
    assert_int_equal(r.exit_code, 0);
    cis_process_result_done(&r);
    free(large);
}

/* Whatever their numbers are here: also those that the child's own would land on. */
static void a_child_gets_the_descriptors_that_it_is_handed(void **state)
{
    (void)state;
    char path[] = "/tmp/cis-base-XXXXXX", text[8] = "";
    int to = mkstemp(path), from = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    assert_true(to > 2 && from > 2);
    unlink(path);
    const int fds[] = {to, from, from};
    assert_true(dup2(from, to + 20) == to + 20); /* not handed over: it does not cross */
    const char *argv[] = {"sh", "-c", "cat <&4 >/dev/null; echo five >&3; ls /proc/self/fd | wc -l",
                          NULL};
    struct cis_process_options o = {.argv = argv,
                                    .fds = fds,
                                    .nfds = 3,
                                    .file_bytes = 1000,
                                    .output_max = 100,
                                    .errors_max = 100,
                                    .stop = {CIS_NEVER, NULL}};
    struct cis_process_result r;
    assert_ok(cis_process_run(&o, &r, err));
    assert_string_equal(cis_buf_cstr(&r.errors), "");
    assert_string_equal(cis_buf_cstr(&r.output), "7\n"); /* 0 to 5 and the folder's */
    cis_process_result_done(&r);
    assert_int_equal(pread(to, text, sizeof text, 0), 5);
    assert_memory_equal(text, "five\n", 5);
    argv[2] = "exec head -c 1001 /dev/zero >&3"; /* one more than a file may have */
    assert_ok(cis_process_run(&o, &r, err));
    assert_int_equal(r.signal, SIGXFSZ);
    cis_process_result_done(&r);
    const int closed[] = {to, to + 21};
    o.fds = closed;
    o.nfds = 2;
    assert_fails(CIS_E_IO, "cannot start", cis_process_run(&o, &r, err));
    o.nfds = CIS_PROCESS_FDS + 1;
    assert_fails(CIS_E_USAGE, "descriptors", cis_process_run(&o, &r, err));
    close(to + 20);
    close(to);
    close(from);
}

static void a_buffer_is_handed_on_within_the_others_bound(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf from = CIS_BUF_INIT(100), to = CIS_BUF_INIT(4);
    cis_buf_text(&from, "four!");
    from.len = 4;
    cis_buf_text(&to, "old");
    cis_buf_move(&from, &to);
    assert_string_equal(cis_buf_cstr(&to), "four");
    assert_null(from.ptr);
    cis_buf_text(&from, "five!");
    cis_buf_move(&from, &to);
    assert_fails(CIS_E_LIMIT, "text", cis_buf_check(&to, "text", err));
    cis_buf_move(&from, &to);
    assert_ok(cis_buf_check(&to, "text", err));
    assert_int_equal(to.len, 0);
}

/* A daemon may have closed 0, 1 and 2: the pipes must not land there. */
static void a_child_has_its_streams_though_the_parent_has_none(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        const char *argv[] = {"/bin/sh", "-c", "cat; echo err >&2", NULL};
        struct cis_process_options o = {.argv = argv,
                                        .input = &(struct cis_bytes){(const uint8_t *)"in\n", 3},
                                        .ninput = 1,
                                        .output_max = 100,
                                        .errors_max = 100,
                                        .stop = {CIS_NEVER, NULL}};
        struct cis_process_result r;
        for (int fd = 0; fd < 3; fd++) {
            close(fd);
        }
        bool ok = cis_process_run(&o, &r, NULL) == CIS_OK &&
                  strcmp(cis_buf_cstr(&r.output), "in\n") == 0 &&
                  strcmp(cis_buf_cstr(&r.errors), "err\n") == 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_child_is_ended_at_the_deadline_with_its_group(void **state)
{
    (void)state;
    const char *argv[] = {"/bin/sh", "-c", "sleep 1000 & echo $!; wait", NULL};
    struct cis_process_options o = {.argv = argv, .output_max = 100, .errors_max = 10};
    struct cis_process_result r;
    assert_waits(500 * CIS_NS_PER_MS, {
        o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 500 * CIS_NS_PER_MS);
        assert_fails(CIS_E_DEADLINE, "time limit", cis_process_run(&o, &r, err));
    });
    const char *flood[] = {"/bin/sh", "-c", "while :; do echo xxxxxxxxxxxxxxxx; done", NULL};
    o.argv = flood;
    o.stop.deadline_ns = CIS_NEVER;
    assert_fails(CIS_E_LIMIT, "larger than 100", cis_process_run(&o, &r, err));
    const char *none[] = {"no-such-program-here", NULL};
    o.argv = none;
    assert_fails(CIS_E_NOTFOUND, "no-such-program", cis_process_run(&o, &r, err));
}

/* A clock on the wall would end the one that waits, and not know the one that works from it. */
static void a_child_is_ended_by_its_processor_time_and_not_by_waiting(void **state)
{
    (void)state;
    const char *busy[] = {"/bin/sh", "-c", "while :; do :; done", NULL};
    const char *idle[] = {"/bin/sh", "-c", "sleep 1; echo done", NULL};
    struct cis_process_options o = {
        .argv = busy, .output_max = 100, .errors_max = 10, .cpu_ns = 300 * CIS_NS_PER_MS};
    o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 60 * CIS_NS_PER_S);
    struct cis_process_result r;
    uint64_t before = cis_clock_mono_ns();
    assert_fails(CIS_E_BUDGET, "limit of processor time is reached", cis_process_run(&o, &r, err));
    assert_true(cis_clock_mono_ns() - before >= 300 * CIS_NS_PER_MS);
    o.argv = idle;
    assert_ok(cis_process_run(&o, &r, err));
    assert_string_equal(cis_buf_cstr(&r.output), "done\n");
    cis_process_result_done(&r);
}

static void a_wait_ends_when_cancelled(void **state)
{
    (void)state;
    cis_cancel *c = NULL;
    assert_ok(cis_cancel_new(&c, err));
    assert_false(cis_cancel_fired(c));
    cis_cancel_fire(c);
    struct cis_stop stop = {CIS_NEVER, c};
    assert_fails(CIS_E_CANCELLED, "nap", cis_stop_wait(&stop, -1, 0, "nap", err));
    cis_cancel_unref(c);
}

static void a_budget_refuses_what_it_cannot_hold(void **state)
{
    (void)state;
    struct cis_budget b = {.limit = 100};
    assert_ok(cis_budget_charge(&b, 100, "x", err));
    assert_fails(CIS_E_BUDGET, "100 bytes", cis_budget_charge(&b, 1, "x", err));
    assert_fails(CIS_E_BUDGET, "100 bytes", cis_budget_charge(&b, UINT64_MAX, "x", err));
    cis_budget_release(&b, 50);
    assert_ok(cis_budget_charge(&b, 50, "x", err));
    assert_int_equal(b.peak, 100);
}

static void a_signature_of_other_bytes_does_not_verify(void **state)
{
    (void)state;
    uint8_t pub[32], secret[64], sig[64];
    cis_ed25519_keypair(pub, secret);
    cis_ed25519_sign(secret, cis_bytes_of("abc", 3), sig);
    assert_true(cis_ed25519_verify(pub, cis_bytes_of("abc", 3), sig));
    assert_false(cis_ed25519_verify(pub, cis_bytes_of("abd", 3), sig));
    uint8_t m1[32], m2[32], key[32] = {1};
    struct cis_bytes ab[] = {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"c", 1}};
    struct cis_bytes bc[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"bc", 2}};
    cis_mac(key, ab, 2, m1);
    cis_mac(key, bc, 2, m2);
    assert_false(cis_mac_eq(m1, m2));
}

static void json_is_checked_without_building_it(void **state)
{
    (void)state;
    static const char *const good[] = {"1",
                                       " {} ",
                                       "[]",
                                       "[1,2.5,-0,1e9,1E-7]",
                                       "null",
                                       "\"\\u00e9\\n\"",
                                       "{\"a\":{\"b\":[true,false,null,\"x\"]},\"c\":0}"};
    static const char *const bad[] = {
        "",           "{",   "[1,]",    "{\"a\"}",     "{a:1}",    "01",   "1.",
        "-",          "+1",  "\"\\x\"", "\"\\u12g4\"", "nul",      "[1]]", "1 2",
        "{\"a\":1,}", "\"a", "'a'",     "\"\x01\"",    "\"\xff\"", "[1}",  "NaN"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(cis_json_valid(good[i], strlen(good[i]), NULL));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (cis_json_valid(bad[i], strlen(bad[i]), NULL)) {
            fail_msg("accepted %s", bad[i]);
        }
    }
    char deep[2 * CIS_JSON_DEPTH_MAX + 3];
    memset(deep, '[', CIS_JSON_DEPTH_MAX + 1);
    memset(deep + CIS_JSON_DEPTH_MAX + 1, ']', CIS_JSON_DEPTH_MAX + 1);
    assert_false(cis_json_valid(deep, 2 * CIS_JSON_DEPTH_MAX + 2, NULL));
    assert_true(cis_json_valid(deep + 1, 2 * CIS_JSON_DEPTH_MAX, NULL));
}

/* RFC 8439, 2.5.2. */
static void the_one_time_mac_is_poly1305(void **state)
{
    (void)state;
    static const uint8_t key[CIS_ONCE_KEY_BYTES] = {0x85, 0xd6, 0xbe, 0x78, 0x57, 0x55, 0x6d, 0x33,
                                                    0x7f, 0x44, 0x52, 0xfe, 0x42, 0xd5, 0x06, 0xa8,
                                                    0x01, 0x03, 0x80, 0x8a, 0xfb, 0x0d, 0xb2, 0xfd,
                                                    0x4a, 0xbf, 0xf6, 0xaf, 0x41, 0x49, 0xf5, 0x1b};
    static const uint8_t tag[CIS_ONCE_BYTES] = {0xa8, 0x06, 0x1d, 0xc1, 0x30, 0x51, 0x36, 0xc6,
                                                0xc2, 0x2b, 0x8b, 0xaf, 0x0c, 0x01, 0x27, 0xa9};
    uint8_t got[CIS_ONCE_BYTES];
    cis_once_mac(key, cis_bytes_of("Cryptographic Forum Research Group", 34), got);
    assert_memory_equal(got, tag, sizeof tag);
}

static void sha256_in_pieces_is_the_sha256_of_the_whole(void **state)
{
    (void)state;
    uint8_t data[1000], whole[CIS_SHA256_BYTES], pieces[CIS_SHA256_BYTES];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)i;
    }
    cis_sha256(cis_bytes_of(data, sizeof data), whole);
    struct cis_sha256_state st;
    cis_sha256_init(&st);
    cis_sha256_update(&st, cis_bytes_of(data, 1));
    cis_sha256_update(&st, cis_bytes_of(data + 1, 998));
    cis_sha256_update(&st, cis_bytes_of(data + 999, 1));
    cis_sha256_final(&st, pieces);
    assert_memory_equal(whole, pieces, sizeof whole);
    char hex[65];
    cis_sha256(cis_bytes_of("abc", 3), whole);
    cis_hex(whole, sizeof whole, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void the_processor_has_what_the_compiler_finds(void **state)
{
    (void)state;
#if defined(__x86_64__)
    assert_int_equal(cis_cpu_has_crc32c(), __builtin_cpu_supports("sse4.2") != 0);
    assert_true(!cis_cpu_has_sha256() || __builtin_cpu_supports("sse4.1"));
#else
    assert_false(cis_cpu_has_crc32c() || cis_cpu_has_sha256());
#endif
}

/* Pieces of less than 512 bytes are libsodium's; larger ones the processor's, where it can. */
static void sha256_by_instructions_is_libsodiums(void **state)
{
    (void)state;
    enum { MOST = 5000, MILLION = 1000000 };
    uint8_t *data = malloc(MILLION), whole[CIS_SHA256_BYTES], pieces[CIS_SHA256_BYTES];
    assert_non_null(data);
    for (size_t i = 0; i < MOST; i++) {
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (size_t len = 0; len <= MOST; len += len < 700 ? 1 : 97) {
        struct cis_sha256_state slow, cut;
        cis_sha256(cis_bytes_of(data, len), whole);
        cis_sha256_init(&slow);
        for (size_t done = 0; done < len;) {
            size_t n = len - done < 500 ? len - done : 500;
            cis_sha256_update(&slow, cis_bytes_of(data + done, n));
            done += n;
        }
        cis_sha256_final(&slow, pieces);
        assert_memory_equal(whole, pieces, sizeof whole);
        cis_sha256_init(&cut);
        cis_sha256_update(&cut, cis_bytes_of(data, len % 77));
        cis_sha256_update(&cut, cis_bytes_of(data + len % 77, len - len % 77));
        cis_sha256_final(&cut, pieces);
        assert_memory_equal(whole, pieces, sizeof whole);
    }
    memset(data, 'a', MILLION);
    char hex[65];
    cis_sha256(cis_bytes_of(data, MILLION), whole);
    cis_hex(whole, sizeof whole, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(data);
}

static void an_instant_is_written_as_the_calendar_has_it(void **state)
{
    (void)state;
    static const int64_t some[] = {0,
                                   951782399999,  /* the last of 2000-02-28 */
                                   951868800000,  /* 2000-03-01: a leap year of the 400 */
                                   4107542400000, /* 2100-03-01: none of the 100 */
                                   1793620800123,
                                   -1,
                                   -62135596800000,
                                   253402300799999};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        for (int64_t day = 0; day < 1500; day++) {
            int64_t ms = some[i] + day * 86400000, part = ((ms % 1000) + 1000) % 1000;
            time_t seconds = (time_t)((ms - part) / 1000);
            struct tm tm;
            char expected[64], date[32], got[32];
            assert_non_null(gmtime_r(&seconds, &tm));
            if (tm.tm_year > 9999 - 1900) {
                break;
            }
            strftime(date, sizeof date, "-%m-%dT%H:%M:%S", &tm);
            snprintf(expected, sizeof expected, "%04d%s.%03dZ", tm.tm_year + 1900, date, (int)part);
            cis_clock_iso(ms, got);
            assert_string_equal(got, expected);
        }
    }
    char far[32];
    cis_clock_iso(INT64_MAX, far);
    assert_string_equal(far, "-");
    cis_clock_iso(INT64_MIN, far);
    assert_string_equal(far, "-");
}

static void names_differ_and_those_of_a_forked_child_too(void **state)
{
    (void)state;
    enum { N = 64 };
    char ours[N][27], theirs[N][27];
    int ends[2];
    cis_id_new(ours[0]); /* a portion is there before the fork */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < N; i++) {
            cis_id_new(theirs[i]);
        }
        _exit(write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    int status;
    close(ends[1]);
    assert_int_equal(read(ends[0], theirs, sizeof theirs), sizeof theirs);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 1; i < N; i++) {
        cis_id_new(ours[i]);
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) { /* the random half: the time may be the same */
            assert_true(strcmp(ours[i] + 10, theirs[j] + 10) != 0);
            assert_true(i == j || strcmp(ours[i] + 10, ours[j] + 10) != 0);
        }
    }
}

static void assert_redacted(const char *url, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    cis_url_redact(cis_str_of(url), &out);
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void a_url_is_shown_without_its_passwords(void **state)
{
    (void)state;
    assert_redacted("postgres://u:secret@h:5/d", "postgres://u:***@h:5/d");
    assert_redacted("postgresql://u:s/e@cr:et@h/d?sslmode=require&password=x&sslpassword=y&a",
                    "postgresql://u:***@h/d?sslmode=require&password=***&sslpassword=***&a");
    assert_redacted("postgres://:x@/d", "postgres://:***@/d");
    assert_redacted("postgres://u@h/d", "postgres://u@h/d");
    assert_redacted("postgres:///d?host=/tmp", "postgres:///d?host=/tmp");
    assert_redacted("https://h:5/a:b@c", "https://h:***@c"); /* rather too much */
    /* libpq ends a password at the @ and at nothing else. */
    assert_redacted("postgres://u:se?cret@h:5/d", "postgres://u:***@h:5/d");
    assert_redacted("postgres://u:?@h/d?sslmode=require", "postgres://u:***@h/d?sslmode=require");
    assert_redacted("postgres://u:a#b?c=d&e@h/d", "postgres://u:***@h/d");
    assert_redacted("postgres://u:a@b?c@h/d", "postgres://u:***@h/d");
    assert_redacted("postgres://u:a/b?c@h/d", "postgres://u:***@h/d");
    assert_redacted("postgres://h/d?p%61ssword=x&oauth_client_secret=y&b=c",
                    "postgres://h/d?p%61ssword=***&oauth_client_secret=***&b=c");
    assert_redacted("postgres://h/d?user=a:b@c", "postgres://h/d?user=a:b@c");
    assert_redacted("postgres://?user=a:b@c", "postgres://?user=a:b@c");
    assert_redacted("https://h/a:b@c", "https://h/a:b@c");
    assert_redacted("sqlite:/a/b", "sqlite:/a/b");
    assert_redacted("", "");
    assert_redacted("://", "://");
    assert_redacted("x://?", "x://?");
}

static void a_check_that_does_not_hold_is_an_internal_error(void **state)
{
    (void)state;
    size_t room = 3;
    assert_ok(cis_check(room == 3, err));
    assert_fails(CIS_E_INTERNAL, "internal error: room > 3 does not hold in a_check_that",
                 cis_check(room > 3, err));
    assert_int_equal(cis_check(room > 3, NULL), CIS_E_INTERNAL);
}

/* They were taken for digits: 0x10 | 0x20 is one. */
static void control_characters_are_no_digits_of_an_escape(void **state)
{
    (void)state;
    assert_false(cis_json_valid("\"\\u\x10"
                                "83d\"",
                                8, NULL));
    assert_false(cis_json_valid("\"\\u00\x19"
                                "0\"",
                                8, NULL));
    assert_true(cis_json_valid("\"\\u083D\"", 8, NULL));
}

static void json_that_does_not_read_back_is_told_from_json_that_does(void **state)
{
    (void)state;
    static const char *const reads[] = {
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775807",
        "1e299",
        "0.0",
        "1e-999",
        "[1.5E+2]",
        "\"\\ud83d\\ude00\"",
        "\"\\u0000\"",
        "{\"\":{}}",
        "-0.0",
        "\"\\uFFFF\"",
        " null ",
    };
    static const char *const only_valid[] = {
        "1e999",
        "-1e400",
        "[123456789012345678901234567890]",
        "9223372036854775808",
        "-99999999999999999999",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\udc00\\ud800\"",
        "{\"a\\u0000b\":1}",
        "1e18446744073709551617",
        "{\"a\":[\"\\uD8ff\"]}",
    };
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        if (!cis_json_reads(reads[i], strlen(reads[i]))) {
            fail_msg("%s does not read", reads[i]);
        }
        assert_true(cis_json_valid(reads[i], strlen(reads[i]), NULL));
    }
    for (size_t i = 0; i < sizeof only_valid / sizeof *only_valid; i++) {
        if (cis_json_reads(only_valid[i], strlen(only_valid[i]))) {
            fail_msg("%s reads", only_valid[i]);
        }
        assert_true(cis_json_valid(only_valid[i], strlen(only_valid[i]), NULL));
    }
}

static void members_of_an_object_are_given_as_they_are_written(void **state)
{
    (void)state;
    struct cis_str text =
        CIS_STR(" { \"a\" : 1e999, \"b\\n\":{\"x\":[1, 2]} , \"c\":\"\\ud800\"} ");
    struct cis_str name, value;
    size_t at = 0;
    assert_true(cis_json_member(text, &at, &name, &value));
    assert_true(cis_str_is(name, "a") && cis_str_is(value, "1e999"));
    assert_true(cis_json_member(text, &at, &name, &value));
    assert_true(cis_str_is(name, "b\\n") && cis_str_is(value, "{\"x\":[1, 2]}"));
    assert_true(cis_json_member(text, &at, &name, &value));
    assert_true(cis_str_is(name, "c") && cis_str_is(value, "\"\\ud800\""));
    assert_false(cis_json_member(text, &at, &name, &value));
    static const char *const none[] = {"",       "{}",      "[]",    "{",
                                       "{\"a\"", "{\"a\":", "{1:2}", "{\"a\" 1}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        at = 0;
        assert_false(cis_json_member(cis_str_of(none[i]), &at, &name, &value));
    }
}

/* Reads a number that somebody writes to the fifo. */
static pid_t number_from(const char *fifo)
{
    struct cis_error err;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(64);
    assert_int_equal(cis_file_read(fifo, &text, &err), CIS_OK);
    return (pid_t)strtol(cis_buf_cstr(&text), NULL, 10);
}

/* Nobody is left to end the group of a process that was killed but the group's keeper. */
static void a_herd_ends_when_its_parent_is_killed(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_freep) char *dir = test_dir_new();
    char fifo[4200], script[9000];
    snprintf(fifo, sizeof fifo, "%s/left", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    /* One in a session of its own whose parent is gone; it ignores what it can. */
    snprintf(script, sizeof script,
             "trap '' HUP TERM INT; (setsid sh -c 'echo $$ > %s; exec sleep 6000' &) "
             ">/dev/null 2>&1 </dev/null; exec sleep 6000",
             fifo);
    for (int way = 0; way < 2; way++) {
        pid_t parent = fork();
        if (parent == 0) {
            const char *const argv[] = {"/bin/sh", "-c", script, NULL};
            struct cis_process_options o = {.argv = argv, .herd = true, .output_max = 4096};
            struct cis_process_result result;
            o.stop.deadline_ns = CIS_NEVER;
            o.envp = (const char *const[]){"PATH=/usr/bin:/bin", NULL};
            (void)!cis_process_run(&o, &result, NULL);
            _exit(1);
        }
        pid_t left = number_from(fifo);
        int fd = (int)syscall(SYS_pidfd_open, left, 0u);
        assert_true(fd >= 0);
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&ended, 1, 200), 0);
        assert_int_equal(kill(parent, way == 0 ? SIGKILL : SIGTERM), 0);
        assert_int_equal(waitpid(parent, NULL, 0), parent);
        assert_int_equal(poll(&ended, 1, WAITS_MS), 1);
        close(fd);
    }
    unlink(fifo);
    rmdir(dir);
}

int main(void)
{
    struct cis_error err;
    if (cis_crypto_init(&err) != CIS_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_and_errnos_lead_to_each_other),
        cmocka_unit_test(an_error_message_is_one_line_cut_at_a_character),
        cmocka_unit_test(a_check_that_does_not_hold_is_an_internal_error),
        cmocka_unit_test(every_code_has_a_name_and_an_exit_code),
        cmocka_unit_test(sizes_and_durations_are_read_strictly),
        cmocka_unit_test(utf8_is_checked_by_the_unicode_table),
        cmocka_unit_test(a_buffer_fails_once_and_stays_failed),
        cmocka_unit_test(a_buffer_without_a_limit_has_room_for_what_it_says),
        cmocka_unit_test(a_buffer_of_any_limit_never_says_more_than_it_has),
        cmocka_unit_test(a_size_that_wraps_is_refused_memory),
        cmocka_unit_test(json_text_is_escaped_and_repaired),
        cmocka_unit_test(json_is_checked_without_building_it),
        cmocka_unit_test(control_characters_are_no_digits_of_an_escape),
        cmocka_unit_test(json_that_does_not_read_back_is_told_from_json_that_does),
        cmocka_unit_test(members_of_an_object_are_given_as_they_are_written),
        cmocka_unit_test(a_map_keeps_insertion_order_over_ten_thousand_keys),
        cmocka_unit_test(a_file_is_written_whole_and_read_bounded),
        cmocka_unit_test(only_a_regular_file_is_replaced_by_what_is_written_there),
        cmocka_unit_test(a_child_gets_its_input_and_nothing_else),
        cmocka_unit_test(a_child_gets_its_input_in_parts),
        cmocka_unit_test(a_child_gets_the_descriptors_that_it_is_handed),
        cmocka_unit_test(a_buffer_is_handed_on_within_the_others_bound),
        cmocka_unit_test(a_child_has_its_streams_though_the_parent_has_none),
        cmocka_unit_test(a_child_is_ended_at_the_deadline_with_its_group),
        cmocka_unit_test(a_child_is_ended_by_its_processor_time_and_not_by_waiting),
        cmocka_unit_test(a_herd_ends_when_its_parent_is_killed),
        cmocka_unit_test(a_wait_ends_when_cancelled),
        cmocka_unit_test(a_budget_refuses_what_it_cannot_hold),
        cmocka_unit_test(an_instant_is_written_as_the_calendar_has_it),
        cmocka_unit_test(names_differ_and_those_of_a_forked_child_too),
        cmocka_unit_test(the_one_time_mac_is_poly1305),
        cmocka_unit_test(sha256_in_pieces_is_the_sha256_of_the_whole),
        cmocka_unit_test(the_processor_has_what_the_compiler_finds),
        cmocka_unit_test(sha256_by_instructions_is_libsodiums),
        cmocka_unit_test(a_signature_of_other_bytes_does_not_verify),
        cmocka_unit_test(a_url_is_shown_without_its_passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
