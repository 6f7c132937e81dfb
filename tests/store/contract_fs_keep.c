/* The contract of keeping and letting go: scans, squash and its floor, what holds a view, branches
 * without a ref, tenants that end. */
#include "harness.h"

#include <sys/stat.h>
#include "base/crypto.h"
#include "tree.h"
#include "store/calls.h"

/* Rows as "key@epoch": dirents parent/name, inodes number, extents number:block; a '-' where a name
 * or a file ended. */
struct rows {
    struct cis_buf text;
    struct cis_fs_key keys[256];
    char names[256][32];
    size_t n;
};

static bool note_row(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct rows *rows = self;
    bool ended = false;
    assert_true(rows->n < 256);
    cis_buf_text(&rows->text, rows->n != 0 ? " " : "");
    switch (key->table) {
    case CIS_FS_DIRENTS:
        assert_true(dirent != NULL && inode == NULL && extent == NULL);
        assert_true(dirent->parent == key->ino && cis_str_eq(dirent->name, key->name) &&
                    dirent->epoch == key->epoch);
        ended = dirent->ino == 0;
        cis_buf_printf(&rows->text, CIS_STR_FMT, CIS_STR_ARG(key->name));
        break;
    case CIS_FS_INODES:
        assert_true(dirent == NULL && inode != NULL && extent == NULL);
        assert_true(inode->ino == key->ino && inode->epoch == key->epoch);
        ended = inode->gone;
        cis_buf_printf(&rows->text, "%s", S_ISDIR(inode->mode) ? "dir" : "file");
        break;
    case CIS_FS_EXTENTS:
        assert_true(dirent == NULL && inode == NULL && extent != NULL);
        assert_true(extent->block == key->block && extent->epoch == key->epoch);
        ended = extent->chunk == 0;
        cis_buf_printf(&rows->text, "%llu", (unsigned long long)key->block);
        break;
    }
    cis_buf_printf(&rows->text, "%s@%llu", ended ? "-" : "", (unsigned long long)key->epoch);
    struct cis_fs_key *kept = &rows->keys[rows->n];
    *kept = *key;
    snprintf(rows->names[rows->n], 32, CIS_STR_FMT, CIS_STR_ARG(key->name));
    kept->name = (struct cis_str){rows->names[rows->n], key->name.len};
    rows->n++;
    return true;
}

static void scan(cis_store *s, enum cis_fs_table table, uint64_t branch,
                 const struct cis_fs_key *after, uint32_t limit, struct rows *rows)
{
    memset(rows, 0, sizeof *rows);
    rows->text = CIS_BUF_INIT(65536);
    assert_ok(cis_store_scan(s, T, &(struct cis_fs_scan_query){table, branch, after, limit},
                             note_row, rows, NULL, err));
}

static void assert_scan(cis_store *s, enum cis_fs_table table, uint64_t branch,
                        const char *expected)
{
    static struct rows rows;
    scan(s, table, branch, NULL, 0, &rows);
    assert_string_equal(cis_buf_cstr(&rows.text), expected);
    cis_buf_done(&rows.text);
}

/* Epochs 1 to 5 of main: f made, f rewritten, g made with blocks, f removed, g cut. */
static struct cis_view history(cis_store *s)
{
    uint64_t f, g, id = packed_put(s, "block", 5);
    struct tree *t = tree_new(s, "main");
    f = tree_file(t, CIS_FS_ROOT, "f", "1");
    tree_commit(t);
    t = tree_new(s, "main");
    tree_text(t, f, "2");
    tree_commit(t);
    t = tree_new(s, "main");
    g = tree_file(t, CIS_FS_ROOT, "g", "");
    tree_size(t, g, 3 * CIS_FS_BLOCK);
    tree_extent(t, g, 0, id, -1);
    tree_extent(t, g, 2, id, -1);
    tree_commit(t);
    t = tree_new(s, "main");
    tree_unlink(t, CIS_FS_ROOT, "f", f);
    tree_commit(t);
    t = tree_new(s, "main");
    tree_size(t, g, 5);
    tree_extent(t, g, 2, 0, -1);
    struct cis_view head = tree_commit(t);
    assert_int_equal(head.epoch, 5);
    return head;
}

static void a_scan_gives_every_row_of_a_branch_in_key_order(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view head = history(s);
    static struct rows rows, page;
    assert_scan(s, CIS_FS_DIRENTS, head.branch, "f@1 f-@4 g@3");
    assert_scan(s, CIS_FS_EXTENTS, head.branch, "0@3 2@3 2-@5");
    assert_scan(s, CIS_FS_INODES, head.branch,
                "dir@0 dir@1 dir@3 dir@4 file@1 file@2 file-@4 file@3 file@5");
    for (enum cis_fs_table table = CIS_FS_DIRENTS; table <= CIS_FS_EXTENTS; table++) {
        scan(s, table, head.branch, NULL, 0, &rows); /* in pages of two: the same keys */
        const struct cis_fs_key *after = NULL;
        struct cis_fs_key last;
        char name[32];
        size_t at = 0;
        do {
            scan(s, table, head.branch, after, 2, &page);
            assert_true(page.n <= 2);
            for (size_t i = 0; i < page.n; i++, at++) {
                assert_true(page.keys[i].epoch == rows.keys[at].epoch &&
                            page.keys[i].ino == rows.keys[at].ino &&
                            page.keys[i].block == rows.keys[at].block &&
                            cis_str_eq(page.keys[i].name, rows.keys[at].name));
            }
            if (page.n != 0) {
                last = page.keys[page.n - 1];
                memcpy(name, last.name.ptr, last.name.len);
                last.name.ptr = name;
                after = &last;
            }
            cis_buf_done(&page.text);
        } while (page.n != 0);
        assert_int_equal(at, rows.n);
        cis_buf_done(&rows.text);
    }
    struct cis_str side = CIS_STR("side");
    assert_ok(cis_store_fork(s, T, head, &side, 1, NULL, err));
    assert_scan(s, CIS_FS_DIRENTS, tree_head(s, "side").branch, ""); /* no ancestors */
}

static bool no_entry(void *self, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode)
{
    (void)self;
    (void)dirent;
    (void)inode;
    return true;
}

static cis_code tree_list_try(cis_store *s, struct cis_view at, struct cis_error *err)
{
    struct cis_str none = {NULL, 0};
    return cis_store_list(s, T, &(struct cis_fs_list_query){at, CIS_FS_ROOT, none, 10, true},
                          no_entry, NULL, NULL, err);
}

/* Drops the rows whose text is listed. */
static cis_code squash_rows(cis_store *s, enum cis_fs_table table, uint64_t branch, uint64_t floor,
                            const uint64_t *epochs, size_t n, struct cis_error *err)
{
    static struct rows rows;
    struct cis_fs_key keys[32];
    size_t nkeys = 0;
    scan(s, table, branch, NULL, 0, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        for (size_t k = 0; k < n; k++) {
            if (rows.keys[i].epoch == epochs[k]) {
                keys[nkeys++] = rows.keys[i];
            }
        }
    }
    cis_buf_done(&rows.text);
    return cis_store_squash(s, T, &(struct cis_fs_squash_request){branch, floor, keys, nkeys}, NULL,
                            err);
}

static void squashed_rows_are_gone_and_views_below_the_floor_too(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view head = history(s), owner, old = {head.branch, 2}, kept = {head.branch, 3};
    struct cis_fs_snapshot snap = {.name = "three", .view = kept};
    cis_id_new(snap.id);
    assert_ok(cis_store_snapshot_put(s, T, &snap, NULL, err));
    const uint64_t one[] = {1}, none[] = {99};
    assert_ok(squash_rows(s, CIS_FS_INODES, head.branch, 5, one, 1, err));
    assert_scan(s, CIS_FS_INODES, head.branch, "dir@0 dir@3 dir@4 file@2 file-@4 file@3 file@5");
    assert_ok(cis_store_view_check(s, T, head, &owner, NULL, err));
    assert_ok(cis_store_view_check(s, T, kept, &owner, NULL, err));
    assert_text(s, kept, "f", "2");
    assert_fails(CIS_E_EXPIRED, "", cis_store_view_check(s, T, old, &owner, NULL, err));
    struct cis_str name = CIS_STR("fork");
    uint64_t pin;
    assert_fails(CIS_E_EXPIRED, "", cis_store_fork(s, T, old, &name, 1, NULL, err));
    assert_fails(CIS_E_EXPIRED, "",
                 cis_store_pin(s, T, &(struct cis_fs_pin_request){old, 0, 60000}, &pin, NULL, err));
    struct cis_fs_snapshot late = {.name = "late", .view = old};
    cis_id_new(late.id);
    assert_fails(CIS_E_EXPIRED, "", cis_store_snapshot_put(s, T, &late, NULL, err));
    assert_ok(squash_rows(s, CIS_FS_INODES, head.branch, 0, none, 1, err)); /* floor as it is */
    assert_fails(CIS_E_EXPIRED, "", cis_store_view_check(s, T, old, &owner, NULL, err));
    /* Never read as something else: an expired view is refused by every read. */
    assert_fails(CIS_E_EXPIRED, "", tree_list_try(s, old, err));
    assert_ok(cis_store_snapshot_remove(s, T, CIS_STR("three"), NULL, err));
    assert_fails(CIS_E_EXPIRED, "", cis_store_view_check(s, T, kept, &owner, NULL, err));
}

/* What gc knows of holders is older than the lock under which rows go. */
static void rows_that_are_held_by_now_are_not_squashed(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view head = history(s), kept = {head.branch, 3};
    struct cis_fs_snapshot snap = {.name = "three", .view = kept};
    struct cis_str fork = CIS_STR("fork");
    struct cis_fs_key key = {
        .table = CIS_FS_INODES, .branch = head.branch, .ino = CIS_FS_ROOT, .epoch = 3, .until = 4};
    uint64_t pin;
    assert_ok(cis_store_squash(s, T, &(struct cis_fs_squash_request){head.branch, 3, NULL, 0}, NULL,
                               err));
    for (int by = 0; by < 3; by++) {
        cis_id_new(snap.id);
        assert_ok(by == 0   ? cis_store_snapshot_put(s, T, &snap, NULL, err)
                  : by == 1 ? cis_store_pin(s, T, &(struct cis_fs_pin_request){kept, 0, 600000},
                                            &pin, NULL, err)
                            : cis_store_fork(s, T, kept, &fork, 1, NULL, err));
        assert_fails(CIS_E_CONFLICT, "came into use meanwhile",
                     cis_store_squash(s, T,
                                      &(struct cis_fs_squash_request){head.branch, 0, &key, 1},
                                      NULL, err));
        assert_scan(s, CIS_FS_INODES, head.branch,
                    "dir@0 dir@1 dir@3 dir@4 file@1 file@2 file-@4 file@3 file@5");
        if (by == 0) {
            assert_ok(cis_store_snapshot_remove(s, T, CIS_STR("three"), NULL, err));
        } else if (by == 1) {
            assert_ok(
                cis_store_pin(s, T, &(struct cis_fs_pin_request){kept, pin, 0}, &pin, NULL, err));
        }
    }
    key.until = 3; /* nobody looks before it was written */
    key.epoch = 1;
    assert_ok(cis_store_squash(s, T, &(struct cis_fs_squash_request){head.branch, 0, &key, 1}, NULL,
                               err));
}

struct held {
    struct cis_view view;
    unsigned by[3];
    uint64_t fork;
};

static bool note_hold(void *self, const struct cis_fs_hold *hold)
{
    struct held *held = self;
    if (hold->view.branch == held->view.branch && hold->view.epoch == held->view.epoch) {
        held->by[hold->by]++;
        held->fork = hold->by == CIS_FS_BY_FORK ? hold->fork : held->fork;
    }
    return true;
}

static bool note_pin(void *self, const struct cis_fs_pin *pin)
{
    *(struct cis_fs_pin *)self = *pin;
    return true;
}

static void snapshots_pins_and_forks_are_listed_together(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view head = history(s), kept = {head.branch, 3};
    struct cis_fs_snapshot snap = {.name = "three", .view = kept};
    struct cis_str fork = CIS_STR("fork");
    struct held held = {.view = kept};
    struct cis_fs_pin lasting = {0};
    struct cis_fs_ref ref;
    uint64_t pin, second;
    cis_id_new(snap.id);
    assert_ok(cis_store_snapshot_put(s, T, &snap, NULL, err));
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){kept, 0, 600000}, &pin, NULL, err));
    assert_ok(cis_store_fork(s, T, kept, &fork, 1, NULL, err));
    assert_ok(cis_store_holds(s, T, note_hold, &held, NULL, err));
    assert_ok(cis_store_ref_get(s, T, fork, &ref, NULL, err));
    assert_true(held.by[0] == 1 && held.by[1] == 1 && held.by[2] == 1);
    assert_int_equal(held.fork, ref.head.branch);
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){kept, pin, 0}, &pin, NULL, err));
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){kept, 0, CIS_FS_PIN_LASTING},
                            &second, NULL, err));
    assert_ok(cis_store_pins(s, T, note_pin, &lasting, NULL, err));
    assert_int_equal(lasting.id, second);
    assert_true(lasting.until_ms == INT64_MAX && lasting.since_ms == INT64_MAX);
}

static void a_pinned_view_below_the_floor_reads_and_commits(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view head = history(s), old = {head.branch, 3}, lower = {head.branch, 2}, owner;
    uint64_t pin = 0;
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){old, 0, 600000}, &pin, NULL, err));
    struct tree *late = tree_new_at(s, "main", lower), *held = tree_new_at(s, "main", old);
    tree_file(late, CIS_FS_ROOT, "late", "x");
    tree_file(held, CIS_FS_ROOT, "held", "x");
    assert_ok(cis_store_squash(s, T, &(struct cis_fs_squash_request){head.branch, 5, NULL, 0}, NULL,
                               err));
    assert_ok(cis_store_view_check(s, T, old, &owner, NULL, err));
    assert_text(s, old, "f", "2");
    assert_fails(CIS_E_EXPIRED, "no longer kept", tree_try(late, NULL, err));
    tree_commit(held);
    assert_names(s, tree_head(s, "main"), "", "g held");
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){old, pin, 0}, &pin, NULL,
                            err)); /* dropped */
    assert_fails(CIS_E_EXPIRED, "", cis_store_view_check(s, T, old, &owner, NULL, err));
}

static void a_view_names_the_branch_that_owns_its_epoch(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view head = history(s), owner, at = {head.branch, 3};
    struct cis_str side = CIS_STR("side");
    assert_ok(cis_store_fork(s, T, at, &side, 1, NULL, err));
    struct tree *t = tree_new(s, "side");
    tree_file(t, CIS_FS_ROOT, "x", "x");
    struct cis_view mine = tree_commit(t);
    assert_ok(cis_store_view_check(s, T, mine, &owner, NULL, err));
    assert_true(owner.branch == mine.branch && owner.epoch == mine.epoch);
    struct cis_view before = {mine.branch, 2};
    assert_ok(cis_store_view_check(s, T, before, &owner, NULL, err));
    assert_true(owner.branch == head.branch && owner.epoch == 2);
    struct cis_view ahead = {mine.branch, mine.epoch + 1}, nowhere = {77, 1};
    assert_fails(CIS_E_NOTFOUND, "", cis_store_view_check(s, T, ahead, &owner, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "", cis_store_view_check(s, T, nowhere, &owner, NULL, err));
    /* The parent's floor holds for what the child sees of it, too. */
    assert_ok(cis_store_squash(s, T, &(struct cis_fs_squash_request){head.branch, 5, NULL, 0}, NULL,
                               err));
    assert_fails(CIS_E_EXPIRED, "", cis_store_view_check(s, T, before, &owner, NULL, err));
    assert_text(s, mine, "f", "2"); /* the fork point itself is held by the fork */
    assert_text(s, mine, "x", "x");
}

static bool note_branch(void *self, const struct cis_fs_ref *ref)
{
    struct cis_buf *out = self;
    cis_buf_printf(out, "%s%s<%llu@%llu", out->len != 0 ? " " : "",
                   ref->name[0] != 0 ? ref->name : "-", (unsigned long long)ref->parent,
                   (unsigned long long)ref->fork_epoch);
    return true;
}

static void assert_branches(cis_store *s, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(cis_store_branches(s, T, note_branch, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void a_branch_that_nothing_needs_is_removed_with_its_rows(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view head = history(s);
    struct cis_str side = CIS_STR("side"), leaf = CIS_STR("leaf");
    assert_ok(cis_store_fork(s, T, head, &side, 1, NULL, err));
    struct tree *t = tree_new(s, "side");
    tree_file(t, CIS_FS_ROOT, "x", "x");
    struct cis_view mine = tree_commit(t);
    assert_ok(cis_store_fork(s, T, mine, &leaf, 1, NULL, err));
    uint64_t leaf_branch = tree_head(s, "leaf").branch, pin = 0;
    assert_fails(CIS_E_CONFLICT, "", cis_store_branch_remove(s, T, mine.branch, NULL, err));
    assert_ok(cis_store_ref_remove(s, T, side, CIS_STR(""), NULL, err));
    assert_fails(CIS_E_CONFLICT, "",
                 cis_store_branch_remove(s, T, mine.branch, NULL, err)); /* leaf */
    assert_branches(s, "main<0@0 -<1@5 leaf<2@6");
    assert_ok(cis_store_ref_remove(s, T, leaf, CIS_STR(""), NULL, err));
    assert_ok(cis_store_branch_remove(s, T, leaf_branch, NULL, err));
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){mine, 0, 600000}, &pin, NULL, err));
    assert_fails(CIS_E_CONFLICT, "", cis_store_branch_remove(s, T, mine.branch, NULL, err));
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){mine, pin, 0}, &pin, NULL, err));
    struct cis_fs_snapshot snap = {.name = "s", .view = mine};
    cis_id_new(snap.id);
    assert_ok(cis_store_snapshot_put(s, T, &snap, NULL, err));
    assert_fails(CIS_E_CONFLICT, "", cis_store_branch_remove(s, T, mine.branch, NULL, err));
    assert_ok(cis_store_snapshot_remove(s, T, CIS_STR("s"), NULL, err));
    assert_ok(cis_store_branch_remove(s, T, mine.branch, NULL, err));
    assert_branches(s, "main<0@0");
    struct cis_view owner;
    assert_fails(CIS_E_NOTFOUND, "", cis_store_view_check(s, T, mine, &owner, NULL, err));
    assert_scan(s, CIS_FS_DIRENTS, mine.branch, "");
    assert_names(s, tree_head(s, "main"), "", "g");
    assert_fails(CIS_E_CONFLICT, "", cis_store_branch_remove(s, T, head.branch, NULL, err));
}

static void tenants_share_no_number_and_no_name(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_str other = CIS_STR("other");
    struct cis_view head = history(s);
    struct cis_fs_ref r;
    assert_ok(cis_store_tenant_create(s, other, 7, 7, NULL, err));
    assert_ok(cis_store_ref_get(s, other, CIS_STR("main"), &r, NULL, err));
    assert_true(r.files == 0 && r.head.epoch < head.epoch);
    struct cis_view theirs = head, owner;
    assert_fails(CIS_E_NOTFOUND, "", cis_store_view_check(s, other, theirs, &owner, NULL, err));
    static struct rows rows;
    memset(&rows, 0, sizeof rows);
    rows.text = CIS_BUF_INIT(4096);
    for (enum cis_fs_table table = CIS_FS_DIRENTS; table <= CIS_FS_EXTENTS; table++) {
        assert_ok(cis_store_scan(s, other, &(struct cis_fs_scan_query){table, head.branch, NULL, 0},
                                 note_row, &rows, NULL, err));
    }
    assert_int_equal(rows.n, 1); /* the root */
    cis_buf_done(&rows.text);
    assert_ok(cis_store_tenant_delete(s, other, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "other", cis_store_ref_get(s, other, CIS_STR(""), &r, NULL, err));
    assert_names(s, tree_head(s, "main"), "", "g");
}

static void a_store_that_is_whole_has_no_faults(void **state)
{
    cis_store *s = fs_store(state);
    history(s);
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(s, T, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
    int64_t ms = 0;
    assert_ok(cis_store_clock(s, &ms, NULL, NULL, err));
    assert_true(ms > 1600000000000ll);
}

const struct fs_test fs_tests_keep[] = {
    FS_TEST(a_scan_gives_every_row_of_a_branch_in_key_order),
    FS_TEST(squashed_rows_are_gone_and_views_below_the_floor_too),
    FS_TEST(rows_that_are_held_by_now_are_not_squashed),
    FS_TEST(snapshots_pins_and_forks_are_listed_together),
    FS_TEST(a_pinned_view_below_the_floor_reads_and_commits),
    FS_TEST(a_view_names_the_branch_that_owns_its_epoch),
    FS_TEST(a_branch_that_nothing_needs_is_removed_with_its_rows),
    FS_TEST(tenants_share_no_number_and_no_name),
    FS_TEST(a_store_that_is_whole_has_no_faults),
    {NULL, NULL},
};
