#include "model.h"

unsigned fake_exchanges, fake_finishes;
struct spring fake_opened;

static enum cis_code fake_open(void *self, const struct cis_call *call,
                               const struct cis_http_opening *request, void **out_exchange,
                               enum cis_http_fault *out_fault, struct cis_error *err)
{
    (void)self;
    if (call->size != sizeof *call || request->size != sizeof *request) {
        abort();
    }
    if (one_in(40)) {
        *out_fault = CIS_HTTP_REFUSED;
        return cis_fail(err, CIS_E_NET, "refused");
    }
    struct fake_exchange *x = calloc(1, sizeof *x);
    x->has_body = request->has_body;
    x->length = request->body_len;
    x->up = request->has_body ? model_line(request->url) : NULL;
    if (x->up != NULL) {
        x->up->waits = false;
    }
    x->kernel = 1 + chance_size(65535);
    x->down = (struct spring){.seed = chance(TABLE_LEN), .len = chance_size(200000)};
    fake_exchanges++;
    fake_opened = x->down;
    *out_exchange = x;
    *out_fault = CIS_HTTP_FINE;
    return CIS_OK;
}

static void lose(struct fake_exchange *x)
{
    if (x->up != NULL) {
        x->up->lossy = true;
    }
}

static void move(struct fake_exchange *x, bool wanted)
{
    x->queued -= chance((uint32_t)x->queued + 1);
    if (one_in(6)) {
        x->kernel = 1 + chance_size(65535);
    }
    if (x->status == 0 && ((x->finished && x->queued == 0) || !x->has_body || one_in(20)) &&
        (wanted || one_in(2))) {
        x->status = 200;
    }
    if (x->status != 0) {
        size_t left = (size_t)(x->down.len - x->down.at) - x->there;
        x->there += left != 0 ? 1 + chance((uint32_t)left) : 0;
        x->ended = x->there == 0 && x->down.at == x->down.len;
        if (!x->closed && one_in(60)) {
            x->closed = true;
            lose(x);
        }
    }
    if (x->fault == 0 && one_in(300)) {
        x->fault = CIS_HTTP_TERMINATED;
        lose(x);
    }
}

static void fake_poll(void *self, void *exchange, bool wanted, struct cis_http_state *out)
{
    struct fake_exchange *x = exchange;
    (void)self;
    if (out->size != sizeof *out) {
        abort();
    }
    move(x, wanted);
    bool open = !x->closed && !x->finished && x->fault == 0;
    uint64_t left = x->length - x->got;
    x->room = open && x->kernel > x->queued ? x->kernel - x->queued : 0;
    x->room = x->length != UINT64_MAX && left < x->room ? (size_t)left : x->room;
    /* A service of an embedder may say so at one time and otherwise at the next. */
    bool says_closed = (x->closed || x->finished || x->fault != 0) && !one_in(20);
    bool over = x->fault != 0 || (x->ended && x->queued == 0 && (x->finished || !x->has_body));
    *out = (struct cis_http_state){.size = sizeof *out,
                                   .fault = (enum cis_http_fault)x->fault,
                                   .status = x->status,
                                   .readable = x->there != 0 || x->ended,
                                   .ended = x->ended,
                                   .flushed = x->queued == 0 || x->closed,
                                   .closed = says_closed,
                                   .room = x->room,
                                   .fd = over ? -1 : model_always,
                                   .at_ns = UINT64_MAX};
}

static void fake_write(void *self, void *exchange, const void *data, size_t len)
{
    struct fake_exchange *x = exchange;
    (void)self;
    assert_true(len <= x->room); /* of the last look */
    assert_non_null(x->up);
    assert_false(x->finished);
    line_arrived(x->up, data, len, "request body");
    x->room -= len;
    x->queued += len;
    x->got += len;
}

static enum cis_code fake_finish(void *self, void *exchange, const struct cis_http_header *trailers,
                                 size_t ntrailers, enum cis_http_fault *out_fault)
{
    struct fake_exchange *x = exchange;
    (void)self, (void)trailers, (void)ntrailers, (void)out_fault;
    assert_false(x->finished);
    if (!x->up->lossy && x->fault == 0) { /* a body that ends well is whole */
        assert_int_equal(x->up->len, 0);
    }
    x->finished = true;
    fake_finishes++;
    return CIS_OK;
}

static enum cis_code fake_read(void *self, void *exchange, void *to, size_t cap, size_t *out_n)
{
    struct fake_exchange *x = exchange;
    (void)self;
    size_t n = x->there < cap ? x->there : cap;
    n = n > 1 && one_in(3) ? 1 + chance((uint32_t)n) : n;
    const uint8_t *at = spring_at(&x->down, &n);
    if (n != 0) {
        memcpy(to, at, n);
    }
    x->down.at += n;
    x->there -= n;
    x->ended = x->status != 0 && x->there == 0 && x->down.at == x->down.len;
    *out_n = n;
    return CIS_OK;
}

static enum cis_code fake_fields(void *self, void *exchange, bool trailers, cis_http_field_fn *each,
                                 void *each_self)
{
    (void)self, (void)exchange;
    return trailers && one_in(2) ? CIS_OK : each(each_self, "x-fake", "value");
}

static void fake_close(void *self, void *exchange)
{
    struct fake_exchange *x = exchange;
    (void)self;
    lose(x);
    free(x);
    fake_exchanges--;
}

const struct cis_http_service fake_http = {.size = sizeof fake_http,
                                           .open = fake_open,
                                           .poll = fake_poll,
                                           .write = fake_write,
                                           .finish = fake_finish,
                                           .read = fake_read,
                                           .fields = fake_fields,
                                           .close = fake_close};
