/* Do the pages of docs/man and the table of commands say the same? `cis __man --check` asks. */
#include <string.h>
#include "cli/pages.h"

static bool has_option(const struct cis_cli_option *rows, const char *name)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (strcmp(rows->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool options_agree(FILE *to, const struct cis_cli_command *command)
{
    bool ok = true;
    for (const struct cis_cli_option *o = command->options; o != NULL && o->name != NULL; o++) {
        char letter[8] = "", spec[256];
        if (o->letter != 0) {
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        }
        snprintf(spec, sizeof spec, "%s--%s%s%s", letter, o->name,
                 o->value == NULL || o->value[0] == '[' ? "" : " ",
                 o->value != NULL ? o->value : "");
        const struct cis_cli_line *line = cis_cli_page_option(command, o);
        if (line == NULL || strcmp(line->spec, spec) != 0) {
            fprintf(to, "cis %s: its page says %s, the command has %s\n", command->name,
                    line != NULL ? line->spec : "nothing", spec);
            ok = false;
        }
    }
    const struct cis_cli_line *line = cis_cli_page(command->name)->options;
    for (; line != NULL && line->name != NULL; line++) {
        if (!has_option(command->options, line->name)) {
            fprintf(to, "cis %s: its page has --%s, the command has not\n", command->name,
                    line->name);
            ok = false;
        }
    }
    return ok;
}

bool cis_cli_pages_agree(FILE *to)
{
    bool ok = true;
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        const struct cis_cli_command *command = cis_cli_commands[i];
        if (command->hidden) {
            continue;
        }
        if (*cis_cli_page(command->name)->name == 0) {
            fprintf(to, "cis %s: no page in docs/man\n", command->name);
            ok = false;
        } else {
            ok &= options_agree(to, command);
        }
    }
    for (size_t i = 0; cis_cli_pages[i].name != NULL; i++) {
        const char *name = cis_cli_pages[i].name;
        bool found = *name == 0;
        for (int k = 0; cis_cli_commands[k] != NULL && !found; k++) {
            found = strcmp(cis_cli_commands[k]->name, name) == 0;
        }
        if (!found) {
            fprintf(to, "docs/man: a page for cis %s, which is not a command\n", name);
            ok = false;
        }
    }
    return ok;
}
