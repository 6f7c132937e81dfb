/* From parsed TOML (as JSON with lines) to struct cis_manifest: the whole with its defaults and
 * canonical forms. Sections are in manifest_sections.c and manifest_config.c. */
#include "base/mem.h"
#include "engine/code/engine.h"
#include "skill/manifest_read.h"

static void drop_json(json_t **value)
{
    json_decref(*value);
}

static cis_code set_default(struct cis_manifest_reader *r, char **field, const char *text)
{
    if (*field == NULL) {
        *field = cis_strdup(text);
    }
    return *field != NULL ? CIS_OK : cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

static cis_code dump(struct cis_manifest_reader *r, const json_t *value, char **out)
{
    *out = cis_manifest_json(value);
    return *out != NULL ? CIS_OK : cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

/* Canonical forms: what the registry keeps, and what a signature covers. */
static cis_code canonical(struct cis_manifest_reader *r, const json_t *value)
{
    CIS_TRY(dump(r, value, &r->m->json));
    CIS_CLEANUP(drop_json) json_t *bare = json_deep_copy(value);
    if (bare == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
    }
    json_object_del(json_object_get(bare, "integrity"), "signature");
    return dump(r, bare, &r->m->unsigned_json);
}

/* A module without a manifest is ["bare", {…}] in its row: no TOML document can say that. */
static const json_t *bare_value(const json_t *root)
{
    const char *word = json_string_value(json_array_get(root, 0));
    return json_array_size(root) == 2 && word != NULL && strcmp(word, "bare") == 0
               ? json_array_get(root, 1)
               : NULL;
}

static cis_code read_value(struct cis_manifest_reader *r, const json_t *value, bool row)
{
    const json_t *whole = value;
    if (row && bare_value(value) != NULL) {
        value = bare_value(value);
        r->m->bare = true;
    }
    if (!json_is_object(value)) {
        return cis_fail(r->err, CIS_E_INVALID, "%s: not a table", r->name);
    }
    bool flat = json_object_get(value, "skill") == NULL;
    CIS_TRY(cis_manifest_table(r, "", value, cis_manifest_top_keys,
                               flat ? cis_manifest_flat_keys : NULL));
    if (r->m->name == NULL) {
        return cis_fail(r->err, CIS_E_INVALID, "%s: skill.name is missing", r->name);
    }
    if (r->m->version == NULL) {
        CIS_TRY(cis_manifest_warn(r, "skill.version", "missing, 0.0.0 is used"));
    }
    CIS_TRY(set_default(r, &r->m->version, "0.0.0"));
    CIS_TRY(set_default(r, &r->m->description, ""));
    CIS_TRY(set_default(r, &r->m->author, ""));
    CIS_TRY(set_default(r, &r->m->license, ""));
    CIS_TRY(set_default(r, &r->m->homepage, ""));
    CIS_TRY(set_default(r, &r->m->entry, "skill.wasm"));
    CIS_TRY(cis_manifest_config_check(r));
    return canonical(r, whole);
}

static cis_code parse(struct cis_str json, const char *name, bool row, struct cis_manifest *out,
                      struct cis_error *err)
{
    json_error_t why;
    CIS_CLEANUP(drop_json) json_t *root = json_loadb(json.ptr, json.len, 0, &why);
    if (root == NULL) {
        return cis_fail(err, CIS_E_INVALID, "%s: %s", name, why.text);
    }
    CIS_CLEANUP(cis_manifest_done) struct cis_manifest m = CIS_MANIFEST_INIT;
    struct cis_manifest_reader r = {name, row ? NULL : json_object_get(root, "lines"), &m, err};
    CIS_TRY(read_value(&r, row ? root : json_object_get(root, "value"), row));
    *out = m;
    m = CIS_MANIFEST_INIT;
    return CIS_OK;
}

cis_code cis_manifest_parse_row(struct cis_str json, struct cis_manifest *out,
                                struct cis_error *err)
{
    return parse(json, "registry", true, out, err);
}

cis_code cis_manifest_parse(struct cis_str toml, const char *name, struct cis_manifest *out,
                            struct cis_error *err)
{
    if (toml.len > CIS_MANIFEST_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %u bytes", name, CIS_MANIFEST_MAX);
    }
    /* JSON of the values and of their lines: a few times the text. */
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT((size_t)64 * CIS_MANIFEST_MAX);
    CIS_TRY(cis_toml_to_json(toml, name, &json, err));
    return parse(cis_buf_view(&json), name, false, out, err);
}
