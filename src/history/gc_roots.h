/* What has to stay readable, branch by branch. Internal to this room. */
#ifndef CIS_HISTORY_RETAIN_H
#define CIS_HISTORY_RETAIN_H

#include "history/internal.h"
#include "history/maintain.h"

struct kept {
    struct cis_branch branch;
    bool live;           /* its head is somebody's: a ref's, or was until lately */
    uint64_t from;       /* live: every epoch from here on stays */
    struct numbers held; /* single epochs below: snapshots, pins, where forks began */
    /* Of the views that stay: how many see something of it, and the least that one of them sees. */
    uint64_t seen_by, seen_upto;
};
struct retain {
    struct cis_branches branches;
    struct kept *at; /* one a branch, in its order */
    size_t n;
    int64_t now_ms, grace_ms;
    uint64_t views; /* that stay: heads, snapshots, pins, and where forks that go on begin */
};

/* Windows only: live and from. */
cis_code cis_gc_roots_windows(const struct cis_history *h, const struct cis_retention *keep,
                              struct retain *out, struct cis_error *err);
/* Then, once floors are set: what is held below them. */
cis_code cis_gc_roots_held(const struct cis_history *h, struct retain *r, struct cis_error *err);
/* Commits of the branch up to here are in all views that stay: whatever two of them are compared or
 * merged, it is from a state that has these commits, and what they changed is never asked for. */
uint64_t cis_gc_roots_keys_upto(const struct retain *r, const struct kept *k);
void cis_gc_roots_done(struct retain *r);
/* Does a row written at `epoch` and replaced at `next` (UINT64_MAX: never) show in a view that
 * stays? */
bool cis_gc_roots_shows(const struct kept *k, uint64_t epoch, uint64_t next);

#endif
