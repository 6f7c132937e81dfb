/* gen_help PAGE.md…: the pages of docs/man as one C table on stdout. The program's --help, its man
 * pages and the completion of shells read this table, so that a page is written once, as text.
 *
 * A page is Markdown of this form; anything else is an error with file and line:
 *
 *   # cis fs ls
 *   one line that says what it does
 *
 *       cis fs ls [options] [PATH]…
 *
 *   Paragraphs. Lines that are indented by four stand as they are.
 *
 *   ## Options
 *   - `-l`, `--long`: what it does,
 *     on one line or more
 *
 *   ## Examples
 *       cis fs ls /src
 *
 * Under "## Options" a line "Those of `cis skill run`." takes the options of another page. The page
 * cis.md has "## Options of several commands", for options that a page does not name itself, and
 * "## Environment". */
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum section { TEXT, OPTIONS, SHARED, ENVIRONMENT, EXAMPLES };

static const char *file;
static unsigned line_number;

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void wrong(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fprintf(stderr, "%s:%u: ", file, line_number);
    vfprintf(stderr, fmt, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

static void literal(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\') {
            putchar('\\');
        }
        putchar(text[i]);
    }
}

static bool next(FILE *from, char *line, size_t size)
{
    if (fgets(line, (int)size, from) == NULL) {
        return false;
    }
    line_number++;
    size_t len = strlen(line);
    if (len == 0 || line[len - 1] != '\n') {
        wrong("a line without end, or of more than %zu bytes", size - 2);
    }
    line[len - 1] = 0;
    if (len > 1 && isspace((unsigned char)line[len - 2])) {
        wrong("a blank at the end of the line");
    }
    return true;
}

static void must(FILE *from, char *line, size_t size, const char *what)
{
    if (!next(from, line, size)) {
        wrong("%s is missing", what);
    }
}

static void empty(FILE *from, char *line, size_t size)
{
    must(from, line, size, "an empty line");
    if (*line != 0) {
        wrong("this line has to be empty");
    }
}

/* "`-l`, `--long SIZE`: help" as {"long", "-l, --long SIZE", "help": the literal stays open for the
 * lines that follow. */
static void item(const char *line)
{
    const char *end = strstr(line, "`: ");
    if (strncmp(line, "- `", 3) != 0 || end == NULL) {
        wrong("not an item of the form - `--NAME VALUE`: text");
    }
    const char *name = strstr(line, "`--");
    name = name != NULL && name < end ? name + 3 : line + 3;
    size_t len = strcspn(name, " [`");
    printf("    {\"%.*s\", \"", (int)len, name);
    for (const char *c = line + 3; c < end; c++) {
        if (*c != '`') {
            literal(c, 1);
        }
    }
    printf("\", \"");
    literal(end + 3, strlen(end + 3));
}

struct state {
    enum section section;
    bool open; /* a literal or a list waits for its end */
    bool item; /* the last line belongs to an item */
    unsigned blank;
    unsigned lists;
    char as[128];
};

static const char *const fields[] = {".text", ".options", ".shared", ".environment", ".examples"};

static void close_section(struct state *s)
{
    if (s->item) {
        printf("\"},\n");
    }
    if (s->open) {
        printf(s->section == TEXT || s->section == EXAMPLES ? "\",\n"
                                                            : "    {NULL, NULL, NULL}},\n");
    }
    s->open = s->item = false;
    s->blank = 0;
}

static void heading(struct state *s, const char *line)
{
    static const char *const names[] = {NULL, "## Options", "## Options of several commands",
                                        "## Environment", "## Examples"};
    for (int i = OPTIONS; i <= EXAMPLES; i++) {
        if (strcmp(line, names[i]) == 0) {
            close_section(s);
            s->section = (enum section)i;
            return;
        }
    }
    wrong("no such section: %s", line);
}

static void as_line(struct state *s, const char *line)
{
    const char *start = strstr(line, "`cis "), *end = strrchr(line, '`');
    if (start == NULL || end <= start + 5 || (size_t)(end - start) > sizeof s->as) {
        wrong("not of the form Those of `cis COMMAND`.");
    }
    snprintf(s->as, sizeof s->as, "%.*s", (int)(end - start - 5), start + 5);
}

static void list_line(struct state *s, const char *line)
{
    if (strncmp(line, "Those of ", 9) == 0) {
        as_line(s, line);
        return;
    }
    if (s->item && strncmp(line, "  ", 2) == 0) {
        putchar(' ');
        literal(line + 2, strlen(line + 2));
        return;
    }
    if (!s->open) {
        printf("  %s = (const struct cis_cli_line[]){\n", fields[s->section]);
        s->open = true;
    }
    printf("%s", s->item ? "\"},\n" : "");
    item(line);
    s->item = true;
}

static void text_line(struct state *s, const char *line)
{
    if (!s->open) {
        printf("  %s =\n", fields[s->section]);
        s->open = true;
    } else {
        printf("\\n\"\n");
    }
    for (; s->blank != 0; s->blank--) {
        printf("    \"\\n\"\n");
    }
    printf("    \"");
    bool indented = strncmp(line, "    ", 4) == 0;
    if (!indented && s->section == EXAMPLES) {
        wrong("an example is indented by four");
    }
    literal(line + (indented ? 2 : 0), strlen(line + (indented ? 2 : 0)));
}

static void page(const char *path)
{
    char line[4096], name[128];
    file = path;
    line_number = 0;
    FILE *from = fopen(path, "r");
    if (from == NULL) {
        wrong("cannot be opened");
    }
    must(from, line, sizeof line, "the title");
    if (strncmp(line, "# cis", 5) != 0 || (line[5] != ' ' && line[5] != 0) ||
        strlen(line) > sizeof name) {
        wrong("the title is # cis COMMAND");
    }
    snprintf(name, sizeof name, "%.100s", line[5] == ' ' ? line + 6 : "");
    must(from, line, sizeof line, "the summary");
    printf(" {.name = \"%s\",\n  .summary = \"", name);
    literal(line, strlen(line));
    printf("\",\n");
    empty(from, line, sizeof line);
    must(from, line, sizeof line, "the usage");
    char start[256];
    int n = snprintf(start, sizeof start, "    cis%s%s", *name != 0 ? " " : "", name);
    if (strncmp(line, start, (size_t)n) != 0) {
        wrong("the usage begins with %s", start);
    }
    const char *args = line + n;
    args += strncmp(args, " [options]", 10) == 0 ? 10 : 0;
    if (*args == ' ') {
        printf("  .args = \"");
        literal(args + 1, strlen(args + 1));
        printf("\",\n");
    }
    struct state s = {.section = TEXT};
    while (next(from, line, sizeof line)) {
        if (strncmp(line, "## ", 3) == 0) {
            heading(&s, line);
        } else if (*line == 0) {
            s.blank += s.open ? 1 : 0;
        } else if (s.section == TEXT || s.section == EXAMPLES) {
            text_line(&s, line);
        } else {
            list_line(&s, line);
        }
    }
    close_section(&s);
    if (*s.as != 0) {
        printf("  .as = \"%s\",\n", s.as);
    }
    printf(" },\n");
    fclose(from);
}

int main(int argc, char **argv)
{
    printf("/* Written by tools/gen_help.c from docs/man. */\n");
    for (int i = 1; i < argc; i++) {
        page(argv[i]);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
