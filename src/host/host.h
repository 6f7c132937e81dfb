/* What a run's host functions act on, whatever the ABI: input, output, log, memory view, config,
 * services, grants. One per run, owned by run/; reached by cis_guest_host. One thread.
 * Handlers of skillabi/ and wasi/ use the verbs here, so that caps, budgets and refusals are the
 * same in every ABI. */
#ifndef CIS_HOST_HOST_H
#define CIS_HOST_HOST_H

#include "cis/service.h"
#include "engine/guest.h"
#include "policy/grant.h"
#include "service/memory/memory.h"

#define CIS_LOG_LINE_MAX (10u * 1024u)

struct cis_host {
    struct cis_call call;
    struct cis_services services;
    struct cis_grants grants; /* what this run may do */
    struct cis_budget budget; /* host bytes of the run; the guest shares it */
    const char *skill;        /* name shown in results */

    struct cis_bytes input; /* JSON, borrowed */
    size_t input_pos;       /* for stdin-like readers */
    struct cis_buf output;  /* cis.output_write, WASI stdout */
    bool output_written;
    struct cis_buf errors; /* WASI stderr: turned into log lines by cis_host_stderr */

    cis_memory_view *memory;
    struct cis_map config; /* key → struct cis_host_value *, the skill's own [config] */
    bool config_dirty;

    struct cis_buf log; /* lines kept for the report: JSON array items */
    uint64_t log_lines, log_dropped, log_lines_max;
    uint64_t ai_calls, ai_calls_max, ai_tokens, ai_tokens_max;
    uint64_t http_calls, http_bytes_in, http_bytes_out;
    uint64_t http_body_max; /* of one response */

    const char *const *args; /* WASI: args and environment, NULL-terminated */
    const char *const *env;
    bool fixed_clock; /* reserved for replay */
};

struct cis_host_value {
    size_t len;
    bool changed;
    char text[]; /* NUL-terminated */
};

/* One line to the log service and the report: cut to CIS_LOG_LINE_MAX at a character, control
 * characters replaced, invalid UTF-8 repaired, counted; past the cap dropped and counted. */
void cis_host_log(struct cis_host *host, enum cis_log_level level, struct cis_str text);
/* Appends to the output under the output cap (CIS_E_BUDGET → limit "output"). */
cis_code cis_host_output(struct cis_host *host, cis_guest *guest, struct cis_bytes data,
                         struct cis_error *err);
/* AI call under the run's budget of calls and tokens; blocks with the CPU slot given back. */
cis_code cis_host_ai(struct cis_host *host, cis_guest *guest, struct cis_str prompt,
                     struct cis_buf *out, struct cis_error *err);
/* HTTP under the run's grants. headers: JSON object text or empty. The response body and headers go
 * to the buffers (charged). CIS_E_DENIED: origin not granted (counted as refused), nothing sent. */
cis_code cis_host_http(struct cis_host *host, cis_guest *guest, struct cis_str method,
                       struct cis_str url, struct cis_str headers, struct cis_bytes body,
                       uint16_t *out_status, struct cis_buf *out_headers_json,
                       struct cis_buf *out_body, struct cis_error *err);
/* Config of the skill: absent → *out ptr NULL. set: CIS_E_BUDGET. */
void cis_host_config_get(struct cis_host *host, struct cis_str key, struct cis_str *out);
cis_code cis_host_config_set(struct cis_host *host, struct cis_str key, struct cis_str value,
                             struct cis_error *err);
static inline struct cis_host *cis_host_of(cis_guest *guest)
{
    return cis_guest_host(guest);
}

#endif
