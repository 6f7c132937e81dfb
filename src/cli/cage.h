/* The cage of the compiler's process: what a memory error in it could still reach. */
#ifndef CIS_CLI_CAGE_H
#define CIS_CLI_CAGE_H

#include <stdbool.h>
#include "base/error.h"

/* From here on this process, its later threads included, can use the memory and the descriptors it
 * has: compute, read, write and end. It opens no file and no socket, starts no program, looks at no
 * other process, and maps no memory that can be executed. There is no way back. Landlock is used
 * too where the kernel has it; seccomp is required. Fails: CIS_E_UNSUPPORTED when the kernel
 * filters no system calls. Threads: call it while there is one. */
cis_code cis_cage_enter(struct cis_error *err);
/* The second lock by itself, Landlock: this thread and those it makes reach no file by a name, with
 * privileges given up before (PR_SET_NO_NEW_PRIVS). False: the kernel has none. */
bool cis_cage_files(void);

#endif
