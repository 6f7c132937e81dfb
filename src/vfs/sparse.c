#include "vfs/sparse.h"

#include <errno.h>
#include <string.h>

static bool zeros(const uint8_t *bytes, size_t n)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

/* From bytes[from] to the end of the unit that it is in. */
static size_t unit(size_t n, uint64_t at, size_t from)
{
    size_t len = CIS_SPARSE_UNIT - (size_t)((at + from) % CIS_SPARSE_UNIT);
    return len < n - from ? len : n - from;
}

bool cis_sparse_next(const uint8_t *bytes, size_t n, uint64_t at, size_t *inout_from,
                     size_t *out_to)
{
    size_t from = *inout_from;
    while (from < n && zeros(bytes + from, unit(n, at, from))) {
        from += unit(n, at, from);
    }
    size_t to = from;
    while (to < n && !zeros(bytes + to, unit(n, at, to))) {
        to += unit(n, at, to);
    }
    *inout_from = from;
    *out_to = to;
    return from < n;
}

int cis_sparse_write(cis_vfs_file *file, const struct cis_vfs_call *call, const uint8_t *bytes,
                     size_t n, uint64_t at)
{
    size_t to = 0;
    for (size_t from = 0; cis_sparse_next(bytes, n, at, &from, &to); from = to) {
        while (from < to) {
            struct iovec v = {(void *)(uintptr_t)(bytes + from), to - from};
            size_t put = 0;
            uint64_t end;
            int rc = cis_vfs_write(file, call, &v, 1, at + from, &put, &end);
            if (rc != 0 || put == 0) {
                return rc != 0 ? rc : ENOSPC;
            }
            from += put;
        }
    }
    return 0;
}
