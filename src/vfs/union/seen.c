/* What the union saw of a lower name when it hid it or copied its file: what brings the changes to
 * the folder later (run/cow.h) replaces nothing else. A record is a symlink of the home folder,
 *   sHASH   of the lower path, or of a file with several names by its key (index.c)
 * whose target is "MODE SIZE DIGEST KEY": type and permissions in octal; the digest of the content
 * (vfs/digest.h), of a symlink's target, or "-"; inode number and time of birth. The first record
 * stays: from then on nobody looks at the lower name again. */
#include "vfs/union/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include "base/mem.h"
#include "vfs/digest.h"

#define HASH_HEX 48 /* of the path's SHA-256; a name of the home folder */

struct record_name {
    char text[1 + HASH_HEX + 1];
    struct cis_str str;
};

static void record_name(struct cis_str what, struct record_name *out)
{
    uint8_t hash[CIS_SHA256_BYTES];
    cis_sha256(cis_bytes_of(what.ptr, what.len), hash);
    out->text[0] = 's';
    cis_hex(hash, HASH_HEX / 2, out->text + 1);
    out->str = (struct cis_str){out->text, 1 + HASH_HEX};
}

/* "/a/b": paths begin with a slash, keys do not. */
static int lower_path(const struct unode *dir, struct cis_str name, struct cis_buf *out)
{
    bool root = strcmp(dir->lower_path, "/") == 0;
    cis_buf_printf(out, "%s/" CIS_STR_FMT, root ? "" : dir->lower_path, CIS_STR_ARG(name));
    return out->failed != CIS_OK ? ENOMEM : 0;
}

static int record_write(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str what,
                        const struct cis_vfs_attr *attr, const uint8_t *digest)
{
    struct record_name name;
    struct cis_vfs_attr made;
    cis_node node = 0;
    char text[256], hex[2 * CIS_DIGEST_BYTES + 1] = "-", key[UNION_KEY];
    if (digest != NULL) {
        cis_hex(digest, CIS_DIGEST_BYTES, hex);
    }
    cis_union_index_key(attr, key);
    int n = snprintf(text, sizeof text, "%" PRIo32 " %" PRIu64 " %s %s", attr->mode, attr->size,
                     hex, key);
    struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = {text, (size_t)n}};
    record_name(what, &name);
    int rc = cis_union_home_get(u, call);
    rc = rc == 0 ? cis_vfs_make(u->up, call, u->home, name.str, &make, &node, &made) : rc;
    part_put(u->up, rc == 0 ? node : 0);
    return rc == EEXIST ? 0 : rc;
}

/* The target of a record; ENOENT. */
static int record_text(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str what,
                       struct cis_buf *out)
{
    struct record_name name;
    struct cis_vfs_attr attr;
    cis_node node = 0;
    record_name(what, &name);
    int rc = u->home == 0 ? ENOENT : cis_vfs_lookup(u->up, call, u->home, name.str, &node, &attr);
    if (rc == 0) {
        rc = cis_vfs_readlink(u->up, call, node, out);
        part_put(u->up, node);
    }
    return rc;
}

/* ---- what there is to see ---- */

int cis_union_seen_digest(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                          const struct cis_vfs_attr *attr, uint8_t out[CIS_DIGEST_BYTES])
{
    cis_vfs_file *file = NULL;
    if (S_ISLNK(attr->mode)) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
        int rc = cis_vfs_readlink(vfs, call, node, &target);
        if (rc == 0) {
            cis_sha256(cis_buf_bytes(&target), out);
        }
        return rc;
    }
    int rc = cis_vfs_open(vfs, call, node, O_RDONLY, &file);
    rc = rc == 0 ? cis_digest_file(file, call, attr->size, out) : rc;
    if (file != NULL) {
        cis_vfs_release(file);
    }
    return rc;
}

int cis_union_seen_same(struct unionfs *u, const struct cis_vfs_call *call, cis_node upper,
                        const struct cis_vfs_attr *now, cis_node lower,
                        const struct cis_vfs_attr *was, bool *out)
{
    uint8_t a[CIS_DIGEST_BYTES], b[CIS_DIGEST_BYTES];
    int rc = cis_union_seen_digest(u->up, call, upper, now, a);
    rc = rc == 0 ? cis_union_seen_digest(u->low, call, lower, was, b) : rc;
    *out = rc == 0 && memcmp(a, b, sizeof a) == 0;
    return rc;
}

int cis_union_seen_name(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *dir,
                        struct cis_str name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    struct cis_vfs_attr attr;
    uint8_t digest[CIS_DIGEST_BYTES];
    cis_node node = 0;
    int rc =
        dir->lower == 0 ? ENOENT : cis_vfs_lookup(u->low, call, dir->lower, name, &node, &attr);
    if (rc != 0) {
        return rc == ENOENT ? 0 : rc;
    }
    rc = lower_path(dir, name, &path);
    rc = rc == 0 ? record_text(u, call, cis_buf_view(&path), &text) : rc;
    if (rc == ENOENT) {
        bool read = S_ISREG(attr.mode) || S_ISLNK(attr.mode);
        rc = read ? cis_union_seen_digest(u->low, call, node, &attr, digest) : 0;
        rc = rc == 0 ? record_write(u, call, cis_buf_view(&path), &attr, read ? digest : NULL) : rc;
    }
    part_put(u->low, node);
    return rc;
}

int cis_union_seen_copy(struct unionfs *u, const struct cis_vfs_call *call,
                        const struct unode *node, const struct cis_vfs_attr *attr,
                        const uint8_t digest[CIS_DIGEST_BYTES])
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 20);
    bool hashed = S_ISREG(attr->mode) || S_ISLNK(attr->mode);
    int rc = 0;
    if (node->key[0] != '\0') {
        cis_buf_text(&path, node->key);
    } else {
        rc = lower_path(node->parent, cis_str_of(node->name), &path);
    }
    return rc == 0 ? record_write(u, call, cis_buf_view(&path), attr, hashed ? digest : NULL) : rc;
}

/* ---- reading it back ---- */

static bool parse(struct cis_str text, struct cis_union_seen *out)
{
    struct cis_str mode, size, digest;
    struct cis_union_seen seen = {0};
    if (!cis_str_split(&text, ' ', &mode) || !cis_str_split(&text, ' ', &size) ||
        !cis_str_split(&text, ' ', &digest) || !cis_str_octal(mode, &seen.mode) ||
        !cis_str_u64(size, &seen.size) || text.len == 0 || text.len >= sizeof seen.key) {
        return false;
    }
    seen.hashed = cis_unhex(digest, seen.digest, sizeof seen.digest);
    memcpy(seen.key, text.ptr, text.len);
    *out = seen;
    return seen.hashed || cis_str_is(digest, "-");
}

int cis_union_seen(cis_vfs *vfs, const struct cis_vfs_call *call, struct cis_str path,
                   const struct cis_vfs_attr *lower, struct cis_union_seen *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf what = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    struct unionfs *u = union_of(vfs);
    char key[UNION_KEY];
    cis_buf_printf(&what, "/" CIS_STR_FMT, CIS_STR_ARG(path));
    cis_rwlock_read(&u->names, union_lock_names);
    int rc = what.failed != CIS_OK ? ENOMEM : record_text(u, call, cis_buf_view(&what), &text);
    if (rc == ENOENT && lower != NULL) {
        bool known;
        rc = cis_union_index_hash(u, call, lower, key, &known);
        rc = rc == 0 ? record_text(u, call, cis_str_of(key), &text) : rc;
    }
    cis_rwlock_unlock(&u->names, union_lock_names);
    return rc != 0 ? rc : parse(cis_buf_view(&text), out) ? 0 : EIO;
}

int cis_union_seen_by_key(cis_vfs *vfs, const struct cis_vfs_call *call, const char *key,
                          struct cis_union_seen *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    struct unionfs *u = union_of(vfs);
    cis_rwlock_read(&u->names, union_lock_names);
    int rc = record_text(u, call, cis_str_of(key), &text);
    cis_rwlock_unlock(&u->names, union_lock_names);
    return rc != 0 ? rc : parse(cis_buf_view(&text), out) ? 0 : EIO;
}

void cis_union_key(const struct cis_vfs_attr *lower, char out[CIS_UNION_KEY])
{
    cis_union_index_key(lower, out);
}
