/* Bodies that are written, step by step, beside a service that says exactly what a test says. */
#include "model.h"

#include "base/mem.h"
#include "wasi/p2/http.h"

static struct peer {
    struct cis_http_state says, then; /* at the next look; at all later ones */
    size_t got, ended;
    enum cis_http_fault refuses; /* the end; FINE: it takes it */
} peer;
static struct cis_host host;
static cis_engine_instance guest;

static void peer_poll(void *self, void *exchange, bool wanted, struct cis_http_state *out)
{
    (void)self, (void)exchange, (void)wanted;
    *out = peer.says;
    peer.says = peer.then;
}

static void peer_write(void *self, void *exchange, const void *data, size_t len)
{
    (void)self, (void)exchange, (void)data;
    peer.got += len;
}

static enum cis_code peer_finish(void *self, void *exchange, const struct cis_http_header *trailers,
                                 size_t ntrailers, enum cis_http_fault *out_fault)
{
    (void)self, (void)exchange, (void)trailers, (void)ntrailers;
    peer.ended++;
    *out_fault = peer.refuses;
    return peer.refuses == CIS_HTTP_FINE ? CIS_OK : CIS_E_NET;
}

static void peer_close(void *self, void *exchange)
{
    (void)self, (void)exchange;
}

static const struct cis_http_service service = {.size = sizeof service,
                                                .poll = peer_poll,
                                                .write = peer_write,
                                                .finish = peer_finish,
                                                .close = peer_close};

static void peer_says(struct cis_http_state next, struct cis_http_state later)
{
    next.size = later.size = sizeof next;
    next.fd = later.fd = -1;
    next.at_ns = later.at_ns = UINT64_MAX;
    peer.says = next;
    peer.then = later;
}

static int setup(void **state)
{
    (void)state;
    host = (struct cis_host){.call = {.size = sizeof host.call}, .budget = {.limit = 1u << 30}};
    peer = (struct peer){.got = 0};
    peer_says((struct cis_http_state){.flushed = true}, (struct cis_http_state){.flushed = true});
    fake_guest_init(&guest, &host, 0);
    struct cis_wasi_p2 *table;
    struct cis_error err;
    return cis_p2_of(&guest, &table, &err) != CIS_OK;
}

static int teardown(void **state)
{
    (void)state;
    cis_wasi_p2_end(&host);
    fake_guest_done(&guest);
    return host.budget.used != 0; /* everything was given back */
}

/* A body that goes to the peer; *out_rep: the guest's handle. */
static struct p2_out_body *body_of(uint64_t length, struct p2_exchange **out, uint32_t *out_rep)
{
    struct p2_out_body *b = NULL;
    struct p2_exchange *x = cis_p2_exchange_new(&host, &service, 0);
    assert_non_null(x);
    assert_ok(cis_p2_out_body_new(&guest, length, false, &b, err));
    x->handle = &peer;
    x->body = b; /* its reference */
    b->x = x;
    assert_ok(
        cis_p2_new_over(&guest, P2_OUT_BODY, P2_NO_PARENT, &b->source, P2_WRITES, out_rep, err));
    *out = x;
    return b;
}

static size_t room_of(struct p2_out_body *b)
{
    size_t n = 0;
    assert_int_equal(b->source.ops->room(&guest, &b->source, &n), 0);
    return n;
}

static int write_to(struct p2_out_body *b, size_t len)
{
    static const uint8_t zeros[P2_CHUNK];
    return b->source.ops->write(&guest, &b->source, cis_bytes_of(zeros, len));
}

static void end_of(struct p2_exchange *x, uint32_t rep)
{
    struct cis_error err;
    if (rep != 0) {
        assert_int_equal(cis_p2_drop(&guest, rep, &err), CIS_OK);
    }
    cis_p2_source_unref(&host, &x->source);
}

/* ---- what a peer takes ---- */
static void what_is_written_after_the_peer_has_closed_goes_nowhere(void **state)
{
    (void)state;
    struct p2_exchange *x;
    uint32_t rep;
    struct p2_out_body *b = body_of(UINT64_MAX, &x, &rep);
    peer_says((struct cis_http_state){.status = 413, .closed = true},
              (struct cis_http_state){.status = 413}); /* and does not say it again */
    assert_int_equal(room_of(b), P2_CHUNK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(write_to(b, 50000), 0);
        assert_int_equal(room_of(b), P2_CHUNK);
    }
    assert_int_equal(b->source.ops->flush(&guest, &b->source), 0);
    assert_int_equal(b->held.len, 0);
    assert_int_equal(peer.got, 0);
    end_of(x, rep);
}

/* The room that was promised is gone when the write comes, and there again right after it. */
static void what_waits_goes_on_when_there_is_room_again(void **state)
{
    (void)state;
    struct p2_exchange *x;
    uint32_t rep;
    struct p2_out_body *b = body_of(UINT64_MAX, &x, &rep);
    peer_says((struct cis_http_state){.room = 100}, (struct cis_http_state){.room = 10});
    assert_int_equal(room_of(b), 100);
    cis_p2_exchange_look(&guest, x, true); /* of somebody who waits for the answer */
    peer_says((struct cis_http_state){.room = 1000}, (struct cis_http_state){.room = 1000});
    assert_int_equal(write_to(b, 100), 0);
    assert_int_equal(peer.got, 100);
    assert_int_equal(b->held.len, 0);
    end_of(x, rep);
}

/* ---- the end ---- */
static void an_end_that_the_service_refuses_is_the_guests_to_know(void **state)
{
    (void)state;
    struct p2_exchange *x;
    struct http_done_error done = {false};
    struct http_finish a = {0};
    body_of(UINT64_MAX, &x, &a.self);
    peer.refuses = CIS_HTTP_TERMINATED;
    assert_ok(cis_p2_out_body_finish(&guest, &a, &done, err));
    assert_int_equal(peer.ended, 1);
    assert_true(done.failed);
    assert_int_equal(done.error.is, CIS_HTTP_TERMINATED - 1);
    end_of(x, 0);
}

static void a_body_that_finds_no_memory_is_not_charged(void **state)
{
    (void)state;
    struct p2_out_body *b = NULL;
    uint64_t before = host.budget.used;
    cis_mem_fail_after(0);
    assert_fails(CIS_E_NOMEM, "out of memory",
                 cis_p2_out_body_new(&guest, UINT64_MAX, false, &b, err));
    cis_mem_fail_after(SIZE_MAX);
    assert_int_equal(host.budget.used, before);
}

static void a_header_that_finds_no_memory_is_not_said_to_be_added(void **state)
{
    (void)state;
    struct cis_answer out = {0};
    assert_ok(cis_p2_fields_constructor(&guest, NULL, &out, err));
    uint32_t fields = out.rep;
    const struct cis_typed args[3] = {
        {.n = fields}, {.bytes = cis_bytes_of("name", 4)}, {.bytes = cis_bytes_of("value", 5)}};
    cis_mem_fail_after(0);
    assert_fails(CIS_E_NOMEM, "out of memory", cis_p2_fields_append(&guest, args, &out, err));
    cis_mem_fail_after(SIZE_MAX);
    assert_ok(cis_p2_drop(&guest, fields, err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int out_body_run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_after_the_peer_has_closed_goes_nowhere),
        TEST(what_waits_goes_on_when_there_is_room_again),
        TEST(an_end_that_the_service_refuses_is_the_guests_to_know),
        TEST(a_body_that_finds_no_memory_is_not_charged),
        TEST(a_header_that_finds_no_memory_is_not_said_to_be_added),
    };
    return cmocka_run_group_tests_name("out_body", tests, NULL, NULL);
}
