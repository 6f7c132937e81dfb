/* A DNS server for tests: UDP and TCP on loopback, one thread, answers from a table by the first
 * label of the question. Rows with an answer list of their own get further addresses at each
 * question, which is what a rebinding server does. */
#ifndef CIS_TESTS_DNS_SERVER_H
#define CIS_TESTS_DNS_SERVER_H

#include <stdint.h>

enum dns_kind {
    DNS_ADDRS,    /* v4 and v6 lists as they stand */
    DNS_REBIND,   /* the n-th A question gets the n-th address of v4 (the last one from then on) */
    DNS_EMPTY,    /* no error, no record */
    DNS_NXDOMAIN, /* no such name */
    DNS_SERVFAIL,
    DNS_CNAME_LOOP, /* the name is an alias of itself, and no address */
    DNS_CNAME_TO,   /* an alias of `alias`, whose addresses stand beside it */
    DNS_MANY,       /* 200 addresses, all public and alike */
    DNS_SILENT,     /* no answer */
    DNS_GARBAGE,    /* bytes that are no DNS message */
};

struct dns_row {
    const char *label; /* first label of the name */
    enum dns_kind kind;
    const char *v4[4], *v6[4];
    const char *alias;
};

typedef struct dns_server dns_server;

dns_server *dns_start(const struct dns_row *rows, unsigned n);
void dns_stop(dns_server *server);
/* "127.0.0.1:PORT", for cis_http_client_options.dns_servers. Borrowed. */
const char *dns_address(const dns_server *server);
unsigned dns_questions(dns_server *server); /* A and AAAA together */
/* The names asked for, "a.test. a.test. "; yours to cis_free. */
char *dns_names(dns_server *server);
void dns_wait_questions(dns_server *server, unsigned n);

#endif
