#include "vfs/backends.h"

#include "fixture.h"
#include "vfs/layered/backend.h"

struct place {
    struct fixture f;
};

static void *layered_begin(void)
{
    struct place *p = calloc(1, sizeof *p);
    fixture_open(&p->f, NULL);
    return p;
}

static cis_vfs *layered_open(void *place, bool read_only)
{
    struct place *p = place;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    if (read_only) { /* the tenant is made by the first view that may write */
        cis_vfs_close(view_main(&p->f));
    }
    o.tenant = TENANT;
    o.read_only = read_only;
    return view_open(&p->f, &o);
}

static void layered_settle(void *place, cis_vfs *vfs)
{
    (void)place;
    if (!vfs->read_only) {
        must_commit(vfs);
    }
}

static void layered_end(void *place)
{
    struct place *p = place;
    fixture_close(&p->f);
    free(p);
}

const struct contract_backend backend_layered = {
    .name = "layered",
    .flags = CONTRACT_OWNERS | CONTRACT_NODES,
    .begin = layered_begin,
    .open = layered_open,
    .settle = layered_settle,
    .end = layered_end,
};
