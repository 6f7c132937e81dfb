/* What can be said of an imported interface by its name alone, before anything is linked. */
#include "policy/grant.h"
#include "wasi/p2/internal.h"

/* Handlers of these check for themselves: no row says it. */
static const struct {
    const char *interface;
    enum cis_grant grant;
} checked[] = {
    {"wasi:filesystem/preopens", CIS_GRANT_FS_READ},
    {"wasi:sockets/tcp-create-socket", CIS_GRANT_NET},
    {"wasi:sockets/udp-create-socket", CIS_GRANT_NET},
    {"wasi:sockets/ip-name-lookup", CIS_GRANT_DNS},
    {"wasi:http/outgoing-handler", CIS_GRANT_HTTP},
};

/* "wasi:io/" of "wasi:io/poll": interfaces may have types and resources alone, but no package. */
static struct cis_str package_of(struct cis_str interface)
{
    const char *slash = memchr(interface.ptr, '/', interface.len);
    return (struct cis_str){interface.ptr,
                            slash != NULL ? (size_t)(slash - interface.ptr) + 1 : interface.len};
}

bool cis_wasi_p2_interface(struct cis_str interface, uint32_t *out_grants)
{
    size_t n;
    const struct cis_iface_table *const *tables = cis_wasi_p2_tables(&n);
    bool known = false;
    if (!cis_p2_served(&interface)) {
        return false;
    }
    struct cis_str package = package_of(interface);
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_ifacefn *row = &tables[t]->rows[i];
            known = known || cis_str_starts(cis_str_of(row->interface), package);
            if (row->grant != CIS_GRANT_NONE && cis_str_is(interface, row->interface)) {
                *out_grants |= CIS_GRANT_BIT(row->grant);
            }
        }
    }
    for (size_t i = 0; known && i < sizeof checked / sizeof *checked; i++) {
        if (cis_str_is(interface, checked[i].interface)) {
            *out_grants |= CIS_GRANT_BIT(checked[i].grant);
        }
    }
    return known;
}

static const struct cis_extern *export_of(const struct cis_engine_module_info *info,
                                          struct cis_str name)
{
    for (size_t i = 0; i < info->nexports; i++) {
        const struct cis_extern *e = &info->exports[i];
        if (e->name.len > name.len && cis_str_starts(e->name, name)) {
            return e;
        }
    }
    return NULL;
}

const struct cis_extern *cis_wasi_p2_command(const struct cis_engine_module_info *info)
{
    return export_of(info, CIS_STR("wasi:cli/run@0.2."));
}

const struct cis_extern *cis_wasi_p2_handler(const struct cis_engine_module_info *info)
{
    return export_of(info, CIS_STR("wasi:http/incoming-handler@0.2."));
}

cis_code cis_wasi_p2_exports_too_new(const struct cis_engine_module_info *info,
                                     struct cis_error *err)
{
    for (size_t i = 0; i < info->nexports; i++) {
        struct cis_str name = info->exports[i].name;
        if (cis_wasi_p2_too_new(name)) {
            return cis_fail(err, CIS_E_UNSUPPORTED,
                            "exports %.*s: needs WASI 0.3 (async), which this build does not "
                            "provide",
                            name.len > 96 ? 96 : (int)name.len, name.ptr);
        }
    }
    return CIS_OK;
}
