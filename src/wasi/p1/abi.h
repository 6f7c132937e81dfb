/* Numbers and layouts of WASI 0.1 (the witx files of wasi_snapshot_preview1 and wasi_unstable). The
 * structs describe guest memory: their fields are reached with offsetof and base/le.h, never
 * through a pointer of their type. */
#ifndef CIS_WASI_P1_ABI_H
#define CIS_WASI_P1_ABI_H

#include <stddef.h>
#include <stdint.h>

enum cis_wasi_errno { /* in the order of the witx: 0 to 76 */
                      CIS_WASI_OK,
                      CIS_WASI_2BIG,
                      CIS_WASI_ACCES,
                      CIS_WASI_ADDRINUSE,
                      CIS_WASI_ADDRNOTAVAIL,
                      CIS_WASI_AFNOSUPPORT,
                      CIS_WASI_AGAIN,
                      CIS_WASI_ALREADY,
                      CIS_WASI_BADF,
                      CIS_WASI_BADMSG,
                      CIS_WASI_BUSY,
                      CIS_WASI_CANCELED,
                      CIS_WASI_CHILD,
                      CIS_WASI_CONNABORTED,
                      CIS_WASI_CONNREFUSED,
                      CIS_WASI_CONNRESET,
                      CIS_WASI_DEADLK,
                      CIS_WASI_DESTADDRREQ,
                      CIS_WASI_DOM,
                      CIS_WASI_DQUOT,
                      CIS_WASI_EXIST,
                      CIS_WASI_FAULT,
                      CIS_WASI_FBIG,
                      CIS_WASI_HOSTUNREACH,
                      CIS_WASI_IDRM,
                      CIS_WASI_ILSEQ,
                      CIS_WASI_INPROGRESS,
                      CIS_WASI_INTR,
                      CIS_WASI_INVAL,
                      CIS_WASI_IO,
                      CIS_WASI_ISCONN,
                      CIS_WASI_ISDIR,
                      CIS_WASI_LOOP,
                      CIS_WASI_MFILE,
                      CIS_WASI_MLINK,
                      CIS_WASI_MSGSIZE,
                      CIS_WASI_MULTIHOP,
                      CIS_WASI_NAMETOOLONG,
                      CIS_WASI_NETDOWN,
                      CIS_WASI_NETRESET,
                      CIS_WASI_NETUNREACH,
                      CIS_WASI_NFILE,
                      CIS_WASI_NOBUFS,
                      CIS_WASI_NODEV,
                      CIS_WASI_NOENT,
                      CIS_WASI_NOEXEC,
                      CIS_WASI_NOLCK,
                      CIS_WASI_NOLINK,
                      CIS_WASI_NOMEM,
                      CIS_WASI_NOMSG,
                      CIS_WASI_NOPROTOOPT,
                      CIS_WASI_NOSPC,
                      CIS_WASI_NOSYS,
                      CIS_WASI_NOTCONN,
                      CIS_WASI_NOTDIR,
                      CIS_WASI_NOTEMPTY,
                      CIS_WASI_NOTRECOVERABLE,
                      CIS_WASI_NOTSOCK,
                      CIS_WASI_NOTSUP,
                      CIS_WASI_NOTTY,
                      CIS_WASI_NXIO,
                      CIS_WASI_OVERFLOW,
                      CIS_WASI_OWNERDEAD,
                      CIS_WASI_PERM,
                      CIS_WASI_PIPE,
                      CIS_WASI_PROTO,
                      CIS_WASI_PROTONOSUPPORT,
                      CIS_WASI_PROTOTYPE,
                      CIS_WASI_RANGE,
                      CIS_WASI_ROFS,
                      CIS_WASI_SPIPE,
                      CIS_WASI_SRCH,
                      CIS_WASI_STALE,
                      CIS_WASI_TIMEDOUT,
                      CIS_WASI_TXTBSY,
                      CIS_WASI_XDEV,
                      CIS_WASI_NOTCAPABLE,
};
_Static_assert(CIS_WASI_NOTCAPABLE == 76, "errno");

enum {
    CIS_WASI_CLOCK_REALTIME,
    CIS_WASI_CLOCK_MONOTONIC,
    CIS_WASI_CLOCK_PROCESS,
    CIS_WASI_CLOCK_THREAD
};
enum {
    CIS_WASI_FILETYPE_UNKNOWN,
    CIS_WASI_FILETYPE_BLOCK_DEVICE,
    CIS_WASI_FILETYPE_CHARACTER_DEVICE,
    CIS_WASI_FILETYPE_DIRECTORY,
    CIS_WASI_FILETYPE_REGULAR_FILE,
    CIS_WASI_FILETYPE_SOCKET_DGRAM,
    CIS_WASI_FILETYPE_SOCKET_STREAM,
    CIS_WASI_FILETYPE_SYMBOLIC_LINK
};
enum { CIS_WASI_EVENT_CLOCK, CIS_WASI_EVENT_READ, CIS_WASI_EVENT_WRITE };
#define CIS_WASI_CLOCK_ABSTIME 1u
#define CIS_WASI_EVENT_HANGUP 1u

#define CIS_WASI_FDFLAG_APPEND 1u
#define CIS_WASI_FDFLAG_DSYNC 2u
#define CIS_WASI_FDFLAG_NONBLOCK 4u
#define CIS_WASI_FDFLAG_RSYNC 8u
#define CIS_WASI_FDFLAG_SYNC 16u
#define CIS_WASI_FDFLAGS_ALL 31u
#define CIS_WASI_O_CREAT 1u
#define CIS_WASI_O_DIRECTORY 2u
#define CIS_WASI_O_EXCL 4u
#define CIS_WASI_O_TRUNC 8u
#define CIS_WASI_LOOKUP_FOLLOW 1u
#define CIS_WASI_FST_ATIM 1u
#define CIS_WASI_FST_ATIM_NOW 2u
#define CIS_WASI_FST_MTIM 4u
#define CIS_WASI_FST_MTIM_NOW 8u

#define CIS_WASI_RIGHT_DATASYNC (1ull << 0)
#define CIS_WASI_RIGHT_READ (1ull << 1)
#define CIS_WASI_RIGHT_SEEK (1ull << 2)
#define CIS_WASI_RIGHT_SET_FLAGS (1ull << 3)
#define CIS_WASI_RIGHT_SYNC (1ull << 4)
#define CIS_WASI_RIGHT_TELL (1ull << 5)
#define CIS_WASI_RIGHT_WRITE (1ull << 6)
#define CIS_WASI_RIGHT_ADVISE (1ull << 7)
#define CIS_WASI_RIGHT_ALLOCATE (1ull << 8)
#define CIS_WASI_RIGHT_CREATE_DIRECTORY (1ull << 9)
#define CIS_WASI_RIGHT_CREATE_FILE (1ull << 10)
#define CIS_WASI_RIGHT_LINK_SOURCE (1ull << 11)
#define CIS_WASI_RIGHT_LINK_TARGET (1ull << 12)
#define CIS_WASI_RIGHT_OPEN (1ull << 13)
#define CIS_WASI_RIGHT_READDIR (1ull << 14)
#define CIS_WASI_RIGHT_READLINK (1ull << 15)
#define CIS_WASI_RIGHT_RENAME_SOURCE (1ull << 16)
#define CIS_WASI_RIGHT_RENAME_TARGET (1ull << 17)
#define CIS_WASI_RIGHT_PATH_FILESTAT_GET (1ull << 18)
#define CIS_WASI_RIGHT_PATH_SET_SIZE (1ull << 19)
#define CIS_WASI_RIGHT_PATH_SET_TIMES (1ull << 20)
#define CIS_WASI_RIGHT_FILESTAT_GET (1ull << 21)
#define CIS_WASI_RIGHT_SET_SIZE (1ull << 22)
#define CIS_WASI_RIGHT_SET_TIMES (1ull << 23)
#define CIS_WASI_RIGHT_SYMLINK (1ull << 24)
#define CIS_WASI_RIGHT_REMOVE_DIRECTORY (1ull << 25)
#define CIS_WASI_RIGHT_UNLINK_FILE (1ull << 26)
#define CIS_WASI_RIGHT_POLL (1ull << 27)
#define CIS_WASI_RIGHT_SHUTDOWN (1ull << 28)
#define CIS_WASI_RIGHT_ACCEPT (1ull << 29)
/* What each kind of descriptor has when nothing less is said. */
#define CIS_WASI_RIGHTS_FILE                                                                       \
    (CIS_WASI_RIGHT_DATASYNC | CIS_WASI_RIGHT_READ | CIS_WASI_RIGHT_SEEK |                         \
     CIS_WASI_RIGHT_SET_FLAGS | CIS_WASI_RIGHT_SYNC | CIS_WASI_RIGHT_TELL | CIS_WASI_RIGHT_WRITE | \
     CIS_WASI_RIGHT_ADVISE | CIS_WASI_RIGHT_ALLOCATE | CIS_WASI_RIGHT_FILESTAT_GET |               \
     CIS_WASI_RIGHT_SET_SIZE | CIS_WASI_RIGHT_SET_TIMES | CIS_WASI_RIGHT_POLL)
#define CIS_WASI_RIGHTS_DIR                                                                        \
    (CIS_WASI_RIGHT_SET_FLAGS | CIS_WASI_RIGHT_SYNC | CIS_WASI_RIGHT_ADVISE |                      \
     CIS_WASI_RIGHT_CREATE_DIRECTORY | CIS_WASI_RIGHT_CREATE_FILE | CIS_WASI_RIGHT_LINK_SOURCE |   \
     CIS_WASI_RIGHT_LINK_TARGET | CIS_WASI_RIGHT_OPEN | CIS_WASI_RIGHT_READDIR |                   \
     CIS_WASI_RIGHT_READLINK | CIS_WASI_RIGHT_RENAME_SOURCE | CIS_WASI_RIGHT_RENAME_TARGET |       \
     CIS_WASI_RIGHT_PATH_FILESTAT_GET | CIS_WASI_RIGHT_PATH_SET_SIZE |                             \
     CIS_WASI_RIGHT_PATH_SET_TIMES | CIS_WASI_RIGHT_FILESTAT_GET | CIS_WASI_RIGHT_SET_TIMES |      \
     CIS_WASI_RIGHT_SYMLINK | CIS_WASI_RIGHT_REMOVE_DIRECTORY | CIS_WASI_RIGHT_UNLINK_FILE |       \
     CIS_WASI_RIGHT_POLL)
#define CIS_WASI_RIGHTS_SOCKET                                                                     \
    (CIS_WASI_RIGHT_READ | CIS_WASI_RIGHT_WRITE | CIS_WASI_RIGHT_SET_FLAGS |                       \
     CIS_WASI_RIGHT_FILESTAT_GET | CIS_WASI_RIGHT_POLL | CIS_WASI_RIGHT_SHUTDOWN)
#define CIS_WASI_RIGHTS_LISTENER                                                                   \
    (CIS_WASI_RIGHT_SET_FLAGS | CIS_WASI_RIGHT_FILESTAT_GET | CIS_WASI_RIGHT_POLL |                \
     CIS_WASI_RIGHT_ACCEPT)

struct cis_wasi_iovec {
    uint32_t buf, len;
};
_Static_assert(sizeof(struct cis_wasi_iovec) == 8, "iovec");

struct cis_wasi_fdstat {
    uint8_t filetype, pad0;
    uint16_t flags;
    uint8_t pad1[4];
    uint64_t rights_base, rights_inheriting;
};
_Static_assert(sizeof(struct cis_wasi_fdstat) == 24, "fdstat");
_Static_assert(offsetof(struct cis_wasi_fdstat, flags) == 2, "fdstat.flags");
_Static_assert(offsetof(struct cis_wasi_fdstat, rights_base) == 8, "fdstat.rights_base");

struct cis_wasi_filestat {
    uint64_t dev, ino;
    uint8_t filetype, pad[7];
    uint64_t nlink, size, atim, mtim, ctim;
};
_Static_assert(sizeof(struct cis_wasi_filestat) == 64, "filestat");
_Static_assert(offsetof(struct cis_wasi_filestat, nlink) == 24, "filestat.nlink");

struct cis_wasi_filestat_old {
    uint64_t dev, ino;
    uint8_t filetype, pad[3];
    uint32_t nlink;
    uint64_t size, atim, mtim, ctim;
};
_Static_assert(sizeof(struct cis_wasi_filestat_old) == 56, "wasi_unstable filestat");
_Static_assert(offsetof(struct cis_wasi_filestat_old, nlink) == 20, "wasi_unstable nlink");

struct cis_wasi_subscription {
    uint64_t userdata;
    uint8_t tag, pad[7];
    union {
        struct {
            uint32_t id, pad0;
            uint64_t timeout, precision;
            uint16_t flags;
            uint8_t pad1[6];
        } clock;
        uint32_t fd;
    } of;
};
_Static_assert(sizeof(struct cis_wasi_subscription) == 48, "subscription");
_Static_assert(offsetof(struct cis_wasi_subscription, of.clock.timeout) == 24, "timeout");
_Static_assert(offsetof(struct cis_wasi_subscription, of.clock.flags) == 40, "flags");

struct cis_wasi_subscription_old {
    uint64_t userdata;
    uint8_t tag, pad[7];
    union {
        struct {
            uint64_t identifier;
            uint32_t id, pad0;
            uint64_t timeout, precision;
            uint16_t flags;
            uint8_t pad1[6];
        } clock;
        uint32_t fd;
    } of;
};
_Static_assert(sizeof(struct cis_wasi_subscription_old) == 56, "wasi_unstable subscription");
_Static_assert(offsetof(struct cis_wasi_subscription_old, of.clock.timeout) == 32, "timeout");
_Static_assert(offsetof(struct cis_wasi_subscription_old, of.clock.flags) == 48, "flags");

struct cis_wasi_event { /* the same in both */
    uint64_t userdata;
    uint16_t error;
    uint8_t type, pad0[5];
    uint64_t nbytes;
    uint16_t flags;
    uint8_t pad1[6];
};
_Static_assert(sizeof(struct cis_wasi_event) == 32, "event");
_Static_assert(offsetof(struct cis_wasi_event, type) == 10, "event.type");
_Static_assert(offsetof(struct cis_wasi_event, nbytes) == 16, "event.nbytes");

struct cis_wasi_dirent {
    uint64_t next, ino;
    uint32_t namlen;
    uint8_t filetype, pad[3];
};
_Static_assert(sizeof(struct cis_wasi_dirent) == 24, "dirent");
_Static_assert(offsetof(struct cis_wasi_dirent, filetype) == 20, "dirent.filetype");

struct cis_wasi_prestat {
    uint8_t tag, pad[3]; /* 0: a directory */
    uint32_t name_len;
};
_Static_assert(sizeof(struct cis_wasi_prestat) == 8, "prestat");

#define CIS_WASI_IOVS_MAX 1024u /* Linux's IOV_MAX; more is EINVAL there too */

#endif
