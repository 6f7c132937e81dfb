#include "base/clock.h"

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

uint64_t cis_clock_boot_ns(void)
{
    return read_ns(CLOCK_BOOTTIME);
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

/* The calendar's rule, counted in eras of 400 years that begin on a 1st of March. Not gmtime: it
 * takes the lock of the time zones, which all threads share. */
static void civil(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t march = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * march + 2) / 5 + 1);
    *month = (int)(march < 10 ? march + 3 : march - 9);
    *year = years + era * 400 + (*month <= 2 ? 1 : 0);
}

static char *digits(char *at, int n, int64_t value)
{
    for (int i = n - 1; i >= 0; i--, value /= 10) {
        at[i] = (char)('0' + value % 10);
    }
    return at + n;
}

void cis_clock_iso(int64_t wall_ms, char out[32])
{
    int64_t days = wall_ms / 86400000, ms = wall_ms % 86400000, year;
    int month, day;
    if (ms < 0) {
        ms += 86400000;
        days--;
    }
    civil(days, &year, &month, &day);
    if (year < 0 || year > 9999) {
        memcpy(out, "-", 2);
        return;
    }
    const struct {
        int digits;
        int64_t value;
        char after;
    } parts[] = {{4, year, '-'},         {2, month, '-'},           {2, day, 'T'},
                 {2, ms / 3600000, ':'}, {2, ms / 60000 % 60, ':'}, {2, ms / 1000 % 60, '.'},
                 {3, ms % 1000, 'Z'}};
    char *at = out;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = digits(at, parts[i].digits, parts[i].value);
        *at++ = parts[i].after;
    }
    *at = 0;
}
