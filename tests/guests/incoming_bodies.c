/* The guest incoming: bodies, and things dropped in odd orders. */
#include "incoming.h"

static uint32_t in_body_of(struct asked *a)
{
    struct made made;
    asked_consume(a->request, &made);
    if (made.failed) {
        __builtin_trap();
    }
    return made.own;
}

static uint32_t in_stream_of(uint32_t body)
{
    struct made made;
    in_body_stream(body, &made);
    if (made.failed) {
        __builtin_trap();
    }
    return made.own;
}

/* The next piece; false: there is none, *failed with its case + 1 when that is an error. */
static bool next(uint32_t stream, bool polls, struct list *out, uint32_t *failed)
{
    struct stream_read got;
    arena_reset();
    for (;;) {
        if (polls) {
            in_read(stream, 65536, &got);
        } else {
            in_blocking_read(stream, 65536, &got);
        }
        if (got.failed && got.error == 0) {
            struct maybe_error error;
            http_error_code(got.own, &error);
            *failed = error.has ? error.error.is + 1u : 1000;
            error_drop(got.own);
        }
        if (got.failed || got.data.n != 0) {
            *out = got.failed ? (struct list){0} : got.data;
            return !got.failed;
        }
        uint32_t pollable = in_subscribe(stream);
        struct list ready;
        poll_many(&pollable, 1, &ready);
        pollable_drop(pollable);
    }
}

/* The trailers of a request, as fields; 0: none. */
static uint32_t trailers_of(uint32_t body)
{
    uint32_t future = in_body_finish(body);
    uint32_t pollable = trailers_subscribe(future);
    struct future_trailers got;
    pollable_block(pollable);
    pollable_drop(pollable);
    trailers_get(future, &got);
    trailers_drop(future);
    if (!got.has || got.failed) {
        __builtin_trap();
    }
    return !got.inner.failed && got.inner.trailers.has ? got.inner.trailers.own : 0;
}

void echo(struct asked *a, bool polls)
{
    uint32_t in_body = in_body_of(a), in = in_stream_of(in_body), failed = 0;
    uint32_t body = answer_with(a, 200, fields_with(TEXT("X-Guest"), TEXT("incoming")));
    uint32_t out = stream_of(body);
    struct list piece;
    bool more;
    while ((more = next(in, polls, &piece, &failed)) && write_all(out, piece.at, piece.n)) {
    }
    if (!more && failed == 0) { /* the end is known to who asks for nothing, too */
        struct stream_read got;
        in_read(in, 0, &got);
        if (!got.failed || got.error != 1) {
            __builtin_trap();
        }
    }
    in_drop(in);
    out_drop(out);
    uint32_t trailers = trailers_of(in_body);
    if (failed != 0) { /* what came was cut: so is what goes */
        out_body_drop(body);
        if (trailers != 0) {
            fields_drop(trailers);
        }
        return;
    }
    finish(body, trailers);
}

/* How many bytes came; and the case + 1 of what cut them. */
void count(struct asked *a)
{
    uint32_t body = in_body_of(a), in = in_stream_of(body), failed = 0;
    uint64_t n = 0;
    char text[64];
    struct list piece;
    while (next(in, false, &piece, &failed)) {
        n += piece.n;
    }
    in_drop(in);
    in_body_drop(body);
    uint32_t len = write_number(text, n);
    text[len++] = ' ';
    len += write_number(text + len, failed);
    say(a, 200, text, len);
}

void give(struct asked *a, uint64_t n)
{
    static uint8_t block[65536];
    uint32_t body = answer_with(a, 200, fields_new());
    uint32_t stream = stream_of(body);
    for (uint32_t i = 0; i < sizeof block; i++) {
        block[i] = (uint8_t)i;
    }
    while (n != 0) {
        uint32_t len = n < sizeof block ? (uint32_t)n : (uint32_t)sizeof block;
        if (!write_all(stream, block, len)) {
            break;
        }
        n -= len;
    }
    out_drop(stream);
    finish(body, 0);
}

/* What is dropped early by which bit of the order: children before their parents, everything else
 * in any order. */
void odd(struct asked *a, uint64_t order)
{
    uint32_t in_body = in_body_of(a), in = in_stream_of(in_body);
    uint32_t pollable = in_subscribe(in), headers = asked_headers(a->request);
    if (order & 1) {
        fields_drop(headers);
        asked_drop(a->request);
        a->request = 0;
    }
    if (order & 2) {
        pollable_drop(pollable);
        in_drop(in);
        in = 0;
    }
    uint32_t body = answer_with(a, 200, fields_new()), out = stream_of(body);
    uint32_t room = out_subscribe(out);
    if ((order & 6) == 6) {
        in_body_drop(in_body);
        in_body = 0;
    }
    write_all(out, TEXT("odd"));
    if (!(order & 8)) {
        pollable_block(room);
    }
    pollable_drop(room);
    out_drop(out);
    if (order & 16) {
        out_body_drop(body);
    } else {
        finish(body, 0);
    }
    if (in != 0) {
        pollable_drop(pollable);
        in_drop(in);
    }
    if (in_body != 0) {
        in_body_drop(in_body);
    }
    if (!(order & 1)) {
        fields_drop(headers);
    }
}

/* A parent before its children: each of these traps. */
void early(struct asked *a, uint64_t which)
{
    uint32_t in_body, in, body, out, answer;
    switch (which) {
    case 0:
        asked_headers(a->request);
        asked_drop(a->request);
        break;
    case 1:
        in = in_stream_of(in_body_of(a));
        in_subscribe(in);
        in_drop(in);
        break;
    case 2:
        in_body = in_body_of(a);
        in_stream_of(in_body);
        in_body_drop(in_body);
        break;
    case 3:
        in_body = in_body_of(a);
        in_stream_of(in_body);
        in_body_finish(in_body);
        break;
    case 4:
        out = stream_of(answer_with(a, 200, fields_new()));
        out_subscribe(out);
        out_drop(out);
        break;
    case 5:
        body = answer_with(a, 200, fields_new());
        stream_of(body);
        out_body_drop(body);
        break;
    case 6:
        body = answer_with(a, 200, fields_new());
        stream_of(body);
        finish(body, 0);
        break;
    case 7:
        answer = answer_new(fields_new());
        answer_headers(answer);
        outparam_set(a->out, false, answer, 0, 0, 0, 0, 0, 0);
        break;
    default: {
        uint32_t future = in_body_finish(in_body_of(a));
        trailers_subscribe(future);
        trailers_drop(future);
        break;
    }
    }
}
