/* A recorded run once more, with nobody outside: no store, no files, no network, no clock. What it
 * wrote to stdout and stderr is shown again, what it did is compared with what it did then. */
#ifndef CIS_RUN_REPLAY_H
#define CIS_RUN_REPLAY_H

#include "engine/recording/recording.h"

struct cis_replay_request {
    cis_engine *engine;
    cis_recording *recording; /* open, not yet played */
    struct cis_bytes module;  /* played instead of the copy in the recording; empty: that one */
    const char *module_name;  /* of it, for messages */
    uint64_t memory_max;      /* 0: as much as the recorded run had */
    uint64_t host_max;        /* what the host may hold for it; 0: CIS_HOST_BYTES_DEFAULT */
    struct cis_stop stop;
    cis_code (*show)(void *self, unsigned stream, const void *data, size_t len,
                     struct cis_error *err);
    void *show_self;
    void (*trace)(void *self, const char *line); /* NULL: none */
    void *trace_self;
};

/* As cis_recording_play; CIS_E_USAGE for a module that is not the recorded one. */
cis_code cis_run_replay(const struct cis_replay_request *request, struct cis_recording_outcome *out,
                        struct cis_error *err);

#endif
