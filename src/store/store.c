/* What holds for every backend: names and limits of rows. */
#include "store/commit.h"

#include "base/crypto.h"
#include "base/file.h"

bool cis_tenant_valid(struct cis_str name)
{
    return cis_store_plain(name, CIS_TENANT_MAX);
}

void cis_store_instance_of(const uint8_t key[32], char out[17])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[CIS_MAC_BYTES];
    struct cis_bytes what = cis_bytes_of("instance", 8);
    cis_mac(key, &what, 1, mac);
    for (int i = 0; i < 16; i++) {
        out[i] = digits[mac[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    }
    out[16] = 0;
}

cis_code cis_store_tenant_check(struct cis_str name, struct cis_error *err)
{
    if (!cis_tenant_valid(name)) {
        return cis_fail(err, CIS_E_INVALID,
                        "tenant \"" CIS_STR_FMT "\": not [a-z0-9][a-z0-9._-]* of at most %u bytes",
                        (int)(name.len > 64 ? 64 : name.len), name.ptr != NULL ? name.ptr : "",
                        CIS_TENANT_MAX);
    }
    return CIS_OK;
}

cis_code cis_store_folder_check(const cis_store *store, const char *folder, struct cis_error *err)
{
    bool meet = false;
    if (store == NULL || store->folder == NULL) {
        return CIS_OK;
    }
    CIS_TRY(cis_folders_meet(folder, store->folder, &meet, err));
    return meet ? cis_fail(err, CIS_E_USAGE,
                           "folder %.80s: it contains the store's folder %.80s or lies in it, and "
                           "that may not be mounted; use another folder",
                           folder, store->folder)
                : CIS_OK;
}

cis_code cis_kv_range_of(const struct cis_kv_query *query, struct cis_kv_range *out,
                         struct cis_error *err)
{
    struct cis_str prefix = query->prefix, after = query->after;
    if (prefix.len > CIS_STORE_KEY_MAX || after.len > CIS_STORE_KEY_MAX) {
        return cis_fail(err, CIS_E_INVALID, "memory list: prefix or after longer than a key");
    }
    size_t n = out->nlower = prefix.len;
    if (n != 0) {
        memcpy(out->lower, prefix.ptr, n);
        memcpy(out->upper, prefix.ptr, n);
    }
    while (n != 0 && (unsigned char)out->upper[n - 1] == 0xff) {
        n--;
    }
    out->nupper = n;
    if (n != 0) {
        out->upper[n - 1] = (char)(out->upper[n - 1] + 1);
    } else { /* above every key there can be */
        memset(out->upper, 0xff, sizeof out->upper);
        out->nupper = sizeof out->upper;
    }
    if (after.ptr != NULL && cis_str_cmp(after, prefix) >= 0) {
        if (after.len != 0) {
            memcpy(out->lower, after.ptr, after.len);
        }
        out->lower[after.len] = 0; /* the next possible key */
        out->nlower = after.len + 1;
    }
    return CIS_OK;
}

static cis_code op_check(const struct cis_kv_op *op, const char *what, struct cis_error *err)
{
    if (op->ns.len == 0 || op->ns.len > CIS_STORE_NAME_MAX) {
        return cis_fail(err, CIS_E_INVALID, "%s: the namespace has %zu bytes; 1 to %u are allowed",
                        what, op->ns.len, CIS_STORE_NAME_MAX);
    }
    if (op->key.len == 0 || op->key.len > CIS_STORE_KEY_MAX) {
        return cis_fail(err, CIS_E_INVALID, "%s: the key has %zu bytes; 1 to %u are allowed", what,
                        op->key.len, CIS_STORE_KEY_MAX);
    }
    if (!op->remove && op->value.len > CIS_STORE_VALUE_MAX) {
        return cis_fail(err, CIS_E_INVALID, "%s: the value has %zu bytes; at most %u are allowed",
                        what, op->value.len, CIS_STORE_VALUE_MAX);
    }
    if (op->category.ptr != NULL && op->category.len > CIS_STORE_CATEGORY_MAX) {
        return cis_fail(err, CIS_E_INVALID,
                        "%s: the category has %zu bytes; at most %u are allowed", what,
                        op->category.len, CIS_STORE_CATEGORY_MAX);
    }
    return CIS_OK;
}

static cis_code run_check(const struct cis_run_row *run, struct cis_error *err)
{
    if (strnlen(run->id, sizeof run->id) != sizeof run->id - 1) {
        return cis_fail(err, CIS_E_INVALID, "run: id is not 26 characters");
    }
    if (run->skill.len > CIS_STORE_NAME_MAX || run->status.len > 64) {
        return cis_fail(err, CIS_E_INVALID, "run %s: name or status too long", run->id);
    }
    if (run->report.len > CIS_STORE_REPORT_MAX) {
        return cis_fail(err, CIS_E_INVALID,
                        "run %s: the report has %zu bytes; at most %u are allowed", run->id,
                        run->report.len, CIS_STORE_REPORT_MAX);
    }
    return CIS_OK;
}

cis_code cis_run_report_check(struct cis_str id, struct cis_str report, struct cis_error *err)
{
    if (!cis_run_id_valid(id)) {
        return cis_fail(err, CIS_E_INVALID, "run: id is not 26 characters");
    }
    if (report.len > CIS_STORE_REPORT_MAX) {
        return cis_fail(err, CIS_E_LIMIT,
                        "run " CIS_STR_FMT ": the report has %zu bytes; at most %u are allowed",
                        CIS_STR_ARG(id), report.len, CIS_STORE_REPORT_MAX);
    }
    return CIS_OK;
}

/* One skill's config is limited, and its ops follow each other: what cannot fit is refused before
 * it is written and rolled back. What else it holds is counted by the backend. */
static cis_code config_check(const struct cis_kv_op *ops, size_t n, struct cis_error *err)
{
    uint64_t keys = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(op_check(&ops[i], "config", err));
        bool same = i != 0 && cis_str_eq(ops[i].ns, ops[i - 1].ns);
        keys = (same ? keys : 0) + !ops[i].remove;
        bytes = (same ? bytes : 0) + (ops[i].remove ? 0 : ops[i].key.len + ops[i].value.len);
        if (keys > CIS_STORE_CONFIG_KEYS_MAX || bytes > CIS_STORE_CONFIG_BYTES_MAX) {
            return cis_fail(
                err, CIS_E_QUOTA, "config of " CIS_STR_FMT ": more than %u keys or %u bytes",
                CIS_STR_ARG(ops[i].ns), CIS_STORE_CONFIG_KEYS_MAX, CIS_STORE_CONFIG_BYTES_MAX);
        }
    }
    return CIS_OK;
}

cis_code cis_store_commit_check(const struct cis_store_commit *commit, struct cis_error *err)
{
    if (commit->run != NULL) {
        CIS_TRY(run_check(commit->run, err));
    }
    if (commit->note != NULL && strnlen(commit->note, CIS_FS_NOTE_MAX + 1) > CIS_FS_NOTE_MAX) {
        return cis_fail(err, CIS_E_INVALID, "commit: a note of more than %u bytes",
                        CIS_FS_NOTE_MAX);
    }
    for (size_t i = 0; i < commit->nkv; i++) {
        CIS_TRY(op_check(&commit->kv[i], "memory", err));
    }
    CIS_TRY(config_check(commit->config, commit->nconfig, err));
    if (commit->fork) {
        CIS_TRY(cis_fs_ref_check(commit->ref, err));
    }
    CIS_TRY(cis_commit_writer_check(commit, err));
    return commit->fs != NULL ? cis_fs_commit_check(commit->fs, err) : CIS_OK;
}
