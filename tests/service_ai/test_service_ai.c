/* The AI service against a real server on loopback and real child processes: what each provider is
 * sent, what is made of good, bad and hostile answers, and that the key shows up nowhere. */
#include "harness.h"
#include "waits.h"

#include <poll.h>
#include <pthread.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "service/ai/ai.h"
#include "service/ai/internal.h"
#include "service_http/server.h"

#define KEY "sk-test-0123456789abcdefghijklmnop"

static cis_http_client *client;
static httpd *server;
static struct cis_stop stop;
static struct cis_call call;
static struct cis_buf answer;
static struct cis_ai_usage usage;
static char base[128];
static char *dir;

static int setup(void **state)
{
    (void)state;
    struct cis_http_client_options options = {0};
    assert_ok(cis_http_client_new(&options, &client, err));
    stop = (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), WAITS_NS), NULL};
    call = (struct cis_call){.size = sizeof call,
                             .tenant = "default",
                             .skill = "file:test",
                             .run_id = "r",
                             .deadline_ns = stop.deadline_ns,
                             .stop = &stop};
    answer = CIS_BUF_INIT(1u << 20);
    usage = (struct cis_ai_usage)CIS_AI_USAGE_INIT;
    dir = test_dir_new();
    setenv("TMPDIR", dir, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_http_client_free(client);
    if (server != NULL) {
        httpd_stop(server);
        server = NULL;
    }
    cis_buf_done(&answer);
    unsetenv("TMPDIR");
    unsetenv("TEST_AI_KEY");
    unsetenv("OPENAI_API_KEY");
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
    return 0;
}

static void serve(const struct httpd_options *options)
{
    server = httpd_start(options);
    assert_non_null(server);
    snprintf(base, sizeof base, "http://127.0.0.1:%u", httpd_port(server));
}

static enum cis_code take(void *self, const void *data, size_t len)
{
    cis_buf_add(self, data, len);
    return ((struct cis_buf *)self)->failed;
}

static cis_code ask(const struct cis_ai_config *config, const char *prompt, struct cis_error *err)
{
    cis_ai *ai = NULL;
    cis_code code = cis_ai_new(config, client, &ai, err);
    if (code == CIS_OK) {
        struct cis_ai_request request = CIS_AI_REQUEST_INIT;
        request.prompt = prompt;
        request.prompt_len = strlen(prompt);
        struct cis_sink sink = {&answer, take};
        const struct cis_ai_service *service = cis_ai_service(ai);
        code = service->chat(service->self, &call, &request, &sink, &usage, err);
    }
    cis_ai_free(ai);
    return code;
}

static struct cis_ai_config at(const char *provider, const char *path)
{
    static char url[256];
    snprintf(url, sizeof url, "%s%s", base, path);
    return (struct cis_ai_config){
        .provider = provider, .model = "m-1", .base_url = url, .temperature = -1};
}

static void assert_sent(const char *text)
{
    char *last = httpd_last(server);
    assert_non_null(last);
    if (strstr(last, text) == NULL) {
        fail_msg("the request lacks \"%s\":\n%s", text, last);
    }
    cis_free(last);
}

/* ---- providers ---- */
static void openai_gets_the_prompt_and_the_key_and_tells_its_tokens(void **state)
{
    (void)state;
    serve(&(struct httpd_options){.require = "Authorization: Bearer " KEY});
    setenv("TEST_AI_KEY", KEY, 1);
    struct cis_ai_config c = at("openai", "/v1");
    c.api_key_env = "TEST_AI_KEY";
    c.temperature = 0.25;
    c.max_tokens = 77;
    assert_ok(ask(&c, "say \"h\xC3\xA9llo\"\n", err));
    assert_string_equal(cis_buf_cstr(&answer), "\n\"oll\xC3\xA9h\" yas");
    assert_int_equal(usage.input_tokens, 13);
    assert_int_equal(usage.output_tokens, 13);
    assert_sent("POST /v1/chat/completions ");
    assert_sent("\"max_tokens\":77");
    assert_sent("\"temperature\":0.250");
    assert_sent("\"model\":\"m-1\"");
}

static void anthropic_gets_its_own_headers(void **state)
{
    (void)state;
    serve(&(struct httpd_options){.require = "x-api-key: " KEY});
    setenv("TEST_AI_KEY", KEY, 1);
    struct cis_ai_config c = at("anthropic", "");
    c.api_key_env = "TEST_AI_KEY";
    assert_ok(ask(&c, "abc", err));
    assert_string_equal(cis_buf_cstr(&answer), "cba");
    assert_int_equal(usage.output_tokens, 3);
    assert_sent("\"max_tokens\":1024");
    c = at("anthropic", "/v1/"); /* written with the version, too */
    c.api_key_env = "TEST_AI_KEY";
    assert_ok(ask(&c, "abc", err));
    assert_sent("POST /v1/messages ");
}

static void ollama_needs_no_key(void **state)
{
    (void)state;
    serve(&(struct httpd_options){0});
    struct cis_ai_config c = at("ollama", "/");
    assert_ok(ask(&c, "abc", err));
    assert_string_equal(cis_buf_cstr(&answer), "cba");
    assert_int_equal(usage.input_tokens, 3);
    assert_sent("\"num_predict\":1024");
}

static void a_key_file_is_read_at_each_call_and_trimmed(void **state)
{
    (void)state;
    serve(&(struct httpd_options){.require = "Authorization: Bearer " KEY});
    char *file = cis_path_join(dir, "key");
    struct cis_ai_config c = at("openai", "/v1");
    c.api_key_file = file;
    assert_ok(cis_file_write(file, cis_bytes_of("wrong-key\n", 10), 0600, err));
    assert_fails(CIS_E_PROVIDER, "401", ask(&c, "abc", err));
    assert_ok(cis_file_write(file, cis_bytes_of(KEY "\n", sizeof KEY), 0600, err));
    assert_ok(ask(&c, "abc", err));
    cis_free(file);
}

static void a_server_of_ones_own_may_have_no_key(void **state)
{
    (void)state;
    serve(&(struct httpd_options){0});
    struct cis_ai_config c = at("openai", "/v1");
    assert_ok(ask(&c, "abc", err));
    char *last = httpd_last(server);
    assert_null(strstr(last, "uthorization"));
    cis_free(last);
}

static void a_request_may_ask_for_fewer_tokens_not_for_more(void **state)
{
    (void)state;
    serve(&(struct httpd_options){0});
    struct cis_ai_config c = at("openai", "/v1");
    cis_ai *ai = NULL;
    assert_ok(cis_ai_new(&c, client, &ai, err));
    const struct cis_ai_service *s = cis_ai_service(ai);
    struct cis_sink sink = {&answer, take};
    struct cis_ai_request request = CIS_AI_REQUEST_INIT;
    request.prompt = "abc";
    request.prompt_len = 3;
    request.max_tokens = 10;
    assert_ok(s->chat(s->self, &call, &request, &sink, &usage, err));
    assert_sent("\"max_tokens\":10}");
    request.max_tokens = 1000000;
    assert_ok(s->chat(s->self, &call, &request, &sink, &usage, err));
    assert_sent("\"max_tokens\":1024");
    cis_ai_free(ai);
}

/* ---- what is missing ---- */
static void without_a_provider_the_call_says_how_to_configure_one(void **state)
{
    (void)state;
    struct cis_ai_config c = {.provider = "none"};
    assert_fails(CIS_E_PROVIDER, "[ai] provider", ask(&c, "abc", err));
    c.provider = NULL;
    assert_fails(CIS_E_PROVIDER, "[ai] provider", ask(&c, "abc", err));
    c = (struct cis_ai_config){.provider = "ollama"};
    assert_fails(CIS_E_PROVIDER, "[ai] model", ask(&c, "abc", err));
}

static void a_missing_key_is_named_and_nothing_is_sent(void **state)
{
    (void)state;
    serve(&(struct httpd_options){0});
    struct cis_ai_config c = at("openai", "/v1");
    c.api_key_env = "TEST_AI_KEY";
    assert_fails(CIS_E_PROVIDER, "TEST_AI_KEY", ask(&c, "abc", err));
    c.api_key_env = NULL;
    c.base_url = NULL; /* the provider's own wants a key */
    assert_fails(CIS_E_PROVIDER, "OPENAI_API_KEY", ask(&c, "abc", err));
    c = at("openai", "/v1");
    c.api_key_file = "/nonexistent/key";
    assert_fails(CIS_E_PROVIDER, "api_key_file", ask(&c, "abc", err));
    setenv("TEST_AI_KEY", "two\r\nlines: x", 1);
    c = at("openai", "/v1");
    c.api_key_env = "TEST_AI_KEY";
    assert_fails(CIS_E_PROVIDER, "characters that a key cannot have", ask(&c, "abc", err));
    assert_int_equal(httpd_requests(server), 0);
}

static void a_bad_configuration_is_a_usage_error(void **state)
{
    (void)state;
    static const char *const tools[] = {"--tools", "Bash", NULL};
    static const struct {
        struct cis_ai_config config;
        const char *text;
    } cases[] = {
        {{.provider = "gpt"}, "not one of"},
        {{.provider = "openai", .base_url = "ftp://example.com"}, "base_url"},
        {{.provider = "openai", .base_url = "http://user@example.com"}, "base_url"},
        {{.provider = "openai", .base_url = "https://example.com/v1?x=1"}, "query"},
        {{.provider = "openai", .base_url = "nonsense"}, "base_url"},
        {{.provider = "command"}, "ai.command"},
        {{.provider = "command", .command = "cat"}, "unsafe_command"},
        {{.provider = "command", .command = "/usr/bin/claude"}, "unsafe_command"},
        {{.provider = "command", .command = "claude", .command_args = tools}, "unsafe_command"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(CIS_E_USAGE, cases[i].text, ask(&cases[i].config, "abc", err));
    }
}

/* ---- bad answers ---- */
#define HTTP(status, body) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" body

static void wrong_shapes_are_provider_failures(void **state)
{
    (void)state;
    static const struct {
        const char *provider, *reply;
    } cases[] = {
        {"openai", HTTP("200 OK", "")},
        {"openai", HTTP("200 OK", "not json")},
        {"openai", HTTP("200 OK", "[]")},
        {"openai", HTTP("200 OK", "{}")},
        {"openai", HTTP("200 OK", "{\"choices\":[]}")},
        {"openai", HTTP("200 OK", "{\"choices\":{}}")},
        {"openai", HTTP("200 OK", "{\"choices\":[{\"message\":{\"content\":null}}]}")},
        {"openai", HTTP("200 OK", "{\"choices\":[{\"message\":{\"content\":7}}]}")},
        {"openai", HTTP("200 OK", "{\"choices\":[{\"message\":\"x\"}]}")},
        {"openai", HTTP("200 OK", "{\"choices\":[{\"message\":{\"content\":\"x\"}}]} trailing")},
        {"anthropic", HTTP("200 OK", "{\"content\":\"x\"}")},
        {"anthropic", HTTP("200 OK", "{\"content\":[7]}")},
        {"anthropic", HTTP("200 OK", "{\"content\":[{\"type\":\"text\"}]}")},
        {"ollama", HTTP("200 OK", "{\"message\":{}}")},
        {"ollama", HTTP("200 OK", "{\"message\":{\"content\":\"x\"}}\n{\"message\":{}}")},
        {"openai", HTTP("204 No Content", "")},
        {"openai", HTTP("302 Found", "")},
        {"openai", HTTP("500 Oops", "{\"error\":[1,2]}")},
    };
    struct httpd_raw raw[sizeof cases / sizeof *cases] = {{0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        raw[i].bytes = cases[i].reply;
    }
    serve(&(struct httpd_options){.raw = raw, .nraw = sizeof cases / sizeof *cases});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[32];
        snprintf(path, sizeof path, "/raw/%zu", i);
        struct cis_ai_config c = at(cases[i].provider, path);
        assert_fails(CIS_E_PROVIDER, cases[i].provider, ask(&c, "abc", err));
        assert_int_equal(answer.len, 0);
    }
}

static void odd_token_counts_are_not_believed(void **state)
{
    (void)state;
    static const struct httpd_raw raw[] = {
        {HTTP("200 OK", "{\"choices\":[{\"message\":{\"content\":\"12345678\"}}],"
                        "\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":\"x\"}}"),
         0, false},
        {HTTP("200 OK", "{\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},"
                        "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}"),
         0, false}};
    serve(&(struct httpd_options){.raw = raw, .nraw = 2});
    struct cis_ai_config c = at("openai", "/raw/0");
    assert_ok(ask(&c, "12345678", err));
    assert_int_equal(usage.input_tokens, 3); /* estimated */
    assert_int_equal(usage.output_tokens, 3);
    cis_buf_reset(&answer);
    c = at("anthropic", "/raw/1");
    assert_ok(ask(&c, "x", err));
    assert_string_equal(cis_buf_cstr(&answer), "ab");
}

static void a_provider_that_repeats_the_key_does_not_get_it_into_the_error(void **state)
{
    (void)state;
    static const struct httpd_raw raw[] = {
        {HTTP("401 No", "{\"error\":{\"message\":\"key " KEY " is wrong, also \\u001b[31m" KEY
                        " and sk-test-01234*** \"}}"),
         0, false},
        {HTTP("500 No", "{\"error\":\"Bearer " KEY "\"}"), 0, false},
        {HTTP("500 No", KEY), 0, false}};
    serve(&(struct httpd_options){.raw = raw, .nraw = 3});
    setenv("TEST_AI_KEY", KEY, 1);
    for (int i = 0; i < 3; i++) {
        char path[16];
        snprintf(path, sizeof path, "/raw/%d", i);
        struct cis_ai_config c = at("openai", path);
        c.api_key_env = "TEST_AI_KEY";
        struct cis_error err = {0};
        assert_int_equal(ask(&c, "abc", &err), CIS_E_PROVIDER);
        assert_null(strstr(err.msg, "sk-test"));
        assert_null(strstr(err.msg, "456789"));
        assert_null(strchr(err.msg, '\x1b'));
        if (i == 0) {
            assert_non_null(strstr(err.msg, "[key]"));
        }
    }
}

static void the_key_is_cut_out_in_pieces_too(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *expected;
    } cases[] = {
        {"a " KEY " b", KEY, "a [key] b"}, {"sk-test-", KEY, "[key]"},
        {"sk-tes", KEY, "sk-tes"},         {"xx89abcdefghyy", KEY, "xx[key]yy"},
        {"abc", "abc", "[key]"},           {"nothing", "", "nothing"},
        {KEY KEY, KEY, "[key][key]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
        cis_ai_redact(cis_str_of(cases[i].text), cis_str_of(cases[i].key), &out);
        assert_string_equal(cis_buf_cstr(&out), cases[i].expected);
    }
}

static void a_redirect_is_not_followed_with_the_key(void **state)
{
    (void)state;
    static const struct httpd_raw raw[] = {
        {"HTTP/1.1 307 Go\r\nLocation: /v1/chat/completions\r\nContent-Length: 0\r\n\r\n", 0,
         false}};
    serve(&(struct httpd_options){.raw = raw, .nraw = 1});
    setenv("TEST_AI_KEY", KEY, 1);
    struct cis_ai_config c = at("openai", "/raw/0");
    c.api_key_env = "TEST_AI_KEY";
    assert_fails(CIS_E_PROVIDER, "307", ask(&c, "abc", err));
    assert_int_equal(httpd_requests(server), 1);
}

/* Read whole, and closed without an answer: it may have been paid for. */
static void a_server_that_closes_after_reading_is_asked_once(void **state)
{
    (void)state;
    static const struct httpd_raw nothing = {.bytes = ""};
    serve(&(struct httpd_options){.raw = &nothing, .nraw = 1});
    for (unsigned i = 0; i < 3; i++) {
        struct cis_ai_config c = at("openai", "/v1");
        usage = (struct cis_ai_usage)CIS_AI_USAGE_INIT;
        cis_buf_reset(&answer);
        assert_ok(ask(&c, "abc", err));
        assert_string_equal(cis_buf_cstr(&answer), "cba");
        c = at("openai", "/raw/0");
        usage = (struct cis_ai_usage)CIS_AI_USAGE_INIT;
        cis_buf_reset(&answer);
        assert_fails(CIS_E_NET, "is not sent again", ask(&c, "pay", err));
        httpd_wait_closed(server);
        assert_int_equal(httpd_requests(server), 2 * i + 2);
        assert_int_equal(usage.input_tokens + usage.output_tokens, 0);
        assert_int_equal(answer.len, 0);
    }
}

static void endless_and_huge_answers_are_cut_off(void **state)
{
    (void)state;
    /* A reply whose text is larger than what the caller takes. */
    struct cis_buf big = CIS_BUF_INIT(4u << 20);
    cis_buf_text(&big, HTTP("200 OK", "{\"choices\":[{\"message\":{\"content\":\""));
    for (int i = 0; i < 40000; i++) {
        cis_buf_text(&big, "0123456789012345678901234567890123456789012345678");
    }
    cis_buf_text(&big, "\"}}]}");
    struct httpd_raw raw[] = {{cis_buf_cstr(&big), big.len, false},
                              {"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{", 0, false}};
    serve(&(struct httpd_options){.raw = raw, .nraw = 2});
    struct cis_ai_config c = at("openai", "/raw/0");
    assert_fails(CIS_E_LIMIT, "too large", ask(&c, "abc", err));
    c = at("openai", "/raw/1");
    assert_fails(CIS_E_LIMIT, "openai", ask(&c, "abc", err));
    cis_buf_done(&big);
}

static void a_silent_provider_ends_at_its_timeout_and_at_cancellation(void **state)
{
    (void)state;
    static const struct httpd_raw raw[] = {{"HTTP/1.1 200 OK\r\n", 0, true}};
    serve(&(struct httpd_options){.raw = raw, .nraw = 1});
    struct cis_ai_config c = at("openai", "/raw/0");
    c.timeout_ns = 300 * CIS_NS_PER_MS;
    assert_waits(300 * CIS_NS_PER_MS, assert_fails(CIS_E_DEADLINE, "openai", ask(&c, "abc", err)));
    c.timeout_ns = 0;
    assert_ok(cis_cancel_new(&stop.cancel, err));
    cis_cancel_fire(stop.cancel);
    assert_fails(CIS_E_CANCELLED, "", ask(&c, "abc", err));
    cis_cancel_unref(stop.cancel);
}

static void only_the_configured_origin_is_granted(void **state)
{
    (void)state;
    struct cis_ai_config c = {.provider = "openai",
                              .model = "m",
                              .base_url = "http://127.0.0.1:4242/v1",
                              .temperature = -1};
    cis_ai *ai = NULL;
    assert_ok(cis_ai_new(&c, client, &ai, err));
    static const struct {
        const char *url;
        bool allowed;
    } cases[] = {{"http://127.0.0.1:4242/x", true},
                 {"http://127.0.0.1:4243/x", false},
                 {"https://127.0.0.1:4242/x", false},
                 {"http://127.0.0.2:4242/x", false},
                 {"http://example.com/", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cis_url url = {0};
        assert_ok(cis_url_parse(cis_str_of(cases[i].url), &url, err));
        assert_int_equal(cis_policy_origin_allowed(&ai->grants, &url), cases[i].allowed);
        cis_url_done(&url);
    }
    cis_ai_free(ai);
}

/* ---- commands ---- */
static struct cis_ai_config program(const char *path, const char *const *args, bool on_stdin)
{
    return (struct cis_ai_config){.provider = "command",
                                  .command = path,
                                  .command_args = args,
                                  .command_stdin = on_stdin,
                                  .unsafe_command = true};
}

static char *script(const char *name, const char *text)
{
    char *path = cis_path_join(dir, name);
    assert_ok(cis_file_write(path, cis_bytes_of(text, strlen(text)), 0700, err));
    return path;
}

static void a_command_gets_the_prompt_on_stdin_or_as_an_argument(void **state)
{
    (void)state;
    struct cis_ai_config c = program("/bin/cat", NULL, true);
    assert_ok(ask(&c, "hello\n\n", err));
    assert_string_equal(cis_buf_cstr(&answer), "hello");
    assert_int_equal(usage.input_tokens, 2);
    cis_buf_reset(&answer);
    char *echo = script("echo", "#!/bin/sh\nprintf '%s|' \"$@\"\ncat\n");
    c = program(echo, (const char *const[]){"-x", NULL}, false);
    assert_ok(ask(&c, "--rm -rf; $(id)", err));
    assert_string_equal(cis_buf_cstr(&answer), "-x|--|--rm -rf; $(id)|");
    cis_free(echo);
}

static void a_command_sees_an_empty_folder_and_a_minimal_environment(void **state)
{
    (void)state;
    setenv("SECRET_OF_THE_HOST", "x", 1);
    setenv("TEST_AI_KEY", KEY, 1);
    char *look = script("look", "#!/bin/sh\npwd\nls -A | wc -l\nenv | sort\n");
    struct cis_ai_config c = program(look, NULL, true);
    c.api_key_env = "TEST_AI_KEY";
    assert_ok(ask(&c, "x", err));
    unsetenv("SECRET_OF_THE_HOST");
    const char *text = cis_buf_cstr(&answer);
    assert_non_null(strstr(text, "/cis-ai-"));
    assert_non_null(strstr(text, "/work\n0\n"));
    assert_null(strstr(text, "SECRET_OF_THE_HOST"));
    assert_non_null(strstr(text, "TEST_AI_KEY=" KEY));
    /* Nothing of the folder is left. */
    char folder[4096];
    snprintf(folder, sizeof folder, "%.*s", (int)strcspn(text, "\n"), text);
    assert_false(cis_file_exists(folder));
    cis_free(look);
}

static void a_failing_command_tells_its_first_line_without_the_key(void **state)
{
    (void)state;
    setenv("TEST_AI_KEY", KEY, 1);
    char *bad = script("bad", "#!/bin/sh\necho \"no: $TEST_AI_KEY\" >&2\necho more >&2\nexit 3\n");
    struct cis_ai_config c = program(bad, NULL, true);
    c.api_key_env = "TEST_AI_KEY";
    struct cis_error err = {0};
    assert_int_equal(ask(&c, "x", &err), CIS_E_PROVIDER);
    assert_non_null(strstr(err.msg, "exit 3: no: [key]"));
    assert_null(strstr(err.msg, "more"));
    assert_int_equal(answer.len, 0);
    cis_free(bad);
    char *killed = script("killed", "#!/bin/sh\nkill -9 $$\n");
    c = program(killed, NULL, true);
    assert_int_equal(ask(&c, "x", &err), CIS_E_PROVIDER);
    assert_non_null(strstr(err.msg, "signal 9"));
    cis_free(killed);
    c = program("/nonexistent/program", NULL, true);
    assert_int_equal(ask(&c, "x", &err), CIS_E_PROVIDER);
}

struct witness {
    char *fifo;
    int pidfd; /* of a grandchild */
};

/* Cancels once the command's own child is known to live. */
static void *watch(void *arg)
{
    struct witness *w = arg;
    struct cis_buf pid = CIS_BUF_INIT(64);
    assert_ok(cis_file_read(w->fifo, &pid, err));
    w->pidfd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(cis_buf_cstr(&pid), NULL, 10), 0u);
    cis_buf_done(&pid);
    cis_cancel_fire(stop.cancel);
    return NULL;
}

static void a_command_is_killed_with_its_children_when_the_run_is_cancelled(void **state)
{
    (void)state;
    struct witness w = {cis_path_join(dir, "fifo"), -1};
    assert_int_equal(mkfifo(w.fifo, 0600), 0);
    char *hang = script("hang", "#!/bin/sh\ntrap '' TERM INT\nsleep 1000 &\necho $! > ../../fifo\n"
                                "while :; do sleep 1000; done\n");
    assert_ok(cis_cancel_new(&stop.cancel, err));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
    struct cis_ai_config c = program(hang, NULL, true);
    assert_fails(CIS_E_CANCELLED, "", ask(&c, "x", err));
    pthread_join(thread, NULL);
    assert_true(w.pidfd >= 0);
    struct pollfd ended = {.fd = w.pidfd, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, WAITS_MS), 1);
    close(w.pidfd);
    cis_cancel_unref(stop.cancel);
    cis_free(w.fifo);
    cis_free(hang);
}

struct leaver {
    char *fifo, *go;
    int pidfd;
};

/* Lets the command end once what it leaves behind is known to live. */
static void *let_go(void *arg)
{
    struct leaver *l = arg;
    struct cis_buf pid = CIS_BUF_INIT(64);
    assert_ok(cis_file_read(l->fifo, &pid, err));
    l->pidfd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(cis_buf_cstr(&pid), NULL, 10), 0u);
    cis_buf_done(&pid);
    int fd = open(l->go, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "\n", 1), 1);
    close(fd);
    return NULL;
}

/* A session of its own does not take a child out of reach: asked for by the program, by a shell
 * with job control, and after its parent is gone. */
static void what_a_command_leaves_behind_in_another_session_ends_with_it(void **state)
{
    (void)state;
    static const char *const ways[] = {
        "setsid sh -c 'echo $$ > ../../left; exec sleep 60' >/dev/null 2>&1 &",
        "set -m; (sh -c 'echo $$ > ../../left; exec sleep 60' >/dev/null 2>&1 &)",
        "setsid sh -c 'setsid sh -c \"echo \\$\\$ > ../../left; exec sleep 60\" &' >/dev/null 2>&1 "
        "&"};
    struct leaver l = {cis_path_join(dir, "left"), cis_path_join(dir, "go"), -1};
    assert_int_equal(mkfifo(l.fifo, 0600), 0);
    assert_int_equal(mkfifo(l.go, 0600), 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "#!/bin/sh\nexec 2>/dev/null\n%s\nread go < ../../go\necho done\n", ways[i]);
        char *leaves = script("leaves", text);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, let_go, &l), 0);
        struct cis_ai_config c = program(leaves, NULL, true);
        cis_buf_reset(&answer);
        assert_ok(ask(&c, "x", err));
        assert_string_equal(cis_buf_cstr(&answer), "done");
        pthread_join(thread, NULL);
        assert_true(l.pidfd >= 0);
        struct pollfd ended = {.fd = l.pidfd, .events = POLLIN};
        assert_int_equal(poll(&ended, 1, WAITS_MS), 1);
        close(l.pidfd);
        cis_free(leaves);
    }
    cis_free(l.fifo);
    cis_free(l.go);
}

static void an_endless_command_is_stopped(void **state)
{
    (void)state;
    char *yes = script("yes", "#!/bin/sh\nexec yes\n");
    struct cis_ai_config c = program(yes, NULL, true);
    assert_fails(CIS_E_LIMIT, "", ask(&c, "x", err));
    cis_free(yes);
}

/* A stand-in on PATH that shows how it was called. */
static void with_stand_in(const char *name, const char *text)
{
    char *path = script(name, text);
    char *old = getenv("PATH"), value[8192];
    snprintf(value, sizeof value, "%s:%s", dir, old != NULL ? old : "/bin");
    setenv("PATH", value, 1);
    cis_free(path);
}

static void presets_switch_the_tools_of_their_program_off(void **state)
{
    (void)state;
    char *path = cis_strdup(getenv("PATH"));
    with_stand_in("claude", "#!/bin/sh\nprintf '<%s>' \"$@\"\n");
    with_stand_in("kimi", "#!/bin/sh\nprintf '<%s>' \"$@\"\ncat \"$3\" \"$5\"\n");
    with_stand_in("opencode", "#!/bin/sh\nprintf '<%s>' \"$@\"\necho $OPENCODE_CONFIG_CONTENT\n");
    struct cis_ai_config c = {.provider = "command", .command = "claude", .model = "opus"};
    assert_ok(ask(&c, "x", err));
    assert_string_equal(cis_buf_cstr(&answer),
                        "<-p><--output-format><text><--tools><><--strict-mcp-config>"
                        "<--setting-sources><><--disable-slash-commands><--model><opus>");
    cis_buf_reset(&answer);
    c = (struct cis_ai_config){.provider = "command", .command = "kimi"};
    assert_ok(ask(&c, "x", err));
    assert_non_null(strstr(cis_buf_cstr(&answer), "tools: []"));
    assert_non_null(strstr(cis_buf_cstr(&answer), "{\"mcpServers\":{}}"));
    cis_buf_reset(&answer);
    c.command = "opencode";
    assert_ok(ask(&c, "x", err));
    assert_non_null(strstr(cis_buf_cstr(&answer), "<run><--agent><answer>"));
    assert_non_null(strstr(cis_buf_cstr(&answer), "\"permission\":{\"*\":\"deny\"}"));
    setenv("PATH", path, 1);
    cis_free(path);
}

static void a_prompt_cannot_attach_files_or_give_commands_to_an_agent_program(void **state)
{
    (void)state;
    char *path = cis_strdup(getenv("PATH"));
    with_stand_in("claude", "#!/bin/sh\ncat\n");
    struct cis_ai_config c = {.provider = "command", .command = "claude"};
    assert_ok(ask(&c, "/init and @/etc/passwd @\"/etc/shadow\"", err));
    assert_string_equal(cis_buf_cstr(&answer), "\xE2\x81\xA0/init and @\xE2\x81\xA0/etc/passwd "
                                               "@\xE2\x81\xA0\"/etc/shadow\"");
    /* Behind anything that a program might trim, and on each line. */
#define J "\xE2\x81\xA0"
    static const char *const said[][2] = {
        {" /init", " " J "/init"},
        {"\t\r\n!ls", "\t\r\n" J "!ls"},
        {"\xEF\xBB\xBF#x", "\xEF\xBB\xBF" J "#x"},
        {"\xC2\xA0\xE3\x80\x80/x", "\xC2\xA0\xE3\x80\x80" J "/x"},
        {"hello\n/exit\n  !ls\r#y\xE2\x80\xA8/z",
         "hello\n" J "/exit\n  " J "!ls\r" J "#y\xE2\x80\xA8" J "/z"},
        {"1 / 2 is no path, a/b is one!", "1 / 2 is no path, a/b is one!"}};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        cis_buf_reset(&answer);
        assert_ok(ask(&c, said[i][0], err));
        assert_string_equal(cis_buf_cstr(&answer), said[i][1]);
    }
    setenv("PATH", path, 1);
    cis_free(path);
}

/* ---- limits and description ---- */
static void prompts_have_a_largest_size(void **state)
{
    (void)state;
    struct cis_ai_config c = program("/bin/cat", NULL, true);
    size_t len = CIS_AI_PROMPT_MAX + 1;
    char *big = cis_alloc(len + 1);
    memset(big, 'x', len);
    big[len] = 0;
    assert_fails(CIS_E_LIMIT, "prompt", ask(&c, big, err));
    big[200000] = 0;
    c = program("/bin/echo", NULL, false);
    assert_fails(CIS_E_LIMIT, "command_stdin", ask(&c, big, err));
    cis_free(big);
}

static void a_description_never_holds_the_key(void **state)
{
    (void)state;
    setenv("TEST_AI_KEY", KEY, 1);
    struct cis_ai_config c = {
        .provider = "openai", .model = "m-1", .api_key_env = "TEST_AI_KEY", .temperature = -1};
    cis_ai *ai = NULL;
    assert_ok(cis_ai_new(&c, client, &ai, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    cis_ai_describe(ai, &text);
    assert_string_equal(cis_buf_cstr(&text), "openai m-1 at https://api.openai.com/v1");
    assert_ok(cis_ai_ready(ai, err));
    unsetenv("TEST_AI_KEY");
    assert_fails(CIS_E_PROVIDER, "TEST_AI_KEY", cis_ai_ready(ai, err));
    cis_ai_free(ai);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(openai_gets_the_prompt_and_the_key_and_tells_its_tokens),
        T(anthropic_gets_its_own_headers),
        T(ollama_needs_no_key),
        T(a_key_file_is_read_at_each_call_and_trimmed),
        T(a_server_of_ones_own_may_have_no_key),
        T(a_request_may_ask_for_fewer_tokens_not_for_more),
        T(a_command_gets_the_prompt_on_stdin_or_as_an_argument),
        T(a_command_sees_an_empty_folder_and_a_minimal_environment),
        T(presets_switch_the_tools_of_their_program_off),
        T(a_prompt_cannot_attach_files_or_give_commands_to_an_agent_program),
        T(odd_token_counts_are_not_believed),
        T(prompts_have_a_largest_size),
        T(a_description_never_holds_the_key),
        T(only_the_configured_origin_is_granted),
        T(without_a_provider_the_call_says_how_to_configure_one),
        T(a_missing_key_is_named_and_nothing_is_sent),
        T(a_bad_configuration_is_a_usage_error),
        T(a_redirect_is_not_followed_with_the_key),
        T(wrong_shapes_are_provider_failures),
        T(a_provider_that_repeats_the_key_does_not_get_it_into_the_error),
        T(the_key_is_cut_out_in_pieces_too),
        T(a_server_that_closes_after_reading_is_asked_once),
        T(endless_and_huge_answers_are_cut_off),
        T(a_silent_provider_ends_at_its_timeout_and_at_cancellation),
        T(a_failing_command_tells_its_first_line_without_the_key),
        T(a_command_is_killed_with_its_children_when_the_run_is_cancelled),
        T(what_a_command_leaves_behind_in_another_session_ends_with_it),
        T(an_endless_command_is_stopped),
    };
    return cmocka_run_group_tests_name("service_ai", tests, NULL, NULL);
}
