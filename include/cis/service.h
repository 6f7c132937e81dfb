/* The services a run may use: memory, AI, HTTP, log. libcis has an implementation of each; an
 * embedder replaces any by a struct of callbacks. Entries are called from the thread of the run, at
 * the same time for different runs, so an implementation is thread safe; it holds no lock of
 * libcis. A callback that blocks must return soon after `deadline_ns` (CLOCK_MONOTONIC) or once
 * cis_call_cancelled says so. `size` is set by the INIT macros. */
#ifndef CIS_SERVICE_H
#define CIS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cis/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a callback puts bytes. Returns false when no more is wanted (over the limit): stop then. */
struct cis_sink {
    void *self;
    bool (*write)(void *self, const void *data, size_t len);
};

/* For whom a service works. All text NUL-terminated and valid for the call. */
struct cis_call {
    const char *tenant; /* "default" */
    const char *skill;  /* memory namespace: installed name, or "file:STEM" */
    const char *run_id;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, UINT64_MAX: none */
    void *stop;           /* opaque (NULL: none): cis_call_cancelled, cis_call_wait_fd */
};
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
    const char *skill; /* owner: another skill's public entry, or the caller's own */
    const char *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    bool is_public;
    const char *category; /* "" when none */
};

struct cis_memory_service {
    uint32_t size;
    void *self;
    /* Writes the value into out. *out_found false: absent (CIS_E_OK all the same). */
    enum cis_code (*get)(void *self, const struct cis_call *call, const char *key, size_t key_len,
                         struct cis_sink *out, bool *out_found, struct cis_error *err);
    /* At most limit hits, best first: own entries and public entries of the tenant's other skills.
     */
    enum cis_code (*search)(void *self, const struct cis_call *call, const char *query,
                            size_t query_len, uint32_t limit, void *each_self,
                            bool (*each)(void *each_self, const struct cis_memory_hit *hit),
                            struct cis_error *err);
    /* Own keys with the prefix, in byte order, at most limit, after `after` (NULL: from the start).
     */
    enum cis_code (*list)(void *self, const struct cis_call *call, const char *prefix,
                          size_t prefix_len, uint32_t limit, void *each_self,
                          bool (*each)(void *each_self, const char *key, size_t key_len,
                                       size_t value_len),
                          struct cis_error *err);
    /* Called once at the end of a run that is kept. CIS_E_QUOTA, CIS_E_CONFLICT. */
    enum cis_code (*commit)(void *self, const struct cis_call *call,
                            const struct cis_memory_op *ops, size_t nops, struct cis_error *err);
};
#define CIS_MEMORY_SERVICE_INIT                                                                    \
    {                                                                                              \
        sizeof(struct cis_memory_service), 0, 0, 0, 0, 0                                           \
    }

/* ---- AI ---- */
struct cis_ai_request {
    const char *prompt;
    size_t prompt_len;
    uint32_t max_tokens; /* 0: the service's default */
};
struct cis_ai_usage {
    uint64_t input_tokens,
        output_tokens; /* as told by the provider, else estimated: 4 bytes a token */
};
struct cis_ai_service {
    uint32_t size;
    void *self;
    enum cis_code (*chat)(void *self, const struct cis_call *call,
                          const struct cis_ai_request *request, struct cis_sink *out_text,
                          struct cis_ai_usage *out_usage, struct cis_error *err);
};
#define CIS_AI_SERVICE_INIT                                                                        \
    {                                                                                              \
        sizeof(struct cis_ai_service), 0, 0                                                        \
    }

/* ---- HTTP: the request was allowed by its origin already; an implementation must still judge the
 * address behind the name and every redirect with `judge`. ---- */
struct cis_http_header {
    const char *name, *value; /* NUL-terminated, no CR, LF or NUL inside */
};
struct cis_http_request {
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
struct cis_http_response {
    uint16_t status;
    void *self;
    bool (*header)(void *self, const char *name, const char *value);
    struct cis_sink body;
};
struct cis_http_service {
    uint32_t size;
    void *self;
    enum cis_code (*send)(void *self, const struct cis_call *call,
                          const struct cis_http_request *request,
                          struct cis_http_response *response, struct cis_error *err);
};
#define CIS_HTTP_SERVICE_INIT                                                                      \
    {                                                                                              \
        sizeof(struct cis_http_service), 0, 0                                                      \
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
        sizeof(struct cis_log_service), 0, 0                                                       \
    }

struct cis_services { /* NULL: that service is absent and its calls fail with a clear message */
    const struct cis_memory_service *memory;
    const struct cis_ai_service *ai;
    const struct cis_http_service *http;
    const struct cis_log_service *log;
};

#ifdef __cplusplus
}
#endif
#endif
