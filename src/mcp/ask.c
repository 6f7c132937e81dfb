/* Questions to the person, through the dialog of the client. In the revision of 2026 a call ends
 * with what is asked and a sealed state, and the client calls again with the answers; before it,
 * the server asks while the call waits. What answers what is never the model's to say: answers come
 * beside a call's arguments, and only those count that were asked for. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/seal.h"
#include "host/form.h"

#define STATE_NS (600 * CIS_NS_PER_S) /* that a client may take to ask */
#define STATE_MAX (CIS_SEAL_MAX / 2)
#define ANSWERS_MAX 64u

void cis_mcp_ask_done(struct mcp_call *call)
{
    json_decref(call->answers);
    json_decref(call->open);
    call->answers = call->open = NULL;
}

/* ---- what the person said ---- */

/* One answer: {"about":…,"content":…}, content null for no; "dismissed" without content. */
static cis_code take(struct mcp_call *call, const char *key, json_t *about, const json_t *response,
                     struct cis_error *err)
{
    struct cis_str action = cis_mcp_field(response, "action");
    json_t *content = json_object_get(response, "content");
    json_t *one = json_pack("{s:O}", "about", about);
    if (cis_str_is(action, "accept") && (content == NULL || json_is_object(content))) {
        json_object_set_new(one, "content", content != NULL ? json_incref(content) : json_object());
    } else if (cis_str_is(action, "decline")) {
        json_object_set_new(one, "content", json_null());
    } else if (!cis_str_is(action, "cancel")) {
        json_decref(one);
        return cis_fail(err, CIS_E_INVALID, "the client's answer to %.64s is none", key);
    }
    return json_object_set_new(call->answers, key, one) == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_NOMEM, "out of memory");
}

const json_t *cis_mcp_ask_content(const struct mcp_call *call, const char *key,
                                  const json_t **about)
{
    const json_t *one = json_object_get(call->answers, key);
    if (about != NULL) {
        *about = json_object_get(one, "about");
    }
    return json_object_get(one, "content");
}

/* ---- the sealed state ---- */

/* What it belongs to: the same call of the same one, and nothing else. */
static cis_code beside(const struct mcp_call *call, const struct mcp_tool *tool,
                       const json_t *arguments, struct cis_buf *out, struct cis_error *err)
{
    const struct cis_mcp_options *o = &call->mcp->o;
    CIS_CLEANUP(cis_freep) char *text = json_dumps(arguments, JSON_COMPACT | JSON_SORT_KEYS);
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    if (text == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    cis_sha256(cis_bytes_of(text, strlen(text)), digest);
    cis_hex(digest, sizeof digest, hex);
    const char *who = call->principal != NULL ? call->principal : "";
    const struct cis_mcp *m = call->mcp;
    const char *served = m->folder != NULL ? m->folder : m->branch;
    cis_json_object(out, CIS_JSON(CIS_J("tenant", o->tenant), CIS_J("served", served),
                                  CIS_J("principal", who), CIS_J("tool", tool->name),
                                  CIS_J("digest", tool->digest != NULL ? tool->digest : ""),
                                  CIS_J("arguments", hex)));
    return cis_buf_check(out, "state", err);
}

static cis_code open_state(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct cis_str text, json_t **out,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf about = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf plain = CIS_BUF_INIT(STATE_MAX + 64);
    CIS_TRY(beside(call, tool, arguments, &about, err));
    CIS_TRY(cis_unseal(call->mcp->o.state_key, cis_buf_bytes(&about), text, &plain, err));
    json_t *state = json_loadb((const char *)plain.ptr, plain.len, JSON_ALLOW_NUL, NULL);
    if (json_integer_value(json_object_get(state, "until")) < cis_clock_wall_ms()) {
        json_decref(state);
        return cis_fail(err, CIS_E_EXPIRED, "older than 10 minutes");
    }
    *out = state;
    return CIS_OK;
}

bool cis_mcp_ask_begin(struct mcp_call *call, const struct mcp_tool *tool, const json_t *arguments,
                       struct mcp_reply *out)
{
    const json_t *params = call->message.params;
    const json_t *responses = json_object_get(params, "inputResponses");
    struct cis_str text = cis_mcp_field(params, "requestState");
    struct cis_error err = {0};
    json_t *state = NULL, *about;
    const char *key;
    call->answers = json_object();
    if (text.ptr == NULL || !call->modern) {
        if (responses != NULL && call->modern) {
            cis_mcp_refuse(out, MCP_PARAMS, "inputResponses: requestState is missing");
        }
        return out->code == 0;
    }
    cis_code code = open_state(call, tool, arguments, text, &state, &err);
    if (code == CIS_OK) {
        json_object_update(call->answers, json_object_get(state, "answers"));
        call->asked = (unsigned)json_integer_value(json_object_get(state, "asked"));
        json_object_foreach(json_object_get(state, "open"), key, about)
        {
            const json_t *response = json_object_get(responses, key);
            code =
                code == CIS_OK && response != NULL ? take(call, key, about, response, &err) : code;
        }
    }
    json_decref(state);
    if (code != CIS_OK) {
        cis_mcp_refuse(out, MCP_PARAMS, "requestState: %s; call again without it", err.msg);
    }
    return code == CIS_OK;
}

static cis_code seal_state(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct cis_buf *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf about = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf plain = CIS_BUF_INIT(STATE_MAX);
    json_t *open = json_object(), *one;
    const char *key;
    json_object_foreach(call->open, key, one)
    {
        json_object_set(open, key, json_object_get(one, "about"));
    }
    json_int_t until = (json_int_t)(cis_clock_wall_ms() + (int64_t)(STATE_NS / CIS_NS_PER_MS));
    json_t *state = json_pack("{s:I,s:O,s:o,s:I}", "until", until, "answers", call->answers, "open",
                              open, "asked", (json_int_t)call->asked);
    cis_mcp_dump(state, &plain);
    json_decref(state);
    CIS_TRY(cis_buf_check(&plain, "state", err));
    CIS_TRY(beside(call, tool, arguments, &about, err));
    return cis_seal(call->mcp->o.state_key, cis_buf_bytes(&about), cis_buf_bytes(&plain), out, err);
}

cis_code cis_mcp_ask_reply(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct mcp_reply *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(2 * CIS_SEAL_MAX);
    CIS_TRY(seal_state(call, tool, arguments, &text, err));
    json_t *requests = json_object(), *one;
    const char *key;
    json_object_foreach(call->open, key, one)
    {
        json_object_set_new(requests, key,
                            json_pack("{s:s,s:O}", "method", "elicitation/create", "params",
                                      json_object_get(one, "params")));
    }
    json_t *result = json_pack("{s:o,s:o}", "inputRequests", requests, "requestState",
                               cis_mcp_text(cis_buf_view(&text)));
    cis_mcp_result(call, result, false, out);
    json_object_set_new(result, "resultType", json_string("input_required"));
    return result != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* ---- asking while the call waits ---- */

struct mcp_wait {
    struct mcp_wait *next;
    char id[32];
    const uint8_t *session; /* whose answer is waited for; NULL: the line's */
    json_t *answer;         /* owned: the whole message; NULL: not yet */
};

void cis_mcp_answered(struct cis_mcp *m, const json_t *message, const uint8_t *session)
    CIS_TAKES(mcp_lock)
{
    struct cis_str id = cis_mcp_field(message, "id");
    cis_mutex_lock(&m->lock, mcp_lock);
    for (struct mcp_wait *w = m->waits; w != NULL; w = w->next) {
        bool theirs = session == NULL
                          ? w->session == NULL
                          : w->session != NULL && memcmp(session, w->session, CIS_MAC_BYTES) == 0;
        if (theirs && cis_str_is(id, w->id) && w->answer == NULL) {
            w->answer = json_incref((json_t *)(uintptr_t)message);
        }
    }
    pthread_cond_broadcast(&m->changed);
    cis_mutex_unlock(&m->lock, mcp_lock);
}

static void wait_for(struct cis_mcp *m, struct mcp_wait *w, const struct cis_stop *stop)
    CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    while (w->answer == NULL && !m->closing && !m->ending && !m->gone &&
           cis_stop_check(stop, "question", NULL) == CIS_OK) {
        pthread_cond_wait(&m->changed, &m->lock); /* the ticker wakes us each second */
    }
    struct mcp_wait **at = &m->waits;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    cis_mutex_unlock(&m->lock, mcp_lock);
}

static void wait_begin(struct cis_mcp *m, struct mcp_wait *w) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    snprintf(w->id, sizeof w->id, "cis-%llu", (unsigned long long)++m->asked);
    w->next = m->waits;
    m->waits = w;
    cis_mutex_unlock(&m->lock, mcp_lock);
}

static cis_code ask_now(struct mcp_call *call, const char *key, json_t *about, json_t *params,
                        struct cis_error *err)
{
    struct cis_mcp *m = call->mcp;
    struct mcp_wait w = {.session = call->exchange != NULL ? call->session : NULL};
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), STATE_NS), call->cancel};
    wait_begin(m, &w);
    cis_mcp_tell(call, json_pack("{s:s,s:s,s:s,s:O}", "jsonrpc", "2.0", "id", w.id, "method",
                                 "elicitation/create", "params", params));
    wait_for(m, &w, &stop);
    json_t *answer = w.answer;
    cis_code code;
    if (answer == NULL) {
        code = cis_stop_check(&stop, "question", err);
        code = code == CIS_OK ? cis_fail(err, CIS_E_CANCELLED, "the client went away") : code;
    } else if (json_object_get(answer, "result") == NULL) {
        code = cis_fail(err, CIS_E_INPUT_REQUIRED, "the client did not ask the person: %.120s",
                        cis_mcp_field(json_object_get(answer, "error"), "message").ptr != NULL
                            ? cis_mcp_field(json_object_get(answer, "error"), "message").ptr
                            : "no reason");
    } else {
        code = take(call, key, about, json_object_get(answer, "result"), err);
    }
    json_decref(answer);
    call->stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), m->o.time_ns);
    return code;
}

/* ---- asking ---- */

/* What the client shows. Who asks stands before what is asked. */
static json_t *params_of(const struct mcp_call *call, const char *who, const json_t *request,
                         const char *why)
{
    const json_t *schema = json_object_get(request, "schema");
    const char *message = json_string_value(json_object_get(request, "message"));
    json_t *params =
        json_pack("{s:o,s:o}", "message",
                  json_sprintf("%s asks: %s%s%s", who, message, why[0] != 0 ? "\n" : "", why),
                  "requestedSchema",
                  schema != NULL ? json_deep_copy(schema)
                                 : json_pack("{s:s,s:{}}", "type", "object", "properties"));
    if (params != NULL && call->modern) {
        json_object_set_new(params, "mode", json_string("form"));
    }
    return params;
}

cis_code cis_mcp_ask(struct mcp_call *call, const struct mcp_question *q, struct cis_error *err)
{
    const json_t *before = json_object_get(call->answers, q->key);
    if (before != NULL && json_object_get(before, "content") == NULL) {
        return cis_fail(err, CIS_E_DENIED, "the person dismissed the question of %.80s", q->who);
    }
    if (!call->elicits) {
        call->unable = true;
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%.80s asks the person, and this client cannot ask: it lacks the "
                        "capability \"elicitation\"",
                        q->who);
    }
    if (++call->asked > ANSWERS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%.80s asks more than %u questions", q->who, ANSWERS_MAX);
    }
    json_t *params = params_of(call, q->who, q->request, q->why != NULL ? q->why : "");
    json_t *about = q->about != NULL ? json_incref(q->about) : json_null();
    cis_code code =
        params != NULL && about != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
    if (code == CIS_OK && call->modern) {
        call->open = call->open != NULL ? call->open : json_object();
        json_object_set_new(call->open, q->key,
                            json_pack("{s:O,s:O}", "about", about, "params", params));
        code = cis_fail(err, CIS_E_INPUT_REQUIRED, "%.80s asks the person", q->who);
    } else if (code == CIS_OK) {
        code = ask_now(call, q->key, about, params, err);
    }
    json_decref(params);
    json_decref(about);
    return code;
}
