/* net.h over wasi:sockets: nothing waits but net_wait. */
#include <stdlib.h>
#include <string.h>
#include "text.h"
#include "wasi.h"

enum waits { FOR_SOCKET, FOR_INPUT, FOR_OUTPUT, KINDS };

struct socket_wasi {
    struct net_socket is;
    handle socket, in, out;
    handle pollables[KINDS]; /* 0: was not asked for yet */
    enum waits waits;
};

static struct socket_wasi *of(struct net_socket *s)
{
    return (struct socket_wasi *)s;
}

static enum net_error error_of(unsigned e)
{
    switch (e) {
    case WASI_ACCESS_DENIED:
        return NET_DENIED;
    case WASI_INVALID_ARGUMENT:
    case WASI_INVALID_STATE:
        return NET_INVALID;
    case WASI_OUT_OF_MEMORY:
    case WASI_NEW_SOCKET_LIMIT:
        return NET_LIMIT;
    case WASI_TIMEOUT:
        return NET_TIMEOUT;
    case WASI_WOULD_BLOCK:
        return NET_AGAIN;
    case WASI_ADDRESS_NOT_BINDABLE:
        return NET_NOT_AVAILABLE;
    case WASI_ADDRESS_IN_USE:
        return NET_IN_USE;
    case WASI_REMOTE_UNREACHABLE:
        return NET_UNREACHABLE;
    case WASI_CONNECTION_REFUSED:
        return NET_REFUSED;
    case WASI_CONNECTION_RESET:
        return NET_RESET;
    case WASI_CONNECTION_ABORTED:
        return NET_ABORTED;
    case WASI_NAME_UNRESOLVABLE:
    case WASI_TEMPORARY_RESOLVER_FAILURE:
    case WASI_PERMANENT_RESOLVER_FAILURE:
        return NET_NO_NAME;
    default:
        return NET_OTHER;
    }
}

/* Of a result whose payload begins at `at`. */
static enum net_error error_at(const union wasi_result *r, size_t at)
{
    return r->b[0] == 0 ? NET_OK : error_of(r->b[at]);
}

static handle network(void)
{
    static handle net;
    if (net == 0) {
        net = instance_network();
    }
    return net;
}

static unsigned pollable(struct net_socket *socket)
{
    struct socket_wasi *s = of(socket);
    handle *p = &s->pollables[s->waits];
    if (*p == 0) {
        *p = s->waits == FOR_SOCKET  ? tcp_subscribe(s->socket)
             : s->waits == FOR_INPUT ? in_subscribe(s->in)
                                     : out_subscribe(s->out);
    }
    return *p;
}

enum net_error net_open(bool v6, struct net_socket **out)
{
    union wasi_result r;
    tcp_create(v6, &r);
    enum net_error e = error_at(&r, 4);
    if (e == NET_OK) {
        struct socket_wasi *s = need(sizeof *s);
        s->socket = r.w[1];
        s->is = (struct net_socket){.ready = true, .pollable = pollable};
        *out = &s->is;
    }
    return e;
}

enum net_error net_bind(struct net_socket *socket, const struct net_address *at)
{
    struct socket_wasi *s = of(socket);
    union wasi_result r;
    tcp_start_bind(s->socket, network(), WASI_FLAT(at), &r);
    enum net_error e = error_at(&r, 1);
    if (e == NET_OK) {
        tcp_finish_bind(s->socket, &r);
        e = error_at(&r, 1);
    }
    while (e == NET_AGAIN) { /* binding takes no time anywhere; the interface allows it to */
        s->waits = FOR_SOCKET;
        pollable_block(pollable(socket));
        tcp_finish_bind(s->socket, &r);
        e = error_at(&r, 1);
    }
    return e;
}

enum net_error net_connect(struct net_socket *socket, const struct net_address *to)
{
    struct socket_wasi *s = of(socket);
    union wasi_result r;
    tcp_start_connect(s->socket, network(), WASI_FLAT(to), &r);
    enum net_error e = error_at(&r, 1);
    return e == NET_OK ? net_connected(socket) : e;
}

enum net_error net_connected(struct net_socket *socket)
{
    struct socket_wasi *s = of(socket);
    union wasi_result r;
    tcp_finish_connect(s->socket, &r);
    enum net_error e = error_at(&r, 4);
    s->waits = FOR_SOCKET;
    if (e == NET_OK) {
        s->in = r.w[1];
        s->out = r.w[2];
    }
    return e;
}

/* A stream-error at 4, or at 8 where the result is aligned to 8. */
static enum net_error stream_error(const union wasi_result *r, size_t at)
{
    if (r->b[at] == 0) {
        drop_error(r->w[at / 4 + 1]);
        return NET_RESET;
    }
    return NET_OK; /* closed */
}

enum net_error net_send(struct net_socket *socket, const char *at, size_t n, size_t *out_sent)
{
    struct socket_wasi *s = of(socket);
    union wasi_result r;
    *out_sent = 0;
    s->waits = FOR_OUTPUT;
    out_check(s->out, &r);
    if (r.b[0] != 0) {
        stream_error(&r, 8);
        return NET_RESET;
    }
    if (r.d[1] == 0) {
        return NET_AGAIN;
    }
    s->waits = n <= r.d[1] ? FOR_INPUT : FOR_OUTPUT;
    n = n < r.d[1] ? n : (size_t)r.d[1];
    out_write(s->out, at, n, &r);
    if (r.b[0] != 0) {
        stream_error(&r, 4);
        return NET_RESET;
    }
    *out_sent = n;
    return NET_OK;
}

enum net_error net_receive(struct net_socket *socket, char *at, size_t n, size_t *out_got)
{
    struct socket_wasi *s = of(socket);
    union wasi_result r;
    *out_got = 0;
    s->waits = FOR_INPUT;
    in_read(s->in, n, &r);
    if (r.b[0] != 0) {
        return stream_error(&r, 4);
    }
    char *data = (char *)r.w[1];
    size_t len = r.w[2];
    if (len == 0) {
        return NET_AGAIN;
    }
    memcpy(at, data, len < n ? len : n);
    guest_free(data);
    *out_got = len < n ? len : n;
    return NET_OK;
}

void net_close(struct net_socket *socket)
{
    struct socket_wasi *s = of(socket);
    for (int i = 0; i < KINDS; i++) {
        if (s->pollables[i] != 0) {
            drop_pollable(s->pollables[i]);
        }
    }
    if (s->in != 0) {
        drop_in(s->in);
        drop_out(s->out);
    }
    drop_tcp(s->socket);
    free(s);
}

enum net_error net_resolve(const char *name, struct net_address *out)
{
    union wasi_result r;
    resolve_addresses(network(), name, strlen(name), &r);
    enum net_error e = error_at(&r, 4);
    if (e != NET_OK) {
        return e;
    }
    handle lookup = r.w[1], wait = resolve_subscribe(lookup);
    do { /* result<option<ip-address>, _>: option at 2, its case at 4, its parts at 6 */
        pollable_block(wait);
        resolve_next(lookup, &r);
        e = error_at(&r, 2);
    } while (e == NET_AGAIN);
    drop_pollable(wait);
    drop_lookup(lookup);
    if (e != NET_OK) {
        return e;
    }
    if (r.b[2] == 0) {
        return NET_NO_NAME;
    }
    *out = (struct net_address){.v6 = r.b[4] != 0};
    for (int i = 0; i < 8; i++) {
        if (out->v6) {
            out->ip[2 * i] = (uint8_t)(r.h[3 + i] >> 8);
            out->ip[2 * i + 1] = (uint8_t)r.h[3 + i];
        } else if (i < 4) {
            out->ip[i] = r.b[6 + i];
        }
    }
    return NET_OK;
}
