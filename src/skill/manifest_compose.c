/* [compose] of a manifest: the plugs of a component, each pinned by its hash before it runs. */
#include "base/mem.h"
#include "skill/manifest_read.h"

static const char shape[] = "a path or a table { path = \"plug.wasm\", sha256 = \"…\" }";

static const json_t *member(const json_t *table, const char *name)
{
    return json_object_get(table, name);
}

static cis_code read_plug(struct cis_manifest_reader *r, const char *path, const json_t *value,
                          struct cis_manifest_plug *out)
{
    uint8_t raw[CIS_SHA256_BYTES];
    const json_t *file = json_is_string(value) ? value : member(value, "path");
    const json_t *hash = member(value, "sha256");
    if (!json_is_object(value) && !json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, shape, value);
    }
    if (!json_is_string(file) || (hash != NULL && !json_is_string(hash))) {
        return cis_manifest_bad(r, path, "path and sha256 are texts: %s", shape);
    }
    if (!cis_skill_path_valid(
            (struct cis_str){json_string_value(file), json_string_length(file)})) {
        return cis_manifest_bad(r, path, "\"%.80s\" is not a path inside the skill's folder",
                                json_string_value(file));
    }
    if (hash != NULL &&
        !cis_unhex((struct cis_str){json_string_value(hash), json_string_length(hash)}, raw,
                   sizeof raw)) {
        return cis_manifest_bad(r, path, "sha256 must be 64 hexadecimal digits");
    }
    out->path = cis_strdup(json_string_value(file));
    if (hash != NULL) {
        cis_hex(raw, sizeof raw, out->sha256);
    }
    return out->path != NULL ? CIS_OK : cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

static cis_code read_plugs(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    size_t n = json_array_size(value);
    CIS_TRY(cis_manifest_list(r, path, value));
    if (n > CIS_MANIFEST_PLUGS_MAX) {
        return cis_manifest_bad(r, path, "more than %d plugs", CIS_MANIFEST_PLUGS_MAX);
    }
    if (r->m->plugs != NULL) {
        return cis_manifest_bad(r, path, "appears twice");
    }
    r->m->plugs = cis_calloc(cis_size_add(n, 1), sizeof *r->m->plugs);
    if (r->m->plugs == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
    }
    for (size_t i = 0; i < n; i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_item(at, path, i);
        r->m->nplugs = i + 1; /* what is half read is freed too */
        CIS_TRY(read_plug(r, at, json_array_get(value, i), &r->m->plugs[i]));
    }
    return CIS_OK;
}

const struct cis_manifest_key cis_manifest_compose_keys[] = {
    {"plug", read_plugs, 0, 0},
    {NULL, NULL, 0, 0},
};
