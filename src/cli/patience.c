#include "cli/patience.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define FIRST_NS (2 * CIS_NS_PER_S)
#define LINE_MAX 256u

struct cis_patience {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    struct cis_buf what;
    uint64_t since_ns;
};

static void tell(const struct cis_patience *p)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(LINE_MAX + 64);
    uint64_t seconds = (cis_clock_mono_ns() - p->since_ns) / CIS_NS_PER_S;
    cis_buf_printf(&line, "\r\033[K%s: %llu s", cis_buf_cstr(&p->what),
                   (unsigned long long)seconds);
    cis_fd_write_all(STDERR_FILENO, line.ptr, line.len);
}

static void *watch(void *self)
{
    struct cis_patience *p = self;
    bool told = false;
    pthread_mutex_lock(&p->lock);
    while (!p->done) {
        struct timespec until;
        uint64_t wait = told ? CIS_NS_PER_S : FIRST_NS;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t)(wait / CIS_NS_PER_S);
        int rc = 0;
        while (!p->done && rc == 0) {
            rc = pthread_cond_timedwait(&p->over, &p->lock, &until);
        }
        if (!p->done) {
            tell(p);
            told = true;
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (told) {
        cis_fd_write_all(STDERR_FILENO, "\r\033[K", 4);
    }
    return NULL;
}

/* Signals are for the thread that the command runs in. */
static bool start(struct cis_patience *p)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&p->thread, NULL, watch, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0;
}

static void forget(struct cis_patience *p)
{
    pthread_cond_destroy(&p->over);
    pthread_mutex_destroy(&p->lock);
    cis_buf_done(&p->what);
    cis_free(p);
}

cis_patience *cis_patience_begin(const struct cis_cli *cli, const char *doing, const char *name)
{
    if (cli->json || !isatty(STDERR_FILENO)) {
        return NULL;
    }
    struct cis_patience *p = cis_zalloc(sizeof *p);
    pthread_condattr_t attr;
    if (p == NULL) {
        return NULL;
    }
    p->what = CIS_BUF_INIT(LINE_MAX);
    p->since_ns = cis_clock_mono_ns();
    size_t len = strlen(name), from = len > 60 ? len - 60 : 0;
    cis_buf_printf(&p->what, "%s ", doing);
    cis_cli_printable_line(&p->what, cis_str_of(name + from));
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->over, &attr);
    pthread_condattr_destroy(&attr);
    if (!start(p)) {
        forget(p);
        return NULL;
    }
    return p;
}

void cis_patience_end(cis_patience *p)
{
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->done = true;
    pthread_cond_signal(&p->over);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    forget(p);
}
