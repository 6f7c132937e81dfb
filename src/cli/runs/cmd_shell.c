/* `cis shell`: scripts by an interpreter that is itself a guest, on the files of a run. */
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "cli/beside.h"
#include "cli/runs/shell.h"

#define SCRIPT_MAX ((size_t)16 << 20)

struct shell {
    struct cis_cli *cli;
    char *module;
    char *cwd;   /* where scripts begin: at what is mounted first */
    char *state; /* of a session */
    struct cis_buf script;
    const char **words; /* of the interpreter: see shell/src/main.rs */
};

static void shell_done(struct shell *s)
{
    cis_free(s->module);
    cis_free(s->cwd);
    cis_free(s->state);
    cis_free(s->words);
    cis_buf_done(&s->script);
}

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* -c SCRIPT [NAME…], FILE […], or a script on stdin. *out_used: arguments that are not the
 * script's.
 */
static cis_code take_script(struct shell *s, const char **out_name, int *out_used,
                            struct cis_error *err)
{
    const struct cis_cli *cli = s->cli;
    const char *command = cis_cli_value(cli, "command");
    bool file = command == NULL && cli->nargs != 0;
    *out_used = cli->nargs != 0;
    *out_name = cli->nargs != 0 ? cli->args[0] : "bash";
    if (command != NULL) {
        cis_buf_text(&s->script, command);
    } else {
        const char *path = file && strcmp(cli->args[0], "-") != 0 ? cli->args[0] : NULL;
        CIS_TRY(cis_cli_read(path, &s->script, err));
    }
    CIS_TRY(cis_buf_check(&s->script, *out_name, err));
    struct cis_str text = cis_buf_view(&s->script);
    return cis_utf8_valid(text.ptr, text.len) && memchr(text.ptr, 0, text.len) == NULL
               ? CIS_OK
               : cis_fail(err, CIS_E_INVALID, "%.200s: is not a script: not text in UTF-8",
                          *out_name);
}

static cis_code take_words(struct shell *s, struct cis_error *err)
{
    const struct cis_cli *cli = s->cli;
    const char *name = NULL;
    int used = 0;
    size_t n = 0;
    CIS_TRY(take_script(s, &name, &used, err));
    s->words = cis_calloc(cis_size_add((size_t)cli->nargs, 6), sizeof *s->words);
    if (s->words == NULL) {
        return no_memory(err);
    }
    s->words[n++] = "shell";
    s->words[n++] = "/"; /* until it is known: `prepare` */
    s->words[n++] = "";
    s->words[n++] = name;
    s->words[n++] = cis_buf_cstr(&s->script);
    for (int i = used; i < cli->nargs; i++) {
        s->words[n++] = cli->args[i];
    }
    return CIS_OK;
}

/* All lines of a session change one branch, and have one folder beside it, at a name that hides
 * nothing of the user's. */
static cis_code join_session(struct shell *s, struct cis_program_env *w, struct cis_error *err)
{
    const char *folder, *branch;
    if (!cis_shell_of_session(&folder, &branch)) {
        return CIS_OK;
    }
    for (size_t i = 0, n = 0; i < w->nmounts; i++) {
        struct cis_run_mount *m = &w->mounts[i];
        if (m->mode == CIS_MOUNT_COW && m->branch == NULL && n++ == 0) {
            m->branch = branch;
        } else if (m->mode == CIS_MOUNT_COW && m->branch == NULL) {
            return cis_fail(err, CIS_E_USAGE,
                            "a session keeps what its lines do to one :cow folder, and several are "
                            "given: use -c");
        }
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf spec = CIS_BUF_INIT(256);
    const char *slash = strrchr(folder, '/'), *name = slash != NULL ? slash + 1 : folder;
    cis_buf_printf(&spec, "/.%s/" CIS_SHELL_STATE, name);
    CIS_TRY(cis_buf_check(&spec, "path", err));
    s->state = cis_strdup(cis_buf_cstr(&spec));
    if (s->state == NULL) {
        return no_memory(err);
    }
    s->words[2] = s->state;
    cis_buf_reset(&spec);
    cis_buf_printf(&spec, "%s::/.%s:rw", folder, name);
    CIS_TRY(cis_buf_check(&spec, "path", err));
    return cis_program_mount_dir(w, cis_buf_cstr(&spec), err);
}

/* Nothing was mounted: this folder, untouched. */
static cis_code prepare(void *self, struct cis_program_env *w, struct cis_error *err)
{
    struct shell *s = self;
    if (w->nmounts == 0) {
        CIS_TRY(cis_program_mount_dir(w, ".:cow", err));
    }
    CIS_TRY(join_session(s, w, err));
    const char *at = w->mounts[0].guest_path;
    CIS_CLEANUP(cis_buf_done) struct cis_buf cwd = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    cis_buf_printf(&cwd, "%s%s", at[0] == '/' ? "" : "/", strcmp(at, ".") == 0 ? "" : at);
    CIS_TRY(cis_buf_check(&cwd, "path", err));
    s->cwd = cis_strdup(cis_buf_cstr(&cwd));
    s->words[1] = s->cwd;
    return s->cwd != NULL ? CIS_OK : no_memory(err);
}

static int run(struct cis_cli *cli)
{
    CIS_CLEANUP(shell_done) struct shell s = {.cli = cli, .script = CIS_BUF_INIT(SCRIPT_MAX)};
    struct cis_error err = {0};
    cis_code code = cis_cli_shell_module(cli, &s.module, &err);
    if (code == CIS_OK && cli->nargs == 0 && !cis_cli_has(cli, "command") && !cli->json &&
        isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
        return cis_shell_session(cli);
    }
    code = code == CIS_OK ? take_words(&s, &err) : code;
    if (code != CIS_OK) {
        cis_cli_fail(cli, &err);
        return cis_code_run_exit(code);
    }
    struct cis_program_own own = {.module = s.module,
                                  .label = "shell",
                                  .args = s.words,
                                  .tx = CIS_TX_ALWAYS,
                                  .prepare = prepare,
                                  .self = &s};
    return cis_program_run(cli, &own);
}

static const struct cis_cli_option options[] = {{"command", 'c', "SCRIPT", false, NULL},
                                                {"dir", 0, "HOST[::GUEST][:MODE]", true, NULL},
                                                {"workspace", 'w', "GUEST[=BRANCH]", true, NULL},
                                                {"snapshot", 0, "NAME", false, NULL},
                                                {"published", 0, "GUEST=TENANT/BRANCH", true, NULL},
                                                {"read-only", 0, NULL, false, NULL},
                                                {"tx", 0, "WHEN", false, NULL},
                                                {"stdin", 0, "FILE", false, NULL},
                                                {"memory", 0, "SIZE", false, NULL},
                                                {"max-memory", 0, "SIZE", false, NULL},
                                                {"time", 0, "TIME", false, NULL},
                                                {"max-execution-time", 0, "MS", false, NULL},
                                                {"fuel", 0, "N", false, NULL},
                                                {"files", 0, "N", false, NULL},
                                                {"no-clock", 0, NULL, false, NULL},
                                                {"no-random", 0, NULL, false, NULL},
                                                {"fixed-clock", 0, "TIME", false, NULL},
                                                {"seed", 0, "SEED", false, NULL},
                                                {"trace", 0, "WHAT", false, "host"},
                                                {"report", 0, "FILE", false, NULL},
                                                CIS_CLI_COMPILE_OPTIONS,
                                                {0}};

const struct cis_cli_command cis_cmd_shell = {.name = "shell",
                                              .options = options,
                                              .max_args = -1,
                                              .foreign = true,
                                              .alone = "w/workspace=main",
                                              .run = run};
