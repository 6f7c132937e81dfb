/* Inside host/: moving bytes over live descriptors without ever being stuck in one (stream_fd.c),
 * for the kinds of streams (stream.c). */
#ifndef CIS_HOST_STREAM_IN_H
#define CIS_HOST_STREAM_IN_H

#include "host/internal.h"
#include "host/stream.h"

/* How a live descriptor is moved. */
enum cis_manner {
    CIS_MANNER_NEW,
    CIS_MANNER_FILE, /* never waits for anybody */
    CIS_MANNER_PIPE,
    CIS_MANNER_PIPE_LOUD, /* where the kernel cannot be asked for no signal */
    CIS_MANNER_APART,     /* terminals; pipes where the kernel cannot be asked not to wait */
    CIS_MANNER_SOCKET,
    CIS_MANNER_DATAGRAM, /* a socket with messages of their own */
    CIS_MANNER_OTHER,
};
enum cis_manner cis_host_fd_manner(struct cis_host_stream *stream);
/* What can be moved at once: bytes, or an errno below zero, EAGAIN when it is nothing. */
cis_code cis_host_fd_step(cis_engine_instance *instance, struct cis_host_stream *stream,
                          struct cis_stream_move *move, bool write, ssize_t *out_n,
                          struct cis_error *err);

/* The run's stop, or one that never comes. */
const struct cis_stop *cis_host_stop(const struct cis_host *host);
cis_code cis_host_fd_read(const struct cis_host *host, cis_engine_instance *instance,
                          struct cis_host_stream *stream, struct cis_stream_move *move,
                          struct cis_error *err);
cis_code cis_host_fd_write(const struct cis_host *host, cis_engine_instance *instance,
                           struct cis_host_stream *stream, struct cis_stream_move *move,
                           struct cis_error *err);

#endif
