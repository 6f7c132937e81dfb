/* See posix.h. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int chmod(const char *path, mode_t mode)
{
    (void)mode;
    return access(path, F_OK);
}

int fchmod(int fd, mode_t mode)
{
    struct stat st;
    (void)mode;
    return fstat(fd, &st);
}

int chown(const char *path, uid_t uid, gid_t gid)
{
    (void)uid;
    (void)gid;
    return access(path, F_OK);
}

int lchown(const char *path, uid_t uid, gid_t gid)
{
    struct stat st;
    (void)uid;
    (void)gid;
    return lstat(path, &st);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    struct stat st;
    (void)uid;
    (void)gid;
    return fstat(fd, &st);
}

uid_t getuid(void)
{
    return 0;
}

uid_t geteuid(void)
{
    return 0;
}

gid_t getgid(void)
{
    return 0;
}

gid_t getegid(void)
{
    return 0;
}

mode_t umask(mode_t mask)
{
    (void)mask;
    return 022;
}

pid_t getppid(void)
{
    return 1;
}

unsigned alarm(unsigned seconds)
{
    (void)seconds;
    return 0;
}

int setpriority(int which, int who, int value)
{
    (void)which;
    (void)who;
    (void)value;
    return 0;
}

int system(const char *command)
{
    if (command == NULL) {
        return 0; /* there is no shell */
    }
    errno = ENOSYS;
    return -1;
}

FILE *popen(const char *command, const char *mode)
{
    (void)command;
    (void)mode;
    errno = ENOSYS;
    return NULL;
}

int pclose(FILE *stream)
{
    (void)stream;
    errno = ENOSYS;
    return -1;
}

int dup(int fd)
{
    (void)fd;
    errno = ENOSYS;
    return -1;
}

int pipe(int fds[2])
{
    (void)fds;
    errno = ENOSYS;
    return -1;
}

int mkstemp(char *template)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t len = strlen(template);
    if (len < 6 || strcmp(template + len - 6, "XXXXXX") != 0) {
        errno = EINVAL;
        return -1;
    }
    for (int turn = 0; turn < 100; turn++) {
        unsigned char bytes[6];
        if (getentropy(bytes, sizeof bytes) != 0) {
            return -1;
        }
        for (int i = 0; i < 6; i++) {
            template[len - 6 + (size_t)i] = letters[bytes[i] % (sizeof letters - 1)];
        }
        int fd = open(template, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

FILE *tmpfile(void)
{
    char name[] = "/tmp/file-XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0) {
        return NULL;
    }
    unlink(name);
    return fdopen(fd, "w+");
}

/* Absolute, with "." and ".." gone; symlinks stay as they are. */
char *realpath(const char *path, char *resolved)
{
    char full[PATH_MAX];
    if (path[0] == '/') {
        if (strlen(path) >= sizeof full) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        strcpy(full, path);
    } else {
        if (getcwd(full, sizeof full) == NULL) {
            return NULL;
        }
        if (strlen(full) + 1 + strlen(path) >= sizeof full) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        strcat(full, "/");
        strcat(full, path);
    }
    if (access(full, F_OK) != 0) {
        return NULL;
    }
    char *out = resolved != NULL ? resolved : malloc(PATH_MAX);
    if (out == NULL) {
        return NULL;
    }
    size_t n = 0;
    for (const char *p = full; *p != 0;) {
        while (*p == '/') {
            p++;
        }
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.') {
            while (n > 0 && out[--n] != '/') {
            }
        } else if (len > 0 && !(len == 1 && p[0] == '.')) {
            out[n++] = '/';
            memcpy(out + n, p, len);
            n += len;
        }
        p += len;
    }
    if (n == 0) {
        out[n++] = '/';
    }
    out[n] = 0;
    return out;
}
