/* Plugs of a skill; see plugs.h. */
#include "skill/plugs.h"

#include "base/file.h"
#include "base/mem.h"
#include "skill/tree.h"

static cis_code read_one(const struct cis_manifest *m, size_t i, int root, struct cis_buf *out,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int fd = -1;
    const struct cis_manifest_plug *plug = &m->plugs[i];
    struct cis_error why = {0};
    if (plug->sha256[0] == 0) {
        return cis_fail(err, CIS_E_INVALID,
                        "%.64s: compose.plug: %s has no sha256 (cis skill sign writes it)", m->name,
                        plug->path);
    }
    cis_code code = cis_tree_open(root, plug->path, &fd, &why);
    if (code != CIS_OK) {
        return cis_fail(err, code == CIS_E_INVALID ? CIS_E_NOTFOUND : code,
                        "%.64s: the plug %s: %s", m->name, plug->path, why.msg);
    }
    CIS_TRY(cis_file_read_fd(fd, plug->path, out, err));
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_sha256(cis_buf_bytes(out), digest);
    cis_hex(digest, sizeof digest, hex);
    if (strcmp(hex, plug->sha256) != 0) {
        return cis_fail(err, CIS_E_CHECKSUM,
                        "%.64s: %s is not the plug that compose.plug names (sha256 %.16s…, should "
                        "be %.16s…)",
                        m->name, plug->path, hex, plug->sha256);
    }
    return CIS_OK;
}

cis_code cis_plugs_check(const struct cis_manifest *m, int root, struct cis_error *err)
{
    for (size_t i = 0; i < m->nplugs; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(CIS_MODULE_MAX);
        CIS_TRY(read_one(m, i, root, &bytes, err));
    }
    return CIS_OK;
}

cis_code cis_plugs_read(const struct cis_manifest *m, int root, struct cis_buf *out,
                        struct cis_error *err)
{
    for (size_t i = 0; i < m->nplugs; i++) {
        out[i] = CIS_BUF_INIT(CIS_MODULE_MAX);
        CIS_TRY(read_one(m, i, root, &out[i], err));
    }
    return CIS_OK;
}

static cis_code load(cis_engine *engine, const struct cis_installed *s,
                     const struct cis_engine_module_options *options,
                     struct cis_compose_part *parts, cis_engine_module **out, struct cis_error *err)
{
    const struct cis_manifest *m = &s->manifest;
    const struct cis_composition c = {.parts = parts, .nparts = m->nplugs + 1};
    for (size_t i = 0; i < c.nparts; i++) {
        char *name = cis_compose_name_of(i == 0 ? m->entry : m->plugs[i - 1].path);
        if (name == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "%.64s: out of memory", m->name);
        }
        parts[i] = (struct cis_compose_part){
            .name = cis_str_of(name),
            .wasm = cis_buf_bytes(i == 0 ? &s->module : &s->plugs[i - 1])};
    }
    return cis_engine_module_load_composed(engine, &c, options, out, err);
}

cis_code cis_skill_module(cis_engine *engine, const struct cis_installed *s,
                          const struct cis_engine_module_options *options, cis_engine_module **out,
                          struct cis_error *err)
{
    size_t n = s->manifest.nplugs;
    if (n == 0) {
        return cis_engine_module_load(engine, cis_buf_bytes(&s->module), options, out, err);
    }
    struct cis_compose_part *parts = cis_calloc(cis_size_add(n, 1), sizeof *parts);
    if (parts == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%.64s: out of memory", s->manifest.name);
    }
    cis_code code = load(engine, s, options, parts, out, err);
    for (size_t i = 0; i <= n; i++) {
        cis_free((char *)(uintptr_t)parts[i].name.ptr);
    }
    cis_free(parts);
    return code;
}
