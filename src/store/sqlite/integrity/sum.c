/* The checksum of a page. */
#include "store/sqlite/integrity/sum.h"

#include "base/le.h"
#include "base/wraps.h"

/* Eight lanes, each step of which is a bijection of its word: a change within one word always
 * changes the sum of its lane. n is a multiple of 8. */
CIS_WRAPS uint64_t cis_sql_page_sum(const uint8_t *page, size_t n, uint64_t number)
{
    static const uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t lane[8];
    for (unsigned i = 0; i < 8; i++) {
        lane[i] = (number + i + 1) * odd;
    }
    size_t at = 0;
    for (; at + 64 <= n; at += 64) {
        for (unsigned i = 0; i < 8; i++) {
            uint64_t v = lane[i] ^ cis_le64(page + at + 8 * i);
            lane[i] = (v << 29 | v >> 35) * odd;
        }
    }
    for (unsigned i = 0; at + 8 <= n; at += 8, i++) {
        uint64_t v = lane[i] ^ cis_le64(page + at);
        lane[i] = (v << 29 | v >> 35) * odd;
    }
    uint64_t sum = n;
    for (unsigned i = 0; i < 8; i++) {
        sum = (sum ^ lane[i]) * odd;
        sum ^= sum >> 32;
    }
    return sum != 0 ? sum : 1; /* 0 is what a foreign writer leaves there */
}
