/* poll_oneoff. Subscriptions and events stay in the guest's memory, so that a million of them cost
 * the host nothing but time, and the deadline is looked at while they are read. The streams never
 * block: with one of them in the list, or with a clock already past, the call returns at once. */
#include <poll.h>
#include "base/clock.h"
#include "wasi/p1/internal.h"

#define LOOK_EVERY 4096u

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
    uint64_t at_ns; /* clock: when, on the host's monotonic clock */
    bool is_abs;
    uint32_t clock;
    uint64_t timeout;
    uint64_t nbytes; /* stream */
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

static void read_stream(const struct cis_host *host, uint32_t fd, struct wish *w)
{
    enum cis_wasi_stream stream = cis_wasi_stream_of(cis_wasi_at(host->wasi, fd));
    bool wants_input = w->tag == CIS_WASI_EVENT_READ;
    if (stream == CIS_WASI_NONE || (stream == CIS_WASI_STDIN) != wants_input) {
        w->error = CIS_WASI_BADF;
    } else if (wants_input) {
        w->nbytes = host->input.len - host->input_pos;
        w->flags = w->nbytes == 0 ? CIS_WASI_EVENT_HANGUP : 0;
    } else {
        w->nbytes = host->output.max - host->output.len;
    }
}

/* False: an event type that does not exist. */
static bool read_wish(cis_guest *guest, const struct layout *l, const uint8_t *sub,
                      const struct times *t, struct wish *w)
{
    *w = (struct wish){.tag = sub[offsetof(struct cis_wasi_subscription, tag)], .at_ns = 0};
    if (w->tag > CIS_WASI_EVENT_WRITE) {
        return false;
    }
    if (w->tag == CIS_WASI_EVENT_CLOCK) {
        read_clock(l, sub, t, w);
    } else {
        read_stream(cis_host_of(guest), cis_le32(sub + offsetof(struct cis_wasi_subscription, of)),
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

struct poll {
    const struct layout *layout;
    uint32_t subs, events, n;
    struct times times;
};

/* Reads all subscriptions; earliest of their times (0: ready now). */
static cis_code scan(cis_guest *guest, const struct poll *p, uint64_t *out_earliest,
                     enum cis_wasi_errno *out_error, struct cis_error *err)
{
    const uint8_t *subs = cis_guest_at(guest, p->subs, (uint64_t)p->n * p->layout->size);
    uint64_t earliest = CIS_NEVER;
    for (uint32_t i = 0; i < p->n; i++) {
        struct wish w;
        if (!read_wish(guest, p->layout, subs + (size_t)i * p->layout->size, &p->times, &w)) {
            *out_error = CIS_WASI_INVAL;
            return CIS_OK;
        }
        earliest = w.at_ns < earliest ? w.at_ns : earliest;
        if (i % LOOK_EVERY == LOOK_EVERY - 1) {
            CIS_TRY(cis_stop_check(cis_guest_stop(guest), "poll_oneoff", err));
        }
    }
    *out_earliest = earliest;
    return CIS_OK;
}

static cis_code report(cis_guest *guest, const struct poll *p, uint64_t now, uint32_t *out_n,
                       struct cis_error *err)
{
    const uint8_t *subs = cis_guest_at(guest, p->subs, (uint64_t)p->n * p->layout->size);
    uint8_t *events =
        cis_guest_out(guest, p->events, (uint64_t)p->n * sizeof(struct cis_wasi_event));
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        struct wish w;
        const uint8_t *sub = subs + (size_t)i * p->layout->size;
        if (read_wish(guest, p->layout, sub, &p->times, &w) && w.at_ns <= now) {
            put_event(events + (size_t)n * sizeof(struct cis_wasi_event), sub, &w);
            n++;
        }
        if (i % LOOK_EVERY == LOOK_EVERY - 1) {
            CIS_TRY(cis_stop_check(cis_guest_stop(guest), "poll_oneoff", err));
        }
    }
    *out_n = n;
    return CIS_OK;
}

/* Sleeps until then or the end of the run. */
static cis_code sleep_until(cis_guest *guest, uint64_t at_ns, struct cis_error *err)
{
    const struct cis_stop *run = cis_guest_stop(guest);
    struct cis_stop until = *run;
    until.deadline_ns = at_ns < run->deadline_ns ? at_ns : run->deadline_ns;
    cis_guest_block(guest);
    cis_code slept = cis_stop_wait(&until, -1, 0, "poll_oneoff", err);
    cis_code back = cis_guest_unblock(guest, err);
    if (slept != CIS_E_DEADLINE) {
        return slept;
    }
    CIS_TRY(back);
    return cis_stop_check(run, "poll_oneoff", err);
}

static cis_code poll_with(cis_guest *guest, union cis_slot *io, const struct layout *layout,
                          struct cis_error *err)
{
    struct poll p = {.layout = layout, .subs = io[0].u32, .events = io[1].u32, .n = io[2].u32};
    uint32_t out = io[3].u32, n = 0;
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(guest, &w, err));
    if (p.n == 0) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if (cis_guest_at(guest, p.subs, (uint64_t)p.n * layout->size) == NULL ||
        cis_guest_at(guest, p.events, (uint64_t)p.n * sizeof(struct cis_wasi_event)) == NULL ||
        cis_guest_at(guest, out, 4) == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    CIS_TRY(cis_guest_burn(guest, p.n, err));
    p.times.mono = cis_clock_mono_ns();
    cis_wasi_now(guest, CIS_WASI_CLOCK_MONOTONIC, &p.times.guest_mono);
    cis_wasi_now(guest, CIS_WASI_CLOCK_REALTIME, &p.times.guest_real);
    uint64_t earliest = 0;
    enum cis_wasi_errno error = CIS_WASI_OK;
    CIS_TRY(scan(guest, &p, &earliest, &error, err));
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    uint64_t now = p.times.mono;
    if (earliest > now) {
        CIS_TRY(sleep_until(guest, earliest, err));
        now = cis_clock_mono_ns();
    }
    CIS_TRY(report(guest, &p, now > earliest ? now : earliest, &n, err));
    cis_wasi_put32(guest, out, n);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_poll_oneoff(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    return poll_with(guest, io, &layout_new, err);
}

cis_code cis_wasi_poll_oneoff_old(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    return poll_with(guest, io, &layout_old, err);
}
