#include "cli/runs/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <histedit.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"

/* Set by the session for the processes of its lines: FOLDER:BRANCH. */
#define VARIABLE "_CIS_SHELL_SESSION"
#define LINES_MAX 1000
#define LINE_MAX_BYTES ((size_t)1 << 20)
/* Of what a session keeps beside its files. A line that begins above it may add the second. */
#define KEPT_MAX ((uint64_t)256 << 20)
#define KEPT_MORE ((uint64_t)1 << 20)
#define ENTRY_BYTES 4096u

struct session {
    struct cis_cli *cli;
    char folder[64];
    char branch[CIS_FS_REF_MAX + 1]; /* "": a workspace's */
    const char **argv;
    size_t nargv;
    struct cis_buf script; /* lines that are not a whole command yet, and the one that is read */
    char prompt[512];
    EditLine *line;
    History *history;
    bool goes_on; /* the last line was not a whole command */
    int exit_code;
    uint64_t kept_max; /* bytes that the folder may take while this line runs */
    uint64_t look_at;  /* when it is looked at again */
};

bool cis_shell_of_session(const char **out_folder, const char **out_branch)
{
    static char folder[64];
    const char *text = getenv(VARIABLE), *colon = text != NULL ? strchr(text, ':') : NULL;
    if (colon == NULL || (size_t)(colon - text) >= sizeof folder) {
        return false;
    }
    memcpy(folder, text, (size_t)(colon - text));
    folder[colon - text] = 0;
    *out_folder = folder;
    *out_branch = colon + 1;
    return true;
}

/* ---- what a line is run with ---- */

/* None is left out: it may be one that forbids something. */
static cis_code add_options(struct session *s, const struct cis_cli_option *options,
                            struct cis_error *err)
{
    for (const struct cis_cli_option *o = options; o != NULL && o->name != NULL; o++) {
        const char *value;
        for (int i = 0; (value = cis_cli_nth(s->cli, o->name, i)) != NULL; i++) {
            CIS_CLEANUP(cis_buf_done) struct cis_buf word = CIS_BUF_INIT(LINE_MAX_BYTES);
            cis_buf_printf(&word, o->value == NULL ? "--%s" : "--%s=%s", o->name, value);
            CIS_TRY(cis_buf_check(&word, o->name, err));
            const char **more = cis_realloc_array(s->argv, cis_size_add(s->nargv, 5), sizeof *more);
            s->argv = more != NULL ? more : s->argv;
            char *text = more != NULL ? cis_strdup(cis_buf_cstr(&word)) : NULL;
            if (text == NULL) {
                return cis_fail(err, CIS_E_NOMEM, "out of memory");
            }
            s->argv[s->nargv++] = text;
        }
    }
    return CIS_OK;
}

static cis_code open_session(struct session *s, struct cis_error *err)
{
    char id[27], variable[256];
    if (cis_cli_has(s->cli, "read-only")) {
        return cis_fail(err, CIS_E_USAGE,
                        "--read-only: a session keeps what its lines leave; use it with -c");
    }
    cis_id_new(id);
    snprintf(s->folder, sizeof s->folder, "/tmp/cis-shell-XXXXXX");
    if (mkdtemp(s->folder) == NULL) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", s->folder);
    }
    snprintf(s->branch, sizeof s->branch, "shell-%s", id + 16);
    snprintf(variable, sizeof variable, "%s:%s", s->folder, s->branch);
    s->argv = cis_calloc(8, sizeof *s->argv);
    if (s->argv == NULL || setenv(VARIABLE, variable, 1) != 0) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    s->argv[s->nargv++] = cis_strdup(s->cli->program);
    s->argv[s->nargv++] = cis_strdup("shell");
    if (s->argv[0] == NULL || s->argv[1] == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    CIS_TRY(add_options(s, s->cli->command->options, err));
    CIS_TRY(add_options(s, cis_cli_common_options, err));
    if (cis_cli_has(s->cli, "workspace") || cis_cli_has(s->cli, "snapshot")) {
        const char *equals = cis_cli_has(s->cli, "workspace")
                                 ? strchr(cis_cli_value(s->cli, "workspace"), '=')
                                 : NULL;
        snprintf(s->branch, sizeof s->branch, "%s", equals != NULL ? equals + 1 : "workspace");
    }
    return CIS_OK;
}

static void close_session(struct session *s)
{
    struct cis_error ignored;
    if (s->line != NULL) {
        el_end(s->line);
    }
    if (s->history != NULL) {
        history_end(s->history);
    }
    for (size_t i = 0; i < s->nargv; i++) {
        cis_free((char *)(uintptr_t)s->argv[i]);
    }
    cis_free(s->argv);
    cis_buf_done(&s->script);
    if (s->folder[0] != 0) {
        (void)cis_file_remove_tree(s->folder, &ignored);
    }
}

/* ---- one line ---- */

/* The terminal is the line's as long as it runs, and so is Ctrl-C. */
static void give_terminal(pid_t group)
{
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    (void)tcsetpgrp(STDIN_FILENO, group);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* What the session's folder takes of the disk, an entry for itself a block; counted no further than
 * just above max. */
static uint64_t kept_bytes(const char *folder, uint64_t max)
{
    char path[64];
    snprintf(path, sizeof path, "%s", folder);
    char *const roots[] = {path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    uint64_t sum = 0;
    const FTSENT *entry;
    while (walk != NULL && sum <= max && (entry = fts_read(walk)) != NULL) {
        bool file = entry->fts_info == FTS_F;
        sum += entry->fts_info == FTS_DP ? 0 : ENTRY_BYTES;
        sum += file ? (uint64_t)entry->fts_statp->st_blocks * 512 : 0;
    }
    if (walk != NULL) {
        fts_close(walk);
    }
    return sum;
}

/* Looks once a second, and for a tenth of the time at most. */
static bool keeps_too_much(struct session *s)
{
    uint64_t now = cis_clock_mono_ns();
    if (now < s->look_at) {
        return false;
    }
    bool over = kept_bytes(s->folder, s->kept_max) > s->kept_max;
    uint64_t after = cis_clock_mono_ns(), took = after - now;
    s->look_at = after + (took > CIS_NS_PER_S / 10 ? took * 10 : CIS_NS_PER_S);
    return over;
}

/* There is no job control: a line that is stopped (Ctrl-Z) goes on. It is ended with the session.
 */
static void wait_for_line(struct session *s, pid_t pid, int *out_status, bool *out_over)
{
    bool told = false;
    for (;;) {
        pid_t done = waitpid(pid, out_status, WUNTRACED | WNOHANG);
        if (done == pid && !WIFSTOPPED(*out_status)) {
            return;
        }
        if (done < 0 && errno != EINTR) {
            *out_status = 0;
            return;
        }
        if (done == pid) {
            (void)kill(-pid, SIGCONT);
        }
        *out_over = *out_over || (!told && keeps_too_much(s));
        if (!told && (*out_over || cis_cancel_fired(s->cli->cancel))) {
            told = true;
            (void)kill(-pid, SIGTERM);
        }
        struct timespec nap = {0, 2000000};
        nanosleep(&nap, NULL);
    }
}

static void tell_kept(struct session *s, bool ended)
{
    uint64_t kept = kept_bytes(s->folder, UINT64_MAX);
    if (ended || kept > KEPT_MAX) {
        cis_cli_say(s->cli, NULL,
                    "%sthe session's /tmp takes %llu of %llu MiB: remove what is not needed there",
                    ended ? "the line was ended: " : "", (unsigned long long)(kept >> 20),
                    (unsigned long long)(KEPT_MAX >> 20));
    }
    s->kept_max = kept + KEPT_MORE > KEPT_MAX ? kept + KEPT_MORE : KEPT_MAX;
}

static void run_line(struct session *s)
{
    posix_spawnattr_t attr;
    pid_t pid;
    int status = 0;
    bool over = false;
    s->argv[s->nargv] = "-c";
    s->argv[s->nargv + 1] = cis_buf_cstr(&s->script);
    s->argv[s->nargv + 2] = NULL;
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawn(&pid, s->cli->program, NULL, &attr, (char **)(uintptr_t)s->argv, environ);
    posix_spawnattr_destroy(&attr);
    if (rc != 0) {
        cis_cli_say(s->cli, NULL, "the line could not be started: %s", strerror(rc));
        s->exit_code = 125;
        return;
    }
    give_terminal(pid);
    s->look_at = 0;
    wait_for_line(s, pid, &status, &over);
    give_terminal(getpgrp());
    tell_kept(s, over);
    char path[128];
    snprintf(path, sizeof path, "%s/" CIS_SHELL_STATE ".more", s->folder);
    s->goes_on = unlink(path) == 0;
    s->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Where the last line ended. Guests write into that folder: a link is not followed. */
static void add_cwd(const struct session *s, struct cis_buf *out)
{
    char path[128], cwd[4096];
    snprintf(path, sizeof path, "%s/" CIS_SHELL_STATE ".cwd", s->folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, cwd, sizeof cwd) : -1;
    if (n > 0) {
        cis_buf_byte(out, ':');
        cis_cli_printable_line(out, (struct cis_str){cwd, (size_t)n});
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* "BRANCH:FOLDER$ " */
static char *prompt(EditLine *line)
{
    struct session *s;
    el_get(line, EL_CLIENTDATA, &s);
    CIS_CLEANUP(cis_buf_done) struct cis_buf cwd = CIS_BUF_INIT(16384);
    if (s->script.len != 0) {
        snprintf(s->prompt, sizeof s->prompt, "> ");
        return s->prompt;
    }
    add_cwd(s, &cwd);
    snprintf(s->prompt, sizeof s->prompt, "%.40s%.400s$ ", s->branch,
             cwd.len != 0 ? cis_buf_cstr(&cwd) : "");
    return s->prompt;
}

/* A key, or none: the session is to end (SIGTERM). */
static int read_key(EditLine *line, wchar_t *out)
{
    struct session *s;
    el_get(line, EL_CLIENTDATA, &s);
    char bytes[MB_LEN_MAX];
    mbstate_t state = {0};
    for (size_t n = 0; n < sizeof bytes;) {
        const struct cis_stop stop = {CIS_NEVER, s->cli->cancel};
        if (cis_stop_wait(&stop, STDIN_FILENO, POLLIN, "terminal", NULL) != CIS_OK) {
            return 0;
        }
        ssize_t got = read(STDIN_FILENO, bytes + n, 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got <= 0) {
            return (int)got;
        }
        size_t used = mbrtowc(out, bytes + n, 1, &state);
        if (used != (size_t)-2) {
            *out = used == (size_t)-1 ? L'?' : *out;
            return 1;
        }
        n++;
    }
    return -1;
}

static bool open_line(struct session *s)
{
    HistEvent event;
    s->line = el_init("cis shell", stdin, stdout, stderr);
    s->history = history_init();
    if (s->line == NULL || s->history == NULL) {
        return false;
    }
    history(s->history, &event, H_SETSIZE, LINES_MAX);
    history(s->history, &event, H_SETUNIQUE, 1);
    el_set(s->line, EL_CLIENTDATA, s);
    el_set(s->line, EL_PROMPT, prompt);
    el_wset(s->line, EL_GETCFN, read_key);
    el_set(s->line, EL_EDITOR, "emacs");
    el_set(s->line, EL_HIST, history, s->history);
    /* Names of this folder on the machine, which the script's begin with. */
    el_wset(s->line, EL_ADDFN, L"complete-name", L"complete a name", _el_fn_complete);
    el_set(s->line, EL_BIND, "^I", "complete-name", NULL);
    el_set(s->line, EL_SETTY, "-d", "-isig", NULL);
    el_set(s->line, EL_BIND, "^C", "ed-start-over", NULL);
    el_set(s->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    return true;
}

/* A line that ends with a backslash goes on with the next one. */
static bool take_line(struct session *s, const char *text, int n)
{
    cis_buf_add(&s->script, text, (size_t)n);
    bool more = n >= 2 && text[n - 1] == '\n' && text[n - 2] == '\\';
    return !more && s->script.failed == CIS_OK;
}

static bool is_end(struct cis_str script, int *exit_code)
{
    uint64_t code;
    while (script.len != 0 &&
           (script.ptr[script.len - 1] == '\n' || script.ptr[script.len - 1] == ' ')) {
        script.len--;
    }
    if (cis_str_starts(script, CIS_STR("exit ")) &&
        cis_str_u64((struct cis_str){script.ptr + 5, script.len - 5}, &code)) {
        *exit_code = (int)(code & 0xff);
        return true;
    }
    return cis_str_is(script, "exit") || cis_str_is(script, "logout");
}

static void do_line(struct session *s)
{
    HistEvent event;
    struct cis_str script = cis_buf_view(&s->script);
    if (strspn(cis_buf_cstr(&s->script), " \t\n") != script.len) {
        run_line(s);
        if (s->goes_on) {
            return;
        }
        history(s->history, &event, H_ENTER, cis_buf_cstr(&s->script));
    }
    cis_buf_reset(&s->script);
}

static void read_lines(struct session *s)
{
    for (;;) {
        int n = 0;
        const char *text = el_gets(s->line, &n);
        if (text == NULL || n <= 0) {
            cis_cli_printf("\n");
            if (s->script.len == 0 || cis_cancel_fired(s->cli->cancel)) {
                return;
            }
            cis_buf_reset(&s->script); /* Ctrl-D: what was begun is forgotten */
        } else if (take_line(s, text, n)) {
            if (is_end(cis_buf_view(&s->script), &s->exit_code)) {
                return;
            }
            do_line(s);
            if (cis_cancel_fired(s->cli->cancel)) {
                return;
            }
        }
    }
}

int cis_shell_session(struct cis_cli *cli)
{
    struct session s = {.cli = cli, .script = CIS_BUF_INIT(LINE_MAX_BYTES), .kept_max = KEPT_MAX};
    struct cis_error err = {0};
    cis_code code = open_session(&s, &err);
    if (code == CIS_OK && !open_line(&s)) {
        code = cis_fail(&err, CIS_E_NOMEM, "the terminal cannot be opened for editing");
    }
    if (code == CIS_OK) {
        read_lines(&s);
        if (strncmp(s.branch, "shell-", 6) == 0) {
            cis_cli_say(cli, NULL,
                        "the folder was not changed; what was changed is in branch %s: `cis runs "
                        "list` shows the lines, `cis runs apply ID` makes their changes",
                        s.branch);
        }
    } else {
        cis_cli_fail(cli, &err);
        s.exit_code = cis_code_run_exit(code);
    }
    close_session(&s);
    return s.exit_code;
}
