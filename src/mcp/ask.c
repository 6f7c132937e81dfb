/* Questions to the person, through the dialog of the client. In the revision of 2026 a call ends
 * with what is asked and a sealed state, and the client calls again with the answers; before it,
 * the server asks while the call waits (wait.c), and runs it again. What answers what is never the
 * model's to say: answers come beside a call's arguments, and only those count that were asked for.
 */
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
    json_decref(call->answer);
    call->answers = call->open = call->answer = NULL;
}

/* ---- what the person said ---- */

/* One answer: {"about":…,"content":…}, content null for no; "dismissed" without content. */
static cis_code take(struct mcp_call *call, const char *key, json_t *about, const json_t *response,
                     struct cis_error *err)
{
    struct cis_str action = cis_mcp_field(response, "action");
    json_t *content = cis_mcp_member(response, "content");
    json_t *one = json_pack("{s:O}", "about", about);
    if (json_is_string(about) && json_is_object(response)) { /* the client's own */
        json_object_set_new(one, "content", json_incref((json_t *)(uintptr_t)response));
    } else if (cis_str_is(action, "accept") && (content == NULL || json_is_object(content))) {
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

/* ---- who is asked ---- */

static const struct {
    const char *method, *capability;
} of_client[] = {{"sampling/createMessage", "sampling"}, {"roots/list", "roots"}};

const char *cis_mcp_ask_method(const json_t *about)
{
    return json_is_string(about) ? json_string_value(about) : "elicitation/create";
}

static bool is_roots(const json_t *about)
{
    return strcmp(cis_mcp_ask_method(about), of_client[1].method) == 0;
}

const char *cis_mcp_ask_lacks(const struct mcp_call *call, const json_t *about)
{
    if (!json_is_string(about)) {
        return call->elicits ? NULL : "elicitation";
    }
    return (is_roots(about) ? call->roots : call->samples) ? NULL
                                                           : of_client[is_roots(about)].capability;
}

void cis_mcp_ask_skip(struct mcp_call *call, const char *key)
{
    json_object_set_new(call->answers, key, json_pack("{s:n,s:n}", "about", "content"));
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
    const json_t *responses = cis_mcp_member(params, "inputResponses");
    struct cis_str text = cis_mcp_field(params, "requestState");
    struct cis_error err = {0};
    json_t *state = NULL, *about;
    const char *key;
    call->answers = call->answers != NULL ? call->answers : json_object();
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
                            json_pack("{s:s,s:O}", "method",
                                      cis_mcp_ask_method(json_object_get(one, "about")), "params",
                                      json_object_get(one, "params")));
    }
    json_t *result = json_pack("{s:o,s:o}", "inputRequests", requests, "requestState",
                               cis_mcp_text(cis_buf_view(&text)));
    cis_mcp_result(call, result, false, out);
    json_object_set_new(result, "resultType", json_string("input_required"));
    return result != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* ---- the answer to a call that waited ---- */

static const char *why_not(cis_code code)
{
    return code == CIS_E_DEADLINE  ? "nobody answered in 10 minutes"
           : code == CIS_E_INVALID ? "the answer is too long"
           : code == CIS_E_LIMIT   ? "too many wait already: call again"
                                   : "the client went away";
}

cis_code cis_mcp_ask_answered(struct mcp_call *call, struct cis_error *err)
{
    cis_code code = CIS_OK;
    const char *key = "";
    json_t *one = NULL;
    if (!call->waits) {
        return CIS_OK;
    }
    json_t *open = call->open, *answer = call->answer, *result = json_object_get(answer, "result");
    call->open = call->answer = NULL;
    call->waits = false;
    json_object_foreach(open, key, one) /* there is one */
    {
        struct cis_str why = cis_mcp_field(json_object_get(answer, "error"), "message");
        if (answer == NULL) {
            code = cis_fail(err, call->unanswered, "question: %s", why_not(call->unanswered));
        } else if (result == NULL) {
            code = cis_fail(err, CIS_E_INPUT_REQUIRED, "the client did not ask the person: %.120s",
                            why.ptr != NULL ? why.ptr : "no reason");
        } else {
            code = take(call, key, json_object_get(one, "about"), result, err);
        }
    }
    json_decref(open);
    json_decref(answer);
    return code;
}

/* ---- asking ---- */

/* Who asks stands before what is asked, and before each line of a guest's text a bar. */
static json_t *message_of(const struct mcp_question *q)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    struct cis_str rest = cis_str_of(json_string_value(json_object_get(q->request, "message")));
    struct cis_str line;
    bool barred = q->foreign && memchr(rest.ptr, '\n', rest.len) != NULL;
    cis_buf_printf(&text, "%s asks:%s", q->who, barred ? "" : " ");
    for (bool more = barred; more;) {
        more = cis_str_split(&rest, '\n', &line);
        cis_buf_text(&text, "\n| ");
        cis_buf_str(&text, line);
    }
    cis_buf_str(&text, rest);
    if (q->why != NULL) {
        cis_buf_printf(&text, "\n%s", q->why);
    }
    return text.failed == CIS_OK ? cis_mcp_text(cis_buf_view(&text)) : NULL;
}

/* What the client shows. */
static json_t *params_of(const struct mcp_call *call, const struct mcp_question *q)
{
    const json_t *schema = json_object_get(q->request, "schema");
    json_t *params =
        json_pack("{s:o,s:o}", "message", message_of(q), "requestedSchema",
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
    const char *lacks = cis_mcp_ask_lacks(call, q->about);
    if (lacks != NULL) {
        call->unable = lacks;
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%.80s asks the %s, and this client cannot ask: it lacks the "
                        "capability \"%s\"",
                        q->who, json_is_string(q->about) ? "client" : "person", lacks);
    }
    if (++call->asked > ANSWERS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%.80s asks more than %u questions", q->who, ANSWERS_MAX);
    }
    json_t *params =
        json_is_string(q->about)
            ? json_deep_copy(json_object_get(q->request, of_client[is_roots(q->about)].capability))
            : params_of(call, q);
    json_t *about = q->about != NULL ? json_incref(q->about) : json_null();
    cis_code code =
        params != NULL && about != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
    if (code == CIS_OK) {
        call->open = call->open != NULL ? call->open : json_object();
        json_object_set_new(call->open, q->key,
                            json_pack("{s:O,s:O}", "about", about, "params", params));
        code = cis_fail(err, CIS_E_INPUT_REQUIRED, "%.80s asks the person", q->who);
    }
    json_decref(params);
    json_decref(about);
    return code;
}
