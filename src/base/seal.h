/* Secrets of this installation: key files, and texts that others keep for us without being able to
 * read or change them (XChaCha20-Poly1305). */
#ifndef CIS_BASE_SEAL_H
#define CIS_BASE_SEAL_H

#include "base/buf.h"

#define CIS_KEY_FILE_BYTES 32
#define CIS_SEAL_MAX ((size_t)1 << 20) /* of what is sealed, and of a sealed text */

/* The key in the file, which is made, with its folders, when there is none: a file of this user,
 * 0600, that exactly one of many processes makes. what: for messages, "cache's key".
 * Fails: DENIED (somebody else's, or damaged), IO. */
cis_code cis_key_file(const char *path, const char *what, uint8_t out[CIS_KEY_FILE_BYTES],
                      struct cis_error *err);
/* Appends base64url text. beside: what has to be the same when it is opened. */
cis_code cis_seal(const uint8_t key[CIS_KEY_FILE_BYTES], struct cis_bytes beside,
                  struct cis_bytes data, struct cis_buf *out, struct cis_error *err);
/* CIS_E_DENIED: not sealed with this key and beside, or changed. */
cis_code cis_unseal(const uint8_t key[CIS_KEY_FILE_BYTES], struct cis_bytes beside,
                    struct cis_str text, struct cis_buf *out, struct cis_error *err);

#endif
