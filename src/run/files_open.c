/* Opening one mount: where it stands, a folder, a branch, both. */
#include <limits.h>
#include "run/files_in.h"
#include "store/holder.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/union/union.h"
#include "store/calls.h"

/* ---- where ---- */

/* "/a/b" of "/a//b/", "a/b", "./a/b"; "/" of "." and "/". */
static cis_code place_of(const char *guest_path, char **out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    struct cis_str rest = cis_str_of(guest_path), name;
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
    if (text.failed == CIS_E_NOMEM) {
        return cis_files_no_memory(err);
    }
    if (!ok || text.failed != CIS_OK) {
        return cis_fail(err, CIS_E_USAGE, "mount \"%.200s\": not a valid path in the sandbox",
                        guest_path);
    }
    *out = cis_strdup(text.len != 0 ? cis_buf_cstr(&text) : "/");
    return *out != NULL ? CIS_OK : cis_files_no_memory(err);
}

/* As the program is told: without slashes at the end. */
static char *told(const char *guest_path)
{
    size_t len = strlen(guest_path);
    while (len > 1 && guest_path[len - 1] == '/') {
        len--;
    }
    return cis_strndup(guest_path, len);
}

/* ---- opening ---- */

static cis_code open_host(struct cis_files_mount *m, const struct cis_run_files_options *all,
                          const struct cis_run_mount *in, struct cis_error *err)
{
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    char real[PATH_MAX];
    bool resolved = !in->exact && realpath(in->host, real) != NULL;
    const char *path = resolved ? real : in->host;
    o.exact = in->exact || resolved; /* what is opened is what is recorded */
    o.read_only = all->read_only || in->mode != CIS_MOUNT_RW;
    o.devices = in->devices;
    o.budget = all->budget;
    CIS_TRY(cis_hostdir_open(path, &o, &m->lower, err));
    CIS_TRY(cis_store_folder_check(all->store, path, err));
    m->host = cis_strdup(path);
    m->info.kind = "host";
    m->info.read_only = o.read_only;
    m->info.devices = in->devices;
    return m->host != NULL ? CIS_OK : cis_files_no_memory(err);
}

static cis_code ref_of(const struct cis_run_files *files, const char *branch,
                       const struct cis_stop *stop, struct cis_fs_ref *out, struct cis_error *err)
{
    cis_store *store = cis_fs_cache_store(files->fs_cache);
    return cis_store_ref_get(store, cis_str_of(files->tenant),
                             branch != NULL ? cis_str_of(branch) : CIS_STR(""), out, stop, err);
}

/* A branch that a program of the host mounted is that one's alone: to say so now is better than to
 * run for an hour and then conflict. */
static cis_code not_leased(const struct cis_run_files *files, const struct cis_files_mount *m,
                           const struct cis_fs_ref *ref, const struct cis_stop *stop,
                           struct cis_error *err)
{
    struct cis_fs_ref now = *ref;
    if (now.fence != 0) {
        CIS_TRY(cis_store_ref_held(cis_fs_cache_store(files->fs_cache), cis_str_of(files->tenant),
                                   cis_str_of(ref->name), &now, stop, err));
    }
    return now.fence == 0 ? CIS_OK
                          : cis_fail(err, CIS_E_CONFLICT,
                                     "branch %s is in use by %s, which alone may write to it; end "
                                     "that mount, or use %s read-only",
                                     now.name, now.holder, m->guest_path);
}

static struct cis_layered_options view_options(const struct cis_run_files *files,
                                               const struct cis_run_files_options *in)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = cis_str_of(files->tenant);
    o.note = in->note;
    o.kind = "run";
    o.budget = in->budget;
    o.stored_max = in->stored_max;
    return o;
}

/* From the first view of its own on, a run means the tenant that it found. */
static cis_code tenant_found(struct cis_run_files *files, cis_vfs *view, struct cis_error *err)
{
    struct cis_str exact = cis_layered_tenant(view);
    char *copy = cis_strndup(exact.ptr, exact.len);
    if (copy == NULL) {
        return cis_files_no_memory(err);
    }
    cis_free(files->tenant);
    files->tenant = copy;
    return CIS_OK;
}

static cis_code open_published(struct cis_run_files *files, struct cis_files_mount *m,
                               const struct cis_run_files_options *in,
                               const struct cis_run_mount *mount, struct cis_error *err)
{
    struct cis_layered_options o = view_options(files, in);
    struct cis_str instance;
    cis_fs_tenant_split(cis_str_of(files->tenant), &o.tenant, &instance); /* the reader's name */
    o.from = cis_str_of(mount->from);
    o.ref = cis_str_of(mount->branch != NULL ? mount->branch : "");
    o.at = mount->at;
    o.read_only = true;
    CIS_TRY(cis_layered_open(files->fs_cache, &o, in->stop, &m->view, err));
    m->info.kind = "published";
    m->info.read_only = true;
    m->info.base = cis_layered_view(m->view);
    m->branch = cis_strdup(mount->branch);
    m->from = cis_strdup(mount->from);
    return m->branch != NULL && m->from != NULL ? CIS_OK : cis_files_no_memory(err);
}

cis_code cis_files_set_fork(struct cis_files_mount *m, const char *name, struct cis_error *err)
{
    char *copy = cis_strdup(name);
    if (copy == NULL) {
        return cis_files_no_memory(err);
    }
    cis_free(m->fork);
    m->fork = copy;
    return CIS_OK;
}

static cis_code open_workspace(struct cis_run_files *files, struct cis_files_mount *m,
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
    o.kept = CIS_LAYERED_KEPT_NOTHING;
    CIS_TRY(cis_layered_open(files->fs_cache, &o, in->stop, &m->view, err));
    CIS_TRY(tenant_found(files, m->view, err));
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
        return cis_files_no_memory(err);
    }
    if (!m->writes) {
        return CIS_OK;
    }
    CIS_TRY(in->fork != NULL ? cis_files_set_fork(m, in->fork, err) : CIS_OK);
    return not_leased(files, m, &ref, in->stop, err);
}

static cis_code cow_branch(struct cis_files_mount *m, const struct cis_run_files_options *in,
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
        return cis_files_no_memory(err);
    }
    return cis_fs_ref_valid(cis_str_of(m->branch))
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE, "\"%.128s\" is not a valid name for a branch",
                          m->branch);
}

static cis_code open_cow(struct cis_run_files *files, struct cis_files_mount *m,
                         const struct cis_run_files_options *in, const struct cis_run_mount *mount,
                         struct cis_error *err)
{
    struct cis_layered_options o = view_options(files, in);
    struct cis_fs_ref ref;
    struct cis_error why;
    CIS_TRY(open_host(m, in, mount, err));
    if (!cis_utf8_valid(m->host, strlen(m->host))) { /* diff, apply and undo go by the record */
        return cis_fail(
            err, CIS_E_USAGE,
            "%.140s: the path of a cow folder must be UTF-8, because the run's record contains it",
            m->host);
    }
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
        CIS_TRY(not_leased(files, m, &ref, in->stop, err));
    }
    m->fresh = code == CIS_E_NOTFOUND;
    if (m->fresh) {
        CIS_TRY(cis_fs_ref_check_free(cis_str_of(m->branch), err));
    }
    o.empty = m->fresh;
    o.kept = CIS_LAYERED_KEPT_ALL;
    o.read_only = in->read_only;
    o.ref = cis_str_of(m->fresh ? "" : m->branch);
    CIS_TRY(cis_layered_open(files->fs_cache, &o, in->stop, &m->view, err));
    CIS_TRY(tenant_found(files, m->view, err));
    m->info.base = cis_layered_view(m->view);
    code = cis_union_open(m->lower, m->view, in->budget, &m->joined, &why);
    if (code == CIS_E_INVALID) {
        return cis_fail(
            err, CIS_E_USAGE,
            "branch %s contains files of its own, not changes of a folder; choose another name",
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
    struct cis_files_mount *m = &files->mounts[i];
    const struct cis_run_mount *mount = &in->mounts[i];
    bool store = mount->host == NULL || mount->mode == CIS_MOUNT_COW;
    if (store && files->fs_cache == NULL) {
        return cis_fail(err, CIS_E_USAGE, "needs a store, and this run has none");
    }
    if (mount->host == NULL) {
        return mount->mode == CIS_MOUNT_COW
                   ? cis_fail(
                         err, CIS_E_USAGE,
                         "cow can be used only with a folder; a workspace can be undone without it")
                   : open_workspace(files, m, in, mount, err);
    }
    return mount->mode == CIS_MOUNT_COW ? open_cow(files, m, in, mount, err)
                                        : open_host(m, in, mount, err);
}

static cis_code check_place(const struct cis_run_files *files, size_t i, struct cis_error *err)
{
    const struct cis_files_mount *m = &files->mounts[i];
    for (size_t k = 0; k < i; k++) {
        const struct cis_files_mount *other = &files->mounts[k];
        if (strcmp(other->place, m->place) == 0) {
            return cis_fail(err, CIS_E_USAGE, "mount %s: %s has this place already", m->guest_path,
                            strcmp(other->guest_path, m->guest_path) == 0 ? "another mount"
                                                                          : other->guest_path);
        }
        if (m->writes && other->writes && m->branch != NULL && other->branch != NULL &&
            strcmp(m->branch, other->branch) == 0) {
            return cis_fail(err, CIS_E_USAGE, "mount %s: %s writes to branch %s already",
                            m->guest_path, other->guest_path, m->branch);
        }
        if (m->writes && other->writes && m->lower == NULL && other->lower == NULL) {
            return cis_fail(err, CIS_E_USAGE,
                            "mount %s: a run writes to only one workspace, which is %s here",
                            m->guest_path, other->guest_path);
        }
    }
    return CIS_OK;
}

cis_code cis_files_open_mount(cis_run_files *files, size_t i,
                              const struct cis_run_files_options *in, struct cis_error *err)
{
    struct cis_files_mount *m = &files->mounts[i];
    struct cis_error why = {0};
    CIS_TRY(place_of(in->mounts[i].guest_path, &m->place, err));
    m->guest_path = told(in->mounts[i].guest_path);
    if (m->guest_path == NULL) {
        return cis_files_no_memory(err);
    }
    cis_code code = open_one(files, i, in, &why);
    return code != CIS_OK ? cis_files_about(err, m, code, &why) : check_place(files, i, err);
}
