/* How the content of one block is packed into a chunk: head, then payload, compressed when it pays.
 * The head carries the CRC32C of every 4 KiB piece of the content, so that a read of a piece checks
 * just that piece. One form for all backends. Pure functions; any thread. */
#ifndef CIS_STORE_CHUNK_H
#define CIS_STORE_CHUNK_H

#include "store/fs.h"

#define CIS_CHUNK_PIECE 4096u
#define CIS_CHUNK_HEAD                                                                             \
    72u /* magic u16, version u8, encoding u8, content length u32, 16 × crc u32 */
#define CIS_CHUNK_PACKED_MAX (CIS_CHUNK_HEAD + CIS_FS_BLOCK)

enum cis_chunk_encoding { CIS_CHUNK_RAW = 0, CIS_CHUNK_ZSTD = 1 };

typedef struct cis_chunk_codec cis_chunk_codec; /* zstd contexts; one thread at a time */
cis_code cis_chunk_codec_new(cis_chunk_codec **out_codec, struct cis_error *err);
void cis_chunk_codec_free(cis_chunk_codec *codec);

/* The keyed hash of content (1 … CIS_FS_BLOCK bytes). Zeros at the end do not count: content with
 * and without them reads the same, since what a chunk does not reach is zeros, and fsck can check a
 * chunk by what it reads. */
void cis_chunk_hash(const uint8_t key[32], struct cis_bytes content, uint8_t out[32]);
/* Packs into out (room for CIS_CHUNK_PACKED_MAX) and returns the packed length. compress false: as
 * it is. Compression is kept when it saves at least an eighth; a sample decides early for content
 * that does not compress. */
size_t cis_chunk_pack(cis_chunk_codec *codec, struct cis_bytes content, bool compress,
                      uint8_t *out);

/* Which bytes of the payload a read of content bytes [off, off + len) needs: *out_off and *out_len
 * count from the payload's start; *out_len 0: nothing, all zeros. head: CIS_CHUNK_HEAD bytes.
 * payload_len: what the row holds after the head. CIS_E_DAMAGED: not a chunk. */
cis_code cis_chunk_plan(const uint8_t *head, uint32_t payload_len, uint32_t off, uint32_t len,
                        uint32_t *out_off, uint32_t *out_len, struct cis_error *err);
/* Checks and copies content bytes [off, off + len) to dst, from the payload bytes of the plan.
 * CIS_E_DAMAGED: a checksum differs. */
cis_code cis_chunk_unpack(cis_chunk_codec *codec, const uint8_t *head, struct cis_bytes payload,
                          uint32_t off, uint32_t len, uint8_t *dst, struct cis_error *err);
/* Content length by the head; 0 when it is no head. */
uint32_t cis_chunk_len(const uint8_t *head);

#endif
