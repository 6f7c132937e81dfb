/* What a commit would change, as paths in their order. The folders that lead to changes make a tree
 * of their own, which is gone through once; the path grows and shrinks on the way, so that nothing
 * is ever kept of it but one. */
#include "vfs/layered/changes.h"

#include <stdlib.h>
#include "base/cancel.h"

enum { BLOCK_BYTES = 65536, TURN = 256 };

/* ---- memory ---- */
int cis_lay_look_charge(struct lay_look *k, uint64_t bytes)
{
    cis_lay_lock_all(k->v);
    cis_code code = cis_budget_charge(k->v->budget, bytes, "what a run changed", lay_err(k->call));
    cis_lay_unlock_all(k->v);
    k->charged += code == CIS_OK ? bytes : 0;
    return cis_lay_errno(code);
}

void *cis_lay_look_alloc(struct lay_look *k, size_t size, int *out_rc)
{
    struct lay_look_block *b = k->blocks;
    size = (size + 15) & ~(size_t)15;
    if (b == NULL || size > b->cap - b->used) {
        size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        size_t bytes = cis_size_add(sizeof *b, cap);
        *out_rc = cis_lay_look_charge(k, bytes);
        if (*out_rc != 0) {
            return NULL;
        }
        b = cis_calloc(1, bytes);
        if (b == NULL) {
            *out_rc = ENOMEM;
            return NULL;
        }
        b->cap = cap;
        b->next = k->blocks;
        k->blocks = b;
    }
    void *at = b->data + b->used;
    b->used += size;
    return at;
}

static void look_done(struct lay_look *k)
{
    for (struct lay_look_block *b = k->blocks, *next; b != NULL; b = next) {
        next = b->next;
        cis_free(b);
    }
    cis_lay_table_done(&k->refs[0]);
    cis_lay_table_done(&k->refs[1]);
    cis_lay_table_done(&k->places);
    cis_lay_lock_all(k->v);
    cis_lay_release(k->v, k->charged);
    cis_lay_unlock_all(k->v);
}

int cis_lay_look_turn(struct lay_look *k)
{
    const struct cis_stop *stop = lay_stop(k->call);
    if (++k->turns % TURN != 0 || stop == NULL) {
        return 0;
    }
    return cis_lay_errno(cis_stop_check(stop, "what a run changed", lay_err(k->call)));
}

int cis_lay_look_name(struct lay_look *k, struct cis_str name, const char **out_name,
                      uint8_t *out_len)
{
    int rc = 0;
    char *copy = cis_lay_look_alloc(k, name.len + 1, &rc);
    if (copy != NULL) {
        memcpy(copy, name.ptr, name.len);
        *out_name = copy;
        *out_len = (uint8_t)name.len;
    }
    return rc;
}

/* ---- what is shown ---- */
struct entry { /* of a folder: a change in it, or a folder on the way to one */
    const struct lay_place *in;
    const char *name;
    const struct lay_item *item; /* NULL: a folder */
    struct lay_place *folder;
    uint8_t len;
    char what;
};
struct show {
    struct lay_look *k;
    struct entry *entries;
    size_t n;
    char *path, *from;
    size_t len; /* of path */
    cis_layered_change_each *each;
    void *self;
};

static char what_of(const struct lay_item *i)
{
    return !i->named          ? 'M'
           : i->from != NULL  ? 'R'
           : i->ino == 0      ? 'D'
           : i->base_ino != 0 ? 'M'
                              : 'A';
}

/* Of one name: what was removed, then what is there, then what is in it. */
static int rank(const struct entry *e)
{
    return e->item == NULL ? 3 : !e->item->named ? 2 : e->what == 'D' ? 0 : 1;
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->in != y->in) {
        return x->in->index < y->in->index ? -1 : 1;
    }
    int order = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);
    order = order != 0 ? order : x->len - y->len;
    return order != 0 ? order : rank(x) - rank(y);
}

static int make_entries(struct show *s)
{
    struct lay_look *k = s->k;
    int rc = 0;
    s->entries = cis_lay_look_alloc(k, (k->n + k->nplaces) * sizeof *s->entries, &rc);
    s->path = rc == 0 ? cis_lay_look_alloc(k, k->longest + CIS_FS_NAME_MAX + 2, &rc) : NULL;
    s->from = rc == 0 ? cis_lay_look_alloc(k, CIS_LAYERED_PATH_MAX, &rc) : NULL;
    if (s->from == NULL) {
        return rc;
    }
    for (size_t n = 0; n < k->n; n++) {
        const struct lay_item *i = &k->items[n];
        if (!i->done && i->place != NULL) {
            const char *name = i->name != NULL ? i->name : ""; /* the root */
            s->entries[s->n++] = (struct entry){i->place, name, i, NULL, i->len, what_of(i)};
        }
    }
    lay_table_each(&k->places, slot)
    {
        for (struct lay_place *p = slot->value; p != NULL; p = p->chain) {
            s->entries[s->n++] = (struct entry){p->parent, p->name, NULL, p, p->len, 0};
        }
    }
    if (s->n > 0) {
        qsort(s->entries, s->n, sizeof *s->entries, by_place);
    }
    for (size_t i = s->n; i > 0;) {
        i--;
        struct lay_place *in = (struct lay_place *)(uintptr_t)s->entries[i].in;
        in->first = in->next = i;
        in->entries++;
    }
    return 0;
}

struct sizes {
    const struct lay_item *item;
    struct cis_fs_inode now, base;
};

/* The overlay has what is below a node that it changed. */
static int sizes_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct sizes *z = arg;
    const struct lay_node *node;
    int rc = 0;
    z->now = z->base = (struct cis_fs_inode){0};
    if (z->item->ino != 0) {
        rc = cis_lay_inode(op, z->item->ino, &z->now, NULL);
    }
    if (rc == 0 && z->item->base_ino != 0) {
        node = cis_lay_table_get(&op->v->nodes, z->item->base_ino);
        if (node != NULL && !node->is_new) {
            z->base = node->base;
        } else {
            rc = cis_lay_base_inode(op, z->item->base_ino, &z->base);
        }
    }
    return rc == ESTALE ? 0 : rc; /* by a commit since */
}

/* The end of a path that is too long to be shown whole begins with a name. */
static struct cis_str shown(const char *path, size_t len, bool *out_cut)
{
    *out_cut = len > CIS_LAYERED_PATH_MAX;
    if (!*out_cut) {
        return (struct cis_str){path, len};
    }
    const char *at = path + len - CIS_LAYERED_PATH_MAX;
    const char *slash = memchr(at, '/', CIS_LAYERED_PATH_MAX);
    at = slash != NULL ? slash + 1 : at;
    return (struct cis_str){at, (size_t)(path + len - at)};
}

/* Written from its end to its beginning, as far as it is shown. */
static struct cis_str from_of(struct show *s, const struct lay_item *i, bool *out_cut)
{
    size_t at = CIS_LAYERED_PATH_MAX - i->from->len;
    const struct lay_place *p = i->from_place;
    memcpy(s->from + at, i->from->name, i->from->len);
    for (; p != NULL && p->parent != NULL && p->len + 1u <= at; p = p->parent) {
        s->from[--at] = '/';
        at -= p->len;
        memcpy(s->from + at, p->name, p->len);
    }
    *out_cut = p != NULL && p->parent != NULL;
    return (struct cis_str){s->from + at, CIS_LAYERED_PATH_MAX - at};
}

static int tell(struct show *s, const struct entry *e, bool *out_more)
{
    struct sizes z = {e->item, {0}, {0}};
    struct cis_layered_change change = {.what = e->what};
    bool cut = false;
    int rc = cis_lay_do(s->k->v, s->k->call, false, sizes_step, &z);
    change.path = shown(s->path, s->len, &change.cut);
    if (e->item->from != NULL) {
        change.from = from_of(s, e->item, &cut);
        change.cut = change.cut || cut;
    }
    change.node = e->item->ino;
    change.mode = e->item->ino != 0 ? z.now.mode : z.base.mode;
    change.size = z.now.size;
    change.old_size = z.base.size;
    *out_more = rc == 0 && s->each(s->self, &change);
    return rc;
}

static void enter(struct show *s, const struct entry *e)
{
    if (s->len != 0) {
        s->path[s->len++] = '/';
    }
    memcpy(s->path + s->len, e->name, e->len);
    s->len += e->len;
}

/* A name that came and its file that changed: once. */
static bool told_already(const struct show *s, const struct entry *e)
{
    const struct entry *before = e - 1;
    return !e->item->named && e > s->entries && before->item != NULL && before->in == e->in &&
           before->len == e->len && memcmp(before->name, e->name, e->len) == 0;
}

static int show(struct show *s)
{
    struct lay_place *at = s->k->root;
    bool more = true;
    int rc = 0;
    while (at != NULL && rc == 0 && more) {
        if (at->next == at->first + at->entries) {
            at = at->parent;
            s->len = at != NULL ? at->path_len : 0;
            continue;
        }
        const struct entry *e = &s->entries[at->next++];
        enter(s, e);
        if (e->folder != NULL) {
            at = e->folder;
            continue;
        }
        rc = told_already(s, e) ? 0 : tell(s, e, &more);
        rc = rc != 0 ? rc : cis_lay_look_turn(s->k);
        s->len = at->path_len;
    }
    return rc;
}

/* ---- all of it ---- */
static int look(struct lay_look *k)
{
    cis_mutex_lock(&k->v->committing, lay_lock_committing);
    int rc = cis_lay_look_collect(k);
    rc = rc != 0 ? rc : cis_lay_look_files(k);
    rc = rc != 0 ? rc : cis_lay_look_places(k);
    cis_mutex_unlock(&k->v->committing, lay_lock_committing);
    return rc;
}

cis_code cis_layered_changes(cis_vfs *vfs, cis_layered_change_each *each, void *self,
                             const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_error why = {0};
    struct cis_vfs_call call = {.stop = stop, .err = &why};
    CIS_CLEANUP(look_done) struct lay_look k = {.v = lay_of(vfs), .call = &call};
    struct show s = {.k = &k, .each = each, .self = self};
    int rc = look(&k);
    rc = rc != 0 ? rc : make_entries(&s);
    rc = rc != 0 ? rc : show(&s);
    if (rc != 0) {
        if (why.code == CIS_OK) {
            return cis_fail(err, rc == ENOMEM ? CIS_E_NOMEM : CIS_E_IO, "changes: %s",
                            strerror(rc));
        }
        if (err != NULL) {
            *err = why;
        }
        return why.code;
    }
    return CIS_OK;
}
