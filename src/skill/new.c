/* `cis skill new`: a project from the templates under templates/, embedded by the build. */
#include "skill/package.h"

#include <errno.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/mem.h"

static const struct {
    const char *name; /* "c/NAME.c": language, then the file; NAME becomes the skill's name */
    const char *text; /* with @NAME@ for the skill's name */
} templates[] = {
#include "templates.inc"
};

static void substitute(const char *text, const char *mark, struct cis_str name, struct cis_buf *out)
{
    for (const char *at; (at = strstr(text, mark)) != NULL; text = at + strlen(mark)) {
        cis_buf_add(out, text, (size_t)(at - text));
        cis_buf_str(out, name);
    }
    cis_buf_text(out, text);
}

static cis_code write_one(const char *dir, const char *file, const char *text, struct cis_str name,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf content = CIS_BUF_INIT(1u << 24);
    cis_buf_printf(&path, "%s/", dir);
    substitute(file, "NAME", name, &path);
    substitute(text, "@NAME@", name, &content);
    CIS_TRY(cis_buf_check(&path, dir, err));
    CIS_TRY(cis_buf_check(&content, file, err));
    char *slash = strrchr((char *)path.ptr, '/');
    *slash = 0;
    CIS_TRY(cis_file_mkdirs(cis_buf_cstr(&path), 0755, err));
    *slash = '/';
    return cis_file_write(cis_buf_cstr(&path), cis_buf_bytes(&content), 0644, err);
}

cis_code cis_skill_new(const char *dir, struct cis_str name, const char *lang,
                       struct cis_error *err)
{
    /* Names that a module path of Go and a make target take as well. */
    if (!cis_skill_name_valid(name) || name.len > 100) {
        return cis_fail(err, CIS_E_USAGE,
                        "\"%.*s\" is not a skill's name: small letters, digits, . _ -, at most 100",
                        (int)(name.len > 64 ? 64 : name.len), name.ptr);
    }
    size_t prefix = strlen(lang), written = 0;
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) {
        if (strncmp(templates[i].name, lang, prefix) != 0 || templates[i].name[prefix] != '/') {
            continue;
        }
        if (written++ == 0 && mkdir(dir, 0755) != 0) {
            return cis_fail_sys(err, errno == EEXIST ? CIS_E_EXISTS : CIS_E_IO, errno, "%s", dir);
        }
        CIS_TRY(write_one(dir, templates[i].name + prefix + 1, templates[i].text, name, err));
    }
    return written > 0 ? CIS_OK
                       : cis_fail(err, CIS_E_USAGE,
                                  "%s: there is no template for this language; give c, go, js, "
                                  "python, rust or wat",
                                  lang);
}
