/* Mounts beside and inside each other, of every kind: no file of one gets into another, and none
 * that is read-only is changed. The same from C, where names are exchanged as well, and by a
 * program as a module and as a component. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include "base/clock.h"
#include "engine/code/document.h"
#include "run/files.h"
#include "store/calls.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2u
#endif

enum kind { RW, RO, COW, WORKSPACE, SNAPSHOT, PUBLISHED, KINDS };
static const char *const kind_names[KINDS] = {"rw", "ro", "cow", "work", "snap", "pub"};

#define PLACES CIS_RUN_MOUNTS_MAX

struct place {
    char guest[64];
    enum kind kind;
    char folder[32]; /* of the host, in the test's folder */
};

struct layout {
    struct place places[PLACES];
    size_t n;
    bool has_workspace; /* a run writes to one */
    struct cis_run_mount mounts[PLACES];
};

static struct cis_view old_state;
static cis_engine_module *module, *component;

static const struct cis_vfs_call call = {0};

/* ---- what is mounted ---- */

static bool writable(const struct place *p)
{
    return p->kind == RW || p->kind == COW || p->kind == WORKSPACE;
}

static void add(struct layout *l, enum kind kind, const char *fmt, ...)
{
    if ((kind == WORKSPACE && l->has_workspace) || l->n == PLACES) {
        return;
    }
    struct place *p = &l->places[l->n++];
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->guest, sizeof p->guest, fmt, args);
    va_end(args);
    p->kind = kind;
    l->has_workspace |= kind == WORKSPACE;
    snprintf(p->folder, sizeof p->folder, "m%zu", l->n);
}

/* Every filesystem has the file f and a folder in-KIND for each kind. */
static void fill(struct fx *fx, struct layout *l)
{
    char name[128];
    for (size_t i = 0; i < l->n; i++) {
        const struct place *p = &l->places[i];
        snprintf(name, sizeof name, "%s/f", p->folder);
        fx_put(fx, name, p->guest);
        for (int k = 0; k < KINDS; k++) {
            snprintf(name, sizeof name, "%s/in-%s/x", p->folder, kind_names[k]);
            fx_put(fx, name, "x");
        }
        l->mounts[i] = (struct cis_run_mount){.guest_path = p->guest};
        struct cis_run_mount *m = &l->mounts[i];
        if (p->kind < WORKSPACE) {
            m->host = fx_path(fx, p->folder);
            m->mode = p->kind == RW ? CIS_MOUNT_RW : p->kind == RO ? CIS_MOUNT_RO : CIS_MOUNT_COW;
        } else if (p->kind == SNAPSHOT) {
            m->at = old_state;
        } else if (p->kind == PUBLISHED) {
            m->mode = CIS_MOUNT_RO;
            m->branch = "main";
            m->from = "other";
        }
    }
}

static void empty(struct fx *fx, struct layout *l)
{
    for (size_t i = 0; i < l->n; i++) {
        char *path = fx_path(fx, l->places[i].folder);
        assert_ok(cis_file_remove_tree(path, err));
        free(path);
        free((char *)(uintptr_t)l->mounts[i].host);
    }
}

/* In the given order, or the inner ones first. */
static void turn(struct layout *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        struct place p = l->places[i];
        l->places[i] = l->places[l->n - 1 - i];
        l->places[l->n - 1 - i] = p;
    }
}

/* `outer` at the root; in it one of each kind where it has the folder, and where it has none; three
 * deep in all four ways. */
static void nest(struct layout *l, enum kind outer, bool inner_first)
{
    *l = (struct layout){.n = 0};
    add(l, outer, "/");
    for (int k = 0; k < KINDS; k++) {
        add(l, (enum kind)k, "/in-%s", kind_names[k]);
        add(l, (enum kind)((k + (int)outer) % KINDS), "/no-%d", k);
    }
    for (int k = 0; k < 2; k++) {
        enum kind deep = (enum kind)(((int)outer + 1 + k) % KINDS);
        const char *in = kind_names[((int)outer + k) % 3];
        add(l, deep, "/in-%s/in-%s", in, kind_names[k]);
        add(l, deep, "/in-%s/no-%d", in, k);
        add(l, deep, "/no-%d/in-%s", k, kind_names[k]);
        add(l, deep, "/no-%d/no-%d/x", k, k);
    }
    if (inner_first) {
        turn(l);
    }
}

static void beside(struct layout *l)
{
    *l = (struct layout){.n = 0};
    for (int k = 0; k < KINDS; k++) {
        add(l, (enum kind)k, "/a/%s", kind_names[k]);
        add(l, (enum kind)k, "/%s", kind_names[k]);
    }
}

/* ---- from C ---- */

struct pair {
    const struct cis_wasi_env_dir *dirs;
    const struct layout *l;
    size_t x, y;
};

static const cis_dir *from_dir(const struct pair *p)
{
    return p->dirs[p->x].dir;
}

static const cis_dir *to_dir(const struct pair *p)
{
    return p->dirs[p->y].dir;
}

static void expect(const struct pair *p, const char *what, int want, int have)
{
    if (want != have) {
        fail_msg("%s: %s -> %s: %d (%s), not %d", what, p->l->places[p->x].guest,
                 p->l->places[p->y].guest, have, strerror(have), want);
    }
}

static int open_any(const cis_dir *dir, const char *name, int flags)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    int no = cis_at_open(dir, &call, cis_str_of(name), &(struct cis_open_how){0, flags, 0644},
                         &file, &attr);
    cis_vfs_file_close(file);
    return no;
}

static void cross(const struct pair *p)
{
    bool from_rw = writable(&p->l->places[p->x]), to_rw = writable(&p->l->places[p->y]);
    const cis_dir *x = from_dir(p), *y = to_dir(p);
    struct cis_str f = CIS_STR("f"), carried = CIS_STR("carried"), second = CIS_STR("second");
    expect(p, "link", to_rw ? EXDEV : EROFS, cis_at_link(x, f, y, carried, &call, 0));
    expect(p, "rename", EXDEV, cis_at_rename(x, f, y, carried, &call, 0, 0));
    expect(p, "rename onto", EXDEV, cis_at_rename(x, f, y, f, &call, 0, 0));
    expect(p, "exchange", EXDEV, cis_at_rename(x, f, y, f, &call, 0, RENAME_EXCHANGE));
    expect(p, "open through", ENOENT, open_any(y, "carried", O_RDWR));
    if (from_rw) {
        expect(p, "link within", 0, cis_at_link(x, f, x, second, &call, 0));
        expect(p, "link of a link", to_rw ? EXDEV : EROFS,
               cis_at_link(x, second, y, carried, &call, 0));
        expect(p, "exchange a link", EXDEV,
               cis_at_rename(x, second, y, f, &call, 0, RENAME_EXCHANGE));
        expect(p, "unlink", 0, cis_at_unlink(x, &call, second, 0));
    } else {
        expect(p, "link within", EROFS, cis_at_link(x, f, x, second, &call, 0));
        expect(p, "rename within", EROFS, cis_at_rename(x, f, x, second, &call, 0, 0));
        expect(p, "open to write", EROFS, open_any(x, "f", O_RDWR));
    }
}

/* Also when a walk goes from one into the other: "in-x/f" from the outer one's directory. */
static void cross_down(const struct pair *p)
{
    char path[80];
    const struct place *inner = &p->l->places[p->y];
    int no;
    if (strcmp(p->l->places[p->x].guest, "/") != 0 || strncmp(inner->guest, "/in-", 4) != 0) {
        return;
    }
    snprintf(path, sizeof path, "%s/f", inner->guest + 1);
    if (strchr(inner->guest + 1, '/') == NULL) {
        no = cis_at_link(from_dir(p), cis_str_of(path), from_dir(p), CIS_STR("down"), &call, 0);
        expect(p, "link from below", writable(&p->l->places[p->x]) ? EXDEV : EROFS, no);
        no = cis_at_rename(from_dir(p), cis_str_of(path), from_dir(p), CIS_STR("f"), &call, 0,
                           RENAME_EXCHANGE);
        expect(p, "exchange with below", EXDEV, no);
        no = cis_at_rename(from_dir(p), cis_str_of(inner->guest + 1), from_dir(p), CIS_STR("away"),
                           &call, 0, 0);
        expect(p, "rename a mount point", EBUSY, no);
    }
}

static void same_numbers(const struct pair *p)
{
    struct cis_vfs_attr a, b;
    expect(p, "stat", 0, cis_at_stat(from_dir(p), &call, CIS_STR("f"), 0, &a));
    expect(p, "stat", 0, cis_at_stat(to_dir(p), &call, CIS_STR("f"), 0, &b));
    assert_true(a.dev != b.dev);
    assert_true(cis_dir_together(from_dir(p), to_dir(p)));
}

static void cross_all(struct fx *fx, const struct layout *l)
{
    struct cis_run_files_options o = {.fs_cache = fx->fs_cache,
                                      .tenant = "t",
                                      .run_id = "run",
                                      .mounts = l->mounts,
                                      .nmounts = l->n};
    cis_run_files *files = NULL;
    size_t n;
    assert_ok(cis_run_files_open(&o, &files, err));
    struct pair p = {cis_run_files_dirs(files, &n), l, 0, 0};
    assert_int_equal(n, l->n);
    for (p.x = 0; p.x < n; p.x++) {
        for (p.y = 0; p.y < n; p.y++) {
            if (p.x != p.y) {
                same_numbers(&p);
                cross(&p);
                cross_down(&p);
            }
        }
    }
    cis_run_files_discard(files);
    cis_run_files_close(files);
}

/* ---- by a program ---- */

static void run_program(struct fx *fx, const struct layout *l, cis_engine_module *image)
{
    struct job job;
    char words[PLACES][80];
    job_init(&job, fx, "");
    job.request.module = image;
    job.args[0] = "crossing";
    for (size_t i = 0; i < l->n; i++) {
        snprintf(words[i], sizeof words[i], "%s=%s", l->places[i].guest,
                 writable(&l->places[i]) ? "rw" : "ro");
        job.args[i + 1] = words[i];
    }
    job.request.mounts = l->mounts;
    job.request.nmounts = l->n;
    cis_code code = fx_go(fx, &job);
    if (code != CIS_OK) {
        fail_msg("%s %s\n%s", fx->last.error.msg, cis_buf_cstr(&fx->last.std[2].kept),
                 cis_buf_cstr(&fx->last.std[1].kept));
    }
    job_done(&job);
}

static void nothing_was_changed(struct fx *fx, const struct layout *l)
{
    char name[64];
    for (size_t i = 0; i < l->n; i++) {
        const struct place *p = &l->places[i];
        snprintf(name, sizeof name, "%s/f", p->folder);
        fx_host_is(fx, name, p->guest);
        snprintf(name, sizeof name, "%s/carried", p->folder);
        fx_host_is(fx, name, NULL);
    }
    fx_is(fx, "", "/f", "workspace");
    fx_is(fx, "", "/carried", NULL);
}

static void all_ways(struct fx *fx, struct layout *l)
{
    fill(fx, l);
    cross_all(fx, l);
    nothing_was_changed(fx, l);
    run_program(fx, l, module);
    nothing_was_changed(fx, l);
    run_program(fx, l, component);
    nothing_was_changed(fx, l);
    empty(fx, l);
}

/* A workspace with two states, and a branch of another tenant. */
static void prepare(struct fx *fx)
{
    const char *const words = "write /w/f workspace , mkdir /w/in-rw , mkdir /w/in-ro , "
                              "mkdir /w/in-cow , mkdir /w/in-work , mkdir /w/in-snap , "
                              "mkdir /w/in-pub";
    struct cis_str reader = CIS_STR("t");
    struct job job;
    assert_int_equal(fx_tool_run(fx, words), CIS_OK);
    old_state = fx->last.files;
    assert_int_equal(fx_tool_run(fx, "write /w/later x"), CIS_OK);
    job_init(&job, fx, words);
    job.request.tenant = "other";
    job_mount(&job, "/w", NULL, CIS_MOUNT_RW, NULL);
    assert_int_equal(fx_go(fx, &job), CIS_OK);
    job_done(&job);
    assert_ok(
        cis_store_publish_put(fx->store, CIS_STR("other"), CIS_STR("main"), &reader, 1, NULL, err));
}

/* ---- tests ---- */

static void no_file_crosses_between_mounts_beside_each_other(void **state)
{
    struct fx *fx = *state;
    struct layout l;
    prepare(fx);
    beside(&l);
    all_ways(fx, &l);
}

/* A run writes to one workspace: here it is the innermost of three, which the layouts above, that
 * begin with it, leave out. */
static void no_file_crosses_into_a_workspace_three_deep(void **state)
{
    static const char *const at[] = {"/in-%s/in-work", "/no-1/in-work", "/in-%s/no-1",
                                     "/no-1/no-1/x"};
    struct fx *fx = *state;
    prepare(fx);
    for (int outer = 0; outer < KINDS; outer++) {
        enum kind middle = (enum kind)((outer + 1) % KINDS);
        struct layout l = {.n = 0};
        if (outer == WORKSPACE) {
            continue;
        }
        middle = middle == WORKSPACE ? RO : middle;
        add(&l, (enum kind)outer, "/");
        add(&l, middle, "/in-%s", kind_names[middle]);
        add(&l, middle, "/no-1");
        add(&l, WORKSPACE, at[outer % 4], kind_names[middle]);
        add(&l, RW, "/in-%s/in-rw", kind_names[middle]);
        add(&l, SNAPSHOT, "/no-1/in-snap");
        if (outer % 2 == 1) {
            turn(&l);
        }
        assert_int_equal(l.n, 6);
        all_ways(fx, &l);
    }
}

static void no_file_crosses_between_mounts_inside_each_other(void **state)
{
    struct fx *fx = *state;
    struct layout l;
    prepare(fx);
    for (int outer = 0; outer < KINDS; outer++) {
        nest(&l, (enum kind)outer, outer % 2 == 1);
        assert_in_range(l.n, 14, PLACES);
        all_ways(fx, &l);
    }
}

/* The first of them as it was found: the inner one read-only, and no folder for it outside. */
static void a_read_only_folder_inside_one_without_it_is_not_written(void **state)
{
    struct fx *fx = *state;
    struct job job;
    char *outer = fx_path(fx, "outer"), *inner = fx_path(fx, "inner");
    fx_put(fx, "outer/f", "outer");
    fx_put(fx, "inner/test.txt", "inner");
    job_init(&job, fx, "link /sub/test.txt /stolen , write /stolen changed");
    job_mount(&job, "/", outer, CIS_MOUNT_RW, NULL);
    job_mount(&job, "/sub", inner, CIS_MOUNT_RO, NULL);
    assert_int_equal(fx_go(fx, &job), CIS_E_FAILED);
    assert_non_null(strstr(cis_buf_cstr(&fx->last.std[2].kept), "Cross-device link"));
    fx_host_is(fx, "inner/test.txt", "inner");
    fx_host_is(fx, "outer/stolen", NULL);
    job_done(&job);
    free(outer);
    free(inner);
}

/* The folder that holds a mount point moves, and the mount with it. */
static void what_a_mount_stands_in_may_be_renamed(void **state)
{
    struct fx *fx = *state;
    static const enum cis_mount_mode modes[] = {CIS_MOUNT_RW, CIS_MOUNT_COW};
    for (size_t i = 0; i < 2; i++) {
        struct job job;
        char *outer = fx_path(fx, i == 0 ? "o0" : "o1"), *inner = fx_path(fx, "inner");
        fx_put(fx, i == 0 ? "o0/a/sub/f" : "o1/a/sub/f", "covered");
        fx_put(fx, "inner/f", "inner");
        job_init(&job, fx, "mv /a /b , read /b/sub/f , list /b/sub");
        job_mount(&job, "/", outer, modes[i], NULL);
        job_mount(&job, "/a/sub", inner, CIS_MOUNT_RO, NULL);
        assert_int_equal(fx_go(fx, &job), CIS_OK);
        assert_string_equal(cis_buf_cstr(&fx->last.std[1].kept), "innerf\n");
        job_done(&job);
        free(outer);
        free(inner);
    }
}

static cis_engine_module *image_of(struct cis_bytes bytes, const char *name)
{
    cis_engine_module *image = NULL;
    struct cis_engine_module_options io = {.name = name, .stop = {CIS_NEVER, NULL}};
    assert_ok(cis_engine_module_load(fx_engine, bytes, &io, &image, err));
    return image;
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        T(a_read_only_folder_inside_one_without_it_is_not_written),
        T(what_a_mount_stands_in_may_be_renamed),
        T(no_file_crosses_between_mounts_beside_each_other),
        T(no_file_crosses_between_mounts_inside_each_other),
        T(no_file_crosses_into_a_workspace_three_deep),
    };
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(CIS_GUESTS_DIR "/crossing.wasm", &text, err));
    module = image_of(cis_buf_bytes(&text), "crossing");
    CIS_CLEANUP(cis_buf_done) struct cis_buf made = CIS_BUF_INIT(1u << 22);
    struct cis_engine_module_options io = {.name = "crossing", .stop = {CIS_NEVER, NULL}};
    assert_ok(cis_component_make(cis_buf_bytes(&text), (struct cis_bytes){0}, &io, &made, err));
    component = image_of(cis_buf_bytes(&made), "crossing");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cis_engine_module_unref(module);
    cis_engine_module_unref(component);
    return failed;
}

int main(void)
{
    return fx_run(run);
}
