/* Verbs over struct cis_host_stream and over sockets: what every version of WASI reads from, writes
 * to and waits for. Where one waits, the CPU slot of the guest is given back and the run's deadline
 * and cancellation end it. Nothing here changes a descriptor of the host (O_NONBLOCK belongs to all
 * who share it), and no signal reaches the process: a pipe without readers is EPIPE, a file at the
 * process's size limit EFBIG.
 *
 * Results are of two kinds: a cis_code says that the run is over (deadline, cancellation, a limit),
 * and then nothing else was set; `error` of a move is an errno of Linux for the guest. `guest` may
 * be NULL. One thread. */
#ifndef CIS_HOST_STREAM_H
#define CIS_HOST_STREAM_H

#include <sys/stat.h>
#include <sys/uio.h>
#include "host/host.h"

#define CIS_STREAM_HERE UINT64_MAX /* no offset: where the stream stands */

/* One read or write. The buffers are memory of the guest, already checked. */
struct cis_stream_move {
    struct iovec *iov; /* used up as bytes are moved */
    int niov;
    uint64_t offset; /* CIS_STREAM_HERE, or as in pread(2): streams that cannot: ESPIPE */
    bool nowait;     /* EAGAIN instead of waiting */
    bool append;     /* files: at their end, wherever they stand */
    int flags;       /* sockets: MSG_PEEK, MSG_WAITALL */
    size_t n;        /* out: bytes moved; with an error 0 */
    int error;       /* out */
    bool cut;        /* out: a datagram was longer than the buffers */
};

/* `stream` is one of host->wasi_env.std, or one that the caller made for a socket (kind FD).
 * Reads give what is there, files as much as fits; writes take everything unless it is an error, a
 * limit, or nowait. EBADF: not open in this direction. */
cis_code cis_host_stream_read(struct cis_host *host, cis_engine_instance *instance,
                              struct cis_host_stream *stream, struct cis_stream_move *move,
                              struct cis_error *err);
cis_code cis_host_stream_write(struct cis_host *host, cis_engine_instance *instance,
                               struct cis_host_stream *stream, struct cis_stream_move *move,
                               struct cis_error *err);

/* O_RDONLY, O_WRONLY or O_RDWR, with O_APPEND where the host's descriptor has it; -1: closed. */
int cis_host_stream_mode(const struct cis_host *host, const struct cis_host_stream *stream);
/* What it is (S_IFMT bits of st_mode; 0: nothing that has a type), and of files size and times.
 * Device and inode are no numbers of the host: only whether two streams are the same file can be
 * told from them. */
void cis_host_stream_stat(const struct cis_host *host, const struct cis_host_stream *stream,
                          struct stat *out);
/* A socket with messages of their own (SOCK_DGRAM, SOCK_SEQPACKET). */
bool cis_host_stream_datagrams(const struct cis_host_stream *stream);
/* lseek(2) of the host's file, whose offset all who share it see move: a shell that goes on reading
 * after the program finds what the program left. ESPIPE where there is nothing to seek in. */
int cis_host_stream_seek(struct cis_host_stream *stream, int64_t offset, int whence,
                         uint64_t *out_offset);
/* fsync, fdatasync, ftruncate, futimens, posix_fallocate of a live stream; EINVAL, or ESPIPE, where
 * it is no file. Slow ones give the CPU slot back; the code is that of taking one again. Times are
 * set of a stream that is open for writing (else EBADF), a size where it is not open for appending
 * (EPERM): nobody granted more. */
cis_code cis_host_stream_sync(cis_engine_instance *instance, struct cis_host_stream *stream,
                              bool data_only, int *out_error, struct cis_error *err);
int cis_host_stream_resize(struct cis_host_stream *stream, uint64_t size);
int cis_host_stream_times(struct cis_host_stream *stream, const struct timespec times[2]);

/* For poll: a stream that is always ready says how many bytes it has or takes and answers -1; else
 * the descriptor to wait for. */
struct cis_stream_ready {
    uint64_t nbytes;
    bool hangup;
    int error; /* EBADF: not open in this direction */
};
int cis_host_stream_poll(const struct cis_host *host, const struct cis_host_stream *stream,
                         bool write, struct cis_stream_ready *out);

/* Accepts one connection: close-on-exec and non-blocking, the caller's to close. *out_error EAGAIN
 * only with nowait. */
cis_code cis_host_accept(struct cis_host *host, cis_engine_instance *instance, int listener,
                         bool nowait, int *out_fd, int *out_error, struct cis_error *err);
/* shutdown(2). */
int cis_host_shutdown(int sock, int how);

#endif
