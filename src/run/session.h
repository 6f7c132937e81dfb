/* Inside run/: what a session holds. */
#ifndef CIS_RUN_SESSION_H
#define CIS_RUN_SESSION_H

#include "run/report.h"
#include "run/run.h"

struct cis_session {
    struct cis_run_request request; /* copied; what it points to is borrowed from the caller */
    struct cis_host host;
    struct cis_call memory_call; /* the host's, in the name of the namespace of its memory */
    struct cis_stop stop;
    bool busy;    /* a call is being made (cis_session_enter) */
    bool closing; /* for good; nothing is called in it any more */
    cis_linked *program;
    cis_run_files *files; /* NULL: nothing is mounted */
    bool memory_told;     /* an embedder's memory was asked to commit, whatever it answered */
    char **env; /* "NAME=VALUE" of the variables that are granted and set, NULL-terminated */
    char id[27];
    uint64_t started_ns;
    int64_t started_ms;
    uint64_t healed; /* pieces of the store that had been repaired when it began */
};

/* The guest alone: nothing of the session leads to it any more. */
void cis_session_end_guest(cis_session *session);

/* Around code that is not ours, a callback of the embedder: its guest holds no CPU slot meanwhile.
 * session is a cis_session. resume fails when the guest's time was over before it got a slot again.
 */
void cis_session_pause(void *session);
cis_code cis_session_resume(void *session, struct cis_error *err);

/* The ops of the session's memory view and of its changed config, for a commit. */
struct cis_session_changes {
    const struct cis_memory_op *memory;
    size_t nmemory;
    struct cis_kv_op *kv; /* owned */
    struct cis_kv_op *config;
    size_t nconfig;
};
cis_code cis_session_changes(cis_session *session, bool keep, struct cis_session_changes *out,
                             struct cis_error *err);
void cis_session_changes_done(struct cis_session_changes *changes);
/* The commit of a memory service that is not the store's. */
cis_code cis_session_tell_memory(cis_session *session, const struct cis_session_changes *changes,
                                 struct cis_error *err);

struct cis_report {
    const cis_session *session;
    const struct cis_engine_instance_usage *usage;
    const struct cis_engine_instance_end *end;
    const struct cis_run_outcome *outcome;
    const struct cis_session_changes *changes;
    const struct cis_file_changes *files;
    const char *entry;
    bool committed;
    uint64_t wall_ns;
    int64_t ended_ms;
    int64_t skill_code;
};
/* The exit code of the command that the record is of. */
int cis_run_exit_code(const cis_session *session, const struct cis_run_outcome *outcome);
/* result_max: bytes of the result that go into the report. */
void cis_report_write(const struct cis_report *report, size_t result_max, struct cis_buf *out);

/* record.c: the end mark of the recording, if there is one. A recording that cannot be written ends
 * the run: what it changed is then not kept. */
void cis_run_recording_end(cis_session *session, struct cis_run_outcome *outcome);

/* Text of one traced host call. */
void cis_trace_line(void *self, const struct cis_hostfn *row, const union cis_slot *args,
                    const union cis_slot *result, cis_code code, uint64_t ns);

/* The same for anybody; guest (may be NULL): whose memory texts are read from. */
void cis_trace_text(struct cis_buf *line, cis_engine_instance *instance,
                    const struct cis_hostfn *row, const union cis_slot *args,
                    const union cis_slot *result, cis_code code, uint64_t ns);

/* The same for a component's call. */
void cis_trace_typed_text(struct cis_buf *line, const struct cis_ifacefn *row, const cis_val *args,
                          size_t nargs, const cis_val *result, cis_code code, uint64_t ns);
void cis_trace_typed(void *self, const struct cis_ifacefn *row, const cis_val *args, size_t nargs,
                     const cis_val *result, cis_code code, uint64_t ns);

#endif
