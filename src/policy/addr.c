/* Addresses: which are public, and which a run was granted by name of the very address. */
#include "policy/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include "policy/host.h"
#include "policy/set.h"

struct block {
    uint8_t prefix[16];
    unsigned bits;
};

/* IANA IPv4 special-purpose registry, everything not globally reachable; 192.0.0/24 as a whole, and
 * the former 6to4 relays. */
static const struct block v4_special[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* shared address space */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link local: cloud metadata */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* IETF protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* 6to4 relay anycast, deprecated */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarking */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, broadcast */
};

/* Only 2000::/3 is handed out as global unicast; these blocks inside it are not. Everything outside
 * (mapped, compatible, 64:ff9b::/96, 64:ff9b:1::/48, fc00::/7, fe80::/10, ff00::/8, …) never is. */
static const struct block v6_special[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments: Teredo, ORCHID, benchmarking */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4 */
    {{0x3f, 0xfe}, 16},             /* 6bone, returned */
    {{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

static bool in_block(const uint8_t *addr, const uint8_t *prefix, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;
    if (memcmp(addr, prefix, bytes) != 0) {
        return false;
    }
    return rest == 0 || ((addr[bytes] ^ prefix[bytes]) >> (8 - rest)) == 0;
}

static bool in_any(const uint8_t *addr, const struct block *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (in_block(addr, blocks[i].prefix, blocks[i].bits)) {
            return true;
        }
    }
    return false;
}

bool cis_addr_is_public(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, addr, sizeof v4);
        uint8_t bytes[4];
        memcpy(bytes, &v4.sin_addr, 4);
        return !in_any(bytes, v4_special, sizeof v4_special / sizeof *v4_special);
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, addr, sizeof v6);
        const uint8_t *bytes = v6.sin6_addr.s6_addr;
        return v6.sin6_scope_id == 0 && (bytes[0] & 0xe0) == 0x20 &&
               !in_any(bytes, v6_special, sizeof v6_special / sizeof *v6_special);
    }
    return false;
}

static bool granted_as_address(const struct cis_grants *grants, const struct cis_url *url,
                               const struct sockaddr *addr)
{
    for (size_t i = 0; i < grants->nhttp; i++) {
        const struct cis_origin *o = &grants->http[i];
        if (o->wildcard || o->port != url->port || strcmp(o->scheme, url->scheme) != 0) {
            continue;
        }
        struct sockaddr_storage literal;
        if (strcmp(o->host, "localhost") == 0
                ? cis_addr_is_localhost(addr)
                : cis_host_sockaddr(o->host, &literal) &&
                      cis_addr_equal((const struct sockaddr *)&literal, addr)) {
            return true;
        }
    }
    return false;
}

cis_code cis_policy_addr_check(const struct cis_grants *grants, const struct cis_url *url,
                               const struct sockaddr *addr, struct cis_error *err)
{
    char text[64];
    cis_addr_text(addr, text);
    if (!cis_policy_origin_allowed(grants, url)) {
        return cis_fail(err, CIS_E_DENIED, "%s://%s:%u: not granted", url->scheme, url->host,
                        (unsigned)url->port);
    }
    struct sockaddr_storage literal;
    if (url->is_address && !(cis_host_sockaddr(url->host, &literal) &&
                             cis_addr_equal((const struct sockaddr *)&literal, addr))) {
        return cis_fail(err, CIS_E_DENIED, "%s: the connection would go to another address, %s",
                        url->host, text);
    }
    if (cis_addr_is_public(addr) || granted_as_address(grants, url, addr)) {
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_DENIED,
                    "%s: address %s is not public; it needs its own grant http=%s://%s%s%s:%u",
                    url->host, text, url->scheme, addr->sa_family == AF_INET6 ? "[" : "", text,
                    addr->sa_family == AF_INET6 ? "]" : "", (unsigned)url->port);
}
