/* What sockets may reach: connecting, sending, binding, waiting, and which names may be asked for.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include "policy/host.h"
#include "policy/net.h"

static struct cis_grants grants_of(const char *const *texts)
{
    struct cis_grants g = CIS_GRANTS_INIT;
    for (; *texts != NULL; texts++) {
        assert_ok(cis_grants_add(&g, cis_str_of(*texts), err));
    }
    return g;
}
#define GRANTS(...) grants_of((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct sockaddr_storage at(const char *text, uint16_t port)
{
    struct sockaddr_storage addr;
    assert_true(cis_host_sockaddr(text, &addr));
    if (addr.ss_family == AF_INET) {
        ((struct sockaddr_in *)&addr)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)&addr)->sin6_port = htons(port);
    }
    return addr;
}

static bool may_connect(const struct cis_grants *g, enum cis_net_kind kind, const char *text,
                        uint16_t port)
{
    struct sockaddr_storage addr = at(text, port);
    return cis_policy_connect_allowed(g, kind, (const struct sockaddr *)&addr, NULL, 0);
}

static bool may_bind(const struct cis_grants *g, enum cis_net_kind kind, const char *text,
                     uint16_t port, bool *client)
{
    struct sockaddr_storage addr = at(text, port);
    return cis_policy_bind_allowed(g, kind, (const struct sockaddr *)&addr, client);
}

static bool may_listen(const struct cis_grants *g, const char *text, uint16_t port)
{
    struct sockaddr_storage addr = at(text, port);
    return cis_policy_listen_allowed(g, (const struct sockaddr *)&addr);
}

static bool may_hear(const struct cis_grants *g, const char *text)
{
    struct sockaddr_storage addr = at(text, 0);
    return cis_policy_answer_allowed(g, (const struct sockaddr *)&addr);
}

static void an_address_is_reached_as_that_very_address_and_port(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=tcp:10.0.0.5:80", "net=udp:[2001:db8::1]:53");
    assert_true(may_connect(&g, CIS_NET_TCP, "10.0.0.5", 80));
    assert_false(may_connect(&g, CIS_NET_TCP, "10.0.0.5", 81));
    assert_false(may_connect(&g, CIS_NET_TCP, "10.0.0.6", 80));
    assert_false(may_connect(&g, CIS_NET_UDP, "10.0.0.5", 80));
    assert_true(may_connect(&g, CIS_NET_UDP, "2001:db8::1", 53));
    assert_false(may_connect(&g, CIS_NET_TCP, "2001:db8::1", 53));
    assert_false(may_connect(&g, CIS_NET_TCP, "::ffff:10.0.0.5", 80));
    cis_grants_done(&g);
}

static void any_port_is_every_port_but_none(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=tcp:10.0.0.5:*");
    assert_true(may_connect(&g, CIS_NET_TCP, "10.0.0.5", 1));
    assert_true(may_connect(&g, CIS_NET_TCP, "10.0.0.5", 65535));
    assert_false(may_connect(&g, CIS_NET_TCP, "10.0.0.5", 0));
    cis_grants_done(&g);
}

static void localhost_is_two_addresses(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=tcp:localhost:80", "net=listen:localhost:90");
    assert_true(may_connect(&g, CIS_NET_TCP, "127.0.0.1", 80));
    assert_true(may_connect(&g, CIS_NET_TCP, "::1", 80));
    assert_false(may_connect(&g, CIS_NET_TCP, "127.0.0.2", 80));
    assert_true(may_listen(&g, "127.0.0.1", 90));
    assert_true(may_listen(&g, "::1", 90));
    assert_false(may_listen(&g, "0.0.0.0", 90));
    cis_grants_done(&g);
}

static void a_name_means_the_public_addresses_that_were_looked_up(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=tcp:a.test:443", "net=tcp:10.9.9.9:1");
    struct cis_net_alias aliases[] = {
        {"a.test", at("8.8.8.8", 0)}, {"a.test", at("10.9.9.9", 0)}, {"b.test", at("9.9.9.9", 0)}};
    struct sockaddr_storage good = at("8.8.8.8", 443), port = at("8.8.8.8", 80),
                            other = at("9.9.9.9", 443), inner = at("10.9.9.9", 443);
#define MAY(addr)                                                                                  \
    cis_policy_connect_allowed(&g, CIS_NET_TCP, (const struct sockaddr *)&(addr), aliases, 3)
    assert_true(MAY(good));
    assert_false(MAY(port));
    assert_false(MAY(other));
    assert_false(MAY(inner));
    assert_false(may_connect(&g, CIS_NET_TCP, "8.8.8.8", 443));
    assert_false(
        cis_policy_connect_allowed(&g, CIS_NET_UDP, (const struct sockaddr *)&good, aliases, 3));
    cis_grants_done(&g);
}

static void nothing_is_open_without_a_grant(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("network", "http=http://127.0.0.1:80", "dns", "env=A", "fs=rw");
    static const char *const addrs[] = {"127.0.0.1", "::1", "8.8.8.8", "10.0.0.1", "0.0.0.0"};
    for (size_t i = 0; i < sizeof addrs / sizeof *addrs; i++) {
        bool client = true;
        assert_false(may_connect(&g, CIS_NET_TCP, addrs[i], 80));
        assert_false(may_connect(&g, CIS_NET_UDP, addrs[i], 80));
        assert_false(may_listen(&g, addrs[i], 80));
        assert_false(may_bind(&g, CIS_NET_TCP, addrs[i], 0, &client));
        assert_false(client);
        assert_false(may_bind(&g, CIS_NET_UDP, addrs[i], 80, &client));
    }
    cis_grants_done(&g);
}

static void listening_needs_the_address_and_port_that_was_granted(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=listen:127.0.0.1:8080", "net=listen:[::]:*");
    bool client;
    assert_true(may_listen(&g, "127.0.0.1", 8080));
    assert_false(may_listen(&g, "127.0.0.1", 8081));
    assert_false(may_listen(&g, "0.0.0.0", 8080));
    assert_true(may_listen(&g, "::", 1));
    assert_true(may_listen(&g, "::1", 1)); /* every address of the family */
    assert_true(may_bind(&g, CIS_NET_TCP, "127.0.0.1", 8080, &client));
    assert_false(client);
    assert_true(may_bind(&g, CIS_NET_UDP, "127.0.0.1", 8080, &client));
    assert_false(may_bind(&g, CIS_NET_TCP, "127.0.0.1", 0, &client));
    cis_grants_done(&g);
}

static void binding_within_a_range_is_no_listening(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=bind:127.0.0.0/8");
    bool client = true;
    assert_true(may_bind(&g, CIS_NET_TCP, "127.3.2.1", 0, &client));
    assert_false(client);
    assert_true(may_bind(&g, CIS_NET_UDP, "127.0.0.1", 5000, &client));
    assert_false(may_bind(&g, CIS_NET_TCP, "126.0.0.1", 0, &client));
    assert_false(may_bind(&g, CIS_NET_TCP, "::1", 0, &client));
    assert_false(may_listen(&g, "127.3.2.1", 80));
    cis_grants_done(&g);
}

static void a_client_is_bound_to_any_free_port_with_its_own_grant(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=udp:10.0.0.1:53");
    bool client = false;
    assert_true(may_bind(&g, CIS_NET_UDP, "0.0.0.0", 0, &client));
    assert_true(client);
    assert_true(may_bind(&g, CIS_NET_UDP, "::", 0, &client));
    assert_false(may_bind(&g, CIS_NET_UDP, "0.0.0.0", 53, &client));
    assert_false(may_bind(&g, CIS_NET_UDP, "127.0.0.1", 0, &client));
    assert_false(may_bind(&g, CIS_NET_TCP, "0.0.0.0", 0, &client));
    assert_false(may_listen(&g, "0.0.0.0", 40000));
    cis_grants_done(&g);
}

static void a_scope_is_never_the_address_that_was_granted(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=tcp:[fe80::1]:80", "net=listen:[fe80::1]:80");
    struct sockaddr_storage addr = at("fe80::1", 80);
    assert_true(may_connect(&g, CIS_NET_TCP, "fe80::1", 80));
    ((struct sockaddr_in6 *)&addr)->sin6_scope_id = 1;
    assert_false(
        cis_policy_connect_allowed(&g, CIS_NET_TCP, (const struct sockaddr *)&addr, NULL, 0));
    assert_false(cis_policy_listen_allowed(&g, (const struct sockaddr *)&addr));
    cis_grants_done(&g);
}

static void other_families_are_refused(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("net=tcp:127.0.0.1:*", "net=bind:0.0.0.0/0");
    struct sockaddr_storage addr = {.ss_family = AF_UNIX};
    bool client;
    assert_false(
        cis_policy_connect_allowed(&g, CIS_NET_TCP, (const struct sockaddr *)&addr, NULL, 0));
    assert_false(cis_policy_listen_allowed(&g, (const struct sockaddr *)&addr));
    assert_false(cis_policy_bind_allowed(&g, CIS_NET_TCP, (const struct sockaddr *)&addr, &client));
    cis_grants_done(&g);
}

static void names_may_be_asked_for_with_dns_or_when_a_grant_names_them(void **state)
{
    (void)state;
    struct cis_grants none = GRANTS("network", "http=https://a.test"), dns = GRANTS("dns"),
                      named = GRANTS("net=tcp:a.test:1", "net=udp:b.test:2");
    assert_false(cis_policy_lookup_allowed(&none, "a.test"));
    assert_true(cis_policy_lookup_allowed(&dns, "a.test"));
    assert_true(cis_policy_lookup_allowed(&named, "a.test"));
    assert_true(cis_policy_lookup_allowed(&named, "b.test"));
    assert_false(cis_policy_lookup_allowed(&named, "c.a.test"));
    assert_false(cis_policy_names_host(&dns, "a.test"));
    cis_grants_done(&none);
    cis_grants_done(&dns);
    cis_grants_done(&named);
}

static void answers_that_are_not_public_are_told_only_when_granted(void **state)
{
    (void)state;
    struct cis_grants g = GRANTS("dns", "net=tcp:10.0.0.5:80", "net=bind:192.168.0.0/16"),
                      local = GRANTS("net=udp:localhost:1");
    assert_true(may_hear(&g, "8.8.8.8"));
    assert_true(may_hear(&g, "10.0.0.5"));
    assert_false(may_hear(&g, "10.0.0.6"));
    assert_false(may_hear(&g, "192.168.1.1"));
    assert_false(may_hear(&g, "127.0.0.1"));
    assert_false(may_hear(&g, "169.254.169.254"));
    assert_false(may_hear(&g, "::ffff:8.8.8.8"));
    assert_true(may_hear(&local, "127.0.0.1"));
    assert_true(may_hear(&local, "::1"));
    cis_grants_done(&g);
    cis_grants_done(&local);
}

static void to_listen_on_every_address_is_to_listen_on_that_port(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_grants_done) struct cis_grants g = GRANTS("net=listen:0.0.0.0:8080");
    assert_true(may_listen(&g, "0.0.0.0", 8080));
    assert_true(may_listen(&g, "127.0.0.1", 8080));
    assert_false(may_listen(&g, "127.0.0.1", 8081));
    assert_false(may_listen(&g, "0.0.0.0", 8081));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_listen_on_every_address_is_to_listen_on_that_port),
        cmocka_unit_test(an_address_is_reached_as_that_very_address_and_port),
        cmocka_unit_test(any_port_is_every_port_but_none),
        cmocka_unit_test(localhost_is_two_addresses),
        cmocka_unit_test(a_name_means_the_public_addresses_that_were_looked_up),
        cmocka_unit_test(nothing_is_open_without_a_grant),
        cmocka_unit_test(listening_needs_the_address_and_port_that_was_granted),
        cmocka_unit_test(binding_within_a_range_is_no_listening),
        cmocka_unit_test(a_client_is_bound_to_any_free_port_with_its_own_grant),
        cmocka_unit_test(a_scope_is_never_the_address_that_was_granted),
        cmocka_unit_test(other_families_are_refused),
        cmocka_unit_test(names_may_be_asked_for_with_dns_or_when_a_grant_names_them),
        cmocka_unit_test(answers_that_are_not_public_are_told_only_when_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
