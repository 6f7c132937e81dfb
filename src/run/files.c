/* The mounts of a run as one namespace, and what changed in them. */
#include "run/files_in.h"
#include "vfs/union/union.h"

cis_code cis_files_no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "mounts: out of memory");
}

/* Errors of the rooms below are told with the mount they are about. */
cis_code cis_files_about(struct cis_error *err, const struct cis_files_mount *m, cis_code code,
                         const struct cis_error *why)
{
    return cis_fail(err, code, "mount %s: %s", m->guest_path, why->msg);
}

static cis_vfs *shown(const struct cis_files_mount *m)
{
    return m->joined != NULL ? m->joined : m->view != NULL ? m->view : m->lower;
}

/* All mounts of a run are in one namespace: what a mount is, and which filesystem a file belongs
 * to, is known there and nowhere else. One inside another stands there when that has the folder,
 * and apart when it has not: nothing needs to be made in somebody's folder for it. */
static cis_code join(struct cis_run_files *files, const struct cis_files_mount *m,
                     struct cis_error *err)
{
    struct cis_error why = {0};
    cis_code code =
        cis_ns_mount_anyway(files->ns, cis_str_of(m->place), shown(m), m->info.read_only, &why);
    return code == CIS_OK ? CIS_OK : cis_files_about(err, m, code, &why);
}

static cis_code open_dirs(struct cis_run_files *files, const struct cis_stop *stop,
                          struct cis_error *err)
{
    CIS_TRY(cis_ns_new(&files->ns, err));
    for (size_t i = 0; i < files->n; i++) {
        CIS_TRY(join(files, &files->mounts[i], err));
    }
    for (size_t i = 0; i < files->n; i++) {
        struct cis_files_mount *m = &files->mounts[i];
        struct cis_vfs_call call = {.stop = stop, .err = err};
        struct cis_wasi_env_dir *d = &files->dirs[i];
        int rc = cis_dir_root(files->ns, &call, cis_str_of(m->place), &d->dir);
        if (rc != 0) {
            return cis_vfs_fail(err, rc, "mount %s", m->guest_path);
        }
        d->path = cis_str_of(m->guest_path);
    }
    return CIS_OK;
}

static cis_code open_all(struct cis_run_files *files, const struct cis_run_files_options *in,
                         struct cis_error *err)
{
    for (size_t i = 0; i < in->nmounts; i++) {
        files->n = i + 1;
        CIS_TRY(cis_files_open_mount(files, i, in, err));
    }
    return open_dirs(files, in->stop, err);
}

cis_code cis_run_files_open(const struct cis_run_files_options *options, cis_run_files **out_files,
                            struct cis_error *err)
{
    if (options->nmounts > CIS_RUN_MOUNTS_MAX) {
        return cis_fail(err, CIS_E_USAGE, "%zu mounts are too many: a run has at most %u",
                        options->nmounts, CIS_RUN_MOUNTS_MAX);
    }
    struct cis_run_files *files = cis_zalloc(sizeof *files);
    if (files == NULL) {
        return cis_files_no_memory(err);
    }
    files->fs_cache = options->fs_cache;
    files->tenant = cis_strdup(options->tenant);
    files->run_id = cis_strdup(options->run_id);
    files->mounts = cis_calloc(cis_size_add(options->nmounts, 1), sizeof *files->mounts);
    files->dirs = cis_calloc(cis_size_add(options->nmounts, 1), sizeof *files->dirs);
    files->infos = cis_calloc(cis_size_add(options->nmounts, 1), sizeof *files->infos);
    cis_code code = files->tenant != NULL && files->run_id != NULL && files->mounts != NULL &&
                            files->dirs != NULL && files->infos != NULL
                        ? open_all(files, options, err)
                        : cis_files_no_memory(err);
    if (code != CIS_OK) {
        cis_run_files_close(files);
        return code;
    }
    *out_files = files;
    return CIS_OK;
}

/* ---- what is there ---- */

const struct cis_wasi_env_dir *cis_run_files_dirs(const cis_run_files *files, size_t *out_n)
{
    *out_n = files->n;
    return files->dirs;
}

cis_vfs *cis_run_files_vfs(const cis_run_files *files, size_t i)
{
    return shown(&files->mounts[i]);
}

const struct cis_run_mounted *cis_run_files_mounted(const cis_run_files *files, size_t *out_n)
{
    for (size_t i = 0; i < files->n; i++) {
        const struct cis_files_mount *m = &files->mounts[i];
        files->infos[i] = m->info;
        files->infos[i].guest_path = m->guest_path;
        files->infos[i].host = m->host;
        files->infos[i].branch = m->branch;
        files->infos[i].from = m->from;
        files->infos[i].fork = m->fork;
    }
    *out_n = files->n;
    return files->infos;
}

bool cis_files_mount_dirty(const struct cis_files_mount *m)
{
    return m->writes && !m->info.committed && cis_layered_dirty(m->view);
}

uint64_t cis_run_files_stored(const cis_run_files *files, bool *out_full)
{
    uint64_t stored = 0;
    *out_full = false;
    for (size_t i = 0; i < files->n; i++) {
        bool full = false;
        stored += files->mounts[i].writes && files->mounts[i].view != NULL
                      ? cis_layered_stored(files->mounts[i].view, &full)
                      : 0;
        *out_full |= full;
    }
    return stored;
}

bool cis_run_files_dirty(const cis_run_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        if (cis_files_mount_dirty(&files->mounts[i])) {
            return true;
        }
    }
    return false;
}

struct telling {
    const struct cis_files_mount *m;
    cis_run_change_each *each;
    void *self;
    bool stopped;
};

static bool tell(void *self, const struct cis_layered_change *change)
{
    struct telling *t = self;
    t->stopped = !t->each(t->self, t->m->guest_path, change);
    return !t->stopped;
}

static bool tell_joined(void *self, const struct cis_union_change *change)
{
    struct cis_layered_change c = {.what = change->what,
                                   .path = change->path,
                                   .from = change->from,
                                   .mode = change->mode,
                                   .size = change->size,
                                   .old_size = change->old_size,
                                   .cut = change->cut};
    return tell(self, &c);
}

cis_code cis_run_files_changes(cis_run_files *files, cis_run_change_each *each, void *self,
                               const struct cis_stop *stop, struct cis_error *err)
{
    struct telling t = {.each = each, .self = self};
    for (size_t i = 0; i < files->n && !t.stopped; i++) {
        const struct cis_files_mount *m = &files->mounts[i];
        t.m = m;
        if (!cis_files_mount_dirty(m)) {
            continue;
        }
        if (m->joined == NULL) {
            CIS_TRY(cis_layered_changes(m->view, tell, &t, stop, err));
        } else {
            struct cis_error why = {0};
            struct cis_vfs_call call = {.stop = stop, .err = &why};
            int rc = cis_union_changes(m->joined, &call, tell_joined, &t);
            if (rc != 0 && why.code != CIS_OK) {
                return cis_files_about(err, m, why.code, &why);
            }
            if (rc != 0) {
                return cis_vfs_fail(err, rc, "changes of mount %s", m->guest_path);
            }
        }
    }
    return CIS_OK;
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
        struct cis_files_mount *m = &files->mounts[i];
        cis_vfs_close(m->joined);
        cis_vfs_close(m->view);
        cis_vfs_close(m->lower);
        cis_free(m->place);
        cis_free(m->guest_path);
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
