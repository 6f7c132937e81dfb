/* The exports of scheduler:core-libs/socket: sockets by number, over wasi-tcp and wasi-udp. Hosts
 * are addresses, or "localhost". No call has a time limit: what they are over has none. */
#include <stdio.h>
#include <string.h>
#include "corelibs_in.h"
#include "pool.h"
#include "text.h"

#define SOCKET(name) GUEST_EXPORT("scheduler:core-libs/socket@0.1.0#" name)
#define SOCKET_POST(name) GUEST_EXPORT("cabi_post_scheduler:core-libs/socket@0.1.0#" name)
#define SOCKETS_MAX 1024u
#define OTHER 9
#define INVALID 8

struct entry {
    enum { NOTHING, STREAM, DATAGRAMS } is;
    handle socket;
    struct net_address peer; /* of a UDP socket that was connected: port 0: none */
    bool v6;
};

static struct entry sockets[SOCKETS_MAX]; /* number N is at N - 1 */
static union corelibs_result said;

/* ---- results ---- */
static void *fine(void)
{
    said.b[0] = 0;
    return &said;
}

static void *failed(size_t at, uint8_t socket_error)
{
    said.b[0] = 1;
    said.b[at] = socket_error;
    return &said;
}

static uint8_t error_of(uint8_t e)
{
    static const uint8_t errors[] = {
        [CORELIBS_ACCESS_DENIED] = OTHER,     [CORELIBS_ADDRESS_IN_USE] = 4,
        [CORELIBS_ADDRESS_NOT_AVAILABLE] = 5, [CORELIBS_ALREADY_CONNECTED] = INVALID,
        [CORELIBS_CONNECTION_REFUSED] = 0,    [CORELIBS_CONNECTION_RESET] = 1,
        [CORELIBS_CONNECTION_ABORTED] = 2,    [CORELIBS_HOST_UNREACHABLE] = 3,
        [CORELIBS_NETWORK_UNREACHABLE] = 3,   [CORELIBS_TIMEOUT] = 6,
        [CORELIBS_WOULD_BLOCK] = 7,           [CORELIBS_INVALID_ARGUMENT] = INVALID,
        [CORELIBS_NOT_SUPPORTED] = OTHER,     [CORELIBS_OUT_OF_MEMORY] = OTHER,
        [CORELIBS_UNKNOWN] = OTHER,
    };
    return errors[e];
}

/* What came back with its error at `from` becomes one with its error at `at`; NULL: it is none. */
static void *check(const union corelibs_result *r, size_t from, size_t at)
{
    return r->b[0] == 0 ? NULL : failed(at, error_of(r->b[from]));
}

/* ---- parameters ---- */
static struct entry *entry_of(uint32_t number)
{
    return number - 1 < SOCKETS_MAX && sockets[number - 1].is != NOTHING ? &sockets[number - 1]
                                                                         : NULL;
}

static struct entry *tcp_of(uint32_t number)
{
    struct entry *e = entry_of(number);
    return e != NULL && e->is == STREAM ? e : NULL;
}

static struct entry *udp_of(uint32_t number)
{
    struct entry *e = entry_of(number);
    return e != NULL && e->is == DATAGRAMS ? e : NULL;
}

static handle network(void)
{
    static handle net;
    if (net == 0) {
        net = get_network();
    }
    return net;
}

/* The host is the callee's to free. */
static bool take_address(char *host, size_t n, int32_t port, struct net_address *out)
{
    char *text = need_text(host, n);
    bool is = net_address_of(strcmp(text, "localhost") == 0 ? "127.0.0.1" : text, out);
    out->port = (uint16_t)port;
    free(text);
    guest_free(host);
    return is;
}

/* ip-address and port as they lie in memory, at 2 and 18 behind the case. */
static struct net_address address_at(const uint8_t *at)
{
    struct net_address a = {.v6 = at[0] != 0};
    memcpy(&a.port, at + 18, 2);
    for (int i = 0; i < 8 && a.v6; i++) {
        uint16_t word;
        memcpy(&word, at + 2 + 2 * i, 2);
        a.ip[2 * i] = (uint8_t)(word >> 8);
        a.ip[2 * i + 1] = (uint8_t)word;
    }
    if (!a.v6) {
        memcpy(a.ip, at + 2, 4);
    }
    return a;
}

/* A socket-address, of which the text is freed by the post-return. */
static void put_address(const struct net_address *a, uint32_t *words, uint16_t *port)
{
    char text[40];
    if (a->v6) {
        for (int i = 0; i < 8; i++) {
            snprintf(text + 5 * i, 6, i < 7 ? "%04x:" : "%04x",
                     a->ip[2 * i] << 8 | a->ip[2 * i + 1]);
        }
    } else {
        ip_text((uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 |
                    a->ip[3],
                text);
    }
    words[1] = (uint32_t)strlen(text);
    words[0] = (uint32_t)need_text(text, words[1]);
    *port = a->port;
}

/* ---- sockets ---- */
static void *add(struct entry e)
{
    for (uint32_t i = 0; i < SOCKETS_MAX; i++) {
        if (sockets[i].is == NOTHING) {
            sockets[i] = e;
            said.w[1] = i + 1;
            return fine();
        }
    }
    if (e.is == STREAM) {
        drop_tcp(e.socket);
    } else {
        drop_udp(e.socket);
    }
    return failed(4, OTHER);
}

SOCKET("create-socket") void *create_socket(int32_t family, int32_t protocol)
{
    union corelibs_result r;
    bool udp = protocol != 0;
    if (udp) {
        udp_new(family, &r);
    } else {
        tcp_new(family, &r);
    }
    void *no = check(&r, 4, 4);
    return no != NULL ? no
                      : add((struct entry){udp ? DATAGRAMS : STREAM, r.w[1], {0}, family != 0});
}

SOCKET("close") void *close_socket(uint32_t number)
{
    struct entry *e = entry_of(number);
    if (e == NULL) {
        return failed(1, INVALID);
    }
    if (e->is == STREAM) {
        drop_tcp(e->socket);
    } else {
        drop_udp(e->socket);
    }
    *e = (struct entry){0};
    return fine();
}

/* A UDP socket then sends there, and takes from there alone. */
SOCKET("connect") void *connect_socket(uint32_t number, char *host, size_t n, int32_t port)
{
    struct entry *e = entry_of(number);
    struct net_address to;
    union corelibs_result r;
    if (!take_address(host, n, port, &to) || e == NULL || to.v6 != e->v6 || to.port == 0) {
        return failed(1, INVALID);
    }
    if (e->is == DATAGRAMS) {
        e->peer = to;
        return fine();
    }
    tcp_connect(e->socket, network(), CORELIBS_FLAT(&to), &r);
    void *no = check(&r, 1, 1);
    return no != NULL ? no : fine();
}

SOCKET("bind") void *bind_socket(uint32_t number, char *host, size_t n, int32_t port)
{
    struct entry *e = entry_of(number);
    struct net_address at;
    union corelibs_result r;
    if (!take_address(host, n, port, &at) || e == NULL || at.v6 != e->v6) {
        return failed(1, INVALID);
    }
    if (e->is == STREAM) {
        tcp_bind(e->socket, network(), CORELIBS_FLAT(&at), &r);
    } else {
        udp_bind(e->socket, network(), CORELIBS_FLAT(&at), &r);
    }
    void *no = check(&r, 1, 1);
    return no != NULL ? no : fine();
}

SOCKET("listen") void *listen_socket(uint32_t number, uint32_t backlog)
{
    struct entry *e = tcp_of(number);
    union corelibs_result r;
    if (e == NULL) {
        return failed(1, INVALID);
    }
    tcp_listen(e->socket, backlog, &r);
    void *no = check(&r, 1, 1);
    return no != NULL ? no : fine();
}

SOCKET("accept") void *accept_socket(uint32_t number)
{
    struct entry *e = tcp_of(number);
    union corelibs_result r;
    if (e == NULL) {
        return failed(4, INVALID);
    }
    tcp_accept(e->socket, &r);
    void *no = check(&r, 4, 4);
    return no != NULL ? no : add((struct entry){STREAM, r.w[1], {0}, e->v6});
}

/* ---- bytes ---- */
static void *send_datagram(struct entry *e, const char *at, size_t n, const struct net_address *to)
{
    union corelibs_result r;
    udp_send_to(e->socket, at, n, network(), CORELIBS_FLAT(to), &r);
    void *no = check(&r, 8, 8);
    said.d[1] = no != NULL ? said.d[1] : r.d[1];
    return no != NULL ? no : fine();
}

SOCKET("send") void *send_socket(uint32_t number, char *at, size_t n)
{
    struct entry *e = entry_of(number);
    union corelibs_result r;
    void *out;
    if (e == NULL || (e->is == DATAGRAMS && e->peer.port == 0)) {
        out = failed(8, INVALID);
    } else if (e->is == DATAGRAMS) {
        out = send_datagram(e, at, n, &e->peer);
    } else {
        tcp_send(e->socket, at, n, &r);
        out = check(&r, 8, 8);
        said.d[1] = out != NULL ? said.d[1] : r.d[1];
        out = out != NULL ? out : fine();
    }
    guest_free(at);
    return out;
}

SOCKET("send-to")
void *send_to(uint32_t number, char *at, size_t n, char *host, size_t host_len, int32_t port)
{
    struct entry *e = udp_of(number);
    struct net_address to;
    bool good = take_address(host, host_len, port, &to) && e != NULL && to.v6 == e->v6;
    void *out = good ? send_datagram(e, at, n, &to) : failed(8, INVALID);
    guest_free(at);
    return out;
}

static bool same_peer(const struct net_address *a, const struct net_address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* A datagram from whom it may be; NULL: r has it. */
static void *receive_datagram(struct entry *e, uint64_t max, union corelibs_result *r)
{
    for (;;) {
        udp_receive_from(e->socket, max, r);
        void *no = check(r, 4, 4);
        struct net_address from = no == NULL ? address_at(r->b + 12) : (struct net_address){0};
        if (no != NULL || e->peer.port == 0 || same_peer(&from, &e->peer)) {
            return no;
        }
        guest_free((void *)r->w[1]);
    }
}

SOCKET("receive") void *receive_socket(uint32_t number, uint64_t max)
{
    struct entry *e = entry_of(number);
    union corelibs_result r;
    if (e == NULL) {
        return failed(4, INVALID);
    }
    if (e->is == STREAM) {
        tcp_receive(e->socket, max, &r);
    }
    void *no = e->is == STREAM ? check(&r, 4, 4) : receive_datagram(e, max, &r);
    if (no != NULL) {
        return no;
    }
    said.w[1] = r.w[1];
    said.w[2] = r.w[2];
    return fine();
}

SOCKET_POST("receive") void receive_socket_post(const union corelibs_result *r)
{
    if (r->b[0] == 0) {
        guest_free((void *)r->w[1]);
    }
}

SOCKET("receive-from") void *receive_from(uint32_t number, uint64_t max)
{
    struct entry *e = udp_of(number);
    union corelibs_result r;
    void *no = e != NULL ? receive_datagram(e, max, &r) : failed(4, INVALID);
    if (no != NULL) {
        return no;
    }
    struct net_address from = address_at(r.b + 12);
    uint16_t port;
    said.w[1] = r.w[1];
    said.w[2] = r.w[2];
    put_address(&from, &said.w[3], &port);
    memcpy(&said.b[20], &port, sizeof port);
    return fine();
}

SOCKET_POST("receive-from") void receive_from_post(const union corelibs_result *r)
{
    if (r->b[0] == 0) {
        guest_free((void *)r->w[1]);
        guest_free((void *)r->w[3]);
    }
}

/* ---- what can be asked and set ---- */
static void *address_said(const union corelibs_result *r)
{
    void *no = check(r, 2, 4);
    if (no != NULL) {
        return no;
    }
    struct net_address a = address_at(r->b + 2);
    uint16_t port;
    put_address(&a, &said.w[1], &port);
    memcpy(&said.b[12], &port, sizeof port);
    return fine();
}

SOCKET("get-local-address") void *local_address(uint32_t number)
{
    struct entry *e = entry_of(number);
    union corelibs_result r;
    if (e == NULL) {
        return failed(4, INVALID);
    }
    if (e->is == STREAM) {
        tcp_local(e->socket, &r);
    } else {
        udp_local(e->socket, &r);
    }
    return address_said(&r);
}

SOCKET("get-peer-address") void *peer_address(uint32_t number)
{
    struct entry *e = entry_of(number);
    union corelibs_result r;
    if (e == NULL || (e->is == DATAGRAMS && e->peer.port == 0)) {
        return failed(4, INVALID);
    }
    if (e->is == DATAGRAMS) {
        uint16_t port;
        put_address(&e->peer, &said.w[1], &port);
        memcpy(&said.b[12], &port, sizeof port);
        return fine();
    }
    tcp_remote(e->socket, &r);
    return address_said(&r);
}

static void address_post(const union corelibs_result *r)
{
    if (r->b[0] == 0) {
        guest_free((void *)r->w[1]);
    }
}

SOCKET_POST("get-local-address") void local_address_post(const union corelibs_result *r)
{
    address_post(r);
}

SOCKET_POST("get-peer-address") void peer_address_post(const union corelibs_result *r)
{
    address_post(r);
}

SOCKET("set-reuse-address") void *set_reuse_address(uint32_t number, int32_t on)
{
    struct entry *e = entry_of(number);
    union corelibs_result r;
    if (e == NULL) {
        return failed(1, INVALID);
    }
    if (e->is == STREAM) {
        tcp_reuse(e->socket, on, &r);
    } else {
        udp_reuse(e->socket, on, &r);
    }
    void *no = check(&r, 1, 1);
    return no != NULL ? no : fine();
}

/* None is what every socket has. */
static void *set_timeout(uint32_t number, int32_t has)
{
    return entry_of(number) == NULL ? failed(1, INVALID) : has != 0 ? failed(1, OTHER) : fine();
}

SOCKET("set-read-timeout") void *set_read_timeout(uint32_t number, int32_t has, uint64_t ms)
{
    (void)ms;
    return set_timeout(number, has);
}

SOCKET("set-write-timeout") void *set_write_timeout(uint32_t number, int32_t has, uint64_t ms)
{
    (void)ms;
    return set_timeout(number, has);
}
