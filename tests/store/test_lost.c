/* Files of a store that are missing, empty, cut, another tenant's, or of yesterday, in every
 * combination: what is answered then is what was acknowledged, or an error, and who is refused
 * finds every file as it was. Arguments: combinations (default 40; all: 46656), and from which on,
 * in the order that changes the large files least (default: any, by chance). */
#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/file.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/integrity/log_check.h"
#include "store/sqlite/repair/repair.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "tree.h"
#include "store/calls.h"

#define OTHER CIS_STR("other")
enum { DB, WAL, SHM, MARK, CHUNKS, CATALOGUE, FILES };
enum { WHOLE, MISSING, EMPTY, CUT, SWAPPED, YESTERDAY, STATES };
static const char *const file_names[FILES] = {"default.db",      "default.db-wal", "default.db-shm",
                                              "default.db-mark", "default.chunks", "catalogue.db"};
static const char *const state_names[STATES] = {"whole", "missing", "empty",
                                                "cut",   "swapped", "of yesterday"};
static int many = 40, start = -1;

struct fixture {
    char *dir, *good, *old; /* the store; its files of now; those of yesterday */
    uint64_t chunk;         /* content of both days */
    uint64_t fresh;         /* of today alone */
    uint8_t content[2][CIS_FS_BLOCK];
    struct cis_view heads[2]; /* yesterday's and today's */
    int placed[FILES];        /* the state that was put into dir; right while nobody wrote there */
};

/* ---- files ---- */

static const char *path_of(const char *dir, const char *name, char out[512])
{
    bool top = strncmp(name, "catalogue", 9) == 0;
    snprintf(out, 512, "%s/%s%s", dir, top ? "" : "tenants/", name);
    return out;
}

/* Not forced to the disk. */
static void write_file(const char *path, const void *ptr, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(ptr, 1, len, f), len);
    fclose(f);
}

static bool copy(const char *from, const char *to)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(256u << 20);
    (void)unlink(to);
    if (!cis_file_exists(from)) {
        return false;
    }
    assert_ok(cis_file_read(from, &b, err));
    write_file(to, b.ptr, b.len);
    return true;
}

static const char *const all[] = {
    "default.db",   "default.db-wal",   "default.db-shm",   "default.db-mark",  "default.chunks",
    "other.db",     "other.db-wal",     "other.db-shm",     "other.db-mark",    "other.chunks",
    "catalogue.db", "catalogue.db-wal", "catalogue.db-shm", "catalogue.db-mark"};

static void copy_all(const char *from, const char *to)
{
    char a[512], b[512];
    snprintf(a, sizeof a, "%s/tenants", to);
    (void)mkdir(a, 0700);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        (void)copy(path_of(from, all[i], a), path_of(to, all[i], b));
    }
}

/* What is beside the files of a combination: the catalogue's, for nobody changes the other tenant.
 */
static void copy_rest(const char *from, const char *to)
{
    char a[512], b[512];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strncmp(all[i], "catalogue.db-", 13) == 0) {
            (void)copy(path_of(from, all[i], a), path_of(to, all[i], b));
        }
    }
}

/* So that whoever writes to it is seen. */
static void date_back(const char *path)
{
    struct timespec times[2] = {{1, 0}, {1, 0}};
    (void)utimensat(AT_FDCWD, path, times, 0);
}

/* Empty and missing are one: SQLite makes an empty log. */
static bool was_written(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size != 0 && st.st_mtim.tv_sec != 1;
}

static uint64_t digest_of(const char *path)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(256u << 20);
    uint64_t d = 14695981039346656037u;
    if (cis_file_read(path, &b, NULL) != CIS_OK || b.len == 0) { /* SQLite makes an empty log */
        return 0;
    }
    for (size_t i = 0; i < b.len; i += sizeof d) {
        uint64_t word = 0;
        memcpy(&word, b.ptr + i, b.len - i < sizeof word ? b.len - i : sizeof word);
        d = (d ^ word) * 0x100000001b3u;
        d ^= d >> 32;
    }
    return d ^ b.len;
}

/* ---- a store of two tenants and two days ---- */

static void set(cis_store *s, struct cis_str tenant, const char *key, const char *value)
{
    struct cis_kv_op op = store_put("skill", key, value);
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, tenant, &c, NULL, err));
}

static uint64_t put(cis_store *s, struct fixture *f, int which)
{
    cis_random_bytes(f->content[which], CIS_FS_BLOCK);
    return packed_put(s, f->content[which], CIS_FS_BLOCK);
}

/* Enough of it that the log is folded in and begun anew. */
static void work(cis_store *s, struct cis_str tenant, const char *day)
{
    static char big[60000];
    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < 90; i++) {
        char key[32];
        snprintf(key, sizeof key, "bulk %d", i % 30);
        set(s, tenant, key, big);
    }
    set(s, tenant, "day", day);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    cis_store *s = NULL;
    f->dir = test_dir_new();
    f->good = test_dir_new();
    f->old = test_dir_new();
    assert_ok(cis_store_sqlite_open(f->dir, &s, err));
    assert_ok(cis_store_tenant_create(s, T, 0, 0, NULL, err));
    assert_ok(cis_store_tenant_create(s, OTHER, 0, 0, NULL, err));
    f->chunk = put(s, f, 0);
    (void)packed_put(s, "content of the default tenant", 29);
    work(s, T, "one");
    work(s, OTHER, "other");
    f->heads[0] = tree_head(s, "main");
    cis_store_close(s);
    copy_all(f->dir, f->old);
    assert_ok(cis_store_sqlite_open(f->dir, &s, err));
    work(s, T, "two");
    f->fresh = put(s, f, 1);
    set(s, T, "day", "two, in the evening");
    f->heads[1] = tree_head(s, "main");
    cis_store_close(s);
    copy_all(f->dir, f->good);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char *const dirs[] = {f->dir, f->good, f->old};
    for (int i = 0; i < 3; i++) {
        assert_ok(cis_file_remove_tree(dirs[i], err));
        free(dirs[i]);
    }
    free(f);
    return 0;
}

/* ---- one combination ---- */

static void spoil(const struct fixture *f, int file, int state)
{
    char at[512], from[512];
    struct stat st;
    path_of(f->dir, file_names[file], at);
    switch (state) {
    case MISSING:
        (void)unlink(at);
        break;
    case EMPTY:
        write_file(at, "", 0);
        break;
    case CUT:
        if (stat(at, &st) == 0) {
            assert_int_equal(truncate(at, st.st_size / 2), 0);
        }
        break;
    case SWAPPED: {
        char name[64];
        snprintf(name, sizeof name, "other%s",
                 file == CATALOGUE ? ".db" : file_names[file] + strlen("default"));
        (void)copy(path_of(f->good, name, from), at);
        break;
    }
    case YESTERDAY:
        (void)copy(path_of(f->old, file_names[file], from), at);
        break;
    }
}

static void place(struct fixture *f, int file, int state)
{
    char at[512], from[512];
    struct stat st;
    path_of(f->dir, file_names[file], at);
    bool empty = stat(at, &st) != 0 || st.st_size == 0;
    if (f->placed[file] == state && !empty && !was_written(at)) {
        return;
    }
    if (state == WHOLE || state == CUT) {
        (void)copy(path_of(f->good, file_names[file], from), at);
    }
    spoil(f, file, state);
    date_back(at);
    f->placed[file] = state;
}

struct listed {
    bool seen;
};

static bool note(void *self, const struct cis_tenant *t)
{
    struct listed *l = self;
    l->seen |= strcmp(t->name, "default") == 0;
    return true;
}

static bool copy_value(void *self, const struct cis_kv_entry *e)
{
    snprintf(self, 64, "%.*s", (int)e->value.len, (const char *)e->value.ptr);
    return true;
}

static const char *what_of(const int states[FILES], char out[512])
{
    int n = 0;
    out[0] = 0;
    for (int i = 0; i < FILES; i++) {
        if (states[i] != WHOLE) {
            n += snprintf(out + n, 512 - (size_t)n, "%s %s; ", file_names[i],
                          state_names[states[i]]);
        }
    }
    return out;
}

/* A database with its log of yesterday is a copy put back, unless the mark of today is beside it.
 */
static bool is_back(const int states[FILES])
{
    return states[DB] == YESTERDAY && states[WAL] == YESTERDAY && states[MARK] != WHOLE;
}

/* Answers are today's, or refused; or all of yesterday. Returns whether all was refused. */
static bool ask(struct fixture *f, cis_store *s, const int states[FILES])
{
    char what[512], value[64] = "";
    bool back = is_back(states), found = false;
    struct listed listed = {false};
    struct cis_fs_ref ref;
    cis_code kv = cis_store_kv_get(s, T,
                                   &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("skill"),
                                                              CIS_STR("day"), copy_value, value},
                                   &found, NULL, NULL);
    if (kv == CIS_OK && strcmp(value, back ? "one" : "two, in the evening") != 0) {
        fail_msg("%smemory is \"%s\"", what_of(states, what), value);
    }
    cis_code head = cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, NULL);
    if (head == CIS_OK && ref.head.epoch != f->heads[!back].epoch) {
        fail_msg("%smain is at %d", what_of(states, what), (int)ref.head.epoch);
    }
    for (int i = 0; i < 2; i++) {
        static uint8_t got[CIS_FS_BLOCK];
        struct cis_fs_read read = {i == 0 ? f->chunk : f->fresh, 0, CIS_FS_BLOCK, got, CIS_OK};
        cis_code code = cis_store_chunk_read(s, T, &read, 1, NULL, NULL);
        if (code == CIS_OK && read.code == CIS_OK &&
            memcmp(got, f->content[i], CIS_FS_BLOCK) != 0) {
            fail_msg("%scontent %d is another", what_of(states, what), i);
        }
    }
    cis_code list = cis_store_tenant_list(s, note, &listed, NULL, NULL);
    if (list == CIS_OK && !listed.seen) {
        fail_msg("%sthe tenant is not listed", what_of(states, what));
    }
    return kv != CIS_OK && head != CIS_OK;
}

static uint64_t size_of(const struct fixture *f, int file)
{
    char path[512];
    struct stat st;
    return stat(path_of(f->dir, file_names[file], path), &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Returns whether it was refused. */
static bool combination(struct fixture *f, const int states[FILES])
{
    static const int witness[] = {DB, WAL, MARK, CHUNKS};
    char what[512], path[512];
    uint64_t sizes[FILES];
    cis_store *s = NULL;
    copy_rest(f->good, f->dir);
    for (int i = 0; i < FILES; i++) {
        place(f, i, states[i]);
        sizes[i] = size_of(f, i);
    }
    assert_ok(cis_store_sqlite_open(f->dir, &s, err));
    bool refused = ask(f, s, states);
    struct cis_kv_op op = store_put("skill", "more", "of it");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    cis_code code = cis_store_commit(s, T, &c, NULL, NULL);
    if (refused && code == CIS_OK) {
        fail_msg("%sreads are refused, a write is not", what_of(states, what));
    }
    for (size_t i = 0; i < sizeof witness / sizeof *witness && refused; i++) {
        int file = witness[i];
        if (was_written(path_of(f->dir, file_names[file], path)) ||
            size_of(f, file) != sizes[file]) {
            fail_msg("%srefused, and %s was changed", what_of(states, what), file_names[file]);
        }
    }
    if (code == CIS_OK) { /* what was there is there still */
        struct cis_fs_ref ref;
        cis_store_close(s);
        assert_ok(cis_store_sqlite_open(f->dir, &s, err));
        assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
        assert_int_equal(ref.head.epoch, f->heads[!is_back(states)].epoch + 1);
    }
    cis_store_close(s);
    return refused;
}

static void lost_files_are_refused_and_never_less_than_was_acknowledged(void **state)
{
    struct fixture *f = *state;
    int total = 1, one = 0, refused = 0;
    for (int i = 0; i < FILES; i++) {
        total *= STATES;
    }
    for (int file = 0; file < FILES; file++) { /* each alone … */
        for (int s = 1; s < STATES; s++, one++) {
            int states[FILES] = {0};
            states[file] = s;
            refused += combination(f, states);
        }
    }
    unsigned seed = test_seed();
    for (int i = 0; i < many; i++) { /* … then some together, or all */
        int n = start >= 0 ? (start + i) % total : (int)((unsigned)rand_r(&seed) % (unsigned)total);
        int states[FILES];
        for (int k = FILES - 1; k >= 0; k--, n /= STATES) {
            states[k] = n % STATES;
        }
        refused += combination(f, states);
    }
    print_message("%d of %d combinations refused\n", refused, many + one);
}

/* ---- yesterday's files put back beside today's mark ---- */

static void day_is(const char *dir, const char *expected)
{
    cis_store *s = NULL;
    char value[64] = "";
    bool found = false;
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    assert_ok(cis_store_kv_get(s, T,
                               &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("skill"),
                                                          CIS_STR("day"), copy_value, value},
                               &found, NULL, err));
    assert_string_equal(value, expected);
    cis_store_close(s);
}

static void say_nothing(void *self, bool bad, const char *what, const char *text)
{
    (void)self;
    (void)bad;
    (void)what;
    (void)text;
}

/* Refused without a change; then the user's word is asked for, and goes on with yesterday's. */
static void is_refused_and_goes_on_by_word(const char *dir)
{
    static const int witness[] = {DB, WAL, MARK, CHUNKS};
    uint64_t before[FILES] = {0};
    char path[512];
    cis_store *s = NULL;
    struct cis_error why = {0};
    struct cis_fs_ref ref;
    for (size_t i = 0; i < sizeof witness / sizeof *witness; i++) {
        before[i] = digest_of(path_of(dir, file_names[witness[i]], path));
    }
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    struct cis_kv_op op = store_put("skill", "more", "of it");
    assert_int_equal(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, &why), CIS_E_DAMAGED);
    assert_non_null(strstr(why.msg, "default.db-mark"));
    assert_non_null(strstr(why.msg, "--accept-loss"));
    assert_int_equal(store_apply(s, &op, 1, &why), CIS_E_DAMAGED);
    cis_store_close(s);
    struct cis_store_repair how = {.size = sizeof how, .tenant = "default"};
    assert_int_equal(cis_store_sqlite_repair(dir, &how, say_nothing, NULL, &why), CIS_E_DAMAGED);
    for (size_t i = 0; i < sizeof witness / sizeof *witness; i++) {
        assert_true(before[i] == digest_of(path_of(dir, file_names[witness[i]], path)));
    }
    how.accept_loss = true;
    assert_ok(cis_store_sqlite_repair(dir, &how, say_nothing, NULL, err));
    day_is(dir, "one");
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    assert_ok(store_apply(s, &op, 1, err));
    cis_store_close(s);
    day_is(dir, "one");
}

static void put_back(const struct fixture *f)
{
    spoil(f, DB, YESTERDAY);
    spoil(f, WAL, YESTERDAY);
}

static void yesterdays_database_and_log_are_refused_beside_todays_mark(void **state)
{
    struct fixture *f = *state;
    copy_all(f->good, f->dir);
    put_back(f);
    is_refused_and_goes_on_by_word(f->dir);
}

static void cut_the_log(const struct fixture *f)
{
    struct sql_conn *conn = NULL;
    char path[512];
    struct stat st;
    assert_ok(cis_sql_tenant_file_open(path_of(f->dir, file_names[DB], path), &conn, err));
    assert_ok(cis_sql_exec(conn, "PRAGMA wal_checkpoint(TRUNCATE)", "cut", err));
    cis_sql_conn_close(conn);
    assert_int_equal(stat(path_of(f->dir, file_names[WAL], path), &st), 0);
    assert_int_equal(st.st_size, 0);
}

static void yesterdays_files_are_refused_when_todays_log_was_just_cut(void **state)
{
    struct fixture *f = *state;
    char *kept = test_dir_new();
    copy_all(f->good, f->dir);
    cut_the_log(f);
    day_is(f->dir, "two, in the evening");
    copy_all(f->dir, kept);
    put_back(f);
    is_refused_and_goes_on_by_word(f->dir);
    /* A log that is not needed may be missing, and a copy in another place opens. */
    day_is(kept, "two, in the evening");
    copy_all(kept, f->dir);
    spoil(f, WAL, MISSING);
    day_is(f->dir, "two, in the evening");
    /* What is gone on with from there is as before. */
    copy_all(kept, f->dir);
    cis_store *s = NULL;
    assert_ok(cis_store_sqlite_open(f->dir, &s, err));
    set(s, T, "day", "three");
    cis_store_close(s);
    day_is(f->dir, "three");
    put_back(f);
    is_refused_and_goes_on_by_word(f->dir);
    assert_ok(cis_file_remove_tree(kept, err));
    free(kept);
}

static void collect(void *self, bool bad, const char *what, const char *text)
{
    (void)bad;
    (void)what;
    cis_buf_text(self, text);
    cis_buf_byte(self, '\n');
}

static void assert_repair(const struct fixture *f, bool accept_loss, cis_code expected,
                          const char *first, const char *second)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf said = CIS_BUF_INIT(65536);
    struct cis_store_repair how = {
        .size = sizeof how, .tenant = "default", .accept_loss = accept_loss};
    struct cis_error why = {0};
    assert_int_equal(cis_store_sqlite_repair(f->dir, &how, collect, &said, &why), expected);
    if (strstr(cis_buf_cstr(&said), first) == NULL || strstr(cis_buf_cstr(&said), second) == NULL) {
        fail_msg("the repair said: %s", cis_buf_cstr(&said));
    }
}

static void yesterdays_log_that_is_damaged_too_is_mended_by_one_repair(void **state)
{
    struct fixture *f = *state;
    char path[512], noise[100];
    struct stat st;
    copy_all(f->good, f->dir);
    put_back(f);
    const char *log = path_of(f->dir, file_names[WAL], path);
    assert_int_equal(stat(log, &st), 0);
    int fd = open(log, O_WRONLY | O_CLOEXEC);
    off_t step = CIS_SQL_FRAME_HEAD + 8192;
    assert_true(fd >= 0 && st.st_size > 4 * step);
    memset(noise, 0x5a, sizeof noise);
    off_t at = CIS_SQL_WAL_HEAD + step + CIS_SQL_FRAME_HEAD + 1000;
    assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
    close(fd);
    assert_repair(f, false, CIS_E_DAMAGED, "older or newer than the mark", "damaged at frame");
    assert_repair(f, true, CIS_OK, "without what was committed since", "cut at frame");
    assert_repair(f, false, CIS_OK, "everything is there", "");
    cis_store *s = NULL;
    struct cis_kv_op op = store_put("skill", "more", "of it");
    assert_ok(cis_store_sqlite_open(f->dir, &s, err));
    assert_ok(store_apply(s, &op, 1, err));
    cis_store_close(s);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        many = (int)strtol(argv[1], NULL, 10);
        start = many >= 46656 ? 0 : -1;
    }
    if (argc > 2) {
        start = (int)strtol(argv[2], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yesterdays_database_and_log_are_refused_beside_todays_mark),
        cmocka_unit_test(yesterdays_files_are_refused_when_todays_log_was_just_cut),
        cmocka_unit_test(yesterdays_log_that_is_damaged_too_is_mended_by_one_repair),
        cmocka_unit_test(lost_files_are_refused_and_never_less_than_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
