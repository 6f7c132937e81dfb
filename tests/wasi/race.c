/* Two programs open, make, link and rename in one folder of the host while threads exchange its
 * directories for links that lead out: what is outside is never read, never changed, and nothing is
 * made there. Once with the folder written through, once as cow. The argument is how many pairs of
 * rename and open there are for each kind of mount. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "vfs/ops.h"
#include "wasi/suite.h"

#define GUESTS 2
#define SWAPPERS 2

static uint64_t wanted = 40000;
static struct place place;
static int base_fd;
static _Atomic bool stop;
static _Atomic uint64_t swaps, escapes, reached;

static void put(const char *path, const char *text)
{
    int fd = openat(base_fd, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void tree_make(void)
{
    static const char *const folders[] = {"folder/d",     "folder/d/sub", "folder/e",
                                          "folder/e/sub", "folder/deep",  "folder/deep/er",
                                          "out",          "out/sub"};
    base_fd = open(place.base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        assert_int_equal(mkdirat(base_fd, folders[i], 0755), 0);
    }
    put("folder/secret", "INSIDE");
    put("folder/d/secret", "INSIDE");
    put("folder/d/sub/secret", "INSIDE");
    put("folder/e/secret", "INSIDE");
    put("folder/e/sub/secret", "INSIDE");
    put("folder/deep/secret", "INSIDE");
    put("folder/deep/er/secret", "INSIDE");
    put("out/secret", "OUTSIDE");
    put("out/sub/secret", "OUTSIDE");
    assert_int_equal(symlinkat("../out", base_fd, "folder/dl"), 0);
    assert_int_equal(symlinkat("/", base_fd, "folder/el"), 0);
    assert_int_equal(symlinkat("../../out/secret", base_fd, "folder/d/sl"), 0);
}

static void *swapper(void *arg)
{
    static const char *const pairs[][2] = {{"folder/d", "folder/dl"},
                                           {"folder/e", "folder/el"},
                                           {"folder/deep", "folder/d"},
                                           {"folder/dl", "folder/e"},
                                           {"folder/secret", "folder/dl"}};
    static const struct timespec moment = {0, 5000}; /* or the guests would hardly run */
    unsigned at = (unsigned)(uintptr_t)arg;
    while (!stop) {
        const char *const *pair = pairs[at++ % 5];
        if (at % 4 == 0) {
            nanosleep(&moment, NULL);
        }
        swaps += renameat2(base_fd, pair[0], base_fd, pair[1], RENAME_EXCHANGE) == 0;
    }
    return NULL;
}

static void *guest(void *arg)
{
    struct cis_run_mount mount = place_main(&place);
    char pairs[24], number[24], branch[32];
    snprintf(pairs, sizeof pairs, "%llu", (unsigned long long)(wanted / GUESTS));
    snprintf(number, sizeof number, "%u", (unsigned)(uintptr_t)arg);
    snprintf(branch, sizeof branch, "guest%s", number);
    mount.branch = mount.branch != NULL ? branch : NULL;
    struct suite_how how = {.file = "race",
                            .args = {pairs, number},
                            .mounts = &mount,
                            .nmounts = 1,
                            .time_ns = CIS_NEVER};
    struct suite_result r;
    struct cis_error err = {0};
    if (suite_try(&place, &how, &r, &err) != CIS_OK) {
        print_error("%s\n", err.msg);
        escapes++;
        return NULL;
    }
    bool well = r.outcome.code == CIS_OK && strncmp(r.text, "0 escapes", 9) == 0;
    if (!well) {
        print_error("guest: %s %s\n", r.text, r.outcome.error.msg);
    }
    escapes += !well;
    reached += strstr(r.text, "reached 1") != NULL;
    suite_done(&r);
    return NULL;
}

/* The folder holds these names and no more, and its files their text. */
static void outside_is_untouched(const char *path, const char *const *names, size_t n)
{
    int fd = openat(base_fd, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fdopendir(fd);
    size_t found = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        bool known = e->d_name[0] == '.';
        for (size_t i = 0; i < n; i++) {
            known = known || strcmp(e->d_name, names[i]) == 0;
        }
        if (!known) {
            fail_msg("%s/%s was made outside", path, e->d_name);
        }
        found += e->d_name[0] != '.';
    }
    closedir(dir);
    assert_int_equal(found, n);
    char text[16] = "", file[64];
    struct stat st;
    snprintf(file, sizeof file, "%s/secret", path);
    fd = openat(base_fd, file, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 7);
    assert_string_equal(text, "OUTSIDE");
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    close(fd);
}

static void race_on(enum backend backend)
{
    pthread_t guests[GUESTS], swappers[SWAPPERS];
    stop = false;
    swaps = escapes = reached = 0;
    place_begin(&place, backend);
    tree_make();
    suite_image("race", false);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (uintptr_t i = 0; i < SWAPPERS; i++) {
        assert_int_equal(pthread_create(&swappers[i], NULL, swapper, (void *)(i * 2)), 0);
    }
    for (uintptr_t i = 0; i < GUESTS; i++) {
        assert_int_equal(pthread_create(&guests[i], NULL, guest, (void *)i), 0);
    }
    for (int i = 0; i < GUESTS; i++) {
        pthread_join(guests[i], NULL);
    }
    stop = true;
    for (int i = 0; i < SWAPPERS; i++) {
        pthread_join(swappers[i], NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    print_message("%s: %llu pairs of rename and open beside %llu exchanges in %.1f s, %llu "
                  "escapes\n",
                  backend_names[backend], (unsigned long long)wanted, (unsigned long long)swaps,
                  (double)(after.tv_sec - before.tv_sec) +
                      (double)(after.tv_nsec - before.tv_nsec) / 1e9,
                  (unsigned long long)escapes);
    assert_int_equal(escapes, 0);
    assert_true(swaps > 100);
    assert_int_equal(reached, GUESTS);
    outside_is_untouched("out", (const char *const[]){"secret", "sub"}, 2);
    outside_is_untouched("out/sub", (const char *const[]){"secret"}, 1);
    outside_is_untouched("outside", (const char *const[]){"secret"}, 1);
    close(base_fd);
    place_end(&place);
}

static void names_that_are_exchanged_never_lead_out_of_a_folder(void **state)
{
    (void)state;
    race_on(HOSTDIR);
}

static void names_that_are_exchanged_never_lead_out_of_a_cow_mount(void **state)
{
    (void)state;
    race_on(COW);
}

static int begin(void **state)
{
    (void)state;
    suite_start(NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    suite_stop();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_exchanged_never_lead_out_of_a_folder),
        cmocka_unit_test(names_that_are_exchanged_never_lead_out_of_a_cow_mount),
    };
    if (argc > 1) {
        wanted = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests_name("wasi_race", tests, begin, end);
}
