/* The services a run may use: memory, AI, HTTP, log. libcis has an implementation of each; an
 * embedder replaces any by a struct of callbacks. Entries are called from the thread of the run, at
 * the same time for different runs, so an implementation is thread safe; it is called with no lock
 * of libcis and no CPU slot of the run, so it may run other skills. The structs are copied when
 * they are given. A code that is none of cis becomes CIS_E_PROVIDER, a message without its NUL is
 * cut. A callback that blocks must return soon after `deadline_ns` (CLOCK_MONOTONIC) or once
 * cis_call_cancelled says so.
 *
 * Structs begin with `size`, set by their INIT macro: whoever makes one sets it, whoever is given
 * one reads and writes no field beyond it. What a callback fills (usage, response, state) it fills
 * field by field, never as a whole: the struct may be shorter than in its header. */
#ifndef CIS_SERVICE_H
#define CIS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cis/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a callback puts bytes. Not CIS_E_OK: no more is wanted (over the limit); stop, and return
 * that code. The same goes for all functions that a callback is given to call. */
struct cis_sink {
    void *self;
    enum cis_code (*write)(void *self, const void *data, size_t len);
};

/* For whom a service works. All text NUL-terminated and valid for the call. */
struct cis_call {
    uint32_t size;
    const char *tenant; /* "default" */
    const char *skill;  /* memory namespace: installed name, or "file:STEM" */
    const char *run_id;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, UINT64_MAX: none */
    void *stop;           /* opaque (NULL: none): cis_call_cancelled, cis_call_wait_fd */
};
#define CIS_CALL_INIT                                                                              \
    {                                                                                              \
        .size = sizeof(struct cis_call), .tenant = "default", .skill = "", .run_id = "",           \
        .deadline_ns = UINT64_MAX                                                                  \
    }
CIS_API bool cis_call_cancelled(const struct cis_call *call);
/* Readable once the run is cancelled; -1 when there is none. Borrowed. */
CIS_API int cis_call_wait_fd(const struct cis_call *call);

/* ---- memory: bytes by key, per (tenant, skill) ---- */
#define CIS_MEMORY_KEY_MAX 1024u
#define CIS_MEMORY_VALUE_MAX (10u * 1024u * 1024u)

struct cis_memory_op { /* one change of a run; applied all together or not at all */
    const char *key;
    size_t key_len;
    const void *value; /* NULL: delete */
    size_t value_len;
};

struct cis_memory_hit {
    uint32_t size;
    const char *skill; /* owner: another skill's public entry, or the caller's own */
    const char *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    bool is_public;
    const char *category; /* "" when none */
};
#define CIS_MEMORY_HIT_INIT                                                                        \
    {                                                                                              \
        .size = sizeof(struct cis_memory_hit), .category = ""                                      \
    }

typedef enum cis_code cis_memory_hit_fn(void *self, const struct cis_memory_hit *hit);
typedef enum cis_code cis_memory_key_fn(void *self, const char *key, size_t key_len,
                                        size_t value_len);

struct cis_memory_service {
    uint32_t size;
    void *self;
    /* Writes the value into out. *out_found false: absent (CIS_E_OK all the same). */
    enum cis_code (*get)(void *self, const struct cis_call *call, const char *key, size_t key_len,
                         struct cis_sink *out, bool *out_found, struct cis_error *err);
    /* May be NULL: searching is then CIS_E_PROVIDER. At most limit hits, best first: own entries
     * and public entries of the tenant's other skills.
     */
    enum cis_code (*search)(void *self, const struct cis_call *call, const char *query,
                            size_t query_len, uint32_t limit, cis_memory_hit_fn *each,
                            void *each_self, struct cis_error *err);
    /* May be NULL. Own keys with the prefix, in byte order, at most limit, after `after` (NULL:
     * from the start).
     */
    enum cis_code (*list)(void *self, const struct cis_call *call, const char *prefix,
                          size_t prefix_len, uint32_t limit, cis_memory_key_fn *each,
                          void *each_self, struct cis_error *err);
    /* Called once at the end of a run that is kept. CIS_E_QUOTA, CIS_E_CONFLICT. */
    enum cis_code (*commit)(void *self, const struct cis_call *call,
                            const struct cis_memory_op *ops, size_t nops, struct cis_error *err);
};
#define CIS_MEMORY_SERVICE_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(struct cis_memory_service)                                                  \
    }

/* ---- AI ---- */
struct cis_ai_request {
    uint32_t size;
    const char *prompt;
    size_t prompt_len;
    uint32_t max_tokens; /* 0: the service's default */
};
#define CIS_AI_REQUEST_INIT                                                                        \
    {                                                                                              \
        .size = sizeof(struct cis_ai_request)                                                      \
    }
struct cis_ai_usage {
    uint32_t size;
    uint64_t input_tokens; /* as told by the provider, else estimated: 4 bytes a token */
    uint64_t output_tokens;
};
#define CIS_AI_USAGE_INIT                                                                          \
    {                                                                                              \
        .size = sizeof(struct cis_ai_usage)                                                        \
    }
struct cis_ai_service {
    uint32_t size;
    void *self;
    enum cis_code (*chat)(void *self, const struct cis_call *call,
                          const struct cis_ai_request *request, struct cis_sink *out_text,
                          struct cis_ai_usage *out_usage, struct cis_error *err);
};
#define CIS_AI_SERVICE_INIT                                                                        \
    {                                                                                              \
        .size = sizeof(struct cis_ai_service)                                                      \
    }

/* ---- HTTP: the origin of the request is granted. The addresses behind the name are not checked
 * yet, nor is the target of a redirect: an implementation connects to no private address (loopback,
 * link local, a cloud's metadata service) and follows no redirect to another origin unless its
 * embedder wants the run to reach it. ---- */
struct cis_http_header {
    const char *name, *value; /* NUL-terminated, no CR, LF or NUL inside */
};
struct cis_http_request {
    uint32_t size;
    const char *method, *url;
    const struct cis_http_header *headers;
    size_t nheaders;
    const void *body;
    size_t body_len;
    uint64_t body_max;      /* response body bytes; more is CIS_E_LIMIT */
    uint32_t headers_max;   /* response header count, 0: 200; bytes are capped at 64 KiB */
    uint32_t redirects_max; /* 0: none followed */
    const void *grants;     /* opaque to embedders: struct cis_grants of the run */
};
#define CIS_HTTP_REQUEST_INIT                                                                      \
    {                                                                                              \
        .size = sizeof(struct cis_http_request), .method = "GET"                                   \
    }
typedef enum cis_code cis_http_field_fn(void *self, const char *name, const char *value);

struct cis_http_response {
    uint32_t size;
    uint16_t status;
    void *self;
    cis_http_field_fn *header;
    struct cis_sink body;
};
#define CIS_HTTP_RESPONSE_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(struct cis_http_response)                                                   \
    }

/* Why an exchange failed: the cases of wasi:http's error-code in their order, after "not". */
enum cis_http_fault {
    CIS_HTTP_FINE,
    CIS_HTTP_DNS_TIMEOUT,
    CIS_HTTP_DNS_ERROR,
    CIS_HTTP_NOT_FOUND,
    CIS_HTTP_UNAVAILABLE,
    CIS_HTTP_IP_PROHIBITED,
    CIS_HTTP_IP_UNROUTABLE,
    CIS_HTTP_REFUSED,
    CIS_HTTP_TERMINATED,
    CIS_HTTP_CONNECT_TIMEOUT,
    CIS_HTTP_READ_TIMEOUT,
    CIS_HTTP_WRITE_TIMEOUT,
    CIS_HTTP_CONNECTION_LIMIT,
    CIS_HTTP_TLS_PROTOCOL,
    CIS_HTTP_TLS_CERTIFICATE,
    CIS_HTTP_TLS_ALERT,
    CIS_HTTP_DENIED,
    CIS_HTTP_LENGTH_REQUIRED,
    CIS_HTTP_REQUEST_BODY_SIZE,
    CIS_HTTP_METHOD_INVALID,
    CIS_HTTP_URI_INVALID,
    CIS_HTTP_URI_TOO_LONG,
    CIS_HTTP_REQUEST_HEADERS_SIZE,
    CIS_HTTP_REQUEST_HEADER_SIZE,
    CIS_HTTP_REQUEST_TRAILERS_SIZE,
    CIS_HTTP_REQUEST_TRAILER_SIZE,
    CIS_HTTP_INCOMPLETE,
    CIS_HTTP_RESPONSE_HEADERS_SIZE,
    CIS_HTTP_RESPONSE_HEADER_SIZE,
    CIS_HTTP_RESPONSE_BODY_SIZE,
    CIS_HTTP_RESPONSE_TRAILERS_SIZE,
    CIS_HTTP_RESPONSE_TRAILER_SIZE,
    CIS_HTTP_TRANSFER_CODING,
    CIS_HTTP_CONTENT_CODING,
    CIS_HTTP_RESPONSE_TIMEOUT,
    CIS_HTTP_UPGRADE,
    CIS_HTTP_PROTOCOL,
    CIS_HTTP_LOOP,
    CIS_HTTP_CONFIGURATION,
    CIS_HTTP_INTERNAL
};

/* One request whose bodies are streams. Redirects are answers like others. Times are spans; 0
 * means at once, UINT64_MAX never. */
struct cis_http_opening {
    uint32_t size;
    const char *method, *url;
    const struct cis_http_header *headers; /* none that frames the message */
    size_t nheaders;
    bool has_body;
    uint64_t body_len;      /* UINT64_MAX: not known yet; only then may trailers follow it */
    uint64_t connect_ns;    /* from the name to the connection, TLS included */
    uint64_t first_byte_ns; /* to the headers, from when the last of the request was sent */
    uint64_t between_ns;    /* between pieces of the response's body that somebody waits for */
    const void *grants;     /* as in struct cis_http_request */
};
#define CIS_HTTP_OPENING_INIT                                                                      \
    {                                                                                              \
        .size = sizeof(struct cis_http_opening), .method = "GET", .connect_ns = UINT64_MAX,        \
        .first_byte_ns = UINT64_MAX, .between_ns = UINT64_MAX                                      \
    }
#define CIS_HTTP_FIELDS_MAX (256u * 1024u)    /* bytes of headers, and of trailers, either way */
#define CIS_HTTP_EXCHANGE_MAX (1024u * 1024u) /* host memory that one exchange may take */

struct cis_http_state {
    uint32_t size;
    enum cis_http_fault fault; /* it has failed; everything else is as it was before */
    uint16_t status;           /* 0: no response yet */
    bool readable;             /* read has bytes, or the end */
    bool ended;                /* the whole body was read: trailers are there, if any */
    bool flushed;              /* nothing that was written waits here to be sent */
    bool closed;               /* the peer takes no more of the request's body */
    size_t room;               /* bytes that write takes now */
    /* When to poll again: the descriptor has events (POLLIN), or at this time (CLOCK_MONOTONIC;
     * UINT64_MAX: no time). -1: time alone. */
    int fd;
    uint64_t at_ns;
};
#define CIS_HTTP_STATE_INIT                                                                        \
    {                                                                                              \
        .size = sizeof(struct cis_http_state), .fd = -1, .at_ns = UINT64_MAX                       \
    }

/* send: a request whose bodies are collected. The others, together or not at all (then WASI's
 * programs are told that there is no HTTP): an exchange, used from one thread; none of them waits,
 * and close may come at any moment. What an exchange holds is bounded by CIS_HTTP_EXCHANGE_MAX,
 * whatever the length of the bodies. */
struct cis_http_service {
    uint32_t size;
    void *self;
    enum cis_code (*send)(void *self, const struct cis_call *call,
                          const struct cis_http_request *request,
                          struct cis_http_response *response, struct cis_error *err);
    /* Text is copied; grants and what call points to outlive the exchange. */
    enum cis_code (*open)(void *self, const struct cis_call *call,
                          const struct cis_http_opening *request, void **out_exchange,
                          enum cis_http_fault *out_fault, struct cis_error *err);
    /* Does what can be done now, and says how it stands. wanted: somebody waits for the response,
     * so that a request whose body has not begun is sent as well. */
    void (*poll)(void *self, void *exchange, bool wanted, struct cis_http_state *out_state);
    /* At most `room` bytes, all of them taken. */
    void (*write)(void *self, void *exchange, const void *data, size_t len);
    /* The end of the request's body. Not CIS_E_OK: it cannot be sent with these trailers;
     * *out_fault is why. */
    enum cis_code (*finish)(void *self, void *exchange, const struct cis_http_header *trailers,
                            size_t ntrailers, enum cis_http_fault *out_fault);
    /* Bytes of the response's body; 0: none are there now, or it has ended. */
    enum cis_code (*read)(void *self, void *exchange, void *to, size_t cap, size_t *out_n);
    /* Headers once there is a status, trailers once it has ended. What `each` returned, when that
     * was not CIS_E_OK. */
    enum cis_code (*fields)(void *self, void *exchange, bool trailers, cis_http_field_fn *each,
                            void *each_self);
    void (*close)(void *self, void *exchange);
};
#define CIS_HTTP_SERVICE_INIT                                                                      \
    {                                                                                              \
        .size = sizeof(struct cis_http_service)                                                    \
    }

/* ---- log: lines of a guest, already cut to the run's caps, control characters replaced ---- */
enum cis_log_level { CIS_LOG_TRACE, CIS_LOG_DEBUG, CIS_LOG_INFO, CIS_LOG_WARN, CIS_LOG_ERROR };
struct cis_log_service {
    uint32_t size;
    void *self;
    void (*line)(void *self, const struct cis_call *call, enum cis_log_level level,
                 const char *text, size_t len);
};
#define CIS_LOG_SERVICE_INIT                                                                       \
    {                                                                                              \
        .size = sizeof(struct cis_log_service)                                                     \
    }

struct cis_services { /* NULL: that service is absent and its calls fail with a clear message */
    uint32_t size;
    const struct cis_memory_service *memory;
    const struct cis_ai_service *ai;
    const struct cis_http_service *http;
    const struct cis_log_service *log;
};
#define CIS_SERVICES_INIT                                                                          \
    {                                                                                              \
        .size = sizeof(struct cis_services)                                                        \
    }

#ifdef __cplusplus
}
#endif
#endif
