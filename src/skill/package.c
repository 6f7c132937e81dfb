/* Staging: content into a private folder, then every check that needs no answer from the user. */
#include "skill/package.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "engine/code/module.h"
#include "skill/place.h"
#include "skill/guide.h"
#include "skill/plugs.h"
#include "skill/tree.h"

#define CONTENT "content"
#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void cis_package_done(struct cis_package *p)
{
    cis_place_stage_done(&p->stage);
    cis_close_fd(&p->root);
    cis_close_fd(&p->from);
    cis_free(p->name);
    cis_free(p->folder);
    cis_free(p->source);
    cis_manifest_done(&p->manifest);
    cis_package_files_free(p->files, p->nfiles);
    *p = CIS_PACKAGE_INIT;
}

static cis_code no_memory(const char *path, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
}

static bool ends(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n > m && strcasecmp(path + n - m, suffix) == 0;
}

static bool is_archive(const char *path)
{
    return ends(path, ".tar") || ends(path, ".tar.gz") || ends(path, ".tgz") ||
           ends(path, ".tar.zst");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Name of a module without a manifest: the file's stem. */
static struct cis_str stem(const char *path)
{
    struct cis_str name = cis_str_of(base_name(path));
    for (size_t i = name.len; i > 0; i--) {
        if (name.ptr[i - 1] == '.') {
            return (struct cis_str){name.ptr, i - 1};
        }
    }
    return name;
}

static cis_code stage_module(struct cis_tree *tree, const char *path, const char *entry,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf module = CIS_BUF_INIT(CIS_MODULE_MAX);
    CIS_TRY(cis_file_read(path, &module, err));
    CIS_CLEANUP(cis_close_fd) int fd = -1;
    CIS_TRY(cis_tree_file(tree, cis_str_of(entry), &fd, err));
    return cis_tree_write(tree, fd, module.ptr, module.len, err);
}

static cis_code cannot_stage(const struct cis_package *p, struct cis_error *err)
{
    return cis_fail_sys(err, CIS_E_IO, errno, "%s: cannot make a folder to unpack it",
                        base_name(p->source));
}

/* An archive may hold the skill in one folder of its own ("name-1.0/skill.toml"). */
static cis_code find_root(const struct cis_tree *tree, struct cis_package *p, struct cis_error *err)
{
    const char *top = NULL;
    size_t tops = 0;
    bool here = false;
    cis_map_foreach (&tree->names, e) {
        const char *entry = e->value; /* kind, then the path */
        if (strchr(entry + 1, '/') == NULL) {
            here = here || strcmp(entry + 1, CIS_MANIFEST_FILE) == 0;
            tops++;
            top = entry;
        }
    }
    bool inner = !here && tops == 1 && top[0] == 'd';
    p->folder = cis_strdup(inner ? top + 1 : CONTENT);
    if (p->folder == NULL) {
        return no_memory(p->source, err);
    }
    p->from = fcntl(inner ? tree->root : p->stage.dir, F_DUPFD_CLOEXEC, 3);
    p->root = p->from >= 0 ? openat(p->from, p->folder, FOLDER) : -1;
    return p->root >= 0 ? CIS_OK : cannot_stage(p, err);
}

static cis_code fill(struct cis_package *p, const char *path, bool *out_bare, struct cis_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s", path);
    }
    CIS_CLEANUP(cis_close_fd)
    int root =
        mkdirat(p->stage.dir, CONTENT, 0700) == 0 ? openat(p->stage.dir, CONTENT, FOLDER) : -1;
    if (root < 0) {
        return cannot_stage(p, err);
    }
    CIS_CLEANUP(cis_tree_done) struct cis_tree tree = CIS_TREE_INIT(root, base_name(path));
    if (S_ISDIR(st.st_mode)) {
        CIS_TRY(cis_tree_copy(&tree, path, err));
    } else if (S_ISREG(st.st_mode) && is_archive(path)) {
        CIS_TRY(cis_tree_unpack(&tree, path, err));
    } else if (S_ISREG(st.st_mode) && (ends(path, ".wasm") || ends(path, ".wat"))) {
        *out_bare = true;
        CIS_TRY(stage_module(&tree, path, ends(path, ".wat") ? "skill.wat" : "skill.wasm", err));
    } else {
        return cis_fail(err, CIS_E_USAGE,
                        "%s: not a folder, a .wasm or .wat module, or a .tar, .tar.gz, .tgz or "
                        ".tar.zst archive",
                        path);
    }
    return find_root(&tree, p, err);
}

static cis_code read_manifest(struct cis_package *p, int root, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int fd = -1;
    struct cis_error why = {0};
    cis_code code = cis_tree_open(root, CIS_MANIFEST_FILE, &fd, &why);
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s: %s", base_name(p->source),
                        code == CIS_E_NOTFOUND ? "holds no skill.toml" : why.msg);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_MANIFEST_MAX);
    CIS_TRY(cis_file_read_fd(fd, CIS_MANIFEST_FILE, &text, err));
    return cis_manifest_parse(cis_buf_view(&text), CIS_MANIFEST_FILE, &p->manifest, err);
}

/* ---- checks ---- */

static cis_code check_module(const struct cis_skill_home *home, struct cis_package *p, int root,
                             bool bare, const char *entry, bool *out_component,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int fd = -1;
    struct cis_error why = {0};
    cis_code code = cis_tree_open(root, entry, &fd, &why);
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s: the module %s: %s", base_name(p->source), entry, why.msg);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf module = CIS_BUF_INIT(CIS_MODULE_MAX);
    CIS_TRY(cis_file_read_fd(fd, entry, &module, err));
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256(cis_buf_bytes(&module), digest);
    cis_hex(digest, sizeof digest, p->sha256);
    if (!bare && p->manifest.sha256[0] != 0 && strcmp(p->manifest.sha256, p->sha256) != 0) {
        return cis_fail(err, CIS_E_CHECKSUM,
                        "%s: is not the module that integrity.sha256 names (%.16s…, should be "
                        "%.16s…)",
                        entry, p->sha256, p->manifest.sha256);
    }
    /* Switches for features are the run's; here only what the module is counts. */
    struct cis_engine_module_options options = {.name = entry,
                                                .features =
                                                    CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS,
                                                .stop = {UINT64_MAX, home->stop.cancel},
                                                .compiler = home->compiler,
                                                .compile_memory = home->compile_memory,
                                                .compile_ns = home->compile_ns};
    struct cis_engine_module_info *info = NULL;
    CIS_TRY(cis_engine_module_scan(cis_buf_bytes(&module), &options, &info, err));
    *out_component = info->component;
    cis_engine_module_info_free(info);
    return CIS_OK;
}

static cis_code check_manifest(const struct cis_manifest *m, struct cis_error *err)
{
    if (m->type == CIS_SKILL_NATIVE) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%s: type native: native skills exist only through the C API "
                        "(cis_skills_register_native)",
                        m->name);
    }
    if (m->asks_command) {
        return cis_fail(err, CIS_E_DENIED,
                        "%s: permissions.command is reserved: no skill may start processes",
                        m->name);
    }
    return CIS_OK;
}

void cis_package_signed_bytes(const char *unsigned_json, const struct cis_package_file *files,
                              size_t nfiles, struct cis_buf *out)
{
    cis_buf_printf(out, "cis-skill-v1\nmanifest %zu\n", strlen(unsigned_json));
    cis_buf_text(out, unsigned_json);
    cis_buf_byte(out, '\n');
    for (size_t i = 0; i < nfiles; i++) {
        cis_buf_printf(out, "file %s %llu ", files[i].sha256, (unsigned long long)files[i].size);
        cis_buf_text(out, files[i].path);
        cis_buf_byte(out, '\n');
    }
}

static cis_code check_signature(const struct cis_skill_home *home, struct cis_package *p,
                                struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(64u << 20);
    cis_package_signed_bytes(p->manifest.unsigned_json, p->files, p->nfiles, &bytes);
    CIS_TRY(cis_buf_check(&bytes, p->source, err));
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256(cis_buf_bytes(&bytes), digest);
    cis_hex(digest, sizeof digest, p->digest);
    p->signature = CIS_PACKAGE_UNSIGNED;
    if (!p->manifest.has_signature || home->policy == CIS_SIGNATURE_OFF) {
        return CIS_OK;
    }
    if (!cis_ed25519_verify(p->manifest.key, cis_buf_bytes(&bytes), p->manifest.signature)) {
        return cis_fail(
            err, CIS_E_SIGNATURE,
            "%s: the signature does not match: the manifest or files were changed after signing",
            p->manifest.name);
    }
    cis_hex(p->manifest.key, sizeof p->manifest.key, p->key);
    return cis_package_trust_again(home, p, err);
}

cis_code cis_package_trust_again(const struct cis_skill_home *home, struct cis_package *p,
                                 struct cis_error *err)
{
    if (p->key[0] == 0) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    CIS_TRY(cis_keyring_load(home->config_dir, &ring, err));
    p->signature = cis_keyring_find(&ring, cis_str_of(p->key)) != NULL ? CIS_PACKAGE_TRUSTED
                                                                       : CIS_PACKAGE_UNKNOWN;
    return CIS_OK;
}

static cis_code set_name(struct cis_package *p, struct cis_str name, struct cis_error *err)
{
    if (!cis_skill_name_valid(name)) {
        return cis_fail(err, CIS_E_USAGE,
                        "\"%.*s\" is not a skill's name (small letters, digits, . _ -): give one "
                        "with --name",
                        (int)(name.len > 64 ? 64 : name.len), name.ptr);
    }
    p->name = cis_strndup(name.ptr, name.len);
    return p->name != NULL ? CIS_OK : no_memory(p->source, err);
}

static cis_code check_all(const struct cis_skill_home *home, struct cis_package *p, bool bare,
                          struct cis_str name, struct cis_error *err)
{
    int root = p->root;
    const char *bare_entry = ends(p->source, ".wat") ? "skill.wat" : "skill.wasm";
    if (bare) {
        CIS_TRY(set_name(p, name.ptr != NULL ? name : stem(p->source), err));
    } else {
        CIS_TRY(read_manifest(p, root, err));
        CIS_TRY(check_manifest(&p->manifest, err));
        CIS_TRY(set_name(p, name.ptr != NULL ? name : cis_str_of(p->manifest.name), err));
    }
    bool component = false;
    CIS_TRY(
        check_module(home, p, root, bare, bare ? bare_entry : p->manifest.entry, &component, err));
    if (bare) {
        CIS_TRY(cis_manifest_bare(cis_str_of(p->name), cis_str_of(bare_entry), component,
                                  &p->manifest, err));
    }
    if (component != (p->manifest.type == CIS_SKILL_COMPONENT)) {
        return cis_fail(err, CIS_E_INVALID, "%s: is a %s, but skill.type says %s",
                        p->manifest.entry, component ? "component" : "core module",
                        cis_skill_type_name(p->manifest.type));
    }
    if (p->manifest.nplugs != 0 && !component) {
        return cis_fail(err, CIS_E_INVALID,
                        "%s: compose.plug is for components; %s is a core module", p->manifest.name,
                        p->manifest.entry);
    }
    CIS_TRY(cis_plugs_check(&p->manifest, root, err));
    CIS_TRY(bare ? CIS_OK : cis_skill_guide_check(root, p->manifest.name, err));
    CIS_TRY(cis_skill_resources_check(root, &p->manifest, err));
    CIS_TRY(cis_tree_files(root, base_name(p->source), &p->files, &p->nfiles, &p->bytes, err));
    return check_signature(home, p, err);
}

cis_code cis_package_stage(const struct cis_skill_home *home, struct cis_str tenant,
                           const char *path, struct cis_str name, struct cis_package *out,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_package_done) struct cis_package p = CIS_PACKAGE_INIT;
    char real[PATH_MAX];
    if (realpath(path, real) == NULL) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s", path);
    }
    p.source = cis_strdup(real);
    if (p.source == NULL) {
        return no_memory(path, err);
    }
    CIS_TRY(cis_place_stage(home, tenant, &p.stage, err));
    bool bare = false;
    CIS_TRY(fill(&p, p.source, &bare, err));
    CIS_TRY(check_all(home, &p, bare, name, err));
    *out = p;
    p = CIS_PACKAGE_INIT;
    return CIS_OK;
}
