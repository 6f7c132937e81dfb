/* Names of folders, for going through trees: gathered, put in order, charged. */
#include "vfs/union/changes.h"

#include <stdlib.h>
#include "base/cancel.h"
#include "base/mem.h"

enum { TURN = 64 };

static struct cis_budget *budget_of(const struct changes *c)
{
    return c->call->budget != NULL ? c->call->budget : c->u->budget;
}

int cis_union_changes_charge(struct changes *c, uint64_t bytes)
{
    struct cis_budget *budget = budget_of(c);
    if (budget == c->u->budget) {
        return cis_union_charge(c->u, bytes);
    }
    return cis_budget_charge(budget, bytes, "what was changed", NULL) == CIS_OK ? 0 : ENOMEM;
}

void cis_union_changes_release(struct changes *c, uint64_t bytes)
{
    struct cis_budget *budget = budget_of(c);
    if (budget == c->u->budget) {
        cis_union_uncharge(c->u, bytes);
    } else {
        cis_budget_release(budget, bytes);
    }
}

int cis_union_changes_turn(struct changes *c)
{
    if (++c->turns % TURN != 0 || c->call->stop == NULL) {
        return 0;
    }
    return cis_stop_check(c->call->stop, "what was changed", c->call->err) == CIS_OK ? 0 : EINTR;
}

void *cis_union_changes_grown(struct changes *c, void *list, size_t n, size_t *cap, size_t size,
                              uint64_t *charged)
{
    if (n < *cap) {
        return list;
    }
    size_t more = cis_cap_next(*cap, 16, CIS_MEM_MAX);
    uint64_t bytes = cis_size_mul(more - *cap, size);
    if (cis_union_changes_charge(c, bytes) != 0) {
        return NULL;
    }
    void *new_list = cis_realloc_array(list, more, size);
    if (new_list == NULL) {
        cis_union_changes_release(c, bytes);
        return NULL;
    }
    *charged += bytes;
    *cap = more;
    return new_list;
}

int cis_union_changes_grew(struct changes *c, const struct cis_buf *buf, size_t before,
                           uint64_t *charged)
{
    int rc = buf->failed != CIS_OK ? ENOMEM : cis_union_changes_charge(c, buf->cap - before);
    *charged += rc == 0 ? buf->cap - before : 0;
    return rc;
}

int cis_union_changes_enter(struct changes *c, size_t len, struct cis_str name)
{
    size_t before = c->path.cap;
    c->path.len = len;
    if (len != 0) {
        cis_buf_byte(&c->path, '/');
    }
    cis_buf_str(&c->path, name);
    return cis_union_changes_grew(c, &c->path, before, &c->charged);
}

/* ---- the names of a folder ---- */
struct gather {
    struct changes *c;
    struct names *names;
    bool lower;
    int rc;
};

static bool gather(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    struct gather *g = self;
    struct names *names = g->names;
    (void)attr;
    if (cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..") || is_reserved(entry->name)) {
        return true;
    }
    struct name *list = cis_union_changes_grown(g->c, names->list, names->n, &names->cap,
                                                sizeof *list, &names->charged);
    size_t before = names->text.cap, at = names->text.len;
    names->list = list != NULL ? list : names->list;
    cis_buf_str(&names->text, entry->name);
    g->rc =
        list != NULL ? cis_union_changes_grew(g->c, &names->text, before, &names->charged) : ENOMEM;
    if (g->rc != 0) {
        return false;
    }
    names->list[names->n++] = (struct name){(uint32_t)at, (uint8_t)entry->name.len, g->lower};
    return true;
}

static int compare(const struct names *names, const struct name *x, const struct name *y)
{
    const uint8_t *text = names->text.ptr;
    int order = memcmp(text + x->at, text + y->at, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : x->len - y->len;
}

static int in_order(const void *a, const void *b, void *names)
{
    const struct name *x = a, *y = b;
    int order = compare(names, x, y);
    return order != 0 ? order : x->lower - y->lower;
}

int cis_union_changes_names(struct changes *c, cis_node upper, cis_node lower, struct names *out)
{
    *out = (struct names){.text = CIS_BUF_INIT(UINT32_MAX)};
    struct gather g = {c, out, false, 0};
    int rc = upper != 0 ? cis_union_part_list(c->u->up, c->call, upper, gather, &g) : 0;
    rc = rc != 0 ? rc : g.rc;
    g.lower = true;
    if (rc == 0 && lower != 0) {
        rc = cis_union_part_list(c->u->low, c->call, lower, gather, &g);
        rc = rc != 0 ? rc : g.rc;
    }
    if (rc == 0 && out->n > 1) {
        qsort_r(out->list, out->n, sizeof *out->list, in_order, out);
        size_t n = 1;
        for (size_t i = 1; i < out->n; i++) {
            if (compare(out, &out->list[i], &out->list[n - 1]) != 0) {
                out->list[n++] = out->list[i];
            }
        }
        out->n = n;
    }
    return rc; /* what was gathered is the caller's, also then */
}

void cis_union_changes_names_done(struct changes *c, struct names *names)
{
    cis_free(names->list);
    cis_buf_done(&names->text);
    cis_union_changes_release(c, names->charged);
    *names = (struct names){0};
}
