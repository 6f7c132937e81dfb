/* What the HTTP tests share: a client, grants, and one call to fetch and keep what came back. */
#ifndef CIS_TESTS_HTTP_FIXTURE_H
#define CIS_TESTS_HTTP_FIXTURE_H

#include "harness.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "service/http/http.h"
#include "service_http/server.h"

struct fetched {
    cis_code code;
    struct cis_error err;
    uint16_t status;
    struct cis_buf headers; /* "name: value\n" */
    struct cis_buf body;
};

struct fetch {
    cis_http_client *client;
    const struct cis_grants *grants;
    const char *method, *url, *tenant;
    const char *body;
    size_t body_len; /* 0: strlen(body) */
    const struct cis_http_header *headers;
    size_t nheaders;
    uint64_t body_max; /* 0: 1 MiB */
    uint32_t headers_max, redirects_max;
    uint64_t deadline_ns; /* 0: none */
    cis_cancel *cancel;
};

static inline enum cis_code fetched_header(void *self, const char *name, const char *value)
{
    struct fetched *f = self;
    cis_buf_printf(&f->headers, "%s: %s\n", name, value);
    return CIS_E_OK;
}

static inline enum cis_code fetched_body(void *self, const void *data, size_t len)
{
    struct fetched *f = self;
    cis_buf_add(&f->body, data, len);
    return f->body.failed;
}

static inline struct fetched *fetch(struct fetch f)
{
    struct fetched *got = cis_zalloc(sizeof *got);
    assert_non_null(got);
    got->headers = CIS_BUF_INIT(1u << 20);
    got->body = CIS_BUF_INIT(256u << 20);
    struct cis_stop stop = {.deadline_ns = f.deadline_ns != 0 ? f.deadline_ns : CIS_NEVER,
                            .cancel = f.cancel};
    struct cis_call call = {.tenant = f.tenant != NULL ? f.tenant : "default",
                            .skill = "file:test",
                            .run_id = "1",
                            .deadline_ns = stop.deadline_ns,
                            .stop = &stop};
    struct cis_http_request request = {.method = f.method != NULL ? f.method : "GET",
                                       .url = f.url,
                                       .headers = f.headers,
                                       .nheaders = f.nheaders,
                                       .body = f.body,
                                       .body_len = f.body_len != 0  ? f.body_len
                                                   : f.body != NULL ? strlen(f.body)
                                                                    : 0,
                                       .body_max = f.body_max != 0 ? f.body_max : 1u << 20,
                                       .headers_max = f.headers_max,
                                       .redirects_max = f.redirects_max,
                                       .grants = f.grants};
    struct cis_http_response response = {
        .self = got, .header = fetched_header, .body = {got, fetched_body}};
    const struct cis_http_service *service = cis_http_client_service(f.client);
    got->code = service->send(service->self, &call, &request, &response, &got->err);
    got->status = response.status;
    return got;
}

static inline void fetched_free(struct fetched *got)
{
    cis_buf_done(&got->headers);
    cis_buf_done(&got->body);
    cis_free(got);
}

#define assert_fetched(status_, text, ...)                                                         \
    do {                                                                                           \
        struct fetched *got_ = fetch((struct fetch){__VA_ARGS__});                                 \
        if (got_->code != CIS_OK) {                                                                \
            fail_msg("%s (%s)", got_->err.msg, cis_code_name(got_->code));                         \
        }                                                                                          \
        assert_int_equal(got_->status, (status_));                                                 \
        if (strstr(cis_buf_cstr(&got_->body), (text)) == NULL) {                                   \
            fail_msg("body \"%s\" lacks \"%s\"", cis_buf_cstr(&got_->body), (text));               \
        }                                                                                          \
        fetched_free(got_);                                                                        \
    } while (0)

#define assert_not_fetched(code_, text, ...)                                                       \
    do {                                                                                           \
        struct fetched *got_ = fetch((struct fetch){__VA_ARGS__});                                 \
        if (got_->code != (code_) || strstr(got_->err.msg, (text)) == NULL) {                      \
            fail_msg("got %s (%s), status %u", got_->err.msg, cis_code_name(got_->code),           \
                     (unsigned)got_->status);                                                      \
        }                                                                                          \
        fetched_free(got_);                                                                        \
    } while (0)

/* "http://127.0.0.1:PORT/path"; four texts live at a time. */
static inline const char *at_host(const char *scheme, const char *host, uint16_t port,
                                  const char *path)
{
    static char texts[4][8192];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "%s://%s:%u%s", scheme, host, (unsigned)port, path);
    return text;
}
#define at(server, path) at_host("http", "127.0.0.1", httpd_port(server), (path))

static inline void grant(struct cis_grants *grants, const char *url_origin)
{
    char text[300];
    snprintf(text, sizeof text, "http=%s", url_origin);
    assert_ok(cis_grants_add(grants, cis_str_of(text), err));
}

struct world {
    httpd *server;
    cis_http_client *client;
    struct cis_grants grants; /* http to the server at 127.0.0.1 */
};

static inline struct world world_new(const struct httpd_options *server_options,
                                     const struct cis_http_client_options *client_options)
{
    struct world w = {0};
    w.server = httpd_start(server_options);
    assert_non_null(w.server);
    assert_ok(cis_http_client_new(client_options, &w.client, err));
    grant(&w.grants, at(w.server, ""));
    return w;
}

static inline void world_done(struct world *w)
{
    cis_http_client_free(w->client);
    httpd_stop(w->server);
    cis_grants_done(&w->grants);
}

#endif
