/* wasi:io/poll: clocks and streams in one wait. Files are ready at once, as they are for poll(2).
 */
#include <poll.h>
#include "base/clock.h"
#include "wasi/p2/internal.h"

/* What a pollable waits for: *out_fd -1 and *out_at 0: it is ready. */
static void wish_of(cis_guest *guest, uint64_t rep, int *out_fd, uint64_t *out_at, bool *out_writes)
{
    const struct p2_thing *p = p2_at(guest, rep);
    const struct cis_host *host = cis_host_of(guest);
    struct cis_stream_ready ready;
    *out_at = p->poll.at_ns;
    *out_writes = p->poll.writes;
    *out_fd = p->poll.stream == 0 ? -1
                                  : cis_host_stream_poll(host, &host->world.std[p->poll.stream - 1],
                                                         p->poll.writes, &ready);
}

struct waiting {
    const uint32_t *reps;
    size_t n, nfds;
    struct pollfd *fds; /* those of reps that have one, in order, and one place more */
    uint64_t earliest;  /* 0: something is ready */
};

static cis_code collect(cis_guest *guest, struct waiting *w, struct cis_error *err)
{
    uint8_t *at;
    CIS_TRY(p2_scratch(guest, (w->n + 1) * sizeof *w->fds, &at, err));
    w->fds = (struct pollfd *)(void *)at;
    w->nfds = 0;
    w->earliest = CIS_NEVER;
    for (size_t i = 0; i < w->n; i++) {
        int fd;
        uint64_t when;
        bool writes;
        wish_of(guest, w->reps[i], &fd, &when, &writes);
        if (fd >= 0) {
            w->fds[w->nfds++] =
                (struct pollfd){.fd = fd, .events = writes ? POLLOUT : POLLIN | POLLRDHUP};
        } else {
            w->earliest = when < w->earliest ? when : w->earliest;
        }
    }
    return CIS_OK;
}

static cis_code await(cis_guest *guest, struct waiting *w, struct cis_error *err)
{
    size_t ready;
    if (poll(w->fds, w->nfds, 0) > 0 || w->earliest <= cis_clock_mono_ns()) {
        return CIS_OK;
    }
    cis_guest_block(guest);
    cis_code waited = cis_stop_wait_many(cis_guest_stop(guest), w->fds, w->nfds, w->earliest,
                                         "poll", &ready, err);
    cis_code back = cis_guest_unblock(guest, waited == CIS_OK ? err : NULL);
    return waited != CIS_OK ? waited : back;
}

/* Indexes of what is ready, into numbers; returns how many. */
static size_t tell(cis_guest *guest, const struct waiting *w, uint32_t *numbers)
{
    uint64_t now = cis_clock_mono_ns();
    size_t n = 0, at = 0;
    for (size_t i = 0; i < w->n; i++) {
        int fd;
        uint64_t when;
        bool writes;
        wish_of(guest, w->reps[i], &fd, &when, &writes);
        bool ready = fd >= 0 ? w->fds[at++].revents != 0 : when <= now;
        if (ready) {
            numbers[n++] = (uint32_t)i;
        }
    }
    return n;
}

cis_code p2_poll(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                 struct cis_error *err)
{
    struct waiting w = {.reps = args[0].reps, .n = args[0].nitems};
    uint32_t *numbers;
    if (w.n == 0) {
        return cis_fail(err, CIS_E_TRAP, "poll: an empty list would wait for ever");
    }
    CIS_TRY(cis_guest_burn(guest, w.n, err));
    CIS_TRY(p2_numbers(guest, w.n, &numbers, err));
    do {
        CIS_TRY(collect(guest, &w, err));
        CIS_TRY(await(guest, &w, err));
        out->nitems = tell(guest, &w, numbers);
    } while (out->nitems == 0);
    out->numbers = numbers;
    return CIS_OK;
}

cis_code p2_poll_block(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                       struct cis_error *err)
{
    uint32_t rep = (uint32_t)args[0].n;
    const struct cis_typed one = {.reps = &rep, .nitems = 1};
    CIS_TRY(p2_poll(guest, &one, out, err));
    out->nitems = 0;
    return CIS_OK;
}

cis_code p2_poll_ready(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                       struct cis_error *err)
{
    uint32_t rep = (uint32_t)args[0].n, number;
    struct waiting w = {.reps = &rep, .n = 1};
    CIS_TRY(collect(guest, &w, err));
    poll(w.fds, w.nfds, 0);
    out->has = tell(guest, &w, &number) != 0;
    return CIS_OK;
}

/* ---- pollables ---- */

static cis_code subscribe(cis_guest *guest, uint64_t rep, bool writes, struct cis_answer *out,
                          struct cis_error *err)
{
    struct p2_thing *p;
    uint8_t std = p2_at(guest, rep)->std;
    CIS_TRY(p2_give(guest, P2_POLLABLE, out, &p, err));
    p->poll.stream = std;
    p->poll.writes = writes;
    return CIS_OK;
}

cis_code p2_in_subscribe(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                         struct cis_error *err)
{
    return subscribe(guest, args[0].n, false, out, err);
}

cis_code p2_out_subscribe(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                          struct cis_error *err)
{
    return subscribe(guest, args[0].n, true, out, err);
}

cis_code p2_mono_duration(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                          struct cis_error *err)
{
    struct p2_thing *p;
    CIS_TRY(p2_give(guest, P2_POLLABLE, out, &p, err));
    p->poll.at_ns = args[0].n != 0 ? cis_clock_after(cis_clock_mono_ns(), args[0].n) : 0;
    return CIS_OK;
}

cis_code p2_mono_instant(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                         struct cis_error *err)
{
    uint64_t now = cis_host_monotonic(guest);
    const struct cis_typed rest = {.n = args[0].n > now ? args[0].n - now : 0};
    return p2_mono_duration(guest, &rest, out, err);
}
