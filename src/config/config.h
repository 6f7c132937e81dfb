/* Settings of an installation: flags > environment > config.toml > defaults; every value knows
 * where it came from. One struct, read once at start, plain data afterwards.
 *
 * Every setting NAME is also the environment variable CIS_NAME, upper case, dots as underscores
 * (limits.memory: CIS_LIMITS_MEMORY), except lists. An empty variable counts as not set. Where
 * neither variable nor file nor flag says anything, DATABASE_URL (a postgres URL) names the store
 * and TARBOX_TENANT_ID the tenant.
 *
 * config.toml lives in $XDG_CONFIG_HOME/cis (~/.config/cis), or $CIS_HOME/config when CIS_HOME (or
 * --home) is set; then data and cache are $CIS_HOME/data and $CIS_HOME/cache. */
#ifndef CIS_CONFIG_CONFIG_H
#define CIS_CONFIG_CONFIG_H

#include "base/buf.h"

struct cis_config {
    char *data_dir, *cache_dir, *config_dir; /* absolute */
    char *file;                              /* config.toml that was read, or would be */
    char *store;                             /* "sqlite:DIR" or a postgres:// URL (CIS_STORE) */
    char *tenant;                            /* "default" (CIS_TENANT) */
    /* [limits]: of skills run from the command line */
    uint64_t memory;             /* 128 MiB */
    uint64_t time_ns;            /* 30 s */
    uint64_t fuel;               /* 0: not metered */
    uint64_t output_max;         /* 256 MiB */
    uint64_t host_bytes;         /* 1 GiB */
    uint64_t history_bytes;      /* 2 GiB */
    uint32_t handles;            /* 0: what host_bytes pays for */
    uint64_t memory_quota_bytes; /* key-value bytes of a tenant, 1 GiB */
    uint64_t memory_quota_keys;  /* 1,000,000 */
    /* [runtime]: ceilings of every run; cis_runtime_config has the same names and defaults */
    uint64_t max_memory;               /* 512 MiB */
    uint64_t max_execution_time_ns;    /* 30,000 ms; a plain number is milliseconds */
    bool enable_wasi;                  /* true */
    char *wasi_features;               /* unstable ones, "clocks-timezone,…"; NULL: none */
    bool enable_clocks, enable_random; /* true; off: only with the grant clocks or random */
    /* [engine] */
    uint32_t slots;           /* 0: cores */
    uint32_t pool_slots;      /* 0: automatic */
    uint64_t cache_max;       /* 1 GiB */
    uint64_t compile_memory;  /* 0: as the engine says */
    uint64_t compile_time_ns; /* 0 */
    bool memory64, exceptions;
    /* [cache]: of one process, in memory */
    uint32_t cache_names, cache_inodes; /* 262,144 each */
    uint64_t cache_content;             /* 24 MiB */
    uint64_t cache_pages;               /* 128 MiB */
    uint32_t cache_modules;             /* 256 */
    /* [skills] */
    char *signature_policy; /* "off" "warn" "require" */
    /* [http] */
    char *ca_file, *dns_servers; /* NULL: system's */
    /* [ai] */
    char *ai_provider, *ai_model, *ai_base_url, *ai_api_key_env, *ai_api_key_file, *ai_command;
    char **ai_command_args; /* NULL-terminated, may be NULL */
    bool ai_command_stdin, ai_unsafe_command;
    uint32_t ai_max_tokens;
    double ai_temperature; /* < 0: not sent */
    uint64_t ai_timeout_ns;
    uint64_t ai_calls_max, ai_tokens_max; /* per run; 100 and 1,000,000 */
    char **warnings; /* unknown keys of config.toml, NULL-terminated; may be NULL */
    struct cis_config_origin *origins; /* opaque */
};

struct cis_config_flags { /* what the command line said; NULL: nothing */
    const char *home;
    const char *store;
    const char *tenant;
    /* --max-memory, --max-execution-time, --enable-wasi: as the settings of [runtime] */
    const char *max_memory, *max_execution_time, *enable_wasi, *handles;
    const char *compile_memory, *compile_time; /* --compile-memory, --compile-time: of [engine] */
};

/* CIS_E_INVALID "…/config.toml:12: limits.memory: …", CIS_E_USAGE for a flag or a variable; an
 * absent file is no error, one that anybody may write is. */
cis_code cis_config_load(const struct cis_config_flags *flags, struct cis_config **out_config,
                         struct cis_error *err);
void cis_config_free(struct cis_config *config);
/* Every setting in order: "limits.memory", its value as text (a URL without its password), and
 * where it came from ("default", "config.toml:3", "environment CIS_STORE", "flag --home"). */
void cis_config_each(const struct cis_config *config, void *self,
                     void (*each)(void *self, const char *name, const char *value,
                                  const char *origin));

#endif
