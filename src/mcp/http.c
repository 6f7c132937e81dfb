/* HTTP as a transport: POST /mcp, one message each. Who may call is decided by the head, before a
 * body is read. A request is answered with JSON, or with a stream of events once something is to be
 * told before the answer. There are no sessions: what a client calls its session only tells its
 * calls from those of others, and is kept nowhere. */
#include "mcp/internal.h"

#include <stdio.h>
#include <sys/resource.h>
#include "base/clock.h"
#include "base/mem.h"
#include "mcp/http_long.h"

#define BODIES_MAX ((size_t)64 << 20)
#define ANSWERS_MAX ((size_t)128 << 20)
#define CONNECTIONS_MAX 1200u
#define SESSION_MAX 256u
#define EVENT_MORE ((size_t)64) /* of an event, besides its message */
#define SMALL ((size_t)65536)   /* an answer that there is always room for */
#define JSON_TYPE "application/json"

struct mcp_http {
    struct cis_mcp *mcp;
    cis_httpd *server;
    struct mcp_longs longs;
    uint8_t key[CIS_MAC_KEY_BYTES]; /* of this process: what is compared is hashed with it */
    uint8_t token[CIS_MAC_BYTES];
};

static void hash(const struct mcp_http *h, struct cis_str text, uint8_t out[CIS_MAC_BYTES])
{
    struct cis_bytes part = cis_bytes_of(text.ptr, text.len);
    cis_mac(h->key, &part, 1, out);
}

/* ---- who may call ---- */

static void say(struct cis_httpd_refusal *out, unsigned status, const char *text)
{
    *out = (struct cis_httpd_refusal){.status = status};
    snprintf(out->text, sizeof out->text, "%s", text);
}

static struct cis_str port_of(struct cis_str host)
{
    for (size_t i = host.len; i > 0 && host.ptr[i - 1] != ']'; i--) {
        if (host.ptr[i - 1] == ':') {
            return (struct cis_str){host.ptr + i, host.len - i};
        }
    }
    return CIS_STR("80");
}

/* A page of another site that has its name point here has that name in Host (DNS rebinding): an
 * address, or "localhost", is what it cannot have. */
static bool host_good(const struct mcp_http *h, const struct cis_httpd_request *r,
                      struct cis_str host)
{
    const char *also = h->mcp->o.http->host;
    if (also != NULL && cis_httpd_same(host, also)) {
        return true;
    }
    struct cis_str port = port_of(host), name = host;
    if (!cis_str_eq(port, port_of(r->local))) {
        return false;
    }
    name.len = port.ptr > host.ptr && port.ptr < host.ptr + host.len
                   ? (size_t)(port.ptr - host.ptr) - 1
                   : host.len;
    struct cis_str own = {r->local.ptr, r->local.len - port_of(r->local).len - 1};
    return cis_str_eq(name, own) ||
           (cis_httpd_is_loopback(h->server) && cis_httpd_same(name, "localhost"));
}

static bool origin_good(const struct mcp_http *h, const struct cis_httpd_request *r)
{
    struct cis_str origin;
    size_t n = cis_httpd_field(r, "origin", &origin);
    if (n == 0) {
        return true;
    }
    struct cis_str host = {origin.ptr + 7, origin.len > 7 ? origin.len - 7 : 0};
    const char *also = h->mcp->o.http->host;
    if (n == 1 && also != NULL && origin.len > 8 &&
        cis_httpd_same((struct cis_str){origin.ptr, 8}, "https://") &&
        cis_httpd_same((struct cis_str){origin.ptr + 8, origin.len - 8}, also)) {
        return true; /* what stands before this server has the certificate of that name */
    }
    return n == 1 && origin.len > 7 && cis_httpd_same((struct cis_str){origin.ptr, 7}, "http://") &&
           host_good(h, r, host);
}

static bool token_good(const struct mcp_http *h, const struct cis_httpd_request *r)
{
    struct cis_str value;
    uint8_t given[CIS_MAC_BYTES];
    if (h->mcp->o.http->token == NULL) {
        return true;
    }
    size_t n = cis_httpd_field(r, "authorization", &value);
    bool bearer =
        n == 1 && value.len > 7 && cis_httpd_same((struct cis_str){value.ptr, 7}, "bearer ");
    struct cis_str token = {value.ptr + 7, bearer ? value.len - 7 : 0};
    hash(h, bearer ? cis_str_trim(token) : CIS_STR(""), given);
    return cis_mac_eq(given, h->token) && bearer;
}

static bool is_json(const struct cis_httpd_request *r)
{
    struct cis_str type;
    return cis_httpd_field(r, "content-type", &type) == 1 &&
           memchr(type.ptr, ',', type.len) == NULL && cis_httpd_lists(type, JSON_TYPE);
}

static bool accepts(const struct cis_httpd_request *r, const char *type, const char *group)
{
    struct cis_str list;
    return cis_httpd_field(r, "accept", &list) == 0 || cis_httpd_has(r, "accept", type) ||
           cis_httpd_has(r, "accept", group) || cis_httpd_has(r, "accept", "*/*");
}

/* What a session subscribed to is told by a stream that it opens. */
static bool is_stream(const struct cis_httpd_request *r)
{
    struct cis_str name;
    return cis_str_is(r->method, "GET") && cis_httpd_field(r, "mcp-session-id", &name) == 1 &&
           name.len != 0 && name.len <= SESSION_MAX;
}

static void on_head(void *self, const struct cis_httpd_request *r, struct cis_httpd_refusal *out)
{
    const struct mcp_http *h = self;
    struct cis_str path = r->target;
    const char *query = memchr(path.ptr, '?', path.len);
    path.len = query != NULL ? (size_t)(query - path.ptr) : path.len;
    if (!host_good(h, r, r->host)) {
        say(out, 403, "Host is not this server's");
    } else if (!origin_good(h, r)) {
        say(out, 403, "Origin is not this server's");
    } else if (!token_good(h, r)) {
        say(out, 401, "give the token of this server: Authorization: Bearer TOKEN");
        out->fields = "WWW-Authenticate: Bearer\r\n";
    } else if (!cis_str_is(path, "/mcp")) {
        say(out, 404, "only /mcp is here");
    } else if (is_stream(r)) {
        if (!accepts(r, MCP_STREAM_TYPE, "text/*")) {
            say(out, 406, "Accept does not have text/event-stream");
        }
    } else if (!cis_str_is(r->method, "POST")) {
        say(out, 405, "only POST, and GET for the stream of a session that Mcp-Session-Id names");
        out->fields = "Allow: POST, GET\r\n";
    } else if (!is_json(r)) {
        say(out, 415, "Content-Type is not application/json");
    } else if (!accepts(r, JSON_TYPE, "application/*") || !accepts(r, MCP_STREAM_TYPE, "text/*")) {
        say(out, 406, "Accept does not have application/json and text/event-stream");
    }
}

/* ---- answers ---- */

/* A client of 2026 reads the status; one of 2025 wants to see the message. */
static unsigned status_of(bool modern, int code)
{
    switch (code) {
    case MCP_PARSE:
    case MCP_INVALID:
        return 400;
    case MCP_PARAMS:
    case MCP_HEADER:
    case MCP_CAPABILITY:
    case MCP_VERSION:
        return modern ? 400 : 200;
    case MCP_NO_METHOD:
        return modern ? 404 : 200;
    default:
        return 200;
    }
}

/* The last message of a stream. */
static void end_stream(cis_httpd_exchange *x, struct cis_str text)
{
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf event = CIS_BUF_INIT(cis_size_add(text.len, EVENT_MORE));
    cis_buf_text(&event, "event: message\ndata: ");
    cis_buf_str(&event, text);
    cis_buf_text(&event, "\n\n");
    cis_httpd_end(x, event.failed == CIS_OK ? cis_buf_view(&event) : CIS_STR(""));
}

static void refuse_busy(cis_httpd_exchange *x, const char *why)
{
    cis_httpd_answer(x, 503, "text/plain", "Retry-After: 1\r\n", cis_str_of(why));
}

/* Takes what is in the reply. must: it says what was done, so that it is given whoever does not
 * read what is his. */
static void answer(cis_httpd_exchange *x, const json_t *id, bool modern, bool must,
                   const char *fields, struct mcp_reply *reply)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(MCP_ANSWER_MAX);
    unsigned status = status_of(modern, reply->code);
    cis_mcp_answer(id, reply, &line);
    struct cis_str text = cis_buf_view(&line);
    text.len -= text.len != 0; /* without the end of the line */
    if (!must && text.len > SMALL && cis_httpd_full(x)) {
        refuse_busy(x, "too many answers wait to be read: try again\n");
        return;
    }
    /* Who tells how far the call is may begin the stream at any moment until it is answered. */
    if (cis_httpd_streams(x) || !cis_httpd_answer(x, status, JSON_TYPE, fields, text)) {
        end_stream(x, text);
    }
}

void cis_mcp_http_answer(const struct mcp_call *call, struct mcp_reply *reply)
{
    answer(call->exchange, call->message.id, call->modern, true, NULL, reply);
}

/* Both do nothing to an exchange that was answered. */
void cis_mcp_http_close(const struct mcp_call *call)
{
    cis_httpd_end(call->exchange, CIS_STR(""));
    if (call->cancelled) {
        cis_httpd_answer(call->exchange, 202, NULL, NULL, CIS_STR(""));
    } else {
        cis_httpd_answer(call->exchange, 503, "text/plain", "Retry-After: 1\r\n",
                         CIS_STR("the server ends\n"));
    }
}

/* ---- fields that repeat what the message says (2026-07-28) ---- */

/* Something before this server may have decided by them who may send what, also where a message of
 * a revision before does not need them. */
#define METHOD_FIELD "Mcp-Method"
#define NAME_FIELD "Mcp-Name"

static bool field_is(const struct cis_httpd_request *r, const char *name, struct cis_str want,
                     struct mcp_reply *reply)
{
    struct cis_str value;
    size_t n = cis_httpd_field(r, name, &value);
    if (n == 1 && cis_str_eq(value, want)) {
        return true;
    }
    cis_mcp_refuse(reply, MCP_HEADER, "%s: %s", name,
                   n == 0   ? "is missing"
                   : n != 1 ? "is there more than once"
                            : "is not what the message says");
    return false;
}

/* What cannot stand in a field is there in base64. */
static bool name_good(const struct cis_httpd_request *r, struct cis_str want,
                      struct mcp_reply *reply)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf coded = CIS_BUF_INIT(2 * CIS_HTTPD_HEAD_MAX);
    struct cis_str value;
    cis_buf_text(&coded, "=?base64?");
    cis_mcp_base64(cis_bytes_of(want.ptr, want.len), &coded);
    cis_buf_text(&coded, "?=");
    bool same = cis_httpd_field(r, NAME_FIELD, &value) == 1 && coded.failed == CIS_OK &&
                cis_str_eq(value, cis_buf_view(&coded));
    return same || field_is(r, NAME_FIELD, want, reply);
}

/* The name of what the method is about; ptr NULL: there is none. */
static struct cis_str name_of(const struct mcp_message *message)
{
    static const struct {
        const char *method, *name;
    } named[] = {{"tools/call", "name"}, {"prompts/get", "name"}, {"resources/read", "uri"}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (message->method != NULL && strcmp(named[i].method, message->method) == 0) {
            return cis_mcp_field(message->params, named[i].name);
        }
    }
    return (struct cis_str){NULL, 0};
}

/* all: they have to be there. */
static bool repeats_good(const struct cis_httpd_request *r, const struct mcp_message *message,
                         bool all, struct mcp_reply *reply)
{
    struct cis_str value, name = name_of(message);
    const char *method = message->method != NULL ? message->method : ""; /* an answer has none */
    bool with_method = all || cis_httpd_field(r, METHOD_FIELD, &value) != 0;
    bool with_name = name.ptr != NULL && (all || cis_httpd_field(r, NAME_FIELD, &value) != 0);
    return (!with_method || field_is(r, METHOD_FIELD, cis_str_of(method), reply)) &&
           (!with_name || name_good(r, name, reply));
}

static bool fields_good(const struct cis_httpd_request *r, const struct mcp_message *message,
                        struct mcp_reply *reply)
{
    const json_t *meta = json_object_get(message->params, "_meta");
    struct cis_str version = cis_mcp_field(meta, MCP_META "protocolVersion");
    struct cis_str value;
    if (version.ptr == NULL && cis_httpd_field(r, "mcp-protocol-version", &value) != 0 &&
        cis_str_is(value, MCP_MODERN)) {
        cis_mcp_refuse(reply, MCP_PARAMS, "_meta: " MCP_META "protocolVersion is missing");
        return false;
    }
    return (version.ptr == NULL || field_is(r, "MCP-Protocol-Version", version, reply)) &&
           repeats_good(r, message, version.ptr != NULL, reply);
}

/* ---- requests ---- */

/* False: the version is none of ours. */
static bool take_legacy(const struct cis_httpd_request *r, const char **out)
{
    struct cis_str version;
    size_t n = cis_httpd_field(r, "mcp-protocol-version", &version);
    *out = n == 0 ? cis_mcp_legacy(CIS_STR("2025-06-18")) : cis_mcp_legacy(version);
    return n <= 1 && *out != NULL;
}

/* What its session is called says what its client can do: nothing of it is kept here. "ID.asr": it
 * asks the person, samples, tells its roots. */
static void session_can(const struct cis_httpd_request *r, struct mcp_call *call)
{
    struct cis_str name;
    bool named = cis_httpd_field(r, "mcp-session-id", &name) == 1 && name.len <= SESSION_MAX;
    const char *dot = named ? memrchr(name.ptr, '.', name.len) : NULL;
    size_t n = dot != NULL ? (size_t)(name.ptr + name.len - dot) : 0;
    call->elicits = n != 0 && memchr(dot, 'a', n) != NULL;
    call->samples = n != 0 && memchr(dot, 's', n) != NULL;
    call->roots = n != 0 && memchr(dot, 'r', n) != NULL;
}

/* False, and zeros: it names none, or by more bytes than a name may have. Nobody can cancel such
 * calls or answer their questions: they would be those of everybody. */
static bool session_of(const struct mcp_http *h, const struct cis_httpd_request *r,
                       uint8_t out[CIS_MAC_BYTES])
{
    struct cis_str name;
    bool named = cis_httpd_field(r, "mcp-session-id", &name) == 1 && name.len != 0 &&
                 name.len <= SESSION_MAX;
    memset(out, 0, CIS_MAC_BYTES);
    if (named) {
        hash(h, name, out);
    }
    return named;
}

static void begin_session(char out[80], const struct mcp_call *call)
{
    char id[CIS_ID_CHARS + 1];
    cis_id_new(id);
    snprintf(out, 80, "Mcp-Session-Id: %s.%s%s%s\r\n", id, call->elicits ? "a" : "",
             call->samples ? "s" : "", call->roots ? "r" : "");
}

static void drop_cancel(void *tag)
{
    cis_cancel_unref(tag);
}

static void on_call(struct mcp_http *h, cis_httpd_exchange *x, const struct cis_httpd_request *r,
                    struct mcp_message *message)
{
    struct mcp_reply reply = {0};
    bool modern =
        cis_mcp_field(json_object_get(message->params, "_meta"), MCP_META "protocolVersion").ptr !=
        NULL;
    bool first = strcmp(message->method, "initialize") == 0;
    const char *legacy = NULL;
    char session[80] = "";
    if (!fields_good(r, message, &reply)) {
        answer(x, message->id, true, false, NULL, &reply);
        return;
    }
    if (!modern && !first && !take_legacy(r, &legacy)) {
        cis_mcp_refuse(&reply, MCP_INVALID, "MCP-Protocol-Version: not one of this server's");
        answer(x, message->id, false, false, NULL, &reply);
        return;
    }
    struct mcp_call *call = cis_mcp_call_new(h->mcp, message);
    if (call == NULL) {
        cis_httpd_answer(x, 503, "text/plain", NULL, CIS_STR("out of memory\n"));
        return;
    }
    call->exchange = cis_httpd_ref(x);
    call->legacy = legacy;
    session_can(r, call);
    session_of(h, r, call->session);
    if (cis_mcp_method_now(h->mcp, call, &reply)) {
        if (first && reply.code == 0) {
            begin_session(session, call);
        }
        answer(x, call->message.id, call->modern, false, session[0] != 0 ? session : NULL, &reply);
        cis_mcp_call_free(call);
        return;
    }
    /* A client of 2026 cancels by going away; for one of 2025 that means nothing. */
    if (call->modern && !cis_httpd_tag(x, cis_cancel_ref(call->cancel), drop_cancel)) {
        cis_cancel_unref(call->cancel);
        cis_mcp_call_free(call);
        return;
    }
    bool full = cis_httpd_full(x);
    if (full || !cis_mcp_queue(h->mcp, call, false)) {
        refuse_busy(x, full ? "too many answers wait to be read: try again\n"
                            : "too many calls wait: try again\n");
        cis_mcp_call_free(call);
    }
}

static void on_notification(struct mcp_http *h, const struct cis_httpd_request *r,
                            const struct mcp_message *message)
{
    uint8_t session[CIS_MAC_BYTES];
    const json_t *id = json_object_get(message->params, "requestId");
    if (strcmp(message->method, "notifications/cancelled") == 0 && id != NULL &&
        session_of(h, r, session)) {
        cis_mcp_cancel(h->mcp, id, session);
    }
}

/* What a client answers to a question of ours; in its session. */
static void on_answer(struct mcp_http *h, const struct cis_httpd_request *r,
                      const struct mcp_message *message)
{
    uint8_t session[CIS_MAC_BYTES];
    if (session_of(h, r, session)) {
        cis_mcp_answered(h->mcp, message, session);
    }
}

static void on_stream(struct mcp_http *h, cis_httpd_exchange *x, const struct cis_httpd_request *r)
{
    struct mcp_message none = {.all = json_object()};
    struct mcp_call *call = none.all != NULL ? cis_mcp_call_new(h->mcp, &none) : NULL;
    json_decref(none.all);
    if (call == NULL) {
        cis_httpd_answer(x, 503, "text/plain", NULL, CIS_STR("out of memory\n"));
        return;
    }
    cis_mcp_lists_unref(call->lists); /* it may outlive many of them */
    call->lists = NULL;
    call->exchange = cis_httpd_ref(x);
    session_of(h, r, call->session);
    cis_httpd_tag(x, cis_cancel_ref(call->cancel), drop_cancel);
    if (!cis_mcp_listen_stream(call)) {
        cis_httpd_answer(x, 503, "text/plain", NULL, CIS_STR("too many streams: close one\n"));
        cis_mcp_call_free(call);
    }
}

static void take_message(void *self, cis_httpd_exchange *x, const struct cis_httpd_request *r)
{
    struct mcp_http *h = self;
    struct mcp_reply reply = {0};
    struct mcp_message message = {0};
    enum mcp_kind kind = cis_mcp_message_read(r->body, &message, &reply);
    if ((kind == MCP_NOTIFICATION || kind == MCP_ANSWER) &&
        !repeats_good(r, &message, false, &reply)) {
        kind = MCP_BROKEN;
    }
    switch (kind) {
    case MCP_NOTHING: /* an answer to nobody, or nothing at all */
        if (message.all == NULL) {
            cis_mcp_refuse(&reply, MCP_PARSE, "no message");
            answer(x, NULL, true, false, NULL, &reply);
            break;
        }
        cis_httpd_answer(x, 202, NULL, NULL, CIS_STR(""));
        break;
    case MCP_ANSWER:
        on_answer(h, r, &message);
        cis_httpd_answer(x, 202, NULL, NULL, CIS_STR(""));
        break;
    case MCP_BROKEN:
        answer(x, message.id, true, false, NULL, &reply);
        break;
    case MCP_NOTIFICATION:
        on_notification(h, r, &message);
        cis_httpd_answer(x, 202, NULL, NULL, CIS_STR(""));
        break;
    case MCP_REQUEST:
        on_call(h, x, r, &message);
        break;
    }
    cis_mcp_reply_done(&reply);
    json_decref(message.all);
}

static void on_request(void *self, cis_httpd_exchange *x, const struct cis_httpd_request *r)
{
    struct mcp_http *h = self;
    if (cis_str_is(r->method, "GET")) {
        on_stream(h, x, r);
    } else if (r->body.len <= CIS_MCP_LONG) {
        take_message(h, x, r);
    } else if (!cis_mcp_long_add(&h->longs, x, r)) {
        refuse_busy(x, "too many long messages wait: try again\n");
    }
}

static void on_gone(void *self, void *tag)
{
    struct mcp_http *h = self;
    cis_mcp_cancelled(h->mcp, tag);
}

static void on_ending(void *self)
{
    struct mcp_http *h = self;
    cis_mcp_end_now(h->mcp);
}

/* ---- all of it ---- */

/* The other half of the descriptors is for what is done for clients: nobody who only connects is to
 * keep a call from its files. */
static size_t connections_max(void)
{
    struct rlimit files;
    bool few = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 2 < CONNECTIONS_MAX;
    return few ? (size_t)files.rlim_cur / 2 : CONNECTIONS_MAX;
}

cis_code cis_mcp_http_open(struct cis_mcp *m, struct mcp_http **out, struct cis_error *err)
{
    struct mcp_http *h = cis_zalloc(sizeof *h);
    if (h == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    h->mcp = m;
    const struct cis_httpd_options o = {.address = m->o.http->address,
                                        .cancel = m->o.cancel,
                                        .connections_max = connections_max(),
                                        .body_max = CIS_MCP_LINE_MAX,
                                        .bodies_max = BODIES_MAX,
                                        .answers_max = ANSWERS_MAX,
                                        .stream_max = CIS_MCP_OUT_MAX,
                                        .read_min = (size_t)16 << 10,
                                        .head_ns = 10 * CIS_NS_PER_S,
                                        .body_ns = 60 * CIS_NS_PER_S,
                                        .idle_ns = 120 * CIS_NS_PER_S,
                                        .stall_ns = 30 * CIS_NS_PER_S,
                                        .full_ns = 5 * CIS_NS_PER_S,
                                        .end_ns = 5 * CIS_NS_PER_S,
                                        .head = on_head,
                                        .request = on_request,
                                        .gone = on_gone,
                                        .ending = on_ending,
                                        .self = h};
    cis_random_bytes(h->key, sizeof h->key);
    hash(h, cis_str_of(m->o.http->token != NULL ? m->o.http->token : ""), h->token);
    cis_code code = cis_httpd_open(&o, &h->server, err);
    if (code == CIS_OK && m->o.http->ready != NULL) {
        m->o.http->ready(m->o.http->self, cis_httpd_address(h->server),
                         cis_httpd_is_loopback(h->server));
    }
    if (code != CIS_OK) {
        cis_mcp_http_free(h);
        return code;
    }
    *out = h;
    return CIS_OK;
}

cis_code cis_mcp_http_serve(struct mcp_http *h, struct cis_error *err)
{
    cis_code code = cis_mcp_long_begin(&h->longs, take_message, h, err);
    code = code == CIS_OK ? cis_httpd_serve(h->server, err) : code;
    cis_mcp_long_end(&h->longs);
    return code;
}

void cis_mcp_http_free(struct mcp_http *h)
{
    if (h != NULL) {
        cis_httpd_free(h->server);
        cis_wipe(h->key, sizeof h->key);
        cis_free(h);
    }
}
