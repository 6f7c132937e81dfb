/* A folder of the host as a filesystem. Every step is openat2 beneath the root (RESOLVE_BENEATH,
 * no magic links, no crossing by symlinks: nodes are O_PATH descriptors, names are single
 * components), so a rename on the host cannot lead out. Files open with O_NONBLOCK, O_NOCTTY,
 * O_CLOEXEC; only regular files, directories and symlinks are shown unless devices are asked for.
 *
 * Descriptors: one a live node, at most `nodes_max`; beyond it ENFILE. */
#ifndef CIS_VFS_HOSTDIR_HOSTDIR_H
#define CIS_VFS_HOSTDIR_HOSTDIR_H

#include "vfs/vfs.h"

struct cis_hostdir_options {
    uint32_t size;
    bool read_only;
    bool devices;       /* fifos, sockets and devices too */
    uint32_t nodes_max; /* 0: 4096 */
    bool exact;         /* no symlink may be on the way to the folder: CIS_E_CONFLICT */
    /* Charged for what is held: nodes, open files, and listings whose caller names no budget of its
     * own; what does not fit is ENOMEM. Borrowed until the filesystem is closed; charged by
     * whoever calls, so all who share it are one thread. NULL: nobody counts. */
    struct cis_budget *budget;
};
#define CIS_HOSTDIR_OPTIONS_INIT                                                                   \
    {                                                                                              \
        .size = sizeof(struct cis_hostdir_options)                                                 \
    }

/* CIS_E_NOTFOUND, CIS_E_DENIED, CIS_E_INVALID (not a directory), CIS_E_UNSUPPORTED (no openat2). */
cis_code cis_hostdir_open(const char *path, const struct cis_hostdir_options *options,
                          cis_vfs **out_vfs, struct cis_error *err);

/* Is nobody else writing to the file, nor able to through a descriptor that is open already? file:
 * opened to be read only, of a hostdir. Where the host does not tell (no leases there, or the file
 * is somebody else's): true. */
bool cis_hostdir_quiet(cis_vfs_file *file);
/* What a file has beside its content and attributes: "user." attributes, an access list,
 * capabilities. The name of the first, or "". replaced: of those that cis_hostdir_extras_copy does
 * not give to what takes its place. */
void cis_hostdir_extra(cis_vfs_file *file, bool replaced, char out[256]);
/* Gives `to` those that `from` has, but for capabilities; an errno. */
int cis_hostdir_extras_copy(cis_vfs_file *from, cis_vfs_file *to);

/* ---- what the host would refuse: each an errno, 0 when it can be done. Nothing is left ---- */

/* A file of the folder's filesystem without a name; where the host has no such files it has the
 * name `temp` of the folder for a moment (EEXIST). temp NULL: nothing is written into the folder,
 * EOPNOTSUPP there. */
int cis_hostdir_trial_open(cis_vfs *vfs, const char *temp, int *out_fd);
void cis_hostdir_trial_close(int fd);              /* -1 is allowed */
int cis_hostdir_trial_size(int fd, uint64_t size); /* EFBIG */
int cis_hostdir_trial_mode(int fd, uint32_t mode);
/* A symlink, which has the name `temp` for a moment; temp NULL: by what is known of the filesystem,
 * nothing is written. */
int cis_hostdir_trial_link(cis_vfs *vfs, const char *temp, const char *target);
/* Bytes of the longest name. */
size_t cis_hostdir_name_max(cis_vfs *vfs);
/* May names be made, moved there from the root, and removed in a folder? EXDEV: it is another
 * mount; EACCES, EPERM, EROFS. */
int cis_hostdir_changeable(cis_vfs *vfs, cis_node folder);
/* Has the folder something of this name (NULL: of any) that is not shown: a device, fifo, socket?
 */
bool cis_hostdir_hides(cis_vfs *vfs, cis_node folder, const char *name);

#endif
