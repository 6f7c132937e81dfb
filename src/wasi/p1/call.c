/* One operation on files, from the guest's call to its answer. */
#include <errno.h>
#include "wasi/p1/internal.h"

/* The filesystem is about to wait. It may hold locks that others need, so the slot is only let go
 * here; cis_wasi_call_end waits for one when the filesystem has returned. */
static void waits(void *self)
{
    struct cis_wasi_call *call = self;
    if (!call->waiting) {
        call->waiting = true;
        cis_guest_block(call->guest);
    }
}

void cis_wasi_call_begin(struct cis_wasi_call *call, cis_guest *guest)
{
    struct cis_host *host = cis_host_of(guest);
    call->guest = guest;
    call->waiting = false;
    call->said.msg[0] = '\0';
    call->vfs = (struct cis_vfs_call){.uid = host->world.uid,
                                      .gid = host->world.gid,
                                      .stop = cis_guest_stop(guest),
                                      .err = &call->said,
                                      .budget = &host->budget,
                                      .waits = waits,
                                      .self = call};
}

/* The guest learns a number, the user why. */
static void tell(struct cis_wasi_call *call)
{
    if (call->said.msg[0] != '\0') {
        cis_host_log(cis_host_of(call->guest), CIS_LOG_WARN, cis_str_of(call->said.msg));
    }
}

cis_code cis_wasi_call_end(struct cis_wasi_call *call, int no, struct cis_error *err)
{
    if (call->waiting) {
        call->waiting = false;
        CIS_TRY(cis_guest_unblock(call->guest, err));
    }
    if (no == EINTR) {
        CIS_TRY(cis_stop_check(cis_guest_stop(call->guest), "files", err));
    }
    if (no == EIO || no == ESTALE) {
        tell(call);
    }
    return CIS_OK;
}

cis_code cis_wasi_call_answer(struct cis_wasi_call *call, union cis_slot *io, int no,
                              struct cis_error *err)
{
    CIS_TRY(cis_wasi_call_end(call, no, err));
    return cis_wasi_answer(io, cis_wasi_errno_of(no));
}
