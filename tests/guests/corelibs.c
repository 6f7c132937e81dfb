/* scheduler:core-libs/wasi-{network,tcp,udp}@0.1.0 from a guest, in the canonical ABI by hand. One
 * export, go(op, family, port): 0 passed, else the line that failed * 256 + the error it had there.
 * Memory is imported: the test puts a component around this module. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define NET "scheduler:core-libs/wasi-network@0.1.0"
#define TCP "scheduler:core-libs/wasi-tcp@0.1.0"
#define UDP "scheduler:core-libs/wasi-udp@0.1.0"
#define IMPORT(interface, name) __attribute__((import_module(interface), import_name(name)))
#define WORDS u32 a0, u32 a1, u32 a2, u32 a3, u32 a4, u32 a5, u32 a6, u32 a7

IMPORT(NET, "get-network") u32 get_network(void);
IMPORT(NET, "[resource-drop]network") void drop_network(u32 net);
IMPORT(TCP, "[static]tcp-socket.new") void tcp_new(u32 family, void *ret);
IMPORT(TCP, "[resource-drop]tcp-socket") void tcp_drop(u32 self);
IMPORT(TCP, "[method]tcp-socket.connect")
void tcp_connect(u32 self, u32 net, u32 is, WORDS, u32 port, void *ret);
IMPORT(TCP, "[method]tcp-socket.bind")
void tcp_bind(u32 self, u32 net, u32 is, WORDS, u32 port, void *ret);
IMPORT(TCP, "[method]tcp-socket.listen") void tcp_listen(u32 self, u32 backlog, void *ret);
IMPORT(TCP, "[method]tcp-socket.accept") void tcp_accept(u32 self, void *ret);
IMPORT(TCP, "[method]tcp-socket.send") void tcp_send(u32 self, const void *at, u32 n, void *ret);
IMPORT(TCP, "[method]tcp-socket.receive") void tcp_receive(u32 self, u64 max, void *ret);
IMPORT(TCP, "[method]tcp-socket.local-address") void tcp_local(u32 self, void *ret);
IMPORT(TCP, "[method]tcp-socket.remote-address") void tcp_remote(u32 self, void *ret);
IMPORT(TCP, "[method]tcp-socket.set-reuse-address") void tcp_reuse(u32 self, u32 on, void *ret);
IMPORT(TCP, "[method]tcp-socket.shutdown") void tcp_shutdown(u32 self, u32 how, void *ret);
IMPORT(UDP, "[static]udp-socket.new") void udp_new(u32 family, void *ret);
IMPORT(UDP, "[resource-drop]udp-socket") void udp_drop(u32 self);
IMPORT(UDP, "[method]udp-socket.bind")
void udp_bind(u32 self, u32 net, u32 is, WORDS, u32 port, void *ret);
IMPORT(UDP, "[method]udp-socket.send-to")
void udp_send(u32 self, const void *at, u32 n, u32 net, u32 is, WORDS, u32 port, void *ret);
IMPORT(UDP, "[method]udp-socket.receive-from") void udp_receive(u32 self, u64 max, void *ret);
IMPORT(UDP, "[method]udp-socket.local-address") void udp_local(u32 self, void *ret);
IMPORT(UDP, "[method]udp-socket.set-reuse-address") void udp_reuse(u32 self, u32 on, void *ret);

enum {
    DENIED,
    IN_USE,
    NOT_AVAILABLE,
    ALREADY,
    REFUSED,
    RESET,
    ABORTED,
    HOST,
    NETWORK,
    TIMEOUT,
    BLOCK,
    INVALID,
    UNSUPPORTED,
    NO_MEMORY,
    UNKNOWN
};

/* ---- results, as they lie in memory ---- */
static u8 ret[64] __attribute__((aligned(8)));

static u32 word(u32 at)
{
    return *(u32 *)(ret + at);
}
static u32 half(u32 at)
{
    return *(u16 *)(ret + at);
}

static u32 line, code;
/* The result is ok; else its error, which is at `at`. */
#define OK(call, at)                                                                               \
    do {                                                                                           \
        call;                                                                                      \
        if (ret[0] != 0) {                                                                         \
            line = __LINE__;                                                                       \
            code = ret[at];                                                                        \
            return line << 8 | code;                                                               \
        }                                                                                          \
    } while (0)
#define FAILS(call, at, error)                                                                     \
    do {                                                                                           \
        call;                                                                                      \
        if (ret[0] != 1 || ret[at] != (error)) {                                                   \
            return __LINE__ << 8 | (ret[0] != 0 ? ret[at] : 0xff);                                 \
        }                                                                                          \
    } while (0)
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            return __LINE__ << 8 | 0xfe;                                                           \
        }                                                                                          \
    } while (0)

/* Loopback, or any address. */
#define LOOPBACK(f) f, (f) == 0 ? 127 : 0, 0, 0, (f) == 0 ? 1 : 0, 0, 0, 0, (f) == 0 ? 0 : 1
#define ANY(f) f, 0, 0, 0, 0, 0, 0, 0, 0
#define NOWHERE 0, 192, 0, 2, 1, 0, 0, 0, 0

/* Is it loopback? The address begins at `at`: its case, then two behind it its parts. */
static int is_loopback(u32 at, u32 family)
{
    const u8 *b = ret + at + 2;
    const u16 *w = (const u16 *)b;
    return ret[at] == family && (family == 0 ? b[0] == 127 && b[1] == 0 && b[2] == 0 && b[3] == 1
                                             : w[0] == 0 && w[3] == 0 && w[6] == 0 && w[7] == 1);
}

static int same(const u8 *a, const char *b, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        if (a[i] != (u8)b[i]) {
            return 0;
        }
    }
    return 1;
}

static u32 net, held; /* a socket that stays from one call to the next */

static u32 tcp_of(u32 family, u32 *out)
{
    OK(tcp_new(family, ret), 4);
    *out = word(4);
    return 0;
}
#define TCP_OF(f, out)                                                                             \
    do {                                                                                           \
        u32 failed_ = tcp_of(f, out);                                                              \
        if (failed_ != 0) {                                                                        \
            return failed_;                                                                        \
        }                                                                                          \
    } while (0)

/* Echo client: what it sends comes back; each side ends by itself. */
static u32 client(u32 family, u32 port)
{
    u32 s, got = 0;
    TCP_OF(family, &s);
    OK(tcp_connect(s, net, LOOPBACK(family), port, ret), 1);
    OK(tcp_remote(s, ret), 2);
    CHECK(is_loopback(2, family) && half(20) == port);
    OK(tcp_local(s, ret), 2);
    CHECK(is_loopback(2, family) && half(20) != 0);
    OK(tcp_send(s, "hello, world", 12, ret), 8);
    CHECK(*(u64 *)(ret + 8) == 12);
    while (got < 12) {
        OK(tcp_receive(s, 5, ret), 4);
        u32 n = word(8);
        CHECK(n >= 1 && n <= 5 && same((const u8 *)word(4), &"hello, world"[got], n));
        got += n;
    }
    OK(tcp_receive(s, 0, ret), 4);
    CHECK(word(8) == 0);
    OK(tcp_shutdown(s, 1, ret), 1);
    OK(tcp_receive(s, 100, ret), 4);
    CHECK(word(8) == 0); /* the end */
    OK(tcp_receive(s, 100, ret), 4);
    CHECK(word(8) == 0); /* and it stays so */
    FAILS(tcp_connect(s, net, LOOPBACK(family), port, ret), 1, ALREADY);
    tcp_drop(s);
    return 0;
}

/* Binds, listens, and says where; serve() takes one connection and echoes it. */
static u32 server(u32 family)
{
    TCP_OF(family, &held);
    OK(tcp_reuse(held, 1, ret), 1);
    OK(tcp_bind(held, net, LOOPBACK(family), 0, ret), 1);
    OK(tcp_listen(held, 5, ret), 1);
    OK(tcp_local(held, ret), 2);
    CHECK(is_loopback(2, family));
    return half(20);
}

static u32 serve(u32 family)
{
    u32 s;
    OK(tcp_accept(held, ret), 4);
    s = word(4);
    CHECK(is_loopback(8, family) && half(26) != 0);
    drop_network(net); /* no order is asked for */
    tcp_drop(held);
    for (;;) {
        OK(tcp_receive(s, 1000, ret), 4);
        u32 at = word(4), n = word(8);
        if (n == 0) {
            break;
        }
        OK(tcp_send(s, (const void *)at, n, ret), 8);
    }
    OK(tcp_shutdown(s, 2, ret), 1);
    FAILS(tcp_send(s, "x", 1, ret), 8, RESET);
    tcp_drop(s);
    net = get_network();
    return 0;
}

static u32 refused(u32 family, u32 port)
{
    u32 s;
    TCP_OF(family, &s);
    FAILS(tcp_connect(s, net, LOOPBACK(family), port, ret), 1, REFUSED);
    tcp_drop(s);
    return 0;
}

static u32 in_use(u32 family, u32 port)
{
    u32 s;
    TCP_OF(family, &s);
    FAILS(tcp_bind(s, net, LOOPBACK(family), port, ret), 1, IN_USE);
    FAILS(tcp_bind(s, net, NOWHERE, 0, ret), 1, family == 0 ? NOT_AVAILABLE : INVALID);
    tcp_drop(s);
    return 0;
}

/* What is not in its state, or no address. */
static u32 wrong(u32 family, u32 port)
{
    u32 s, u;
    TCP_OF(family, &s);
    FAILS(tcp_local(s, ret), 2, INVALID);
    FAILS(tcp_remote(s, ret), 2, INVALID);
    FAILS(tcp_send(s, "x", 1, ret), 8, INVALID);
    FAILS(tcp_receive(s, 1, ret), 4, INVALID);
    FAILS(tcp_receive(s, 0, ret), 4, INVALID);
    FAILS(tcp_accept(s, ret), 4, INVALID);
    FAILS(tcp_listen(s, 1, ret), 1, INVALID);
    FAILS(tcp_shutdown(s, 0, ret), 1, INVALID);
    FAILS(tcp_connect(s, net, LOOPBACK(family), 0, ret), 1, INVALID);
    FAILS(tcp_connect(s, net, ANY(family), port, ret), 1, INVALID);
    FAILS(tcp_connect(s, net, LOOPBACK(1 - family), port, ret), 1, INVALID);
    OK(udp_new(family, ret), 4);
    u = word(4);
    OK(udp_reuse(u, 1, ret), 1);
    FAILS(udp_local(u, ret), 2, INVALID);
    FAILS(udp_receive(u, 1, ret), 4, INVALID);
    FAILS(udp_send(u, "x", 1, net, LOOPBACK(family), 0, ret), 8, INVALID);
    udp_drop(u);
    tcp_drop(s);
    return 0;
}

/* The peer throws the connection away. */
static u32 reset(u32 family, u32 port)
{
    u32 s;
    TCP_OF(family, &s);
    OK(tcp_connect(s, net, LOOPBACK(family), port, ret), 1);
    OK(tcp_send(s, "x", 1, ret), 8);
    FAILS(tcp_receive(s, 10, ret), 4, RESET);
    tcp_drop(s);
    return 0;
}

static u32 datagrams(u32 family, u32 port)
{
    u32 u;
    OK(udp_new(family, ret), 4);
    u = word(4);
    OK(udp_send(u, "ping", 4, net, LOOPBACK(family), port, ret), 8); /* bound by that */
    CHECK(*(u64 *)(ret + 8) == 4);
    OK(udp_local(u, ret), 2);
    CHECK(half(20) != 0);
    OK(udp_receive(u, 100, ret), 4);
    CHECK(word(8) == 4 && same((const u8 *)word(4), "ping", 4));
    CHECK(is_loopback(12, family) && half(30) == port);
    OK(udp_send(u, "longer one", 10, net, LOOPBACK(family), port, ret), 8);
    OK(udp_receive(u, 6, ret), 4);
    CHECK(word(8) == 6 && same((const u8 *)word(4), "longer", 6)); /* the rest is gone */
    udp_drop(u);
    return 0;
}

static u32 udp_server(u32 family)
{
    OK(udp_new(family, ret), 4);
    held = word(4);
    OK(udp_bind(held, net, LOOPBACK(family), 0, ret), 1);
    OK(udp_local(held, ret), 2);
    CHECK(is_loopback(2, family));
    return half(20);
}

static u32 udp_serve(u32 family)
{
    OK(udp_receive(held, 1000, ret), 4);
    u32 at = word(4), n = word(8), port = half(30);
    CHECK(is_loopback(12, family));
    OK(udp_send(held, (const void *)at, n, net, LOOPBACK(family), port, ret), 8);
    udp_drop(held);
    return 0;
}

static u32 denied(u32 family, u32 port)
{
    u32 s;
    TCP_OF(family, &s);
    FAILS(tcp_connect(s, net, LOOPBACK(family), port, ret), 1, DENIED);
    FAILS(tcp_bind(s, net, LOOPBACK(family), 0, ret), 1, DENIED);
    tcp_drop(s);
    OK(udp_new(family, ret), 4);
    s = word(4);
    FAILS(udp_bind(s, net, LOOPBACK(family), 0, ret), 1, DENIED);
    FAILS(udp_send(s, "x", 1, net, LOOPBACK(family), port, ret), 8, DENIED);
    udp_drop(s);
    return 0;
}

/* Sends more than the kernel's buffers hold, and takes it back in large pieces. */
static u32 lots(u32 family, u32 port)
{
    static u8 data[100000];
    u32 s, sum = 0;
    TCP_OF(family, &s);
    OK(tcp_connect(s, net, LOOPBACK(family), port, ret), 1);
    for (u32 i = 0; i < sizeof data; i++) {
        data[i] = (u8)(i * 7);
    }
    OK(tcp_send(s, data, sizeof data, ret), 8);
    CHECK(*(u64 *)(ret + 8) == sizeof data);
    OK(tcp_shutdown(s, 1, ret), 1);
    for (;;) {
        OK(tcp_receive(s, 1 << 20, ret), 4);
        u32 n = word(8);
        if (n == 0) {
            break;
        }
        CHECK(n <= 65536 && sum + n <= sizeof data);
        for (u32 i = 0; i < n; i++) {
            CHECK(((const u8 *)word(4))[i] == data[sum + i]);
        }
        sum += n;
    }
    CHECK(sum == sizeof data);
    tcp_drop(s);
    return 0;
}

/* Sockets come and go; none is left. */
static u32 many(u32 family)
{
    for (u32 i = 0; i < 5000; i++) {
        u32 s;
        TCP_OF(family, &s);
        tcp_drop(s);
    }
    return 0;
}

__attribute__((export_name("go"))) u32 go(u32 op, u32 family, u32 port)
{
    if (net == 0) {
        net = get_network();
    }
    switch (op) {
    case 1:
        return client(family, port);
    case 2:
        return server(family);
    case 3:
        return serve(family);
    case 4:
        return refused(family, port);
    case 5:
        return in_use(family, port);
    case 6:
        return wrong(family, port);
    case 7:
        return reset(family, port);
    case 8:
        return datagrams(family, port);
    case 9:
        return udp_server(family);
    case 10:
        return udp_serve(family);
    case 11:
        return denied(family, port);
    case 12:
        return lots(family, port);
    case 13:
        return many(family);
    default:
        return 0xffffffff;
    }
}
