/* [[resources]] of a manifest: what clients of `cis mcp` read of a skill, a file of its folder or
 * what a method gives. Like tools they are checked when the skill is installed. */
#include "base/mem.h"
#include "skill/manifest_read.h"

#define TITLE_MAX 200u
#define DESCRIPTION_MAX 4096u
#define METHOD_MAX 256u

void cis_manifest_resources_done(struct cis_manifest *m)
{
    for (size_t i = 0; i < m->nresources; i++) {
        struct cis_manifest_resource *r = &m->resources[i];
        cis_free(r->name);
        cis_free(r->uri);
        cis_free(r->title);
        cis_free(r->description);
        cis_free(r->mime_type);
        cis_free(r->file);
        cis_free(r->method);
    }
    cis_free(m->resources);
    m->resources = NULL;
    m->nresources = 0;
}

/* ---- one ---- */

static bool is_named(struct cis_str before, struct cis_str name)
{
    struct cis_str piece, other;
    for (bool more = before.len != 0; more;) {
        more = cis_str_split(&before, '/', &piece);
        if (cis_resource_variable(piece, &other) && cis_str_eq(other, name)) {
            return true;
        }
    }
    return false;
}

/* Braces are those of {NAME}, which is a whole piece between slashes, each name once. */
static cis_code check_template(struct cis_manifest_reader *r, const char *path,
                               struct cis_manifest_resource *out)
{
    struct cis_str rest = cis_str_of(out->uri), piece, name;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &piece);
        bool variable = cis_resource_variable(piece, &name);
        bool braces = memchr(piece.ptr, '{', piece.len) || memchr(piece.ptr, '}', piece.len);
        struct cis_str before = {out->uri, (size_t)(piece.ptr - out->uri)};
        bool known = variable && (is_named(before, name) || cis_str_is(name, "uri"));
        if (variable ? known : braces) {
            return cis_manifest_bad(r, path,
                                    "\"%.80s\": {NAME} is a whole piece between slashes, and each "
                                    "name, which is not uri, is there once",
                                    out->uri);
        }
        out->varies = out->varies || variable;
    }
    return CIS_OK;
}

static cis_code read_uri(struct cis_manifest_reader *r, const char *path, const json_t *value,
                         struct cis_manifest_resource *out)
{
    CIS_TRY(cis_manifest_said(r, path, value, CIS_RESOURCE_URI_MAX, &out->uri));
    if (!cis_resource_uri_valid(cis_str_of(out->uri))) {
        return cis_manifest_bad(r, path,
                                "\"%.80s\" is not a URI of printable ASCII, or of the schemes cis "
                                "and ui, which are not a skill's",
                                out->uri);
    }
    return check_template(r, path, out);
}

static cis_code read_file(struct cis_manifest_reader *r, const char *path, const json_t *value,
                          struct cis_manifest_resource *out)
{
    CIS_TRY(cis_manifest_said(r, path, value, 1024, &out->file));
    return cis_skill_path_valid(cis_str_of(out->file))
               ? CIS_OK
               : cis_manifest_bad(r, path, "\"%.80s\" is not a path inside the skill's folder",
                                  out->file);
}

static cis_code read_field(struct cis_manifest_reader *r, const char *at, const char *key,
                           const json_t *field, void *item)
{
    struct cis_manifest_resource *out = item;
    if (strcmp(key, "name") == 0) {
        return cis_manifest_tool_name_read(r, at, field, &out->name);
    }
    if (strcmp(key, "uri") == 0) {
        return read_uri(r, at, field, out);
    }
    if (strcmp(key, "title") == 0) {
        return cis_manifest_said(r, at, field, TITLE_MAX, &out->title);
    }
    if (strcmp(key, "description") == 0) {
        return cis_manifest_said(r, at, field, DESCRIPTION_MAX, &out->description);
    }
    if (strcmp(key, "mime_type") == 0) {
        CIS_TRY(cis_manifest_said(r, at, field, 128, &out->mime_type));
        return cis_mime_type_valid(cis_str_of(out->mime_type))
                   ? CIS_OK
                   : cis_manifest_bad(r, at, "\"%.80s\" is not TYPE/SUBTYPE", out->mime_type);
    }
    if (strcmp(key, "file") == 0) {
        return read_file(r, at, field, out);
    }
    return strcmp(key, "method") == 0
               ? cis_manifest_said(r, at, field, METHOD_MAX, &out->method)
               : cis_manifest_bad(
                     r, at, "unknown key: name, uri, title, description, mime_type, file, method");
}

static cis_code whole(struct cis_manifest_reader *r, const char *path, void *item)
{
    const struct cis_manifest_resource *out = item;
    bool called = out->method != NULL && out->method[0] != 0;
    if (out->name == NULL || out->uri == NULL || (out->file != NULL) == called) {
        return cis_manifest_bad(r, path, "needs name, uri, and either file or method");
    }
    return out->varies && !called
               ? cis_manifest_bad(r, path, "a uri with {NAME} needs a method, not a file")
               : CIS_OK;
}

static cis_code read_all(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    static const struct cis_manifest_items resources = {.what = "resources",
                                                        .most = CIS_MANIFEST_RESOURCES_MAX,
                                                        .size =
                                                            sizeof(struct cis_manifest_resource),
                                                        .member = read_field,
                                                        .whole = whole};
    void *items = NULL;
    cis_code code = cis_manifest_items(r, path, value, &resources, &items, &r->m->nresources);
    r->m->resources = items;
    return code;
}

cis_code cis_manifest_resources(struct cis_manifest_reader *r, const char *path,
                                const json_t *value)
{
    cis_manifest_resources_done(r->m);
    cis_code code = read_all(r, path, value);
    if (code != CIS_OK && code != CIS_E_NOMEM && r->lines == NULL) {
        /* Installed before anybody read this key, when it could say anything: it has none. */
        cis_manifest_resources_done(r->m);
        return CIS_OK;
    }
    return code;
}
