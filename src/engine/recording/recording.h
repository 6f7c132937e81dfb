/* A recording holds everything that the host did to one guest, in order: each call of an export
 * with its arguments, each host call with what it answered and every byte that it wrote into the
 * guest's memory, each answer to a growth of memory, how the guest ended. A guest computes nothing
 * but what follows from these, so that playing a recording gives the same run again, with no store,
 * no file, no network and no clock behind it. What the guest does in between is on the recording
 * too, as something to compare: which host function it called with which arguments, and the bytes
 * that the host read.
 *
 * The file: magic, version, then frames with a checksum that goes on from frame to frame, an end
 * mark in the last. It holds a copy of the module and all that the guest was told: it is as secret
 * as that, and made for the owner alone. A recording that is read is not trusted: each length is
 * bounded before it is used, and the guest that it drives is held by limits like any other.
 *
 * Memory of the host: 64 KiB and a copy of the module, whatever the length of the run. One thread,
 * the guest's. A recording serves one guest, and outlives it. */
#ifndef CIS_ENGINE_RECORDING_H
#define CIS_ENGINE_RECORDING_H

#include "engine/instance/instance.h"

typedef struct cis_recording cis_recording;

#define CIS_RECORDING_ABOUT_MAX (1u << 20)

/* ---- recording ---- */

struct cis_recording_source {
    struct cis_bytes module; /* as it was given to cis_engine_module_load */
    const char *name;        /* of it, as messages have it */
    struct cis_str about;    /* JSON for people: arguments, mounts; never used for a replay */
    bool program;            /* a WASI program, not a skill: which table of exit codes holds */
    /* Of a component, for whoever links it again: a package that was left out (NULL: none), and
     * which parts of WASI were on. */
    const char *without;
    uint32_t wasi;
    uint64_t bytes_max; /* of the file; 0: CIS_RECORDING_BYTES_MAX */
};
#define CIS_RECORDING_BYTES_MAX (1ull << 30)

/* Makes the file, 0600. The module is borrowed until the guest was made. The module
 * must have been loaded with CIS_FEATURE_CANONICAL_NAN; give the recording to the guest's options.
 * A recording that cannot be written (disk full) ends the guest with CIS_E_IO, one that is full
 * with CIS_E_LIMIT: how much is written down is the guest's choice. */
cis_code cis_recording_record(const char *path, const struct cis_recording_source *source,
                              cis_recording **out, struct cis_error *err);

/* A guest that is made with these options is recorded. recording NULL: leaves them as they are. */
void cis_recording_watch(cis_recording *recording, struct cis_engine_instance_options *options);

/* How the run ended for whoever started it. */
struct cis_recording_outcome {
    cis_code code; /* of the run; CIS_E_FAILED with `exited`: look at exit_code */
    bool exited;
    int32_t exit_code;
    char message[224]; /* "" when code is CIS_OK */
};

/* The end mark. Without it a recording counts as cut off. CIS_E_IO also for any write that failed
 * before; what was written so far stays in the file. Before the run's changes are committed, so
 * that no run is kept whose recording is not whole. */
cis_code cis_recording_finish(cis_recording *recording, const struct cis_recording_outcome *outcome,
                              struct cis_error *err);

/* Bytes that left the run by stream 1 or 2 (stdout, stderr): a replay shows them again. Bytes in
 * the guest's memory are noted by their place, so that they come out of the replayed guest. */
void cis_recording_show(cis_recording *recording, unsigned stream, const void *data, size_t len);

/* ---- replaying ---- */

struct cis_recording_head {
    struct cis_bytes module;
    const char *name, *engine; /* engine: version of the WebAssembly engine that recorded it */
    struct cis_str about;
    unsigned features; /* for cis_engine_module_load */
    bool metered;      /* the same: compiled with fuel */
    bool program;
    bool component;
    const char *without; /* NULL: none */
    uint32_t wasi;
    struct cis_limits limits;
};

/* Reads as far as the guest begins. CIS_E_NOTFOUND, _IO, _INVALID (no recording), _UNSUPPORTED
 * (another version of the format), _DAMAGED. */
cis_code cis_recording_open(const char *path, cis_recording **out, struct cis_error *err);
/* Borrowed from the recording. */
const struct cis_recording_head *cis_recording_head(const cis_recording *recording);

struct cis_recording_player {
    cis_engine *engine;
    cis_linked *program; /* by cis_linked_new_recorded, or a component's: no handler is called */
    struct cis_engine_instance_options
        options;         /* stop and traces; the rest comes from the recording */
    uint64_t memory_max; /* the recording may not ask for more; 0: any */
    uint64_t host_max;   /* what the host holds for it is within this, and what the recorded run
                          * might; 0: the latter */
    /* What the run wrote to stdout (1) and stderr (2). */
    cis_code (*show)(void *self, unsigned stream, const void *data, size_t len,
                     struct cis_error *err);
    void *show_self;
};

/* Plays the whole recording. CIS_OK: the run went as recorded, to the end, which is in *out.
 * CIS_E_DIVERGED names the first host call that differs by its number and its function;
 * CIS_E_DAMAGED a recording that is cut off or changed, after which call; CIS_E_CANCELLED,
 * _DEADLINE. */
cis_code cis_recording_play(cis_recording *recording, const struct cis_recording_player *player,
                            struct cis_recording_outcome *out, struct cis_error *err);

/* The guest that is recorded or played; NULL when there is none yet, or no more. */
cis_engine_instance *cis_recording_instance(const cis_recording *recording);
/* Host calls recorded or played so far. */
uint64_t cis_recording_calls(const cis_recording *recording);
void cis_recording_free(cis_recording *recording);

#endif
