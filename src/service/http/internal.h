/* What the files of the HTTP room share. A request is one or more hops; a hop is one exchange on
 * one lane. A lane is a curl handle with at most one connection, for one tenant, one origin and one
 * vetted set of addresses: that is why connections are never shared between tenants or grants. */
#ifndef CIS_SERVICE_HTTP_INTERNAL_H
#define CIS_SERVICE_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>
#include "base/buf.h"
#include "base/lock.h"
#include "service/http/http.h"

#define CIS_HTTP_HEADERS_DEFAULT 200u
#define CIS_HTTP_HEADER_BYTES (64u * 1024u)
#define CIS_HTTP_REDIRECTS_MAX 20u
#define CIS_HTTP_LANE_AGE_NS (60ull * 1000000000ull) /* a lookup is trusted for so long */

struct cis_http_lane {
    struct cis_http_lane *next;
    CURLM *multi;
    CURL *easy;
    char *tenant, *scheme, *host;
    uint16_t port;
    struct cis_net_addrs addrs; /* vetted, the only ones it may connect to */
    uint64_t looked_up_ns;
};

/* The one lock of the client, held for look-ups alone: never while a request is made. */
CIS_LOCK_CLASS(http_lock_lanes);

struct cis_http_client {
    struct cis_http_service service;
    char *ca_file, *dns_servers;
    uint64_t connect_ns;
    uint32_t idle_max;
    pthread_mutex_t lock;
    struct cis_http_lane *idle CIS_GUARDED_BY(http_lock_lanes);
    uint32_t nidle CIS_GUARDED_BY(http_lock_lanes);
};

/* ---- waiting (wait.c) ---- */
cis_code cis_http_stop_check(const struct cis_call *call, const char *what, struct cis_error *err);
/* Milliseconds to sleep: until until_ns or the deadline; short when there is no descriptor that
 * would tell of a cancellation. */
int cis_http_wait_ms(const struct cis_call *call, uint64_t until_ns);

/* ---- lanes (lane.c) ---- */
/* An idle lane whose addresses pass these grants, or a new one after a lookup. */
cis_code cis_http_lane_take(struct cis_http_client *client, const struct cis_grants *grants,
                            const struct cis_url *url, const struct cis_call *call,
                            struct cis_http_lane **out_lane, struct cis_error *err);
/* The halves of that: an idle one or NULL, and a new one with addresses, which it takes over. */
struct cis_http_lane *cis_http_lane_idle(struct cis_http_client *client,
                                         const struct cis_grants *grants, const struct cis_url *url,
                                         const struct cis_call *call);
cis_code cis_http_lane_new(const struct cis_url *url, const struct cis_call *call,
                           struct cis_net_addrs *addrs, struct cis_http_lane **out_lane,
                           struct cis_error *err);
/* Keeps it for the next request of its tenant and origin. */
void cis_http_lane_keep(struct cis_http_client *client, struct cis_http_lane *lane);
void cis_http_lane_free(struct cis_http_lane *lane);

/* ---- the request (request.c) ---- */
struct cis_http_hop {
    const char *method;
    struct cis_url url;
    struct curl_slist *fields;
    const void *body;
    size_t body_len;
    bool has_body;
};
/* Method, header names and values, sizes: everything that could change the framing is refused. */
cis_code cis_http_request_check(const struct cis_http_request *request, struct cis_error *err);
/* hop->fields for this hop. crossed: the chain has left its first origin, so nothing that may hold
 * credentials goes along. */
cis_code cis_http_hop_fields(const struct cis_http_request *request, bool crossed,
                             struct cis_http_hop *hop, struct cis_error *err);

/* ---- the response (reply.c) ---- */
struct cis_http_reply {
    const struct cis_http_request *request;
    struct cis_http_response *response;
    const char *host;         /* for messages */
    bool follow;              /* a redirect is ours, not the caller's */
    bool head;                /* the request was HEAD */
    struct cis_buf fields;    /* "name\0value\0" … of the block being read */
    struct cis_buf *trailers; /* those, the same way; NULL: nobody wants them */
    size_t lines, bytes;      /* header lines and bytes of this hop, all blocks and trailers */
    size_t bytes_max;         /* 0: CIS_HTTP_HEADER_BYTES */
    bool in_block, final, chunked, has_length, enough, coding;
    unsigned minor; /* HTTP/1.minor */
    uint16_t status;
    uint64_t length, body;
    char *location; /* set: follow this */
    cis_code code;  /* recorded before a callback tells curl to stop */
    struct cis_error err;
};
void cis_http_reply_done(struct cis_http_reply *reply);
/* One header line with its line end, as curl hands it over; false: stop. */
bool cis_http_reply_line(struct cis_http_reply *reply, struct cis_str line);
bool cis_http_reply_body(struct cis_http_reply *reply, const void *data, size_t len);

/* ---- what curl is told (wire.c) ---- */
struct cis_http_wire {
    struct cis_http_lane *lane;
    struct cis_http_reply *reply;
    CURLU *url;
    struct curl_slist *pins;
    char message[CURL_ERROR_SIZE];
    const char *method;            /* borrowed */
    unsigned begun;                /* how often curl has begun to send the request */
    void (*connected)(void *self); /* called when it begins; NULL: nobody wants to know */
    void *connected_self;
};
void cis_http_wire_done(struct cis_http_wire *wire);
/* The URL, and everything that curl could take from its surroundings. Header lines go to
 * wire->reply; where the body comes from and goes to is the caller's. curl sends a request
 * again whose kept connection the server has closed: wire.c stops that for what changes something.
 */
cis_code cis_http_wire_set(struct cis_http_wire *wire, const struct cis_http_client *client,
                           const struct cis_url *url, struct cis_error *err);
/* What curl's result means: a code with a message, and the fault of an exchange. */
cis_code cis_http_verdict(const struct cis_http_wire *wire, CURLcode result, const char *host,
                          struct cis_error *err);
enum cis_http_fault cis_http_verdict_fault(const struct cis_http_wire *wire, CURLcode result);

/* ---- one exchange (exchange.c) ---- */
cis_code cis_http_exchange(struct cis_http_client *client, struct cis_http_lane *lane,
                           const struct cis_http_hop *hop, const struct cis_call *call,
                           struct cis_http_reply *reply, struct cis_error *err);

/* ---- all hops (send.c) ---- */
enum cis_code cis_http_send(void *self, const struct cis_call *call,
                            const struct cis_http_request *request,
                            struct cis_http_response *response, struct cis_error *err);
/* Where a Location leads, as text for cis_url_parse (redirect.c). */
cis_code cis_http_location(const struct cis_url *base, const char *location, struct cis_buf *out,
                           struct cis_error *err);
/* The method after a redirect with this status (RFC 9110 §15.4); NULL: the status is no redirect.
 */
const char *cis_http_redirect_method(uint16_t status, const char *method);

#endif
