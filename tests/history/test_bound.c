/* What is counted as stored bounds what the disk holds: random work of one kind, and of all kinds,
 * then the bytes of the files, or of the server's tables, are held against the count. A line for
 * each kind tells by how much. CIS_BOUND_BYTES: how much is stored of each kind. */
#include "fixture.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "history/maintain.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

/* docs/filesystem.md says this to operators. */
#define FACTOR 3
#define BESIDE ((uint64_t)2 << 20) /* tables and indexes without a row */
#define SLACK ((uint64_t)1 << 20)  /* of one kind: pages that are begun */
#define LOG_MOST ((uint64_t)24 << 20)

struct work {
    struct fx *fx;
    uint32_t random;
    int n;
};

static uint32_t pick(struct work *w, uint32_t below)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

static const char *name(struct work *w, char *out, size_t cap, uint32_t among, size_t len)
{
    int n = snprintf(out, cap, "d%u/", pick(w, 5));
    uint32_t id = pick(w, among);
    n +=
        snprintf(out + n, cap - (size_t)n, "%x", id * 2654435761u); /* nowhere near its neighbour */
    while ((size_t)n < len + 3 && (size_t)n + 1 < cap) {
        out[n++] = 'n';
    }
    out[n] = 0;
    return out;
}

static void file(struct work *w, uint32_t among, size_t name_len, uint32_t len)
{
    char path[512];
    uint8_t *data = malloc(len + 1);
    cis_random_bytes(data, len); /* nothing packs it */
    fx_write(w->fx, "main", name(w, path, sizeof path, among, name_len), data, len);
    free(data);
}

static void empty_files(struct work *w)
{
    file(w, 1000000, 1, 0);
}
static void long_names(struct work *w)
{
    file(w, 1000000, 250, 0);
}
static void small_files(struct work *w)
{
    file(w, 1000000, 8, 1 + pick(w, 1024));
}
static void overwritten_files(struct work *w)
{
    file(w, 50, 8, 1 + pick(w, 1024));
}
static void files_of_a_block(struct work *w)
{
    file(w, 1000000, 8, 1025 + pick(w, 8000));
}
static void large_files(struct work *w)
{
    file(w, 1000, 8, pick(w, 300000));
}

static void memory(struct work *w, const char *letters, uint32_t nletters, uint32_t len)
{
    char key[64], *value = malloc(len + 1);
    for (uint32_t i = 0; i < len; i++) {
        value[i] = letters[pick(w, nletters)];
    }
    value[len] = 0;
    snprintf(key, sizeof key, "key-%u", pick(w, 100000));
    fx_memory(w->fx, "main", key, value);
    free(value);
}
static void short_memory(struct work *w)
{
    memory(w, "abcdefghijklmnopqrstuvwxyz ", 27, 1 + pick(w, 40));
}
static void long_memory(struct work *w)
{
    static const char all[] = "abcdefghijklmnopqrstuvwxyz 0123456789.,;:!?+-*/()[]{}";
    memory(w, all, sizeof all - 1, pick(w, 20000));
}

static void records(struct work *w)
{
    static char report[20000];
    struct cis_run_row run = {.skill = CIS_STR("file:x"), .status = CIS_STR("ok")};
    snprintf(run.id, sizeof run.id, "01KAJ2ABCDEFGHJKM%09d", w->n);
    size_t n = 2 + pick(w, sizeof report - 2);
    memset(report, ' ', sizeof report);
    report[0] = '{';
    report[n - 1] = '}';
    run.report = (struct cis_str){report, n};
    struct cis_store_commit commit = {.run = &run};
    assert_ok(cis_store_commit(w->fx->store, w->fx->h.tenant, &commit, NULL, err));
}

static void names_of_states(struct work *w)
{
    char text[CIS_FS_REF_MAX + 1];
    memset(text, 'r', sizeof text - 1);
    text[sizeof text - 1] = 0;
    int n = snprintf(text, 32, "%d", w->n);
    text[n] = 'r';
    text[20 + pick(w, 100)] = 0;
    if (pick(w, 2) == 0) {
        fx_fork(w->fx, fx_head(w->fx, "main"), text);
    } else {
        fx_snapshot(w->fx, fx_head(w->fx, "main"), text);
    }
}

typedef void maker(struct work *w);
static const struct kind {
    const char *name;
    maker *make;
} kinds[] = {{"empty files", empty_files},
             {"long names", long_names},
             {"small files", small_files},
             {"overwritten files", overwritten_files},
             {"files of a block", files_of_a_block},
             {"large files", large_files},
             {"short memory", short_memory},
             {"long memory", long_memory},
             {"records", records},
             {"names of states", names_of_states}};
#define NKINDS (sizeof kinds / sizeof *kinds)

static void anything(struct work *w)
{
    kinds[pick(w, NKINDS)].make(w);
}

/* ---- measuring ---- */
static uint64_t stored(struct fx *fx)
{
    struct cis_tenant t;
    assert_ok(cis_store_tenant_get(fx->store, fx->h.tenant, &t, NULL, err));
    return t.stored;
}

static uint64_t file_bytes(struct fx *fx, const char *end)
{
    char path[700];
    struct stat st;
    snprintf(path, sizeof path, "%s/tenants/" CIS_STR_FMT "%s", fx->dir, CIS_STR_ARG(fx->h.tenant),
             end);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/* What the database is when its log is folded in. */
static uint64_t database_bytes(struct fx *fx)
{
    char path[700];
    sqlite3 *db;
    sqlite3_stmt *st;
    snprintf(path, sizeof path, "%s/tenants/" CIS_STR_FMT ".db", fx->dir,
             CIS_STR_ARG(fx->h.tenant));
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA page_count", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    uint64_t pages = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return pages * 8192;
}

static uint64_t table_bytes(struct fx *fx)
{
    PGconn *conn = PQconnectdb(fx->url);
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    PGresult *res = PQexec(conn, "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c "
                                 "WHERE c.relnamespace = 'cis'::regnamespace AND relkind = 'r'");
    assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
    uint64_t bytes = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    PQfinish(conn);
    return bytes;
}

static uint64_t real_bytes(struct fx *fx)
{
    if (!fx_is_sqlite()) {
        return table_bytes(fx);
    }
    assert_true(file_bytes(fx, ".db-wal") <= LOG_MOST);
    return database_bytes(fx) + file_bytes(fx, ".chunks");
}

static uint64_t goal(void)
{
    const char *text = getenv("CIS_BOUND_BYTES");
    return text != NULL ? strtoull(text, NULL, 10) : 300000;
}

static void work(struct work *w, const char *what, maker *make)
{
    struct cis_retention keep = {.runs = 0, .grace_ms = 1};
    struct cis_gc_counts counts;
    uint64_t from = stored(w->fx), most = 0, began = cis_clock_mono_ns();
    uint64_t before = real_bytes(w->fx);
    while (stored(w->fx) < from + goal() && cis_clock_mono_ns() - began < 20 * CIS_NS_PER_S) {
        make(w);
        w->n++;
    }
    most = stored(w->fx);
    uint64_t real = real_bytes(w->fx);
    usleep(5000);
    assert_ok(cis_history_gc(&w->fx->h, &keep, &counts, err));
    uint64_t after = real_bytes(w->fx);
    print_message("%-18s %8" PRIu64 " KiB counted, %8" PRIu64 " KiB more on the disk, %8" PRIu64
                  " after gc, %" PRIu64 " counted\n",
                  what, (most - from) / 1024, (real - before) / 1024, (after - before) / 1024,
                  stored(w->fx) / 1024);
    assert_true(real <= before + FACTOR * (most - from) + SLACK);
    assert_true(after <= FACTOR * most + BESIDE);
}

static void what_is_counted_bounds_what_the_disk_holds(void **state)
{
    struct work w = {.fx = *state, .random = 1};
    fx_text(w.fx, "main", "first", "x");
    for (size_t i = 0; i < NKINDS; i++) {
        work(&w, kinds[i].name, kinds[i].make);
    }
    for (int i = 0; i < 3; i++) {
        work(&w, "anything", anything);
    }
    fx_whole(w.fx);
}

/* ---- again and again ---- */
static PGresult *ask(struct fx *fx, const char *sql)
{
    PGconn *conn = PQconnectdb(fx->url);
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    PGresult *res = PQexec(conn, sql);
    assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
    assert_int_equal(PQntuples(res), 1);
    PQfinish(conn);
    return res;
}

/* The server's vacuum comes by itself: `after` is a time of the server. */
static void wait_for_vacuum(struct fx *fx, const char *after)
{
    char sql[300];
    bool done = false;
    snprintf(sql, sizeof sql,
             "SELECT coalesce(last_autovacuum > '%s', false) FROM pg_stat_all_tables WHERE relid ="
             " (SELECT reltoastrelid FROM pg_class WHERE oid = 'cis.chunk'::regclass)",
             after);
    for (int i = 0; !done && i < 600; i++) {
        PGresult *res = ask(fx, sql);
        done = PQgetvalue(res, 0, 0)[0] == 't';
        PQclear(res);
        usleep(done ? 0 : 100000);
    }
    assert_true(done);
}

static void what_is_overwritten_and_freed_again_and_again_does_not_add_up(void **state)
{
    enum { ROUNDS = 6, WRITES = 100, LEN = 40000 };
    static uint8_t data[LEN];
    struct fx *fx = *state;
    struct cis_retention keep = {.runs = 0, .grace_ms = 1};
    struct cis_gc_counts counts;
    uint64_t most = 0, all = 0;
    if (!fx_is_sqlite()) { /* not once a minute: this is no test of a minute */
        pgcluster_run(fx_cluster(), "postgres", "ALTER SYSTEM SET autovacuum_naptime = '1s'");
        pgcluster_run(fx_cluster(), "postgres", "SELECT pg_reload_conf()");
    }
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < WRITES; k++) {
            cis_random_bytes(data, sizeof data);
            fx_write(fx, "main", "file", data, sizeof data);
        }
        all += (uint64_t)WRITES * LEN;
        most = stored(fx) > most ? stored(fx) : most;
        usleep(5000);
        PGresult *now = fx_is_sqlite() ? NULL : ask(fx, "SELECT clock_timestamp()");
        assert_ok(cis_history_gc(&fx->h, &keep, &counts, err));
        if (now != NULL) {
            wait_for_vacuum(fx, PQgetvalue(now, 0, 0));
            PQclear(now);
        }
    }
    uint64_t real = real_bytes(fx);
    print_message("%" PRIu64 " KiB written, at most %" PRIu64 " counted, %" PRIu64
                  " on the disk, %" PRIu64 " counted\n",
                  all / 1024, most / 1024, real / 1024, stored(fx) / 1024);
    assert_true(FACTOR * most + BESIDE < all); /* else this shows nothing */
    assert_true(real <= FACTOR * most + BESIDE);
    fx_whole(fx);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_counted_bounds_what_the_disk_holds, fx_setup,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(
            what_is_overwritten_and_freed_again_and_again_does_not_add_up, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests_name("bound", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
