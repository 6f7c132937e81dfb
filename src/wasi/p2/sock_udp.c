/* wasi:sockets/udp and udp-create-socket. Each datagram is checked by where it goes. A pair of
 * streams works until the socket is asked for another. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "wasi/p2/sockets.h"

#define DATAGRAMS 16u /* of one call */
#define BYTES_A_FUEL 64u
/* What one call receives into: so that the last one is never cut. */
#define RECEIVE_BYTES ((size_t)2 * CIS_SOCK_DATAGRAM_MAX)

/* ---- the socket ---- */

static void wish(struct p2_source *self, enum p2_way way, struct p2_wish *out)
{
    struct p2_sock *s = (struct p2_sock *)self;
    if (way == P2_STATE || !cis_sock_wish(s->sock, way == P2_WRITES, &out->fd, &out->events)) {
        *out = (struct p2_wish){.fd = -1};
    }
}

static void udp_close(struct cis_host *host, struct p2_source *self, enum p2_way way)
{
    (void)host, (void)way;
    cis_p2_sock_let_go((struct p2_sock *)self);
}

static const struct p2_source_ops ops = {
    .wish = wish, .close = udp_close, .free = cis_p2_sock_free};

cis_code cis_p2_udp_create(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const uint32_t *family = args;
    struct p2_net_one *r = result;
    struct p2_sock *s;
    cis_net *net;
    cis_sock *sock = NULL;
    CIS_TRY(cis_host_net(cis_host_of(instance), &net, err));
    enum cis_sock_code code =
        cis_sock_new(net, CIS_NET_UDP, *family == 0 ? AF_INET : AF_INET6, &sock);
    if (p2_net_failed(instance, code, "udp socket", &r->failed, &r->error)) {
        return CIS_OK;
    }
    CIS_TRY(cis_p2_sock_new(instance, sock, &ops, &s, err));
    cis_code made = cis_p2_sock_hand(instance, s, P2_UDP, P2_NO_PARENT, &r->rep, err);
    cis_p2_source_unref(cis_host_of(instance), &s->base);
    return made;
}

/* ---- streams ---- */

struct stream_args {
    uint32_t self;
    struct p2_maybe_address remote;
};

cis_code cis_p2_udp_stream(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const struct stream_args *a = args;
    struct p2_net_two *r = result;
    struct p2_sock *s = p2_sock_at(instance, a->self);
    struct sockaddr_storage addr;
    if (a->remote.has) {
        cis_p2_address_in(&a->remote.address, &addr);
    }
    enum cis_sock_code code =
        cis_sock_peer(s->sock, a->remote.has ? (const struct sockaddr *)&addr : NULL);
    if (p2_net_failed(instance, code, "udp stream", &r->failed, &r->error)) {
        return CIS_OK;
    }
    s->generation++;
    CIS_TRY(cis_p2_sock_hand(instance, s, P2_UDP_IN, a->self, &r->rep[0], err));
    cis_p2_at(instance, r->rep[0])->offset = s->generation;
    CIS_TRY(cis_p2_sock_hand(instance, s, P2_UDP_OUT, a->self, &r->rep[1], err));
    cis_p2_at(instance, r->rep[1])->offset = s->generation;
    return CIS_OK;
}

/* Of the pair that the socket gave last? */
static bool current(const struct p2_thing *stream)
{
    return stream->offset == ((const struct p2_sock *)stream->source)->generation;
}

static void flat_address(const struct sockaddr_storage *from, struct cis_datagram_address *out)
{
    memset(out, 0, sizeof *out);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        out->family = 4;
        out->port = ntohs(v4->sin_port);
        memcpy(out->ip, &v4->sin_addr, 4);
        return;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
    out->family = 6;
    out->port = ntohs(v6->sin6_port);
    out->flow = ntohl(v6->sin6_flowinfo);
    out->scope = v6->sin6_scope_id;
    memcpy(out->ip, &v6->sin6_addr, 16);
}

/* Datagrams one after the other into `to`; how many. */
static size_t receive_some(cis_sock *sock, size_t most, uint8_t *to, struct cis_pair *items,
                           struct cis_datagram_address *from, enum cis_sock_code *out_code)
{
    size_t n = 0, used = 0, len;
    *out_code = CIS_SOCK_OK;
    while (n < most && RECEIVE_BYTES - used >= CIS_SOCK_DATAGRAM_MAX) {
        struct sockaddr_storage addr;
        *out_code = cis_sock_receive_from(sock, to + used, CIS_SOCK_DATAGRAM_MAX, &len, &addr);
        if (*out_code != CIS_SOCK_OK) {
            break;
        }
        flat_address(&addr, &from[n]);
        items[n].first = cis_bytes_of(to + used, len);
        items[n].second = cis_bytes_of(&from[n], sizeof from[n]);
        used += len;
        n++;
    }
    return n;
}

cis_code cis_p2_udp_receive(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    const struct p2_thing *stream = cis_p2_at(instance, args[0].n);
    struct p2_sock *s = (struct p2_sock *)stream->source;
    size_t most = args[1].n < DATAGRAMS ? (size_t)args[1].n : DATAGRAMS;
    uint8_t *at;
    struct cis_pair *items;
    enum cis_sock_code code;
    if (!current(stream)) {
        return cis_p2_net_answer(instance, CIS_SOCK_STATE, "udp receive", out);
    }
    CIS_TRY(cis_p2_pairs(instance, DATAGRAMS, &items, err));
    CIS_TRY(cis_p2_scratch(
        instance, DATAGRAMS * sizeof(struct cis_datagram_address) + RECEIVE_BYTES, &at, err));
    struct cis_datagram_address *from = (struct cis_datagram_address *)(void *)at;
    size_t n = receive_some(s->sock, most, (uint8_t *)(from + DATAGRAMS), items, from, &code);
    if (n == 0 && code != CIS_SOCK_OK && code != CIS_SOCK_AGAIN) {
        return cis_p2_net_answer(instance, code, "udp receive", out);
    }
    out->items = items;
    out->nitems = n;
    uint64_t bytes =
        n != 0 ? (uint64_t)(items[n - 1].first.ptr + items[n - 1].first.len - items[0].first.ptr)
               : 0;
    return cis_engine_instance_burn(instance, n + bytes / BYTES_A_FUEL, err);
}

cis_code cis_p2_udp_check_send(cis_engine_instance *instance, const struct cis_typed *args,
                               struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *stream = cis_p2_at(instance, args[0].n);
    struct p2_wish w = {.fd = -1};
    (void)err;
    if (!current(stream)) {
        return cis_p2_net_answer(instance, CIS_SOCK_STATE, "udp send", out);
    }
    wish(stream->source, P2_WRITES, &w);
    struct pollfd now = {.fd = w.fd, .events = w.events};
    stream->promised = w.fd < 0 || poll(&now, 1, 0) > 0 ? DATAGRAMS : 0;
    out->n[0] = stream->promised;
    return CIS_OK;
}

static void socket_address(struct cis_bytes flat, struct sockaddr_storage *out)
{
    struct cis_datagram_address from;
    memcpy(&from, flat.ptr, sizeof from);
    memset(out, 0, sizeof *out);
    if (from.family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)from.port);
        memcpy(&v4->sin_addr, from.ip, 4);
        return;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)from.port);
    v6->sin6_flowinfo = htonl(from.flow);
    v6->sin6_scope_id = from.scope;
    memcpy(&v6->sin6_addr, from.ip, 16);
}

cis_code cis_p2_udp_send(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *stream = cis_p2_at(instance, args[0].n);
    struct p2_sock *s = (struct p2_sock *)stream->source;
    size_t n = args[1].nitems, sent = 0, bytes = 0;
    enum cis_sock_code code = CIS_SOCK_OK;
    if (!current(stream)) {
        return cis_p2_net_answer(instance, CIS_SOCK_STATE, "udp send", out);
    }
    if (n > stream->promised) {
        return cis_fail(err, CIS_E_TRAP,
                        "udp: the guest sent %zu datagrams where %llu were permitted", n,
                        (unsigned long long)stream->promised);
    }
    stream->promised = n != 0 ? 0 : stream->promised;
    while (sent < n && code == CIS_SOCK_OK) {
        const struct cis_pair *item = &args[1].items[sent];
        struct sockaddr_storage addr;
        if (item->second.len != 0) {
            socket_address(item->second, &addr);
        }
        code = cis_sock_send_to(s->sock, item->first,
                                item->second.len != 0 ? (const struct sockaddr *)&addr : NULL);
        bytes += item->first.len;
        sent += code == CIS_SOCK_OK;
    }
    CIS_TRY(cis_engine_instance_burn(instance, n + bytes / BYTES_A_FUEL, err));
    if (sent == 0 && code != CIS_SOCK_AGAIN) {
        return cis_p2_net_answer(instance, code, "udp send", out);
    }
    out->n[0] = sent;
    return CIS_OK;
}

cis_code cis_p2_udp_in_subscribe(cis_engine_instance *instance, const struct cis_typed *args,
                                 struct cis_answer *out, struct cis_error *err)
{
    const struct p2_thing *stream = cis_p2_at(instance, args[0].n);
    return cis_p2_give_pollable(instance, args[0].n, current(stream) ? P2_READS : P2_STATE, out,
                                err);
}

cis_code cis_p2_udp_out_subscribe(cis_engine_instance *instance, const struct cis_typed *args,
                                  struct cis_answer *out, struct cis_error *err)
{
    const struct p2_thing *stream = cis_p2_at(instance, args[0].n);
    return cis_p2_give_pollable(instance, args[0].n, current(stream) ? P2_WRITES : P2_STATE, out,
                                err);
}

/* ---- rows ---- */

#define IN "borrow<incoming-datagram-stream>"
#define OUT "borrow<outgoing-datagram-stream>"
#define SHAPED(n, t, s, h, text) P2_SOCK_SHAPED("udp", n, t, s, h, text)

static const struct cis_ifacefn rows[] = {
    P2_SOCK_ROWS("udp", cis_p2_udp_create, "Its peer.", "Ready at once."),
    P2_SOCK_ROW("udp", "stream",
                "func(" P2_SELF("udp") ", option<" P2_NET_ADDRESS ">) -> "
                                       "result<tuple<own<incoming-datagram-stream>,own<outgoing-"
                                       "datagram-stream>>" P2_NET_ERR,
                cis_p2_udp_stream, struct stream_args, struct p2_net_two,
                "Streams of datagrams, of one peer or of all; the pair before is over."),
    P2_SOCK_GET("udp", "unicast-hop-limit", "u8", p2_net_u8, cis_p2_sock_hops,
                "How far its packets go."),
    P2_SOCK_SET("udp", "set-unicast-hop-limit", "u8", p2_self_u8, cis_p2_sock_set_hops, "Sets it."),
    SHAPED("incoming-datagram-stream.receive",
           "func(" IN ", u64) -> result<list<record{data:list<u8>,remote-address:" P2_NET_ADDRESS
           "}>" P2_NET_ERR,
           NET_RECEIVE, cis_p2_udp_receive, "The datagrams that are there, at most 16."),
    SHAPED("incoming-datagram-stream.subscribe", "func(" IN ") -> own<pollable>", CHILD,
           cis_p2_udp_in_subscribe, "Ready when there is one."),
    SHAPED("outgoing-datagram-stream.check-send", "func(" OUT ") -> result<u64" P2_NET_ERR,
           NET_COUNT, cis_p2_udp_check_send, "Datagrams that the next send may have."),
    SHAPED("outgoing-datagram-stream.send",
           "func(" OUT ", list<record{data:list<u8>,remote-address:option<" P2_NET_ADDRESS
           ">}>) -> result<u64" P2_NET_ERR,
           NET_SEND, cis_p2_udp_send, "Sends them; how many went."),
    SHAPED("outgoing-datagram-stream.subscribe", "func(" OUT ") -> own<pollable>", CHILD,
           cis_p2_udp_out_subscribe, "Ready when one can be sent."),
};
const struct cis_iface_table cis_p2_udp_table = {
    .abi = "wasi", .version = "0.2.12", .rows = rows, .nrows = sizeof rows / sizeof *rows};
