#include "pool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "text.h"

void ip_text(uint32_t ip, char out[16])
{
    snprintf(out, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

bool ip_parse(const char *s, size_t n, uint32_t *out)
{
    uint32_t ip = 0;
    for (int i = 0; i < 4; i++) {
        size_t len = 0;
        uint64_t part;
        while (len < n && s[len] != '.') {
            len++;
        }
        if (len > 3 || (len > 1 && s[0] == '0') || !number_of(s, len, 255, &part) ||
            (i < 3) != (len < n)) {
            return false;
        }
        ip = ip << 8 | (uint32_t)part;
        s += len + (i < 3);
        n -= len + (i < 3);
    }
    *out = ip;
    return true;
}

static bool cidr_parse(const char *cidr, struct pool_range *out)
{
    const char *slash = strchr(cidr, '/');
    uint64_t bits;
    uint32_t ip;
    if (slash == NULL || !number_of(slash + 1, strlen(slash + 1), 32, &bits) ||
        !ip_parse(cidr, (size_t)(slash - cidr), &ip) || bits < 8) {
        return false;
    }
    uint32_t mask = (uint32_t)(UINT64_C(0xffffffff) << (32 - bits));
    *out = (struct pool_range){.first = ip & mask, .count = ~mask + 1};
    return true;
}

bool pool_init(struct pool *p, const struct pool_def *def, char **out_error)
{
    *p = (struct pool){.def = def};
    p->rotates = def->strategy != NULL && strcmp(def->strategy, "round_robin") == 0;
    for (size_t i = 0; i < def->nranges; i++) {
        const struct range_def *r = &def->ranges[i];
        struct pool_range range;
        bool ok = cidr_parse(r->cidr, &range);
        if (!ok || range.count > POOL_ADDRESSES_MAX - p->total) {
            struct text e = TEXT_INIT(1000);
            text_format(&e, "Failed to add CIDR range %.100s to pool %.100s: ", r->cidr, def->id);
            text_format(&e, ok ? "more than 2^24 addresses: %.100s" : "Invalid subnet: %.100s",
                        r->cidr);
            if (r->place.line != 0) {
                text_format(&e, " at line %zu column %zu", r->place.line, r->place.column);
            }
            *out_error = text_take(&e);
            pool_done(p);
            return false;
        }
        range.offset = p->total;
        p->total += range.count;
        *ONE_MORE(p->ranges, p->nranges) = range;
    }
    p->taken = need((p->total / 64 + 1) * sizeof *p->taken);
    return true;
}

void pool_done(struct pool *p)
{
    free(p->ranges);
    free(p->taken);
    *p = (struct pool){0};
}

static bool is_taken(const struct pool *p, uint32_t i)
{
    return (p->taken[i / 64] >> (i % 64) & 1) != 0;
}

static void set_taken(struct pool *p, uint32_t i, bool on)
{
    uint64_t bit = UINT64_C(1) << (i % 64);
    p->taken[i / 64] = on ? p->taken[i / 64] | bit : p->taken[i / 64] & ~bit;
}

/* The first free one in [from, to); `to`: there is none. */
static uint32_t first_free(const struct pool *p, uint32_t from, uint32_t to)
{
    while (from < to) {
        if (from % 64 == 0 && p->taken[from / 64] == UINT64_MAX) {
            from += 64;
        } else if (is_taken(p, from)) {
            from++;
        } else {
            return from;
        }
    }
    return to;
}

bool pool_take(struct pool *p, uint32_t *out_ip)
{
    if (pool_available(p) == 0) {
        return false;
    }
    uint32_t i = first_free(p, p->next, p->total);
    if (i >= p->total) {
        i = first_free(p, 0, p->total);
    }
    set_taken(p, i, true);
    p->allocated++;
    p->peak = p->allocated > p->peak ? p->allocated : p->peak;
    p->next = i + 1;
    size_t r = p->nranges - 1;
    while (p->ranges[r].offset > i) {
        r--;
    }
    *out_ip = p->ranges[r].first + (i - p->ranges[r].offset);
    return true;
}

/* Its place, or `total`. */
static uint32_t place_in(const struct pool *p, uint32_t ip)
{
    for (size_t r = 0; r < p->nranges; r++) {
        if (ip >= p->ranges[r].first && ip - p->ranges[r].first < p->ranges[r].count) {
            return p->ranges[r].offset + (ip - p->ranges[r].first);
        }
    }
    return p->total;
}

void pool_give_back(struct pool *p, uint32_t ip)
{
    uint32_t i = place_in(p, ip);
    if (i < p->total && is_taken(p, i)) {
        set_taken(p, i, false);
        p->allocated--;
        if (!p->rotates && i < p->next) {
            p->next = i;
        }
    }
}

bool pool_reserve(struct pool *p, uint32_t ip)
{
    uint32_t i = place_in(p, ip);
    if (i >= p->total || is_taken(p, i)) {
        return false;
    }
    set_taken(p, i, true);
    p->reserved++;
    return true;
}

void pool_share(struct pool *p, unsigned share, unsigned of)
{
    for (uint32_t i = 0; i < p->total; i++) {
        if (i % of != share && !is_taken(p, i)) {
            set_taken(p, i, true);
            p->reserved++;
        }
    }
}

uint32_t pool_available(const struct pool *p)
{
    return p->total - p->allocated - p->reserved;
}
