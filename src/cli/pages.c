/* The pages of docs/man as a table. */
#include "cli/pages.h"

#include <string.h>

const struct cis_cli_page cis_cli_pages[] = {
#include "help_pages.inc"
    {.name = NULL}};

const struct cis_cli_page *cis_cli_page(const char *name)
{
    static const struct cis_cli_page none = {.name = "", .summary = ""};
    for (size_t i = 0; cis_cli_pages[i].name != NULL; i++) {
        if (strcmp(cis_cli_pages[i].name, name) == 0) {
            return &cis_cli_pages[i];
        }
    }
    return &none;
}

static const struct cis_cli_line *line_of(const struct cis_cli_line *lines, const char *name)
{
    for (; lines != NULL && lines->name != NULL; lines++) {
        if (strcmp(lines->name, name) == 0) {
            return lines;
        }
    }
    return NULL;
}

const struct cis_cli_line *cis_cli_page_option(const struct cis_cli_command *command,
                                               const struct cis_cli_option *option)
{
    const struct cis_cli_page *cis = cis_cli_page("");
    const struct cis_cli_page *page = command != NULL ? cis_cli_page(command->name) : cis;
    const struct cis_cli_line *found = line_of(page->options, option->name);
    if (found == NULL && page->as != NULL) {
        found = line_of(cis_cli_page(page->as)->options, option->name);
    }
    if (found == NULL) {
        found = line_of(cis->options, option->name);
    }
    return found != NULL ? found : line_of(cis->shared, option->name);
}
