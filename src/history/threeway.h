/* The three-way rule behind merge and undo: what changed from a base to `theirs` is done again on a
 * branch's head, where the head still is what the base was. Internal to this room.
 *
 * Two sides may have several bases (each merged the other before it saw that the other did). Then
 * each name and each file has a base of its own: what one of the bases made of the state that all
 * of them come from. Where two bases changed it, there is none: it is unsure, and both sides have
 * to agree. A name or file is unsure too when the base is older than it should be (careful) and
 * both sides touched it since: one may have changed it back, which the base does not show. */
#ifndef CIS_HISTORY_THREE_H
#define CIS_HISTORY_THREE_H

#include "history/edit.h"

enum { BASE, THEIRS, OURS };
#define THREE_BASES 16 /* more are as good as none: the fork point, carefully */

struct threeway_conflict {
    struct link link; /* parent 0: a file, ino[OURS] or ino[THEIRS] */
    const char *why;
    struct cis_str memory; /* "memory NS KEY", else len 0 */
};

/* One base, or the state that several bases come from. */
struct threeway_base {
    struct cis_view view;
    struct cis_history_pin pin;
    struct links links; /* of several bases: side 0; in the order of three.touched.links */
    struct rows rows;
};

struct threeway {
    const struct cis_history *h;
    const struct cis_branches *branches;
    struct cis_view view[3];    /* BASE: the first base */
    struct cis_history_pin pin; /* of THEIRS */
    struct threeway_base base[THREE_BASES + 1];
    size_t nbases;
    bool rooted;  /* base[nbases] is what all bases come from */
    bool careful; /* what both sides touched is unsure */
    /* What a union keeps, and the folders that it continues so, stay when theirs has them no more:
     * an undo of the commit that made them, while later ones build on it (threeway_marks.c). */
    bool keeps_marks;
    struct numbers kept; /* such files and folders */
    struct edit edit;
    struct touched touched; /* from the bases to theirs */
    struct touched mine;    /* careful: to the head. Of both sides the caller brings what all that
                             * they merged did, which their own logs need not show */
    struct numbers inos;
    int64_t *meant; /* for each of inos: names that theirs gave it minus names it took */
    /* One base: its rows. A head that is the base, as when the newest commit is taken back, has the
     * base's. Nothing is kept twice. */
    const struct rows *rows[3];
    struct rows theirs, ours, settled;
    uint8_t *from;                 /* several bases: for each of settled, which base it is of */
    struct numbers unsure;         /* files */
    struct numbers removed, moved; /* directories */
    struct {
        struct threeway_conflict *at;
        size_t n, cap;
        struct cis_bound *bound;
    } conflicts;
    struct {
        struct cis_kv_op *at;
        size_t n, cap;
        struct cis_bound *bound;
    } kv;
    struct arena arena;
    struct cis_error *err;
};

/* What is held counts by the edit's bound from now on; the edit is opened. */
void cis_threeway_bind(struct threeway *t);
/* What the commit has no use for goes before it. */
void cis_threeway_shrink(struct threeway *t);
/* Fills edit, or conflicts. Set: h, branches, err, view[THEIRS], view[OURS], the bases' views, all
 * of them pinned; the edit is opened; careful: touched and mine. */
cis_code cis_threeway_run(struct threeway *t);
cis_code cis_threeway_conflict(struct threeway *t, const struct link *link, uint64_t ino,
                               const char *why);
/* Reads names and rows of all sides, and settles what the base of each is (threeway_base.c). */
cis_code cis_threeway_read(struct threeway *t);
/* What only holds for all changes together (threeway_whole.c). */
cis_code cis_threeway_whole(struct threeway *t);
/* Skill memory by the same rule (threeway_memory.c). */
cis_code cis_threeway_memory(struct threeway *t);
/* One base: nothing of the state goes while it is read. */
cis_code cis_threeway_pin(struct threeway *t, struct cis_view view, struct threeway_base *out);
/* Run, check and, unless it is a dry run, commit (merge.c). */
cis_code cis_threeway_finish(struct threeway *t, const struct cis_history_commit *how,
                             const char *kind, const char *note, struct cis_history_done *out);
void cis_threeway_done(struct threeway *t);

/* Do both views show the same content and attributes? Not compared are link counts and times of
 * change, which follow from names. Of directories only attributes. */
cis_code cis_threeway_same(const struct threeway *t, struct cis_view x,
                           const struct cis_fs_inode *a, struct cis_view y,
                           const struct cis_fs_inode *b, bool *out);
#define CIS_THREE_UNSURE "changed on both sides more than once"

/* What stays of a union: found before names are taken. */
cis_code cis_threeway_marks(struct threeway *t);
bool cis_threeway_stays(const struct threeway *t, const struct link *link);

static inline bool owner_same(const struct cis_fs_inode *a, const struct cis_fs_inode *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

#endif
