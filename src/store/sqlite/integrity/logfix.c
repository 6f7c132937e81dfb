/* One flipped bit of a frame, found by its checksum, which is linear in every word: a bit of word i
 * changes the two sums by a power of two times a factor that only depends on how many words follow.
 * Nothing is changed where more than one bit would do: the wrong one would make a right checksum
 * over wrong data. That is so for about a third of all bits, the highest of each word. */
#include "store/sqlite/integrity/logfix.h"

#include <string.h>
#include "base/le.h"

#define LOG_VERSION 3007000u

/* What a change by one of a word in this pair, and of the one after it, makes of the two sums. */
struct factor {
    uint32_t first[2], second[2];
};

/* One more pair follows. */
static void follow(struct factor *f)
{
    uint32_t *const both[2] = {f->first, f->second};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t a = both[i][0] + both[i][1];
        both[i][1] += a;
        both[i][0] = a;
    }
}

/* The bits that would account for all of the difference, and one of them. A sum forgets the high
 * bits of a product: there, bits of several words make the same difference. */
struct suspects {
    unsigned n;
    uint8_t *word;
    uint32_t value; /* that the word had */
};

static void try_word(struct suspects *s, bool swapped, uint8_t *word, const uint32_t factor[2],
                     const uint32_t d[2])
{
    uint32_t v = swapped ? cis_sql_be32(word) : cis_le32(word);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t power = 1u << bit;
        uint32_t change = (v & power) != 0 ? 0u - power : power; /* that flipping it back makes */
        if (factor[0] * change == d[0] && factor[1] * change == d[1]) {
            *s = (struct suspects){s->n + 1, word, v ^ power};
        }
    }
}

static unsigned bits_between(const uint8_t *p, const uint8_t *q, size_t n)
{
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits += (unsigned)__builtin_popcount((unsigned)(p[i] ^ q[i]));
    }
    return bits;
}

static void sum_of(const struct sql_walk *w, const uint8_t *frame, uint32_t sum[2])
{
    sum[0] = w->sum[0];
    sum[1] = w->sum[1];
    cis_sql_log_sum(w->swapped, frame, 8, sum);
    cis_sql_log_sum(w->swapped, frame + CIS_SQL_FRAME_HEAD, w->page, sum);
}

/* Is the next frame right, as one that goes on from this sum? */
static bool goes_on(const struct sql_walk *w, const uint32_t sum[2], const uint8_t *next)
{
    struct sql_walk after = *w;
    memcpy(after.sum, sum, sizeof after.sum);
    return next != NULL && cis_sql_walk_frame(&after, next, UINT32_MAX) == SQL_FRAME_RIGHT;
}

bool cis_sql_frame_fix(const struct sql_walk *w, uint8_t *frame, const uint8_t *next)
{
    uint32_t sum[2], d[2];
    sum_of(w, frame, sum);
    uint8_t stored[8];
    for (unsigned i = 0; i < 2; i++) {
        cis_put_le32(stored + 4 * i, __builtin_bswap32(sum[i]));
        d[i] = cis_sql_be32(frame + 16 + 4 * i) - sum[i];
    }
    if (d[0] == 0 && d[1] == 0) { /* the salts, which it does not cover */
        bool one = bits_between(frame + 8, w->salts, sizeof w->salts) == 1;
        memcpy(frame + 8, w->salts, one ? sizeof w->salts : 0);
        return one;
    }
    if (memcmp(frame + 8, w->salts, sizeof w->salts) != 0) {
        return false;
    }
    struct suspects found = {0};
    if (bits_between(frame + 16, stored, sizeof stored) == 1) {
        uint32_t as_is[2] = {cis_sql_be32(frame + 16), cis_sql_be32(frame + 20)};
        if (goes_on(w, sum, next)) {
            memcpy(frame + 16, stored, sizeof stored);
            return true;
        }
        found.n = !goes_on(w, as_is, next);
    }
    struct factor f = {{1, 1}, {0, 1}};
    for (size_t at = w->page; at > 0; at -= 8, follow(&f)) {
        uint8_t *pair = frame + CIS_SQL_FRAME_HEAD + at - 8;
        try_word(&found, w->swapped, pair, f.first, d);
        try_word(&found, w->swapped, pair + 4, f.second, d);
    }
    try_word(&found, w->swapped, frame, f.first, d);
    try_word(&found, w->swapped, frame + 4, f.second, d);
    if (found.n == 1 && found.word != NULL) {
        cis_put_le32(found.word, w->swapped ? __builtin_bswap32(found.value) : found.value);
    } else if (found.n == 1) {
        memcpy(frame + 16, stored, sizeof stored);
    }
    return found.n == 1;
}

bool cis_sql_log_head_fix(uint8_t head[CIS_SQL_WAL_HEAD], const uint8_t salts[8])
{
    uint8_t was[CIS_SQL_WAL_HEAD];
    memcpy(was, head, sizeof was);
    for (unsigned bit = 0; bit < 8 * CIS_SQL_WAL_HEAD; bit++) {
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
        uint32_t first = cis_sql_be32(head), page = cis_sql_be32(head + 8), sum[2] = {0, 0};
        cis_sql_log_sum((first & 1) != 0, head, 24, sum);
        if ((first & ~1u) == 0x377f0682u && cis_sql_be32(head + 4) == LOG_VERSION &&
            (page & (page - 1)) == 0 && sum[0] == cis_sql_be32(head + 24) &&
            sum[1] == cis_sql_be32(head + 28) && memcmp(head + 16, salts, 8) == 0) {
            return true;
        }
        memcpy(head, was, sizeof was);
    }
    return false;
}
