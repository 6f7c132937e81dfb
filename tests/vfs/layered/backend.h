/* The layered filesystem for the suites of tests/vfs. */
#ifndef CIS_TESTS_VFS_LAYERED_BACKEND_H
#define CIS_TESTS_VFS_LAYERED_BACKEND_H

#include "vfs/contract.h"

extern const struct contract_backend backend_layered;

#endif
