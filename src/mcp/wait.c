/* Calls of the revisions before 2026 that wait for the person. No worker waits with them: a call
 * that asks is put aside with its question, and is in the queue again once there is an answer, or
 * there can be none any more: its client is gone, its time is over, the server ends. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/clock.h"

#define WAIT_NS (600 * CIS_NS_PER_S)
#define WAITS_MAX 256u
#define WAIT_BYTES ((size_t)32 << 20)
#define ANSWER_BYTES ((size_t)512 << 10) /* that one takes: it is kept until its call runs */

static bool take_room(struct cis_mcp *m, const struct mcp_call *call) CIS_REQUIRES(mcp_lock)
{
    bool room = m->nwaits < WAITS_MAX && m->wait_bytes <= WAIT_BYTES;
    m->nwaits += room;
    m->wait_bytes += room ? call->message.bytes : 0;
    return room;
}

static void leave_room(struct cis_mcp *m, const struct mcp_call *call) CIS_REQUIRES(mcp_lock)
{
    m->nwaits--;
    m->wait_bytes -= call->message.bytes;
}

static struct mcp_call *take_at(struct cis_mcp *m, struct mcp_call **at) CIS_REQUIRES(mcp_lock)
{
    struct mcp_call *call = *at;
    *at = call->next;
    leave_room(m, call);
    return call;
}

/* Gives the question a name that an answer may have, and the call its place. False: there is none.
 */
static bool begin(struct mcp_call *call) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = call->mcp;
    cis_mutex_lock(&m->lock, mcp_lock);
    bool room = take_room(m, call);
    call->unanswered = room ? CIS_E_CANCELLED : CIS_E_LIMIT;
    call->ask_until_ns = cis_clock_after(cis_clock_mono_ns(), WAIT_NS);
    snprintf(call->ask_id, sizeof call->ask_id, "cis-%llu", (unsigned long long)++m->asked);
    cis_mutex_unlock(&m->lock, mcp_lock);
    return room;
}

static bool tell(struct mcp_call *call)
{
    json_t *one = json_object_iter_value(json_object_iter(call->open));
    return cis_mcp_tell(call, json_pack("{s:s,s:s,s:s,s:O}", "jsonrpc", "2.0", "id", call->ask_id,
                                        "method", cis_mcp_ask_method(json_object_get(one, "about")),
                                        "params", json_object_get(one, "params")));
}

void cis_mcp_wait(struct mcp_call *call) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = call->mcp;
    bool room = begin(call), asked = room && tell(call);
    cis_mutex_lock(&m->lock, mcp_lock);
    cis_mcp_ended(m, call);
    if (!asked && call->exchange != NULL && cis_httpd_there(call->exchange)) {
        call->unanswered = CIS_E_LIMIT; /* others do not read */
    }
    /* It may have been answered or cancelled before it is here. */
    if (asked && call->answer == NULL && call->unanswered != CIS_E_INVALID && !call->cancelled &&
        !m->closing && !m->ending) {
        call->next = m->waits;
        m->waits = call;
    } else {
        call->ask_id[0] = 0;
        if (room) {
            leave_room(m, call);
        }
        cis_mcp_queue_again(m, call);
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
}

static bool answers(const struct mcp_call *c, struct cis_str id, const uint8_t *session)
{
    bool theirs = session == NULL
                      ? c->exchange == NULL
                      : c->exchange != NULL && memcmp(session, c->session, CIS_MAC_BYTES) == 0;
    return theirs && c->ask_id[0] != 0 && cis_str_is(id, c->ask_id);
}

static void take_answer(struct mcp_call *c, const struct mcp_message *message)
{
    bool fits = message->bytes <= ANSWER_BYTES;
    c->ask_id[0] = 0; /* a second answer is none, and none to what is asked next */
    c->answer = fits ? json_incref(message->all) : NULL;
    c->unanswered = fits ? CIS_OK : CIS_E_INVALID;
}

void cis_mcp_answered(struct cis_mcp *m, const struct mcp_message *message, const uint8_t *session)
    CIS_TAKES(mcp_lock)
{
    struct cis_str id = cis_mcp_field(message->all, "id");
    struct mcp_call *found = NULL;
    cis_mutex_lock(&m->lock, mcp_lock);
    for (struct mcp_call **at = &m->waits; *at != NULL && found == NULL;) {
        if (answers(*at, id, session)) {
            found = take_at(m, at);
            take_answer(found, message);
            cis_mcp_queue_again(m, found);
        } else {
            at = &(*at)->next;
        }
    }
    for (struct mcp_call *c = m->running; c != NULL && found == NULL; c = c->next) {
        if (answers(c, id, session)) { /* it is just being put aside */
            found = c;
            take_answer(c, message);
        }
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
}

void cis_mcp_waits_look(struct cis_mcp *m, bool all)
{
    uint64_t now = m->waits != NULL ? cis_clock_mono_ns() : 0;
    for (struct mcp_call **at = &m->waits; *at != NULL;) {
        struct mcp_call *c = *at;
        bool late = c->ask_until_ns <= now;
        if (!all && !late && (c->exchange == NULL || cis_httpd_there(c->exchange))) {
            at = &c->next;
            continue;
        }
        c->ask_id[0] = 0;
        c->unanswered = late ? CIS_E_DEADLINE : CIS_E_CANCELLED;
        cis_mcp_queue_again(m, take_at(m, at));
    }
}

struct mcp_call *cis_mcp_waits_take(struct cis_mcp *m, const json_t *id, const uint8_t *session)
{
    struct mcp_call *left = NULL;
    for (struct mcp_call **at = &m->waits; *at != NULL;) {
        if (id != NULL && !cis_mcp_is_of(*at, id, session)) {
            at = &(*at)->next;
            continue;
        }
        struct mcp_call *c = take_at(m, at);
        c->cancelled = c->cancelled || id != NULL;
        c->next = left;
        left = c;
    }
    return left;
}
