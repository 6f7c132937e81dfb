#include "vfs/backend_layered.h"

#include "vfs/hostdir/hostdir.h"
#include "vfs/ops.h"
#include "vfs/union/union.h"
#include "store/calls.h"

static void open_store(struct layered_place *place)
{
    struct cis_fs_cache_options small = CIS_FS_CACHE_OPTIONS_INIT;
    small.entries = small.inodes = 512; /* so that caches are left, too */
    small.chunk_bytes = 2u << 20;
    place->store = store_place_open(place->store_place);
    assert_ok(cis_fs_cache_new(place->store, &small, &place->fs_cache, err));
}

struct layered_place *layered_begin(void)
{
    struct layered_place *place = calloc(1, sizeof *place);
    place->store_place = store_place_new();
    open_store(place);
    return place;
}

void layered_reopen(struct layered_place *place)
{
    cis_fs_cache_free(place->fs_cache);
    cis_store_close(place->store);
    open_store(place);
}

void layered_end(struct layered_place *place)
{
    cis_vfs_close(place->upper);
    cis_vfs_close(place->lower);
    cis_fs_cache_free(place->fs_cache);
    cis_store_close(place->store);
    store_place_free(place->store_place);
    if (place->folder != NULL) {
        remove_deep(place->folder);
        free(place->folder);
    }
    free(place);
}

cis_vfs *layered_open(struct layered_place *place, const char *ref, struct cis_view view,
                      bool read_only)
{
    struct cis_layered_options options = CIS_LAYERED_OPTIONS_INIT;
    options.tenant = LAYERED_TENANT;
    options.ref = cis_str_of(ref);
    options.at = view;
    options.read_only = read_only;
    options.kept = place->folder != NULL ? CIS_LAYERED_KEPT_ALL : CIS_LAYERED_KEPT_REMOVE;
    options.dirty_bytes = 512u << 10; /* so that it spills */
    cis_vfs *vfs = NULL;
    assert_ok(cis_layered_open(place->fs_cache, &options, NULL, &vfs, err));
    return vfs;
}

static void commit(cis_vfs *vfs)
{
    struct cis_fs_committed done;
    assert_ok(cis_layered_commit(vfs, NULL, &done, NULL, err));
}

static void *alone_begin(void)
{
    return layered_begin();
}

static cis_vfs *alone_open(void *place, bool read_only)
{
    return layered_open(place, "", (struct cis_view){0, 0}, read_only);
}

static void alone_settle(void *place, cis_vfs *vfs)
{
    (void)place;
    commit(vfs);
}

static void any_end(void *place)
{
    layered_end(place);
}

const struct contract_backend backend_layered = {
    .name = "layered",
    .flags = CONTRACT_OWNERS | CONTRACT_NODES,
    .begin = alone_begin,
    .open = alone_open,
    .settle = alone_settle,
    .end = any_end,
};

static void *over_begin(void)
{
    struct layered_place *place = layered_begin();
    place->folder = test_dir_new();
    assert_int_equal(chmod(place->folder, 0755), 0);
    return place;
}

static cis_vfs *over_open(void *self, bool read_only)
{
    struct layered_place *place = self;
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    cis_vfs *vfs = NULL;
    cis_vfs_close(place->upper);
    cis_vfs_close(place->lower);
    place->upper = place->lower = NULL;
    options.read_only = true;
    assert_ok(cis_hostdir_open(place->folder, &options, &place->lower, err));
    place->upper = layered_open(place, "", (struct cis_view){0, 0}, read_only);
    assert_ok(cis_union_open(place->lower, place->upper, NULL, &vfs, err));
    return vfs;
}

static void over_settle(void *self, cis_vfs *vfs)
{
    (void)vfs;
    commit(((struct layered_place *)self)->upper);
}

const char *backend_union_lower(void *self, char *out, size_t cap)
{
    snprintf(out, cap, "%s", ((struct layered_place *)self)->folder);
    return out;
}

const struct contract_backend backend_union = {
    .name = "union of a host folder and a branch",
    .flags = CONTRACT_OWNERS | CONTRACT_NODES,
    .begin = over_begin,
    .open = over_open,
    .settle = over_settle,
    .end = any_end,
};
