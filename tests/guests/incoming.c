/* A component that answers HTTP requests: what it does is the request's path. */
#include "incoming.h"

__asm__(".section \".custom_section.cis:wit\",\"\",@\n"
        ".incbin \"" HTTP_WIT "incoming_world.wit\"\n"
        ".incbin \"" HTTP_WIT "http_interfaces.wit\"\n"
        ".text\n");

/* ---- helpers ---- */

static uint8_t arena[512 * 1024];
static uint32_t arena_at;

void arena_reset(void)
{
    arena_at = 0;
}

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, uint32_t had,
                                                                uint32_t align, uint32_t want)
{
    (void)old, (void)had;
    uint32_t at = (arena_at + align - 1) & ~(align - 1);
    if (at + want > sizeof arena) {
        __builtin_trap();
    }
    arena_at = at + want;
    return arena + at;
}

bool same(struct list text, const char *to)
{
    uint32_t i = 0;
    while (i < text.n && to[i] != 0 && text.at[i] == (uint8_t)to[i]) {
        i++;
    }
    return i == text.n && to[i] == 0;
}

/* Is it below this folder? */
static bool below(struct list text, const char *folder)
{
    uint32_t i = 0;
    while (i < text.n && folder[i] != 0 && text.at[i] == (uint8_t)folder[i]) {
        i++;
    }
    return folder[i] == 0;
}

uint64_t number_of(struct list path)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < path.n; i++) {
        n = path.at[i] == '/' ? 0 : n * 10 + (uint64_t)(path.at[i] - '0');
    }
    return n;
}

uint32_t write_number(char *to, uint64_t n)
{
    char back[24];
    uint32_t len = 0;
    do {
        back[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    for (uint32_t i = 0; i < len; i++) {
        to[i] = back[len - 1 - i];
    }
    return len;
}

uint32_t fields_with(const char *name, uint32_t name_len, const void *value, uint32_t value_len)
{
    struct header_result result;
    uint32_t fields = fields_new();
    if (value != 0) {
        fields_append(fields, name, name_len, value, value_len, &result);
        if (result.failed) {
            __builtin_trap();
        }
    }
    return fields;
}

uint32_t answer_with(struct asked *a, uint32_t status, uint32_t fields)
{
    struct made made;
    uint32_t answer = answer_new(fields);
    if (answer_set_status(answer, status)) {
        __builtin_trap();
    }
    answer_body(answer, &made);
    if (made.failed) {
        __builtin_trap();
    }
    outparam_set(a->out, false, answer, 0, 0, 0, 0, 0, 0);
    a->out = 0;
    return made.own;
}

uint32_t stream_of(uint32_t body)
{
    struct made made;
    out_body_write(body, &made);
    if (made.failed) {
        __builtin_trap();
    }
    return made.own;
}

bool write_all(uint32_t stream, const void *data, uint32_t len)
{
    const uint8_t *at = data;
    while (len != 0) {
        struct stream_count room;
        struct stream_done done = {0};
        out_check(stream, &room);
        if (room.failed) {
            return false;
        }
        uint32_t n = room.n < len ? (uint32_t)room.n : len;
        if (n == 0) {
            uint32_t pollable = out_subscribe(stream);
            pollable_block(pollable);
            pollable_drop(pollable);
            continue;
        }
        out_write(stream, at, n, &done);
        if (done.failed) {
            return false;
        }
        at += n;
        len -= n;
    }
    return true;
}

uint32_t finish(uint32_t body, uint32_t trailers)
{
    struct done_error result = {0};
    out_body_finish(body, trailers != 0, trailers, &result);
    return result.failed ? result.error.is + 1u : 0;
}

void say(struct asked *a, uint32_t status, const void *text, uint32_t len)
{
    uint32_t body = answer_with(a, status, fields_new());
    uint32_t stream = stream_of(body);
    write_all(stream, text, len);
    out_drop(stream);
    finish(body, 0);
}

void give_error(struct asked *a, uint32_t is, const char *text, uint32_t len)
{
    outparam_set(a->out, true, is, text != 0, (uint32_t)(uintptr_t)text, len, 0, 0, 0);
    a->out = 0;
}

/* ---- what it is asked for ---- */

static void line(uint32_t stream, const char *name, uint32_t len, const void *at, uint32_t n)
{
    write_all(stream, name, len);
    write_all(stream, at, n);
    write_all(stream, TEXT("\n"));
}

static void optional(uint32_t stream, const char *name, uint32_t len, const struct maybe_text *text)
{
    if (text->has) {
        line(stream, name, len, text->text.at, text->text.n);
    } else {
        line(stream, name, len, TEXT("-"));
    }
}

/* Everything there is about the request, as text. */
static void describe(struct asked *a)
{
    struct a_case method;
    struct maybe_scheme scheme;
    struct maybe_text text;
    struct list all;
    uint32_t body = answer_with(a, 200, fields_with(TEXT("X-Guest"), TEXT("incoming")));
    uint32_t stream = stream_of(body);
    char digit = 0;
    asked_method(a->request, &method);
    digit = (char)('0' + method.is);
    line(stream, TEXT("method "), &digit, 1);
    if (method.is == 9) {
        line(stream, TEXT("other "), method.other.at, method.other.n);
    }
    asked_scheme(a->request, &scheme);
    digit = scheme.has ? (char)('0' + scheme.scheme.is) : '-';
    line(stream, TEXT("scheme "), &digit, 1);
    asked_authority(a->request, &text);
    optional(stream, TEXT("authority "), &text);
    asked_path(a->request, &text);
    optional(stream, TEXT("path "), &text);
    uint32_t fields = asked_headers(a->request);
    struct header_result changed;
    fields_append(fields, TEXT("X-More"), TEXT("1"), &changed);
    line(stream, TEXT("immutable "), changed.failed && changed.error == 2 ? "yes" : "no ", 3);
    fields_entries(fields, &all);
    for (uint32_t i = 0; i < all.n; i++) {
        const struct pair *pair = (const struct pair *)all.at + i;
        write_all(stream, pair->name.at, pair->name.n);
        line(stream, TEXT(": "), pair->value.at, pair->value.n);
    }
    fields_drop(fields);
    out_drop(stream);
    finish(body, 0);
}

/* A request of its own, which needs a grant. */
static void reach_out(struct asked *a)
{
    struct made_error made;
    char text[32];
    uint32_t request = request_new(fields_new());
    request_set_authority(request, true, TEXT("127.0.0.1:9"));
    request_set_scheme(request, true, 0, 0, 0);
    handle(request, false, 0, &made);
    if (!made.failed) {
        future_drop(made.own);
        say(a, 200, TEXT("sent"));
    } else {
        say(a, 200, text, write_number(text, made.error.is));
    }
}

/* It says five bytes, and writes this many. */
static void other_length(struct asked *a, uint32_t written)
{
    uint32_t body = answer_with(a, 200, fields_with(TEXT("Content-Length"), TEXT("5")));
    uint32_t stream = stream_of(body);
    bool went = write_all(stream, "123456789", written < 9 ? written : 9);
    out_drop(stream);
    if (finish(body, 0) != 29 || went != (written <= 5)) { /* HTTP-response-body-size */
        __builtin_trap();
    }
}

static struct asked kept; /* of the request before */

static void special(struct asked *a)
{
    if (same(a->path, "/twice")) {
        uint32_t out = a->out;
        say(a, 200, TEXT("once"));
        outparam_set(out, true, 38, 0, 0, 0, 0, 0, 0); /* there is no such handle any more */
    } else if (same(a->path, "/trap")) {
        __builtin_trap();
    } else if (same(a->path, "/trap-later")) {
        uint32_t stream = stream_of(answer_with(a, 200, fields_new()));
        write_all(stream, TEXT("half"));
        __builtin_trap();
    } else if (same(a->path, "/loop")) {
        for (volatile int on = 1; on;) {
        }
    } else if (same(a->path, "/keep")) {
        kept = *a;
        a->request = a->out = 0;
    } else if (same(a->path, "/late")) { /* the answer to the request before, and then this one's */
        struct made made;
        if (kept.out != 0) {
            say(&kept, 200, TEXT("too late"));
            asked_consume(kept.request, &made);
            if (!made.failed) {
                struct made stream;
                struct stream_read got;
                in_body_stream(made.own, &stream);
                in_blocking_read(stream.own, 10, &got);
                if (!got.failed) {
                    __builtin_trap(); /* its body is over */
                }
                if (got.error == 0) {
                    error_drop(got.own);
                }
                in_drop(stream.own);
                in_body_drop(made.own);
            }
            asked_drop(kept.request);
        }
        kept = (struct asked){0};
        say(a, 200, TEXT("in time"));
    } else {
        say(a, 404, TEXT("what?"));
    }
}

static void plain(struct asked *a)
{
    if (same(a->path, "/hello")) {
        uint32_t body = answer_with(a, 200, fields_with(TEXT("Content-Length"), TEXT("5")));
        uint32_t stream = stream_of(body);
        write_all(stream, TEXT("hello"));
        out_drop(stream);
        finish(body, 0);
    } else if (same(a->path, "/empty")) {
        outparam_set(a->out, false, answer_new(fields_new()), 0, 0, 0, 0, 0, 0);
        a->out = 0;
    } else if (same(a->path, "/nothing")) { /* a length, and no body */
        uint32_t fields = fields_with(TEXT("Content-Length"), TEXT("5"));
        outparam_set(a->out, false, answer_new(fields), 0, 0, 0, 0, 0, 0);
        a->out = 0;
    } else if (same(a->path, "/none")) {
        return;
    } else if (same(a->path, "/error")) {
        give_error(a, 38, TEXT("no tea"));
    } else if (same(a->path, "/early")) { /* the body is whole before the answer is given */
        struct made made;
        uint32_t answer = answer_new(fields_new());
        answer_body(answer, &made);
        uint32_t stream = stream_of(made.own);
        write_all(stream, TEXT("early"));
        out_drop(stream);
        finish(made.own, 0);
        outparam_set(a->out, false, answer, 0, 0, 0, 0, 0, 0);
        a->out = 0;
    } else if (same(a->path, "/unfinished")) {
        uint32_t body = answer_with(a, 200, fields_new());
        uint32_t stream = stream_of(body);
        write_all(stream, TEXT("half"));
        out_drop(stream);
        out_body_drop(body);
    } else if (same(a->path, "/handle")) {
        char text[24];
        say(a, 200, text, write_number(text, (uint64_t)a->request * 1000 + a->out));
    } else if (same(a->path, "/out")) {
        reach_out(a);
    } else {
        special(a);
    }
}

__attribute__((export_name("wasi:http/incoming-handler@0.2.0#handle"))) void answer(
    uint32_t request, uint32_t out)
{
    struct asked a = {request, out, {0}};
    struct maybe_text path;
    arena_reset();
    asked_path(request, &path);
    a.path = path.has ? path.text : (struct list){(uint8_t *)(uintptr_t) "-", 1};
    if (same(a.path, "/echo") || same(a.path, "/polls")) {
        echo(&a, same(a.path, "/polls"));
    } else if (same(a.path, "/count")) {
        count(&a);
    } else if (below(a.path, "/give/")) {
        give(&a, number_of(a.path));
    } else if (below(a.path, "/odd/")) {
        odd(&a, number_of(a.path));
    } else if (below(a.path, "/early/")) {
        early(&a, number_of(a.path));
    } else if (below(a.path, "/length/")) {
        other_length(&a, (uint32_t)number_of(a.path));
    } else if (below(a.path, "/status/")) {
        uint32_t status = (uint32_t)number_of(a.path);
        uint32_t answer = answer_new(fields_new());
        answer_set_status(answer, status);
        outparam_set(a.out, false, answer, 0, 0, 0, 0, 0, 0);
        a.out = 0;
    } else if (below(a.path, "/about")) {
        describe(&a);
    } else {
        plain(&a);
    }
    if (a.request != 0) {
        asked_drop(a.request);
    }
    if (a.out != 0) {
        outparam_drop(a.out);
    }
}
