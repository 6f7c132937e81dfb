/* What goes to the client: lines in the order in which they were made, and how far calls are. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"

#define TELL_NS (100 * CIS_NS_PER_MS) /* between two messages of progress that a guest tells */

void cis_mcp_send(struct cis_mcp *m, struct cis_buf *line, bool wait) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    while (wait && m->out.len > CIS_MCP_OUT_MAX && !m->gone && !m->ending) {
        pthread_cond_wait(&m->room, &m->lock);
    }
    if (!m->gone && (wait || m->out.len <= CIS_MCP_OUT_MAX)) {
        cis_buf_str(&m->out, cis_buf_view(line));
        if (m->out.failed != CIS_OK) {
            m->gone = true; /* an answer is lost: nothing that comes after it could be believed */
        }
    }
    pthread_cond_signal(&m->text);
    if (m->gone) {
        pthread_cond_broadcast(&m->room);
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
}

/* One message of a stream over HTTP. Nothing is waited for. */
static bool event_of(cis_httpd_exchange *exchange, struct cis_str message)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf event = CIS_BUF_INIT(CIS_MEM_MAX);
    cis_buf_text(&event, "event: message\ndata: ");
    cis_buf_str(&event, message);
    cis_buf_text(&event, "\n\n");
    return event.failed == CIS_OK &&
           cis_httpd_stream(exchange, MCP_STREAM_TYPE, cis_buf_view(&event));
}

bool cis_mcp_tell(struct mcp_call *call, json_t *message) CIS_TAKES(mcp_lock)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT((size_t)1 << 20);
    cis_mcp_dump(message, &line);
    json_decref(message);
    if (line.failed == CIS_OK && call->exchange != NULL) {
        return event_of(call->exchange, cis_buf_view(&line));
    }
    cis_buf_byte(&line, '\n');
    if (line.failed == CIS_OK) {
        cis_mcp_send(call->mcp, &line, true);
    }
    return line.failed == CIS_OK;
}

void cis_mcp_progress_add(struct mcp_call *c, double done, double total, struct cis_str message,
                          struct cis_buf *lines)
{
    json_t *params = json_pack("{s:o,s:f,s:o}", "progressToken", json_deep_copy(c->token),
                               "progress", done, "message", cis_mcp_text(message));
    if (total > 0) {
        json_object_set_new(params, "total", json_real(total));
    }
    json_t *all = json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method", "notifications/progress",
                            "params", params);
    size_t at = lines->len;
    cis_mcp_dump(all, lines);
    json_decref(all);
    if (c->exchange != NULL && lines->failed == CIS_OK) {
        struct cis_str event = {(const char *)lines->ptr + at, lines->len - at};
        (void)event_of(c->exchange, event); /* it is laid ready, nothing is waited for */
        lines->len = at;
    } else {
        cis_buf_byte(lines, '\n');
    }
    c->progress = done;
}

void cis_mcp_progress(struct mcp_call *call, const struct cis_progress *p) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = call->mcp;
    CIS_CLEANUP(cis_buf_done) struct cis_buf lines = CIS_BUF_INIT(65536);
    cis_mutex_lock(&m->lock, mcp_lock);
    uint64_t now = cis_clock_mono_ns();
    double done = (double)p->done;
    bool more = !call->guest_tells ? done >= call->progress : done > call->progress;
    bool last = p->done == p->total && !call->told_last; /* the end is told, once */
    bool soon = call->guest_tells && now - call->told_ns < TELL_NS && !last;
    if (call->token != NULL && !call->cancelled && more && !soon) {
        call->guest_tells = true;
        call->told_last = call->told_last || p->done == p->total;
        call->told_ns = now;
        cis_mcp_progress_add(call, done, (double)p->total, p->message, &lines);
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
    if (lines.len != 0 && lines.failed == CIS_OK) {
        cis_mcp_send(m, &lines, false);
    }
}

void cis_mcp_note(struct cis_mcp *m, struct mcp_call *call, json_t *message)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT((size_t)1 << 20);
    cis_mcp_dump(message, &line);
    json_decref(message);
    if (line.failed != CIS_OK) {
        return;
    }
    if (call != NULL && call->exchange != NULL) {
        if (!event_of(call->exchange, cis_buf_view(&line))) {
            cis_cancel_fire(call->cancel); /* its stream ends: who listens anew reads again */
        }
        return;
    }
    cis_buf_str(&m->out, cis_buf_view(&line));
    cis_buf_byte(&m->out, '\n');
    m->gone = m->gone || m->out.failed != CIS_OK;
    pthread_cond_signal(&m->text);
    if (m->gone) {
        pthread_cond_broadcast(&m->room);
    }
}

void cis_mcp_left_out(struct cis_mcp *m, const char *skill, const char *what, const char *why)
{
    char line[CIS_ERROR_MSG_MAX + 256];
    snprintf(line, sizeof line, "skill %.64s: its %.80s left out: %s", skill, what, why);
    m->o.say(m->o.self, line);
}
