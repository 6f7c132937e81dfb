/* Waiting for what another process or thread does. Only a hang fails a test: a busy machine may
 * take minutes for anything. */
#ifndef CIS_TESTS_WAITS_H
#define CIS_TESTS_WAITS_H

#include <time.h>
#include "harness.h"
#include "base/clock.h"

#define WAITS_NS (600 * CIS_NS_PER_S)
#define WAITS_MS 600000

static inline void waits_nap(void)
{
    struct timespec nap = {0, 5000000};
    nanosleep(&nap, NULL);
}

/* Asked until it is so, or for ten minutes: then the test fails with the condition's text. */
#define assert_comes(condition)                                                                    \
    do {                                                                                           \
        uint64_t until_ = cis_clock_mono_ns() + WAITS_NS;                                          \
        while (!(condition)) {                                                                     \
            if (cis_clock_mono_ns() > until_) {                                                    \
                fail_msg("waited ten minutes in vain for: %s", #condition);                        \
            }                                                                                      \
            waits_nap();                                                                           \
        }                                                                                          \
    } while (0)

/* A wait for ever that a deadline ends, which lies `ns` ahead when the statements begin: it lasts
 * until then, and no longer than ten times as long. A code alone does not say that it waited. */
#define assert_waits(ns, ...)                                                                      \
    do {                                                                                           \
        uint64_t from_ = cis_clock_mono_ns();                                                      \
        __VA_ARGS__;                                                                               \
        assert_in_range(cis_clock_mono_ns() - from_, (ns), 10 * (ns));                             \
    } while (0)

#endif
