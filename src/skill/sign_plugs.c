/* The hashes of [compose] plug, filled in when a skill is signed. */
#include "skill/sign.h"

#include <jansson.h>
#include "base/json_write.h"

static const struct cis_package_file *file_of(const struct cis_package_file *files, size_t n,
                                              const char *path)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(files[i].path, path) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

/* All plugs are there; *out_fit: with the hashes that the manifest has. */
static cis_code compare(const struct cis_manifest *m, const struct cis_package_file *files,
                        size_t n, bool *out_fit, struct cis_error *err)
{
    *out_fit = true;
    for (size_t i = 0; i < m->nplugs; i++) {
        const struct cis_package_file *file = file_of(files, n, m->plugs[i].path);
        if (file == NULL) {
            return cis_fail(err, CIS_E_NOTFOUND, "%s: the plug is not there: build it first",
                            m->plugs[i].path);
        }
        *out_fit = *out_fit && strcmp(file->sha256, m->plugs[i].sha256) == 0;
    }
    return CIS_OK;
}

/* Behind the array that begins in `text`. What else than an array hides from this (a string over
 * several lines) is found by reading the result again. */
static size_t array_end(struct cis_str text)
{
    size_t depth = 0;
    char quote = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quote != 0) {
            i += quote == '"' && c == '\\';
            quote = c == quote ? 0 : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '#') {
            while (i + 1 < text.len && text.ptr[i + 1] != '\n') {
                i++;
            }
        } else if (c == '[' || c == '{') {
            depth++;
        } else if ((c == ']' || c == '}') && depth != 0 && --depth == 0) {
            return i + 1;
        }
    }
    return text.len;
}

static void put_plugs(const struct cis_manifest *m, const struct cis_package_file *files, size_t n,
                      struct cis_buf *out)
{
    cis_buf_text(out, "plug = [\n");
    for (size_t i = 0; i < m->nplugs; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(8192);
        cis_json_write(&path, CIS_JSON(CIS_J(NULL, m->plugs[i].path)));
        cis_buf_printf(out, "    { path = %s, sha256 = \"%s\" },\n", cis_buf_cstr(&path),
                       file_of(files, n, m->plugs[i].path)->sha256);
    }
    cis_buf_text(out, "]");
}

static bool is_plug(struct cis_str line)
{
    struct cis_str rest = line, name;
    return cis_str_split(&rest, '=', &name) && cis_str_is(cis_str_trim(name), "plug");
}

/* The array in place of the one that was there. */
static void rewrite(struct cis_str toml, const struct cis_manifest *m,
                    const struct cis_package_file *files, size_t n, struct cis_buf *out)
{
    struct cis_str rest = toml, line;
    bool inside = false;
    for (bool more = true; more;) {
        struct cis_str from = rest;
        more = cis_str_split(&rest, '\n', &line);
        if (cis_sign_is_header(line, NULL)) {
            inside = cis_sign_is_header(line, "compose");
        } else if (inside && is_plug(line)) {
            size_t end = array_end(from);
            put_plugs(m, files, n, out);
            cis_buf_str(out, (struct cis_str){from.ptr + end, from.len - end});
            return;
        }
        cis_buf_str(out, line);
        cis_buf_text(out, more ? "\n" : "");
    }
}

/* But for the plugs both say the same. */
static bool same_beside(const char *before, const char *after)
{
    json_t *a = json_loads(before, JSON_ALLOW_NUL, NULL);
    json_t *b = json_loads(after, JSON_ALLOW_NUL, NULL);
    json_object_del(json_object_get(a, "compose"), "plug");
    json_object_del(json_object_get(b, "compose"), "plug");
    bool same = a != NULL && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

cis_code cis_sign_plugs(struct cis_str toml, const struct cis_manifest *m,
                        const struct cis_package_file *files, size_t n, struct cis_buf *out,
                        struct cis_error *err)
{
    bool fit;
    CIS_TRY(compare(m, files, n, &fit, err));
    if (fit) {
        cis_buf_str(out, toml);
        return cis_buf_check(out, CIS_MANIFEST_FILE, err);
    }
    rewrite(toml, m, files, n, out);
    CIS_TRY(cis_buf_check(out, CIS_MANIFEST_FILE, err));
    CIS_CLEANUP(cis_manifest_done) struct cis_manifest now = CIS_MANIFEST_INIT;
    CIS_TRY(cis_manifest_parse(cis_buf_view(out), CIS_MANIFEST_FILE, &now, err));
    fit = now.nplugs == m->nplugs && same_beside(m->unsigned_json, now.unsigned_json);
    for (size_t i = 0; i < m->nplugs && fit; i++) {
        fit = strcmp(now.plugs[i].path, m->plugs[i].path) == 0;
    }
    if (fit) {
        CIS_TRY(compare(&now, files, n, &fit, err));
    }
    return fit ? CIS_OK
               : cis_fail(err, CIS_E_INVALID,
                          "%s: cannot add the hashes of plugs: write plug = [ … ] under [compose]",
                          CIS_MANIFEST_FILE);
}
