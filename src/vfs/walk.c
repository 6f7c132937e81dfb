#include "vfs/walk.h"

#include <errno.h>
#include "base/mem.h"
#include "vfs/internal.h"

/* Where the walk stands. */
static inline struct walk_frame here(const struct walk *w)
{
    if (w->nframes > 0) {
        return w->frames[w->nframes - 1];
    }
    return (struct walk_frame){w->base->mount, w->base->node, {"", 0}};
}

int cis_walk_begin(struct walk *w, const cis_dir *start, const cis_dir *beneath,
                   const struct cis_vfs_call *call, unsigned flags)
{
    w->base = start;
    w->floor = start;
    w->frames = w->inline_frames;
    w->nframes = 0;
    w->cap = WALK_FRAMES;
    w->nlinks = 0;
    w->flags = flags;
    w->must_be_dir = false;
    w->end = NULL;
    w->call = *call;
    if (beneath == NULL || beneath == start) {
        return 0;
    }
    const cis_dir *up = start;
    while (up != NULL && up->depth > beneath->depth) {
        up = up->up;
    }
    if (up == NULL || up->mount != beneath->mount || up->node != beneath->node) {
        return EINVAL;
    }
    w->floor = up;
    return 0;
}

static void frames_drop(struct walk *w)
{
    while (w->nframes > 0) {
        const struct walk_frame *f = &w->frames[--w->nframes];
        node_put(f->mount->vfs, f->node);
    }
}

void cis_walk_end(struct walk *w)
{
    frames_drop(w);
    for (uint32_t i = 0; i < w->nlinks; i++) {
        cis_buf_done(&w->links[i]);
    }
    if (w->frames != w->inline_frames) {
        cis_free(w->frames);
    }
}

static int frames_grow(struct walk *w)
{
    size_t cap = cis_cap_next(w->cap, 1, UINT32_MAX);
    struct walk_frame *more = cis_calloc(cap, sizeof *more);
    if (more == NULL) {
        return ENOMEM;
    }
    memcpy(more, w->frames, w->nframes * sizeof *more);
    if (w->frames != w->inline_frames) {
        cis_free(w->frames);
    }
    w->frames = more;
    w->cap = (uint32_t)cap;
    return 0;
}

/* Takes over the reference on node. */
static inline int frame_push(struct walk *w, const struct cis_mount *mount, cis_node node,
                             struct cis_str name)
{
    if (w->nframes == w->cap && frames_grow(w) != 0) {
        node_put(mount->vfs, node);
        return ENOMEM;
    }
    w->frames[w->nframes++] = (struct walk_frame){mount, node, name};
    return 0;
}

/* ".." goes back along the directories walked through; the filesystem is never asked. */
static int step_up(struct walk *w)
{
    if (w->nframes > 0) {
        const struct walk_frame *f = &w->frames[--w->nframes];
        node_put(f->mount->vfs, f->node);
    } else if (w->base != w->floor) {
        w->base = w->base->up;
    } else if ((w->flags & CIS_WALK_CHROOT) == 0) {
        return EPERM;
    }
    return 0;
}

static int step_root(struct walk *w)
{
    if ((w->flags & CIS_WALK_CHROOT) == 0) {
        return EPERM;
    }
    frames_drop(w);
    w->base = w->floor;
    return 0;
}

static inline void skip_slashes(struct cis_str *text)
{
    while (text->len > 0 && *text->ptr == '/') {
        text->ptr++;
        text->len--;
    }
}

static inline struct cis_str next_name(struct cis_str *text)
{
    size_t n = 0;
    while (n < text->len && text->ptr[n] != '/') {
        n++;
    }
    struct cis_str name = {text->ptr, n};
    text->ptr += n;
    text->len -= n;
    return name;
}

/* The walk ends at a directory it stands in: ".", "..", a path of slashes, or a link to "/". */
static int end_here(struct walk *w, const char *how, struct cis_found *out)
{
    struct walk_frame at = here(w);
    cis_vfs *vfs = at.mount->vfs;
    int rc = cis_vfs_getattr(vfs, &w->call, at.node, &out->attr);
    if (rc != 0) {
        return rc;
    }
    node_ref(vfs, at.node);
    out->vfs = vfs;
    out->read_only = at.mount->read_only || vfs->read_only;
    out->attr.dev = at.mount->dev;
    out->mount = at.mount;
    out->dir = 0;
    out->name_len = strlen(how);
    memcpy(out->name, how, out->name_len + 1);
    out->must_be_dir = true;
    out->is_mount = false;
    out->borrowed = false;
    out->node = at.node;
    return 0;
}

/* The walk ends at a name; node 0: which does not exist. Takes over the reference. out->attr is
 * filled. */
static int end_name(struct walk *w, struct cis_str name, cis_node node, struct cis_found *out)
{
    struct walk_frame at = here(w);
    out->mount = at.mount;
    out->name_len = name.len;
    memcpy(out->name, name.ptr, name.len);
    out->name[name.len] = '\0';
    out->must_be_dir = w->must_be_dir;
    out->is_mount = false;
    out->borrowed = false;
    const struct cis_mount *top = at.mount;
    if (node != 0 && at.mount->children != NULL) {
        for (struct cis_mount *on; (on = mount_on(top, node)) != NULL;) {
            node_put(top->vfs, node);
            top = on;
            node = on->root;
            node_ref(on->vfs, node);
            out->is_mount = true;
        }
    }
    w->end = top;
    out->vfs = top->vfs;
    out->read_only = top->read_only || top->vfs->read_only;
    out->node = node;
    out->dir = 0;
    if (out->is_mount) {
        int rc = cis_vfs_getattr(top->vfs, &w->call, node, &out->attr);
        if (rc != 0) {
            node_put(top->vfs, node);
            return rc;
        }
        out->attr.dev = top->dev;
        return 0;
    }
    out->attr.dev = top->dev;
    out->dir = at.node;
    node_ref(at.mount->vfs, at.node);
    return 0;
}

/* What of the path is still to be walked: the rest of what is walked now, and what comes after the
 * links that led to it, the innermost last. None of these is empty, so a name is the last one of
 * the path when there are none. */
struct walk_text {
    struct cis_str now;
    struct cis_str rests[CIS_VFS_LINKS_MAX];
    uint32_t nrests;
};

/* Reads the target of a link into a buffer that lives as long as the walk, and puts it before the
 * rest of the path. */
static int follow(struct walk *w, cis_node link, struct walk_text *text)
{
    if (w->nlinks == CIS_VFS_LINKS_MAX) {
        return ELOOP;
    }
    cis_vfs *vfs = here(w).mount->vfs;
    struct cis_buf *target = &w->links[w->nlinks];
    *target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    w->nlinks++;
    int rc = cis_vfs_readlink(vfs, &w->call, link, target);
    if (rc != 0) {
        return rc;
    }
    if (target->failed != CIS_OK) {
        return target->failed == CIS_E_NOMEM ? ENOMEM : ENAMETOOLONG;
    }
    if (target->len == 0) {
        return ENOENT;
    }
    skip_slashes(&text->now);
    if (text->now.len > 0) {
        text->rests[text->nrests++] = text->now; /* fewer than links: no overflow */
    }
    text->now = cis_buf_view(target);
    return text->now.ptr[0] == '/' ? step_root(w) : 0;
}

/* Into a directory, and onto what is mounted there. Takes over the reference. */
static inline int step_into(struct walk *w, const struct cis_mount *mount, cis_node node,
                            struct cis_str name)
{
    if (mount->children != NULL) {
        for (struct cis_mount *on; (on = mount_on(mount, node)) != NULL;) {
            node_put(mount->vfs, node);
            mount = on;
            node = on->root;
            node_ref(on->vfs, node);
        }
    }
    return frame_push(w, mount, node, name);
}

static inline bool follows_last(const struct walk *w)
{
    return (w->flags & CIS_WALK_NAME) == 0 &&
           ((w->flags & CIS_WALK_NOFOLLOW) == 0 || w->must_be_dir);
}

static int path_check(struct cis_str path)
{
    if (path.len == 0) {
        return ENOENT;
    }
    if (path.len >= CIS_VFS_PATH_MAX) {
        return ENAMETOOLONG;
    }
    return memchr(path.ptr, 0, path.len) != NULL ? EINVAL : 0;
}

/* "." and "..", which change where the walk is and no more. */
static int step_dots(struct walk *w, bool up, bool last, struct cis_found *out, bool *done)
{
    int rc = up ? step_up(w) : 0;
    if (rc == 0 && last) {
        *done = true;
        return end_here(w, up ? ".." : ".", out);
    }
    return rc;
}

/* Looks the name up here: a folder is entered, a symlink followed, and the last name ends the walk.
 */
static int step_name(struct walk *w, struct walk_text *text, struct cis_str name, bool last,
                     struct cis_found *out, bool *done)
{
    if (name.len > CIS_VFS_NAME_MAX) {
        *done = last && (w->flags & CIS_WALK_NAME) != 0;
        return *done ? end_name(w, (struct cis_str){name.ptr, 0}, 0, out) : ENAMETOOLONG;
    }
    struct walk_frame at = here(w);
    cis_vfs *vfs = at.mount->vfs;
    cis_node node = 0;
    w->call.ahead = text->now;
    int rc = cis_vfs_lookup(vfs, &w->call, at.node, name, &node, &out->attr);
    if (rc != 0) {
        *done = rc == ENOENT && last;
        return *done ? end_name(w, name, 0, out) : rc;
    }
    uint32_t type = out->attr.mode & S_IFMT;
    if (type == S_IFLNK && (!last || follows_last(w))) {
        if ((w->flags & CIS_WALK_STRAIGHT) != 0) {
            rc = last && (w->flags & CIS_WALK_NOFOLLOW) == 0 ? ELOOP : ENOTDIR;
        } else {
            rc = follow(w, node, text);
        }
        node_put(vfs, node);
        return rc;
    }
    bool names = (w->flags & CIS_WALK_NAME) != 0;
    if (type != S_IFDIR && (!last || (w->must_be_dir && !names))) {
        node_put(vfs, node);
        return ENOTDIR;
    }
    if (last) {
        *done = true;
        return end_name(w, name, node, out);
    }
    return step_into(w, at.mount, node, name);
}

/* One component after the other. */
int cis_walk_run(struct walk *w, struct cis_str path, struct cis_found *out)
{
    struct walk_text text;
    bool done = false;
    text.now = path;
    text.nrests = 0;
    int rc = path_check(path);
    if (rc == 0 && path.ptr[0] == '/') {
        rc = step_root(w);
    }
    while (rc == 0 && !done) {
        skip_slashes(&text.now);
        if (text.now.len == 0) {
            if (text.nrests == 0) {
                return end_here(w, "/", out);
            }
            text.now = text.rests[--text.nrests];
            continue;
        }
        struct cis_str name = next_name(&text.now);
        bool slash = text.now.len > 0;
        skip_slashes(&text.now);
        bool last = text.now.len == 0 && text.nrests == 0;
        if (name.ptr[0] == '.' && name.len <= 2 && (name.len == 1 || name.ptr[1] == '.')) {
            rc = step_dots(w, name.len == 2, last, out, &done);
            continue;
        }
        if (last && slash) {
            w->must_be_dir = true;
            if ((w->flags & WALK_CREATE) != 0) {
                return EISDIR;
            }
        }
        rc = step_name(w, &text, name, last, out, &done);
    }
    return rc;
}

int cis_walk(const cis_dir *start, const cis_dir *beneath, const struct cis_vfs_call *call,
             struct cis_str path, unsigned flags, struct cis_found *out)
{
    struct walk w;
    cis_node node = 0;
    int rc = cis_walk_begin(&w, start, beneath, call, flags);
    size_t ahead = rc == 0 ? cis_walk_ahead(start, call, path, flags, &node) : 0;
    struct cis_str rest = {path.ptr + ahead, path.len - ahead};
    if (ahead != 0) {
        rc = frame_push(&w, start->mount, node, (struct cis_str){path.ptr, ahead - 1});
    }
    if (rc == 0) {
        rc = cis_walk_run(&w, rest, out);
    }
    cis_walk_end(&w);
    return rc;
}

void cis_found_done(struct cis_found *found)
{
    if (found->borrowed) {
        found->node = 0;
        return;
    }
    if (found->dir != 0) {
        node_put(found->vfs, found->dir);
        found->dir = 0;
    }
    if (found->node != 0) {
        node_put(found->vfs, found->node);
        found->node = 0;
    }
}
