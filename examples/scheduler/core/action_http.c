/* Actions that are HTTP requests over net.h, or over https.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "action.h"
#include "https.h"

#define REQUEST_MAX ((size_t)4 << 20)
#define NAMES_MAX 1000

/* What follows from an action and its values: the same as long as they are. */
struct made {
    const struct action_def *def;
    json_t *with;
    const char *target, *bind; /* of it */
    bool keep;
    struct url url;
    char *body; /* of the request, where it was made */
    struct text request;
    struct net_address peer;
};

/* A connection that is kept (NULL: an action has it), and what was sent over it last. */
struct session {
    struct net_socket *socket;
    struct made made;
};

enum stage { CONNECTING, SENDING, RECEIVING, EXCHANGING, OVER };

struct action {
    enum stage stage;
    const char *method;
    struct session **session;
    struct net_socket *socket;
    struct made made;
    struct request is;
    size_t sent;
    struct https *https;
    struct response response;
    bool reused, answered; /* answered: a byte has come */
    uint64_t deadline;
    struct outcome outcome;
};

static void made_done(struct made *m)
{
    json_decref(m->with);
    free(m->body);
    url_done(&m->url);
    text_done(&m->request);
    *m = (struct made){0};
}

void session_free(struct session *s)
{
    if (s != NULL) {
        if (s->socket != NULL) {
            net_close(s->socket);
        }
        made_done(&s->made);
        free(s);
    }
}

/* Names that were asked for, for the run. */
static json_t *names;

bool actions_begin(char **out_error)
{
    (void)out_error;
    return true;
}

void actions_end(void)
{
    json_decref(names);
    names = NULL;
}

static enum net_error address_of(const char *host, struct net_address *out)
{
    if (net_address_of(host, out)) {
        return NET_OK;
    }
    json_t *known = json_object_get(names, host);
    if (known != NULL) {
        memcpy(out, json_string_value(known), sizeof *out);
        return NET_OK;
    }
    enum net_error e = net_resolve(host, out);
    if (e == NET_OK) {
        if (names == NULL || json_object_size(names) >= NAMES_MAX) {
            json_decref(names);
            names = json_object();
        }
        json_object_set_new(names, host, json_stringn_nocheck((const char *)out, sizeof *out));
    }
    return e;
}

/* "Failed to send get request to URL: cause". */
static void fail(struct action *a, enum net_error e, const char *cause)
{
    a->outcome.cause = need_text(cause, strlen(cause));
    struct text t = TEXT_INIT(2000);
    text_format(&t, "Failed to send %s request to %.1000s: %s", a->method, a->made.target, cause);
    a->outcome.error = text_take(&t);
    a->outcome.net = e;
    a->stage = OVER;
}

static void fail_net(struct action *a, enum net_error e, const char *what)
{
    struct text t = TEXT_INIT(600);
    text_format(&t, "%s: %s", what, net_error_text(e));
    fail(a, e, t.at);
    text_done(&t);
}

static void fail_peer(struct action *a, enum net_error e)
{
    struct text t = TEXT_INIT(600);
    text_format(&t, a->made.url.v6 ? "Failed to connect to [%s]:%u" : "Failed to connect to %s:%u",
                a->made.url.host, a->made.url.port);
    a->outcome.failure = FAILED_CONNECT;
    fail_net(a, e, t.at);
    text_done(&t);
}

/* The body as text: a string as it is, anything else as JSON. */
static void put_body(const json_t *with, struct request *r, char **out_owned)
{
    const json_t *body = json_object_get(with, "body");
    *out_owned = NULL;
    if (body == NULL) {
        return;
    }
    r->has_body = true;
    if (json_is_string(body)) {
        r->body = json_string_value(body);
        r->body_len = json_string_length(body);
        return;
    }
    *out_owned = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    r->body = *out_owned != NULL ? *out_owned : "";
    r->body_len = strlen(r->body);
}

static void make_request(struct action *a, const json_t *with)
{
    a->is = (struct request){.method = a->method,
                             .url = &a->made.url,
                             .keep = a->made.keep,
                             .headers = json_object_get(with, "headers")};
    put_body(with, &a->is, &a->made.body);
}

static void begin_https(struct action *a)
{
    const char *why =
        "an HTTPS request cannot have an address of its own (bind_ip): the host sends it";
    if (a->made.bind == NULL) {
        a->https = https_begin(&a->is, &why);
    }
    if (a->https != NULL) {
        a->stage = EXCHANGING;
    } else {
        fail(a, NET_OK, why);
    }
}

static bool connect_new(struct action *a)
{
    enum net_error e = net_open(a->made.peer.v6, &a->socket);
    if (e != NET_OK) {
        fail_net(a, e, "Failed to create a socket");
        return false;
    }
    if (a->made.bind != NULL) {
        struct net_address from;
        e = net_address_of(a->made.bind, &from) ? net_bind(a->socket, &from) : NET_INVALID;
        if (e != NET_OK) {
            struct text t = TEXT_INIT(600);
            text_format(&t, "Failed to bind to %.300s", a->made.bind);
            a->outcome.failure = FAILED_BIND;
            fail_net(a, e, t.at);
            text_done(&t);
            return false;
        }
    }
    a->stage = CONNECTING;
    e = net_connect(a->socket, &a->made.peer);
    if (e == NET_OK) {
        a->stage = SENDING;
    } else if (e != NET_AGAIN) {
        fail_peer(a, e);
        return false;
    }
    return true;
}

static void reuse(struct action *a, struct session *s)
{
    a->socket = s->socket;
    s->socket = NULL;
    a->reused = true;
    a->stage = SENDING;
}

/* The connection that the user kept, when it leads to the same place. */
static bool take_kept(struct action *a)
{
    struct session *s = *a->session;
    const struct made *m = &a->made;
    if (s == NULL) {
        return false;
    }
    *a->session = NULL;
    bool same = s->socket != NULL && memcmp(&s->made.peer, &m->peer, sizeof m->peer) == 0 &&
                (s->made.bind == NULL) == (m->bind == NULL) &&
                (m->bind == NULL || strcmp(s->made.bind, m->bind) == 0);
    if (same) {
        reuse(a, s);
    }
    session_free(s);
    return same;
}

/* The very values that the user's last action had: all that follows from them is there. */
static bool take_made(struct action *a, const struct action_def *def, const json_t *with)
{
    struct session *s = *a->session;
    if (s == NULL || s->socket == NULL || s->made.def != def || s->made.with != with) {
        return false;
    }
    a->made = s->made;
    s->made = (struct made){0};
    reuse(a, s);
    return true;
}

static void begin(struct action *a, const json_t *with)
{
    if (a->made.target == NULL) {
        a->made.target = "";
        fail(a, NET_OK, "missing `with.url`");
        return;
    }
    const char *why = url_parse(a->made.target, &a->made.url);
    if (why != NULL) {
        a->outcome.failure = FAILED_URL;
        fail(a, NET_OK, why);
        return;
    }
    make_request(a, with);
    if (a->made.url.tls) {
        begin_https(a);
        return;
    }
    why = request_write(&a->is, &a->made.request);
    if (why != NULL) {
        fail(a, NET_OK, why);
        return;
    }
    enum net_error e = address_of(a->made.url.host, &a->made.peer);
    a->made.peer.port = a->made.url.port;
    if (e != NET_OK) {
        fail_peer(a, e);
    } else if (!take_kept(a)) {
        connect_new(a);
    }
}

struct action *action_begin(const struct action_def *def, const json_t *with, uint64_t now,
                            struct session **session)
{
    struct action *a = need(sizeof *a);
    *a = (struct action){.method = def->call, .session = session, .deadline = now + def->timeout};
    response_init(&a->response, strcasecmp(def->call, "head") == 0);
    if (!take_made(a, def, with)) {
        a->made = (struct made){.def = def,
                                .with = json_incref((json_t *)(uintptr_t)with),
                                .target = json_string_value(json_object_get(with, "url")),
                                .bind = json_string_value(json_object_get(with, "bind_ip")),
                                .keep = json_is_true(json_object_get(with, "keep_alive")),
                                .request = TEXT_INIT(REQUEST_MAX)};
        begin(a, with);
    }
    return a;
}

/* A kept connection that had ended before it was used is made anew, once. */
static bool again(struct action *a)
{
    if (!a->reused || a->answered) {
        return false;
    }
    a->reused = false;
    a->sent = 0;
    net_close(a->socket);
    a->socket = NULL;
    connect_new(a);
    return true;
}

static void answered(struct action *a)
{
    struct response *r = &a->response;
    struct made *m = &a->made;
    a->outcome.status = r->status;
    a->outcome.body_len = r->body_len;
    a->outcome.body_kept = r->body.len;
    a->outcome.body = text_take(&r->body);
    a->outcome.from = m->bind != NULL ? need_text(m->bind, strlen(m->bind)) : NULL;
    a->stage = OVER;
    if (m->keep && r->keep && a->socket != NULL) {
        struct session *s = *a->session;
        if (s == NULL) {
            s = *a->session = need(sizeof *s);
        }
        *s = (struct session){a->socket, *m}; /* what it had was taken when the action began */
        a->socket = NULL;
        *m = (struct made){0};
    }
}

/* true: there is more to do at once. No answer is there when the last byte has just been sent. */
static bool send_some(struct action *a)
{
    size_t n = 0;
    enum net_error e =
        net_send(a->socket, a->made.request.at + a->sent, a->made.request.len - a->sent, &n);
    a->sent += n;
    if (e == NET_AGAIN) {
        return n > 0;
    }
    if (e != NET_OK && !again(a)) {
        fail(a, e, net_error_text(e));
    } else if (e == NET_OK && a->sent == a->made.request.len) {
        a->stage = RECEIVING;
        return false;
    }
    return true;
}

static void take_response(struct action *a)
{
    if (a->response.state == RESPONSE_BAD) {
        struct text t = TEXT_INIT(200);
        text_format(&t, "%s (%llu bytes)", a->response.problem,
                    (unsigned long long)a->response.body_len);
        fail(a, NET_OK, a->answered ? t.at : a->response.problem);
        text_done(&t);
    } else if (a->response.state == RESPONSE_DONE) {
        answered(a);
    }
}

static bool exchange(struct action *a)
{
    enum net_error e = https_step(a->https, &a->response);
    a->answered = a->response.status != 0;
    if (e == NET_OK) {
        take_response(a);
    } else if (e != NET_AGAIN) {
        fail_peer(a, e);
    }
    return e != NET_AGAIN;
}

static bool receive_some(struct action *a)
{
    char buffer[16384];
    size_t n, used;
    enum net_error e = net_receive(a->socket, buffer, sizeof buffer, &n);
    if (e == NET_AGAIN) {
        return false;
    }
    if ((e != NET_OK || n == 0) && again(a)) {
        return true;
    }
    if (e != NET_OK) {
        fail(a, e, net_error_text(e));
        return true;
    }
    if (n == 0) {
        response_end(&a->response);
    } else {
        a->answered = true;
        response_feed(&a->response, buffer, n, &used);
        a->response.keep = a->response.keep && used == n;
    }
    take_response(a);
    return true;
}

static bool connected(struct action *a)
{
    enum net_error e = net_connected(a->socket);
    if (e == NET_AGAIN) {
        return false;
    }
    if (e != NET_OK) {
        fail_peer(a, e);
    } else {
        a->stage = SENDING;
    }
    return true;
}

bool action_step(struct action *a, uint64_t now, struct outcome *out)
{
    bool went = true;
    while (went && a->stage != OVER) {
        went = a->stage == CONNECTING   ? connected(a)
               : a->stage == SENDING    ? send_some(a)
               : a->stage == EXCHANGING ? exchange(a)
                                        : receive_some(a);
    }
    if (a->stage != OVER && now >= a->deadline) {
        fail(a, NET_TIMEOUT, net_error_text(NET_TIMEOUT));
    }
    if (a->stage != OVER) {
        return false;
    }
    *out = a->outcome;
    a->outcome = (struct outcome){0};
    return true;
}

struct net_socket *action_socket(const struct action *a)
{
    return a->https != NULL ? https_socket(a->https) : a->socket;
}

uint64_t action_deadline(const struct action *a)
{
    return a->deadline;
}

void action_free(struct action *a)
{
    if (a->socket != NULL) {
        net_close(a->socket);
    }
    if (a->https != NULL) {
        https_free(a->https);
    }
    outcome_done(&a->outcome);
    made_done(&a->made);
    response_done(&a->response);
    free(a);
}
