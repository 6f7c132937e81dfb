/* wasi:http/outgoing-handler, and an exchange as what others are over. */
#include "wasi/p2/http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/header.h"
#include "policy/net.h"

#define CONNECT_NS (60 * CIS_NS_PER_S) /* where the guest does not say */
#define ANSWER_NS (600 * CIS_NS_PER_S)

/* ---- as a source ---- */

void cis_p2_exchange_fail(struct p2_exchange *x, enum cis_http_fault fault)
{
    if (x->fault == CIS_HTTP_FINE) {
        x->fault = fault;
    }
    cis_p2_exchange_leave(x);
    x->state = (struct cis_http_state){
        .size = sizeof x->state, .status = x->state.status, .closed = true, .fd = -1};
}

static bool settled(const struct p2_exchange *x)
{
    return x->fault != CIS_HTTP_FINE || x->handle == NULL ||
           (x->state.fd < 0 && x->state.at_ns == UINT64_MAX);
}

/* The service may be an embedder's: it fills what its header has, the rest stays as it is. */
static void poll_service(struct p2_exchange *x, bool wanted)
{
    x->state.size = sizeof x->state;
    x->http->poll(x->http->self, x->handle, wanted, &x->state);
}

void cis_p2_exchange_look(cis_engine_instance *instance, struct p2_exchange *x, bool wanted)
{
    if (x->handle != NULL && x->fault == CIS_HTTP_FINE) {
        poll_service(x, wanted);
        x->fault = cis_p2_http_fault(x->state.fault);
    }
    if (x->body != NULL && x->fault == CIS_HTTP_FINE &&
        (x->body->held.len != 0 || (x->body->finished && !x->body->told))) {
        cis_p2_out_body_push(x->body);
        if (x->handle != NULL) {
            poll_service(x, wanted);
            x->fault = x->fault != CIS_HTTP_FINE ? x->fault : cis_p2_http_fault(x->state.fault);
        }
    }
    bool refused = x->fault == CIS_HTTP_DENIED || x->fault == CIS_HTTP_IP_PROHIBITED;
    if (instance != NULL && refused && !x->counted) {
        x->counted = true;
        cis_engine_instance_refused(instance, CIS_GRANT_HTTP);
    }
    if (instance != NULL) {
        cis_p2_exchange_keep(x);
        cis_p2_source_busy(instance, &x->source, !settled(x));
    }
}

/* Bytes that came before it failed are read first. */
static bool way_ready(const struct p2_exchange *x, enum p2_way way)
{
    bool over = x->fault != CIS_HTTP_FINE || x->handle == NULL;
    return over || (way == P2_READS && x->nrest != 0) ||
           (way == P2_STATE && x->state.status != 0) ||
           (way == P2_READS && (x->state.readable || x->state.ended));
}

static void exchange_wish(struct p2_source *self, enum p2_way way, struct p2_wish *out)
{
    const struct p2_exchange *x = (const struct p2_exchange *)self;
    if (way != P2_WRITES && way_ready(x, way)) {
        return;
    }
    out->fd = x->state.fd;
    out->events = x->events != 0 ? x->events : POLLIN;
    out->at_ns = x->state.at_ns != 0 ? x->state.at_ns : 1;
}

static bool exchange_ready(cis_engine_instance *instance, struct p2_source *self, enum p2_way way)
{
    struct p2_exchange *x = (struct p2_exchange *)self;
    cis_p2_exchange_look(instance, x, way != P2_WRITES);
    return way_ready(x, way);
}

size_t cis_p2_exchange_take(struct p2_exchange *x, uint8_t *to, size_t cap)
{
    size_t n = 0;
    cis_code code =
        x->handle != NULL ? x->http->read(x->http->self, x->handle, to, cap, &n) : CIS_OK;
    if (code != CIS_OK || n > cap) {
        cis_p2_exchange_fail(x, CIS_HTTP_INTERNAL);
        return 0;
    }
    return n;
}

static int exchange_read(cis_engine_instance *instance, struct p2_source *self, uint8_t *to,
                         size_t cap, size_t *out_n, bool *out_end)
{
    struct p2_exchange *x = (struct p2_exchange *)self;
    if (cap == 0 && x->nrest != x->rest_at) {
        return EAGAIN; /* there is more, so this is not the end */
    }
    *out_n = cis_p2_exchange_rest(x, to, cap);
    if (*out_n != 0) {
        cis_host_of(instance)->http_bytes_in += *out_n;
        return 0;
    }
    *out_n = cis_p2_exchange_take(x, to, cap);
    cis_p2_exchange_look(instance, x, true);
    if (*out_n == 0 && x->handle != NULL && x->state.readable && !x->state.ended) {
        *out_n = cis_p2_exchange_take(x, to, cap); /* it came just now */
        cis_p2_exchange_look(instance, x, true);
    }
    if (*out_n != 0) {
        cis_host_of(instance)->http_bytes_in += *out_n;
        return 0;
    }
    *out_end = x->fault == CIS_HTTP_FINE && x->state.ended;
    if (x->fault != CIS_HTTP_FINE) {
        cis_p2_exchange_leave(x);
    }
    return *out_end ? 0 : x->fault != CIS_HTTP_FINE ? EIO : EAGAIN;
}

static void exchange_free(struct cis_host *host, struct p2_source *self)
{
    struct p2_exchange *x = (struct p2_exchange *)self;
    if (x->body != NULL) {
        x->body->x = NULL;
        x->body->cut = true;
        cis_p2_source_unref(host, &x->body->source);
    }
    cis_p2_exchange_leave(x);
    cis_p2_exchange_rest_done(x);
    cis_p2_fields_unref(host, x->headers);
    cis_budget_release(&host->budget, x->charged);
    host->wasi_p2->nexchanges -= !x->left;
    cis_free(x);
}

const struct p2_source_ops cis_p2_exchange_ops = {.wish = exchange_wish,
                                                  .ready = exchange_ready,
                                                  .read = exchange_read,
                                                  .free = exchange_free,
                                                  .ends_alone = true};

/* ---- requests ---- */

static void write_url(const struct p2_message *m, struct cis_buf *out)
{
    bool plain = m->scheme.has && m->scheme.scheme.is == HTTP_SCHEME_HTTP;
    const char *path = m->path != NULL ? m->path : "";
    cis_buf_text(out, plain ? "http://" : "https://");
    cis_buf_text(out, m->authority);
    cis_buf_text(out, path[0] == '/' ? "" : "/");
    cis_buf_text(out, path);
}

/* Also where there is no service: a run without a grant is told that, and nothing else. */
static enum cis_http_fault check_url(struct cis_host *host, const struct cis_buf *text)
{
    CIS_CLEANUP(cis_url_done) struct cis_url url = {0};
    char line[400];
    if (text->len > 8192) {
        return CIS_HTTP_URI_TOO_LONG;
    }
    if (cis_url_parse(cis_buf_view(text), &url, NULL) != CIS_OK) {
        return CIS_HTTP_URI_INVALID;
    }
    if (cis_policy_origin_allowed(&host->grants, &url)) {
        return CIS_HTTP_FINE;
    }
    bool v6 = strchr(url.host, ':') != NULL;
    char origin[300];
    snprintf(origin, sizeof origin, v6 ? "%s://[%s]:%u" : "%s://%s:%u", url.scheme, url.host,
             (unsigned)url.port);
    snprintf(line, sizeof line, "http: %.180s is not granted (--allow http=%.180s)", origin,
             origin);
    cis_host_log(host, CIS_LOG_WARN, cis_str_of(line));
    return CIS_HTTP_DENIED;
}

static enum cis_http_fault check(struct cis_host *host, const struct p2_message *m,
                                 struct cis_buf *url, uint64_t *out_length)
{
    if (m->authority == NULL || (m->scheme.has && m->scheme.scheme.is == HTTP_SCHEME_OTHER)) {
        return CIS_HTTP_URI_INVALID;
    }
    write_url(m, url);
    enum cis_http_fault fault = url->failed == CIS_OK ? check_url(host, url) : CIS_HTTP_INTERNAL;
    if (fault != CIS_HTTP_FINE) {
        return fault;
    }
    if (!cis_p2_fields_length(m->fields, out_length)) {
        return CIS_HTTP_PROTOCOL;
    }
    if (m->body != NULL && m->body->cut) { /* dropped before it was ended */
        return CIS_HTTP_PROTOCOL;
    }
    bool none = m->body == NULL && *out_length != UINT64_MAX && *out_length != 0;
    return none ? CIS_HTTP_REQUEST_BODY_SIZE : CIS_HTTP_FINE;
}

static uint64_t span(const struct http_time_option *time, uint64_t otherwise)
{
    return time->has ? time->ns : otherwise;
}

static enum cis_http_fault open_exchange(struct p2_exchange *x, const struct p2_message *m,
                                         const struct p2_http_options *o, struct cis_buf *url,
                                         uint64_t length)
{
    enum cis_http_fault fault = CIS_HTTP_FINE;
    struct cis_error why = {0};
    void *handle = NULL;
    CIS_CLEANUP(cis_freep)
    struct cis_http_header *list = cis_calloc(cis_size_add(m->fields->n, 1), sizeof *list);
    if (list == NULL) {
        return CIS_HTTP_INTERNAL;
    }
    const struct cis_http_opening opening = {.size = sizeof opening,
                                             .method = cis_p2_message_method_name(m),
                                             .url = cis_buf_cstr(url),
                                             .headers = list,
                                             .nheaders = cis_p2_fields_list(m->fields, list),
                                             .has_body = m->body != NULL,
                                             .body_len = length,
                                             .connect_ns = span(&o->connect, CONNECT_NS),
                                             .first_byte_ns = span(&o->first_byte, ANSWER_NS),
                                             .between_ns = span(&o->between, ANSWER_NS),
                                             .grants = &x->host->grants};
    cis_code code = x->http->open(x->http->self, &x->host->call, &opening, &handle, &fault, &why);
    if (code == CIS_OK && handle != NULL) {
        x->handle = handle;
        return CIS_HTTP_FINE;
    }
    return code != CIS_OK && fault != CIS_HTTP_FINE ? cis_p2_http_fault(fault) : CIS_HTTP_INTERNAL;
}

/* NULL: this host has none, or one that cannot stream. */
static const struct cis_http_service *service_of(const struct cis_host *host)
{
    const struct cis_http_service *http = host->services.http;
    return http != NULL && http->size >= sizeof *http && http->open != NULL && http->poll != NULL &&
                   http->write != NULL && http->finish != NULL && http->read != NULL &&
                   http->fields != NULL && http->close != NULL
               ? http
               : NULL;
}

struct p2_exchange *cis_p2_exchange_new(struct cis_host *host, const struct cis_http_service *http,
                                        uint64_t bytes)
{
    uint64_t cost = sizeof(struct p2_exchange) + bytes;
    if (host->wasi_p2->nexchanges == P2_HTTP_EXCHANGES_MAX ||
        cis_budget_charge(&host->budget, cost, "HTTP", NULL) != CIS_OK) {
        return NULL;
    }
    struct p2_exchange *x = cis_zalloc(sizeof *x);
    if (x == NULL) {
        cis_budget_release(&host->budget, cost);
        return NULL;
    }
    p2_source_init(&x->source, &cis_p2_exchange_ops);
    x->host = host;
    x->http = http;
    x->charged = cost;
    x->state = (struct cis_http_state){.size = sizeof x->state, .fd = -1};
    host->wasi_p2->nexchanges++;
    return x;
}

/* *out NULL: the fault says why. */
static enum cis_http_fault send_off(struct cis_host *host, const struct p2_message *m,
                                    const struct p2_http_options *options, struct p2_exchange **out)
{
    uint64_t length;
    CIS_CLEANUP(cis_buf_done) struct cis_buf url = CIS_BUF_INIT(32u * 1024u);
    enum cis_http_fault fault = check(host, m, &url, &length);
    if (fault != CIS_HTTP_FINE) {
        return fault;
    }
    const struct cis_http_service *http = service_of(host);
    struct p2_exchange *x =
        http != NULL ? cis_p2_exchange_new(host, http, CIS_HTTP_EXCHANGE_MAX) : NULL;
    if (x == NULL) {
        return http == NULL ? CIS_HTTP_CONFIGURATION : CIS_HTTP_CONNECTION_LIMIT;
    }
    cis_p2_exchange_place(x);
    fault = open_exchange(x, m, options, &url, length);
    if (fault != CIS_HTTP_FINE) {
        cis_p2_source_unref(host, &x->source);
        return fault;
    }
    *out = x;
    return CIS_HTTP_FINE;
}

static cis_code start(cis_engine_instance *instance, struct p2_message *m,
                      const struct p2_http_options *options, struct http_made_error *r,
                      struct cis_error *err)
{
    struct cis_host *host = cis_host_of(instance);
    struct p2_exchange *x = NULL;
    enum cis_http_fault fault = send_off(host, m, options, &x);
    if (fault == CIS_HTTP_CONNECTION_LIMIT && cis_p2_exchanges_make_room(instance)) {
        fault = send_off(host, m, options, &x);
    }
    r->failed = x == NULL;
    if (fault == CIS_HTTP_DENIED) {
        cis_engine_instance_refused(instance, CIS_GRANT_HTTP);
    }
    if (fault == CIS_HTTP_REQUEST_BODY_SIZE) {
        cis_p2_http_error_size(&r->error, fault, 0);
    } else if (fault != CIS_HTTP_FINE) {
        cis_p2_http_error(&r->error, fault);
    }
    if (x == NULL) {
        return CIS_OK;
    }
    host->http_calls++;
    x->body = m->body;
    if (m->body != NULL) {
        p2_source_ref(&m->body->source);
        m->body->x = x;
    }
    cis_code code = cis_p2_new_over(instance, P2_FUTURE_RESPONSE, P2_NO_PARENT, &x->source,
                                    P2_STATE, &r->rep, err);
    if (code == CIS_OK) {
        cis_p2_exchange_look(instance, x, false);
    }
    cis_p2_source_unref(host, &x->source); /* the future has its own */
    return code;
}

cis_code cis_p2_http_handle(cis_engine_instance *instance, const void *args, void *result,
                            struct cis_error *err)
{
    const struct http_handling *a = args;
    struct p2_http_options options = {0};
    CIS_TRY(cis_p2_alone(instance, a->request, err)); /* before anything is sent */
    if (a->options.has) {
        options = *cis_p2_at(instance, a->options.rep)->options;
        CIS_TRY(cis_p2_drop(instance, a->options.rep, err));
    }
    struct p2_message *m = cis_p2_at(instance, a->request)->message;
    /* the run's budget may be what ends here: the request goes with the run then */
    CIS_TRY(cis_engine_instance_burn(instance, m->fields->n, err));
    cis_code code = start(instance, m, &options, result, err);
    return code == CIS_OK ? cis_p2_drop(instance, a->request, err) : code;
}
