/* Codes of cis and errnos of Linux, both ways. A room whose situation says more than the code does
 * (the store refuses a chunk: the disk is full) decides that before it asks here. */
#include "base/error.h"

#include <errno.h>

int cis_code_errno(cis_code code)
{
    switch (code) {
    case CIS_OK:
        return 0;
    case CIS_E_NOTFOUND:
        return ENOENT;
    case CIS_E_EXISTS:
        return EEXIST;
    case CIS_E_DENIED:
        return EACCES;
    case CIS_E_INVALID:
    case CIS_E_USAGE:
        return EINVAL;
    case CIS_E_UNSUPPORTED:
        return EOPNOTSUPP;
    case CIS_E_QUOTA:
        return EDQUOT;
    case CIS_E_BUDGET:
        return ENOSPC;
    case CIS_E_LIMIT:
        return EMFILE;
    case CIS_E_NOMEM:
    case CIS_E_MEMORY:
        return ENOMEM;
    case CIS_E_EXPIRED:
        return ESTALE;
    case CIS_E_CONFLICT:
        return EBUSY;
    case CIS_E_CANCELLED:
    case CIS_E_DEADLINE:
        return EINTR;
    case CIS_E_FAILED:
    case CIS_E_IMPORT:
    case CIS_E_ENTRY:
    case CIS_E_CHECKSUM:
    case CIS_E_SIGNATURE:
    case CIS_E_TRAP:
    case CIS_E_FUEL:
    case CIS_E_STORE:
    case CIS_E_IO:
    case CIS_E_NET:
    case CIS_E_PROVIDER:
    case CIS_E_INTERNAL:
    case CIS_E_BADPTR:
    case CIS_E_DAMAGED:
    case CIS_E_DIVERGED:
    case CIS_E_COUNT_:
        return EIO;
    }
    return EIO; /* no code of ours */
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
