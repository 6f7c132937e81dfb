#include "base/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"

#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG crypto_aead_xchacha20poly1305_ietf_ABYTES
#define TEXT sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(CIS_KEY_FILE_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* ---- key files ---- */

/* link() lets exactly one of many processes win, and nobody ever sees half a key. */
static cis_code make(const char *path, const char *what, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_strdup(path);
    char *slash = dir != NULL ? strrchr(dir, '/') : NULL;
    if (slash != NULL && slash != dir) {
        *slash = 0;
        CIS_TRY(cis_file_mkdirs(dir, 0700, err));
    }
    uint8_t key[CIS_KEY_FILE_BYTES], rnd[8];
    char hex[17];
    cis_random_bytes(key, sizeof key);
    cis_random_bytes(rnd, sizeof rnd);
    cis_hex(rnd, sizeof rnd, hex);
    char temp[4096];
    if ((size_t)snprintf(temp, sizeof temp, "%s.%s", path, hex) >= sizeof temp) {
        return cis_fail(err, CIS_E_USAGE, "%s: path too long", path);
    }
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int sys = fd < 0 ? errno : cis_fd_write_all(fd, key, sizeof key);
    cis_wipe(key, sizeof key);
    if (fd >= 0) {
        sys = sys == 0 && fsync(fd) != 0 ? errno : sys;
        close(fd);
        sys = sys == 0 && link(temp, path) != 0 && errno != EEXIST ? errno : sys;
        unlink(temp);
    }
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, sys, "%s: the %s", path, what);
}

cis_code cis_key_file(const char *path, const char *what, uint8_t out[CIS_KEY_FILE_BYTES],
                      struct cis_error *err)
{
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    CIS_CLEANUP(close_fd) int fd = open(path, flags);
    if (fd < 0 && errno == ENOENT) {
        CIS_TRY(make(path, what, err));
        fd = open(path, flags);
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return cis_fail_sys(err, errno == ELOOP ? CIS_E_DENIED : CIS_E_IO, errno, "%s: the %s",
                            path, what);
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        return cis_fail(err, CIS_E_DENIED, "%s: the %s must be a file of this user with mode 0600",
                        path, what);
    }
    uint8_t extra[CIS_KEY_FILE_BYTES + 1];
    ssize_t n = read(fd, extra, sizeof extra);
    if (n != CIS_KEY_FILE_BYTES) {
        return cis_fail(err, CIS_E_DENIED, "%s: the %s is damaged; remove the file", path, what);
    }
    memcpy(out, extra, CIS_KEY_FILE_BYTES);
    cis_wipe(extra, sizeof extra);
    return CIS_OK;
}

/* ---- sealed texts ---- */

cis_code cis_seal(const uint8_t key[CIS_KEY_FILE_BYTES], struct cis_bytes beside,
                  struct cis_bytes data, struct cis_buf *out, struct cis_error *err)
{
    if (data.len > CIS_SEAL_MAX / 2) {
        return cis_fail(err, CIS_E_LIMIT, "seal: more than %zu bytes", CIS_SEAL_MAX / 2);
    }
    size_t sealed = cis_size_add(data.len, NONCE + TAG),
           text = sodium_base64_encoded_len(sealed, TEXT);
    CIS_CLEANUP(cis_freep) uint8_t *box = cis_alloc(cis_size_add(data.len, NONCE + TAG));
    uint8_t *room = cis_buf_reserve(out, text);
    if (box == NULL || room == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "seal: out of memory");
    }
    cis_random_bytes(box, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(box + NONCE, NULL, data.ptr, data.len, beside.ptr,
                                               beside.len, NULL, box, key);
    sodium_bin2base64((char *)room, text, box, sealed, TEXT);
    out->len += text - 1; /* without its NUL */
    return CIS_OK;
}

cis_code cis_unseal(const uint8_t key[CIS_KEY_FILE_BYTES], struct cis_bytes beside,
                    struct cis_str text, struct cis_buf *out, struct cis_error *err)
{
    size_t n = 0;
    if (text.len > CIS_SEAL_MAX) {
        return cis_fail(err, CIS_E_DENIED, "longer than anything that was sealed here");
    }
    CIS_CLEANUP(cis_freep) uint8_t *box = cis_alloc(cis_size_add(text.len, 1));
    if (box == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "seal: out of memory");
    }
    bool read = sodium_base642bin(box, text.len + 1, text.ptr != NULL ? text.ptr : "", text.len,
                                  NULL, &n, NULL, TEXT) == 0 &&
                n >= NONCE + TAG;
    uint8_t *room = read ? cis_buf_reserve(out, n) : NULL;
    if (read && room == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "seal: out of memory");
    }
    unsigned long long len = 0;
    if (!read ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(room, &len, NULL, box + NONCE, n - NONCE,
                                                   beside.ptr, beside.len, box, key) != 0) {
        return cis_fail(err, CIS_E_DENIED, "not sealed here, for something else, or changed");
    }
    out->len += (size_t)len;
    return CIS_OK;
}
