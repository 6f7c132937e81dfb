/* cis_workspace: a layered filesystem with a namespace around it, by path. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "history/history.h"
#include "lib/internal.h"
#include "vfs/walk.h"

#define TRIES 100u /* of a write whose file others make and remove meanwhile */

struct cis_workspace {
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *root;
    cis_runtime *runtime; /* borrowed */
    cis_cancel *cancel;   /* borrowed */
    struct cis_stop stop;
    pthread_mutex_t made; /* held while a file that could not be written is taken back */
};

cis_code cis_lib_fs_cache(cis_runtime *runtime, cis_fs_cache **out_fs_cache, struct cis_error *err)
{
    if (runtime->store == NULL) {
        return cis_fail(err, CIS_E_USAGE, "the runtime keeps nothing: its config has no data_dir");
    }
    cis_code code = CIS_OK;
    cis_mutex_lock(&runtime->lock, lib_lock_runtime);
    if (runtime->fs_cache == NULL) {
        code = cis_fs_cache_new(runtime->store, &runtime->caches, &runtime->fs_cache, err);
    }
    if (code == CIS_OK) {
        *out_fs_cache = runtime->fs_cache;
    }
    cis_mutex_unlock(&runtime->lock, lib_lock_runtime);
    return code;
}

cis_code cis_lib_tenant(const char *name, struct cis_str *out, struct cis_error *err)
{
    *out = cis_str_of(name != NULL ? name : "default");
    return cis_tenant_valid(*out)
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE, "tenant: not [a-z0-9][a-z0-9._-]* of at most %u bytes",
                          CIS_TENANT_MAX);
}

/* ---- opening ---- */

static cis_code open_view(cis_workspace *w, cis_fs_cache *fs_cache, const cis_tenant *tenant,
                          const struct cis_workspace_options *o, struct cis_error *err)
{
    struct cis_layered_options layered = CIS_LAYERED_OPTIONS_INIT;
    struct cis_rev rev;
    layered.tenant = cis_str_of(tenant->name);
    layered.read_only = o->read_only;
    layered.kind = "fs";
    if (o->from_tenant != NULL) {
        CIS_TRY(cis_lib_tenant(o->from_tenant, &layered.from, err));
        layered.ref = cis_str_of(o->state != NULL ? o->state : "");
    } else if (o->state != NULL && o->state[0] != 0) {
        struct cis_history h = {w->runtime->store, layered.tenant, &w->stop, 0};
        CIS_TRY(cis_history_resolve(&h, cis_str_of(o->state), &rev, err));
        layered.ref = cis_str_of(rev.ref);
        if (!rev.head) {
            layered.at = rev.view;
        }
    }
    CIS_TRY(cis_layered_open(fs_cache, &layered, &w->stop, &w->vfs, err));
    CIS_TRY(cis_ns_new(&w->ns, err));
    CIS_TRY(cis_ns_mount(w->ns, CIS_STR("/"), w->vfs, 0, false, err));
    struct cis_vfs_call call = {.stop = &w->stop};
    int rc = cis_dir_root(w->ns, &call, CIS_STR("/"), &w->root);
    return rc == 0 ? CIS_OK : cis_vfs_fail(err, rc, "/");
}

cis_code cis_workspace_open(cis_tenant *tenant, const struct cis_workspace_options *options,
                            cis_workspace **out_workspace, struct cis_error *err)
{
    cis_runtime *runtime = tenant->runtime;
    CIS_TRY(cis_lib_here(runtime, err));
    struct cis_workspace_options o = CIS_WORKSPACE_OPTIONS_INIT;
    CIS_TRY(cis_sized_take(&cis_sized_workspace_options, options, &o, err));
    cis_fs_cache *fs_cache;
    CIS_TRY(cis_lib_fs_cache(runtime, &fs_cache, err));
    cis_workspace *w = cis_zalloc(sizeof *w);
    if (w == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "workspace: out of memory");
    }
    w->runtime = runtime;
    w->stop = (struct cis_stop){CIS_NEVER, o.cancel};
    pthread_mutex_init(&w->made, NULL);
    cis_code code = open_view(w, fs_cache, tenant, &o, err);
    if (code != CIS_OK) {
        cis_workspace_close(w);
        return code;
    }
    *out_workspace = w;
    return CIS_OK;
}

void cis_workspace_close(cis_workspace *workspace)
{
    if (workspace == NULL || cis_lib_here(workspace->runtime, NULL) != CIS_OK) {
        return;
    }
    cis_dir_free(workspace->root);
    cis_ns_free(workspace->ns);
    cis_vfs_close(workspace->vfs);
    pthread_mutex_destroy(&workspace->made);
    cis_free(workspace);
}

/* ---- files ---- */

struct act { /* one call on a path */
    struct cis_vfs_call call;
    struct cis_error why;
    struct cis_str path;
};

static void begin(const cis_workspace *w, const char *path, struct act *out)
{
    *out = (struct act){.path = cis_str_of(path[0] == 0 ? "/" : path)};
    out->call = (struct cis_vfs_call){
        .uid = geteuid(), .gid = getegid(), .stop = &w->stop, .err = &out->why};
}

static cis_code end(const struct act *act, int rc, struct cis_error *err)
{
    if (rc == 0) {
        return CIS_OK;
    }
    if (cis_vfs_told(&act->why, rc)) {
        return cis_fail(err, act->why.code, CIS_STR_FMT ": %s", CIS_STR_ARG(act->path),
                        act->why.msg);
    }
    return cis_vfs_fail(err, rc, CIS_STR_FMT, CIS_STR_ARG(act->path));
}

static void info_of(const struct cis_vfs_attr *attr, struct cis_file_info *out)
{
    *out = (struct cis_file_info){.size = sizeof *out,
                                  .length = attr->size,
                                  .inode = attr->ino,
                                  .mode = attr->mode,
                                  .nlink = attr->nlink,
                                  .uid = attr->uid,
                                  .gid = attr->gid,
                                  .mtime_s = attr->mtime.tv_sec,
                                  .mtime_ns = (uint32_t)attr->mtime.tv_nsec};
}

cis_code cis_workspace_stat(cis_workspace *workspace, const char *path,
                            struct cis_file_info *out_info, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    CIS_TRY(cis_sized_check(&cis_sized_file_info, out_info, err));
    struct act act;
    struct cis_vfs_attr attr;
    struct cis_file_info info;
    begin(workspace, path, &act);
    CIS_TRY(
        end(&act, cis_at_stat(workspace->root, &act.call, act.path, CIS_WALK_CHROOT, &attr), err));
    info_of(&attr, &info);
    cis_sized_give(&cis_sized_file_info, &info, out_info);
    return CIS_OK;
}

cis_code cis_workspace_read(cis_workspace *workspace, const char *path, uint64_t offset, void *buf,
                            size_t len, size_t *out_n, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    struct act act;
    struct cis_vfs_attr attr;
    cis_vfs_file *file;
    begin(workspace, path, &act);
    CIS_TRY(end(&act,
                cis_at_open(workspace->root, &act.call, act.path,
                            &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY, 0}, &file, &attr),
                err));
    struct iovec iov = {buf, len};
    size_t n = 0;
    int rc = cis_vfs_read(file, &act.call, &iov, 1, offset, &n);
    cis_vfs_file_close(file);
    CIS_TRY(end(&act, rc, err));
    *out_n = n;
    return CIS_OK;
}

/* A file that this call has made and could not fill is taken back, unless somebody has written to
 * it since: it is theirs then. Who writes to a file looks afterwards whether it was taken back, and
 * begins again; both under one lock, which nobody waits for long. */
static void take_back(cis_workspace *w, struct act *act, const struct cis_vfs_attr *made)
{
    struct cis_vfs_attr now;
    cis_mutex_lock(&w->made, lib_lock_made);
    int rc = cis_at_stat(w->root, &act->call, act->path, CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW, &now);
    if (rc == 0 && now.ino == made->ino && now.size == 0 && now.nlink == made->nlink &&
        now.mtime.tv_sec == made->mtime.tv_sec && now.mtime.tv_nsec == made->mtime.tv_nsec) {
        (void)cis_at_unlink(w->root, &act->call, act->path, CIS_WALK_CHROOT);
    }
    cis_mutex_unlock(&w->made, lib_lock_made);
}

static bool taken_back(cis_workspace *w, struct act *act, cis_vfs_file *file)
{
    struct cis_vfs_attr now;
    cis_mutex_lock(&w->made, lib_lock_made);
    bool gone = cis_file_stat(file, &act->call, &now) == 0 && now.nlink == 0;
    cis_mutex_unlock(&w->made, lib_lock_made);
    return gone;
}

static int open_made(cis_workspace *w, struct act *act, int how, cis_vfs_file **out_file,
                     struct cis_vfs_attr *out)
{
    return cis_at_open(w->root, &act->call, act->path,
                       &(struct cis_open_how){CIS_WALK_CHROOT, O_WRONLY | how, 0644}, out_file,
                       out);
}

/* A file that is not there, made by this call alone. A symlink that leads nowhere is followed, as
 * without O_EXCL; what it leads to then is not taken back. */
static int open_new(cis_workspace *w, struct act *act, cis_vfs_file **out_file,
                    struct cis_vfs_attr *out, bool *out_made)
{
    struct cis_vfs_attr link;
    int rc = open_made(w, act, O_CREAT | O_EXCL, out_file, out);
    *out_made = rc == 0;
    if (rc == EEXIST &&
        cis_at_stat(w->root, &act->call, act->path, CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW, &link) ==
            0 &&
        S_ISLNK(link.mode)) {
        rc = open_made(w, act, O_CREAT, out_file, out);
    }
    return rc;
}

/* Once: EEXIST when it was there after all, ESTALE when it went meanwhile. */
static int write_once(cis_workspace *w, struct act *act, uint64_t offset, const void *data,
                      size_t len, bool truncate)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file;
    bool made = false;
    int rc = open_made(w, act, 0, &file, &attr);
    if (rc == ENOENT) {
        rc = cis_layered_fits(w->vfs, &act->call, len == 0 && !truncate ? 0 : offset + len);
        rc = rc != 0 ? rc : open_new(w, act, &file, &attr, &made);
    }
    if (rc != 0) {
        return rc;
    }
    rc = cis_layered_write_whole(file, &act->call, offset, data, len, truncate);
    bool gone = rc == 0 && !made && taken_back(w, act, file);
    cis_vfs_file_close(file);
    if (rc != 0 && made) { /* what else could not be foreseen: memory, the store */
        take_back(w, act, &attr);
    }
    return gone ? ESTALE : rc;
}

cis_code cis_workspace_write(cis_workspace *workspace, const char *path, uint64_t offset,
                             const void *data, size_t len, bool truncate, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    struct act act;
    int rc = 0;
    begin(workspace, path, &act);
    if (offset > INT64_MAX || len > INT64_MAX - offset) {
        return end(&act, EFBIG, err);
    }
    for (unsigned i = 0; i < TRIES; i++) {
        rc = write_once(workspace, &act, offset, data, len, truncate);
        if (rc != EEXIST && rc != ESTALE) {
            break;
        }
    }
    return end(&act, rc, err);
}

static cis_code make(cis_workspace *w, const char *path, const struct cis_vfs_make *what,
                     struct cis_error *err)
{
    struct act act;
    begin(w, path, &act);
    return end(&act, cis_at_make(w->root, &act.call, act.path, CIS_WALK_CHROOT, what), err);
}

cis_code cis_workspace_mkdir(cis_workspace *workspace, const char *path, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    return make(workspace, path, &(struct cis_vfs_make){.mode = S_IFDIR | 0755}, err);
}

cis_code cis_workspace_symlink(cis_workspace *workspace, const char *target, const char *path,
                               struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    return make(workspace, path,
                &(struct cis_vfs_make){.mode = S_IFLNK | 0777, .target = cis_str_of(target)}, err);
}

cis_code cis_workspace_remove(cis_workspace *workspace, const char *path, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    struct act act;
    begin(workspace, path, &act);
    int rc = cis_at_unlink(workspace->root, &act.call, act.path, CIS_WALK_CHROOT);
    if (rc == EISDIR) {
        rc = cis_at_rmdir(workspace->root, &act.call, act.path, CIS_WALK_CHROOT);
    }
    return end(&act, rc, err);
}

cis_code cis_workspace_rename(cis_workspace *workspace, const char *from, const char *to,
                              struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    struct act act;
    begin(workspace, from, &act);
    return end(&act,
               cis_at_rename(workspace->root, act.path, workspace->root, cis_str_of(to), &act.call,
                             CIS_WALK_CHROOT, 0),
               err);
}

struct listing {
    cis_workspace_entry_fn *each;
    void *self;
    cis_code said;
};

static bool give_entry(void *self, const struct cis_vfs_entry *entry,
                       const struct cis_vfs_attr *attr)
{
    struct listing *l = self;
    struct cis_file_info info;
    char name[CIS_VFS_NAME_MAX + 1];
    if (cis_str_eq(entry->name, CIS_STR(".")) || cis_str_eq(entry->name, CIS_STR("..")) ||
        entry->name.len > CIS_VFS_NAME_MAX) {
        return true;
    }
    memcpy(name, entry->name.ptr, entry->name.len);
    name[entry->name.len] = 0;
    info_of(attr, &info);
    l->said = l->each(l->self, name, &info);
    return l->said == CIS_OK;
}

cis_code cis_workspace_list(cis_workspace *workspace, const char *path,
                            cis_workspace_entry_fn *each, void *self, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    struct act act;
    struct cis_vfs_attr attr;
    cis_vfs_file *dir;
    begin(workspace, path, &act);
    CIS_TRY(end(&act,
                cis_at_open(workspace->root, &act.call, act.path,
                            &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY | O_DIRECTORY, 0},
                            &dir, &attr),
                err));
    struct listing l = {each, self, CIS_OK};
    int rc = cis_vfs_readdir(dir, &act.call, 0, true, give_entry, &l);
    cis_vfs_file_close(dir);
    return cis_lib_ended(l.said, end(&act, rc, err), err);
}

/* ---- committing ---- */

cis_code cis_workspace_commit(cis_workspace *workspace, const char *note, uint64_t *out_epoch,
                              struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    struct cis_store_commit with = {.kind = "fs", .note = note};
    struct cis_fs_committed done;
    if (note != NULL && strnlen(note, CIS_FS_NOTE_MAX + 1) > CIS_FS_NOTE_MAX) {
        return cis_fail(err, CIS_E_USAGE, "commit: a note of more than %u bytes", CIS_FS_NOTE_MAX);
    }
    CIS_TRY(cis_layered_commit(workspace->vfs, &with, &done, &workspace->stop, err));
    if (out_epoch != NULL) {
        *out_epoch = done.view.epoch;
    }
    return CIS_OK;
}

cis_code cis_workspace_save(cis_workspace *workspace, const char *branch, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    return cis_layered_commit_fork(workspace->vfs, cis_str_of(branch), NULL, NULL, &workspace->stop,
                                   err);
}

void cis_workspace_discard(cis_workspace *workspace)
{
    if (cis_lib_here(workspace->runtime, NULL) != CIS_OK) {
        return;
    }
    cis_layered_discard(workspace->vfs);
}

bool cis_lib_change_tell(struct cis_lib_changes *changes, char what, struct cis_str path,
                         struct cis_str from)
{
    cis_buf_reset(&changes->path);
    cis_buf_reset(&changes->from);
    cis_buf_str(&changes->path, path);
    cis_buf_str(&changes->from, from);
    if (changes->path.failed == CIS_OK && changes->from.failed == CIS_OK) {
        changes->said = changes->each(changes->self, what, cis_buf_cstr(&changes->path),
                                      cis_buf_cstr(&changes->from));
    }
    return changes->path.failed == CIS_OK && changes->from.failed == CIS_OK &&
           changes->said == CIS_OK;
}

cis_code cis_lib_ended(cis_code said, cis_code code, struct cis_error *err)
{
    if (said == CIS_OK) {
        return code;
    }
    struct cis_error why = {0};
    said = cis_error_foreign(&why, said, "callback");
    return cis_fail(err, said, "%s", why.msg);
}

cis_code cis_lib_changes_done(struct cis_lib_changes *changes, cis_code code, struct cis_error *err)
{
    if (code == CIS_OK) {
        code = cis_buf_check(&changes->path, "changed path", err);
    }
    if (code == CIS_OK) {
        code = cis_buf_check(&changes->from, "changed path", err);
    }
    cis_buf_done(&changes->path);
    cis_buf_done(&changes->from);
    return cis_lib_ended(changes->said, code, err);
}

static bool give_change(void *self, const struct cis_layered_change *change)
{
    return cis_lib_change_tell(self, change->what, change->path, change->from);
}

cis_code cis_workspace_changes(cis_workspace *workspace, cis_change_fn *each, void *self,
                               struct cis_error *err)
{
    CIS_TRY(cis_lib_here(workspace->runtime, err));
    struct cis_lib_changes c = CIS_LIB_CHANGES(each, self);
    cis_code code = cis_layered_changes(workspace->vfs, give_change, &c, &workspace->stop, err);
    return cis_lib_changes_done(&c, code, err);
}
