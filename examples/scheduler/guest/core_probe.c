/* Who calls core-libs' parser and sockets. `sockets` talks to servers that send back what they get:
 * 0, or the line where something was not as it has to be. */
#include <string.h>
#include "guest.h"

GUEST_WIT("core-probe.wit", GUEST_PACKAGE("core-libs.wit"));

#define SOCKET(name) GUEST_IMPORT("scheduler:core-libs/socket@0.1.0", name)
SOCKET("create-socket") void create(int32_t family, int32_t protocol, void *out);
SOCKET("connect") void connect_to(uint32_t s, const char *host, size_t n, int32_t port, void *out);
SOCKET("bind") void bind_to(uint32_t s, const char *host, size_t n, int32_t port, void *out);
SOCKET("listen") void listen_on(uint32_t s, uint32_t backlog, void *out);
SOCKET("accept") void accept_one(uint32_t s, void *out);
SOCKET("send") void send_bytes(uint32_t s, const char *at, size_t n, void *out);
SOCKET("receive") void receive(uint32_t s, uint64_t max, void *out);
SOCKET("send-to")
void send_to(uint32_t s, const char *at, size_t n, const char *host, size_t len, int32_t port,
             void *out);
SOCKET("receive-from") void receive_from(uint32_t s, uint64_t max, void *out);
SOCKET("close") void close_it(uint32_t s, void *out);
SOCKET("set-read-timeout") void read_timeout(uint32_t s, int32_t has, uint64_t ms, void *out);
SOCKET("set-write-timeout") void write_timeout(uint32_t s, int32_t has, uint64_t ms, void *out);
SOCKET("set-reuse-address") void reuse(uint32_t s, int32_t on, void *out);
SOCKET("get-local-address") void local(uint32_t s, void *out);
SOCKET("get-peer-address") void peer(uint32_t s, void *out);
GUEST_IMPORT("scheduler:core-libs/parser@0.1.0", "parse-scenario")
void parse(const char *yaml, size_t n, void *out);

static union {
    uint8_t b[64];
    uint16_t h[32];
    uint32_t w[16];
    uint64_t d[8];
} r;

#define NEED(holds)                                                                                \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)
#define FINE(call) NEED(((call), r.b[0] == 0))
#define FAILS(call, at, e) NEED(((call), r.b[0] == 1 && r.b[at] == (e)))
enum { REFUSED, IN_USE = 4, INVALID = 8, OTHER = 9 };

static const char *host;
static size_t host_len;

static bool is(uint32_t at, uint32_t n, const char *text)
{
    bool same = n == strlen(text) && memcmp((const char *)at, text, n) == 0;
    guest_free((void *)at);
    return same;
}

static uint32_t stream(uint32_t s, uint16_t port)
{
    FINE(connect_to(s, host, host_len, port, &r));
    FAILS(connect_to(s, host, host_len, port, &r), 1, INVALID);
    FINE(peer(s, &r));
    NEED(r.h[6] == port);
    NEED(is(r.w[1], r.w[2], host));
    FINE(local(s, &r));
    NEED(r.h[6] != 0 && is(r.w[1], r.w[2], host));
    FINE(send_bytes(s, "hello", 5, &r));
    NEED(r.d[1] == 5);
    FINE(receive(s, 100, &r));
    NEED(is(r.w[1], r.w[2], "hello"));
    FAILS(send_to(s, "x", 1, host, host_len, port, &r), 8, INVALID);
    FAILS(receive_from(s, 1, &r), 4, INVALID);
    return 0;
}

static uint32_t datagrams(uint32_t s, uint16_t port)
{
    FAILS(send_bytes(s, "x", 1, &r), 8, INVALID);
    FAILS(peer(s, &r), 4, INVALID);
    FAILS(listen_on(s, 1, &r), 1, INVALID);
    FAILS(accept_one(s, &r), 4, INVALID);
    FINE(bind_to(s, host, host_len, 0, &r));
    FINE(send_to(s, "one", 3, host, host_len, port, &r));
    NEED(r.d[1] == 3);
    FINE(receive_from(s, 100, &r));
    NEED(r.h[10] == port);
    uint32_t text = r.w[1], n = r.w[2];
    NEED(is(r.w[3], r.w[4], host) && is(text, n, "one"));
    FINE(connect_to(s, host, host_len, port, &r));
    FINE(peer(s, &r));
    NEED(r.h[6] == port && is(r.w[1], r.w[2], host));
    FINE(send_bytes(s, "two", 3, &r));
    FINE(receive(s, 2, &r));
    NEED(is(r.w[1], r.w[2], "tw"));
    return 0;
}

/* A server and a client in one, over what was bound to a port of the host's choice. */
static uint32_t both(uint32_t a, uint32_t b, int32_t v6)
{
    FINE(bind_to(a, host, host_len, 0, &r));
    FINE(listen_on(a, 5, &r));
    FINE(local(a, &r));
    uint16_t port = r.h[6];
    guest_free((void *)r.w[1]);
    FINE(create(v6, 0, &r));
    uint32_t other = r.w[1];
    FAILS(bind_to(other, host, host_len, port, &r), 1, IN_USE);
    FINE(close_it(other, &r));
    FINE(connect_to(b, host, host_len, port, &r));
    FINE(accept_one(a, &r));
    uint32_t c = r.w[1];
    FINE(send_bytes(c, "hi", 2, &r));
    FINE(receive(b, 10, &r));
    NEED(is(r.w[1], r.w[2], "hi"));
    FINE(close_it(c, &r));
    FINE(receive(b, 10, &r));
    NEED(r.w[2] == 0); /* the end */
    FINE(close_it(a, &r));
    FAILS(connect_to(a, host, host_len, port, &r), 1, INVALID);
    return 0;
}

GUEST_EXPORT("sockets") uint32_t sockets(int32_t tcp, int32_t udp, int32_t v6)
{
    uint32_t s[4], line;
    host = v6 ? "0000:0000:0000:0000:0000:0000:0000:0001" : "127.0.0.1";
    host_len = strlen(host);
    for (int i = 0; i < 4; i++) {
        FINE(create(v6, i == 1, &r));
        s[i] = r.w[1];
        NEED(s[i] == (uint32_t)i + 1);
        FINE(read_timeout(s[i], 0, 0, &r));
        FAILS(read_timeout(s[i], 1, 5, &r), 1, OTHER);
        FAILS(write_timeout(s[i], 1, 5, &r), 1, OTHER);
        FINE(reuse(s[i], 1, &r));
    }
    FAILS(connect_to(s[0], "name", 4, tcp, &r), 1, INVALID);
    FAILS(connect_to(s[0], v6 ? "127.0.0.1" : "::1", v6 ? 9 : 3, tcp, &r), 1, INVALID);
    FAILS(connect_to(99, host, host_len, tcp, &r), 1, INVALID);
    FAILS(connect_to(0, host, host_len, tcp, &r), 1, INVALID);
    line = stream(s[0], (uint16_t)tcp);
    line = line != 0 ? line : datagrams(s[1], (uint16_t)udp);
    line = line != 0 ? line : both(s[2], s[3], v6);
    if (line == 0) {
        FINE(close_it(s[0], &r));
        FAILS(close_it(s[0], &r), 1, INVALID);
        FINE(create(v6, 0, &r)); /* what was closed is used again */
        NEED(r.w[1] == s[0]);
    }
    return line;
}

GUEST_EXPORT("name-of") struct guest_text *name_of(const char *yaml, size_t n)
{
    static struct guest_text name; /* what was given stays: it is called once */
    parse(yaml, n, &r);
    size_t at = r.b[0] == 0 ? 3 : 1; /* the scenario's name, or why it is none */
    name = (struct guest_text){(char *)r.w[at], r.w[at + 1]};
    return &name;
}
