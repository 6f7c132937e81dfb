#include "base/crypto.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/sha256.h"

#define SHA256_WORTH_IT 512u /* asking the processor what it can takes time too */

_Static_assert(CIS_SHA256_BYTES == crypto_hash_sha256_BYTES, "sha256");
_Static_assert(sizeof(struct cis_sha256_state) >= sizeof(crypto_hash_sha256_state), "sha256 state");
_Static_assert(CIS_ONCE_BYTES == crypto_onetimeauth_BYTES, "poly1305");
_Static_assert(CIS_ONCE_KEY_BYTES == crypto_onetimeauth_KEYBYTES, "poly1305 key");
_Static_assert(CIS_SEED_BYTES == crypto_stream_chacha20_KEYBYTES, "chacha20");
_Static_assert(CIS_ED25519_SIG_BYTES == crypto_sign_BYTES, "ed25519");
_Static_assert(CIS_ED25519_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "ed25519");

cis_code cis_crypto_init(struct cis_error *err)
{
    if (sodium_init() < 0) {
        return cis_fail(err, CIS_E_INTERNAL, "cannot initialise libsodium");
    }
    return CIS_OK;
}

void cis_random_bytes(void *out, size_t len)
{
    randombytes_buf(out, len);
}

void cis_random_seeded(const uint8_t seed[CIS_SEED_BYTES], uint64_t *block, void *out, size_t len)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES] = {'c', 'i', 's', '-',
                                                                     's', 'e', 'e', 'd'};
    if (len != 0) {
        memset(out, 0, len);
        crypto_stream_chacha20_xor_ic(out, out, len, nonce, *block, seed);
        *block += (len - 1) / CIS_SEED_BLOCK + 1;
    }
}

void cis_sha256(struct cis_bytes data, uint8_t out[CIS_SHA256_BYTES])
{
    struct cis_sha256_state state;
    cis_sha256_init(&state);
    cis_sha256_update(&state, data);
    cis_sha256_final(&state, out);
}

void cis_sha256_init(struct cis_sha256_state *state)
{
    crypto_hash_sha256_init((crypto_hash_sha256_state *)state->opaque);
}

/* Whole blocks by the processor's instructions, what is before and behind them by libsodium. */
void cis_sha256_update(struct cis_sha256_state *state, struct cis_bytes data)
{
    crypto_hash_sha256_state *s = (crypto_hash_sha256_state *)state->opaque;
    if (data.len >= SHA256_WORTH_IT && cis_sha256_fast()) {
        size_t begun = (size_t)(s->count / 8 % CIS_SHA256_BLOCK);
        size_t head = begun == 0 ? 0 : CIS_SHA256_BLOCK - begun;
        crypto_hash_sha256_update(s, data.ptr, head);
        size_t blocks = (data.len - head) / CIS_SHA256_BLOCK;
        cis_sha256_blocks(s->state, data.ptr + head, blocks);
        s->count += (uint64_t)blocks * CIS_SHA256_BLOCK * 8;
        size_t done = head + blocks * CIS_SHA256_BLOCK;
        data = cis_bytes_of(data.ptr + done, data.len - done);
    }
    crypto_hash_sha256_update(s, data.ptr, data.len);
}

void cis_sha256_final(struct cis_sha256_state *state, uint8_t out[CIS_SHA256_BYTES])
{
    crypto_hash_sha256_final((crypto_hash_sha256_state *)state->opaque, out);
}

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct cis_mac_state),
               "a keyed digest's state has its room");

static crypto_generichash_state *mac_of(struct cis_mac_state *state)
{
    return (crypto_generichash_state *)(void *)state->opaque;
}

void cis_mac_init(struct cis_mac_state *state, const uint8_t key[CIS_MAC_KEY_BYTES])
{
    crypto_generichash_init(mac_of(state), key, CIS_MAC_KEY_BYTES, CIS_MAC_BYTES);
}

void cis_mac_part(struct cis_mac_state *state, uint64_t len)
{
    uint8_t bytes[8];
    for (int b = 0; b < 8; b++) {
        bytes[b] = (uint8_t)(len >> (8 * b));
    }
    crypto_generichash_update(mac_of(state), bytes, sizeof bytes);
}

void cis_mac_update(struct cis_mac_state *state, struct cis_bytes data)
{
    crypto_generichash_update(mac_of(state), data.ptr, data.len);
}

void cis_mac_final(struct cis_mac_state *state, uint8_t out[CIS_MAC_BYTES])
{
    crypto_generichash_final(mac_of(state), out, CIS_MAC_BYTES);
    sodium_memzero(state, sizeof *state);
}

void cis_mac(const uint8_t key[CIS_MAC_KEY_BYTES], const struct cis_bytes *parts, size_t n,
             uint8_t out[CIS_MAC_BYTES])
{
    struct cis_mac_state state;
    cis_mac_init(&state, key);
    for (size_t i = 0; i < n; i++) {
        cis_mac_part(&state, parts[i].len);
        cis_mac_update(&state, parts[i]);
    }
    cis_mac_final(&state, out);
}

void cis_once_mac(const uint8_t key[CIS_ONCE_KEY_BYTES], struct cis_bytes data,
                  uint8_t out[CIS_ONCE_BYTES])
{
    crypto_onetimeauth(out, data.ptr, data.len, key);
}

bool cis_mac_eq(const uint8_t a[CIS_MAC_BYTES], const uint8_t b[CIS_MAC_BYTES])
{
    return sodium_memcmp(a, b, CIS_MAC_BYTES) == 0;
}

void cis_ed25519_keypair(uint8_t pub[CIS_ED25519_PUBLIC_BYTES],
                         uint8_t secret[CIS_ED25519_SECRET_BYTES])
{
    crypto_sign_keypair(pub, secret);
}

void cis_ed25519_sign(const uint8_t secret[CIS_ED25519_SECRET_BYTES], struct cis_bytes data,
                      uint8_t sig[CIS_ED25519_SIG_BYTES])
{
    crypto_sign_detached(sig, NULL, data.ptr, data.len, secret);
}

bool cis_ed25519_verify(const uint8_t pub[CIS_ED25519_PUBLIC_BYTES], struct cis_bytes data,
                        const uint8_t sig[CIS_ED25519_SIG_BYTES])
{
    return crypto_sign_verify_detached(sig, data.ptr, data.len, pub) == 0;
}

void cis_wipe(void *ptr, size_t len)
{
    sodium_memzero(ptr, len);
}

/* Names only have to differ: their randomness is asked of the kernel in portions, one for each
 * thread. A child after fork asks for its own, or both would give the same names. */
struct portion {
    uint8_t bytes[256];
    size_t left;
    unsigned generation;
};
static atomic_uint generation = 1;
static pthread_once_t watching = PTHREAD_ONCE_INIT;

static void forked(void)
{
    atomic_fetch_add(&generation, 1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forked);
}

static void id_bytes(uint8_t *out, size_t len)
{
    static _Thread_local struct portion mine;
    unsigned now = atomic_load_explicit(&generation, memory_order_relaxed);
    if (mine.generation != now || mine.left < len) {
        pthread_once(&watching, watch_forks);
        randombytes_buf(mine.bytes, sizeof mine.bytes);
        mine.left = sizeof mine.bytes;
        mine.generation = now;
    }
    mine.left -= len;
    memcpy(out, mine.bytes + mine.left, len);
}

void cis_id_new(char out[CIS_ID_CHARS + 1])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t ms = (uint64_t)cis_clock_wall_ms();
    uint8_t rnd[16];
    id_bytes(rnd, sizeof rnd);
    for (int i = 9; i >= 0; i--) {
        out[i] = digits[ms & 31];
        ms >>= 5;
    }
    for (int i = 0; i < 16; i++) {
        out[10 + i] = digits[rnd[i] & 31];
    }
    out[CIS_ID_CHARS] = 0;
}
