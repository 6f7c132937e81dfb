/* Backups that no store wrote: the form of the file, made by the test itself, with whatever rows.
 */
#ifndef CIS_TESTS_HISTORY_BACKUP_FILE_H
#define CIS_TESTS_HISTORY_BACKUP_FILE_H

#include "harness.h"
#include "fixture.h"
#include "store/backup.h"
#include "store/row.h"

struct forged {
    struct cis_buf records; /* what the frames hold */
    uint64_t tenants, rows, chunks, bytes;
    bool rootless; /* the tenant's root still comes: behind its names */
};
#define FORGED_INIT                                                                                \
    {                                                                                              \
        CIS_BUF_INIT(1u << 30), 0, 0, 0, 0, false                                                  \
    }

void forge_tenant(struct forged *f, const char *name);
/* A value a column: (int64_t) for numbers; blobs as struct cis_bytes in order. */
void forge_row(struct forged *f, enum cis_backup_table table, const int64_t *numbers,
               const struct cis_bytes *blobs);
/* What every tenant has: its tree with that key, branch 1, its lineage, main, and an empty root, at
 * its place unless forge_inode was there before. */
void forge_plain(struct forged *f, const char *name, const uint8_t key[32]);
void forge_inode(struct forged *f, int64_t branch, int64_t epoch, const struct cis_fs_inode *inode);
/* A chunk of that content, right in all. */
void forge_chunk(struct forged *f, const uint8_t key[32], int64_t id, const char *content);
/* The file, unlinked, from its beginning. Frees the records. */
int forge_file(struct forged *f);

/* Where a backup is restored to: a folder, or a new database. */
struct place {
    struct fx fx;
    char *admin;
};
void place_new(struct place *p, bool server);
void place_open(struct place *p);
void place_done(struct place *p);
/* One of dir and url is used. */
cis_code restore(int fd, const char *dir, const char *url, bool replace, struct cis_error *err);

#endif
