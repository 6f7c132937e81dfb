/* Where a server listens. No name is looked up: it would be somebody else who decides. */
#include "httpd/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 512

void cis_httpd_name(const struct sockaddr_storage *addr, char out[HTTPD_ADDRESS_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (addr->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, addr, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, ip, sizeof ip);
        snprintf(out, HTTPD_ADDRESS_MAX, "[%s]:%u", ip, (unsigned)ntohs(v6.sin6_port));
        return;
    }
    struct sockaddr_in v4;
    memcpy(&v4, addr, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, ip, sizeof ip);
    snprintf(out, HTTPD_ADDRESS_MAX, "%s:%u", ip, (unsigned)ntohs(v4.sin_port));
}

/* "PORT", "HOST:PORT", "[HOST]:PORT" in its parts. */
static bool split(struct cis_str text, struct cis_str *host, struct cis_str *port)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    *host = (struct cis_str){text.ptr, colon != 0 ? colon - 1 : 0};
    *port = (struct cis_str){text.ptr + colon, text.len - colon};
    if (host->len >= 2 && host->ptr[0] == '[' && host->ptr[host->len - 1] == ']') {
        *host = (struct cis_str){host->ptr + 1, host->len - 2};
        return memchr(host->ptr, ':', host->len) != NULL;
    }
    return memchr(host->ptr, ':', host->len) == NULL;
}

/* As inet_pton reads it: the short forms of others ("127.1", "2130706433") are no addresses here.
 */
static bool address_of(struct cis_str host, uint64_t port, struct sockaddr_storage *out)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (host.len >= sizeof text || port > 65535) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof v6);
        return true;
    }
    return false;
}

static cis_code resolve(const char *address, struct sockaddr_storage *out, struct cis_error *err)
{
    struct cis_str host, port;
    uint64_t number = 0;
    bool good = split(cis_str_of(address), &host, &port) && cis_str_u64(port, &number);
    host = host.len == 0 || cis_httpd_same(host, "localhost") ? CIS_STR("127.0.0.1") : host;
    return good && address_of(host, number, out)
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE,
                          "%.100s: not PORT, HOST:PORT or [HOST]:PORT, with an address or "
                          "\"localhost\" as HOST",
                          address);
}

static bool is_loopback(const struct sockaddr_storage *addr)
{
    if (addr->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, addr, sizeof v6);
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    struct sockaddr_in v4;
    memcpy(&v4, addr, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

static int listen_on(const struct sockaddr_storage *at, int *out_sys)
{
    bool v6 = at->ss_family == AF_INET6;
    socklen_t len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int one = 1, fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0;
    if (good && v6) {
        good = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0;
    }
    good = good && bind(fd, (const struct sockaddr *)at, len) == 0 && listen(fd, BACKLOG) == 0;
    if (!good) {
        *out_sys = errno;
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

cis_code cis_httpd_listen(const char *address, int *out_fd, bool *out_loopback,
                          char out_name[HTTPD_ADDRESS_MAX], struct cis_error *err)
{
    struct sockaddr_storage at = {0}, bound = {0};
    socklen_t len = sizeof bound;
    int sys = 0;
    CIS_TRY(resolve(address, &at, err));
    int fd = listen_on(&at, &sys);
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        sys = errno;
        close(fd);
        fd = -1;
    }
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, sys, "%.100s cannot be listened on", address);
    }
    cis_httpd_name(&bound, out_name);
    *out_loopback = is_loopback(&bound);
    *out_fd = fd;
    return CIS_OK;
}
