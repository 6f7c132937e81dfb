/* What every cis_vfs has to do, written once. A backend gives fresh filesystems; contract_run runs
 * all tests on it. Results are Linux's (filesystem kinds that cannot do something say so in flags,
 * and the test then demands that they refuse). */
#ifndef CIS_TESTS_VFS_CONTRACT_H
#define CIS_TESTS_VFS_CONTRACT_H

#include "harness.h"
#include "vfs/walk.h"

enum contract_flags {
    CONTRACT_OWNERS = 1,  /* uid and gid of calls own what is made */
    CONTRACT_NODES = 2,   /* fifos, sockets and devices can be made */
    CONTRACT_NO_ZERO = 4, /* FALLOC_FL_ZERO_RANGE is EOPNOTSUPP */
};

struct contract_backend {
    const char *name;
    unsigned flags;
    void *(*begin)(void); /* a fresh, empty filesystem's place */
    /* Opens it; what was done and settled before is there. */
    cis_vfs *(*open)(void *place, bool read_only);
    void (*settle)(void *place, cis_vfs *vfs); /* before another open; may be NULL */
    void (*end)(void *place);
};

int contract_run(const struct contract_backend *backend);

/* ---- for the tests: the filesystem of the running one ---- */
struct contract_fixture {
    const struct contract_backend *backend;
    void *place;
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *root;
    struct cis_vfs_call call;
};
extern struct contract_fixture fx;
int fx_setup(void **state);
int fx_teardown(void **state);
/* Settles and opens again. */
void fx_reopen(bool read_only);

int t_mkdir(const char *path);
int t_symlink(const char *target, const char *path);
int t_link(const char *from, const char *to);
int t_unlink(const char *path);
int t_rmdir(const char *path);
int t_rename(const char *from, const char *to, unsigned flags);
int t_stat(const char *path, struct cis_vfs_attr *out);
int t_lstat(const char *path, struct cis_vfs_attr *out);
int t_set(const char *path, const struct cis_vfs_set *set);
int t_open(const char *path, int flags, cis_vfs_file **out_file);
void t_write_file(const char *path, const char *text); /* makes or replaces */
void assert_content(const char *path, const char *text);
int t_read(cis_vfs_file *file, uint64_t offset, void *out, size_t len, size_t *out_n);
int t_write(cis_vfs_file *file, uint64_t offset, const void *bytes, size_t len);
void assert_file_bytes(cis_vfs_file *file, uint64_t offset, const void *bytes, size_t len);
#define assert_no(expected, call) assert_string_equal(strerror_ok(call), strerror_ok(expected))
const char *strerror_ok(int no);

struct contract_test {
    const char *name;
    void (*run)(void **state);
};
#define CONTRACT_TEST(f) cmocka_unit_test_setup_teardown(f, fx_setup, fx_teardown)
extern const struct CMUnitTest contract_names[], contract_files[], contract_dirs[];
extern const size_t contract_nnames, contract_nfiles, contract_ndirs;

#endif
