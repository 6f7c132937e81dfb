/* wasi:http and what it needs of wasi:io, in the canonical ABI by hand: imports, and how what comes
 * back lies in memory. */
#ifndef CIS_TESTS_GUEST_HTTP_ABI_H
#define CIS_TESTS_GUEST_HTTP_ABI_H

#include <stdbool.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.0"
#define STREAMS "wasi:io/streams@0.2.0"
#define POLL "wasi:io/poll@0.2.0"
#define FROM(module, name) __attribute__((import_module(module), import_name(name)))

struct list {
    uint8_t *at;
    uint32_t n;
};
struct pair {
    struct list name, value;
};

/* error-code: 32 bytes, its case first, its payload at 8. */
struct error_code {
    uint8_t is;
    _Alignas(8) struct {
        uint8_t has;
        _Alignas(8) uint64_t n;
    } bytes;
    uint8_t rest[8];
};
_Static_assert(sizeof(struct error_code) == 32, "error-code");

struct header_result { /* result<_, header-error> */
    uint8_t failed, error;
};
struct header_made { /* result<own<fields>, header-error> */
    uint8_t failed;
    union {
        uint32_t own;
        uint8_t error;
    };
};
struct made { /* result<own<…>> */
    uint8_t failed;
    uint32_t own;
};
struct done_error { /* result<_, error-code> */
    uint8_t failed;
    struct error_code error;
};
struct made_error { /* result<own<…>, error-code> */
    uint8_t failed;
    _Alignas(8) union {
        uint32_t own;
        struct error_code error;
    };
};
struct future_response { /* option<result<result<own<incoming-response>, error-code>>> */
    uint8_t has;
    _Alignas(8) uint8_t failed;
    _Alignas(8) struct made_error inner;
};
struct future_trailers {
    uint8_t has;
    _Alignas(8) uint8_t failed;
    _Alignas(8) struct {
        uint8_t failed;
        _Alignas(8) union {
            struct {
                uint8_t has;
                uint32_t own;
            } trailers;
            struct error_code error;
        };
    } inner;
};
struct maybe_error {
    uint8_t has;
    struct error_code error;
};
struct other_code { /* option of an enum */
    uint8_t has, code;
};
struct maybe_text {
    uint8_t has;
    struct list text;
};
struct maybe_time {
    uint8_t has;
    uint64_t ns;
};
struct stream_done { /* result<_, stream-error> */
    uint8_t failed;
    _Alignas(4) uint8_t error; /* 0: the last operation failed, 1: closed */
    uint32_t own;
};
struct stream_read {
    uint8_t failed;
    union {
        struct list data;
        struct {
            uint8_t error;
            uint32_t own;
        };
    };
};
struct stream_count {
    uint8_t failed;
    union {
        uint64_t n;
        struct {
            uint8_t error;
            uint32_t own;
        };
    };
};
struct a_case { /* method, scheme */
    uint8_t is;
    struct list other;
};
struct maybe_scheme {
    uint8_t has;
    struct a_case scheme;
};

#define I(name) FROM(TYPES, name)
I("[constructor]fields") uint32_t fields_new(void);
I("[static]fields.from-list")
void fields_from(const struct pair *at, uint32_t n, struct header_made *out);
I("[method]fields.get")
void fields_get(uint32_t self, const char *name, uint32_t len, struct list *out);
I("[method]fields.has") bool fields_has(uint32_t self, const char *name, uint32_t len);
I("[method]fields.set")
void fields_set(uint32_t self, const char *name, uint32_t len, const struct list *at, uint32_t n,
                struct header_result *out);
I("[method]fields.delete")
void fields_delete(uint32_t self, const char *name, uint32_t len, struct header_result *out);
I("[method]fields.append")
void fields_append(uint32_t self, const char *name, uint32_t len, const void *value, uint32_t n,
                   struct header_result *out);
I("[method]fields.entries") void fields_entries(uint32_t self, struct list *out);
I("[method]fields.clone") uint32_t fields_clone(uint32_t self);
I("[resource-drop]fields") void fields_drop(uint32_t self);

I("[constructor]outgoing-request") uint32_t request_new(uint32_t fields);
I("[method]outgoing-request.body") void request_body(uint32_t self, struct made *out);
I("[method]outgoing-request.method") void request_method(uint32_t self, struct a_case *out);
I("[method]outgoing-request.set-method")
bool request_set_method(uint32_t self, uint32_t is, const char *other, uint32_t len);
I("[method]outgoing-request.path-with-query")
void request_path(uint32_t self, struct maybe_text *out);
I("[method]outgoing-request.set-path-with-query")
bool request_set_path(uint32_t self, bool has, const char *text, uint32_t len);
I("[method]outgoing-request.scheme") void request_scheme(uint32_t self, struct maybe_scheme *out);
I("[method]outgoing-request.set-scheme")
bool request_set_scheme(uint32_t self, bool has, uint32_t is, const char *other, uint32_t len);
I("[method]outgoing-request.authority")
void request_authority(uint32_t self, struct maybe_text *out);
I("[method]outgoing-request.set-authority")
bool request_set_authority(uint32_t self, bool has, const char *text, uint32_t len);
I("[method]outgoing-request.headers") uint32_t request_headers(uint32_t self);
I("[resource-drop]outgoing-request") void request_drop(uint32_t self);

I("[constructor]request-options") uint32_t options_new(void);
I("[method]request-options.connect-timeout")
void options_connect(uint32_t self, struct maybe_time *out);
I("[method]request-options.set-connect-timeout")
bool options_set_connect(uint32_t self, bool has, uint64_t ns);
I("[method]request-options.first-byte-timeout")
void options_first(uint32_t self, struct maybe_time *out);
I("[method]request-options.set-first-byte-timeout")
bool options_set_first(uint32_t self, bool has, uint64_t ns);
I("[method]request-options.between-bytes-timeout")
void options_between(uint32_t self, struct maybe_time *out);
I("[method]request-options.set-between-bytes-timeout")
bool options_set_between(uint32_t self, bool has, uint64_t ns);
I("[resource-drop]request-options") void options_drop(uint32_t self);

I("[method]incoming-response.status") uint32_t response_status(uint32_t self);
I("[method]incoming-response.headers") uint32_t response_headers(uint32_t self);
I("[method]incoming-response.consume") void response_consume(uint32_t self, struct made *out);
I("[resource-drop]incoming-response") void response_drop(uint32_t self);
I("[method]incoming-body.stream") void in_body_stream(uint32_t self, struct made *out);
I("[static]incoming-body.finish") uint32_t in_body_finish(uint32_t self);
I("[resource-drop]incoming-body") void in_body_drop(uint32_t self);
I("[method]future-trailers.subscribe") uint32_t trailers_subscribe(uint32_t self);
I("[method]future-trailers.get") void trailers_get(uint32_t self, struct future_trailers *out);
I("[resource-drop]future-trailers") void trailers_drop(uint32_t self);

I("[constructor]outgoing-response") uint32_t answer_new(uint32_t fields);
I("[method]outgoing-response.status-code") uint32_t answer_status(uint32_t self);
I("[method]outgoing-response.set-status-code") bool answer_set_status(uint32_t self, uint32_t n);
I("[method]outgoing-response.headers") uint32_t answer_headers(uint32_t self);
I("[method]outgoing-response.body") void answer_body(uint32_t self, struct made *out);
I("[resource-drop]outgoing-response") void answer_drop(uint32_t self);

I("[method]outgoing-body.write") void out_body_write(uint32_t self, struct made *out);
I("[static]outgoing-body.finish")
void out_body_finish(uint32_t self, bool has, uint32_t trailers, struct done_error *out);
I("[resource-drop]outgoing-body") void out_body_drop(uint32_t self);

I("[method]future-incoming-response.subscribe") uint32_t future_subscribe(uint32_t self);
I("[method]future-incoming-response.get")
void future_get(uint32_t self, struct future_response *out);
I("[resource-drop]future-incoming-response") void future_drop(uint32_t self);
I("http-error-code") void http_error_code(uint32_t error, struct maybe_error *out);

/* Of one that answers requests; a program gets no such handle. */
I("[method]incoming-request.method") void asked_method(uint32_t self, struct a_case *out);
I("[method]incoming-request.path-with-query")
void asked_path(uint32_t self, struct maybe_text *out);
I("[method]incoming-request.scheme") void asked_scheme(uint32_t self, struct maybe_scheme *out);
I("[method]incoming-request.authority")
void asked_authority(uint32_t self, struct maybe_text *out);
I("[method]incoming-request.headers") uint32_t asked_headers(uint32_t self);
I("[method]incoming-request.consume") void asked_consume(uint32_t self, struct made *out);
I("[resource-drop]incoming-request") void asked_drop(uint32_t self);
I("[resource-drop]response-outparam") void outparam_drop(uint32_t self);
I("[static]response-outparam.set")
void outparam_set(uint32_t self, bool failed, uint32_t response, uint32_t payload, uint64_t n,
                  uint32_t a, uint32_t b, uint32_t c, uint32_t d);

FROM("wasi:http/outgoing-handler@0.2.0", "handle")
void handle(uint32_t request, bool has, uint32_t options, struct made_error *out);

FROM(STREAMS, "[method]input-stream.read")
void in_read(uint32_t self, uint64_t n, struct stream_read *out);
FROM(STREAMS, "[method]input-stream.blocking-read")
void in_blocking_read(uint32_t self, uint64_t n, struct stream_read *out);
FROM(STREAMS, "[method]input-stream.subscribe") uint32_t in_subscribe(uint32_t self);
FROM(STREAMS, "[resource-drop]input-stream") void in_drop(uint32_t self);
FROM(STREAMS, "[method]output-stream.check-write")
void out_check(uint32_t self, struct stream_count *out);
FROM(STREAMS, "[method]output-stream.write")
void out_write(uint32_t self, const void *at, uint32_t n, struct stream_done *out);
FROM(STREAMS, "[method]output-stream.blocking-write-and-flush")
void out_blocking_write(uint32_t self, const void *at, uint32_t n, struct stream_done *out);
FROM(STREAMS, "[method]output-stream.blocking-flush")
void out_blocking_flush(uint32_t self, struct stream_done *out);
FROM(STREAMS, "[method]output-stream.subscribe") uint32_t out_subscribe(uint32_t self);
FROM(STREAMS, "[resource-drop]output-stream") void out_drop(uint32_t self);
FROM("wasi:io/error@0.2.0", "[resource-drop]error") void error_drop(uint32_t self);
FROM("wasi:filesystem/types@0.2.0", "filesystem-error-code")
void fs_error_code(uint32_t error, struct other_code *out);
FROM(POLL, "[method]pollable.block") void pollable_block(uint32_t self);
FROM(POLL, "[method]pollable.ready") bool pollable_ready(uint32_t self);
FROM(POLL, "poll") void poll_many(const uint32_t *at, uint32_t n, struct list *out);
FROM(POLL, "[resource-drop]pollable") void pollable_drop(uint32_t self);

#endif
