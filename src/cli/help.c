/* Help and versions, made from the table of commands. */
#include "cli/front.h"

#include "engine/engine.h"

static void option_help(const struct cis_cli_option *options)
{
    for (const struct cis_cli_option *o = options; o != NULL && o->name != NULL; o++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter != 0 ? '-' : ' ',
                 o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name,
                 o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        cis_cli_printf("  %-30s %s%s\n", left, o->help, o->many ? " (may be repeated)" : "");
    }
}

int cis_cli_command_help(const struct cis_cli_command *command)
{
    cis_cli_printf("cis %s: %s\n\nusage: cis %s%s%s%s\n", command->name, command->summary,
                   command->name, command->options != NULL ? " [options]" : "",
                   command->args != NULL ? " " : "", command->args != NULL ? command->args : "");
    if (command->help != NULL) {
        cis_cli_printf("\n%s\n", command->help);
    }
    cis_cli_printf("\noptions:\n");
    option_help(command->options);
    option_help(cis_cli_common_options);
    if (command->examples != NULL) {
        cis_cli_printf("\nexamples:\n%s", command->examples);
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
            fprintf(to, "  %-18s %s\n", c->name, c->summary);
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

const struct cis_cli_command cis_cmd_help = {.name = "help",
                                             .args = "[COMMAND]",
                                             .summary = "show commands, or one command's help",
                                             .max_args = 2,
                                             .run = help_run};

static int version_run(struct cis_cli *cli)
{
    if (cli->json) {
        cis_cli_printf("{\"schema\":1,\"version\":\"%s\",\"engine\":\"%s\"}\n", CIS_VERSION,
                       cis_engine_version());
    } else {
        cis_cli_printf("cis %s (Apache-2.0 WITH LLVM-exception)\n%s\n", CIS_VERSION,
                       cis_engine_version());
    }
    return 0;
}

const struct cis_cli_command cis_cmd_version = {.name = "version",
                                                .summary =
                                                    "versions and licences of cis and its engine",
                                                .run = version_run};
