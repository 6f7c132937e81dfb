/* A run of WASI 0.2 without an engine, a network or a peer: its host functions act on sockets and
 * exchanges that this test moves by chance, and whose content it knows. Everything that a stream
 * was given is remembered, and what arrives at the other side is compared with it byte by byte.
 *
 * The fakes are as unfriendly as their contracts allow: room shrinks between a question and a
 * write, a kernel takes less than it said, peers end early, answer late and close at any moment. */
#ifndef CIS_TESTS_WASI_P2_MODEL_H
#define CIS_TESTS_WASI_P2_MODEL_H

#include "fake_guest.h"
#include "harness.h"
#include "wasi/p2/p2.h"

#define TABLE_LEN (512u * 1024u)

/* One direction of bytes. */
struct line {
    uint8_t *at; /* sent, and not yet arrived */
    size_t len, cap;
    uint64_t sent, arrived;
    bool waits; /* of a message that was not sent yet: a flush has nowhere to send it */
    bool lossy; /* the other side has closed or failed: what is under way may be lost */
};
void line_sent(struct line *line, const void *data, size_t len);
/* Fails the test when it is not what was sent next. */
void line_arrived(struct line *line, const void *data, size_t len, const char *where);

/* Bytes of a source: the i-th is a fixed function of seed and i. */
struct spring {
    size_t seed;
    uint64_t at, len; /* read so far; of all */
};
const uint8_t *spring_at(const struct spring *spring, size_t *inout_len);

/* ---- chance ---- */
extern uint64_t chance_state;
static inline uint32_t chance(uint32_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return below != 0 ? (uint32_t)((chance_state >> 11) % below) : 0;
}
static inline bool one_in(uint32_t n)
{
    return chance(n) == 0;
}
/* Mostly small, sometimes at a border, sometimes all of it. */
size_t chance_size(size_t max);

extern const uint8_t *const model_bytes; /* TABLE_LEN of them, by chance */
extern int model_always;                 /* a descriptor that always has events */

/* ---- fake_net.c: sockets ---- */
struct cis_sock {
    bool used, tcp, shut_in, shut_out, reset;
    int state;             /* enum cis_sock_state */
    size_t kernel, queued; /* the send buffer, and what is in it */
    struct line out;
    struct spring in;
    unsigned datagrams_out;
};
extern unsigned fake_socks; /* that live */
struct cis_sock *fake_sock_last(void);

/* ---- fake_http.c: a service whose peers are moved by chance ---- */
struct fake_exchange {
    bool has_body, finished, closed, ended;
    uint64_t length;
    size_t kernel, queued, room;
    uint64_t got; /* of the request's body */
    int fault;
    uint16_t status;
    struct line *up; /* of the body's stream; NULL: none */
    struct spring down;
    size_t there; /* bytes of it that have come */
};
extern unsigned fake_exchanges, fake_finishes; /* that live; bodies that were ended */
extern const struct cis_http_service fake_http;
/* The line of the body of the request with this path, "/7". */
struct line *model_line(const char *url);
extern struct spring fake_opened; /* the body of the response to the last request */

/* ---- out_body.c: bodies that are written, without chance. How many tests failed. ---- */
int out_body_run(void);

#endif
