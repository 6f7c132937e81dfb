/* What the upper filesystem makes of the lower one: its entries, each compared with what it hides,
 * in the order of their paths. The tree is looked through twice. The first time finds the lower
 * folders that have another place now: what has their old place is compared with nothing, for what
 * was there went away with them. */
#include "vfs/union/changes.h"

#include "base/mem.h"

#define MOVED_COST 64u /* of an entry of the map, beside its text */

/* ---- telling ---- */
static void tell(struct changes *c, char what, struct cis_str from, const struct cis_vfs_attr *now,
                 const struct cis_vfs_attr *was)
{
    struct cis_union_change change = {.what = what,
                                      .path = cis_buf_view(&c->path),
                                      .whole = cis_buf_view(&c->path),
                                      .from = from,
                                      .target = cis_buf_view(&c->target),
                                      .mode = now != NULL ? now->mode : was->mode,
                                      .size = now != NULL ? now->size : 0,
                                      .old_size = was != NULL ? was->size : 0};
    if (change.path.len > CIS_UNION_PATH_MAX) { /* its end, from where a name begins */
        change.cut = true;
        change.path.ptr += change.path.len - CIS_UNION_PATH_MAX;
        change.path.len = CIS_UNION_PATH_MAX;
        const char *slash = memchr(change.path.ptr, '/', change.path.len);
        size_t skip = slash != NULL ? (size_t)(slash + 1 - change.path.ptr) : 0;
        change.path.ptr += skip;
        change.path.len -= skip;
    }
    if (what == 'D' || !S_ISLNK(change.mode)) {
        change.target = CIS_STR("");
    }
    if (!c->stopped && !c->only_moved) {
        c->stopped = !c->each(c->self, &change);
    }
}

static int target_read(struct changes *c, cis_node upper, const struct cis_vfs_attr *now)
{
    cis_buf_reset(&c->target);
    return S_ISLNK(now->mode) ? cis_vfs_readlink(c->u->up, c->call, upper, &c->target) : 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static int same_target(struct changes *c, cis_node upper, cis_node lower, bool *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    int rc = cis_vfs_readlink(c->u->up, c->call, upper, &a);
    rc = rc == 0 ? cis_vfs_readlink(c->u->low, c->call, lower, &b) : rc;
    *out = rc == 0 && cis_str_eq(cis_buf_view(&a), cis_buf_view(&b));
    return rc;
}

/* A copy that nobody wrote to has all of its original's attributes; and, since times are set as
 * anybody likes, its content. */
int cis_union_changes_compare(struct changes *c, cis_node upper, const struct cis_vfs_attr *now,
                              cis_node lower, const struct cis_vfs_attr *was)
{
    bool same = now->mode == was->mode;
    int rc = 0;
    if (c->only_moved) {
        return 0;
    }
    if (S_ISLNK(now->mode) && S_ISLNK(was->mode)) {
        rc = same_target(c, upper, lower, &same);
    } else if (S_ISREG(now->mode)) {
        same = same && now->size == was->size && same_time(now->mtime, was->mtime);
        rc = same ? cis_union_seen_same(c->u, c->call, upper, now, lower, was, &same) : 0;
    }
    rc = rc == 0 && !same ? target_read(c, upper, now) : rc;
    if (rc == 0 && !same) {
        tell(c, 'M', CIS_STR(""), now, was);
    }
    return rc;
}

/* ---- frames ---- */
/* What a folder continues. */
struct low {
    cis_node node; /* 0: nothing */
    struct cis_vfs_attr attr;
    size_t at;   /* where its path begins in c->low */
    bool covers; /* nothing of it shows through, so what it has is gone */
    bool apart;  /* it is not in what the folder around continues */
};

static void frame_done(struct changes *c, struct frame *f)
{
    part_put(c->u->up, f->upper);
    if (f->lower) {
        cis_way_pop(&c->lows);
    }
    cis_union_changes_names_done(c, &f->names);
}

/* Takes over the node. */
static int enter_low(struct changes *c, const struct low *low, struct cis_str name)
{
    size_t before = cis_way_bytes(&c->lows);
    int rc = cis_way_push(&c->lows, low->node, name, &low->attr, low->apart);
    uint64_t grown = rc == 0 ? cis_way_bytes(&c->lows) - before : 0;
    if (rc == 0 && cis_union_changes_charge(c, grown) != 0) {
        cis_way_pop(&c->lows);
        return ENOMEM; /* what it grew by is freed with all of it */
    }
    c->charged += grown;
    return rc;
}

/* Takes over the nodes. */
static int push(struct changes *c, cis_node upper, const struct low *low, struct cis_str name)
{
    struct frame f = {
        .upper = upper, .path = c->path.len, .low_at = low->at, .low_end = c->low.len};
    int rc = low->node != 0 ? enter_low(c, low, name) : 0;
    f.lower = low->node != 0 && rc == 0;
    struct frame *list =
        rc == 0 ? cis_union_changes_grown(c, c->stack, c->n, &c->cap, sizeof *list, &c->charged)
                : NULL;
    c->stack = list != NULL ? list : c->stack;
    rc = list != NULL ? cis_union_changes_names(
                            c, upper, low->covers && !c->only_moved ? low->node : 0, &f.names)
                      : ENOMEM;
    if (rc != 0) {
        frame_done(c, &f);
        return rc;
    }
    c->stack[c->n++] = f;
    return 0;
}

/* ---- folders ---- */
struct pair {
    cis_node upper, lower; /* of this name in both; 0: not there */
    struct cis_vfs_attr now, was;
    bool moved; /* the lower one is a folder that has another place now */
};

static int note_moved(struct changes *c, struct cis_str lower)
{
    struct cis_error ignored;
    if (cis_union_changes_charge(c, MOVED_COST + lower.len) != 0) {
        return ENOMEM;
    }
    c->charged += MOVED_COST + lower.len;
    return cis_map_set(&c->moved, lower, c, NULL, &ignored) == CIS_OK ? 0 : ENOMEM;
}

enum relation { ALONE, IN_PLACE, COVERING, RENAMED };

/* near: what the folder around it continues has under its name; then it was not renamed. */
static int relate(struct changes *c, struct cis_str near, const struct pair *p, struct mark *mark,
                  enum relation *out, struct low *moved, struct cis_str *out_from)
{
    bool there = p->lower != 0 && S_ISDIR(p->was.mode) && !p->moved;
    *out = !there ? ALONE : mark->path.len != 0 ? IN_PLACE : COVERING;
    if (mark->path.len == 0 || (p->lower != 0 && cis_str_eq(mark->path, near))) {
        return 0;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf here = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    if (c->path.len + 1 < here.max) {
        cis_buf_byte(&here, '/');
        cis_buf_str(&here, cis_buf_view(&c->path));
    }
    int rc = here.failed != CIS_OK
                 ? ENOMEM
                 : cis_union_mark_follow(c->u, c->call, mark, near, cis_buf_view(&here),
                                         &moved->node, out_from);
    if (rc != 0) {
        return rc == ENOENT ? 0 : rc;
    }
    if (cis_str_eq(*out_from, near) || cis_str_eq(*out_from, cis_buf_view(&here))) {
        part_put(c->u->low, moved->node); /* renamed below as well */
        moved->node = 0;
        return 0;
    }
    *out = RENAMED;
    moved->apart = true;
    return cis_vfs_getattr(c->u->low, c->call, moved->node, &moved->attr);
}

/* c->low becomes the path of a name in what `in` continues; "" when it continues nothing. */
static int enter_lower(struct changes *c, const struct frame *in, struct cis_str name)
{
    size_t before = c->low.cap;
    c->low.len = in->low_end;
    cis_buf_byte(&c->low, '/');
    cis_buf_str(&c->low, name);
    return cis_union_changes_grew(c, &c->low, before, &c->charged);
}

static int folder_below(struct changes *c, const struct frame *in, struct cis_str name,
                        struct pair *p, struct low *out)
{
    CIS_CLEANUP(cis_union_mark_done) struct mark mark = MARK_INIT;
    enum relation is = ALONE;
    struct cis_str from = CIS_STR("");
    int rc = enter_lower(c, in, name);
    rc = rc == 0 ? cis_union_mark_read(c->u, c->call, p->upper, &mark) : rc;
    if (rc == 0) {
        struct cis_str all = cis_buf_view(&c->low);
        struct cis_str near = {all.ptr + in->low_at, in->lower ? all.len - in->low_at : 0};
        p->moved = p->lower != 0 && c->moved.live != 0 && cis_map_get(&c->moved, near) != NULL;
        rc = relate(c, near, p, &mark, &is, out, &from);
    }
    if (rc != 0) {
        return rc;
    }
    if (p->lower != 0 && (is == ALONE || is == RENAMED)) {
        tell(c, 'D', CIS_STR(""), NULL, &p->was);
    }
    out->covers = is == COVERING;
    out->at = in->low_at;
    if (is == ALONE) {
        tell(c, 'A', CIS_STR(""), &p->now, NULL);
    } else if (is == RENAMED) {
        size_t before = c->low.cap;
        tell(c, 'R', (struct cis_str){from.ptr + 1, from.len - 1}, &p->now, NULL);
        rc = c->only_moved ? note_moved(c, from) : 0;
        out->at = c->low.len = in->low_end;
        cis_buf_str(&c->low, from);
        rc = rc == 0 ? cis_union_changes_grew(c, &c->low, before, &c->charged) : rc;
    } else {
        rc = cis_union_changes_compare(c, p->upper, &p->now, p->lower, &p->was);
        out->node = p->lower;
        out->attr = p->was;
        p->lower = 0;
    }
    return rc;
}

/* Takes over the nodes of the pair. c->path is the folder's. */
static int folder_entry(struct changes *c, const struct frame *in, struct cis_str name,
                        struct pair *p)
{
    struct low low = {0};
    int rc = folder_below(c, in, name, p, &low);
    part_put(c->u->low, p->lower);
    if (rc != 0) {
        part_put(c->u->up, p->upper);
        part_put(c->u->low, low.node);
        return rc;
    }
    return push(c, p->upper, &low, name);
}

/* ---- other entries ---- */
static int file_entry(struct changes *c, const struct pair *p)
{
    bool same_kind = p->lower != 0 && (p->now.mode & S_IFMT) == (p->was.mode & S_IFMT);
    if (is_whiteout(&p->now) || !same_kind) {
        if (p->lower != 0) {
            tell(c, 'D', CIS_STR(""), NULL, &p->was);
        }
        int rc = !is_whiteout(&p->now) ? target_read(c, p->upper, &p->now) : 0;
        if (rc == 0 && !is_whiteout(&p->now)) {
            tell(c, 'A', CIS_STR(""), &p->now, NULL);
        }
        return rc;
    }
    return cis_union_changes_compare(c, p->upper, &p->now, p->lower, &p->was);
}

/* The next name of the innermost folder; a folder becomes the innermost one. */
static int look_at(struct changes *c)
{
    struct frame *in = &c->stack[c->n - 1];
    size_t i = in->names.next++;
    struct cis_str name = name_of(&in->names, i);
    struct pair p = {0};
    cis_vfs *up = c->u->up, *low = c->u->low;
    int rc = cis_union_changes_enter(c, in->path, name);
    if (rc == 0 && !in->names.list[i].lower) {
        rc = cis_vfs_lookup(up, c->call, in->upper, name, &p.upper, &p.now);
    }
    if (rc == 0 && in->lower) {
        cis_node here = 0;
        rc = cis_way_here(&c->lows, c->call, &here);
        rc = rc == 0 ? cis_vfs_lookup(low, c->call, here, name, &p.lower, &p.was) : rc;
        rc = rc == ENOENT ? 0 : rc;
    }
    if (rc == 0 && p.upper != 0 && S_ISDIR(p.now.mode)) {
        struct frame parent = *in; /* the stack may move */
        return folder_entry(c, &parent, name, &p);
    }
    if (rc == 0 && p.upper != 0) {
        rc = file_entry(c, &p);
    } else if (rc == 0 && p.lower != 0) { /* covered */
        tell(c, 'D', CIS_STR(""), NULL, &p.was);
    }
    part_put(up, p.upper);
    part_put(low, p.lower);
    return rc;
}

static bool any_copy(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    bool *any = self;
    (void)attr;
    *any = *any || (entry->name.len != 0 && entry->name.ptr[0] == 'f');
    return !*any;
}

static int look_through(struct changes *c)
{
    struct unionfs *u = c->u;
    struct low root = {.node = u->low->root};
    int rc = cis_vfs_getattr(u->low, c->call, root.node, &root.attr);
    rc = rc == 0 && u->root.upper != 0 ? push(c, u->up->root, &root, CIS_STR("")) : rc;
    while (rc == 0 && c->n > 0 && !c->stopped) {
        struct frame *top = &c->stack[c->n - 1];
        if (top->names.next < top->names.n) {
            rc = look_at(c);
            rc = rc != 0 ? rc : cis_union_changes_turn(c);
        } else {
            frame_done(c, top);
            c->n--;
        }
    }
    return rc;
}

static int look_twice(struct changes *c)
{
    struct unionfs *u = c->u;
    bool copies = false;
    c->only_moved = true;
    int rc = look_through(c);
    c->only_moved = false;
    c->path.len = c->low.len = 0;
    rc = rc == 0 ? look_through(c) : rc;
    if (rc == 0 && u->home != 0 && !c->stopped) {
        rc = cis_union_part_list(u->up, c->call, u->home, any_copy, &copies);
    }
    return rc == 0 && copies ? cis_union_changes_linked(c) : rc;
}

int cis_union_changes(cis_vfs *vfs, const struct cis_vfs_call *call, cis_union_change_each *each,
                      void *self)
{
    struct unionfs *u = union_of(vfs);
    struct changes c = {.u = u,
                        .call = call,
                        .each = each,
                        .self = self,
                        .path = CIS_BUF_INIT(UINT32_MAX),
                        .low = CIS_BUF_INIT(UINT32_MAX),
                        .target = CIS_BUF_INIT(CIS_VFS_PATH_MAX),
                        .moved = CIS_MAP_INIT};
    cis_way_init(&c.lows, u->low);
    cis_rwlock_read(&u->names, union_lock_names);
    int rc = look_twice(&c);
    cis_rwlock_unlock(&u->names, union_lock_names);
    while (c.n > 0) {
        frame_done(&c, &c.stack[--c.n]);
    }
    cis_free(c.stack);
    cis_way_done(&c.lows);
    cis_buf_done(&c.path);
    cis_buf_done(&c.low);
    cis_buf_done(&c.target);
    cis_map_done(&c.moved, NULL);
    cis_union_changes_release(&c, c.charged);
    return rc;
}
