#include "history/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include "history/internal.h"
#include "vfs/way.h"

struct item {
    struct cis_str name;
    struct cis_vfs_attr attr;
};
struct level {
    cis_node mark; /* of some levels: the node, held to be compared with (in_circle) */
    struct cis_vfs_attr attr;
    struct {
        struct item *at;
        size_t n, cap;
        struct cis_bound *bound;
    } items;
    size_t next, path_len, name_at; /* of its own path */
    bool last;
    struct arena names;
};
struct walk {
    cis_vfs *vfs;
    const struct cis_vfs_call *call;
    unsigned flags;
    cis_tree_visit *visit;
    void *self;
    struct {
        struct level *at;
        size_t n, cap;
        struct cis_bound *bound;
    } levels;
    struct cis_way way;  /* the same directories: few of them are held (vfs/way.h) */
    struct cis_map seen; /* numbers of directories that were visited; cis_vfs.dirs_once */
    struct cis_buf path;
    struct cis_error *err;
};

struct reading {
    struct level *level;
    struct walk *w;
    uint64_t cookie;
    bool any;
    cis_code code;
};

/* The root of a filesystem needs no references. */
static void ref(const struct walk *w, cis_node node)
{
    if (node != w->vfs->root) {
        cis_vfs_ref(w->vfs, node, 1);
    }
}

static void put(const struct walk *w, cis_node node)
{
    if (node != 0 && node != w->vfs->root) {
        cis_vfs_forget(w->vfs, node, 1);
    }
}

static bool take(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    struct reading *r = self;
    r->any = true;
    r->cookie = entry->cookie;
    if (cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..")) {
        return true;
    }
    struct item *item = vec_add(&r->level->items);
    if (item == NULL) {
        r->code = cis_history_nomem(r->w->err);
        return false;
    }
    *item = (struct item){.attr = attr != NULL ? *attr : (struct cis_vfs_attr){0}};
    if (attr == NULL) {
        item->attr.mode = entry->type;
        item->attr.ino = entry->ino;
    }
    r->code = cis_arena_str(&r->level->names, entry->name, &item->name, r->w->err);
    return r->code == CIS_OK;
}

static int item_cmp(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return cis_str_cmp(x->name, y->name);
}

cis_code cis_tree_fail(const struct cis_vfs_call *call, int rc, const char *what,
                       struct cis_str path, struct cis_error *err)
{
    const struct cis_error *deep = call->err;
    size_t from = path.len > 70 ? path.len - 70 : 0; /* the reason has to fit behind it */
    struct cis_str end = {path.ptr + from, path.len - from};
    bool denied = rc == EPERM && deep != NULL && deep->code == CIS_E_DENIED;
    if (denied || (rc == EIO && deep != NULL && deep->code != CIS_OK)) {
        return cis_fail(err, deep->code, "%s%.*s%s: %s", from != 0 ? "..." : "", CIS_STR_ARG(end),
                        what, deep->msg);
    }
    return cis_vfs_fail(err, rc, "%s%.*s%s", from != 0 ? "..." : "", CIS_STR_ARG(end), what);
}

static cis_code failed(struct walk *w, int rc)
{
    return cis_tree_fail(w->call, rc, "", cis_buf_view(&w->path), w->err);
}

static cis_code tell(struct walk *w, cis_node node, const struct cis_vfs_attr *attr, size_t name_at,
                     bool after, bool last, cis_node dir, int rc, bool *descend)
{
    struct cis_str path = cis_buf_view(&w->path);
    struct cis_tree_entry e = {.vfs = w->vfs,
                               .dir = dir,
                               .node = node,
                               .name = {path.ptr + name_at, path.len - name_at},
                               .path = path,
                               .attr = attr,
                               .depth = (unsigned)w->levels.n - (after ? 1 : 0),
                               .after = after,
                               .last = last,
                               .rc = rc};
    return w->visit(w->self, &e, descend, w->err);
}

/* It, or what is in it, cannot be read. */
static cis_code tell_failure(struct walk *w, const struct level *level, cis_node dir, cis_node node,
                             int rc)
{
    bool ignored;
    return tell(w, node, &level->attr, level->name_at, false, level->last, dir, rc, &ignored);
}

static cis_code read_level(struct walk *w, struct level *level, cis_node dir, cis_node node)
{
    cis_vfs_file *file = NULL;
    struct reading r = {.level = level, .w = w};
    int rc = cis_vfs_open(w->vfs, w->call, node, O_RDONLY | O_DIRECTORY, &file);
    while (rc == 0 && r.code == CIS_OK) {
        r.any = false;
        rc = cis_vfs_readdir(file, w->call, r.cookie, true, take, &r);
        if (!r.any) {
            break;
        }
    }
    if (file != NULL) {
        cis_vfs_release(file);
    }
    if (rc != 0 && r.code == CIS_OK && (w->flags & CIS_TREE_FAILURES) != 0) {
        level->items.n = 0;
        return tell_failure(w, level, dir, node, rc);
    }
    if (rc != 0) {
        return failed(w, rc);
    }
    if (level->items.n > 1) {
        qsort(level->items.at, level->items.n, sizeof *level->items.at, item_cmp);
    }
    return r.code;
}

static void level_done(struct walk *w, struct level *level)
{
    put(w, level->mark);
    vec_done(&level->items);
    cis_arena_done(&level->names);
}

static bool is_mark(size_t depth)
{
    return (depth & (depth - 1)) == 0;
}

/* Is the directory on the way to itself? Compared with one directory of the way, at a depth that is
 * a power of two: on a circle the walk comes back to one of them, and a deep tree costs one
 * comparison a directory. */
static bool in_circle(const struct walk *w, cis_node node)
{
    size_t mark = 1;
    while (mark <= w->levels.n / 2) {
        mark *= 2;
    }
    return w->levels.n != 0 && w->levels.at[mark - 1].mark == node;
}

/* Was the directory visited before? A commit refuses to make a tree with such a one; rows of a
 * damaged store or of a backup may be one, and a walk of it would never end, or visit 2^n
 * directories where there are n. */
static cis_code visited(struct walk *w, cis_node node, const struct cis_vfs_attr *attr, bool *out)
{
    static char mark;
    if (!w->vfs->dirs_once) {
        *out = in_circle(w, node);
        return CIS_OK;
    }
    *out = cis_ids_get(&w->seen, attr->ino) != NULL;
    return *out ? CIS_OK : cis_ids_set(&w->seen, attr->ino, &mark, NULL, w->err);
}

/* A walk that tells failures goes on behind it. */
static cis_code again(struct walk *w, const struct level *level, cis_node dir, cis_node node)
{
    static const char what[] = "the directory has two names or is inside itself (run cis fs fsck)";
    if ((w->flags & CIS_TREE_FAILURES) != 0) {
        if (w->call->err != NULL) {
            cis_fail(w->call->err, CIS_E_DAMAGED, "%s", what);
        }
        return tell_failure(w, level, dir, node, EIO);
    }
    struct cis_str path = cis_buf_view(&w->path);
    size_t len = path.len > 70 ? 70 : path.len;
    return cis_fail(w->err, CIS_E_DAMAGED, "%.*s: %s", (int)len, path.ptr + path.len - len, what);
}

/* The last one of the way. Takes over the reference, also when it fails. */
static cis_code go_into(struct walk *w, cis_node node, const struct cis_vfs_attr *attr,
                        size_t name_at, bool last, struct level **out)
{
    struct cis_str path = cis_buf_view(&w->path);
    struct level *level = vec_add(&w->levels);
    if (level == NULL) {
        put(w, node);
        return cis_history_nomem(w->err);
    }
    *level =
        (struct level){.attr = *attr, .path_len = w->path.len, .name_at = name_at, .last = last};
    if (is_mark(w->levels.n)) {
        ref(w, node);
        level->mark = node;
    }
    *out = level;
    int rc = cis_way_push(&w->way, node, (struct cis_str){path.ptr + name_at, path.len - name_at},
                          attr, false);
    return rc == 0 ? CIS_OK : cis_history_nomem(w->err);
}

/* Visits node and goes into it when it is a directory. The reference is the level's from here. */
static cis_code enter(struct walk *w, cis_node dir, cis_node node, const struct cis_vfs_attr *attr,
                      size_t name_at, bool last)
{
    bool descend = true;
    struct level *level = NULL;
    bool met = false;
    cis_code code = tell(w, node, attr, name_at, false, last, dir, 0, &descend);
    bool into = code == CIS_OK && descend && is_dir(attr->mode);
    code = into ? visited(w, node, attr, &met) : code;
    if (!into || code != CIS_OK) {
        put(w, node);
        return code;
    }
    CIS_TRY(go_into(w, node, attr, name_at, last, &level));
    return met ? again(w, level, dir, node) : read_level(w, level, dir, node);
}

static int look_up(const struct walk *w, cis_node dir, struct item *item, cis_node *out)
{
    *out = 0;
    if (!is_dir(item->attr.mode) && (w->flags & CIS_TREE_NODES) == 0) {
        return 0;
    }
    return cis_vfs_lookup(w->vfs, w->call, dir, item->name, out, &item->attr);
}

/* A directory behind what is in it. Where it is not found again, for it was moved meanwhile, a walk
 * that tells failures has told so, and says that it is done. */
static cis_code tell_after(struct walk *w, const struct level *level)
{
    cis_node node = 0, dir = 0;
    bool descend = true;
    int rc = cis_way_here(&w->way, w->call, &node);
    if (rc == 0) {
        ref(w, node);
    }
    cis_way_pop(&w->way);
    if (rc == 0 && w->way.n != 0) {
        rc = cis_way_here(&w->way, w->call, &dir);
    }
    cis_code code =
        rc == 0 || (w->flags & CIS_TREE_FAILURES) != 0
            ? tell(w, node, &level->attr, level->name_at, true, level->last, dir, 0, &descend)
            : failed(w, rc);
    put(w, node);
    return code;
}

static cis_code leave(struct walk *w)
{
    struct level *level = &w->levels.at[w->levels.n - 1];
    cis_code code = CIS_OK;
    if ((w->flags & CIS_TREE_AFTER) != 0) {
        w->path.len = level->path_len;
        code = tell_after(w, level);
    } else {
        cis_way_pop(&w->way);
    }
    struct level done = *level;
    w->levels.n--;
    level_done(w, &done);
    return code;
}

static cis_code next(struct walk *w)
{
    struct level *level = &w->levels.at[w->levels.n - 1];
    if (level->next == level->items.n) {
        return leave(w);
    }
    cis_node node, dir;
    w->path.len = level->path_len;
    int rc = cis_way_here(&w->way, w->call, &dir);
    if (rc != 0 && (w->flags & CIS_TREE_FAILURES) != 0) {
        level->next = level->items.n;
        return tell_failure(w, level, 0, 0, rc);
    }
    if (rc != 0) {
        return failed(w, rc);
    }
    struct item *item = &level->items.at[level->next++];
    bool last = level->next == level->items.n;
    if (w->path.len == 0 || w->path.ptr[w->path.len - 1] != '/') {
        cis_buf_byte(&w->path, '/');
    }
    size_t name_at = w->path.len;
    cis_buf_str(&w->path, item->name);
    CIS_TRY(cis_buf_check(&w->path, "path", w->err));
    CIS_TRY(cis_stop_check(w->call->stop, "walk", w->err));
    rc = look_up(w, dir, item, &node);
    struct cis_vfs_attr attr = item->attr;
    if (rc != 0 && (w->flags & CIS_TREE_FAILURES) != 0) {
        bool ignored;
        return tell(w, 0, &attr, name_at, false, last, dir, rc, &ignored);
    }
    if (rc != 0) {
        return failed(w, rc);
    }
    return enter(w, dir, node, &attr, name_at, last);
}

cis_code cis_tree_walk(cis_vfs *vfs, cis_node node, const struct cis_vfs_attr *attr,
                       struct cis_str path, unsigned flags, const struct cis_vfs_call *call,
                       cis_tree_visit *visit, void *self, struct cis_error *err)
{
    struct walk w = {.vfs = vfs,
                     .call = call,
                     .flags = flags,
                     .visit = visit,
                     .self = self,
                     .seen = CIS_MAP_INIT,
                     .path = CIS_BUF_INIT(64u << 20),
                     .err = err};
    cis_way_init(&w.way, vfs);
    cis_buf_str(&w.path, path);
    ref(&w, node); /* the first one is the caller's */
    cis_code code = enter(&w, 0, node, attr, 0, true);
    while (code == CIS_OK && w.levels.n != 0) {
        code = next(&w);
    }
    while (w.levels.n != 0) {
        struct level done = w.levels.at[--w.levels.n];
        level_done(&w, &done);
    }
    cis_way_done(&w.way);
    vec_done(&w.levels);
    cis_map_done(&w.seen, NULL);
    cis_buf_done(&w.path);
    return code;
}
