/* Components: host functions of interfaces as rows of tables, decoded values, typed calls. The same
 * programs, guests, limits and ends as core modules have (program.h, guest.h).
 *
 * A value is decoded by the engine before a handler sees it and encoded after; handlers read and
 * build it with the functions here and never touch the guest's memory. What a guest can make the
 * engine decode in one call is bounded before it is built (cis_guest_hostcall_max); what a handler
 * builds is charged to the run's budget before it is built, until the call has returned.
 *
 * Functions with lists, those of streams and the small hot ones have a shape instead, one of those
 * that the engine knows: their handlers get slices of the guest's memory and hand slices back, and
 * nothing is boxed or copied in between. */
#ifndef CIS_ENGINE_COMPONENT_H
#define CIS_ENGINE_COMPONENT_H

#include "base/buf.h"
#include "engine/guest.h"

typedef struct cis_val cis_val; /* one value, or the first of an array */

/* ---- tables ---- */

/* Results start out as nothing and have to be built. Codes as for cis_hostfn_handler: CIS_OK lets
 * the guest go on with *result, anything else ends the run. result is NULL for functions without.
 */
typedef cis_code cis_ifacefn_handler(cis_guest *guest, const cis_val *args, cis_val *result,
                                     struct cis_error *err);

/* ---- shapes ---- */

/* r a resource, s text, b bytes, n u64. A function of another type than its shape's is refused when
 * the component is linked. */
enum cis_shape {
    CIS_SHAPE_VALUES,         /* no shape: decoded values */
    CIS_SHAPE_QUIET,          /* (r) */
    CIS_SHAPE_POLL,           /* (list<r>) -> list<u32> */
    CIS_SHAPE_BOOL,           /* (r) -> bool */
    CIS_SHAPE_CHILD,          /* (r) -> own r */
    CIS_SHAPE_READ,           /* wasi:io streams: (r, n) -> result<b, stream-error> */
    CIS_SHAPE_WRITE,          /* (r, b) -> result<_, stream-error> */
    CIS_SHAPE_COUNT,          /* (r) -> result<n, stream-error> */
    CIS_SHAPE_SKIP,           /* (r, n) -> result<n, stream-error> */
    CIS_SHAPE_DONE,           /* (r) -> result<_, stream-error> */
    CIS_SHAPE_ZEROES,         /* (r, n) -> result<_, stream-error> */
    CIS_SHAPE_SPLICE,         /* (r, r, n) -> result<n, stream-error> */
    CIS_SHAPE_BYTES,          /* (n) -> b */
    CIS_SHAPE_U64,            /* () -> n */
    CIS_SHAPE_U64_PAIR,       /* () -> tuple<n, n> */
    CIS_SHAPE_DATETIME,       /* () -> record{seconds:u64,nanoseconds:u32} */
    CIS_SHAPE_TEXTS,          /* () -> list<s> */
    CIS_SHAPE_TEXT_PAIRS,     /* () -> list<tuple<s, s>> */
    CIS_SHAPE_MAKE,           /* (n) -> own r */
    CIS_SHAPE_FILE_READ = 21, /* wasi:filesystem; E: its error-code.
                               * (r, n, n) -> result<tuple<b, bool>, E> */
    CIS_SHAPE_FILE_WRITE,     /* (r, b, n) -> result<n, E> */
    CIS_SHAPE_FILE_TYPE,      /* (r) -> result<descriptor-type, E> */
    CIS_SHAPE_FILE_STAT,      /* (r) -> result<descriptor-stat, E> */
    CIS_SHAPE_FILE_STAT_AT,   /* (r, path-flags, s) -> result<descriptor-stat, E> */
    CIS_SHAPE_FILE_OPEN_AT, /* (r, path-flags, s, open-flags, descriptor-flags) -> result<own, E> */
    CIS_SHAPE_FILE_HASH,    /* (r) -> result<metadata-hash-value, E> */
    CIS_SHAPE_FILE_HASH_AT, /* (r, path-flags, s) -> result<metadata-hash-value, E> */
    CIS_SHAPE_FILE_STREAM,  /* (r, n) -> result<own r, E> */
    CIS_SHAPE_FILE_CHILD,   /* (r) -> result<own r, E> */
    CIS_SHAPE_FILE_DONE,    /* (r) -> result<_, E> */
    CIS_SHAPE_FILE_SIZE,    /* (r, n) -> result<_, E> */
    CIS_SHAPE_FILE_PATH,    /* (r, s) -> result<_, E> */
    CIS_SHAPE_FILE_READLINK,  /* (r, s) -> result<s, E> */
    CIS_SHAPE_FILE_ENTRY,     /* (r) -> result<option<directory-entry>, E> */
    CIS_SHAPE_FILE_RENAME,    /* (r, s, r, s) -> result<_, E> */
    CIS_SHAPE_FILE_LINK,      /* (r, path-flags, s, r, s) -> result<_, E> */
    CIS_SHAPE_FILE_SYMLINK,   /* (r, s, s) -> result<_, E> */
    CIS_SHAPE_FIELD_GET = 41, /* wasi:http fields; E: header-error. (r, s) -> list<b> */
    CIS_SHAPE_FIELD_ENTRIES,  /* (r) -> list<tuple<s, b>> */
    CIS_SHAPE_FIELD_APPEND,   /* (r, s, b) -> result<_, E> */
    CIS_SHAPE_FIELD_SET,      /* (r, s, list<b>) -> result<_, E> */
    CIS_SHAPE_FIELD_FROM,     /* (list<tuple<s, b>>) -> result<own r, E> */
    CIS_SHAPE_NET_U64,        /* wasi:sockets; E: its error-code. (r, n) -> result<_, E> */
    CIS_SHAPE_FILE_ADVISE,    /* wasi:filesystem again: (r, n, n, advice) -> result<_, E> */
    CIS_SHAPE_FILE_FLAGS,     /* (r) -> result<descriptor-flags, E> */
    CIS_SHAPE_FILE_TIMES, /* (r, new-timestamp, new-timestamp) -> result<_, E>; each time is three
                           * arguments: case (0 keep, 1 now, 2 this), seconds, nanoseconds */
    CIS_SHAPE_FILE_TIMES_AT, /* (r, path-flags, s, two times) -> result<_, E>; r, times, flags, s */
    CIS_SHAPE_SAME,          /* (r, r) -> bool */
    CIS_SHAPE_FILE_ERROR,    /* (r) -> option<E> */
    CIS_SHAPE_TEXT,          /* (r) -> s */
    CIS_SHAPE_EXIT,          /* (result): 0 ok, 1 error */
    CIS_SHAPE_EXIT_CODE,     /* (u8) */
    CIS_SHAPE_GET,           /* () -> own r */
    CIS_SHAPE_GET_OPTION,    /* () -> option<own r> */
    CIS_SHAPE_GET_NAMED,     /* () -> list<tuple<own r, s>>: numbers are the resources */
    CIS_SHAPE_TEXT_OPTION,   /* () -> option<s> */
};

struct cis_pair { /* (text, text), (text, bytes); single items use the first */
    struct cis_bytes first, second;
};
/* One argument: a number, flags (the first is 1) or a resource's number in n; text or bytes as a
 * slice of the guest's memory, valid during the call. */
struct cis_typed {
    uint64_t n;
    struct cis_bytes bytes; /* text is UTF-8 */
    const struct cis_pair *items;
    const uint32_t *reps; /* a list of resources */
    size_t nitems;        /* at most 65,536 */
};
/* The answer, zero at the start. What it points to stays as it is until this guest calls the host
 * again, or ends. */
struct cis_answer {
    bool failed;    /* the function's own error: its case in `error` */
    bool has;       /* bool; an option that is there; the end of a file */
    uint32_t error; /* of streams: 0 the last operation failed (rep, kind: its error), 1 closed */
    uint32_t rep;   /* a resource handed out, and the kind it was defined as */
    uint32_t kind;
    uint64_t n[12]; /* numbers; a stat: type, links, size, then access, modification and change as
                     * seconds and nanoseconds (2^32 and more: no such time) */
    struct cis_bytes bytes;
    const struct cis_pair *items;
    const uint32_t *numbers;
    size_t nitems;
};
/* Codes as for cis_ifacefn_handler. */
typedef cis_code cis_typed_handler(cis_guest *guest, const struct cis_typed *args,
                                   struct cis_answer *out, struct cis_error *err);

struct cis_ifacefn {
    const char *interface; /* "cis:skill/memory", without the version */
    const char *name;
    const char *type; /* as cis_component_export_type writes it; of a shape: for the docs */
    enum cis_shape shape;
    cis_typed_handler *typed; /* with a shape, in place of handler and refuse */
    int32_t denied;           /* with a shape: case of its error when the grant is missing; -1: it
                               * has none, and the run ends */
    uint8_t grant;            /* enum cis_grant; the trampoline checks it */
    uint8_t cost;             /* as in struct cis_hostfn */
    cis_ifacefn_handler *handler;
    cis_ifacefn_handler *refuse; /* builds the answer when the grant is missing */
    const char *params;          /* names: "key,value" */
    const char *doc;             /* one sentence */
};

struct cis_iface_table {
    const char *abi;     /* "cis:skill" */
    const char *version; /* "0.1.0" */
    const struct cis_ifacefn *rows;
    size_t nrows;
};

/* A resource that interfaces hand out. The guest holds handles; `rep` is the host's own number for
 * the thing behind one, which the guest neither sees nor can forge. */
struct cis_iface_resource {
    const char *package; /* "wasi": of interfaces "wasi:…" */
    const char *name;    /* "input-stream" */
    uint32_t kind;       /* one number a resource type, the same in every interface */
    void (*drop)(cis_guest *guest, uint32_t rep); /* the guest's last handle is gone */
};

/* Finds the row for a function of an imported interface ("cis:skill/memory@0.1.0"). */
typedef const struct cis_ifacefn *cis_iface_resolver(void *self, struct cis_str interface,
                                                     struct cis_str name);
/* NULL: nobody provides it. */
typedef const struct cis_iface_resource *cis_resource_resolver(void *self, struct cis_str interface,
                                                               struct cis_str name);
struct cis_iface_provider {
    cis_iface_resolver *function;
    cis_resource_resolver *resource; /* may be NULL */
    void *self;
};

/* Binds every function of every imported interface. What nothing provides is CIS_E_IMPORT naming
 * interface, version and function; so is a function of another type. Types that an interface
 * exports need no row; modules and functions outside an interface have none. */
cis_code cis_component_link(cis_image *image, const struct cis_iface_provider *provider,
                            cis_program **out_program, struct cis_error *err);
/* "func(string, option<u32>) -> result<string, enum{a,b}>" of an exported function; names of
 * parameters are no part of it, those of fields and cases are. CIS_E_NOTFOUND: no such function. */
cis_code cis_component_export_type(cis_image *image, struct cis_str name, struct cis_buf *out,
                                   struct cis_error *err);

/* ---- calls ---- */

typedef struct cis_vals cis_vals; /* owned values of one call: arguments and result */

cis_code cis_vals_new(cis_guest *guest, size_t nargs, cis_vals **out_vals, struct cis_error *err);
void cis_vals_free(cis_vals *vals);
cis_val *cis_vals_arg(cis_vals *vals, size_t i);
const cis_val *cis_vals_result(const cis_vals *vals);
/* Calls an exported function that returns a value, "f" or "interface#f"; `type` is what the caller
 * expects. The limits,
 * ends and refusals of cis_guest_call. */
cis_code cis_component_call(cis_guest *guest, struct cis_str name, const char *type, cis_vals *vals,
                            struct cis_error *err);
/* The same with arguments and result as WAVE text: `name` is found, `text` is "f(1, \"a\")" with
 * the function's bare name. Without "(" nothing is called: CIS_E_USAGE is the function's type. Text
 * that does not fit the type is CIS_E_USAGE and says where; a type with resources, maps, futures or
 * streams in it is CIS_E_UNSUPPORTED and says which. */
cis_code cis_component_call_text(cis_guest *guest, struct cis_str name, struct cis_str text,
                                 struct cis_buf *out, struct cis_error *err);
/* Bytes of values that one call may bring from the guest; more of them is a trap. Elements of a
 * list count 32 bytes each, text its length. */
uint64_t cis_guest_hostcall_max(const cis_guest *guest);

/* ---- reading (the caller knows the type) ---- */

const cis_val *cis_val_nth(const cis_val *array, size_t i);
struct cis_str cis_val_text(const cis_val *val); /* string, enum, or the name of a variant's case */
uint64_t cis_val_uint(const cis_val *val);       /* bool, u8 to u64 */
size_t cis_val_len(const cis_val *val);          /* of a list, record or tuple */
const cis_val *cis_val_at(const cis_val *val, size_t i); /* its i-th item */
/* Of an option, a variant's case, a result; NULL without. */
const cis_val *cis_val_inner(const cis_val *val);
bool cis_val_is_ok(const cis_val *result);
/* Copies a list<u8>; room for cis_val_len bytes. */
void cis_val_copy_bytes(const cis_val *list, uint8_t *out);
/* For --trace: text of a value, long ones cut. */
void cis_val_print(const cis_val *val, struct cis_buf *out);

/* ---- building ----
 * Fail with CIS_E_BUDGET before anything is built, and with CIS_E_INVALID for text that is not
 * UTF-8. Names are static. Inner values are built where *out_inner says. */
cis_code cis_val_set_text(cis_guest *guest, cis_val *out, struct cis_str text,
                          struct cis_error *err);
cis_code cis_val_set_bytes(cis_guest *guest, cis_val *out, struct cis_bytes bytes,
                           struct cis_error *err);
void cis_val_set_u16(cis_val *out, uint16_t n);
void cis_val_set_u64(cis_val *out, uint64_t n);
void cis_val_set_none(cis_val *out);
cis_val *cis_val_set_some(cis_val *out);
/* out_inner NULL: without a value. */
void cis_val_set_result(cis_val *out, bool is_ok, cis_val **out_inner);
void cis_val_set_variant(cis_val *out, const char *name, cis_val **out_inner);
void cis_val_set_record(cis_val *out, const char *const *names, size_t n);
void cis_val_set_tuple(cis_val *out, size_t n);
cis_code cis_val_set_list(cis_guest *guest, cis_val *out, size_t n, struct cis_error *err);
cis_val *cis_val_item(cis_val *val, size_t i); /* of a record, tuple or list, to build in */

#endif
