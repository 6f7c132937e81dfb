/* Trees to and from tars and other folders: history/move.h. Archives that no cis wrote are made
 * here, header by header. Few nodes are allowed at once: whoever keeps one is found. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "history/move.h"
#include "vfs/hostdir/hostdir.h"

#define NODES 24u

struct place {
    char *path;
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *root;
};
struct fx {
    struct place from, to;
    struct cis_stop stop;
    struct cis_vfs_call call;
};

static void place_new(struct place *p, const struct cis_vfs_call *call)
{
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    options.nodes_max = NODES;
    options.devices = true;
    p->path = test_dir_new();
    assert_ok(cis_hostdir_open(p->path, &options, &p->vfs, err));
    assert_ok(cis_ns_new(&p->ns, err));
    assert_ok(cis_ns_mount(p->ns, CIS_STR("/"), p->vfs, 0, false, err));
    assert_int_equal(cis_dir_root(p->ns, call, CIS_STR("/"), &p->root), 0);
}

static void place_done(struct place *p)
{
    cis_dir_free(p->root);
    cis_ns_free(p->ns);
    cis_vfs_close(p->vfs);
    assert_ok(cis_file_remove_tree(p->path, err));
    free(p->path);
}

static int setup(void **state)
{
    struct fx *fx = calloc(1, sizeof *fx);
    umask(022);
    fx->stop = (struct cis_stop){CIS_NEVER, NULL};
    fx->call = (struct cis_vfs_call){.stop = &fx->stop};
    place_new(&fx->from, &fx->call);
    place_new(&fx->to, &fx->call);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fx *fx = *state;
    place_done(&fx->from);
    place_done(&fx->to);
    free(fx);
    return 0;
}

static const char *in(const struct place *p, const char *name)
{
    static char paths[2][4400];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", p->path, name);
    return path;
}

static void text(const struct place *p, const char *name, const char *content)
{
    FILE *f = fopen(in(p, name), "w");
    assert_non_null(f);
    fputs(content, f);
    fclose(f);
}

static void assert_text(const struct place *p, const char *name, const char *content)
{
    char got[100] = "";
    FILE *f = fopen(in(p, name), "r");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = 0;
    fclose(f);
    assert_string_equal(got, content);
}

static void set_time(const struct place *p, const char *name, int64_t s)
{
    const struct timespec times[] = {{s, 123456789}, {s, 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, in(p, name), times, AT_SYMLINK_NOFOLLOW), 0);
}

/* ---- a tree as text ---- */
static void describe_content(const char *path, struct cis_buf *out)
{
    char hash[65], piece[4096];
    uint64_t sum = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) != 0;) {
        for (size_t i = 0; i < n; i++) {
            sum = sum * 31 + (uint8_t)piece[i];
        }
    }
    fclose(f);
    snprintf(hash, sizeof hash, " %llx", (unsigned long long)sum);
    cis_buf_text(out, hash);
}

static void describe(const char *top, const char *below, struct cis_buf *out)
{
    struct dirent **names;
    char path[4400], name[2200];
    snprintf(path, sizeof path, "%s%s", top, below);
    int n = scandir(path, &names, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        struct stat st;
        char target[300] = "";
        bool dots = strcmp(names[i]->d_name, ".") == 0 || strcmp(names[i]->d_name, "..") == 0;
        snprintf(name, sizeof name, "%s/%.255s", below, names[i]->d_name);
        snprintf(path, sizeof path, "%s%s", top, name);
        free(names[i]);
        if (dots) {
            continue;
        }
        assert_int_equal(lstat(path, &st), 0);
        cis_buf_printf(out, "%s %o %u %u:%u %lld.%09ld", name, st.st_mode, (unsigned)st.st_nlink,
                       st.st_uid, st.st_gid, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        if (S_ISLNK(st.st_mode) && readlink(path, target, sizeof target - 1) > 0) {
            cis_buf_printf(out, " -> %s", target);
        } else if (S_ISREG(st.st_mode)) {
            cis_buf_printf(out, " %lld", (long long)st.st_size);
            describe_content(path, out);
        }
        cis_buf_byte(out, '\n');
        if (S_ISDIR(st.st_mode)) {
            describe(top, name, out);
        }
    }
    free(names);
}

static void assert_same_trees(const struct place *a, const char *a_below, const struct place *b,
                              const char *b_below)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf one = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf two = CIS_BUF_INIT(1u << 20);
    describe(in(a, a_below), "", &one);
    describe(in(b, b_below), "", &two);
    assert_string_equal(cis_buf_cstr(&one), cis_buf_cstr(&two));
}

/* Something of everything, below "tree"; more names than nodes are allowed. */
static void plant(struct place *p)
{
    char name[40];
    assert_int_equal(mkdir(in(p, "tree"), 0755), 0);
    assert_int_equal(mkdir(in(p, "tree/d"), 0755), 0);
    assert_int_equal(mkdir(in(p, "tree/d/e"), 0755), 0);
    text(p, "tree/a", "hello");
    assert_int_equal(link(in(p, "tree/a"), in(p, "tree/d/second")), 0);
    assert_int_equal(symlink("../a", in(p, "tree/d/link")), 0);
    assert_int_equal(mkfifo(in(p, "tree/pipe"), 0600), 0);
    text(p, "tree/\303\274 \n x", "odd");
    assert_int_equal(link(in(p, "tree/\303\274 \n x"), in(p, "tree/\303\274")), 0);
    assert_int_equal(symlink("\303\274", in(p, "tree/d/\377")), 0);
    text(p, "tree/hole", "begin");
    assert_int_equal(truncate(in(p, "tree/hole"), 3 << 20), 0);
    for (unsigned i = 0; i < 2 * NODES; i++) {
        snprintf(name, sizeof name, "tree/d/e/f%u", i);
        text(p, name, name);
        set_time(p, name, 1000 + i);
    }
    assert_int_equal(chmod(in(p, "tree/a"), 0640), 0);
    assert_int_equal(chmod(in(p, "tree/d/e"), 02751), 0);
    static const char *const old[] = {"a",      "pipe",   "hole", "\303\274 \n x",
                                      "d/link", "d/\377", "d/e",  "d"};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        snprintf(name, sizeof name, "tree/%s", old[i]);
        set_time(p, name, 900000000 + (int64_t)i);
    }
}

static int new_file(void)
{
    char path[] = "/tmp/cis-tar-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static cis_code read_tar(struct fx *fx, int fd, struct cis_move_counts *out, struct cis_error *why)
{
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return cis_history_tar_read(fx->to.root, &fx->call, fd, NULL, NULL, out, why);
}

/* ---- happy ---- */
static void a_tree_comes_back_from_a_tar_the_same(void **state)
{
    struct fx *fx = *state;
    struct cis_move_counts wrote = {0}, read = {0};
    struct stat st;
    int fd = new_file();
    plant(&fx->from);
    assert_ok(cis_history_tar_write(fx->from.root, &fx->call, fd, NULL, NULL, NULL, &wrote, err));
    for (int again = 0; again < 2; again++) { /* at last over what it made itself */
        assert_ok(read_tar(fx, fd, &read, err));
        assert_same_trees(&fx->from, "tree", &fx->to, "tree");
        /* The root is an entry too, and so is each folder. */
        assert_int_equal(read.files, 12 + 2 * NODES);
        assert_int_equal(wrote.files, read.files);
    }
    assert_int_equal(stat(in(&fx->to, "tree/hole"), &st), 0);
    assert_true(st.st_blocks < 100);
    close(fd);
}

static void find(const struct place *p, const struct cis_vfs_call *call, const char *path,
                 unsigned flags, struct cis_found *out)
{
    assert_int_equal(cis_walk(p->root, NULL, call, cis_str_of(path), flags, out), 0);
}

static void copy(struct fx *fx, const char *path, const char *to, struct cis_copy_options options)
{
    CIS_CLEANUP(cis_found_done) struct cis_found source = {0};
    CIS_CLEANUP(cis_found_done) struct cis_found target = {0};
    struct cis_move_counts counts = {0};
    find(&fx->from, &fx->call, path, CIS_WALK_NOFOLLOW, &source);
    find(&fx->to, &fx->call, to, CIS_WALK_NAME, &target);
    assert_ok(cis_history_copy(&source, &fx->call, &target, &fx->call, &options, NULL, NULL,
                               &counts, err));
}

static void a_copy_is_the_same_and_goes_over_an_earlier_one(void **state)
{
    struct fx *fx = *state;
    plant(&fx->from);
    for (int again = 0; again < 3; again++) {
        copy(fx, "tree", "copy", (struct cis_copy_options){.owner = true, .beside = again != 0});
        assert_same_trees(&fx->from, "tree", &fx->to, "copy");
    }
}

static void mode_bits_that_are_not_wanted_are_not_copied(void **state)
{
    struct fx *fx = *state;
    struct stat st;
    text(&fx->from, "f", "x");
    assert_int_equal(chmod(in(&fx->from, "f"), 06755), 0);
    copy(fx, "f", "kept", (struct cis_copy_options){0});
    copy(fx, "f", "cleared", (struct cis_copy_options){.clear = 06000});
    assert_int_equal(stat(in(&fx->to, "kept"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 06755);
    assert_int_equal(stat(in(&fx->to, "cleared"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
}

/* ---- archives of others ---- */
struct forged {
    const char *name;
    char type; /* '0' file, '1' hard link, '2' symlink, '3' character device, '5' folder */
    const char *target, *content;
    uint32_t uid, major;
};

static void put_entry(int fd, const struct forged *e, unsigned time)
{
    char head[512] = {0}, body[512] = {0};
    unsigned sum = 0;
    size_t len = e->content != NULL ? strlen(e->content) : 0;
    snprintf(head, 100, "%s", e->name);
    snprintf(head + 100, 8, "%07o", 0644u);
    snprintf(head + 108, 8, "%07o", 0u);
    if (e->uid != 0) { /* more than seven octal digits: as a number of 8 bytes */
        memset(head + 108, 0, 8);
        head[108] = (char)0x80;
        for (int i = 0; i < 4; i++) {
            head[112 + i] = (char)(e->uid >> (24 - 8 * i));
        }
    }
    snprintf(head + 116, 8, "%07o", 0u);
    snprintf(head + 124, 12, "%011o", (unsigned)len);
    snprintf(head + 136, 12, "%011o", time);
    memset(head + 148, ' ', 8);
    head[156] = e->type;
    snprintf(head + 157, 100, "%s", e->target != NULL ? e->target : "");
    memcpy(head + 257, "ustar\00000", 8);
    snprintf(head + 329, 8, "%07o", e->major);
    snprintf(head + 337, 8, "%07o", 0u);
    for (size_t i = 0; i < sizeof head; i++) {
        sum += (uint8_t)head[i];
    }
    snprintf(head + 148, 8, "%06o", sum);
    assert_int_equal(write(fd, head, sizeof head), sizeof head);
    if (len != 0) {
        memcpy(body, e->content, len);
        assert_int_equal(write(fd, body, sizeof body), sizeof body);
    }
}

static cis_code read_forged(struct fx *fx, const struct forged *entries, size_t n,
                            struct cis_error *why)
{
    static const char end[1024];
    struct cis_move_counts counts;
    int fd = new_file();
    for (size_t i = 0; i < n; i++) {
        put_entry(fd, &entries[i], 1000000u + (unsigned)i);
    }
    assert_int_equal(write(fd, end, sizeof end), sizeof end);
    cis_code code = read_tar(fx, fd, &counts, why);
    close(fd);
    return code;
}
#define READ(...)                                                                                  \
    read_forged(fx, (const struct forged[]){__VA_ARGS__},                                          \
                sizeof((const struct forged[]){__VA_ARGS__}) / sizeof(struct forged), err)

static void names_of_an_archive_begin_at_the_folder(void **state)
{
    struct fx *fx = *state;
    assert_ok(READ({"./d//f", '0', NULL, "one", 0, 0}, {"/top/./g", '0', NULL, "two", 0, 0},
                   {"./", '5', NULL, NULL, 0, 0}));
    assert_text(&fx->to, "d/f", "one");
    assert_text(&fx->to, "top/g", "two");
}

static void no_entry_leads_out_of_the_folder(void **state)
{
    struct fx *fx = *state;
    text(&fx->from, "outside", "mine");
    assert_int_equal(symlink(fx->from.path, in(&fx->to, "link")), 0);
    assert_fails(CIS_E_INVALID, "../x: leaves the folder", READ({"../x", '0', NULL, "x", 0, 0}));
    assert_fails(CIS_E_INVALID, "leaves the folder", READ({"d/../../x", '0', NULL, "x", 0, 0}));
    assert_fails(CIS_E_INVALID, "leaves the folder", READ({"..", '5', NULL, NULL, 0, 0}));
    assert_fails(CIS_E_INVALID, "link is not a folder",
                 READ({"link/outside", '0', NULL, "theirs", 0, 0}));
    assert_fails(CIS_E_INVALID, "link is not a folder",
                 READ({"in", '1', "link/outside", NULL, 0, 0}));
    assert_fails(CIS_E_INVALID, "leaves the folder", READ({"in", '1', "../outside", NULL, 0, 0}));
    assert_text(&fx->from, "outside", "mine");
    assert_int_not_equal(access(in(&fx->to, "in"), F_OK), 0);
    /* A link of that name is replaced, and what it names stays. */
    assert_int_equal(symlink(in(&fx->from, "outside"), in(&fx->to, "f")), 0);
    assert_ok(READ({"f", '0', NULL, "new", 0, 0}));
    assert_text(&fx->to, "f", "new");
    assert_text(&fx->from, "outside", "mine");
}

static void what_is_there_is_replaced_but_no_folder(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(mkdir(in(&fx->to, "d"), 0755), 0);
    text(&fx->to, "d/stays", "here");
    text(&fx->to, "f", "long content of before");
    assert_int_equal(link(in(&fx->to, "f"), in(&fx->to, "other")), 0);
    assert_fails(CIS_E_EXISTS, "d: a folder of that name exists",
                 READ({"d", '0', NULL, "x", 0, 0}));
    assert_fails(CIS_E_EXISTS, "d: a folder of that name exists",
                 READ({"f", '0', NULL, "x", 0, 0}, {"d", '1', "f", NULL, 0, 0}));
    assert_fails(CIS_E_EXISTS, "d: a folder of that name exists",
                 READ({"d", '2', "f", NULL, 0, 0}));
    assert_ok(READ({"d", '5', NULL, NULL, 0, 0}, {"f", '0', NULL, "new", 0, 0},
                   {"g", '1', "f", NULL, 0, 0}, {"g", '1', "d/stays", NULL, 0, 0}));
    assert_text(&fx->to, "d/stays", "here");
    assert_text(&fx->to, "f", "new");
    assert_text(&fx->to, "g", "here");
    assert_text(&fx->to, "other", "long content of before");
    assert_ok(READ({"f", '5', NULL, NULL, 0, 0}, {"f/x", '0', NULL, "within", 0, 0}));
    assert_text(&fx->to, "f/x", "within");
}

static void entries_that_no_file_can_be_are_refused(void **state)
{
    struct fx *fx = *state;
    assert_fails(CIS_E_INVALID, "f: files cannot have the owner 4294967295:0",
                 READ({"f", '0', NULL, "x", UINT32_MAX, 0}));
    assert_fails(CIS_E_INVALID, "f: there is no device 4096:0",
                 READ({"f", '3', NULL, NULL, 0, 4096}));
    assert_fails(CIS_E_INVALID, "f: a symlink without a target",
                 READ({"f", '2', NULL, NULL, 0, 0}));
    assert_fails(CIS_E_INVALID, ".: not a valid name", READ({".", '0', NULL, "x", 0, 0}));
    assert_fails(CIS_E_NOTFOUND, "f: hard link to gone", READ({"f", '1', "gone", NULL, 0, 0}));
    assert_fails(CIS_E_NOTFOUND, "gone/x", READ({"f", '1', "gone/x", NULL, 0, 0}));
    assert_int_not_equal(access(in(&fx->to, "f"), F_OK), 0);
    assert_int_not_equal(access(in(&fx->to, "gone"), F_OK), 0);
}

/* ---- one folder, very often ---- */
static const struct cis_vfs_ops *vfs_ops;
static uint64_t held, held_most;

static void count_ref(cis_vfs *vfs, cis_node node, uint64_t n)
{
    held += n;
    held_most = held > held_most ? held : held_most;
    vfs_ops->ref(vfs, node, n);
}

static void count_forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    held -= n;
    vfs_ops->forget(vfs, node, n);
}

static void a_folder_that_an_archive_names_often_is_kept_once(void **state)
{
    struct fx *fx = *state;
    struct stat st;
    struct forged *entries = calloc(3000, sizeof *entries);
    for (size_t i = 0; i < 3000; i++) {
        entries[i] = (struct forged){.name = "./", .type = '5'};
    }
    vfs_ops = fx->to.vfs->ops;
    struct cis_vfs_ops counting = *vfs_ops;
    counting.ref = count_ref;
    counting.forget = count_forget;
    fx->to.vfs->ops = &counting;
    cis_code code = read_forged(fx, entries, 3000, NULL);
    fx->to.vfs->ops = vfs_ops;
    free(entries);
    assert_int_equal(code, CIS_OK);
    assert_in_range(held_most, 1, 10);
    assert_ok(READ({"d", '5', NULL, NULL, 0, 0}, {"d/f", '0', NULL, "x", 0, 0},
                   {"d/", '5', NULL, NULL, 0, 0}));
    assert_int_equal(stat(in(&fx->to, "d"), &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 1000002); /* as the last entry says */
}

static void a_name_that_is_too_long_is_called_so(void **state)
{
    struct fx *fx = *state;
    char name[300];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    assert_fails(CIS_E_INVALID, "a name of more than 255 bytes",
                 READ({"././@LongLink", 'L', NULL, name, 0, 0}, {"x", '0', NULL, "x", 0, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_tree_comes_back_from_a_tar_the_same),
        TEST(a_copy_is_the_same_and_goes_over_an_earlier_one),
        TEST(mode_bits_that_are_not_wanted_are_not_copied),
        TEST(names_of_an_archive_begin_at_the_folder),
        TEST(no_entry_leads_out_of_the_folder),
        TEST(what_is_there_is_replaced_but_no_folder),
        TEST(entries_that_no_file_can_be_are_refused),
        TEST(a_folder_that_an_archive_names_often_is_kept_once),
        TEST(a_name_that_is_too_long_is_called_so),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
