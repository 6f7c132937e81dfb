/* Recorded runs taken apart and put together again, as bytes: what is in their frames, and frames
 * around other bytes under right checksums. */
#ifndef CIS_TESTS_TAPEFILE_H
#define CIS_TESTS_TAPEFILE_H

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/le.h"

#define RECORDING_START 12u /* magic and version */

static inline void recording_unframe(const struct cis_buf *file, struct cis_buf *out)
{
    size_t at = RECORDING_START;
    while (at < file->len) {
        size_t n = cis_le32(file->ptr + at);
        cis_buf_add(out, file->ptr + at + 8, n);
        at += 8 + n;
    }
}

static inline void recording_put_frames(const uint8_t *start, const uint8_t *bytes, size_t len,
                                        struct cis_buf *out)
{
    cis_buf_add(out, start, RECORDING_START);
    uint32_t crc = cis_crc32c(0, start, RECORDING_START);
    while (len != 0) {
        uint8_t header[8];
        uint32_t n = len < 65536 ? (uint32_t)len : 65536;
        cis_put_le32(header, n);
        crc = cis_crc32c(cis_crc32c(crc, header, 4), bytes, n);
        cis_put_le32(header + 4, crc);
        cis_buf_add(out, header, sizeof header);
        cis_buf_add(out, bytes, n);
        bytes += n;
        len -= n;
    }
}

#endif
