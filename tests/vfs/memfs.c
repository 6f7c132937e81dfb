#include "vfs/memfs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define NODES 4096
#define SLOTS 16384

struct entry {
    uint64_t dir;
    char name[64];
    uint32_t len;
    uint64_t node;
};

struct memfs {
    cis_vfs vfs;
    struct {
        uint32_t mode;
        const char *text;
    } nodes[NODES];
    uint64_t nnodes;
    struct entry table[SLOTS];
    _Atomic int64_t held;
    char ahead[256];
};

static struct memfs *of(cis_vfs *vfs)
{
    return (struct memfs *)vfs;
}

static struct entry *slot(struct memfs *fs, uint64_t dir, struct cis_str name)
{
    uint64_t h = dir * 0x9E3779B97F4A7C15ull;
    for (size_t i = 0; i < name.len; i++) {
        h = (h ^ (uint8_t)name.ptr[i]) * 0x100000001B3ull;
    }
    for (size_t i = (h >> 20) % SLOTS;; i = (i + 1) % SLOTS) {
        struct entry *e = &fs->table[i];
        if (e->node == 0 ||
            (e->dir == dir && e->len == name.len && memcmp(e->name, name.ptr, name.len) == 0)) {
            return e;
        }
    }
}

static void fill(struct memfs *fs, uint64_t node, struct cis_vfs_attr *out)
{
    *out = (struct cis_vfs_attr){.ino = node, .mode = fs->nodes[node].mode, .nlink = 1};
}

static int mem_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                      struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct memfs *fs = of(vfs);
    struct entry *e = slot(fs, dir, name);
    if (call->ahead.len < sizeof fs->ahead && fs->ahead[0] == '?') {
        snprintf(fs->ahead + 1, sizeof fs->ahead - 1, "%.*s", (int)call->ahead.len,
                 call->ahead.len > 0 ? call->ahead.ptr : "");
    }
    if (e->node == 0) {
        return ENOENT;
    }
    atomic_fetch_add_explicit(&fs->held, 1, memory_order_relaxed);
    *out_node = e->node;
    fill(fs, e->node, out_attr);
    return 0;
}

static void mem_ref(cis_vfs *vfs, cis_node node, uint64_t n)
{
    (void)node;
    atomic_fetch_add_explicit(&of(vfs)->held, (int64_t)n, memory_order_relaxed);
}

static void mem_forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    (void)node;
    atomic_fetch_sub_explicit(&of(vfs)->held, (int64_t)n, memory_order_relaxed);
}

static int mem_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                       struct cis_vfs_attr *out)
{
    (void)call;
    fill(of(vfs), node, out);
    return 0;
}

static int mem_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                        struct cis_buf *out)
{
    (void)call;
    cis_buf_text(out, of(vfs)->nodes[node].text);
    return 0;
}

static void mem_close(cis_vfs *vfs)
{
    free(of(vfs));
}

static const struct cis_vfs_ops mem_ops = {
    .size = sizeof(struct cis_vfs_ops),
    .name = "memfs",
    .close = mem_close,
    .lookup = mem_lookup,
    .ref = mem_ref,
    .forget = mem_forget,
    .getattr = mem_getattr,
    .readlink = mem_readlink,
};

cis_vfs *memfs_new(const char *const *paths, size_t n)
{
    struct memfs *fs = calloc(1, sizeof *fs);
    fs->vfs = (cis_vfs){.ops = &mem_ops, .root = 1, .read_only = true};
    fs->nodes[1].mode = S_IFDIR | 0755;
    fs->nnodes = 1;
    fs->ahead[0] = '?';
    for (size_t i = 0; i < n; i++) {
        uint64_t at = 1;
        for (const char *p = paths[i]; *p != '\0';) {
            size_t len = strcspn(p, "/=>");
            struct cis_str name = {p, len};
            struct entry *e = slot(fs, at, name);
            char what = p[len];
            if (e->node == 0) {
                uint64_t node = ++fs->nnodes;
                *e = (struct entry){.dir = at, .len = (uint32_t)len, .node = node};
                memcpy(e->name, p, len);
                fs->nodes[node].mode = what == '='   ? S_IFREG | 0644u
                                       : what == '>' ? S_IFLNK | 0777u
                                                     : S_IFDIR | 0755u;
                fs->nodes[node].text = p + len + 1;
            }
            at = e->node;
            p += len + (what == '/');
            if (what == '=' || what == '>') {
                break;
            }
        }
    }
    return &fs->vfs;
}

int64_t memfs_held(cis_vfs *vfs)
{
    return of(vfs)->held;
}

const char *memfs_ahead(cis_vfs *vfs)
{
    return of(vfs)->ahead + 1;
}
