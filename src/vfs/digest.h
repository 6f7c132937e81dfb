/* The digest of a file's content: SHA-256 over its blocks of 4 KiB that are not all zeros, each
 * with its number, and the size. Holes and written zeros are the same content, so a copy has the
 * digest of its original whatever either keeps as a hole; the cost is that of the data, not of the
 * size.
 *
 * One thread at a time. No memory beyond the struct is held. */
#ifndef CIS_VFS_DIGEST_H
#define CIS_VFS_DIGEST_H

#include "base/crypto.h"
#include "vfs/vfs.h"

#define CIS_DIGEST_BYTES CIS_SHA256_BYTES
#define CIS_DIGEST_BLOCK 4096u

struct cis_digest {
    struct cis_sha256_state sha;
    uint64_t block; /* number of the one that is filled */
    bool some;      /* part of it was added */
    uint8_t bytes[CIS_DIGEST_BLOCK];
};

void cis_digest_init(struct cis_digest *digest);
/* Content at an offset; offsets only grow, what is left out is zeros. */
void cis_digest_add(struct cis_digest *digest, uint64_t offset, const uint8_t *bytes, size_t len);
void cis_digest_final(struct cis_digest *digest, uint64_t size, uint8_t out[CIS_DIGEST_BYTES]);

/* The data of a file from `at` on, below size: [*out_start, *out_end). *out_start is size when
 * there is no more. */
int cis_digest_next(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t at, uint64_t size,
                    uint64_t *out_start, uint64_t *out_end);
/* Of an open regular file as it is now; ends with EINTR when call->stop says so. */
int cis_digest_file(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t size,
                    uint8_t out[CIS_DIGEST_BYTES]);

#endif
