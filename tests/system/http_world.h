/* What tests of programs that speak HTTP begin with: a home, a server on loopback, and the guest
 * tests/guests/http.c as a component. */
#ifndef CIS_TEST_SYSTEM_HTTP_WORLD_H
#define CIS_TEST_SYSTEM_HTTP_WORLD_H

#include "service_http/server.h"
#include "system.h"

struct world {
    struct sys sys; /* first: what the helpers take */
    httpd *server;
    char guest[600], authority[64], grant[96];
};

/* raw: what the server answers at /raw/N. */
static int world_new(void **state, const struct httpd_raw *raw, size_t nraw)
{
    struct world *w = calloc(1, sizeof *w);
    w->sys.home = test_dir_new();
    w->server = httpd_start(&(struct httpd_options){.raw = raw, .nraw = nraw});
    snprintf(w->guest, sizeof w->guest, "%s/http.component.wasm", w->sys.home);
    snprintf(w->authority, sizeof w->authority, "127.0.0.1:%u", httpd_port(w->server));
    snprintf(w->grant, sizeof w->grant, "http://%s", w->authority);
    *state = w;
    return w->server == NULL ||
           cis(&w->sys, "component", "new", CIS_GUESTS_DIR "/http.wasm", "-o", w->guest);
}

static void world_stop(struct world *w)
{
    httpd_stop(w->server);
    w->server = NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    world_stop(w);
    int failed = sys_end(&w->sys);
    free(w);
    return failed;
}

#endif
