/* Reads at a view, and chunks: what fs_read.c, fs_list.c, fs_extent.c, fs_scan.c and chunk.c share.
 * Not for other rooms. */
#ifndef CIS_STORE_SQLITE_READ_H
#define CIS_STORE_SQLITE_READ_H

#include "store/sqlite/internal.h"

/* ---- reader.c: connections whose read transaction stays open between operations ---- */
/* A connection that reads the tenant as of now or of at most SQL_SNAPSHOT_NS ago, and in any case
 * holds the view; CIS_VIEW_HEAD: any view (chunks are found by their ids alone). *out_fresh: its
 * transaction began in this call. Give back with cis_sql_reader_give. CIS_E_NOTFOUND: no such
 * tenant, no such view. CIS_E_EXPIRED. */
struct sql_reader {
    struct sql_conn *conn;
    struct cis_view at; /* by the branch that owns the epoch: see reader.c */
    bool forked;        /* that branch has ancestors */
    bool fresh;
    struct sql_chain *chain; /* of a forked view */
};
cis_code cis_sql_reader_take(struct sql_store *store, struct cis_str tenant, struct cis_view at,
                             const struct cis_stop *stop, struct sql_reader *out,
                             struct cis_error *err);
void cis_sql_reader_give(struct sql_reader *reader); /* CIS_CLEANUP; without conn: nothing */
/* Ends the transaction and begins another: everything committed until now is seen. */
cis_code cis_sql_reader_renew(struct sql_reader *reader, struct cis_error *err);

/* ---- chain.c: which branch may know an inode ---- */
struct sql_chain *cis_sql_chain_of(struct sql_conn *conn, struct cis_view at);
/* Where rows of the inode, or names in that directory, are to be looked for: the reader's view, or
 * one of its first ancestor. */
cis_code cis_sql_chain_view(struct sql_reader *reader, uint64_t ino, struct cis_view *out,
                            bool *out_forked, struct cis_error *err);

/* ---- fs_read.c ---- */
/* Done with inodes of this reader. */
void cis_sql_inode_release(const struct sql_reader *reader);
/* The live inode that an entry names; anything else is damage. */
cis_code cis_sql_entry_inode(struct sql_reader *reader, const struct cis_fs_dirent *dirent,
                             struct cis_fs_inode *out, struct cis_error *err);
/* A row of table inode as a struct: columns first, first + 1, … are epoch, attr, data. */
cis_code cis_sql_inode_row(struct sql_conn *conn, sqlite3_stmt *st, int first, uint64_t ino,
                           struct cis_fs_inode *out, struct cis_error *err);

/* ---- versions.c: the newest row of each key of a range, merged over ancestors ---- */
/* Rows have the columns key (blob or integer), epoch, value, mode. */
struct sql_version {
    uint8_t key[CIS_FS_NAME_MAX]; /* a name, or a block as 8 bytes big endian */
    size_t nkey;
    uint64_t epoch;
    int64_t value, mode;
};
/* For every key in byte order; false stops. */
typedef cis_code sql_version_each(void *self, const struct sql_version *version, bool *out_more,
                                  struct cis_error *err);
enum sql_versions { SQL_VERSIONS_DIRENT, SQL_VERSIONS_EXTENT };
struct sql_range {
    enum sql_versions table;
    uint64_t id;          /* directory or file */
    struct cis_str after; /* dirents: keys above it */
    int64_t first, end;   /* extents: first <= block < end */
};
cis_code cis_sql_versions(struct sql_reader *reader, const struct sql_range *range,
                          sql_version_each *each, void *self, struct cis_error *err);

/* ---- chunk.c: inside the transaction of a commit ---- */
/* Stores a chunk in the database itself, or finds it there and stamps it; counts it to what the
 * tenant stores (CIS_E_QUOTA). */
cis_code cis_sql_chunk_store(struct sql_conn *conn, const struct cis_fs_chunk *chunk,
                             uint64_t *out_id, struct cis_error *err);

/* Does all of a chunk read back with its checksums? A row that is not there: false. Inside a
 * transaction. Fails where the database itself cannot be read. */
cis_code cis_sql_chunk_whole(struct sql_conn *conn, uint64_t id, bool *out, struct cis_error *err);

/* How far the chunk file reaches by its rows: read, and moved on by those that are added. */
cis_code cis_sql_chunk_end(struct sql_conn *conn, int64_t *out, struct cis_error *err);
cis_code cis_sql_chunk_end_set(struct sql_conn *conn, int64_t end, struct cis_error *err);

/* ---- chunk_move.c ---- */
/* Some payloads of table payload go into the chunk file. */
cis_code cis_sql_chunks_move(struct sql_store *store, struct cis_str tenant,
                             const struct cis_stop *stop, struct cis_error *err);

/* ---- chunk_file.c: payloads beside the database, TENANT.chunks ----
 * Bytes are appended and never changed; what was removed becomes a hole. */
#define SQL_NO_PLACE (-1) /* in table payload */
/* A descriptor of its own for every use, since locks are of descriptors. Without create and without
 * a file: CIS_OK and -1. */
cis_code cis_sql_chunk_file_open(const char *db_path, bool create, int *out_fd,
                                 struct cis_error *err);
void cis_sql_chunk_file_closep(int *fd); /* CIS_CLEANUP; -1: nothing */
/* "…/NAME.chunks" for "…/NAME.db"; caller frees. */
char *cis_sql_chunk_file_path(const char *db_path);
/* Appends payloads, syncs them, and says where each begins: at `from` or behind it, where the file
 * ends that rows know (tree.chunk_end). Nothing of it counts until rows name it; until the
 * descriptor is closed nobody takes it for left over. */
cis_code cis_sql_chunk_file_append(int fd, int64_t from, const struct cis_bytes *payloads, size_t n,
                                   int64_t *out_places, const struct cis_stop *stop,
                                   struct cis_error *err);
/* Asked inside the transaction that names what was appended: a tenant may be deleted and made again
 * meanwhile, and these bytes are then in no file of it. CIS_E_NOTFOUND. -1 is fine. */
cis_code cis_sql_chunk_file_there(int fd, struct cis_error *err);
/* CIS_E_DAMAGED: the file does not reach so far. */
cis_code cis_sql_chunk_file_read(int fd, int64_t place, void *out, size_t len,
                                 struct cis_error *err);
/* Has nobody bytes in flight? Then nobody gets any until the descriptor is closed. */
bool cis_sql_chunk_file_alone(int fd);
/* Until the descriptor is closed, nothing that rows named at any time from now on becomes a hole.
 * Many may hold. CIS_E_STORE: somebody makes holes and does not end. */
cis_code cis_sql_chunk_file_hold(int fd, const struct cis_stop *stop, struct cis_error *err);
/* Holds nobody? Then nobody does until the descriptor is closed. For who makes holes of what rows
 * named. */
bool cis_sql_chunk_file_let(int fd);
int64_t cis_sql_chunk_file_aligned(int64_t n);
/* The bytes are given back to the file system; best effort. */
void cis_sql_chunk_file_punch(int fd, int64_t place, int64_t len);

#endif
