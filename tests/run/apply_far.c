#include "run/apply_far.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVELS 18u /* of 250 bytes each */
#define FIRST 13u  /* below this one something happens */
#define LONG 249

static unsigned pick(const struct far *f, unsigned n)
{
    return f->pick(f->self, n);
}

/* Of the folder at a level; it has one of two. */
static void name_of(unsigned level, unsigned variant, char out[LONG + 2])
{
    memset(out, (int)('A' + level), LONG);
    out[LONG] = (char)('0' + variant);
    out[LONG + 1] = '\0';
}

void far_short(const char *name, char out[64])
{
    size_t len = strlen(name);
    if (len < 60) {
        snprintf(out, 64, "%s", name);
    } else {
        snprintf(out, 64, "%c…%c", name[0], name[len - 1]);
    }
}

static unsigned any_level(const struct far *f)
{
    return FIRST + pick(f, LEVELS - FIRST + 1);
}

static void any_file(const struct far *f, char out[8])
{
    snprintf(out, 8, "f%u", pick(f, 3));
}

/* ---- the user ---- */

/* The folder at a level, 0 is the first; -1: it is not there. */
static int host_open(const char *folder, unsigned level, bool make)
{
    char name[LONG + 2];
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; at >= 0 && i < level; i++) {
        int next = -1;
        for (unsigned v = 0; next < 0 && v < 2; v++) {
            name_of(i, v, name);
            next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (next < 0 && make) {
            name_of(i, 0, name);
            (void)!mkdirat(at, name, 0755);
            next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        close(at);
        at = next;
    }
    return at;
}

static void host_put(int dir, const char *name, const char *text, int flags)
{
    int fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | flags, 0644);
    if (fd >= 0) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
    }
}

static void host_remove(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    for (const struct dirent *e; list != NULL && (e = readdir(list)) != NULL;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            unlinkat(fd, e->d_name, 0) != 0) {
            host_remove(fd, e->d_name);
        }
    }
    if (list != NULL) {
        closedir(list);
        (void)!unlinkat(dir, name, AT_REMOVEDIR);
    }
}

/* The same size and time. */
static void host_edit_unseen(int dir, const char *name)
{
    struct stat st;
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 2) {
        char c = 0;
        if (pread(fd, &c, 1, 1) == 1 && (c == 'o' || c == 'O')) {
            c = (char)(c ^ 0x20);
            assert_int_equal(pwrite(fd, &c, 1, 1), 1);
        }
        struct timespec t[2] = {st.st_atim, st.st_mtim};
        futimens(fd, t);
    }
    if (fd >= 0) {
        close(fd);
    }
}

void far_fill(const struct far *f, const char *folder)
{
    char name[8], text[32];
    for (unsigned i = pick(f, 3) * 3; i > 0; i--) {
        int dir = host_open(folder, any_level(f), true);
        any_file(f, name);
        f->token(f->self, 'o', text);
        host_put(dir, name, text, O_CREAT | O_TRUNC);
        close(dir);
    }
}

static void between_levels(const struct far *f, const char *folder, int dir, const char *name,
                           unsigned flags)
{
    char other[8];
    int to = host_open(folder, any_level(f), false);
    any_file(f, other);
    if (to >= 0) {
        (void)!renameat2(dir, name, to, other, flags);
        close(to);
    }
}

/* A folder of the chain gets its other name. */
static void other_name(const char *folder, unsigned level, unsigned flags, bool back)
{
    char from[LONG + 2], to[LONG + 2];
    int dir = host_open(folder, level, false);
    name_of(level, back, from);
    name_of(level, !back, to);
    if (dir >= 0) {
        (void)!renameat2(dir, from, dir, to, flags);
        close(dir);
    }
}

void far_user(const struct far *f, const char *folder, const char *near)
{
    char name[8], text[32], path[4400];
    unsigned level = any_level(f);
    int dir = host_open(folder, level, pick(f, 4) == 0);
    any_file(f, name);
    f->token(f->self, 'u', text);
    unsigned what = pick(f, 10);
    if (dir < 0) {
        return;
    }
    snprintf(path, sizeof path, "%s/%s", folder, near);
    switch (what) {
    case 0:
        host_put(dir, name, text, O_CREAT | O_TRUNC);
        break;
    case 1:
        host_put(dir, name, text, O_APPEND);
        break;
    case 2:
        host_put(dir, "tmp", text, O_CREAT | O_TRUNC);
        if (renameat(dir, "tmp", dir, name) != 0) {
            unlinkat(dir, "tmp", 0);
        }
        break;
    case 3:
        between_levels(f, folder, dir, name, 0);
        break;
    case 4:
        unlinkat(dir, name, 0);
        break;
    case 5:
        other_name(folder, any_level(f), 0, pick(f, 2) == 0);
        break;
    case 6:
        host_edit_unseen(dir, name);
        break;
    case 7:
        (void)!(pick(f, 2) == 0 ? renameat(dir, name, AT_FDCWD, path)
                                : renameat(AT_FDCWD, path, dir, name));
        break;
    case 8: {
        char chain[LONG + 2];
        name_of(level, pick(f, 2), chain);
        host_remove(dir, chain);
        break;
    }
    default:
        (void)!mkdirat(dir, name, 0700);
        break;
    }
    close(dir);
}

void far_user_keeps(const struct far *f, const char *folder, struct cis_buf *mine)
{
    char name[8], text[32], beside[48];
    int dir = host_open(folder, any_level(f), pick(f, 4) == 0);
    any_file(f, name);
    f->token(f->self, 'u', text);
    unsigned what = pick(f, 6);
    if (dir < 0) {
        return;
    }
    int fd = -1;
    switch (what) {
    case 0:
    case 1:
        fd = openat(dir, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        break;
    case 2:
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        break;
    case 3:
        between_levels(f, folder, dir, name, RENAME_NOREPLACE);
        break;
    case 4:
        other_name(folder, any_level(f), RENAME_NOREPLACE, pick(f, 2) == 0);
        break;
    default: /* another file at the name; what was there goes beside it */
        snprintf(beside, sizeof beside, "old%s", text + 1);
        beside[strlen(beside) - 1] = '\0';
        host_put(dir, "tmp", text, O_CREAT | O_TRUNC);
        if (renameat2(dir, "tmp", dir, name, RENAME_EXCHANGE) == 0) {
            assert_int_equal(renameat(dir, "tmp", dir, beside), 0);
            cis_buf_text(mine, text);
        } else {
            unlinkat(dir, "tmp", 0);
        }
        break;
    }
    if (fd >= 0) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
        cis_buf_text(mine, text);
    }
    close(dir);
}

/* ---- the guest ---- */

static cis_dir *guest_open(const cis_dir *root, const struct cis_vfs_call *call, unsigned level,
                           bool make)
{
    char name[LONG + 2];
    struct cis_vfs_make folder = {.mode = S_IFDIR | 0755};
    cis_dir *at = NULL, *next = NULL;
    int rc = cis_at_dir(root, call, CIS_STR("."), 0, &at);
    for (unsigned i = 0; rc == 0 && i < level; i++) {
        rc = ENOENT;
        for (unsigned v = 0; rc != 0 && v < 2; v++) {
            name_of(i, v, name);
            rc = cis_at_dir(at, call, cis_str_of(name), CIS_WALK_NOFOLLOW, &next);
        }
        if (rc != 0 && make) {
            name_of(i, 0, name);
            (void)cis_at_make(at, call, cis_str_of(name), 0, &folder);
            rc = cis_at_dir(at, call, cis_str_of(name), CIS_WALK_NOFOLLOW, &next);
        }
        cis_dir_free(at);
        at = rc == 0 ? next : NULL;
    }
    return at;
}

/* A folder of the host whose path is longer than a mark holds cannot be written to: false. */
static bool guest_put(const cis_dir *dir, const struct cis_vfs_call *call, const char *name,
                      const char *text, int flags)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    size_t put;
    uint64_t end;
    int rc = cis_at_open(dir, call, cis_str_of(name),
                         &(struct cis_open_how){CIS_WALK_NOFOLLOW, O_WRONLY | flags, 0644}, &file,
                         &attr);
    if (rc == 0) {
        struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
        assert_int_equal(cis_vfs_write(file, call, &iov, 1,
                                       (flags & O_APPEND) != 0 ? CIS_VFS_APPEND : 0, &put, &end),
                         0);
        cis_vfs_file_close(file);
    }
    return rc == 0;
}

static void guest_put_unseen(const cis_dir *dir, const struct cis_vfs_call *call, const char *name)
{
    struct cis_vfs_attr attr;
    if (cis_at_stat(dir, call, cis_str_of(name), CIS_WALK_NOFOLLOW, &attr) == 0 &&
        S_ISREG(attr.mode) && attr.size > 2) {
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_MTIME, .mtime = attr.mtime};
        int rc = guest_put(dir, call, name, "#", 0)
                     ? cis_at_set(dir, call, cis_str_of(name), CIS_WALK_NOFOLLOW, &set)
                     : 0;
        assert_int_equal(rc, 0);
    }
}

/* Moves: of files between levels and to near ones, of folders of the chain. */
static void guest_move(const struct far *f, const cis_dir *root, const cis_dir *dir,
                       const struct cis_vfs_call *call, const char *name, const char *near)
{
    char from[LONG + 2], to[LONG + 2];
    unsigned level = any_level(f), variant = pick(f, 2), what = pick(f, 4);
    cis_dir *other = guest_open(root, call, level, false);
    if (what == 0) {
        (void)cis_at_rename(dir, cis_str_of(name), root, cis_str_of(near), call, 0, 0);
    } else if (what == 1) {
        (void)cis_at_rename(root, cis_str_of(near), dir, cis_str_of(name), call, 0, 0);
    } else if (what == 2 && other != NULL) {
        any_file(f, to);
        (void)cis_at_rename(dir, cis_str_of(name), other, cis_str_of(to), call, 0, 0);
    } else if (other != NULL) {
        name_of(level, variant, from);
        name_of(level, !variant, to);
        (void)cis_at_rename(other, cis_str_of(from), other, cis_str_of(to), call, 0,
                            pick(f, 4) == 0 ? RENAME_EXCHANGE : 0);
    }
    cis_dir_free(other);
}

void far_guest(const struct far *f, const cis_dir *root, const struct cis_vfs_call *call,
               const char *near)
{
    char name[8], text[32];
    struct cis_vfs_make folder = {.mode = S_IFDIR | 0755};
    cis_dir *dir = guest_open(root, call, any_level(f), pick(f, 2) == 0);
    any_file(f, name);
    f->token(f->self, 'g', text);
    unsigned what = pick(f, 9);
    if (dir == NULL) {
        return;
    }
    struct cis_vfs_make link = {.mode = S_IFLNK | 0777, .target = cis_str_of(text)};
    switch (what) {
    case 0:
    case 1:
        guest_put(dir, call, name, text, O_CREAT | O_TRUNC);
        break;
    case 2:
        guest_put(dir, call, name, text, O_CREAT | O_APPEND);
        break;
    case 3:
        (void)cis_at_unlink(dir, call, cis_str_of(name), 0);
        break;
    case 4:
    case 5:
        guest_move(f, root, dir, call, name, near);
        break;
    case 6:
        (void)cis_at_make(dir, call, cis_str_of(name), 0, pick(f, 2) == 0 ? &link : &folder);
        break;
    case 7:
        (void)cis_at_rmdir(dir, call, cis_str_of(name), 0);
        break;
    default:
        guest_put_unseen(dir, call, name);
        break;
    }
    cis_dir_free(dir);
}
