/* Sockets: listeners that the run inherited, what is accepted from them, and standard streams that
 * happen to be sockets. No function of WASI 0.1 makes one by itself. */
#include <sys/socket.h>
#include "wasi/p1/internal.h"

#define PEEK 1u
#define WAITALL 2u
#define DATA_TRUNCATED 1u

/* The host's socket behind a descriptor, unless the guest gave this right away. */
static enum cis_wasi_errno socket_of(const struct cis_host *host, const struct cis_wasi_fd *f,
                                     uint64_t right, int *out_sock)
{
    if (f == NULL) {
        return CIS_WASI_BADF;
    }
    struct stat st = {.st_mode = 0};
    if (f->kind == CIS_WASI_LISTENER || f->kind == CIS_WASI_SOCKET) {
        st.st_mode = S_IFSOCK;
        *out_sock = f->sock;
    } else if (f->kind == CIS_WASI_STREAM) {
        cis_host_stream_stat(host, &host->wasi_env.std[f->stream], &st);
        *out_sock = host->wasi_env.std[f->stream].fd;
    }
    return !S_ISSOCK(st.st_mode)     ? CIS_WASI_NOTSOCK
           : !cis_wasi_may(f, right) ? CIS_WASI_NOTCAPABLE
                                     : CIS_WASI_OK;
}

/* The place in the table comes first: a connection that was accepted is not lost for want of one.
 */
static cis_code accept_into(cis_engine_instance *instance, union cis_slot *io, struct cis_wasi *w,
                            int listener, bool nowait, struct cis_error *err)
{
    struct cis_wasi_fd entry = {.kind = CIS_WASI_SOCKET,
                                .flags = (uint16_t)io[1].u32,
                                .borrowed = true,
                                .sock = -1,
                                .rights = CIS_WASI_RIGHTS_SOCKET};
    uint32_t fd, out = io[2].u32;
    int rc = cis_wasi_add(w, &entry, &fd), sock = -1;
    if (rc != 0) {
        return cis_wasi_answer(io, cis_wasi_errno_of(rc));
    }
    cis_code code =
        cis_host_accept(cis_host_of(instance), instance, listener, nowait, &sock, &rc, err);
    if (code != CIS_OK || rc != 0) {
        cis_wasi_close(w, fd);
        CIS_TRY(code);
        return cis_wasi_answer(io, cis_wasi_errno_of(rc));
    }
    struct cis_wasi_fd *placed = cis_wasi_at(w, fd);
    placed->sock = sock;
    placed->borrowed = false;
    cis_wasi_put32(instance, out, fd);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_sock_accept(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(instance, &w, err));
    struct cis_wasi_fd *f = cis_wasi_at(w, io[0].u32);
    int listener;
    enum cis_wasi_errno error =
        socket_of(cis_host_of(instance), f, CIS_WASI_RIGHT_ACCEPT, &listener);
    if (error == CIS_WASI_OK && (io[1].u32 & ~CIS_WASI_FDFLAG_NONBLOCK) != 0) {
        error = CIS_WASI_INVAL;
    }
    if (error == CIS_WASI_OK && !cis_engine_instance_holds(instance, io[2].u32, 4)) {
        error = CIS_WASI_FAULT;
    }
    return error != CIS_WASI_OK ? cis_wasi_answer(io, error)
                                : accept_into(instance, io, w, listener,
                                              (f->flags & CIS_WASI_FDFLAG_NONBLOCK) != 0, err);
}

/* Flags first, then pointers, then what the socket says: nothing is moved before all is checked. */
static cis_code move(cis_engine_instance *instance, union cis_slot *io, bool write,
                     struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    struct iovec iov[CIS_WASI_IOVS_MAX];
    struct cis_stream_move m = {.iov = iov, .offset = CIS_STREAM_HERE};
    uint32_t total, flags = io[3].u32, out_len = io[4].u32, out_flags = io[5].u32;
    int sock;
    enum cis_wasi_errno error = socket_of(
        cis_host_of(instance), f, write ? CIS_WASI_RIGHT_WRITE : CIS_WASI_RIGHT_READ, &sock);
    if (error == CIS_WASI_OK && (flags & ~(write ? 0 : PEEK | WAITALL)) != 0) {
        error = CIS_WASI_INVAL;
    }
    if (error == CIS_WASI_OK) {
        error = cis_wasi_buffers(instance, io[1].u32, io[2].u32, !write, iov, &m.niov, &total);
    }
    if (error == CIS_WASI_OK && (!cis_engine_instance_holds(instance, out_len, 4) ||
                                 (!write && !cis_engine_instance_holds(instance, out_flags, 2)))) {
        error = CIS_WASI_FAULT;
    }
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    m.flags = ((flags & PEEK) != 0 ? MSG_PEEK : 0) | ((flags & WAITALL) != 0 ? MSG_WAITALL : 0);
    CIS_TRY(cis_engine_instance_burn(instance, write ? total / CIS_WASI_BYTES_A_FUEL : 0, err));
    CIS_TRY(cis_wasi_stream_move(instance, f, write, &m, err));
    CIS_TRY(cis_engine_instance_burn(instance, write ? 0 : m.n / CIS_WASI_BYTES_A_FUEL, err));
    if (m.error == 0) {
        cis_wasi_put32(instance, out_len, (uint32_t)m.n);
    }
    if (m.error == 0 && !write) {
        cis_put_le16(cis_engine_instance_out(instance, out_flags, 2), m.cut ? DATA_TRUNCATED : 0);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(m.error));
}

cis_code cis_wasi_sock_recv(cis_engine_instance *instance, union cis_slot *io,
                            struct cis_error *err)
{
    return move(instance, io, false, err);
}

cis_code cis_wasi_sock_send(cis_engine_instance *instance, union cis_slot *io,
                            struct cis_error *err)
{
    return move(instance, io, true, err);
}

cis_code cis_wasi_sock_shutdown(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    static const int ways[] = {-1, SHUT_RD, SHUT_WR, SHUT_RDWR};
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    int sock;
    enum cis_wasi_errno error = socket_of(cis_host_of(instance), f, CIS_WASI_RIGHT_SHUTDOWN, &sock);
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    if (io[1].u32 == 0 || io[1].u32 > 3) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if (f->kind == CIS_WASI_LISTENER) {
        /* It would end for everybody who accepts from it. */
        return cis_wasi_answer(io, CIS_WASI_NOTCONN);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(cis_host_shutdown(sock, ways[io[1].u32])));
}
