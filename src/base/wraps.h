/* CIS_WRAPS before a function: its unsigned arithmetic wraps on purpose (hashes, checksums, places
 * on a ring). The preset "wrap" stops at every other one. */
#ifndef CIS_BASE_WRAPS_H
#define CIS_BASE_WRAPS_H

#include <stdint.h>

#if defined(__clang__)
#define CIS_WRAPS __attribute__((no_sanitize("unsigned-integer-overflow")))
#else
#define CIS_WRAPS
#endif

/* Multiplicative hashing: numbers that are near each other end far apart. The high bits are best.
 */
CIS_WRAPS static inline uint64_t cis_mix(uint64_t number)
{
    return number * 0x9E3779B97F4A7C15ull;
}

#endif
