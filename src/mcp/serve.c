/* The server's threads: one reads and answers what needs no work, some run calls, one writes, one
 * looks at the time and at the cancellation. */
#include "mcp/internal.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

#define PROGRESS_NS (5 * CIS_NS_PER_S)
#define LAST_WORDS_NS (2 * CIS_NS_PER_S) /* for a client that does not read, once we are to end */
#define WRITE_PIECE ((size_t)4096)       /* what a pipe takes when poll says that it takes any */

void cis_mcp_call_free(struct mcp_call *call)
{
    if (call != NULL) {
        cis_mcp_ask_done(call);
        cis_mcp_lists_unref(call->lists);
        json_decref(call->listens);
        json_decref(call->message.all);
        cis_cancel_unref(call->cancel);
        if (call->exchange != NULL) {
            cis_mcp_http_close(call);
            cis_httpd_unref(call->exchange);
        }
        cis_free(call);
    }
}

struct mcp_call *cis_mcp_call_new(struct cis_mcp *m, struct mcp_message *message)
{
    struct mcp_call *call = cis_zalloc(sizeof *call);
    if (call == NULL || cis_cancel_new(&call->cancel, NULL) != CIS_OK) {
        cis_free(call);
        return NULL;
    }
    call->mcp = m;
    call->lists = cis_mcp_lists_ref(m);
    call->message = *message;
    message->all = NULL;
    return call;
}

static void free_all(struct mcp_call *first)
{
    while (first != NULL) {
        struct mcp_call *next = first->next;
        cis_mcp_call_free(first);
        first = next;
    }
}

/* ---- answers ---- */

static void answer(struct cis_mcp *m, const json_t *id, struct mcp_reply *reply)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(MCP_ANSWER_MAX);
    cis_mcp_answer(id, reply, &line);
    cis_mcp_send(m, &line, true);
}

static void answer_call(struct mcp_call *call, struct mcp_reply *reply) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = call->mcp;
    cis_mutex_lock(&m->lock, mcp_lock);
    bool silent = call->cancelled;
    cis_mutex_unlock(&m->lock, mcp_lock);
    if (silent) {
        cis_mcp_reply_done(reply);
    } else if (call->exchange != NULL) {
        cis_mcp_http_answer(call, reply);
    } else {
        answer(m, call->message.id, reply);
    }
}

/* ---- the writer ---- */

static bool write_out(struct cis_mcp *m, const struct cis_buf *text)
{
    struct cis_stop stop = {CIS_NEVER, m->o.cancel};
    for (size_t at = 0; at < text->len;) {
        size_t piece = text->len - at < WRITE_PIECE ? text->len - at : WRITE_PIECE;
        if (cis_stop_wait(&stop, m->o.out, POLLOUT, "stdout", NULL) != CIS_OK) {
            if (stop.cancel == NULL) {
                return false;
            }
            stop = (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), LAST_WORDS_NS), NULL};
            continue;
        }
        ssize_t n = write(m->o.out, text->ptr + at, piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return false;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void *writer(void *self) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = self;
    struct cis_buf mine = CIS_BUF_INIT(0);
    cis_mutex_lock(&m->lock, mcp_lock);
    while (!m->gone && (m->out.len != 0 || !m->flush)) {
        if (m->out.len == 0) {
            pthread_cond_wait(&m->text, &m->lock);
            continue;
        }
        struct cis_buf full = m->out;
        mine.max = full.max;
        m->out = mine;
        mine = full;
        pthread_cond_broadcast(&m->room);
        cis_mutex_unlock(&m->lock, mcp_lock);
        bool good = write_out(m, &mine);
        if (mine.cap > CIS_MCP_OUT_MAX) {
            cis_buf_done(&mine);
        } else {
            cis_buf_reset(&mine);
        }
        cis_mutex_lock(&m->lock, mcp_lock);
        m->gone = m->gone || !good;
    }
    pthread_cond_broadcast(&m->room);
    cis_mutex_unlock(&m->lock, mcp_lock);
    cis_buf_done(&mine);
    return NULL;
}

/* ---- workers ---- */

/* Nothing is done that could not be answered because others do not read their answers. */
static void run(struct mcp_call *call, struct mcp_reply *reply)
{
    if (call->exchange != NULL && cis_httpd_full(call->exchange)) {
        call->waits = false;
        cis_mcp_refuse(reply, MCP_INTERNAL,
                       "nothing was done, because too many answers wait to be read: try again");
        return;
    }
    cis_mcp_method_run(call, reply);
}

/* It is answered and gone then, or put aside. */
static void serve(struct mcp_call *call) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = call->mcp;
    struct mcp_reply reply = {0};
    call->stop =
        (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), m->o.time_ns), call->cancel};
    run(call, &reply);
    if (call->waits) {
        cis_mcp_wait(call);
        return;
    }
    answer_call(call, &reply);
    cis_mutex_lock(&m->lock, mcp_lock);
    cis_mcp_ended(m, call);
    cis_mutex_unlock(&m->lock, mcp_lock);
    cis_mcp_call_free(call);
}

static void *worker(void *self) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = self;
    cis_mutex_lock(&m->lock, mcp_lock);
    for (;;) {
        struct mcp_call *call = cis_mcp_take(m);
        if (call == NULL && (m->ending || (m->closing && m->first == NULL))) {
            break;
        }
        if (call == NULL) {
            pthread_cond_wait(&m->work, &m->lock);
            continue;
        }
        if (call->began_ns == 0) { /* not when it was put aside meanwhile */
            call->began_ns = call->told_ns = cis_clock_mono_ns();
        }
        cis_mutex_unlock(&m->lock, mcp_lock);
        serve(call);
        cis_mutex_lock(&m->lock, mcp_lock);
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
    return NULL;
}

/* ---- time and cancellation ---- */

static void end_listeners(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    struct mcp_call *left = cis_mcp_listeners_take(m, true);
    cis_mutex_unlock(&m->lock, mcp_lock);
    for (struct mcp_call *c = left; c != NULL; c = c->next) {
        struct mcp_reply reply = {0};
        if (c->modern) {
            cis_mcp_listen_end(c, &reply);
            answer_call(c, &reply);
        }
    }
    free_all(left);
}

/* Nothing more begins, what runs is cancelled. */
void cis_mcp_end_now(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    m->ending = true;
    struct mcp_call *left = m->first, *waits = cis_mcp_waits_take(m, NULL, NULL);
    m->first = m->last = NULL;
    m->queued = m->queued_lane = m->queued_bytes = 0;
    for (struct mcp_call *c = m->running; c != NULL; c = c->next) {
        cis_cancel_fire(c->cancel);
    }
    pthread_cond_broadcast(&m->work);
    pthread_cond_broadcast(&m->room);
    cis_mutex_unlock(&m->lock, mcp_lock);
    free_all(left);
    free_all(waits);
    end_listeners(m);
}

static void tell_progress(struct mcp_call *first, uint64_t now, struct cis_buf *lines)
    CIS_REQUIRES(mcp_lock)
{
    for (struct mcp_call *c = first; c != NULL; c = c->next) {
        if (c->token == NULL || c->cancelled || c->told_ns == 0 || now - c->told_ns < PROGRESS_NS) {
            continue;
        }
        c->told_ns = now;
        double seconds = (double)(now - c->began_ns) / (double)CIS_NS_PER_S;
        if (c->guest_tells) {
            cis_mcp_progress_add(c, nextafter(c->progress, INFINITY), 0, CIS_STR("goes on"), lines);
        } else {
            cis_mcp_progress_add(c, seconds, 0, CIS_STR("seconds so far"), lines);
        }
    }
}

static void tick(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf lines = CIS_BUF_INIT((size_t)1 << 20);
    cis_mutex_lock(&m->lock, mcp_lock);
    cis_mcp_waits_look(m, false);
    uint64_t now = cis_clock_mono_ns(); /* not before any call that runs */
    tell_progress(m->running, now, &lines);
    tell_progress(m->waits, now, &lines);
    cis_mutex_unlock(&m->lock, mcp_lock);
    if (lines.len != 0 && lines.failed == CIS_OK) {
        cis_mcp_send(m, &lines, false);
    }
}

struct ticker {
    struct cis_mcp *mcp;
    cis_cancel *done;
};

static void *ticker(void *self)
{
    struct ticker *t = self;
    struct cis_stop stop = {CIS_NEVER, t->mcp->o.cancel};
    struct pollfd fds[2] = {{.fd = cis_cancel_fd(t->done), .events = POLLIN}};
    for (;;) {
        size_t ready = 0;
        uint64_t until = cis_clock_after(cis_clock_mono_ns(), CIS_NS_PER_S);
        cis_code code = cis_stop_wait_many(&stop, fds, 1, until, "server", &ready, NULL);
        if (cis_cancel_fired(t->done)) {
            return NULL;
        }
        if (code != CIS_OK) {
            cis_mcp_end_now(t->mcp);
            return NULL;
        }
        tick(t->mcp);
    }
}

/* ---- the reader ---- */

bool cis_mcp_is_of(const struct mcp_call *c, const json_t *id, const uint8_t *session)
{
    return json_equal(c->message.id, id) && (session == NULL) == (c->exchange == NULL) &&
           (session == NULL || memcmp(c->session, session, sizeof c->session) == 0);
}

void cis_mcp_cancel(struct cis_mcp *m, const json_t *id, const uint8_t *session) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    for (struct mcp_call *c = m->running; c != NULL; c = c->next) {
        if (cis_mcp_is_of(c, id, session)) {
            c->cancelled = true;
            cis_cancel_fire(c->cancel);
        }
    }
    for (struct mcp_call *c = m->first; c != NULL; c = c->next) {
        if (cis_mcp_is_of(c, id, session)) {
            cis_cancel_fire(c->cancel);
        }
    }
    for (struct mcp_call *c = m->listeners; c != NULL; c = c->next) {
        if (cis_mcp_is_of(c, id, session)) {
            cis_cancel_fire(c->cancel);
        }
    }
    struct mcp_call *left = cis_mcp_take_fired(m), *waits = cis_mcp_waits_take(m, id, session);
    struct mcp_call *listeners = cis_mcp_listeners_take(m, false);
    cis_mutex_unlock(&m->lock, mcp_lock);
    free_all(left);
    free_all(waits);
    free_all(listeners);
}

void cis_mcp_cancelled(struct cis_mcp *m, cis_cancel *cancel) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    cis_cancel_fire(cancel);
    struct mcp_call *left = cis_mcp_take_fired(m), *listeners = cis_mcp_listeners_take(m, false);
    cis_mutex_unlock(&m->lock, mcp_lock);
    free_all(left);
    free_all(listeners);
}

static void notified(struct cis_mcp *m, const struct mcp_message *message) CIS_TAKES(mcp_lock)
{
    const json_t *id = json_object_get(message->params, "requestId");
    if (strcmp(message->method, "notifications/initialized") == 0 && m->legacy != NULL) {
        cis_mutex_lock(&m->lock, mcp_lock);
        m->line_told = true;
        cis_mutex_unlock(&m->lock, mcp_lock);
    }
    if (strcmp(message->method, "notifications/cancelled") == 0 && id != NULL) {
        cis_mcp_cancel(m, id, NULL);
    }
}

static void requested(struct cis_mcp *m, struct mcp_message *message)
{
    struct mcp_reply reply = {0};
    struct mcp_call *call = cis_mcp_call_new(m, message);
    if (call == NULL) {
        cis_mcp_refuse(&reply, MCP_INTERNAL, "out of memory");
        answer(m, message->id, &reply);
        return;
    }
    if (cis_mcp_method_now(m, call, &reply)) {
        answer(m, call->message.id, &reply);
        cis_mcp_call_free(call);
    } else if (!cis_mcp_queue(m, call, true)) {
        cis_mcp_call_free(call);
    }
}

static bool is_gone(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    bool gone = m->gone;
    cis_mutex_unlock(&m->lock, mcp_lock);
    return gone;
}

static cis_code read_all(struct cis_mcp *m, struct cis_error *err)
{
    struct cis_stop stop = {CIS_NEVER, m->o.cancel};
    struct mcp_lines lines = {
        .fd = m->o.in, .stop = &stop, .buf = CIS_BUF_INIT(CIS_MCP_LINE_MAX + ((size_t)1 << 18))};
    cis_code code = CIS_OK;
    while (!is_gone(m)) {
        struct mcp_reply reply = {0};
        struct mcp_message message = {0};
        struct cis_str text;
        enum mcp_line what;
        code = cis_mcp_line_next(&lines, &what, &text, err);
        if (code != CIS_OK || what == MCP_LINE_END) {
            break;
        }
        if (what == MCP_LINE_LONG) {
            cis_mcp_refuse(&reply, MCP_PARSE, "a line of more than %zu bytes", CIS_MCP_LINE_MAX);
            answer(m, NULL, &reply);
            continue;
        }
        switch (cis_mcp_message_read(text, &message, &reply)) {
        case MCP_NOTHING:
            break;
        case MCP_BROKEN:
            answer(m, message.id, &reply);
            break;
        case MCP_ANSWER:
            cis_mcp_answered(m, &message, NULL);
            break;
        case MCP_NOTIFICATION:
            notified(m, &message);
            break;
        case MCP_REQUEST:
            requested(m, &message);
            break;
        }
        cis_mcp_reply_done(&reply);
        json_decref(message.all);
    }
    cis_buf_done(&lines.buf);
    return code == CIS_E_CANCELLED ? CIS_OK : code;
}

/* ---- all of it ---- */

struct threads {
    pthread_t worker[CIS_MCP_WORKERS], writer, ticker;
    unsigned nworkers;
    bool writes, ticks;
    struct ticker tick;
    struct mcp_relist relist;
};

static cis_code start(struct cis_mcp *m, struct threads *t, struct cis_error *err)
{
    t->tick.mcp = m;
    CIS_TRY(cis_cancel_new(&t->tick.done, err));
    int sys = pthread_create(&t->writer, NULL, writer, m);
    t->writes = sys == 0;
    if (sys == 0) {
        sys = pthread_create(&t->ticker, NULL, ticker, &t->tick);
        t->ticks = sys == 0;
    }
    while (sys == 0 && t->nworkers < CIS_MCP_WORKERS) {
        sys = pthread_create(&t->worker[t->nworkers], NULL, worker, m);
        t->nworkers += sys == 0;
    }
    return sys == 0 ? cis_mcp_relist_begin(&t->relist, m, err)
                    : cis_fail_sys(err, CIS_E_INTERNAL, sys, "server: a thread");
}

static void finish(struct cis_mcp *m, struct threads *t) CIS_TAKES(mcp_lock)
{
    cis_mcp_relist_end(&t->relist);
    cis_mutex_lock(&m->lock, mcp_lock);
    m->closing = true;
    cis_mcp_waits_look(m, true);
    bool gone = m->gone;
    pthread_cond_broadcast(&m->work);
    cis_mutex_unlock(&m->lock, mcp_lock);
    if (gone || cis_cancel_fired(m->o.cancel)) {
        cis_mcp_end_now(m);
    }
    for (unsigned i = 0; i < t->nworkers; i++) {
        pthread_join(t->worker[i], NULL);
    }
    end_listeners(m);
    cis_mutex_lock(&m->lock, mcp_lock);
    m->flush = true;
    pthread_cond_signal(&m->text);
    cis_mutex_unlock(&m->lock, mcp_lock);
    if (t->writes) {
        pthread_join(t->writer, NULL);
    }
    cis_cancel_fire(t->tick.done);
    if (t->ticks) {
        pthread_join(t->ticker, NULL);
    }
    cis_cancel_unref(t->tick.done);
}

static void mcp_done(struct cis_mcp *m)
{
    cis_lock_alone(mcp_lock);
    cis_buf_done(&m->out);
    cis_free(m->folder);
    cis_free(m->runs);
    pthread_cond_destroy(&m->work);
    pthread_cond_destroy(&m->room);
    pthread_cond_destroy(&m->text);
    cis_mcp_watches_done(m);
    pthread_mutex_destroy(&m->base_lock);
    pthread_mutex_destroy(&m->lock);
}

static void mcp_init(struct cis_mcp *m)
{
    cis_lock_alone(mcp_lock);
    m->log_rank = MCP_LOG_INFO;
    m->out = CIS_BUF_INIT(CIS_MCP_OUT_MAX + 2 * MCP_ANSWER_MAX);
}

cis_code cis_mcp_serve(const struct cis_mcp_options *options, struct cis_error *err)
{
    struct cis_mcp *m CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *m);
    struct threads threads = {0};
    if (m == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    m->o = *options;
    mcp_init(m);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->work, NULL);
    pthread_cond_init(&m->room, NULL);
    pthread_cond_init(&m->text, NULL);
    pthread_mutex_init(&m->base_lock, NULL);
    cis_code code = cis_mcp_branch_take(m, err);
    code = code == CIS_OK ? cis_mcp_lists_open(m, err) : code;
    struct mcp_http *http = NULL;
    code = code == CIS_OK && m->o.http != NULL ? cis_mcp_http_open(m, &http, err) : code;
    if (code == CIS_OK) {
        code = start(m, &threads, err);
        if (code == CIS_OK) {
            code = http != NULL ? cis_mcp_http_serve(http, err) : read_all(m, err);
        }
        finish(m, &threads);
    }
    cis_mcp_http_free(http);
    if (code == CIS_OK && is_gone(m)) {
        code = cis_fail(err, CIS_E_IO, "stdout: the client has closed it");
    }
    cis_mcp_lists_close(m);
    mcp_done(m);
    return code;
}
