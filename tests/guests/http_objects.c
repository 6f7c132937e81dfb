/* What fields, requests, options and responses do by themselves. */
#include "http_job.h"

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static struct list text(const char *s)
{
    return (struct list){(uint8_t *)(uintptr_t)s, (uint32_t)strlen(s)};
}

static int append(uint32_t fields, const char *name, const char *value)
{
    struct header_result r;
    fields_append(fields, name, (uint32_t)strlen(name), value, (uint32_t)strlen(value), &r);
    return r.failed ? r.error : -1;
}

static int set(uint32_t fields, const char *name, const struct list *values, uint32_t n)
{
    struct header_result r;
    fields_set(fields, name, (uint32_t)strlen(name), values, n, &r);
    return r.failed ? r.error : -1;
}

static int erase(uint32_t fields, const char *name)
{
    struct header_result r;
    fields_delete(fields, name, (uint32_t)strlen(name), &r);
    return r.failed ? r.error : -1;
}

static uint32_t count(uint32_t fields, const char *name)
{
    struct list l;
    fields_get(fields, name, (uint32_t)strlen(name), &l);
    return l.n;
}

static uint32_t length(uint32_t fields)
{
    struct list l;
    fields_entries(fields, &l);
    return l.n;
}

static void names_and_values(void)
{
    static const char *const bad[] = {"", "a b", "a:", "a\r\nb", "\xc3\xa4", "a\t"};
    static const char *const taken[] = {"Host",
                                        "connection",
                                        "Transfer-Encoding",
                                        "upgrade",
                                        "TE",
                                        "trailer",
                                        "Proxy-Authorization",
                                        "expect",
                                        "keep-alive",
                                        "http2-settings",
                                        "proxy-x"};
    uint32_t f = fields_new();
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(append(f, bad[i], "v") == 0);
        CHECK(set(f, bad[i], NULL, 0) == 0);
        CHECK(erase(f, bad[i]) == 0);
        CHECK(count(f, bad[i]) == 0);
        CHECK(!fields_has(f, bad[i], (uint32_t)strlen(bad[i])));
    }
    for (unsigned i = 0; i < sizeof taken / sizeof *taken; i++) {
        CHECK(append(f, taken[i], "v") == 1);
        CHECK(set(f, taken[i], NULL, 0) == 1);
        CHECK(erase(f, taken[i]) == 1);
    }
    CHECK(append(f, "X", "a\r\nHost: b") == 0);
    CHECK(append(f, "X", "a\x7f") == 0);
    CHECK(append(f, "X", "\xff tab\t and bytes") == -1);
    struct list values[2] = {text("fine"), text("not\nfine")};
    CHECK(set(f, "X", values, 2) == 0);
    CHECK(count(f, "x") == 1); /* as it was */
    fields_drop(f);
}

int check_fields(void)
{
    uint32_t f = fields_new();
    CHECK(length(f) == 0);
    CHECK(append(f, "Accept", "a") == -1 && append(f, "ACCEPT", "b") == -1);
    CHECK(append(f, "Content-Length", "3") == -1);
    CHECK(count(f, "accept") == 2 && fields_has(f, "aCCEPT", 6) && !fields_has(f, "other", 5));
    struct list one = text("c"), l;
    CHECK(set(f, "accept", &one, 1) == -1 && count(f, "Accept") == 1);
    uint32_t copy = fields_clone(f);
    CHECK(erase(f, "accept") == -1 && count(f, "accept") == 0 && erase(f, "nothing") == -1);
    CHECK(count(copy, "accept") == 1 && length(copy) == 2 && length(f) == 1);
    fields_entries(copy, &l);
    const struct pair *pairs = (const struct pair *)(const void *)l.at;
    CHECK(pairs[0].name.n == 14 && memcmp(pairs[0].name.at, "Content-Length", 14) == 0);
    CHECK(pairs[1].value.n == 1 && pairs[1].value.at[0] == 'c');
    fields_drop(copy);

    struct pair from[2] = {{text("A"), text("1")}, {text("b"), text("")}};
    struct header_made made;
    fields_from(from, 2, &made);
    CHECK(!made.failed && length(made.own) == 2);
    uint32_t request = request_new(made.own), child = request_headers(request);
    CHECK(append(child, "x", "y") == 2 && set(child, "a", &one, 1) == 2 && erase(child, "a") == 2);
    copy = fields_clone(child);
    CHECK(append(copy, "x", "y") == -1 && length(child) == 2);
    CHECK(length(child) == 2);
    fields_drop(child); /* before its parent */
    request_drop(request);
    fields_drop(copy);
    fields_drop(f);
    from[1].name = text("Host");
    fields_from(from, 2, &made);
    CHECK(made.failed && made.error == 1);
    from[1].name = text("a b");
    fields_from(from, 2, &made);
    CHECK(made.failed && made.error == 0);
    names_and_values();
    return failures;
}

static void request_texts(uint32_t request)
{
    static const char *const paths[] = {"/", "/a?b=c", "?x", "", "//other.example/x"};
    static const char *const no_paths[] = {"http://other.example/",
                                           "other.example",
                                           "*",
                                           "/a b",
                                           "/a\r\nHost: b",
                                           "/#f",
                                           "@other.example",
                                           "/\\"};
    static const char *const hosts[] = {"example.com", "127.0.0.1:80", "[::1]:8080", "a.b:1"};
    static const char *const no_hosts[] = {
        "",      "a/b",  "user@host", "a b",       "a:b", "a:0", "a:70000", "0x7f.1",
        "127.1", "[::1", "a\r\nb",    "http://ab", "a?b", "a#b", "a\\b",    "[fe80::1%25eth0]"};
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct maybe_text got;
        CHECK(!request_set_path(request, true, paths[i], (uint32_t)strlen(paths[i])));
        request_path(request, &got);
        CHECK(got.has && got.text.n == strlen(paths[i]));
    }
    for (unsigned i = 0; i < sizeof no_paths / sizeof *no_paths; i++) {
        CHECK(request_set_path(request, true, no_paths[i], (uint32_t)strlen(no_paths[i])));
    }
    for (unsigned i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct maybe_text got;
        CHECK(!request_set_authority(request, true, hosts[i], (uint32_t)strlen(hosts[i])));
        request_authority(request, &got);
        CHECK(got.has && memcmp(got.text.at, hosts[i], got.text.n) == 0);
    }
    for (unsigned i = 0; i < sizeof no_hosts / sizeof *no_hosts; i++) {
        CHECK(request_set_authority(request, true, no_hosts[i], (uint32_t)strlen(no_hosts[i])));
    }
    struct maybe_text none;
    CHECK(!request_set_authority(request, false, NULL, 0) &&
          !request_set_path(request, false, NULL, 0));
    request_authority(request, &none);
    CHECK(!none.has);
    request_path(request, &none);
    CHECK(!none.has);
}

static void options(void)
{
    uint32_t o = options_new();
    struct maybe_time t;
    options_connect(o, &t);
    CHECK(!t.has);
    CHECK(!options_set_connect(o, true, 0) && !options_set_first(o, true, UINT64_MAX) &&
          !options_set_between(o, true, 5));
    options_connect(o, &t);
    CHECK(t.has && t.ns == 0);
    options_first(o, &t);
    CHECK(t.has && t.ns == UINT64_MAX);
    options_between(o, &t);
    CHECK(t.has && t.ns == 5);
    CHECK(!options_set_between(o, false, 0));
    options_between(o, &t);
    CHECK(!t.has);
    options_drop(o);
}

static void answers(void)
{
    uint32_t answer = answer_new(fields_new()), headers = answer_headers(answer);
    struct made body, stream;
    struct stream_done done;
    struct done_error end;
    CHECK(answer_status(answer) == 200 && !answer_set_status(answer, 404));
    CHECK(answer_status(answer) == 404 && answer_set_status(answer, 99));
    CHECK(answer_set_status(answer, 1000) && append(headers, "a", "b") == 2);
    answer_body(answer, &body);
    CHECK(!body.failed);
    out_body_write(body.own, &stream);
    CHECK(!stream.failed);
    out_blocking_write(stream.own, "hello", 5, &done); /* waits here for its request */
    CHECK(!done.failed);
    out_blocking_flush(stream.own, &done);
    CHECK(!done.failed);
    out_drop(stream.own);
    out_body_finish(body.own, true, fields_new(), &end);
    CHECK(!end.failed);
    answer_body(answer, &body);
    CHECK(body.failed);
    fields_drop(headers);
    answer_drop(answer);
}

static uint32_t request_to(const char *authority, const char *path)
{
    uint32_t request = request_new(fields_new());
    CHECK(!request_set_scheme(request, true, 0, NULL, 0));
    CHECK(!request_set_authority(request, true, authority, (uint32_t)strlen(authority)));
    CHECK(!request_set_path(request, true, path, (uint32_t)strlen(path)));
    return request;
}

/* Requests that wait for their answer. */
static uint32_t hold_exchanges(const char *authority, uint32_t most, uint32_t *futures)
{
    struct made_error r;
    for (uint32_t i = 0; i < most; i++) {
        handle(request_to(authority, "/hang"), false, 0, &r);
        if (r.failed) {
            tell_error("handle", &r.error);
            return i;
        }
        futures[i] = r.own;
    }
    return most;
}

/* Requests with as much body as may wait. */
static uint32_t hold_bodies(const char *authority, uint32_t most)
{
    static const uint8_t block[65536];
    for (uint32_t i = 0; i < most; i++) {
        struct made body, stream;
        struct stream_count room;
        struct stream_done done;
        request_body(request_to(authority, "/"), &body);
        out_body_write(body.own, &stream);
        out_check(stream.own, &room);
        CHECK(!room.failed && room.n == sizeof block);
        out_write(stream.own, block, (uint32_t)room.n, &done);
        CHECK(!done.failed);
    }
    return most;
}

/* The response to one that lives on, with everything that was taken of it; 0: none. */
static uint32_t answer_to(uint32_t request, uint32_t *out_future)
{
    struct made_error made;
    struct future_response r;
    handle(request, false, 0, &made);
    if (made.failed) {
        tell_error("handle", &made.error);
        *out_future = 0;
        return 0;
    }
    *out_future = made.own;
    uint32_t pollable = future_subscribe(made.own);
    pollable_block(pollable);
    pollable_drop(pollable);
    future_get(made.own, &r);
    CHECK(r.has && !r.failed);
    return r.inner.failed ? 0 : r.inner.own;
}

/* Every byte of a body, and how it ended; its handles stay. */
static uint32_t read_all(uint32_t response, uint8_t *out_error)
{
    struct made body, stream;
    struct stream_read r = {0};
    uint32_t n = 0;
    response_consume(response, &body);
    in_body_stream(body.own, &stream);
    CHECK(!body.failed && !stream.failed);
    while (!r.failed) {
        uint32_t pollable = in_subscribe(stream.own);
        pollable_block(pollable);
        pollable_drop(pollable);
        in_read(stream.own, 3, &r);
        if (!r.failed) {
            n += r.data.n;
            free(r.data.at);
        }
    }
    *out_error = r.error;
    return n;
}

/* Requests one after the other, of which nothing is dropped, as an engine that collects garbage. */
int check_keep(const char *authority, const char *path, bool read, uint32_t most)
{
    uint32_t *responses = calloc(most, sizeof *responses), future, n = 0, bytes = 0, closed = 0;
    for (uint32_t i = 0; i < most; i++) {
        uint8_t error;
        responses[i] = answer_to(request_to(authority, path), &future);
        n += future != 0;
        if (read && responses[i] != 0) {
            bytes += read_all(responses[i], &error);
            closed += error == 1;
        }
        if (future == 0) {
            break;
        }
    }
    for (uint32_t i = 0; i < most && !read && n == most; i++) { /* what was kept is there */
        uint8_t error;
        if (responses[i] != 0) {
            CHECK(response_status(responses[i]) >= 200);
            bytes += read_all(responses[i], &error);
            closed += error == 1;
        }
    }
    printf("kept %u, %u bytes, %u ended\n", n, bytes, closed);
    return failures;
}

int check_hold(const char *authority, const char *what, uint32_t most)
{
    uint32_t *futures = calloc(most, sizeof *futures);
    if (strcmp(what, "bodies") == 0) {
        printf("held %u\n", hold_bodies(authority, most));
        return failures;
    }
    for (int round = 0; round < 2; round++) { /* what was dropped makes room again */
        uint32_t n = hold_exchanges(authority, most, futures);
        printf("held %u\n", n);
        for (uint32_t i = 0; i < n; i++) {
            future_drop(futures[i]);
        }
    }
    return failures;
}

int check_objects(void)
{
    uint32_t request = request_new(fields_new());
    struct a_case method;
    struct maybe_scheme scheme;
    request_method(request, &method);
    CHECK(method.is == 0);
    CHECK(!request_set_method(request, 9, "REPORT", 6));
    request_method(request, &method);
    CHECK(method.is == 9 && method.other.n == 6 && memcmp(method.other.at, "REPORT", 6) == 0);
    CHECK(request_set_method(request, 9, "a b", 3) && request_set_method(request, 9, "", 0));
    CHECK(!request_set_method(request, 2, NULL, 0));
    request_scheme(request, &scheme);
    CHECK(!scheme.has);
    CHECK(!request_set_scheme(request, true, 2, "ftp", 3) &&
          request_set_scheme(request, true, 2, "a:b", 3));
    request_scheme(request, &scheme);
    CHECK(scheme.has && scheme.scheme.is == 2 && scheme.scheme.other.n == 3);
    CHECK(!request_set_scheme(request, false, 0, NULL, 0));
    request_texts(request);
    request_drop(request);
    options();
    answers();
    return failures;
}

int check_many(uint32_t n)
{
    struct pair *from = malloc(n * sizeof *from);
    struct header_made made;
    struct header_result r = {0};
    for (uint32_t i = 0; i < n; i++) {
        from[i] = (struct pair){text("X"), text("v")};
    }
    fields_from(from, n, &made);
    printf("from-list: %s\n", made.failed ? "refused" : "taken");
    if (!made.failed) {
        CHECK(length(made.own) == n && count(made.own, "x") == n);
        fields_drop(made.own);
    }
    uint32_t f = fields_new(), taken = 0;
    while (taken < n && !r.failed) {
        fields_append(f, "X", 1, "v", 1, &r);
        taken += !r.failed;
    }
    printf("append: %u\n", taken);
    struct list *values = malloc(n * sizeof *values);
    for (uint32_t i = 0; i < n; i++) {
        values[i] = text("w");
    }
    fields_set(f, "X", 1, values, n, &r);
    printf("set: %s\n", r.failed ? "refused" : "taken");
    fields_drop(f);
    return failures;
}
