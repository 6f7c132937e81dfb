/* Entry point: the process made ready, the command found, run and finished. What a command does is
 * in its cmd_*.c. */
#include "cli/front.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "cli/cage.h"
#include "cli/fs/fs.h"
#include "cli/memory/memory_names.h"
#include "cli/skill/skill.h"
#include "engine/code/engine.h"
#include "exec/exec.h"

#define COMMAND(name) extern const struct cis_cli_command cis_cmd_##name;
#include "commands.inc"
#undef COMMAND

const struct cis_cli_command *const cis_cli_commands[] = {
#define COMMAND(name) &cis_cmd_##name,
#include "commands.inc"
#undef COMMAND
    NULL};

const struct cis_cli_option cis_cli_common_options[] = {{"tenant", 0, "T", false, NULL},
                                                        {"store", 0, "URL", false, NULL},
                                                        {"json", 0, NULL, false, NULL},
                                                        {"home", 0, "DIR", false, NULL},
                                                        {"debug-info", 0, NULL, false, NULL},
                                                        {"help", 'h', NULL, false, NULL},
                                                        {0}};

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

/* A core file would hold keys, inputs and memories of guests. The limit is for files; a program
 * that the kernel hands core dumps to (core_pattern with a pipe) is given none either, as for a
 * process that may not be traced. *out_before: the limit until now. */
static void no_core_files(struct rlimit *out_before)
{
    prctl(PR_SET_DUMPABLE, 0);
    if (getrlimit(RLIMIT_CORE, out_before) == 0) {
        struct rlimit none = {0, out_before->rlim_max};
        setrlimit(RLIMIT_CORE, &none);
    } else {
        *out_before = (struct rlimit){0, 0};
    }
}

/* Before anything secret is in memory. The compiler's process is never dumped. */
static void core_files_as_before(const struct rlimit *before)
{
    setrlimit(RLIMIT_CORE, before);
    prctl(PR_SET_DUMPABLE, 1);
}

/* Libraries listen to the environment on their own: for TLS, one variable writes the keys of every
 * connection to a file, others load settings and code. Before any of them begins, and any thread.
 */
static void forget_environment(void)
{
    static const char *const names[] = {"SSLKEYLOGFILE", "OPENSSL_CONF", "OPENSSL_CONF_INCLUDE",
                                        "OPENSSL_MODULES", "OPENSSL_ENGINES"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }
}

/* What the compiler makes of hostile bytes, it makes in a cage. */
static int compiler(void)
{
    struct cis_error err;
    if (cis_cage_enter(&err) != CIS_OK) {
        dprintf(STDERR_FILENO, "%s\n", err.msg);
        return cis_code_skill_exit(CIS_E_IO);
    }
    return cis_engine_compile_child();
}

static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

static bool asks_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* The words are no command: the help of a group of commands, or an error. Returns the exit code. */
static int no_command(int argc, char **argv, bool json)
{
    bool group = false;
    for (int i = 0; cis_cli_commands[i] != NULL; i++) {
        size_t n = strlen(argv[1]);
        group |= strncmp(cis_cli_commands[i]->name, argv[1], n) == 0 &&
                 cis_cli_commands[i]->name[n] == ' ';
    }
    if (group && argc > 2 && asks_help(argv[2])) {
        cis_cli_overview(stdout, argv[1]);
        return 0;
    }
    if (group && argc == 2) {
        cis_cli_overview(stderr, argv[1]);
        return 2;
    }
    char text[512];
    snprintf(text, sizeof text, "no command %.200s%s%.200s (see cis %s%s)", argv[1],
             group ? " " : "", group ? argv[2] : "", group ? argv[1] : "help",
             group ? " --help" : "");
    return cis_cli_tell(NULL, json, CIS_E_USAGE, text);
}

/* Parses what follows the command's name and runs it. Returns the exit code. */
static int command(struct cis_cli *cli, int argc, char **argv, const struct rlimit *core)
{
    struct cis_error err;
    int code = cis_cli_parse(cli, argc, argv);
    if (code < 0 && cis_cli_has(cli, "help")) {
        return cis_cli_command_help(cli->command);
    }
    if (code < 0) {
        code = cis_cli_check_common(cli);
    }
    if (code >= 0) {
        return code;
    }
    if (cis_cli_has(cli, "debug-info")) {
        core_files_as_before(core);
    }
    if (cis_crypto_init(&err) != CIS_OK || cis_cancel_new(&cli->cancel, &err) != CIS_OK ||
        cis_cli_start_signals(cli, &err) != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    const struct cis_cli_command *c = cli->command;
    return c->fs != NULL       ? cis_fs_run(cli, c->fs)
           : c->memory != NULL ? cis_memory_run(cli, c->memory)
           : c->skill != NULL  ? cis_cli_with_home(cli, c->skill)
                               : c->run(cli);
}

int main(int argc, char **argv)
{
    keep_standard_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write, told as one */
    struct rlimit core;
    no_core_files(&core);
    if (argc == 2 && strcmp(argv[1], "__compile") == 0) {
        return compiler();
    }
    if (argc >= 2 && strcmp(argv[1], "__enter") == 0) {
        return cis_exec_enter(argc - 2, argv + 2);
    }
    static struct cis_cli cli; /* the signal thread may look at it after main has returned */
    int words;
    forget_environment();
    cli.json = wants_json(argc, argv); /* also for errors before parsing */
    cis_cli_json_begins(cli.json);
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        cli.command = &cis_cmd_version;
        return cis_cli_finish(cis_cmd_version.run(&cli));
    }
    if (argc < 2 || asks_help(argv[1])) {
        cis_cli_overview(argc < 2 ? stderr : stdout, NULL);
        return cis_cli_finish(argc < 2 ? 2 : 0);
    }
    cli.command = cis_cli_find_command(argc - 1, argv + 1, &words);
    if (cli.command == NULL) {
        return cis_cli_finish(no_command(argc, argv, cli.json));
    }
    cli.program = own_path(argv[0]);
    int code = command(&cli, argc - 1 - words, argv + 1 + words, &core);
    /* The token stays: the signal thread may still hold it. */
    cis_free((void *)(uintptr_t)cli.program);
    cis_free((void *)(uintptr_t)cli.args);
    cis_free(cli.given);
    return cis_cli_finish(code);
}
