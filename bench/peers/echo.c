/* Sends back what comes, over the sockets of WASI 0.2: one component for every host. Says its port
 * on stdout, and is done when all of its connections have ended.
 *
 *   echo poll CONNECTIONS    one poll over the listener and all connections
 *   echo blocking 1          blocking-read, blocking-write-and-flush */
#include "../../tests/guests/wasi_net.h"

#define MOST 1024
#define CHUNK 65536

static handle listener;
static struct {
    handle socket, in, out, readable;
} peers[MOST];
static handle polled[MOST + 1];

static void need(bool is, const char *what)
{
    if (!is) {
        fprintf(stderr, "echo: %s\n", what);
        exit(1);
    }
}

static void listens(void)
{
    union result r;
    struct address at = loopback(false, 0);
    handle network = instance_network();
    tcp_create(0, &r);
    need(r.b[0] == 0, "create");
    listener = r.w[1];
    tcp_start_bind(listener, network, FLAT(at), &r);
    need(r.b[0] == 0, "bind");
    tcp_finish_bind(listener, &r);
    need(r.b[0] == 0, "bound");
    tcp_start_listen(listener, &r);
    need(r.b[0] == 0, "listen");
    tcp_finish_listen(listener, &r);
    need(r.b[0] == 0, "listening");
    tcp_local(listener, &r);
    need(r.b[0] == 0, "address");
    printf("%u\n", address_at(&r.b[4]).port);
    fflush(stdout);
}

static bool accepts(unsigned n)
{
    union result r;
    tcp_accept(listener, &r);
    need(r.b[0] == 0 || error_at(&r, 4) == AGAIN, "accept");
    if (r.b[0] != 0) {
        return false;
    }
    peers[n].socket = r.w[1];
    peers[n].in = r.w[2];
    peers[n].out = r.w[3];
    return true;
}

/* What the host has put into a list of its own; an empty one is no allocation. */
static void release(void *list, size_t n)
{
    if (n != 0) {
        free(list);
    }
}

static bool ended(const union result *r)
{
    int network = 0;
    need(stream_code(r, &network) == CLOSED, "stream");
    return true;
}

/* What is there goes back at once, and waits for room where there is none. False: the end. */
static bool echoes(unsigned n)
{
    union result r;
    in_read(peers[n].in, CHUNK, &r);
    if (r.b[0] != 0) {
        return !ended(&r);
    }
    unsigned char *all = (unsigned char *)r.w[1];
    const unsigned char *at = all;
    size_t got = r.w[2];
    for (size_t left = got; left > 0;) {
        out_check(peers[n].out, &r);
        need(r.b[0] == 0, "check-write");
        size_t piece = r.d[1] < left ? (size_t)r.d[1] : left;
        if (piece == 0) {
            handle room = out_subscribe(peers[n].out);
            pollable_block(room);
            drop_pollable(room);
            continue;
        }
        out_write(peers[n].out, at, piece, &r);
        need(r.b[0] == 0, "write");
        at += piece, left -= piece;
    }
    release(all, got);
    return true;
}

static void leaves(unsigned n)
{
    drop_in(peers[n].in), drop_out(peers[n].out), drop_tcp(peers[n].socket);
}

static void polling(unsigned connections)
{
    unsigned live = 0, seen = 0;
    handle more = tcp_subscribe(listener);
    while (live != 0 || seen < connections) {
        uint32_t answer[2];
        for (unsigned n = 0; n < live; n++) {
            polled[n] = peers[n].readable;
        }
        polled[live] = more;
        poll_many(polled, live + (seen < connections), answer);
        uint32_t *ready = (uint32_t *)answer[0];
        for (unsigned i = answer[1]; i-- > 0;) { /* from above: who ends is replaced by the last */
            unsigned n = ready[i];
            if (polled[n] == more) {
                if (accepts(live)) {
                    peers[live].readable = in_subscribe(peers[live].in);
                    live++, seen++;
                }
            } else if (!echoes(n)) {
                drop_pollable(peers[n].readable);
                leaves(n);
                peers[n] = peers[--live];
            }
        }
        release(ready, answer[1]);
    }
}

static void blocking(void)
{
    union result r;
    handle more = tcp_subscribe(listener);
    do {
        pollable_block(more);
    } while (!accepts(0));
    for (;;) {
        in_blocking_read(peers[0].in, CHUNK, &r);
        if (r.b[0] != 0) {
            break;
        }
        unsigned char *all = (unsigned char *)r.w[1];
        const unsigned char *at = all;
        size_t got = r.w[2];
        for (size_t left = got; left > 0;) {
            size_t piece = left < 4096 ? left : 4096; /* the most that it takes */
            out_blocking_write(peers[0].out, at, piece, &r);
            need(r.b[0] == 0, "write");
            at += piece, left -= piece;
        }
        release(all, got);
    }
    ended(&r);
    leaves(0);
}

int main(int argc, char **argv)
{
    __wasm_call_ctors();
    unsigned connections = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    need(connections > 0 && connections <= MOST, "usage: echo poll|blocking CONNECTIONS");
    listens();
    if (strcmp(argv[1], "poll") == 0) {
        polling(connections);
    } else {
        blocking();
    }
    fflush(stdout);
    return 0;
}
