/* cmocka with its own includes, and the few helpers that every test program uses. */
#ifndef CIS_TESTS_HARNESS_H
#define CIS_TESTS_HARNESS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/error.h"

/* The call succeeds, or the test fails with the error's message. */
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct cis_error err_ = {0};                                                               \
        struct cis_error *err = &err_;                                                             \
        cis_code code_ = (call);                                                                   \
        if (code_ != CIS_OK) {                                                                     \
            fail_msg("%s: %s (%s)", #call, err->msg, cis_code_name(code_));                        \
        }                                                                                          \
    } while (0)

/* The call fails with exactly this code, and its message contains the text. Use `err` in the call.
 */
#define assert_fails(expected, text, call)                                                         \
    do {                                                                                           \
        struct cis_error err_ = {0};                                                               \
        struct cis_error *err = &err_;                                                             \
        cis_code code_ = (call);                                                                   \
        if (code_ != (expected)) {                                                                 \
            fail_msg("%s: got %s (%s)", #call, cis_code_name(code_), err->msg);                    \
        }                                                                                          \
        if (strstr(err->msg, (text)) == NULL) {                                                    \
            fail_msg("%s: message \"%s\" lacks \"%s\"", #call, err->msg, (text));                  \
        }                                                                                          \
    } while (0)

/* Where a test kills at random moments or changes random bytes: a seed of its own in every run,
 * printed; CIS_TEST_SEED repeats one. The moments are the same again, what the machine does in
 * between is not. */
static inline unsigned test_seed(void)
{
    const char *text = getenv("CIS_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 10)
                                 : (unsigned)now.tv_nsec ^ (unsigned)getpid() << 8;
    print_message("seed: CIS_TEST_SEED=%u\n", seed);
    return seed;
}

/* Leaves the rest of a test out because the machine lacks what it needs (a word that
 * tools/not-tested.sh knows). It is listed before the summary of `make check`; what a build leaves
 * out by its own nature calls skip() instead. */
#define not_tested(need, why)                                                                      \
    do {                                                                                           \
        note_not_tested((need), __func__, (why));                                                  \
        skip();                                                                                    \
    } while (0)
static inline void note_not_tested(const char *need, const char *test, const char *why)
{
    FILE *list = fopen(CIS_TEST_BUILD_DIR "/not-tested", "ae");
    print_message("not tested: %s: %s\n", need, why);
    if (list == NULL || fprintf(list, "%s\t%s\t%s\n", need, test, why) < 0 || fclose(list) != 0) {
        fail_msg("the list of what was not tested cannot be written");
    }
}

/* A fresh folder under TMPDIR, and its removal (tests: setup and teardown). */
static inline char *test_dir_new(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/cis-test-XXXXXX", base != NULL ? base : "/tmp") < 0 ||
        mkdtemp(path) == NULL) {
        abort();
    }
    return path;
}

#endif
