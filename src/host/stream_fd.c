/* Live descriptors. A guest that reads or writes must end with its run, so no call here may be
 * stuck in the kernel: it waits in poll(2), and then moves what can be moved at once.
 *
 * Others share the open file, so O_NONBLOCK cannot be set on it, and that poll found it ready does
 * not mean that it still is. Sockets can be asked per call (MSG_DONTWAIT). So can pipes since Linux
 * 6.4 (RWF_NOWAIT); before, and for terminals, the same pipe or terminal is opened again through
 * /proc for the one call, non-blocking, which concerns nobody else. Where that fails (no /proc,
 * another user's terminal) small pieces are moved after a poll, as well as that goes. Files never
 * wait for anybody; they are moved in pieces between which the deadline is looked at. */
#include "host/stream_in.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/clock.h"

#define FILE_STEP ((size_t)8 << 20) /* some milliseconds */
#define OTHER_STEP ((size_t)256)    /* what a terminal that says it is writable takes at once */
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100 /* since Linux 6.18 */
#endif
#define MEMORY_DEVICES 1u /* major number of /dev/null, zero, full, random */

bool cis_host_stream_datagrams(const struct cis_host_stream *s)
{
    int type = SOCK_STREAM;
    socklen_t len = sizeof type;
    return s->kind == CIS_STREAM_FD && getsockopt(s->fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type != SOCK_STREAM;
}

static enum cis_manner look(const struct cis_host_stream *s)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0) {
        return CIS_MANNER_FILE; /* it will say EBADF */
    }
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFBLK:
        return CIS_MANNER_FILE;
    case S_IFIFO:
        return CIS_MANNER_PIPE;
    case S_IFSOCK:
        return cis_host_stream_datagrams(s) ? CIS_MANNER_DATAGRAM : CIS_MANNER_SOCKET;
    case S_IFCHR:
        if (major(st.st_rdev) == MEMORY_DEVICES) {
            return CIS_MANNER_FILE;
        }
        /* Opening a terminal's controlling side again would make another terminal. */
        return s->terminal && st.st_rdev != makedev(5, 2) ? CIS_MANNER_APART : CIS_MANNER_OTHER;
    default:
        return CIS_MANNER_OTHER;
    }
}

enum cis_manner cis_host_fd_manner(struct cis_host_stream *s)
{
    if (s->manner == CIS_MANNER_NEW) {
        s->manner = (uint8_t)look(s);
    }
    return (enum cis_manner)s->manner;
}

/* ---- SIGPIPE and SIGXFSZ, which a write would raise in this thread ---- */

/* Files raise one only at a limit, and mostly there is none. */
static bool file_limited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

struct quiet {
    sigset_t before;
    bool had_pipe, had_size; /* pending before */
};

static void quiet_begin(struct quiet *q)
{
    sigset_t both, pending;
    sigemptyset(&both);
    sigaddset(&both, SIGPIPE);
    sigaddset(&both, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &both, &q->before);
    bool blocked = sigismember(&q->before, SIGPIPE) > 0 || sigismember(&q->before, SIGXFSZ) > 0;
    sigemptyset(&pending);
    if (blocked) { /* else none can be pending */
        sigpending(&pending);
    }
    q->had_pipe = sigismember(&pending, SIGPIPE) > 0;
    q->had_size = sigismember(&pending, SIGXFSZ) > 0;
}

static void quiet_end(const struct quiet *q, ssize_t result)
{
    bool pipe = result == -EPIPE && !q->had_pipe, size = result == -EFBIG && !q->had_size;
    if (pipe || size) {
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, pipe ? SIGPIPE : SIGXFSZ);
        const struct timespec now = {0};
        while (sigtimedwait(&one, NULL, &now) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &q->before, NULL);
}

/* ---- one system call. Bytes, or an errno below zero ---- */

struct piece {
    int fd;
    bool write;
    const struct iovec *iov;
    int niov;
    uint64_t offset;
    int rwf;   /* RWF_NOWAIT, RWF_NOSIGNAL, RWF_APPEND */
    bool loud; /* a write may raise a signal */
};

static ssize_t move_piece(const struct piece *p)
{
    off_t at = p->offset == CIS_STREAM_HERE ? -1 : (off_t)p->offset;
    struct quiet quiet;
    if (!p->write) {
        ssize_t n = preadv2(p->fd, p->iov, p->niov, at, p->rwf);
        return n < 0 ? -errno : n;
    }
    if (p->loud) {
        quiet_begin(&quiet);
    }
    ssize_t n = pwritev2(p->fd, p->iov, p->niov, at, p->rwf);
    n = n < 0 ? -errno : n;
    if (p->loud) {
        quiet_end(&quiet, n);
    }
    return n;
}

static ssize_t move_polled(struct piece *p)
{
    struct pollfd now = {.fd = p->fd, .events = p->write ? POLLOUT : POLLIN};
    if (poll(&now, 1, 0) <= 0) {
        return -EAGAIN;
    }
    struct iovec few = p->iov[0];
    if (p->write) {
        few.iov_len = few.iov_len < OTHER_STEP ? few.iov_len : OTHER_STEP;
        p->iov = &few;
        p->niov = 1;
    }
    return move_piece(p);
}

/* Only in the direction that the descriptor itself is open in: its pipe or terminal would let the
 * process do more. */
static ssize_t move_apart(struct piece *p)
{
    char path[64];
    int shared = p->fd, mode = fcntl(p->fd, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == (p->write ? O_RDONLY : O_WRONLY)) {
        return -EBADF;
    }
    snprintf(path, sizeof path, "/proc/thread-self/fd/%d", p->fd);
    p->fd = open(path, (p->write ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (p->fd < 0) {
        bool no_reader = errno == ENXIO && p->write;
        p->fd = shared;
        return no_reader ? -EPIPE : move_polled(p);
    }
    ssize_t n = move_piece(p);
    close(p->fd);
    p->fd = shared;
    return n;
}

static bool unknown(ssize_t n)
{
    return n == -EOPNOTSUPP || n == -ENOSYS || n == -EPERM;
}

static ssize_t move_file(struct piece *p, bool append)
{
    p->loud = p->write && file_limited();
    p->rwf = p->write && append ? RWF_APPEND : 0;
    ssize_t n = move_piece(p);
    if (p->rwf != 0 && unknown(n)) { /* before Linux 4.16: in two steps */
        p->rwf = 0;
        p->offset = CIS_STREAM_HERE;
        n = lseek(p->fd, 0, SEEK_END) < 0 ? -errno : move_piece(p);
    }
    return n;
}

/* What this kernel cannot be asked for is found out once for a stream. */
static ssize_t move_pipe(struct piece *p, struct cis_host_stream *s)
{
    if (p->write && s->manner == CIS_MANNER_PIPE) {
        p->rwf = RWF_NOWAIT | RWF_NOSIGNAL;
        p->loud = false;
        ssize_t n = move_piece(p);
        if (!unknown(n)) {
            return n;
        }
        s->manner = CIS_MANNER_PIPE_LOUD;
        p->loud = true;
    }
    p->rwf = RWF_NOWAIT;
    ssize_t n = move_piece(p);
    if (unknown(n)) {
        s->manner = CIS_MANNER_APART;
        p->rwf = 0;
        return move_apart(p);
    }
    return n;
}

static ssize_t move_socket(const struct piece *p, struct cis_stream_move *move)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)p->iov, .msg_iovlen = (size_t)p->niov};
    if (p->write) {
        ssize_t n = sendmsg(p->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        return n < 0 ? -errno : n;
    }
    ssize_t n = recvmsg(p->fd, &m, MSG_DONTWAIT | (move->flags & MSG_PEEK));
    move->cut = n >= 0 && (m.msg_flags & MSG_TRUNC) != 0;
    return n < 0 ? -errno : n;
}

/* What one system call may move; of a single buffer a part. */
static void take(const struct cis_stream_move *m, size_t most, struct iovec *part, struct piece *p)
{
    size_t sum = 0;
    p->iov = m->iov;
    for (p->niov = 0; p->niov < m->niov && m->iov[p->niov].iov_len <= most - sum; p->niov++) {
        sum += m->iov[p->niov].iov_len;
    }
    if (p->niov == 0 && m->niov != 0) { /* none at all: an empty datagram */
        *part = (struct iovec){m->iov->iov_base, most};
        p->iov = part;
        p->niov = 1;
    }
}

cis_code cis_host_fd_step(cis_engine_instance *instance, struct cis_host_stream *s,
                          struct cis_stream_move *m, bool write, ssize_t *out_n,
                          struct cis_error *err)
{
    struct piece p = {.fd = s->fd, .write = write, .offset = m->offset, .loud = true};
    struct iovec part;
    enum cis_manner manner = cis_host_fd_manner(s);
    take(m, manner == CIS_MANNER_FILE ? FILE_STEP : SIZE_MAX, &part, &p);
    switch (manner) {
    case CIS_MANNER_FILE:
        cis_host_block(instance);
        *out_n = move_file(&p, m->append);
        return cis_host_unblock(instance, err);
    case CIS_MANNER_PIPE:
    case CIS_MANNER_PIPE_LOUD:
        *out_n = move_pipe(&p, s);
        return CIS_OK;
    case CIS_MANNER_APART:
        *out_n = move_apart(&p);
        return CIS_OK;
    case CIS_MANNER_SOCKET:
    case CIS_MANNER_DATAGRAM:
        *out_n = move_socket(&p, m);
        return CIS_OK;
    case CIS_MANNER_OTHER:
    case CIS_MANNER_NEW:
        break;
    }
    *out_n = move_polled(&p);
    return CIS_OK;
}

int cis_host_stream_resize(struct cis_host_stream *s, uint64_t size)
{
    if (s->kind != CIS_STREAM_FD || size > INT64_MAX) {
        return s->kind == CIS_STREAM_CLOSED ? EBADF : EINVAL;
    }
    int flags = fcntl(s->fd, F_GETFL);
    if (flags < 0 || (flags & O_APPEND) != 0) { /* open for adding to it: what is there stays */
        return flags < 0 ? errno : EPERM;
    }
    struct quiet quiet;
    quiet_begin(&quiet);
    ssize_t n = ftruncate(s->fd, (off_t)size) == 0 ? 0 : -errno;
    quiet_end(&quiet, n);
    return (int)-n;
}
