/* Taking an apply back: its steps in reverse, each from what it left to what it found. First all
 * are checked: what was changed since stays. Steps that were never taken, because the apply ended
 * half-way, are left out; steps are taken in order, so they are the last ones. */
#include <errno.h>
#include "base/clock.h"
#include "base/mem.h"
#include "run/cow_deep.h"

struct undo {
    const struct cis_cow_undo *how;
    struct cow_record record;
    struct cow_work work;
    struct cis_vfs_call call;
    struct cis_error why;
    cis_vfs *kept_vfs;
    struct cow_tree kept;
    struct turn {
        bool taken;                 /* it is to be taken back */
        uint64_t changes;           /* and counts as so many, as a diff shows them */
    } * turns;                      /* of each step */
    struct cis_map be;              /* paths whose state is another by then: struct will */
    struct cis_map paths;           /* of folders: the first step of each */
    struct cis_map firsts, seconds; /* steps of folders that are moved, by their name aside */
    struct cis_buf again; /* keys of files with several names: before the apply, and now */
    size_t number;
    /* Of the folders above the path that was asked for last: where the name of each ends in it, and
     * the newest change that made it, or one above it, another one. Steps are near each other: most
     * of a long way need not be asked for again. */
    struct cis_buf way;
    struct way {
        size_t end, anew;
    } * ways;
    size_t nways, ways_cap;
    uint64_t conflicts, done;
};

static void undo_done(struct undo *u)
{
    cis_cow_work_done(&u->work);
    cis_cow_tree_close(&u->kept);
    cis_vfs_close(u->kept_vfs);
    cis_cow_record_done(&u->record);
    cis_map_done(&u->be, cis_free);
    cis_map_done(&u->firsts, NULL);
    cis_map_done(&u->seconds, NULL);
    cis_buf_done(&u->again);
    cis_buf_done(&u->way);
    cis_free(u->ways);
    cis_free(u->turns);
    cis_map_done(&u->paths, NULL);
}

static const struct cow_state nothing;

static void conflict(struct undo *u, const char *path, const char *why)
{
    u->conflicts++;
    if (u->how->conflict != NULL) {
        u->how->conflict(u->how->self, cis_str_of(path), why);
    }
}

/* What is at a path once the later steps are taken back. */
struct will {
    const struct cow_state *state; /* borrowed */
    size_t number;                 /* of the change; the last one counts */
    bool anew; /* the name has no folder, or another one: what was known below it is not so */
};

static cis_code will_be(struct undo *u, const char *path, const struct cow_state *state, bool anew,
                        struct cis_error *err)
{
    struct will *w = cis_alloc(sizeof *w);
    void *old = NULL;
    if (w == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "undo: out of memory");
    }
    *w = (struct will){state, ++u->number, anew};
    cis_code code = cis_map_set(&u->be, cis_str_of(path), w, &old, err);
    cis_free(code == CIS_OK ? old : w);
    size_t len = strlen(path);
    if (cis_str_starts(cis_buf_view(&u->way), cis_str_of(path))) {
        while (u->nways > 0 && u->ways[u->nways - 1].end >= len) {
            u->nways--;
        }
    }
    return code;
}

/* The newest change by which a folder above the path is another one; 0: none. */
static cis_code anew_above(struct undo *u, const char *path, size_t *out, struct cis_error *err)
{
    size_t same = 0, from = 0, anew = 0;
    while (same < u->way.len && path[same] != '\0' && u->way.ptr[same] == (uint8_t)path[same]) {
        same++;
    }
    while (u->nways > 0 && u->ways[u->nways - 1].end >= same) {
        u->nways--;
    }
    if (u->nways > 0) {
        from = u->ways[u->nways - 1].end + 1;
        anew = u->ways[u->nways - 1].anew;
    }
    for (size_t at = from; path[at] != '\0'; at++) {
        if (path[at] != '/') {
            continue;
        }
        const struct will *w = cis_map_get(&u->be, (struct cis_str){path, at});
        anew = w != NULL && w->anew && w->number > anew ? w->number : anew;
        if (u->nways == u->ways_cap) {
            size_t cap = cis_cap_next(u->ways_cap, 64, CIS_MEM_MAX);
            struct way *more = cis_realloc_array(u->ways, cap, sizeof *more);
            if (more == NULL) {
                return cis_fail(err, CIS_E_NOMEM, "undo: out of memory");
            }
            u->ways = more;
            u->ways_cap = cap;
        }
        u->ways[u->nways++] = (struct way){at, anew};
    }
    cis_buf_reset(&u->way);
    cis_buf_str(&u->way, cis_str_of(path));
    *out = anew;
    return cis_buf_check(&u->way, "undo", err);
}

static cis_code state_of(struct undo *u, const char *path, struct cow_state *out,
                         struct cis_error *err)
{
    const struct will *own = cis_map_get(&u->be, cis_str_of(path));
    size_t above = 0;
    CIS_TRY(anew_above(u, path, &above, err));
    if (own != NULL && own->number > above) {
        *out = *own->state;
        return CIS_OK;
    }
    if (above != 0) {
        *out = nothing;
        return CIS_OK;
    }
    int rc = cis_cow_state_read(&u->work.to, &u->call, path, out);
    return rc == 0 ? CIS_OK : cis_cow_errno(rc, &u->why, path, err);
}

/* ---- how far it came ---- */

static bool is_there(const struct undo *u, const char *path, const char *key)
{
    struct cis_vfs_attr attr;
    char now[CIS_UNION_KEY];
    if (cis_at_stat(u->work.to.root, &u->call, cis_str_of(path), COW_WALK, &attr) != 0) {
        return false;
    }
    cis_union_key(&attr, now);
    return strcmp(now, key) == 0;
}

/* A folder is moved in two steps that share a name, and where it stands tells which of them were
 * taken. One that comes to the path it came from, in another folder by then, stands there before
 * the first and after the second: the others tell which, for a folder above it was moved, too. */
struct moved {
    size_t first, second; /* steps */
    enum { NOT_YET, ASIDE, DONE, EITHER, ELSEWHERE } is;
};

static struct moved moved_of(const struct undo *u, size_t first, size_t second)
{
    const struct cow_step *a = &u->record.steps.at[first], *b = &u->record.steps.at[second];
    struct moved m = {first, second, ELSEWHERE};
    if (is_there(u, a->to, a->before.key)) {
        m.is = ASIDE;
    } else if (is_there(u, a->path, a->before.key)) {
        m.is = strcmp(a->path, b->to) == 0 ? EITHER : NOT_YET;
    } else if (is_there(u, b->to, a->before.key)) {
        m.is = DONE;
    }
    return m;
}

static cis_code find_moves(struct undo *u, struct cis_error *err)
{
    const struct cow_steps *list = &u->record.steps;
    for (size_t i = 0; i < list->n; i++) {
        struct cow_step *s = &list->at[i];
        if (s->op == COW_RENAME) {
            bool second = cis_str_starts(cis_str_of(s->path), CIS_STR(COW_ASIDE));
            CIS_TRY(second ? cis_map_set(&u->seconds, cis_str_of(s->path), s, NULL, err)
                           : cis_map_set(&u->firsts, cis_str_of(s->to), s, NULL, err));
        }
    }
    return CIS_OK;
}

static size_t taken_at_most(const struct moved *m, size_t most)
{
    bool before = m->is == NOT_YET || (m->is == EITHER && most <= m->second);
    size_t end = before ? m->first : m->is == ASIDE ? m->second : most;
    return end < most ? end : most;
}

static cis_code steps_taken(struct undo *u, size_t *out, struct cis_error *err)
{
    const struct cow_steps *list = &u->record.steps;
    size_t most = list->n;
    if (u->record.taken <= list->n) {
        *out = (size_t)u->record.taken;
        return CIS_OK;
    }
    for (int turn = 0; turn < 2; turn++) { /* the second for those that the others tell about */
        for (size_t i = 0; i < list->n; i++) {
            const struct cow_step *s = &list->at[i];
            const struct cow_step *second =
                s->op == COW_RENAME ? cis_map_get(&u->seconds, cis_str_of(s->to)) : NULL;
            if (second != NULL) {
                CIS_TRY(cis_stop_check(u->how->stop, "undo", err));
                struct moved m = moved_of(u, i, (size_t)(second - list->at));
                most = taken_at_most(&m, most);
            }
        }
    }
    *out = most;
    return CIS_OK;
}

/* ---- checking ---- */

/* A folder that the apply made is empty by then. */
static cis_code check_empty(struct undo *u, const char *path, struct cis_error *err)
{
    struct cow_entries list = {0};
    struct cow_state now;
    int rc = cis_cow_list(&u->work.to, &u->call, path, &list);
    cis_code code = rc == 0 ? CIS_OK : cis_cow_errno(rc, &u->why, path, err);
    for (size_t i = 0; i < list.n && code == CIS_OK; i++) {
        CIS_CLEANUP(cis_freep) char *child = cis_cow_path(path, list.at[i].name);
        code = child != NULL ? state_of(u, child, &now, err)
                             : cis_fail(err, CIS_E_NOMEM, "undo: out of memory");
        if (code == CIS_OK && now.mode != 0) {
            conflict(u, child, "made in the folder since");
        }
    }
    cis_cow_entries_done(&list);
    return code;
}

static bool same_kind(const struct cow_step *s, const struct cow_state *a,
                      const struct cow_state *b)
{
    return s->op == COW_FOLDER     ? a->mode == b->mode
           : s->op == COW_FAR_TREE ? cis_cow_far_same(a, b)
                                   : cis_cow_state_same(a, b);
}

/* What is replaced by something of another kind goes in a step before. */
static bool begun_from(const struct undo *u, size_t i, const struct cow_state *now)
{
    const struct cow_step *s = &u->record.steps.at[i], *first = i > 0 ? s - 1 : NULL;
    return first != NULL && first->op != COW_RENAME && first->after.mode == 0 &&
           strcmp(first->path, s->path) == 0 && same_kind(first, now, &first->before);
}

/* A folder that is made, or moved, and gets its permissions in a later step is one change. */
static cis_code note_folder(struct undo *u, size_t i, struct cis_error *err)
{
    struct cow_step *s = &u->record.steps.at[i];
    const char *path = s->op == COW_RENAME ? s->to : s->path;
    bool moves = s->op == COW_RENAME && cis_map_get(&u->seconds, cis_str_of(s->path)) == s;
    u->turns[i].changes = 1;
    if (s->op != COW_FOLDER && !moves) {
        return CIS_OK;
    }
    if (s->op == COW_FOLDER && s->before.mode != 0 && s->after.mode != 0 &&
        cis_map_get(&u->paths, cis_str_of(path)) != NULL) {
        u->turns[i].changes = 0;
        return CIS_OK;
    }
    return cis_map_set(&u->paths, cis_str_of(path), s, NULL, err);
}

/* A folder far down counts with all that is in it, which comes back or goes. */
static cis_code count_far(struct undo *u, size_t i, const struct cow_state *now, uint64_t there,
                          struct cis_error *err)
{
    const struct cow_step *s = &u->record.steps.at[i];
    struct cow_deep all = {.names = there};
    struct cow_state ignored;
    if (!S_ISDIR(now->mode) && s->kept != NULL) {
        int rc = cis_cow_far_read(&u->kept, &u->call, s->kept, &all, &ignored);
        CIS_TRY(cis_stop_check(u->how->stop, "undo", err));
        CIS_TRY(rc == 0 ? CIS_OK : cis_cow_errno(rc, &u->why, u->record.folder, err));
    }
    u->turns[i].changes = 1 + all.names;
    return CIS_OK;
}

/* The folder that something comes back to. */
static cis_code check_parent(struct undo *u, const char *path, struct cis_error *err)
{
    const char *slash = strrchr(path, '/');
    struct cow_state now;
    if (slash == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_freep) char *parent = cis_strndup(path, (size_t)(slash - path));
    if (parent == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "undo: out of memory");
    }
    CIS_TRY(state_of(u, parent, &now, err));
    if (!S_ISDIR(now.mode)) {
        conflict(u, parent, "removed or replaced in the folder since");
    }
    return CIS_OK;
}

static cis_code check_one(struct undo *u, size_t i, struct cis_error *err)
{
    const struct cow_step *s = &u->record.steps.at[i];
    struct cow_state now;
    if (strcmp(s->path, COW_NEW) == 0 || strcmp(s->path, COW_OLD) == 0) {
        return CIS_OK; /* what an apply before this one had left: kept, and not put back */
    }
    if (s->op == COW_RENAME) {
        CIS_TRY(state_of(u, s->path, &now, err));
        if (now.mode != 0) {
            conflict(u, s->path, "made in the folder since");
        } else if (!is_there(u, s->to, s->before.key) &&
                   !cis_str_starts(cis_str_of(s->to), CIS_STR(COW_ASIDE))) {
            conflict(u, s->to, "moved or replaced since");
        }
        u->turns[i].taken = true;
        CIS_TRY(check_parent(u, s->path, err));
        CIS_TRY(will_be(u, s->to, &nothing, true, err));
        return will_be(u, s->path, &s->before, true, err);
    }
    CIS_TRY(state_of(u, s->path, &now, err));
    struct cow_deep all = {0};
    if (s->op == COW_FAR_TREE &&
        S_ISDIR(now.mode)) { /* no step that is taken back before is in it */
        int rc = cis_cow_far_read(&u->work.to, &u->call, s->path, &all, &now);
        CIS_TRY(cis_stop_check(u->how->stop, "undo", err));
        CIS_TRY(rc == 0 ? CIS_OK : cis_cow_errno(rc, &u->why, u->record.folder, err));
    }
    if (!same_kind(s, &now, &s->after)) {
        if (!same_kind(s, &now, &s->before) && !begun_from(u, i, &now)) {
            conflict(u, s->path,
                     now.mode == 0        ? "removed in the folder since"
                     : s->after.mode == 0 ? "made in the folder since"
                                          : "changed in the folder since");
        }
        return CIS_OK; /* never taken, or taken back before */
    }
    u->turns[i].taken = true;
    if (s->op == COW_FAR_TREE) {
        CIS_TRY(count_far(u, i, &now, all.names, err));
    }
    if (s->op == COW_FOLDER && s->before.mode == 0) {
        CIS_TRY(check_empty(u, s->path, err));
    }
    if (s->before.mode != 0 && s->after.mode == 0) {
        CIS_TRY(check_parent(u, s->path, err));
    }
    return will_be(u, s->path, &s->before, s->before.mode == 0 || s->after.mode == 0, err);
}

static cis_code check(struct undo *u, struct cis_error *err)
{
    u->turns = cis_calloc(cis_size_add(u->record.steps.n, 1), sizeof *u->turns);
    if (u->turns == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "undo: out of memory");
    }
    for (size_t i = 0; i < u->record.steps.n; i++) {
        CIS_TRY(note_folder(u, i, err));
    }
    size_t taken;
    CIS_TRY(steps_taken(u, &taken, err));
    for (size_t i = taken; i > 0;) {
        i--;
        CIS_TRY(cis_stop_check(u->how->stop, "undo", err));
        CIS_TRY(check_one(u, i, err));
    }
    return u->conflicts == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT,
                          "%s: names that were changed since the apply: %llu; nothing was done",
                          u->record.folder, (unsigned long long)u->conflicts);
}

/* ---- taking back ---- */

static bool told(struct undo *u, const struct cow_step *s, uint64_t changes)
{
    const struct cow_state *now = &s->before, *was = &s->after;
    struct cis_union_change c = {.what = now->mode == 0   ? 'D'
                                         : was->mode == 0 ? 'A'
                                                          : 'M',
                                 .path = cis_str_of(s->path),
                                 .mode = now->mode != 0 ? now->mode : was->mode,
                                 .size = now->size,
                                 .old_size = was->size};
    if (s->op == COW_RENAME) {
        if (!cis_str_starts(cis_str_of(s->path), CIS_STR(COW_ASIDE))) {
            return true; /* told with its other half */
        }
        c.what = 'R';
        c.path = cis_str_of(s->to);
        const struct cow_step *first = cis_map_get(&u->firsts, cis_str_of(s->path));
        if (first != NULL) {
            c.from = c.path;
            c.path = cis_str_of(first->path);
        }
    }
    u->done += changes;
    return u->how->each == NULL || u->how->each(u->how->self, &c);
}

/* A file with several names is another one now: what a branch made of it is known by its key. */
static cis_code note_again(struct undo *u, const struct cow_step *s, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    char now[CIS_UNION_KEY];
    if (s->op != COW_LEAF || !S_ISREG(s->before.mode) || !s->before.several ||
        cis_at_stat(u->work.to.root, &u->call, cis_str_of(s->path), COW_WALK, &attr) != 0) {
        return CIS_OK;
    }
    cis_union_key(&attr, now);
    if (strcmp(now, s->before.key) != 0) {
        cis_buf_add(&u->again, s->before.key, strlen(s->before.key) + 1);
        cis_buf_add(&u->again, now, strlen(now) + 1);
    }
    return cis_buf_check(&u->again, "undo", err);
}

static cis_code take_back(struct undo *u, size_t *left, struct cis_error *err)
{
    for (size_t i = u->record.steps.n; i > 0;) {
        i--;
        const struct cow_step *s = &u->record.steps.at[i];
        if (!u->turns[i].taken) {
            continue;
        }
        *left = i + 1;
        if (!u->how->dry_run) {
            CIS_TRY(cis_cow_take(&u->work, s, s->kept, true, err));
            CIS_TRY(note_again(u, s, err));
        }
        if (!told(u, s, u->turns[i].changes)) {
            return cis_fail(err, CIS_E_CANCELLED, "undo: cancelled");
        }
    }
    return CIS_OK;
}

static cis_code open_kept(struct undo *u, struct cis_error *err)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = cis_str_of(u->how->tenant);
    o.ref = cis_str_of(u->how->ref);
    o.read_only = true;
    CIS_TRY(cis_layered_open(u->how->fs_cache, &o, u->how->stop, &u->kept_vfs, err));
    CIS_TRY(cis_cow_tree_open(&u->kept, u->kept_vfs, &u->call, err));
    return cis_cow_places_keep(&u->kept, err);
}

cis_code cis_cow_undo(const struct cis_cow_undo *how, uint64_t *out_n, struct cis_error *err)
{
    CIS_CLEANUP(undo_done)
    struct undo u = {.how = how,
                     .again = CIS_BUF_INIT(1u << 30),
                     .way = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX),
                     .be = CIS_MAP_INIT,
                     .paths = CIS_MAP_INIT,
                     .firsts = CIS_MAP_INIT,
                     .seconds = CIS_MAP_INIT};
    CIS_CLEANUP(cis_cow_hold_end) int held = -1;
    const char *foreign = NULL;
    bool mended, looks = how->dry_run && !how->mends;
    u.call = (struct cis_vfs_call){.stop = how->stop, .err = &u.why};
    CIS_TRY(cis_cow_record_read(how->fs_cache, how->tenant, how->ref, how->stop, &u.record, err));
    if (u.record.undone) {
        return cis_fail(err, CIS_E_USAGE, "%s: is undone already", how->ref);
    }
    CIS_TRY(how->held || looks ? CIS_OK : cis_cow_hold(u.record.folder, &held, err));
    CIS_TRY(cis_cow_work_open(&u.work, u.record.folder, &u.call, &u.why, err));
    CIS_TRY(open_kept(&u, err));
    u.work.source = &u.kept;
    CIS_TRY(find_moves(&u, err));
    CIS_TRY(cis_cow_mend(&u.work, &u.record.steps, looks, &mended, err));
    CIS_TRY(cis_cow_far_tidy(&u.work, &u.record.steps, looks, &foreign, err));
    CIS_TRY(foreign != NULL ? cis_cow_far_foreign(u.record.folder, foreign, err) : CIS_OK);
    CIS_TRY(check(&u, err));
    bool moves = !how->dry_run && cis_cow_steps_move(&u.record.steps);
    if (moves) {
        CIS_TRY(cis_cow_record_taken(how->fs_cache, how->tenant, how->ref, UINT64_MAX, err));
    }
    if (!how->dry_run) {
        CIS_TRY(cis_cow_work_tidy(&u.work, &u.record.steps, err));
    }
    size_t left = u.record.steps.n;
    cis_code code = take_back(&u, &left, err);
    if (code != CIS_OK && moves) {
        struct cis_error ignored;
        (void)!cis_cow_record_taken(how->fs_cache, how->tenant, how->ref, left, &ignored);
    }
    if (code != CIS_OK && !how->dry_run) { /* what was taken back by then is known all the same */
        struct cis_stop soon = {cis_clock_after(cis_clock_mono_ns(), 10 * CIS_NS_PER_S), NULL};
        struct cis_error ignored;
        (void)!cis_cow_record_undone(how->fs_cache, how->tenant, how->ref, false,
                                     cis_buf_bytes(&u.again), &soon, &ignored);
    }
    CIS_TRY(code);
    if (!how->dry_run) {
        CIS_TRY(cis_cow_record_undone(how->fs_cache, how->tenant, how->ref, true,
                                      cis_buf_bytes(&u.again), how->stop, err));
        struct cis_error ignored; /* the record says it; without the mark an undo asks once more */
        (void)!cis_cow_mark_undone(how->fs_cache, how->tenant, u.record.run, how->ref, &ignored);
    }
    *out_n = u.done;
    return CIS_OK;
}
