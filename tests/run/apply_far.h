/* Steps of the random model of applies further down than a path of the host is long, by the user in
 * the folder and by the guest in its view: chains of folders with long names, each of which has one
 * of two names. */
#ifndef CIS_TESTS_RUN_APPLY_FAR_H
#define CIS_TESTS_RUN_APPLY_FAR_H

#include "harness.h"
#include "vfs/walk.h"

struct far {
    unsigned (*pick)(void *self, unsigned n);
    void (*token)(void *self, char kind, char out[32]);
    void *self;
};

/* Some files down there, before anything else happens. */
void far_fill(const struct far *f, const char *folder);
/* near: the path of a file that is no such one, below the folder. */
void far_user(const struct far *f, const char *folder, const char *near);
/* One that takes nothing away; what it writes is added to mine. */
void far_user_keeps(const struct far *f, const char *folder, struct cis_buf *mine);
void far_guest(const struct far *f, const cis_dir *dir, const struct cis_vfs_call *call,
               const char *near);
/* A name as it is shown. */
void far_short(const char *name, char out[64]);

#endif
