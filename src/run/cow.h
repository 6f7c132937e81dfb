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
    cis_fs_cache *fs_cache;
    const char *tenant;
    struct cis_view at; /* of the branch */
    const char *folder;
    bool exact; /* it is what a run recorded: a symlink on the way to it is CIS_E_CONFLICT */
    const struct cis_stop *stop; /* of everything done with it */
};
/* CIS_E_NOTFOUND (the folder), CIS_E_INVALID (the branch holds files of its own), CIS_E_EXPIRED. */
cis_code cis_cow_open(const struct cis_cow_options *options, cis_cow **out_cow,
                      struct cis_error *err);
void cis_cow_close(cis_cow *cow);

/* As cis_union_changes, all in the order of their paths unless they are very many. */
cis_code cis_cow_changes(cis_cow *cow, cis_union_change_each *each, void *self,
                         struct cis_error *err);
/* A regular file as the folder has it, or with the branch above; up to out->max, else CIS_E_LIMIT.
 */
cis_code cis_cow_read(cis_cow *cow, struct cis_str path, bool folder, struct cis_buf *out,
                      struct cis_error *err);

struct cis_cow_apply {
    /* The run that is brought there, and the mount; the record has them. */
    const char *run, *guest_path;
    bool force;     /* also over what is not as the run saw it */
    bool elsewhere; /* the folder is another one than the run's: folders in it have other identities
                     */
    bool outward;   /* also symlinks that lead out of the folder */
    bool dry_run;   /* nothing is done, nor anything written into the folder to try it */
    void (*conflict)(void *self, struct cis_str path, const char *why); /* may be NULL */
    /* When it ends half-way: a folder that was on its way stands at `name` of the folder. May be
     * NULL. */
    void (*aside)(void *self, struct cis_str path, const char *name);
    /* A fifo, socket or device of the run: it is not made, and what the folder has of that name
     * stays. May be NULL. */
    void (*left_out)(void *self, struct cis_str path, uint32_t mode);
    cis_union_change_each *each; /* what is (or would be) done; may be NULL */
    void *self;
};
/* "user." attributes and access lists of a file stay with what replaces it; what is removed and
 * has them, and a file that is replaced and has capabilities, is told to `conflict`, for the record
 * keeps none. Each name that is replaced, removed or
 * moved must be what the run saw of it, by type and content (vfs/union/union.h), or what an earlier
 * apply of the branch left there; everything else is told to `conflict`, and nothing is done. What
 * is replaced is kept first, in a branch "applied/ID-N" of the tenant, with which cis_cow_undo
 * takes everything back. Files are written beside and exchanged with what is at their place, which
 * is looked at again before it goes: what somebody changes at that moment stays, and ends the apply
 * half-way. All of it together is no transaction: what ended half-way can be undone, and, when no
 * folder stands aside, applied again. What the host would refuse is looked for before anything is
 * done; what it refuses all the same (a full disk) takes back what was done by then, if it can.
 * Symlinks that lead out are told to `conflict`, too: absolute ones, those with ".." for
 * more folders than they lie in, or behind a name that may be a symlink itself; those below a
 * folder that moves are checked where they come to; and all others that would lead out by what they
 * go through, but the user's own that did so before. CIS_E_CONFLICT;
 * CIS_E_QUOTA (no room to keep what is replaced); CIS_E_UNSUPPORTED (further down than paths are
 * long no devices, sockets, fifos and files with several names are made; nor is a folder moved
 * there); CIS_E_LIMIT (more changes than 1 GiB holds). What lies so far down is one change, of the
 * folder above it, with all that is in it. */
cis_code cis_cow_apply(cis_cow *cow, const struct cis_cow_apply *how, uint64_t *out_n,
                       struct cis_error *err);

/* Applies of a run, the newest first. Each is noted in the run's row before the folder is touched,
 * so that none is left out as long as there is the row, whatever became of its record. */
struct cis_cow_applied {
    char ref[CIS_FS_REF_MAX + 1];
    char *guest_path, *folder; /* borrowed */
    struct cis_view at;
    int64_t made_ms; /* when its branch was made here, or the restore that brought it */
    bool undone;
    bool outward;  /* symlinks that lead out were made, too */
    bool restored; /* its record came with a backup: the folder is another host's, and not named */
    /* Why its record cannot be used, so that nothing can take it back: gc or a user removed it.
     * What the run's row says is all that is known; folder "": that says nothing either. NULL: it
     * can be used. Borrowed. */
    const char *lost;
};
typedef bool cis_cow_applied_each(void *self, const struct cis_cow_applied *applied);
cis_code cis_cow_applied_list(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                              const struct cis_stop *stop, cis_cow_applied_each *each, void *self,
                              struct cis_error *err);

struct cis_cow_undo {
    cis_fs_cache *fs_cache;
    const char *tenant, *ref; /* ref: cis_cow_applied.ref */
    bool dry_run;
    bool mends; /* a dry run, too: what a killed one left half-way is ended first */
    bool held;  /* a part of an apply, which has the folder to itself */
    const struct cis_stop *stop;
    void (*conflict)(void *self, struct cis_str path, const char *why); /* may be NULL */
    cis_union_change_each *each;                                        /* may be NULL */
    void *self;
};
/* Takes an apply back, also one that ended half-way. Names that are not as the apply left them are
 * told to `conflict`, and nothing is done: CIS_E_CONFLICT. */
cis_code cis_cow_undo(const struct cis_cow_undo *how, uint64_t *out_n, struct cis_error *err);

#endif
