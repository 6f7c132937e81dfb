/* The verbs that host functions of every ABI use, with services that show what reaches them: caps,
 * budgets, grants and refusals. No engine: the guest is a fake. */
#include "harness.h"

#include "base/clock.h"
#include "base/mem.h"
#include "fake_guest.h"

static struct cis_host host;
static cis_engine_instance guest;

/* ---- services that remember ---- */
static struct {
    char lines[65536];
    size_t len;
    unsigned n;
    enum cis_log_level level;
} logged;

static void take_line(void *self, const struct cis_call *call, enum cis_log_level level,
                      const char *text, size_t len)
{
    (void)self;
    assert_string_equal(call->skill, "file:test");
    assert_true(len <= CIS_LOG_LINE_MAX);
    if (logged.len + len + 1 < sizeof logged.lines) {
        memcpy(logged.lines + logged.len, text, len);
        logged.len += len;
        logged.lines[logged.len++] = '\n';
    }
    logged.n++;
    logged.level = level;
}

static struct {
    unsigned calls, blocked_then;
    uint32_t max_tokens;
    cis_code code;
    struct cis_ai_usage usage;
    const char *answer;
    bool full; /* a message that has no end */
} ai;

static enum cis_code chat(void *self, const struct cis_call *call,
                          const struct cis_ai_request *request, struct cis_sink *out,
                          struct cis_ai_usage *usage, struct cis_error *err)
{
    (void)self;
    (void)call;
    ai.calls++;
    ai.blocked_then = guest.blocked - guest.unblocked;
    ai.max_tokens = request->max_tokens;
    assert_int_equal(request->size, sizeof *request);
    assert_int_equal(usage->size, sizeof *usage);
    usage->input_tokens = ai.usage.input_tokens;
    usage->output_tokens = ai.usage.output_tokens;
    if (ai.answer != NULL) {
        out->write(out->self, ai.answer, strlen(ai.answer));
    }
    if (ai.full) {
        memset(err->msg, 'x', sizeof err->msg);
        return ai.code;
    }
    return ai.code == CIS_OK ? CIS_OK : cis_fail(err, ai.code, "provider is unhappy");
}

static struct {
    unsigned calls;
    char method[16], url[256], headers[4096];
    size_t body_len, nheaders;
    uint64_t body_max;
    cis_code code;
    const char *body;
    unsigned many;    /* how often body is sent */
    const char *last; /* a header more */
    bool full;        /* a message that has no end */
} http;

static enum cis_code send_http(void *self, const struct cis_call *call,
                               const struct cis_http_request *r, struct cis_http_response *out,
                               struct cis_error *err)
{
    (void)self;
    (void)call;
    http.calls++;
    assert_int_equal(r->size, sizeof *r);
    assert_int_equal(out->size, sizeof *out);
    assert_ptr_equal(r->grants, &host.grants);
    snprintf(http.method, sizeof http.method, "%s", r->method);
    snprintf(http.url, sizeof http.url, "%s", r->url);
    http.body_len = r->body_len;
    http.body_max = r->body_max;
    http.nheaders = r->nheaders;
    http.headers[0] = 0;
    for (size_t i = 0; i < r->nheaders; i++) {
        size_t n = strlen(http.headers);
        snprintf(http.headers + n, sizeof http.headers - n, "%s=%s;", r->headers[i].name,
                 r->headers[i].value);
    }
    if (http.full) {
        memset(err->msg, 'x', sizeof err->msg);
        return http.code;
    }
    if (http.code != CIS_OK) {
        return cis_fail(err, http.code, "no luck");
    }
    out->status = 207;
    out->header(out->self, "Content-Type", "text/plain");
    out->header(out->self, "X-Two", "one");
    out->header(out->self, "x-two", "t\"wo");
    if (http.last != NULL) {
        out->header(out->self, "x-last", http.last);
    }
    for (unsigned i = 0; i < http.many; i++) {
        if (out->body.write(out->body.self, http.body, strlen(http.body)) != CIS_OK) {
            return cis_fail(err, CIS_E_LIMIT, "body: the receiver wants no more");
        }
    }
    return CIS_OK;
}

static const struct cis_log_service log_service = {sizeof log_service, NULL, take_line};
static const struct cis_ai_service ai_service = {sizeof ai_service, NULL, chat};
static const struct cis_http_service http_service = {.size = sizeof http_service,
                                                     .send = send_http};

static int setup(void **state)
{
    (void)state;
    memset(&logged, 0, sizeof logged);
    memset(&ai, 0, sizeof ai);
    memset(&http, 0, sizeof http);
    http.body = "hello";
    http.many = 1;
    host = (struct cis_host){
        .call = {.tenant = "default", .skill = "file:test", .run_id = "r"},
        .services = {.ai = &ai_service, .http = &http_service, .log = &log_service},
        .budget = {.limit = 16u << 20},
        .output = CIS_BUF_INIT(1000),
        .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
        .log = CIS_BUF_INIT(1u << 20),
        .log_lines_max = 100,
        .config = CIS_MAP_INIT};
    fake_guest_init(&guest, &host, 4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_done(&guest);
    cis_buf_done(&host.output);
    cis_buf_done(&host.errors);
    cis_buf_done(&host.log);
    cis_host_config_done(&host);
    cis_grants_done(&host.grants);
    return 0;
}

static void grant(const char *text)
{
    assert_ok(cis_grants_add(&host.grants, cis_str_of(text), err));
}

/* ---- log ---- */
static void a_log_line_reaches_the_service_and_the_report(void **state)
{
    (void)state;
    cis_host_log(&host, CIS_LOG_ERROR, CIS_STR("h\xC3\xA9llo \"x\"\r\n"));
    assert_string_equal(logged.lines, "h\xC3\xA9llo \"x\"\n");
    assert_int_equal(logged.level, CIS_LOG_ERROR);
    assert_string_equal(cis_buf_cstr(&host.log),
                        "{\"level\":\"error\",\"text\":\"h\xC3\xA9llo \\\"x\\\"\"}");
    cis_host_log(&host, CIS_LOG_DEBUG, CIS_STR(""));
    assert_int_equal(host.log_lines, 2);
    assert_int_equal(host.budget.used, host.log.len);
}

static void nothing_in_a_line_steers_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"a\x1b[31mb", "a?[31mb"},
        {"a\nb\tc", "a b c"},
        {"\x7f\x01", "??"},
        {"\xC2\x9B"
         "31m",
         "?31m"},
        {"\xE2\x80\xAEgpj.exe", "?gpj.exe"},
        {"\xE2\x81\xA6x", "?x"},
        {"a\xFF\xC3(", "a\xEF\xBF\xBD\xEF\xBF\xBD("},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        logged.len = 0;
        cis_host_log(&host, CIS_LOG_INFO, cis_str_of(cases[i].text));
        logged.lines[logged.len - 1] = 0;
        assert_string_equal(logged.lines, cases[i].expected);
    }
}

static void long_lines_are_cut_at_a_character(void **state)
{
    (void)state;
    char text[CIS_LOG_LINE_MAX + 10];
    memset(text, 'x', sizeof text);
    memcpy(text + CIS_LOG_LINE_MAX - 1, "\xC3\xA9", 2);
    cis_host_log(&host, CIS_LOG_INFO, (struct cis_str){text, sizeof text});
    assert_int_equal(logged.len - 1, CIS_LOG_LINE_MAX - 1);
    memset(text, 0xFF, sizeof text); /* each becomes three bytes */
    logged.len = 0;
    cis_host_log(&host, CIS_LOG_INFO, (struct cis_str){text, sizeof text});
    assert_true(logged.len - 1 <= CIS_LOG_LINE_MAX);
}

static void what_lies_behind_a_line_is_not_read(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 4; len++) { /* a character that the end cuts, and whole */
        logged.len = 0;
        cis_host_log(&host, CIS_LOG_INFO, (struct cis_str){"\xF0\x9F\x90\xBB", len});
        logged.lines[logged.len] = 0;
        assert_int_equal(strstr(logged.lines, "\xF0\x9F\x90\xBB\n") != NULL, len == 4);
        assert_int_equal(strstr(logged.lines, "\xEF\xBF\xBD\n") != NULL, len != 4);
    }
}

static void lines_past_the_caps_are_dropped_and_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 105; i++) {
        cis_host_log(&host, CIS_LOG_INFO, CIS_STR("x"));
    }
    assert_int_equal(logged.n, 100);
    assert_int_equal(host.log_lines, 100);
    assert_int_equal(host.log_dropped, 5);
    host.log_lines_max = 1000;
    host.budget.limit = host.budget.used; /* no host bytes left */
    cis_host_log(&host, CIS_LOG_INFO, CIS_STR("x"));
    assert_int_equal(host.log_dropped, 6);
    host.budget.limit = 1u << 30;
    host.log.max = host.log.len;
    cis_host_log(&host, CIS_LOG_INFO, CIS_STR("x"));
    assert_int_equal(host.log_dropped, 7);
    assert_int_equal(logged.n, 100);
}

static void stderr_becomes_whole_lines(void **state)
{
    (void)state;
    cis_host_stderr(&host, cis_bytes_of("one\ntw", 6));
    cis_host_stderr(&host, cis_bytes_of("o\n\nrest", 7));
    assert_string_equal(logged.lines, "one\ntwo\n\n");
    cis_host_stderr_flush(&host);
    cis_host_stderr_flush(&host);
    assert_string_equal(logged.lines, "one\ntwo\n\nrest\n");
    assert_int_equal(logged.level, CIS_LOG_WARN);
}

static void a_stderr_line_without_end_is_cut_into_lines(void **state)
{
    (void)state;
    size_t len = 3 * CIS_LOG_LINE_MAX + 5;
    char *text = cis_alloc(len);
    memset(text, 'x', len);
    cis_host_stderr(&host, cis_bytes_of(text, len));
    assert_int_equal(logged.n, 3);
    cis_host_stderr_flush(&host);
    assert_int_equal(logged.n, 4);
    cis_free(text);
}

static void a_host_without_room_for_a_line_takes_no_stderr(void **state)
{
    (void)state;
    cis_buf_done(&host.errors);
    host.errors = CIS_BUF_INIT(0);
    cis_host_stderr(&host, cis_bytes_of("one\ntwo", 7));
    assert_int_equal(logged.n, 0);
}

/* ---- output ---- */
static void output_has_a_cap_that_names_itself(void **state)
{
    (void)state;
    assert_ok(cis_host_output(&host, &guest, cis_bytes_of("abc", 3), err));
    assert_true(host.output_written);
    char text[1000] = {0};
    assert_fails(CIS_E_BUDGET, "output",
                 cis_host_output(&host, &guest, cis_bytes_of(text, 998), err));
    assert_string_equal(guest.end.limit, "output");
    assert_int_equal(guest.end.configured, 1000);
    assert_int_equal(guest.end.reached, 1001);
    assert_string_equal(cis_buf_cstr(&host.output), "abc");
    assert_fails(CIS_E_BUDGET, "output",
                 cis_host_output(&host, NULL, cis_bytes_of(text, 998), err));
    assert_ok(cis_host_output(&host, NULL, cis_bytes_of(text, 997), err));
    assert_int_equal(host.budget.used, 1000);
}

/* ---- AI ---- */
static cis_code ask(const char *prompt, struct cis_buf *out, struct cis_error *err)
{
    return cis_host_ai(&host, &guest, cis_str_of(prompt), out, err);
}

static void an_ai_call_gives_the_slot_back_and_counts_tokens(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(100);
    grant("ai");
    ai.answer = "fine";
    ai.usage = (struct cis_ai_usage){.input_tokens = 10, .output_tokens = 20};
    assert_ok(ask("how?", &out, err));
    assert_string_equal(cis_buf_cstr(&out), "fine");
    assert_int_equal(ai.blocked_then, 1);
    assert_int_equal(guest.unblocked, 1);
    assert_int_equal(host.ai_calls, 1);
    assert_int_equal(host.ai_tokens, 30);
    assert_int_equal(host.budget.used, host.log.len);
    assert_true(host.budget.peak >= 4);
    ai.usage = (struct cis_ai_usage){.input_tokens = 0, .output_tokens = 0}; /* estimated */
    assert_ok(ask("12345678", &out, err));
    assert_int_equal(host.ai_tokens, 35);
}

static void ai_without_a_grant_asks_nobody(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(100);
    assert_fails(CIS_E_DENIED, "not granted", ask("x", &out, err));
    assert_int_equal(ai.calls, 0);
    assert_int_equal(guest.refused[CIS_GRANT_AI], 1);
    assert_fails(CIS_E_DENIED, "ai", cis_host_ai(&host, NULL, CIS_STR("x"), &out, err));
    grant("ai");
    host.services.ai = NULL;
    assert_fails(CIS_E_PROVIDER, "no provider is configured", ask("x", &out, err));
}

static void the_ai_budget_of_calls_and_tokens_ends_the_asking(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(100);
    grant("ai");
    host.ai_calls_max = 2;
    host.ai_tokens_max = 100;
    ai.usage = (struct cis_ai_usage){.input_tokens = 30, .output_tokens = 30};
    assert_ok(ask("abc", &out, err));
    assert_int_equal(ai.max_tokens, 99);
    assert_ok(ask("abc", &out, err));
    assert_int_equal(ai.max_tokens, 39);
    assert_fails(CIS_E_LIMIT, "2 calls", ask("abc", &out, err));
    host.ai_calls_max = 100;
    assert_fails(CIS_E_LIMIT, "100 tokens", ask("abc", &out, err));
    assert_int_equal(ai.calls, 2);
    host.ai_tokens = 0;
    char prompt[500];
    memset(prompt, 'x', sizeof prompt - 1);
    prompt[499] = 0;
    assert_fails(CIS_E_LIMIT, "100 tokens", ask(prompt, &out, err));
    ai.usage = (struct cis_ai_usage){.input_tokens = UINT64_MAX, .output_tokens = 2};
    assert_ok(ask("abc", &out, err));
    assert_int_equal(host.ai_tokens, UINT64_MAX);
}

static void what_stops_an_answer_is_what_is_told(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf small = CIS_BUF_INIT(3), out = CIS_BUF_INIT(100);
    grant("ai");
    ai.answer = "four";
    ai.code = CIS_E_PROVIDER;
    assert_fails(CIS_E_LIMIT, "ai answer", ask("x", &small, err));
    host.budget.limit = host.budget.used + 2;
    assert_fails(CIS_E_BUDGET, "ai answer", ask("x", &out, err));
    host.budget.limit = 100000;
    assert_fails(CIS_E_PROVIDER, "unhappy", ask("x", &out, err));
    assert_int_equal(host.budget.used, host.log.len);
    ai.code = CIS_OK;
    guest.unblock_code = CIS_E_DEADLINE;
    assert_fails(CIS_E_DEADLINE, "slot", ask("x", &out, err));
    assert_int_equal(guest.blocked, guest.unblocked);
}

/* ---- HTTP ---- */
static struct cis_buf got_headers, got_body;
static uint16_t got_status;

static cis_code fetch(const char *method, const char *url, const char *headers, size_t room,
                      struct cis_error *err)
{
    cis_buf_done(&got_headers);
    cis_buf_done(&got_body);
    got_headers = CIS_BUF_INIT(65536);
    got_body = CIS_BUF_INIT(room);
    struct cis_host_exchange x = {.method = cis_str_of(method),
                                  .url = cis_str_of(url),
                                  .headers = cis_str_of(headers),
                                  .body = cis_bytes_of("body", 4),
                                  .names = &got_headers,
                                  .answer = &got_body};
    cis_code code = cis_host_http(&host, &guest, &x, err);
    got_status = code == CIS_OK ? x.status : got_status;
    return code;
}

static int http_teardown(void **state)
{
    cis_buf_done(&got_headers);
    cis_buf_done(&got_body);
    return teardown(state);
}

/* A code that is none of cis, and a message without its end. */
static void what_foreign_services_answer_is_looked_at(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(100);
    static const int codes[] = {9999, -1, CIS_E_COUNT_, CIS_E_QUOTA};
    grant("ai");
    grant("http=https://api.example.com");
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        cis_code expected = codes[i] == CIS_E_QUOTA ? CIS_E_QUOTA : CIS_E_PROVIDER;
        for (int full = 0; full < 2; full++) {
            struct cis_error err = {0};
            ai.code = http.code = (enum cis_code)codes[i];
            ai.full = http.full = full != 0;
            assert_int_equal(ask("x", &out, &err), expected);
            assert_int_equal(err.code, expected);
            assert_in_range(strnlen(err.msg, sizeof err.msg), 1, sizeof err.msg - 1);
            err = (struct cis_error){0};
            assert_int_equal(fetch("GET", "https://api.example.com/", "", 100, &err), expected);
            assert_int_equal(err.code, expected);
            assert_in_range(strnlen(err.msg, sizeof err.msg), 1, sizeof err.msg - 1);
            assert_int_not_equal(ask("x", &out, NULL), CIS_OK);
        }
    }
}

static void a_granted_request_goes_out_and_its_answer_comes_back(void **state)
{
    (void)state;
    grant("http=https://api.example.com");
    assert_ok(fetch("post", "https://api.example.com/x?y=1",
                    "{\"Accept\":\"*/*\",\"X-Many\":[\"a\",\"b\"]}", 100, err));
    assert_string_equal(http.method, "POST");
    assert_string_equal(http.url, "https://api.example.com/x?y=1");
    assert_string_equal(http.headers, "Accept=*/*;X-Many=a;X-Many=b;");
    assert_int_equal(got_status, 207);
    assert_string_equal(cis_buf_cstr(&got_body), "hello");
    assert_string_equal(cis_buf_cstr(&got_headers),
                        "{\"content-type\":\"text/plain\",\"x-two\":\"one, t\\\"wo\"}");
    assert_int_equal(host.http_calls, 1);
    assert_int_equal(host.http_bytes_out, 4);
    assert_int_equal(host.http_bytes_in, 5);
    assert_int_equal(host.budget.used, host.log.len);
    assert_int_equal(guest.blocked, 1);
    assert_int_equal(guest.unblocked, 1);
}

static void an_answer_is_counted_without_what_was_there_before(void **state)
{
    (void)state;
    grant("network");
    got_body = CIS_BUF_INIT(100);
    got_headers = CIS_BUF_INIT(65536);
    cis_buf_text(&got_body, "before:");
    struct cis_host_exchange x = {.method = CIS_STR("GET"),
                                  .url = CIS_STR("https://a.com"),
                                  .names = &got_headers,
                                  .answer = &got_body};
    assert_ok(cis_host_http(&host, &guest, &x, err));
    assert_string_equal(cis_buf_cstr(&got_body), "before:hello");
    assert_int_equal(host.http_bytes_in, 5);
}

static void headers_of_every_length_come_back_whole(void **state)
{
    (void)state;
    grant("network");
    char value[600] = "", seen[640];
    for (size_t n = 0; n < sizeof value; n++) { /* each end of a buffer is one of them */
        memset(value, 'v', n);
        http.last = value;
        assert_ok(fetch("GET", "https://a.com", "", 100, err));
        snprintf(seen, sizeof seen, ",\"x-last\":\"%s\"}", value);
        assert_non_null(strstr(cis_buf_cstr(&got_headers), seen));
    }
}

static void another_origin_is_refused_before_anything_is_sent(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "http://api.example.com/", "https://api.example.com:444/",
        "https://example.com/",    "https://api.example.com.evil.net/",
        "https://evil.net/",       "https://127.0.0.1/"};
    grant("http=https://api.example.com");
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        assert_fails(CIS_E_DENIED, "not granted", fetch("GET", urls[i], "", 100, err));
        assert_int_equal(guest.refused[CIS_GRANT_HTTP], i + 1);
    }
    assert_int_equal(http.calls, 0);
    assert_int_equal(host.http_calls, 0);
}

static void odd_methods_urls_and_headers_have_their_own_codes(void **state)
{
    (void)state;
    grant("http=https://a.com");
    static const char *const methods[] = {"CONNECT", "TRACE", "OPTIONS", "", "GETT", "GET "};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        assert_fails(CIS_E_UNSUPPORTED, "method", fetch(methods[i], "https://a.com", "", 9, err));
    }
    static const char *const headers[] = {"[]",
                                          "x",
                                          "{\"a\":1}",
                                          "{\"a\":[1]}",
                                          "{\"a b\":\"c\"}",
                                          "{\"\":\"c\"}",
                                          "{\"a\":\"b\\r\\nc: d\"}",
                                          "{\"a\":\"b\\u0000\"}",
                                          "{\"a\\r\\nb\":\"c\"}",
                                          "{\"a\":\"1\",\"a\":\"2\"}"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        assert_fails(CIS_E_USAGE, "header", fetch("GET", "https://a.com", headers[i], 9, err));
    }
    struct cis_error err = {0};
    cis_code code = fetch("GET", "https://a.com\t/", "", 9, &err);
    assert_true(code == CIS_E_INVALID || code == CIS_E_DENIED);
    assert_int_equal(http.calls, 0);
}

static void headers_of_the_connection_belong_to_the_host(void **state)
{
    (void)state;
    grant("network");
    assert_ok(fetch("GET", "https://a.com",
                    "{\"Host\":\"evil\",\"content-length\":\"9\",\"Connection\":\"close\","
                    "\"Transfer-Encoding\":\"chunked\",\"X\":\"y\"}",
                    100, err));
    assert_string_equal(http.headers, "X=y;");
}

static void too_many_or_too_long_headers_are_refused(void **state)
{
    (void)state;
    grant("network");
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(200000);
    cis_buf_byte(&text, '{');
    for (int i = 0; i < 201; i++) {
        cis_buf_printf(&text, "%s\"h%d\":\"v\"", i != 0 ? "," : "", i);
    }
    cis_buf_byte(&text, '}');
    assert_fails(CIS_E_USAGE, "more than 200",
                 fetch("GET", "https://a.com", cis_buf_cstr(&text), 9, err));
    cis_buf_reset(&text);
    cis_buf_text(&text, "{\"a\":\"");
    while (text.len < 70000) {
        cis_buf_text(&text, "xxxxxxxxxxxxxxxx");
    }
    cis_buf_text(&text, "\"}");
    assert_fails(CIS_E_USAGE, "larger", fetch("GET", "https://a.com", cis_buf_cstr(&text), 9, err));
}

static void a_body_stops_at_the_smallest_cap(void **state)
{
    (void)state;
    grant("network");
    http.many = 10;
    assert_fails(CIS_E_LIMIT, "http response", fetch("GET", "https://a.com", "", 12, err));
    assert_int_equal(http.body_max, 12);
    host.http_body_max = 7;
    assert_ok(fetch("GET", "https://a.com", "", 100, err)); /* this service ignores body_max */
    assert_int_equal(http.body_max, 7);
    host.budget.limit = host.budget.used + 20;
    assert_fails(CIS_E_BUDGET, "http response", fetch("GET", "https://a.com", "", 100, err));
    assert_int_equal(host.budget.used, host.log.len);
    http.code = CIS_E_NET;
    assert_fails(CIS_E_NET, "no luck", fetch("GET", "https://a.com", "", 100, err));
    http.code = CIS_E_DENIED; /* the address behind the name */
    unsigned before = guest.refused[CIS_GRANT_HTTP];
    assert_fails(CIS_E_DENIED, "no luck", fetch("GET", "https://a.com", "", 100, err));
    assert_int_equal(guest.refused[CIS_GRANT_HTTP], before + 1);
    host.services.http = NULL;
    assert_fails(CIS_E_PROVIDER, "no HTTP service", fetch("GET", "https://a.com", "", 100, err));
}

/* ---- config, life ---- */
static void config_is_read_changed_and_charged(void **state)
{
    (void)state;
    struct cis_str value;
    cis_host_config_get(&host, CIS_STR("k"), &value);
    assert_null(value.ptr);
    assert_ok(cis_host_config_set(&host, CIS_STR("k"), CIS_STR("one"), err));
    uint64_t one = host.budget.used;
    assert_true(host.config_dirty);
    cis_host_config_get(&host, CIS_STR("k"), &value);
    assert_string_equal(value.ptr, "one");
    host.config_dirty = false;
    assert_ok(cis_host_config_set(&host, CIS_STR("k"), CIS_STR("one"), err));
    assert_false(host.config_dirty);
    for (int i = 0; i < 1000; i++) {
        assert_ok(cis_host_config_set(&host, CIS_STR("k"), CIS_STR("two"), err));
        assert_ok(cis_host_config_set(&host, CIS_STR("k"), CIS_STR("one"), err));
    }
    assert_int_equal(host.budget.used, one);
    assert_ok(cis_host_config_set(&host, CIS_STR("empty"), CIS_STR(""), err));
    cis_host_config_get(&host, CIS_STR("empty"), &value);
    assert_non_null(value.ptr);
    assert_int_equal(value.len, 0);
}

static void config_has_limits(void **state)
{
    (void)state;
    char *big = cis_zalloc(CIS_HOST_CONFIG_VALUE_MAX + 1);
    assert_fails(CIS_E_INVALID, "key", cis_host_config_set(&host, CIS_STR(""), CIS_STR("x"), err));
    assert_fails(CIS_E_INVALID, "key",
                 cis_host_config_set(&host, (struct cis_str){big, CIS_HOST_CONFIG_KEY_MAX + 1},
                                     CIS_STR("x"), err));
    assert_fails(CIS_E_INVALID, "value",
                 cis_host_config_set(&host, CIS_STR("k"),
                                     (struct cis_str){big, CIS_HOST_CONFIG_VALUE_MAX + 1}, err));
    assert_ok(cis_host_config_set(&host, CIS_STR("k"),
                                  (struct cis_str){big, CIS_HOST_CONFIG_VALUE_MAX}, err));
    host.budget.limit = host.budget.used;
    assert_fails(CIS_E_BUDGET, "config",
                 cis_host_config_set(&host, CIS_STR("k2"), CIS_STR("x"), err));
    cis_free(big);
}

/* What a run may set is what one skill's config may hold: no more reaches the store. */
static void config_of_one_run_is_bounded_before_it_is_written(void **state)
{
    (void)state;
    char key[16], *big = cis_zalloc(CIS_HOST_CONFIG_VALUE_MAX);
    struct cis_str value = {big, CIS_HOST_CONFIG_VALUE_MAX};
    for (unsigned i = 0; i < CIS_STORE_CONFIG_KEYS_MAX; i++) {
        snprintf(key, sizeof key, "k%u", i);
        assert_ok(cis_host_config_set(&host, cis_str_of(key), CIS_STR("v"), err));
        assert_ok(cis_host_config_set(&host, cis_str_of(key), CIS_STR("w"), err));
    }
    assert_fails(CIS_E_QUOTA, "more than 1000 keys",
                 cis_host_config_set(&host, CIS_STR("more"), CIS_STR("v"), err));
    cis_host_config_get(&host, CIS_STR("more"), &value);
    assert_null(value.ptr);
    value = (struct cis_str){big, CIS_HOST_CONFIG_VALUE_MAX};
    for (unsigned i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "k%u", i);
        assert_ok(cis_host_config_set(&host, cis_str_of(key), value, err));
    }
    assert_fails(CIS_E_QUOTA, "1048576 bytes",
                 cis_host_config_set(&host, CIS_STR("k10"), value, err));
    cis_free(big);
}

static cis_code only_mode(const void *self, struct cis_str key, struct cis_str value,
                          struct cis_error *err)
{
    (void)self, (void)value;
    return cis_str_is(key, "mode") ? CIS_OK : cis_fail(err, CIS_E_USAGE, "no such key");
}

static void config_is_set_by_the_rule_of_the_manifest(void **state)
{
    (void)state;
    host.config_check = only_mode;
    assert_ok(cis_host_config_set(&host, CIS_STR("mode"), CIS_STR("fast"), err));
    assert_fails(CIS_E_USAGE, "no such key",
                 cis_host_config_set(&host, CIS_STR("other"), CIS_STR("x"), err));
    assert_int_equal(host.config_keys, 1);
}

static void config_that_is_not_kept_is_as_before(void **state)
{
    (void)state;
    struct cis_str value;
    assert_ok(cis_host_config_begin(&host, CIS_STR("a"), CIS_STR("old"), err));
    assert_ok(cis_host_config_begin(&host, CIS_STR("b"), CIS_STR("old"), err));
    cis_host_config_keep(&host);
    uint64_t used = host.budget.used;
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(cis_host_config_set(&host, CIS_STR("a"), CIS_STR("new one"), err));
        assert_ok(cis_host_config_set(&host, CIS_STR("a"), CIS_STR("new two"), err));
        assert_ok(cis_host_config_set(&host, CIS_STR("c"), CIS_STR("new"), err));
        used = i == 0 ? host.budget.used : used; /* the key c is known from here on */
        assert_int_equal(host.budget.used, used);
        cis_host_config_forget(&host);
        cis_host_config_get(&host, CIS_STR("a"), &value);
        assert_string_equal(value.ptr, "old");
        cis_host_config_get(&host, CIS_STR("c"), &value);
        assert_null(value.ptr);
        assert_int_equal(host.config_keys, 0);
        assert_false(host.config_dirty);
    }
    assert_ok(cis_host_config_set(&host, CIS_STR("a"), CIS_STR("kept"), err));
    cis_host_config_keep(&host);
    cis_host_config_forget(&host);
    cis_host_config_get(&host, CIS_STR("a"), &value);
    assert_string_equal(value.ptr, "kept");
}

static void no_allocation_failure_breaks_config(void **state)
{
    (void)state;
    uint64_t used = host.budget.used;
    for (size_t n = 0;; n++) {
        cis_mem_fail_after(n);
        cis_code code = cis_host_config_set(&host, CIS_STR("k"), CIS_STR("v"), NULL);
        cis_mem_fail_after(SIZE_MAX);
        if (code == CIS_OK) {
            break;
        }
        assert_int_equal(code, CIS_E_NOMEM);
        assert_int_equal(host.budget.used, used);
        assert_true(n < 100);
    }
}

static void a_run_is_alive_until_its_deadline_or_cancellation(void **state)
{
    (void)state;
    assert_ok(cis_host_alive(&host, err));
    guest.stop.deadline_ns = 1;
    assert_fails(CIS_E_DEADLINE, "run", cis_host_alive(&host, err));
    guest.stop.deadline_ns = CIS_NEVER;
    assert_ok(cis_cancel_new(&guest.stop.cancel, err));
    assert_false(cis_call_cancelled(&host.call));
    cis_cancel_fire(guest.stop.cancel);
    assert_true(cis_call_cancelled(&host.call));
    assert_true(cis_call_wait_fd(&host.call) >= 0);
    assert_fails(CIS_E_CANCELLED, "run", cis_host_alive(&host, err));
    cis_cancel_unref(guest.stop.cancel);
    host.call.stop = NULL;
    assert_false(cis_call_cancelled(&host.call));
    assert_int_equal(cis_call_wait_fd(&host.call), -1);
    assert_ok(cis_host_alive(&host, err));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define H(f) cmocka_unit_test_setup_teardown(f, setup, http_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_log_line_reaches_the_service_and_the_report),
        T(nothing_in_a_line_steers_a_terminal),
        T(long_lines_are_cut_at_a_character),
        T(what_lies_behind_a_line_is_not_read),
        T(lines_past_the_caps_are_dropped_and_counted),
        T(stderr_becomes_whole_lines),
        T(a_stderr_line_without_end_is_cut_into_lines),
        T(a_host_without_room_for_a_line_takes_no_stderr),
        T(output_has_a_cap_that_names_itself),
        T(an_ai_call_gives_the_slot_back_and_counts_tokens),
        T(ai_without_a_grant_asks_nobody),
        T(the_ai_budget_of_calls_and_tokens_ends_the_asking),
        T(what_stops_an_answer_is_what_is_told),
        H(what_foreign_services_answer_is_looked_at),
        H(a_granted_request_goes_out_and_its_answer_comes_back),
        H(an_answer_is_counted_without_what_was_there_before),
        H(headers_of_every_length_come_back_whole),
        H(another_origin_is_refused_before_anything_is_sent),
        H(odd_methods_urls_and_headers_have_their_own_codes),
        H(headers_of_the_connection_belong_to_the_host),
        H(too_many_or_too_long_headers_are_refused),
        H(a_body_stops_at_the_smallest_cap),
        T(config_is_read_changed_and_charged),
        T(config_has_limits),
        T(config_of_one_run_is_bounded_before_it_is_written),
        T(config_is_set_by_the_rule_of_the_manifest),
        T(config_that_is_not_kept_is_as_before),
        T(no_allocation_failure_breaks_config),
        T(a_run_is_alive_until_its_deadline_or_cancellation),
    };
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
