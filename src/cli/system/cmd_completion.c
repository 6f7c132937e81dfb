/* `cis __completion bash|zsh`: shell completion, made from the table of commands. Neither script
 * runs cis while completing. */
#include "cli/pages.h"

#include "base/mem.h"

#define CIS_COMPLETION_MAX (1u << 20)

/* What kind of word a placeholder such as FILE stands for. */
enum kind { KIND_FREE, KIND_FILE, KIND_DIR };

static bool mentions(const char *placeholder, const char *word)
{
    return placeholder != NULL && strstr(placeholder, word) != NULL;
}

static enum kind kind_of(const char *placeholder)
{
    if (mentions(placeholder, "DIR")) {
        return KIND_DIR;
    }
    bool file = mentions(placeholder, "FILE") || mentions(placeholder, "PATH");
    return file ? KIND_FILE : KIND_FREE;
}

typedef void option_visitor(struct cis_buf *out, const struct cis_cli_command *command,
                            const struct cis_cli_option *option);

static void each_option(struct cis_buf *out, const struct cis_cli_command *command,
                        option_visitor *visit)
{
    const struct cis_cli_option *lists[] = {command->options, cis_cli_common_options};
    for (int l = 0; l < 2; l++) {
        for (const struct cis_cli_option *o = lists[l]; o != NULL && o->name != NULL; o++) {
            visit(out, command, o);
        }
    }
}

static struct cis_str first_word(int i)
{
    struct cis_str rest = cis_str_of(cis_cli_commands[i]->name), first;
    cis_str_split(&rest, ' ', &first);
    return first;
}

/* Hidden, or its first word came in an earlier row (rows of a group need not be neighbours). */
static bool repeated(int i)
{
    bool skip = cis_cli_commands[i]->hidden;
    for (int k = 0; k < i && !skip; k++) {
        skip = !cis_cli_commands[k]->hidden && cis_str_eq(first_word(k), first_word(i));
    }
    return skip;
}

static void first_words(struct cis_buf *out)
{
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        if (!repeated(i)) {
            cis_buf_byte(out, ' ');
            cis_buf_str(out, first_word(i));
        }
    }
}

static void second_words(struct cis_buf *out, struct cis_str group)
{
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        struct cis_str rest = cis_str_of(cis_cli_commands[i]->name), first;
        if (!cis_cli_commands[i]->hidden && cis_str_split(&rest, ' ', &first) &&
            cis_str_eq(first, group)) {
            cis_buf_byte(out, ' ');
            cis_buf_str(out, rest);
        }
    }
}

static void each_group(struct cis_buf *out,
                       void (*visit)(struct cis_buf *out, struct cis_str group))
{
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        if (!repeated(i) && strchr(cis_cli_commands[i]->name, ' ') != NULL) {
            visit(out, first_word(i));
        }
    }
}

/* ---- bash ---- */
static void bash_name(struct cis_buf *out, const struct cis_cli_command *command,
                      const struct cis_cli_option *o)
{
    (void)command;
    cis_buf_printf(out, " --%s", o->name);
}

static void bash_value(struct cis_buf *out, const struct cis_cli_command *command,
                       const struct cis_cli_option *o)
{
    (void)command;
    if (o->value == NULL || o->value[0] == '[') {
        return;
    }
    cis_buf_printf(out, "            --%s) ", o->name);
    if (o->choices != NULL) {
        cis_buf_text(out, "COMPREPLY=($(compgen -W '");
        for (const char *c = o->choices; *c != 0; c++) {
            cis_buf_byte(out, *c == '|' ? ' ' : (uint8_t)*c);
        }
        cis_buf_text(out, "' -- \"$cur\")); ");
    } else if (kind_of(o->value) == KIND_DIR) {
        cis_buf_text(out, "COMPREPLY=($(compgen -d -- \"$cur\")); ");
    } else if (kind_of(o->value) == KIND_FILE) {
        cis_buf_text(out, "COMPREPLY=($(compgen -f -- \"$cur\")); ");
    }
    cis_buf_text(out, "return ;;\n");
}

static void bash_group(struct cis_buf *out, struct cis_str group)
{
    cis_buf_printf(out, "        " CIS_STR_FMT ") COMPREPLY=($(compgen -W '", CIS_STR_ARG(group));
    second_words(out, group);
    cis_buf_text(out, "' -- \"$cur\")); return ;;\n");
}

static void bash(struct cis_buf *out)
{
    cis_buf_text(out, "# bash completion for cis\n_cis()\n{\n"
                      "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                      "    COMPREPLY=()\n"
                      "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                      "        COMPREPLY=($(compgen -W '");
    first_words(out);
    cis_buf_text(out, "' -- \"$cur\"))\n        return\n    fi\n"
                      "    if [ \"$COMP_CWORD\" -eq 2 ]; then\n        case ${COMP_WORDS[1]} in\n");
    each_group(out, bash_group);
    cis_buf_text(out, "        esac\n    fi\n    local options= files=\n"
                      "    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        const struct cis_cli_command *c = cis_cli_commands[i];
        if (c->hidden) {
            continue;
        }
        bool two = strchr(c->name, ' ') != NULL;
        cis_buf_printf(out, two ? "    '%s')\n" : "    '%s '*)\n", c->name);
        cis_buf_text(out, "        case $prev in\n");
        each_option(out, c, bash_value);
        cis_buf_text(out, "        esac\n        options='");
        each_option(out, c, bash_name);
        cis_buf_printf(out, "'\n        files=%s ;;\n",
                       kind_of(cis_cli_page(c->name)->args) != KIND_FREE ? "yes" : "");
    }
    cis_buf_text(out, "    esac\n    case $cur in\n"
                      "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
                      "    *) [ -z \"$files\" ] || COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
                      "    esac\n}\ncomplete -o filenames -F _cis cis\n");
}

/* ---- zsh ---- */
/* Text inside '…' of an _arguments or _describe row. */
static void zsh_text(struct cis_buf *out, const char *text)
{
    for (const char *c = text; *c != 0; c++) {
        if (*c == '\'') {
            cis_buf_text(out, "'\\''");
        } else {
            if (*c == '[' || *c == ']' || *c == ':' || *c == '\\') {
                cis_buf_byte(out, '\\');
            }
            cis_buf_byte(out, (uint8_t)*c);
        }
    }
}

static void zsh_option(struct cis_buf *out, const struct cis_cli_command *command,
                       const struct cis_cli_option *o)
{
    cis_buf_printf(out, " \\\n            '%s--%s%s[", o->many ? "*" : "", o->name,
                   o->value == NULL     ? ""
                   : o->value[0] == '[' ? "=-"
                                        : "=");
    const struct cis_cli_line *line = cis_cli_page_option(command, o);
    zsh_text(out, line != NULL ? line->help : "");
    cis_buf_text(out, "]");
    if (o->value != NULL) {
        cis_buf_text(out, o->value[0] == '[' ? "::" : ":");
        zsh_text(out, o->value);
        cis_buf_text(out, ":");
        if (o->choices != NULL) {
            cis_buf_text(out, "(");
            for (const char *c = o->choices; *c != 0; c++) {
                cis_buf_byte(out, *c == '|' ? ' ' : (uint8_t)*c);
            }
            cis_buf_text(out, ")");
        } else if (kind_of(o->value) != KIND_FREE) {
            cis_buf_text(out, kind_of(o->value) == KIND_DIR ? "_files -/" : "_files");
        }
    }
    cis_buf_text(out, "'");
}

static void zsh_group(struct cis_buf *out, struct cis_str group)
{
    cis_buf_printf(out, "        " CIS_STR_FMT ") compadd --", CIS_STR_ARG(group));
    second_words(out, group);
    cis_buf_text(out, "; return ;;\n");
}

static void zsh(struct cis_buf *out)
{
    cis_buf_text(out,
                 "#compdef cis\n_cis()\n{\n    if (( CURRENT == 2 )); then\n        compadd --");
    first_words(out);
    cis_buf_text(out, "\n        return\n    fi\n    if (( CURRENT == 3 )); then\n"
                      "        case $words[2] in\n");
    each_group(out, zsh_group);
    cis_buf_text(out, "        esac\n    fi\n    case \"$words[2] $words[3]\" in\n");
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        const struct cis_cli_command *c = cis_cli_commands[i];
        if (c->hidden) {
            continue;
        }
        bool two = strchr(c->name, ' ') != NULL;
        cis_buf_printf(out, two ? "    '%s')\n" : "    '%s '*)\n", c->name);
        cis_buf_printf(out, "        shift %d words; (( CURRENT -= %d ))\n        _arguments",
                       two ? 2 : 1, two ? 2 : 1);
        each_option(out, c, zsh_option);
        if (kind_of(cis_cli_page(c->name)->args) != KIND_FREE) {
            cis_buf_text(out, " \\\n            '*:file:_files'");
        }
        cis_buf_text(out, " ;;\n");
    }
    cis_buf_text(out, "    esac\n}\n_cis \"$@\"\n");
}

static int completion_run(struct cis_cli *cli)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(CIS_COMPLETION_MAX);
    struct cis_error err;
    if (strcmp(cli->args[0], "bash") == 0) {
        bash(&out);
    } else if (strcmp(cli->args[0], "zsh") == 0) {
        zsh(&out);
    } else {
        return cis_cli_usage(cli, "%s: not bash or zsh", cli->args[0]);
    }
    if (cis_buf_check(&out, "completion", &err) != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    cis_cli_out(out.ptr, out.len);
    return 0;
}

const struct cis_cli_command cis_cmd_completion = {
    .name = "__completion", .min_args = 1, .max_args = 1, .hidden = true, .run = completion_run};
