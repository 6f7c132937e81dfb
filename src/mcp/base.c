/* What runs need besides what is listed: the engine and the services, and lists that are as the
 * skills are. */
#include "mcp/internal.h"

cis_code cis_mcp_base_take(struct cis_mcp *m, bool network, struct cis_mcp_base *out,
                           struct cis_error *err) CIS_TAKES(mcp_base_lock)
{
    cis_mutex_lock(&m->base_lock, mcp_base_lock);
    *out = (struct cis_mcp_base){0};
    cis_code code = m->o.wasi_env(m->o.self, network, out, err);
    cis_mutex_unlock(&m->base_lock, mcp_base_lock);
    return code;
}

void cis_mcp_lists_stale(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    m->lists_stale = true;
    cis_mutex_unlock(&m->lock, mcp_lock);
}
