/* One request and its response on one lane, waited for: curl does the talking, the loop here keeps
 * the deadline and listens for the cancellation. */
#include "service/http/internal.h"

#include <string.h>
#include "base/clock.h"

static size_t on_body(char *data, size_t size, size_t n, void *self)
{
    struct cis_http_wire *x = self;
    return cis_http_reply_body(x->reply, data, size * n) ? size * n : 0;
}

static CURLcode set_request(CURL *c, const struct cis_http_hop *hop, struct cis_http_wire *x)
{
    CURLcode e = CURLE_OK;
#define SET(option, value) (e = e != CURLE_OK ? e : curl_easy_setopt(c, CURLOPT_##option, (value)))
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, x);
    SET(HTTPHEADER, hop->fields);
    if (strcmp(hop->method, "HEAD") == 0) {
        SET(NOBODY, 1L);
    } else if (hop->has_body) {
        SET(POST, 1L);
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)hop->body_len);
        SET(POSTFIELDS, hop->body != NULL ? hop->body : "");
        SET(CUSTOMREQUEST, hop->method);
    } else {
        SET(HTTPGET, 1L);
        SET(CUSTOMREQUEST, hop->method);
    }
#undef SET
    return e;
}

/* Runs the transfer to its end. *out_result is curl's verdict when the return is CIS_OK. */
static cis_code drive(const struct cis_http_lane *lane, const struct cis_call *call,
                      CURLcode *out_result, struct cis_error *err)
{
    struct curl_waitfd bell = {.fd = cis_call_wait_fd(call), .events = CURL_WAIT_POLLIN};
    for (;;) {
        int running = 0, left = 0;
        CURLMcode m = curl_multi_perform(lane->multi, &running);
        if (m == CURLM_OK && running == 0) {
            const CURLMsg *msg = curl_multi_info_read(lane->multi, &left);
            *out_result = msg != NULL ? msg->data.result : CURLE_FAILED_INIT;
            return CIS_OK;
        }
        CIS_TRY(cis_http_stop_check(call, lane->host, err));
        if (m == CURLM_OK) {
            m = curl_multi_poll(lane->multi, &bell, bell.fd >= 0 ? 1 : 0,
                                cis_http_wait_ms(call, CIS_NEVER), NULL);
        }
        if (m != CURLM_OK) {
            return cis_fail(err, m == CURLM_OUT_OF_MEMORY ? CIS_E_NOMEM : CIS_E_NET, "%s: %s",
                            lane->host, curl_multi_strerror(m));
        }
        CIS_TRY(cis_http_stop_check(call, lane->host, err));
    }
}

cis_code cis_http_exchange(struct cis_http_client *client, struct cis_http_lane *lane,
                           const struct cis_http_hop *hop, const struct cis_call *call,
                           struct cis_http_reply *reply, struct cis_error *err)
{
    CIS_CLEANUP(cis_http_wire_done)
    struct cis_http_wire x = {.lane = lane, .reply = reply, .method = hop->method};
    CURLcode result = CURLE_OK;
    cis_code code = cis_http_wire_set(&x, client, &hop->url, err);
    if (code == CIS_OK) {
        result = set_request(lane->easy, hop, &x);
    }
    if (code == CIS_OK && result == CURLE_OK &&
        curl_multi_add_handle(lane->multi, lane->easy) != CURLM_OK) {
        result = CURLE_FAILED_INIT;
    }
    if (code == CIS_OK && result == CURLE_OK) {
        code = drive(lane, call, &result, err);
        curl_multi_remove_handle(lane->multi, lane->easy);
    }
    /* Forgets every option, also the pointers into this frame; the connection stays. */
    curl_easy_reset(lane->easy);
    curl_easy_setopt(lane->easy, CURLOPT_NOSIGNAL, 1L); /* also while it is cleaned up */
    if (code != CIS_OK) {
        return code;
    }
    if (reply->code != CIS_OK) {
        return cis_fail(err, reply->code, "%s", reply->err.msg);
    }
    if (reply->enough) {
        return CIS_OK;
    }
    return cis_http_verdict(&x, result, hop->url.host, err);
}
