/* Requests over TLS, which the host sends: it knows the authorities, and gives no key away. Forms
 * without such a host answer with a reason (https_none.c). */
#ifndef SCHEDULER_HTTPS_H
#define SCHEDULER_HTTPS_H

#include "http.h"
#include "net.h"

struct https;
/* `r` and what it names must stay. NULL: it cannot be sent, and why. */
struct https *https_begin(const struct request *r, const char **out_why);
/* NET_AGAIN: it is under way. NET_OK: *out is done, or bad. Otherwise the peer was not reached. */
enum net_error https_step(struct https *h, struct response *out);
/* NULL: it waits until another one is over. */
struct net_socket *https_socket(struct https *h);
void https_free(struct https *h);

#endif
