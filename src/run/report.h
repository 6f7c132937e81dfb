/* What reports of runs say of files, whoever ran: a guest, or a native program. */
#ifndef CIS_RUN_REPORT_H
#define CIS_RUN_REPORT_H

#include "run/files.h"

/* What a run did to files, for the report: collected before they are committed. */
#define CIS_REPORT_PATHS 100u
#define CIS_REPORT_PATHS_BYTES (256u << 10) /* and no further one beyond these */
struct cis_file_changes {
    uint64_t added, modified, removed, renamed;
    uint64_t special;     /* of those that are there now: fifos, sockets, devices */
    uint64_t told;        /* in paths; the rest is only counted */
    struct cis_buf paths; /* JSON items with commas; owned */
    bool unknown;         /* they could not be looked through in time */
};
void cis_file_changes_collect(cis_run_files *files, const struct cis_stop *stop,
                              struct cis_file_changes *out);
/* `,"files":{…}` of a report's changes. */
void cis_file_changes_write(const struct cis_file_changes *changes, struct cis_buf *out);
static inline void cis_file_changes_done(struct cis_file_changes *changes)
{
    cis_buf_done(&changes->paths);
}
/* `,"mounts":[…]`; nothing when there are none, or files is NULL. */
void cis_report_mounts(const cis_run_files *files, struct cis_buf *out);

#endif
