/* The one place where Linux's numbers become those of WASI 0.1. Every name of WASI but one is a
 * name of POSIX and means the same.
 *
 * ENOTCAPABLE is said by this room itself for rights that a descriptor does not have. Leaving the
 * directory that a path begins at (an absolute path, ".." above it, a link to either) is EPERM
 * here, as vfs says it: what other hosts say, and what a C library shows as "Operation not
 * permitted"; for ENOTCAPABLE most have no name. A number that WASI has no name for is EIO. */
#include <errno.h>
#include "wasi/p1/internal.h"

static const uint8_t numbers[] = {
    [E2BIG] = CIS_WASI_2BIG,
    [EACCES] = CIS_WASI_ACCES,
    [EADDRINUSE] = CIS_WASI_ADDRINUSE,
    [EADDRNOTAVAIL] = CIS_WASI_ADDRNOTAVAIL,
    [EAFNOSUPPORT] = CIS_WASI_AFNOSUPPORT,
    [EAGAIN] = CIS_WASI_AGAIN,
    [EALREADY] = CIS_WASI_ALREADY,
    [EBADF] = CIS_WASI_BADF,
    [EBADMSG] = CIS_WASI_BADMSG,
    [EBUSY] = CIS_WASI_BUSY,
    [ECHILD] = CIS_WASI_CHILD,
    [ECONNABORTED] = CIS_WASI_CONNABORTED,
    [ECONNREFUSED] = CIS_WASI_CONNREFUSED,
    [ECONNRESET] = CIS_WASI_CONNRESET,
    [EDEADLK] = CIS_WASI_DEADLK,
    [EDESTADDRREQ] = CIS_WASI_DESTADDRREQ,
    [EDOM] = CIS_WASI_DOM,
    [EDQUOT] = CIS_WASI_DQUOT,
    [EEXIST] = CIS_WASI_EXIST,
    [EFAULT] = CIS_WASI_FAULT,
    [EFBIG] = CIS_WASI_FBIG,
    [EHOSTUNREACH] = CIS_WASI_HOSTUNREACH,
    [EIDRM] = CIS_WASI_IDRM,
    [EILSEQ] = CIS_WASI_ILSEQ,
    [EINPROGRESS] = CIS_WASI_INPROGRESS,
    [EINTR] = CIS_WASI_INTR,
    [EINVAL] = CIS_WASI_INVAL,
    [EIO] = CIS_WASI_IO,
    [EISCONN] = CIS_WASI_ISCONN,
    [EISDIR] = CIS_WASI_ISDIR,
    [ELOOP] = CIS_WASI_LOOP,
    [EMFILE] = CIS_WASI_MFILE,
    [EMLINK] = CIS_WASI_MLINK,
    [EMSGSIZE] = CIS_WASI_MSGSIZE,
    [EMULTIHOP] = CIS_WASI_MULTIHOP,
    [ENAMETOOLONG] = CIS_WASI_NAMETOOLONG,
    [ENETDOWN] = CIS_WASI_NETDOWN,
    [ENETRESET] = CIS_WASI_NETRESET,
    [ENETUNREACH] = CIS_WASI_NETUNREACH,
    [ENFILE] = CIS_WASI_NFILE,
    [ENOBUFS] = CIS_WASI_NOBUFS,
    [ENODEV] = CIS_WASI_NODEV,
    [ENOENT] = CIS_WASI_NOENT,
    [ENOEXEC] = CIS_WASI_NOEXEC,
    [ENOLCK] = CIS_WASI_NOLCK,
    [ENOLINK] = CIS_WASI_NOLINK,
    [ENOMEM] = CIS_WASI_NOMEM,
    [ENOMSG] = CIS_WASI_NOMSG,
    [ENOPROTOOPT] = CIS_WASI_NOPROTOOPT,
    [ENOSPC] = CIS_WASI_NOSPC,
    [ENOSYS] = CIS_WASI_NOSYS,
    [ENOTCONN] = CIS_WASI_NOTCONN,
    [ENOTDIR] = CIS_WASI_NOTDIR,
    [ENOTEMPTY] = CIS_WASI_NOTEMPTY,
    [ENOTRECOVERABLE] = CIS_WASI_NOTRECOVERABLE,
    [ENOTSOCK] = CIS_WASI_NOTSOCK,
    [ENOTTY] = CIS_WASI_NOTTY,
    [ENXIO] = CIS_WASI_NXIO,
    [EOVERFLOW] = CIS_WASI_OVERFLOW,
    [EOWNERDEAD] = CIS_WASI_OWNERDEAD,
    [EPERM] = CIS_WASI_PERM,
    [EPIPE] = CIS_WASI_PIPE,
    [EPROTO] = CIS_WASI_PROTO,
    [EPROTONOSUPPORT] = CIS_WASI_PROTONOSUPPORT,
    [EPROTOTYPE] = CIS_WASI_PROTOTYPE,
    [ERANGE] = CIS_WASI_RANGE,
    [EROFS] = CIS_WASI_ROFS,
    [ESPIPE] = CIS_WASI_SPIPE,
    [ESRCH] = CIS_WASI_SRCH,
    [ESTALE] = CIS_WASI_STALE,
    [ETIMEDOUT] = CIS_WASI_TIMEDOUT,
    [ETXTBSY] = CIS_WASI_TXTBSY,
    [EXDEV] = CIS_WASI_XDEV,
    [ECANCELED] = CIS_WASI_CANCELED,
    [EOPNOTSUPP] = CIS_WASI_NOTSUP,
    [ENODATA] = CIS_WASI_NOMSG,
    [ETOOMANYREFS] = CIS_WASI_NOBUFS,
    [ESHUTDOWN] = CIS_WASI_PIPE,
    [EHOSTDOWN] = CIS_WASI_HOSTUNREACH,
    [EPFNOSUPPORT] = CIS_WASI_AFNOSUPPORT,
    [ESOCKTNOSUPPORT] = CIS_WASI_NOTSUP,
    [EUSERS] = CIS_WASI_MFILE,
};

enum cis_wasi_errno cis_wasi_errno_of(int no)
{
    if (no == 0) {
        return CIS_WASI_OK;
    }
    bool known = no > 0 && (size_t)no < sizeof numbers && numbers[no] != 0;
    return known ? (enum cis_wasi_errno)numbers[no] : CIS_WASI_IO;
}
