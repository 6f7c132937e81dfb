/* Sends one request and shows what comes back, both bodies at once. */
#include "http_job.h"

static uint8_t block[65536];

static struct list text(const char *s)
{
    return (struct list){(uint8_t *)(uintptr_t)s, (uint32_t)strlen(s)};
}

/* A set of "Name: value"; 0 when one was refused, which is told. */
static uint32_t fields_of(const char *const *lines, int n)
{
    uint32_t fields = fields_new();
    for (int i = 0; i < n; i++) {
        const char *colon = strchr(lines[i], ':');
        const char *value = colon + (colon[1] == ' ' ? 2 : 1);
        struct header_result r;
        fields_append(fields, lines[i], (uint32_t)(colon - lines[i]), value,
                      (uint32_t)strlen(value), &r);
        if (r.failed) {
            printf("header-error %u %s\n", r.error, lines[i]);
        }
    }
    return fields;
}

static void show_fields(const char *what, uint32_t fields)
{
    struct list l;
    fields_entries(fields, &l);
    const struct pair *pairs = (const struct pair *)(const void *)l.at;
    for (uint32_t i = 0; i < l.n; i++) {
        printf("%s %.*s: %.*s\n", what, (int)pairs[i].name.n, (const char *)pairs[i].name.at,
               (int)pairs[i].value.n, (const char *)pairs[i].value.at);
    }
    struct header_result r;
    fields_append(fields, "x", 1, "y", 1, &r);
    printf("%s", r.failed && r.error == 2 ? "" : "not immutable\n");
    fields_drop(fields);
}

static int stream_failed(const char *what, uint8_t error, uint32_t own)
{
    struct maybe_error code;
    if (error == 1) {
        printf("%s: closed\n", what);
        return 1;
    }
    struct other_code none;
    fs_error_code(own, &none);
    printf("%s", none.has ? "an error of a file\n" : "");
    http_error_code(own, &code);
    if (code.has) {
        tell_error(what, &code.error);
    } else {
        printf("%s: error without a code\n", what);
    }
    error_drop(own);
    return 1;
}

/* ---- everything goes ---- */

typedef void dropper(uint32_t self);

static void drop_one(uint32_t *handle, dropper *drop)
{
    if (*handle != 0) {
        drop(*handle);
        *handle = 0;
    }
}

/* A stream before its body; everything else in this order, or the other way round. */
static void drop_all(struct live *l, bool reverse)
{
    struct {
        uint32_t *handle;
        dropper *drop;
        uint32_t *child;
        dropper *drop_child;
    } all[] = {{&l->request, request_drop, NULL, NULL},
               {&l->out_body, out_body_drop, &l->out, out_drop},
               {&l->future, future_drop, NULL, NULL},
               {&l->response, response_drop, NULL, NULL},
               {&l->in_body, in_body_drop, &l->in, in_drop},
               {&l->trailers, trailers_drop, NULL, NULL}};
    int n = sizeof all / sizeof *all;
    for (int i = 0; i < n; i++) {
        int at = reverse ? n - 1 - i : i;
        if (all[at].child != NULL) {
            drop_one(all[at].child, all[at].drop_child);
        }
        drop_one(all[at].handle, all[at].drop);
    }
}

static bool stops(const struct job *job, struct live *l)
{
    if (job->stop == 0 || ++l->steps < job->stop) {
        return false;
    }
    drop_all(l, job->reverse);
    printf("dropped\n");
    return true;
}

/* ---- the request's body ---- */

static int end_body(const struct job *job, struct live *l)
{
    struct done_error r;
    if (job->unfinished) {
        out_body_drop(l->out_body);
        l->out_body = 0;
        return 0;
    }
    uint32_t trailers = job->ntrailers != 0 ? fields_of(job->trailer, job->ntrailers) : 0;
    out_body_finish(l->out_body, job->ntrailers != 0, trailers, &r);
    l->out_body = 0;
    if (r.failed) {
        tell_error("finish", &r.error);
    }
    return r.failed;
}

/* One piece of it; *moved: it went. */
static int send_some(const struct job *job, struct live *l, bool *moved)
{
    uint32_t n = l->left < sizeof block ? (uint32_t)l->left : (uint32_t)sizeof block;
    const void *from = job->repeat != 0 ? (const void *)block : job->body;
    struct stream_done done = {0};
    if (job->blocking && n != 0) {
        n = n < 4096 ? n : 4096;
        out_blocking_write(l->out, from, n, &done);
    } else if (n != 0) {
        struct stream_count room;
        out_check(l->out, &room);
        if (room.failed) {
            l->left = 0;
            return stream_failed("write", room.error, room.own);
        }
        n = room.n < n ? (uint32_t)room.n : n;
        if (n != 0) {
            out_write(l->out, from, n, &done);
        }
    }
    if (done.failed) {
        l->left = 0;
        return stream_failed("write", done.error, done.own);
    }
    l->left -= n;
    *moved |= n != 0;
    if (l->left == 0) {
        *moved = true;
        if (!job->held) {
            out_drop(l->out);
            l->out = 0;
        }
        return end_body(job, l);
    }
    return 0;
}

/* ---- the response ---- */

static int take_response(struct live *l, bool *moved)
{
    struct future_response r;
    struct made body, stream;
    future_get(l->future, &r);
    if (!r.has) {
        return 0;
    }
    *moved = true;
    if (r.failed || r.inner.failed) {
        tell_error("response", &r.inner.error);
        return 2;
    }
    l->response = r.inner.own;
    future_get(l->future, &r);
    printf("%s", r.has && r.failed ? "" : "the response was given twice\n");
    printf("status %u\n", response_status(l->response));
    show_fields("header", response_headers(l->response));
    response_consume(l->response, &body);
    l->in_body = body.own;
    response_consume(l->response, &body);
    printf("%s", body.failed ? "" : "consumed twice\n");
    in_body_stream(l->in_body, &stream);
    l->in = stream.own;
    in_body_stream(l->in_body, &stream);
    printf("%s", stream.failed ? "" : "streamed twice\n");
    return 0;
}

/* 0: goes on; 1: the end. */
static int read_some(const struct job *job, struct live *l, uint64_t *total, bool *moved)
{
    struct stream_read r;
    in_read(l->in, sizeof block, &r);
    if (r.failed) {
        if (r.error == 0) {
            stream_failed("body", r.error, r.own);
            return 1;
        }
        in_read(l->in, 0, &r); /* the end is known to who asks for nothing, too */
        printf("%s", r.failed && r.error == 1 ? "" : "read(0) does not know of the end\n");
        return 1;
    }
    if (r.data.n != 0) {
        *moved = true;
        *total += r.data.n;
        if (!job->count) {
            fwrite(r.data.at, 1, r.data.n, stdout);
        }
        free(r.data.at);
    }
    return 0;
}

static void show_trailers(const struct job *job, struct live *l)
{
    struct future_trailers r;
    in_drop(l->in);
    l->in = 0;
    l->trailers = in_body_finish(l->in_body);
    l->in_body = 0;
    if (stops(job, l)) {
        return;
    }
    uint32_t pollable = trailers_subscribe(l->trailers);
    pollable_block(pollable);
    pollable_drop(pollable);
    trailers_get(l->trailers, &r);
    if (!r.has || r.failed) {
        printf("no trailers to be had\n");
    } else if (r.inner.failed) {
        tell_error("trailers", &r.inner.error);
    } else if (r.inner.trailers.has) {
        show_fields("trailer", r.inner.trailers.own);
    }
    trailers_get(l->trailers, &r);
    printf("%s", r.has && r.failed ? "" : "trailers were given twice\n");
}

static void wait_for_either(const struct live *l)
{
    uint32_t at[2], n = 0;
    struct list ready;
    if (l->left != 0) {
        at[n++] = out_subscribe(l->out);
    }
    at[n++] = l->in != 0 ? in_subscribe(l->in) : future_subscribe(l->future);
    poll_many(at, n, &ready);
    free(ready.at);
    for (uint32_t i = 0; i < n; i++) {
        pollable_drop(at[i]);
    }
}

/* ---- all of it ---- */

static int transfer(const struct job *job, struct live *l)
{
    int failed = 0, ended = 0;
    uint64_t total = 0;
    while (ended == 0) {
        bool moved = false;
        if (stops(job, l)) {
            return 0;
        }
        if (l->out_body != 0) {
            failed |= send_some(job, l, &moved);
        }
        if (l->response == 0) {
            ended = take_response(l, &moved);
        } else {
            ended = read_some(job, l, &total, &moved);
        }
        if (!moved && ended == 0) {
            wait_for_either(l);
        }
    }
    if (ended == 2) {
        return 1;
    }
    printf("%sbody %llu bytes\n", job->count ? "" : "\n", (unsigned long long)total);
    show_trailers(job, l);
    return failed;
}

static uint32_t options_of(const char *times)
{
    uint32_t options = options_new();
    unsigned long long connect, first, between;
    sscanf(times, "%llu,%llu,%llu", &connect, &first, &between);
    options_set_connect(options, true, connect);
    options_set_first(options, true, first);
    options_set_between(options, true, between);
    return options;
}

static bool build(const struct job *job, struct live *l)
{
    static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                          "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    uint32_t is = 0;
    while (is < 9 && strcmp(methods[is], job->method) != 0) {
        is++;
    }
    l->request = request_new(fields_of(job->header, job->nheaders));
    uint32_t scheme = strcmp(job->scheme, "http") == 0    ? 0
                      : strcmp(job->scheme, "https") == 0 ? 1
                                                          : 2;
    struct list m = text(job->method), s = text(job->scheme), a = text(job->authority),
                p = text(job->path);
    bool bad = request_set_method(l->request, is, (const char *)m.at, m.n);
    bad |= request_set_scheme(l->request, true, scheme, (const char *)s.at, s.n);
    if (request_set_authority(l->request, true, (const char *)a.at, a.n)) {
        printf("authority refused\n");
        bad = true;
    }
    if (request_set_path(l->request, true, (const char *)p.at, p.n)) {
        printf("path refused\n");
        bad = true;
    }
    if (job->body != NULL) {
        struct made made;
        request_body(l->request, &made);
        if (made.failed) {
            printf("no body\n");
            return false;
        }
        l->out_body = made.own;
        request_body(l->request, &made);
        printf("%s", made.failed ? "" : "two bodies\n");
        out_body_write(l->out_body, &made);
        l->out = made.own;
        l->left = job->repeat != 0 ? job->repeat : strlen(job->body);
        out_body_write(l->out_body, &made);
        printf("%s", made.failed ? "" : "two streams\n");
    }
    if (bad) {
        printf("not a request\n");
    }
    return !bad;
}

int run_job(const struct job *job)
{
    struct live l = {0};
    struct made_error r;
    bool moved;
    memset(block, 'x', sizeof block);
    if (!build(job, &l)) {
        drop_all(&l, job->reverse);
        return 1;
    }
    if (stops(job, &l)) {
        return 0;
    }
    if (job->early && send_some(job, &l, &moved) != 0) {
        drop_all(&l, job->reverse);
        return 1;
    }
    if (stops(job, &l)) {
        return 0;
    }
    bool timed = job->times != NULL;
    handle(l.request, timed, timed ? options_of(job->times) : 0, &r);
    l.request = 0;
    if (r.failed) {
        tell_error("handle", &r.error);
        drop_all(&l, job->reverse);
        return 1;
    }
    l.future = r.own;
    int failed = transfer(job, &l);
    drop_all(&l, job->reverse);
    return failed;
}
