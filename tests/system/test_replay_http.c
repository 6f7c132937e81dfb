/* HTTP of components, recorded and played when the server is gone: the same answers, bodies,
 * trailers and errors, and what is said when a recording has something else. */
#include "system/http_world.h"
#include "system/replay.h"

static const struct httpd_raw raw[] = {
    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour"},
    {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: evil\r\n\r\n"},
    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Mine: \xff\r\n\r\nbody"},
};

static int setup(void **state)
{
    return world_new(state, raw, sizeof raw / sizeof *raw);
}

struct scene {
    int exit;
    const char *says;
    const char *job[9]; /* METHOD PATH [WHAT=VALUE …] */
    const char *grant;  /* NULL: for the server */
};

static int record(struct world *w, const struct scene *scene)
{
    const char *argv[32] = {CIS_PROGRAM, "run", "--record", recording_of(&w->sys), "--http"};
    int n = 5;
    argv[n++] = scene->grant != NULL ? scene->grant : w->grant;
    argv[n++] = "--time";
    argv[n++] = scene->exit == 124 ? "300ms" : "60s";
    argv[n++] = w->guest;
    argv[n++] = scene->job[0];
    argv[n++] = "http";
    argv[n++] = w->authority;
    for (int i = 1; scene->job[i] != NULL; i++) {
        argv[n++] = scene->job[i];
    }
    return sys_exec(&w->sys, argv);
}

/* Records all of them, each on a recording of its own; `over`: what they said. */
static void record_all(struct world *w, const struct scene *scenes, size_t n, struct said *over)
{
    for (size_t i = 0; i < n; i++) {
        char kept[4300];
        assert_exit(&w->sys, scenes[i].exit, record(w, &scenes[i]));
        assert_contains(sys_out(&w->sys), scenes[i].says);
        over[i] = take(&w->sys, scenes[i].exit);
        snprintf(kept, sizeof kept, "%s.%zu", recording_of(&w->sys), i);
        assert_int_equal(rename(recording_of(&w->sys), kept), 0);
    }
}

static void play_all(struct world *w, size_t n, struct said *over)
{
    for (size_t i = 0; i < n; i++) {
        char kept[4300];
        snprintf(kept, sizeof kept, "%s.%zu", recording_of(&w->sys), i);
        assert_int_equal(rename(kept, recording_of(&w->sys)), 0);
        assert_exit(&w->sys, over[i].exit, replay_elsewhere(&w->sys));
        assert_int_equal(w->sys.last.output.len, over[i].out_len);
        assert_memory_equal(sys_out(&w->sys), over[i].out, over[i].out_len);
        if (over[i].exit == 0) {
            assert_string_equal(sys_err(&w->sys), over[i].err);
        }
        said_done(&over[i]);
    }
}

static void answers_are_played_when_the_server_is_gone(void **state)
{
    static const struct scene scenes[] = {
        {0, "header Content-Length: 5\n", {"GET", "/hello", "header=X-Mine: yes"}, NULL},
        {0, "body 12 bytes\ntrailer X-Trailer: late\n", {"GET", "/chunked"}, NULL},
        {0,
         "trailer X-One: 1\ntrailer X-Bytes: 5\n",
         {"POST", "/stream/mirror", "body=hello", "trailer=X-One: 1"},
         NULL},
        {0, "body 500000 bytes\n", {"POST", "/stream/mirror", "repeat=500000", "count"}, NULL},
        {0, "300000 bytes", {"POST", "/stream/sink", "repeat=300000", "blocking"}, NULL},
        {0,
         "5 bytes, trailers: A: b",
         {"POST", "/stream/sink", "body=hello", "early", "trailer=A: b"},
         NULL},
        {0, "header X-9999: v\n", {"GET", "/headers?n=10000", "count"}, NULL},
        {0, "header X-Mine: \xff\n", {"GET", "/raw/2"}, NULL},
        {0, "status 302\n", {"GET", "/redirect?to=/hello"}, NULL},
        {0,
         "dropped\n",
         {"POST", "/stream/mirror", "repeat=200000", "stop=-1", "count", "trailer=A: b"},
         NULL},
    };
    enum { N = sizeof scenes / sizeof *scenes };
    struct world *w = *state;
    struct said over[N];
    record_all(w, scenes, N, over);
    world_stop(w);
    play_all(w, N, over);
}

static void what_went_wrong_goes_wrong_again(void **state)
{
    static const struct scene scenes[] = {
        {1, "handle: HTTP-request-denied\n", {"GET", "/hello"}, "http://example.com"},
        {0, "body: HTTP-response-incomplete\n", {"GET", "/raw/0"}, NULL},
        {0, "HTTP-protocol-error\n", {"GET", "/raw/1"}, NULL},
        {1, "response: connection-terminated\n", {"GET", "/close"}, NULL},
        {1, "connection-timeout\n", {"GET", "/hello", "times=0,0,0"}, NULL},
        {1,
         "finish: HTTP-request-body-size(5)\n",
         {"POST", "/echo", "body=hello", "header=Content-Length: 9"},
         NULL},
        {0, "body 5 bytes\n", {"POST", "/stream/ignore", "repeat=20000000", "count"}, NULL},
        {1, "path refused\n", {"GET", "http://elsewhere.example/"}, NULL},
        {124, "", {"GET", "/hang"}, NULL},
    };
    enum { N = sizeof scenes / sizeof *scenes };
    static const struct scene refused[] = {
        {1, "response: connection-refused\n", {"GET", "/hello"}, NULL}};
    struct world *w = *state;
    struct said over[N];
    record_all(w, scenes, N, over);
    world_stop(w);
    play_all(w, N, over);
    record_all(w, refused, 1, over);
    /* A server that is there now is not asked. */
    uint16_t port = (uint16_t)strtoul(strchr(w->authority, ':') + 1, NULL, 10);
    w->server = httpd_start(&(struct httpd_options){.port = port});
    play_all(w, 1, over);
    assert_true(w->server == NULL || httpd_connections(w->server) == 0);
}

/* The request that a guest makes is compared; so is what it does with an answer. */
static void a_request_or_an_answer_that_differs_is_named(void **state)
{
    static const struct scene scene = {
        0, "hello\n", {"POST", "/stream/mirror", "body=hello", "header=X-Mine: yes"}, NULL};
    struct world *w = *state;
    assert_exit(&w->sys, 0, record(w, &scene));
    world_stop(w);
    edit_some(&w->sys, "header=X-Mine: yes", "header=X-Mine: yea", 9); /* its argument */
    assert_exit(&w->sys, 125, cis(&w->sys, "replay", recording_of(&w->sys)));
    assert_contains(sys_err(&w->sys), "cis replay: call ");
    assert_contains(sys_err(&w->sys),
                    "(wasi:http/types.[method]fields.append): argument 3 (3 bytes here) is not "
                    "the recorded one");
    edit_some(&w->sys, "header=X-Mine: yea", "header=X-Mine: yes", 9);
    assert_exit(&w->sys, 0, cis(&w->sys, "replay", recording_of(&w->sys)));
    edit(&w->sys, "X-Bytes", "Y-Bytes"); /* a trailer that came */
    assert_exit(&w->sys, 125, cis(&w->sys, "replay", recording_of(&w->sys)));
    assert_contains(sys_err(&w->sys), " bytes here) is not the recorded one");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(answers_are_played_when_the_server_is_gone),
        T(what_went_wrong_goes_wrong_again),
        T(a_request_or_an_answer_that_differs_is_named),
    };
    return cmocka_run_group_tests_name("HTTP replayed", tests, NULL, NULL);
}
