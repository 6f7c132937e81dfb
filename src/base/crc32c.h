/* CRC32C (Castagnoli): finds damage, proves nothing against an adversary. By the processor's own
 * instruction where it has one (x86-64 with SSE4.2), by tables elsewhere. Any thread. */
#ifndef CIS_BASE_CRC32C_H
#define CIS_BASE_CRC32C_H

#include "base/str.h"

/* crc: 0, or the result for the bytes before. */
uint32_t cis_crc32c(uint32_t crc, const void *ptr, size_t len);
/* The tables, whatever the processor can do; for tests. */
uint32_t cis_crc32c_table(uint32_t crc, const void *ptr, size_t len);

#endif
