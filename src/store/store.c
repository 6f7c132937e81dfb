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

#define SKILL_FIELD_MAX (4u * 1024u * 1024u)

cis_code cis_skill_change_check(const struct cis_skill_change *change, struct cis_error *err)
{
    if (change->name.len == 0 || change->name.len > CIS_STORE_NAME_MAX) {
        return cis_fail(err, CIS_E_INVALID, "skill: the name has %zu bytes; 1 to %u are allowed",
                        change->name.len, CIS_STORE_NAME_MAX);
    }
    const struct cis_skill_row none = {.name = change->name};
    const struct cis_skill_row *row = change->row != NULL ? change->row : &none;
    const size_t lengths[] = {row->version.len, row->source.len, row->sha256.len, row->manifest.len,
                              row->grants.len,  row->signer.len, row->digest.len};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        if (lengths[i] > SKILL_FIELD_MAX) {
            return cis_fail(err, CIS_E_INVALID,
                            "skill " CIS_STR_FMT ": a field of the row is too long",
                            CIS_STR_ARG(change->name));
        }
    }
    if (!cis_str_eq(row->name, change->name)) {
        return cis_fail(err, CIS_E_INVALID, "skill " CIS_STR_FMT ": the row has another name",
                        CIS_STR_ARG(change->name));
    }
    return config_check(change->config, change->nconfig, err);
}

void cis_skill_row_stamp(const struct cis_skill_row *row, char out[CIS_SKILL_STAMP_LEN + 1])
{
    const struct cis_str fields[] = {row->name,     row->version, row->source, row->sha256,
                                     row->manifest, row->grants,  row->signer, row->digest};
    struct cis_sha256_state state;
    uint8_t hash[CIS_SHA256_BYTES];
    cis_sha256_init(&state);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t len = fields[i].len; /* so that no two lists of fields are the same bytes */
        cis_sha256_update(&state, cis_bytes_of(&len, sizeof len));
        cis_sha256_update(&state, cis_bytes_of(fields[i].ptr, fields[i].len));
    }
    cis_sha256_update(&state, cis_bytes_of(&row->installed_ms, sizeof row->installed_ms));
    cis_sha256_final(&state, hash);
    cis_hex(hash, sizeof hash, out);
}

cis_code cis_skill_change_still(const struct cis_skill_change *change,
                                const struct cis_skill_row *row, int64_t has, struct cis_error *err)
{
    char now[CIS_SKILL_STAMP_LEN + 1] = "";
    if (row != NULL) {
        cis_skill_row_stamp(row, now);
    }
    if (strcmp(now, change->was) != 0 || (change->had >= 0 && change->had != has)) {
        return cis_fail(err, CIS_E_CONFLICT, "skill " CIS_STR_FMT ": was changed meanwhile",
                        CIS_STR_ARG(change->name));
    }
    return row != NULL || change->row != NULL
               ? CIS_OK
               : cis_fail(err, CIS_E_NOTFOUND, "skill " CIS_STR_FMT ": not installed",
                          CIS_STR_ARG(change->name));
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
