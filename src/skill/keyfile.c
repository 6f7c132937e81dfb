/* Key files: one line, "cis-ed25519-public HEX" or "cis-ed25519-secret HEX". */
#include "skill/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"

#define PUBLIC_WORD "cis-ed25519-public"
#define SECRET_WORD "cis-ed25519-secret"

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static bool parse_line(struct cis_str text, const char *word, uint8_t *out, size_t len)
{
    struct cis_str rest = cis_str_trim(text), head;
    return cis_str_split(&rest, ' ', &head) && cis_str_is(head, word) &&
           cis_unhex(cis_str_trim(rest), out, len);
}

cis_code cis_key_read_public(const char *hex_or_path, uint8_t out[CIS_ED25519_PUBLIC_BYTES],
                             struct cis_error *err)
{
    uint8_t key[CIS_ED25519_PUBLIC_BYTES];
    if (!cis_unhex(cis_str_of(hex_or_path), key, sizeof key)) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
        cis_code code = cis_file_read(hex_or_path, &text, err);
        if (code == CIS_E_NOTFOUND) {
            return cis_fail(err, code, "%.100s: neither 64 hexadecimal digits nor a file",
                            hex_or_path);
        }
        CIS_TRY(code);
        if (!parse_line(cis_buf_view(&text), PUBLIC_WORD, key, sizeof key)) {
            return cis_fail(err, CIS_E_INVALID, "%.100s: not a public key file", hex_or_path);
        }
    }
    memcpy(out, key, sizeof key);
    return CIS_OK;
}

cis_code cis_key_read_secret(const char *path, uint8_t out[CIS_ED25519_SECRET_BYTES],
                             struct cis_error *err)
{
    CIS_CLEANUP(close_fd)
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not keep us */
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%.100s",
                            path);
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "%.100s: a secret key is a file that only its owner may read (chmod 600)",
                        path);
    }
    struct cis_buf text = CIS_BUF_INIT(4096);
    uint8_t key[CIS_ED25519_SECRET_BYTES];
    cis_code code = cis_file_read_fd(fd, path, &text, err);
    if (code == CIS_OK && !parse_line(cis_buf_view(&text), SECRET_WORD, key, sizeof key)) {
        code = cis_fail(err, CIS_E_INVALID, "%.100s: not a secret key file", path);
    }
    if (code == CIS_OK) {
        memcpy(out, key, sizeof key);
    }
    cis_wipe(key, sizeof key);
    if (text.ptr != NULL) {
        cis_wipe(text.ptr, text.len);
    }
    cis_buf_done(&text);
    return code;
}

/* A file that could not be written whole does not stay: a part of a secret key is a secret, and the
 * next attempt would be told that the file exists. */
static cis_code write_new(const char *path, const char *word, const uint8_t *key, size_t len,
                          unsigned mode, struct cis_error *err)
{
    char line[256], hex[2 * CIS_ED25519_SECRET_BYTES + 1];
    cis_hex(key, len, hex);
    int n = snprintf(line, sizeof line, "%s %s\n", word, hex);
    CIS_CLEANUP(close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int sys = fd < 0 ? errno : cis_fd_write_all(fd, line, (size_t)n);
    if (sys == 0 && fsync(fd) != 0) {
        sys = errno;
    }
    if (sys != 0 && fd >= 0) { /* made by O_EXCL just now, so it is ours */
        unlink(path);
    }
    cis_wipe(line, sizeof line);
    cis_wipe(hex, sizeof hex);
    return sys == 0 ? CIS_OK
                    : cis_fail_sys(err, sys == EEXIST ? CIS_E_EXISTS : CIS_E_IO, sys, "%s", path);
}

cis_code cis_key_generate(const char *path, uint8_t out_public[CIS_ED25519_PUBLIC_BYTES],
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf pub_path = CIS_BUF_INIT(65536);
    cis_buf_printf(&pub_path, "%s.pub", path);
    CIS_TRY(cis_buf_check(&pub_path, "key file", err));
    uint8_t pub[CIS_ED25519_PUBLIC_BYTES], secret[CIS_ED25519_SECRET_BYTES];
    cis_ed25519_keypair(pub, secret);
    cis_code code = write_new(path, SECRET_WORD, secret, sizeof secret, 0600, err);
    cis_wipe(secret, sizeof secret);
    CIS_TRY(code);
    code = write_new(cis_buf_cstr(&pub_path), PUBLIC_WORD, pub, sizeof pub, 0644, err);
    if (code != CIS_OK) {
        unlink(path); /* we made it: no half pair stays */
        return code;
    }
    memcpy(out_public, pub, sizeof pub);
    return CIS_OK;
}
