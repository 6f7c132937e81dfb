/* The contract of reading: what views show, new ones and old ones. */
#include "harness.h"

#include <sys/stat.h>
#include "tree.h"
#include "store/calls.h"

static void a_new_tenant_is_an_empty_root_owned_as_asked(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref r;
    struct cis_fs_inode root;
    assert_ok(cis_store_ref_get(s, T, CIS_STR(""), &r, NULL, err));
    assert_string_equal(r.name, "main");
    assert_true(r.current && r.files == 0 && r.bytes == 0 && r.parent == 0);
    assert_true(tree_stat(s, r.head, CIS_FS_ROOT, &root, NULL));
    assert_true(S_ISDIR(root.mode) && root.parent == CIS_FS_ROOT && root.nlink == 2);
    assert_true(root.uid == 1000 && root.gid == 1001);
    assert_names(s, r.head, "", "");
    assert_fails(CIS_E_EXISTS, "default", cis_store_tenant_create(s, T, 1, 1, NULL, err));
}

/* /dir/sub/file "one", /dir/link → sub, /top "two" */
static struct cis_view small_tree(cis_store *s)
{
    struct tree *t = tree_new(s, "main");
    uint64_t dir = tree_mkdir(t, CIS_FS_ROOT, "dir"), sub = tree_mkdir(t, dir, "sub");
    tree_file(t, sub, "file", "one");
    tree_link(t, dir, "link", "sub");
    tree_file(t, CIS_FS_ROOT, "top", "two");
    return tree_commit(t);
}

static void a_committed_tree_is_walked_listed_and_read(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view at = small_tree(s);
    for (int again = 0; again < 2; again++) {
        assert_names(s, at, "", "dir/ top");
        assert_names(s, at, "dir", "link sub/");
        assert_names(s, at, "dir/sub", "file");
        assert_text(s, at, "dir/sub/file", "one");
        assert_text(s, at, "dir/link", "sub");
        assert_text(s, at, "top", "two");
        assert_int_equal(tree_find(s, at, "dir/none"), 0);
        assert_int_equal(tree_find(s, at, "none/sub"), 0);
        assert_int_equal(tree_find(s, at, "Dir"), 0);
        s = fs_reopen(state); /* and so it is after closing */
    }
}

struct steps {
    size_t n, stop_at;
    uint64_t ino[8], epoch[8];
    bool inode[8];
};

static bool note_step(void *self, size_t index, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode)
{
    struct steps *steps = self;
    assert_int_equal(index, steps->n);
    steps->ino[steps->n] = dirent->ino;
    steps->epoch[steps->n] = dirent->epoch;
    steps->inode[steps->n++] = inode != NULL;
    return steps->n != steps->stop_at;
}

static void a_walk_ends_at_what_is_missing_and_below_files(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view at = small_tree(s);
    struct cis_str names[4] = {CIS_STR("dir"), CIS_STR("sub"), CIS_STR("file"), CIS_STR("x")};
    struct steps steps = {0};
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){at, CIS_FS_ROOT, names, 4},
                             note_step, &steps, NULL, err));
    assert_true(steps.n == 3 && steps.inode[2]); /* no step below a file */
    names[1] = CIS_STR("gone");
    steps = (struct steps){0};
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){at, CIS_FS_ROOT, names, 4},
                             note_step, &steps, NULL, err));
    assert_true(steps.n == 2 && steps.ino[1] == 0 && !steps.inode[1] && steps.epoch[1] == 0);
    names[1] = CIS_STR("link"); /* links are not followed here */
    steps = (struct steps){0};
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){at, CIS_FS_ROOT, names, 4},
                             note_step, &steps, NULL, err));
    assert_int_equal(steps.n, 2);
    names[1] = CIS_STR("sub");
    steps = (struct steps){.stop_at = 1};
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){at, CIS_FS_ROOT, names, 4},
                             note_step, &steps, NULL, err));
    assert_int_equal(steps.n, 1); /* stopped by the callback */
    steps = (struct steps){0};
    uint64_t sub = tree_find(s, at, "dir/sub");
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){at, sub, names + 2, 1}, note_step,
                             &steps, NULL, err));
    assert_true(steps.n == 1 && steps.ino[0] == tree_find(s, at, "dir/sub/file"));
}

static void a_removed_name_says_when_it_was_removed(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view before = small_tree(s);
    struct tree *t = tree_new(s, "main");
    tree_unlink(t, CIS_FS_ROOT, "top", tree_find(s, before, "top"));
    struct cis_view after = tree_commit(t);
    struct cis_str name = CIS_STR("top");
    struct steps steps = {0};
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){after, CIS_FS_ROOT, &name, 1},
                             note_step, &steps, NULL, err));
    assert_true(steps.n == 1 && steps.ino[0] == 0 && steps.epoch[0] == after.epoch);
    assert_names(s, after, "", "dir/");
    assert_text(s, before, "top", "two");
}

static void a_walk_of_many_names_is_one_call(void **state)
{
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    uint64_t dir = CIS_FS_ROOT;
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(256);
    for (int i = 0; i < 60; i++) {
        dir = tree_mkdir(t, dir, "d");
        cis_buf_text(&path, i != 0 ? "/d" : "d");
    }
    struct cis_view at = tree_commit(t);
    assert_true(tree_find(s, at, cis_buf_cstr(&path)) == dir);
}

struct order {
    uint64_t got[8];
    size_t n;
};

static bool note_ino(void *self, const struct cis_fs_inode *inode)
{
    struct order *order = self;
    order->got[order->n++] = inode->ino;
    return order->n < 4;
}

static void inodes_come_in_the_order_asked_without_absent_and_gone_ones(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view before = small_tree(s);
    uint64_t top = tree_find(s, before, "top"), file = tree_find(s, before, "dir/sub/file");
    struct tree *t = tree_new(s, "main");
    tree_unlink(t, CIS_FS_ROOT, "top", top);
    struct cis_view after = tree_commit(t);
    const uint64_t asked[] = {file, 999999, top, CIS_FS_ROOT, file};
    struct order order = {.n = 0};
    assert_ok(cis_store_inodes(s, T, &(struct cis_fs_inode_query){after, asked, 5}, note_ino,
                               &order, NULL, err));
    assert_true(order.n == 3 && order.got[0] == file && order.got[1] == CIS_FS_ROOT &&
                order.got[2] == file);
    order.n = 0;
    assert_ok(cis_store_inodes(s, T, &(struct cis_fs_inode_query){before, asked, 5}, note_ino,
                               &order, NULL, err));
    assert_true(order.n == 4 && order.got[1] == top);
}

static void every_attribute_comes_back(void **state)
{
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    uint64_t file = tree_file(t, CIS_FS_ROOT, "f", "");
    struct cis_fs_inode *row = tree_row(t, file), back;
    row->mode = S_IFREG | 06711;
    row->uid = 4000000000u;
    row->gid = 5;
    row->atime = (struct cis_fs_time){-1, 999999999};
    row->mtime = (struct cis_fs_time){INT64_MAX, 1};
    row->ctime = (struct cis_fs_time){0, 0};
    row->btime = (struct cis_fs_time){INT64_MIN, 7};
    tree_size(t, file, CIS_FS_SIZE_MAX);
    row->stored = 65536;
    struct cis_fs_inode want = *row;
    struct cis_view at = tree_commit(t);
    assert_true(tree_stat(s, at, file, &back, NULL));
    assert_true(back.mode == want.mode && back.uid == want.uid && back.gid == 5 &&
                back.nlink == 1 && back.size == CIS_FS_SIZE_MAX && back.stored == 65536 &&
                back.epoch == at.epoch && !back.is_inline);
    assert_true(cis_fs_time_cmp(back.atime, want.atime) == 0 &&
                cis_fs_time_cmp(back.mtime, want.mtime) == 0 &&
                cis_fs_time_cmp(back.ctime, want.ctime) == 0 &&
                cis_fs_time_cmp(back.btime, want.btime) == 0);
}

struct page {
    char last[CIS_FS_NAME_MAX + 1];
    size_t n, total;
    bool attributes;
};

static bool note_page(void *self, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode)
{
    struct page *page = self;
    assert_true(page->attributes == (inode != NULL));
    assert_true(cis_str_cmp(cis_str_of(page->last), dirent->name) < 0);
    memcpy(page->last, dirent->name.ptr, dirent->name.len);
    page->last[dirent->name.len] = 0;
    page->n++;
    page->total++;
    return true;
}

static void a_long_list_is_read_in_pages_in_byte_order(void **state)
{
    cis_store *s = fs_store(state);
    char names[1000][16];
    for (int c = 0; c < 4; c++) { /* in more than one commit, interleaved */
        struct tree *t = tree_new(s, "main");
        for (int i = c; i < 1000; i += 4) {
            snprintf(names[i], sizeof names[i], "%c%d\xff", 'a' + i % 7 + (i % 2) * 128, i);
            tree_file(t, CIS_FS_ROOT, names[i], "x");
        }
        tree_commit(t);
    }
    struct cis_view at = tree_head(s, "main");
    for (int attributes = 0; attributes < 2; attributes++) {
        struct page page = {.attributes = attributes != 0};
        do {
            page.n = 0;
            char after[CIS_FS_NAME_MAX + 1];
            memcpy(after, page.last, sizeof after);
            assert_ok(cis_store_list(s, T,
                                     &(struct cis_fs_list_query){at, CIS_FS_ROOT, cis_str_of(after),
                                                                 77, page.attributes},
                                     note_page, &page, NULL, err));
            assert_true(page.n <= 77);
        } while (page.n != 0);
        assert_int_equal(page.total, 1000);
    }
}

static void every_epoch_shows_what_was_there_then(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view at[8];
    at[0] = small_tree(s);
    uint64_t dir = tree_find(s, at[0], "dir"), sub = tree_find(s, at[0], "dir/sub");
    uint64_t file = tree_find(s, at[0], "dir/sub/file"), top = tree_find(s, at[0], "top");
    struct tree *t = tree_new(s, "main"); /* 1: rewritten */
    tree_text(t, file, "changed");
    at[1] = tree_commit(t);
    t = tree_new(s, "main"); /* 2: moved to the root */
    tree_move(t, dir, "sub", CIS_FS_ROOT, sub);
    at[2] = tree_commit(t);
    t = tree_new(s, "main"); /* 3: replaced: top gets file's name and number */
    tree_name(t, sub, "file", 0, 0);
    tree_name(t, CIS_FS_ROOT, "top", file, S_IFREG);
    tree_row(t, file);
    tree_row(t, top);
    t->changes[1].kind = CIS_FS_GONE;
    t->fs.files = -1;
    t->fs.bytes = -3;
    at[3] = tree_commit(t);
    t = tree_new(s, "main"); /* 4: a name again, another file */
    tree_file(t, sub, "file", "again");
    at[4] = tree_commit(t);
    for (int again = 0; again < 2; again++) {
        assert_text(s, at[0], "dir/sub/file", "one");
        assert_text(s, at[1], "dir/sub/file", "changed");
        assert_text(s, at[2], "sub/file", "changed");
        assert_text(s, at[2], "dir/sub", NULL);
        assert_text(s, at[2], "top", "two");
        assert_text(s, at[3], "top", "changed");
        assert_names(s, at[3], "sub", "");
        assert_text(s, at[4], "sub/file", "again");
        assert_names(s, at[0], "", "dir/ top");
        assert_names(s, at[4], "", "dir/ sub/ top");
        assert_names(s, at[1], "dir", "link sub/");
        assert_names(s, at[2], "dir", "link");
        struct cis_fs_inode row;
        assert_true(tree_stat(s, at[2], top, &row, NULL));
        assert_false(tree_stat(s, at[3], top, &row, NULL));
        assert_true(tree_stat(s, at[1], dir, &row, NULL) && row.nlink == 3);
        assert_true(tree_stat(s, at[2], dir, &row, NULL) && row.nlink == 2);
        s = fs_reopen(state);
    }
}

static void extents_are_read_by_range_and_epoch(void **state)
{
    cis_store *s = fs_store(state);
    uint64_t ids[4] = {packed_put(s, "aaa", 3), packed_put(s, "bbb", 3), packed_put(s, "ccc", 3)};
    struct tree *t = tree_new(s, "main");
    uint64_t file = tree_file(t, CIS_FS_ROOT, "f", ""), other = tree_file(t, CIS_FS_ROOT, "g", "");
    tree_size(t, file, 500 * (uint64_t)CIS_FS_BLOCK);
    tree_extent(t, file, 0, ids[0], -1);
    tree_extent(t, file, 1, ids[1], -1);
    tree_extent(t, file, 400, ids[2], -1);
    tree_size(t, other, CIS_FS_BLOCK);
    tree_extent(t, other, 0, ids[1], -1);
    struct cis_view first = tree_commit(t);
    t = tree_new(s, "main"); /* cut to one block, which is rewritten */
    tree_size(t, file, 100);
    tree_extent(t, file, 0, ids[1], -1);
    tree_extent(t, file, 1, 0, -1);
    tree_extent(t, file, 400, 0, -1);
    struct cis_view second = tree_commit(t);
    t = tree_new(s, "main");
    tree_size(t, file, 2 * CIS_FS_BLOCK);
    tree_extent(t, file, 1, ids[2], -1);
    struct cis_view third = tree_commit(t);
    assert_extents(s, first, file, 0, UINT64_MAX, "0:a 1:b 400:c", ids);
    assert_extents(s, first, file, 1, 399, "1:b", ids);
    assert_extents(s, first, file, 1, 400, "1:b 400:c", ids);
    assert_extents(s, first, file, 401, 1000, "", ids);
    assert_extents(s, first, file, 2, 0, "", ids);
    assert_extents(s, second, file, 0, UINT64_MAX, "0:b 1:- 400:-", ids);
    assert_extents(s, third, file, 0, 2, "0:b 1:c", ids);
    assert_extents(s, first, other, 0, 10, "0:b", ids);
    assert_extents(s, third, other, 0, 10, "0:b", ids);
}

static bool no_row(void *self, const struct cis_fs_dirent *dirent, const struct cis_fs_inode *inode)
{
    (void)dirent;
    (void)inode;
    ++*(int *)self;
    return true;
}

static void what_is_not_there_is_empty_or_not_found(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view at = small_tree(s), nowhere = {9999, 1}, ahead = {at.branch, at.epoch + 5};
    uint64_t file = tree_find(s, at, "top");
    struct cis_str none = {NULL, 0}, name = CIS_STR("top");
    struct steps steps = {0};
    int n = 0;
    assert_ok(cis_store_list(s, T, &(struct cis_fs_list_query){at, file, none, 10, false}, no_row,
                             &n, NULL, err));
    assert_ok(cis_store_list(s, T, &(struct cis_fs_list_query){at, 123456, none, 10, false}, no_row,
                             &n, NULL, err));
    assert_int_equal(n, 0);
    assert_fails(CIS_E_NOTFOUND, "",
                 cis_store_walk(s, T, &(struct cis_fs_walk_query){nowhere, CIS_FS_ROOT, &name, 1},
                                note_step, &steps, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "",
                 cis_store_list(s, T,
                                &(struct cis_fs_list_query){ahead, CIS_FS_ROOT, none, 10, false},
                                no_row, &n, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "",
                 cis_store_list(s, CIS_STR("nobody"),
                                &(struct cis_fs_list_query){at, CIS_FS_ROOT, none, 10, false},
                                no_row, &n, NULL, err));
}

const struct fs_test fs_tests_read[] = {
    FS_TEST(a_new_tenant_is_an_empty_root_owned_as_asked),
    FS_TEST(a_committed_tree_is_walked_listed_and_read),
    FS_TEST(a_walk_ends_at_what_is_missing_and_below_files),
    FS_TEST(a_removed_name_says_when_it_was_removed),
    FS_TEST(a_walk_of_many_names_is_one_call),
    FS_TEST(inodes_come_in_the_order_asked_without_absent_and_gone_ones),
    FS_TEST(every_attribute_comes_back),
    FS_TEST(a_long_list_is_read_in_pages_in_byte_order),
    FS_TEST(every_epoch_shows_what_was_there_then),
    FS_TEST(extents_are_read_by_range_and_epoch),
    FS_TEST(what_is_not_there_is_empty_or_not_found),
    {NULL, NULL},
};
