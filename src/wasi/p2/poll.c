/* wasi:io/poll: clocks, streams and sources in one wait. Files are ready at once, as they are for
 * poll(2). Sources that have something under way are waited for beside what was asked. */
#include <poll.h>
#include "base/clock.h"
#include "wasi/p2/source.h"

#define NO_SLOT UINT32_MAX
#define END_EVENTS (POLLERR | POLLHUP | POLLNVAL)

/* Places in fds are given to descriptors, each once however many ask: poll(2) takes no more than
 * the process may open, and a guest may have many more pollables. */
struct waiting {
    const uint32_t *reps; /* NULL: one source instead */
    struct p2_source *source;
    enum p2_way way;
    size_t n;
    uint32_t *slots;    /* n of them: where in fds; NO_SLOT: without a descriptor */
    struct pollfd *fds; /* nfds, and a free place */
    size_t nfds;
    uint64_t earliest; /* of what is asked; not after now: something is ready */
    uint64_t due;      /* of the busy ones */
};

/* What the i-th waits for; *out_source NULL: no source. */
static struct p2_wish wish_of(cis_engine_instance *instance, const struct waiting *w, size_t i,
                              struct p2_source **out_source, enum p2_way *out_way)
{
    struct p2_wish wish = {.fd = -1};
    const struct p2_thing *p = w->reps != NULL ? cis_p2_at(instance, w->reps[i]) : NULL;
    struct p2_source *source = p != NULL ? p->source : w->source;
    *out_source = source;
    *out_way = p != NULL ? (enum p2_way)p->poll.way : w->way;
    if (source != NULL) {
        source->ops->wish(source, *out_way, &wish);
    } else if (p->poll.stream != 0) {
        const struct cis_host *host = cis_host_of(instance);
        struct cis_stream_ready ready;
        wish.fd = cis_host_stream_poll(host, &host->wasi_env.std[p->poll.stream - 1],
                                       p->poll.writes, &ready);
        wish.events = p->poll.writes ? POLLOUT : POLLIN | POLLRDHUP;
    } else {
        wish.at_ns = p->poll.at_ns;
    }
    return wish;
}

/* When a wish comes by itself. */
static uint64_t time_of(const struct p2_wish *wish)
{
    return wish->fd >= 0 && wish->at_ns == 0 ? CIS_NEVER : wish->at_ns;
}

/* *known: where its descriptor was put before, if it was in this round; NO_SLOT otherwise. */
static void put(struct waiting *w, const struct p2_wish *wish, uint32_t *known, uint64_t *earliest)
{
    uint64_t at = time_of(wish);
    *earliest = at < *earliest ? at : *earliest;
    if (wish->fd < 0) {
        return;
    }
    if (*known == NO_SLOT || w->fds[*known].fd != wish->fd) {
        *known = (uint32_t)w->nfds++;
        w->fds[*known] = (struct pollfd){.fd = wish->fd};
    }
    w->fds[*known].events |= wish->events;
}

static bool came(const struct waiting *w, uint32_t slot, const struct p2_wish *wish)
{
    return slot != NO_SLOT && w->fds[slot].fd == wish->fd &&
           (w->fds[slot].revents & (wish->events | END_EVENTS)) != 0;
}

/* Of what it was in an earlier round nothing is left. */
static uint32_t *slot_of(struct p2_source *source, uint64_t round)
{
    if (source->round != round) {
        source->round = round;
        source->slot = NO_SLOT;
    }
    return &source->slot;
}

static cis_code collect(cis_engine_instance *instance, struct waiting *w, struct cis_error *err)
{
    struct cis_wasi_p2 *t = cis_host_of(instance)->wasi_p2;
    uint32_t std[] = {NO_SLOT, NO_SLOT, NO_SLOT};
    struct p2_source *source;
    enum p2_way way;
    CIS_TRY(cis_p2_fds(instance, w->n + t->nbusy + 1, &w->fds, err));
    t->round++;
    w->nfds = 0;
    w->earliest = w->due = CIS_NEVER;
    for (size_t i = 0; i < w->n; i++) {
        struct p2_wish wish = wish_of(instance, w, i, &source, &way);
        uint8_t stream = source == NULL ? cis_p2_at(instance, w->reps[i])->poll.stream : 0;
        uint32_t none = NO_SLOT, *known = source != NULL ? slot_of(source, t->round)
                                          : stream != 0  ? &std[stream - 1]
                                                         : &none;
        put(w, &wish, known, &w->earliest);
        w->slots[i] = wish.fd >= 0 ? *known : NO_SLOT;
    }
    for (source = t->busy; source != NULL; source = source->busy_next) {
        struct p2_wish wish = {.fd = -1};
        source->ops->wish(source, P2_WRITES, &wish);
        put(w, &wish, slot_of(source, t->round), &w->due);
    }
    return CIS_OK;
}

/* Until something of w has come. */
static cis_code await(cis_engine_instance *instance, struct waiting *w, struct cis_error *err)
{
    size_t ready;
    uint64_t until = w->earliest < w->due ? w->earliest : w->due;
    if (poll(w->fds, w->nfds, 0) > 0 || until <= cis_clock_mono_ns()) {
        return CIS_OK;
    }
    cis_engine_instance_block(instance);
    cis_code waited = cis_stop_wait_many(cis_engine_instance_stop(instance), w->fds, w->nfds, until,
                                         "poll", &ready, err);
    cis_code back = cis_engine_instance_unblock(instance, waited == CIS_OK ? err : NULL);
    return waited != CIS_OK ? waited : back;
}

/* Busy sources do what is due. Before anybody is told what is ready: they may become it. */
static void push(cis_engine_instance *instance, const struct waiting *w)
{
    const struct cis_wasi_p2 *t = cis_host_of(instance)->wasi_p2;
    struct p2_source *next;
    for (struct p2_source *s = t->busy; s != NULL; s = next) {
        struct p2_wish wish = {.fd = -1};
        next = s->busy_next; /* it may leave the list */
        s->ops->wish(s, P2_WRITES, &wish);
        if ((came(w, *slot_of(s, t->round), &wish) || time_of(&wish) <= cis_clock_mono_ns()) &&
            s->ops->ready != NULL) {
            p2_source_ref(s); /* it may be done, and gone with that */
            s->ops->ready(instance, s, P2_WRITES);
            cis_p2_source_unref(cis_host_of(instance), s);
        }
    }
}

/* Indexes of what is ready, into the slots, of which no more is needed; returns how many. */
static size_t tell(cis_engine_instance *instance, const struct waiting *w)
{
    uint64_t now = cis_clock_mono_ns();
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct p2_source *source;
        enum p2_way way;
        struct p2_wish wish = wish_of(instance, w, i, &source, &way);
        bool ready = came(w, w->slots[i], &wish) || time_of(&wish) <= now;
        if (ready && source != NULL && source->ops->ready != NULL) {
            ready = source->ops->ready(instance, source, way);
        }
        if (ready) {
            w->slots[n++] = (uint32_t)i;
        }
    }
    return n;
}

/* One round of a wait; *out_n of it are ready. A source may have ended the run. */
static cis_code round_of(cis_engine_instance *instance, struct waiting *w, bool waits,
                         size_t *out_n, struct cis_error *err)
{
    CIS_TRY(collect(instance, w, err));
    if (waits) {
        CIS_TRY(await(instance, w, err));
    } else {
        poll(w->fds, w->nfds, 0);
    }
    push(instance, w);
    *out_n = tell(instance, w);
    CIS_TRY(*out_n == 0 && waits ? cis_stop_check(cis_engine_instance_stop(instance), "poll", err)
                                 : CIS_OK);
    return cis_engine_instance_end(instance)->code;
}

cis_code cis_p2_poll(cis_engine_instance *instance, const struct cis_typed *args,
                     struct cis_answer *out, struct cis_error *err)
{
    struct waiting w = {.reps = args[0].reps, .n = args[0].nitems};
    if (w.n == 0) {
        return cis_fail(err, CIS_E_TRAP, "poll: an empty list would wait for ever");
    }
    CIS_TRY(cis_engine_instance_burn(instance, w.n, err));
    CIS_TRY(cis_p2_numbers(instance, w.n, &w.slots, err));
    do {
        CIS_TRY(round_of(instance, &w, true, &out->nitems, err));
    } while (out->nitems == 0);
    out->numbers = w.slots;
    return CIS_OK;
}

cis_code cis_p2_poll_block(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    uint32_t rep = (uint32_t)args[0].n;
    const struct cis_typed one = {.reps = &rep, .nitems = 1};
    CIS_TRY(cis_p2_poll(instance, &one, out, err));
    out->nitems = 0;
    return CIS_OK;
}

cis_code cis_p2_poll_ready(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    uint32_t rep = (uint32_t)args[0].n, slot;
    struct waiting w = {.reps = &rep, .n = 1, .slots = &slot};
    size_t n;
    CIS_TRY(round_of(instance, &w, false, &n, err));
    out->has = n != 0;
    return CIS_OK;
}

cis_code cis_p2_source_await(cis_engine_instance *instance, struct p2_source *source,
                             enum p2_way way, struct cis_error *err)
{
    uint32_t slot;
    struct waiting w = {.source = source, .way = way, .n = 1, .slots = &slot};
    size_t n;
    do {
        CIS_TRY(round_of(instance, &w, true, &n, err));
    } while (n == 0);
    return CIS_OK;
}

/* ---- pollables ---- */

static cis_code subscribe(cis_engine_instance *instance, uint64_t rep, bool writes,
                          struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *p = cis_p2_at(instance, rep);
    uint8_t std = p->std;
    if (p->source != NULL && !p->ended) {
        return cis_p2_give_pollable(instance, rep, writes ? P2_WRITES : P2_READS, out, err);
    }
    CIS_TRY(cis_p2_give(instance, P2_POLLABLE, rep, out, &p, err));
    p->poll.stream = std;
    p->poll.writes = writes;
    return CIS_OK;
}

cis_code cis_p2_in_subscribe(cis_engine_instance *instance, const struct cis_typed *args,
                             struct cis_answer *out, struct cis_error *err)
{
    return subscribe(instance, args[0].n, false, out, err);
}

cis_code cis_p2_out_subscribe(cis_engine_instance *instance, const struct cis_typed *args,
                              struct cis_answer *out, struct cis_error *err)
{
    return subscribe(instance, args[0].n, true, out, err);
}

cis_code cis_p2_mono_duration(cis_engine_instance *instance, const struct cis_typed *args,
                              struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *p;
    CIS_TRY(cis_p2_give(instance, P2_POLLABLE, P2_NO_PARENT, out, &p, err));
    p->poll.at_ns = args[0].n != 0 ? cis_clock_after(cis_clock_mono_ns(), args[0].n) : 0;
    return CIS_OK;
}

cis_code cis_p2_mono_instant(cis_engine_instance *instance, const struct cis_typed *args,
                             struct cis_answer *out, struct cis_error *err)
{
    uint64_t now = cis_host_monotonic(instance);
    const struct cis_typed rest = {.n = args[0].n > now ? args[0].n - now : 0};
    return cis_p2_mono_duration(instance, &rest, out, err);
}
