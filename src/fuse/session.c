/* The mount itself: session, workers, stop. The workers block in reading the device, where a
 * request wakes exactly one of them; whoever runs the mount waits for its end and cancels them
 * there, the only place where they can be cancelled. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/mem.h"
#include "fuse/internal.h"

#define THREADS_MAX 64u

static _Thread_local uint8_t *scratch;

uint8_t *cis_fuse_scratch(void)
{
    if (scratch == NULL) {
        scratch = cis_alloc(FUSE_IO_MAX);
    }
    return scratch;
}

int cis_fuse_handle_add(struct cis_fuse *f, cis_vfs_file *file, struct fuse_file_info *fi)
{
    struct fuse_handle *h = cis_alloc(sizeof *h);
    if (h == NULL) {
        file->vfs->ops->release(file);
        return ENOMEM;
    }
    h->file = file;
    pthread_mutex_lock(&f->lock);
    h->next = f->handles;
    h->link = &f->handles;
    if (h->next != NULL) {
        h->next->link = &h->next;
    }
    f->handles = h;
    pthread_mutex_unlock(&f->lock);
    fi->fh = (uintptr_t)h;
    return 0;
}

void cis_fuse_handle_drop(struct cis_fuse *f, struct fuse_handle *h)
{
    pthread_mutex_lock(&f->lock);
    *h->link = h->next;
    if (h->next != NULL) {
        h->next->link = h->link;
    }
    pthread_mutex_unlock(&f->lock);
    h->file->vfs->ops->release(h->file);
    cis_free(h);
}

struct worker {
    struct cis_fuse *f;
    pthread_t thread;
    struct fuse_buf buf; /* libfuse's allocation */
};

static void worker_end(void *self)
{
    struct worker *w = self;
    cis_fuse_stop(w->f); /* one leaves, all leave */
    cis_free(w->buf.mem);
    cis_free(scratch);
    scratch = NULL;
}

/* False: this worker ends. */
static bool serve_one(struct worker *w)
{
    struct cis_fuse *f = w->f;
    int was;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &was);
    int n = fuse_session_receive_buf(f->session, &w->buf);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
    if (n > 0) {
        fuse_session_process_buf(f->session, &w->buf);
    } else if (n < 0 && n != -EINTR && n != -EAGAIN) {
        int none = 0;
        (void)atomic_compare_exchange_strong(&f->failed, &none, -n);
        return false;
    }
    return n != 0 && !fuse_session_exited(f->session); /* 0: unmounted */
}

static void *work(void *self)
{
    int was;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
    pthread_cleanup_push(worker_end, self);
    while (serve_one(self)) {
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void wait_end(const struct cis_fuse *f)
{
    struct pollfd fds[2] = {{.fd = f->stop_fd, .events = POLLIN},
                            {.fd = f->cancel_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
}

cis_code cis_fuse_run(cis_fuse *fuse, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) struct worker *workers = cis_calloc(fuse->threads, sizeof *workers);
    unsigned n = 0;
    int rc = workers == NULL ? ENOMEM : 0;
    while (rc == 0 && n < fuse->threads) {
        workers[n].f = fuse;
        rc = pthread_create(&workers[n].thread, NULL, work, &workers[n]);
        n += rc == 0;
    }
    if (n == 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, rc, "mount: no thread for it");
    }
    wait_end(fuse);
    for (unsigned i = 0; i < n; i++) {
        pthread_cancel(workers[i].thread);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    int failed = atomic_load(&fuse->failed);
    return failed == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, failed, "mount: reading requests");
}

void cis_fuse_stop(cis_fuse *fuse)
{
    uint64_t one = 1;
    ssize_t n = write(fuse->stop_fd, &one, sizeof one); /* full means it is readable already */
    (void)n;
}

void cis_fuse_invalidate(cis_fuse *fuse, cis_node dir, struct cis_str name)
{
    /* An error means that it knew nothing. */
    if (name.len == 0) {
        (void)fuse_lowlevel_notify_inval_inode(fuse->session, fuse_id(fuse, dir), 0, 0);
    } else {
        (void)fuse_lowlevel_notify_inval_entry(fuse->session, fuse_id(fuse, dir), name.ptr,
                                               name.len);
    }
}

void cis_fuse_free(cis_fuse *fuse)
{
    if (fuse == NULL) {
        return;
    }
    if (fuse->mounted) {
        fuse_session_unmount(fuse->session);
    }
    if (fuse->session != NULL) {
        fuse_session_destroy(fuse->session);
    }
    while (fuse->handles != NULL) { /* open when the mount ended */
        cis_fuse_handle_drop(fuse, fuse->handles);
    }
    pthread_mutex_destroy(&fuse->lock);
    if (fuse->stop_fd >= 0) {
        close(fuse->stop_fd);
    }
    cis_free(fuse);
}

static cis_code judge_place(const char *dir, struct cis_error *err)
{
    struct stat st;
    if (stat(dir, &st) != 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_DENIED, errno, "%s", dir);
    }
    if (!S_ISDIR(st.st_mode)) {
        return cis_fail(err, CIS_E_USAGE, "%s: not a directory", dir);
    }
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        return cis_fail_sys(err, CIS_E_UNSUPPORTED, errno, "/dev/fuse: this system cannot mount");
    }
    return CIS_OK;
}

static cis_code start(cis_fuse *f, const char *dir, const struct cis_fuse_options *o,
                      struct cis_error *err)
{
    struct cis_buf text = CIS_BUF_INIT(1024);
    cis_buf_printf(&text, "fsname=%s,subtype=cis,default_permissions%s%s",
                   o->fsname != NULL ? o->fsname : "cis", o->read_only ? ",ro" : "",
                   o->allow_other ? ",allow_other" : "");
    const char *list[] = {"cis", "-o", cis_buf_cstr(&text)};
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    int rc = 0;
    for (size_t i = 0; i < 3 && rc == 0; i++) {
        rc = fuse_opt_add_arg(&args, list[i]);
    }
    if (rc == 0 && cis_buf_check(&text, "mount options", err) == CIS_OK) {
        f->session = fuse_session_new(&args, &cis_fuse_ops, sizeof cis_fuse_ops, f);
    }
    fuse_opt_free_args(&args);
    cis_buf_done(&text);
    if (f->session == NULL) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: the mount's options were refused", dir);
    }
    errno = 0;
    if (fuse_session_mount(f->session, dir) != 0) {
        return cis_fail_sys(err, CIS_E_DENIED, errno != 0 ? errno : EPERM, "%s: cannot mount", dir);
    }
    f->mounted = true;
    return CIS_OK;
}

cis_code cis_fuse_mount(cis_vfs *vfs, const char *dir, const struct cis_fuse_options *options,
                        cis_fuse **out_fuse, struct cis_error *err)
{
    CIS_TRY(judge_place(dir, err));
    cis_fuse *f = cis_zalloc(sizeof *f);
    if (f == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "mount: out of memory");
    }
    f->vfs = vfs;
    f->exclusive = options->exclusive;
    f->keep = options->exclusive ? 3600.0 : 0.0;
    f->threads = options->threads == 0 ? 4 : options->threads;
    f->threads = f->threads > THREADS_MAX ? THREADS_MAX : f->threads;
    f->cancel_fd = options->cancel != NULL ? cis_cancel_fd(options->cancel) : -1;
    pthread_mutex_init(&f->lock, NULL);
    f->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cis_code code = f->stop_fd < 0 ? cis_fail_sys(err, CIS_E_LIMIT, errno, "mount: eventfd")
                                   : start(f, dir, options, err);
    if (code != CIS_OK) {
        cis_fuse_free(f);
        return code;
    }
    *out_fuse = f;
    return CIS_OK;
}
