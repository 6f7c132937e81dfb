/* UDP sockets of a run on loopback: datagrams, peers, refusals. The other side is another socket of
 * the run, or a plain one of the test, which the run's grants know nothing of. */
#include "service_net/fixture.h"

#include <stdio.h>
#include <unistd.h>

#define LOCAL "net=udp:localhost:*", "net=listen:localhost:*"

static enum cis_sock_code send_to(cis_sock *sock, const char *text, const struct sockaddr *to)
{
    return cis_sock_send_to(sock, cis_bytes_of(text, strlen(text)), to);
}

/* The next datagram is this one; from: where it came from, NULL: anywhere. */
static void expect(cis_sock *sock, const char *text, const struct sockaddr_storage *from)
{
    char got[256];
    size_t n = 0;
    struct sockaddr_storage who;
    enum cis_sock_code code;
    while ((code = cis_sock_receive_from(sock, got, sizeof got, &n, &who)) == CIS_SOCK_AGAIN) {
        wait_for(sock, false);
    }
    assert_int_equal(code, CIS_SOCK_OK);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
    if (from != NULL) {
        assert_true(cis_addr_equal(ADDR(who), ADDR(*from)));
        assert_int_equal(port_of(&who), port_of(from));
    }
}

/* A plain socket of the test, bound to a port of this address. */
static int plain(const char *text, struct sockaddr_storage *out)
{
    socklen_t len = sizeof *out;
    *out = at(text, 0);
    int fd = socket(out->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size =
        out->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, ADDR(*out), size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)out, &len), 0);
    return fd;
}

static void plain_send(int fd, const char *text, const struct sockaddr_storage *to)
{
    socklen_t size =
        to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    assert_int_equal(sendto(fd, text, strlen(text), 0, ADDR(*to), size), (int)strlen(text));
}

/* ---- datagrams ---- */

static void datagrams_go_both_ways_on_v4_and_v6(void **state)
{
    (void)state;
    static const char *const addrs[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        RUN(LOCAL);
        struct sockaddr_storage here, there, got;
        cis_sock *a = new_sock(&run, CIS_NET_UDP, at(addrs[i], 0).ss_family);
        cis_sock *b = new_sock(&run, CIS_NET_UDP, at(addrs[i], 0).ss_family);
        here = bind_to(a, addrs[i]);
        there = bind_to(b, addrs[i]);
        size_t n = 7;
        char byte;
        assert_int_equal(cis_sock_receive_from(b, &byte, 1, &n, &got), CIS_SOCK_AGAIN);
        assert_int_equal(send_to(a, "there", ADDR(there)), CIS_SOCK_OK);
        assert_int_equal(send_to(a, "", ADDR(there)), CIS_SOCK_OK); /* a datagram all the same */
        expect(b, "there", &here);
        expect(b, "", &here);
        assert_int_equal(send_to(b, "and back", ADDR(here)), CIS_SOCK_OK);
        expect(a, "and back", &there);
        assert_int_equal(cis_sock_remote(a, &got), CIS_SOCK_STATE);
        cis_sock_free(a);
        cis_sock_free(b);
        run_close(&run);
    }
}

static void what_is_longer_than_the_room_is_cut(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct sockaddr_storage there, from;
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET), *b = new_sock(&run, CIS_NET_UDP, AF_INET);
    bind_to(a, "127.0.0.1");
    there = bind_to(b, "127.0.0.1");
    assert_int_equal(send_to(a, "0123456789", ADDR(there)), CIS_SOCK_OK);
    assert_int_equal(send_to(a, "none of it", ADDR(there)), CIS_SOCK_OK);
    assert_int_equal(send_to(a, "the next", ADDR(there)), CIS_SOCK_OK);
    char got[8] = "--------";
    size_t n = 0;
    wait_for(b, false);
    assert_int_equal(cis_sock_receive_from(b, got, 4, &n, &from), CIS_SOCK_OK);
    assert_int_equal(n, 4);
    assert_memory_equal(got, "0123----", 8);
    assert_int_equal(cis_sock_receive_from(b, got, 0, &n, &from), CIS_SOCK_OK);
    assert_int_equal(n, 0);
    expect(b, "the next", NULL); /* the rest of the others is gone */
    cis_sock_free(a);
    cis_sock_free(b);
    run_close(&run);
}

static void a_datagram_has_its_largest_size(void **state)
{
    (void)state;
    static uint8_t block[CIS_SOCK_DATAGRAM_MAX + 1], got[CIS_SOCK_DATAGRAM_MAX];
    RUN(LOCAL);
    struct sockaddr_storage there, from;
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET), *b = new_sock(&run, CIS_NET_UDP, AF_INET);
    bind_to(a, "127.0.0.1");
    there = bind_to(b, "127.0.0.1");
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = (uint8_t)(i * 7);
    }
    const size_t most = 65535 - 20 - 8; /* of IPv4, behind the headers */
    size_t n = 0;
    assert_int_equal(cis_sock_send_to(a, cis_bytes_of(block, sizeof block), ADDR(there)),
                     CIS_SOCK_TOO_LARGE);
    assert_int_equal(cis_sock_send_to(a, cis_bytes_of(block, most + 1), ADDR(there)),
                     CIS_SOCK_TOO_LARGE);
    assert_int_equal(cis_sock_send_to(a, cis_bytes_of(block, most), ADDR(there)), CIS_SOCK_OK);
    wait_for(b, false);
    assert_int_equal(cis_sock_receive_from(b, got, sizeof got, &n, &from), CIS_SOCK_OK);
    assert_int_equal(n, most);
    assert_memory_equal(got, block, most);
    cis_sock_free(a);
    cis_sock_free(b);
    run_close(&run);
}

/* ---- peers ---- */

static void a_socket_with_a_peer_is_for_it_alone(void **state)
{
    (void)state;
    static const char *const addrs[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        RUN(LOCAL);
        int family = at(addrs[i], 0).ss_family;
        struct sockaddr_storage a_at, b_at, c_at, got;
        cis_sock *a = new_sock(&run, CIS_NET_UDP, family), *b = new_sock(&run, CIS_NET_UDP, family),
                 *c = new_sock(&run, CIS_NET_UDP, family);
        a_at = bind_to(a, addrs[i]);
        b_at = bind_to(b, addrs[i]);
        c_at = bind_to(c, addrs[i]);
        /* What another one sent before there was a peer is none of the peer's. */
        assert_int_equal(send_to(c, "early", ADDR(a_at)), CIS_SOCK_OK);
        assert_int_equal(cis_sock_peer(a, ADDR(b_at)), CIS_SOCK_OK);
        assert_int_equal(send_to(b, "peer", ADDR(a_at)), CIS_SOCK_OK);
        expect(a, "peer", &b_at);
        assert_int_equal(cis_sock_remote(a, &got), CIS_SOCK_OK);
        assert_int_equal(port_of(&got), port_of(&b_at));
        assert_int_equal(send_to(a, "to it", NULL), CIS_SOCK_OK);
        assert_int_equal(send_to(a, "by name", ADDR(b_at)), CIS_SOCK_OK);
        assert_int_equal(send_to(a, "elsewhere", ADDR(c_at)), CIS_SOCK_INVALID);
        expect(b, "to it", &a_at);
        expect(b, "by name", &a_at);
        assert_int_equal(cis_sock_peer(a, ADDR(c_at)), CIS_SOCK_OK); /* another one */
        assert_int_equal(send_to(a, "now you", NULL), CIS_SOCK_OK);
        expect(c, "now you", &a_at);
        cis_sock_free(a);
        cis_sock_free(b);
        cis_sock_free(c);
        run_close(&run);
    }
}

static void a_peer_that_cannot_be_had_leaves_the_one_there_was(void **state)
{
    (void)state;
    RUN(LOCAL, "net=udp:192.0.2.1:9");
    struct sockaddr_storage a_at, b_at, got, away = at("192.0.2.1", 9);
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET), *b = new_sock(&run, CIS_NET_UDP, AF_INET);
    a_at = bind_to(a, "127.0.0.1");
    b_at = bind_to(b, "127.0.0.1");
    assert_int_equal(cis_sock_peer(a, ADDR(b_at)), CIS_SOCK_OK);
    assert_int_not_equal(cis_sock_peer(a, ADDR(away)), CIS_SOCK_OK); /* not from loopback */
    assert_int_equal(cis_sock_remote(a, &got), CIS_SOCK_OK);
    assert_int_equal(port_of(&got), port_of(&b_at));
    assert_int_equal(send_to(a, "to it", NULL), CIS_SOCK_OK);
    expect(b, "to it", &a_at);
    cis_sock_free(a);
    cis_sock_free(b);
    run_close(&run);
}

static void a_socket_that_leaves_its_peer_keeps_its_port(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct sockaddr_storage before, after, there;
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET), *b = new_sock(&run, CIS_NET_UDP, AF_INET);
    before = bind_to(a, "0.0.0.0"); /* a client: the kernel chose its port */
    there = bind_to(b, "127.0.0.1");
    assert_int_equal(cis_sock_peer(a, NULL), CIS_SOCK_OK); /* it has none */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cis_sock_peer(a, ADDR(there)), CIS_SOCK_OK);
        assert_int_equal(cis_sock_peer(a, NULL), CIS_SOCK_OK);
        assert_int_equal(cis_sock_remote(a, &after), CIS_SOCK_STATE);
        assert_int_equal(cis_sock_local(a, &after), CIS_SOCK_OK);
        assert_int_equal(port_of(&after), port_of(&before));
    }
    assert_int_equal(send_to(a, "nobody", NULL), CIS_SOCK_INVALID);
    assert_int_equal(send_to(a, "free again", ADDR(there)), CIS_SOCK_OK);
    expect(b, "free again", NULL);
    cis_sock_free(a);
    cis_sock_free(b);
    run_close(&run);
}

/* A socket that has a peer of its own does not take what others send: the kernel says that nobody
 * is there, and nobody else can be. */
static void nobody_there_is_told_to_who_has_that_peer(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct sockaddr_storage there, from;
    int fd = plain("127.0.0.1", &there);
    assert_int_equal(connect(fd, ADDR(there), sizeof(struct sockaddr_in)), 0);
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET);
    bind_to(a, "127.0.0.1");
    assert_int_equal(cis_sock_peer(a, ADDR(there)), CIS_SOCK_OK);
    assert_int_equal(send_to(a, "anybody?", NULL), CIS_SOCK_OK);
    char byte;
    size_t n;
    wait_for(a, false);
    assert_int_equal(cis_sock_receive_from(a, &byte, 1, &n, &from), CIS_SOCK_REFUSED);
    assert_int_equal(cis_sock_receive_from(a, &byte, 1, &n, &from), CIS_SOCK_AGAIN); /* told once */
    cis_sock_free(a);
    close(fd);
    run_close(&run);
}

/* ---- what is granted ---- */

static void each_datagram_is_checked_by_where_it_goes(void **state)
{
    (void)state;
    static const char *const addrs[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_storage named, other;
        char grant[80], tcp[80], missing[80];
        const char *host = i == 0 ? "127.0.0.1" : "[::1]";
        int fd = plain(addrs[i], &named), fd2 = plain(addrs[i], &other);
        snprintf(grant, sizeof grant, "net=udp:%s:%u", host, port_of(&named));
        snprintf(tcp, sizeof tcp, "net=tcp:%s:%u", host, port_of(&other));
        snprintf(missing, sizeof missing, "net=udp:%s:%u", host, port_of(&other));
        RUN(grant, tcp); /* TCP there is no UDP there */
        cis_sock *a = new_sock(&run, CIS_NET_UDP, named.ss_family);
        bind_to(a, i == 0 ? "0.0.0.0" : "::");
        assert_int_equal(send_to(a, "one", ADDR(named)), CIS_SOCK_OK);
        assert_int_equal(send_to(a, "two", ADDR(other)), CIS_SOCK_DENIED);
        assert_string_equal(cis_net_refusal(run.net), missing);
        assert_int_equal(send_to(a, "three", ADDR(named)), CIS_SOCK_OK);
        assert_int_equal(cis_sock_peer(a, ADDR(other)), CIS_SOCK_DENIED);
        assert_string_equal(cis_net_refusal(run.net), missing);
        char got[16];
        assert_int_equal(recv(fd, got, sizeof got, 0), 3);
        assert_int_equal(recv(fd, got, sizeof got, 0), 5);
        assert_int_equal(recv(fd2, got, sizeof got, MSG_DONTWAIT), -1);
        cis_sock_free(a);
        close(fd);
        close(fd2);
        run_close(&run);
    }
}

static void a_client_hears_from_whom_it_may_send_to_alone(void **state)
{
    (void)state;
    struct sockaddr_storage named, stranger, here, from;
    char grant[80], got[8];
    size_t n;
    int fd = plain("127.0.0.1", &named), other = plain("127.0.0.1", &stranger);
    snprintf(grant, sizeof grant, "net=udp:127.0.0.1:%u", port_of(&named));
    RUN(grant);
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET);
    here = bind_to(a, "0.0.0.0");
    struct sockaddr_storage to = at("127.0.0.1", port_of(&here));
    for (int i = 0; i < 100; i++) { /* more than one call looks at */
        plain_send(other, "strange", &to);
    }
    plain_send(fd, "known", &to);
    expect(a, "known", &named);
    assert_int_equal(cis_sock_receive_from(a, got, sizeof got, &n, &from), CIS_SOCK_AGAIN);
    cis_sock_free(a);
    close(fd);
    close(other);
    run_close(&run);
}

static void who_may_listen_hears_everybody_and_answers_nobody_else(void **state)
{
    (void)state;
    RUN("net=listen:127.0.0.1:*");
    struct sockaddr_storage stranger, here;
    int fd = plain("127.0.0.1", &stranger);
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET);
    here = bind_to(a, "127.0.0.1");
    plain_send(fd, "strange", &here);
    expect(a, "strange", &stranger);
    assert_int_equal(send_to(a, "answer", ADDR(stranger)), CIS_SOCK_DENIED);
    cis_sock_free(a);
    close(fd);
    run_close(&run);
}

static void binding_needs_a_grant_of_its_own(void **state)
{
    (void)state;
    RUN("net=udp:127.0.0.1:9");
    struct sockaddr_storage zero = at("127.0.0.1", 0), any = at("0.0.0.0", 0),
                            port = at("0.0.0.0", 5353), group = at("224.0.0.251", 0);
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET);
    assert_int_equal(cis_sock_bind_start(a, ADDR(zero)), CIS_SOCK_DENIED);
    assert_string_equal(cis_net_refusal(run.net), "net=listen:127.0.0.1:*");
    assert_int_equal(cis_sock_bind_start(a, ADDR(port)), CIS_SOCK_DENIED);
    assert_int_equal(cis_sock_bind_start(a, ADDR(group)), CIS_SOCK_INVALID);
    assert_int_equal(cis_sock_bind_start(a, ADDR(any)), CIS_SOCK_OK); /* as a client does it */
    cis_sock_free(a);
    run_close(&run);
}

/* ---- states ---- */

static void every_step_has_its_state(void **state)
{
    (void)state;
    RUN(LOCAL);
    struct sockaddr_storage there, from;
    char byte;
    size_t n;
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET), *tcp = new_sock(&run, CIS_NET_TCP, AF_INET);
    int fd = plain("127.0.0.1", &there);
    for (int i = 0; i < 3; i++) { /* unbound; half bound; closed */
        assert_int_equal(send_to(a, "x", ADDR(there)), CIS_SOCK_STATE);
        assert_int_equal(cis_sock_receive_from(a, &byte, 1, &n, &from), CIS_SOCK_STATE);
        assert_int_equal(cis_sock_peer(a, ADDR(there)), CIS_SOCK_STATE);
        assert_int_equal(cis_sock_local(a, &from), CIS_SOCK_STATE);
        if (i == 0) {
            struct sockaddr_storage zero = at("127.0.0.1", 0);
            assert_int_equal(cis_sock_bind_start(a, ADDR(zero)), CIS_SOCK_OK);
        } else if (i == 1) {
            assert_int_equal(cis_sock_bind_finish(a), CIS_SOCK_OK);
            cis_sock_close(a);
        }
    }
    bind_to(tcp, "127.0.0.1");
    assert_int_equal(send_to(tcp, "x", ADDR(there)), CIS_SOCK_STATE);
    assert_int_equal(cis_sock_receive_from(tcp, &byte, 1, &n, &from), CIS_SOCK_STATE);
    assert_int_equal(cis_sock_peer(tcp, ADDR(there)), CIS_SOCK_STATE);
    cis_sock_free(tcp);
    cis_sock_free(a);
    close(fd);
    run_close(&run);
}

static void addresses_that_are_none_to_send_to_are_invalid(void **state)
{
    (void)state;
    RUN(LOCAL, "net=udp:0.0.0.0:*", "net=udp:[::]:*", "net=udp:[::ffff:127.0.0.1]:*");
    static const struct {
        const char *text;
        uint16_t port;
    } none[] = {{"0.0.0.0", 9}, {"127.0.0.1", 0}, {"::", 9}, {"::1", 0}, {"::ffff:127.0.0.1", 9}};
    cis_sock *a = new_sock(&run, CIS_NET_UDP, AF_INET), *b = new_sock(&run, CIS_NET_UDP, AF_INET6);
    bind_to(a, "127.0.0.1");
    bind_to(b, "::1");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct sockaddr_storage addr = at(none[i].text, none[i].port);
        cis_sock *own = addr.ss_family == AF_INET ? a : b, *other = own == a ? b : a;
        assert_int_equal(send_to(own, "x", ADDR(addr)), CIS_SOCK_INVALID);
        assert_int_equal(cis_sock_peer(own, ADDR(addr)), CIS_SOCK_INVALID);
        assert_int_equal(send_to(other, "x", ADDR(addr)), CIS_SOCK_INVALID);
    }
    assert_int_equal(send_to(a, "x", NULL), CIS_SOCK_INVALID);
    assert_string_equal(cis_net_refusal(run.net), ""); /* no grant is lacking */
    cis_sock_free(a);
    cis_sock_free(b);
    run_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_go_both_ways_on_v4_and_v6),
        cmocka_unit_test(what_is_longer_than_the_room_is_cut),
        cmocka_unit_test(a_datagram_has_its_largest_size),
        cmocka_unit_test(a_socket_with_a_peer_is_for_it_alone),
        cmocka_unit_test(a_peer_that_cannot_be_had_leaves_the_one_there_was),
        cmocka_unit_test(a_socket_that_leaves_its_peer_keeps_its_port),
        cmocka_unit_test(nobody_there_is_told_to_who_has_that_peer),
        cmocka_unit_test(each_datagram_is_checked_by_where_it_goes),
        cmocka_unit_test(a_client_hears_from_whom_it_may_send_to_alone),
        cmocka_unit_test(who_may_listen_hears_everybody_and_answers_nobody_else),
        cmocka_unit_test(binding_needs_a_grant_of_its_own),
        cmocka_unit_test(every_step_has_its_state),
        cmocka_unit_test(addresses_that_are_none_to_send_to_are_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
