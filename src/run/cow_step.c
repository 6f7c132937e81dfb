/* One step in a folder: what comes is made beside, put there in one go, and what was there is
 * looked at once more before it goes. Somebody else may change any name at any time; what is found
 * not to be what the step begins from goes back where it was. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/mem.h"
#include "run/cow_internal.h"
#include "vfs/hostdir/hostdir.h"

cis_code cis_cow_errno(int rc, const struct cis_error *why, const char *path, struct cis_error *err)
{
    if (rc == EIO && why != NULL && why->code != CIS_OK) {
        return cis_fail(err, why->code, "%.120s: %s", path, why->msg);
    }
    return cis_vfs_fail(err, rc, "%.160s", path);
}

/* ---- lists ---- */

void cis_cow_steps_done(struct cow_steps *steps)
{
    for (size_t i = 0; i < steps->n; i++) {
        cis_free(steps->at[i].path);
        cis_free(steps->at[i].to);
        cis_free(steps->at[i].lower);
        cis_free(steps->at[i].kept);
    }
    cis_free(steps->at);
    *steps = (struct cow_steps){0};
}

struct cow_step *cis_cow_steps_add(struct cow_steps *steps, enum cow_op op, const char *path,
                                   const char *to, const char *lower)
{
    if (steps->n == steps->cap) {
        size_t cap = cis_cap_next(steps->cap, 64, CIS_MEM_MAX);
        struct cow_step *more = cis_realloc_array(steps->at, cap, sizeof *more);
        if (more == NULL) {
            return NULL;
        }
        steps->at = more;
        steps->cap = cap;
    }
    struct cow_step *s = &steps->at[steps->n];
    *s = (struct cow_step){.op = op,
                           .path = cis_strdup(path),
                           .to = to != NULL ? cis_strdup(to) : NULL,
                           .lower = lower != NULL ? cis_strdup(lower) : NULL};
    steps->n++;
    bool whole =
        s->path != NULL && (to == NULL || s->to != NULL) && (lower == NULL || s->lower != NULL);
    return whole ? s : NULL;
}

bool cis_cow_steps_move(const struct cow_steps *steps)
{
    for (size_t i = 0; i < steps->n; i++) {
        if (steps->at[i].op == COW_RENAME) {
            return true;
        }
    }
    return false;
}

/* ---- what is there ---- */

bool cis_cow_state_same(const struct cow_state *a, const struct cow_state *b)
{
    if (a->mode != b->mode || S_ISDIR(a->mode) || a->mode == 0) {
        return a->mode == b->mode;
    }
    return a->size == b->size && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

static int read_leaf(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                     struct cow_state *out)
{
    if (S_ISLNK(out->mode)) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
        int rc = cis_cow_readlink(tree, call, path, &target);
        cis_sha256(cis_buf_bytes(&target), out->digest);
        return rc;
    }
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    int rc = cis_cow_tree_file(tree, call, path, O_RDONLY, &file, &attr);
    if (rc == 0) {
        out->mode = attr.mode;
        out->size = attr.size;
        rc = cis_digest_file(file, call, attr.size, out->digest);
        cis_vfs_file_close(file);
    }
    return rc;
}

static int state_once(const struct cow_tree *tree, const struct cis_vfs_call *call,
                      const char *path, struct cow_state *state, bool *out_other)
{
    struct cis_vfs_attr attr;
    *state = (struct cow_state){0};
    *out_other = false;
    int rc = cis_cow_stat(tree, call, path, &attr);
    if (rc != 0) {
        return rc == ENOENT || rc == ENOTDIR ? 0 : rc;
    }
    state->mode = attr.mode;
    state->size = S_ISDIR(attr.mode) ? 0 : attr.size;
    state->several = S_ISREG(attr.mode) && attr.nlink > 1;
    cis_union_key(&attr, state->key);
    if (S_ISREG(attr.mode) || S_ISLNK(attr.mode)) {
        rc = read_leaf(tree, call, path, state);
        *out_other = cow_is_other(rc);
    }
    return rc;
}

int cis_cow_state_read(const struct cow_tree *tree, const struct cis_vfs_call *call,
                       const char *path, struct cow_state *out)
{
    enum { AGAIN = 16 }; /* who changes the name all the time is told of the last time */
    struct cow_state state;
    bool other = true;
    int rc = 0;
    for (int i = 0; other && i < AGAIN; i++) {
        rc = state_once(tree, call, path, &state, &other);
    }
    if (rc == 0) {
        *out = state;
    }
    return rc;
}

/* ---- the folder ---- */

cis_code cis_cow_work_open(struct cow_work *work, const char *folder,
                           const struct cis_vfs_call *call, const struct cis_error *why,
                           struct cis_error *err)
{
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    o.exact = true;
    *work = (struct cow_work){.call = call, .why = why, .folder = folder, .linked = CIS_MAP_INIT};
    CIS_TRY(cis_hostdir_open(folder, &o, &work->vfs, err));
    return cis_cow_tree_open(&work->to, work->vfs, call, err);
}

cis_code cis_cow_hold(const char *folder, int *out_fd, struct cis_error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return cis_fail(err, CIS_E_CONFLICT,
                        "%.140s: another apply or undo is changing this folder: try again when it "
                        "has ended; nothing was done",
                        folder);
    }
    *out_fd = fd;
    return CIS_OK;
}

void cis_cow_hold_end(const int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

void cis_cow_work_done(struct cow_work *work)
{
    cis_cow_tree_close(&work->to);
    cis_vfs_close(cis_take(&work->vfs));
    cis_map_done(&work->linked, cis_free);
}

static cis_code meanwhile(const char *path, const char *what, struct cis_error *err)
{
    return cis_fail(err, CIS_E_CONFLICT, "%.140s: %s meanwhile", path, what);
}

static cis_code fail(const struct cow_work *w, int rc, const char *path, struct cis_error *err)
{
    return rc == ENOENT || rc == ENOTDIR
               ? meanwhile(path, "it or its folder was moved or removed", err)
               : cis_cow_errno(rc, w->why, path, err);
}

static int move(const struct cow_work *w, const char *from, const char *to, unsigned flags)
{
    return cis_at_rename(w->to.root, cis_str_of(from), w->to.root, cis_str_of(to), w->call,
                         COW_WALK, flags);
}

int cis_cow_work_move(const struct cow_work *w, const char *from, const char *to, unsigned flags)
{
    return move(w, from, to, flags);
}

/* A file to a name that nothing has; hosts without RENAME_NOREPLACE have link(2). */
static int place(const struct cow_work *w, const char *from, const char *to)
{
    int rc = move(w, from, to, RENAME_NOREPLACE);
    if (rc != EINVAL) {
        return rc;
    }
    rc = cis_at_link(w->to.root, cis_str_of(from), w->to.root, cis_str_of(to), w->call, COW_WALK);
    return rc == 0 ? cis_at_unlink(w->to.root, w->call, cis_str_of(from), COW_WALK) : rc;
}

int cis_cow_work_place(const struct cow_work *w, const char *from, const char *to)
{
    return place(w, from, to);
}

/* Is this, under a name of ours, what the step begins from, and will stay so? */
static int check(const struct cow_work *w, const char *name, const struct cow_state *before,
                 bool *out)
{
    struct cow_state now;
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    *out = true;
    int rc = S_ISREG(before->mode)
                 ? cis_at_open(w->to.root, w->call, cis_str_of(name),
                               &(struct cis_open_how){COW_WALK, O_RDONLY, 0}, &file, &attr)
                 : 0;
    if (rc == ELOOP || rc == EISDIR) {
        *out = false; /* something else by now */
        return 0;
    }
    *out = rc == 0 && (file == NULL || cis_hostdir_quiet(file));
    cis_vfs_file_close(file);
    rc = rc == 0 && *out ? cis_cow_state_read(&w->to, w->call, name, &now) : rc;
    *out = rc == 0 && *out && cis_cow_state_same(&now, before);
    return rc;
}

/* A look beforehand, without reading: what would have to go back is better not moved at all, for
 * who reads the name in between is shown what is not to stay. */
static cis_code glance(const struct cow_work *w, const char *path, const struct cow_state *before,
                       struct cis_error *err)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    int rc = cis_at_stat(w->to.root, w->call, cis_str_of(path), COW_WALK, &attr);
    if (rc == ENOENT || rc == ENOTDIR) {
        return meanwhile(path, "removed", err);
    }
    bool same = rc == 0 && attr.mode == before->mode && attr.size == before->size;
    if (same && S_ISREG(attr.mode)) {
        rc = cis_at_open(w->to.root, w->call, cis_str_of(path),
                         &(struct cis_open_how){COW_WALK, O_RDONLY, 0}, &file, &attr);
        same = rc == 0 && cis_hostdir_quiet(file);
        cis_vfs_file_close(file);
        rc = cow_is_other(rc) ? 0 : rc;
    }
    return rc != 0 ? fail(w, rc, path, err) : same ? CIS_OK : meanwhile(path, "changed", err);
}

/* ---- files and symlinks ---- */

struct made {
    uint64_t ino;
    char path[];
};

/* The name at which a file of several names was made before, while it is still that one. */
static const char *made_before(struct cow_work *w, const char *key, struct cis_vfs_attr *out)
{
    const struct made *m = cis_map_get(&w->linked, cis_str_of(key));
    return m != NULL && cis_at_stat(w->to.root, w->call, cis_str_of(m->path), COW_WALK, out) == 0 &&
                   out->ino == m->ino
               ? m->path
               : NULL;
}

static int note_made(struct cow_work *w, const char *key, const char *path, uint64_t ino)
{
    struct cis_error ignored;
    size_t len = cis_size_add(strlen(path), 1);
    struct made *m = cis_alloc(cis_size_add(sizeof *m, len));
    void *old = NULL;
    if (m == NULL) {
        return ENOMEM;
    }
    m->ino = ino;
    memcpy(m->path, path, len);
    if (cis_map_set(&w->linked, cis_str_of(key), m, &old, &ignored) != CIS_OK) {
        cis_free(m);
        return ENOMEM;
    }
    cis_free(old);
    return 0;
}

static void drop(const struct cow_work *w, const char *name)
{
    (void)cis_at_unlink(w->to.root, w->call, cis_str_of(name), COW_WALK);
}

/* What comes, under COW_NEW. Files of the source that are one become one here: by what they were
 * when it was looked at, for the source may show the folder, which changes with every step. */
static int make_new(struct cow_work *w, const char *from, const char *path,
                    const struct cow_state *after, uint64_t *out_ino)
{
    struct cis_vfs_attr made;
    uint8_t digest[CIS_DIGEST_BYTES];
    const char *other = after->several ? made_before(w, after->key, &made) : NULL;
    if (other != NULL && cis_at_link(w->to.root, cis_str_of(other), w->to.root, CIS_STR(COW_NEW),
                                     w->call, COW_WALK) == 0) {
        *out_ino = made.ino;
        return 0;
    }
    int rc = cis_cow_copy(w->source, from, &w->to, COW_NEW, after->mode, w->call, digest);
    if (rc == 0 && memcmp(digest, after->digest, sizeof digest) != 0) {
        drop(w, COW_NEW);
        return ESTALE;
    }
    rc = rc == 0 ? cis_at_stat(w->to.root, w->call, CIS_STR(COW_NEW), COW_WALK, &made) : rc;
    *out_ino = made.ino;
    return rc == 0 && after->several ? note_made(w, after->key, path, made.ino) : rc;
}

cis_code cis_cow_work_tidy(struct cow_work *w, const struct cow_steps *steps, struct cis_error *err)
{
    static const char *const names[] = {COW_NEW, COW_OLD};
    struct cow_state now;
    for (size_t k = 0; k < 2; k++) {
        bool ours = false, stays = false;
        if (cis_cow_state_read(&w->to, w->call, names[k], &now) != 0 ||
            (!S_ISREG(now.mode) && !S_ISLNK(now.mode))) {
            continue;
        }
        for (size_t i = 0; i < steps->n && !ours; i++) {
            const struct cow_step *s = &steps->at[i];
            ours = (s->kept != NULL && cis_cow_state_same(&s->before, &now)) ||
                   (s->op == COW_LEAF && cis_cow_state_same(&s->after, &now));
        }
        ours = ours && check(w, names[k], &now, &stays) == 0 && stays; /* nobody writes to it */
        int rc = ours ? cis_at_unlink(w->to.root, w->call, cis_str_of(names[k]), COW_WALK) : 0;
        if (rc != 0 && rc != ENOENT) {
            return fail(w, rc, names[k], err);
        }
    }
    return CIS_OK;
}

/* What was taken away and is not what it should be goes back; when its place is taken again, beside
 * it, where its owner finds it. */
static cis_code give_back(const struct cow_work *w, const char *name, const char *path,
                          const char *what, struct cis_error *err)
{
    if (place(w, name, path) == 0) {
        return meanwhile(path, what, err);
    }
    for (unsigned n = 1; n < 1000; n++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf saved = CIS_BUF_INIT(CIS_VFS_PATH_MAX + 32u);
        cis_buf_printf(&saved, "%s.cis-saved-%u", path, n);
        if (place(w, name, cis_buf_cstr(&saved)) == 0) {
            return cis_fail(
                err, CIS_E_CONFLICT,
                "%.140s: it was changed twice meanwhile; what was there before is now %s beside it",
                path, strrchr(cis_buf_cstr(&saved), '.'));
        }
    }
    return cis_fail(err, CIS_E_CONFLICT,
                    "%.140s: it was changed twice meanwhile; what was there before is now %s", path,
                    name);
}

/* What is at path waits under `name`, and is what the step begins from. */
static cis_code set_aside(struct cow_work *w, const char *path, const char *name,
                          const struct cow_state *before, struct cis_error *err)
{
    bool same = false;
    int rc = place(w, path, name);
    if (rc == ENOENT || rc == ENOTDIR) {
        return meanwhile(path, "removed", err);
    }
    if (rc != 0) {
        return fail(w, rc, path, err);
    }
    rc = check(w, name, before, &same);
    if (rc != 0 || !same) {
        cis_code code = give_back(w, name, path, "changed", err);
        return rc != 0 ? fail(w, rc, path, err) : code;
    }
    return CIS_OK;
}

static cis_code take_away(struct cow_work *w, const char *path, const struct cow_state *before,
                          struct cis_error *err)
{
    const char *name = COW_OLD;
    if (strcmp(path, COW_OLD) == 0 || strcmp(path, COW_NEW) == 0) {
        bool same = false; /* it is aside, and the other one may be there as well */
        int rc = check(w, path, before, &same);
        if (rc != 0 || !same) {
            return rc != 0 && rc != ENOENT ? fail(w, rc, path, err)
                                           : meanwhile(path, "changed or removed", err);
        }
        name = path;
    } else {
        CIS_TRY(set_aside(w, path, name, before, err));
    }
    int rc = cis_at_unlink(w->to.root, w->call, cis_str_of(name), COW_WALK);
    return rc == 0 ? CIS_OK : fail(w, rc, path, err);
}

/* A host without RENAME_EXCHANGE: not in one go. What was at path is kept until what comes stands
 * there, and goes back when that cannot be. */
static cis_code replace(struct cow_work *w, const char *path, const struct cow_state *before,
                        struct cis_error *err)
{
    cis_code code = set_aside(w, path, COW_OLD, before, err);
    if (code != CIS_OK) {
        drop(w, COW_NEW);
        return code;
    }
    int rc = place(w, COW_NEW, path);
    if (rc == 0) {
        rc = cis_at_unlink(w->to.root, w->call, CIS_STR(COW_OLD), COW_WALK);
        return rc == 0 ? CIS_OK : fail(w, rc, path, err);
    }
    drop(w, COW_NEW);
    if (rc == EEXIST) {
        return give_back(w, COW_OLD, path, "made again", err);
    }
    int back = place(w, COW_OLD, path);
    return back == 0        ? fail(w, rc, path, err)
           : back == EEXIST ? give_back(w, COW_OLD, path, "made again", err)
                            : cis_fail(err, CIS_E_CONFLICT,
                                       "%.140s: %s; what was there before is now %s in the folder: "
                                       "move it back by hand",
                                       path, strerrordesc_np(rc), COW_OLD);
}

/* COW_NEW has what was at path, which is not what it should be. Exchanged again. What comes out may
 * be theirs by then: a file that replaced ours is the one to stay, and ours is kept beside when
 * somebody wrote to it. */
static cis_code exchange_back(const struct cow_work *w, const char *path, uint64_t ino,
                              const struct cow_state *after, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    bool ours = false;
    int rc = move(w, COW_NEW, path, RENAME_EXCHANGE);
    if (rc == ENOENT) { /* they removed what we had put there */
        return give_back(w, COW_NEW, path, "changed", err);
    }
    rc = rc == 0 ? cis_at_stat(w->to.root, w->call, CIS_STR(COW_NEW), COW_WALK, &attr) : rc;
    if (rc == 0 && attr.ino == ino) {
        if (check(w, COW_NEW, after, &ours) != 0 || !ours) {
            return give_back(w, COW_NEW, path, "changed", err);
        }
        drop(w, COW_NEW);
        return meanwhile(path, "changed", err);
    }
    if (rc == 0 && move(w, COW_NEW, path, RENAME_EXCHANGE) == 0) {
        return give_back(w, COW_NEW, path, "changed", err);
    }
    return cis_fail(
        err, CIS_E_CONFLICT,
        "%.140s: it was changed meanwhile; what was there before is now %s in the folder", path,
        COW_NEW);
}

/* COW_NEW is at its place, COW_NEW has what was there. */
static cis_code exchange(struct cow_work *w, const char *path, const struct cow_state *before,
                         const struct cow_state *after, uint64_t ino, struct cis_error *err)
{
    bool same = false;
    int rc = move(w, COW_NEW, path, RENAME_EXCHANGE);
    if (rc == EINVAL) {
        return replace(w, path, before, err);
    }
    if (rc != 0) {
        drop(w, COW_NEW);
        return rc == ENOENT || rc == ENOTDIR ? meanwhile(path, "removed", err)
                                             : fail(w, rc, path, err);
    }
    rc = check(w, COW_NEW, before, &same);
    if (rc != 0 || !same) {
        cis_code code = exchange_back(w, path, ino, after, err);
        return rc != 0 ? fail(w, rc, path, err) : code;
    }
    rc = cis_at_unlink(w->to.root, w->call, CIS_STR(COW_NEW), COW_WALK);
    return rc == 0 ? CIS_OK : fail(w, rc, path, err);
}

/* What the folder's file has beside its content goes over to the one that takes its place. */
static int keep_extras(const struct cow_work *w, const char *path, const struct cow_state *before,
                       const struct cow_state *after)
{
    cis_vfs_file *old = NULL, *new = NULL;
    struct cis_vfs_attr attr;
    if (!S_ISREG(before->mode) || !S_ISREG(after->mode)) {
        return 0;
    }
    int rc = cis_at_open(w->to.root, w->call, cis_str_of(path),
                         &(struct cis_open_how){COW_WALK, O_RDONLY, 0}, &old, &attr);
    rc = rc == 0 ? cis_at_open(w->to.root, w->call, CIS_STR(COW_NEW),
                               &(struct cis_open_how){COW_WALK, O_RDONLY, 0}, &new, &attr)
                 : rc;
    rc = rc == 0 ? cis_hostdir_extras_copy(old, new) : rc;
    if (rc == 0 && before->mode != after->mode) { /* an access list has permissions of its own */
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = after->mode & 07777};
        rc = cis_file_set(new, w->call, &set, NULL);
    }
    cis_vfs_file_close(old);
    cis_vfs_file_close(new);
    return rc;
}

static cis_code leaf(struct cow_work *w, const char *path, const char *from,
                     const struct cow_state *before, const struct cow_state *after,
                     struct cis_error *err)
{
    uint64_t ino = 0;
    if (before->mode != 0) {
        CIS_TRY(glance(w, path, before, err));
    }
    if (after->mode == 0) {
        return take_away(w, path, before, err);
    }
    int rc = make_new(w, from, path, after, &ino);
    if (rc != 0) {
        return rc == ESTALE ? meanwhile(path, "what it would become was changed", err)
                            : fail(w, rc, path, err);
    }
    rc = keep_extras(w, path, before, after);
    if (rc != 0) {
        drop(w, COW_NEW);
        return cow_is_other(rc) ? meanwhile(path, "changed", err) : fail(w, rc, path, err);
    }
    if (before->mode != 0) {
        return exchange(w, path, before, after, ino, err);
    }
    rc = place(w, COW_NEW, path);
    if (rc != 0) {
        drop(w, COW_NEW);
        return rc == EEXIST ? meanwhile(path, "made in the folder", err) : fail(w, rc, path, err);
    }
    return CIS_OK;
}

/* ---- folders ---- */

static cis_code folder(struct cow_work *w, const char *path, const struct cow_state *before,
                       const struct cow_state *after, struct cis_error *err)
{
    int rc = 0;
    if (after->mode == 0) {
        rc = cis_at_rmdir(w->to.root, w->call, cis_str_of(path), COW_WALK);
        return rc == 0 ? CIS_OK
               : rc == ENOTEMPTY || rc == EEXIST
                   ? meanwhile(path, "a name was made in the folder", err)
               : rc == ENOENT || rc == ENOTDIR ? meanwhile(path, "removed", err)
                                               : fail(w, rc, path, err);
    }
    if (before->mode == 0) {
        struct cis_vfs_make make = {.mode = S_IFDIR | (after->mode & 07777)};
        rc = cis_at_make(w->to.root, w->call, cis_str_of(path), COW_WALK, &make);
        if (rc == EEXIST) {
            return meanwhile(path, "made in the folder", err);
        }
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = after->mode & 07777};
    rc = rc == 0 ? cis_at_set(w->to.root, w->call, cis_str_of(path), COW_WALK, &set) : rc;
    return rc == 0            ? CIS_OK
           : cow_is_other(rc) ? meanwhile(path, "changed", err)
                              : fail(w, rc, path, err);
}

static cis_code rename_folder(struct cow_work *w, const char *path, const char *to,
                              const struct cow_state *before, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    char key[CIS_UNION_KEY];
    int rc = cis_at_stat(w->to.root, w->call, cis_str_of(path), COW_WALK, &attr);
    if (rc == ENOENT || rc == ENOTDIR) {
        return meanwhile(path, "moved or removed", err);
    }
    cis_union_key(&attr, key);
    if (rc == 0 && strcmp(key, before->key) != 0) {
        return meanwhile(path, "replaced", err);
    }
    rc = rc == 0 ? move(w, path, to, RENAME_NOREPLACE) : rc;
    if (rc == EINVAL && cis_at_stat(w->to.root, w->call, cis_str_of(to), COW_WALK, &attr) != 0) {
        rc = move(w, path, to, 0); /* a folder replaces nothing but an empty folder */
    }
    return rc == 0        ? CIS_OK
           : rc == EEXIST ? meanwhile(to, "made in the folder", err)
                          : fail(w, rc, path, err);
}

cis_code cis_cow_step_take(struct cow_work *work, const struct cow_step *step, const char *from,
                           bool back, struct cis_error *err)
{
    const struct cow_state *before = back ? &step->after : &step->before;
    const struct cow_state *after = back ? &step->before : &step->after;
    CIS_TRY(cis_stop_check(work->call->stop, "apply", err));
    if (step->op == COW_RENAME) {
        cis_cow_places_drop(work->source);
    }
    switch (step->op) {
    case COW_LEAF:
        return leaf(work, step->path, from, before, after, err);
    case COW_FOLDER:
        return folder(work, step->path, before, after, err);
    case COW_RENAME:
        return rename_folder(work, back ? step->to : step->path, back ? step->path : step->to,
                             &step->before, err);
    case COW_FAR_TREE: /* cis_cow_take */
        break;
    }
    return cis_fail(err, CIS_E_INTERNAL, "a step of unknown kind");
}
