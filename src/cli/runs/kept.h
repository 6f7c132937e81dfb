/* A finished run and what of it the store keeps: for the commands that show it, take it back or
 * bring it to a folder. Of one command, one thread. */
#ifndef CIS_CLI_KEPT_H
#define CIS_CLI_KEPT_H

#include <jansson.h>
#include "base/map.h"
#include "cli/fs/fs.h"
#include "run/cow.h"

struct cis_kept {
    char id[27];
    int64_t started_ms, restored_ms; /* restored: it came with a backup, 0: it did not */
    json_t *report;                  /* owned */
    struct cis_view commit;          /* that carries its record; branch 0: none */
    cis_code code;
    struct cis_error why;
};

/* A stored report as JSON; free it. Whatever the guest's result is: one that cannot be read is the
 * text "result_text". NULL: damaged, or out of memory. */
json_t *cis_kept_report(struct cis_str text);

void cis_kept_done(struct cis_kept *run);
/* What a user wrote for a run, as the store takes it: "last" is the newest one. */
cis_code cis_kept_id(cis_store *store, struct cis_str tenant, const char *given,
                     const struct cis_stop *stop, struct cis_buf *out, struct cis_error *err);
/* By the beginning of its id, in upper or lower case, or "last". Needs cis_kept_done, also after an
 * error. */
cis_code cis_kept_find(struct cis_fs_cmd *cmd, const char *given, struct cis_kept *out,
                       struct cis_error *err);
/* The refusal for a run of which nothing was kept. */
cis_code cis_kept_nothing(const struct cis_kept *run, struct cis_error *err);
/* Did it end well? Then what it kept is all that it changed. */
bool cis_kept_ended_well(const struct cis_kept *run);

/* Mounts as the report has them. A text, or "". */
const char *cis_kept_field(const json_t *mount, const char *name);
bool cis_kept_is_cow(const json_t *mount);
/* Where the changes of a mount went. */
const char *cis_kept_branch_of(const json_t *mount);
/* The mount whose branch carries the record: the workspace that was written, else the first cow
 * one. NULL: a run without mounts (a skill). */
const json_t *cis_kept_carrier(const struct cis_kept *run);

/* The commit with the changes of a mount. Branches have moved on since: their heads are other runs'
 * work. CIS_E_NOTFOUND: it was not changed; CIS_E_UNSUPPORTED: a record of version 0.1 that does
 * not say which commit it is. */
cis_code cis_kept_commit(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                         struct cis_view *out, struct cis_error *err);
/* Over folder, or over the one that was mounted (NULL). *out is for cis_cow_close. */
cis_code cis_kept_open_cow(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                           const char *folder, cis_cow **out, struct cis_error *err);

/* What an apply that was undone had been asked for, beside what its command says. */
struct cis_kept_again {
    bool outward;
};
/* Brings the changes of a cow mount to its folder, or to this one, and prints them, or only counts
 * them (quiet); --dry-run, --force and --outward-links of the command are heeded. again: that apply
 * is made again, NULL: it is the first. */
cis_code cis_kept_apply(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                        const char *folder, const struct cis_kept_again *again, uint64_t *quiet,
                        struct cis_error *err);

struct cis_kept_showing {
    struct cis_fs_cmd *cmd;
    cis_cow *cow;
    const char *guest_path;
    bool text, zero;
    struct cis_map moved; /* folders that the run renamed: path → where the folder has them */
    cis_code code;
    struct cis_error *err;
};

/* A change printed as the command asks for it; self: struct cis_kept_showing. */
bool cis_kept_show(void *self, const struct cis_union_change *change);
void cis_kept_showing_done(struct cis_kept_showing *showing);

#endif
