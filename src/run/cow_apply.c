/* Bringing the changes of a cow branch to the folder. First every step is checked; then what the
 * steps replace is kept; then they are taken one by one. Renamed folders are moved aside before all
 * else, so that no rename meets another; then, from the root down, names are removed, moved to
 * their place, and written. */
#include "run/cow_deep.h"

static bool told(const struct cow_plan *p, const struct cow_change *c, uint64_t *done)
{
    struct cis_union_change change = {.what = c->what,
                                      .path = cis_str_of(c->path),
                                      .from = cis_str_of(c->from != NULL ? c->from : ""),
                                      .target = cis_str_of(c->target != NULL ? c->target : ""),
                                      .mode = c->mode,
                                      .size = c->size,
                                      .old_size = c->old_size};
    ++*done;
    return p->how->each == NULL || p->how->each(p->how->self, &change);
}

static cis_code take_all(struct cow_work *w, const struct cow_steps *list, size_t from, size_t to,
                         struct cis_error *err)
{
    for (size_t i = from; i < to; i++) {
        const struct cow_step *s = &list->at[i];
        cis_code code = cis_cow_take(w, s, s->path, false, err);
        /* One that failed may be done all the same; an undo looks whether it is. */
        w->taken += code == CIS_OK || (code != CIS_E_CONFLICT && s->op != COW_RENAME);
        CIS_TRY(code);
    }
    return CIS_OK;
}

static cis_code write_all(struct cow_plan *p, struct cow_work *w, uint64_t *done,
                          struct cis_error *err)
{
    size_t at = 0;
    CIS_TRY(take_all(w, &p->first, 0, p->first.n, err));
    for (size_t i = 0; i < p->list.n; i++) {
        CIS_TRY(take_all(w, &p->steps, at, p->ends[i], err));
        at = p->ends[i];
        if (!told(p, &p->list.at[i], done)) {
            return cis_fail(err, CIS_E_CANCELLED, "apply: cancelled");
        }
    }
    return take_all(w, &p->last, 0, p->last.n, err);
}

/* Folders that were moved aside and have not come to their place: told where they are. */
static uint64_t tell_aside(const struct cow_plan *p, const struct cow_work *w)
{
    uint64_t n = 0;
    for (size_t i = 0; i < p->first.n && i < w->taken; i++) {
        const struct cow_step *s = &p->first.at[i];
        const struct cow_change *c =
            s->op == COW_RENAME ? cis_map_get(&p->from, cis_str_of(s->path)) : NULL;
        size_t change = c != NULL ? (size_t)(c - p->list.at) : 0;
        size_t comes = p->first.n + (change != 0 ? p->ends[change - 1] : 0);
        if (c == NULL || w->taken > comes) {
            continue;
        }
        n++;
        if (p->how->aside != NULL) {
            p->how->aside(p->how->self, cis_str_of(s->path), s->to);
        }
    }
    return n;
}

/* Takes back what was done, with the record, as an undo does. */
static cis_code take_back(const struct cow_plan *p)
{
    struct cis_error ignored;
    uint64_t n;
    struct cis_cow_undo how = {.fs_cache = p->cow->fs_cache,
                               .tenant = p->cow->tenant,
                               .ref = p->record,
                               .held = true,
                               .stop = &p->cow->stop};
    return cis_cow_undo(&how, &n, &ignored);
}

/* The steps are done in the folder that was checked. */
static cis_code same_folder(const cis_cow *cow, const struct cow_work *w, struct cis_error *err)
{
    struct cis_vfs_attr checked, now;
    char a[CIS_UNION_KEY], b[CIS_UNION_KEY];
    int rc = cis_at_stat(cow->below.root, &cow->call, CIS_STR("."), COW_WALK, &checked);
    rc = rc == 0 ? cis_at_stat(w->to.root, &cow->call, CIS_STR("."), COW_WALK, &now) : rc;
    if (rc != 0) {
        return cis_cow_errno(rc, &cow->why, cow->folder, err);
    }
    cis_union_key(&checked, a);
    cis_union_key(&now, b);
    return strcmp(a, b) == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT,
                          "%.140s: replaced by another folder meanwhile; nothing was done",
                          cow->folder);
}

/* Somebody changed a name at that very moment, or the command was told to end: what is done stays.
 * What the host refuses (a full disk) is no reason to leave half of it there. */
static cis_code half_way(const struct cow_plan *p, const struct cow_work *w, cis_code code,
                         uint64_t done, struct cis_error *err)
{
    struct cis_error why = {0}, own = {0};
    if (code == CIS_OK) {
        return code;
    }
    why = err != NULL ? *err : why;
    if (code != CIS_E_CONFLICT && code != CIS_E_CANCELLED &&
        cis_stop_check(&p->cow->stop, "", &own) == CIS_OK && take_back(p) == CIS_OK) {
        return cis_fail(err, code, "%.160s; the changes made so far were taken back", why.msg);
    }
    uint64_t aside = tell_aside(p, w);
    if (aside == 0) {
        return cis_fail(err, code,
                        "%.90s; %llu of %zu changes were made: apply again, or take them back with "
                        "`cis runs undo %s`",
                        why.msg, (unsigned long long)done, p->list.n, p->how->run);
    }
    return cis_fail(err, code,
                    "%.90s; %llu of %zu changes were made, and %llu folders were moved aside: `cis "
                    "runs undo %s` takes all of it back",
                    why.msg, (unsigned long long)done, p->list.n, (unsigned long long)aside,
                    p->how->run);
}

cis_code cis_cow_apply(cis_cow *cow, const struct cis_cow_apply *how, uint64_t *out_n,
                       struct cis_error *err)
{
    CIS_CLEANUP(cis_cow_plan_done)
    struct cow_plan p = {
        .cow = cow, .how = how, .tried = {.parent = CIS_BUF_INIT(CIS_VFS_PATH_MAX)}};
    CIS_CLEANUP(cis_cow_work_done) struct cow_work w = {0};
    CIS_CLEANUP(cis_cow_hold_end) int held = -1;
    uint64_t done = 0;
    if (!cis_utf8_valid(cow->folder, strlen(cow->folder))) {
        return cis_fail(err, CIS_E_USAGE,
                        "%.140s: the path of the folder must be UTF-8, because the run's record "
                        "contains it; nothing was done",
                        cow->folder);
    }
    CIS_TRY(how->dry_run ? CIS_OK : cis_cow_hold(cow->folder, &held, err));
    CIS_TRY(cis_cow_plan_make(&p, err));
    if (how->dry_run) {
        for (size_t i = 0; i < p.list.n && told(&p, &p.list.at[i], &done); i++) {
        }
        *out_n = done;
        return CIS_OK;
    }
    if (p.first.n + p.steps.n + p.last.n != 0) {
        CIS_TRY(cis_cow_record_write(&p, err));
        CIS_TRY(cis_cow_mark_applied(&p, err));
        CIS_TRY(cis_cow_work_open(&w, cow->folder, &cow->call, &cow->why, err));
        CIS_TRY(same_folder(cow, &w, err));
        w.source = &cow->above;
    }
    cis_code code = write_all(&p, &w, &done, err);
    if (p.record[0] != 0 && (code != CIS_OK || cis_cow_steps_move(&p.first))) {
        struct cis_error ignored; /* then the undo goes by where the folders are */
        (void)!cis_cow_record_taken(cow->fs_cache, cow->tenant, p.record, w.taken, &ignored);
    }
    CIS_TRY(half_way(&p, &w, code, done, err));
    *out_n = done;
    return CIS_OK;
}
