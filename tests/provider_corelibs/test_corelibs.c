/* scheduler:core-libs/wasi-{network,tcp,udp}@0.1.0 from a guest in C on real sockets of the
 * loopback: echo both ways over TCP and UDP, v4 and v6, every error by its number, refusals, and
 * ends while a call waits. Ports are the kernel's choice. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include "base/buf.h"
#include "base/file.h"
#include "cis/cis.h"
#include "harness.h"
#include "waits.h"
#include "recording_file.h"

enum { V4, V6 };
enum op {
    CLIENT = 1,
    SERVER,
    SERVE,
    REFUSED,
    IN_USE,
    WRONG,
    RESET,
    DATAGRAMS,
    UDP_SERVER,
    UDP_SERVE,
    DENIED,
    LOTS,
    MANY
};

/* ---- the component around the guest's module ---- */

static const char HEAD[] =
    "(component"
    " (import \"scheduler:core-libs/wasi-network@0.1.0\" (instance $n"
    "  (type $ip_ (variant (case \"ipv4\" (tuple u8 u8 u8 u8))"
    "   (case \"ipv6\" (tuple u16 u16 u16 u16 u16 u16 u16 u16))))"
    "  (export \"ip-address\" (type $ip (eq $ip_)))"
    "  (type $f_ (enum \"ipv4\" \"ipv6\")) (export \"ip-address-family\" (type $f (eq $f_)))"
    "  (export \"network\" (type $net (sub resource)))"
    "  (type $e_ (enum \"access-denied\" \"address-in-use\" \"address-not-available\""
    "   \"already-connected\" \"connection-refused\" \"connection-reset\" \"connection-aborted\""
    "   \"host-unreachable\" \"network-unreachable\" \"timeout\" \"would-block\""
    "   \"invalid-argument\" \"not-supported\" \"out-of-memory\" \"unknown\"))"
    "  (export \"error-code\" (type $e (eq $e_)))"
    "  (export \"get-network\" (func (result (own $net))))))"
    " (alias export $n \"network\" (type $net)) (alias export $n \"ip-address\" (type $ip))"
    " (alias export $n \"ip-address-family\" (type $f)) (alias export $n \"error-code\" (type $e))"
    " (import \"scheduler:core-libs/wasi-tcp@0.1.0\" (instance $t"
    "  (alias outer 1 $net (type $net_)) (export \"network\" (type $net2 (eq $net_)))"
    "  (alias outer 1 $ip (type $ip_)) (export \"ip-address\" (type $ip2 (eq $ip_)))"
    "  (alias outer 1 $f (type $f_)) (export \"ip-address-family\" (type $f2 (eq $f_)))"
    "  (alias outer 1 $e (type $e_)) (export \"error-code\" (type $e2 (eq $e_)))"
    "  (export \"tcp-socket\" (type $s (sub resource)))"
    "  (type $how_ (enum \"receive\" \"send\" \"both\"))"
    "  (export \"shutdown-type\" (type $how (eq $how_)))"
    "  (export \"[static]tcp-socket.new\" (func (param \"address-family\" $f2)"
    "   (result (result (own $s) (error $e2)))))"
    "  (export \"[method]tcp-socket.connect\" (func (param \"self\" (borrow $s))"
    "   (param \"net\" (borrow $net2)) (param \"remote-address\" $ip2) (param \"remote-port\" u16)"
    "   (result (result (error $e2)))))"
    "  (export \"[method]tcp-socket.bind\" (func (param \"self\" (borrow $s))"
    "   (param \"net\" (borrow $net2)) (param \"local-address\" $ip2) (param \"local-port\" u16)"
    "   (result (result (error $e2)))))"
    "  (export \"[method]tcp-socket.listen\" (func (param \"self\" (borrow $s))"
    "   (param \"backlog\" u32) (result (result (error $e2)))))"
    "  (export \"[method]tcp-socket.accept\" (func (param \"self\" (borrow $s))"
    "   (result (result (tuple (own $s) $ip2 u16) (error $e2)))))"
    "  (export \"[method]tcp-socket.send\" (func (param \"self\" (borrow $s))"
    "   (param \"data\" (list u8)) (result (result u64 (error $e2)))))"
    "  (export \"[method]tcp-socket.receive\" (func (param \"self\" (borrow $s))"
    "   (param \"max-length\" u64) (result (result (list u8) (error $e2)))))"
    "  (export \"[method]tcp-socket.local-address\" (func (param \"self\" (borrow $s))"
    "   (result (result (tuple $ip2 u16) (error $e2)))))"
    "  (export \"[method]tcp-socket.remote-address\" (func (param \"self\" (borrow $s))"
    "   (result (result (tuple $ip2 u16) (error $e2)))))"
    "  (export \"[method]tcp-socket.set-reuse-address\" (func (param \"self\" (borrow $s))"
    "   (param \"value\" bool) (result (result (error $e2)))))"
    "  (export \"[method]tcp-socket.shutdown\" (func (param \"self\" (borrow $s))"
    "   (param \"how\" $how) (result (result (error $e2)))))))"
    " (import \"scheduler:core-libs/wasi-udp@0.1.0\" (instance $u"
    "  (alias outer 1 $net (type $net_)) (export \"network\" (type $net2 (eq $net_)))"
    "  (alias outer 1 $ip (type $ip_)) (export \"ip-address\" (type $ip2 (eq $ip_)))"
    "  (alias outer 1 $f (type $f_)) (export \"ip-address-family\" (type $f2 (eq $f_)))"
    "  (alias outer 1 $e (type $e_)) (export \"error-code\" (type $e2 (eq $e_)))"
    "  (export \"udp-socket\" (type $s (sub resource)))"
    "  (export \"[static]udp-socket.new\" (func (param \"address-family\" $f2)"
    "   (result (result (own $s) (error $e2)))))"
    "  (export \"[method]udp-socket.bind\" (func (param \"self\" (borrow $s))"
    "   (param \"net\" (borrow $net2)) (param \"local-address\" $ip2) (param \"local-port\" u16)"
    "   (result (result (error $e2)))))"
    "  (export \"[method]udp-socket.send-to\" (func (param \"self\" (borrow $s))"
    "   (param \"data\" (list u8)) (param \"net\" (borrow $net2)) (param \"remote-address\" $ip2)"
    "   (param \"remote-port\" u16) (result (result u64 (error $e2)))))"
    "  (export \"[method]udp-socket.receive-from\" (func (param \"self\" (borrow $s))"
    "   (param \"max-length\" u64) (result (result (tuple (list u8) $ip2 u16) (error $e2)))))"
    "  (export \"[method]udp-socket.local-address\" (func (param \"self\" (borrow $s))"
    "   (result (result (tuple $ip2 u16) (error $e2)))))"
    "  (export \"[method]udp-socket.set-reuse-address\" (func (param \"self\" (borrow $s))"
    "   (param \"value\" bool) (result (result (error $e2)))))))"
    " (core module $libc (memory (export \"memory\") 32) (global $at (mut i32) (i32.const 1048576))"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local $p i32)"
    "   (local.set $p (i32.and (i32.add (global.get $at) (i32.const 7)) (i32.const -8)))"
    "   (if (i32.gt_u (i32.add (local.get $p) (local.get 3)) (i32.const 2097152))"
    "    (then (local.set $p (i32.const 1048576))))"
    "   (global.set $at (i32.add (local.get $p) (local.get 3)))"
    "   (local.get $p)))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $mem))"
    " (alias core export $libc \"realloc\" (core func $realloc))"
    " (alias export $t \"tcp-socket\" (type $tcp)) (alias export $u \"udp-socket\" (type $udp))"
    "";

struct lowered {
    const char *instance, *name; /* a function of $n, $t or $u */
};
static const struct lowered FUNCTIONS[] = {
    {"n", "get-network"},
    {"t", "[static]tcp-socket.new"},
    {"t", "[method]tcp-socket.connect"},
    {"t", "[method]tcp-socket.bind"},
    {"t", "[method]tcp-socket.listen"},
    {"t", "[method]tcp-socket.accept"},
    {"t", "[method]tcp-socket.send"},
    {"t", "[method]tcp-socket.receive"},
    {"t", "[method]tcp-socket.local-address"},
    {"t", "[method]tcp-socket.remote-address"},
    {"t", "[method]tcp-socket.set-reuse-address"},
    {"t", "[method]tcp-socket.shutdown"},
    {"u", "[static]udp-socket.new"},
    {"u", "[method]udp-socket.bind"},
    {"u", "[method]udp-socket.send-to"},
    {"u", "[method]udp-socket.receive-from"},
    {"u", "[method]udp-socket.local-address"},
    {"u", "[method]udp-socket.set-reuse-address"},
};
#define NFUNCTIONS (sizeof FUNCTIONS / sizeof *FUNCTIONS)

static void lower_all(struct cis_buf *out)
{
    static const struct {
        const char *instance, *interface, *type, *resource;
    } groups[] = {{"n", "network", "net", "network"},
                  {"t", "tcp", "tcp", "tcp-socket"},
                  {"u", "udp", "udp", "udp-socket"}};
    for (size_t i = 0; i < NFUNCTIONS; i++) {
        const struct lowered *f = &FUNCTIONS[i];
        cis_buf_printf(out,
                       " (alias export $%s \"%s\" (func $f%zu)) (core func $c%zu (canon lower "
                       "(func $f%zu) (memory $mem) (realloc $realloc)))",
                       f->instance, f->name, i, i, i);
    }
    for (size_t g = 0; g < 3; g++) {
        cis_buf_printf(out, " (core func $d%zu (canon resource.drop $%s))", g, groups[g].type);
    }
    cis_buf_text(out, " (core instance $main (instantiate $main (with \"env\" (instance $libc))");
    for (size_t g = 0; g < 3; g++) {
        cis_buf_printf(out, " (with \"scheduler:core-libs/wasi-%s@0.1.0\" (instance",
                       groups[g].interface);
        for (size_t i = 0; i < NFUNCTIONS; i++) {
            if (strcmp(FUNCTIONS[i].instance, groups[g].instance) == 0) {
                cis_buf_printf(out, " (export \"%s\" (func $c%zu))", FUNCTIONS[i].name, i);
            }
        }
        cis_buf_printf(out, " (export \"[resource-drop]%s\" (func $d%zu))))", groups[g].resource,
                       g);
    }
    cis_buf_text(out, "))");
}

static struct cis_buf component = CIS_BUF_INIT(4u << 20);

static void make_component(void)
{
    struct cis_buf core = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(CIS_GUESTS_DIR "/corelibs.wat", &core, err));
    assert_true(cis_str_starts(cis_buf_view(&core), CIS_STR("(module")));
    cis_buf_text(&component, HEAD);
    cis_buf_text(&component, "(core module $main");
    cis_buf_text(&component, cis_buf_cstr(&core) + strlen("(module"));
    lower_all(&component);
    cis_buf_text(&component,
                 " (func (export \"go\") (param \"op\" u32) (param \"family\" u32) (param \"port\" "
                 "u32) (result u32) (canon lift (core func $main \"go\"))))");
    assert_int_equal(component.failed, CIS_OK);
    cis_buf_done(&core);
}

/* ---- runs ---- */

static cis_runtime *runtime;
static cis_module *module;

static int setup(void **state)
{
    struct cis_error err;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    (void)state;
    config.compile_in_process = true;
    make_component();
    if (cis_runtime_new(&config, &runtime, &err) != CIS_OK ||
        cis_module_load(runtime, component.ptr, component.len, "net", &module, &err) != CIS_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_module_unref(module);
    cis_runtime_free(runtime);
    cis_buf_done(&component);
    return 0;
}

static const char *const ALL[] = {"net=tcp:localhost:*",    "net=udp:localhost:*",
                                  "net=listen:localhost:*", "net=bind:0.0.0.0/0",
                                  "net=bind:::/0",          NULL};

struct guest {
    cis_wasi_config *run;
    cis_component *component;
};

static struct guest guest_new(const char *const *grants, uint64_t time_ms, cis_cancel *cancel)
{
    struct guest g = {0};
    assert_ok(cis_wasi_config_new(runtime, &g.run, err));
    for (; *grants != NULL; grants++) {
        cis_wasi_config_allow(g.run, *grants);
    }
    cis_wasi_config_limits(g.run, 0, time_ms, 0);
    cis_wasi_config_cancel(g.run, cancel);
    assert_ok(cis_component_open(g.run, module, &g.component, err));
    return g;
}

static void guest_free(struct guest *g)
{
    cis_component_close(g->component);
    cis_wasi_config_free(g->run);
}

static cis_code call(struct guest *g, enum op op, int family, uint16_t port, uint32_t *out,
                     struct cis_error *err)
{
    char text[64], *answer = NULL;
    snprintf(text, sizeof text, "go(%d, %d, %u)", op, family, port);
    cis_code code = cis_component_eval(g->component, text, &answer, err);
    if (code == CIS_OK) {
        *out = (uint32_t)strtoul(answer, NULL, 10);
        cis_output_free(answer);
    }
    return code;
}

static uint32_t number(struct guest *g, enum op op, int family, uint16_t port)
{
    uint32_t n = 0;
    assert_ok(call(g, op, family, port, &n, err));
    return n;
}

static void passes(struct guest *g, enum op op, int family, uint16_t port)
{
    uint32_t n = number(g, op, family, port);
    if (n != 0) {
        fail_msg("operation %d, family %d: line %u of the guest, error %u", op, family, n >> 8,
                 n & 0xff);
    }
}

/* ---- the other side ---- */

static socklen_t loopback(int family, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (family == V4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof *in;
    }
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    in->sin6_addr = in6addr_loopback;
    return sizeof *in;
}

/* A socket bound to a port of the loopback; -1: this machine has no such family. */
static int bound(int family, int type, uint16_t *out_port)
{
    struct sockaddr_storage addr;
    socklen_t len = loopback(family, 0, &addr);
    int fd = socket(family == V4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    len = sizeof addr;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *out_port = ntohs(family == V4 ? ((struct sockaddr_in *)&addr)->sin_port
                                   : ((struct sockaddr_in6 *)&addr)->sin6_port);
    return fd;
}

struct peer {
    pthread_t thread;
    int fd; /* listening, or of UDP */
    uint16_t port;
    int family;
    enum { ECHO, AFTER, THROW, ECHO_UDP, CALL, CALL_UDP } how;
    bool ok;
};

static void *peer_main(void *arg)
{
    struct peer *p = arg;
    static uint8_t data[200000];
    size_t n = 0;
    ssize_t got;
    if (p->how == ECHO_UDP) {
        for (int i = 0; i < 2; i++) {
            struct sockaddr_storage from;
            socklen_t len = sizeof from;
            got = recvfrom(p->fd, data, sizeof data, 0, (struct sockaddr *)&from, &len);
            p->ok = got >= 0 &&
                    sendto(p->fd, data, (size_t)got, 0, (struct sockaddr *)&from, len) == got;
        }
        return NULL;
    }
    int fd = accept(p->fd, NULL, NULL);
    if (p->how == THROW) {
        struct linger linger = {1, 0};
        p->ok = recv(fd, data, 1, 0) == 1 &&
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0;
        close(fd);
        return NULL;
    }
    while ((got = recv(fd, data + n, sizeof data - n, 0)) > 0) {
        if (p->how == ECHO && send(fd, data + n, (size_t)got, MSG_NOSIGNAL) != got) {
            break;
        }
        n += (size_t)got;
    }
    p->ok = got == 0;
    for (size_t at = 0; p->how == AFTER && at < n; at += (size_t)got) {
        got = send(fd, data + at, n - at, MSG_NOSIGNAL);
        if (got <= 0) {
            p->ok = false;
            break;
        }
    }
    close(fd);
    return NULL;
}

/* The guest is the server here. */
static void *caller_main(void *arg)
{
    struct peer *p = arg;
    struct sockaddr_storage addr;
    socklen_t len = loopback(p->family, p->port, &addr);
    char data[16] = {0};
    int fd = socket(p->family == V4 ? AF_INET : AF_INET6,
                    (p->how == CALL ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    p->ok = connect(fd, (struct sockaddr *)&addr, len) == 0 && send(fd, "echo me", 7, 0) == 7 &&
            recv(fd, data, 7, p->how == CALL ? MSG_WAITALL : 0) == 7 &&
            memcmp(data, "echo me", 7) == 0;
    if (p->how == CALL) {
        shutdown(fd, SHUT_WR);
        p->ok = p->ok && recv(fd, data, 1, 0) == 0;
    }
    close(fd);
    return NULL;
}

/* False: no such family here. */
static bool peer_start(struct peer *p, int family, int how)
{
    int type = how == ECHO_UDP ? SOCK_DGRAM : SOCK_STREAM;
    *p = (struct peer){.family = family, .how = (int)how};
    p->fd = bound(family, type, &p->port);
    if (p->fd < 0) {
        return false;
    }
    assert_true(type == SOCK_DGRAM || listen(p->fd, 5) == 0);
    assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
    return true;
}

static void peer_end(struct peer *p)
{
    pthread_join(p->thread, NULL);
    if (p->fd >= 0) {
        close(p->fd);
    }
    assert_true(p->ok);
}

static bool have(int family)
{
    uint16_t port;
    int fd = bound(family, SOCK_STREAM, &port);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* ---- tests ---- */

static void with_peer(enum op op, int how)
{
    for (int family = V4; family <= V6; family++) {
        struct peer p;
        if (!peer_start(&p, family, how)) {
            assert_int_equal(family, V6);
            continue;
        }
        struct guest g = guest_new(ALL, 0, NULL);
        passes(&g, op, family, p.port);
        guest_free(&g);
        peer_end(&p);
    }
}

static void client_is_echoed_and_each_side_ends_by_itself(void **state)
{
    (void)state;
    with_peer(CLIENT, ECHO);
}

static void more_than_the_kernel_holds_arrives_in_order(void **state)
{
    (void)state;
    with_peer(LOTS, AFTER);
}

static void connection_that_is_thrown_away_is_reset(void **state)
{
    (void)state;
    with_peer(RESET, THROW);
}

static void datagrams_come_back_and_the_first_binds(void **state)
{
    (void)state;
    with_peer(DATAGRAMS, ECHO_UDP);
}

static void guest_is_a_server(void **state)
{
    (void)state;
    for (int family = V4; family <= V6; family++) {
        for (int udp = 0; udp < 2 && have(family); udp++) {
            struct guest g = guest_new(ALL, 0, NULL);
            uint32_t port = number(&g, udp ? UDP_SERVER : SERVER, family, 0);
            if (port == 0 || port > 65535) {
                fail_msg("line %u of the guest, error %u", port >> 8, port & 0xff);
            }
            struct peer p = {.fd = -1, .family = family, .port = (uint16_t)port};
            p.how = udp ? CALL_UDP : CALL;
            assert_int_equal(pthread_create(&p.thread, NULL, caller_main, &p), 0);
            passes(&g, udp ? UDP_SERVE : SERVE, family, 0);
            peer_end(&p);
            guest_free(&g);
        }
    }
}

static void errors_have_their_numbers(void **state)
{
    (void)state;
    for (int family = V4; family <= V6; family++) {
        uint16_t port = 0;
        int fd = bound(family, SOCK_STREAM, &port); /* nobody listens there, and nobody else can */
        if (fd < 0) {
            assert_int_equal(family, V6);
            continue;
        }
        struct guest g = guest_new(ALL, 0, NULL);
        passes(&g, REFUSED, family, port);
        assert_int_equal(listen(fd, 1), 0);
        passes(&g, IN_USE, family, port);
        passes(&g, WRONG, family, port);
        guest_free(&g);
        close(fd);
    }
}

static void nothing_is_reached_without_a_grant(void **state)
{
    static const char *const none[] = {NULL};
    (void)state;
    for (int family = V4; family <= V6; family++) {
        struct guest g = guest_new(none, 0, NULL);
        passes(&g, DENIED, family, 9);
        guest_free(&g);
    }
}

static void dropped_sockets_are_closed(void **state)
{
    (void)state;
    struct guest g = guest_new(ALL, 0, NULL);
    passes(&g, MANY, V4, 0);
    guest_free(&g);
}

static void deadline_ends_a_call_that_waits(void **state)
{
    uint32_t n;
    (void)state;
    struct guest g;
    assert_waits(500 * CIS_NS_PER_MS, {
        g = guest_new(ALL, 500, NULL);
        assert_true(number(&g, SERVER, V4, 0) > 0);
        assert_fails(CIS_E_DEADLINE, "", call(&g, SERVE, V4, 0, &n, err));
    });
    guest_free(&g);
}

static void *fire(void *cancel)
{
    usleep(20000); /* before or while it waits: the end is the same */
    cis_cancel_fire(cancel);
    return NULL;
}

static void cancellation_ends_a_call_that_waits(void **state)
{
    cis_cancel *cancel = NULL;
    pthread_t thread;
    uint32_t n;
    (void)state;
    assert_ok(cis_cancel_new(&cancel, err));
    struct guest g = guest_new(ALL, 0, cancel);
    assert_true(number(&g, UDP_SERVER, V4, 0) > 0);
    assert_int_equal(pthread_create(&thread, NULL, fire, cancel), 0);
    assert_fails(CIS_E_CANCELLED, "", call(&g, UDP_SERVE, V4, 0, &n, err));
    pthread_join(thread, NULL);
    guest_free(&g);
    cis_cancel_unref(cancel);
}

/* Other bytes in the recorded argument of send: the second place where they are on the recording,
 * after the module and before the answer of receive. */
static void change_what_was_sent(const char *path)
{
    static const char sent[] = "hello, world";
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(4u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(4u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4u << 20);
    assert_ok(cis_file_read(path, &file, err));
    recording_unframe(&file, &bytes);
    char *at = memmem(bytes.ptr, bytes.len, sent, sizeof sent - 1);
    assert_non_null(at);
    at = memmem(at + 1, bytes.len - (size_t)(at + 1 - (char *)bytes.ptr), sent, sizeof sent - 1);
    assert_non_null(at);
    at[7] = 'W';
    recording_put_frames(file.ptr, bytes.ptr, bytes.len, &out);
    assert_ok(cis_file_write(path, cis_buf_bytes(&out), 0600, err));
}

/* Slices of memory and values alike: the guest has the same calls answered, and nobody is there. */
static void sockets_are_played_without_a_network(void **state)
{
    static const struct {
        enum op op;
        int how;
    } scenes[] = {{CLIENT, ECHO}, {LOTS, AFTER}, {RESET, THROW}, {DATAGRAMS, ECHO_UDP}};
    char *dir = test_dir_new(), path[300];
    (void)state;
    snprintf(path, sizeof path, "%s/run.recording", dir);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        struct peer p;
        char text[64];
        cis_wasi_config *run = NULL, *again = NULL;
        cis_result *first = NULL, *played = NULL;
        assert_true(peer_start(&p, V4, scenes[i].how));
        snprintf(text, sizeof text, "go(%d, %d, %u)", scenes[i].op, V4, p.port);
        assert_ok(cis_wasi_config_new(runtime, &run, err));
        for (const char *const *grant = ALL; *grant != NULL; grant++) {
            cis_wasi_config_allow(run, *grant);
        }
        cis_wasi_config_invoke(run, text);
        cis_wasi_config_record(run, path);
        assert_ok(cis_wasi_run(run, module, &first, err));
        peer_end(&p);
        assert_string_equal(cis_result_output(first, NULL), "0\n");
        assert_ok(cis_wasi_config_new(runtime, &again, err));
        assert_ok(cis_wasi_replay(again, path, &played, err));
        assert_int_equal(cis_result_code(played), CIS_OK);
        assert_string_equal(cis_result_stream(played, 1, NULL, NULL), "0\n");
        cis_result_free(played);
        if (scenes[i].op == CLIENT) {
            change_what_was_sent(path);
            assert_fails(CIS_E_DIVERGED,
                         "(scheduler:core-libs/wasi-tcp.[method]tcp-socket.send): argument 2 (12 "
                         "bytes here) is not the recorded one",
                         cis_wasi_replay(again, path, &played, err));
        }
        cis_result_free(first);
        cis_wasi_config_free(run);
        cis_wasi_config_free(again);
    }
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

static void without_the_provider_it_is_named(void **state)
{
    cis_wasi_config *run = NULL;
    cis_component *c = NULL;
    (void)state;
    assert_ok(cis_wasi_config_new(runtime, &run, err));
    cis_wasi_config_without(run, "scheduler:core-libs");
    assert_fails(CIS_E_IMPORT, "scheduler:core-libs/wasi-network@0.1.0",
                 cis_component_open(run, module, &c, err));
    assert_fails(CIS_E_IMPORT, "a matching implementation was not found in the linker",
                 cis_component_open(run, module, &c, err));
    cis_wasi_config_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_is_echoed_and_each_side_ends_by_itself),
        cmocka_unit_test(more_than_the_kernel_holds_arrives_in_order),
        cmocka_unit_test(connection_that_is_thrown_away_is_reset),
        cmocka_unit_test(datagrams_come_back_and_the_first_binds),
        cmocka_unit_test(guest_is_a_server),
        cmocka_unit_test(errors_have_their_numbers),
        cmocka_unit_test(nothing_is_reached_without_a_grant),
        cmocka_unit_test(dropped_sockets_are_closed),
        cmocka_unit_test(deadline_ends_a_call_that_waits),
        cmocka_unit_test(cancellation_ends_a_call_that_waits),
        cmocka_unit_test(sockets_are_played_without_a_network),
        cmocka_unit_test(without_the_provider_it_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
