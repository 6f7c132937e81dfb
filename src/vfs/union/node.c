#include "vfs/union/internal.h"

#include "base/mem.h"
#include "base/wraps.h"

int cis_union_charge(struct unionfs *u, uint64_t bytes)
{
    if (u->budget == NULL) {
        return 0;
    }
    cis_mutex_lock(&u->table, union_lock_table);
    cis_code code = cis_budget_charge(u->budget, bytes, "files of a union", NULL);
    cis_mutex_unlock(&u->table, union_lock_table);
    return code == CIS_OK ? 0 : ENOMEM;
}

void cis_union_uncharge(struct unionfs *u, uint64_t bytes)
{
    if (u->budget != NULL) {
        cis_mutex_lock(&u->table, union_lock_table);
        cis_budget_release(u->budget, bytes);
        cis_mutex_unlock(&u->table, union_lock_table);
    }
}

static struct unode **bucket(struct unode **table, cis_node part)
{
    return &table[cis_mix(part) >> 54];
}
_Static_assert(UNION_BUCKETS == 1u << (64 - 54), "the hash has as many bits as there are buckets");

static struct unode *find_upper(struct unionfs *u, cis_node part)
{
    struct unode *n = *bucket(u->by_upper, part);
    while (n != NULL && n->upper != part) {
        n = n->unext;
    }
    return n;
}

/* A folder is both of its parts. People move lower folders, and two upper ones may come to continue
 * the same, or one show it at its own name: those are two, or a folder could lie in itself. */
static struct unode *find_lower(struct unionfs *u, const struct unode_parts *parts)
{
    bool folder = S_ISDIR(parts->attr.mode);
    struct unode *n = *bucket(u->by_lower, parts->lower);
    while (n != NULL &&
           (n->lower != parts->lower || (folder && atomic_load(&n->upper) != parts->upper))) {
        n = n->lnext;
    }
    return n;
}

static void add_upper(struct unionfs *u, struct unode *node)
{
    struct unode **b = bucket(u->by_upper, node->upper);
    node->unext = *b;
    *b = node;
}

static void add_lower(struct unionfs *u, struct unode *node)
{
    struct unode **b = bucket(u->by_lower, node->lower);
    node->lnext = *b;
    *b = node;
}

static void table_remove(struct unionfs *u, struct unode *node)
{
    if (node->upper != 0) {
        struct unode **at = bucket(u->by_upper, node->upper);
        while (*at != node) {
            at = &(*at)->unext;
        }
        *at = node->unext;
    }
    if (node->lower != 0) {
        struct unode **at = bucket(u->by_lower, node->lower);
        while (*at != node) {
            at = &(*at)->lnext;
        }
        *at = node->lnext;
    }
}

struct unode *cis_unode_ref(struct unionfs *u, struct unode *node)
{
    if (node != &u->root) {
        cis_mutex_lock(&u->table, union_lock_table);
        node->refs++;
        cis_mutex_unlock(&u->table, union_lock_table);
    }
    return node;
}

static void unode_free(struct unionfs *u, struct unode *node)
{
    part_put(u->up, node->upper);
    part_put(u->low, node->lower);
    cis_union_uncharge(u, node->charged);
    cis_free(node->name);
    cis_free(node->lower_path);
    cis_free(node);
}

/* A node holds its parent: not recursive, trees are deep. */
void cis_unode_put(struct unionfs *u, struct unode *node, uint64_t n)
{
    while (node != NULL && node != &u->root) {
        cis_mutex_lock(&u->table, union_lock_table);
        node->refs -= n;
        bool last = node->refs == 0;
        if (last) {
            table_remove(u, node);
        }
        cis_mutex_unlock(&u->table, union_lock_table);
        if (!last) {
            return;
        }
        struct unode *parent = node->parent;
        unode_free(u, node);
        node = parent;
        n = 1;
    }
}

void cis_unode_free_all(struct unionfs *u)
{
    struct unode **const tables[] = {u->by_upper, u->by_lower};
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < UNION_BUCKETS; i++) {
            while (tables[t][i] != NULL) {
                struct unode *node = tables[t][i];
                table_remove(u, node);
                unode_free(u, node);
            }
        }
    }
}

/* A folder that continues a lower one
 * keeps that one's number, so that it stays the same when it is copied up. */
static uint64_t shown_ino(const struct unode_parts *parts)
{
    bool lower = parts->upper == 0 || (S_ISDIR(parts->attr.mode) && parts->lower != 0);
    return cis_union_ino(parts->attr.ino, lower);
}

static struct unode *unode_new(struct unionfs *u, const struct unode_parts *parts,
                               struct unode *parent, struct cis_str name)
{
    uint64_t cost = sizeof(struct unode) + name.len + 1;
    cost += parts->lower_path != NULL ? strlen(parts->lower_path) + 1 : 0;
    if (cis_union_charge(u, cost) != 0) {
        return NULL;
    }
    struct unode *node = cis_zalloc(sizeof *node);
    if (node == NULL) {
        cis_union_uncharge(u, cost);
        return NULL;
    }
    node->charged = cost;
    node->refs = 1;
    node->upper = parts->upper;
    node->lower = parts->lower;
    node->type = parts->attr.mode & S_IFMT;
    node->ino = shown_ino(parts);
    node->lower_links = parts->lower_links;
    memcpy(node->key, parts->key, strlen(parts->key) + 1);
    node->parent = parent;
    node->name = cis_strndup(name.ptr, name.len);
    node->lower_path = parts->lower_path != NULL ? cis_strdup(parts->lower_path) : NULL;
    if (node->name == NULL || (parts->lower_path != NULL && node->lower_path == NULL)) {
        cis_union_uncharge(u, cost);
        cis_free(node->name);
        cis_free(node->lower_path);
        cis_free(node);
        return NULL;
    }
    return node;
}

int cis_unode_get(struct unionfs *u, const struct unode_parts *parts, struct unode *parent,
                  struct cis_str name, struct unode **out)
{
    struct unode *fresh = unode_new(u, parts, parent, name);
    if (fresh == NULL) {
        part_put(u->up, parts->upper);
        part_put(u->low, parts->lower);
        return ENOMEM;
    }
    cis_unode_ref(u, parent);
    cis_mutex_lock(&u->table, union_lock_table);
    struct unode *old = parts->upper != 0 ? find_upper(u, parts->upper) : NULL;
    if (old == NULL && parts->lower != 0) {
        old = find_lower(u, parts);
    }
    if (old != NULL) {
        old->refs++;
    } else {
        if (fresh->upper != 0) {
            add_upper(u, fresh);
        }
        if (fresh->lower != 0) {
            add_lower(u, fresh);
        }
    }
    cis_mutex_unlock(&u->table, union_lock_table);
    if (old != NULL) {
        unode_free(u, fresh); /* with the references that came */
        cis_unode_put(u, parent, 1);
    }
    *out = old != NULL ? old : fresh;
    return 0;
}

void cis_unode_copied(struct unionfs *u, struct unode *node, cis_node upper)
{
    cis_mutex_lock(&u->table, union_lock_table);
    atomic_store(&node->upper, upper);
    if (node != &u->root) {
        add_upper(u, node);
    }
    cis_mutex_unlock(&u->table, union_lock_table);
}

int cis_unode_name(struct unionfs *u, struct cis_str name, char **out_name)
{
    *out_name = NULL;
    if (cis_union_charge(u, name.len) != 0) {
        return ENOMEM;
    }
    *out_name = cis_strndup(name.ptr, name.len);
    if (*out_name == NULL) {
        cis_union_uncharge(u, name.len);
    }
    return *out_name != NULL ? 0 : ENOMEM;
}

void cis_unode_name_free(struct unionfs *u, char *name)
{
    if (name != NULL) {
        cis_union_uncharge(u, strlen(name));
        cis_free(name);
    }
}

void cis_unode_place(struct unionfs *u, struct unode *node, struct unode *parent, char *name)
{
    uint64_t before = strlen(node->name);
    cis_union_uncharge(u, before);
    node->charged += strlen(name) - before;
    cis_free(node->name);
    node->name = name;
    struct unode *old = node->parent;
    node->parent = cis_unode_ref(u, parent);
    cis_unode_put(u, old, 1);
}

void cis_unode_keep(struct unionfs *u, struct unode *node)
{
    if (node == &u->root) {
        return;
    }
    cis_mutex_lock(&u->table, union_lock_table);
    for (uint32_t i = 0; i < UNION_KEPT; i++) {
        if (u->kept[i] == node) {
            cis_mutex_unlock(&u->table, union_lock_table);
            return;
        }
    }
    struct unode *old = u->kept[u->next_kept % UNION_KEPT];
    u->kept[u->next_kept++ % UNION_KEPT] = node;
    node->refs++;
    cis_mutex_unlock(&u->table, union_lock_table);
    cis_unode_put(u, old, 1);
}

void cis_unode_drop_kept(struct unionfs *u)
{
    cis_lock_alone(union_lock_table); /* it is being closed */
    for (uint32_t i = 0; i < UNION_KEPT; i++) {
        struct unode *old = u->kept[i];
        u->kept[i] = NULL;
        cis_unode_put(u, old, 1);
    }
}
