/* The sections of a manifest: [skill], [permissions], [limits], [integrity] and the flat shape, as
 * tables of keys. */
#include "skill/manifest_read.h"

#include "base/mem.h"

/* ---- [skill] ---- */

static cis_code read_name(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_TRY(cis_manifest_text(r, path, value, CIS_SKILL_NAME_MAX, &r->m->name));
    if (!cis_skill_name_valid(cis_str_of(r->m->name))) {
        return cis_manifest_bad(r, path,
                                "\"%.64s\" is not a valid name: use small letters, digits and . _ "
                                "-, beginning with a letter or digit",
                                r->m->name);
    }
    return CIS_OK;
}

static cis_code read_version(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_TRY(cis_manifest_text(r, path, value, CIS_VERSION_MAX, &r->m->version));
    if (!cis_version_valid(cis_str_of(r->m->version))) {
        return cis_manifest_bad(r, path, "\"%s\" is not a version such as 1.2.3", r->m->version);
    }
    return CIS_OK;
}

static cis_code read_type(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_CLEANUP(cis_freep) char *text = NULL;
    CIS_TRY(cis_manifest_text(r, path, value, 64, &text));
    for (enum cis_skill_type t = CIS_SKILL_WASM; t <= CIS_SKILL_NATIVE; t++) {
        if (strcmp(text, cis_skill_type_name(t)) == 0) {
            r->m->type = t;
            return CIS_OK;
        }
    }
    return cis_manifest_bad(r, path, "\"%s\" is not wasm, component or native", text);
}

static cis_code read_entry(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_CLEANUP(cis_freep) char *text = NULL;
    CIS_TRY(cis_manifest_text(r, path, value, 1024, &text));
    const char *clean = text;
    while (clean[0] == '.' && clean[1] == '/') {
        clean += 2;
    }
    if (!cis_skill_path_valid(cis_str_of(clean))) {
        return cis_manifest_bad(r, path, "\"%.80s\" is not a path inside the skill's folder", text);
    }
    char *copy = cis_strdup(clean);
    if (copy == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
    }
    cis_free(r->m->entry);
    r->m->entry = copy;
    return CIS_OK;
}

#define TEXT(key, field, max)                                                                      \
    {                                                                                              \
        key, NULL, offsetof(struct cis_manifest, field), max                                       \
    }

static const struct cis_manifest_key skill_keys[] = {
    {"name", read_name, 0, 0},
    {"version", read_version, 0, 0},
    TEXT("description", description, 65536),
    TEXT("author", author, 1024),
    {"type", read_type, 0, 0},
    {"entry", read_entry, 0, 0},
    TEXT("license", license, 1024),
    TEXT("homepage", homepage, 4096),
    TEXT("abi", abi, 64),
    {NULL, NULL, 0, 0},
};

static cis_code read_skill(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return cis_manifest_table(r, path, value, skill_keys, NULL);
}

/* ---- [limits] ---- */

static cis_code positive(struct cis_manifest_reader *r, const char *path, const json_t *value,
                         uint64_t *out)
{
    if (json_integer_value(value) <= 0) {
        return cis_manifest_bad(r, path, "must be more than 0");
    }
    *out = (uint64_t)json_integer_value(value);
    return CIS_OK;
}

static cis_code read_size(struct cis_manifest_reader *r, const char *path, const json_t *value,
                          uint64_t *out)
{
    if (json_is_integer(value)) {
        return positive(r, path, value, out);
    }
    if (!json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, "a size such as \"128MiB\"", value);
    }
    uint64_t bytes = 0;
    if (!cis_str_size(cis_str_of(json_string_value(value)), &bytes) || bytes == 0) {
        return cis_manifest_bad(r, path, "\"%.40s\" is not a size such as \"128MiB\"",
                                json_string_value(value));
    }
    *out = bytes;
    return CIS_OK;
}

static cis_code read_memory(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return read_size(r, path, value, &r->m->limits.memory_bytes);
}

static cis_code read_output(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return read_size(r, path, value, &r->m->limits.output_bytes);
}

static cis_code read_time(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    if (json_is_number(value)) {
        double seconds = json_number_value(value);
        if (!(seconds > 0.0) || seconds > 1e9) {
            return cis_manifest_bad(r, path, "must be more than 0 and at most 1000000000 seconds");
        }
        uint64_t ns = (uint64_t)(seconds * 1e9);
        r->m->limits.time_ns = ns > 0 ? ns : 1;
        return CIS_OK;
    }
    if (!json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, "a time such as \"30s\"", value);
    }
    uint64_t ns = 0;
    if (!cis_str_duration(cis_str_of(json_string_value(value)), &ns) || ns == 0) {
        return cis_manifest_bad(r, path, "\"%.40s\" is not a time such as \"30s\"",
                                json_string_value(value));
    }
    r->m->limits.time_ns = ns;
    return CIS_OK;
}

static cis_code read_count(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    if (!json_is_integer(value)) {
        return cis_manifest_wrong_type(r, path, "an integer", value);
    }
    bool fuel = strcmp(strrchr(path, '.') + 1, "fuel") == 0;
    return positive(r, path, value, fuel ? &r->m->limits.fuel : &r->m->limits.files);
}

static const struct cis_manifest_key limit_keys[] = {
    {"memory", read_memory, 0, 0}, {"time", read_time, 0, 0},   {"fuel", read_count, 0, 0},
    {"output", read_output, 0, 0}, {"files", read_count, 0, 0}, {NULL, NULL, 0, 0},
};

static cis_code read_limits(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return cis_manifest_table(r, path, value, limit_keys, NULL);
}

/* ---- [integrity] ---- */

static cis_code read_hex(struct cis_manifest_reader *r, const char *path, const json_t *value,
                         uint8_t *out, size_t len)
{
    if (!json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, "a string", value);
    }
    struct cis_str text = {json_string_value(value), json_string_length(value)};
    return cis_unhex(text, out, len)
               ? CIS_OK
               : cis_manifest_bad(r, path, "must be %zu hexadecimal digits", 2 * len);
}

static cis_code read_sha256(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    uint8_t raw[CIS_SHA256_BYTES];
    CIS_TRY(read_hex(r, path, value, raw, sizeof raw));
    cis_hex(raw, sizeof raw, r->m->sha256);
    return CIS_OK;
}

static cis_code read_signature(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_TRY(read_hex(r, path, value, r->m->signature, sizeof r->m->signature));
    r->m->has_signature = true;
    return CIS_OK;
}

static cis_code read_key(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_TRY(read_hex(r, path, value, r->m->key, sizeof r->m->key));
    r->m->has_key = true;
    return CIS_OK;
}

static const struct cis_manifest_key integrity_keys[] = {
    {"sha256", read_sha256, 0, 0},
    {"signature", read_signature, 0, 0},
    {"key", read_key, 0, 0},
    {NULL, NULL, 0, 0},
};

static cis_code read_integrity(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_TRY(cis_manifest_table(r, path, value, integrity_keys, NULL));
    if (r->m->has_signature && !r->m->has_key) {
        return cis_manifest_bad(r, "integrity.signature", "needs integrity.key beside it");
    }
    return CIS_OK;
}

/* ---- top level ---- */

static cis_code read_exports(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return cis_manifest_table(r, path, value, cis_manifest_exports_keys, NULL);
}

static cis_code read_config(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return cis_manifest_table(r, path, value, cis_manifest_config_keys, NULL);
}

static cis_code read_compose(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return cis_manifest_table(r, path, value, cis_manifest_compose_keys, NULL);
}

const struct cis_manifest_key cis_manifest_top_keys[] = {
    {"skill", read_skill, 0, 0},
    {"permissions", cis_manifest_permissions, 0, 0},
    {"limits", read_limits, 0, 0},
    {"integrity", read_integrity, 0, 0},
    {"exports", read_exports, 0, 0},
    {"config", read_config, 0, 0},
    {"compose", read_compose, 0, 0},
    {"dependencies", cis_manifest_dependencies, 0, 0},
    {"tools", cis_manifest_tools, 0, 0},
    {"prompts", cis_manifest_prompts, 0, 0},
    {"resources", cis_manifest_resources, 0, 0},
    TEXT("abi", abi, 64),
    {NULL, NULL, 0, 0},
};

const struct cis_manifest_key cis_manifest_flat_keys[] = {
    {"name", read_name, 0, 0},
    {"version", read_version, 0, 0},
    TEXT("description", description, 65536),
    TEXT("author", author, 1024),
    {"skill_type", read_type, 0, 0},
    {"type", read_type, 0, 0},
    {"path", read_entry, 0, 0},
    {"entry", read_entry, 0, 0},
    TEXT("license", license, 1024),
    TEXT("homepage", homepage, 4096),
    {NULL, NULL, 0, 0},
};
