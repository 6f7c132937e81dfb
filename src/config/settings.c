/* The table of settings, and how one is read, checked and printed. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/float.h"
#include "base/mem.h"
#include "config/bounds.h"
#include "config/internal.h"

#define AT(field) offsetof(struct cis_config, field)
#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define DAY (24ull * 3600 * CIS_NS_PER_S)
#define PAGE (64 * KIB)

const struct cis_setting cis_settings[] = {
#define SETTING(kind, name, field, def, min, max, choices, flag, help)                             \
    {(name), CIS_SETTING_##kind, AT(field), (def), (min), (max), (choices), (flag), (help)},
#include "config/settings.def"
#undef SETTING
};
const size_t cis_settings_count = sizeof cis_settings / sizeof *cis_settings;

static void *field(const struct cis_setting *s, const struct cis_config *config)
{
    return (char *)(uintptr_t)config + s->offset;
}

static void size_text(uint64_t bytes, struct cis_buf *out)
{
    static const struct {
        uint64_t unit;
        const char *name;
    } units[] = {{TIB, "TiB"}, {GIB, "GiB"}, {MIB, "MiB"}, {KIB, "KiB"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (bytes != 0 && bytes % units[i].unit == 0) {
            cis_buf_printf(out, "%" PRIu64 "%s", bytes / units[i].unit, units[i].name);
            return;
        }
    }
    cis_buf_printf(out, "%" PRIu64, bytes);
}

static void time_text(uint64_t ns, struct cis_buf *out)
{
    if (ns != 0 && ns % (DAY / 24) == 0) {
        cis_buf_printf(out, "%" PRIu64 "h", (uint64_t)(ns / (DAY / 24)));
    } else if (ns % CIS_NS_PER_S == 0) {
        cis_buf_printf(out, "%" PRIu64 "s", (uint64_t)(ns / CIS_NS_PER_S));
    } else if (ns % CIS_NS_PER_MS == 0) {
        cis_buf_printf(out, "%" PRIu64 "ms", (uint64_t)(ns / CIS_NS_PER_MS));
    } else {
        cis_buf_printf(out, "%" PRIu64 "us", ns / 1000);
    }
}

void cis_setting_number(const struct cis_setting *s, uint64_t value, struct cis_buf *out)
{
    if (s->kind == CIS_SETTING_SIZE) {
        size_text(value, out);
    } else if (s->kind == CIS_SETTING_TIME || s->kind == CIS_SETTING_MILLIS) {
        time_text(value, out);
    } else {
        cis_buf_printf(out, "%" PRIu64, value);
    }
}

static cis_code number_set(const struct cis_setting *s, struct cis_config *config, uint64_t value,
                           struct cis_error *err)
{
    bool automatic = value == 0 && s->def != NULL && strcmp(s->def, "0") == 0;
    if (!automatic && (value < s->min || value > s->max)) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf lo = CIS_BUF_INIT(64), hi = CIS_BUF_INIT(64);
        cis_setting_number(s, s->min, &lo);
        cis_setting_number(s, s->max, &hi);
        return cis_fail(err, CIS_E_INVALID, "out of range (%s to %s)", cis_buf_cstr(&lo),
                        cis_buf_cstr(&hi));
    }
    if (s->kind == CIS_SETTING_U32) {
        *(uint32_t *)field(s, config) = (uint32_t)value;
    } else {
        *(uint64_t *)field(s, config) = value;
    }
    return CIS_OK;
}

static cis_code text_set(const struct cis_setting *s, struct cis_config *config,
                         struct cis_str text, struct cis_error *err)
{
    char **at = field(s, config);
    if (text.len == 0 || text.len > 8192 || memchr(text.ptr, 0, text.len) != NULL) {
        return cis_fail(err, CIS_E_INVALID, "expected text of 1 to 8192 bytes");
    }
    if (s->kind == CIS_SETTING_CHOICE) {
        struct cis_str rest = cis_str_of(s->choices), one;
        bool found = false;
        while (!found && rest.len != 0) {
            cis_str_split(&rest, '|', &one);
            found = cis_str_eq(one, text);
        }
        if (!found) {
            return cis_fail(err, CIS_E_INVALID, "expected one of %s", s->choices);
        }
    }
    char *copy = cis_strndup(text.ptr, text.len);
    if (copy == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    cis_free(*at);
    *at = copy;
    return CIS_OK;
}

static cis_code double_set(const struct cis_setting *s, struct cis_config *config, double value,
                           struct cis_error *err)
{
    if (!isfinite(value) || value < (double)s->min || value > (double)s->max) {
        return cis_fail(err, CIS_E_INVALID, "out of range (%" PRIu64 " to %" PRIu64 ")", s->min,
                        s->max);
    }
    *(double *)field(s, config) = value;
    return CIS_OK;
}

static cis_code bool_from_text(struct cis_str text, bool *out, struct cis_error *err)
{
    if (cis_str_is(text, "true") || cis_str_is(text, "1") || cis_str_is(text, "yes")) {
        *out = true;
    } else if (cis_str_is(text, "false") || cis_str_is(text, "0") || cis_str_is(text, "no")) {
        *out = false;
    } else {
        return cis_fail(err, CIS_E_INVALID, "expected true or false");
    }
    return CIS_OK;
}

cis_code cis_setting_from_text(const struct cis_setting *s, struct cis_config *config,
                               struct cis_str text, struct cis_error *err)
{
    uint64_t n = 0;
    switch (s->kind) {
    case CIS_SETTING_SIZE:
        if (!cis_str_size(text, &n)) {
            return cis_fail(err, CIS_E_INVALID, "expected a size such as \"128MiB\"");
        }
        return number_set(s, config, n, err);
    case CIS_SETTING_MILLIS:
        if (cis_str_u64(text, &n)) {
            n = n > UINT64_MAX / CIS_NS_PER_MS ? UINT64_MAX : n * CIS_NS_PER_MS;
            return number_set(s, config, n, err);
        }
        __attribute__((fallthrough));
    case CIS_SETTING_TIME:
        if (!cis_str_duration(text, &n)) {
            return cis_fail(err, CIS_E_INVALID, "expected a time such as \"30s\"");
        }
        return number_set(s, config, n, err);
    case CIS_SETTING_U64:
    case CIS_SETTING_U32:
        if (!cis_str_u64(text, &n)) {
            return cis_fail(err, CIS_E_INVALID, "expected a whole number");
        }
        return number_set(s, config, n, err);
    case CIS_SETTING_BOOL:
        return bool_from_text(text, field(s, config), err);
    case CIS_SETTING_DOUBLE: {
        CIS_CLEANUP(cis_freep) char *copy = cis_strndup(text.ptr, text.len);
        char *end = NULL;
        double value = copy != NULL ? cis_float_read(copy, &end) : 0;
        if (copy == NULL || end == copy || *end != 0) {
            return cis_fail(err, CIS_E_INVALID, "expected a number");
        }
        return double_set(s, config, value, err);
    }
    case CIS_SETTING_TEXT:
    case CIS_SETTING_CHOICE:
        return text_set(s, config, text, err);
    case CIS_SETTING_LIST:
        return cis_fail(err, CIS_E_INVALID, "lists are set in config.toml only");
    }
    return cis_fail(err, CIS_E_INTERNAL, "unknown kind of setting");
}

static void list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        cis_free(list[i]);
    }
    cis_free(list);
}

static cis_code list_from_json(const struct cis_setting *s, struct cis_config *config,
                               const json_t *value, struct cis_error *err)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > s->max) {
        return cis_fail(err, CIS_E_INVALID, "expected a list of at most %" PRIu64 " texts", s->max);
    }
    char **list = cis_calloc(cis_size_add(n, 1), sizeof *list), ***at = field(s, config);
    for (size_t i = 0; list != NULL && i < n; i++) {
        const json_t *item = json_array_get(value, i);
        const char *text = json_string_value(item);
        if (text == NULL || strlen(text) != json_string_length(item)) {
            list_free(list);
            return cis_fail(err, CIS_E_INVALID, "item %zu is not a text", i + 1);
        }
        list[i] = cis_strdup(text);
        if (list[i] == NULL) {
            list_free(list);
            list = NULL;
        }
    }
    if (list == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    list_free(*at);
    *at = list;
    return CIS_OK;
}

cis_code cis_setting_from_json(const struct cis_setting *s, struct cis_config *config,
                               const json_t *value, struct cis_error *err)
{
    if (s->kind == CIS_SETTING_LIST) {
        return list_from_json(s, config, value, err);
    }
    bool takes_text = s->kind != CIS_SETTING_U64 && s->kind != CIS_SETTING_U32 &&
                      s->kind != CIS_SETTING_BOOL && s->kind != CIS_SETTING_DOUBLE;
    bool takes_number =
        s->kind != CIS_SETTING_TEXT && s->kind != CIS_SETTING_CHOICE && s->kind != CIS_SETTING_BOOL;
    if (takes_text && json_is_string(value)) {
        struct cis_str text = {json_string_value(value), json_string_length(value)};
        return cis_setting_from_text(s, config, text, err);
    }
    if (s->kind == CIS_SETTING_BOOL && json_is_boolean(value)) {
        *(bool *)field(s, config) = json_is_true(value);
        return CIS_OK;
    }
    if (s->kind == CIS_SETTING_DOUBLE && json_is_number(value)) {
        return double_set(s, config, json_number_value(value), err);
    }
    if (takes_number && json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, (int64_t)n);
        if (n >= 0) {
            return cis_setting_from_text(s, config, cis_str_of(text), err);
        }
    }
    static const char *const expected[] = {
        [CIS_SETTING_SIZE] = "a size such as \"128MiB\"",
        [CIS_SETTING_TIME] = "a time such as \"30s\"",
        [CIS_SETTING_MILLIS] = "a time such as 30000 (milliseconds) or \"30s\"",
        [CIS_SETTING_U64] = "a whole number",
        [CIS_SETTING_U32] = "a whole number",
        [CIS_SETTING_BOOL] = "true or false",
        [CIS_SETTING_DOUBLE] = "a number",
        [CIS_SETTING_TEXT] = "a text in quotes",
        [CIS_SETTING_CHOICE] = "a text in quotes",
        [CIS_SETTING_LIST] = "a list",
    };
    return cis_fail(err, CIS_E_INVALID, "expected %s", expected[s->kind]);
}

void cis_setting_print(const struct cis_setting *s, const struct cis_config *config,
                       struct cis_buf *out)
{
    const void *at = field(s, config);
    switch (s->kind) {
    case CIS_SETTING_U32:
        cis_setting_number(s, *(const uint32_t *)at, out);
        break;
    case CIS_SETTING_SIZE:
    case CIS_SETTING_TIME:
    case CIS_SETTING_MILLIS:
    case CIS_SETTING_U64:
        cis_setting_number(s, *(const uint64_t *)at, out);
        break;
    case CIS_SETTING_BOOL:
        cis_buf_text(out, *(const bool *)at ? "true" : "false");
        break;
    case CIS_SETTING_DOUBLE:
        if (*(const double *)at >= 0) {
            cis_buf_float(out, *(const double *)at);
        }
        break;
    case CIS_SETTING_TEXT:
    case CIS_SETTING_CHOICE:
        cis_buf_str(out, cis_str_of(*(char *const *)at));
        break;
    case CIS_SETTING_LIST: {
        char *const *list = *(char **const *)at;
        for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
            cis_buf_text(out, i == 0 ? "" : " ");
            cis_buf_json(out, cis_str_of(list[i]));
        }
        break;
    }
    }
}

void cis_setting_free(const struct cis_setting *s, struct cis_config *config)
{
    if (s->kind == CIS_SETTING_TEXT || s->kind == CIS_SETTING_CHOICE) {
        cis_free(*(char **)field(s, config));
    } else if (s->kind == CIS_SETTING_LIST) {
        list_free(*(char ***)field(s, config));
    }
}
