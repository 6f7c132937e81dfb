/* Keys that the user trusts to sign skills, and key files. The keyring is one JSON file in the
 * configuration folder (0600), read whole, written atomically under a lock. A key named by a
 * manifest is only a claim: it counts when it is found here.
 *
 * Owns: cis_keyring_done. Threads: a loaded keyring is plain data. Limit: 1,000 keys. */
#ifndef CIS_SKILL_KEYRING_H
#define CIS_SKILL_KEYRING_H

#include "base/buf.h"
#include "base/crypto.h"

#define CIS_KEYRING_MAX 1000
#define CIS_KEY_LABEL_MAX 128u

struct cis_key {
    char hex[65];
    char *label; /* "" when none */
    int64_t added_ms;
};

struct cis_keyring {
    struct cis_key *keys; /* in the order they were added */
    size_t nkeys;
};
#define CIS_KEYRING_INIT ((struct cis_keyring){NULL, 0})

/* An absent file is an empty keyring. CIS_E_INVALID for a damaged one: never silently empty. */
cis_code cis_keyring_load(const char *config_dir, struct cis_keyring *out, struct cis_error *err);
void cis_keyring_done(struct cis_keyring *ring);
/* NULL when not trusted. */
const struct cis_key *cis_keyring_find(const struct cis_keyring *ring, struct cis_str hex);

/* Adds a key (again: changes its label when one is given). */
cis_code cis_keyring_trust(const char *config_dir, const uint8_t key[CIS_ED25519_PUBLIC_BYTES],
                           struct cis_str label, struct cis_error *err);
/* By hex or by label (which must name one key only). CIS_E_NOTFOUND when there is none. */
cis_code cis_keyring_untrust(const char *config_dir, struct cis_str hex_or_label,
                             struct cis_error *err);

/* 64 hexadecimal digits, or the path of a public key file. */
cis_code cis_key_read_public(const char *hex_or_path, uint8_t out[CIS_ED25519_PUBLIC_BYTES],
                             struct cis_error *err);
/* A secret key file that others may read is refused. Wipe the key after use. */
cis_code cis_key_read_secret(const char *path, uint8_t out[CIS_ED25519_SECRET_BYTES],
                             struct cis_error *err);
/* Writes PATH (0600) and PATH.pub; never over an existing file (CIS_E_EXISTS). */
cis_code cis_key_generate(const char *path, uint8_t out_public[CIS_ED25519_PUBLIC_BYTES],
                          struct cis_error *err);

#endif
