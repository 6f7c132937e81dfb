#include "skill/guide.h"

#include <unistd.h>
#include "base/file.h"
#include "skill/tree.h"

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* Text that hides nothing and steers no terminal. */
static cis_code check_text(const struct cis_buf *text, const char *name, struct cis_error *err)
{
    const char *p = (const char *)text->ptr;
    if (!cis_utf8_valid(p, text->len)) {
        return cis_fail(err, CIS_E_INVALID, "%.80s: " CIS_SKILL_GUIDE " is not UTF-8", name);
    }
    for (size_t i = 0, n; i < text->len; i += n) {
        for (n = 1; i + n < text->len && ((unsigned char)p[i + n] & 0xC0) == 0x80; n++) {
        }
        bool mark = i == 0 && cis_utf8_value(p, n) == 0xFEFF; /* of the byte order, as editors do */
        if (!mark && cis_utf8_hides(p + i, n) && strchr("\n\t\r", p[i]) == NULL) {
            return cis_fail(err, CIS_E_INVALID,
                            "%.80s: " CIS_SKILL_GUIDE
                            " has control or invisible characters (at byte %zu)",
                            name, i);
        }
    }
    return memchr(p != NULL ? p : "", 0, text->len) == NULL
               ? CIS_OK
               : cis_fail(err, CIS_E_INVALID, "%.80s: " CIS_SKILL_GUIDE " has a zero byte", name);
}

static cis_code read_file(int root, const char *name, const char *path, struct cis_buf *out,
                          struct cis_error *err)
{
    CIS_CLEANUP(close_fd) int fd = -1;
    CIS_TRY(cis_tree_open(root, path, &fd, err));
    cis_code code = cis_file_read_fd(fd, path, out, err);
    return code == CIS_E_LIMIT || code == CIS_E_BUDGET
               ? cis_fail(err, CIS_E_LIMIT, "%.80s: %.80s is longer than %zu bytes", name, path,
                          out->max)
               : code;
}

static cis_code read_text(int root, const char *name, struct cis_buf *out, struct cis_error *err)
{
    return read_file(root, name, CIS_SKILL_GUIDE, out, err);
}

cis_code cis_skill_file(const struct cis_installed *skill, const char *path, struct cis_buf *out,
                        struct cis_error *err)
{
    CIS_CLEANUP(close_fd) int root = -1;
    CIS_TRY(cis_tree_open_root(skill->dir, &root, err));
    return read_file(root, skill->name, path, out, err);
}

cis_code cis_skill_resources_check(int root, const struct cis_manifest *m, struct cis_error *err)
{
    for (size_t i = 0; i < m->nresources; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(CIS_RESOURCE_FILE_MAX);
        const char *file = m->resources[i].file;
        struct cis_error why = {0};
        cis_code code = file != NULL ? read_file(root, m->name, file, &bytes, &why) : CIS_OK;
        if (code != CIS_OK) {
            return cis_fail(err, code == CIS_E_NOTFOUND ? CIS_E_INVALID : code,
                            "resource %.64s: %s", m->resources[i].name, why.msg);
        }
    }
    return CIS_OK;
}

cis_code cis_skill_guide_check(int root, const char *name, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_SKILL_GUIDE_MAX);
    struct cis_error why = {0};
    cis_code code = read_text(root, name, &text, &why);
    if (code == CIS_E_NOTFOUND) {
        return CIS_OK;
    }
    return code == CIS_OK ? check_text(&text, name, err) : cis_fail(err, code, "%s", why.msg);
}

cis_code cis_skill_guide(const struct cis_skill_home *home, struct cis_str tenant,
                         const struct cis_installed *skill, struct cis_buf *out,
                         struct cis_error *err)
{
    CIS_CLEANUP(close_fd) int root = -1;
    CIS_TRY(cis_tree_open_root(skill->dir, &root, err));
    CIS_TRY(read_text(root, skill->name, out, err));
    return cis_skill_verify(home, tenant, cis_str_of(skill->name), err);
}
