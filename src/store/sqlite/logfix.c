/* One flipped bit of a frame, found by its checksum, which is linear in every word: a bit of word i
 * changes the two sums by a power of two times a factor that only depends on how many words follow.
 */
#include "store/sqlite/logfix.h"

#include <string.h>
#include "base/le.h"

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

static bool try_word(bool swapped, uint8_t *word, const uint32_t factor[2], const uint32_t d[2])
{
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t power = 1u << bit;
        uint32_t v = swapped ? cis_sql_be32(word) : cis_le32(word);
        uint32_t change = (v & power) != 0 ? 0u - power : power; /* that flipping it back makes */
        if (factor[0] * change == d[0] && factor[1] * change == d[1]) {
            v ^= power;
            cis_put_le32(word, swapped ? __builtin_bswap32(v) : v);
            return true;
        }
    }
    return false;
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
    if (bits_between(frame + 16, stored, sizeof stored) == 1 && next != NULL) {
        struct sql_walk after = *w; /* the next frame goes on from what is stored: or from this? */
        memcpy(after.sum, sum, sizeof sum);
        if (cis_sql_walk_frame(&after, next, UINT32_MAX) == SQL_FRAME_RIGHT) {
            memcpy(frame + 16, stored, sizeof stored);
            return true;
        }
    }
    struct factor f = {{1, 1}, {0, 1}};
    for (size_t at = w->page; at > 0; at -= 8, follow(&f)) {
        uint8_t *pair = frame + CIS_SQL_FRAME_HEAD + at - 8;
        if (try_word(w->swapped, pair, f.first, d) || try_word(w->swapped, pair + 4, f.second, d)) {
            return true;
        }
    }
    return try_word(w->swapped, frame, f.first, d) || try_word(w->swapped, frame + 4, f.second, d);
}

bool cis_sql_log_head_fix(uint8_t head[CIS_SQL_WAL_HEAD], const uint8_t salts[8])
{
    uint8_t was[CIS_SQL_WAL_HEAD];
    memcpy(was, head, sizeof was);
    for (unsigned bit = 0; bit < 8 * CIS_SQL_WAL_HEAD; bit++) {
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
        uint32_t first = cis_sql_be32(head), sum[2] = {0, 0};
        cis_sql_log_sum((first & 1) != 0, head, 24, sum);
        if ((first & ~1u) == 0x377f0682u && sum[0] == cis_sql_be32(head + 24) &&
            sum[1] == cis_sql_be32(head + 28) && memcmp(head + 16, salts, 8) == 0) {
            return true;
        }
        memcpy(head, was, sizeof was);
    }
    return false;
}
