/* Shared by the files of this room only: growing arrays, copies of names, keys that commits
 * touched, and where directories are. */
#ifndef CIS_HISTORY_INTERNAL_H
#define CIS_HISTORY_INTERNAL_H

#include "base/budget.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "history/history.h"
#include "store/commit.h"

/* ---- what one verb may hold: charged before it is allocated ---- */
struct cis_bound {
    struct cis_budget budget;
    bool refused; /* something was: what the verb answers is told by that */
};
/* By h->bytes_max. */
void cis_bound_init(struct cis_bound *bound, const struct cis_history *h);
/* What a verb answers: work that was refused more memory than its bound is CIS_E_BUDGET, and the
 * message names the setting. */
cis_code cis_bound_told(const struct cis_bound *bound, cis_code code, const char *verb,
                        struct cis_error *err);
/* False, and nothing charged: no room. A bound of NULL has room for everything. */
bool cis_bound_charge(struct cis_bound *bound, uint64_t bytes);
void cis_bound_release(struct cis_bound *bound, uint64_t bytes);

/* ---- growing arrays: struct { T *at; size_t n, cap; struct cis_bound *bound; } ---- */
bool cis_history_grow(void **at, size_t *cap, size_t each, struct cis_bound *bound);
void cis_history_drop(void **at, size_t *n, size_t *cap, size_t each, struct cis_bound *bound);
/* Frees the elements; the bound stays, and the array is an empty one. */
#define vec_done(v)                                                                                \
    cis_history_drop((void **)&(v)->at, &(v)->n, &(v)->cap, sizeof *(v)->at, (v)->bound)
/* A new last element (not initialised), NULL when out of memory or above the bound. */
#define vec_add(v)                                                                                 \
    ((v)->n < (v)->cap ||                                                                          \
             cis_history_grow((void **)&(v)->at, &(v)->cap, sizeof *(v)->at, (v)->bound)           \
         ? &(v)->at[(v)->n++]                                                                      \
         : NULL)
cis_code cis_history_nomem(struct cis_error *err);

struct numbers {
    uint64_t *at;
    size_t n, cap;
    struct cis_bound *bound;
};
void cis_numbers_done(struct numbers *v);
cis_code cis_numbers_add(struct numbers *v, uint64_t x, struct cis_error *err);
void cis_numbers_sort(struct numbers *v); /* ascending, each once */
bool cis_numbers_has(const struct numbers *v, uint64_t x);
/* Index of the first element ≥ x. */
size_t cis_numbers_at(const struct numbers *v, uint64_t x);

/* ---- copies of names, freed together ---- */
struct arena {
    struct arena_block *head;
    struct cis_bound *bound;
};
void cis_arena_done(struct arena *arena);
void *cis_arena_alloc(struct arena *arena, size_t len, struct cis_error *err); /* aligned to 8 */
cis_code cis_arena_str(struct arena *arena, struct cis_str text, struct cis_str *out,
                       struct cis_error *err);

/* uint64 → pointer, on cis_map. */
void *cis_ids_get(const struct cis_map *map, uint64_t id);
cis_code cis_ids_set(struct cis_map *map, uint64_t id, void *value, struct cis_bound *bound,
                     struct cis_error *err);

/* ---- one name: (directory, name) → file ---- */
struct link {
    uint64_t parent;
    struct cis_str name;
    uint64_t ino[3]; /* at the views asked for; 0: no such name */
    uint32_t type[3];
    bool unsure; /* threeway.h */
};
struct links {
    struct link *at;
    size_t n, cap;
    struct cis_bound *bound;
};
int cis_link_cmp(const void *a, const void *b); /* by (parent, name) */

/* ---- what commits touched ---- */
struct memory_key {
    struct cis_str ns, key;
};
struct touched {
    struct links links;   /* sorted, each once */
    struct numbers inos;  /* files and directories whose rows changed */
    struct numbers attrs; /* directories with explicit attributes */
    struct numbers named; /* files that were given names */
    struct {
        struct memory_key *at;
        size_t n, cap;
        struct cis_bound *bound;
    } memory;
    struct arena arena;
};
void cis_touched_done(struct touched *t);
void cis_touched_bind(struct touched *t, struct cis_bound *bound);
/* Keys of the commits after `from` that led to `to`; from is an ancestor state of to. */
cis_code cis_touched_add(const struct cis_history *h, const struct cis_branches *branches,
                         struct cis_view from, struct cis_view to, struct touched *t,
                         struct cis_error *err);
/* Keys of the branch's own commits with after < epoch ≤ upto. *dropped becomes true when they are
 * not kept any more: then names and files are told by rows, and the memory of the two states that
 * the caller compares is told by cis_touched_memory_rows. The states in between need not be kept.
 */
cis_code cis_touched_branch(const struct cis_history *h, uint64_t branch, uint64_t after,
                            uint64_t upto, struct touched *t, bool *dropped, struct cis_error *err);
/* The same by the rows that the commits left: what cis_touched_branch does when keys are dropped.
 */
cis_code cis_touched_rows(const struct cis_history *h, uint64_t branch, uint64_t after,
                          uint64_t upto, struct touched *t, struct cis_error *err);
/* Memory that differs between two states, or was written since the first and is the same again.
 * Both are kept; `to` descends from `from`. */
cis_code cis_touched_memory_rows(const struct cis_history *h, struct cis_view from,
                                 struct cis_view to, struct touched *t, struct cis_error *err);
void cis_touched_sort(struct touched *t);
bool cis_touched_link(const struct touched *t, const struct link *link);
bool cis_touched_memory(const struct touched *t, const struct memory_key *key);
/* Fills ino[side] and type[side] of every link by the view. */
cis_code cis_links_read(const struct cis_history *h, struct cis_view view, struct links *links,
                        int side, struct cis_error *err);

/* The same by names alone, whether their files are there or not. */
cis_code cis_links_list(const struct cis_history *h, struct cis_view view, struct links *links,
                        int side, struct cis_error *err);

/* ---- rows of inodes at a view, with their data ---- */
struct rows {
    struct cis_fs_inode *at; /* by ino */
    size_t n, cap;
    struct cis_bound *bound;
    struct arena arena;
};
void cis_rows_done(struct rows *rows);
void cis_rows_bind(struct rows *rows, struct cis_bound *bound);
cis_code cis_rows_read(const struct cis_history *h, struct cis_view view,
                       const struct numbers *inos, struct rows *out, struct cis_error *err);
const struct cis_fs_inode *cis_rows_find(const struct rows *rows, uint64_t ino);
/* One row; out->ino 0 when it is not there. Data is not kept. */
cis_code cis_history_row_read(const struct cis_history *h, struct cis_view view, uint64_t ino,
                              struct cis_fs_inode *out, struct cis_error *err);

/* Are both rows of one file, written by one commit? Every branch counts its own epochs: which
 * branch wrote a row follows from the view that shows it. */
bool cis_history_row_same(const struct cis_branches *branches, struct cis_view x,
                          const struct cis_fs_inode *a, struct cis_view y,
                          const struct cis_fs_inode *b);

/* ---- extents of one file ---- */
struct extents {
    struct cis_fs_extent *at; /* by block */
    size_t n, cap;
    struct cis_bound *bound;
};
void cis_extents_done(struct extents *v);
cis_code cis_extents_read(const struct cis_history *h, struct cis_view view, uint64_t ino,
                          struct extents *out, struct cis_error *err);

/* Holes count as nothing. */
bool cis_extents_same(const struct extents *a, const struct extents *b);
/* The same of a file at two views; extents are charged while they are compared. */
cis_code cis_history_content_same(const struct cis_history *h, struct cis_view x, uint64_t a,
                                  struct cis_view y, uint64_t b, struct cis_bound *bound, bool *out,
                                  struct cis_error *err);

/* ---- where directories are at a view ---- */
struct places {
    const struct cis_history *h;
    struct cis_view view;
    struct cis_map dirs;   /* ino → struct link (parent, name) */
    struct cis_map listed; /* directories whose entries are in dirs */
    struct arena arena;
    /* The directory that was asked for last (0: none), its path and a slash: a walk up ends there.
     */
    uint64_t near;
    struct cis_buf near_path;
    bool near_cut;
};
void cis_places_init(struct places *p, const struct cis_history *h, struct cis_view view);
void cis_places_done(struct places *p);
/* Path of a name, from the root without the leading slash, appended to out. Of one that is longer
 * than CIS_HISTORY_PATH_MAX bytes its end behind CIS_HISTORY_CUT; *out_cut, which may be NULL, says
 * so. */
cis_code cis_places_path(struct places *p, uint64_t parent, struct cis_str name,
                         struct cis_buf *out, bool *out_cut, struct cis_error *err);
/* Every name of the inodes (sorted) at the view, by one pass over the names of its lineage. */
cis_code cis_places_find(const struct cis_history *h, struct cis_view view,
                         const struct numbers *inos, struct links *out, struct arena *arena,
                         struct cis_error *err);

static inline bool is_dir(uint32_t mode)
{
    return (mode & 0170000) == 0040000;
}
static inline bool is_file(uint32_t mode)
{
    return (mode & 0170000) == 0100000;
}

#endif
