/* Sockets of components: scenes of one guest (tests/guests/net.c), what is reached by which grant,
 * and what ends a guest that waits. Ports are the kernel's choice. */
#include "system.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "service_http/dns_server.h"

#define GUEST CIS_GUESTS_DIR "/net.wasm"
#define LOCAL "--net", "tcp:localhost:*", "--net", "udp:localhost:*", "--net", "listen:localhost:*"

struct world {
    struct sys sys; /* first: what the helpers take */
    char guest[600];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->sys.home = test_dir_new();
    snprintf(w->guest, sizeof w->guest, "%s/net.component.wasm", w->sys.home);
    *state = w;
    return cis(&w->sys, "component", "new", GUEST, "-o", w->guest);
}

/* The guest asks behind its streams' errors. */
#define ERRORS "--wasi", "network-error-code"
#define RUN(...) cis(&w->sys, "run", ERRORS, __VA_ARGS__)
/* A scene with all of the machine's own addresses. */
#define SCENE(...)                                                                                 \
    do {                                                                                           \
        assert_exit(&w->sys, 0, RUN(LOCAL, w->guest, __VA_ARGS__));                                \
        assert_contains(sys_out(&w->sys), "ok\n");                                                 \
    } while (0)

static void tcp_echoes_and_ends_one_side_at_a_time(void **state)
{
    struct world *w = *state;
    SCENE("tcp", "4");
    SCENE("tcp", "6");
}

static void many_connections_share_one_poll(void **state)
{
    struct world *w = *state;
    SCENE("many", "64", "4");
    SCENE("many", "100", "6");
}

static void what_check_write_promises_is_taken_and_arrives(void **state)
{
    struct world *w = *state;
    SCENE("big", "20000000");
    SCENE("linger");
    SCENE("splice");
}

static void every_step_of_a_socket_has_its_state(void **state)
{
    struct world *w = *state;
    SCENE("states");
}

static void options_have_the_ranges_of_the_interface(void **state)
{
    struct world *w = *state;
    SCENE("options", "4");
    SCENE("options", "6");
}

static void refusals_of_the_network_are_told(void **state)
{
    struct world *w = *state;
    SCENE("refused");
    SCENE("inuse");
}

static void a_parent_that_is_dropped_before_its_children_is_a_trap(void **state)
{
    struct world *w = *state;
    static const char *const parents[] = {"tcp-socket",
                                          "input-stream",
                                          "output-stream",
                                          "tcp-socket",
                                          "tcp-socket",
                                          "udp-socket",
                                          "incoming-datagram-stream",
                                          "outgoing-datagram-stream"};
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        char number[8], words[100];
        snprintf(number, sizeof number, "%zu", i);
        snprintf(words, sizeof words,
                 "WASI: the guest dropped, gave away or finished %s before 1 that was", parents[i]);
        assert_exit(&w->sys, 134, RUN(LOCAL, w->guest, "early", number));
        assert_string_equal(sys_out(&w->sys), "");
        assert_contains(sys_err(&w->sys), words);
    }
}

static void handles_that_are_forgotten_meet_the_runs_limit(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN(w->guest, "forget", "1000"));
    assert_contains(sys_out(&w->sys), "1000 forgotten\n");
    assert_exit(&w->sys, 125, RUN("--handles", "500", w->guest, "forget", "1000"));
    assert_contains(sys_err(&w->sys), "limit \"handles\" reached: 501 of 500");
    assert_exit(&w->sys, 0, RUN("--handles", "1100", w->guest, "forget", "1000"));
    w->sys.env[0] = "CIS_LIMITS_HANDLES=200";
    assert_exit(&w->sys, 125, RUN(w->guest, "forget", "1000"));
    assert_exit(&w->sys, 0, RUN("--handles", "1100", w->guest, "forget", "1000"));
    assert_exit(&w->sys, 2, RUN("--handles", "15", w->guest, "forget", "1"));
    assert_contains(sys_err(&w->sys), "--handles 15: out of range (16 to 100000)");
    w->sys.env[0] = "CIS_LIMITS_HOST_BYTES=1MiB"; /* which is over the number */
    assert_exit(&w->sys, 125, RUN("--handles", "100000", w->guest, "forget", "1000"));
    assert_contains(sys_err(&w->sys), "limit \"handles\" reached: 257 of 256");
}

static void what_is_no_child_is_dropped_in_every_order(void **state)
{
    struct world *w = *state;
    SCENE("drops");
}

static void a_clock_ends_a_wait_for_sockets(void **state)
{
    struct world *w = *state;
    SCENE("times");
}

static void datagrams_go_both_ways_and_are_bounded(void **state)
{
    struct world *w = *state;
    SCENE("udp", "4");
    SCENE("udp", "6");
    SCENE("udp-crowd", "64");
}

static void the_streams_before_are_over_when_a_socket_gives_new_ones(void **state)
{
    struct world *w = *state;
    SCENE("udp-peer");
}

static void more_datagrams_than_were_permitted_are_a_trap(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 134, RUN(LOCAL, w->guest, "udp-trap"));
    assert_string_equal(sys_out(&w->sys), "asks\n");
    assert_contains(sys_err(&w->sys), "17 datagrams");
}

static void sockets_of_a_run_are_capped(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN("--sockets", "20", w->guest, "unlimited", "100"));
    assert_string_equal(sys_out(&w->sys), "20 sockets\nok\n");
    assert_exit(&w->sys, 0, RUN(w->guest, "unlimited", "2000"));
    assert_string_equal(sys_out(&w->sys), "1024 sockets\nok\n");
    w->sys.env[0] = "CIS_LIMITS_HOST_BYTES=2MiB"; /* each is charged */
    if (RUN(w->guest, "unlimited", "2000") == 0) {
        assert_contains(sys_out(&w->sys), "out of memory\n");
    } else { /* what was left did not do for the next handle either */
        assert_contains(sys_err(&w->sys), "limit \"host-bytes\" reached");
    }
}

/* With it, the scene "reset" finds connection-reset behind a stream's error. */
static void errors_behind_streams_are_told_to_those_who_may_ask(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 126, cis(&w->sys, "run", w->guest, "denied"));
    assert_contains(sys_err(&w->sys), "imports wasi:sockets/network@0.2.12.network-error-code "
                                      "(unstable: --wasi network-error-code), which nothing");
    assert_exit(&w->sys, 126, cis(&w->sys, "run", "--wasi", "clocks-timezone", w->guest, "denied"));
    assert_exit(
        &w->sys, 0,
        cis(&w->sys, "run", "--wasi", "clocks-timezone,network-error-code", w->guest, "denied"));
    assert_exit(&w->sys, 0, cis(&w->sys, "run", "--trap-unknown-imports", w->guest, "denied"));
}

/* ---- what is granted ---- */

static void nothing_is_reached_without_a_grant(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN(w->guest, "denied"));
    assert_string_equal(sys_out(&w->sys), "ok\n");
    assert_contains(sys_err(&w->sys), "--allow net=tcp:127.0.0.1:80");
    assert_contains(sys_err(&w->sys), "--allow dns");
    /* Neither does what is for HTTP, or for another way. */
    assert_exit(&w->sys, 0,
                RUN("--allow", "network", "--http", "http://127.0.0.1:80", "--net",
                    "tcp:127.0.0.1:81", w->guest, "connect", "127.0.0.1", "80"));
    assert_contains(sys_out(&w->sys), "connect: 1\n");
    assert_exit(&w->sys, 0,
                RUN("--net", "listen:127.0.0.1:80", "--net", "udp:127.0.0.1:80", w->guest,
                    "connect", "127.0.0.1", "80"));
    assert_contains(sys_out(&w->sys), "connect: 1\n");
}

static void grants_that_a_program_has_no_use_for_are_usage_errors(void **state)
{
    struct world *w = *state;
    static const char *const grants[] = {"memory", "ai", "fs=rw", "env=A", "nothing", "net=tcp:a"};
    for (size_t i = 0; i < sizeof grants / sizeof *grants; i++) {
        assert_exit(&w->sys, 2, RUN("--allow", grants[i], w->guest, "denied"));
    }
    assert_exit(&w->sys, 2, RUN("--net", "tcp:localhost", w->guest, "denied"));
}

/* ---- a peer outside ---- */

struct peer {
    int fd;
    uint16_t port;
    pthread_t thread;
};

static void peer_open(struct peer *p, int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    p->fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    assert_int_equal(bind(p->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(p->fd, (struct sockaddr *)&at, &len), 0);
    assert_true(type == SOCK_DGRAM || listen(p->fd, 5) == 0);
    p->port = ntohs(at.sin_port);
}

/* Takes one connection, waits for bytes, and throws it away with them. */
static void *resets(void *self)
{
    struct peer *p = self;
    struct linger hard = {1, 0};
    int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    poll(&readable, 1, -1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    return NULL;
}

static void a_connection_that_is_reset_says_so_once(void **state)
{
    struct world *w = *state;
    struct peer p;
    char port[8];
    peer_open(&p, SOCK_STREAM);
    snprintf(port, sizeof port, "%u", p.port);
    assert_int_equal(pthread_create(&p.thread, NULL, resets, &p), 0);
    SCENE("reset", port);
    pthread_join(p.thread, NULL);
    close(p.fd);
}

static void *greets(void *self)
{
    struct peer *p = self;
    int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
    char got[2];
    if (recv(fd, got, 2, MSG_WAITALL) == 2 && send(fd, "hi", 2, MSG_NOSIGNAL) != 2) {
        abort();
    }
    close(fd);
    return NULL;
}

/* A stranger first, then the one that was granted. */
static void *answers(void *self)
{
    struct peer *p = self;
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    struct peer stranger;
    char got[64];
    if (recvfrom(p->fd, got, sizeof got, 0, (struct sockaddr *)&from, &len) != 5) {
        abort();
    }
    peer_open(&stranger, SOCK_DGRAM);
    if (sendto(stranger.fd, "stranger", 8, 0, (struct sockaddr *)&from, len) != 8 ||
        sendto(p->fd, "granted", 7, 0, (struct sockaddr *)&from, len) != 7) {
        abort();
    }
    close(stranger.fd);
    return NULL;
}

static void a_client_of_udp_hears_from_whom_it_may_send_to(void **state)
{
    struct world *w = *state;
    struct peer p;
    char port[8], rule[40];
    peer_open(&p, SOCK_DGRAM);
    snprintf(port, sizeof port, "%u", p.port);
    snprintf(rule, sizeof rule, "udp:127.0.0.1:%u", p.port);
    assert_int_equal(pthread_create(&p.thread, NULL, answers, &p), 0);
    assert_exit(&w->sys, 0, RUN("--net", rule, w->guest, "udp-client", port));
    pthread_join(p.thread, NULL);
    close(p.fd);
}

/* ---- names ---- */

static const struct dns_row rows[] = {
    {"public", DNS_ADDRS, {"8.8.8.8", "9.9.9.9"}, {"2606:4700::1"}, 0},
    {"local", DNS_ADDRS, {"127.0.0.1"}, {0}, 0},
    {"mixed", DNS_ADDRS, {"8.8.8.8", "10.0.0.1"}, {0}, 0},
    {"nx", DNS_NXDOMAIN, {0}, {0}, 0},
    {"servfail", DNS_SERVFAIL, {0}, {0}, 0},
    {"silent", DNS_SILENT, {0}, {0}, 0},
};

static dns_server *names_open(struct world *w)
{
    char text[128];
    dns_server *dns = dns_start(rows, sizeof rows / sizeof *rows);
    assert_non_null(dns);
    snprintf(text, sizeof text, "[http]\ndns_servers = \"%s\"\n", dns_address(dns));
    char folder[600];
    snprintf(folder, sizeof folder, "%s/config", w->sys.home);
    assert_int_equal(mkdir(folder, 0700), 0);
    sys_file(&w->sys, "config/config.toml", text, strlen(text));
    return dns;
}

static void names_are_looked_up_as_the_policy_says(void **state)
{
    struct world *w = *state;
    dns_server *dns = names_open(w);
    static const struct {
        const char *grant, *name, *says;
        int exit;
    } table[] = {
        {"dns", "public.test", "8.8.8.8\n9.9.9.9\n", 0},
        {"dns", "PUBLIC.test.", "2606:4700:0:0:0:0:0:1\n", 0},
        {"net=tcp:public.test:443", "public.test", "8.8.8.8\n", 0},
        {"net=tcp:other.test:443", "public.test", "error 1\n", 1},
        {"dns", "local.test", "error 1\n", 1}, /* not public, and not granted */
        {"dns", "mixed.test", "error 1\n", 1}, /* the whole answer */
        {"dns", "nx.test", "error 18\n", 1},
        {"dns", "servfail.test", "error 19\n", 1},
        {"dns", "not a name", "error 3\n", 1},
        {"dns", "1.2.3", "error 3\n", 1},
        {"clocks", "127.0.0.1", "127.0.0.1\n", 0}, /* literal: no question */
        {"clocks", "::1", "0:0:0:0:0:0:0:1\n", 0},
        {"clocks", "[::ffff:1.2.3.4]", "1.2.3.4\n", 0},
        {"clocks", "localhost", "error 1\n", 1},
        {"net=tcp:localhost:1", "localhost", "127.0.0.1\n0:0:0:0:0:0:0:1\n", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        unsigned before = dns_questions(dns);
        int exit = RUN("--allow", table[i].grant, w->guest, "lookup", table[i].name);
        if (exit != table[i].exit || strstr(sys_out(&w->sys), table[i].says) == NULL) {
            fail_msg("row %zu: exit %d: %s%s", i, exit, sys_out(&w->sys), sys_err(&w->sys));
        }
        bool asks =
            strstr(table[i].name, ".test") != NULL && strstr(table[i].grant, "other") == NULL;
        assert_int_equal(dns_questions(dns) != before, asks);
    }
    dns_stop(dns);
}

static void an_address_behind_a_name_is_reached_when_it_is_granted(void **state)
{
    struct world *w = *state;
    struct peer p;
    char port[8], rule[60], other[60];
    dns_server *dns = names_open(w);
    peer_open(&p, SOCK_STREAM);
    snprintf(port, sizeof port, "%u", p.port);
    snprintf(rule, sizeof rule, "tcp:127.0.0.1:%u", p.port);
    snprintf(other, sizeof other, "tcp:local.test:%u", p.port);
    assert_int_equal(pthread_create(&p.thread, NULL, greets, &p), 0);
    assert_exit(&w->sys, 0,
                RUN("--net", rule, "--allow", "dns", w->guest, "connect", "local.test", port));
    assert_string_equal(sys_out(&w->sys), "127.0.0.1\nconnect: -1\n");
    pthread_join(p.thread, NULL);
    /* The name alone means its public addresses. */
    assert_exit(&w->sys, 0, RUN("--net", other, w->guest, "connect", "local.test", port));
    assert_string_equal(sys_out(&w->sys), "lookup: 1\n");
    close(p.fd);
    dns_stop(dns);
}

/* ---- the end of a guest that waits ---- */

static void the_time_limit_ends_every_wait(void **state)
{
    struct world *w = *state;
    static const char *const waits[] = {"accept", "read", "write", "udp", "lookup"};
    dns_server *dns = names_open(w);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        assert_exit(&w->sys, 124,
                    RUN(LOCAL, "--allow", "dns", "--time", "500ms", w->guest, "hang", waits[i]));
        assert_string_equal(sys_out(&w->sys), "waits\n");
        sys_waited(&w->sys, 500);
    }
    dns_stop(dns);
}

static void ctrl_c_ends_every_wait(void **state)
{
    struct world *w = *state;
    static const char *const waits[] = {"accept", "read", "write", "udp", "lookup"};
    dns_server *dns = names_open(w);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        char line[2000];
        snprintf(line, sizeof line,
                 "cd %s; rm -f out; %s run --wasi network-error-code --net 'tcp:localhost:*' --net "
                 "'udp:localhost:*' --net "
                 "'listen:localhost:*' --allow dns %s hang %s > out & p=$!; until grep -q "
                 "waits out 2>/dev/null; do sleep 0.05; done; kill -INT $p; wait "
                 "$p; echo code $?",
                 w->sys.home, CIS_PROGRAM, w->guest, waits[i]);
        const char *argv[] = {"/bin/sh", "-c", line, NULL};
        assert_exit(&w->sys, 0, sys_exec(&w->sys, argv));
        assert_contains(sys_out(&w->sys), "code 130");
    }
    dns_stop(dns);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tcp_echoes_and_ends_one_side_at_a_time),
        TEST(many_connections_share_one_poll),
        TEST(what_check_write_promises_is_taken_and_arrives),
        TEST(every_step_of_a_socket_has_its_state),
        TEST(options_have_the_ranges_of_the_interface),
        TEST(refusals_of_the_network_are_told),
        TEST(a_parent_that_is_dropped_before_its_children_is_a_trap),
        TEST(handles_that_are_forgotten_meet_the_runs_limit),
        TEST(what_is_no_child_is_dropped_in_every_order),
        TEST(a_clock_ends_a_wait_for_sockets),
        TEST(datagrams_go_both_ways_and_are_bounded),
        TEST(the_streams_before_are_over_when_a_socket_gives_new_ones),
        TEST(more_datagrams_than_were_permitted_are_a_trap),
        TEST(sockets_of_a_run_are_capped),
        TEST(errors_behind_streams_are_told_to_those_who_may_ask),
        TEST(nothing_is_reached_without_a_grant),
        TEST(grants_that_a_program_has_no_use_for_are_usage_errors),
        TEST(a_connection_that_is_reset_says_so_once),
        TEST(a_client_of_udp_hears_from_whom_it_may_send_to),
        TEST(names_are_looked_up_as_the_policy_says),
        TEST(an_address_behind_a_name_is_reached_when_it_is_granted),
        TEST(the_time_limit_ends_every_wait),
        TEST(ctrl_c_ends_every_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
