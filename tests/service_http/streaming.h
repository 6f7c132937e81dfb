/* An exchange in a test: what is waited for, with the loop that a run has. */
#ifndef CIS_TESTS_HTTP_STREAMING_H
#define CIS_TESTS_HTTP_STREAMING_H

#include <poll.h>
#include "service_http/fixture.h"

struct streaming {
    const struct cis_http_service *http;
    struct cis_call call;
    void *exchange;
    struct cis_http_state state;
    enum cis_http_fault fault; /* of open */
    struct cis_error err;
};

/* Defaults: GET, no body, no time limits. */
static inline struct streaming streaming_open(cis_http_client *client,
                                              const struct cis_grants *grants,
                                              struct cis_http_opening request)
{
    struct streaming s = {
        .http = cis_http_client_service(client),
        .call = {
            .tenant = "default", .skill = "file:test", .run_id = "1", .deadline_ns = CIS_NEVER}};
    request.size = sizeof request;
    request.method = request.method != NULL ? request.method : "GET";
    request.grants = grants;
    s.http->open(s.http->self, &s.call, &request, &s.exchange, &s.fault, &s.err);
    return s;
}
#define NO_LIMITS .connect_ns = UINT64_MAX, .first_byte_ns = UINT64_MAX, .between_ns = UINT64_MAX

static inline void streaming_look(struct streaming *s, bool wanted)
{
    s->http->poll(s->http->self, s->exchange, wanted, &s->state);
}

/* Waits until there is something to look at. */
static inline void streaming_wait(const struct streaming *s)
{
    struct pollfd fd = {.fd = s->state.fd, .events = POLLIN};
    uint64_t now = cis_clock_mono_ns(), at = s->state.at_ns;
    if (at <= now) {
        return;
    }
    uint64_t ms = at == UINT64_MAX ? 60000 : (at - now) / CIS_NS_PER_MS + 1;
    poll(&fd, 1, (int)(ms < 60000 ? ms : 60000));
}

#define streaming_until(s, condition)                                                              \
    do {                                                                                           \
        streaming_look((s), true);                                                                 \
        while ((s)->state.fault == CIS_HTTP_FINE && !(condition)) {                                \
            streaming_wait(s);                                                                     \
            streaming_look((s), true);                                                             \
        }                                                                                          \
    } while (0)

/* Writes all of it, as fast as it is taken; false: it failed or is closed. */
static inline bool streaming_write(struct streaming *s, const void *data, size_t len)
{
    const char *at = data;
    while (len != 0) {
        streaming_until(s, s->state.room != 0 || s->state.closed);
        if (s->state.fault != CIS_HTTP_FINE || s->state.closed) {
            return false;
        }
        size_t n = len < s->state.room ? len : s->state.room;
        s->http->write(s->http->self, s->exchange, at, n);
        at += n;
        len -= n;
    }
    return true;
}

static inline size_t streaming_take(struct streaming *s, void *to, size_t cap)
{
    size_t n = 0;
    assert_int_equal(s->http->read(s->http->self, s->exchange, to, cap, &n), CIS_OK);
    return n;
}

static inline enum cis_http_fault streaming_finish(struct streaming *s,
                                                   const struct cis_http_header *trailers,
                                                   size_t ntrailers)
{
    enum cis_http_fault fault = CIS_HTTP_FINE;
    cis_code code = s->http->finish(s->http->self, s->exchange, trailers, ntrailers, &fault);
    assert_int_equal(code == CIS_OK, fault == CIS_HTTP_FINE);
    return fault;
}

/* Reads to the end; the bytes into out unless it is NULL. Returns how many. */
static inline uint64_t streaming_read(struct streaming *s, struct cis_buf *out)
{
    char block[65536];
    uint64_t total = 0;
    for (;;) {
        streaming_until(s, s->state.readable || s->state.ended);
        size_t n = streaming_take(s, block, sizeof block);
        total += n;
        if (out != NULL) {
            cis_buf_add(out, block, n);
        }
        streaming_look(s, true);
        if (n == 0 && (s->state.ended || s->state.fault != CIS_HTTP_FINE)) {
            return total;
        }
    }
}

static inline enum cis_code streaming_line(void *self, const char *name, const char *value)
{
    cis_buf_printf(self, "%s: %s\n", name, value);
    return CIS_E_OK;
}

static inline void streaming_fields(struct streaming *s, bool trailers, struct cis_buf *out)
{
    assert_int_equal(s->http->fields(s->http->self, s->exchange, trailers, streaming_line, out),
                     CIS_OK);
}

static inline void streaming_close(struct streaming *s)
{
    if (s->exchange != NULL) {
        s->http->close(s->http->self, s->exchange);
        s->exchange = NULL;
    }
}

#endif
