/* Where skills are kept, while somebody replaces folders there by symlinks. */
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#define LEFT_STAGE "00000000000000000000000000"
#define LEFT_VERSION "0.9.0-0123456789abcdef"

/* ---- between any two calls ---- */

/* Which folder is replaced. What is of the run itself is found when it is there. */
enum folder { SKILLS, TENANT_DIR, INCOMING, STAGE, CONTENT, SKILL, VERSION, LEFT, FOLDERS };

static struct swap {
    const struct world *w;
    enum folder what;
    unsigned long at, n; /* before the at-th call; 0: never */
    bool inside, done;
    char path[512]; /* what was replaced; it is w->root/aside */
} swap;

/* A name in `dir` that is neither hidden nor `not`. */
static bool other_in(const char *dir, const char * not, char out[512])
{
    DIR *list = opendir(dir);
    bool found = false;
    for (struct dirent *e; list != NULL && !found && (e = readdir(list)) != NULL;) {
        if (e->d_name[0] != '.' && strcmp(e->d_name, not ) != 0) {
            snprintf(out, 512, "%s/%s", dir, e->d_name);
            found = true;
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    return found;
}

static bool find(const struct world *w, enum folder what, char out[512])
{
    char dir[300];
    switch (what) {
    case SKILLS:
        snprintf(out, 512, "%s/skills", w->data);
        return true;
    case TENANT_DIR:
        snprintf(out, 512, "%s/skills/t1", w->data);
        return true;
    case INCOMING:
        snprintf(out, 512, "%s/skills/t1/.incoming", w->data);
        return true;
    case STAGE:
    case CONTENT:
        snprintf(dir, sizeof dir, "%s/skills/t1/.incoming", w->data);
        if (!other_in(dir, LEFT_STAGE, out)) {
            return false;
        }
        snprintf(out + strlen(out), 512 - strlen(out), "%s", what == CONTENT ? "/content" : "");
        return true;
    case SKILL:
        snprintf(out, 512, "%s/skills/t1/x", w->data);
        return true;
    case VERSION:
        snprintf(dir, sizeof dir, "%s/skills/t1/x", w->data);
        return other_in(dir, LEFT_VERSION, out);
    case LEFT:
        snprintf(out, 512, "%s/skills/t1/x/" LEFT_VERSION, w->data);
        return true;
    case FOLDERS:
        break;
    }
    return false;
}

/* The folder of the victim that is like the one that is replaced. */
static void victim_of(const struct world *w, enum folder what, char out[512])
{
    static const char *const like[FOLDERS] = {"",
                                              "/t1",
                                              "/t1/.incoming",
                                              "/t1/.incoming/" LEFT_STAGE,
                                              "/t1/.incoming/" LEFT_STAGE "/a",
                                              "/t1/x",
                                              "/t1/x/" LEFT_VERSION,
                                              "/t1/x/" LEFT_VERSION};
    snprintf(out, 512, "%s/victim%s", w->root, like[what]);
}

static void swap_now(void)
{
    char aside[128], victim[512];
    struct stat st;
    snprintf(aside, sizeof aside, "%s/aside", swap.w->root);
    victim_of(swap.w, swap.what, victim);
    if (find(swap.w, swap.what, swap.path) && lstat(swap.path, &st) == 0 && S_ISDIR(st.st_mode)) {
        assert_int_equal(rename(swap.path, aside), 0);
        assert_int_equal(symlink(victim, swap.path), 0);
        swap.done = true;
    }
}

static void between(void)
{
    if (swap.w == NULL || swap.inside) {
        return;
    }
    if (++swap.n == swap.at) {
        swap.inside = true;
        swap_now();
        swap.inside = false;
    }
}

#define WRAP(type, name, params, args)                                                             \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        between();                                                                                 \
        return __real_##name args;                                                                 \
    }

WRAP(int, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
WRAP(int, mkdir, (const char *name, mode_t mode), (name, mode))
WRAP(int, renameat, (int from, const char *a, int to, const char *b), (from, a, to, b))
WRAP(int, renameat2, (int from, const char *a, int to, const char *b, unsigned how),
     (from, a, to, b, how))
WRAP(int, rename, (const char *a, const char *b), (a, b))
WRAP(int, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
WRAP(int, unlink, (const char *name), (name))
WRAP(int, rmdir, (const char *name), (name))
WRAP(int, fstatat, (int dir, const char *name, struct stat *out, int flags),
     (dir, name, out, flags))
WRAP(int, lstat, (const char *name, struct stat *out), (name, out))
WRAP(int, stat, (const char *name, struct stat *out), (name, out))
WRAP(DIR *, opendir, (const char *name), (name))
WRAP(int, flock, (int fd, int how), (fd, how))

int __real_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    between();
    return __real_openat(dir, name, flags, mode);
}

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    between();
    return __real_open(name, flags, mode);
}

/* Nobody pulls the plug here, also not of SQLite, whose library finds these first. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int syncfs(int fd)
{
    (void)fd;
    return 0;
}

/* ---- what there is ---- */

static void text_of(int dir, const char *path, int depth, struct cis_buf *out)
{
    DIR *list = fdopendir(dir);
    assert_non_null(list);
    char *names[64];
    size_t n = 0;
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            assert_true(n < 64);
            names[n++] = cis_strdup(e->d_name);
        }
    }
    for (size_t i = 0; i < n; i++) { /* sorted */
        for (size_t k = i + 1; k < n; k++) {
            if (strcmp(names[k], names[i]) < 0) {
                char *other = names[i];
                names[i] = names[k];
                names[k] = other;
            }
        }
        char below[1024], content[64] = "";
        snprintf(below, sizeof below, "%s/%s", path, names[i]);
        int fd = openat(dirfd(list), names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            fd = openat(dirfd(list), names[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
            ssize_t got = fd >= 0 ? read(fd, content, sizeof content - 1) : -1;
            cis_buf_printf(out, "%s: %s\n", below, got >= 0 ? content : "a link");
            close(fd);
        } else {
            cis_buf_printf(out, "%s/\n", below);
            assert_true(depth < 10);
            text_of(fd, below, depth + 1, out);
        }
        cis_free(names[i]);
    }
    closedir(list);
}

static char *tree_text(const char *path)
{
    struct cis_buf out = CIS_BUF_INIT(1u << 20);
    size_t len;
    text_of(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", 0, &out);
    return (char *)cis_buf_take(&out, &len);
}

/* ---- the runs ---- */

static void skill(const struct world *w, const char *name, const char *version)
{
    char dir[300], text[200];
    snprintf(dir, sizeof dir, "%s/%s", w->work, name);
    snprintf(text, sizeof text, "[skill]\nname = \"x\"\nversion = \"%s\"\n", version);
    put_text(dir, "skill.toml", text);
    put(dir, "skill.wasm", CORE, sizeof CORE);
    put_text(dir, "data/a", version);
}

static cis_code install(const struct world *w, const char *name, struct cis_error *err)
{
    CIS_CLEANUP(cis_package_done) struct cis_package p = CIS_PACKAGE_INIT;
    CIS_CLEANUP(cis_install_plan_done) struct cis_install_plan plan = CIS_INSTALL_PLAN_INIT;
    struct cis_install_answers answers = {.yes = true};
    char path[300];
    snprintf(path, sizeof path, "%s/%s", w->work, name);
    CIS_TRY(cis_package_stage(&w->home, TENANT, path, (struct cis_str){NULL, 0}, &p, err));
    CIS_TRY(cis_install_plan_make(&w->home, TENANT, &p, &answers, &plan, err));
    return cis_package_commit(&w->home, TENANT, &p, &plan, err);
}

enum verb { UPDATE, AGAIN, REMOVE };

static cis_code run(const struct world *w, enum verb verb, struct cis_error *err)
{
    return verb == REMOVE ? cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err)
                          : install(w, verb == UPDATE ? "new" : "old", err);
}

/* Version 1.0.0 installed, and what killed installs left. */
static void begin(const struct world *w)
{
    char path[300];
    (void)cis_skill_remove(&w->home, TENANT, CIS_STR("x"), NULL);
    snprintf(path, sizeof path, "%s/skills", w->data);
    assert_ok(cis_file_remove_tree(path, err));
    snprintf(path, sizeof path, "%s/aside", w->root);
    assert_ok(cis_file_remove_tree(path, err));
    assert_ok(install(w, "old", err));
    put_text(w->data, "skills/t1/.incoming/" LEFT_STAGE "/a/b", "left");
    put_text(w->data, "skills/t1/x/" LEFT_VERSION "/.unused", "");
    put_text(w->data, "skills/t1/x/" LEFT_VERSION "/c", "left");
}

/* The folder comes back, when its link was not taken away. */
static void swap_back(const struct world *w)
{
    struct stat st;
    char aside[128];
    snprintf(aside, sizeof aside, "%s/aside", w->root);
    if (swap.done && lstat(swap.path, &st) == 0 && S_ISLNK(st.st_mode)) {
        assert_int_equal(unlink(swap.path), 0);
        assert_int_equal(rename(aside, swap.path), 0);
    }
}

/* *out_n: how many calls there were. */
static bool one(const struct world *w, enum verb verb, enum folder what, unsigned long at,
                const char *victim, unsigned long *out_n)
{
    struct cis_error why = {0};
    begin(w);
    swap = (struct swap){.w = w, .what = what, .at = at};
    cis_code code = run(w, verb, &why);
    *out_n = swap.n;
    swap.w = NULL;
    char path[128];
    snprintf(path, sizeof path, "%s/victim", w->root);
    CIS_CLEANUP(cis_freep) char *now = tree_text(path);
    if (strcmp(now, victim) != 0) {
        printf("verb %d, folder %d, call %lu: %s\n", (int)verb, (int)what, at, why.msg);
        assert_string_equal(now, victim);
    }
    swap_back(w);
    cis_code whole = cis_skill_verify(&w->home, TENANT, CIS_STR("x"), &why);
    if (whole != CIS_OK && (verb != REMOVE || whole != CIS_E_NOTFOUND)) {
        printf("verb %d, folder %d, call %lu: %d, then %s\n", (int)verb, (int)what, at, (int)code,
               why.msg);
        assert_int_equal(whole, CIS_OK);
    }
    return swap.done;
}

static void a_folder_replaced_between_any_two_calls_leads_nowhere_else(void **state)
{
    struct world *w = *state;
    char path[128];
    skill(w, "old", "1.0.0");
    skill(w, "new", "1.1.0");
    put_text(w->root, "victim/t1/.incoming/" LEFT_STAGE "/a/b", "precious");
    put_text(w->root, "victim/t1/.incoming/" LEFT_STAGE "/content/b", "precious");
    put_text(w->root, "victim/t1/x/" LEFT_VERSION "/.unused", "precious");
    put_text(w->root, "victim/t1/x/" LEFT_VERSION "/c", "precious");
    put_text(w->root, "victim/t1/y/1.0.0-0123456789abcdef/.unused", "precious");
    snprintf(path, sizeof path, "%s/victim", w->root);
    CIS_CLEANUP(cis_freep) char *victim = tree_text(path);
    unsigned long runs = 0, swaps = 0, n = 0;
    for (int verb = UPDATE; verb <= REMOVE; verb++) {
        (void)one(w, (enum verb)verb, SKILLS, 0, victim, &n);
        assert_true(n > 10);
        for (unsigned long at = 1, most = n; at <= most; at++) {
            /* Every second of them, or it takes too long: a folder before each second call. */
            for (int what = (int)(at % 2); what < FOLDERS; what += 2, runs++) {
                swaps += one(w, (enum verb)verb, (enum folder)what, at, victim, &n);
            }
        }
    }
    printf("%lu runs, a folder replaced in %lu\n", runs, swaps);
    assert_true(swaps > runs / 3);
}

/* ---- a link that is there from the start ---- */

static void a_symlink_in_the_place_of_a_folder_is_refused_by_name(void **state)
{
    struct world *w = *state;
    static const char *const folders[] = {"skills", "skills/t1", "skills/t1/.incoming",
                                          "skills/t1/x"};
    static const char *const names[] = {"skills is", "t1 is", ".incoming is", "x is"};
    skill(w, "old", "1.0.0");
    skill(w, "new", "1.1.0");
    for (size_t i = 0; i < 4; i++) {
        char path[300], aside[128];
        struct cis_installed s = {0};
        begin(w);
        snprintf(path, sizeof path, "%s/%s", w->data, folders[i]);
        snprintf(aside, sizeof aside, "%s/aside", w->root);
        assert_int_equal(rename(path, aside), 0);
        assert_int_equal(symlink(aside, path), 0);
        assert_fails(CIS_E_INVALID, names[i], install(w, "new", err));
        if (i != 2) { /* nothing is read there */
            assert_fails(CIS_E_CHECKSUM, "gone or not a file",
                         cis_skill_open(&w->home, TENANT, CIS_STR("x"), &s, err));
        }
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rename(aside, path), 0);
        assert_ok(install(w, "new", err));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_world, teardown_world)

int main(void)
{
    if (cis_crypto_init(NULL) != CIS_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(a_folder_replaced_between_any_two_calls_leads_nowhere_else),
        TEST(a_symlink_in_the_place_of_a_folder_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
