/* CIS_WRAPS before a function: its unsigned arithmetic wraps on purpose (hashes, checksums, places
 * on a ring, loops that end below 0). The preset "wrap" stops at every other one. */
#ifndef CIS_BASE_WRAPS_H
#define CIS_BASE_WRAPS_H

#if defined(__clang__)
#define CIS_WRAPS __attribute__((no_sanitize("unsigned-integer-overflow")))
#else
#define CIS_WRAPS
#endif

#endif
