/* Merge and undo: the three-way rule (three.c), what both sides descend from, skill memory, and how
 * conflicts are told. */
#include "history/three.h"
#include "store/holder.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- skill memory ---- */
struct value {
    struct three *t;
    bool found;
    struct cis_kv_op op;
    cis_code code;
};

static bool take_value(void *self, const struct cis_kv_entry *entry)
{
    struct value *v = self;
    struct cis_str text;
    v->found = true;
    v->op.is_public = entry->is_public ? 1 : 0;
    v->code = cis_arena_str(&v->t->arena,
                            (struct cis_str){(const char *)entry->value.ptr, entry->value.len},
                            &text, v->t->err);
    v->op.value = (struct cis_bytes){(const uint8_t *)text.ptr, text.len};
    if (v->code == CIS_OK) {
        v->code = cis_arena_str(&v->t->arena, entry->category, &v->op.category, v->t->err);
    }
    return false;
}

static cis_code read_value(struct three *t, int side, const struct memory_key *key,
                           struct value *out)
{
    bool found = false;
    *out = (struct value){.t = t, .op = {.ns = key->ns, .key = key->key}};
    CIS_TRY(t->h->store->ops->kv_get(t->h->store, t->h->tenant, t->view[side], key->ns, key->key,
                                     take_value, out, &found, t->h->stop, t->err));
    return out->code;
}

static bool value_same(const struct value *a, const struct value *b)
{
    return a->found == b->found &&
           (!a->found ||
            (a->op.is_public == b->op.is_public && cis_str_eq(a->op.category, b->op.category) &&
             a->op.value.len == b->op.value.len &&
             (a->op.value.len == 0 ||
              memcmp(a->op.value.ptr, b->op.value.ptr, a->op.value.len) == 0)));
}

static cis_code memory_conflict(struct three *t, const struct memory_key *key)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    cis_buf_text(&text, "memory ");
    cis_buf_str(&text, key->ns);
    cis_buf_byte(&text, ' ');
    cis_buf_str(&text, key->key);
    CIS_TRY(cis_three_conflict(t, NULL, 0, "changed on both sides"));
    return cis_arena_str(&t->arena, cis_buf_view(&text),
                         &t->conflicts.at[t->conflicts.n - 1].memory, t->err);
}

cis_code cis_three_memory(struct three *t)
{
    for (size_t i = 0; i < t->touched.memory.n; i++) {
        struct value v[3];
        for (int side = 0; side < 3; side++) {
            CIS_TRY(read_value(t, side, &t->touched.memory.at[i], &v[side]));
        }
        if (value_same(&v[BASE], &v[THEIRS]) || value_same(&v[OURS], &v[THEIRS])) {
            continue;
        }
        if (!value_same(&v[OURS], &v[BASE])) {
            CIS_TRY(memory_conflict(t, &t->touched.memory.at[i]));
            continue;
        }
        struct cis_kv_op *op = vec_add(&t->kv);
        if (op == NULL) {
            return cis_history_nomem(t->err);
        }
        *op = v[THEIRS].op;
        op->remove = !v[THEIRS].found;
    }
    t->edit.kv = t->kv.at;
    t->edit.nkv = t->kv.n;
    return CIS_OK;
}

/* ---- telling conflicts ---- */
struct naming {
    struct cis_buf *out;
    bool found;
};

static bool name_file(void *self, uint64_t ino, struct cis_str path)
{
    struct naming *n = self;
    (void)ino;
    cis_buf_str(n->out, path);
    n->found = true;
    return false;
}

/* As it is called here, or there, or was called before. */
static void conflict_path(struct three *t, const struct three_conflict *c, struct cis_buf *out)
{
    static const int order[] = {OURS, THEIRS, BASE};
    struct cis_error why;
    if (c->memory.len != 0) {
        cis_buf_str(out, c->memory);
        return;
    }
    for (int i = 0; i < 3; i++) {
        struct places places;
        struct naming n = {.out = out};
        cis_buf_reset(out);
        cis_places_init(&places, t->h, t->view[order[i]]);
        cis_code code;
        if (c->link.parent != 0) {
            code = cis_places_path(&places, c->link.parent, c->link.name, out, &why);
            n.found = true;
        } else {
            code = cis_history_paths(t->h, t->view[order[i]], &c->link.ino[OURS], 1, name_file, &n,
                                     &why);
        }
        cis_places_done(&places);
        if (code == CIS_OK && n.found) {
            return;
        }
    }
    cis_buf_reset(out);
    cis_buf_printf(out, "inode %llu", (unsigned long long)c->link.ino[OURS]);
}

cis_code cis_three_judge(struct three *t, const struct cis_history_commit *how)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 24);
    char first[CIS_ERROR_MSG_MAX] = "";
    for (size_t i = 0; i < t->conflicts.n; i++) {
        const struct three_conflict *c = &t->conflicts.at[i];
        conflict_path(t, c, &path);
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

/* ---- what was merged before ---- */
/* The note of a merge ends with "[merged BRANCH@EPOCH]". */
static bool parse_merged(struct cis_str note, struct cis_view *out)
{
    static const char mark[] = "[merged ";
    struct cis_str rest = {note.ptr, note.len}, branch;
    const char *at = NULL;
    for (size_t i = 0; i + sizeof mark - 1 <= note.len; i++) {
        at = memcmp(note.ptr + i, mark, sizeof mark - 1) == 0 ? note.ptr + i : at;
    }
    if (at == NULL || note.ptr[note.len - 1] != ']') {
        return false;
    }
    rest.ptr = at + sizeof mark - 1;
    rest.len = (size_t)(note.ptr + note.len - rest.ptr) - 1;
    return cis_str_split(&rest, '@', &branch) && cis_str_u64(branch, &out->branch) &&
           cis_str_u64(rest, &out->epoch);
}

struct searching {
    const struct cis_branches *branches;
    struct cis_view other, until; /* a merge of a state of other's past; not before until */
    struct cis_view found;
    int64_t time_ms;
};

static bool search_merge(void *self, const struct cis_fs_commit_row *row)
{
    struct searching *s = self;
    struct cis_view merged;
    if (row->branch == s->until.branch && row->epoch <= s->until.epoch) {
        return false;
    }
    if (!cis_str_is(row->kind, "merge") || !parse_merged(row->note, &merged)) {
        return true;
    }
    struct cis_view common = cis_branches_common(s->branches, merged, s->other);
    struct cis_view owner = cis_branches_owner(s->branches, merged);
    if (common.branch != 0 && common.epoch == merged.epoch &&
        cis_branches_owner(s->branches, common).branch == owner.branch) {
        s->found = merged;
        s->time_ms = row->time_ms;
        return false;
    }
    return true;
}

static cis_code merge_base(const struct cis_history *h, const struct cis_branches *branches,
                           struct cis_view ours, struct cis_view theirs, struct cis_view *out,
                           struct cis_error *err)
{
    struct cis_view common = cis_branches_common(branches, ours, theirs);
    if (common.branch == 0) {
        return cis_fail(err, CIS_E_DAMAGED, "the branches have no common state");
    }
    struct searching from_ours = {.branches = branches, .other = theirs, .until = common};
    struct searching from_theirs = {.branches = branches, .other = ours, .until = common};
    CIS_TRY(cis_history_log(h, ours, 0, false, search_merge, &from_ours, err));
    CIS_TRY(cis_history_log(h, theirs, 0, false, search_merge, &from_theirs, err));
    *out = common;
    if (from_ours.found.branch != 0) {
        *out = from_ours.found;
    }
    if (from_theirs.found.branch != 0 &&
        (from_ours.found.branch == 0 || from_theirs.time_ms > from_ours.time_ms)) {
        *out = from_theirs.found;
    }
    return CIS_OK;
}

/* ---- the verbs ---- */
static cis_code finish(struct three *t, const struct cis_branches *branches,
                       const struct cis_history_commit *how, const char *kind, const char *note,
                       struct cis_history_done *out)
{
    for (int side = BASE; side <= THEIRS; side++) { /* nothing of them goes while they are read */
        CIS_TRY(cis_history_pin(t->h, t->view[side], &t->pin[side], t->err));
    }
    CIS_TRY(cis_three_run(t, branches));
    CIS_TRY(cis_three_judge(t, how));
    if (how->dry_run) {
        out->at = (struct cis_fs_committed){t->edit.base, t->edit.ref.files, t->edit.ref.bytes};
        out->changes = t->edit.dirents.n + t->edit.files.live + t->kv.n;
        return CIS_OK;
    }
    return cis_edit_commit(&t->edit, kind, note, out, t->err);
}

cis_code cis_history_merge(const struct cis_history *h, struct cis_view theirs,
                           const struct cis_history_commit *how, struct cis_history_done *out,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    CIS_CLEANUP(cis_three_done) struct three t = {.h = h, .err = err};
    char note[CIS_FS_NOTE_MAX];
    CIS_TRY(cis_edit_open(&t.edit, h, how->ref, err));
    CIS_TRY(cis_branches_load(h, &branches, err));
    t.view[OURS] = t.edit.base;
    t.view[THEIRS] = cis_branches_owner(&branches, theirs);
    CIS_TRY(merge_base(h, &branches, t.view[OURS], t.view[THEIRS], &t.view[BASE], err));
    const char *said = how->note != NULL ? how->note : "merge";
    snprintf(note, sizeof note, "%.*s [merged %llu@%llu]", /* room for the mark at its end */
             (int)cis_utf8_floor(said, strlen(said), CIS_FS_NOTE_MAX - 64), said,
             (unsigned long long)t.view[THEIRS].branch, (unsigned long long)t.view[THEIRS].epoch);
    return finish(&t, &branches, how, "merge", note, out);
}

cis_code cis_history_undo(const struct cis_history *h, struct cis_view commit,
                          const struct cis_history_commit *how, struct cis_history_done *out,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    CIS_CLEANUP(cis_three_done) struct three t = {.h = h, .err = err};
    CIS_TRY(cis_edit_open(&t.edit, h, how->ref, err));
    CIS_TRY(cis_branches_load(h, &branches, err));
    if (commit.epoch == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "there is nothing before it");
    }
    t.view[OURS] = t.edit.base;
    t.view[BASE] = commit;
    t.view[THEIRS] =
        cis_branches_owner(&branches, (struct cis_view){commit.branch, commit.epoch - 1});
    return finish(&t, &branches, how, "undo", how->note != NULL ? how->note : "undo", out);
}

cis_code cis_history_rollback(const struct cis_history *h, struct cis_str ref, struct cis_view to,
                              struct cis_view *out_head, struct cis_error *err)
{
    struct cis_fs_ref now;
    CIS_TRY(cis_store_ref_held(h->store, h->tenant, ref, &now, h->stop, err));
    if (now.holder[0] != 0) {
        return cis_fail(err, CIS_E_CONFLICT, "branch %s is mounted (%s): unmount it first",
                        now.name, now.holder);
    }
    return h->store->fs->ref_move(h->store, h->tenant, cis_str_of(now.name), now.head, to, 0,
                                  out_head, h->stop, err);
}
