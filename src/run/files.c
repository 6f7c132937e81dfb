/* Opening the mounts of a run, and what becomes of their changes. */
#include "run/files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/union/union.h"

struct mount {
    struct cis_run_mounted info;
    char *guest, *host, *branch, *from, *fork; /* owned; info borrows them */
    char *place;                               /* in the namespace */
    cis_vfs *lower;                            /* folder of the host */
    cis_vfs *view;                             /* branch or state */
    cis_vfs *joined;                           /* cow: lower and view as one */
    bool writes;                               /* its view takes changes */
    bool fresh;                                /* cow: its branch is made by the commit */
    cis_ns *own;                               /* when it cannot stand in the common namespace */
};

struct cis_run_files {
    cis_forest *forest;
    char *tenant, *run_id;
    cis_ns *ns;
    struct mount *mounts;
    struct cis_world_dir *dirs;
    struct cis_run_mounted *infos; /* rebuilt when asked for */
    size_t n;
};

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "mounts: out of memory");
}

/* Errors of the rooms below are told with the mount they are about. */
static cis_code about(struct cis_error *err, const struct mount *m, cis_code code,
                      const struct cis_error *why)
{
    return cis_fail(err, code, "mount %s: %s", m->guest, why->msg);
}

/* ---- names ---- */

/* "/a/b" of "/a//b/", "a/b", "./a/b"; "/" of "." and "/". */
static cis_code place_of(const char *guest, char **out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    struct cis_str rest = cis_str_of(guest), name;
    bool ok = rest.len != 0;
    for (bool more = ok; more && ok;) {
        more = cis_str_split(&rest, '/', &name);
        if (name.len == 0 || (cis_str_is(name, ".") && text.len == 0)) {
            continue;
        }
        ok = cis_vfs_name_valid(name);
        cis_buf_byte(&text, '/');
        cis_buf_str(&text, name);
    }
    if (!ok || text.failed != CIS_OK) {
        return cis_fail(err, CIS_E_USAGE,
                        "mount \"%.200s\": not a path that a program can be given", guest);
    }
    *out = cis_strdup(text.len != 0 ? cis_buf_cstr(&text) : "/");
    return *out != NULL ? CIS_OK : no_memory(err);
}

/* As the program is told: without slashes at the end. */
static char *told(const char *guest)
{
    size_t len = strlen(guest);
    while (len > 1 && guest[len - 1] == '/') {
        len--;
    }
    return cis_strndup(guest, len);
}

/* ---- opening ---- */

static cis_code open_host(struct mount *m, const struct cis_run_mount *in, bool read_only,
                          struct cis_budget *budget, struct cis_error *err)
{
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    char real[PATH_MAX];
    o.read_only = read_only || in->mode != CIS_MOUNT_RW;
    o.devices = in->devices;
    o.budget = budget;
    CIS_TRY(cis_hostdir_open(in->host, &o, &m->lower, err));
    m->host = cis_strdup(realpath(in->host, real) != NULL ? real : in->host);
    m->info.kind = "host";
    m->info.read_only = o.read_only;
    m->info.devices = in->devices;
    return m->host != NULL ? CIS_OK : no_memory(err);
}

/* A branch that a program of the host mounted is that one's alone: to say so now is better than to
 * run for an hour and then conflict. */
static cis_code not_leased(const struct cis_run_files *files, const struct mount *m,
                           const struct cis_fs_ref *ref, struct cis_error *err)
{
    (void)files;
    return ref->fence == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT,
                          "branch %s is in use by %s, which alone may write to it: end that mount, "
                          "or use %s read-only",
                          ref->name, ref->holder, m->guest);
}

static cis_code ref_of(const struct cis_run_files *files, const char *branch,
                       const struct cis_stop *stop, struct cis_fs_ref *out, struct cis_error *err)
{
    cis_store *store = cis_forest_store(files->forest);
    return store->fs->ref_get(store, cis_str_of(files->tenant),
                              branch != NULL ? cis_str_of(branch) : CIS_STR(""), out, stop, err);
}

static struct cis_layered_options view_options(const struct cis_run_files *files,
                                               const struct cis_run_files_options *in)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = cis_str_of(files->tenant);
    o.note = in->note;
    o.kind = "run";
    o.budget = in->budget;
    return o;
}

static cis_code open_published(struct cis_run_files *files, struct mount *m,
                               const struct cis_run_files_options *in,
                               const struct cis_run_mount *mount, struct cis_error *err)
{
    struct cis_layered_options o = view_options(files, in);
    o.from = cis_str_of(mount->from);
    o.ref = cis_str_of(mount->branch != NULL ? mount->branch : "");
    o.at = mount->at;
    o.read_only = true;
    CIS_TRY(cis_layered_open(files->forest, &o, in->stop, &m->view, err));
    m->info.kind = "published";
    m->info.read_only = true;
    m->info.base = cis_layered_view(m->view);
    m->branch = cis_strdup(mount->branch);
    m->from = cis_strdup(mount->from);
    return m->branch != NULL && m->from != NULL ? CIS_OK : no_memory(err);
}

static cis_code set_fork(struct mount *m, const char *name, struct cis_error *err)
{
    char *copy = cis_strdup(name);
    if (copy == NULL) {
        return no_memory(err);
    }
    cis_free(m->fork);
    m->fork = copy;
    return CIS_OK;
}

static cis_code open_workspace(struct cis_run_files *files, struct mount *m,
                               const struct cis_run_files_options *in,
                               const struct cis_run_mount *mount, struct cis_error *err)
{
    struct cis_layered_options o = view_options(files, in);
    struct cis_fs_ref ref;
    bool state = mount->at.branch != 0;
    if (mount->from != NULL) {
        return open_published(files, m, in, mount, err);
    }
    o.ref = cis_str_of(mount->branch != NULL && !state ? mount->branch : "");
    o.at = mount->at;
    o.read_only = in->read_only || mount->mode != CIS_MOUNT_RW || state;
    CIS_TRY(cis_layered_open(files->forest, &o, in->stop, &m->view, err));
    m->writes = !m->view->read_only;
    m->info.kind = state ? "snapshot" : "workspace";
    m->info.read_only = !m->writes;
    m->info.base = cis_layered_view(m->view);
    if (state) {
        return CIS_OK;
    }
    CIS_TRY(ref_of(files, mount->branch, in->stop, &ref, err));
    m->branch = cis_strdup(ref.name);
    if (m->branch == NULL) {
        return no_memory(err);
    }
    if (!m->writes) {
        return CIS_OK;
    }
    CIS_TRY(in->fork != NULL ? set_fork(m, in->fork, err) : CIS_OK);
    return not_leased(files, m, &ref, err);
}

static cis_code cow_branch(struct mount *m, const struct cis_run_files_options *in,
                           const struct cis_run_mount *mount, struct cis_error *err)
{
    char name[CIS_FS_REF_MAX + 1];
    size_t number = 0; /* of those that have no name of their own */
    for (const struct cis_run_mount *before = in->mounts; before < mount; before++) {
        number += before->mode == CIS_MOUNT_COW && before->branch == NULL;
    }
    snprintf(name, sizeof name, number == 0 ? "cow-%s" : "cow-%s-%zu", in->run_id, number + 1);
    m->branch = cis_strdup(mount->branch != NULL ? mount->branch : name);
    if (m->branch == NULL) {
        return no_memory(err);
    }
    return cis_fs_ref_valid(cis_str_of(m->branch))
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE, "\"%.128s\" is no name for a branch", m->branch);
}

static cis_code open_cow(struct cis_run_files *files, struct mount *m,
                         const struct cis_run_files_options *in, const struct cis_run_mount *mount,
                         struct cis_error *err)
{
    struct cis_layered_options o = view_options(files, in);
    struct cis_fs_ref ref;
    struct cis_error why;
    CIS_TRY(open_host(m, mount, in->read_only, in->budget, err));
    if (in->read_only && mount->branch == NULL) {
        return CIS_OK; /* nothing has changed, nothing can: the folder alone shows the same */
    }
    CIS_TRY(cow_branch(m, in, mount, err));
    cis_code code =
        mount->branch != NULL ? ref_of(files, m->branch, in->stop, &ref, &why) : CIS_E_NOTFOUND;
    if (code != CIS_OK && code != CIS_E_NOTFOUND) {
        return cis_fail(err, code, "%s", why.msg);
    }
    if (code == CIS_E_NOTFOUND && in->read_only) {
        cis_free(cis_take(&m->branch));
        return CIS_OK;
    }
    if (code == CIS_OK && !in->read_only) {
        CIS_TRY(not_leased(files, m, &ref, err));
    }
    m->fresh = code == CIS_E_NOTFOUND;
    o.empty = m->fresh;
    o.read_only = in->read_only;
    o.ref = cis_str_of(m->fresh ? "" : m->branch);
    CIS_TRY(cis_layered_open(files->forest, &o, in->stop, &m->view, err));
    m->info.base = cis_layered_view(m->view);
    code = cis_union_open(m->lower, m->view, in->budget, &m->joined, &why);
    if (code == CIS_E_INVALID) {
        return cis_fail(err, CIS_E_USAGE,
                        "branch %s holds files of its own, not changes of a folder: take another "
                        "name",
                        m->branch);
    }
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s", why.msg);
    }
    m->writes = !in->read_only;
    m->info.kind = "cow";
    m->info.read_only = in->read_only;
    return CIS_OK;
}

static cis_code open_one(struct cis_run_files *files, size_t i,
                         const struct cis_run_files_options *in, struct cis_error *err)
{
    struct mount *m = &files->mounts[i];
    const struct cis_run_mount *mount = &in->mounts[i];
    bool store = mount->host == NULL || mount->mode == CIS_MOUNT_COW;
    if (store && files->forest == NULL) {
        return cis_fail(err, CIS_E_USAGE, "needs a store, and this run has none");
    }
    if (mount->host == NULL) {
        return mount->mode == CIS_MOUNT_COW
                   ? cis_fail(err, CIS_E_USAGE,
                              "a workspace is undone as it is: cow is for folders")
                   : open_workspace(files, m, in, mount, err);
    }
    return mount->mode == CIS_MOUNT_COW ? open_cow(files, m, in, mount, err)
                                        : open_host(m, mount, in->read_only, in->budget, err);
}

/* ---- one namespace ---- */

static cis_code check_place(const struct cis_run_files *files, size_t i, struct cis_error *err)
{
    const struct mount *m = &files->mounts[i];
    for (size_t k = 0; k < i; k++) {
        const struct mount *other = &files->mounts[k];
        if (strcmp(other->place, m->place) == 0) {
            return cis_fail(err, CIS_E_USAGE, "mount %s: %s is there already", m->guest,
                            strcmp(other->guest, m->guest) == 0 ? "another mount" : other->guest);
        }
        if (m->writes && other->writes && m->branch != NULL && other->branch != NULL &&
            strcmp(m->branch, other->branch) == 0) {
            return cis_fail(err, CIS_E_USAGE, "mount %s: %s writes to branch %s already", m->guest,
                            other->guest, m->branch);
        }
        if (m->writes && other->writes && m->lower == NULL && other->lower == NULL) {
            return cis_fail(err, CIS_E_USAGE,
                            "mount %s: a run writes to one workspace, and that is %s", m->guest,
                            other->guest);
        }
    }
    return CIS_OK;
}

static cis_vfs *shown(const struct mount *m)
{
    return m->joined != NULL ? m->joined : m->view != NULL ? m->view : m->lower;
}

/* A mount inside another one stands there when that has the folder. Else the program still gets it
 * as a directory of its own: nothing needs to be made in somebody's folder for it. */
static cis_code join(struct cis_run_files *files, struct mount *m, struct cis_error *err)
{
    struct cis_error why = {0};
    struct cis_str place = cis_str_of(m->place);
    cis_vfs *vfs = shown(m);
    if (cis_ns_mount(files->ns, place, vfs, 0, m->info.read_only, &why) == CIS_OK) {
        return CIS_OK;
    }
    CIS_TRY(cis_ns_new(&m->own, err));
    return cis_ns_mount(m->own, place, vfs, 0, m->info.read_only, &why) == CIS_OK
               ? CIS_OK
               : about(err, m, why.code, &why);
}

static cis_code open_dirs(struct cis_run_files *files, const struct cis_stop *stop,
                          struct cis_error *err)
{
    CIS_TRY(cis_ns_new(&files->ns, err));
    for (size_t i = 0; i < files->n; i++) {
        CIS_TRY(join(files, &files->mounts[i], err));
    }
    for (size_t i = 0; i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        struct cis_vfs_call call = {.stop = stop, .err = err};
        struct cis_world_dir *d = &files->dirs[i];
        int no =
            cis_dir_root(m->own != NULL ? m->own : files->ns, &call, cis_str_of(m->place), &d->dir);
        if (no != 0) {
            return cis_vfs_fail(err, no, "mount %s", m->guest);
        }
        d->path = cis_str_of(m->guest);
    }
    return CIS_OK;
}

static cis_code open_all(struct cis_run_files *files, const struct cis_run_files_options *in,
                         struct cis_error *err)
{
    for (size_t i = 0; i < in->nmounts; i++) {
        struct mount *m = &files->mounts[i];
        struct cis_error why = {0};
        files->n = i + 1;
        CIS_TRY(place_of(in->mounts[i].guest, &m->place, err));
        m->guest = told(in->mounts[i].guest);
        if (m->guest == NULL) {
            return no_memory(err);
        }
        cis_code code = open_one(files, i, in, &why);
        if (code != CIS_OK) {
            return about(err, m, code, &why);
        }
        CIS_TRY(check_place(files, i, err));
    }
    return open_dirs(files, in->stop, err);
}

cis_code cis_run_files_open(const struct cis_run_files_options *options, cis_run_files **out_files,
                            struct cis_error *err)
{
    if (options->nmounts > CIS_RUN_MOUNTS_MAX) {
        return cis_fail(err, CIS_E_USAGE, "%zu mounts, a run has at most %u", options->nmounts,
                        CIS_RUN_MOUNTS_MAX);
    }
    struct cis_run_files *files = cis_zalloc(sizeof *files);
    if (files == NULL) {
        return no_memory(err);
    }
    files->forest = options->forest;
    files->tenant = cis_strdup(options->tenant);
    files->run_id = cis_strdup(options->run_id);
    files->mounts = cis_calloc(options->nmounts + 1, sizeof *files->mounts);
    files->dirs = cis_calloc(options->nmounts + 1, sizeof *files->dirs);
    files->infos = cis_calloc(options->nmounts + 1, sizeof *files->infos);
    cis_code code = files->tenant != NULL && files->run_id != NULL && files->mounts != NULL &&
                            files->dirs != NULL && files->infos != NULL
                        ? open_all(files, options, err)
                        : no_memory(err);
    if (code != CIS_OK) {
        cis_run_files_close(files);
        return code;
    }
    *out_files = files;
    return CIS_OK;
}

/* ---- what is there ---- */

const struct cis_world_dir *cis_run_files_dirs(const cis_run_files *files, size_t *out_n)
{
    *out_n = files->n;
    return files->dirs;
}

const struct cis_run_mounted *cis_run_files_mounted(const cis_run_files *files, size_t *out_n)
{
    for (size_t i = 0; i < files->n; i++) {
        const struct mount *m = &files->mounts[i];
        files->infos[i] = m->info;
        files->infos[i].guest = m->guest;
        files->infos[i].host = m->host;
        files->infos[i].branch = m->branch;
        files->infos[i].from = m->from;
        files->infos[i].fork = m->fork;
    }
    *out_n = files->n;
    return files->infos;
}

static bool dirty(const struct mount *m)
{
    return m->writes && !m->info.committed && cis_layered_dirty(m->view);
}

bool cis_run_files_dirty(const cis_run_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        if (dirty(&files->mounts[i])) {
            return true;
        }
    }
    return false;
}

struct telling {
    const struct mount *m;
    cis_layered_change_each *each;
    void *self;
    bool stopped;
};

static bool tell(void *self, const struct cis_layered_change *change)
{
    struct telling *t = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 18);
    CIS_CLEANUP(cis_buf_done) struct cis_buf from = CIS_BUF_INIT(1u << 18);
    const char *slash = strcmp(t->m->guest, "/") == 0 ? "" : "/";
    cis_buf_printf(&path, "%s%s" CIS_STR_FMT, t->m->guest, slash, CIS_STR_ARG(change->path));
    if (change->from.len != 0) {
        cis_buf_printf(&from, "%s%s" CIS_STR_FMT, t->m->guest, slash, CIS_STR_ARG(change->from));
    }
    struct cis_layered_change c = *change;
    c.path = cis_buf_view(&path);
    c.from = cis_buf_view(&from);
    t->stopped = !t->each(t->self, &c);
    return !t->stopped;
}

static bool tell_joined(void *self, const struct cis_union_change *change)
{
    struct cis_layered_change c = {change->what, change->path, change->from,
                                   change->mode, change->size, change->old_size};
    return tell(self, &c);
}

cis_code cis_run_files_changes(cis_run_files *files, cis_layered_change_each *each, void *self,
                               const struct cis_stop *stop, struct cis_error *err)
{
    struct telling t = {.each = each, .self = self};
    for (size_t i = 0; i < files->n && !t.stopped; i++) {
        const struct mount *m = &files->mounts[i];
        t.m = m;
        if (!dirty(m)) {
            continue;
        }
        if (m->joined == NULL) {
            CIS_TRY(cis_layered_changes(m->view, tell, &t, stop, err));
        } else {
            struct cis_vfs_call call = {.stop = stop, .err = err};
            int no = cis_union_changes(m->joined, &call, tell_joined, &t);
            if (no != 0) {
                return cis_vfs_fail(err, no, "changes of mount %s", m->guest);
            }
        }
    }
    return CIS_OK;
}

/* ---- what becomes of it ---- */

/* The mount whose commit brings the record: the workspace, else the first cow branch with changes.
 * Memory is never written to a cow branch, which nobody reads it from. */
static struct mount *carrier(const struct cis_run_files *files, const struct cis_store_commit *with)
{
    struct mount *cow = NULL;
    for (size_t i = 0; i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        if (!m->writes || m->info.committed) {
            continue;
        }
        if (m->lower == NULL) {
            return m;
        }
        cow = cow == NULL && dirty(m) ? m : cow;
    }
    return with->nkv == 0 ? cow : NULL;
}

static cis_code commit_one(struct mount *m, const char *fork, const struct cis_store_commit *with,
                           const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_fs_committed done;
    struct cis_error why = {0};
    cis_code code =
        fork != NULL || m->fresh
            ? cis_layered_commit_fork(m->view, cis_str_of(fork != NULL ? fork : m->branch), with,
                                      &done, stop, &why)
            : cis_layered_commit(m->view, with, &done, stop, &why);
    if (code != CIS_OK) {
        return about(err, m, code, &why);
    }
    m->info.committed = true;
    m->info.after = done.view;
    return CIS_OK;
}

static cis_code commit_alone(const struct cis_run_files *files, const struct cis_store_commit *with,
                             const struct cis_stop *stop, struct cis_error *err)
{
    if (files->forest == NULL) {
        return cis_fail(err, CIS_E_INTERNAL, "a commit without a store");
    }
    cis_store *store = cis_forest_store(files->forest);
    return store->ops->commit(store, cis_str_of(files->tenant), with, stop, err);
}

cis_code cis_run_files_commit(cis_run_files *files, const struct cis_store_commit *with,
                              const struct cis_stop *stop, struct cis_error *err)
{
    struct mount *main = carrier(files, with);
    for (size_t i = 0; i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        if (m != main && dirty(m)) {
            CIS_TRY(commit_one(m, NULL, NULL, stop, err));
        }
    }
    if (main == NULL) {
        return commit_alone(files, with, stop, err);
    }
    return commit_one(main, main->fork, with, stop, err);
}

void cis_run_files_plan_rescue(cis_run_files *files)
{
    char name[CIS_FS_REF_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        if (dirty(m)) {
            snprintf(name, sizeof name,
                     n == 0 ? CIS_CONFLICT_PREFIX "%s" : CIS_CONFLICT_PREFIX "%s-%zu",
                     files->run_id, n + 1);
            n++;
            (void)set_fork(m, name, NULL);
        }
    }
}

void cis_run_files_plan_nothing(cis_run_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        if (!m->info.committed) {
            cis_free(cis_take(&m->fork));
        }
    }
}

cis_code cis_run_files_rescue(cis_run_files *files, const struct cis_store_commit *with,
                              const struct cis_stop *stop, struct cis_error *err)
{
    struct mount *main = carrier(files, with);
    if (main == NULL || !dirty(main)) {
        return cis_fail(err, CIS_E_INVALID, "nothing to keep");
    }
    for (size_t i = 0; i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        if (m != main && dirty(m) && m->fork != NULL) {
            CIS_TRY(commit_one(m, m->fork, NULL, stop, err));
        }
    }
    return main->fork != NULL ? commit_one(main, main->fork, with, stop, err) : no_memory(err);
}

void cis_run_files_discard(cis_run_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        if (m->writes && !m->info.committed) {
            cis_layered_discard(m->view);
        }
    }
}

void cis_run_files_close(cis_run_files *files)
{
    if (files == NULL) {
        return;
    }
    for (size_t i = 0; files->dirs != NULL && i < files->n; i++) {
        cis_dir_free(files->dirs[i].dir);
    }
    cis_ns_free(files->ns);
    for (size_t i = 0; files->mounts != NULL && i < files->n; i++) {
        struct mount *m = &files->mounts[i];
        cis_ns_free(m->own);
        cis_vfs_close(m->joined);
        cis_vfs_close(m->view);
        cis_vfs_close(m->lower);
        cis_free(m->place);
        cis_free(m->guest);
        cis_free(m->host);
        cis_free(m->branch);
        cis_free(m->from);
        cis_free(m->fork);
    }
    cis_free(files->mounts);
    cis_free(files->dirs);
    cis_free(files->infos);
    cis_free(files->tenant);
    cis_free(files->run_id);
    cis_free(files);
}
