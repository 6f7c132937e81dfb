/* gc and fsck: what may go goes, what must stay stays, whatever else happens meanwhile; planted
 * damage is named. */
#include "fixture.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "history/maintain.h"
#include "store/chunk.h"
#include "store/commit.h"
#include "store/calls.h"

/* Until both clocks of the store have moved by so much: they are not ours. */
static void pass(struct fx *fx, int64_t ms)
{
    int64_t day, stamp, now = 0, now_stamp = 0;
    assert_ok(cis_store_clock(fx->store, &day, &stamp, NULL, err));
    while (now < day + ms || now_stamp < stamp + ms) {
        usleep(1000);
        assert_ok(cis_store_clock(fx->store, &now, &now_stamp, NULL, err));
    }
}

static struct cis_gc_counts gc(struct fx *fx, uint64_t runs)
{
    struct cis_retention keep = {.runs = runs, .grace_ms = 1, .batch = 7};
    struct cis_gc_counts out;
    pass(fx, 3); /* the grace is one */
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    return out;
}

static void fill(uint8_t *at, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        at[i] = (uint8_t)(seed >> 24);
    }
}

static uint64_t stored(struct fx *fx)
{
    struct cis_tenant t;
    assert_ok(cis_store_tenant_get(fx->store, fx->h.tenant, &t, NULL, err));
    return t.stored;
}

/* ---- gc ---- */
static void the_empty_tree_outlives_every_gc(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "a", "one");
    fx_fork(fx, fx_head(fx, "main"), "side");
    for (int i = 0; i < 5; i++) {
        fx_text(fx, "main", "a", i % 2 != 0 ? "x" : "yy");
        fx_text(fx, "side", "b", i % 2 != 0 ? "x" : "yy");
    }
    gc(fx, 0);
    struct cis_view zero = {fx_head(fx, "side").branch, 0};
    char *tree = fx_dump(&fx->h, zero);
    assert_true(strchr(tree, '\n') == NULL || strchr(tree, '\n')[1] == 0); /* the root alone */
    free(tree);
    fx_fork(fx, zero, "apart");
    fx_text(fx, "apart", "own", "x");
    gc(fx, 0);
    fx_whole(fx);
}

static void nothing_goes_before_ten_minutes_are_over(void **state)
{
    struct fx *fx = *state;
    struct cis_retention keep = {.runs = 0, .age_ms = 0};
    struct cis_gc_counts out;
    fx_big(fx, "main", "a", 1);
    struct cis_view old = fx_head(fx, "main");
    char *before = fx_dump_exact(&fx->h, old);
    fx_big(fx, "main", "a", 2);
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    assert_int_equal(out.rows, 0);
    assert_int_equal(out.chunks, 0);
    char *after = fx_dump_exact(&fx->h, old);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void old_states_and_their_content_go_and_opening_them_is_an_error(void **state)
{
    struct fx *fx = *state;
    struct cis_view view, owner;
    struct cis_history_pin pin;
    for (uint32_t i = 0; i < 10; i++) {
        fx_big(fx, "main", "a", i);
        fx_big(fx, "main", i % 2 != 0 ? "gone" : "d/e/gone", 100 + i);
        fx_remove(fx, "main", i % 2 != 0 ? "gone" : "d");
    }
    char *before = fx_dump_exact(&fx->h, fx_head(fx, "main"));
    struct cis_gc_counts out = gc(fx, 0);
    assert_true(out.rows > 30);
    assert_true(out.chunks > 30);
    char *after = fx_dump_exact(&fx->h, fx_head(fx, "main"));
    assert_string_equal(before, after);
    assert_true(stored(fx) < 250000);
    view = fx_head(fx, "main");
    view.epoch -= 5;
    assert_fails(CIS_E_EXPIRED, "",
                 cis_store_view_check(fx->store, fx->h.tenant, view, &owner, NULL, err));
    assert_fails(CIS_E_EXPIRED, "", cis_history_pin(&fx->h, view, &pin, err));
    assert_fails(
        CIS_E_EXPIRED, "",
        cis_store_fork(fx->store, fx->h.tenant, view, &(struct cis_str){"x", 1}, 1, NULL, err));
    fx_whole(fx);
    out = gc(fx, 0); /* a second time there is nothing left to do */
    assert_int_equal(out.rows, 0);
    assert_int_equal(out.chunks, 0);
    free(before);
    free(after);
}

static void snapshots_forks_pins_and_the_last_runs_stay_as_they_were(void **state)
{
    struct fx *fx = *state;
    struct cis_view view[40];
    char *dump[40];
    struct cis_history_pin pin;
    for (uint32_t i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "d%u/f%u", i % 3, i % 5);
        fx_big(fx, "main", name, i);
        if (i % 4 == 3) {
            snprintf(name, sizeof name, "d%u", (i + 1) % 3);
            if (fx_ino(fx, "main", name) != 0) {
                fx_remove(fx, "main", name);
            }
        }
        view[i] = fx_head(fx, "main");
        dump[i] = fx_dump_exact(&fx->h, view[i]);
    }
    fx_snapshot(fx, view[5], "five");
    fx_snapshot(fx, view[6], "six");
    fx_fork(fx, view[11], "eleven");
    fx_remove(fx, "eleven", "d1");
    assert_ok(cis_history_pin(&fx->h, view[17], &pin, err));
    struct cis_view eleven = fx_head(fx, "eleven");
    fx_fork(fx, eleven, "of-eleven");
    char *of_eleven = fx_dump_exact(&fx->h, eleven);
    gc(fx, 3);
    static const int stay[] = {5, 6, 11, 17, 38, 39};
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++) {
        char *now = fx_dump_exact(&fx->h, view[stay[i]]);
        assert_string_equal(now, dump[stay[i]]);
        free(now);
    }
    char *now = fx_dump_exact(&fx->h, fx_head(fx, "of-eleven"));
    assert_string_equal(now, of_eleven);
    free(now);
    free(of_eleven);
    fx_whole(fx);
    cis_history_pin_drop(&fx->h, &pin);
    assert_ok(cis_store_snapshot_remove(fx->store, fx->h.tenant, CIS_STR("five"), NULL, err));
    assert_true(gc(fx, 3).rows > 0);
    struct cis_view owner;
    assert_fails(CIS_E_EXPIRED, "",
                 cis_store_view_check(fx->store, fx->h.tenant, view[5], &owner, NULL, err));
    now = fx_dump_exact(&fx->h, view[6]);
    assert_string_equal(now, dump[6]);
    free(now);
    fx_whole(fx);
    for (int i = 0; i < 40; i++) {
        free(dump[i]);
    }
}

static bool take_value(void *self, const struct cis_kv_entry *entry)
{
    cis_buf_add(self, entry->value.ptr, entry->value.len);
    return false;
}

static void memory_is(struct fx *fx, struct cis_view view, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf value = CIS_BUF_INIT(65536);
    bool found;
    assert_ok(cis_store_kv_get(
        fx->store, fx->h.tenant,
        &(struct cis_kv_get_query){view, CIS_STR("skill"), CIS_STR("k"), take_value, &value},
        &found, NULL, err));
    assert_string_equal(cis_buf_cstr(&value), expected);
}

static void memory_of_kept_states_stays_too(void **state)
{
    struct fx *fx = *state;
    fx_memory(fx, "main", "k", "first");
    fx_memory(fx, "main", "k", "kept");
    struct cis_view kept = fx_head(fx, "main");
    fx_snapshot(fx, kept, "kept");
    fx_memory(fx, "main", "k", "third");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_memory(fx, "main", "k", "last");
    gc(fx, 0);
    gc(fx, 0);
    memory_is(fx, kept, "kept");
    memory_is(fx, fx_head(fx, "side"), "third");
    memory_is(fx, fx_head(fx, "main"), "last");
}

struct dropped {
    uint64_t lines, without; /* commits; those whose keys are dropped */
};

static bool see_keys(void *self, const struct cis_fs_commit_row *row)
{
    struct dropped *d = self;
    d->lines++;
    d->without += row->keys.len == 1 && row->keys.ptr[0] == CIS_KEYS_DROPPED;
    return true;
}

static struct dropped keys_of(struct fx *fx, const char *ref)
{
    struct dropped d = {0, 0};
    struct cis_view head = fx_head(fx, ref);
    assert_ok(cis_store_commits(
        fx->store, fx->h.tenant,
        &(struct cis_fs_log_query){.branch = head.branch, .upto = head.epoch, .keys = true},
        see_keys, &d, NULL, err));
    return d;
}

static void what_old_commits_changed_is_forgotten_when_nobody_can_ask_for_it(void **state)
{
    struct fx *fx = *state;
    char name[200];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "%0150d", i % 3);
        fx_text(fx, "main", name, i % 2 != 0 ? "x" : "yy");
        if (i == 9) {
            fx_fork(fx, fx_head(fx, "main"), "side");
        }
    }
    fx_text(fx, "side", "own", "x");
    gc(fx, 5);
    struct dropped d = keys_of(fx, "main");
    assert_true(d.lines == 30 && d.without == 10); /* what came after the fork is for merges */
    assert_int_equal(keys_of(fx, "side").without, 0);
    char *before = fx_dump_exact(&fx->h, fx_head(fx, "main"));
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("side"), CIS_STR(""), NULL, err));
    uint64_t full = stored(fx);
    gc(fx, 5);
    d = keys_of(fx, "main");
    assert_true(d.lines == 30 && d.without == 26);
    assert_true(stored(fx) < full);
    char *after = fx_dump_exact(&fx->h, fx_head(fx, "main"));
    assert_string_equal(before, after);
    fx_whole(fx);
    free(before);
    free(after);
}

static void what_is_forgotten_is_told_by_the_rows_when_it_is_asked_for_after_all(void **state)
{
    struct fx *fx = *state;
    struct cis_view zero = {fx_head(fx, "main").branch, 0};
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("apart")};
    fx_text(fx, "main", "d/a", "1");
    fx_text(fx, "main", "b", "1");
    fx_memory(fx, "main", "k", "value");
    fx_remove(fx, "main", "b");
    fx_text(fx, "main", "c", "1");
    gc(fx, 0);
    assert_int_equal(keys_of(fx, "main").without, 5);
    fx_fork(fx, zero, "apart"); /* of the empty tree, which is there for ever */
    fx_text(fx, "apart", "own", "x");
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "main"), &how, &done, err));
    fx_remove(fx, "apart", "own");
    char *merged = fx_dump(&fx->h, fx_head(fx, "apart"));
    char *whole = fx_dump(&fx->h, fx_head(fx, "main"));
    assert_string_equal(merged, whole);
    memory_is(fx, fx_head(fx, "apart"), "value");
    fx_whole(fx);
    free(merged);
    free(whole);
}

static void what_a_fork_removed_stays_removed_whatever_is_squashed(void **state)
{
    struct fx *fx = *state;
    fx_big(fx, "main", "d/a", 1);
    fx_text(fx, "main", "d/b", "1");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_remove(fx, "side", "d");
    fx_text(fx, "side", "d/b", "again");
    fx_remove(fx, "side", "d/b");
    char *before = fx_dump_exact(&fx->h, fx_head(fx, "side"));
    gc(fx, 0);
    gc(fx, 0);
    char *after = fx_dump_exact(&fx->h, fx_head(fx, "side"));
    assert_string_equal(before, after);
    fx_whole(fx);
    free(before);
    free(after);
}

static uint64_t put_chunk(struct fx *fx, const char *text)
{
    uint8_t packed[CIS_CHUNK_PACKED_MAX];
    struct cis_bytes content = cis_bytes_of(text, strlen(text));
    struct cis_fs_chunk chunk;
    struct cis_tenant t;
    cis_chunk_codec *codec = NULL;
    uint64_t id;
    assert_ok(cis_chunk_codec_new(&codec, err));
    assert_ok(cis_store_tenant_get(fx->store, fx->h.tenant, &t, NULL, err));
    cis_chunk_hash(t.key, content, chunk.hash);
    chunk.packed = cis_bytes_of(packed, cis_chunk_pack(codec, content, true, packed));
    assert_ok(cis_store_chunk_put(fx->store, fx->h.tenant,
                                  &(struct cis_fs_put_request){&chunk, 1, false}, &id, NULL, err));
    cis_chunk_codec_free(codec);
    return id;
}

/* A writer stores content long before the commit that names it. */
static void what_a_writer_in_flight_has_stored_stays_however_long_it_takes(void **state)
{
    struct fx *fx = *state;
    struct cis_history_pin pin;
    fx_text(fx, "main", "a", "1");
    assert_ok(cis_history_pin(&fx->h, fx_head(fx, "main"), &pin, err));
    uint64_t id = put_chunk(fx, "not named yet");
    struct cis_gc_counts out = gc(fx, 100);
    assert_int_equal(out.chunks, 0);
    bool lost = true;
    assert_ok(cis_store_chunk_touch(fx->store, fx->h.tenant, &id, 1, &lost, NULL, err));
    assert_false(lost);
    cis_history_pin_drop(&fx->h, &pin);
    out = gc(fx, 100);
    assert_int_equal(out.chunks, 1);
    assert_ok(cis_store_chunk_touch(fx->store, fx->h.tenant, &id, 1, &lost, NULL, err));
    assert_true(lost);
}

static void a_dropped_branch_goes_and_what_was_forked_from_it_stays(void **state)
{
    struct fx *fx = *state;
    fx_big(fx, "main", "base", 1);
    fx_fork(fx, fx_head(fx, "main"), "mid");
    fx_big(fx, "mid", "of-mid", 2);
    fx_fork(fx, fx_head(fx, "mid"), "leaf");
    fx_big(fx, "mid", "later", 3);
    fx_fork(fx, fx_head(fx, "main"), "alone");
    fx_big(fx, "alone", "x", 4);
    char *before = fx_dump_exact(&fx->h, fx_head(fx, "leaf"));
    uint64_t full = stored(fx);
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("mid"), CIS_STR(""), NULL, err));
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("alone"), CIS_STR(""), NULL, err));
    struct cis_gc_counts out = gc(fx, 100);
    assert_int_equal(out.branches, 1); /* alone: mid still carries leaf */
    assert_true(stored(fx) < full - 300000);
    char *after = fx_dump_exact(&fx->h, fx_head(fx, "leaf"));
    assert_string_equal(before, after);
    fx_whole(fx);
    free(before);
    free(after);
}

static void a_branch_that_was_just_dropped_stays_for_its_readers(void **state)
{
    struct fx *fx = *state;
    struct cis_retention keep = {.runs = 0, .age_ms = 0, .grace_ms = 60000};
    struct cis_gc_counts out;
    fx_text(fx, "main", "a", "1");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "b", "1");
    struct cis_view view = fx_head(fx, "side");
    char *before = fx_dump_exact(&fx->h, view);
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("side"), CIS_STR(""), NULL, err));
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    assert_int_equal(out.branches, 0);
    char *after = fx_dump_exact(&fx->h, view);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

#define OLD_CONFLICT CIS_CONFLICT_PREFIX "01KAJ2Q5V8Z3YH6D7RJ0A1B2C3"
static void the_forks_of_old_conflicts_go(void **state)
{
    struct fx *fx = *state;
    struct cis_fs_ref ref;
    struct cis_gc_counts out;
    struct cis_retention keep = {.runs = 1, .age_ms = 3600000, .grace_ms = 1};
    fx_text(fx, "main", "a", "1");
    fx_fork(fx, fx_head(fx, "main"), OLD_CONFLICT);
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    assert_ok(cis_store_ref_get(fx->store, fx->h.tenant, CIS_STR(OLD_CONFLICT), &ref, NULL, err));
    gc(fx, 1);
    assert_fails(
        CIS_E_NOTFOUND, "",
        cis_store_ref_get(fx->store, fx->h.tenant, CIS_STR(OLD_CONFLICT), &ref, NULL, err));
}

/* Somebody who commits to the branch just when gc has found that nobody does. */
static struct {
    struct fx *fx;
    struct cis_store_fs_ops ops;
    const struct cis_store_fs_ops *real;
    int at, calls;
} busy;

static void commit_now(void)
{
    if (busy.calls++ == busy.at) {
        busy.fx->store->fs = busy.real;
        fx_text(busy.fx, OLD_CONFLICT, "late", "work");
        busy.fx->store->fs = &busy.ops;
    }
}

static cis_code list_then_commit(cis_store *s, struct cis_str tenant, cis_fs_ref_each *each,
                                 void *self, const struct cis_stop *stop, struct cis_error *e)
{
    cis_code code = busy.real->ref_list(s, tenant, each, self, stop, e);
    commit_now();
    return code;
}

static cis_code look_then_commit(cis_store *s, struct cis_str tenant,
                                 const struct cis_fs_log_query *query, cis_fs_commit_each *each,
                                 void *self, const struct cis_stop *stop, struct cis_error *e)
{
    cis_code code = busy.real->commits(s, tenant, query, each, self, stop, e);
    commit_now();
    return code;
}

static void a_commit_that_gc_did_not_see_keeps_its_branch(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "a", "1");
    for (int at = 0; at < 2; at++) {
        fx_fork(fx, fx_head(fx, "main"), OLD_CONFLICT);
        busy.fx = fx;
        busy.real = fx->store->fs;
        busy.ops = *busy.real;
        busy.ops.ref_list = list_then_commit;
        busy.ops.commits = look_then_commit;
        busy.at = at;
        busy.calls = 0;
        fx->store->fs = &busy.ops;
        gc(fx, 1);
        fx->store->fs = busy.real;
        assert_true(busy.calls > at);
        assert_int_not_equal(fx_ino(fx, OLD_CONFLICT, "late"), 0);
        fx_whole(fx);
        gc(fx, 1);
    }
}

/* Records of applies that are older than what says so in a run's row are kept with the row. */
static void a_record_that_its_run_does_not_tell_of_stays(void **state)
{
    struct fx *fx = *state;
    struct cis_fs_ref ref;
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(1000);
    struct cis_run_row run = {.id = "01KAJ2Q5V8Z3YH6D7RJ0A1B2C3",
                              .skill = CIS_STR("file:x"),
                              .status = CIS_STR("ok"),
                              .report = CIS_STR("{\"schema\":1}")};
    struct cis_store_commit c = {.run = &run};
    struct cis_str record = CIS_STR(CIS_APPLIED_PREFIX "01KAJ2Q5V8Z3YH6D7RJ0A1B2C3-1");
    assert_ok(cis_store_commit(fx->store, fx->h.tenant, &c, NULL, err));
    fx_text(fx, "main", "a", "1");
    fx_fork(fx, fx_head(fx, "main"), record.ptr);
    gc(fx, 1);
    assert_ok(cis_store_ref_get(fx->store, fx->h.tenant, record, &ref, NULL, err));
    cis_run_report_set_applied(
        run.report, CIS_STR("[{\"record\":\"applied/01KAJ2Q5V8Z3YH6D7RJ0A1B2C3-1\"}]"), &told);
    assert_ok(cis_store_run_report(fx->store, fx->h.tenant, cis_str_of(run.id), run.report,
                                   cis_buf_view(&told), NULL, err));
    gc(fx, 1);
    assert_fails(CIS_E_NOTFOUND, "",
                 cis_store_ref_get(fx->store, fx->h.tenant, record, &ref, NULL, err));
}

static void a_branch_that_only_has_such_a_name_is_a_users(void **state)
{
    static const char *const names[] = {"conflict/my-fix",
                                        "conflict/01",
                                        "applied/patches",
                                        "applied/01KAJ2Q5V8Z3YH6D7RJ0A1B2C3",
                                        "conflict/01KAJ2Q5V8Z3YH6D7RJ0A1B2C3-x",
                                        "conflict/01kaj2q5v8z3yh6d7rj0a1b2c3"};
    struct fx *fx = *state;
    struct cis_fs_ref ref;
    fx_text(fx, "main", "a", "1");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fx_fork(fx, fx_head(fx, "main"), names[i]);
    }
    gc(fx, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_ok(
            cis_store_ref_get(fx->store, fx->h.tenant, cis_str_of(names[i]), &ref, NULL, err));
    }
}

/* ---- what was removed and came back ---- */
static void bring_back(struct fx *fx, const char *ref, struct cis_view had, uint64_t ino,
                       const char *name)
{
    struct edit e;
    struct cis_history_done done;
    struct rows rows = {0};
    struct numbers one = {.at = &ino, .n = 1};
    assert_ok(cis_edit_open(&e, &fx->h, cis_str_of(ref), err));
    assert_ok(cis_rows_read(&fx->h, had, &one, &rows, err));
    assert_ok(cis_edit_put(&e, &rows.at[0], err));
    assert_ok(cis_edit_name(&e, CIS_FS_ROOT, cis_str_of(name), (struct edit_end){0, 0},
                            (struct edit_end){ino, rows.at[0].mode}, err));
    assert_ok(cis_edit_commit(&e, "undo", "as the first version did", &done, err));
    cis_edit_done(&e);
    cis_rows_done(&rows);
}

static void content_of_a_file_that_came_back_outlives_gc(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit on_main = {.ref = CIS_STR("main"), .note = "undo"};
    struct cis_history_commit on_side = {.ref = CIS_STR("side"), .note = "undo"};
    fx_big(fx, "main", "a", 1);
    fx_big(fx, "main", "b", 2);
    char *before = fx_dump(&fx->h, fx_head(fx, "main"));
    uint64_t b = fx_ino(fx, "main", "b");
    struct cis_view had = fx_head(fx, "main");
    fx_remove(fx, "main", "a");
    struct cis_view removed = fx_head(fx, "main");
    fx_remove(fx, "main", "b");
    fx_fork(fx, fx_head(fx, "main"), "side"); /* it comes back there, of what main had */
    assert_ok(cis_history_undo(&fx->h, removed, &on_main, &done, err));
    assert_ok(cis_history_undo(&fx->h, removed, &on_side, &done, err));
    bring_back(fx, "main", had, b, "b"); /* rows without extents of their own */
    bring_back(fx, "side", had, b, "b");
    gc(fx, 0);
    gc(fx, 0);
    const char *refs[] = {"main", "side"};
    for (int i = 0; i < 2; i++) {
        char *after = fx_dump(&fx->h, fx_head(fx, refs[i]));
        assert_string_equal(before, after);
        free(after);
    }
    fx_whole(fx);
    free(before);
}

/* By the last commit: who works on one keeps it. */
static void the_fork_of_a_conflict_that_is_worked_on_stays(void **state)
{
    struct fx *fx = *state;
    struct cis_fs_ref ref;
    struct cis_gc_counts out;
    int64_t made, now;
    fx_text(fx, "main", "a", "1");
    fx_fork(fx, fx_head(fx, "main"), OLD_CONFLICT);
    assert_ok(cis_store_clock(fx->store, &made, NULL, NULL, err));
    pass(fx, 1500);
    fx_text(fx, OLD_CONFLICT, "b", "2");
    assert_ok(cis_store_clock(fx->store, &now, NULL, NULL, err));
    struct cis_retention keep = {.runs = 1, .age_ms = now - made - 200, .grace_ms = 1};
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    assert_ok(cis_store_ref_get(fx->store, fx->h.tenant, CIS_STR(OLD_CONFLICT), &ref, NULL, err));
    keep.age_ms = 1;
    pass(fx, 3);
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    assert_fails(
        CIS_E_NOTFOUND, "",
        cis_store_ref_get(fx->store, fx->h.tenant, CIS_STR(OLD_CONFLICT), &ref, NULL, err));
}

/* ---- everything at once ---- */
#define WRITERS 16
#define READERS 16
struct crowd {
    struct fx *fx;
    atomic_bool stop;
    atomic_uint commits, reads, expired, gcs;
    atomic_uint wrong;
};
struct worker {
    struct crowd *crowd;
    uint32_t n;
    pthread_t thread;
};

static void *write_for_ever(void *arg)
{
    struct worker *w = arg;
    struct fx *fx = w->crowd->fx;
    uint8_t *data = malloc(150000);
    for (uint32_t i = 0; !atomic_load(&w->crowd->stop); i++) {
        char name[64];
        snprintf(name, sizeof name, "w%u/f%u", w->n, i % 4);
        size_t n = i % 3 == 0 ? 100 : 70000 + i % 7 * 10000;
        fill(data, n, i % 5 == 0 ? 7 : w->n * 1000 + i); /* some content is everybody's */
        fx_write(fx, "main", name, data, n);
        if (i % 6 == 5) {
            fx_remove(fx, "main", name);
        }
        atomic_fetch_add(&w->crowd->commits, 1);
    }
    free(data);
    return NULL;
}

static void *read_for_ever(void *arg)
{
    struct worker *w = arg;
    struct fx *fx = w->crowd->fx;
    while (!atomic_load(&w->crowd->stop)) {
        struct cis_history_pin pin;
        struct cis_view view = fx_head(fx, "main");
        if (cis_history_pin(&fx->h, view, &pin, NULL) != CIS_OK) {
            atomic_fetch_add(&w->crowd->expired, 1);
            continue;
        }
        char *first = fx_dump_exact(&fx->h, view);
        for (int i = 0; i < 4; i++) {
            usleep(20000);
            char *again = fx_dump_exact(&fx->h, view);
            if (strcmp(first, again) != 0) {
                atomic_fetch_add(&w->crowd->wrong, 1);
            }
            free(again);
            atomic_fetch_add(&w->crowd->reads, 1);
        }
        free(first);
        cis_history_pin_drop(&fx->h, &pin);
    }
    return NULL;
}

static void *collect_for_ever(void *arg)
{
    struct worker *w = arg;
    struct cis_retention keep = {.runs = 2, .grace_ms = 1, .batch = 50};
    while (!atomic_load(&w->crowd->stop)) {
        struct cis_gc_counts out;
        assert_ok(cis_history_gc(&w->crowd->fx->h, &keep, &out, err));
        atomic_fetch_add(&w->crowd->gcs, 1);
    }
    return NULL;
}

static void sixteen_writers_and_readers_never_notice_gc(void **state)
{
    struct fx *fx = *state;
    struct crowd crowd = {.fx = fx};
    struct worker workers[WRITERS + READERS + 1];
    fx->pin = true;
    const char *seconds = getenv("CIS_CROWD_SECONDS");
    uint64_t until = cis_clock_after(cis_clock_mono_ns(),
                                     (uint64_t)(seconds != NULL ? strtoul(seconds, NULL, 10) : 6) *
                                         CIS_NS_PER_S);
    for (uint32_t i = 0; i < WRITERS + READERS + 1; i++) {
        workers[i] = (struct worker){&crowd, i, 0};
        assert_int_equal(pthread_create(&workers[i].thread, NULL,
                                        i < WRITERS             ? write_for_ever
                                        : i < WRITERS + READERS ? read_for_ever
                                                                : collect_for_ever,
                                        &workers[i]),
                         0);
    }
    char *kept[64];
    int n = 0;
    while (cis_clock_mono_ns() < until) {
        struct cis_history_pin pin;
        struct cis_view view = fx_head(fx, "main");
        if (cis_history_pin(&fx->h, view, &pin, NULL) == CIS_OK && n < 64) {
            char name[32];
            snprintf(name, sizeof name, "snap-%d", n);
            fx_snapshot(fx, view, name);
            if (n % 2 == 0) {
                snprintf(name, sizeof name, "fork-%d", n);
                fx_fork(fx, view, name);
            }
            kept[n++] = fx_dump_exact(&fx->h, view);
            cis_history_pin_drop(&fx->h, &pin);
        }
        usleep(200000);
    }
    atomic_store(&crowd.stop, true);
    for (uint32_t i = 0; i < WRITERS + READERS + 1; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    print_message("%u commits, %u reads of old states, %u collections, %u pins too late\n",
                  atomic_load(&crowd.commits), atomic_load(&crowd.reads), atomic_load(&crowd.gcs),
                  atomic_load(&crowd.expired));
    assert_int_equal(atomic_load(&crowd.wrong), 0);
    assert_true(atomic_load(&crowd.commits) > 16);
    assert_true(atomic_load(&crowd.gcs) > 1);
    for (int i = 0; i < n; i++) {
        char name[32];
        struct cis_rev rev;
        snprintf(name, sizeof name, "snapshot:snap-%d", i);
        assert_ok(cis_history_resolve(&fx->h, cis_str_of(name), &rev, err));
        char *now = fx_dump_exact(&fx->h, rev.view);
        assert_string_equal(now, kept[i]);
        free(now);
        if (i % 2 == 0) {
            snprintf(name, sizeof name, "fork-%d", i);
            now = fx_dump_exact(&fx->h, fx_head(fx, name));
            assert_string_equal(now, kept[i]);
            free(now);
        }
        free(kept[i]);
    }
    fx_whole(fx);
}

/* ---- forks of something big ---- */
static void a_thousand_forks_of_a_big_tree_are_one_short_command(void **state)
{
    struct fx *fx = *state;
    const uint32_t files = fx_is_sqlite() ? 100000 : 20000; /* rows take longer to a server */
    struct edit e;
    struct cis_history_done done;
    assert_ok(cis_edit_open(&e, &fx->h, CIS_STR("main"), err));
    struct cis_fs_inode dir = {.mode = S_IFDIR | 0755, .parent = CIS_FS_ROOT};
    for (uint32_t i = 0; i < files; i++) {
        struct cis_fs_inode row = {.mode = S_IFREG | 0644, .size = 4, .is_inline = true};
        char name[32];
        if (i % 1000 == 0) {
            assert_ok(cis_edit_number(&e, &dir.ino, err));
            assert_ok(cis_edit_put(&e, &dir, err));
            snprintf(name, sizeof name, "d%u", i / 1000);
            assert_ok(cis_edit_name(&e, CIS_FS_ROOT, cis_str_of(name), (struct edit_end){0, 0},
                                    (struct edit_end){dir.ino, dir.mode}, err));
        }
        row.data = (struct cis_bytes){(const uint8_t *)"text", 4};
        assert_ok(cis_edit_number(&e, &row.ino, err));
        assert_ok(cis_edit_put(&e, &row, err));
        snprintf(name, sizeof name, "f%u", i);
        assert_ok(cis_edit_name(&e, dir.ino, cis_str_of(name), (struct edit_end){0, 0},
                                (struct edit_end){row.ino, row.mode}, err));
    }
    assert_ok(cis_edit_commit(&e, "fs", "many", &done, err));
    cis_edit_done(&e);
    static char names[1000][16];
    static struct cis_str refs[1000];
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "agent-%d", i);
        refs[i] = cis_str_of(names[i]);
    }
    uint64_t from = cis_clock_mono_ns();
    assert_ok(cis_store_fork(fx->store, fx->h.tenant, done.at.view, refs, 1000, NULL, err));
    uint64_t took = cis_clock_mono_ns() - from;
    print_message("1,000 forks of %u files: %" PRIu64 " ms\n", files,
                  (uint64_t)(took / CIS_NS_PER_MS));
    assert_true(took < 5 * CIS_NS_PER_S);
    fx_text(fx, "agent-7", "d1/f1000", "changed");
    char last[32];
    snprintf(last, sizeof last, "d%u/f%u", files / 1000 - 1, files - 1);
    assert_int_equal(fx_ino(fx, "agent-7", last), fx_ino(fx, "main", last));
    struct cis_fsck_counts counts;
    assert_ok(cis_history_fsck(&fx->h, false, NULL, NULL, &counts, err));
    assert_int_equal(counts.faults, 0);
    assert_int_equal(counts.views, 2); /* 999 of them are one state */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_empty_tree_outlives_every_gc),
        TEST(nothing_goes_before_ten_minutes_are_over),
        TEST(old_states_and_their_content_go_and_opening_them_is_an_error),
        TEST(snapshots_forks_pins_and_the_last_runs_stay_as_they_were),
        TEST(what_a_writer_in_flight_has_stored_stays_however_long_it_takes),
        TEST(memory_of_kept_states_stays_too),
        TEST(what_old_commits_changed_is_forgotten_when_nobody_can_ask_for_it),
        TEST(what_is_forgotten_is_told_by_the_rows_when_it_is_asked_for_after_all),
        TEST(what_a_fork_removed_stays_removed_whatever_is_squashed),
        TEST(a_dropped_branch_goes_and_what_was_forked_from_it_stays),
        TEST(a_branch_that_was_just_dropped_stays_for_its_readers),
        TEST(the_forks_of_old_conflicts_go),
        TEST(a_branch_that_only_has_such_a_name_is_a_users),
        TEST(a_commit_that_gc_did_not_see_keeps_its_branch),
        TEST(a_record_that_its_run_does_not_tell_of_stays),
        TEST(content_of_a_file_that_came_back_outlives_gc),
        TEST(the_fork_of_a_conflict_that_is_worked_on_stays),
        TEST(sixteen_writers_and_readers_never_notice_gc),
        TEST(a_thousand_forks_of_a_big_tree_are_one_short_command),
    };
    return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
