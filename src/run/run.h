/* One run: the unit of isolation, limits, undo and audit. A session is a guest with its host state;
 * a run opens one, calls the skill, closes it, and then commits or discards what it changed,
 * together with its record, in one transaction. No lock and no transaction is held while the guest
 * runs.
 *
 * Threads: any number of runs at once; one session is used by one thread at a time. */
#ifndef CIS_RUN_RUN_H
#define CIS_RUN_RUN_H

#include "cis/http_handler.h"
#include "engine/component/component.h"
#include "engine/recording/recording.h"
#include "host/host.h"
#include "run/files.h"
#include "skillabi/skillabi.h"

#define CIS_OUTPUT_MAX_DEFAULT (256ull << 20)
#define CIS_HOST_BYTES_DEFAULT (1ull << 30)
#define CIS_LOG_LINES_MAX_DEFAULT 10000u
#define CIS_AI_CALLS_MAX_DEFAULT 100u
#define CIS_AI_TOKENS_MAX_DEFAULT 1000000u
#define CIS_HTTP_BODY_MAX_DEFAULT (64ull << 20)
#define CIS_RUN_SKILL_WORKSPACE "/workspace"
#define CIS_STORED_RESULT_MAX 65536u      /* result bytes kept in a run's record */
#define CIS_REPORT_RESULT_MAX (16u << 20) /* in a report of who asks for it there */

/* What becomes of a run's writes. Traps, limits and cancellation always discard. */
enum cis_tx {
    CIS_TX_ON_SUCCESS, /* discarded when the skill reports failure */
    CIS_TX_ALWAYS,
    CIS_TX_DISCARD
};

/* A program instead of a skill: WASI's _start (or a reactor's _initialize), or one export. */
struct cis_run_program {
    const char *const *args; /* NULL-terminated; args[0]: the program's own name */
    const char *const *env;  /* "NAME=VALUE", NULL-terminated, may be NULL; all that it sees */
    struct cis_host_stream std[3]; /* copied; kept buffers come back in the outcome */
    const int *listeners;
    size_t nlisteners;
    const char *invoke; /* an export called with numbers; NULL: _start, or _initialize */
    const char *const *invoke_args; /* NULL-terminated; the wrong ones: its type is in the error */
    bool trap_unknown_imports;      /* what nobody provides traps when it is called */
    bool fixed_clock;
    uint64_t clock_ns;
    bool seeded;
    uint8_t seed[32];
    /* Components: interfaces beside WASI's; NULL: none. What they act on is the host's embedder. */
    const struct cis_iface_provider *interfaces;
    void *embedder;
    const char *without; /* a package that is built in and shall not be there; NULL: none */
    uint32_t wasi;       /* unstable features: CIS_WASI_* of wasi/p2/p2.h */
    bool no_wasi;        /* the runtime's enable_wasi is off: nobody provides WASI */
    bool no_entry;       /* kept, to have its exports called: nothing is entered */
};

struct cis_run_request {
    cis_engine *engine;
    cis_engine_module *module;
    cis_store *store;                /* run records and the skill's config; NULL: nothing is kept */
    struct cis_services services;    /* NULL entries: absent */
    const char *tenant;              /* NULL: "default" */
    const char *skill;               /* installed name, or "file:STEM" */
    const char *memory;              /* namespace of its memory and settings; NULL: skill */
    const struct cis_grants *grants; /* NULL: none */
    struct cis_limits limits;        /* zeros: defaults; memory_bytes must be set */
    uint64_t time_ns;                /* CIS_NEVER: none */
    uint64_t output_max;             /* 0: CIS_OUTPUT_MAX_DEFAULT */
    bool result_in_report; /* also one above CIS_STORED_RESULT_MAX: who prints the report alone */
    uint64_t ai_calls_max, ai_tokens_max; /* 0: defaults */
    uint32_t weight;                      /* of the tenant's CPU share, 0: 1 */
    cis_cancel *cancel;                   /* may be NULL */
    struct cis_skillabi_options abi;
    struct cis_bytes input;            /* JSON, checked by the caller; borrowed */
    const struct cis_str_pair *config; /* the skill's config as this run sees it */
    size_t nconfig;
    /* May the skill set this itself? NULL: anything within the limits. */
    cis_code (*config_check)(const void *self, struct cis_str key, struct cis_str value,
                             struct cis_error *err);
    const void *config_self;
    bool no_clock, no_random; /* switched off for this run */
    /* Files: the same for programs and skills. Nothing is mounted unless it is said here; but a
     * skill with the grant fs=ro or fs=rw finds the current branch at CIS_RUN_SKILL_WORKSPACE,
     * where there is an fs cache. */
    cis_fs_cache *fs_cache;
    const struct cis_run_mount *mounts;
    size_t nmounts;
    bool read_only;
    uint32_t files_max;                    /* open descriptors; 0: CIS_WORLD_FILES_MAX */
    uint32_t sockets_max;                  /* 0: CIS_NET_SOCKETS_MAX */
    uint32_t handles_max;                  /* of WASI 0.2; 0: what limits.host_bytes pays for */
    const char *dns_servers;               /* borrowed; NULL: the system's */
    const char *fork;                      /* what it changes becomes this new branch */
    const struct cis_run_program *program; /* NULL: a skill */
    const char *compiled_code; /* "compiled", "disk" or "memory" for the report; NULL: unknown */
    enum cis_tx tx;            /* what becomes of its writes */
    void (*trace)(void *self, const char *line);
    void *trace_self;
    uint32_t ask_refused; /* CIS_GRANT_BIT: a run that was refused these ends as INPUT_REQUIRED */
    const struct cis_ask_answer *answers; /* to questions of the guest */
    size_t nanswers;
    void (*progress)(void *self, const struct cis_progress *p); /* told by the guest; may be NULL */
    void *progress_self;
    cis_recording
        *recording; /* records the run; finished before what it changed is committed. NULL: none */
};

typedef struct cis_session cis_session;

/* A guest ready to be called. On failure *out_session may still be set (there is a report to
 * write); close it in any case. */
cis_code cis_session_open(const struct cis_run_request *request, cis_session **out_session,
                          struct cis_error *err);
/* NULL when it could not be made, and once it is gone: callbacks may ask while it is closed. */
cis_engine_instance *cis_session_instance(cis_session *session);
/* CIS_E_USAGE while a call is being made in it, as for a callback of that one, or it is closed. */
cis_code cis_session_idle(const cis_session *session, const char *what, struct cis_error *err);
/* A call from outside, of one that is idle: its deadline, fuel and caps count anew. To be left
 * again. */
cis_code cis_session_enter(cis_session *session, const char *what, struct cis_error *err);
void cis_session_leave(cis_session *session);
bool cis_session_busy(const cis_session *session); /* NULL: no */
/* Memory and config written since the last commit go to their services; with no run record. What
 * cannot be committed is forgotten. */
cis_code cis_session_commit(cis_session *session, struct cis_error *err);
/* Forgets it instead. */
void cis_session_discard(cis_session *session);
/* It is about to be closed: said first by who calls foreign code before cis_session_close does. It
 * stays whole, is never idle again and counts as busy. NULL is allowed. */
void cis_session_closing(cis_session *session);
void cis_session_close(cis_session *session);

struct cis_run_outcome {
    cis_code code;          /* CIS_OK, CIS_E_FAILED, _TRAP, _DEADLINE, … */
    struct cis_error error; /* message when code is not CIS_OK */
    struct cis_buf output;  /* the result: JSON text or bytes; owned */
    bool is_json;
    bool raw;                /* bytes that the guest wrote itself, not a returned value */
    struct cis_buf report;   /* JSON with the whole result; owned */
    uint32_t refused;        /* which of request.ask_refused it was */
    struct cis_buf question; /* of CIS_E_INPUT_REQUIRED: {"key":…,"request":{…}}; owned */
    char id[27];
    char *backtrace; /* "" or lines; owned */
    bool exited;     /* a program ended by itself, with this code */
    int32_t exit_code;
    struct cis_host_stream std[3]; /* a program's; kept buffers are owned */
    struct cis_view files;         /* the commit of its files; branch 0: none */
    bool dropped_changes;          /* files were changed, and that is forgotten */
    /* Of that commit; below CIS_CONFLICT_PREFIX when it had to be rescued. */
    char branch[CIS_FS_REF_MAX + 1];
};

/* `f(args)` or `interface.f(args)` in the guest of a session of a component; its answer as text. */
cis_code cis_run_component_text(cis_session *session, const char *call, struct cis_buf *out,
                                struct cis_error *err);

/* cis_component_handle, in the guest of a session of a component. */
cis_code cis_run_component_handle(cis_session *session, const struct cis_http_incoming *request,
                                  struct cis_http_answer *out_answer, struct cis_error *err);

/* Does a program find this import (WASI, or a memory of env)? For naming those it does not. */
bool cis_run_provides(const struct cis_extern *import);

/* The same for a function of an interface: is it provided to every component? without, wasi: see
 * struct cis_run_program. */
bool cis_run_has_interface(struct cis_str interface, struct cis_str name, const char *without,
                           uint32_t wasi);
/* "clocks-timezone,network-error-code" (NULL: none) adds bits to *inout_wasi. CIS_E_USAGE. */
cis_code cis_run_wasi_features(const char *list, uint32_t *inout_wasi, struct cis_error *err);
/* Is a package of this name built in ("wasi:http")? CIS_E_USAGE names those that are. */
cis_code cis_run_check_package(const char *package, struct cis_error *err);

/* The whole run. CIS_OK when there is an outcome, whatever it says; else nothing ran and there is
 * no record (bad request, out of memory). */
cis_code cis_run_execute(const struct cis_run_request *request, struct cis_run_outcome *out_outcome,
                         struct cis_error *err);
void cis_run_outcome_done(struct cis_run_outcome *outcome);
/* "ok" "failed" "trap" "limit" "cancelled" "conflict" "quota" "denied" "error" "input_required";
 * static. */
const char *cis_run_status(cis_code code);

#endif
