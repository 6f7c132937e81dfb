/* The network of a run: made when it is first asked for, refusals counted and told. */
#include "host/internal.h"

cis_code cis_host_net(struct cis_host *host, cis_net **out_net, struct cis_error *err)
{
    if (host->net == NULL) {
        struct cis_net_options options = {.grants = &host->grants,
                                          .budget = &host->budget,
                                          .dns_servers = host->wasi_env.dns_servers,
                                          .sockets_max = host->wasi_env.sockets_max};
        CIS_TRY(cis_net_new(&options, &host->net, err));
    }
    *out_net = host->net;
    return CIS_OK;
}

void cis_host_net_refused(struct cis_host *host, cis_engine_instance *instance, const char *what)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(CIS_LOG_LINE_MAX);
    const char *grant = cis_net_refusal(host->net);
    if (grant[0] == 0) {
        return;
    }
    cis_host_refused(instance, strcmp(grant, "dns") == 0 ? CIS_GRANT_DNS : CIS_GRANT_NET);
    cis_buf_printf(&line, "%s: %s is not granted (--allow %s)", what, grant, grant);
    cis_host_log(host, CIS_LOG_WARN, cis_buf_view(&line));
}

void cis_host_net_end(struct cis_host *host)
{
    cis_net_free(host->net);
    host->net = NULL;
}
