/* Skill memory by the three-way rule, key by key: values have no identity but what they are. */
#include "history/threeway.h"
#include "store/calls.h"

struct value {
    struct threeway *t;
    bool found;
    struct cis_kv_op op;
    cis_code code;
};

static bool take_value(void *self, const struct cis_kv_entry *entry)
{
    struct value *v = self;
    struct cis_str text;
    v->found = true;
    v->op.is_public = entry->is_public ? 1 : 0;
    v->code = cis_arena_str(&v->t->arena,
                            (struct cis_str){(const char *)entry->value.ptr, entry->value.len},
                            &text, v->t->err);
    v->op.value = (struct cis_bytes){(const uint8_t *)text.ptr, text.len};
    if (v->code == CIS_OK) {
        v->code = cis_arena_str(&v->t->arena, entry->category, &v->op.category, v->t->err);
    }
    return false;
}

static cis_code read_value(struct threeway *t, struct cis_view view, const struct memory_key *key,
                           struct value *out)
{
    bool found = false;
    *out = (struct value){.t = t, .op = {.ns = key->ns, .key = key->key}};
    CIS_TRY(cis_store_kv_get(
        t->h->store, t->h->tenant,
        &(struct cis_kv_get_query){
            .at = view, .ns = key->ns, .key = key->key, .each = take_value, .self = out},
        &found, t->h->stop, t->err));
    return out->code;
}

static bool value_same(const struct value *a, const struct value *b)
{
    return a->found == b->found &&
           (!a->found ||
            (a->op.is_public == b->op.is_public && cis_str_eq(a->op.category, b->op.category) &&
             a->op.value.len == b->op.value.len &&
             (a->op.value.len == 0 ||
              memcmp(a->op.value.ptr, b->op.value.ptr, a->op.value.len) == 0)));
}

static cis_code memory_conflict(struct threeway *t, const struct memory_key *key)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    cis_buf_text(&text, "memory ");
    cis_buf_str(&text, key->ns);
    cis_buf_byte(&text, ' ');
    cis_buf_str(&text, key->key);
    CIS_TRY(cis_threeway_conflict(t, NULL, 0, "changed on both sides"));
    return cis_arena_str(&t->arena, cis_buf_view(&text),
                         &t->conflicts.at[t->conflicts.n - 1].memory, t->err);
}

/* As settle_link (threeway_base.c). */
static cis_code settle_value(struct threeway *t, const struct memory_key *key, struct value *out,
                             bool *out_settled)
{
    struct value v[THREE_BASES + 1] = {{0}};
    size_t changed = SIZE_MAX;
    bool all = true;
    for (size_t i = 0; i < t->nbases + (t->rooted ? 1 : 0); i++) {
        CIS_TRY(read_value(t, t->base[i].view, key, &v[i]));
        all &= i >= t->nbases || value_same(&v[0], &v[i]);
    }
    *out = v[0];
    *out_settled = all;
    if (all || !t->rooted) {
        return CIS_OK;
    }
    *out_settled = true;
    for (size_t i = 0; i < t->nbases; i++) {
        if (value_same(&v[i], &v[t->nbases])) {
            continue;
        }
        *out_settled &= changed == SIZE_MAX || value_same(&v[i], &v[changed]);
        changed = i;
    }
    *out = changed != SIZE_MAX ? v[changed] : v[0];
    return CIS_OK;
}

static cis_code take_key(struct threeway *t, const struct memory_key *key)
{
    struct value base, theirs, ours;
    bool settled;
    CIS_TRY(settle_value(t, key, &base, &settled));
    CIS_TRY(read_value(t, t->view[THEIRS], key, &theirs));
    CIS_TRY(read_value(t, t->view[OURS], key, &ours));
    settled &= !(t->careful && cis_touched_memory(&t->mine, key));
    if (value_same(&ours, &theirs) || (settled && value_same(&base, &theirs))) {
        return CIS_OK;
    }
    if (!settled || !value_same(&ours, &base)) {
        return memory_conflict(t, key);
    }
    struct cis_kv_op *op = vec_add(&t->kv);
    if (op == NULL) {
        return cis_history_nomem(t->err);
    }
    *op = theirs.op;
    op->remove = !theirs.found;
    return CIS_OK;
}

cis_code cis_threeway_memory(struct threeway *t)
{
    for (size_t i = 0; i < t->touched.memory.n; i++) {
        CIS_TRY(take_key(t, &t->touched.memory.at[i]));
    }
    t->edit.kv = t->kv.at;
    t->edit.nkv = t->kv.n;
    return CIS_OK;
}
