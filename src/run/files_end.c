/* What becomes of the changes of a run: committed, kept as a fork, forgotten. */
#include "run/files_in.h"
#include "store/calls.h"

/* The mount whose commit brings the record: the workspace, else the first cow branch with changes.
 * Memory is never written to a cow branch, which nobody reads it from. */
static struct cis_files_mount *carrier(const struct cis_run_files *files, bool memory)
{
    struct cis_files_mount *cow = NULL;
    for (size_t i = 0; i < files->n; i++) {
        struct cis_files_mount *m = &files->mounts[i];
        if (!m->writes || m->info.committed) {
            continue;
        }
        if (m->lower == NULL) {
            return m;
        }
        cow = cow == NULL && cis_files_mount_dirty(m) ? m : cow;
    }
    return memory ? NULL : cow;
}

static cis_code commit_one(struct cis_files_mount *m, const char *fork,
                           const struct cis_store_commit *with, const struct cis_stop *stop,
                           struct cis_error *err)
{
    struct cis_fs_committed done;
    struct cis_error why = {0};
    cis_code code =
        fork != NULL || m->fresh
            ? cis_layered_commit_fork(m->view, cis_str_of(fork != NULL ? fork : m->branch), with,
                                      &done, stop, &why)
            : cis_layered_commit(m->view, with, &done, stop, &why);
    if (code != CIS_OK) {
        return cis_files_about(err, m, code, &why);
    }
    m->info.committed = true;
    m->info.after = done.view;
    return CIS_OK;
}

static cis_code commit_alone(const struct cis_run_files *files, const struct cis_store_commit *with,
                             const struct cis_stop *stop, struct cis_error *err)
{
    if (files->fs_cache == NULL) {
        return cis_fail(err, CIS_E_INTERNAL, "a commit needs a store");
    }
    cis_store *store = cis_fs_cache_store(files->fs_cache);
    return cis_store_commit(store, cis_str_of(files->tenant), with, stop, err);
}

cis_code cis_run_files_beside(cis_run_files *files, bool memory, bool rescue,
                              const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_files_mount *main = carrier(files, memory);
    struct cis_error lost;
    for (size_t i = 0; i < files->n; i++) {
        struct cis_files_mount *m = &files->mounts[i];
        m->info.carries = m == main;
        if (m == main || !cis_files_mount_dirty(m) || (rescue && m->fork == NULL)) {
            continue;
        }
        if (!rescue) {
            CIS_TRY(commit_one(m, NULL, NULL, stop, err));
        } else if (commit_one(m, m->fork, NULL, stop, &lost) != CIS_OK) {
            /* It is no reason to lose the others. That this one is not kept, its row tells. */
            cis_free(cis_take(&m->fork));
            cis_layered_discard(m->view);
        }
    }
    return CIS_OK;
}

cis_code cis_run_files_commit(cis_run_files *files, const struct cis_store_commit *with,
                              const struct cis_stop *stop, struct cis_error *err)
{
    CIS_TRY(cis_run_files_beside(files, with->nkv != 0, false, stop, err));
    struct cis_files_mount *main = carrier(files, with->nkv != 0);
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
        struct cis_files_mount *m = &files->mounts[i];
        if (cis_files_mount_dirty(m)) {
            snprintf(name, sizeof name,
                     n == 0 ? CIS_CONFLICT_PREFIX "%s" : CIS_CONFLICT_PREFIX "%s-%zu",
                     files->run_id, n + 1);
            n++;
            (void)cis_files_set_fork(m, name, NULL);
        }
    }
}

void cis_run_files_plan_nothing(cis_run_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        struct cis_files_mount *m = &files->mounts[i];
        if (!m->info.committed) {
            cis_free(cis_take(&m->fork));
            m->info.carries = false;
        }
    }
}

cis_code cis_run_files_rescue(cis_run_files *files, const struct cis_store_commit *with,
                              const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_files_mount *main = carrier(files, with->nkv != 0);
    if (main == NULL || !cis_files_mount_dirty(main)) {
        return cis_fail(err, CIS_E_INVALID, "nothing to keep");
    }
    CIS_TRY(cis_run_files_beside(files, with->nkv != 0, true, stop, err));
    return main->fork != NULL ? commit_one(main, main->fork, with, stop, err)
                              : cis_files_no_memory(err);
}

void cis_run_files_discard(cis_run_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        struct cis_files_mount *m = &files->mounts[i];
        if (m->writes && !m->info.committed) {
            cis_layered_discard(m->view);
        }
    }
}

cis_code cis_run_files_write(cis_run_files *files, enum cis_run_keeping how, cis_store *store,
                             struct cis_str tenant, const struct cis_store_commit *with,
                             const struct cis_stop *stop, struct cis_error *err)
{
    if (files != NULL && how == CIS_KEEP_BESIDE) {
        return cis_run_files_rescue(files, with, stop, err);
    }
    if (files != NULL && files->fs_cache != NULL && how == CIS_KEEP) {
        return cis_run_files_commit(files, with, stop, err);
    }
    return cis_store_commit(store, files != NULL ? cis_str_of(files->tenant) : tenant, with, stop,
                            err);
}

enum cis_run_keeping cis_run_files_next(cis_run_files *files, enum cis_run_keeping how,
                                        cis_code code)
{
    bool refused = code == CIS_E_CONFLICT || code == CIS_E_QUOTA || code == CIS_E_EXISTS;
    if (files == NULL) {
        return CIS_KEEP_NOTHING;
    }
    if (how == CIS_KEEP && refused && cis_run_files_dirty(files)) {
        cis_run_files_plan_rescue(files);
        return CIS_KEEP_BESIDE;
    }
    cis_run_files_plan_nothing(files);
    cis_run_files_discard(files);
    return CIS_KEEP_NOTHING;
}
