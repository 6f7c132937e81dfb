/* https.h over wasi:http/outgoing-handler. How many may be under way is the host's: those it has no
 * room for wait until one is over. */
#include "https.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "wasi_http.h"

#define PIECE 16384u

enum stage { TO_BEGIN, SENDING, WAITING, RECEIVING };

struct https {
    struct net_socket is;
    enum stage stage;
    const struct request *request;
    size_t sent;
    handle pollable; /* of the stage; 0: was not asked for yet */
    handle request_body, out, future, response, body, in;
};

static size_t under_way, room = SIZE_MAX;

static struct https *of(struct net_socket *s)
{
    return (struct https *)s;
}

static void drop(handle *h, void (*dropped)(handle))
{
    if (*h != 0) {
        dropped(*h);
        *h = 0;
    }
}
/* An import has no address that C may take. */
#define DROP(name)                                                                                 \
    static void name##_it(handle h)                                                                \
    {                                                                                              \
        name(h);                                                                                   \
    }
DROP(drop_pollable)
DROP(drop_out)
DROP(drop_in)
DROP(drop_out_body)
DROP(drop_body)
DROP(drop_response)
DROP(drop_future)

static unsigned pollable(struct net_socket *s)
{
    struct https *h = of(s);
    if (h->pollable == 0) {
        h->pollable = h->stage == SENDING     ? out_subscribe(h->out)
                      : h->stage == RECEIVING ? in_subscribe(h->in)
                                              : future_subscribe(h->future);
    }
    return h->pollable;
}

static void enter(struct https *h, enum stage stage)
{
    drop(&h->pollable, drop_pollable_it);
    h->stage = stage;
}

/* ---- errors ---- */

/* The text that some cases have, at `at` as an option. */
static void free_text(const union wasi_result *r, size_t at)
{
    if (r->b[at] != 0) {
        guest_free((void *)r->w[at / 4 + 1]);
    }
}

/* An error-code at `at`: its case, and 8 behind it what goes with that. */
static enum net_error error_of(const union wasi_result *r, size_t at, struct response *out)
{
    static const enum net_error reached[] = {
        NET_NO_NAME, NET_NO_NAME,     NET_NO_NAME, NET_UNREACHABLE, NET_DENIED,  NET_UNREACHABLE,
        NET_REFUSED, NET_RESET,       NET_TIMEOUT, NET_TIMEOUT,     NET_TIMEOUT, NET_LIMIT,
        NET_TLS,     NET_CERTIFICATE, NET_TLS,     NET_DENIED};
    unsigned is = r->b[at];
    size_t with = at + 8;
    if (is == 14 || (is == 22 && r->b[with] != 0)) { /* an alert; a record that is optional */
        free_text(r, with + 4);
    } else if (is == 1 || is == 24 || is == 27 || (is >= 30 && is <= 32) || is == 38) {
        free_text(r, with);
    }
    if (is < sizeof reached / sizeof *reached) {
        return reached[is];
    }
    if (is == 33) {
        return NET_TIMEOUT;
    }
    out->state = RESPONSE_BAD;
    out->problem = is < 25    ? "the host cannot send this request"
                   : is == 25 ? "incomplete HTTP response"
                   : is < 36  ? "invalid HTTP response"
                              : "the host could not send the request";
    return NET_OK;
}

static enum net_error bad(struct response *out, const char *why)
{
    out->state = RESPONSE_BAD;
    out->problem = why;
    return NET_OK;
}

/* ---- the request ---- */

static void put_authority(const struct url *url, char *to, size_t n)
{
    const char *form =
        url->v6 ? (url->port_given ? "[%s]:%u" : "[%s]") : (url->port_given ? "%s:%u" : "%s");
    snprintf(to, n, form, url->host, url->port);
}

/* Those that the connection has are the host's. */
static bool is_hosts(const char *name, const char *value, const char *authority)
{
    return strcasecmp(name, "content-length") == 0 || strcasecmp(name, "connection") == 0 ||
           strcasecmp(name, "keep-alive") == 0 ||
           (strcasecmp(name, "host") == 0 && strcmp(value, authority) == 0);
}

static const char *append(handle fields, const char *name, const char *value)
{
    union wasi_result r;
    fields_append(fields, name, strlen(name), value, strlen(value), &r);
    return r.b[0] == 0   ? NULL
           : r.b[1] == 1 ? "a header that the host sets cannot be set in an HTTPS request"
                         : "invalid header";
}

static const char *put_fields(const struct request *r, const char *authority, handle fields)
{
    const char *name, *why = NULL;
    json_t *value;
    char length[24];
    json_object_foreach(r->headers, name, value)
    {
        const char *s = json_string_value(value);
        if (s != NULL && why == NULL && !is_hosts(name, s, authority)) {
            why = append(fields, name, s);
        }
    }
    if (r->has_body && why == NULL) {
        snprintf(length, sizeof length, "%zu", r->body_len);
        why = append(fields, "Content-Length", length);
    }
    return why;
}

static int32_t set_method(handle request, const char *method)
{
    static const char *const methods[] = {HTTP_METHODS};
    char upper[33];
    size_t n = 0, is = 0;
    for (; method[n] != '\0' && n < sizeof upper - 1; n++) {
        upper[n] = method[n] >= 'a' && method[n] <= 'z' ? (char)(method[n] - 32) : method[n];
    }
    upper[n] = '\0';
    while (is < sizeof methods / sizeof *methods && strcmp(methods[is], upper) != 0) {
        is++;
    }
    return request_set_method(request, (int32_t)is, upper, n);
}

/* NULL, or why not. A handle even then. */
static const char *make(const struct request *r, handle *out)
{
    char authority[300];
    put_authority(r->url, authority, sizeof authority);
    handle fields = fields_new();
    const char *why = put_fields(r, authority, fields);
    *out = request_new(fields);
    if (why == NULL && (set_method(*out, r->method) != 0 ||
                        request_set_scheme(*out, 1, HTTP_SCHEME_HTTPS, NULL, 0) != 0 ||
                        request_set_authority(*out, 1, authority, strlen(authority)) != 0 ||
                        request_set_path(*out, 1, r->url->path, strlen(r->url->path)) != 0)) {
        why = "the host does not take this method or URL";
    }
    return why;
}

struct https *https_begin(const struct request *r, const char **out_why)
{
    handle request;
    const char *why = request_check(r);
    if (why == NULL) {
        why = make(r, &request);
        drop_request(request);
    }
    if (why != NULL) {
        *out_why = why;
        return NULL;
    }
    struct https *h = need(sizeof *h);
    *h = (struct https){.is = {.ready = true, .pollable = pollable}, .request = r};
    return h;
}

static enum net_error begin(struct https *h, struct response *out)
{
    union wasi_result r;
    handle request;
    if (under_way >= room) {
        return NET_AGAIN;
    }
    (void)make(h->request, &request); /* which it was before */
    if (h->request->has_body) {
        request_body(request, &r);
        h->request_body = r.w[1];
        body_write(h->request_body, &r);
        h->out = r.w[1];
    }
    http_handle(request, 0, 0, &r);
    if (r.b[0] != 0) {
        drop(&h->out, drop_out_it);
        drop(&h->request_body, drop_out_body_it);
        enum net_error e = error_of(&r, 8, out);
        if (e == NET_LIMIT && under_way > 0) {
            room = under_way;
            return NET_AGAIN;
        }
        return e;
    }
    h->future = r.w[2];
    under_way++;
    enter(h, h->out != 0 ? SENDING : WAITING);
    return NET_OK;
}

/* ---- under way ---- */

static bool send_some(struct https *h)
{
    union wasi_result r;
    size_t left = h->request->body_len - h->sent;
    out_check(h->out, &r);
    bool failed = r.b[0] != 0;
    if (failed && r.b[8] == 0) {
        drop_error(r.w[3]);
    }
    if (!failed && left > 0) {
        if (r.d[1] == 0) {
            return false;
        }
        size_t n = left < r.d[1] ? left : (size_t)r.d[1];
        out_write(h->out, h->request->body + h->sent, n, &r);
        failed = r.b[0] != 0;
        if (failed && r.b[4] == 0) {
            drop_error(r.w[2]);
        }
        h->sent += n;
    }
    if (failed || h->sent == h->request->body_len) { /* what failed, the answer says */
        struct response unused;
        enter(h, WAITING);
        drop(&h->out, drop_out_it);
        body_finish(h->request_body, 0, 0, &r);
        h->request_body = 0;
        if (r.b[0] != 0) {
            (void)error_of(&r, 8, &unused);
        }
    }
    return true;
}

/* option<result<result<incoming-response, error-code>>>: cases at 0, 8 and 16, then it. */
static enum net_error take_answer(struct https *h, struct response *out)
{
    union wasi_result r;
    future_get(h->future, &r);
    if (r.b[0] == 0) {
        return NET_AGAIN;
    }
    if (r.b[8] != 0) {
        return bad(out, "the answer was taken before");
    }
    if (r.b[16] != 0) {
        return error_of(&r, 24, out);
    }
    h->response = r.w[6];
    out->status = response_status(h->response);
    response_consume(h->response, &r);
    h->body = r.w[1];
    body_stream(h->body, &r);
    h->in = r.w[1];
    enter(h, RECEIVING);
    return NET_OK;
}

static enum net_error receive_some(struct https *h, struct response *out)
{
    union wasi_result r;
    in_read(h->in, PIECE, &r);
    if (r.b[0] != 0 && r.b[4] != 0) {
        out->state = RESPONSE_DONE;
        return NET_OK;
    }
    if (r.b[0] != 0) {
        drop_error(r.w[2]);
        return bad(out, "incomplete HTTP response");
    }
    text_put(&out->body, (const char *)r.w[1], r.w[2]);
    out->body_len += r.w[2];
    bool any = r.w[2] > 0;
    guest_free((void *)r.w[1]);
    return any ? NET_OK : NET_AGAIN;
}

enum net_error https_step(struct https *h, struct response *out)
{
    enum net_error e = NET_OK;
    while (e == NET_OK && out->state < RESPONSE_DONE) {
        e = h->stage == TO_BEGIN  ? begin(h, out)
            : h->stage == SENDING ? (send_some(h) ? NET_OK : NET_AGAIN)
            : h->stage == WAITING ? take_answer(h, out)
                                  : receive_some(h, out);
    }
    return e;
}

struct net_socket *https_socket(struct https *h)
{
    return h->stage == TO_BEGIN ? NULL : &h->is;
}

void https_free(struct https *h)
{
    under_way -= h->future != 0;
    drop(&h->pollable, drop_pollable_it);
    drop(&h->out, drop_out_it);
    drop(&h->request_body, drop_out_body_it);
    drop(&h->in, drop_in_it);
    drop(&h->body, drop_body_it);
    drop(&h->response, drop_response_it);
    drop(&h->future, drop_future_it);
    free(h);
}
