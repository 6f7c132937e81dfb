/* HTTP client on libcurl under the network policy (policy/net.h): names resolved by service/net,
 * every address vetted and pinned, redirects vetted again, nothing taken from the environment.
 * Implements struct cis_http_service; thread safe; connections are kept alive per origin within one
 * client and never shared between runs of different tenants.
 *
 * request.body_max is literal (0: no body byte is accepted); at most 20 redirects are followed; no
 * compression is asked for or undone. Codes: INVALID (request, URL), DENIED (not granted, no
 * address, an address that may not be reached, a redirect to such), LIMIT (body, headers,
 * redirects), NET (the server or the way to it), DEADLINE, CANCELLED, NOMEM. On failure the sink
 * may have been given a part of the body. request.grants must be set. */
#ifndef CIS_SERVICE_HTTP_HTTP_H
#define CIS_SERVICE_HTTP_HTTP_H

#include "cis/service.h"
#include "policy/net.h"
#include "service/net/resolve.h"

typedef struct cis_http_client cis_http_client;

struct cis_http_client_options {
    const char *ca_file;      /* additional CA certificates (PEM), NULL: the system's */
    const char *dns_servers;  /* "127.0.0.1:5353,…" instead of the system's, NULL: system */
    uint64_t connect_ns;      /* 0: 10 s */
    uint32_t connections_max; /* idle connections kept, 0: 32 */
};

cis_code cis_http_client_new(const struct cis_http_client_options *options,
                             cis_http_client **out_client, struct cis_error *err);
void cis_http_client_free(cis_http_client *client);
/* Borrowed from the client. */
const struct cis_http_service *cis_http_client_service(cis_http_client *client);
/* Names → addresses under the stop; literal addresses and localhost never ask a server. No record,
 * or any record that may not be reached, is CIS_E_DENIED for the whole answer. */
cis_code cis_http_resolve(cis_http_client *client, const struct cis_grants *grants,
                          const struct cis_url *url, const struct cis_call *call,
                          struct cis_net_addrs *out, struct cis_error *err);

#endif
