/* Ctrl-C at some places of what the host does for a run, and of what a user does with it
 * afterwards: the program ends soon, says so, and the store is as before or as after. On SQLite and
 * on a private PostgreSQL server. With an argument, for many more names. */
#include "stored.h"
#include "measured.h"

#include <jansson.h>
#include <sys/stat.h>

#define CROWD CIS_GUESTS_DIR "/crowd.wasm"
#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))
/* Processor time that a program may take to end: giving back the memory of a million names is a
 * part of it. */
#define SOON_MS (MEASURED ? 3000u : 30000u)
/* Before that it may not have begun to look at signals: the kernel ends it, and nothing is done. */
#define STARTING_MS (MEASURED ? 50u : 1000u)

static bool large;
static const char *names, *few;

enum { PLACES = 6 };

/* The newest commit. */
static void head(struct sys *s, char out[600])
{
    ok(s, "fs", "log", "--limit", "1", "--json");
    snprintf(out, 600, "%s", sys_out(s));
}

/* The signal that was sent at that time ended it by its own decision, and soon. */
static bool ended_by_itself(const struct measured *m, uint64_t at_ms, const char *const *argv)
{
    if (m->killed && at_ms > STARTING_MS) {
        fail_msg("%s %s: killed by Ctrl-C at %llu ms, and did not end itself", argv[1], argv[2],
                 (unsigned long long)at_ms);
    }
    if (m->late_ms > SOON_MS) {
        fail_msg("%s %s: %llu ms after Ctrl-C at %llu ms", argv[1], argv[2],
                 (unsigned long long)m->late_ms, (unsigned long long)at_ms);
    }
    return m->code == 130 && !m->killed;
}

/* Interrupted at so many places of the time that it takes; how often that was before its end. Then
 * it has changed nothing of the branch; when it was too late, `back` takes it back. */
static int interrupted(struct sys *s, uint64_t took_ms, const char *const *argv,
                       const char *const *back)
{
    int n = 0;
    for (uint64_t i = 0; i < PLACES; i++) {
        char before[600], after[600];
        head(s, before);
        uint64_t at = took_ms * (2 * i + 1) / (2 * PLACES);
        struct measured m = measured_run(s, SIGINT, at, argv);
        assert_true(m.code == 130 || m.code == 0);
        n += ended_by_itself(&m, at, argv);
        head(s, after);
        if (m.code == 130) {
            assert_string_equal(before, after);
        } else if (back != NULL) {
            assert_exit(s, 0, sys_exec(s, back));
        }
        ok(s, "fs", "fsck");
    }
    return n;
}

static uint64_t took_ms(struct sys *s, const char *const *argv)
{
    struct measured m = measured_run(s, 0, 0, argv);
    assert_int_equal(m.code, 0);
    return m.cpu_ms;
}

static void a_run_ends_at_ctrl_c_wherever_it_is(void **state)
{
    struct sys *s = *state;
    const char *const run[] = {CIS_PROGRAM, "run", "-w", CROWD, "names", "/workspace", names, NULL};
    const char *const undo[] = {CIS_PROGRAM, "fs", "undo", NULL};
    (void)took_ms(s, (const char *const[]){CIS_PROGRAM, "run", "-w", CROWD, "names", "/workspace",
                                           "1", NULL});
    uint64_t took = took_ms(s, run);
    ok(s, "fs", "undo");
    assert_true(interrupted(s, took, run, undo) > 0);
    ok(s, "run", "-w", CROWD, "names", "/workspace", names);
}

static void diff_and_undo_end_at_ctrl_c(void **state)
{
    struct sys *s = *state;
    const char *const diff[] = {CIS_PROGRAM, "runs", "diff", "last", NULL};
    const char *const undo[] = {CIS_PROGRAM, "fs", "undo", NULL};
    const char *const redo[] = {CIS_PROGRAM, "fs", "redo", NULL};
    ok(s, "run", "-w", CROWD, "names", "/workspace", names);
    assert_true(interrupted(s, took_ms(s, diff), diff, NULL) > 0);
    uint64_t took = took_ms(s, undo);
    ok(s, "fs", "redo");
    assert_true(interrupted(s, took, undo, redo) > 0);
    ok(s, "fs", "undo");
    assert_true(interrupted(s, took, redo, undo) > 0);
    ok(s, "fs", "redo");
}

/* Ctrl-C when the commit was told and before the names that it changed are: what is printed. */
static json_t *interrupted_while_it_shows(struct sys *s, const char *verb)
{
    const char *const argv[] = {CIS_PROGRAM, "fs", verb, "--json", NULL};
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64u << 20);
    char part[4096];
    int ends[2], status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = measured_start_to(s, argv, ends[1]);
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) != 0;) {
        assert_true(n > 0);
        if (out.len == 0) {
            assert_int_equal(kill(pid, SIGINT), 0);
        }
        cis_buf_add(&out, part, (size_t)n);
    }
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    json_t *root = json_loadb((const char *)out.ptr, out.len, 0, NULL);
    assert_non_null(root);
    return root;
}

static void an_undo_that_cannot_be_shown_is_done_and_warns_in_its_json(void **state)
{
    struct sys *s = *state;
    const char *warning = NULL;
    ok(s, "run", "-w", CROWD, "names", "/workspace", names);
    for (int i = 0; i < 10 && warning == NULL; i++) { /* all may be shown before the signal comes */
        json_t *root = interrupted_while_it_shows(s, i % 2 == 0 ? "undo" : "redo");
        char said[100];
        snprintf(said, sizeof said, "it is done (commit @%d), but not all of it can be shown: ",
                 (int)json_integer_value(json_object_get(root, "epoch")));
        assert_int_equal(json_integer_value(json_object_get(root, "epoch")), i + 2);
        assert_true(json_is_array(json_object_get(root, "paths")));
        warning = json_string_value(json_object_get(root, "warning"));
        if (warning != NULL) {
            assert_contains(warning, said);
        }
        json_decref(root);
    }
    assert_non_null(warning);
}

/* What is done stays, and is gone on with or taken back. */
static void an_apply_ends_at_ctrl_c(void **state)
{
    struct sys *s = *state;
    char folder[4200], mount[4300], last[4400];
    struct stat st;
    snprintf(folder, sizeof folder, "%s/folder", s->home);
    snprintf(mount, sizeof mount, "%s::/w:cow", folder);
    snprintf(last, sizeof last, "%s/n%07ld", folder, strtol(few, NULL, 10) - 1);
    assert_int_equal(mkdir(folder, 0755), 0);
    ok(s, "run", "--dir", mount, CROWD, "names", "/w", few);
    const char *const apply[] = {CIS_PROGRAM, "runs", "apply", "last", NULL};
    const char *const undo[] = {CIS_PROGRAM, "runs", "undo", "last", NULL};
    uint64_t took = took_ms(s, apply);
    assert_int_equal(stat(last, &st), 0);
    (void)took_ms(s, undo);
    assert_int_equal(stat(last, &st), -1);
    ok(s, "run", "--dir", mount, CROWD, "names", "/w", few);
    int n = 0;
    for (uint64_t i = 0; i < PLACES; i++) {
        const char *const *argv = i % 3 == 2 ? undo : apply;
        uint64_t at = took * (2 * i + 1) / (2 * PLACES);
        struct measured m = measured_run(s, SIGINT, at, argv);
        assert_true(m.code == 130 || m.code == 0 || i % 3 == 2);
        n += ended_by_itself(&m, at, argv);
        ok(s, "fs", "fsck");
    }
    assert_true(n > 0);
    struct measured m = measured_run(s, 0, 0, apply);
    assert_true(m.code == 0 || stat(last, &st) == 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    large = argc > 1;
    names = large ? "300000" : "15000";
    few = large ? "10000" : "300";
    const struct CMUnitTest tests[] = {
        TEST(a_run_ends_at_ctrl_c_wherever_it_is),
        TEST(diff_and_undo_end_at_ctrl_c),
        TEST(an_undo_that_cannot_be_shown_is_done_and_warns_in_its_json),
        TEST(an_apply_ends_at_ctrl_c),
    };
    return STORED_MAIN("ctrl_c", tests);
}
