/* Numbers and layouts of WASI 0.1 (the witx files of wasi_snapshot_preview1 and wasi_unstable). The
 * structs describe guest memory: their fields are reached with offsetof and base/le.h, never
 * through a pointer of their type. */
#ifndef CIS_WASI_P1_ABI_H
#define CIS_WASI_P1_ABI_H

#include <stddef.h>
#include <stdint.h>

enum cis_wasi_errno {
    CIS_WASI_OK = 0,
    CIS_WASI_BADF = 8,
    CIS_WASI_FAULT = 21,
    CIS_WASI_INVAL = 28,
    CIS_WASI_NOTDIR = 54,
    CIS_WASI_NOTSOCK = 57,
    CIS_WASI_NOTSUP = 58,
    CIS_WASI_OVERFLOW = 61,
    CIS_WASI_SPIPE = 70,
    CIS_WASI_NOTCAPABLE = 76,
};

enum {
    CIS_WASI_CLOCK_REALTIME,
    CIS_WASI_CLOCK_MONOTONIC,
    CIS_WASI_CLOCK_PROCESS,
    CIS_WASI_CLOCK_THREAD
};
enum { CIS_WASI_FILETYPE_UNKNOWN = 0 };
enum { CIS_WASI_EVENT_CLOCK, CIS_WASI_EVENT_READ, CIS_WASI_EVENT_WRITE };
#define CIS_WASI_CLOCK_ABSTIME 1u
#define CIS_WASI_EVENT_HANGUP 1u

#define CIS_WASI_FDFLAG_APPEND 1u
#define CIS_WASI_FDFLAG_DSYNC 2u
#define CIS_WASI_FDFLAG_NONBLOCK 4u
#define CIS_WASI_FDFLAG_RSYNC 8u
#define CIS_WASI_FDFLAG_SYNC 16u

#define CIS_WASI_RIGHT_READ (1ull << 1)
#define CIS_WASI_RIGHT_SET_FLAGS (1ull << 3)
#define CIS_WASI_RIGHT_WRITE (1ull << 6)
#define CIS_WASI_RIGHT_FILESTAT_GET (1ull << 21)
#define CIS_WASI_RIGHT_POLL (1ull << 27)

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

/* Descriptors. */
#define CIS_WASI_IOVS_MAX 1024u /* Linux's IOV_MAX; more is EINVAL there too */

#endif
