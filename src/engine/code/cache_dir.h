/* The folder of the code cache: who may write there, what is in it, how it stays small. */
#ifndef CIS_ENGINE_CACHE_DIR_H
#define CIS_ENGINE_CACHE_DIR_H

#include "engine/code/engine.h"

#define CIS_CACHE_NAME 96 /* sha256 in hex, profile, NUL */
#define CIS_CACHE_TEMP "tmp-"
#define CIS_CACHE_KNOWN "known-" /* file_hash.c */

/* CIS_E_DENIED: it belongs to another user, or group or others may write. CIS_E_IO: cannot be made.
 * CIS_E_NOTFOUND: absent, and not to be made. */
cis_code cis_cache_dir_open(const char *path, bool make, int *out_fd, struct cis_error *err);
/* Removes what was used longest ago until at most max_bytes are left, and what dead processes left
 * half-written. Returns what could not be reached. */
void cis_cache_dir_prune(int fd, uint64_t max_bytes, uint64_t *out_freed);

#endif
