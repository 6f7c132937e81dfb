/* Signing a skill's folder: its skill.toml gets sha256, key and signature under [integrity] and the
 * hashes of its plugs (sign_plugs.c); nothing else of the text changes. */
#include "skill/sign.h"

#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "skill/tree.h"

/* Is this line `key = …` with one of the keys we write? */
static bool our_key(struct cis_str line)
{
    static const char *const keys[] = {"sha256", "key", "signature"};
    struct cis_str rest = cis_str_trim(line), name;
    if (!cis_str_split(&rest, '=', &name)) {
        return false;
    }
    name = cis_str_trim(name);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (cis_str_is(name, keys[i])) {
            return true;
        }
    }
    return false;
}

bool cis_sign_is_header(struct cis_str line, const char *name)
{
    struct cis_str text = cis_str_trim(line), head;
    struct cis_str rest = text;
    if (cis_str_split(&rest, '#', &head)) {
        text = cis_str_trim(head);
    }
    if (text.len < 2 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']') {
        return false;
    }
    return name == NULL ||
           cis_str_is(cis_str_trim((struct cis_str){text.ptr + 1, text.len - 2}), name);
}

/* The text with the three lines in place of those that were there. Line by line: what a multi-line
 * string could hide from this is found by reading the result again. */
static void rewrite(struct cis_str toml, const char *lines, struct cis_buf *out)
{
    struct cis_str rest = toml, line;
    bool inside = false, done = false;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '\n', &line);
        if (cis_sign_is_header(line, NULL)) {
            inside = cis_sign_is_header(line, "integrity");
        } else if (inside && our_key(line)) {
            continue;
        }
        cis_buf_str(out, line);
        if (more) {
            cis_buf_byte(out, '\n');
        }
        if (inside && !done && cis_sign_is_header(line, "integrity")) {
            cis_buf_text(out, more ? "" : "\n");
            cis_buf_text(out, lines);
            done = true;
        }
    }
    if (!done) {
        bool ended = out->len == 0 || out->ptr[out->len - 1] == '\n';
        cis_buf_printf(out, "%s\n[integrity]\n%s", ended ? "" : "\n", lines);
    }
}

static cis_code module_sha(const char *entry, const struct cis_package_file *files, size_t n,
                           const char **out, struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(files[i].path, entry) == 0) {
            *out = files[i].sha256;
            return CIS_OK;
        }
    }
    return cis_fail(err, CIS_E_NOTFOUND, "%s: the module is not there: build it first", entry);
}

static cis_code sign_text(struct cis_str toml, const struct cis_package_file *files, size_t n,
                          const char *sha256, const uint8_t secret[CIS_ED25519_SECRET_BYTES],
                          struct cis_buf *out, struct cis_error *err)
{
    char key[65], signature[129];
    /* libsodium keeps the public key in the second half of the secret one. */
    cis_hex(secret + 32, CIS_ED25519_PUBLIC_BYTES, key);
    uint8_t sig[CIS_ED25519_SIG_BYTES] = {0};
    for (int round = 0; round < 2; round++) { /* first with the key, then with the signature */
        CIS_CLEANUP(cis_buf_done) struct cis_buf lines = CIS_BUF_INIT(4096);
        cis_buf_printf(&lines, "sha256 = \"%s\"\nkey = \"%s\"\n", sha256, key);
        if (round == 1) {
            cis_hex(sig, sizeof sig, signature);
            cis_buf_printf(&lines, "signature = \"%s\"\n", signature);
        }
        cis_buf_reset(out);
        rewrite(toml, cis_buf_cstr(&lines), out);
        CIS_TRY(cis_buf_check(out, CIS_MANIFEST_FILE, err));
        CIS_CLEANUP(cis_manifest_done) struct cis_manifest m = CIS_MANIFEST_INIT;
        CIS_TRY(cis_manifest_parse(cis_buf_view(out), CIS_MANIFEST_FILE, &m, err));
        CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(64u << 20);
        cis_package_signed_bytes(m.unsigned_json, files, n, &bytes);
        CIS_TRY(cis_buf_check(&bytes, CIS_MANIFEST_FILE, err));
        if (round == 0) {
            cis_ed25519_sign(secret, cis_buf_bytes(&bytes), sig);
        } else if (!m.has_signature || strcmp(m.sha256, sha256) != 0 ||
                   !cis_ed25519_verify(m.key, cis_buf_bytes(&bytes), m.signature)) {
            return cis_fail(err, CIS_E_INVALID,
                            "%s: cannot add the signature: write [integrity] as a table of its own",
                            CIS_MANIFEST_FILE);
        }
    }
    return CIS_OK;
}

cis_code cis_package_sign(const char *dir, const uint8_t secret[CIS_ED25519_SECRET_BYTES],
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int root = -1;
    CIS_TRY(cis_tree_open_root(dir, &root, err));
    CIS_CLEANUP(cis_close_fd) int fd = -1;
    CIS_TRY(cis_tree_open(root, CIS_MANIFEST_FILE, &fd, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf toml = CIS_BUF_INIT(CIS_MANIFEST_MAX);
    CIS_TRY(cis_file_read_fd(fd, CIS_MANIFEST_FILE, &toml, err));
    CIS_CLEANUP(cis_manifest_done) struct cis_manifest m = CIS_MANIFEST_INIT;
    CIS_TRY(cis_manifest_parse(cis_buf_view(&toml), CIS_MANIFEST_FILE, &m, err));
    struct cis_package_file *files = NULL;
    size_t n = 0;
    uint64_t bytes = 0;
    CIS_TRY(cis_tree_files(root, dir, &files, &n, &bytes, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf pinned = CIS_BUF_INIT(CIS_MANIFEST_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(CIS_MANIFEST_MAX);
    const char *sha256 = NULL;
    cis_code code = module_sha(m.entry, files, n, &sha256, err);
    if (code == CIS_OK) {
        code = cis_sign_plugs(cis_buf_view(&toml), &m, files, n, &pinned, err);
    }
    if (code == CIS_OK) {
        code = sign_text(cis_buf_view(&pinned), files, n, sha256, secret, &out, err);
    }
    cis_package_files_free(files, n);
    CIS_TRY(code);
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, CIS_MANIFEST_FILE);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", dir);
    }
    return cis_file_write(path, cis_buf_bytes(&out), 0644, err);
}
