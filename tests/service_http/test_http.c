/* Requests that work, their edges, and what the host alone decides about them. */
#include "service_http/fixture.h"

#include <pthread.h>
#include "base/clock.h"

static void a_get_brings_status_headers_and_body(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct fetched *got = fetch(
        (struct fetch){.client = w.client, .grants = &w.grants, .url = at(w.server, "/hello")});
    assert_int_equal(got->code, CIS_OK);
    assert_int_equal(got->status, 200);
    assert_string_equal(cis_buf_cstr(&got->body), "hello");
    assert_non_null(strstr(cis_buf_cstr(&got->headers), "Content-Type: text/plain\n"));
    fetched_free(got);
    world_done(&w);
}

static void every_method_sends_its_body_and_framing(void **state)
{
    (void)state;
    static const struct {
        const char *method, *body, *length;
    } rows[] = {{"GET", NULL, NULL},
                {"POST", "abc", "Content-Length: 3\r\n"},
                {"POST", NULL, "Content-Length: 0\r\n"},
                {"PUT", "ab", "Content-Length: 2\r\n"},
                {"PUT", NULL, "Content-Length: 0\r\n"},
                {"PATCH", "x", "Content-Length: 1\r\n"},
                {"DELETE", NULL, NULL},
                {"DELETE", "x", "Content-Length: 1\r\n"},
                {"OPTIONS", NULL, NULL}};
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_fetched(200, rows[i].method, .client = w.client, .grants = &w.grants,
                       .method = rows[i].method, .body = rows[i].body,
                       .url = at(w.server, "/echo"));
        char *seen = httpd_last(w.server);
        assert_memory_equal(seen, rows[i].method, strlen(rows[i].method));
        if (rows[i].length != NULL) {
            assert_non_null(strstr(seen, rows[i].length));
        } else {
            assert_null(strstr(seen, "Content-Length"));
        }
        assert_null(strstr(seen, "Transfer-Encoding"));
        assert_null(strstr(seen, "Expect"));
        assert_null(strstr(seen, "Content-Type")); /* nobody said what the body is */
        if (rows[i].body != NULL) {
            assert_string_equal(strstr(seen, "\r\n\r\n") + 4, rows[i].body);
        }
        cis_free(seen);
    }
    world_done(&w);
}

static void a_head_has_headers_and_no_body(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct fetched *got = fetch((struct fetch){
        .client = w.client, .grants = &w.grants, .method = "HEAD", .url = at(w.server, "/hello")});
    assert_int_equal(got->code, CIS_OK);
    assert_int_equal(got->body.len, 0);
    assert_non_null(strstr(cis_buf_cstr(&got->headers), "Content-Length: 5"));
    fetched_free(got);
    world_done(&w);
}

static void the_host_sets_its_own_fields_and_passes_the_guests(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    const struct cis_http_header fields[] = {{"Authorization", "Bearer t"},
                                             {"X-Empty", ""},
                                             {"X-Tab", "a\tb"},
                                             {"content-type", "application/json"}};
    assert_fetched(200, "", .client = w.client, .grants = &w.grants, .method = "POST", .body = "{}",
                   .headers = fields, .nheaders = 4, .url = at(w.server, "/echo?a=b#frag"));
    char *seen = httpd_last(w.server), host[64];
    snprintf(host, sizeof host, "Host: 127.0.0.1:%u\r\n", (unsigned)httpd_port(w.server));
    assert_memory_equal(seen, "POST /echo?a=b HTTP/1.1\r\n", 25);
    assert_non_null(strstr(seen, host));
    assert_non_null(strstr(seen, "Authorization: Bearer t\r\n"));
    assert_non_null(strstr(seen, "X-Empty:\r\n"));
    assert_non_null(strstr(seen, "X-Tab: a\tb\r\n"));
    assert_non_null(strstr(seen, "content-type: application/json\r\n"));
    assert_null(strstr(seen, "x-www-form-urlencoded"));
    assert_null(strstr(seen, "Accept-Encoding"));
    assert_non_null(strstr(seen, "User-Agent: cis/"));
    cis_free(seen);
    world_done(&w);
}

static void a_connection_is_kept_for_the_next_request(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    for (int i = 0; i < 20; i++) {
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/hello"));
    }
    assert_int_equal(httpd_requests(w.server), 20);
    assert_int_equal(httpd_connections(w.server), 1);
    world_done(&w);
}

static void a_request_that_only_asks_is_not_sent_twice_either(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS"};
    struct world w = world_new(NULL, NULL);
    for (unsigned i = 0; i < 3; i++) {
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/hello"));
        assert_not_fetched(CIS_E_NET, "not sent again", .client = w.client, .grants = &w.grants,
                           .method = methods[i], .url = at(w.server, "/close"));
        httpd_wait_closed(w.server);
        assert_int_equal(httpd_requests(w.server), 2 * (i + 1));
    }
    world_done(&w);
}

/* What the server has closed while it was kept is not written to: nothing has to be sent again. */
static void a_kept_connection_that_is_closed_is_seen_before_it_is_used(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"};
    const struct httpd_raw raw[] = {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}};
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = 1}, NULL);
    for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++) {
        assert_fetched(200, "ok", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/raw/0"));
        httpd_wait_closed(w.server);
        assert_fetched(200, i == 5 ? "" : "hello", .client = w.client, .grants = &w.grants,
                       .method = methods[i], .body = i == 1 || i == 2 || i == 4 ? "x" : NULL,
                       .url = at(w.server, "/hello"));
    }
    world_done(&w);
}

static void tenants_never_share_a_connection(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    for (int i = 0; i < 4; i++) {
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants, .tenant = "a",
                       .url = at(w.server, "/hello"));
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants, .tenant = "b",
                       .url = at(w.server, "/hello"));
    }
    assert_int_equal(httpd_connections(w.server), 2);
    world_done(&w);
}

static void idle_connections_are_bounded(void **state)
{
    (void)state;
    struct world w = world_new(NULL, &(struct cis_http_client_options){.connections_max = 1});
    for (int i = 0; i < 3; i++) {
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants, .tenant = "a",
                       .url = at(w.server, "/hello"));
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants, .tenant = "b",
                       .url = at(w.server, "/hello"));
    }
    assert_int_equal(httpd_connections(w.server), 6);
    world_done(&w);
}

static void a_connection_the_server_closed_is_opened_again(void **state)
{
    (void)state;
    const struct httpd_raw raw[] = {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}};
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = 1}, NULL);
    for (int i = 0; i < 3; i++) { /* the scripted answer is followed by a close */
        assert_fetched(200, "ok", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/raw/0"));
        httpd_wait_closed(w.server); /* seen before the next one is sent */
    }
    world_done(&w);
}

static void a_request_that_changes_something_is_never_sent_twice(void **state)
{
    (void)state;
    static const struct {
        const char *method, *body;
    } rows[] = {{"POST", "pay=100"}, {"POST", ""},   {"PUT", "x"},  {"PATCH", "x"},
                {"DELETE", NULL},    {"POST", NULL}, {"PATCH", ""}, {"DELETE", "x"}};
    struct world w = world_new(NULL, NULL);
    unsigned sent = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/hello"));
        unsigned connections = httpd_connections(w.server);
        /* Read whole, and closed without an answer. */
        assert_not_fetched(CIS_E_NET, "not sent again", .client = w.client, .grants = &w.grants,
                           .method = rows[i].method, .body = rows[i].body,
                           .url = at(w.server, "/close"));
        httpd_wait_closed(w.server);
        sent += 2;
        assert_int_equal(httpd_requests(w.server), sent);
        assert_in_range(httpd_connections(w.server), connections, connections + 1);
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants, /* it works on */
                       .url = at(w.server, "/hello"));
        sent++;
    }
    world_done(&w);
}

static void a_chunked_body_arrives_whole_and_its_trailer_does_not(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    for (int i = 0; i < 2; i++) {
        struct fetched *got = fetch((struct fetch){
            .client = w.client, .grants = &w.grants, .url = at(w.server, "/chunked")});
        assert_int_equal(got->code, CIS_OK);
        assert_string_equal(cis_buf_cstr(&got->body), "hello, world");
        assert_null(strstr(cis_buf_cstr(&got->headers), "X-Trailer"));
        fetched_free(got);
    }
    assert_int_equal(httpd_connections(w.server), 1);
    world_done(&w);
}

static void a_slow_answer_is_waited_for(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    assert_fetched(200, "late", .client = w.client, .grants = &w.grants,
                   .url = at(w.server, "/slow?ms=30"));
    world_done(&w);
}

static void who_waits_for_an_answer_takes_no_processor_time(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    uint64_t before_ns = cis_clock_thread_cpu_ns();
    assert_fetched(200, "late", .client = w.client, .grants = &w.grants,
                   .url = at(w.server, "/slow?ms=1000"));
    assert_true(cis_clock_thread_cpu_ns() - before_ns < 100 * CIS_NS_PER_MS);
    world_done(&w);
}

static void a_large_body_goes_both_ways(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    size_t len = 8u << 20;
    char *big = cis_alloc(len);
    memset(big, 'y', len);
    struct fetched *got = fetch((struct fetch){.client = w.client,
                                               .grants = &w.grants,
                                               .method = "POST",
                                               .body = big,
                                               .body_len = len,
                                               .body_max = 9u << 20,
                                               .url = at(w.server, "/echo")});
    assert_int_equal(got->code, CIS_OK);
    assert_true(got->body.len > len);
    assert_memory_equal(got->body.ptr + got->body.len - len, big, len);
    fetched_free(got);
    cis_free(big);
    world_done(&w);
}

static void a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    assert_fetched(200, "", .client = w.client, .grants = &w.grants, .body_max = 100000,
                   .url = at(w.server, "/huge?bytes=100000"));
    assert_not_fetched(CIS_E_LIMIT, "100000", .client = w.client, .grants = &w.grants,
                       .body_max = 100000, .url = at(w.server, "/huge?bytes=100001"));
    assert_not_fetched(CIS_E_LIMIT, "100000", .client = w.client, .grants = &w.grants,
                       .body_max = 100000, .url = at(w.server, "/huge?bytes=99999999999"));
    assert_not_fetched(CIS_E_LIMIT, "100000", .client = w.client, .grants = &w.grants,
                       .body_max = 100000, .url = at(w.server, "/endless"));
    world_done(&w);
}

static void statuses_without_a_body_and_errors_are_answers_too(void **state)
{
    (void)state;
    static const uint16_t statuses[] = {201, 204, 304, 400, 401, 403, 404, 418, 429, 500, 503, 599};
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        char path[32];
        snprintf(path, sizeof path, "/status/%u", (unsigned)statuses[i]);
        assert_fetched(statuses[i], "", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, path));
    }
    assert_int_equal(httpd_connections(w.server), 1);
    world_done(&w);
}

static void compressed_bodies_are_handed_over_as_they_are(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct fetched *got = fetch(
        (struct fetch){.client = w.client, .grants = &w.grants, .url = at(w.server, "/gzip")});
    assert_int_equal(got->code, CIS_OK);
    assert_memory_equal(got->body.ptr, "\x1f\x8bnot", 5);
    assert_non_null(strstr(cis_buf_cstr(&got->headers), "Content-Encoding: gzip"));
    fetched_free(got);
    world_done(&w);
}

static void localhost_reaches_both_loopback_addresses(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    uint16_t port = httpd_port(w.server);
    grant(&w.grants, at_host("http", "localhost", port, ""));
    assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                   .url = at_host("http", "LocalHost", port, "/hello"));
    httpd *six = httpd_start(&(struct httpd_options){.address = "::1"});
    if (six != NULL) { /* machines without IPv6 have only the first half */
        grant(&w.grants, at_host("http", "[::1]", httpd_port(six), ""));
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                       .url = at_host("http", "[0:0::1]", httpd_port(six), "/hello"));
        httpd_stop(six);
    }
    world_done(&w);
}

static void the_environment_is_not_listened_to(void **state)
{
    (void)state;
    static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};
    struct world w = world_new(NULL, NULL);
    httpd *proxy = httpd_start(NULL);
    char *home = test_dir_new(), netrc[300];
    snprintf(netrc, sizeof netrc, "%s/.netrc", home);
    FILE *file = fopen(netrc, "w");
    assert_non_null(file);
    fputs("default login me password sesame\n", file);
    fclose(file);
    for (size_t i = 0; i < 6; i++) {
        setenv(names[i], at(proxy, ""), 1);
    }
    setenv("HOME", home, 1);
    setenv("CURL_HOME", home, 1);
    assert_fetched(200, "", .client = w.client, .grants = &w.grants, .url = at(w.server, "/echo"));
    char *seen = httpd_last(w.server);
    assert_memory_equal(seen, "GET /echo HTTP/1.1", 18);
    assert_null(strstr(seen, "Authorization"));
    assert_null(strstr(seen, "Proxy"));
    assert_int_equal(httpd_connections(proxy), 0);
    for (size_t i = 0; i < 6; i++) {
        unsetenv(names[i]);
    }
    cis_free(seen);
    unlink(netrc);
    rmdir(home);
    free(home);
    httpd_stop(proxy);
    world_done(&w);
}

static void cookies_are_neither_kept_nor_sent(void **state)
{
    (void)state;
    const struct httpd_raw raw[] = {
        {.bytes = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n"}};
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = 1}, NULL);
    assert_fetched(200, "", .client = w.client, .grants = &w.grants, .url = at(w.server, "/raw/0"));
    httpd_wait_closed(w.server);
    assert_fetched(200, "", .client = w.client, .grants = &w.grants, .url = at(w.server, "/echo"));
    char *seen = httpd_last(w.server);
    assert_null(strstr(seen, "Cookie"));
    cis_free(seen);
    world_done(&w);
}

struct worker {
    struct world *world;
    char tenant[16];
    unsigned failed;
};

static void *work(void *arg)
{
    struct worker *me = arg;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/hello", (unsigned)httpd_port(me->world->server));
    for (int i = 0; i < 50; i++) {
        struct fetched *got = fetch((struct fetch){.client = me->world->client,
                                                   .grants = &me->world->grants,
                                                   .tenant = me->tenant,
                                                   .url = url});
        me->failed += got->code != CIS_OK || got->status != 200 || got->body.len != 5;
        fetched_free(got);
    }
    return NULL;
}

static void many_threads_use_one_client(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct worker workers[8];
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        workers[i] = (struct worker){.world = &w};
        snprintf(workers[i].tenant, sizeof workers[i].tenant, "t%d", i % 3);
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].failed, 0);
    }
    assert_int_equal(httpd_requests(w.server), 400);
    assert_true(httpd_connections(w.server) <= 8 * 3);
    world_done(&w);
}

static void a_request_the_host_must_frame_refuses_fields_that_frame_it(void **state)
{
    (void)state;
    static const struct cis_http_header bad[] = {
        {"Host", "evil.test"},
        {"host", "evil.test"},
        {"Content-Length", "0"},
        {"content-length", "5"},
        {"Transfer-Encoding", "chunked"},
        {"transfer-encoding", "identity"},
        {"Connection", "keep-alive"},
        {"TE", "trailers"},
        {"Trailer", "X"},
        {"Upgrade", "h2c"},
        {"Keep-Alive", "x"},
        {"Expect", "100-continue"},
        {"HTTP2-Settings", "x"},
        {"Proxy-Authorization", "x"},
        {"proxy-connection", "x"},
        {"Proxy-Anything", "x"},
        {"X-A", "a\r\nHost: evil.test"},
        {"X-A", "a\nb"},
        {"X-A", "a\rb"},
        {"X-A", "\r\n\r\nGET / HTTP/1.1"},
        {"X-A", "a\x01"},
        {"X-A", "a\x7f"},
        {"", "x"},
        {"X A", "x"},
        {"X-A:", "x"},
        {"X-A\r\nHost", "evil.test"},
        {"X-A\n", "x"},
        {" X-A", "x"},
        {"X-A\t", "x"},
        {"X\xC3\xA4", "x"},
        {"Host ", "x"},
        {"(X)", "x"},
        {"Content-Length\v", "1"},
        {NULL, "x"},
        {"X", NULL},
    };
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_not_fetched(CIS_E_INVALID, "http header", .client = w.client, .grants = &w.grants,
                           .headers = &bad[i], .nheaders = 1, .url = at(w.server, "/echo"));
    }
    assert_int_equal(httpd_connections(w.server), 0);
    world_done(&w);
}

static void methods_outside_the_list_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "get",   "CONNECT", "TRACE",
                                      "PROPFIND", "GET ",  "GET\r\n", "GET / HTTP/1.1\r\n",
                                      "PRI",      "POST\t"};
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_not_fetched(CIS_E_INVALID, "method", .client = w.client, .grants = &w.grants,
                           .method = bad[i], .url = at(w.server, "/echo"));
    }
    assert_not_fetched(CIS_E_INVALID, "no body", .client = w.client, .grants = &w.grants,
                       .body = "x", .url = at(w.server, "/echo"));
    assert_int_equal(httpd_connections(w.server), 0);
    world_done(&w);
}

static void a_request_with_100000_headers_is_refused_before_anything_is_sent(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    size_t n = 100000;
    struct cis_http_header *fields = cis_calloc(n, sizeof *fields);
    for (size_t i = 0; i < n; i++) {
        fields[i] = (struct cis_http_header){"X-A", "b"};
    }
    assert_not_fetched(CIS_E_LIMIT, "100000", .client = w.client, .grants = &w.grants,
                       .headers = fields, .nheaders = n, .url = at(w.server, "/echo"));
    char *big = cis_zalloc(70000);
    memset(big, 'v', 69999);
    fields[0].value = big;
    assert_not_fetched(CIS_E_LIMIT, "65536", .client = w.client, .grants = &w.grants,
                       .headers = fields, .nheaders = 1, .url = at(w.server, "/echo"));
    assert_int_equal(httpd_connections(w.server), 0);
    cis_free(big);
    cis_free(fields);
    world_done(&w);
}

static void a_client_with_unusable_options_is_refused(void **state)
{
    (void)state;
    cis_http_client *client = NULL;
    assert_fails(CIS_E_USAGE, "no-such-file",
                 cis_http_client_new(&(struct cis_http_client_options){.ca_file = "/no-such-file"},
                                     &client, err));
    assert_fails(
        CIS_E_USAGE, "dns servers",
        cis_http_client_new(&(struct cis_http_client_options){.dns_servers = "not-an-address"},
                            &client, err));
    assert_null(client);
    cis_http_client_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_brings_status_headers_and_body),
        cmocka_unit_test(every_method_sends_its_body_and_framing),
        cmocka_unit_test(a_head_has_headers_and_no_body),
        cmocka_unit_test(the_host_sets_its_own_fields_and_passes_the_guests),
        cmocka_unit_test(a_connection_is_kept_for_the_next_request),
        cmocka_unit_test(a_request_that_changes_something_is_never_sent_twice),
        cmocka_unit_test(a_request_that_only_asks_is_not_sent_twice_either),
        cmocka_unit_test(a_kept_connection_that_is_closed_is_seen_before_it_is_used),
        cmocka_unit_test(tenants_never_share_a_connection),
        cmocka_unit_test(idle_connections_are_bounded),
        cmocka_unit_test(a_connection_the_server_closed_is_opened_again),
        cmocka_unit_test(a_chunked_body_arrives_whole_and_its_trailer_does_not),
        cmocka_unit_test(a_slow_answer_is_waited_for),
        cmocka_unit_test(who_waits_for_an_answer_takes_no_processor_time),
        cmocka_unit_test(a_large_body_goes_both_ways),
        cmocka_unit_test(a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not),
        cmocka_unit_test(statuses_without_a_body_and_errors_are_answers_too),
        cmocka_unit_test(compressed_bodies_are_handed_over_as_they_are),
        cmocka_unit_test(localhost_reaches_both_loopback_addresses),
        cmocka_unit_test(many_threads_use_one_client),
        cmocka_unit_test(the_environment_is_not_listened_to),
        cmocka_unit_test(cookies_are_neither_kept_nor_sent),
        cmocka_unit_test(a_request_the_host_must_frame_refuses_fields_that_frame_it),
        cmocka_unit_test(methods_outside_the_list_are_refused),
        cmocka_unit_test(a_request_with_100000_headers_is_refused_before_anything_is_sent),
        cmocka_unit_test(a_client_with_unusable_options_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
