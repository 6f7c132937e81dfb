/* What the branch of a cow mount makes of a folder: shown, and brought to it. The folder is looked
 * at as it is now; only cis_cow_apply writes to it.
 *
 * One thread. */
#ifndef CIS_RUN_COW_H
#define CIS_RUN_COW_H

#include "vfs/layered/layered.h"
#include "vfs/union/union.h"

typedef struct cis_cow cis_cow;

struct cis_cow_options {
    cis_forest *forest;
    const char *tenant;
    struct cis_view at; /* of the branch */
    const char *folder;
    const struct cis_stop *stop; /* of everything done with it */
};
/* CIS_E_NOTFOUND (the folder), CIS_E_INVALID (the branch holds files of its own), CIS_E_EXPIRED. */
cis_code cis_cow_open(const struct cis_cow_options *options, cis_cow **out_cow,
                      struct cis_error *err);
void cis_cow_close(cis_cow *cow);

/* As cis_union_changes, and folders before what is in them. */
cis_code cis_cow_changes(cis_cow *cow, cis_union_change_each *each, void *self,
                         struct cis_error *err);
/* A regular file as the folder has it, or with the branch above; up to out->max, else CIS_E_LIMIT.
 */
cis_code cis_cow_read(cis_cow *cow, struct cis_str path, bool folder, struct cis_buf *out,
                      struct cis_error *err);

struct cis_cow_apply {
    /* What the changes would replace, remove or rename must be as it was then: whatever was changed
     * later is told to `conflict`, and nothing is done. 0: not looked at. */
    int64_t since_ms;
    bool dry_run;
    void (*conflict)(void *self, struct cis_str path, const char *why); /* may be NULL */
    cis_union_change_each *each; /* what is (or would be) done; may be NULL */
    void *self;
};
/* Files are written beside and moved to their place, so that each is the old or the new one; all of
 * them together are no transaction, and what fails half-way can be applied again. CIS_E_CONFLICT;
 * CIS_E_UNSUPPORTED (devices, sockets, fifos are not made). */
cis_code cis_cow_apply(cis_cow *cow, const struct cis_cow_apply *how, uint64_t *out_n,
                       struct cis_error *err);

#endif
