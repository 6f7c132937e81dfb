/* wasi:http in C, as wasi.h has the rest: what requests and answers are made with. */
#ifndef SCHEDULER_WASI_HTTP_H
#define SCHEDULER_WASI_HTTP_H

#include "wasi.h"

#define HTTP(name) WASI("http/types", name)
#define HTTP_DROP(name) HTTP("[resource-drop]" name)

HTTP("[constructor]fields") handle fields_new(void);
HTTP("[method]fields.append")
void fields_append(handle h, const char *name, size_t n, const char *at, size_t len, void *out);

HTTP("[constructor]outgoing-request") handle request_new(handle fields);
HTTP_DROP("outgoing-request") void drop_request(handle h);
HTTP("[method]outgoing-request.body") void request_body(handle h, void *out);
HTTP("[method]outgoing-request.set-method")
int32_t request_set_method(handle h, int32_t is, const char *at, size_t n);
HTTP("[method]outgoing-request.set-path-with-query")
int32_t request_set_path(handle h, int32_t has, const char *at, size_t n);
HTTP("[method]outgoing-request.set-scheme")
int32_t request_set_scheme(handle h, int32_t has, int32_t is, const char *at, size_t n);
HTTP("[method]outgoing-request.set-authority")
int32_t request_set_authority(handle h, int32_t has, const char *at, size_t n);
WASI("http/outgoing-handler", "handle")
void http_handle(handle request, int32_t has_options, handle options, void *out);

HTTP("[method]future-incoming-response.subscribe") handle future_subscribe(handle h);
HTTP("[method]future-incoming-response.get") void future_get(handle h, void *out);
HTTP_DROP("future-incoming-response") void drop_future(handle h);
HTTP("[method]incoming-response.status") int32_t response_status(handle h);
HTTP("[method]incoming-response.consume") void response_consume(handle h, void *out);
HTTP_DROP("incoming-response") void drop_response(handle h);

HTTP("[method]incoming-body.stream") void body_stream(handle h, void *out);
HTTP_DROP("incoming-body") void drop_body(handle h);
HTTP("[method]outgoing-body.write") void body_write(handle h, void *out);
HTTP("[static]outgoing-body.finish")
void body_finish(handle h, int32_t has_trailers, handle trailers, void *out);
HTTP_DROP("outgoing-body") void drop_out_body(handle h);

HTTP("[method]incoming-request.method") void incoming_method(handle h, void *out);
HTTP("[method]incoming-request.path-with-query") void incoming_path(handle h, void *out);
HTTP("[method]incoming-request.authority") void incoming_authority(handle h, void *out);
HTTP("[method]incoming-request.consume") void incoming_consume(handle h, void *out);
HTTP_DROP("incoming-request") void drop_incoming(handle h);
HTTP("[constructor]outgoing-response") handle answer_new(handle fields);
HTTP("[method]outgoing-response.set-status-code") int32_t answer_set_status(handle h, int32_t code);
HTTP("[method]outgoing-response.body") void answer_body(handle h, void *out);
/* A response, or an error-code: its case, and the words of its payload. */
HTTP("[static]response-outparam.set")
void outparam_set(handle h, int32_t failed, uint32_t response_or_case, int32_t a, uint64_t b,
                  int32_t c, int32_t d, int32_t e, int32_t f);
WASI("io/streams", "[method]input-stream.blocking-read")
void in_blocking_read(handle h, uint64_t n, void *out);

/* The cases of `method` in their order; behind them is one with a text. */
#define HTTP_METHODS "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"
enum { HTTP_SCHEME_HTTPS = 1 };

#endif
