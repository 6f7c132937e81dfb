/* `cis __html`: the pages of docs/man as one web page, which needs nothing from the network. The
 * build writes and installs it. */
#include "base/mem.h"
#include "cli/pages.h"

#define CIS_HTML_MAX (4u << 20)

static void escaped(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '<') {
            cis_buf_text(out, "&lt;");
        } else if (c == '&') {
            cis_buf_text(out, "&amp;");
        } else {
            cis_buf_byte(out, (uint8_t)c);
        }
    }
}

static void escaped_text(struct cis_buf *out, const char *text)
{
    escaped(out, cis_str_of(text));
}

/* Text with `words` of the command line in it. */
static void inline_text(struct cis_buf *out, struct cis_str text)
{
    struct cis_str part;
    bool code = false;
    while (text.len != 0) {
        bool more = cis_str_split(&text, '`', &part);
        escaped(out, part);
        if (more) {
            cis_buf_text(out, code ? "</code>" : "<code>");
            code = !code;
        }
    }
    cis_buf_text(out, code ? "</code>" : "");
}

/* Paragraphs are parted by empty lines; lines that start with a blank stay as they are. */
static void paragraphs(struct cis_buf *out, const char *text)
{
    struct cis_str rest = cis_str_of(text), line;
    const char *end = "";
    while (rest.len != 0) {
        cis_str_split(&rest, '\n', &line);
        bool literal = line.len != 0 && line.ptr[0] == ' ';
        const char *wants = line.len == 0 ? "" : literal ? "</pre>\n" : "</p>\n";
        if (strcmp(wants, end) != 0) {
            cis_buf_text(out, end);
            cis_buf_text(out, line.len == 0 ? "" : literal ? "<pre>" : "<p>");
            end = wants;
        }
        if (literal) {
            escaped(out, line);
        } else {
            inline_text(out, line);
        }
        cis_buf_text(out, "\n");
    }
    cis_buf_text(out, end);
}

static void item(struct cis_buf *out, const char *spec, const char *help, bool many)
{
    cis_buf_text(out, "<dt><code>");
    escaped_text(out, spec);
    cis_buf_text(out, "</code></dt><dd>");
    inline_text(out, cis_str_of(help));
    cis_buf_text(out, many ? " (may be repeated)</dd>\n" : "</dd>\n");
}

static void options(struct cis_buf *out, const struct cis_cli_command *command,
                    const struct cis_cli_option *rows)
{
    for (const struct cis_cli_option *o = rows; o != NULL && o->name != NULL; o++) {
        const struct cis_cli_line *line = cis_cli_page_option(command, o);
        if (line != NULL) {
            item(out, line->spec, line->help, o->many);
        }
    }
}

/* "fs ls" as "fs-ls": what a link of the page names. */
static void anchor(struct cis_buf *out, const char *name)
{
    for (const char *c = name; *c != 0; c++) {
        cis_buf_byte(out, *c == ' ' ? '-' : (uint8_t)*c);
    }
}

static void section(struct cis_buf *out, const struct cis_cli_command *command)
{
    const struct cis_cli_page *page = cis_cli_page(command->name);
    cis_buf_text(out, "<h2 id=\"");
    anchor(out, command->name);
    cis_buf_printf(out, "\">cis %s</h2>\n<p>", command->name);
    inline_text(out, cis_str_of(page->summary));
    cis_buf_printf(out, "</p>\n<pre>cis %s%s", command->name,
                   command->options != NULL ? " [options]" : "");
    if (page->args != NULL) {
        cis_buf_text(out, " ");
        escaped_text(out, page->args);
    }
    cis_buf_text(out, "</pre>\n");
    if (page->text != NULL) {
        paragraphs(out, page->text);
    }
    if (command->options != NULL) {
        cis_buf_text(out, "<dl>\n");
        options(out, command, command->options);
        cis_buf_text(out, "</dl>\n");
    }
    if (page->examples != NULL) {
        paragraphs(out, page->examples);
    }
}

static void head(struct cis_buf *out, const struct cis_cli_page *page)
{
    cis_buf_text(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<title>cis " CIS_VERSION "</title>\n"
                      "<style>body{max-width:50em;margin:auto;padding:1em;font-family:sans-serif}"
                      "pre{background:#eee;padding:.5em;overflow:auto}dt{margin-top:.5em}</style>"
                      "</head><body>\n<h1>cis</h1>\n<p>");
    inline_text(out, cis_str_of(page->summary));
    cis_buf_text(out, "</p>\n<pre>cis ");
    escaped_text(out, page->args);
    cis_buf_text(out, "</pre>\n");
    paragraphs(out, page->text);
    cis_buf_text(out, "<ul>\n");
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        if (!cis_cli_commands[i]->hidden) {
            const char *name = cis_cli_commands[i]->name;
            cis_buf_text(out, "<li><a href=\"#");
            anchor(out, name);
            cis_buf_printf(out, "\">cis %s</a>: ", name);
            inline_text(out, cis_str_of(cis_cli_page(name)->summary));
            cis_buf_text(out, "</li>\n");
        }
    }
    cis_buf_text(out, "</ul>\n<h2>Options of every command</h2>\n<dl>\n");
    options(out, NULL, cis_cli_common_options);
    cis_buf_text(out, "</dl>\n<h2>Environment</h2>\n<dl>\n");
    for (const struct cis_cli_line *e = page->environment; e != NULL && e->name != NULL; e++) {
        item(out, e->spec, e->help, false);
    }
    cis_buf_text(out, "</dl>\n");
}

static int html_run(struct cis_cli *cli)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(CIS_HTML_MAX);
    struct cis_error err;
    head(&out, cis_cli_page(""));
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        if (!cis_cli_commands[i]->hidden) {
            section(&out, cis_cli_commands[i]);
        }
    }
    cis_buf_text(&out, "</body></html>\n");
    if (cis_buf_check(&out, "web page", &err) != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    cis_cli_out(out.ptr, out.len);
    return 0;
}

const struct cis_cli_command cis_cmd_html = {.name = "__html", .hidden = true, .run = html_run};
