/* Listings for the kernel. With attributes every entry is looked up as well, because the kernel
 * then holds the node. A filesystem that reads them together does so just before, and these
 * look-ups are cached; one that would look at each of them leaves that to us. */
#include <errno.h>
#include <string.h>
#include "base/mem.h"
#include "fuse/internal.h"

struct listing {
    fuse_req_t req;
    const struct cis_fuse *f;
    uint8_t *out;
    size_t used, max;
    /* readdirplus: what is to be looked up, after the listing's locks are gone */
    struct cis_buf names; /* struct pending, then its name, padded */
};

struct pending {
    uint64_t ino, cookie;
    uint32_t type;
    uint32_t len;
};

static bool add_plain(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    (void)attr;
    struct listing *l = self;
    char name[CIS_VFS_NAME_MAX + 1];
    if (e->name.len > CIS_VFS_NAME_MAX) {
        return false;
    }
    memcpy(name, e->name.ptr, e->name.len);
    name[e->name.len] = '\0';
    struct stat st = {.st_ino = e->ino, .st_mode = e->type};
    size_t n = fuse_add_direntry(l->req, (char *)l->out + l->used, l->max - l->used, name, &st,
                                 (off_t)e->cookie);
    if (n > l->max - l->used) {
        return false;
    }
    l->used += n;
    return true;
}

/* Each entry of the answer takes at least this: what does not fit any more need not be noted. */
#define PLUS_MIN 152u

static bool note(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    (void)attr;
    struct listing *l = self;
    l->used += PLUS_MIN + ((e->name.len + 7) & ~(size_t)7);
    if (l->used > l->max) {
        return false;
    }
    struct pending p = {e->ino, e->cookie, e->type, (uint32_t)e->name.len};
    cis_buf_add(&l->names, &p, sizeof p);
    cis_buf_str(&l->names, e->name);
    return l->names.failed == CIS_OK;
}

/* The names of what was listed are all answered, but for those that are gone meanwhile. What cannot
 * be looked at now (a damaged row, a wait that was interrupted) comes without attributes: the
 * kernel then asks for them, and whoever asks is told. False: the answer is full. */
static bool add_plus(struct listing *l, const struct cis_vfs_call *call, cis_node dir,
                     const struct pending *p, const char *name)
{
    cis_vfs *vfs = l->f->vfs;
    struct fuse_entry_param e = {.attr = {.st_ino = p->ino, .st_mode = p->type}};
    bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    cis_node node = 0;
    struct cis_vfs_attr attr;
    if (!dots) {
        int rc = cis_vfs_lookup(vfs, call, dir, (struct cis_str){name, p->len}, &node, &attr);
        if (rc == ENOENT) {
            return true;
        }
        if (rc == 0) {
            cis_fuse_entry(l->f, dir, node, &attr, &e);
        }
    }
    size_t n = fuse_add_direntry_plus(l->req, (char *)l->out + l->used, l->max - l->used, name, &e,
                                      (off_t)p->cookie);
    if (n > l->max - l->used) {
        if (node != 0) {
            cis_vfs_forget(vfs, node, 1);
        }
        return false;
    }
    l->used += n;
    return true;
}

static void plus(struct listing *l, const struct cis_vfs_call *call, cis_node dir,
                 uint64_t *out_cookie)
{
    l->used = 0;
    for (size_t at = 0; at < l->names.len;) {
        struct pending p;
        char name[CIS_VFS_NAME_MAX + 1];
        memcpy(&p, l->names.ptr + at, sizeof p);
        memcpy(name, l->names.ptr + at + sizeof p, p.len);
        name[p.len] = '\0';
        if (!add_plus(l, call, dir, &p, name)) {
            return;
        }
        *out_cookie = p.cookie;
        at += sizeof p + p.len;
    }
}

static void answer(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                   const struct fuse_file_info *fi, bool attributes)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    call.looks = attributes;
    struct listing l = {.req = req,
                        .f = f,
                        .out = cis_fuse_scratch(),
                        .max = size < FUSE_IO_MAX ? size : FUSE_IO_MAX,
                        .names = CIS_BUF_INIT(2 * FUSE_IO_MAX)};
    if (l.out == NULL) {
        cis_fuse_reply(req, ENOMEM);
        return;
    }
    int rc;
    uint64_t cookie = (uint64_t)off;
    do { /* again only when every name of a batch was removed while it was listed */
        cis_buf_reset(&l.names);
        l.used = 0;
        rc = cis_vfs_readdir(fuse_file(fi), &call, cookie, attributes,
                             attributes ? note : add_plain, &l);
        if (rc == 0 && l.names.failed == CIS_E_NOMEM) {
            rc = ENOMEM;
        }
        if (rc == 0 && attributes) {
            plus(&l, &call, fuse_node(f, ino), &cookie);
        }
    } while (rc == 0 && l.names.len != 0 && l.used == 0);
    if (rc == 0) {
        fuse_reply_buf(req, (const char *)l.out, l.used);
    } else {
        cis_fuse_reply(req, rc);
    }
    cis_buf_done(&l.names);
}

void cis_fuse_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                      struct fuse_file_info *fi)
{
    answer(req, ino, size, off, fi, false);
}

void cis_fuse_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                          struct fuse_file_info *fi)
{
    answer(req, ino, size, off, fi, true);
}
