/* Compiled code from the cache on its way into the engine: read once, piece by piece, each piece
 * authenticated in private memory and put into a sealed memory file, which the engine maps. There
 * is no second look at what others could change, and no copy of it. Any thread; a second one helps
 * with what is large. Inside the engine only. */
#ifndef CIS_ENGINE_ARTEFACT_H
#define CIS_ENGINE_ARTEFACT_H

#include <stdbool.h>
#include "base/crypto.h"
#include "base/str.h"

#define CIS_ARTEFACT_NONCE 32

struct cis_artefact {
    int fd;                 /* the memory file; -1: no such thing here, the bytes are in `bytes` */
    struct cis_bytes bytes; /* borrowed, or mapped by this */
    size_t mapped;
};
#define CIS_ARTEFACT_INIT                                                                          \
    {                                                                                              \
        .fd = -1                                                                                   \
    }
/* The digest of code under the cache's key: BLAKE2b over the Poly1305 tags of its pieces, each
 * under a key of its own that comes from the cache's key, the nonce and the piece's number. The
 * nonce is random for every digest that is made: no such key ever authenticates two messages.
 * false: out of memory. */
bool cis_artefact_digest(const uint8_t key[CIS_MAC_KEY_BYTES],
                         const uint8_t nonce[CIS_ARTEFACT_NONCE], struct cis_bytes code,
                         uint8_t out[CIS_MAC_BYTES]);
/* Takes `len` bytes of the file `fd` from `at` on, and their digest. Nothing of it may be used
 * before the digest was found to be right. */
bool cis_artefact_read(const uint8_t key[CIS_MAC_KEY_BYTES],
                       const uint8_t nonce[CIS_ARTEFACT_NONCE], int fd, uint64_t at, size_t len,
                       struct cis_artefact *out, uint8_t out_digest[CIS_MAC_BYTES]);
/* The bytes, for an engine that does not take the file. Empty when they cannot be mapped. */
struct cis_bytes cis_artefact_bytes(struct cis_artefact *artefact);
void cis_artefact_done(struct cis_artefact *artefact);

#endif
