#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/mem.h"

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

cis_code cis_file_read_fd(int fd, const char *name, struct cis_buf *buf, struct cis_error *err)
{
    size_t step = 65536;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if ((uint64_t)st.st_size > buf->max) {
            return cis_fail(err, CIS_E_LIMIT, "%s: larger than %zu bytes", name, buf->max);
        }
        /* Files of /proc say 0 bytes and may answer only the first read. */
        step = st.st_size != 0 ? (size_t)st.st_size + 1 : step;
    } else if (S_ISDIR(st.st_mode)) {
        return cis_fail(err, CIS_E_INVALID, "%s: is a directory", name);
    }
    for (;;) {
        size_t room = buf->max - buf->len + 1; /* one more than allowed shows that there is more */
        size_t want = step < room ? step : room;
        if (want > buf->max - buf->len) {
            char extra[1];
            if (buf->len == buf->max) {
                ssize_t more = read(fd, extra, 1);
                if (more < 0 && errno == EINTR) {
                    continue;
                }
                if (more < 0) {
                    return cis_fail_sys(err, CIS_E_IO, errno, "%s", name);
                }
                if (more == 0) {
                    return CIS_OK;
                }
                return cis_fail(err, CIS_E_LIMIT, "%s: larger than %zu bytes", name, buf->max);
            }
            want = buf->max - buf->len;
        }
        uint8_t *at = cis_buf_reserve(buf, want);
        if (at == NULL) {
            return cis_buf_check(buf, name, err);
        }
        ssize_t n = read(fd, at, want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cis_fail_sys(err, CIS_E_IO, errno, "%s", name);
        }
        buf->len += (size_t)n;
        buf->ptr[buf->len] = 0;
        if (n == 0) {
            return CIS_OK;
        }
        step = 65536 + buf->len / 2;
    }
}

cis_code cis_file_read(const char *path, struct cis_buf *buf, struct cis_error *err)
{
    CIS_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        cis_code code = errno == ENOENT || errno == ENOTDIR ? CIS_E_NOTFOUND
                        : errno == EACCES                   ? CIS_E_INVALID /* not ours to read */
                                                            : CIS_E_IO;
        return cis_fail_sys(err, code, errno, "%s", path);
    }
    return cis_file_read_fd(fd, path, buf, err);
}

int cis_fd_write_all(int fd, const void *ptr, size_t len)
{
    const uint8_t *p = ptr;
    while (len != 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int sync_parent(const char *path)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_strdup(path);
    if (dir == NULL) {
        return ENOMEM;
    }
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        dir[0] = '.';
        dir[1] = 0;
    } else {
        slash[slash == dir ? 1 : 0] = 0;
    }
    CIS_CLEANUP(close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) != 0 ? errno : 0;
}

cis_code cis_file_write(const char *path, struct cis_bytes data, unsigned mode,
                        struct cis_error *err)
{
    uint8_t rnd[8];
    char hex[17];
    cis_random_bytes(rnd, sizeof rnd);
    cis_hex(rnd, sizeof rnd, hex);
    CIS_CLEANUP(cis_freep) char *temp = cis_alloc(cis_size_add(strlen(path), 32));
    if (temp == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    snprintf(temp, strlen(path) + 32, "%s.tmp-%s", path, hex);
    CIS_CLEANUP(close_fd) int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", path);
    }
    int sys = cis_fd_write_all(fd, data.ptr, data.len);
    if (sys == 0 && fsync(fd) != 0) {
        sys = errno;
    }
    if (sys == 0 && rename(temp, path) != 0) {
        sys = errno;
    }
    if (sys != 0) {
        unlink(temp);
        return cis_fail_sys(err, CIS_E_IO, sys, "%s", path);
    }
    sys = sync_parent(path);
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, sys, "%s: cannot sync its folder", path);
}

#define LINKS_MAX 40 /* as the kernel has it */

char *cis_file_target(const char *path)
{
    char link[PATH_MAX];
    char *at = cis_strdup(path);
    for (int i = 0; at != NULL; i++) {
        ssize_t n = readlink(at, link, sizeof link - 1);
        if (n < 0) {
            break;
        }
        if (i == LINKS_MAX) {
            cis_free(at);
            errno = ELOOP;
            return NULL;
        }
        link[n] = 0;
        char *slash = link[0] != '/' ? strrchr(at, '/') : NULL;
        if (slash != NULL) {
            *slash = 0;
        }
        char *next = slash != NULL ? cis_path_join(at, link) : cis_strdup(link);
        cis_free(at);
        at = next;
    }
    errno = at == NULL ? ENOMEM : errno;
    return at;
}

/* What stdout or stderr goes to: named (/dev/stderr), it is written through them, so that neither
 * text takes the place of the other. -1: the file is neither. */
static int standard_stream(const struct stat *of)
{
    struct stat st;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fstat(fd, &st) == 0 && st.st_dev == of->st_dev && st.st_ino == of->st_ino) {
            return fd;
        }
    }
    return -1;
}

bool cis_file_as_it_is(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (!S_ISREG(st.st_mode) || standard_stream(&st) >= 0);
}

cis_code cis_file_beside_open(const char *path, unsigned mode, struct cis_file_beside *out,
                              struct cis_error *err)
{
    struct cis_file_beside file = CIS_FILE_BESIDE_INIT;
    struct stat st;
    uint8_t rnd[8];
    char hex[17];
    bool there = stat(path, &st) == 0;
    int stream = there && S_ISREG(st.st_mode) ? standard_stream(&st) : -1;
    bool as_it_is = there && (!S_ISREG(st.st_mode) || stream >= 0);
    if (there && stream < 0 && access(path, W_OK) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", path);
    }
    file.path = as_it_is ? cis_strdup(path) : cis_file_target(path);
    if (file.path == NULL) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", path);
    }
    size_t len = cis_size_add(strlen(file.path), 32);
    file.temp = !as_it_is ? cis_alloc(len) : NULL;
    if (file.temp == NULL && !as_it_is) {
        cis_file_beside_drop(&file);
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    if (!as_it_is) {
        cis_random_bytes(rnd, sizeof rnd);
        cis_hex(rnd, sizeof rnd, hex);
        snprintf(file.temp, len, "%s.tmp-%s", file.path, hex);
    }
    file.fd = stream >= 0 ? fcntl(stream, F_DUPFD_CLOEXEC, 3)
              : as_it_is  ? open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)
                          : open(file.temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file.fd < 0) {
        int sys = errno;
        cis_free(cis_take(&file.temp)); /* not ours */
        cis_file_beside_drop(&file);
        return cis_fail_sys(err, CIS_E_IO, sys, "%s", path);
    }
    if (there && !as_it_is) {
        (void)!fchmod(file.fd, st.st_mode & mode & 0777);
    }
    *out = file;
    return CIS_OK;
}

/* A file system that cannot look and rename in one step gets the two one after the other. */
static int rename_new(const char *from, const char *to)
{
    struct stat st;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return errno;
    }
    return lstat(to, &st) == 0 ? EEXIST : rename(from, to) != 0 ? errno : 0;
}

static cis_code beside_done(struct cis_file_beside *file, bool is_new, struct cis_error *err)
{
    if (file->temp == NULL) {
        return CIS_OK;
    }
    int sys = fsync(file->fd) != 0 ? errno : 0;
    if (sys == 0 && is_new) {
        sys = rename_new(file->temp, file->path);
        if (sys == EEXIST) {
            return cis_fail(err, CIS_E_EXISTS, "%s: is there already", file->path);
        }
    } else if (sys == 0 && rename(file->temp, file->path) != 0) {
        sys = errno;
    }
    if (sys == 0) {
        cis_free(cis_take(&file->temp));
        sys = sync_parent(file->path);
    }
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, sys, "%s", file->path);
}

cis_code cis_file_beside_done(struct cis_file_beside *file, struct cis_error *err)
{
    return beside_done(file, false, err);
}

cis_code cis_file_beside_done_new(struct cis_file_beside *file, struct cis_error *err)
{
    return beside_done(file, true, err);
}

void cis_file_beside_drop(struct cis_file_beside *file)
{
    close_fd(&file->fd);
    file->fd = -1;
    if (file->temp != NULL) {
        (void)unlink(file->temp);
    }
    cis_free(cis_take(&file->temp));
    cis_free(cis_take(&file->path));
}

cis_code cis_file_put(const char *path, struct cis_bytes data, unsigned mode, struct cis_error *err)
{
    CIS_CLEANUP(cis_file_beside_drop) struct cis_file_beside file = CIS_FILE_BESIDE_INIT;
    CIS_TRY(cis_file_beside_open(path, mode, &file, err));
    int sys = cis_fd_write_all(file.fd, data.ptr, data.len);
    return sys == 0 ? cis_file_beside_done(&file, err)
                    : cis_fail_sys(err, CIS_E_IO, sys, "%s", path);
}

cis_code cis_file_can_put(const char *path, struct cis_error *err)
{
    CIS_CLEANUP(cis_file_beside_drop) struct cis_file_beside file = CIS_FILE_BESIDE_INIT;
    struct stat st;
    if (!cis_file_as_it_is(path)) {
        return cis_file_beside_open(path, 0600, &file, err);
    }
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    int sys = folder ? EISDIR : S_ISREG(st.st_mode) || access(path, W_OK) == 0 ? 0 : errno;
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, sys, "%s", path);
}

cis_code cis_file_mkdirs(const char *path, unsigned mode, struct cis_error *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_freep) char *copy = cis_strdup(path);
    if (copy == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != 0) {
            continue;
        }
        char kept = *p;
        *p = 0;
        if (mkdir(copy, mode) != 0 && errno != EEXIST) {
            return cis_fail_sys(err, CIS_E_IO, errno, "%s", copy);
        }
        if (kept == 0) {
            break;
        }
        *p = kept;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return cis_fail(err, CIS_E_IO, "%s: not a directory", path);
    }
    return CIS_OK;
}

static int remove_at(int dir, const char *name, int depth)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return errno;
    }
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    DIR *list = depth > 200 ? NULL : fdopendir(fd);
    if (list == NULL) {
        close(fd);
        return depth > 200 ? ELOOP : ENOMEM;
    }
    int sys = 0;
    for (struct dirent *e; sys == 0 && (e = readdir(list)) != NULL;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            sys = remove_at(dirfd(list), e->d_name, depth + 1);
        }
    }
    closedir(list);
    if (sys == 0 && unlinkat(dir, name, AT_REMOVEDIR) != 0) {
        sys = errno;
    }
    return sys;
}

cis_code cis_file_remove_tree(const char *path, struct cis_error *err)
{
    return cis_file_remove_tree_at(AT_FDCWD, path, err);
}

cis_code cis_file_remove_tree_at(int dir, const char *name, struct cis_error *err)
{
    int sys = remove_at(dir, name, 0);
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, sys, "%s: cannot remove", name);
}

bool cis_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Is `of` among the folder at path and those above it? */
static int lies_within(const char *path, const struct stat *of, bool *out)
{
    CIS_CLEANUP(close_fd) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat here, last = {0};
    bool found = false, top = false;
    while (fd >= 0 && !found && !top) {
        if (fstat(fd, &here) != 0) {
            return errno;
        }
        found = here.st_dev == of->st_dev && here.st_ino == of->st_ino;
        top = here.st_dev == last.st_dev && here.st_ino == last.st_ino; /* ".." of "/" */
        last = here;
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int rc = errno;
        close(fd);
        fd = up;
        errno = rc;
    }
    *out = found;
    return fd < 0 && !found && !top ? errno : 0;
}

static cis_code cannot_look(const char *path, int rc, struct cis_error *err)
{
    return cis_fail_sys(err,
                        rc == ENOENT   ? CIS_E_NOTFOUND
                        : rc == EACCES ? CIS_E_DENIED
                                       : CIS_E_IO,
                        rc, "folder %s", path);
}

cis_code cis_folders_meet(const char *a, const char *b, bool *out_meet, struct cis_error *err)
{
    struct stat at_a, at_b;
    bool meet = false;
    int rc = stat(b, &at_b) != 0 ? errno : 0;
    if (rc != 0) {
        return cannot_look(b, rc, err);
    }
    rc = stat(a, &at_a) != 0 ? errno : lies_within(a, &at_b, &meet);
    if (rc != 0) {
        return cannot_look(a, rc, err);
    }
    rc = meet ? 0 : lies_within(b, &at_a, &meet);
    if (rc != 0) {
        return cannot_look(b, rc, err);
    }
    *out_meet = meet;
    return CIS_OK;
}

cis_code cis_folder_within(const char *path, const char *folder, bool *out_within,
                           struct cis_error *err)
{
    struct stat of;
    bool within = false;
    if (stat(folder, &of) != 0) {
        return cannot_look(folder, errno, err);
    }
    int rc = lies_within(path, &of, &within);
    if (rc != 0) {
        return cannot_look(path, rc, err);
    }
    *out_within = within;
    return CIS_OK;
}

char *cis_path_join(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    char *path = cis_alloc(cis_size_add(na, cis_size_add(nb, 2)));
    if (path != NULL) {
        memcpy(path, a, na);
        path[na] = '/';
        memcpy(path + na + 1, b, nb + 1);
    }
    return path;
}

/* ---- umask ---- */

static uint32_t the_umask;

/* The second line of a process's status, since Linux 4.7. */
static void umask_read(void)
{
    char text[512];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "\nUmask:");
    the_umask = line != NULL ? (uint32_t)strtoul(line + 7, NULL, 8) & 0777 : 022;
}

uint32_t cis_file_umask(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, umask_read);
    return the_umask;
}
