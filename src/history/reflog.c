/* What names pointed at before they were moved or removed, and moving them. */
#include "history/internal.h"
#include "store/holder.h"
#include "store/calls.h"

cis_code cis_history_rollback(const struct cis_history *h, struct cis_str ref, struct cis_view to,
                              struct cis_str why, struct cis_view *out_head, struct cis_error *err)
{
    struct cis_fs_ref now;
    CIS_TRY(cis_store_ref_held(h->store, h->tenant, ref, &now, h->stop, err));
    CIS_TRY(cis_fs_ref_check_writer(cis_str_of(now.name), CIS_STR("rollback"), err));
    if (now.holder[0] != 0) {
        return cis_fail(err, CIS_E_CONFLICT, "branch %s is mounted (%s): unmount it first",
                        now.name, now.holder);
    }
    return cis_store_ref_move(
        h->store, h->tenant,
        &(struct cis_fs_move_request){
            .name = cis_str_of(now.name), .expect = now.head, .to = to, .why = why},
        out_head, h->stop, err);
}

/* ---- one entry ---- */
struct seeking {
    uint64_t n, epoch; /* the nth, or the first that reached the epoch */
    uint64_t seen;
    struct cis_view found;
};

static bool seek(void *self, const struct cis_fs_reflog *entry)
{
    struct seeking *s = self;
    s->seen++;
    if (s->n != 0 ? s->seen == s->n : entry->view.epoch >= s->epoch) {
        s->found = entry->view;
        return false;
    }
    return true;
}

cis_code cis_history_reflog_at(const struct cis_history *h, struct cis_str ref, uint64_t n,
                               struct cis_view *out, struct cis_error *err)
{
    struct seeking s = {.n = n};
    CIS_TRY(cis_store_reflog(h->store, h->tenant, ref, seek, &s, h->stop, err));
    if (s.found.branch == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "the reflog has %llu entries of that name",
                        (unsigned long long)s.seen);
    }
    *out = s.found;
    return CIS_OK;
}

cis_code cis_history_reflog_epoch(const struct cis_history *h, struct cis_str ref, uint64_t epoch,
                                  struct cis_view *out, struct cis_error *err)
{
    struct seeking s = {.epoch = epoch};
    CIS_TRY(cis_store_reflog(h->store, h->tenant, ref, seek, &s, h->stop, err));
    if (s.found.branch == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "no state of that name has this number");
    }
    *out = (struct cis_view){s.found.branch, epoch};
    return CIS_OK;
}

/* ---- all of a name ---- */
struct noted {
    struct cis_view view;
    int64_t left_ms;
    uint64_t files, bytes;
    struct cis_str why;
};
struct noting {
    struct {
        struct noted *at;
        size_t n, cap;
        struct cis_bound *bound;
    } all;
    struct arena arena;
    size_t limit;
    cis_code code;
    struct cis_error *err;
};

static bool note(void *self, const struct cis_fs_reflog *entry)
{
    struct noting *x = self;
    struct noted *slot = x->all.n == x->limit ? NULL : vec_add(&x->all);
    if (slot == NULL) {
        x->code = x->all.n == x->limit ? CIS_OK : cis_history_nomem(x->err);
        return false;
    }
    *slot = (struct noted){.view = entry->view,
                           .left_ms = entry->time_ms,
                           .files = entry->files,
                           .bytes = entry->bytes};
    x->code = cis_arena_str(&x->arena, entry->why, &slot->why, x->err);
    return x->code == CIS_OK;
}

static void noting_done(struct noting *x)
{
    vec_done(&x->all);
    cis_arena_done(&x->arena);
}

static bool count(void *self, const struct cis_change *change)
{
    (void)change;
    ++*(int64_t *)self;
    return true;
}

static cis_code count_paths(const struct cis_history *h, struct cis_view view, int64_t *out,
                            struct cis_error *err)
{
    struct cis_error why = {0};
    int64_t n = 0;
    *out = -1;
    if (view.epoch == 0) {
        return CIS_OK;
    }
    cis_code code =
        cis_history_diff(h, (struct cis_view){view.branch, view.epoch - 1}, view, count, &n, &why);
    if (code == CIS_E_EXPIRED || code == CIS_E_NOTFOUND || code == CIS_E_DAMAGED) {
        return CIS_OK;
    }
    *out = code == CIS_OK ? n : -1;
    return code == CIS_OK ? CIS_OK : cis_fail(err, code, "%s", why.msg);
}

struct showing {
    struct cis_history_reflog entry;
    cis_history_reflog_each *each;
    void *self;
    bool told, more;
};

static bool with_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct showing *s = self;
    s->entry.commit = row;
    s->told = true;
    s->more = s->each(s->self, &s->entry);
    return false;
}

static cis_code show(const struct cis_history *h, const struct cis_branches *branches,
                     const struct noted *noted, struct showing *s, struct cis_error *err)
{
    struct cis_view view = cis_branches_owner(branches, noted->view);
    s->entry.view = view;
    s->entry.left_ms = noted->left_ms;
    s->entry.why = noted->why;
    s->entry.files = noted->files;
    s->entry.bytes = noted->bytes;
    s->entry.commit = NULL;
    s->told = false;
    CIS_TRY(count_paths(h, view, &s->entry.paths, err));
    if (view.epoch != 0) {
        CIS_TRY(cis_store_commits(h->store, h->tenant,
                                  &(struct cis_fs_log_query){.branch = view.branch,
                                                             .after = view.epoch - 1,
                                                             .upto = view.epoch,
                                                             .newest = true,
                                                             .limit = 1},
                                  with_commit, s, h->stop, err));
    }
    if (!s->told) {
        s->more = s->each(s->self, &s->entry);
    }
    return CIS_OK;
}

cis_code cis_history_reflog(const struct cis_history *h, struct cis_str ref, uint32_t limit,
                            cis_history_reflog_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    CIS_CLEANUP(noting_done)
    struct noting x = {.limit = limit != 0 ? limit : SIZE_MAX, .err = err};
    struct showing s = {.each = each, .self = self, .more = true};
    struct cis_fs_ref now = {.name = ""};
    struct cis_error why = {0};
    if (ref.len != 0 && !cis_fs_ref_valid(ref)) {
        return cis_fail(err, CIS_E_NOTFOUND, "%.*s: not a valid name for a branch",
                        (int)(ref.len > 100 ? 100 : ref.len), ref.ptr);
    }
    cis_code code = cis_store_ref_get(h->store, h->tenant, ref, &now, h->stop, &why);
    if (code != CIS_OK && (code != CIS_E_NOTFOUND || ref.len == 0)) {
        return cis_fail(err, code, "%s", why.msg);
    }
    if (code == CIS_OK) {
        ref = cis_str_of(now.name);
        struct noted *head = vec_add(&x.all);
        CIS_TRY(head != NULL ? CIS_OK : cis_history_nomem(err));
        *head = (struct noted){.view = now.head, .files = now.files, .bytes = now.bytes};
    } else {
        memcpy(now.name, ref.ptr, ref.len);
    }
    CIS_TRY(cis_store_reflog(h->store, h->tenant, ref, note, &x, h->stop, err));
    CIS_TRY(x.code);
    if (x.all.n == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "branch %s: no such branch, and none in the reflog",
                        now.name);
    }
    CIS_TRY(cis_branches_load(h, &branches, err));
    s.entry.ref = now.name;
    for (size_t i = 0; i < x.all.n && s.more; i++) {
        s.entry.n = i + (code == CIS_OK ? 0 : 1);
        CIS_TRY(show(h, &branches, &x.all.at[i], &s, err));
    }
    return CIS_OK;
}
