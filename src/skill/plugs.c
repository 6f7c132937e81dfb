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
