#include "base/crc32c.h"

#include "base/cpu.h"
#include "base/le.h"

#define POLY 0x82f63b78u

/* Eight bytes a step: table[k][b] is what byte b does k bytes before the end of a step. Filled
 * before main: afterwards it is only read. */
static uint32_t table[8][256];

__attribute__((constructor)) static void table_fill(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int i = 0; i < 8; i++) {
            c = (c >> 1) ^ ((c & 1u) != 0 ? POLY : 0u);
        }
        table[0][b] = c;
    }
    for (uint32_t b = 0; b < 256; b++) {
        for (int k = 1; k < 8; k++) {
            table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xff];
        }
    }
}

uint32_t cis_crc32c_table(uint32_t crc, const void *ptr, size_t len)
{
    const uint8_t *p = ptr;
    uint32_t c = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t low = c ^ cis_le32(p), high = cis_le32(p + 4);
        c = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
            table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^
            table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
    }
    for (; len > 0; len--, p++) {
        c = (c >> 8) ^ table[0][(c ^ *p) & 0xff];
    }
    return ~c;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *ptr,
                                                                 size_t len)
{
    const uint8_t *p = ptr;
    uint64_t c = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        c = _mm_crc32_u64(c, cis_le64(p));
    }
    for (; len > 0; len--, p++) {
        c = _mm_crc32_u8((uint32_t)c, *p);
    }
    return ~(uint32_t)c;
}

uint32_t cis_crc32c(uint32_t crc, const void *ptr, size_t len)
{
    return cis_cpu_has_crc32c() ? by_instruction(crc, ptr, len) : cis_crc32c_table(crc, ptr, len);
}
#else
uint32_t cis_crc32c(uint32_t crc, const void *ptr, size_t len)
{
    return cis_crc32c_table(crc, ptr, len);
}
#endif
