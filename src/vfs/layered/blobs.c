/* Immutable content by key: unpacked chunks and pieces of them, groups of extents, inline content,
 * listings. Counted; shards with a mutex each; CLOCK over a list, so that what is used again stays
 * and a stream passes through. A blob that is larger than half a shard is not kept. */
#include "vfs/layered/fs_cache.h"

#include "base/mem.h"
#include "base/wraps.h"

enum { BUCKETS_MIN = 256, OVERHEAD = sizeof(struct lay_blob) + 16 };

struct lay_blob_shard {
    pthread_mutex_t lock;
    struct lay_blob **buckets;
    size_t mask;
    struct lay_blob *newest, *oldest;
    uint64_t bytes, limit;
    char apart[64]; /* from the next one's cache line */
};

cis_code cis_lay_blobs_init(struct lay_blobs *blobs, uint64_t bytes, struct cis_error *err)
{
    uint32_t n = 1;
    while (n < 16 && bytes / (n * 2) >= 2u << 20) {
        n = (uint32_t)cis_size_mul(n, 2);
    }
    blobs->shards = cis_calloc(n, sizeof *blobs->shards);
    if (blobs->shards == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "content cache: out of memory");
    }
    size_t buckets = BUCKETS_MIN;
    while (buckets * 4096 < bytes / n && buckets < 1u << 16) {
        buckets = cis_size_mul(buckets, 2);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct lay_blob_shard *s = &blobs->shards[i];
        pthread_mutex_init(&s->lock, NULL);
        blobs->nshards = i + 1;
        s->limit = bytes / n;
        s->mask = buckets - 1;
        s->buckets = cis_calloc(buckets, sizeof(struct lay_blob *));
        if (s->buckets == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "content cache: out of memory");
        }
    }
    return CIS_OK;
}

void cis_lay_blobs_done(struct lay_blobs *blobs)
{
    for (uint32_t i = 0; i < blobs->nshards; i++) {
        struct lay_blob_shard *s = &blobs->shards[i];
        for (struct lay_blob *b = s->newest, *next; b != NULL; b = next) {
            next = b->older;
            cis_lay_blob_unref(b);
        }
        pthread_mutex_destroy(&s->lock);
        cis_free(s->buckets);
    }
    cis_free(blobs->shards);
    blobs->shards = NULL;
    blobs->nshards = 0;
}

CIS_WRAPS static uint64_t hash_of(const struct lay_blob_key *key)
{
    uint64_t h = cis_lay_mix(key->w[0] + 0x9e3779b97f4a7c15ull * (uint64_t)key->kind);
    h = cis_lay_mix(h ^ key->w[1]);
    h = cis_lay_mix(h ^ key->w[2] * 0xff51afd7ed558ccdull);
    return cis_lay_mix(h ^ key->w[3]);
}

static bool same_key(const struct lay_blob_key *a, const struct lay_blob_key *b)
{
    return a->kind == b->kind && memcmp(a->w, b->w, sizeof a->w) == 0;
}

static struct lay_blob **find(struct lay_blob_shard *s, uint64_t hash,
                              const struct lay_blob_key *key)
{
    struct lay_blob **at = &s->buckets[(hash >> 8) & s->mask];
    while (*at != NULL && !same_key(&(*at)->key, key)) {
        at = &(*at)->chain;
    }
    return at;
}

struct lay_blob *cis_lay_blob_get(struct lay_blobs *blobs, const struct lay_blob_key *key)
{
    uint64_t hash = hash_of(key);
    struct lay_blob_shard *s = &blobs->shards[hash & (blobs->nshards - 1)];
    cis_mutex_lock(&s->lock, lay_lock_blobs);
    struct lay_blob *blob = *find(s, hash, key);
    if (blob != NULL) {
        atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
        blob->used = true;
    }
    cis_mutex_unlock(&s->lock, lay_lock_blobs);
    return blob;
}

struct lay_blob *cis_lay_blob_new(const struct lay_blob_key *key, size_t len)
{
    if (len > UINT32_MAX / 2) {
        return NULL;
    }
    struct lay_blob *blob = cis_alloc(cis_size_add(sizeof *blob, len));
    if (blob != NULL) {
        memset(blob, 0, sizeof *blob);
        atomic_init(&blob->refs, 1);
        blob->key = *key;
        blob->len = (uint32_t)len;
    }
    return blob;
}

static void unlist(struct lay_blob_shard *s, struct lay_blob *b)
{
    *(b->newer != NULL ? &b->newer->older : &s->newest) = b->older;
    *(b->older != NULL ? &b->older->newer : &s->oldest) = b->newer;
    b->newer = b->older = NULL;
}

static void list_newest(struct lay_blob_shard *s, struct lay_blob *b)
{
    b->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = b;
    s->newest = b;
}

void cis_lay_blobs_hold(struct lay_blobs *blobs, uint64_t bytes, bool more)
{
    if (more) {
        atomic_fetch_add_explicit(&blobs->held, bytes, memory_order_relaxed);
    } else {
        atomic_fetch_sub_explicit(&blobs->held, bytes, memory_order_relaxed);
    }
}

static uint64_t limit_of(const struct lay_blobs *blobs, const struct lay_blob_shard *s)
{
    uint64_t held = atomic_load_explicit(&blobs->held, memory_order_relaxed) / blobs->nshards;
    uint64_t most = s->limit / 3 * 2;
    return s->limit - (held < most ? held : most);
}

/* Takes blobs out until there is room; they are chained by `older` and unreferenced outside. */
static struct lay_blob *make_room(struct lay_blob_shard *s, uint64_t limit, uint64_t need)
{
    struct lay_blob *out = NULL;
    while (s->oldest != NULL && s->bytes + need > limit) {
        struct lay_blob *b = s->oldest;
        unlist(s, b);
        if (b->used) {
            b->used = false;
            list_newest(s, b);
            continue;
        }
        struct lay_blob **at = find(s, hash_of(&b->key), &b->key);
        *at = b->chain;
        s->bytes -= b->len + (uint64_t)OVERHEAD;
        b->chain = NULL;
        b->older = out;
        out = b;
    }
    return out;
}

void cis_lay_blob_put(struct lay_blobs *blobs, struct lay_blob *blob)
{
    uint64_t hash = hash_of(&blob->key), need = blob->len + (uint64_t)OVERHEAD;
    struct lay_blob_shard *s = &blobs->shards[hash & (blobs->nshards - 1)];
    if (need > s->limit / 2) {
        return;
    }
    struct lay_blob *out = NULL;
    cis_mutex_lock(&s->lock, lay_lock_blobs);
    if (*find(s, hash, &blob->key) == NULL) {
        out = make_room(s, limit_of(blobs, s), need);
        struct lay_blob **at = &s->buckets[(hash >> 8) & s->mask];
        atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
        blob->chain = *at;
        *at = blob;
        list_newest(s, blob);
        s->bytes += need;
    }
    cis_mutex_unlock(&s->lock, lay_lock_blobs);
    while (out != NULL) {
        struct lay_blob *b = out;
        out = b->older;
        b->older = NULL;
        cis_lay_blob_unref(b);
    }
}

void cis_lay_blob_unref(struct lay_blob *blob)
{
    if (blob != NULL && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) {
        cis_free(blob);
    }
}

uint64_t cis_lay_blobs_bytes(struct lay_blobs *blobs)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < blobs->nshards; i++) {
        cis_mutex_lock(&blobs->shards[i].lock, lay_lock_blobs);
        sum += blobs->shards[i].bytes;
        cis_mutex_unlock(&blobs->shards[i].lock, lay_lock_blobs);
    }
    return sum;
}
