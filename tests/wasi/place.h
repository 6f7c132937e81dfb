/* Where a guest works: a fresh workspace for each, of one of four kinds. What is mounted is a
 * choice of the guest's row. One thread. */
#ifndef CIS_TESTS_WASI_PLACE_H
#define CIS_TESTS_WASI_PLACE_H

#include "harness.h"
#include "run/files.h"

enum backend { SQLITE, POSTGRES, HOSTDIR, COW, BACKENDS };
extern const char *const backend_names[BACKENDS];

struct place {
    enum backend backend;
    char *base;   /* a folder of the host for everything */
    char *folder; /* below it: what /w is made from (hostdir, cow) */
    char *other;  /* /x */
    char *fixed;  /* /ro of the folder kinds */
    char *secret; /* a file outside of every mount */
    void *store_place;
    cis_store *store; /* NULL: hostdir has none */
    cis_fs_cache *fs_cache;
    uint64_t mark;
    bool mounted; /* folder is a small filesystem of its own */
};

void places_start(enum backend backend); /* once in a program, and stop at its end */
void places_stop(void);
void place_begin(struct place *place, enum backend backend);
void place_end(struct place *place);

/* Remembers what is outside, and, for cow, in the folder; nothing of it was changed since. */
void place_mark(struct place *place);
void place_untouched(const struct place *place);

/* /w. */
struct cis_run_mount place_main(const struct place *place);
/* /w, /x and /ro, which holds a file "r" with the text "read". Three mounts. */
void place_three(struct place *place, struct cis_run_mount out[3]);
/* Room for so many bytes. The errno at the end of it: "EDQUOT" or, with stored or on a folder,
 * "ENOSPC". NULL: this machine does not let us (a small filesystem of its own is needed). */
const char *place_limit(struct place *place, uint64_t bytes, bool stored);

#endif
