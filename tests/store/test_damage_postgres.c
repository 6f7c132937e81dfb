/* Flipped bits on a PostgreSQL server with checksums of its pages, and fsync on. The store of
 * rich.h is damaged at random, in what a chunk's row holds and in the files of its tables and
 * indexes; every single answer is then the one that was given before, or an error that says so.
 * Argument: rounds (default 2). */
#include "harness.h"

#include <fcntl.h>
#include <unistd.h>
#include "history/maintain.h"
#include "store/postgres/postgres.h"
#include "tools/pgcluster.h"
#include "contract.h"
#include "rich.h"
#include "store/calls.h"

#define PAGE 8192

/* So small a cache that what is read comes from the files. */
static const char settings[] = "fsync = on\nshared_buffers = 256kB\nautovacuum = off\n";

static int rounds = 2;
static struct pgcluster *cluster;
static unsigned seed;

static long pick(long range)
{
    return (long)((((uint64_t)rand_r(&seed) << 31) | (uint64_t)rand_r(&seed)) % (uint64_t)range);
}

struct fixture {
    char *url;
    PGconn *admin;
    struct rich rich;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char name[64];
    f->url = pgcluster_store(cluster);
    const char *db = strstr(f->url, "@/") + 2;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(db, "?"), db);
    f->admin = pgcluster_connect(cluster, "postgres", name);
    assert_ok(cis_store_postgres_open(f->url, NULL, &f->rich.s, NULL, err));
    rich_make(&f->rich);
    seed = test_seed();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->rich.s);
    PQfinish(f->admin);
    pgcluster_drop(cluster, f->url);
    free(f);
    return 0;
}

/* One statement; its result. */
static PGresult *ask(const struct fixture *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static PGresult *ask(const struct fixture *f, const char *fmt, ...)
{
    char text[1000];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    PGresult *res = PQexec(f->admin, text);
    ExecStatusType is = PQresultStatus(res);
    if (is != PGRES_TUPLES_OK && is != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", text, PQerrorMessage(f->admin));
    }
    return res;
}

static bool count_fault(void *self, const struct cis_fault *fault)
{
    (void)fault;
    (*(size_t *)self)++;
    return true;
}

static size_t fsck_faults(const struct fixture *f)
{
    struct cis_history h = {f->rich.s, T, NULL, 0};
    struct cis_fsck_counts counts;
    size_t n = 0;
    assert_ok(cis_history_fsck(&h, true, count_fault, &n, &counts, err));
    return n;
}

/* ---- a chunk's row ---- */
static void a_flipped_bit_of_a_chunk_costs_that_chunk_and_is_found(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = rich_begin(&f->rich);
    size_t refused = 0;
    /* A survey reads chunk 1 also for each file that has fewer than two. */
    PGresult *ids = ask(f, "SELECT id, length(data) FROM cis.chunk WHERE id > 1 ORDER BY id");
    assert_int_equal(fsck_faults(f), 0);
    for (int round = 0; round < rounds; round++) {
        int row = (int)pick(PQntuples(ids));
        const char *id = PQgetvalue(ids, row, 0);
        long bit = pick(8 * strtol(PQgetvalue(ids, row, 1), NULL, 10));
        char what[96], flip[160];
        snprintf(what, sizeof what, "round %d, bit %ld of chunk %s", round, bit, id);
        snprintf(flip, sizeof flip,
                 "UPDATE cis.chunk SET data = set_bit(data, %ld, 1 - get_bit(data, %ld)) "
                 "WHERE id = %s",
                 bit, bit, id);
        PQclear(ask(f, "%s", flip));
        rich_survey(&r->now, &f->rich, r->heads);
        size_t n = rich_check(&r->now, &r->before, what);
        assert_in_range(n, 0, 4); /* both branches may name it; every second file is asked for */
        refused += n;
        if (fsck_faults(f) == 0) {
            fail_msg("%s: fsck found nothing", what);
        }
        PQclear(ask(f, "%s", flip)); /* and back */
    }
    rich_survey(&r->now, &f->rich, r->heads);
    assert_int_equal(rich_check(&r->now, &r->before, "put right"), 0);
    assert_int_equal(fsck_faults(f), 0);
    print_message("%d bits of chunks: %zu answers refused, fsck found each\n", rounds, refused);
    PQclear(ids);
    free(r);
}

/* ---- a branch's ancestors ---- */
static void a_branch_whose_ancestors_are_not_its_parents_is_named(void **state)
{
    static const char *const wrong[][2] = {
        {"cis.lineage SET max_epoch = max_epoch + 1 WHERE depth = 1",
         "cis.lineage SET max_epoch = max_epoch - 1 WHERE depth = 1"},
        {"cis.lineage SET depth = 2 WHERE depth = 1", "cis.lineage SET depth = 1 WHERE depth = 2"},
        {"cis.branch SET parent = 0 WHERE id = 2", "cis.branch SET parent = 1 WHERE id = 2"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
        PQclear(ask(f, "UPDATE %s", wrong[i][0]));
        assert_ok(cis_store_check(f->rich.s, T, &faults, NULL, err));
        if (strstr(cis_buf_cstr(&faults),
                   "branch 2: its lineage does not match that of its parent\n") == NULL) {
            fail_msg("%s: \"%s\"", wrong[i][0], cis_buf_cstr(&faults));
        }
        PQclear(ask(f, "UPDATE %s", wrong[i][1]));
    }
    assert_int_equal(fsck_faults(f), 0);
}

/* ---- a page of a file ---- */
/* Those of the schema that have any: tables, their long values, indexes. */
static PGresult *files_of(const struct fixture *f)
{
    PQclear(ask(f, "VACUUM FREEZE ANALYZE"));
    PQclear(ask(f, "CHECKPOINT"));
    return ask(f, "SELECT current_setting('data_directory') || '/' || pg_relation_filepath(c.oid), "
                  "c.oid::regclass::text, pg_relation_size(c.oid), c.relkind FROM pg_class c "
                  "WHERE c.relkind IN ('r', 't', 'i') AND pg_relation_size(c.oid) > 0 "
                  "AND (c.relnamespace = 'cis'::regnamespace OR c.oid IN "
                  "(SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'cis'::regnamespace)) "
                  "AND c.relname NOT LIKE 'schema%%' AND c.relname NOT LIKE 'token%%' ORDER BY 2");
}

static long size_of(const PGresult *files, int row)
{
    return strtol(PQgetvalue(files, row, 2), NULL, 10);
}

static void flip(const char *path, long at, unsigned bit)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* The faults that the store's own check names, but for what the server counted before. */
static bool check_tells(const struct fixture *f)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    PQclear(ask(f, "SELECT pg_stat_reset()"));
    cis_code code = cis_store_check(f->rich.s, T, &faults, NULL, NULL);
    return code != CIS_OK || faults.len != 0;
}

static void flipped_bits_of_pages_are_never_a_wrong_answer(void **state)
{
    struct fixture *f = *state;
    PGresult *files = files_of(f);
    struct rich_run *r = rich_begin(&f->rich);
    size_t refused = 0, seen = 0, told = 0, rows = 0;
    long all = 0;
    for (int row = 0; row < PQntuples(files); row++) {
        all += size_of(files, row);
    }
    for (int round = 0; round < rounds; round++) {
        int row = 0;
        long at = pick(all);
        while (at >= size_of(files, row)) {
            at -= size_of(files, row++);
        }
        const char *path = PQgetvalue(files, row, 0);
        bool index = PQgetvalue(files, row, 3)[0] == 'i';
        unsigned bit = (unsigned)pick(8);
        char what[200];
        snprintf(what, sizeof what, "round %d, bit %u of %s at %ld, page %ld", round, bit,
                 PQgetvalue(files, row, 1), at, at / PAGE);
        flip(path, at, bit);
        rich_survey(&r->now, &f->rich, r->heads);
        size_t n = rich_check(&r->now, &r->before, what);
        refused += n;
        seen += n != 0;
        rows += !index;
        told += !index && check_tells(f);
        flip(path, at, bit);
    }
    rich_survey(&r->now, &f->rich, r->heads);
    assert_int_equal(rich_check(&r->now, &r->before, "put right"), 0);
    print_message("%d pages of %d files: %zu answers refused in %zu rounds; the check told of %zu "
                  "of %zu pages of rows\n",
                  rounds, PQntuples(files), refused, seen, told, rows);
    assert_true(rounds < 8 || seen > 0);
    assert_true(rounds < 8 || told * 10 >= rows * 9); /* a free page is not looked at */
    PQclear(files);
    free(r);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        rounds = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_of_a_chunk_costs_that_chunk_and_is_found),
        cmocka_unit_test(a_branch_whose_ancestors_are_not_its_parents_is_named),
        cmocka_unit_test(flipped_bits_of_pages_are_never_a_wrong_answer),
    };
    cluster = pgcluster_start(settings);
    int failed = cmocka_run_group_tests_name("store damage, PostgreSQL", tests, setup, teardown);
    pgcluster_stop(cluster);
    return failed;
}
