/* One operation on a filesystem as data, and its result: applied alike to a cis_vfs, to Linux
 * itself and to the model, and compared. Paths are walked beneath the root as in a chroot. */
#ifndef CIS_TESTS_VFS_OPS_H
#define CIS_TESTS_VFS_OPS_H

#include "vfs/walk.h"

enum op_kind {
    OP_STAT,
    OP_OPEN, /* into slot, which is closed first */
    OP_CLOSE,
    OP_READ,
    OP_WRITE, /* offset CIS_VFS_APPEND: at the end */
    OP_FSTAT,
    OP_FTRUNCATE,
    OP_ALLOCATE,
    OP_SEEK,
    OP_FSYNC,
    OP_TRUNCATE,
    OP_CHMOD,
    OP_TIMES,
    OP_MKDIR,
    OP_MKNOD, /* a regular file */
    OP_SYMLINK,
    OP_READLINK,
    OP_LINK,
    OP_UNLINK,
    OP_RMDIR,
    OP_RENAME,
    OP_LIST,
    OP_COUNT_
};

#define OP_SLOTS 8
#define OP_PATH 300 /* most are short; the long ones are of other tests */

struct op {
    enum op_kind kind;
    char a[OP_PATH], b[OP_PATH]; /* b: second path, or a symlink's target */
    int flags;                   /* of open, rename, allocate, seek (whence) */
    bool nofollow;
    unsigned slot, bits; /* bits: of times */
    uint32_t mode;
    uint64_t offset, len;
    uint32_t seed; /* of what is written */
    struct timespec atime, mtime;
};

struct op_result {
    int no;
    uint64_t n;        /* bytes read or written, offset found */
    bool has_attr;     /* attr: mode, nlink, size, and times that are known */
    bool atime, mtime; /* the model knows them: set explicitly */
    bool loose_atime;  /* not compared */
    struct cis_vfs_attr attr;
    struct cis_buf data; /* read bytes, link target, listing ("name type\n", sorted) */
};

typedef struct subject subject;
struct subject_ops {
    void (*apply)(subject *, const struct op *op, struct op_result *out);
    void (*free)(subject *);
};
struct subject {
    const struct subject_ops *ops;
    const char *name;
    bool loose_atime; /* reads of its own move times of access */
};

/* A namespace of its own with vfs at its root; the filesystem is borrowed. */
subject *subject_vfs(const char *name, cis_vfs *vfs);
/* A folder of the host, through the real system calls. NULL: no chroot, even in a user namespace.
 */
subject *subject_linux(const char *path);
/* Closes all slots. */
void subject_close_slots(subject *s);

void op_apply(subject *s, const struct op *op, struct op_result *out); /* result is initialised */
void op_result_done(struct op_result *result);
/* What was done, on one line. */
void op_print(const struct op *op, char *out, size_t cap);
/* Empty: the same. Else what differs. */
bool op_same(const struct op *op, const struct op_result *a, const struct op_result *b, char *out,
             size_t cap);
/* The bytes that OP_WRITE writes. */
void op_fill(uint32_t seed, uint64_t offset, uint8_t *out, size_t len);
/* Makes chroot possible where it is not: before any thread starts. */
bool op_chroot_prepare(void);
/* rm -rf for trees of any depth. */
void remove_deep(const char *path);
void listing_sort(struct cis_buf *lines);

#endif
