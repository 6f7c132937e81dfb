/* fsck: what is checked, in which order, and how findings are told. */
#include "history/fsck.h"

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

struct named {
    uint64_t ino;
    struct cis_str path;
};
struct naming {
    struct {
        struct named *at;
        size_t n, cap;
        struct cis_bound *bound;
    } names;
    struct arena *arena;
    bool full;
};

static bool note_path(void *self, uint64_t ino, struct cis_str path)
{
    struct naming *n = self;
    struct named *x = vec_add(&n->names);
    struct cis_error err;
    n->full = x == NULL;
    if (x != NULL) {
        *x = (struct named){.ino = ino};
        n->full = cis_arena_str(n->arena, path, &x->path, &err) != CIS_OK;
    }
    return !n->full;
}

static struct cis_str path_of(const struct naming *names, uint64_t ino)
{
    for (size_t i = 0; i < names->names.n; i++) {
        if (names->names.at[i].ino == ino) {
            return names->names.at[i].path;
        }
    }
    return ino == CIS_FS_ROOT ? CIS_STR("/") : CIS_STR("");
}

cis_code cis_fsck_tell(struct fsck *f, struct cis_view view, const char *label)
{
    struct numbers inos = {0};
    struct naming names = {.arena = &f->arena};
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
    vec_done(&names.names);
    cis_arena_done(&f->arena);
    return code;
}

static cis_code check_store(struct fsck *f)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    CIS_TRY(f->h->store->fs->check(f->h->store, f->h->tenant, &faults, f->h->stop, f->err));
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
struct target {
    struct cis_view view;
    uint64_t files, bytes;
    char label[CIS_FS_REF_MAX + 16];
};
struct targets {
    struct fsck *f;
    struct target *at;
    size_t n, cap;
    struct cis_bound *bound;
    bool full;
};

static bool add_target(struct targets *t, struct cis_view view, uint64_t files, uint64_t bytes,
                       const char *kind, const char *name)
{
    struct target *x = vec_add(t);
    t->full = x == NULL;
    if (x != NULL) {
        *x = (struct target){cis_branches_owner(&t->f->branches, view), files, bytes, ""};
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
    const struct target *x = a, *y = b;
    if (x->view.branch != y->view.branch) {
        return x->view.branch < y->view.branch ? -1 : 1;
    }
    return x->view.epoch < y->view.epoch ? -1 : x->view.epoch > y->view.epoch;
}

static cis_code check_target(struct fsck *f, const struct target *t)
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

static cis_code check_views(struct fsck *f)
{
    struct targets t = {.f = f};
    const struct cis_history *h = f->h;
    cis_code code = h->store->fs->ref_list(h->store, h->tenant, add_ref, &t, h->stop, f->err);
    if (code == CIS_OK) {
        code = h->store->fs->snapshots(h->store, h->tenant, CIS_STR(""), add_snapshot, &t, h->stop,
                                       f->err);
    }
    if (code == CIS_OK && f->data) { /* there may be many: each is a whole tree to go through */
        code =
            h->store->fs->reflog(h->store, h->tenant, CIS_STR(""), add_left, &t, h->stop, f->err);
    }
    if (code == CIS_OK && t.full) {
        code = cis_history_nomem(f->err);
    }
    if (t.n > 1) {
        qsort(t.at, t.n, sizeof *t.at, target_cmp);
    }
    for (size_t i = 0; i < t.n && code == CIS_OK && !f->stopped; i++) {
        if (i == 0 || target_cmp(&t.at[i - 1], &t.at[i]) != 0) {
            code = check_target(f, &t.at[i]);
        }
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
    cis_branches_done(&f.branches);
    return code;
}
