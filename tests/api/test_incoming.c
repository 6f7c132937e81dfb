/* Requests that a component answers: what goes in, what comes out, and what is refused. How a call
 * ends otherwise is test_incoming_ends.c's. */
#include "incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#define WHOLE(peer)                                                                                \
    do {                                                                                           \
        assert_int_equal((peer).answer.fault, CIS_HTTP_FINE);                                      \
        assert_int_equal((peer).answer.status, 200);                                               \
    } while (0)

/* ---- happy ---- */

static void a_get_is_answered(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "GET", "/hello");
    assert_ok(ask(p, &peer, err));
    WHOLE(peer);
    assert_string_equal(peer.head, "200 length=5\n"); /* the length is no header */
    assert_string_equal(peer.body, "hello");
    assert_string_equal(peer.tail, "");
    peer_done(&peer);
}

static void the_guest_sees_the_whole_request(void **state)
{
    struct place *p = *state;
    struct peer peer;
    static const struct cis_http_header headers[] = {
        {"Accept", "text/plain"}, {"X-Twice", "1"}, {"x-twice", "2"}, {"Content-Length", "0"}};
    peer_init(&peer, "PURGE", "/about?a=1&b=%20");
    peer.in.scheme = "HTTPS";
    peer.in.authority = "shop.example:8443";
    peer.in.headers = headers;
    peer.in.nheaders = 4;
    assert_ok(ask(p, &peer, err));
    WHOLE(peer);
    assert_string_equal(peer.head, "200 length=-1\nX-Guest: incoming\n");
    assert_string_equal(peer.body,
                        "method 9\nother PURGE\nscheme 1\nauthority shop.example:8443\n"
                        "path /about?a=1&b=%20\nimmutable yes\nAccept: text/plain\nX-Twice: 1\n"
                        "x-twice: 2\nContent-Length: 0\n");
    peer_done(&peer);
    peer_init(&peer, "DELETE", "/about");
    assert_ok(ask(p, &peer, err));
    assert_string_equal(peer.body, "method 4\nscheme -\nauthority -\npath /about\nimmutable yes\n");
    peer_done(&peer);
}

/* The guest would answer this request. */
static void headers_that_are_counted_and_not_there_are_refused(void **state)
{
    struct place *p = *state;
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    in.method = "GET";
    in.path = "/hello";
    assert_ok(cis_component_handle(p->component, &in, NULL, err));
    in.nheaders = 3;
    assert_fails(CIS_E_USAGE, "headers that it counts",
                 cis_component_handle(p->component, &in, NULL, err));
    in.nheaders = 0;
    in.body_len = 3;
    assert_fails(CIS_E_USAGE, "the body", cis_component_handle(p->component, &in, NULL, err));
    in.body_len = 0;
    in.method = NULL;
    assert_fails(CIS_E_USAGE, "a method", cis_component_handle(p->component, &in, NULL, err));
    in.method = "GET";
    assert_ok(cis_component_handle(p->component, &in, NULL, err));
}

static void a_body_of_bytes_comes_back(void **state)
{
    struct place *p = *state;
    struct peer peer;
    static const struct cis_http_header length = {"content-length", "12"};
    peer_init(&peer, "PUT", "/echo");
    peer.in.body = "twelve bytes";
    peer.in.body_len = 12;
    for (size_t n = 0; n < 2; n++) {
        peer.in.headers = &length;
        peer.in.nheaders = n;
        assert_ok(ask(p, &peer, err));
        WHOLE(peer);
        assert_string_equal(peer.body, "twelve bytes");
        assert_int_equal(peer.answer.body_in, 12);
        peer_done(&peer);
        peer.len = peer.taken = 0;
        peer.heads = peer.ends = 0;
    }
}

static void trailers_go_both_ways(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "POST", "/echo");
    peer.give = 100000;
    peer.check = true;
    peer.late[0] = (struct cis_http_header){"X-Sum", "abc"};
    peer.late[1] = (struct cis_http_header){"X-Sum", "def"};
    peer.nlate = 2;
    assert_ok(ask(p, &peer, err));
    WHOLE(peer);
    assert_int_equal(peer.taken, 100000);
    assert_string_equal(peer.tail, "X-Sum: abc\nX-Sum: def\n");
    peer_done(&peer);
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void bodies_of_64_mib_are_echoed_in_constant_memory(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "POST", "/echo");
    peer.body_max = 0;
    peer.give = 1 << 20; /* what one needs at all */
    assert_ok(ask(p, &peer, err));
    long before = peak_kib();
    peer_init(&peer, "POST", "/echo");
    peer.body_max = 0;
    peer.check = true;
    peer.give = 64 << 20;
    assert_ok(ask(p, &peer, err));
    WHOLE(peer);
    assert_int_equal(peer.taken, 64 << 20);
    assert_int_equal(peer.answer.body_in, 64 << 20);
    assert_true(peak_kib() - before < 16 * 1024);
}

static void the_head_is_there_before_the_body_is_written(void **state)
{
    struct place *p = *state;
    struct peer peer;
    peer_init(&peer, "GET", "/trap-later"); /* it never comes to an end */
    assert_fails(CIS_E_TRAP, "", ask(p, &peer, err));
    assert_string_equal(peer.head, "200 length=-1\n");
    assert_string_equal(peer.body, "half");
    assert_int_equal(peer.ends, 0);
    peer_done(&peer);
}

static void a_body_that_was_whole_before_its_answer_is_told(void **state)
{
    assert_says(*state, "/early", "early");
    assert_says(*state, "/empty", "");
}

/* ---- a peer that is slow ---- */

static void what_is_not_taken_at_once_is_offered_again(void **state)
{
    struct place *p = *state;
    static const char *const paths[] = {"/echo", "/polls"};
    for (size_t i = 0; i < 2; i++) {
        struct peer peer;
        peer_init(&peer, "POST", paths[i]);
        peer.give = 40000;
        peer.check = true;
        peer.piece = 4001;
        peer.again = 2;
        peer.late[0] = (struct cis_http_header){"X-Late", "1"};
        peer.nlate = 1;
        assert_ok(ask(p, &peer, err));
        WHOLE(peer);
        assert_int_equal(peer.taken, 40000);
        assert_string_equal(peer.tail, "X-Late: 1\n");
        peer_done(&peer);
    }
}

struct pipes {
    struct peer peer; /* first: what the functions get */
    int in[2], out[2];
    uint64_t got;
    bool wrong;
};

static enum cis_code from_pipe(void *self, void *to, size_t cap, size_t *out_n,
                               struct cis_error *why)
{
    struct pipes *s = self;
    ssize_t n = read(s->in[0], to, cap);
    *out_n = n > 0 ? (size_t)n : 0;
    return cis_error_errno(why, n < 0 ? errno : 0);
}

static enum cis_code to_pipe(void *self, const void *data, size_t len, size_t *out_n,
                             struct cis_error *why)
{
    struct pipes *s = self;
    ssize_t n = write(s->out[1], data, len);
    *out_n = n > 0 ? (size_t)n : 0;
    s->peer.taken += *out_n;
    return cis_error_errno(why, n < 0 ? errno : 0);
}

/* The other side: writes a piece, and only then reads what came back of it. */
static void *talk(void *arg)
{
    struct pipes *s = arg;
    uint8_t block[1000], back[1000];
    for (int i = 0; i < 50; i++) {
        size_t n = 0;
        memset(block, i, sizeof block);
        assert_int_equal(write(s->in[1], block, sizeof block), sizeof block);
        while (n < sizeof back) {
            ssize_t got = read(s->out[0], back + n, sizeof back - n);
            assert_true(got > 0);
            n += (size_t)got;
        }
        s->wrong |= memcmp(block, back, sizeof block) != 0;
        s->got += n;
    }
    close(s->in[1]);
    return NULL;
}

static void pipes_open(struct pipes *s, bool blocks)
{
    assert_int_equal(pipe2(s->in, blocks ? 0 : O_NONBLOCK), 0);
    assert_int_equal(pipe2(s->out, blocks ? 0 : O_NONBLOCK), 0);
    fcntl(s->in[1], F_SETFL, 0);
    fcntl(s->out[0], F_SETFL, 0);
    s->peer.in.read = from_pipe;
    s->peer.in.write = to_pipe;
    s->peer.in.read_fd = blocks ? -1 : s->in[0];
    s->peer.in.write_fd = blocks ? -1 : s->out[1];
}

static void a_peer_that_waits_for_the_answer_to_what_it_sent_is_served(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 4; i++) {
        struct pipes s = {0};
        pthread_t thread;
        peer_init(&s.peer, "POST", i % 2 == 0 ? "/echo" : "/polls");
        pipes_open(&s, i / 2 == 0);
        assert_int_equal(pthread_create(&thread, NULL, talk, &s), 0);
        assert_ok(ask(p, &s.peer, err));
        pthread_join(thread, NULL);
        WHOLE(s.peer);
        assert_int_equal(s.got, 50000);
        assert_false(s.wrong);
        close(s.in[0]);
        close(s.out[0]);
        close(s.out[1]);
    }
}

/* ---- lengths ---- */

static void no_more_than_the_length_is_read(void **state)
{
    struct place *p = *state;
    struct peer peer;
    static const struct cis_http_header length = {"Content-Length", "1000"};
    peer_init(&peer, "POST", "/count");
    peer.in.headers = &length;
    peer.in.nheaders = 1;
    peer.give = 5000; /* what follows is the next request */
    assert_ok(ask(p, &peer, err));
    WHOLE(peer);
    assert_string_equal(peer.body, "1000 0");
    assert_int_equal(peer.given, 1000);
    peer_done(&peer);
}

static void a_body_that_ends_before_its_length_is_no_whole_one(void **state)
{
    struct place *p = *state;
    struct peer peer;
    static const struct cis_http_header length = {"Content-Length", "1000"};
    peer_init(&peer, "POST", "/count");
    peer.in.headers = &length;
    peer.in.nheaders = 1;
    peer.give = 999;
    assert_ok(ask(p, &peer, err));
    assert_string_equal(peer.body, "999 18"); /* HTTP-request-body-size */
    peer_done(&peer);
    peer_init(&peer, "POST", "/echo");
    peer.in.headers = &length;
    peer.in.nheaders = 1;
    peer.give = 999;
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_INCOMPLETE);
    peer_done(&peer);
}

static void an_answer_has_the_length_that_it_says(void **state)
{
    struct place *p = *state;
    for (unsigned n = 4; n <= 6; n += 2) {
        struct peer peer;
        char path[32];
        snprintf(path, sizeof path, "/length/%u", n);
        peer_init(&peer, "GET", path);
        assert_ok(ask(p, &peer, err));
        assert_int_equal(peer.answer.fault, CIS_HTTP_RESPONSE_BODY_SIZE);
        assert_int_equal(peer.answer.status, 200);
        assert_true(peer.taken <= 5);
        peer_done(&peer);
    }
}

static void only_an_answer_that_is_one_is_told(void **state)
{
    struct place *p = *state;
    struct peer peer;
    static const uint16_t good[] = {200, 204, 599, 999}, bad[] = {100, 101, 199};
    for (size_t i = 0; i < 7; i++) {
        char path[32];
        uint16_t status = i < 4 ? good[i] : bad[i - 4];
        snprintf(path, sizeof path, "/status/%u", status);
        peer_init(&peer, "GET", path);
        assert_ok(ask(p, &peer, err));
        assert_int_equal(peer.answer.fault, i < 4 ? CIS_HTTP_FINE : CIS_HTTP_PROTOCOL);
        assert_int_equal(peer.answer.status, i < 4 ? status : 0);
        peer_done(&peer);
    }
}

/* ---- refused before the guest is called ---- */

static void refused(struct place *p, const struct peer *peer, cis_code code, const char *text)
{
    struct cis_http_answer untouched = CIS_HTTP_ANSWER_INIT;
    untouched.status = 77;
    assert_fails(code, text, cis_component_handle(p->component, &peer->in, &untouched, err));
    assert_int_equal(untouched.status, 77);
    assert_int_equal(peer->heads, 0);
}

static void headers_that_a_peer_may_not_send_are_refused(void **state)
{
    struct place *p = *state;
    struct peer peer;
    static const struct {
        const char *name, *value, *text;
    } rows[] = {
        {"X-A", "b\r\nX-C: d", "control characters"},
        {"X-A", "b\n", "control characters"},
        {"X-A", "\x01", "control characters"},
        {"X A", "b", "not a token"},
        {"X-A:", "b", "not a token"},
        {"X\r\nB", "b", "not a token"},
        {"", "b", "not a token"},
        {"X-\xc3\xa4", "b", "not a token"},
        {NULL, "b", "without a name"},
        {"X-A", NULL, "without a name or a value"},
        {"Connection", "close", "Connection: only the host sets headers of the connection"},
        {"transfer-encoding", "chunked", "only the host sets headers of the connection"},
        {"Host", "a", "only the host sets headers of the connection"},
        {"Upgrade", "h2c", "only the host sets headers of the connection"},
        {"TE", "trailers", "only the host sets headers of the connection"},
        {"Proxy-Authorization", "x", "only the host sets headers of the connection"},
        {"Expect", "100-continue", "only the host sets headers of the connection"},
        {"Content-Length", "-1", "content-length"},
        {"Content-Length", "1x", "content-length"},
        {"Content-Length", "3", "content-length 3 of a body of 0 bytes"},
        {"Content-Length", "18446744073709551615", "content-length"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cis_http_header header = {rows[i].name, rows[i].value};
        peer_init(&peer, "GET", "/hello");
        peer.in.headers = &header;
        peer.in.nheaders = 1;
        refused(p, &peer, CIS_E_INVALID, rows[i].text);
    }
    static const struct cis_http_header two[] = {{"Content-Length", "0"}, {"content-length", "1"}};
    peer.in.headers = two;
    peer.in.nheaders = 2;
    refused(p, &peer, CIS_E_INVALID, "content-length is not a number, or there are two");
    assert_says(p, "/hello", "hello"); /* it is as before */
}

static void more_headers_than_a_set_may_have_are_refused(void **state)
{
    struct place *p = *state;
    struct peer peer;
    enum { MANY = 100000 };
    struct cis_http_header *many = malloc(MANY * sizeof *many);
    char *big = malloc(300000);
    memset(big, 'x', 299999);
    big[299999] = 0;
    for (size_t i = 0; i < MANY; i++) {
        many[i] = (struct cis_http_header){"n", "v"};
    }
    peer_init(&peer, "GET", "/about");
    peer.body_max = 1 << 20;
    peer.in.headers = many;
    peer.in.nheaders = MANY;
    refused(p, &peer, CIS_E_LIMIT, "more than 16384 headers");
    peer.in.nheaders = 10000;
    assert_ok(ask(p, &peer, err));
    WHOLE(peer);
    peer_done(&peer);
    many[0].value = big;
    peer_init(&peer, "GET", "/about");
    peer.in.headers = many;
    peer.in.nheaders = 1;
    refused(p, &peer, CIS_E_LIMIT, "262144 bytes");
    free(big);
    free(many);
}

static void parts_that_are_none_are_refused(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *method, *scheme, *authority, *path, *what;
    } rows[] = {
        {"", NULL, NULL, "/", "method"},
        {"GET /", NULL, NULL, "/", "method"},
        {"GE\r\nT", NULL, NULL, "/", "method"},
        {"GET", "ht tp", NULL, "/", "scheme"},
        {"GET", "", NULL, "/", "scheme"},
        {"GET", "http", "a b", "/", "authority"},
        {"GET", "http", "user@host", "/", "authority"},
        {"GET", "http", "host/path", "/", "authority"},
        {"GET", "http", "host:99999", "/", "authority"},
        {"GET", "http", "host", "http://other/", "path"},
        {"GET", "http", "host", "/a b", "path"},
        {"GET", "http", "host", "/a\r\nX: y", "path"},
        {"GET", "http", "host", "/a#b", "path"},
        {"GET", "http", "host", "/a\x80", "path"},
        {"GET", "http", "host", "/gr\xfc\xdf?q", "path"},
        {"GET", "http", "host", "/?\xed\xa0\x80", "path"},
        {"GET", "http", "h\xf6st", "/", "authority"},
        {"G\xcbT", "http", "host", "/", "method"},
        {"GET", "htt\xff", "host", "/", "scheme"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer peer;
        peer_init(&peer, rows[i].method, rows[i].path);
        peer.in.scheme = rows[i].scheme;
        peer.in.authority = rows[i].authority;
        refused(p, &peer, CIS_E_INVALID, rows[i].what);
    }
    struct peer peer;
    peer_init(&peer, "GET", "/");
    peer.in.method = NULL;
    refused(p, &peer, CIS_E_USAGE, "needs");
    peer.in.method = "GET";
    peer.in.size = 8;
    refused(p, &peer, CIS_E_USAGE, "CIS_HTTP_INCOMING_INIT");
}

static void trailers_that_a_peer_may_not_send_end_the_body_badly(void **state)
{
    struct place *p = *state;
    static const struct cis_http_header rows[] = {{"Content-Length", "5"}, {"Set-Cookie", "a=b"},
                                                  {"X-A", "b\r\nc"},       {"X A", "b"},
                                                  {"Authorization", "x"},  {"X-A", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer peer;
        peer_init(&peer, "POST", "/count");
        peer.give = 10;
        peer.late[0] = rows[i];
        peer.nlate = 1;
        assert_ok(ask(p, &peer, err));
        assert_string_equal(peer.body, "10 36"); /* HTTP-protocol-error */
        peer_done(&peer);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_is_answered),
        cmocka_unit_test(the_guest_sees_the_whole_request),
        cmocka_unit_test(headers_that_are_counted_and_not_there_are_refused),
        cmocka_unit_test(a_body_of_bytes_comes_back),
        cmocka_unit_test(trailers_go_both_ways),
        cmocka_unit_test(bodies_of_64_mib_are_echoed_in_constant_memory),
        cmocka_unit_test(a_body_that_was_whole_before_its_answer_is_told),
        cmocka_unit_test(what_is_not_taken_at_once_is_offered_again),
        cmocka_unit_test(a_peer_that_waits_for_the_answer_to_what_it_sent_is_served),
        cmocka_unit_test(no_more_than_the_length_is_read),
        cmocka_unit_test(a_body_that_ends_before_its_length_is_no_whole_one),
        cmocka_unit_test(an_answer_has_the_length_that_it_says),
        cmocka_unit_test(only_an_answer_that_is_one_is_told),
        cmocka_unit_test(headers_that_a_peer_may_not_send_are_refused),
        cmocka_unit_test(more_headers_than_a_set_may_have_are_refused),
        cmocka_unit_test(parts_that_are_none_are_refused),
        cmocka_unit_test(trailers_that_a_peer_may_not_send_end_the_body_badly),
        cmocka_unit_test(the_head_is_there_before_the_body_is_written), /* its instance ends */
    };
    return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
