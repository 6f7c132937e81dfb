#include "base/sha256.h"

#include "base/cpu.h"

bool cis_sha256_fast(void)
{
    return cis_cpu_has_sha256();
}

#if defined(__x86_64__)
#include <immintrin.h>

/* FIPS 180-4, 4.2.2 */
_Alignas(16) static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* Rounds 4i to 4i+3 with the words w0, and w0 becomes the words sixteen rounds on. */
#define ROUNDS(i, w0, w1, w2, w3)                                                                  \
    do {                                                                                           \
        __m128i step =                                                                             \
            _mm_add_epi32(w0, _mm_load_si128((const __m128i *)(const void *)(k + 4 * (i))));       \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, step);                                            \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(step, 0x0e));                   \
        if ((i) < 12) {                                                                            \
            __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)); \
            w0 = _mm_sha256msg2_epu32(sum, w3);                                                    \
        }                                                                                          \
    } while (0)

#define SIXTEEN(i)                                                                                 \
    ROUNDS(i, w0, w1, w2, w3);                                                                     \
    ROUNDS((i) + 1, w1, w2, w3, w0);                                                               \
    ROUNDS((i) + 2, w2, w3, w0, w1);                                                               \
    ROUNDS((i) + 3, w3, w0, w1, w2)

__attribute__((target("sha,sse4.1"))) static __m128i words(const uint8_t *ptr)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)ptr), swap);
}

__attribute__((target("sha,sse4.1"))) void cis_sha256_blocks(uint32_t state[8], const uint8_t *ptr,
                                                             size_t blocks)
{
    __m128i *at = (__m128i *)(void *)state;
    /* The instructions want the eight words as (f e b a) and (h g d c). */
    __m128i dcba = _mm_shuffle_epi32(_mm_loadu_si128(at), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(at + 1), 0x1b);
    __m128i abef = _mm_alignr_epi8(dcba, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, dcba, 0xf0);
    for (; blocks > 0; blocks--, ptr += CIS_SHA256_BLOCK) {
        __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w0 = words(ptr), w1 = words(ptr + 16), w2 = words(ptr + 32), w3 = words(ptr + 48);
        SIXTEEN(0);
        SIXTEEN(4);
        SIXTEEN(8);
        SIXTEEN(12);
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128(at, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(at + 1, _mm_alignr_epi8(dchg, feba, 8));
}
#else
void cis_sha256_blocks(uint32_t state[8], const uint8_t *ptr, size_t blocks)
{
    (void)state;
    (void)ptr;
    (void)blocks;
}
#endif
