/* Inside wasi/p2/: wasi:http's resources. What handles name are fields, messages (requests and
 * responses that are being put together), options; and over sources (source.h): an exchange, which
 * the future of its response, the response, its body and that body's stream share, and the body of
 * a request, which may be written before there is an exchange for it.
 *
 * An exchange ends when nobody is left who could read its response; then the request's body is cut,
 * and its stream closed. A body that is dropped unfinished takes its exchange along. What is no
 * child of another (table.c) may be dropped in any order. */
#ifndef CIS_WASI_P2_HTTP_H
#define CIS_WASI_P2_HTTP_H

#include "cis/service.h"
#include "wasi/p2/held.h"
#include "wasi/p2/source.h"

#define P2_FIELDS_MAX 16384u       /* of one set */
#define P2_HTTP_EXCHANGES_MAX 128u /* of a run, at once */

/* ---- values, as the texts in rows_http.c have them ---- */
struct http_text_option {
    bool has;
    struct cis_str text;
};
struct http_case { /* method, scheme */
    uint32_t is;
    struct cis_str other;
};
enum { HTTP_METHOD_OTHER = 9, HTTP_SCHEME_HTTP = 0, HTTP_SCHEME_HTTPS, HTTP_SCHEME_OTHER };
struct http_scheme_option {
    bool has;
    struct http_case scheme;
};
struct http_time_option {
    bool has;
    uint64_t ns;
};
struct http_rep_option {
    bool has;
    uint32_t rep;
};
struct http_field_size {
    struct http_text_option name;
    struct {
        bool has;
        uint32_t n;
    } size;
};
struct http_error { /* error-code; zero besides `is`: every option none */
    uint32_t is;    /* enum cis_http_fault - 1 */
    union {
        struct {
            struct http_text_option rcode;
            struct {
                bool has;
                uint16_t n;
            } info;
        } dns;
        struct {
            struct {
                bool has;
                uint8_t n;
            } id;
            struct http_text_option message;
        } alert;
        struct {
            bool has;
            uint64_t n;
        } bytes; /* HTTP-request-body-size and others of u64 */
        struct {
            bool has;
            struct http_field_size field;
        } header;
        struct http_field_size trailer;
        struct http_text_option text;
    };
};
struct http_done { /* result */
    bool failed;
};
struct http_made { /* result<own<…>> */
    bool failed;
    uint32_t rep;
};
struct http_done_error { /* result<_, error-code> */
    bool failed;
    struct http_error error;
};
struct http_made_error { /* result<own<…>, error-code> */
    bool failed;
    union {
        uint32_t rep;
        struct http_error error;
    };
};

/* ---- arguments and results, for the rows and for their handlers ---- */
struct http_named {
    uint32_t self;
    struct cis_str name;
};
struct http_header_done { /* result<_, header-error> */
    bool failed;
    uint32_t error;
};
struct http_set_method {
    uint32_t self;
    struct http_case method;
};
struct http_set_scheme {
    uint32_t self;
    struct http_scheme_option scheme;
};
struct http_set_text {
    uint32_t self;
    struct http_text_option text;
};
struct http_set_time {
    uint32_t self;
    struct http_time_option time;
};
struct http_set_status {
    uint32_t self;
    uint16_t status;
};
struct http_finish {
    uint32_t self;
    struct http_rep_option trailers;
};
struct http_outparam {
    uint32_t self;
    struct http_made_error response;
};
struct http_got_response { /* option<result<result<own<incoming-response>, error-code>>> */
    bool has;
    struct {
        bool failed;
        struct http_made_error inner;
    } outer;
};
struct http_got_trailers { /* option<result<result<option<own<trailers>>, error-code>>> */
    bool has;
    struct {
        bool failed;
        struct {
            bool failed;
            union {
                struct http_rep_option trailers;
                struct http_error error;
            };
        } inner;
    } outer;
};
struct http_error_option {
    bool has;
    struct http_error error;
};
struct http_handling {
    uint32_t request;
    struct http_rep_option options;
};

/* ---- fields ---- */
struct p2_field {
    char *name, *value; /* one allocation at name; both NUL-terminated */
    uint32_t name_len, value_len;
};
struct p2_fields {
    uint32_t refs;
    bool immutable;
    struct p2_field *at;
    size_t n, cap;
    uint64_t bytes, charged;
};
cis_code cis_p2_fields_new(cis_engine_instance *instance, struct p2_fields **out,
                           struct cis_error *err);
void cis_p2_fields_unref(struct cis_host *host, struct p2_fields *fields);
/* Names and values that a peer sent: already checked. *out_full: more than one set may have. */
cis_code cis_p2_fields_add(cis_engine_instance *instance, struct p2_fields *fields,
                           struct cis_str name, struct cis_str value, bool *out_full,
                           struct cis_error *err);
/* A handle of this set, which takes over the caller's reference. */
cis_code cis_p2_fields_give(cis_engine_instance *instance, struct p2_fields *fields,
                            uint32_t parent, uint32_t *out_rep, struct cis_error *err);
/* What an owned handle among the arguments named, which has no children; the entry is gone. */
cis_code cis_p2_fields_take(cis_engine_instance *instance, uint32_t rep, struct p2_fields **out,
                            struct cis_error *err);
/* content-length: UINT64_MAX when there is none; false: not a number, or two of them. */
bool cis_p2_fields_length(const struct p2_fields *fields, uint64_t *out_length);

/* ---- bodies of requests and responses that are written ---- */
struct p2_out_body {
    struct p2_source source;
    struct p2_exchange *x; /* no reference; NULL: not yet, or no longer */
    struct p2_held held;   /* what was written before there was an exchange, or room in it */
    uint64_t length;       /* UINT64_MAX: not known */
    uint64_t written, charged;
    bool streamed;       /* its stream was taken */
    bool finished, told; /* ended by the guest, and said so to the exchange */
    bool cut;            /* nobody takes it any more */
    bool flushing;
    bool unwanted; /* the answer is there, and the peer takes no more of the body */
    bool answers;  /* of a response */
    enum cis_http_fault fault;
    struct p2_fields *trailers;
};
cis_code cis_p2_out_body_new(cis_engine_instance *instance, uint64_t length, bool answers,
                             struct p2_out_body **out, struct cis_error *err);
/* What waits here goes to the exchange, as far as there is room. After a look. */
void cis_p2_out_body_push(struct p2_out_body *body);
void cis_p2_out_body_cut(struct p2_out_body *body);

/* ---- messages ---- */
struct p2_message {
    struct http_case method; /* other: owned */
    struct http_scheme_option scheme;
    char *authority, *path; /* NULL: none */
    struct p2_fields *fields;
    struct p2_out_body *body; /* a reference; NULL: not taken */
    struct p2_exchange *in;   /* of a request that came in: where its body is; a reference */
    uint16_t status;
    uint64_t charged;
};
struct p2_http_options {
    struct http_time_option connect, first_byte, between;
};
void cis_p2_message_free(struct cis_host *host, struct p2_message *message);
/* A request without anything in it, whose fields are these: their reference is the message's,
 * whatever happens. */
cis_code cis_p2_message_new(cis_engine_instance *instance, struct p2_fields *fields,
                            struct p2_message **out, struct cis_error *err);
/* Parts of a request, checked; *out_good false: nothing was changed. */
cis_code cis_p2_message_put_method(cis_engine_instance *instance, struct p2_message *m,
                                   struct http_case method, bool *out_good, struct cis_error *err);
cis_code cis_p2_message_put_scheme(cis_engine_instance *instance, struct p2_message *m,
                                   struct http_scheme_option scheme, bool *out_good,
                                   struct cis_error *err);
cis_code cis_p2_message_put_authority(cis_engine_instance *instance, struct p2_message *m,
                                      struct http_text_option text, bool *out_good,
                                      struct cis_error *err);
cis_code cis_p2_message_put_path(cis_engine_instance *instance, struct p2_message *m,
                                 struct http_text_option text, bool *out_good,
                                 struct cis_error *err);
extern const char *const cis_p2_http_methods[HTTP_METHOD_OTHER];
/* "GET"; of the message. */
const char *cis_p2_message_method_name(const struct p2_message *m);
/* All but what is the host's to send; list has room for fields->n. Returns how many. */
size_t cis_p2_fields_list(const struct p2_fields *fields, struct cis_http_header *list);

/* ---- exchanges ---- */
struct p2_exchange {
    struct p2_source source;
    struct cis_host *host;
    const struct cis_http_service *http;
    void *handle;
    struct cis_http_state state; /* of the last look */
    enum cis_http_fault fault;
    struct p2_out_body *body; /* a reference; NULL: none */
    struct p2_fields *headers;
    bool answered; /* the response was taken */
    bool consumed; /* its body was */
    bool streamed; /* that body's stream was taken */
    bool late;     /* its trailers were */
    bool counted;  /* a refusal was */
    bool sent;     /* by this run, and under way: in the list of those */
    bool left;     /* no longer */
    short events;  /* of state.fd; 0: POLLIN */
    uint64_t charged;
    uint8_t *rest; /* of its body: taken from the handle, and not read yet */
    size_t rest_cap, nrest, rest_at;
    struct p2_exchange *next;
};
/* One over this handle, which takes this much of the host. NULL: there is no room for one. */
struct p2_exchange *cis_p2_exchange_new(struct cis_host *host, const struct cis_http_service *http,
                                        uint64_t bytes);
extern const struct p2_source_ops cis_p2_exchange_ops, cis_p2_out_body_ops;
/* Everything that can be done now. guest NULL: nobody to count a refusal for. */
void cis_p2_exchange_look(cis_engine_instance *instance, struct p2_exchange *x, bool wanted);
/* Bytes of the response from the service, whose word for how many they are is not taken: more than
 * there is room for is a fault of the exchange. */
size_t cis_p2_exchange_take(struct p2_exchange *x, uint8_t *to, size_t cap);
/* Gives the request up. */
void cis_p2_exchange_fail(struct p2_exchange *x, enum cis_http_fault fault);

/* ---- http_keep.c: exchanges that are over before their handles are ---- */
/* It is one of those under way, until it leaves: then without its connection and buffers. */
void cis_p2_exchange_place(struct p2_exchange *x);
void cis_p2_exchange_leave(struct p2_exchange *x);
/* Leaves if all of its response was taken. After a look. */
void cis_p2_exchange_keep(struct p2_exchange *x);
/* Bytes of `rest`, which come before those of the handle. */
size_t cis_p2_exchange_rest(struct p2_exchange *x, uint8_t *to, size_t cap);
void cis_p2_exchange_rest_done(struct p2_exchange *x);
/* Responses that are there in whole, unread or not, make room for another request; false: none. */
bool cis_p2_exchanges_make_room(cis_engine_instance *instance);

/* ---- shared ---- */
void cis_p2_http_error(struct http_error *out, enum cis_http_fault fault);
/* What a service said, which may be an embedder's: a fault that is none becomes one that is. */
enum cis_http_fault cis_p2_http_fault(enum cis_http_fault said);
/* The body of a request or of a response has another size, with how many bytes there were. */
void cis_p2_http_error_size(struct http_error *out, enum cis_http_fault fault, uint64_t bytes);
/* Like cis_budget_charge, but one that fails ends the run with its limit named. */
cis_code cis_p2_http_charge(cis_engine_instance *instance, uint64_t bytes, struct cis_error *err);
/* http_incoming.c: the answer to the request that this handle came with, if it is not over. */
cis_code cis_p2_incoming_answer(cis_engine_instance *instance, uint64_t number,
                                const struct http_made_error *answer, struct cis_error *err);
/* The last handle of an entry of wasi:http is gone. */
void cis_p2_http_let_go(struct cis_host *host, struct p2_thing *thing);

#endif
