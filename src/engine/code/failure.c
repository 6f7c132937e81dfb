/* What the engine's library says when it fails, as one line. */
#include "engine/code/failure.h"

#include "base/buf.h"

cis_code cis_engine_fail(struct cis_error *err, cis_code code, const char *name,
                         wasmtime_error_t *error, wasm_trap_t *trap)
{
    char text[CIS_ERROR_MSG_MAX * 4];
    struct cis_str rest = {text, cis_glue_error_text(error, trap, text, sizeof text)}, line;
    code = cis_glue_error_no_memory(error) ? CIS_E_NOMEM : code;
    if (error != NULL) {
        wasmtime_error_delete(error);
    } else if (trap != NULL) {
        wasm_trap_delete(trap);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf flat = CIS_BUF_INIT(sizeof text * 2);
    for (bool more = true;
         more;) { /* a cause may have several lines: its own text, not a chain's */
        more = cis_str_split(&rest, '\n', &line);
        line = cis_str_trim(line);
        if (line.len != 0 && !cis_str_is(line, "Caused by:")) {
            cis_buf_text(&flat, flat.len != 0 ? ": " : "");
            cis_buf_str(&flat, line);
        }
    }
    cis_fail(err, code, "%s: %s", name, flat.len != 0 ? cis_buf_cstr(&flat) : "unknown failure");
    return code;
}

cis_code cis_engine_enough(uint64_t before, const char *name, struct cis_error *err)
{
    return cis_glue_heap_short() == before ? CIS_OK
                                           : cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
}
