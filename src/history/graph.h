/* What states descend from: the commit before, the state a branch was forked from, the state that a
 * merge took. From this ancestry alone, never from times, follow the bases of a merge: the states
 * both sides descend from, but for those that another of them descends from.
 *
 * A merge's note ends with "[merges BRANCH@EPOCH …]": the state it took, and the last state of
 * every other branch that came with it. So ancestry stays known when the branches in between are
 * gone. A list that ends with "+" is cut: then the first branch's log is what knows the rest, and
 * gc keeps it. "[merged BRANCH@EPOCH]", of earlier versions, names the state that was taken and
 * nothing else. Internal to this room; one thread. */
#ifndef CIS_HISTORY_GRAPH_H
#define CIS_HISTORY_GRAPH_H

#include "history/internal.h"

#define GRAPH_BASES 16

struct views {
    struct cis_view *at;
    size_t n, cap;
    struct cis_bound *bound;
};
/* One merge that a branch's log records. */
struct graph_merge {
    uint64_t epoch;
    size_t from, n;  /* of graph.taken */
    bool cut, alone; /* alone: of an earlier version */
};
struct graph_line { /* of a branch, in the order of branches */
    struct {
        struct graph_merge *at;
        size_t n, cap;
        struct cis_bound *bound;
    } merges;
    uint64_t read_from; /* commits up to this epoch are not read */
    bool begun;
};
/* Of every branch the last epoch that a state descends from. */
struct ancestry {
    uint64_t *upto; /* by place: epoch + 1, 0: nothing of it */
    size_t cap;
    struct numbers places; /* that are not 0 */
    struct views todo;
};
struct graph {
    const struct cis_history *h;
    const struct cis_branches *branches;
    struct graph_line *lines;
    struct views taken;
    struct cis_map places; /* branch → place + 1; those that are gone come after the others */
    struct numbers gone;
    bool incomplete;          /* a branch is gone that a record of an earlier version names */
    struct ancestry sides[2]; /* of cis_graph_bases, which gc asks of very many pairs */
};

struct graph_bases {
    struct cis_view at[GRAPH_BASES]; /* n 0: too many, or one is gone */
    size_t n;
    struct cis_view root; /* n > 1: the one state that all of them come from; branch 0: none */
    struct cis_view
        fork;      /* where the branches parted: always kept, maybe older than it should be */
    bool within;   /* ours has all of theirs */
    bool complete; /* what was merged before is known to the end */
};

/* branches stay the caller's. */
cis_code cis_graph_open(struct graph *g, const struct cis_history *h,
                        const struct cis_branches *branches, struct cis_error *err);
void cis_graph_done(struct graph *g);
/* CIS_E_DAMAGED: they have nothing in common. */
cis_code cis_graph_bases(struct graph *g, struct cis_view ours, struct cis_view theirs,
                         struct graph_bases *out, struct cis_error *err);
/* Reads all that the log of the branch at this place of branches records. */
cis_code cis_graph_read(struct graph *g, size_t place, struct cis_error *err);
/* What all commits touched that the view descends from, but for those the fork point has. */
cis_code cis_graph_touched(struct graph *g, struct cis_view view, struct cis_view fork,
                           struct touched *out, struct cis_error *err);
/* The note of a commit that merges theirs into ours. */
cis_code cis_graph_note(struct graph *g, struct cis_view ours, struct cis_view theirs,
                        const char *said, char out[CIS_FS_NOTE_MAX + 1], struct cis_error *err);

/* ---- between graph.c and graph_base.c ---- */
void cis_ancestry_done(struct ancestry *a);
uint64_t cis_ancestry_upto(const struct ancestry *a, size_t place);
struct cis_view cis_ancestry_view(const struct graph *g, const struct ancestry *a, size_t place);
cis_code cis_graph_place(struct graph *g, uint64_t branch, size_t *out, struct cis_error *err);
/* What `below` sees of the branch: its last epoch of it; false: nothing. */
bool cis_graph_seen(const struct graph *g, struct cis_view below, uint64_t branch, uint64_t *out);
/* Everything that `from` descends from and itself; below: but for that state and what it sees of
 * its own branches. */
cis_code cis_graph_walk(struct graph *g, struct cis_view from, const struct cis_view *below,
                        struct ancestry *a, struct cis_error *err);

/* ---- what gc keeps for later merges: pins that do not lapse ---- */
/* Pins the bases of every two branches that have names, and of each with each snapshot, and lets go
 * of such pins that are of no use any more. Branches that cis made (cis_fs_ref_is_made) and nobody
 * merged are left out. Before floors are set: when a base cannot be pinned, gc has to end.
 * out_needed: branches (sorted) whose logs are needed by records that are cut. dry_run: nothing is
 * pinned. */
cis_code cis_graph_hold(const struct cis_history *h, bool dry_run, struct numbers *out_needed,
                        struct cis_error *err);
/* By branch and epoch, for qsort. */
int cis_graph_view_cmp(const void *a, const void *b);
/* Pins what a merge took; a failure is nobody's: gc pins it again. */
void cis_graph_keep(const struct cis_history *h, struct cis_view view);

#endif
