/* The token of `cis mcp --http`: whoever knows it may call. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/mcp/place.h"

#define TOKEN_MIN 16u
#define TOKEN_MAX 512u

static void make(struct cis_buf *out)
{
    uint8_t random[32];
    char text[2 * sizeof random + 1];
    cis_random_bytes(random, sizeof random);
    cis_hex(random, sizeof random, text);
    cis_buf_text(out, text);
    cis_wipe(random, sizeof random);
    cis_wipe(text, sizeof text);
}

/* RFC 6750: what can be sent as it is. */
static cis_code check(const char *path, struct cis_str token, struct cis_error *err)
{
    static const char good[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";
    bool fits = token.len >= TOKEN_MIN && token.len <= TOKEN_MAX;
    for (size_t i = 0; fits && i < token.len; i++) {
        fits = token.ptr[i] != 0 && strchr(good, token.ptr[i]) != NULL;
    }
    return fits ? CIS_OK
                : cis_fail(err, CIS_E_INVALID,
                           "--token-file %.200s: not a token (%u to %u letters, digits, or of "
                           "-._~+/=, on one line)",
                           path, TOKEN_MIN, TOKEN_MAX);
}

/* Opened once: what is checked is what is read. */
static cis_code read_token(int fd, const char *path, struct cis_buf *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(TOKEN_MAX + 2);
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "--token-file %.200s: must be a file of yours that nobody else can read "
                        "(chmod 600)",
                        path);
    }
    cis_code code = cis_file_read_fd(fd, path, &text, err);
    struct cis_str token = cis_str_trim(cis_buf_view(&text));
    code = code == CIS_OK ? check(path, token, err) : code;
    if (code == CIS_OK) {
        cis_buf_str(out, token);
    }
    if (text.ptr != NULL) {
        cis_wipe(text.ptr, text.len);
    }
    return code;
}

static cis_code write_token(const char *path, struct cis_buf *out, struct cis_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "--token-file %.200s", path);
    }
    make(out);
    int sys = cis_fd_write_all(fd, out->ptr, out->len);
    sys = sys == 0 ? cis_fd_write_all(fd, "\n", 1) : sys;
    if (close(fd) != 0 && sys == 0) {
        sys = errno;
    }
    if (sys != 0) {
        unlink(path);
        return cis_fail_sys(err, CIS_E_IO, sys, "--token-file %.200s", path);
    }
    return CIS_OK;
}

cis_code cis_cli_mcp_token(const char *path, struct cis_buf *out, struct cis_error *err)
{
    if (path == NULL) {
        make(out);
        return cis_buf_check(out, "token", err);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        CIS_TRY(write_token(path, out, err));
        return cis_buf_check(out, "token", err);
    }
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "--token-file %.200s", path);
    }
    cis_code code = read_token(fd, path, out, err);
    close(fd);
    CIS_TRY(code);
    return cis_buf_check(out, "token", err);
}
