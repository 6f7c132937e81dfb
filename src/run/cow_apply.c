/* Bringing the changes of a cow branch to the folder. First every step is judged; then what the
 * steps replace is kept; then they are taken one by one. Renamed folders are moved aside before all
 * else, so that no rename meets another; then, from the root down, names are removed, moved to
 * their place, and written. */
#include "run/cow_in.h"

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
        CIS_TRY(cow_step_take(w, &list->at[i], list->at[i].path, false, err));
        w->taken++;
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

/* What somebody changed at that very moment. */
static cis_code half_way(const struct cow_plan *p, cis_code code, uint64_t done,
                         struct cis_error *err)
{
    struct cis_error why = {0};
    if (code == CIS_OK || err == NULL) {
        return code;
    }
    why = *err;
    return cis_fail(err, code, "%.140s; %llu of %zu changes are made: apply again, or undo",
                    why.msg, (unsigned long long)done, p->list.n);
}

cis_code cis_cow_apply(cis_cow *cow, const struct cis_cow_apply *how, uint64_t *out_n,
                       struct cis_error *err)
{
    CIS_CLEANUP(cow_plan_done) struct cow_plan p = {.cow = cow, .how = how};
    CIS_CLEANUP(cow_work_done) struct cow_work w = {0};
    uint64_t done = 0;
    CIS_TRY(cow_plan_make(&p, err));
    if (how->dry_run) {
        for (size_t i = 0; i < p.list.n && told(&p, &p.list.at[i], &done); i++) {
        }
        *out_n = done;
        return CIS_OK;
    }
    if (p.first.n + p.steps.n + p.last.n != 0) {
        CIS_TRY(cow_record_write(&p, err));
        CIS_TRY(cow_work_open(&w, cow->folder, &cow->call, &cow->why, err));
        w.source = &cow->above;
    }
    cis_code code = write_all(&p, &w, &done, err);
    if (cow_steps_move(&p.first)) {
        struct cis_error ignored; /* then the undo goes by where the folders are */
        (void)!cow_record_taken(cow->forest, cow->tenant, p.record, w.taken, &ignored);
    }
    CIS_TRY(half_way(&p, code, done, err));
    *out_n = done;
    return CIS_OK;
}
