/* A program's environment, streams, clock, random bytes and listening sockets. */
#include "cli/runs/program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/le.h"
#include "base/mem.h"
#include "service/ai/ai.h"

#define STDOUT_KEPT (16u << 20)
#define STDERR_KEPT (1u << 20)

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* ---- environment ---- */

static cis_code add_env(struct cis_program_env *w, const char *text, size_t *n,
                        struct cis_error *err)
{
    const char *value = strchr(text, '=') != NULL ? text : getenv(text);
    if (text[0] == 0 || text[0] == '=') {
        return cis_fail(err, CIS_E_USAGE, "--env %.80s: not NAME=VALUE or NAME", text);
    }
    if (value == NULL) {
        return CIS_OK; /* a variable that is not set is not set in there either */
    }
    if (value != text) {
        size_t len = cis_size_add(strlen(text), cis_size_add(strlen(value), 2));
        char **more = cis_realloc_array(w->texts, cis_size_add(w->ntexts, 1), sizeof *more);
        char *pair = cis_alloc(len);
        w->texts = more != NULL ? more : w->texts;
        if (more == NULL || pair == NULL) {
            cis_free(pair);
            return no_memory(err);
        }
        snprintf(pair, len, "%s=%s", text, value);
        w->texts[w->ntexts++] = pair;
        text = pair;
    }
    w->env[(*n)++] = text;
    return CIS_OK;
}

static cis_code take_env(struct cis_program_env *w, const struct cis_cli *cli,
                         struct cis_error *err)
{
    size_t given = 0, n = 0;
    while (cis_cli_nth(cli, "env", (int)given) != NULL) {
        given++;
    }
    w->env = cis_calloc(cis_size_add(given, 1), sizeof *w->env);
    if (w->env == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < given; i++) {
        CIS_TRY(add_env(w, cis_cli_nth(cli, "env", (int)i), &n, err));
    }
    w->program.env = w->env;
    return CIS_OK;
}

cis_code cis_program_env_check(const struct cis_program_env *w, const char *key_env,
                               struct cis_error *err)
{
    for (size_t i = 0; w->env != NULL && w->env[i] != NULL; i++) {
        CIS_CLEANUP(cis_freep) char *name = cis_strndup(w->env[i], strcspn(w->env[i], "="));
        if (name == NULL) {
            return no_memory(err);
        }
        if (cis_ai_key_is_in(key_env, name)) {
            return cis_fail(err, CIS_E_DENIED,
                            "--env %s: the key of an AI provider stays on the host", name);
        }
    }
    return CIS_OK;
}

/* ---- streams ---- */

static void live(struct cis_host_stream *s, int fd)
{
    *s = (struct cis_host_stream){.kind = CIS_STREAM_FD, .fd = fd, .terminal = isatty(fd) == 1};
}

static void kept(struct cis_host_stream *s, size_t max)
{
    *s = (struct cis_host_stream){.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(max)};
}

static cis_code take_streams(struct cis_program_env *w, const struct cis_cli *cli, bool captured,
                             struct cis_error *err)
{
    struct cis_host_stream *std = w->program.std;
    const char *file = cis_cli_value(cli, "stdin");
    live(&std[0], STDIN_FILENO);
    if (file != NULL) {
        w->input = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (w->input < 0) {
            return cis_fail_sys(err, CIS_E_USAGE, errno, "--stdin %.100s", file);
        }
        live(&std[0], w->input);
    } else if (cli->nargs != 0 &&
               strcmp(cli->args[0], "-") == 0) { /* the module was read from it */
        std[0] = (struct cis_host_stream){.kind = CIS_STREAM_NULL};
    }
    if (captured) {
        kept(&std[1], STDOUT_KEPT);
        kept(&std[2], STDERR_KEPT);
    } else {
        live(&std[1], STDOUT_FILENO);
        live(&std[2], STDERR_FILENO);
    }
    return CIS_OK;
}

/* ---- listening sockets ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* "127.0.0.1:80", "[::1]:80", "localhost:80". Names are not looked up. */
static bool address_of(const char *text, union address *out, socklen_t *out_len)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || colon == text || !cis_str_u64(cis_str_of(colon + 1), &port) ||
        port > 65535) {
        return false;
    }
    char host[64];
    size_t len = (size_t)(colon - text);
    bool brackets = text[0] == '[' && colon[-1] == ']';
    if (len >= sizeof host) {
        return false;
    }
    memset(out, 0, sizeof *out);
    memcpy(host, text + (brackets ? 1 : 0), len - (brackets ? 2 : 0));
    host[len - (brackets ? 2 : 0)] = 0;
    const char *name = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (brackets && inet_pton(AF_INET6, host, &out->in6.sin6_addr) == 1) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons((uint16_t)port);
        *out_len = sizeof out->in6;
        return true;
    }
    out->in.sin_family = AF_INET;
    out->in.sin_port = htons((uint16_t)port);
    *out_len = sizeof out->in;
    return !brackets && inet_pton(AF_INET, name, &out->in.sin_addr) == 1;
}

static cis_code listen_on(const char *text, int *out_fd, struct cis_error *err)
{
    union address at;
    socklen_t len;
    int on = 1;
    if (!address_of(text, &at, &len)) {
        return cis_fail(err, CIS_E_USAGE, "--listen %.80s: not ADDRESS:PORT with a numeric address",
                        text);
    }
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "--listen %.80s", text);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &at.any, len) != 0 || listen(fd, 128) != 0) {
        cis_fail_sys(err, CIS_E_IO, errno, "--listen %.80s", text);
        close(fd);
        return CIS_E_IO;
    }
    *out_fd = fd;
    return CIS_OK;
}

static cis_code take_listeners(struct cis_program_env *w, const struct cis_cli *cli,
                               struct cis_error *err)
{
    const char *text;
    for (int i = 0; (text = cis_cli_nth(cli, "listen", i)) != NULL; i++) {
        if (i == CIS_PROGRAM_LISTENERS_MAX) {
            return cis_fail(err, CIS_E_USAGE, "--listen: more than %d", CIS_PROGRAM_LISTENERS_MAX);
        }
        CIS_TRY(listen_on(text, &w->listeners[i], err));
        w->program.nlisteners++;
    }
    w->program.listeners = w->listeners;
    return CIS_OK;
}

/* ---- clock and random bytes ---- */

static bool digits(const char **text, int n, int *out)
{
    *out = 0;
    for (; n > 0; n--, (*text)++) {
        if (**text < '0' || **text > '9') {
            return false;
        }
        *out = *out * 10 + (**text - '0');
    }
    return true;
}

static bool one(const char **text, const char *of)
{
    return **text != 0 && strchr(of, *(*text)++) != NULL;
}

/* "2026-11-21T17:00:00.5Z", "…+02:00". From 1970 on: the guest's clock has no sign. */
static bool instant_of(const char *p, uint64_t *out_ns)
{
    struct tm tm = {0};
    int year, month, hours = 0, minutes = 0;
    uint64_t ns = 0;
    if (!digits(&p, 4, &year) || !one(&p, "-") || !digits(&p, 2, &month) || !one(&p, "-") ||
        !digits(&p, 2, &tm.tm_mday) || !one(&p, "Tt ") || !digits(&p, 2, &tm.tm_hour) ||
        !one(&p, ":") || !digits(&p, 2, &tm.tm_min) || !one(&p, ":") ||
        !digits(&p, 2, &tm.tm_sec)) {
        return false;
    }
    if (*p == '.') {
        uint64_t unit = 100000000;
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10) {
            ns += (uint64_t)(*p - '0') * unit;
        }
    }
    int sign = *p == '-' ? -1 : 1;
    if (*p == '+' || *p == '-') {
        p++;
        if (!digits(&p, 2, &hours) || !one(&p, ":") || !digits(&p, 2, &minutes)) {
            return false;
        }
    } else if (!one(&p, "Zz")) {
        return false;
    }
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    if (*p != 0 || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60) {
        return false;
    }
    int64_t s = (int64_t)timegm(&tm) - sign * (hours * 3600 + minutes * 60);
    if (s < 0 || (uint64_t)s > UINT64_MAX / CIS_NS_PER_S - 1) {
        return false;
    }
    *out_ns = (uint64_t)s * CIS_NS_PER_S + ns;
    return true;
}

static cis_code take_determinism(struct cis_program_env *w, const struct cis_cli *cli,
                                 struct cis_error *err)
{
    struct cis_run_program *p = &w->program;
    const char *clock = cis_cli_value(cli, "fixed-clock"), *seed = cis_cli_value(cli, "seed");
    uint64_t n;
    if (clock != NULL && !cis_str_u64(cis_str_of(clock), &p->clock_ns) &&
        !instant_of(clock, &p->clock_ns)) {
        return cis_fail(err, CIS_E_USAGE,
                        "--fixed-clock %.60s: neither 2026-01-31T12:00:00Z nor nanoseconds", clock);
    }
    p->fixed_clock = clock != NULL;
    if (seed != NULL && !cis_unhex(cis_str_of(seed), p->seed, sizeof p->seed)) {
        if (!cis_str_u64(cis_str_of(seed), &n)) {
            return cis_fail(err, CIS_E_USAGE, "--seed %.70s: neither a number nor 64 hex digits",
                            seed);
        }
        memset(p->seed, 0, sizeof p->seed);
        cis_put_le64(p->seed, n);
    }
    p->seeded = seed != NULL;
    return CIS_OK;
}

/* ---- what a component may import ---- */

static cis_code take_packages(struct cis_program_env *w, const struct cis_cli *cli,
                              struct cis_error *err)
{
    struct cis_error why;
    const char *features;
    w->program.without = cis_cli_value(cli, "without");
    if (w->program.without != NULL && cis_run_check_package(w->program.without, &why) != CIS_OK) {
        return cis_fail(err, CIS_E_USAGE, "--without %s", why.msg);
    }
    for (int i = 0; (features = cis_cli_nth(cli, "wasi", i)) != NULL; i++) {
        if (cis_run_wasi_features(features, &w->program.wasi, &why) != CIS_OK) {
            return cis_fail(err, CIS_E_USAGE, "--wasi %s", why.msg);
        }
    }
    return CIS_OK;
}

cis_code cis_program_env(struct cis_program_env *w, const struct cis_cli *cli,
                         const char *const *args, bool captured, struct cis_error *err)
{
    w->program.args = args;
    w->program.invoke = cis_cli_value(cli, "invoke");
    w->program.invoke_args = args + 1;
    w->program.trap_unknown_imports = cis_cli_has(cli, "trap-unknown-imports");
    CIS_TRY(take_packages(w, cli, err));
    CIS_TRY(take_env(w, cli, err));
    CIS_TRY(take_determinism(w, cli, err));
    CIS_TRY(take_streams(w, cli, captured, err));
    return take_listeners(w, cli, err);
}

void cis_program_env_done(struct cis_program_env *w)
{
    for (size_t i = 0; i < w->program.nlisteners; i++) {
        close(w->listeners[i]);
    }
    if (w->input >= 0) {
        close(w->input);
    }
    for (size_t i = 0; i < w->ntexts; i++) {
        cis_free(w->texts[i]);
    }
    cis_free(w->texts);
    cis_free(w->env);
}
