/* What differs: every name that the overlay changed, every node that changed under a name that
 * stayed. A file knows no name: those of files come from the listing of the folder that somebody
 * found them in, read once for all of them, or else from one walk through the whole tree. */
#include "vfs/layered/changes.h"

#include <stdlib.h>

/* ---- what differs ---- */
/* More than the count of its names, which are told by themselves: content, or what stat shows. */
static bool file_changed(const struct lay_node *node)
{
    const struct cis_fs_inode *a = &node->now, *b = &node->base;
    return node->blocks.count > 0 || (S_ISREG(b->mode) && node->keep != b->size) ||
           a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->size != b->size ||
           cis_fs_time_cmp(a->mtime, b->mtime) != 0 || cis_fs_time_cmp(a->atime, b->atime) != 0;
}

static bool changed_in_place(const struct lay_node *node)
{
    return !node->is_new && !node->gone &&
           (S_ISDIR(node->now.mode) ? node->dirattr : node->row && file_changed(node));
}

struct counts {
    size_t items, text;
};

static struct counts count(const struct lay_view *v)
{
    struct counts c = {0, 0};
    lay_table_each(&v->nodes, slot)
    {
        const struct lay_node *node = slot->value;
        for (const struct lay_name *n = node->names; n != NULL; n = n->next) {
            c.items++;
            c.text += n->len;
        }
        c.items += changed_in_place(node);
    }
    return c;
}

/* Under all stripes, and so in one piece: names are copied, nodes may change afterwards. */
static int collect_step(struct lay_op *op, void *arg)
{
    struct lay_look *k = arg;
    struct counts c = count(op->v);
    size_t bytes =
        cis_size_add(cis_size_mul(c.items, sizeof *k->items + sizeof(struct lay_item *)), c.text);
    size_t size = cis_size_add(cis_size_add(sizeof(struct lay_look_block), bytes), 64);
    int rc = cis_lay_charge(op, size);
    if (rc != 0) {
        return rc;
    }
    k->charged += size;
    struct lay_look_block *b = cis_calloc(1, size);
    if (b == NULL) {
        return ENOMEM;
    }
    b->used = b->cap = bytes;
    b->next = k->blocks;
    k->blocks = b;
    k->items = (struct lay_item *)(void *)b->data;
    k->gone = (struct lay_item **)(void *)(k->items + c.items);
    char *text = (char *)(void *)(k->gone + c.items);
    lay_table_each(&op->v->nodes, slot)
    {
        const struct lay_node *node = slot->value;
        for (const struct lay_name *n = node->names; n != NULL; n = n->next) {
            if (n->ino == n->base_ino) {
                continue;
            }
            memcpy(text, n->name, n->len);
            k->items[k->n++] = (struct lay_item){.dir = n->parent,
                                                 .ino = n->ino,
                                                 .base_ino = n->base_ino,
                                                 .name = text,
                                                 .len = n->len,
                                                 .named = true};
            text += n->len;
        }
        if (changed_in_place(node)) {
            bool folder = S_ISDIR(node->now.mode);
            k->items[k->n++] = (struct lay_item){.dir = folder ? node->now.parent : node->hint,
                                                 .ino = node->ino,
                                                 .base_ino = node->ino,
                                                 .folder = folder};
        }
    }
    return 0;
}

static int by_ino(const void *a, const void *b)
{
    const struct lay_item *x = a, *y = b;
    return x->ino != y->ino ? (x->ino < y->ino ? -1 : 1) : x->named - y->named;
}

static int by_base(const void *a, const void *b)
{
    const struct lay_item *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x->base_ino < y->base_ino ? -1 : x->base_ino > y->base_ino;
}

static struct lay_item *first_of(const struct lay_look *k, uint64_t ino)
{
    size_t low = 0, high = k->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (k->items[mid].ino < ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < k->n && k->items[low].ino == ino ? &k->items[low] : NULL;
}

/* The node that changed in its place; NULL. */
static struct lay_item *look_node(const struct lay_look *k, uint64_t ino)
{
    struct lay_item *i = first_of(k, ino);
    return i != NULL && !i->named ? i : NULL;
}

struct lay_item *cis_lay_look_named(const struct lay_look *k, uint64_t ino)
{
    struct lay_item *i = first_of(k, ino);
    if (i != NULL && !i->named) {
        i = i + 1 < k->items + k->n && i[1].ino == ino ? i + 1 : NULL;
    }
    return i;
}

struct lay_item *cis_lay_look_gone(const struct lay_look *k, uint64_t base_ino)
{
    size_t low = 0, high = k->ngone;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (k->gone[mid]->base_ino < base_ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < k->ngone && k->gone[low]->base_ino == base_ino ? k->gone[low] : NULL;
}

/* A name that went and one that came with the same inode are one that moved. Both lists are in the
 * order of inodes, so that each is gone through once. */
static void pair_renames(struct lay_look *k)
{
    for (size_t i = 0; i < k->n; i++) {
        if (k->items[i].named && k->items[i].base_ino != 0) {
            k->gone[k->ngone++] = &k->items[i];
        }
    }
    if (k->ngone > 0) {
        qsort((void *)k->gone, k->ngone, sizeof(struct lay_item *), by_base);
    }
    size_t at = 0;
    for (size_t i = 0; i < k->ngone; i++) {
        struct lay_item *gone = k->gone[i];
        while (at < k->n && (k->items[at].ino < gone->base_ino ||
                             (k->items[at].ino == gone->base_ino && !k->items[at].named))) {
            at++;
        }
        if (at < k->n && k->items[at].ino == gone->base_ino) {
            k->items[at++].from = gone;
            gone->done = gone->ino == 0;
        }
    }
}

int cis_lay_look_collect(struct lay_look *k)
{
    int rc = cis_lay_do(k->v, k->call, true, collect_step, k);
    if (rc == 0 && k->n > 0) {
        qsort(k->items, k->n, sizeof *k->items, by_ino);
        pair_renames(k);
    }
    return rc;
}

/* ---- the names of files that changed in their place ---- */
struct finding {
    struct lay_look *k;
    uint64_t dir;
    size_t left; /* files without a name */
    int rc;
};

static int hidden_step(struct lay_op *op, void *arg)
{
    const struct lay_hash *hash = arg;
    return cis_lay_name_find(op->v, *hash) != NULL ? EEXIST : 0;
}

/* The listing is the base's: what the overlay changed is not there any more. */
static bool find_each(void *self, const struct lay_listed *e)
{
    struct finding *f = self;
    struct lay_look *k = f->k;
    struct lay_item *i = look_node(k, e->ino);
    if (i == NULL || i->folder || i->name != NULL || i->dir != f->dir) {
        return true;
    }
    struct lay_hash hash = cis_lay_hash(&k->v->fs_cache->key, f->dir, e->name);
    int rc = cis_lay_do(k->v, k->call, false, hidden_step, &hash);
    if (rc == 0) {
        rc = cis_lay_look_name(k, e->name, &i->name, &i->len);
        f->left--;
    }
    f->rc = rc == EEXIST ? 0 : rc;
    return f->rc == 0 && f->left > 0;
}

static int by_dir(const void *a, const void *b)
{
    const struct lay_item *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x->dir < y->dir ? -1 : x->dir > y->dir;
}

/* Where somebody found them. */
static int find_near(struct lay_look *k, struct lay_item **files, size_t n)
{
    if (n > 0) {
        qsort((void *)files, n, sizeof(struct lay_item *), by_dir);
    }
    for (size_t i = 0, end; i < n; i = end) {
        struct finding f = {k, files[i]->dir, 0, 0};
        for (end = i; end < n && files[end]->dir == f.dir; end++) {
        }
        f.left = end - i;
        int rc = f.dir != 0 ? cis_lay_look_list(k, f.dir, find_each, &f) : 0;
        rc = rc == ESTALE || rc == ENOENT ? 0 : rc; /* that folder is gone */
        rc = rc != 0 ? rc : f.rc;
        rc = rc != 0 ? rc : cis_lay_look_turn(k);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Nobody remembers where they were found: the whole tree is looked through once for all of them,
 * as it is now. */
struct folder {
    struct folder *next;
    uint64_t ino;
};
struct search {
    struct finding f;
    struct folder *todo, *spare;
};

static int search_add(struct search *s, uint64_t ino)
{
    struct folder *folder = s->spare;
    int rc = 0;
    if (folder == NULL) {
        folder = cis_lay_look_alloc(s->f.k, sizeof *folder, &rc);
        if (folder == NULL) {
            return rc;
        }
    } else {
        s->spare = folder->next;
    }
    *folder = (struct folder){s->todo, ino};
    s->todo = folder;
    return 0;
}

static bool searched(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    struct search *s = self;
    (void)attr;
    if (cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..")) {
        return true;
    }
    struct lay_item *i = look_node(s->f.k, entry->ino);
    if (i != NULL && !i->folder && i->name == NULL && !i->done) {
        i->dir = s->f.dir;
        s->f.rc = cis_lay_look_name(s->f.k, entry->name, &i->name, &i->len);
        s->f.left--;
    } else if (S_ISDIR(entry->type)) {
        s->f.rc = search_add(s, entry->ino);
    }
    return s->f.rc == 0 && s->f.left > 0;
}

static int find_far(struct lay_look *k, size_t left)
{
    struct search s = {.f = {.k = k, .left = left}};
    cis_vfs *vfs = &k->v->vfs;
    int rc = search_add(&s, CIS_FS_ROOT);
    while (rc == 0 && s.todo != NULL && s.f.left > 0) {
        struct folder *folder = s.todo;
        cis_vfs_file *file;
        s.todo = folder->next;
        s.f.dir = folder->ino;
        folder->next = s.spare;
        s.spare = folder;
        rc = cis_vfs_open(vfs, k->call, s.f.dir, O_RDONLY | O_DIRECTORY, &file);
        if (rc == 0) {
            rc = cis_vfs_readdir(file, k->call, 0, false, searched, &s);
            cis_vfs_release(file);
        }
        rc = rc != 0 ? rc : s.f.rc;
        rc = rc != 0 ? rc : cis_lay_look_turn(k);
    }
    return rc;
}

/* A file that has a new name where it was found is shown by that. */
static bool shown_there(const struct lay_look *k, const struct lay_item *file)
{
    const struct lay_item *end = k->items + k->n;
    for (const struct lay_item *i = file + 1; i < end && i->ino == file->ino; i++) {
        if (i->dir == file->dir) {
            return true;
        }
    }
    return false;
}

int cis_lay_look_files(struct lay_look *k)
{
    size_t n = 0, left = 0;
    int rc = 0;
    struct lay_item **files = cis_lay_look_alloc(k, (k->n + 1) * sizeof(struct lay_item *), &rc);
    for (size_t i = 0; i < k->n && files != NULL; i++) {
        struct lay_item *file = &k->items[i];
        if (!file->named && !file->folder) {
            file->done = shown_there(k, file);
            files[n] = file;
            n += !file->done;
        }
    }
    rc = files != NULL ? find_near(k, files, n) : rc;
    for (size_t i = 0; i < n && rc == 0; i++) {
        files[i]->done = files[i]->name == NULL && cis_lay_look_named(k, files[i]->ino) != NULL;
        left += files[i]->name == NULL && !files[i]->done;
    }
    rc = rc == 0 && left > 0 ? find_far(k, left) : rc;
    for (size_t i = 0; i < n && rc == 0; i++) {
        files[i]->done = files[i]->done || files[i]->name == NULL;
    }
    return rc;
}
