/* Recording: this room owns tapes (tape.h), of core modules and of components, and the two tables
 * of hooks that it hangs on a guest (engine/instance/hooks.h): one that writes down what the host
 * does, one that does it again and compares. Nothing below knows of it. Here is what its files
 * share. Inside the engine only. */
#ifndef CIS_ENGINE_TAPE_IN_H
#define CIS_ENGINE_TAPE_IN_H

#include "base/buf.h"
#include "engine/instance/instance.h"
#include "engine/recording/tape.h"

#define CIS_TAPE_FRAME_MAX 65536u
#define CIS_TAPE_RANGES_MAX 1024u
#define CIS_TAPE_SEEN_MAX 16u
#define CIS_TAPE_RAW_MAX                                                                           \
    64u /* bytes read by the host that are kept as they are; more: a digest                        \
         */
#define CIS_TAPE_DIGEST 16u
#define CIS_TAPE_NAME_MAX 160u /* of an import, in messages */
#define CIS_TAPE_LIMIT_NAME 64u

/* What happens, one byte each. Numbers are varints, strings have their length in front. */
enum cis_tape_event {
    CIS_TAPE_START = 1, /* memory, tables, fuel: the guest is made, its start function runs */
    CIS_TAPE_CALL,      /* export, arguments: the host calls the guest */
    CIS_TAPE_RETURN,    /* the guest is back: code, then results or its end */
    CIS_TAPE_STOPPED,   /* the same, but the host ended it in the middle: at no exact place */
    CIS_TAPE_ENTER,     /* import, arguments, memory, fuel: the guest calls the host */
    CIS_TAPE_LEAVE,     /* code, then result and fuel or the guest's end */
    CIS_TAPE_READ,      /* place, length, bytes or digest: the host read this */
    CIS_TAPE_WRITE,     /* place, length, bytes: the host wrote this */
    CIS_TAPE_GROW,      /* bytes: the host grows the guest's memory */
    CIS_TAPE_GREW,      /* 0, or 1 and the new memory's place */
    CIS_TAPE_ASK,       /* what, from, to, answer: memory or a table is to grow */
    CIS_TAPE_SHOW,      /* stream, place, length: the guest's bytes went out */
    CIS_TAPE_SAY,       /* stream, length, bytes: the host's own did */
    CIS_TAPE_REARM,     /* fuel */
    CIS_TAPE_END,       /* the outcome; nothing follows */
    CIS_TAPE_EXPORT,    /* name, type, values or text: the host calls a component */
    CIS_TAPE_DROP       /* kind, number, code, end: the guest ended when it dropped this handle */
};

struct cis_tape_range {
    uint64_t ptr, len;
};

struct cis_tape {
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
    cis_guest *guest;

    /* Recording. */
    struct cis_tape_source source;
    struct cis_tape_range outs[CIS_TAPE_RANGES_MAX]; /* the host may write here until it leaves */
    size_t nouts;
    bool crowded;                                  /* the last of them stands for more than one */
    bool ended;                                    /* the guest's end is on the tape */
    struct cis_tape_range seen[CIS_TAPE_SEEN_MAX]; /* noted already */
    size_t nseen;

    struct cis_buf owns; /* resources that the call going on made: struct cis_tape_own */

    /* Replay. */
    struct cis_buf answer; /* bytes that the last answer of a component's call points to */
    struct cis_pair *pairs;
    uint32_t *numbers;
    size_t nitems;   /* room in both */
    cis_code called; /* what the export that is compared was answered with here */
    struct cis_tape_head head;
    struct cis_buf module, about;
    char *name, *engine, *without;
    char limit[CIS_TAPE_LIMIT_NAME]; /* of the guest's end, which points here */
    bool
        stopped; /* the guest was ended where the host ended it once: its memory is not as it was */
    bool returned; /* and the event that says so is taken */
    bool drops; /* what comes next is the drop of this handle: its event and these two are taken */
    uint64_t drop_kind, drop_rep;
    bool in_call; /* of the host, of the import with this number; for messages */
    uint64_t import;
    const struct cis_tape_player *player;
};

/* ---- tape.c ---- */
void cis_tape_put_head(cis_tape *tape, const struct cis_image *image);

/* ---- tape_file.c: bytes. A failure is sticky: written or read as if nothing had happened (reads
 * give zeros), looked at with cis_tape_check. ---- */
cis_code cis_tape_check(const cis_tape *tape, struct cis_error *err);
/* Begins the file; the descriptor is the tape's from here on. */
cis_code cis_tape_file_begin(cis_tape *tape, int fd, struct cis_error *err);
/* The last frame out and the file closed; or: is the file at its end? */
cis_code cis_tape_file_end(cis_tape *tape, struct cis_error *err);
void cis_tape_put(cis_tape *tape, const void *ptr, size_t len);
void cis_tape_put_number(cis_tape *tape, uint64_t value);
void cis_tape_put_text(cis_tape *tape, struct cis_str text);
void cis_tape_get(cis_tape *tape, void *out, size_t len);
uint64_t cis_tape_get_number(cis_tape *tape);
/* Adds a text of any length up to the buffer's end. */
void cis_tape_get_long(cis_tape *tape, struct cis_buf *out);
/* Bytes to be compared: raw when they are few, else a digest. */
void cis_tape_put_seen(cis_tape *tape, struct cis_bytes bytes);
bool cis_tape_get_seen(cis_tape *tape, struct cis_bytes now);
/* Longer than room - 1 is damage. */
void cis_tape_get_text(cis_tape *tape, char *out, size_t room);
uint8_t cis_tape_peek(cis_tape *tape); /* the next event; 0 when there is none */
uint8_t cis_tape_get_event(cis_tape *tape);
cis_code cis_tape_damaged(cis_tape *tape, const char *what);
/* The values of a function type's parameters or results, side by side. */
void cis_tape_put_slots(cis_tape *tape, const char *types, const union cis_slot *io);
void cis_tape_get_slots(cis_tape *tape, const char *types, union cis_slot *io);
bool cis_tape_slot_eq(char type, const union cis_slot *a, const union cis_slot *b);
/* Numbers can be written down, references cannot. */
static inline bool cis_tape_has_type(const char *type)
{
    return strspn(type, "iIfFv:") == strlen(type);
}
static inline int64_t cis_tape_slot_number(char type, const union cis_slot *slot)
{
    return type == 'i' ? slot->i32 : type == 'f' ? (int64_t)slot->u32 : slot->i64;
}
/* Ended by something outside it, wherever it was then. */
static inline bool cis_tape_by_host(cis_code code)
{
    return code != CIS_OK && code != CIS_E_TRAP && code != CIS_E_FUEL && code != CIS_E_MEMORY;
}
void cis_tape_digest(const void *ptr, size_t len, uint8_t out[CIS_TAPE_DIGEST]);

/* The next event, of which the number of a handle may be read already. */
static inline uint8_t cis_tape_next(cis_tape *tape)
{
    return tape->drops ? CIS_TAPE_DROP : cis_tape_peek(tape);
}

/* That this guest is recorded on, or played by. */
static inline cis_tape *cis_tape_of(const cis_guest *guest)
{
    return guest->hooks_self;
}

/* ---- tape_record.c: hooks of a guest that is recorded ---- */
cis_code cis_tape_start(cis_guest *guest, const struct cis_limits *limits, struct cis_error *err);
cis_code cis_tape_call(cis_guest *guest, const struct cis_extern *export, const union cis_slot *io,
                       struct cis_error *err);
cis_code cis_tape_returned(cis_guest *guest, const char *type, const union cis_slot *io,
                           cis_code code, struct cis_error *err);
cis_code cis_tape_record_call(cis_guest *guest, const struct cis_bound *bound, union cis_slot *io,
                              cis_core_perform *perform);
void cis_tape_pause(cis_guest *guest, bool on);
void cis_tape_note_read(cis_guest *guest, uint64_t ptr, const void *at, uint64_t len);
void cis_tape_note_out(cis_guest *guest, uint64_t ptr, uint64_t len);
void cis_tape_note_wrote(cis_guest *guest, uint64_t total);
void cis_tape_shown(cis_guest *guest, unsigned stream, const void *data, size_t len);
void cis_tape_grow(cis_guest *guest, uint64_t bytes);
void cis_tape_grew(cis_guest *guest, bool ok, uint64_t ptr);
void cis_tape_asked(cis_guest *guest, bool table, uint64_t from, uint64_t to, bool yes);
void cis_tape_rearm(cis_guest *guest, uint64_t fuel);

void cis_tape_put_end(cis_tape *tape, const struct cis_guest_end *end);

/* ---- tape_play.c ---- */
cis_code cis_tape_get_code(cis_tape *tape);
/* What follows a code that is not CIS_OK. */
void cis_tape_get_end(cis_tape *tape, cis_code code, struct cis_guest_end *out);
/* The guest is past what was seen of it: it ends as it did then. */
cis_code cis_tape_stop_here(cis_guest *guest);
/* The guest is back: was it then, and how? */
cis_code cis_tape_came_back(cis_guest *guest, const char *results, const union cis_slot *io);
/* What the tape says of a call of an export that begins here. */
cis_code cis_tape_play_call(cis_guest *guest);
/* Instead of the handler. */
cis_code cis_tape_answer(cis_guest *guest, const struct cis_bound *bound, union cis_slot *io,
                         cis_core_perform *perform);
/* Each tick: the guest ends here when that is what happened next. */
cis_code cis_tape_tick(cis_guest *guest);

/* ---- tape_act.c ---- */
/* What the host did to the guest beside calling it. */
cis_code cis_tape_act(cis_guest *guest, uint8_t event);
/* What was answered when memory or a table was to grow. */
bool cis_tape_may_grow(cis_guest *guest, bool table, uint64_t from, uint64_t to);
/* The play is over: the reason is kept (the first counts) and ends the guest. */
cis_code cis_tape_fail(cis_guest *guest, const struct cis_error *why);
/* The same for what failed while the tape was read; CIS_OK when nothing did. */
cis_code cis_tape_unplayable(cis_guest *guest);
/* CIS_E_DIVERGED "call 12 (fd_write): …" or "after call 12: …". */
cis_code cis_tape_differs(cis_guest *guest, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "fd_write", "wasi:io/poll.poll"; cut to the room. */
void cis_tape_import_name(const cis_guest *guest, uint64_t index, char *out, size_t room);
/* Is the host call that begins here the one that was recorded, of this import? A tape that stopped
 * is looked at before. */
cis_code cis_tape_same_call(cis_guest *guest, uint64_t import);
/* And has the guest the memory, and the fuel, that it had then? */
cis_code cis_tape_same_state(cis_guest *guest, uint64_t memory, bool metered);

#endif
