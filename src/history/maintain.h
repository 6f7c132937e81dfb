/* Keeping a tenant's history in bounds, and proving that it is whole. Everything here may run while
 * others read and commit, and may be stopped at any point: what is left is done by the next call.
 */
#ifndef CIS_HISTORY_MAINTAIN_H
#define CIS_HISTORY_MAINTAIN_H

#include "history/history.h"

/* What stays readable beside heads, snapshots, fork points and pins. */
struct cis_retention {
    uint64_t runs;    /* the last N commits of each branch */
    int64_t age_ms;   /* and whatever was the head within this time */
    int64_t grace_ms; /* never less than this (database clock); 0: 10 minutes. Tests only */
    uint32_t batch;   /* rows a transaction deletes; 0: 1,000 */
    bool dry_run;     /* counts only */
};
#define CIS_RETENTION_DEFAULT                                                                      \
    ((struct cis_retention){.runs = 100, .age_ms = 7ll * 24 * 3600 * 1000})
#define CIS_RETENTION_GRACE_MS (10ll * 60 * 1000)

static inline int64_t cis_retention_grace_ms(const struct cis_retention *keep)
{
    return keep->grace_ms != 0 ? keep->grace_ms : CIS_RETENTION_GRACE_MS;
}

/* What was current within this time stays. */
static inline int64_t cis_retention_age_ms(const struct cis_retention *keep)
{
    int64_t grace = cis_retention_grace_ms(keep);
    return keep->age_ms > grace ? keep->age_ms : grace;
}

struct cis_gc_counts {
    uint64_t branches, rows, chunks; /* removed */
    uint64_t rows_kept, chunks_kept;
    uint64_t bytes; /* packed, of removed chunks */
};
cis_code cis_history_gc(const struct cis_history *h, const struct cis_retention *keep,
                        struct cis_gc_counts *out, struct cis_error *err);
/* Its parts. */
cis_code cis_gc_rows(const struct cis_history *h, const struct cis_retention *keep,
                     struct cis_gc_counts *out, struct cis_error *err);
cis_code cis_gc_chunks(const struct cis_history *h, const struct cis_retention *keep,
                       struct cis_gc_counts *out, struct cis_error *err);

/* One fault, named as far as it can be. */
struct cis_fault {
    const char *what;    /* "chunk", "name", "file", "directory", "branch", "store" */
    struct cis_str path; /* "" when it has none */
    struct cis_str text; /* one line */
};
typedef bool cis_fault_each(void *self, const struct cis_fault *fault);
struct cis_fsck_counts {
    uint64_t views, names, files, chunks, chunk_bytes, faults;
};
/* Every head and snapshot, with data also what the reflog has: names lead to files and back, link
 * counts, sizes, counts of the branch, chunks named exist. data: every chunk is read and its keyed
 * hash compared. CIS_OK with faults in out->faults: damage is a finding, not a failure of the
 * check. */
cis_code cis_history_fsck(const struct cis_history *h, bool data, cis_fault_each *each, void *self,
                          struct cis_fsck_counts *out, struct cis_error *err);

#endif
