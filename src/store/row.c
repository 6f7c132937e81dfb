#include "store/row.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/varint.h"

/* version u8, flags u8, then varints: mode nlink uid gid rdev size stored parent, and the times.
 * A fresh file's times are all the same: those that equal mtime are a flag and no bytes. */
#define VERSION 1u
enum {
    GONE = 1,
    INLINE = 2,
    ATIME = 4, /* stored apart from mtime */
    CTIME = 8,
    BTIME = 16,
    FLAGS = 31,
};

static size_t put_time(uint8_t *out, struct cis_fs_time time)
{
    size_t n = cis_varint_put(out, cis_zigzag(time.s));
    return n + cis_varint_put(out + n, time.ns);
}

size_t cis_inode_pack(const struct cis_fs_inode *inode, uint8_t *out)
{
    const uint64_t numbers[] = {inode->mode, inode->nlink, inode->uid,    inode->gid,
                                inode->rdev, inode->size,  inode->stored, inode->parent};
    const struct cis_fs_time times[] = {inode->atime, inode->ctime, inode->btime};
    const uint8_t apart[] = {ATIME, CTIME, BTIME};
    uint8_t flags = (uint8_t)((inode->gone ? GONE : 0) | (inode->is_inline ? INLINE : 0));
    size_t n = 2;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        n += cis_varint_put(out + n, numbers[i]);
    }
    n += put_time(out + n, inode->mtime);
    for (size_t i = 0; i < 3; i++) {
        if (cis_fs_time_cmp(times[i], inode->mtime) != 0) {
            flags |= apart[i];
            n += put_time(out + n, times[i]);
        }
    }
    out[0] = VERSION;
    out[1] = flags;
    return n;
}

static bool get_u32(struct cis_bytes attr, size_t *at, uint32_t *out)
{
    uint64_t value;
    if (!cis_varint_get(attr, at, &value) || value > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool get_time(struct cis_bytes attr, size_t *at, struct cis_fs_time *out)
{
    uint64_t s;
    uint32_t ns;
    if (!cis_varint_get(attr, at, &s) || !get_u32(attr, at, &ns) || ns >= 1000000000u) {
        return false;
    }
    *out = (struct cis_fs_time){cis_unzigzag(s), ns};
    return true;
}

static bool get_times(struct cis_bytes attr, size_t *at, uint8_t flags, struct cis_fs_inode *in)
{
    struct cis_fs_time *times[] = {&in->atime, &in->ctime, &in->btime};
    const uint8_t apart[] = {ATIME, CTIME, BTIME};
    if (!get_time(attr, at, &in->mtime)) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        *times[i] = in->mtime;
        if ((flags & apart[i]) != 0 &&
            (!get_time(attr, at, times[i]) || cis_fs_time_cmp(*times[i], in->mtime) == 0)) {
            return false;
        }
    }
    return true;
}

/* Attributes that no writer makes are damage, before anyone acts on them. */
static const char *fault(const struct cis_fs_inode *in)
{
    uint32_t type = in->mode & S_IFMT;
    if ((in->mode & ~(uint32_t)(S_IFMT | 07777)) != 0) {
        return "mode";
    }
    switch (type) {
    case S_IFREG:
        break;
    case S_IFDIR:
        if (in->size != 0 || (in->parent == 0 && !in->gone)) {
            return "directory";
        }
        break;
    case S_IFLNK:
        if (!in->gone && (in->size == 0 || in->size > CIS_FS_TARGET_MAX)) {
            return "link";
        }
        break;
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        if (in->size != 0) {
            return "size";
        }
        break;
    default:
        return "type";
    }
    if (type != S_IFDIR && in->parent != 0) {
        return "parent";
    }
    if (type != S_IFCHR && type != S_IFBLK && in->rdev != 0) {
        return "device";
    }
    if (in->size > CIS_FS_SIZE_MAX || in->stored > (uint64_t)INT64_MAX) {
        return "size";
    }
    if (in->is_inline && (type != S_IFREG || in->size > CIS_FS_INLINE_MAX)) {
        return "inline";
    }
    return NULL;
}

uint64_t cis_fs_device(uint64_t rdev)
{
    uint64_t major = rdev >> 32;
    return major == 0 || major > 0xfff ? rdev : gnu_dev_makedev((unsigned)major, (unsigned)rdev);
}

cis_code cis_inode_unpack(struct cis_bytes attr, struct cis_fs_inode *out, struct cis_error *err)
{
    if (attr.len < 2 || attr.len > CIS_ROW_MAX || attr.ptr[0] != VERSION) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "inode: not attributes of a version this program knows");
    }
    struct cis_fs_inode in = {0};
    uint8_t flags = attr.ptr[1];
    size_t at = 2;
    bool whole = (flags & ~FLAGS) == 0 && get_u32(attr, &at, &in.mode) &&
                 get_u32(attr, &at, &in.nlink) && get_u32(attr, &at, &in.uid) &&
                 get_u32(attr, &at, &in.gid) && cis_varint_get(attr, &at, &in.rdev) &&
                 cis_varint_get(attr, &at, &in.size) && cis_varint_get(attr, &at, &in.stored) &&
                 cis_varint_get(attr, &at, &in.parent) && get_times(attr, &at, flags, &in) &&
                 at == attr.len;
    if (!whole) {
        return cis_fail(err, CIS_E_DAMAGED, "inode: attributes are cut or malformed");
    }
    in.gone = (flags & GONE) != 0;
    in.is_inline = (flags & INLINE) != 0;
    const char *what = fault(&in);
    if (what != NULL) {
        return cis_fail(err, CIS_E_DAMAGED, "inode: impossible attributes (%s)", what);
    }
    in.ino = out->ino;
    in.epoch = out->epoch;
    in.data = out->data;
    *out = in;
    return CIS_OK;
}
