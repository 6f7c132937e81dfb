/* wasi:sockets/network and instance-network. The network is one and nothing by itself: what may be
 * reached is checked for each address. */
#include "wasi/p2/sockets.h"

static cis_code net_instance(cis_engine_instance *instance, const struct cis_typed *args,
                             struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *thing;
    (void)args;
    return cis_p2_give(instance, P2_NETWORK, P2_NO_PARENT, out, &thing, err);
}

struct maybe_error {
    bool has;
    uint32_t error;
};

/* Of a stream over a socket alone; others have no error of the network. */
static cis_code net_error_of(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    const struct p2_self *a = args;
    struct maybe_error *r = result;
    const struct p2_thing *thing = cis_p2_at(instance, a->self);
    (void)err;
    r->has = thing->source != NULL && thing->source->ops == &cis_p2_tcp_ops;
    r->error = r->has ? (uint32_t)cis_sock_code_of(thing->error) - 1 : 0;
    return CIS_OK;
}

#define NETWORK "wasi:sockets/network"
static const struct cis_ifacefn rows[] = {
    {.interface = NETWORK,
     .name = "network-error-code",
     .type = "func(borrow<error>) -> option<" P2_NET_ERROR ">",
     CIS_STRUCTS(net_error_of, struct p2_self, struct maybe_error),
     .denied = -1,
     .cost = 1,
     .params = "err",
     .doc = "The network's error behind a stream's."},
    {.interface = "wasi:sockets/instance-network",
     .name = "instance-network",
     .type = "func() -> own<network>",
     .shape = CIS_SHAPE_GET,
     .typed = net_instance,
     .denied = -1,
     .cost = 1,
     .params = "",
     .doc = "The network, as far as it was granted."},
};
const struct cis_iface_table cis_p2_network_table = {
    .abi = "wasi", .version = "0.2.12", .rows = rows, .nrows = sizeof rows / sizeof *rows};
