/* Any bytes as an inode's attributes: refused as damaged, or exactly what packing makes of them. */
#include <stdint.h>
#include <stdlib.h>
#include "store/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cis_fs_inode in = {0};
    struct cis_error err = {0};
    uint8_t again[CIS_ROW_MAX];
    if (cis_inode_unpack(cis_bytes_of(data, size), &in, &err) != CIS_OK) {
        if (err.code != CIS_E_DAMAGED || err.msg[0] == 0 || in.mode != 0) {
            abort();
        }
        return 0;
    }
    if (cis_inode_pack(&in, again) != size || memcmp(again, data, size) != 0) {
        abort();
    }
    return 0;
}
