/* A file that is larger than all memory the filesystem may take: streamed in, committed, streamed
 * out, edited. With a number: so many MiB. */
#include "fixture.h"
#include "store/calls.h"

static size_t mib = 160;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static long resident_kib(void)
{
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void block_at(uint64_t at, uint8_t *out)
{
    uint64_t x = at * 0x9e3779b97f4a7c15ull + 1;
    for (size_t i = 0; i < 1 << 20; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(out + i, &x, 8);
    }
}

static void a_stream_needs_a_constant_amount_of_memory(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    cis_vfs *v = view_main(&f);
    uint8_t *data = malloc(1 << 20), *have = malloc(1 << 20);
    block_at(0, data);
    memset(have, 1, 1 << 20);
    must_write(v, 1, "small", "x", 1);
    must_commit(v);
    long idle = resident_kib(), most = idle;
    must_write(v, 1, "large", "", 0);
    uint64_t ino = must_find(v, 1, "large");
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    for (uint64_t at = 0; at < mib; at++) {
        block_at(at, data);
        assert_int_equal(write_at(file, at << 20, data, 1 << 20), 0);
        most = at % 16 == 0 && resident_kib() > most ? resident_kib() : most;
    }
    must_commit(v);
    most = resident_kib() > most ? resident_kib() : most;
    for (uint64_t at = 0; at < mib; at++) {
        block_at(at, data);
        assert_int_equal(read_at(file, at << 20, have, 1 << 20), 1 << 20);
        assert_memory_equal(data, have, 1 << 20);
        most = at % 16 == 0 && resident_kib() > most ? resident_kib() : most;
    }
    print_message("%zu MiB in and out: %ld KiB above idle\n", mib, most - idle);
    assert_true(SANITIZED || most - idle < 64 * 1024);
    struct cis_tenant before, after;
    assert_ok(cis_store_tenant_get(f.store, TENANT, &before, NULL, err));
    assert_int_equal(write_at(file, (uint64_t)mib << 19, have, 4096), 0);
    must_commit(v);
    assert_ok(cis_store_tenant_get(f.store, TENANT, &after, NULL, err));
    assert_true(after.stored - before.stored <= 2 * (CIS_FS_BLOCK + 1024));
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_vfs_close(v);
    fixture_close(&f);
    free(data);
    free(have);
}

int main(int argc, char **argv)
{
    mib = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : mib;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_needs_a_constant_amount_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
