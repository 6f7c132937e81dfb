/* Down any number of folders of the host with few of them open, and back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include "base/str.h"
#include "harness.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/way.h"

enum { DEEP = 5000, OPEN = 100 };

struct down {
    char *base;
    cis_vfs *vfs;
    struct cis_way way;
    uint64_t ino[DEEP + 1];
};
static const struct cis_vfs_call call;

/* n folders "d" in each other; the innermost one, open. */
static int folders(const char *base, int n)
{
    int at = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < n; i++) {
        (void)mkdirat(at, "d", 0755);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    return at;
}

static void go_down(struct down *d)
{
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_vfs_attr attr;
    cis_node node;
    o.nodes_max = OPEN;
    d->base = test_dir_new();
    close(folders(d->base, DEEP));
    assert_ok(cis_hostdir_open(d->base, &o, &d->vfs, err));
    cis_way_init(&d->way, d->vfs);
    assert_int_equal(cis_vfs_getattr(d->vfs, &call, d->vfs->root, &attr), 0);
    d->ino[0] = attr.ino;
    assert_int_equal(cis_way_push(&d->way, d->vfs->root, CIS_STR(""), &attr, false), 0);
    for (int i = 1; i <= DEEP; i++) {
        cis_node dir;
        assert_int_equal(cis_way_here(&d->way, &call, &dir), 0);
        assert_int_equal(cis_vfs_lookup(d->vfs, &call, dir, CIS_STR("d"), &node, &attr), 0);
        d->ino[i] = attr.ino;
        assert_int_equal(cis_way_push(&d->way, node, CIS_STR("d"), &attr, false), 0);
    }
}

static void down_done(struct down *d)
{
    char command[600];
    cis_way_done(&d->way);
    cis_vfs_close(d->vfs);
    snprintf(command, sizeof command, "rm -rf '%s'", d->base);
    assert_int_equal(system(command), 0);
    free(d->base);
}

static void each_folder_is_met_again_on_the_way_back(void **state)
{
    (void)state;
    static struct down d;
    struct cis_vfs_attr attr;
    cis_node node;
    go_down(&d);
    for (int i = DEEP; i >= 0; i--) {
        assert_int_equal(cis_way_here(&d.way, &call, &node), 0);
        assert_int_equal(cis_vfs_getattr(d.vfs, &call, node, &attr), 0);
        assert_int_equal(attr.ino, d.ino[i]);
        if (i % 7 == 0 && i > 0) { /* and down again */
            cis_way_pop(&d.way);
            assert_int_equal(cis_way_here(&d.way, &call, &node), 0);
            assert_int_equal(cis_vfs_lookup(d.vfs, &call, node, CIS_STR("d"), &node, &attr), 0);
            assert_int_equal(cis_way_push(&d.way, node, CIS_STR("d"), &attr, false), 0);
        }
        cis_way_pop(&d.way);
    }
    down_done(&d);
}

/* Somebody put another folder, as deep as it was, where one was. */
static void another_folder_at_a_place_is_not_taken_for_it(void **state)
{
    (void)state;
    static struct down d;
    cis_node node;
    int rc = 0;
    go_down(&d);
    int at = folders(d.base, DEEP - 2000);
    assert_int_equal(renameat(at, "d", at, "mine"), 0);
    close(at);
    close(folders(d.base, DEEP));
    int i = DEEP;
    for (; i > 0 && rc == 0; i--) {
        cis_way_pop(&d.way);
        rc = cis_way_here(&d.way, &call, &node);
    }
    assert_int_equal(rc, ESTALE);
    assert_true(i > DEEP - 2000); /* below it, where folders of its name are others */
    down_done(&d);
}

/* The same, with all below it moved along: what is found below is right, the folder itself is not.
 */
static void another_folder_with_what_was_below_is_not_taken_for_it(void **state)
{
    (void)state;
    static struct down d;
    cis_node node;
    int rc = 0, wrong = DEEP - 97; /* where a jump past those that are held ends */
    go_down(&d);
    int at = folders(d.base, wrong - 1);
    assert_int_equal(renameat(at, "d", at, "mine"), 0);
    assert_int_equal(mkdirat(at, "d", 0755), 0);
    assert_int_equal(renameat(at, "mine/d", at, "d/d"), 0);
    close(at);
    int i = DEEP;
    for (; i > wrong && rc == 0; i--) {
        cis_way_pop(&d.way);
        rc = cis_way_here(&d.way, &call, &node);
    }
    assert_int_equal(rc, ESTALE);
    down_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_folder_is_met_again_on_the_way_back),
        cmocka_unit_test(another_folder_at_a_place_is_not_taken_for_it),
        cmocka_unit_test(another_folder_with_what_was_below_is_not_taken_for_it),
    };
    return cmocka_run_group_tests_name("way", tests, NULL, NULL);
}
