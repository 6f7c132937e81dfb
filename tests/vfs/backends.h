/* The filesystems that the contract suite and the random runs know. */
#ifndef CIS_TESTS_VFS_BACKENDS_H
#define CIS_TESTS_VFS_BACKENDS_H

#include "vfs/contract.h"

extern const struct contract_backend backend_hostdir, backend_union, backend_layered;
/* The folder below, of a place of backend_union. */
const char *backend_union_lower(void *place, char *out, size_t cap);

#endif
