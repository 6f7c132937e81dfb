/* What the program says: output with its failures, foreign text made safe for a terminal, errors.
 */
#include "cli/front.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int out_errno; /* first failure of stdout, told once at the end of main */

void cis_cli_out(const void *ptr, size_t len)
{
    if (len == 0) { /* an empty buffer has no memory at all */
        return;
    }
    if (atomic_load(&out_errno) == 0 && fwrite(ptr, 1, len, stdout) != len) {
        atomic_store(&out_errno, errno != 0 ? errno : EIO);
    }
}

void cis_cli_printf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (atomic_load(&out_errno) == 0 && vprintf(fmt, args) < 0) {
        atomic_store(&out_errno, errno != 0 ? errno : EIO);
    }
    va_end(args);
}

/* C0, DEL and C1 (U+0080–U+009F) could steer the terminal; U+2028–U+202E and U+2066–U+2069 make a
 * line read as two or in another order. */
static bool steers(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n == 1) {
        return (u[0] < 0x20 && u[0] != '\n' && u[0] != '\t') || u[0] == 0x7f;
    }
    if (n == 2) {
        return u[0] == 0xC2 && u[1] < 0xA0;
    }
    return n == 3 && u[0] == 0xE2 &&
           ((u[1] == 0x80 && u[2] >= 0xA8 && u[2] <= 0xAE) ||
            (u[1] == 0x81 && u[2] >= 0xA6 && u[2] <= 0xA9));
}

void cis_cli_printable(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t n = 1;
        while (c >= 0x80 && n < 4 && i + n < text.len &&
               ((unsigned char)text.ptr[i + n] & 0xC0) == 0x80) {
            n++;
        }
        if (steers(text.ptr + i, n)) {
            cis_buf_byte(out, '?');
        } else if (cis_utf8_valid(text.ptr + i, n)) {
            cis_buf_add(out, text.ptr + i, n);
        } else {
            cis_buf_text(out, "\xEF\xBF\xBD");
            n = 1;
        }
        i += n;
    }
}

void cis_cli_printable_line(struct cis_buf *out, struct cis_str text)
{
    struct cis_str part;
    for (bool more = true; more;) {
        more = cis_str_split(&text, '\n', &part);
        cis_cli_printable(out, part);
        if (more) {
            cis_buf_byte(out, ' ');
        }
    }
}

void cis_cli_foreign(const void *ptr, size_t len)
{
    if (!isatty(STDOUT_FILENO)) {
        cis_cli_out(ptr, len);
        return;
    }
    /* In pieces, each ending between characters: a value may have 256 MiB. */
    struct cis_str rest = {ptr, len};
    while (rest.len != 0) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf safe = CIS_BUF_INIT(1u << 20);
        size_t n = cis_utf8_floor(rest.ptr, rest.len, 65536);
        n = n != 0 ? n : rest.len < 65536 ? rest.len : 65536;
        cis_cli_printable(&safe, (struct cis_str){rest.ptr, n});
        cis_cli_out(safe.ptr, safe.len);
        rest = (struct cis_str){rest.ptr + n, rest.len - n};
    }
}

/* One line on stderr; with --json the same as an object on stdout. `command` may be NULL. */
int cis_cli_tell(const struct cis_cli_command *command, bool json, cis_code code, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    cis_cli_printable_line(&line, cis_str_of(text));
    fprintf(stderr, "cis%s%s: %s\n", command != NULL ? " " : "",
            command != NULL ? command->name : "", cis_buf_cstr(&line));
    if (json) {
        cis_buf_reset(&line);
        cis_buf_printf(
            &line, "{\"schema\":1,\"error\":{\"code\":\"%s\",\"message\":", cis_code_name(code));
        cis_buf_json(&line, cis_str_of(text));
        cis_buf_text(&line, "}}\n");
        cis_cli_out(line.ptr, line.len);
    }
    return cis_code_skill_exit(code);
}

int cis_cli_fail(const struct cis_cli *cli, const struct cis_error *err)
{
    return cis_cli_tell(cli->command, cli->json, err->code, err->msg);
}

static void usage_line(FILE *to, const struct cis_cli_command *command)
{
    fprintf(to, "usage: cis %s%s%s%s\n", command->name,
            command->options != NULL ? " [options]" : "", command->args != NULL ? " " : "",
            command->args != NULL ? command->args : "");
}

int cis_cli_usage(const struct cis_cli *cli, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    int code = cis_cli_tell(cli->command, cli->json, CIS_E_USAGE, text);
    usage_line(stderr, cli->command);
    return code;
}

int cis_cli_finish(int code)
{
    if (atomic_load(&out_errno) == 0 && fflush(stdout) != 0) {
        atomic_store(&out_errno, errno);
    }
    int sys = atomic_load(&out_errno);
    if (sys != 0 && sys != EPIPE) {
        fprintf(stderr, "cis: stdout: %s\n", strerror(sys));
        return code == 0 ? cis_code_skill_exit(CIS_E_IO) : code;
    }
    return code;
}
