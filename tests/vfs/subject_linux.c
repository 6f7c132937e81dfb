#include "vfs/ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

struct subject_host {
    subject base;
    int real, root; /* roots: of the process, of the subject */
    int slots[OP_SLOTS];
};

static void chroot_to(int fd)
{
    if (fchdir(fd) != 0 || chroot(".") != 0) {
        perror("chroot");
        abort();
    }
}

static int result(long value)
{
    return value < 0 ? errno : 0;
}

static void attr_of(const struct stat *st, struct op_result *out)
{
    out->has_attr = true;
    out->attr.mode = st->st_mode;
    out->attr.nlink = (uint32_t)st->st_nlink;
    out->attr.size = (uint64_t)st->st_size;
    out->attr.atime = st->st_atim;
    out->attr.mtime = st->st_mtim;
}

static int list(const char *path, struct cis_buf *out)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    DIR *dir = fdopendir(fd);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        cis_buf_printf(out, "%s %o\n", e->d_name, (unsigned)DTTOIF(e->d_type));
    }
    closedir(dir);
    listing_sort(out);
    return 0;
}

static int do_open(struct subject_host *s, const struct op *op, struct op_result *out)
{
    if (s->slots[op->slot] >= 0) {
        close(s->slots[op->slot]);
    }
    int fd = open(op->a, op->flags | O_CLOEXEC | O_NONBLOCK, op->mode);
    s->slots[op->slot] = fd;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return errno;
    }
    attr_of(&st, out);
    return 0;
}

static int do_file(struct subject_host *s, const struct op *op, struct op_result *out)
{
    int fd = s->slots[op->slot];
    struct stat st;
    long n = 0;
    if (fd < 0) {
        return op->kind == OP_CLOSE ? 0 : EBADF;
    }
    switch (op->kind) {
    case OP_CLOSE:
        close(fd);
        s->slots[op->slot] = -1;
        return 0;
    case OP_READ:
        n = pread(fd, cis_buf_reserve(&out->data, op->len), op->len, (off_t)op->offset);
        if (n > 0) {
            out->data.len += (size_t)n;
        }
        break;
    case OP_WRITE: {
        uint8_t *bytes = malloc(op->len + 1);
        op_fill(op->seed, op->offset, bytes, op->len);
        struct iovec iov = {bytes, op->len};
        bool append = op->offset == CIS_VFS_APPEND;
        n = pwritev2(fd, &iov, 1, append ? -1 : (off_t)op->offset, append ? RWF_APPEND : 0);
        free(bytes);
        break;
    }
    case OP_FSTAT:
        n = fstat(fd, &st);
        if (n == 0) {
            attr_of(&st, out);
        }
        return result(n);
    case OP_FTRUNCATE:
        return result(ftruncate(fd, (off_t)op->len));
    case OP_ALLOCATE:
        return result(fallocate(fd, op->flags, (off_t)op->offset, (off_t)op->len));
    case OP_SEEK:
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
            return EISDIR; /* ext4 seeks in its hash: not compared */
        }
        n = lseek(fd, (off_t)op->offset, op->flags);
        break;
    default:
        return result(op->flags != 0 ? fdatasync(fd) : fsync(fd));
    }
    out->n = n > 0 ? (uint64_t)n : 0;
    return result(n);
}

static void time_of(const struct op *op, unsigned exact, unsigned now, const struct timespec *given,
                    struct timespec *out)
{
    *out = (op->bits & now) != 0     ? (struct timespec){0, UTIME_NOW}
           : (op->bits & exact) != 0 ? *given
                                     : (struct timespec){0, UTIME_OMIT};
}

static int do_path(const struct op *op, struct op_result *out)
{
    int at = op->nofollow ? AT_SYMLINK_NOFOLLOW : 0;
    struct stat st;
    struct timespec times[2];
    char target[CIS_VFS_PATH_MAX];
    long n;
    switch (op->kind) {
    case OP_STAT:
        n = fstatat(AT_FDCWD, op->a, &st, at);
        if (n == 0) {
            attr_of(&st, out);
        }
        return result(n);
    case OP_TRUNCATE:
        return result(truncate(op->a, (off_t)op->len));
    case OP_CHMOD:
        return result(chmod(op->a, op->mode));
    case OP_TIMES:
        time_of(op, CIS_VFS_SET_ATIME, CIS_VFS_SET_ATIME_NOW, &op->atime, &times[0]);
        time_of(op, CIS_VFS_SET_MTIME, CIS_VFS_SET_MTIME_NOW, &op->mtime, &times[1]);
        return result(utimensat(AT_FDCWD, op->a, times, at));
    case OP_MKDIR:
        return result(mkdir(op->a, op->mode));
    case OP_MKNOD:
        return result(mknod(op->a, S_IFREG | op->mode, 0));
    case OP_SYMLINK:
        return result(symlink(op->b, op->a));
    case OP_READLINK:
        n = readlink(op->a, target, sizeof target);
        if (n > 0) {
            cis_buf_add(&out->data, target, (size_t)n);
        }
        return result(n);
    case OP_LINK:
        return result(
            linkat(AT_FDCWD, op->a, AT_FDCWD, op->b, op->nofollow ? 0 : AT_SYMLINK_FOLLOW));
    case OP_UNLINK:
        return result(unlink(op->a));
    case OP_RMDIR:
        return result(rmdir(op->a));
    case OP_RENAME:
        return result(renameat2(AT_FDCWD, op->a, AT_FDCWD, op->b, (unsigned)op->flags));
    case OP_LIST:
        return list(op->a, &out->data);
    default:
        abort();
    }
}

static void host_apply(subject *self, const struct op *op, struct op_result *out)
{
    struct subject_host *s = (struct subject_host *)self;
    if (op->kind >= OP_CLOSE && op->kind <= OP_FSYNC) {
        out->no = do_file(s, op, out);
        return;
    }
    chroot_to(s->root);
    out->no = op->kind == OP_OPEN ? do_open(s, op, out) : do_path(op, out);
    chroot_to(s->real);
}

static void host_free(subject *self)
{
    struct subject_host *s = (struct subject_host *)self;
    subject_close_slots(self);
    close(s->root);
    close(s->real);
    free(s);
}

static const struct subject_ops host_ops = {host_apply, host_free};

subject *subject_linux(const char *path)
{
    struct subject_host *s = calloc(1, sizeof *s);
    s->base = (subject){&host_ops, "linux", false};
    s->real = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < OP_SLOTS; i++) {
        s->slots[i] = -1;
    }
    if (s->root < 0 || fchdir(s->root) != 0 || chroot(".") != 0) {
        host_free(&s->base);
        return NULL;
    }
    chroot_to(s->real);
    return &s->base;
}
