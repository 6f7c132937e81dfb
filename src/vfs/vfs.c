#include "vfs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include "base/error.h"

bool cis_vfs_name_valid(struct cis_str name)
{
    if (name.len == 0 || name.len > CIS_VFS_NAME_MAX || cis_str_is(name, ".") ||
        cis_str_is(name, "..")) {
        return false;
    }
    return memchr(name.ptr, '/', name.len) == NULL && memchr(name.ptr, 0, name.len) == NULL;
}

int cis_vfs_link(const struct cis_vfs_call *call, struct cis_vfs_place file,
                 struct cis_vfs_place dir, struct cis_str name, struct cis_vfs_attr *out_attr)
{
    if (file.vfs != dir.vfs) {
        return EXDEV;
    }
    return dir.vfs->ops->link(dir.vfs, call, file.node, dir.node, name, out_attr);
}

int cis_vfs_rename(const struct cis_vfs_call *call, struct cis_vfs_place dir, struct cis_str name,
                   struct cis_vfs_place to_dir, struct cis_str to_name, unsigned flags)
{
    if (dir.vfs != to_dir.vfs) {
        return EXDEV;
    }
    return dir.vfs->ops->rename(dir.vfs, call, dir.node, name, to_dir.node, to_name, flags);
}

bool cis_vfs_told(const struct cis_error *why, int rc)
{
    switch (rc) {
    case EIO:
        return why->code != CIS_OK;
    case EINTR:
        return why->code == CIS_E_DEADLINE || why->code == CIS_E_CANCELLED;
    case EACCES:
    case EPERM:
        return why->code == CIS_E_DENIED;
    default:
        return false;
    }
}

cis_code cis_vfs_fail(struct cis_error *err, int rc, const char *fmt, ...)
{
    char text[CIS_ERROR_MSG_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return n < 0 ? cis_fail(err, CIS_E_INTERNAL, "cannot format a message")
                 : cis_fail_sys(err, cis_code_of_errno(rc), rc, "%s", text);
}
