/* Hosts and URLs to the byte: what is read, what is left of it, and what is said about it. */
#include "harness.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/un.h>
#include "base/mem.h"
#include "policy/host.h"
#include "policy/net.h"
#include "policy/set.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A page, and behind it one that nobody may read. */
static int page_setup(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    *state = pages;
    return 0;
}

static int page_teardown(void **state)
{
    return munmap(*state, 2 * (size_t)sysconf(_SC_PAGESIZE));
}

/* The text without its NUL, so that whoever reads one byte more is ended. */
static struct cis_str at_edge(char *pages, const char *text)
{
    size_t n = strlen(text);
    char *at = pages + sysconf(_SC_PAGESIZE) - n;
    memcpy(at, text, n);
    return (struct cis_str){at, n};
}

static void no_byte_behind_a_url_or_a_host_is_read(void **state)
{
    static const char *const urls[] = {
        "",          "abc",          "http",           "http://",     "http://",
        "http://h",  "http://h.",    "http://h:1",     "http:/",      "http://h/",
        "x:",        "http://[::1]", "https",          "http://h/a#", "http://h?",
        "http://h:", "http://[",     "http://1.2.3.4", "http://0x1"};
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct cis_url url = {0}, again = {0};
        cis_code code = cis_url_parse(at_edge(*state, urls[i]), &url, NULL);
        assert_int_equal(code, cis_url_parse(cis_str_of(urls[i]), &again, NULL));
        cis_url_done(&url);
        cis_url_done(&again);
    }
    static const char *const hosts[] = {"", "h", "h.", "0x1", "1", "1.2.3.4", "[", "[::1]", "a.b"};
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct cis_host_text out;
        struct cis_str host, port;
        bool has_port;
        const char *why = cis_host_parse(at_edge(*state, hosts[i]), &out);
        assert_true((why == NULL) == (cis_host_parse(cis_str_of(hosts[i]), &out) == NULL));
        cis_host_split(at_edge(*state, hosts[i]), &host, &port, &has_port);
    }
}

/* A host is a part of a longer text: what follows it there is not its own. */
static void what_follows_a_host_in_its_text_is_not_part_of_it(void **state)
{
    (void)state;
    struct cis_host_text out;
    struct cis_url url;
    const char *why = cis_host_parse((struct cis_str){"0x1fa", 4}, &out);
    assert_non_null(why);
    assert_non_null(strstr(why, "four decimal parts"));
    assert_non_null(cis_host_parse_v6(CIS_STR("::1\0.evil.example"), &out));
    assert_non_null(cis_host_parse_v6(CIS_STR("::1\0"), &out));
    assert_fails(CIS_E_DENIED, "must start with",
                 cis_url_parse((struct cis_str){"abc:", 3}, &url, err));
}

static void a_short_address_is_read_as_it_is_after_a_long_one(void **state)
{
    (void)state;
    static const char longest[] = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
    assert_int_equal(sizeof longest, INET6_ADDRSTRLEN);
    struct cis_host_text big, small;
    const char *why_big = cis_host_parse_v6((struct cis_str){longest, sizeof longest - 1}, &big);
    const char *why_small = cis_host_parse_v6((struct cis_str){"::1", 3}, &small);
    assert_null(why_big);
    assert_null(why_small);
    assert_non_null(cis_host_parse_v6(
        (struct cis_str){"0ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", INET6_ADDRSTRLEN},
        &big));
    assert_string_equal(big.text, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_string_equal(small.text, "::1");
    assert_int_equal(small.kind, CIS_HOST_V6);
}

static void an_address_is_written_over_all_that_was_there(void **state)
{
    (void)state;
    static const char *const texts[] = {"192.0.2.1", "2001:db8::1"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct sockaddr_storage dirty, clean;
        memset(&dirty, 0xff, sizeof dirty);
        memset(&clean, 0, sizeof clean);
        assert_true(cis_host_sockaddr(texts[i], &dirty));
        assert_true(cis_host_sockaddr(texts[i], &clean));
        assert_memory_equal(&dirty, &clean, sizeof dirty);
        char shown[64];
        cis_addr_text((const struct sockaddr *)&dirty, shown);
        assert_string_equal(shown, texts[i]);
    }
    struct sockaddr_un other = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    char shown[64] = "10.0.0.1";
    cis_addr_text((const struct sockaddr *)&other, shown);
    assert_string_equal(shown, "?");
}

static void a_url_is_refused_for_its_own_reason_and_at_its_own_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        cis_code code;
    } rows[] = {
        {"", "url: is empty", CIS_E_INVALID},
        {"http://", "host \"\": no host", CIS_E_INVALID},
        {"http:///", "host \"\": no host", CIS_E_INVALID},
        {"https://", "host \"\": no host", CIS_E_INVALID},
        {"://h", "must start with http:// or https://", CIS_E_DENIED},
        {"0A9Zaz://h", "scheme \"0A9Zaz\"", CIS_E_DENIED},
        {"abcdefghijklmnopqrst:x", "scheme \"abcdefghijklmnopqrst\"", CIS_E_DENIED},
        {"abcdefghijklmnopqrstu:x", "must start with http:// or https://", CIS_E_DENIED},
        {" ", "control character at byte 1", CIS_E_INVALID},
        {"http://h/ ", "control character at byte 10", CIS_E_INVALID},
        {"\\", "a backslash at byte 1", CIS_E_INVALID},
        {"http://h\\", "a backslash at byte 9", CIS_E_INVALID},
        {"http://\302\200.example/", "not ASCII", CIS_E_INVALID},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cis_url url;
        assert_fails(rows[i].code, rows[i].why, cis_url_parse(cis_str_of(rows[i].text), &url, err));
    }
    struct cis_host_text out;
    assert_string_equal(cis_host_parse(cis_str_of(""), &out), "no host");
    assert_non_null(strstr(cis_host_parse(CIS_STR("\200.example"), &out), "not ASCII"));
}

static void the_lowest_byte_above_ascii_is_encoded_in_a_target(void **state)
{
    (void)state;
    struct cis_url url;
    assert_ok(cis_url_parse(CIS_STR("http://h/\302\200"), &url, err));
    assert_string_equal(url.target, "/%C2%80");
    cis_url_done(&url);
}

static void what_a_url_held_is_given_back_once(void **state)
{
    (void)state;
    struct cis_url url;
    size_t before = 0;
    for (int i = 0; i < 3000; i++) {
        if (i == 1000) { /* what is kept for reuse is there */
            before = mallinfo2().uordblks;
        }
        assert_ok(cis_url_parse(CIS_STR("http://a.host.example/and/its/path"), &url, err));
        cis_url_done(&url);
        assert_null(url.scheme);
        assert_null(url.host);
        assert_null(url.target);
        cis_url_done(&url);
    }
    assert_true(mallinfo2().uordblks < before + 32 * 1000);
}

static void ports_from_1024_are_for_everybody(void **state)
{
    (void)state;
    static const uint16_t open[] = {80, 443, 1024, 65535}, closed[] = {1, 79, 81, 442, 444, 1023};
    for (size_t i = 0; i < COUNT(open); i++) {
        assert_true(cis_policy_public_origin("example.com", false, open[i]));
    }
    for (size_t i = 0; i < COUNT(closed); i++) {
        assert_false(cis_policy_public_origin("example.com", false, closed[i]));
    }
}

static void what_is_no_host_leaves_its_outputs_as_they_were(void **state)
{
    (void)state;
    static const char *const bad[] = {"[::1", "[::1]80", "[", "[::1]x:80"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct cis_str host = {"h", 1}, port = {"p", 1};
        bool has_port = true;
        assert_non_null(cis_host_split(cis_str_of(bad[i]), &host, &port, &has_port));
        assert_true(cis_str_is(host, "h") && cis_str_is(port, "p") && has_port);
    }
    static const char *const names[] = {"", "example.com", "1.2.3", "::g", "1.2.3.4.5"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct sockaddr_storage addr, before;
        memset(&addr, 0x5a, sizeof addr);
        before = addr;
        assert_false(cis_host_sockaddr(names[i], &addr));
        assert_memory_equal(&addr, &before, sizeof addr);
    }
    static const char *const hosts[] = {"", "a..b", "1.2.3", "[::1", "-a", "1.2.3.4."};
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct cis_host_text out, before;
        memset(&out, 0x5a, sizeof out);
        before = out;
        assert_non_null(cis_host_parse(cis_str_of(hosts[i]), &out));
        assert_memory_equal(&out, &before, sizeof out);
    }
}

static void a_host_is_refused_for_its_own_reason_at_the_edges_of_its_grammar(void **state)
{
    (void)state;
    static const char label[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789x";
    assert_int_equal(sizeof label - 1, 63);
    const char *const names[][2] = {
        {"ZaZ.Example", "zaz.example"}, {"z", "z"}, {"0xzz", "0xzz"}, {"ax1", "ax1"},
        {"a.0x1g", "a.0x1g"},           {"x", "x"}, {label, label},   {"a.1.b.", "a.1.b"},
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        struct cis_host_text out;
        memset(&out, 'x', sizeof out); /* nothing of what was there before is left behind it */
        assert_null(cis_host_parse(cis_str_of(names[i][0]), &out));
        assert_int_equal(out.kind, CIS_HOST_NAME);
        assert_string_equal(out.text, names[i][1]);
    }
    static const char *const bad[][2] = {
        {"0xA", "four decimal parts"}, {"0XfF", "four decimal parts"},
        {"1", "four decimal parts"},   {"[a]", "not an IPv6 address"},
        {"[]", "'[' without ']'"},     {"b\303\274cher.example", "not ASCII"},
        {"a%b", "'%' in the host"},    {"a{b", "a character that no host name has"},
        {"[::1%lo]", "zone ids"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct cis_host_text out;
        const char *why = cis_host_parse(cis_str_of(bad[i][0]), &out);
        if (why == NULL || strstr(why, bad[i][1]) == NULL) {
            fail_msg("%s: %s", bad[i][0], why != NULL ? why : "accepted");
        }
    }
    /* As long as the longest address with its NUL, and far longer. */
    static char digits[5001];
    memset(digits, '1', sizeof digits - 1);
    struct cis_host_text out;
    assert_non_null(cis_host_parse_v6((struct cis_str){digits, INET6_ADDRSTRLEN}, &out));
    assert_non_null(cis_host_parse_v6(cis_str_of(digits), &out));
    uint16_t port = 7;
    assert_false(cis_port_parse((struct cis_str){NULL, 0}, &port));
    assert_false(cis_port_parse(CIS_STR("080"), &port));
    assert_false(cis_port_parse(CIS_STR("65536"), &port));
    assert_int_equal(port, 7);
}

/* What may hold a password is not repeated. */
static void only_what_is_a_scheme_is_repeated(void **state)
{
    (void)state;
    struct cis_url url;
    static const char *const schemes[] = {"ftp", "z", "aZ9", "x+y", "x-y", "x.y"};
    for (size_t i = 0; i < COUNT(schemes); i++) {
        char text[64], why[64];
        snprintf(text, sizeof text, "%s://a", schemes[i]);
        snprintf(why, sizeof why, "scheme \"%s\":", schemes[i]);
        assert_fails(CIS_E_DENIED, why, cis_url_parse(cis_str_of(text), &url, err));
    }
    static const char *const others[] = {"a!b://c", "me@you:pass", "a_b:c"};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_fails(CIS_E_DENIED, "must start with http:// or https://",
                     cis_url_parse(cis_str_of(others[i]), &url, err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_byte_behind_a_url_or_a_host_is_read, page_setup,
                                        page_teardown),
        cmocka_unit_test(what_follows_a_host_in_its_text_is_not_part_of_it),
        cmocka_unit_test(a_short_address_is_read_as_it_is_after_a_long_one),
        cmocka_unit_test(an_address_is_written_over_all_that_was_there),
        cmocka_unit_test(a_url_is_refused_for_its_own_reason_and_at_its_own_byte),
        cmocka_unit_test(the_lowest_byte_above_ascii_is_encoded_in_a_target),
        cmocka_unit_test(what_a_url_held_is_given_back_once),
        cmocka_unit_test(ports_from_1024_are_for_everybody),
        cmocka_unit_test(what_is_no_host_leaves_its_outputs_as_they_were),
        cmocka_unit_test(a_host_is_refused_for_its_own_reason_at_the_edges_of_its_grammar),
        cmocka_unit_test(only_what_is_a_scheme_is_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
