/* A branch to another store: rows are read here and written there as one commit, and of the content
 * only what the other tenant lacks travels. What it has is known by the keyed hashes of its chunks,
 * which are listed once. */
#include "history/sync.h"

#include <stdlib.h>
#include "base/crypto.h"
#include "store/chunk.h"
#include "store/calls.h"

#define GROUP 16u
#define HASH 144u /* what a chunk that is known by its hash takes of the map */

struct chunk_map {
    const struct cis_history *from, *to;
    struct cis_move_counts *counts;
    struct cis_bound *bound;
    struct cis_map ids;    /* source chunk → target chunk */
    struct cis_map hashes; /* hash → target chunk */
    uint8_t key[32];
    cis_chunk_codec *codec;
    uint8_t *content, *packed; /* of a group */
};

struct listing {
    struct chunk_map *map;
    uint64_t last;
    uint32_t seen;
    cis_code code;
    struct cis_error *err;
};

static bool note_chunk(void *self, const struct cis_fs_chunk_info *info)
{
    struct listing *l = self;
    l->seen++;
    l->last = info->id;
    if (!cis_bound_charge(l->map->bound, HASH)) {
        l->code = cis_history_nomem(l->err);
        return false;
    }
    l->code =
        cis_map_set(&l->map->hashes, (struct cis_str){(const char *)info->hash, sizeof info->hash},
                    (void *)(uintptr_t)info->id, NULL, l->err);
    return l->code == CIS_OK;
}

#define PAGE 4096u

static cis_code fill(struct chunk_map *map, struct cis_error *err)
{
    const struct cis_history *to = map->to;
    struct cis_tenant tenant;
    struct listing l = {.map = map, .err = err};
    cis_code code = cis_store_tenant_get(to->store, to->tenant, &tenant, to->stop, err);
    if (code == CIS_OK) {
        memcpy(map->key, tenant.key, sizeof map->key);
    }
    cis_wipe(&tenant, sizeof tenant);
    CIS_TRY(code);
    do {
        l.seen = 0;
        CIS_TRY(cis_store_chunk_list(to->store, to->tenant,
                                     &(struct cis_fs_chunk_query){.after = l.last, .limit = PAGE},
                                     note_chunk, &l, to->stop, err));
        CIS_TRY(l.code);
    } while (l.seen == PAGE);
    CIS_TRY(cis_chunk_codec_new(&map->codec, err));
    map->content = cis_alloc(GROUP * CIS_FS_BLOCK);
    map->packed = cis_alloc(GROUP * CIS_CHUNK_PACKED_MAX);
    return map->content != NULL && map->packed != NULL ? CIS_OK : cis_history_nomem(err);
}

static cis_code map_new(const struct cis_history *from, const struct cis_history *to,
                        struct cis_move_counts *counts, struct cis_bound *bound,
                        struct chunk_map **out, struct cis_error *err)
{
    struct chunk_map *map = cis_zalloc(sizeof *map);
    if (map == NULL) {
        return cis_history_nomem(err);
    }
    map->from = from;
    map->to = to;
    map->counts = counts;
    map->bound = bound;
    map->ids = CIS_MAP_INIT;
    map->hashes = CIS_MAP_INIT;
    cis_code code = fill(map, err);
    if (code != CIS_OK) {
        cis_chunk_map_free(map);
        return code;
    }
    *out = map;
    return CIS_OK;
}

void cis_chunk_map_free(struct chunk_map *map)
{
    if (map != NULL) {
        cis_map_done(&map->ids, NULL);
        cis_map_done(&map->hashes, NULL);
        cis_chunk_codec_free(map->codec);
        cis_free(map->content);
        cis_free(map->packed);
        cis_wipe(map->key, sizeof map->key);
        cis_free(map);
    }
}

struct group {
    uint64_t source[GROUP], target[GROUP];
    struct cis_fs_chunk chunk[GROUP];
    uint32_t len[GROUP];
    size_t n;
};

static cis_code read_group(struct chunk_map *map, struct group *g, struct cis_error *err)
{
    const struct cis_history *from = map->from;
    struct cis_fs_read reads[GROUP];
    for (size_t i = 0; i < g->n; i++) {
        reads[i] = (struct cis_fs_read){
            .chunk = g->source[i], .len = CIS_FS_BLOCK, .dst = map->content + i * CIS_FS_BLOCK};
    }
    CIS_TRY(cis_store_chunk_read(from->store, from->tenant, reads, g->n, from->stop, err));
    for (size_t i = 0; i < g->n; i++) {
        if (reads[i].code != CIS_OK) {
            return cis_fail(err, reads[i].code, "chunk %llu cannot be read",
                            (unsigned long long)g->source[i]);
        }
        const uint8_t *content = reads[i].dst;
        uint32_t len = CIS_FS_BLOCK;
        while (len > 1 && content[len - 1] == 0) {
            len--;
        }
        g->len[i] = len;
        cis_chunk_hash(map->key, (struct cis_bytes){content, len}, g->chunk[i].hash);
    }
    return CIS_OK;
}

static struct cis_str hash_key(const struct group *g, size_t i)
{
    return (struct cis_str){(const char *)g->chunk[i].hash, sizeof g->chunk[i].hash};
}

/* What the target has under these ids is the content, whole: what is damaged there is stored again,
 * which heals it wherever it is used. */
static cis_code look_at(struct chunk_map *map, struct group *g, const size_t *at, size_t n,
                        struct cis_error *err)
{
    const struct cis_history *to = map->to;
    struct cis_fs_read reads[GROUP];
    for (size_t k = 0; k < n; k++) { /* where they are packed later, if they are */
        reads[k] = (struct cis_fs_read){.chunk = g->target[at[k]],
                                        .len = CIS_FS_BLOCK,
                                        .dst = map->packed + k * CIS_CHUNK_PACKED_MAX};
    }
    CIS_TRY(cis_store_chunk_read(to->store, to->tenant, reads, n, to->stop, err));
    for (size_t k = 0; k < n; k++) {
        if (reads[k].code != CIS_OK ||
            memcmp(reads[k].dst, map->content + at[k] * CIS_FS_BLOCK, CIS_FS_BLOCK) != 0) {
            g->target[at[k]] = 0;
        }
    }
    return CIS_OK;
}

/* Those that the target has are stamped, so that no sweep takes them before the commit; those that
 * it has no more, or not whole, are stored again. */
static cis_code find_group(struct chunk_map *map, struct group *g, struct cis_error *err)
{
    const struct cis_history *to = map->to;
    uint64_t ids[GROUP];
    bool lost[GROUP] = {false};
    size_t at[GROUP], n = 0;
    for (size_t i = 0; i < g->n; i++) {
        g->target[i] = (uint64_t)(uintptr_t)cis_map_get(&map->hashes, hash_key(g, i));
        if (g->target[i] != 0) {
            ids[n] = g->target[i];
            at[n++] = i;
        }
    }
    if (n == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_store_chunk_touch(to->store, to->tenant, ids, n, lost, to->stop, err));
    size_t there = 0;
    for (size_t k = 0; k < n; k++) {
        if (lost[k]) {
            g->target[at[k]] = 0;
        } else {
            at[there++] = at[k];
        }
    }
    return there != 0 ? look_at(map, g, at, there, err) : CIS_OK;
}

static cis_code put_group(struct chunk_map *map, struct group *g, struct cis_error *err)
{
    const struct cis_history *to = map->to;
    struct cis_fs_chunk put[GROUP];
    uint64_t ids[GROUP];
    size_t at[GROUP], n = 0;
    for (size_t i = 0; i < g->n; i++) {
        if (g->target[i] != 0) {
            continue;
        }
        uint8_t *out = map->packed + n * CIS_CHUNK_PACKED_MAX;
        struct cis_bytes content = {map->content + i * CIS_FS_BLOCK, g->len[i]};
        put[n] = g->chunk[i];
        put[n].packed = (struct cis_bytes){out, cis_chunk_pack(map->codec, content, true, out)};
        at[n++] = i;
    }
    if (n != 0) {
        CIS_TRY(cis_store_chunk_put(to->store, to->tenant,
                                    &(struct cis_fs_put_request){.chunks = put, .n = n}, ids,
                                    to->stop, err));
    }
    for (size_t k = 0; k < n; k++) {
        g->target[at[k]] = ids[k];
        CIS_TRY(
            cis_map_set(&map->hashes, hash_key(g, at[k]), (void *)(uintptr_t)ids[k], NULL, err));
    }
    map->counts->chunks += g->n;
    map->counts->chunks_sent += n;
    for (size_t i = 0; i < g->n; i++) {
        CIS_TRY(
            cis_ids_set(&map->ids, g->source[i], (void *)(uintptr_t)g->target[i], map->bound, err));
    }
    return CIS_OK;
}

static cis_code do_group(struct chunk_map *map, struct group *g, struct cis_error *err)
{
    if (g->n != 0) {
        CIS_TRY(read_group(map, g, err));
        CIS_TRY(find_group(map, g, err));
        CIS_TRY(put_group(map, g, err));
        g->n = 0;
    }
    return CIS_OK;
}

cis_code cis_chunk_map_extents(struct chunk_map *map, struct extents *extents,
                               struct cis_error *err)
{
    struct group g = {.n = 0};
    for (size_t i = 0; i < extents->n; i++) {
        uint64_t chunk = extents->at[i].chunk;
        bool known = chunk == 0 || cis_ids_get(&map->ids, chunk) != NULL;
        for (size_t k = 0; k < g.n && !known; k++) {
            known = g.source[k] == chunk;
        }
        if (!known) {
            g.source[g.n++] = chunk;
        }
        if (g.n == GROUP) {
            CIS_TRY(do_group(map, &g, err));
        }
    }
    CIS_TRY(do_group(map, &g, err));
    for (size_t i = 0; i < extents->n; i++) {
        if (extents->at[i].chunk != 0) {
            extents->at[i].chunk =
                (uint64_t)(uintptr_t)cis_ids_get(&map->ids, extents->at[i].chunk);
        }
    }
    return CIS_OK;
}

/* ---- the verb ---- */
/* *out_made: the head of a branch that was made here, to be removed if nobody committed to it;
 * else 0. */
static cis_code make_branch(const struct cis_history *to, struct cis_str name,
                            struct cis_view *out_made, struct cis_error *err)
{
    struct cis_fs_ref ref;
    struct cis_error why;
    *out_made = (struct cis_view){0};
    cis_code code = cis_store_ref_get(to->store, to->tenant, name, &ref, to->stop, &why);
    if (code == CIS_OK) {
        return CIS_OK;
    }
    if (code != CIS_E_NOTFOUND) {
        return cis_fail(err, code, "%s", why.msg);
    }
    code = cis_store_tenant_create(to->store, to->tenant, 0, 0, to->stop, &why);
    if (code != CIS_OK && code != CIS_E_EXISTS) {
        return cis_fail(err, code, "%s", why.msg);
    }
    CIS_TRY(cis_store_ref_get(to->store, to->tenant, CIS_STR(""), &ref, to->stop, err));
    if (name.len == 0 || cis_str_is(name, ref.name)) {
        return CIS_OK;
    }
    CIS_TRY(cis_fs_ref_check_free(name, err));
    CIS_TRY(cis_store_fork(to->store, to->tenant, ref.head, &name, 1, to->stop, err));
    CIS_TRY(cis_store_ref_get(to->store, to->tenant, name, &ref, to->stop, err));
    if (ref.head.epoch == ref.fork_epoch) { /* else somebody was quick: it is his */
        *out_made = ref.head;
    }
    return CIS_OK;
}

static cis_code send_to(struct sync *s, const struct cis_history *to, struct cis_str ref,
                        const char *note, struct cis_error *err)
{
    struct cis_history_done done;
    CIS_TRY(cis_edit_open(&s->edit, to, ref, err));
    CIS_TRY(map_new(s->from, to, s->counts, &s->edit.bound, &s->chunks, err));
    CIS_TRY(cis_history_pin(to, s->edit.base, &s->to_pin, err)); /* what is stored stays */
    CIS_TRY(cis_sync_dirs(s, CIS_FS_ROOT, CIS_FS_ROOT));
    return cis_edit_commit(&s->edit, "import", note, &done, err);
}

cis_code cis_history_send(const struct cis_history *from, struct cis_view view,
                          const struct cis_history *to, struct cis_str to_ref, const char *note,
                          cis_move_progress *progress, void *self, struct cis_move_counts *out,
                          struct cis_error *err)
{
    struct cis_move_counts counts = {0};
    struct cis_view made;
    struct cis_error ignored;
    CIS_CLEANUP(cis_sync_done)
    struct sync s = {.from = from,
                     .view = view,
                     .inos = CIS_MAP_INIT,
                     .taken = CIS_MAP_INIT,
                     .edit = {.files = CIS_MAP_INIT},
                     .counts = &counts,
                     .progress = progress,
                     .self = self,
                     .err = err};
    CIS_TRY(cis_history_pin(from, view, &s.from_pin, err));
    CIS_TRY(make_branch(to, to_ref, &made, err));
    cis_code code =
        cis_bound_told(&s.edit.bound, send_to(&s, to, to_ref, note, err), "import", err);
    if (code == CIS_OK) {
        *out = counts;
    } else if (made.branch != 0) { /* with its head: what others committed meanwhile stays */
        (void)!cis_store_ref_expire(to->store, to->tenant, to_ref, made, NULL, &ignored);
    }
    return code;
}
