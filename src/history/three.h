/* The three-way rule behind merge and undo: what changed from `base` to `theirs` is done again on a
 * branch's head, where the head still is what base was. Internal to this room. */
#ifndef CIS_HISTORY_THREE_H
#define CIS_HISTORY_THREE_H

#include "history/edit.h"

enum { BASE, THEIRS, OURS };

struct three_conflict {
    struct link link; /* parent 0: a file, ino[OURS] or ino[THEIRS] */
    const char *why;
    struct cis_str memory; /* "memory NS KEY", else len 0 */
};

struct three {
    const struct cis_history *h;
    struct cis_view view[3];
    struct cis_history_pin pin[2]; /* of BASE and THEIRS */
    struct edit edit;
    struct touched touched;
    struct numbers inos;
    struct rows rows[3];
    struct numbers removed, moved; /* directories */
    struct {
        struct three_conflict *at;
        size_t n, cap;
    } conflicts;
    struct {
        struct cis_kv_op *at;
        size_t n, cap;
    } kv;
    struct arena arena;
    struct cis_error *err;
};

/* Fills edit, or conflicts. The edit is opened by the caller, views set. */
cis_code cis_three_run(struct three *t, const struct cis_branches *branches);
cis_code cis_three_conflict(struct three *t, const struct link *link, uint64_t ino,
                            const char *why);
/* Skill memory by the same rule. */
cis_code cis_three_memory(struct three *t);
/* Tells the conflicts, sorted as found; CIS_E_CONFLICT when there are any. */
cis_code cis_three_judge(struct three *t, const struct cis_history_commit *how);
void cis_three_done(struct three *t);

#endif
