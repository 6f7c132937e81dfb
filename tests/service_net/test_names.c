/* Names of a run, asked of a server that the test starts: what an answer may be, what it opens,
 * what is refused, and answers that are none, come too late, or never. */
#include "service_net/fixture.h"
#include "waits.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "base/cancel.h"
#include "base/clock.h"
#include "service_http/dns_server.h"

static const struct dns_row rows[] = {
    {"several", DNS_ADDRS, {"8.8.8.8", "9.9.9.9"}, {"2606:4700::1"}, 0},
    {"v6", DNS_ADDRS, {0}, {"2606:4700::1"}, 0},
    {"alias", DNS_CNAME_TO, {"8.8.8.8"}, {0}, "real.test"},
    {"empty", DNS_EMPTY, {0}, {0}, 0},
    {"nx", DNS_NXDOMAIN, {0}, {0}, 0},
    {"loop", DNS_CNAME_LOOP, {0}, {0}, 0},
    {"many", DNS_MANY, {"8.8.8.8"}, {0}, 0},
    {"servfail", DNS_SERVFAIL, {0}, {0}, 0},
    {"garbage", DNS_GARBAGE, {0}, {0}, 0},
    {"silent", DNS_SILENT, {0}, {0}, 0},
    {"private", DNS_ADDRS, {"10.0.0.1"}, {0}, 0},
    {"mixed", DNS_ADDRS, {"8.8.8.8", "10.0.0.1"}, {0}, 0},
    {"local", DNS_ADDRS, {"127.0.0.1"}, {"::1"}, 0},
};
static dns_server *dns;

static struct cis_net_options with_dns(void)
{
    return (struct cis_net_options){.dns_servers = dns_address(dns)};
}

/* Steps and waits as a caller does until there is an answer. */
static void await(cis_names *names)
{
    while (!cis_names_step(names)) {
        int fd;
        uint64_t at;
        assert_true(cis_names_wish(names, &fd, &at));
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, cis_clock_poll_ms(at));
    }
    int fd;
    uint64_t at;
    assert_false(cis_names_wish(names, &fd, &at));
}

/* The addresses as texts, sorted into "a b c". */
static enum cis_sock_code answer_of(struct run *run, const char *name, char out[512])
{
    cis_names *names = NULL;
    struct sockaddr_storage addr;
    bool more = true;
    out[0] = 0;
    enum cis_sock_code code = cis_names_ask(run->net, cis_str_of(name), &names);
    if (code != CIS_SOCK_OK) {
        assert_null(names);
        return code;
    }
    await(names);
    while ((code = cis_names_next(names, &addr, &more)) == CIS_SOCK_OK && more) {
        char text[64];
        cis_addr_text(ADDR(addr), text);
        assert_int_equal(port_of(&addr), 0);
        size_t len = strlen(out);
        snprintf(out + len, 512 - len, "%s%s", len != 0 ? " " : "", text);
    }
    assert_false(more);
    assert_int_equal(cis_names_next(names, &addr, &more), code); /* and so it stays */
    assert_false(more);
    cis_names_free(names);
    return code;
}

/* ---- answers ---- */

static void a_name_has_all_its_addresses(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    RUN_WITH(&options, "dns");
    char got[512];
    assert_int_equal(answer_of(&run, "several.test", got), CIS_SOCK_OK);
    assert_non_null(strstr(got, "8.8.8.8"));
    assert_non_null(strstr(got, "9.9.9.9"));
    assert_non_null(strstr(got, "2606:4700::1"));
    assert_int_equal(strlen(got), strlen("8.8.8.8 9.9.9.9 2606:4700::1"));
    assert_int_equal(answer_of(&run, "V6.test.", got), CIS_SOCK_OK);
    assert_string_equal(got, "2606:4700::1");
    assert_int_equal(answer_of(&run, "alias.test", got), CIS_SOCK_OK);
    assert_string_equal(got, "8.8.8.8");
    run_close(&run);
}

static void literal_addresses_are_no_question(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    RUN_WITH(&options, "net=tcp:localhost:1");
    static const char *const table[][2] = {{"127.0.0.1", "127.0.0.1"},
                                           {"10.0.0.1", "10.0.0.1"}, /* its own words */
                                           {"::1", "::1"},
                                           {"[::1]", "::1"},
                                           {"[::ffff:1.2.3.4]", "1.2.3.4"},
                                           {"localhost", "127.0.0.1 ::1"}};
    unsigned before = dns_questions(dns);
    char got[512];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(answer_of(&run, table[i][0], got), CIS_SOCK_OK);
        assert_string_equal(got, table[i][1]);
    }
    assert_int_equal(dns_questions(dns), before);
    run_close(&run);
}

/* ---- what is refused ---- */

static void who_may_not_ask_asks_nobody(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    RUN_WITH(&options, "net=tcp:several.test:443", "net=udp:alias.test:53");
    unsigned before = dns_questions(dns);
    char got[512];
    assert_int_equal(answer_of(&run, "v6.test", got), CIS_SOCK_DENIED);
    assert_string_equal(cis_net_refusal(run.net), "dns");
    assert_int_equal(answer_of(&run, "sub.several.test", got), CIS_SOCK_DENIED);
    assert_int_equal(answer_of(&run, "localhost", got), CIS_SOCK_DENIED);
    assert_int_equal(dns_questions(dns), before);
    assert_int_equal(answer_of(&run, "several.test", got), CIS_SOCK_OK); /* named by a rule */
    assert_int_equal(answer_of(&run, "alias.test", got), CIS_SOCK_OK);
    assert_true(dns_questions(dns) > before);
    run_close(&run);
}

static void an_answer_that_is_not_public_is_refused_as_a_whole(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    RUN_WITH(&options, "dns", "net=tcp:127.0.0.1:80", "net=tcp:[::1]:80");
    char got[512];
    assert_int_equal(answer_of(&run, "private.test", got), CIS_SOCK_DENIED);
    assert_string_equal(cis_net_refusal(run.net), "net=tcp:10.0.0.1:*");
    assert_int_equal(answer_of(&run, "mixed.test", got), CIS_SOCK_DENIED);
    assert_string_equal(got, "");
    assert_int_equal(answer_of(&run, "local.test", got), CIS_SOCK_OK); /* granted as they are */
    assert_int_equal(strlen(got), strlen("127.0.0.1 ::1"));
    run_close(&run);
}

static void what_is_no_name_is_invalid(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    RUN_WITH(&options, "dns");
    static const char *const none[] = {
        "",           ".",    "a b",  "a..b",         "1.2.3",
        "0x7f000001", "[::1", "a\nb", "fe80::1%eth0", "caf\xc3\xa9.test"};
    unsigned before = dns_questions(dns);
    char got[512];
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        if (answer_of(&run, none[i], got) != CIS_SOCK_INVALID) {
            fail_msg("%s is no name", none[i]);
        }
    }
    assert_int_equal(dns_questions(dns), before);
    run_close(&run);
}

/* A rule that names a host means the addresses that this run was told for it, and no others. */
static void an_answer_opens_the_rule_that_names_its_host(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    RUN_WITH(&options, "dns", "net=udp:several.test:9", "net=udp:private.test:9");
    struct sockaddr_storage told = at("8.8.8.8", 9), port = at("8.8.8.8", 10),
                            other = at("1.1.1.1", 9), inside = at("10.0.0.1", 9);
    char got[512];
    cis_sock *sock = new_sock(&run, CIS_NET_UDP, AF_INET);
    bind_to(sock, "0.0.0.0");
    assert_int_equal(cis_sock_peer(sock, ADDR(told)), CIS_SOCK_DENIED); /* not asked yet */
    assert_int_equal(answer_of(&run, "several.test", got), CIS_SOCK_OK);
    enum cis_sock_code code = cis_sock_peer(sock, ADDR(told));        /* sends nothing */
    assert_true(code == CIS_SOCK_OK || code == CIS_SOCK_UNREACHABLE); /* as this machine is */
    assert_int_equal(cis_sock_peer(sock, ADDR(port)), CIS_SOCK_DENIED);
    assert_int_equal(cis_sock_peer(sock, ADDR(other)), CIS_SOCK_DENIED);
    assert_int_equal(answer_of(&run, "private.test", got), CIS_SOCK_DENIED);
    assert_int_equal(cis_sock_peer(sock, ADDR(inside)), CIS_SOCK_DENIED);
    cis_sock_free(sock);
    run_close(&run);
}

/* ---- answers that are none ---- */

static void no_address_and_too_many_are_no_name(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    RUN_WITH(&options, "dns");
    static const char *const none[] = {"empty.test", "nx.test", "many.test"};
    char got[512];
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(answer_of(&run, none[i], got), CIS_SOCK_NO_NAME);
    }
    assert_int_not_equal(answer_of(&run, "loop.test", got), CIS_SOCK_OK);
    assert_string_equal(got, "");
    run_close(&run);
}

static void a_server_that_fails_may_do_better_later(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    options.lookup_ns = 300 * CIS_NS_PER_MS;
    RUN_WITH(&options, "dns");
    static const char *const names[] = {"servfail.test", "garbage.test", "silent.test"};
    char got[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t start = cis_clock_mono_ns();
        assert_int_equal(answer_of(&run, names[i], got), CIS_SOCK_TRY_LATER);
        if (i == 2) { /* silence is waited for, as long as was said */
            assert_true(cis_clock_mono_ns() - start >= 300 * CIS_NS_PER_MS);
        }
    }
    run_close(&run);
}

/* The whole answer that server gives, by hand: A records for what was asked. */
static void answer_late(int fd)
{
    uint8_t message[512];
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    ssize_t n = recvfrom(fd, message, sizeof message - 16, 0, (struct sockaddr *)&from, &len);
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 8, 8, 8, 8};
    assert_true(n > 12);
    message[2] = 0x81; /* a response without an error, with one record */
    message[3] = 0x80;
    message[7] = 1;
    message[11] = 0; /* and no others */
    memcpy(message + n, record, sizeof record);
    assert_int_equal(
        sendto(fd, message, (size_t)n + sizeof record, 0, (struct sockaddr *)&from, len),
        n + (ssize_t)sizeof record);
}

static void an_answer_that_comes_too_late_is_none(void **state)
{
    (void)state;
    struct sockaddr_storage server = at("127.0.0.1", 0);
    socklen_t len = sizeof server;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, ADDR(server), sizeof(struct sockaddr_in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&server, &len), 0);
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%u", port_of(&server));
    struct cis_net_options options = {.dns_servers = text, .lookup_ns = 50 * CIS_NS_PER_MS};
    RUN_WITH(&options, "dns");
    cis_names *names = NULL, *other = NULL;
    struct sockaddr_storage addr;
    bool more;
    assert_int_equal(cis_names_ask(run.net, CIS_STR("late.test"), &names), CIS_SOCK_OK);
    assert_int_equal(cis_names_next(names, &addr, &more), CIS_SOCK_AGAIN);
    await(names);
    answer_late(fd);
    answer_late(fd); /* the other family's question */
    assert_true(cis_names_step(names));
    assert_int_equal(cis_names_next(names, &addr, &more), CIS_SOCK_TRY_LATER);
    cis_names_free(names);
    /* Nor is it missed by who has gone meanwhile. */
    assert_int_equal(cis_names_ask(run.net, CIS_STR("gone.test"), &other), CIS_SOCK_OK);
    assert_false(cis_names_step(other));
    cis_names_free(other);
    answer_late(fd);
    close(fd);
    run_close(&run);
}

/* ---- limits ---- */

static void look_ups_count_as_sockets_do(void **state)
{
    (void)state;
    struct cis_net_options options = with_dns();
    options.sockets_max = 2;
    RUN_WITH(&options, "dns");
    cis_names *a = NULL, *b = NULL;
    cis_sock *sock = new_sock(&run, CIS_NET_UDP, AF_INET);
    assert_int_equal(cis_names_ask(run.net, CIS_STR("silent.test"), &a), CIS_SOCK_OK);
    assert_int_equal(cis_names_ask(run.net, CIS_STR("silent.test"), &b), CIS_SOCK_LIMIT);
    assert_int_equal(cis_names_ask(run.net, CIS_STR("127.0.0.1"), &b), CIS_SOCK_LIMIT);
    cis_sock_free(sock);
    run.budget.limit = run.budget.used;
    assert_int_equal(cis_names_ask(run.net, CIS_STR("silent.test"), &b), CIS_SOCK_NOMEM);
    assert_null(b);
    cis_names_free(a); /* in the middle of it */
    run_close(&run);
}

static void servers_that_are_none_resolve_nothing(void **state)
{
    (void)state;
    struct cis_net_options options = {.dns_servers = "not a server"};
    RUN_WITH(&options, "dns");
    char got[512];
    assert_int_equal(answer_of(&run, "several.test", got), CIS_SOCK_NO_RESOLVER);
    assert_int_equal(answer_of(&run, "127.0.0.1", got), CIS_SOCK_OK);
    assert_fails(CIS_E_USAGE, "not a list of addresses", cis_net_dns_check("not a server", err));
    assert_ok(cis_net_dns_check("127.0.0.1:53,[::1]:5353", err));
    run_close(&run);
}

/* ---- all at once, for who may wait ---- */

struct canceller {
    cis_cancel *cancel;
    unsigned questions; /* fires at this one: the look-up waits then */
};

static void *fire(void *arg)
{
    struct canceller *c = arg;
    dns_wait_questions(dns, c->questions);
    cis_cancel_fire(c->cancel);
    return NULL;
}

static void a_deadline_or_a_stop_ends_a_look_up(void **state)
{
    (void)state;
    struct cis_net_addrs out = {0};
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    struct cis_stop stop = {CIS_NEVER, cancel};
    struct cis_call call = {.stop = &stop};
    assert_waits(500 * CIS_NS_PER_MS, {
        call.deadline_ns = cis_clock_mono_ns() + 500 * CIS_NS_PER_MS;
        assert_fails(CIS_E_DEADLINE, "dns: time limit reached",
                     cis_net_resolve(dns_address(dns), "silent.test", 80, 60000 * CIS_NS_PER_MS,
                                     &call, &out, err));
    });
    assert_fails(CIS_E_DEADLINE, "dns: time limit reached", /* before it began */
                 cis_net_resolve(dns_address(dns), "several.test", 80, 60000 * CIS_NS_PER_MS, &call,
                                 &out, err));
    call.deadline_ns = CIS_NEVER;
    assert_ok(cis_net_resolve(dns_address(dns), "several.test", 80, 60000 * CIS_NS_PER_MS, &call,
                              &out, err));
    assert_int_equal(out.n, 3);
    for (size_t i = 0; i < out.n; i++) {
        assert_int_equal(port_of(&out.list[i]), 80);
    }
    cis_net_addrs_done(&out);
    assert_fails(
        CIS_E_NET, "no answer from the name servers",
        cis_net_resolve(dns_address(dns), "silent.test", 80, 50 * CIS_NS_PER_MS, &call, &out, err));
    pthread_t thread;
    struct canceller c = {cancel, dns_questions(dns) + 1};
    assert_int_equal(pthread_create(&thread, NULL, fire, &c), 0);
    assert_fails(CIS_E_CANCELLED, "dns: cancelled",
                 cis_net_resolve(dns_address(dns), "silent.test", 80, 60000 * CIS_NS_PER_MS, &call,
                                 &out, err));
    pthread_join(thread, NULL);
    assert_int_equal(out.n, 0);
    cis_cancel_unref(cancel);
}

static int setup(void **state)
{
    (void)state;
    dns = dns_start(rows, sizeof rows / sizeof *rows);
    return dns != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    dns_stop(dns);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_all_its_addresses),
        cmocka_unit_test(literal_addresses_are_no_question),
        cmocka_unit_test(who_may_not_ask_asks_nobody),
        cmocka_unit_test(an_answer_that_is_not_public_is_refused_as_a_whole),
        cmocka_unit_test(what_is_no_name_is_invalid),
        cmocka_unit_test(an_answer_opens_the_rule_that_names_its_host),
        cmocka_unit_test(no_address_and_too_many_are_no_name),
        cmocka_unit_test(a_server_that_fails_may_do_better_later),
        cmocka_unit_test(an_answer_that_comes_too_late_is_none),
        cmocka_unit_test(look_ups_count_as_sockets_do),
        cmocka_unit_test(servers_that_are_none_resolve_nothing),
        cmocka_unit_test(a_deadline_or_a_stop_ends_a_look_up),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
