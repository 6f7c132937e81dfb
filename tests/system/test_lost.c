/* The embedded store of a user whose disk lost something, or is full: what the program says, what
 * it leaves alone, and how it goes on. */
#include "system/system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define KEYS_MAX 200
#define VALUE 60000

static char value[VALUE + 1];

static const char *in_store(struct sys *s, const char *name)
{
    snprintf(s->path, sizeof s->path, "%s/data/tenants/%s", s->home, name);
    return s->path;
}

/* Keys k0 to kN-1; a few are in the log alone. */
static void remember(struct sys *s, int n)
{
    for (int i = 0; i < VALUE; i++) {
        value[i] = (char)('a' + (i * 7 + i / 26) % 26);
    }
    for (int i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_exit(s, 0, cis(s, "memory", "set", key, value, "--skill", "s"));
    }
}

/* Keys until the log was folded into the database, and is empty. Returns how many. */
static int remember_folded(struct sys *s)
{
    struct stat st = {.st_size = 1};
    int n = 0;
    while (n < KEYS_MAX && st.st_size != 0) {
        char key[16];
        n++;
        remember(s, 1);
        snprintf(key, sizeof key, "k%d", n);
        assert_exit(s, 0, cis(s, "memory", "set", key, value, "--skill", "s"));
        assert_int_equal(lstat(in_store(s, "default.db-wal"), &st), 0);
    }
    assert_int_equal(st.st_size, 0);
    return n + 1;
}

static void assert_remembers(struct sys *s, int n)
{
    for (int i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_exit(s, 0, cis(s, "memory", "get", key, "--skill", "s"));
        assert_string_equal(sys_out(s), value);
    }
}

/* Every file of the tenants' folder in turn, but the log's index, which holds no data. */
static void all_bytes(struct sys *s, struct cis_buf *out)
{
    static const char *const names[] = {"default.db", "default.db-wal", "default.db-mark"};
    struct stat st;
    for (size_t i = 0; i < 3; i++) {
        cis_buf_printf(out, "%s:", names[i]);
        if (lstat(in_store(s, names[i]), &st) == 0) {
            assert_ok(cis_file_read(s->path, out, err));
        }
    }
    assert_int_equal(out->failed, CIS_OK);
}

static void assert_refused(struct sys *s, const char *what)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf before = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf after = CIS_BUF_INIT(64u << 20);
    all_bytes(s, &before);
    assert_exit(s, 7, cis(s, "memory", "get", "k0", "--skill", "s"));
    assert_contains(sys_err(s), what);
    assert_contains(sys_err(s), "cis store");
    assert_string_equal(sys_out(s), "");
    assert_exit(s, 7, cis(s, "memory", "set", "new", "v", "--skill", "s"));
    assert_contains(sys_err(s), what);
    assert_exit(s, 7, cis(s, "fs", "ls", "/"));
    assert_contains(sys_err(s), what);
    assert_exit(s, 7, cis(s, "store", "check"));
    all_bytes(s, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.ptr, after.ptr, before.len);
}

static void lose(struct sys *s, const char *how)
{
    int fd;
    in_store(s, "default.db");
    if (strcmp(how, "missing") == 0) {
        assert_int_equal(unlink(s->path), 0);
    } else {
        assert_true((fd = open(s->path, O_WRONLY | O_TRUNC | O_CLOEXEC)) >= 0);
        close(fd);
    }
}

static void a_lost_database_is_refused_with_7_and_repaired(void **state)
{
    struct sys *s = *state;
    static const char *const how[] = {"missing", "empty"};
    char words[64];
    remember(s, 3);
    for (size_t i = 0; i < 2; i++) {
        snprintf(words, sizeof words, "the database is %s, but there is default.db-wal", how[i]);
        lose(s, how[i]);
        assert_refused(s, words);
        assert_contains(sys_out(s), "cis store repair");
        assert_exit(s, 0, cis(s, "store", "repair"));
        assert_contains(sys_out(s), "made anew from the log");
        assert_contains(sys_out(s), "/damaged/default-");
        assert_remembers(s, 3);
        assert_exit(s, 0, cis(s, "store", "check"));
    }
}

/* Its log is folded away: nothing in the store makes it again. */
static void a_database_that_is_gone_with_its_log_comes_from_a_copy(void **state)
{
    struct sys *s = *state;
    char aside[4200];
    int n = remember_folded(s);
    snprintf(aside, sizeof aside, "%s/aside.db", s->home);
    assert_int_equal(rename(in_store(s, "default.db"), aside), 0);
    assert_refused(s, "the database is missing");
    assert_exit(s, 7, cis(s, "store", "repair"));
    assert_contains(sys_err(s), "restore it from a copy");
    assert_int_equal(rename(aside, in_store(s, "default.db")), 0);
    assert_remembers(s, n);
}

static void a_cut_database_is_refused_and_not_said_to_be_whole(void **state)
{
    struct sys *s = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf whole = CIS_BUF_INIT(64u << 20);
    int n = remember_folded(s);
    assert_ok(cis_file_read(in_store(s, "default.db"), &whole, err));
    assert_int_equal(truncate(s->path, (off_t)(whole.len / 2 / 8192 * 8192)), 0);
    assert_refused(s, "the file is damaged");
    for (int i = 0; i < 2; i++) {
        assert_exit(
            s, 7, i == 0 ? cis(s, "store", "repair") : cis(s, "store", "repair", "--accept-loss"));
        assert_contains(sys_out(s), "its file is cut: ");
        assert_contains(sys_out(s), " pages are missing; restore it from a copy");
    }
    assert_ok(cis_file_write(in_store(s, "default.db"), cis_buf_bytes(&whole), 0600, err));
    assert_exit(s, 0, cis(s, "store", "repair"));
    assert_remembers(s, n);
    memset(whole.ptr, 0, 8192); /* its first page */
    assert_ok(cis_file_write(in_store(s, "default.db"), cis_buf_bytes(&whole), 0600, err));
    assert_exit(s, 7, cis(s, "store", "repair"));
    assert_contains(sys_out(s), "its file is not a database; restore it from a copy");
}

/* What is cut off and lies in the log is not lost. */
static void a_cut_database_whose_log_has_the_rest_is_whole(void **state)
{
    struct sys *s = *state;
    remember(s, 3);
    assert_int_equal(truncate(in_store(s, "default.db"), 5000), 0);
    assert_exit(s, 0, cis(s, "store", "repair"));
    assert_remembers(s, 3);
    assert_exit(s, 0, cis(s, "store", "check"));
}

/* A small disk of the test's own, in a mount namespace. */
static void on_a_full_disk_rm_gc_fsck_and_tenant_delete_work(void **state)
{
    struct sys *s = *state;
    const char *const can[] = {
        "/usr/bin/unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", s->home, NULL};
    if (access(can[0], X_OK) != 0 || sys_exec(s, can) != 0) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    static const char script[] =
        "mount -t tmpfs -o size=80m tmpfs \"$CIS_HOME\" || exit 90; "
        "head -c 9000000 /dev/urandom > \"$CIS_HOME/big\"; "
        "for i in 1 2 3; do \"$0\" fs put \"$CIS_HOME/big\" /big$i.$i || exit 91; "
        "  head -c 9000000 /dev/urandom > \"$CIS_HOME/big\"; done; "
        "\"$0\" fs put \"$CIS_HOME/big\" /theirs --tenant other || exit 92; "
        "\"$0\" memory set kept v --skill s || exit 93; "
        "dd if=/dev/zero of=\"$CIS_HOME/fill\" bs=4k 2>/dev/null; "
        "\"$0\" fs put \"$CIS_HOME/big\" /more; echo \"put $?\"; "
        "\"$0\" fs rm /big1.1; echo \"rm $?\"; "
        "\"$0\" fs fsck; echo \"fsck $?\"; "
        "\"$0\" fs gc --help | grep -o -- '--keep[a-z-]*' | head -3; "
        "\"$0\" fs gc; echo \"gc $?\"; "
        "\"$0\" tenant delete other --yes; echo \"delete $?\"; "
        "\"$0\" memory get kept --skill s; echo; "
        "\"$0\" fs get /big2.2 - | wc -c; "
        "\"$0\" fs put \"$CIS_HOME/big\" /more; echo \"again $?\"; ";
    const char *const argv[] = {can[0], "-m", "sh", "-c", script, CIS_PROGRAM, NULL};
    assert_exit(s, 0, sys_exec(s, argv));
    assert_contains(sys_err(s), "the disk is full");
    assert_contains(sys_out(s), "put 7\n");
    assert_contains(sys_out(s), "rm 0\n");
    assert_contains(sys_out(s), "fsck 0\n");
    assert_contains(sys_out(s), "gc 0\n");
    assert_contains(sys_out(s), "delete 0\n");
    assert_contains(sys_out(s), "v\n9000000\n");
    assert_contains(sys_out(s), "again 0\n"); /* the tenant's chunks gave the room */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_lost_database_is_refused_with_7_and_repaired),
        TEST(a_database_that_is_gone_with_its_log_comes_from_a_copy),
        TEST(a_cut_database_is_refused_and_not_said_to_be_whole),
        TEST(a_cut_database_whose_log_has_the_rest_is_whole),
        TEST(on_a_full_disk_rm_gc_fsck_and_tenant_delete_work),
    };
    return cmocka_run_group_tests_name("system: lost", tests, NULL, NULL);
}
