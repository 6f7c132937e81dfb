/* Chunks: a row each, its head beside the payload, so that a read takes the checksums with it and
 * of a payload that is not compressed only the pieces it needs. New ones go in by the order of
 * their hash, so that no two writers wait for each other, and a row that is there is only stamped.
 */
#include <inttypes.h>
#include <stdlib.h>
#include "base/mem.h"
#include "store/postgres/internal.h"

#define PUT_GROUP (512u << 10) /* bytes of one insert, which is in memory twice */
#define PUT_BATCH (16u << 20)  /* bytes of one transaction */
#define READ_GROUP 64u         /* reads of one statement: at most 4 MiB come back */
#define READ_WINDOW 8u         /* such statements under way */
#define IDS_GROUP 4000u

static int by_hash(const void *a, const void *b, void *chunks)
{
    const struct cis_fs_chunk *all = chunks;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    int order = memcmp(all[i].hash, all[j].hash, sizeof all[i].hash);
    return order != 0 ? order : i < j ? -1 : i > j;
}

size_t cis_pg_chunks_order(const struct cis_fs_chunk *chunks, size_t n, uint32_t *order)
{
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
    }
    if (n != 0) {
        qsort_r(order, n, sizeof *order, by_hash, (void *)(uintptr_t)chunks);
    }
    for (size_t i = 0; i < n; i++) {
        if (distinct == 0 || memcmp(chunks[order[distinct - 1]].hash, chunks[order[i]].hash,
                                    sizeof chunks->hash) != 0) {
            order[distinct++] = order[i];
        }
    }
    return distinct;
}

/* How many from `at` on go into one insert. */
static size_t group_of(const struct cis_fs_chunk *chunks, const uint32_t *order, size_t at,
                       size_t n)
{
    size_t bytes = 0, end = at;
    while (end < n && (end == at || bytes < PUT_GROUP)) {
        bytes += chunks[order[end++]].packed.len;
    }
    return end - at;
}

static cis_code send_group(struct pg_conn *conn, const struct cis_fs_chunk *chunks,
                           const uint32_t *order, size_t n, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array hashes = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array heads = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array data = PG_ARRAY_INIT;
    for (size_t i = 0; i < n; i++) {
        const struct cis_fs_chunk *c = &chunks[order[i]];
        cis_pg_array_bytes(&hashes, c->hash, sizeof c->hash);
        cis_pg_array_bytes(&heads, c->packed.ptr, CIS_CHUNK_HEAD);
        cis_pg_array_bytes(&data, c->packed.ptr + CIS_CHUNK_HEAD, c->packed.len - CIS_CHUNK_HEAD);
    }
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_blobs(&args, &hashes);
    cis_pg_arg_blobs(&args, &heads);
    cis_pg_arg_blobs(&args, &data);
    CIS_TRY(cis_pg_send(conn, PG_CHUNK_PUT, &args, err));
    return cis_pg_drain(conn, err);
}

cis_code cis_pg_chunks_send(struct pg_conn *conn, const struct cis_fs_chunk *chunks,
                            const uint32_t *order, size_t n, struct cis_error *err)
{
    for (size_t at = 0; at < n;) {
        size_t group = group_of(chunks, order, at, n);
        CIS_TRY(send_group(conn, chunks, order + at, group, err));
        at += group;
    }
    return CIS_OK;
}

cis_code cis_pg_chunks_next(struct pg_conn *conn, const struct cis_fs_chunk *chunks,
                            const uint32_t *order, size_t n, struct pg_stored *out,
                            struct cis_error *err)
{
    out->healed = 0;
    for (size_t at = 0; at < n;) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        size_t group = group_of(chunks, order, at, n);
        CIS_TRY(cis_pg_next(conn, PG_CHUNK_PUT, &res, err));
        for (size_t i = 0; i < group; i++) {
            struct cis_bytes hash = cis_pg_bytes(res, (int)i, 1);
            const struct cis_fs_chunk *c = &chunks[order[at + i]];
            if (hash.len != sizeof c->hash || memcmp(hash.ptr, c->hash, sizeof c->hash) != 0) {
                return cis_fail(err, CIS_E_INTERNAL, "chunks came back in another order");
            }
            int64_t how = cis_pg_int(res, (int)i, 3);
            bool fresh = cis_pg_int(res, (int)i, 2) != 0;
            out->ids[at + i] = cis_pg_u64(res, (int)i, 0);
            out->unsure[at + i] = !fresh && how == 2;
            out->healed += !fresh && how == 1;
        }
        at += group;
    }
    return CIS_OK;
}

/* ---- read ---- */
struct read {
    struct cis_fs_read *reads;
    size_t n;
};

/* The pieces that a read of a payload that is not compressed needs. */
static void pieces_of(const struct cis_fs_read *r, uint32_t *out_at, uint32_t *out_len)
{
    uint32_t end =
        r->off > CIS_FS_BLOCK || r->len > CIS_FS_BLOCK - r->off ? CIS_FS_BLOCK : r->off + r->len;
    uint32_t at = r->off / CIS_CHUNK_PIECE * CIS_CHUNK_PIECE;
    end = (end + CIS_CHUNK_PIECE - 1) / CIS_CHUNK_PIECE * CIS_CHUNK_PIECE;
    *out_at = at;
    *out_len = end > at ? end - at : 0;
}

static cis_code read_send(struct pg_conn *conn, const struct cis_fs_read *reads, size_t n,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array ids = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array ats = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array lens = PG_ARRAY_INIT;
    for (size_t i = 0; i < n; i++) {
        uint32_t at, len;
        pieces_of(&reads[i], &at, &len);
        cis_pg_array_u64(&ids, reads[i].chunk);
        cis_pg_array_int(&ats, at);
        cis_pg_array_int(&lens, len);
    }
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_ints(&args, &ids);
    cis_pg_arg_ints(&args, &ats);
    cis_pg_arg_ints(&args, &lens);
    CIS_TRY(cis_pg_send(conn, PG_CHUNK_READ, &args, err));
    return cis_pg_sync(conn, err);
}

/* What came is the whole payload, or the pieces asked for; the head says which, and where. */
static cis_code unpack(struct pg_conn *conn, const PGresult *res, int row, struct cis_fs_read *r,
                       struct cis_error *err)
{
    struct cis_bytes head = cis_pg_bytes(res, row, 1), got = cis_pg_bytes(res, row, 3);
    uint64_t whole = cis_pg_u64(res, row, 2);
    uint32_t from, len, at, asked;
    if (head.len != CIS_CHUNK_HEAD || whole > CIS_FS_BLOCK) {
        return cis_fail(err, CIS_E_DAMAGED, "chunk %" PRIu64 ": not a chunk", r->chunk);
    }
    CIS_TRY(cis_chunk_plan(head.ptr, (uint32_t)whole, r->off, r->len, &from, &len, err));
    pieces_of(r, &at, &asked);
    at = got.len == whole ? 0 : at;
    if (len != 0 && (from < at || from - at > got.len || len > got.len - (from - at))) {
        return cis_fail(err, CIS_E_DAMAGED, "chunk %" PRIu64 ": cut short", r->chunk);
    }
    struct cis_bytes payload = {len != 0 ? got.ptr + (from - at) : got.ptr, len};
    return cis_chunk_unpack(conn->codec, head.ptr, payload, r->off, r->len, r->dst, err);
}

static cis_code read_next(struct pg_conn *conn, struct cis_fs_read *reads, size_t n,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    for (size_t i = 0; i < n; i++) {
        reads[i].code = CIS_E_DAMAGED; /* absent, until a row says otherwise */
    }
    CIS_TRY(cis_pg_next(conn, PG_CHUNK_READ, &res, err));
    for (int row = 0; row < PQntuples(res); row++) {
        uint64_t i = cis_pg_u64(res, row, 0);
        if (i >= 1 && i <= n) {
            reads[i - 1].code = unpack(conn, res, row, &reads[i - 1], NULL);
        }
    }
    return CIS_OK;
}

/* ---- put ---- */
static cis_code read_one(struct pg_conn *conn, uint64_t id, uint8_t *room, cis_code *out,
                         struct cis_error *err)
{
    struct cis_fs_read read = {.chunk = id, .len = CIS_FS_BLOCK, .dst = room};
    CIS_TRY(read_send(conn, &read, 1, err));
    CIS_TRY(read_next(conn, &read, 1, err));
    *out = read.code;
    return cis_pg_finish(conn, err);
}

cis_code cis_pg_chunks_verify(struct pg_conn *conn, const struct cis_fs_chunk *chunks,
                              const uint32_t *order, size_t n, struct pg_stored *stored,
                              struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) uint8_t *room = NULL;
    for (size_t i = 0; i < n; i++) {
        cis_code code;
        if (!stored->unsure[i]) {
            continue;
        }
        if (room == NULL && (room = cis_alloc(CIS_FS_BLOCK)) == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
        }
        CIS_TRY(read_one(conn, stored->ids[i], room, &code, err));
        if (code == CIS_OK) {
            continue;
        }
        struct cis_bytes packed = chunks[order[i]].packed;
        struct pg_args args = {0};
        cis_pg_arg_int(&args, conn->tenant);
        cis_pg_arg_u64(&args, stored->ids[i]);
        cis_pg_arg_bytes(&args, packed.ptr, CIS_CHUNK_HEAD);
        cis_pg_arg_bytes(&args, packed.ptr + CIS_CHUNK_HEAD, packed.len - CIS_CHUNK_HEAD);
        CIS_TRY(cis_pg_ask(conn, PG_CHUNK_HEAL, &args, NULL, err));
        stored->healed++;
    }
    return CIS_OK;
}

struct put {
    const struct cis_fs_chunk *chunks;
    const uint32_t *order;
    size_t n;
    bool accepted;
    struct pg_stored stored;
};

static cis_code put(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct put *p = arg;
    CIS_TRY(cis_pg_chunks_send(conn, p->chunks, p->order, p->n, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_chunks_next(conn, p->chunks, p->order, p->n, &p->stored, err));
    CIS_TRY(cis_pg_finish(conn, err));
    return cis_pg_chunks_verify(conn, p->chunks, p->order, p->n, &p->stored, err);
}

static cis_code put_all(cis_store *store, struct cis_str tenant, struct put *p, size_t n,
                        const struct cis_stop *stop, struct cis_error *err)
{
    const uint32_t *order = p->order;
    struct pg_stored all = p->stored;
    /* On the disk at once: who stored them forgets them, and their numbers, which a crash of the
     * server would take back, would be given again, for other content. */
    struct pg_write write = {.work = put,
                             .arg = p,
                             .create = true,
                             .repeatable = true,
                             .room = p->accepted ? CIS_STORED_ACCEPTED : CIS_STORED_GROWTH};
    for (size_t at = 0; at < n; at += p->n) {
        size_t bytes = 0;
        p->order = order + at;
        p->stored = (struct pg_stored){.ids = all.ids + at, .unsure = all.unsure + at};
        p->n = 0;
        while (at + p->n < n && (p->n == 0 || bytes < PUT_BATCH)) {
            bytes += p->chunks[order[at + p->n++]].packed.len;
        }
        CIS_TRY(cis_pg_write((struct pg_store *)store, tenant, &write, stop, err));
        atomic_fetch_add(&store->healed, p->stored.healed);
    }
    return CIS_OK;
}

/* Where chunks[i] is among the distinct ones. */
static size_t find(const struct cis_fs_chunk *chunks, const uint32_t *order, size_t n, size_t i)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(chunks[order[mid]].hash, chunks[i].hash, sizeof chunks->hash) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

cis_code cis_pg_chunk_put(cis_store *store, struct cis_str tenant,
                          const struct cis_fs_put_request *request, uint64_t *out_ids,
                          const struct cis_stop *stop, struct cis_error *err)
{
    if (request->n == 0) {
        return CIS_OK;
    }
    for (size_t i = 0; i < request->n; i++) {
        if (request->chunks[i].packed.len <= CIS_CHUNK_HEAD ||
            request->chunks[i].packed.len > CIS_CHUNK_PACKED_MAX) {
            return cis_fail(err, CIS_E_INVALID, "chunk %zu: not packed", i);
        }
    }
    CIS_CLEANUP(cis_freep) uint32_t *order = cis_calloc(request->n, sizeof *order);
    CIS_CLEANUP(cis_freep) uint64_t *ids = cis_calloc(request->n, sizeof *ids);
    CIS_CLEANUP(cis_freep) bool *unsure = cis_calloc(request->n, sizeof *unsure);
    if (order == NULL || ids == NULL || unsure == NULL || request->n > UINT32_MAX) {
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    size_t distinct = cis_pg_chunks_order(request->chunks, request->n, order);
    struct put p = {request->chunks, order, 0, request->accepted, {.ids = ids, .unsure = unsure}};
    CIS_TRY(put_all(store, tenant, &p, distinct, stop, err));
    for (size_t i = 0; i < request->n; i++) {
        out_ids[i] = ids[find(request->chunks, order, distinct, i)];
    }
    return CIS_OK;
}

/* ---- touch ---- */
struct touch {
    const uint64_t *ids;
    size_t n;
    bool *lost;
    int64_t before_ms; /* remove */
    uint64_t removed;
};

static cis_code ids_ask(struct pg_conn *conn, enum pg_id id, const struct touch *t, size_t at,
                        size_t n, PGresult **out, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array ids = PG_ARRAY_INIT;
    struct pg_args args = {0};
    for (size_t i = 0; i < n; i++) {
        cis_pg_array_u64(&ids, t->ids[at + i]);
    }
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_ints(&args, &ids);
    if (id == PG_CHUNK_REMOVE) {
        cis_pg_arg_int(&args, t->before_ms);
    }
    return cis_pg_ask(conn, id, &args, out, err);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static cis_code touch(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct touch *t = arg;
    for (size_t at = 0; at < t->n; at += IDS_GROUP) {
        size_t n = t->n - at < IDS_GROUP ? t->n - at : IDS_GROUP;
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(ids_ask(conn, PG_CHUNK_TOUCH, t, at, n, &res, err));
        size_t got = (size_t)PQntuples(res);
        CIS_CLEANUP(cis_freep) uint64_t *there = cis_calloc(cis_size_add(got, 1), sizeof *there);
        if (there == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
        }
        for (size_t i = 0; i < got; i++) {
            there[i] = cis_pg_u64(res, (int)i, 0);
        }
        qsort(there, got, sizeof *there, by_value);
        for (size_t i = 0; i < n; i++) {
            t->lost[at + i] = bsearch(&t->ids[at + i], there, got, sizeof *there, by_value) == NULL;
        }
    }
    return CIS_OK;
}

cis_code cis_pg_chunk_touch(cis_store *store, struct cis_str tenant, const uint64_t *ids, size_t n,
                            bool *out_lost, const struct cis_stop *stop, struct cis_error *err)
{
    struct touch t = {.ids = ids, .n = n, .lost = out_lost};
    struct pg_write write = {.work = touch, .arg = &t, .lazy = true, .repeatable = true};
    return n != 0 ? cis_pg_write((struct pg_store *)store, tenant, &write, stop, err) : CIS_OK;
}

static cis_code removing(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct touch *t = arg;
    t->removed = 0;
    for (size_t at = 0; at < t->n; at += IDS_GROUP) {
        size_t n = t->n - at < IDS_GROUP ? t->n - at : IDS_GROUP;
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(ids_ask(conn, PG_CHUNK_REMOVE, t, at, n, &res, err));
        t->removed += (uint64_t)PQntuples(res);
    }
    return CIS_OK;
}

cis_code cis_pg_chunk_remove(cis_store *store, struct cis_str tenant,
                             const struct cis_fs_remove_request *request, uint64_t *out_removed,
                             const struct cis_stop *stop, struct cis_error *err)
{
    struct touch t = {.ids = request->ids, .n = request->n, .before_ms = request->before_ms};
    struct pg_write write = {.work = removing, .arg = &t, .slow = true, .frees = true};
    if (request->n != 0) {
        CIS_TRY(cis_pg_write((struct pg_store *)store, tenant, &write, stop, err));
    }
    *out_removed = t.removed;
    return CIS_OK;
}

/* ---- reads ---- */
/* The server could not read one of them: which? */
static cis_code read_singly(struct pg_conn *conn, struct cis_fs_read *reads, size_t n,
                            struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(read_send(conn, &reads[i], 1, err));
        cis_code code = read_next(conn, &reads[i], 1, err);
        reads[i].code = code != CIS_OK ? code : reads[i].code;
        if (code != CIS_OK && (conn->lost || conn->ended)) {
            return code;
        }
        (void)cis_pg_finish(conn, NULL);
    }
    return CIS_OK;
}

static cis_code read_window(struct pg_conn *conn, struct cis_fs_read *reads, size_t n,
                            struct cis_error *err)
{
    bool failed[READ_WINDOW] = {false};
    for (size_t at = 0; at < n; at += READ_GROUP) {
        CIS_TRY(read_send(conn, reads + at, n - at < READ_GROUP ? n - at : READ_GROUP, err));
    }
    for (size_t at = 0; at < n; at += READ_GROUP) {
        cis_code code = read_next(conn, reads + at, n - at < READ_GROUP ? n - at : READ_GROUP, err);
        if (code != CIS_OK && code != CIS_E_DAMAGED) {
            return code;
        }
        failed[at / READ_GROUP] = code != CIS_OK;
    }
    CIS_TRY(cis_pg_finish(conn, err));
    for (size_t at = 0; at < n; at += READ_GROUP) {
        if (failed[at / READ_GROUP]) {
            CIS_TRY(read_singly(conn, reads + at, n - at < READ_GROUP ? n - at : READ_GROUP, err));
        }
    }
    return CIS_OK;
}

static cis_code reading(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct read *r = arg;
    if (conn->codec == NULL) {
        CIS_TRY(cis_chunk_codec_new(&conn->codec, err));
    }
    for (size_t at = 0; at < r->n; at += READ_WINDOW * READ_GROUP) {
        size_t left = r->n - at;
        CIS_TRY(read_window(conn, r->reads + at,
                            left < READ_WINDOW * READ_GROUP ? left : READ_WINDOW * READ_GROUP,
                            err));
    }
    return CIS_OK;
}

cis_code cis_pg_chunk_read(cis_store *store, struct cis_str tenant, struct cis_fs_read *reads,
                           size_t n, const struct cis_stop *stop, struct cis_error *err)
{
    struct read r = {reads, n};
    return n != 0 ? cis_pg_read((struct pg_store *)store, tenant, reading, &r, NULL, stop, err)
                  : CIS_OK;
}
