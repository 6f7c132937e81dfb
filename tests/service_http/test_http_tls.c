/* TLS: verification is always on; a private authority is an addition, not a switch. */
#include "service_http/fixture.h"

#include "base/file.h"
#include "service_http/certs.h"
#include "service_http/dns_server.h"

#define DAY (24L * 3600L)

struct tls_world {
    char *dir;
    char ca[300], other_ca[300], cert[300], key[300];
    httpd *server;
    cis_http_client *client;
    struct cis_grants grants;
};

static void file_in(const struct tls_world *t, char out[300], const char *name)
{
    snprintf(out, 300, "%s/%s", t->dir, name);
}

/* A server with a leaf for `names`, and a client that trusts the leaf's authority, or another. */
static struct tls_world tls_new(const char *names, long from, long to, bool trusted,
                                const char *dns_servers)
{
    struct tls_world t = {.dir = test_dir_new()};
    file_in(&t, t.ca, "ca.pem");
    file_in(&t, t.other_ca, "other.pem");
    file_in(&t, t.cert, "cert.pem");
    file_in(&t, t.key, "key.pem");
    test_ca *ca = test_ca_new(), *other = test_ca_new();
    assert_non_null(ca);
    assert_non_null(other);
    assert_true(test_ca_write(ca, t.ca) && test_ca_write(other, t.other_ca));
    assert_true(test_ca_leaf(ca, names, from, to, t.cert, t.key));
    test_ca_free(ca);
    test_ca_free(other);
    t.server = httpd_start(&(struct httpd_options){.cert = t.cert, .key = t.key});
    assert_non_null(t.server);
    const struct cis_http_client_options options = {.ca_file = trusted ? t.ca : t.other_ca,
                                                    .dns_servers = dns_servers};
    assert_ok(cis_http_client_new(&options, &t.client, err));
    grant(&t.grants, at_host("https", "127.0.0.1", httpd_port(t.server), ""));
    return t;
}

static void tls_done(struct tls_world *t)
{
    cis_http_client_free(t->client);
    httpd_stop(t->server);
    cis_grants_done(&t->grants);
    assert_ok(cis_file_remove_tree(t->dir, err));
    free(t->dir);
}

static const char *https(const struct tls_world *t, const char *path)
{
    return at_host("https", "127.0.0.1", httpd_port(t->server), path);
}

static void a_certificate_of_the_private_authority_is_accepted(void **state)
{
    (void)state;
    struct tls_world t = tls_new("IP:127.0.0.1", -DAY, DAY, true, NULL);
    for (int i = 0; i < 3; i++) {
        assert_fetched(200, "hello", .client = t.client, .grants = &t.grants,
                       .url = https(&t, "/hello"));
    }
    assert_int_equal(httpd_connections(t.server), 1);
    tls_done(&t);
}

static void the_name_is_verified_and_not_the_address_behind_it(void **state)
{
    (void)state;
    static const struct dns_row rows[] = {{"good", DNS_ADDRS, {"127.0.0.1"}, {0}, 0},
                                          {"evil", DNS_ADDRS, {"127.0.0.1"}, {0}, 0}};
    dns_server *dns = dns_start(rows, 2);
    assert_non_null(dns);
    struct tls_world t = tls_new("DNS:good.test", -DAY, DAY, true, dns_address(dns));
    uint16_t port = httpd_port(t.server);
    grant(&t.grants, at_host("https", "good.test", port, ""));
    grant(&t.grants, at_host("https", "evil.test", port, ""));
    assert_fetched(200, "hello", .client = t.client, .grants = &t.grants,
                   .url = at_host("https", "good.test", port, "/hello"));
    assert_not_fetched(CIS_E_NET, "evil.test: TLS", .client = t.client, .grants = &t.grants,
                       .url = at_host("https", "evil.test", port, "/hello"));
    assert_not_fetched(CIS_E_NET, "127.0.0.1: TLS", .client = t.client, .grants = &t.grants,
                       .url = https(&t, "/hello"));
    assert_int_equal(httpd_requests(t.server), 1);
    tls_done(&t);
    dns_stop(dns);
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
    (void)state;
    struct tls_world t = tls_new("IP:127.0.0.1", -DAY, DAY, false, NULL);
    assert_not_fetched(CIS_E_NET, "127.0.0.1: TLS", .client = t.client, .grants = &t.grants,
                       .url = https(&t, "/hello"));
    assert_int_equal(httpd_requests(t.server), 0);
    tls_done(&t);
}

static void without_a_private_authority_only_the_systems_are_trusted(void **state)
{
    (void)state;
    struct tls_world t = tls_new("IP:127.0.0.1", -DAY, DAY, true, NULL);
    cis_http_client *plain = NULL;
    assert_ok(cis_http_client_new(NULL, &plain, err));
    assert_not_fetched(CIS_E_NET, "TLS", .client = plain, .grants = &t.grants,
                       .url = https(&t, "/hello"));
    assert_int_equal(httpd_requests(t.server), 0);
    cis_http_client_free(plain);
    tls_done(&t);
}

static void expired_and_not_yet_valid_certificates_are_refused(void **state)
{
    (void)state;
    static const long times[][2] = {{-2 * DAY, -DAY}, {DAY / 2, 2 * DAY}};
    for (size_t i = 0; i < 2; i++) {
        struct tls_world t = tls_new("IP:127.0.0.1", times[i][0], times[i][1], true, NULL);
        assert_not_fetched(CIS_E_NET, i == 0 ? "expired" : "not yet valid", .client = t.client,
                           .grants = &t.grants, .url = https(&t, "/hello"));
        assert_int_equal(httpd_requests(t.server), 0);
        tls_done(&t);
    }
}

static void https_to_a_server_without_tls_and_the_reverse_fail(void **state)
{
    (void)state;
    struct tls_world t = tls_new("IP:127.0.0.1", -DAY, DAY, true, NULL);
    httpd *plain = httpd_start(NULL);
    grant(&t.grants, at_host("https", "127.0.0.1", httpd_port(plain), ""));
    grant(&t.grants, at_host("http", "127.0.0.1", httpd_port(t.server), ""));
    assert_not_fetched(CIS_E_NET, "TLS", .client = t.client, .grants = &t.grants,
                       .deadline_ns = cis_clock_mono_ns() + 30 * CIS_NS_PER_S,
                       .url = at_host("https", "127.0.0.1", httpd_port(plain), "/close"));
    assert_not_fetched(CIS_E_NET, "127.0.0.1", .client = t.client, .grants = &t.grants,
                       .url = at(t.server, "/hello"));
    assert_int_equal(httpd_requests(t.server), 0);
    httpd_stop(plain);
    tls_done(&t);
}

static void a_body_cut_off_under_tls_is_a_network_failure(void **state)
{
    (void)state;
    struct tls_world t = tls_new("IP:127.0.0.1", -DAY, DAY, true, NULL);
    assert_not_fetched(CIS_E_NET, "127.0.0.1", .client = t.client, .grants = &t.grants,
                       .url = https(&t, "/lie"));
    tls_done(&t);
}

static void a_downgrade_to_http_needs_a_grant_that_names_it(void **state)
{
    (void)state;
    struct tls_world t = tls_new("IP:127.0.0.1", -DAY, DAY, true, NULL);
    httpd *plain = httpd_start(NULL);
    char path[300];
    snprintf(path, sizeof path, "/redirect?to=%s", at(plain, "/hello"));
    assert_ok(cis_grants_add(&t.grants, CIS_STR("network"), err));
    assert_not_fetched(CIS_E_DENIED, "redirect", .client = t.client, .grants = &t.grants,
                       .redirects_max = 1, .url = https(&t, path));
    /* a public host on which `network` alone would agree */
    assert_not_fetched(CIS_E_DENIED, "redirect", .client = t.client, .grants = &t.grants,
                       .redirects_max = 1, .url = https(&t, "/redirect?to=http://192.0.0.1.test/"));
    grant(&t.grants, at(plain, ""));
    assert_fetched(200, "hello", .client = t.client, .grants = &t.grants, .redirects_max = 1,
                   .url = https(&t, path));
    httpd_stop(plain);
    tls_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_of_the_private_authority_is_accepted),
        cmocka_unit_test(the_name_is_verified_and_not_the_address_behind_it),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused),
        cmocka_unit_test(without_a_private_authority_only_the_systems_are_trusted),
        cmocka_unit_test(expired_and_not_yet_valid_certificates_are_refused),
        cmocka_unit_test(https_to_a_server_without_tls_and_the_reverse_fail),
        cmocka_unit_test(a_body_cut_off_under_tls_is_a_network_failure),
        cmocka_unit_test(a_downgrade_to_http_needs_a_grant_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
