/* What a WASI program finds around it, the same in every version of WASI: standard streams,
 * directories, listening sockets, a source of random bytes. Plain data: run/ fills it in before the
 * guest starts and owns what it names; the handlers of wasi/ act on it. One thread.
 *
 * All zeros is a skill's world: its input, its output and its log as streams, and nothing else. */
#ifndef CIS_HOST_WORLD_H
#define CIS_HOST_WORLD_H

#include "vfs/walk.h"

enum cis_stream_kind {
    CIS_STREAM_SKILL,  /* by its number: the run's input, its output (whose cap ends the run), its
                          log */
    CIS_STREAM_CLOSED, /* EBADF */
    CIS_STREAM_NULL,   /* reads end at once; writes are counted and dropped */
    CIS_STREAM_BYTES,  /* reads: what is in `bytes`, then the end */
    CIS_STREAM_KEEP,   /* writes: into `kept` up to its max, the rest is counted and dropped */
    CIS_STREAM_FD,     /* a descriptor of the host, live; never made non-blocking, for others share
                        * what it names: waits for it end with the run */
    CIS_STREAM_CALL,   /* an embedder's function */
};

struct cis_host_stream {
    enum cis_stream_kind kind;
    int fd;         /* FD: borrowed */
    bool terminal;  /* FD: isatty said so when the run began */
    uint8_t manner; /* FD: how it is moved, found at its first use (stream_fd.c); 0 at first */
    struct cis_bytes bytes; /* BYTES: borrowed */
    size_t pos;
    struct cis_buf kept; /* KEEP: owned by whoever made the stream */
    uint64_t dropped;    /* KEEP and NULL: bytes that were not kept */
    /* CALL. An errno: 0 with *out_n 0 is the end of input. They may block; the run's CPU slot is
     * given back meanwhile, and its deadline is looked at when they return. */
    int (*read)(void *self, void *buf, size_t len, size_t *out_n);
    int (*write)(void *self, const void *data, size_t len, size_t *out_n);
    void *self;
};

/* A directory that the program begins with. Read-only is its mount's matter. */
struct cis_wasi_env_dir {
    struct cis_str path; /* as the program is told, "/workspace" */
    cis_dir *dir;        /* borrowed: outlives the guest */
};

#define CIS_WORLD_FILES_MAX 4096u /* open descriptors of a guest, when nothing else is said */

struct cis_wasi_env {
    struct cis_host_stream std[3];
    const struct cis_wasi_env_dir *dirs;
    size_t ndirs;
    /* Listening sockets of the host, numbered after the directories. O_NONBLOCK, or nobody else
     * accepts from them: a connection that another took leaves accept(2) waiting past the end of
     * the run, and it cannot be asked not to. */
    const int *listeners;
    size_t nlisteners;
    uint32_t files_max;      /* 0: CIS_WORLD_FILES_MAX */
    uint32_t handles_max;    /* handles of WASI 0.2 at once; 0: what the engine's tables take */
    uint32_t sockets_max;    /* 0: CIS_NET_SOCKETS_MAX (service/net/net.h) */
    const char *dns_servers; /* borrowed; NULL: the system's */
    uint32_t uid, gid;       /* who owns what the program makes, */
    uint32_t umask;          /* and the permissions that it does not get */
    bool seeded;             /* random bytes come from the seed alone */
    uint8_t seed[32];
    uint64_t seed_block; /* how far the seeded bytes were used */
};

#endif
