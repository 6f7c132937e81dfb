/* Exchanges that are over while the guest still has handles of them. Engines that collect garbage
 * hold a response long after it was read, or never read it, or never let go of it: what is over
 * does not count among the requests that are under way, and its connection and buffers are gone.
 * What was not read yet is kept, so it ends the same way for the guest. */
#include "wasi/p2/http.h"

#include <string.h>
#include "base/mem.h"

#define REST_MAX ((size_t)64 * 1024) /* of a response that nobody reads */

static cis_code none(void *self, const char *name, const char *value)
{
    (void)self, (void)name, (void)value;
    return CIS_E_LIMIT;
}

/* Trailers are read from the service: an exchange with some stays until its handles go. */
static bool over(const struct p2_exchange *x)
{
    bool sent = x->body == NULL || x->body->finished || x->body->cut;
    if (!x->sent || !x->answered || x->handle == NULL || !sent) {
        return false;
    }
    bool still = x->state.fd < 0 && x->state.at_ns == UINT64_MAX;
    return x->fault == CIS_HTTP_FINE && x->state.ended && still &&
           x->http->fields(x->http->self, x->handle, true, none, NULL) == CIS_OK;
}

void cis_p2_exchange_place(struct p2_exchange *x)
{
    struct cis_wasi_p2 *p2 = x->host->wasi_p2;
    x->sent = true;
    x->next = p2->sent;
    p2->sent = x;
}

void cis_p2_exchange_leave(struct p2_exchange *x)
{
    if (x->handle != NULL) {
        x->http->close(x->http->self, x->handle);
        x->handle = NULL;
    }
    if (!x->sent) {
        return;
    }
    struct p2_exchange **at = &x->host->wasi_p2->sent;
    while (*at != x) {
        at = &(*at)->next;
    }
    *at = x->next;
    x->sent = false;
    x->host->wasi_p2->nexchanges--;
    x->left = true;
    uint64_t keeps = sizeof *x + x->rest_cap;
    cis_budget_release(&x->host->budget, x->charged - keeps);
    x->charged = keeps;
}

void cis_p2_exchange_rest_done(struct p2_exchange *x)
{
    cis_free(x->rest);
    cis_budget_release(&x->host->budget, x->rest_cap);
    x->charged -= x->rest_cap;
    x->rest = NULL;
    x->rest_cap = x->nrest = x->rest_at = 0;
}

void cis_p2_exchange_keep(struct p2_exchange *x)
{
    if (over(x)) {
        cis_p2_exchange_leave(x);
        x->state = (struct cis_http_state){.size = sizeof x->state,
                                           .status = x->state.status,
                                           .readable = true,
                                           .ended = true,
                                           .flushed = true,
                                           .closed = true,
                                           .fd = -1,
                                           .at_ns = UINT64_MAX};
    }
}

size_t cis_p2_exchange_rest(struct p2_exchange *x, uint8_t *to, size_t cap)
{
    size_t left = x->nrest - x->rest_at, n = cap < left ? cap : left;
    if (n != 0) {
        memcpy(to, x->rest + x->rest_at, n);
        x->rest_at += n;
    }
    if (n == left) {
        cis_p2_exchange_rest_done(x);
    }
    return n;
}

static void shrink(struct p2_exchange *x)
{
    uint8_t *less = cis_realloc(x->rest, x->nrest);
    if (less != NULL) {
        cis_budget_release(&x->host->budget, x->rest_cap - x->nrest);
        x->charged -= x->rest_cap - x->nrest;
        x->rest = less;
        x->rest_cap = x->nrest;
    }
}

/* What has come of its body is taken from the service, which then may have nothing left to do. */
static void take_rest(cis_engine_instance *instance, struct p2_exchange *x)
{
    struct cis_host *host = x->host;
    if (x->rest == NULL) {
        if (cis_budget_charge(&host->budget, REST_MAX, "HTTP", NULL) != CIS_OK) {
            return;
        }
        x->rest = cis_alloc(REST_MAX);
        if (x->rest == NULL) {
            cis_budget_release(&host->budget, REST_MAX);
            return;
        }
        x->rest_cap = REST_MAX;
        x->charged += REST_MAX;
    }
    size_t n = 1;
    while (n != 0 && x->handle != NULL && x->nrest < x->rest_cap) {
        n = cis_p2_exchange_take(x, x->rest + x->nrest, x->rest_cap - x->nrest);
        x->nrest += n;
        cis_p2_exchange_look(instance, x, true);
    }
    if (n == 0 && x->fault != CIS_HTTP_FINE) {
        cis_p2_exchange_leave(x); /* it failed, and this is all that came before */
    }
    if (x->nrest == 0) {
        cis_p2_exchange_rest_done(x);
    } else if (x->handle == NULL) {
        shrink(x);
    }
}

bool cis_p2_exchanges_make_room(cis_engine_instance *instance)
{
    struct cis_wasi_p2 *p2 = cis_host_of(instance)->wasi_p2;
    uint32_t before = p2->nexchanges;
    for (struct p2_exchange *x = p2->sent, *next; x != NULL; x = next) {
        next = x->next;
        cis_p2_exchange_look(instance, x, false);
        if (x->handle != NULL && x->answered && (x->state.readable || x->fault != CIS_HTTP_FINE)) {
            take_rest(instance, x);
        }
    }
    return p2->nexchanges < before;
}
