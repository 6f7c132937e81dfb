/* What the upper filesystem makes of the lower one: its entries, each compared with what it hides.
 * Folders wait in a stack of their own; paths are text, for every one of them is told. */
#include "vfs/union/changes.h"

#include "base/mem.h"

static void folder_done(struct changes *c, struct folder *f)
{
    part_put(c->u->up, f->upper);
    part_put(c->u->low, f->lower);
    cis_free(f->path);
    cis_free(f->lower_path);
}

void changes_entries_drop(struct changes *c)
{
    for (size_t i = 0; i < c->nentries; i++) {
        cis_free(c->entries[i].name);
    }
    c->nentries = 0;
}

void *changes_grown(void *list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return list;
    }
    size_t more = cis_cap_next(*cap, 64, CIS_MEM_MAX);
    void *new_list = cis_realloc_array(list, more, size);
    *cap = new_list != NULL ? more : *cap;
    return new_list;
}

/* Takes over the references and the lower path. */
static int push(struct changes *c, cis_node upper, cis_node lower, const char *path,
                char *lower_path, bool covers)
{
    struct folder *list = changes_grown(c->stack, c->n, &c->cap, sizeof *list);
    struct folder f = {upper, lower, cis_strdup(path), lower_path, covers};
    c->stack = list != NULL ? list : c->stack;
    if (list == NULL || f.path == NULL) {
        folder_done(c, &f);
        return ENOMEM;
    }
    c->stack[c->n++] = f;
    return 0;
}

static void tell(struct changes *c, char what, const char *path, const char *from,
                 const struct cis_vfs_attr *now, const struct cis_vfs_attr *was)
{
    struct cis_union_change change = {.what = what,
                                      .path = cis_str_of(path),
                                      .from = cis_str_of(from != NULL ? from : ""),
                                      .mode = now != NULL ? now->mode : was->mode,
                                      .size = now != NULL ? now->size : 0,
                                      .old_size = was != NULL ? was->size : 0};
    if (!c->stopped) {
        c->stopped = !c->each(c->self, &change);
    }
}

/* ---- one entry of an upper folder ---- */

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static int same_target(struct changes *c, cis_node upper, cis_node lower, bool *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    int no = c->u->up->ops->readlink(c->u->up, c->call, upper, &a);
    no = no == 0 ? c->u->low->ops->readlink(c->u->low, c->call, lower, &b) : no;
    *out = no == 0 && cis_str_eq(cis_buf_view(&a), cis_buf_view(&b));
    return no;
}

/* A copy that nobody wrote to has all of its original's attributes; and, since times are set as
 * anybody likes, its content. */
int changes_compare(struct changes *c, const char *path, cis_node upper,
                    const struct cis_vfs_attr *now, cis_node lower, const struct cis_vfs_attr *was)
{
    bool same = now->mode == was->mode;
    int no = 0;
    if (S_ISLNK(now->mode) && S_ISLNK(was->mode)) {
        no = same_target(c, upper, lower, &same);
    } else if (S_ISREG(now->mode)) {
        same = same && now->size == was->size && same_time(now->mtime, was->mtime);
        no = same ? seen_same(c->u, c->call, upper, now, lower, was, &same) : 0;
    }
    if (no == 0 && !same) {
        tell(c, 'M', path, NULL, now, was);
    }
    return no;
}

static int lower_walk(struct changes *c, struct cis_str path, cis_node *out)
{
    cis_vfs *low = c->u->low;
    cis_node at = low->root;
    struct cis_str rest = path, name;
    for (bool more = true; more;) {
        struct cis_vfs_attr attr;
        cis_node next = 0;
        more = cis_str_split(&rest, '/', &name);
        if (name.len == 0) {
            continue;
        }
        int no = low->ops->lookup(low, c->call, at, name, &next, &attr);
        part_put(low, at);
        if (no == 0 && !S_ISDIR(attr.mode)) {
            part_put(low, next);
            no = ENOTDIR;
        }
        if (no != 0) {
            return no;
        }
        at = next;
    }
    *out = at;
    return 0;
}

/* Which lower folder an upper one continues: NULL when none, or when it is not there any more. */
static int continued(struct changes *c, cis_node upper, cis_node *out_lower, char **out_path,
                     bool *out_marked)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    cis_vfs *up = c->u->up;
    cis_node mark = 0;
    struct cis_vfs_attr attr;
    *out_lower = 0;
    *out_path = NULL;
    int no = up->ops->lookup(up, c->call, upper, CIS_STR(UNION_MARK), &mark, &attr);
    *out_marked = no == 0;
    if (no != 0) {
        return no == ENOENT ? 0 : no;
    }
    no = up->ops->readlink(up, c->call, mark, &text);
    part_put(up, mark);
    if (no != 0) {
        return no;
    }
    no = lower_walk(c, cis_buf_view(&text), out_lower);
    if (no != 0) {
        *out_lower = 0;
        return no == ENOENT || no == ENOTDIR ? 0 : no;
    }
    *out_path = cis_strdup(cis_buf_cstr(&text));
    if (*out_path == NULL) {
        part_put(c->u->low, *out_lower);
        return ENOMEM;
    }
    return 0;
}

struct pair {
    cis_node upper, lower;
    struct cis_vfs_attr now, was; /* lower 0: none */
};

/* Which lower folder to changes_compare an upper one with, and how. A folder that was renamed, and
 * whose old place is gone while its new one is there, was renamed below as well. */
enum relation { ALONE, IN_PLACE, COVERING, RENAMED };

static enum relation relate(const char *lower_path, const char *here, const struct pair *p,
                            bool was_marked)
{
    bool there = p->lower != 0 && S_ISDIR(p->was.mode);
    if (lower_path != NULL) {
        return strcmp(lower_path, here) == 0 ? IN_PLACE : RENAMED;
    }
    return !there ? ALONE : was_marked ? IN_PLACE : COVERING;
}

/* Takes over p->upper; p->lower stays the caller's. */
static int folder_entry(struct changes *c, const struct folder *dir, const char *name,
                        const char *path, struct pair *p)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf here = CIS_BUF_INIT(CHANGES_PATH_BYTES);
    cis_node lower;
    char *lower_path;
    bool marked;
    int no = continued(c, p->upper, &lower, &lower_path, &marked);
    if (no != 0) {
        part_put(c->u->up, p->upper);
        return no;
    }
    if (dir->lower_path != NULL) {
        bool root = strcmp(dir->lower_path, "/") == 0;
        cis_buf_printf(&here, "%s/%s", root ? "" : dir->lower_path, name);
    }
    enum relation is = relate(lower_path, cis_buf_cstr(&here), p, marked);
    if ((is == IN_PLACE || is == COVERING) && lower_path == NULL) {
        lower_path = cis_strdup(cis_buf_cstr(&here));
        lower = p->lower;
        c->u->low->ops->ref(c->u->low, lower, 1);
        no = lower_path != NULL ? 0 : ENOMEM;
    }
    if (p->lower != 0 && (is == ALONE || is == RENAMED)) {
        tell(c, 'D', path, NULL, NULL, &p->was);
    }
    if (no == 0 && (is == IN_PLACE || is == COVERING)) {
        no = changes_compare(c, path, p->upper, &p->now, lower, &p->was);
    } else if (is == RENAMED) {
        tell(c, 'R', path, lower_path + 1, &p->now, NULL);
    } else if (is == ALONE) {
        tell(c, 'A', path, NULL, &p->now, NULL);
    }
    if (no != 0) {
        part_put(c->u->up, p->upper);
        part_put(c->u->low, lower);
        cis_free(lower_path);
        return no;
    }
    return push(c, p->upper, lower, path, lower_path, is == COVERING);
}

static int look_at(struct changes *c, const struct folder *dir, const struct entry *e)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(CHANGES_PATH_BYTES);
    struct cis_str name = cis_str_of(e->name);
    struct pair p = {0};
    cis_vfs *up = c->u->up, *low = c->u->low;
    cis_buf_printf(&path, "%s%s%s", dir->path, dir->path[0] != 0 ? "/" : "", e->name);
    int no = up->ops->lookup(up, c->call, dir->upper, name, &p.upper, &p.now);
    if (no == 0 && dir->lower != 0) {
        no = low->ops->lookup(low, c->call, dir->lower, name, &p.lower, &p.was);
        no = no == ENOENT ? 0 : no;
    }
    if (no == 0 && path.failed != CIS_OK) {
        no = ENOMEM;
    }
    if (no == 0 && S_ISDIR(p.now.mode)) {
        no = folder_entry(c, dir, e->name, cis_buf_cstr(&path), &p);
        p.upper = 0;
    } else if (no == 0 && is_whiteout(&p.now)) {
        if (p.lower != 0) {
            tell(c, 'D', cis_buf_cstr(&path), NULL, NULL, &p.was);
        }
    } else if (no == 0) {
        bool same_kind = p.lower != 0 && (p.now.mode & S_IFMT) == (p.was.mode & S_IFMT);
        if (p.lower != 0 && !same_kind) {
            tell(c, 'D', cis_buf_cstr(&path), NULL, NULL, &p.was);
        }
        if (same_kind) {
            no = changes_compare(c, cis_buf_cstr(&path), p.upper, &p.now, p.lower, &p.was);
        } else {
            tell(c, 'A', cis_buf_cstr(&path), NULL, &p.now, NULL);
        }
    }
    part_put(up, p.upper);
    part_put(low, p.lower);
    return no;
}

/* ---- folders ---- */

bool changes_gather(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    struct changes *c = self;
    (void)attr;
    if (cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..") || is_reserved(entry->name)) {
        return true;
    }
    struct entry *list = changes_grown(c->entries, c->nentries, &c->entries_cap, sizeof *list);
    char *name = cis_strndup(entry->name.ptr, entry->name.len);
    c->entries = list != NULL ? list : c->entries;
    if (list == NULL || name == NULL) {
        cis_free(name);
        c->no = ENOMEM;
        return false;
    }
    c->entries[c->nentries++] = (struct entry){name, entry->type};
    return true;
}

/* What a folder covers: lower names that the upper one does not have. */
static int covered_look(struct changes *c, const struct folder *dir)
{
    cis_vfs *low = c->u->low, *up = c->u->up;
    c->no = 0;
    int no = part_list(low, c->call, dir->lower, changes_gather, c);
    no = no != 0 ? no : c->no;
    for (size_t i = 0; i < c->nentries && no == 0 && !c->stopped; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(CHANGES_PATH_BYTES);
        struct cis_str name = cis_str_of(c->entries[i].name);
        struct cis_vfs_attr attr;
        cis_node node = 0;
        no = up->ops->lookup(up, c->call, dir->upper, name, &node, &attr);
        part_put(up, no == 0 ? node : 0);
        if (no != ENOENT) {
            continue;
        }
        no = low->ops->lookup(low, c->call, dir->lower, name, &node, &attr);
        if (no == 0) {
            part_put(low, node);
            cis_buf_printf(&path, "%s%s%s", dir->path, dir->path[0] != 0 ? "/" : "", name.ptr);
            tell(c, 'D', cis_buf_cstr(&path), NULL, NULL, &attr);
        }
        no = no == ENOENT ? 0 : no;
    }
    changes_entries_drop(c);
    return no;
}

static int folder_look(struct changes *c, const struct folder *dir)
{
    c->no = 0;
    int no = part_list(c->u->up, c->call, dir->upper, changes_gather, c);
    no = no != 0 ? no : c->no;
    for (size_t i = 0; i < c->nentries && no == 0 && !c->stopped; i++) {
        no = look_at(c, dir, &c->entries[i]);
    }
    changes_entries_drop(c);
    return no == 0 && dir->covers && !c->stopped ? covered_look(c, dir) : no;
}

static bool any_copy(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    bool *any = self;
    (void)attr;
    *any = *any || (entry->name.len != 0 && entry->name.ptr[0] == 'f');
    return !*any;
}

int cis_union_changes(cis_vfs *vfs, const struct cis_vfs_call *call, cis_union_change_each *each,
                      void *self)
{
    struct unionfs *u = union_of(vfs);
    struct changes c = {.u = u, .call = call, .each = each, .self = self};
    int no = 0;
    pthread_rwlock_rdlock(&u->names);
    if (u->root.upper != 0) {
        char *root = cis_strdup("/");
        no = root != NULL ? push(&c, u->up->root, u->low->root, "", root, false) : ENOMEM;
    }
    while (no == 0 && c.n > 0 && !c.stopped) {
        struct folder f = c.stack[--c.n];
        no = folder_look(&c, &f);
        folder_done(&c, &f);
    }
    bool copies = false;
    if (no == 0 && u->home != 0 && !c.stopped) {
        no = part_list(u->up, call, u->home, any_copy, &copies);
    }
    if (no == 0 && copies) {
        no = changes_linked(&c);
    }
    pthread_rwlock_unlock(&u->names);
    while (c.n > 0) {
        folder_done(&c, &c.stack[--c.n]);
    }
    cis_free(c.stack);
    cis_free(c.entries);
    return no;
}
