/* Zeros that are written become holes. A file of the store keeps blocks of 64 KiB without the zeros
 * at their end: one byte in each takes a few bytes there, and would take a whole block of each
 * copy. Whoever fills a new file writes through this.
 *
 * One thread at a time for each file. No memory is held. */
#ifndef CIS_VFS_SPARSE_H
#define CIS_VFS_SPARSE_H

#include "vfs/vfs.h"

#define CIS_SPARSE_UNIT 4096u /* what a host keeps as a hole at least */

/* The first run of units in bytes[*inout_from, n) that are not all zeros: from *inout_from to
 * *out_to. False: there is none. at: where bytes[0] is in the file; units begin at multiples of
 * CIS_SPARSE_UNIT in the file. */
bool cis_sparse_next(const uint8_t *bytes, size_t n, uint64_t at, size_t *inout_from,
                     size_t *out_to);
/* Writes bytes at `at` of a file that has zeros or nothing there, but for the units that are zeros:
 * the caller sets the size in the end. An errno; ENOSPC where nothing more fits. */
int cis_sparse_write(cis_vfs_file *file, const struct cis_vfs_call *call, const uint8_t *bytes,
                     size_t n, uint64_t at);

#endif
