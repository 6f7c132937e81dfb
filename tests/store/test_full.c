/* A disk without a byte left, on a file system of its own: what grows is refused by name, what was
 * acknowledged is there, and removing, gc and deleting a tenant still work. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "store/chunk.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "tree.h"
#include "store/calls.h"

#define BLOCKS 32u /* of a file */
#define SMALL 4000 /* files without content */

static cis_store *open_at(const char *dir)
{
    cis_store *s = NULL;
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    return s;
}

/* A file of that many random blocks in one commit. */
static cis_code add(cis_store *s, const char *name, struct cis_error *err)
{
    static uint8_t content[CIS_FS_BLOCK];
    uint64_t ids[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) {
        cis_random_bytes(content, sizeof content);
        struct packed p = packed_new(s, content, sizeof content);
        cis_code code = cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&p.chunk, 1, false},
                                            &ids[i], NULL, err);
        free(p.bytes);
        CIS_TRY(code);
    }
    struct tree *t = tree_new(s, "main");
    uint64_t ino = tree_file(t, CIS_FS_ROOT, name, "");
    tree_size(t, ino, BLOCKS * (uint64_t)CIS_FS_BLOCK);
    for (unsigned i = 0; i < BLOCKS; i++) {
        tree_extent(t, ino, i, ids[i], -1);
    }
    return tree_try(t, NULL, err);
}

/* Every byte that is left. */
static void fill(const char *path)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static int64_t left(const char *dir)
{
    struct statvfs fs;
    assert_int_equal(statvfs(dir, &fs), 0);
    return (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
}

struct ids {
    uint64_t at[4000];
    size_t n;
};

static bool note(void *self, const struct cis_fs_chunk_info *info)
{
    struct ids *ids = self;
    if (ids->n < 4000) {
        ids->at[ids->n++] = info->id;
    }
    return true;
}

static cis_code rm(cis_store *s, const char *name, struct cis_error *err)
{
    struct tree *t = tree_new(s, "main");
    tree_unlink(t, CIS_FS_ROOT, name, tree_find(s, tree_head(s, "main"), name));
    return tree_try(t, NULL, err);
}

static void use_up(const char *dir)
{
    char path[512], name[32];
    struct cis_error why = {0};
    static struct ids ids;
    cis_store *s = open_at(dir);
    assert_ok(cis_store_tenant_create(s, T, 0, 0, NULL, err));
    assert_ok(cis_store_tenant_create(s, CIS_STR("other"), 0, 0, NULL, err));
    for (int i = 0; i < SMALL;) {
        static char names[SMALL / 100][16];
        struct tree *t = tree_new(s, "main");
        for (int k = 0; k < SMALL / 100; k++, i++) {
            snprintf(names[k], sizeof names[k], "small%04d", i);
            (void)tree_file(t, CIS_FS_ROOT, names[k], "");
        }
        (void)tree_commit(t);
    }
    int files = 0;
    cis_code code = CIS_OK;
    for (; code == CIS_OK && files < 400; files++) {
        snprintf(name, sizeof name, "file%03d", files);
        code = add(s, name, &why);
    }
    files--;
    assert_int_equal(code, CIS_E_STORE);
    if (strstr(why.msg, "the disk is full") == NULL || strstr(why.msg, "not known") != NULL) {
        fail_msg("%s", why.msg);
    }
    snprintf(path, sizeof path, "%s/filler", dir);
    fill(path);
    assert_true(left(dir) < 4096);
    cis_store_close(s);
    s = open_at(dir); /* another program: it needs a log's index, too */
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
    assert_int_equal(ref.files, SMALL + files);
    assert_int_equal(add(s, "more", &why), CIS_E_STORE);
    assert_non_null(strstr(why.msg, "the disk is full"));
    uint64_t pin = 0;
    assert_ok(
        cis_store_pin(s, T, &(struct cis_fs_pin_request){ref.head, 0, 60000}, &pin, NULL, err));
    for (int i = 0; i < files; i++) { /* rm, one by one */
        snprintf(name, sizeof name, "file%03d", i);
        assert_ok(rm(s, name, err));
    }
    /* Whatever commits do while another fills the disk, the last of the reserve is there for gc. */
    code = CIS_OK;
    for (int i = 0; code == CIS_OK && i < SMALL; i++) {
        snprintf(name, sizeof name, "small%04d", i);
        fill(path);
        code = rm(s, name, &why);
    }
    assert_int_equal(code, CIS_E_STORE);
    assert_non_null(strstr(why.msg, "kept for: cis fs gc"));
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){ref.head, pin, 0}, NULL, NULL, err));
    uint64_t removed = 0;
    assert_ok(
        cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){0, 0}, note, &ids, NULL, err));
    assert_ok(cis_store_chunk_remove(
        s, T, &(struct cis_fs_remove_request){ids.at, ids.n, INT64_MAX}, &removed, NULL, err));
    assert_true(removed >= (uint64_t)files * BLOCKS);
    assert_ok(rm(s, name, err));
    assert_ok(cis_store_tenant_delete(s, CIS_STR("other"), NULL, err));
    assert_true(left(dir) > (8 << 20));
    cis_store_close(s);
    s = open_at(dir);
    assert_ok(add(s, "again", err));
    cis_store_close(s);
    struct stat st;
    snprintf(path, sizeof path, "%s/reserve", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 >= 16 << 20); /* for the next time */
}

static void on_a_full_disk_what_removes_still_works(void **state)
{
    (void)state;
    char *dir = test_dir_new();
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", dir, "tmpfs", 0, "size=80m,mode=700") != 0) {
            _exit(77);
        }
        use_up(dir);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_full_disk_what_removes_still_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
