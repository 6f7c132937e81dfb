/* The interfaces as rows. */
#include "provider/corelibs/internal.h"

#define PACKAGE "scheduler:core-libs/"
#define NETWORK PACKAGE "wasi-network"
#define TCP PACKAGE "wasi-tcp"
#define UDP PACKAGE "wasi-udp"

#define IP "variant{ipv4(tuple<u8,u8,u8,u8>),ipv6(tuple<u16,u16,u16,u16,u16,u16,u16,u16>)}"
#define FAMILY "enum{ipv4,ipv6}"
#define HOW "enum{receive,send,both}"
#define ERROR                                                                                      \
    "enum{access-denied,address-in-use,address-not-available,already-connected,"                   \
    "connection-refused,connection-reset,connection-aborted,host-unreachable,"                     \
    "network-unreachable,timeout,would-block,invalid-argument,not-supported,out-of-memory,"        \
    "unknown}"
#define OR_ERROR ", " ERROR ">"
#define DONE "result<_" OR_ERROR
#define WHERE "result<tuple<" IP ",u16>" OR_ERROR

/* Grants are of addresses: each function asks the policy for its own. */
#define ROW(i, n, t, p, args_, result_, h, text)                                                   \
    {                                                                                              \
        .interface = (i), .name = (n), .type = (t), .denied = CORELIBS_ACCESS_DENIED, .cost = 1,   \
        CIS_STRUCTS(h, args_, result_), .params = (p), .doc = (text)                               \
    }
#define TCP_ROW(n, t, p, a, r, h, text)                                                            \
    ROW(TCP, "[method]tcp-socket." n, "func(borrow<tcp-socket>" t, "self" p, struct a, struct r,   \
        h, text)
/* These two are known to the engine, for their bytes. */
#define BYTES_ROW(n, t, p, s, h, text)                                                             \
    {                                                                                              \
        .interface = TCP, .name = "[method]tcp-socket." n, .type = "func(borrow<tcp-socket>, " t,  \
        .shape = CIS_SHAPE_##s, .typed = (h), .denied = CORELIBS_ACCESS_DENIED, .cost = 1,         \
        .params = (p), .doc = (text)                                                               \
    }
#define UDP_ROW(n, t, p, a, r, h, text)                                                            \
    ROW(UDP, "[method]udp-socket." n, "func(borrow<udp-socket>" t, "self" p, struct a, struct r,   \
        h, text)

static const struct cis_ifacefn rows[] = {
    ROW(NETWORK, "get-network", "func() -> own<network>", "", void, uint32_t,
        cis_corelibs_get_network, "The network."),
    ROW(TCP, "[static]tcp-socket.new", "func(" FAMILY ") -> result<own<tcp-socket>" OR_ERROR,
        "family", uint32_t, struct corelibs_made, cis_corelibs_tcp_new, "A socket of that family."),
    TCP_ROW("connect", ", borrow<network>, " IP ", u16) -> " DONE, ",net,address,port", corelibs_at,
            corelibs_done, cis_corelibs_connect, "Connects, and waits until it has or has not."),
    TCP_ROW("bind", ", borrow<network>, " IP ", u16) -> " DONE, ",net,address,port", corelibs_at,
            corelibs_done, cis_corelibs_bind, "Binds to an address of this machine."),
    TCP_ROW("listen", ", u32) -> " DONE, ",backlog", corelibs_self_n, corelibs_done,
            cis_corelibs_listen, "Lets others connect."),
    TCP_ROW("accept", ") -> result<tuple<own<tcp-socket>," IP ",u16>" OR_ERROR, "", corelibs_self,
            corelibs_accepted, cis_corelibs_accept, "Waits for a connection, and who it is from."),
    BYTES_ROW("send", "list<u8>) -> result<u64" OR_ERROR, "self,data", CORE_SEND,
              cis_corelibs_tcp_send, "Sends all of it."),
    BYTES_ROW("receive", "u64) -> result<list<u8>" OR_ERROR, "self,max", CORE_RECEIVE,
              cis_corelibs_tcp_receive, "Waits for bytes; none: the peer has ended."),
    TCP_ROW("local-address", ") -> " WHERE, "", corelibs_self, corelibs_where, cis_corelibs_local,
            "Its own address."),
    TCP_ROW("remote-address", ") -> " WHERE, "", corelibs_self, corelibs_where, cis_corelibs_remote,
            "The peer's address."),
    TCP_ROW("set-reuse-address", ", bool) -> " DONE, ",value", corelibs_self_on, corelibs_done,
            cis_corelibs_reuse, "May an address be bound again at once?"),
    TCP_ROW("shutdown", ", " HOW ") -> " DONE, ",how", corelibs_self_n, corelibs_done,
            cis_corelibs_shutdown, "Ends one direction or both."),
    ROW(UDP, "[static]udp-socket.new", "func(" FAMILY ") -> result<own<udp-socket>" OR_ERROR,
        "family", uint32_t, struct corelibs_made, cis_corelibs_udp_new, "A socket of that family."),
    UDP_ROW("bind", ", borrow<network>, " IP ", u16) -> " DONE, ",net,address,port", corelibs_at,
            corelibs_done, cis_corelibs_bind, "Binds to an address of this machine."),
    UDP_ROW("send-to", ", list<u8>, borrow<network>, " IP ", u16) -> result<u64" OR_ERROR,
            ",data,net,address,port", corelibs_send_to, corelibs_count, cis_corelibs_udp_send,
            "Sends one datagram."),
    UDP_ROW("receive-from", ", u64) -> result<tuple<list<u8>," IP ",u16>" OR_ERROR, ",max",
            corelibs_receive, corelibs_datagram, cis_corelibs_udp_receive,
            "Waits for a datagram, and who it is from."),
    UDP_ROW("local-address", ") -> " WHERE, "", corelibs_self, corelibs_where, cis_corelibs_local,
            "Its own address."),
    UDP_ROW("set-reuse-address", ", bool) -> " DONE, ",value", corelibs_self_on, corelibs_done,
            cis_corelibs_reuse, "May an address be bound again at once?"),
};

const struct cis_iface_table cis_corelibs_table = {"scheduler:core-libs", "0.1.0", rows,
                                                   sizeof rows / sizeof *rows};

static const struct cis_iface_resource resources[] = {
    {"scheduler:core-libs", "network", CORELIBS_NETWORK, NULL, cis_corelibs_is},
    {"scheduler:core-libs", "tcp-socket", CORELIBS_TCP, cis_corelibs_drop, cis_corelibs_is},
    {"scheduler:core-libs", "udp-socket", CORELIBS_UDP, cis_corelibs_drop, cis_corelibs_is},
};

/* Is it an interface of these, in a version that we have? The name without it. */
static bool ours(struct cis_str interface, struct cis_str *out_path)
{
    struct cis_str version;
    *out_path = cis_iface_version(interface, &version);
    return cis_str_starts(interface, CIS_STR(PACKAGE)) &&
           cis_iface_fits(version, cis_str_of(cis_corelibs_table.version));
}

const struct cis_ifacefn *cis_corelibs_function(struct cis_str interface, struct cis_str name)
{
    struct cis_str path;
    for (size_t i = 0; ours(interface, &path) && i < cis_corelibs_table.nrows; i++) {
        if (cis_str_is(path, rows[i].interface) && cis_str_is(name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

const struct cis_iface_resource *cis_corelibs_resource(struct cis_str interface,
                                                       struct cis_str name)
{
    struct cis_str path;
    bool known = ours(interface, &path) &&
                 (cis_str_is(path, NETWORK) || cis_str_is(path, TCP) || cis_str_is(path, UDP));
    for (size_t i = 0; known && i < sizeof resources / sizeof *resources; i++) {
        if (cis_str_is(name, resources[i].name)) {
            return &resources[i];
        }
    }
    return NULL;
}
