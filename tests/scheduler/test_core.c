/* The scheduler's core as a native library: vectors of its parts. */
#include <jansson.h>
#include <stdlib.h>
#include "harness.h"
#include "loadtest/histogram.h"
#include "http.h"
#include "net.h"
#include "pool.h"
#include "run.h"
#include "scenario.h"
#include "tasks.h"
#include "vars.h"

static void durations_are_numbers_with_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"500ms", 500 * MS}, {"1s", SECOND},       {"5m", 300 * SECOND},
                {" 1s ", SECOND},    {"500 ms", 500 * MS}, {"0ms", 0}};
    static const char *const bad[] = {"invalid",
                                      "1",
                                      "s",
                                      "",
                                      "1.5s",
                                      "-1s",
                                      "ms",
                                      "1 h",
                                      "99999999999999999999s",
                                      "1000000000000000000m"};
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(duration_of(good[i].text, &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(duration_of(bad[i], &ns));
    }
}

static void percentiles_of_1_to_100_are_51_96_and_100(void **state)
{
    (void)state;
    struct cis_histogram *h = calloc(1, sizeof *h);
    for (uint64_t i = 1; i <= 100; i++) {
        cis_histogram_add(h, i);
    }
    assert_int_equal(cis_histogram_percentile(h, 500), 51);
    assert_int_equal(cis_histogram_percentile(h, 950), 96);
    assert_int_equal(cis_histogram_percentile(h, 990), 100);
    *h = (struct cis_histogram){0};
    assert_int_equal(cis_histogram_percentile(h, 500), 0);
    cis_histogram_add(h, 77);
    for (unsigned p = 0; p <= 1000; p += 10) {
        assert_int_equal(cis_histogram_percentile(h, p), 77);
    }
    free(h);
}

static void a_histogram_is_right_within_a_thousandth(void **state)
{
    (void)state;
    struct cis_histogram *h = calloc(1, sizeof *h);
    for (uint64_t value = 1; value < UINT64_C(1) << 41; value = value * 3 / 2 + 1) {
        *h = (struct cis_histogram){0};
        cis_histogram_add(h, value);
        cis_histogram_add(h, UINT64_MAX / 4); /* else the maximum answers */
        uint64_t found = cis_histogram_at(h, 0);
        assert_true(found >= value && found - value <= value / 1024);
    }
    free(h);
}

static uint32_t ip_of(const char *s)
{
    uint32_t ip = 0;
    assert_true(ip_parse(s, strlen(s), &ip));
    return ip;
}

static void open_pool(struct pool *p, struct pool_def *def, struct range_def *ranges, size_t n)
{
    char *why = NULL;
    *def = (struct pool_def){.id = (char *)(uintptr_t) "p",
                             .name = (char *)(uintptr_t) "p",
                             .ranges = ranges,
                             .nranges = n};
    assert_true(pool_init(p, def, &why));
}
#define RANGE(text)                                                                                \
    {                                                                                              \
        .cidr = (char *)(uintptr_t)(text)                                                          \
    }

static void a_pool_gives_the_lowest_free_address(void **state)
{
    (void)state;
    struct range_def ranges[] = {RANGE("10.0.1.0/30")};
    struct pool_def def;
    struct pool p;
    uint32_t ip;
    open_pool(&p, &def, ranges, 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(pool_take(&p, &ip));
        assert_int_equal(ip, ip_of("10.0.1.0") + i);
    }
    assert_false(pool_take(&p, &ip));
    pool_give_back(&p, ip_of("10.0.1.0"));
    assert_true(pool_take(&p, &ip));
    assert_int_equal(ip, ip_of("10.0.1.0"));
    for (uint32_t i = 1; i < 4; i++) {
        pool_give_back(&p, ip_of("10.0.1.0") + i);
    }
    pool_give_back(&p, ip_of("10.0.1.1")); /* twice, and one that is not there */
    pool_give_back(&p, ip_of("10.0.2.0"));
    assert_int_equal(p.allocated, 1);
    assert_int_equal(pool_available(&p), 3);
    assert_int_equal(p.peak, 4);
    assert_true(pool_take(&p, &ip) && pool_take(&p, &ip) && pool_take(&p, &ip));
    pool_give_back(&p, ip_of("10.0.1.3"));
    pool_give_back(&p, ip_of("10.0.1.1"));
    assert_true(pool_take(&p, &ip));
    assert_int_equal(ip, ip_of("10.0.1.1"));
    pool_done(&p);
}

static void a_reserved_address_is_given_to_nobody(void **state)
{
    (void)state;
    struct range_def ranges[] = {RANGE("10.0.1.0/29")};
    struct pool_def def;
    struct pool p;
    uint32_t ip;
    open_pool(&p, &def, ranges, 1);
    assert_true(pool_take(&p, &ip) && pool_take(&p, &ip));
    assert_true(pool_reserve(&p, ip_of("10.0.1.2")));
    assert_false(pool_reserve(&p, ip_of("10.0.1.2")));
    assert_false(pool_reserve(&p, ip_of("10.0.1.0")));
    assert_false(pool_reserve(&p, ip_of("10.0.1.8")));
    assert_int_equal(p.total, 8);
    assert_int_equal(p.allocated, 2);
    assert_int_equal(p.reserved, 1);
    assert_int_equal(pool_available(&p), 5);
    assert_true(pool_take(&p, &ip));
    assert_int_equal(ip, ip_of("10.0.1.3"));
    pool_done(&p);
}

static void ranges_follow_each_other(void **state)
{
    (void)state;
    struct range_def ranges[] = {RANGE("127.0.2.7/31"), RANGE("127.0.1.5/32")};
    static const char *const expected[] = {"127.0.2.6", "127.0.2.7", "127.0.1.5"};
    struct pool_def def;
    struct pool p;
    uint32_t ip;
    open_pool(&p, &def, ranges, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pool_take(&p, &ip));
        assert_int_equal(ip, ip_of(expected[i]));
    }
    assert_false(pool_take(&p, &ip));
    pool_done(&p);
}

static void instances_share_a_pool_without_a_common_address(void **state)
{
    (void)state;
    struct range_def ranges[] = {RANGE("10.0.1.0/29")};
    bool seen[8] = {false};
    for (unsigned share = 0; share < 3; share++) {
        struct pool_def def;
        struct pool p;
        uint32_t ip;
        open_pool(&p, &def, ranges, 1);
        pool_share(&p, share, 3);
        assert_int_equal(pool_available(&p), share < 2 ? 3 : 2);
        while (pool_take(&p, &ip)) {
            uint32_t i = ip - ip_of("10.0.1.0");
            assert_true(i < 8 && i % 3 == share && !seen[i]);
            seen[i] = true;
        }
        pool_done(&p);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_true(seen[i]);
    }
}

static void a_range_that_is_none_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "10.0.1.0",  "10.0.1.0/33", "10.0.1/24", "300.0.0.1/24", "x",
        "10.0.1.0/", "/24",         "0.0.0.0/0", "10.0.1.0/24 ", "1.2.3.04/24"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct range_def range = RANGE(bad[i]);
        struct pool_def def = {.id = (char *)(uintptr_t) "p", .ranges = &range, .nranges = 1};
        struct pool p;
        char *why = NULL, expected[200];
        assert_false(pool_init(&p, &def, &why));
        snprintf(expected, sizeof expected,
                 "Failed to add CIDR range %s to pool p: Invalid subnet: %s", bad[i], bad[i]);
        assert_string_equal(why, expected);
        free(why);
    }
}

/* ---- URLs and messages ---- */
static void urls_have_host_port_and_path(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path;
        uint16_t port;
        bool tls;
    } rows[] = {{"http://example.com/path", "example.com", "/path", 80, false},
                {"https://example.com:8443/api", "example.com", "/api", 8443, true},
                {"https://example.com", "example.com", "/", 443, true},
                {"http://127.0.0.1:8080/a?b=c#d", "127.0.0.1", "/a?b=c", 8080, false},
                {"http://h?q", "h", "/?q", 80, false},
                {"http://[::1]:81/x", "::1", "/x", 81, false}};
    static const char *const bad[] = {"ftp://h/",
                                      "http://",
                                      "http://h:0/",
                                      "http://h:65536/",
                                      "http://h:{{port}}/",
                                      "http://u@h/",
                                      "http://h/a b",
                                      "http://h/\r\nX: y",
                                      "http://[::1/",
                                      "http://[::1]x/",
                                      ""};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct url u;
        assert_null(url_parse(rows[i].text, &u));
        assert_string_equal(u.host, rows[i].host);
        assert_string_equal(u.path, rows[i].path);
        assert_int_equal(u.port, rows[i].port);
        assert_int_equal(u.tls, rows[i].tls);
        url_done(&u);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct url u;
        assert_non_null(url_parse(bad[i], &u));
    }
}

static void a_request_has_its_host_with_the_port(void **state)
{
    (void)state;
    struct url u;
    assert_null(url_parse("http://127.0.0.1:8080/a", &u));
    json_t *headers = json_pack("{s:s, s:i}", "X-A", "b", "X-N", 1);
    struct request r = {.method = "post",
                        .url = &u,
                        .headers = headers,
                        .body = "hi",
                        .body_len = 2,
                        .has_body = true};
    struct text t = TEXT_INIT(1000);
    assert_null(request_write(&r, &t));
    assert_string_equal(t.at, "POST /a HTTP/1.1\r\nX-A: b\r\nHost: 127.0.0.1:8080\r\n"
                              "Content-Length: 2\r\nConnection: close\r\n\r\nhi");
    json_object_set_new(headers, "X-B", json_string("c\r\nX-Evil: 1"));
    text_clear(&t);
    assert_string_equal(request_write(&r, &t), "invalid header");
    json_object_set_new(headers, "X-B", json_string("c\rX-Evil: 1"));
    text_clear(&t);
    assert_string_equal(request_write(&r, &t), "invalid header");
    json_decref(headers);
    text_done(&t);
    url_done(&u);
}

/* The same bytes at once and one at a time. */
static void feed(const char *bytes, bool ended, enum response_state state, int status,
                 const char *body)
{
    for (size_t step = strlen(bytes); step > 0; step = step > 1 ? 1 : 0) {
        struct response r;
        response_init(&r, false);
        for (size_t at = 0; at < strlen(bytes) && r.state < RESPONSE_DONE; at += step) {
            size_t used;
            response_feed(&r, bytes + at, step, &used);
        }
        if (ended) {
            response_end(&r);
        }
        assert_int_equal(r.state, state);
        if (state == RESPONSE_DONE) {
            assert_int_equal(r.status, status);
            assert_string_equal(r.body.at, body);
            assert_int_equal(r.body_len, strlen(body));
        }
        response_done(&r);
    }
}

static void responses_end_by_length_chunks_or_the_connection(void **state)
{
    (void)state;
    feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello", false, RESPONSE_DONE, 200, "Hello");
    feed("HTTP/1.1 200 OK\r\nconTENT-length:5\n\nHello", false, RESPONSE_DONE, 200, "Hello");
    feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nHe\r\n3\r\nllo\r\n0\r\n"
         "X: y\r\n\r\n",
         false, RESPONSE_DONE, 200, "Hello");
    feed("HTTP/1.0 200 OK\r\n\r\nHello", true, RESPONSE_DONE, 200, "Hello");
    feed("HTTP/1.1 204 No Content\r\n\r\n", false, RESPONSE_DONE, 204, "");
    feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false,
         RESPONSE_DONE, 404, "");
    feed("HTTP/1.1 500\r\nContent-Length: 1\r\n\r\nx", false, RESPONSE_DONE, 500, "x");
}

static void a_response_that_breaks_off_or_lies_is_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHell",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nHello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        feed(bad[i], true, RESPONSE_BAD, 0, "");
    }
}

static void addresses_are_read_in_both_families(void **state)
{
    (void)state;
    struct net_address a;
    assert_true(net_address_of("127.0.0.1", &a) && !a.v6 && a.ip[0] == 127 && a.ip[3] == 1);
    assert_true(net_address_of("::1", &a) && a.v6 && a.ip[15] == 1 && a.ip[0] == 0);
    assert_true(net_address_of("fe80:0:0::1:2", &a) && a.v6 && a.ip[0] == 0xfe && a.ip[13] == 1);
    assert_true(net_address_of("1:2:3:4:5:6:7:8", &a) && a.v6 && a.ip[15] == 8);
    assert_true(net_address_of("::", &a) && a.v6);
    static const char *const bad[] = {"",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "1:2",
                                      "1:2:3:4:5:6:7:8:9",
                                      ":::",
                                      "12345::",
                                      "g::",
                                      "1:",
                                      "{{user.allocated_ip}}",
                                      "::1:2:3:4:5:6:7:8",
                                      "localhost"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(net_address_of(bad[i], &a));
    }
}

/* ---- templates and conditions ---- */
static void with_scope(struct scope *scope, struct vars *all, struct vars *user)
{
    *all = *user = (struct vars){0};
    vars_set(all, "a.x", "1{{a.y}}");
    vars_set(all, "a.y", "2{{a.x}}"); /* comes later: is not expanded with what was before */
    vars_set(all, "a.n", "200");
    vars_set(user, "user.id", "7");
    *scope = (struct scope){all, user, json_object(), json_object()};
    json_object_set_new(scope->outputs, "probe.status_code", json_string("200"));
    json_object_set_new(scope->outputs, "probe.evil", json_string("{{a.n}}"));
    json_object_set_new(scope->outputs, "probe.yes", json_string("true"));
}

static void without_scope(struct scope *scope, struct vars *all, struct vars *user)
{
    json_decref(scope->outputs);
    json_decref(scope->shared);
    vars_done(all);
    vars_done(user);
}

static void templates_put_in_what_has_a_name(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", ""},
                                          {"plain", "plain"},
                                          {"{{user.id}}", "7"},
                                          {"{{ user.id }}", "{{ user.id }}"},
                                          {"<{{a.x}}>", "<12{{a.x}}>"},
                                          {"{{nobody}}", "{{nobody}}"},
                                          {"{{{user.id}}}", "{7}"},
                                          {"{{user.id", "{{user.id"},
                                          {"{{probe.evil}}", "{{a.n}}"},
                                          {"{{}}", "{{}}"}};
    struct vars all, user;
    struct scope scope;
    with_scope(&scope, &all, &user);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct text t = TEXT_INIT(EXPANDED_MAX);
        text_put(&t, "", 0);
        assert_true(expand(&scope, rows[i][0], strlen(rows[i][0]), &t));
        assert_string_equal(t.at, rows[i][1]);
        text_done(&t);
    }
    without_scope(&scope, &all, &user);
}

static void values_without_a_template_are_constant(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool is;
    } rows[] = {{"{}", true},
                {"null", true},
                {"[1, {\"a\": [true, \"{ {x} }\"]}]", true},
                {"\"{{x}}\"", false},
                {"{\"a\": {\"b\": [1, \"a{{x}}\"]}}", false},
                {"{\"{{x}}\": 1}", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *value = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        assert_int_equal(is_constant(value), rows[i].is);
        json_decref(value);
    }
}

static void numbers_are_put_as_digits(void **state)
{
    (void)state;
    struct text t = TEXT_INIT(100);
    text_number(&t, 0);
    text_put(&t, " ", 1);
    text_number(&t, UINT64_MAX);
    assert_string_equal(t.at, "0 18446744073709551615");
    text_done(&t);
}

static void values_that_double_are_refused(void **state)
{
    (void)state;
    struct vars all = {0};
    struct scope scope = {.all = &all};
    for (int i = 0; i < 64; i++) {
        char name[16], value[40];
        snprintf(name, sizeof name, "v.%d", i);
        snprintf(value, sizeof value, "{{v.%d}}{{v.%d}}", i + 1, i + 1);
        vars_set(&all, name, i < 63 ? value : "");
    }
    struct text t = TEXT_INIT(EXPANDED_MAX);
    assert_false(expand(&scope, "{{v.0}}", 7, &t));
    text_done(&t);
    vars_done(&all);
}

static void conditions_compare_text(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        bool holds;
    } rows[] = {{"true", true},
                {"false", false},
                {"", false},
                {"{{probe.status_code == 200}}", true},
                {"{{ probe.status_code == 201 }}", false},
                {"{{probe.status_code != 201}}", true},
                {"{{probe.status_code}} == 200", true},
                {"{{probe.status_code}} != {{a.n}}", false},
                {"{{probe.status_code == a.n}}", true},
                {"{{probe.status_code == '200'}}", true},
                {"{{probe.yes}}", true},
                {"{{probe.yes == true}}", true},
                {"{{nobody == 200}}", false},
                {"{{nobody != 200}}", true},
                {"200 == 200", true},
                {"200", false}};
    struct vars all, user;
    struct scope scope;
    with_scope(&scope, &all, &user);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (condition_holds(&scope, rows[i].condition) != rows[i].holds) {
            fail_msg("%s", rows[i].condition);
        }
    }
    without_scope(&scope, &all, &user);
}

/* ---- the language ---- */
#define HEAD "version: '1'\nname: n\n"
#define FLOW "workflows:\n  nodes:\n    - {id: start, type: end}\n"
#define LOAD(life)                                                                                 \
    "load:\n  ramp_up: {phases: [{at_second: 0, spawn_users: 1}]}\n  user_lifetime: " life "\n"

static void errors_say_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *error;
    } rows[] = {
        {"", "missing field `version`"},
        {"\x01\x02", "at byte"},
        {"a: [", "did not find expected node content at line "},
        {"name: n\n", "missing field `version` at line 1 column 1"},
        {"version: 1.0\nname: n\n" FLOW,
         "version: invalid type: floating point `1.0`, expected a string at line 1 column 10"},
        {HEAD, "missing field `workflows` at line 1 column 1"},
        {HEAD "name: m\n", "duplicate field `name` at line 3 column 1"},
        {HEAD "a: &x 1\nb: *x\n", "aliases are not supported at line 4 column 4"},
        {HEAD "workflows: {nodes: [{id: a, type: other}]}\n",
         "type: unknown variant `other`, expected one of `action`, `end` at line 3"},
        {HEAD "workflows: {nodes: [{id: a, type: action, edges: [{to: a, trigger: {condition: "
              "true}}]}]}\n",
         "condition: invalid type: boolean `true`, expected a string at line 3"},
        {HEAD FLOW LOAD("{mode: once, iterations: 1, think_time: 5}"),
         "think_time: invalid type: integer `5`, expected a string at line 8"},
        {HEAD FLOW LOAD("{mode: once, iterations: 1, think_time: 1.5s}"),
         "Invalid duration format: '1.5s'. Expected format: <number>ms|s|m at line 8 column"},
        {HEAD FLOW LOAD("{mode: once, iterations: -1, think_time: 1s}"),
         "iterations: invalid type"},
        {HEAD FLOW "load: {user_lifetime: {mode: once, iterations: 1, think_time: 1s}}\n",
         "missing field `ramp_up` at line 6"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *said = NULL;
        assert_false(run_scenario(rows[i].yaml, strlen(rows[i].yaml), &said));
        static const char begins[] = "Scenario execution failed: Failed to parse scenario YAML: "
                                     "failed to parse scenario: ";
        if (strncmp(said, begins, strlen(begins)) != 0 || strstr(said, rows[i].error) == NULL) {
            fail_msg("%s\n is not: %s", said, rows[i].error);
        }
        free(said);
    }
}

static void references_and_what_a_run_needs_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *error;
    } rows[] = {
        {HEAD "workflows: {nodes: [{id: start, type: action, action: a}]}\n",
         "Scenario validation failed: unknown action `a` referenced by workflow node `start` at "
         "line 3"},
        {HEAD "workflows: {nodes: [{id: start, type: action, edges: [{to: b}]}]}\n",
         "Scenario validation failed: unknown workflow node `b` referenced by edge at line 3"},
        {HEAD FLOW, "Scenario execution failed: Load configuration is required for WASM component"},
        {HEAD "workflows: {nodes: [{id: a, type: end}]}\n" LOAD(
             "{mode: once, iterations: 1, think_time: 0s}"),
         "the workflow has no node `start`"},
        {HEAD FLOW LOAD(
             "{mode: once, iterations: 1, think_time: 0s}") "  user_resources: {ip_binding: "
                                                            "{enabled: true, pool_id: x, strategy: "
                                                            "per_user, release_on: user_exit}}\n",
         "Scenario execution failed: IP pool 'x' not found in workbook"},
        {HEAD "workbook: {ip_pools: [{id: x, name: x, ranges: [10.0.0.0/40]}]}\n" FLOW LOAD(
             "{mode: once, iterations: 1, think_time: 0s}") "  user_resources: {ip_binding: "
                                                            "{enabled: true, pool_id: x, strategy: "
                                                            "per_user, release_on: user_exit}}\n",
         "Failed to add CIDR range 10.0.0.0/40 to pool x: Invalid subnet: 10.0.0.0/40 at line 3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *said = NULL;
        assert_false(run_scenario(rows[i].yaml, strlen(rows[i].yaml), &said));
        if (strstr(said, rows[i].error) == NULL) {
            fail_msg("%s\n is not: %s", said, rows[i].error);
        }
        free(said);
    }
}

static void deep_and_large_text_is_an_error(void **state)
{
    (void)state;
    size_t n = 1 << 20;
    char *yaml = malloc(n), *said = NULL;
    static const char fill[] = {'[', 'a', '-', ' ', '{', '\n', '&', '"'};
    for (size_t i = 0; i < sizeof fill; i++) {
        memset(yaml, fill[i], n);
        assert_false(run_scenario(yaml, n, &said));
        free(said);
    }
    free(yaml);
}

static void a_workflow_in_a_circle_ends(void **state)
{
    (void)state;
    static const char yaml[] =
        HEAD "workflows: {nodes: [{id: start, type: action, edges: [{to: start}]}]}\n" LOAD(
            "{mode: once, iterations: 1, think_time: 0s}");
    char *said = NULL;
    assert_true(run_scenario(yaml, strlen(yaml), &said));
    assert_non_null(strstr(said, "\"users_failed\":1"));
    free(said);
}

static void the_short_form_is_translated(void **state)
{
    (void)state;
    static const char yaml[] = "scenario:\n  id: s\n  load: {total_users: 4, ramp_duration: 2, "
                               "test_duration: 10s, ip_pool: [127.0.0.1]}\n"
                               "  workflow:\n    - {id: one, type: http, name: One, params: "
                               "{method: POST, url: 'http://h/', body: b}, think_time: 1}\n"
                               "    - {id: two, params: {url: 'http://h/2'}}\n";
    struct scenario s;
    char *why = NULL;
    assert_true(scenario_parse(yaml, strlen(yaml), &s, &why));
    assert_true(scenario_check(&s, &why));
    assert_string_equal(s.name, "s");
    assert_int_equal(s.nactions, 2);
    assert_string_equal(s.actions[0].call, "POST");
    assert_string_equal(s.actions[1].call, "get");
    assert_null(json_object_get(s.actions[0].with, "method"));
    assert_int_equal(s.nnodes, 3);
    assert_int_equal(s.start, 0);
    assert_int_equal(s.nodes[0].edges[0].target, 1);
    assert_int_equal(s.nodes[1].edges[0].target, 2);
    assert_true(s.nodes[2].end && s.load.loop && s.load.bound);
    assert_int_equal(s.nodes[0].think, SECOND);
    assert_int_equal(s.load.duration, 10 * SECOND);
    assert_int_equal(s.load.phases[0].users, 4);
    assert_int_equal(s.load.phases[0].over, 2 * SECOND);
    assert_string_equal(s.pools[0].ranges[0].cidr, "127.0.0.1/32");
    scenario_done(&s);
}

/* ---- the executor's tasks ---- */
static bool note(void *with, const json_t *action, char **out_detail)
{
    struct text *ran = with;
    const char *id = json_string_value(json_object_get(action, "id"));
    text_format(ran, "%s ", id);
    *out_detail = need_text(id, strlen(id));
    return strncmp(id, "bad", 3) != 0;
}

static void trace(void *with, const char *line)
{
    text_format(with, "<%s> ", line);
}

static json_t *task(const char *id, const char *action, const char *to)
{
    return json_pack("{s:s, s:s, s:b, s:[{s:s}]}", "id", id, "action", action, "end", 0, "outgoing",
                     "target", to);
}

static void events_come_before_the_action_and_tasks_after_it(void **state)
{
    (void)state;
    struct events e;
    struct text ran = TEXT_INIT(4000);
    char *detail;
    json_t *probe = json_pack("{s:s}", "id", "probe-get");
    events_init(&e);
    events_put(&e, "register-action", "work", json_pack("{s:s}", "id", "work"));
    events_put(&e, "add-task", "dynamic-node", task("dynamic-node", "work", "gone"));
    events_put(&e, "add-task", "gone", task("gone", "work", "dynamic-node"));
    events_put(&e, "add-task", "nobody", task("nobody", "unknown", "dynamic-node"));
    events_put(&e, "remove-task", "gone", NULL);
    events_put(&e, "remove-task", "never-was", NULL);
    events_put(&e, "add-edge", "dynamic-node", json_pack("{s:s}", "target", "x"));
    events_put(&e, "remove-edge", "dynamic-node", json_string("x"));
    events_put(&e, "update-task", "dynamic-node", task("dynamic-node", "work", "x"));
    assert_true(tasks_run(&e, probe, note, trace, &ran, &detail));
    assert_string_equal(detail, "probe-get");
    assert_string_equal(ran.at, "<register-action work> <add-task dynamic-node> <add-task gone> "
                                "<add-task nobody> <remove-task gone> <remove-task never-was> "
                                "<add-edge dynamic-node> <remove-edge dynamic-node> "
                                "<update-task dynamic-node> <action probe-get> probe-get "
                                "<task dynamic-node> work ");
    free(detail);
    text_done(&ran);
    json_decref(probe);
    events_done(&e);
}

static void the_first_task_that_fails_is_the_outcome(void **state)
{
    (void)state;
    struct events e;
    struct text ran = TEXT_INIT(4000);
    char *detail;
    json_t *probe = json_pack("{s:s}", "id", "probe");
    events_init(&e);
    static const char *const ids[] = {"a", "bad-1", "bad-2"};
    for (size_t i = 0; i < 3; i++) {
        events_put(&e, "register-action", ids[i], json_pack("{s:s}", "id", ids[i]));
        events_put(&e, "add-task", ids[i], task(ids[i], ids[i], "x"));
    }
    assert_false(tasks_run(&e, probe, note, trace, &ran, &detail));
    assert_string_equal(detail, "bad-1");
    assert_non_null(strstr(ran.at, "<task bad-2> bad-2 "));
    free(detail);
    text_done(&ran);
    json_decref(probe);
    events_done(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_numbers_with_a_unit),
        cmocka_unit_test(percentiles_of_1_to_100_are_51_96_and_100),
        cmocka_unit_test(a_histogram_is_right_within_a_thousandth),
        cmocka_unit_test(a_pool_gives_the_lowest_free_address),
        cmocka_unit_test(a_reserved_address_is_given_to_nobody),
        cmocka_unit_test(ranges_follow_each_other),
        cmocka_unit_test(instances_share_a_pool_without_a_common_address),
        cmocka_unit_test(a_range_that_is_none_is_named),
        cmocka_unit_test(urls_have_host_port_and_path),
        cmocka_unit_test(a_request_has_its_host_with_the_port),
        cmocka_unit_test(responses_end_by_length_chunks_or_the_connection),
        cmocka_unit_test(a_response_that_breaks_off_or_lies_is_bad),
        cmocka_unit_test(addresses_are_read_in_both_families),
        cmocka_unit_test(templates_put_in_what_has_a_name),
        cmocka_unit_test(values_without_a_template_are_constant),
        cmocka_unit_test(numbers_are_put_as_digits),
        cmocka_unit_test(values_that_double_are_refused),
        cmocka_unit_test(conditions_compare_text),
        cmocka_unit_test(errors_say_what_and_where),
        cmocka_unit_test(references_and_what_a_run_needs_are_checked),
        cmocka_unit_test(deep_and_large_text_is_an_error),
        cmocka_unit_test(a_workflow_in_a_circle_ends),
        cmocka_unit_test(the_short_form_is_translated),
        cmocka_unit_test(events_come_before_the_action_and_tasks_after_it),
        cmocka_unit_test(the_first_task_that_fails_is_the_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
