/* wasi:http/types and wasi:http/outgoing-handler as rows. */
#include "wasi/p2/http.h"

#define TYPES "wasi:http/types"
#define HANDLER "wasi:http/outgoing-handler"

#define HEADER_ERROR "variant{invalid-syntax,forbidden,immutable}"
#define METHOD "variant{get,head,post,put,delete,connect,options,trace,patch,other(string)}"
#define SCHEME "variant{HTTP,HTTPS,other(string)}"
#define FIELD_SIZE "record{field-name:option<string>,field-size:option<u32>}"
#define ERROR                                                                                      \
    "variant{DNS-timeout,DNS-error(record{rcode:option<string>,info-code:option<u16>}),"           \
    "destination-not-found,destination-unavailable,destination-IP-prohibited,"                     \
    "destination-IP-unroutable,connection-refused,connection-terminated,connection-timeout,"       \
    "connection-read-timeout,connection-write-timeout,connection-limit-reached,"                   \
    "TLS-protocol-error,TLS-certificate-error,"                                                    \
    "TLS-alert-received(record{alert-id:option<u8>,alert-message:option<string>}),"                \
    "HTTP-request-denied,HTTP-request-length-required,HTTP-request-body-size(option<u64>),"        \
    "HTTP-request-method-invalid,HTTP-request-URI-invalid,HTTP-request-URI-too-long,"              \
    "HTTP-request-header-section-size(option<u32>),"                                               \
    "HTTP-request-header-size(option<" FIELD_SIZE ">),"                                            \
    "HTTP-request-trailer-section-size(option<u32>),HTTP-request-trailer-size(" FIELD_SIZE "),"    \
    "HTTP-response-incomplete,HTTP-response-header-section-size(option<u32>),"                     \
    "HTTP-response-header-size(" FIELD_SIZE "),HTTP-response-body-size(option<u64>),"              \
    "HTTP-response-trailer-section-size(option<u32>),HTTP-response-trailer-size(" FIELD_SIZE "),"  \
    "HTTP-response-transfer-coding(option<string>),HTTP-response-content-coding(option<string>),"  \
    "HTTP-response-timeout,HTTP-upgrade-failed,HTTP-protocol-error,loop-detected,"                 \
    "configuration-error,internal-error(option<string>)}"

_Static_assert(CIS_HTTP_INTERNAL - 1 == 38, "faults are the cases of error-code");
_Static_assert(sizeof(struct http_error) == 48, "the largest case is a header's size");

#define SHAPE(n, t, s, h, text)                                                                    \
    {                                                                                              \
        .interface = TYPES, .name = (n), .type = (t), .shape = CIS_SHAPE_##s, .typed = (h),        \
        .denied = -1, .cost = 1, .params = "", .doc = (text)                                       \
    }
#define ROW(n, t, h, args, result, text)                                                           \
    {                                                                                              \
        .interface = TYPES, .name = (n), .type = (t), CIS_STRUCTS(h, args, result), .denied = -1,  \
        .cost = 1, .params = "", .doc = (text)                                                     \
    }

#define FIELDS(n) "[method]fields." n
#define OF(resource, n) "[method]" resource "." n
#define REQUEST(n) OF("outgoing-request", n)
#define INCOMING(n) OF("incoming-request", n)
#define OPTIONS(n) OF("request-options", n)
#define SELF(resource) "func(borrow<" resource ">)"
#define TEXT_OF(resource) SELF(resource) " -> option<string>"
#define SET_TEXT "func(borrow<outgoing-request>, option<string>) -> result"
#define TIME_OF SELF("request-options") " -> option<u64>"
#define SET_TIME "func(borrow<request-options>, option<u64>) -> result"
#define GIVES(resource, what) SELF(resource) " -> result<own<" what ">>"

static const struct cis_ifacefn rows[] = {
    SHAPE("[constructor]fields", "func() -> own<fields>", GET, cis_p2_fields_constructor,
          "An empty set."),
    SHAPE("[static]fields.from-list",
          "func(list<tuple<string,list<u8>>>) -> result<own<fields>, " HEADER_ERROR ">", FIELD_FROM,
          cis_p2_fields_from_list, "A set of these fields."),
    SHAPE(FIELDS("get"), "func(borrow<fields>, string) -> list<list<u8>>", FIELD_GET,
          cis_p2_fields_get, "All values of a name."),
    ROW(FIELDS("has"), "func(borrow<fields>, string) -> bool", cis_p2_fields_has, struct http_named,
        bool, "Is there a field of this name?"),
    SHAPE(FIELDS("set"),
          "func(borrow<fields>, string, list<list<u8>>) -> result<_, " HEADER_ERROR ">", FIELD_SET,
          cis_p2_fields_set, "These values in place of all others of the name."),
    ROW(FIELDS("delete"), "func(borrow<fields>, string) -> result<_, " HEADER_ERROR ">",
        cis_p2_fields_delete, struct http_named, struct http_header_done,
        "Removes all values of a name."),
    SHAPE(FIELDS("append"), "func(borrow<fields>, string, list<u8>) -> result<_, " HEADER_ERROR ">",
          FIELD_APPEND, cis_p2_fields_append, "Adds a field."),
    SHAPE(FIELDS("entries"), SELF("fields") " -> list<tuple<string,list<u8>>>", FIELD_ENTRIES,
          cis_p2_fields_entries, "Names and values in their order."),
    SHAPE(FIELDS("clone"), SELF("fields") " -> own<fields>", CHILD, cis_p2_fields_clone,
          "A copy, which may change."),

    ROW(INCOMING("method"), SELF("incoming-request") " -> " METHOD, cis_p2_message_method, uint32_t,
        struct http_case, "Its method."),
    ROW(INCOMING("path-with-query"), TEXT_OF("incoming-request"), cis_p2_message_path, uint32_t,
        struct http_text_option, "Its path and query."),
    ROW(INCOMING("scheme"), SELF("incoming-request") " -> option<" SCHEME ">",
        cis_p2_message_scheme, uint32_t, struct http_scheme_option, "Its scheme."),
    ROW(INCOMING("authority"), TEXT_OF("incoming-request"), cis_p2_message_authority, uint32_t,
        struct http_text_option, "Host and port."),
    ROW(INCOMING("headers"), SELF("incoming-request") " -> own<fields>", cis_p2_message_headers,
        uint32_t, uint32_t, "Its headers, which cannot be changed."),
    ROW(INCOMING("consume"), GIVES("incoming-request", "incoming-body"), cis_p2_in_request_consume,
        uint32_t, struct http_made, "Its body, once."),

    ROW("[constructor]outgoing-request", "func(own<fields>) -> own<outgoing-request>",
        cis_p2_out_request_constructor, uint32_t, uint32_t, "A GET of \"/\" with these headers."),
    ROW(REQUEST("body"), GIVES("outgoing-request", "outgoing-body"), cis_p2_message_body, uint32_t,
        struct http_made, "Its body, once."),
    ROW(REQUEST("method"), SELF("outgoing-request") " -> " METHOD, cis_p2_message_method, uint32_t,
        struct http_case, "Its method."),
    ROW(REQUEST("set-method"), "func(borrow<outgoing-request>, " METHOD ") -> result",
        cis_p2_message_set_method, struct http_set_method, struct http_done,
        "Any but a method of its own "
        "that is no token."),
    ROW(REQUEST("path-with-query"), TEXT_OF("outgoing-request"), cis_p2_message_path, uint32_t,
        struct http_text_option, "Its path and query."),
    ROW(REQUEST("set-path-with-query"), SET_TEXT, cis_p2_message_set_path, struct http_set_text,
        struct http_done, "Begins with / or ?."),
    ROW(REQUEST("scheme"), SELF("outgoing-request") " -> option<" SCHEME ">", cis_p2_message_scheme,
        uint32_t, struct http_scheme_option, "Its scheme; none is HTTPS."),
    ROW(REQUEST("set-scheme"), "func(borrow<outgoing-request>, option<" SCHEME ">) -> result",
        cis_p2_message_set_scheme, struct http_set_scheme, struct http_done,
        "HTTP and HTTPS can be sent."),
    ROW(REQUEST("authority"), TEXT_OF("outgoing-request"), cis_p2_message_authority, uint32_t,
        struct http_text_option, "Host and port."),
    ROW(REQUEST("set-authority"), SET_TEXT, cis_p2_message_set_authority, struct http_set_text,
        struct http_done, "A host, or a host and a port."),
    ROW(REQUEST("headers"), SELF("outgoing-request") " -> own<fields>", cis_p2_message_headers,
        uint32_t, uint32_t, "Its headers, which cannot be changed."),

    SHAPE("[constructor]request-options", "func() -> own<request-options>", GET,
          cis_p2_options_constructor, "No time limits of its own."),
    ROW(OPTIONS("connect-timeout"), TIME_OF, cis_p2_options_connect, uint32_t,
        struct http_time_option, "For the name and the connection."),
    ROW(OPTIONS("set-connect-timeout"), SET_TIME, cis_p2_options_set_connect, struct http_set_time,
        struct http_done, "0 has passed at once."),
    ROW(OPTIONS("first-byte-timeout"), TIME_OF, cis_p2_options_first_byte, uint32_t,
        struct http_time_option, "For the response's headers."),
    ROW(OPTIONS("set-first-byte-timeout"), SET_TIME, cis_p2_options_set_first_byte,
        struct http_set_time, struct http_done, "The same."),
    ROW(OPTIONS("between-bytes-timeout"), TIME_OF, cis_p2_options_between, uint32_t,
        struct http_time_option, "Between pieces of the response's body."),
    ROW(OPTIONS("set-between-bytes-timeout"), SET_TIME, cis_p2_options_set_between,
        struct http_set_time, struct http_done, "The same."),

    ROW("[static]response-outparam.set",
        "func(own<response-outparam>, result<own<outgoing-response>, " ERROR ">)",
        cis_p2_outparam_set, struct http_outparam, void, "Answers a request that came in."),

    ROW(OF("incoming-response", "status"), SELF("incoming-response") " -> u16",
        cis_p2_in_response_status, uint32_t, uint16_t, "Its status."),
    ROW(OF("incoming-response", "headers"), SELF("incoming-response") " -> own<fields>",
        cis_p2_in_response_headers, uint32_t, uint32_t, "Its headers, which cannot be changed."),
    ROW(OF("incoming-response", "consume"), GIVES("incoming-response", "incoming-body"),
        cis_p2_in_response_consume, uint32_t, struct http_made, "Its body, once."),
    ROW(OF("incoming-body", "stream"), GIVES("incoming-body", "input-stream"),
        cis_p2_in_body_stream, uint32_t, struct http_made, "Its bytes, once."),
    ROW("[static]incoming-body.finish", "func(own<incoming-body>) -> own<future-trailers>",
        cis_p2_in_body_finish, uint32_t, uint32_t, "What comes after it; the rest is thrown away."),
    SHAPE(OF("future-trailers", "subscribe"), SELF("future-trailers") " -> own<pollable>", CHILD,
          cis_p2_future_subscribe, "Ready when the body has ended."),
    ROW(OF("future-trailers", "get"),
        SELF("future-trailers") " -> option<result<result<option<own<fields>>, " ERROR ">>>",
        cis_p2_future_trailers_get, uint32_t, struct http_got_trailers, "Them, once, if any came."),

    ROW("[constructor]outgoing-response", "func(own<fields>) -> own<outgoing-response>",
        cis_p2_out_response_constructor, uint32_t, uint32_t, "A 200 with these headers."),
    ROW(OF("outgoing-response", "status-code"), SELF("outgoing-response") " -> u16",
        cis_p2_out_response_status, uint32_t, uint16_t, "Its status."),
    ROW(OF("outgoing-response", "set-status-code"),
        "func(borrow<outgoing-response>, u16) -> result", cis_p2_out_response_set_status,
        struct http_set_status, struct http_done, "100 to 999."),
    ROW(OF("outgoing-response", "headers"), SELF("outgoing-response") " -> own<fields>",
        cis_p2_message_headers, uint32_t, uint32_t, "Its headers, which cannot be changed."),
    ROW(OF("outgoing-response", "body"), GIVES("outgoing-response", "outgoing-body"),
        cis_p2_message_body, uint32_t, struct http_made, "Its body, once."),

    ROW(OF("outgoing-body", "write"), GIVES("outgoing-body", "output-stream"),
        cis_p2_out_body_stream, uint32_t, struct http_made, "Its stream, once."),
    ROW("[static]outgoing-body.finish",
        "func(own<outgoing-body>, option<own<fields>>) -> result<_, " ERROR ">",
        cis_p2_out_body_finish, struct http_finish, struct http_done_error,
        "Its end, and what comes after it."),

    SHAPE(OF("future-incoming-response", "subscribe"),
          SELF("future-incoming-response") " -> own<pollable>", CHILD, cis_p2_future_subscribe,
          "Ready when the headers are here, or it failed."),
    ROW(OF("future-incoming-response", "get"),
        SELF("future-incoming-response") " -> option<result<result<own<incoming-response>, " ERROR
                                         ">>>",
        cis_p2_future_response_get, uint32_t, struct http_got_response, "The response, once."),
    ROW("http-error-code", "func(borrow<io-error>) -> option<" ERROR ">", cis_p2_http_error_code,
        uint32_t, struct http_error_option, "The code behind a stream's error."),
    {.interface = HANDLER,
     .name = "handle",
     .type = "func(own<outgoing-request>, option<own<request-options>>) -> "
             "result<own<future-incoming-response>, " ERROR ">",
     CIS_STRUCTS(cis_p2_http_handle, struct http_handling, struct http_made_error),
     .denied = -1,
     .cost = 1,
     .params = "",
     .doc = "Sends a request; its body may follow."},
};

const struct cis_iface_table cis_p2_http_table = {
    .abi = "wasi", .version = "0.2.12", .rows = rows, .nrows = sizeof rows / sizeof *rows};
