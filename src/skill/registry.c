/* Installed skills: opening one for a run, and what can be changed about it later. */
#include "skill/registry.h"

#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "skill/place.h"
#include "skill/plugs.h"
#include "skill/tree.h"
#include "store/calls.h"

bool cis_signature_policy_parse(struct cis_str text, enum cis_signature_policy *out)
{
    static const struct {
        const char *name;
        enum cis_signature_policy policy;
    } names[] = {{"off", CIS_SIGNATURE_OFF},
                 {"warn", CIS_SIGNATURE_WARN},
                 {"require", CIS_SIGNATURE_REQUIRE}};
    for (size_t i = 0; i < 3; i++) {
        if (cis_str_is(text, names[i].name)) {
            *out = names[i].policy;
            return true;
        }
    }
    return false;
}

void cis_skill_close(struct cis_installed *s)
{
    cis_free(s->name);
    cis_free(s->dir);
    cis_free(s->module_path);
    cis_free(s->source);
    cis_free(s->memory);
    cis_buf_done(&s->module);
    for (size_t i = 0; s->plugs != NULL && i < s->manifest.nplugs; i++) {
        cis_buf_done(&s->plugs[i]);
    }
    cis_free(s->plugs);
    cis_manifest_done(&s->manifest);
    cis_grants_done(&s->granted);
    cis_grants_done(&s->grants);
    for (size_t i = 0; i < s->nconfig; i++) {
        cis_free(s->config[i].key);
        cis_free(s->config[i].value);
    }
    cis_free(s->config);
    *s = (struct cis_installed){0};
}

/* ---- effective config ---- */

static cis_code put_value(struct cis_installed *s, struct cis_str key, struct cis_str value,
                          bool from_default, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *text = cis_strndup(value.len > 0 ? value.ptr : "", value.len);
    if (text == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", s->name);
    }
    for (size_t i = 0; i < s->nconfig; i++) {
        if (cis_str_is(key, s->config[i].key)) {
            cis_free(s->config[i].value);
            s->config[i].value = cis_take(&text);
            s->config[i].from_default = from_default;
            return CIS_OK;
        }
    }
    struct cis_skill_value *grown =
        cis_realloc_array(s->config, cis_size_add(s->nconfig, 1), sizeof *grown);
    char *copy = cis_strndup(key.ptr, key.len);
    if (grown != NULL) {
        s->config = grown;
    }
    if (grown == NULL || copy == NULL) {
        cis_free(copy);
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", s->name);
    }
    grown[s->nconfig++] = (struct cis_skill_value){copy, cis_take(&text), from_default};
    return CIS_OK;
}

struct config_reading {
    struct cis_installed *skill;
    struct cis_error *err;
    cis_code code;
};

static bool take_value(void *self, const struct cis_kv_entry *entry)
{
    struct config_reading *r = self;
    struct cis_str value = {(const char *)entry->value.ptr, entry->value.len};
    r->code = put_value(r->skill, entry->key, value, false, r->err);
    return r->code == CIS_OK;
}

static cis_code read_config(const struct cis_skill_home *home, struct cis_str tenant,
                            struct cis_installed *s, struct cis_error *err)
{
    for (size_t i = 0; i < s->manifest.nsettings; i++) {
        const struct cis_manifest_setting *d = &s->manifest.settings[i];
        if (d->fallback != NULL) {
            CIS_TRY(put_value(s, cis_str_of(d->key), cis_str_of(d->fallback), true, err));
        }
    }
    struct config_reading r = {s, err, CIS_OK};
    CIS_TRY(cis_store_config_list(home->store, tenant, cis_str_of(s->name), take_value, &r,
                                  &home->stop, err));
    return r.code;
}

cis_code cis_skill_config_check(const void *manifest, struct cis_str key, struct cis_str value,
                                struct cis_error *err)
{
    return cis_manifest_setting_check(manifest, key, value, err);
}

static bool has_key(const struct cis_str_pair *pairs, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (cis_str_is(pairs[i].key, key)) {
            return true;
        }
    }
    return false;
}

cis_code cis_skill_config_complete(const struct cis_manifest *m, const char *name,
                                   const struct cis_str_pair *given, size_t n,
                                   struct cis_error *err)
{
    for (size_t i = 0; i < m->nsettings; i++) {
        const struct cis_manifest_setting *s = &m->settings[i];
        if (s->required && s->fallback == NULL && !has_key(given, n, s->key)) {
            return cis_fail(
                err, CIS_E_USAGE,
                "%.64s: needs a value for %.64s: cis skill config %.64s set %.64s VALUE", name,
                s->key, name, s->key);
        }
    }
    return CIS_OK;
}

/* ---- opening ---- */

cis_code cis_skill_lookup(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, struct cis_installed *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_TRY(cis_row_read(home, tenant, name, &s, err));
    if (s.manifest.bare) {
        CIS_TRY(cis_grants_copy(&s.granted, &s.grants, err));
    } else {
        CIS_TRY(cis_grants_intersect(&s.manifest.asked, &s.granted, &s.grants, err));
    }
    s.module_path = cis_path_join(s.dir, s.manifest.entry);
    if (s.module_path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", s.name);
    }
    CIS_TRY(read_config(home, tenant, &s, err));
    CIS_TRY(cis_skill_memory(home->store, tenant, name, &s.memory, &home->stop, err));
    *out = s;
    s = (struct cis_installed){0};
    return CIS_OK;
}

static cis_code check_signer(const struct cis_skill_home *home, const struct cis_installed *s,
                             struct cis_error *err)
{
    if (home->policy != CIS_SIGNATURE_REQUIRE) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    CIS_TRY(cis_keyring_load(home->config_dir, &ring, err));
    if (cis_keyring_find(&ring, cis_str_of(s->signer)) == NULL) {
        return cis_fail(err, CIS_E_SIGNATURE,
                        "%s: %s, and the configuration requires a trusted "
                        "signature",
                        s->name,
                        s->signer[0] != 0 ? "its signer is no longer trusted" : "not signed");
    }
    return CIS_OK;
}

static cis_code open_content(const struct cis_skill_home *home, struct cis_str tenant,
                             const struct cis_installed *s, int *out_fd, struct cis_error *err)
{
    return cis_place_open(home, tenant, cis_str_of(s->name), cis_str_of(s->manifest.version),
                          cis_str_of(s->digest), out_fd, err);
}

/* Reads the module once, into memory of ours, and checks those bytes: what is on disk may change.
 */
static cis_code read_module(const struct cis_skill_home *home, struct cis_str tenant,
                            struct cis_installed *s, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int root = -1, fd = -1;
    CIS_TRY(open_content(home, tenant, s, &root, err));
    CIS_TRY(cis_tree_open(root, s->manifest.entry, &fd, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf module = CIS_BUF_INIT(CIS_MODULE_MAX);
    CIS_TRY(cis_file_read_fd(fd, s->module_path, &module, err));
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_sha256(cis_buf_bytes(&module), digest);
    cis_hex(digest, sizeof digest, hex);
    if (strcmp(hex, s->sha256) != 0) {
        return cis_fail(err, CIS_E_CHECKSUM,
                        "%.64s: %s is not what was installed (sha256 %.12s…, should be %.12s…): "
                        "install it again",
                        s->name, s->manifest.entry, hex, s->sha256);
    }
    s->module = module;
    module = CIS_BUF_INIT(0);
    if (s->manifest.nplugs != 0) {
        s->plugs = cis_calloc(s->manifest.nplugs, sizeof *s->plugs);
        if (s->plugs == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", s->name);
        }
        return cis_plugs_read(&s->manifest, root, s->plugs, err);
    }
    return CIS_OK;
}

static cis_code open_once(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, struct cis_installed *out, bool *out_gone,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_TRY(cis_skill_lookup(home, tenant, name, &s, err));
    CIS_TRY(check_signer(home, &s, err));
    cis_code code = read_module(home, tenant, &s, err);
    *out_gone = code == CIS_E_NOTFOUND;
    if (code == CIS_E_NOTFOUND || code == CIS_E_INVALID) {
        /* Not what was installed: a folder or file that is gone, or something else in its place. */
        return cis_fail(err, CIS_E_CHECKSUM, "%.64s: %.80s is gone or not a file: install it again",
                        s.name, s.module_path);
    }
    CIS_TRY(code);
    *out = s;
    s = (struct cis_installed){0};
    return CIS_OK;
}

cis_code cis_skill_open(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_str name, struct cis_installed *out, struct cis_error *err)
{
    bool gone = false;
    cis_code code = open_once(home, tenant, name, out, &gone, err);
    /* An update between reading the row and the folder: the row names the new folder by now. */
    return gone ? open_once(home, tenant, name, out, &gone, err) : code;
}

cis_code cis_skill_list(const struct cis_skill_home *home, struct cis_str tenant,
                        cis_skill_each *each, void *self, struct cis_error *err)
{
    return cis_store_skill_list(home->store, tenant, each, self, &home->stop, err);
}

/* ---- changes ---- */

/* Each attempt that fails is another change that stands. */
#define TRIES_MAX 100

/* Somebody else, on another host maybe, may change a row between reading and writing it: it is read
 * and computed anew. */
static bool try_again(const struct cis_skill_home *home, cis_code code, int *tries)
{
    return code == CIS_E_CONFLICT && ++*tries < TRIES_MAX &&
           cis_stop_check(&home->stop, "", NULL) == CIS_OK;
}

static cis_code add_grant(const struct cis_installed *s, struct cis_str text,
                          struct cis_grants *granted, struct cis_error *err)
{
    CIS_CLEANUP(cis_grants_done) struct cis_grants one = CIS_GRANTS_INIT;
    CIS_TRY(cis_grants_add(&one, text, err));
    if (cis_grants_has(&one, CIS_GRANT_COMMAND)) {
        return cis_fail(err, CIS_E_DENIED, "command is reserved: no skill may start processes");
    }
    if (!s->manifest.bare && !cis_grants_cover(&s->manifest.asked, &one)) {
        return cis_fail(err, CIS_E_DENIED, "%s: does not ask for %.*s", s->name,
                        (int)(text.len > 100 ? 100 : text.len), text.ptr);
    }
    return cis_grants_merge(granted, &one, err);
}

struct for_skill {
    struct cis_str name;
    bool add;        /* else: taken away */
    char digest[65]; /* of the package that it is for; "": whatever is installed now */
};

/* What is meant for a package is for that one alone, also when it is tried again. */
static cis_code check_same(struct for_skill *skill, const struct cis_installed *s,
                           struct cis_error *err)
{
    if (skill->digest[0] == 0) {
        memcpy(skill->digest, s->digest, sizeof skill->digest);
    }
    return strcmp(s->digest, skill->digest) == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_DENIED,
                          "%s: another version was installed meanwhile; nothing was changed",
                          s->name);
}

static cis_code change_once(const struct cis_skill_home *home, struct cis_str tenant,
                            struct for_skill *skill, const struct cis_str *texts, size_t n,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_TRY(cis_row_read(home, tenant, skill->name, &s, err));
    if (skill->add) { /* taking away is for whatever has the name */
        CIS_TRY(check_same(skill, &s, err));
    }
    CIS_CLEANUP(cis_grants_done) struct cis_grants granted = CIS_GRANTS_INIT;
    CIS_TRY(cis_grants_copy(&s.granted, &granted, err));
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(skill->add ? add_grant(&s, texts[i], &granted, err)
                           : cis_grants_remove(&granted, texts[i], err));
    }
    return cis_row_put_grants(home, tenant, &s, &granted, err);
}

static cis_code change_grants(const struct cis_skill_home *home, struct cis_str tenant,
                              struct for_skill *skill, const struct cis_str *texts, size_t n,
                              struct cis_error *err)
{
    /* It does not keep others out, the row does: it tells a server that looks at its mark. */
    CIS_CLEANUP(cis_place_done) struct cis_place place = CIS_PLACE_INIT;
    CIS_TRY(cis_place_lock(home, tenant, &place, err));
    cis_code code;
    int tries = 0;
    do {
        code = change_once(home, tenant, skill, texts, n, err);
    } while (try_again(home, code, &tries));
    return code;
}

cis_code cis_skill_grant(const struct cis_skill_home *home, struct cis_str tenant,
                         struct cis_str name, const struct cis_str *texts, size_t n,
                         struct cis_error *err)
{
    return cis_skill_grant_to(home, tenant, name, NULL, texts, n, err);
}

cis_code cis_skill_grant_to(const struct cis_skill_home *home, struct cis_str tenant,
                            struct cis_str name, const char *digest, const struct cis_str *texts,
                            size_t n, struct cis_error *err)
{
    struct for_skill skill = {.name = name, .add = true};
    snprintf(skill.digest, sizeof skill.digest, "%s", digest != NULL ? digest : "");
    return change_grants(home, tenant, &skill, texts, n, err);
}

cis_code cis_skill_revoke(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, const struct cis_str *texts, size_t n,
                          struct cis_error *err)
{
    struct for_skill skill = {.name = name};
    return change_grants(home, tenant, &skill, texts, n, err);
}

static cis_code set_once(const struct cis_skill_home *home, struct cis_str tenant,
                         struct for_skill *skill, struct cis_str key, struct cis_str value,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_TRY(cis_row_read(home, tenant, skill->name, &s, err));
    CIS_TRY(check_same(skill, &s, err));
    struct cis_kv_op op = {.ns = cis_str_of(s.name), .key = key, .is_public = -1};
    if (value.ptr != NULL) {
        CIS_TRY(cis_manifest_setting_check(&s.manifest, key, value, err));
        op.value = cis_bytes_of(value.ptr, value.len);
    } else {
        op.remove = true;
    }
    const struct cis_skill_change change = {
        .name = op.ns, .was = s.stamp, .had = -1, .config = &op, .nconfig = 1};
    return cis_store_skill_change(home->store, tenant, &change, &home->stop, err);
}

cis_code cis_skill_config_set(const struct cis_skill_home *home, struct cis_str tenant,
                              struct cis_str name, struct cis_str key, struct cis_str value,
                              struct cis_error *err)
{
    cis_code code;
    int tries = 0;
    struct for_skill skill = {.name = name};
    do {
        code = set_once(home, tenant, &skill, key, value, err);
    } while (try_again(home, code, &tries));
    return code;
}

static cis_code remove_once(const struct cis_skill_home *home, struct cis_str tenant,
                            struct cis_str name, const struct cis_place *place,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    const struct cis_skill_change change = {
        .name = name, .was = s.stamp, .had = -1, .remove = true};
    cis_code code = cis_row_read(home, tenant, name, &s, err);
    if (code == CIS_E_DAMAGED) { /* its folder stays: which one it is cannot be told */
        return cis_store_skill_change(home->store, tenant, &change, &home->stop, err);
    }
    CIS_TRY(code);
    CIS_CLEANUP(cis_close_fd) int skill = -1;
    CIS_CLEANUP(cis_freep)
    char *version = cis_place_version(cis_str_of(s.manifest.version), cis_str_of(s.digest));
    if (version == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", s.name);
    }
    /* Without its folder it is removed all the same. */
    if (cis_place_skill(place, name, false, &skill, NULL) == CIS_OK) {
        CIS_TRY(cis_place_mark_version(skill, version, err)); /* killed after the row is gone: the
                                                                 sweep sees it */
    }
    CIS_TRY(cis_store_skill_change(home->store, tenant, &change, &home->stop, err));
    if (skill >= 0) {
        cis_place_retire(place, skill, version);
    }
    return CIS_OK;
}

cis_code cis_skill_remove(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, struct cis_error *err)
{
    CIS_CLEANUP(cis_place_done) struct cis_place place = CIS_PLACE_INIT;
    CIS_TRY(cis_place_lock(home, tenant, &place, err));
    cis_code code;
    int tries = 0;
    do {
        code = remove_once(home, tenant, name, &place, err);
    } while (try_again(home, code, &tries));
    CIS_TRY(code);
    cis_place_sweep(&place, home, tenant);
    return CIS_OK;
}

/* ---- verifying ---- */

static cis_code check_digest(const struct cis_skill_home *home, struct cis_str tenant,
                             const struct cis_installed *s, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int root = -1, fd = -1;
    CIS_TRY(open_content(home, tenant, s, &root, err));
    if (!s->manifest.bare) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_MANIFEST_MAX);
        CIS_CLEANUP(cis_manifest_done) struct cis_manifest m = CIS_MANIFEST_INIT;
        CIS_TRY(cis_tree_open(root, CIS_MANIFEST_FILE, &fd, err));
        CIS_TRY(cis_file_read_fd(fd, CIS_MANIFEST_FILE, &text, err));
        CIS_TRY(cis_manifest_parse(cis_buf_view(&text), CIS_MANIFEST_FILE, &m, err));
        if (strcmp(m.json, s->manifest.json) != 0) {
            return cis_fail(err, CIS_E_CHECKSUM, "%s: skill.toml was changed after the install",
                            s->name);
        }
    }
    struct cis_package_file *files = NULL;
    size_t n = 0;
    uint64_t bytes = 0;
    CIS_TRY(cis_tree_files(root, s->name, &files, &n, &bytes, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf signed_bytes = CIS_BUF_INIT(64u << 20);
    cis_package_signed_bytes(s->manifest.unsigned_json, files, n, &signed_bytes);
    cis_package_files_free(files, n);
    CIS_TRY(cis_buf_check(&signed_bytes, s->name, err));
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_sha256(cis_buf_bytes(&signed_bytes), digest);
    cis_hex(digest, sizeof digest, hex);
    if (strcmp(hex, s->digest) != 0) {
        return cis_fail(err, CIS_E_CHECKSUM,
                        "%s: its files are not those that were installed: install it again",
                        s->name);
    }
    if (s->manifest.has_signature && home->policy != CIS_SIGNATURE_OFF &&
        !cis_ed25519_verify(s->manifest.key, cis_buf_bytes(&signed_bytes), s->manifest.signature)) {
        return cis_fail(err, CIS_E_SIGNATURE, "%s: the signature does not match", s->name);
    }
    return CIS_OK;
}

cis_code cis_skill_verify(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_TRY(cis_skill_open(home, tenant, name, &s, err));
    return check_digest(home, tenant, &s, err);
}
