/* Messages over HTTP that are long: reading one as JSON takes a while, in which the thread that
 * serves all connections would serve none. One thread reads them, in the order in which they came.
 */
#include "mcp/http_long.h"

#include "base/mem.h"

#define BYTES_MAX ((size_t)64 << 20) /* of all that wait to be read */

/* A request that outlives the call that brought it: all its texts are in one piece. */
struct mcp_long {
    struct mcp_long *next;
    cis_httpd_exchange *exchange; /* owned */
    struct cis_httpd_request request;
    struct cis_buf text;
};

static void long_free(struct mcp_long *one)
{
    if (one != NULL) {
        cis_httpd_unref(one->exchange);
        cis_buf_done(&one->text);
        cis_free(one);
    }
}

/* The texts are put behind each other first: the piece may move until all are there. */
static void keep(struct mcp_long *one, const struct cis_httpd_request *r)
{
    size_t at = 0;
    one->request = *r;
    cis_buf_str(&one->text, r->body);
    for (size_t i = 0; i < r->nfields; i++) {
        cis_buf_str(&one->text, r->fields[i].key);
        cis_buf_str(&one->text, r->fields[i].value);
    }
    if (one->text.failed != CIS_OK) {
        return;
    }
    const char *text = (const char *)one->text.ptr;
    one->request.method = one->request.target = one->request.host = one->request.local =
        (struct cis_str){"", 0}; /* who may call was decided by them */
    one->request.body.ptr = text;
    at += r->body.len;
    for (size_t i = 0; i < r->nfields; i++) {
        one->request.fields[i].key.ptr = text + at;
        at += r->fields[i].key.len;
        one->request.fields[i].value.ptr = text + at;
        at += r->fields[i].value.len;
    }
}

bool cis_mcp_long_add(struct mcp_longs *l, cis_httpd_exchange *x, const struct cis_httpd_request *r)
    CIS_TAKES(mcp_long_lock)
{
    struct mcp_long *one = cis_zalloc(sizeof *one);
    if (one == NULL) {
        return false;
    }
    one->text = CIS_BUF_INIT(cis_size_add(r->body.len, 2 * CIS_HTTPD_HEAD_MAX));
    one->exchange = cis_httpd_ref(x);
    cis_mutex_lock(&l->lock, mcp_long_lock);
    bool room = !l->stops && l->bytes + r->body.len <= BYTES_MAX;
    l->bytes += room ? r->body.len : 0;
    cis_mutex_unlock(&l->lock, mcp_long_lock);
    if (!room) {
        long_free(one);
        return false;
    }
    keep(one, r);
    bool kept = one->text.failed == CIS_OK;
    cis_mutex_lock(&l->lock, mcp_long_lock);
    if (kept) {
        *(l->last != NULL ? &l->last->next : &l->first) = one;
        l->last = one;
        pthread_cond_signal(&l->changed);
    } else {
        l->bytes -= r->body.len;
    }
    cis_mutex_unlock(&l->lock, mcp_long_lock);
    if (!kept) {
        long_free(one);
    }
    return kept;
}

static void *reader(void *self) CIS_TAKES(mcp_long_lock)
{
    struct mcp_longs *l = self;
    cis_mutex_lock(&l->lock, mcp_long_lock);
    for (;;) {
        struct mcp_long *one = l->first;
        if (one == NULL && l->stops) {
            break;
        }
        if (one == NULL) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        l->first = one->next;
        l->last = l->first != NULL ? l->last : NULL;
        cis_mutex_unlock(&l->lock, mcp_long_lock);
        size_t len = one->request.body.len;
        l->request(l->self, one->exchange, &one->request);
        long_free(one);
        cis_mutex_lock(&l->lock, mcp_long_lock);
        l->bytes -= len;
    }
    cis_mutex_unlock(&l->lock, mcp_long_lock);
    return NULL;
}

cis_code cis_mcp_long_begin(struct mcp_longs *l, mcp_long_request *request, void *self,
                            struct cis_error *err)
{
    cis_lock_alone(mcp_long_lock);
    *l = (struct mcp_longs){.request = request, .self = self};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    int sys = pthread_create(&l->thread, NULL, reader, l);
    l->runs = sys == 0;
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_INTERNAL, sys, "server: a thread");
}

void cis_mcp_long_end(struct mcp_longs *l) CIS_TAKES(mcp_long_lock)
{
    cis_mutex_lock(&l->lock, mcp_long_lock);
    l->stops = true;
    pthread_cond_signal(&l->changed);
    cis_mutex_unlock(&l->lock, mcp_long_lock);
    if (l->runs) {
        pthread_join(l->thread, NULL);
    }
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
}
