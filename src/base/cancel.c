#include "base/cancel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

struct cis_cancel {
    atomic_int fired;
    atomic_uint refs;
    atomic_int fd; /* -1: not made yet */
    pthread_mutex_t lock;
};

cis_code cis_cancel_new(cis_cancel **out_cancel, struct cis_error *err)
{
    cis_cancel *c = cis_zalloc(sizeof *c);
    if (c == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "cancellation token: out of memory");
    }
    atomic_init(&c->refs, 1);
    atomic_init(&c->fd, -1);
    pthread_mutex_init(&c->lock, NULL);
    *out_cancel = c;
    return CIS_OK;
}

cis_cancel *cis_cancel_ref(cis_cancel *cancel)
{
    if (cancel != NULL) {
        atomic_fetch_add_explicit(&cancel->refs, 1, memory_order_relaxed);
    }
    return cancel;
}

void cis_cancel_unref(cis_cancel *cancel)
{
    if (cancel == NULL || atomic_fetch_sub_explicit(&cancel->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    int fd = atomic_load(&cancel->fd);
    if (fd >= 0) {
        close(fd);
    }
    pthread_mutex_destroy(&cancel->lock);
    cis_free(cancel);
}

static void ring(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void cis_cancel_fire(cis_cancel *cancel)
{
    if (cancel == NULL) {
        return;
    }
    cis_mutex_lock(&cancel->lock, base_lock_cancel);
    if (atomic_exchange(&cancel->fired, 1) == 0) {
        int fd = atomic_load(&cancel->fd);
        if (fd >= 0) {
            ring(fd);
        }
    }
    cis_mutex_unlock(&cancel->lock, base_lock_cancel);
}

bool cis_cancel_fired(const cis_cancel *cancel)
{
    return cancel != NULL && atomic_load_explicit(&cancel->fired, memory_order_acquire) != 0;
}

int cis_cancel_fd(cis_cancel *cancel)
{
    if (cancel == NULL) {
        return -1;
    }
    int fd = atomic_load_explicit(&cancel->fd, memory_order_acquire);
    if (fd >= 0) {
        return fd;
    }
    cis_mutex_lock(&cancel->lock, base_lock_cancel);
    fd = atomic_load(&cancel->fd);
    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd >= 0) {
            if (atomic_load(&cancel->fired) != 0) {
                ring(fd);
            }
            atomic_store_explicit(&cancel->fd, fd, memory_order_release);
        }
    }
    cis_mutex_unlock(&cancel->lock, base_lock_cancel);
    return fd;
}

cis_code cis_stop_check(const struct cis_stop *stop, const char *what, struct cis_error *err)
{
    if (cis_cancel_fired(stop->cancel)) {
        return cis_fail(err, CIS_E_CANCELLED, "%s: cancelled", what);
    }
    if (stop->deadline_ns != CIS_NEVER && cis_clock_mono_ns() >= stop->deadline_ns) {
        return cis_fail(err, CIS_E_DEADLINE, "%s: time limit reached", what);
    }
    return CIS_OK;
}

cis_code cis_stop_wait(const struct cis_stop *stop, int fd, short events, const char *what,
                       struct cis_error *err)
{
    struct pollfd fds[2] = {{.fd = fd, .events = events}};
    size_t ready;
    return cis_stop_wait_many(stop, fds, 1, CIS_NEVER, what, &ready, err);
}

/* How long a wait may last: NULL for ever. */
static const struct timespec *span_until(uint64_t at_ns, struct timespec *out)
{
    if (at_ns == CIS_NEVER) {
        return NULL;
    }
    uint64_t now = cis_clock_mono_ns();
    uint64_t ns = at_ns > now ? at_ns - now : 0;
    *out = (struct timespec){.tv_sec = (time_t)(ns / CIS_NS_PER_S),
                             .tv_nsec = (long)(ns % CIS_NS_PER_S)};
    return out;
}

cis_code cis_stop_wait_many(const struct cis_stop *stop, struct pollfd *fds, size_t n,
                            uint64_t until_ns, const char *what, size_t *out_ready,
                            struct cis_error *err)
{
    int bell = cis_cancel_fd(stop->cancel);
    uint64_t end = until_ns < stop->deadline_ns ? until_ns : stop->deadline_ns;
    fds[n] = (struct pollfd){.fd = bell, .events = POLLIN};
    for (;;) {
        CIS_TRY(cis_stop_check(stop, what, err));
        uint64_t now = until_ns != CIS_NEVER || bell < 0 ? cis_clock_mono_ns() : 0, look = end;
        if (bell < 0 && stop->cancel != NULL && look > now + 20 * CIS_NS_PER_MS) {
            look = now + 20 * CIS_NS_PER_MS; /* no eventfd to be had: look at the flag often */
        }
        struct timespec span;
        int ready = ppoll(fds, n + (bell >= 0), span_until(look, &span), NULL);
        if (ready < 0 && errno != EINTR) {
            return cis_fail_sys(err, CIS_E_IO, errno, "%s: cannot wait for it (poll)", what);
        }
        if (ready > 0) {
            ready -= bell >= 0 && fds[n].revents != 0;
        }
        if (ready > 0 || (until_ns != CIS_NEVER && cis_clock_mono_ns() >= until_ns)) {
            CIS_TRY(ready > 0 ? CIS_OK : cis_stop_check(stop, what, err));
            *out_ready = ready > 0 ? (size_t)ready : 0;
            return CIS_OK;
        }
    }
}
