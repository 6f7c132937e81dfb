/* What the machine keeps for a few users: keys, passwords, what the kernel tells root alone.
 * Whoever runs this may be one of them, and root owns it all, also without a single right of root.
 * Nothing of it is the program's: it finds there what every user of the machine may read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "exec/internal.h"

#define DEEP_MAX 32u
#define VIEW_MAX ((size_t)64 << 20)
#define NOTHING "/dev/null" /* which nobody can open where it hides something */

/* What is done with a name that is hidden; an errno. */
typedef int hiding(void *self, const char *path, bool is_folder);

static int hide_below(hiding *hide, void *self, const char *folder, unsigned deep)
{
    DIR *dir = opendir(folder);
    struct stat st;
    int rc = 0;
    for (struct dirent *d; rc == 0 && dir != NULL && (d = readdir(dir)) != NULL;) {
        if (d->d_type == DT_LNK || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
            fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISLNK(st.st_mode)) {
            continue;
        }
        bool is_folder = S_ISDIR(st.st_mode);
        bool is_for_all = (st.st_mode & (is_folder ? S_IXOTH : S_IROTH)) != 0;
        if (is_folder ? deep == 0 : is_for_all) {
            continue;
        }
        CIS_CLEANUP(cis_freep) char *path = cis_path_join(folder, d->d_name);
        if (path == NULL) {
            rc = ENOMEM;
        } else if (is_folder && is_for_all) {
            rc = hide_below(hide, self, path, deep - 1);
        } else if (is_folder || faccessat(dirfd(dir), d->d_name, R_OK, AT_EACCESS) == 0) {
            rc = hide(self, path, is_folder);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return rc;
}

/* Is it what the user shows by name (--ro), or below that? view: bubblewrap's arguments, each with
 * a NUL behind it. */
static bool is_shown(const struct cis_buf *view, const char *path)
{
    struct cis_str rest = cis_buf_view(view), word;
    bool bind = false;
    while (cis_str_split(&rest, 0, &word)) {
        bool parent = bind && word.len > strlen("/etc/") &&
                      strncmp(path, word.ptr, word.len) == 0 &&
                      (path[word.len] == 0 || path[word.len] == '/');
        if (parent) {
            return true;
        }
        bind = cis_str_is(word, "--ro-bind");
    }
    return false;
}

/* By this process, in its own namespace: bubblewrap reads the table of all mounts for each. */
static int hide_here(void *self, const char *path, bool is_folder)
{
    if (is_shown(self, path)) {
        return 0;
    }
    struct mount_attr closed = {.attr_set =
                                    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    int rc = is_folder ? mount("cis", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0500,nr_inodes=2")
                       : mount(NOTHING, path, NULL, MS_BIND, NULL);
    if (rc != 0) {
        return errno == ENOENT ? 0 : errno; /* it went meanwhile */
    }
    return mount_setattr(AT_FDCWD, path, 0, &closed, sizeof closed) == 0 ? 0 : errno;
}

int cis_exec_hide_settings(int view_fd)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf view = CIS_BUF_INIT(VIEW_MAX);
    if (cis_file_read_fd(view_fd, "view", &view, NULL) != CIS_OK || lseek(view_fd, 0, SEEK_SET)) {
        return EIO;
    }
    static const char *const folders[] = {"/etc/ssl/private", "/etc/sudoers.d", "/etc/cis"};
    struct stat st;
    int rc = hide_below(hide_here, &view, "/etc", DEEP_MAX);
    for (size_t i = 0; i < sizeof folders / sizeof *folders && rc == 0; i++) {
        if (stat(folders[i], &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & S_IXOTH) != 0) {
            rc = hide_here(&view, folders[i], true); /* whatever its permissions are */
        }
    }
    return rc;
}

/* By bubblewrap, whose /proc it is. */
static int hide_there(void *self, const char *path, bool is_folder)
{
    struct exec_args *a = self;
    if (!is_folder) {
        cis_exec_args_add(a, "--ro-bind");
        cis_exec_args_add(a, NOTHING);
        cis_exec_args_add(a, cis_exec_args_own(a, cis_strdup(path)));
    }
    return 0;
}

void cis_exec_hide_kernel(struct exec_args *a)
{
    (void)hide_below(hide_there, a, "/proc", 0);
}
