/* poll_oneoff. Subscriptions and events stay in the guest's memory, so that a million of them cost
 * the host nothing but time, and the deadline is looked at while they are read: once to learn what
 * is ready and what to wait for, once to tell. Only descriptors of the host that may have to be
 * waited for are collected, each once; everything else is ready at once, as files are for poll(2).
 */
#include <poll.h>
#include <sys/ioctl.h>
#include "base/clock.h"
#include "base/mem.h"
#include "wasi/p1/internal.h"

#define LOOK_EVERY 4096u
#define FEW 32u      /* descriptors that need no memory of their own */
#define MANY 4096u   /* more in one call are EINVAL, as more than RLIMIT_NOFILE are for poll(2) */
#define PLACES 8192u /* of the table that finds them: a power of two */
#define ANY_BYTES 4096u /* what a pipe that is writable takes at once */

#define READ_EVENTS (POLLIN | POLLRDHUP)
#define END_EVENTS (POLLHUP | POLLERR | POLLNVAL)

/* ---- descriptors of the host, each once ---- */

struct pollset {
    struct pollfd few[FEW + 1]; /* room for the run's own, as cis_stop_wait_many wants it */
    struct pollfd *fds;
    uint16_t *places; /* index + 1 in fds by hash; NULL while there are few */
    uint32_t n;
    struct cis_budget *budget;
};
#define MANY_BYTES ((MANY + 1) * sizeof(struct pollfd) + PLACES * sizeof(uint16_t))

static void pollset_done(struct pollset *set)
{
    if (set->places != NULL) {
        cis_free(set->fds);
        cis_free(set->places);
        cis_budget_release(set->budget, MANY_BYTES);
    }
}

static uint16_t *place_of(const struct pollset *set, int fd)
{
    uint32_t at = (uint32_t)fd * 2654435761u >> 19;
    while (set->places[at] != 0 && set->fds[set->places[at] - 1].fd != fd) {
        at = (at + 1) & (PLACES - 1);
    }
    return &set->places[at];
}

static struct pollfd *pollset_find(const struct pollset *set, int fd)
{
    if (set->places != NULL) {
        uint16_t place = *place_of(set, fd);
        return place != 0 ? &set->fds[place - 1] : NULL;
    }
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->fds[i].fd == fd) {
            return &set->fds[i];
        }
    }
    return NULL;
}

static enum cis_wasi_errno pollset_grow(struct pollset *set)
{
    if (cis_budget_charge(set->budget, MANY_BYTES, "poll_oneoff", NULL) != CIS_OK) {
        return CIS_WASI_NOMEM;
    }
    struct pollfd *fds = cis_calloc(MANY + 1, sizeof *fds);
    uint16_t *places = cis_calloc(PLACES, sizeof *places);
    if (fds == NULL || places == NULL) {
        cis_free(fds);
        cis_free(places);
        cis_budget_release(set->budget, MANY_BYTES);
        return CIS_WASI_NOMEM;
    }
    memcpy(fds, set->few, set->n * sizeof *fds);
    set->fds = fds;
    set->places = places;
    for (uint32_t i = 0; i < set->n; i++) {
        *place_of(set, fds[i].fd) = (uint16_t)(i + 1);
    }
    return CIS_WASI_OK;
}

static enum cis_wasi_errno pollset_add(struct pollset *set, int fd, short events)
{
    struct pollfd *known = pollset_find(set, fd);
    if (known != NULL) {
        known->events |= events;
        return CIS_WASI_OK;
    }
    if (set->n == MANY) {
        return CIS_WASI_INVAL;
    }
    if (set->n == FEW && set->places == NULL) {
        enum cis_wasi_errno error = pollset_grow(set);
        if (error != CIS_WASI_OK) {
            return error;
        }
    }
    if (set->places != NULL) {
        *place_of(set, fd) = (uint16_t)(set->n + 1);
    }
    set->fds[set->n++] = (struct pollfd){.fd = fd, .events = events};
    return CIS_WASI_OK;
}

/* ---- subscriptions ---- */

struct layout { /* where the two modules put what */
    size_t size, id, timeout, flags;
};

static const struct layout layout_new = {sizeof(struct cis_wasi_subscription),
                                         offsetof(struct cis_wasi_subscription, of.clock.id),
                                         offsetof(struct cis_wasi_subscription, of.clock.timeout),
                                         offsetof(struct cis_wasi_subscription, of.clock.flags)};
static const struct layout layout_old = {
    sizeof(struct cis_wasi_subscription_old),
    offsetof(struct cis_wasi_subscription_old, of.clock.id),
    offsetof(struct cis_wasi_subscription_old, of.clock.timeout),
    offsetof(struct cis_wasi_subscription_old, of.clock.flags)};

struct wish { /* one subscription, read */
    uint8_t tag;
    enum cis_wasi_errno error;
    uint64_t at_ns; /* clock: when, on the host's monotonic clock; else 0: ready */
    int fd;         /* of the host, to be waited for; -1: none */
    uint64_t nbytes;
    uint16_t flags;
};

struct times { /* one look at the clocks for the whole call */
    uint64_t mono, guest_mono, guest_real;
};

static void read_clock(const struct layout *l, const uint8_t *sub, const struct times *t,
                       struct wish *w)
{
    uint64_t timeout = cis_le64(sub + l->timeout);
    uint32_t clock = cis_le32(sub + l->id);
    uint16_t flags = cis_le16(sub + l->flags);
    if (clock > CIS_WASI_CLOCK_MONOTONIC || flags > CIS_WASI_CLOCK_ABSTIME) {
        /* The CPU clocks stand still while their guest waits. */
        w->error = clock <= CIS_WASI_CLOCK_THREAD && flags <= CIS_WASI_CLOCK_ABSTIME
                       ? CIS_WASI_NOTSUP
                       : CIS_WASI_INVAL;
        return;
    }
    if ((flags & CIS_WASI_CLOCK_ABSTIME) != 0) {
        uint64_t now = clock == CIS_WASI_CLOCK_REALTIME ? t->guest_real : t->guest_mono;
        timeout = timeout > now ? timeout - now : 0;
    }
    w->at_ns = cis_clock_after(t->mono, timeout);
}

static void read_stream(const struct cis_host *host, const struct cis_host_stream *stream,
                        struct wish *w)
{
    struct cis_stream_ready ready;
    w->fd = cis_host_stream_poll(host, stream, w->tag == CIS_WASI_EVENT_WRITE, &ready);
    w->error = cis_wasi_errno_of(ready.error);
    w->nbytes = ready.nbytes;
    w->flags = ready.hangup ? CIS_WASI_EVENT_HANGUP : 0;
}

static void read_fd(const struct cis_host *host, uint32_t number, struct wish *w)
{
    const struct cis_wasi_fd *f = cis_wasi_at(host->wasi, number);
    if (f != NULL && !cis_wasi_may(f, CIS_WASI_RIGHT_POLL)) {
        w->error = CIS_WASI_NOTCAPABLE;
        return;
    }
    switch (f != NULL ? (enum cis_wasi_kind)f->kind : CIS_WASI_FREE) {
    case CIS_WASI_STREAM:
        read_stream(host, &host->wasi_env.std[f->stream], w);
        break;
    case CIS_WASI_LISTENER:
    case CIS_WASI_SOCKET:
        w->fd = f->sock;
        break;
    case CIS_WASI_DIR:
    case CIS_WASI_FILE:
        w->nbytes = ANY_BYTES;
        break;
    case CIS_WASI_FREE:
    case CIS_WASI_CLOSED:
        w->error = CIS_WASI_BADF;
        break;
    }
}

/* False: an event type that does not exist. */
static bool read_wish(cis_engine_instance *instance, const struct layout *l, const uint8_t *sub,
                      const struct times *t, struct wish *w)
{
    *w = (struct wish){.tag = sub[offsetof(struct cis_wasi_subscription, tag)], .fd = -1};
    if (w->tag > CIS_WASI_EVENT_WRITE) {
        return false;
    }
    if (w->tag == CIS_WASI_EVENT_CLOCK) {
        read_clock(l, sub, t, w);
    } else {
        read_fd(cis_host_of(instance), cis_le32(sub + offsetof(struct cis_wasi_subscription, of)),
                w);
    }
    return true;
}

static void put_event(uint8_t *out, const uint8_t *sub, const struct wish *w)
{
    uint64_t userdata = cis_le64(sub); /* before writing: the arrays may overlap */
    memset(out, 0, sizeof(struct cis_wasi_event));
    cis_put_le64(out, userdata);
    cis_put_le16(out + offsetof(struct cis_wasi_event, error), (uint16_t)w->error);
    out[offsetof(struct cis_wasi_event, type)] = w->tag;
    cis_put_le64(out + offsetof(struct cis_wasi_event, nbytes), w->nbytes);
    cis_put_le16(out + offsetof(struct cis_wasi_event, flags), w->flags);
}

/* ---- the call ---- */

struct poll {
    const struct layout *layout;
    uint32_t subs, events, n;
    struct times times;
    uint64_t earliest; /* of the clocks; 0: something is ready */
    struct pollset set;
};

/* Reads all subscriptions. *out_error: the call fails as a whole. */
static cis_code scan(cis_engine_instance *instance, struct poll *p, enum cis_wasi_errno *out_error,
                     struct cis_error *err)
{
    const uint8_t *subs =
        cis_engine_instance_at(instance, p->subs, (uint64_t)p->n * p->layout->size);
    p->earliest = CIS_NEVER;
    for (uint32_t i = 0; i < p->n; i++) {
        struct wish w;
        if (!read_wish(instance, p->layout, subs + (size_t)i * p->layout->size, &p->times, &w)) {
            *out_error = CIS_WASI_INVAL;
            return CIS_OK;
        }
        if (w.fd >= 0) {
            short events = w.tag == CIS_WASI_EVENT_READ ? READ_EVENTS : POLLOUT;
            *out_error = pollset_add(&p->set, w.fd, events);
            if (*out_error != CIS_WASI_OK) {
                return CIS_OK;
            }
        } else {
            p->earliest = w.at_ns < p->earliest ? w.at_ns : p->earliest;
        }
        if (i % LOOK_EVERY == LOOK_EVERY - 1) {
            CIS_TRY(cis_stop_check(cis_engine_instance_stop(instance), "poll_oneoff", err));
        }
    }
    return CIS_OK;
}

/* What poll(2) found of one subscription's descriptor; false: nothing. */
static bool found(const struct pollset *set, struct wish *w)
{
    const struct pollfd *p = pollset_find(set, w->fd);
    bool reads = w->tag == CIS_WASI_EVENT_READ;
    if (p == NULL || (p->revents & ((reads ? READ_EVENTS : POLLOUT) | END_EVENTS)) == 0) {
        return false;
    }
    int waiting = 0;
    if ((p->revents & POLLNVAL) != 0) {
        w->error = CIS_WASI_BADF;
    } else if (!reads) {
        w->nbytes = ANY_BYTES;
    } else if (ioctl(w->fd, FIONREAD, &waiting) == 0 && waiting > 0) {
        w->nbytes = (uint64_t)waiting;
    } else { /* a listener has no bytes, but a connection */
        w->nbytes = (p->revents & POLLIN) != 0 && (p->revents & (POLLRDHUP | POLLHUP)) == 0;
    }
    bool ended = (p->revents & (POLLHUP | POLLERR | (reads ? POLLRDHUP : 0))) != 0;
    w->flags = ended ? CIS_WASI_EVENT_HANGUP : 0;
    return true;
}

static cis_code report(cis_engine_instance *instance, const struct poll *p, uint64_t now,
                       uint32_t *out_n, struct cis_error *err)
{
    const uint8_t *subs =
        cis_engine_instance_at(instance, p->subs, (uint64_t)p->n * p->layout->size);
    uint8_t *events = cis_engine_instance_out(instance, p->events,
                                              (uint64_t)p->n * sizeof(struct cis_wasi_event));
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        struct wish w;
        const uint8_t *sub = subs + (size_t)i * p->layout->size;
        if (read_wish(instance, p->layout, sub, &p->times, &w) &&
            (w.fd >= 0 ? found(&p->set, &w) : w.at_ns <= now)) {
            put_event(events + (size_t)n * sizeof(struct cis_wasi_event), sub, &w);
            n++;
        }
        if (i % LOOK_EVERY == LOOK_EVERY - 1) {
            CIS_TRY(cis_stop_check(cis_engine_instance_stop(instance), "poll_oneoff", err));
        }
    }
    cis_engine_instance_wrote(instance, (uint64_t)n * sizeof(struct cis_wasi_event));
    *out_n = n;
    return CIS_OK;
}

/* Until something is ready, without a CPU slot; not at all when something is. */
static cis_code await(cis_engine_instance *instance, struct poll *p, struct cis_error *err)
{
    size_t ready;
    if (poll(p->set.fds, p->set.n, 0) > 0 || p->earliest <= p->times.mono) {
        return CIS_OK;
    }
    cis_engine_instance_block(instance);
    cis_code waited = cis_stop_wait_many(cis_engine_instance_stop(instance), p->set.fds, p->set.n,
                                         p->earliest, "poll_oneoff", &ready, err);
    cis_code back = cis_engine_instance_unblock(instance, waited == CIS_OK ? err : NULL);
    return waited != CIS_OK ? waited : back;
}

static cis_code poll_all(cis_engine_instance *instance, union cis_slot *io, struct poll *p,
                         struct cis_error *err)
{
    uint32_t out = io[3].u32, n = 0;
    enum cis_wasi_errno error = CIS_WASI_OK;
    CIS_TRY(scan(instance, p, &error, err));
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    CIS_TRY(await(instance, p, err));
    CIS_TRY(report(instance, p, cis_clock_mono_ns(), &n, err));
    cis_wasi_put32(instance, out, n);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

static cis_code poll_with(cis_engine_instance *instance, union cis_slot *io,
                          const struct layout *layout, struct cis_error *err)
{
    struct poll p = {.layout = layout, .subs = io[0].u32, .events = io[1].u32, .n = io[2].u32};
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(instance, &w, err));
    if (p.n == 0) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if (!cis_engine_instance_holds(instance, p.subs, (uint64_t)p.n * layout->size) ||
        !cis_engine_instance_holds(instance, p.events,
                                   (uint64_t)p.n * sizeof(struct cis_wasi_event)) ||
        !cis_engine_instance_holds(instance, io[3].u32, 4)) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    CIS_TRY(cis_engine_instance_burn(instance, p.n, err));
    cis_wasi_now(instance, CIS_WASI_CLOCK_MONOTONIC, &p.times.guest_mono);
    cis_wasi_now(instance, CIS_WASI_CLOCK_REALTIME, &p.times.guest_real);
    p.times.mono = cis_clock_mono_ns(); /* last: what passes between them must not end it early */
    p.set.fds = p.set.few;
    p.set.budget = cis_engine_instance_budget(instance);
    cis_code code = poll_all(instance, io, &p, err);
    pollset_done(&p.set);
    return code;
}

cis_code cis_wasi_poll_oneoff(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    return poll_with(instance, io, &layout_new, err);
}

cis_code cis_wasi_poll_oneoff_old(cis_engine_instance *instance, union cis_slot *io,
                                  struct cis_error *err)
{
    return poll_with(instance, io, &layout_old, err);
}
