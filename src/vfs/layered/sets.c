/* Caches of fixed-size rows: sets of eight ways, CLOCK within a set, versions of one key beside
 * each other. Readers copy a row out and look at the set's sequence number before and after;
 * writers make it odd while they change the set. All words are atomics, so that a torn copy is only
 * ever thrown away, never undefined. Slots are never freed before the cache is. */
#include "vfs/layered/fs_cache.h"

#include "base/mem.h"
#include "base/wraps.h"

enum { WAYS = 8 };

struct lay_set {
    _Atomic uint32_t seq;
    uint32_t hand;
    _Atomic uint32_t tags[WAYS]; /* 0: empty */
    _Atomic uint8_t used[WAYS];
    _Atomic uint64_t rows[]; /* WAYS of them, sets->words each */
};

cis_code cis_lay_sets_init(struct lay_sets *sets, uint32_t rows, uint32_t words,
                           struct cis_error *err)
{
    uint64_t n = 64;
    while (n * WAYS < rows) {
        n = cis_size_mul(n, 2);
    }
    sets->words = words;
    sets->mask = n - 1;
    sets->stride =
        cis_size_add(sizeof(struct lay_set), cis_size_mul(WAYS * sizeof(uint64_t), words));
    sets->sets = cis_calloc(n, sets->stride);
    if (sets->sets == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "cache of %u rows: out of memory", rows);
    }
    return CIS_OK;
}

void cis_lay_sets_done(struct lay_sets *sets)
{
    cis_free(sets->sets);
    sets->sets = NULL;
}

struct place {
    struct lay_set *set;
    _Atomic uint64_t *slots; /* of the set's first way */
    uint32_t tag;
};

/* Numbers near each other (files made together) are in sets near each other, four to a set: listing
 * a directory touches few pages. Hashes of names have no neighbours. */
CIS_WRAPS static inline struct place place_of(struct lay_sets *sets, uint64_t key0, uint64_t line)
{
    uint64_t h = cis_lay_mix(key0 >> 6 ^ line * 0xd6e8feb86659fd93ull);
    uint64_t at = (h + ((key0 & 63) >> 2)) & sets->mask;
    struct lay_set *set = (struct lay_set *)(void *)(sets->sets + at * sets->stride);
    uint32_t tag = ((uint32_t)(h >> 32) ^ (uint32_t)(key0 & 63) * 0x9e3779b1u) | 1;
    return (struct place){set, set->rows, tag};
}

static inline bool is_key(const _Atomic uint64_t *slot, uint64_t key0, uint64_t key1, uint64_t line)
{
    return atomic_load_explicit(&slot[LAY_W_KEY0], memory_order_acquire) == key0 &&
           atomic_load_explicit(&slot[LAY_W_KEY1], memory_order_acquire) == key1 &&
           atomic_load_explicit(&slot[LAY_W_LINE], memory_order_acquire) == line;
}

static inline bool covers(const _Atomic uint64_t *slot, uint64_t epoch)
{
    return atomic_load_explicit(&slot[LAY_W_FROM], memory_order_acquire) <= epoch &&
           epoch <= atomic_load_explicit(&slot[LAY_W_TO], memory_order_acquire);
}

bool cis_lay_sets_get(struct lay_sets *sets, uint64_t key0, uint64_t key1, uint64_t line,
                      uint64_t epoch, uint64_t *out)
{
    struct place p = place_of(sets, key0, line);
    for (;;) {
        uint32_t seq = atomic_load_explicit(&p.set->seq, memory_order_acquire);
        if ((seq & 1) != 0) {
            continue; /* a writer is copying some words */
        }
        int found = -1;
        for (int way = 0; way < WAYS && found < 0; way++) {
            if (atomic_load_explicit(&p.set->tags[way], memory_order_acquire) != p.tag) {
                continue;
            }
            const _Atomic uint64_t *slot = p.slots + (size_t)way * sets->words;
            if (is_key(slot, key0, key1, line) && covers(slot, epoch)) {
                for (uint32_t w = LAY_W_FROM; w < sets->words; w++) {
                    out[w] = atomic_load_explicit(&slot[w], memory_order_acquire);
                }
                found = way;
            }
        }
        if (atomic_load_explicit(&p.set->seq, memory_order_relaxed) != seq) {
            continue;
        }
        if (found >= 0 && atomic_load_explicit(&p.set->used[found], memory_order_relaxed) == 0) {
            atomic_store_explicit(&p.set->used[found], 1, memory_order_relaxed);
        }
        return found >= 0;
    }
}

static void set_lock(struct lay_set *set)
{
    for (;;) {
        uint32_t seq = atomic_load_explicit(&set->seq, memory_order_relaxed);
        if ((seq & 1) == 0 &&
            atomic_compare_exchange_weak_explicit(&set->seq, &seq, seq + 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return;
        }
    }
}

static void set_unlock(struct lay_set *set)
{
    atomic_fetch_add_explicit(&set->seq, 1, memory_order_release);
}

/* The way that holds this very version, else an empty one, else the one not used for longest. */
static uint32_t choose(struct lay_sets *sets, struct place *p, const uint64_t *row, bool *out_same)
{
    uint32_t empty = WAYS;
    *out_same = false;
    for (uint32_t way = 0; way < WAYS; way++) {
        uint32_t tag = atomic_load_explicit(&p->set->tags[way], memory_order_relaxed);
        const _Atomic uint64_t *slot = p->slots + (size_t)way * sets->words;
        if (tag == 0) {
            empty = way;
        } else if (tag == p->tag &&
                   is_key(slot, row[LAY_W_KEY0], row[LAY_W_KEY1], row[LAY_W_LINE]) &&
                   atomic_load_explicit(&slot[LAY_W_FROM], memory_order_relaxed) ==
                       row[LAY_W_FROM]) {
            *out_same = true;
            return way;
        }
    }
    if (empty < WAYS) {
        cis_lay_count(sets->held);
        return empty;
    }
    for (;;) {
        uint32_t way = p->set->hand++ % WAYS;
        if (atomic_exchange_explicit(&p->set->used[way], 0, memory_order_relaxed) == 0) {
            return way;
        }
    }
}

void cis_lay_sets_put(struct lay_sets *sets, uint64_t *row, const _Atomic uint64_t *line_moving)
{
    struct place p = place_of(sets, row[LAY_W_KEY0], row[LAY_W_LINE]);
    set_lock(p.set);
    /* Under the set's lock: a line that begins to move after this comes by and closes the row. */
    if (atomic_load_explicit(line_moving, memory_order_seq_cst) == row[LAY_W_TO]) {
        row[LAY_W_TO] = LAY_OPEN;
    }
    bool same;
    uint32_t way = choose(sets, &p, row, &same);
    _Atomic uint64_t *slot = p.slots + (size_t)way * sets->words;
    uint64_t to = atomic_load_explicit(&slot[LAY_W_TO], memory_order_relaxed);
    if (same && to > row[LAY_W_TO]) {
        row[LAY_W_TO] = to; /* the same row was seen later already */
    }
    for (uint32_t w = 0; w < sets->words; w++) {
        atomic_store_explicit(&slot[w], row[w], memory_order_release);
    }
    atomic_store_explicit(&p.set->tags[way], p.tag, memory_order_release);
    atomic_store_explicit(&p.set->used[way], 1, memory_order_relaxed);
    set_unlock(p.set);
}

bool cis_lay_sets_close(struct lay_sets *sets, uint64_t key0, uint64_t key1, uint64_t line,
                        uint64_t epoch)
{
    struct place p = place_of(sets, key0, line);
    bool closed = false;
    set_lock(p.set);
    for (uint32_t way = 0; way < WAYS; way++) {
        _Atomic uint64_t *slot = p.slots + (size_t)way * sets->words;
        if (atomic_load_explicit(&p.set->tags[way], memory_order_relaxed) == p.tag &&
            is_key(slot, key0, key1, line) &&
            atomic_load_explicit(&slot[LAY_W_TO], memory_order_relaxed) == LAY_OPEN &&
            atomic_load_explicit(&slot[LAY_W_FROM], memory_order_relaxed) < epoch) {
            atomic_store_explicit(&slot[LAY_W_TO], epoch - 1, memory_order_release);
            closed = true;
        }
    }
    set_unlock(p.set);
    return closed;
}
