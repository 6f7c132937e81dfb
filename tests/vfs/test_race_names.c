/* Threads that make, replace, rename and remove a few names while others open and read them, on any
 * filesystem: a reader finds a file as one writer wrote it, whole, or none; nothing is left over.
 * The argument is how many opens are tried at least. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include "vfs/backend_layered.h"

#define WRITERS 2
#define READERS 2
#define LEN 6000

static uint64_t wanted = 20000;
static _Atomic uint64_t tried, read_whole, wrong;
static _Atomic bool stop;

static const char *const names[] = {"a", "b", "d/a", "d/b", "d/e/a"};

static void write_one(const struct cis_vfs_call *call, const char *path, char fill)
{
    char bytes[LEN];
    struct iovec iov = {bytes, sizeof bytes};
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    size_t n = 0;
    uint64_t end = 0;
    memset(bytes, fill, sizeof bytes);
    if (cis_at_open(fx.root, call, cis_str_of(path),
                    &(struct cis_open_how){0, O_CREAT | O_EXCL | O_WRONLY, 0644}, &file,
                    &attr) == 0) {
        wrong += cis_vfs_write(file, call, &iov, 1, 0, &n, &end) != 0 || n != LEN;
        cis_vfs_file_close(file);
    }
}

static void *writer(void *arg)
{
    unsigned at = (unsigned)(uintptr_t)arg;
    char temp[16];
    snprintf(temp, sizeof temp, "t%u", at);
    struct cis_vfs_call call = fx.call;
    while (!stop) {
        const char *path = names[at % 5];
        at = at * 1103515245u + 12345u;
        write_one(&call, temp, (char)('A' + at % 26));
        switch (at >> 16 & 3) {
        case 0:
            (void)cis_at_unlink(fx.root, &call, cis_str_of(path), 0);
            break;
        case 1:
            (void)cis_at_rename(fx.root, cis_str_of(path), fx.root, cis_str_of(names[at % 7 % 5]),
                                &call, 0, 0);
            break;
        default:
            (void)cis_at_rename(fx.root, cis_str_of(temp), fx.root, cis_str_of(path), &call, 0, 0);
        }
        (void)cis_at_unlink(fx.root, &call, cis_str_of(temp), 0);
    }
    return NULL;
}

static void *reader(void *arg)
{
    unsigned at = (unsigned)(uintptr_t)arg;
    char bytes[LEN];
    struct cis_vfs_call call = fx.call;
    /* On a busy machine the readers may be through before a writer has begun: go on until they met.
     */
    while (tried < wanted || read_whole <= wanted / 100) {
        cis_vfs_file *file = NULL;
        struct cis_vfs_attr attr;
        struct iovec iov = {bytes, sizeof bytes};
        size_t n = 0;
        tried++;
        int no = cis_at_open(fx.root, &call, cis_str_of(names[at++ % 5]),
                             &(struct cis_open_how){0, O_RDONLY, 0}, &file, &attr);
        if (no != 0) {
            wrong += no != ENOENT;
            continue;
        }
        no = cis_vfs_read(file, &call, &iov, 1, 0, &n);
        bool whole = no == 0 && n == LEN;
        for (size_t i = 1; whole && i < n; i++) {
            whole = bytes[i] == bytes[0] && bytes[0] >= 'A';
        }
        read_whole += whole;
        wrong += !whole;
        cis_vfs_file_close(file);
    }
    return NULL;
}

static void files_are_found_whole_or_not_at_all(void **state)
{
    (void)state;
    pthread_t threads[WRITERS + READERS];
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_mkdir("d/e"));
    for (uintptr_t i = 0; i < WRITERS + READERS; i++) {
        pthread_create(&threads[i], NULL, i < WRITERS ? writer : reader, (void *)(i + 1));
    }
    for (size_t i = WRITERS; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    stop = true;
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    print_message("%llu opens, %llu files read whole, %llu wrong\n", (unsigned long long)tried,
                  (unsigned long long)read_whole, (unsigned long long)wrong);
    assert_int_equal(wrong, 0);
    assert_true(read_whole > wanted / 100);
    for (size_t i = 0; i < 5; i++) {
        (void)t_unlink(names[i]);
    }
    fx_reopen(false);
    assert_no(0, t_rmdir("d/e"));
    assert_no(0, t_rmdir("d"));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        wanted = strtoull(argv[1], NULL, 10);
    }
    umask(022);
    stores_start();
    fx.backend = &CONTRACT_BACKEND;
    const struct CMUnitTest tests[] = {CONTRACT_TEST(files_are_found_whole_or_not_at_all)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
