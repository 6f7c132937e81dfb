/* The mount itself: made, stopped, taken away; the files that are open in it. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/mem.h"
#include "fuse/internal.h"

int cis_fuse_handle_add(struct cis_fuse *f, cis_vfs_file *file, struct fuse_file_info *fi)
{
    struct fuse_handle *h = cis_alloc(sizeof *h);
    if (h == NULL) {
        cis_vfs_release(file);
        return ENOMEM;
    }
    h->file = file;
    atomic_init(&h->wrote, false);
    cis_mutex_lock(&f->lock, fuse_lock_mount);
    h->next = f->handles;
    h->link = &f->handles;
    if (h->next != NULL) {
        h->next->link = &h->next;
    }
    f->handles = h;
    cis_mutex_unlock(&f->lock, fuse_lock_mount);
    fi->fh = (uintptr_t)h;
    return 0;
}

void cis_fuse_handle_drop(struct cis_fuse *f, struct fuse_handle *h)
{
    cis_mutex_lock(&f->lock, fuse_lock_mount);
    *h->link = h->next;
    if (h->next != NULL) {
        h->next->link = h->link;
    }
    cis_mutex_unlock(&f->lock, fuse_lock_mount);
    cis_vfs_release(h->file);
    cis_free(h);
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
    if (fuse->ending_thread) { /* whatever it waited for is gone */
        pthread_join(fuse->end_thread, NULL);
    }
    if (fuse->session != NULL) {
        fuse_session_destroy(fuse->session);
    }
    cis_lock_alone(fuse_lock_mount);
    while (fuse->handles != NULL) { /* open when the mount ended */
        cis_fuse_handle_drop(fuse, fuse->handles);
    }
    pthread_mutex_destroy(&fuse->lock);
    if (fuse->stop_fd >= 0) {
        close(fuse->stop_fd);
    }
    if (fuse->interrupt_fd >= 0) {
        close(fuse->interrupt_fd);
    }
    cis_free(fuse->dir);
    cis_free(fuse);
}

static cis_code check_place(const char *dir, struct cis_error *err)
{
    struct stat st;
    if (stat(dir, &st) != 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_DENIED, errno, "%s", dir);
    }
    if (!S_ISDIR(st.st_mode)) {
        return cis_fail(err, CIS_E_USAGE, "%s: not a directory", dir);
    }
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        return cis_fail_sys(err, CIS_E_UNSUPPORTED, errno,
                            "/dev/fuse: cannot be opened, so this system cannot mount");
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
        return cis_fail(err, CIS_E_INTERNAL, "%s: libfuse refused the options of the mount", dir);
    }
    char place[32];
    if (o->mounted_fd > 0) {
        snprintf(place, sizeof place, "/dev/fd/%d", o->mounted_fd);
        dir = place;
    }
    errno = 0;
    if (fuse_session_mount(f->session, dir) != 0) {
        return cis_fail_sys(err, CIS_E_DENIED, errno != 0 ? errno : EPERM, "%s: cannot mount", dir);
    }
    f->mounted = true;
    if (o->mounted_fd <= 0) {
        cis_fuse_note_place(f);
    }
    return CIS_OK;
}

cis_code cis_fuse_mount(cis_vfs *vfs, const char *dir, const struct cis_fuse_options *options,
                        cis_fuse **out_fuse, struct cis_error *err)
{
    if (options->mounted_fd <= 0) {
        CIS_TRY(check_place(dir, err));
    }
    cis_fuse *f = cis_zalloc(sizeof *f);
    if (f == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "mount: out of memory");
    }
    f->vfs = vfs;
    f->o = *options;
    f->exclusive = options->exclusive;
    f->keep = options->exclusive ? 3600.0 : options->keep_ms / 1000.0;
    f->threads = options->threads == 0 ? 4 : options->threads;
    f->threads = f->threads > FUSE_THREADS_MAX ? FUSE_THREADS_MAX : f->threads;
    f->cancel_fd = options->cancel != NULL ? cis_cancel_fd(options->cancel) : -1;
    pthread_mutex_init(&f->lock, NULL);
    f->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->dir = cis_strdup(dir);
    cis_code code = f->stop_fd < 0 || f->interrupt_fd < 0
                        ? cis_fail_sys(err, CIS_E_LIMIT, errno, "mount: cannot make an eventfd")
                    : f->dir == NULL ? cis_fail(err, CIS_E_NOMEM, "mount: out of memory")
                                     : start(f, dir, options, err);
    if (code != CIS_OK) {
        cis_fuse_free(f);
        return code;
    }
    *out_fuse = f;
    return CIS_OK;
}
