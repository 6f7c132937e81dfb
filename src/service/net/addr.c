/* What kind of address one is. */
#include <string.h>
#include "policy/host.h"
#include "service/net/internal.h"

socklen_t cis_net_addr_len(const struct sockaddr *addr)
{
    return addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static struct in6_addr v6_of(const struct sockaddr *addr)
{
    struct sockaddr_in6 v6;
    memcpy(&v6, addr, sizeof v6);
    return v6.sin6_addr;
}

static uint32_t v4_of(const struct sockaddr *addr)
{
    struct sockaddr_in v4;
    memcpy(&v4, addr, sizeof v4);
    return ntohl(v4.sin_addr.s_addr);
}

uint16_t cis_net_addr_port(const struct sockaddr *addr)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (addr->sa_family == AF_INET) {
        memcpy(&v4, addr, sizeof v4);
        return ntohs(v4.sin_port);
    }
    memcpy(&v6, addr, sizeof v6);
    return ntohs(v6.sin6_port);
}

bool cis_net_addr_fits(const struct sockaddr *addr, int family)
{
    if (addr->sa_family != family) {
        return false;
    }
    if (family == AF_INET) {
        return true;
    }
    struct in6_addr v6 = v6_of(addr);
    return !IN6_IS_ADDR_V4MAPPED(&v6) && !IN6_IS_ADDR_V4COMPAT(&v6);
}

bool cis_net_addr_unicast(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        uint32_t v4 = v4_of(addr);
        return !IN_MULTICAST(v4) && v4 != INADDR_BROADCAST;
    }
    struct in6_addr v6 = v6_of(addr);
    return !IN6_IS_ADDR_MULTICAST(&v6);
}

bool cis_net_addr_unspecified(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        return v4_of(addr) == INADDR_ANY;
    }
    struct in6_addr v6 = v6_of(addr);
    return IN6_IS_ADDR_UNSPECIFIED(&v6);
}

bool cis_net_addr_same(const struct sockaddr *a, const struct sockaddr *b)
{
    return cis_addr_equal(a, b) && cis_net_addr_port(a) == cis_net_addr_port(b);
}
