/* What the tests of incoming requests share: the guest, a peer that takes answers, a request. */
#ifndef CIS_TESTS_API_INCOMING_H
#define CIS_TESTS_API_INCOMING_H

#include "cis/cis.h"
#include "harness.h"

struct place {
    cis_runtime *runtime;
    cis_module *module;
    cis_wasi_config *run;
    cis_component *component;
};
/* With so many CPU slots; 0: as many as cores. */
int place_setup_slots(void **state, uint32_t cpu_slots);
int place_setup(void **state);
int place_teardown(void **state);
/* The instance again: the one before has ended, or is not wanted any more. */
void place_renew(struct place *p);

/* Takes an answer, and gives a body that is made up: byte i is i % 251. */
struct peer {
    struct cis_http_incoming in;
    struct cis_http_answer answer;
    char head[4096]; /* "200 length=5\nName: value\n" or "fault 39 text\n" */
    char *body;      /* kept up to body_max */
    size_t len, body_max;
    uint64_t taken;
    char tail[512]; /* trailers, as in head; "" */
    int heads, ends;
    bool wrong;    /* what came was not the made up body */
    bool check;    /* ... look whether it is */
    uint64_t give; /* bytes that read gives */
    uint64_t given, reads;
    size_t piece;   /* of a write that is taken, and of a read, at most; 0: all */
    unsigned again; /* so many times EAGAIN before each call */
    unsigned said;  /* ... that were said */
    int head_error, write_error, read_error; /* errno; the last two after fail_at bytes */
    uint64_t fail_at;
    struct cis_http_header late[2]; /* trailers of the request, put there at its end */
    size_t nlate;
};
void peer_init(struct peer *peer, const char *method, const char *path);
void peer_done(struct peer *peer);
/* Asks, and holds what has to be true of every answer against it. */
cis_code ask(struct place *p, struct peer *peer, struct cis_error *err);
/* A whole one, of GET; its body has to be this. */
void assert_says(struct place *p, const char *path, const char *body);

#endif
