/* Random bytes of a seed, clocks beside CPU time, exit codes, signals, arguments that cost. */
#include "live.h"

#include "base/crypto.h"

static void seed(struct cis_wasi_env *world)
{
    world->seeded = true;
    for (unsigned i = 0; i < CIS_SEED_BYTES; i++) {
        world->seed[i] = (uint8_t)i;
    }
}

static void assert_hex(uint32_t at, const char *expected)
{
    char hex[33];
    cis_hex(live.guest.memory + at, 16, hex);
    assert_string_equal(hex, expected);
}

static void a_seed_alone_decides_the_random_bytes(void **state)
{
    (void)state;
    seed(&live.host.wasi_env);
    for (live.old = 0; live.old < 2; live.old++) {
        live.host.wasi_env.seed_block = 0;
        /* The key stream as a second implementation gives it. */
        assert_errno(OK, "random_get", DATA, 160);
        assert_hex(DATA, "73a6a8873e39c8d6e124b1739d326284");
        assert_hex(DATA + 64, "d8df5a02bb024ca124840e22d2479316");
        assert_hex(DATA + 128, "f084f18b91847130cd2e71174b9ad7ad");
        assert_int_equal(live.guest.memory[DATA + 160], live.old != 0 ? 0 : 0xAA);
        assert_int_equal(live.host.wasi_env.seed_block,
                         3); /* the next call begins with a new one */
        assert_errno(OK, "random_get", DATA, 0);
        assert_int_equal(live.host.wasi_env.seed_block, 3);
        live.host.wasi_env.seed_block = 1;
        assert_errno(OK, "random_get", DATA, 1);
        assert_int_equal(live.guest.memory[DATA], 0xd8);
        assert_int_equal(live.host.wasi_env.seed_block, 2);
        live.host.wasi_env.seed_block = 1ull << 32;
        assert_errno(OK, "random_get", DATA, 16);
        assert_hex(DATA, "90d9d30fe1ddd76b7846239a503a4378");
        memset(live.guest.memory + DATA, 0, 200);
    }
    live.old = 0;
}

static void bytes_of_a_large_request_never_repeat(void **state)
{
    (void)state;
    seed(&live.host.wasi_env);
    assert_errno(OK, "random_get", 0, 1u << 20); /* in steps */
    assert_int_equal(live.host.wasi_env.seed_block, (1u << 20) / 64);
    for (uint32_t at = 65536; at < 1u << 20; at += 65536) {
        assert_memory_not_equal(live.guest.memory, live.guest.memory + at, 64);
        assert_memory_not_equal(live.guest.memory + at - 64, live.guest.memory + at, 64);
    }
    assert_errno(FAULT, "random_get", 1, MEMORY);
    assert_int_equal(live.host.wasi_env.seed_block, (1u << 20) / 64);
}

static void random_bytes_without_a_seed_differ(void **state)
{
    (void)state;
    assert_errno(OK, "random_get", 0, 64);
    assert_errno(OK, "random_get", 64, 64);
    assert_memory_not_equal(live.guest.memory, live.guest.memory + 64, 64);
    assert_int_equal(live.host.wasi_env.seed_block, 0);
}

static void exit_codes_are_passed_on_as_they_are(void **state)
{
    (void)state;
    static const int32_t codes[] = {0, 1, 42, 125, 255, 256, -1, INT32_MIN, INT32_MAX};
    for (live.old = 0; live.old < 2; live.old++) {
        for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
            assert_ends(CIS_E_FAILED, "proc_exit", (uint32_t)codes[i]);
            assert_true(live.guest.end.exited);
            assert_int_equal(live.guest.end.exit_code, codes[i]);
        }
    }
    live.old = 0;
}

static void each_signal_ends_stops_or_is_ignored_as_by_default(void **state)
{
    (void)state;
    static const char expected[] = "i"               /* none */
                                   "eeeeeeeeeeeeeee" /* HUP … TERM */
                                   "ii"              /* CHLD CONT */
                                   "ssss"            /* STOP TSTP TTIN TTOU */
                                   "i"               /* URG */
                                   "eeee"            /* XCPU XFSZ VTALRM PROF */
                                   "i"               /* WINCH */
                                   "eee";            /* POLL PWR SYS */
    _Static_assert(sizeof expected - 1 == 31, "signals of WASI");
    for (uint32_t sig = 0; sig < 31; sig++) {
        switch (expected[sig]) {
        case 'e':
            assert_ends(CIS_E_FAILED, "proc_raise", sig);
            assert_int_equal(live.guest.end.exit_code, 128 + sig);
            break;
        case 's':
            assert_errno(NOTSUP, "proc_raise", sig);
            break;
        default:
            assert_errno(OK, "proc_raise", sig);
        }
    }
    assert_errno(INVAL, "proc_raise", 31);
    assert_errno(INVAL, "proc_raise", UINT32_MAX);
}

static void cpu_clocks_show_the_guests_own_time(void **state)
{
    (void)state;
    live.guest.cpu_ns = 123456;
    for (uint32_t id = 2; id < 4; id++) {
        assert_errno(OK, "clock_time_get", id, 0, RESULT);
        assert_int_equal(get64(RESULT), 123456);
        assert_errno(OK, "clock_res_get", id, RESULT);
        assert_int_equal(get64(RESULT), 1);
    }
    live.host.fixed_clock = true;
    live.host.clock_ns = 99;
    for (uint32_t id = 0; id < 4; id++) {
        assert_errno(OK, "clock_time_get", id, 0, RESULT);
        assert_int_equal(get64(RESULT), 99);
    }
}

static void copying_arguments_costs_fuel(void **state)
{
    (void)state;
    static char text[64001];
    memset(text, 'x', sizeof text - 1);
    const char *list[] = {text, NULL};
    live.host.args = live.host.env = list;
    assert_errno(OK, "args_get", RESULT, DATA);
    assert_int_equal(live.guest.burned, 1000);
    assert_errno(OK, "environ_get", RESULT, DATA);
    assert_int_equal(live.guest.burned, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_seed_alone_decides_the_random_bytes),
        T(bytes_of_a_large_request_never_repeat),
        T(random_bytes_without_a_seed_differ),
        T(exit_codes_are_passed_on_as_they_are),
        T(each_signal_ends_stops_or_is_ignored_as_by_default),
        T(cpu_clocks_show_the_guests_own_time),
        T(copying_arguments_costs_fuel),
    };
    return cmocka_run_group_tests_name("wasi_proc", tests, NULL, NULL);
}
