/* Cancellation by signals, and reading of inputs, which is where a signal may find the program
 * waiting for ever. */
#include "cli/front.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>
#include "base/file.h"

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

/* Those that cancel. SIGHUP is one of them, unless whoever started the program (nohup) has it
 * ignored: a terminal that goes away must leave no mount and no lease behind. */
static void cancelling(sigset_t *out)
{
    struct sigaction hangup;
    sigemptyset(out);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
        sigaddset(out, SIGHUP);
    }
}

/* Signals are taken by one thread, so that nothing has to be async-signal-safe. The second ends the
 * process; a hangup is no second one, for shell and terminal send one each. */
static void *signal_thread(void *arg)
{
    const struct cis_cli *cli = arg;
    sigset_t set;
    cancelling(&set);
    for (int n = 0, sig;;) {
        if (sigwait(&set, &sig) == 0) {
            n += sig != SIGHUP;
            if (n > 1) {
                _exit(cis_code_skill_exit(CIS_E_CANCELLED));
            }
            cis_cancel_fire(cli->cancel);
            if (atomic_exchange(&phase, PHASE_CANCELLED) == PHASE_READING) {
                _exit(cis_cli_finish(
                    cis_cli_tell(cli->command, cli->json, CIS_E_CANCELLED, "cancelled")));
            }
        }
    }
    return NULL;
}

cis_code cis_cli_start_signals(struct cis_cli *cli, struct cis_error *err)
{
    sigset_t set;
    cancelling(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of stdout, told as one */
    pthread_t thread;
    int sys = pthread_create(&thread, NULL, signal_thread, cli);
    if (sys != 0) {
        return cis_fail_sys(err, CIS_E_INTERNAL, sys, "cannot start the signal thread");
    }
    pthread_detach(thread);
    return CIS_OK;
}
