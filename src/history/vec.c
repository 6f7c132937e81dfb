/* Growing arrays, number sets and name copies of this room. */
#include "history/internal.h"

#include <stdlib.h>

bool cis_history_grow(void **at, size_t *cap, size_t each)
{
    size_t want = cis_cap_next(*cap, 16, CIS_MEM_MAX);
    void *more = cis_realloc_array(*at, want, each);
    if (more == NULL) {
        return false;
    }
    *at = more;
    *cap = want;
    return true;
}

cis_code cis_history_nomem(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "out of memory");
}

void cis_numbers_done(struct numbers *v)
{
    cis_free(v->at);
    *v = (struct numbers){0};
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
        block = cis_alloc(cis_size_add(sizeof *block, size));
        if (block == NULL) {
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

cis_code cis_ids_set(struct cis_map *map, uint64_t id, void *value, struct cis_error *err)
{
    return cis_map_set(map, (struct cis_str){(const char *)&id, sizeof id}, value, NULL, err);
}
