/* Backups that no store wrote: the form of the file, made by the test itself, with whatever rows.
 */
#ifndef CIS_TESTS_HISTORY_BACKUP_FILE_H
#define CIS_TESTS_HISTORY_BACKUP_FILE_H

#include "harness.h"
#include "store/backup.h"

struct forged {
    struct cis_buf records; /* what the frames hold */
    uint64_t tenants, rows, chunks, bytes;
};
#define FORGED_INIT                                                                                \
    {                                                                                              \
        CIS_BUF_INIT(1u << 30), 0, 0, 0, 0                                                         \
    }

void forge_tenant(struct forged *f, const char *name);
/* A value a column: (int64_t) for numbers; blobs as struct cis_bytes in order. */
void forge_row(struct forged *f, enum cis_backup_table table, const int64_t *numbers,
               const struct cis_bytes *blobs);
/* What every tenant has: its tree with that key, branch 1, its lineage, and main. */
void forge_plain(struct forged *f, const char *name, const uint8_t key[32]);
/* A chunk of that content, right in all. */
void forge_chunk(struct forged *f, const uint8_t key[32], int64_t id, const char *content);
/* The file, unlinked, from its beginning. Frees the records. */
int forge_file(struct forged *f);

#endif
