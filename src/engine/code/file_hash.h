/* Hashes of module files, remembered between processes: file_hash.c says when that may be. Inside
 * the engine only; any thread. */
#ifndef CIS_ENGINE_KNOWN_H
#define CIS_ENGINE_KNOWN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/crypto.h"

struct cis_cache;
struct stat;

/* The SHA-256 of what this open file holds, when it was read before and is the same. */
bool cis_file_hash_get(struct cis_cache *cache, int fd, uint8_t out_sha256[CIS_SHA256_BYTES]);
/* It was read whole after `before` was taken of it, and hashed. now_ns is the wall clock. */
void cis_file_hash_put(struct cis_cache *cache, int fd, const struct stat *before, uint64_t now_ns,
                       const uint8_t sha256[CIS_SHA256_BYTES]);

/* The SHA-256 of what was made of the things that `key` is the hash of. */
bool cis_file_hash_made_get(struct cis_cache *cache, const uint8_t key[CIS_SHA256_BYTES],
                            uint8_t out_sha256[CIS_SHA256_BYTES]);
void cis_file_hash_made_put(struct cis_cache *cache, const uint8_t key[CIS_SHA256_BYTES],
                            const uint8_t sha256[CIS_SHA256_BYTES]);

#endif
