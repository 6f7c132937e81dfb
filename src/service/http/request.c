/* What a guest may put into a request. The framing and the connection belong to the host: a field
 * that could change them refuses the whole request, nothing is silently dropped. */
#include "service/http/internal.h"

#include <string.h>
#include <strings.h>
#include "base/mem.h"
#include "policy/header.h"

/* Fields that say something about the request and cannot authorise it: the only ones that follow a
 * redirect to another origin. A list of credentials would miss the next x-…-key. */
static bool may_cross(const char *name)
{
    static const char *const names[] = {"accept",           "accept-language",  "accept-encoding",
                                        "user-agent",       "content-type",     "content-language",
                                        "content-encoding", "cache-control",    "range",
                                        "if-none-match",    "if-modified-since"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool about_the_body(const char *name)
{
    return strncasecmp(name, "content-", 8) == 0;
}

static cis_code check_method(const struct cis_http_request *request, struct cis_error *err)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        found = found || (request->method != NULL && strcmp(request->method, known[i]) == 0);
    }
    if (!found) {
        return cis_fail(err, CIS_E_INVALID,
                        "http method \"%.16s\": not GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS",
                        request->method != NULL ? request->method : "");
    }
    if (request->body_len > 0 &&
        (strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0)) {
        return cis_fail(err, CIS_E_INVALID, "http: a %s request has no body", request->method);
    }
    return CIS_OK;
}

cis_code cis_http_request_check(const struct cis_http_request *request, struct cis_error *err)
{
    CIS_TRY(check_method(request, err));
    if (request->url == NULL || request->grants == NULL ||
        (request->body == NULL && request->body_len > 0) ||
        (request->headers == NULL && request->nheaders > 0)) {
        return cis_fail(err, CIS_E_INVALID, "http: incomplete request");
    }
    if (request->nheaders > CIS_HTTP_HEADERS_DEFAULT) {
        return cis_fail(err, CIS_E_LIMIT, "http: %zu request headers: more than %u",
                        request->nheaders, CIS_HTTP_HEADERS_DEFAULT);
    }
    size_t bytes = 0;
    for (size_t i = 0; i < request->nheaders; i++) {
        const char *name = request->headers[i].name, *value = request->headers[i].value;
        if (name == NULL || value == NULL || !cis_header_token(cis_str_of(name))) {
            return cis_fail(err, CIS_E_INVALID, "http header %zu: not a header name", i + 1);
        }
        if (cis_header_of_host(cis_str_of(name))) {
            return cis_fail(err, CIS_E_INVALID, "http header %.40s: only the host can set it",
                            name);
        }
        if (!cis_header_value(cis_str_of(value))) {
            return cis_fail(err, CIS_E_INVALID, "http header %.40s: contains a control character",
                            name);
        }
        bytes += strlen(name) + strlen(value) + 4;
        if (bytes > CIS_HTTP_HEADER_BYTES) {
            return cis_fail(err, CIS_E_LIMIT, "http: more than %u bytes of request headers",
                            CIS_HTTP_HEADER_BYTES);
        }
    }
    return CIS_OK;
}

static cis_code append(struct curl_slist **list, const char *line, struct cis_error *err)
{
    struct curl_slist *more = line != NULL ? curl_slist_append(*list, line) : NULL;
    if (more == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    *list = more;
    return CIS_OK;
}

static void slist_free(struct curl_slist **list)
{
    curl_slist_free_all(*list);
}

cis_code cis_http_hop_fields(const struct cis_http_request *request, bool crossed,
                             struct cis_http_hop *hop, struct cis_error *err)
{
    CIS_CLEANUP(slist_free) struct curl_slist *list = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(CIS_HTTP_HEADER_BYTES + 16);
    bool agent = false, type = false;
    for (size_t i = 0; i < request->nheaders; i++) {
        const char *name = request->headers[i].name, *value = request->headers[i].value;
        if ((crossed && !may_cross(name)) || (!hop->has_body && about_the_body(name))) {
            continue;
        }
        agent = agent || strcasecmp(name, "user-agent") == 0;
        type = type || strcasecmp(name, "content-type") == 0;
        /* curl reads "Name:" as "leave it out"; an empty field is spelled "Name;". */
        bool empty = value[strspn(value, " \t")] == 0;
        cis_buf_reset(&line);
        cis_buf_printf(&line, empty ? "%s;" : "%s: %s", name, value);
        CIS_TRY(cis_buf_check(&line, "http header", err));
        CIS_TRY(append(&list, cis_buf_cstr(&line), err));
    }
    /* Fields that curl would add by itself. */
    CIS_TRY(append(&list, "Expect:", err));
    if (!type) {
        CIS_TRY(append(&list, "Content-Type:", err));
    }
    if (!agent) {
        CIS_TRY(append(&list, "User-Agent: cis/" CIS_VERSION, err));
    }
    curl_slist_free_all(hop->fields);
    hop->fields = list;
    list = NULL;
    return CIS_OK;
}
