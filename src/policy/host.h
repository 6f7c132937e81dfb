/* Hosts as they are written, in one canonical form: lower-case names, four decimal parts, RFC 5952.
 * Spellings that two parsers could read differently are refused, never repaired. Pure; owns
 * nothing. */
#ifndef CIS_POLICY_HOST_H
#define CIS_POLICY_HOST_H

#include <sys/socket.h>
#include "base/str.h"

#define CIS_HOST_TEXT_MAX 254 /* 253 characters of a name and its NUL */

enum cis_host_kind { CIS_HOST_NAME, CIS_HOST_V4, CIS_HOST_V6 };

struct cis_host_text {
    enum cis_host_kind kind;
    char text[CIS_HOST_TEXT_MAX]; /* v6 without brackets */
};

/* A host as in a URL: a name (one trailing dot is dropped), IPv4, or [IPv6] in brackets. NULL when
 * it is good, else why not (static text). */
const char *cis_host_parse(struct cis_str text, struct cis_host_text *out);
/* IPv6 without brackets. */
const char *cis_host_parse_v6(struct cis_str text, struct cis_host_text *out);
/* HOST, HOST:PORT; v6 in brackets. *has_port tells whether ":PORT" was there (it may be empty). */
const char *cis_host_split(struct cis_str text, struct cis_str *host, struct cis_str *port,
                           bool *has_port);
/* 1 to 65535, digits only, no leading zero. */
bool cis_port_parse(struct cis_str text, uint16_t *out);
/* Canonical literal → address without a port; false for names. */
bool cis_host_sockaddr(const char *text, struct sockaddr_storage *out);
/* Canonical text of an address; "?" for other families. */
void cis_addr_text(const struct sockaddr *addr, char out[64]);
/* Same family and same address bytes; ports are not looked at. */
bool cis_addr_equal(const struct sockaddr *a, const struct sockaddr *b);
/* 127.0.0.1 and ::1, nothing else: what `localhost` stands for in a grant. */
bool cis_addr_is_localhost(const struct sockaddr *addr);

#endif
