/* What a memory error in the compiler's process could still do: each attempt is made by a child
 * that has entered the cage. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "cli/cage.h"

typedef long attempt(void);

/* The exit code of a child that enters the cage and tries: 0 it could, else errno. */
static int tried(attempt *what)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct cis_error err;
        if (cis_cage_enter(&err) != CIS_OK) {
            _exit(255);
        }
        errno = 0;
        _exit(what() >= 0 ? 0 : errno);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static long open_a_file(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static long make_a_file(void)
{
    return openat(AT_FDCWD, "/tmp/cis-cage", O_WRONLY | O_CREAT, 0600);
}

static long remove_a_file(void)
{
    return unlink("/nonexistent");
}

static long open_a_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long start_a_program(void)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    return execve("/bin/true", argv, argv + 1);
}

static long start_a_process(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid;
}

static long end_the_parent(void)
{
    return kill(getppid(), SIGTERM);
}

static long trace_the_parent(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long read_the_parent(void)
{
    static char to[8];
    struct iovec here = {to, sizeof to}, there = {(void *)(uintptr_t)to, sizeof to};
    return process_vm_readv(getppid(), &here, 1, &there, 1, 0);
}

static long map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED
               ? 0
               : -1;
}

static long make_memory_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 0 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static long raise_a_limit(void)
{
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_AS, &r);
}

static long be_dumpable(void)
{
    return (long)syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
}

static long set_up_a_ring(void)
{
    char params[128] = {0};
    return syscall(SYS_io_uring_setup, 8, params);
}

static void what_a_compiler_has_no_need_of_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        attempt *what;
    } all[] = {
        {"open", open_a_file},
        {"create", make_a_file},
        {"unlink", remove_a_file},
        {"socket", open_a_socket},
        {"execve", start_a_program},
        {"fork", start_a_process},
        {"kill", end_the_parent},
        {"ptrace", trace_the_parent},
        {"process_vm_readv", read_the_parent},
        {"mmap", map_code},
        {"mprotect", make_memory_code},
        {"setrlimit", raise_a_limit},
        {"prctl", be_dumpable},
        {"io_uring", set_up_a_ring},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int got = tried(all[i].what);
        if (got != EPERM) {
            fail_msg("%s: %s", all[i].name, got == 0 ? "was done" : strerror(got));
        }
    }
}

/* In the working directory: a file, an empty folder. One attempt for each right of Landlock. */
static long write_a_file(void)
{
    return open("file", O_WRONLY);
}

static long list_a_folder(void)
{
    return open(".", O_RDONLY | O_DIRECTORY);
}

static long run_a_file(void)
{
    char *const argv[] = {(char *)(uintptr_t) "file", NULL};
    return execve("/bin/true", argv, argv + 1);
}

static long remove_the_file(void)
{
    return unlink("file");
}

static long remove_the_folder(void)
{
    return rmdir("folder");
}

static long make_a_folder(void)
{
    return mkdir("new", 0700);
}

static long make_a_link(void)
{
    return symlink("file", "new");
}

static long make_a_regular_file(void)
{
    return mknod("new", S_IFREG | 0600, 0);
}

static long make_a_fifo(void)
{
    return mknod("new", S_IFIFO | 0600, 0);
}

static long make_a_socket(void)
{
    return mknod("new", S_IFSOCK | 0600, 0);
}

static long make_a_device(void)
{
    return mknod("new", S_IFCHR | 0600, makedev(1, 3));
}

/* What a process that only Landlock holds can do: seccomp, which answers first, is not there. */
static void files_are_refused_by_landlock_alone(void **state)
{
    (void)state;
    static attempt *const tries[] = {
        open_a_file,     make_a_file,       write_a_file,  list_a_folder,       run_a_file,
        remove_the_file, remove_the_folder, make_a_folder, make_a_regular_file, make_a_fifo,
        make_a_socket,   make_a_link,       make_a_device};
    char *dir = test_dir_new();
    assert_int_equal(chdir(dir), 0);
    close(open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(mkdir("folder", 0700), 0);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !cis_cage_files()) {
                _exit(255);
            }
            errno = 0;
            _exit(tries[i]() >= 0 ? 0 : errno);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 255) {
            not_tested("landlock", "the kernel does not give it");
        }
        if (WEXITSTATUS(status) != EACCES) {
            fail_msg("attempt %zu: %s", i,
                     WEXITSTATUS(status) == 0 ? "was done" : strerror(WEXITSTATUS(status)));
        }
    }
    assert_int_equal(chdir("/"), 0);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

static void *work(void *arg)
{
    size_t n = 1 << 20;
    char *some = malloc(n);
    if (some != NULL) {
        memset(some, 1, n);
        *(int *)arg = some[n - 1];
    }
    free(some);
    return NULL;
}

static long compute(void)
{
    pthread_t threads[4];
    int done[4] = {0}, sum = 0;
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, work, &done[i]) != 0) {
            return -1;
        }
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += done[i];
    }
    return sum == 4 ? 0 : -1;
}

static void memory_and_threads_are_there(void **state)
{
    (void)state;
    assert_int_equal(tried(compute), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_compiler_has_no_need_of_is_refused),
        cmocka_unit_test(files_are_refused_by_landlock_alone),
        cmocka_unit_test(memory_and_threads_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
