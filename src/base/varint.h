/* Unsigned integers in 7-bit groups, lowest first, in the one shortest form: what is read back is
 * exactly what was written, or refused. For packed rows and keys. */
#ifndef CIS_BASE_VARINT_H
#define CIS_BASE_VARINT_H

#include "base/str.h"

#define CIS_VARINT_MAX 10u /* bytes */

/* out has room for CIS_VARINT_MAX; returns the length. */
static inline size_t cis_varint_put(uint8_t *out, uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}

/* Reads at *at and moves it on. False: the bytes end, the value needs more than 64 bits, or it is
 * not in its shortest form; *at and *out are then not to be used. */
static inline bool cis_varint_get(struct cis_bytes bytes, size_t *at, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *at < bytes.len; shift += 7) {
        uint8_t byte = bytes.ptr[(*at)++];
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return byte != 0 || shift == 0;
        }
    }
    return false;
}

/* Signed values near zero stay short. */
static inline uint64_t cis_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t cis_unzigzag(uint64_t value)
{
    return (int64_t)((value >> 1) ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

#endif
