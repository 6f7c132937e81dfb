/* The interfaces as rows, and which version of them is served. */
#include "wasi/p2/sockets.h"

#define ROW(i, n, t, s, g, d, h, text)                                                             \
    {                                                                                              \
        .interface = (i), .name = (n), .type = (t), .shape = CIS_SHAPE_##s, .typed = (h),          \
        .denied = (d), .grant = CIS_GRANT_##g, .cost = 1, .params = "", .doc = (text)              \
    }
#define FREE(i, n, t, s, h, text) ROW(i, n, t, s, NONE, -1, h, text)
#define CLOCK(i, n, t, s, h, text) ROW(i, n, t, s, CLOCKS, -1, h, text)
#define RANDOM(i, n, t, s, h, text) ROW(i, n, t, s, RANDOM, -1, h, text)

#define IO_ERROR "wasi:io/error"
#define IO_POLL "wasi:io/poll"
#define STREAMS "wasi:io/streams"
#define IN(n, t, s, h, text) FREE(STREAMS, "[method]input-stream." n, t, s, h, text)
#define OUT(n, t, s, h, text) FREE(STREAMS, "[method]output-stream." n, t, s, h, text)

/* Types of WASI 0.2 as they are written out (engine/component/component.h). */
#define OF(resource) "func(borrow<" resource ">"
#define STREAM_ERROR "variant{last-operation-failed(own<error>),closed}"
#define OR_CLOSED ", " STREAM_ERROR ">"
#define IN_SELF OF("input-stream")
#define OUT_SELF OF("output-stream")
#define MOVES OUT_SELF ", borrow<input-stream>, u64) -> result<u64" OR_CLOSED

static const struct cis_ifacefn io_rows[] = {
    FREE(IO_ERROR, "[method]error.to-debug-string", OF("error") ") -> string", TEXT,
         cis_p2_error_text, "Name of an error, for people."),
    FREE(IO_POLL, "[method]pollable.ready", OF("pollable") ") -> bool", BOOL, cis_p2_poll_ready,
         "Is it ready, without waiting?"),
    FREE(IO_POLL, "[method]pollable.block", OF("pollable") ")", QUIET, cis_p2_poll_block,
         "Waits until it is ready."),
    FREE(IO_POLL, "poll", "func(list<borrow<pollable>>) -> list<u32>", POLL, cis_p2_poll,
         "Waits until some of several are ready."),
    IN("read", IN_SELF ", u64) -> result<list<u8>" OR_CLOSED, READ, cis_p2_in_read,
       "What is there now."),
    IN("blocking-read", IN_SELF ", u64) -> result<list<u8>" OR_CLOSED, READ,
       cis_p2_in_blocking_read, "Waits for at least one byte."),
    IN("skip", IN_SELF ", u64) -> result<u64" OR_CLOSED, SKIP, cis_p2_in_skip,
       "Reads and forgets."),
    IN("blocking-skip", IN_SELF ", u64) -> result<u64" OR_CLOSED, SKIP, cis_p2_in_blocking_skip,
       "The same, with at least one byte."),
    IN("subscribe", IN_SELF ") -> own<pollable>", CHILD, cis_p2_in_subscribe,
       "Ready when it can be read."),
    OUT("check-write", OUT_SELF ") -> result<u64" OR_CLOSED, COUNT, cis_p2_out_check,
        "Bytes that the next write may have."),
    OUT("write", OUT_SELF ", list<u8>) -> result<_" OR_CLOSED, WRITE, cis_p2_out_write,
        "Writes what was permitted."),
    OUT("blocking-write-and-flush", OUT_SELF ", list<u8>) -> result<_" OR_CLOSED, WRITE,
        cis_p2_out_blocking_write, "Writes up to 4,096 bytes, waiting as needed."),
    OUT("flush", OUT_SELF ") -> result<_" OR_CLOSED, DONE, cis_p2_out_flush, "Begins to flush."),
    OUT("blocking-flush", OUT_SELF ") -> result<_" OR_CLOSED, DONE, cis_p2_out_blocking_flush,
        "Waits until nothing is held back."),
    OUT("subscribe", OUT_SELF ") -> own<pollable>", CHILD, cis_p2_out_subscribe,
        "Ready when it takes bytes."),
    OUT("write-zeroes", OUT_SELF ", u64) -> result<_" OR_CLOSED, ZEROES, cis_p2_out_zeroes,
        "Writes zeros, as permitted."),
    OUT("blocking-write-zeroes-and-flush", OUT_SELF ", u64) -> result<_" OR_CLOSED, ZEROES,
        cis_p2_out_blocking_zeroes, "Writes up to 4,096 zeros."),
    OUT("splice", MOVES, SPLICE, cis_p2_out_splice, "Moves what is there from an input stream."),
    OUT("blocking-splice", MOVES, SPLICE, cis_p2_out_blocking_splice,
        "The same, with at least one byte."),
};

#define MONO "wasi:clocks/monotonic-clock"
#define WALL "wasi:clocks/wall-clock"
#define DATE "record{seconds:u64,nanoseconds:u32}"
static const struct cis_ifacefn clock_rows[] = {
    CLOCK(MONO, "now", "func() -> u64", U64, cis_p2_mono_now, "Nanoseconds that only grow."),
    CLOCK(MONO, "resolution", "func() -> u64", U64, cis_p2_mono_resolution, "Its smallest step."),
    CLOCK(MONO, "subscribe-instant", "func(u64) -> own<pollable>", MAKE, cis_p2_mono_instant,
          "Ready at a time of that clock."),
    CLOCK(MONO, "subscribe-duration", "func(u64) -> own<pollable>", MAKE, cis_p2_mono_duration,
          "Ready after so many nanoseconds."),
    CLOCK(WALL, "now", "func() -> " DATE, DATETIME, cis_p2_wall_now, "Time since 1970."),
    CLOCK(WALL, "resolution", "func() -> " DATE, DATETIME, cis_p2_wall_resolution,
          "Its smallest step."),
};

static const struct cis_ifacefn random_rows[] = {
    RANDOM("wasi:random/random", "get-random-bytes", "func(u64) -> list<u8>", BYTES,
           cis_p2_random_bytes, "Random bytes, at most 64 MiB a call."),
    RANDOM("wasi:random/random", "get-random-u64", "func() -> u64", U64, cis_p2_random_u64,
           "A random number."),
    RANDOM("wasi:random/insecure", "get-insecure-random-bytes", "func(u64) -> list<u8>", BYTES,
           cis_p2_random_bytes, "The same bytes: none here are insecure."),
    RANDOM("wasi:random/insecure", "get-insecure-random-u64", "func() -> u64", U64,
           cis_p2_random_u64, "The same."),
    RANDOM("wasi:random/insecure-seed", "insecure-seed", "func() -> tuple<u64,u64>", U64_PAIR,
           cis_p2_random_seed, "A seed for hash tables."),
};

static const struct cis_ifacefn cli_rows[] = {
    FREE("wasi:cli/environment", "get-environment", "func() -> list<tuple<string,string>>",
         TEXT_PAIRS, cis_p2_environment, "Variables that the run was given."),
    FREE("wasi:cli/environment", "get-arguments", "func() -> list<string>", TEXTS, cis_p2_arguments,
         "Arguments, the program's name first."),
    FREE("wasi:cli/environment", "initial-cwd", "func() -> option<string>", TEXT_OPTION,
         cis_p2_initial_cwd, "None."),
    FREE("wasi:cli/exit", "exit", "func(result)", EXIT, cis_p2_exit, "Ends the program: 0 or 1."),
    FREE("wasi:cli/exit", "exit-with-code", "func(u8)", EXIT_CODE, cis_p2_exit_code,
         "Ends the program with a code."),
    FREE("wasi:cli/stdin", "get-stdin", "func() -> own<input-stream>", GET, cis_p2_stdin,
         "Its stdin."),
    FREE("wasi:cli/stdout", "get-stdout", "func() -> own<output-stream>", GET, cis_p2_stdout,
         "Its stdout."),
    FREE("wasi:cli/stderr", "get-stderr", "func() -> own<output-stream>", GET, cis_p2_stderr,
         "Its stderr."),
    FREE("wasi:cli/terminal-stdin", "get-terminal-stdin", "func() -> option<own<terminal-input>>",
         GET_OPTION, cis_p2_terminal_stdin, "Only when stdin is a terminal."),
    FREE("wasi:cli/terminal-stdout", "get-terminal-stdout",
         "func() -> option<own<terminal-output>>", GET_OPTION, cis_p2_terminal_stdout,
         "Only when stdout is a terminal."),
    FREE("wasi:cli/terminal-stderr", "get-terminal-stderr",
         "func() -> option<own<terminal-output>>", GET_OPTION, cis_p2_terminal_stderr,
         "Only when stderr is a terminal."),
};

#define TYPES "wasi:filesystem/types"
#define FS(n, t, s, h, text) FREE(TYPES, "[method]descriptor." n, t, s, h, text)
#define CODE                                                                                       \
    "enum{access,would-block,already,bad-descriptor,busy,deadlock,quota,exist,file-too-large,"     \
    "illegal-byte-sequence,in-progress,interrupted,invalid,io,is-directory,loop,too-many-links,"   \
    "message-size,name-too-long,no-device,no-entry,no-lock,insufficient-memory,"                   \
    "insufficient-space,not-directory,not-empty,not-recoverable,unsupported,no-tty,"               \
    "no-such-device,overflow,not-permitted,pipe,read-only,invalid-seek,text-file-busy,"            \
    "cross-device}"
#define E ", " CODE ">"
#define TYPE                                                                                       \
    "enum{unknown,block-device,character-device,directory,fifo,symbolic-link,regular-file,socket}"
#define TIME "option<" DATE ">"
#define STAT                                                                                       \
    "record{type:" TYPE ",link-count:u64,size:u64,data-access-timestamp:" TIME                     \
    ",data-modification-timestamp:" TIME ",status-change-timestamp:" TIME "}"
#define HASH "record{lower:u64,upper:u64}"
#define NEW_TIME "variant{no-change,now,timestamp(" DATE ")}"
#define ADVICE "enum{normal,sequential,random,will-need,dont-need,no-reuse}"
#define PATH "flags{symlink-follow}, string"
#define OPEN "flags{create,directory,exclusive,truncate}"
#define FLAGS                                                                                      \
    "flags{read,write,file-integrity-sync,data-integrity-sync,requested-write-sync,"               \
    "mutate-directory}"
#define SELF OF("descriptor")
#define TO "borrow<descriptor>, string"
static const struct cis_ifacefn fs_rows[] = {
    FREE("wasi:filesystem/preopens", "get-directories",
         "func() -> list<tuple<own<descriptor>,string>>", GET_NAMED, cis_p2_directories,
         "The directories that the run was given."),
    FS("read-via-stream", SELF ", u64) -> result<own<input-stream>" E, FILE_STREAM,
       cis_p2_fs_read_stream, "Reads from an offset on."),
    FS("write-via-stream", SELF ", u64) -> result<own<output-stream>" E, FILE_STREAM,
       cis_p2_fs_write_stream, "Writes from an offset on."),
    FS("append-via-stream", SELF ") -> result<own<output-stream>" E, FILE_CHILD,
       cis_p2_fs_append_stream, "Writes at the end, whatever it is then."),
    FS("advise", SELF ", u64, u64, " ADVICE ") -> result<_" E, FILE_ADVISE, cis_p2_fs_advise,
       "Says how a file will be used."),
    FS("sync-data", SELF ") -> result<_" E, FILE_DONE, cis_p2_fs_sync_data,
       "Writes data through to the store."),
    FS("sync", SELF ") -> result<_" E, FILE_DONE, cis_p2_fs_sync,
       "Writes a file through to the store."),
    FS("get-flags", SELF ") -> result<" FLAGS E, FILE_FLAGS, cis_p2_fs_flags, "How it was opened."),
    FS("get-type", SELF ") -> result<" TYPE E, FILE_TYPE, cis_p2_fs_type, "What it is."),
    FS("set-size", SELF ", u64) -> result<_" E, FILE_SIZE, cis_p2_fs_set_size,
       "Cuts or extends a file."),
    FS("set-times", SELF ", " NEW_TIME ", " NEW_TIME ") -> result<_" E, FILE_TIMES, cis_p2_fs_times,
       "Sets its times."),
    FS("read", SELF ", u64, u64) -> result<tuple<list<u8>,bool>" E, FILE_READ, cis_p2_fs_read,
       "Reads at an offset, at most 1 MiB a call."),
    FS("write", SELF ", list<u8>, u64) -> result<u64" E, FILE_WRITE, cis_p2_fs_write,
       "Writes at an offset."),
    FS("read-directory", SELF ") -> result<own<directory-entry-stream>" E, FILE_CHILD,
       cis_p2_fs_read_directory, "Its entries, as a stream."),
    FS("create-directory-at", SELF ", string) -> result<_" E, FILE_PATH, cis_p2_fs_mkdir,
       "Makes a directory."),
    FS("stat", SELF ") -> result<" STAT E, FILE_STAT, cis_p2_fs_stat, "Its attributes."),
    FS("stat-at", SELF ", " PATH ") -> result<" STAT E, FILE_STAT_AT, cis_p2_fs_stat_at,
       "Attributes of a path."),
    FS("set-times-at", SELF ", " PATH ", " NEW_TIME ", " NEW_TIME ") -> result<_" E, FILE_TIMES_AT,
       cis_p2_fs_times_at, "Sets times of a path."),
    FS("link-at", SELF ", " PATH ", " TO ") -> result<_" E, FILE_LINK, cis_p2_fs_link,
       "Makes a hard link."),
    FS("open-at", SELF ", " PATH ", " OPEN ", " FLAGS ") -> result<own<descriptor>" E, FILE_OPEN_AT,
       cis_p2_fs_open, "Opens a path."),
    FS("readlink-at", SELF ", string) -> result<string" E, FILE_READLINK, cis_p2_fs_readlink,
       "Target of a symbolic link."),
    FS("remove-directory-at", SELF ", string) -> result<_" E, FILE_PATH, cis_p2_fs_rmdir,
       "Removes an empty directory."),
    FS("rename-at", SELF ", string, " TO ") -> result<_" E, FILE_RENAME, cis_p2_fs_rename,
       "Renames a path."),
    FS("symlink-at", SELF ", string, string) -> result<_" E, FILE_SYMLINK, cis_p2_fs_symlink,
       "Makes a symbolic link."),
    FS("unlink-file-at", SELF ", string) -> result<_" E, FILE_PATH, cis_p2_fs_unlink,
       "Removes a file."),
    FS("is-same-object", SELF ", borrow<descriptor>) -> bool", SAME, cis_p2_fs_same,
       "Do both name one file?"),
    FS("metadata-hash", SELF ") -> result<" HASH E, FILE_HASH, cis_p2_fs_hash,
       "Changes when the file does."),
    FS("metadata-hash-at", SELF ", " PATH ") -> result<" HASH E, FILE_HASH_AT, cis_p2_fs_hash_at,
       "The same of a path."),
    FREE(TYPES, "[method]directory-entry-stream.read-directory-entry",
         OF("directory-entry-stream") ") -> result<option<record{type:" TYPE ",name:string}>" E,
         FILE_ENTRY, cis_p2_fs_entry, "The next entry."),
    FREE(TYPES, "filesystem-error-code", OF("error") ") -> option<" CODE ">", FILE_ERROR,
         cis_p2_fs_error, "The code behind a stream's error."),
};
#undef E

#define TABLE(rows_)                                                                               \
    {                                                                                              \
        .abi = "wasi", .version = "0.2.12", .rows = (rows_),                                       \
        .nrows = sizeof(rows_) / sizeof *(rows_)                                                   \
    }
static const struct cis_iface_table io_table = TABLE(io_rows), clock_table = TABLE(clock_rows),
                                    random_table = TABLE(random_rows), cli_table = TABLE(cli_rows),
                                    fs_table = TABLE(fs_rows);
static const struct cis_iface_table *const tables[] = {
    &io_table,         &clock_table,       &random_table,         &cli_table,
    &fs_table,         &cis_p2_http_table, &cis_p2_network_table, &cis_p2_names_table,
    &cis_p2_tcp_table, &cis_p2_udp_table,  &cis_p2_timezone_table};

static const struct cis_iface_resource resources[] = {
    {"wasi:", "error", P2_ERROR, cis_p2_drop, cis_p2_is},
    {"wasi:", "pollable", P2_POLLABLE, cis_p2_drop, cis_p2_is},
    {"wasi:", "input-stream", P2_INPUT, cis_p2_drop, cis_p2_is},
    {"wasi:", "output-stream", P2_OUTPUT, cis_p2_drop, cis_p2_is},
    {"wasi:", "descriptor", P2_DESCRIPTOR, cis_p2_drop, cis_p2_is},
    {"wasi:", "directory-entry-stream", P2_DIR_STREAM, cis_p2_drop, cis_p2_is},
    {"wasi:", "terminal-input", P2_TERMINAL_IN, cis_p2_drop, cis_p2_is},
    {"wasi:", "terminal-output", P2_TERMINAL_OUT, cis_p2_drop, cis_p2_is},
    {"wasi:", "io-error", P2_ERROR, cis_p2_drop, cis_p2_is}, /* as wasi:http calls it */
    {"wasi:", "fields", P2_FIELDS, cis_p2_drop, cis_p2_is},
    {"wasi:", "headers", P2_FIELDS, cis_p2_drop, cis_p2_is},
    {"wasi:", "trailers", P2_FIELDS, cis_p2_drop, cis_p2_is},
    {"wasi:", "incoming-request", P2_IN_REQUEST, cis_p2_drop, cis_p2_is},
    {"wasi:", "outgoing-request", P2_OUT_REQUEST, cis_p2_drop, cis_p2_is},
    {"wasi:", "request-options", P2_REQUEST_OPTIONS, cis_p2_drop, cis_p2_is},
    {"wasi:", "response-outparam", P2_OUTPARAM, cis_p2_drop, cis_p2_is},
    {"wasi:", "incoming-response", P2_IN_RESPONSE, cis_p2_drop, cis_p2_is},
    {"wasi:", "incoming-body", P2_IN_BODY, cis_p2_drop, cis_p2_is},
    {"wasi:", "future-trailers", P2_FUTURE_TRAILERS, cis_p2_drop, cis_p2_is},
    {"wasi:", "outgoing-response", P2_OUT_RESPONSE, cis_p2_drop, cis_p2_is},
    {"wasi:", "outgoing-body", P2_OUT_BODY, cis_p2_drop, cis_p2_is},
    {"wasi:", "future-incoming-response", P2_FUTURE_RESPONSE, cis_p2_drop, cis_p2_is},
    {"wasi:", "network", P2_NETWORK, cis_p2_drop, cis_p2_is},
    {"wasi:", "tcp-socket", P2_TCP, cis_p2_drop, cis_p2_is},
    {"wasi:", "udp-socket", P2_UDP, cis_p2_drop, cis_p2_is},
    {"wasi:", "incoming-datagram-stream", P2_UDP_IN, cis_p2_drop, cis_p2_is},
    {"wasi:", "outgoing-datagram-stream", P2_UDP_OUT, cis_p2_drop, cis_p2_is},
    {"wasi:", "resolve-address-stream", P2_LOOKUP, cis_p2_drop, cis_p2_is},
};

const char *cis_p2_kind_name(uint32_t kind)
{
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        if (resources[i].kind == kind) {
            return resources[i].name;
        }
    }
    return "resource";
}

const struct cis_iface_table *const *cis_wasi_p2_tables(size_t *out_n)
{
    *out_n = sizeof tables / sizeof *tables;
    return tables;
}

/* "wasi:io/poll@0.2.3" → "wasi:io/poll", when its version is one that is served. */
bool cis_p2_served(struct cis_str *interface)
{
    struct cis_str version = *interface, name;
    uint64_t minor;
    static const char prefix[] = "0.2.";
    if (interface->len < 5 || memcmp(interface->ptr, "wasi:", 5) != 0 ||
        !cis_str_split(&version, '@', &name) || version.len < sizeof prefix ||
        memcmp(version.ptr, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    struct cis_str digits = {version.ptr + sizeof prefix - 1, version.len - (sizeof prefix - 1)};
    *interface = name;
    return cis_str_u64(digits, &minor) && minor <= CIS_WASI_P2_MINOR;
}

const struct cis_ifacefn *cis_wasi_p2_function(struct cis_str interface, struct cis_str name)
{
    if (!cis_p2_served(&interface)) {
        return NULL;
    }
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_ifacefn *row = &tables[t]->rows[i];
            if (cis_str_is(name, row->name) && cis_str_is(interface, row->interface)) {
                return row;
            }
        }
    }
    return NULL;
}

const struct cis_iface_resource *cis_wasi_p2_resource(struct cis_str interface, struct cis_str name)
{
    bool ours = cis_p2_served(&interface);
    for (size_t i = 0; ours && i < sizeof resources / sizeof *resources; i++) {
        if (cis_str_is(name, resources[i].name)) {
            return &resources[i];
        }
    }
    return NULL;
}

bool cis_wasi_p2_too_new(struct cis_str interface)
{
    struct cis_str version = interface, name;
    return interface.len > 5 && memcmp(interface.ptr, "wasi:", 5) == 0 &&
           cis_str_split(&version, '@', &name) && version.len >= 3 &&
           memcmp(version.ptr, "0.", 2) == 0 && version.ptr[2] >= '3';
}
