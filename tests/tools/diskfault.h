/* A disk that fails under another program: a library that is loaded into it before its own, and the
 * memory that both share. The nth write, or sync, of all processes of that program fails. */
#ifndef CIS_TESTS_DISKFAULT_H
#define CIS_TESTS_DISKFAULT_H

#include <stdatomic.h>

enum { DISKFAULT_WRITES, DISKFAULT_SYNCS, DISKFAULT_KINDS };

/* The file that CIS_DISKFAULT names. */
struct diskfault {
    atomic_long done[DISKFAULT_KINDS]; /* so far */
    atomic_long at[DISKFAULT_KINDS];   /* the one that fails, as counted by done; -1: none */
    atomic_int error;                  /* its errno */
    atomic_int lasting;                /* and all after it */
    atomic_long failed;
};

#endif
