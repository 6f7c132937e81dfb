/* The part of net.h about time, for the forms over WASI: all that is waited for is asked at once.
 */
#include <stdlib.h>
#include "text.h"
#include "wasi.h"

uint64_t net_now(void)
{
    return clock_now();
}

void net_wait(struct net_socket *const *list, size_t n, uint64_t until)
{
    handle *handles = need((n + 1) * sizeof *handles);
    struct net_socket **asked = need((n + 1) * sizeof(struct net_socket *));
    size_t k = 0;
    union wasi_result r;
    for (size_t i = 0; i < n; i++) {
        list[i]->ready = list[i]->pollable == NULL; /* nothing says when: it is asked again */
        if (list[i]->ready) {
            until = 0;
        } else {
            asked[k] = list[i];
            handles[k++] = list[i]->pollable(list[i]);
        }
    }
    handles[k] = clock_subscribe(until);
    poll_many(handles, k + 1, &r);
    const uint32_t *ready = (const uint32_t *)r.w[0];
    for (size_t i = 0; i < r.w[1]; i++) {
        if (ready[i] < k) {
            asked[ready[i]]->ready = true;
        }
    }
    drop_pollable(handles[k]);
    free(asked);
    guest_free((void *)r.w[0]);
    free(handles);
}
