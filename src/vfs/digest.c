#include "vfs/digest.h"

#include <errno.h>
#include <unistd.h>
#include "base/le.h"
#include "base/mem.h"

#define READ_BYTES 65536u

void cis_digest_init(struct cis_digest *digest)
{
    *digest = (struct cis_digest){.block = 0};
    cis_sha256_init(&digest->sha);
}

static bool zeros(const uint8_t *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static void add_block(struct cis_digest *d, uint64_t number, const uint8_t *bytes)
{
    uint8_t head[8];
    if (!zeros(bytes, CIS_DIGEST_BLOCK)) {
        cis_put_le64(head, number);
        cis_sha256_update(&d->sha, cis_bytes_of(head, sizeof head));
        cis_sha256_update(&d->sha, cis_bytes_of(bytes, CIS_DIGEST_BLOCK));
    }
}

static void end_block(struct cis_digest *d)
{
    if (d->some) {
        add_block(d, d->block, d->bytes);
        memset(d->bytes, 0, sizeof d->bytes);
        d->some = false;
    }
}

void cis_digest_add(struct cis_digest *d, uint64_t offset, const uint8_t *bytes, size_t len)
{
    while (len != 0) {
        uint64_t block = offset / CIS_DIGEST_BLOCK;
        size_t from = offset % CIS_DIGEST_BLOCK;
        size_t n = CIS_DIGEST_BLOCK - from < len ? CIS_DIGEST_BLOCK - from : len;
        if (block != d->block) {
            end_block(d);
            d->block = block;
        }
        if (n == CIS_DIGEST_BLOCK && !d->some) {
            add_block(d, block, bytes);
        } else {
            memcpy(d->bytes + from, bytes, n);
            d->some = true;
        }
        offset += n;
        bytes += n;
        len -= n;
    }
}

void cis_digest_final(struct cis_digest *d, uint64_t size, uint8_t out[CIS_DIGEST_BYTES])
{
    uint8_t end[16];
    end_block(d);
    cis_put_le64(end, UINT64_MAX); /* no block has this number */
    cis_put_le64(end + 8, size);
    cis_sha256_update(&d->sha, cis_bytes_of(end, sizeof end));
    cis_sha256_final(&d->sha, out);
}

int cis_digest_next(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t at, uint64_t size,
                    uint64_t *out_start, uint64_t *out_end)
{
    uint64_t start = size, end = size;
    int rc = at < size ? cis_vfs_seek(file, call, at, SEEK_DATA, &start) : ENXIO;
    if (rc == ENXIO || (rc == 0 && start >= size)) {
        *out_start = *out_end = size;
        return 0;
    }
    rc = rc == 0 ? cis_vfs_seek(file, call, start, SEEK_HOLE, &end) : rc;
    *out_start = start;
    *out_end = end < size ? end : size;
    return rc;
}

static bool stopped(const struct cis_vfs_call *call)
{
    struct cis_error why;
    return call != NULL && call->stop != NULL && cis_stop_check(call->stop, "", &why) != CIS_OK;
}

int cis_digest_file(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t size,
                    uint8_t out[CIS_DIGEST_BYTES])
{
    struct cis_digest d;
    CIS_CLEANUP(cis_freep) uint8_t *bytes = cis_alloc(READ_BYTES);
    int rc = bytes != NULL ? 0 : ENOMEM;
    cis_digest_init(&d);
    for (uint64_t at = 0, end = 0; rc == 0 && at < size;) {
        rc = cis_digest_next(file, call, at, size, &at, &end);
        for (size_t n = 1; rc == 0 && at < end && n != 0; at += n) {
            struct iovec iov = {bytes, end - at < READ_BYTES ? end - at : READ_BYTES};
            rc = stopped(call) ? EINTR : cis_vfs_read(file, call, &iov, 1, at, &n);
            if (rc == 0) {
                cis_digest_add(&d, at, bytes, n);
            }
        }
        at = rc == 0 && at < end ? size : at; /* it became shorter meanwhile */
    }
    if (rc == 0) {
        cis_digest_final(&d, size, out);
    }
    return rc;
}
