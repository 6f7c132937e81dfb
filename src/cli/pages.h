/* The pages of docs/man, as the build read them (tools/gen_help.c): what --help, the man pages and
 * the completion of shells say. Constant data; any thread. */
#ifndef CIS_CLI_PAGES_H
#define CIS_CLI_PAGES_H

#include "cli/cli.h"

struct cis_cli_line {
    const char *name; /* "time" */
    const char *spec; /* "-t, --time TIME" */
    const char *help; /* one line */
};

struct cis_cli_page {
    const char *name;     /* as the command's; "" is the page of cis itself */
    const char *summary;  /* one line, lower case, no full stop */
    const char *args;     /* positional part of the usage line: "PATH…"; NULL: none */
    const char *text;     /* paragraphs, NULL: none */
    const char *examples; /* lines, NULL: none */
    const char *as;       /* the command whose page has the options, too; NULL: none */
    /* Each ends with a row whose name is NULL, or is NULL. */
    const struct cis_cli_line *options, *shared, *environment;
};

/* All pages; ends with a row whose name is NULL. */
extern const struct cis_cli_page cis_cli_pages[];
/* Hidden commands have an empty page. Never NULL. */
const struct cis_cli_page *cis_cli_page(const char *name);
/* What an option of a command does: its page's word, that of the page which it refers to, or what
 * cis.md says of options of several commands. command NULL: an option of all. NULL: no page says
 * it. */
const struct cis_cli_line *cis_cli_page_option(const struct cis_cli_command *command,
                                               const struct cis_cli_option *option);
/* Do the pages and the table say the same: a page a command, an item an option, and the reverse?
 * Else what is wrong is written to `to`. */
bool cis_cli_pages_agree(FILE *to);

#endif
