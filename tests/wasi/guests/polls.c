/* Waiting: clocks of both kinds, absolute and relative, several at once, beside descriptors. The
 * suite gives "input" on stdin. */
#include "raw.h"

#define MS 1000000ull

static uint64_t now(uint32_t clock)
{
    uint64_t t = 0;
    ANSWERS(0, raw_clock_time_get(clock, 1, &t));
    return t;
}

static struct raw_sub at_clock(uint64_t userdata, uint32_t clock, uint64_t timeout, bool absolute)
{
    struct raw_sub s = {.userdata = userdata, .tag = EV_CLOCK};
    s.of.clock.id = clock;
    s.of.clock.timeout = timeout;
    s.of.clock.flags = absolute;
    return s;
}

static struct raw_sub on_fd(uint64_t userdata, uint8_t tag, uint32_t fd)
{
    struct raw_sub s = {.userdata = userdata, .tag = tag};
    s.of.fd = fd;
    return s;
}

static struct raw_event events[1024];
static struct raw_sub subs[1024];

static uint32_t poll_of(uint32_t n)
{
    uint32_t got = 77;
    memset(events, 0x55, sizeof events);
    ANSWERS(0, raw_poll_oneoff(subs, events, n, &got));
    return got;
}

static void waiting_for_nothing_is_refused(void)
{
    uint32_t n = 77;
    ANSWERS(EINVAL, raw_poll_oneoff(subs, events, 0, &n));
}

static void a_relative_clock_waits_that_long(void)
{
    for (uint32_t clock = REALTIME; clock <= MONOTONIC; clock++) {
        uint64_t before = now(MONOTONIC);
        subs[0] = at_clock(0xfedcba9876543210ull, clock, 20 * MS, false);
        IS(poll_of(1), 1);
        uint64_t took = now(MONOTONIC) - before;
        HOLDS(took >= 20 * MS && took < 20000 * MS);
        HOLDS(events[0].userdata == 0xfedcba9876543210ull);
        IS(events[0].error, 0);
        IS(events[0].type, EV_CLOCK);
        IS(events[0].pad0[0] | events[0].pad0[4] | events[0].pad1[0] | events[0].pad1[5], 0);
        IS(events[1].type, 0x55);
    }
}

static void an_absolute_clock_waits_until_then(void)
{
    for (uint32_t clock = REALTIME; clock <= MONOTONIC; clock++) {
        uint64_t then = now(clock) + 20 * MS;
        subs[0] = at_clock(7, clock, then, true);
        IS(poll_of(1), 1);
        HOLDS(now(clock) + MS >= then && now(clock) < then + 20000 * MS);
        IS(events[0].error, 0);
    }
}

static void a_time_that_is_past_does_not_wait(void)
{
    uint64_t before = now(MONOTONIC);
    subs[0] = at_clock(1, MONOTONIC, 1, true);
    subs[1] = at_clock(2, REALTIME, 0, true);
    subs[2] = at_clock(3, MONOTONIC, 0, false);
    subs[3] = at_clock(4, MONOTONIC, 3600000 * MS, false);
    IS(poll_of(4), 3);
    IS(events[0].userdata + events[1].userdata + events[2].userdata, 6);
    HOLDS(now(MONOTONIC) - before < 5000 * MS);
}

static void of_several_clocks_the_first_ends_the_wait(void)
{
    subs[0] = at_clock(1, MONOTONIC, 3600000 * MS, false);
    subs[1] = at_clock(2, REALTIME, now(REALTIME) + 30 * MS, true);
    subs[2] = at_clock(3, MONOTONIC, UINT64_MAX, false);
    subs[3] = at_clock(4, REALTIME, UINT64_MAX, true);
    subs[4] = at_clock(5, MONOTONIC, UINT64_MAX, true);
    IS(poll_of(5), 1);
    IS(events[0].userdata, 2);
}

static void input_that_is_there_comes_before_the_clock(void)
{
    char got[8];
    uint64_t before = now(MONOTONIC);
    subs[0] = at_clock(1, MONOTONIC, 3600000 * MS, false);
    subs[1] = on_fd(2, EV_READ, 0);
    IS(poll_of(2), 1);
    IS(events[0].userdata, 2);
    IS(events[0].type, EV_READ);
    IS(events[0].error, 0);
    HOLDS(events[0].nbytes >= 1);
    HOLDS(now(MONOTONIC) - before < 5000 * MS);
    IS(read(0, got, 8), 5);
    HOLDS(memcmp(got, "input", 5) == 0);
    IS(read(0, got, 8), 0);
    IS(poll_of(2), 1); /* the end is ready, too */
    IS(events[0].userdata, 2);
}

static void output_can_be_written(void)
{
    subs[0] = on_fd(1, EV_WRITE, 1);
    subs[1] = on_fd(2, EV_WRITE, 2);
    subs[2] = at_clock(3, MONOTONIC, 3600000 * MS, false);
    IS(poll_of(3), 2);
    IS(events[0].userdata, 1);
    IS(events[0].type, EV_WRITE);
    IS(events[0].error, 0);
    IS(events[1].userdata, 2);
}

static void files_are_always_ready(void)
{
    uint32_t fd;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_FILE, 0, &fd));
    subs[0] = on_fd(1, EV_READ, fd);
    subs[1] = on_fd(2, EV_WRITE, fd);
    subs[2] = at_clock(3, MONOTONIC, 3600000 * MS, false);
    IS(poll_of(3), 2);
    IS(events[0].error, 0);
    IS(events[1].error, 0);
    ANSWERS(0, raw_fd_close(fd));
}

static void what_cannot_be_waited_for_says_so_in_its_event(void)
{
    subs[0] = on_fd(1, EV_READ, 4000);
    subs[1] = on_fd(2, EV_WRITE, UINT32_MAX);
    subs[2] = at_clock(3, 99, 0, false);
    subs[3] = at_clock(4, MONOTONIC, 3600000 * MS, false);
    IS(poll_of(4), 3);
    for (int i = 0; i < 3; i++) {
        IS(events[i].userdata, i + 1);
        IS(events[i].error, i < 2 ? EBADF : EINVAL);
    }
}

static void a_kind_of_event_that_does_not_exist_is_refused(void)
{
    uint32_t n;
    subs[0] = on_fd(1, 3, 0);
    ANSWERS(EINVAL, raw_poll_oneoff(subs, events, 1, &n));
    subs[0] = on_fd(1, 255, 0);
    ANSWERS(EINVAL, raw_poll_oneoff(subs, events, 1, &n));
}

static void a_thousand_clocks_are_one_call(void)
{
    for (uint32_t i = 0; i < COUNT(subs); i++) {
        subs[i] = at_clock(i, MONOTONIC, (i % 2 == 0 ? 5 : 3600000) * MS, false);
    }
    uint32_t n = poll_of(COUNT(subs));
    if (check_adapted()) { /* adapters start one clock after the other */
        HOLDS(n > 0);
        return;
    }
    IS(n, COUNT(subs) / 2);
    for (uint32_t i = 0; i < n && i < COUNT(subs); i++) {
        if (!IS(events[i].userdata, 2 * i)) {
            return;
        }
    }
}

static void libc_sleeps(void)
{
    struct timespec ms20 = {0, 20000000};
    uint64_t before = now(MONOTONIC);
    WORKS(nanosleep(&ms20, NULL));
    HOLDS(now(MONOTONIC) - before >= 20 * MS);
}

static void clocks_go_on_and_tell_their_steps(void)
{
    uint64_t step = 0, last = now(MONOTONIC), t;
    for (int i = 0; i < 1000; i++) {
        t = now(MONOTONIC);
        HOLDS(t >= last);
        last = t;
    }
    HOLDS(now(REALTIME) > 1700000000ull * 1000000000ull);
    for (uint32_t clock = 0; clock < 4; clock++) {
        ANSWERS(0, raw_clock_res_get(clock, &step));
        HOLDS(step > 0 && step <= 1000000000);
        ANSWERS(0, raw_clock_time_get(clock, 0, &t));
    }
    ANSWERS(EINVAL, raw_clock_time_get(4, 0, &t));
    ANSWERS(EINVAL, raw_clock_res_get(4, &step));
    ANSWERS(EINVAL, raw_clock_time_get(UINT32_MAX, 0, &t));
    ANSWERS(0, raw_sched_yield());
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(waiting_for_nothing_is_refused),
        CASE(a_relative_clock_waits_that_long),
        CASE(an_absolute_clock_waits_until_then),
        CASE(a_time_that_is_past_does_not_wait),
        CASE(of_several_clocks_the_first_ends_the_wait),
        CASE(input_that_is_there_comes_before_the_clock),
        CASE(output_can_be_written),
        CASE(files_are_always_ready),
        CASE(what_cannot_be_waited_for_says_so_in_its_event),
        CASE(a_kind_of_event_that_does_not_exist_is_refused),
        CASE(a_thousand_clocks_are_one_call),
        CASE(libc_sleeps),
        CASE(clocks_go_on_and_tell_their_steps),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
