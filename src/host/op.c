/* Operations on files, clocks and random bytes, the same for every version of WASI. */
#include "host/op.h"

#include <errno.h>
#include <time.h>
#include "base/clock.h"
#include "base/crypto.h"

#define RANDOM_STEP ((size_t)64 * 1024) /* about a tenth of a millisecond */

/* The filesystem is about to wait. It may hold locks that others need, so the slot is only let go
 * here; cis_host_op_end waits for one when the filesystem has returned. */
static void waits(void *self)
{
    struct cis_host_op *op = self;
    if (!op->waiting) {
        op->waiting = true;
        cis_engine_instance_block(op->instance);
    }
}

void cis_host_op_begin(struct cis_host_op *op, cis_engine_instance *instance)
{
    struct cis_host *host = cis_host_of(instance);
    op->instance = instance;
    op->waiting = false;
    op->said.msg[0] = '\0';
    op->entries = 0;
    op->vfs = (struct cis_vfs_call){.uid = host->wasi_env.uid,
                                    .gid = host->wasi_env.gid,
                                    .umask = host->wasi_env.umask,
                                    .stop = cis_engine_instance_stop(instance),
                                    .err = &op->said,
                                    .budget = &host->budget,
                                    .waits = waits,
                                    .self = op,
                                    .entries = &op->entries};
}

cis_code cis_host_op_end(struct cis_host_op *op, int rc, struct cis_error *err)
{
    if (op->waiting) {
        op->waiting = false;
        CIS_TRY(cis_engine_instance_unblock(op->instance, err));
    }
    if (op->entries != 0) {
        CIS_TRY(cis_engine_instance_burn(op->instance, op->entries * CIS_HOST_ENTRY_FUEL, err));
    }
    if (rc == EINTR) {
        CIS_TRY(cis_stop_check(cis_engine_instance_stop(op->instance), "files", err));
    }
    if ((rc == EIO || rc == ESTALE) && op->said.msg[0] != '\0') {
        /* The guest learns a number, the user why. */
        cis_host_log(cis_host_of(op->instance), CIS_LOG_WARN, cis_str_of(op->said.msg));
    }
    return CIS_OK;
}

uint64_t cis_host_realtime(cis_engine_instance *instance)
{
    const struct cis_host *host = cis_host_of(instance);
    struct timespec t;
    if (host->fixed_clock) {
        return host->clock_ns;
    }
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * CIS_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t cis_host_monotonic(cis_engine_instance *instance)
{
    struct cis_host *host = cis_host_of(instance);
    if (host->fixed_clock) {
        return host->clock_ns;
    }
    uint64_t now = cis_clock_mono_ns();
    if (host->mono_base_ns == 0) {
        host->mono_base_ns = now - CIS_NS_PER_S; /* zero means "not set" to some guests */
    }
    return now - host->mono_base_ns;
}

cis_code cis_host_random(cis_engine_instance *instance, void *out, size_t len,
                         struct cis_error *err)
{
    struct cis_wasi_env *wasi_env = &cis_host_of(instance)->wasi_env;
    for (size_t done = 0; done < len;) {
        size_t step = len - done < RANDOM_STEP ? len - done : RANDOM_STEP;
        if (wasi_env->seeded) {
            cis_random_seeded(wasi_env->seed, &wasi_env->seed_block, (uint8_t *)out + done, step);
        } else {
            cis_random_bytes((uint8_t *)out + done, step);
        }
        done += step;
        if (done < len) {
            CIS_TRY(cis_stop_check(cis_engine_instance_stop(instance), "random_get", err));
        }
    }
    return CIS_OK;
}
