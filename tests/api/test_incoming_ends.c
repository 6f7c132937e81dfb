/* Requests that a component answers: every way in which a call ends that is not a whole answer, and
 * what is left of it. */
#include "incoming.h"
#include "waits.h"

#include <errno.h>
#include <pthread.h>

/* ---- answers that are none ---- */

static void the_guests_error_is_told(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "GET", "/error");
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_INTERNAL);
    assert_int_equal(peer.answer.status, 0);
    assert_string_equal(peer.answer.message, "no tea");
    assert_string_equal(peer.head, "fault 39 no tea\n");
    assert_says(p, "/hello", "hello"); /* it goes on */
}

static void a_guest_that_gives_no_answer_has_none(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "GET", "/none");
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_INCOMPLETE);
    assert_int_equal(peer.answer.status, 0);
    assert_int_equal(peer.heads, 0);
    assert_says(p, "/hello", "hello");
}

static void a_body_that_is_dropped_unfinished_is_never_whole(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "GET", "/unfinished");
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_INCOMPLETE);
    assert_int_equal(peer.answer.status, 200);
    assert_string_equal(peer.body, "half");
    assert_int_equal(peer.ends, 0);
    peer_done(&peer);
}

static void a_length_without_a_body_is_for_head_alone(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "HEAD", "/nothing");
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_FINE);
    assert_string_equal(peer.head, "200 length=5\n");
    peer_init(&peer, "GET", "/nothing");
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_RESPONSE_BODY_SIZE);
    assert_int_equal(peer.answer.status, 0);
}

/* ---- a peer that goes away ---- */

static void a_peer_that_takes_no_more_ends_the_answer_and_not_the_guest(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "GET", "/give/1000000");
    peer.write_error = EPIPE;
    peer.fail_at = 1;
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_TERMINATED);
    assert_true(peer.taken > 0 && peer.taken <= 65536);
    peer_done(&peer);
    peer_init(&peer, "GET", "/give/1000000");
    peer.head_error = ECONNRESET;
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_TERMINATED);
    assert_int_equal(peer.taken, 0);
    assert_says(p, "/hello", "hello");
}

static void a_peer_that_sends_no_more_is_an_error_of_the_body(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "POST", "/count");
    peer.give = 100000;
    peer.read_error = ECONNRESET;
    peer.fail_at = 1;
    assert_ok(ask(p, &peer, err));
    assert_string_equal(peer.body, "65536 8"); /* connection-terminated */
    peer_done(&peer);
}

/* ---- ends of the guest ---- */

static void ended(struct place *p, const char *path, cis_code code)
{
    struct peer peer;
    peer_init(&peer, "POST", path);
    assert_fails(code, "", ask(p, &peer, err));
    assert_int_equal(peer.ends, strcmp(path, "/twice") == 0);
    peer_done(&peer);
    peer_init(&peer, "GET", "/hello"); /* it answers no more */
    assert_fails(code, "", ask(p, &peer, err));
    assert_int_equal(peer.heads, 0);
    place_renew(p);
    assert_says(p, "/hello", "hello");
}

static void an_answer_can_be_given_once(void **state)
{
    ended(*state, "/twice", CIS_E_TRAP);
}

static void a_trap_ends_the_instance_and_its_answer(void **state)
{
    ended(*state, "/trap", CIS_E_TRAP);
    ended(*state, "/trap-later", CIS_E_TRAP);
}

static void a_guest_that_goes_on_for_ever_ends_at_the_time_limit(void **state)
{
    struct place *p = *state;
    cis_wasi_config_limits(p->run, 0, 300, 0);
    place_renew(p);
    cis_wasi_config_limits(p->run, 0, 30000, 0); /* of the next instance */
    ended(p, "/loop", CIS_E_DEADLINE);
}

/* Nothing comes, or nothing is taken, for ever: by a descriptor, or without one. */
static enum cis_code never_read(void *self, void *to, size_t cap, size_t *out_n,
                                struct cis_error *why)
{
    (void)self, (void)to, (void)cap, (void)out_n;
    return cis_error_errno(why, EAGAIN);
}
static enum cis_code never_written(void *self, const void *data, size_t len, size_t *out_n,
                                   struct cis_error *why)
{
    (void)self, (void)data, (void)len, (void)out_n;
    return cis_error_errno(why, EAGAIN);
}

static void the_time_limit_ends_every_wait_for_a_peer(void **state)
{
    struct place *p = *state;
    static const char *const paths[] = {"/echo", "/polls", "/count", "/give/1000000"};
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    cis_wasi_config_limits(p->run, 0, 300, 0);
    for (size_t i = 0; i < 4; i++) {
        struct peer peer;
        place_renew(p);
        peer_init(&peer, "POST", paths[i]);
        peer.in.read = never_read;
        peer.in.read_fd = i % 2 == 0 ? pipes[0] : -1;
        peer.in.write = never_written;
        assert_waits(300 * CIS_NS_PER_MS, assert_fails(CIS_E_DEADLINE, "", ask(p, &peer, err)));
        assert_int_equal(peer.ends, 0);
    }
    close(pipes[0]);
    close(pipes[1]);
    cis_wasi_config_limits(p->run, 0, 30000, 0);
    place_renew(p);
}

/* Each call has a whole limit, long enough for the guest's part on any machine. */
static void a_peer_that_never_takes_the_rest_costs_the_time_limit_and_not_the_instance(void **state)
{
    struct place *p = *state;
    struct peer peer;
    cis_wasi_config_limits(p->run, 0, 2000, 0);
    place_renew(p);
    peer_init(&peer, "GET", "/hello"); /* it has returned long before */
    peer.in.write = never_written;
    assert_fails(CIS_E_DEADLINE, "http answer", ask(p, &peer, err));
    assert_says(p, "/hello", "hello");
    cis_wasi_config_limits(p->run, 0, 30000, 0);
    place_renew(p);
}

static enum cis_code fire_at_read(void *self, void *to, size_t cap, size_t *out_n,
                                  struct cis_error *why)
{
    struct peer *peer = self;
    (void)to, (void)cap, (void)out_n;
    cis_cancel_fire((cis_cancel *)(uintptr_t)peer->in.body);
    return cis_error_errno(why, EAGAIN);
}

static void cancellation_ends_a_wait_for_a_peer(void **state)
{
    struct place *p = *state;
    cis_cancel *cancel = NULL;
    struct peer peer;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_ok(cis_cancel_new(&cancel, err));
    cis_wasi_config_cancel(p->run, cancel);
    place_renew(p);
    peer_init(&peer, "POST", "/echo");
    peer.in.read = fire_at_read;
    peer.in.read_fd = pipes[0];
    peer.in.body = cancel;
    assert_fails(CIS_E_CANCELLED, "", ask(p, &peer, err));
    cis_wasi_config_cancel(p->run, NULL);
    place_renew(p);
    cis_cancel_unref(cancel);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- what is left ---- */

static uint64_t held_after(struct place *p, const char *path)
{
    struct peer peer;
    peer_init(&peer, "POST", path);
    peer.give = 1000;
    assert_ok(ask(p, &peer, err));
    peer_done(&peer);
    return peer.answer.host_bytes;
}

static void a_parent_that_goes_before_its_children_is_a_trap(void **state)
{
    struct place *p = *state;
    static const char *const parents[] = {
        "incoming-request", "input-stream",  "incoming-body",     "incoming-body",  "output-stream",
        "outgoing-body",    "outgoing-body", "outgoing-response", "future-trailers"};
    for (unsigned i = 0; i < sizeof parents / sizeof *parents; i++) {
        char path[32], words[100];
        struct peer peer;
        snprintf(path, sizeof path, "/early/%u", i);
        snprintf(words, sizeof words,
                 "WASI: the guest dropped, gave away or finished %s before 1 that was", parents[i]);
        peer_init(&peer, "POST", path);
        peer.give = 1000;
        assert_fails(CIS_E_TRAP, words, ask(p, &peer, err));
        assert_true(i != 7 || peer.heads == 0); /* nothing was answered with it */
        place_renew(p);
    }
    assert_says(p, "/hello", "hello");
}

static void what_is_no_child_may_be_dropped_in_any_order(void **state)
{
    struct place *p = *state;
    uint64_t before = held_after(p, "/odd/0");
    for (unsigned order = 0; order < 32; order++) {
        char path[32];
        struct peer peer;
        snprintf(path, sizeof path, "/odd/%u", order);
        peer_init(&peer, "POST", path);
        peer.give = 1000;
        cis_code code = cis_component_handle(p->component, &peer.in, &peer.answer, NULL);
        assert_int_equal(code, CIS_OK);
        assert_int_equal(peer.answer.fault, order & 16 ? CIS_HTTP_INCOMPLETE : CIS_HTTP_FINE);
        assert_string_equal(peer.body, "odd");
        assert_int_equal(peer.answer.host_bytes, before);
        peer_done(&peer);
    }
}

static void a_thousand_calls_leave_nothing_behind(void **state)
{
    struct place *p = *state;
    static const char *const paths[] = {"/echo",  "/none",  "/unfinished", "/error",
                                        "/early", "/odd/5", "/count",      "/give/100000"};
    struct peer first, last;
    for (size_t i = 0; i < 8; i++) { /* buffers that only grow have their size */
        held_after(p, paths[i]);
    }
    peer_init(&first, "GET", "/handle");
    assert_ok(ask(p, &first, err));
    for (size_t i = 0; i < 1000; i++) {
        held_after(p, paths[i % 8]);
    }
    peer_init(&last, "GET", "/handle");
    assert_ok(ask(p, &last, err));
    uint64_t handles = strtoull(last.body, NULL, 10); /* the guest's numbers are free again, too */
    assert_true(handles / 1000 < 32 && handles % 1000 < 32);
    assert_int_equal(last.answer.host_bytes, first.answer.host_bytes);
    peer_done(&first);
    peer_done(&last);
}

static void what_a_guest_keeps_of_a_request_is_over(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "POST", "/keep");
    peer.give = 1000;
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_INCOMPLETE);
    uint64_t reads = peer.reads;
    assert_says(p, "/late", "in time"); /* the answer to the first reaches nobody */
    assert_int_equal(peer.reads, reads);
    assert_int_equal(peer.heads, 0);
}

static void a_guest_that_keeps_too_much_is_given_no_more(void **state)
{
    struct place *p = *state;
    uint64_t before = held_after(p, "/keep");
    for (int i = 0; i < 100; i++) {
        held_after(p, "/keep");
    }
    assert_true(held_after(p, "/keep") > before); /* a server can see it */
    struct peer peer;
    peer_init(&peer, "GET", "/keep");
    cis_code code = CIS_OK;
    for (int i = 0; i < 100 && code == CIS_OK; i++) {
        code = ask(p, &peer, NULL);
    }
    assert_int_equal(code, CIS_E_LIMIT);
    place_renew(p);
    assert_says(p, "/hello", "hello");
}

/* ---- refused ---- */

static void who_answers_requests_may_still_send_none(void **state)
{
    assert_says(*state, "/out", "15"); /* HTTP-request-denied */
}

static enum cis_code ask_again(void *self, const struct cis_http_head *head, struct cis_error *why)
{
    struct place *p = self;
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    cis_wit_call *call = NULL;
    char *text = NULL;
    (void)head, (void)why;
    in.method = "GET";
    assert_fails(CIS_E_USAGE, "another call", cis_component_handle(p->component, &in, NULL, err));
    assert_fails(CIS_E_USAGE, "another call", cis_component_eval(p->component, "f()", &text, err));
    assert_fails(CIS_E_USAGE, "another call",
                 cis_component_begin(p->component, "f", "func()", &call, err));
    return CIS_E_OK;
}

static void one_call_at_a_time(void **state)
{
    struct place *p = *state;
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    struct cis_http_answer answer = CIS_HTTP_ANSWER_INIT;
    in.method = "GET";
    in.path = "/hello";
    in.self = p;
    in.head = ask_again; /* and nobody wants the rest */
    assert_ok(cis_component_handle(p->component, &in, &answer, err));
    assert_int_equal(answer.fault, CIS_HTTP_FINE);
    assert_int_equal(answer.body_out, 5);
    in.head = NULL;
    assert_ok(cis_component_handle(p->component, &in, NULL, err));
}

static void who_does_not_answer_requests_is_told_so(void **state)
{
    struct place *p = *state;
    cis_module *module = NULL;
    cis_component *component = NULL;
    struct peer peer;
    static const char text[] = "(component)";
    peer_init(&peer, "GET", "/");
    assert_ok(cis_module_load(p->runtime, text, sizeof text - 1, "none", &module, err));
    assert_ok(cis_component_open(p->run, module, &component, err));
    assert_fails(CIS_E_ENTRY, "exports no wasi:http/incoming-handler@0.2",
                 cis_component_handle(component, &peer.in, NULL, err));
    cis_component_close(component);
    cis_module_unref(module);
}

static void another_type_of_handler_is_refused_each_time(void **state)
{
    struct place *p = *state;
    cis_module *module = NULL;
    cis_component *component = NULL;
    struct peer peer;
    static const char text[] =
        "(component (core module $m (func (export \"h\"))) (core instance $i (instantiate $m))"
        " (func $h (canon lift (core func $i \"h\")))"
        " (instance $x (export \"handle\" (func $h)))"
        " (export \"wasi:http/incoming-handler@0.2.3\" (instance $x)))";
    assert_ok(cis_module_load(p->runtime, text, sizeof text - 1, "other", &module, err));
    assert_ok(cis_component_open(p->run, module, &component, err));
    for (int i = 0; i < 3000; i++) { /* more than the exchanges and entries that one may have */
        peer_init(&peer, "GET", "/");
        assert_fails(CIS_E_ENTRY, "of type func(own<?>, own<?>)",
                     cis_component_handle(component, &peer.in, NULL, err));
    }
    cis_component_close(component);
    cis_module_unref(module);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guests_error_is_told),
        cmocka_unit_test(a_guest_that_gives_no_answer_has_none),
        cmocka_unit_test(a_body_that_is_dropped_unfinished_is_never_whole),
        cmocka_unit_test(a_length_without_a_body_is_for_head_alone),
        cmocka_unit_test(a_peer_that_takes_no_more_ends_the_answer_and_not_the_guest),
        cmocka_unit_test(a_peer_that_sends_no_more_is_an_error_of_the_body),
        cmocka_unit_test(an_answer_can_be_given_once),
        cmocka_unit_test(a_trap_ends_the_instance_and_its_answer),
        cmocka_unit_test(a_guest_that_goes_on_for_ever_ends_at_the_time_limit),
        cmocka_unit_test(the_time_limit_ends_every_wait_for_a_peer),
        cmocka_unit_test(
            a_peer_that_never_takes_the_rest_costs_the_time_limit_and_not_the_instance),
        cmocka_unit_test(cancellation_ends_a_wait_for_a_peer),
        cmocka_unit_test(a_parent_that_goes_before_its_children_is_a_trap),
        cmocka_unit_test(what_is_no_child_may_be_dropped_in_any_order),
        cmocka_unit_test(a_thousand_calls_leave_nothing_behind),
        cmocka_unit_test(what_a_guest_keeps_of_a_request_is_over),
        cmocka_unit_test(a_guest_that_keeps_too_much_is_given_no_more),
        cmocka_unit_test(who_answers_requests_may_still_send_none),
        cmocka_unit_test(one_call_at_a_time),
        cmocka_unit_test(who_does_not_answer_requests_is_told_so),
        cmocka_unit_test(another_type_of_handler_is_refused_each_time),
    };
    return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
