/* Programs that speak wasi:http, against a server on loopback. */
#include "service_http/certs.h"
#include "system/http_world.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include "base/cancel.h"

static const char *big = "67108864"; /* the long form: 1 GiB */

static const struct httpd_raw raw[] = {
    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour"},
    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfour!"},
    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour", .hold = true},
    {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: evil\r\n\r\n"},
    {.bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: 1\r\nProxy-Authenticate: x\r\n"
              "Content-Length: 2\r\nX-Mine: \xff\r\n\r\nok"},
};

static int setup(void **state)
{
    return world_new(state, raw, sizeof raw / sizeof *raw);
}

/* cis run --http GRANT guest METHOD http AUTHORITY PATH … */
#define SEND(method, path, ...)                                                                    \
    cis(&w->sys, "run", "--http", w->grant, w->guest, method, "http", w->authority, path,          \
        ##__VA_ARGS__)
#define assert_out(part) assert_contains(sys_out(&w->sys), part)

static void fields_and_objects_do_what_the_interface_says(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, cis(&w->sys, "run", w->guest, "fields"));
    assert_string_equal(sys_out(&w->sys), "");
    assert_exit(&w->sys, 0, cis(&w->sys, "run", w->guest, "objects"));
    assert_string_equal(sys_out(&w->sys), "");
    assert_exit(&w->sys, 134, cis(&w->sys, "run", w->guest, "outparam")); /* nobody gave it one */
}

static void ten_thousand_fields_are_taken_and_a_hundred_thousand_are_an_error(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, cis(&w->sys, "run", w->guest, "many", "10000"));
    assert_string_equal(sys_out(&w->sys), "from-list: taken\nappend: 10000\nset: taken\n");
    assert_exit(&w->sys, 0, cis(&w->sys, "run", w->guest, "many", "100000"));
    assert_string_equal(sys_out(&w->sys), "from-list: refused\nappend: 16384\nset: refused\n");
    assert_exit(&w->sys, 0, SEND("GET", "/headers?n=10000", "count"));
    assert_out("header X-9999: v\n");
    assert_exit(&w->sys, 1, SEND("GET", "/headers?n=100000", "count"));
    assert_out("response: HTTP-response-header-section-size\n");
}

static void a_request_brings_status_headers_body_and_trailers(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, SEND("GET", "/hello", "header=X-Mine: yes"));
    assert_out("status 200\n");
    assert_out("header Content-Length: 5\n");
    assert_out("hello\nbody 5 bytes\n");
    char *seen = httpd_last(w->server);
    assert_contains(seen, "GET /hello HTTP/1.1\r\n");
    assert_contains(seen, "X-Mine: yes\r\n");
    assert_lacks(seen, "Transfer-Encoding");
    cis_free(seen);
    assert_exit(&w->sys, 0, SEND("GET", "/chunked"));
    assert_out("hello, world\nbody 12 bytes\ntrailer X-Trailer: late\n");
    assert_exit(&w->sys, 0, SEND("GET", "/raw/4"));
    assert_out("header X-Mine: \xff\n");
    assert_lacks(sys_out(&w->sys), "Connection"); /* the host's own */
    assert_lacks(sys_out(&w->sys), "Proxy-Authenticate");
}

static void statuses_and_methods_pass_as_they_are(void **state)
{
    struct world *w = *state;
    static const char *const paths[] = {"/status/204", "/status/304", "/status/404", "/status/500"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char line[32];
        snprintf(line, sizeof line, "status %s\n", paths[i] + 8);
        assert_exit(&w->sys, 0, SEND("GET", paths[i]));
        assert_out(line);
    }
    assert_exit(&w->sys, 0, SEND("GET", "/redirect?to=/hello")); /* an answer like others */
    assert_out("status 302\n");
    assert_exit(&w->sys, 0, SEND("HEAD", "/hello"));
    assert_out("header Content-Length: 5\n");
    assert_out("body 0 bytes\n");
    assert_exit(&w->sys, 0, SEND("REPORT", "/echo?a=b", "body=x"));
    assert_out("REPORT /echo?a=b HTTP/1.1\r\n");
    assert_exit(&w->sys, 1, SEND("CONNECT", "/hello"));
    assert_out("handle: HTTP-request-method-invalid\n");
    assert_exit(&w->sys, 1, SEND("TRACE", "/hello"));
    assert_exit(&w->sys, 1, SEND("a b", "/hello"));
    assert_out("not a request\n");
}

static void bodies_stream_with_trailers_both_ways(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0,
                SEND("POST", "/stream/mirror", "body=hello", "trailer=X-One: 1", "trailer=X-Two:"));
    assert_out("hello\nbody 5 bytes\ntrailer X-One: 1\ntrailer X-Two: \ntrailer X-Bytes: 5\n");
    assert_exit(&w->sys, 0, SEND("POST", "/stream/sink", "repeat=300000", "blocking"));
    assert_out("300000 bytes, trailers: ");
    assert_exit(&w->sys, 0, SEND("POST", "/stream/sink", "body=hello", "early", "trailer=A: b"));
    assert_out("5 bytes, trailers: A: b");
    assert_exit(&w->sys, 0, SEND("POST", "/stream/ignore", "repeat=20000000", "count"));
    assert_out("status 200\n"); /* of one that did not want all of it */
    assert_out("body 5 bytes\n");
}

static void large_bodies_take_little_memory(void **state)
{
    struct world *w = *state;
    char repeat[64], line[64];
    snprintf(repeat, sizeof repeat, "repeat=%s", big);
    snprintf(line, sizeof line, "body %s bytes\n", big);
    w->sys.timeout_ns = 600 * CIS_NS_PER_S;
    w->sys.env[0] =
        "CIS_LIMITS_HOST_BYTES=4MiB"; /* the run is charged what it makes the host hold */
    assert_exit(&w->sys, 0, SEND("POST", "/stream/mirror", repeat, "count"));
    assert_out(line);
    snprintf(line, sizeof line, "X-Bytes: %s\n", big);
    assert_out(line);
}

/* Text in UTF-16 is made anew for the host, half as long again: names of some items of one list,
 * each two MiB of the guest's memory, the same ones. */
#define UTF16_GUEST                                                                                \
    "(component (import \"wasi:http/types@0.2.0\" (instance $h"                                    \
    "  (export \"fields\" (type $f (sub resource)))"                                               \
    "  (type $e (variant (case \"invalid-syntax\") (case \"forbidden\") (case \"immutable\")))"    \
    "  (export \"header-error\" (type $he (eq $e)))"                                               \
    "  (export \"[static]fields.from-list\" (func (param \"entries\" (list (tuple string (list "   \
    "u8))))"                                                                                       \
    "   (result (result (own $f) (error $he)))))))"                                                \
    " (core module $mem (memory (export \"m\") 80)) (core instance $mi (instantiate $mem))"        \
    " (core func $from (canon lower (func $h \"[static]fields.from-list\")"                        \
    "  (memory (core memory $mi \"m\")) string-encoding=%s))"                                      \
    " (core module $main (import \"h\" \"from\" (func $from (param i32 i32 i32)))"                 \
    "  (import \"m\" \"m\" (memory 80))"                                                           \
    "  (func (export \"run\") (result i32) (local $i i32)"                                         \
    "   (local.set $i (i32.const 2097152))"                                                        \
    "   (loop (i32.store (local.get $i) (i32.const 0x08000800))"                                   \
    "    (local.set $i (i32.add (local.get $i) (i32.const 4)))"                                    \
    "    (br_if 0 (i32.lt_u (local.get $i) (i32.const 4194304))))"                                 \
    "   (local.set $i (i32.const 1024))"                                                           \
    "   (loop (i32.store (local.get $i) (i32.const 2097152))"                                      \
    "    (i32.store offset=4 (local.get $i) (i32.const %u))"                                       \
    "    (local.set $i (i32.add (local.get $i) (i32.const 16)))"                                   \
    "    (br_if 0 (i32.lt_u (local.get $i) (i32.const 17024))))"                                   \
    "   (call $from (i32.const 1024) (i32.const %u) (i32.const 64))"                               \
    "   (i32.load8_u (i32.const 64))))" /* the error is the run's */                               \
    " (core instance $i (instantiate $main (with \"h\" (instance (export \"from\" (func $from))))" \
    "  (with \"m\" (instance $mi))))"                                                              \
    " (func $run (result (result)) (canon lift (core func $i \"run\")))"                           \
    " (instance $r (export \"run\" (func $run))) (export \"wasi:cli/run@0.2.0\" (instance $r)))"

static void text_that_is_not_utf8_is_bounded_before_it_is_made_anew(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *encoding;
        unsigned units, items;
        int code;
    } rows[] = {{"utf16", 1048576, 60, 1},  /* refused as too many fields are */
                {"utf16", 1048577, 1, 125}, /* one that is too long ends the run */
                {"latin1+utf16", 0x80000000u | 1048577, 1, 125},
                {"latin1+utf16", 0x80000000u | 1048576, 60, 1},
                {"latin1+utf16", 1048577, 1, 125}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[4096], *path;
        snprintf(text, sizeof text, UTF16_GUEST, rows[i].encoding, rows[i].units, rows[i].items);
        path = sys_wat(&w->sys, "utf16.wat", text);
        char home[4200];
        snprintf(home, sizeof home, "CIS_HOME=%s", w->sys.home);
        int status;
        struct rusage used;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            putenv(home);
            execl(CIS_PROGRAM, "cis", "run", path, (char *)NULL);
            _exit(99);
        }
        assert_int_equal(wait4(pid, &status, 0, &used), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), rows[i].code);
#ifndef __SANITIZE_ADDRESS__
        assert_in_range(used.ru_maxrss, 1, 64 << 10); /* KiB; 192 MiB and more without the bound */
#endif
        free(path);
    }
}

/* What a run holds at once is charged to it before it is there, and is given back. */
static void exchanges_and_bodies_that_wait_are_charged(void **state)
{
    struct world *w = *state;
#define HOLD(what, n)                                                                              \
    cis(&w->sys, "run", "--http", w->grant, w->guest, "hold", w->authority, what, n)
    static const char *const full = "handle: connection-limit-reached\nheld %s\n";
    char once[64], twice[128];
    snprintf(once, sizeof once, full, "128");
    snprintf(twice, sizeof twice, "%s%s", once, once);
    assert_exit(&w->sys, 0, HOLD("exchanges", "1000"));
    assert_string_equal(sys_out(&w->sys), twice);
    w->sys.env[0] = "CIS_LIMITS_HOST_BYTES=4MiB";
    snprintf(once, sizeof once, full, "3");
    snprintf(twice, sizeof twice, "%s%s", once, once);
    assert_exit(&w->sys, 0, HOLD("exchanges", "1000"));
    assert_string_equal(sys_out(&w->sys), twice);
    assert_exit(&w->sys, 0, HOLD("bodies", "50"));
    assert_exit(&w->sys, 125, HOLD("bodies", "100"));
    assert_contains(sys_err(&w->sys), "host-bytes");
    assert_contains(sys_err(&w->sys), "4194304");
}

/* Engines that collect garbage keep what they have read, and what they never read. */
static void responses_that_are_over_are_not_under_way(void **state)
{
    struct world *w = *state;
#define KEEP(path, how, n)                                                                         \
    cis(&w->sys, "run", "--http", w->grant, w->guest, "keep", w->authority, path, how, n)
    assert_exit(&w->sys, 0, KEEP("/hello", "unread", "150"));
    assert_string_equal(sys_out(&w->sys), "kept 150, 750 bytes, 150 ended\n");
    w->sys.env[0] = "CIS_LIMITS_HOST_BYTES=8MiB"; /* that is seven at once */
    assert_exit(&w->sys, 0, KEEP("/hello", "read", "40"));
    assert_string_equal(sys_out(&w->sys), "kept 40, 200 bytes, 40 ended\n");
    assert_exit(&w->sys, 0, KEEP("/hello", "unread", "40"));
    assert_string_equal(sys_out(&w->sys), "kept 40, 200 bytes, 40 ended\n");
    assert_exit(&w->sys, 0, KEEP("/status/204", "unread", "40"));
    assert_string_equal(sys_out(&w->sys), "kept 40, 0 bytes, 40 ended\n");
    assert_exit(&w->sys, 0, KEEP("/close", "unread", "40"));
    assert_string_equal(sys_out(&w->sys), "kept 40, 0 bytes, 0 ended\n");
    assert_exit(&w->sys, 0, KEEP("/lie", "unread", "40")); /* cut short: what came is read */
    assert_string_equal(sys_out(&w->sys), "kept 40, 400 bytes, 0 ended\n");
    assert_exit(&w->sys, 0, KEEP("/drip", "unread", "40")); /* these are not over */
    assert_out("handle: connection-limit-reached\nkept 7,");
}

static void lengths_are_kept_or_are_errors(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, SEND("POST", "/echo", "body=hello", "header=Content-Length: 5"));
    assert_out("Content-Length: 5\r\n");
    assert_exit(&w->sys, 1, SEND("POST", "/echo", "body=hello", "header=Content-Length: 9"));
    assert_out("finish: HTTP-request-body-size(5)\n");
    assert_exit(&w->sys, 1, SEND("POST", "/echo", "body=hello", "header=Content-Length: 3"));
    assert_out("write: HTTP-request-body-size");
    assert_exit(&w->sys, 1, SEND("GET", "/echo", "header=Content-Length: 3"));
    assert_out("handle: HTTP-request-body-size(0)\n");
    assert_exit(&w->sys, 1,
                SEND("POST", "/echo", "body=hello", "header=Content-Length: 5",
                     "header=content-length: 6"));
    assert_out("no body\n");
    assert_exit(&w->sys, 1, SEND("GET", "/echo", "header=Content-Length: -1"));
    assert_out("handle: HTTP-protocol-error\n");
    assert_exit(&w->sys, 0, SEND("GET", "/raw/0"));
    assert_out("body: HTTP-response-incomplete\n");
    assert_out("trailers: HTTP-response-incomplete\n");
    assert_exit(&w->sys, 1, SEND("GET", "/raw/1"));
    assert_out("response: HTTP-protocol-error\n");
    assert_int_equal(httpd_requests(w->server), 3); /* none that was cut short */
}

static void headers_and_trailers_that_frame_are_refused(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0,
                SEND("GET", "/echo", "header=Host: evil.example", "header=Transfer-Encoding: x",
                     "header=Connection: close", "header=X: a\r\nHost: b"));
    assert_out("header-error 1 Host: evil.example\n");
    assert_out("header-error 1 Transfer-Encoding: x\n");
    assert_out("header-error 0 X: a");
    char *seen = httpd_last(w->server);
    assert_lacks(seen, "evil");
    cis_free(seen);
    assert_exit(&w->sys, 1, SEND("POST", "/echo", "body=x", "trailer=Authorization: me"));
    assert_out("finish: HTTP-protocol-error\n");
    assert_exit(&w->sys, 1,
                SEND("POST", "/echo", "body=x", "header=Content-Length: 1", "trailer=X: y"));
    assert_out("finish: HTTP-protocol-error\n");
    assert_exit(&w->sys, 0, SEND("GET", "/raw/3"));
    assert_out("HTTP-protocol-error\n"); /* a field among the trailers that must not be there */
}

static void the_grant_is_for_where_the_request_goes(void **state)
{
    struct world *w = *state;
    char path[128];
    assert_exit(&w->sys, 1, cis(&w->sys, "run", w->guest, "GET", "http", w->authority, "/hello"));
    assert_out("handle: HTTP-request-denied\n");
    assert_contains(sys_err(&w->sys), "--allow http=http://127.0.0.1:");
    assert_exit(&w->sys, 1,
                cis(&w->sys, "run", "--http", "http://example.com", w->guest, "GET", "http",
                    w->authority, "/hello"));
    assert_out("handle: HTTP-request-denied\n");
    snprintf(path, sizeof path, "http://%s/hello", w->authority); /* in absolute form */
    assert_exit(&w->sys, 1,
                cis(&w->sys, "run", "--http", "http://example.com", w->guest, "GET", "http",
                    "example.com", path));
    assert_out("path refused\n");
    snprintf(path, sizeof path, "example.com@%s", w->authority);
    assert_exit(&w->sys, 1,
                cis(&w->sys, "run", "--http", "http://example.com", w->guest, "GET", "http", path,
                    "/hello"));
    assert_out("authority refused\n");
    assert_exit(
        &w->sys, 1,
        cis(&w->sys, "run", "--allow", "network", w->guest, "GET", "http", w->authority, "/hello"));
    assert_out("handle: HTTP-request-denied\n"); /* loopback is not public */
    assert_exit(&w->sys, 0, SEND("GET", "//example.com/"));
    assert_int_equal(httpd_requests(w->server), 1); /* that path is the granted server's */
    assert_exit(&w->sys, 1,
                cis(&w->sys, "run", "--http", w->grant, w->guest, "GET", "ftp", w->authority, "/"));
    assert_out("handle: HTTP-request-URI-invalid\n");
    assert_exit(&w->sys, 2,
                cis(&w->sys, "run", "--http", "http://a/path", w->guest, "GET", "http", "a", "/"));
    assert_exit(&w->sys, 2, cis(&w->sys, "run", "--allow", "ai", w->guest, "fields"));
}

static void time_limits_end_their_part(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 1, SEND("GET", "/hello", "times=0,0,0"));
    assert_out("connection-timeout\n");
    assert_exit(&w->sys, 1, SEND("GET", "/hello", "times=18446744073709551615,0,0"));
    assert_out("connection-read-timeout\n");
    assert_exit(&w->sys, 0,
                SEND("GET", "/hello",
                     "times=18446744073709551615,18446744073709551615,"
                     "18446744073709551615"));
    assert_out("hello\n");
    assert_exit(&w->sys, 1, SEND("GET", "/hang", "times=60000000000,50000000,60000000000"));
    assert_out("response: connection-read-timeout\n");
    assert_exit(&w->sys, 0, SEND("GET", "/raw/2", "times=60000000000,60000000000,500000000"));
    assert_out("four");
    assert_out("body: connection-read-timeout\n");
}

static void a_run_ends_while_it_waits(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 124,
                cis(&w->sys, "run", "--time", "300ms", "--http", w->grant, w->guest, "GET", "http",
                    w->authority, "/hang"));
    sys_waited(&w->sys, 300);
    assert_exit(&w->sys, 124,
                cis(&w->sys, "run", "--time", "300ms", "--http", w->grant, w->guest, "POST", "http",
                    w->authority, "/stream/hang", "repeat=100000000", "blocking"));
    sys_waited(&w->sys, 300);
    assert_exit(&w->sys, 1, SEND("GET", "/close"));
    assert_out("response: connection-terminated\n");
}

static void everything_may_be_dropped_at_every_stage(void **state)
{
    struct world *w = *state;
    assert_exit(
        &w->sys, 0,
        SEND("POST", "/stream/mirror", "repeat=200000", "stop=-1", "count", "trailer=A: b"));
    assert_out("dropped\n");
    assert_out("body 200000 bytes\n"); /* and the last one went all the way */
    assert_exit(&w->sys, 0, SEND("POST", "/hello", "body=hello", "stop=-1", "early"));
    assert_exit(&w->sys, 134, SEND("POST", "/echo", "body=hello", "held"));
    assert_contains(sys_err(&w->sys),
                    "WASI: the guest dropped, gave away or finished outgoing-body before");
    assert_exit(&w->sys, 1, SEND("POST", "/echo", "body=hello", "unfinished"));
    assert_out("response: HTTP-protocol-error\n");
}

static void tls_is_verified(void **state)
{
    struct world *w = *state;
    char ca_file[300], cert[300], key[300], config[700], grant[96], authority[64];
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", w->sys.home);
    snprintf(cert, sizeof cert, "%s/cert.pem", w->sys.home);
    snprintf(key, sizeof key, "%s/key.pem", w->sys.home);
    test_ca *ca = test_ca_new();
    assert_true(ca != NULL && test_ca_write(ca, ca_file) &&
                test_ca_leaf(ca, "IP:127.0.0.1", -3600, 3600, cert, key));
    test_ca_free(ca);
    httpd *secure = httpd_start(&(struct httpd_options){.cert = cert, .key = key});
    assert_non_null(secure);
    snprintf(authority, sizeof authority, "127.0.0.1:%u", httpd_port(secure));
    snprintf(grant, sizeof grant, "https://%s", authority);
#define SECURE cis(&w->sys, "run", "--http", grant, w->guest, "GET", "https", authority, "/hello")
    assert_exit(&w->sys, 1, SECURE); /* the system does not know this authority */
    assert_out("response: TLS-certificate-error\n");
    snprintf(config, sizeof config, "SSL_CERT_FILE=%s", ca_file); /* OpenSSL's own programs do */
    w->sys.env[0] = config;
    assert_exit(&w->sys, 1, SECURE);
    assert_out("response: TLS-certificate-error\n");
    snprintf(config, sizeof config, "CIS_HTTP_CA_FILE=%s", ca_file);
    w->sys.env[0] = config;
    assert_exit(&w->sys, 0, SECURE);
    assert_out("hello\n");
    /* The library for TLS has an ear for the environment of its own. */
    static const char settings[] = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\n"
                                   "system_default = c\n[c]\nMaxProtocol = TLSv1\n"
                                   "MinProtocol = TLSv1\n";
    char keys[350], conf[350], path[300];
    snprintf(keys, sizeof keys, "SSLKEYLOGFILE=%s/keys", w->sys.home);
    snprintf(conf, sizeof conf, "OPENSSL_CONF=%s/openssl.cnf", w->sys.home);
    snprintf(path, sizeof path, "%s/openssl.cnf", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(settings, sizeof settings - 1), 0600, err));
    w->sys.env[1] = keys;
    w->sys.env[2] = conf;
    assert_exit(&w->sys, 0, SECURE);
    assert_out("hello\n");
    snprintf(path, sizeof path, "%s/keys", w->sys.home);
    assert_false(cis_file_exists(path));
    w->sys.env[1] = NULL;
    httpd_stop(secure);
    assert_exit(&w->sys, 1, SECURE);
    assert_out("response: connection-refused\n");
}

static void a_component_that_answers_requests_is_called_that(void **state)
{
    struct world *w = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/incoming.component.wasm", w->sys.home);
    assert_exit(&w->sys, 0,
                cis(&w->sys, "component", "new", CIS_GUESTS_DIR "/incoming.wasm", "-o", path));
    assert_exit(&w->sys, 126, cis(&w->sys, "run", path));
    assert_contains(sys_err(&w->sys), "exports wasi:http/incoming-handler, not wasi:cli/run: it "
                                      "answers HTTP requests, and cis run is no server");
    assert_exit(&w->sys, 0, cis(&w->sys, "inspect", path));
    assert_out("runs: no: exports wasi:http/incoming-handler: it answers HTTP requests");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    big = argc > 1 ? argv[1] : big;
    const struct CMUnitTest tests[] = {
        TEST(fields_and_objects_do_what_the_interface_says),
        TEST(ten_thousand_fields_are_taken_and_a_hundred_thousand_are_an_error),
        TEST(text_that_is_not_utf8_is_bounded_before_it_is_made_anew),
        TEST(a_request_brings_status_headers_body_and_trailers),
        TEST(statuses_and_methods_pass_as_they_are),
        TEST(bodies_stream_with_trailers_both_ways),
        TEST(large_bodies_take_little_memory),
        TEST(exchanges_and_bodies_that_wait_are_charged),
        TEST(responses_that_are_over_are_not_under_way),
        TEST(lengths_are_kept_or_are_errors),
        TEST(headers_and_trailers_that_frame_are_refused),
        TEST(the_grant_is_for_where_the_request_goes),
        TEST(time_limits_end_their_part),
        TEST(a_run_ends_while_it_waits),
        TEST(everything_may_be_dropped_at_every_stage),
        TEST(tls_is_verified),
        TEST(a_component_that_answers_requests_is_called_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
