/* wasi:http/incoming-handler: the two services behind an exchange that came in. They call the
 * embedder's functions, and keep at most one chunk of an answer that he does not take at once. */
#include <errno.h>
#include <poll.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/header.h"
#include "wasi/p2/incoming.h"

#define AGAIN_NS 1000000u

/* ---- the embedder's functions: they may wait, so others run meanwhile ---- */

static void lend(const struct p2_incoming *c)
{
    if (c->inside) {
        cis_engine_instance_block(c->instance);
    }
}

static void back(const struct p2_incoming *c)
{
    if (c->inside) { /* one that fails is the guest's end, which its call returns */
        (void)cis_engine_instance_unblock(c->instance, NULL);
    }
}

static void pause_now(struct p2_pause *p)
{
    p->on = true;
    p->again_ns = cis_clock_after(cis_clock_mono_ns(), AGAIN_NS);
}

static bool paused(struct p2_pause *p, int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    if (p->on) {
        p->on = fd >= 0 ? poll(&one, 1, 0) <= 0 : cis_clock_mono_ns() < p->again_ns;
    }
    return p->on;
}

static void wait_for(const struct p2_pause *p, int fd, struct cis_http_state *out)
{
    out->fd = p->on ? fd : -1;
    out->at_ns = p->on && fd < 0 ? p->again_ns : UINT64_MAX;
}

/* ---- the request's body ---- */

static enum cis_http_fault check_trailers(const struct cis_http_incoming *in)
{
    uint64_t bytes = 0;
    if (in->ntrailers > P2_FIELDS_MAX) {
        return CIS_HTTP_REQUEST_TRAILERS_SIZE;
    }
    if (in->trailers == NULL && in->ntrailers != 0) {
        return CIS_HTTP_PROTOCOL;
    }
    for (size_t i = 0; i < in->ntrailers; i++) {
        const struct cis_http_header *h = &in->trailers[i];
        if (h->name == NULL || h->value == NULL) {
            return CIS_HTTP_PROTOCOL;
        }
        struct cis_str name = cis_str_of(h->name), value = cis_str_of(h->value);
        bytes += (uint64_t)name.len + value.len + 4;
        if (!cis_header_token(name) || !cis_header_value(value) || !cis_header_in_trailers(name)) {
            return CIS_HTTP_PROTOCOL;
        }
    }
    return bytes > CIS_HTTP_FIELDS_MAX ? CIS_HTTP_REQUEST_TRAILERS_SIZE : CIS_HTTP_FINE;
}

static void asked_end(struct p2_incoming *c)
{
    bool whole = c->length == UINT64_MAX || c->got == c->length;
    c->asked_fault = whole ? check_trailers(c->in) : CIS_HTTP_REQUEST_BODY_SIZE;
    c->ended = c->asked_fault == CIS_HTTP_FINE;
}

/* Nobody is asked for more than the length: what comes behind it may be the next request. */
static size_t most(const struct p2_incoming *c, size_t cap)
{
    return c->length - c->got < cap ? (size_t)(c->length - c->got) : cap;
}

static void look_for_end(struct p2_incoming *c)
{
    bool all = c->got == c->length || (c->in->read == NULL && c->got == c->in->body_len);
    if (all && !c->ended && c->asked_fault == CIS_HTTP_FINE) {
        asked_end(c);
    }
}

static size_t read_bytes(struct p2_incoming *c, void *to, size_t cap)
{
    size_t left = c->in->body_len - (size_t)c->got, n = left < cap ? left : cap;
    if (n != 0) {
        memcpy(to, (const uint8_t *)c->in->body + c->got, n);
    }
    return n;
}

static size_t read_more(struct p2_incoming *c, void *to, size_t cap)
{
    size_t n = 0;
    struct cis_error why = {0};
    lend(c);
    cis_code code = c->in->read(c->in->self, to, cap, &n, &why);
    back(c);
    int rc = cis_error_sys(code, &why);
    if (rc == EAGAIN) {
        pause_now(&c->read_pause);
    } else if (rc != 0 || n > cap) {
        c->asked_fault = rc != 0 ? CIS_HTTP_TERMINATED : CIS_HTTP_INTERNAL;
    } else if (n == 0) {
        asked_end(c);
    }
    return rc == 0 && n <= cap ? n : 0;
}

static cis_code asked_read(void *self, void *handle, void *to, size_t cap, size_t *out_n)
{
    struct p2_incoming *c = handle;
    (void)self;
    look_for_end(c);
    if (c->ended || c->asked_fault != CIS_HTTP_FINE || cap == 0 ||
        paused(&c->read_pause, c->in->read_fd, POLLIN)) {
        *out_n = 0;
        return CIS_OK;
    }
    size_t n = c->in->read != NULL ? read_more(c, to, most(c, cap)) : read_bytes(c, to, cap);
    c->got += n;
    look_for_end(c);
    *out_n = n;
    return CIS_OK;
}

static void asked_poll(void *self, void *handle, bool wanted, struct cis_http_state *out)
{
    struct p2_incoming *c = handle;
    (void)self, (void)wanted;
    look_for_end(c);
    bool waits = paused(&c->read_pause, c->in->read_fd, POLLIN);
    *out = (struct cis_http_state){.size = sizeof *out,
                                   .fault = c->asked_fault,
                                   .readable = c->ended || !waits,
                                   .ended = c->ended,
                                   .flushed = true,
                                   .closed = true};
    wait_for(&c->read_pause, c->in->read_fd, out);
}

static cis_code asked_fields(void *self, void *handle, bool trailers, cis_http_field_fn *each,
                             void *each_self)
{
    const struct p2_incoming *c = handle;
    (void)self;
    for (size_t i = 0; trailers && i < c->in->ntrailers; i++) {
        CIS_TRY(each(each_self, c->in->trailers[i].name, c->in->trailers[i].value));
    }
    return CIS_OK;
}

static void asked_close(void *self, void *handle)
{
    (void)self, (void)handle;
}

const struct cis_http_service cis_p2_asked_service = {.size = sizeof cis_p2_asked_service,
                                                      .poll = asked_poll,
                                                      .read = asked_read,
                                                      .fields = asked_fields,
                                                      .close = asked_close};

/* ---- the answer ---- */

/* What one of the three said: true when it took it. */
static bool took(struct p2_incoming *c, cis_code code, const struct cis_error *why)
{
    int rc = cis_error_sys(code, why);
    if (rc == EAGAIN) {
        pause_now(&c->write_pause);
    } else if (rc != 0) {
        c->told_fault = CIS_HTTP_TERMINATED;
    }
    return rc == 0;
}

void cis_p2_incoming_tell_error(struct p2_incoming *c)
{
    const struct cis_http_head head = {
        .size = sizeof head, .fault = c->error, .message = c->message, .length = UINT64_MAX};
    if (c->in->head != NULL) {
        struct cis_error why;
        lend(c);
        (void)c->in->head(c->in->self, &head, &why); /* nothing would follow */
        back(c);
    }
}

/* *out: n of them; NULL: out of memory, which is a fault. */
static bool list_of(struct p2_incoming *c, const struct p2_fields *fields,
                    struct cis_http_header **out, size_t *out_n)
{
    *out = cis_calloc(cis_size_add(fields != NULL ? fields->n : 0, 1), sizeof **out);
    if (*out == NULL) {
        c->told_fault = CIS_HTTP_INTERNAL;
        return false;
    }
    *out_n = fields != NULL ? cis_p2_fields_list(fields, *out) : 0;
    return true;
}

static bool tell_head(struct p2_incoming *c)
{
    CIS_CLEANUP(cis_freep) struct cis_http_header *list = NULL;
    struct cis_http_head head = {
        .size = sizeof head, .status = c->status, .message = "", .length = c->told_length};
    if (c->in->head != NULL) {
        if (!list_of(c, c->fields, &list, &head.nheaders)) {
            return false;
        }
        head.headers = list;
        struct cis_error why = {0};
        lend(c);
        cis_code code = c->in->head(c->in->self, &head, &why);
        back(c);
        if (!took(c, code, &why)) {
            return false;
        }
    }
    cis_p2_fields_unref(cis_host_of(c->instance), c->fields);
    c->fields = NULL;
    return true;
}

static bool tell_end(struct p2_incoming *c)
{
    CIS_CLEANUP(cis_freep) struct cis_http_header *list = NULL;
    const struct p2_out_body *body = c->told->body;
    size_t n = 0;
    if (c->in->end != NULL) {
        if (!list_of(c, body != NULL ? body->trailers : NULL, &list, &n)) {
            return false;
        }
        struct cis_error why = {0};
        lend(c);
        cis_code code = c->in->end(c->in->self, list, n, &why);
        back(c);
        if (!took(c, code, &why)) {
            return false;
        }
    }
    c->done = true;
    return true;
}

/* How many of them he takes now. */
static size_t tell_bytes(struct p2_incoming *c, const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len && c->told_fault == CIS_HTTP_FINE && !c->write_pause.on) {
        size_t n = len - at;
        struct cis_error why = {0};
        cis_code code = CIS_OK;
        if (c->in->write != NULL) {
            lend(c);
            code = c->in->write(c->in->self, data + at, len - at, &n, &why);
            back(c);
        }
        if (took(c, code, &why)) {
            if (n == 0 || n > len - at) {
                c->told_fault = CIS_HTTP_INTERNAL; /* it must not go on for ever */
                break;
            }
            at += n;
        }
    }
    c->out += at;
    return at;
}

/* Everything that can be told now. */
static void step(struct p2_incoming *c)
{
    if (c->closed || c->done || c->told_fault != CIS_HTTP_FINE ||
        paused(&c->write_pause, c->in->write_fd, POLLOUT)) {
        return;
    }
    if (c->fields != NULL && !tell_head(c)) {
        return;
    }
    if (c->held.len != 0) {
        struct cis_bytes held = p2_held_bytes(&c->held);
        cis_p2_held_gone(&c->held, tell_bytes(c, held.ptr, held.len));
    }
    if (c->finishing && c->held.len == 0 && c->told_fault == CIS_HTTP_FINE) {
        tell_end(c);
    }
}

static void told_poll(void *self, void *handle, bool wanted, struct cis_http_state *out)
{
    struct p2_incoming *c = handle;
    (void)self, (void)wanted;
    step(c);
    *out = (struct cis_http_state){.size = sizeof *out,
                                   .fault = c->told_fault,
                                   .flushed = c->held.len == 0 && c->fields == NULL,
                                   .room = p2_held_room(&c->held)};
    wait_for(&c->write_pause, c->in->write_fd, out);
}

static void told_write(void *self, void *handle, const void *data, size_t len)
{
    struct p2_incoming *c = handle;
    const uint8_t *at = data;
    (void)self;
    step(c);
    if (c->held.len == 0 && c->fields == NULL) {
        size_t n = tell_bytes(c, at, len);
        at += n;
        len -= n;
    }
    if (len == 0 || c->told_fault != CIS_HTTP_FINE) {
        return;
    }
    if (cis_p2_held_add(c->instance, &c->held, cis_bytes_of(at, len)) != 0) {
        c->told_fault = CIS_HTTP_INTERNAL;
    }
}

/* The trailers are those of the exchange's body, which lives as long as it. */
static cis_code told_finish(void *self, void *handle, const struct cis_http_header *trailers,
                            size_t ntrailers, enum cis_http_fault *out_fault)
{
    struct p2_incoming *c = handle;
    (void)self, (void)trailers, (void)ntrailers;
    c->finishing = true;
    step(c);
    *out_fault = c->told_fault;
    return c->told_fault == CIS_HTTP_FINE ? CIS_OK : CIS_E_NET;
}

static void told_close(void *self, void *handle)
{
    (void)self;
    ((struct p2_incoming *)handle)->closed = true;
}

const struct cis_http_service cis_p2_told_service = {.size = sizeof cis_p2_told_service,
                                                     .poll = told_poll,
                                                     .write = told_write,
                                                     .finish = told_finish,
                                                     .close = told_close};
