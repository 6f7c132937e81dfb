/* https.h where there is no host that sends them. */
#include "https.h"

struct https *https_begin(const struct request *r, const char **out_why)
{
    (void)r;
    *out_why = "HTTPS needs a host that sends it (wasi:http)";
    return NULL;
}

enum net_error https_step(struct https *h, struct response *out)
{
    (void)h, (void)out;
    return NET_OTHER;
}

struct net_socket *https_socket(struct https *h)
{
    (void)h;
    return NULL;
}

void https_free(struct https *h)
{
    (void)h;
}
