/* Rows that no view shows any more. First every branch's floor is set: from then on nobody can
 * begin to look at what is below it, so that what is found to be held afterwards is all there will
 * be. Then tables are read in pages, in key order, and rows deleted in small batches: extents
 * first, so that a file's tombstone is the last of it; older rows of a key before younger ones, so
 * that being stopped between two batches never lets a removed name show through. */
#include "history/graph.h"
#include "history/graves.h"

#include <stdio.h>
#include <stdlib.h>
#include "store/calls.h"
#include "store/store.h"

#define BATCH 1000u

struct doomed {
    struct cis_fs_key key;
    bool absence; /* goes though views show it: only if nothing older is left for it to hide */
};

/* One table of one branch. The row in hand waits for the next one, which says whether it was
 * replaced. */
struct pass {
    const struct cis_history *h;
    const struct kept *kept;
    const struct tombs *tombs;
    const struct numbers *back; /* files whose tombstones end nothing */
    enum cis_fs_table table;
    bool has_row, is_absence, older_stays;
    struct cis_fs_key row;
    char name[CIS_FS_NAME_MAX + 1];
    struct {
        struct doomed *at;
        size_t n, cap;
        struct cis_bound *bound;
    } doomed;
    struct arena arena;
    uint32_t seen;
    uint64_t kept_rows, removed;
    bool late; /* something is held that was not when this began: absences stay as they hide */
    cis_code code;
    struct cis_error *err;
};

/* end: views from there on do not show it. */
static cis_code doom(struct pass *p, bool absence, uint64_t end)
{
    struct doomed *d = vec_add(&p->doomed);
    if (d == NULL) {
        return cis_history_nomem(p->err);
    }
    *d = (struct doomed){.key = p->row, .absence = absence};
    d->key.until = end;
    return cis_arena_str(&p->arena, p->row.name, &d->key.name, p->err);
}

/* The row in hand is replaced at next. */
static cis_code check(struct pass *p, uint64_t next)
{
    if (!p->has_row) {
        return CIS_OK;
    }
    p->has_row = false;
    uint64_t end = next;
    if (p->table == CIS_FS_EXTENTS && !cis_numbers_has(p->back, p->row.ino)) {
        uint64_t tomb = cis_tombs_after(p->tombs, p->row.ino, p->row.epoch);
        end = tomb < end ? tomb : end;
    }
    if (!cis_gc_roots_shows(p->kept, p->row.epoch, end)) {
        return doom(p, false, end);
    }
    if (p->is_absence && !p->older_stays) {
        return doom(p, true, 0);
    }
    p->older_stays = true;
    p->kept_rows++;
    return CIS_OK;
}

static bool same_key(const struct cis_fs_key *a, const struct cis_fs_key *b)
{
    return a->ino == b->ino && a->block == b->block && cis_str_eq(a->name, b->name);
}

static bool take_row(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct pass *p = self;
    p->seen++;
    if (key->name.len > CIS_FS_NAME_MAX) {
        p->code = cis_fail(p->err, CIS_E_DAMAGED, "directory %llu: a name is too long",
                           (unsigned long long)key->ino);
        return false;
    }
    bool same = p->has_row && same_key(&p->row, key);
    p->code = check(p, same ? key->epoch : UINT64_MAX);
    if (!same) {
        p->older_stays = false;
    }
    memcpy(p->name, key->name.ptr != NULL ? key->name.ptr : "", key->name.len);
    p->row = *key;
    p->row.name = (struct cis_str){p->name, key->name.len};
    p->has_row = true;
    p->is_absence = p->table == CIS_FS_DIRENTS  ? dirent->ino == 0
                    : p->table == CIS_FS_INODES ? inode->gone
                                                : extent->chunk == 0;
    return p->code == CIS_OK;
}

/* ---- does an ancestor show the key? ---- */
static bool note_step(void *self, size_t index, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode)
{
    (void)index;
    (void)inode;
    *(bool *)self = dirent->ino != 0;
    return false;
}

static bool note_inode(void *self, const struct cis_fs_inode *inode)
{
    *(bool *)self = !inode->gone;
    return false;
}

static bool note_extent(void *self, const struct cis_fs_extent *extent)
{
    *(bool *)self = extent->chunk != 0;
    return false;
}

static cis_code ancestor_shows(const struct pass *p, const struct cis_fs_key *key, bool *out)
{
    const struct cis_history *h = p->h;
    struct cis_view at = {p->kept->branch.parent, p->kept->branch.fork_epoch};
    *out = false;
    switch (key->table) {
    case CIS_FS_DIRENTS:
        return cis_store_walk(
            h->store, h->tenant,
            &(struct cis_fs_walk_query){.at = at, .dir = key->ino, .names = &key->name, .n = 1},
            note_step, out, h->stop, p->err);
    case CIS_FS_INODES:
        return cis_store_inodes(h->store, h->tenant,
                                &(struct cis_fs_inode_query){.at = at, .inos = &key->ino, .n = 1},
                                note_inode, out, h->stop, p->err);
    case CIS_FS_EXTENTS:
        return cis_store_extents(h->store, h->tenant,
                                 &(struct cis_fs_extent_query){
                                     .at = at, .ino = key->ino, .first = key->block, .count = 1},
                                 note_extent, out, h->stop, p->err);
    }
    return CIS_OK;
}

/* Rows that are held after all stay, and those beside them: the next gc knows better. */
static cis_code remove_rows(struct pass *p, const struct cis_fs_key *keys, size_t n, bool dry_run)
{
    struct cis_error why = {0};
    cis_code code =
        dry_run
            ? CIS_OK
            : cis_store_squash(p->h->store, p->h->tenant,
                               &(struct cis_fs_squash_request){
                                   .branch = p->kept->branch.id, .floor = 0, .keys = keys, .n = n},
                               p->h->stop, &why);
    if (code == CIS_E_CONFLICT) {
        p->late = true;
        p->kept_rows += n;
        return CIS_OK;
    }
    p->removed += code == CIS_OK ? n : 0;
    return code == CIS_OK ? CIS_OK : cis_fail(p->err, code, "%s", why.msg);
}

static cis_code flush(struct pass *p, bool dry_run)
{
    struct cis_fs_key keys[BATCH];
    size_t n = 0;
    for (size_t i = 0; i < p->doomed.n; i++) {
        const struct doomed *d = &p->doomed.at[i];
        bool shows = d->absence && p->late;
        if (d->absence && !shows && p->kept->branch.parent != 0) {
            CIS_TRY(ancestor_shows(p, &d->key, &shows));
        }
        if (shows) {
            p->kept_rows++;
        } else {
            keys[n++] = d->key;
        }
        if (n == BATCH || (n != 0 && i + 1 == p->doomed.n)) {
            CIS_TRY(remove_rows(p, keys, n, dry_run));
            n = 0;
        }
    }
    p->doomed.n = 0;
    cis_arena_done(&p->arena);
    return CIS_OK;
}

static cis_code run_pass(struct pass *p, uint32_t batch, bool dry_run)
{
    struct cis_fs_key after;
    char after_name[CIS_FS_NAME_MAX + 1];
    bool first = true;
    do {
        p->seen = 0;
        CIS_TRY(cis_store_scan(p->h->store, p->h->tenant,
                               &(struct cis_fs_scan_query){.table = p->table,
                                                           .branch = p->kept->branch.id,
                                                           .after = first ? NULL : &after,
                                                           .limit = batch},
                               take_row, p, p->h->stop, p->err));
        CIS_TRY(p->code);
        if (p->seen < batch) {
            CIS_TRY(check(p, UINT64_MAX));
        }
        after = p->row;
        memcpy(after_name, p->name, sizeof after_name);
        after.name.ptr = after_name;
        CIS_TRY(flush(p, dry_run));
        first = false;
    } while (p->seen == batch);
    return CIS_OK;
}

static cis_code squash_branch(const struct graves *g, size_t branch,
                              const struct cis_retention *keep, struct cis_gc_counts *out)
{
    static const enum cis_fs_table order[] = {CIS_FS_EXTENTS, CIS_FS_DIRENTS, CIS_FS_INODES};
    uint32_t batch = keep->batch != 0 && keep->batch < BATCH ? keep->batch : BATCH;
    cis_code code = CIS_OK;
    for (int i = 0; i < 3 && code == CIS_OK; i++) {
        struct pass p = {.h = g->h,
                         .kept = &g->r->at[branch],
                         .tombs = &g->of[branch],
                         .back = &g->back,
                         .table = order[i],
                         .err = g->err};
        code = run_pass(&p, batch, keep->dry_run);
        out->rows += p.removed;
        out->rows_kept += p.kept_rows;
        vec_done(&p.doomed);
        cis_arena_done(&p.arena);
    }
    return code;
}

/* ---- all branches ---- */
static cis_code set_floors(const struct cis_history *h, const struct retain *r,
                           struct cis_error *err)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct kept *k = &r->at[i];
        uint64_t floor = k->live ? k->from : k->branch.head + 1;
        if (floor != 0) {
            CIS_TRY(
                cis_store_squash(h->store, h->tenant,
                                 &(struct cis_fs_squash_request){
                                     .branch = k->branch.id, .floor = floor, .keys = NULL, .n = 0},
                                 h->stop, err));
        }
    }
    return CIS_OK;
}

struct conflict {
    struct cis_str name;
    struct cis_view head;
};
struct expiring {
    const struct cis_history *h;
    struct {
        struct conflict *at;
        size_t n, cap;
        struct cis_bound *bound;
    } found;
    struct arena arena;
    int64_t before_ms;
    cis_code code;
    struct cis_error *err;
};

static bool take_conflict(void *self, const struct cis_fs_ref *ref)
{
    struct expiring *x = self;
    struct cis_str name = cis_str_of(ref->name);
    if (cis_fs_ref_is_made(name) && ref->created_ms < x->before_ms && !ref->current &&
        ref->holder[0] == 0) {
        struct conflict *c = vec_add(&x->found);
        x->code = c != NULL ? cis_arena_str(&x->arena, name, &c->name, x->err)
                            : cis_history_nomem(x->err);
        if (x->code == CIS_OK) {
            c->head = ref->head;
        }
    }
    return x->code == CIS_OK;
}

static bool note_time(void *self, const struct cis_fs_commit_row *row)
{
    *(int64_t *)self = row->time_ms;
    return false;
}

/* Does the run's row say that it was applied, and not with which record? One that is older than
 * such rows: without it nobody would know that a folder has the run's changes. */
static bool untold(void *self, const struct cis_run_row *row)
{
    struct cis_str *name = self;
    struct cis_str applied = cis_run_report_applied(row->report);
    if (cis_run_applied_names(applied, *name)) {
        name->len = 0;
    }
    return false;
}

static cis_code is_needed(const struct expiring *x, struct cis_str name, bool *out,
                          struct cis_error *err)
{
    struct cis_error why;
    size_t prefix = sizeof CIS_APPLIED_PREFIX - 1;
    *out = false;
    if (!cis_str_starts(name, CIS_STR(CIS_APPLIED_PREFIX))) {
        return CIS_OK;
    }
    struct cis_str run = {name.ptr + prefix, CIS_ID_CHARS};
    cis_code code =
        cis_store_run_get(x->h->store, x->h->tenant, run, untold, &name, x->h->stop, &why);
    *out = code == CIS_OK && name.len != 0;
    return code == CIS_OK || code == CIS_E_NOTFOUND ? CIS_OK : cis_fail(err, code, "%s", why.msg);
}

/* Was it committed to since? Somebody works there. */
static cis_code in_use(const struct expiring *x, struct cis_view head, bool *out)
{
    int64_t last = 0;
    CIS_TRY(cis_store_commits(
        x->h->store, x->h->tenant,
        &(struct cis_fs_log_query){
            .branch = head.branch, .upto = head.epoch, .newest = true, .limit = 1},
        note_time, &last, x->h->stop, x->err));
    *out = last >= x->before_ms;
    return CIS_OK;
}

struct trimming {
    int64_t before_ms;
    bool any;
};

static bool see_entry(void *self, const struct cis_fs_reflog *entry)
{
    struct trimming *t = self;
    t->any = t->any || entry->time_ms <= t->before_ms;
    return !t->any;
}

/* What names pointed at goes by age alone, as branches without a name do. */
static cis_code trim_reflog(const struct cis_history *h, const struct cis_retention *keep,
                            struct cis_error *err)
{
    int64_t now;
    CIS_TRY(cis_store_clock(h->store, &now, NULL, h->stop, err));
    struct trimming t = {.before_ms = now - cis_retention_age_ms(keep)};
    CIS_TRY(cis_store_reflog(h->store, h->tenant, CIS_STR(""), see_entry, &t, h->stop, err));
    return t.any && !keep->dry_run
               ? cis_store_reflog_trim(h->store, h->tenant, t.before_ms, h->stop, err)
               : CIS_OK;
}

/* The work of conflicts that nobody came back for, and what old applies replaced. */
static cis_code expire_conflicts(const struct cis_history *h, const struct cis_retention *keep,
                                 struct cis_error *err)
{
    struct expiring x = {.h = h, .err = err};
    int64_t now;
    CIS_TRY(cis_store_clock(h->store, &now, NULL, h->stop, err));
    x.before_ms = now - cis_retention_age_ms(keep);
    cis_code code = cis_store_ref_list(h->store, h->tenant, take_conflict, &x, h->stop, err);
    code = code == CIS_OK ? x.code : code;
    for (size_t i = 0; i < x.found.n && code == CIS_OK && !keep->dry_run; i++) {
        const struct conflict *c = &x.found.at[i];
        bool used = false, needed = false;
        struct cis_error why;
        code = in_use(&x, c->head, &used);
        code = code == CIS_OK ? is_needed(&x, c->name, &needed, err) : code;
        if (code == CIS_OK && !used && !needed) { /* with the head that was looked at, or not now */
            code = cis_store_ref_expire(h->store, h->tenant, c->name, c->head, h->stop, &why);
            code = code == CIS_OK || code == CIS_E_NOTFOUND || code == CIS_E_CONFLICT
                       ? CIS_OK
                       : cis_fail(err, code, "%s", why.msg);
        }
    }
    vec_done(&x.found);
    cis_arena_done(&x.arena);
    return code;
}

/* Nobody's any more: its rows, or all of it. What was held after all stays. */
static cis_code remove_branch(const struct graves *g, size_t branch, const struct numbers *needed,
                              const struct cis_retention *keep, struct cis_gc_counts *out)
{
    const struct cis_history *h = g->h;
    uint64_t id = g->r->at[branch].branch.id;
    struct cis_error why = {0};
    cis_code code = CIS_E_CONFLICT; /* its log says what others descend from (graph.h) */
    if (!cis_numbers_has(needed, id)) {
        code = keep->dry_run ? CIS_OK
                             : cis_store_branch_remove(h->store, h->tenant, id, h->stop, &why);
    }
    out->branches += code == CIS_OK ? 1 : 0;
    if (code == CIS_OK || code == CIS_E_NOTFOUND) {
        return CIS_OK;
    }
    return code == CIS_E_CONFLICT ? squash_branch(g, branch, keep, out)
                                  : cis_fail(g->err, code, "%s", why.msg);
}

/* What old commits changed: conflicts, merges, undo and caches ask for later ones only. */
static cis_code drop_keys(const struct cis_history *h, const struct retain *r,
                          struct cis_error *err)
{
    for (size_t i = 0; i < r->n; i++) {
        uint64_t upto = cis_gc_roots_keys_upto(r, &r->at[i]);
        if (upto != 0) {
            CIS_TRY(
                cis_store_keys_drop(h->store, h->tenant, r->at[i].branch.id, upto, h->stop, err));
        }
    }
    return CIS_OK;
}

cis_code cis_gc_rows(const struct cis_history *h, const struct cis_retention *keep,
                     struct cis_gc_counts *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_gc_roots_done) struct retain r = {0};
    CIS_CLEANUP(cis_graves_done) struct graves g = {.h = h, .r = &r, .err = err};
    CIS_CLEANUP(cis_numbers_done) struct numbers needed = {0};
    CIS_TRY(expire_conflicts(h, keep, err));
    CIS_TRY(trim_reflog(h, keep, err));
    CIS_TRY(cis_graph_hold(h, keep->dry_run, &needed, err));
    CIS_TRY(cis_gc_roots_windows(h, keep, &r, err));
    if (!keep->dry_run) {
        CIS_TRY(set_floors(h, &r, err));
    }
    CIS_TRY(cis_gc_roots_held(h, &r, err));
    CIS_TRY(cis_graves_read(&g));
    for (size_t i = r.n; i > 0;) { /* forks before what they were forked from */
        i--;
        const struct kept *k = &r.at[i];
        CIS_TRY(k->live || k->held.n != 0 ? squash_branch(&g, i, keep, out)
                                          : remove_branch(&g, i, &needed, keep, out));
    }
    return keep->dry_run ? CIS_OK : drop_keys(h, &r, err);
}

cis_code cis_history_gc(const struct cis_history *h, const struct cis_retention *keep,
                        struct cis_gc_counts *out, struct cis_error *err)
{
    struct cis_gc_counts counts = {0};
    CIS_TRY(cis_gc_rows(h, keep, &counts, err));
    CIS_TRY(cis_gc_chunks(h, keep, &counts, err));
    *out = counts;
    return CIS_OK;
}
