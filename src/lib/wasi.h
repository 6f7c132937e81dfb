/* Inside lib/: what the steps of a cis_wasi_run leave. */
#ifndef CIS_LIB_WASI_H
#define CIS_LIB_WASI_H

#include "cis/wasi.h"
#include "lib/internal.h"

#define LISTENERS_MAX 16u

struct cis_lib_words { /* owned texts, NULL-terminated once there is one */
    const char **at;
    size_t n, cap;
};

struct cis_wasi_run {
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
    uint8_t *input;
    int listeners[LISTENERS_MAX];
    size_t nlisteners;
    enum cis_wasi_tx tx;
    const char *fork;
    uint64_t memory, time_ms, fuel;
    bool no_clock, no_random, fixed_clock, seeded;
    uint64_t clock_ns;
    uint8_t seed[32];
    cis_cancel *cancel;
    struct cis_lib_set *set; /* interfaces of the embedder; NULL: none */
    void *data;
    const char *invoke, *without;
};

/* No step has failed yet. */
static inline bool cis_lib_wasi_usable(const cis_wasi_run *run)
{
    return run->first.code == CIS_OK;
}

#endif
