/* What one commit did to skill memory, from the keys it names and the values before and after. */
#include "history/history.h"
#include "history/internal.h"
#include "store/calls.h"

#define VALUE_MAX ((size_t)1 << 30)

struct value {
    bool found, is_public;
    struct cis_buf bytes, category;
};

static void value_done(struct value *v)
{
    cis_buf_done(&v->bytes);
    cis_buf_done(&v->category);
}

static bool take(void *self, const struct cis_kv_entry *entry)
{
    struct value *v = self;
    v->found = true;
    v->is_public = entry->is_public;
    cis_buf_add(&v->bytes, entry->value.ptr, entry->value.len);
    cis_buf_str(&v->category, entry->category);
    return false;
}

static cis_code read_value(const struct cis_history *h, struct cis_view view,
                           const struct memory_key *key, struct value *out, struct cis_error *err)
{
    bool found = false;
    CIS_TRY(
        cis_store_kv_get(h->store, h->tenant,
                         &(struct cis_kv_get_query){
                             .at = view, .ns = key->ns, .key = key->key, .each = take, .self = out},
                         &found, h->stop, err));
    CIS_TRY(cis_buf_check(&out->category, "category", err));
    return cis_buf_check(&out->bytes, "value", err);
}

static bool same(const struct value *a, const struct value *b)
{
    return a->found == b->found && a->is_public == b->is_public &&
           cis_str_eq(cis_buf_view(&a->bytes), cis_buf_view(&b->bytes)) &&
           cis_str_eq(cis_buf_view(&a->category), cis_buf_view(&b->category));
}

cis_code cis_history_memory_diff(const struct cis_history *h, struct cis_view commit,
                                 cis_memory_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(cis_touched_done) struct touched touched = {0};
    const struct cis_view before = {commit.branch, commit.epoch - 1};
    bool dropped = false;
    CIS_TRY(
        cis_touched_branch(h, commit.branch, before.epoch, commit.epoch, &touched, &dropped, err));
    CIS_TRY(dropped ? cis_touched_memory_rows(h, before, commit, &touched, err) : CIS_OK);
    cis_touched_sort(&touched);
    for (size_t i = 0; i < touched.memory.n; i++) {
        const struct memory_key *key = &touched.memory.at[i];
        CIS_CLEANUP(value_done)
        struct value old = {.bytes = CIS_BUF_INIT(VALUE_MAX), .category = CIS_BUF_INIT(VALUE_MAX)};
        CIS_CLEANUP(value_done)
        struct value now = {.bytes = CIS_BUF_INIT(VALUE_MAX), .category = CIS_BUF_INIT(VALUE_MAX)};
        CIS_TRY(read_value(h, before, key, &old, err));
        CIS_TRY(read_value(h, commit, key, &now, err));
        const struct cis_memory_change change = {.what = !old.found   ? 'A'
                                                         : !now.found ? 'D'
                                                                      : 'M',
                                                 .ns = key->ns,
                                                 .key = key->key,
                                                 .size = now.bytes.len,
                                                 .old_size = old.bytes.len};
        if (!same(&old, &now) && !each(self, &change)) {
            return cis_fail(err, CIS_E_CANCELLED, "cancelled");
        }
    }
    return CIS_OK;
}
