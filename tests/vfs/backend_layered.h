/* A tenant's branch in a fresh store, SQLite or PostgreSQL, by itself or as the upper part of a
 * union over an empty folder of the host. */
#ifndef CIS_TESTS_VFS_BACKEND_LAYERED_H
#define CIS_TESTS_VFS_BACKEND_LAYERED_H

#include "vfs/backends.h"
#include "vfs/layered/layered.h"

#define LAYERED_TENANT CIS_STR("acme")

/* ---- a store that is there for one test: backend_sqlite.c or backend_postgres.c ---- */
void stores_start(void); /* once in a program, and stop at its end */
void stores_stop(void);
void *store_place_new(void);
cis_store *store_place_open(void *place);
void store_place_free(void *place);
/* What the place is kept by ends without warning and comes again; an open store goes on. False:
 * nothing can be ended apart from this process. */
bool store_place_crash(void *place);

struct layered_place {
    void *store_place;
    cis_store *store;
    cis_fs_cache *fs_cache;
    char *folder; /* of the union's lower part; NULL */
    cis_vfs *lower, *upper;
};
struct layered_place *layered_begin(void);
void layered_end(struct layered_place *place);
/* Store and fs cache anew; no views are open. */
void layered_reopen(struct layered_place *place);
/* ref "": main. view branch 0: the head. */
cis_vfs *layered_open(struct layered_place *place, const char *ref, struct cis_view view,
                      bool read_only);

#endif
