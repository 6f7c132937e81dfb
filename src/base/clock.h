/* Time. Monotonic nanoseconds for limits, milliseconds since the epoch for records. */
#ifndef CIS_BASE_CLOCK_H
#define CIS_BASE_CLOCK_H

#include <stdint.h>

#define CIS_NS_PER_MS 1000000ull
#define CIS_NS_PER_S 1000000000ull
#define CIS_NEVER UINT64_MAX /* a deadline that does not come */

uint64_t cis_clock_mono_ns(void);
/* Since the host was booted, with the time that it slept. */
uint64_t cis_clock_boot_ns(void);
uint64_t cis_clock_thread_cpu_ns(void);
int64_t cis_clock_wall_ms(void);
/* now + span, saturating at CIS_NEVER. */
uint64_t cis_clock_after(uint64_t now_ns, uint64_t span_ns);
/* Milliseconds until the deadline for poll(): rounded up, 0 when past, -1 for CIS_NEVER, capped at
 * one hour (callers loop). */
int cis_clock_poll_ms(uint64_t deadline_ns);
/* "2026-11-21T11:14:17.123Z"; out has 32 bytes. */
void cis_clock_iso(int64_t wall_ms, char out[32]);

#endif
