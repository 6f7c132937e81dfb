/* Entry point: signals, common options, dispatch. What a command does is in its cmd_*.c. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "store/store.h"

#define COMMAND(name) extern const struct cis_cli_command cis_cmd_##name;
#include "cli/commands.def"
#undef COMMAND

const struct cis_cli_command *const cis_cli_commands[] = {
#define COMMAND(name) &cis_cmd_##name,
#include "cli/commands.def"
#undef COMMAND
    NULL};

const struct cis_cli_option cis_cli_common_options[] = {
    {"tenant", 0, "T", "work as tenant T (default: CIS_TENANT, config, or default)", false, NULL},
    {"store", 0, "URL", "where data is kept (default: CIS_STORE, config, or the data folder)",
     false, NULL},
    {"json", 0, NULL, "machine-readable output on stdout", false, NULL},
    {"home", 0, "DIR", "keep data under DIR instead of CIS_HOME", false, NULL},
    {"help", 'h', NULL, "show this help", false, NULL},
    {NULL, 0, NULL, NULL, false, NULL}};

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

static atomic_int out_errno; /* first failure of stdout, told once at the end of main */

void cis_cli_out(const void *ptr, size_t len)
{
    if (atomic_load(&out_errno) == 0 && fwrite(ptr, 1, len, stdout) != len) {
        atomic_store(&out_errno, errno != 0 ? errno : EIO);
    }
}

void cis_cli_printf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (atomic_load(&out_errno) == 0 && vprintf(fmt, args) < 0) {
        atomic_store(&out_errno, errno != 0 ? errno : EIO);
    }
    va_end(args);
}

/* C0, DEL and C1 (U+0080–U+009F) could steer the terminal; U+2028–U+202E and U+2066–U+2069 make a
 * line read as two or in another order. */
static bool steers(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n == 1) {
        return (u[0] < 0x20 && u[0] != '\n' && u[0] != '\t') || u[0] == 0x7f;
    }
    if (n == 2) {
        return u[0] == 0xC2 && u[1] < 0xA0;
    }
    return n == 3 && u[0] == 0xE2 &&
           ((u[1] == 0x80 && u[2] >= 0xA8 && u[2] <= 0xAE) ||
            (u[1] == 0x81 && u[2] >= 0xA6 && u[2] <= 0xA9));
}

void cis_cli_printable(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t n = 1;
        while (c >= 0x80 && n < 4 && i + n < text.len &&
               ((unsigned char)text.ptr[i + n] & 0xC0) == 0x80) {
            n++;
        }
        if (steers(text.ptr + i, n)) {
            cis_buf_byte(out, '?');
        } else if (cis_utf8_valid(text.ptr + i, n)) {
            cis_buf_add(out, text.ptr + i, n);
        } else {
            cis_buf_text(out, "\xEF\xBF\xBD");
            n = 1;
        }
        i += n;
    }
}

void cis_cli_printable_line(struct cis_buf *out, struct cis_str text)
{
    struct cis_str part;
    for (bool more = true; more;) {
        more = cis_str_split(&text, '\n', &part);
        cis_cli_printable(out, part);
        if (more) {
            cis_buf_byte(out, ' ');
        }
    }
}

void cis_cli_foreign(const void *ptr, size_t len)
{
    if (!isatty(STDOUT_FILENO)) {
        cis_cli_out(ptr, len);
        return;
    }
    /* In pieces, each ending between characters: a value may have 256 MiB. */
    struct cis_str rest = {ptr, len};
    while (rest.len != 0) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf safe = CIS_BUF_INIT(1u << 20);
        size_t n = cis_utf8_floor(rest.ptr, rest.len, 65536);
        n = n != 0 ? n : rest.len < 65536 ? rest.len : 65536;
        cis_cli_printable(&safe, (struct cis_str){rest.ptr, n});
        cis_cli_out(safe.ptr, safe.len);
        rest = (struct cis_str){rest.ptr + n, rest.len - n};
    }
}

/* One line on stderr; with --json the same as an object on stdout. `command` may be NULL. */
static int tell(const struct cis_cli_command *command, bool json, cis_code code, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    cis_cli_printable_line(&line, cis_str_of(text));
    fprintf(stderr, "cis%s%s: %s\n", command != NULL ? " " : "",
            command != NULL ? command->name : "", cis_buf_cstr(&line));
    if (json) {
        cis_buf_reset(&line);
        cis_buf_printf(
            &line, "{\"schema\":1,\"error\":{\"code\":\"%s\",\"message\":", cis_code_name(code));
        cis_buf_json(&line, cis_str_of(text));
        cis_buf_text(&line, "}}\n");
        cis_cli_out(line.ptr, line.len);
    }
    return cis_code_skill_exit(code);
}

int cis_cli_fail(const struct cis_cli *cli, const struct cis_error *err)
{
    return tell(cli->command, cli->json, err->code, err->msg);
}

static void usage_line(FILE *to, const struct cis_cli_command *command)
{
    fprintf(to, "usage: cis %s%s%s%s\n", command->name,
            command->options != NULL ? " [options]" : "", command->args != NULL ? " " : "",
            command->args != NULL ? command->args : "");
}

int cis_cli_usage(const struct cis_cli *cli, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    int code = tell(cli->command, cli->json, CIS_E_USAGE, text);
    usage_line(stderr, cli->command);
    return code;
}

/* What the signal thread finds: while a file or stdin is read nothing has begun that would have to
 * be ended in order, and the read may wait for ever (a FIFO, a terminal). */
enum { PHASE_OTHER, PHASE_READING, PHASE_CANCELLED };
static atomic_int phase;

cis_code cis_cli_read(const char *path, struct cis_buf *buf, struct cis_error *err)
{
    int was = PHASE_OTHER;
    if (!atomic_compare_exchange_strong(&phase, &was, PHASE_READING)) {
        return cis_fail(err, CIS_E_CANCELLED, "cancelled");
    }
    cis_code code = path == NULL ? cis_file_read_fd(STDIN_FILENO, "stdin", buf, err)
                                 : cis_file_read(path, buf, err);
    was = PHASE_READING;
    while (!atomic_compare_exchange_strong(&phase, &was, PHASE_OTHER)) {
        pause(); /* the signal thread is ending the process */
        was = PHASE_READING;
    }
    return code;
}

cis_code cis_cli_input(const char *spec, struct cis_buf *buf, struct cis_error *err)
{
    if (strcmp(spec, "-") == 0) {
        return cis_cli_read(NULL, buf, err);
    }
    if (spec[0] == '@') {
        return cis_cli_read(spec + 1, buf, err);
    }
    cis_buf_text(buf, spec);
    return cis_buf_check(buf, "input", err);
}

bool cis_cli_confirm(const char *question)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return false;
    }
    char answer[16];
    fprintf(stderr, "%s [y/N] ", question);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

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

static int command_help(const struct cis_cli_command *command)
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
static const struct cis_cli_command *find_command(int argc, char **argv, int *words)
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

static int overview(FILE *to, const char *group)
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
    return 0;
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
    if (option->choices == NULL) {
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
static int parse(struct cis_cli *cli, int argc, char **argv)
{
    const char **args = cis_calloc((size_t)argc + 1, sizeof *args);
    struct cis_cli_given *given = cis_calloc((size_t)argc + 1, sizeof *given);
    cli->args = args;
    cli->given = given;
    if (args == NULL || given == NULL) {
        return cis_code_skill_exit(CIS_E_NOMEM);
    }
    bool all_positional = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
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
        if (option->value != NULL && inline_value == NULL) {
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

static int check_common(struct cis_cli *cli)
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
        return cis_cli_usage(cli, "%s is missing", c->args);
    }
    if (c->max_args >= 0 && cli->nargs > c->max_args) {
        return cis_cli_usage(cli, "unexpected argument %s", cli->args[c->max_args]);
    }
    return -1;
}

static int finish(int code)
{
    if (atomic_load(&out_errno) == 0 && fflush(stdout) != 0) {
        atomic_store(&out_errno, errno);
    }
    int sys = atomic_load(&out_errno);
    if (sys != 0 && sys != EPIPE) {
        fprintf(stderr, "cis: stdout: %s\n", strerror(sys));
        return code == 0 ? cis_code_skill_exit(CIS_E_IO) : code;
    }
    return code;
}

/* Signals are taken by one thread, so that nothing has to be async-signal-safe. */
static void *signal_thread(void *arg)
{
    const struct cis_cli *cli = arg;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    for (int n = 0, sig;;) {
        if (sigwait(&set, &sig) == 0) {
            if (n++ > 0) {
                _exit(cis_code_skill_exit(CIS_E_CANCELLED));
            }
            cis_cancel_fire(cli->cancel);
            if (atomic_exchange(&phase, PHASE_CANCELLED) == PHASE_READING) {
                _exit(finish(tell(cli->command, cli->json, CIS_E_CANCELLED, "cancelled")));
            }
        }
    }
    return NULL;
}

static cis_code start_signals(struct cis_cli *cli, struct cis_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of stdout, told as one */
    pthread_t thread;
    int sys = pthread_create(&thread, NULL, signal_thread, cli);
    if (sys != 0) {
        return cis_fail_sys(err, CIS_E_INTERNAL, sys, "signal thread");
    }
    pthread_detach(thread);
    return CIS_OK;
}

static char *own_path(const char *argv0)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    return n > 0 ? cis_strndup(path, (size_t)n) : cis_strdup(argv0);
}

static void keep_standard_descriptors(void)
{
    /* A closed 0, 1 or 2 would be taken by the next file opened (a database, say) and written to.
     */
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0) {
            _exit(cis_code_skill_exit(CIS_E_IO));
        }
    }
}

/* A core file would hold keys, inputs and memories of guests. */
static void no_core_files(void)
{
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &core);
    }
}

static int help_run(struct cis_cli *cli)
{
    if (cli->nargs == 0) {
        overview(stdout, NULL);
        return 0;
    }
    int words;
    char *argv[8] = {NULL};
    int argc = cli->nargs < 8 ? cli->nargs : 8;
    for (int i = 0; i < argc; i++) {
        argv[i] = (char *)(uintptr_t)cli->args[i];
    }
    const struct cis_cli_command *found = find_command(argc, argv, &words);
    for (int i = 0; found == NULL && argc == 1 && cis_cli_commands[i] != NULL; i++) {
        struct cis_str name = cis_str_of(cis_cli_commands[i]->name), group;
        if (cis_str_split(&name, ' ', &group) && cis_str_is(group, argv[0])) {
            overview(stdout, argv[0]);
            return 0;
        }
    }
    return found != NULL ? command_help(found) : cis_cli_usage(cli, "no command %s", cli->args[0]);
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

static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    keep_standard_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write, told as one */
    no_core_files();
    if (argc == 2 && strcmp(argv[1], "__compile") == 0) {
        return cis_engine_compile_child();
    }
    struct cis_error err;
    static struct cis_cli cli; /* the signal thread may look at it after main has returned */
    int words;
    cli.json = wants_json(argc, argv); /* also for errors before parsing */
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        cli.command = &cis_cmd_version;
        return finish(version_run(&cli));
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return overview(argc < 2 ? stderr : stdout, NULL), finish(argc < 2 ? 2 : 0);
    }
    cli.command = find_command(argc - 1, argv + 1, &words);
    if (cli.command == NULL) {
        bool group = false;
        for (int i = 0; cis_cli_commands[i] != NULL; i++) {
            size_t n = strlen(argv[1]);
            group |= strncmp(cis_cli_commands[i]->name, argv[1], n) == 0 &&
                     cis_cli_commands[i]->name[n] == ' ';
        }
        bool help = argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0);
        if (group && help) {
            return overview(stdout, argv[1]), finish(0);
        }
        if (group && argc == 2) {
            return overview(stderr, argv[1]), 2;
        }
        char text[512];
        snprintf(text, sizeof text, "no command %.200s%s%.200s (see cis %s%s)", argv[1],
                 group ? " " : "", group ? argv[2] : "", group ? argv[1] : "help",
                 group ? " --help" : "");
        return finish(tell(NULL, cli.json, CIS_E_USAGE, text));
    }
    cli.program = own_path(argv[0]);
    int code = parse(&cli, argc - 1 - words, argv + 1 + words);
    if (code < 0 && cis_cli_has(&cli, "help")) {
        code = command_help(cli.command);
    }
    if (code < 0) {
        code = check_common(&cli);
    }
    if (code < 0) {
        if (cis_crypto_init(&err) != CIS_OK || cis_cancel_new(&cli.cancel, &err) != CIS_OK ||
            start_signals(&cli, &err) != CIS_OK) {
            code = cis_cli_fail(&cli, &err);
        } else {
            code = cli.command->run(&cli);
        }
    }
    /* The token stays: the signal thread may still hold it. */
    cis_free((void *)(uintptr_t)cli.program);
    cis_free((void *)(uintptr_t)cli.args);
    cis_free(cli.given);
    return finish(code);
}
