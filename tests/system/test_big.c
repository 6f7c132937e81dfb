/* One file that is larger than what a run may hold: the program's memory while it is written, and
 * the work for one that is long and holds little. With an argument, 4 GiB in order and 1 GiB in
 * pieces of 4 KiB anywhere. On SQLite and on a private PostgreSQL server. */
#include "stored.h"
#include "measured.h"

#define CROWD CIS_GUESTS_DIR "/crowd.wasm"
#define ABOVE_IDLE_KIB (64u * 1024)
#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))

static bool large;

/* The second run: the first one compiles. */
static uint64_t idle_kib(struct sys *s)
{
    struct measured m = {0};
    for (int i = 0; i < 2; i++) {
        m = measured(s, 0, 0, "run", "-w", CROWD, "names", "/workspace", "1");
        assert_int_equal(m.code, 0);
    }
    return m.peak_kib;
}

static void little(struct sys *s, uint64_t idle, const char *verb, unsigned mib)
{
    struct measured m = measured(s, 0, 0, "run", "-w", CROWD, verb, "/workspace", text(mib));
    assert_int_equal(m.code, 0);
    print_message("%s %u MiB: %llu KiB above idle, %llu ms\n", verb, mib,
                  (unsigned long long)(m.peak_kib - idle), (unsigned long long)m.cpu_ms);
    if (MEASURED && m.peak_kib > idle + ABOVE_IDLE_KIB) {
        fail_msg("%s %u MiB: %llu KiB above idle", verb, mib,
                 (unsigned long long)(m.peak_kib - idle));
    }
}

static void a_file_is_written_in_64_mib_of_memory(void **state)
{
    struct sys *s = *state;
    uint64_t idle = idle_kib(s);
    little(s, idle, "fill", large ? 4096 : 256);
    little(s, idle, "heads", large ? 4096 : 256);
    ok(s, "fs", "fsck");
}

static void pieces_anywhere_are_written_in_64_mib_of_memory(void **state)
{
    struct sys *s = *state;
    uint64_t idle = idle_kib(s);
    little(s, idle, "scatter", large ? 1024 : 24);
    little(s, idle, "scatter", large ? 1024 : 24); /* into what is stored */
    ok(s, "fs", "fsck");
}

/* 20,000 times the length take no more, for the content is the same. */
static void a_long_file_costs_what_it_holds(void **state)
{
    struct sys *s = *state;
    (void)idle_kib(s);
    uint64_t took[2];
    for (int i = 0; i < 2; i++) {
        const char *gib = i == 0 ? "1" : "20000", *pieces = large ? "10000" : "1000";
        struct measured made =
            measured(s, 0, 0, "run", "-w", CROWD, "sparse", "/workspace", gib, pieces);
        struct measured cut =
            measured(s, 0, 0, "run", "-w", CROWD, "punch", "/workspace", gib, "20");
        struct measured diff = measured(s, 0, 0, "runs", "diff", "last");
        struct measured undo = measured(s, 0, 0, "fs", "undo");
        assert_int_equal(made.code + cut.code + diff.code + undo.code, 0);
        ok(s, "fs", "undo");
        took[i] = made.cpu_ms + cut.cpu_ms + diff.cpu_ms + undo.cpu_ms;
    }
    print_message("1 GiB: %llu ms, 20,000 GiB: %llu ms\n", (unsigned long long)took[0],
                  (unsigned long long)took[1]);
    if (MEASURED && took[1] > 2 * took[0] + 500) {
        fail_msg("%llu ms, the short one %llu", (unsigned long long)took[1],
                 (unsigned long long)took[0]);
    }
    ok(s, "fs", "fsck");
}

int main(int argc, char **argv)
{
    (void)argv;
    large = argc > 1;
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_written_in_64_mib_of_memory),
        TEST(pieces_anywhere_are_written_in_64_mib_of_memory),
        TEST(a_long_file_costs_what_it_holds),
    };
    return STORED_MAIN("big", tests);
}
