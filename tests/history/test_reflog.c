/* What names pointed at, undo and redo. */
#include "fixture.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <inttypes.h>
#include <pthread.h>
#include <unistd.h>
#include "base/clock.h"
#include "history/maintain.h"
#include "store/calls.h"

static void views_are_the_same(struct cis_view a, struct cis_view b)
{
    assert_int_equal(a.branch, b.branch);
    assert_int_equal(a.epoch, b.epoch);
}

static bool add_name(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *inode)
{
    (void)inode;
    cis_buf_str(self, d->name);
    cis_buf_byte(self, ' ');
    return true;
}

static void names_are(struct fx *fx, struct cis_view view, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    assert_ok(
        cis_store_list(fx->store, fx->h.tenant,
                       &(struct cis_fs_list_query){view, CIS_FS_ROOT, CIS_STR(""), 1000, false},
                       add_name, &text, NULL, err));
    assert_string_equal(cis_buf_cstr(&text), expected);
}

/* ---- names of states ---- */
static void a_rollback_is_followed_by_one_to_the_newer_state(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "b", "2");
    fx_text(fx, "main", "c", "3");
    struct cis_view three = fx_head(fx, "main");
    assert_ok(fx_back_to(fx, "main", "main@1", err));
    names_are(fx, fx_head(fx, "main"), "a ");
    views_are_the_same(fx_rev(fx, "main@{1}"), three);
    views_are_the_same(fx_rev(fx, "@{1}"), three);
    views_are_the_same(fx_rev(fx, "main@{1}~1"), (struct cis_view){three.branch, 2});
    assert_ok(fx_back_to(fx, "main", "main@2", err)); /* above the head: from the reflog */
    names_are(fx, fx_head(fx, "main"), "a b ");
    assert_ok(fx_back_to(fx, "main", "@3", err));
    names_are(fx, fx_head(fx, "main"), "a b c ");
    assert_ok(fx_back_to(fx, "main", "main@1", err));
    fx_text(fx, "main", "d", "4"); /* the branch has a newer commit 2 */
    names_are(fx, fx_rev(fx, "main@2"), "a d ");
    names_are(fx, fx_rev(fx, "main@3"), "a b c ");
    names_are(fx, fx_rev(fx, "main@{4}"), "a b c ");
    fx_whole(fx);
}

static void a_state_that_the_reflog_lacks_is_named_in_the_error(void **state)
{
    struct fx *fx = *state;
    struct cis_rev out;
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "b", "2");
    assert_fails(CIS_E_NOTFOUND, "main@{1}: the reflog has 0 entries",
                 cis_history_resolve(&fx->h, CIS_STR("main@{1}"), &out, err));
    assert_ok(fx_back_to(fx, "main", "main@1", err));
    assert_fails(CIS_E_NOTFOUND, "main@{2}: the reflog has 1 entries",
                 cis_history_resolve(&fx->h, CIS_STR("main@{2}"), &out, err));
    assert_fails(CIS_E_NOTFOUND, "main@3: main is at 1",
                 cis_history_resolve(&fx->h, CIS_STR("main@3"), &out, err));
    static const char *const odd[] = {"main@{}",
                                      "main@{-1}",
                                      "main@{1",
                                      "main@{x}",
                                      "main@{ 1}",
                                      "@{}",
                                      "main@{99999999999999999999}"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct cis_error why = {0};
        cis_code code = cis_history_resolve(&fx->h, cis_str_of(odd[i]), &out, &why);
        assert_true(code == CIS_E_USAGE || code == CIS_E_NOTFOUND);
        assert_non_null(strstr(why.msg, odd[i]));
    }
    assert_fails(CIS_E_NOTFOUND, "none@{1}",
                 cis_history_resolve(&fx->h, CIS_STR("none@{1}"), &out, err));
    assert_fails(CIS_E_NOTFOUND, "x y@{1}",
                 cis_history_resolve(&fx->h, CIS_STR("x y@{1}"), &out, err));
    assert_fails(CIS_E_NOTFOUND, "none@{0}",
                 cis_history_resolve(&fx->h, CIS_STR("none@{0}"), &out, err));
    views_are_the_same(fx_rev(fx, "main@{0}"), fx_head(fx, "main"));
}

static void a_dropped_branch_is_named_and_forked_again(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "a", "1");
    fx_fork(fx, fx_head(fx, "main"), "try@home");
    fx_text(fx, "try@home", "b", "2");
    struct cis_view last = fx_head(fx, "try@home");
    assert_ok(cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("try@home"), CIS_STR("drop"),
                                   NULL, err));
    views_are_the_same(fx_rev(fx, "try@home@{1}"), last);
    struct cis_rev rev;
    assert_ok(cis_history_resolve(&fx->h, CIS_STR("try@home@{1}"), &rev, err));
    assert_string_equal(rev.ref, ""); /* no branch that could be written to */
    fx_fork(fx, last, "try@home");
    names_are(fx, fx_head(fx, "try@home"), "a b ");
    views_are_the_same(fx_rev(fx, "try@home@{1}"), last);
}

struct seen {
    char text[4096];
};

static bool see_entry(void *self, const struct cis_history_reflog *e)
{
    struct seen *s = self;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof s->text - n,
             "%s@{%" PRIu64 "} @%" PRIu64 " %.*s %" PRId64 " %.*s\n", e->ref, e->n, e->view.epoch,
             e->commit != NULL ? (int)e->commit->note.len : 1,
             e->commit != NULL ? e->commit->note.ptr : "-", e->paths, (int)e->why.len, e->why.ptr);
    assert_true((e->n == 0) == (e->left_ms == 0));
    return true;
}

static void the_reflog_lists_where_a_branch_was(void **state)
{
    struct fx *fx = *state;
    struct seen s = {""};
    assert_ok(cis_history_reflog(&fx->h, CIS_STR(""), 0, see_entry, &s, err));
    assert_string_equal(s.text, "main@{0} @0 - -1 \n");
    fx_text(fx, "main", "d/a", "1");
    fx_text(fx, "main", "b", "2");
    assert_ok(fx_back_to(fx, "main", "main@1", err));
    fx_text(fx, "main", "c", "3");
    assert_ok(fx_back_to(fx, "main", "main@{1}", err));
    s.text[0] = 0;
    assert_ok(cis_history_reflog(&fx->h, CIS_STR("main"), 0, see_entry, &s, err));
    assert_string_equal(s.text, "main@{0} @2 b 1 \nmain@{1} @2 c 1 main@{1}\n"
                                "main@{2} @2 b 1 main@1\n");
    s.text[0] = 0;
    assert_ok(cis_history_reflog(&fx->h, CIS_STR("main"), 2, see_entry, &s, err));
    assert_string_equal(s.text, "main@{0} @2 b 1 \nmain@{1} @2 c 1 main@{1}\n");
    assert_fails(CIS_E_NOTFOUND, "none: no such branch",
                 cis_history_reflog(&fx->h, CIS_STR("none"), 0, see_entry, &s, err));
    assert_fails(CIS_E_NOTFOUND, "not a valid name for a branch",
                 cis_history_reflog(&fx->h, CIS_STR("@main "), 0, see_entry, &s, err));
}

static void gc_lets_the_reflog_go_by_age(void **state)
{
    struct fx *fx = *state;
    struct cis_gc_counts counts;
    struct cis_rev out;
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "b", "2");
    assert_ok(fx_back_to(fx, "main", "main@1", err));
    struct cis_retention keep = {.age_ms = 3600 * 1000, .grace_ms = 1};
    usleep(3000);
    assert_ok(cis_history_gc(&fx->h, &keep, &counts, err));
    names_are(fx, fx_rev(fx, "main@{1}"), "a b ");
    keep = (struct cis_retention){.grace_ms = 1, .dry_run = true};
    assert_ok(cis_history_gc(&fx->h, &keep, &counts, err));
    names_are(fx, fx_rev(fx, "main@{1}"), "a b ");
    keep.dry_run = false;
    assert_ok(cis_history_gc(&fx->h, &keep, &counts, err));
    assert_fails(CIS_E_NOTFOUND, "0 entries",
                 cis_history_resolve(&fx->h, CIS_STR("main@{1}"), &out, err));
    names_are(fx, fx_head(fx, "main"), "a ");
    fx_whole(fx);
}

/* A loop of rollbacks to the head made a branch each time, with all its ancestors. */
static void a_rollback_to_the_head_makes_no_branch(void **state)
{
    struct fx *fx = *state;
    struct cis_branches branches = {0};
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "f%d", i);
        fx_text(fx, "main", name, "x");
        assert_ok(fx_back_to(fx, "main", "main", err));
    }
    assert_ok(cis_branches_load(&fx->h, &branches, err));
    assert_int_equal(branches.n, 1);
    cis_branches_done(&branches);
}

/* ---- undo and redo ---- */
static cis_code undo(struct fx *fx, const char *rev, struct cis_history_turn *turn,
                     struct cis_error *err)
{
    struct cis_history_commit how = {.ref = CIS_STR("main"), .turn = turn};
    struct cis_history_done done;
    struct cis_rev commit = {.view = {0, 0}};
    if (rev != NULL) {
        CIS_TRY(cis_history_resolve(&fx->h, cis_str_of(rev), &commit, err));
    }
    return cis_history_undo(&fx->h, commit.view, &how, &done, err);
}

static cis_code redo(struct fx *fx, struct cis_history_turn *turn, struct cis_error *err)
{
    struct cis_history_commit how = {.ref = CIS_STR("main"), .turn = turn};
    struct cis_history_done done;
    return cis_history_redo(&fx->h, &how, &done, err);
}

static void main_has(struct fx *fx, const char *names)
{
    names_are(fx, fx_head(fx, "main"), names);
}

static void each_undo_goes_further_back_and_each_redo_comes_forward(void **state)
{
    struct fx *fx = *state;
    struct cis_history_turn turn;
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "b", "2");
    fx_text(fx, "main", "c", "3");
    assert_fails(CIS_E_NOTFOUND, "nothing to redo", redo(fx, &turn, err));
    assert_ok(undo(fx, NULL, &turn, err));
    assert_string_equal(turn.note, "c");
    assert_string_equal(turn.kind, "fs");
    assert_int_equal(turn.commit.epoch, 3);
    main_has(fx, "a b ");
    assert_ok(undo(fx, NULL, &turn, err));
    assert_string_equal(turn.note, "b");
    main_has(fx, "a ");
    assert_ok(redo(fx, &turn, err));
    assert_string_equal(turn.note, "b");
    main_has(fx, "a b ");
    assert_ok(undo(fx, NULL, &turn, err));
    assert_string_equal(turn.note, "b");
    assert_ok(undo(fx, NULL, &turn, err));
    assert_string_equal(turn.note, "a");
    main_has(fx, "");
    assert_fails(CIS_E_NOTFOUND, "nothing to undo", undo(fx, NULL, &turn, err));
    for (const char *c = "abc"; *c != 0; c++) {
        assert_ok(redo(fx, &turn, err));
        assert_true(turn.note[0] == *c && turn.note[1] == 0);
    }
    main_has(fx, "a b c ");
    assert_fails(CIS_E_NOTFOUND, "nothing to redo", redo(fx, &turn, err));
    fx_whole(fx);
}

static void a_commit_ends_what_can_be_redone(void **state)
{
    struct fx *fx = *state;
    struct cis_history_turn turn;
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "b", "2");
    assert_ok(undo(fx, NULL, &turn, err));
    fx_text(fx, "main", "c", "3");
    assert_fails(CIS_E_NOTFOUND, "@4", redo(fx, &turn, err));
    assert_ok(undo(fx, NULL, &turn, err));
    assert_string_equal(turn.note, "c");
    assert_ok(undo(fx, NULL, &turn, err)); /* b is taken back already */
    assert_string_equal(turn.note, "a");
    main_has(fx, "");
    assert_ok(redo(fx, &turn, err));
    assert_ok(redo(fx, &turn, err));
    main_has(fx, "a c ");
    assert_ok(undo(fx, "main@3", &turn, err)); /* the undo of b, by name */
    assert_string_equal(turn.note, "b");
    main_has(fx, "a b c ");
    assert_ok(undo(fx, NULL, &turn, err));
    assert_string_equal(turn.note, "c");
}

static void an_undo_whose_work_is_gone_already_is_passed_by_the_next(void **state)
{
    struct fx *fx = *state;
    struct cis_history_turn turn;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "restore"};
    struct cis_history_done done;
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "b", "2");
    fx_text(fx, "main", "b", "3");
    /* By a restore b is what it was: taking the restore back and forth, its own undo is no news. */
    assert_ok(cis_history_restore(&fx->h, (struct cis_view){1, 2}, CIS_STR("b"), &how, &done, err));
    assert_ok(undo(fx, NULL, &turn, err));
    assert_string_equal(turn.kind, "restore");
    assert_ok(undo(fx, NULL, &turn, err));
    assert_int_equal(turn.commit.epoch, 3);
    assert_ok(redo(fx, &turn, err));
    assert_ok(undo(fx, "main@3", &turn, err));
    assert_ok(undo(fx, NULL, &turn, err));
    assert_int_equal(turn.commit.epoch, 2);
    assert_ok(undo(fx, NULL, &turn, err));
    assert_int_equal(turn.commit.epoch, 1);
    main_has(fx, "");
    fx_whole(fx);
}

/* Only the kind says that a commit is an undo, and no user or guest gives one. */
static void a_note_cannot_pass_for_an_undo(void **state)
{
    struct fx *fx = *state;
    struct cis_history_turn turn;
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "undo of @1: a [undoes 1@1]", "x"); /* the note is the path */
    fx_text(fx, "main", "redo [redoes 1@1]", "x");
    assert_fails(CIS_E_NOTFOUND, "nothing to redo", redo(fx, &turn, err));
    assert_ok(undo(fx, NULL, &turn, err));
    assert_int_equal(turn.commit.epoch, 3);
    assert_ok(undo(fx, NULL, &turn, err));
    assert_int_equal(turn.commit.epoch, 2);
    assert_ok(undo(fx, NULL, &turn, err));
    assert_int_equal(turn.commit.epoch, 1);
    main_has(fx, "");
    /* Nor does what the commit says that is taken back end up as the mark. */
    assert_ok(redo(fx, &turn, err));
    assert_int_equal(turn.commit.epoch, 1);
    assert_ok(redo(fx, &turn, err));
    assert_int_equal(turn.commit.epoch, 2);
    assert_ok(redo(fx, &turn, err));
    assert_int_equal(turn.commit.epoch, 3);
}

static bool take_note(void *self, const struct cis_fs_commit_row *row)
{
    snprintf(self, CIS_FS_NOTE_MAX + 1, "%.*s", (int)row->note.len, row->note.ptr);
    return false;
}

static void the_mark_survives_a_note_of_any_length(void **state)
{
    struct fx *fx = *state;
    char note[CIS_FS_NOTE_MAX + 1], said[CIS_FS_NOTE_MAX + 400];
    struct cis_history_turn turn;
    memset(said, ']', sizeof said - 1);
    said[sizeof said - 1] = 0;
    fx_text(fx, "main", "a", "1");
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = said, .turn = &turn};
    struct cis_history_done done;
    assert_ok(cis_history_undo(&fx->h, (struct cis_view){0, 0}, &how, &done, err));
    assert_ok(cis_history_log(&fx->h, done.at.view, 1, false, take_note, note, err));
    assert_true(strlen(note) <= CIS_FS_NOTE_MAX);
    assert_string_equal(note + strlen(note) - 14, "] [undoes 1@1]");
    assert_ok(redo(fx, &turn, err));
    main_has(fx, "a ");
}

struct racer {
    struct fx *fx;
    int done, nothing;
};

static void *undo_often(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < 4; i++) {
        struct cis_error why = {0};
        struct cis_history_turn turn;
        cis_code code = undo(r->fx, NULL, &turn, &why);
        if (code != CIS_OK && code != CIS_E_CONFLICT) {
            print_error("undo: %s\n", why.msg);
        }
        assert_true(code == CIS_OK || code == CIS_E_CONFLICT);
        r->done += code == CIS_OK;
    }
    return NULL;
}

static void undos_that_race_take_back_one_commit_each(void **state)
{
    enum { THREADS = 3, COMMITS = 16 };
    struct fx *fx = *state;
    struct racer racers[THREADS];
    pthread_t threads[THREADS];
    struct cis_history_turn turn;
    char name[16];
    int done = 0;
    for (int i = 0; i < COMMITS; i++) {
        snprintf(name, sizeof name, "%c", 'a' + i);
        fx_text(fx, "main", name, "x");
    }
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.fx = fx};
        assert_int_equal(pthread_create(&threads[i], NULL, undo_often, &racers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        done += racers[i].done;
    }
    assert_true(done > 0);
    char expected[2 * COMMITS + 1] = "";
    for (int i = 0; i < COMMITS - done; i++) {
        expected[2 * i] = (char)('a' + i);
        expected[2 * i + 1] = ' ';
    }
    main_has(fx, expected);
    for (int i = 0; i < done; i++) {
        assert_ok(redo(fx, &turn, err));
    }
    assert_fails(CIS_E_NOTFOUND, "nothing to redo", redo(fx, &turn, err));
}

static uint64_t stored_now(struct fx *fx)
{
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(fx->store, fx->h.tenant, &tenant, NULL, err));
    return tenant.stored;
}

/* From here on the tenant may store nothing more. */
static uint64_t use_up(struct fx *fx)
{
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(fx->store, fx->h.tenant, &tenant, NULL, err));
    tenant.quota_stored = tenant.stored;
    assert_ok(cis_store_tenant_quota(fx->store, fx->h.tenant, &tenant, NULL, err));
    return tenant.quota_stored;
}

static cis_code set_memory(struct fx *fx, struct cis_error *err)
{
    struct cis_kv_op op = {
        .ns = CIS_STR("skill"), .key = CIS_STR("more"), .value = cis_bytes_of("x", 1)};
    struct cis_store_commit commit = {.kv = &op, .nkv = 1, .ref = CIS_STR("main")};
    return cis_store_commit(fx->store, fx->h.tenant, &commit, NULL, err);
}

static void who_has_used_up_what_may_be_stored_can_undo_and_redo(void **state)
{
    struct fx *fx = *state;
    struct cis_history_turn turn;
    fx_memory(fx, "main", "key", "before");
    fx_memory(fx, "main", "key", "after");
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "b", "2");
    fx_remove(fx, "main", "a");
    use_up(fx);
    assert_fails(CIS_E_QUOTA, "remove something", set_memory(fx, err));
    assert_ok(undo(fx, NULL, &turn, err)); /* brings a back */
    main_has(fx, "a b ");
    use_up(fx);
    assert_ok(redo(fx, &turn, err));
    main_has(fx, "b ");
    use_up(fx);
    for (int i = 0; i < 4; i++) { /* the last one is of memory */
        assert_ok(undo(fx, NULL, &turn, err));
    }
    main_has(fx, "");
    fx_whole(fx);
    assert_fails(CIS_E_QUOTA, "remove something", set_memory(fx, err));
}

static void undo_and_redo_without_end_leave_room_to_remove(void **state)
{
    struct fx *fx = *state;
    struct cis_history_turn turn;
    cis_code code = CIS_OK;
    int n = 0;
    fx_text(fx, "main", "b", "2");
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "a", "2");
    uint64_t quota = use_up(fx);
    for (; code == CIS_OK && n < 5000; n += code == CIS_OK) {
        code = n % 2 == 0 ? undo(fx, NULL, &turn, NULL) : redo(fx, &turn, NULL);
    }
    assert_int_equal(code, CIS_E_QUOTA);
    assert_true(n > 100);
    assert_true(stored_now(fx) <= quota / 2 * 3 + 1 + (768u << 10));
    fx_remove(fx, "main", "b");
    main_has(fx, "a ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

/* As if the branch descended from n others, each made of the one before. */
static void deepen(struct fx *fx, uint64_t branch, unsigned n)
{
    char text[512], path[700];
    if (fx_is_sqlite()) {
        sqlite3 *db;
        snprintf(path, sizeof path, "%s/tenants/" CIS_STR_FMT ".db", fx->dir,
                 CIS_STR_ARG(fx->h.tenant));
        snprintf(text, sizeof text,
                 "WITH RECURSIVE g (d) AS (SELECT 2 UNION ALL SELECT d + 1 FROM g WHERE d < %u) "
                 "INSERT INTO lineage (branch, depth, ancestor, max_epoch) "
                 "SELECT %llu, d, 1, 0 FROM g",
                 n, (unsigned long long)branch);
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        return;
    }
    PGconn *conn = PQconnectdb(fx->url);
    snprintf(text, sizeof text,
             "SELECT set_config('cis.tenant', cis.tenant_id('" CIS_STR_FMT "')::text, false);"
             "INSERT INTO cis.lineage (tenant, branch, depth, ancestor, max_epoch) "
             "SELECT l.tenant, l.branch, d, 1, 0 FROM cis.lineage l, generate_series(2, %u) d "
             "WHERE l.branch = %llu AND l.depth = 0",
             CIS_STR_ARG(fx->h.tenant), n, (unsigned long long)branch);
    PGresult *res = PQexec(conn, text);
    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        fail_msg("%s", PQresultErrorMessage(res));
    }
    PQclear(res);
    PQfinish(conn);
}

/* A loop of commits and rollbacks: each look-up would take as long as the loop is. */
static void a_branch_descends_from_so_many_and_there_is_a_way_on(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "a", "1");
    struct cis_view early = fx_head(fx, "main");
    fx_text(fx, "main", "b", "x");
    assert_ok(fx_back_to(fx, "main", "main^", err));
    fx_text(fx, "main", "a", "2");
    fx_text(fx, "main", "a", "3");
    struct cis_view head = fx_head(fx, "main");
    deepen(fx, head.branch, CIS_FS_LINEAGE_MAX - 1);
    assert_ok(fx_back_to(fx, "main", "main^", err)); /* of 1000 */
    assert_int_not_equal(fx_head(fx, "main").branch, head.branch);
    fx_text(fx, "main", "a", "4");
    fx_text(fx, "main", "a", "5");
    head = fx_head(fx, "main");
    assert_fails(CIS_E_LIMIT, "roll back to an old state first",
                 fx_back_to(fx, "main", "main^", err));
    assert_int_equal(fx_head(fx, "main").epoch, head.epoch);
    fx_fork(fx, head, "beside"); /* a little deeper */
    char text[64];
    snprintf(text, sizeof text, "main@%llu", (unsigned long long)early.epoch);
    assert_ok(fx_back_to(fx, "main", text, err));
    struct cis_history_commit how = {.ref = CIS_STR("main")};
    struct cis_history_done done;
    assert_ok(cis_history_restore(&fx->h, fx_rev(fx, "main@{1}"), CIS_STR("/"), &how, &done, err));
    char *is = fx_dump(&fx->h, fx_head(fx, "main")), *there = fx_dump(&fx->h, head);
    assert_string_equal(is, there);
    fx_text(fx, "main", "a", "6");
    assert_ok(fx_back_to(fx, "main", "main^", err));
    free(is);
    free(there);
}

/* Rows that say of whom a branch descends, its own included; of all branches: branch 0. */
#define ALL "SELECT count(*) FROM %slineage"
#define ONE ALL " WHERE branch = %llu"
static uint64_t lineage_rows(struct fx *fx, uint64_t branch)
{
    char text[400], path[700];
    if (fx_is_sqlite()) {
        sqlite3 *db;
        sqlite3_stmt *st;
        snprintf(path, sizeof path, "%s/tenants/" CIS_STR_FMT ".db", fx->dir,
                 CIS_STR_ARG(fx->h.tenant));
        snprintf(text, sizeof text, branch != 0 ? ONE : ALL, "", (unsigned long long)branch);
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        uint64_t n = (uint64_t)sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        sqlite3_close(db);
        return n;
    }
    PGconn *conn = PQconnectdb(fx->url);
    snprintf(text, sizeof text,
             "SELECT count(set_config('cis.tenant', cis.tenant_id('" CIS_STR_FMT
             "')::text, false))",
             CIS_STR_ARG(fx->h.tenant));
    PQclear(PQexec(conn, text));
    snprintf(text, sizeof text, branch != 0 ? ONE : ALL, "cis.", (unsigned long long)branch);
    PGresult *res = PQexec(conn, text);
    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        fail_msg("%s", PQresultErrorMessage(res));
    }
    uint64_t n = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    PQfinish(conn);
    return n;
}

static uint64_t stored(struct fx *fx)
{
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(fx->store, fx->h.tenant, &tenant, NULL, err));
    return tenant.stored;
}

static void tell(struct fx *fx, const char *what, unsigned n, uint64_t took, uint64_t had)
{
    struct cis_fsck_counts counts;
    uint64_t looped = cis_clock_mono_ns();
    assert_ok(cis_history_fsck(&fx->h, false, NULL, NULL, &counts, err));
    print_message("%u times %s: %llu ms, %llu rows, %llu bytes counted; fsck of %llu states: %llu "
                  "ms\n",
                  n, what, (unsigned long long)(took / CIS_NS_PER_MS),
                  (unsigned long long)lineage_rows(fx, 0), (unsigned long long)(stored(fx) - had),
                  (unsigned long long)counts.views,
                  (unsigned long long)((cis_clock_mono_ns() - looped) / CIS_NS_PER_MS));
    assert_int_equal(counts.faults, 0);
}

/* How often it is done: CIS_ROLLBACKS, for the figures in docs/filesystem.md. */
static unsigned rollbacks(void)
{
    const char *given = getenv("CIS_ROLLBACKS");
    return given != NULL ? (unsigned)strtoul(given, NULL, 10) : 12;
}

static void rollbacks_to_one_state_descend_from_it_alone(void **state)
{
    struct fx *fx = *state;
    struct cis_retention keep = {.runs = 1, .age_ms = 1, .grace_ms = 1};
    struct cis_gc_counts out;
    unsigned n = rollbacks();
    fx_text(fx, "main", "a", "0");
    uint64_t had = stored(fx), took = 0;
    for (unsigned i = 0; i < n; i++) {
        uint64_t since = cis_clock_mono_ns();
        fx_text(fx, "main", "a", "1");
        assert_ok(fx_back_to(fx, "main", "main^", err));
        took += cis_clock_mono_ns() - since;
        assert_int_equal(lineage_rows(fx, fx_head(fx, "main").branch), 2);
    }
    tell(fx, "a commit and a rollback to the state before it", n, took, had);
    usleep(20000);
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    assert_int_equal(lineage_rows(fx, 0), 3); /* of the first and the last branch */
}

static void a_rollback_that_keeps_a_commit_adds_one_to_whom_a_branch_descends_from(void **state)
{
    struct fx *fx = *state;
    unsigned n = rollbacks();
    fx_text(fx, "main", "a", "0");
    uint64_t had = stored(fx), took = 0;
    for (unsigned i = 1; i <= n; i++) {
        uint64_t since = cis_clock_mono_ns();
        fx_text(fx, "main", "a", "1");
        fx_text(fx, "main", "a", "2");
        uint64_t before = stored(fx);
        assert_ok(fx_back_to(fx, "main", "main^", err));
        took += cis_clock_mono_ns() - since;
        assert_int_equal(lineage_rows(fx, fx_head(fx, "main").branch), i + 1);
        assert_true(stored(fx) - before >= 128 * (i + 1)); /* whoever does it pays for it */
    }
    tell(fx, "two commits and a rollback behind the first", n, took, had);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rollback_is_followed_by_one_to_the_newer_state),
        TEST(a_state_that_the_reflog_lacks_is_named_in_the_error),
        TEST(a_dropped_branch_is_named_and_forked_again),
        TEST(the_reflog_lists_where_a_branch_was),
        TEST(gc_lets_the_reflog_go_by_age),
        TEST(a_rollback_to_the_head_makes_no_branch),
        TEST(rollbacks_to_one_state_descend_from_it_alone),
        TEST(a_rollback_that_keeps_a_commit_adds_one_to_whom_a_branch_descends_from),
        TEST(a_branch_descends_from_so_many_and_there_is_a_way_on),
        TEST(each_undo_goes_further_back_and_each_redo_comes_forward),
        TEST(a_commit_ends_what_can_be_redone),
        TEST(an_undo_whose_work_is_gone_already_is_passed_by_the_next),
        TEST(a_note_cannot_pass_for_an_undo),
        TEST(the_mark_survives_a_note_of_any_length),
        TEST(undos_that_race_take_back_one_commit_each),
        TEST(who_has_used_up_what_may_be_stored_can_undo_and_redo),
        TEST(undo_and_redo_without_end_leave_room_to_remove),
    };
    return cmocka_run_group_tests_name("reflog", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
