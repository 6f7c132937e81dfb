/* Registry rows and sets of grants as text: read, merged, written back. */
#include "skill/place.h"

#include <jansson.h>
#include "base/mem.h"
#include "store/calls.h"

static void drop_json(json_t **value)
{
    json_decref(*value);
}

void cis_texts_free(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cis_free(texts[i]);
    }
    cis_free(texts);
}

static bool add_text(char **texts, size_t *n, const char *text)
{
    texts[*n] = text != NULL ? cis_strdup(text) : NULL;
    return texts[*n] != NULL && ++*n > 0;
}

cis_code cis_grant_texts(const struct cis_grants *set, char ***out_texts, size_t *out_n,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(4u << 20);
    cis_grants_json(set, &json);
    CIS_TRY(cis_buf_check(&json, "grants", err));
    CIS_CLEANUP(drop_json) json_t *list = json_loadb(cis_buf_cstr(&json), json.len, 0, NULL);
    char **texts = cis_calloc(cis_size_add(json_array_size(list), 2), sizeof *texts);
    size_t n = 0;
    bool ok = list != NULL && texts != NULL;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text != NULL && strcmp(text, "memory") == 0) { /* each half can be answered alone */
            ok = add_text(texts, &n, "memory=read") && add_text(texts, &n, "memory=write");
        } else {
            ok = add_text(texts, &n, text);
        }
    }
    if (!ok) {
        cis_texts_free(texts, n);
        return cis_fail(err, CIS_E_NOMEM, "grants: out of memory");
    }
    *out_texts = texts;
    *out_n = n;
    return CIS_OK;
}

cis_code cis_grants_merge(struct cis_grants *into, const struct cis_grants *from,
                          struct cis_error *err)
{
    char **texts = NULL;
    size_t n = 0;
    CIS_TRY(cis_grant_texts(from, &texts, &n, err));
    cis_code code = CIS_OK;
    for (size_t i = 0; code == CIS_OK && i < n; i++) {
        code = cis_grants_add(into, cis_str_of(texts[i]), err);
    }
    cis_texts_free(texts, n);
    return code;
}

static cis_code read_grants(struct cis_str json, struct cis_grants *out, struct cis_error *err)
{
    CIS_CLEANUP(drop_json) json_t *list = json_loadb(json.ptr, json.len, 0, NULL);
    if (!json_is_array(list)) {
        return cis_fail(err, CIS_E_STORE, "registry: grants are not a list");
    }
    CIS_CLEANUP(cis_grants_done) struct cis_grants set = CIS_GRANTS_INIT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL) {
            return cis_fail(err, CIS_E_STORE, "registry: a grant is not text");
        }
        CIS_TRY(cis_grants_add(&set, cis_str_of(text), err));
    }
    *out = set;
    set = CIS_GRANTS_INIT;
    return CIS_OK;
}

struct reading {
    const struct cis_skill_home *home;
    struct cis_str tenant, name;
    struct cis_installed *out;
    cis_code code;
    struct cis_error *err;
    bool found;
};

static void copy_hex(char out[65], struct cis_str hex)
{
    size_t n = hex.len < 64 ? hex.len : 64;
    if (n > 0) {
        memcpy(out, hex.ptr, n);
    }
    out[n] = 0;
}

/* What is wrong with the record itself: it can be removed, and nothing else. */
static cis_code checked(const struct reading *r, cis_code code, const struct cis_error *why)
{
    if (code == CIS_OK) {
        return CIS_OK;
    }
    return code == CIS_E_NOMEM
               ? cis_fail(r->err, code, "%s", why->msg)
               : cis_fail(r->err, CIS_E_DAMAGED, "%.*s: %s (cis skill remove takes it away)",
                          (int)r->name.len, r->name.ptr, why->msg);
}

static cis_code copy_row(struct reading *r, const struct cis_skill_row *row)
{
    struct cis_installed *s = r->out;
    struct cis_error why = {0};
    /* The one place where a row becomes a folder that is opened, marked and removed. */
    CIS_TRY(checked(r, cis_skill_row_check_names(row, &why), &why));
    if (!cis_str_eq(row->name, r->name)) {
        return cis_fail(r->err, CIS_E_DAMAGED,
                        "%.*s: the registry returned the record of another skill", (int)r->name.len,
                        r->name.ptr);
    }
    copy_hex(s->sha256, row->sha256);
    copy_hex(s->digest, row->digest);
    copy_hex(s->signer, row->signer);
    s->installed_ms = row->installed_ms;
    CIS_TRY(checked(r, cis_manifest_parse_row(row->manifest, &s->manifest, &why), &why));
    if (!cis_str_is(row->version, s->manifest.version)) {
        (void)cis_fail(&why, CIS_E_DAMAGED,
                       "the record of a skill is damaged: its version is not its manifest's");
        return checked(r, CIS_E_DAMAGED, &why);
    }
    CIS_TRY(checked(r, read_grants(row->grants, &s->granted, &why), &why));
    s->name = cis_strndup(row->name.ptr, row->name.len);
    s->source = cis_strndup(row->source.len > 0 ? row->source.ptr : "", row->source.len);
    s->dir = cis_place_path(r->home, r->tenant, row->name, row->version, row->digest);
    if (s->name == NULL || s->source == NULL || s->dir == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "registry: out of memory");
    }
    return CIS_OK;
}

static bool take_row(void *self, const struct cis_skill_row *row)
{
    struct reading *r = self;
    r->found = true;
    cis_skill_row_stamp(row, r->out->stamp);
    r->code = copy_row(r, row);
    return false;
}

cis_code cis_row_read(const struct cis_skill_home *home, struct cis_str tenant, struct cis_str name,
                      struct cis_installed *out, struct cis_error *err)
{
    if (!cis_skill_name_valid(name)) {
        return cis_fail(err, CIS_E_NOTFOUND, "%.*s: not a valid name of a skill",
                        (int)(name.len > 64 ? 64 : name.len), name.ptr);
    }
    CIS_CLEANUP(cis_skill_close) struct cis_installed skill = {0};
    struct reading r = {home, tenant, name, &skill, CIS_OK, err, false};
    struct cis_error why = {0};
    cis_code code = cis_store_skill_get(home->store, tenant, name, take_row, &r, &home->stop, &why);
    if (code == CIS_E_NOTFOUND || (code == CIS_OK && !r.found)) {
        return cis_fail(err, CIS_E_NOTFOUND, "%.*s: no such skill is installed (cis skill list)",
                        (int)name.len, name.ptr);
    }
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s", why.msg);
    }
    memcpy(out->stamp, skill.stamp, sizeof out->stamp); /* of a damaged one too */
    CIS_TRY(r.code);
    *out = skill;
    skill = (struct cis_installed){0};
    return CIS_OK;
}

cis_code cis_row_put_grants(const struct cis_skill_home *home, struct cis_str tenant,
                            const struct cis_installed *s, const struct cis_grants *granted,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf grants = CIS_BUF_INIT(4u << 20);
    cis_grants_json(granted, &grants);
    CIS_TRY(cis_buf_check(&grants, s->name, err));
    struct cis_skill_row row = {
        .name = cis_str_of(s->name),
        .version = cis_str_of(s->manifest.version),
        .source = cis_str_of(s->source),
        .sha256 = cis_str_of(s->sha256),
        .manifest = cis_str_of(s->manifest.json),
        .grants = cis_buf_view(&grants),
        .signer = cis_str_of(s->signer),
        .digest = cis_str_of(s->digest),
        .installed_ms = s->installed_ms,
    };
    const struct cis_skill_change change = {
        .name = row.name, .was = s->stamp, .had = -1, .row = &row};
    return cis_store_skill_change(home->store, tenant, &change, &home->stop, err);
}
