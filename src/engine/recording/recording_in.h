/* Recording: this room owns recordings (recording.h), of core modules and of components, and the
 * two tables of hooks that it hangs on a guest (engine/instance/hooks.h): one that writes down what
 * the host does, one that does it again and compares. Nothing below knows of it. Here is what its
 * files share. Inside the engine only. */
#ifndef CIS_ENGINE_RECORDING_IN_H
#define CIS_ENGINE_RECORDING_IN_H

#include "base/buf.h"
#include "engine/instance/internal.h"
#include "engine/recording/recording.h"

#define CIS_RECORDING_FRAME_MAX 65536u
#define CIS_RECORDING_PIECE ((size_t)1 << 20) /* of what may be long */
#define CIS_RECORDING_RANGES_MAX 1024u
#define CIS_RECORDING_SEEN_MAX 16u
#define CIS_RECORDING_RAW_MAX                                                                      \
    64u /* bytes read by the host that are kept as they are; more: a digest                        \
         */
#define CIS_RECORDING_DIGEST 16u
#define CIS_RECORDING_NAME_MAX 160u /* of an import, in messages */
#define CIS_RECORDING_LIMIT_NAME 64u

/* What happens, one byte each. Numbers are varints, strings have their length in front. */
enum cis_recording_event {
    CIS_RECORDING_START = 1, /* memory, tables, fuel: the guest is made, its start function runs */
    CIS_RECORDING_CALL,      /* export, arguments: the host calls the guest */
    CIS_RECORDING_RETURN,    /* the guest is back: code, then results or its end */
    CIS_RECORDING_STOPPED,   /* the same, but the host ended it in the middle: at no exact place */
    CIS_RECORDING_ENTER,     /* import, arguments, memory, fuel: the guest calls the host */
    CIS_RECORDING_LEAVE,     /* code, then result and fuel or the guest's end */
    CIS_RECORDING_READ,      /* place, length, bytes or digest: the host read this */
    CIS_RECORDING_WRITE,     /* place, length, bytes: the host wrote this */
    CIS_RECORDING_GROW,      /* bytes: the host grows the guest's memory */
    CIS_RECORDING_GREW,      /* 0, or 1 and the new memory's place */
    CIS_RECORDING_ASK,       /* what, from, to, answer: memory or a table is to grow */
    CIS_RECORDING_SHOW,      /* stream, place, length: the guest's bytes went out */
    CIS_RECORDING_SAY,       /* stream, length, bytes: the host's own did */
    CIS_RECORDING_REARM,     /* fuel */
    CIS_RECORDING_END,       /* the outcome; nothing follows */
    CIS_RECORDING_EXPORT,    /* name, type, values or text: the host calls a component */
    CIS_RECORDING_DROP /* kind, number, code, end: the guest ended when it dropped this handle */
};

struct cis_recording_range {
    uint64_t ptr, len;
};

struct cis_recording {
    bool replay;
    bool paused; /* recording: whoever looks now is a trace, not the host */
    int fd;
    char *path;
    struct cis_error failed; /* the first failure to read or write; sticky */
    uint32_t crc;
    uint64_t offset; /* in the file */
    uint8_t *frame;  /* header and bytes */
    size_t len, pos;
    uint64_t calls;
    cis_engine_instance *instance;

    /* Recording. */
    struct cis_recording_source source;
    struct cis_recording_range
        outs[CIS_RECORDING_RANGES_MAX]; /* the host may write here until it leaves */
    size_t nouts;
    bool crowded; /* the last of them stands for more than one */
    bool ended;   /* the guest's end is on the recording */
    struct cis_recording_range seen[CIS_RECORDING_SEEN_MAX]; /* noted already */
    size_t nseen;

    struct cis_buf owns; /* resources that the call going on made: struct cis_recording_own */

    /* Replay. */
    struct cis_buf answer; /* bytes that the last answer of a component's call points to */
    struct cis_pair *pairs;
    uint32_t *numbers;
    size_t nitems;   /* room in both */
    cis_code called; /* what the export that is compared was answered with here */
    struct cis_recording_head head;
    struct cis_buf module, about;
    char *name, *engine, *without;
    char limit[CIS_RECORDING_LIMIT_NAME]; /* of the guest's end, which points here */
    bool
        stopped; /* the guest was ended where the host ended it once: its memory is not as it was */
    bool returned; /* and the event that says so is taken */
    bool drops; /* what comes next is the drop of this handle: its event and these two are taken */
    uint64_t drop_kind, drop_rep;
    bool in_call; /* of the host, of the import with this number; for messages */
    uint64_t import;
    const struct cis_recording_player *player;
};

/* ---- recording.c ---- */
void cis_recording_put_head(cis_recording *recording, const struct cis_engine_module *module);

/* ---- recording_file.c: bytes. A failure is sticky: written or read as if nothing had happened
 * (reads give zeros), looked at with cis_recording_check. ---- */
cis_code cis_recording_check(const cis_recording *recording, struct cis_error *err);
/* Begins the file; the descriptor is the recording's from here on. */
cis_code cis_recording_file_begin(cis_recording *recording, int fd, struct cis_error *err);
/* The last frame out and the file closed; or: is the file at its end? */
cis_code cis_recording_file_end(cis_recording *recording, struct cis_error *err);
void cis_recording_put(cis_recording *recording, const void *ptr, size_t len);
void cis_recording_put_number(cis_recording *recording, uint64_t value);
void cis_recording_put_text(cis_recording *recording, struct cis_str text);
void cis_recording_get(cis_recording *recording, void *out, size_t len);
uint64_t cis_recording_get_number(cis_recording *recording);
/* Adds a text of any length up to the buffer's end. */
void cis_recording_get_long(cis_recording *recording, struct cis_buf *out);
/* Bytes to be compared: raw when they are few, else a digest. */
void cis_recording_put_seen(cis_recording *recording, struct cis_bytes bytes);
bool cis_recording_get_seen(cis_recording *recording, struct cis_bytes now);
/* Longer than room - 1 is damage. */
void cis_recording_get_text(cis_recording *recording, char *out, size_t room);
uint8_t cis_recording_peek(cis_recording *recording); /* the next event; 0 when there is none */
uint8_t cis_recording_get_event(cis_recording *recording);
cis_code cis_recording_damaged(cis_recording *recording, const char *what);
/* The values of a function type's parameters or results, side by side. */
void cis_recording_put_slots(cis_recording *recording, const char *types, const union cis_slot *io);
void cis_recording_get_slots(cis_recording *recording, const char *types, union cis_slot *io);
bool cis_recording_slot_eq(char type, const union cis_slot *a, const union cis_slot *b);
/* Numbers can be written down, references cannot. */
static inline bool cis_recording_has_type(const char *type)
{
    return strspn(type, "iIfFv:") == strlen(type);
}
static inline int64_t cis_recording_slot_number(char type, const union cis_slot *slot)
{
    return type == 'i' ? slot->i32 : type == 'f' ? (int64_t)slot->u32 : slot->i64;
}
/* Ended by something outside it, wherever it was then. */
static inline bool cis_recording_by_host(cis_code code)
{
    return code != CIS_OK && code != CIS_E_TRAP && code != CIS_E_FUEL && code != CIS_E_MEMORY;
}
/* In pieces, between which a replay looks at its stop. */
void cis_recording_digest(cis_recording *recording, const void *ptr, size_t len,
                          uint8_t out[CIS_RECORDING_DIGEST]);

/* The next event, of which the number of a handle may be read already. */
static inline uint8_t cis_recording_next(cis_recording *recording)
{
    return recording->drops ? CIS_RECORDING_DROP : cis_recording_peek(recording);
}

/* That this guest is recorded on, or played by. */
static inline cis_recording *cis_recording_of(const cis_engine_instance *instance)
{
    return instance->hooks_self;
}

/* ---- recording_record.c: hooks of a guest that is recorded ---- */
cis_code cis_recording_start(cis_engine_instance *instance, const struct cis_limits *limits,
                             struct cis_error *err);
cis_code cis_recording_call(cis_engine_instance *instance, const struct cis_extern *export,
                            const union cis_slot *io, struct cis_error *err);
cis_code cis_recording_returned(cis_engine_instance *instance, const char *type,
                                const union cis_slot *io, cis_code code, struct cis_error *err);
cis_code cis_recording_record_call(cis_engine_instance *instance, const struct cis_bound *bound,
                                   union cis_slot *io, cis_core_perform *perform);
void cis_recording_pause(cis_engine_instance *instance, bool on);
void cis_recording_note_read(cis_engine_instance *instance, uint64_t ptr, const void *at,
                             uint64_t len);
void cis_recording_note_out(cis_engine_instance *instance, uint64_t ptr, uint64_t len);
void cis_recording_note_wrote(cis_engine_instance *instance, uint64_t total);
void cis_recording_shown(cis_engine_instance *instance, unsigned stream, const void *data,
                         size_t len);
void cis_recording_grow(cis_engine_instance *instance, uint64_t bytes);
void cis_recording_grew(cis_engine_instance *instance, bool ok, uint64_t ptr);
void cis_recording_asked(cis_engine_instance *instance, bool table, uint64_t from, uint64_t to,
                         bool yes);
void cis_recording_rearm(cis_engine_instance *instance, uint64_t fuel);

void cis_recording_put_end(cis_recording *recording, const struct cis_engine_instance_end *end);

/* ---- recording_play.c ---- */
cis_code cis_recording_get_code(cis_recording *recording);
/* What follows a code that is not CIS_OK. */
void cis_recording_get_end(cis_recording *recording, cis_code code,
                           struct cis_engine_instance_end *out);
/* The guest is past what was seen of it: it ends as it did then. */
cis_code cis_recording_stop_here(cis_engine_instance *instance);
/* The guest is back: was it then, and how? */
cis_code cis_recording_came_back(cis_engine_instance *instance, const char *results,
                                 const union cis_slot *io);
/* What the recording says of a call of an export that begins here. */
cis_code cis_recording_play_call(cis_engine_instance *instance);
/* Instead of the handler. */
cis_code cis_recording_answer(cis_engine_instance *instance, const struct cis_bound *bound,
                              union cis_slot *io, cis_core_perform *perform);
/* Each tick: the guest ends here when that is what happened next. */
cis_code cis_recording_tick(cis_engine_instance *instance);

/* ---- recording_act.c ---- */
/* What the host did to the guest beside calling it. */
cis_code cis_recording_act(cis_engine_instance *instance, uint8_t event);
/* What was answered when memory or a table was to grow. */
bool cis_recording_may_grow(cis_engine_instance *instance, bool table, uint64_t from, uint64_t to);
/* The play is over: the reason is kept (the first counts) and ends the guest. */
cis_code cis_recording_fail(cis_engine_instance *instance, const struct cis_error *why);
/* Of a replay: its deadline or its cancellation is a failure of the recording. Before each event,
 * and between the pieces of what may be long; lends the CPU slot when the guest has one. */
void cis_recording_look(cis_recording *recording);
/* The same for what failed while the recording was read; CIS_OK when nothing did. */
cis_code cis_recording_unplayable(cis_engine_instance *instance);
/* CIS_E_DIVERGED "call 12 (fd_write): …" or "after call 12: …". */
cis_code cis_recording_differs(cis_engine_instance *instance, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "fd_write", "wasi:io/poll.poll"; cut to the room. */
void cis_recording_import_name(const cis_engine_instance *instance, uint64_t index, char *out,
                               size_t room);
/* Is the host call that begins here the one that was recorded, of this import? A recording that
 * stopped is looked at before. */
cis_code cis_recording_same_call(cis_engine_instance *instance, uint64_t import);
/* And has the guest the memory, and the fuel, that it had then? */
cis_code cis_recording_same_state(cis_engine_instance *instance, uint64_t memory, bool metered);

#endif
