/* A cancellation token: fired once from any thread (or a signal handler's helper thread), seen by
 * the epoch callback through one atomic load and by blocking waits through an eventfd. The eventfd
 * is made at the first blocking wait, so that runs that never block pay no system call. */
#ifndef CIS_BASE_CANCEL_H
#define CIS_BASE_CANCEL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/lock.h"
#include "cis/cancel.h"

/* A token's lock: a leaf. Held while its descriptor is made or made readable. */
CIS_LOCK_CLASS(base_lock_cancel);

/* A descriptor that is readable from the firing on; owned by the token. -1 for NULL or when none
 * can be had (then waits must poll in short steps). */
int cis_cancel_fd(cis_cancel *cancel) CIS_TAKES(base_lock_cancel);

/* What a blocking operation has to respect: it ends at the deadline or when cancelled. */
struct cis_stop {
    uint64_t deadline_ns; /* cis_clock_mono_ns, CIS_NEVER for none */
    cis_cancel *cancel;   /* borrowed, may be NULL */
};
/* CIS_OK, CIS_E_CANCELLED or CIS_E_DEADLINE ("WHAT: time limit reached"). */
cis_code cis_stop_check(const struct cis_stop *stop, const char *what, struct cis_error *err);
/* Waits until fd has events (poll(2) bits; fd -1: only time), the deadline or the cancellation. */
cis_code cis_stop_wait(const struct cis_stop *stop, int fd, short events, const char *what,
                       struct cis_error *err);
/* The same for several at once: n entries of fds, behind which there is room for one more. CIS_OK
 * when some have events (*out_ready of them, in revents), or with *out_ready 0 when it is until_ns
 * (cis_clock_mono_ns). It ends at the deadline even where until_ns is the same instant. */
cis_code cis_stop_wait_many(const struct cis_stop *stop, struct pollfd *fds, size_t n,
                            uint64_t until_ns, const char *what, size_t *out_ready,
                            struct cis_error *err);

#endif
