/* The grammar of grants, and sets of them. */
#include "harness.h"

#include "base/mem.h"
#include "policy/grant.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct cis_grants set_of(const char *const *texts, size_t n)
{
    struct cis_grants g = CIS_GRANTS_INIT;
    for (size_t i = 0; i < n; i++) {
        struct cis_error err = {0};
        if (cis_grants_add(&g, cis_str_of(texts[i]), &err) != CIS_OK) {
            fail_msg("%s: %s", texts[i], err.msg);
        }
    }
    return g;
}
#define SET(...)                                                                                   \
    set_of((const char *const[]){__VA_ARGS__},                                                     \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void assert_json(const struct cis_grants *g, const char *expected)
{
    struct cis_buf buf = CIS_BUF_INIT(1 << 20);
    cis_grants_json(g, &buf);
    assert_ok(cis_buf_check(&buf, "json", err));
    assert_string_equal(cis_buf_cstr(&buf), expected);
    cis_buf_done(&buf);
}

static void grants_print_in_their_canonical_form(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"memory", "[\"memory\"]"},
        {"memory=read", "[\"memory=read\"]"},
        {"memory=write", "[\"memory=write\"]"},
        {"ai", "[\"ai\"]"},
        {"network", "[\"network\"]"},
        {"dns", "[\"dns\"]"},
        {"fs=ro", "[\"fs=ro\"]"},
        {"fs=rw", "[\"fs=rw\"]"},
        {"env=HOME", "[\"env=HOME\"]"},
        {"clocks", "[\"clocks\"]"},
        {"random", "[\"random\"]"},
        {"command", "[\"command\"]"},
        {"http=https://API.Example.com", "[\"http=https://api.example.com\"]"},
        {"http=https://api.example.com:443", "[\"http=https://api.example.com\"]"},
        {"http=http://api.example.com.:8080", "[\"http=http://api.example.com:8080\"]"},
        {"http=http://*.Example.com:80", "[\"http=http://*.example.com\"]"},
        {"http=http://[2001:DB8:0::1]:81", "[\"http=http://[2001:db8::1]:81\"]"},
        {"http=http://localhost:1", "[\"http=http://localhost:1\"]"},
        {"net=tcp:db.example.com:5432", "[\"net=tcp:db.example.com:5432\"]"},
        {"net=udp:[::1]:53", "[\"net=udp:[::1]:53\"]"},
        {"net=tcp:10.0.0.1:*", "[\"net=tcp:10.0.0.1:*\"]"},
        {"net=listen:localhost:*", "[\"net=listen:localhost:*\"]"},
        {"net=listen:127.0.0.1:8080", "[\"net=listen:127.0.0.1:8080\"]"},
        {"net=bind:127.0.0.0/8", "[\"net=bind:127.0.0.0/8\"]"},
        {"net=bind:127.0.0.1", "[\"net=bind:127.0.0.1/32\"]"},
        {"net=bind:FD00::/8", "[\"net=bind:fd00::/8\"]"},
        {"net=bind:::/0", "[\"net=bind:::/0\"]"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cis_grants g = SET(rows[i].text);
        assert_json(&g, rows[i].json);
        cis_grants_done(&g);
    }
}

static void a_set_is_printed_sorted_without_repetition(void **state)
{
    (void)state;
    struct cis_grants g = SET("random", "memory=write", "http=https://b.test", "ai", "memory=read",
                              "http=https://a.test", "http=https://a.test:443", "fs=rw", "fs=ro");
    assert_json(&g, "[\"ai\",\"fs=rw\",\"http=https://a.test\",\"http=https://b.test\","
                    "\"memory\",\"random\"]");
    assert_int_equal(g.nhttp, 2);
    cis_grants_done(&g);
    struct cis_grants none = CIS_GRANTS_INIT;
    assert_json(&none, "[]");
}

static void each_grant_sets_its_bits_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t bits;
    } rows[] = {
        {"memory", CIS_GRANT_BIT(CIS_GRANT_MEMORY_READ) | CIS_GRANT_BIT(CIS_GRANT_MEMORY_WRITE)},
        {"memory=read", CIS_GRANT_BIT(CIS_GRANT_MEMORY_READ)},
        {"memory=write", CIS_GRANT_BIT(CIS_GRANT_MEMORY_WRITE)},
        {"ai", CIS_GRANT_BIT(CIS_GRANT_AI)},
        {"network", CIS_GRANT_BIT(CIS_GRANT_HTTP)},
        {"http=https://a.test", CIS_GRANT_BIT(CIS_GRANT_HTTP)},
        {"net=tcp:a.test:1", CIS_GRANT_BIT(CIS_GRANT_NET)},
        {"dns", CIS_GRANT_BIT(CIS_GRANT_DNS)},
        {"fs=ro", CIS_GRANT_BIT(CIS_GRANT_FS_READ)},
        {"fs=rw", CIS_GRANT_BIT(CIS_GRANT_FS_READ) | CIS_GRANT_BIT(CIS_GRANT_FS_WRITE)},
        {"env=A", CIS_GRANT_BIT(CIS_GRANT_ENV)},
        {"clocks", CIS_GRANT_BIT(CIS_GRANT_CLOCKS)},
        {"random", CIS_GRANT_BIT(CIS_GRANT_RANDOM)},
        {"command", CIS_GRANT_BIT(CIS_GRANT_COMMAND)},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cis_grants g = SET(rows[i].text);
        assert_int_equal(g.bits, rows[i].bits);
        assert_true(cis_grants_has(&g, CIS_GRANT_NONE));
        assert_ok(cis_grants_remove(&g, cis_str_of(rows[i].text), err));
        assert_int_equal(g.bits, 0);
        assert_json(&g, "[]");
        cis_grants_done(&g);
    }
}

static void every_grant_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < CIS_GRANT_COUNT; i++) {
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(cis_grant_name((enum cis_grant)i),
                                    cis_grant_name((enum cis_grant)j));
        }
    }
    assert_string_equal(cis_grant_name(CIS_GRANT_COUNT), "unknown");
}

static void malformed_grants_are_usage_errors_that_name_them(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "memory ",
                                      " memory",
                                      "Memory",
                                      "MEMORY",
                                      "memory=",
                                      "memory=rw",
                                      "memory=Read",
                                      "ai=1",
                                      "ai=",
                                      "network=true",
                                      "dns=",
                                      "fs",
                                      "fs=",
                                      "fs=wo",
                                      "fs=RO",
                                      "clock",
                                      "all",
                                      "*",
                                      "http",
                                      "http=",
                                      "http=*",
                                      "http=example.com",
                                      "http=//example.com",
                                      "http=ftp://a.test",
                                      "http=HTTP://a.test",
                                      "http=https://",
                                      "http=https://:80",
                                      "http=https://a.test/",
                                      "http=https://a.test/x",
                                      "http=https://a.test?x",
                                      "http=https://a.test#x",
                                      "http=https://u@a.test",
                                      "http=https://u:p@a.test",
                                      "http=https://a.test\\x",
                                      "http=https://a.test:0",
                                      "http=https://a.test:",
                                      "http=https://a.test:65536",
                                      "http=https://a.test:*",
                                      "http=https://a.test:080",
                                      "http=https://*",
                                      "http=https://*.",
                                      "http=https://*.com",
                                      "http=https://*.com.",
                                      "http=https://*.localhost",
                                      "http=https://*.*.example.com",
                                      "http=https://a.*.example.com",
                                      "http=https://a*.example.com",
                                      "http=https://*a.example.com",
                                      "http=https://*example.com",
                                      "http=https://example.*",
                                      "http=https://**.example.com",
                                      "http=https://*.1.2.3.4",
                                      "http=https://*.[::1]",
                                      "http=https://[*.example.com]",
                                      "http=https://127.1",
                                      "http=https://0x7f.0.0.1",
                                      "http=https://2130706433",
                                      "http=https://010.0.0.1",
                                      "http=https://[::1%25lo]",
                                      "http=https://::1",
                                      "http=https://a..test",
                                      "http=https://-a.test",
                                      "http=https://a b.test",
                                      "http=https://a.test\t",
                                      "http=https://\xC3\xA4.test",
                                      "net",
                                      "net=",
                                      "net=tcp",
                                      "net=tcp:",
                                      "net=tcp:a.test",
                                      "net=tcp:a.test:",
                                      "net=tcp:a.test:0",
                                      "net=tcp:a.test:65536",
                                      "net=tcp::80",
                                      "net=tcp:*:80",
                                      "net=tcp:*.a.test:80",
                                      "net=tcp:a.test:80-90",
                                      "net=icmp:a.test:1",
                                      "net=TCP:a.test:1",
                                      "net=listen:a.test:80",
                                      "net=listen:*:80",
                                      "net=tcp:::1:80",
                                      "net=bind:",
                                      "net=bind:a.test",
                                      "net=bind:10.0.0.0/33",
                                      "net=bind:10.0.0.1/8",
                                      "net=bind:10.0.0.0/",
                                      "net=bind:10.0.0.0/08",
                                      "net=bind:::/129",
                                      "net=bind:fd00::1/8",
                                      "net=bind:[::1]/x",
                                      "net=bind:10.0.0.0/-1",
                                      "net=bind:10/8",
                                      "env",
                                      "env=",
                                      "env=A=B",
                                      "env=A B",
                                      "env=1A",
                                      "env=A-B",
                                      "env=*",
                                      "env=\xC3\xA4",
                                      "command=ls",
                                      "random=1",
                                      "clocks,random",
                                      "memory\n",
                                      "http=https://a.test\r\nai"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct cis_grants g = CIS_GRANTS_INIT;
        struct cis_error err = {0};
        cis_code code = cis_grants_add(&g, cis_str_of(bad[i]), &err);
        if (code != CIS_E_USAGE) {
            fail_msg("\"%s\": got %s", bad[i], cis_code_name(code));
        }
        assert_non_null(strstr(err.msg, "grant \""));
        assert_int_equal(g.bits, 0);
        assert_int_equal(cis_grants_remove(&g, cis_str_of(bad[i]), NULL), CIS_E_USAGE);
        cis_grants_done(&g);
    }
}

static void a_grant_with_a_password_does_not_repeat_it(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    struct cis_error err = {0};
    assert_int_equal(cis_grants_add(&g, CIS_STR("http=https://me:sesame@a.test"), &err),
                     CIS_E_USAGE);
    assert_null(strstr(err.msg, "sesame"));
}

static void a_set_holds_a_thousand_entries_and_refuses_the_next(void **state)
{
    (void)state;
    struct cis_grants g = CIS_GRANTS_INIT;
    char text[64];
    for (int i = 0; i < CIS_GRANTS_MAX; i++) {
        snprintf(text, sizeof text, "http=https://h%d.test", i);
        assert_ok(cis_grants_add(&g, cis_str_of(text), err));
    }
    assert_fails(CIS_E_LIMIT, "1000", cis_grants_add(&g, CIS_STR("env=A"), err));
    assert_ok(cis_grants_add(&g, CIS_STR("http=https://h5.test"), err));
    assert_ok(cis_grants_add(&g, CIS_STR("ai"), err));
    struct cis_grants copy = CIS_GRANTS_INIT;
    assert_ok(cis_grants_copy(&g, &copy, err));
    assert_true(cis_grants_cover(&g, &copy) && cis_grants_cover(&copy, &g));
    cis_grants_done(&copy);
    cis_grants_done(&g);
}

static void removing_takes_away_what_the_grant_covers(void **state)
{
    (void)state;
    struct cis_grants g =
        SET("memory", "http=http://localhost:80", "http=http://127.0.0.1:80",
            "http=https://a.example.com", "http=https://b.example.com", "http=https://other.test",
            "net=tcp:a.test:1", "net=tcp:a.test:2", "env=A", "env=B", "network");
    assert_ok(cis_grants_remove(&g, CIS_STR("network"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("http=http://localhost:80"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("http=https://*.example.com"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("net=tcp:a.test:*"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("env=A"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("memory=write"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("ai"), err));
    assert_json(&g, "[\"env=B\",\"http=https://other.test\",\"memory=read\"]");
    assert_false(cis_grants_has(&g, CIS_GRANT_NET));
    assert_true(cis_grants_has(&g, CIS_GRANT_HTTP));
    assert_ok(cis_grants_add(&g, CIS_STR("env=C"), err));
    assert_json(&g, "[\"env=B\",\"env=C\",\"http=https://other.test\",\"memory=read\"]");
    cis_grants_done(&g);
}

static void what_a_wider_grant_still_allows_is_not_removed_in_silence(void **state)
{
    (void)state;
    static const struct {
        const char *wide, *narrow;
    } rows[] = {
        {"http=https://*.example.com", "http=https://a.example.com"},
        {"http=http://localhost", "http=http://127.0.0.1"},
        {"http=http://localhost:8080", "http=http://[::1]:8080"},
        {"network", "http=https://a.example.com"},
        {"network", "http=https://*.example.com"},
        {"net=tcp:a.test:*", "net=tcp:a.test:80"},
        {"net=tcp:localhost:80", "net=tcp:127.0.0.1:80"},
        {"net=udp:localhost:53", "net=udp:[::1]:*"},
        {"net=tcp:127.0.0.1:*", "net=tcp:localhost:80"},
        {"net=bind:10.0.0.0/8", "net=bind:10.1.0.0/16"},
        {"net=bind:0.0.0.0/0", "net=bind:127.0.0.1/32"},
        {"net=listen:localhost:*", "net=listen:127.0.0.1:80"},
        {"net=listen:0.0.0.0:80", "net=listen:127.0.0.1:80"},
        {"net=listen:0.0.0.0:*", "net=listen:10.0.0.1:80"},
        {"net=listen:0.0.0.0:80", "net=listen:127.0.0.1:*"},
        {"net=listen:[::]:80", "net=listen:[::1]:80"},
        {"net=listen:[::]:80", "net=listen:[2001:db8::1]:80"},
        {"net=listen:0.0.0.0:80", "net=listen:localhost:80"},
        {"net=listen:[::]:*", "net=listen:localhost:80"},
        {"net=listen:localhost:80", "net=bind:127.0.0.0/8"},
        {"net=listen:10.0.0.1:80", "net=bind:10.0.0.0/8"},
        {"net=listen:0.0.0.0:80", "net=bind:10.0.0.1/32"},
        {"net=listen:[::]:80", "net=bind:::1/128"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cis_grants g = SET(rows[i].wide, "ai"), before = CIS_GRANTS_INIT;
        assert_ok(cis_grants_copy(&g, &before, err));
        assert_fails(CIS_E_USAGE, rows[i].wide,
                     cis_grants_remove(&g, cis_str_of(rows[i].narrow), err));
        assert_true(cis_grants_cover(&g, &before) && cis_grants_cover(&before, &g));
        assert_ok(cis_grants_remove(&g, cis_str_of(rows[i].wide), err));
        assert_json(&g, "[\"ai\"]");
        assert_ok(cis_grants_remove(&g, cis_str_of(rows[i].narrow), err)); /* absent: no error */
        cis_grants_done(&g);
        cis_grants_done(&before);
    }
    struct cis_grants g = SET("http=https://*.example.com", "net=tcp:a.test:80");
    assert_ok(
        cis_grants_remove(&g, CIS_STR("http=https://example.com"), err)); /* beside, not under */
    assert_ok(cis_grants_remove(&g, CIS_STR("http=http://a.example.com"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("http=https://a.b.example.com"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("net=udp:a.test:80"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("net=tcp:a.test:81"), err));
    assert_json(&g, "[\"http=https://*.example.com\",\"net=tcp:a.test:80\"]");
    cis_grants_done(&g);
}

static void everywhere_is_every_address_of_its_family_in_a_set(void **state)
{
    (void)state;
    struct cis_grants g = SET("net=listen:127.0.0.1:80", "net=listen:10.0.0.1:81",
                              "net=listen:[::1]:80", "net=listen:localhost:80", "net=tcp:a.test:80",
                              "net=tcp:127.0.0.1:80", "net=bind:10.0.0.0/8");
    assert_ok(
        cis_grants_remove(&g, CIS_STR("net=tcp:0.0.0.0:80"), err)); /* an address of its own */
    assert_fails(CIS_E_USAGE, "net=listen:localhost:80",
                 cis_grants_remove(&g, CIS_STR("net=listen:0.0.0.0:80"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("net=listen:localhost:80"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("net=listen:0.0.0.0:*"), err));
    assert_ok(cis_grants_remove(&g, CIS_STR("net=listen:[::]:80"), err));
    assert_json(&g, "[\"net=bind:10.0.0.0/8\",\"net=tcp:127.0.0.1:80\",\"net=tcp:a.test:80\"]");
    cis_grants_done(&g);
}

static void an_intersection_allows_what_both_allow(void **state)
{
    (void)state;
    static const struct {
        const char *a[4], *b[4], *json;
    } rows[] = {
        {{"memory"}, {"memory=read"}, "[\"memory=read\"]"},
        {{"memory=write"}, {"memory=read"}, "[]"},
        {{"fs=rw"}, {"fs=ro"}, "[\"fs=ro\"]"},
        {{"ai", "dns"}, {"dns", "random"}, "[\"dns\"]"},
        {{"network"}, {"network"}, "[\"network\"]"},
        {{"network"}, {"http=https://a.test"}, "[\"http=https://a.test\"]"},
        {{"http=https://*.a.test"}, {"network"}, "[\"http=https://*.a.test\"]"},
        {{"network"}, {"http=http://localhost:8080"}, "[]"},
        {{"network"}, {"http=http://127.0.0.1:8080"}, "[]"},
        {{"network"}, {"http=http://[::1]:8080"}, "[]"},
        {{"network"}, {"http=http://10.0.0.1", "http=http://8.8.8.8"}, "[\"http=http://8.8.8.8\"]"},
        {{"network"}, {"http=http://a.test:25"}, "[]"},
        {{"http=https://*.a.test"}, {"http=https://x.a.test"}, "[\"http=https://x.a.test\"]"},
        {{"http=https://*.a.test"}, {"http=https://a.test"}, "[]"},
        {{"http=https://*.a.test"}, {"http=https://*.x.a.test"}, "[]"},
        {{"http=https://a.test"}, {"http=http://a.test"}, "[]"},
        {{"http=https://a.test"}, {"http=https://a.test:444"}, "[]"},
        {{"http=http://localhost"}, {"http=http://127.0.0.1"}, "[\"http=http://127.0.0.1\"]"},
        {{"net=tcp:a.test:*"}, {"net=tcp:a.test:5"}, "[\"net=tcp:a.test:5\"]"},
        {{"net=tcp:localhost:5"}, {"net=tcp:127.0.0.1:*"}, "[\"net=tcp:127.0.0.1:5\"]"},
        {{"net=tcp:a.test:5"}, {"net=udp:a.test:5"}, "[]"},
        {{"net=bind:10.0.0.0/8"}, {"net=bind:10.1.0.0/16"}, "[\"net=bind:10.1.0.0/16\"]"},
        {{"net=bind:10.0.0.0/8"}, {"net=bind:11.0.0.0/8"}, "[]"},
        {{"net=bind:0.0.0.0/0"}, {"net=bind:::/0"}, "[]"},
        {{"net=listen:0.0.0.0:*"}, {"net=listen:10.0.0.1:80"}, "[\"net=listen:10.0.0.1:80\"]"},
        {{"net=listen:0.0.0.0:80"}, {"net=listen:10.0.0.1:*"}, "[\"net=listen:10.0.0.1:80\"]"},
        {{"net=listen:0.0.0.0:80"}, {"net=listen:[::1]:80"}, "[]"},
        {{"net=listen:0.0.0.0:80"}, {"net=listen:localhost:*"}, "[\"net=listen:127.0.0.1:80\"]"},
        {{"net=listen:[::]:80"}, {"net=listen:localhost:80"}, "[\"net=listen:[::1]:80\"]"},
        {{"env=A", "env=B"}, {"env=B", "env=C"}, "[\"env=B\"]"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cis_grants a = CIS_GRANTS_INIT, b = CIS_GRANTS_INIT;
        for (size_t k = 0; k < 4; k++) {
            if (rows[i].a[k] != NULL) {
                assert_ok(cis_grants_add(&a, cis_str_of(rows[i].a[k]), err));
            }
            if (rows[i].b[k] != NULL) {
                assert_ok(cis_grants_add(&b, cis_str_of(rows[i].b[k]), err));
            }
        }
        struct cis_grants both = CIS_GRANTS_INIT, turned = CIS_GRANTS_INIT;
        assert_ok(cis_grants_intersect(&a, &b, &both, err));
        assert_ok(cis_grants_intersect(&b, &a, &turned, err));
        assert_json(&both, rows[i].json);
        assert_json(&turned, rows[i].json);
        assert_true(cis_grants_cover(&a, &both) && cis_grants_cover(&b, &both));
        cis_grants_done(&a);
        cis_grants_done(&b);
        cis_grants_done(&both);
        cis_grants_done(&turned);
    }
}

static void cover_tells_whether_anything_was_added(void **state)
{
    (void)state;
    struct cis_grants old = SET("memory", "http=https://*.a.test", "net=tcp:b.test:*", "env=A");
    static const char *const within[] = {"memory=read", "http=https://x.a.test", "net=tcp:b.test:1",
                                         "env=A"};
    static const char *const beyond[] = {"ai",      "http=https://a.test", "http=http://x.a.test",
                                         "network", "net=udp:b.test:1",    "env=B",
                                         "fs=ro",   "net=tcp:c.test:1"};
    struct cis_grants none = CIS_GRANTS_INIT;
    assert_true(cis_grants_cover(&old, &none));
    for (size_t i = 0; i < COUNT(within); i++) {
        struct cis_grants g = SET(within[i]);
        assert_true(cis_grants_cover(&old, &g));
        assert_false(cis_grants_cover(&none, &g));
        cis_grants_done(&g);
    }
    for (size_t i = 0; i < COUNT(beyond); i++) {
        struct cis_grants g = SET(beyond[i]);
        assert_false(cis_grants_cover(&old, &g));
        cis_grants_done(&g);
    }
    cis_grants_done(&old);
}

static void sets_survive_every_failing_allocation(void **state)
{
    (void)state;
    for (size_t n = 0;; n++) {
        struct cis_grants g = CIS_GRANTS_INIT, both = CIS_GRANTS_INIT;
        struct cis_buf buf = CIS_BUF_INIT(4096);
        cis_mem_fail_after(n);
        cis_code code = cis_grants_add(&g, CIS_STR("http=https://a.test"), NULL);
        code = code != CIS_OK ? code : cis_grants_add(&g, CIS_STR("net=tcp:a.test:1"), NULL);
        code = code != CIS_OK ? code : cis_grants_add(&g, CIS_STR("net=bind:10.0.0.0/8"), NULL);
        code = code != CIS_OK ? code : cis_grants_add(&g, CIS_STR("env=A"), NULL);
        code = code != CIS_OK ? code : cis_grants_intersect(&g, &g, &both, NULL);
        if (code == CIS_OK) {
            cis_grants_json(&both, &buf);
            code = cis_buf_check(&buf, "json", NULL);
        }
        cis_mem_fail_after(SIZE_MAX);
        cis_grants_done(&g);
        cis_grants_done(&both);
        cis_buf_done(&buf);
        if (code == CIS_OK) {
            assert_true(n > 5);
            break;
        }
        assert_int_equal(code, CIS_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_print_in_their_canonical_form),
        cmocka_unit_test(a_set_is_printed_sorted_without_repetition),
        cmocka_unit_test(each_grant_sets_its_bits_and_no_other),
        cmocka_unit_test(every_grant_has_a_name_of_its_own),
        cmocka_unit_test(removing_takes_away_what_the_grant_covers),
        cmocka_unit_test(what_a_wider_grant_still_allows_is_not_removed_in_silence),
        cmocka_unit_test(everywhere_is_every_address_of_its_family_in_a_set),
        cmocka_unit_test(an_intersection_allows_what_both_allow),
        cmocka_unit_test(cover_tells_whether_anything_was_added),
        cmocka_unit_test(a_set_holds_a_thousand_entries_and_refuses_the_next),
        cmocka_unit_test(malformed_grants_are_usage_errors_that_name_them),
        cmocka_unit_test(a_grant_with_a_password_does_not_repeat_it),
        cmocka_unit_test(sets_survive_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
