/* Which parts of a file a tar lists. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "history/tar.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/walk.h"

#define UNIT 4096u

struct world {
    char *dir;
    cis_vfs *vfs;
    cis_vfs_file *file;
    uint8_t *piece;
    struct cis_tar_parts parts;
};

static const struct cis_vfs_call CALL = {.uid = 0};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->dir = test_dir_new();
    w->piece = cis_alloc(CIS_TAR_PIECE);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct cis_error err;
    cis_vfs_file_close(w->file);
    cis_vfs_close(w->vfs);
    int failed = cis_file_remove_tree(w->dir, &err) != CIS_OK;
    cis_free(w->parts.at);
    cis_free(w->piece);
    free(w->dir);
    free(w);
    return failed;
}

/* A file of the host of `size` bytes with `n` bytes, one every `step`; written out, with no hole
 * that the host knows, when dense. */
static void file_of(struct world *w, uint64_t size, unsigned n, uint64_t step, bool dense)
{
    char path[4200];
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_vfs_attr attr;
    cis_node node;
    snprintf(path, sizeof path, "%s/f", w->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (uint64_t at = 0; dense && at < size; at += UNIT) {
        static const char zeros[UNIT];
        assert_int_equal(pwrite(fd, zeros, UNIT, (off_t)at), UNIT);
    }
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pwrite(fd, "x", 1, (off_t)(i * step)), 1);
    }
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(close(fd), 0);
    assert_ok(cis_hostdir_open(w->dir, &o, &w->vfs, err));
    assert_int_equal(cis_vfs_lookup(w->vfs, &CALL, w->vfs->root, CIS_STR("f"), &node, &attr), 0);
    assert_int_equal(cis_vfs_open(w->vfs, &CALL, node, O_RDONLY, &w->file), 0);
    cis_vfs_forget(w->vfs, node, 1);
}

static int find(struct world *w, uint64_t size, size_t max)
{
    return cis_tar_parts_find(w->file, &CALL, size, max, w->piece, &w->parts);
}

static void zeros_of_4_kib_are_holes_whether_the_file_says_so_or_not(void **state)
{
    struct world *w = *state;
    file_of(w, 3u << 20, 10, 300000, true);
    assert_int_equal(find(w, 3u << 20, 100), 0);
    assert_int_equal(w->parts.n, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(w->parts.at[i].from, i * 300000 / UNIT * UNIT);
        assert_int_equal(w->parts.at[i].to, w->parts.at[i].from + UNIT);
    }
}

static void a_file_of_zeros_has_no_part(void **state)
{
    struct world *w = *state;
    file_of(w, 1u << 20, 0, 0, true);
    assert_int_equal(find(w, 1u << 20, 0), 0);
    assert_int_equal(w->parts.n, 0);
}

static void small_holes_go_when_there_are_too_many_parts(void **state)
{
    struct world *w = *state;
    file_of(w, 200000, 10, 10000, false);
    assert_int_equal(find(w, 200000, 9), 0);
    assert_int_equal(w->parts.n, 1);
    assert_int_equal(w->parts.at[0].from, 0);
    assert_int_equal(w->parts.at[0].to, 90000 / UNIT * UNIT + UNIT);
}

static void more_parts_than_the_bound_are_refused(void **state)
{
    struct world *w = *state;
    file_of(w, 2u << 20, 10, 131072, false);
    assert_int_equal(find(w, 2u << 20, 9), E2BIG);
    assert_int_equal(find(w, 2u << 20, 10), 0);
    assert_int_equal(w->parts.n, 10);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(zeros_of_4_kib_are_holes_whether_the_file_says_so_or_not),
        CASE(a_file_of_zeros_has_no_part),
        CASE(small_holes_go_when_there_are_too_many_parts),
        CASE(more_parts_than_the_bound_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
