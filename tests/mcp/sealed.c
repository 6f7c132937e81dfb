/* Seals a state as the server does, with its key: sealed KEYFILE BESIDE STATE. For tests of states
 * that only time makes. */
#include <stdio.h>
#include <string.h>
#include "base/crypto.h"
#include "base/seal.h"

int main(int argc, char **argv)
{
    uint8_t key[CIS_KEY_FILE_BYTES];
    struct cis_buf out = CIS_BUF_INIT(CIS_SEAL_MAX);
    if (argc != 4 || cis_crypto_init(NULL) != CIS_OK ||
        cis_key_file(argv[1], "key", key, NULL) != CIS_OK ||
        cis_seal(key, cis_bytes_of(argv[2], strlen(argv[2])),
                 cis_bytes_of(argv[3], strlen(argv[3])), &out, NULL) != CIS_OK) {
        return 1;
    }
    fwrite(out.ptr, 1, out.len, stdout);
    cis_buf_done(&out);
    return 0;
}
