/* What stands between a run and the disk: the code cache, installed skills, killed runs. */
#include "system/system.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "system/guests.h"

/* The only entry of the code cache. */
static char *cache_entry(struct sys *s)
{
    char dir[4200];
    snprintf(dir, sizeof dir, "%s/cache/code", s->home);
    DIR *d = opendir(dir);
    assert_non_null(d);
    char *path = NULL;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat st;
        char full[4500];
        snprintf(full, sizeof full, "%s/%s", dir, e->d_name);
        if (stat(full, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 1000) {
            free(path);
            path = strdup(full);
        }
    }
    closedir(d);
    assert_non_null(path);
    return path;
}

static int run_add(struct sys *s, const char *guest)
{
    return cis(s, "skill", "run", "--wasm", guest, "--method", "add", "--input", "[1,1]", "--json");
}

static void a_damaged_or_truncated_cache_file_is_recompiled(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(s, 0, run_add(s, add));
    char *entry = cache_entry(s);
    struct stat st;
    assert_int_equal(stat(entry, &st), 0);
    for (off_t at = 0; at < st.st_size; at += st.st_size / 7) {
        int fd = open(entry, O_RDWR);
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x40;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        assert_exit(s, 0, run_add(s, add));
        assert_contains(sys_out(s), "\"compiled_code\":\"compiled\"");
        assert_exit(s, 0, run_add(s, add));
        assert_contains(sys_out(s), "\"compiled_code\":\"disk\"");
    }
    assert_int_equal(truncate(entry, st.st_size / 2), 0);
    assert_exit(s, 0, run_add(s, add));
    assert_contains(sys_out(s), "\"compiled_code\":\"compiled\"");
    assert_int_equal(truncate(entry, 0), 0);
    assert_exit(s, 0, run_add(s, add));
    assert_contains(sys_out(s), "\"compiled_code\":\"compiled\"");
    free(entry);
    free(add);
}

static void an_entry_of_another_module_never_passes(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    char *sub = sys_wat(s, "sub.wat",
                        "(module (func (export \"add\") (param i32 i32) (result i32) (i32.sub "
                        "(local.get 0) (local.get 1))))");
    assert_exit(s, 0, run_add(s, add));
    char *first = cache_entry(s), *kept = NULL;
    assert_true(asprintf(&kept, "%s/kept", s->home) > 0);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(64u << 20);
    assert_ok(cis_file_read(first, &bytes, err));
    assert_int_equal(unlink(first), 0);
    assert_exit(s, 0, run_add(s, sub));
    assert_contains(sys_out(s), "\"result\":0");
    char *second = cache_entry(s);
    assert_ok(cis_file_write(second, cis_buf_bytes(&bytes), 0600, err));
    assert_exit(s, 0, run_add(s, sub));
    assert_contains(sys_out(s), "\"result\":0"); /* not 2 */
    assert_contains(sys_out(s), "\"compiled_code\":\"compiled\"");
    free(first);
    free(second);
    free(kept);
    free(add);
    free(sub);
}

/* Every run writes two keys of the same number; whatever is killed, they are equal afterwards. */
static void a_killed_run_is_wholly_there_or_not_at_all(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(
        s, "pair.wat",
        "(module (import \"env\" \"memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
        " (import \"cis\" \"input_read\" (func $read (param i64 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"ab\")"
        " (func (export \"skill_execute\") (param $p i32) (param $n i32) (result i32) (local $l "
        "i32)"
        "  (local.set $l (call $read (i64.const 0) (i32.const 64) (i32.const 64)))"
        "  (drop (call $set (i32.const 0) (i32.const 1) (i32.const 64) (local.get $l)))"
        "  (drop (call $set (i32.const 1) (i32.const 1) (i32.const 64) (local.get $l)))"
        "  (i32.const 0)))");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest, "--input", "0"));
    /* How long a whole run takes here decides which moments are worth dying in. */
    uint64_t whole = cis_clock_mono_ns();
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest, "--input", "0"));
    unsigned whole_us = (unsigned)((cis_clock_mono_ns() - whole) / 1000);
    unsigned seed = test_seed();
    const char *rounds_text = getenv("CIS_KILL_ROUNDS");
    int rounds = rounds_text != NULL ? (int)strtol(rounds_text, NULL, 10) : 40;
    char home[4200], input[32];
    snprintf(home, sizeof home, "CIS_HOME=%s", s->home);
    int kept = 0;
    for (int i = 1; i <= rounds; i++) {
        snprintf(input, sizeof input, "%d", i);
        pid_t pid = fork();
        if (pid == 0) {
            char *argv[] = {(char *)(uintptr_t)CIS_PROGRAM,
                            "skill",
                            "run",
                            "--wasm",
                            guest,
                            "--input",
                            input,
                            NULL};
            char *envp[] = {home, NULL};
            int null = open("/dev/null", O_RDWR);
            dup2(null, 1);
            execve(CIS_PROGRAM, argv, envp);
            _exit(127);
        }
        usleep((useconds_t)rand_r(&seed) % (whole_us + whole_us / 2)); /* the moment of death */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_exit(s, 0, cis(s, "memory", "get", "a", "--skill", "pair"));
        char *a = strdup(sys_out(s));
        assert_exit(s, 0, cis(s, "memory", "get", "b", "--skill", "pair"));
        assert_string_equal(sys_out(s), a);
        kept += strtol(a, NULL, 10) == i;
        free(a);
    }
    print_message("%d kills, %d of them after the commit\n", rounds, kept);
    free(guest);
}

/* Sixteen processes run two modules over one cache while it is cleared and pruned. */
static void runs_go_on_while_the_cache_is_emptied_beside_them(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD), *echo = sys_wat(s, "echo.wat", GUEST_ECHO);
    const char *rounds_text = getenv("CIS_CACHE_ROUNDS");
    int rounds = rounds_text != NULL ? (int)strtol(rounds_text, NULL, 10) : 2;
    pid_t pids[16];
    for (int i = 0; i < 16; i++) {
        pids[i] = fork();
        if (pids[i] != 0) {
            assert_true(pids[i] > 0);
            continue;
        }
        int bad = 0;
        for (int k = 0; bad == 0 && k < (i < 2 ? rounds * 4 : rounds); k++) {
            if (i == 0) {
                bad = cis(s, "cache", "clear");
            } else if (i == 1) {
                bad = cis(s, "cache", "prune", "--max", "4KiB");
            } else if (i % 2 == 0) {
                bad = run_add(s, add) != 0 || strstr(sys_out(s), "\"result\":2") == NULL;
            } else {
                bad = cis(s, "skill", "run", "--wasm", echo, "--input", "[3]") != 0 ||
                      strcmp(sys_out(s), "[3]") != 0;
            }
        }
        if (bad != 0) {
            fprintf(stderr, "process %d: %s%s\n", i, sys_out(s), sys_err(s));
        }
        _exit(bad);
    }
    for (int i = 0; i < 16; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    free(add);
    free(echo);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_damaged_or_truncated_cache_file_is_recompiled),
        T(an_entry_of_another_module_never_passes),
        T(a_killed_run_is_wholly_there_or_not_at_all),
        T(runs_go_on_while_the_cache_is_emptied_beside_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
