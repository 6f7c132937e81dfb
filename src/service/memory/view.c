#include "base/mem.h"
#include "service/memory/internal.h"

/* What an entry costs beside its value: itself, its key twice (the map has a copy), the map's row
 * and slots, and its row among the ops. */
#define ENTRY_BYTES(key_len) (sizeof(struct memory_entry) + 2 * (key_len) + 128)

/* The key is one a skill may use. */
static cis_code key_check(struct cis_str key, struct cis_error *err)
{
    if (key.len == 0 || key.len > CIS_MEMORY_KEY_MAX) {
        return cis_fail(err, CIS_E_INVALID, "memory: the key has %zu bytes; 1 to %u are allowed",
                        key.len, CIS_MEMORY_KEY_MAX);
    }
    return CIS_OK;
}

cis_code cis_memory_view_ready(const cis_memory_view *view, struct cis_error *err)
{
    return view->service != NULL ? CIS_OK
                                 : cis_fail(err, CIS_E_PROVIDER, "no memory service is configured");
}

cis_code cis_memory_view_charge(cis_memory_view *view, uint64_t bytes, struct cis_error *err)
{
    CIS_TRY(cis_budget_charge(view->budget, bytes, "memory", err));
    view->charged += bytes;
    return CIS_OK;
}

void cis_memory_view_release(cis_memory_view *view, uint64_t bytes)
{
    cis_budget_release(view->budget, bytes);
    view->charged -= bytes;
}

cis_code cis_memory_view_new(const struct cis_memory_service *service, const struct cis_call *call,
                             struct cis_budget *budget, cis_memory_view **out_view,
                             struct cis_error *err)
{
    cis_memory_view *view = cis_zalloc(sizeof *view);
    if (view == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
    }
    view->service = view->given = service;
    view->call = call;
    view->budget = budget;
    view->entries = CIS_MAP_INIT;
    *out_view = view;
    return CIS_OK;
}

void cis_memory_view_pause(cis_memory_view *view, struct cis_memory_pause pause)
{
    view->pause = pause;
}

static bool is_foreign(const cis_memory_view *view)
{
    return view->pause.begin != NULL && cis_store_memory_of(view->service) == NULL;
}

void cis_memory_view_leave(cis_memory_view *view)
{
    if (is_foreign(view)) {
        view->pause.begin(view->pause.self);
    }
}

cis_code cis_memory_view_return(cis_memory_view *view, cis_code code, struct cis_error *inout_why)
{
    code = cis_error_foreign(inout_why, code, "memory");
    if (is_foreign(view)) {
        cis_code back = view->pause.end(view->pause.self, code == CIS_OK ? inout_why : NULL);
        code = code == CIS_OK ? back : code;
    }
    return code;
}

static void entry_free(void *entry)
{
    struct memory_entry *e = entry;
    if (e != NULL) {
        cis_free(e->value);
        cis_free(e);
    }
}

void cis_memory_view_forget(cis_memory_view *view)
{
    if (view == NULL) {
        return;
    }
    cis_budget_release(view->budget, view->charged);
    cis_map_done(&view->entries, entry_free);
    cis_free(view->ops);
    view->service = view->given;
    view->is_fixed = false;
    view->entries = CIS_MAP_INIT;
    view->first = view->last = NULL;
    view->ndirty = 0;
    view->charged = 0;
    view->ops = NULL;
}

void cis_memory_view_free(cis_memory_view *view)
{
    cis_memory_view_forget(view);
    cis_free(view);
}

/* Adds an empty entry for a key that has none; charged. */
static cis_code entry_add(cis_memory_view *view, struct cis_str key, struct memory_entry **out,
                          struct cis_error *err)
{
    CIS_TRY(cis_memory_view_charge(view, ENTRY_BYTES(key.len), err));
    struct memory_entry *e = cis_zalloc(cis_size_add(sizeof *e, key.len));
    if (e == NULL) {
        cis_memory_view_release(view, ENTRY_BYTES(key.len));
        return cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
    }
    e->key_len = key.len;
    memcpy(e->key, key.ptr, key.len);
    cis_code code = cis_map_set(&view->entries, key, e, NULL, err);
    if (code != CIS_OK) {
        cis_memory_view_release(view, ENTRY_BYTES(key.len));
        entry_free(e);
        return code;
    }
    *out = e;
    return CIS_OK;
}

/* ---- reading through ---- */

struct reader {
    cis_memory_view *view;
    struct cis_buf value;
    uint64_t charged;
    cis_code code;
    struct cis_error error;
};

static cis_code take_bytes(void *self, const void *data, size_t len)
{
    struct reader *r = self;
    if (r->code == CIS_OK) {
        r->code = cis_memory_view_charge(r->view, len, &r->error);
    }
    if (r->code != CIS_OK) {
        return r->code;
    }
    r->charged += len;
    cis_buf_add(&r->value, data, len);
    r->code = cis_buf_check(&r->value, "memory: value", &r->error);
    return r->code;
}

cis_code cis_memory_view_reads(cis_memory_view *view, struct cis_error *err)
{
    const struct cis_store_memory *mine = cis_store_memory_of(view->service);
    if (mine != NULL && !view->is_fixed) {
        CIS_TRY(cis_store_memory_now(mine, view->call, &view->fixed, err));
        view->service = &view->fixed.service;
        view->is_fixed = true;
    }
    return CIS_OK;
}

static cis_code fetch(cis_memory_view *view, struct cis_str key, struct reader *r, bool *out_found,
                      struct cis_error *err)
{
    struct cis_sink sink = {r, take_bytes};
    bool found = false;
    CIS_TRY(cis_memory_view_reads(view, err));
    struct cis_error why = {0};
    cis_memory_view_leave(view);
    cis_code code =
        view->service->get(view->service->self, view->call, key.ptr, key.len, &sink, &found, &why);
    code = cis_memory_view_return(view, code, &why);
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    if (r->code != CIS_OK) { /* the sink said no: its reason is the true one */
        if (err != NULL) {
            *err = r->error;
        }
        return r->code;
    }
    *out_found = found;
    return code;
}

static cis_code read_through(cis_memory_view *view, struct cis_str key, struct memory_entry **out,
                             struct cis_error *err)
{
    struct reader r = {.view = view, .value = CIS_BUF_INIT(CIS_MEMORY_VALUE_MAX), .code = CIS_OK};
    struct memory_entry *e = NULL;
    bool found = false;
    cis_code code = fetch(view, key, &r, &found, err);
    if (code == CIS_OK) {
        code = entry_add(view, key, &e, err);
    }
    if (code == CIS_OK && found) {
        size_t len;
        uint8_t *value = cis_buf_take(&r.value, &len);
        uint8_t *exact = cis_realloc(value, len != 0 ? len : 1);
        e->value = exact != NULL ? exact : value;
        e->len = len;
        if (e->value == NULL) { /* could not even keep one byte for an empty value */
            (void)cis_map_remove(&view->entries, key);
            cis_memory_view_release(view, ENTRY_BYTES(key.len));
            entry_free(e);
            code = cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
        }
    }
    if (code != CIS_OK || !found) {
        cis_memory_view_release(view, r.charged);
    }
    cis_buf_done(&r.value);
    if (code == CIS_OK) {
        *out = e;
    }
    return code;
}

cis_code cis_memory_view_get(cis_memory_view *view, struct cis_str key, struct cis_bytes *out_value,
                             bool *out_found, struct cis_error *err)
{
    struct memory_entry *e = cis_map_get(&view->entries, key);
    if (e == NULL) {
        CIS_TRY(cis_memory_view_ready(view, err));
        CIS_TRY(key_check(key, err));
        CIS_TRY(read_through(view, key, &e, err));
    }
    *out_value = (struct cis_bytes){e->value, e->len};
    *out_found = e->value != NULL;
    return CIS_OK;
}

/* ---- writing ---- */

/* value is owned by the entry afterwards; NULL deletes. */
static cis_code write_entry(cis_memory_view *view, struct cis_str key, uint8_t *value, size_t len,
                            struct cis_error *err)
{
    struct memory_entry *e = cis_map_get(&view->entries, key);
    if (e == NULL) {
        CIS_TRY(entry_add(view, key, &e, err));
    }
    cis_memory_view_release(view, e->len);
    cis_free(e->value);
    e->value = value;
    e->len = len;
    if (!e->dirty) {
        e->dirty = true;
        if (view->last != NULL) {
            view->last->next = e;
        } else {
            view->first = e;
        }
        view->last = e;
        view->ndirty++;
    }
    cis_free(cis_take(&view->ops));
    return CIS_OK;
}

cis_code cis_memory_view_set(cis_memory_view *view, struct cis_str key, struct cis_bytes value,
                             struct cis_error *err)
{
    CIS_TRY(cis_memory_view_ready(view, err));
    CIS_TRY(key_check(key, err));
    if (value.len > CIS_MEMORY_VALUE_MAX) {
        return cis_fail(err, CIS_E_INVALID,
                        "memory: the value has %zu bytes; at most %u are allowed", value.len,
                        CIS_MEMORY_VALUE_MAX);
    }
    CIS_TRY(cis_memory_view_charge(view, value.len, err));
    uint8_t *copy = cis_alloc(value.len);
    if (copy == NULL) {
        cis_memory_view_release(view, value.len);
        return cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
    }
    if (value.len != 0) {
        memcpy(copy, value.ptr, value.len);
    }
    cis_code code = write_entry(view, key, copy, value.len, err);
    if (code != CIS_OK) {
        cis_memory_view_release(view, value.len);
        cis_free(copy);
    }
    return code;
}

cis_code cis_memory_view_delete(cis_memory_view *view, struct cis_str key, struct cis_error *err)
{
    CIS_TRY(cis_memory_view_ready(view, err));
    CIS_TRY(key_check(key, err));
    return write_entry(view, key, NULL, 0, err);
}

cis_code cis_memory_view_ops(cis_memory_view *view, const struct cis_memory_op **out_ops,
                             size_t *out_n, struct cis_error *err)
{
    if (view->ops == NULL && view->ndirty != 0) {
        view->ops = cis_calloc(view->ndirty, sizeof *view->ops);
        if (view->ops == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
        }
        struct cis_memory_op *op = view->ops;
        for (const struct memory_entry *e = view->first; e != NULL; e = e->next, op++) {
            *op = (struct cis_memory_op){e->key, e->key_len, e->value, e->len};
        }
    }
    *out_ops = view->ops;
    *out_n = view->ndirty;
    return CIS_OK;
}
