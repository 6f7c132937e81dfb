/* Inside exec/. */
#ifndef CIS_EXEC_INTERNAL_H
#define CIS_EXEC_INTERNAL_H

#include <poll.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/cancel.h"
#include "exec/exec.h"

/* Descriptors of the first process inside. */
enum { ENTER_TALK_FD = 3, ENTER_FILTER_FD, ENTER_STATUS_FD, ENTER_VIEW_FD, ENTER_FDS };

/* What it is told: numbers in decimal, then the mount's place, then bubblewrap's arguments. */
enum {
    ENTER_MEMORY,
    ENTER_CPU_S,
    ENTER_PROCESSES,
    ENTER_FILES,
    ENTER_SCRATCH,
    ENTER_DOOR, /* the control group's; "": there is none */
    ENTER_PLACE,
    ENTER_ARGS
};
/* What it hands over: the mount of the files, and the folder with all that is in memory. */
enum { EXEC_HANDED_FUSE, EXEC_HANDED_SCRATCH, EXEC_HANDED };
/* Names in that folder. */
#define EXEC_FILES "files"
#define EXEC_TMP "tmp"
#define EXEC_VAR_TMP "var-tmp"
#define EXEC_SHM "shm"
#define EXEC_RUN "run"

#define EXEC_BWRAP "bwrap"
/* What the folders in memory take at most, all together: half of --memory, so that a program that
 * fills them is told so before it is ended. */
uint64_t cis_exec_scratch(uint64_t memory_bytes);

#define EXEC_HOME "/tmp/home" /* of the program: empty, and gone with it */

/* ---- view.c: arguments for bubblewrap ---- */
struct exec_args {
    const char **items; /* NULL-terminated; the array is owned, and texts[] of it */
    size_t command;     /* where the program's own begin; what is before goes by a file */
    size_t n, cap;
    char **texts;
    size_t ntexts, texts_cap;
    bool failed; /* out of memory */
};
/* bubblewrap's arguments, then the program's. terminal: it gets one of its own. */
cis_code cis_exec_view(const struct cis_exec_options *o, bool terminal, struct exec_args *out,
                       struct cis_error *err);
void cis_exec_args_add(struct exec_args *a, const char *text); /* borrowed */
/* The text becomes theirs; NULL: out of memory. */
const char *cis_exec_args_own(struct exec_args *a, char *text);
/* What is before the command as a file in memory for `--args`. A command line may be read by every
 * user of the machine, and the values of --env are in there. */
cis_code cis_exec_args_file(const struct exec_args *a, int *out_fd, struct cis_error *err);
void cis_exec_args_done(struct exec_args *a);

/* ---- mounts.c: in the first process; what failed, with errno, or NULL ---- */
const char *cis_exec_mounts_close(int view_fd);
const char *cis_exec_mounts_make(const char *place, uint64_t scratch, int fds[EXEC_HANDED]);

/* ---- hidden.c: what of /etc and of /proc is not for every user ---- */
/* In the first process; an errno. What the view (a file with its arguments) shows by name stays. */
int cis_exec_hide_settings(int view_fd);
void cis_exec_hide_kernel(struct exec_args *a);

/* ---- filter.c: a file in memory with the filter as the kernel takes it ---- */
/* counted: no memory but that of processes and files. */
cis_code cis_exec_filter(bool counted, int *out_fd, struct cis_error *err);

/* ---- sandbox.c ---- */
struct exec_sandbox {
    pid_t pid;      /* of bubblewrap; 0: none */
    int pidfd;      /* readable when it has ended */
    int talk_fd;    /* to the first process, until it goes on */
    int status_fd;  /* what bubblewrap says of the program */
    int fuse_fd;    /* with the mount; whoever serves takes it */
    int scratch_fd; /* the folders in memory, to be counted */
    struct cis_buf status;
    char *group;      /* its control group; NULL: none. Owned */
    char *group_door; /* the file by which the first process enters it; NULL: it is moved. Owned */
};
#define EXEC_SANDBOX_INIT                                                                          \
    {                                                                                              \
        .pidfd = -1, .talk_fd = -1, .status_fd = -1, .fuse_fd = -1, .scratch_fd = -1               \
    }
/* Until the mount is there and waits. std: three descriptors for the program. */
cis_code cis_exec_start(const struct cis_exec_options *o, const struct exec_args *args,
                        const int std[3], struct exec_sandbox *out, struct cis_error *err);
/* Its files are served: it goes on. */
cis_code cis_exec_go(struct exec_sandbox *s, struct cis_error *err);
/* Reads what there is of the status; false: there will be no more. */
bool cis_exec_hear(struct exec_sandbox *s);
void cis_exec_kill(struct exec_sandbox *s);
/* Waits for its end. CIS_OK: *out_exit is the program's; CIS_E_UNSUPPORTED: it never began (what
 * bubblewrap said is on stderr). */
cis_code cis_exec_reap(struct exec_sandbox *s, int *out_exit, struct cis_error *err);
void cis_exec_sandbox_done(struct exec_sandbox *s);

/* ---- group.c: where this process may make a control group; nothing where not ---- */
/* Before the first process. */
void cis_exec_group_make(struct exec_sandbox *s, const struct cis_exec_options *o, const char *id);
bool cis_exec_group_enter(const char *door); /* in the first process */
/* The first process is in it from here on, whether it entered by itself or not. */
void cis_exec_group_join(struct exec_sandbox *s, const struct cis_exec_options *o);
void cis_exec_group_remove(struct exec_sandbox *s); /* when it is empty */

/* ---- watch.c ---- */
/* Of all together: what is resident, what lies in the folders in memory, and what the kernel holds
 * for pipes. */
struct exec_usage {
    uint64_t memory_bytes, memory_peak;
    uint64_t scratch_bytes, scratch_peak; /* of that, in the folders in memory */
    uint32_t processes, processes_peak;
};
/* False: it could not be looked at. */
bool cis_exec_look(const struct exec_sandbox *s, struct exec_usage *usage);

/* ---- terminal.c ---- */
struct exec_terminal {
    bool used;
    int outer, screen;  /* the user's: for keys; for output, where no write waits */
    int inner, program; /* our end of the program's terminal, and its own */
    struct exec_terminal_saved *saved;
    size_t pending_in, pending_out; /* bytes that its terminal, or the user's, did not take yet */
    char in[4096], out[8192];
};
#define EXEC_TERMINAL_INIT                                                                         \
    {                                                                                              \
        .outer = -1, .screen = -1, .inner = -1, .program = -1                                      \
    }
/* When stdin and stdout are terminals. Else the program gets what there is, a terminal among it
 * from a mount that is read-only, and the terminal is afterwards as it was. */
cis_code cis_exec_terminal_open(struct exec_terminal *t, struct cis_error *err);
void cis_exec_terminal_began(struct exec_terminal *t); /* the program has its end */
#define EXEC_TERMINAL_FDS 3u
/* What to wait for; nothing when there is no terminal. */
void cis_exec_terminal_poll(const struct exec_terminal *t, struct pollfd fds[EXEC_TERMINAL_FDS]);
/* Moves what there is in both directions, and never waits; false: it is over. */
bool cis_exec_terminal_relay(struct exec_terminal *t, const struct pollfd fds[EXEC_TERMINAL_FDS]);
/* What the program had to say when it ended, as long as the user's terminal takes it. */
void cis_exec_terminal_drain(struct exec_terminal *t);
void cis_exec_terminal_close(struct exec_terminal *t);

/* ---- record.c ---- */
struct exec_record {
    const struct cis_exec_options *o;
    const struct cis_exec_outcome *outcome;
    const cis_run_files *files;
    const void *changes; /* struct cis_file_changes */
    const struct exec_usage *usage;
    const struct cis_budget *budget;
    int64_t started_ms, ended_ms;
    uint64_t wall_ns;
    bool committed;
};
void cis_exec_report(const struct exec_record *r, struct cis_buf *out);
/* "exec:NAME" of the program; out has CIS_EXEC_NAME_MAX bytes. */
#define CIS_EXEC_NAME_MAX 80
void cis_exec_name(const struct cis_exec_options *o, char out[CIS_EXEC_NAME_MAX]);

#endif
