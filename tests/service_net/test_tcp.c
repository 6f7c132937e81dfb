/* TCP sockets of a run on loopback: states, bytes, ends, refusals, limits. */
#include "service_net/fixture.h"

struct pair {
    cis_sock *listener, *client, *server;
};

static struct pair connected(struct run *run, const char *text)
{
    struct pair p;
    struct sockaddr_storage addr;
    p.listener = listen_at(run, text, &addr);
    p.client = new_sock(run, CIS_NET_TCP, addr.ss_family);
    assert_int_equal(cis_sock_connect_start(p.client, ADDR(addr)), CIS_SOCK_OK);
    p.server = accept_one(p.listener);
    assert_int_equal(finish_connect(p.client), CIS_SOCK_OK);
    return p;
}

static void pair_done(struct pair *p)
{
    cis_sock_free(p->listener);
    cis_sock_free(p->client);
    cis_sock_free(p->server);
}

#define LOCAL "net=tcp:localhost:*", "net=listen:localhost:*"

static void bytes_go_both_ways_on_v4_and_v6(void **state)
{
    (void)state;
    static const char *const addrs[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        RUN(LOCAL);
        struct pair p = connected(&run, addrs[i]);
        struct sockaddr_storage local, remote;
        send_text(p.client, "there");
        expect_text(p.server, "there");
        send_text(p.server, "and back");
        expect_text(p.client, "and back");
        assert_int_equal(cis_sock_local(p.client, &local), CIS_SOCK_OK);
        assert_int_equal(cis_sock_remote(p.server, &remote), CIS_SOCK_OK);
        assert_int_equal(port_of(&local), port_of(&remote));
        pair_done(&p);
        run_close(&run);
    }
}

static void each_side_ends_on_its_own(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct pair p = connected(&run, "127.0.0.1");
    assert_int_equal(cis_sock_shutdown(p.client, SHUT_WR), CIS_SOCK_OK);
    assert_int_equal(cis_sock_shutdown(p.client, SHUT_WR), CIS_SOCK_OK);
    expect_end(p.server);
    send_text(p.server, "still here");
    expect_text(p.client, "still here");
    size_t n;
    bool end = false;
    assert_int_not_equal(cis_sock_send(p.client, cis_bytes_of("x", 1), &n, &end), CIS_SOCK_OK);
    assert_true(end);
    pair_done(&p);
    run_close(&run);
}

static void a_connection_that_is_thrown_away_is_reset(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct pair p = connected(&run, "127.0.0.1");
    send_text(p.client, "never read");
    wait_for(p.server, false);
    cis_sock_free(p.server); /* with bytes unread: Linux resets */
    p.server = NULL;
    char got[8];
    size_t n;
    bool end = false;
    assert_int_equal(receive(p.client, got, sizeof got, &n, &end), CIS_SOCK_RESET);
    pair_done(&p);
    run_close(&run);
}

static void nobody_there_is_refused_and_closes_the_socket(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct sockaddr_storage addr;
    cis_sock *bound = new_sock(&run, CIS_NET_TCP, AF_INET); /* holds the port, does not listen */
    addr = bind_to(bound, "127.0.0.1");
    cis_sock *client = new_sock(&run, CIS_NET_TCP, AF_INET);
    assert_int_equal(cis_sock_connect_start(client, ADDR(addr)), CIS_SOCK_OK);
    assert_int_equal(finish_connect(client), CIS_SOCK_REFUSED);
    assert_int_equal(cis_sock_state(client), CIS_SOCK_CLOSED);
    assert_int_equal(cis_sock_connect_finish(client), CIS_SOCK_NOT_IN_PROGRESS);
    assert_int_equal(cis_sock_connect_start(client, ADDR(addr)), CIS_SOCK_STATE);
    uint64_t value;
    assert_int_equal(cis_sock_get(client, CIS_SOCK_KEEP_ALIVE, &value), CIS_SOCK_STATE);
    cis_sock_free(client);
    cis_sock_free(bound);
    run_close(&run);
}

static void a_port_is_in_use_and_an_address_may_be_of_another(void **state)
{
    (void)state;
    RUN("net=bind:0.0.0.0/0", "net=listen:0.0.0.0:*");
    struct sockaddr_storage addr, elsewhere = at("192.0.2.1", 0);
    cis_sock *first = listen_at(&run, "127.0.0.1", &addr);
    cis_sock *second = new_sock(&run, CIS_NET_TCP, AF_INET);
    assert_int_equal(cis_sock_bind_start(second, ADDR(addr)), CIS_SOCK_IN_USE);
    assert_int_equal(cis_sock_bind_start(second, ADDR(elsewhere)), CIS_SOCK_NOT_BINDABLE);
    bind_to(second, "127.0.0.1"); /* a bind that failed is no bind */
    cis_sock_free(first);
    cis_sock_free(second);
    run_close(&run);
}

static void a_port_is_free_again_at_once(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct pair p = connected(&run, "127.0.0.1");
    struct sockaddr_storage addr;
    assert_int_equal(cis_sock_local(p.listener, &addr), CIS_SOCK_OK);
    cis_sock_free(p.server); /* ends first: the port is in TIME_WAIT */
    cis_sock_free(p.listener);
    expect_end(p.client);
    cis_sock_free(p.client);
    cis_sock *again = new_sock(&run, CIS_NET_TCP, AF_INET);
    assert_int_equal(cis_sock_bind_start(again, ADDR(addr)), CIS_SOCK_OK);
    cis_sock_free(again);
    run_close(&run);
}

static void every_step_has_its_state(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct sockaddr_storage zero = at("127.0.0.1", 0), v6 = at("::1", 0), got;
    cis_sock *s = new_sock(&run, CIS_NET_TCP, AF_INET), *none = NULL;
    assert_int_equal(cis_sock_bind_finish(s), CIS_SOCK_NOT_IN_PROGRESS);
    assert_int_equal(cis_sock_connect_finish(s), CIS_SOCK_NOT_IN_PROGRESS);
    assert_int_equal(cis_sock_listen_finish(s), CIS_SOCK_NOT_IN_PROGRESS);
    assert_int_equal(cis_sock_listen_start(s), CIS_SOCK_STATE);
    assert_int_equal(cis_sock_accept(s, &none), CIS_SOCK_STATE);
    assert_int_equal(cis_sock_shutdown(s, SHUT_RD), CIS_SOCK_STATE);
    got = zero; /* what is not known is zeros, whatever was there */
    assert_int_equal(cis_sock_local(s, &got), CIS_SOCK_STATE);
    assert_int_equal(got.ss_family, AF_UNSPEC);
    got = zero;
    assert_int_equal(cis_sock_remote(s, &got), CIS_SOCK_STATE);
    assert_int_equal(got.ss_family, AF_UNSPEC);
    assert_int_equal(cis_sock_bind_start(s, ADDR(v6)), CIS_SOCK_INVALID);
    assert_int_equal(cis_sock_bind_start(s, ADDR(zero)), CIS_SOCK_OK);
    assert_int_equal(cis_sock_bind_start(s, ADDR(zero)), CIS_SOCK_CONFLICT);
    assert_int_equal(cis_sock_listen_start(s), CIS_SOCK_CONFLICT);
    assert_int_equal(cis_sock_connect_start(s, ADDR(zero)), CIS_SOCK_CONFLICT);
    assert_int_equal(cis_sock_bind_finish(s), CIS_SOCK_OK);
    assert_int_equal(cis_sock_bind_finish(s), CIS_SOCK_NOT_IN_PROGRESS);
    assert_int_equal(cis_sock_bind_start(s, ADDR(zero)), CIS_SOCK_STATE);
    assert_int_equal(cis_sock_connect_start(s, ADDR(zero)), CIS_SOCK_INVALID); /* port 0 */
    assert_int_equal(cis_sock_listen_start(s), CIS_SOCK_OK);
    assert_int_equal(cis_sock_accept(s, &none), CIS_SOCK_STATE);
    assert_int_equal(cis_sock_listen_finish(s), CIS_SOCK_OK);
    assert_int_equal(cis_sock_listen_finish(s), CIS_SOCK_NOT_IN_PROGRESS);
    assert_int_equal(cis_sock_listen_start(s), CIS_SOCK_STATE);
    assert_int_equal(cis_sock_accept(s, &none), CIS_SOCK_AGAIN);
    assert_int_equal(cis_sock_local(s, &got), CIS_SOCK_OK);
    assert_int_equal(cis_sock_connect_start(s, ADDR(got)), CIS_SOCK_STATE);
    assert_null(none);
    cis_sock_free(s);
    run_close(&run);
}

static void addresses_that_are_none_to_connect_to_are_invalid(void **state)
{
    (void)state;
    RUN("net=tcp:0.0.0.0:*", "net=tcp:224.0.0.1:*", "net=tcp:255.255.255.255:*",
        "net=tcp:[::ffff:127.0.0.1]:*", "net=tcp:[::7f00:1]:*", "net=tcp:[ff02::1]:*");
    static const char *const v4[] = {"0.0.0.0", "224.0.0.1", "255.255.255.255"};
    static const char *const v6[] = {"::ffff:127.0.0.1", "::7f00:1", "ff02::1", "::"};
    cis_sock *a = new_sock(&run, CIS_NET_TCP, AF_INET), *b = new_sock(&run, CIS_NET_TCP, AF_INET6);
    for (size_t i = 0; i < 3; i++) {
        struct sockaddr_storage addr = at(v4[i], 80);
        assert_int_equal(cis_sock_connect_start(a, ADDR(addr)), CIS_SOCK_INVALID);
        assert_int_equal(cis_sock_connect_start(b, ADDR(addr)), CIS_SOCK_INVALID);
    }
    for (size_t i = 0; i < 4; i++) {
        struct sockaddr_storage addr = at(v6[i], 80);
        assert_int_equal(cis_sock_connect_start(b, ADDR(addr)), CIS_SOCK_INVALID);
    }
    cis_sock_free(a);
    cis_sock_free(b);
    run_close(&run);
}

static void what_is_not_granted_is_denied_and_named(void **state)
{
    (void)state;
    RUN("net=tcp:127.0.0.1:1");
    struct sockaddr_storage addr = at("127.0.0.1", 2), v6 = at("::1", 0);
    cis_sock *s = new_sock(&run, CIS_NET_TCP, AF_INET), *t = new_sock(&run, CIS_NET_TCP, AF_INET6);
    assert_int_equal(cis_sock_connect_start(s, ADDR(addr)), CIS_SOCK_DENIED);
    assert_string_equal(cis_net_refusal(run.net), "net=tcp:127.0.0.1:2");
    assert_string_equal(cis_net_refusal(run.net), "");
    assert_int_equal(cis_sock_bind_start(s, ADDR(addr)), CIS_SOCK_DENIED);
    assert_string_equal(cis_net_refusal(run.net), "net=listen:127.0.0.1:2");
    assert_int_equal(cis_sock_bind_start(t, ADDR(v6)), CIS_SOCK_DENIED);
    assert_string_equal(cis_net_refusal(run.net), "net=listen:[::1]:*");
    bind_to(s, "0.0.0.0"); /* as connect would do it */
    assert_int_equal(cis_sock_listen_start(s), CIS_SOCK_DENIED);
    cis_sock_free(s);
    cis_sock_free(t);
    run_close(&run);
}

static void sockets_are_capped_and_charged(void **state)
{
    (void)state;
    struct cis_net_options few = {.sockets_max = 3};
    RUN_WITH(&few, LOCAL);
    struct pair p = connected(&run, "127.0.0.1");
    cis_sock *more = NULL;
    assert_true(run.budget.used > 0);
    assert_int_equal(cis_sock_new(run.net, CIS_NET_UDP, AF_INET, &more), CIS_SOCK_LIMIT);
    assert_int_equal(cis_sock_accept(p.listener, &more), CIS_SOCK_LIMIT);
    cis_sock_free(p.server);
    p.server = NULL;
    run.budget.limit = run.budget.used;
    assert_int_equal(cis_sock_new(run.net, CIS_NET_TCP, AF_INET, &more), CIS_SOCK_NOMEM);
    assert_null(more);
    pair_done(&p);
    run_close(&run);
}

static void options_have_the_ranges_of_the_interface(void **state)
{
    (void)state;
    RUN(LOCAL);
    cis_sock *s = new_sock(&run, CIS_NET_TCP, AF_INET6);
    static const enum cis_sock_option all[] = {CIS_SOCK_KEEP_IDLE,      CIS_SOCK_KEEP_INTERVAL,
                                               CIS_SOCK_KEEP_COUNT,     CIS_SOCK_HOP_LIMIT,
                                               CIS_SOCK_RECEIVE_BUFFER, CIS_SOCK_SEND_BUFFER};
    uint64_t value;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(cis_sock_set(s, all[i], 0), CIS_SOCK_INVALID);
        assert_int_equal(cis_sock_set(s, all[i], UINT64_MAX), CIS_SOCK_OK);
        assert_int_equal(cis_sock_set(s, all[i], 1), CIS_SOCK_OK);
        assert_int_equal(cis_sock_get(s, all[i], &value), CIS_SOCK_OK);
        assert_int_not_equal(value, 0);
    }
    assert_int_equal(cis_sock_get(s, CIS_SOCK_KEEP_IDLE, &value), CIS_SOCK_OK);
    assert_int_equal(value, 1000000000); /* a nanosecond is a second, rounded up */
    assert_int_equal(cis_sock_set(s, CIS_SOCK_KEEP_ALIVE, 1), CIS_SOCK_OK);
    assert_int_equal(cis_sock_get(s, CIS_SOCK_KEEP_ALIVE, &value), CIS_SOCK_OK);
    assert_int_equal(value, 1);
    assert_int_equal(cis_sock_set(s, CIS_SOCK_BACKLOG, 0), CIS_SOCK_INVALID);
    assert_int_equal(cis_sock_set(s, CIS_SOCK_BACKLOG, UINT64_MAX), CIS_SOCK_OK);
    assert_int_equal(cis_sock_get(s, CIS_SOCK_BACKLOG, &value), CIS_SOCK_UNSUPPORTED);
    cis_sock_free(s);
    s = new_sock(&run, CIS_NET_UDP, AF_INET);
    assert_int_equal(cis_sock_get(s, CIS_SOCK_KEEP_ALIVE, &value), CIS_SOCK_UNSUPPORTED);
    cis_sock_free(s);
    run_close(&run);
}

static void accepted_sockets_inherit_options(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct sockaddr_storage addr;
    cis_sock *listener = listen_at(&run, "127.0.0.1", &addr);
    cis_sock *client = new_sock(&run, CIS_NET_TCP, AF_INET);
    static const struct {
        enum cis_sock_option option;
        uint64_t value;
    } set[] = {{CIS_SOCK_KEEP_ALIVE, 1},
               {CIS_SOCK_KEEP_IDLE, 42000000000},
               {CIS_SOCK_KEEP_INTERVAL, 43000000000},
               {CIS_SOCK_KEEP_COUNT, 44},
               {CIS_SOCK_HOP_LIMIT, 45},
               {CIS_SOCK_RECEIVE_BUFFER, 16384},
               {CIS_SOCK_SEND_BUFFER, 32768}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        assert_int_equal(cis_sock_set(listener, set[i].option, set[i].value), CIS_SOCK_OK);
    }
    assert_int_equal(cis_sock_connect_start(client, ADDR(addr)), CIS_SOCK_OK);
    cis_sock *server = accept_one(listener);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        uint64_t value;
        assert_int_equal(cis_sock_get(server, set[i].option, &value), CIS_SOCK_OK);
        assert_int_equal(value, set[i].value);
    }
    cis_sock_free(listener);
    cis_sock_free(client);
    cis_sock_free(server);
    run_close(&run);
}

static void a_reader_that_is_slow_stops_the_sender(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct pair p = connected(&run, "127.0.0.1");
    static char block[65536];
    size_t sent = 0, got = 0, n;
    enum cis_sock_code code;
    assert_true(cis_sock_room(p.client) > 0);
    while ((code = cis_sock_send(p.client, cis_bytes_of(block, sizeof block), &n, NULL)) ==
           CIS_SOCK_OK) {
        sent += n;
    }
    assert_int_equal(code, CIS_SOCK_AGAIN);
    assert_int_equal(cis_sock_room(p.client), 0);
    while (got < sent) {
        bool end = false;
        assert_int_equal(receive(p.server, block, sizeof block, &n, &end), CIS_SOCK_OK);
        got += n;
    }
    wait_for(p.client, true);
    assert_true(cis_sock_room(p.client) > 0);
    pair_done(&p);
    run_close(&run);
}

static void what_room_promises_is_taken_at_once(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct pair p = connected(&run, "127.0.0.1");
    static char block[1u << 20];
    size_t room, n;
    unsigned partial = 0, writes = 0;
    while ((room = cis_sock_room(p.client)) != 0) {
        room = room < sizeof block ? room : sizeof block;
        assert_int_equal(cis_sock_send(p.client, cis_bytes_of(block, room), &n, NULL), CIS_SOCK_OK);
        partial += n < room;
        writes++;
    }
    print_message("%u writes, %u of them in parts\n", writes, partial);
    assert_true(writes > 1);
    pair_done(&p);
    run_close(&run);
}

/* Sends, and the other side has read it. */
static void carry(struct pair *p, size_t len)
{
    static char block[65536];
    size_t n, got = 0, here;
    bool end = false;
    assert_int_equal(cis_sock_send(p->client, cis_bytes_of(block, len), &n, NULL), CIS_SOCK_OK);
    while (got < n) {
        wait_for(p->server, false);
        assert_int_equal(receive(p->server, block, sizeof block, &here, &end), CIS_SOCK_OK);
        got += here;
    }
}

static void room_is_less_by_what_was_sent_until_the_kernel_is_asked_again(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct pair p = connected(&run, "127.0.0.1");
    size_t sent = 0;
    assert_int_equal(cis_sock_set(p.client, CIS_SOCK_SEND_BUFFER, 1u << 20), CIS_SOCK_OK);
    size_t first = cis_sock_room(p.client), room = first;
    assert_true(first > 65536);
    carry(&p, 8192);
    assert_true(cis_sock_room(p.client) <= first - 8192);
    while (sent < 2 * first) {
        size_t len = room < 65536 ? room : 65536;
        carry(&p, len);
        sent += len;
        wait_for(p.client, true);
        room = cis_sock_room(p.client);
        assert_true(room > 0);
    }
    assert_int_equal(cis_sock_set(p.client, CIS_SOCK_SEND_BUFFER, 16384), CIS_SOCK_OK);
    assert_true(cis_sock_room(p.client) <= 16384 + 1);
    pair_done(&p);
    run_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_on_v4_and_v6),
        cmocka_unit_test(each_side_ends_on_its_own),
        cmocka_unit_test(a_connection_that_is_thrown_away_is_reset),
        cmocka_unit_test(nobody_there_is_refused_and_closes_the_socket),
        cmocka_unit_test(a_port_is_in_use_and_an_address_may_be_of_another),
        cmocka_unit_test(a_port_is_free_again_at_once),
        cmocka_unit_test(every_step_has_its_state),
        cmocka_unit_test(addresses_that_are_none_to_connect_to_are_invalid),
        cmocka_unit_test(what_is_not_granted_is_denied_and_named),
        cmocka_unit_test(sockets_are_capped_and_charged),
        cmocka_unit_test(options_have_the_ranges_of_the_interface),
        cmocka_unit_test(accepted_sockets_inherit_options),
        cmocka_unit_test(a_reader_that_is_slow_stops_the_sender),
        cmocka_unit_test(what_room_promises_is_taken_at_once),
        cmocka_unit_test(room_is_less_by_what_was_sent_until_the_kernel_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
