/* Backups: all tenants of a store as of one instant, as rows that either database gives and takes.
 * So what was backed up from one may be restored into the other.
 *
 * A store gives its rows to a sink (cis_store_ops.dump); cis_backup_write puts them into a file,
 * cis_backup_read takes them out again, and a target (cis_backup_target, one a database) is the
 * sink that makes a store of them. Every row passes cis_backup_check on its way into the file, out
 * of it to prove it, and out of it into a store: a file is untrusted, and what a damaged store
 * gives is not called whole.
 *
 * The file: a head (magic, version, time, 32 random bytes), then frames of at most
 * CIS_BACKUP_FRAME bytes. Each frame ends in a keyed hash of it, of its length and of the hash
 * before it, so a bit that flips, a frame that is missing or one of another backup is seen. The
 * last frame is marked and counts all rows: a file that was cut is none. The hashes show damage;
 * they are no signature, and who can write the file can make another.
 *
 * What is read or written is also checked as trees: a backup that fsck would find faults in is
 * none.
 *
 * Memory: some MiB, 16 bytes for each gap in a tenant's chunk numbers, and the longest row (a
 * report, a value of memory, the changed names of one commit). Beyond about 60,000 names and files
 * of a tenant, some 130 bytes for each are in files in $TMPDIR. One thread an object. */
#ifndef CIS_STORE_BACKUP_H
#define CIS_STORE_BACKUP_H

#include "base/buf.h"
#include "store/chunk.h"
#include "store/row.h"
#include "store/store.h"

#define CIS_BACKUP_FRAME (1u << 20)
#define CIS_BACKUP_COLUMNS_MAX 12u
#define CIS_BACKUP_BLOBS_MAX 8u
#define CIS_BACKUP_KEYS_MAX (272u << 20) /* bytes of a commit's changed keys */

enum cis_backup_table {
#define TABLE(id, types, ...) CIS_BACKUP_##id,
#include "store/backup.def"
#undef TABLE
    CIS_BACKUP_TABLES
};

struct cis_backup_shape {
    const char *name, *types; /* a letter a column: backup.def */
    uint32_t limits[CIS_BACKUP_BLOBS_MAX];
};
extern const struct cis_backup_shape cis_backup_shapes[CIS_BACKUP_TABLES];

struct cis_backup_value {
    int64_t i;
    struct cis_bytes b; /* of columns of bytes; borrowed during the call */
};

/* Takes the rows of one tenant after the other: tenants in byte order of their names, tables in the
 * order of backup.def, chunks and branches by number. Any code but CIS_OK ends it. */
struct cis_backup_sink {
    void *self;
    cis_code (*tenant)(void *self, struct cis_str name, struct cis_error *err);
    cis_code (*row)(void *self, enum cis_backup_table table, const struct cis_backup_value *values,
                    struct cis_error *err);
    /* Something that cannot be read; what can goes on. Never called by cis_backup_read. */
    void (*fault)(void *self, const char *text);
};

struct cis_backup_counts {
    uint64_t tenants, rows, chunks;
    uint64_t bytes; /* packed, of chunks */
};

/* An empty store that is being filled. done reads everything back and compares it with what was
 * given, and makes it durable and the one that others find; a target that is freed without it
 * leaves no store behind. kept: where what was there before is, NULL: there was nothing. */
struct cis_backup_target {
    struct cis_backup_sink sink;
    const char *kept;
    cis_code (*done)(struct cis_backup_target *target, const struct cis_backup_counts *given,
                     const struct cis_stop *stop, struct cis_error *err);
    void (*free)(struct cis_backup_target *target);
};

/* ---- the check of every row ---- */
typedef struct cis_backup_check cis_backup_check;
cis_code cis_backup_check_new(cis_backup_check **out_check, struct cis_error *err);
void cis_backup_check_free(cis_backup_check *check);
/* Trees are checked too (backup_tree.h), each tenant's by cis_backup_check_end. Before the first
 * row. stop: borrowed, may be NULL. */
cis_code cis_backup_check_trees(cis_backup_check *check, const struct cis_stop *stop,
                                struct cis_error *err);
/* After the last row of each tenant. CIS_E_DAMAGED: not all of its trees are whole. */
cis_code cis_backup_check_end(cis_backup_check *check, struct cis_error *err);
const struct cis_backup_counts *cis_backup_check_counts(const cis_backup_check *check);
/* CIS_E_DAMAGED: it names the tenant and what is wrong. A chunk's content is hashed; what names a
 * branch or a chunk names one that came before. A row that is refused does not count. */
cis_code cis_backup_check_tenant(cis_backup_check *check, struct cis_str name,
                                 struct cis_error *err);
cis_code cis_backup_check_row(cis_backup_check *check, enum cis_backup_table table,
                              const struct cis_backup_value *values, struct cis_error *err);

/* ---- the file ---- */
struct cis_backup_watch {
    void *self;                                                       /* both may be NULL */
    void (*moved)(void *self, struct cis_str tenant, uint64_t bytes); /* so far; often */
    void (*fault)(void *self, const char *text);
};
struct cis_backup_summary {
    struct cis_backup_counts counts;
    uint64_t size;      /* of the file */
    int64_t created_ms; /* when the backup began */
    uint64_t faults;
};
/* Writes the store to fd from its beginning, and syncs it. CIS_E_DAMAGED: something of the store
 * cannot be read (each was told to watch->fault): the file is not whole and says so. */
cis_code cis_backup_write(cis_store *store, int fd, const struct cis_backup_watch *watch,
                          struct cis_backup_summary *out, const struct cis_stop *stop,
                          struct cis_error *err);
/* Reads all of it, checks it and gives it to the sink; NULL: checks only. Before the last row was
 * checked, what the sink got may be a part. CIS_E_INVALID: no backup, or of a newer form;
 * CIS_E_DAMAGED. */
cis_code cis_backup_read(int fd, const struct cis_backup_sink *to,
                         const struct cis_backup_watch *watch, struct cis_backup_summary *out,
                         const struct cis_stop *stop, struct cis_error *err);

/* Everything that the source gives is checked, and is as many rows as given. CIS_E_DAMAGED. */
typedef cis_code cis_backup_source(void *self, const struct cis_backup_sink *sink,
                                   const struct cis_stop *stop, struct cis_error *err);
cis_code cis_backup_prove(cis_backup_source *source, void *self,
                          const struct cis_backup_counts *given, const struct cis_stop *stop,
                          struct cis_error *err);

#endif
