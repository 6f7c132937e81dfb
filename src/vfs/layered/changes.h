/* Inside layered/: what changes.c (what differs) and changes_place.c (where it is shown) share. All
 * of it costs time and memory in proportion to what changed, and is charged to the view's budget.
 * One thread; no lock is held between two steps but v->committing. */
#ifndef CIS_VFS_LAYERED_CHANGES_H
#define CIS_VFS_LAYERED_CHANGES_H

#include "vfs/layered/view.h"

/* A folder by the path at which it is shown: as it is now, or where the base had it. */
struct lay_place {
    struct lay_place *parent, *chain; /* chain: same hash */
    const char *name;
    size_t path_len;             /* of "a/b"; 0: the root */
    size_t first, entries, next; /* what is in it, of all entries; the next to be shown */
    uint32_t index;
    uint8_t len;
};

/* A folder by its number, now or in the base. */
struct lay_ref_dir {
    uint64_t ino, parent;
    const char *name; /* NULL: not known yet */
    struct lay_place *place;
    struct lay_ref_dir *next; /* to be looked at; or below it, on the way to its place */
    uint8_t len;
    bool walked; /* on that way */
};

struct lay_item {
    uint64_t dir, ino, base_ino; /* ino 0: the name went; base_ino 0: it came */
    const char *name;            /* NULL: a node that changed in its place, not found yet */
    const struct lay_item *from; /* the name that its file had in the base */
    struct lay_place *place;     /* the folder that it is shown in */
    struct lay_place *from_place;
    uint8_t len;
    bool named; /* a name that differs; else a node that changed */
    bool folder, done;
};

struct lay_look_block {
    struct lay_look_block *next;
    size_t used, cap;
    char data[] __attribute__((aligned(16)));
};

struct lay_look {
    struct lay_view *v;
    const struct cis_vfs_call *call;
    struct lay_item *items; /* by ino; of one ino the node that changed comes first */
    struct lay_item **gone; /* names that the base gave another file, by that */
    size_t n, ngone;
    struct lay_table refs[2]; /* ino → struct lay_ref_dir: now, in the base */
    struct lay_table places;
    struct lay_place *root;
    size_t nplaces, longest; /* longest: path_len */
    struct lay_look_block *blocks;
    uint64_t charged;
    unsigned turns;
};

/* ---- changes.c: memory and time ---- */
int cis_lay_look_charge(struct lay_look *k, uint64_t bytes);
/* Zeroed, until the end; NULL: errno in *out_no. */
void *cis_lay_look_alloc(struct lay_look *k, size_t size, int *out_rc);
int cis_lay_look_name(struct lay_look *k, struct cis_str name, const char **out_name,
                      uint8_t *out_len);
/* Now and then: is it time to end? EINTR. */
int cis_lay_look_turn(struct lay_look *k);

/* ---- changes_item.c: what differs ---- */
/* All items, and what renames came from. */
int cis_lay_look_collect(struct lay_look *k);
/* The names of files that changed in their place; done: those that another name shows. */
int cis_lay_look_files(struct lay_look *k);
/* The first of the names that led to an inode now; NULL. */
struct lay_item *cis_lay_look_named(const struct lay_look *k, uint64_t ino);
/* A name that led to an inode in the base and does not now; NULL. */
struct lay_item *cis_lay_look_gone(const struct lay_look *k, uint64_t base_ino);

/* ---- changes_place.c ---- */
/* Calls each with the entries of a directory as the base has it; none of a new one. false stops. */
typedef bool lay_look_each(void *self, const struct lay_listed *entry);
int cis_lay_look_list(struct lay_look *k, uint64_t dir, lay_look_each *each, void *self);
/* The places of all items that are not done. */
int cis_lay_look_places(struct lay_look *k);

#endif
