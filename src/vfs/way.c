#include "vfs/way.h"

#include <errno.h>
#include "base/mem.h"
#include "vfs/internal.h"

enum { HELD = 64, STAYS = 1024 };

void cis_way_init(struct cis_way *way, cis_vfs *vfs)
{
    *way = (struct cis_way){.vfs = vfs, .names = CIS_BUF_INIT(UINT32_MAX)};
}

void cis_way_done(struct cis_way *way)
{
    while (way->n > 0) {
        cis_way_pop(way);
    }
    cis_free(cis_take(&way->at));
    way->cap = 0;
    cis_buf_done(&way->names);
}

size_t cis_way_bytes(const struct cis_way *way)
{
    return cis_size_add(cis_size_mul(way->cap, sizeof *way->at), way->names.cap);
}

static void let_go(struct cis_way *way, struct cis_way_folder *f)
{
    if (f->node != 0) {
        node_put(way->vfs, f->node);
        f->node = 0;
    }
}

static struct cis_str name_of(const struct cis_way *way, size_t i)
{
    return cis_str_of((const char *)way->names.ptr + way->at[i].name);
}

int cis_way_push(struct cis_way *way, cis_node node, struct cis_str name,
                 const struct cis_vfs_attr *attr, bool apart)
{
    bool descriptors = way->vfs->ops->jump != NULL; /* it asks the kernel for each name */
    if (way->n == way->cap) {
        size_t cap = cis_cap_next(way->cap, 32, CIS_MEM_MAX);
        struct cis_way_folder *more = cis_realloc_array(way->at, cap, sizeof *more);
        if (more == NULL) {
            node_put(way->vfs, node);
            return ENOMEM;
        }
        way->at = more;
        way->cap = cap;
    }
    size_t at = way->names.len;
    cis_buf_str(&way->names, name);
    cis_buf_byte(&way->names, 0);
    if (way->names.failed != CIS_OK) {
        node_put(way->vfs, node);
        return ENOMEM;
    }
    way->at[way->n] = (struct cis_way_folder){node, attr->ino, attr->btime, at,
                                              !descriptors || apart || way->n % STAYS == 0};
    way->n++;
    while (way->held + HELD < way->n) {
        struct cis_way_folder *f = &way->at[way->held++];
        if (!f->stays) {
            let_go(way, f);
        }
    }
    return 0;
}

void cis_way_pop(struct cis_way *way)
{
    struct cis_way_folder *last = &way->at[--way->n];
    let_go(way, last);
    way->names.len = last->name;
    way->held = way->held < way->n ? way->held : way->n;
}

/* ---- back to those that were let go ---- */

/* Is what was found the folder that it was? If not its reference goes. */
static int check_found(struct cis_way *way, size_t i, cis_node found,
                       const struct cis_vfs_attr *attr)
{
    const struct cis_way_folder *f = &way->at[i];
    if (S_ISDIR(attr->mode) && attr->ino == f->ino && attr->btime.tv_sec == f->btime.tv_sec &&
        attr->btime.tv_nsec == f->btime.tv_nsec) {
        return 0;
    }
    node_put(way->vfs, found);
    return ESTALE;
}

static int look_up(struct cis_way *way, const struct cis_vfs_call *call, size_t i, cis_node dir,
                   cis_node *out)
{
    struct cis_vfs_attr attr;
    int rc = cis_vfs_lookup(way->vfs, call, dir, name_of(way, i), out, &attr);
    if (rc != 0) {
        return rc == ENOENT || rc == ENOTDIR || rc == ELOOP ? ESTALE : rc;
    }
    return check_found(way, i, *out, &attr);
}

/* The first ones on the way from at[from] to at[to], as many as one call takes. *out_to: how far it
 * came; not at all where it has to be looked up one by one. */
static int jump(struct cis_way *way, const struct cis_vfs_call *call, cis_node dir, size_t from,
                size_t to, size_t *out_to, cis_node *out)
{
    char path[CIS_VFS_PATH_MAX];
    struct cis_vfs_attr attr;
    size_t len = 0, i = from;
    *out_to = from;
    for (; i < to; i++) {
        struct cis_str name = name_of(way, i + 1);
        if (len + name.len + 1 >= sizeof path) {
            break;
        }
        memcpy(path + len, name.ptr, name.len);
        len += name.len;
        path[len++] = '/';
    }
    if (i < from + 2) {
        return 0;
    }
    int rc = way->vfs->ops->jump(way->vfs, call, dir, (struct cis_str){path, len - 1}, out, &attr);
    if (rc != 0) {
        return rc == EAGAIN ? 0 : rc == ENOENT ? ESTALE : rc;
    }
    *out_to = i;
    return check_found(way, i, *out, &attr);
}

/* From one that is held down to the one with that number; its reference is the caller's. */
static int go_down(struct cis_way *way, const struct cis_vfs_call *call, size_t from, size_t to,
                   cis_node *out)
{
    cis_node at = way->at[from].node;
    int rc = 0;
    for (size_t i = from; i < to && rc == 0;) {
        cis_node next = 0;
        size_t come = i;
        rc = jump(way, call, at, i, to, &come, &next);
        if (rc == 0 && come == i) {
            come = i + 1;
            rc = look_up(way, call, come, at, &next);
        }
        if (i != from) {
            node_put(way->vfs, at);
        }
        at = next;
        i = come;
    }
    *out = rc == 0 ? at : 0; /* what failed has given its reference back */
    return rc;
}

int cis_way_here(struct cis_way *way, const struct cis_vfs_call *call, cis_node *out_node)
{
    size_t last = way->n - 1, from = last;
    while (way->at[from].node == 0) { /* the first one stays */
        from--;
    }
    if (from != last) { /* those before it are wanted next */
        size_t back = last >= HELD / 2 ? last - HELD / 2 : 0;
        back = back > from + 1 ? back : from + 1;
        int rc = back > from + 1 ? go_down(way, call, from, back - 1, &way->at[back - 1].node) : 0;
        for (size_t i = back; i <= last && rc == 0; i++) {
            rc = look_up(way, call, i, way->at[i - 1].node, &way->at[i].node);
            way->at[i].node = rc == 0 ? way->at[i].node : 0;
        }
        way->held = way->held < back - 1 ? way->held : back - 1;
        if (rc != 0) {
            return rc;
        }
    }
    *out_node = way->at[last].node;
    return 0;
}
