/* Inside lib/: what the steps of a cis_wasi_config leave. */
#ifndef CIS_LIB_WASI_H
#define CIS_LIB_WASI_H

#include "cis/wasi.h"
#include "lib/internal.h"

#define LISTENERS_MAX 16u

struct cis_lib_words { /* owned texts, NULL-terminated once there is one */
    const char **at;
    size_t n, cap;
};

struct cis_wasi_config {
    cis_runtime *runtime;
    struct cis_error first; /* what the first failed step said; code CIS_OK: none did */
    char tenant[CIS_TENANT_MAX + 1];
    struct cis_lib_words args, env;
    struct cis_lib_words grants;
    struct cis_lib_words kept; /* texts that mounts and the fork point to */
    struct cis_run_mount mounts[CIS_RUN_MOUNTS_MAX];
    const char *states[CIS_RUN_MOUNTS_MAX]; /* of workspaces that are no head; NULL */
    size_t nmounts;
    bool read_only;
    struct cis_host_stream std[3];
    uint64_t keep_max[3];
    struct cis_lib_stream {
        cis_wasi_read_fn *read;
        cis_wasi_write_fn *write;
        void *self;
    } calls[3]; /* functions of the embedder, behind std */
    uint8_t *input;
    int listeners[LISTENERS_MAX];
    size_t nlisteners;
    enum cis_wasi_tx tx;
    const char *fork;
    uint64_t memory, time_ms, fuel;
    uint32_t handles;               /* 0: the default */
    uint32_t sockets_max, features; /* 0: the default; unstable ones of WASI, as bits */
    bool no_clock, no_random, fixed_clock, seeded;
    uint64_t clock_ns;
    uint8_t seed[32];
    cis_cancel *cancel;
    struct cis_lib_set *set; /* interfaces of the embedder; NULL: none */
    void *data;
    const char *invoke, *without;
    const char *record; /* where runs are recorded; NULL: nowhere */
};

/* What a run that is recorded has of its own. */
struct cis_lib_recording {
    cis_engine_module *module;
    cis_recording *recording;
};
/* Puts both into the request when the run is to be recorded. */
cis_code cis_lib_record(const cis_wasi_config *config, cis_module *module,
                        struct cis_lib_recording *recording, struct cis_run_request *request,
                        struct cis_error *err);
/* After the run. */
void cis_lib_recording_done(struct cis_lib_recording *recording);
/* Takes what the streams kept. */
cis_code cis_lib_result_played(const struct cis_recording_outcome *outcome,
                               struct cis_host_stream std[3], const char *path,
                               cis_result **out_result, struct cis_error *err);

/* No step has failed yet. */
static inline bool cis_lib_wasi_usable(const cis_wasi_config *config)
{
    return config->first.code == CIS_OK;
}

#endif
