/* Where changes are shown. Every folder that is on the way to one is looked at once: its number
 * leads to its parent and its name. The names that the overlay does not know are found by reading
 * the listing of each parent once, whatever the number of its children that are asked for. */
#include "vfs/layered/changes.h"

#include <stdlib.h>

enum { NOW, BEFORE };

struct refs {
    struct lay_look *k;
    int side;
    struct lay_ref_dir *todo;
    struct lay_ref_dir **nameless; /* of k's arena */
    size_t n, cap;
};

/* ---- numbers to parents and names ---- */
static int need(struct refs *r, uint64_t ino)
{
    struct lay_table *table = &r->k->refs[r->side];
    int rc = 0;
    if (cis_lay_table_get(table, ino) != NULL) {
        return 0;
    }
    struct lay_ref_dir *dir = cis_lay_look_alloc(r->k, sizeof *dir, &rc);
    if (dir == NULL || !cis_lay_table_ready(table)) {
        return dir == NULL ? rc : ENOMEM;
    }
    dir->ino = ino;
    dir->next = r->todo;
    r->todo = dir;
    cis_lay_table_put(table, ino, dir);
    return cis_lay_look_charge(r->k, 3 * sizeof(struct lay_slot));
}

struct parent {
    uint64_t ino, parent;
    int side;
};

static int parent_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct parent *p = arg;
    struct cis_fs_inode row;
    int rc = p->side == BEFORE ? cis_lay_base_inode(op, p->ino, &row)
                               : cis_lay_inode(op, p->ino, &row, NULL);
    p->parent = rc == 0 ? row.parent : 0;
    return rc;
}

static int add_nameless(struct refs *r, struct lay_ref_dir *dir)
{
    int rc = 0;
    if (r->n == r->cap) {
        size_t cap = r->cap != 0 ? r->cap * 2 : 64;
        struct lay_ref_dir **more =
            cis_lay_look_alloc(r->k, cap * sizeof(struct lay_ref_dir *), &rc);
        if (more == NULL) {
            return rc;
        }
        if (r->n > 0) {
            memcpy((void *)more, (const void *)r->nameless, r->n * sizeof(struct lay_ref_dir *));
        }
        r->nameless = more;
        r->cap = cap;
    }
    r->nameless[r->n++] = dir;
    return 0;
}

/* The overlay knows the names that it changed; others are found in the parent's listing. */
static int look_up(struct refs *r, struct lay_ref_dir *dir)
{
    struct lay_look *k = r->k;
    const struct lay_item *item =
        r->side == NOW ? cis_lay_look_named(k, dir->ino) : cis_lay_look_gone(k, dir->ino);
    if (item != NULL) {
        dir->parent = item->dir;
        dir->name = item->name;
        dir->len = item->len;
        return need(r, dir->parent);
    }
    struct parent p = {dir->ino, 0, r->side};
    int rc = cis_lay_do(k->v, k->call, false, parent_step, &p);
    if (rc == 0 && p.parent != 0) {
        dir->parent = p.parent;
        rc = need(r, p.parent);
        rc = rc != 0 ? rc : add_nameless(r, dir);
    }
    return rc;
}

/* ---- names from listings ---- */
struct listing {
    uint64_t dir;
    struct lay_blob *list; /* NULL: a new directory */
};

static int list_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct listing *l = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, l->dir, &row, &node);
    if (rc != 0 || (node != NULL && node->is_new)) {
        return rc;
    }
    return cis_lay_base_listing(op, l->dir, node != NULL ? node->base.epoch : row.epoch, false,
                                &l->list);
}

int cis_lay_look_list(struct lay_look *k, uint64_t dir, lay_look_each *each, void *self)
{
    struct listing l = {dir, NULL};
    int rc = cis_lay_do(k->v, k->call, false, list_step, &l);
    struct lay_listed e;
    bool more = rc == 0;
    for (size_t at = 0; l.list != NULL && at < l.list->len && more;) {
        at += lay_listed_at(l.list->data + at, &e);
        more = each(self, &e);
    }
    cis_lay_blob_unref(l.list);
    return rc;
}

struct naming {
    struct refs *r;
    uint64_t parent;
    size_t left;
    int rc;
};

static bool name_each(void *self, const struct lay_listed *e)
{
    struct naming *n = self;
    struct lay_look *k = n->r->k;
    struct lay_ref_dir *dir = cis_lay_table_get(&k->refs[n->r->side], e->ino);
    if (dir == NULL || dir->parent != n->parent || dir->name != NULL) {
        return true;
    }
    n->rc = cis_lay_look_name(k, e->name, &dir->name, &dir->len);
    return n->rc == 0 && --n->left > 0;
}

static int by_parent(const void *a, const void *b)
{
    const struct lay_ref_dir *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x->parent < y->parent ? -1 : x->parent > y->parent;
}

static int name_all(struct refs *r)
{
    if (r->n > 0) {
        qsort((void *)r->nameless, r->n, sizeof(struct lay_ref_dir *), by_parent);
    }
    for (size_t i = 0, end; i < r->n; i = end) {
        struct naming n = {r, r->nameless[i]->parent, 0, 0};
        for (end = i; end < r->n && r->nameless[end]->parent == n.parent; end++) {
        }
        n.left = end - i;
        int rc = cis_lay_look_list(r->k, n.parent, name_each, &n);
        rc = rc != 0 ? rc : n.rc;
        rc = rc != 0 ? rc : cis_lay_look_turn(r->k);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- places ---- */
static struct lay_place *child_of(struct lay_look *k, struct lay_place *parent, const char *name,
                                  uint8_t len, int *out_rc)
{
    struct cis_str text = {name, len};
    uint64_t key = cis_lay_hash(&k->v->fs_cache->key, parent->index, text).a;
    struct lay_place *first = cis_lay_table_get(&k->places, key);
    for (struct lay_place *p = first; p != NULL; p = p->chain) {
        if (p->parent == parent && p->len == len && memcmp(p->name, name, len) == 0) {
            return p;
        }
    }
    struct lay_place *place = cis_lay_look_alloc(k, sizeof *place, out_rc);
    if (place == NULL || !cis_lay_table_ready(&k->places)) {
        *out_rc = place == NULL ? *out_rc : ENOMEM;
        return NULL;
    }
    *place = (struct lay_place){.parent = parent, .chain = first, .name = name, .len = len};
    place->path_len = parent->path_len + (parent->path_len != 0 ? 1 : 0) + len;
    place->index = (uint32_t)k->nplaces++;
    k->longest = place->path_len > k->longest ? place->path_len : k->longest;
    cis_lay_table_put(&k->places, key, place);
    *out_rc = cis_lay_look_charge(k, 3 * sizeof(struct lay_slot));
    return *out_rc == 0 ? place : NULL;
}

/* Up to a folder whose place is known, and down again. One whose name or parent nobody knows
 * (damage) stands below the root: what is in it is shown all the same. */
static int place_of(struct lay_look *k, int side, uint64_t ino, struct lay_place **out)
{
    struct lay_ref_dir *way = NULL, *dir = cis_lay_table_get(&k->refs[side], ino);
    struct lay_place *place = k->root;
    int rc = 0;
    while (dir != NULL && dir->ino != CIS_FS_ROOT && dir->place == NULL && !dir->walked) {
        dir->walked = true;
        dir->next = way;
        way = dir;
        dir = dir->name != NULL ? cis_lay_table_get(&k->refs[side], dir->parent) : NULL;
    }
    place = dir != NULL && dir->place != NULL ? dir->place : place;
    for (; way != NULL && rc == 0; way = way->next) {
        bool known = way->name != NULL;
        place = child_of(k, place, known ? way->name : "?", known ? way->len : 1, &rc);
        way->place = place;
        way->walked = false;
    }
    *out = place;
    return rc;
}

static int place_item(struct lay_look *k, struct lay_item *i)
{
    if (!i->folder || i->named || i->ino == CIS_FS_ROOT) {
        return place_of(k, i->ino == 0 ? BEFORE : NOW, i->dir, &i->place);
    }
    struct lay_place *own; /* a folder that changed: it stands where its own place is */
    int rc = place_of(k, NOW, i->ino, &own);
    if (rc == 0 && own != k->root) {
        i->place = own->parent;
        i->name = own->name;
        i->len = own->len;
    }
    return rc;
}

/* The folders that are asked for on one side; of a rename the one it came from, too. */
static int need_items(struct refs *r)
{
    struct lay_look *k = r->k;
    int rc = 0;
    for (size_t n = 0; n < k->n && rc == 0; n++) {
        const struct lay_item *i = &k->items[n];
        if (i->done) {
            continue;
        }
        if (i->from != NULL && r->side == BEFORE) {
            rc = need(r, i->from->dir);
        }
        if (rc == 0 && (i->ino == 0) == (r->side == BEFORE)) {
            rc = need(r, i->folder && !i->named ? i->ino : i->dir);
        }
        rc = rc != 0 ? rc : cis_lay_look_turn(k);
    }
    return rc;
}

int cis_lay_look_places(struct lay_look *k)
{
    int rc = 0;
    k->root = cis_lay_look_alloc(k, sizeof *k->root, &rc);
    k->nplaces = 1;
    for (int side = NOW; side <= BEFORE && rc == 0; side++) {
        struct refs r = {.k = k, .side = side};
        rc = need_items(&r);
        while (r.todo != NULL && rc == 0) {
            struct lay_ref_dir *dir = r.todo;
            r.todo = dir->next;
            dir->next = NULL;
            rc = dir->ino != CIS_FS_ROOT ? look_up(&r, dir) : 0;
            rc = rc != 0 ? rc : cis_lay_look_turn(k);
        }
        rc = rc != 0 ? rc : name_all(&r);
    }
    for (size_t n = 0; n < k->n && rc == 0; n++) {
        struct lay_item *i = &k->items[n];
        if (i->done) {
            continue;
        }
        rc = place_item(k, i);
        if (rc == 0 && i->from != NULL) {
            rc = place_of(k, BEFORE, i->from->dir, &i->from_place);
        }
        rc = rc != 0 ? rc : cis_lay_look_turn(k);
    }
    return rc;
}
