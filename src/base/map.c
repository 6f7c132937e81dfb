#include "base/map.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "base/wraps.h"

/* FNV-1a over a random seed, finished by a multiply-xor mix: keys are chosen by guests, the seed is
 * not known to them, and a map is charged to the run, so a collision attack costs only its owner.
 */
CIS_WRAPS static uint64_t hash(const struct cis_map *map, struct cis_str key)
{
    uint64_t h = map->seed;
    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ (uint8_t)key.ptr[i]) * 0x100000001b3ull;
    }
    h ^= h >> 32;
    h = cis_mix(h);
    return h ^ (h >> 29);
}

static uint32_t *find(const struct cis_map *map, struct cis_str key)
{
    if (map->nslots == 0) {
        return NULL;
    }
    for (size_t i = hash(map, key) & (map->nslots - 1);; i = (i + 1) & (map->nslots - 1)) {
        uint32_t *slot = &map->slots[i];
        if (*slot == 0 || cis_str_eq(map->entries[*slot - 1].key, key)) {
            return slot;
        }
    }
}

void cis_map_done(struct cis_map *map, void (*free_value)(void *))
{
    for (size_t i = 0; i < map->count; i++) {
        if (free_value != NULL && map->entries[i].value != NULL) {
            free_value(map->entries[i].value);
        }
        cis_free((void *)(uintptr_t)map->entries[i].key.ptr);
    }
    cis_free(map->entries);
    cis_free(map->slots);
    *map = CIS_MAP_INIT;
}

void *cis_map_get(const struct cis_map *map, struct cis_str key)
{
    uint32_t *slot = find(map, key);
    return slot != NULL && *slot != 0 ? map->entries[*slot - 1].value : NULL;
}

bool cis_map_knows(const struct cis_map *map, struct cis_str key)
{
    const uint32_t *slot = find(map, key);
    return slot != NULL && *slot != 0;
}

static bool grow(struct cis_map *map)
{
    if (map->seed == 0) {
        cis_random_bytes(&map->seed, sizeof map->seed);
        map->seed |= 1;
    }
    if (map->count == map->cap) {
        size_t cap = cis_cap_next(map->cap, 8, CIS_MEM_MAX);
        if (cap > UINT32_MAX / 4) {
            return false;
        }
        struct cis_map_entry *entries = cis_realloc_array(map->entries, cap, sizeof *entries);
        if (entries == NULL) {
            return false;
        }
        map->entries = entries;
        map->cap = cap;
    }
    if ((map->count + 1) * 2 > map->nslots) {
        size_t n = cis_cap_next(map->nslots, 16, CIS_MEM_MAX);
        uint32_t *slots = cis_calloc(n, sizeof *slots);
        if (slots == NULL) {
            return false;
        }
        cis_free(map->slots);
        map->slots = slots;
        map->nslots = n;
        for (size_t i = 0; i < map->count; i++) {
            *find(map, map->entries[i].key) = (uint32_t)i + 1;
        }
    }
    return true;
}

cis_code cis_map_set(struct cis_map *map, struct cis_str key, void *value, void **out_old,
                     struct cis_error *err)
{
    uint32_t *slot = find(map, key);
    if (slot != NULL && *slot != 0) {
        struct cis_map_entry *e = &map->entries[*slot - 1];
        if (out_old != NULL) {
            *out_old = e->value;
        }
        map->live += (size_t)(value != NULL) - (size_t)(e->value != NULL);
        e->value = value;
        return CIS_OK;
    }
    char *copy = cis_strndup(key.ptr != NULL ? key.ptr : "", key.len);
    if (copy == NULL || !grow(map)) {
        cis_free(copy);
        return cis_fail(err, CIS_E_NOMEM, "map: out of memory");
    }
    struct cis_str own = {copy, key.len};
    slot = find(map, own);
    map->entries[map->count] = (struct cis_map_entry){own, value};
    *slot = (uint32_t)++map->count;
    map->live += value != NULL;
    if (out_old != NULL) {
        *out_old = NULL;
    }
    return CIS_OK;
}

void *cis_map_remove(struct cis_map *map, struct cis_str key)
{
    uint32_t *slot = find(map, key);
    if (slot == NULL || *slot == 0) {
        return NULL;
    }
    void *value = map->entries[*slot - 1].value;
    map->entries[*slot - 1].value = NULL; /* the key stays as a tombstone until the map is freed */
    map->live -= value != NULL;
    return value;
}
