/* Options: parsing by the command's table, and what a command asks about them. */
#include "cli/front.h"

#include "base/mem.h"
#include "cli/pages.h"
#include "store/store.h"

struct cis_cli_given {
    const struct cis_cli_option *option;
    const char *value;
};

bool cis_cli_has(const struct cis_cli *cli, const char *name)
{
    return cis_cli_nth(cli, name, 0) != NULL;
}

const char *cis_cli_value(const struct cis_cli *cli, const char *name)
{
    const char *last = NULL;
    for (int i = 0; i < cli->ngiven; i++) {
        if (strcmp(cli->given[i].option->name, name) == 0) {
            last = cli->given[i].value;
        }
    }
    return last;
}

const char *cis_cli_nth(const struct cis_cli *cli, const char *name, int n)
{
    for (int i = 0; i < cli->ngiven; i++) {
        if (strcmp(cli->given[i].option->name, name) == 0 && n-- == 0) {
            return cli->given[i].value;
        }
    }
    return NULL;
}

static bool bad_value(const struct cis_cli *cli, const char *name, const char *want)
{
    cis_cli_usage(cli, "--%s %s: not %s", name, cis_cli_value(cli, name), want);
    return false;
}

bool cis_cli_size(const struct cis_cli *cli, const char *name, uint64_t *out_bytes)
{
    const char *text = cis_cli_value(cli, name);
    return text == NULL || cis_str_size(cis_str_of(text), out_bytes) ||
           bad_value(cli, name, "a size such as 128MiB");
}

bool cis_cli_duration(const struct cis_cli *cli, const char *name, uint64_t *out_ns)
{
    const char *text = cis_cli_value(cli, name);
    return text == NULL || cis_str_duration(cis_str_of(text), out_ns) ||
           bad_value(cli, name, "a time such as 30s or 1500ms");
}

bool cis_cli_number(const struct cis_cli *cli, const char *name, uint64_t *out)
{
    const char *text = cis_cli_value(cli, name);
    return text == NULL || cis_str_u64(cis_str_of(text), out) ||
           bad_value(cli, name, "a whole number");
}

static const struct cis_cli_option *find_option(const struct cis_cli_command *command,
                                                struct cis_str name, char letter)
{
    const struct cis_cli_option *lists[] = {command->options, cis_cli_common_options};
    for (int l = 0; l < 2; l++) {
        for (const struct cis_cli_option *o = lists[l]; o != NULL && o->name != NULL; o++) {
            if (letter != 0 ? o->letter == letter : cis_str_is(name, o->name)) {
                return o;
            }
        }
    }
    return NULL;
}

static bool choice_ok(const struct cis_cli_option *option, const char *value)
{
    struct cis_str rest = cis_str_of(option->choices), one;
    if (option->choices == NULL || (option->value[0] == '[' && *value == 0)) {
        return true;
    }
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '|', &one);
        if (cis_str_is(one, value)) {
            return true;
        }
    }
    return false;
}

/* Fills args and given; -1 to go on, else the exit code. */
int cis_cli_parse(struct cis_cli *cli, int argc, char **argv)
{
    const char **args = cis_calloc(cis_size_add((size_t)argc, 1), sizeof *args);
    struct cis_cli_given *given = cis_calloc(cis_size_add((size_t)argc, 1), sizeof *given);
    cli->args = args;
    cli->given = given;
    if (args == NULL || given == NULL) {
        return cis_code_skill_exit(CIS_E_NOMEM);
    }
    bool all_positional = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        all_positional |= cli->command->foreign && cli->nargs > 0;
        if (all_positional || word[0] != '-' || word[1] == 0) {
            args[cli->nargs++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            all_positional = true;
            continue;
        }
        struct cis_str name = cis_str_of(word + 1), value = {NULL, 0};
        const struct cis_cli_option *option;
        const char *inline_value = NULL;
        if (word[1] == '-') {
            struct cis_str rest = cis_str_of(word + 2);
            if (cis_str_split(&rest, '=', &name)) {
                value = rest;
                inline_value = value.ptr;
            }
            option = find_option(cli->command, name, 0);
        } else {
            option = find_option(cli->command, name, word[1]);
            if (word[2] != 0) {
                inline_value = word + 2;
            }
        }
        if (option == NULL) {
            return cis_cli_usage(cli, "unknown option %s", word);
        }
        if (option->value == NULL && inline_value != NULL) {
            return cis_cli_usage(cli, "--%s takes no value", option->name);
        }
        if (inline_value == NULL && cli->command->alone != NULL &&
            word[1] == *cli->command->alone) {
            inline_value = cli->command->alone + 1;
        }
        if (option->value != NULL && inline_value == NULL && option->value[0] == '[') {
            inline_value = "";
        } else if (option->value != NULL && inline_value == NULL) {
            if (i + 1 >= argc) {
                return cis_cli_usage(cli, "--%s needs %s", option->name, option->value);
            }
            inline_value = argv[++i];
        }
        if (option->value != NULL && !choice_ok(option, inline_value)) {
            return cis_cli_usage(cli, "--%s %s: not one of %s", option->name, inline_value,
                                 option->choices);
        }
        if (!option->many && cis_cli_has(cli, option->name)) {
            return cis_cli_usage(cli, "--%s is given twice", option->name);
        }
        given[cli->ngiven].option = option;
        given[cli->ngiven++].value = inline_value != NULL ? inline_value : "";
    }
    return -1;
}

int cis_cli_check_common(struct cis_cli *cli)
{
    cli->json = cis_cli_has(cli, "json");
    cli->home = cis_cli_value(cli, "home");
    cli->tenant = cis_cli_has(cli, "tenant") ? cis_cli_value(cli, "tenant") : "default";
    if (!cis_tenant_valid(cis_str_of(cli->tenant))) {
        return cis_cli_usage(cli, "--tenant %s: not [a-z0-9][a-z0-9._-]* of at most %u characters",
                             cli->tenant, CIS_TENANT_MAX);
    }
    const struct cis_cli_command *c = cli->command;
    if (cli->nargs < c->min_args) {
        return cis_cli_usage(cli, "%s is missing", cis_cli_page(c->name)->args);
    }
    if (c->max_args >= 0 && cli->nargs > c->max_args) {
        return cis_cli_usage(cli, "unexpected argument %s", cli->args[c->max_args]);
    }
    return -1;
}
