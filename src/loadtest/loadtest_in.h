/* Inside loadtest/. */
#ifndef CIS_LOADTEST_LOADTEST_IN_H
#define CIS_LOADTEST_LOADTEST_IN_H

#include "base/lock.h"
#include "loadtest/loadtest.h"
#include "loadtest/threshold.h"

#define NAME_SIZE 128u
#define NAMES_MAX 64u
#define STATUSES 600u
#define POINTS_MAX 600u
#define COARSE_BUCKETS 624u /* a sixteenth wide: as many as 2^42 us need */

/* The counts of a record, and their names. */
#define CIS_LOADTEST_COUNTS(X)                                                                     \
    X(USERS, "users")                                                                              \
    X(COMPLETED, "users_completed")                                                                \
    X(USERS_FAILED, "users_failed")                                                                \
    X(ANSWERED, "answered")                                                                        \
    X(SUCCESSFUL, "successful")                                                                    \
    X(FAILED, "failed")                                                                            \
    X(ASSERTIONS, "assertions")                                                                    \
    X(ASSERTIONS_FAILED, "assertions_failed")
enum count {
#define X(id, name) COUNT_##id,
    CIS_LOADTEST_COUNTS(X)
#undef X
        COUNTS
};

struct named {
    char name[NAME_SIZE];
    uint64_t n;
};
struct pool_sum {
    char name[NAME_SIZE];
    uint64_t allocated, available, total, peak;
};
struct instance {
    uint64_t active, peak, at_ms;
    bool begun, ended;
};
/* What one stretch of time had. */
struct point {
    uint64_t requests, failed, users, answers;
    uint64_t latency[COARSE_BUCKETS]; /* answers */
};

CIS_LOCK_CLASS(loadtest_lock);

/* The lock guards all of it until the instances have ended. */
struct cis_loadtest {
    pthread_mutex_t lock;
    size_t ninstances;
    struct instance *instances;
    char scenario[NAME_SIZE];
    struct cis_threshold thresholds[NAMES_MAX];
    size_t nthresholds;
    uint64_t counts[COUNTS], statuses[STATUSES];
    struct named errors[NAMES_MAX];
    size_t nerrors;
    struct pool_sum pools[NAMES_MAX];
    size_t npools;
    struct cis_histogram us, delay, since; /* since: the last look */
    uint64_t looked;                       /* requests at the last look */
    struct point *points;                  /* POINTS_MAX */
    size_t npoints;
    uint64_t interval_ms;
};

/* Counts that a component chose never wrap: the sum stays at the top. */
static inline void cis_loadtest_sum(uint64_t *to, uint64_t more)
{
    *to = *to > UINT64_MAX - more ? UINT64_MAX : *to + more;
}

uint64_t cis_loadtest_requests(const cis_loadtest *test);
uint64_t cis_loadtest_millis(const cis_loadtest *test); /* that it took */
struct cis_threshold_numbers cis_loadtest_numbers(const cis_loadtest *test);

/* ---- points.c ---- */
/* The point for an instant; what is there is folded until it fits. */
struct point *cis_loadtest_point(cis_loadtest *test, uint64_t ms);
void cis_loadtest_point_add(struct point *point, uint64_t us, uint64_t count);
uint64_t cis_loadtest_point_percentile(const struct point *point, unsigned per_mille);

/* ---- numbers as text, whatever the locale ---- */
void cis_loadtest_put_hundredths(struct cis_buf *out, uint64_t hundredths);
/* Microseconds as milliseconds. */
void cis_loadtest_put_ms(struct cis_buf *out, uint64_t us);
void cis_loadtest_put_rate(struct cis_buf *out, uint64_t n, uint64_t ms);

#endif
