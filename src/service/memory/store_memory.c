/* The memory service over a store. */
#include "base/clock.h"
#include "base/mem.h"
#include "service/memory/memory.h"
#include "store/calls.h"

/* An embedder may make a cis_call without a stop of ours: then its deadline counts. */
static struct cis_stop stop_of(const struct cis_call *call)
{
    if (call->stop != NULL) {
        return *(const struct cis_stop *)call->stop;
    }
    return (struct cis_stop){call->deadline_ns, NULL};
}

struct found {
    struct cis_sink *out;
    bool public_only, hit;
    cis_code said; /* by the sink */
};

static bool give_value(void *self, const struct cis_kv_entry *entry)
{
    struct found *f = self;
    if (!f->public_only || entry->is_public) {
        f->hit = true;
        f->said = f->out->write(f->out->self, entry->value.ptr, entry->value.len);
    }
    return false;
}

static enum cis_code memory_get(void *self, const struct cis_call *call, const char *key,
                                size_t key_len, struct cis_sink *out, bool *out_found,
                                struct cis_error *err)
{
    const struct cis_store_memory *m = self;
    struct cis_stop stop = stop_of(call);
    struct cis_str tenant = cis_str_of(call->tenant), name = {key, key_len};
    struct found f = {.out = out};
    bool there = false;
    if (m->empty) {
        *out_found = false;
        return CIS_OK;
    }
    CIS_TRY(cis_store_kv_get(m->store, tenant,
                             &(struct cis_kv_get_query){.at = m->at,
                                                        .ns = cis_str_of(call->skill),
                                                        .key = name,
                                                        .each = give_value,
                                                        .self = &f},
                             &there, &stop, err));
    if (!there && key_len > 1 && key[0] == '@') {
        struct cis_str rest = {key + 1, key_len - 1}, skill;
        if (cis_str_split(&rest, '/', &skill) && skill.len != 0 && rest.len != 0) {
            f.public_only = true;
            CIS_TRY(cis_store_kv_get(
                m->store, tenant,
                &(struct cis_kv_get_query){
                    .at = m->at, .ns = skill, .key = rest, .each = give_value, .self = &f},
                &there, &stop, err));
        }
    }
    CIS_TRY(f.said);
    *out_found = f.hit;
    return CIS_OK;
}

struct hits {
    cis_memory_hit_fn *each;
    void *each_self;
    cis_code said;
};

static bool give_hit(void *self, const struct cis_kv_entry *e)
{
    struct hits *h = self;
    char skill[CIS_STORE_NAME_MAX + 1], category[CIS_STORE_CATEGORY_MAX + 1];
    if (e->ns.len >= sizeof skill || e->category.len >= sizeof category) {
        return true; /* not a row that a commit could have written */
    }
    memcpy(skill, e->ns.ptr, e->ns.len);
    skill[e->ns.len] = 0;
    memcpy(category, e->category.ptr, e->category.len);
    category[e->category.len] = 0;
    struct cis_memory_hit hit = {.size = sizeof hit,
                                 .skill = skill,
                                 .key = e->key.ptr,
                                 .key_len = e->key.len,
                                 .value = e->value.ptr,
                                 .value_len = e->value.len,
                                 .is_public = e->is_public,
                                 .category = category};
    h->said = h->each(h->each_self, &hit);
    return h->said == CIS_OK;
}

static enum cis_code memory_search(void *self, const struct cis_call *call, const char *query,
                                   size_t query_len, uint32_t limit, cis_memory_hit_fn *each,
                                   void *each_self, struct cis_error *err)
{
    const struct cis_store_memory *m = self;
    struct cis_stop stop = stop_of(call);
    struct hits h = {each, each_self, CIS_OK};
    if (m->empty) {
        return CIS_OK;
    }
    CIS_TRY(cis_store_kv_search(
        m->store, cis_str_of(call->tenant),
        &(struct cis_kv_search_query){.at = m->at,
                                      .ns = cis_str_of(call->skill),
                                      .query = (struct cis_str){query, query_len},
                                      .limit = limit},
        give_hit, &h, &stop, err));
    return h.said;
}

struct keys {
    cis_memory_key_fn *each;
    void *each_self;
    cis_code said;
};

static bool give_key(void *self, const struct cis_kv_entry *e)
{
    struct keys *k = self;
    k->said = k->each(k->each_self, e->key.ptr, e->key.len, e->value.len);
    return k->said == CIS_OK;
}

static enum cis_code memory_list(void *self, const struct cis_call *call, const char *prefix,
                                 size_t prefix_len, uint32_t limit, cis_memory_key_fn *each,
                                 void *each_self, struct cis_error *err)
{
    const struct cis_store_memory *m = self;
    struct cis_stop stop = stop_of(call);
    struct keys k = {each, each_self, CIS_OK};
    struct cis_kv_query query = {
        .at = m->at, .ns = cis_str_of(call->skill), .prefix = {prefix, prefix_len}, .limit = limit};
    if (m->empty) {
        return CIS_OK;
    }
    CIS_TRY(
        cis_store_kv_list(m->store, cis_str_of(call->tenant), &query, give_key, &k, &stop, err));
    return k.said;
}

static enum cis_code memory_commit(void *self, const struct cis_call *call,
                                   const struct cis_memory_op *ops, size_t nops,
                                   struct cis_error *err)
{
    const struct cis_store_memory *m = self;
    struct cis_stop stop = stop_of(call);
    CIS_CLEANUP(cis_freep) struct cis_kv_op *kv = cis_calloc(nops, sizeof *kv);
    if (kv == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
    }
    for (size_t i = 0; i < nops; i++) {
        kv[i] = (struct cis_kv_op){.ns = cis_str_of(call->skill),
                                   .key = {ops[i].key, ops[i].key_len},
                                   .value = cis_bytes_of(ops[i].value, ops[i].value_len),
                                   .remove = ops[i].value == NULL,
                                   .is_public = -1};
    }
    struct cis_store_commit commit = {
        .kv = kv, .nkv = nops, .quota_bytes = m->quota_bytes, .quota_keys = m->quota_keys};
    return cis_store_commit(m->store, cis_str_of(call->tenant), &commit, &stop, err);
}

void cis_store_memory_init(struct cis_store_memory *memory, cis_store *store, uint64_t quota_bytes,
                           uint64_t quota_keys)
{
    *memory = (struct cis_store_memory){.service = {.size = sizeof memory->service,
                                                    .self = memory,
                                                    .get = memory_get,
                                                    .search = memory_search,
                                                    .list = memory_list,
                                                    .commit = memory_commit},
                                        .store = store,
                                        .quota_bytes = quota_bytes,
                                        .quota_keys = quota_keys};
}

cis_code cis_store_memory_now(const struct cis_store_memory *memory, const struct cis_call *call,
                              struct cis_store_memory *out, struct cis_error *err)
{
    struct cis_stop stop = stop_of(call);
    struct cis_fs_ref ref = {.name = ""};
    struct cis_error why;
    cis_code code =
        cis_store_ref_get(memory->store, cis_str_of(call->tenant), CIS_STR(""), &ref, &stop, &why);
    if (code != CIS_OK && code != CIS_E_NOTFOUND) {
        if (err != NULL) {
            *err = why;
        }
        return code;
    }
    *out = *memory;
    out->service.self = out;
    out->at = ref.head;
    out->empty = code == CIS_E_NOTFOUND;
    return CIS_OK;
}

struct cis_store_memory *cis_store_memory_of(const struct cis_memory_service *service)
{
    return service != NULL && service->get == memory_get ? service->self : NULL;
}
