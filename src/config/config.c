/* Loading: defaults, then the file, then the environment, then flags, each over the one before. */
#include "config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"
#include "config/internal.h"
#include "engine/code/engine.h"

#define FILE_MAX (1u << 20)
#define WARNINGS_MAX 100u

void cis_origin_set(struct cis_config *config, size_t index, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(config->origins[index].text, sizeof config->origins[index].text, fmt, args);
    va_end(args);
}

void cis_config_free(struct cis_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < cis_settings_count; i++) {
        cis_setting_free(&cis_settings[i], config);
    }
    for (size_t i = 0; config->warnings != NULL && config->warnings[i] != NULL; i++) {
        cis_free(config->warnings[i]);
    }
    cis_free(config->warnings);
    cis_free(config->origins);
    cis_free(config->data_dir);
    cis_free(config->cache_dir);
    cis_free(config->config_dir);
    cis_free(config->file);
    cis_free(config);
}

static void config_freep(struct cis_config **config)
{
    cis_config_free(*config);
}

static cis_code defaults(struct cis_config *c, struct cis_error *err)
{
    c->ai_temperature = -1;
    for (size_t i = 0; i < cis_settings_count; i++) {
        const struct cis_setting *s = &cis_settings[i];
        cis_origin_set(c, CIS_ORIGIN_SETTINGS + i, "default");
        if (s->def != NULL) {
            CIS_TRY(cis_setting_from_text(s, c, cis_str_of(s->def), err));
        }
    }
    return CIS_OK;
}

/* ---- the file ---- */
static cis_code warn(struct cis_config *c, long line, const char *kind, const char *name,
                     struct cis_error *err)
{
    size_t n = 0;
    while (c->warnings != NULL && c->warnings[n] != NULL) {
        n++;
    }
    if (n == WARNINGS_MAX) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(8192);
    cis_buf_printf(&text, "%s:%ld: unknown %s %s", c->file, line, kind, name);
    char **grown = cis_realloc_array(c->warnings, cis_size_add(n, 2), sizeof *grown);
    if (grown == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "configuration: out of memory");
    }
    c->warnings = grown;
    grown[n] = (char *)cis_buf_take(&text, NULL);
    grown[n + 1] = NULL;
    return CIS_OK;
}

static cis_code take_key(struct cis_config *c, const char *name, const json_t *value,
                         const json_t *lines, struct cis_error *err)
{
    long line = (long)json_integer_value(json_object_get(lines, name));
    if (strcmp(name, "ai.api_key") == 0) {
        return cis_fail(err, CIS_E_INVALID,
                        "%s:%ld: ai.api_key: a key does not belong in this file; name the variable "
                        "or file that holds it with ai.api_key_env or ai.api_key_file",
                        c->file, line);
    }
    for (size_t i = 0; i < cis_settings_count; i++) {
        if (strcmp(cis_settings[i].name, name) != 0) {
            continue;
        }
        struct cis_error why = {0};
        cis_code code = cis_setting_from_json(&cis_settings[i], c, value, &why);
        if (code != CIS_OK) {
            return cis_fail(err, code, "%s:%ld: %s: %s", c->file, line, name, why.msg);
        }
        cis_origin_set(c, CIS_ORIGIN_SETTINGS + i, "config.toml:%ld", line);
        return CIS_OK;
    }
    return warn(c, line, "key", name, err);
}

static bool is_table(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < cis_settings_count; i++) {
        if (strncmp(cis_settings[i].name, name, len) == 0 && cis_settings[i].name[len] == '.') {
            return true;
        }
    }
    return false;
}

static cis_code take_table(struct cis_config *c, const char *table, const json_t *value,
                           const json_t *lines, struct cis_error *err)
{
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(4096);
        cis_buf_printf(&name, "%s.%s", table, key);
        CIS_TRY(cis_buf_check(&name, c->file, err));
        CIS_TRY(take_key(c, cis_buf_cstr(&name), item, lines, err));
    }
    return CIS_OK;
}

static cis_code take_file(struct cis_config *c, struct cis_str toml, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(64u << 20);
    CIS_TRY(cis_toml_to_json(toml, c->file, &json, err));
    json_auto_t *both = json_loadb(cis_buf_cstr(&json), json.len, JSON_ALLOW_NUL, NULL);
    const json_t *root = json_object_get(both, "value"), *lines = json_object_get(both, "lines");
    if (!json_is_object(root)) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: cannot read its JSON form", c->file);
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        if (!json_is_object(value)) {
            CIS_TRY(take_key(c, name, value, lines, err));
        } else if (is_table(name)) {
            CIS_TRY(take_table(c, name, value, lines, err));
        } else {
            long line = (long)json_integer_value(json_object_get(lines, name));
            CIS_TRY(warn(c, line, "table", name, err));
        }
    }
    return CIS_OK;
}

static cis_code read_file(struct cis_config *c, struct cis_error *err)
{
    /* It can name a program to run; whoever may write to its folder can put another in its place.
     */
    CIS_TRY(cis_file_is_own(c->config_dir, err));
    CIS_TRY(cis_file_is_own(c->file, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(FILE_MAX);
    struct cis_error why = {0};
    cis_code code = cis_file_read(c->file, &text, &why);
    if (code == CIS_E_NOTFOUND) {
        return CIS_OK;
    }
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s", why.msg);
    }
    cis_origin_set(c, CIS_ORIGIN_FILE, "read");
    return take_file(c, cis_buf_view(&text), err);
}

/* ---- environment and flags ---- */
static bool is_postgres(struct cis_str text)
{
    return cis_str_starts(text, CIS_STR("postgres://")) ||
           cis_str_starts(text, CIS_STR("postgresql://"));
}

static cis_code environment(struct cis_config *c, struct cis_error *err)
{
    for (size_t i = 0; i < cis_settings_count; i++) {
        char variable[CIS_SETTING_VARIABLE];
        cis_setting_variable(&cis_settings[i], variable);
        const char *value = cis_settings[i].kind != CIS_SETTING_LIST ? getenv(variable) : NULL;
        if (value == NULL || value[0] == 0) {
            continue;
        }
        struct cis_error why = {0};
        cis_code code = cis_setting_from_text(&cis_settings[i], c, cis_str_of(value), &why);
        if (code != CIS_OK) {
            code = code == CIS_E_INVALID ? CIS_E_USAGE : code;
            return cis_fail(err, code, "environment %s: %s", variable, why.msg);
        }
        cis_origin_set(c, CIS_ORIGIN_SETTINGS + i, "environment %s", variable);
    }
    return CIS_OK;
}

/* Names that other programs use too. They count only where nothing of ours says otherwise, and
 * DATABASE_URL only when it is a database that can hold the store: it may be another program's. */
static cis_code foreign_environment(struct cis_config *c, struct cis_error *err)
{
    static const struct {
        const char *setting, *variable;
    } rows[] = {{"store", "DATABASE_URL"}, {"tenant", "TARBOX_TENANT_ID"}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const char *value = getenv(rows[r].variable);
        for (size_t i = 0; value != NULL && value[0] != 0 && i < cis_settings_count; i++) {
            bool open = strcmp(cis_settings[i].name, rows[r].setting) == 0 &&
                        strcmp(c->origins[CIS_ORIGIN_SETTINGS + i].text, "default") == 0;
            if (!open || (r == 0 && !is_postgres(cis_str_of(value)))) {
                continue;
            }
            struct cis_error why = {0};
            cis_code code = cis_setting_from_text(&cis_settings[i], c, cis_str_of(value), &why);
            if (code != CIS_OK) {
                return cis_fail(err, CIS_E_USAGE, "environment %s: %s", rows[r].variable, why.msg);
            }
            cis_origin_set(c, CIS_ORIGIN_SETTINGS + i, "environment %s", rows[r].variable);
        }
    }
    return CIS_OK;
}

static cis_code take_flags(struct cis_config *c, const struct cis_config_flags *flags,
                           struct cis_error *err)
{
    const struct {
        const char *setting, *flag, *value;
    } rows[] = {
        {"tenant", "tenant", flags->tenant},
        {"runtime.max_memory", "max-memory", flags->max_memory},
        {"runtime.max_execution_time", "max-execution-time", flags->max_execution_time},
        {"runtime.enable_wasi", "enable-wasi", flags->enable_wasi},
        {"limits.handles", "handles", flags->handles},
        {"engine.compile_memory", "compile-memory", flags->compile_memory},
        {"engine.compile_time", "compile-time", flags->compile_time},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (size_t i = 0; rows[r].value != NULL && i < cis_settings_count; i++) {
            struct cis_error why = {0};
            if (strcmp(cis_settings[i].name, rows[r].setting) != 0) {
                continue;
            }
            cis_code code =
                cis_setting_from_text(&cis_settings[i], c, cis_str_of(rows[r].value), &why);
            if (code != CIS_OK) {
                return cis_fail(err, code == CIS_E_INVALID ? CIS_E_USAGE : code, "--%s %s: %s",
                                rows[r].flag, rows[r].value, why.msg);
            }
            cis_origin_set(c, CIS_ORIGIN_SETTINGS + i, "flag --%s", rows[r].flag);
        }
    }
    return CIS_OK;
}

/* "sqlite:DIR" with DIR absolute, or a PostgreSQL URL as it is. */
static cis_code store_place(struct cis_config *c, const char *flag, struct cis_error *err)
{
    const size_t prefix = strlen("sqlite:");
    if (flag != NULL) {
        cis_free(c->store);
        c->store = cis_strdup(flag);
        cis_origin_set(c, CIS_ORIGIN_SETTINGS, "flag --store");
        if (c->store == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "configuration: out of memory");
        }
    }
    struct cis_str where = cis_str_of(c->store);
    if (is_postgres(where)) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_freep) char *dir = NULL;
    if (c->store != NULL) {
        if (!cis_str_starts(where, CIS_STR("sqlite:")) || where.len == prefix) {
            CIS_CLEANUP(cis_buf_done) struct cis_buf shown = CIS_BUF_INIT(16384);
            cis_url_redact(where, &shown);
            return cis_fail(err, CIS_E_USAGE, "store \"%s\": expected sqlite:DIR or postgres://…",
                            cis_buf_cstr(&shown));
        }
        CIS_TRY(cis_config_absolute(c->store + prefix, &dir, err));
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(8192);
    cis_buf_printf(&text, "sqlite:%s", dir != NULL ? dir : c->data_dir);
    CIS_TRY(cis_buf_check(&text, "store", err));
    cis_free(c->store);
    c->store = (char *)cis_buf_take(&text, NULL);
    return CIS_OK;
}

cis_code cis_config_load(const struct cis_config_flags *flags, struct cis_config **out_config,
                         struct cis_error *err)
{
    CIS_CLEANUP(config_freep) struct cis_config *c = cis_zalloc(sizeof *c);
    if (c != NULL) {
        c->origins =
            cis_calloc(cis_size_add(CIS_ORIGIN_SETTINGS, cis_settings_count), sizeof *c->origins);
    }
    if (c == NULL || c->origins == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "configuration: out of memory");
    }
    CIS_TRY(cis_config_dirs(flags != NULL ? flags->home : NULL, c, err));
    cis_origin_set(c, CIS_ORIGIN_FILE, "absent");
    CIS_TRY(defaults(c, err));
    CIS_TRY(read_file(c, err));
    CIS_TRY(environment(c, err));
    CIS_TRY(foreign_environment(c, err));
    if (flags != NULL) {
        CIS_TRY(take_flags(c, flags, err));
    }
    CIS_TRY(store_place(c, flags != NULL ? flags->store : NULL, err));
    *out_config = cis_take(&c);
    return CIS_OK;
}

void cis_config_each(const struct cis_config *config, void *self,
                     void (*each)(void *self, const char *name, const char *value,
                                  const char *origin))
{
    each(self, "data_dir", config->data_dir, config->origins[CIS_ORIGIN_DATA].text);
    each(self, "cache_dir", config->cache_dir, config->origins[CIS_ORIGIN_CACHE].text);
    each(self, "config_dir", config->config_dir, config->origins[CIS_ORIGIN_CONFIG].text);
    each(self, "config_file", config->file, config->origins[CIS_ORIGIN_FILE].text);
    for (size_t i = 0; i < cis_settings_count; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf value = CIS_BUF_INIT(1u << 20);
        CIS_CLEANUP(cis_buf_done) struct cis_buf shown = CIS_BUF_INIT(1u << 20);
        cis_setting_print(&cis_settings[i], config, &value);
        cis_url_redact(cis_buf_view(&value), &shown);
        each(self, cis_settings[i].name, cis_buf_cstr(&shown),
             config->origins[CIS_ORIGIN_SETTINGS + i].text);
    }
}
