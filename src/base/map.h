/* String map: copied keys (any bytes), borrowed values, open addressing with a per-map random seed
 * (keys come from guests). Iteration order is insertion order. Not for sharing between threads. */
#ifndef CIS_BASE_MAP_H
#define CIS_BASE_MAP_H

#include "base/error.h"
#include "base/str.h"

struct cis_map_entry {
    struct cis_str key; /* owned by the map */
    void *value;        /* NULL: removed */
};

struct cis_map {
    struct cis_map_entry *entries; /* in insertion order */
    uint32_t *slots;               /* index + 1 into entries, 0 empty */
    size_t count, cap, nslots, live;
    uint64_t seed;
};

#define CIS_MAP_INIT ((struct cis_map){NULL, NULL, 0, 0, 0, 0, 0})

/* Frees keys and table; values with free_value when given. */
void cis_map_done(struct cis_map *map, void (*free_value)(void *));
void *cis_map_get(const struct cis_map *map, struct cis_str key);
/* Does the map hold a copy of the key, with a value or (removed) without? */
bool cis_map_knows(const struct cis_map *map, struct cis_str key);
/* Sets or replaces; *out_old (may be NULL) gets the value before, NULL if none. */
cis_code cis_map_set(struct cis_map *map, struct cis_str key, void *value, void **out_old,
                     struct cis_error *err);
/* Takes the value out; NULL when absent. */
void *cis_map_remove(struct cis_map *map, struct cis_str key);

#define cis_map_foreach(map, e)                                                                    \
    for (struct cis_map_entry *e = (map)->entries; e != NULL && e < (map)->entries + (map)->count; \
         e++)                                                                                      \
        if (e->value != NULL)

#endif
