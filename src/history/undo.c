/* Undo and redo: which commit, the inverse of it, and the mark by which the next one goes on.
 *
 * Each is a commit that says what it is about, so that the log alone tells what is taken back: of
 * the undos and redos of a commit the newest one counts. */
#include "history/threeway.h"
#include "store/calls.h"

#include <inttypes.h>
#include <stdio.h>

#define UNDO "undo"
#define REDO "redo"
#define UNDOES " [undoes "
#define REDOES " [redoes "
#define MARK_MAX 56 /* the longest mark: two numbers */
#define TRIES 8     /* when others commit meanwhile */

/* ---- marks ---- */
bool cis_history_turned(const struct cis_fs_commit_row *row, struct cis_view *out_commit,
                        bool *out_undone, struct cis_str *out_said)
{
    bool undo = cis_str_is(row->kind, UNDO);
    struct cis_str mark = undo ? CIS_STR(UNDOES) : CIS_STR(REDOES), note = row->note, branch;
    if ((!undo && !cis_str_is(row->kind, REDO)) || note.len == 0 || note.ptr[note.len - 1] != ']') {
        return false;
    }
    for (size_t at = note.len; at > 0;) {
        at--;
        struct cis_str rest = {note.ptr + at, note.len - at};
        if (!cis_str_starts(rest, mark)) {
            continue;
        }
        struct cis_view view;
        rest = (struct cis_str){rest.ptr + mark.len, rest.len - mark.len - 1};
        if (!cis_str_split(&rest, '@', &branch) || !cis_str_u64(branch, &view.branch) ||
            !cis_str_u64(rest, &view.epoch) || view.branch == 0) {
            return false;
        }
        *out_commit = view;
        *out_undone = undo;
        *out_said = (struct cis_str){note.ptr, at};
        return true;
    }
    return false;
}

static void make_note(const char *said, bool redo, struct cis_view commit,
                      char out[CIS_FS_NOTE_MAX + 1])
{
    size_t n = cis_utf8_floor(said, strlen(said), CIS_FS_NOTE_MAX - MARK_MAX);
    memcpy(out, said, n);
    snprintf(out + n, CIS_FS_NOTE_MAX + 1 - n, "%s%" PRIu64 "@%" PRIu64 "]", redo ? REDOES : UNDOES,
             commit.branch, commit.epoch);
}

/* ---- which commit ---- */
struct plan {
    struct cis_view commit; /* that is taken back or brought back */
    struct cis_view base;   /* whose inverse is made: it, or the undo or redo of it */
    struct cis_view head;   /* where the branch was when this was found; branch 0: anywhere */
    bool redo;
};

struct last_turn { /* the newest one of a commit */
    struct cis_view at;
    bool undone;
};
struct walking {
    struct cis_map turns; /* commit → struct last_turn */
    struct arena arena;
    struct plan *plan;
    bool redo;
    uint64_t since; /* redo: a commit that came after what was taken back */
    cis_code code;
    struct cis_error *err;
};

static struct cis_str key_of(const struct cis_view *view)
{
    return (struct cis_str){(const char *)view, sizeof *view};
}

static bool note_turn(struct walking *w, const struct cis_fs_commit_row *row,
                      struct cis_view commit, bool undone)
{
    if (cis_map_get(&w->turns, key_of(&commit)) != NULL) {
        return true;
    }
    if (w->redo && undone) {
        w->plan->commit = commit;
        w->plan->base = (struct cis_view){row->branch, row->epoch};
        return false;
    }
    struct last_turn *turn = cis_arena_alloc(&w->arena, sizeof *turn, w->err);
    if (turn == NULL) {
        w->code = CIS_E_NOMEM;
        return false;
    }
    *turn = (struct last_turn){{row->branch, row->epoch}, undone};
    w->code = cis_map_set(&w->turns, key_of(&commit), turn, NULL, w->err);
    return w->code == CIS_OK;
}

static bool walk_row(void *self, const struct cis_fs_commit_row *row)
{
    struct walking *w = self;
    struct cis_view commit, here = {row->branch, row->epoch};
    struct cis_str said;
    bool undone;
    if (cis_history_turned(row, &commit, &undone, &said)) {
        return note_turn(w, row, commit, undone);
    }
    const struct last_turn *turn = cis_map_get(&w->turns, key_of(&here));
    if (turn != NULL && turn->undone) {
        return true;
    }
    if (w->redo) {
        w->since = row->epoch;
        return false;
    }
    w->plan->commit = here;
    w->plan->base = turn != NULL ? turn->at : here;
    return false;
}

static cis_code walk(const struct cis_history *h, struct cis_str ref, struct plan *out,
                     struct cis_error *err)
{
    struct cis_fs_ref now;
    CIS_TRY(cis_store_ref_get(h->store, h->tenant, ref, &now, h->stop, err));
    struct walking w = {.turns = CIS_MAP_INIT, .plan = out, .redo = out->redo, .err = err};
    out->head = now.head;
    cis_code code = cis_history_log(h, now.head, 0, false, walk_row, &w, err);
    code = code == CIS_OK ? w.code : code;
    cis_map_done(&w.turns, NULL);
    cis_arena_done(&w.arena);
    CIS_TRY(code);
    if (out->commit.branch == 0) {
        return w.since != 0 ? cis_fail(err, CIS_E_NOTFOUND,
                                       "branch %s: nothing to redo: no undo came after its last "
                                       "commit, @%" PRIu64,
                                       now.name, w.since)
                            : cis_fail(err, CIS_E_NOTFOUND, "branch %s: nothing to %s", now.name,
                                       out->redo ? REDO : UNDO);
    }
    return CIS_OK;
}

/* ---- what the commit says ---- */
static void text(struct cis_str from, char *out, size_t cap)
{
    size_t n = cis_utf8_floor(from.ptr, from.len, cap - 1);
    memcpy(out, from.ptr, n);
    out[n] = 0;
}

static bool tell_row(void *self, const struct cis_fs_commit_row *row)
{
    struct cis_history_turn *turn = self;
    turn->time_ms = row->time_ms;
    memcpy(turn->run, row->run, sizeof turn->run);
    text(row->kind, turn->kind, sizeof turn->kind);
    text(row->note, turn->note, sizeof turn->note);
    return false;
}

static cis_code one_commit(const struct cis_history *h, struct cis_view commit,
                           cis_fs_commit_each *each, void *self, struct cis_error *err)
{
    return cis_store_commits(h->store, h->tenant,
                             &(struct cis_fs_log_query){.branch = commit.branch,
                                                        .after = commit.epoch - 1,
                                                        .upto = commit.epoch,
                                                        .newest = true,
                                                        .limit = 1},
                             each, self, h->stop, err);
}

static cis_code tell(const struct cis_history *h, struct cis_view commit,
                     struct cis_history_turn *out, struct cis_error *err)
{
    *out = (struct cis_history_turn){.commit = commit};
    return one_commit(h, commit, tell_row, out, err);
}

/* An undo that is named is brought back, a redo taken back: what counts is the commit behind it. */
static bool turn_row(void *self, const struct cis_fs_commit_row *row)
{
    struct plan *plan = self;
    struct cis_view commit;
    struct cis_str said;
    bool undone;
    if (cis_history_turned(row, &commit, &undone, &said)) {
        plan->commit = commit;
        plan->redo = undone;
    }
    return false;
}

static cis_code plan_of(const struct cis_history *h, struct cis_view commit, struct plan *out,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    if (commit.epoch == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "there is nothing before it");
    }
    CIS_TRY(cis_branches_load(h, &branches, err));
    commit = cis_branches_owner(&branches, commit);
    *out = (struct plan){.commit = commit, .base = commit};
    return one_commit(h, commit, turn_row, out, err);
}

/* ---- the commit ---- */
static cis_code turn(const struct cis_history *h, const struct plan *plan,
                     const struct cis_history_commit *how, struct cis_history_done *out,
                     bool *out_moved, struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    CIS_CLEANUP(cis_threeway_done) struct threeway t = {.h = h, .branches = &branches, .err = err};
    struct cis_history_turn own, *told = how->turn != NULL ? how->turn : &own;
    char said[CIS_FS_NOTE_MAX + 64], note[CIS_FS_NOTE_MAX + 1];
    CIS_TRY(cis_edit_open(&t.edit, h, how->ref, err));
    cis_threeway_bind(&t);
    *out_moved = plan->head.branch != 0 &&
                 (t.edit.base.branch != plan->head.branch || t.edit.base.epoch != plan->head.epoch);
    if (*out_moved) {
        return cis_fail(err, CIS_E_CONFLICT, "branch %s: changed meanwhile", t.edit.ref.name);
    }
    CIS_TRY(cis_branches_load(h, &branches, err));
    CIS_TRY(tell(h, plan->commit, told, err));
    told->redo = plan->redo;
    snprintf(said, sizeof said, "%s of @%" PRIu64 ": %s", plan->redo ? REDO : UNDO,
             plan->commit.epoch, told->note);
    make_note(how->note != NULL ? how->note : said, plan->redo, plan->commit, note);
    t.view[OURS] = t.edit.base;
    t.view[THEIRS] =
        cis_branches_owner(&branches, (struct cis_view){plan->base.branch, plan->base.epoch - 1});
    t.nbases = 1;
    CIS_TRY(cis_threeway_pin(&t, plan->base, &t.base[0]));
    t.edit.takes_back = true;
    t.keeps_marks =
        t.edit.base.branch != plan->base.branch || t.edit.base.epoch != plan->base.epoch;
    /* Found by its place in the log: it has to be known next time that this was it. */
    t.edit.always = plan->head.branch != 0;
    cis_code code = cis_threeway_finish(&t, how, plan->redo ? REDO : UNDO, note, out);
    code = cis_bound_told(&t.edit.bound, code, plan->redo ? REDO : UNDO, err);
    *out_moved = plan->head.branch != 0 && code == CIS_E_CONFLICT && t.conflicts.n == 0;
    return code;
}

static cis_code turn_next(const struct cis_history *h, bool redo,
                          const struct cis_history_commit *how, struct cis_history_done *out,
                          struct cis_error *err)
{
    for (int i = 0;; i++) {
        struct plan plan = {.redo = redo};
        bool moved = false;
        CIS_TRY(walk(h, how->ref, &plan, err));
        cis_code code = turn(h, &plan, how, out, &moved, err);
        if (!moved || i == TRIES) {
            return code;
        }
    }
}

cis_code cis_history_undo(const struct cis_history *h, struct cis_view commit,
                          const struct cis_history_commit *how, struct cis_history_done *out,
                          struct cis_error *err)
{
    struct plan plan;
    bool moved;
    if (commit.branch == 0) {
        return turn_next(h, false, how, out, err);
    }
    CIS_TRY(plan_of(h, commit, &plan, err));
    return turn(h, &plan, how, out, &moved, err);
}

cis_code cis_history_redo(const struct cis_history *h, const struct cis_history_commit *how,
                          struct cis_history_done *out, struct cis_error *err)
{
    return turn_next(h, true, how, out, err);
}
