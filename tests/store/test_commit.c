/* How commits are checked and merged: store/commit.h over a backend in memory. */
#include "harness.h"

#include <sys/stat.h>
#include "base/budget.h"
#include "base/mem.h"
#include "fake_txn.h"
#include "store/chunk.h"

static cis_commit_txn txn;

/* The tree at the base: /a/f /a/g (files) /a/d (empty) /b (empty) /a/s → /a/s/t (empty) */
enum { A = 2, B = 3, F = 4, G = 5, D = 6, S = 7, TT = 8, NEW = 100 };

/* ---- a commit put together from single operations ---- */

struct change_set {
    struct cis_fs_dirent dirents[32];
    struct cis_fs_change changes[32];
    struct cis_fs_delta deltas[32];
    struct cis_fs_new_extent extents[8];
    struct cis_fs_commit fs;
    struct cis_store_commit commit;
};

static struct cis_fs_time at_time(int64_t s)
{
    return (struct cis_fs_time){s, 5};
}

static void set_init(struct change_set *set, struct cis_view base)
{
    memset(set, 0, sizeof *set);
    set->fs = (struct cis_fs_commit){.base = base,
                                     .dirents = set->dirents,
                                     .changes = set->changes,
                                     .deltas = set->deltas,
                                     .extents = set->extents};
    set->commit.fs = &set->fs;
    set->commit.kind = "fs";
}

static void entry(struct change_set *set, uint64_t dir, const char *name, uint64_t ino,
                  uint32_t type)
{
    size_t at = set->fs.ndirents++;
    for (; at > 0 && (set->dirents[at - 1].parent > dir ||
                      (set->dirents[at - 1].parent == dir &&
                       cis_str_cmp(set->dirents[at - 1].name, cis_str_of(name)) > 0));
         at--) {
        set->dirents[at] = set->dirents[at - 1];
    }
    set->dirents[at] = (struct cis_fs_dirent){
        .parent = dir, .ino = ino, .mode = ino != 0 ? type : 0, .name = cis_str_of(name)};
}

static struct cis_fs_change *change(struct change_set *set, enum cis_fs_inode_kind kind,
                                    uint64_t ino, uint32_t mode)
{
    size_t at = set->fs.nchanges++;
    for (; at > 0 && (set->changes[at - 1].inode.ino > ino ||
                      (set->changes[at - 1].inode.ino == ino && set->changes[at - 1].kind > kind));
         at--) {
        set->changes[at] = set->changes[at - 1];
    }
    set->changes[at] = (struct cis_fs_change){
        .kind = kind,
        .is_new = ino >= NEW,
        .inode = {.ino = ino, .mode = mode, .nlink = S_ISDIR(mode) ? 2 : 1, .ctime = at_time(20)}};
    return &set->changes[at];
}

static void delta(struct change_set *set, uint64_t ino, int nlink, int64_t when)
{
    size_t at = set->fs.ndeltas++;
    for (; at > 0 && set->deltas[at - 1].ino > ino; at--) {
        set->deltas[at] = set->deltas[at - 1];
    }
    set->deltas[at] = (struct cis_fs_delta){ino, nlink, at_time(when), at_time(when)};
}

static cis_code apply(struct change_set *set, struct cis_fs_committed *out, struct cis_error *err)
{
    struct cis_fs_committed done;
    CIS_TRY(cis_store_commit_check(&set->commit, err));
    CIS_TRY(cis_commit_apply(&fake_txn_ops, &txn, &set->commit, &done, err));
    if (out != NULL) {
        *out = done;
    }
    return CIS_OK;
}

static int setup(void **state)
{
    (void)state;
    struct change_set set;
    fake_txn_init(&txn);
    set_init(&set, txn.head.head);
    entry(&set, 1, "a", A, S_IFDIR);
    entry(&set, 1, "b", B, S_IFDIR);
    entry(&set, A, "f", F, S_IFREG);
    entry(&set, A, "g", G, S_IFREG);
    entry(&set, A, "d", D, S_IFDIR);
    entry(&set, A, "s", S, S_IFDIR);
    entry(&set, S, "t", TT, S_IFDIR);
    for (uint64_t ino = A; ino <= TT; ino++) {
        bool file = ino == F || ino == G;
        struct cis_fs_change *c =
            change(&set, CIS_FS_PUT, ino, file ? S_IFREG | 0644 : S_IFDIR | 0755);
        c->is_new = true;
        c->inode.parent = file ? 0 : ino == TT ? S : ino == D || ino == S ? A : 1;
        c->inode.nlink = file ? 1 : ino == A ? 4 : ino == S ? 3 : 2;
        c->inode.mtime = c->inode.atime = c->inode.ctime = at_time(10);
    }
    delta(&set, 1, 2, 10);
    set.fs.files = 7;
    assert_ok(apply(&set, NULL, err));
    fake_tree_check(&txn);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_mem_fail_after(SIZE_MAX);
    fake_txn_done(&txn);
    return 0;
}

/* ---- every pair of operations ---- */

static void op_rename_file(struct change_set *set)
{
    entry(set, A, "f", 0, 0);
    entry(set, B, "f2", F, S_IFREG);
    change(set, CIS_FS_PUT, F, S_IFREG | 0644);
    delta(set, A, 0, 20);
    delta(set, B, 0, 20);
}

static void op_rename_over(struct change_set *set) /* f over g */
{
    entry(set, A, "f", 0, 0);
    entry(set, A, "g", F, S_IFREG);
    change(set, CIS_FS_PUT, F, S_IFREG | 0644);
    change(set, CIS_FS_GONE, G, S_IFREG | 0644);
    delta(set, A, 0, 20);
    set->fs.files = -1;
}

static void op_move_dir(struct change_set *set) /* d into b */
{
    entry(set, A, "d", 0, 0);
    entry(set, B, "d", D, S_IFDIR);
    change(set, CIS_FS_MOVED, D, S_IFDIR | 0755)->inode.parent = B;
    delta(set, A, -1, 20);
    delta(set, B, 1, 20);
}

static void op_move_other(struct change_set *set) /* b into d */
{
    entry(set, 1, "b", 0, 0);
    entry(set, D, "b", B, S_IFDIR);
    change(set, CIS_FS_MOVED, B, S_IFDIR | 0755)->inode.parent = D;
    delta(set, 1, -1, 20);
    delta(set, D, 1, 20);
}

static void op_rmdir(struct change_set *set)
{
    entry(set, A, "d", 0, 0);
    change(set, CIS_FS_GONE, D, S_IFDIR | 0755);
    delta(set, A, -1, 20);
    set->fs.files = -1;
}

static void op_create_in_d(struct change_set *set)
{
    uint64_t ino = NEW + txn.head.head.epoch;
    entry(set, D, "n", ino, S_IFREG);
    change(set, CIS_FS_PUT, ino, S_IFREG | 0600);
    delta(set, D, 0, 20);
    set->fs.files = 1;
}

static void op_create(struct change_set *set)
{
    uint64_t ino = NEW + txn.head.head.epoch;
    entry(set, A, "n", ino, S_IFREG);
    change(set, CIS_FS_PUT, ino, S_IFREG | 0600);
    delta(set, A, 0, 20);
    set->fs.files = 1;
}

static void op_mkdir(struct change_set *set)
{
    uint64_t ino = NEW + txn.head.head.epoch;
    entry(set, D, "m", ino, S_IFDIR);
    change(set, CIS_FS_PUT, ino, S_IFDIR | 0700)->inode.parent = D;
    delta(set, D, 1, 20);
    set->fs.files = 1;
}

static void op_link(struct change_set *set) /* f as d/l */
{
    entry(set, D, "l", F, S_IFREG);
    change(set, CIS_FS_PUT, F, S_IFREG | 0644)->inode.nlink = 2;
    delta(set, D, 0, 20);
}

static void op_unlink(struct change_set *set)
{
    entry(set, A, "f", 0, 0);
    change(set, CIS_FS_GONE, F, S_IFREG | 0644);
    delta(set, A, 0, 20);
    set->fs.files = -1;
}

static void op_chmod(struct change_set *set)
{
    change(set, CIS_FS_PUT, F, S_IFREG | 0600);
}

static void op_chmod_dir(struct change_set *set)
{
    struct cis_fs_change *c = change(set, CIS_FS_DIRATTR, D, S_IFDIR | 0711);
    c->inode.parent = A;
    c->inode.atime = c->inode.mtime = at_time(10);
}

static void op_write(struct change_set *set)
{
    struct cis_fs_change *c = change(set, CIS_FS_PUT, F, S_IFREG | 0644);
    c->inode.size = 100000;
    set->extents[set->fs.nextents++] = (struct cis_fs_new_extent){F, 0, 17, -1};
    set->extents[set->fs.nextents++] = (struct cis_fs_new_extent){F, 1, 18, -1};
    set->fs.bytes = 100000;
}

static void op_truncate(struct change_set *set)
{
    change(set, CIS_FS_PUT, F, S_IFREG | 0644);
    set->extents[set->fs.nextents++] = (struct cis_fs_new_extent){F, 0, 0, -1};
}

static void op_write_g(struct change_set *set)
{
    change(set, CIS_FS_PUT, G, S_IFREG | 0644)->inode.size = 5;
    set->fs.bytes = 5;
}

#define FILE_F "rename file|rename over|link|unlink|chmod|write|truncate"
static const struct op {
    const char *name;
    void (*make)(struct change_set *set);
    const char *loses_to; /* names of operations that, committed first, make this one conflict */
} ops[] = {
    {"rename file", op_rename_file, FILE_F},
    {"rename over", op_rename_over, FILE_F "|write g"},
    {"move dir", op_move_dir, "move dir|move other|rmdir"},
    {"move other", op_move_other, "move dir|move other|rmdir"},
    {"rmdir", op_rmdir, "move dir|move other|rmdir|create in d|mkdir|link|chmod dir"},
    {"create in d", op_create_in_d, "create in d|rmdir"},
    {"create", op_create, "create"},
    {"mkdir", op_mkdir, "mkdir|rmdir"},
    {"link", op_link, FILE_F "|rmdir"},
    {"unlink", op_unlink, FILE_F},
    {"chmod", op_chmod, FILE_F},
    {"chmod dir", op_chmod_dir, "chmod dir|rmdir"},
    {"write", op_write, FILE_F},
    {"truncate", op_truncate, FILE_F},
    {"write g", op_write_g, "rename over|write g"},
};
#define OPS (sizeof ops / sizeof *ops)

static bool listed(const char *list, const char *name)
{
    struct cis_str rest = cis_str_of(list), head;
    bool more = true;
    while (more) {
        more = cis_str_split(&rest, '|', &head);
        if (cis_str_is(head, name)) {
            return true;
        }
    }
    return false;
}

static void every_pair_of_operations_conflicts_or_merges_by_the_rules(void **state)
{
    for (size_t i = 0; i < OPS; i++) {
        for (size_t k = 0; k < OPS; k++) {
            struct change_set first, second;
            struct cis_error err = {0};
            struct cis_view base = txn.head.head;
            set_init(&first, base);
            ops[i].make(&first);
            assert_int_equal(apply(&first, NULL, &err), CIS_OK);
            fake_tree_check(&txn);
            set_init(&second, base);
            ops[k].make(&second);
            bool expected = listed(ops[k].loses_to, ops[i].name);
            cis_code code = apply(&second, NULL, &err);
            if (code != (expected ? CIS_E_CONFLICT : CIS_OK)) {
                fail_msg("%s after %s: %s (%s)", ops[k].name, ops[i].name, cis_code_name(code),
                         err.msg);
            }
            assert_int_equal(txn.head.head.epoch, base.epoch + (expected ? 1 : 2));
            fake_tree_check(&txn);
            teardown(state);
            setup(state);
        }
    }
}

static void each_operation_at_the_head_reads_no_blobs(void **state)
{
    for (size_t i = 0; i < OPS; i++) {
        struct change_set set;
        set_init(&set, txn.head.head);
        ops[i].make(&set);
        assert_ok(apply(&set, NULL, err));
        assert_int_equal(txn.asked_keys, 0);
        assert_true(txn.asked_inodes <= 2);
        fake_tree_check(&txn);
        teardown(state);
        setup(state);
    }
}

static void every_failed_allocation_is_an_error_and_leaves_the_head(void **state)
{
    (void)state;
    struct change_set first, second;
    struct cis_view base = txn.head.head;
    static const struct cis_kv_op kv = {.ns = {"n", 1}, .key = {"k", 1}};
    set_init(&first, base);
    op_create_in_d(&first);
    first.commit.kv = &kv;
    first.commit.nkv = 1;
    assert_ok(apply(&first, NULL, err));
    set_init(&second, base);
    op_chmod_dir(&second);
    op_write(&second);
    second.commit.kv = &kv;
    second.commit.nkv = 1;
    cis_code code = CIS_E_NOMEM;
    for (size_t n = 0; code == CIS_E_NOMEM; n++) {
        struct cis_error err = {0};
        assert_true(n < 100);
        assert_int_equal(txn.head.head.epoch, base.epoch + 1);
        cis_mem_fail_after(n);
        code = apply(&second, NULL, &err);
        cis_mem_fail_after(SIZE_MAX);
        assert_true(code != CIS_OK || n > 3);
    }
    assert_int_equal(code, CIS_OK);
    fake_tree_check(&txn);
}

/* ---- merging of directories ---- */

static void names_added_by_two_runs_both_count(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    set_init(&two, base);
    for (int i = 0; i < 2; i++) {
        struct change_set *set = i == 0 ? &one : &two;
        uint64_t ino = NEW + 50 + (uint64_t)i;
        entry(set, D, i == 0 ? "x" : "y", ino, S_IFDIR);
        change(set, CIS_FS_PUT, ino, S_IFDIR | 0700)->inode.parent = D;
        delta(set, D, 1, i == 0 ? 40 : 30);
        set->fs.files = 1;
    }
    uint64_t files = txn.head.files;
    assert_ok(apply(&one, NULL, err));
    struct cis_fs_committed out = {0};
    assert_ok(apply(&two, &out, err));
    const struct cis_fs_inode *d = fake_inode(&txn, D);
    assert_int_equal(d->nlink, 4);
    assert_int_equal(d->mtime.s, 40); /* the later one, though its commit came first */
    assert_true(out.files == files + 2 && out.view.epoch == base.epoch + 2);
    fake_tree_check(&txn);
}

static void chmod_of_a_directory_keeps_what_others_put_there(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_mkdir(&one); /* mtime 20, nlink 3 */
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base);
    op_chmod_dir(&two); /* mtime as at the base: 10 */
    two.changes[0].inode.uid = 5;
    assert_ok(apply(&two, NULL, err));
    const struct cis_fs_inode *d = fake_inode(&txn, D);
    assert_int_equal(d->mode, S_IFDIR | 0711);
    assert_int_equal(d->uid, 5);
    assert_int_equal(d->nlink, 3);
    assert_int_equal(d->mtime.s, 20);
    assert_int_equal(d->parent, A);
}

static void utimens_of_a_directory_is_stored_exactly(void **state)
{
    (void)state;
    struct change_set one, two, three;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_mkdir(&one);
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base);
    op_chmod_dir(&two);
    two.changes[0].inode.mtime = (struct cis_fs_time){-7, 3};
    two.changes[0].inode.atime = (struct cis_fs_time){-8, 4};
    assert_ok(apply(&two, NULL, err));
    assert_int_equal(fake_inode(&txn, D)->mtime.s, -7);
    assert_int_equal(fake_inode(&txn, D)->atime.s, -8);
    /* At the head too, and beside a name of the same run. */
    set_init(&three, txn.head.head);
    op_create_in_d(&three);
    op_chmod_dir(&three);
    three.changes[0].inode.mtime = at_time(3);
    assert_ok(apply(&three, NULL, err));
    assert_int_equal(fake_inode(&txn, D)->mtime.s, 3);
    assert_int_equal(fake_inode(&txn, D)->ctime.s, 20);
}

static void names_and_chmod_of_one_run_do_not_turn_times_back(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_mkdir(&one);
    one.deltas[0].mtime = at_time(50);
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base);
    op_create_in_d(&two);
    op_chmod_dir(&two);
    two.changes[0].inode.mtime = at_time(20); /* what the new name made of it */
    assert_ok(apply(&two, NULL, err));
    assert_int_equal(fake_inode(&txn, D)->mtime.s, 50);
}

static void a_directory_moved_by_one_and_changed_by_the_other_is_both(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_move_dir(&one);
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base);
    op_chmod_dir(&two);
    delta(&two, D, 0, 60);
    assert_ok(apply(&two, NULL, err));
    const struct cis_fs_inode *d = fake_inode(&txn, D);
    assert_int_equal(d->parent, B);
    assert_int_equal(d->mode, S_IFDIR | 0711);
    assert_int_equal(d->ctime.s, 60);
}

static void times_of_a_directory_that_is_gone_are_dropped(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_rmdir(&one);
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base);
    delta(&two, D, 0, 60); /* a name was made there and removed again */
    assert_ok(apply(&two, NULL, err));
    assert_null(fake_inode(&txn, D));
    fake_tree_check(&txn);
}

static void a_name_that_came_and_went_does_not_stop_rmdir(void **state)
{
    (void)state;
    struct change_set come, go, mine;
    struct cis_view base = txn.head.head;
    set_init(&come, base);
    op_create_in_d(&come);
    uint64_t ino = come.changes[0].inode.ino;
    assert_ok(apply(&come, NULL, err));
    set_init(&mine, base);
    op_rmdir(&mine);
    assert_fails(CIS_E_CONFLICT, "put \"n\" into a directory", apply(&mine, NULL, err));
    set_init(&go, txn.head.head);
    entry(&go, D, "n", 0, 0);
    change(&go, CIS_FS_GONE, ino, S_IFREG | 0600)->is_new = false;
    delta(&go, D, 0, 21);
    assert_ok(apply(&go, NULL, err));
    assert_ok(apply(&mine, NULL, err));
    fake_tree_check(&txn);
}

/* What is remembered under the lock is bounded: past it a conflict, though all names went again. */
static void very_many_names_that_came_and_went_stop_rmdir(void **state)
{
    (void)state;
    struct cis_view base = txn.head.head;
    struct change_set set, mine;
    char names[100][8];
    set_init(&mine, base);
    op_rmdir(&mine);
    for (int i = 0; i < 200; i++) {
        uint64_t ino = NEW + 200 + (uint64_t)(i % 100);
        snprintf(names[i % 100], sizeof names[0], "n%d", i % 100);
        set_init(&set, txn.head.head);
        entry(&set, D, names[i % 100], i < 100 ? ino : 0, S_IFREG);
        change(&set, i < 100 ? CIS_FS_PUT : CIS_FS_GONE, ino, S_IFREG | 0600)->is_new = i < 100;
        delta(&set, D, 0, 20);
        assert_ok(apply(&set, NULL, err));
        if (i == 30) { /* few are remembered one by one */
            assert_fails(CIS_E_CONFLICT, "put \"n0\" into", apply(&mine, NULL, err));
        }
    }
    assert_fails(CIS_E_CONFLICT, "put \"n64\" into a directory", apply(&mine, NULL, err));
}

static void moves_that_tie_no_knot_merge(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_move_dir(&one); /* d into b */
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base); /* s/t into d */
    entry(&two, S, "t", 0, 0);
    entry(&two, D, "t", TT, S_IFDIR);
    change(&two, CIS_FS_MOVED, TT, S_IFDIR | 0755)->inode.parent = D;
    delta(&two, S, -1, 20);
    delta(&two, D, 1, 20);
    assert_ok(apply(&two, NULL, err));
    fake_tree_check(&txn);
    assert_int_equal(fake_inode(&txn, TT)->parent, D);
}

/* A chain of LEVELS directories, as many beside it; all of these move to its end. */
enum { LEVELS = 300, CHAIN = NEW, BESIDE = NEW + LEVELS };

struct levels {
    struct cis_fs_dirent dirents[2 * LEVELS];
    struct cis_fs_change changes[2 * LEVELS];
    struct cis_fs_delta deltas[2];
    char names[LEVELS][8];
    struct cis_fs_commit fs;
    struct cis_store_commit commit;
};

static void levels_init(struct levels *l)
{
    memset(l, 0, sizeof *l);
    l->fs = (struct cis_fs_commit){
        .base = txn.head.head, .dirents = l->dirents, .changes = l->changes, .deltas = l->deltas};
    l->commit = (struct cis_store_commit){.fs = &l->fs, .kind = "fs"};
    for (unsigned i = 0; i < LEVELS; i++) {
        snprintf(l->names[i], sizeof l->names[i], "m%03u", i);
    }
}

static void levels_entry(struct levels *l, uint64_t dir, const char *name, uint64_t ino)
{
    l->dirents[l->fs.ndirents++] = (struct cis_fs_dirent){
        .parent = dir, .ino = ino, .mode = ino != 0 ? S_IFDIR : 0, .name = cis_str_of(name)};
}

static void levels_change(struct levels *l, enum cis_fs_inode_kind kind, uint64_t ino,
                          uint64_t parent, uint32_t nlink)
{
    l->changes[l->fs.nchanges++] = (struct cis_fs_change){.kind = kind,
                                                          .is_new = kind == CIS_FS_PUT,
                                                          .inode = {.ino = ino,
                                                                    .parent = parent,
                                                                    .mode = S_IFDIR | 0755,
                                                                    .nlink = nlink,
                                                                    .ctime = at_time(20)}};
}

static void levels_make(struct levels *l)
{
    levels_init(l);
    levels_entry(l, 1, "c", CHAIN);
    for (unsigned i = 0; i < LEVELS; i++) {
        levels_entry(l, 1, l->names[i], BESIDE + i);
        levels_change(l, CIS_FS_PUT, CHAIN + i, i == 0 ? 1 : CHAIN + i - 1,
                      i == LEVELS - 1 ? 2 : 3);
    }
    for (unsigned i = 0; i < LEVELS; i++) {
        if (i > 0) {
            levels_entry(l, CHAIN + i - 1, "c", CHAIN + i);
        }
        levels_change(l, CIS_FS_PUT, BESIDE + i, 1, 2);
    }
    l->deltas[l->fs.ndeltas++] = (struct cis_fs_delta){1, LEVELS + 1, at_time(20), at_time(20)};
    l->fs.files = 2 * LEVELS;
}

static void levels_move(struct levels *l)
{
    uint64_t end = CHAIN + LEVELS - 1;
    levels_init(l);
    for (unsigned i = 0; i < 2 * LEVELS; i++) {
        unsigned at = i % LEVELS;
        levels_entry(l, i < LEVELS ? 1 : end, l->names[at], i < LEVELS ? 0 : BESIDE + at);
    }
    for (unsigned i = 0; i < LEVELS; i++) {
        levels_change(l, CIS_FS_MOVED, BESIDE + i, end, 2);
    }
    l->deltas[0] = (struct cis_fs_delta){1, -LEVELS, at_time(30), at_time(30)};
    l->deltas[1] = (struct cis_fs_delta){end, LEVELS, at_time(30), at_time(30)};
    l->fs.ndeltas = 2;
}

static cis_code levels_apply(struct levels *l, struct cis_error *err)
{
    struct cis_fs_committed done;
    CIS_TRY(cis_store_commit_check(&l->commit, err));
    return cis_commit_apply(&fake_txn_ops, &txn, &l->commit, &done, err);
}

static void the_way_up_is_walked_once_for_all_that_moved(void **state)
{
    (void)state;
    struct levels *l = malloc(sizeof *l), *mine = malloc(sizeof *mine);
    struct change_set theirs;
    levels_make(l);
    assert_ok(levels_apply(l, err));
    levels_move(mine);
    set_init(&theirs, txn.head.head);
    entry(&theirs, A, "d", 0, 0);
    entry(&theirs, B, "d", D, S_IFDIR);
    change(&theirs, CIS_FS_MOVED, D, S_IFDIR | 0755)->inode.parent = B;
    delta(&theirs, A, -1, 40);
    delta(&theirs, B, 1, 40);
    assert_ok(apply(&theirs, NULL, err));
    txn.asked_inodes = 0;
    assert_ok(levels_apply(mine, err));
    assert_true(txn.asked_inodes >= LEVELS);
    assert_true(txn.asked_inodes <= LEVELS + 8); /* not LEVELS times LEVELS */
    fake_tree_check(&txn);
    free(mine);
    free(l);
}

static void what_a_commit_holds_is_charged_to_its_budget(void **state)
{
    (void)state;
    struct levels *l = malloc(sizeof *l);
    struct cis_budget budget = {.limit = UINT64_MAX};
    levels_make(l);
    l->commit.budget = &budget;
    for (budget.limit = 0; budget.limit < 2u << 20; budget.limit += 4096) {
        cis_code code = levels_apply(l, NULL);
        assert_int_equal(budget.used, 0);
        assert_true(budget.peak <= budget.limit);
        if (code == CIS_OK) {
            break;
        }
        assert_int_equal(code, CIS_E_BUDGET);
        assert_int_equal(fake_lookup(&txn, 1, "c"), 0);
    }
    assert_int_equal(fake_lookup(&txn, 1, "c"), CHAIN);
    assert_true(budget.peak >= 2 * LEVELS * sizeof(struct cis_fs_inode));
    free(l);
}

static void a_knot_over_a_new_directory_of_mine_is_found(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_move_dir(&one); /* d into b */
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base); /* mkdir d/m; b into d/m */
    op_mkdir(&two);
    uint64_t m = two.changes[0].inode.ino;
    entry(&two, 1, "b", 0, 0);
    entry(&two, m, "b", B, S_IFDIR);
    change(&two, CIS_FS_MOVED, B, S_IFDIR | 0755)->inode.parent = m;
    delta(&two, 1, -1, 20);
    assert_fails(CIS_E_CONFLICT, "inside itself", apply(&two, NULL, err));
}

/* The directory that is looked at first is not part of it: the walk must not go round for ever. */
static void a_knot_that_the_way_up_runs_into_is_found(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    struct cis_budget budget = {.limit = 1u << 20};
    set_init(&one, base); /* a/d into a/s/t */
    entry(&one, A, "d", 0, 0);
    entry(&one, TT, "d", D, S_IFDIR);
    change(&one, CIS_FS_MOVED, D, S_IFDIR | 0755)->inode.parent = TT;
    delta(&one, A, -1, 20);
    delta(&one, TT, 1, 20);
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base); /* b and a/s/t into a/d */
    entry(&two, 1, "b", 0, 0);
    entry(&two, S, "t", 0, 0);
    entry(&two, D, "b", B, S_IFDIR);
    entry(&two, D, "t", TT, S_IFDIR);
    change(&two, CIS_FS_MOVED, B, S_IFDIR | 0755)->inode.parent = D;
    change(&two, CIS_FS_MOVED, TT, S_IFDIR | 0755)->inode.parent = D;
    delta(&two, 1, -1, 20);
    delta(&two, S, -1, 20);
    delta(&two, D, 2, 20);
    two.commit.budget = &budget;
    assert_fails(CIS_E_CONFLICT, "inside itself", apply(&two, NULL, err));
    assert_int_equal(fake_inode(&txn, B)->parent, 1);
}

/* ---- memory ---- */

static cis_code remember(const char *key, struct cis_view base, bool strict, struct cis_error *err)
{
    struct cis_kv_op op = {.ns = CIS_STR("skill"), .key = cis_str_of(key)};
    struct cis_store_commit commit = {.kv = &op, .nkv = 1, .base = base, .strict_memory = strict};
    struct cis_fs_committed out = {0};
    return cis_commit_apply(&fake_txn_ops, &txn, &commit, &out, err);
}

static void strict_memory_keys_conflict_and_ordinary_ones_do_not(void **state)
{
    (void)state;
    struct cis_view base = txn.head.head;
    assert_ok(remember("k", base, true, err));
    assert_ok(remember("other", base, true, err));
    assert_fails(CIS_E_CONFLICT, "the memory key \"k\"", remember("k", base, true, err));
    assert_ok(remember("k", base, false, err));
    assert_ok(
        remember("k", CIS_VIEW_HEAD, true, err)); /* the head as it is: nothing came between */
    assert_string_equal(txn.commits[txn.ncommits - 1].kind, "memory");
    struct cis_view elsewhere = {9, 1};
    assert_ok(remember("k", elsewhere, false, err)); /* ordinary memory follows the ref */
    assert_fails(CIS_E_CONFLICT, "rolled back", remember("k", elsewhere, true, err));
}

static void memory_keys_of_a_commit_are_sorted_and_each_once(void **state)
{
    (void)state;
    static const char *const keys[] = {"b", "a", "b", "", "ab"};
    struct cis_kv_op op[5] = {0};
    for (size_t i = 0; i < 5; i++) {
        op[i].ns = i == 3 ? CIS_STR("m") : CIS_STR("n");
        op[i].key = i == 3 ? CIS_STR("z") : cis_str_of(keys[i]);
    }
    struct cis_store_commit commit = {.kv = op, .nkv = 5};
    struct cis_fs_committed out = {0};
    assert_ok(cis_commit_apply(&fake_txn_ops, &txn, &commit, &out, err));
    struct cis_bytes blob = {txn.commits[txn.ncommits - 1].keys, txn.commits[txn.ncommits - 1].len};
    static const char *const expected[] = {"mz", "na", "nab", "nb"};
    size_t at = 0;
    bool more;
    struct cis_key key;
    for (size_t i = 0; i < 4; i++) {
        char text[8];
        assert_ok(cis_keys_next(blob, &at, &key, &more, err));
        assert_true(more && key.kind == CIS_KEY_MEMORY);
        snprintf(text, sizeof text, CIS_STR_FMT CIS_STR_FMT, CIS_STR_ARG(key.ns),
                 CIS_STR_ARG(key.name));
        assert_string_equal(text, expected[i]);
    }
    assert_ok(cis_keys_next(blob, &at, &key, &more, err));
    assert_false(more);
}

/* ---- who may write, from where, how much ---- */

static void a_commit_of_nothing_makes_no_epoch(void **state)
{
    (void)state;
    struct change_set set;
    struct cis_fs_committed out = {0};
    struct cis_view base = txn.head.head;
    txn.asked_head = 0;
    set_init(&set, base);
    assert_ok(apply(&set, &out, err));
    assert_true(out.view.branch == base.branch && out.view.epoch == base.epoch);
    assert_true(txn.head.head.epoch == base.epoch && txn.asked_head == 0);
}

static void a_lease_of_another_and_a_lost_lease_refuse(void **state)
{
    (void)state;
    struct change_set set;
    set_init(&set, txn.head.head);
    op_create(&set);
    txn.head.fence = 7;
    memcpy(txn.head.holder, "mount of x", 11);
    assert_fails(CIS_E_CONFLICT, "in use by mount of x", apply(&set, NULL, err));
    set.commit.fence = 6;
    assert_fails(CIS_E_CONFLICT, "lease on the branch was lost", apply(&set, NULL, err));
    txn.head.fence = 0; /* ran out */
    assert_fails(CIS_E_CONFLICT, "lease on the branch was lost", apply(&set, NULL, err));
    txn.head.fence = 6;
    assert_ok(apply(&set, NULL, err));
}

static void a_base_elsewhere_below_the_floor_or_ahead_is_refused(void **state)
{
    (void)state;
    struct change_set set;
    struct cis_view base = txn.head.head;
    set_init(&set, (struct cis_view){base.branch + 1, base.epoch});
    op_create(&set);
    assert_fails(CIS_E_CONFLICT, "rolled back or switched", apply(&set, NULL, err));
    set.fs.base = (struct cis_view){base.branch, base.epoch + 1};
    assert_fails(CIS_E_INVALID, "not in the branch", apply(&set, NULL, err));
    set.fs.base = base;
    txn.head.floor = base.epoch + 1;
    assert_fails(CIS_E_EXPIRED, "no longer kept", apply(&set, NULL, err));
    txn.head.fork_epoch = base.epoch + 1;
    assert_fails(CIS_E_INVALID, "not in the branch", apply(&set, NULL, err));
    txn.head.fork_epoch = base.epoch;
    txn.kept = true; /* a pin holds it */
    assert_ok(apply(&set, NULL, err));
}

static void missing_and_damaged_keys_of_others_are_found(void **state)
{
    (void)state;
    struct change_set one, two;
    struct cis_view base = txn.head.head;
    set_init(&one, base);
    op_create_in_d(&one);
    assert_ok(apply(&one, NULL, err));
    set_init(&two, base);
    op_write(&two);
    struct fake_commit *c = &txn.commits[txn.ncommits - 1];
    c->lost = true;
    assert_fails(CIS_E_DAMAGED, "is missing", apply(&two, NULL, err));
    c->lost = false;
    c->len--;
    assert_fails(CIS_E_DAMAGED, "changed keys", apply(&two, NULL, err));
    c->len++;
    c->keys[0] = 9;
    assert_fails(CIS_E_DAMAGED, "changed keys", apply(&two, NULL, err));
    c->keys[0] = 1;
    assert_ok(apply(&two, NULL, err));
}

static void quotas_are_exact_and_stop_only_growth(void **state)
{
    (void)state;
    struct change_set set;
    txn.head.quota_files = txn.head.files + 1;
    txn.head.quota_bytes = 100000;
    set_init(&set, txn.head.head);
    op_create(&set);
    assert_ok(apply(&set, NULL, err)); /* the last file */
    set_init(&set, txn.head.head);
    op_create_in_d(&set);
    assert_fails(CIS_E_QUOTA, "files: ", apply(&set, NULL, err));
    set_init(&set, txn.head.head);
    op_write(&set); /* the last byte */
    assert_ok(apply(&set, NULL, err));
    set_init(&set, txn.head.head);
    op_write_g(&set);
    assert_fails(CIS_E_QUOTA, "bytes of files: 100005 would be used, the quota is 100000",
                 apply(&set, NULL, err));
    /* Lowered below what is used: shrinking goes on. */
    txn.head.quota_files = 1;
    txn.head.quota_bytes = 1;
    set_init(&set, txn.head.head);
    op_unlink(&set);
    set.fs.bytes = -100000;
    assert_ok(apply(&set, NULL, err));
    set.fs.base = txn.head.head;
    set.fs.bytes = -1; /* below zero: the counts are not what rows say */
    assert_fails(CIS_E_DAMAGED, "cannot be", apply(&set, NULL, err));
}

static void memory_quotas_are_exact(void **state)
{
    (void)state;
    struct cis_kv_op op = {.ns = CIS_STR("n"), .key = CIS_STR("k")};
    struct cis_store_commit commit = {.kv = &op, .nkv = 1, .quota_bytes = 10, .quota_keys = 2};
    struct cis_fs_committed out = {0};
    txn.kv_bytes = 10;
    txn.kv_keys = 2;
    assert_ok(cis_commit_apply(&fake_txn_ops, &txn, &commit, &out, err));
    txn.kv_bytes = 1;
    txn.kv_keys = 0;
    assert_fails(CIS_E_QUOTA, "memory bytes",
                 cis_commit_apply(&fake_txn_ops, &txn, &commit, &out, err));
    txn.kv_bytes = 0;
    txn.kv_keys = 1;
    assert_fails(CIS_E_QUOTA, "memory keys",
                 cis_commit_apply(&fake_txn_ops, &txn, &commit, &out, err));
    txn.kv_bytes = -4;
    txn.kv_keys = -1;
    assert_ok(cis_commit_apply(&fake_txn_ops, &txn, &commit, &out, err));
    assert_true(txn.head.kv_bytes == 6 && txn.head.kv_keys == 1);
}

/* What is looked at while everybody waits is bounded by the bytes of all commits since, to the
 * byte; a single one is looked at whatever its size. */
static void commits_since_the_base_are_checked_up_to_the_bound_and_one_always(void **state)
{
    (void)state;
    static const struct cis_str names[2] = {CIS_STR("one"), CIS_STR("two")};
    struct cis_budget budget = {.limit = 8u << 20};
    struct cis_view base = txn.head.head;
    struct change_set set, mine;
    uint64_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        set_init(&set, txn.head.head);
        op_create_in_d(&set);
        set.dirents[0].name = names[i];
        assert_ok(apply(&set, NULL, err));
        bytes += txn.commits[txn.ncommits - 1].len;
    }
    set_init(&mine, base);
    op_write(&mine);
    mine.commit.checked_max = bytes - 1;
    assert_fails(CIS_E_CONFLICT, "2 commits since it began", apply(&mine, NULL, err));
    mine.commit.checked_max = bytes;
    assert_ok(apply(&mine, NULL, err));
    base = txn.head.head;
    set_init(&set, base);
    op_create(&set);
    assert_ok(apply(&set, NULL, err));
    set_init(&mine, base);
    op_write_g(&mine);
    mine.commit.budget = &budget; /* the bytes are asked for then */
    mine.commit.checked_max = txn.commits[txn.ncommits - 1].len - 1;
    assert_ok(apply(&mine, NULL, err));
    assert_int_equal(budget.used, 0);
}

/* Of what the newest commit says that it changed: the keys of this kind and number. */
static size_t told(enum cis_key_kind kind, uint64_t ino)
{
    const struct fake_commit *c = &txn.commits[txn.ncommits - 1];
    struct cis_bytes keys = {c->keys, c->len};
    size_t n = 0, at = 0;
    struct cis_key key;
    for (bool more = true;;) {
        assert_ok(cis_keys_next(keys, &at, &key, &more, err));
        if (!more) {
            return n;
        }
        n += key.kind == kind && key.ino == ino;
    }
}

static void a_directory_whose_times_alone_changed_is_told_of(void **state)
{
    (void)state;
    struct change_set set;
    set_init(&set, txn.head.head);
    delta(&set, D, 0, 30); /* a name came and went within the commit */
    assert_ok(apply(&set, NULL, err));
    assert_int_equal(told(CIS_KEY_DIRTIME, D), 1);
    set_init(&set, txn.head.head);
    op_create_in_d(&set);
    assert_ok(apply(&set, NULL, err));
    assert_int_equal(told(CIS_KEY_DIRTIME, D), 0); /* its new name says so */
    assert_int_equal(told(CIS_KEY_DIRENT, D), 1);
}

/* ---- what is not well formed ---- */

static void commits_that_are_not_well_formed_are_refused(void **state)
{
    (void)state;
    struct change_set set;
    uint8_t chunk[CIS_CHUNK_HEAD + 8] = {0}, long_data[CIS_FS_INLINE_MAX + 1] = {0};
    struct cis_fs_chunk unpacked = {.packed = {chunk, sizeof chunk}};
    for (int i = 0;; i++) {
        set_init(&set, txn.head.head);
        op_rename_file(&set);
        op_write_g(&set);
        op_mkdir(&set);
        set.extents[set.fs.nextents++] = (struct cis_fs_new_extent){F, 3, 9, -1};
        set.extents[set.fs.nextents++] = (struct cis_fs_new_extent){F, 4, 0, -1};
        struct cis_fs_change *f = &set.changes[0], *dir = &set.changes[2];
        assert_true(f->inode.ino == F && dir->inode.ino >= NEW);
        switch (i) {
        case 0:
            set.fs.base.branch = 0;
            break;
        case 1:
            set.dirents[1].name = CIS_STR("a/b");
            break;
        case 2:
            set.dirents[1].name = CIS_STR("..");
            break;
        case 3:
            set.dirents[1].name = set.dirents[0].name, set.dirents[1].parent = A;
            break;
        case 4:
            set.dirents[0].parent = 99;
            break;
        case 5:
            set.dirents[0].mode = S_IFREG;
            break; /* a whiteout with a type */
        case 6:
            set.dirents[1].mode = 0;
            break;
        case 7:
            f->inode.ino = G;
            break; /* twice */
        case 8:
            f->inode.mode = 0644;
            break;
        case 9:
            f->inode.nlink = 0;
            break;
        case 10:
            f->inode.parent = 1;
            break;
        case 11:
            f->inode.mtime.ns = 1000000000;
            break;
        case 12:
            f->inode.size = (uint64_t)CIS_FS_SIZE_MAX + 1;
            break;
        case 13:
            f->inode.is_inline = true, f->inode.size = 4;
            break; /* no data */
        case 14:
            f->inode.data = cis_bytes_of(chunk, 3);
            break;
        case 15:
            f->inode.mode = S_IFLNK | 0777;
            break;
        case 16:
            dir->is_new = false;
            break;
        case 17:
            dir->inode.parent = 0;
            break;
        case 18:
            dir->inode.size = 3;
            break;
        case 19:
            set.deltas[1].ino = set.deltas[0].ino;
            break;
        case 20:
            set.deltas[2].ino = dir->inode.ino;
            break; /* beside a whole row */
        case 21:
            set.extents[1].block = 3;
            break;
        case 22:
            set.extents[0].block = UINT64_MAX / 2;
            break;
        case 23:
            set.extents[0].new_chunk = 0;
            break;
        case 24:
            set.extents[1].new_chunk = 0;
            break; /* there is no chunk 0 */
        case 25:
            set.fs.chunks = &unpacked, set.fs.nchunks = 1;
            break;
        case 26:
            f->kind = CIS_FS_MOVED;
            break;
        case 27:
            f->kind = CIS_FS_DIRATTR;
            break;
        case 28:
            dir->kind = CIS_FS_GONE;
            break; /* new and gone */
        case 29:
            f->inode.rdev = 1;
            break;
        case 30:
            f->inode.atime.ns = 1000000000;
            break;
        case 31:
            f->inode.ctime.ns = 1000000000;
            break;
        case 32:
            f->inode.btime.ns = 1000000000;
            break;
        case 33:
            f->inode.ino = 0;
            break;
        case 34:
            f->inode.mode |= 0x10000;
            break; /* a type and a bit that no mode has */
        case 35:
            f->inode.gone = true;
            break;
        case 36:
            f->inode.stored = UINT64_MAX;
            break;
        case 37:
            f->inode.is_inline = true, f->inode.size = CIS_FS_INLINE_MAX + 1;
            f->inode.data = cis_bytes_of(long_data, sizeof long_data);
            break;
        case 38:
            f->kind = CIS_FS_GONE, f->inode.ino = CIS_FS_ROOT;
            break;
        case 39:
            dir->kind = CIS_FS_MOVED;
            break; /* new and moved */
        case 40:
            set.deltas[0].mtime.ns = 1000000000;
            break;
        case 41:
            set.deltas[0].ctime.ns = 1000000000;
            break;
        case 42:
            set.deltas[0].ino = 0;
            break;
        default:
            assert_ok(apply(&set, NULL, err));
            return;
        }
        struct cis_error err = {0};
        cis_code code = apply(&set, NULL, &err);
        if (code != CIS_E_INVALID || strncmp(err.msg, "commit: ", 8) != 0) {
            fail_msg("case %d: %s (%s)", i, cis_code_name(code), err.msg);
        }
    }
}

/* What removes may go beyond the limit. More names than go are growth, whatever goes beside them.
 */
static void names_that_come_are_no_removal(void **state)
{
    (void)state;
    const struct cis_fs_dirent names[] = {{.parent = 1, .ino = 0, .name = CIS_STR("goes")},
                                          {.parent = 1, .ino = 7, .name = CIS_STR("comes")},
                                          {.parent = 1, .ino = 7, .name = CIS_STR("one more")}};
    static const enum cis_stored_room rooms[] = {CIS_STORED_REMOVAL, CIS_STORED_REMOVAL,
                                                 CIS_STORED_GROWTH};
    for (size_t n = 1; n <= 3; n++) {
        const struct cis_fs_commit fs = {.dirents = names, .ndirents = n, .files = -1};
        const struct cis_store_commit commit = {.fs = &fs};
        assert_int_equal(cis_commit_room(&commit), rooms[n - 1]);
    }
}

static enum cis_stored_room room_of(struct cis_fs_commit fs)
{
    const struct cis_store_commit commit = {.fs = &fs};
    return cis_commit_room(&commit);
}

/* A name that goes takes few rows with it, and little content in them. */
static void rows_beside_what_goes_are_no_removal(void **state)
{
    (void)state;
    enum { MANY = 40 };
    static struct cis_fs_dirent gone[MANY];
    static struct cis_fs_change puts[MANY];
    static struct cis_fs_new_extent blocks[MANY];
    static const uint8_t content[CIS_FS_INLINE_MAX];
    for (size_t i = 0; i < MANY; i++) {
        gone[i] = (struct cis_fs_dirent){.parent = 1, .name = CIS_STR("goes")};
        puts[i] = (struct cis_fs_change){.kind = CIS_FS_PUT, .inode = {.ino = i + 2}};
        blocks[i] = (struct cis_fs_new_extent){.ino = 2, .block = i, .new_chunk = -1};
    }
    struct cis_fs_commit fs = {.dirents = gone, .ndirents = 1, .changes = puts, .files = -1};
    fs.nchanges = 18;
    assert_int_equal(room_of(fs), CIS_STORED_REMOVAL);
    fs.nchanges = 19; /* files that only change beside the one that goes */
    assert_int_equal(room_of(fs), CIS_STORED_GROWTH);
    fs.ndirents = 2;
    assert_int_equal(room_of(fs), CIS_STORED_REMOVAL);
    fs.ndeltas = 2; /* folders that are touched */
    assert_int_equal(room_of(fs), CIS_STORED_GROWTH);
    /* The holes of what a file lost are its removal, blocks that other content has are not, and how
     * large the file was before does not count. */
    fs =
        (struct cis_fs_commit){.changes = puts, .nchanges = 1, .extents = blocks, .nextents = MANY};
    fs.bytes = INT64_MIN;
    assert_int_equal(room_of(fs), CIS_STORED_REMOVAL);
    for (size_t i = 0; i < MANY; i++) {
        blocks[i].chunk = 9;
    }
    assert_int_equal(room_of(fs), CIS_STORED_GROWTH);
    /* Content that is written anew: as much as each name that goes may have had in its own row. */
    fs = (struct cis_fs_commit){.dirents = gone, .ndirents = 3, .changes = puts, .files = -3};
    fs.nchanges = 7;
    for (size_t i = 0; i < MANY; i++) {
        puts[i].inode.data = cis_bytes_of(content, sizeof content);
    }
    assert_int_equal(room_of(fs), CIS_STORED_REMOVAL);
    fs.nchanges = 8, fs.bytes = INT64_MIN;
    assert_int_equal(room_of(fs), CIS_STORED_GROWTH);
    for (size_t i = 0; i < MANY; i++) {
        puts[i].kind = CIS_FS_GONE;
    }
    fs.nchanges = MANY, fs.bytes = 0;
    assert_int_equal(room_of(fs), CIS_STORED_REMOVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        ROW(every_pair_of_operations_conflicts_or_merges_by_the_rules),
        ROW(each_operation_at_the_head_reads_no_blobs),
        ROW(every_failed_allocation_is_an_error_and_leaves_the_head),
        ROW(names_added_by_two_runs_both_count),
        ROW(chmod_of_a_directory_keeps_what_others_put_there),
        ROW(utimens_of_a_directory_is_stored_exactly),
        ROW(names_and_chmod_of_one_run_do_not_turn_times_back),
        ROW(a_directory_moved_by_one_and_changed_by_the_other_is_both),
        ROW(times_of_a_directory_that_is_gone_are_dropped),
        ROW(a_name_that_came_and_went_does_not_stop_rmdir),
        ROW(very_many_names_that_came_and_went_stop_rmdir),
        ROW(moves_that_tie_no_knot_merge),
        ROW(the_way_up_is_walked_once_for_all_that_moved),
        ROW(what_a_commit_holds_is_charged_to_its_budget),
        ROW(a_knot_over_a_new_directory_of_mine_is_found),
        ROW(a_knot_that_the_way_up_runs_into_is_found),
        ROW(strict_memory_keys_conflict_and_ordinary_ones_do_not),
        ROW(memory_keys_of_a_commit_are_sorted_and_each_once),
        ROW(a_commit_of_nothing_makes_no_epoch),
        ROW(a_lease_of_another_and_a_lost_lease_refuse),
        ROW(a_base_elsewhere_below_the_floor_or_ahead_is_refused),
        ROW(missing_and_damaged_keys_of_others_are_found),
        ROW(quotas_are_exact_and_stop_only_growth),
        ROW(memory_quotas_are_exact),
        ROW(commits_since_the_base_are_checked_up_to_the_bound_and_one_always),
        ROW(a_directory_whose_times_alone_changed_is_told_of),
        ROW(commits_that_are_not_well_formed_are_refused),
        ROW(names_that_come_are_no_removal),
        ROW(rows_beside_what_goes_are_no_removal),
#undef ROW
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
