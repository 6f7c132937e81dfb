/* Lanes: making, keeping idle, finding again. */
#include "service/http/internal.h"

#include <string.h>
#include "base/clock.h"
#include "base/mem.h"

void cis_http_lane_free(struct cis_http_lane *lane)
{
    if (lane == NULL) {
        return;
    }
    /* The multi handle holds the connection; the easy handle is never left inside. */
    if (lane->easy != NULL) {
        curl_easy_cleanup(lane->easy);
    }
    if (lane->multi != NULL) {
        curl_multi_cleanup(lane->multi);
    }
    cis_net_addrs_done(&lane->addrs);
    cis_free(lane->tenant);
    cis_free(lane->scheme);
    cis_free(lane->host);
    cis_free(lane);
}

static void lane_freep(struct cis_http_lane **lane)
{
    cis_http_lane_free(*lane);
}

static const char *tenant_of(const struct cis_call *call)
{
    return call->tenant != NULL ? call->tenant : "";
}

static bool fits(const struct cis_http_lane *lane, const char *tenant, const struct cis_url *url)
{
    return lane->port == url->port && strcmp(lane->tenant, tenant) == 0 &&
           strcmp(lane->scheme, url->scheme) == 0 && strcmp(lane->host, url->host) == 0;
}

/* Another run of the tenant may have been granted more: its addresses are checked again. */
static bool may_use(const struct cis_http_lane *lane, const struct cis_grants *grants,
                    const struct cis_url *url)
{
    if (cis_clock_mono_ns() - lane->looked_up_ns > CIS_HTTP_LANE_AGE_NS) {
        return false;
    }
    for (size_t i = 0; i < lane->addrs.n; i++) {
        const struct sockaddr *addr = (const struct sockaddr *)&lane->addrs.list[i];
        if (cis_policy_addr_check(grants, url, addr, NULL) != CIS_OK) {
            return false;
        }
    }
    return true;
}

struct cis_http_lane *cis_http_lane_idle(struct cis_http_client *client,
                                         const struct cis_grants *grants, const struct cis_url *url,
                                         const struct cis_call *call)
{
    struct cis_http_lane *found = NULL;
    cis_mutex_lock(&client->lock, http_lock_lanes);
    for (struct cis_http_lane **at = &client->idle; *at != NULL; at = &(*at)->next) {
        if (fits(*at, tenant_of(call), url) && may_use(*at, grants, url)) {
            found = *at;
            *at = found->next;
            found->next = NULL;
            client->nidle--;
            break;
        }
    }
    cis_mutex_unlock(&client->lock, http_lock_lanes);
    return found;
}

cis_code cis_http_lane_new(const struct cis_url *url, const struct cis_call *call,
                           struct cis_net_addrs *addrs, struct cis_http_lane **out_lane,
                           struct cis_error *err)
{
    CIS_CLEANUP(lane_freep) struct cis_http_lane *lane = cis_zalloc(sizeof *lane);
    if (lane == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", url->host);
    }
    lane->looked_up_ns = cis_clock_mono_ns();
    lane->port = url->port;
    lane->tenant = cis_strdup(tenant_of(call));
    lane->scheme = cis_strdup(url->scheme);
    lane->host = cis_strdup(url->host);
    lane->multi = curl_multi_init();
    lane->easy = curl_easy_init();
    if (lane->tenant == NULL || lane->scheme == NULL || lane->host == NULL || lane->multi == NULL ||
        lane->easy == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", url->host);
    }
    curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, 1L);
    curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    lane->addrs = *addrs;
    *addrs = (struct cis_net_addrs){NULL, 0};
    *out_lane = cis_take(&lane);
    return CIS_OK;
}

cis_code cis_http_lane_take(struct cis_http_client *client, const struct cis_grants *grants,
                            const struct cis_url *url, const struct cis_call *call,
                            struct cis_http_lane **out_lane, struct cis_error *err)
{
    CIS_TRY(cis_http_stop_check(call, url->host, err));
    if (!cis_policy_origin_allowed(grants, url)) {
        return cis_fail(err, CIS_E_DENIED, "%s://%s:%u: not granted", url->scheme, url->host,
                        (unsigned)url->port);
    }
    struct cis_http_lane *idle = cis_http_lane_idle(client, grants, url, call);
    if (idle != NULL) {
        *out_lane = idle;
        return CIS_OK;
    }
    CIS_CLEANUP(cis_net_addrs_done) struct cis_net_addrs addrs = {NULL, 0};
    CIS_TRY(cis_http_resolve(client, grants, url, call, &addrs, err));
    return cis_http_lane_new(url, call, &addrs, out_lane, err);
}

void cis_http_lane_keep(struct cis_http_client *client, struct cis_http_lane *lane)
{
    struct cis_http_lane *oldest = NULL;
    cis_mutex_lock(&client->lock, http_lock_lanes);
    lane->next = client->idle;
    client->idle = lane;
    client->nidle++;
    if (client->nidle > client->idle_max) {
        struct cis_http_lane **at = &client->idle;
        while ((*at)->next != NULL) {
            at = &(*at)->next;
        }
        oldest = *at;
        *at = NULL;
        client->nidle--;
    }
    cis_mutex_unlock(&client->lock, http_lock_lanes);
    cis_http_lane_free(oldest);
}
