/* Questions of runs on the terminal. What a guest wrote is shown with nothing in it that steers the
 * terminal, behind the name of who asks, and each line of the terminal behind a bar. */
#include "cli/runs/ask.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/float.h"
#include "base/json.h"
#include "base/mem.h"
#include "host/form.h"

#define TRIES 3u
#define BAR "  | "
#define TELL_NS (100 * CIS_NS_PER_MS) /* between two lines that say how far it is */

/* ---- the list ---- */

static cis_code add(struct cis_cli_answers *a, struct cis_str key, struct cis_str json,
                    struct cis_error *err)
{
    if (a->n == CIS_CLI_ANSWERS_MAX) {
        return cis_fail(err, CIS_E_USAGE, "--answer: more than %u", CIS_CLI_ANSWERS_MAX);
    }
    char *name = cis_strndup(key.ptr, key.len), *text = cis_strndup(json.ptr, json.len);
    if (name == NULL || text == NULL) {
        cis_free(name);
        cis_free(text);
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    a->items[a->n++] = (struct cis_ask_answer){{name, key.len}, {text, json.len}};
    return CIS_OK;
}

cis_code cis_cli_answers_take(struct cis_cli_answers *a, const struct cis_cli *cli,
                              struct cis_error *err)
{
    const char *given;
    for (int i = 0; (given = cis_cli_nth(cli, "answer", i)) != NULL; i++) {
        struct cis_str json = cis_str_of(given), key;
        if (!cis_str_split(&json, '=', &key) || key.len == 0 ||
            !cis_json_reads(json.ptr, json.len)) {
            return cis_fail(err, CIS_E_USAGE,
                            "--answer %.80s: must be KEY=JSON, an object or null (no)", given);
        }
        CIS_TRY(add(a, key, json, err));
    }
    return CIS_OK;
}

void cis_cli_answers_done(struct cis_cli_answers *a)
{
    for (size_t i = 0; i < a->n; i++) {
        cis_free((void *)(uintptr_t)a->items[i].key.ptr);
        cis_free((void *)(uintptr_t)a->items[i].json.ptr);
    }
    a->n = 0;
}

/* ---- the terminal ---- */

struct talk {
    struct cis_stop stop;
    struct cis_buf line;
};

static void say(struct cis_buf *line)
{
    cis_fd_write_all(STDERR_FILENO, line->ptr, line->len);
    cis_buf_reset(line);
}

static size_t columns(void)
{
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20;
    return known ? size.ws_col : 80;
}

/* The next character of a text that can be printed; *wide: the columns that it takes at most. */
static size_t char_at(struct cis_str text, size_t at, size_t *wide)
{
    size_t n = 1;
    *wide = (unsigned char)text.ptr[at] < 0x80 ? 1 : 2;
    while (at + n < text.len && ((unsigned char)text.ptr[at + n] & 0xC0) == 0x80) {
        n++;
    }
    return n;
}

/* What a guest wrote. Where the terminal would go on in a line without a bar, a new one begins. */
static void add_barred(struct cis_buf *line, struct cis_str text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf safe = CIS_BUF_INIT(1u << 20);
    size_t room = columns() - strlen(BAR) - 1, used = 0, wide;
    cis_cli_printable(&safe, text);
    struct cis_str shown = cis_buf_view(&safe);
    cis_buf_text(line, BAR);
    for (size_t i = 0, n; i < shown.len; i += n) {
        n = char_at(shown, i, &wide);
        bool ends = shown.ptr[i] == '\n';
        if (ends || used + wide > room) {
            cis_buf_text(line, "\n" BAR);
            used = 0;
        }
        if (!ends) {
            cis_buf_add(line, shown.ptr[i] == '\t' ? " " : shown.ptr + i, n);
            used += wide;
        }
    }
    cis_buf_byte(line, '\n');
}

static void add_text(struct cis_buf *line, const char *before, const json_t *text,
                     const char *after)
{
    if (json_is_string(text)) {
        cis_buf_text(line, before);
        cis_cli_printable_line(line, cis_str_of(json_string_value(text)));
        cis_buf_text(line, after);
    }
}

/* One line of the terminal, whole; false: the person ended it. */
static bool read_line(const struct talk *t, char *out, size_t cap)
{
    if (cis_stop_wait(&t->stop, STDIN_FILENO, POLLIN, "answer", NULL) != CIS_OK) {
        return false;
    }
    ssize_t n = read(STDIN_FILENO, out, cap - 1);
    if (n <= 0) {
        return false;
    }
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    return true;
}

static void add_choices(struct cis_buf *line, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        cis_buf_text(line, i == 0 ? " (" : " | ");
        add_text(line, "", json_is_object(one) ? json_object_get(one, "const") : one, "");
        add_text(line, ": ", json_object_get(one, "title"), "");
    }
    cis_buf_text(line, json_array_size(list) != 0 ? ")" : "");
}

static void show_field(struct cis_buf *line, const char *name, const json_t *spec)
{
    const json_t *title = json_object_get(spec, "title"), *usual = json_object_get(spec, "default");
    const json_t *items = json_object_get(spec, "items"), *type = json_object_get(spec, "type");
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_cli_printable_line(&text, cis_str_of(title != NULL ? json_string_value(title) : name));
    add_text(&text, ", ", json_object_get(spec, "description"), "");
    add_choices(&text, json_object_get(spec, "enum"));
    add_choices(&text, json_object_get(spec, "oneOf"));
    add_choices(&text, json_object_get(items, "enum"));
    add_choices(&text, json_object_get(items, "anyOf"));
    cis_buf_text(&text, strcmp(json_string_value(type), "boolean") == 0 ? " (yes or no)"
                        : items != NULL                                 ? ", with commas"
                                                                        : "");
    if (usual != NULL) {
        char *json = json_dumps(usual, JSON_ENCODE_ANY | JSON_COMPACT);
        cis_buf_text(&text, " [");
        cis_cli_printable_line(&text, cis_str_of(json != NULL ? json : "?"));
        cis_buf_text(&text, "]");
        cis_free(json);
    }
    add_barred(line, cis_buf_view(&text));
    cis_buf_text(line, "  answer: ");
}

static json_t *list_of(char *text)
{
    json_t *list = json_array();
    struct cis_str rest = cis_str_of(text), one;
    while (rest.len != 0) {
        (void)cis_str_split(&rest, ',', &one);
        one = cis_str_trim(one);
        json_array_append_new(list, json_stringn(one.ptr, one.len));
    }
    return list;
}

static json_t *number_of(const char *text)
{
    char *end;
    long long whole = strtoll(text, &end, 10);
    if (end != text && *end == 0) {
        return json_integer(whole);
    }
    double value = cis_float_read(text, &end);
    return end != text && *end == 0 ? json_real(value) : NULL;
}

/* What the person typed, by the type of the field; NULL: nothing that could be it. */
static json_t *value_of(const char *type, char *text)
{
    if (strcmp(type, "boolean") == 0) {
        bool yes = text[0] == 'y' || text[0] == 'Y', not = text[0] == 'n' || text[0] == 'N';
        return yes || not ? json_boolean(yes) : NULL;
    }
    return strcmp(type, "array") == 0    ? list_of(text)
           : strcmp(type, "string") == 0 ? json_string(text)
                                         : number_of(text);
}

/* False: the person ended it. */
static bool ask_fields(struct talk *t, const json_t *fields, json_t *content)
{
    const char *name;
    json_t *spec;
    char text[4096];
    json_object_foreach((json_t *)(uintptr_t)fields, name, spec)
    {
        const json_t *usual = json_object_get(spec, "default");
        show_field(&t->line, name, spec);
        say(&t->line);
        if (!read_line(t, text, sizeof text)) {
            return false;
        }
        json_t *value = text[0] == 0
                            ? json_incref((json_t *)(uintptr_t)usual)
                            : value_of(json_string_value(json_object_get(spec, "type")), text);
        if (value != NULL) {
            json_object_set_new(content, name, value);
        }
    }
    return true;
}

/* An object, or null for no. NULL: nobody answered. */
static json_t *converse(struct talk *t, const json_t *request)
{
    const json_t *fields = json_object_get(json_object_get(request, "schema"), "properties");
    struct cis_buf *line = &t->line;
    char text[64] = "";
    for (unsigned i = 0; i < TRIES; i++) {
        struct cis_error err = {0};
        json_t *content = json_object();
        cis_buf_text(line, json_object_size(fields) != 0
                               ? "  (Ctrl-D for no, Ctrl-C to end the run)\n"
                               : "  yes or no: ");
        say(line);
        bool none = json_object_size(fields) == 0;
        bool answered = none ? read_line(t, text, sizeof text) : ask_fields(t, fields, content);
        if (!answered || (none && (text[0] == 'n' || text[0] == 'N'))) {
            json_decref(content);
            return json_null();
        }
        if (none ? text[0] == 'y' || text[0] == 'Y'
                 : cis_form_fits(request, content, &err) == CIS_OK) {
            return content;
        }
        json_decref(content);
        if (none) {
            cis_buf_text(line, "  answer with y or n\n");
        } else {
            add_barred(line, cis_str_of(err.msg)); /* it has names of fields */
        }
        say(line);
    }
    return NULL;
}

static void show_question(struct cis_buf *line, const char *who, const json_t *request)
{
    cis_cli_printable_line(line, cis_str_of(who));
    cis_buf_text(line, " asks:\n");
    add_barred(line, cis_str_of(json_string_value(json_object_get(request, "message"))));
    say(line);
}

static bool answer_one(struct cis_cli_answers *a, struct talk *t, const json_t *question,
                       const char *who)
{
    const json_t *request = json_object_get(question, "request");
    const char *key = json_string_value(json_object_get(question, "key"));
    if (key == NULL || json_object_get(request, "message") == NULL) {
        return false;
    }
    show_question(&t->line, who, request);
    json_t *content = converse(t, request);
    CIS_CLEANUP(cis_freep)
    char *text = content != NULL ? json_dumps(content, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(content);
    return text != NULL && add(a, cis_str_of(key), cis_str_of(text), NULL) == CIS_OK;
}

static bool ask(struct cis_cli_answers *a, const struct cis_cli *cli, const char *who,
                const struct cis_run_outcome *outcome)
{
    const struct cis_buf *text = &outcome->question;
    if (outcome->code != CIS_E_INPUT_REQUIRED || cli->json || cis_cli_has(cli, "record") ||
        !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || cis_cancel_fired(cli->cancel)) {
        return false;
    }
    json_t *question = json_loadb((const char *)text->ptr, text->len, 0, NULL);
    struct talk talk = {{CIS_NEVER, cli->cancel}, CIS_BUF_INIT(1u << 20)};
    bool answered = answer_one(a, &talk, question, who);
    json_decref(question);
    cis_buf_done(&talk.line);
    return answered && !cis_cancel_fired(cli->cancel);
}

/* ---- how far it is ---- */

struct shower {
    const char *who;
    uint64_t told_ns;
    bool told_last;
};

/* As a client of `cis mcp` is told: now and then, and the end once; on one line of the terminal. */
static void show_progress(void *self, const struct cis_progress *p)
{
    struct shower *s = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(8192);
    uint64_t now = cis_clock_mono_ns();
    bool last = p->done == p->total && !s->told_last;
    if (s->told_ns != 0 && now - s->told_ns < TELL_NS && !last) {
        return;
    }
    s->told_ns = now;
    s->told_last = s->told_last || last;
    cis_cli_printable_line(&line, cis_str_of(s->who));
    cis_buf_printf(&line, ": %" PRIu64, p->done);
    if (p->total != 0) {
        cis_buf_printf(&line, " of %" PRIu64, p->total);
    }
    cis_buf_byte(&line, ' ');
    size_t own = line.len, room = columns() - 1, wide;
    cis_cli_printable_line(&line, p->message);
    struct cis_str all = cis_buf_view(&line);
    for (size_t at = own, used = own, n; at < all.len; at += n, used += wide) {
        n = char_at(all, at, &wide);
        if (used + wide > room) {
            line.len = at;
            break;
        }
    }
    cis_buf_byte(&line, '\n');
    say(&line);
}

cis_code cis_cli_answers_run(struct cis_cli_answers *a, const struct cis_cli *cli, const char *who,
                             struct cis_run_request *request, struct cis_run_outcome *out,
                             struct cis_error *err)
{
    struct shower shower = {.who = who};
    request->progress = cli->json || !isatty(STDERR_FILENO) ? NULL : show_progress;
    request->progress_self = &shower;
    for (;;) {
        request->answers = a->items;
        request->nanswers = a->n;
        CIS_TRY(cis_run_execute(request, out, err));
        if (!ask(a, cli, who, out)) {
            return CIS_OK;
        }
        cis_run_outcome_done(out);
    }
}
