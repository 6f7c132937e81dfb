/* The mounts that the first process makes in its own namespace, before bubblewrap: the machine
 * read-only, one filesystem in memory for all that the program may write beside its files, and the
 * mount of the files. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "exec/internal.h"

/* A file in memory takes some of the kernel's own, however empty it is: no more of them than this
 * many bytes each. */
#define SCRATCH_INODE_BYTES 8192u
#define SCRATCH_INODES_MIN 1024u

/* Nothing of the machine is written from here on, whatever is shown of it and whoever owns it: the
 * device files, too, which root could close to everybody else. Devices work all the same. What
 * processes are told by /proc is written here; the program gets a /proc of its own. */
const char *cis_exec_mounts_close(int view_fd)
{
    struct mount_attr closed = {.attr_set = MOUNT_ATTR_RDONLY};
    struct mount_attr open = {.attr_clr = MOUNT_ATTR_RDONLY};
    bool done = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &closed, sizeof closed) == 0 &&
                mount_setattr(AT_FDCWD, "/proc", 0, &open, sizeof open) == 0;
    if (!done) {
        return "mounts that are read-only (Linux 5.12)";
    }
    errno = cis_exec_hide_settings(view_fd);
    return errno == 0 ? NULL : "hiding what not every user may read";
}

static bool make_folder(int at, const char *name, mode_t mode)
{
    return mkdirat(at, name, 0700) == 0 && fchmodat(at, name, mode, 0) == 0;
}

/* One filesystem for all of them: its size is what they may take together, in bytes and in files.
 */
static bool mount_scratch(const char *place, uint64_t bytes, int *out_fd)
{
    char options[96];
    uint64_t inodes = bytes / SCRATCH_INODE_BYTES;
    inodes = inodes < SCRATCH_INODES_MIN ? SCRATCH_INODES_MIN : inodes;
    snprintf(options, sizeof options, "mode=0700,size=%" PRIu64 ",nr_inodes=%" PRIu64, bytes,
             inodes);
    if (mount("cis", place, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
        return false;
    }
    *out_fd = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int at = *out_fd;
    return at >= 0 && make_folder(at, EXEC_FILES, 0700) && make_folder(at, EXEC_TMP, 01777) &&
           make_folder(at, EXEC_TMP "/home", 0755) && make_folder(at, EXEC_VAR_TMP, 01777) &&
           make_folder(at, EXEC_SHM, 01777) && make_folder(at, EXEC_RUN, 0755);
}

const char *cis_exec_mounts_make(const char *place, uint64_t scratch, int fds[EXEC_HANDED])
{
    char options[160], path[4200];
    fds[EXEC_HANDED_FUSE] = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fds[EXEC_HANDED_FUSE] < 0) {
        return "/dev/fuse";
    }
    if (!mount_scratch(place, scratch, &fds[EXEC_HANDED_SCRATCH])) {
        return "mounting folders in memory";
    }
    snprintf(options, sizeof options,
             "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions",
             fds[EXEC_HANDED_FUSE], getuid(), getgid());
    int n = snprintf(path, sizeof path, "%s/" EXEC_FILES, place);
    errno = n < 0 || (size_t)n >= sizeof path ? ENAMETOOLONG : 0;
    return errno == 0 && mount("cis", path, "fuse.cis", MS_NOSUID | MS_NODEV, options) == 0
               ? NULL
               : "mounting the files";
}
