/* Reading, writing and accepting until it is done: what stream_fd.c could not move at once is
 * waited for with the CPU slot given back, and the end of the run ends the wait. */
#include "host/stream_in.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include "base/clock.h"

/* ---- buffers ---- */

static void advance(struct cis_stream_move *m, size_t n)
{
    m->n += n;
    if (m->offset != CIS_STREAM_HERE) {
        m->offset += n;
    }
    while (m->niov != 0 && n >= m->iov->iov_len) {
        n -= m->iov->iov_len;
        m->iov++;
        m->niov--;
    }
    if (n != 0) {
        m->iov->iov_base = (char *)m->iov->iov_base + n;
        m->iov->iov_len -= n;
    }
}

static size_t left(const struct cis_stream_move *m)
{
    size_t sum = 0;
    for (int i = 0; i < m->niov; i++) {
        sum += m->iov[i].iov_len;
    }
    return sum;
}

/* ---- waiting ---- */

const struct cis_stop *cis_host_stop(const struct cis_host *host)
{
    static const struct cis_stop never = {.deadline_ns = CIS_NEVER};
    return host->call.stop != NULL ? host->call.stop : &never;
}

/* Waits with the CPU slot given back. */
static cis_code wait_ready(const struct cis_host *host, cis_engine_instance *instance, int fd,
                           short events, const char *what, struct cis_error *err)
{
    cis_host_block(instance);
    cis_code waited = cis_stop_wait(cis_host_stop(host), fd, events, what, err);
    cis_code back = cis_host_unblock(instance, waited == CIS_OK ? err : NULL);
    return waited != CIS_OK ? waited : back;
}

/* A while without a CPU slot: what was ready again and again had nothing to give. */
static cis_code pause_ms(const struct cis_host *host, cis_engine_instance *instance, unsigned ms,
                         const char *what, struct cis_error *err)
{
    struct pollfd none[1];
    size_t ready;
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), ms * CIS_NS_PER_MS);
    cis_host_block(instance);
    cis_code waited = cis_stop_wait_many(cis_host_stop(host), none, 0, until, what, &ready, err);
    cis_code back = cis_host_unblock(instance, waited == CIS_OK ? err : NULL);
    return waited != CIS_OK ? waited : back;
}

struct patience {
    short events;
    unsigned tries; /* in a row that moved nothing although poll said ready */
    const char *what;
};

static cis_code wait_again(const struct cis_host *host, cis_engine_instance *instance, int fd,
                           struct patience *p, struct cis_error *err)
{
    if (p->tries++ > 0) {
        CIS_TRY(pause_ms(host, instance, p->tries < 10 ? p->tries : 10, p->what, err));
    }
    return wait_ready(host, instance, fd, p->events, p->what, err);
}

/* MSG_PEEK with MSG_WAITALL: what is peeked at stays, so that poll says ready all the time. */
static cis_code peek_all(const struct cis_host *host, cis_engine_instance *instance,
                         struct cis_host_stream *s, struct cis_stream_move *m,
                         struct cis_error *err)
{
    struct patience patience = {.events = POLLIN, .what = "sock_recv"};
    size_t want = left(m);
    for (;;) {
        struct pollfd end = {.fd = s->fd, .events = POLLRDHUP};
        bool ended = poll(&end, 1, 0) > 0; /* before looking, so that nothing can come after */
        ssize_t n;
        CIS_TRY(cis_host_fd_step(instance, s, m, false, &n, err));
        if (n >= 0 && ((size_t)n == want || ended)) {
            m->n = (size_t)n;
            return CIS_OK;
        }
        if (n < 0 && ((n != -EAGAIN && n != -EINTR) || m->nowait)) {
            m->error = (int)-n;
            return CIS_OK;
        }
        if (n > 0 && m->nowait) {
            m->n = (size_t)n;
            return CIS_OK;
        }
        CIS_TRY(n <= 0 ? wait_again(host, instance, s->fd, &patience, err)
                       : pause_ms(host, instance, 2, "sock_recv", err));
    }
}

/* ---- the two loops in one ---- */

static bool complete(enum cis_manner manner, const struct cis_stream_move *m, bool write)
{
    bool whole = write || manner == CIS_MANNER_FILE || (m->flags & MSG_WAITALL) != 0;
    return m->niov == 0 || !whole || manner == CIS_MANNER_DATAGRAM;
}

static cis_code move_all(const struct cis_host *host, cis_engine_instance *instance,
                         struct cis_host_stream *s, struct cis_stream_move *m, bool write,
                         struct cis_error *err)
{
    enum cis_manner manner = cis_host_fd_manner(s);
    struct patience patience = {.events = write ? POLLOUT : POLLIN,
                                .what = write ? "fd_write" : "fd_read"};
    if (m->offset != CIS_STREAM_HERE && manner != CIS_MANNER_FILE) {
        m->error = ESPIPE;
        return CIS_OK;
    }
    for (;;) {
        ssize_t n;
        CIS_TRY(cis_host_fd_step(instance, s, m, write, &n, err));
        if (n > 0) {
            patience.tries = 0;
            advance(m, (size_t)n);
        }
        if (n == 0 || (n > 0 && complete(manner, m, write))) {
            return CIS_OK;
        }
        if (n > 0 || n == -EINTR) {
            CIS_TRY(cis_stop_check(cis_host_stop(host), patience.what, err));
        } else if (n == -EAGAIN && !m->nowait) {
            CIS_TRY(wait_again(host, instance, s->fd, &patience, err));
        } else {
            m->error = m->n == 0 ? (int)-n : 0; /* the next call meets it again */
            return CIS_OK;
        }
    }
}

/* Nothing to move is nothing to wait for; of datagrams an empty one is one. */
static bool nothing(struct cis_host_stream *s, const struct cis_stream_move *m)
{
    return left(m) == 0 && cis_host_fd_manner(s) != CIS_MANNER_DATAGRAM;
}

cis_code cis_host_fd_read(const struct cis_host *host, cis_engine_instance *instance,
                          struct cis_host_stream *s, struct cis_stream_move *move,
                          struct cis_error *err)
{
    if (nothing(s, move)) {
        return CIS_OK;
    }
    bool both = (move->flags & MSG_PEEK) != 0 && (move->flags & MSG_WAITALL) != 0;
    return both && cis_host_fd_manner(s) == CIS_MANNER_SOCKET
               ? peek_all(host, instance, s, move, err)
               : move_all(host, instance, s, move, false, err);
}

cis_code cis_host_fd_write(const struct cis_host *host, cis_engine_instance *instance,
                           struct cis_host_stream *s, struct cis_stream_move *move,
                           struct cis_error *err)
{
    return nothing(s, move) ? CIS_OK : move_all(host, instance, s, move, true, err);
}

cis_code cis_host_accept(struct cis_host *host, cis_engine_instance *instance, int listener,
                         bool nowait, int *out_fd, int *out_error, struct cis_error *err)
{
    struct patience patience = {.events = POLLIN, .what = "sock_accept"};
    int listens = 0;
    socklen_t len = sizeof listens;
    if (getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens == 0) {
        *out_error = EINVAL; /* else its bytes would be waited for first */
        return CIS_OK;
    }
    for (;;) {
        struct pollfd now = {.fd = listener, .events = POLLIN};
        errno = EAGAIN;
        int fd = poll(&now, 1, 0) <= 0
                     ? -1
                     : accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            *out_fd = fd;
            *out_error = 0;
            return CIS_OK;
        }
        if (errno == EINTR || errno == ECONNABORTED) {
            CIS_TRY(cis_stop_check(cis_host_stop(host), patience.what, err));
        } else if (errno == EAGAIN && !nowait) {
            CIS_TRY(wait_again(host, instance, listener, &patience, err));
        } else {
            *out_error = errno;
            return CIS_OK;
        }
    }
}

int cis_host_shutdown(int sock, int how)
{
    return shutdown(sock, how) == 0 ? 0 : errno;
}
