/* The client object: options and lifetime. */
#include "service/http/stream.h"

#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

#define CONNECT_DEFAULT_NS (10 * CIS_NS_PER_S)
#define IDLE_DEFAULT 32u

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_status;

static void global_init(void)
{
    global_status = curl_global_init(CURL_GLOBAL_DEFAULT);
}

cis_code cis_http_client_new(const struct cis_http_client_options *options,
                             cis_http_client **out_client, struct cis_error *err)
{
    static const struct cis_http_client_options none = {0};
    const struct cis_http_client_options *o = options != NULL ? options : &none;
    pthread_once(&once, global_init);
    if (global_status != CURLE_OK) {
        return cis_fail(err, CIS_E_NET, "http client: %s", curl_easy_strerror(global_status));
    }
    if (o->ca_file != NULL && access(o->ca_file, R_OK) != 0) {
        return cis_fail(err, CIS_E_USAGE, "ca_file %s: cannot be read", o->ca_file);
    }
    if (o->dns_servers != NULL) {
        CIS_TRY(cis_net_dns_check(o->dns_servers, err));
    }
    cis_http_client *client = cis_zalloc(sizeof *client);
    if (client == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "http client: out of memory");
    }
    pthread_mutex_init(&client->lock, NULL);
    client->service = (struct cis_http_service)CIS_HTTP_SERVICE_INIT;
    client->service.self = client;
    client->service.send = cis_http_send;
    client->service.open = cis_http_stream_open;
    client->service.poll = cis_http_stream_poll;
    client->service.write = cis_http_stream_write;
    client->service.finish = cis_http_stream_finish;
    client->service.read = cis_http_stream_read;
    client->service.fields = cis_http_stream_fields;
    client->service.close = cis_http_stream_close;
    client->connect_ns = o->connect_ns != 0 ? o->connect_ns : CONNECT_DEFAULT_NS;
    client->idle_max = o->connections_max != 0 ? o->connections_max : IDLE_DEFAULT;
    client->ca_file = o->ca_file != NULL ? cis_strdup(o->ca_file) : NULL;
    client->dns_servers = o->dns_servers != NULL ? cis_strdup(o->dns_servers) : NULL;
    if ((o->ca_file != NULL && client->ca_file == NULL) ||
        (o->dns_servers != NULL && client->dns_servers == NULL)) {
        cis_http_client_free(client);
        return cis_fail(err, CIS_E_NOMEM, "http client: out of memory");
    }
    *out_client = client;
    return CIS_OK;
}

void cis_http_client_free(cis_http_client *client)
{
    if (client == NULL) {
        return;
    }
    cis_lock_alone(http_lock_lanes);
    while (client->idle != NULL) {
        struct cis_http_lane *lane = client->idle;
        client->idle = lane->next;
        cis_http_lane_free(lane);
    }
    pthread_mutex_destroy(&client->lock);
    cis_free(client->ca_file);
    cis_free(client->dns_servers);
    cis_free(client);
}

const struct cis_http_service *cis_http_client_service(cis_http_client *client)
{
    return &client->service;
}
