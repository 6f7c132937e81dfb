/* A request and its redirects: each hop is checked like a first request. */
#include "service/http/internal.h"

#include <string.h>
#include "base/mem.h"

static void hop_done(struct cis_http_hop *hop)
{
    cis_url_done(&hop->url);
    curl_slist_free_all(hop->fields);
    hop->fields = NULL;
}

static bool same_origin(const struct cis_url *a, const struct cis_url *b)
{
    return a->port == b->port && strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0;
}

/* From https to http: only where a grant names that very origin, never because of `network`. */
static bool downgrade_allowed(const struct cis_grants *grants, const struct cis_url *from,
                              const struct cis_url *to)
{
    struct cis_grants named = *grants; /* borrowed lists, not freed */
    named.network = false;
    return strcmp(from->scheme, "https") != 0 || strcmp(to->scheme, "https") == 0 ||
           cis_policy_origin_allowed(&named, to);
}

/* Turns hop into the next one. */
static cis_code follow(const struct cis_http_request *request, const struct cis_http_reply *reply,
                       struct cis_http_hop *hop, bool *crossed, struct cis_error *err)
{
    const struct cis_grants *grants = request->grants;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_HTTP_HEADER_BYTES * 2);
    CIS_CLEANUP(cis_url_done) struct cis_url next = {0};
    CIS_TRY(cis_http_location(&hop->url, reply->location, &text, err));
    cis_code code = cis_url_parse(cis_buf_view(&text), &next, err);
    if (code != CIS_OK) {
        cis_error_prefix(err, code, "redirect from %s", hop->url.host);
        return code == CIS_E_NOMEM ? code : CIS_E_DENIED;
    }
    if (!cis_policy_origin_allowed(grants, &next) || !downgrade_allowed(grants, &hop->url, &next)) {
        return cis_fail(err, CIS_E_DENIED, "redirect from %s to %s://%s:%u: not granted",
                        hop->url.host, next.scheme, next.host, (unsigned)next.port);
    }
    *crossed = *crossed || !same_origin(&hop->url, &next);
    const char *method = cis_http_redirect_method(reply->status, hop->method);
    if (strcmp(method, hop->method) != 0) {
        hop->has_body = false;
        hop->body = NULL;
        hop->body_len = 0;
    }
    hop->method = method;
    cis_url_done(&hop->url);
    hop->url = next;
    next = (struct cis_url){0};
    return CIS_OK;
}

static cis_code one_hop(struct cis_http_client *client, const struct cis_call *call,
                        const struct cis_http_request *request, const struct cis_http_hop *hop,
                        struct cis_http_reply *reply, struct cis_error *err)
{
    struct cis_http_lane *lane = NULL;
    CIS_TRY(cis_http_lane_take(client, request->grants, &hop->url, call, &lane, err));
    cis_code code = cis_http_exchange(client, lane, hop, call, reply, err);
    if (code == CIS_OK) {
        cis_http_lane_keep(client, lane);
    } else {
        cis_http_lane_free(lane);
    }
    return code;
}

enum cis_code cis_http_send(void *self, const struct cis_call *call,
                            const struct cis_http_request *request,
                            struct cis_http_response *response, struct cis_error *err)
{
    struct cis_http_client *client = self;
    CIS_TRY(cis_http_request_check(request, err));
    bool has_body = request->body_len > 0 || strcmp(request->method, "POST") == 0 ||
                    strcmp(request->method, "PUT") == 0 || strcmp(request->method, "PATCH") == 0;
    CIS_CLEANUP(hop_done)
    struct cis_http_hop hop = {.method = request->method,
                               .body = request->body,
                               .body_len = request->body_len,
                               .has_body = has_body};
    CIS_TRY(cis_url_parse(cis_str_of(request->url), &hop.url, err));
    uint32_t max = request->redirects_max < CIS_HTTP_REDIRECTS_MAX ? request->redirects_max
                                                                   : CIS_HTTP_REDIRECTS_MAX;
    bool crossed = false;
    for (uint32_t n = 0;; n++) {
        CIS_TRY(cis_http_hop_fields(request, crossed, &hop, err));
        CIS_CLEANUP(cis_http_reply_done)
        struct cis_http_reply reply = {.request = request,
                                       .response = response,
                                       .host = hop.url.host,
                                       .follow = request->redirects_max > 0,
                                       .head = strcmp(hop.method, "HEAD") == 0,
                                       .fields = CIS_BUF_INIT(CIS_HTTP_HEADER_BYTES * 2)};
        CIS_TRY(one_hop(client, call, request, &hop, &reply, err));
        if (reply.location == NULL) {
            return CIS_OK;
        }
        if (n == max) {
            return cis_fail(err, CIS_E_LIMIT, "%s: more than %u redirects", hop.url.host,
                            (unsigned)max);
        }
        CIS_TRY(follow(request, &reply, &hop, &crossed, err));
    }
}
