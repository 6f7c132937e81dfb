/* gc, stopped at every one of its statements while somebody else takes, hands on and gives back
 * what keeps a state: snapshots, forks, pins, readers of a published branch, merges. Whatever was
 * answered stays as it was answered.
 *
 * The other works through a store of its own, as another process would. SQLite tells each statement
 * of gc's connections (a statement of a transaction that writes is left out: nobody else can write
 * then, and what comes before and behind it is tried); libpq is asked for each by way of --wrap. On
 * PostgreSQL the other may have to wait for a lock of gc's; it gives up and tries again at the next
 * statement. CIS_BETWEEN_STEP: at every nth statement, 1: at each; else at few. CIS_BETWEEN_FROM:
 * the action to begin with. */
#include "fixture.h"

#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>
#include "history/maintain.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

enum {
    PIN_TO_SNAPSHOT,
    PIN_TO_FORK,
    PIN_TO_PIN,
    SNAPSHOT_TO_FORK,
    FORK_TO_SNAPSHOT,
    UNPIN,
    DROPPED_TO_SNAPSHOT,
    PUBLISHED,
    HEAD_TO_SNAPSHOT,
    MERGE,
    ACTIONS
};
static const char *const names[] = {
    "a snapshot instead of a pin",    "a fork instead of a pin",
    "a pin instead of a pin",         "a fork instead of a snapshot",
    "a snapshot instead of a fork",   "a pin given back",
    "a snapshot of a dropped branch", "a reader of a published head",
    "a snapshot of the last head",    "a merge"};

struct other {
    struct fx fx; /* through a store of its own */
    int action, calls, done;
    struct cis_view view; /* what it keeps in the end; branch 0: nothing */
    uint64_t pin, second;
    char *expected;
};
static struct {
    bool armed, inside;
    pthread_t thread;
    long n, at; /* statements so far; the other's turn */
    struct other *other;
} turn = {.at = -1};

/* One call of the action; they go on where one could not. */
static cis_code call(struct other *o, int n, struct cis_error *err)
{
    struct cis_store *s = o->fx.store;
    struct cis_str t = o->fx.h.tenant, name = CIS_STR("new"), held = CIS_STR("held");
    struct cis_fs_snapshot snap = {.name = "new", .view = o->view, .note = CIS_STR("")};
    struct cis_fs_ref ref;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    struct cis_kv_op op = {
        .ns = CIS_STR("skill"), .key = CIS_STR("k"), .value = {(const uint8_t *)"v", 1}};
    struct cis_store_commit commit = {.ref = CIS_STR("main"), .kv = &op, .nkv = 1};
    switch (o->action) {
    case PIN_TO_FORK:
    case SNAPSHOT_TO_FORK:
        if (n == 0) {
            return cis_store_fork(s, t, o->view, &name, 1, NULL, err);
        }
        return o->action == PIN_TO_FORK
                   ? cis_store_pin(s, t, &(struct cis_fs_pin_request){o->view, o->pin, 0},
                                   &o->second, NULL, err)
                   : cis_store_snapshot_remove(s, t, held, NULL, err);
    case PIN_TO_PIN:
        return n == 0 ? cis_store_pin(s, t, &(struct cis_fs_pin_request){o->view, 0, 600000},
                                      &o->second, NULL, err)
                      : cis_store_pin(s, t, &(struct cis_fs_pin_request){o->view, o->pin, 0},
                                      &o->pin, NULL, err);
    case UNPIN:
        return cis_store_pin(s, t, &(struct cis_fs_pin_request){o->view, o->pin, 0}, &o->second,
                             NULL, err);
    case PUBLISHED:
        if (n == 0) {
            cis_code code = cis_store_publish_check(
                s, t, &(struct cis_fs_publish_query){CIS_STR("main"), CIS_STR("reader"), 0, 600000},
                &ref, &o->second, NULL, err);
            o->view = code == CIS_OK ? ref.head : o->view;
            return code;
        }
        return cis_store_commit(s, t, &commit, NULL, err);
    case HEAD_TO_SNAPSHOT:
        return n == 0 ? cis_store_snapshot_put(s, t, &snap, NULL, err)
                      : cis_store_commit(s, t, &commit, NULL, err);
    case MERGE:
        return cis_history_merge(&o->fx.h, fx_head(&o->fx, "side"), &how, &done, err);
    default: /* a snapshot instead of what it was */
        if (n == 0) {
            return cis_store_snapshot_put(s, t, &snap, NULL, err);
        }
        return o->action == FORK_TO_SNAPSHOT
                   ? cis_store_ref_remove(s, t, held, CIS_STR(""), NULL, err)
                   : cis_store_pin(s, t, &(struct cis_fs_pin_request){o->view, o->pin, 0},
                                   &o->second, NULL, err);
    }
}

static void act(struct other *o, bool last)
{
    struct cis_error why = {0};
    while (o->done < o->calls) {
        cis_code code = call(o, o->done, &why);
        if ((code == CIS_E_EXISTS && o->done == 0) || (code == CIS_E_NOTFOUND && o->done == 1)) {
            code = CIS_OK; /* the answer to the try before was lost, not what it did */
        }
        if (code != CIS_OK && !last && !fx_is_sqlite() &&
            (code == CIS_E_DEADLINE || code == CIS_E_STORE || code == CIS_E_CONFLICT)) {
            return; /* gc holds the lock */
        }
        if (code != CIS_OK) {
            fail_msg("%s, call %d at statement %ld: %s: %s", names[o->action], o->done, turn.n,
                     cis_code_name(code), why.msg);
        }
        o->done++;
    }
}

static void statement(void)
{
    if (!turn.armed || turn.inside || !pthread_equal(turn.thread, pthread_self())) {
        return;
    }
    if (turn.n++ >= turn.at && turn.at >= 0 && turn.other->done < turn.other->calls) {
        turn.inside = true;
        act(turn.other, false);
        turn.inside = false;
    }
}

#ifdef FX_POSTGRES
int __real_PQsendQueryPrepared(PGconn *conn, const char *name, int n, const char *const *values,
                               const int *lengths, const int *formats, int format);
int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int n, const char *const *values,
                               const int *lengths, const int *formats, int format);
int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int n, const char *const *values,
                               const int *lengths, const int *formats, int format)
{
    statement();
    return __real_PQsendQueryPrepared(conn, name, n, values, lengths, formats, format);
}
#else
static int on_statement(unsigned what, void *self, void *st, void *text)
{
    (void)what;
    (void)self;
    (void)text;
    if (sqlite3_txn_state(sqlite3_db_handle(st), NULL) != SQLITE_TXN_WRITE) {
        statement();
    }
    return 0;
}

static int watch(sqlite3 *db, char **out_message, const struct sqlite3_api_routines *api)
{
    (void)out_message;
    (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, NULL);
}
#endif

/* ---- one time ---- */
static void big(struct fx *fx, const char *ref, const char *path, char c)
{
    char *text = malloc(100000);
    memset(text, c, 100000);
    fx_write(fx, ref, path, text, 100000);
    free(text);
}

static void scene(struct fx *fx, struct other *o)
{
    struct cis_store *s = fx->store;
    struct cis_str t = fx->h.tenant, reader = CIS_STR("reader"), held = CIS_STR("held");
    struct cis_view v, gone;
    fx->h.store->fs->tenant_create(s, t, 0, 0, NULL, NULL);
    big(fx, "main", "a", '1');
    fx_text(fx, "main", "d/b", "1");
    v = fx_head(fx, "main");
    big(fx, "main", "a", '2');
    fx_remove(fx, "main", "d");
    fx_text(fx, "main", "x", "1");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "y", "1");
    fx_fork(fx, fx_head(fx, "main"), "gone");
    big(fx, "gone", "z", '3');
    gone = fx_head(fx, "gone");
    fx_text(fx, "gone", "z", "4");
    fx_text(fx, "main", "x", "2");
    o->view = o->action == DROPPED_TO_SNAPSHOT                          ? gone
              : o->action == HEAD_TO_SNAPSHOT || o->action == PUBLISHED ? fx_head(fx, "main")
                                                                        : v;
    o->expected = fx_dump_exact(&fx->h, o->view);
    o->calls = o->action == UNPIN || o->action == MERGE ? 1 : 2;
    if (o->action == SNAPSHOT_TO_FORK) {
        fx_snapshot(fx, v, "held");
    } else if (o->action == FORK_TO_SNAPSHOT) {
        fx_fork(fx, v, "held");
    } else if (o->action == PUBLISHED) {
        assert_ok(cis_store_publish_put(s, t, CIS_STR("main"), &reader, 1, NULL, err));
    } else {
        assert_ok(cis_store_pin(s, t, &(struct cis_fs_pin_request){o->view, 0, 600000}, &o->pin,
                                NULL, err));
    }
    (void)held;
    assert_ok(cis_store_ref_remove(s, t, CIS_STR("gone"), CIS_STR(""), NULL, err));
}

static void collect(struct fx *fx)
{
    struct cis_retention keep = {.runs = 0, .grace_ms = 1, .batch = 3};
    struct cis_gc_counts out;
    usleep(2500);
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
}

static void check(struct other *o, struct fx *fx)
{
    if (o->action == MERGE) {
        assert_int_not_equal(fx_ino(fx, "main", "y"), 0);
    } else if (o->action != UNPIN) {
        char *now = fx_dump_exact(&fx->h, o->view);
        if (strcmp(now, o->expected) != 0) {
            fail_msg("%s at statement %ld:\n%s\nwas:\n%s", names[o->action], turn.at, now,
                     o->expected);
        }
        free(now);
    }
    fx_whole(fx);
}

/* How many statements there were. */
static long once(struct fx *fx, cis_store *second, int action, long at, unsigned n)
{
    char tenant[24];
    snprintf(tenant, sizeof tenant, "t%u", n);
    struct other o = {.fx = *fx, .action = action};
    fx->h.tenant = o.fx.h.tenant = cis_str_of(tenant);
    o.fx.store = o.fx.h.store = second;
    scene(fx, &o);
    turn.n = 0;
    turn.at = at;
    turn.other = &o;
    turn.thread = pthread_self();
    turn.armed = true;
    collect(fx);
    turn.armed = false;
    long statements = turn.n;
    act(&o, true);
    check(&o, fx);
    collect(fx);
    check(&o, fx);
    free(o.expected);
    assert_ok(cis_store_tenant_delete(fx->store, fx->h.tenant, NULL, err));
    return statements;
}

static void what_was_answered_during_gc_stays(void **state)
{
    struct fx *fx = *state;
    cis_store *second;
    struct cis_str reader = CIS_STR("reader");
    const char *every = getenv("CIS_BETWEEN_STEP"), *from = getenv("CIS_BETWEEN_FROM");
    unsigned n = 0;
#ifdef FX_POSTGRES
    struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
    o.commit_ms = 150;
    assert_ok(cis_store_postgres_open(fx->url, &o, &second, NULL, err));
#else
    assert_ok(cis_store_sqlite_open(fx->dir, &second, err));
#endif
    assert_ok(cis_store_tenant_create(fx->store, reader, 0, 0, NULL, err));
    for (int action = from != NULL ? (int)strtol(from, NULL, 10) : 0; action < ACTIONS; action++) {
        long statements = once(fx, second, action, -1, n++);
        long step = every != NULL ? strtol(every, NULL, 10) : statements / (fx_is_sqlite() ? 5 : 2);
        for (long at = action % step; at < statements; at += step) {
            once(fx, second, action, at, n++);
        }
        print_message("%s: %ld statements\n", names[action], statements);
    }
    print_message("%u collections with somebody in between\n", n);
    cis_store_close(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_answered_during_gc_stays),
    };
    return cmocka_run_group_tests_name("between", tests, NULL, NULL);
}

int main(void)
{
#ifndef FX_POSTGRES
    sqlite3_auto_extension((void (*)(void))watch);
#endif
    return fx_run(run);
}
