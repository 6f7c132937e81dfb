/* Searching what the run sees: the service's hits with the run's own writes in their place. */
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sized.h"
#include "service/memory/internal.h"
#include "store/text.h"

#define LOOK_BYTES (1u << 20) /* between two looks at what ends the run */
#define ENTRY_BYTES 256u      /* what an entry costs beside its text */

struct merge {
    cis_memory_view *view;
    const struct cis_query *query;
    struct cis_buf *out;
    struct cis_buf scratch;
    uint32_t left; /* hits still wanted */
    bool any, own_done;
    uint64_t charged;
    uint64_t seen; /* bytes looked at since the last look, once for each word */
    bool ended;    /* by ourselves, so the service may not have said why */
    cis_code code;
    struct cis_error error;
};

static bool emit(struct merge *m, const char *skill, struct cis_str key, struct cis_str value,
                 bool is_public, const char *category)
{
    /* Charged while the answer is made; escaping can make six bytes of one. */
    size_t before = m->out->len;
    m->code = cis_memory_view_charge(m->view, key.len + value.len, &m->error);
    if (m->code != CIS_OK) {
        return false;
    }
    m->charged += key.len + value.len;
    CIS_CLEANUP(cis_buf_done) struct cis_buf full = CIS_BUF_INIT(4096);
    if (skill != NULL) {
        cis_buf_printf(&full, "@%s/", skill);
        cis_buf_str(&full, key);
        m->code = cis_buf_check(&full, "memory: key", &m->error);
        if (m->code != CIS_OK) {
            return false;
        }
    }
    cis_json_object(m->out, CIS_JSON(CIS_J("key", skill != NULL ? cis_buf_view(&full) : key),
                                     CIS_J("value", value),
                                     CIS_J("domain", is_public ? "Public" : "Private"),
                                     CIS_J("category", category)));
    m->code = cis_buf_check(m->out, "memory: search result", &m->error);
    if (m->code != CIS_OK) {
        return false;
    }
    size_t grown = m->out->len - before;
    if (grown > key.len + value.len) {
        m->code = cis_memory_view_charge(m->view, grown - key.len - value.len, &m->error);
        m->charged += m->code == CIS_OK ? grown - key.len - value.len : 0;
    }
    m->any = true;
    m->left--;
    return m->code == CIS_OK && m->left != 0;
}

/* Before text is looked at: how much there is of it is the guest's choice, and so are words that
 * nearly match everywhere. */
static bool may_look(struct merge *m, size_t len)
{
    cis_memory_view *view = m->view;
    uint64_t bytes = len < CIS_TEXT_MAX ? len : CIS_TEXT_MAX;
    m->seen += ENTRY_BYTES + bytes * (1 + m->query->nwords);
    if (m->seen < LOOK_BYTES) {
        return true;
    }
    const struct cis_stop *stop = view->call->stop;
    m->code = stop != NULL ? cis_stop_check(stop, "memory: search", &m->error) : CIS_OK;
    if (m->code == CIS_OK && view->pause.burn != NULL) {
        m->code = view->pause.burn(view->pause.self, m->seen, &m->error);
    }
    m->seen = 0;
    return m->code == CIS_OK;
}

/* The run's own writes: an exact key first, then in order of first write. */
static bool emit_own(struct merge *m)
{
    m->own_done = true;
    for (int pass = 0; pass < 2; pass++) {
        for (const struct memory_entry *e = m->view->first; e != NULL; e = e->next) {
            struct cis_str key = {e->key, e->key_len};
            struct cis_bytes value = {e->value, e->len};
            bool exact = cis_str_eq(key, m->query->whole);
            bool wanted = e->value != NULL && exact == (pass == 0);
            if (!may_look(m, wanted ? e->key_len + e->len : 0)) {
                return false;
            }
            if (!wanted) {
                continue;
            }
            if (exact ||
                cis_query_match(m->query, SIZE_MAX, cis_text_of(cis_bytes_of(key.ptr, key.len)),
                                cis_text_of(value), &m->scratch)) {
                if (!emit(m, NULL, key, (struct cis_str){(const char *)e->value, e->len}, false,
                          "")) {
                    return false;
                }
            }
        }
    }
    m->code = cis_buf_check(&m->scratch, "memory: search", &m->error);
    return m->code == CIS_OK;
}

static const struct cis_sized hit_kind =
    CIS_SIZED(struct cis_memory_hit, "memory hit", "CIS_MEMORY_HIT_INIT");

/* The service may be an embedder's, with another version of the struct. */
static bool take_hit(struct merge *m, const struct cis_memory_hit *given)
{
    struct cis_memory_hit hit = CIS_MEMORY_HIT_INIT;
    struct cis_error why;
    if (cis_sized_take(&hit_kind, given, &hit, &why) != CIS_OK) {
        m->code = cis_fail(&m->error, CIS_E_PROVIDER, "memory: search: %s", why.msg);
        return false;
    }
    struct cis_str key = {hit.key, hit.key_len};
    bool own = strcmp(hit.skill, m->view->call->skill) == 0;
    const struct memory_entry *e = own ? cis_map_get(&m->view->entries, key) : NULL;
    if (e != NULL && e->dirty) {
        return true; /* the run's own write stands for it */
    }
    if (!m->own_done && !cis_str_eq(key, m->query->whole) && !emit_own(m)) {
        return false;
    }
    return emit(m, own ? NULL : hit.skill, key, (struct cis_str){hit.value, hit.value_len},
                hit.is_public, hit.category);
}

static cis_code on_hit(void *self, const struct cis_memory_hit *hit)
{
    struct merge *m = self;
    m->ended = m->ended || !take_hit(m, hit);
    return !m->ended ? CIS_OK : m->code != CIS_OK ? m->code : CIS_E_LIMIT;
}

static cis_code search(struct merge *m, struct cis_str query, struct cis_error *err)
{
    cis_memory_view *view = m->view;
    CIS_TRY(cis_memory_view_reads(view, err));
    if (view->service->search == NULL) {
        return cis_fail(err, CIS_E_PROVIDER, "memory: this service cannot search");
    }
    /* Deleted and overwritten entries may take places among the service's hits. */
    uint64_t want = (uint64_t)m->left + view->ndirty;
    struct cis_error why = {0};
    cis_memory_view_leave(view);
    cis_code code = view->service->search(
        view->service->self, view->call, query.ptr, query.len,
        want < CIS_STORE_SEARCH_MAX ? (uint32_t)want : CIS_STORE_SEARCH_MAX, on_hit, m, &why);
    code = cis_memory_view_return(view, m->ended ? CIS_OK : code, &why);
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    if (m->code == CIS_OK && code == CIS_OK && m->left != 0 && !m->own_done) {
        (void)emit_own(m);
    }
    if (m->code != CIS_OK) {
        if (err != NULL) {
            *err = m->error;
        }
        return m->code;
    }
    return code;
}

cis_code cis_memory_view_search(cis_memory_view *view, struct cis_str query, uint32_t limit,
                                struct cis_buf *out_json, struct cis_error *err)
{
    CIS_TRY(cis_memory_view_ready(view, err));
    CIS_CLEANUP(cis_freep) struct cis_query *q = cis_alloc(sizeof *q);
    if (q == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
    }
    CIS_TRY(cis_query_parse(query, q, err));
    struct merge m = {.view = view,
                      .query = q,
                      .out = out_json,
                      .scratch = CIS_BUF_INIT(CIS_TEXT_PEEK),
                      .left = limit,
                      .code = CIS_OK};
    cis_buf_byte(out_json, '[');
    cis_code code = limit != 0 ? search(&m, query, err) : CIS_OK;
    cis_buf_byte(out_json, ']');
    cis_memory_view_release(view, m.charged);
    cis_buf_done(&m.scratch);
    return code == CIS_OK ? cis_buf_check(out_json, "memory: search result", err) : code;
}
