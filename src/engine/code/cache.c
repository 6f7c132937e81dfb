/* The on-disk cache of compiled code. It is native code, so a file only counts when its keyed
 * digest covers what it is (module, profile, engine version, CPU features, lengths) and every byte
 * of it, and when nobody else could have written there. A file is read once into private memory;
 * what was verified is what is loaded (artefact.c). */
#include "engine/code/code.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/seal.h"
#include "engine/code/cache_dir.h"

#define ENTRY_MAGIC "CISCODE3"

struct entry_head { /* followed by the scan's JSON and the artefact */
    char magic[8];
    uint8_t mac[CIS_MAC_BYTES];
    uint8_t nonce[CIS_ARTEFACT_NONCE];
    uint64_t json_len, code_len;
};
_Static_assert(sizeof(struct entry_head) == 88, "layout of a cache file");

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* ---- key file and folder ---- */

static cis_code key_outside(const char *dir, const char *key, struct cis_error *err)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') {
        n--;
    }
    if (strncmp(dir, key, n) == 0 && key[n] == '/') {
        return cis_fail(err, CIS_E_USAGE, "%s: the cache's key must lie outside the cache %s", key,
                        dir);
    }
    return CIS_OK;
}

cis_code cis_cache_open(struct cis_cache *cache, const struct cis_engine_options *options,
                        struct cis_error *err)
{
    cache->fd = -1;
    if (options->cache_dir == NULL) {
        return CIS_OK;
    }
    if (options->cache_key == NULL) {
        return cis_fail(err, CIS_E_USAGE, "%s: a cache needs a key file", options->cache_dir);
    }
    CIS_TRY(key_outside(options->cache_dir, options->cache_key, err));
    int fd = -1;
    struct cis_error why = {0};
    cis_code code = cis_cache_dir_open(options->cache_dir, true, &fd, &why);
    code =
        code == CIS_OK ? cis_key_file(options->cache_key, "cache's key", cache->key, &why) : code;
    if (code == CIS_OK && (cache->path = cis_strdup(options->cache_dir)) == NULL) {
        code = cis_fail(&why, CIS_E_NOMEM, "cache: out of memory");
    }
    if (code != CIS_OK) {
        close_fd(&fd);
        /* A home that cannot be written costs time; one that others can write costs the host. */
        if (code == CIS_E_IO) {
            return CIS_OK;
        }
        if (err != NULL) {
            *err = why;
        }
        return code;
    }
    cache->fd = fd;
    cache->max_bytes = options->cache_max_bytes;
    return CIS_OK;
}

void cis_cache_close(struct cis_cache *cache)
{
    close_fd(&cache->fd);
    cache->fd = -1;
    cis_free(cache->path);
    cache->path = NULL;
    cis_wipe(cache->key, sizeof cache->key);
}

/* ---- entries ---- */

static void entry_name(const struct cis_cache_key *key, char out[CIS_CACHE_NAME])
{
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_hex(key->sha256, sizeof key->sha256, hex);
    snprintf(out, CIS_CACHE_NAME, "%s-%016llx-%x%u", hex, (unsigned long long)key->fingerprint,
             key->features & 15u, key->fuel ? 1u : 0u);
}

/* digest: cis_artefact_digest of the code under head->nonce. */
static void entry_mac(const struct cis_cache *cache, const struct cis_cache_key *key,
                      const struct entry_head *head, struct cis_str json,
                      const uint8_t digest[CIS_MAC_BYTES], uint8_t out[CIS_MAC_BYTES])
{
    static const char version[] = "cis code cache 2, Wasmtime " WASMTIME_VERSION;
    uint64_t profile[5] = {key->features, key->fuel, key->fingerprint, head->json_len,
                           head->code_len};
    const struct cis_bytes parts[] = {
        {(const uint8_t *)version, sizeof version}, {key->sha256, sizeof key->sha256},
        {(const uint8_t *)profile, sizeof profile}, {head->nonce, sizeof head->nonce},
        {(const uint8_t *)json.ptr, json.len},      {digest, CIS_MAC_BYTES}};
    cis_mac(cache->key, parts, sizeof parts / sizeof *parts, out);
}

static bool read_exactly(int fd, void *to, size_t n)
{
    uint8_t *at = to;
    while (n != 0) {
        ssize_t got = read(fd, at, n);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            return false;
        }
        at += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Lengths in the file are believed when they add up to its own, and bounded before that. */
static bool entry_read(const struct cis_cache *cache, const struct cis_cache_key *key, int fd,
                       uint64_t size, struct cis_buf *json, struct cis_artefact *code)
{
    struct entry_head head;
    if (size < sizeof head || !read_exactly(fd, &head, sizeof head) ||
        memcmp(head.magic, ENTRY_MAGIC, sizeof head.magic) != 0 || head.json_len > json->max ||
        head.code_len > CIS_ARTEFACT_MAX || head.json_len + head.code_len != size - sizeof head) {
        return false;
    }
    uint8_t *to = cis_buf_reserve(json, (size_t)head.json_len);
    uint8_t digest[CIS_MAC_BYTES], mac[CIS_MAC_BYTES];
    if (to == NULL || !read_exactly(fd, to, (size_t)head.json_len)) {
        return false;
    }
    json->len += (size_t)head.json_len;
    if (!cis_artefact_read(cache->key, head.nonce, fd, sizeof head + head.json_len,
                           (size_t)head.code_len, code, digest)) {
        return false;
    }
    entry_mac(cache, key, &head, cis_buf_view(json), digest, mac);
    if (!cis_mac_eq(mac, head.mac)) {
        cis_artefact_done(code);
        return false;
    }
    return true;
}

bool cis_cache_file_trusted(int fd, struct stat *out)
{
    return fstat(fd, out) == 0 && S_ISREG(out->st_mode) && out->st_uid == geteuid() &&
           (out->st_mode & 022) == 0;
}

enum cis_cache_found cis_cache_get(struct cis_cache *cache, const struct cis_cache_key *key,
                                   struct cis_buf *out_json, struct cis_artefact *out_code)
{
    if (cache->fd < 0) {
        return CIS_CACHE_MISS;
    }
    char name[CIS_CACHE_NAME];
    entry_name(key, name);
    CIS_CLEANUP(close_fd)
    int fd = openat(cache->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno != ELOOP) {
        return CIS_CACHE_MISS;
    }
    struct stat st;
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(CIS_MODULE_MAX);
    if (fd < 0 || !cis_cache_file_trusted(fd, &st) ||
        !entry_read(cache, key, fd, (uint64_t)st.st_size, &json, out_code)) {
        unlinkat(cache->fd, name, 0);
        return CIS_CACHE_BAD;
    }
    futimens(fd, NULL); /* the clock of the LRU */
    *out_json = json;
    json = CIS_BUF_INIT(0);
    return CIS_CACHE_HIT;
}

/* No fsync: after a crash a torn file fails its digest and is made again. */
bool cis_cache_file_write(struct cis_cache *cache, const char *name, const struct cis_bytes *parts,
                          size_t n)
{
    char temp[sizeof CIS_CACHE_TEMP + 32];
    uint8_t rnd[16];
    cis_random_bytes(rnd, sizeof rnd);
    memcpy(temp, CIS_CACHE_TEMP, sizeof CIS_CACHE_TEMP);
    cis_hex(rnd, sizeof rnd, temp + sizeof CIS_CACHE_TEMP - 1);
    int fd = openat(cache->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0;
    for (size_t i = 0; i < n && written; i++) {
        written = cis_fd_write_all(fd, parts[i].ptr, parts[i].len) == 0;
    }
    close_fd(&fd);
    if (!written || renameat(cache->fd, temp, cache->fd, name) != 0) {
        unlinkat(cache->fd, temp, 0);
        return false;
    }
    return true;
}

void cis_cache_put(struct cis_cache *cache, const struct cis_cache_key *key, struct cis_str json,
                   struct cis_bytes code)
{
    if (cache->fd < 0 || json.len + code.len + sizeof(struct entry_head) > cache->max_bytes) {
        return;
    }
    struct entry_head head = {.magic = ENTRY_MAGIC, .json_len = json.len, .code_len = code.len};
    uint8_t digest[CIS_MAC_BYTES];
    cis_random_bytes(head.nonce, sizeof head.nonce);
    if (!cis_artefact_digest(cache->key, head.nonce, code, digest)) {
        return;
    }
    entry_mac(cache, key, &head, json, digest, head.mac);
    char name[CIS_CACHE_NAME];
    entry_name(key, name);
    const struct cis_bytes parts[] = {
        {(const uint8_t *)&head, sizeof head}, {(const uint8_t *)json.ptr, json.len}, code};
    if (cis_cache_file_write(cache, name, parts, sizeof parts / sizeof *parts)) {
        cis_cache_dir_prune(cache->fd, cache->max_bytes, NULL);
    }
}

void cis_cache_drop(struct cis_cache *cache, const struct cis_cache_key *key)
{
    char name[CIS_CACHE_NAME];
    if (cache->fd >= 0) {
        entry_name(key, name);
        unlinkat(cache->fd, name, 0);
    }
}
