/* A branch of another tenant beside one's own in one tree: what is seen, what is refused, and how
 * it ends. */
#include <errno.h>
#include <fcntl.h>
#include "vfs/backend_layered.h"
#include "vfs/layered/view.h"
#include "vfs/walk.h"
#include "waits.h"
#include "store/calls.h"

#define ALICE CIS_STR("alice")
#define BOB CIS_STR("bob")
#define BIG (3u * CIS_FS_BLOCK + 100u)

static struct layered_place *place;
static struct cis_error why;
static struct cis_vfs_call call = {.uid = 0, .gid = 0, .err = &why};

/* ---- views and trees of them ---- */

static cis_code view_try(struct cis_str tenant, const char *from, const char *ref, cis_vfs **out,
                         struct cis_error *err)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = tenant;
    o.from = cis_str_of(from);
    o.ref = cis_str_of(ref);
    return cis_layered_open(place->fs_cache, &o, NULL, out, err);
}

static cis_vfs *view_of(struct cis_str tenant, const char *from)
{
    cis_vfs *vfs = NULL;
    assert_ok(view_try(tenant, from, from != NULL ? "main" : "", &vfs, err));
    return vfs;
}

struct world {
    cis_vfs *own, *shared;
    cis_ns *ns;
    cis_dir *root;
};

/* Bob's own branch, and below /shared what alice publishes to him. */
static struct world world_open(void)
{
    struct world w = {.own = view_of(BOB, NULL)};
    struct cis_vfs_make folder = {.mode = S_IFDIR | 0755};
    w.shared = view_of(BOB, "alice");
    cis_ns *first = NULL;
    assert_ok(cis_ns_new(&first, err));
    assert_ok(cis_ns_mount(first, CIS_STR("/"), w.own, 0, false, err));
    assert_int_equal(cis_dir_root(first, &call, CIS_STR("/"), &w.root), 0);
    (void)!cis_at_make(w.root, &call, CIS_STR("/shared"), CIS_WALK_CHROOT, &folder);
    cis_dir_free(w.root);
    cis_ns_free(first);
    assert_ok(cis_ns_new(&w.ns, err));
    assert_ok(cis_ns_mount(w.ns, CIS_STR("/"), w.own, 0, false, err));
    assert_ok(cis_ns_mount(w.ns, CIS_STR("/shared"), w.shared, 0, false, err));
    assert_int_equal(cis_dir_root(w.ns, &call, CIS_STR("/"), &w.root), 0);
    return w;
}

static void world_close(struct world *w)
{
    cis_dir_free(w->root);
    cis_ns_free(w->ns);
    cis_vfs_close(w->shared);
    cis_vfs_close(w->own);
}

static int put(cis_dir *root, const char *path, const void *data, size_t len)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    struct iovec v = {(void *)(uintptr_t)data, len};
    size_t n = 0;
    uint64_t end;
    int no = cis_at_open(
        root, &call, cis_str_of(path),
        &(struct cis_open_how){CIS_WALK_CHROOT, O_WRONLY | O_CREAT | O_TRUNC, 0644}, &file, &attr);
    if (no == 0) {
        no = cis_vfs_write(file, &call, &v, 1, 0, &n, &end);
        cis_vfs_file_close(file);
    }
    assert_true(no != 0 || n == len);
    return no;
}

static int get(cis_dir *root, const char *path, uint8_t *out, size_t cap, size_t *out_n)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    int no = cis_at_open(root, &call, cis_str_of(path),
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY, 0}, &file, &attr);
    *out_n = 0;
    for (size_t n = 1; no == 0 && n != 0 && *out_n < cap;) {
        struct iovec v = {out + *out_n, cap - *out_n};
        no = cis_vfs_read(file, &call, &v, 1, *out_n, &n);
        *out_n += no == 0 ? n : 0;
    }
    cis_vfs_file_close(file);
    return no;
}

static void holds(cis_dir *root, const char *path, const char *text)
{
    uint8_t got[256];
    size_t n;
    assert_int_equal(get(root, path, got, sizeof got, &n), 0);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

static bool count_entry(void *self, const struct cis_vfs_entry *entry,
                        const struct cis_vfs_attr *attr)
{
    (void)attr;
    *(size_t *)self += entry->name.ptr[0] != '.';
    return true;
}

static int list(cis_dir *root, const char *path, size_t *out_n)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    *out_n = 0;
    int no = cis_at_open(root, &call, cis_str_of(path),
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY | O_DIRECTORY, 0}, &file,
                         &attr);
    if (no == 0) {
        no = cis_vfs_readdir(file, &call, 0, true, count_entry, out_n);
        cis_vfs_file_close(file);
    }
    return no;
}

static uint8_t big[BIG];

/* Alice's tree: a small file, one of several blocks, a directory with one, a symlink. */
static void writes(struct cis_str who, const char *small)
{
    cis_vfs *vfs = view_of(who, NULL);
    cis_ns *ns = NULL;
    cis_dir *root = NULL;
    struct cis_fs_committed done;
    struct cis_vfs_make folder = {.mode = S_IFDIR | 0755};
    struct cis_vfs_make link = {.mode = S_IFLNK | 0777, .target = CIS_STR("d/f")};
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    assert_ok(cis_ns_new(&ns, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), vfs, 0, false, err));
    assert_int_equal(cis_dir_root(ns, &call, CIS_STR("/"), &root), 0);
    assert_int_equal(put(root, "/small", small, strlen(small)), 0);
    assert_int_equal(put(root, "/big", big, sizeof big), 0);
    (void)!cis_at_make(root, &call, CIS_STR("/d"), CIS_WALK_CHROOT, &folder);
    assert_int_equal(put(root, "/d/f", "deep", 4), 0);
    (void)!cis_at_make(root, &call, CIS_STR("/link"), CIS_WALK_CHROOT, &link);
    cis_dir_free(root);
    cis_ns_free(ns);
    assert_ok(cis_layered_commit(vfs, NULL, &done, NULL, err));
    cis_vfs_close(vfs);
}

static void alice_writes(const char *small)
{
    writes(ALICE, small);
}

static void publish(void)
{
    struct cis_str to = BOB;
    assert_ok(cis_store_publish_put(place->store, ALICE, CIS_STR("main"), &to, 1, NULL, err));
}

static void unpublish(void)
{
    assert_ok(cis_store_publish_remove(place->store, ALICE, CIS_STR("main"), NULL, 0, NULL, err));
}

static int setup(void **state)
{
    (void)state;
    place = layered_begin();
    alice_writes("first");
    assert_ok(cis_store_tenant_create(place->store, BOB, 7, 7, NULL, err));
    publish();
    layered_reopen(place); /* nothing is cached */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    layered_end(place);
    return 0;
}

static bool count_pin(void *self, const struct cis_fs_pin *pin)
{
    (void)pin;
    ++*(int *)self;
    return true;
}

static int pins(struct cis_str tenant)
{
    int n = 0;
    assert_ok(cis_store_pins(place->store, tenant, count_pin, &n, NULL, err));
    return n;
}

static struct cis_fs_ref head_of(struct cis_str tenant)
{
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(place->store, tenant, CIS_STR("main"), &ref, NULL, err));
    return ref;
}

/* ---- happy ---- */

static void a_published_branch_is_read_beside_ones_own(void **state)
{
    (void)state;
    struct world w = world_open();
    static uint8_t got[BIG + 10];
    char text[64];
    size_t n;
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(1000);
    assert_int_equal(put(w.root, "/mine", "my own", 6), 0);
    holds(w.root, "/mine", "my own");
    holds(w.root, "/shared/small", "first");
    holds(w.root, "/shared/d/f", "deep");
    holds(w.root, "/shared/link", "deep");
    assert_int_equal(
        cis_at_readlink(w.root, &call, CIS_STR("/shared/link"), CIS_WALK_CHROOT, &target), 0);
    assert_string_equal(cis_buf_cstr(&target), "d/f");
    assert_int_equal(get(w.root, "/shared/big", got, sizeof got, &n), 0);
    assert_int_equal(n, BIG);
    assert_memory_equal(got, big, BIG);
    assert_int_equal(list(w.root, "/shared", &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(list(w.root, "/", &n), 0);
    assert_int_equal(n, 2);
    /* From one to the other by content, as a copy does. */
    snprintf(text, sizeof text, "%.*s", 5, "first");
    assert_int_equal(put(w.root, "/copy", text, 5), 0);
    assert_ok(cis_layered_commit(w.own, NULL, NULL, NULL, err));
    assert_int_equal(head_of(BOB).files, 3);
    assert_int_equal(head_of(ALICE).files, 5);
    world_close(&w);
}

static void nothing_of_it_can_be_changed(void **state)
{
    (void)state;
    struct world w = world_open();
    struct cis_fs_ref before = head_of(ALICE);
    struct cis_vfs_make folder = {.mode = S_IFDIR | 0755};
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = 0600};
    struct cis_vfs_usage usage;
    const unsigned chroot = CIS_WALK_CHROOT;
    assert_int_equal(put(w.root, "/mine", "x", 1), 0);
    assert_int_equal(put(w.root, "/shared/small", "x", 1), EROFS);
    assert_int_equal(put(w.root, "/shared/new", "x", 1), EROFS);
    assert_int_equal(cis_at_make(w.root, &call, CIS_STR("/shared/n"), chroot, &folder), EROFS);
    assert_int_equal(cis_at_unlink(w.root, &call, CIS_STR("/shared/small"), chroot), EROFS);
    assert_int_equal(cis_at_rmdir(w.root, &call, CIS_STR("/shared/d"), chroot), EROFS);
    assert_int_equal(cis_at_set(w.root, &call, CIS_STR("/shared/small"), chroot, &set), EROFS);
    assert_int_equal(cis_at_rename(w.root, CIS_STR("/shared/small"), w.root,
                                   CIS_STR("/shared/other"), &call, chroot, 0),
                     EROFS);
    assert_int_equal(cis_at_link(w.root, CIS_STR("/shared/small"), w.root, CIS_STR("/shared/other"),
                                 &call, chroot),
                     EROFS);
    assert_int_equal(cis_at_rename(w.root, CIS_STR("/shared/small"), w.root, CIS_STR("/small"),
                                   &call, chroot, 0),
                     EXDEV);
    assert_int_equal(
        cis_at_rename(w.root, CIS_STR("/mine"), w.root, CIS_STR("/shared/mine"), &call, chroot, 0),
        EXDEV);
    assert_int_equal(
        cis_at_link(w.root, CIS_STR("/shared/small"), w.root, CIS_STR("/small"), &call, chroot),
        EXDEV);
    assert_int_equal(
        cis_at_link(w.root, CIS_STR("/mine"), w.root, CIS_STR("/shared/mine"), &call, chroot),
        EROFS);
    /* Nor by the view itself, whatever it is told to commit. */
    struct cis_kv_op op = {.ns = CIS_STR("a"), .key = CIS_STR("k"), .value = cis_bytes_of("v", 1)};
    struct cis_store_commit with = {.kv = &op, .nkv = 1};
    assert_fails(CIS_E_DENIED, "", cis_layered_commit(w.shared, NULL, NULL, NULL, err));
    assert_fails(CIS_E_DENIED, "", cis_layered_commit(w.shared, &with, NULL, NULL, err));
    assert_fails(CIS_E_DENIED, "",
                 cis_layered_commit_fork(w.shared, CIS_STR("x"), NULL, NULL, NULL, err));
    assert_int_equal(cis_vfs_statfs(w.shared, &call, &usage), 0);
    assert_true(usage.bytes_free == 0 && usage.files_free == 0 && usage.files == 5);
    struct cis_fs_ref after = head_of(ALICE);
    assert_true(after.head.epoch == before.head.epoch && after.head.branch == before.head.branch);
    world_close(&w);
}

static void it_stays_what_it_was_when_it_was_opened(void **state)
{
    (void)state;
    struct world w = world_open();
    alice_writes("second");
    holds(w.root, "/shared/small", "first");
    struct world later = world_open();
    holds(later.root, "/shared/small", "second");
    holds(w.root, "/shared/small", "first");
    /* By the publisher's pins: gc may have the branch's past but for what is looked at. */
    assert_int_equal(pins(ALICE), 2);
    assert_int_equal(pins(BOB), 0);
    struct cis_view head = head_of(ALICE).head;
    assert_ok(cis_store_squash(place->store, ALICE,
                               &(struct cis_fs_squash_request){head.branch, head.epoch, NULL, 0},
                               NULL, err));
    holds(w.root, "/shared/d/f", "deep");
    world_close(&w);
    world_close(&later);
    assert_int_equal(pins(ALICE), 0);
}

static void a_guest_needs_no_room_in_anybodys_quota(void **state)
{
    (void)state;
    struct cis_tenant tight = {.quota_files = 1, .quota_bytes = 1, .quota_stored = 1};
    tight.quota_snapshots = 1;
    assert_ok(cis_store_tenant_quota(place->store, ALICE, &tight, NULL, err));
    struct cis_tenant bob; /* the folder that it is mounted at is his own */
    assert_ok(cis_store_tenant_get(place->store, BOB, &bob, NULL, err));
    tight.quota_stored = bob.stored + 1;
    assert_ok(cis_store_tenant_quota(place->store, BOB, &tight, NULL, err));
    struct world w = world_open();
    holds(w.root, "/shared/small", "first");
    world_close(&w);
}

/* ---- denied ---- */

static void what_cannot_be_opened_says_why(void **state)
{
    (void)state;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cis_str eve = CIS_STR("eve");
    cis_vfs *vfs = NULL;
    assert_ok(cis_store_tenant_create(place->store, eve, 9, 9, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "tenant alice: no branch main is published to eve",
                 view_try(eve, "alice", "main", &vfs, err));
    assert_fails(CIS_E_NOTFOUND, "tenant alice: no branch ghost is published to eve",
                 view_try(eve, "alice", "ghost", &vfs, err));
    assert_fails(CIS_E_NOTFOUND, "tenant nobody: no branch main is published to eve",
                 view_try(eve, "nobody", "main", &vfs, err));
    assert_fails(CIS_E_NOTFOUND, "tenant alice: no branch main is published to stranger",
                 view_try(CIS_STR("stranger"), "alice", "main", &vfs, err));
    assert_fails(CIS_E_USAGE, "by its name", view_try(BOB, "alice", "", &vfs, err));
    assert_fails(CIS_E_INVALID, "not [a-z0-9]", view_try(BOB, "alice#1", "main", &vfs, err));
    o.tenant = BOB;
    o.from = ALICE;
    o.ref = CIS_STR("main");
    o.at = head_of(ALICE).head;
    assert_fails(CIS_E_USAGE, "at its head",
                 cis_layered_open(place->fs_cache, &o, NULL, &vfs, err));
    struct cis_tenant row;
    assert_fails(CIS_E_NOTFOUND, "stranger", /* it was not made by asking */
                 cis_store_tenant_get(place->store, CIS_STR("stranger"), &row, NULL, err));
    assert_int_equal(pins(ALICE), 0);
    vfs = view_of(ALICE, "alice"); /* one's own, read-only */
    assert_true(vfs->read_only);
    cis_vfs_close(vfs);
}

/* Whatever it has cached or open. */
static void assert_ended(struct world *w, cis_vfs_file *open, int no)
{
    uint8_t got[16];
    struct iovec v = {got, sizeof got};
    struct cis_vfs_attr attr;
    size_t n;
    why = (struct cis_error){0};
    assert_int_equal(get(w->root, "/shared/small", got, sizeof got, &n), no);
    assert_int_equal(n, 0);
    if (no == EACCES) {
        assert_int_equal(why.code, CIS_E_DENIED);
        assert_string_equal(why.msg, "tenant alice: branch main is no longer published to bob");
    }
    assert_int_equal(get(w->root, "/shared/d/f", got, sizeof got, &n), no);
    assert_int_equal(list(w->root, "/shared", &n), no);
    assert_int_equal(cis_vfs_read(open, &call, &v, 1, 0, &n), no);
    assert_int_equal(cis_vfs_getattr(w->shared, &call, w->shared->root, &attr), no);
    holds(w->root, "/mine", "my own"); /* one's own goes on */
}

static cis_vfs_file *use(struct world *w)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    size_t n;
    assert_int_equal(put(w->root, "/mine", "my own", 6), 0);
    holds(w->root, "/shared/small", "first");
    assert_int_equal(list(w->root, "/shared", &n), 0);
    assert_int_equal(cis_at_open(w->root, &call, CIS_STR("/shared/small"),
                                 &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY, 0}, &file,
                                 &attr),
                     0);
    return file;
}

static void an_open_view_ends_when_the_branch_is_taken_back(void **state)
{
    (void)state;
    struct world w = world_open();
    cis_vfs_file *file = use(&w);
    cis_vfs *vfs = NULL;
    assert_ok(cis_layered_renew(w.shared, NULL, err));
    assert_ok(cis_layered_renew(w.own, NULL, err));
    unpublish();
    assert_fails(CIS_E_DENIED, "tenant alice: branch main is no longer published to bob",
                 view_try(BOB, "alice", "main", &vfs, err));
    holds(w.root, "/shared/small", "first"); /* until its pin is due */
    atomic_fetch_sub(&lay_of(w.shared)->pinned_ns, 60ull * 1000000000);
    assert_int_equal(list(w.root, "/shared/d", &(size_t){0}), EACCES); /* nothing cached: it asks */
    assert_ended(&w, file, EACCES);
    assert_fails(CIS_E_DENIED, "no longer published", cis_layered_renew(w.shared, NULL, err));
    publish(); /* a view that ended does not come back */
    assert_fails(CIS_E_DENIED, "no longer published", cis_layered_renew(w.shared, NULL, err));
    assert_ended(&w, file, EACCES);
    cis_vfs_file_close(file);
    world_close(&w);
    assert_int_equal(pins(ALICE), 0);
    w = world_open();
    holds(w.root, "/shared/small", "first");
    world_close(&w);
}

/* The fs cache's keeper looks after those that ask nothing. */
static void a_view_that_nobody_uses_ends_as_well(void **state)
{
    (void)state;
    struct world w = world_open();
    cis_vfs_file *file = use(&w);
    unpublish();
    atomic_fetch_sub(&lay_of(w.shared)->pinned_ns, 60ull * 1000000000);
    uint64_t end = cis_clock_mono_ns() + WAITS_NS;
    while (lay_of(w.shared)->ended == 0 && cis_clock_mono_ns() < end) {
        struct timespec nap = {0, 2000000};
        pthread_mutex_lock(&place->fs_cache->lock); /* as if its time had come */
        pthread_cond_broadcast(&place->fs_cache->keep);
        pthread_mutex_unlock(&place->fs_cache->lock);
        nanosleep(&nap, NULL);
    }
    assert_int_equal(lay_of(w.shared)->ended, EACCES);
    assert_ended(&w, file, EACCES);
    cis_vfs_file_close(file);
    world_close(&w);
}

static void an_open_view_ends_with_the_branchs_name(void **state)
{
    (void)state;
    const struct cis_store_fs_ops *fs = place->store->fs;
    struct world w = world_open();
    cis_vfs_file *file = use(&w);
    struct cis_str side = CIS_STR("side"), main_name = CIS_STR("main");
    struct cis_view moved, head = head_of(ALICE).head, past = {head.branch, head.epoch - 1};
    /* A rollback and a switch leave it what it is. */
    assert_ok(fs->ref_move(place->store, ALICE,
                           &(struct cis_fs_move_request){main_name, head, past, 0, CIS_STR("")},
                           &moved, NULL, err));
    assert_ok(cis_layered_renew(w.shared, NULL, err));
    holds(w.root, "/shared/d/f", "deep");
    assert_ok(fs->fork(place->store, ALICE, moved, &side, 1, NULL, err));
    assert_ok(fs->ref_switch(place->store, ALICE, side, NULL, err));
    assert_ok(cis_layered_renew(w.shared, NULL, err));
    assert_ok(fs->ref_remove(place->store, ALICE, main_name, CIS_STR(""), NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no branch main is published to bob",
                 cis_layered_renew(w.shared, NULL, err));
    assert_ended(&w, file, EACCES);
    cis_vfs_file_close(file);
    world_close(&w);
}

static void an_open_view_never_shows_a_later_tenant_of_the_name(void **state)
{
    (void)state;
    struct world w = world_open();
    cis_vfs_file *file = use(&w);
    uint8_t got[64];
    size_t n;
    assert_ok(cis_store_tenant_delete(place->store, ALICE, NULL, err));
    alice_writes("another alice");
    alice_writes("another alice");
    assert_true(head_of(ALICE).head.epoch >= 1);
    /* Not read yet: what the store says now, and that is nothing. */
    int no = get(w.root, "/shared/d/f", got, sizeof got, &n);
    assert_true(no != 0 && n == 0);
    no = get(w.root, "/shared/big", got, sizeof got, &n);
    assert_true(no != 0 && n == 0);
    struct cis_error ended = {0};
    assert_int_equal(cis_layered_renew(w.shared, NULL, &ended) == CIS_OK, 0);
    assert_true(lay_of(w.shared)->ended != 0);
    assert_ended(&w, file, lay_of(w.shared)->ended);
    cis_vfs_file_close(file);
    world_close(&w);
}

/* One's own view as well: it neither reads what the later tenant has nor commits into it. */
static void a_view_of_ones_own_does_not_go_on_in_a_later_tenant(void **state)
{
    (void)state;
    struct world old = world_open();
    struct cis_fs_committed done;
    struct cis_error refused = {0};
    uint8_t got[64];
    size_t n;
    assert_int_equal(put(old.root, "/mine", "mine", 4), 0);
    assert_ok(cis_layered_commit(old.own, NULL, &done, NULL, err));
    assert_int_equal(put(old.root, "/late", "late", 4), 0);
    assert_ok(cis_store_tenant_delete(place->store, BOB, NULL, err));
    writes(BOB, "of another bob");
    writes(BOB, "of another bob");
    uint64_t before = head_of(BOB).head.epoch;
    int no = get(old.root, "/d/f", got, sizeof got, &n);
    assert_true(no != 0 && n == 0);
    cis_code code = cis_layered_commit(old.own, NULL, &done, NULL, &refused);
    assert_true(code == CIS_E_NOTFOUND || code == CIS_E_EXPIRED);
    assert_int_equal(head_of(BOB).head.epoch, before);
    world_close(&old);
}

static void a_pin_that_lapsed_is_not_taken_again(void **state)
{
    (void)state;
    struct world w = world_open();
    cis_vfs_file *file = use(&w);
    uint64_t id = atomic_load(&lay_of(w.shared)->pin), none = 0;
    assert_ok(cis_store_pin(place->store, ALICE, &(struct cis_fs_pin_request){{0, 0}, id, 0}, &none,
                            NULL, err));
    assert_fails(CIS_E_EXPIRED, "", cis_layered_renew(w.shared, NULL, err));
    assert_ended(&w, file, ESTALE);
    cis_vfs_file_close(file);
    world_close(&w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_published_branch_is_read_beside_ones_own),
        TEST(nothing_of_it_can_be_changed),
        TEST(it_stays_what_it_was_when_it_was_opened),
        TEST(a_guest_needs_no_room_in_anybodys_quota),
        TEST(what_cannot_be_opened_says_why),
        TEST(an_open_view_ends_when_the_branch_is_taken_back),
        TEST(a_view_that_nobody_uses_ends_as_well),
        TEST(an_open_view_ends_with_the_branchs_name),
        TEST(an_open_view_never_shows_a_later_tenant_of_the_name),
        TEST(a_view_of_ones_own_does_not_go_on_in_a_later_tenant),
        TEST(a_pin_that_lapsed_is_not_taken_again),
    };
    stores_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
