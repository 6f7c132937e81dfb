/* The skill's own [config]: a small map that a run reads and changes; the changes commit with it.
 */
#include "base/mem.h"
#include "host/host.h"

void cis_host_config_get(struct cis_host *host, struct cis_str key, struct cis_str *out)
{
    const struct cis_host_value *value = cis_map_get(&host->config, key);
    *out = value != NULL ? (struct cis_str){value->text, value->len} : (struct cis_str){NULL, 0};
}

static bool same(const struct cis_host_value *value, struct cis_str text)
{
    return value != NULL && cis_str_eq((struct cis_str){value->text, value->len}, text);
}

cis_code cis_host_config_set(struct cis_host *host, struct cis_str key, struct cis_str value,
                             struct cis_error *err)
{
    if (key.len == 0 || key.len > CIS_HOST_CONFIG_KEY_MAX) {
        return cis_fail(err, CIS_E_INVALID, "config key: 1 to %u bytes, not %zu",
                        CIS_HOST_CONFIG_KEY_MAX, key.len);
    }
    if (value.len > CIS_HOST_CONFIG_VALUE_MAX) {
        return cis_fail(err, CIS_E_INVALID, "config value of " CIS_STR_FMT ": larger than %u bytes",
                        CIS_STR_ARG(key), CIS_HOST_CONFIG_VALUE_MAX);
    }
    if (same(cis_map_get(&host->config, key), value)) {
        return CIS_OK;
    }
    uint64_t size = sizeof(struct cis_host_value) + value.len + 1;
    /* The entry costs its key too; a map keeps the key once set, so that is charged once. */
    uint64_t entry =
        cis_map_get(&host->config, key) == NULL ? key.len + sizeof(struct cis_map_entry) + 16 : 0;
    CIS_TRY(cis_budget_charge(&host->budget, size + entry, "config", err));
    struct cis_host_value *fresh = cis_alloc(size);
    if (fresh == NULL) {
        cis_budget_release(&host->budget, size + entry);
        return cis_fail(err, CIS_E_NOMEM, "config value: out of memory");
    }
    fresh->len = value.len;
    fresh->changed = true;
    if (value.len != 0) {
        memcpy(fresh->text, value.ptr, value.len);
    }
    fresh->text[value.len] = 0;
    void *old = NULL;
    cis_code code = cis_map_set(&host->config, key, fresh, &old, err);
    if (code != CIS_OK) {
        cis_budget_release(&host->budget, size + entry);
        cis_free(fresh);
        return code;
    }
    if (old != NULL) {
        cis_budget_release(&host->budget,
                           sizeof(struct cis_host_value) + ((struct cis_host_value *)old)->len + 1);
        cis_free(old);
    }
    host->config_dirty = true;
    return CIS_OK;
}
