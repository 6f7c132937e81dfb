/* fsck: what is checked, in which order, and how findings are told. */
#include "history/fsck.h"
#include "store/calls.h"

#include <stdio.h>
#include <stdlib.h>

bool cis_fsck_is_damage(cis_code code)
{
    return code == CIS_E_DAMAGED || code == CIS_E_STORE || code == CIS_E_NOTFOUND;
}

cis_code cis_fsck_found(struct fsck *f, const char *what, uint64_t ino, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct finding *x = vec_add(&f->findings);
    if (x == NULL) {
        return cis_history_nomem(f->err);
    }
    *x = (struct finding){.what = what, .ino = ino};
    f->counts.faults++;
    return cis_arena_str(&f->arena, cis_str_of(text), &x->text, f->err);
}

struct naming {
    struct cis_map paths; /* inode → its first path, a struct cis_str */
    struct arena *arena;
    bool full;
};

static bool note_path(void *self, uint64_t ino, struct cis_str path)
{
    struct naming *n = self;
    struct cis_error ignored;
    if (cis_ids_get(&n->paths, ino) != NULL) {
        return true;
    }
    struct cis_str *copy = cis_arena_alloc(n->arena, sizeof *copy, &ignored);
    n->full = copy == NULL || cis_arena_str(n->arena, path, copy, &ignored) != CIS_OK ||
              cis_ids_set(&n->paths, ino, copy, NULL, &ignored) != CIS_OK;
    return !n->full;
}

static struct cis_str path_of(const struct naming *names, uint64_t ino)
{
    const struct cis_str *path = ino != 0 ? cis_ids_get(&names->paths, ino) : NULL;
    return path != NULL ? *path : ino == CIS_FS_ROOT ? CIS_STR("/") : CIS_STR("");
}

cis_code cis_fsck_tell(struct fsck *f, struct cis_view view, const char *label)
{
    struct numbers inos = {0};
    struct naming names = {.paths = CIS_MAP_INIT, .arena = &f->arena};
    struct cis_error why;
    cis_code code = CIS_OK;
    for (size_t i = 0; i < f->findings.n && code == CIS_OK; i++) {
        if (f->findings.at[i].ino != 0) {
            code = cis_numbers_add(&inos, f->findings.at[i].ino, f->err);
        }
    }
    if (code == CIS_OK && inos.n != 0) {
        cis_numbers_sort(&inos);
        /* Where names are damaged too, what can be told is told without them. */
        (void)!cis_history_paths(f->h, view, inos.at, inos.n, note_path, &names, &why);
    }
    for (size_t i = 0; i < f->findings.n && code == CIS_OK && !f->stopped; i++) {
        const struct finding *x = &f->findings.at[i];
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
        struct cis_str path = path_of(&names, x->ino);
        cis_buf_text(&text, label);
        if (x->ino != 0 && path.len == 0) {
            cis_buf_printf(&text, "inode %llu: ", (unsigned long long)x->ino);
        }
        cis_buf_str(&text, x->text);
        struct cis_fault fault = {x->what, path, cis_buf_view(&text)};
        f->stopped = !f->each(f->self, &fault);
    }
    f->findings.n = 0;
    cis_numbers_done(&inos);
    cis_map_done(&names.paths, NULL);
    cis_arena_done(&f->arena);
    return code;
}

static cis_code check_store(struct fsck *f)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    CIS_TRY(cis_store_check(f->h->store, f->h->tenant, &faults, f->h->stop, f->err));
    struct cis_str rest = cis_buf_view(&faults), line;
    for (bool more = rest.len != 0; more;) {
        more = cis_str_split(&rest, '\n', &line);
        if (line.len != 0) {
            CIS_TRY(cis_fsck_found(f, "store", 0, "%.*s", (int)line.len, line.ptr));
        }
    }
    return cis_fsck_tell(f, (struct cis_view){0, 0}, "");
}

/* ---- the views to check: heads and snapshots, each state once ---- */
struct targets {
    struct fsck *f;
    struct fsck_target *at;
    size_t n, cap;
    struct cis_bound *bound;
    bool full;
};

static bool add_target(struct targets *t, struct cis_view view, uint64_t files, uint64_t bytes,
                       const char *kind, const char *name)
{
    struct fsck_target *x = vec_add(t);
    t->full = x == NULL;
    if (x != NULL) {
        *x = (struct fsck_target){cis_branches_owner(&t->f->branches, view), files, bytes, false,
                                  ""};
        snprintf(x->label, sizeof x->label, "%s%s: ", kind, name);
    }
    return !t->full;
}

static bool add_ref(void *self, const struct cis_fs_ref *ref)
{
    return add_target(self, ref->head, ref->files, ref->bytes, "", ref->name);
}

static bool add_snapshot(void *self, const struct cis_fs_snapshot *s)
{
    return add_target(self, s->view, s->files, s->bytes, "snapshot:", s->name);
}

static bool add_left(void *self, const struct cis_fs_reflog *e)
{
    return add_target(self, e->view, e->files, e->bytes, "reflog:", e->ref);
}

static int target_cmp(const void *a, const void *b)
{
    const struct fsck_target *x = a, *y = b;
    if (x->view.branch != y->view.branch) {
        return x->view.branch < y->view.branch ? -1 : 1;
    }
    return x->view.epoch < y->view.epoch ? -1 : x->view.epoch > y->view.epoch;
}

/* ---- what views share ---- */

/* One more view of each branch that this one goes through, or one less. What nobody will look at
 * again leaves memory. */
static void count_view(struct fsck *f, struct cis_view view, bool comes)
{
    const struct cis_branch *b = cis_branches_find(&f->branches, view.branch);
    while (b != NULL) {
        struct fsck_born *born = &f->born[b - f->branches.at];
        born->views += comes ? 1 : 0;
        born->views -= comes ? 0 : 1;
        if (born->views == 0) {
            vec_done(&born->files);
            born->read = born->bad = false;
        }
        b = b->parent < b->id ? cis_branches_find(&f->branches, b->parent) : NULL;
    }
}

static cis_code check_target(struct fsck *f, const struct fsck_target *t)
{
    struct cis_error why = {0};
    cis_code code = cis_history_pin(f->h, t->view, &f->pin, &why);
    if (code == CIS_E_EXPIRED || code == CIS_E_NOTFOUND) { /* it went while we were on the way */
        return CIS_OK;
    }
    if (code != CIS_OK) {
        return cis_fail(f->err, code, "%s", why.msg);
    }
    f->counts.views++;
    code = cis_fsck_view(f, t->view, t->label, t->files, t->bytes);
    cis_history_pin_drop(f->h, &f->pin);
    return code;
}

static cis_code walk_targets(struct fsck *f, const struct fsck_target *at, size_t n)
{
    cis_code code = CIS_OK;
    for (size_t i = 0; i < n; i++) {
        count_view(f, at[i].view, true);
    }
    for (size_t i = 0; i < n && code == CIS_OK && !f->stopped; i++) {
        code = check_target(f, &at[i]);
        count_view(f, at[i].view, false);
    }
    return code;
}

static cis_code check_views(struct fsck *f)
{
    struct targets t = {.f = f};
    const struct cis_history *h = f->h;
    cis_code code = cis_store_ref_list(h->store, h->tenant, add_ref, &t, h->stop, f->err);
    if (code == CIS_OK) {
        code = cis_store_snapshots(h->store, h->tenant, CIS_STR(""), add_snapshot, &t, h->stop,
                                   f->err);
    }
    if (code == CIS_OK && f->data) { /* there may be many: each is a whole tree to go through */
        code = cis_store_reflog(h->store, h->tenant, CIS_STR(""), add_left, &t, h->stop, f->err);
    }
    if (code == CIS_OK && t.full) {
        code = cis_history_nomem(f->err);
    }
    if (t.n > 1) {
        qsort(t.at, t.n, sizeof *t.at, target_cmp);
    }
    size_t once = 0;
    for (size_t i = 0; i < t.n; i++) {
        if (once == 0 || target_cmp(&t.at[once - 1], &t.at[i]) != 0) {
            t.at[once++] = t.at[i];
        }
    }
    if (code == CIS_OK && once > 1) { /* one is walked as quickly */
        code = cis_fsck_sweep(f, t.at, once);
    }
    size_t left = 0;
    for (size_t i = 0; i < once; i++) {
        if (!t.at[i].whole) {
            t.at[left++] = t.at[i];
        }
    }
    if (code == CIS_OK) {
        code = walk_targets(f, t.at, left);
    }
    vec_done(&t);
    return code;
}

cis_code cis_history_fsck(const struct cis_history *h, bool data, cis_fault_each *each, void *self,
                          struct cis_fsck_counts *out, struct cis_error *err)
{
    struct fsck f = {.h = h, .data = data, .each = each, .self = self, .err = err};
    cis_code code = check_store(&f);
    if (code == CIS_OK) {
        code = cis_branches_load(h, &f.branches, err);
    }
    if (code == CIS_OK) {
        f.born = cis_calloc(cis_size_add(f.branches.n, 1), sizeof *f.born);
        code = f.born != NULL ? CIS_OK : cis_history_nomem(err);
    }
    if (code == CIS_OK && !f.stopped) {
        code = check_views(&f);
    }
    if (code == CIS_OK && !f.stopped) {
        code = cis_fsck_chunks(&f);
    }
    if (code == CIS_OK) {
        *out = f.counts;
    }
    vec_done(&f.findings);
    cis_arena_done(&f.arena);
    for (size_t i = 0; i < f.branches.n && f.born != NULL; i++) {
        vec_done(&f.born[i].files);
    }
    cis_free(f.born);
    cis_branches_done(&f.branches);
    return code;
}
