/* URLs, origins and addresses. */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include "base/mem.h"
#include "policy/header.h"
#include "policy/host.h"
#include "policy/hostile_urls.h"
#include "policy/net.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void add(struct cis_grants *g, const char *text)
{
    assert_ok(cis_grants_add(g, cis_str_of(text), err));
}

static struct cis_url parsed(const char *text)
{
    struct cis_url url = {0};
    struct cis_error err = {0};
    if (cis_url_parse(cis_str_of(text), &url, &err) != CIS_OK) {
        fail_msg("%s: %s", text, err.msg);
    }
    return url;
}

static bool allowed(const struct cis_grants *g, const char *text)
{
    struct cis_url url = parsed(text);
    bool yes = cis_policy_origin_allowed(g, &url);
    cis_url_done(&url);
    return yes;
}

static struct sockaddr_storage addr_of(const char *text)
{
    struct sockaddr_storage out;
    memset(&out, 0, sizeof out);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        v6->sin6_family = AF_INET6;
    }
    return out;
}

static bool is_public(const char *text)
{
    struct sockaddr_storage a = addr_of(text);
    return cis_addr_is_public((const struct sockaddr *)&a);
}

static void a_url_is_read_into_its_canonical_parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme, *host, *target;
        unsigned port;
        bool is_address;
    } rows[] = {
        {"http://example.com", "http", "example.com", "/", 80, false},
        {"https://example.com", "https", "example.com", "/", 443, false},
        {"HTTP://EXAMPLE.COM/A?B", "http", "example.com", "/A?B", 80, false},
        {"https://api.example.com.:8443/x", "https", "api.example.com", "/x", 8443, false},
        {"http://example.com?q=1", "http", "example.com", "/?q=1", 80, false},
        {"http://example.com#frag", "http", "example.com", "/", 80, false},
        {"http://example.com/a#b?c", "http", "example.com", "/a", 80, false},
        {"http://example.com/@a:b//c", "http", "example.com", "/@a:b//c", 80, false},
        {"http://example.com/{a}|\"<b>^`", "http", "example.com", "/%7Ba%7D%7C%22%3Cb%3E%5E%60", 80,
         false},
        {"http://example.com/\xC3\xA9", "http", "example.com", "/%C3%A9", 80, false},
        {"http://xn--bcher-kva.example/", "http", "xn--bcher-kva.example", "/", 80, false},
        {"http://a_b.example.com/", "http", "a_b.example.com", "/", 80, false},
        {"http://1a.example/", "http", "1a.example", "/", 80, false},
        {"http://192.0.2.1:65535/", "http", "192.0.2.1", "/", 65535, true},
        {"http://[2001:DB8:0:0:0:0:0:1]/", "http", "2001:db8::1", "/", 80, true},
        {"http://[2001:db8:0:1:1:1:1:1]/", "http", "2001:db8:0:1:1:1:1:1", "/", 80, true},
        {"http://[2001:0:0:1:0:0:0:1]/", "http", "2001:0:0:1::1", "/", 80, true},
        {"http://[2001:db8:0:0:1:0:0:1]:8080/", "http", "2001:db8::1:0:0:1", "/", 8080, true},
        {"http://[::FFFF:7f00:1]/", "http", "::ffff:127.0.0.1", "/", 80, true},
        {"http://[0:0:0:0:0:0:0:0]/", "http", "::", "/", 80, true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cis_url url = parsed(rows[i].text);
        assert_string_equal(url.scheme, rows[i].scheme);
        assert_string_equal(url.host, rows[i].host);
        assert_string_equal(url.target, rows[i].target);
        assert_int_equal(url.port, rows[i].port);
        assert_int_equal(url.is_address, rows[i].is_address);
        cis_url_done(&url);
    }
}

static void the_canonical_form_reads_back_as_itself(void **state)
{
    (void)state;
    static const char *const texts[] = {"http://[2001:0:0:1::1]:81/%7B?a=%22",
                                        "https://a.b.c/x//y"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct cis_url url = parsed(texts[i]);
        char again[512];
        bool v6 = strchr(url.host, ':') != NULL;
        snprintf(again, sizeof again, "%s://%s%s%s:%u%s", url.scheme, v6 ? "[" : "", url.host,
                 v6 ? "]" : "", (unsigned)url.port, url.target);
        struct cis_url twice = parsed(again);
        assert_string_equal(url.host, twice.host);
        assert_string_equal(url.target, twice.target);
        assert_int_equal(url.port, twice.port);
        cis_url_done(&url);
        cis_url_done(&twice);
    }
}

static void a_url_of_8192_bytes_is_read_and_one_more_is_refused(void **state)
{
    (void)state;
    char text[8194];
    memset(text, 'a', sizeof text);
    memcpy(text, "http://example.com/", 19);
    struct cis_url url;
    assert_ok(cis_url_parse((struct cis_str){text, 8192}, &url, err));
    cis_url_done(&url);
    assert_fails(CIS_E_INVALID, "8192", cis_url_parse((struct cis_str){text, 8193}, &url, err));
}

static void a_host_of_253_characters_is_the_longest(void **state)
{
    (void)state;
    char text[400];
    for (int extra = 0; extra < 2; extra++) {
        int n = snprintf(text, sizeof text, "http://");
        for (int i = 0; i < 253 + extra; i++) {
            text[n++] = i % 50 == 49 ? '.' : 'a';
        }
        text[n] = 0;
        struct cis_url url;
        if (extra == 0) {
            assert_ok(cis_url_parse(cis_str_of(text), &url, err));
            cis_url_done(&url);
        } else {
            assert_fails(CIS_E_INVALID, "253", cis_url_parse(cis_str_of(text), &url, err));
        }
    }
    memset(text + 7, 'a', 64);
    memcpy(text + 71, ".com", 5);
    struct cis_url url;
    assert_fails(CIS_E_INVALID, "63", cis_url_parse(cis_str_of(text), &url, err));
}

static void every_malformed_url_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(malformed_urls); i++) {
        struct cis_url url = {0};
        struct cis_error err = {0};
        cis_code code = cis_url_parse(cis_str_of(malformed_urls[i]), &url, &err);
        if (code != CIS_E_DENIED && code != CIS_E_INVALID) {
            fail_msg("%s: got %s, host \"%s\"", malformed_urls[i], cis_code_name(code),
                     url.host != NULL ? url.host : "");
        }
        assert_null(url.host);
        assert_true(strlen(err.msg) > 5);
    }
    assert_true(COUNT(malformed_urls) >= 200);
}

static void a_url_with_a_nul_is_refused(void **state)
{
    (void)state;
    struct cis_url url;
    assert_fails(CIS_E_INVALID, "control",
                 cis_url_parse(CIS_STR("http://example.com\0.evil.test/"), &url, err));
    assert_fails(CIS_E_INVALID, "control",
                 cis_url_parse(CIS_STR("http://example.com/\0"), &url, err));
}

static void a_zone_of_an_address_is_refused_by_name(void **state)
{
    (void)state;
    struct cis_url url;
    assert_fails(CIS_E_INVALID, "zone ids are not accepted",
                 cis_url_parse(CIS_STR("http://[fe80::1%lo]/"), &url, err));
    assert_fails(CIS_E_INVALID, "zone ids are not accepted",
                 cis_url_parse(CIS_STR("http://[::1%25lo]/"), &url, err));
}

static void an_error_repeats_no_password_and_no_query(void **state)
{
    (void)state;
    static const char *const texts[] = {"http://me:sesame@example.com/",
                                        "http://me:sesame@exa mple.com/",
                                        "ftp://me:sesame@h/",
                                        "http://example.com:99999/?key=sesame",
                                        "sesame@example.com",
                                        "sesame"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct cis_url url;
        struct cis_error err = {0};
        assert_int_not_equal(cis_url_parse(cis_str_of(texts[i]), &url, &err), CIS_OK);
        assert_null(strstr(err.msg, "sesame"));
    }
}

static void grants_match_scheme_host_and_port_exactly(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    add(&g, "http=https://api.example.com");
    add(&g, "http=http://*.wild.example.com");
    add(&g, "http=http://8.8.8.8:8080");
    assert_true(allowed(&g, "https://api.example.com/x"));
    assert_true(allowed(&g, "https://API.example.com.:443/"));
    assert_true(allowed(&g, "http://a.wild.example.com/"));
    assert_true(allowed(&g, "http://8.8.8.8:8080/"));
    for (size_t i = 0; i < COUNT(foreign_urls); i++) {
        if (allowed(&g, foreign_urls[i])) {
            fail_msg("allowed: %s", foreign_urls[i]);
        }
    }
    cis_grants_done(&g);
}

static void an_empty_set_allows_nothing(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    for (size_t i = 0; i < COUNT(foreign_urls); i++) {
        assert_false(allowed(&g, foreign_urls[i]));
    }
    assert_false(allowed(&g, "https://example.com/"));
}

static void network_means_public_hosts_on_ports_of_the_web(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    add(&g, "network");
    assert_true(allowed(&g, "https://example.com/"));
    assert_true(allowed(&g, "http://example.com:8080/"));
    assert_true(allowed(&g, "http://8.8.8.8/"));
    assert_true(allowed(&g, "http://[2606:4700::1111]/"));
    for (size_t i = 0; i < COUNT(private_urls); i++) {
        if (allowed(&g, private_urls[i])) {
            fail_msg("allowed: %s", private_urls[i]);
        }
    }
    cis_grants_done(&g);
}

static void the_grant_localhost_means_both_loopback_addresses(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    add(&g, "http=http://localhost:8080");
    assert_true(allowed(&g, "http://localhost:8080/"));
    assert_true(allowed(&g, "http://127.0.0.1:8080/"));
    assert_true(allowed(&g, "http://[::1]:8080/"));
    assert_false(allowed(&g, "http://127.0.0.2:8080/"));
    assert_false(allowed(&g, "http://[::ffff:127.0.0.1]:8080/"));
    assert_false(allowed(&g, "http://localhost:8081/"));
    assert_false(allowed(&g, "https://localhost:8080/"));
    cis_grants_done(&g);
}

static void addresses_outside_the_global_registries_are_not_public(void **state)
{
    (void)state;
    static const char *const no[] = {"0.0.0.0",
                                     "0.255.255.255",
                                     "10.0.0.0",
                                     "10.255.255.255",
                                     "100.64.0.0",
                                     "100.127.255.255",
                                     "127.0.0.0",
                                     "127.255.255.255",
                                     "169.254.0.0",
                                     "169.254.169.254",
                                     "169.254.255.255",
                                     "172.16.0.0",
                                     "172.31.255.255",
                                     "192.0.0.0",
                                     "192.0.0.8",
                                     "192.0.0.255",
                                     "192.0.2.0",
                                     "192.0.2.255",
                                     "192.88.99.0",
                                     "192.168.0.0",
                                     "192.168.255.255",
                                     "198.18.0.0",
                                     "198.19.255.255",
                                     "198.51.100.0",
                                     "198.51.100.255",
                                     "203.0.113.0",
                                     "203.0.113.255",
                                     "224.0.0.0",
                                     "239.255.255.255",
                                     "240.0.0.0",
                                     "255.255.255.254",
                                     "255.255.255.255",
                                     "::",
                                     "::1",
                                     "::2",
                                     "::127.0.0.1",
                                     "::8.8.8.8",
                                     "::ffff:0:0",
                                     "::ffff:127.0.0.1",
                                     "::ffff:8.8.8.8",
                                     "::ffff:808:808",
                                     "::ffff:0:8.8.8.8",
                                     "64:ff9b::",
                                     "64:ff9b::8.8.8.8",
                                     "64:ff9b::a9fe:a9fe",
                                     "64:ff9b:1::",
                                     "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                                     "100::",
                                     "2001::",
                                     "2001:0:808:808::",
                                     "2001:1::1",
                                     "2001:2::",
                                     "2001:3::",
                                     "2001:10::",
                                     "2001:2f:ffff::",
                                     "2001:1ff:ffff::",
                                     "2001:db8::",
                                     "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                                     "2002::",
                                     "2002:7f00:1::",
                                     "2002:ffff:ffff::",
                                     "3ffe::1",
                                     "3fff::",
                                     "3fff:fff::",
                                     "4000::",
                                     "5f00::",
                                     "8000::",
                                     "fc00::",
                                     "fdff:ffff::",
                                     "fe00::",
                                     "fe80::",
                                     "fe80::1",
                                     "febf::",
                                     "fec0::",
                                     "feff::",
                                     "ff00::",
                                     "ff02::1",
                                     "ffff::",
                                     "1fff:ffff::"};
    static const char *const yes[] = {"1.0.0.0",
                                      "8.8.8.8",
                                      "9.255.255.255",
                                      "11.0.0.0",
                                      "100.63.255.255",
                                      "100.128.0.0",
                                      "126.255.255.255",
                                      "128.0.0.0",
                                      "169.253.255.255",
                                      "169.255.0.0",
                                      "172.15.255.255",
                                      "172.32.0.0",
                                      "191.255.255.255",
                                      "192.0.1.0",
                                      "192.0.3.0",
                                      "192.88.98.255",
                                      "192.167.255.255",
                                      "192.169.0.0",
                                      "198.17.255.255",
                                      "198.20.0.0",
                                      "198.51.99.255",
                                      "203.0.112.255",
                                      "203.0.114.0",
                                      "223.255.255.255",
                                      "2000::1",
                                      "2001:200::1",
                                      "2001:4860:4860::8888",
                                      "2003::1",
                                      "2606:4700:4700::1111",
                                      "2a00:1450::1",
                                      "3ffd::1",
                                      "3fff:1000::",
                                      "3e00::1"};
    for (size_t i = 0; i < COUNT(no); i++) {
        if (is_public(no[i])) {
            fail_msg("%s passes", no[i]);
        }
    }
    for (size_t i = 0; i < COUNT(yes); i++) {
        if (!is_public(yes[i])) {
            fail_msg("%s is refused", yes[i]);
        }
    }
    struct sockaddr_storage scoped = addr_of("2606:4700::1");
    ((struct sockaddr_in6 *)&scoped)->sin6_scope_id = 2;
    assert_false(cis_addr_is_public((const struct sockaddr *)&scoped));
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(cis_addr_is_public(&local));
}

static cis_code check(const struct cis_grants *g, const char *url_text, const char *addr_text,
                      struct cis_error *err)
{
    struct cis_url url = parsed(url_text);
    struct sockaddr_storage a = addr_of(addr_text);
    cis_code code = cis_policy_addr_check(g, &url, (const struct sockaddr *)&a, err);
    cis_url_done(&url);
    return code;
}

static void a_name_may_lead_to_public_addresses_only(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    add(&g, "http=https://api.example.com");
    assert_ok(check(&g, "https://api.example.com/", "8.8.8.8", err));
    assert_fails(CIS_E_DENIED, "http=https://127.0.0.1:443",
                 check(&g, "https://api.example.com/", "127.0.0.1", err));
    assert_fails(CIS_E_DENIED, "169.254.169.254",
                 check(&g, "https://api.example.com/", "169.254.169.254", err));
    assert_fails(CIS_E_DENIED, "http=https://[::1]:443",
                 check(&g, "https://api.example.com/", "::1", err));
    assert_fails(CIS_E_DENIED, "not granted", check(&g, "https://evil.test/", "8.8.8.8", err));
    cis_grants_done(&g);
}

static void a_private_address_passes_when_that_very_address_is_granted(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    add(&g, "http=http://nas.example.com:8080");
    add(&g, "http=http://192.168.7.7:8080");
    assert_ok(check(&g, "http://nas.example.com:8080/", "192.168.7.7", err));
    assert_fails(CIS_E_DENIED, "192.168.7.8",
                 check(&g, "http://nas.example.com:8080/", "192.168.7.8", err));
    assert_fails(CIS_E_DENIED, "::ffff:192.168.7.7",
                 check(&g, "http://nas.example.com:8080/", "::ffff:192.168.7.7", err));
    add(&g, "http=http://nas.example.com:80");
    assert_fails(CIS_E_DENIED, "192.168.7.7",
                 check(&g, "http://nas.example.com/", "192.168.7.7", err));
    cis_grants_done(&g);
}

static void a_literal_leads_to_itself_only(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    add(&g, "network");
    add(&g, "http=http://localhost:80");
    assert_ok(check(&g, "http://8.8.8.8/", "8.8.8.8", err));
    assert_fails(CIS_E_DENIED, "another", check(&g, "http://8.8.8.8/", "9.9.9.9", err));
    assert_fails(CIS_E_DENIED, "another", check(&g, "http://127.0.0.1/", "::1", err));
    assert_ok(check(&g, "http://localhost/", "::1", err));
    cis_grants_done(&g);
}

static void names_and_values_of_headers_hold_the_bytes_of_the_standard(void **state)
{
    (void)state;
    static const char in_names[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'a'};
        struct cis_str whole = {text, 3};
        assert_int_equal(cis_header_token(whole), memchr(in_names, c, sizeof in_names - 1) != NULL);
        assert_int_equal(cis_header_value(whole), c == '\t' || (c >= ' ' && c != 0x7f));
    }
    assert_false(cis_header_token(CIS_STR("")));
    assert_true(cis_header_value(CIS_STR("")));
}

static void fields_of_the_connection_are_known_in_any_case(void **state)
{
    (void)state;
    static const char *const hosts[] = {"Host",   "content-length",      "Transfer-Encoding", "TE",
                                        "proxy-", "Proxy-Authorization", "Keep-Alive"};
    static const char *const never_in_trailers[] = {"Authorization", "cookie", "SET-COOKIE"};
    static const char *const free_names[] = {"hos", "hosts", "proxy", "x-host", "accept"};
    for (size_t i = 0; i < COUNT(hosts); i++) {
        assert_true(cis_header_of_host(cis_str_of(hosts[i])));
        assert_false(cis_header_in_trailers(cis_str_of(hosts[i])));
    }
    for (size_t i = 0; i < COUNT(never_in_trailers); i++) {
        assert_false(cis_header_of_host(cis_str_of(never_in_trailers[i])));
        assert_false(cis_header_in_trailers(cis_str_of(never_in_trailers[i])));
    }
    for (size_t i = 0; i < COUNT(free_names); i++) {
        assert_false(cis_header_of_host(cis_str_of(free_names[i])));
        assert_true(cis_header_in_trailers(cis_str_of(free_names[i])));
    }
}

static void parsing_survives_every_failing_allocation(void **state)
{
    (void)state;
    for (size_t n = 0;; n++) {
        struct cis_url url = {0};
        cis_mem_fail_after(n);
        cis_code code = cis_url_parse(CIS_STR("http://example.com/a?b"), &url, NULL);
        cis_mem_fail_after(SIZE_MAX);
        if (code == CIS_OK) {
            assert_true(n > 0);
            assert_string_equal(url.target, "/a?b");
            cis_url_done(&url);
            break;
        }
        assert_int_equal(code, CIS_E_NOMEM);
        assert_null(url.host);
    }
}

static void network_without_an_origin_leads_to_no_private_address(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_grants_done) struct cis_grants g = CIS_GRANTS_INIT;
    add(&g, "network");
    struct cis_url url = parsed("http://example.com/");
    struct sockaddr_storage a = addr_of("10.0.0.1");
    assert_fails(CIS_E_DENIED, "http=http://10.0.0.1:80",
                 cis_policy_addr_check(&g, &url, (const struct sockaddr *)&a, err));
    cis_url_done(&url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_without_an_origin_leads_to_no_private_address),
        cmocka_unit_test(a_url_is_read_into_its_canonical_parts),
        cmocka_unit_test(the_canonical_form_reads_back_as_itself),
        cmocka_unit_test(a_url_of_8192_bytes_is_read_and_one_more_is_refused),
        cmocka_unit_test(a_host_of_253_characters_is_the_longest),
        cmocka_unit_test(grants_match_scheme_host_and_port_exactly),
        cmocka_unit_test(the_grant_localhost_means_both_loopback_addresses),
        cmocka_unit_test(network_means_public_hosts_on_ports_of_the_web),
        cmocka_unit_test(a_name_may_lead_to_public_addresses_only),
        cmocka_unit_test(a_private_address_passes_when_that_very_address_is_granted),
        cmocka_unit_test(a_literal_leads_to_itself_only),
        cmocka_unit_test(every_malformed_url_is_refused),
        cmocka_unit_test(a_url_with_a_nul_is_refused),
        cmocka_unit_test(a_zone_of_an_address_is_refused_by_name),
        cmocka_unit_test(an_error_repeats_no_password_and_no_query),
        cmocka_unit_test(an_empty_set_allows_nothing),
        cmocka_unit_test(addresses_outside_the_global_registries_are_not_public),
        cmocka_unit_test(names_and_values_of_headers_hold_the_bytes_of_the_standard),
        cmocka_unit_test(fields_of_the_connection_are_known_in_any_case),
        cmocka_unit_test(parsing_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
