/* A run's network for tests, and waiting for its sockets. Ports are the kernel's choice. */
#ifndef CIS_TESTS_SERVICE_NET_FIXTURE_H
#define CIS_TESTS_SERVICE_NET_FIXTURE_H

#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include "policy/host.h"
#include "service/net/net.h"

struct run {
    struct cis_grants grants;
    struct cis_budget budget;
    cis_net *net;
};

static inline void run_open(struct run *run, const struct cis_net_options *more,
                            const char *const *grants)
{
    struct cis_net_options options = more != NULL ? *more : (struct cis_net_options){0};
    *run = (struct run){.grants = CIS_GRANTS_INIT, .budget = {.limit = 64u << 20}};
    for (; *grants != NULL; grants++) {
        assert_ok(cis_grants_add(&run->grants, cis_str_of(*grants), err));
    }
    options.grants = &run->grants;
    options.budget = &run->budget;
    assert_ok(cis_net_new(&options, &run->net, err));
}
#define RUN_WITH(more, ...)                                                                        \
    struct run run;                                                                                \
    run_open(&run, more, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define RUN(...) RUN_WITH(NULL, __VA_ARGS__)

/* Everything that was charged has been given back. */
static inline void run_close(struct run *run)
{
    cis_net_free(run->net);
    assert_int_equal(run->budget.used, 0);
    cis_grants_done(&run->grants);
}

static inline struct sockaddr_storage at(const char *text, uint16_t port)
{
    struct sockaddr_storage addr;
    assert_true(cis_host_sockaddr(text, &addr));
    if (addr.ss_family == AF_INET) {
        ((struct sockaddr_in *)&addr)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)&addr)->sin6_port = htons(port);
    }
    return addr;
}
#define ADDR(storage) ((const struct sockaddr *)&(storage))

static inline uint16_t port_of(const struct sockaddr_storage *addr)
{
    return ntohs(addr->ss_family == AF_INET ? ((const struct sockaddr_in *)addr)->sin_port
                                            : ((const struct sockaddr_in6 *)addr)->sin6_port);
}

static inline cis_sock *new_sock(struct run *run, enum cis_net_kind kind, int family)
{
    cis_sock *sock = NULL;
    assert_int_equal(cis_sock_new(run->net, kind, family, &sock), CIS_SOCK_OK);
    return sock;
}

static inline void wait_for(const cis_sock *sock, bool writes)
{
    struct pollfd p = {0};
    if (cis_sock_wish(sock, writes, &p.fd, &p.events)) {
        assert_true(poll(&p, 1, -1) > 0);
    }
}

static inline struct sockaddr_storage bind_to(cis_sock *sock, const char *text)
{
    struct sockaddr_storage addr = at(text, 0);
    assert_int_equal(cis_sock_bind_start(sock, ADDR(addr)), CIS_SOCK_OK);
    assert_int_equal(cis_sock_bind_finish(sock), CIS_SOCK_OK);
    assert_int_equal(cis_sock_local(sock, &addr), CIS_SOCK_OK);
    assert_int_not_equal(port_of(&addr), 0);
    return addr;
}

static inline cis_sock *listen_at(struct run *run, const char *text, struct sockaddr_storage *out)
{
    cis_sock *sock = new_sock(run, CIS_NET_TCP, at(text, 0).ss_family);
    *out = bind_to(sock, text);
    assert_int_equal(cis_sock_listen_start(sock), CIS_SOCK_OK);
    assert_int_equal(cis_sock_listen_finish(sock), CIS_SOCK_OK);
    return sock;
}

static inline enum cis_sock_code finish_connect(cis_sock *sock)
{
    enum cis_sock_code code;
    while ((code = cis_sock_connect_finish(sock)) == CIS_SOCK_AGAIN) {
        wait_for(sock, true);
    }
    return code;
}

static inline cis_sock *accept_one(cis_sock *listener)
{
    cis_sock *sock = NULL;
    enum cis_sock_code code;
    while ((code = cis_sock_accept(listener, &sock)) == CIS_SOCK_AGAIN) {
        wait_for(listener, false);
    }
    assert_int_equal(code, CIS_SOCK_OK);
    return sock;
}

static inline enum cis_sock_code receive(cis_sock *sock, void *to, size_t cap, size_t *n, bool *end)
{
    enum cis_sock_code code;
    while ((code = cis_sock_receive(sock, to, cap, n, end)) == CIS_SOCK_AGAIN) {
        wait_for(sock, false);
    }
    return code;
}

static inline void send_text(cis_sock *sock, const char *text)
{
    size_t n;
    assert_int_equal(cis_sock_send(sock, cis_bytes_of(text, strlen(text)), &n, NULL), CIS_SOCK_OK);
    assert_int_equal(n, strlen(text));
}

static inline void expect_text(cis_sock *sock, const char *text)
{
    char got[256];
    size_t have = 0, n;
    bool end = false;
    while (have < strlen(text)) {
        assert_int_equal(receive(sock, got + have, sizeof got - have, &n, &end), CIS_SOCK_OK);
        assert_false(end);
        have += n;
    }
    assert_int_equal(have, strlen(text));
    assert_memory_equal(got, text, have);
}

static inline void expect_end(cis_sock *sock)
{
    char got[16];
    size_t n;
    bool end = false;
    assert_int_equal(receive(sock, got, sizeof got, &n, &end), CIS_SOCK_OK);
    assert_int_equal(n, 0);
    assert_true(end);
}

#endif
