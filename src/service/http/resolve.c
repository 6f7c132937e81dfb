/* Names to vetted addresses: service/net asks, policy/ checks what comes back. */
#include "service/http/internal.h"

cis_code cis_http_resolve(cis_http_client *client, const struct cis_grants *grants,
                          const struct cis_url *url, const struct cis_call *call,
                          struct cis_net_addrs *out, struct cis_error *err)
{
    if (!cis_policy_origin_allowed(grants, url)) { /* not even a question to a name server */
        return cis_fail(err, CIS_E_DENIED, "%s://%s:%u: not granted", url->scheme, url->host,
                        (unsigned)url->port);
    }
    CIS_CLEANUP(cis_net_addrs_done) struct cis_net_addrs found = {NULL, 0};
    CIS_TRY(cis_net_resolve(client->dns_servers, url->host, url->port, client->connect_ns, call,
                            &found, err));
    for (size_t i = 0; i < found.n; i++) {
        CIS_TRY(cis_policy_addr_check(grants, url, (const struct sockaddr *)&found.list[i], err));
    }
    *out = found;
    found = (struct cis_net_addrs){NULL, 0};
    return CIS_OK;
}
