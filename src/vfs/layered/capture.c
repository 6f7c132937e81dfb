/* What a commit is made of: copied from the overlay at one moment. The overlay itself stays as it
 * is and goes on; when the commit has succeeded, what did not change since is the base's now and
 * goes (settle); when it has failed there is nothing to undo (thaw). */
#include "vfs/layered/view.h"

#include <stdlib.h>
#include "base/clock.h"

struct counts {
    size_t names, text, nodes, files, stills, changes, bases, nows;
};

static bool writes_row(const struct lay_node *node)
{
    return !S_ISDIR(node->now.mode) && !node->gone && (node->is_new || node->row);
}

static size_t changes_of(const struct lay_node *node)
{
    if (node->gone) {
        return !node->is_new && !node->gone_committed;
    }
    return writes_row(node)           ? 1
           : !S_ISDIR(node->now.mode) ? 0
           : node->is_new             ? 1
                                      : (size_t)node->dirattr + node->moved;
}

static void count(const struct lay_view *v, struct counts *c)
{
    *c = (struct counts){0};
    lay_table_each(&v->nodes, s)
    {
        const struct lay_node *node = s->value;
        size_t changes = changes_of(node);
        c->nodes++;
        c->changes += changes;
        c->nows += changes == 0 && !node->gone;
        if (writes_row(node)) {
            c->files++;
            c->bases += !node->is_new;
            c->stills += node->blocks.count + (node->is_new ? 0 : 1);
        }
        for (const struct lay_name *n = node->names; n != NULL; n = n->next) {
            c->names++;
            c->text += n->len;
        }
    }
}

/* All of it, and the list of nodes that is had while they are captured. */
static uint64_t bytes_of(const struct lay_captured *f, const struct counts *c)
{
    return c->names * (sizeof *f->dirents + sizeof *f->names) + c->text +
           c->changes * sizeof *f->changes +
           c->nodes * (sizeof *f->deltas + sizeof *f->nodes + sizeof(struct lay_node *)) +
           c->files * (sizeof *f->captured_files + sizeof(struct lay_blob *)) +
           c->stills * sizeof *f->stills + (c->bases + c->nows) * sizeof *f->bases;
}

static bool room(struct lay_captured *f, const struct counts *c)
{
    f->dirents = cis_calloc(cis_size_add(c->names, 1), sizeof *f->dirents);
    f->names = cis_calloc(cis_size_add(c->names, 1), sizeof *f->names);
    f->text = cis_alloc(cis_size_add(c->text, 1));
    f->changes = cis_calloc(cis_size_add(c->changes, 1), sizeof *f->changes);
    f->deltas = cis_calloc(cis_size_add(c->nodes, 1), sizeof *f->deltas);
    f->nodes = cis_calloc(cis_size_add(c->nodes, 1), sizeof *f->nodes);
    f->captured_files = cis_calloc(cis_size_add(c->files, 1), sizeof *f->captured_files);
    f->inlines = cis_calloc(cis_size_add(c->files, 1), sizeof(struct lay_blob *));
    f->stills = cis_calloc(cis_size_add(c->stills, 1), sizeof *f->stills);
    f->bases = cis_calloc(cis_size_add(c->bases, 1), sizeof *f->bases);
    f->nows = cis_calloc(cis_size_add(c->nows, 1), sizeof *f->nows);
    return f->dirents != NULL && f->names != NULL && f->text != NULL && f->changes != NULL &&
           f->deltas != NULL && f->nodes != NULL && f->captured_files != NULL &&
           f->inlines != NULL && f->stills != NULL && f->bases != NULL && f->nows != NULL;
}

int cis_lay_captured_charge(struct lay_captured *f, const struct cis_vfs_call *call, uint64_t bytes)
{
    return cis_lay_errno(cis_budget_charge(&f->budget, bytes, "commit of files", lay_err(call)));
}

void cis_lay_captured_done(struct lay_captured *f)
{
    for (size_t i = 0; i < f->nstills; i++) {
        cis_lay_buf_unref(f->stills[i].buf);
    }
    for (size_t i = 0; i < f->nfiles; i++) {
        cis_free(f->captured_files[i].target);
        cis_lay_blob_unref(f->inlines[i]);
    }
    cis_lay_load_free(f->v, f->filling);
    cis_lay_load_free(f->v, f->packing);
    cis_free(f->dirents);
    cis_free(f->names);
    cis_free(f->text);
    cis_free(f->changes);
    cis_free(f->deltas);
    cis_free(f->nodes);
    cis_free(f->captured_files);
    cis_free((void *)f->inlines);
    cis_free(f->stills);
    cis_free(f->making);
    cis_free(f->extents);
    cis_free(f->bases);
    cis_free(f->nows);
    cis_free(f->chunks);
}

static int by_name(const void *a, const void *b)
{
    const struct cis_fs_dirent *x = a, *y = b;
    if (x->parent != y->parent) {
        return x->parent < y->parent ? -1 : 1;
    }
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.ptr, y->name.ptr, n);
    return order != 0 ? order : x->name.len < y->name.len ? -1 : x->name.len > y->name.len;
}

static int by_block(const void *a, const void *b)
{
    const struct lay_still *x = a, *y = b;
    return x->block < y->block ? -1 : x->block > y->block;
}

static int by_ino(const void *a, const void *b)
{
    const struct lay_node *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* ---- capture ---- */
static void capture_names(struct lay_captured *f, struct lay_node *dir, size_t *text)
{
    for (struct lay_name *n = dir->names; n != NULL; n = n->next) {
        char *copy = f->text + *text;
        memcpy(copy, n->name, n->len);
        *text += n->len;
        n->held = true;
        f->names[f->ndirents] = (struct lay_captured_name){n->hash, n->ino, n->type};
        f->dirents[f->ndirents++] = (struct cis_fs_dirent){.parent = n->parent,
                                                           .ino = n->ino,
                                                           .mode = n->ino != 0 ? n->type : 0,
                                                           .name = {copy, n->len}};
    }
}

static void add_change(struct lay_captured *f, const struct lay_node *node,
                       enum cis_fs_inode_kind kind)
{
    f->changes[f->nchanges++] = (struct cis_fs_change){
        .kind = kind, .is_new = node->is_new && kind == CIS_FS_PUT, .inode = node->now};
}

static void capture_dir(struct lay_captured *f, const struct lay_node *node)
{
    if (node->is_new) {
        add_change(f, node, CIS_FS_PUT);
        return;
    }
    if (node->dirattr) {
        add_change(f, node, CIS_FS_DIRATTR);
    }
    if (node->moved) {
        add_change(f, node, CIS_FS_MOVED);
    }
    if (node->touched) {
        f->deltas[f->ndeltas++] =
            (struct cis_fs_delta){node->ino, node->dlinks, node->now.mtime, node->now.ctime};
    }
}

/* A piece of the base that the overlay has no block for but that has to be written again. */
static void still_of_base(struct lay_captured *f, const struct lay_node *node, uint64_t block)
{
    uint64_t start = block * CIS_FS_BLOCK;
    if (start >= node->keep || cis_lay_block_find(node, block) != NULL) {
        return;
    }
    f->stills[f->nstills++] = (struct lay_still){
        .ino = node->ino,
        .block = block,
        .under = lay_min32(node->keep - start, CIS_FS_BLOCK),
        .from_base = true,
        .base = lay_base_of(&node->base),
        .len = lay_min32(node->now.size - start, CIS_FS_BLOCK),
    };
}

static bool capture_file(struct lay_captured *f, struct lay_node *node)
{
    struct lay_captured_file *file = &f->captured_files[f->nfiles++];
    bool cut = !node->is_new && node->keep < node->base.size;
    *file = (struct lay_captured_file){
        .change = f->nchanges,
        .keep = node->keep,
        .base = node->is_new ? &f->changes[f->nchanges].inode : &f->bases[f->nbases],
        .is_new = node->is_new,
        .content = S_ISREG(node->now.mode) && (node->is_new || node->now.size != node->base.size ||
                                               cut || node->blocks.count > 0),
        .first = f->nstills,
    };
    if (!node->is_new) {
        f->bases[f->nbases++] = node->base;
    }
    add_change(f, node, CIS_FS_PUT);
    if (node->target != NULL) {
        file->target = cis_strdup(node->target);
        return file->target != NULL;
    }
    if (!file->content) {
        return true;
    }
    lay_table_each(&node->blocks, s)
    {
        const struct lay_block *b = s->value;
        if (b->block * CIS_FS_BLOCK < node->now.size) {
            f->stills[f->nstills++] = cis_lay_still(b);
        }
    }
    bool becomes_inline = node->now.size <= CIS_FS_INLINE_MAX;
    if (!node->is_new && (node->base.is_inline || becomes_inline)) {
        still_of_base(f, node, 0);
    } else if (cut && node->keep % CIS_FS_BLOCK != 0) {
        still_of_base(f, node, node->keep / CIS_FS_BLOCK);
    }
    file->n = f->nstills - file->first;
    qsort(f->stills + file->first, file->n, sizeof *f->stills, by_block);
    return true;
}

/* Under all stripes. */
static bool capture_all(struct lay_captured *f, struct lay_node **order, size_t n)
{
    size_t text = 0;
    for (size_t i = 0; i < n; i++) {
        struct lay_node *node = order[i];
        node->held = true;
        node->cut = UINT64_MAX;
        struct lay_captured_node *captured = &f->nodes[f->nnodes++];
        *captured =
            (struct lay_captured_node){node->ino, node->gen, node->dlinks, node->gone, NULL};
        if (changes_of(node) != 0) {
            captured->now = &f->changes[f->nchanges].inode;
        } else if (!node->gone) {
            f->nows[f->nnows] = node->now;
            captured->now = &f->nows[f->nnows++];
        }
        capture_names(f, node, &text);
        if (node->gone) {
            if (!node->is_new && !node->gone_committed) {
                add_change(f, node, CIS_FS_GONE);
            }
        } else if (S_ISDIR(node->now.mode)) {
            capture_dir(f, node);
        } else if (writes_row(node) && !capture_file(f, node)) {
            return false;
        }
    }
    return true;
}

static int stopped(const struct cis_vfs_call *call)
{
    const struct cis_stop *stop = lay_stop(call);
    return stop != NULL ? cis_lay_errno(cis_stop_check(stop, "commit", lay_err(call))) : 0;
}

int cis_lay_capture(struct lay_view *v, const struct cis_vfs_call *call, struct lay_captured *out)
{
    struct counts c;
    *out = (struct lay_captured){.v = v};
    int rc = stopped(call);
    if (rc != 0) {
        return rc;
    }
    cis_lay_lock_all(v);
    out->budget.limit = v->budget == &v->own_budget ? UINT64_MAX : v->budget->limit;
    out->rows.limit = out->budget.limit;
    count(v, &c);
    rc = cis_lay_captured_charge(out, call, bytes_of(out, &c));
    struct lay_node **order =
        rc == 0 ? cis_calloc(cis_size_add(c.nodes, 1), sizeof(struct lay_node *)) : NULL;
    bool good = order != NULL && room(out, &c);
    if (good) {
        size_t n = 0;
        lay_table_each(&v->nodes, s)
        {
            order[n++] = s->value;
        }
        qsort((void *)order, n, sizeof(struct lay_node *), by_ino);
        rc = stopped(call);
        good = rc == 0;
    }
    if (good) {
        out->base = v->at;
        out->files = v->files;
        out->bytes = v->bytes;
        good = capture_all(out, order, c.nodes);
    }
    cis_free((void *)order);
    cis_lay_unlock_all(v);
    rc = good ? stopped(call) : rc;
    if (!good || rc != 0) {
        cis_lay_thaw(out);
        cis_lay_captured_done(out);
        return rc != 0 ? rc : cis_lay_fail(call, ENOMEM, "commit: out of memory");
    }
    qsort(out->dirents, out->ndirents, sizeof *out->dirents, by_name);
    return 0;
}

/* ---- afterwards ---- */
static void let_go_names(struct lay_view *v, const struct lay_captured *f, bool committed)
{
    for (size_t i = 0; i < f->ndirents; i++) {
        struct lay_name *n = cis_lay_name_find(v, f->names[i].hash);
        struct lay_node *dir = n != NULL ? cis_lay_table_get(&v->nodes, n->parent) : NULL;
        if (n == NULL || dir == NULL) {
            continue;
        }
        n->held = false;
        if (committed) {
            dir->ngone -= n->ino == 0 && n->base_ino != 0;
            n->base_ino = f->names[i].ino;
            n->base_type = f->names[i].type;
            dir->ngone += n->ino == 0 && n->base_ino != 0;
        }
        cis_lay_name_settle(v, dir, n);
    }
}

void cis_lay_thaw(struct lay_captured *f)
{
    struct lay_view *v = f->v;
    cis_lay_lock_all(v);
    let_go_names(v, f, false);
    for (size_t i = 0; i < f->nnodes; i++) {
        struct lay_node *node = cis_lay_table_get(&v->nodes, f->nodes[i].ino);
        if (node == NULL) {
            continue;
        }
        node->held = false;
        if (node->gone) {
            cis_lay_node_reap(v, node);
        } else if (cis_lay_node_clean(node)) {
            cis_lay_node_drop(v, node);
        }
    }
    cis_lay_unlock_all(v);
}

static const struct cis_fs_inode *row_of(const struct lay_captured *f, uint64_t ino)
{
    size_t low = 0, high = f->nchanges;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (f->changes[mid].inode.ino < ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < f->nchanges && f->changes[low].inode.ino == ino ? &f->changes[low].inode : NULL;
}

/* A node that changed after it was captured: what was captured is its base now. */
static void rebase(struct lay_captured *f, struct lay_node *node,
                   const struct lay_captured_node *was, uint64_t epoch)
    CIS_REQUIRES(lay_lock_stripes)
{
    const struct cis_fs_inode *row = row_of(f, node->ino);
    node->is_new = false;
    node->base = row != NULL ? *row : *was->now;
    node->base.data = (struct cis_bytes){NULL, 0};
    node->base.epoch = epoch;
    node->now.stored = node->base.stored;
    node->dlinks -= was->dlinks;
    node->moved = S_ISDIR(node->now.mode) && node->now.parent != was->now->parent;
    uint64_t size = S_ISREG(node->now.mode) ? was->now->size : 0;
    node->keep = size < node->cut ? size : node->cut;
    cis_lay_quota_cut(f->v, node);
    f->v->targets -= node->target != NULL ? strlen(node->target) : 0;
    cis_free(cis_take(&node->target));
}

static void drop_blocks(struct lay_captured *f) CIS_REQUIRES(lay_lock_stripes)
{
    struct lay_view *v = f->v;
    for (size_t i = 0; i < f->nstills; i++) {
        const struct lay_still *s = &f->stills[i];
        struct lay_node *node = cis_lay_table_get(&v->nodes, s->ino);
        struct lay_block *b = node != NULL ? cis_lay_block_find(node, s->block) : NULL;
        if (b != NULL && b->gen == s->gen) {
            cis_lay_block_drop(v, b);
        }
    }
}

static void settle_node(struct lay_captured *f, const struct lay_captured_node *was, uint64_t epoch)
    CIS_REQUIRES(lay_lock_stripes)
{
    struct lay_view *v = f->v;
    struct lay_node *node = cis_lay_table_get(&v->nodes, was->ino);
    if (node == NULL) {
        return;
    }
    bool same = node->gen == was->gen;
    node->held = false;
    if (was->gone) {
        if (!node->is_new && !node->gone_committed) {
            node->gone_committed = true;
            node->held_at = f->base;
        }
        cis_lay_node_reap(v, node);
    } else if (same && node->names == NULL) {
        cis_lay_node_drop(v, node);
    } else {
        rebase(f, node, was, epoch);
        if (node->gone) {
            cis_lay_node_reap(v, node);
        }
    }
}

void cis_lay_settle(struct lay_captured *f, struct lay_branch_cache *line,
                    const struct cis_fs_committed *done)
{
    struct lay_view *v = f->v;
    cis_lay_lock_all(v);
    v->at = done->view;
    v->line = line;
    v->base_files = done->files;
    v->base_bytes = done->bytes;
    v->files -= f->files;
    v->bytes -= f->bytes;
    v->moves++;
    atomic_store(&v->opened_ns, cis_clock_mono_ns());
    let_go_names(v, f, true);
    drop_blocks(f);
    for (size_t i = 0; i < f->nnodes; i++) {
        settle_node(f, &f->nodes[i], done->view.epoch);
    }
    cis_lay_unlock_all(v);
}
