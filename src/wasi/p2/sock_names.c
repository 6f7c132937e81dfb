/* wasi:sockets/ip-name-lookup: names under the policy, polled beside everything else. */
#include "base/mem.h"
#include "wasi/p2/sockets.h"

struct lookup {
    struct p2_source base; /* first */
    cis_names *names;
};

static void wish(struct p2_source *self, enum p2_way way, struct p2_wish *out)
{
    (void)way;
    if (cis_names_wish(((struct lookup *)self)->names, &out->fd, &out->at_ns)) {
        out->events = POLLIN;
    }
}

static bool ready(cis_engine_instance *instance, struct p2_source *self, enum p2_way way)
{
    (void)instance, (void)way;
    return cis_names_step(((struct lookup *)self)->names);
}

static void lookup_free(struct cis_host *host, struct p2_source *self)
{
    struct lookup *lookup = (struct lookup *)self;
    (void)host;
    cis_names_free(lookup->names);
    cis_free(lookup);
}

static const struct p2_source_ops ops = {.wish = wish, .ready = ready, .free = lookup_free};

struct resolve_args {
    uint32_t network;
    struct cis_str name;
};

static cis_code hand_out(cis_engine_instance *instance, cis_names *names, uint32_t *out_rep,
                         struct cis_error *err)
{
    struct lookup *lookup = cis_zalloc(sizeof *lookup);
    if (lookup == NULL) {
        cis_names_free(names);
        return cis_fail(err, CIS_E_NOMEM, "names: out of memory");
    }
    p2_source_init(&lookup->base, &ops);
    lookup->names = names;
    cis_code code =
        cis_p2_new_over(instance, P2_LOOKUP, P2_NO_PARENT, &lookup->base, P2_STATE, out_rep, err);
    cis_p2_source_unref(cis_host_of(instance), &lookup->base);
    return code;
}

cis_code cis_p2_names_resolve(cis_engine_instance *instance, const void *args, void *result,
                              struct cis_error *err)
{
    const struct resolve_args *a = args;
    struct p2_net_one *r = result;
    cis_net *net;
    cis_names *names;
    CIS_TRY(cis_host_net(cis_host_of(instance), &net, err));
    enum cis_sock_code code = cis_names_ask(net, a->name, &names);
    if (p2_net_failed(instance, code, "name lookup", &r->failed, &r->error)) {
        return CIS_OK;
    }
    return hand_out(instance, names, &r->rep, err);
}

cis_code cis_p2_names_next(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const struct p2_self *a = args;
    struct p2_net_maybe_ip *r = result;
    struct sockaddr_storage addr;
    bool more;
    (void)err;
    cis_names *names = ((struct lookup *)cis_p2_at(instance, a->self)->source)->names;
    enum cis_sock_code code = cis_names_next(names, &addr, &more);
    if (!p2_net_failed(instance, code, "name lookup", &r->failed, &r->error) && more) {
        r->has = true;
        cis_p2_ip_out(&addr, &r->ip);
    }
    return CIS_OK;
}

#define LOOKUP "wasi:sockets/ip-name-lookup"
static const struct cis_ifacefn rows[] = {
    {.interface = LOOKUP,
     .name = "resolve-addresses",
     .type =
         "func(borrow<network>, string) -> result<own<resolve-address-stream>, " P2_NET_ERROR ">",
     CIS_STRUCTS(cis_p2_names_resolve, struct resolve_args, struct p2_net_one),
     .denied = -1,
     .cost = 1,
     .params = "network,name",
     .doc = "Asks for the addresses of a name."},
    {.interface = LOOKUP,
     .name = "[method]resolve-address-stream.resolve-next-address",
     .type =
         "func(borrow<resolve-address-stream>) -> result<option<" P2_NET_IP ">, " P2_NET_ERROR ">",
     CIS_STRUCTS(cis_p2_names_next, struct p2_self, struct p2_net_maybe_ip),
     .denied = -1,
     .cost = 1,
     .params = "self",
     .doc = "The next of them."},
    {.interface = LOOKUP,
     .name = "[method]resolve-address-stream.subscribe",
     .type = "func(borrow<resolve-address-stream>) -> own<pollable>",
     .shape = CIS_SHAPE_CHILD,
     .typed = cis_p2_source_subscribe,
     .denied = -1,
     .cost = 1,
     .params = "self",
     .doc = "Ready when there is an answer."},
};
const struct cis_iface_table cis_p2_names_table = {
    .abi = "wasi", .version = "0.2.12", .rows = rows, .nrows = sizeof rows / sizeof *rows};
