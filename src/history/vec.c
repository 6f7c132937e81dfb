/* Growing arrays, number sets and name copies of this room. */
#include "history/internal.h"

#include <inttypes.h>
#include <stdlib.h>

void cis_bound_init(struct cis_bound *bound, const struct cis_history *h)
{
    *bound =
        (struct cis_bound){.budget.limit = h->bytes_max != 0 ? h->bytes_max : CIS_HISTORY_BYTES};
}

cis_code cis_bound_told(const struct cis_bound *bound, cis_code code, const char *verb,
                        struct cis_error *err)
{
    if (code != CIS_E_BUDGET && !(code == CIS_E_NOMEM && bound->refused)) {
        return code;
    }
    return cis_fail(err, CIS_E_BUDGET,
                    "%s: it needs more memory than limits.history_bytes allows (%" PRIu64
                    " bytes); raise the setting",
                    verb, bound->budget.limit);
}

bool cis_bound_charge(struct cis_bound *bound, uint64_t bytes)
{
    if (bound == NULL) {
        return true;
    }
    if (cis_budget_charge(&bound->budget, bytes, "history", NULL) != CIS_OK) {
        bound->refused = true;
        return false;
    }
    return true;
}

void cis_bound_release(struct cis_bound *bound, uint64_t bytes)
{
    if (bound != NULL) {
        cis_budget_release(&bound->budget, bytes);
    }
}

#define LONG 65536u /* from here on arrays grow by a quarter: half of a long one is much */

bool cis_history_grow(void **at, size_t *cap, size_t each, struct cis_bound *bound)
{
    size_t want = *cap < LONG ? cis_cap_next(*cap, 16, CIS_MEM_MAX) : cis_size_add(*cap, *cap / 4);
    size_t more_bytes = cis_size_mul(want - *cap, each);
    if (!cis_bound_charge(bound, more_bytes)) {
        return false;
    }
    void *more = cis_realloc_array(*at, want, each);
    if (more == NULL) {
        cis_bound_release(bound, more_bytes);
        return false;
    }
    *at = more;
    *cap = want;
    return true;
}

void cis_history_drop(void **at, size_t *n, size_t *cap, size_t each, struct cis_bound *bound)
{
    cis_bound_release(bound, cis_size_mul(*cap, each));
    cis_free(*at);
    *at = NULL;
    *n = *cap = 0;
}

cis_code cis_history_nomem(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "out of memory");
}

void cis_numbers_done(struct numbers *v)
{
    vec_done(v);
}

cis_code cis_numbers_add(struct numbers *v, uint64_t x, struct cis_error *err)
{
    if (v->n != 0 && v->at[v->n - 1] == x) {
        return CIS_OK;
    }
    uint64_t *slot = vec_add(v);
    if (slot == NULL) {
        return cis_history_nomem(err);
    }
    *slot = x;
    return CIS_OK;
}

static int number_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void cis_numbers_sort(struct numbers *v)
{
    bool sorted = true;
    for (size_t i = 1; i < v->n && sorted; i++) {
        sorted = v->at[i - 1] < v->at[i];
    }
    if (sorted) {
        return;
    }
    qsort(v->at, v->n, sizeof *v->at, number_cmp);
    size_t kept = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (kept == 0 || v->at[kept - 1] != v->at[i]) {
            v->at[kept++] = v->at[i];
        }
    }
    v->n = kept;
}

size_t cis_numbers_at(const struct numbers *v, uint64_t x)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (v->at[mid] < x) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

bool cis_numbers_has(const struct numbers *v, uint64_t x)
{
    size_t i = cis_numbers_at(v, x);
    return i < v->n && v->at[i] == x;
}

#define BLOCK 65536u
struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(8) uint8_t data[];
};

void cis_arena_done(struct arena *arena)
{
    while (arena->head != NULL) {
        struct arena_block *next = arena->head->next;
        cis_bound_release(arena->bound, arena->head->size);
        cis_free(arena->head);
        arena->head = next;
    }
}

void *cis_arena_alloc(struct arena *arena, size_t len, struct cis_error *err)
{
    len = cis_size_add(len, 7) & ~(size_t)7;
    struct arena_block *block = arena->head;
    if (block == NULL || block->size - block->used < len) {
        size_t size = len > BLOCK ? len : BLOCK;
        bool room = cis_bound_charge(arena->bound, size);
        block = room ? cis_alloc(cis_size_add(sizeof *block, size)) : NULL;
        if (block == NULL) {
            cis_bound_release(arena->bound, room ? size : 0);
            cis_history_nomem(err);
            return NULL;
        }
        *block = (struct arena_block){arena->head, 0, size};
        arena->head = block;
    }
    void *at = block->data + block->used;
    block->used += len;
    return at;
}

cis_code cis_arena_str(struct arena *arena, struct cis_str text, struct cis_str *out,
                       struct cis_error *err)
{
    char *copy = cis_arena_alloc(arena, cis_size_add(text.len, 1), err);
    if (copy == NULL) {
        return CIS_E_NOMEM;
    }
    if (text.len != 0) {
        memcpy(copy, text.ptr, text.len);
    }
    copy[text.len] = 0;
    *out = (struct cis_str){copy, text.len};
    return CIS_OK;
}

void *cis_ids_get(const struct cis_map *map, uint64_t id)
{
    return cis_map_get(map, (struct cis_str){(const char *)&id, sizeof id});
}

#define ENTRY 112u /* of a map: its key, its slots, and room to grow */

cis_code cis_ids_set(struct cis_map *map, uint64_t id, void *value, struct cis_bound *bound,
                     struct cis_error *err)
{
    struct cis_str key = {(const char *)&id, sizeof id};
    if (!cis_map_knows(map, key) && !cis_bound_charge(bound, ENTRY)) {
        return cis_history_nomem(err);
    }
    return cis_map_set(map, (struct cis_str){(const char *)&id, sizeof id}, value, NULL, err);
}
