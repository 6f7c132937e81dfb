/* What a run's host functions act on, whatever the ABI: input, output, log, memory view, config,
 * services, grants. One per run, owned by run/; reached by cis_engine_instance_host. One thread.
 * Handlers of skillabi/ and wasi/ use the verbs here, so that caps, budgets and refusals are the
 * same in every ABI.
 *
 * The verbs report, they do not log: the ABI tells the user the reason of a failure, with the name
 * of the host function, for the guest itself learns only a number.
 *
 * `guest` may be NULL in every verb (a native skill): then there is no CPU slot to give back and
 * nobody to count a refusal for. Caps that are 0 mean none, except where a field says otherwise. */
#ifndef CIS_HOST_HOST_H
#define CIS_HOST_HOST_H

#include "cis/service.h"
#include "engine/instance/instance.h"
#include "host/wasi_env.h"
#include "policy/grant.h"
#include "service/memory/memory.h"
#include "service/net/net.h"

#define CIS_LOG_LINE_MAX (10u * 1024u)
#define CIS_HOST_CONFIG_KEY_MAX 1024u
#define CIS_HOST_CONFIG_VALUE_MAX (100u * 1024u)
#define CIS_HOST_HTTP_HEADERS_MAX 200u            /* a request's */
#define CIS_HOST_HTTP_HEADERS_BYTES (64u * 1024u) /* as JSON text */
#define CIS_HOST_HTTP_REDIRECTS 5u

#define CIS_HOST_ASK_KEY_MAX 64u               /* a-z A-Z 0-9 _ - and . */
#define CIS_HOST_ASK_REQUEST_MAX (64u * 1024u) /* JSON text */
#define CIS_HOST_ASK_ANSWER_MAX (64u * 1024u)  /* JSON text */

/* What the person said to the question of this key: an object that fits the question's form, or
 * null when the person declined. */
struct cis_ask_answer {
    struct cis_str key, json;
};

/* How far a guest says that it is. */
struct cis_progress {
    uint64_t done, total;   /* total 0: the guest does not know */
    struct cis_str message; /* printable, one line */
};

/* Guest memory that skillabi/ grew for a guest without an allocator of its own; kind is its note of
 * how this guest allocates (0: not looked at yet). */
struct cis_host_heap {
    uint64_t next, end;
    uint32_t kind;
};

struct cis_host {
    struct cis_call call;
    struct cis_services services;
    struct cis_grants grants; /* what this run may do */
    struct cis_budget budget; /* host bytes of the run; the guest shares it */
    const char *skill;        /* name shown in results */
    cis_engine_instance
        *instance; /* NULL: there is none (yet). Its slot is given back around foreign code */

    struct cis_bytes input; /* JSON, borrowed */
    size_t input_pos;       /* for stdin-like readers */
    struct cis_buf output;  /* cis.output_write, WASI stdout */
    bool output_written;
    bool output_is_log; /* the result is a returned text: what is printed to stdout is for the log,
                         * as stderr is */
    struct cis_buf errors; /* WASI stderr: turned into log lines by cis_host_stderr */

    struct cis_host_heap heap;
    cis_memory_view *memory;
    struct cis_map config;        /* key → struct cis_host_value *, the skill's own [config] */
    struct cis_map config_before; /* what was changed, as it was; no entry: it was not there */
    bool config_dirty;
    uint32_t config_keys; /* that the run has changed, and their bytes */
    uint64_t config_bytes;
    /* May the guest set this? The rule of its manifest; NULL: there is none. CIS_E_USAGE. */
    cis_code (*config_check)(const void *self, struct cis_str key, struct cis_str value,
                             struct cis_error *err);
    const void *config_self;

    const struct cis_ask_answer *answers; /* borrowed */
    size_t nanswers;
    struct cis_buf question; /* {"key":…,"request":{…}} that had no answer; len 0: there is none */
    struct cis_buf answered; /* the answers to several questions at once; charged */
    void (*progress)(void *self, const struct cis_progress *p); /* NULL: nobody looks */
    void *progress_self;

    struct cis_buf
        log; /* lines kept for the report: JSON array items {"level","text"} with commas */
    uint64_t log_lines, log_dropped, log_lines_max;
    uint64_t ai_calls, ai_calls_max, ai_tokens, ai_tokens_max;
    uint64_t http_calls, http_bytes_in, http_bytes_out;
    uint64_t http_body_max; /* of one response; 0: 16 MiB */

    /* WASI: arguments and environment, NULL-terminated lists; NULL: only a name, and nothing. */
    const char *const *args;
    const char *const *env; /* "NAME=VALUE"; what the run granted, nothing of the host's own */
    bool no_clock;          /* clocks and random are on unless switched off: the start-up code */
    bool no_random;         /* of most toolchains asks for both before anything else */
    bool fixed_clock;       /* every clock shows clock_ns (replay, tests) */
    uint64_t clock_ns;
    uint64_t mono_base_ns;        /* zero point of the guest's monotonic clock, 0: not set yet */
    struct cis_wasi_env wasi_env; /* what a WASI program finds; zeros for a skill without files */
    struct cis_wasi *wasi; /* its descriptors, made and closed by wasi/p1; NULL: not needed yet */
    struct cis_wasi_p2 *wasi_p2;   /* what handles of a component name; NULL: none were made */
    cis_net *net;                  /* sockets and names; NULL: not needed yet (cis_host_net) */
    struct cis_corelibs *corelibs; /* sockets of provider/corelibs; NULL: none were made */
    void *embedder; /* lib/: what interfaces of the embedder act on; NULL: there are none */
};

struct cis_host_value {
    size_t len;
    bool changed;
    char text[]; /* NUL-terminated */
};

/* For struct cis_engine_instance_options: the coarse grants of the run plus clocks and random as
 * above. */
uint32_t cis_host_guest_grants(const struct cis_host *host);
/* One line to the log service and the report: cut to CIS_LOG_LINE_MAX at a character, control
 * characters replaced, invalid UTF-8 repaired, counted; past the cap dropped and counted. */
void cis_host_log(struct cis_host *host, enum cis_log_level level, struct cis_str text);
/* Bytes of a stderr: whole lines become log lines of level warn, the rest waits for its end. */
void cis_host_stderr(struct cis_host *host, struct cis_bytes data);
/* The end of the guest ends its last line too. */
void cis_host_stderr_flush(struct cis_host *host);
/* Appends to the output under the output cap (CIS_E_BUDGET → limit "output"). */
cis_code cis_host_output(struct cis_host *host, cis_engine_instance *instance,
                         struct cis_bytes data, struct cis_error *err);
/* AI call under the run's budget of calls and tokens; blocks with the CPU slot given back.
 * Appends the answer to out, under out->max. What the answer holds is charged during the call.
 * Fails: DENIED, LIMIT (calls or tokens of the run used up, or an answer over out->max), BUDGET,
 * PROVIDER, NET, DEADLINE (of the provider; when the run's own has passed the guest is over),
 * CANCELLED. After a failure ask cis_host_alive before going on. */
cis_code cis_host_ai(struct cis_host *host, cis_engine_instance *instance, struct cis_str prompt,
                     struct cis_buf *out, struct cis_error *err);
struct cis_host_exchange {
    struct cis_str method, url;
    /* JSON object text or empty, values strings or arrays of strings; those that belong to the host
     * (Host, Content-Length, Connection and the other hop-by-hop ones) are left out. */
    struct cis_str headers;
    struct cis_bytes body;
    /* The response: headers with lower-case names, repeated ones joined by ", ", as JSON; and the
     * body, under the buffers' max, charged during the call. */
    uint16_t status;
    struct cis_buf *names, *answer;
};
/* HTTP under the run's grants.
 * Fails: UNSUPPORTED (method), INVALID (URL), USAGE (headers), DENIED (origin not granted, counted
 * as refused, nothing sent; or the address behind it), LIMIT (response larger than a cap), PROVIDER
 * (no HTTP service), NET, BUDGET, DEADLINE, CANCELLED. */
cis_code cis_host_http(struct cis_host *host, cis_engine_instance *instance,
                       struct cis_host_exchange *x, struct cis_error *err);
/* A question to the person, {"message":TEXT,"schema":FORM} (form.h; no schema: only yes or no), or
 * to his client: its model needs the grant ai, its folders fs=ro; without it DENIED.
 * With an answer that fits, *out_answer is borrowed from the run. Without one the question is kept
 * for the report, and the run has to end: INPUT_REQUIRED. Fails: INVALID (key or request), BUDGET,
 * NOMEM. */
cis_code cis_host_ask(struct cis_host *host, cis_engine_instance *instance,
                      const struct cis_str_pair *question, struct cis_str *out_answer,
                      struct cis_error *err);
/* Tells whoever looks at the run; the text is made printable and cut. The slot is given back. */
void cis_host_progress(struct cis_host *host, uint64_t done, uint64_t total,
                       struct cis_str message);
/* The run's network, made at its first use under the run's grants and budget. */
cis_code cis_host_net(struct cis_host *host, cis_net **out_net, struct cis_error *err);
/* To be told to the user: what the policy has just refused, if it was the policy. Counted. */
void cis_host_net_refused(struct cis_host *host, cis_engine_instance *instance, const char *what);
/* After everything that has sockets. */
void cis_host_net_end(struct cis_host *host);
/* CIS_OK while the run may go on, else CIS_E_DEADLINE or CIS_E_CANCELLED. A handler whose service
 * failed for another reason answers its guest with a code; one whose run is over returns this. */
cis_code cis_host_alive(const struct cis_host *host, struct cis_error *err);
/* Config of the skill: absent → *out ptr NULL. set, by the guest: INVALID key or value, USAGE what
 * config_check refuses, QUOTA more than one skill's config may hold, BUDGET, NOMEM; a value that is
 * refused is not written. */
void cis_host_config_get(struct cis_host *host, struct cis_str key, struct cis_str *out);
cis_code cis_host_config_set(struct cis_host *host, struct cis_str key, struct cis_str value,
                             struct cis_error *err);
/* What the run begins with; cis_host_config_keep when that is all. */
cis_code cis_host_config_begin(struct cis_host *host, struct cis_str key, struct cis_str value,
                               struct cis_error *err);
/* What was changed is kept for good, or is as it was before. */
void cis_host_config_keep(struct cis_host *host);
void cis_host_config_forget(struct cis_host *host);
void cis_host_config_done(struct cis_host *host);
static inline struct cis_host *cis_host_of(cis_engine_instance *instance)
{
    return cis_engine_instance_host(instance);
}

#endif
