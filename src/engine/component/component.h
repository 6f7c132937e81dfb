/* Components: host functions of interfaces as rows of tables, decoded values, typed calls. The same
 * programs, guests, limits and ends as core modules have (program.h, instance.h).
 *
 * A value is decoded by the engine before a handler sees it and encoded after; handlers read and
 * build it with the functions here and never touch the guest's memory. What a guest can make the
 * engine decode in one call is bounded before it is built (cis_engine_instance_hostcall_max); what
 * a handler builds is charged to the run's budget before it is built, until the call has returned.
 *
 * Functions with lists, those of streams and the small hot ones have a shape instead, one of those
 * that the engine knows: their handlers get slices of the guest's memory and hand slices back, and
 * nothing is boxed or copied in between. */
#ifndef CIS_ENGINE_COMPONENT_H
#define CIS_ENGINE_COMPONENT_H

#include "base/buf.h"
#include "engine/component/value.h"

/* ---- tables ---- */

/* Results start out as nothing and have to be built. Codes as for cis_hostfn_handler: CIS_OK lets
 * the guest go on with *result, anything else ends the run. result is NULL for functions without.
 */
typedef cis_code cis_ifacefn_handler(cis_engine_instance *instance, const cis_val *args,
                                     cis_val *result, struct cis_error *err);

/* A handler that takes and gives C structs: the row's type says how they look, and the engine reads
 * and writes the values. The struct of the arguments has them in order, then every type is what a C
 * programmer would write:
 *     bool, u8 … s64, f32, f64        bool, uint8_t … int64_t, float, double;  char: uint32_t
 *     string                          struct cis_str          (of the call: copy what is kept)
 *     list<u8>, list<T>               struct cis_bytes; the same with T *ptr   (of the call)
 *     enum, flags (up to 32)          uint32_t: the number of the case; the first flag is bit 0
 *     record, tuple                   struct of the fields
 *     option<T>                       struct { bool has; T value; }
 *     result<T, E>                    struct { bool failed; union { T ok; E error; }; } (either may
 *                                     be missing)
 *     variant                         struct { uint32_t is; union { … }; }
 *     borrow<r>, own<r>               uint32_t: the rep of the resource named r in this interface
 * *result is zero at the start. What it points to has to stay until the handler is called again or
 * the guest ends: the run's own memory. An own<r> of the arguments is the handler's from when it is
 * called: the guest's handle is gone, and the resource's `drop` will not be called for it. An
 * own<r> in the result is the guest's, even when the call then fails. Structs have at most 1,024
 * bytes.
 *
 * A row, for `start-connect: func(network: borrow<network>, remote: ip-socket-address) ->
 * result<_, error-code>` of resource tcp-socket:
 *     #define ERROR "enum{unknown,access-denied,…}"
 *     #define ADDRESS "variant{ipv4(record{port:u16,address:tuple<u8,u8,u8,u8>}),ipv6(record{…})}"
 *     struct connect_args { uint32_t self, network; struct net_address remote; };
 *     struct done { bool failed; uint32_t error; };
 *     static cis_code start_connect(cis_engine_instance *guest, const void *args, void *result,
 *                                   struct cis_error *err)
 *     {
 *         const struct connect_args *a = args;
 *         struct done *r = result;
 *         …
 *         r->failed = true; r->error = ACCESS_DENIED;
 *         return CIS_OK;
 *     }
 *     {.interface = "wasi:sockets/tcp", .name = "[method]tcp-socket.start-connect",
 *      .type = "func(borrow<tcp-socket>, borrow<network>, " ADDRESS ") -> result<_, " ERROR ">",
 *      CIS_STRUCTS(start_connect, struct connect_args, struct done),
 *      .denied = ACCESS_DENIED, .grant = …, .cost = 1, .params = "self,network,remote", .doc = "…"}
 * The type is compared with the guest's when it is linked: types are written out, without names of
 * parameters; a resource goes by the name that this interface exports it under. Sizes of
 * the structs are compared with the type then too. An argument list or a result that is not there
 * has the type void. */
typedef cis_code cis_structs_handler(cis_engine_instance *instance, const void *args, void *result,
                                     struct cis_error *err);
#define CIS_STRUCTS(handler_, args_, result_)                                                      \
    .structs = (handler_), .args_size = CIS_SIZE_OF(args_), .result_size = CIS_SIZE_OF(result_)
#define CIS_SIZE_OF(t) _Generic((t *)NULL, void * : 0, default : sizeof(t))

/* ---- shapes ---- */

/* r a resource that is lent, s text, b bytes, n u64. A row says with its type which resource it is,
 * as every row does. */
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
    CIS_SHAPE_CORE_SEND,      /* scheduler:core-libs; E: its error-code. (r, b) -> result<n, E> */
    CIS_SHAPE_CORE_RECEIVE,   /* (r, n) -> result<b, E> */
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
    CIS_SHAPE_NET_RECEIVE,   /* wasi:sockets again: (r, n) -> result<list<incoming-datagram>, E>;
                              * items: data, a struct cis_datagram_address */
    CIS_SHAPE_NET_SEND,      /* (r, list<outgoing-datagram>) -> result<n, E>; the second of an item
                              * is empty when it has no address */
    CIS_SHAPE_NET_COUNT,     /* (r) -> result<n, E> */
    CIS_SHAPES,              /* how many there are; recording_value.c has their arguments */
};

struct cis_datagram_address {
    uint32_t family; /* 4 or 6 */
    uint32_t port, flow, scope;
    uint8_t ip[16]; /* network order; of family 4 the first four */
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
    size_t nitems;        /* at most 65,536; of fields that are more, n alone says how many */
    uint32_t kind;        /* of a resource, or of those of a list; the engine has compared it */
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
typedef cis_code cis_typed_handler(cis_engine_instance *instance, const struct cis_typed *args,
                                   struct cis_answer *out, struct cis_error *err);

struct cis_ifacefn {
    const char *interface; /* "cis:skill/memory", without the version */
    const char *name;
    /* As cis_component_export_type writes it, resources as own<r> and borrow<r>. Whatever the
     * handler takes: a function that the guest declares with another type is refused. */
    const char *type;
    enum cis_shape shape;
    cis_typed_handler *typed; /* with a shape, in place of handler and refuse */
    int32_t denied;           /* with a shape or structs: case of its error when the grant is
                               * missing; -1: it has none, and the run ends */
    uint8_t grant;            /* enum cis_grant; the trampoline checks it */
    uint8_t cost;             /* as in struct cis_hostfn */
    cis_ifacefn_handler *handler;
    cis_ifacefn_handler *refuse;  /* builds the answer when the grant is missing */
    cis_structs_handler *structs; /* in place of these two: `denied` as with a shape */
    uint16_t args_size, result_size;
    const char *params; /* names: "key,value" */
    const char *doc;    /* one sentence */
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
    /* The guest's last handle is gone. A failure ends the run as that of a handler does: what may
     * not be dropped yet is CIS_E_TRAP. */
    cis_code (*drop)(cis_engine_instance *instance, uint32_t rep, struct cis_error *err);
    /* Is there such a thing behind this number? Asked of every handle that is given to a handler,
     * before it is called; a no ends the run as an internal error. NULL: nothing is behind it. */
    bool (*is)(cis_engine_instance *instance, uint32_t kind, uint32_t rep);
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
    /* Of a function that is not provided now and could be: what to add to the message, " (off)".
     * May be NULL. */
    const char *(*off)(void *self, struct cis_str interface, struct cis_str name);
    /* What the answers depend on beside these functions, as a number: a link that failed for what
     * it found is not tried again with this component. 0: it is. */
    uint64_t id;
    bool trap_unknown; /* functions and resources that nobody provides trap when they are called */
    bool
        recorded; /* for a replay: they are bound as they are imported, and the recording answers */
    /* Of rows that do not live as long as the process: what is linked with them keeps a reference
     * to `owner` until the module is gone. All NULL otherwise. */
    void *owner;
    void (*ref)(void *owner);
    void (*unref)(void *owner);
    /* Of resources of such rows: the guest handed one over as an own<> argument to a handler that
     * takes values, which is about to be called. May be NULL. */
    void (*given)(cis_engine_instance *instance, uint32_t kind, uint32_t rep);
};

/* For `id`: of a text that says it all. Never 0. */
uint64_t cis_iface_provider_id(struct cis_str text);

/* Versions by which an interface is found ("wasi:io/poll@0.2.3"). Compatible: the same major
 * version, for 0.x the same minor one, for 0.0.x the same patch; a pre-release fits nothing but
 * itself. The name before the version: all of it when there is none. */
struct cis_str cis_iface_version(struct cis_str interface, struct cis_str *out_version);
bool cis_iface_fits(struct cis_str wanted, struct cis_str have);

/* Binds every function of every imported interface. What nothing provides is CIS_E_IMPORT naming
 * interface, version and function; so is a function of another type. Types that an interface
 * exports need no row; modules and functions outside an interface have none. More imports than any
 * component needs are CIS_E_LIMIT. stop (may be NULL): when to give up, CIS_E_DEADLINE or
 * CIS_E_CANCELLED. */
cis_code cis_component_link(cis_engine_module *module, const struct cis_iface_provider *provider,
                            const struct cis_stop *stop, cis_linked **out_program,
                            struct cis_error *err);
/* "func(string, option<u32>) -> result<string, enum{a,b}>" of an exported function; names of
 * parameters are no part of it, those of fields and cases are. CIS_E_NOTFOUND: no such function. */
cis_code cis_component_export_type(cis_engine_module *module, struct cis_str name,
                                   struct cis_buf *out, struct cis_error *err);

/* ---- calls ---- */

typedef struct cis_vals cis_vals; /* owned values of one call: arguments and result */

cis_code cis_vals_new(cis_engine_instance *instance, size_t nargs, cis_vals **out_vals,
                      struct cis_error *err);
void cis_vals_free(cis_vals *vals);
cis_val *cis_vals_arg(cis_vals *vals, size_t i);
const cis_val *cis_vals_result(const cis_vals *vals);
/* Handles among arguments (cis_val_set_own) that no guest got. What is behind them is left: their
 * `drop` is for those that a guest had. */
void cis_vals_drop(cis_vals *vals);
/* Calls an exported function, "f" or "interface#f"; `type` is what the caller expects, resources in
 * it as own<?>. When it fails and the guest has not ended, it was not called, and has none of the
 * handles. The limits, ends and refusals of cis_engine_instance_call. */
cis_code cis_component_call(cis_engine_instance *instance, struct cis_str name, const char *type,
                            cis_vals *vals, struct cis_error *err);
/* The same with arguments and result as WAVE text: `name` is found, `text` is "f(1, \"a\")" with
 * the function's bare name. Without "(" nothing is called: CIS_E_USAGE is the function's type. Text
 * that does not fit the type is CIS_E_USAGE and says where; a type with resources, maps, futures or
 * streams in it is CIS_E_UNSUPPORTED and says which. */
cis_code cis_component_call_text(cis_engine_instance *instance, struct cis_str name,
                                 struct cis_str text, struct cis_buf *out, struct cis_error *err);
/* Bytes of values that one call may bring from the guest; more of them is a trap. Elements of a
 * list count 40 bytes each, text its length. What the host needs for them is within
 * limits.host_bytes: a third of it is the most, types that cost the host more have less (records,
 * names of cases, flags most of all). */
uint64_t cis_engine_instance_hostcall_max(const cis_engine_instance *instance);
/* Handles that a guest may hold at once: one for each 4 KiB of limits.host_bytes, at most 100,000.
 * A few more are a trap of the engine; who hands out resources may count them and end the run
 * before, by a limit with a name. */
uint64_t cis_engine_instance_handles_max(const cis_engine_instance *instance);

#endif
