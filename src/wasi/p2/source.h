/* What a stream or a pollable is over when it is no file and no standard stream: a socket, a body,
 * a reply that is awaited. Counted: every entry of the table that is over a source holds a
 * reference, its maker another, so that it stays for as long as any of them.
 *
 * One thread, the run's. No operation waits: where a guest has to wait, streams.c and poll.c do,
 * with the CPU slot given back, by what `wish` says. Operations must not use cis_p2_scratch, where
 * the bytes of the call under way are, nor cis_p2_fds. Errors are errnos of Linux; an operation
 * that exceeds a limit records it (cis_engine_instance_limit) and returns any errno: the run is
 * over then. */
#ifndef CIS_WASI_P2_SOURCE_H
#define CIS_WASI_P2_SOURCE_H

#include "wasi/p2/internal.h"

enum p2_way {
    P2_READS,  /* an input stream, and pollables of it */
    P2_WRITES, /* an output stream, and pollables of it */
    P2_STATE,  /* pollables of the thing itself: connected, answered */
};

struct p2_wish {
    int fd; /* -1: none */
    short events;
    uint64_t at_ns; /* on the host's monotonic clock; with fd -1 and 0: ready now; CIS_NEVER: no
                     * time; beside a descriptor 0 is no time, too */
};

/* Only `wish` and `free` are required; read, and room with write and flush, where there is such a
 * stream. */
struct p2_source_ops {
    /* out comes as {-1, 0, 0}: ready. */
    void (*wish)(struct p2_source *self, enum p2_way way, struct p2_wish *out);
    /* What was wished for has come, or somebody asks whether it is ready: does what is due without
     * waiting, and says whether this way is ready. False needs another wish than an event that is
     * still there. NULL: it is ready. */
    bool (*ready)(cis_engine_instance *instance, struct p2_source *self, enum p2_way way);
    /* At most `cap` bytes; EAGAIN: nothing now; 0 bytes and *out_end: there will be none. With cap
     * 0 it says only that, and takes nothing. */
    int (*read)(cis_engine_instance *instance, struct p2_source *self, uint8_t *to, size_t cap,
                size_t *out_n, bool *out_end);
    /* Bytes that `write` takes now, 0: none. Becomes more than 0, or an error, when P2_WRITES is
     * ready. */
    int (*room)(cis_engine_instance *instance, struct p2_source *self, size_t *out_n);
    /* Takes all of it, which is no more than `room` last said. */
    int (*write)(cis_engine_instance *instance, struct p2_source *self, struct cis_bytes data);
    /* 0: all is gone. EAGAIN: it goes on, and P2_WRITES is ready when it is done. NULL: nothing is
     * held back. */
    int (*flush)(cis_engine_instance *instance, struct p2_source *self);
    /* A stream (READS, WRITES) over it was dropped, or a socket itself (STATE); not a pollable or
     * an error. May be NULL. The guest may be gone: what was charged goes back to host->budget. */
    void (*close)(struct cis_host *host, struct p2_source *self, enum p2_way way);
    /* The last reference is gone. */
    void (*free)(struct cis_host *host, struct p2_source *self);
    /* Nobody is left to learn how it goes on: what is under way ends with the last handle. */
    bool ends_alone;
};

/* First member of what is behind it. */
struct p2_source {
    const struct p2_source_ops *ops;
    uint32_t refs;
    struct p2_source *busy_next; /* among those of the run that have something under way */
    bool busy;
    uint32_t slot;  /* poll.c's: where its descriptor is among those that are waited for */
    uint64_t round; /* in which wait it is there */
};

static inline void p2_source_init(struct p2_source *source, const struct p2_source_ops *ops)
{
    *source = (struct p2_source){.ops = ops, .refs = 1};
}
static inline struct p2_source *p2_source_ref(struct p2_source *source)
{
    source->refs++;
    return source;
}
/* NULL is allowed. */
void cis_p2_source_unref(struct cis_host *host, struct p2_source *source);
/* While it is busy, its `ready` (P2_WRITES) is called whenever the run waits and what it wishes for
 * comes, whatever the run waits for: bytes that a write has taken go out although the guest only
 * waits for an answer. It holds a reference: what is under way goes on when the last handle is
 * gone, until the run ends, unless it `ends_alone`. */
void cis_p2_source_busy(cis_engine_instance *instance, struct p2_source *source, bool busy);
/* The run has ended: nothing is under way any more. */
void cis_p2_sources_end(struct cis_host *host);

/* An entry over it: P2_INPUT, P2_OUTPUT, or P2_POLLABLE with its way. It takes a reference of its
 * own; the caller keeps his. `parent` as for cis_p2_new. */
cis_code cis_p2_new_over(cis_engine_instance *instance, enum p2_kind kind, uint64_t parent,
                         struct p2_source *source, enum p2_way way, uint32_t *out_rep,
                         struct cis_error *err);
/* A pollable of the entry `of`, over its source, as the answer. */
cis_code cis_p2_give_pollable(cis_engine_instance *instance, uint64_t of, enum p2_way way,
                              struct cis_answer *answer, struct cis_error *err);
/* Waits until this way is ready; ends with the run. */
cis_code cis_p2_source_await(cis_engine_instance *instance, struct p2_source *source,
                             enum p2_way way, struct cis_error *err);

#endif
