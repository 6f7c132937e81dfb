/* Any bytes as a stored chunk, and any range read from it: refused as damaged, or a part of what a
 * read of everything gives. First 6 bytes: the range (offset u16, length u16, flags); then head and
 * payload. Flag 1: the head's own check is made right, so that what comes after it is reached. */
#include <stdint.h>
#include <stdlib.h>
#include "base/crc32c.h"
#include "base/le.h"
#include "store/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cis_code read_range(cis_chunk_codec *codec, const uint8_t *head, struct cis_bytes payload,
                           uint32_t off, uint32_t len, uint8_t *dst)
{
    struct cis_error err = {0};
    uint32_t from, n;
    CIS_TRY(cis_chunk_plan(head, (uint32_t)payload.len, off, len, &from, &n, &err));
    if (from > payload.len || n > payload.len - from) {
        abort(); /* a plan beyond what is stored */
    }
    cis_code code =
        cis_chunk_unpack(codec, head, cis_bytes_of(payload.ptr + from, n), off, len, dst, &err);
    if (code != CIS_OK && code != CIS_E_DAMAGED) {
        abort();
    }
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cis_chunk_codec *codec;
    static uint8_t all[CIS_FS_BLOCK];
    uint8_t head[CIS_CHUNK_HEAD];
    if (codec == NULL && cis_chunk_codec_new(&codec, NULL) != CIS_OK) {
        abort();
    }
    if (size < 6 + CIS_CHUNK_HEAD || size > 6 + CIS_CHUNK_PACKED_MAX) {
        return 0;
    }
    memcpy(head, data + 6, sizeof head);
    if ((data[4] & 1) != 0) {
        uint32_t crc = cis_crc32c(0, head + 2, 6);
        cis_put_le16(head, (uint16_t)(crc ^ crc >> 16));
    }
    struct cis_bytes payload = {data + 6 + CIS_CHUNK_HEAD, size - 6 - CIS_CHUNK_HEAD};
    uint32_t off = cis_le16(data), len = cis_le16(data + 2);
    len = len < CIS_FS_BLOCK - off ? len : CIS_FS_BLOCK - off;
    uint8_t *part = malloc(len != 0 ? len : 1); /* of the exact size */
    bool whole = read_range(codec, head, payload, 0, CIS_FS_BLOCK, all) == CIS_OK;
    bool piece = read_range(codec, head, payload, off, len, part) == CIS_OK;
    if ((whole && !piece) || (whole && memcmp(part, all + off, len) != 0)) {
        abort();
    }
    free(part);
    return 0;
}
