/* Requests that components answer: several at once, a peer that blocks, memory that runs out. */
#include "incoming.h"

#include <errno.h>
#include <pthread.h>
#include "base/mem.h"

/* ---- several at once ---- */

struct client {
    struct place place; /* an instance of its own, of the same module */
    pthread_t thread;
    unsigned wrong;
};

static void *many(void *arg)
{
    struct client *c = arg;
    static const char *const paths[] = {"/hello", "/echo", "/give/100000", "/error", "/odd/9"};
    for (unsigned i = 0; i < 100; i++) {
        struct peer peer;
        peer_init(&peer, "POST", paths[i % 5]);
        peer.give = 10000;
        peer.check = i % 5 == 1;
        cis_code code = cis_component_handle(c->place.component, &peer.in, &peer.answer, NULL);
        bool fine = peer.answer.fault == (i % 5 == 3 ? CIS_HTTP_INTERNAL : CIS_HTTP_FINE);
        c->wrong += code != CIS_OK || !fine || peer.wrong;
        peer_done(&peer);
    }
    return NULL;
}

static void open_client(struct client *c, const struct place *p)
{
    c->place = *p;
    c->place.component = NULL;
    assert_ok(cis_wasi_config_new(p->runtime, &c->place.run, err));
    place_renew(&c->place);
}

static void close_client(struct client *c)
{
    cis_component_close(c->place.component);
    cis_wasi_config_free(c->place.run);
}

static void instances_answer_at_once(void **state)
{
    struct client clients[8] = {0};
    for (size_t i = 0; i < 8; i++) {
        open_client(&clients[i], *state);
        assert_int_equal(pthread_create(&clients[i].thread, NULL, many, &clients[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].wrong, 0);
        close_client(&clients[i]);
    }
}

/* ---- a function that waits ---- */

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t other;
    bool inside, answered; /* this one is being read; the other request is */
};

static enum cis_code read_after_the_other(void *self, void *to, size_t cap, size_t *out_n,
                                          struct cis_error *why)
{
    struct meeting *m = self;
    (void)to, (void)cap, (void)out_n, (void)why;
    pthread_mutex_lock(&m->lock);
    m->inside = true;
    pthread_cond_broadcast(&m->other);
    while (!m->answered) {
        pthread_cond_wait(&m->other, &m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return CIS_E_OK; /* the end */
}

struct waiter {
    struct client client;
    struct meeting meeting;
    struct cis_http_answer answer;
    cis_code code;
};

static void *wait_inside(void *arg)
{
    struct waiter *w = arg;
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    w->answer = (struct cis_http_answer)CIS_HTTP_ANSWER_INIT;
    in.method = "POST";
    in.path = "/count";
    in.self = &w->meeting;
    in.read = read_after_the_other;
    w->code = cis_component_handle(w->client.place.component, &in, &w->answer, NULL);
    return NULL;
}

/* The runtime has one CPU slot. */
static void who_waits_for_a_peer_leaves_the_cpu_to_others(void **state)
{
    struct place *p = *state;
    struct waiter w = {
        .meeting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false}};
    open_client(&w.client, p);
    assert_int_equal(pthread_create(&w.client.thread, NULL, wait_inside, &w), 0);
    pthread_mutex_lock(&w.meeting.lock);
    while (!w.meeting.inside) {
        pthread_cond_wait(&w.meeting.other, &w.meeting.lock);
    }
    pthread_mutex_unlock(&w.meeting.lock);
    assert_says(p, "/hello", "hello");
    pthread_mutex_lock(&w.meeting.lock);
    w.meeting.answered = true;
    pthread_cond_broadcast(&w.meeting.other);
    pthread_mutex_unlock(&w.meeting.lock);
    pthread_join(w.client.thread, NULL);
    assert_int_equal(w.code, CIS_OK);
    assert_int_equal(w.answer.fault, CIS_HTTP_FINE);
    close_client(&w.client);
}

/* ---- no memory ---- */

static void memory_that_runs_out_is_an_error_at_every_step(void **state)
{
    struct place *p = *state;
    static const struct cis_http_header headers[] = {{"X-A", "1"}, {"X-B", "2"}};
    bool whole = false;
    assert_says(p, "/hello", "hello");
    for (size_t n = 0; n < 500 && !whole; n++) {
        struct peer peer;
        peer_init(&peer, "POST", "/echo");
        peer.in.scheme = "gopher";
        peer.in.authority = "host";
        peer.in.headers = headers;
        peer.in.nheaders = 2;
        peer.give = 200000;
        peer.piece = 3000;
        peer.again = 1;
        peer.late[0] = headers[0];
        peer.nlate = 1;
        cis_mem_fail_after(n);
        cis_code code = cis_component_handle(p->component, &peer.in, &peer.answer, NULL);
        cis_mem_fail_after(SIZE_MAX);
        whole = code == CIS_OK && peer.answer.fault == CIS_HTTP_FINE;
        assert_int_equal(peer.ends, whole);
        peer_done(&peer);
        place_renew(p);
    }
    assert_true(whole);
}

static int setup(void **state)
{
    return place_setup_slots(state, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(instances_answer_at_once),
        cmocka_unit_test(who_waits_for_a_peer_leaves_the_cpu_to_others),
        cmocka_unit_test(memory_that_runs_out_is_an_error_at_every_step),
    };
    return cmocka_run_group_tests(tests, setup, place_teardown);
}
