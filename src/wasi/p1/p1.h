/* WASI 0.1: every function of `wasi_snapshot_preview1` (46) and of the older `wasi_unstable` (45)
 * as rows for the engine. What they act on is struct cis_host; what they answer is a WASI errno in
 * the result, and only a run that is over (deadline, cancellation, a limit, proc_exit) ends the
 * guest.
 *
 * A guest has its three standard streams and no other descriptor: stdin is the run's input, stdout
 * its output, stderr becomes log lines. Nothing is preopened, so there is no path that works:
 * path functions say EBADF, or ENOTDIR on a stream, as WASI does.
 *
 * A pointer outside the guest's memory is EFAULT. Arrays of a guest are read in place; nothing is
 * allocated by a guest's number. */
#ifndef CIS_WASI_P1_P1_H
#define CIS_WASI_P1_P1_H

#include "engine/program.h"

extern const struct cis_hostfn_table cis_wasi_p1_table;       /* "wasi_snapshot_preview1" */
extern const struct cis_hostfn_table cis_wasi_unstable_table; /* "wasi_unstable" */

#endif
