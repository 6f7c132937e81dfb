#include "vfs/contract.h"

#include <errno.h>
#include <fcntl.h>

struct contract_fixture fx;

const char *strerror_ok(int no)
{
    return no == 0 ? "success" : strerror(no);
}

static void attach(bool read_only)
{
    fx.vfs = fx.backend->open(fx.place, read_only);
    assert_ok(cis_ns_new(&fx.ns, err));
    assert_ok(cis_ns_mount(fx.ns, CIS_STR("/"), fx.vfs, 0, false, err));
    assert_no(0, cis_dir_root(fx.ns, &fx.call, CIS_STR("/"), &fx.root));
}

static void detach(void)
{
    cis_dir_free(fx.root);
    cis_ns_free(fx.ns);
    cis_vfs_close(fx.vfs);
}

int fx_setup(void **state)
{
    (void)state;
    fx.place = fx.backend->begin();
    fx.call = (struct cis_vfs_call){.uid = geteuid(), .gid = getegid()};
    attach(false);
    return 0;
}

int fx_teardown(void **state)
{
    (void)state;
    detach();
    fx.backend->end(fx.place);
    return 0;
}

void fx_reopen(bool read_only)
{
    if (fx.backend->settle != NULL) {
        fx.backend->settle(fx.place, fx.vfs);
    }
    detach();
    attach(read_only);
}

int t_mkdir(const char *path)
{
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    return cis_at_make(fx.root, &fx.call, cis_str_of(path), CIS_WALK_CHROOT, &make);
}

int t_symlink(const char *target, const char *path)
{
    struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_str_of(target)};
    return cis_at_make(fx.root, &fx.call, cis_str_of(path), CIS_WALK_CHROOT, &make);
}

int t_link(const char *from, const char *to)
{
    return cis_at_link(fx.root, cis_str_of(from), fx.root, cis_str_of(to), &fx.call,
                       CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW);
}

int t_unlink(const char *path)
{
    return cis_at_unlink(fx.root, &fx.call, cis_str_of(path), CIS_WALK_CHROOT);
}

int t_rmdir(const char *path)
{
    return cis_at_rmdir(fx.root, &fx.call, cis_str_of(path), CIS_WALK_CHROOT);
}

int t_rename(const char *from, const char *to, unsigned flags)
{
    return cis_at_rename(fx.root, cis_str_of(from), fx.root, cis_str_of(to), &fx.call,
                         CIS_WALK_CHROOT, flags);
}

int t_stat(const char *path, struct cis_vfs_attr *out)
{
    return cis_at_stat(fx.root, &fx.call, cis_str_of(path), CIS_WALK_CHROOT, out);
}

int t_lstat(const char *path, struct cis_vfs_attr *out)
{
    return cis_at_stat(fx.root, &fx.call, cis_str_of(path), CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW,
                       out);
}

int t_set(const char *path, const struct cis_vfs_set *set)
{
    return cis_at_set(fx.root, &fx.call, cis_str_of(path), CIS_WALK_CHROOT, set);
}

int t_open(const char *path, int flags, cis_vfs_file **out_file)
{
    struct cis_vfs_attr attr;
    return cis_at_open(fx.root, &fx.call, cis_str_of(path),
                       &(struct cis_open_how){CIS_WALK_CHROOT, flags, 0644}, out_file, &attr);
}

int t_read(cis_vfs_file *file, uint64_t offset, void *out, size_t len, size_t *out_n)
{
    struct iovec iov = {out, len};
    return cis_vfs_read(file, &fx.call, &iov, 1, offset, out_n);
}

int t_write(cis_vfs_file *file, uint64_t offset, const void *bytes, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    size_t n = 0;
    uint64_t end = 0;
    int no = cis_vfs_write(file, &fx.call, &iov, 1, offset, &n, &end);
    if (no == 0) {
        assert_int_equal(n, len);
        if (offset != CIS_VFS_APPEND && (file->flags & O_APPEND) == 0) {
            assert_int_equal(end, offset + len);
        }
    }
    return no;
}

void assert_file_bytes(cis_vfs_file *file, uint64_t offset, const void *bytes, size_t len)
{
    char *got = malloc(len + 1);
    size_t n = 0;
    assert_no(0, t_read(file, offset, got, len, &n));
    assert_int_equal(n, len);
    assert_memory_equal(got, bytes, len);
    free(got);
}

void t_write_file(const char *path, const char *text)
{
    cis_vfs_file *file = NULL;
    assert_no(0, t_open(path, O_CREAT | O_TRUNC | O_WRONLY, &file));
    assert_no(0, t_write(file, 0, text, strlen(text)));
    cis_vfs_file_close(file);
}

void assert_content(const char *path, const char *text)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    assert_no(0, t_open(path, O_RDONLY, &file));
    assert_no(0, cis_vfs_getattr(file->vfs, &fx.call, file->node, &attr));
    assert_int_equal(attr.size, strlen(text));
    assert_file_bytes(file, 0, text, strlen(text));
    cis_vfs_file_close(file);
}

int contract_run(const struct contract_backend *backend)
{
    fx.backend = backend;
    size_t total = contract_nnames + contract_nfiles + contract_ndirs, at = 0;
    struct CMUnitTest *tests = calloc(total, sizeof *tests);
    for (size_t i = 0; i < contract_nnames; i++) {
        tests[at++] = contract_names[i];
    }
    for (size_t i = 0; i < contract_nfiles; i++) {
        tests[at++] = contract_files[i];
    }
    for (size_t i = 0; i < contract_ndirs; i++) {
        tests[at++] = contract_dirs[i];
    }
    print_message("on %s\n", backend->name);
    int failed = _cmocka_run_group_tests(backend->name, tests, total, NULL, NULL);
    free(tests);
    return failed;
}
