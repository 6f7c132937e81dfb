/* What a user does with an exchange: poll, write, finish, read, close. */
#include "service/http/stream.h"

#include <string.h>
#include <sys/epoll.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/header.h"

static bool takes_more(const struct cis_http_stream *s)
{
    /* After an answer that is no success curl stops sending what is left of the request. */
    return s->stage != CIS_HTTP_OVER && !s->finished && !s->whole &&
           !(s->reply.final && s->reply.status >= 300);
}

void cis_http_stream_poll(void *self, void *exchange, bool wanted, struct cis_http_state *out)
{
    (void)self;
    struct cis_http_stream *s = exchange;
    enum cis_http_fault fault;
    cis_http_stream_advance(s, wanted);
    bool open = takes_more(s);
    size_t room = open && s->up.at != NULL ? CIS_HTTP_STREAM_BUF - s->up.len : 0;
    uint64_t left = s->length - s->up.total; /* of a known length */
    uint64_t until = cis_http_stream_until(s, &fault);
    *out = (struct cis_http_state){.size = sizeof *out,
                                   .fault = s->fault,
                                   .status = s->reply.final ? s->reply.status : 0,
                                   .readable = s->down.len != 0 || s->whole,
                                   .ended = s->whole && s->down.len == 0,
                                   .flushed = s->up.len == 0 || !open,
                                   .closed = !open,
                                   .room =
                                       s->length != UINT64_MAX && left < room ? (size_t)left : room,
                                   .fd = -1,
                                   .at_ns = CIS_NEVER};
    if (s->stage == CIS_HTTP_LOOKING) {
        cis_net_lookup_wish(s->lookup, &out->fd, &out->at_ns);
    } else if (s->stage != CIS_HTTP_OVER) {
        out->fd = s->epoll_fd;
        out->at_ns = until < s->at_ns ? until : s->at_ns;
    }
}

void cis_http_stream_write(void *self, void *exchange, const void *data, size_t len)
{
    (void)self;
    struct cis_http_stream *s = exchange;
    struct cis_http_pipe *up = &s->up;
    if (len == 0 || !takes_more(s)) {
        return;
    }
    if (up->at == NULL || len > CIS_HTTP_STREAM_BUF - up->len ||
        (s->length != UINT64_MAX && len > s->length - up->total)) {
        cis_http_stream_fail(s, CIS_HTTP_REQUEST_BODY_SIZE);
        return;
    }
    if (up->pos + up->len + len > CIS_HTTP_STREAM_BUF) {
        memmove(up->at, up->at + up->pos, up->len);
        up->pos = 0;
    }
    memcpy(up->at + up->pos + up->len, data, len);
    up->len += len;
    up->total += len;
    cis_http_stream_advance(s, false);
}

/* ---- the end of the request's body ---- */

static enum cis_http_fault check_trailers(const struct cis_http_stream *s,
                                          const struct cis_http_header *trailers, size_t n)
{
    size_t bytes = 0;
    if (n != 0 && s->length != UINT64_MAX) {
        return CIS_HTTP_PROTOCOL; /* there is no place for them after a length */
    }
    for (size_t i = 0; i < n; i++) {
        struct cis_str name = cis_str_of(trailers[i].name), value = cis_str_of(trailers[i].value);
        if (!cis_header_token(name) || !cis_header_value(value) || !cis_header_in_trailers(name)) {
            return CIS_HTTP_PROTOCOL;
        }
        bytes += name.len + value.len + 4;
    }
    return n > CIS_HTTP_STREAM_FIELDS || bytes > CIS_HTTP_FIELDS_MAX
               ? CIS_HTTP_REQUEST_TRAILERS_SIZE
               : CIS_HTTP_FINE;
}

static bool keep_trailers(struct cis_http_stream *s, const struct cis_http_header *trailers,
                          size_t n)
{
    struct curl_slist *last = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(CIS_HTTP_FIELDS_MAX + 16);
    for (size_t i = 0; i < n; i++) {
        cis_buf_reset(&line);
        cis_buf_printf(&line, "%s: %s", trailers[i].name, trailers[i].value);
        if (cis_buf_check(&line, "http trailer", NULL) != CIS_OK ||
            cis_http_lines_add(&s->trailers, &last, cis_buf_cstr(&line), NULL) != CIS_OK) {
            return false;
        }
    }
    return true;
}

cis_code cis_http_stream_finish(void *self, void *exchange, const struct cis_http_header *trailers,
                                size_t ntrailers, enum cis_http_fault *out_fault)
{
    (void)self;
    struct cis_http_stream *s = exchange;
    if (s->finished) {
        return CIS_OK;
    }
    enum cis_http_fault fault = check_trailers(s, trailers, ntrailers);
    if (fault == CIS_HTTP_FINE && s->length != UINT64_MAX && s->up.total != s->length &&
        takes_more(s)) {
        fault = CIS_HTTP_REQUEST_BODY_SIZE;
    }
    if (fault == CIS_HTTP_FINE && !keep_trailers(s, trailers, ntrailers)) {
        fault = CIS_HTTP_INTERNAL;
    }
    s->finished = true;
    if (fault != CIS_HTTP_FINE) { /* a request that is cut short must not look like a whole one */
        cis_http_stream_fail(s, fault);
        *out_fault = fault;
        return CIS_E_NET;
    }
    cis_http_stream_advance(s, false);
    return CIS_OK;
}

/* ---- the response ---- */

cis_code cis_http_stream_read(void *self, void *exchange, void *to, size_t cap, size_t *out_n)
{
    (void)self;
    struct cis_http_stream *s = exchange;
    struct cis_http_pipe *down = &s->down;
    if (down->len == 0) {
        cis_http_stream_advance(s, true);
    }
    size_t n = cap < down->len ? cap : down->len;
    if (n != 0) {
        memcpy(to, down->at + down->pos, n);
        down->len -= n;
        down->pos = down->len != 0 ? down->pos + n : 0;
    }
    *out_n = n;
    return CIS_OK;
}

cis_code cis_http_stream_fields(void *self, void *exchange, bool trailers, cis_http_field_fn *each,
                                void *each_self)
{
    (void)self;
    const struct cis_http_stream *s = exchange;
    const struct cis_buf *fields = trailers ? &s->trailing : &s->reply.fields;
    const char *at = cis_buf_cstr(fields), *end = at + fields->len;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        CIS_TRY(each(each_self, at, value));
        at = value + strlen(value) + 1;
    }
    return CIS_OK;
}

void cis_http_stream_close(void *self, void *exchange)
{
    (void)self;
    cis_http_stream_free(exchange);
}
