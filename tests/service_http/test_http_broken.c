/* Servers that lie, smuggle, stall or flood; and the ends a run sets itself: deadline and cancel.
 */
#include "service_http/fixture.h"
#include "waits.h"

#include <pthread.h>
#include "service_http/dns_server.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define OK "HTTP/1.1 200 OK\r\n"

/* Responses that two readers could frame differently, or that are no HTTP/1. */
static const struct httpd_raw smuggled[] = {
    {.bytes = OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhelloX"},
    {.bytes = OK "Content-Length: 6\r\nContent-Length: 5\r\n\r\nhelloX"},
    {.bytes = OK "Content-Length: 5, 6\r\n\r\nhelloX"},
    {.bytes = OK "Content-Length: 5, 5\r\n\r\nhello"},
    {.bytes = OK "Content-Length: +5\r\n\r\nhello"},
    {.bytes = OK "Content-Length: -5\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 0x5\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 5 5\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 5;\r\n\r\nhello"},
    {.bytes = OK "Content-Length: five\r\n\r\nhello"},
    {.bytes = OK "Content-Length:\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 18446744073709551616\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 18446744073709551615\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 9223372036854775808\r\n\r\nhello"},
    {.bytes = OK "Content-Length : 5\r\n\r\nhello"},
    {.bytes = OK "Content-Length\t: 5\r\n\r\nhello"},
    {.bytes = OK " Content-Length: 5\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: gzip\r\n\r\nx"},
    {.bytes = OK "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: \x0b"
                 "chunked\r\n\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n"},
    {.bytes = OK "X: a\r\n folded\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK "X: a\r\n\tContent-Length: 0\r\n\r\n"},
    {.bytes = OK "nocolon\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK ": noname\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK "X(Y): a\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK "X: a\rContent-Length: 99\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK "X: a\x01\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK "X: \x7f\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK "X: a\0b\r\nContent-Length: 0\r\n\r\n", .len = 17 + 8 + 21},
    {.bytes = OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/1.1 200 OK\r\nHTTP/1.1 302 Found\r\nLocation: /echo\r\n\r\n"},
    {.bytes = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {.bytes = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"},
    {.bytes = "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/1.1 2000 Long\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/1.1 20x No\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/2 200\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "HTTP/9.9 200 OK\r\n\r\n"},
    {.bytes = "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = "ICY 200 OK\r\n\r\nhello"},
    {.bytes = "hello, this is HTTP/0.9\r\n"},
    {.bytes = "\r\n\r\n"},
    {.bytes =
         "HTTP/1.1 302 Found\r\nLocation: /echo\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello"},
    {.bytes = OK "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n"},
    {.bytes = OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"},
    /* cut off */
    {.bytes = OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"},
    {.bytes = OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
    {.bytes = OK "Transfer-Encoding: chunked\r\n\r\n"},
    {.bytes = OK "Content-Length: 6\r\n\r\nhello"},
    {.bytes = OK "Content-Length: 5\r\n"},
    {.bytes = OK "Content-Le"},
    {.bytes = "HTTP/1.1"},
    {.bytes = "HTTP/1.1 100 Continue\r\n\r\n"},
};

static void responses_that_can_be_read_twice_are_refused(void **state)
{
    (void)state;
    struct world w =
        world_new(&(struct httpd_options){.raw = smuggled, .nraw = COUNT(smuggled)}, NULL);
    for (size_t i = 0; i < COUNT(smuggled); i++) {
        char path[32];
        snprintf(path, sizeof path, "/raw/%zu", i);
        struct fetched *got = fetch((struct fetch){.client = w.client,
                                                   .grants = &w.grants,
                                                   .redirects_max = 2,
                                                   .url = at(w.server, path)});
        if (got->code != CIS_E_NET) {
            fail_msg("row %zu (%.60s): %s, status %u, body \"%s\"", i, smuggled[i].bytes,
                     cis_code_name(got->code), (unsigned)got->status, cis_buf_cstr(&got->body));
        }
        assert_non_null(strstr(got->err.msg, "127.0.0.1"));
        fetched_free(got);
    }
    assert_int_equal(httpd_requests(w.server), COUNT(smuggled));
    world_done(&w);
}

static void odd_but_unambiguous_responses_are_read(void **state)
{
    (void)state;
    static const struct httpd_raw raw[] = {
        {.bytes = OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
        {.bytes = OK "content-length:5\r\n\r\nhello"},
        {.bytes = OK "Content-Length: \t5 \t\r\n\r\nhello"},
        {.bytes = OK "Transfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n"},
        {.bytes = "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"},
        {.bytes = "HTTP/1.0 200 OK\r\n\r\nhello"},
        {.bytes = OK "X:\r\nContent-Length: 5\r\n\r\nhello"},
        {.bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n" OK
                  "Content-Length: 5\r\n\r\nhello"},
        {.bytes = OK "Content-Length: 5\r\n\r\nhelloGET /evil HTTP/1.1\r\n\r\n"},
        {.bytes = OK "X: \xe9\r\nContent-Length: 5\r\n\r\nhello"},
    };
    for (size_t i = 0; i < COUNT(raw); i++) {
        /* A client of its own: the server closes behind each answer and does not say so. */
        struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = COUNT(raw)}, NULL);
        char path[32];
        snprintf(path, sizeof path, "/raw/%zu", i);
        struct fetched *got = fetch(
            (struct fetch){.client = w.client, .grants = &w.grants, .url = at(w.server, path)});
        if (got->code != CIS_OK || strcmp(cis_buf_cstr(&got->body), "hello") != 0) {
            fail_msg("row %zu: %s, body \"%s\"", i, got->err.msg, cis_buf_cstr(&got->body));
        }
        assert_null(strstr(cis_buf_cstr(&got->headers), "X: y"));
        fetched_free(got);
        world_done(&w);
    }
}

static void bytes_after_a_response_are_not_the_next_response(void **state)
{
    (void)state;
    /* response splitting: a second response waits in the same packet */
    static const struct httpd_raw raw[] = {
        {.bytes = OK "Content-Length: 2\r\n\r\nok" OK "Content-Length: 4\r\n\r\nevil",
         .hold = true}};
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = 1}, NULL);
    assert_fetched(200, "ok", .client = w.client, .grants = &w.grants,
                   .url = at(w.server, "/raw/0"));
    assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                   .url = at(w.server, "/hello"));
    assert_int_equal(httpd_connections(w.server), 2);
    world_done(&w);
}

static void a_body_shorter_than_announced_is_a_network_failure(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    assert_not_fetched(CIS_E_NET, "127.0.0.1", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/lie"));
    assert_not_fetched(CIS_E_NET, "127.0.0.1", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/close"));
    assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                   .url = at(w.server, "/hello"));
    world_done(&w);
}

static void a_flood_of_headers_ends_at_the_cap(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    assert_fetched(200, "ok", .client = w.client, .grants = &w.grants,
                   .url = at(w.server, "/headers?n=199"));
    assert_not_fetched(CIS_E_LIMIT, "200", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/headers?n=200"));
    assert_not_fetched(CIS_E_LIMIT, "200", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/headers?n=100000"));
    assert_not_fetched(CIS_E_LIMIT, "5 response", .client = w.client, .grants = &w.grants,
                       .headers_max = 5, .url = at(w.server, "/headers?n=5"));
    assert_not_fetched(CIS_E_LIMIT, "65536", .client = w.client, .grants = &w.grants,
                       .headers_max = 1000000, .url = at(w.server, "/headers?n=100000"));
    world_done(&w);
}

static void one_header_without_end_is_cut_off(void **state)
{
    (void)state;
    size_t n = 1u << 20;
    char *text = cis_alloc(n);
    memset(text, 'x', n);
    memcpy(text, OK "X: ", 20);
    const struct httpd_raw raw[] = {{.bytes = text, .len = n, .hold = true}};
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = 1}, NULL);
    struct fetched *got = fetch(
        (struct fetch){.client = w.client, .grants = &w.grants, .url = at(w.server, "/raw/0")});
    assert_true(got->code == CIS_E_LIMIT || got->code == CIS_E_NET);
    fetched_free(got);
    world_done(&w);
    cis_free(text);
}

static void trailers_and_early_responses_count_as_headers(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf early = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf late = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&late, OK "Transfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 1000; i++) {
        cis_buf_text(&early, "HTTP/1.1 103 Early\r\nX: y\r\n\r\n");
        cis_buf_text(&late, "X: y\r\n");
    }
    cis_buf_text(&late, "\r\n");
    const struct httpd_raw raw[] = {{.bytes = cis_buf_cstr(&early), .hold = true},
                                    {.bytes = cis_buf_cstr(&late), .hold = true}};
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = 2}, NULL);
    assert_not_fetched(CIS_E_LIMIT, "200", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/raw/0"));
    assert_not_fetched(CIS_E_LIMIT, "200", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/raw/1"));
    world_done(&w);
}

static void a_redirect_with_an_endless_body_is_followed_without_it(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&text, "HTTP/1.1 302 Found\r\nLocation: /hello\r\n\r\n");
    for (int i = 0; i < 500; i++) {
        cis_buf_printf(&text, "%01000d", i);
    }
    const struct httpd_raw raw[] = {{.bytes = cis_buf_cstr(&text), .hold = true}};
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = 1}, NULL);
    assert_fetched(200, "hello", .client = w.client, .grants = &w.grants, .redirects_max = 1,
                   .url = at(w.server, "/raw/0"));
    world_done(&w);
}

static void a_port_where_nobody_listens_is_a_network_failure(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    const char *url = at(w.server, "/hello");
    httpd_stop(w.server);
    w.server = NULL;
    assert_not_fetched(CIS_E_NET, "127.0.0.1", .client = w.client, .grants = &w.grants, .url = url);
    world_done(&w);
}

/* ---- ends that the run sets ---- */

static void servers_that_stall_are_ended_by_the_deadline(void **state)
{
    (void)state;
    static const char *const paths[] = {"/hang", "/drip", "/slow?ms=600000", "/endless"};
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_waits(300 * CIS_NS_PER_MS,
                     assert_not_fetched(CIS_E_DEADLINE, "127.0.0.1", .client = w.client,
                                        .grants = &w.grants, .body_max = UINT64_MAX / 2,
                                        .deadline_ns = cis_clock_mono_ns() + 300 * CIS_NS_PER_MS,
                                        .url = at(w.server, paths[i])));
    }
    world_done(&w);
}

static void a_deadline_in_the_past_sends_nothing(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    assert_not_fetched(CIS_E_DEADLINE, "", .client = w.client, .grants = &w.grants,
                       .deadline_ns = 1, .url = at(w.server, "/hello"));
    assert_int_equal(httpd_connections(w.server), 0);
    world_done(&w);
}

static void a_cancelled_run_sends_nothing(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    cis_cancel_fire(cancel);
    assert_not_fetched(CIS_E_CANCELLED, "", .client = w.client, .grants = &w.grants,
                       .cancel = cancel, .url = at(w.server, "/hello"));
    assert_int_equal(httpd_connections(w.server), 0);
    cis_cancel_unref(cancel);
    world_done(&w);
}

struct canceller {
    httpd *server;
    dns_server *dns;
    cis_cancel *cancel;
};

static void *cancel_when_asked(void *arg)
{
    struct canceller *c = arg;
    if (c->dns != NULL) {
        dns_wait_questions(c->dns, 1);
    } else {
        httpd_wait_requests(c->server, 1);
    }
    cis_cancel_fire(c->cancel);
    return NULL;
}

static void cancelling_from_another_thread_ends_a_waiting_request(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct canceller c = {.server = w.server};
    assert_ok(cis_cancel_new(&c.cancel, err));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_asked, &c), 0);
    /* without a deadline: only the cancellation can end it */
    assert_not_fetched(CIS_E_CANCELLED, "127.0.0.1", .client = w.client, .grants = &w.grants,
                       .cancel = c.cancel, .url = at(w.server, "/hang"));
    pthread_join(thread, NULL);
    cis_cancel_unref(c.cancel);
    world_done(&w);
}

static void cancelling_ends_a_lookup_that_nobody_answers(void **state)
{
    (void)state;
    static const struct dns_row rows[] = {{"silent", DNS_SILENT, {0}, {0}, 0}};
    struct canceller c = {.dns = dns_start(rows, 1)};
    assert_non_null(c.dns);
    struct world w =
        world_new(NULL, &(struct cis_http_client_options){.dns_servers = dns_address(c.dns),
                                                          .connect_ns = 3600 * CIS_NS_PER_S});
    grant(&w.grants, "http://silent.test");
    assert_ok(cis_cancel_new(&c.cancel, err));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_asked, &c), 0);
    assert_not_fetched(CIS_E_CANCELLED, "", .client = w.client, .grants = &w.grants,
                       .cancel = c.cancel, .url = "http://silent.test/");
    pthread_join(thread, NULL);
    assert_waits(300 * CIS_NS_PER_MS,
                 assert_not_fetched(CIS_E_DEADLINE, "", .client = w.client, .grants = &w.grants,
                                    .deadline_ns = cis_clock_mono_ns() + 300 * CIS_NS_PER_MS,
                                    .url = "http://silent.test/"));
    cis_cancel_unref(c.cancel);
    world_done(&w);
    dns_stop(c.dns);
}

static void memory_that_runs_out_is_an_error_and_not_a_crash(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    const struct cis_http_service *service = cis_http_client_service(w.client);
    char url[128];
    snprintf(url, sizeof url, "%s", at(w.server, "/redirect?to=/hello"));
    const struct cis_http_header fields[] = {{"X-A", "b"}};
    for (size_t n = 0;; n++) {
        struct cis_call call = {.tenant = "default", .deadline_ns = CIS_NEVER};
        struct cis_http_request request = {.method = "GET",
                                           .url = url,
                                           .headers = fields,
                                           .nheaders = 1,
                                           .body_max = 100,
                                           .redirects_max = 2,
                                           .grants = &w.grants};
        struct cis_http_response response = {0};
        struct cis_error err = {0};
        cis_mem_fail_after(n);
        cis_code code = service->send(service->self, &call, &request, &response, &err);
        cis_mem_fail_after(SIZE_MAX);
        if (code == CIS_OK) {
            assert_true(n > 5);
            assert_int_equal(response.status, 200);
            break;
        }
        if (code != CIS_E_NOMEM) {
            fail_msg("allocation %zu: %s", n, err.msg);
        }
    }
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_but_unambiguous_responses_are_read),
        cmocka_unit_test(a_redirect_with_an_endless_body_is_followed_without_it),
        cmocka_unit_test(responses_that_can_be_read_twice_are_refused),
        cmocka_unit_test(bytes_after_a_response_are_not_the_next_response),
        cmocka_unit_test(a_body_shorter_than_announced_is_a_network_failure),
        cmocka_unit_test(a_flood_of_headers_ends_at_the_cap),
        cmocka_unit_test(one_header_without_end_is_cut_off),
        cmocka_unit_test(trailers_and_early_responses_count_as_headers),
        cmocka_unit_test(a_port_where_nobody_listens_is_a_network_failure),
        cmocka_unit_test(servers_that_stall_are_ended_by_the_deadline),
        cmocka_unit_test(a_deadline_in_the_past_sends_nothing),
        cmocka_unit_test(a_cancelled_run_sends_nothing),
        cmocka_unit_test(cancelling_from_another_thread_ends_a_waiting_request),
        cmocka_unit_test(cancelling_ends_a_lookup_that_nobody_answers),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
