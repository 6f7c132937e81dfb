/* A PostgreSQL server whose disk is full: what the program says, what works there, and that nothing
 * that was acknowledged goes. The disk is a small one of the test's own, in a mount namespace. */
#include "system/system.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "tools/pgcluster.h"

static struct pgcluster *cluster;
static char *url;
static char disk[] = "/tmp/cis-disk-XXXXXX";
static char store_env[400];
static bool mounted;

#define VALUE 120000

static void fill(char *value, int n)
{
    unsigned seed = (unsigned)n * 2654435761u + 1;
    for (int i = 0; i < VALUE; i++) { /* not to be packed */
        seed = seed * 1103515245u + 12345;
        value[i] = (char)('!' + (seed >> 16) % 90);
    }
    value[0] = 'v'; /* "@" would name a file */
    value[VALUE] = 0;
}

static void a_full_disk_of_the_server_refuses_and_loses_nothing(void **state)
{
    struct sys *s = *state;
    static char value[VALUE + 1];
    char key[16];
    int kept = 0;
    if (!mounted) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    s->env[0] = store_env;
    assert_exit(s, 0, cis(s, "store", "init"));
    while (kept < 2000) {
        snprintf(key, sizeof key, "k%d", kept);
        fill(value, kept);
        if (cis(s, "memory", "set", key, value, "--skill", "s") != 0) {
            break;
        }
        kept++;
    }
    assert_in_range(kept, 20, 1999);
    assert_exit(s, 7, cis(s, "memory", "set", key, value, "--skill", "s"));
    assert_contains(sys_err(s), "the server's disk is full");
    assert_lacks(sys_err(s), "not known");
    assert_exit(s, 3, cis(s, "memory", "get", key, "--skill", "s")); /* and is not there */
    for (int i = 0; i < kept; i += 8) {
        snprintf(key, sizeof key, "k%d", i);
        fill(value, i);
        assert_exit(s, 0, cis(s, "memory", "get", key, "--skill", "s"));
        assert_string_equal(sys_out(s), value);
    }
    int code = cis(s, "fs", "fsck"); /* it holds what it reads, and that is a row */
    assert_true(code == 0 || strstr(sys_err(s), "the server's disk is full") != NULL);
    /* Room that somebody else gives back is used at once. */
    char other[64];
    snprintf(other, sizeof other, "%s/other", disk);
    assert_int_equal(unlink(other), 0);
    snprintf(key, sizeof key, "k%d", kept);
    assert_exit(s, 0, cis(s, "memory", "set", key, "v", "--skill", "s"));
    assert_exit(s, 0, cis(s, "memory", "get", key, "--skill", "s"));
    assert_exit(s, 0, cis(s, "fs", "fsck"));
    s->env[0] = NULL;
}

/* Before the server starts, which has to see it. */
static void mount_disk(void)
{
    char name[64], sql[200];
    struct stat st;
    mounted = mkdtemp(disk) != NULL && unshare(CLONE_NEWNS) == 0 &&
              mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount("none", disk, "tmpfs", 0, "size=32m,mode=755") == 0;
    cluster = pgcluster_start(NULL);
    if (!mounted) {
        return;
    }
    snprintf(name, sizeof name, "%s/space", disk);
    if (stat(pgcluster_dir(cluster), &st) != 0 || mkdir(name, 0700) != 0 ||
        chown(name, st.st_uid, st.st_gid) != 0) {
        abort();
    }
    snprintf(sql, sizeof sql, "CREATE TABLESPACE small LOCATION '%s'", name);
    pgcluster_run(cluster, "postgres", sql);
    pgcluster_run(cluster, "postgres", "CREATE DATABASE full_one TABLESPACE small");
    snprintf(name, sizeof name, "%s/other", disk);
    FILE *f = fopen(name, "we");
    for (int i = 0; f != NULL && i < 768; i++) {
        static const char block[8192];
        (void)fwrite(block, 1, sizeof block, f);
    }
    if (f == NULL || fclose(f) != 0) {
        abort();
    }
}

int main(void)
{
    mount_disk();
    url = pgcluster_url(cluster, "postgres", "full_one");
    snprintf(store_env, sizeof store_env, "CIS_STORE=%s", url);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_of_the_server_refuses_and_loses_nothing,
                                        sys_setup, sys_teardown),
    };
    int failed = cmocka_run_group_tests_name("system: server full", tests, NULL, NULL);
    free(url);
    pgcluster_stop(cluster);
    if (mounted) {
        umount(disk);
    }
    rmdir(disk);
    return failed;
}
