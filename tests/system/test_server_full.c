/* A PostgreSQL server whose disk is full: what the program says, what works there, and that nothing
 * that was acknowledged goes. The disk is a small one of the test's own, in a mount namespace. */
#include "system/system.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "tools/pgcluster.h"

static struct pgcluster *cluster;
static char disk[] = "/tmp/cis-disk-XXXXXX";
static char store_env[400];
static bool mounted;

#define VALUE 120000

/* What others have on the disk. */
static void others(unsigned mib)
{
    char name[64];
    static const char block[8192];
    snprintf(name, sizeof name, "%s/other", disk);
    if (mib == 0) {
        assert_int_equal(unlink(name), 0);
        return;
    }
    FILE *f = fopen(name, "we");
    for (unsigned i = 0; f != NULL && i < mib * 128; i++) {
        (void)fwrite(block, 1, sizeof block, f);
    }
    assert_true(f != NULL && fclose(f) == 0);
}

/* A store on the disk that others have something on, too. */
static void begin(struct sys *s, const char *name, unsigned mib)
{
    char sql[100];
    if (!mounted) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    pgcluster_run(cluster, "postgres", "DROP DATABASE IF EXISTS full_one WITH (FORCE)");
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TABLESPACE small", name);
    pgcluster_run(cluster, "postgres", sql);
    char *url = pgcluster_url(cluster, "postgres", name);
    snprintf(store_env, sizeof store_env, "CIS_STORE=%s", url);
    free(url);
    others(mib);
    s->env[0] = store_env;
    assert_exit(s, 0, cis(s, "store", "init"));
}

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
    begin(s, "full_one", 24);
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
    assert_exit(s, 0, cis(s, "fs", "fsck")); /* it holds what it reads, and that is a row */
    /* Room that somebody else gives back is used at once. */
    others(0);
    snprintf(key, sizeof key, "k%d", kept);
    assert_exit(s, 0, cis(s, "memory", "set", key, "v", "--skill", "s"));
    assert_exit(s, 0, cis(s, "memory", "get", key, "--skill", "s"));
    assert_exit(s, 0, cis(s, "fs", "fsck"));
}

#define FILE_BYTES 1000000

/* Whose content is its number's. */
static const char *content(int n)
{
    static char bytes[FILE_BYTES];
    unsigned long long state = (unsigned)n + 1u;
    for (size_t i = 0; i < sizeof bytes; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        bytes[i] = (char)(state >> 56);
    }
    return bytes;
}

static int put(struct sys *s, int n, const char *tenant)
{
    char from[4200], to[32];
    snprintf(from, sizeof from, "%s/from", s->home);
    snprintf(to, sizeof to, "/f%d", n);
    FILE *f = fopen(from, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(content(n), 1, FILE_BYTES, f), FILE_BYTES);
    assert_int_equal(fclose(f), 0);
    return cis(s, "fs", "put", from, to, "--tenant", tenant);
}

static void is_there(struct sys *s, int n)
{
    char name[32];
    snprintf(name, sizeof name, "/f%d", n);
    assert_exit(s, 0, cis(s, "fs", "get", name, "-", "--tenant", "a"));
    assert_int_equal(s->last.output.len, FILE_BYTES);
    assert_memory_equal(s->last.output.ptr, content(n), FILE_BYTES);
}

static int put_until_full(struct sys *s, int from, const char *tenant)
{
    while (from < 9999 && put(s, from, tenant) == 0) {
        from++;
    }
    assert_int_equal(s->last.exit_code, 7);
    assert_contains(sys_err(s), "the server's disk is full; remove files, then: cis fs gc");
    return from;
}

static void removing(struct sys *s, int from, int n)
{
    for (int i = from; i < from + n; i++) {
        char name[32];
        snprintf(name, sizeof name, "/f%d", i);
        assert_exit(s, 0, cis(s, "fs", "rm", name, "--tenant", "a"));
    }
    assert_exit(s, 0, cis(s, "fs", "fsck", "--tenant", "a"));
    assert_exit(s, 0, cis(s, "fs", "gc", "--tenant", "a"));
}

static void reserve_is(struct sys *s, const char *what)
{
    (void)cis(s, "store", "check"); /* the test's server has no checksums */
    assert_contains(sys_out(s), "ok   row security       forced on every table\n");
    assert_contains(sys_out(s), "ok   functions          as cis made them\n");
    assert_contains(sys_out(s), what);
}
#define THERE "ok   reserve            16 MiB for removing on a full disk\n"
#define GIVEN                                                                                      \
    "ok   reserve            not there: the disk was full; made again when there is room\n"

static void removing_works_on_a_full_disk_and_its_room_is_used_again(void **state)
{
    struct sys *s = *state;
    const int theirs = 8;
    begin(s, "full_two", 12);
    reserve_is(s, THERE);
    for (int i = 0; i < theirs; i++) {
        assert_exit(s, 0, put(s, i, "b"));
    }
    int mine = put_until_full(s, theirs, "a");
    assert_in_range(mine, theirs + 7, 99);
    removing(s, theirs, 3);
    reserve_is(s, GIVEN);
    /* What grows may take half of what was given back, and no more. */
    int more = put_until_full(s, 1000, "a");
    assert_in_range(more, 1004, 1009);
    for (int i = 0; i < 12; i++) { /* pages of refused writes stay in the tables */
        assert_exit(s, 7, put(s, more, "a"));
    }
    removing(s, theirs + 3, 3);
    /* The room that a tenant had is used again. */
    assert_exit(s, 0, cis(s, "tenant", "delete", "b", "--yes"));
    pgcluster_run(cluster, "full_two", "VACUUM");
    for (int i = 2000; i < 2006; i++) {
        assert_exit(s, 0, put(s, i, "a"));
    }
    reserve_is(s, GIVEN);
    /* With room on the disk the next one that would be refused makes it again. */
    others(0);
    more = put_until_full(s, 2006, "a");
    assert_in_range(more, 2008, 2099);
    for (int i = theirs + 6; i < more; i = i + 1 == mine ? 1000 : i == 1003 ? 2000 : i + 1) {
        is_there(s, i);
    }
    reserve_is(s, THERE);
    removing(s, 2000, 4);
    reserve_is(s, GIVEN);
}

/* Before the server starts, which has to see it. */
static void mount_disk(void)
{
    char name[64], sql[200];
    struct stat st;
    mounted = mkdtemp(disk) != NULL && unshare(CLONE_NEWNS) == 0 &&
              mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount("none", disk, "tmpfs", 0, "size=56m,mode=755") == 0;
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
}

int main(void)
{
    mount_disk();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_of_the_server_refuses_and_loses_nothing,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(removing_works_on_a_full_disk_and_its_room_is_used_again,
                                        sys_setup, sys_teardown),
    };
    int failed = cmocka_run_group_tests_name("system: server full", tests, NULL, NULL);
    pgcluster_stop(cluster);
    if (mounted) {
        umount(disk);
    }
    rmdir(disk);
    return failed;
}
