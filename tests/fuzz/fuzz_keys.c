/* Any bytes as the changed keys of a commit: refused as damaged, or exactly what adding them again
 * gives; or the mark that they are no longer kept. */
#include <stdint.h>
#include <stdlib.h>
#include "store/commit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf again = CIS_BUF_INIT(size + 1);
    struct cis_error err = {0};
    size_t at = 0;
    for (bool more = true; more;) {
        struct cis_key key;
        size_t before = at;
        if (cis_keys_next(cis_bytes_of(data, size), &at, &key, &more, &err) != CIS_OK) {
            bool dropped = size == 1 && data[0] == CIS_KEYS_DROPPED;
            if (err.code != (dropped ? CIS_E_EXPIRED : CIS_E_DAMAGED) || err.msg[0] == 0 ||
                at != before) {
                abort();
            }
            return 0;
        }
        if (more) {
            cis_keys_add(&again, &key);
        }
    }
    if (again.failed != CIS_OK || again.len != size ||
        (size != 0 && memcmp(again.ptr, data, size) != 0)) {
        abort();
    }
    return 0;
}
