#include "store/chunk.h"

#include <zstd.h>
#include "base/crc32c.h"
#include "base/crypto.h"
#include "base/le.h"
#include "base/mem.h"

/* The head: check u16, version u8, encoding u8, content length u32, 16 × crc u32. The check covers
 * version, encoding and length, so that a flipped bit there never moves where zeros begin. */
#define VERSION 1u
#define PIECES (CIS_FS_BLOCK / CIS_CHUNK_PIECE)
#define SAMPLE 4096u
#define LEVEL 1 /* 64 KiB at a time gain little from more, and cost a lot */

_Static_assert(CIS_CHUNK_HEAD == 8 + 4 * PIECES, "head");

struct cis_chunk_codec {
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
    uint8_t room[CIS_FS_BLOCK]; /* what does not go where the caller wants it */
};

cis_code cis_chunk_codec_new(cis_chunk_codec **out_codec, struct cis_error *err)
{
    cis_chunk_codec *codec = cis_alloc(sizeof *codec);
    if (codec == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    codec->pack = ZSTD_createCCtx();
    codec->unpack = ZSTD_createDCtx();
    if (codec->pack == NULL || codec->unpack == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(codec->pack, ZSTD_c_compressionLevel, LEVEL))) {
        cis_chunk_codec_free(codec);
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    *out_codec = codec;
    return CIS_OK;
}

void cis_chunk_codec_free(cis_chunk_codec *codec)
{
    if (codec != NULL) {
        ZSTD_freeCCtx(codec->pack);
        ZSTD_freeDCtx(codec->unpack);
        cis_free(codec);
    }
}

void cis_chunk_hash(const uint8_t key[32], struct cis_bytes content, uint8_t out[32])
{
    while (content.len >= 8 && cis_le64(content.ptr + content.len - 8) == 0) {
        content.len -= 8;
    }
    while (content.len > 0 && content.ptr[content.len - 1] == 0) {
        content.len--;
    }
    cis_mac(key, &content, 1, out);
}

static uint32_t piece_len(uint32_t len, uint32_t piece)
{
    uint32_t from = piece * CIS_CHUNK_PIECE;
    uint32_t rest = len > from ? len - from : 0;
    return rest < CIS_CHUNK_PIECE ? rest : CIS_CHUNK_PIECE;
}

static uint16_t head_check(const uint8_t *head)
{
    uint32_t crc = cis_crc32c(0, head + 2, 6);
    return (uint16_t)(crc ^ crc >> 16);
}

/* Two samples: content that does not compress at two places is taken as it is, at an eighth of the
 * cost of finding out. */
static bool worth_trying(cis_chunk_codec *codec, struct cis_bytes content)
{
    if (content.len < 8 * SAMPLE) {
        return true;
    }
    for (size_t i = 1; i < 8; i += 4) {
        size_t n = ZSTD_compress2(codec->pack, codec->room, sizeof codec->room,
                                  content.ptr + content.len / 8 * i, SAMPLE);
        if (!ZSTD_isError(n) && n <= SAMPLE - SAMPLE / 8) {
            return true;
        }
    }
    return false;
}

size_t cis_chunk_pack(cis_chunk_codec *codec, struct cis_bytes content, bool compress, uint8_t *out)
{
    uint32_t len = (uint32_t)content.len;
    uint8_t *payload = out + CIS_CHUNK_HEAD;
    size_t packed = 0;
    if (compress && len > 64 && worth_trying(codec, content)) {
        /* No more room than what pays: zstd stops when it is used up. */
        size_t n = ZSTD_compress2(codec->pack, payload, len - len / 8, content.ptr, len);
        packed = ZSTD_isError(n) ? 0 : n;
    }
    out[2] = VERSION;
    out[3] = packed != 0 ? CIS_CHUNK_ZSTD : CIS_CHUNK_RAW;
    cis_put_le32(out + 4, len);
    cis_put_le16(out, head_check(out));
    for (uint32_t i = 0; i < PIECES; i++) {
        uint32_t n = piece_len(len, i);
        cis_put_le32(out + 8 + 4 * i,
                     n != 0 ? cis_crc32c(0, content.ptr + i * CIS_CHUNK_PIECE, n) : 0);
    }
    if (packed == 0) {
        memcpy(payload, content.ptr, len);
        packed = len;
    }
    return CIS_CHUNK_HEAD + packed;
}

uint32_t cis_chunk_len(const uint8_t *head)
{
    uint32_t len = cis_le32(head + 4);
    if (cis_le16(head) != head_check(head) || head[2] != VERSION || head[3] > CIS_CHUNK_ZSTD ||
        len == 0 || len > CIS_FS_BLOCK) {
        return 0;
    }
    for (uint32_t i = (len + CIS_CHUNK_PIECE - 1) / CIS_CHUNK_PIECE; i < PIECES; i++) {
        if (cis_le32(head + 8 + 4 * i) != 0) {
            return 0;
        }
    }
    return len;
}

/* The part of [off, off + len) that the content reaches, widened to whole pieces. */
static void widen(uint32_t content, uint32_t off, uint32_t len, uint32_t *out_from,
                  uint32_t *out_to)
{
    *out_from = *out_to = 0;
    if (len == 0 || off >= content) {
        return;
    }
    uint32_t to = len < content - off ? off + len : content;
    to = (to + CIS_CHUNK_PIECE - 1) / CIS_CHUNK_PIECE * CIS_CHUNK_PIECE;
    *out_from = off / CIS_CHUNK_PIECE * CIS_CHUNK_PIECE;
    *out_to = to < content ? to : content;
}

cis_code cis_chunk_plan(const uint8_t *head, uint32_t payload_len, uint32_t off, uint32_t len,
                        uint32_t *out_off, uint32_t *out_len, struct cis_error *err)
{
    uint32_t content = cis_chunk_len(head);
    if (content == 0) {
        return cis_fail(err, CIS_E_DAMAGED, "chunk: its head is damaged");
    }
    bool raw = head[3] == CIS_CHUNK_RAW;
    if (raw ? payload_len != content : payload_len == 0 || payload_len >= content) {
        return cis_fail(err, CIS_E_DAMAGED, "chunk: %u bytes are stored for %u of content",
                        payload_len, content);
    }
    uint32_t from, to;
    widen(content, off, len, &from, &to);
    *out_off = raw ? from : 0;
    *out_len = raw || to == 0 ? to - from : payload_len;
    return CIS_OK;
}

/* pieces: content bytes [from, to), piece by piece. */
static cis_code pieces_check(const uint8_t *head, uint32_t content, const uint8_t *pieces,
                             uint32_t from, uint32_t to, struct cis_error *err)
{
    for (uint32_t at = from; at < to; at += CIS_CHUNK_PIECE) {
        uint32_t i = at / CIS_CHUNK_PIECE;
        if (cis_crc32c(0, pieces + (at - from), piece_len(content, i)) !=
            cis_le32(head + 8 + 4 * i)) {
            return cis_fail(err, CIS_E_DAMAGED, "chunk: a checksum differs at byte %u", at);
        }
    }
    return CIS_OK;
}

cis_code cis_chunk_unpack(cis_chunk_codec *codec, const uint8_t *head, struct cis_bytes payload,
                          uint32_t off, uint32_t len, uint8_t *dst, struct cis_error *err)
{
    uint32_t content = cis_chunk_len(head), from, to;
    if (content == 0) {
        return cis_fail(err, CIS_E_DAMAGED, "chunk: its head is damaged");
    }
    widen(content, off, len, &from, &to);
    if (to == 0) {
        memset(dst, 0, len);
        return CIS_OK;
    }
    const uint8_t *pieces = payload.ptr;
    if (head[3] == CIS_CHUNK_ZSTD) {
        /* A read of the whole content is unpacked where it is wanted. */
        uint8_t *room = off == 0 && len >= content ? dst : codec->room;
        size_t n = ZSTD_decompressDCtx(codec->unpack, room, content, payload.ptr, payload.len);
        if (ZSTD_isError(n) || n != content) {
            return cis_fail(err, CIS_E_DAMAGED, "chunk: does not unpack");
        }
        pieces = room + from;
    } else if (payload.len != to - from) {
        return cis_fail(err, CIS_E_DAMAGED, "chunk: %zu bytes where %u are needed", payload.len,
                        to - from);
    }
    CIS_TRY(pieces_check(head, content, pieces, from, to, err));
    uint32_t n = len < content - off ? len : content - off;
    if (pieces + (off - from) != dst) {
        memcpy(dst, pieces + (off - from), n);
    }
    memset(dst + n, 0, len - n);
    return CIS_OK;
}
