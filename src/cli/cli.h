/* The command line: one table of commands, one option parser, one file a command (cmd_*.c). A new
 * command is one file and one page in docs/man, which is its help. */
#ifndef CIS_CLI_CLI_H
#define CIS_CLI_CLI_H

#include <stdio.h>
#include "base/buf.h"
#include "base/cancel.h"
#include "base/json_write.h"

/* One option of a command. A row with value NULL is a flag. What it does is said on the command's
 * page (docs/man), or in cis.md for options that several commands have. */
struct cis_cli_option {
    const char *name;    /* "--json" without the dashes: "json" */
    char letter;         /* 'j' or 0 */
    const char *value;   /* "FILE", NULL for a flag; "[=FORMAT]": may be left out, and is "" then */
    bool many;           /* may be given more than once */
    const char *choices; /* "c|go|wat" for completion and checking, NULL: free */
};

struct cis_cli;
struct cis_fs_cmd;
struct cis_memory_cmd;
struct cis_skill_home;

struct cis_cli_command {
    const char
        *name; /* "skill install"; one or two words; with dashes for blanks its page's name */
    const struct cis_cli_option *options; /* ends with a row whose name is NULL; may be NULL */
    int min_args,
        max_args; /* positional arguments; max -1: any number (then -- is passed through) */
    bool hidden;
    /* It runs somebody's program: what follows the first positional argument is that one's, options
     * too, and exit codes are those of cis_code_run_exit. */
    bool foreign;
    bool run_exits; /* the exit codes alone */
    /* "w/workspace": the letter w by itself stands for its option with this value; -wVALUE gives
     * another. NULL: letters need a value as names do. */
    const char *alone;
    int (*run)(struct cis_cli *cli); /* returns the exit code */
    /* Instead of run: for commands that work in an open store, with memory, or with skills. */
    cis_code (*fs)(struct cis_fs_cmd *cmd, struct cis_error *err);
    cis_code (*memory)(struct cis_memory_cmd *cmd, struct cis_error *err);
    cis_code (*skill)(struct cis_cli *cli, const struct cis_skill_home *home,
                      struct cis_error *err);
};

/* Of commands that read or compile modules. */
#define CIS_CLI_COMPILE_OPTIONS                                                                    \
    {"compile-memory", 0, "SIZE", false, NULL},                                                    \
    {                                                                                              \
        "compile-time", 0, "TIME", false, NULL                                                     \
    }

/* Options every command has: --tenant T, --store URL, --json, --home DIR, --help. */
extern const struct cis_cli_option cis_cli_common_options[];
/* All commands; ends with NULL. */
extern const struct cis_cli_command *const cis_cli_commands[];

struct cis_config;
struct cis_lib;

/* One invocation, given to the command's run(). */
struct cis_cli {
    const struct cis_cli_command *command;
    const char *const *args; /* positional arguments, NULL-terminated */
    int nargs;
    const char *program; /* absolute path of this program (for `__compile`) */
    cis_cancel *cancel;  /* fired by the first Ctrl-C or SIGTERM; a second one ends the process */
    bool json;           /* --json */
    const char *tenant;  /* --tenant or, once an app is open, configured; checked */
    const char *home;    /* --home or NULL */
    struct cis_cli_given *given; /* parsed options; use the functions below */
    int ngiven;
};

/* Was the option given? */
bool cis_cli_has(const struct cis_cli *cli, const char *name);
/* Last value given, NULL when absent. */
const char *cis_cli_value(const struct cis_cli *cli, const char *name);
/* The i-th value of an option that may be given many times, NULL past the last. */
const char *cis_cli_nth(const struct cis_cli *cli, const char *name, int i);
/* Values with units; absent: *out untouched, true. Bad text: prints the usage error, false. */
bool cis_cli_size(const struct cis_cli *cli, const char *name, uint64_t *out_bytes);
bool cis_cli_duration(const struct cis_cli *cli, const char *name, uint64_t *out_ns);
bool cis_cli_number(const struct cis_cli *cli, const char *name, uint64_t *out);

/* Prints "cis COMMAND: message" on stderr (with --json also {"schema":1,"error":{code,message}} on
 * stdout) and returns the exit code of err->code for `cis skill …`. */
int cis_cli_fail(const struct cis_cli *cli, const struct cis_error *err);
/* Usage error: the same, and the usage line on stderr; returns 2. */
int cis_cli_usage(const struct cis_cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Text to stdout; a closed or full stdout is exit 7 "stdout: …" at the end of main. */
void cis_cli_out(const void *ptr, size_t len);
void cis_cli_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* An object {"schema":1, parts} and a line break. */
void cis_cli_object(const struct cis_json_part *parts);
/* With --json: an object {"schema":1,"NAME":[…]}, one cis_cli_out an item. It begins with the first
 * item, or with the end, which closes the list, adds `more` (may be NULL) and closes the object.
 * What fails before the first item is an error object alone, and what fails in between closes the
 * list and adds the error: stdout is one JSON value in any case. */
void cis_cli_list(const struct cis_cli *cli, const char *name);
/* The same, with members before the list: it begins at once. */
void cis_cli_list_after(const struct cis_json_part *before, const char *name);
void cis_cli_item(const struct cis_json_part *parts);
/* Ends the list, begins another one. */
void cis_cli_list_next(const char *name);
/* Nothing without a list. */
void cis_cli_list_end(const struct cis_json_part *more);
/* Reads a file (NULL: stdin) that may keep us waiting: the first signal ends the process then. */
cis_code cis_cli_read(const char *path, struct cis_buf *buf, struct cis_error *err);
/* "TEXT", "@FILE" or "-" (stdin) into buf; messages name the option. */
cis_code cis_cli_input(const char *spec, struct cis_buf *buf, struct cis_error *err);
/* yes/no on the terminal; false without one. */
bool cis_cli_confirm(const char *question);
/* Text safe for a terminal: control characters of untrusted text replaced. Appends to out. */
void cis_cli_printable(struct cis_buf *out, struct cis_str text);
/* The same for what is to be one line: a name with a line break in it could pass for two rows. */
void cis_cli_printable_line(struct cis_buf *out, struct cis_str text);
/* A line on stderr, "cis NAME: LABEL: TEXT"; the label (may be NULL) is left out when the text
 * begins with it. */
void cis_cli_say(const struct cis_cli *cli, const char *label, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A name as git writes it: as it is, or, when it has a control character, a quote, a backslash,
 * what steers a terminal or is no UTF-8, between quotes and with escapes. prefix stands before it,
 * within the quotes. So a name is never more than a part of one line, and its bytes are known. */
void cis_cli_printable_column(struct cis_buf *to, struct cis_str text, size_t width);
void cis_cli_quoted(struct cis_buf *out, const char *prefix, struct cis_str name);
/* What a skill or a stored value says, to stdout: the very bytes, but printable on a terminal. */
void cis_cli_foreign(const void *ptr, size_t len);

#endif
