/* The threads that serve a mount. They block in reading the device, where a request wakes exactly
 * one of them; whoever runs the mount waits for its end and cancels them there, the only place
 * where they can be cancelled. Meanwhile it ends what waits too long for a process that got a
 * signal, and adds a thread when all are stuck. */
#include <errno.h>
#include <poll.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "fuse/internal.h"

static _Thread_local uint8_t *scratch;
static _Thread_local struct fuse_worker *self;

uint8_t *cis_fuse_scratch(void)
{
    if (scratch == NULL) {
        scratch = cis_alloc(FUSE_IO_MAX);
    }
    return scratch;
}

/* ---- requests whose process got a signal ---- */

void cis_fuse_wake(const struct cis_fuse *f)
{
    uint64_t one = 1;
    ssize_t n = write(f->interrupt_fd, &one, sizeof one); /* full: it is readable already */
    (void)n;
}

/* From whichever worker read the interruption. The kernel sends it for any signal that is not
 * ignored, not only for those that end the process. */
static void on_interrupt(fuse_req_t req, void *data)
{
    struct fuse_worker *w = data;
    cis_mutex_lock(&w->lock, fuse_lock_worker);
    bool noted = w->req == req && w->due_ns == 0; /* else it was answered meanwhile */
    if (noted) {
        w->due_ns = cis_clock_after(cis_clock_mono_ns(), FUSE_PATIENCE_NS);
    }
    cis_mutex_unlock(&w->lock, fuse_lock_worker);
    if (noted) {
        cis_fuse_wake(w->f);
    }
}

struct cis_vfs_call cis_fuse_call(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    /* The kernel clears set-id bits by a setattr of its own, for those that have no CAP_FSETID. */
    struct cis_vfs_call call = {.uid = ctx->uid, .gid = ctx->gid, .keeps_set_id = true};
    struct fuse_worker *w = self;
    if (w == NULL) {
        return call;
    }
    cis_mutex_lock(&w->lock, fuse_lock_worker);
    w->req = req;
    if (w->token == NULL && cis_cancel_new(&w->token, NULL) != CIS_OK) {
        w->token = NULL; /* this one cannot be interrupted */
    }
    w->stop = (struct cis_stop){CIS_NEVER, w->token};
    cis_mutex_unlock(&w->lock, fuse_lock_worker);
    w->err = (struct cis_error){0};
    call.stop = &w->stop;
    call.err = &w->err;
    fuse_req_interrupt_func(req, on_interrupt, w);
    return call;
}

void cis_fuse_reply(fuse_req_t req, int rc)
{
    const struct cis_fuse *f = fuse_of(req);
    bool ours = rc == EIO || rc == ENOSPC || rc == EDQUOT || rc == ESTALE;
    if (ours && f->o.failed != NULL) {
        const struct fuse_worker *w = self;
        bool known = w != NULL && w->err.code != CIS_OK;
        f->o.failed(f->o.self, rc, known ? w->err.msg : strerrordesc_np(rc));
    }
    fuse_reply_err(req, rc);
}

static void fire(struct fuse_worker *w)
{
    cis_mutex_lock(&w->lock, fuse_lock_worker);
    if (w->req != NULL) {
        cis_cancel_fire(w->token);
    }
    cis_mutex_unlock(&w->lock, fuse_lock_worker);
}

/* Fires what is due; milliseconds until the next, -1: none. */
static int fire_due(struct cis_fuse *f)
{
    uint64_t now = cis_clock_mono_ns(), next = CIS_NEVER;
    for (unsigned i = 0; i < FUSE_THREADS_MAX; i++) {
        struct fuse_worker *w = &f->workers[i];
        cis_mutex_lock(&w->lock, fuse_lock_worker);
        if (w->due_ns != 0 && w->due_ns <= now) {
            cis_cancel_fire(w->token);
            w->due_ns = 0;
        } else if (w->due_ns != 0 && w->due_ns < next) {
            next = w->due_ns;
        }
        cis_mutex_unlock(&w->lock, fuse_lock_worker);
    }
    return next == CIS_NEVER ? -1 : (int)((next - now) / CIS_NS_PER_MS) + 1;
}

/* The request is answered: its token, when it was fired, is not the next one's. */
static void request_done(struct fuse_worker *w)
{
    cis_mutex_lock(&w->lock, fuse_lock_worker);
    w->req = NULL;
    w->due_ns = 0;
    if (w->token != NULL && cis_cancel_fired(w->token)) {
        cis_cancel_unref(cis_take(&w->token));
    }
    cis_mutex_unlock(&w->lock, fuse_lock_worker);
}

/* ---- workers ---- */

static void worker_end(void *arg)
{
    struct fuse_worker *w = arg;
    cis_fuse_stop(w->f); /* one leaves, all leave */
    cis_free(w->buf.mem);
    cis_free(scratch);
    scratch = NULL;
    atomic_fetch_add(&w->f->ended, 1);
}

static void *work(void *arg);

/* One more thread; what pthread_create says. */
static int worker_add(struct cis_fuse *f)
{
    int rc = 0;
    cis_mutex_lock(&f->lock, fuse_lock_mount);
    if (!f->ending && f->nworkers < FUSE_THREADS_MAX) {
        atomic_fetch_add(&f->idle, 1);
        rc = pthread_create(&f->workers[f->nworkers].thread, NULL, work, &f->workers[f->nworkers]);
        if (rc == 0) {
            f->nworkers++;
        } else {
            atomic_fetch_sub(&f->idle, 1);
        }
    }
    cis_mutex_unlock(&f->lock, fuse_lock_mount);
    return rc;
}

/* ---- calls of this process into its own mount ---- */

/* What looks at names or opens: a thread of ours that does it waits for a thread of ours. What the
 * kernel sends on its own account (pages, releases, forgets) is not held against who caused it. */
static bool may_wait_for_us(uint32_t opcode)
{
    switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_GETATTR:
    case FUSE_SETATTR:
    case FUSE_READLINK:
    case FUSE_OPEN:
    case FUSE_OPENDIR:
    case FUSE_CREATE:
    case FUSE_ACCESS:
    case FUSE_STATFS:
        return true;
    default:
        return false;
    }
}

/* Is the request by a thread of this process, other than the one that takes the mount down? Then it
 * is answered at once: whatever that thread holds, nobody waits for it here. */
static bool refuse_own(const struct fuse_worker *w)
{
    struct fuse_in_header head;
    if (w->buf.size < sizeof head || (w->buf.flags & FUSE_BUF_IS_FD) != 0) {
        return false;
    }
    memcpy(&head, w->buf.mem, sizeof head);
    pid_t by = (pid_t)head.pid;
    if (!may_wait_for_us(head.opcode) || by == 0 || by == atomic_load(&w->f->ender) ||
        syscall(SYS_tgkill, getpid(), by, 0) != 0) {
        return false;
    }
    struct fuse_out_header rc = {.len = sizeof rc, .error = -EDEADLK, .unique = head.unique};
    ssize_t n = write(fuse_session_fd(w->f->session), &rc, sizeof rc);
    (void)n; /* the kernel took it back meanwhile */
    return true;
}

/* False: this worker ends. */
static bool serve_one(struct fuse_worker *w)
{
    struct cis_fuse *f = w->f;
    int was;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &was);
    int n = fuse_session_receive_buf(f->session, &w->buf);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
    if (n > 0) {
        if (atomic_fetch_sub(&f->idle, 1) == 1 && !atomic_exchange(&f->watching, true)) {
            cis_fuse_wake(f);
        }
        if (!refuse_own(w)) {
            fuse_session_process_buf(f->session, &w->buf);
            request_done(w);
        }
        atomic_fetch_add(&f->answered, 1);
        atomic_fetch_add(&f->idle, 1);
    } else if (n < 0 && n != -EINTR && n != -EAGAIN) {
        int none = 0;
        (void)atomic_compare_exchange_strong(&f->failed, &none, -n);
        return false;
    }
    return n != 0 && !fuse_session_exited(f->session); /* 0: unmounted */
}

static void *work(void *arg)
{
    int was;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
    self = arg;
    pthread_cleanup_push(worker_end, arg);
    while (serve_one(arg)) {
    }
    pthread_cleanup_pop(1);
    return NULL;
}

/* When all have been at work for a while, another is needed: somebody has to hear of interruptions.
 * Milliseconds until the next look, -1: none is due. */
static int watch(struct cis_fuse *f, uint64_t *since_ns)
{
    uint64_t now = cis_clock_mono_ns();
    if (!atomic_load(&f->watching)) {
        return -1;
    }
    if (atomic_load(&f->idle) != 0) {
        atomic_store(&f->watching, false);
        *since_ns = 0;
        /* They may all have become busy in between, and seen that somebody watches. */
        if (atomic_load(&f->idle) != 0) {
            return -1;
        }
        atomic_store(&f->watching, true);
    }
    if (*since_ns == 0) {
        *since_ns = now;
    } else if (now - *since_ns >= FUSE_BUSY_NS) {
        (void)worker_add(f);
        *since_ns = now;
    }
    return (int)(FUSE_BUSY_NS / CIS_NS_PER_MS);
}

/* Looks after the workers for one wait, of *timeout milliseconds; sets the next. False: the mount
 * is to end, or nothing can be waited for. */
static bool attend_once(struct cis_fuse *f, bool stoppable, uint64_t *busy_ns, int *timeout)
{
    struct pollfd fds[3] = {{.fd = f->interrupt_fd, .events = POLLIN},
                            {.fd = stoppable ? f->stop_fd : -1, .events = POLLIN},
                            {.fd = stoppable ? f->cancel_fd : -1, .events = POLLIN}};
    int ready = poll(fds, 3, *timeout);
    if ((ready < 0 && errno != EINTR) || (ready > 0 && (fds[1].revents | fds[2].revents) != 0)) {
        return false;
    }
    uint64_t count;
    if (ready > 0 && fds[0].revents != 0 && read(f->interrupt_fd, &count, sizeof count) < 0 &&
        errno != EAGAIN) {
        return false;
    }
    int due = fire_due(f), look = watch(f, busy_ns);
    *timeout = due < 0 || (look >= 0 && look < due) ? look : due;
    return true;
}

/* Until the mount ends. */
static void attend(struct cis_fuse *f)
{
    int timeout = -1;
    uint64_t busy_ns = 0;
    while (attend_once(f, true, &busy_ns, &timeout)) {
    }
}

/* The workers go on while the mount is taken down: they are what the kernel writes to. */
static void attend_end(struct cis_fuse *f)
{
    const int step = 100;
    int timeout = 0;
    uint64_t busy_ns = 0, now = cis_clock_mono_ns(), last = now;
    uint64_t until = cis_clock_after(now, FUSE_DOWN_NS), answered = atomic_load(&f->answered);
    if (!cis_fuse_take_down(f)) {
        return;
    }
    while (!atomic_load(&f->down) && atomic_load(&f->ended) < f->nworkers && now < until &&
           now - last < FUSE_STUCK_NS && attend_once(f, false, &busy_ns, &timeout)) {
        timeout = timeout < 0 || timeout > step ? step : timeout;
        now = cis_clock_mono_ns();
        last = atomic_load(&f->answered) != answered ? now : last;
        answered = atomic_load(&f->answered);
    }
}

static void end_workers(struct cis_fuse *f)
{
    cis_mutex_lock(&f->lock, fuse_lock_mount);
    f->ending = true;
    cis_mutex_unlock(&f->lock, fuse_lock_mount);
    for (unsigned i = 0; i < f->nworkers; i++) {
        pthread_cancel(f->workers[i].thread);
    }
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), FUSE_PATIENCE_NS);
    while (atomic_load(&f->ended) < f->nworkers && cis_clock_mono_ns() < until) {
        (void)poll(NULL, 0, 2);
    }
    for (unsigned i = 0; i < f->nworkers; i++) {
        fire(&f->workers[i]); /* who is still at work waits for something that does not come */
        pthread_join(f->workers[i].thread, NULL);
    }
    cis_lock_alone(fuse_lock_worker);
    for (unsigned i = 0; i < FUSE_THREADS_MAX; i++) {
        cis_cancel_unref(f->workers[i].token);
        pthread_mutex_destroy(&f->workers[i].lock);
    }
    cis_free(cis_take(&f->workers));
}

cis_code cis_fuse_run(cis_fuse *fuse, struct cis_error *err)
{
    int rc = 0;
    fuse->workers = cis_calloc(FUSE_THREADS_MAX, sizeof *fuse->workers);
    if (fuse->workers == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "mount: out of memory");
    }
    for (unsigned i = 0; i < FUSE_THREADS_MAX; i++) {
        fuse->workers[i].f = fuse;
        pthread_mutex_init(&fuse->workers[i].lock, NULL);
    }
    for (unsigned i = 0; rc == 0 && i < fuse->threads; i++) {
        rc = worker_add(fuse);
    }
    bool began = fuse->nworkers > 0;
    if (began) {
        attend(fuse);
        attend_end(fuse);
    }
    end_workers(fuse);
    if (!began) {
        return cis_fail_sys(err, CIS_E_LIMIT, rc, "mount: cannot start a thread");
    }
    int failed = atomic_load(&fuse->failed);
    return failed == 0
               ? CIS_OK
               : cis_fail_sys(err, CIS_E_IO, failed, "mount: cannot read requests from the kernel");
}
