/* The compiler's child process when it is a program that does what it likes. */
#include "engine/fixture.h"

#include <fcntl.h>
#include <sys/file.h>
#include "base/clock.h"
#include "base/file.h"
#include "engine/code/child.h"

#define STILL_NS (300 * CIS_NS_PER_MS)

static struct cis_child_work compiling(void)
{
    static const struct cis_bytes module = {(const uint8_t *)"\0asm", 4};
    return (struct cis_child_work){.job = CIS_CHILD_COMPILE,
                                   .input = &module,
                                   .ninput = 1,
                                   .name = "t.wasm",
                                   .doing = "compiling",
                                   .stop = {.deadline_ns = CIS_NEVER}};
}

/* A script that is the compiler. */
static const char *script(const struct place *p, const char *lines)
{
    static char path[600];
    char text[1200];
    snprintf(path, sizeof path, "%s/compiler", p->root);
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", lines);
    assert_ok(
        cis_file_write(path, (struct cis_bytes){(const uint8_t *)text, strlen(text)}, 0700, err));
    return path;
}

/* It uses no time of the processor, so that no limit of that ever ends it: the clock on the wall
 * does, and another time may go well. Nothing of it is left behind. */
static void a_compiler_that_does_nothing_is_not_waited_for(void **state)
{
    struct place *p = *state;
    char held[600], lines[1100];
    bool passing = false;
    snprintf(held, sizeof held, "%s/held", p->root);
    snprintf(lines, sizeof lines, "exec 9>%s; flock 9; exec sleep 1000", held);
    const struct cis_child_limits limits = {
        .program = script(p, lines), .still_ns = STILL_NS, .out_passing = &passing};
    struct cis_child_work work = compiling();
    struct cis_buf out = CIS_BUF_INIT(1024);
    uint64_t fingerprint = 0, began = cis_clock_mono_ns();
    assert_fails(CIS_E_LIMIT, "t.wasm: compiling it makes no progress",
                 cis_child_run(&limits, &work, &fingerprint, &out, err));
    assert_true(cis_clock_mono_ns() - began >= STILL_NS);
    assert_true(passing);
    assert_int_equal(out.len, 0);
    int fd = open(held, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
    cis_buf_done(&out);
}

/* The caller's time is the caller's affair, though the child does nothing. */
static void a_deadline_before_that_is_the_callers(void **state)
{
    struct place *p = *state;
    bool passing = false;
    const struct cis_child_limits limits = {.program = script(p, "exec sleep 1000"),
                                            .still_ns = 3600 * CIS_NS_PER_S,
                                            .out_passing = &passing};
    struct cis_child_work work = compiling();
    struct cis_buf out = CIS_BUF_INIT(1024);
    uint64_t fingerprint = 0;
    work.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), STILL_NS);
    assert_fails(CIS_E_DEADLINE, "time limit",
                 cis_child_run(&limits, &work, &fingerprint, &out, err));
    assert_false(passing);
    cis_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_compiler_that_does_nothing_is_not_waited_for, place_setup,
                                        place_teardown),
        cmocka_unit_test_setup_teardown(a_deadline_before_that_is_the_callers, place_setup,
                                        place_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
