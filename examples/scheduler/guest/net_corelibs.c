/* net.h over scheduler:core-libs/wasi-tcp, whose calls wait by themselves: one request at a time.
 */
#include <stdlib.h>
#include <string.h>
#include "corelibs_in.h"
#include "text.h"

struct socket_corelibs {
    struct net_socket is;
    handle socket;
};

static enum net_error error_at(const union corelibs_result *r, size_t at)
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

enum net_error net_open(bool v6, struct net_socket **out)
{
    union corelibs_result r;
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
    union corelibs_result r;
    tcp_bind(of(s)->socket, network(), CORELIBS_FLAT(at), &r);
    return error_at(&r, 1);
}

enum net_error net_connect(struct net_socket *s, const struct net_address *to)
{
    union corelibs_result r;
    tcp_connect(of(s)->socket, network(), CORELIBS_FLAT(to), &r);
    return error_at(&r, 1);
}

enum net_error net_connected(struct net_socket *s)
{
    (void)s;
    return NET_OK;
}

enum net_error net_send(struct net_socket *s, const char *at, size_t n, size_t *out_sent)
{
    union corelibs_result r;
    tcp_send(of(s)->socket, at, n, &r);
    enum net_error e = error_at(&r, 8);
    *out_sent = e == NET_OK ? (size_t)r.d[1] : 0;
    return e;
}

enum net_error net_receive(struct net_socket *s, char *at, size_t n, size_t *out_got)
{
    union corelibs_result r;
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

enum net_error net_resolve(const char *name, struct net_address *out)
{
    bool local = strcmp(name, "localhost") == 0; /* core-libs looks up no names */
    if (local) {
        *out = (struct net_address){.ip = {127, 0, 0, 1}};
    }
    return local ? NET_OK : NET_NO_NAME;
}
