/* WASI 0.1: every function of `wasi_snapshot_preview1` (46) and of the older `wasi_unstable` (45)
 * as rows for the engine. What they act on is struct cis_host; what they answer is a WASI errno in
 * the result, and only a run that is over (deadline, cancellation, a limit, proc_exit) ends the
 * guest.
 *
 * What a guest finds is host->wasi_env: standard streams at 0 to 2, directories from 3 on,
 * listening sockets after them. A world of zeros is a skill's: stdin is the run's input, stdout its
 * output, stderr becomes log lines, nothing is preopened, and so there is no path that works: path
 * functions say EBADF, or ENOTDIR on a stream.
 *
 * A pointer outside the guest's memory is EFAULT. Arrays of a guest are read in place; nothing is
 * allocated by a guest's number. */
#ifndef CIS_WASI_P1_P1_H
#define CIS_WASI_P1_P1_H

#include "engine/instance/linked.h"

struct cis_host;

extern const struct cis_hostfn_table cis_wasi_p1_table;       /* "wasi_snapshot_preview1" */
extern const struct cis_hostfn_table cis_wasi_unstable_table; /* "wasi_unstable" */

/* The descriptors of a guest, from host->wasi_env: made before it starts (so that too many of them
 * fail the run and not the guest), or at its first call when nobody did. CIS_E_LIMIT (files_max),
 * CIS_E_BUDGET, CIS_E_NOMEM. */
cis_code cis_wasi_p1_start(struct cis_host *host, struct cis_error *err);
/* Closes what the guest left open; before anything that host->wasi_env names is closed. */
void cis_wasi_p1_end(struct cis_host *host);

#endif
