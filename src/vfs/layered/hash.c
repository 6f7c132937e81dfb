/* SipHash-1-3 with 128 bits of result, over (parent, name). The key is random per fs cache, so
 * nobody who chooses names can aim for two that meet; 128 bits make a chance meeting impossible in
 * practice, which is why the caches compare hashes and store no names. */
#include "vfs/layered/fs_cache.h"

#include "base/le.h"
#include "base/wraps.h"

static inline uint64_t turn(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

#define ROUND(v0, v1, v2, v3)                                                                      \
    do {                                                                                           \
        v0 += v1;                                                                                  \
        v2 += v3;                                                                                  \
        v1 = turn(v1, 13) ^ v0;                                                                    \
        v3 = turn(v3, 16) ^ v2;                                                                    \
        v0 = turn(v0, 32) + v3;                                                                    \
        v2 += v1;                                                                                  \
        v1 = turn(v1, 17) ^ v2;                                                                    \
        v3 = turn(v3, 21) ^ v0;                                                                    \
        v2 = turn(v2, 32);                                                                         \
    } while (0)

/* Fewer than eight bytes as a number, in loads that overlap. */
static inline uint64_t tail(const char *p, size_t n)
{
    if (n >= 4) {
        return cis_le32(p) | (uint64_t)cis_le32(p + n - 4) << 8 * (n - 4);
    }
    if (n == 0) {
        return 0;
    }
    return (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 * (n / 2) |
           (uint64_t)(uint8_t)p[n - 1] << 8 * (n - 1);
}

CIS_WRAPS struct lay_hash cis_lay_hash(const struct lay_key *key, uint64_t parent,
                                       struct cis_str name)
{
    uint64_t v0 = key->k0 ^ 0x736f6d6570736575ull, v1 = key->k1 ^ 0x646f72616e646f6dull ^ 0xee;
    uint64_t v2 = key->k0 ^ 0x6c7967656e657261ull, v3 = key->k1 ^ 0x7465646279746573ull;
    v3 ^= parent;
    ROUND(v0, v1, v2, v3);
    v0 ^= parent;
    const char *p = name.ptr;
    size_t left = name.len;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t m = cis_le64(p);
        v3 ^= m;
        ROUND(v0, v1, v2, v3);
        v0 ^= m;
    }
    uint64_t last = (uint64_t)(name.len + 8) << 56 | tail(p, left);
    v3 ^= last;
    ROUND(v0, v1, v2, v3);
    v0 ^= last;
    v2 ^= 0xee;
    ROUND(v0, v1, v2, v3);
    ROUND(v0, v1, v2, v3);
    ROUND(v0, v1, v2, v3);
    struct lay_hash h = {.a = v0 ^ v1 ^ v2 ^ v3};
    v1 ^= 0xdd;
    ROUND(v0, v1, v2, v3);
    ROUND(v0, v1, v2, v3);
    ROUND(v0, v1, v2, v3);
    h.b = v0 ^ v1 ^ v2 ^ v3;
    return h;
}
