/* The contract of commits: the log, files as the log shows them, conflicts, quotas. */
#include "harness.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/stat.h>
#include "base/budget.h"
#include "contract_refs.h"
#include "store/commit.h"
#include "store/calls.h"

/* ---- the log ---- */

static bool note_commit(void *self, const struct cis_fs_commit_row *row)
{
    cis_buf_printf(self, "%" PRIu64 ":%.*s:%.*s:%s:%s ", row->epoch, (int)row->kind.len,
                   row->kind.ptr, (int)row->note.len, row->note.ptr, row->run[0] != 0 ? "run" : "-",
                   row->keys.len != 0 ? "keys" : "-");
    return true;
}

static void the_log_lists_commits_of_a_branch_both_ways(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view one = refs_put(s, "", "a", "1");
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.run = &run, .kv = &op, .nkv = 1, .note = "a note"};
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    c.run = NULL;
    c.kind = "import";
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(cis_store_commits(
        s, T, &(struct cis_fs_log_query){.branch = one.branch, .upto = UINT64_MAX, .keys = true},
        note_commit, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out),
                        "1:memory::-:keys 2:run:a note:run:keys 3:import:a note:-:keys ");
    cis_buf_reset(&out);
    assert_ok(cis_store_commits(
        s, T,
        &(struct cis_fs_log_query){
            .branch = one.branch, .after = 1, .upto = 3, .newest = true, .limit = 1},
        note_commit, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "3:import:a note:-:- ");
    cis_buf_reset(&out);
    assert_ok(cis_store_commit_of_run(s, T, run.id, note_commit, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "2:run:a note:run:- ");
    store_run_row(&run, "a", "ok");
    assert_fails(CIS_E_NOTFOUND, "no commit",
                 cis_store_commit_of_run(s, T, run.id, note_commit, &out, NULL, err));
}

static void a_note_is_kept_up_to_its_limit_and_refused_above(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    char note[CIS_FS_NOTE_MAX + 2];
    memset(note, 'n', sizeof note);
    note[CIS_FS_NOTE_MAX + 1] = 0;
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.kv = &op, .nkv = 1, .kind = "fs", .note = note};
    assert_fails(CIS_E_INVALID, "1024", cis_store_commit(s, T, &c, NULL, err));
    note[CIS_FS_NOTE_MAX] = 0;
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
}

static void a_run_is_committed_once(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.run = &run, .kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    op = store_put("a", "k", "again");
    assert_fails(CIS_E_EXISTS, run.id, cis_store_commit(s, T, &c, NULL, err));
    refs_assert_memory(s, CIS_VIEW_HEAD, "k=v ");
    assert_int_equal(refs_ref(s, "").head.epoch, 1);
}

static void a_record_or_config_alone_makes_no_epoch(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op config = store_put("a", "mode", "fast");
    struct cis_fs_commit nothing = {.base = refs_ref(s, "").head};
    struct cis_fs_committed done = {{9, 9}, 9, 9};
    struct cis_store_commit c = {
        .run = &run, .config = &config, .nconfig = 1, .fs = &nothing, .out = &done};
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    assert_int_equal(refs_ref(s, "").head.epoch, 1);
    assert_int_equal(done.view.epoch, 1);
    assert_int_equal(done.view.branch, nothing.base.branch);
}

/* ---- files, as the log shows them ---- */

struct file {
    struct cis_fs_dirent dirent;
    struct cis_fs_change change;
    struct cis_fs_delta delta;
    struct cis_fs_commit fs;
};

/* A new file of `size` inline bytes in the root. */
static void file_new(cis_store *s, struct file *f, const char *name, size_t size)
{
    static const uint8_t zeros[CIS_FS_INLINE_MAX];
    struct cis_fs_time now = {1700000000, 5};
    uint64_t ino = 0;
    assert_ok(cis_store_reserve_inodes(s, T, 1, &ino, NULL, err));
    *f = (struct file){
        .dirent = {.parent = 1, .ino = ino, .mode = S_IFREG, .name = cis_str_of(name)},
        .change = {.kind = CIS_FS_PUT,
                   .is_new = true,
                   .inode = {.ino = ino,
                             .mode = S_IFREG | 0644,
                             .nlink = 1,
                             .size = size,
                             .atime = now,
                             .mtime = now,
                             .ctime = now,
                             .btime = now,
                             .is_inline = true,
                             .data = {zeros, size}}},
        .delta = {.ino = 1, .mtime = now, .ctime = now}};
    f->fs = (struct cis_fs_commit){.base = refs_ref(s, "").head,
                                   .dirents = &f->dirent,
                                   .ndirents = 1,
                                   .changes = &f->change,
                                   .nchanges = 1,
                                   .deltas = &f->delta,
                                   .ndeltas = 1,
                                   .files = 1,
                                   .bytes = (int64_t)size};
}

static cis_code file_commit(cis_store *s, const struct file *f, struct cis_fs_committed *out,
                            struct cis_error *err)
{
    struct cis_store_commit c = {.fs = &f->fs, .kind = "fs", .out = out};
    return cis_store_commit(s, T, &c, NULL, err);
}

static void files_of_two_writers_merge_and_the_same_name_conflicts(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    struct file one, two, same;
    file_new(s, &one, "one", 10);
    file_new(s, &two, "two", 20);
    file_new(s, &same, "one", 30);
    struct cis_fs_committed done;
    assert_ok(file_commit(s, &one, &done, err));
    assert_int_equal(done.files, 1);
    assert_ok(file_commit(s, &two, &done, err));
    assert_int_equal(done.files, 2);
    assert_int_equal(done.bytes, 30);
    assert_fails(CIS_E_CONFLICT, "one", file_commit(s, &same, &done, err));
    struct cis_fs_ref r = refs_ref(s, "");
    assert_int_equal(r.files, 2);
    assert_int_equal(r.bytes, 30);
    assert_int_equal(r.head.epoch, 3);
}

static void files_and_memory_are_one_commit(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    struct file one, clash;
    file_new(s, &one, "one", 10);
    file_new(s, &clash, "one", 10);
    struct cis_kv_op op = store_put("a", "k", "w");
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_store_commit c = {.run = &run, .fs = &one.fs, .kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    store_run_row(&run, "a", "ok");
    op = store_put("a", "k", "never");
    c.fs = &clash.fs;
    assert_fails(CIS_E_CONFLICT, "one", cis_store_commit(s, T, &c, NULL, err));
    refs_assert_memory(s, CIS_VIEW_HEAD, "k=w ");
    assert_int_equal(refs_ref(s, "").head.epoch, 2);
    assert_fails(CIS_E_NOTFOUND, "no such run",
                 cis_store_run_get(s, T, cis_str_of(run.id), NULL, NULL, NULL, err));
}

static void quotas_of_files_and_bytes_hold_at_the_head(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    struct cis_tenant quota = {.quota_files = 2, .quota_bytes = 25};
    assert_ok(cis_store_tenant_quota(s, T, &quota, NULL, err));
    struct file one, big, two, three;
    file_new(s, &one, "one", 10);
    assert_ok(file_commit(s, &one, NULL, err));
    file_new(s, &big, "big", 16);
    assert_fails(CIS_E_QUOTA, "the quota is 25", file_commit(s, &big, NULL, err));
    file_new(s, &two, "two", 15);
    assert_ok(file_commit(s, &two, NULL, err));
    file_new(s, &three, "three", 0);
    assert_fails(CIS_E_QUOTA, "the quota is 2", file_commit(s, &three, NULL, err));
}

static void strict_memory_conflicts_and_ordinary_memory_does_not(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view base = refs_put(s, "", "k", "v");
    refs_put(s, "", "k", "w");
    struct cis_kv_op op = store_put("a", "k", "x"), other = store_put("a", "j", "x");
    struct cis_store_commit c = {.kv = &op, .nkv = 1, .base = base, .strict_memory = true};
    assert_fails(CIS_E_CONFLICT, "k", cis_store_commit(s, T, &c, NULL, err));
    c.kv = &other;
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    c = (struct cis_store_commit){.kv = &op, .nkv = 1, .base = base};
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    refs_assert_memory(s, CIS_VIEW_HEAD, "j=x k=x ");
}

#define CROWD 64
#define CROWD_FILES 4

struct writer {
    cis_store *s;
    int id;
    unsigned conflicts;
};

/* Each commits files of its own names, all from the base that it saw last. */
static void *write_files(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < CROWD_FILES; i++) {
        char name[32];
        struct file f;
        snprintf(name, sizeof name, "w%02d-%02d", w->id, i);
        file_new(w->s, &f, name, 7);
        struct cis_error err = {0};
        if (file_commit(w->s, &f, NULL, &err) != CIS_OK) {
            fprintf(stderr, "%s: %s\n", name, err.msg);
            abort();
        }
        snprintf(name, sizeof name, "same-%02d", i);
        file_new(w->s, &f, name, 3);
        f.fs.base.epoch = 1; /* before anybody wrote it */
        cis_code code = file_commit(w->s, &f, NULL, &err);
        if (code != CIS_OK && code != CIS_E_CONFLICT) {
            fprintf(stderr, "%s: %s\n", name, err.msg);
            abort();
        }
        w->conflicts += code == CIS_E_CONFLICT;
    }
    return NULL;
}

static void writers_of_distinct_names_all_commit_and_of_the_same_name_one(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    pthread_t threads[CROWD];
    struct writer writers[CROWD];
    unsigned conflicts = 0;
    for (int i = 0; i < CROWD; i++) {
        writers[i] = (struct writer){s, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_files, &writers[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
        conflicts += writers[i].conflicts;
    }
    assert_int_equal(conflicts, (CROWD - 1) * CROWD_FILES);
    struct cis_fs_ref r = refs_ref(s, "");
    assert_int_equal(r.files, CROWD * CROWD_FILES + CROWD_FILES);
    assert_int_equal(r.bytes, CROWD * CROWD_FILES * 7 + CROWD_FILES * 3);
    assert_int_equal(r.head.epoch, 1 + CROWD * CROWD_FILES + CROWD_FILES);
}

/* All write the same strict key from the same base. */
static void *write_strict(void *arg)
{
    struct writer *w = arg;
    char value[16];
    snprintf(value, sizeof value, "%d", w->id);
    struct cis_kv_op op = store_put("a", "same", value);
    struct cis_store_commit c = {
        .kv = &op, .nkv = 1, .strict_memory = true, .base = {1, (uint64_t)w->conflicts}};
    struct cis_error err = {0};
    cis_code code = cis_store_commit(w->s, T, &c, NULL, &err);
    if (code != CIS_OK && code != CIS_E_CONFLICT) {
        fprintf(stderr, "strict: %s\n", err.msg);
        abort();
    }
    w->conflicts = code == CIS_E_CONFLICT;
    return NULL;
}

static void of_writers_of_one_strict_key_one_wins_each_round(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    for (unsigned round = 1; round <= 4; round++) {
        assert_int_equal(refs_put(s, "", "other", "x").epoch, 2 * round - 1);
        pthread_t threads[CROWD];
        struct writer writers[CROWD];
        unsigned conflicts = 0;
        for (int i = 0; i < CROWD; i++) {
            writers[i] = (struct writer){s, i, 2 * round - 1};
            assert_int_equal(pthread_create(&threads[i], NULL, write_strict, &writers[i]), 0);
        }
        for (int i = 0; i < CROWD; i++) {
            pthread_join(threads[i], NULL);
            conflicts += writers[i].conflicts;
        }
        assert_int_equal(conflicts, CROWD - 1);
    }
}

/* Each writes files of 7 bytes until it is refused. */
static void *write_until_full(void *arg)
{
    struct writer *w = arg;
    for (int i = 0;; i++) {
        char name[32];
        struct file f;
        snprintf(name, sizeof name, "w%02d-%03d", w->id, i);
        file_new(w->s, &f, name, 7);
        struct cis_error err = {0};
        cis_code code = file_commit(w->s, &f, NULL, &err);
        if (code == CIS_E_QUOTA) {
            return NULL;
        }
        if (code != CIS_OK) {
            fprintf(stderr, "%s: %s\n", name, err.msg);
            abort();
        }
    }
}

static void fill(cis_store *s)
{
    pthread_t threads[16];
    struct writer writers[16];
    for (int i = 0; i < 16; i++) {
        writers[i] = (struct writer){s, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_until_full, &writers[i]), 0);
    }
    for (int i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void a_quota_is_filled_by_many_to_the_last_file_and_never_over(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    struct cis_tenant quota = {.quota_files = 101};
    assert_ok(cis_store_tenant_quota(s, T, &quota, NULL, err));
    fill(s);
    assert_int_equal(refs_ref(s, "").files, 101);
    assert_int_equal(refs_ref(s, "").bytes, 707);
}

static void a_quota_is_filled_by_many_to_the_last_byte_and_never_over(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    struct cis_tenant quota = {.quota_bytes = 700};
    assert_ok(cis_store_tenant_quota(s, T, &quota, NULL, err));
    fill(s);
    assert_int_equal(refs_ref(s, "").bytes, 700);
    assert_int_equal(refs_ref(s, "").files, 100);
    struct file more;
    file_new(s, &more, "one", 1);
    assert_fails(CIS_E_QUOTA, "700", file_commit(s, &more, NULL, err));
    file_new(s, &more, "none", 0);
    assert_ok(file_commit(s, &more, NULL, err));
}

static void inode_numbers_are_given_once(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    uint64_t one = 0, two = 0;
    assert_ok(cis_store_reserve_inodes(s, T, 1000, &one, NULL, err));
    assert_ok(cis_store_reserve_inodes(s, T, 1, &two, NULL, err));
    assert_true(one > CIS_FS_ROOT);
    assert_true(two >= one + 1000 || two < one);
    assert_fails(CIS_E_INVALID, "none", cis_store_reserve_inodes(s, T, 0, &two, NULL, err));
}

#define LONG_KEYS 1500

struct seen_keys {
    size_t keys, pieces, longest;
    uint64_t epoch; /* the one that has to come */
    bool newest;
};

static bool see_keys(void *self, const struct cis_fs_commit_row *row)
{
    struct seen_keys *seen = self;
    struct cis_key key;
    size_t at = 0;
    assert_int_equal(row->epoch, seen->epoch);
    for (bool more = true;;) {
        assert_ok(cis_keys_next(row->keys, &at, &key, &more, err));
        if (!more) {
            break;
        }
        seen->keys++;
    }
    seen->pieces++;
    seen->longest = row->keys.len > seen->longest ? row->keys.len : seen->longest;
    if (!row->keys_more) {
        seen->epoch = seen->newest ? seen->epoch - 1 : seen->epoch + 1;
    }
    return true;
}

/* A key of 1,000 bytes. */
static struct cis_kv_op long_put(char text[CIS_STORE_KEY_MAX], int i)
{
    memset(text, 'k', CIS_STORE_KEY_MAX);
    (void)!snprintf(text, 16, "%06d", i);
    text[6] = 'k';
    return (struct cis_kv_op){
        .ns = CIS_STR("a"), .key = {text, 1000}, .value = cis_bytes_of("v", 1)};
}

static cis_code strict_put(cis_store *s, struct cis_view base, int i, uint64_t room,
                           struct cis_error *err)
{
    char text[CIS_STORE_KEY_MAX];
    struct cis_kv_op op = long_put(text, i);
    struct cis_budget budget = {.limit = room};
    struct cis_store_commit c = {
        .kv = &op, .nkv = 1, .strict_memory = true, .base = base, .budget = &budget};
    cis_code code = cis_store_commit(s, T, &c, NULL, err);
    assert_int_equal(budget.used, 0);
    return code;
}

static void the_keys_of_a_large_commit_are_read_in_pieces(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view one = refs_put(s, "", "a", "1");
    static char texts[LONG_KEYS][CIS_STORE_KEY_MAX];
    static struct cis_kv_op ops[LONG_KEYS];
    for (int i = 0; i < LONG_KEYS; i++) {
        ops[i] = long_put(texts[i], i);
    }
    struct cis_fs_committed done;
    assert_ok(refs_commit(s, "", ops, LONG_KEYS, &done, err));
    (void)refs_put(s, "", "b", "1");
    for (int newest = 0; newest < 2; newest++) {
        struct seen_keys seen = {.epoch = newest != 0 ? 3 : 1, .newest = newest != 0};
        assert_ok(cis_store_commits(
            s, T,
            &(struct cis_fs_log_query){
                .branch = one.branch, .upto = UINT64_MAX, .newest = newest != 0, .keys = true},
            see_keys, &seen, NULL, err));
        assert_int_equal(seen.epoch, newest != 0 ? 0 : 4);
        assert_int_equal(seen.keys, LONG_KEYS + 2);
        assert_true(seen.pieces >= 6 && seen.longest <= CIS_KEYS_PIECE);
        seen = (struct seen_keys){.epoch = newest != 0 ? 3 : 1, .newest = newest != 0};
        assert_ok(cis_store_commits(s, T,
                                    &(struct cis_fs_log_query){.branch = one.branch,
                                                               .upto = UINT64_MAX,
                                                               .newest = newest != 0,
                                                               .limit = 2,
                                                               .keys = true},
                                    see_keys, &seen, NULL,
                                    err)); /* two commits, however many pieces */
        assert_int_equal(seen.epoch, newest != 0 ? 1 : 3);
    }
    uint64_t room = CIS_KEYS_HELD + 65536; /* less than the keys are */
    assert_fails(CIS_E_CONFLICT, "another run changed the memory key \"000000k",
                 strict_put(s, one, 0, room, err));
    assert_fails(CIS_E_CONFLICT, "another run changed the memory key \"001499k",
                 strict_put(s, one, LONG_KEYS - 1, room, err));
    assert_ok(strict_put(s, one, LONG_KEYS, room, err));
}

int refs_commits_run(const char *name)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, refs_setup, refs_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_log_lists_commits_of_a_branch_both_ways),
        TEST(a_note_is_kept_up_to_its_limit_and_refused_above),
        TEST(a_run_is_committed_once),
        TEST(a_record_or_config_alone_makes_no_epoch),
        TEST(files_of_two_writers_merge_and_the_same_name_conflicts),
        TEST(files_and_memory_are_one_commit),
        TEST(quotas_of_files_and_bytes_hold_at_the_head),
        TEST(strict_memory_conflicts_and_ordinary_memory_does_not),
        TEST(writers_of_distinct_names_all_commit_and_of_the_same_name_one),
        TEST(of_writers_of_one_strict_key_one_wins_each_round),
        TEST(a_quota_is_filled_by_many_to_the_last_file_and_never_over),
        TEST(a_quota_is_filled_by_many_to_the_last_byte_and_never_over),
        TEST(inode_numbers_are_given_once),
        TEST(the_keys_of_a_large_commit_are_read_in_pieces),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
