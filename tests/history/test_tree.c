/* Walks of trees that no commit makes: a directory that is inside itself, as rows of a damaged
 * store or of a backup may say. A filesystem of its own: a chain of directories whose last one
 * leads back into the chain, or ends. */
#include "harness.h"

#include <errno.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "history/tree.h"

struct chain {
    cis_vfs base;
    cis_node length, back; /* directory n has n + 1 in it; the last one has `back`, 0: nothing */
    cis_vfs_file file;
    uint64_t visits, failures, refs; /* refs: that the walk holds */
};

static cis_node after(const struct chain *c, cis_node dir)
{
    return dir < c->length ? dir + 1 : c->back;
}

static int look_up(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name,
                   cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    (void)call;
    (void)name;
    *out_node = after((struct chain *)vfs, dir);
    *out_attr = (struct cis_vfs_attr){.ino = *out_node, .mode = S_IFDIR | 0755};
    if (*out_node == 0) {
        return ENOENT;
    }
    ((struct chain *)vfs)->refs += *out_node != vfs->root;
    return 0;
}

static void refer(cis_vfs *vfs, cis_node node, uint64_t n)
{
    assert_true(node != vfs->root);
    ((struct chain *)vfs)->refs += n;
}

static void forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    struct chain *c = (struct chain *)vfs;
    assert_true(node != vfs->root && c->refs >= n);
    c->refs -= n;
}

static int open_dir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node, int flags,
                    cis_vfs_file **out_file)
{
    struct chain *c = (struct chain *)vfs;
    (void)call;
    c->file = (cis_vfs_file){.vfs = vfs, .node = node, .flags = flags};
    *out_file = &c->file;
    return 0;
}

static void release(cis_vfs_file *file)
{
    (void)file;
}

static int read_dir(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t cookie,
                    bool attributes, cis_vfs_entry_each *each, void *self)
{
    cis_node next = after((struct chain *)file->vfs, file->node);
    struct cis_vfs_entry entry = {.name = CIS_STR("d"), .ino = next, .type = S_IFDIR, .cookie = 1};
    struct cis_vfs_attr attr = {.ino = next, .mode = S_IFDIR | 0755};
    (void)call;
    if (cookie == 0 && next != 0) {
        (void)each(self, &entry, attributes ? &attr : NULL);
    }
    return 0;
}

static const struct cis_vfs_ops ops = {.lookup = look_up,
                                       .ref = refer,
                                       .forget = forget,
                                       .open = open_dir,
                                       .release = release,
                                       .readdir = read_dir};

static cis_code count(void *self, const struct cis_tree_entry *entry, bool *descend,
                      struct cis_error *err)
{
    struct chain *c = self;
    (void)descend;
    c->failures += entry->rc != 0 ? 1 : 0;
    return ++c->visits < 10000 ? CIS_OK : cis_fail(err, CIS_E_LIMIT, "the walk does not end");
}

static cis_code walk(struct chain *c, cis_node length, cis_node back, unsigned flags,
                     struct cis_error *err)
{
    static const struct cis_stop never = {CIS_NEVER, NULL};
    struct cis_vfs_call call = {.stop = &never};
    struct cis_vfs_attr attr = {.ino = 1, .mode = S_IFDIR | 0755};
    *c = (struct chain){.base = {.ops = &ops, .root = 1}, .length = length, .back = back};
    cis_code code = cis_tree_walk(&c->base, 1, &attr, CIS_STR("/"), flags, &call, count, c, err);
    assert_int_equal(c->refs, 0);
    return code;
}

static void a_directory_within_itself_ends_the_walk(void **state)
{
    struct chain c;
    (void)state;
    for (cis_node length = 1; length < 40; length++) {
        for (cis_node back = 1; back <= length; back++) {
            assert_fails(CIS_E_DAMAGED, "inside itself", walk(&c, length, back, 0, err));
            assert_true(c.visits <= 4 * length + 4);
            assert_ok(walk(&c, length, back, CIS_TREE_AFTER | CIS_TREE_FAILURES, err));
            assert_int_equal(c.failures, 1);
        }
    }
}

static void a_deep_tree_is_none(void **state)
{
    struct chain c;
    (void)state;
    for (cis_node length = 1; length < 5000; length += 97) {
        assert_ok(walk(&c, length, 0, 0, err));
        assert_int_equal(c.visits, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_within_itself_ends_the_walk),
        cmocka_unit_test(a_deep_tree_is_none),
    };
    return cmocka_run_group_tests_name("history_tree", tests, NULL, NULL);
}
