/* A pool of IPv4 addresses. A user holds one address of a pool at most by its number. */
#ifndef SCHEDULER_POOL_H
#define SCHEDULER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "scenario.h"

#define POOL_ADDRESSES_MAX (UINT32_C(1) << 24)

struct pool_range {
    uint32_t first, count, offset; /* offset: addresses of the ranges before */
};
struct pool {
    const struct pool_def *def;
    struct pool_range *ranges;
    size_t nranges;
    uint32_t total, allocated, reserved, peak;
    uint32_t next;   /* where to look for a free one */
    bool rotates;    /* the next one, not the lowest */
    uint64_t *taken; /* a bit each */
};

/* false: *out_error is the caller's. */
bool pool_init(struct pool *p, const struct pool_def *def, char **out_error);
void pool_done(struct pool *p);
/* false: the pool is full. */
bool pool_take(struct pool *p, uint32_t *out_ip);
void pool_give_back(struct pool *p, uint32_t ip);
/* Keeps an address from being given to anybody. false: it is none of the pool, or taken. */
bool pool_reserve(struct pool *p, uint32_t ip);
/* Of so many parts this one: the addresses of the others are reserved. */
void pool_share(struct pool *p, unsigned share, unsigned of);
uint32_t pool_available(const struct pool *p);
/* "a.b.c.d". */
void ip_text(uint32_t ip, char out[16]);
bool ip_parse(const char *s, size_t n, uint32_t *out);

#endif
