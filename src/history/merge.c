/* Merge: from which states, what conflicts say, and the commit. The rule itself is threeway.c, the
 * bases are graph.c's. */
#include "history/graph.h"
#include "history/threeway.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- telling conflicts ---- */
/* Names of files that conflicts are about: all are looked for at once, as each look is a pass over
 * all names of a branch. */
struct naming {
    struct numbers wanted; /* that have no name yet */
    struct cis_map names;  /* ino → struct cis_str */
    struct arena arena;
    cis_code code;
    struct cis_error *err;
};

static void naming_done(struct naming *n)
{
    cis_numbers_done(&n->wanted);
    cis_map_done(&n->names, NULL);
    cis_arena_done(&n->arena);
}

/* Of several names the first one. */
static bool name_file(void *self, uint64_t ino, struct cis_str path)
{
    struct naming *n = self;
    if (cis_ids_get(&n->names, ino) == NULL) {
        struct cis_str *name = cis_arena_alloc(&n->arena, sizeof *name, n->err);
        n->code = name != NULL ? cis_arena_str(&n->arena, path, name, n->err) : CIS_E_NOMEM;
        n->code =
            n->code == CIS_OK ? cis_ids_set(&n->names, ino, name, n->arena.bound, n->err) : n->code;
    }
    return n->code == CIS_OK;
}

static const int sides[] = {OURS, THEIRS, BASE};

/* As they are called here, or there, or were called before. What cannot be found has none: the
 * conflicts themselves are known. */
static cis_code name_files(struct threeway *t, size_t told, struct naming *n)
{
    for (size_t i = 0; i < t->conflicts.n && i < told; i++) {
        const struct threeway_conflict *c = &t->conflicts.at[i];
        if (c->memory.len == 0 && c->link.parent == 0) {
            CIS_TRY(cis_numbers_add(&n->wanted, c->link.ino[OURS], t->err));
        }
    }
    cis_numbers_sort(&n->wanted);
    for (size_t i = 0; i < 3 && n->wanted.n != 0; i++) {
        struct cis_error why;
        size_t left = 0;
        (void)!cis_history_paths(t->h, t->view[sides[i]], n->wanted.at, n->wanted.n, name_file, n,
                                 &why);
        CIS_TRY(n->code);
        CIS_TRY(t->h->stop != NULL ? cis_stop_check(t->h->stop, "merge", t->err) : CIS_OK);
        for (size_t k = 0; k < n->wanted.n; k++) {
            if (cis_ids_get(&n->names, n->wanted.at[k]) == NULL) {
                n->wanted.at[left++] = n->wanted.at[k];
            }
        }
        n->wanted.n = left;
    }
    return CIS_OK;
}

/* The path of a conflict about a name: of the directory as each side has it. */
static bool link_path(struct places *places, const struct link *link, struct cis_buf *out)
{
    struct cis_error why;
    for (size_t i = 0; i < 3; i++) {
        cis_buf_reset(out);
        if (cis_places_path(&places[sides[i]], link->parent, link->name, out, NULL, &why) ==
            CIS_OK) {
            return true;
        }
    }
    return false;
}

static void conflict_path(const struct naming *n, struct places *places,
                          const struct threeway_conflict *c, struct cis_buf *out)
{
    const struct cis_str *name = cis_ids_get(&n->names, c->link.ino[OURS]);
    cis_buf_reset(out);
    if (c->memory.len != 0) {
        cis_buf_str(out, c->memory);
    } else if (c->link.parent == 0 && name != NULL) {
        cis_buf_str(out, *name);
    } else if (c->link.parent == 0 || !link_path(places, &c->link, out)) {
        cis_buf_reset(out);
        cis_buf_printf(out, "inode %llu", (unsigned long long)c->link.ino[OURS]);
    }
}

static cis_code tell_all(struct threeway *t, const struct cis_history_commit *how,
                         struct places *places)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 24);
    CIS_CLEANUP(naming_done)
    struct naming names = {.wanted.bound = &t->edit.bound,
                           .names = CIS_MAP_INIT,
                           .arena.bound = &t->edit.bound,
                           .err = t->err};
    char first[CIS_ERROR_MSG_MAX] = "";
    CIS_TRY(name_files(t, how->conflict != NULL ? t->conflicts.n : 1, &names));
    for (size_t i = 0; i < t->conflicts.n; i++) {
        const struct threeway_conflict *c = &t->conflicts.at[i];
        conflict_path(&names, places, c, &path);
        if (i == 0) {
            snprintf(first, sizeof first, "%.120s: %s", cis_buf_cstr(&path), c->why);
        }
        struct cis_conflict told = {cis_buf_view(&path), c->why};
        if (how->conflict == NULL || !how->conflict(how->self, &told)) {
            break;
        }
    }
    return t->conflicts.n == 0 ? CIS_OK
           : t->conflicts.n == 1
               ? cis_fail(t->err, CIS_E_CONFLICT, "%s", first)
               : cis_fail(t->err, CIS_E_CONFLICT, "%s, and %zu more", first, t->conflicts.n - 1);
}

/* Tells the conflicts, sorted as found; CIS_E_CONFLICT when there are any. */
static cis_code check_conflicts(struct threeway *t, const struct cis_history_commit *how)
{
    struct places places[3];
    for (int i = 0; i < 3; i++) {
        cis_places_init(&places[i], t->h, t->view[i]);
    }
    cis_code code = tell_all(t, how, places);
    for (int i = 0; i < 3; i++) {
        cis_places_done(&places[i]);
    }
    return code;
}

/* ---- the verbs ---- */
cis_code cis_threeway_pin(struct threeway *t, struct cis_view view, struct threeway_base *out)
{
    out->view = view;
    return cis_history_pin(t->h, view, &out->pin, t->err);
}

static cis_code pin_bases(struct threeway *t, const struct graph_bases *bases)
{
    t->nbases = bases->n;
    t->rooted = bases->n > 1 && bases->root.branch != 0;
    for (size_t i = 0; i < bases->n; i++) {
        CIS_TRY(cis_threeway_pin(t, bases->at[i], &t->base[i]));
    }
    return t->rooted ? cis_threeway_pin(t, bases->root, &t->base[bases->n]) : CIS_OK;
}

/* Where a base is not kept any more, the state where the branches parted is one, if an old one. */
static cis_code use_bases(struct threeway *t, const struct graph_bases *bases)
{
    struct cis_error why = {0}, *err = t->err;
    cis_code code = CIS_E_EXPIRED;
    t->careful = !bases->complete;
    if (bases->n != 0) {
        t->err = &why;
        code = pin_bases(t, bases);
        t->err = err;
    }
    if (code == CIS_E_EXPIRED || code == CIS_E_NOTFOUND) {
        for (size_t i = 0; i <= THREE_BASES; i++) {
            cis_history_pin_drop(t->h, &t->base[i].pin);
        }
        t->careful = true;
        t->rooted = false;
        t->nbases = 1;
        return cis_threeway_pin(t, bases->fork, &t->base[0]);
    }
    return code == CIS_OK ? CIS_OK : cis_fail(err, code, "%s", why.msg);
}

cis_code cis_threeway_finish(struct threeway *t, const struct cis_history_commit *how,
                             const char *kind, const char *note, struct cis_history_done *out)
{
    t->view[BASE] = t->base[0].view;
    CIS_TRY(cis_history_pin(t->h, t->view[THEIRS], &t->pin, t->err));
    CIS_TRY(cis_threeway_run(t));
    CIS_TRY(check_conflicts(t, how));
    cis_threeway_shrink(t);
    if (how->dry_run) {
        out->at = (struct cis_fs_committed){t->edit.base, t->edit.ref.files, t->edit.ref.bytes};
        out->changes = t->edit.dirents.n + t->edit.files.live + t->kv.n;
        return CIS_OK;
    }
    return cis_edit_commit(&t->edit, kind, note, out, t->err);
}

static cis_code merge(struct threeway *t, struct graph *graph, struct cis_view theirs,
                      const struct cis_history_commit *how, struct cis_history_done *out,
                      struct cis_error *err)
{
    struct graph_bases bases;
    char note[CIS_FS_NOTE_MAX + 1];
    t->view[OURS] = t->edit.base;
    t->view[THEIRS] = cis_branches_owner(t->branches, theirs);
    CIS_TRY(cis_graph_bases(graph, t->view[OURS], t->view[THEIRS], &bases, err));
    if (bases.within) { /* all of it was merged before */
        out->at = (struct cis_fs_committed){t->edit.base, t->edit.ref.files, t->edit.ref.bytes};
        out->changes = 0;
        return CIS_OK;
    }
    CIS_TRY(cis_graph_note(graph, t->view[OURS], t->view[THEIRS],
                           how->note != NULL ? how->note : "merge", note, err));
    CIS_TRY(use_bases(t, &bases));
    if (t->careful) {
        CIS_TRY(cis_graph_touched(graph, t->view[THEIRS], bases.fork, &t->touched, err));
        CIS_TRY(cis_graph_touched(graph, t->view[OURS], bases.fork, &t->mine, err));
    }
    t->edit.always = true;
    CIS_TRY(cis_threeway_finish(t, how, "merge", note, out));
    if (!how->dry_run) { /* gc would find it by itself, but maybe only after it went */
        cis_graph_keep(t->h, t->view[THEIRS]);
    }
    return CIS_OK;
}

cis_code cis_history_merge(const struct cis_history *h, struct cis_view theirs,
                           const struct cis_history_commit *how, struct cis_history_done *out,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    CIS_CLEANUP(cis_graph_done) struct graph graph = {0};
    CIS_CLEANUP(cis_threeway_done) struct threeway t = {.h = h, .branches = &branches, .err = err};
    CIS_TRY(cis_edit_open(&t.edit, h, how->ref, err));
    cis_threeway_bind(&t);
    CIS_TRY(cis_branches_load(h, &branches, err));
    CIS_TRY(cis_graph_open(&graph, h, &branches, err));
    return cis_bound_told(&t.edit.bound, merge(&t, &graph, theirs, how, out, err), "merge", err);
}
