#include "vfs/model.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct inode;
struct entry {
    char *name;
    struct inode *inode;
};
struct inode {
    uint32_t mode, nlink;
    uint32_t opens; /* slots that hold it */
    uint8_t *data;  /* of a file; a symlink's target */
    uint64_t size;
    struct entry *entries; /* of a directory */
    size_t nentries;
    struct inode *parent; /* of a directory; NULL: removed */
    bool atime, mtime;    /* known */
    struct timespec at, mt;
    struct inode *copy; /* while copying */
};
struct slot {
    struct inode *inode;
    int flags;
};
struct model {
    subject base;
    struct inode *root;
    struct slot slots[OP_SLOTS];
};

/* ---- inodes ---- */

static struct inode *inode_new(uint32_t mode)
{
    struct inode *i = calloc(1, sizeof *i);
    i->mode = mode;
    i->nlink = S_ISDIR(mode) ? 2 : 1;
    return i;
}

static void inode_drop(struct inode *i)
{
    bool named = S_ISDIR(i->mode) ? i->parent != NULL : i->nlink > 0;
    if (!named && i->opens == 0) {
        free(i->data);
        free(i->entries);
        free(i);
    }
}

static void resize(struct inode *i, uint64_t size)
{
    i->data = realloc(i->data, size + 1);
    if (size > i->size) {
        memset(i->data + i->size, 0, size - i->size);
    }
    i->size = size;
}

static struct entry *entry_find(struct inode *dir, const char *name)
{
    for (size_t i = 0; i < dir->nentries; i++) {
        if (strcmp(dir->entries[i].name, name) == 0) {
            return &dir->entries[i];
        }
    }
    return NULL;
}

static void entry_add(struct inode *dir, const char *name, struct inode *inode)
{
    dir->entries = realloc(dir->entries, (dir->nentries + 1) * sizeof *dir->entries);
    dir->entries[dir->nentries++] = (struct entry){strdup(name), inode};
    dir->mtime = false;
    if (S_ISDIR(inode->mode)) {
        dir->nlink++;
        inode->parent = dir;
    }
}

static void entry_remove(struct inode *dir, const char *name)
{
    struct entry *e = entry_find(dir, name);
    if (S_ISDIR(e->inode->mode)) {
        dir->nlink--;
    }
    free(e->name);
    *e = dir->entries[--dir->nentries];
    dir->mtime = false;
}

/* ---- paths ---- */

struct where {
    struct inode *dir; /* of the last name; NULL: the path ends in a dot or is the root */
    char name[256];
    struct inode *inode; /* NULL: missing */
    bool slash;          /* after the last name, or a dot */
    char dot[3];         /* ".", "..", "/" or "" */
    bool long_name;      /* of over 255 bytes: nothing has it */
};

enum follow {
    FOLLOW,  /* links at the end too */
    LAST,    /* not a link at the end, unless a slash follows it */
    PARENT,  /* the last name is never followed */
    CREATING /* as FOLLOW, but a slash after the last name is EISDIR */
};

/* path as it is now, with links put in as text. */
static int resolve(struct model *m, const char *path, enum follow follow, struct where *out)
{
    static char text[20000], next[20000]; /* what is tried here has short paths */
    struct inode *at = m->root;
    int links = 0;
    memset(out, 0, sizeof *out);
    if (path[0] == '\0') {
        return ENOENT;
    }
    if (strlen(path) > 4095) {
        return ENAMETOOLONG;
    }
    snprintf(text, sizeof text, "%s", path);
    snprintf(out->dot, sizeof out->dot, "/");
    for (char *p = text;;) {
        while (*p == '/') {
            p++;
        }
        if (*p == '\0') {
            out->inode = at;
            out->slash = true;
            return 0;
        }
        char *end = p;
        while (*end != '\0' && *end != '/') {
            end++;
        }
        size_t len = (size_t)(end - p);
        char *rest = end;
        while (*rest == '/') {
            rest++;
        }
        bool last = *rest == '\0', slash = *end == '/';
        if (len <= 2 && strncmp(p, "..", len) == 0) {
            if (len == 2) {
                at = at->parent; /* the root's is itself */
            }
            snprintf(out->dot, sizeof out->dot, "%.*s", (int)len, p);
            if (last) {
                out->inode = at;
                out->slash = true;
                return 0;
            }
            p = rest;
            continue;
        }
        if (last && slash) {
            out->slash = true;
            if (follow == CREATING) {
                return EISDIR;
            }
        }
        if (len > 255 && (!last || follow != PARENT)) {
            return ENAMETOOLONG;
        }
        if (len > 255) {
            out->dir = at;
            out->dot[0] = '\0';
            out->long_name = true;
            return 0;
        }
        char name[256];
        memcpy(name, p, len);
        name[len] = '\0';
        struct entry *e = entry_find(at, name);
        struct inode *found = e != NULL ? e->inode : NULL;
        if (found == NULL && !last) {
            return ENOENT;
        }
        if (found != NULL && S_ISLNK(found->mode) &&
            (!last || (follow != PARENT && (follow != LAST || out->slash)))) {
            if (++links > 40) {
                return ELOOP;
            }
            snprintf(next, sizeof next, "%.*s%s%s", (int)found->size, (char *)found->data,
                     last ? "" : "/", rest);
            found->atime = false;
            if (next[0] == '/') {
                at = m->root;
            }
            memcpy(text, next, strlen(next) + 1);
            snprintf(out->dot, sizeof out->dot, "/");
            p = text;
            continue;
        }
        if (last) {
            out->dir = at;
            memcpy(out->name, name, sizeof name);
            out->dot[0] = '\0';
            out->inode = found;
            if (found != NULL && out->slash && !S_ISDIR(found->mode) && follow != PARENT) {
                return ENOTDIR;
            }
            return 0;
        }
        if (!S_ISDIR(found->mode)) {
            return ENOTDIR;
        }
        at = found;
        p = rest;
    }
}

/* Something that exists. */
static int resolve_old(struct model *m, const char *path, enum follow follow, struct where *out)
{
    int no = resolve(m, path, follow, out);
    return no != 0 ? no : out->inode == NULL ? ENOENT : 0;
}

/* A name to make. */
static int resolve_new(struct model *m, const char *path, bool folder, struct where *out)
{
    int no = resolve(m, path, PARENT, out);
    if (no != 0) {
        return no;
    }
    return out->long_name          ? ENAMETOOLONG
           : out->inode != NULL    ? EEXIST
           : out->slash && !folder ? ENOENT
                                   : 0;
}

/* ---- open files ---- */

static void slot_close(struct model *m, unsigned slot)
{
    struct inode *i = m->slots[slot].inode;
    if (i != NULL) {
        m->slots[slot].inode = NULL;
        i->opens--;
        inode_drop(i);
    }
}

static void attr_of(const struct inode *i, struct op_result *out)
{
    out->has_attr = true;
    out->attr.mode = i->mode;
    out->attr.nlink = S_ISDIR(i->mode) && i->parent == NULL ? 0 : i->nlink;
    out->attr.size = i->size;
    out->attr.atime = i->at;
    out->attr.mtime = i->mt;
    out->atime = i->atime;
    out->mtime = i->mtime;
}

static int do_open(struct model *m, const struct op *op, struct op_result *out)
{
    int flags = op->flags;
    bool create = (flags & O_CREAT) != 0, only = create && (flags & O_EXCL) != 0;
    bool changes = (flags & O_ACCMODE) != O_RDONLY;
    struct where w;
    slot_close(m, op->slot);
    if (create && (flags & O_DIRECTORY) != 0) {
        return EINVAL;
    }
    /* O_NOFOLLOW and O_EXCL look at the link itself. */
    bool stay = (flags & O_NOFOLLOW) != 0 || only;
    int no = 0;
    if (create && stay) {
        no = resolve(m, op->a, PARENT, &w);
        if (no == 0 && w.dir != NULL) {
            no = w.slash ? EISDIR : w.long_name ? ENAMETOOLONG : 0;
        }
    } else {
        no = resolve(m, op->a, create ? CREATING : stay ? LAST : FOLLOW, &w);
    }
    if (no != 0) {
        return no;
    }
    struct inode *i = w.inode;
    if (i == NULL) {
        if (!create) {
            return ENOENT;
        }
        i = inode_new(S_IFREG | op->mode);
        entry_add(w.dir, w.name, i);
    } else {
        if (only) {
            return EEXIST;
        }
        if (create && S_ISDIR(i->mode)) {
            return EISDIR;
        }
        if ((flags & O_DIRECTORY) != 0 && !S_ISDIR(i->mode)) {
            return ENOTDIR;
        }
        if (S_ISLNK(i->mode)) {
            return ELOOP;
        }
        if (S_ISDIR(i->mode) && (changes || (flags & O_TRUNC) != 0)) {
            return EISDIR;
        }
        if ((flags & O_TRUNC) != 0) {
            resize(i, 0);
            i->mtime = false;
        }
    }
    i->opens++;
    m->slots[op->slot] = (struct slot){i, flags};
    attr_of(i, out);
    return 0;
}

static int do_write(struct slot *s, const struct op *op, struct op_result *out)
{
    struct inode *i = s->inode;
    if ((s->flags & O_ACCMODE) == O_RDONLY) {
        return EBADF;
    }
    uint64_t offset = op->offset;
    if ((s->flags & O_APPEND) != 0 || offset == CIS_VFS_APPEND) {
        offset = i->size;
    }
    if (op->len > 0) {
        if (offset + op->len > i->size) {
            resize(i, offset + op->len);
        }
        op_fill(op->seed, op->offset, i->data + offset, op->len);
        i->mtime = false;
    }
    out->n = op->len;
    return 0;
}

static int do_allocate(struct slot *s, const struct op *op)
{
    struct inode *i = s->inode;
    if (op->len == 0) {
        return EINVAL;
    }
    if ((s->flags & O_ACCMODE) == O_RDONLY) {
        return EBADF;
    }
    uint64_t end = op->offset + op->len;
    if ((op->flags & FALLOC_FL_KEEP_SIZE) == 0 && end > i->size) {
        resize(i, end);
    }
    if ((op->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 && op->offset < i->size) {
        uint64_t upto = end < i->size ? end : i->size;
        memset(i->data + op->offset, 0, upto - op->offset);
    }
    i->mtime = false;
    return 0;
}

static int do_file(struct model *m, const struct op *op, struct op_result *out)
{
    struct slot *s = &m->slots[op->slot];
    struct inode *i = s->inode;
    if (op->kind == OP_CLOSE) {
        slot_close(m, op->slot);
        return 0;
    }
    if (i == NULL) {
        return EBADF;
    }
    switch (op->kind) {
    case OP_READ:
        if ((s->flags & O_ACCMODE) == O_WRONLY) {
            return EBADF;
        }
        if (S_ISDIR(i->mode)) {
            return EISDIR;
        }
        if (op->offset < i->size) {
            out->n = i->size - op->offset < op->len ? i->size - op->offset : op->len;
            cis_buf_add(&out->data, i->data + op->offset, out->n);
        }
        i->atime = false;
        return 0;
    case OP_WRITE:
        return do_write(s, op, out);
    case OP_FSTAT:
        attr_of(i, out);
        return 0;
    case OP_FTRUNCATE:
        if ((s->flags & O_ACCMODE) == O_RDONLY) {
            return EINVAL;
        }
        resize(i, op->len);
        i->mtime = false;
        return 0;
    case OP_ALLOCATE:
        return do_allocate(s, op);
    case OP_SEEK:
        return S_ISDIR(i->mode) ? EISDIR : op->offset >= i->size ? ENXIO : 0;
    default:
        return 0;
    }
}

/* ---- names ---- */

static int do_link(struct model *m, const struct op *op)
{
    struct where old, new;
    int no = resolve_old(m, op->a, op->nofollow ? LAST : FOLLOW, &old);
    if (no == 0) {
        no = resolve_new(m, op->b, false, &new);
    }
    if (no != 0) {
        return no;
    }
    if (S_ISDIR(old.inode->mode)) {
        return EPERM;
    }
    entry_add(new.dir, new.name, old.inode);
    old.inode->nlink++;
    return 0;
}

static int do_unlink(struct model *m, const struct op *op)
{
    struct where w;
    int no = resolve(m, op->a, PARENT, &w);
    if (no != 0) {
        return no;
    }
    if (w.dir == NULL) {
        return EISDIR;
    }
    if (w.inode == NULL) {
        return w.long_name ? ENAMETOOLONG : ENOENT;
    }
    if (S_ISDIR(w.inode->mode)) {
        return EISDIR;
    }
    if (w.slash) {
        return ENOTDIR;
    }
    entry_remove(w.dir, w.name);
    w.inode->nlink--;
    inode_drop(w.inode);
    return 0;
}

static int do_rmdir(struct model *m, const struct op *op)
{
    struct where w;
    int no = resolve(m, op->a, PARENT, &w);
    if (no != 0) {
        return no;
    }
    if (w.dir == NULL) {
        return strcmp(w.dot, "..") == 0 ? ENOTEMPTY : strcmp(w.dot, ".") == 0 ? EINVAL : EBUSY;
    }
    if (w.inode == NULL) {
        return w.long_name ? ENAMETOOLONG : ENOENT;
    }
    if (!S_ISDIR(w.inode->mode)) {
        return ENOTDIR;
    }
    if (w.inode->nentries > 0) {
        return ENOTEMPTY;
    }
    entry_remove(w.dir, w.name);
    w.inode->parent = NULL;
    inode_drop(w.inode);
    return 0;
}

static bool is_within(const struct inode *dir, const struct inode *of)
{
    for (;; dir = dir->parent) {
        if (dir == of) {
            return true;
        }
        if (dir->parent == dir) {
            return false;
        }
    }
}

static int rename_check(const struct op *op, const struct where *a, const struct where *b)
{
    bool exchange = (op->flags & RENAME_EXCHANGE) != 0;
    bool keep = (op->flags & RENAME_NOREPLACE) != 0;
    if (a->dir == NULL) {
        return EBUSY;
    }
    if (b->dir == NULL) {
        return keep ? EEXIST : EBUSY;
    }
    if (a->inode == NULL || b->long_name) {
        return a->long_name || (a->inode != NULL && b->long_name) ? ENAMETOOLONG : ENOENT;
    }
    if (keep && b->inode != NULL) {
        return EEXIST;
    }
    if (exchange && b->inode == NULL) {
        return ENOENT;
    }
    bool dir = S_ISDIR(a->inode->mode), to_dir = b->inode != NULL && S_ISDIR(b->inode->mode);
    if (exchange && !to_dir && b->slash) {
        return ENOTDIR;
    }
    if (!dir && (a->slash || (!exchange && b->slash))) {
        return ENOTDIR;
    }
    if (dir && is_within(b->dir, a->inode)) {
        return EINVAL;
    }
    if (to_dir && is_within(a->dir, b->inode)) {
        return exchange ? EINVAL : ENOTEMPTY;
    }
    if (b->inode == NULL || a->inode == b->inode || exchange) {
        return 0;
    }
    if (dir && !to_dir) {
        return ENOTDIR;
    }
    if (!dir && to_dir) {
        return EISDIR;
    }
    return to_dir && b->inode->nentries > 0 ? ENOTEMPTY : 0;
}

static int do_rename(struct model *m, const struct op *op)
{
    struct where a, b;
    if (op->flags == (RENAME_EXCHANGE | RENAME_NOREPLACE)) {
        return EINVAL;
    }
    int no = resolve(m, op->a, PARENT, &a);
    if (no == 0) {
        no = resolve(m, op->b, PARENT, &b);
    }
    if (no == 0) {
        no = rename_check(op, &a, &b);
    }
    if (no != 0 || a.inode == b.inode) {
        return no;
    }
    entry_remove(a.dir, a.name);
    if (b.inode != NULL) {
        entry_remove(b.dir, b.name);
        if ((op->flags & RENAME_EXCHANGE) != 0) {
            entry_add(a.dir, a.name, b.inode);
        } else if (S_ISDIR(b.inode->mode)) {
            b.inode->parent = NULL;
            inode_drop(b.inode);
        } else {
            b.inode->nlink--;
            inode_drop(b.inode);
        }
    }
    entry_add(b.dir, b.name, a.inode);
    return 0;
}

static int do_make(struct model *m, const struct op *op)
{
    struct where w;
    if (op->kind == OP_SYMLINK && op->b[0] == '\0') {
        return ENOENT;
    }
    int no = resolve_new(m, op->a, op->kind == OP_MKDIR, &w);
    if (no != 0) {
        return no;
    }
    uint32_t type = op->kind == OP_MKDIR ? S_IFDIR : op->kind == OP_SYMLINK ? S_IFLNK : S_IFREG;
    struct inode *i = inode_new(type | (type == S_IFLNK ? 0777u : op->mode));
    if (type == S_IFLNK) {
        i->size = strlen(op->b);
        i->data = (uint8_t *)strdup(op->b);
    }
    entry_add(w.dir, w.name, i);
    return 0;
}

static void times_set(struct inode *i, const struct op *op)
{
    if ((op->bits & CIS_VFS_SET_ATIME_NOW) != 0) {
        i->atime = false;
    } else if ((op->bits & CIS_VFS_SET_ATIME) != 0) {
        i->at = op->atime;
        i->atime = true;
    }
    if ((op->bits & CIS_VFS_SET_MTIME_NOW) != 0) {
        i->mtime = false;
    } else if ((op->bits & CIS_VFS_SET_MTIME) != 0) {
        i->mt = op->mtime;
        i->mtime = true;
    }
}

static void list(const struct inode *dir, struct cis_buf *out)
{
    cis_buf_printf(out, ". %o\n.. %o\n", S_IFDIR, S_IFDIR);
    for (size_t i = 0; i < dir->nentries; i++) {
        cis_buf_printf(out, "%s %o\n", dir->entries[i].name, dir->entries[i].inode->mode & S_IFMT);
    }
    listing_sort(out);
}

static int do_old(struct model *m, const struct op *op, struct op_result *out)
{
    struct where w;
    bool link = op->kind == OP_READLINK;
    int no = resolve_old(m, op->a, op->nofollow || link ? LAST : FOLLOW, &w);
    if (no != 0) {
        return no;
    }
    struct inode *i = w.inode;
    switch (op->kind) {
    case OP_STAT:
        attr_of(i, out);
        return 0;
    case OP_TRUNCATE:
        if (!S_ISREG(i->mode)) {
            return S_ISDIR(i->mode) ? EISDIR : EINVAL;
        }
        resize(i, op->len);
        i->mtime = false;
        return 0;
    case OP_CHMOD:
        i->mode = (i->mode & S_IFMT) | op->mode;
        return 0;
    case OP_TIMES:
        times_set(i, op);
        return 0;
    case OP_READLINK:
        if (!S_ISLNK(i->mode)) {
            return EINVAL;
        }
        cis_buf_add(&out->data, i->data, i->size);
        i->atime = false;
        return 0;
    default:
        if (!S_ISDIR(i->mode)) {
            return ENOTDIR;
        }
        list(i, &out->data);
        i->atime = false;
        return 0;
    }
}

static void model_apply(subject *self, const struct op *op, struct op_result *out)
{
    struct model *m = (struct model *)self;
    switch (op->kind) {
    case OP_OPEN:
        out->no = do_open(m, op, out);
        break;
    case OP_CLOSE:
    case OP_READ:
    case OP_WRITE:
    case OP_FSTAT:
    case OP_FTRUNCATE:
    case OP_ALLOCATE:
    case OP_SEEK:
    case OP_FSYNC:
        out->no = do_file(m, op, out);
        break;
    case OP_MKDIR:
    case OP_MKNOD:
    case OP_SYMLINK:
        out->no = do_make(m, op);
        break;
    case OP_LINK:
        out->no = do_link(m, op);
        break;
    case OP_UNLINK:
        out->no = do_unlink(m, op);
        break;
    case OP_RMDIR:
        out->no = do_rmdir(m, op);
        break;
    case OP_RENAME:
        out->no = do_rename(m, op);
        break;
    default:
        out->no = do_old(m, op, out);
    }
}

/* ---- whole trees ---- */

static void tree_free(struct inode *dir)
{
    for (size_t i = 0; i < dir->nentries; i++) {
        struct inode *child = dir->entries[i].inode;
        free(dir->entries[i].name);
        if (S_ISDIR(child->mode)) {
            tree_free(child);
        } else if (--child->nlink == 0) {
            inode_drop(child);
        }
    }
    dir->nentries = 0;
    dir->parent = NULL;
    inode_drop(dir);
}

static struct inode *tree_copy(struct inode *from, struct inode *parent)
{
    if (from->copy != NULL) {
        return from->copy;
    }
    struct inode *to = calloc(1, sizeof *to);
    *to = *from;
    to->opens = 0;
    to->copy = NULL;
    to->parent = S_ISDIR(from->mode) ? (parent != NULL ? parent : to) : NULL;
    from->copy = to;
    if (!S_ISDIR(from->mode)) {
        to->data = malloc(from->size + 1);
        if (from->size > 0) {
            memcpy(to->data, from->data, from->size);
        }
        return to;
    }
    to->entries = calloc(from->nentries + 1, sizeof *to->entries);
    for (size_t i = 0; i < from->nentries; i++) {
        to->entries[i] =
            (struct entry){strdup(from->entries[i].name), tree_copy(from->entries[i].inode, to)};
    }
    return to;
}

static void copies_forget(struct inode *i)
{
    i->copy = NULL;
    for (size_t e = 0; e < i->nentries; e++) {
        copies_forget(i->entries[e].inode);
    }
}

static void model_free(subject *self)
{
    struct model *m = (struct model *)self;
    subject_close_slots(self);
    tree_free(m->root);
    free(m);
}

static const struct subject_ops model_ops = {model_apply, model_free};

subject *model_new(void)
{
    struct model *m = calloc(1, sizeof *m);
    m->base = (subject){&model_ops, "model", false};
    m->root = inode_new(S_IFDIR | 0755);
    m->root->parent = m->root;
    return &m->base;
}

subject *model_copy(const subject *model)
{
    struct model *from = (struct model *)(uintptr_t)model;
    struct model *m = calloc(1, sizeof *m);
    m->base = (subject){&model_ops, "model", false};
    m->root = tree_copy(from->root, NULL);
    copies_forget(from->root);
    return &m->base;
}

void model_assign(subject *model, const subject *from)
{
    struct model *m = (struct model *)model;
    subject *copy = model_copy(from);
    subject_close_slots(model);
    struct inode *old = m->root;
    m->root = ((struct model *)copy)->root;
    ((struct model *)copy)->root = old;
    model_free(copy);
}

void model_pick(const subject *model, uint32_t pick, char *out, size_t cap)
{
    const struct inode *at = ((const struct model *)(const void *)model)->root;
    size_t n = 0;
    out[0] = '\0';
    while (S_ISDIR(at->mode) && at->nentries > 0) {
        const struct entry *e = &at->entries[pick % at->nentries];
        size_t len = strlen(e->name);
        if (n + len + 2 > cap) {
            break;
        }
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n > 0 ? "/" : "", e->name);
        at = e->inode;
        pick = pick * 1103515245u + 12345u;
        if ((pick >> 28) < 4) {
            break;
        }
    }
    if (n == 0) {
        snprintf(out, cap, ".");
    }
}

static void count(struct inode *i, uint64_t *files, uint64_t *bytes)
{
    for (size_t e = 0; e < i->nentries; e++) {
        struct inode *child = i->entries[e].inode;
        if (child->copy != NULL) {
            continue;
        }
        child->copy = child;
        ++*files;
        *bytes += S_ISDIR(child->mode) ? 0 : child->size;
        count(child, files, bytes);
    }
}

static void totals(const subject *model, uint64_t *files, uint64_t *bytes)
{
    struct model *m = (struct model *)(uintptr_t)model;
    *files = *bytes = 0;
    count(m->root, files, bytes);
    copies_forget(m->root);
}

uint64_t model_files(const subject *model)
{
    uint64_t files, bytes;
    totals(model, &files, &bytes);
    return files;
}

uint64_t model_bytes(const subject *model)
{
    uint64_t files, bytes;
    totals(model, &files, &bytes);
    return bytes;
}
