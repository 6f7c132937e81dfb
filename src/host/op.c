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
        cis_guest_block(op->guest);
    }
}

void cis_host_op_begin(struct cis_host_op *op, cis_guest *guest)
{
    struct cis_host *host = cis_host_of(guest);
    op->guest = guest;
    op->waiting = false;
    op->said.msg[0] = '\0';
    op->entries = 0;
    op->vfs = (struct cis_vfs_call){.uid = host->world.uid,
                                    .gid = host->world.gid,
                                    .umask = host->world.umask,
                                    .stop = cis_guest_stop(guest),
                                    .err = &op->said,
                                    .budget = &host->budget,
                                    .waits = waits,
                                    .self = op,
                                    .entries = &op->entries};
}

cis_code cis_host_op_end(struct cis_host_op *op, int no, struct cis_error *err)
{
    if (op->waiting) {
        op->waiting = false;
        CIS_TRY(cis_guest_unblock(op->guest, err));
    }
    if (op->entries != 0) {
        CIS_TRY(cis_guest_burn(op->guest, op->entries * CIS_HOST_ENTRY_FUEL, err));
    }
    if (no == EINTR) {
        CIS_TRY(cis_stop_check(cis_guest_stop(op->guest), "files", err));
    }
    if ((no == EIO || no == ESTALE) && op->said.msg[0] != '\0') {
        /* The guest learns a number, the user why. */
        cis_host_log(cis_host_of(op->guest), CIS_LOG_WARN, cis_str_of(op->said.msg));
    }
    return CIS_OK;
}

uint64_t cis_host_realtime(cis_guest *guest)
{
    const struct cis_host *host = cis_host_of(guest);
    struct timespec t;
    if (host->fixed_clock) {
        return host->clock_ns;
    }
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * CIS_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t cis_host_monotonic(cis_guest *guest)
{
    struct cis_host *host = cis_host_of(guest);
    if (host->fixed_clock) {
        return host->clock_ns;
    }
    uint64_t now = cis_clock_mono_ns();
    if (host->mono_base_ns == 0) {
        host->mono_base_ns = now - CIS_NS_PER_S; /* zero means "not set" to some guests */
    }
    return now - host->mono_base_ns;
}

cis_code cis_host_random(cis_guest *guest, void *out, size_t len, struct cis_error *err)
{
    struct cis_world *world = &cis_host_of(guest)->world;
    for (size_t done = 0; done < len;) {
        size_t step = len - done < RANDOM_STEP ? len - done : RANDOM_STEP;
        if (world->seeded) {
            cis_random_seeded(world->seed, &world->seed_block, (uint8_t *)out + done, step);
        } else {
            cis_random_bytes((uint8_t *)out + done, step);
        }
        done += step;
        if (done < len) {
            CIS_TRY(cis_stop_check(cis_guest_stop(guest), "random_get", err));
        }
    }
    return CIS_OK;
}
