/* Inside config/: the table of settings and the folders. */
#ifndef CIS_CONFIG_INTERNAL_H
#define CIS_CONFIG_INTERNAL_H

#include <jansson.h>
#include "config/config.h"

enum cis_setting_kind { /* config.h says what they are */
                        CIS_SETTING_SIZE,
                        CIS_SETTING_TIME,
                        CIS_SETTING_MILLIS,
                        CIS_SETTING_U64,
                        CIS_SETTING_U32,
                        CIS_SETTING_BOOL,
                        CIS_SETTING_DOUBLE,
                        CIS_SETTING_TEXT,
                        CIS_SETTING_CHOICE,
                        CIS_SETTING_LIST,
};

struct cis_setting {
    const char *name;
    enum cis_setting_kind kind;
    size_t offset;       /* in struct cis_config */
    const char *def;     /* as in the environment; NULL: not set */
    uint64_t min, max;   /* of numbers; of a list: its most items */
    const char *choices; /* "off|warn|require" */
    const char *flag, *help;
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
/* A number as it is written: "128MiB", "30s", "16". */
void cis_setting_number(const struct cis_setting *s, uint64_t value, struct cis_buf *out);
/* The name of its environment variable. */
#define CIS_SETTING_VARIABLE 64
void cis_setting_variable(const struct cis_setting *s, char out[CIS_SETTING_VARIABLE]);
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
