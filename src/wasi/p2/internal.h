/* Inside wasi/p2/: the table of what handles name, and the steps that handlers share. */
#ifndef CIS_WASI_P2_INTERNAL_H
#define CIS_WASI_P2_INTERNAL_H

#include "host/op.h"
#include "host/stream.h"
#include "vfs/walk.h"
#include "wasi/p2/p2.h"

/* Resource kinds, the numbers that the engine knows them by. */
enum p2_kind {
    P2_FREE,
    P2_ERROR,
    P2_POLLABLE,
    P2_INPUT,
    P2_OUTPUT,
    P2_DESCRIPTOR,
    P2_DIR_STREAM,
    P2_TERMINAL_IN,
    P2_TERMINAL_OUT,
    P2_NETWORK,
    P2_TCP, /* sockets are over a source */
    P2_UDP,
    P2_UDP_IN,
    P2_UDP_OUT,
    P2_LOOKUP,
    P2_FIELDS, /* wasi:http from here on (http.h) */
    P2_IN_REQUEST,
    P2_OUT_REQUEST,
    P2_REQUEST_OPTIONS,
    P2_OUTPARAM,
    P2_IN_RESPONSE,
    P2_IN_BODY,
    P2_FUTURE_TRAILERS,
    P2_OUT_RESPONSE,
    P2_OUT_BODY,
    P2_FUTURE_RESPONSE,
    P2_KINDS
};

/* An open file or directory, shared by its descriptor and the streams over it. */
struct p2_file {
    uint32_t refs;
    cis_vfs_file *file; /* NULL: a directory */
    cis_dir *dir;
    bool dir_borrowed;           /* a preopened one */
    struct cis_wasi_p2 *counted; /* among the open files of the run; NULL: a preopened one */
    uint64_t charged;            /* for the directories that it was reached through */
    bool readable, writable;
    uint32_t sync; /* descriptor-flags of it */
};

struct p2_source;
struct p2_fields;
struct p2_message;
struct p2_http_options;

/* INPUT, OUTPUT: over a standard stream, else a source, else a file. POLLABLE: a clock, a standard
 * stream or a source. ERROR: the source that failed, if it was one. */
struct p2_thing {
    uint8_t kind; /* enum p2_kind */
    uint8_t std;  /* INPUT, OUTPUT over a standard stream: its number + 1; 0: none */
    bool append;  /* OUTPUT */
    bool ended;   /* INPUT, OUTPUT over a source: closed, whatever the source says */
    uint32_t next_free;
    uint32_t parent;          /* what it was made of and may not outlive; 0: nothing */
    uint32_t children;        /* entries whose parent this is */
    struct p2_source *source; /* a reference (source.h); NULL: none */
    /* Side by side, not one over the other: what a kind does not have is 0. */
    int error;            /* ERROR: of Linux */
    struct p2_file *file; /* INPUT, OUTPUT, DESCRIPTOR */
    struct {              /* POLLABLE */
        uint64_t at_ns;   /* on the host's monotonic clock; 0: always ready */
        uint8_t stream;   /* number + 1 of a standard stream; 0: none */
        bool writes;
        uint8_t way; /* over a source: enum p2_way */
    } poll;
    struct p2_listing *listing; /* DIR_STREAM */
    struct p2_fields *fields;
    struct p2_message *message;      /* IN_REQUEST, OUT_REQUEST, OUT_RESPONSE */
    struct p2_http_options *options; /* REQUEST_OPTIONS */
    uint64_t offset;   /* INPUT, OUTPUT over a file; UDP_IN, UDP_OUT: which pair it is of; OUTPARAM:
                        * which request */
    uint64_t promised; /* OUTPUT, UDP_OUT: what check-write or check-send last allowed */
};

#define P2_CHUNK ((size_t)64 * 1024) /* most that one read gives and one write is allowed */

struct cis_wasi_p2 {
    struct cis_budget *budget; /* the run's */
    struct p2_thing *at;
    uint32_t nfiles;       /* files and directories that are open, but for preopened ones */
    uint32_t n, cap, free; /* free: rep of a free entry, 0: none; entry 0 is not used */
    uint32_t live;         /* entries that are not free */
    uint64_t charged;
    bool seeded;      /* the seed of insecure-seed was asked for */
    uint64_t seed[2]; /* the same in every answer of one run */
    uint8_t *scratch; /* what reads hand out: P2_CHUNK, or larger for one call */
    size_t scratch_len;
    struct cis_pair *pairs; /* of the last list that was handed out */
    size_t npairs;
    uint32_t *numbers;
    size_t nnumbers;
    struct pollfd *fds; /* of the wait under way */
    size_t nfds;
    uint64_t round;               /* number of that wait */
    uint32_t nexchanges;          /* of HTTP, at once */
    struct p2_exchange *sent;     /* those of them that this run began */
    uint64_t nrequests;           /* that came in, ever */
    struct p2_incoming *incoming; /* the one that is being answered; NULL */
    struct p2_source *busy;       /* those that have something under way */
    size_t nbusy;
};

/* rows.c: is it an interface of WASI in a version that is served? Then without its version. */
bool cis_p2_served(struct cis_str *interface);

extern const struct cis_iface_table cis_p2_timezone_table;

/* table.c */
/* The run's table, made at the first use. */
cis_code cis_p2_of(cis_engine_instance *instance, struct cis_wasi_p2 **out, struct cis_error *err);
/* Is there an entry of this kind? The engine asks for every handle before a handler gets it. */
bool cis_p2_is(cis_engine_instance *instance, uint32_t kind, uint32_t rep);
/* The entry of a handle that a handler was given: of the kind that its row's type says. */
struct p2_thing *cis_p2_at(cis_engine_instance *instance, uint64_t rep);
/* A new entry, zeroed, valid until the next one is made. `parent` is the entry that it is a child
 * of: that one may not be dropped, given away or finished before it. Which resources are children
 * is the standard's word; P2_NO_PARENT: it is nobody's. */
#define P2_NO_PARENT 0u
cis_code cis_p2_new(cis_engine_instance *instance, enum p2_kind kind, uint64_t parent,
                    uint32_t *out_rep, struct p2_thing **out, struct cis_error *err);
/* Host memory that the guest makes us hold; the run ends when it is too much. */
cis_code cis_p2_charge(cis_engine_instance *instance, uint64_t bytes, struct cis_error *err);
/* May another file or directory be opened? wasi_env.files_max of them at once, preopened ones
 * apart.
 */
bool cis_p2_room(cis_engine_instance *instance);
/* cis_p2_new, handed out as the answer. */
cis_code cis_p2_give(cis_engine_instance *instance, enum p2_kind kind, uint64_t parent,
                     struct cis_answer *answer, struct p2_thing **out, struct cis_error *err);
/* May it go? CIS_E_TRAP: it has children. For a handler that takes an owned handle, before anything
 * else is done. */
cis_code cis_p2_alone(cis_engine_instance *instance, uint32_t rep, struct cis_error *err);
/* The entry goes. CIS_E_TRAP: it has children, and stays. */
cis_code cis_p2_drop(cis_engine_instance *instance, uint32_t rep, struct cis_error *err);
/* "input-stream" */
const char *cis_p2_kind_name(uint32_t kind);
void cis_p2_file_unref(struct p2_file *file);
/* Charges what an opened directory keeps, beside what its base does. ENOMEM: that is too much. */
int cis_p2_file_charge(struct p2_file *file, const struct p2_file *base);
/* Buffers of the table for an answer, charged; kept until the next call of theirs. */
cis_code cis_p2_scratch(cis_engine_instance *instance, size_t len, uint8_t **out,
                        struct cis_error *err);
cis_code cis_p2_pairs(cis_engine_instance *instance, size_t n, struct cis_pair **out,
                      struct cis_error *err);
cis_code cis_p2_numbers(cis_engine_instance *instance, size_t n, uint32_t **out,
                        struct cis_error *err);
cis_code cis_p2_fds(cis_engine_instance *instance, size_t n, struct pollfd **out,
                    struct cis_error *err);

/* listing.c */
void cis_p2_listing_free(struct cis_wasi_p2 *table, struct p2_listing *listing);
uint32_t cis_p2_type_of(uint32_t mode); /* as the interface's descriptor-type */

/* errors.c: case of wasi:filesystem's error-code for an errno of Linux. */
uint32_t cis_p2_error_code(int rc);
/* answer->failed with that case. */
static inline cis_code p2_fails(struct cis_answer *answer, int rc)
{
    answer->failed = rc != 0;
    answer->error = rc != 0 ? cis_p2_error_code(rc) : 0;
    return CIS_OK;
}
/* A stream's failure: closed for EPIPE and the end, else an error resource. */
cis_code cis_p2_stream_fails(cis_engine_instance *instance, struct cis_answer *answer, int rc,
                             struct cis_error *err);
cis_code cis_p2_stream_closed(struct cis_answer *answer);

#define P2(name) cis_typed_handler name
P2(cis_p2_error_text);
P2(cis_p2_poll_ready);
P2(cis_p2_poll_block);
P2(cis_p2_poll);
P2(cis_p2_in_read);
P2(cis_p2_in_blocking_read);
P2(cis_p2_in_skip);
P2(cis_p2_in_blocking_skip);
P2(cis_p2_in_subscribe);
P2(cis_p2_out_check);
P2(cis_p2_out_write);
P2(cis_p2_out_blocking_write);
P2(cis_p2_out_flush);
P2(cis_p2_out_blocking_flush);
P2(cis_p2_out_zeroes);
P2(cis_p2_out_blocking_zeroes);
P2(cis_p2_out_splice);
P2(cis_p2_out_blocking_splice);
P2(cis_p2_out_subscribe);
P2(cis_p2_mono_now);
P2(cis_p2_mono_resolution);
P2(cis_p2_mono_instant);
P2(cis_p2_mono_duration);
P2(cis_p2_wall_now);
P2(cis_p2_wall_resolution);
P2(cis_p2_random_bytes);
P2(cis_p2_random_u64);
P2(cis_p2_random_seed);
P2(cis_p2_environment);
P2(cis_p2_arguments);
P2(cis_p2_initial_cwd);
P2(cis_p2_exit);
P2(cis_p2_exit_code);
P2(cis_p2_stdin);
P2(cis_p2_stdout);
P2(cis_p2_stderr);
P2(cis_p2_terminal_stdin);
P2(cis_p2_terminal_stdout);
P2(cis_p2_terminal_stderr);
P2(cis_p2_directories);
P2(cis_p2_fs_read_stream);
P2(cis_p2_fs_write_stream);
P2(cis_p2_fs_append_stream);
P2(cis_p2_fs_advise);
P2(cis_p2_fs_sync_data);
P2(cis_p2_fs_sync);
P2(cis_p2_fs_flags);
P2(cis_p2_fs_type);
P2(cis_p2_fs_set_size);
P2(cis_p2_fs_times);
P2(cis_p2_fs_times_at);
P2(cis_p2_fs_read);
P2(cis_p2_fs_write);
P2(cis_p2_fs_read_directory);
P2(cis_p2_fs_mkdir);
P2(cis_p2_fs_stat);
P2(cis_p2_fs_stat_at);
P2(cis_p2_fs_link);
P2(cis_p2_fs_open);
P2(cis_p2_fs_readlink);
P2(cis_p2_fs_rmdir);
P2(cis_p2_fs_rename);
P2(cis_p2_fs_symlink);
P2(cis_p2_fs_unlink);
P2(cis_p2_fs_same);
P2(cis_p2_fs_hash);
P2(cis_p2_fs_hash_at);
P2(cis_p2_fs_entry);
P2(cis_p2_fs_error);
P2(cis_p2_fields_constructor);
P2(cis_p2_fields_from_list);
P2(cis_p2_fields_get);
P2(cis_p2_fields_set);
P2(cis_p2_fields_append);
P2(cis_p2_fields_entries);
P2(cis_p2_fields_clone);
P2(cis_p2_options_constructor);
P2(cis_p2_future_subscribe);
#undef P2

#define P2(name) cis_structs_handler name
P2(cis_p2_fields_has);
P2(cis_p2_fields_delete);
P2(cis_p2_message_method);
P2(cis_p2_message_set_method);
P2(cis_p2_message_scheme);
P2(cis_p2_message_set_scheme);
P2(cis_p2_message_authority);
P2(cis_p2_message_set_authority);
P2(cis_p2_message_path);
P2(cis_p2_message_set_path);
P2(cis_p2_message_headers);
P2(cis_p2_message_body);
P2(cis_p2_in_request_consume);
P2(cis_p2_out_request_constructor);
P2(cis_p2_out_response_constructor);
P2(cis_p2_out_response_status);
P2(cis_p2_out_response_set_status);
P2(cis_p2_outparam_set);
P2(cis_p2_options_connect);
P2(cis_p2_options_set_connect);
P2(cis_p2_options_first_byte);
P2(cis_p2_options_set_first_byte);
P2(cis_p2_options_between);
P2(cis_p2_options_set_between);
P2(cis_p2_future_response_get);
P2(cis_p2_in_response_status);
P2(cis_p2_in_response_headers);
P2(cis_p2_in_response_consume);
P2(cis_p2_in_body_stream);
P2(cis_p2_in_body_finish);
P2(cis_p2_future_trailers_get);
P2(cis_p2_out_body_stream);
P2(cis_p2_out_body_finish);
P2(cis_p2_http_error_code);
P2(cis_p2_http_handle);
#undef P2

/* rows_http.c */
extern const struct cis_iface_table cis_p2_http_table;

#endif
