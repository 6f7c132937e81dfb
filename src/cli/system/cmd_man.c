/* `cis __man`: man pages in roff, made from the table of commands and from docs/man, so that page,
 * --help and shell completion cannot disagree. `cis __man --check` says whether the two do;
 * `cis __man --settings` writes the table of docs/config.md. The
 * build writes and installs them. */
#include "cli/pages.h"

#include "base/mem.h"
#include "config/config.h"

#define CIS_MAN_MAX (1u << 20)

extern const struct cis_cli_command cis_cmd_config_show;

/* Text with roff's own characters made harmless. */
static void plain(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool start = i == 0 || text.ptr[i - 1] == '\n';
        if (start && (c == '.' || c == '\'')) {
            cis_buf_text(out, "\\&");
        }
        if (cis_str_starts((struct cis_str){text.ptr + i, text.len - i}, CIS_STR("…"))) {
            cis_buf_text(out, "..."); /* not every device has the character */
            i += strlen("…") - 1;
        } else if (c == '\\') {
            cis_buf_text(out, "\\e");
        } else if (c == '-') {
            cis_buf_text(out, "\\-");
        } else {
            cis_buf_byte(out, (uint8_t)c);
        }
    }
}

static void plain_text(struct cis_buf *out, const char *text)
{
    plain(out, cis_str_of(text));
}

/* "skill run" as "cis-skill-run". */
static void page_name(struct cis_buf *out, const struct cis_cli_command *command)
{
    cis_buf_text(out, "cis-");
    for (const char *c = command->name; *c != 0; c++) {
        cis_buf_byte(out, *c == ' ' ? '-' : (uint8_t)*c);
    }
}

static void title(struct cis_buf *out, const char *page, const char *summary)
{
    cis_buf_text(out, ".TH \"");
    plain_text(out, page);
    cis_buf_text(out, "\" \"1\" \"\" \"cis " CIS_VERSION "\" \"cis\"\n.SH NAME\n");
    plain_text(out, page);
    cis_buf_text(out, " \\- ");
    plain_text(out, summary);
    cis_buf_text(out, "\n");
}

/* Paragraphs are parted by empty lines; lines that start with a blank stay as they are. */
static void paragraphs(struct cis_buf *out, const char *text)
{
    struct cis_str rest = cis_str_of(text), line;
    bool literal = false;
    while (rest.len != 0) {
        cis_str_split(&rest, '\n', &line);
        bool wants = line.len != 0 && line.ptr[0] == ' ';
        if (wants != literal) {
            cis_buf_text(out, wants ? ".PP\n.nf\n" : ".fi\n");
            literal = wants;
        }
        if (line.len == 0) {
            cis_buf_text(out, ".PP\n");
            continue;
        }
        plain(out, line);
        cis_buf_text(out, "\n");
    }
    if (literal) {
        cis_buf_text(out, ".fi\n");
    }
}

static void options(struct cis_buf *out, const struct cis_cli_command *command,
                    const struct cis_cli_option *rows)
{
    for (const struct cis_cli_option *o = rows; o != NULL && o->name != NULL; o++) {
        cis_buf_text(out, ".TP\n\\fB");
        if (o->letter != 0) {
            cis_buf_printf(out, "\\-%c\\fR, \\fB", o->letter);
        }
        cis_buf_text(out, "\\-\\-");
        plain_text(out, o->name);
        cis_buf_text(out, "\\fR");
        if (o->value != NULL) {
            cis_buf_text(out, o->value[0] == '[' ? "\\fI" : " \\fI");
            plain_text(out, o->value);
            cis_buf_text(out, "\\fR");
        }
        cis_buf_text(out, "\n");
        const struct cis_cli_line *line = cis_cli_page_option(command, o);
        plain_text(out, line != NULL ? line->help : "");
        cis_buf_text(out, o->many ? " (may be repeated)\n" : "\n");
        if (o->choices != NULL) {
            cis_buf_text(out, ".br\nOne of ");
            plain_text(out, o->choices);
            cis_buf_text(out, ".\n");
        }
    }
}

/* Each exit code once, with the texts of all codes that end with it. */
static void exit_status(struct cis_buf *out, int (*exit_of)(cis_code code))
{
    cis_buf_text(out, ".SH EXIT STATUS\n");
    for (int status = 0; status <= 255; status++) {
        bool first = true;
        for (int code = 0; code < CIS_E_COUNT_; code++) {
            if (exit_of((cis_code)code) != status) {
                continue;
            }
            if (first) {
                cis_buf_printf(out, ".TP\n.B %d\n", status);
            }
            cis_buf_text(out, first ? "" : "; ");
            plain_text(out, cis_code_text((cis_code)code));
            first = false;
        }
        cis_buf_text(out, first ? "" : "\n");
    }
}

/* Help of a setting is Markdown: links and code become plain text. */
static void plain_help(struct cis_buf *out, const char *help)
{
    for (const char *c = help; *c != 0; c++) {
        const char *to = strncmp(c, "](", 2) == 0 ? strchr(c, ')') : NULL;
        if (to != NULL) {
            c = to;
        } else if (*c != '`' && !(*c == '[' && strstr(c, "](") != NULL)) {
            cis_buf_byte(out, (uint8_t)*c);
        }
    }
}

static void setting_roff(void *self, const struct cis_setting_about *s)
{
    struct cis_buf *out = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf help = CIS_BUF_INIT(4096);
    plain_help(&help, s->help);
    cis_buf_text(out, ".TP\n.B ");
    plain_text(out, s->name);
    cis_buf_text(out, "\n");
    plain(out, cis_buf_view(&help));
    cis_buf_text(out, s->def != NULL ? " (default: " : " (not set by default");
    plain_text(out, s->def != NULL ? s->def : "");
    if (s->bounds[0] != 0) {
        cis_buf_text(out, "; ");
        plain_text(out, s->bounds);
    }
    if (s->flag != NULL) {
        cis_buf_text(out, "; flag ");
        plain_text(out, s->flag);
    }
    cis_buf_text(out, ")\n");
}

/* A row of the table in docs/config.md. */
static void setting_markdown(void *self, const struct cis_setting_about *s)
{
    struct cis_buf *out = self;
    cis_buf_printf(out, "| `%s` | %s | ", s->name, s->def != NULL ? s->def : "");
    if (s->flag != NULL) {
        cis_buf_printf(out, "`%s`", s->flag);
    }
    cis_buf_printf(out, " | %s | %s |\n", s->bounds, s->help);
}

static void command_page(struct cis_buf *out, const struct cis_cli_command *command)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(256);
    const struct cis_cli_page *page = cis_cli_page(command->name);
    page_name(&name, command);
    title(out, cis_buf_cstr(&name), page->summary);
    cis_buf_text(out, ".SH SYNOPSIS\n.B cis ");
    plain_text(out, command->name);
    cis_buf_text(out, "\n[options]");
    if (page->args != NULL) {
        cis_buf_text(out, " ");
        plain_text(out, page->args);
    }
    cis_buf_text(out, "\n");
    if (page->text != NULL) {
        cis_buf_text(out, ".SH DESCRIPTION\n");
        paragraphs(out, page->text);
    }
    cis_buf_text(out, ".SH OPTIONS\n");
    options(out, command, command->options);
    options(out, command, cis_cli_common_options);
    if (command == &cis_cmd_config_show) {
        cis_buf_text(out, ".SH SETTINGS\n");
        cis_settings_each(out, setting_roff);
    }
    if (page->examples != NULL) {
        cis_buf_text(out, ".SH EXAMPLES\n");
        paragraphs(out, page->examples);
    }
    exit_status(out,
                command->foreign || command->run_exits ? cis_code_run_exit : cis_code_skill_exit);
    cis_buf_text(out, ".SH SEE ALSO\n.BR cis (1)\n");
}

static void main_page(struct cis_buf *out)
{
    const struct cis_cli_page *page = cis_cli_page("");
    title(out, "cis", page->summary);
    cis_buf_text(out, ".SH SYNOPSIS\n.B cis\n");
    plain_text(out, page->args);
    cis_buf_text(out, "\n.SH DESCRIPTION\n");
    paragraphs(out, page->text);
    cis_buf_text(out, ".SH COMMANDS\n");
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        const struct cis_cli_command *c = cis_cli_commands[i];
        if (!c->hidden) {
            cis_buf_text(out, ".TP\n.B cis ");
            plain_text(out, c->name);
            cis_buf_text(out, "\n");
            plain_text(out, cis_cli_page(c->name)->summary);
            cis_buf_text(out, "\n");
        }
    }
    cis_buf_text(out, ".PP\nEach command has a page of its own, such as\n"
                      ".BR cis\\-skill\\-run (1).\n.SH OPTIONS\nEvery command takes:\n");
    options(out, NULL, cis_cli_common_options);
    cis_buf_text(out, ".SH ENVIRONMENT\n");
    for (const struct cis_cli_line *e = page->environment; e != NULL && e->name != NULL; e++) {
        cis_buf_printf(out, ".TP\n.B %s\n%s\n", e->spec, e->help);
    }
    cis_buf_text(out, ".PP\n.B cis config show\nprints every setting and where it came from.\n");
    exit_status(out, cis_code_skill_exit);
}

static int man_run(struct cis_cli *cli)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(256);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(CIS_MAN_MAX);
    struct cis_error err;
    for (int i = 0; i < cli->nargs; i++) {
        cis_buf_printf(&name, "%s%s", i == 0 ? "" : " ", cli->args[i]);
    }
    if (cis_cli_has(cli, "check")) {
        return cis_cli_pages_agree(stderr) ? 0 : 1;
    }
    if (cis_cli_has(cli, "settings")) {
        cis_settings_each(&out, setting_markdown);
        cis_cli_out(out.ptr, out.len);
        return 0;
    }
    bool list = cis_cli_has(cli, "list");
    bool found = list || cli->nargs == 0;
    if (found && !list) {
        main_page(&out);
    }
    cis_buf_text(&out, list ? "cis\n" : "");
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        const struct cis_cli_command *command = cis_cli_commands[i];
        if (command->hidden) {
            continue;
        }
        if (list) {
            cis_buf_printf(&out, "cis %s\n", command->name);
        } else if (cis_str_is(cis_buf_view(&name), command->name)) {
            command_page(&out, command);
            found = true;
        }
    }
    if (!found) {
        return cis_cli_usage(cli, "no command %s", cis_buf_cstr(&name));
    }
    if (cis_buf_check(&out, "man page", &err) != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    cis_cli_out(out.ptr, out.len);
    return 0;
}

static const struct cis_cli_option man_options[] = {{"list", 0, NULL, false, NULL},
                                                    {"check", 0, NULL, false, NULL},
                                                    {"settings", 0, NULL, false, NULL},
                                                    {0}};

const struct cis_cli_command cis_cmd_man = {
    .name = "__man", .options = man_options, .max_args = 2, .hidden = true, .run = man_run};
