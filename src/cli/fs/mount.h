/* Serving a mount: the lease on the branch, the filesystem with its control files, the kernel's
 * requests, and a keeper thread that commits at least every few seconds and renews the lease. When
 * the lease is lost, what no commit has yet is saved as a fork and the mount only reads from then
 * on. One mount a process. */
#ifndef CIS_CLI_MOUNT_H
#define CIS_CLI_MOUNT_H

#include "cli/app.h"

struct cis_mount_options {
    const char *dir;      /* absolute */
    const char *branch;   /* NULL: the current one */
    const char *snapshot; /* NULL: the branch */
    const char *from;     /* the branch is this tenant's, which publishes it; NULL: one's own */
    bool read_only, allow_other;
    /* Called once when the mount is there; false ends it. */
    bool (*ready)(void *self);
    void *self;
};
/* Returns when the mount is gone: by umount, or when the command is cancelled. */
cis_code cis_mount_serve(cis_app *app, const struct cis_cli *cli,
                         const struct cis_mount_options *options, struct cis_error *err);

#endif
