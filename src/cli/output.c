/* What the program says: output with its failures, foreign text made safe for a terminal, errors.
 */
#include "cli/front.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>
#include "base/file.h"

#define PRINTED_MAX (16u << 20)

static atomic_int out_errno; /* first failure of stdout, told once at the end of main */

/* How stdout is written; by the one thread that runs the command. */
static struct {
    bool json_terminal; /* what goes out is JSON, and a terminal reads it */
    const char *list;   /* its name; in JSON, not begun yet */
    bool in_list;       /* it is, and not closed */
    bool more;          /* it has an item */
} out;

static void put(const void *ptr, size_t len)
{
    if (len != 0 && atomic_load(&out_errno) == 0 && fwrite(ptr, 1, len, stdout) != len) {
        atomic_store(&out_errno, errno != 0 ? errno : EIO);
    }
}

/* Length of the character at p as its bytes say; what is none is a byte. */
static size_t char_len(const char *p, size_t len)
{
    size_t n = 1;
    while ((unsigned char)p[0] >= 0x80 && n < 4 && n < len &&
           ((unsigned char)p[n] & 0xC0) == 0x80) {
        n++;
    }
    return n;
}

/* What is outside of ASCII stands in strings alone, where an escape means the same. */
static void put_json(const char *p, size_t len)
{
    size_t start = 0;
    for (size_t i = 0; i < len;) {
        size_t n = char_len(p + i, len - i);
        bool valid = cis_utf8_valid(p + i, n);
        bool steers = valid ? (unsigned char)p[i] >= 0x7f && cis_utf8_steers(p + i, n) : true;
        if (steers) {
            char escape[16];
            int said = snprintf(escape, sizeof escape, "\\u%04x",
                                valid ? (unsigned)cis_utf8_value(p + i, n) : 0xfffdu);
            put(p + start, i - start);
            put(escape, (size_t)said);
            n = valid ? n : 1;
            start = i + n;
        }
        i += n;
    }
    put(p + start, len - start);
}

void cis_cli_json_begins(bool json)
{
    out.json_terminal = json && isatty(STDOUT_FILENO);
}

static void emit(const void *ptr, size_t len)
{
    if (out.json_terminal) {
        put_json(ptr, len);
    } else {
        put(ptr, len);
    }
}

static void emit_buf(const struct cis_buf *text)
{
    if (text->failed != CIS_OK) {
        atomic_store(&out_errno, ENOMEM);
    } else {
        cis_cli_out(text->ptr, text->len);
    }
}

/* ---- JSON ---- */
void cis_cli_object(const struct cis_json_part *parts)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(PRINTED_MAX);
    cis_json_write(&text, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u)));
    cis_json_write(&text, parts);
    cis_buf_text(&text, "}\n");
    emit_buf(&text);
}

void cis_cli_list(const struct cis_cli *cli, const char *name)
{
    out.list = cli->json ? name : NULL;
}

void cis_cli_list_after(const struct cis_json_part *before, const char *name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(PRINTED_MAX);
    cis_json_write(&text, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u)));
    cis_json_write(&text, before);
    cis_json_write(&text, CIS_JSON(CIS_J_LIST(name)));
    out.list = NULL;
    out.in_list = false;
    emit_buf(&text);
    out.in_list = true;
    out.more = false;
}

static void list_begins(void)
{
    if (out.list != NULL) {
        cis_cli_list_after(NULL, out.list);
    }
}

void cis_cli_item(const struct cis_json_part *parts)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(PRINTED_MAX);
    cis_json_object(&text, parts);
    emit_buf(&text);
}

void cis_cli_list_next(const char *name)
{
    list_begins();
    if (out.in_list) {
        put("],\"", 3);
        put(name, strlen(name));
        put("\":[", 3);
        out.more = false;
    }
}

void cis_cli_list_end(const struct cis_json_part *more)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(PRINTED_MAX);
    list_begins();
    if (out.in_list) {
        out.in_list = false;
        cis_json_write(&text, CIS_JSON(CIS_J_LIST_END));
        cis_json_write(&text, more);
        cis_buf_text(&text, "}\n");
        emit_buf(&text);
    }
}

/* ---- text ---- */
void cis_cli_out(const void *ptr, size_t len)
{
    if (len == 0) { /* an empty buffer has no memory at all */
        return;
    }
    list_begins();
    if (out.in_list && out.more) {
        put(",", 1);
    }
    out.more = true;
    emit(ptr, len);
}

static void print_args(const char *fmt, va_list args)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(PRINTED_MAX);
    cis_buf_vprintf(&text, fmt, args);
    emit_buf(&text);
}

void cis_cli_printf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    print_args(fmt, args);
    va_end(args);
}

void cis_cli_printable(struct cis_buf *to, struct cis_str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = char_len(text.ptr + i, text.len - i);
        bool keeps = text.ptr[i] == '\n' || text.ptr[i] == '\t';
        if (!keeps && cis_utf8_steers(text.ptr + i, n)) {
            cis_buf_byte(to, '?');
        } else if (cis_utf8_valid(text.ptr + i, n)) {
            cis_buf_add(to, text.ptr + i, n);
        } else {
            cis_buf_text(to, "\xEF\xBF\xBD");
            n = 1;
        }
        i += n;
    }
}

void cis_cli_printable_line(struct cis_buf *to, struct cis_str text)
{
    struct cis_str part;
    for (bool more = true; more;) {
        more = cis_str_split(&text, '\n', &part);
        cis_cli_printable(to, part);
        if (more) {
            cis_buf_byte(to, ' ');
        }
    }
}

void cis_cli_printable_column(struct cis_buf *to, struct cis_str text, size_t width)
{
    size_t at = to->len;
    cis_cli_printable_line(to, text);
    size_t wide = to->len - at;
    cis_buf_printf(to, "%*s", wide < width ? (int)(width - wide) : 0, "");
}

/* The letter behind the backslash; 0: there is none. */
static char escape_letter(char c)
{
    static const char from[] = "\a\b\t\n\v\f\r\"\\", letters[] = "abtnvfr\"\\";
    const char *at = c != 0 ? strchr(from, c) : NULL;
    return at != NULL ? letters[at - from] : 0;
}

/* May the n bytes at p stand for themselves? */
static bool plain(const char *p, size_t n)
{
    return escape_letter(p[0]) == 0 && cis_utf8_valid(p, n) && !cis_utf8_steers(p, n);
}

static size_t char_next(struct cis_str text, size_t at)
{
    size_t n = char_len(text.ptr + at, text.len - at);
    return cis_utf8_valid(text.ptr + at, n) ? n : 1;
}

void cis_cli_quoted(struct cis_buf *to, const char *prefix, struct cis_str name)
{
    bool quotes = false;
    for (size_t i = 0, n; i < name.len && !quotes; i += n) {
        n = char_next(name, i);
        quotes = !plain(name.ptr + i, n);
    }
    cis_buf_text(to, quotes ? "\"" : "");
    cis_buf_text(to, prefix);
    for (size_t i = 0, n; i < name.len; i += n) {
        const char *p = name.ptr + i;
        n = char_next(name, i);
        if (plain(p, n)) {
            cis_buf_add(to, p, n);
        } else if (escape_letter(*p) != 0) {
            cis_buf_printf(to, "\\%c", escape_letter(*p));
        } else {
            for (size_t k = 0; k < n; k++) {
                cis_buf_printf(to, "\\%03o", (unsigned char)p[k]);
            }
        }
    }
    cis_buf_text(to, quotes ? "\"" : "");
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

void cis_cli_say(const struct cis_cli *cli, const char *label, const char *fmt, ...)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    char text[CIS_ERROR_MSG_MAX + 1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    bool named = label != NULL && !cis_str_starts(cis_str_of(text), cis_str_of(label));
    cis_buf_printf(&line, "cis %s: ", cli->command->name);
    cis_cli_printable_line(&line, cis_str_of(named ? label : ""));
    cis_buf_text(&line, named ? ": " : "");
    cis_cli_printable_line(&line, cis_str_of(text));
    cis_buf_byte(&line, '\n');
    cis_fd_write_all(STDERR_FILENO, line.ptr, line.len);
}

/* One line on stderr; with --json the same as an object on stdout. `command` may be NULL. */
int cis_cli_tell(const struct cis_cli_command *command, bool json, cis_code code, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    cis_cli_printable_line(&line, cis_str_of(text));
    fprintf(stderr, "cis%s%s: %s\n", command != NULL ? " " : "",
            command != NULL ? command->name : "", cis_buf_cstr(&line));
    if (json) {
        out.list = NULL; /* it has nothing: the error is all there is */
        const struct cis_json_part *error =
            CIS_JSON(CIS_J_OPEN("error"), CIS_J("code", cis_code_name(code)),
                     CIS_J("message", text), CIS_J_CLOSE);
        if (out.in_list) {
            cis_cli_list_end(error);
        } else {
            cis_cli_object(error);
        }
    }
    return cis_code_skill_exit(code);
}

int cis_cli_fail(const struct cis_cli *cli, const struct cis_error *err)
{
    int code = cis_cli_tell(cli->command, cli->json, err->code, err->msg);
    if (err->code == CIS_E_DAMAGED && !cli->json) {
        fprintf(stderr, "cis store check says what else is damaged, and what is whole\n");
    }
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
