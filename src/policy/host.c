#include "policy/host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool cis_port_parse(struct cis_str text, uint16_t *out)
{
    uint64_t v;
    if (text.len == 0 || text.len > 5 || text.ptr[0] == '0' || !cis_str_u64(text, &v) ||
        v > 65535) {
        return false;
    }
    *out = (uint16_t)v;
    return true;
}

/* What inet_aton, browsers and curl may take for a number: the label is digits, or starts with 0x.
 * A host that ends in such a label is an IPv4 address or nothing (the rule of the URL standard). */
static bool is_number(struct cis_str label)
{
    if (label.len >= 2 && label.ptr[0] == '0' && lower(label.ptr[1]) == 'x') {
        size_t i = 2;
        while (i < label.len && is_hex(label.ptr[i])) {
            i++;
        }
        return i == label.len;
    }
    for (size_t i = 0; i < label.len; i++) {
        if (!is_digit(label.ptr[i])) {
            return false;
        }
    }
    return label.len > 0;
}

static const char *parse_v4(struct cis_str text, struct cis_host_text *out)
{
    static const char why[] = "an IPv4 address is written as four decimal parts";
    unsigned part[4];
    struct cis_str rest = text, label;
    for (int i = 0; i < 4; i++) {
        bool more = cis_str_split(&rest, '.', &label);
        uint64_t v;
        if (more != (i < 3) || label.len == 0 || label.len > 3 || !cis_str_u64(label, &v) ||
            v > 255 || (label.len > 1 && label.ptr[0] == '0')) {
            return why;
        }
        part[i] = (unsigned)v;
    }
    out->kind = CIS_HOST_V4;
    snprintf(out->text, sizeof out->text, "%u.%u.%u.%u", part[0], part[1], part[2], part[3]);
    return NULL;
}

const char *cis_host_parse_v6(struct cis_str text, struct cis_host_text *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len < 2 || text.len >= sizeof copy) {
        return "not an IPv6 address";
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            return "zone ids are not accepted";
        }
        if (!is_hex(c) && c != ':' && c != '.') {
            return "not an IPv6 address";
        }
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    struct in6_addr addr;
    if (inet_pton(AF_INET6, copy, &addr) != 1) {
        return "not an IPv6 address";
    }
    out->kind = CIS_HOST_V6;
    inet_ntop(AF_INET6, &addr, out->text, sizeof out->text);
    return NULL;
}

static const char *check_label(struct cis_str label)
{
    if (label.len == 0) {
        return "empty label in the host";
    }
    if (label.len > 63) {
        return "a label of the host is longer than 63 characters";
    }
    if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
        return "a label of the host starts or ends with '-'";
    }
    for (size_t i = 0; i < label.len; i++) {
        unsigned char c = (unsigned char)lower(label.ptr[i]);
        if (c >= 0x80) {
            return "not ASCII: write the host in its xn-- form";
        }
        if (c == '%') {
            return "'%' in the host";
        }
        if (!is_digit((char)c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_') {
            return "a character that no host name has";
        }
    }
    return NULL;
}

const char *cis_host_parse(struct cis_str text, struct cis_host_text *out)
{
    if (text.len == 0) {
        return "no host";
    }
    if (text.ptr[0] == '[') {
        if (text.len < 3 || text.ptr[text.len - 1] != ']') {
            return "'[' without ']'";
        }
        return cis_host_parse_v6((struct cis_str){text.ptr + 1, text.len - 2}, out);
    }
    bool dot = text.ptr[text.len - 1] == '.';
    struct cis_str name = {text.ptr, text.len - (dot ? 1 : 0)};
    if (name.len == 0 || name.len >= sizeof out->text) {
        return name.len == 0 ? "empty label in the host" : "the host is longer than 253 characters";
    }
    struct cis_str rest = name, label;
    bool more;
    do {
        more = cis_str_split(&rest, '.', &label);
        const char *why = check_label(label);
        if (why != NULL) {
            return why;
        }
    } while (more);
    if (is_number(label)) {
        return dot ? "an address with a trailing dot" : parse_v4(name, out);
    }
    out->kind = CIS_HOST_NAME;
    for (size_t i = 0; i < name.len; i++) {
        out->text[i] = lower(name.ptr[i]);
    }
    out->text[name.len] = 0;
    return NULL;
}

const char *cis_host_split(struct cis_str text, struct cis_str *host, struct cis_str *port,
                           bool *has_port)
{
    size_t end = 0;
    if (text.len > 0 && text.ptr[0] == '[') {
        const char *close = memchr(text.ptr, ']', text.len);
        if (close == NULL) {
            return "'[' without ']'";
        }
        end = (size_t)(close - text.ptr) + 1;
        if (end < text.len && text.ptr[end] != ':') {
            return "something between ']' and the port";
        }
    } else {
        const char *colon = text.len > 0 ? memchr(text.ptr, ':', text.len) : NULL;
        end = colon != NULL ? (size_t)(colon - text.ptr) : text.len;
    }
    *host = (struct cis_str){text.ptr, end};
    *has_port = end < text.len;
    *port = *has_port ? (struct cis_str){text.ptr + end + 1, text.len - end - 1}
                      : (struct cis_str){text.ptr + text.len, 0};
    return NULL;
}

bool cis_host_sockaddr(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memset(out, 0, sizeof *out);
        memcpy(out, &v4, sizeof v4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memset(out, 0, sizeof *out);
        memcpy(out, &v6, sizeof v6);
        return true;
    }
    return false;
}

void cis_addr_text(const struct sockaddr *addr, char out[64])
{
    const void *bytes = NULL;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (addr->sa_family == AF_INET) {
        memcpy(&v4, addr, sizeof v4);
        bytes = &v4.sin_addr;
    } else if (addr->sa_family == AF_INET6) {
        memcpy(&v6, addr, sizeof v6);
        bytes = &v6.sin6_addr;
    }
    if (bytes == NULL || inet_ntop(addr->sa_family, bytes, out, 64) == NULL) {
        memcpy(out, "?", 2);
    }
}

bool cis_addr_equal(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family) {
        return false;
    }
    if (a->sa_family == AF_INET) {
        struct sockaddr_in x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x.sin_addr.s_addr == y.sin_addr.s_addr;
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return memcmp(&x.sin6_addr, &y.sin6_addr, sizeof x.sin6_addr) == 0 &&
               x.sin6_scope_id == y.sin6_scope_id;
    }
    return false;
}

bool cis_addr_is_localhost(const struct sockaddr *addr)
{
    struct sockaddr_storage v4, v6;
    cis_host_sockaddr("127.0.0.1", &v4);
    cis_host_sockaddr("::1", &v6);
    return cis_addr_equal(addr, (const struct sockaddr *)&v4) ||
           cis_addr_equal(addr, (const struct sockaddr *)&v6);
}
