/* What the host does for a run after its guest's end, for trees of extreme shapes: in time and
 * memory in proportion to them. The same tests run on SQLite and on a private PostgreSQL server.
 * With an argument, the shapes are as large as they are in the long form. */
#include "stored.h"
#include "measured.h"

#include <jansson.h>
#include <sys/stat.h>

#define CROWD CIS_GUESTS_DIR "/crowd.wasm"

/* The guest asks a server for each name that it makes: that is its own time, and here part of it.
 * The whole numbers are for the long form then, and the short one has as much less time. */
#ifdef FS_POSTGRES
#define SLOW (MEASURED ? 4u : 16u)
#define SHORTER 8u
#else
#define SHORTER 1u
#define SLOW (MEASURED ? 1u : 8u)
#endif
#define START_MS 500u /* of any command, whatever it does */

static bool large;

static unsigned number(unsigned small, unsigned big)
{
    return large ? big : small / SHORTER;
}

/* A command that succeeds in so many seconds of processor time. */
static void within(struct sys *s, unsigned seconds, const char *const *argv)
{
    uint64_t before = sys_processor_ms();
    s->timeout_ns = 600 * CIS_NS_PER_S;
    assert_exit(s, 0, sys_exec(s, argv));
    uint64_t took = sys_processor_ms() - before;
    uint64_t most = 1000ull * seconds * SLOW / (large ? 1 : SHORTER) + START_MS;
    if (took > most) {
        fail_msg("%s %s %s: %llu ms of processor time, of %llu", argv[1], argv[2], argv[3],
                 (unsigned long long)took, (unsigned long long)most);
    }
}
#define run_within(s, seconds, ...)                                                                \
    within((s), (seconds), (const char *const[]){CIS_PROGRAM, "run", __VA_ARGS__, NULL})
#define cis_within(s, seconds, ...)                                                                \
    within((s), (seconds), (const char *const[]){CIS_PROGRAM, __VA_ARGS__, NULL})
#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))

static void looked_at_and_undone(struct sys *s, unsigned diff, unsigned undo)
{
    cis_within(s, diff, "runs", "diff", "last");
    cis_within(s, diff, "fs", "diff", "main@0", "main");
    cis_within(s, undo, "fs", "undo");
    ok(s, "fs", "fsck");
}

static json_t *newest(struct sys *s)
{
    json_error_t why;
    ok(s, "runs", "list", "--limit", "1", "--json");
    json_t *list = json_loads(sys_out(s), 0, &why);
    json_t *row = json_array_get(json_object_get(list, "runs"), 0);
    char id[32];
    snprintf(id, sizeof id, "%s", json_string_value(json_object_get(row, "id")));
    json_decref(list);
    ok(s, "runs", "show", id, "--json");
    json_t *report = json_loads(sys_out(s), 0, &why);
    assert_non_null(report);
    return report;
}

static void assert_counted(struct sys *s, const char *what, unsigned n)
{
    json_t *report = newest(s);
    json_t *files = json_object_get(json_object_get(report, "changes"), "files");
    assert_null(json_object_get(files, "incomplete"));
    assert_int_equal(json_integer_value(json_object_get(files, what)), n);
    json_decref(report);
}

/* First of all: children only ever add to the peak that is looked at. */
static void names_far_down_take_the_memory_of_names(void **state)
{
    struct sys *s = *state;
    struct rusage used;
    char folder[4200], mount[4300];
    snprintf(folder, sizeof folder, "%s/folder", s->home);
    assert_int_equal(mkdir(folder, 0755), 0);
    snprintf(mount, sizeof mount, "%s::/w:cow", folder);
    unsigned n = number(10000, 10000);
    run_within(s, 10, "-w", CROWD, "far", "/workspace", "258", text(n));
    assert_counted(s, "added", n + 258);
    looked_at_and_undone(s, 10, 10);
    run_within(s, 10, "--dir", mount, CROWD, "far", "/w", "258", text(n));
    assert_counted(s, "added", n + 258);
    cis_within(s, 10, "runs", "diff", "last");
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &used), 0);
    if (MEASURED && used.ru_maxrss > 300 * 1024) {
        fail_msg("peak of %ld KiB", used.ru_maxrss);
    }
}

static void many_folders_of_one_file_take_less_than_five_seconds(void **state)
{
    struct sys *s = *state;
    unsigned n = number(40000, 40000);
    run_within(s, 5, "-w", CROWD, "folders", "/workspace", text(n));
    assert_counted(s, "added", 2 * n);
    run_within(s, 5, "-w", CROWD, "again", "/workspace", text(n));
    assert_counted(s, "modified", n);
}

static void many_levels_are_told_and_committed(void **state)
{
    struct sys *s = *state;
    unsigned n = number(20000, 100000);
    run_within(s, 20, "-w", CROWD, "levels", "/workspace", text(n));
    assert_counted(s, "added", n);
    looked_at_and_undone(s, 20, 20);
}

/* Undo of all of it, for one number of folders and for four times as many. */
static void undo_takes_time_in_proportion(void **state)
{
    struct sys *s = *state;
    uint64_t took[2];
    for (unsigned i = 0; i < 2; i++) {
        ok(s, "run", "-w", CROWD, "folders", "/workspace",
           text((large ? 7500u : 2000u) << (2 * i)));
        uint64_t before = sys_processor_ms();
        ok(s, "fs", "undo");
        took[i] = sys_processor_ms() - before;
    }
    print_message("undo: %llu ms, of four times as many %llu ms\n", (unsigned long long)took[0],
                  (unsigned long long)took[1]);
    /* With more at each name the second one takes sixteen times as long. */
    if (took[1] > 8 * took[0] + (MEASURED ? 100 : 1000)) {
        fail_msg("undo: %llu ms, of four times as many %llu ms", (unsigned long long)took[0],
                 (unsigned long long)took[1]);
    }
}

static void what_history_may_hold_is_a_setting(void **state)
{
    struct sys *s = *state;
    static const char *const verbs[] = {"undo", "redo"};
    ok(s, "run", "-w", CROWD, "folders", "/workspace", "1500");
    for (unsigned i = 0; i < 2; i++) {
        ok(s, "fs", "ls", "/");
        char *before = strdup(sys_out(s));
        s->env[1] = "CIS_LIMITS_HISTORY_BYTES=1MiB";
        assert_exit(s, 6, cis(s, "fs", verbs[i]));
        assert_contains(sys_err(s), "limits.history_bytes allows (1048576 bytes)");
        s->env[1] = NULL;
        ok(s, "fs", "ls", "/");
        assert_string_equal(sys_out(s), before);
        ok(s, "fs", verbs[i]);
        ok(s, "fs", "ls", "/");
        assert_string_not_equal(sys_out(s), before);
        free(before);
    }
    ok(s, "fs", "fsck");
}

/* Deeper than paths are long; test_far.c has what is brought to a folder of the host. */
static void what_no_path_reaches_is_shown_and_undone(void **state)
{
    struct sys *s = *state;
    ok(s, "run", "-w", CROWD, "below", "/workspace", "5000", "3");
    ok(s, "fs", "diff", "main@0", "main");
    assert_contains(sys_out(s), "/d/d/d/n0000002");
    ok(s, "fs", "undo");
    assert_contains(sys_out(s), "/d/d/d/n0000002");
    ok(s, "fs", "ls");
    assert_string_equal(sys_out(s), "");
    ok(s, "fs", "redo");
    ok(s, "runs", "diff", "last");
    assert_contains(sys_out(s), "/d/d/d/n0000002");
    ok(s, "runs", "undo", "last");
    ok(s, "fs", "ls");
    assert_string_equal(sys_out(s), "");
    ok(s, "fs", "fsck");
}

static void many_names_in_one_folder_are_told_and_committed(void **state)
{
    struct sys *s = *state;
    unsigned n = number(60000, 1000000);
    run_within(s, large ? 60 : 10, "-w", CROWD, "names", "/workspace", text(n));
    assert_counted(s, "added", n);
    looked_at_and_undone(s, large ? 30 : 10, large ? 60 : 10);
}

static void many_names_of_one_file_are_told_and_committed(void **state)
{
    struct sys *s = *state;
    unsigned n = number(20000, 100000);
    run_within(s, 10, "-w", CROWD, "links", "/workspace", text(n));
    run_within(s, 10, "-w", CROWD, "moved", "/workspace", text(n));
    assert_counted(s, "renamed", n);
}

static void a_folder_that_is_not_touched_is_told_in_the_same_time(void **state)
{
    struct sys *s = *state;
    unsigned folders = number(10000, 40000);
    char host[4200], cow[4300], branch[4400];
    snprintf(host, sizeof host, "%s/folder", s->home);
    assert_int_equal(mkdir(host, 0755), 0);
    snprintf(branch, sizeof branch, "%s::/w", host);
    snprintf(cow, sizeof cow, "%s::/w:cow", host);
    run_within(s, 10, "--dir", branch, CROWD, "folders", "/w", text(folders));
    run_within(s, 10, "--dir", cow, CROWD, "again", "/w", text(folders));
    assert_counted(s, "modified", folders);
    run_within(s, 20, "--dir", cow, CROWD, "levels", "/w", text(number(20000, 100000)));
    assert_counted(s, "added", number(20000, 100000));
}

int main(int argc, char **argv)
{
    (void)argv;
    large = argc > 1;
    const struct CMUnitTest tests[] = {
        TEST(names_far_down_take_the_memory_of_names),
        TEST(many_folders_of_one_file_take_less_than_five_seconds),
        TEST(many_levels_are_told_and_committed),
        TEST(undo_takes_time_in_proportion),
        TEST(what_history_may_hold_is_a_setting),
        TEST(what_no_path_reaches_is_shown_and_undone),
        TEST(many_names_in_one_folder_are_told_and_committed),
        TEST(many_names_of_one_file_are_told_and_committed),
        TEST(a_folder_that_is_not_touched_is_told_in_the_same_time),
    };
    return STORED_MAIN("after", tests);
}
