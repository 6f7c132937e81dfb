/* The contract of cis_vfs for a folder of the host below control files. */
#include "vfs/contract.h"

#include "store/store.h"
#include "vfs/control/control.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/ops.h"

static void *begin(void)
{
    char *path = test_dir_new();
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static cis_vfs *open_at(void *place, bool read_only)
{
    struct cis_hostdir_options host = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_control_options options = CIS_CONTROL_OPTIONS_INIT;
    host.read_only = read_only;
    cis_vfs *below = NULL, *vfs = NULL;
    assert_ok(cis_hostdir_open(place, &host, &below, err));
    options.tenant = CIS_STR("default");
    options.ref = CIS_STR("main");
    assert_ok(cis_control_new(below, &options, &vfs, err));
    return vfs;
}

static void end(void *place)
{
    remove_deep(place);
    free(place);
}

int main(void)
{
    static const struct contract_backend backend = {
        .name = "control", .begin = begin, .open = open_at, .end = end};
    umask(022);
    return contract_run(&backend);
}
