/* Processes that cannot leave their process group: one signal to the group ends all of them,
 * whatever they started. A child that makes a session or a group of its own is out of reach. The
 * first process of the group is a keeper, which ends the group when our process dies, however it
 * dies. */
#ifndef CIS_BASE_HERD_H
#define CIS_BASE_HERD_H

#include <sys/types.h>

/* From now on setsid and setpgid of this process and of all that come from it answer 0 and change
 * nothing. For a child between fork and exec, after its own setpgid and PR_SET_NO_NEW_PRIVS: makes
 * system calls only. 0 or errno (EINVAL: a kernel without filters). Cannot be taken back. */
int cis_herd_stay(void);

/* Forks the keeper; *out is its pid and that of the group. It has no descriptor open and takes no
 * signal but SIGKILL. It ends with the group, or when the calling thread does, and is the caller's
 * to wait for. 0 or errno. */
int cis_herd_keeper(pid_t *out);

#endif
