/* What the machine keeps for a few users: keys, passwords, what the kernel tells root alone.
 * Whoever runs this may be one of them, and root owns it all, also without a single right of root.
 * Nothing of it is the program's: it finds there what every user of the machine may read. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "exec/internal.h"

#define DEEP_MAX 32u

static void hide_folder(struct exec_args *a, const char *path)
{
    cis_exec_args_add(a, "--tmpfs");
    cis_exec_args_add(a, path);
    cis_exec_args_add(a, "--remount-ro");
    cis_exec_args_add(a, path);
}

static void hide_file(struct exec_args *a, const char *path)
{
    cis_exec_args_add(a, "--ro-bind");
    cis_exec_args_add(a, "/dev/null"); /* which nobody can open there */
    cis_exec_args_add(a, path);
}

static void hide_below(struct exec_args *a, const char *folder, unsigned deep)
{
    DIR *dir = opendir(folder);
    struct stat st;
    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
        if (d->d_type == DT_LNK || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
            fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISLNK(st.st_mode)) {
            continue;
        }
        bool is_folder = S_ISDIR(st.st_mode);
        bool is_for_all = (st.st_mode & (is_folder ? S_IXOTH : S_IROTH)) != 0;
        if (is_folder ? deep == 0 : is_for_all) {
            continue;
        }
        const char *path = cis_exec_args_own(a, cis_path_join(folder, d->d_name));
        if (is_folder && is_for_all) {
            hide_below(a, path, deep - 1);
        } else if (is_folder) {
            hide_folder(a, path);
        } else if (faccessat(dirfd(dir), d->d_name, R_OK, AT_EACCESS) == 0) {
            hide_file(a, path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void cis_exec_hide_settings(struct exec_args *a)
{
    static const char *const folders[] = {"/etc/ssl/private", "/etc/sudoers.d", "/etc/cis"};
    struct stat st;
    hide_below(a, "/etc", DEEP_MAX);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (stat(folders[i], &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & S_IXOTH) != 0) {
            hide_folder(a, folders[i]); /* whatever its permissions are */
        }
    }
}

void cis_exec_hide_kernel(struct exec_args *a)
{
    hide_below(a, "/proc", 0);
}
