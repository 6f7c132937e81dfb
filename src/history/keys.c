/* What commits touched, from their packed keys; and what is behind such keys at a view. */
#include "history/internal.h"
#include "store/calls.h"

#include <stdlib.h>

void cis_touched_done(struct touched *t)
{
    vec_done(&t->links);
    cis_numbers_done(&t->inos);
    cis_numbers_done(&t->attrs);
    cis_numbers_done(&t->named);
    vec_done(&t->memory);
    cis_arena_done(&t->arena);
}

void cis_touched_bind(struct touched *t, struct cis_bound *bound)
{
    t->links.bound = bound;
    t->inos.bound = bound;
    t->attrs.bound = bound;
    t->named.bound = bound;
    t->memory.bound = bound;
    t->arena.bound = bound;
}

struct collecting {
    struct touched *t;
    cis_code code;
    struct cis_error *err;
};

static cis_code take_link(struct touched *t, const struct cis_key *key, struct cis_error *err)
{
    struct link *link = vec_add(&t->links);
    if (link == NULL) {
        return cis_history_nomem(err);
    }
    *link = (struct link){.parent = key->ino};
    if (key->target != 0) {
        CIS_TRY(cis_numbers_add(&t->named, key->target, err));
    }
    return cis_arena_str(&t->arena, key->name, &link->name, err);
}

static cis_code take_memory(struct touched *t, const struct cis_key *key, struct cis_error *err)
{
    struct memory_key *m = vec_add(&t->memory);
    if (m == NULL) {
        return cis_history_nomem(err);
    }
    CIS_TRY(cis_arena_str(&t->arena, key->ns, &m->ns, err));
    return cis_arena_str(&t->arena, key->name, &m->key, err);
}

static cis_code take_key(struct touched *t, const struct cis_key *key, struct cis_error *err)
{
    switch (key->kind) {
    case CIS_KEY_DIRENT:
        return take_link(t, key, err);
    case CIS_KEY_DIRATTR:
        CIS_TRY(cis_numbers_add(&t->attrs, key->ino, err));
        return cis_numbers_add(&t->inos, key->ino, err);
    case CIS_KEY_INODE:
    case CIS_KEY_DIRGONE:
    case CIS_KEY_MOVED:
        return cis_numbers_add(&t->inos, key->ino, err);
    case CIS_KEY_DIRTIME:
        return CIS_OK;
    case CIS_KEY_MEMORY:
        return take_memory(t, key, err);
    }
    return CIS_OK;
}

static bool collect_row(struct collecting *c, const struct cis_fs_commit_row *row)
{
    size_t at = 0;
    for (bool more = true; c->code == CIS_OK;) {
        struct cis_key key;
        c->code = cis_keys_next(row->keys, &at, &key, &more, c->err);
        if (c->code != CIS_OK) {
            cis_error_prefix(c->err, c->code, "commit %llu@%llu", (unsigned long long)row->branch,
                             (unsigned long long)row->epoch);
        } else if (!more) {
            break;
        } else {
            c->code = take_key(c->t, &key, c->err);
        }
    }
    return c->code == CIS_OK;
}

/* A piece of a commit's keys is in memory while it is looked at. */
static bool collect(void *self, const struct cis_fs_commit_row *row)
{
    struct collecting *c = self;
    if (!cis_bound_charge(c->t->links.bound, row->keys.len)) {
        c->code = cis_history_nomem(c->err);
        return false;
    }
    bool more = collect_row(c, row);
    cis_bound_release(c->t->links.bound, row->keys.len);
    return more;
}

cis_code cis_touched_branch(const struct cis_history *h, uint64_t branch, uint64_t after,
                            uint64_t upto, struct touched *t, bool *dropped, struct cis_error *err)
{
    struct collecting c = {.t = t, .err = err};
    if (after >= upto) {
        return CIS_OK;
    }
    CIS_TRY(cis_store_commits(
        h->store, h->tenant,
        &(struct cis_fs_log_query){.branch = branch, .after = after, .upto = upto, .keys = true},
        collect, &c, h->stop, err));
    if (c.code != CIS_E_EXPIRED) {
        return c.code;
    }
    *dropped = true; /* these are the oldest ones: nothing was taken yet */
    return cis_touched_rows(h, branch, after, upto, t, err);
}

cis_code cis_touched_add(const struct cis_history *h, const struct cis_branches *branches,
                         struct cis_view from, struct cis_view to, struct touched *t,
                         struct cis_error *err)
{
    const struct cis_view state = to;
    bool dropped = false;
    while (to.branch != from.branch) {
        const struct cis_branch *b = cis_branches_find(branches, to.branch);
        if (b == NULL || b->parent == 0 || b->parent >= b->id) {
            return cis_fail(err, CIS_E_DAMAGED, "branch %llu: its parent is missing",
                            (unsigned long long)to.branch);
        }
        CIS_TRY(cis_touched_branch(h, b->id, b->fork_epoch, to.epoch, t, &dropped, err));
        to.branch = b->parent;
        to.epoch = to.epoch < b->fork_epoch ? to.epoch : b->fork_epoch;
    }
    CIS_TRY(cis_touched_branch(h, from.branch, from.epoch, to.epoch, t, &dropped, err));
    return dropped ? cis_touched_memory_rows(h, from, state, t, err) : CIS_OK;
}

int cis_link_cmp(const void *a, const void *b)
{
    const struct link *x = a, *y = b;
    if (x->parent != y->parent) {
        return x->parent < y->parent ? -1 : 1;
    }
    return cis_str_cmp(x->name, y->name);
}

static int memory_cmp(const void *a, const void *b)
{
    const struct memory_key *x = a, *y = b;
    int order = cis_str_cmp(x->ns, y->ns);
    return order != 0 ? order : cis_str_cmp(x->key, y->key);
}

void cis_touched_sort(struct touched *t)
{
    size_t kept = 0;
    cis_numbers_sort(&t->inos);
    cis_numbers_sort(&t->attrs);
    cis_numbers_sort(&t->named);
    if (t->links.n != 0) {
        qsort(t->links.at, t->links.n, sizeof *t->links.at, cis_link_cmp);
    }
    for (size_t i = 0; i < t->links.n; i++) {
        if (kept == 0 || cis_link_cmp(&t->links.at[kept - 1], &t->links.at[i]) != 0) {
            t->links.at[kept++] = t->links.at[i];
        }
    }
    t->links.n = kept;
    kept = 0;
    if (t->memory.n != 0) {
        qsort(t->memory.at, t->memory.n, sizeof *t->memory.at, memory_cmp);
    }
    for (size_t i = 0; i < t->memory.n; i++) {
        if (kept == 0 || memory_cmp(&t->memory.at[kept - 1], &t->memory.at[i]) != 0) {
            t->memory.at[kept++] = t->memory.at[i];
        }
    }
    t->memory.n = kept;
}

bool cis_touched_link(const struct touched *t, const struct link *link)
{
    return t->links.n != 0 &&
           bsearch(link, t->links.at, t->links.n, sizeof *link, cis_link_cmp) != NULL;
}

bool cis_touched_memory(const struct touched *t, const struct memory_key *key)
{
    return t->memory.n != 0 &&
           bsearch(key, t->memory.at, t->memory.n, sizeof *key, memory_cmp) != NULL;
}

/* ---- names at a view: one by one, or by listing the directory when many of one are asked ---- */
#define LIST_FROM 8u /* names of one directory from which on it is listed */
#define LIST_PAGE 4096u

struct reading_links {
    struct link *at;
    size_t n, next;
    int side;
    uint32_t seen;
    char last[CIS_FS_NAME_MAX + 1];
    size_t last_len;
};

static bool step_one(void *self, size_t index, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode)
{
    struct reading_links *r = self;
    (void)inode;
    if (index == 0) {
        r->at->ino[r->side] = dirent->ino;
        r->at->type[r->side] = dirent->ino != 0 ? dirent->mode & 0170000 : 0;
    }
    return false;
}

static bool list_one(void *self, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode)
{
    struct reading_links *r = self;
    (void)inode;
    r->seen++;
    while (r->next < r->n && cis_str_cmp(r->at[r->next].name, dirent->name) < 0) {
        r->next++;
    }
    if (r->next < r->n && cis_str_eq(r->at[r->next].name, dirent->name)) {
        r->at[r->next].ino[r->side] = dirent->ino;
        r->at[r->next].type[r->side] = dirent->mode & 0170000;
        r->next++;
    }
    if (dirent->name.len <= CIS_FS_NAME_MAX) {
        memcpy(r->last, dirent->name.ptr, dirent->name.len);
        r->last_len = dirent->name.len;
    }
    return r->next < r->n;
}

/* Names [from, from + n) of one directory, which is listed from the first of them on. */
static cis_code list_links(const struct cis_history *h, struct cis_view view, struct link *at,
                           size_t n, int side, struct cis_error *err)
{
    struct reading_links r = {.at = at, .n = n, .side = side};
    struct cis_str first = at->name;
    if (first.len != 0 && first.len <= CIS_FS_NAME_MAX && first.ptr[first.len - 1] != 0) {
        memcpy(r.last, first.ptr, first.len); /* just before the first name that is wanted */
        r.last[first.len - 1] = (char)(r.last[first.len - 1] - 1);
        r.last_len = first.len;
    }
    for (;;) {
        r.seen = 0;
        CIS_TRY(cis_store_list(
            h->store, h->tenant,
            &(struct cis_fs_list_query){.at = view,
                                        .dir = at->parent,
                                        .after = (struct cis_str){r.last, r.last_len},
                                        .max = LIST_PAGE},
            list_one, &r, h->stop, err));
        if (r.seen < LIST_PAGE || r.next >= n) {
            return CIS_OK;
        }
    }
}

static cis_code read_links(const struct cis_history *h, struct cis_view view, struct links *links,
                           int side, size_t list_from, struct cis_error *err)
{
    for (size_t i = 0, n; i < links->n; i += n) {
        struct link *at = &links->at[i];
        for (n = 1; i + n < links->n && links->at[i + n].parent == at->parent; n++) {
        }
        for (size_t k = 0; k < n; k++) {
            at[k].ino[side] = 0;
            at[k].type[side] = 0;
        }
        if (n >= list_from) {
            CIS_TRY(list_links(h, view, at, n, side, err));
            continue;
        }
        for (size_t k = 0; k < n; k++) {
            struct reading_links r = {.at = &at[k], .n = 1, .side = side};
            CIS_TRY(cis_store_walk(h->store, h->tenant,
                                   &(struct cis_fs_walk_query){
                                       .at = view, .dir = at->parent, .names = &at[k].name, .n = 1},
                                   step_one, &r, h->stop, err));
        }
    }
    return CIS_OK;
}

cis_code cis_links_read(const struct cis_history *h, struct cis_view view, struct links *links,
                        int side, struct cis_error *err)
{
    return read_links(h, view, links, side, LIST_FROM, err);
}

cis_code cis_links_list(const struct cis_history *h, struct cis_view view, struct links *links,
                        int side, struct cis_error *err)
{
    return read_links(h, view, links, side, 1, err);
}
