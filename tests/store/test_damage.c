/* Flipped bits and cut files. A store with a tree, contents in rows, in the database and in the
 * chunk file, versions, forks, snapshots and memory is damaged at random; every single answer is
 * then the one that was given before, or an error that says so. Argument: rounds (default 25). */
#include "harness.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/repair/repair.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "rich.h"
#include "store/calls.h"

#define FRAME (24 + 8192) /* of the log, behind its head of 32 bytes */
static int rounds = 25;
static uint64_t random_state;

static void seed(void)
{
    random_state = test_seed();
}

/* 0 <= n < range. */
static long pick(long range)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (long)((random_state >> 20) % (uint64_t)range);
}

struct fixture {
    char *dir;
    char db[512], chunks[512], wal[512], shm[512], mark[512], good_db[512], good_chunks[512];
    struct rich rich;
};

static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, CIS_SQL_VFS), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void copy(const char *from, const char *to)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(256u << 20);
    assert_ok(cis_file_read(from, &b, err));
    assert_ok(cis_file_write(to, cis_buf_bytes(&b), 0600, err));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->dir = test_dir_new();
    snprintf(f->db, sizeof f->db, "%s/tenants/default.db", f->dir);
    snprintf(f->wal, sizeof f->wal, "%s/tenants/default.db-wal", f->dir);
    snprintf(f->shm, sizeof f->shm, "%s/tenants/default.db-shm", f->dir);
    snprintf(f->mark, sizeof f->mark, "%s/tenants/default.db-mark", f->dir);
    snprintf(f->chunks, sizeof f->chunks, "%s/tenants/default.chunks", f->dir);
    snprintf(f->good_db, sizeof f->good_db, "%s/good.db", f->dir);
    snprintf(f->good_chunks, sizeof f->good_chunks, "%s/good.chunks", f->dir);
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    rich_make(&f->rich);
    cis_store_close(f->rich.s);
    f->rich.s = NULL;
    sql(f->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    copy(f->db, f->good_db);
    copy(f->chunks, f->good_chunks);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->rich.s != NULL) {
        cis_store_close(f->rich.s);
    }
    assert_ok(cis_file_remove_tree(f->dir, err));
    free(f->dir);
    free(f);
    return 0;
}

static cis_code write_one(cis_store *s, struct cis_error *err)
{
    struct cis_kv_op op = store_put("another", "key", "value");
    return store_apply(s, &op, 1, err);
}

/* ---- damage ---- */

static long size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (long)st.st_size;
}

static void flip(const char *path, long at, unsigned bit)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ 1 << bit, file);
    fclose(file);
}

static void restore(struct fixture *f)
{
    if (f->rich.s != NULL) {
        cis_store_close(f->rich.s);
        f->rich.s = NULL;
    }
    (void)unlink(f->wal);
    (void)unlink(f->shm);
    (void)unlink(f->mark);
    copy(f->good_db, f->db);
    copy(f->good_chunks, f->chunks);
}

static struct rich_run *begin(struct fixture *f)
{
    restore(f);
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    return rich_begin(&f->rich);
}

static size_t after(struct fixture *f, struct rich_run *r, const char *what)
{
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    rich_survey(&r->now, &f->rich, r->heads);
    return rich_check(&r->now, &r->before, what);
}

static void flipped_bits_of_the_database_are_never_a_wrong_answer(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    seed();
    size_t refused = 0, whole = 0, told = 0;
    for (int round = 0; round < rounds; round++) {
        restore(f);
        char what[64];
        int bits = 1 + (int)pick(4);
        long range = round % 5 == 0 ? 200 : size_of(f->db); /* also at the head */
        for (int i = 0; i < bits; i++) {
            flip(f->db, pick(range), (unsigned)pick(8));
        }
        snprintf(what, sizeof what, "round %d, %d bits of the database", round, bits);
        size_t n = after(f, r, what);
        refused += n;
        whole += n == 0;
        told += rich_check_tells(&f->rich);
    }
    print_message("%zu answers refused; %zu rounds without any; the check told of %zu of %d\n",
                  refused, whole, told, rounds);
    assert_true(told * 10 >= (size_t)rounds * 9); /* a free page is not looked at */
    free(r);
}

static void a_cut_database_is_never_a_wrong_answer(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    seed();
    for (int round = 0; round < rounds / 2; round++) {
        restore(f);
        char what[64];
        long to = pick(size_of(f->db));
        to = round % 4 == 0 ? to / 8192 * 8192 : to;
        assert_int_equal(truncate(f->db, to), 0);
        snprintf(what, sizeof what, "round %d, cut to %ld", round, to);
        (void)after(f, r, what);
        assert_true(rich_check_tells(&f->rich));
    }
    free(r);
}

static void damage_in_the_chunk_file_costs_its_chunks_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    seed();
    for (int round = 0; round < rounds; round++) {
        restore(f);
        char what[64];
        long size = size_of(f->chunks);
        if (round % 4 == 0) {
            long to = pick(size);
            assert_int_equal(truncate(f->chunks, to), 0);
            snprintf(what, sizeof what, "round %d, chunk file cut to %ld", round, to);
            (void)after(f, r, what);
            assert_true(rich_check_tells(&f->rich));
        } else {
            long at = pick(size);
            flip(f->chunks, at, (unsigned)pick(8));
            snprintf(what, sizeof what, "round %d, bit in the chunk file at %ld", round, at);
            /* At most one chunk, which both branches may name; zeros between payloads are none's.
             */
            assert_in_range(after(f, r, what), 0, 4);
        }
    }
    assert_int_equal(unlink(f->chunks), 0);
    cis_store_close(f->rich.s);
    f->rich.s = NULL;
    copy(f->good_db, f->db);
    (void)unlink(f->wal);
    (void)unlink(f->shm);
    (void)unlink(f->mark);
    assert_true(after(f, r, "no chunk file") > 100);
    free(r);
}

static void a_damaged_chunk_is_named(void **state)
{
    struct fixture *f = *state;
    restore(f);
    flip(f->chunks, 4096 + 50, 3);
    flip(f->chunks, 50, 3);
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    static uint8_t content[CIS_FS_BLOCK];
    int damaged = 0;
    for (uint64_t id = 1; id < 40; id++) {
        struct cis_fs_read read = {id, 0, CIS_FS_BLOCK, content, CIS_OK};
        struct cis_error err = {0};
        assert_int_equal(cis_store_chunk_read(f->rich.s, T, &read, 1, NULL, &err), CIS_OK);
        if (read.code != CIS_OK) {
            char name[32];
            snprintf(name, sizeof name, "chunk %d: ", (int)id);
            assert_int_equal(read.code, CIS_E_DAMAGED);
            assert_non_null(strstr(err.msg, name));
            damaged++;
        }
    }
    assert_in_range(damaged, 1, 2);
}

static void a_branch_whose_ancestors_are_not_its_parents_is_named(void **state)
{
    static const char *const wrong[] = {
        "UPDATE lineage SET max_epoch = max_epoch + 1 WHERE depth = 1",
        "UPDATE lineage SET ancestor = branch WHERE depth = 1",
        "UPDATE lineage SET depth = depth + 1 WHERE depth = 1",
        "UPDATE lineage SET max_epoch = 1 WHERE depth = 0 AND branch = 2",
        "UPDATE branch SET parent = 0 WHERE id = 2",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
        restore(f);
        sql(f->db, wrong[i]);
        assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
        assert_ok(cis_store_check(f->rich.s, T, &faults, NULL, err));
        if (strstr(cis_buf_cstr(&faults),
                   "branch 2: its lineage does not match that of its parent\n") == NULL) {
            fail_msg("%s: \"%s\"", wrong[i], cis_buf_cstr(&faults));
        }
        cis_store_close(f->rich.s);
        f->rich.s = NULL;
    }
}

/* Bits of the log that is in use: checked at every read, not only when it is recovered. */
static void flipped_bits_of_the_log_are_never_a_wrong_answer(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    seed();
    size_t refused = 0;
    for (int round = 0; round < rounds / 2; round++) {
        restore(f);
        assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
        cis_store *writer = f->rich.s;
        rich_write(&f->rich, 3, 100);
        r->heads[0] = rich_head(writer, "main");
        rich_survey(&r->before, &f->rich, r->heads);
        long size = size_of(f->wal);
        for (long at = 32; at < size; at += FRAME) {
            if (pick(4) == 0) { /* of two in one frame, its checksum may miss the high ones */
                flip(f->wal, at + pick(FRAME), (unsigned)pick(8));
            }
        }
        cis_store *reader = NULL; /* knows nothing yet; the writer keeps the log's index alive */
        assert_ok(cis_store_sqlite_open(f->dir, &reader, err));
        f->rich.s = reader;
        rich_survey(&r->now, &f->rich, r->heads);
        char what[64];
        snprintf(what, sizeof what, "round %d, bits of the log", round);
        refused += rich_check(&r->now, &r->before, what);
        cis_store_close(reader);
        f->rich.s = writer;
    }
    print_message("%zu answers refused\n", refused);
    assert_true(refused > 0);
    free(r);
}

/* Three commits that are in the log alone, and nobody has the files open. */
static void leave_log(struct fixture *f, struct rich_run *r)
{
    restore(f);
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    rich_write(&f->rich, 3, 100);
    r->heads[0] = rich_head(f->rich.s, "main");
    rich_survey(&r->before, &f->rich, r->heads);
    cis_store_close(f->rich.s);
    f->rich.s = NULL;
}

struct told {
    char text[2000];
};

static void tell(void *self, bool bad, const char *what, const char *text)
{
    struct told *t = self;
    size_t n = strlen(t->text);
    snprintf(t->text + n, sizeof t->text - n, "%s%s: %s\n", bad ? "bad " : "", what, text);
}

static cis_code repair(struct fixture *f, bool accept_loss, struct told *out, struct cis_error *err)
{
    struct cis_store_repair how = {
        .size = sizeof how, .tenant = "default", .accept_loss = accept_loss};
    out->text[0] = 0;
    if (f->rich.s != NULL) {
        cis_store_close(f->rich.s);
        f->rich.s = NULL;
    }
    cis_code code = cis_store_sqlite_repair(f->dir, &how, tell, out, err);
    return code;
}

/* The words of a log are little-endian where its pages are made by this machine: of a word's last
 * byte, and of the one before, a sum may keep too little. */
static bool high_bit_of_a_frame(long at, unsigned bit)
{
    return at >= 32 && 8 * (unsigned)((at - 32) % 4) + bit >= 20;
}

/* The log is read anew by whoever opens the files first, and SQLite itself ends it at the first
 * frame that is not right: what was committed would be gone without a word. Here a damaged page
 * costs the answers that need it; a log that is cut, or where it is not certain which page is
 * damaged, is refused. One flipped bit is put right by a repair where it is certain which one it
 * was: the checksum of a frame does not tell the high bits of its words apart. */
static void what_a_damaged_log_holds_is_read_or_missed(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    seed();
    size_t lost = 0, some = 0, whole = 0, right = 0, doubtful = 0;
    for (int round = 0; round < rounds; round++) {
        char what[64];
        unsigned bit = (unsigned)pick(8);
        leave_log(f, r);
        bool cut = round % 6 == 1;
        long size = size_of(f->wal), at = round % 6 == 0 ? pick(32) : pick(size);
        if (cut) {
            at = round == 1 ? size - 1 : at; /* pages of the log end with zeros */
            assert_int_equal(truncate(f->wal, at), 0);
        } else {
            flip(f->wal, at, bit);
        }
        snprintf(what, sizeof what, "round %d, bit %u of the log at %ld of %ld", round, bit, at,
                 size);
        size_t n = after(f, r, what);
        lost += n == r->now.n;
        some += n != 0 && n < r->now.n;
        whole += n == 0;
        assert_true(n != r->now.n || rich_check_tells(&f->rich));
        if (n == r->now.n) {
            assert_fails(CIS_E_DAMAGED, "default.db", write_one(f->rich.s, err));
        }
        struct told told;
        struct cis_error why;
        cis_code code = repair(f, false, &told, &why);
        if (cut) {
            assert_int_equal(code, CIS_E_DAMAGED);
        } else if (code == CIS_E_DAMAGED && high_bit_of_a_frame(at, bit)) {
            assert_int_equal(after(f, r, what), n); /* nothing was changed */
            doubtful++;
        } else if (code != CIS_OK || after(f, r, what) != 0) {
            fail_msg("%s: repair: %s%s", what, told.text, code != CIS_OK ? why.msg : "");
        } else {
            right += n != 0;
        }
    }
    print_message("%zu logs refused, %zu read but for a page, %zu whole; %zu put right, %zu not\n",
                  lost, some, whole, right, doubtful);
    assert_true(rounds < 200 || right > doubtful);
    assert_true(rounds < 200 || (lost > 0 && some > 0)); /* a few rounds may meet neither */
    free(r);
}

/* Bytes of one page of the log, and none of its head. */
static void damage_within_a_page_of_the_log_costs_that_page(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    struct told told;
    seed();
    for (int round = 0; round < rounds / 5 + 1; round++) {
        char what[64];
        leave_log(f, r);
        long frames = (size_of(f->wal) - 32) / FRAME, frame = pick(frames);
        for (int i = 0; i < 200; i++) {
            flip(f->wal, 32 + frame * FRAME + 24 + pick(8192), (unsigned)pick(8));
        }
        snprintf(what, sizeof what, "round %d, page %ld of %ld", round, frame, frames);
        size_t n = after(f, r, what);
        if (n == r->now.n) { /* what says where everything is */
            continue;
        }
        assert_fails(CIS_E_DAMAGED, "not everything", repair(f, false, &told, err));
        assert_non_null(strstr(told.text, "--accept-loss"));
        assert_int_equal(after(f, r, what), n); /* nothing was changed */
        assert_ok(repair(f, true, &told, err));
        assert_non_null(strstr(told.text, "are given up"));
        struct cis_fs_ref ref;
        assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
        assert_ok(cis_store_ref_get(f->rich.s, T, CIS_STR("main"), &ref, NULL, err));
        assert_true(ref.head.epoch < r->heads[0].epoch);
        assert_ok(write_one(f->rich.s, err));
    }
    free(r);
}

static void a_log_that_is_gone_is_missed_until_it_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    struct cis_fs_ref ref;
    struct told told;
    for (int mark = 0; mark < 2; mark++) {
        leave_log(f, r);
        assert_int_equal(unlink(f->wal), 0);
        assert_int_equal(mark == 0 ? 0 : unlink(f->mark), 0);
        assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
        assert_fails(CIS_E_DAMAGED, "is missing",
                     cis_store_ref_get(f->rich.s, T, CIS_STR("main"), &ref, NULL, err));
        assert_fails(CIS_E_DAMAGED, "not everything", repair(f, false, &told, err));
        assert_ok(repair(f, true, &told, err)); /* somebody decides to go on without */
        assert_non_null(strstr(told.text, "/damaged/default-"));
        assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
        assert_ok(cis_store_ref_get(f->rich.s, T, CIS_STR("main"), &ref, NULL, err));
        assert_int_equal(ref.head.epoch, r->heads[0].epoch - 3);
        assert_ok(write_one(f->rich.s, err));
    }
    free(r);
}

/* Of a young tenant the log holds everything. */
static void a_lost_database_is_made_anew_from_a_log_that_holds_all_of_it(void **state)
{
    struct fixture *f = *state;
    for (int how = 0; how < 3; how++) {
        char *dir = test_dir_new(), path[512];
        struct cis_store_repair repair = {.size = sizeof repair, .tenant = "default"};
        struct told told = {""};
        struct cis_fs_ref ref;
        cis_store *s = NULL;
        assert_ok(cis_store_sqlite_open(dir, &s, err));
        assert_ok(cis_store_tenant_create(s, T, 0, 0, NULL, err));
        assert_ok(write_one(s, err));
        uint64_t epoch = rich_head(s, "main").epoch;
        cis_store_close(s);
        snprintf(path, sizeof path, "%s/tenants/default.db", dir);
        if (how == 0) {
            assert_int_equal(unlink(path), 0);
        } else {
            assert_int_equal(truncate(path, 0), 0);
        }
        if (how == 2) { /* and its log */
            snprintf(path, sizeof path, "%s/tenants/default.db-wal", dir);
            assert_int_equal(unlink(path), 0);
        }
        assert_ok(cis_store_sqlite_open(dir, &s, err));
        assert_fails(CIS_E_DAMAGED, how == 0 ? "the database is missing" : "the database is empty",
                     write_one(s, err));
        assert_fails(CIS_E_DAMAGED, "cis store repair",
                     cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
        assert_fails(CIS_E_DAMAGED, "the database is",
                     cis_store_tenant_create(s, T, 0, 0, NULL, err));
        cis_store_close(s);
        if (how < 2) {
            assert_ok(cis_store_sqlite_repair(dir, &repair, tell, &told, err));
            assert_non_null(strstr(told.text, "made anew"));
        } else {
            assert_fails(CIS_E_DAMAGED, "is lost",
                         cis_store_sqlite_repair(dir, &repair, tell, &told, err));
            repair.accept_loss = true;
            assert_ok(cis_store_sqlite_repair(dir, &repair, tell, &told, err));
            assert_non_null(strstr(told.text, "given up"));
        }
        assert_ok(cis_store_sqlite_open(dir, &s, err));
        if (how == 2) {
            assert_ok(cis_store_tenant_create(s, T, 0, 0, NULL, err));
            epoch = 0;
        }
        assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
        assert_int_equal(ref.head.epoch, epoch);
        assert_ok(write_one(s, err));
        CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
        assert_ok(cis_store_check(s, T, &faults, NULL, err));
        assert_string_equal(cis_buf_cstr(&faults), "");
        cis_store_close(s);
        assert_ok(cis_file_remove_tree(dir, err));
        free(dir);
    }
    (void)f;
}

static void a_store_that_is_open_elsewhere_is_not_repaired(void **state)
{
    struct fixture *f = *state;
    struct told told;
    int ready[2], end[2];
    char byte = 0;
    assert_true(pipe(ready) == 0 && pipe(end) == 0);
    restore(f);
    pid_t pid = fork();
    if (pid == 0) {
        cis_store *s = NULL;
        cis_code code = cis_store_sqlite_open(f->dir, &s, NULL);
        code = code == CIS_OK ? write_one(s, NULL) : code;
        _exit(code != CIS_OK || write(ready[1], "", 1) != 1 || read(end[0], &byte, 1) != 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_fails(CIS_E_CONFLICT, "has it open", repair(f, false, &told, err));
    int status = 1;
    assert_int_equal(write(end[1], "", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(end[i]);
    }
    assert_ok(repair(f, false, &told, err));
}

/* What a power loss leaves behind the last sync is no damage, and mark and stamp may be older. */
static void a_torn_end_of_the_log_is_no_damage(void **state)
{
    struct fixture *f = *state;
    struct rich_run *r = begin(f);
    seed();
    for (int round = 0; round < 6; round++) {
        char what[64], old[600], old_db[600];
        leave_log(f, r);
        snprintf(old, sizeof old, "%s/old.mark", f->dir);
        snprintf(old_db, sizeof old_db, "%s/old.db", f->dir);
        long size = size_of(f->wal);
        if (round % 2 == 0) { /* the last commit was never answered: neither mark nor all of it */
            copy(f->mark, old);
            copy(f->db, old_db);
            assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
            assert_ok(write_one(f->rich.s, err));
            cis_store_close(f->rich.s);
            f->rich.s = NULL;
            copy(old, f->mark);
            copy(old_db, f->db);
            long torn = size + 1 + pick(size_of(f->wal) - size - 1);
            assert_int_equal(truncate(f->wal, torn), 0);
        } else {
            assert_int_equal(unlink(f->mark), 0); /* copied without it */
        }
        snprintf(what, sizeof what, "round %d", round);
        assert_int_equal(after(f, r, what), 0);
        assert_ok(write_one(f->rich.s, err));
    }
    free(r);
}

/* As the sqlite3 program does when it is closed: what is in the log goes into the file, where only
 * a store knows how. Nothing is lost, but nothing vouches for those pages. */
static void pages_that_another_program_wrote_are_refused_and_told_apart(void **state)
{
    struct fixture *f = *state;
    restore(f);
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    struct cis_tenant t = {.quota_files = 100000};
    assert_ok(cis_store_tenant_quota(f->rich.s, T, &t, NULL, err));
    cis_store_close(f->rich.s);
    f->rich.s = NULL;
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    assert_fails(CIS_E_DAMAGED, "db-wal: the log is missing (removed by another program?)",
                 cis_store_tenant_get(f->rich.s, T, &t, NULL, err));
    struct told told;
    assert_ok(repair(f, true, &told, err));
    assert_ok(cis_store_sqlite_open(f->dir, &f->rich.s, err));
    assert_fails(CIS_E_DAMAGED, "written by another program",
                 cis_store_tenant_get(f->rich.s, T, &t, NULL, err));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        rounds = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_bits_of_the_database_are_never_a_wrong_answer),
        cmocka_unit_test(a_cut_database_is_never_a_wrong_answer),
        cmocka_unit_test(damage_in_the_chunk_file_costs_its_chunks_and_nothing_else),
        cmocka_unit_test(a_damaged_chunk_is_named),
        cmocka_unit_test(a_branch_whose_ancestors_are_not_its_parents_is_named),
        cmocka_unit_test(flipped_bits_of_the_log_are_never_a_wrong_answer),
        cmocka_unit_test(what_a_damaged_log_holds_is_read_or_missed),
        cmocka_unit_test(damage_within_a_page_of_the_log_costs_that_page),
        cmocka_unit_test(a_log_that_is_gone_is_missed_until_it_is_given_up),
        cmocka_unit_test(a_lost_database_is_made_anew_from_a_log_that_holds_all_of_it),
        cmocka_unit_test(a_store_that_is_open_elsewhere_is_not_repaired),
        cmocka_unit_test(a_torn_end_of_the_log_is_no_damage),
        cmocka_unit_test(pages_that_another_program_wrote_are_refused_and_told_apart),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
