/* A folder with all that is in it, as one: read, copied, removed. What lies deeper than a path is
 * long is brought to a folder of the host so (cow_far.c). One folder after the other is gone into,
 * and few of them are held (vfs/way.h); names are in order, so that what is alike has one digest.
 */
#include "run/cow_deep.h"

#include <fcntl.h>
#include <stdlib.h>
#include "base/le.h"
#include "base/mem.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/way.h"

struct level {
    struct cis_buf names; /* each with its NUL */
    size_t *order, n, next;
    uint32_t mode; /* that the folder has, or gets at its end */
    size_t path;   /* of the folder: bytes in walk.path */
    size_t bytes;
};
struct walk {
    const struct cis_vfs_call *call;
    struct cow_deep *how;
    struct cis_way from, to;
    struct level *at;
    size_t n, cap;
    uint64_t bytes; /* of all names that are held */
    struct cis_buf path;
    struct cis_sha256_state sha;
};

static void level_done(struct walk *w)
{
    struct level *l = &w->at[--w->n];
    w->bytes -= l->bytes;
    cis_buf_done(&l->names);
    cis_free(l->order);
}

static void walk_done(struct walk *w)
{
    while (w->n > 0) {
        level_done(w);
    }
    cis_free(w->at);
    cis_way_done(&w->from);
    cis_way_done(&w->to);
    cis_buf_done(&w->path);
}

static void put(cis_vfs *vfs, cis_node node)
{
    if (node != 0 && node != vfs->root) {
        cis_vfs_forget(vfs, node, 1);
    }
}

/* ---- names ---- */

static bool take_name(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    struct level *l = self;
    (void)attr;
    if (!cis_str_is(e->name, ".") && !cis_str_is(e->name, "..")) {
        cis_buf_str(&l->names, e->name);
        cis_buf_byte(&l->names, 0);
        l->n++;
    }
    return l->names.failed == CIS_OK;
}

static int by_name(const void *a, const void *b, void *text)
{
    const char *names = text;
    return strcmp(names + *(const size_t *)a, names + *(const size_t *)b);
}

static int sort(struct level *l)
{
    l->order = cis_calloc(cis_size_add(l->n, 1), sizeof *l->order);
    if (l->order == NULL) {
        return ENOMEM;
    }
    const char *text = (const char *)l->names.ptr;
    for (size_t i = 0, at = 0; i < l->n; i++) {
        l->order[i] = at;
        at += strlen(text + at) + 1;
    }
    if (l->n > 1) {
        qsort_r(l->order, l->n, sizeof *l->order, by_name, l->names.ptr);
    }
    return 0;
}

static int told(struct walk *w, const struct cis_vfs_attr *attr, struct cis_str target,
                cis_vfs_file *file)
{
    struct cow_deep_name name = {.path = cis_buf_view(&w->path),
                                 .depth = w->n,
                                 .attr = attr,
                                 .target = target,
                                 .file = file};
    return w->how->look != NULL && !w->how->look(w->how->self, &name) ? COW_DEEP_ENDED : 0;
}

/* Its names, put behind the other levels. */
static int list(struct walk *w, cis_node folder, const struct cis_vfs_attr *attr)
{
    struct level l = {
        .names = CIS_BUF_INIT(w->bytes < COW_CHANGES_BYTES ? COW_CHANGES_BYTES - w->bytes : 0),
        .mode = attr->mode,
        .path = w->path.len};
    cis_vfs_file *file = NULL;
    if (w->n == w->cap) {
        size_t cap = cis_cap_next(w->cap, 32, CIS_MEM_MAX);
        struct level *more = cis_realloc_array(w->at, cap, sizeof *more);
        if (more == NULL) {
            return ENOMEM;
        }
        w->at = more;
        w->cap = cap;
    }
    int rc = cis_vfs_open(w->from.vfs, w->call, folder, O_RDONLY | O_DIRECTORY, &file);
    if (rc == 0) {
        rc = told(w, attr, CIS_STR(""), file);
        rc = rc == 0 ? cis_vfs_readdir(file, w->call, 0, false, take_name, &l) : rc;
        cis_vfs_file_close(file);
    }
    rc = rc == 0 && l.names.failed != CIS_OK ? ENOMEM : rc;
    rc = rc == 0 ? sort(&l) : rc;
    l.bytes = cis_size_add(l.names.len, cis_size_mul(l.n, sizeof *l.order));
    w->at[w->n++] = l;
    w->bytes += l.bytes;
    if (rc != 0) {
        level_done(w);
    }
    return rc;
}

/* ---- the digest: kind, name, mode, content; "." where a folder ends ---- */

static void add(struct walk *w, char kind, struct cis_str name, uint32_t mode,
                const uint8_t *digest)
{
    uint8_t bits[4];
    cis_put_le32(bits, mode);
    cis_sha256_update(&w->sha, cis_bytes_of(&kind, 1));
    cis_sha256_update(&w->sha, cis_bytes_of(name.ptr, name.len));
    cis_sha256_update(&w->sha, cis_bytes_of("", 1));
    cis_sha256_update(&w->sha, cis_bytes_of(bits, sizeof bits));
    cis_sha256_update(&w->sha, cis_bytes_of(digest, digest != NULL ? CIS_DIGEST_BYTES : 0));
}

/* ---- folders ---- */

static int make_folder(struct walk *w, struct cis_str name, cis_node to, uint32_t mode)
{
    struct cis_vfs_make make = {.mode = S_IFDIR | 0700 | (mode & 07777)};
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = make.mode & 07777};
    struct cis_vfs_attr attr;
    cis_node node = 0;
    int rc = cis_vfs_make(w->to.vfs, w->call, to, name, &make, &node, &attr);
    rc = rc == 0 ? cis_vfs_setattr(w->to.vfs, w->call, node, &set, NULL) : rc;
    if (rc != 0) {
        put(w->to.vfs, node);
        return rc;
    }
    return cis_way_push(&w->to, node, name, &attr, false);
}

/* Takes over the node. to: where its copy is made. */
static int enter(struct walk *w, struct cis_str name, cis_node node,
                 const struct cis_vfs_attr *attr, cis_node to)
{
    bool first = w->n == 0; /* COW_DEEP_HALF, as long as something is missing */
    struct cis_vfs_set open = {.bits = CIS_VFS_SET_MODE,
                               .mode = first ? COW_DEEP_HALF : (attr->mode & 07777) | 0700};
    int rc = w->how->removes && (first || (attr->mode & 0700) != 0700)
                 ? cis_vfs_setattr(w->from.vfs, w->call, node, &open, NULL)
                 : 0;
    rc = rc == 0 && w->how->to != NULL
             ? make_folder(w, name, to, first ? COW_DEEP_HALF : attr->mode)
             : rc;
    rc = rc == 0 ? list(w, node, attr) : rc;
    if (rc != 0) {
        put(w->from.vfs, node);
        return rc;
    }
    add(w, 'd', name, attr->mode, NULL);
    return cis_way_push(&w->from, node, name, attr, w->from.n == 0);
}

static int leave(struct walk *w)
{
    struct level *l = &w->at[w->n - 1];
    cis_node node = 0;
    int rc = 0;
    if (w->how->to != NULL && (w->n == 1 || (l->mode & 0700) != 0700)) {
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = l->mode & 07777};
        rc = cis_way_here(&w->to, w->call, &node);
        rc = rc == 0 ? cis_vfs_setattr(w->to.vfs, w->call, node, &set, NULL) : rc;
    }
    add(w, '.', CIS_STR(""), 0, NULL);
    w->path.len = l->path;
    level_done(w);
    cis_way_pop(&w->from);
    if (w->how->to != NULL) {
        cis_way_pop(&w->to);
    }
    if (rc == 0 && w->how->removes && w->n > 0) {
        const struct level *in = &w->at[w->n - 1];
        struct cis_str name = cis_str_of((const char *)in->names.ptr + in->order[in->next - 1]);
        rc = cis_way_here(&w->from, w->call, &node);
        rc = rc == 0 ? w->from.vfs->ops->rmdir(w->from.vfs, w->call, node, name) : rc;
    }
    return rc;
}

/* ---- files and symlinks ---- */

static int file(struct walk *w, cis_node node, struct cis_vfs_attr *attr, struct cis_str name,
                cis_node to, uint8_t digest[CIS_DIGEST_BYTES])
{
    cis_vfs_file *in = NULL, *out = NULL;
    struct cis_vfs_attr made;
    cis_node copy = 0;
    int rc = cis_vfs_open(w->from.vfs, w->call, node, O_RDONLY, &in);
    rc = rc == 0 ? told(w, attr, CIS_STR(""), in) : rc;
    rc = rc == 0 && w->how->quiet && !cis_hostdir_quiet(in) ? ESTALE : rc;
    if (rc == 0 && w->how->drop_set_id) {
        attr->mode &= ~(S_ISUID | ((attr->mode & S_IXGRP) != 0 ? (uint32_t)S_ISGID : 0u));
    }
    if (rc == 0 && w->how->to != NULL) {
        rc = cis_vfs_create(w->to.vfs, w->call,
                            &(struct cis_vfs_create_request){to, name, 0600, O_WRONLY}, &out, &copy,
                            &made);
        rc = rc == 0 ? cis_cow_copy_file(in, attr, out, &made, attr->mode, w->call, digest) : rc;
        put(w->to.vfs, copy);
    } else if (rc == 0) {
        rc = cis_digest_file(in, w->call, attr->size, digest);
    }
    cis_vfs_file_close(in);
    cis_vfs_file_close(out);
    return rc;
}

static int link(struct walk *w, cis_node node, const struct cis_vfs_attr *attr, struct cis_str name,
                cis_node to, uint8_t digest[CIS_DIGEST_BYTES])
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    struct cis_vfs_attr made;
    cis_node copy = 0;
    int rc = cis_vfs_readlink(w->from.vfs, w->call, node, &target);
    cis_sha256(cis_buf_bytes(&target), digest);
    rc = rc == 0 ? told(w, attr, cis_buf_view(&target), NULL) : rc;
    if (rc == 0 && w->how->to != NULL) {
        struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_buf_view(&target)};
        rc = cis_vfs_make(w->to.vfs, w->call, to, name, &make, &copy, &made);
        put(w->to.vfs, rc == 0 ? copy : 0);
    }
    return rc;
}

/* dir: the folder of the name. */
static int leaf(struct walk *w, cis_node dir, struct cis_str name, cis_node node,
                struct cis_vfs_attr *attr, cis_node to)
{
    uint8_t digest[CIS_DIGEST_BYTES];
    if (w->how->removes) {
        return w->from.vfs->ops->unlink(w->from.vfs, w->call, dir, name);
    }
    int rc = S_ISREG(attr->mode)   ? file(w, node, attr, name, to, digest)
             : S_ISLNK(attr->mode) ? link(w, node, attr, name, to, digest)
                                   : EOPNOTSUPP;
    if (rc == 0) {
        add(w, S_ISREG(attr->mode) ? 'f' : 'l', name, attr->mode, digest);
    }
    return rc;
}

/* ---- the walk ---- */

static int step(struct walk *w)
{
    struct level *in = &w->at[w->n - 1];
    struct cis_str name = cis_str_of((const char *)in->names.ptr + in->order[in->next++]);
    struct cis_vfs_attr attr;
    struct cis_error ignored;
    cis_node dir = 0, to = 0, node = 0;
    w->path.len = in->path;
    cis_buf_byte(&w->path, '/');
    cis_buf_str(&w->path, name);
    if (w->path.failed != CIS_OK) {
        return ENOMEM;
    }
    if (cis_stop_check(w->call->stop, "apply", w->call->err != NULL ? w->call->err : &ignored) !=
        CIS_OK) {
        return EINTR;
    }
    w->how->names++;
    w->how->longest = w->how->longest > w->path.len ? w->how->longest : w->path.len;
    int rc = cis_way_here(&w->from, w->call, &dir);
    rc = rc == 0 && w->how->to != NULL ? cis_way_here(&w->to, w->call, &to) : rc;
    rc = rc == 0 ? cis_vfs_lookup(w->from.vfs, w->call, dir, name, &node, &attr) : rc;
    if (rc != 0) {
        return rc;
    }
    if (S_ISDIR(attr.mode)) {
        return enter(w, name, node, &attr, to);
    }
    rc = leaf(w, dir, name, node, &attr, to);
    put(w->from.vfs, node);
    return rc;
}

/* Of a tree: the folder at path, and the one that a last name is in. */
static int find(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                struct cis_found *out)
{
    const cis_dir *dir;
    struct cis_str name;
    int rc = cis_cow_at(tree, call, path, &dir, &name);
    return rc == 0 ? cis_walk(dir, NULL, call, name, COW_WALK | CIS_WALK_NAME, out) : rc;
}

static int begin(struct walk *w, struct cis_found *from, const struct cis_found *to)
{
    cis_way_init(&w->from, from->vfs);
    cis_node node = from->node, dir = 0;
    from->node = 0;
    if (w->how->to != NULL) {
        cis_way_init(&w->to, to->vfs);
        dir = to->dir;
    }
    if (!S_ISDIR(from->attr.mode)) {
        put(from->vfs, node);
        return ENOTDIR;
    }
    struct cis_str name = {to->name, to->name_len};
    int rc = enter(w, w->how->to != NULL ? name : CIS_STR(""), node, &from->attr, dir);
    cis_sha256_init(&w->sha); /* its own name is no part of what is in it */
    add(w, 'd', CIS_STR(""), from->attr.mode, NULL);
    return rc;
}

static int go(struct walk *w, struct cis_found *from, const struct cis_found *to,
              struct cow_state *out)
{
    struct cow_state state = {.mode = from->attr.mode};
    cis_union_key(&from->attr, state.key);
    int rc = begin(w, from, to);
    while (rc == 0 && w->n > 0) {
        rc = w->at[w->n - 1].next < w->at[w->n - 1].n ? step(w) : leave(w);
    }
    if (rc == 0) {
        cis_sha256_final(&w->sha, state.digest);
        *out = state;
    }
    return rc;
}

int cis_cow_deep(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 struct cow_deep *how, struct cow_state *out)
{
    CIS_CLEANUP(walk_done)
    struct walk w = {.call = call, .how = how, .path = CIS_BUF_INIT(UINT32_MAX)};
    struct cis_found from = {0}, to = {0};
    how->longest = 0;
    int rc = find(tree, call, path, &from);
    if (rc == 0 && from.node == 0) {
        rc = ENOENT;
    }
    if (rc == 0 && how->to != NULL) {
        rc = find(how->to, call, how->name, &to);
        rc = rc == 0 && to.node != 0 ? EEXIST : rc;
    }
    rc = rc == 0 ? go(&w, &from, &to, out) : rc;
    if (rc == 0 && how->removes) {
        rc = from.vfs->ops->rmdir(from.vfs, call, from.dir,
                                  (struct cis_str){from.name, from.name_len});
    }
    cis_found_done(&from);
    cis_found_done(&to);
    return rc;
}
