/* Paths of files in URIs (RFC 3986): what stands behind a percent sign. */
#include "mcp/internal.h"

bool cis_mcp_percent_decode(struct cis_str text, struct cis_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];
        if (byte == '%') {
            struct cis_str two = {text.ptr + i + 1, 2};
            if (text.len - i < 3 || !cis_unhex(two, &byte, 1)) {
                return false;
            }
            i += 2;
        }
        cis_buf_byte(out, byte);
    }
    return true;
}

cis_code cis_mcp_resource_path(struct cis_str rest, struct cis_buf *out, struct cis_error *err)
{
    cis_buf_byte(out, '/');
    if (!cis_mcp_percent_decode(rest, out)) {
        return cis_fail(err, CIS_E_USAGE, "uri: %% without two hexadecimal digits");
    }
    CIS_TRY(cis_buf_check(out, "uri", err));
    return cis_utf8_valid(out->ptr, out->len) ? cis_mcp_path_check(cis_buf_view(out), err)
                                              : cis_fail(err, CIS_E_USAGE, "uri: not UTF-8");
}

void cis_mcp_resource_escape(struct cis_str path, struct cis_buf *out)
{
    for (size_t i = 0; i < path.len; i++) {
        cis_buf_text(out, path.ptr[i] == '%' ? "%25" : "");
        cis_buf_add(out, path.ptr + i, path.ptr[i] == '%' ? 0 : 1);
    }
}
