/* The on-disk cache of compiled code: reused, bounded, shared by processes; and every way in which
 * a file there can be wrong. Nothing wrong is ever loaded: the module is compiled again.
 * Argument: how often each of many processes uses a cache that others empty (default 5). */
#include "engine/code/engine.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <utime.h>
#include "engine/code/code.h"
#include "fixture.h"

static int beside_rounds = 5;

static cis_engine *open_engine(const struct place *p)
{
    struct cis_engine_options options = place_options(p);
    cis_engine *engine = NULL;
    assert_ok(cis_engine_open(&options, &engine, err));
    return engine;
}

static void load(cis_engine *engine, const char *text, bool fuel)
{
    struct cis_engine_module_options options = {.name = "t.wasm", .fuel = fuel};
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_module_load(engine, wat(text), &options, &image, err));
    assert_non_null(cis_engine_module_export(image, CIS_STR("add")));
    cis_engine_module_unref(image);
}

/* A fresh engine loads the module: what did it take? */
static struct cis_engine_stats load_once(const struct place *p, const char *text, bool fuel)
{
    cis_engine *engine = open_engine(p);
    load(engine, text, fuel);
    struct cis_engine_stats s = stats_of(engine);
    cis_engine_close(engine);
    return s;
}

static size_t entries(const struct place *p, char names[][800], size_t max)
{
    size_t n = 0;
    DIR *dir = opendir(p->cache);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] != '.' && n < max) {
            snprintf(names[n++], 800, "%s/%s", p->cache, e->d_name);
        }
    }
    closedir(dir);
    return n;
}

static void only_entry(const struct place *p, char out[800])
{
    char names[4][800];
    assert_int_equal(entries(p, names, 4), 1);
    memcpy(out, names[0], 800);
}

static struct cis_buf read_file(const char *path)
{
    struct cis_buf b = CIS_BUF_INIT(64u << 20);
    assert_ok(cis_file_read(path, &b, err));
    return b;
}

static void assert_recompiled(const struct place *p, const char *text, bool fuel, const char *what)
{
    struct cis_engine_stats s = load_once(p, text, fuel);
    if (s.compiled != 1 || s.disk_hits != 0 || s.disk_rejected != 1) {
        fail_msg("%s: compiled %llu, hits %llu, rejected %llu", what,
                 (unsigned long long)s.compiled, (unsigned long long)s.disk_hits,
                 (unsigned long long)s.disk_rejected);
    }
    s = load_once(p, text, fuel); /* and what was wrong has been replaced */
    assert_int_equal(s.disk_hits, 1);
}

/* ---- happy ---- */

static void a_second_engine_compiles_nothing(void **state)
{
    struct place *p = *state;
    struct cis_engine_stats s = load_once(p, ADD_WAT, false);
    assert_int_equal(s.compiled, 1);
    assert_int_equal(s.disk_hits, 0);
    assert_true(s.disk_cache);
    s = load_once(p, ADD_WAT, false);
    assert_int_equal(s.compiled, 0);
    assert_int_equal(s.disk_hits, 1);
}

static void the_scan_survives_the_cache(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    cis_engine *engine = open_engine(p);
    struct cis_engine_module_options options = {.name = "t.wasm"};
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_module_load(engine, wat(ADD_WAT), &options, &image, err));
    assert_string_equal(cis_engine_module_export(image, CIS_STR("add"))->type, "ii:i");
    assert_int_equal(cis_engine_module_info(image)->min_memory_bytes, 65536);
    cis_engine_module_unref(image);
    cis_engine_close(engine);
}

static void fuel_and_plain_are_different_entries(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    assert_int_equal(load_once(p, ADD_WAT, true).compiled, 1);
    char names[4][800];
    assert_int_equal(entries(p, names, 4), 2);
}

static void folder_and_key_belong_to_the_user_alone(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    struct stat st;
    char name[800];
    only_entry(p, name);
    assert_int_equal(stat(p->cache, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(p->key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 32);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

struct tally {
    size_t n;
    uint64_t bytes;
    char first[65];
};

static int count(void *self, const struct cis_cache_entry *entry)
{
    struct tally *t = self;
    if (t->n++ == 0) {
        memcpy(t->first, entry->name, sizeof t->first);
    }
    t->bytes += entry->bytes;
    return 0;
}

static void list_prune_and_clear(void **state)
{
    struct place *p = *state;
    struct tally t = {0};
    assert_ok(cis_cache_list(p->cache, count, &t, err)); /* absent: empty */
    assert_int_equal(t.n, 0);
    load_once(p, ADD_WAT, false);
    char add[800];
    only_entry(p, add);
    struct utimbuf old = {1000, 1000};
    assert_int_equal(utime(add, &old), 0);
    load_once(p, SUB_WAT, false);
    assert_ok(cis_cache_list(p->cache, count, &t, err));
    assert_int_equal(t.n, 2);
    assert_memory_not_equal(t.first, add + strlen(p->cache) + 1, 64); /* last used first */
    uint64_t freed = 0;
    assert_ok(cis_cache_prune(p->cache, t.bytes - 1, &freed, err));
    assert_true(freed > 0);
    assert_int_equal(access(add, F_OK), -1); /* the one used longest ago */
    assert_ok(cis_cache_clear(p->cache, &freed, err));
    char names[4][800];
    assert_int_equal(entries(p, names, 4), 0);
}

/* ---- edge ---- */

static void the_size_is_bounded_and_the_oldest_goes(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    char add[800], names[4][800];
    only_entry(p, add);
    struct utimbuf old = {1000, 1000};
    struct stat st;
    assert_int_equal(utime(add, &old), 0);
    assert_int_equal(stat(add, &st), 0);
    struct cis_engine_options options = place_options(p);
    options.cache_max_bytes = (uint64_t)st.st_size * 3 / 2; /* room for one */
    cis_engine *engine = NULL;
    assert_ok(cis_engine_open(&options, &engine, err));
    load(engine, SUB_WAT, false);
    cis_engine_close(engine);
    assert_int_equal(entries(p, names, 4), 1);
    assert_string_not_equal(names[0], add);
}

/* Of modules that nobody holds, as many stay in memory as is said; those used longest ago go. */
static void modules_in_memory_are_as_many_as_is_said(void **state)
{
    struct place *p = *state;
    struct cis_engine_options options = place_options(p);
    options.modules = 1;
    cis_engine *engine = NULL;
    assert_ok(cis_engine_open(&options, &engine, err));
    load(engine, ADD_WAT, false);
    load(engine, ADD_WAT, false);
    assert_int_equal(stats_of(engine).memory_hits, 1);
    load(engine, SUB_WAT, false);
    load(engine, ADD_WAT, false); /* from the disk */
    assert_int_equal(stats_of(engine).memory_hits, 1);
    assert_int_equal(stats_of(engine).disk_hits, 1);
    cis_engine_close(engine);
}

static void what_a_dead_process_left_half_written_goes_too(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    char stale[600], fresh[600];
    snprintf(stale, sizeof stale, "%s/tmp-00", p->cache);
    snprintf(fresh, sizeof fresh, "%s/tmp-01", p->cache);
    assert_ok(cis_file_write(stale, cis_bytes_of("x", 1), 0600, err));
    assert_ok(cis_file_write(fresh, cis_bytes_of("x", 1), 0600, err));
    struct utimbuf old = {1000, 1000};
    assert_int_equal(utime(stale, &old), 0);
    load_once(p, SUB_WAT, false);
    assert_int_equal(access(stale, F_OK), -1);
    assert_int_equal(access(fresh, F_OK), 0); /* its writer may live */
}

static int child_loads(const struct place *p)
{
    struct cis_engine_options options = place_options(p);
    cis_engine *engine = NULL;
    if (cis_engine_open(&options, &engine, NULL) != CIS_OK) {
        return 1;
    }
    const char *const texts[] = {ADD_WAT, SUB_WAT, ADD_WAT ";; again"};
    for (size_t i = 0; i < 3; i++) {
        struct cis_engine_module_options load_options = {.name = "t.wasm"};
        cis_engine_module *image = NULL;
        if (cis_engine_module_load(engine, wat(texts[i]), &load_options, &image, NULL) != CIS_OK) {
            return 2;
        }
        cis_engine_module_unref(image);
    }
    bool clean = stats_of(engine).disk_rejected == 0;
    cis_engine_close(engine);
    return clean ? 0 : 3;
}

static void many_processes_share_one_cache(void **state)
{
    struct place *p = *state;
    pid_t pids[8];
    for (size_t i = 0; i < 8; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            _exit(child_loads(p));
        }
        assert_true(pids[i] > 0);
    }
    for (size_t i = 0; i < 8; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    char names[8][800];
    assert_int_equal(entries(p, names, 8), 3); /* and no half-written file is left */
}

/* Removes what the others are about to read, until told to stop. */
static int child_removes(const struct place *p, int stop_fd, bool clear)
{
    struct pollfd told = {.fd = stop_fd, .events = POLLIN};
    while (poll(&told, 1, 0) == 0) {
        uint64_t freed = 0;
        cis_code code = clear ? cis_cache_clear(p->cache, &freed, NULL)
                              : cis_cache_prune(p->cache, 10000, &freed, NULL);
        if (code != CIS_OK) {
            return 4;
        }
        sched_yield();
    }
    return 0;
}

static void processes_run_beside_others_that_clear_and_prune(void **state)
{
    struct place *p = *state;
    enum { ALL = 16, REMOVERS = 4 };
    pid_t pids[ALL];
    int told[2];
    assert_int_equal(pipe(told), 0);
    for (int i = 0; i < ALL; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(told[1]);
            int bad = 0;
            if (i < REMOVERS) {
                bad = child_removes(p, told[0], i % 2 == 0);
            }
            for (int k = 0; i >= REMOVERS && bad == 0 && k < beside_rounds; k++) {
                bad = child_loads(p);
            }
            _exit(bad);
        }
        assert_true(pids[i] > 0);
    }
    close(told[0]);
    for (int i = ALL - 1; i >= 0; i--) {
        int status;
        if (i == REMOVERS - 1) { /* all that load are done: the pipe ends, and so do these */
            close(told[1]);
        }
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(load_once(p, ADD_WAT, false).disk_rejected, 0);
}

static void a_folder_that_cannot_be_made_is_no_cache(void **state)
{
    struct place *p = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/file", p->root);
    assert_ok(cis_file_write(path, cis_bytes_of("x", 1), 0600, err));
    struct cis_engine_options options = place_options(p);
    char below[700];
    snprintf(below, sizeof below, "%s/code", path);
    options.cache_dir = below;
    cis_engine *engine = NULL;
    assert_ok(cis_engine_open(&options, &engine, err));
    load(engine, ADD_WAT, false);
    assert_false(stats_of(engine).disk_cache);
    cis_engine_close(engine);
}

/* ---- broken ---- */

static void a_changed_byte_anywhere_is_recompiled(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    char name[800];
    only_entry(p, name);
    struct cis_buf whole = read_file(name);
    const size_t places[] = {0, 8, 39, 40, 71, 72, 80, 87, 88, 100, whole.len / 2, whole.len - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        whole.ptr[places[i]] ^= 1;
        assert_ok(cis_file_write(name, cis_buf_bytes(&whole), 0600, err));
        char what[32];
        snprintf(what, sizeof what, "byte %zu", places[i]);
        assert_recompiled(p, ADD_WAT, false, what);
        whole.ptr[places[i]] ^= 1;
    }
    cis_buf_done(&whole);
}

static void a_file_cut_off_or_continued_is_recompiled(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    char name[800];
    only_entry(p, name);
    struct cis_buf whole = read_file(name);
    const size_t lengths[] = {0, 1, 87, 88, 89, whole.len / 2, whole.len - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_ok(cis_file_write(name, cis_bytes_of(whole.ptr, lengths[i]), 0600, err));
        assert_recompiled(p, ADD_WAT, false, "cut off");
    }
    cis_buf_byte(&whole, 0);
    assert_ok(cis_file_write(name, cis_buf_bytes(&whole), 0600, err));
    assert_recompiled(p, ADD_WAT, false, "continued");
    cis_buf_done(&whole);
}

static void two_entries_swapped_are_both_recompiled(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    char add[800], names[4][800], temp[600];
    only_entry(p, add);
    load_once(p, SUB_WAT, false);
    assert_int_equal(entries(p, names, 4), 2);
    const char *sub = strcmp(names[0], add) == 0 ? names[1] : names[0];
    snprintf(temp, sizeof temp, "%s/aside", p->root);
    assert_int_equal(rename(add, temp), 0);
    assert_int_equal(rename(sub, add), 0);
    assert_int_equal(rename(temp, sub), 0);
    assert_recompiled(p, ADD_WAT, false, "swapped");
    assert_recompiled(p, SUB_WAT, false, "swapped");
}

static void code_of_another_profile_never_passes(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    char plain[800], names[4][800];
    only_entry(p, plain);
    load_once(p, ADD_WAT, true);
    assert_int_equal(entries(p, names, 4), 2);
    const char *fuel = strcmp(names[0], plain) == 0 ? names[1] : names[0];
    assert_int_equal(rename(plain, fuel), 0); /* unmetered code where metered code belongs */
    assert_recompiled(p, ADD_WAT, true, "profile");
}

/* The entry that is there and is not named yet. */
static void new_entry(const struct place *p, const char *known, char out[800])
{
    char names[4][800];
    size_t n = entries(p, names, 4);
    assert_int_equal(n, *known != 0 ? 2 : 1);
    memcpy(out, names[n == 2 && strcmp(names[0], known) == 0], 800);
}

/* Whatever the engine itself would say of such code: the cache does not give it out. */
static void an_entry_under_the_name_of_another_is_bad(void **state)
{
    struct place *p = *state;
    const struct cis_cache_key own = {.sha256 = {1}, .features = 1, .fingerprint = 5};
    struct cis_cache_key others[4] = {own, own, own, own};
    others[0].features = 2;
    others[1].fuel = true;
    others[2].fingerprint = 6;
    others[3].sha256[31] = 1;
    for (size_t i = 0; i < 4; i++) {
        struct cis_engine_options options = place_options(p);
        struct cis_cache cache = {.fd = -1};
        struct cis_artefact code = {0};
        CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(1024);
        char first[800], second[800];
        assert_ok(cis_cache_open(&cache, &options, err));
        cache.max_bytes = 1u << 20;
        cis_cache_put(&cache, &own, CIS_STR("{}"), cis_bytes_of("code", 4));
        new_entry(p, "", first);
        cis_cache_put(&cache, &others[i], CIS_STR("{}"), cis_bytes_of("code", 4));
        new_entry(p, first, second);
        assert_int_equal(cis_cache_get(&cache, &own, &json, &code), CIS_CACHE_HIT);
        cis_artefact_done(&code);
        assert_int_equal(rename(first, second), 0);
        cis_buf_reset(&json);
        assert_int_equal(cis_cache_get(&cache, &others[i], &json, &code), CIS_CACHE_BAD);
        unlink(second);
        cis_cache_close(&cache);
    }
}

static void code_of_another_key_is_foreign(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    assert_int_equal(unlink(p->key), 0); /* a new key is made */
    assert_recompiled(p, ADD_WAT, false, "key");
}

static void an_entry_that_is_a_link_or_writable_by_others_is_not_read(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    char name[800], aside[600];
    only_entry(p, name);
    assert_int_equal(chmod(name, 0620), 0);
    assert_recompiled(p, ADD_WAT, false, "group may write");
    snprintf(aside, sizeof aside, "%s/aside", p->root);
    assert_int_equal(rename(name, aside), 0);
    assert_int_equal(symlink(aside, name), 0);
    assert_recompiled(p, ADD_WAT, false, "symbolic link");
    assert_int_equal(unlink(name), 0);
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_recompiled(p, ADD_WAT, false, "fifo");
}

#define assert_open_refused(p, code, text)                                                         \
    do {                                                                                           \
        struct cis_engine_options options_ = place_options(p);                                     \
        cis_engine *engine_ = NULL;                                                                \
        assert_fails(code, text, cis_engine_open(&options_, &engine_, err));                       \
        assert_null(engine_);                                                                      \
    } while (0)

static void a_folder_that_others_can_write_is_refused(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    assert_int_equal(chmod(p->cache, 0770), 0);
    assert_open_refused(p, CIS_E_DENIED, "can be written by others");
    assert_int_equal(chmod(p->cache, 0702), 0);
    assert_open_refused(p, CIS_E_DENIED, "can be written by others");
    uint64_t freed;
    assert_fails(CIS_E_DENIED, "can be written", cis_cache_clear(p->cache, &freed, err));
    assert_int_equal(chmod(p->cache, 0700), 0);
    if (geteuid() == 0) { /* only root can give a folder away */
        assert_int_equal(chown(p->cache, 65534, 65534), 0);
        assert_open_refused(p, CIS_E_DENIED, "belongs to another user (uid 65534)");
        assert_int_equal(chown(p->cache, 0, 0), 0);
    } else {
        note_not_tested("root", __func__, "only root can give a folder away");
    }
    char aside[600];
    snprintf(aside, sizeof aside, "%s/aside", p->root);
    assert_int_equal(rename(p->cache, aside), 0);
    assert_int_equal(symlink(aside, p->cache), 0);
    assert_open_refused(p, CIS_E_DENIED, "code");
    assert_int_equal(unlink(p->cache), 0);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    struct place *p = *state;
    load_once(p, ADD_WAT, false);
    assert_int_equal(chmod(p->key, 0640), 0);
    assert_open_refused(p, CIS_E_DENIED, "mode 0600");
    assert_int_equal(chmod(p->key, 0600), 0);
    assert_int_equal(truncate(p->key, 31), 0);
    assert_open_refused(p, CIS_E_DENIED, "damaged");
    assert_int_equal(unlink(p->key), 0);
    snprintf(p->key, sizeof p->key, "%s/code/key", p->root);
    assert_open_refused(p, CIS_E_USAGE, "outside");
}

#define T(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(int argc, char **argv)
{
    if (argc > 1) {
        beside_rounds = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        /* First: they fork while there is one thread. */
        T(many_processes_share_one_cache),
        T(processes_run_beside_others_that_clear_and_prune),
        T(a_second_engine_compiles_nothing),
        T(the_scan_survives_the_cache),
        T(fuel_and_plain_are_different_entries),
        T(folder_and_key_belong_to_the_user_alone),
        T(list_prune_and_clear),
        T(the_size_is_bounded_and_the_oldest_goes),
        T(what_a_dead_process_left_half_written_goes_too),
        T(a_folder_that_cannot_be_made_is_no_cache),
        T(a_changed_byte_anywhere_is_recompiled),
        T(a_file_cut_off_or_continued_is_recompiled),
        T(two_entries_swapped_are_both_recompiled),
        T(code_of_another_profile_never_passes),
        T(modules_in_memory_are_as_many_as_is_said),
        T(an_entry_under_the_name_of_another_is_bad),
        T(code_of_another_key_is_foreign),
        T(an_entry_that_is_a_link_or_writable_by_others_is_not_read),
        T(a_folder_that_others_can_write_is_refused),
        T(a_key_that_others_can_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
