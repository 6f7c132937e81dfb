/* AI and HTTP through the program against a real local server. */
#include "system/system.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Input is a JSON string: the URL. The output is what the host answered, or {"code":N}. */
#define GUEST_FETCH                                                                                \
    "(module (import \"env\" \"host_http_request\" (func $http (param i32 i32 i32 i32 i32 i32 i32" \
    "  i32 i32 i32) (result i32)))"                                                                \
    " (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"                  \
    " (memory (export \"memory\") 40) (data (i32.const 0) \"GET{\\22code\\22:-?}\")"               \
    " (func (export \"skill_execute\") (param $p i32) (param $n i32) (result i32) (local $r i32)"  \
    "  (local.set $r (call $http (i32.const 0) (i32.const 3)"                                      \
    "   (i32.add (local.get $p) (i32.const 1)) (i32.sub (local.get $n) (i32.const 2))"             \
    "   (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 65536)"                 \
    "   (i32.const 1048576)))"                                                                     \
    "  (if (i32.gt_s (local.get $r) (i32.const 0))"                                                \
    "   (then (drop (call $out (i32.const 65536) (local.get $r))))"                                \
    "   (else (i32.store8 (i32.const 12) (i32.sub (i32.const 48) (local.get $r)))"                 \
    "    (drop (call $out (i32.const 3) (i32.const 11)))))"                                        \
    "  (i32.const 0)))"

#define GUEST_ASK                                                                                  \
    "(module (import \"env\" \"host_ai_chat\" (func $ai (param i32 i32 i32 i32) (result i32)))"    \
    " (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"                  \
    " (memory (export \"memory\") 40) (data (i32.const 0) \"{\\22code\\22:-?}\")"                  \
    " (func (export \"skill_execute\") (param $p i32) (param $n i32) (result i32) (local $r i32)"  \
    "  (local.set $r (call $ai (i32.add (local.get $p) (i32.const 1))"                             \
    "   (i32.sub (local.get $n) (i32.const 2)) (i32.const 65536) (i32.const 1048576)))"            \
    "  (if (i32.gt_s (local.get $r) (i32.const 0))"                                                \
    "   (then (drop (call $out (i32.const 65536) (local.get $r))))"                                \
    "   (else (i32.store8 (i32.const 9) (i32.sub (i32.const 48) (local.get $r)))"                  \
    "    (drop (call $out (i32.const 0) (i32.const 11)))))"                                        \
    "  (i32.const 0)))"

struct server {
    struct sys *sys; /* first: the helpers of system.h get it through sys_of */
    pid_t pid;
    int hold; /* the server ends when this end of its stdin closes */
    int port;
    char log[4200], origin[64];
};

static int server_setup(void **state)
{
    struct server *v = calloc(1, sizeof *v);
    char fifo[4200];
    int pipe_fds[2];
    if (sys_setup((void **)&v->sys) != 0 || pipe(pipe_fds) != 0) {
        return 1;
    }
    snprintf(fifo, sizeof fifo, "%s/port", v->sys->home);
    snprintf(v->log, sizeof v->log, "%s/requests.log", v->sys->home);
    if (mkfifo(fifo, 0600) != 0) {
        return 1;
    }
    v->pid = fork();
    if (v->pid == 0) {
        dup2(pipe_fds[0], 0);
        close(pipe_fds[1]);
        char *argv[] = {(char *)(uintptr_t)CIS_HTTPD, "--port-file", fifo, "--log", v->log, NULL};
        execv(CIS_HTTPD, argv);
        _exit(127);
    }
    close(pipe_fds[0]);
    v->hold = pipe_fds[1];
    fcntl(v->hold, F_SETFD, FD_CLOEXEC);
    FILE *port = fopen(fifo, "r"); /* waits until the server writes it */
    if (port == NULL || fscanf(port, "%d", &v->port) != 1) {
        return 1;
    }
    fclose(port);
    snprintf(v->origin, sizeof v->origin, "http://127.0.0.1:%d", v->port);
    *state = v;
    return 0;
}

static int server_teardown(void **state)
{
    struct server *v = *state;
    int status;
    if (v->pid > 0) {
        close(v->hold);
        waitpid(v->pid, &status, 0);
    }
    int failed = sys_teardown((void **)&v->sys);
    free(v);
    return failed;
}

static int fetch(struct server *v, const char *guest, const char *path, const char *grant)
{
    char input[512], allow[512];
    snprintf(input, sizeof input, "\"%s%s\"", path[0] == '/' ? v->origin : "", path);
    snprintf(allow, sizeof allow, "http=%s", grant != NULL ? grant : v->origin);
    return cis(v->sys, "skill", "run", "--wasm", guest, "--input", input, "--allow", allow,
               "--time", "5s");
}

/* The answer is on the recording: nobody has to be there to give it. */
static void http_is_played_after_the_server_is_gone(void **state)
{
    struct server *v = *state;
    char *guest = sys_wat(v->sys, "fetch.wat", GUEST_FETCH), recording[4200], input[128];
    snprintf(recording, sizeof recording, "%s/run.recording", v->sys->home);
    snprintf(input, sizeof input, "\"%s/echo?x=%d\"", v->origin, (int)getpid());
    assert_exit(v->sys, 0,
                cis(v->sys, "skill", "run", "--wasm", guest, "--record", recording, "--input",
                    input, "--http", v->origin));
    char *first = strdup(sys_out(v->sys));
    assert_contains(first, "echo");
    close(v->hold);
    int status;
    waitpid(v->pid, &status, 0);
    v->hold = v->pid = -1;
    assert_exit(v->sys, 0, cis(v->sys, "replay", recording));
    assert_string_equal(sys_out(v->sys), first);
    free(first);
    free(guest);
}

static size_t requests(const struct server *v)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf log = CIS_BUF_INIT(1 << 24);
    struct cis_error err;
    size_t n = 0;
    if (cis_file_read(v->log, &log, &err) == CIS_OK) {
        for (size_t i = 0; i < log.len; i++) {
            n += log.ptr[i] == '\n';
        }
    }
    return n;
}

/* The same request through every ABI; what came back is the output. */
static void s0_2_http_is_posted_through_every_abi(void **state)
{
    struct server *v = *state;
    static const struct {
        const char *name, *type, *call;
    } abis[] = {
        {"\"env\" \"host_http_post\"", "(param i32 i32 i32 i32) (result i64)",
         "(local.set $r (call $http %s)) (drop (call $out (i32.wrap_i64 (i64.shr_u (local.get $r)"
         " (i64.const 32))) (i32.wrap_i64 (local.get $r))))"},
        {"\"env\" \"host_http_request\"",
         "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)",
         "(drop (call $out (i32.const 65536) (call $http (i32.const 600) (i32.const 4)"
         " (i32.const 0) (i32.const %zu) (i32.const 0) (i32.const 0) (i32.const 512) (i32.const 4)"
         " (i32.const 65536) (i32.const 65536))))"},
        {"\"cis\" \"http_request\"", "(param i32 i32 i32 i32 i32 i32) (result i32)",
         "(drop (call $out (i32.const 65536) (call $http %s (i32.const 65536) (i32.const "
         "65536))))"},
        {"\"cis\" \"host_http_post\"", "(param i32 i32 i32 i32 i32 i32) (result i32)",
         "(drop (call $out (i32.const 65536) (call $http %s (i32.const 65536) (i32.const "
         "65536))))"},
        {"\"env\" \"http_post\"", "(param i32 i32 i32 i32 i32) (result i32)",
         "(drop (call $http %s (i32.const 1024))) (drop (call $out (i32.load (i32.const 1024))"
         " (i32.load (i32.const 1028))))"},
    };
    for (size_t i = 0; i < sizeof abis / sizeof *abis; i++) {
        char url[128], args[256], call[1024], text[4096];
        snprintf(url, sizeof url, "%s/echo", v->origin);
        snprintf(args, sizeof args, "(i32.const 0) (i32.const %zu) (i32.const 512) (i32.const 4)",
                 strlen(url));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (i == 1) {
            snprintf(call, sizeof call, abis[i].call, strlen(url));
        } else {
            snprintf(call, sizeof call, abis[i].call, args);
        }
#pragma GCC diagnostic pop
        snprintf(text, sizeof text,
                 "(module (import %s (func $http %s))"
                 " (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"
                 " (memory (export \"memory\") 4) (data (i32.const 0) \"%s\")"
                 " (data (i32.const 512) \"ping\") (data (i32.const 600) \"POST\")"
                 " (func (export \"skill_execute\") (param i32 i32) (result i32) (local $r i64)"
                 "  %s (i32.const 0)))",
                 abis[i].name, abis[i].type, url, call);
        char *guest = sys_wat(v->sys, "post.wat", text);
        size_t before = requests(v);
        assert_exit(v->sys, 0, cis(v->sys, "skill", "run", "--wasm", guest));
        assert_lacks(sys_out(v->sys), "ping");
        assert_int_equal(requests(v), before);
        assert_exit(v->sys, 0, cis(v->sys, "skill", "run", "--wasm", guest, "--http", v->origin));
        assert_contains(sys_out(v->sys), "ping");
        assert_contains(sys_out(v->sys), "POST");
        assert_true(requests(v) > before); /* a line a header */
        free(guest);
    }
}

static void a_granted_origin_is_reached_and_no_other(void **state)
{
    struct server *v = *state;
    char *guest = sys_wat(v->sys, "fetch.wat", GUEST_FETCH);
    assert_exit(v->sys, 0, fetch(v, guest, "/status/200", NULL));
    assert_contains(sys_out(v->sys), "\"status\":200");
    size_t seen = requests(v);
    assert_true(seen >= 1);
    assert_exit(v->sys, 0, fetch(v, guest, "/status/200", "https://api.example.com"));
    assert_string_equal(sys_out(v->sys), "{\"code\":-1}");
    char input[128];
    snprintf(input, sizeof input, "\"%s/status/200\"", v->origin);
    assert_exit(v->sys, 0, cis(v->sys, "skill", "run", "--wasm", guest, "--input", input));
    assert_string_equal(sys_out(v->sys), "{\"code\":-1}");
    assert_exit(v->sys, 0,
                cis(v->sys, "skill", "run", "--wasm", guest, "--input", input, "--allow", "network",
                    "--json"));
    assert_lacks(sys_out(v->sys), "\"status\":200");
    assert_int_equal(requests(v), seen); /* not one of them left */
    free(guest);
}

static void a_redirect_to_another_origin_is_checked_again(void **state)
{
    struct server *v = *state;
    char *guest = sys_wat(v->sys, "fetch.wat", GUEST_FETCH), path[256];
    assert_exit(v->sys, 0, fetch(v, guest, "/redirect?to=/status/200", NULL));
    assert_contains(sys_out(v->sys), "\"status\":200");
    snprintf(path, sizeof path, "/redirect?to=http://localhost:%d/status/200", v->port);
    assert_exit(v->sys, 0, fetch(v, guest, path, NULL));
    assert_lacks(sys_out(v->sys), "\"status\":200");
    assert_exit(v->sys, 0, fetch(v, guest, "/redirect?to=file:///etc/passwd", NULL));
    assert_lacks(sys_out(v->sys), "root:");
    free(guest);
}

static void a_slow_or_lying_server_ends_in_time_and_by_name(void **state)
{
    struct server *v = *state;
    char *guest = sys_wat(v->sys, "fetch.wat", GUEST_FETCH), input[128], allow[128];
    snprintf(input, sizeof input, "\"%s/slow?ms=60000\"", v->origin);
    snprintf(allow, sizeof allow, "http=%s", v->origin);
    assert_exit(v->sys, 6,
                cis(v->sys, "skill", "run", "--wasm", guest, "--input", input, "--allow", allow,
                    "--time", "300ms"));
    assert_contains(sys_err(v->sys), "time");
    sys_waited(v->sys, 300);
    assert_exit(v->sys, 0, fetch(v, guest, "/lie", NULL));
    assert_contains(sys_out(v->sys), "\"code\":-");
    assert_exit(v->sys, 0, fetch(v, guest, "/close", NULL));
    assert_contains(sys_out(v->sys), "\"code\":-");
    assert_exit(v->sys, 0, fetch(v, guest, "/chunked", NULL));
    assert_contains(sys_out(v->sys), "\"status\":200");
    free(guest);
}

static void ai_config(struct server *v, const char *provider, const char *base)
{
    char path[4300], text[1024];
    snprintf(path, sizeof path, "%s/config", v->sys->home);
    assert_ok(cis_file_mkdirs(path, 0700, err));
    int n = snprintf(text, sizeof text,
                     "[ai]\nprovider = \"%s\"\nmodel = \"test\"\nbase_url = \"%s%s\"\n"
                     "api_key_env = \"TEST_KEY\"\n",
                     provider, v->origin, base);
    sys_file(v->sys, "config/config.toml", text, (size_t)n);
}

static void s1_8_every_provider_answers_and_the_key_stays_on_the_host(void **state)
{
    struct server *v = *state;
    static const char *const providers[][2] = {
        {"openai", "/v1"}, {"anthropic", ""}, {"ollama", ""}};
    char *guest = sys_wat(v->sys, "ask.wat", GUEST_ASK);
    v->sys->env[0] = "TEST_KEY=sk-very-secret";
    for (size_t i = 0; i < 3; i++) {
        ai_config(v, providers[i][0], providers[i][1]);
        assert_exit(v->sys, 0,
                    cis(v->sys, "skill", "run", "--wasm", guest, "--input", "\"tell me\"",
                        "--allow", "ai"));
        assert_lacks(sys_out(v->sys), "\"code\"");
        assert_true(strlen(sys_out(v->sys)) > 0);
        assert_exit(v->sys, 0,
                    cis(v->sys, "skill", "run", "--wasm", guest, "--input", "\"tell me\"",
                        "--allow", "ai", "--json", "--trace", "host"));
        assert_contains(sys_out(v->sys), "\"ai\":{\"calls\":1");
        assert_lacks(sys_out(v->sys), "very-secret");
        assert_lacks(sys_err(v->sys), "very-secret");
    }
    assert_exit(v->sys, 0, cis(v->sys, "skill", "run", "--wasm", guest, "--input", "\"tell me\""));
    assert_string_equal(sys_out(v->sys), "{\"code\":-1}");
    free(guest);
}

static void without_a_provider_the_call_fails_and_the_report_says_how_to_configure_one(void **state)
{
    struct server *v = *state;
    char *guest = sys_wat(v->sys, "ask.wat", GUEST_ASK);
    assert_exit(
        v->sys, 0,
        cis(v->sys, "skill", "run", "--wasm", guest, "--input", "\"tell me\"", "--allow", "ai"));
    assert_string_equal(sys_out(v->sys), "{\"code\":-3}");
    assert_contains(sys_err(v->sys), "[ai]");
    free(guest);
}

#define T(name) cmocka_unit_test_setup_teardown(name, server_setup, server_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(s0_2_http_is_posted_through_every_abi),
        T(http_is_played_after_the_server_is_gone),
        T(a_granted_origin_is_reached_and_no_other),
        T(a_redirect_to_another_origin_is_checked_again),
        T(a_slow_or_lying_server_ends_in_time_and_by_name),
        T(s1_8_every_provider_answers_and_the_key_stays_on_the_host),
        T(without_a_provider_the_call_fails_and_the_report_says_how_to_configure_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
