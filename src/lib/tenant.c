/* cis_tenant: the owner of branches, and their history for embedders: src/history with states given
 * as text. */
#include <stdio.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "history/history.h"
#include "lib/internal.h"
#include "store/calls.h"

cis_code cis_tenant_open(cis_runtime *runtime, const char *name, cis_tenant **out_tenant,
                         struct cis_error *err)
{
    struct cis_str valid;
    CIS_TRY(cis_lib_here(runtime, err));
    if (runtime->store == NULL) {
        return cis_fail(err, CIS_E_USAGE, "the runtime keeps nothing: its config has no data_dir");
    }
    CIS_TRY(cis_lib_tenant(name, &valid, err));
    cis_tenant *tenant = cis_zalloc(sizeof *tenant);
    if (tenant == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "tenant: out of memory");
    }
    tenant->runtime = runtime;
    memcpy(tenant->name, valid.ptr, valid.len);
    *out_tenant = tenant;
    return CIS_OK;
}

void cis_tenant_close(cis_tenant *tenant)
{
    cis_free(tenant);
}

const char *cis_tenant_name(const cis_tenant *tenant)
{
    return tenant->name;
}

static cis_code begin(const cis_tenant *tenant, struct cis_history *out, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(tenant->runtime, err));
    *out =
        (struct cis_history){.store = tenant->runtime->store, .tenant = cis_str_of(tenant->name)};
    return CIS_OK;
}

static cis_code begin_at(const cis_tenant *tenant, const char *state, struct cis_history *out,
                         struct cis_rev *out_rev, struct cis_error *err)
{
    CIS_TRY(begin(tenant, out, err));
    return cis_history_resolve(out, cis_str_of(state != NULL ? state : ""), out_rev, err);
}

static cis_code name_check(const char *name, const char *what, struct cis_error *err)
{
    return cis_fs_ref_valid(cis_str_of(name))
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE, "%s %.100s: not a valid name", what, name);
}

cis_code cis_tenant_snapshot(cis_tenant *tenant, const char *state, const char *name,
                             const char *note, struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev rev;
    struct cis_fs_snapshot s = {.note = cis_str_of(note != NULL ? note : "")};
    CIS_TRY(name_check(name, "snapshot", err));
    if (s.note.len > CIS_FS_NOTE_MAX) {
        return cis_fail(err, CIS_E_USAGE, "snapshot %s: a note of more than %u bytes", name,
                        CIS_FS_NOTE_MAX);
    }
    CIS_TRY(begin_at(tenant, state, &h, &rev, err));
    cis_id_new(s.id);
    memcpy(s.name, name, strlen(name) + 1); /* valid names fit */
    s.view = rev.view;
    return cis_store_snapshot_put(h.store, h.tenant, &s, NULL, err);
}

cis_code cis_tenant_snapshot_remove(cis_tenant *tenant, const char *name, struct cis_error *err)
{
    struct cis_history h;
    CIS_TRY(begin(tenant, &h, err));
    return cis_store_snapshot_remove(h.store, h.tenant, cis_str_of(name), NULL, err);
}

cis_code cis_tenant_fork(cis_tenant *tenant, const char *state, const char *branch,
                         struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev rev;
    struct cis_str name = cis_str_of(branch);
    CIS_TRY(name_check(branch, "branch", err));
    CIS_TRY(cis_fs_ref_check_free(name, err));
    CIS_TRY(begin_at(tenant, state, &h, &rev, err));
    return cis_store_fork(h.store, h.tenant, rev.view, &name, 1, NULL, err);
}

cis_code cis_tenant_switch(cis_tenant *tenant, const char *branch, struct cis_error *err)
{
    struct cis_history h;
    CIS_TRY(begin(tenant, &h, err));
    CIS_TRY(cis_fs_ref_check_writer(cis_str_of(branch), CIS_STR("switch"), err));
    return cis_store_ref_switch(h.store, h.tenant, cis_str_of(branch), NULL, err);
}

cis_code cis_tenant_rollback(cis_tenant *tenant, const char *branch, const char *state,
                             struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev rev;
    struct cis_view head;
    char why[CIS_FS_NOTE_MAX];
    CIS_TRY(begin_at(tenant, state, &h, &rev, err));
    snprintf(why, sizeof why, "rollback to %s", state != NULL ? state : "the current branch");
    return cis_history_rollback(&h, cis_str_of(branch != NULL ? branch : ""), rev.view,
                                cis_str_of(why), &head, err);
}

static bool give_change(void *self, const struct cis_change *change)
{
    return cis_lib_change_tell(self, change->what, change->path, change->from);
}

cis_code cis_tenant_diff(cis_tenant *tenant, const char *from, const char *to, cis_change_fn *each,
                         void *self, struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev a, b;
    CIS_TRY(begin_at(tenant, from, &h, &a, err));
    CIS_TRY(cis_history_resolve(&h, cis_str_of(to != NULL ? to : ""), &b, err));
    struct cis_lib_changes c = CIS_LIB_CHANGES(each, self);
    cis_code code = cis_history_diff(&h, a.view, b.view, give_change, &c, err);
    return cis_lib_changes_done(&c, code, err);
}

struct log {
    cis_commit_fn *each;
    void *self;
    cis_code said;
    struct cis_buf kind, note;
};

static bool give_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct log *l = self;
    cis_buf_reset(&l->kind);
    cis_buf_reset(&l->note);
    cis_buf_str(&l->kind, row->kind);
    cis_buf_str(&l->note, row->note);
    if (l->kind.failed != CIS_OK || l->note.failed != CIS_OK) {
        return false;
    }
    l->said = l->each(l->self, row->epoch, row->time_ms, cis_buf_cstr(&l->kind),
                      cis_buf_cstr(&l->note), row->run);
    return l->said == CIS_OK;
}

cis_code cis_tenant_log(cis_tenant *tenant, const char *state, uint32_t limit, cis_commit_fn *each,
                        void *self, struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev rev;
    CIS_TRY(begin_at(tenant, state, &h, &rev, err));
    struct log l = {each, self, CIS_OK, CIS_BUF_INIT(65536), CIS_BUF_INIT(65536)};
    cis_code code = cis_history_log(&h, rev.view, limit, false, give_commit, &l, err);
    if (code == CIS_OK) {
        code = cis_buf_check(&l.note, "note of a commit", err);
    }
    cis_buf_done(&l.kind);
    cis_buf_done(&l.note);
    return cis_lib_ended(l.said, code, err);
}

static struct cis_history_commit commit_on(const char *branch, const char *note)
{
    return (struct cis_history_commit){.ref = cis_str_of(branch != NULL ? branch : ""),
                                       .note = note};
}

cis_code cis_tenant_merge(cis_tenant *tenant, const char *branch, const char *from,
                          struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev theirs;
    struct cis_history_done done;
    struct cis_history_commit how = commit_on(branch, from);
    CIS_TRY(begin_at(tenant, from, &h, &theirs, err));
    return cis_history_merge(&h, theirs.view, &how, &done, err);
}

cis_code cis_tenant_undo(cis_tenant *tenant, const char *branch, const char *state,
                         struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev commit = {.view = {0, 0}};
    struct cis_history_done done;
    struct cis_history_commit how = commit_on(branch, NULL);
    CIS_TRY(begin(tenant, &h, err));
    if (state != NULL) {
        CIS_TRY(cis_history_resolve(&h, cis_str_of(state), &commit, err));
    }
    return cis_history_undo(&h, commit.view, &how, &done, err);
}

cis_code cis_tenant_redo(cis_tenant *tenant, const char *branch, struct cis_error *err)
{
    struct cis_history h;
    struct cis_history_done done;
    struct cis_history_commit how = commit_on(branch, NULL);
    CIS_TRY(begin(tenant, &h, err));
    return cis_history_redo(&h, &how, &done, err);
}

cis_code cis_tenant_restore(cis_tenant *tenant, const char *branch, const char *state,
                            const char *path, struct cis_error *err)
{
    struct cis_history h;
    struct cis_rev from;
    struct cis_history_done done;
    struct cis_history_commit how = commit_on(branch, path);
    CIS_TRY(begin_at(tenant, state, &h, &from, err));
    return cis_history_restore(&h, from.view, cis_str_of(path), &how, &done, err);
}

/* ---- publishing ---- */

/* NULL: the current branch, by its name. */
static cis_code branch_of(const struct cis_history *h, const char *branch, struct cis_fs_ref *out,
                          struct cis_error *err)
{
    if (branch == NULL) {
        return cis_store_ref_get(h->store, h->tenant, CIS_STR(""), out, NULL, err);
    }
    CIS_TRY(name_check(branch, "branch", err));
    memcpy(out->name, branch, strlen(branch) + 1); /* valid names fit */
    return CIS_OK;
}

cis_code cis_tenant_publish(cis_tenant *tenant, const char *branch, const char *to,
                            struct cis_error *err)
{
    struct cis_history h;
    struct cis_str reader;
    struct cis_fs_ref ref;
    CIS_TRY(begin(tenant, &h, err));
    if (to == NULL) {
        return cis_fail(err, CIS_E_USAGE, "publish: no tenant is given");
    }
    CIS_TRY(cis_lib_tenant(to, &reader, err));
    CIS_TRY(branch_of(&h, branch, &ref, err));
    return cis_store_publish_put(h.store, h.tenant, cis_str_of(ref.name), &reader, 1, NULL, err);
}

cis_code cis_tenant_unpublish(cis_tenant *tenant, const char *branch, const char *to,
                              struct cis_error *err)
{
    struct cis_history h;
    struct cis_str reader = {NULL, 0};
    struct cis_fs_ref ref;
    CIS_TRY(begin(tenant, &h, err));
    if (to != NULL) {
        CIS_TRY(cis_lib_tenant(to, &reader, err));
    }
    CIS_TRY(branch_of(&h, branch, &ref, err));
    return cis_store_publish_remove(h.store, h.tenant, cis_str_of(ref.name), &reader,
                                    to != NULL ? 1 : 0, NULL, err);
}

struct published {
    cis_published_fn *each;
    void *self;
    cis_code said;
};

static bool tell_published(void *self, const struct cis_fs_publish *row)
{
    struct published *p = self;
    p->said = p->each(p->self, row->tenant, row->ref, row->to, row->since_ms);
    return p->said == CIS_OK;
}

cis_code cis_tenant_published(cis_tenant *tenant, cis_published_fn *each, void *self,
                              struct cis_error *err)
{
    struct cis_history h;
    struct published p = {each, self, CIS_OK};
    CIS_TRY(begin(tenant, &h, err));
    CIS_TRY(cis_store_published_by(h.store, h.tenant, tell_published, &p, NULL, err));
    cis_code code = p.said == CIS_OK
                        ? cis_store_published_to(h.store, h.tenant, tell_published, &p, NULL, err)
                        : CIS_OK;
    return cis_lib_ended(p.said, code, err);
}
