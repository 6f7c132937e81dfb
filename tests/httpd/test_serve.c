/* The server as its peers see it: keep-alive, bodies, slow and vanishing peers, many of them, the
 * end. Its owner here answers by the path of the request. */
#include "harness.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/mem.h"
#include "httpd/httpd.h"
#include "waits.h"

#define BODY_MAX 100000u
#define LATER_MAX 64u

static struct {
    cis_httpd *server;
    cis_cancel *cancel;
    pthread_t thread;
    cis_code code;
    unsigned port;
    pthread_mutex_t lock;
    cis_httpd_exchange *later[LATER_MAX]; /* those of /later */
    size_t nlater, gone, dropped;
    bool untagged; /* nobody is told that they go */
} s;

static void head(void *self, const struct cis_httpd_request *r, struct cis_httpd_refusal *out)
{
    (void)self;
    if (cis_str_is(r->target, "/forbidden")) {
        *out = (struct cis_httpd_refusal){.status = 403, .text = "no"};
    }
}

static void dropped(void *tag)
{
    pthread_mutex_lock(&s.lock);
    s.dropped += tag == &s;
    pthread_mutex_unlock(&s.lock);
}

static void request(void *self, cis_httpd_exchange *x, const struct cis_httpd_request *r)
{
    (void)self;
    if (cis_str_is(r->target, "/later")) {
        if (!s.untagged) {
            cis_httpd_tag(x, &s, dropped);
        }
        pthread_mutex_lock(&s.lock);
        s.later[s.nlater++] = cis_httpd_ref(x);
        pthread_mutex_unlock(&s.lock);
    } else if (cis_str_is(r->target, "/stream")) {
        cis_httpd_stream(x, "text/plain", CIS_STR("one "));
        cis_httpd_stream(x, "text/plain", CIS_STR("two"));
        assert_true(cis_httpd_end(x, CIS_STR("")));
        assert_false(cis_httpd_stream(x, "text/plain", CIS_STR("three")));
    } else {
        cis_httpd_answer(x, 200, "text/plain", NULL, r->body.len != 0 ? r->body : r->target);
        cis_httpd_answer(x, 500, "text/plain", NULL, CIS_STR("twice")); /* nothing happens */
    }
}

static void gone(void *self, void *tag)
{
    (void)self;
    pthread_mutex_lock(&s.lock);
    s.gone += tag == &s;
    pthread_mutex_unlock(&s.lock);
}

static void *serve(void *unused)
{
    (void)unused;
    s.code = cis_httpd_serve(s.server, NULL);
    return NULL;
}

static const struct cis_httpd_options usual = {.address = "0",
                                               .connections_max = 1100,
                                               .body_max = BODY_MAX,
                                               .bodies_max = 10 * BODY_MAX,
                                               .answers_max = 1u << 20,
                                               .stream_max = 1u << 18,
                                               .read_min = 16384,
                                               .head_ns = 60 * CIS_NS_PER_S,
                                               .body_ns = 60 * CIS_NS_PER_S,
                                               .idle_ns = 60 * CIS_NS_PER_S,
                                               .stall_ns = 60 * CIS_NS_PER_S,
                                               .full_ns = 60 * CIS_NS_PER_S,
                                               .end_ns = 60 * CIS_NS_PER_S,
                                               .head = head,
                                               .request = request,
                                               .gone = gone};

static void begin(struct cis_httpd_options o)
{
    memset(&s, 0, sizeof s);
    pthread_mutex_init(&s.lock, NULL);
    assert_ok(cis_cancel_new(&s.cancel, err));
    o.cancel = s.cancel;
    assert_ok(cis_httpd_open(&o, &s.server, err));
    const char *colon = strrchr(cis_httpd_address(s.server), ':');
    s.port = (unsigned)strtoul(colon + 1, NULL, 10);
    assert_true(cis_httpd_is_loopback(s.server));
    assert_int_equal(pthread_create(&s.thread, NULL, serve, NULL), 0);
}

static void end(void)
{
    cis_cancel_fire(s.cancel);
    for (size_t i = 0; i < s.nlater; i++) {
        cis_httpd_answer(s.later[i], 200, NULL, NULL, CIS_STR("late"));
    }
    pthread_join(s.thread, NULL);
    assert_int_equal(s.code, CIS_OK);
    cis_httpd_free(s.server);
    for (size_t i = 0; i < s.nlater; i++) { /* an exchange may outlive the server */
        cis_httpd_answer(s.later[i], 200, NULL, NULL, CIS_STR("nobody is there"));
        cis_httpd_unref(s.later[i]);
    }
    assert_int_equal(s.dropped, s.untagged ? 0 : s.nlater);
    cis_cancel_unref(s.cancel);
    pthread_mutex_destroy(&s.lock);
}

static size_t locked(const size_t *what)
{
    pthread_mutex_lock(&s.lock);
    size_t n = *what;
    pthread_mutex_unlock(&s.lock);
    return n;
}

static int dial(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)s.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Until this text has come, or the peer has closed. */
static char *hear(int fd, const char *until)
{
    static char got[1 << 16];
    size_t len = 0;
    got[0] = 0;
    while (until == NULL || strstr(got, until) == NULL) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAITS_MS), 1);
        ssize_t n = recv(fd, got + len, sizeof got - 1 - len, 0);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        got[len] = 0;
    }
    return got;
}

static void assert_hears(int fd, const char *until)
{
    char *got = hear(fd, until);
    if (strstr(got, until) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", until, got);
    }
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(fields) "POST /p HTTP/1.1\r\nHost: h\r\n" fields "\r\n"

static void one_connection_has_many_requests(void **state)
{
    (void)state;
    begin(usual);
    int fd = dial();
    for (int i = 0; i < 50; i++) {
        say(fd, GET("/a"));
        assert_hears(fd, "\r\n\r\n/a");
        say(fd, POST("Content-Length: 5\r\n") "hello");
        assert_hears(fd, "\r\n\r\nhello");
        say(fd, POST("Transfer-Encoding: chunked\r\n") "3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n");
        assert_hears(fd, "\r\n\r\nhello!");
    }
    say(fd, GET("/1") POST("Content-Length: 2\r\n") "/2" GET("/3")); /* pipelined */
    char *got = hear(fd, "\r\n\r\n/3");
    char *one = strstr(got, "\r\n\r\n/1"), *two = strstr(got, "\r\n\r\n/2");
    assert_true(one != NULL && two > one && strstr(got, "\r\n\r\n/3") > two);
    say(fd, "HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    got = hear(fd, NULL);
    assert_non_null(strstr(got, "Content-Length: 2\r\n"));
    assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n"); /* no body */
    close(fd);
    end();
}

static void a_stream_comes_in_chunks_or_until_the_end(void **state)
{
    (void)state;
    begin(usual);
    int fd = dial();
    say(fd, GET("/stream"));
    char *got = hear(fd, "0\r\n\r\n");
    assert_non_null(strstr(got, "Transfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(got, "\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"));
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    got = hear(fd, NULL);
    assert_null(strstr(got, "chunked"));
    assert_non_null(strstr(got, "\r\n\r\none two"));
    close(fd);
    end();
}

/* Whoever tells something and whoever answers do not know of each other. */
static void an_answer_is_not_bounded_as_what_is_told_before_it(void **state)
{
    (void)state;
    begin(usual);
    static char much[3u << 18]; /* of usual.stream_max thrice */
    memset(much, 'x', sizeof much);
    static const char *const requests[] = {GET("/later"), "GET /later HTTP/1.0\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        int fd = dial();
        say(fd, requests[i]);
        assert_comes(locked(&s.nlater) == i + 1);
        cis_httpd_exchange *x = s.later[i];
        struct cis_str all = {much, sizeof much};
        assert_false(cis_httpd_end(x, all)); /* nothing was begun */
        assert_true(cis_httpd_stream(x, "text/plain", CIS_STR("first")));
        assert_false(cis_httpd_answer(x, 200, NULL, NULL, all));
        assert_true(cis_httpd_end(x, all));
        assert_false(cis_httpd_end(x, all));
        const char *end = i == 0 ? "\r\n0\r\n\r\n" : "x";
        size_t got = 0, len = 0;
        char last[8] = "", piece[65536];
        while (got < sizeof much || strcmp(last + 8 - 1 - strlen(end), end) != 0) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            assert_int_equal(poll(&p, 1, WAITS_MS), 1);
            ssize_t n = recv(fd, piece, sizeof piece, 0);
            assert_true(n > 0);
            for (ssize_t k = 0; k < n; k++) {
                got += piece[k] == 'x';
                memmove(last, last + 1, 6);
                last[6] = piece[k];
            }
            len += (size_t)n;
        }
        assert_in_range(len, sizeof much, sizeof much + 1000);
        close(fd);
    }
    end();
}

static void a_client_that_asks_first_is_told_to_go_on(void **state)
{
    (void)state;
    begin(usual);
    int fd = dial();
    say(fd, POST("Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert_hears(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hello");
    assert_hears(fd, "\r\n\r\nhello");
    close(fd);
    fd = dial();
    say(fd,
        "POST /forbidden HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    char *got = hear(fd, NULL);
    assert_null(strstr(got, "100 Continue"));
    assert_non_null(strstr(got, "HTTP/1.1 403 "));
    close(fd);
    end();
}

/* It is closed, and what comes behind is not read as a request. */
static void refuses(const char *text, const char *status)
{
    int fd = dial();
    say(fd, text);
    (void)send(fd, GET("/smuggled"), strlen(GET("/smuggled")), MSG_NOSIGNAL);
    char *got = hear(fd, NULL);
    if (strncmp(got, status, strlen(status)) != 0 || strstr(got, "/smuggled") != NULL ||
        strstr(got, "Connection: close\r\n") == NULL) {
        fail_msg("%s for \"%.300s\": %s", status, text, got);
    }
    close(fd);
}

static void what_is_doubtful_is_refused_and_the_connection_closed(void **state)
{
    (void)state;
    begin(usual);
    refuses(POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n",
            "HTTP/1.1 400 ");
    refuses(POST("Content-Length: 5\r\nContent-Length: 6\r\n") "hello", "HTTP/1.1 400 ");
    refuses(POST("Transfer-Encoding: gzip\r\n") "0\r\n\r\n", "HTTP/1.1 400 ");
    refuses("POST /p HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400 ");
    refuses(POST("Transfer-Encoding: chunked\r\n") "0\r\nX: y\r\n\r\n", "HTTP/1.1 400 ");
    refuses(POST("Transfer-Encoding: chunked\r\n") "1\r\nab\r\n", "HTTP/1.1 400 ");
    refuses(POST("Content-Length: 100001\r\n"), "HTTP/1.1 413 ");
    refuses(POST("Transfer-Encoding: chunked\r\n") "186a1\r\n", "HTTP/1.1 413 ");
    refuses("GET /forbidden HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 403 ");
    end();
}

static void all_bodies_together_are_bounded(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.bodies_max = 1000;
    begin(o);
    refuses(POST("Content-Length: 1001\r\n"), "HTTP/1.1 503 ");
    int fd = dial();
    say(fd, POST("Content-Length: 3\r\n") "abc");
    assert_hears(fd, "\r\n\r\nabc");
    close(fd);
    end();
}

static void slow_peers_are_closed(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.head_ns = o.body_ns = o.idle_ns = 300 * CIS_NS_PER_MS;
    begin(o);
    int fd[4] = {dial(), dial(), dial(), dial()};
    say(fd[1], "GET / HTT");
    say(fd[2], POST("Content-Length: 5\r\n") "he");
    say(fd[3], GET("/a"));
    assert_string_equal(hear(fd[0], NULL), "");
    assert_non_null(strstr(hear(fd[1], NULL), "HTTP/1.1 408 "));
    assert_non_null(strstr(hear(fd[2], NULL), "HTTP/1.1 408 "));
    assert_non_null(strstr(hear(fd[3], NULL), "\r\n\r\n/a"));
    int drip = dial(); /* a byte now and then does not keep it open */
    uint64_t until = cis_clock_mono_ns() + WAITS_NS;
    while (send(drip, "x", 1, MSG_NOSIGNAL) == 1 && cis_clock_mono_ns() < until) {
        waits_nap();
    }
    assert_true(cis_clock_mono_ns() < until);
    close(drip);
    for (int i = 0; i < 4; i++) {
        close(fd[i]);
    }
    end();
}

static void a_peer_that_goes_away_is_told_of_once(void **state)
{
    (void)state;
    begin(usual);
    int left = dial(), half = dial(), stays = dial();
    say(left, GET("/later"));
    say(half, GET("/later"));
    say(stays, GET("/later"));
    assert_comes(locked(&s.nlater) == 3);
    close(left);
    assert_comes(locked(&s.gone) == 1);
    shutdown(half, SHUT_WR);
    assert_comes(locked(&s.gone) == 2);
    for (size_t i = 0; i < 3; i++) {
        cis_httpd_answer(s.later[i], 200, NULL, NULL, CIS_STR("now"));
    }
    assert_hears(stays, "\r\n\r\nnow");
    say(stays, GET("/a"));
    assert_hears(stays, "\r\n\r\n/a");
    assert_int_equal(locked(&s.gone), 2);
    close(half);
    close(stays);
    end();
}

static void a_peer_that_does_not_read_is_closed(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.stall_ns = 300 * CIS_NS_PER_MS;
    o.answers_max = 64u << 20;
    begin(o);
    int fd = dial(), flood = dial();
    say(fd, GET("/later"));
    assert_comes(locked(&s.nlater) == 1);
    static char much[16u << 20];
    memset(much, 'x', sizeof much);
    cis_httpd_answer(s.later[0], 200, NULL, NULL, (struct cis_str){much, sizeof much});
    say(flood, GET("/later"));
    assert_comes(locked(&s.nlater) == 2);
    while (cis_httpd_stream(s.later[1], "text/plain", (struct cis_str){much, 100000})) {
    }
    assert_comes(locked(&s.gone) == 1); /* the one whose stream was too far ahead */
    struct pollfd p = {.fd = fd, .events = POLLERR};
    assert_int_equal(poll(&p, 1, WAITS_MS), 1);
    close(fd);
    close(flood);
    end();
}

/* Of a peer that takes little at once; what he gets is what the kernel cannot hold. */
static int dial_narrow(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)s.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), little = 65536;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static bool is_closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLERR};
    return poll(&p, 1, 0) == 1;
}

static void who_does_not_read_takes_no_answer_of_others(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.full_ns = 1500 * CIS_NS_PER_MS;
    begin(o);
    static char much[16u << 20];
    memset(much, 'x', sizeof much);
    int fd[4];
    for (size_t i = 0; i < 4; i++) {
        fd[i] = i < 2 ? dial_narrow() : dial();
        say(fd[i], GET("/later"));
        assert_comes(locked(&s.nlater) == i + 1);
    }
    assert_false(cis_httpd_full(s.later[3]));
    cis_httpd_answer(s.later[0], 200, NULL, NULL, (struct cis_str){much, sizeof much});
    cis_httpd_answer(s.later[1], 200, NULL, NULL, (struct cis_str){much, sizeof much / 2});
    assert_true(cis_httpd_full(s.later[3])); /* 24 MiB; two sockets hold 9 */
    assert_false(cis_httpd_stream(s.later[3], "text/plain", CIS_STR("told")));
    assert_true(cis_httpd_there(s.later[3])); /* he has lost what was told, and not the answer */
    static char own[200000];
    memset(own, 'y', sizeof own);
    assert_true(cis_httpd_answer(s.later[2], 200, NULL, NULL, (struct cis_str){own, sizeof own}));
    assert_true(cis_httpd_answer(s.later[3], 200, NULL, NULL, CIS_STR("small")));
    assert_hears(fd[3], "\r\n\r\nsmall");
    for (size_t got = 0; got < sizeof own;) {
        ssize_t n = recv(fd[2], own, sizeof own, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    say(fd[3], GET("/a"));
    assert_hears(fd[3], "\r\n\r\n/a");
    assert_comes(is_closed(fd[0])); /* who holds most, first */
    assert_comes(is_closed(fd[1]));
    assert_comes(!cis_httpd_full(s.later[3]));
    for (size_t i = 0; i < 4; i++) {
        close(fd[i]);
    }
    end();
}

static void who_reads_a_byte_now_and_then_is_closed(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.stall_ns = 1000 * CIS_NS_PER_MS;
    o.read_min = 64u << 20;
    begin(o);
    static char much[16u << 20], piece[100000];
    int fd = dial_narrow();
    say(fd, GET("/later"));
    assert_comes(locked(&s.nlater) == 1);
    cis_httpd_answer(s.later[0], 200, NULL, NULL, (struct cis_str){much, sizeof much});
    uint64_t until = cis_clock_mono_ns() + WAITS_NS;
    size_t got = 0;
    for (ssize_t n = 1; n > 0 && cis_clock_mono_ns() < until;) {
        n = recv(fd, piece, sizeof piece, 0);
        got += n > 0 ? (size_t)n : 0;
        for (int i = 0; i < 10; i++) {
            waits_nap();
        }
    }
    assert_true(got < sizeof much);
    close(fd);
    end();
}

static void what_a_slow_reader_has_read_is_not_kept(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.answers_max = o.stream_max = 64u << 20; /* what is read is not counted as read at once */
    begin(o);
    static char piece[1u << 20];
    int fd = dial_narrow();
    say(fd, GET("/later"));
    assert_comes(locked(&s.nlater) == 1);
    size_t sent = 0, got = 0;
    while (sent < 160 * sizeof piece) {
        while (sent - got < 24 * sizeof piece) { /* the kernel does not hold so much */
            assert_true(
                cis_httpd_stream(s.later[0], "text/plain", (struct cis_str){piece, sizeof piece}));
            sent += sizeof piece;
        }
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    struct mallinfo2 held = mallinfo2(); /* nothing with a sanitizer's allocator */
    assert_true(held.uordblks + held.hblkhd < 100 * sizeof piece);
    close(fd);
    end();
}

static void a_peer_that_has_closed_his_side_gets_his_answer(void **state)
{
    (void)state;
    begin(usual);
    s.untagged = true;
    int half = dial(), left = dial();
    say(half, GET("/later") GET("/a"));
    assert_comes(locked(&s.nlater) == 1);
    assert_true(cis_httpd_there(s.later[0]));
    shutdown(half, SHUT_WR);
    assert_comes(!cis_httpd_there(s.later[0])); /* nobody would answer to a question */
    cis_httpd_answer(s.later[0], 200, NULL, NULL, CIS_STR("now"));
    char *got = hear(half, NULL);
    assert_non_null(strstr(got, "\r\n\r\nnow"));
    assert_non_null(strstr(got, "\r\n\r\n/a"));
    say(left, GET("/later"));
    assert_comes(locked(&s.nlater) == 2);
    close(left);
    assert_comes(!cis_httpd_there(s.later[1]));
    cis_httpd_answer(s.later[1], 200, NULL, NULL, CIS_STR("nobody"));
    assert_int_equal(locked(&s.gone), 0);
    close(half);
    end();
}

static void many_connections_wait_and_each_is_served(void **state)
{
    (void)state;
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 2500) {
        skip();
    }
    struct cis_httpd_options o = usual;
    o.connections_max = 1000;
    begin(o);
    static int fd[1001];
    for (size_t i = 0; i < 1000; i++) {
        fd[i] = dial();
    }
    for (size_t i = 1000; i-- > 0;) {
        say(fd[i], GET("/a"));
        assert_hears(fd[i], "\r\n\r\n/a");
    }
    fd[1000] = dial(); /* one more: the one that has waited longest goes, which is the last */
    say(fd[1000], GET("/b"));
    assert_hears(fd[1000], "\r\n\r\n/b");
    assert_string_equal(hear(fd[999], NULL), "");
    say(fd[0], GET("/c"));
    assert_hears(fd[0], "\r\n\r\n/c");
    for (size_t i = 0; i <= 1000; i++) {
        close(fd[i]);
    }
    end();
}

static void silent_connections_do_not_take_the_place_of_clients(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.connections_max = 4;
    begin(o);
    int idle = dial(), body = dial(), fd[10];
    say(idle, GET("/a"));
    assert_hears(idle, "\r\n\r\n/a");
    say(body, POST("Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert_hears(body, "100 Continue");
    for (size_t i = 0; i < 10; i++) {
        fd[i] = dial();
        say(fd[i], "POST /forbidden HTTP/1.1\r\n"); /* no head */
    }
    for (size_t i = 0; i < 8; i++) {
        hear(fd[i], NULL); /* is closed */
    }
    say(body, "hello");
    assert_hears(body, "\r\n\r\nhello");
    say(idle, GET("/b"));
    assert_hears(idle, "\r\n\r\n/b");
    close(idle);
    close(body);
    for (size_t i = 0; i < 10; i++) {
        close(fd[i]);
    }
    end();
}

static void a_connection_that_a_child_has_too_is_gone_when_it_is_closed(void **state)
{
    (void)state;
    begin(usual);
    int fd = dial();
    say(fd, GET("/a"));
    assert_hears(fd, "\r\n\r\n/a");
    pid_t child = fork(); /* it has the server's side, as a compiler that is being started has */
    if (child == 0) {
        close(fd);
        pause();
        _exit(0);
    }
    assert_true(child > 0);
    say(fd, "nonsense\r\n\r\n");
    assert_hears(fd, "HTTP/1.1 400 ");
    say(fd, "more");
    close(fd);
    for (int i = 0; i < 20; i++) { /* turns of the loop in which it must not be named */
        int other = dial();
        say(other, GET("/b"));
        assert_hears(other, "\r\n\r\n/b");
        close(other);
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    end();
}

static void at_the_end_who_waits_is_answered_and_nobody_else_comes(void **state)
{
    (void)state;
    begin(usual);
    int idle = dial(), waits = dial();
    say(idle, GET("/a"));
    assert_hears(idle, "\r\n\r\n/a");
    say(waits, GET("/later"));
    assert_comes(locked(&s.nlater) == 1);
    cis_cancel_fire(s.cancel);
    assert_string_equal(hear(idle, NULL), "");
    cis_httpd_answer(s.later[0], 200, NULL, NULL, CIS_STR("still"));
    assert_non_null(strstr(hear(waits, NULL), "\r\n\r\nstill"));
    close(idle);
    close(waits);
    end();
    struct cis_httpd_options o = usual;
    o.end_ns = 100 * CIS_NS_PER_MS;
    begin(o);
    waits = dial();
    say(waits, GET("/later"));
    assert_comes(locked(&s.nlater) == 1);
    cis_cancel_fire(s.cancel);
    assert_string_equal(hear(waits, NULL), ""); /* nobody answered in time */
    assert_int_equal(locked(&s.gone), 1);
    close(waits);
    end();
}

static void answers_all(void *self, void *tag)
{
    for (size_t i = 0; i < s.nlater; i++) {
        cis_httpd_answer(s.later[i], 200, NULL, NULL, CIS_STR("others are gone"));
    }
    gone(self, tag);
}

static void what_is_answered_while_all_are_closed_is_freed(void **state)
{
    (void)state;
    struct cis_httpd_options o = usual;
    o.gone = answers_all;
    o.end_ns = 0;
    begin(o);
    int fd[2] = {dial(), dial()};
    say(fd[0], GET("/later"));
    say(fd[1], GET("/later"));
    assert_comes(locked(&s.nlater) == 2);
    cis_cancel_fire(s.cancel);
    assert_comes(locked(&s.gone) == 1); /* and the other was answered, and closed after that */
    end();
    close(fd[0]);
    close(fd[1]);
}

static void an_address_that_is_taken_or_none_is_said(void **state)
{
    (void)state;
    begin(usual);
    struct cis_httpd_options o = usual;
    cis_httpd *other = NULL;
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", s.port);
    o.address = taken;
    assert_fails(CIS_E_IO, "Address already in use", cis_httpd_open(&o, &other, err));
    o.address = "example.com:80";
    assert_fails(CIS_E_USAGE, "HOST:PORT", cis_httpd_open(&o, &other, err));
    for (size_t i = 0; i < 8; i++) {
        o.address = "0";
        cis_mem_fail_after(i);
        cis_code code = cis_httpd_open(&o, &other, NULL);
        cis_mem_fail_after(SIZE_MAX);
        assert_true(code == CIS_OK || code == CIS_E_NOMEM || code == CIS_E_IO);
        if (code == CIS_OK) {
            cis_httpd_free(other);
        }
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_has_many_requests),
        cmocka_unit_test(a_stream_comes_in_chunks_or_until_the_end),
        cmocka_unit_test(an_answer_is_not_bounded_as_what_is_told_before_it),
        cmocka_unit_test(a_client_that_asks_first_is_told_to_go_on),
        cmocka_unit_test(many_connections_wait_and_each_is_served),
        cmocka_unit_test(silent_connections_do_not_take_the_place_of_clients),
        cmocka_unit_test(a_connection_that_a_child_has_too_is_gone_when_it_is_closed),
        cmocka_unit_test(at_the_end_who_waits_is_answered_and_nobody_else_comes),
        cmocka_unit_test(what_is_answered_while_all_are_closed_is_freed),
        cmocka_unit_test(an_address_that_is_taken_or_none_is_said),
        cmocka_unit_test(what_is_doubtful_is_refused_and_the_connection_closed),
        cmocka_unit_test(all_bodies_together_are_bounded),
        cmocka_unit_test(slow_peers_are_closed),
        cmocka_unit_test(a_peer_that_goes_away_is_told_of_once),
        cmocka_unit_test(a_peer_that_does_not_read_is_closed),
        cmocka_unit_test(who_does_not_read_takes_no_answer_of_others),
        cmocka_unit_test(who_reads_a_byte_now_and_then_is_closed),
        cmocka_unit_test(what_a_slow_reader_has_read_is_not_kept),
        cmocka_unit_test(a_peer_that_has_closed_his_side_gets_his_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
