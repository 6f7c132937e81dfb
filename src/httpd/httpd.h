/* A small HTTP/1.1 server: one thread reads and writes for all connections, answers come from any
 * thread. Plain HTTP: what is to be reached from elsewhere has something with TLS before it.
 *
 * Owned here: the socket that listens, connections, the framing of requests and answers, limits
 * and times. What a request means is the owner's. Heads are parsed by the crate httparse; what
 * RFC 9112 lets a server refuse is refused and the connection closed, nothing is repaired: a bare
 * CR or LF, a folded line, Transfer-Encoding beside Content-Length or other than "chunked", a field
 * of these or Host twice, trailers.
 *
 * Bounds: those of the options. A body is read after `head` said that it is wanted. No lock is held
 * while anything is read or written.
 *
 * Threads: `head`, `request` and `gone` are called by the thread that serves, one at a time, with
 * no lock held; they must not wait. An exchange may be answered by any thread. */
#ifndef CIS_HTTPD_HTTPD_H
#define CIS_HTTPD_HTTPD_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/cancel.h"

#define CIS_HTTPD_HEAD_MAX ((size_t)16 << 10)
#define CIS_HTTPD_FIELDS_MAX 64u

struct cis_httpd_request {
    struct cis_str method, target; /* the target as a path: "/mcp?x" */
    struct cis_str host;           /* of Host; empty: none (HTTP/1.0) */
    struct cis_str local;          /* the address that the peer connected to: "127.0.0.1:80" */
    struct cis_str body;
    size_t nfields;
    struct cis_str_pair fields[CIS_HTTPD_FIELDS_MAX];
    bool old; /* HTTP/1.0 */
};
/* How often the field is there (its name in any case), and the first value. */
size_t cis_httpd_field(const struct cis_httpd_request *request, const char *name,
                       struct cis_str *out);
/* Is one of the elements of a list ("a, b;q=1") this one, in any case and without parameters? */
bool cis_httpd_lists(struct cis_str list, const char *what);
/* Does the field, which may be there more than once, list it? */
bool cis_httpd_has(const struct cis_httpd_request *request, const char *name, const char *what);
bool cis_httpd_same(struct cis_str text, const char *what); /* in any case */

/* One request and its answer. Counted: the server has one reference while the peer is there. */
typedef struct cis_httpd_exchange cis_httpd_exchange;
typedef struct cis_httpd cis_httpd;

struct cis_httpd_refusal {
    unsigned status;    /* 0: none */
    const char *fields; /* "Allow: POST\r\n"; static */
    const char *type;   /* of the text; NULL: text/plain */
    char text[CIS_ERROR_MSG_MAX];
};

struct cis_httpd_options {
    /* PORT, HOST:PORT or [HOST]:PORT; HOST is an address or "localhost", without it 127.0.0.1. Port
     * 0: any that is free. */
    const char *address;
    cis_cancel *cancel; /* ends the server */
    size_t connections_max;
    size_t body_max;           /* of one request */
    size_t bodies_max;         /* of all that are being read */
    size_t answers_max;        /* bytes of all answers that nobody has read yet; see _full */
    size_t stream_max;         /* the same of one stream that goes on: more closes it */
    size_t read_min;           /* bytes a second that a peer has to read of his answer */
    uint64_t head_ns, body_ns; /* from the first byte of it to the last */
    uint64_t idle_ns;          /* between requests */
    uint64_t stall_ns;         /* a peer that does not read, or less than that for so long */
    uint64_t full_ns;          /* an answer that waits, while more than answers_max does */
    uint64_t end_ns;           /* for answers, once `cancel` has fired */
    /* The head is there: out->status refuses it, and no body is read. */
    void (*head)(void *self, const struct cis_httpd_request *request,
                 struct cis_httpd_refusal *out);
    /* The request is whole. It is borrowed during the call. The exchange is answered now or later;
     * what is kept of it is referenced. */
    void (*request)(void *self, cis_httpd_exchange *exchange,
                    const struct cis_httpd_request *request);
    /* The peer has gone before it was answered. Without it: nothing is to be done. */
    void (*gone)(void *self, void *tag);
    /* The server is to end: what runs is answered soon, or not at all. */
    void (*ending)(void *self);
    void *self;
};

/* Listens. CIS_E_USAGE: no address; CIS_E_IO: it cannot be had. Everything in options is borrowed
 * until the server is freed. */
cis_code cis_httpd_open(const struct cis_httpd_options *options, cis_httpd **out_server,
                        struct cis_error *err);
/* "127.0.0.1:8080": where it listens. Borrowed. */
const char *cis_httpd_address(const cis_httpd *server);
bool cis_httpd_is_loopback(const cis_httpd *server);
/* Serves until `cancel` fires. */
cis_code cis_httpd_serve(cis_httpd *server, struct cis_error *err);
/* Exchanges that are still referenced stay; nobody is there any more. */
void cis_httpd_free(cis_httpd *server);

cis_httpd_exchange *cis_httpd_ref(cis_httpd_exchange *exchange);
void cis_httpd_unref(cis_httpd_exchange *exchange);
/* What `gone` is told, once; drop frees it with the exchange, in any thread. False: he has gone
 * already, and the tag stays the caller's. */
bool cis_httpd_tag(cis_httpd_exchange *exchange, void *tag, void (*drop)(void *tag));
/* More waits to be read than answers_max: nothing is to be begun whose answer may be long. An
 * answer is never lost for it; who has been reading longest, and has most to read, is closed. */
bool cis_httpd_full(const cis_httpd_exchange *exchange);
/* Is there somebody who hears more than the answer? Who has closed his side only may read. */
bool cis_httpd_there(cis_httpd_exchange *exchange);
/* The whole answer. type and fields (lines with their ends) may be NULL. False, and nothing
 * happens: it was begun or answered before, or nobody is there. */
bool cis_httpd_answer(cis_httpd_exchange *exchange, unsigned status, const char *type,
                      const char *fields, struct cis_str body);
/* A piece of an answer with status 200 whose end is not known yet; the first one begins it. False:
 * nobody is there, or too much waits for him (he is gone then) or for all (he gets the rest). */
bool cis_httpd_stream(cis_httpd_exchange *exchange, const char *type, struct cis_str piece);
bool cis_httpd_streams(cis_httpd_exchange *exchange); /* was it begun? */
/* Ends it with a last piece, which may be empty. It is the answer: stream_max does not bound it, as
 * it does not bound one that comes whole. False, and nothing happens: it was not begun, or nobody
 * is there. */
bool cis_httpd_end(cis_httpd_exchange *exchange, struct cis_str last);

#endif
