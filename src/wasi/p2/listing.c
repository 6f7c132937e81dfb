/* wasi:filesystem: directories as streams of entries. A component takes one entry a call; what is
 * behind it reads many at once, and they wait here. */
#include <errno.h>
#include <fcntl.h>
#include "base/mem.h"
#include "wasi/p2/internal.h"

#define WAITING ((size_t)8192) /* bytes of entries: at least thirty of the longest */

struct p2_listing {
    cis_vfs_file *file;
    uint64_t cookie;
    size_t at, len; /* of bytes: those that were not given yet */
    uint8_t bytes[WAITING];
};

uint32_t cis_p2_type_of(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFBLK:
        return 1;
    case S_IFCHR:
        return 2;
    case S_IFDIR:
        return 3;
    case S_IFIFO:
        return 4;
    case S_IFLNK:
        return 5;
    case S_IFREG:
        return 6;
    case S_IFSOCK:
        return 7;
    default:
        return 0;
    }
}

cis_code cis_p2_fs_read_directory(cis_engine_instance *instance, const struct cis_typed *args,
                                  struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *f = cis_p2_at(instance, args[0].n)->file;
    struct p2_thing *thing;
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    if (f->dir == NULL) {
        return p2_fails(out, ENOTDIR);
    }
    if (!cis_p2_room(instance)) {
        return p2_fails(out, EMFILE);
    }
    struct p2_listing *listing;
    CIS_TRY(cis_p2_charge(instance, sizeof *listing, err));
    listing = cis_zalloc(sizeof *listing);
    if (listing == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "directory: out of memory");
    }
    struct cis_host_op op;
    cis_host_op_begin(&op, instance);
    int rc = cis_at_open(f->dir, &op.vfs, CIS_STR("."),
                         &(struct cis_open_how){0, O_RDONLY | O_DIRECTORY, 0}, &file, &attr);
    listing->file = file;
    cis_host_of(instance)->wasi_p2->nfiles++;
    cis_code code = cis_host_op_end(&op, rc, err);
    if (code == CIS_OK && rc == 0) {
        code = cis_p2_give(instance, P2_DIR_STREAM, P2_NO_PARENT, out, &thing, err);
        if (code == CIS_OK) {
            thing->listing = listing;
            return CIS_OK;
        }
    }
    cis_p2_listing_free(cis_host_of(instance)->wasi_p2, listing);
    return code != CIS_OK ? code : p2_fails(out, rc);
}

void cis_p2_listing_free(struct cis_wasi_p2 *t, struct p2_listing *listing)
{
    cis_vfs_file_close(listing->file);
    cis_free(listing);
    t->nfiles--;
    t->charged -= sizeof *listing;
    cis_budget_release(t->budget, sizeof *listing);
}

/* An entry is its type, its length less one, its name. */
static bool keep(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    (void)attr;
    struct p2_listing *l = self;
    bool dots = cis_str_is(e->name, ".") || cis_str_is(e->name, "..");
    if (e->name.len - 1 > UINT8_MAX || dots) { /* components list without them */
        l->cookie = e->cookie;
        return true;
    }
    if (WAITING - l->len < e->name.len + 2) {
        return false;
    }
    l->bytes[l->len] = (uint8_t)cis_p2_type_of(e->type);
    l->bytes[l->len + 1] = (uint8_t)(e->name.len - 1);
    memcpy(l->bytes + l->len + 2, e->name.ptr, e->name.len);
    l->len += e->name.len + 2;
    l->cookie = e->cookie;
    return true;
}

cis_code cis_p2_fs_entry(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    struct p2_listing *l = cis_p2_at(instance, args[0].n)->listing;
    if (l->at == l->len) {
        struct cis_host_op op;
        l->at = l->len = 0;
        cis_host_op_begin(&op, instance);
        int rc = cis_vfs_readdir(l->file, &op.vfs, l->cookie, false, keep, l);
        CIS_TRY(cis_host_op_end(&op, rc, err));
        if (rc != 0 || l->len == 0) {
            return p2_fails(out, rc);
        }
    }
    const uint8_t *e = l->bytes + l->at;
    size_t len = (size_t)e[1] + 1;
    l->at += len + 2;
    if (!cis_utf8_valid((const char *)e + 2, len)) {
        return p2_fails(out, EILSEQ);
    }
    out->has = true;
    out->n[0] = e[0];
    out->bytes = cis_bytes_of(e + 2, len);
    return CIS_OK;
}
