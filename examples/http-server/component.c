/* The test server as a component: wasi:http/incoming-handler, a request each. The address that
 * bodies name is the one that the request was sent to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "routes.h"
#include "text.h"
#include "wasi_http.h"

GUEST_WIT("http-server.wit", GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("http.wit"));

#define REQUEST_MAX ((size_t)1 << 20)
#define RESPONSE_INCOMPLETE 25

/* An option<string> as a text of ours. */
static char *take_text(const union wasi_result *r)
{
    char *text = r->b[0] != 0 ? need_text((const char *)r->w[1], r->w[2]) : need_text("", 0);
    if (r->b[0] != 0) {
        guest_free((void *)r->w[1]);
    }
    return text;
}

static char *method_of(handle request)
{
    static const char *const methods[] = {HTTP_METHODS};
    union wasi_result r;
    incoming_method(request, &r);
    if (r.b[0] < sizeof methods / sizeof *methods) {
        return need_text(methods[r.b[0]], strlen(methods[r.b[0]]));
    }
    r.b[0] = 1; /* the text of the last case lies as an option's does */
    return take_text(&r);
}

/* false: it is larger than this server takes. */
static bool read_body(handle request, struct text *out)
{
    union wasi_result r;
    incoming_consume(request, &r);
    handle body = r.w[1];
    body_stream(body, &r);
    handle in = r.w[1];
    for (;;) {
        in_blocking_read(in, 65536, &r);
        if (r.b[0] != 0) {
            break;
        }
        text_put(out, (const char *)r.w[1], r.w[2]);
        guest_free((void *)r.w[1]);
    }
    if (r.b[4] == 0) {
        drop_error(r.w[2]);
    }
    drop_in(in);
    drop_body(body);
    return !out->cut;
}

static bool write_bytes(handle out, const char *at, size_t n)
{
    union wasi_result r;
    while (n > 0) {
        out_check(out, &r);
        size_t room = r.b[0] == 0 ? (size_t)r.d[1] : 0, some = n < room ? n : room;
        if (r.b[0] != 0) {
            return false;
        }
        if (room == 0) {
            handle wait = out_subscribe(out);
            pollable_block(wait);
            drop_pollable(wait);
            continue;
        }
        out_write(out, at, some, &r);
        if (r.b[0] != 0) {
            return false;
        }
        at += some;
        n -= some;
    }
    return true;
}

static void sleep_ms(uint64_t ms)
{
    handle timer = clock_subscribe(clock_now() + ms * 1000000);
    pollable_block(timer);
    drop_pollable(timer);
}

static void put_field(handle fields, const char *name, const char *value)
{
    union wasi_result r;
    fields_append(fields, name, strlen(name), value, strlen(value), &r);
}

static void answer(const struct reply *reply, handle outparam)
{
    union wasi_result r;
    char length[24];
    handle fields = fields_new();
    put_field(fields, "Content-Type", "application/json");
    bool counted =
        !reply->bare && (reply->framing == REPLY_LENGTH || reply->framing == REPLY_SHORT);
    if (counted) {
        snprintf(length, sizeof length, "%zu",
                 reply->framing == REPLY_SHORT ? reply->len + REPLY_MISSING : reply->len);
        put_field(fields, "Content-Length", length);
    }
    handle response = answer_new(fields);
    (void)answer_set_status(response, reply->status);
    answer_body(response, &r);
    handle body = r.w[1];
    body_write(body, &r);
    handle out = r.w[1];
    outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
    if (!reply->bare && write_bytes(out, reply->body, reply->len / 2)) {
        (void)write_bytes(out, reply->body + reply->len / 2, reply->len - reply->len / 2);
    }
    drop_out(out);
    body_finish(body, 0, 0,
                &r); /* an error is the peer's: fewer bytes than announced, or it is gone */
}

GUEST_EXPORT("wasi:http/incoming-handler@0.2.12#handle")
void handle_request(handle request, handle outparam)
{
    union wasi_result r;
    struct text body = TEXT_INIT(REQUEST_MAX);
    struct reply reply = {0};
    char *method = method_of(request);
    incoming_path(request, &r);
    char *path = take_text(&r);
    incoming_authority(request, &r);
    char *at = take_text(&r), *colon = strrchr(at, ':');
    int port = colon != NULL ? atoi(colon + 1) : 80;
    if (colon != NULL) {
        *colon = '\0';
    }
    text_put(&body, "", 0);
    if (read_body(request, &body) && reply_of(method, path, body.at, body.len, at, port, &reply)) {
        sleep_ms(reply.delay_ms);
        answer(&reply, outparam);
    } else {
        outparam_set(outparam, 1, RESPONSE_INCOMPLETE, 0, 0, 0, 0, 0, 0);
    }
    drop_incoming(request);
    reply_done(&reply);
    text_done(&body);
    free(method);
    free(path);
    free(at);
}
