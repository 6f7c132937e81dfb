/* Resources that skills declare, and what they tell agents of themselves (SKILL.md). They are read
 * with the tools (lists.c), so that a file is that of the skill that was installed; what a method
 * gives is made when it is read, by a run. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/mem.h"
#include "skill/guide.h"

#define SKILLS "cis:///skills/"
#define ITEMS_MAX 10000u
#define BYTES_MAX ((size_t)16 << 20) /* of all files */

static void one_done(struct mcp_declared *d)
{
    json_decref(d->item);
    cis_free(d->uri);
    cis_free(d->mime_type);
    cis_buf_done(&d->bytes);
    cis_mcp_tool_done(&d->tool);
}

static void list_done(struct mcp_declared_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        one_done(&list->at[i]);
    }
    cis_free(list->at);
}

void cis_mcp_declared_done(struct mcp_lists *l)
{
    list_done(&l->resources);
    list_done(&l->templates);
}

/* Takes what is in *one. */
static cis_code keep(struct mcp_declared_list *list, struct mcp_declared *one,
                     struct cis_error *err)
{
    if (list->n == list->cap) {
        size_t cap = cis_cap_next(list->cap, 16, 2 * ITEMS_MAX);
        struct mcp_declared *more = cis_realloc_array(list->at, cap, sizeof *more);
        list->at = more != NULL ? more : list->at;
        list->cap = more != NULL ? cap : list->cap;
    }
    if (one->item == NULL || one->uri == NULL || list->n == list->cap) {
        one_done(one);
        return cis_fail(err, CIS_E_NOMEM, "resources: out of memory");
    }
    list->at[list->n++] = *one;
    return CIS_OK;
}

static bool is_many(const struct mcp_lists *l)
{
    return l->resources.n + l->templates.n >= ITEMS_MAX;
}

/* ---- SKILL.md ---- */

static cis_code add_guide(struct mcp_lists *l, const struct cis_installed *skill,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_SKILL_GUIDE_MAX);
    struct cis_error why = {0};
    cis_code code = cis_skill_guide(&l->home, cis_str_of(l->mcp->o.tenant), skill, &text, &why);
    if (code == CIS_E_NOTFOUND) {
        return CIS_OK;
    }
    bool full = code == CIS_OK && (l->declared_bytes + text.len > BYTES_MAX || is_many(l));
    if (code != CIS_OK || full) {
        cis_mcp_left_out(l->mcp, skill->name, CIS_SKILL_GUIDE " is",
                         full ? "those of all skills are too long or too many together" : why.msg);
        return CIS_OK;
    }
    char uri[CIS_SKILL_NAME_MAX + 64], title[CIS_SKILL_NAME_MAX + 64];
    snprintf(uri, sizeof uri, SKILLS "%s/" CIS_SKILL_GUIDE, skill->name);
    snprintf(title, sizeof title, "What the skill %s says of itself", skill->name);
    l->declared_bytes += text.len;
    struct mcp_declared one = {.uri = cis_strdup(uri),
                               .mime_type = cis_strdup("text/markdown"),
                               .bytes = text,
                               .item =
                                   json_pack("{s:s,s:s,s:s,s:s}", "uri", uri, "name", skill->name,
                                             "title", title, "mimeType", "text/markdown")};
    text = (struct cis_buf){0};
    return keep(&l->resources, &one, err);
}

/* ---- [[resources]] ---- */

static json_t *item_of(const struct cis_manifest_resource *r)
{
    json_t *item =
        json_pack("{s:s,s:s}", r->varies ? "uriTemplate" : "uri", r->uri, "name", r->name);
    const struct {
        const char *name, *text;
    } more[] = {{"title", r->title}, {"description", r->description}, {"mimeType", r->mime_type}};
    for (size_t i = 0; item != NULL && i < sizeof more / sizeof *more; i++) {
        if (more[i].text != NULL) {
            json_object_set_new(item, more[i].name, cis_mcp_text_of(more[i].text));
        }
    }
    return item;
}

static bool has_uri(const struct mcp_declared_list *list, const char *uri)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->at[i].uri, uri) == 0) {
            return true;
        }
    }
    return false;
}

/* What it gives; *why: it is left out. */
static cis_code fill(struct mcp_lists *l, const struct cis_installed *skill,
                     const struct cis_manifest_resource *r, struct mcp_declared *one,
                     struct cis_error *why)
{
    one->uri = cis_strdup(r->uri);
    one->item = item_of(r);
    one->mime_type = r->mime_type != NULL ? cis_strdup(r->mime_type) : NULL;
    if (r->mime_type != NULL && one->mime_type == NULL) {
        return cis_fail(why, CIS_E_NOMEM, "out of memory");
    }
    if (is_many(l)) {
        return cis_fail(why, CIS_E_LIMIT, "there are too many");
    }
    if (has_uri(r->varies ? &l->templates : &l->resources, r->uri)) {
        return cis_fail(why, CIS_E_EXISTS, "another skill has one of its uri");
    }
    if (r->method != NULL) {
        char name[CIS_TOOL_NAME_MAX + 16];
        snprintf(name, sizeof name, "resources/%s", r->name);
        return cis_mcp_tool_of_method(l, skill, name, r->method, MCP_GIVES_BYTES, &one->tool, why);
    }
    one->bytes = CIS_BUF_INIT(CIS_RESOURCE_FILE_MAX);
    CIS_TRY(cis_skill_file(skill, r->file, &one->bytes, why));
    return l->declared_bytes + one->bytes.len <= BYTES_MAX
               ? CIS_OK
               : cis_fail(why, CIS_E_LIMIT, "those of all skills are too long together");
}

static cis_code add_resource(struct mcp_lists *l, const struct cis_installed *skill,
                             const struct cis_manifest_resource *r, struct cis_error *err)
{
    struct mcp_declared one = {0};
    struct cis_error why = {0};
    cis_code code = fill(l, skill, r, &one, &why);
    if (code == CIS_E_NOMEM) {
        one_done(&one);
        return cis_fail(err, code, "resources: out of memory");
    }
    if (code != CIS_OK) {
        char what[96];
        snprintf(what, sizeof what, "resource %s is", r->name);
        cis_mcp_left_out(l->mcp, skill->name, what, why.msg);
        one_done(&one);
        return CIS_OK;
    }
    l->declared_bytes += one.bytes.len;
    return keep(r->varies ? &l->templates : &l->resources, &one, err);
}

static bool has_files(const struct cis_manifest *manifest)
{
    for (size_t i = 0; i < manifest->nresources; i++) {
        if (manifest->resources[i].file != NULL) {
            return true;
        }
    }
    return false;
}

cis_code cis_mcp_declared_add(struct mcp_lists *l, const struct cis_installed *skill,
                              struct cis_error *err)
{
    struct cis_error why = {0};
    CIS_TRY(add_guide(l, skill, err));
    size_t files = l->resources.n; /* after it: they are checked together */
    for (size_t i = 0; i < skill->manifest.nresources; i++) {
        CIS_TRY(add_resource(l, skill, &skill->manifest.resources[i], err));
    }
    if (l->resources.n == files || !has_files(&skill->manifest) ||
        cis_skill_verify(&l->home, cis_str_of(l->mcp->o.tenant), cis_str_of(skill->name), &why) ==
            CIS_OK) {
        return CIS_OK;
    }
    cis_mcp_left_out(l->mcp, skill->name, "resources are",
                     why.msg); /* files that are not those installed */
    while (l->resources.n > files) {
        one_done(&l->resources.at[--l->resources.n]);
    }
    return CIS_OK;
}

/* ---- reading ---- */

/* A value is decoded as it stands between two slashes. */
static bool take_value(struct cis_str name, struct cis_str piece, json_t *values)
{
    char key[CIS_TOOL_NAME_MAX + 1] = "";
    CIS_CLEANUP(cis_buf_done) struct cis_buf value = CIS_BUF_INIT(2 * CIS_RESOURCE_URI_MAX);
    if (piece.len == 0 || memchr(piece.ptr, '?', piece.len) || memchr(piece.ptr, '#', piece.len) ||
        !cis_mcp_percent_decode(piece, &value) || value.failed != CIS_OK ||
        memchr(value.ptr, 0, value.len) != NULL || !cis_utf8_valid(value.ptr, value.len)) {
        return false;
    }
    memcpy(key, name.ptr, name.len);
    return json_object_set_new(values, key, cis_mcp_text(cis_buf_view(&value))) == 0;
}

static bool matches(const char *pattern, struct cis_str uri, json_t *values)
{
    struct cis_str rest = cis_str_of(pattern), piece, given, name;
    json_object_clear(values);
    for (bool more = true; more;) {
        bool uri_more = cis_str_split(&uri, '/', &given);
        more = cis_str_split(&rest, '/', &piece);
        bool same = cis_resource_variable(piece, &name) ? take_value(name, given, values)
                                                        : cis_str_eq(piece, given);
        if (!same || more != uri_more) {
            return false;
        }
    }
    return true;
}

const struct mcp_declared *cis_mcp_declared_find(const struct mcp_lists *l, struct cis_str uri,
                                                 json_t *values)
{
    for (size_t i = 0; i < l->resources.n; i++) {
        if (cis_str_is(uri, l->resources.at[i].uri)) {
            return &l->resources.at[i];
        }
    }
    for (size_t i = 0; uri.len <= CIS_RESOURCE_URI_MAX && i < l->templates.n; i++) {
        if (matches(l->templates.at[i].uri, uri, values)) {
            return &l->templates.at[i];
        }
    }
    return NULL;
}

bool cis_mcp_declared_runs(const struct mcp_lists *l, struct cis_str uri)
{
    json_t *values = json_object();
    const struct mcp_declared *d = uri.ptr != NULL ? cis_mcp_declared_find(l, uri, values) : NULL;
    json_decref(values);
    return d != NULL && d->tool.method != NULL;
}
