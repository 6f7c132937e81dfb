/* Help and versions: the table of commands, and the pages of docs/man. */
#include "cli/front.h"

#include <stdarg.h>
#include "cli/pages.h"
#include "engine/code/engine.h"

static void option_help(const struct cis_cli_command *command, const struct cis_cli_option *options)
{
    for (const struct cis_cli_option *o = options; o != NULL && o->name != NULL; o++) {
        const struct cis_cli_line *line = cis_cli_page_option(command, o);
        char left[64];
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter != 0 ? '-' : ' ',
                 o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name,
                 o->value == NULL || o->value[0] == '[' ? "" : " ",
                 o->value != NULL ? o->value : "");
        cis_cli_printf("  %-30s %s%s\n", left, line != NULL ? line->help : "",
                       o->many ? " (may be repeated)" : "");
    }
}

static void usage_line(FILE *to, const struct cis_cli_command *command)
{
    const char *args = cis_cli_page(command->name)->args;
    fprintf(to, "usage: cis %s%s%s%s\n", command->name,
            command->options != NULL ? " [options]" : "", args != NULL ? " " : "",
            args != NULL ? args : "");
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

int cis_cli_command_help(const struct cis_cli_command *command)
{
    const struct cis_cli_page *page = cis_cli_page(command->name);
    cis_cli_printf("cis %s: %s\n\n", command->name, page->summary);
    usage_line(stdout, command);
    if (page->text != NULL) {
        cis_cli_printf("\n%s\n", page->text);
    }
    cis_cli_printf("\noptions:\n");
    option_help(command, command->options);
    option_help(command, cis_cli_common_options);
    if (page->examples != NULL) {
        cis_cli_printf("\nexamples:\n%s\n", page->examples);
    }
    return 0;
}

/* The command with the most words that the arguments start with; *words says how many. */
const struct cis_cli_command *cis_cli_find_command(int argc, char **argv, int *words)
{
    const struct cis_cli_command *found = NULL;
    *words = 0;
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        struct cis_str rest = cis_str_of(cis_cli_commands[i]->name), word;
        int n = 0;
        bool same = true;
        while (same && rest.len != 0) {
            cis_str_split(&rest, ' ', &word);
            same = n < argc && cis_str_is(word, argv[n]);
            n++;
        }
        if (same && n > *words) {
            found = cis_cli_commands[i];
            *words = n;
        }
    }
    return found;
}

void cis_cli_overview(FILE *to, const char *group)
{
    fprintf(to,
            "usage: cis COMMAND [options]\n\nRuns WebAssembly skills in a sandbox.\n\ncommands:\n");
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        const struct cis_cli_command *c = cis_cli_commands[i];
        size_t n = group != NULL ? strlen(group) : 0;
        if (!c->hidden &&
            (group == NULL || (strncmp(c->name, group, n) == 0 && c->name[n] == ' '))) {
            fprintf(to, "  %-18s %s\n", c->name, cis_cli_page(c->name)->summary);
        }
    }
    fprintf(to, "\n`cis COMMAND --help` shows options and examples.\n");
}

static int help_run(struct cis_cli *cli)
{
    if (cli->nargs == 0) {
        cis_cli_overview(stdout, NULL);
        return 0;
    }
    int words;
    char *argv[8] = {NULL};
    int argc = cli->nargs < 8 ? cli->nargs : 8;
    for (int i = 0; i < argc; i++) {
        argv[i] = (char *)(uintptr_t)cli->args[i];
    }
    const struct cis_cli_command *found = cis_cli_find_command(argc, argv, &words);
    for (int i = 0; found == NULL && argc == 1 && cis_cli_commands[i] != NULL; i++) {
        struct cis_str name = cis_str_of(cis_cli_commands[i]->name), group;
        if (cis_str_split(&name, ' ', &group) && cis_str_is(group, argv[0])) {
            cis_cli_overview(stdout, argv[0]);
            return 0;
        }
    }
    return found != NULL ? cis_cli_command_help(found)
                         : cis_cli_usage(cli, "no command %s", cli->args[0]);
}

const struct cis_cli_command cis_cmd_help = {.name = "help", .max_args = 2, .run = help_run};

static int version_run(struct cis_cli *cli)
{
    if (cli->json) {
        cis_cli_object(
            CIS_JSON(CIS_J("version", CIS_VERSION), CIS_J("engine", cis_engine_version())));
    } else {
        cis_cli_printf("cis %s (Apache-2.0 WITH LLVM-exception)\n%s\n", CIS_VERSION,
                       cis_engine_version());
    }
    return 0;
}

const struct cis_cli_command cis_cmd_version = {.name = "version", .run = version_run};
