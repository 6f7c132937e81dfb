/* Paths: whatever the bytes, the walk ends, gives an errno of the few that it has, never leaves the
 * directory it has to stay beneath, and gives every reference back. libFuzzer target; replay.c runs
 * it over the corpus. */
#include <errno.h>
#include <stdlib.h>
#include "vfs/memfs.h"
#include "vfs/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static const char *const tree[] = {
    "in/a/b/c/d=f",
    "in/a/up>..",
    "in/out>../../out",
    "in/abs>/out",
    "in/loop>loop",
    "in/a/l>../a/b/",
    "in/file=x",
    "in/slash>file/",
    "in/dots>a/./../a",
    "out=secret",
    "in/deep>a/b/c/../../b/c",
    "in/root>/",
    "in/l1>l2",
    "in/l2>l3/..",
    "in/l3>a/b",
};

static void check(const cis_dir *in, uint64_t secret, struct cis_str path, unsigned flags)
{
    struct cis_vfs_call call = {0};
    struct cis_found found;
    int no = cis_walk(in, NULL, &call, path, flags, &found);
    if (no == 0) {
        require(found.node != secret && (found.node == 0 || found.attr.ino != secret));
        require(found.node != 0 || found.dir != 0);
        require(found.name_len <= CIS_VFS_NAME_MAX);
        cis_found_done(&found);
        return;
    }
    require(no == ENOENT || no == ENOTDIR || no == EPERM || no == ELOOP || no == EINVAL ||
            no == ENAMETOOLONG);
    require(no != EPERM || (flags & CIS_WALK_CHROOT) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cis_vfs *fs;
    static cis_ns *ns;
    static cis_dir *in;
    static int64_t held;
    static uint64_t secret;
    struct cis_vfs_call call = {0};
    if (fs == NULL) {
        struct cis_vfs_attr attr;
        cis_dir *root = NULL;
        fs = memfs_new(tree, sizeof tree / sizeof *tree);
        require(cis_ns_new(&ns, NULL) == CIS_OK);
        require(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, NULL) == CIS_OK);
        require(cis_dir_root(ns, &call, CIS_STR("/"), &root) == 0);
        require(cis_at_stat(root, &call, CIS_STR("out"), 0, &attr) == 0);
        secret = attr.ino;
        cis_dir_free(root);
        require(cis_dir_root(ns, &call, CIS_STR("/in"), &in) == 0);
        held = memfs_held(fs);
    }
    struct cis_str path = {(const char *)data, size};
    for (unsigned flags = 0; flags < 8; flags++) {
        check(in, secret, path, flags);
    }
    cis_dir *dir = NULL;
    if (cis_at_dir(in, &call, path, 0, &dir) == 0) {
        require(cis_dir_path(dir).len <= CIS_VFS_PATH_MAX);
        cis_dir_free(dir);
    }
    require(memfs_held(fs) == held);
    return 0;
}
