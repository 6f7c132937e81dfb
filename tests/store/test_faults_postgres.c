/* The disk below a PostgreSQL server fails or is full at the nth write or sync, once or for a
 * while; what the store answers is compared with what is there. The server may end itself for that
 * and recover. Argument: the number of faults (default 12). */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/postgres/postgres.h"
#include "tools/diskfault.h"
#include "tools/pgcluster.h"
#include "contract.h"
#include "workload_postgres.h"
#include "store/calls.h"

/* A recovery syncs the filesystem at once, not each file. */
static const char settings[] = "fsync = on\nrecovery_init_sync_method = syncfs\n";

static int many = 12;
static struct pgcluster *cluster;
static struct diskfault *disk;
static char *url;

static void calm(void)
{
    disk->lasting = 0;
    disk->at[DISKFAULT_WRITES] = disk->at[DISKFAULT_SYNCS] = -1;
}

static void fail_at(int kind, long n, int error)
{
    disk->failed = 0;
    disk->error = error;
    disk->at[kind] = disk->done[kind] + n;
}

static cis_store *store_open(void)
{
    struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
    cis_store *s = NULL;
    o.connect_ms = 60000;
    assert_ok(cis_store_postgres_open(url, &o, &s, NULL, err));
    return s;
}

static unsigned audit(unsigned acked)
{
    cis_store *s = store_open();
    unsigned n = workload_audit_store(s, acked);
    cis_store_close(s);
    workload_audit_rows(cluster, url);
    return n;
}

static void every_failed_operation_of_the_server_is_answered_with_the_truth(void **state)
{
    (void)state;
    static const struct {
        int kind, error;
        long range;
    } kinds[] = {
        {DISKFAULT_WRITES, EIO, 24}, {DISKFAULT_WRITES, ENOSPC, 24}, {DISKFAULT_SYNCS, EIO, 8}};
    unsigned seed = test_seed(), done = 0;
    int refused = 0, unknown = 0, hit = 0;
    url = pgcluster_store(cluster);
    for (int round = 0; hit < many && round < 3 * many; round++) {
        size_t kind = (size_t)round % 3;
        long at = (long)((unsigned)rand_r(&seed) % (unsigned)kinds[kind].range);
        struct cis_error why = {0};
        cis_store *s = store_open();
        assert_ok(workload_step(s, done++, err));
        fail_at(kinds[kind].kind, at, kinds[kind].error);
        cis_code got = CIS_OK;
        for (int i = 0; got == CIS_OK && i < 4; i++) {
            got = workload_step(s, done, &why);
            done += got == CIS_OK;
        }
        bool failed = disk->failed != 0;
        calm();
        if (got != CIS_OK && (!failed || got != CIS_E_STORE)) {
            fail_msg("operation %ld of kind %zu: %s: %s", at, kind, cis_code_name(got), why.msg);
        }
        bool not_known = got != CIS_OK && strstr(why.msg, "not known") != NULL;
        if (round % 2 == 0) { /* the same store goes on, or another finds what is there */
            cis_code next = workload_step(s, done, &why);
            if (next != CIS_OK) {
                fail_msg("after operation %ld of kind %zu: %s", at, kind, why.msg);
            }
            done++;
            not_known = false;
        }
        cis_store_close(s);
        unsigned there = audit(done);
        if (there != done && (!not_known || there != done + 1)) {
            fail_msg("operation %ld of kind %zu: %u steps are there, %u were told: %s", at, kind,
                     there, done, got != CIS_OK ? why.msg : "");
        }
        done = there;
        hit += failed;
        refused += got != CIS_OK;
        unknown += not_known;
    }
    print_message("%d faults, %d refused, %d of those with an outcome that is not known\n", hit,
                  refused, unknown);
    assert_int_equal(hit, many);
    pgcluster_drop(cluster, url);
}

int main(int argc, char **argv)
{
    char name[] = "/tmp/cis-disk-XXXXXX";
    if (argc > 1) {
        many = (int)strtol(argv[1], NULL, 10);
    }
    int fd = mkstemp(name);
    if (fd < 0 || ftruncate(fd, sizeof *disk) != 0 || fchmod(fd, 0666) != 0) {
        return 1;
    }
    disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (disk == MAP_FAILED) {
        return 1;
    }
    close(fd);
    calm();
    setenv("CIS_DISKFAULT", name, 1);
    setenv("LD_PRELOAD", DISKFAULT_LIBRARY, 1);
    cluster = pgcluster_start(settings); /* what it starts has the library, this program has not */
    unsetenv("LD_PRELOAD");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_operation_of_the_server_is_answered_with_the_truth),
    };
    int failed = cmocka_run_group_tests_name("store faults, PostgreSQL", tests, NULL, NULL);
    pgcluster_stop(cluster);
    unlink(name);
    return failed;
}
