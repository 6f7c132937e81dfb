#include "vfs/backends.h"

#include "vfs/hostdir/hostdir.h"
#include "vfs/ops.h"

static void *host_begin(void)
{
    char *path = test_dir_new();
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static cis_vfs *host_open(void *place, bool read_only)
{
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    options.read_only = read_only;
    cis_vfs *vfs = NULL;
    assert_ok(cis_hostdir_open(place, &options, &vfs, err));
    return vfs;
}

static void host_end(void *place)
{
    remove_deep(place);
    free(place);
}

const struct contract_backend backend_hostdir = {
    .name = "hostdir",
    .begin = host_begin,
    .open = host_open,
    .end = host_end,
};
