/* HTTP requests that a component answers: its export wasi:http/incoming-handler@0.2.x, called with
 * a request that you have, for a server of yours.
 *
 * The request is read while the guest asks for it, the answer is told while the guest gives it; no
 * body is collected, whatever its length. All functions are called from the thread of
 * cis_component_handle, while it goes on, and never again after. They may wait; who does so for
 * long keeps the guest's time limit from being noticed, so a server's sockets are better
 * non-blocking: they return cis_error_errno(err, errno), of which EAGAIN says "not now", and then
 * the descriptor given for it is waited for, beside whatever else the guest waits for, until its
 * time limit or cancellation; without a descriptor it is asked again after a millisecond. Anything
 * else: the peer is gone; it is asked no more.
 *
 * Texts are borrowed for the time of a call, in both directions. */
#ifndef CIS_HTTP_HANDLER_H
#define CIS_HTTP_HANDLER_H

#include "cis/component.h"
#include "cis/service.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the guest answers, before its body. */
struct cis_http_head {
    uint32_t size;
    uint16_t status; /* 200 to 999; 0: it has no answer, `fault` is why */
    enum cis_http_fault fault;
    const char *message;                   /* of a fault: what the guest said of it; "" */
    uint64_t length;                       /* of the body; UINT64_MAX: it does not say */
    const struct cis_http_header *headers; /* none that frames the message: that is yours to do */
    size_t nheaders;
};
#define CIS_HTTP_HEAD_INIT                                                                         \
    {                                                                                              \
        .size = sizeof(struct cis_http_head), .message = "", .length = UINT64_MAX                  \
    }

struct cis_http_incoming {
    uint32_t size;
    const char *method;    /* "GET"; a token */
    const char *scheme;    /* "http", "https" or another; NULL: not known */
    const char *authority; /* "host" or "host:port"; NULL: none */
    const char *path;      /* "/path?query"; NULL: none (CONNECT, OPTIONS of "*") */
    /* As they came, but for those of the connection (host, connection, transfer-encoding, te,
     * upgrade, proxy-…): these are an error. A content-length is held against the body. */
    const struct cis_http_header *headers;
    size_t nheaders;
    const void *body; /* all of it; or, with `read`, nothing */
    size_t body_len;
    /* Looked at when the body has ended, so `read` may put them here until it says so. */
    const struct cis_http_header *trailers;
    size_t ntrailers;

    void *self;
    /* Up to cap bytes of the body; none and 0: it has ended. Not called for more than the
     * content-length. */
    enum cis_code (*read)(void *self, void *to, size_t cap, size_t *out_n, struct cis_error *err);
    int read_fd; /* for EAGAIN; -1: none */
    /* The answer in this order, each NULL when nobody wants it: `head` once, `write` as often as
     * there are bytes (*out_n of len were taken, at least one), `end` when the body is whole. An
     * answer whose `end` was not called is not a whole one: the peer must not take it for that. */
    enum cis_code (*head)(void *self, const struct cis_http_head *head, struct cis_error *err);
    enum cis_code (*write)(void *self, const void *data, size_t len, size_t *out_n,
                           struct cis_error *err);
    enum cis_code (*end)(void *self, const struct cis_http_header *trailers, size_t ntrailers,
                         struct cis_error *err);
    int write_fd; /* for EAGAIN of these three; -1: none */
};
#define CIS_HTTP_INCOMING_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(struct cis_http_incoming), .read_fd = -1, .write_fd = -1                    \
    }

/* How it ended. */
struct cis_http_answer {
    uint32_t size;
    uint16_t status; /* that was told; 0: none */
    /* CIS_HTTP_FINE: the answer was told to its end. Else with a status: what cut it short; without
     * one: what the guest gave in place of an answer, or what is wrong with the one it gave;
     * CIS_HTTP_INCOMPLETE when it returned without any. */
    enum cis_http_fault fault;
    char message[160];          /* what the guest said of it; "" */
    uint64_t body_in, body_out; /* bytes that the guest read, and that were told */
    /* What the host holds for the instance now: one that keeps handles grows. */
    uint64_t host_bytes;
};
#define CIS_HTTP_ANSWER_INIT                                                                       \
    {                                                                                              \
        .size = sizeof(struct cis_http_answer)                                                     \
    }

/* Gives the guest one request and waits until it has returned and its answer was told. CIS_E_OK
 * says no more than that it returned: see *out_answer (may be NULL). What a peer could have sent
 * wrong is CIS_E_INVALID, too many header fields CIS_E_LIMIT, before the guest is called; a
 * component without the export is CIS_E_ENTRY. A trap, a limit, cancellation: that code, and the
 * instance answers no more. Many guests answer one request in
 * their life: open an instance for each, unless you know them. What the guest keeps of the
 * request after it has returned is ended; it may go on with anything else at the next call. */
CIS_API enum cis_code cis_component_handle(cis_component *component,
                                           const struct cis_http_incoming *request,
                                           struct cis_http_answer *out_answer,
                                           struct cis_error *err);

#ifdef __cplusplus
}
#endif
#endif
