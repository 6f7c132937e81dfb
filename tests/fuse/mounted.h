/* A filesystem mounted by a child process, which unmounts when it is told to or when the test dies.
 */
#ifndef CIS_TESTS_FUSE_MOUNTED_H
#define CIS_TESTS_FUSE_MOUNTED_H

#include <sys/types.h>
#include "vfs/vfs.h"

struct mounted {
    char dir[256];
    pid_t server;
};
/* open makes the filesystem in the child. False: this machine cannot mount. */
bool mounted_start(struct mounted *m, cis_vfs *(*open)(const void *arg), const void *arg);
/* Exit code of the server. */
int mounted_stop(struct mounted *m);
/* Could a mount be made here at all? Tests that need one skip, saying so, when not. */
bool mounted_possible(void);

#endif
