/* Codes of cis and errnos of Linux, both ways. A room whose situation says more than the code does
 * (the store refuses a chunk: the disk is full) decides that before it asks here. */
#include "base/error.h"

#include <errno.h>

int cis_code_errno(cis_code code)
{
    static const int of[] = {
#define CIS_ERROR(name, text, skill_exit, run_exit, http, status, sys) (sys),
#include "cis/error.def"
#undef CIS_ERROR
    };
    return (unsigned)code < CIS_E_COUNT_ ? of[code] : EIO;
}

cis_code cis_code_of_errno(int rc)
{
    switch (rc) {
    case 0:
        return CIS_OK;
    case ENOENT:
        return CIS_E_NOTFOUND;
    case EEXIST:
        return CIS_E_EXISTS;
    case EPERM:
    case EACCES:
    case EROFS:
        return CIS_E_DENIED;
    case EDQUOT:
    case ENOSPC:
        return CIS_E_QUOTA;
    case ESTALE:
        return CIS_E_EXPIRED;
    case EBUSY:
        return CIS_E_CONFLICT;
    case EINTR:
        return CIS_E_CANCELLED;
    case ENOMEM:
        return CIS_E_NOMEM;
    case ENFILE:
    case EMFILE:
    case EFBIG:
        return CIS_E_LIMIT;
    case EOPNOTSUPP:
    case ENOSYS:
        return CIS_E_UNSUPPORTED;
    case EINVAL:
    case EISDIR:
    case ENOTDIR:
    case ENOTEMPTY:
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
        return CIS_E_INVALID;
    default:
        return CIS_E_IO;
    }
}

cis_code cis_error_errno(struct cis_error *err, int sys)
{
    cis_code code = cis_code_of_errno(sys);
    return code == CIS_OK ? CIS_OK : cis_fail_sys(err, code, sys, "input or output");
}

int cis_error_sys(cis_code code, const struct cis_error *err)
{
    enum { ERRNO_MAX = 4095 }; /* of Linux */
    return code == CIS_OK                          ? 0
           : err->sys > 0 && err->sys <= ERRNO_MAX ? err->sys
                                                   : cis_code_errno(code);
}
