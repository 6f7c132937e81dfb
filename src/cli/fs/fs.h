/* What `cis fs …` commands share: the tenant's history, and for those that touch files a view of a
 * branch as a tree, whose changes are one commit at the end or none. */
#ifndef CIS_CLI_FS_H
#define CIS_CLI_FS_H

#include "cli/app.h"
#include "history/history.h"
#include "history/move.h"
#include "vfs/layered/layered.h"
#include "vfs/walk.h"

struct cis_fs_cmd {
    struct cis_cli *cli;
    cis_app *app;
    cis_store *store;
    struct cis_stop stop; /* cancelled by Ctrl-C; no deadline: copies may take long */
    struct cis_history h;
    char note[512]; /* for the log: the command line */
    /* cis_fs_cmd_tree */
    struct cis_rev rev;
    cis_fs_cache *fs_cache; /* the app's */
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *root;
    struct cis_vfs_call call;
    struct cis_error why; /* what call->err is */
    uint64_t shown_ns;    /* of the progress line */
    bool shown;
    /* What could not be read and was left out. */
    uint64_t nskipped;
    struct cis_buf skipped; /* a line each, as many as fit */
    cis_code skipped_code;  /* of the first */
};

typedef cis_code cis_fs_verb(struct cis_fs_cmd *cmd, struct cis_error *err);
/* Opens the store, runs the verb, reports: the whole run() of a command. */
int cis_fs_run(struct cis_cli *cli, cis_fs_verb *verb);

/* --branch, or empty for the current one. */
struct cis_str cis_fs_branch(const struct cis_fs_cmd *cmd);
/* Is --from TENANT, with or without --branch, beside a state that is not a head, as it has to be?
 */
cis_code cis_fs_from(const char *tenant, bool branch, bool state, struct cis_error *err);
/* The tree of --at REV (read only), of --branch's head, or of what --from publishes. */
cis_code cis_fs_cmd_tree(struct cis_fs_cmd *cmd, bool write, struct cis_error *err);
/* A cis_move_skipped of a command; and at its end the list, and a failure when there is one. */
void cis_fs_skipped(void *self, struct cis_str path, const struct cis_error *why);
cis_code cis_fs_skipped_told(struct cis_fs_cmd *cmd, struct cis_error *err);
/* Everything changed in the tree is one commit. */
cis_code cis_fs_cmd_commit(struct cis_fs_cmd *cmd, struct cis_error *err);
/* errno of a vfs call about a path. */
cis_code cis_fs_cmd_fail(struct cis_fs_cmd *cmd, int rc, const char *path, struct cis_error *err);
/* cis_walk from the root, as a user writes paths: with or without the leading slash. */
cis_code cis_fs_cmd_walk(struct cis_fs_cmd *cmd, const char *path, unsigned flags,
                         struct cis_found *out, struct cis_error *err);
/* The same, and it has to be there. */
cis_code cis_fs_cmd_find(struct cis_fs_cmd *cmd, const char *path, unsigned flags,
                         struct cis_found *out, struct cis_error *err);

/* ---- output ---- */
/* What differs, as lines, unified text (--text) or JSON items (--json), below --path; *n counts. */
cis_code cis_fs_show_diff(struct cis_fs_cmd *cmd, struct cis_view a, struct cis_view b,
                          struct cis_error *err);
/* Prints how two texts differ; one line where they are too long to be compared. The labels are
 * printed as they are given. */
cis_code cis_fs_show_text(const struct cis_buf *old_text, const struct cis_buf *new_text,
                          struct cis_buf *old_label, struct cis_buf *new_label,
                          const struct cis_stop *stop, struct cis_error *err);
/* One conflict as a line on stderr, or as an item of a JSON list that the error of the command
 * ends. */
struct cis_fs_telling {
    const struct cis_cli *cli;
    uint64_t n;
};
bool cis_fs_tell_conflict(void *telling, const struct cis_conflict *conflict);
/* What was done, on stdout; with a code other than CIS_OK nothing. Returns the code. */
cis_code cis_fs_tell_done(struct cis_fs_cmd *cmd, cis_code code,
                          const struct cis_history_done *done);
/* A name or path, quoted where it needs it; its bytes and a zero byte, for --null. */
void cis_fs_name(struct cis_buf *out, struct cis_str name);
void cis_fs_raw(struct cis_buf *out, struct cis_str name);
/* A change for --null: letter, old path when there is one, path. `cut` before a path whose
 * beginning is not known. */
void cis_fs_change_raw(struct cis_buf *out, char what, struct cis_str from, const char *cut,
                       struct cis_str path);
/* What a side of a text diff is called: the prefix and its path, or /dev/null. */
void cis_fs_label(struct cis_buf *out, const char *prefix, bool there, struct cis_str path);
const char *cis_fs_type(uint32_t mode);    /* "file", "directory", … */
const char *cis_fs_change_word(char what); /* "added", … for the letters of a diff */
void cis_fs_mode(uint32_t mode, char out[11]);
/* Members "type", "mode", … */
void cis_fs_attr_json(struct cis_buf *out, const struct cis_vfs_attr *attr);
void cis_fs_time(struct cis_buf *out, struct timespec t);
/* "1.5 MiB" */
void cis_fs_size(struct cis_buf *out, uint64_t bytes);
/* Prints what is in out and empties it. */
void cis_fs_flush(struct cis_buf *out);
/* For cis_move_progress: a line on stderr, on a terminal, from the second second on. */
bool cis_fs_progress(void *cmd, const struct cis_move_counts *counts, struct cis_str path);

#endif
