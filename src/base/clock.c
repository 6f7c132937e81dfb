#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * CIS_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t cis_clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t cis_clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t cis_clock_wall_ms(void)
{
    return (int64_t)(read_ns(CLOCK_REALTIME) / CIS_NS_PER_MS);
}

uint64_t cis_clock_after(uint64_t now_ns, uint64_t span_ns)
{
    uint64_t at;
    return __builtin_add_overflow(now_ns, span_ns, &at) ? CIS_NEVER : at;
}

int cis_clock_poll_ms(uint64_t deadline_ns)
{
    if (deadline_ns == CIS_NEVER) {
        return -1;
    }
    uint64_t now = cis_clock_mono_ns();
    if (now >= deadline_ns) {
        return 0;
    }
    uint64_t ms = (deadline_ns - now + CIS_NS_PER_MS - 1) / CIS_NS_PER_MS;
    return ms > 3600000 ? 3600000 : (int)ms;
}

void cis_clock_iso(int64_t wall_ms, char out[32])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    int ms = (int)(wall_ms % 1000);
    struct tm tm;
    char date[24];
    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        memcpy(out, "-", 2);
        return;
    }
    snprintf(out, 32, "%s.%03dZ", date, ms < 0 ? 0 : ms);
}
