/* The last commit of a view that ends. Nobody can write again what is lost, so the files it was
 * written to are left out, and all else is committed. */
#include "vfs/layered/view.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "store/commit.h"
#include "vfs/layered/layered.h"

/* A file that the base has: as it is there. */
static void put_back(struct lay_view *v, struct lay_node *node) CIS_REQUIRES(lay_lock_stripes)
{
    int64_t now = node->gone ? 0 : (int64_t)node->now.size;
    cis_lay_cut(v, node, 0);
    v->bytes += (int64_t)node->base.size - now;
    node->keep = node->base.size;
    cis_lay_quota_cut(v, node);
    node->now.size = node->base.size;
    node->now.is_inline = node->base.is_inline;
    node->now.mtime = node->base.mtime;
    cis_lay_touch(v, node);
}

/* The committed file that a lost one took the place of (write beside it, rename over it), when that
 * was its last name. Returns whether it has its name again. */
static bool revive(struct lay_view *v, uint64_t ino) CIS_REQUIRES(lay_lock_stripes)
{
    struct lay_node *node = ino != 0 ? cis_lay_table_get(&v->nodes, ino) : NULL;
    if (node == NULL || !node->gone || node->gone_committed || node->is_new ||
        !S_ISREG(node->now.mode)) {
        return false;
    }
    put_back(v, node);
    node->gone = false;
    node->now.nlink = 1;
    node->row = true;
    v->ngone--;
    v->files++;
    cis_lay_quota_nameless(v, node);
    return true;
}

/* A name of a lost file that the base does not have. */
struct named {
    uint64_t ino;
    struct lay_name *name;
};
struct names {
    struct named *at;
    size_t n, cap;
};

static int by_ino(const void *a, const void *b)
{
    uint64_t x = cis_lay_word(a), y = cis_lay_word(b);
    return x < y ? -1 : x > y;
}
_Static_assert(offsetof(struct named, ino) == 0, "by_ino compares both lists");

static bool is_lost(uint64_t ino, const uint64_t *inos, size_t n)
{
    return ino != 0 && bsearch(&ino, inos, n, sizeof *inos, by_ino) != NULL;
}

/* One look at all names of the overlay, however many files are lost. */
static int names_find(const struct lay_view *v, const uint64_t *inos, size_t n, struct names *out)
{
    lay_table_each(&v->nodes, s)
    {
        const struct lay_node *dir = s->value;
        for (struct lay_name *name = dir->names; name != NULL; name = name->next) {
            if (!is_lost(name->ino, inos, n)) {
                continue;
            }
            if (out->n == out->cap) {
                size_t cap = cis_cap_next(out->cap, 64, CIS_MEM_MAX);
                struct named *more = cis_realloc_array(out->at, cap, sizeof *more);
                if (more == NULL) {
                    return ENOMEM;
                }
                out->at = more;
                out->cap = cap;
            }
            out->at[out->n++] = (struct named){name->ino, name};
        }
    }
    if (out->n != 0) {
        qsort(out->at, out->n, sizeof *out->at, by_ino);
    }
    return 0;
}

/* A new file: its names go, up to the last one, with which the node may go. */
static void remove_names(struct lay_view *v, struct lay_node *node, const struct named *names,
                         size_t n, struct cis_fs_time now) CIS_REQUIRES(lay_lock_stripes)
{
    bool last = false;
    for (size_t i = 0; i < n && !last; i++) {
        struct lay_name *name = names[i].name;
        struct lay_node *dir = cis_lay_table_get(&v->nodes, name->parent);
        bool revived = revive(v, name->base_ino);
        last = node->now.nlink == 1;
        cis_lay_name_set(v, dir, name, revived ? name->base_ino : 0, revived ? name->base_type : 0);
        cis_lay_dir_changed(v, dir, 0, now);
        cis_lay_node_unlinked(v, node, now);
    }
}

int cis_lay_leave_out(struct lay_op *op, uint64_t *inos, size_t n)
{
    struct lay_view *v = op->v;
    struct names names = {0};
    struct cis_fs_time now;
    qsort(inos, n, sizeof *inos, by_ino);
    int rc = names_find(v, inos, n, &names);
    if (rc != 0) {
        cis_free(names.at);
        return rc;
    }
    cis_lay_now(v, &now);
    for (size_t i = 0, from = 0, to; i < n; i++, from = to) {
        struct lay_node *node = cis_lay_table_get(&v->nodes, inos[i]);
        for (to = from; to < names.n && names.at[to].ino == inos[i]; to++) {
        }
        if (node != NULL && !node->gone && !node->is_new) {
            put_back(v, node);
        } else if (node != NULL && !node->gone) {
            remove_names(v, node, names.at + from, to - from, now);
        }
    }
    cis_free(names.at);
    return 0;
}

static cis_code commit(cis_vfs *vfs, const struct cis_str *fork,
                       const struct cis_store_commit *with, const struct cis_stop *stop,
                       struct cis_error *err)
{
    return fork != NULL ? cis_layered_commit_fork(vfs, *fork, with, NULL, stop, err)
                        : cis_layered_commit(vfs, with, NULL, stop, err);
}

cis_code cis_layered_commit_rest(cis_vfs *vfs, const struct cis_str *fork,
                                 char out_left[CIS_ERROR_MSG_MAX], const struct cis_stop *stop,
                                 struct cis_error *err)
{
    struct lay_view *v = lay_of(vfs);
    struct cis_error why = {0};
    char left[CIS_ERROR_MSG_MAX] = "", note[CIS_ERROR_MSG_MAX + 64];
    cis_code code = commit(vfs, fork, NULL, stop, &why);
    cis_mutex_lock(&v->committing, lay_lock_committing);
    uint64_t lost = code != CIS_OK ? v->lost : 0, n = v->nlost;
    cis_mutex_unlock(&v->committing, lay_lock_committing);
    if (lost != 0) {
        cis_lay_lost_name(v, lost, n, stop, left, sizeof left);
        snprintf(note, sizeof note, "left out, because its content is gone: %s", left);
        /* Also when nothing else changed: the log tells it. */
        struct cis_store_commit with = {.kind = v->kind[0] != 0 ? v->kind : "fs", .note = note};
        why = (struct cis_error){0};
        cis_mutex_lock(&v->committing, lay_lock_committing);
        v->ending = true;
        cis_mutex_unlock(&v->committing, lay_lock_committing);
        code = commit(vfs, fork, &with, stop, &why);
        cis_mutex_lock(&v->committing, lay_lock_committing);
        v->ending = false;
        cis_mutex_unlock(&v->committing, lay_lock_committing);
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    snprintf(out_left, CIS_ERROR_MSG_MAX, "%s", code == CIS_OK ? left : "");
    return code;
}
