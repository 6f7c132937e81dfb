/* Inside service/http/: one exchange whose bodies are streams. curl's multi handle, driven by its
 * socket interface on the thread of whoever uses the exchange; nothing here waits. Its sockets are
 * in one epoll set, whose descriptor is what others wait for. Back pressure is curl's pausing: it
 * reads from the peer only while `down` has room, and asks `up` for more only when there is some.
 *
 *   LOOKING  the name is being looked up
 *   HELD     nobody knows yet whether the request has a body, and nobody waits for the response
 *   RUNNING  curl has it
 *   OVER     curl has let go of it: ended, failed, or given up */
#ifndef CIS_SERVICE_HTTP_STREAM_H
#define CIS_SERVICE_HTTP_STREAM_H

#include "service/http/internal.h"

#define CIS_HTTP_STREAM_BUF ((size_t)64 * 1024)
#define CIS_HTTP_STREAM_FIELDS 16384u /* of a request */

enum cis_http_stage { CIS_HTTP_LOOKING, CIS_HTTP_HELD, CIS_HTTP_RUNNING, CIS_HTTP_OVER };

struct cis_http_pipe {
    uint8_t *at; /* CIS_HTTP_STREAM_BUF */
    size_t pos, len;
    uint64_t total; /* bytes that ever went in */
    bool paused;    /* curl waits for it */
};

struct cis_http_stream {
    struct cis_http_client *client;
    struct cis_call call;
    const struct cis_grants *grants;
    char *method;
    struct cis_url url;
    struct curl_slist *fields, *trailers;
    uint64_t connect_ns, first_byte_ns, between_ns;

    enum cis_http_stage stage;
    int epoll_fd;
    uint64_t at_ns; /* when curl wants to be called */
    cis_net_lookup *lookup;
    struct cis_http_lane *lane;
    struct cis_http_wire wire;
    struct cis_http_request limits; /* what the reader of the response asks */
    struct cis_http_response nobody;
    struct cis_http_reply reply;
    struct cis_buf trailing; /* of the response, as in reply.fields */

    struct cis_http_pipe up, down;
    uint64_t length;   /* of the request's body; UINT64_MAX: not known */
    bool finished;     /* the request's body is complete */
    bool connected;    /* the request may be on its way */
    uint64_t begun_ns; /* when curl got it */
    uint64_t moved_ns; /* when anything of it moved last */
    bool whole;        /* all of the response is here */
    enum cis_http_fault fault;
};

/* Everything that can be done now. */
void cis_http_stream_advance(struct cis_http_stream *s, bool wanted);
void cis_http_stream_fail(struct cis_http_stream *s, enum cis_http_fault fault);
void cis_http_stream_free(struct cis_http_stream *s);
/* When time alone ends something; UINT64_MAX: never. */
uint64_t cis_http_stream_until(const struct cis_http_stream *s, enum cis_http_fault *out_fault);

/* struct cis_http_service */
enum cis_code cis_http_stream_open(void *self, const struct cis_call *call,
                                   const struct cis_http_opening *request, void **out_exchange,
                                   enum cis_http_fault *out_fault, struct cis_error *err);
void cis_http_stream_poll(void *self, void *exchange, bool wanted, struct cis_http_state *out);
void cis_http_stream_write(void *self, void *exchange, const void *data, size_t len);
cis_code cis_http_stream_finish(void *self, void *exchange, const struct cis_http_header *trailers,
                                size_t ntrailers, enum cis_http_fault *out_fault);
cis_code cis_http_stream_read(void *self, void *exchange, void *to, size_t cap, size_t *out_n);
cis_code cis_http_stream_fields(void *self, void *exchange, bool trailers, cis_http_field_fn *each,
                                void *each_self);
void cis_http_stream_close(void *self, void *exchange);

/* Lines for curl; stops at what curl would read otherwise than it is written. */
cis_code cis_http_lines_add(struct curl_slist **first, struct curl_slist **last, const char *line,
                            struct cis_error *err);

#endif
