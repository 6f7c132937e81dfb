/* Reading and writing the standard streams. The array of buffers stays in the guest's memory: it is
 * checked as a whole, then each buffer before its use; a call that finds one outside transfers
 * nothing. */
#include "wasi/p1/internal.h"

#define STEP (64u * 1024u) /* log bytes between two looks at the deadline */

/* The array at `at`, every buffer in memory, and the sum of their lengths below 4 GiB. */
static enum cis_wasi_errno iovs_check(cis_guest *guest, uint32_t at, uint32_t n,
                                      const uint8_t **out_iovs)
{
    if (n > CIS_WASI_IOVS_MAX) {
        return CIS_WASI_INVAL;
    }
    const uint8_t *iovs = cis_guest_at(guest, at, (uint64_t)n * sizeof(struct cis_wasi_iovec));
    if (iovs == NULL) {
        return CIS_WASI_FAULT;
    }
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *iov = iovs + i * sizeof(struct cis_wasi_iovec);
        uint32_t len = cis_le32(iov + offsetof(struct cis_wasi_iovec, len));
        total += len;
        if (len != 0 && cis_guest_at(guest, cis_le32(iov), len) == NULL) {
            return CIS_WASI_FAULT;
        }
    }
    *out_iovs = iovs;
    return total > UINT32_MAX ? CIS_WASI_INVAL : CIS_WASI_OK; /* the result would not fit */
}

static cis_code write_stream(cis_guest *guest, enum cis_wasi_stream stream, struct cis_bytes data,
                             struct cis_error *err)
{
    struct cis_host *host = cis_host_of(guest);
    if (stream == CIS_WASI_STDOUT) {
        return cis_host_output(host, guest, data, err);
    }
    while (data.len != 0) {
        size_t step = data.len < STEP ? data.len : STEP;
        cis_host_stderr(host, (struct cis_bytes){data.ptr, step});
        data = (struct cis_bytes){data.ptr + step, data.len - step};
        if (data.len != 0) {
            CIS_TRY(cis_stop_check(cis_guest_stop(guest), "stderr", err));
        }
    }
    return CIS_OK;
}

cis_code cis_wasi_fd_write(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    enum cis_wasi_stream stream = cis_wasi_stream_of(f);
    if (stream == CIS_WASI_NONE || stream == CIS_WASI_STDIN) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    const uint8_t *iovs;
    uint32_t n = io[2].u32, out = io[3].u32, total = 0;
    enum cis_wasi_errno error = iovs_check(guest, io[1].u32, n, &iovs);
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    if (cis_guest_at(guest, out, 4) == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *iov = iovs + i * sizeof(struct cis_wasi_iovec);
        uint32_t len = cis_le32(iov + offsetof(struct cis_wasi_iovec, len));
        if (len != 0) {
            CIS_TRY(cis_guest_burn(guest, len / CIS_WASI_BYTES_A_FUEL, err));
            const uint8_t *from = cis_guest_at(guest, cis_le32(iov), len);
            CIS_TRY(write_stream(guest, stream, (struct cis_bytes){from, len}, err));
            total += len;
        }
    }
    cis_wasi_put32(guest, out, total);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_read(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    struct cis_host *host = cis_host_of(guest);
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    if (cis_wasi_stream_of(f) != CIS_WASI_STDIN) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    const uint8_t *iovs;
    uint32_t n = io[2].u32, out = io[3].u32, total = 0;
    enum cis_wasi_errno error = iovs_check(guest, io[1].u32, n, &iovs);
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    if (cis_guest_at(guest, out, 4) == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *iov = iovs + i * sizeof(struct cis_wasi_iovec);
        uint32_t len = cis_le32(iov + offsetof(struct cis_wasi_iovec, len));
        size_t left = host->input.len - host->input_pos;
        size_t take = len < left ? len : left;
        if (take > UINT32_MAX - total) {
            break;
        }
        /* Checked again: a buffer before this one may lie over the array. */
        void *to = take != 0 ? cis_guest_out(guest, cis_le32(iov), take) : NULL;
        if (to != NULL) {
            CIS_TRY(cis_guest_burn(guest, take / CIS_WASI_BYTES_A_FUEL, err));
            memcpy(to, host->input.ptr + host->input_pos, take);
            host->input_pos += take;
            total += (uint32_t)take;
        }
    }
    cis_wasi_put32(guest, out, total);
    return cis_wasi_answer(io, CIS_WASI_OK);
}
