/* A union of two folders of the host. The upper one shows devices: whiteouts are such. */
#include "vfs/backends.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/ops.h"
#include "vfs/union/union.h"

struct place {
    char *base;
    cis_vfs *lower, *upper;
};

static void folder(const char *base, const char *name, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%s", base, name);
}

static void *union_begin(void)
{
    struct place *place = calloc(1, sizeof *place);
    char path[4200];
    place->base = test_dir_new();
    for (int i = 0; i < 2; i++) {
        folder(place->base, i == 0 ? "lower" : "upper", path, sizeof path);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(chmod(path, 0755), 0);
    }
    return place;
}

static void parts_close(struct place *place)
{
    cis_vfs_close(place->lower);
    cis_vfs_close(place->upper);
    place->lower = place->upper = NULL;
}

static cis_vfs *union_open(void *self, bool read_only)
{
    struct place *place = self;
    struct cis_hostdir_options low = CIS_HOSTDIR_OPTIONS_INIT, up = CIS_HOSTDIR_OPTIONS_INIT;
    cis_vfs *vfs = NULL;
    char path[4200];
    parts_close(place);
    low.read_only = true;
    up.read_only = read_only;
    up.devices = true;
    folder(place->base, "lower", path, sizeof path);
    assert_ok(cis_hostdir_open(path, &low, &place->lower, err));
    folder(place->base, "upper", path, sizeof path);
    assert_ok(cis_hostdir_open(path, &up, &place->upper, err));
    assert_ok(cis_union_open(place->lower, place->upper, NULL, &vfs, err));
    return vfs;
}

static void union_end(void *self)
{
    struct place *place = self;
    parts_close(place);
    remove_deep(place->base);
    free(place->base);
    free(place);
}

const char *backend_union_lower(void *self, char *out, size_t cap)
{
    folder(((struct place *)self)->base, "lower", out, cap);
    return out;
}

const struct contract_backend backend_union = {
    .name = "union of host folders",
    .flags = CONTRACT_NODES,
    .begin = union_begin,
    .open = union_open,
    .end = union_end,
};
