#include "cli/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/url.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"

cis_code cis_cli_store_find(const char *name, struct cis_error *err)
{
    return cis_str_starts(cis_str_of(name), CIS_STR("sqlite:"))
               ? cis_store_sqlite_find(name + strlen("sqlite:"), err)
               : CIS_OK;
}

cis_code cis_cli_store_open(const char *name, cis_cancel *cancel, cis_store **out_store,
                            struct cis_error *err)
{
    struct cis_str where = cis_str_of(name);
    if (cis_store_postgres_is_url(where)) {
        struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
        struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), 60 * CIS_NS_PER_S), cancel};
        return cis_store_postgres_open(name, &o, out_store, &stop, err);
    }
    if (!cis_str_starts(where, CIS_STR("sqlite:"))) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf shown = CIS_BUF_INIT(16384);
        cis_url_redact(where, &shown);
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "store %s: neither sqlite:DIR nor postgres://USER@HOST/DATABASE",
                        cis_buf_cstr(&shown));
    }
    const char *dir = name + strlen("sqlite:");
    CIS_TRY(cis_file_mkdirs(dir, 0700, err));
    return cis_store_sqlite_open(dir, out_store, err);
}
