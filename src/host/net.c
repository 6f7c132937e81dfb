/* The network of a run: made when it is first asked for, refusals counted and told. */
#include "host/internal.h"

#include <stdio.h>

cis_code cis_host_net(struct cis_host *host, cis_net **out_net, struct cis_error *err)
{
    if (host->net == NULL) {
        struct cis_net_options options = {.grants = &host->grants,
                                          .budget = &host->budget,
                                          .dns_servers = host->world.dns_servers,
                                          .sockets_max = host->world.sockets_max};
        CIS_TRY(cis_net_new(&options, &host->net, err));
    }
    *out_net = host->net;
    return CIS_OK;
}

void cis_host_net_refused(struct cis_host *host, cis_guest *guest, const char *what)
{
    char line[256];
    const char *grant = cis_net_refusal(host->net);
    if (grant[0] == 0) {
        return;
    }
    cis_host_refused(guest, strcmp(grant, "dns") == 0 ? CIS_GRANT_DNS : CIS_GRANT_NET);
    int n = snprintf(line, sizeof line, "%s: %s is not granted (--allow %s)", what, grant, grant);
    size_t len = n > 0 && (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    cis_host_log(host, CIS_LOG_WARN, (struct cis_str){line, len});
}

void cis_host_net_end(struct cis_host *host)
{
    cis_net_free(host->net);
    host->net = NULL;
}
