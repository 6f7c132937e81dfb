/* Where files end: tombstones, branch by branch. Extents behind one are nobody's, unless the file
 * came back, in the branch or in one that was forked from it: what it had before may be named no
 * second time. Internal to this room. */
#ifndef CIS_HISTORY_GRAVES_H
#define CIS_HISTORY_GRAVES_H

#include "history/gc_roots.h"

struct tomb {
    uint64_t ino, epoch;
};
struct tombs {
    struct tomb *at; /* by (ino, epoch) */
    size_t n, cap;
    struct cis_bound *bound;
};

/* The first tombstone of the file after the epoch; UINT64_MAX: none. */
uint64_t cis_tombs_after(const struct tombs *tombs, uint64_t ino, uint64_t epoch);

struct graves {
    const struct cis_history *h;
    const struct retain *r;
    struct tombs *of;    /* by branch, in the order of r */
    struct numbers back; /* files whose tombstones end nothing */
    size_t branch;       /* being read */
    struct cis_fs_key last;
    bool last_gone;
    uint32_t seen;
    cis_code code;
    struct cis_error *err;
};
/* Set: h, r, err. */
cis_code cis_graves_read(struct graves *g);
void cis_graves_done(struct graves *g);

#endif
