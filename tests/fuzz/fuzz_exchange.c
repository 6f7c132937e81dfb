/* Any order of calls of wasi:http's bodies, responses, streams and drops, over an HTTP service that
 * does what the same bytes say. Whatever a guest does, the service is asked for nothing that its
 * interface does not allow, no request that was cut short is ended like a whole one, every exchange
 * is closed once, and nothing stays charged. */
#include <stdint.h>
#include <stdlib.h>
#include "base/mem.h"
#include "fake_guest.h"
#include "wasi/p2/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS_MAX 400
#define HANDLES 48

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static struct cis_bytes input;

static uint8_t next(void)
{
    if (input.len == 0) {
        return 0;
    }
    uint8_t byte = *(const uint8_t *)input.ptr;
    input = cis_bytes_of((const uint8_t *)input.ptr + 1, input.len - 1);
    return byte;
}

/* ---- what requests that come in are handed over by: there is no guest to take one ---- */

cis_code cis_vals_new(cis_engine_instance *guest_, size_t nargs, cis_vals **out,
                      struct cis_error *err)
{
    (void)guest_, (void)nargs, (void)out, (void)err;
    abort();
}

void cis_vals_free(cis_vals *vals)
{
    (void)vals;
    abort();
}

cis_val *cis_vals_arg(cis_vals *vals, size_t i)
{
    (void)vals, (void)i;
    abort();
}

void cis_vals_drop(cis_vals *vals)
{
    (void)vals;
    abort();
}

cis_code cis_component_call(cis_engine_instance *guest_, struct cis_str name, const char *type,
                            cis_vals *vals, struct cis_error *err)
{
    (void)guest_, (void)name, (void)type, (void)vals, (void)err;
    abort();
}

cis_code cis_val_set_own(cis_engine_instance *guest_, cis_val *out, uint32_t kind, uint32_t rep,
                         struct cis_error *err)
{
    (void)guest_, (void)out, (void)kind, (void)rep, (void)err;
    abort();
}

/* ---- the service: one that keeps to its interface, and sees that its caller does ---- */

struct exchange {
    struct cis_http_state state;
    uint64_t body_len, written;
    bool has_body, finished;
};
static size_t open_exchanges;

static enum cis_code http_open(void *self, const struct cis_call *call,
                               const struct cis_http_opening *o, void **out,
                               enum cis_http_fault *out_fault, struct cis_error *err)
{
    (void)self, (void)call;
    require(o->url != NULL && o->method != NULL);
    *out_fault = CIS_HTTP_CONNECTION_LIMIT;
    if (next() % 8 == 7) {
        return cis_fail(err, CIS_E_NET, "refused");
    }
    struct exchange *x = cis_zalloc(sizeof *x);
    require(x != NULL);
    x->body_len = o->body_len;
    x->has_body = o->has_body;
    *out_fault = CIS_HTTP_FINE;
    open_exchanges++;
    *out = x;
    return CIS_OK;
}

static void http_poll(void *self, void *exchange, bool wanted, struct cis_http_state *out)
{
    struct exchange *x = exchange;
    struct cis_http_state *s = &x->state;
    uint8_t what = next();
    (void)self, (void)wanted;
    if (s->fault == CIS_HTTP_FINE && what % 32 == 31) {
        s->fault = (enum cis_http_fault)(1 + next() % CIS_HTTP_INTERNAL);
    }
    if (s->fault == CIS_HTTP_FINE) {
        s->status = s->status == 0 && (what & 1) != 0 ? 200 : s->status;
        s->readable = s->status != 0 && (what & 2) != 0;
        s->flushed = (what & 4) != 0;
        s->closed = s->closed || what % 64 == 40;
        s->room = s->closed || x->finished ? 0 : (size_t)(what >> 3) * 4096;
    }
    s->fd = -1;
    s->at_ns = (what & 8) != 0 ? UINT64_MAX : 1;
    *out = *s;
}

static void http_write(void *self, void *exchange, const void *data, size_t len)
{
    struct exchange *x = exchange;
    (void)self;
    require(len <= x->state.room && x->has_body && !x->finished);
    for (size_t i = 0; i < len; i += 512) {
        uint8_t byte = ((const uint8_t *)data)[i];
        require(byte == 'x' || byte == 'y'); /* written, or spliced from what came */
    }
    x->state.room -= len;
    x->written += len;
    require(x->body_len == UINT64_MAX || x->written <= x->body_len);
}

static enum cis_code http_finish(void *self, void *exchange, const struct cis_http_header *trailers,
                                 size_t n, enum cis_http_fault *out_fault)
{
    struct exchange *x = exchange;
    (void)self;
    require(x->has_body && !x->finished);
    require(x->body_len == UINT64_MAX || (x->written == x->body_len && n == 0));
    for (size_t i = 0; i < n; i++) {
        require(trailers[i].name[0] != 0 && trailers[i].value != NULL);
    }
    x->finished = true;
    *out_fault = next() % 16 == 15 ? CIS_HTTP_PROTOCOL : CIS_HTTP_FINE;
    return *out_fault == CIS_HTTP_FINE ? CIS_OK : CIS_E_NET;
}

static enum cis_code http_read(void *self, void *exchange, void *to, size_t cap, size_t *out_n)
{
    *out_n = 0;
    struct exchange *x = exchange;
    (void)self;
    if (!x->state.readable || x->state.ended) {
        return CIS_OK;
    }
    uint8_t what = next();
    if (what % 8 == 0) {
        x->state.ended = true;
        return CIS_OK;
    }
    size_t n = (size_t)what * 300 < cap ? (size_t)what * 300 : cap;
    memset(to, 'y', n);
    *out_n = n;
    return CIS_OK;
}

static enum cis_code http_fields(void *self, void *exchange, bool trailers, cis_http_field_fn *each,
                                 void *each_self)
{
    const struct exchange *x = exchange;
    (void)self;
    require(x->state.status != 0 && (!trailers || x->state.ended));
    cis_code all = CIS_OK;
    for (int n = next() % 4; n > 0 && all == CIS_OK; n--) {
        all = each(each_self, n == 2 ? "Content-Length" : "X-Field", "1");
    }
    return all;
}

static void http_close(void *self, void *exchange)
{
    (void)self;
    require(open_exchanges > 0);
    open_exchanges--;
    cis_free(exchange);
}

static const struct cis_http_service service = {.size = sizeof service,
                                                .open = http_open,
                                                .poll = http_poll,
                                                .write = http_write,
                                                .finish = http_finish,
                                                .read = http_read,
                                                .fields = http_fields,
                                                .close = http_close};

/* ---- the guest's handles; like the engine's they name what is alive ---- */

struct handle {
    uint32_t rep;
    uint8_t kind;
};
static struct handle handles[HANDLES];
static size_t nhandles;
static cis_engine_instance guest;
static struct cis_error error;

static void hold(uint32_t rep, enum p2_kind kind)
{
    if (nhandles == HANDLES) {
        require(cis_p2_drop(&guest, rep, &error) == CIS_OK);
        return;
    }
    require(cis_p2_at(&guest, rep)->kind == kind);
    handles[nhandles++] = (struct handle){rep, (uint8_t)kind};
}

/* One of this kind, by the next byte; HANDLES: there is none. */
static size_t pick(enum p2_kind kind)
{
    size_t skip = next() % HANDLES, found = HANDLES;
    for (size_t i = 0; i < nhandles; i++) {
        if (handles[i].kind == kind) {
            found = i;
            if (skip-- == 0) {
                break;
            }
        }
    }
    return found;
}

/* It has children, and nobody may take it: the call that tries changes nothing. */
static bool bound(size_t i)
{
    return cis_p2_at(&guest, handles[i].rep)->children != 0;
}

static uint32_t give(size_t i)
{
    uint32_t rep = handles[i].rep;
    handles[i] = handles[--nhandles];
    return rep;
}

static uint32_t fields_new(void)
{
    struct cis_answer a = {0};
    require(cis_p2_fields_constructor(&guest, NULL, &a, &error) == CIS_OK);
    uint8_t what = next();
    if (what % 4 != 0) {
        static const char *const names[] = {"content-length", "X-Name", "content-length"};
        static const char *const values[] = {"10000", "value", "0"};
        struct cis_answer done = {0};
        const struct cis_typed args[] = {
            {.n = a.rep},
            {.bytes = cis_bytes_of(names[what % 3], strlen(names[what % 3]))},
            {.bytes = cis_bytes_of(values[what % 3], strlen(values[what % 3]))}};
        require(cis_p2_fields_append(&guest, args, &done, &error) == CIS_OK && !done.failed);
    }
    return a.rep;
}

/* ---- calls; false: the run is over ---- */

static bool make_request(void)
{
    uint32_t fields = fields_new(), rep = 0;
    require(cis_p2_out_request_constructor(&guest, &fields, &rep, &error) == CIS_OK);
    struct http_done done = {0};
    struct http_set_scheme scheme = {.self = rep, .scheme = {.has = true, .scheme = {.is = 0}}};
    struct http_set_text text = {.self = rep, .text = {.has = true, .text = CIS_STR("h")}};
    require(cis_p2_message_set_scheme(&guest, &scheme, &done, &error) == CIS_OK && !done.failed);
    require(cis_p2_message_set_authority(&guest, &text, &done, &error) == CIS_OK && !done.failed);
    hold(rep, P2_OUT_REQUEST);
    return true;
}

typedef cis_code maker(cis_engine_instance *guest, const void *args, void *result,
                       struct cis_error *err);

static bool make_child(maker *of, enum p2_kind from, enum p2_kind to)
{
    struct http_made made = {0};
    size_t i = pick(from);
    if (i == HANDLES) {
        return true;
    }
    cis_code code = of(&guest, &handles[i].rep, &made, &error);
    require(code == CIS_OK || code == CIS_E_BUDGET);
    if (code == CIS_OK && !made.failed) {
        hold(made.rep, to);
    }
    return code == CIS_OK;
}

static bool answer_of(cis_code code, const struct cis_answer *a)
{
    require(code == CIS_OK || code == CIS_E_BUDGET || code == CIS_E_DEADLINE);
    if (code == CIS_OK && a->failed && a->error == 0 && a->rep != 0) {
        struct cis_answer of = {0};
        struct http_error_option http = {0};
        const struct cis_typed self = {.n = a->rep};
        require(cis_p2_fs_error(&guest, &self, &of, &error) == CIS_OK && !of.has);
        require(cis_p2_http_error_code(&guest, &a->rep, &http, &error) == CIS_OK && http.has);
        hold(a->rep, P2_ERROR);
    }
    return code == CIS_OK;
}

static bool write_some(void)
{
    static uint8_t block[P2_CHUNK];
    struct cis_answer may = {0}, done = {0};
    size_t i = pick(P2_OUTPUT);
    if (i == HANDLES) {
        return true;
    }
    struct cis_typed args[2] = {{.n = handles[i].rep}};
    if (!answer_of(cis_p2_out_check(&guest, args, &may, &error), &may) || may.failed) {
        return guest.end.code == CIS_OK;
    }
    memset(block, 'x', sizeof block);
    size_t n = (size_t)next() * 260;
    require(may.n[0] <= sizeof block);
    args[1].bytes = cis_bytes_of(block, n < may.n[0] ? n : (size_t)may.n[0]);
    return answer_of(cis_p2_out_write(&guest, args, &done, &error), &done);
}

static bool stream_call(cis_typed_handler *call, enum p2_kind kind)
{
    struct cis_answer a = {0};
    size_t i = pick(kind);
    if (i == HANDLES) {
        return true;
    }
    const struct cis_typed args[2] = {{.n = handles[i].rep}, {.n = (uint64_t)next() * 700}};
    return answer_of(call(&guest, args, &a, &error), &a);
}

static bool splice(void)
{
    struct cis_answer a = {0};
    size_t out = pick(P2_OUTPUT), in = pick(P2_INPUT);
    if (out == HANDLES || in == HANDLES) {
        return true;
    }
    const struct cis_typed args[3] = {
        {.n = handles[out].rep}, {.n = handles[in].rep}, {.n = (uint64_t)next() * 700}};
    return answer_of(cis_p2_out_splice(&guest, args, &a, &error), &a);
}

static bool finish(void)
{
    struct http_done_error done = {0};
    size_t i = pick(P2_OUT_BODY);
    if (i == HANDLES) {
        return true;
    }
    if (bound(i)) {
        const struct http_finish early = {.self = handles[i].rep};
        require(cis_p2_out_body_finish(&guest, &early, &done, &error) == CIS_E_TRAP);
        return true;
    }
    struct http_finish args = {.self = give(i), .trailers = {.has = (next() & 1) != 0}};
    if (args.trailers.has) {
        args.trailers.rep = fields_new();
    }
    require(cis_p2_out_body_finish(&guest, &args, &done, &error) == CIS_OK);
    return true;
}

static bool handle_one(void)
{
    struct http_made_error made = {0};
    size_t i = pick(P2_OUT_REQUEST);
    if (i == HANDLES) {
        return true;
    }
    if (bound(i)) {
        const struct http_handling early = {.request = handles[i].rep};
        require(cis_p2_http_handle(&guest, &early, &made, &error) == CIS_E_TRAP);
        return true;
    }
    struct http_handling args = {.request = give(i), .options = {.has = (next() & 1) != 0}};
    if (args.options.has) {
        struct cis_answer options = {0};
        require(cis_p2_options_constructor(&guest, NULL, &options, &error) == CIS_OK);
        args.options.rep = options.rep;
    }
    require(cis_p2_http_handle(&guest, &args, &made, &error) == CIS_OK);
    if (!made.failed) {
        hold(made.rep, P2_FUTURE_RESPONSE);
    }
    return true;
}

static bool get_response(void)
{
    struct http_got_response got = {0};
    size_t i = pick(P2_FUTURE_RESPONSE);
    if (i == HANDLES) {
        return true;
    }
    cis_code code = cis_p2_future_response_get(&guest, &handles[i].rep, &got, &error);
    require(code == CIS_OK || code == CIS_E_BUDGET);
    if (code == CIS_OK && got.has && !got.outer.failed && !got.outer.inner.failed) {
        hold(got.outer.inner.rep, P2_IN_RESPONSE);
    }
    return code == CIS_OK;
}

static bool get_trailers(void)
{
    struct http_got_trailers got = {0};
    size_t i = pick(P2_FUTURE_TRAILERS);
    if (i == HANDLES) {
        return true;
    }
    cis_code code = cis_p2_future_trailers_get(&guest, &handles[i].rep, &got, &error);
    require(code == CIS_OK || code == CIS_E_BUDGET);
    if (code == CIS_OK && got.has && !got.outer.failed && !got.outer.inner.failed &&
        got.outer.inner.trailers.has) {
        hold(got.outer.inner.trailers.rep, P2_FIELDS);
    }
    return code == CIS_OK;
}

static bool finish_reading(void)
{
    uint32_t rep = 0;
    size_t i = pick(P2_IN_BODY);
    if (i == HANDLES) {
        return true;
    }
    if (bound(i)) {
        require(cis_p2_in_body_finish(&guest, &handles[i].rep, &rep, &error) == CIS_E_TRAP);
        return true;
    }
    uint32_t self = give(i);
    require(cis_p2_in_body_finish(&guest, &self, &rep, &error) == CIS_OK);
    hold(rep, P2_FUTURE_TRAILERS);
    return true;
}

static bool headers_of(void)
{
    uint32_t rep = 0;
    size_t i = pick(P2_IN_RESPONSE);
    if (i != HANDLES) {
        require(cis_p2_in_response_headers(&guest, &handles[i].rep, &rep, &error) == CIS_OK);
        hold(rep, P2_FIELDS);
    }
    return true;
}

static bool subscribe(cis_typed_handler *call, enum p2_kind kind)
{
    struct cis_answer a = {0};
    size_t i = pick(kind);
    if (i != HANDLES) {
        const struct cis_typed self = {.n = handles[i].rep};
        require(call(&guest, &self, &a, &error) == CIS_OK);
        hold(a.rep, P2_POLLABLE);
    }
    return true;
}

/* All pollables at once, or one; none is waited for. */
static bool ready(void)
{
    struct cis_answer a = {0};
    size_t i = pick(P2_POLLABLE);
    if (i == HANDLES) {
        return true;
    }
    const struct cis_typed self = {.n = handles[i].rep};
    return answer_of(cis_p2_poll_ready(&guest, &self, &a, &error), &a);
}

static bool drop_any(void)
{
    size_t i = nhandles != 0 ? next() % nhandles : 0;
    if (nhandles != 0 && bound(i)) {
        require(cis_p2_drop(&guest, handles[i].rep, &error) == CIS_E_TRAP);
    } else if (nhandles != 0) {
        require(cis_p2_drop(&guest, give(i), &error) == CIS_OK);
    }
    return true;
}

static bool call_one(void)
{
    switch (next() % 20) {
    case 0:
        return make_request();
    case 1:
        return make_child(cis_p2_message_body, P2_OUT_REQUEST, P2_OUT_BODY);
    case 2:
        return make_child(cis_p2_out_body_stream, P2_OUT_BODY, P2_OUTPUT);
    case 3:
    case 4:
        return write_some();
    case 5:
        return stream_call(cis_p2_out_flush, P2_OUTPUT);
    case 6:
        return finish();
    case 7:
        return handle_one();
    case 8:
        return get_response();
    case 9:
        return make_child(cis_p2_in_response_consume, P2_IN_RESPONSE, P2_IN_BODY);
    case 10:
        return make_child(cis_p2_in_body_stream, P2_IN_BODY, P2_INPUT);
    case 11:
        return stream_call(cis_p2_in_read, P2_INPUT);
    case 12:
        return stream_call(cis_p2_in_skip, P2_INPUT);
    case 13:
        return finish_reading();
    case 14:
        return get_trailers();
    case 15:
        return headers_of();
    case 16:
        return subscribe((next() & 1) != 0 ? cis_p2_in_subscribe : cis_p2_out_subscribe,
                         P2_OUTPUT) &&
               subscribe(cis_p2_in_subscribe, P2_INPUT) &&
               subscribe(cis_p2_future_subscribe, P2_FUTURE_RESPONSE) &&
               subscribe(cis_p2_future_subscribe, P2_FUTURE_TRAILERS);
    case 17:
        return ready();
    case 18:
        return splice();
    default:
        return drop_any();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cis_host host = {.budget = {.limit = 64u << 20},
                            .log = CIS_BUF_INIT(65536),
                            .log_lines_max = 100,
                            .services = {.http = &service}};
    input = cis_bytes_of(data, size);
    require(cis_grants_add(&host.grants, CIS_STR("http=http://h"), NULL) == CIS_OK);
    fake_guest_init(&guest, &host, 0);
    nhandles = open_exchanges = 0;
    make_request(); /* the table is there */
    for (int i = 0; i < CALLS_MAX && input.len > 0 && call_one(); i++) {
    }
    bool drops = (size & 1) != 0;
    while (drops && nhandles != 0) { /* what is no parent, wherever one begins to look */
        size_t i = next() % nhandles;
        while (bound(i)) {
            i = (i + 1) % nhandles;
        }
        require(cis_p2_drop(&guest, give(i), &error) == CIS_OK);
    }
    require(!drops || open_exchanges == 0); /* with the last handle, not with the run */
    cis_wasi_p2_end(&host);
    require(open_exchanges == 0);
    cis_budget_release(&host.budget, host.log.len);
    require(host.budget.used == 0);
    cis_grants_done(&host.grants);
    cis_buf_done(&host.log);
    fake_guest_done(&guest);
    return 0;
}
