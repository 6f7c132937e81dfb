/* Programs: WASI commands and reactors, run in the sandbox with files, streams, arguments and
 * environment that the embedder gives them, and nothing else.
 *
 *   cis_wasi_config  what a program finds around it; filled in step by step, then used for any
 * number of runs, also by several threads at once as long as nobody changes it cis_wasi_host    a
 * tenant's workspace at a path: the short way, for any number of threads
 *
 * The steps copy what they are given and return nothing: the first one that could not be done makes
 * cis_wasi_run fail with its error. With no step at all a program has an empty stdin, output that
 * is kept (up to 16 MiB of stdout, 1 MiB of stderr), no arguments but its name, no environment, no
 * files, no network, the limits of the runtime, clocks and random bytes. */
#ifndef CIS_WASI_H
#define CIS_WASI_H

#include "cis/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cis_wasi_config cis_wasi_config;
typedef struct cis_wasi_host cis_wasi_host;

/* Borrows the runtime. */
CIS_API enum cis_code cis_wasi_config_new(cis_runtime *runtime, cis_wasi_config **out_config,
                                          struct cis_error *err);
CIS_API void cis_wasi_config_free(cis_wasi_config *config); /* NULL is allowed */

/* ---- files. guest: an absolute path in the program's tree ---- */
/* The tenant that owns workspaces and the run's record. Default: "default". */
CIS_API void cis_wasi_config_tenant(cis_wasi_config *config, const char *tenant);
/* A branch (NULL: the current one) of the tenant's versioned filesystem: what the program changes
 * is one commit when it ends well. */
CIS_API void cis_wasi_config_workspace(cis_wasi_config *config, const char *guest_path,
                                       const char *branch);
/* A state of it (cis/workspace.h says how they are named), read-only. */
CIS_API void cis_wasi_config_state(cis_wasi_config *config, const char *guest_path,
                                   const char *state);

enum cis_dir_mode {
    CIS_DIR_RO,
    CIS_DIR_RW,
    CIS_DIR_COW /* reads fall through; changes go to a branch of the tenant, the folder stays as it
                 * is */
};
/* A folder of the host. branch: of COW, NULL: one made for each run, named in its report. */
CIS_API void cis_wasi_config_dir(cis_wasi_config *config, const char *host, const char *guest_path,
                                 enum cis_dir_mode mode, const char *branch);
CIS_API void cis_wasi_config_read_only(cis_wasi_config *config); /* every mount */

enum cis_wasi_tx {
    CIS_WASI_COMMIT_ON_SUCCESS, /* the default: exit code 0 */
    CIS_WASI_COMMIT_ALWAYS,     /* any exit code; never after a trap, a limit, a cancellation */
    CIS_WASI_DISCARD,
    CIS_WASI_FORK /* the changes become the first commit of a new branch */
};
CIS_API void cis_wasi_config_tx(cis_wasi_config *config, enum cis_wasi_tx tx, const char *fork);

/* ---- arguments and environment ---- */
/* The first one is the program's own name; without any it is the module's. */
CIS_API void cis_wasi_config_arg(cis_wasi_config *config, const char *arg);
CIS_API void cis_wasi_config_env(cis_wasi_config *config, const char *name, const char *value);

/* ---- streams: 0 stdin, 1 stdout, 2 stderr ---- */
CIS_API void cis_wasi_config_stdin(cis_wasi_config *config, const void *data, size_t len);
/* A descriptor, used live; borrowed until the last run ends. */
CIS_API void cis_wasi_config_fd(cis_wasi_config *config, int stream, int fd);
/* Called from the thread of the run, so by several at once when several run. CIS_E_OK with
 * *out_n 0 is the end of input. What fails returns cis_error_errno(err, errno): the program sees
 * that errno; without one it sees what stands for the code. */
typedef enum cis_code cis_wasi_read_fn(void *self, void *buf, size_t len, size_t *out_n,
                                       struct cis_error *err);
typedef enum cis_code cis_wasi_write_fn(void *self, const void *data, size_t len, size_t *out_n,
                                        struct cis_error *err);
CIS_API void cis_wasi_config_reader(cis_wasi_config *config, cis_wasi_read_fn *read, void *self);
CIS_API void cis_wasi_config_writer(cis_wasi_config *config, int stream, cis_wasi_write_fn *write,
                                    void *self);
/* Keeps up to max bytes for the result; what is beyond is counted and dropped. 0: keeps nothing. */
CIS_API void cis_wasi_config_keep(cis_wasi_config *config, int stream, uint64_t max);
/* A listening socket that the program may accept on; numbered after its directories. Borrowed. Make
 * it O_NONBLOCK when others accept from it, too, other runs among them: a connection that one of
 * them took would leave this run waiting past its end. */
CIS_API void cis_wasi_config_listen(cis_wasi_config *config, int fd);

/* ---- limits and capabilities ---- */
/* 0: the runtime's. */
CIS_API void cis_wasi_config_limits(cis_wasi_config *config, uint64_t memory, uint64_t time_ms,
                                    uint64_t fuel);
/* Something that a program is not allowed otherwise: "net=tcp:127.0.0.1:8080", "net=listen:…",
 * "dns" (docs/grants.md). */
CIS_API void cis_wasi_config_allow(cis_wasi_config *config, const char *grant);
/* Handles of WASI 0.2 at once (streams, pollables, files, sockets, HTTP messages), 16 to 100,000;
 * 0: what the bytes pay for that the host may hold for a run. */
CIS_API void cis_wasi_config_handles(cis_wasi_config *config, uint32_t max);
/* Sockets and look-ups at once; 0: 1,024. */
CIS_API void cis_wasi_config_sockets(cis_wasi_config *config, uint32_t max);
/* Unstable parts of WASI 0.2 that a component may import, separated by commas, beside those of the
 * runtime: "clocks-timezone" (it learns the time zone of this process: its variable TZ, else the
 * system's), "network-error-code" (what went wrong behind a stream over a socket). */
CIS_API void cis_wasi_config_features(cis_wasi_config *config, const char *features);
CIS_API void cis_wasi_config_no_clock(cis_wasi_config *config);
CIS_API void cis_wasi_config_no_random(cis_wasi_config *config);
/* Every clock shows this time, nanoseconds since 1970. */
CIS_API void cis_wasi_config_fixed_clock(cis_wasi_config *config, uint64_t ns);
/* Random bytes come from the seed alone: 1 … 32 bytes. */
CIS_API void cis_wasi_config_seed(cis_wasi_config *config, const void *seed, size_t len);
CIS_API void cis_wasi_config_cancel(cis_wasi_config *config, cis_cancel *cancel); /* borrowed */

/* ---- running ---- */
/* Returns CIS_OK whenever there is a result to look at: cis_result_code says how the program ended
 * (CIS_E_FAILED: with an exit code other than 0), cis_result_exit its own code. */
CIS_API enum cis_code cis_wasi_run(const cis_wasi_config *config, cis_module *module,
                                   cis_result **out_result, struct cis_error *err);

/* ---- recording ---- */
/* Runs that start after it are written to this file as they go, module and all: one run a file, the
 * last one stays. It holds what the program was given, and is made for its owner alone. NULL: no
 * more. A run whose file cannot be written, or would be larger than 1 GiB, fails, and nothing of it
 * is kept. */
CIS_API void cis_wasi_config_record(cis_wasi_config *config, const char *path);
/* Plays such a file again, or one of `cis run --record`: the program does all its work once more,
 * and all that it is told comes from the file, also what interfaces of the embedder answered: they
 * need not be there. Of `config` only the output streams, the memory and the
 * time limit and the cancellation count. The result is that of the recorded run.
 * CIS_E_DIVERGED: the first host call that differs, by its number; CIS_E_DAMAGED, CIS_E_INVALID,
 * CIS_E_UNSUPPORTED: what is wrong with the file. */
CIS_API enum cis_code cis_wasi_replay(const cis_wasi_config *config, const char *path,
                                      cis_result **out_result, struct cis_error *err);

/* The program's own exit code; false: it did not end by itself (a trap, a limit, …). */
CIS_API bool cis_result_exit(const cis_result *result, int32_t *out_code);
/* What was kept of stdout (1) or stderr (2), NUL-terminated beyond *out_len; *out_dropped (may be
 * NULL): bytes beyond the maximum. */
CIS_API const char *cis_result_stream(const cis_result *result, int stream, size_t *out_len,
                                      uint64_t *out_dropped);
/* The id that the run's record and `cis runs` know it by. */
CIS_API const char *cis_result_id(const cis_result *result);
/* The branch that has what the run changed: the workspace's, the fork that was asked for, that of a
 * cow folder, or "conflict/…" where it was saved when the commit was refused. "": nothing
 * changed. */
CIS_API const char *cis_result_branch(const cis_result *result);

/* ---- the short way ---- */
/* A tenant's current branch at `workspace` (NULL: "/workspace"). Borrows the runtime. */
CIS_API enum cis_code cis_wasi_host_new(cis_runtime *runtime, const char *tenant,
                                        const char *workspace, cis_wasi_host **out_host,
                                        struct cis_error *err);
CIS_API void cis_wasi_host_free(cis_wasi_host *host); /* NULL is allowed */
/* Binary or text; args NULL-terminated or NULL. What the program did to its workspace is committed
 * when it exits with 0. */
CIS_API enum cis_code cis_wasi_host_run(cis_wasi_host *host, const void *wasm, size_t len,
                                        const char *const *args, cis_result **out_result,
                                        struct cis_error *err);

#ifdef __cplusplus
}
#endif
#endif
