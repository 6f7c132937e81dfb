/* Inside wasi/p1/: the handlers' names and the few steps that most of them share. */
#ifndef CIS_WASI_P1_INTERNAL_H
#define CIS_WASI_P1_INTERNAL_H

#include "base/le.h"
#include "host/stream.h"
#include "wasi/p1/abi.h"
#include "wasi/p1/fds.h"

#define BOTH(n, t, g, c, p, d) cis_hostfn_handler cis_wasi_##n;
#define SPLIT(n, t, g, c, p, d) cis_hostfn_handler cis_wasi_##n, cis_wasi_##n##_old;
#define NEW(n, t, g, c, p, d) cis_hostfn_handler cis_wasi_##n;
#include "wasi/p1/table.def"
#undef BOTH
#undef SPLIT
#undef NEW

/* A handler's normal end: the errno is the result, the guest goes on. */
static inline cis_code cis_wasi_answer(union cis_slot *io, enum cis_wasi_errno error)
{
    io[0].i64 = 0;
    io[0].i32 = (int32_t)error;
    return CIS_OK;
}

#define CIS_WASI_BYTES_A_FUEL 64u /* moving bytes costs the guest a unit for each so many */

/* Writes one integer of the guest's; false: the pointer is outside its memory. */
bool cis_wasi_put32(cis_guest *guest, uint32_t at, uint32_t value);
bool cis_wasi_put64(cis_guest *guest, uint32_t at, uint64_t value);

/* errno.c: Linux's number as WASI's. */
enum cis_wasi_errno cis_wasi_errno_of(int no);

/* stdio.c: an array of a guest's buffers, all of them in its memory and of 4 GiB together at most.
 * out: the host writes into them. Empty ones are left out; iov has CIS_WASI_IOVS_MAX places. */
enum cis_wasi_errno cis_wasi_buffers(cis_guest *guest, uint32_t at, uint32_t n, bool out,
                                     struct iovec *iov, int *out_n, uint32_t *out_total);
/* Reads or writes what is no file: STREAM, LISTENER, SOCKET. */
cis_code cis_wasi_stream_move(cis_guest *guest, struct cis_wasi_fd *f, bool write,
                              struct cis_stream_move *move, struct cis_error *err);
/* Their filetype: a character device is a terminal and nothing else. */
uint8_t cis_wasi_stream_type(const struct cis_host *host, const struct cis_wasi_fd *f);
uint64_t cis_wasi_stream_rights(const struct cis_host *host, const struct cis_host_stream *stream);
uint8_t cis_wasi_mode_type(uint32_t mode); /* of S_IFMT bits */

/* Which standard stream a descriptor is; its number for a guest that has moved none. */
enum cis_wasi_stream { CIS_WASI_STDIN, CIS_WASI_STDOUT, CIS_WASI_STDERR, CIS_WASI_NONE };
static inline enum cis_wasi_stream cis_wasi_stream_of(const struct cis_wasi_fd *f)
{
    return f != NULL && f->kind == CIS_WASI_STREAM ? (enum cis_wasi_stream)f->stream
                                                   : CIS_WASI_NONE;
}

/* Time of a clock as the guest sees it; false: no such clock. */
bool cis_wasi_now(cis_guest *guest, uint32_t clock, uint64_t *out_ns);

#endif
