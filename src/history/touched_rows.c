/* What commits touched when their keys are dropped (gc_roots.h): told by the rows that they left.
 * Both states that are compared are kept, so whatever differs between them has such a row. It takes
 * all rows of the branch, where keys take those of the commits. Which times of directories were set
 * is not known any more: they count as made by names that came and went. Memory has no rows to scan
 * by branch: it is listed at the two states. */
#include "history/internal.h"
#include "store/calls.h"

#include <sys/stat.h>

#define PAGE 4096u

struct finding {
    struct touched *t;
    uint64_t after, upto; /* epochs */
    uint32_t seen;
    struct cis_fs_key last;
    char last_name[CIS_FS_NAME_MAX + 1];
    cis_code code;
    struct cis_error *err;
};

static cis_code note(struct finding *f, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode)
{
    if (inode != NULL) {
        return cis_numbers_add(&f->t->inos, inode->ino, f->err);
    }
    struct link *link = vec_add(&f->t->links);
    if (link == NULL) {
        return cis_history_nomem(f->err);
    }
    *link = (struct link){.parent = dirent->parent};
    if (dirent->ino != 0) {
        CIS_TRY(cis_numbers_add(&f->t->named, dirent->ino, f->err));
    }
    return cis_arena_str(&f->t->arena, dirent->name, &link->name, f->err);
}

static bool take_row(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct finding *f = self;
    (void)extent;
    f->seen++;
    f->last = *key;
    size_t n = key->name.len < CIS_FS_NAME_MAX ? key->name.len : CIS_FS_NAME_MAX;
    memcpy(f->last_name, n != 0 ? key->name.ptr : "", n);
    f->last.name = (struct cis_str){f->last_name, n};
    if (key->epoch > f->after && key->epoch <= f->upto) {
        f->code = note(f, dirent, inode);
    }
    return f->code == CIS_OK;
}

static cis_code rows(const struct cis_history *h, enum cis_fs_table table, uint64_t branch,
                     struct finding *f)
{
    bool first = true;
    do {
        f->seen = 0;
        struct cis_fs_key after = f->last;
        char name[CIS_FS_NAME_MAX + 1];
        memcpy(name, f->last_name, sizeof name);
        after.name.ptr = name;
        CIS_TRY(cis_store_scan(
            h->store, h->tenant,
            &(struct cis_fs_scan_query){
                .table = table, .branch = branch, .after = first ? NULL : &after, .limit = PAGE},
            take_row, f, h->stop, f->err));
        CIS_TRY(f->code);
        first = false;
    } while (f->seen == PAGE);
    return CIS_OK;
}

/* ---- memory: what is in one list and not in the other, or newer there ---- */
struct memory {
    struct {
        struct memory_key *at;
        size_t n, cap;
        struct cis_bound *bound;
    } keys;
    struct arena arena;
    uint64_t newer; /* than this one are in touched */
    struct touched *touched;
    cis_code code;
    struct cis_error *err;
};

static cis_code add(struct arena *arena, struct memory_key *slot, struct cis_str ns,
                    struct cis_str key, struct cis_error *err)
{
    if (slot == NULL) {
        return cis_history_nomem(err);
    }
    CIS_TRY(cis_arena_str(arena, ns, &slot->ns, err));
    return cis_arena_str(arena, key, &slot->key, err);
}

static bool take_entry(void *self, const struct cis_kv_entry *e)
{
    struct memory *m = self;
    m->code = add(&m->arena, vec_add(&m->keys), e->ns, e->key, m->err);
    if (m->code == CIS_OK && e->version > m->newer) {
        m->code = add(&m->touched->arena, vec_add(&m->touched->memory), e->ns, e->key, m->err);
    }
    return m->code == CIS_OK;
}

/* Both are in order of namespace and key. */
static cis_code removed(const struct memory *before, const struct memory *now)
{
    struct touched *t = now->touched;
    for (size_t i = 0, k = 0; i < before->keys.n; i++) {
        const struct memory_key *key = &before->keys.at[i];
        int by = -1;
        for (; k < now->keys.n; k++) {
            by = cis_str_cmp(key->ns, now->keys.at[k].ns);
            by = by != 0 ? by : cis_str_cmp(key->key, now->keys.at[k].key);
            if (by <= 0) {
                break;
            }
        }
        if (k == now->keys.n || by != 0) {
            CIS_TRY(add(&t->arena, vec_add(&t->memory), key->ns, key->key, now->err));
        }
    }
    return CIS_OK;
}

static void memory_done(struct memory *m)
{
    vec_done(&m->keys);
    cis_arena_done(&m->arena);
}

cis_code cis_touched_memory_rows(const struct cis_history *h, struct cis_view from,
                                 struct cis_view to, struct touched *t, struct cis_error *err)
{
    CIS_CLEANUP(memory_done) struct memory before = {.newer = UINT64_MAX, .err = err};
    CIS_CLEANUP(memory_done) struct memory now = {.newer = from.epoch, .touched = t, .err = err};
    struct cis_kv_query all = {.at = from, .values = false};
    before.keys.bound = before.arena.bound = t->links.bound;
    now.keys.bound = now.arena.bound = t->links.bound;
    CIS_TRY(cis_store_kv_list(h->store, h->tenant, &all, take_entry, &before, h->stop, err));
    CIS_TRY(before.code);
    all.at = to;
    CIS_TRY(cis_store_kv_list(h->store, h->tenant, &all, take_entry, &now, h->stop, err));
    CIS_TRY(now.code);
    return removed(&before, &now);
}

cis_code cis_touched_rows(const struct cis_history *h, uint64_t branch, uint64_t after,
                          uint64_t upto, struct touched *t, struct cis_error *err)
{
    struct finding names = {.t = t, .after = after, .upto = upto, .err = err}, files = names;
    CIS_TRY(rows(h, CIS_FS_DIRENTS, branch, &names));
    return rows(h, CIS_FS_INODES, branch, &files);
}
