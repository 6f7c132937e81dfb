/* The part of net.h that needs no network: the time. */
#include "net.h"
#include "wasi.h"

uint64_t net_now(void)
{
    return clock_now();
}

void net_wait(struct net_socket *const *list, size_t n, uint64_t until)
{
    (void)list, (void)n;
    handle timer = clock_subscribe(until);
    pollable_block(timer);
    drop_pollable(timer);
}
