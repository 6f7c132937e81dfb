/* Inside run/: what files.c (the namespace), files_open.c (one mount) and files_end.c (what becomes
 * of changes) share. One thread. */
#ifndef CIS_RUN_FILES_IN_H
#define CIS_RUN_FILES_IN_H

#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "run/files.h"

struct cis_files_mount {
    struct cis_run_mounted info;
    char *guest_path, *host, *branch, *from, *fork; /* owned; info borrows them */
    char *place;                                    /* in the namespace */
    cis_vfs *lower;                                 /* folder of the host */
    cis_vfs *view;                                  /* branch or state */
    cis_vfs *joined;                                /* cow: lower and view as one */
    bool writes;                                    /* its view takes changes */
    bool fresh;                                     /* cow: its branch is made by the commit */
};

struct cis_run_files {
    cis_fs_cache *fs_cache;
    char *tenant; /* its name, or NAME#INSTANCE (store/fs.h) */
    char *run_id;
    cis_ns *ns;
    struct cis_files_mount *mounts;
    struct cis_wasi_env_dir *dirs;
    struct cis_run_mounted *infos; /* rebuilt when asked for */
    size_t n;
};

/* Out of memory, as an error. */
cis_code cis_files_no_memory(struct cis_error *err);
/* Errors of the rooms below are told with the mount they are about. */
cis_code cis_files_about(struct cis_error *err, const struct cis_files_mount *m, cis_code code,
                         const struct cis_error *why);
/* The i-th mount as asked for, when it can stand beside those before it. What is open afterwards is
 * closed by cis_run_files_close, also after an error. */
cis_code cis_files_open_mount(cis_run_files *files, size_t i,
                              const struct cis_run_files_options *in, struct cis_error *err);
/* The name of the branch that keeps its changes when they do not go where they belong. */
cis_code cis_files_set_fork(struct cis_files_mount *m, const char *name, struct cis_error *err);
/* Has it changes that no commit has taken? */
bool cis_files_mount_dirty(const struct cis_files_mount *m);

#endif
