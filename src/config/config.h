/* Settings of an installation: flags > environment > config.toml > defaults; every value knows
 * where it came from. One struct, read once at start, plain data afterwards.
 *
 * Every setting NAME is also the environment variable CIS_NAME, upper case, dots as underscores
 * (limits.memory: CIS_LIMITS_MEMORY), except lists. An empty variable counts as not set. Where
 * neither variable nor file nor flag says anything, DATABASE_URL (a postgres URL) names the store
 * and TARBOX_TENANT_ID the tenant.
 *
 * A new setting is a row of settings.def.
 *
 * config.toml lives in $XDG_CONFIG_HOME/cis (~/.config/cis), or $CIS_HOME/config when CIS_HOME (or
 * --home) is set; then data and cache are $CIS_HOME/data and $CIS_HOME/cache. */
#ifndef CIS_CONFIG_CONFIG_H
#define CIS_CONFIG_CONFIG_H

#include "base/buf.h"

/* What the kinds of settings.def are in C. */
#define CIS_SETTING_TYPE_SIZE uint64_t   /* bytes; 1024 or "128MiB" */
#define CIS_SETTING_TYPE_TIME uint64_t   /* nanoseconds; 30 (seconds) or "30s" */
#define CIS_SETTING_TYPE_MILLIS uint64_t /* the same, a plain number being milliseconds */
#define CIS_SETTING_TYPE_U64 uint64_t
#define CIS_SETTING_TYPE_U32 uint32_t
#define CIS_SETTING_TYPE_BOOL bool
#define CIS_SETTING_TYPE_DOUBLE double /* not set: -1 */
#define CIS_SETTING_TYPE_TEXT char *   /* not set: NULL */
#define CIS_SETTING_TYPE_CHOICE char *
#define CIS_SETTING_TYPE_LIST char ** /* NULL-terminated; not set: NULL */

struct cis_config {
    char *data_dir, *cache_dir, *config_dir; /* absolute */
    char *file;                              /* config.toml that was read, or would be */
#define SETTING(kind, name, field, ...) CIS_SETTING_TYPE_##kind field;
#include "config/settings.def"
#undef SETTING
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

/* What is known of a setting before any is read; valid during the call. */
struct cis_setting_about {
    const char *name;     /* "limits.memory" */
    const char *variable; /* "CIS_LIMITS_MEMORY"; NULL: it is set in the file only */
    const char *def;      /* "128MiB"; NULL: not set */
    const char *bounds;   /* "64KiB to 4GiB", "off, warn or require"; "": none */
    const char *flag;     /* "--memory"; NULL: none */
    const char *help;     /* one line, as Markdown */
};
void cis_settings_each(void *self, void (*each)(void *self, const struct cis_setting_about *s));

#endif
