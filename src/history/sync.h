/* Making one tree what another is, by rows: the core of restore and of sending to another store.
 * Internal to this room. */
#ifndef CIS_HISTORY_SYNC_H
#define CIS_HISTORY_SYNC_H

#include "history/edit.h"
#include "history/move.h"

/* Chunks of the source as chunks of the target; the bound is borrowed. */
struct chunk_map;
void cis_chunk_map_free(struct chunk_map *map);
/* Replaces the chunks of a file's extents; what the target lacks is stored there first. */
cis_code cis_chunk_map_extents(struct chunk_map *map, struct extents *extents,
                               struct cis_error *err);

struct sync {
    const struct cis_history *from;
    struct cis_view view;
    struct edit edit;         /* of the target; opened by the caller */
    struct chunk_map *chunks; /* NULL: the same tenant, chunks are shared */
    struct cis_map inos;      /* of the source → of the target: what has its row already */
    struct cis_map taken;     /* of the target: written over */
    struct links dirs;        /* still to do: parent: source, ino[0]: target, ino[1]: it is new */
    struct cis_history_pin from_pin, to_pin; /* id 0: none */
    struct cis_move_counts *counts;          /* may be NULL */
    cis_move_progress *progress;             /* may be NULL */
    void *self;
    struct cis_error *err;
};

/* The target's directory becomes what the source's is, with all below it. */
cis_code cis_sync_dirs(struct sync *s, uint64_t from, uint64_t to);
void cis_sync_done(struct sync *s);

#endif
