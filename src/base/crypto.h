/* libsodium behind the few operations that cis needs: digests, keyed digests, Ed25519, random.
 * Call cis_crypto_init once before anything else (cheap, thread safe, idempotent). */
#ifndef CIS_BASE_CRYPTO_H
#define CIS_BASE_CRYPTO_H

#include "base/error.h"
#include "base/str.h"

#define CIS_SHA256_BYTES 32
#define CIS_MAC_BYTES 32
#define CIS_MAC_KEY_BYTES 32
#define CIS_ED25519_PUBLIC_BYTES 32
#define CIS_ED25519_SECRET_BYTES 64
#define CIS_ED25519_SIG_BYTES 64

cis_code cis_crypto_init(struct cis_error *err);
void cis_random_bytes(void *out, size_t len);
#define CIS_SEED_BYTES 32
#define CIS_SEED_BLOCK 64u
/* Bytes that the seed alone decides: the key stream of ChaCha20, from block *block on, which is
 * advanced past the last block touched. What is left of that one is never given out. */
void cis_random_seeded(const uint8_t seed[CIS_SEED_BYTES], uint64_t *block, void *out, size_t len);
void cis_sha256(struct cis_bytes data, uint8_t out[CIS_SHA256_BYTES]);
/* The same in pieces, for files that are not read whole. */
struct cis_sha256_state {
    _Alignas(16) uint8_t opaque[128];
};
void cis_sha256_init(struct cis_sha256_state *state);
void cis_sha256_update(struct cis_sha256_state *state, struct cis_bytes data);
void cis_sha256_final(struct cis_sha256_state *state, uint8_t out[CIS_SHA256_BYTES]);
/* Keyed BLAKE2b over several parts, each prefixed by its 64-bit length, so that no two part lists
 * give the same input. */
void cis_mac(const uint8_t key[CIS_MAC_KEY_BYTES], const struct cis_bytes *parts, size_t n,
             uint8_t out[CIS_MAC_BYTES]);
/* The same in pieces: each part's length, then its bytes. */
struct cis_mac_state {
    _Alignas(64) uint8_t opaque[384];
};
void cis_mac_init(struct cis_mac_state *state, const uint8_t key[CIS_MAC_KEY_BYTES]);
void cis_mac_part(struct cis_mac_state *state, uint64_t len);
void cis_mac_update(struct cis_mac_state *state, struct cis_bytes data);
void cis_mac_final(struct cis_mac_state *state, uint8_t out[CIS_MAC_BYTES]);
/* Poly1305: twice as fast as the keyed digest, but its key is for ONE message, ever, and whoever
 * sees a second tag under it can forge. Derive the key with cis_mac from something random. */
#define CIS_ONCE_BYTES 16
#define CIS_ONCE_KEY_BYTES 32
void cis_once_mac(const uint8_t key[CIS_ONCE_KEY_BYTES], struct cis_bytes data,
                  uint8_t out[CIS_ONCE_BYTES]);
/* Constant time. */
bool cis_mac_eq(const uint8_t a[CIS_MAC_BYTES], const uint8_t b[CIS_MAC_BYTES]);
void cis_ed25519_keypair(uint8_t pub[CIS_ED25519_PUBLIC_BYTES],
                         uint8_t secret[CIS_ED25519_SECRET_BYTES]);
void cis_ed25519_sign(const uint8_t secret[CIS_ED25519_SECRET_BYTES], struct cis_bytes data,
                      uint8_t sig[CIS_ED25519_SIG_BYTES]);
bool cis_ed25519_verify(const uint8_t pub[CIS_ED25519_PUBLIC_BYTES], struct cis_bytes data,
                        const uint8_t sig[CIS_ED25519_SIG_BYTES]);
/* Overwrites a secret; never optimised away. */
void cis_wipe(void *ptr, size_t len);
/* Sortable unique id: milliseconds and 80 random bits, in Crockford's base 32, and a NUL. */
#define CIS_ID_CHARS 26
void cis_id_new(char out[CIS_ID_CHARS + 1]);

#endif
