/* What a commit would change, as paths: names that came, went or moved, files that changed under a
 * name that stayed. */
#include "vfs/layered/view.h"

#include <stdlib.h>
#include "base/map.h"

struct item {
    char what;
    char *path, *from;
    uint64_t dir, ino, base_ino;
    char *name;
    size_t len;
    uint32_t mode;
    uint64_t size, old_size;
    bool done;
};
struct items {
    struct lay_view *v;
    const struct cis_vfs_call *call;
    struct item *list;
    size_t n, cap;
};

static void items_done(struct items *s)
{
    for (size_t i = 0; i < s->n; i++) {
        cis_free(s->list[i].path);
        cis_free(s->list[i].from);
        cis_free(s->list[i].name);
    }
    cis_free(s->list);
}

static struct item *add(struct items *s)
{
    if (s->n == s->cap) {
        size_t cap = cis_cap_next(s->cap, 64, CIS_MEM_MAX);
        struct item *more = cis_realloc_array(s->list, cap, sizeof *more);
        if (more == NULL) {
            return NULL;
        }
        s->list = more;
        s->cap = cap;
    }
    struct item *item = &s->list[s->n++];
    *item = (struct item){0};
    return item;
}

/* Under all stripes: every name that differs, and every node that changed in its place. */
static int collect_step(struct lay_op *op, void *arg)
{
    struct items *s = arg;
    lay_table_each(&op->v->nodes, slot)
    {
        const struct lay_node *node = slot->value;
        for (const struct lay_name *n = node->names; n != NULL; n = n->next) {
            struct item *i = add(s);
            char *name = i != NULL ? cis_strndup(n->name, n->len) : NULL;
            if (name == NULL) {
                return ENOMEM;
            }
            *i = (struct item){.dir = n->parent,
                               .ino = n->ino,
                               .base_ino = n->base_ino,
                               .name = name,
                               .len = n->len};
        }
        bool changed = S_ISDIR(node->now.mode) ? node->dirattr : node->row;
        if (changed && !node->is_new && !node->gone) {
            struct item *i = add(s);
            if (i == NULL) {
                return ENOMEM;
            }
            i->what = 'M';
            i->ino = i->base_ino = node->ino;
            i->dir = S_ISDIR(node->now.mode) ? node->now.parent : node->hint;
        }
    }
    return 0;
}

/* ---- paths ---- */
struct where { /* the name of `ino` in its directory */
    uint64_t dir, ino;
    bool base; /* as the base has it */
    struct cis_buf *name;
    bool found;
};

static int where_step(struct lay_op *op, void *arg)
{
    struct where *w = arg;
    struct lay_view *v = op->v;
    struct cis_fs_inode row;
    struct lay_node *dir;
    int no = cis_lay_inode(op, w->dir, &row, &dir);
    if (no != 0) {
        return no;
    }
    w->found = false;
    for (const struct lay_name *n = dir != NULL && !w->base ? dir->names : NULL; n != NULL;
         n = n->next) {
        if (n->ino == w->ino) {
            cis_buf_add(w->name, n->name, n->len);
            w->found = true;
            return 0;
        }
    }
    if (dir != NULL && dir->is_new) {
        return 0;
    }
    struct lay_blob *list;
    no = cis_lay_base_listing(op, w->dir, dir != NULL ? dir->base.epoch : row.epoch, false, &list);
    struct lay_listed e;
    for (size_t at = 0; no == 0 && at < list->len && !w->found;) {
        at += lay_listed_at(list->data + at, &e);
        if (e.ino == w->ino &&
            (w->base ||
             cis_lay_name_find(v, cis_lay_hash(&v->forest->key, w->dir, e.name)) == NULL)) {
            cis_buf_add(w->name, e.name.ptr, e.name.len);
            w->found = true;
        }
    }
    if (no == 0) {
        cis_lay_blob_unref(list);
    }
    return no;
}

struct parent {
    uint64_t ino;
    bool base;
};

static int parent_step(struct lay_op *op, void *arg)
{
    struct parent *p = arg;
    struct cis_fs_inode row;
    int no = p->base ? cis_lay_base_inode(op, p->ino, &row) : cis_lay_inode(op, p->ino, &row, NULL);
    p->ino = no == 0 ? row.parent : 0;
    return no;
}

/* "a/b/" of a directory, written from its end to its beginning. */
static int path_of(struct items *s, uint64_t dir, bool base, char *out, size_t *at)
{
    while (dir != CIS_FS_ROOT && dir != 0) {
        struct parent p = {dir, base};
        CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(CIS_FS_NAME_MAX);
        int no = cis_lay_do(s->v, s->call, false, parent_step, &p);
        struct where w = {p.ino, dir, base, &name, false};
        no = no != 0 ? no : cis_lay_do(s->v, s->call, false, where_step, &w);
        if (no != 0) {
            return no;
        }
        if (!w.found || name.len + 1 > *at) {
            return 0; /* too deep for one line: its end is what is shown */
        }
        out[--*at] = '/';
        *at -= name.len;
        memcpy(out + *at, name.ptr, name.len);
        dir = p.ino;
    }
    return 0;
}

static int full_path(struct items *s, uint64_t dir, bool base, const char *name, size_t len,
                     char **out)
{
    enum { MOST = 65536 };
    CIS_CLEANUP(cis_freep) char *text = cis_alloc(MOST);
    if (text == NULL) {
        return ENOMEM;
    }
    size_t at = MOST - len;
    memcpy(text + at, name, len);
    int no = path_of(s, dir, base, text, &at);
    if (no == 0) {
        *out = cis_strndup(text + at, MOST - at);
        no = *out == NULL ? ENOMEM : 0;
    }
    return no;
}

/* ---- what each is ---- */
struct sizes {
    const struct item *item;
    struct cis_fs_inode now, base;
};

static int sizes_step(struct lay_op *op, void *arg)
{
    struct sizes *z = arg;
    int no = 0;
    z->now = z->base = (struct cis_fs_inode){0};
    if (z->item->ino != 0) {
        no = cis_lay_inode(op, z->item->ino, &z->now, NULL);
    }
    if (no == 0 && z->item->base_ino != 0) {
        no = cis_lay_base_inode(op, z->item->base_ino, &z->base);
    }
    return no;
}

static int by_inos(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->ino != y->ino    ? (x->ino < y->ino ? -1 : 1)
           : x->what < y->what ? -1
                               : x->what > y->what;
}

static struct item *added_with(struct items *s, uint64_t ino)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->list[mid].ino < ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    for (; low < s->n && s->list[low].ino == ino; low++) {
        if (s->list[low].name != NULL && s->list[low].from == NULL) {
            return &s->list[low];
        }
    }
    return NULL;
}

/* A name that went and one that came with the same inode are one that moved. */
static int pair_renames(struct items *s)
{
    if (s->n > 0) {
        qsort(s->list, s->n, sizeof *s->list, by_inos);
    }
    for (size_t i = 0; i < s->n; i++) {
        struct item *gone = &s->list[i];
        struct item *came = gone->name != NULL && gone->base_ino != 0 && gone->ino != gone->base_ino
                                ? added_with(s, gone->base_ino)
                                : NULL;
        if (came == NULL) {
            continue;
        }
        int no = full_path(s, gone->dir, true, gone->name, gone->len, &came->from);
        if (no != 0) {
            return no;
        }
        gone->done = gone->ino == 0;
    }
    return 0;
}

/* Nobody remembers where the file was found: the whole tree is looked through, as it is now. */
struct search {
    uint64_t dir, ino;
    uint64_t *dirs; /* still to be looked through */
    size_t n, cap;
    bool found;
};

static bool search_add(struct search *s, uint64_t dir)
{
    if (s->n == s->cap) {
        size_t cap = cis_cap_next(s->cap, 256, CIS_MEM_MAX);
        uint64_t *more = cis_realloc_array(s->dirs, cap, sizeof *more);
        if (more == NULL) {
            return false;
        }
        s->dirs = more;
        s->cap = cap;
    }
    s->dirs[s->n++] = dir;
    return true;
}

static bool searched(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    struct search *s = self;
    (void)attr;
    if (cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..")) {
        return true;
    }
    s->found = entry->ino == s->ino;
    return !s->found && (!S_ISDIR(entry->type) || search_add(s, entry->ino));
}

static int search_for(struct items *items, uint64_t ino, uint64_t *out_dir)
{
    struct search s = {.ino = ino};
    cis_vfs *vfs = &items->v->vfs;
    int no = search_add(&s, CIS_FS_ROOT) ? 0 : ENOMEM;
    while (no == 0 && s.n > 0 && !s.found) {
        cis_vfs_file *file;
        *out_dir = s.dirs[--s.n];
        no = vfs->ops->open(vfs, items->call, *out_dir, O_RDONLY | O_DIRECTORY, &file);
        if (no == 0) {
            no = vfs->ops->readdir(file, items->call, 0, false, searched, &s);
            vfs->ops->release(file);
        }
    }
    cis_free(s.dirs);
    *out_dir = s.found ? *out_dir : 0;
    return no;
}

static int describe(struct items *s, struct item *i)
{
    struct sizes z = {i, {0}, {0}};
    bool base = i->what == 0 && i->ino == 0;
    int no = cis_lay_do(s->v, s->call, false, sizes_step, &z);
    if (no != 0) {
        return no;
    }
    i->mode = i->ino != 0 ? z.now.mode : z.base.mode;
    i->size = z.now.size;
    i->old_size = z.base.size;
    if (i->name != NULL) {
        i->what = i->from != NULL ? 'R' : i->ino == 0 ? 'D' : i->base_ino != 0 ? 'M' : 'A';
        return full_path(s, i->dir, base, i->name, i->len, &i->path);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(CIS_FS_NAME_MAX);
    if (i->ino != CIS_FS_ROOT && i->dir == 0) {
        no = search_for(s, i->ino, &i->dir);
    }
    struct where w = {i->dir, i->ino, false, &name, false};
    if (no == 0 && i->ino != CIS_FS_ROOT && i->dir != 0) {
        no = cis_lay_do(s->v, s->call, false, where_step, &w);
    }
    if (no == 0 && (w.found || i->ino == CIS_FS_ROOT)) {
        return full_path(s, i->ino == CIS_FS_ROOT ? CIS_FS_ROOT : i->dir, false,
                         cis_buf_cstr(&name), name.len, &i->path);
    }
    i->done = true; /* its name is shown by another item, or nobody asked for it by name */
    return no;
}

static int by_path(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->path == NULL || y->path == NULL) {
        return x->path != NULL ? -1 : y->path != NULL;
    }
    int order = strcmp(x->path, y->path);
    return order != 0 ? order : (x->name == NULL) - (y->name == NULL);
}

/* The same path twice (a name that came, and its file that changed): once. */
static void show(struct items *s, cis_layered_change_each *each, void *self)
{
    const char *last = NULL;
    for (size_t i = 0; i < s->n && s->list[i].path != NULL; i++) {
        const struct item *c = &s->list[i];
        if (c->done || (last != NULL && strcmp(last, c->path) == 0 && c->what == 'M')) {
            continue;
        }
        struct cis_layered_change change = {
            c->what, cis_str_of(c->path), cis_str_of(c->from), c->mode, c->size, c->old_size};
        last = c->path;
        if (!each(self, &change)) {
            return;
        }
    }
}

cis_code cis_layered_changes(cis_vfs *vfs, cis_layered_change_each *each, void *self,
                             const struct cis_stop *stop, struct cis_error *err)
{
    struct lay_view *v = lay_of(vfs);
    struct cis_error why = {0};
    struct cis_vfs_call call = {.stop = stop, .err = &why};
    CIS_CLEANUP(items_done) struct items s = {v, &call, NULL, 0, 0};
    pthread_mutex_lock(&v->committing);
    int no = cis_lay_do(v, &call, true, collect_step, &s);
    no = no != 0 ? no : pair_renames(&s);
    for (size_t i = 0; i < s.n && no == 0; i++) {
        no = s.list[i].done ? 0 : describe(&s, &s.list[i]);
    }
    pthread_mutex_unlock(&v->committing);
    if (no != 0) {
        if (why.code == CIS_OK) {
            return cis_fail(err, no == ENOMEM ? CIS_E_NOMEM : CIS_E_IO, "changes: %s",
                            strerror(no));
        }
        if (err != NULL) {
            *err = why;
        }
        return why.code;
    }
    if (s.n > 0) {
        qsort(s.list, s.n, sizeof *s.list, by_path);
    }
    show(&s, each, self);
    return CIS_OK;
}
