/* No function of wasi:sockets and wasi:http lacks a test: the guests that test them are traced, and
 * what they called is held against the tables. */
#include "service_http/server.h"
#include "system.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include "engine/component/component.h"
#include "wasi/p2/p2.h"

struct world {
    struct sys sys; /* first: what the helpers take */
    httpd *server;
    char guest[600];
    char called[1 << 16]; /* names of functions, each between two spaces */
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->sys.home = test_dir_new();
    w->server = httpd_start(&(struct httpd_options){0});
    *state = w;
    return w->server == NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    httpd_stop(w->server);
    int failed = sys_end(&w->sys);
    free(w);
    return failed;
}

static void make(struct world *w, const char *core)
{
    snprintf(w->guest, sizeof w->guest, "%s/guest.component.wasm", w->sys.home);
    assert_exit(&w->sys, 0, cis(&w->sys, "component", "new", core, "-o", w->guest));
}

/* Lines are "host  wasi:a/b.function(…) = …". */
static void note(struct world *w)
{
    assert_lacks(sys_err(&w->sys), "(="); /* a parameter without a name is its value alone */
    for (const char *at = sys_err(&w->sys); (at = strstr(at, "host  wasi:")) != NULL; at++) {
        const char *from = at + strlen("host  "), *to = strchr(from, '(');
        char name[160];
        assert_non_null(to);
        snprintf(name, sizeof name, " %.*s ", (int)(to - from), from);
        size_t n = strlen(w->called);
        if (strstr(w->called, name) == NULL) {
            assert_true(n + strlen(name) < sizeof w->called);
            memcpy(w->called + n, name, strlen(name) + 1);
        }
    }
}

/* Nothing but a server is handed these, and there is none: their handle cannot be had. */
static bool of_servers(const struct cis_ifacefn *row)
{
    return strstr(row->name, "]incoming-request.") != NULL ||
           strcmp(row->name, "[static]response-outparam.set") == 0;
}

static void assert_all_called(const struct world *w, const char *package)
{
    size_t ntables = 0, missing = 0, all = 0;
    const struct cis_iface_table *const *tables = cis_wasi_p2_tables(&ntables);
    for (size_t t = 0; t < ntables; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_ifacefn *row = &tables[t]->rows[i];
            char name[160];
            snprintf(name, sizeof name, " %s.%s ", row->interface, row->name);
            bool ours = strncmp(row->interface, package, strlen(package)) == 0;
            all += ours;
            if (ours && !of_servers(row) && strstr(w->called, name) == NULL) {
                print_error("%s has no test\n", name);
                missing++;
            }
        }
    }
    assert_true(all > 20);
    assert_int_equal(missing, 0);
}

/* Takes one connection and throws it away with a byte that it did not read. */
static void *resets(void *listening)
{
    char byte;
    const struct linger hard = {1, 0};
    int fd = accept4(*(const int *)listening, NULL, NULL, SOCK_CLOEXEC);
    (void)!recv(fd, &byte, 1, MSG_PEEK);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    return NULL;
}

static int open_local(int type, char port[8])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
                getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(port, 8, "%u", ntohs(at.sin_port));
    return fd;
}

#define TRACED(time, ...)                                                                          \
    (cis(&w->sys, "run", "--trace", "host", "--wasi", "network-error-code", "--time", time,        \
         "--net", "tcp:localhost:*", "--net", "udp:localhost:*", "--net", "listen:localhost:*",    \
         "--allow", "dns", w->guest, __VA_ARGS__))

static void run_reset(struct world *w)
{
    pthread_t thread;
    char port[8];
    int fd = open_local(SOCK_STREAM, port);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, resets, &fd), 0);
    assert_exit(&w->sys, 0, TRACED("60s", "reset", port));
    pthread_join(thread, NULL);
    close(fd);
    note(w);
}

/* A server of names that never answers. */
static void run_lookup(struct world *w)
{
    char port[8], servers[64];
    int fd = open_local(SOCK_DGRAM, port);
    snprintf(servers, sizeof servers, "CIS_HTTP_DNS_SERVERS=127.0.0.1:%s", port);
    w->sys.env[0] = servers;
    assert_exit(&w->sys, 124, TRACED("300ms", "hang", "lookup"));
    w->sys.env[0] = NULL;
    close(fd);
    note(w);
}

static void every_function_of_sockets_is_tested(void **state)
{
    struct world *w = *state;
    static const char *const scenes[][3] = {{"tcp", "4"},       {"options", "4"}, {"states"},
                                            {"many", "2", "4"}, {"udp", "4"},     {"udp-peer"}};
    make(w, CIS_GUESTS_DIR "/net.wasm");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        assert_exit(&w->sys, 0, TRACED("60s", scenes[i][0], scenes[i][1], scenes[i][2]));
        note(w);
    }
    run_reset(w);
    run_lookup(w);
    assert_all_called(w, "wasi:sockets/");
}

static void every_function_of_http_is_tested(void **state)
{
    struct world *w = *state;
    char authority[64], grant[96];
    snprintf(authority, sizeof authority, "127.0.0.1:%u", httpd_port(w->server));
    snprintf(grant, sizeof grant, "http://%s", authority);
    make(w, CIS_GUESTS_DIR "/http.wasm");
#define RUN(...)                                                                                   \
    do {                                                                                           \
        assert_exit(                                                                               \
            &w->sys, 0,                                                                            \
            cis(&w->sys, "run", "--trace", "host", "--http", grant, w->guest, __VA_ARGS__));       \
        note(w);                                                                                   \
    } while (0)
    RUN("fields");
    RUN("objects");
    RUN("POST", "http", authority, "/stream/mirror", "body=hello", "trailer=A: b",
        "times=60000000000,60000000000,60000000000");
    RUN("GET", "http", authority, "/lie"); /* an error behind a stream's */
    assert_exit(&w->sys, 1,
                cis(&w->sys, "run", "--trace", "host", "--http", grant, w->guest, "GET", "http",
                    authority, "/hang", "times=60000000000,50000000,60000000000"));
    note(w); /* that waited for its answer */
    assert_all_called(w, "wasi:http/");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_function_of_sockets_is_tested),
        TEST(every_function_of_http_is_tested),
    };
    return cmocka_run_group_tests_name("rows of sockets and HTTP", tests, NULL, NULL);
}
