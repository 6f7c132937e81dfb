#include "cli/mount.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/clock.h"
#include "fuse/fuse.h"
#include "history/history.h"
#include "vfs/control/control.h"
#include "vfs/layered/layered.h"

#define FLUSH_NS (3 * CIS_NS_PER_S) /* at least every 5 s, the work itself included */
#define LEASE_MS 30000u
#define RENEW_NS (8 * CIS_NS_PER_S)
#define SCARCE                                                                                     \
    (64ull << 20) /* bytes free on the store's disk below which closing a file commits             \
                   */
#define CALL_NS (20 * CIS_NS_PER_S) /* of one call of the store by the keeper */

struct mount {
    cis_store *store;
    const struct cis_cli *cli;
    const struct cis_mount_options *o;
    struct cis_str tenant;
    char ref[CIS_FS_REF_MAX + 1]; /* "" when a snapshot is mounted */
    char holder[128];
    uint64_t fence; /* 0: no lease */
    struct cis_view at;
    cis_forest *forest;
    cis_vfs *vfs; /* with control files */
    cis_fuse *fuse;
    int wake_fd; /* readable: the keeper ends */
    atomic_bool lost;
    atomic_int trouble;     /* errno of the last commit; 0: it was well */
    struct cis_error ended; /* why another tenant's branch can be read no more; by the keeper */
};

static struct cis_stop call_stop(void)
{
    return (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), CALL_NS), NULL};
}

static void tell(struct mount *m, enum cis_control_topic topic, const char *what,
                 const struct cis_error *err)
{
    char text[CIS_ERROR_MSG_MAX + 64];
    snprintf(text, sizeof text, "%s: %s", what, err->msg);
    cis_control_note(m->vfs, topic, text);
    fprintf(stderr, "cis: mount %s: %s\n", m->o->dir, text);
}

/* ---- which tree ---- */

static bool take_snapshot(void *self, const struct cis_fs_snapshot *snapshot)
{
    *(struct cis_view *)self = snapshot->view;
    return false;
}

static cis_code find_snapshot(struct mount *m, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_str name = cis_str_of(m->o->snapshot);
    CIS_TRY(m->store->fs->snapshots(m->store, m->tenant, name, take_snapshot, &m->at, stop, err));
    return m->at.branch != 0
               ? CIS_OK
               : cis_fail(err, CIS_E_NOTFOUND, "snapshot %s: no such snapshot", m->o->snapshot);
}

static cis_code find_branch(struct mount *m, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_str name = cis_str_of(m->o->branch != NULL ? m->o->branch : "");
    struct cis_fs_ref ref;
    struct cis_error first = {0};
    cis_code code = m->store->fs->ref_get(m->store, m->tenant, name, &ref, stop, &first);
    if (code == CIS_E_NOTFOUND && m->o->branch == NULL && !m->o->read_only) {
        code = m->store->fs->tenant_create(m->store, m->tenant, getuid(), getgid(), stop, err);
        if (code == CIS_OK || code == CIS_E_EXISTS) {
            code = m->store->fs->ref_get(m->store, m->tenant, name, &ref, stop, &first);
        }
    }
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s", first.msg);
    }
    memcpy(m->ref, ref.name, sizeof m->ref);
    return CIS_OK;
}

static cis_code take_lease(struct mount *m, const struct cis_stop *stop, struct cis_error *err)
{
    char host[64] = "";
    (void)gethostname(host, sizeof host - 1);
    /* As much of the place as there is room for. */
    snprintf(m->holder, sizeof m->holder, "mount %d %.40s:%.60s", (int)getpid(), host, m->o->dir);
    return m->store->fs->lease(m->store, m->tenant, cis_str_of(m->ref), m->holder, 0, LEASE_MS,
                               &m->fence, stop, err);
}

static void drop_lease(struct mount *m)
{
    struct cis_stop stop = call_stop();
    struct cis_error err = {0};
    uint64_t fence = 0;
    if (m->fence != 0 && !atomic_load(&m->lost)) {
        /* It runs out by itself if this fails. */
        (void)m->store->fs->lease(m->store, m->tenant, cis_str_of(m->ref), m->holder, m->fence, 0,
                                  &fence, &stop, &err);
    }
}

/* ---- trees ---- */

static cis_code open_tree(void *self, struct cis_view at, bool head, cis_vfs **out_vfs,
                          struct cis_error *err)
{
    struct mount *m = self;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cis_stop stop = call_stop();
    o.tenant = m->tenant;
    o.ref = cis_str_of(m->ref);
    if (m->o->from != NULL) {
        o.from = cis_str_of(m->o->from);
    } else if (head && m->fence != 0) {
        o.auto_commit = true;
        o.kind = "mount";
        o.note = m->o->dir;
        o.fence = m->fence;
    } else {
        o.at = at;
        o.read_only = true;
    }
    return cis_layered_open(m->forest, &o, &stop, out_vfs, err);
}

struct differences {
    struct cis_buf *out;
    bool more;
};

static bool note_change(void *self, const struct cis_change *change)
{
    struct differences *d = self;
    cis_buf_printf(d->out, "%s{\"change\":\"%c\",\"path\":", d->more ? "," : "", change->what);
    cis_buf_json(d->out, change->path);
    if (change->what == 'R') {
        cis_buf_text(d->out, ",\"from\":");
        cis_buf_json(d->out, change->from);
    }
    cis_buf_printf(d->out, ",\"size\":%" PRIu64 ",\"old_size\":%" PRIu64 "}", change->size,
                   change->old_size);
    d->more = true;
    return d->out->failed == CIS_OK;
}

static cis_code diff_trees(void *self, struct cis_view from, struct cis_view to,
                           struct cis_buf *out, struct cis_error *err)
{
    const struct mount *m = self;
    struct cis_stop stop = call_stop();
    struct cis_history history = {.store = m->store, .tenant = m->tenant, .stop = &stop};
    struct differences differences = {out, false};
    cis_buf_text(out, "[");
    CIS_TRY(cis_history_diff(&history, from, to, note_change, &differences, err));
    cis_buf_text(out, "]\n");
    return CIS_OK;
}

static void kernel_forgets(void *self, cis_node dir, struct cis_str name)
{
    const struct mount *m = self;
    cis_fuse_invalidate(m->fuse, dir, name);
}

static cis_code open_trees(struct mount *m, struct cis_error *err)
{
    struct cis_forest_options forest = CIS_FOREST_OPTIONS_INIT;
    struct cis_control_options control = CIS_CONTROL_OPTIONS_INIT;
    cis_vfs *head = NULL;
    CIS_TRY(cis_forest_new(m->store, &forest, &m->forest, err));
    CIS_TRY(open_tree(m, m->at, true, &head, err));
    if (m->o->from == NULL) {
        control.store = m->store;
        control.tenant = m->tenant;
    } else { /* snapshots and history are not published */
        control.tenant = cis_str_of(m->o->from);
    }
    control.ref = cis_str_of(m->fence != 0 ? m->ref : "");
    control.fence = m->fence;
    control.uid = geteuid();
    control.gid = getegid();
    control.open = open_tree;
    control.diff = diff_trees;
    control.switched = kernel_forgets;
    control.self = m;
    cis_code code = cis_control_new(head, &control, &m->vfs, err);
    if (code != CIS_OK) {
        cis_vfs_close(head);
    }
    return code;
}

/* ---- the keeper ---- */

/* Somebody else may write to the branch now: nothing of ours can go there any more. */
static void lease_lost(struct mount *m, const struct cis_error *why)
{
    char name[CIS_FS_REF_MAX + 1];
    struct cis_stop stop = call_stop();
    struct cis_error err = {0};
    atomic_store(&m->lost, true);
    cis_control_seal(m->vfs);
    cis_vfs *head = cis_control_head(m->vfs);
    if (!cis_layered_dirty(head)) {
        tell(m, CIS_CONTROL_LEASE, "read-only from now on, everything was committed", why);
        return;
    }
    snprintf(name, sizeof name, "%.80s@lost-%" PRId64, m->ref, cis_clock_wall_ms() / 1000);
    if (cis_layered_commit_fork(head, cis_str_of(name), NULL, NULL, &stop, &err) == CIS_OK) {
        snprintf(err.msg, sizeof err.msg, "what was not committed is branch %.90s (%.80s)", name,
                 why->msg);
        tell(m, CIS_CONTROL_LEASE, "read-only from now on", &err);
    } else {
        tell(m, CIS_CONTROL_LEASE,
             "read-only from now on, and what was not committed could not be saved", &err);
    }
}

/* A machine that slept finds its lease run out, and usually nobody took it meanwhile: it is ours
 * again if nothing was committed since, which the kernel would not know. */
static bool regain(struct mount *m)
{
    struct cis_stop stop = call_stop();
    struct cis_fs_ref ref;
    struct cis_view mine = cis_layered_view(cis_control_head(m->vfs));
    uint64_t fence = 0;
    return m->store->fs->lease(m->store, m->tenant, cis_str_of(m->ref), m->holder, m->fence,
                               LEASE_MS, &fence, &stop, NULL) == CIS_OK &&
           m->store->fs->ref_get(m->store, m->tenant, cis_str_of(m->ref), &ref, &stop, NULL) ==
               CIS_OK &&
           ref.head.branch == mine.branch && ref.head.epoch == mine.epoch;
}

static cis_code flush_once(struct mount *m, struct cis_error *err)
{
    struct cis_stop stop = call_stop();
    struct cis_vfs_call call = {.stop = &stop, .err = err};
    int no = m->vfs->ops->flush(m->vfs, &call);
    no = no == EROFS ? 0 : no; /* sealed: told when it was */
    if (atomic_exchange(&m->trouble, no) != 0 && no == 0) {
        cis_control_well(m->vfs, CIS_CONTROL_COMMIT);
    }
    if (no == 0) {
        return CIS_OK;
    }
    return err->code != CIS_OK ? err->code : cis_fail_sys(err, CIS_E_IO, no, "flush");
}

static void flush(struct mount *m)
{
    struct cis_error err = {0};
    cis_code code = flush_once(m, &err);
    if (code == CIS_E_CONFLICT && regain(m)) {
        err = (struct cis_error){0};
        code = flush_once(m, &err);
    }
    if (code == CIS_OK) {
        return;
    }
    if (err.code == CIS_E_CONFLICT || err.code == CIS_E_EXPIRED) {
        lease_lost(m, &err);
    } else {
        tell(m, CIS_CONTROL_COMMIT, "not committed yet", &err); /* tried again */
    }
}

/* ---- what the threads that serve tell ---- */

static bool disk_is_scarce(const struct mount *m)
{
    struct statvfs st;
    return m->store->folder != NULL && statvfs(m->store->folder, &st) == 0 &&
           (uint64_t)st.f_bavail * st.f_frsize < SCARCE;
}

/* What is written waits for the keeper's commit. When that is known to fail, or likely to, it is
 * tried before close(2) is answered, so that the answer is the truth. */
static int on_closed(void *self, const struct cis_vfs_call *call)
{
    struct mount *m = self;
    int known = atomic_load(&m->trouble);
    if (m->fence == 0 || atomic_load(&m->lost) || (known == 0 && !disk_is_scarce(m))) {
        return 0;
    }
    int no = m->vfs->ops->flush(m->vfs, call);
    if (no == EINTR) {
        return known; /* it is tried again without whoever waited */
    }
    no = no == EROFS ? 0 : no;
    if (atomic_exchange(&m->trouble, no) != 0 && no == 0) {
        cis_control_well(m->vfs, CIS_CONTROL_COMMIT);
    }
    return no;
}

static void on_failed(void *self, int no, const char *why)
{
    const struct mount *m = self;
    char text[CIS_ERROR_MSG_MAX + 64];
    snprintf(text, sizeof text, "%s: %s", strerrorname_np(no), why);
    cis_control_note(m->vfs, CIS_CONTROL_REQUEST, text);
}

static void renew(struct mount *m)
{
    struct cis_stop stop = call_stop();
    struct cis_error err = {0};
    uint64_t fence = 0;
    cis_code code = m->store->fs->lease(m->store, m->tenant, cis_str_of(m->ref), m->holder,
                                        m->fence, LEASE_MS, &fence, &stop, &err);
    if (code == CIS_E_CONFLICT || code == CIS_E_NOTFOUND || code == CIS_E_EXPIRED) {
        lease_lost(m, &err);
    } else if (code != CIS_OK) {
        tell(m, CIS_CONTROL_LEASE, "the lease is not renewed yet", &err);
    }
}

static void *keep(void *self)
{
    struct mount *m = self;
    uint64_t flushed = cis_clock_mono_ns(), renewed = flushed;
    struct pollfd wake = {.fd = m->wake_fd, .events = POLLIN};
    while (!atomic_load(&m->lost)) {
        int n = poll(&wake, 1, 500);
        if (n > 0 || (n < 0 && errno != EINTR)) {
            break;
        }
        uint64_t now = cis_clock_mono_ns();
        if (now - flushed >= FLUSH_NS) {
            flush(m);
            flushed = cis_clock_mono_ns();
        }
        if (now - renewed >= RENEW_NS && !atomic_load(&m->lost)) {
            renew(m);
            renewed = now;
        }
    }
    return NULL;
}

/* What is published no more is not shown any longer: also the kernel has to forget it. */
static void *keep_guest(void *self)
{
    struct mount *m = self;
    struct pollfd wake = {.fd = m->wake_fd, .events = POLLIN};
    for (;;) {
        int n = poll(&wake, 1, (int)(RENEW_NS / CIS_NS_PER_MS));
        if (n > 0 || (n < 0 && errno != EINTR)) {
            return NULL;
        }
        struct cis_stop stop = call_stop();
        struct cis_error err = {0};
        cis_code code = cis_layered_renew(cis_control_head(m->vfs), &stop, &err);
        if (code == CIS_E_DENIED || code == CIS_E_NOTFOUND || code == CIS_E_EXPIRED) {
            m->ended = err;
            cis_fuse_stop(m->fuse);
            return NULL;
        }
    }
}

/* ---- from beginning to end ---- */

static cis_code run(struct mount *m, struct cis_error *err)
{
    pthread_t keeper;
    bool guest = m->o->from != NULL, kept = guest || m->fence != 0;
    int rc = kept ? pthread_create(&keeper, NULL, guest ? keep_guest : keep, m) : 0;
    if (rc != 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, rc, "mount: a thread");
    }
    cis_code code = m->o->ready(m->o->self)
                        ? cis_fuse_run(m->fuse, err)
                        : cis_fail(err, CIS_E_CANCELLED, "mount: nobody waits for it");
    if (kept) {
        uint64_t one = 1;
        ssize_t n = write(m->wake_fd, &one, sizeof one);
        (void)n;
        pthread_join(keeper, NULL);
    }
    if (code == CIS_OK && m->ended.code != CIS_OK) {
        return cis_fail(err, m->ended.code, "%s", m->ended.msg);
    }
    return code;
}

/* What was written last is committed after the kernel's last request, or told as not kept. */
static cis_code finish(struct mount *m, struct cis_error *err)
{
    cis_fuse_free(m->fuse);
    m->fuse = NULL;
    if (m->fence == 0 || atomic_load(&m->lost)) {
        return atomic_load(&m->lost)
                   ? cis_fail(err, CIS_E_CONFLICT, "%s: the lease was lost", m->o->dir)
                   : CIS_OK;
    }
    flush(m);
    if (!atomic_load(&m->lost) && cis_layered_dirty(cis_control_head(m->vfs))) {
        (void)cis_fail(err, CIS_E_STORE, "the last changes could not be committed");
        lease_lost(m, err);
        return CIS_E_STORE;
    }
    return atomic_load(&m->lost)
               ? cis_fail(err, CIS_E_CONFLICT, "%s: the lease was lost", m->o->dir)
               : CIS_OK;
}

static void mount_done(struct mount *m)
{
    cis_fuse_free(m->fuse);
    cis_vfs_close(m->vfs);
    cis_forest_free(m->forest);
    drop_lease(m);
    if (m->wake_fd >= 0) {
        close(m->wake_fd);
    }
}

static cis_code open_mount(struct mount *m, struct cis_error *err)
{
    struct cis_stop stop = {CIS_NEVER, m->cli->cancel};
    struct cis_fuse_options o = CIS_FUSE_OPTIONS_INIT;
    char name[CIS_TENANT_MAX + CIS_FS_REF_MAX + 8];
    CIS_TRY(cis_store_folder_check(m->store, m->o->dir, err));
    if (m->o->from != NULL) {
        snprintf(m->ref, sizeof m->ref, "%s", m->o->branch);
    } else {
        CIS_TRY(m->o->snapshot != NULL ? find_snapshot(m, &stop, err) : find_branch(m, &stop, err));
    }
    if (m->o->from == NULL && m->o->snapshot == NULL && !m->o->read_only) {
        CIS_TRY(take_lease(m, &stop, err));
    }
    CIS_TRY(open_trees(m, err));
    struct cis_str whose = m->o->from != NULL ? cis_str_of(m->o->from) : m->tenant;
    snprintf(name, sizeof name, "cis:%.*s:%s", (int)whose.len, whose.ptr,
             m->o->snapshot != NULL ? m->o->snapshot : m->ref);
    o.fsname = name;
    o.read_only = m->o->snapshot != NULL || m->o->from != NULL;
    o.allow_other = m->o->allow_other;
    o.exclusive = true; /* by the lease, or because what is shown never changes */
    o.cancel = m->cli->cancel;
    o.failed = on_failed;
    o.closed = on_closed;
    o.self = m;
    m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->wake_fd < 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, errno, "mount: eventfd");
    }
    return cis_fuse_mount(m->vfs, m->o->dir, &o, &m->fuse, err);
}

cis_code cis_mount_serve(cis_app *app, const struct cis_cli *cli,
                         const struct cis_mount_options *options, struct cis_error *err)
{
    CIS_CLEANUP(mount_done)
    struct mount m = {.cli = cli, .o = options, .tenant = cis_str_of(cli->tenant), .wake_fd = -1};
    CIS_TRY(cis_app_store(app, &m.store, err));
    CIS_TRY(open_mount(&m, err));
    cis_code code = run(&m, err);
    struct cis_error last = {0};
    cis_code end = finish(&m, &last);
    if (code == CIS_OK && end != CIS_OK) {
        code = cis_fail(err, end, "%s", last.msg);
    }
    return code;
}
