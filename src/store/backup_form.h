/* The form of a backup's file, for who writes it (backup_write.c) and who reads it (backup_read.c).
 *
 * Head: "CISBACK\n", version u32, 0 u32, key[32], created i64. Frame: length u32 (the highest bit:
 * it is the last one), bytes, hash[32] = keyed hash of (hash before it, length, bytes); before the
 * first frame that is the hash of the head. The frames' bytes follow each other as one stream of
 * records: a kind u8, then values. Numbers are i64, little-endian; bytes have their length u32
 * before them. */
#ifndef CIS_STORE_BACKUP_FORM_H
#define CIS_STORE_BACKUP_FORM_H

#include "base/crypto.h"
#include "base/le.h"
#include "store/backup.h"

#define BACKUP_MAGIC "CISBACK\n"
#define BACKUP_VERSION 1u
#define BACKUP_HEAD 56u
#define BACKUP_LAST 0x80000000u

enum { REC_END, REC_TENANT, REC_ROW };

struct chain {
    uint8_t key[CIS_MAC_KEY_BYTES], last[CIS_MAC_BYTES];
};

static inline void chain_head(struct chain *chain, const uint8_t head[BACKUP_HEAD])
{
    struct cis_bytes part = cis_bytes_of(head, BACKUP_HEAD);
    memcpy(chain->key, head + 16, sizeof chain->key);
    cis_mac(chain->key, &part, 1, chain->last);
}

static inline void chain_frame(struct chain *chain, uint32_t len, const uint8_t *bytes)
{
    uint8_t n[4];
    cis_put_le32(n, len);
    const struct cis_bytes parts[] = {
        {chain->last, sizeof chain->last}, {n, sizeof n}, {bytes, len & ~BACKUP_LAST}};
    uint8_t mac[CIS_MAC_BYTES];
    cis_mac(chain->key, parts, 3, mac);
    memcpy(chain->last, mac, sizeof mac);
}

#endif
