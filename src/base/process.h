/* Child processes under limits: the compiler and AI commands. A child gets its own process group, a
 * given environment and only descriptors 0–2 and those that it is given. Its whole group is killed
 * when it ends, at the deadline and on cancellation; when the parent dies the child alone, or with
 * `herd` its group. What made a group of its own is not in the group: `herd` forbids that. Never
 * goes through a shell. */
#ifndef CIS_BASE_PROCESS_H
#define CIS_BASE_PROCESS_H

#include "base/buf.h"
#include "base/cancel.h"

#define CIS_PROCESS_FDS 16

struct cis_process_options {
    const char *const
        *argv; /* NULL-terminated; argv[0] is looked up in PATH unless it has a slash */
    const char *const *envp; /* NULL: empty environment */
    const char *cwd;         /* NULL: the parent's */
    /* Given on stdin one after the other; then stdin is closed. Borrowed. */
    const struct cis_bytes *input;
    size_t ninput;
    const int *fds;        /* more descriptors that it gets, as 3, 4, … */
    size_t nfds;           /* at most CIS_PROCESS_FDS */
    uint64_t file_bytes;   /* RLIMIT_FSIZE: the largest file it writes, 0: none */
    uint64_t memory_bytes; /* RLIMIT_AS, 0: none */
    /* Processor time of all its threads; 0: none. Looked at while it is waited for, and a limit of
     * the child itself (RLIMIT_CPU) behind that. Used up: CIS_E_BUDGET. */
    uint64_t cpu_ns;
    bool setuid;       /* programs that run with more rights may: fusermount3. Else none does */
    bool herd;         /* nothing that it starts can leave its group (herd.h); not with setuid */
    size_t output_max; /* stdout bytes kept; one more ends the child with CIS_E_LIMIT */
    size_t errors_max; /* stderr bytes kept; the rest is dropped */
    struct cis_stop stop;
};

struct cis_process_result {
    struct cis_buf output, errors; /* owned; cis_process_result_done */
    int exit_code;                 /* -1 when ended by a signal */
    int signal;
};

/* Fails when the child could not be started, waited for, or was stopped (deadline, cancellation,
 * too much output). A child that ended by itself is CIS_OK, whatever its exit code. */
cis_code cis_process_run(const struct cis_process_options *options,
                         struct cis_process_result *out_result, struct cis_error *err);
void cis_process_result_done(struct cis_process_result *result);
/* Would argv[0] be found? */
bool cis_process_exists(const char *program);

#endif
