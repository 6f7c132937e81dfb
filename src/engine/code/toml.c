/* TOML as JSON with the line of every key. */
#include "engine/code/code.h"

cis_code cis_toml_to_json(struct cis_str toml, const char *name, struct cis_buf *out,
                          struct cis_error *err)
{
    struct cis_glue_text text = {0};
    uint32_t line = cis_glue_toml_to_json(toml.ptr, toml.len, &text);
    struct cis_str answer = {text.ptr, text.len};
    cis_code code;
    if (line != 0) {
        code = cis_fail(err, CIS_E_INVALID, "%s:%u: " CIS_STR_FMT, name, line, CIS_STR_ARG(answer));
    } else {
        cis_buf_str(out, answer);
        code = cis_buf_check(out, name, err);
    }
    cis_glue_text_free(&text);
    return code;
}
