/* One operation on files for a guest: who asks, what ends it, and the CPU slot, which is given back
 * as soon as the filesystem says that it waits and taken again at the end. Handlers of every WASI
 * version use it. One thread. */
#ifndef CIS_HOST_OP_H
#define CIS_HOST_OP_H

#include "host/host.h"
#include "vfs/vfs.h"

struct cis_host_op {
    struct cis_vfs_call vfs;
    cis_engine_instance *instance;
    struct cis_error said; /* the filesystem's own words */
    bool waiting;
    uint64_t entries; /* of folders, that were read for it */
};
/* Fuel for one of them: to read one from a folder takes the host as long as the guest's own work of
 * so many units. */
#define CIS_HOST_ENTRY_FUEL 64u
void cis_host_op_begin(struct cis_host_op *op, cis_engine_instance *instance);
/* The slot again, or what ended the run meanwhile; a damaged file is told to the user. To be called
 * before anything else is done to the guest. */
cis_code cis_host_op_end(struct cis_host_op *op, int rc, struct cis_error *err);

/* Clocks as the guest sees them, nanoseconds. The monotonic one starts near zero at a run's first
 * look, so that it says nothing about the host. */
uint64_t cis_host_realtime(cis_engine_instance *instance);
uint64_t cis_host_monotonic(cis_engine_instance *instance);
/* Random bytes, or the world's seeded ones; looks at the deadline between steps. */
cis_code cis_host_random(cis_engine_instance *instance, void *out, size_t len,
                         struct cis_error *err);

#endif
