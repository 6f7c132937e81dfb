/* Inside wasi/p1/: the handlers' names and the few steps that most of them share. */
#ifndef CIS_WASI_P1_INTERNAL_H
#define CIS_WASI_P1_INTERNAL_H

#include "base/le.h"
#include "host/op.h"
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
bool cis_wasi_put32(cis_engine_instance *instance, uint32_t at, uint32_t value);
bool cis_wasi_put64(cis_engine_instance *instance, uint32_t at, uint64_t value);

/* errno.c: Linux's number as WASI's. */
enum cis_wasi_errno cis_wasi_errno_of(int rc);

/* stdio.c: an array of a guest's buffers, all of them in its memory and of 4 GiB together at most.
 * out: the host writes into them. Empty ones are left out; iov has CIS_WASI_IOVS_MAX places. */
enum cis_wasi_errno cis_wasi_buffers(cis_engine_instance *instance, uint32_t at, uint32_t n,
                                     bool out, struct iovec *iov, int *out_n, uint32_t *out_total);
/* Reads or writes what is no file: STREAM, LISTENER, SOCKET. */
cis_code cis_wasi_stream_move(cis_engine_instance *instance, struct cis_wasi_fd *f, bool write,
                              struct cis_stream_move *move, struct cis_error *err);
/* Their filetype: a character device is a terminal and nothing else. */
uint8_t cis_wasi_stream_type(const struct cis_host *host, const struct cis_wasi_fd *f);
uint64_t cis_wasi_stream_rights(const struct cis_host *host, const struct cis_host_stream *stream);
uint8_t cis_wasi_mode_type(uint32_t mode); /* of S_IFMT bits */

/* The end of an operation on files, and errno `no` as the answer. */
static inline cis_code cis_wasi_op_answer(struct cis_host_op *op, union cis_slot *io, int rc,
                                          struct cis_error *err)
{
    CIS_TRY(cis_host_op_end(op, rc, err));
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}

/* The standard stream that a descriptor of kind STREAM is; it may be a file of the host. */
static inline struct cis_host_stream *cis_wasi_std(cis_engine_instance *instance,
                                                   const struct cis_wasi_fd *f)
{
    return &cis_host_of(instance)->wasi_env.std[f->stream];
}

/* file.c: fd_read and fd_write of a descriptor that is a file or a directory. */
cis_code cis_wasi_file_read(cis_engine_instance *instance, struct cis_wasi_fd *f,
                            union cis_slot *io, struct cis_error *err);
cis_code cis_wasi_file_write(cis_engine_instance *instance, struct cis_wasi_fd *f,
                             union cis_slot *io, struct cis_error *err);

/* dir.c: the directory as an open file of its filesystem, made at the first use. */
int cis_wasi_listing(struct cis_host_op *call, struct cis_wasi_fd *f, cis_vfs_file **out);

/* path.c: where a path of the guest begins and what it says; error: why it cannot be walked (the
 * descriptor, the pointer, a right that the guest gave away). Valid until the guest runs again. */
struct cis_wasi_place {
    struct cis_wasi_fd *f; /* a directory */
    struct cis_str path;
    enum cis_wasi_errno error;
};
cis_code cis_wasi_place(cis_engine_instance *instance, uint32_t fd, uint32_t path, uint32_t len,
                        uint64_t right, struct cis_wasi_place *out, struct cis_error *err);
static inline unsigned cis_wasi_walk(uint32_t lookup_flags)
{
    return (lookup_flags & CIS_WASI_LOOKUP_FOLLOW) != 0 ? 0 : CIS_WALK_NOFOLLOW;
}

/* Time of a clock as the guest sees it; false: no such clock. */
bool cis_wasi_now(cis_engine_instance *instance, uint32_t clock, uint64_t *out_ns);

#endif
