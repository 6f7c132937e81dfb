/* How an exchange begins: what the request may be, the lines it is sent with, the lookup. */
#include "service/http/stream.h"

#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/header.h"

#define METHOD_MAX 32u
#define URL_MAX 8192u

/* ---- what is refused ---- */

static cis_code check_method(const char *method, struct cis_error *err)
{
    struct cis_str name = cis_str_of(method != NULL ? method : "");
    /* CONNECT would make a tunnel of the connection, TRACE repeats what only the host should see.
     */
    if (name.len > METHOD_MAX || !cis_header_token(name) || strcasecmp(method, "CONNECT") == 0 ||
        strcasecmp(method, "TRACE") == 0) {
        return cis_fail(err, CIS_E_INVALID, "http method \"%.32s\": cannot be sent", name.ptr);
    }
    return CIS_OK;
}

static cis_code check_fields(const struct cis_http_opening *request, struct cis_error *err)
{
    size_t bytes = 0;
    if (request->nheaders > CIS_HTTP_STREAM_FIELDS) {
        return cis_fail(err, CIS_E_LIMIT, "http: %zu request headers: more than %u",
                        request->nheaders, CIS_HTTP_STREAM_FIELDS);
    }
    for (size_t i = 0; i < request->nheaders; i++) {
        struct cis_str name = cis_str_of(request->headers[i].name),
                       value = cis_str_of(request->headers[i].value);
        if (!cis_header_token(name) || !cis_header_value(value)) {
            return cis_fail(err, CIS_E_INVALID, "http header %zu: not a header", i + 1);
        }
        if (cis_header_of_host(name)) {
            return cis_fail(err, CIS_E_INVALID, "http header %.40s: only the host can set it",
                            name.ptr);
        }
        bytes += name.len + value.len + 4;
    }
    return bytes <= CIS_HTTP_FIELDS_MAX
               ? CIS_OK
               : cis_fail(err, CIS_E_LIMIT, "http: more than %u bytes of request headers",
                          CIS_HTTP_FIELDS_MAX);
}

static cis_code check(struct cis_http_stream *s, const struct cis_http_opening *request,
                      enum cis_http_fault *out_fault, struct cis_error *err)
{
    struct cis_str url = cis_str_of(request->url != NULL ? request->url : "");
    *out_fault = CIS_HTTP_METHOD_INVALID;
    CIS_TRY(check_method(request->method, err));
    *out_fault = url.len > URL_MAX ? CIS_HTTP_URI_TOO_LONG : CIS_HTTP_URI_INVALID;
    CIS_TRY(cis_url_parse(url, &s->url, err));
    *out_fault = CIS_HTTP_DENIED;
    if (request->grants == NULL || !cis_policy_origin_allowed(request->grants, &s->url)) {
        return cis_fail(err, CIS_E_DENIED, "http: %s://%s:%u is not granted", s->url.scheme,
                        s->url.host, (unsigned)s->url.port);
    }
    cis_code code = check_fields(request, err);
    *out_fault = code == CIS_E_LIMIT ? CIS_HTTP_REQUEST_HEADERS_SIZE : CIS_HTTP_PROTOCOL;
    return code;
}

/* ---- lines ---- */

cis_code cis_http_lines_add(struct curl_slist **first, struct curl_slist **last, const char *line,
                            struct cis_error *err)
{
    struct curl_slist *more = line != NULL ? curl_slist_append(NULL, line) : NULL;
    if (more == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    if (*last != NULL) {
        (*last)->next = more; /* appending by curl would walk the list each time */
    } else {
        *first = more;
    }
    *last = more;
    return CIS_OK;
}

static cis_code write_lines(struct cis_http_stream *s, const struct cis_http_opening *request,
                            struct cis_error *err)
{
    struct curl_slist *last = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(CIS_HTTP_FIELDS_MAX + 16);
    bool agent = false, type = false;
    for (size_t i = 0; i < request->nheaders; i++) {
        const char *name = request->headers[i].name, *value = request->headers[i].value;
        agent = agent || strcasecmp(name, "user-agent") == 0;
        type = type || strcasecmp(name, "content-type") == 0;
        /* curl reads "Name:" as "leave it out"; an empty field is spelled "Name;". */
        bool empty = value[strspn(value, " \t")] == 0;
        cis_buf_reset(&line);
        cis_buf_printf(&line, empty ? "%s;" : "%s: %s", name, value);
        CIS_TRY(cis_buf_check(&line, "http header", err));
        CIS_TRY(cis_http_lines_add(&s->fields, &last, cis_buf_cstr(&line), err));
    }
    /* Fields that curl would add by itself. */
    CIS_TRY(cis_http_lines_add(&s->fields, &last, "Expect:", err));
    if (!type) {
        CIS_TRY(cis_http_lines_add(&s->fields, &last, "Content-Type:", err));
    }
    return agent ? CIS_OK
                 : cis_http_lines_add(&s->fields, &last, "User-Agent: cis/" CIS_VERSION, err);
}

/* ---- the object ---- */

static cis_code fill(struct cis_http_stream *s, const struct cis_http_opening *request,
                     struct cis_error *err)
{
    bool head = strcmp(request->method, "HEAD") == 0;
    bool body = request->has_body && !head;
    s->connect_ns = request->connect_ns;
    s->first_byte_ns = request->first_byte_ns;
    s->between_ns = request->between_ns;
    s->length = body ? request->body_len : 0;
    s->finished = !body;
    s->limits = (struct cis_http_request){
        .size = sizeof s->limits, .body_max = UINT64_MAX, .headers_max = UINT32_MAX};
    s->trailing = CIS_BUF_INIT(CIS_HTTP_FIELDS_MAX * 2);
    s->reply = (struct cis_http_reply){.request = &s->limits,
                                       .response = &s->nobody,
                                       .host = s->url.host,
                                       .head = head,
                                       .fields = CIS_BUF_INIT(CIS_HTTP_FIELDS_MAX * 2),
                                       .trailers = &s->trailing,
                                       .bytes_max = CIS_HTTP_FIELDS_MAX};
    s->method = cis_strdup(request->method);
    s->up.at = body && s->length != 0 ? cis_alloc(CIS_HTTP_STREAM_BUF) : NULL;
    s->down.at = cis_alloc(CIS_HTTP_STREAM_BUF);
    if (s->method == NULL || s->down.at == NULL || (body && s->length != 0 && s->up.at == NULL)) {
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return s->epoll_fd >= 0 ? write_lines(s, request, err)
                            : cis_fail(err, CIS_E_NET, "http: cannot make a file descriptor");
}

static void stream_freep(struct cis_http_stream **s)
{
    cis_http_stream_free(*s);
}

enum cis_code cis_http_stream_open(void *self, const struct cis_call *call,
                                   const struct cis_http_opening *request, void **out_exchange,
                                   enum cis_http_fault *out_fault, struct cis_error *err)
{
    CIS_CLEANUP(stream_freep) struct cis_http_stream *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        *out_fault = CIS_HTTP_INTERNAL;
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    s->client = self;
    s->call = *call;
    s->grants = request->grants;
    s->epoll_fd = -1;
    s->at_ns = CIS_NEVER;
    CIS_TRY(check(s, request, out_fault, err));
    *out_fault = CIS_HTTP_INTERNAL;
    CIS_TRY(fill(s, request, err));
    /* A connection that was kept may be closed by the peer just now, and a body that is on its way
     * cannot be sent twice: those get a new one. */
    s->lane = s->length == 0 ? cis_http_lane_idle(s->client, s->grants, &s->url, call) : NULL;
    s->stage = s->lane != NULL ? CIS_HTTP_HELD : CIS_HTTP_LOOKING;
    if (s->lane == NULL) {
        CIS_TRY(cis_net_lookup_start(s->client->dns_servers, s->url.host, s->connect_ns, &s->lookup,
                                     err));
    }
    *out_exchange = cis_take(&s);
    *out_fault = CIS_HTTP_FINE;
    return CIS_OK;
}
