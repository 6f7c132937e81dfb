/* The queue of calls: what waits, what runs, and who is woken for it. A call that is worked on in
 * 100 us is not to wake every thread there is: one worker is, when something may begin; who ends a
 * call looks by itself for the next one. */
#include "mcp/internal.h"

#define QUEUE_BYTES ((size_t)32 << 20)

/* Of tools that go one after the other one runs at a time; the others leave a worker to it, so that
 * skills that take long keep nobody from his files. */
static bool may_begin(const struct cis_mcp *m, bool lane) CIS_REQUIRES(mcp_lock)
{
    unsigned others = 0;
    if (lane) {
        return !m->lane_busy;
    }
    for (const struct mcp_call *c = m->running; c != NULL; c = c->next) {
        others += !c->lane;
    }
    return others + 1 < CIS_MCP_WORKERS;
}

/* Something is in the queue that need not wait for what runs. */
static bool any_may_begin(const struct cis_mcp *m) CIS_REQUIRES(mcp_lock)
{
    return (m->queued_lane != 0 && may_begin(m, true)) ||
           (m->queued != m->queued_lane && may_begin(m, false));
}

/* All workers, when they are to end with the queue. */
static void wake_workers(struct cis_mcp *m) CIS_REQUIRES(mcp_lock)
{
    if (m->closing || m->ending) {
        pthread_cond_broadcast(&m->work);
    } else if (any_may_begin(m)) {
        pthread_cond_signal(&m->work);
    }
}

static void count_in(struct cis_mcp *m, const struct mcp_call *call) CIS_REQUIRES(mcp_lock)
{
    m->queued++;
    m->queued_lane += call->lane;
    m->queued_bytes += call->message.bytes;
    wake_workers(m);
}

static void count_out(struct cis_mcp *m, const struct mcp_call *call) CIS_REQUIRES(mcp_lock)
{
    m->queued--;
    m->queued_lane -= call->lane;
    m->queued_bytes -= call->message.bytes;
    pthread_cond_broadcast(&m->room);
}

struct mcp_call *cis_mcp_take(struct cis_mcp *m)
{
    struct mcp_call **at = &m->first, *before = NULL;
    while (*at != NULL && !may_begin(m, (*at)->lane)) {
        before = *at;
        at = &(*at)->next;
    }
    struct mcp_call *call = *at;
    if (call == NULL) {
        return NULL;
    }
    *at = call->next;
    m->last = m->last == call ? before : m->last;
    count_out(m, call);
    m->lane_busy = m->lane_busy || call->lane;
    call->next = m->running;
    m->running = call;
    wake_workers(m);
    return call;
}

void cis_mcp_ended(struct cis_mcp *m, struct mcp_call *call)
{
    struct mcp_call **at = &m->running;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    m->lane_busy = m->lane_busy && !call->lane;
}

static bool is_full(const struct cis_mcp *m, const struct mcp_call *call, size_t most)
    CIS_REQUIRES(mcp_lock)
{
    return m->queued >= most ||
           (m->queued != 0 && m->queued_bytes + call->message.bytes > QUEUE_BYTES);
}

bool cis_mcp_queue(struct cis_mcp *m, struct mcp_call *call, bool wait) CIS_TAKES(mcp_lock)
{
    size_t most = wait ? CIS_MCP_QUEUE_MAX : CIS_MCP_HTTP_QUEUE_MAX;
    cis_mutex_lock(&m->lock, mcp_lock);
    while (wait && call->listens == NULL && is_full(m, call, most) && !m->ending && !m->gone) {
        pthread_cond_wait(&m->room, &m->lock);
    }
    bool taken = !m->ending && !m->gone && (call->listens != NULL || !is_full(m, call, most));
    if (taken && call->listens != NULL) {
        cis_mcp_listen(call);
    } else if (taken) {
        *(m->last != NULL ? &m->last->next : &m->first) = call;
        m->last = call;
        count_in(m, call);
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
    return taken;
}

void cis_mcp_queue_again(struct cis_mcp *m, struct mcp_call *call)
{
    call->next = m->first;
    m->first = call;
    m->last = m->last != NULL ? m->last : call;
    count_in(m, call);
}

struct mcp_call *cis_mcp_take_fired(struct cis_mcp *m)
{
    struct mcp_call *left = NULL, *before = NULL;
    for (struct mcp_call **at = &m->first; *at != NULL;) {
        struct mcp_call *c = *at;
        if (!cis_cancel_fired(c->cancel)) {
            before = c;
            at = &c->next;
            continue;
        }
        *at = c->next;
        m->last = m->last == c ? before : m->last;
        count_out(m, c);
        c->cancelled = true;
        c->next = left;
        left = c;
    }
    wake_workers(m);
    return left;
}
