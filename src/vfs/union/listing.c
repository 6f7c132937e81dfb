/* Listings of two folders as one: the upper entries, then the lower ones that none of them hides.
 * Read whole when asked for from the start, and kept, so that cookies stay right. */
#include "vfs/union/internal.h"

#include "base/map.h"
#include "base/mem.h"

#define LISTING_MAX (256u * 1024u * 1024u)

struct item {
    uint64_t ino;
    uint32_t name, type;
    uint16_t name_len;
    bool look; /* what it is shown as has to be looked up */
};

struct union_listing {
    _Atomic uint32_t refs;
    struct cis_buf items, names;
    uint64_t moves; /* of the folder when it was read */
    struct cis_budget *budget;
    uint64_t charged;
};

void cis_union_listing_unref(struct union_listing *listing)
{
    if (listing != NULL && atomic_fetch_sub(&listing->refs, 1) == 1) {
        if (listing->charged != 0) {
            cis_budget_release(listing->budget, listing->charged);
        }
        cis_buf_done(&listing->items);
        cis_buf_done(&listing->names);
        cis_free(listing);
    }
}

static int listing_charge(struct union_listing *listing, struct cis_budget *budget)
{
    uint64_t bytes = (uint64_t)listing->items.cap + listing->names.cap;
    if (budget == NULL) {
        return 0;
    }
    if (cis_budget_charge(budget, bytes, "listing", NULL) != CIS_OK) {
        return ENOMEM;
    }
    listing->budget = budget;
    listing->charged = bytes;
    return 0;
}

int cis_union_part_list(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                        cis_vfs_entry_each *each, void *self)
{
    cis_vfs_file *file = NULL;
    int rc = cis_vfs_open(vfs, call, dir, O_RDONLY | O_DIRECTORY, &file);
    if (rc == 0) {
        rc = cis_vfs_readdir(file, call, 0, false, each, self);
        cis_vfs_release(file);
    }
    return rc;
}

struct gather {
    struct unionfs *u;
    const struct cis_vfs_call *call;
    const struct unode *dir;
    struct union_listing *listing;
    struct cis_map hidden; /* names that the upper folder has */
    struct cis_budget *budget;
    uint64_t charged; /* of hidden, as long as it is there */
    bool upper;
    int rc;
};

static void item_add(struct gather *g, struct cis_str name, uint64_t ino, uint32_t type, bool look)
{
    struct union_listing *l = g->listing;
    struct item item = {ino, (uint32_t)l->names.len, type, (uint16_t)name.len, look};
    cis_buf_add(&l->items, &item, sizeof item);
    cis_buf_str(&l->names, name);
    if (l->items.failed != CIS_OK || l->names.failed != CIS_OK) {
        g->rc = ENOMEM;
    }
}

/* A character device may be a whiteout: its number has to be seen. */
static bool gather_whiteout(struct gather *g, const struct cis_vfs_entry *entry)
{
    cis_node node = 0;
    struct cis_vfs_attr attr;
    if (entry->type != S_IFCHR ||
        cis_vfs_lookup(g->u->up, g->call, g->dir->upper, entry->name, &node, &attr) != 0) {
        return false;
    }
    part_put(g->u->up, node);
    return is_whiteout(&attr);
}

static bool hide(struct gather *g, struct cis_str name)
{
    uint64_t cost = g->budget != NULL ? 64 + name.len : 0;
    if (cost != 0 && cis_budget_charge(g->budget, cost, "listing", NULL) != CIS_OK) {
        return false;
    }
    g->charged += cost;
    return cis_map_set(&g->hidden, name, g, NULL, NULL) == CIS_OK;
}

static bool gather_each(void *self, const struct cis_vfs_entry *entry,
                        const struct cis_vfs_attr *attr)
{
    (void)attr;
    struct gather *g = self;
    if (cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..") || is_reserved(entry->name)) {
        return true;
    }
    if (!g->upper) {
        if (cis_map_get(&g->hidden, entry->name) == NULL) {
            bool look = entry->type == S_IFREG && g->u->home != 0; /* a copy may stand for it */
            item_add(g, entry->name, cis_union_ino(entry->ino, true), entry->type, look);
        }
        return g->rc == 0;
    }
    if (g->dir->lower != 0 && !hide(g, entry->name)) {
        g->rc = ENOMEM;
    }
    if (!gather_whiteout(g, entry)) {
        item_add(g, entry->name, cis_union_ino(entry->ino, false), entry->type,
                 entry->type == S_IFDIR);
    }
    return g->rc == 0;
}

/* names held. */
static int listing_new(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *dir,
                       struct union_listing **out)
{
    struct union_listing *listing = cis_zalloc(sizeof *listing);
    if (listing == NULL) {
        return ENOMEM;
    }
    atomic_init(&listing->refs, 1);
    struct cis_budget *budget = call->budget != NULL ? call->budget : u->budget;
    uint64_t left = cis_budget_left(budget) / 2; /* for each of the two buffers */
    size_t most = left < LISTING_MAX ? (size_t)left : LISTING_MAX;
    listing->items = CIS_BUF_INIT(most);
    listing->names = CIS_BUF_INIT(most);
    listing->moves = dir->moves;
    struct gather g = {.u = u,
                       .call = call,
                       .dir = dir,
                       .listing = listing,
                       .hidden = CIS_MAP_INIT,
                       .budget = budget};
    int rc = 0;
    if (!dir->gone) {
        item_add(&g, CIS_STR("."), dir->ino, S_IFDIR, false);
        item_add(&g, CIS_STR(".."), dir->parent != NULL ? dir->parent->ino : dir->ino, S_IFDIR,
                 false);
        g.upper = true;
        rc = dir->upper != 0 ? cis_union_part_list(u->up, call, dir->upper, gather_each, &g) : 0;
        g.upper = false;
        if (rc == 0 && dir->lower != 0) {
            rc = cis_union_part_list(u->low, call, dir->lower, gather_each, &g);
        }
    }
    cis_map_done(&g.hidden, NULL);
    if (g.charged != 0) {
        cis_budget_release(budget, g.charged);
    }
    rc = rc != 0 ? rc : g.rc;
    rc = rc != 0 ? rc : listing_charge(listing, budget);
    if (rc != 0) {
        cis_union_listing_unref(listing);
        return rc;
    }
    *out = listing;
    return 0;
}

int cis_union_is_empty(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                       bool *out_empty)
{
    struct union_listing *listing = NULL;
    int rc = listing_new(u, call, dir, &listing);
    if (rc == 0) {
        *out_empty = listing->items.len <= 2 * sizeof(struct item);
        cis_union_listing_unref(listing);
    }
    return rc;
}

static int listing_get(struct ufile *own, const struct cis_vfs_call *call, uint64_t cookie,
                       struct union_listing **out)
{
    struct unionfs *u = union_of(own->file.vfs);
    struct union_listing *fresh = NULL;
    cis_mutex_lock(&own->lock, union_lock_file);
    if (own->listing == NULL || cookie == 0) {
        cis_mutex_unlock(&own->lock, union_lock_file);
        cis_rwlock_read(&u->names, union_lock_names);
        int rc = listing_new(u, call, own->node, &fresh);
        cis_rwlock_unlock(&u->names, union_lock_names);
        if (rc != 0) {
            return rc;
        }
        cis_mutex_lock(&own->lock, union_lock_file);
        cis_union_listing_unref(own->listing);
        own->listing = fresh;
    }
    *out = own->listing;
    atomic_fetch_add(&own->listing->refs, 1);
    cis_mutex_unlock(&own->lock, union_lock_file);
    return 0;
}

/* As the entry is now; false: it is gone. */
static bool item_look(struct ufile *own, const struct cis_vfs_call *call, struct cis_str name,
                      struct cis_vfs_attr *out)
{
    struct unionfs *u = union_of(own->file.vfs);
    struct unode *node = NULL, *dir = own->node;
    bool up = cis_str_is(name, ".."), self = cis_str_is(name, ".");
    cis_rwlock_read(&u->names, union_lock_names);
    int rc = 0;
    if (up || self) {
        node = cis_unode_ref(u, up && dir->parent != NULL ? dir->parent : dir);
    } else {
        rc = cis_union_find(u, call, dir, name, &node);
    }
    if (rc == 0) {
        rc = cis_union_attr(u, call, node, out);
    }
    cis_rwlock_unlock(&u->names, union_lock_names);
    cis_unode_put(u, node, 1);
    return rc == 0;
}

int cis_union_readdir(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t cookie,
                      bool attributes, cis_vfs_entry_each *each, void *self)
{
    struct ufile *own = ufile_of(file);
    struct union_listing *listing = NULL;
    if (own->node->type != S_IFDIR) {
        return ENOTDIR;
    }
    int rc = listing_get(own, call, cookie, &listing);
    if (rc != 0) {
        return rc;
    }
    const struct item *items = (const struct item *)(const void *)listing->items.ptr;
    uint64_t count = listing->items.len / sizeof *items;
    for (uint64_t i = cookie; i < count; i++) {
        struct cis_str name = {(const char *)listing->names.ptr + items[i].name, items[i].name_len};
        struct cis_vfs_entry entry = {name, items[i].ino, items[i].type, i + 1};
        struct cis_vfs_attr attr;
        bool changed = i >= 2 && listing->moves != own->node->moves;
        bool looked = changed || (!call->looks && (attributes || items[i].look));
        if (looked) {
            if (!item_look(own, call, name, &attr)) {
                continue;
            }
            entry.ino = attr.ino;
            entry.type = attr.mode & S_IFMT;
        }
        if (!each(self, &entry, attributes && looked ? &attr : NULL)) {
            break;
        }
    }
    cis_union_listing_unref(listing);
    return 0;
}
