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

static uint64_t size_of(size_t len)
{
    return sizeof(struct cis_host_value) + len + 1;
}

/* A run writes at most what one skill's config may hold: all of it goes to the store at once. */
static cis_code within(const struct cis_host *host, struct cis_str key, struct cis_str value,
                       uint32_t *out_keys, uint64_t *out_bytes, struct cis_error *err)
{
    const struct cis_host_value *old = cis_map_get(&host->config, key);
    bool again = old != NULL && old->changed;
    *out_keys = host->config_keys + (again ? 0 : 1);
    *out_bytes = host->config_bytes - (again ? key.len + old->len : 0) + key.len + value.len;
    if (*out_keys > CIS_STORE_CONFIG_KEYS_MAX || *out_bytes > CIS_STORE_CONFIG_BYTES_MAX) {
        return cis_fail(err, CIS_E_QUOTA, "config: more than %u keys or %u bytes in one run",
                        CIS_STORE_CONFIG_KEYS_MAX, CIS_STORE_CONFIG_BYTES_MAX);
    }
    return CIS_OK;
}

static cis_code make_value(struct cis_host *host, struct cis_str key, struct cis_str value,
                           struct cis_host_value **out, struct cis_error *err)
{
    /* The entry costs its key too; a map keeps the key once set, so that is charged once. */
    uint64_t entry =
        !cis_map_knows(&host->config, key) ? key.len + sizeof(struct cis_map_entry) + 16 : 0;
    CIS_TRY(cis_budget_charge(&host->budget, size_of(value.len) + entry, "config", err));
    struct cis_host_value *fresh = cis_alloc(size_of(value.len));
    cis_code code = fresh != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "config: out of memory");
    if (code == CIS_OK) {
        fresh->len = value.len;
        fresh->changed = true;
        if (value.len != 0) {
            memcpy(fresh->text, value.ptr, value.len);
        }
        fresh->text[value.len] = 0;
        if (entry != 0) { /* so that nothing can fail once the old value is moved */
            code = cis_map_set(&host->config, key, NULL, NULL, err);
        }
    }
    if (code != CIS_OK) {
        cis_budget_release(&host->budget, size_of(value.len) + entry);
        cis_free(fresh);
        return code;
    }
    *out = fresh;
    return CIS_OK;
}

static void drop_value(struct cis_host *host, struct cis_host_value *value)
{
    if (value != NULL) {
        cis_budget_release(&host->budget, size_of(value->len));
        cis_free(value);
    }
}

/* What was there before the run changed it is kept aside, charged as before. */
static cis_code put(struct cis_host *host, struct cis_str key, struct cis_str value,
                    struct cis_error *err)
{
    struct cis_host_value *fresh = NULL, *old = cis_map_get(&host->config, key);
    void *ignored;
    CIS_TRY(make_value(host, key, value, &fresh, err));
    if (old != NULL && !old->changed) {
        cis_code code = cis_map_set(&host->config_before, key, old, NULL, err);
        if (code != CIS_OK) {
            drop_value(host, fresh);
            return code;
        }
        old = NULL;
    }
    (void)cis_map_set(&host->config, key, fresh, &ignored, NULL); /* the key is there */
    drop_value(host, old);
    return CIS_OK;
}

cis_code cis_host_config_set(struct cis_host *host, struct cis_str key, struct cis_str value,
                             struct cis_error *err)
{
    uint32_t keys = 0;
    uint64_t bytes = 0;
    if (key.len == 0 || key.len > CIS_HOST_CONFIG_KEY_MAX) {
        return cis_fail(err, CIS_E_INVALID, "config key: 1 to %u bytes, not %zu",
                        CIS_HOST_CONFIG_KEY_MAX, key.len);
    }
    if (value.len > CIS_HOST_CONFIG_VALUE_MAX) {
        return cis_fail(err, CIS_E_INVALID, "config value of " CIS_STR_FMT ": larger than %u bytes",
                        CIS_STR_ARG(key), CIS_HOST_CONFIG_VALUE_MAX);
    }
    if (host->config_check != NULL) {
        CIS_TRY(host->config_check(host->config_self, key, value, err));
    }
    if (same(cis_map_get(&host->config, key), value)) {
        return CIS_OK;
    }
    CIS_TRY(within(host, key, value, &keys, &bytes, err));
    CIS_TRY(put(host, key, value, err));
    host->config_keys = keys;
    host->config_bytes = bytes;
    host->config_dirty = true;
    return CIS_OK;
}

cis_code cis_host_config_begin(struct cis_host *host, struct cis_str key, struct cis_str value,
                               struct cis_error *err)
{
    return put(host, key, value, err);
}

static void forget_before(struct cis_host *host)
{
    cis_map_foreach (&host->config_before, e) {
        drop_value(host, e->value);
    }
    cis_map_done(&host->config_before, NULL);
    host->config_before = CIS_MAP_INIT;
    host->config_keys = 0;
    host->config_bytes = 0;
    host->config_dirty = false;
}

void cis_host_config_keep(struct cis_host *host)
{
    cis_map_foreach (&host->config, e) {
        ((struct cis_host_value *)e->value)->changed = false;
    }
    forget_before(host);
}

void cis_host_config_forget(struct cis_host *host)
{
    cis_map_foreach (&host->config, e) {
        struct cis_host_value *value = e->value;
        if (value->changed) {
            struct cis_host_value *before = cis_map_remove(&host->config_before, e->key);
            (void)cis_map_remove(&host->config, e->key);
            drop_value(host, value);
            if (before != NULL) {
                (void)cis_map_set(&host->config, e->key, before, NULL, NULL); /* it has a place */
            }
        }
    }
    forget_before(host);
}

void cis_host_config_done(struct cis_host *host)
{
    cis_map_done(&host->config, cis_free);
    cis_map_done(&host->config_before, cis_free);
}
