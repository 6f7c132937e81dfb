/* The contract under concurrency: distinct names all commit, of the same name one, quotas are
 * exact, numbers are given once, readers at old epochs never see another state than their own. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/budget.h"
#include "tree.h"
#include "store/calls.h"

#define WRITERS 64
#define NAMES 8

struct writer {
    cis_store *s;
    int id, rounds;
    uint64_t dir;
    atomic_int *won;
    pthread_barrier_t *round;
    int committed, refused;
    char names[NAMES][24];
};

static void threads_run(void *(*run)(void *), struct writer *writers, int n)
{
    pthread_t threads[WRITERS];
    for (int i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, &writers[i]), 0);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* Tries until it commits: every conflict must be about what it says, and go away. */
static void *write_own_names(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < w->rounds; i++) {
        struct tree *t = tree_new(w->s, "main");
        snprintf(w->names[i], sizeof w->names[i], "w%02d-%d", w->id, i);
        uint64_t sub = i % 4 == 3 ? tree_mkdir(t, w->dir, w->names[i]) : w->dir;
        tree_file(t, sub, sub == w->dir ? w->names[i] : "inside", w->names[i]);
        struct cis_error err = {0};
        cis_code code = tree_try(t, NULL, &err);
        if (code != CIS_OK) {
            print_error("writer %d: %s\n", w->id, err.msg);
        }
        assert_int_equal(code, CIS_OK);
    }
    return NULL;
}

static bool count_entry(void *self, const struct cis_fs_dirent *dirent,
                        const struct cis_fs_inode *inode)
{
    (void)dirent;
    (void)inode;
    ++*(int *)self;
    return true;
}

static void writers_of_distinct_names_in_one_directory_all_commit(void **state)
{
    cis_store *s = fs_store(state);
    static struct writer writers[WRITERS];
    struct tree *t = tree_new(s, "main");
    uint64_t dir = tree_mkdir(t, CIS_FS_ROOT, "dir");
    struct cis_view base = tree_commit(t);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.s = s, .id = i, .rounds = NAMES, .dir = dir};
    }
    threads_run(write_own_names, writers, WRITERS);
    struct cis_view head = tree_head(s, "main");
    struct cis_fs_inode row;
    int n = 0;
    assert_int_equal(head.epoch, base.epoch + WRITERS * NAMES);
    assert_ok(cis_store_list(
        s, T, &(struct cis_fs_list_query){head, dir, (struct cis_str){NULL, 0}, 10000, false},
        count_entry, &n, NULL, err));
    assert_int_equal(n, WRITERS * NAMES);
    assert_true(tree_stat(s, head, dir, &row, NULL));
    assert_int_equal(row.nlink, 2 + WRITERS * NAMES / 4);
    struct cis_fs_ref r;
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &r, NULL, err));
    assert_int_equal(r.files, 1 + WRITERS * NAMES * 5 / 4);
    assert_int_equal(r.bytes, WRITERS * NAMES * 5);
    char path[64];
    for (int i = 0; i < WRITERS; i++) {
        snprintf(path, sizeof path, "dir/w%02d-3/inside", i);
        assert_text(s, head, path, writers[i].names[3]);
    }
}

/* All from one base: exactly one wins a round. Odd rounds make the name, even ones remove it. */
static void *fight_for_a_name(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < w->rounds; i++) {
        struct tree *t = tree_new(w->s, "main");
        uint64_t ino = tree_find(w->s, t->fs.base, "prize");
        snprintf(w->names[0], sizeof w->names[0], "by %d", w->id);
        if (ino == 0) {
            tree_file(t, CIS_FS_ROOT, "prize", w->names[0]);
        } else if (w->id % 2 != 0) {
            tree_unlink(t, CIS_FS_ROOT, "prize", ino);
        } else {
            tree_text(t, ino, w->names[0]);
        }
        pthread_barrier_wait(w->round);
        cis_code code = tree_try(t, NULL, NULL);
        assert_true(code == CIS_OK || code == CIS_E_CONFLICT);
        if (code == CIS_OK) {
            atomic_fetch_add(&w->won[i], 1);
        }
        pthread_barrier_wait(w->round);
    }
    return NULL;
}

static void of_writers_of_one_name_exactly_one_wins_each_round(void **state)
{
    enum { ROUNDS = 12, FIGHTERS = 16 };
    cis_store *s = fs_store(state);
    static struct writer writers[FIGHTERS];
    atomic_int won[ROUNDS] = {0};
    pthread_barrier_t round;
    pthread_barrier_init(&round, NULL, FIGHTERS);
    for (int i = 0; i < FIGHTERS; i++) {
        writers[i] =
            (struct writer){.s = s, .id = i, .rounds = ROUNDS, .won = won, .round = &round};
    }
    uint64_t before = tree_head(s, "main").epoch;
    threads_run(fight_for_a_name, writers, FIGHTERS);
    pthread_barrier_destroy(&round);
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(won[i], 1);
    }
    assert_int_equal(tree_head(s, "main").epoch, before + ROUNDS);
}

/* Each file is one inode and seven bytes; odd writers remove what they made again, so that the
 * count goes up and down beside the limit. */
static void *fill_quota(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < w->rounds; i++) {
        struct tree *t = tree_new(w->s, "main");
        char name[24];
        snprintf(name, sizeof name, "q%02d-%d", w->id, i);
        uint64_t ino = tree_file(t, CIS_FS_ROOT, name, "content");
        cis_code code = tree_try(t, NULL, NULL);
        assert_true(code == CIS_OK || code == CIS_E_QUOTA);
        w->committed += code == CIS_OK;
        w->refused += code == CIS_E_QUOTA;
        if (code == CIS_OK && w->id % 2 != 0) {
            t = tree_new(w->s, "main");
            tree_unlink(t, CIS_FS_ROOT, name, ino);
            tree_commit(t);
            w->committed--;
        }
    }
    return NULL;
}

static void fill(cis_store *s, uint64_t files, uint64_t bytes, uint64_t expected)
{
    enum { FILLERS = 16 };
    static struct writer writers[FILLERS];
    struct cis_tenant tenant;
    struct cis_fs_ref r;
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    tenant.quota_files = files;
    tenant.quota_bytes = bytes;
    assert_ok(cis_store_tenant_quota(s, T, &tenant, NULL, err));
    int committed = 0, refused = 0;
    for (int i = 0; i < FILLERS; i++) {
        writers[i] = (struct writer){.s = s, .id = i, .rounds = 12};
    }
    threads_run(fill_quota, writers, FILLERS);
    for (int i = 0; i < FILLERS; i++) {
        committed += writers[i].committed;
        refused += writers[i].refused;
    }
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &r, NULL, err));
    assert_true(refused > 0 && r.files == (uint64_t)committed && r.bytes == r.files * 7);
    assert_true(r.files <= expected);
    /* To the last one: what is left fits exactly. */
    for (uint64_t i = r.files; i <= expected; i++) {
        struct tree *t = tree_new(s, "main");
        char name[24];
        snprintf(name, sizeof name, "last-%llu", (unsigned long long)i);
        tree_file(t, CIS_FS_ROOT, name, "content");
        assert_int_equal(tree_try(t, NULL, NULL), i < expected ? CIS_OK : CIS_E_QUOTA);
    }
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &r, NULL, err));
    assert_true(r.files == expected && r.bytes == expected * 7);
}

static void the_quota_of_files_is_filled_to_the_last_inode(void **state)
{
    fill(fs_store(state), 40, 0, 40);
}

static void the_quota_of_bytes_is_filled_to_the_last_byte(void **state)
{
    fill(fs_store(state), 0, 40 * 7 + 6, 40);
}

/* ---- readers at old epochs ---- */

struct reader {
    cis_store *s;
    atomic_bool *stop;
    uint64_t dir;
    unsigned seen;
};

/* Every commit writes its own number into two files and into the name of a third: a view shows one
 * number everywhere, now and when it is read again. */
static void *read_views(void *arg)
{
    struct reader *r = arg;
    char a[CIS_FS_INLINE_MAX + 1], b[CIS_FS_INLINE_MAX + 1];
    struct cis_view old = {0, 0};
    char remembered[CIS_FS_INLINE_MAX + 1] = "";
    while (!atomic_load(r->stop)) {
        struct cis_view at = tree_head(r->s, "main");
        struct cis_fs_inode row;
        assert_true(tree_stat(r->s, at, tree_find(r->s, at, "a"), &row, a));
        assert_true(tree_stat(r->s, at, tree_find(r->s, at, "b"), &row, b));
        assert_string_equal(a, b);
        char path[CIS_FS_INLINE_MAX + 16];
        snprintf(path, sizeof path, "dir/%s", a);
        assert_int_not_equal(tree_find(r->s, at, path), 0);
        if (old.branch != 0) {
            assert_true(tree_stat(r->s, old, tree_find(r->s, old, "a"), &row, b));
            assert_string_equal(b, remembered);
        }
        if (r->seen++ % 8 == 0) {
            old = at;
            memcpy(remembered, a, sizeof a);
        }
    }
    return NULL;
}

static void readers_see_whole_commits_and_their_own_epoch(void **state)
{
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    uint64_t a = tree_file(t, CIS_FS_ROOT, "a", "0"), b = tree_file(t, CIS_FS_ROOT, "b", "0");
    uint64_t dir = tree_mkdir(t, CIS_FS_ROOT, "dir"), last = tree_file(t, dir, "0", "");
    tree_commit(t);
    atomic_bool stop = false;
    struct reader readers[6];
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        readers[i] = (struct reader){.s = s, .stop = &stop, .dir = dir};
        assert_int_equal(pthread_create(&threads[i], NULL, read_views, &readers[i]), 0);
    }
    char name[2][16] = {"0", ""};
    for (int i = 1; i <= 150; i++) {
        snprintf(name[i % 2], sizeof name[0], "%d", i);
        t = tree_new(s, "main");
        tree_text(t, a, name[i % 2]);
        tree_text(t, b, name[i % 2]);
        tree_unlink(t, dir, name[(i + 1) % 2], last);
        last = tree_file(t, dir, name[i % 2], "");
        tree_commit(t);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_true(readers[i].seen > 0);
    }
}

/* ---- numbers ---- */

struct numbers {
    cis_store *s;
    uint64_t first[40];
};

static void *take_numbers(void *arg)
{
    struct numbers *n = arg;
    for (uint32_t i = 0; i < 40; i++) {
        assert_ok(cis_store_reserve_inodes(n->s, T, i % 7 + 1, &n->first[i], NULL, err));
    }
    return NULL;
}

static void inode_numbers_are_given_to_one_thread_and_never_again(void **state)
{
    static struct numbers numbers[17];
    static bool given[16384];
    pthread_t threads[16];
    for (int i = 0; i < 16; i++) {
        numbers[i].s = fs_store(state);
        assert_int_equal(pthread_create(&threads[i], NULL, take_numbers, &numbers[i]), 0);
    }
    for (int i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
    }
    numbers[16].s = fs_reopen(state);
    take_numbers(&numbers[16]);
    memset(given, 0, sizeof given);
    for (int i = 0; i < 17; i++) {
        for (uint32_t k = 0; k < 40; k++) {
            for (uint32_t j = 0; j < k % 7 + 1; j++) {
                uint64_t ino = numbers[i].first[k] + j;
                assert_true(ino > CIS_FS_ROOT && ino < 16384 && !given[ino]);
                given[ino] = true;
            }
        }
    }
}

/* Everybody waits while a stale base is checked: what is looked at then is bounded. */
static void a_base_behind_too_many_changes_is_a_conflict_and_not_checked(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view base = tree_head(s, "main");
    char names[20][32];
    for (int i = 0; i < 3; i++) {
        struct tree *t = tree_new(s, "main");
        for (int k = 0; k < 20; k++) {
            snprintf(names[k], sizeof names[k], "a-name-of-theirs-%d-%d", i, k);
            tree_file(t, CIS_FS_ROOT, names[k], "x");
        }
        tree_commit(t);
    }
    struct tree *stale = tree_new_at(s, "main", base);
    tree_file(stale, CIS_FS_ROOT, "mine", "x");
    stale->commit.checked_max = 150;
    assert_fails(CIS_E_CONFLICT, "3 commits since it began changed too many names to compare",
                 tree_try(stale, NULL, err));
    assert_int_equal(tree_find(s, tree_head(s, "main"), "mine"), 0);
    stale = tree_new_at(s, "main", base);
    tree_file(stale, CIS_FS_ROOT, "mine", "x");
    stale->commit.checked_max = 3 * 20 * 64;
    tree_commit(stale);
    /* One commit is checked however large it is: any two runs that began together can end. */
    base = tree_head(s, "main");
    struct tree *other = tree_new(s, "main");
    tree_file(other, CIS_FS_ROOT, "a-name-of-theirs", "x");
    tree_commit(other);
    stale = tree_new_at(s, "main", base);
    tree_file(stale, CIS_FS_ROOT, "mine too", "x");
    stale->commit.checked_max = 1;
    tree_commit(stale);
    assert_true(tree_find(s, tree_head(s, "main"), "mine too") != 0);
}

/* Pieces of a commit's keys count by what the other commit may hold. */
static void a_base_behind_more_than_there_is_memory_for_is_a_conflict(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view base = tree_head(s, "main");
    struct cis_budget small = {.limit = 20000}, enough = {.limit = 1u << 20};
    char names[200][CIS_FS_NAME_MAX + 1];
    struct tree *other = tree_new(s, "main");
    for (int i = 0; i < 200; i++) {
        memset(names[i], 'n', CIS_FS_NAME_MAX);
        names[i][CIS_FS_NAME_MAX] = 0;
        names[i][snprintf(names[i], 16, "%d", i)] = 'n';
        tree_file(other, CIS_FS_ROOT, names[i], "x");
    }
    tree_commit(other);
    struct tree *stale = tree_new_at(s, "main", base);
    tree_file(stale, CIS_FS_ROOT, "mine", "x");
    stale->commit.budget = &small;
    assert_fails(CIS_E_CONFLICT, "than there is memory to compare with",
                 tree_try(stale, NULL, err));
    assert_int_equal(small.used, 0);
    assert_int_equal(tree_find(s, tree_head(s, "main"), "mine"), 0);
    stale = tree_new_at(s, "main", base);
    tree_file(stale, CIS_FS_ROOT, "mine", "x");
    stale->commit.budget = &enough;
    tree_commit(stale);
    assert_int_equal(enough.used, 0);
    assert_true(enough.peak > 200 * CIS_FS_NAME_MAX);
}

const struct fs_test fs_tests_race[] = {
    FS_TEST(a_base_behind_more_than_there_is_memory_for_is_a_conflict),
    FS_TEST(a_base_behind_too_many_changes_is_a_conflict_and_not_checked),
    FS_TEST(writers_of_distinct_names_in_one_directory_all_commit),
    FS_TEST(of_writers_of_one_name_exactly_one_wins_each_round),
    FS_TEST(the_quota_of_files_is_filled_to_the_last_inode),
    FS_TEST(the_quota_of_bytes_is_filled_to_the_last_byte),
    FS_TEST(readers_see_whole_commits_and_their_own_epoch),
    FS_TEST(inode_numbers_are_given_to_one_thread_and_never_again),
    {NULL, NULL},
};
