/* Every operation on {file, full folder, empty folder, symlink to each, dangling, looping, absolute
 * and upward links, nothing} with {"", /, //, /., /.., /x} after the name: the same as Linux and
 * the model, and nothing but the tree's own names is ever reached. */
#include <fcntl.h>
#include "vfs/backend_layered.h"
#include "vfs/model.h"

static subject *subjects[3]; /* model, filesystem, Linux */
static size_t nsubjects;
static size_t cases;

static int apply_all(const struct op *op)
{
    struct op_result want, got;
    char what[200], text[1000];
    op_apply(subjects[0], op, &want);
    int no = want.no;
    for (size_t i = 1; i < nsubjects; i++) {
        op_apply(subjects[i], op, &got);
        if (!op_same(op, &want, &got, what, sizeof what)) {
            op_print(op, text, sizeof text);
            fail_msg("model and %s: %s: %s", subjects[i]->name, what, text);
        }
        op_result_done(&got);
    }
    op_result_done(&want);
    cases++;
    return no;
}

static int simple(enum op_kind kind, const char *a, const char *b)
{
    struct op op = {.kind = kind, .mode = 0755, .flags = kind == OP_OPEN ? O_CREAT | O_RDWR : 0};
    snprintf(op.a, sizeof op.a, "%s", a);
    snprintf(op.b, sizeof op.b, "%s", b);
    return apply_all(&op);
}

static void wipe(const char *path)
{
    struct op op = {.kind = OP_LIST};
    struct op_result result;
    snprintf(op.a, sizeof op.a, "%s", path);
    op_apply(subjects[0], &op, &result);
    char *lines = strdup(cis_buf_cstr(&result.data)), *save = NULL;
    op_result_done(&result);
    for (char *line = strtok_r(lines, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *space = strrchr(line, ' '), below[OP_PATH];
        unsigned type = (unsigned)strtoul(space + 1, NULL, 8);
        *space = '\0';
        if (strcmp(line, ".") == 0 || strcmp(line, "..") == 0) {
            continue;
        }
        snprintf(below, sizeof below, "%s/%s", path, line);
        if (type == S_IFDIR) {
            wipe(below);
        }
        assert_int_equal(simple(type == S_IFDIR ? OP_RMDIR : OP_UNLINK, below, ""), 0);
    }
    free(lines);
}

static void fill(void)
{
    simple(OP_MKDIR, "full", "");
    simple(OP_MKDIR, "full/x", "");
    simple(OP_MKNOD, "full/y", "");
    simple(OP_MKDIR, "empty", "");
    simple(OP_MKNOD, "file", "");
    simple(OP_SYMLINK, "tofile", "file");
    simple(OP_SYMLINK, "tofull", "full");
    simple(OP_SYMLINK, "tofullslash", "full/");
    simple(OP_SYMLINK, "tofileslash", "file/");
    simple(OP_SYMLINK, "dangling", "none");
    simple(OP_SYMLINK, "danglingslash", "none/");
    simple(OP_SYMLINK, "loop", "loop");
    simple(OP_SYMLINK, "absolute", "/full");
    simple(OP_SYMLINK, "up", "../../../full/../empty");
    simple(OP_SYMLINK, "root", "/");
    simple(OP_SYMLINK, "dots", "full/..");
}

static const char *const names[] = {
    "file",     "full",          "empty",     "tofile",   "tofull", "tofullslash", "tofileslash",
    "dangling", "danglingslash", "loop",      "absolute", "up",     "root",        "dots",
    "none",     "full/x",        "full/none", ".",        "..",     "/",
};
static const char *const ends[] = {"", "/", "//", "/.", "/..", "/x", "/./"};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Does the operation; when it changed something, the tree is made anew. */
static void try(const struct op *op, bool changes)
{
    if (apply_all(op) == 0 && changes) {
        wipe("");
        fill();
    }
}

static void begin(void)
{
    wipe("");
    fill();
}

static void one_path(enum op_kind kind, int flags, bool nofollow, bool changes)
{
    for (size_t n = 0; n < COUNT(names); n++) {
        for (size_t e = 0; e < COUNT(ends); e++) {
            struct op op = {.kind = kind,
                            .flags = flags,
                            .nofollow = nofollow,
                            .mode = 0755,
                            .bits = CIS_VFS_SET_MTIME,
                            .mtime = {1000, 5}};
            snprintf(op.a, sizeof op.a, "%s%s", names[n], ends[e]);
            snprintf(op.b, sizeof op.b, "target");
            try(&op, changes);
            subject_close_slots(subjects[0]);
            for (size_t i = 1; i < nsubjects; i++) {
                subject_close_slots(subjects[i]);
            }
        }
    }
}

static void attributes_of_every_path(void **state)
{
    (void)state;
    begin();
    one_path(OP_STAT, 0, false, false);
    one_path(OP_STAT, 0, true, false);
    one_path(OP_READLINK, 0, false, false);
    one_path(OP_LIST, 0, false, false);
    one_path(OP_CHMOD, 0, false, true);
    one_path(OP_TIMES, 0, false, true);
    one_path(OP_TIMES, 0, true, true);
    one_path(OP_TRUNCATE, 0, false, true);
}

static void opening_every_path_with_every_flag(void **state)
{
    (void)state;
    static const int one[] = {O_RDONLY, O_WRONLY, O_RDWR};
    static const int more[] = {0,
                               O_CREAT,
                               O_CREAT | O_EXCL,
                               O_TRUNC,
                               O_APPEND,
                               O_DIRECTORY,
                               O_NOFOLLOW,
                               O_CREAT | O_TRUNC,
                               O_CREAT | O_NOFOLLOW,
                               O_DIRECTORY | O_NOFOLLOW,
                               O_CREAT | O_DIRECTORY,
                               O_DIRECTORY | O_TRUNC,
                               O_CREAT | O_EXCL | O_NOFOLLOW};
    begin();
    for (size_t i = 0; i < COUNT(one); i++) {
        for (size_t k = 0; k < COUNT(more); k++) {
            one_path(OP_OPEN, one[i] | more[k], false, (more[k] & (O_CREAT | O_TRUNC)) != 0);
        }
    }
}

static void making_and_removing_every_path(void **state)
{
    (void)state;
    begin();
    one_path(OP_MKDIR, 0, false, true);
    one_path(OP_MKNOD, 0, false, true);
    one_path(OP_SYMLINK, 0, false, true);
    one_path(OP_UNLINK, 0, false, true);
    one_path(OP_RMDIR, 0, false, true);
}

static void two_paths(enum op_kind kind, int flags, bool nofollow)
{
    begin();
    for (size_t a = 0; a < COUNT(names) * COUNT(ends); a++) {
        for (size_t b = 0; b < COUNT(names) * COUNT(ends); b++) {
            struct op op = {.kind = kind, .flags = flags, .nofollow = nofollow};
            snprintf(op.a, sizeof op.a, "%s%s", names[a % COUNT(names)], ends[a / COUNT(names)]);
            snprintf(op.b, sizeof op.b, "%s%s", names[b % COUNT(names)], ends[b / COUNT(names)]);
            try(&op, true);
        }
    }
}

static void renaming_every_path_to_every_path(void **state)
{
    (void)state;
    two_paths(OP_RENAME, 0, false);
}

static void renaming_without_replacing(void **state)
{
    (void)state;
    two_paths(OP_RENAME, RENAME_NOREPLACE, false);
}

static void exchanging_every_two_paths(void **state)
{
    (void)state;
    two_paths(OP_RENAME, RENAME_EXCHANGE, false);
}

static void linking_every_path_to_every_path(void **state)
{
    (void)state;
    two_paths(OP_LINK, 0, false);
    two_paths(OP_LINK, 0, true);
}

int main(void)
{
    stores_start();
    bool chroot_works = op_chroot_prepare();
    if (!chroot_works) {
        note_not_tested("chroot", "slashes", "Linux itself was not compared");
    }
    char *real = test_dir_new();
    (void)!chmod(real, 0755);
    const struct contract_backend *backend = &CONTRACT_BACKEND;
    void *place = backend->begin();
    cis_vfs *vfs = backend->open(place, false);
    subjects[0] = model_new();
    subjects[1] = subject_vfs(backend->name, vfs);
    subjects[2] = chroot_works ? subject_linux(real) : NULL;
    nsubjects = subjects[2] != NULL ? 3 : 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_of_every_path),
        cmocka_unit_test(opening_every_path_with_every_flag),
        cmocka_unit_test(making_and_removing_every_path),
        cmocka_unit_test(renaming_every_path_to_every_path),
        cmocka_unit_test(renaming_without_replacing),
        cmocka_unit_test(exchanging_every_two_paths),
        cmocka_unit_test(linking_every_path_to_every_path),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    print_message("%zu operations compared on %zu\n", cases, nsubjects);
    for (size_t i = 0; i < nsubjects; i++) {
        subjects[i]->ops->free(subjects[i]);
    }
    cis_vfs_close(vfs);
    backend->end(place);
    remove_deep(real);
    free(real);
    stores_stop();
    return failed;
}
