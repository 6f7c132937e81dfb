#include "cli/fs/mount_in.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "history/history.h"
#include "store/calls.h"

/* ---- which tree ---- */

static bool take_snapshot(void *self, const struct cis_fs_snapshot *snapshot)
{
    *(struct cis_view *)self = snapshot->view;
    return false;
}

static cis_code no_snapshot(const struct mount *m, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOTFOUND, "snapshot %s: no such snapshot", m->o->snapshot);
}

static cis_code find_snapshot(struct mount *m, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_str name = cis_str_of(m->o->snapshot);
    CIS_TRY(cis_store_snapshots(m->store, m->tenant, name, take_snapshot, &m->at, stop, err));
    return m->at.branch != 0 ? CIS_OK : no_snapshot(m, err);
}

/* From here on a later tenant of the name is another one. */
static cis_code find_tenant(struct mount *m, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_tenant row;
    struct cis_error first = {0};
    bool makes = m->o->branch == NULL && m->o->snapshot == NULL && !m->o->read_only;
    cis_code code = cis_store_tenant_get(m->store, m->tenant, &row, stop, &first);
    if (code == CIS_E_NOTFOUND && makes) {
        code = cis_store_tenant_create(m->store, m->tenant, getuid(), getgid(), stop, err);
        if (code == CIS_OK || code == CIS_E_EXISTS) {
            code = cis_store_tenant_get(m->store, m->tenant, &row, stop, &first);
        }
    }
    if (code == CIS_E_NOTFOUND && m->o->snapshot != NULL) {
        return no_snapshot(m, err);
    }
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s", first.msg);
    }
    cis_wipe(row.key, sizeof row.key);
    snprintf(m->exact, sizeof m->exact, "%s#%s", row.name, row.instance);
    m->tenant = cis_str_of(m->exact);
    return CIS_OK;
}

static cis_code find_branch(struct mount *m, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_str name = cis_str_of(m->o->branch != NULL ? m->o->branch : "");
    struct cis_fs_ref ref;
    CIS_TRY(cis_store_ref_get(m->store, m->tenant, name, &ref, stop, err));
    memcpy(m->ref, ref.name, sizeof m->ref);
    return CIS_OK;
}

static cis_code take_lease(struct mount *m, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_fs_ref ref;
    cis_holder_name(m->holder, "mount", m->o->dir);
    CIS_TRY(cis_store_ref_held(m->store, m->tenant, cis_str_of(m->ref), &ref, stop, err));
    return cis_store_lease(m->store, m->tenant,
                           &(struct cis_fs_lease_request){.ref = cis_str_of(m->ref),
                                                          .holder = m->holder,
                                                          .ttl_ms = CIS_MOUNT_LEASE_MS},
                           &m->fence, stop, err);
}

static void drop_lease(struct mount *m)
{
    struct cis_stop stop = cis_mount_call_stop();
    struct cis_error err = {0};
    uint64_t fence = 0;
    if (m->fence != 0 && !atomic_load(&m->lost)) {
        /* It runs out by itself if this fails. */
        (void)m->store->fs->lease(m->store, m->tenant,
                                  &(struct cis_fs_lease_request){.ref = cis_str_of(m->ref),
                                                                 .holder = m->holder,
                                                                 .fence = m->fence},
                                  &fence, &stop, &err);
    }
}

/* ---- trees ---- */

static cis_code open_tree(void *self, struct cis_view at, bool head, cis_vfs **out_vfs,
                          struct cis_error *err)
{
    struct mount *m = self;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cis_stop stop = cis_mount_call_stop();
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
    return cis_layered_open(m->fs_cache, &o, &stop, out_vfs, err);
}

struct differences {
    struct cis_buf *out;
    bool more;
};

static bool note_change(void *self, const struct cis_change *change)
{
    struct differences *d = self;
    cis_json_object(d->out,
                    CIS_JSON(CIS_J("change", ((struct cis_str){&change->what, 1})),
                             CIS_J("path", change->path),
                             CIS_J_IF(change->cut, CIS_J_BOOL("cut", true)),
                             CIS_J_IF(change->what == 'R', CIS_J("from", change->from)),
                             CIS_J("size", change->size), CIS_J("old_size", change->old_size)));
    return d->out->failed == CIS_OK;
}

static cis_code diff_trees(void *self, struct cis_view from, struct cis_view to,
                           struct cis_buf *out, struct cis_error *err)
{
    const struct mount *m = self;
    struct cis_stop stop = cis_mount_call_stop();
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
    struct cis_control_options control = CIS_CONTROL_OPTIONS_INIT;
    cis_vfs *head = NULL;
    CIS_TRY(cis_fs_cache_new(m->store, &m->caches, &m->fs_cache, err));
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

/* ---- from beginning to end ---- */

static cis_code run(struct mount *m, struct cis_error *err)
{
    pthread_t keeper;
    bool visitor = m->o->from != NULL, kept = visitor || m->fence != 0;
    int rc = kept
                 ? pthread_create(&keeper, NULL, visitor ? cis_mount_keep_guest : cis_mount_keep, m)
                 : 0;
    if (rc != 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, rc, "mount: cannot start a thread");
    }
    cis_code code =
        m->o->ready(m->o->self)
            ? cis_fuse_run(m->fuse, err)
            : cis_fail(err, CIS_E_CANCELLED, "mount: the process that started it has ended");
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

static cis_code end_lost(struct mount *m, struct cis_error *err)
{
    if (m->unsaved) {
        cis_mount_save(m);
    }
    return cis_fail(err, CIS_E_CONFLICT, "%s: the lease was lost%s", m->o->dir,
                    m->unsaved ? ", and what was not committed could not be saved" : "");
}

/* What was written last is committed after the kernel's last request, or told as not kept. */
static cis_code finish(struct mount *m, struct cis_error *err)
{
    cis_fuse_free(m->fuse);
    m->fuse = NULL;
    if (m->fence == 0) {
        return CIS_OK;
    }
    if (atomic_load(&m->lost)) {
        return end_lost(m, err);
    }
    cis_mount_flush(m);
    cis_vfs *head = cis_control_head(m->vfs);
    if (!atomic_load(&m->lost) && cis_layered_dirty(head)) {
        char left[CIS_ERROR_MSG_MAX];
        struct cis_stop stop = cis_mount_call_stop();
        if (cis_layered_commit_rest(head, NULL, left, &stop, NULL) != CIS_OK) {
            (void)cis_fail(err, CIS_E_STORE, "the last changes could not be committed");
            cis_mount_lease_lost(m, err);
            return CIS_E_STORE;
        }
        return left[0] == 0
                   ? CIS_OK
                   : cis_fail(err, CIS_E_IO, "%s: not saved, because its content is lost: %s",
                              m->o->dir, left);
    }
    return atomic_load(&m->lost) ? end_lost(m, err) : CIS_OK;
}

static void mount_done(struct mount *m)
{
    cis_fuse_free(m->fuse);
    cis_vfs_close(m->vfs);
    cis_fs_cache_free(m->fs_cache);
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
        CIS_TRY(find_tenant(m, &stop, err));
        CIS_TRY(m->o->snapshot != NULL ? find_snapshot(m, &stop, err) : find_branch(m, &stop, err));
    }
    if (m->o->from == NULL && m->o->snapshot == NULL && !m->o->read_only) {
        CIS_TRY(take_lease(m, &stop, err));
    }
    CIS_TRY(open_trees(m, err));
    struct cis_str whose = m->o->from != NULL ? cis_str_of(m->o->from) : cis_str_of(m->cli->tenant);
    snprintf(name, sizeof name, "cis:%.*s:%s", (int)whose.len, whose.ptr,
             m->o->snapshot != NULL ? m->o->snapshot : m->ref);
    o.fsname = name;
    o.read_only = m->o->snapshot != NULL || m->o->from != NULL;
    o.allow_other = m->o->allow_other;
    o.exclusive = true; /* by the lease, or because what is shown never changes */
    o.cancel = m->cli->cancel;
    o.failed = cis_mount_on_failed;
    o.closed = cis_mount_on_closed;
    o.self = m;
    m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->wake_fd < 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, errno, "mount: cannot make an eventfd");
    }
    return cis_fuse_mount(m->vfs, m->o->dir, &o, &m->fuse, err);
}

cis_code cis_mount_serve(cis_app *app, const struct cis_cli *cli,
                         const struct cis_mount_options *options, struct cis_error *err)
{
    CIS_CLEANUP(mount_done)
    struct mount m = {.cli = cli, .o = options, .tenant = cis_str_of(cli->tenant), .wake_fd = -1};
    CIS_TRY(cis_app_store(app, &m.store, err));
    m.caches = cis_app_caches(app);
    CIS_TRY(open_mount(&m, err));
    cis_code code = run(&m, err);
    struct cis_error last = {0};
    cis_code end = finish(&m, &last);
    if (code == CIS_OK && end != CIS_OK) {
        code = cis_fail(err, end, "%s", last.msg);
    }
    return code;
}
