#include "history/graves.h"
#include "store/calls.h"

uint64_t cis_tombs_after(const struct tombs *tombs, uint64_t ino, uint64_t epoch)
{
    size_t low = 0, high = tombs->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct tomb *t = &tombs->at[mid];
        if (t->ino < ino || (t->ino == ino && t->epoch <= epoch)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < tombs->n && tombs->at[low].ino == ino ? tombs->at[low].epoch : UINT64_MAX;
}

void cis_graves_done(struct graves *g)
{
    for (size_t i = 0; g->of != NULL && i < g->r->n; i++) {
        vec_done(&g->of[i]);
    }
    cis_free(g->of);
    cis_numbers_done(&g->back);
}

/* Had one of the states that the branch began with a tombstone of it? */
static bool gone_above(const struct graves *g, uint64_t ino)
{
    const struct cis_branch *b = &g->r->at[g->branch].branch;
    for (uint64_t upto = UINT64_MAX; b->parent != 0 && b->parent < b->id;) {
        const struct cis_branch *parent = cis_branches_find(&g->r->branches, b->parent);
        if (parent == NULL) {
            break;
        }
        upto = b->fork_epoch < upto ? b->fork_epoch : upto;
        if (cis_tombs_after(&g->of[parent - g->r->branches.at], ino, 0) <= upto) {
            return true;
        }
        b = parent;
    }
    return false;
}

static bool take_tomb(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct graves *g = self;
    bool again = g->last.ino == key->ino;
    (void)dirent;
    (void)extent;
    g->seen++;
    if (inode->gone) {
        struct tomb *t = vec_add(&g->of[g->branch]);
        g->code = t != NULL ? CIS_OK : cis_history_nomem(g->err);
        if (t != NULL) {
            *t = (struct tomb){key->ino, key->epoch};
        }
    } else if (again ? g->last_gone : gone_above(g, key->ino)) {
        g->code = cis_numbers_add(&g->back, key->ino, g->err);
    }
    g->last = *key;
    g->last.name = (struct cis_str){NULL, 0};
    g->last_gone = inode->gone;
    return g->code == CIS_OK;
}

#define PAGE 4096u

cis_code cis_graves_read(struct graves *g)
{
    g->of = cis_calloc(cis_size_add(g->r->n, 1), sizeof *g->of);
    if (g->of == NULL) {
        return cis_history_nomem(g->err);
    }
    for (g->branch = 0; g->branch < g->r->n; g->branch++) { /* forks after what they come from */
        bool first = true;
        g->last = (struct cis_fs_key){.ino = 0};
        do {
            g->seen = 0;
            CIS_TRY(
                cis_store_scan(g->h->store, g->h->tenant,
                               &(struct cis_fs_scan_query){.table = CIS_FS_INODES,
                                                           .branch = g->r->at[g->branch].branch.id,
                                                           .after = first ? NULL : &g->last,
                                                           .limit = PAGE},
                               take_tomb, g, g->h->stop, g->err));
            CIS_TRY(g->code);
            first = false;
        } while (g->seen == PAGE);
    }
    cis_numbers_sort(&g->back);
    return CIS_OK;
}
