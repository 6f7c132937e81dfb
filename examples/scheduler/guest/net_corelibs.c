/* net.h over scheduler:core-libs/wasi-tcp, whose calls wait by themselves: one request at a time.
 */
#include <stdlib.h>
#include <string.h>
#include "corelibs.h"
#include "text.h"

typedef uint32_t handle;
#define TCP(name) GUEST_IMPORT(CORELIBS_TCP, name)
GUEST_IMPORT(CORELIBS_NETWORK, "get-network") handle get_network(void);
TCP("[static]tcp-socket.new") void tcp_new(int32_t family, void *out);
TCP("[resource-drop]tcp-socket") void drop_tcp(handle h);
TCP("[method]tcp-socket.connect")
void tcp_connect(handle h, handle net, CORELIBS_ADDRESS, int32_t port, void *out);
TCP("[method]tcp-socket.bind")
void tcp_bind(handle h, handle net, CORELIBS_ADDRESS, int32_t port, void *out);
TCP("[method]tcp-socket.send") void tcp_send(handle h, const void *at, size_t n, void *out);
TCP("[method]tcp-socket.receive") void tcp_receive(handle h, uint64_t n, void *out);
GUEST_IMPORT("wasi:clocks/monotonic-clock@0.2.12", "now") uint64_t clock_now(void);
GUEST_IMPORT("wasi:clocks/monotonic-clock@0.2.12", "subscribe-instant")
handle clock_subscribe(uint64_t when);
GUEST_IMPORT("wasi:io/poll@0.2.12", "[method]pollable.block") void pollable_block(handle h);
GUEST_IMPORT("wasi:io/poll@0.2.12", "[resource-drop]pollable") void drop_pollable(handle h);

struct socket_corelibs {
    struct net_socket is;
    handle socket;
};

union result {
    uint8_t b[32];
    uint32_t w[8];
    uint64_t d[4];
};

static enum net_error error_at(const union result *r, size_t at)
{
    static const enum net_error errors[] = {
        [CORELIBS_ACCESS_DENIED] = NET_DENIED,
        [CORELIBS_ADDRESS_IN_USE] = NET_IN_USE,
        [CORELIBS_ADDRESS_NOT_AVAILABLE] = NET_NOT_AVAILABLE,
        [CORELIBS_ALREADY_CONNECTED] = NET_INVALID,
        [CORELIBS_CONNECTION_REFUSED] = NET_REFUSED,
        [CORELIBS_CONNECTION_RESET] = NET_RESET,
        [CORELIBS_CONNECTION_ABORTED] = NET_ABORTED,
        [CORELIBS_HOST_UNREACHABLE] = NET_UNREACHABLE,
        [CORELIBS_NETWORK_UNREACHABLE] = NET_UNREACHABLE,
        [CORELIBS_TIMEOUT] = NET_TIMEOUT,
        [CORELIBS_WOULD_BLOCK] = NET_AGAIN,
        [CORELIBS_INVALID_ARGUMENT] = NET_INVALID,
        [CORELIBS_NOT_SUPPORTED] = NET_OTHER,
        [CORELIBS_OUT_OF_MEMORY] = NET_LIMIT,
        [CORELIBS_UNKNOWN] = NET_OTHER,
    };
    return r->b[0] == 0 ? NET_OK : errors[r->b[at]];
}

static struct socket_corelibs *of(struct net_socket *s)
{
    return (struct socket_corelibs *)s;
}

static handle network(void)
{
    static handle net;
    if (net == 0) {
        net = get_network();
    }
    return net;
}

static int32_t part(const struct net_address *a, int i)
{
    return a->v6 ? a->ip[2 * i] << 8 | a->ip[2 * i + 1] : i < 4 ? a->ip[i] : 0;
}
#define FLAT(a)                                                                                    \
    (a)->v6, part((a), 0), part((a), 1), part((a), 2), part((a), 3), part((a), 4), part((a), 5),   \
        part((a), 6), part((a), 7), (a)->port

enum net_error net_open(bool v6, struct net_socket **out)
{
    union result r;
    tcp_new(v6, &r);
    enum net_error e = error_at(&r, 4);
    if (e == NET_OK) {
        struct socket_corelibs *s = need(sizeof *s);
        s->socket = r.w[1];
        s->is.ready = true;
        *out = &s->is;
    }
    return e;
}

enum net_error net_bind(struct net_socket *s, const struct net_address *at)
{
    union result r;
    tcp_bind(of(s)->socket, network(), FLAT(at), &r);
    return error_at(&r, 1);
}

enum net_error net_connect(struct net_socket *s, const struct net_address *to)
{
    union result r;
    tcp_connect(of(s)->socket, network(), FLAT(to), &r);
    return error_at(&r, 1);
}

enum net_error net_connected(struct net_socket *s)
{
    (void)s;
    return NET_OK;
}

enum net_error net_send(struct net_socket *s, const char *at, size_t n, size_t *out_sent)
{
    union result r;
    tcp_send(of(s)->socket, at, n, &r);
    enum net_error e = error_at(&r, 8);
    *out_sent = e == NET_OK ? (size_t)r.d[1] : 0;
    return e;
}

enum net_error net_receive(struct net_socket *s, char *at, size_t n, size_t *out_got)
{
    union result r;
    tcp_receive(of(s)->socket, n, &r);
    enum net_error e = error_at(&r, 4);
    *out_got = 0;
    if (e == NET_OK) {
        size_t len = r.w[2] < n ? r.w[2] : n;
        memcpy(at, (const void *)r.w[1], len);
        guest_free((void *)r.w[1]);
        *out_got = len;
    }
    return e;
}

void net_close(struct net_socket *s)
{
    drop_tcp(of(s)->socket);
    free(s);
}

uint64_t net_now(void)
{
    return clock_now();
}

/* Only for a time: no call leaves something to wait for. */
void net_wait(struct net_socket *const *list, size_t n, uint64_t until)
{
    for (size_t i = 0; i < n; i++) {
        list[i]->ready = true;
    }
    if (n == 0) {
        handle timer = clock_subscribe(until);
        pollable_block(timer);
        drop_pollable(timer);
    }
}

enum net_error net_resolve(const char *name, struct net_address *out)
{
    bool local = strcmp(name, "localhost") == 0; /* core-libs looks up no names */
    if (local) {
        *out = (struct net_address){.ip = {127, 0, 0, 1}};
    }
    return local ? NET_OK : NET_NO_NAME;
}
