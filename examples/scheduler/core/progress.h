/* What a run counts while it goes on, as records on stdout for a program to read (options.h): a
 * line each, the byte 0x1e, JSON, a line feed (RFC 7464). The first has the scenario's name and its
 * thresholds. Each has what was counted since the one before, and the users that are there; the
 * last one has "end" and the pools. */
#ifndef SCHEDULER_PROGRESS_H
#define SCHEDULER_PROGRESS_H

#include "run.h"

struct progress {
    uint64_t interval, next; /* ns; interval 0: nobody wants to know */
    uint64_t start;
    struct totals told; /* what the records before have said */
};

/* NULL: there is none. */
struct progress *progress_begin(const struct scenario *s, uint64_t start);
/* When the next record is due; UINT64_MAX: never. */
uint64_t progress_due(const struct progress *p);
void progress_tell(struct progress *p, const struct totals *t, uint64_t users, uint64_t now);
/* The last record; frees it. */
void progress_end(struct progress *p, const struct totals *t, const struct pools *pools,
                  uint64_t now);

#endif
