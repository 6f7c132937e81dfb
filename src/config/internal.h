/* Inside config/: the table of settings and the folders. */
#ifndef CIS_CONFIG_INTERNAL_H
#define CIS_CONFIG_INTERNAL_H

#include <jansson.h>
#include "config/config.h"

enum cis_setting_kind {
    CIS_SETTING_SIZE,   /* uint64_t; 1024 or "128MiB" */
    CIS_SETTING_TIME,   /* uint64_t nanoseconds; 30 (seconds) or "30s" */
    CIS_SETTING_MILLIS, /* the same, a plain number being milliseconds */
    CIS_SETTING_U64,
    CIS_SETTING_U32,
    CIS_SETTING_BOOL,
    CIS_SETTING_DOUBLE,
    CIS_SETTING_TEXT,   /* char *, NULL when not set */
    CIS_SETTING_CHOICE, /* the same, one of choices */
    CIS_SETTING_LIST,   /* char **, NULL-terminated */
};

struct cis_setting {
    const char *name;
    enum cis_setting_kind kind;
    size_t offset;       /* in struct cis_config */
    const char *def;     /* as in the environment; NULL: not set */
    uint64_t min, max;   /* of numbers */
    const char *choices; /* "off|warn|require" */
};

extern const struct cis_setting cis_settings[];
extern const size_t cis_settings_count;

/* Sets a value from text (environment, default, flag). The message says what was expected, without
 * naming the setting. */
cis_code cis_setting_from_text(const struct cis_setting *s, struct cis_config *config,
                               struct cis_str text, struct cis_error *err);
cis_code cis_setting_from_json(const struct cis_setting *s, struct cis_config *config,
                               const json_t *value, struct cis_error *err);
void cis_setting_print(const struct cis_setting *s, const struct cis_config *config,
                       struct cis_buf *out);
void cis_setting_free(const struct cis_setting *s, struct cis_config *config);

/* Where each setting, and before them each folder, came from. */
enum { CIS_ORIGIN_DATA, CIS_ORIGIN_CACHE, CIS_ORIGIN_CONFIG, CIS_ORIGIN_FILE, CIS_ORIGIN_SETTINGS };
struct cis_config_origin {
    char text[64];
};
void cis_origin_set(struct cis_config *config, size_t index, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Fills the folders and file of config. */
cis_code cis_config_dirs(const char *home, struct cis_config *config, struct cis_error *err);
/* path, or path below the current folder; caller frees. */
cis_code cis_config_absolute(const char *path, char **out, struct cis_error *err);

#endif
