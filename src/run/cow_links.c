/* Symlinks that would lead out of the folder. One that the apply makes is checked by its text: it
 * may not climb above the folder, nor go up behind a name, which may be a symlink itself. Then all
 * symlinks are looked at as the apply leaves them, for what is not touched may lead elsewhere: one
 * below a folder that moves starts from another place, and the folders that it goes through may be
 * moved or replaced. The user's own that led out before are left alone, but where they move. */
#include <errno.h>
#include <fcntl.h>
#include "base/mem.h"
#include "run/cow_internal.h"

#define NAMES_MAX (1u << 30) /* bytes of the names of one folder */

/* By its text. Behind a name, which may be a symlink itself, nobody can tell where ".." leads. */
static bool climbs(size_t depth, struct cis_str target)
{
    struct cis_str rest = target, name;
    bool below = false;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &name);
        if (cis_str_is(name, "..")) {
            if (below || depth == 0) {
                return true;
            }
            depth--;
        } else if (name.len != 0 && !cis_str_is(name, ".")) {
            below = true;
        }
    }
    return target.len != 0 && target.ptr[0] == '/';
}

static bool climbs_out(struct cis_str path, struct cis_str target)
{
    size_t depth = 0;
    for (size_t i = 0; i < path.len; i++) {
        depth += path.ptr[i] == '/';
    }
    return climbs(depth, target);
}

/* Once of each path. */
static cis_code outward(struct cow_plan *p, struct cis_str path, struct cis_str target,
                        const char *how, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf why = CIS_BUF_INIT(CIS_VFS_PATH_MAX + 128u);
    if (cis_map_get(&p->told, path) != NULL) {
        return CIS_OK;
    }
    CIS_TRY(cis_map_set(&p->told, path, p, NULL, err));
    p->outward++;
    cis_buf_printf(&why, "a symlink that leads out of the folder%s, to " CIS_STR_FMT, how,
                   CIS_STR_ARG(target));
    if (p->how->conflict != NULL) {
        p->how->conflict(p->how->self, path, cis_buf_cstr(&why));
    }
    return CIS_OK;
}

cis_code cis_cow_links_made(struct cow_plan *p, const char *path, const char *target,
                            struct cis_error *err)
{
    return !p->how->outward && climbs_out(cis_str_of(path), cis_str_of(target))
               ? outward(p, cis_str_of(path), cis_str_of(target), "", err)
               : CIS_OK;
}

cis_code cis_cow_links_far(struct cow_plan *p, const char *path, size_t depth, const char *target,
                           struct cis_error *err)
{
    return !p->how->outward && climbs(depth, cis_str_of(target))
               ? outward(p, cis_str_of(path), cis_str_of(target), ", far down", err)
               : CIS_OK;
}

cis_code cis_cow_links_kept(struct cow_plan *p, const char *path, uint32_t mode,
                            struct cis_error *err)
{
    if (p->how->outward || (!S_ISLNK(mode) && !S_ISDIR(mode))) {
        return CIS_OK;
    }
    CIS_TRY(cis_map_set(&p->told, cis_str_of(path), p, NULL, err));
    p->outward++;
    if (p->how->conflict != NULL) {
        p->how->conflict(p->how->self, cis_str_of(path),
                         S_ISLNK(mode) ? "a symlink that stays, where the run has what is left out"
                                       : "a folder that stays, with the symlinks in it, where the "
                                         "run has what is left out");
    }
    return CIS_OK;
}

/* ---- the walk ---- */

/* A folder on the way to where we are, with the names of its folders and symlinks that are still to
 * be looked at: a letter, the name, and a NUL of each. */
struct level {
    cis_dir *dir;
    struct cis_buf names;
    size_t next, path; /* path: of the folder, bytes in walk.path */
    bool moved;        /* it, or one that it is in, is a folder that the apply moves */
};
struct walk {
    struct cow_plan *p;
    struct level *at;
    size_t n, cap;
    struct cis_buf path;
};

static void walk_done(struct walk *w)
{
    while (w->n > 0) {
        struct level *l = &w->at[--w->n];
        cis_dir_free(l->dir);
        cis_buf_done(&l->names);
    }
    cis_free(w->at);
    cis_buf_done(&w->path);
}

static bool take_name(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    struct cis_buf *names = self;
    (void)attr;
    if (cis_str_is(e->name, ".") || cis_str_is(e->name, "..") ||
        (e->type != S_IFDIR && e->type != S_IFLNK)) {
        return true;
    }
    cis_buf_byte(names, e->type == S_IFDIR ? 'd' : 'l');
    cis_buf_str(names, e->name);
    cis_buf_byte(names, 0);
    return names->failed == CIS_OK;
}

static cis_code list(struct walk *w, const cis_dir *dir, struct cis_buf *out, int *out_rc,
                     struct cis_error *err)
{
    const struct cis_vfs_call *call = &w->p->cow->call;
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    *out_rc =
        cis_at_open(dir, call, CIS_STR("."),
                    &(struct cis_open_how){COW_WALK, O_RDONLY | O_DIRECTORY, 0}, &file, &attr);
    if (*out_rc == 0) {
        *out_rc = cis_vfs_readdir(file, call, 0, false, take_name, out);
        cis_vfs_file_close(file);
    }
    return cis_buf_check(out, "names of a folder", err);
}

/* What cannot be looked at: of what the apply does not move it is the user's, and gone or closed to
 * the run as it is to us. */
static cis_code passed_over(struct walk *w, int rc, bool moved, struct cis_error *err)
{
    bool gone = cow_is_other(rc) || rc == ESTALE;
    if (!moved && (gone || rc == EACCES)) {
        return CIS_OK;
    }
    if (rc == ENFILE || rc == EMFILE) {
        return cis_fail(err, CIS_E_LIMIT,
                        "%.100s: folders are nested too deeply to check for symlinks that would "
                        "lead out; --outward-links applies without the check",
                        w->p->cow->folder);
    }
    return gone ? cis_fail(err, CIS_E_CONFLICT,
                           "%.140s: it was changed while cis compared it; nothing was done",
                           cis_buf_cstr(&w->path))
                : cis_cow_fail(w->p->cow, rc, cis_buf_cstr(&w->path), err);
}

/* The folder whose path is in w->path; takes over dir. */
static cis_code enter(struct walk *w, cis_dir *dir, bool moved, struct cis_error *err)
{
    struct level l = {.dir = dir,
                      .names = CIS_BUF_INIT(NAMES_MAX),
                      .path = w->path.len,
                      .moved = moved || cis_map_get(&w->p->to, cis_buf_view(&w->path)) != NULL};
    int rc = 0;
    if (w->n == w->cap) {
        size_t cap = cis_cap_next(w->cap, 32, CIS_MEM_MAX);
        struct level *more = cis_realloc_array(w->at, cap, sizeof *more);
        if (more == NULL) {
            cis_dir_free(dir);
            return cow_no_memory(err);
        }
        w->at = more;
        w->cap = cap;
    }
    cis_code code = list(w, dir, &l.names, &rc, err);
    if (code != CIS_OK || rc != 0) {
        cis_dir_free(dir);
        cis_buf_done(&l.names);
        return code != CIS_OK ? code : passed_over(w, rc, l.moved, err);
    }
    w->at[w->n++] = l;
    return CIS_OK;
}

/* Does the walk from a symlink leave the root? */
static bool walks_out(const struct cow_tree *tree, const struct cis_vfs_call *call,
                      const cis_dir *dir, struct cis_str name)
{
    struct cis_found found;
    int rc = cis_walk(dir, tree->root, call, name, 0, &found);
    if (rc == 0) {
        cis_found_done(&found);
    }
    return rc == EPERM;
}

/* The same symlink, which led out before. */
static bool was_so(struct walk *w, struct cis_str target)
{
    struct cis_str path = cis_buf_view(&w->path);
    const struct cow_tree *below = &w->p->cow->below;
    const struct cis_vfs_call *call = &w->p->cow->call;
    CIS_CLEANUP(cis_buf_done) struct cis_buf was = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    return cis_at_readlink(below->root, call, path, COW_WALK, &was) == 0 &&
           cis_str_eq(cis_buf_view(&was), target) && walks_out(below, call, below->root, path);
}

/* in: a copy, for the levels may move in memory. */
static cis_code look(struct walk *w, const struct level *in, struct cis_str name,
                     struct cis_error *err)
{
    struct cow_plan *p = w->p;
    const struct cow_tree *above = &p->cow->above;
    CIS_CLEANUP(cis_buf_done) struct cis_buf to = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    int rc = cis_at_readlink(in->dir, &p->cow->call, name, COW_WALK, &to);
    if (rc != 0) {
        return rc == EINVAL && !in->moved ? CIS_OK : passed_over(w, rc, in->moved, err);
    }
    struct cis_str path = cis_buf_view(&w->path), target = cis_buf_view(&to);
    if (in->moved && climbs_out(path, target)) {
        return outward(p, path, target, " from where it is moved to", err);
    }
    if (!walks_out(above, &p->cow->call, in->dir, name) || (!in->moved && was_so(w, target))) {
        return CIS_OK;
    }
    return outward(p, path, target, " by what it leads through", err);
}

static cis_code step(struct walk *w, struct cis_error *err)
{
    struct level in = w->at[w->n - 1];
    const char *entry = (const char *)in.names.ptr + in.next;
    struct cis_str name = cis_str_of(entry + 1);
    cis_dir *dir = NULL;
    w->at[w->n - 1].next += name.len + 2;
    w->path.len = in.path;
    if (in.path != 0) {
        cis_buf_byte(&w->path, '/');
    }
    cis_buf_str(&w->path, name);
    CIS_TRY(cis_buf_check(&w->path, "a path", err));
    CIS_TRY(cis_stop_check(&w->p->cow->stop, "apply", err));
    if (*entry == 'l') {
        return look(w, &in, name, err);
    }
    int rc = cis_at_dir(in.dir, &w->p->cow->call, name, COW_WALK, &dir);
    return rc == 0 ? enter(w, dir, in.moved, err) : passed_over(w, rc, in.moved, err);
}

/* Regular files alone lead nowhere else: a folder that comes where a symlink was, or nothing, may
 * make symlinks of the user's lead out. */
cis_code cis_cow_links_all(struct cow_plan *p, struct cis_error *err)
{
    CIS_CLEANUP(walk_done) struct walk w = {.p = p, .path = CIS_BUF_INIT(UINT32_MAX)};
    cis_dir *root = NULL;
    bool any = false;
    for (size_t i = 0; i < p->list.n && !any; i++) {
        any = p->list.at[i].what == 'R' || !S_ISREG(p->list.at[i].mode);
    }
    if (!any || p->how->outward) {
        return CIS_OK;
    }
    int rc = cis_at_dir(p->cow->above.root, &p->cow->call, CIS_STR("."), COW_WALK, &root);
    CIS_TRY(rc == 0 ? enter(&w, root, false, err) : cis_cow_fail(p->cow, rc, p->cow->folder, err));
    while (w.n > 0) {
        struct level *top = &w.at[w.n - 1];
        if (top->next < top->names.len) {
            CIS_TRY(step(&w, err));
        } else {
            cis_dir_free(top->dir);
            cis_buf_done(&top->names);
            w.n--;
        }
    }
    return CIS_OK;
}
