/* Exchanges whose bodies are streams: both ways at once, in little memory, under time limits, given
 * up at any moment. */
#include "service_http/streaming.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include "base/file.h"
#include "service_http/certs.h"

#define OPEN(w, ...) streaming_open((w).client, &(w).grants, (struct cis_http_opening){__VA_ARGS__})
#define MS CIS_NS_PER_MS

static uint64_t body_len = 64ull << 20; /* the long form: 1 GiB */

static struct cis_buf body_of(struct streaming *s)
{
    struct cis_buf body = CIS_BUF_INIT(1u << 20);
    streaming_read(s, &body);
    return body;
}

static void assert_body(struct streaming *s, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf body = body_of(s);
    assert_int_equal(s->state.fault, CIS_HTTP_FINE);
    assert_string_equal(cis_buf_cstr(&body), text);
}

static void a_get_brings_status_headers_and_body(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/hello"), NO_LIMITS);
    assert_non_null(s.exchange);
    streaming_until(&s, s.state.status != 0);
    assert_int_equal(s.state.status, 200);
    CIS_CLEANUP(cis_buf_done) struct cis_buf fields = CIS_BUF_INIT(4096);
    streaming_fields(&s, false, &fields);
    assert_non_null(strstr(cis_buf_cstr(&fields), "Content-Length: 5\n"));
    assert_body(&s, "hello");
    streaming_close(&s);
    world_done(&w);
}

static void a_connection_is_kept_and_shared_with_requests_of_the_other_kind(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    for (int i = 0; i < 5; i++) {
        struct streaming s = OPEN(w, .url = at(w.server, "/hello"), NO_LIMITS);
        assert_body(&s, "hello");
        streaming_close(&s);
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/hello"));
    }
    assert_int_equal(httpd_connections(w.server), 1);
    world_done(&w);
}

static void a_request_without_a_body_is_never_sent_twice(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "DELETE", "PATCH", "REPORT", "PUT"};
    struct world w = world_new(NULL, NULL);
    for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++) {
        assert_fetched(200, "hello", .client = w.client, .grants = &w.grants,
                       .url = at(w.server, "/hello"));
        struct streaming s =
            OPEN(w, .url = at(w.server, "/close"), .method = methods[i], NO_LIMITS);
        streaming_until(&s, s.state.status != 0);
        assert_int_equal(s.state.fault, CIS_HTTP_TERMINATED);
        streaming_close(&s);
        httpd_wait_closed(w.server);
        assert_int_equal(httpd_requests(w.server), 2 * (i + 1));
    }
    world_done(&w);
}

static void every_method_has_its_framing(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        bool has_body;
        uint64_t length;
        const char *body, *framing; /* NULL: none */
    } rows[] = {
        {"GET", false, 0, "", NULL},
        {"POST", false, 0, "", "Content-Length: 0\r\n"},
        {"POST", true, 0, "", "Content-Length: 0\r\n"},
        {"POST", true, 3, "abc", "Content-Length: 3\r\n"},
        {"POST", true, UINT64_MAX, "abc", "Transfer-Encoding: chunked\r\n"},
        {"PUT", true, UINT64_MAX, "", "Content-Length: 0\r\n"}, /* ended before it began */
        {"GET", true, UINT64_MAX, "", NULL},
        {"DELETE", true, UINT64_MAX, "x", "Transfer-Encoding: chunked\r\n"},
        {"REPORT", true, 1, "x", "Content-Length: 1\r\n"},
    };
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct streaming s =
            OPEN(w, .url = at(w.server, "/echo"), .method = rows[i].method,
                 .has_body = rows[i].has_body, .body_len = rows[i].length, NO_LIMITS);
        assert_true(streaming_write(&s, rows[i].body, strlen(rows[i].body)));
        assert_int_equal(streaming_finish(&s, NULL, 0), CIS_HTTP_FINE);
        CIS_CLEANUP(cis_buf_done) struct cis_buf body = body_of(&s);
        assert_int_equal(s.state.fault, CIS_HTTP_FINE);
        streaming_close(&s);
        char *seen = httpd_last(w.server);
        assert_memory_equal(seen, rows[i].method, strlen(rows[i].method));
        if (rows[i].framing != NULL) {
            assert_non_null(strstr(seen, rows[i].framing));
        } else {
            assert_null(strstr(seen, "Content-Length"));
            assert_null(strstr(seen, "Transfer-Encoding"));
        }
        assert_string_equal(strstr(seen, "\r\n\r\n") + 4, rows[i].body);
        assert_null(strstr(seen, "Expect"));
        cis_free(seen);
    }
    world_done(&w);
}

static void a_head_has_headers_and_no_body(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/hello"), .method = "HEAD", .has_body = true,
                              .body_len = UINT64_MAX, NO_LIMITS);
    assert_body(&s, "");
    assert_true(s.state.closed); /* there is nothing to write into */
    streaming_close(&s);
    world_done(&w);
}

static void trailers_go_both_ways(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    const struct cis_http_header trailers[] = {{"X-Check", "abc"}, {"X-Empty", ""}};
    struct streaming s = OPEN(w, .url = at(w.server, "/stream/mirror"), .method = "POST",
                              .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
    assert_true(streaming_write(&s, "hello", 5));
    streaming_until(&s, s.state.readable); /* the answer begins before the request ends */
    assert_false(s.state.ended);
    assert_int_equal(streaming_finish(&s, trailers, 2), CIS_HTTP_FINE);
    assert_body(&s, "hello");
    CIS_CLEANUP(cis_buf_done) struct cis_buf fields = CIS_BUF_INIT(4096);
    streaming_fields(&s, true, &fields);
    assert_string_equal(cis_buf_cstr(&fields), "X-Check: abc\nX-Empty: \nX-Bytes: 5\n");
    streaming_close(&s);
    world_done(&w);
}

/* What the process holds, for growth that would be the body. */
#define GROWTH (8ull << 20)

static uint64_t resident(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024;
}

static void bodies_of_any_length_take_little_memory(void **state)
{
    (void)state;
    uint64_t total = body_len, sent = 0, got = 0;
    static char block[65536], back[65536];
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/stream/mirror"), .method = "POST",
                              .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
    memset(block, 'x', sizeof block);
    uint64_t before = 0;
    while (got < total) {
        streaming_until(&s, s.state.readable || (sent < total && s.state.room != 0));
        assert_int_equal(s.state.fault, CIS_HTTP_FINE);
        if (sent < total && s.state.room != 0) {
            size_t n = s.state.room < total - sent ? s.state.room : (size_t)(total - sent);
            s.http->write(s.http->self, s.exchange, block, n);
            sent += n;
            if (sent == total) {
                streaming_finish(&s, NULL, 0);
            }
        }
        size_t n = streaming_take(&s, back, sizeof back);
        got += n;
        assert_true(n == 0 || (back[0] == 'x' && back[n - 1] == 'x'));
        before = before == 0 && got > total / 8 ? resident() : before;
    }
    assert_true(got == total);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they keep what was freed */
    assert_true(resident() - before < GROWTH);
#endif
    streaming_close(&s);
    world_done(&w);
}

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static void pieces_of_any_size_come_back_in_their_order(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/stream/mirror"), .method = "POST",
                              .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
    static uint8_t block[65536];
    const uint64_t total = 2u << 20;
    uint64_t sent = 0, got = 0;
    uint32_t chance = 1;
    while (got < total) {
        chance = chance * 1103515245u + 12345u;
        streaming_until(&s,
                        s.state.readable || s.state.ended || (sent < total && s.state.room != 0));
        assert_int_equal(s.state.fault, CIS_HTTP_FINE);
        size_t most = 1 + (chance >> 8) % 40000;
        size_t n = sent < total ? s.state.room : 0;
        n = n < most ? n : most;
        n = n < total - sent ? n : (size_t)(total - sent);
        for (size_t i = 0; i < n; i++) {
            block[i] = byte_at(sent + i);
        }
        s.http->write(s.http->self, s.exchange, block, n);
        sent += n;
        if (n != 0 && sent == total) {
            streaming_finish(&s, NULL, 0);
        }
        n = streaming_take(&s, block, 1 + (chance >> 4) % 65536);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(block[i], byte_at(got + i));
        }
        got += n;
        streaming_look(&s, true); /* more comes to what is left in between */
    }
    assert_true(sent == total && got == total);
    streaming_close(&s);
    world_done(&w);
}

static void what_is_left_in_the_buffer_stays_when_more_comes(void **state)
{
    (void)state;
    enum { PIECE = 15000, LEFT = 12000 };
    static uint8_t block[65536];
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/stream/mirror"), .method = "POST",
                              .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
    uint64_t sent = 0, got = 0;
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < PIECE; i++) {
            block[i] = byte_at(sent + i);
        }
        assert_true(streaming_write(&s, block, PIECE));
        sent += PIECE;
        struct pollfd fd;
        do { /* until all of it is here */
            streaming_look(&s, true);
            fd = (struct pollfd){.fd = s.state.fd, .events = POLLIN};
        } while (!s.state.readable || poll(&fd, 1, 20) > 0);
        while (got + LEFT < sent) { /* what is left moves on through the buffer */
            streaming_until(&s, s.state.readable);
            size_t n = streaming_take(&s, block, sent - LEFT - got);
            assert_true(n != 0);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(block[i], byte_at(got + i));
            }
            got += n;
        }
    }
    streaming_close(&s);
    world_done(&w);
}

static void a_reader_that_pauses_holds_the_server_back(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/endless"), NO_LIMITS);
    streaming_until(&s, s.state.readable);
    uint64_t before = mallinfo2().uordblks;
    for (int i = 0; i < 200; i++) { /* nobody reads, however often it is looked at */
        streaming_look(&s, true);
    }
    assert_true(mallinfo2().uordblks - before < 1u << 20);
    char block[65536];
    for (int i = 0; i < 200; i++) {
        streaming_until(&s, s.state.readable);
        assert_true(streaming_take(&s, block, sizeof block) > 0);
    }
    streaming_close(&s);
    world_done(&w);
}

static void exchanges_are_closed_at_any_moment(void **state)
{
    (void)state;
    static const char *const paths[] = {"/hello",         "/hang",          "/drip",
                                        "/endless",       "/close",         "/lie",
                                        "/stream/mirror", "/stream/ignore", "/chunked"};
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        for (int looks = 0; looks < 12; looks++) {
            struct streaming s = OPEN(w, .url = at(w.server, paths[i]), .method = "POST",
                                      .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
            for (int n = 0; n < looks; n++) {
                streaming_look(&s, n > 2);
                if (n == 4 && s.state.room != 0) {
                    s.http->write(s.http->self, s.exchange, "some", 4);
                } else if (n == 8) {
                    streaming_finish(&s, NULL, 0);
                }
                struct pollfd fd = {.fd = s.state.fd, .events = POLLIN};
                poll(&fd, 1, 1);
            }
            streaming_close(&s);
        }
    }
    world_done(&w);
}

static void time_limits_of_nothing_and_of_ever_are_legal(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    static const struct {
        uint64_t connect_ns, first_byte_ns;
        enum cis_http_fault fault;
    } rows[] = {{0, UINT64_MAX, CIS_HTTP_CONNECT_TIMEOUT},
                {UINT64_MAX, 0, CIS_HTTP_READ_TIMEOUT},
                {0, 0, CIS_HTTP_CONNECT_TIMEOUT},
                {UINT64_MAX - 1, UINT64_MAX - 1, CIS_HTTP_FINE},
                {UINT64_MAX, UINT64_MAX, CIS_HTTP_FINE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct streaming s =
            OPEN(w, .url = at(w.server, "/hello"), .connect_ns = rows[i].connect_ns,
                 .first_byte_ns = rows[i].first_byte_ns, .between_ns = UINT64_MAX);
        streaming_until(&s, s.state.ended || s.state.readable);
        assert_int_equal(s.state.fault, rows[i].fault);
        streaming_close(&s);
    }
    world_done(&w);
}

static void each_time_limit_ends_its_part(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/hang"), .connect_ns = UINT64_MAX,
                              .first_byte_ns = 30 * MS, .between_ns = UINT64_MAX);
    streaming_until(&s, s.state.status != 0);
    assert_int_equal(s.state.fault, CIS_HTTP_READ_TIMEOUT);
    streaming_close(&s);
    const struct httpd_raw raw[] = {
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour", .hold = true}};
    struct world halts = world_new(&(struct httpd_options){.raw = raw, .nraw = 1}, NULL);
    s = OPEN(halts, .url = at(halts.server, "/raw/0"), .connect_ns = UINT64_MAX,
             .first_byte_ns = UINT64_MAX, .between_ns = 30 * MS);
    CIS_CLEANUP(cis_buf_done) struct cis_buf body = body_of(&s);
    assert_string_equal(cis_buf_cstr(&body), "four"); /* what came is handed over first */
    assert_int_equal(s.state.fault, CIS_HTTP_READ_TIMEOUT);
    streaming_close(&s);
    world_done(&halts);
    world_done(&w);
}

static void each_byte_that_comes_puts_the_time_limit_off(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    const uint64_t hour_ns = 3600u * CIS_NS_PER_S;
    uint64_t limit_ns = 0;
    char block[64];
    struct streaming s = OPEN(w, .url = at(w.server, "/drip"), .connect_ns = UINT64_MAX,
                              .first_byte_ns = UINT64_MAX, .between_ns = hour_ns);
    for (int seen = 0; seen < 3;) {
        streaming_until(&s, s.state.readable);
        assert_true(streaming_take(&s, block, sizeof block) > 0);
        streaming_look(&s, true);
        if (s.state.readable || s.state.at_ns < cis_clock_mono_ns() + hour_ns / 2) {
            continue; /* the next byte is here, or a timer of curl comes first */
        }
        assert_true(s.state.at_ns > limit_ns);
        limit_ns = s.state.at_ns;
        seen++;
    }
    assert_true(limit_ns < cis_clock_mono_ns() + hour_ns);
    streaming_close(&s);
    world_done(&w);
}

static void what_a_server_does_wrong_has_its_fault(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum cis_http_fault fault;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour", CIS_HTTP_INCOMPLETE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n", CIS_HTTP_INCOMPLETE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfour!",
         CIS_HTTP_PROTOCOL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         CIS_HTTP_PROTOCOL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         CIS_HTTP_TRANSFER_CODING},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
         CIS_HTTP_PROTOCOL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n",
         CIS_HTTP_PROTOCOL},
        {"HTTP/1.1 200 OK\r\n folded\r\n\r\n", CIS_HTTP_PROTOCOL},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", CIS_HTTP_PROTOCOL},
        {"hello, world, which is no HTTP", CIS_HTTP_PROTOCOL},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    struct httpd_raw raw[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        raw[i] = (struct httpd_raw){.bytes = rows[i].bytes};
    }
    struct world w = world_new(&(struct httpd_options){.raw = raw, .nraw = ROWS}, NULL);
    for (size_t i = 0; i < ROWS; i++) {
        char path[32];
        snprintf(path, sizeof path, "/raw/%zu", i);
        struct streaming s = OPEN(w, .url = at(w.server, path), NO_LIMITS);
        streaming_read(&s, NULL);
        if (s.state.fault != rows[i].fault) {
            fail_msg("row %zu: fault %d, not %d", i, (int)s.state.fault, (int)rows[i].fault);
        }
        streaming_close(&s);
    }
    struct streaming s = OPEN(w, .url = at(w.server, "/close"), NO_LIMITS);
    streaming_read(&s, NULL);
    assert_int_equal(s.state.fault, CIS_HTTP_TERMINATED);
    streaming_close(&s);
    world_done(&w);
}

static void ten_thousand_fields_pass_and_a_hundred_thousand_do_not(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/headers?n=10000"), NO_LIMITS);
    assert_body(&s, "ok");
    CIS_CLEANUP(cis_buf_done) struct cis_buf fields = CIS_BUF_INIT(1u << 20);
    streaming_fields(&s, false, &fields);
    assert_non_null(strstr(cis_buf_cstr(&fields), "X-9999: v\n"));
    streaming_close(&s);
    s = OPEN(w, .url = at(w.server, "/headers?n=100000"), NO_LIMITS);
    streaming_read(&s, NULL);
    assert_int_equal(s.state.fault, CIS_HTTP_RESPONSE_HEADERS_SIZE);
    streaming_close(&s);

    struct cis_http_header *many = cis_calloc(100000, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < 100000; i++) {
        many[i] = (struct cis_http_header){"X", "v"};
    }
    s = OPEN(w, .url = at(w.server, "/echo"), .headers = many, .nheaders = 10000, NO_LIMITS);
    assert_true(streaming_read(&s, NULL) > 60000);
    assert_int_equal(s.state.fault, CIS_HTTP_FINE);
    streaming_close(&s);
    s = OPEN(w, .url = at(w.server, "/echo"), .headers = many, .nheaders = 100000, NO_LIMITS);
    assert_null(s.exchange);
    assert_int_equal(s.fault, CIS_HTTP_REQUEST_HEADERS_SIZE);
    cis_free(many);
    world_done(&w);
}

static void requests_that_are_none_are_refused(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    const char *url = at(w.server, "/hello");
    const struct cis_http_header host = {"Host", "evil.example"}, length = {"Content-Length", "1"},
                                 coding = {"transfer-encoding", "chunked"}, split = {"X", "a\r\nb"},
                                 name = {"a b", "x"};
    const struct {
        struct cis_http_opening request;
        enum cis_http_fault fault;
    } rows[] = {
        {{.url = url, .method = "CONNECT"}, CIS_HTTP_METHOD_INVALID},
        {{.url = url, .method = "trace"}, CIS_HTTP_METHOD_INVALID},
        {{.url = url, .method = "GET /x"}, CIS_HTTP_METHOD_INVALID},
        {{.url = url, .method = ""}, CIS_HTTP_METHOD_INVALID},
        {{.url = "ftp://127.0.0.1/"}, CIS_HTTP_URI_INVALID},
        {{.url = "http://user@127.0.0.1/"}, CIS_HTTP_URI_INVALID},
        {{.url = "http://127.0.0.1:1/"}, CIS_HTTP_DENIED},
        {{.url = "http://localhost.evil.example/"}, CIS_HTTP_DENIED},
        {{.url = url, .headers = &host, .nheaders = 1}, CIS_HTTP_PROTOCOL},
        {{.url = url, .headers = &length, .nheaders = 1}, CIS_HTTP_PROTOCOL},
        {{.url = url, .headers = &coding, .nheaders = 1}, CIS_HTTP_PROTOCOL},
        {{.url = url, .headers = &split, .nheaders = 1}, CIS_HTTP_PROTOCOL},
        {{.url = url, .headers = &name, .nheaders = 1}, CIS_HTTP_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct streaming s = streaming_open(w.client, &w.grants, rows[i].request);
        if (s.exchange != NULL || s.fault != rows[i].fault) {
            fail_msg("row %zu: fault %d, not %d", i, (int)s.fault, (int)rows[i].fault);
        }
    }
    assert_int_equal(httpd_connections(w.server), 0);
    world_done(&w);
}

static void lengths_that_are_not_kept_end_the_exchange(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/echo"), .method = "POST", .has_body = true,
                              .body_len = 10, NO_LIMITS);
    assert_true(streaming_write(&s, "hello", 5));
    assert_int_equal(streaming_finish(&s, NULL, 0), CIS_HTTP_REQUEST_BODY_SIZE);
    streaming_look(&s, true);
    assert_int_equal(s.state.fault, CIS_HTTP_REQUEST_BODY_SIZE);
    streaming_close(&s);
    s = OPEN(w, .url = at(w.server, "/echo"), .method = "POST", .has_body = true, .body_len = 4,
             NO_LIMITS);
    streaming_look(&s, false);
    assert_int_equal(s.state.room, 4);
    s.http->write(s.http->self, s.exchange, "hello", 5);
    streaming_look(&s, true);
    assert_int_equal(s.state.fault, CIS_HTTP_REQUEST_BODY_SIZE);
    streaming_close(&s);
    assert_int_equal(httpd_requests(w.server), 0); /* no whole request was ever seen */
    world_done(&w);
}

static void trailers_that_frame_or_authorise_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Content-Length", "transfer-encoding", "Host",           "Authorization", "Trailer",
        "Content-Type",   "Set-Cookie",        "proxy-anything", "a b",           ""};
    struct world w = world_new(NULL, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct cis_http_header trailer = {names[i], "1"};
        struct streaming s = OPEN(w, .url = at(w.server, "/stream/sink"), .method = "POST",
                                  .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
        assert_true(streaming_write(&s, "x", 1));
        assert_int_equal(streaming_finish(&s, &trailer, 1), CIS_HTTP_PROTOCOL);
        streaming_close(&s);
    }
    const struct cis_http_header fine = {"X-Fine", "1"};
    struct streaming s = OPEN(w, .url = at(w.server, "/stream/sink"), .method = "POST",
                              .has_body = true, .body_len = 1, NO_LIMITS);
    assert_true(streaming_write(&s, "x", 1));
    assert_int_equal(streaming_finish(&s, &fine, 1), CIS_HTTP_PROTOCOL);
    streaming_close(&s);
    world_done(&w);
}

static void an_answer_before_the_request_ends_closes_its_body(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/stream/ignore"), .method = "POST",
                              .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
    streaming_write(&s, "begin", 5); /* whether it is taken is a race */
    assert_body(&s, "early");
    assert_true(s.state.closed);
    streaming_close(&s);
    world_done(&w);
}

static void redirects_are_answers(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    struct streaming s = OPEN(w, .url = at(w.server, "/redirect?to=/hello"), NO_LIMITS);
    assert_body(&s, "moved");
    assert_int_equal(s.state.status, 302);
    assert_int_equal(httpd_requests(w.server), 1);
    streaming_close(&s);
    world_done(&w);
}

static void addresses_that_may_not_be_reached_are_not(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    CIS_CLEANUP(cis_grants_done) struct cis_grants grants = CIS_GRANTS_INIT;
    assert_ok(cis_grants_add(&grants, CIS_STR("network"), err));
    struct streaming s = streaming_open(
        w.client, &grants, (struct cis_http_opening){.url = at(w.server, "/hello"), NO_LIMITS});
    assert_null(s.exchange);
    assert_int_equal(s.fault, CIS_HTTP_DENIED);
    assert_int_equal(httpd_connections(w.server), 0);
    for (int fd = 0; fd <= 2; fd++) {
        assert_true(fcntl(fd, F_GETFD) >= 0); /* what was never opened is not closed */
    }
    world_done(&w);
}

static void a_port_where_nobody_listens_refuses(void **state)
{
    (void)state;
    struct world w = world_new(NULL, NULL);
    uint16_t port = httpd_port(w.server);
    httpd_stop(w.server);
    struct streaming s = OPEN(w, .url = at_host("http", "127.0.0.1", port, "/"), NO_LIMITS);
    streaming_read(&s, NULL);
    assert_int_equal(s.state.fault, CIS_HTTP_REFUSED);
    streaming_close(&s);
    w.server = NULL;
    world_done(&w);
}

/* ---- TLS ---- */

static void tls_is_verified_by_the_private_authority(void **state)
{
    (void)state;
    char *dir = test_dir_new(), ca_file[300], other[300], cert[300], key[300];
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", dir);
    snprintf(other, sizeof other, "%s/other.pem", dir);
    snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    test_ca *ca = test_ca_new(), *stranger = test_ca_new();
    assert_true(ca != NULL && stranger != NULL);
    assert_true(test_ca_write(ca, ca_file) && test_ca_write(stranger, other) &&
                test_ca_leaf(ca, "IP:127.0.0.1", -3600, 3600, cert, key));
    test_ca_free(ca);
    test_ca_free(stranger);
    for (int trusted = 0; trusted < 2; trusted++) {
        struct world w =
            world_new(&(struct httpd_options){.cert = cert, .key = key},
                      &(struct cis_http_client_options){.ca_file = trusted ? ca_file : other});
        grant(&w.grants, at_host("https", "127.0.0.1", httpd_port(w.server), ""));
        struct streaming s =
            OPEN(w, .url = at_host("https", "127.0.0.1", httpd_port(w.server), "/stream/mirror"),
                 .method = "POST", .has_body = true, .body_len = UINT64_MAX, NO_LIMITS);
        if (trusted) {
            assert_true(streaming_write(&s, "secret", 6));
            streaming_finish(&s, NULL, 0);
            assert_body(&s, "secret");
        } else {
            streaming_read(&s, NULL);
            assert_int_equal(s.state.fault, CIS_HTTP_TLS_CERTIFICATE);
            assert_int_equal(httpd_requests(w.server), 0);
        }
        streaming_close(&s);
        world_done(&w);
    }
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        cis_str_u64(cis_str_of(argv[1]), &body_len);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_brings_status_headers_and_body),
        cmocka_unit_test(a_connection_is_kept_and_shared_with_requests_of_the_other_kind),
        cmocka_unit_test(a_request_without_a_body_is_never_sent_twice),
        cmocka_unit_test(every_method_has_its_framing),
        cmocka_unit_test(a_head_has_headers_and_no_body),
        cmocka_unit_test(trailers_go_both_ways),
        cmocka_unit_test(bodies_of_any_length_take_little_memory),
        cmocka_unit_test(pieces_of_any_size_come_back_in_their_order),
        cmocka_unit_test(what_is_left_in_the_buffer_stays_when_more_comes),
        cmocka_unit_test(a_reader_that_pauses_holds_the_server_back),
        cmocka_unit_test(exchanges_are_closed_at_any_moment),
        cmocka_unit_test(time_limits_of_nothing_and_of_ever_are_legal),
        cmocka_unit_test(each_time_limit_ends_its_part),
        cmocka_unit_test(each_byte_that_comes_puts_the_time_limit_off),
        cmocka_unit_test(what_a_server_does_wrong_has_its_fault),
        cmocka_unit_test(ten_thousand_fields_pass_and_a_hundred_thousand_do_not),
        cmocka_unit_test(requests_that_are_none_are_refused),
        cmocka_unit_test(lengths_that_are_not_kept_end_the_exchange),
        cmocka_unit_test(trailers_that_frame_or_authorise_are_refused),
        cmocka_unit_test(an_answer_before_the_request_ends_closes_its_body),
        cmocka_unit_test(redirects_are_answers),
        cmocka_unit_test(addresses_that_may_not_be_reached_are_not),
        cmocka_unit_test(a_port_where_nobody_listens_refuses),
        cmocka_unit_test(tls_is_verified_by_the_private_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
