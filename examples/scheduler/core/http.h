/* HTTP/1.1 as messages: URLs, requests as bytes, responses out of bytes as they come. No network.
 */
#ifndef SCHEDULER_HTTP_H
#define SCHEDULER_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "text.h"

#define HTTP_HEAD_MAX ((size_t)64 << 10)
#define HTTP_BODY_KEPT ((size_t)1 << 20) /* more is counted, not kept */

struct url {
    bool tls, v6; /* v6: the host was in brackets */
    char *host, *path;
    uint16_t port;
    bool port_given;
};
/* NULL, or why not. */
const char *url_parse(const char *s, struct url *out);
void url_done(struct url *url);

struct request {
    const char *method; /* in any case */
    const struct url *url;
    json_t *headers; /* an object or NULL; what is not text in it is left out */
    const char *body;
    size_t body_len;
    bool has_body, keep; /* keep the connection */
};
/* Its method and headers are such as can be sent: NULL, or why not. */
const char *request_check(const struct request *r);
/* The same, and the request as bytes. */
const char *request_write(const struct request *r, struct text *out);

enum response_state { RESPONSE_HEAD, RESPONSE_BODY, RESPONSE_DONE, RESPONSE_BAD };
enum chunk_part { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILERS };

struct response {
    enum response_state state;
    const char *problem; /* when it is bad */
    bool of_head;        /* the request was HEAD */
    int status;
    bool keep; /* the connection may be used again */
    uint64_t body_len;
    struct text body; /* its first part */
    /* inner state */
    struct text line;
    size_t head_len;
    bool first, chunked, has_length;
    enum chunk_part part;
    uint64_t left;
};

void response_init(struct response *r, bool of_head);
void response_done(struct response *r);
/* Takes bytes; how many it took is *out_used, fewer than n only at its end. */
void response_feed(struct response *r, const char *at, size_t n, size_t *out_used);
/* The connection has ended. */
void response_end(struct response *r);

#endif
