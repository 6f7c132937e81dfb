/* The keyring's file and the verbs on it; key files are in keyfile.c. */
#include "skill/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/json_write.h"
#include "base/mem.h"

#define RING_FILE "trusted-keys.json"
#define RING_LOCK "trusted-keys.lock"
#define RING_BYTES_MAX (1u << 20)

static void drop_json(json_t **value)
{
    json_decref(*value);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

void cis_keyring_done(struct cis_keyring *ring)
{
    for (size_t i = 0; i < ring->nkeys; i++) {
        cis_free(ring->keys[i].label);
    }
    cis_free(ring->keys);
    *ring = CIS_KEYRING_INIT;
}

static cis_code ring_add(struct cis_keyring *ring, const char *hex, struct cis_str label,
                         int64_t added_ms, struct cis_error *err)
{
    struct cis_key *grown =
        cis_realloc_array(ring->keys, cis_size_add(ring->nkeys, 1), sizeof *grown);
    char *copy = cis_strndup(label.len != 0 ? label.ptr : "", label.len);
    if (grown != NULL) {
        ring->keys = grown;
    }
    if (grown == NULL || copy == NULL) {
        cis_free(copy);
        return cis_fail(err, CIS_E_NOMEM, "keyring: out of memory");
    }
    struct cis_key *key = &grown[ring->nkeys++];
    memcpy(key->hex, hex, 64);
    key->hex[64] = 0;
    key->label = copy;
    key->added_ms = added_ms;
    return CIS_OK;
}

static cis_code ring_read(const json_t *root, const char *path, struct cis_keyring *out,
                          struct cis_error *err)
{
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys) || json_array_size(keys) > CIS_KEYRING_MAX) {
        return cis_fail(err, CIS_E_INVALID, "%s: not a list of at most %d keys", path,
                        CIS_KEYRING_MAX);
    }
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *item = json_array_get(keys, i);
        const char *hex = json_string_value(json_object_get(item, "key"));
        const char *label = json_string_value(json_object_get(item, "name"));
        uint8_t raw[CIS_ED25519_PUBLIC_BYTES];
        if (hex == NULL || !cis_unhex(cis_str_of(hex), raw, sizeof raw)) {
            return cis_fail(err, CIS_E_INVALID, "%s: entry %zu holds no key", path, i + 1);
        }
        char clean[65];
        cis_hex(raw, sizeof raw, clean);
        CIS_TRY(ring_add(out, clean, cis_str_of(label != NULL ? label : ""),
                         json_integer_value(json_object_get(item, "added_ms")), err));
    }
    return CIS_OK;
}

cis_code cis_keyring_load(const char *config_dir, struct cis_keyring *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(config_dir, RING_FILE);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(RING_BYTES_MAX);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "keyring: out of memory");
    }
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    struct cis_error why = {0};
    CIS_TRY(cis_file_is_own(config_dir, err)); /* who writes it decides what is trusted */
    CIS_TRY(cis_file_is_own(path, err));
    cis_code code = cis_file_read(path, &text, &why);
    if (code == CIS_E_NOTFOUND) {
        *out = ring;
        return CIS_OK;
    }
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s", why.msg);
    }
    json_error_t at;
    CIS_CLEANUP(drop_json)
    json_t *root = json_loadb(cis_buf_cstr(&text), text.len, JSON_REJECT_DUPLICATES, &at);
    if (root == NULL) {
        return cis_fail(err, CIS_E_INVALID, "%s:%d: %s", path, at.line, at.text);
    }
    CIS_TRY(ring_read(root, path, &ring, err));
    *out = ring;
    ring = CIS_KEYRING_INIT;
    return CIS_OK;
}

static cis_code ring_save(const char *config_dir, const struct cis_keyring *ring,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(RING_BYTES_MAX);
    cis_json_write(&text, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u), CIS_J_LIST("keys")));
    for (size_t i = 0; i < ring->nkeys; i++) {
        cis_buf_text(&text, i > 0 ? ",\n" : "\n");
        cis_json_object(&text, CIS_JSON(CIS_J("key", ring->keys[i].hex),
                                        CIS_J("name", ring->keys[i].label),
                                        CIS_J("added_ms", ring->keys[i].added_ms)));
    }
    cis_buf_text(&text, "\n]}\n");
    CIS_TRY(cis_buf_check(&text, "keyring", err));
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(config_dir, RING_FILE);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "keyring: out of memory");
    }
    return cis_file_write(path, cis_buf_bytes(&text), 0600, err);
}

/* Two changes at once must not lose one of them. */
static cis_code ring_lock(const char *config_dir, int *out_fd, struct cis_error *err)
{
    CIS_TRY(cis_file_mkdirs(config_dir, 0700, err));
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(config_dir, RING_LOCK);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "keyring: out of memory");
    }
    CIS_CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd;
    while (rc >= 0 && (rc = flock(fd, LOCK_EX)) < 0 && errno == EINTR) {
        rc = fd;
    }
    if (rc < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", path);
    }
    *out_fd = fd;
    fd = -1;
    return CIS_OK;
}

const struct cis_key *cis_keyring_find(const struct cis_keyring *ring, struct cis_str hex)
{
    for (size_t i = 0; i < ring->nkeys; i++) {
        if (cis_str_is(hex, ring->keys[i].hex)) {
            return &ring->keys[i];
        }
    }
    return NULL;
}

static bool label_ok(struct cis_str label)
{
    if (label.len > CIS_KEY_LABEL_MAX || !cis_utf8_valid(label.ptr, label.len)) {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        if ((unsigned char)label.ptr[i] < 0x20 || label.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

cis_code cis_keyring_trust(const char *config_dir, const uint8_t key[CIS_ED25519_PUBLIC_BYTES],
                           struct cis_str label, struct cis_error *err)
{
    if (!label_ok(label)) {
        return cis_fail(err, CIS_E_USAGE, "a key's name is one line of at most %u bytes",
                        CIS_KEY_LABEL_MAX);
    }
    CIS_CLEANUP(close_fd) int lock = -1;
    CIS_TRY(ring_lock(config_dir, &lock, err));
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    CIS_TRY(cis_keyring_load(config_dir, &ring, err));
    char hex[65];
    cis_hex(key, CIS_ED25519_PUBLIC_BYTES, hex);
    const struct cis_key *known = cis_keyring_find(&ring, cis_str_of(hex));
    if (known != NULL) {
        if (label.len == 0 || cis_str_is(label, known->label)) {
            return CIS_OK;
        }
        struct cis_key *mine = &ring.keys[known - ring.keys];
        char *copy = cis_strndup(label.ptr, label.len);
        if (copy == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "keyring: out of memory");
        }
        cis_free(mine->label);
        mine->label = copy;
        return ring_save(config_dir, &ring, err);
    }
    if (ring.nkeys == CIS_KEYRING_MAX) {
        return cis_fail(
            err, CIS_E_LIMIT,
            "keyring: has %d keys already, which is the maximum (cis skill untrust removes one)",
            CIS_KEYRING_MAX);
    }
    CIS_TRY(ring_add(&ring, hex, label, cis_clock_wall_ms(), err));
    return ring_save(config_dir, &ring, err);
}

cis_code cis_keyring_untrust(const char *config_dir, struct cis_str hex_or_label,
                             struct cis_error *err)
{
    CIS_CLEANUP(close_fd) int lock = -1;
    CIS_TRY(ring_lock(config_dir, &lock, err));
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    CIS_TRY(cis_keyring_load(config_dir, &ring, err));
    size_t found = 0, at = 0;
    for (size_t i = 0; i < ring.nkeys; i++) {
        if (cis_str_is(hex_or_label, ring.keys[i].hex)) {
            at = i;
            found = 1;
            break; /* a key wins over another key's label */
        }
        if (hex_or_label.len != 0 && cis_str_is(hex_or_label, ring.keys[i].label)) {
            at = i;
            found++;
        }
    }
    if (found != 1) {
        return cis_fail(err, found == 0 ? CIS_E_NOTFOUND : CIS_E_USAGE, "%.*s: %s",
                        (int)(hex_or_label.len > 70 ? 70 : hex_or_label.len), hex_or_label.ptr,
                        found == 0 ? "no trusted key has this value or name"
                                   : "names more than one trusted key, give the key itself");
    }
    cis_free(ring.keys[at].label);
    memmove(&ring.keys[at], &ring.keys[at + 1], (ring.nkeys - at - 1) * sizeof ring.keys[0]);
    ring.nkeys--;
    return ring_save(config_dir, &ring, err);
}
