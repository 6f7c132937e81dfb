/* The versioned filesystem through the public header; quotas are set behind its back. */
#include <errno.h>
#include <pthread.h>
#include "cis/cis.h"
#include "harness.h"
#include "base/file.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "lib/internal.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

#ifdef FX_POSTGRES
static struct pgcluster *cluster;
#endif

struct place {
    char *dir, *where; /* where: the runtime's data_dir */
    cis_runtime *runtime;
    cis_tenant *tenant; /* "default" */
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_error err;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    p->dir = test_dir_new();
#ifdef FX_POSTGRES
    p->where = pgcluster_store(cluster);
#else
    p->where = strdup(p->dir);
#endif
    config.data_dir = p->where;
    config.compile_in_process = true;
    *state = p;
    return cis_runtime_new(&config, &p->runtime, &err) == CIS_OK &&
                   cis_tenant_open(p->runtime, NULL, &p->tenant, &err) == CIS_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct cis_error err;
    cis_tenant_close(p->tenant);
    cis_runtime_free(p->runtime);
    int failed = cis_file_remove_tree(p->dir, &err) != CIS_OK;
#ifdef FX_POSTGRES
    pgcluster_drop(cluster, p->where);
#else
    free(p->where);
#endif
    free(p->dir);
    free(p);
    return failed;
}

/* The store behind the runtime's back. */
static cis_store *store_of(const struct place *p)
{
    cis_store *store = NULL;
#ifdef FX_POSTGRES
    assert_ok(cis_store_postgres_open(p->where, NULL, &store, NULL, err));
#else
    assert_ok(cis_store_sqlite_open(p->where, &store, err));
#endif
    return store;
}

static cis_workspace *open_at(struct place *p, const char *state)
{
    struct cis_workspace_options o = CIS_WORKSPACE_OPTIONS_INIT;
    cis_workspace *w = NULL;
    o.state = state;
    assert_ok(cis_workspace_open(p->tenant, &o, &w, err));
    return w;
}

static void put(cis_workspace *w, const char *path, const char *text)
{
    assert_ok(cis_workspace_write(w, path, 0, text, strlen(text), true, err));
}

static void assert_text(cis_workspace *w, const char *path, const char *text)
{
    char got[256];
    size_t n = 0;
    assert_ok(cis_workspace_read(w, path, 0, got, sizeof got, &n, err));
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

/* One commit that puts a text; returns its epoch. */
static uint64_t put_commit(struct place *p, const char *path, const char *text)
{
    cis_workspace *w = open_at(p, NULL);
    uint64_t epoch = 0;
    put(w, path, text);
    assert_ok(cis_workspace_commit(w, "a test", &epoch, err));
    cis_workspace_close(w);
    return epoch;
}

static void names_of_a_union_are_not_made_through_the_library(void **state)
{
    struct place *p = *state;
    cis_workspace *w = open_at(p, NULL);
    static const char said[] = "reserved for the branches of cow mounts";
    assert_ok(cis_workspace_mkdir(w, "/mine", err));
    put(w, "/f", "x");
    assert_fails(CIS_E_DENIED, said, cis_workspace_mkdir(w, "/.cis-union", err));
    assert_fails(CIS_E_DENIED, said,
                 cis_workspace_write(w, "/mine/.cis-union-lower", 0, "x", 1, true, err));
    assert_fails(CIS_E_DENIED, said, cis_workspace_symlink(w, "/", "/.cis-union-lower", err));
    assert_fails(CIS_E_DENIED, said, cis_workspace_rename(w, "/mine", "/.cis-union", err));
    cis_workspace_close(w);
}

static void changes_are_seen_by_others_after_the_commit_only(void **state)
{
    struct place *p = *state;
    cis_workspace *mine = open_at(p, NULL);
    put(mine, "/notes.txt", "mine");
    cis_workspace *early = open_at(p, NULL);
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    assert_fails(CIS_E_NOTFOUND, "notes.txt", cis_workspace_stat(early, "notes.txt", &info, err));
    uint64_t epoch = 0;
    assert_ok(cis_workspace_commit(mine, "first", &epoch, err));
    assert_int_equal(epoch, 1);
    assert_fails(CIS_E_NOTFOUND, "notes.txt", cis_workspace_stat(early, "notes.txt", &info, err));
    cis_workspace *late = open_at(p, NULL);
    assert_text(late, "notes.txt", "mine");
    assert_ok(cis_workspace_stat(late, "notes.txt", &info, err));
    assert_int_equal(info.length, 4);
    assert_int_equal(info.mode, 0100644);
    cis_workspace_close(early);
    cis_workspace_close(late);
    cis_workspace_close(mine);
}

static enum cis_code count_entry(void *self, const char *name, const struct cis_file_info *info)
{
    int *n = self;
    assert_true(strcmp(name, "d") == 0 || strcmp(name, "l") == 0 || strcmp(name, "g") == 0);
    assert_true(info->inode > 1);
    (*n)++;
    return CIS_E_OK;
}

static void files_directories_and_links_by_path(void **state)
{
    struct place *p = *state;
    cis_workspace *w = open_at(p, NULL);
    assert_ok(cis_workspace_mkdir(w, "d", err));
    put(w, "d/f", "0123456789");
    assert_ok(cis_workspace_write(w, "d/f", 4, "XY", 2, false, err));
    assert_text(w, "d/f", "0123XY6789");
    assert_ok(cis_workspace_write(w, "d/f", 2, "end", 3, true, err));
    assert_text(w, "d/f", "01end");
    assert_ok(cis_workspace_symlink(w, "d/f", "l", err));
    assert_text(w, "l", "01end");
    assert_ok(cis_workspace_rename(w, "d/f", "g", err));
    int n = 0;
    assert_ok(cis_workspace_list(w, "/", count_entry, &n, err));
    assert_int_equal(n, 3);
    assert_fails(CIS_E_EXISTS, "d", cis_workspace_mkdir(w, "d", err));
    assert_ok(cis_workspace_remove(w, "d", err));
    assert_ok(cis_workspace_remove(w, "l", err));
    assert_ok(cis_workspace_symlink(w, "/../../etc/passwd", "out", err));
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    assert_fails(CIS_E_NOTFOUND, "out", cis_workspace_stat(w, "out", &info, err));
    char byte;
    size_t got = 7;
    assert_ok(cis_workspace_read(w, "g", 5, &byte, 1, &got, err));
    assert_int_equal(got, 0);
    cis_workspace_close(w);
}

static enum cis_code note_change(void *self, char what, const char *path, const char *from)
{
    char *text = self;
    size_t n = strlen(text);
    snprintf(text + n, 256 - n, "%c %s%s%s;", what, from, from[0] != 0 ? ">" : "", path);
    return CIS_E_OK;
}

static enum cis_code note_commit(void *self, uint64_t epoch, int64_t time_ms, const char *kind,
                                 const char *note, const char *run)
{
    char *text = self;
    size_t n = strlen(text);
    assert_true(time_ms > 0);
    assert_string_equal(run, "");
    snprintf(text + n, 256 - n, "%d %s %s;", (int)epoch, kind, note);
    return CIS_E_OK;
}

static void states_are_kept_compared_and_brought_back(void **state)
{
    struct place *p = *state;
    put_commit(p, "a", "one");
    assert_ok(cis_tenant_snapshot(p->tenant, NULL, "before", "a note", err));
    assert_fails(CIS_E_EXISTS, "before", cis_tenant_snapshot(p->tenant, NULL, "before", NULL, err));
    put_commit(p, "a", "two");
    put_commit(p, "b", "new");
    char text[256] = "";
    assert_ok(cis_tenant_diff(p->tenant, "before", "", note_change, text, err));
    assert_string_equal(text, "M a;A b;");
    text[0] = 0;
    assert_ok(cis_tenant_log(p->tenant, "", 2, note_commit, text, err));
    assert_string_equal(text, "3 fs a test;2 fs a test;");
    cis_workspace *old = open_at(p, "before");
    assert_text(old, "a", "one");
    assert_fails(CIS_E_DENIED, "a", cis_workspace_write(old, "a", 0, "x", 1, true, err));
    cis_workspace_close(old);
    assert_ok(cis_tenant_restore(p->tenant, NULL, "before", "a", err));
    cis_workspace *now = open_at(p, NULL);
    assert_text(now, "a", "one");
    assert_text(now, "b", "new");
    cis_workspace_close(now);
    assert_ok(cis_tenant_undo(p->tenant, NULL, "main@3", err));
    now = open_at(p, NULL);
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    assert_fails(CIS_E_NOTFOUND, "b", cis_workspace_stat(now, "b", &info, err));
    cis_workspace_close(now);
    assert_ok(cis_tenant_rollback(p->tenant, NULL, "main@2", err));
    now = open_at(p, NULL);
    assert_text(now, "a", "two");
    cis_workspace_close(now);
    assert_ok(cis_tenant_snapshot_remove(p->tenant, "before", err));
    assert_fails(CIS_E_NOTFOUND, "before",
                 cis_tenant_diff(p->tenant, "before", "", note_change, text, err));
}

static void undo_goes_back_redo_comes_forward_and_a_rollback_is_taken_back(void **state)
{
    struct place *p = *state;
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    static const char *const files[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        cis_workspace *w = open_at(p, NULL);
        put(w, files[i], "text");
        assert_ok(cis_workspace_commit(w, "undo of @1: a [undoes 1@1]", NULL, err));
        cis_workspace_close(w);
    }
    assert_fails(CIS_E_NOTFOUND, "nothing to redo", cis_tenant_redo(p->tenant, NULL, err));
    assert_ok(cis_tenant_undo(p->tenant, NULL, NULL, err));
    assert_ok(cis_tenant_undo(p->tenant, NULL, NULL, err));
    cis_workspace *now = open_at(p, NULL);
    assert_ok(cis_workspace_stat(now, "a", &info, err));
    assert_fails(CIS_E_NOTFOUND, "b", cis_workspace_stat(now, "b", &info, err));
    cis_workspace_close(now);
    assert_ok(cis_tenant_redo(p->tenant, NULL, err));
    assert_ok(cis_tenant_redo(p->tenant, "main", err));
    assert_fails(CIS_E_NOTFOUND, "nothing to redo", cis_tenant_redo(p->tenant, NULL, err));
    assert_ok(cis_tenant_rollback(p->tenant, NULL, "main@1", err));
    cis_workspace *was = open_at(p, "main@{1}");
    assert_text(was, "c", "text");
    cis_workspace_close(was);
    assert_ok(cis_tenant_rollback(p->tenant, NULL, "@{1}", err));
    now = open_at(p, NULL);
    assert_text(now, "c", "text");
    cis_workspace_close(now);
}

static void notes_are_bounded(void **state)
{
    struct place *p = *state;
    char note[1026];
    memset(note, 'n', sizeof note);
    note[1025] = 0;
    cis_workspace *w = open_at(p, NULL);
    put(w, "/file", "text");
    assert_fails(CIS_E_USAGE, "1024", cis_workspace_commit(w, note, NULL, err));
    note[1024] = 0;
    assert_ok(cis_workspace_commit(w, note, NULL, err));
    put(w, "/file", "more");
    assert_ok(cis_workspace_commit(w, NULL, NULL, err));
    cis_workspace_close(w);
    note[1024] = 'n';
    assert_fails(CIS_E_USAGE, "1024", cis_tenant_snapshot(p->tenant, "", "s", note, err));
}

/* The log names what was restored: as much of it as a note holds. */
static void a_path_longer_than_a_note_is_restored(void **state)
{
    struct place *p = *state;
    char path[1600] = "";
    cis_workspace *w = open_at(p, NULL);
    for (int i = 0; i < 6; i++) {
        size_t n = strlen(path);
        path[n] = '/';
        memset(path + n + 1, 'a' + i, 250);
        path[n + 251] = 0;
        if (i < 5) {
            assert_ok(cis_workspace_mkdir(w, path, err));
        }
    }
    put(w, path, "old");
    uint64_t epoch = 0;
    assert_ok(cis_workspace_commit(w, NULL, &epoch, err));
    put(w, path, "new");
    assert_ok(cis_workspace_commit(w, NULL, NULL, err));
    cis_workspace_close(w);
    assert_ok(cis_tenant_restore(p->tenant, NULL, "main@1", path, err));
    w = open_at(p, NULL);
    assert_text(w, path, "old");
    cis_workspace_close(w);
}

static void a_write_above_the_quota_leaves_everything_as_it_was(void **state)
{
    struct place *p = *state;
    static char big[200000];
    struct cis_tenant quota = {.quota_bytes = 100000};
    put_commit(p, "/old", "old text");
    cis_store *store = store_of(p);
    assert_ok(cis_store_tenant_quota(store, CIS_STR("default"), &quota, NULL, err));
    cis_store_close(store);
    cis_workspace *w = open_at(p, NULL);
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    assert_fails(CIS_E_QUOTA, "old", cis_workspace_write(w, "old", 0, big, sizeof big, true, err));
    assert_fails(CIS_E_QUOTA, "old", cis_workspace_write(w, "old", 4, big, sizeof big, true, err));
    assert_fails(CIS_E_QUOTA, "old", cis_workspace_write(w, "old", 0, big, sizeof big, false, err));
    assert_fails(CIS_E_QUOTA, "new", cis_workspace_write(w, "new", 0, big, sizeof big, true, err));
    assert_text(w, "old", "old text");
    assert_fails(CIS_E_NOTFOUND, "new", cis_workspace_stat(w, "new", &info, err));
    uint64_t epoch = 0;
    assert_ok(cis_workspace_commit(w, NULL, &epoch, err));
    assert_int_equal(epoch, 1); /* there was nothing to commit */
    assert_ok(cis_workspace_write(w, "new", 0, big, 100000 - 8, true, err));
    assert_ok(cis_workspace_write(w, "old", 4, "sold", 4, true, err));
    assert_ok(cis_workspace_write(w, "old", 3, NULL, 0, true, err));
    assert_text(w, "old", "old");
    cis_workspace_close(w);
}

static void a_fork_goes_its_own_way_and_comes_back(void **state)
{
    struct place *p = *state;
    put_commit(p, "shared", "base");
    assert_ok(cis_tenant_fork(p->tenant, NULL, "trial", err));
    cis_workspace *trial = open_at(p, "trial");
    put(trial, "tried", "it works");
    assert_ok(cis_workspace_commit(trial, NULL, NULL, err));
    cis_workspace_close(trial);
    put_commit(p, "other", "meanwhile");
    cis_workspace *now = open_at(p, NULL);
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    assert_fails(CIS_E_NOTFOUND, "tried", cis_workspace_stat(now, "tried", &info, err));
    cis_workspace_close(now);
    assert_ok(cis_tenant_merge(p->tenant, NULL, "trial", err));
    now = open_at(p, NULL);
    assert_text(now, "tried", "it works");
    assert_text(now, "other", "meanwhile");
    cis_workspace_close(now);
    assert_ok(cis_tenant_switch(p->tenant, "trial", err));
    now = open_at(p, NULL);
    assert_fails(CIS_E_NOTFOUND, "other", cis_workspace_stat(now, "other", &info, err));
    cis_workspace_close(now);
    assert_fails(CIS_E_USAGE, "no good", cis_tenant_fork(p->tenant, NULL, "no good", err));
}

static void who_comes_second_gets_a_conflict_and_loses_nothing(void **state)
{
    struct place *p = *state;
    put_commit(p, "f", "base");
    cis_workspace *first = open_at(p, NULL), *second = open_at(p, NULL);
    put(first, "f", "first");
    put(second, "f", "second");
    assert_ok(cis_workspace_commit(first, NULL, NULL, err));
    assert_fails(CIS_E_CONFLICT, "first", cis_workspace_commit(second, NULL, NULL, err));
    assert_text(second, "f", "second");
    char text[256] = "";
    assert_ok(cis_workspace_changes(second, note_change, text, err));
    assert_string_equal(text, "M f;");
    assert_ok(cis_workspace_save(second, "kept", err));
    cis_workspace_close(second);
    cis_workspace_close(first);
    cis_workspace *kept = open_at(p, "kept"), *head = open_at(p, "main");
    assert_text(kept, "f", "second");
    assert_text(head, "f", "first");
    put(kept, "f", "thrown away");
    cis_workspace_discard(kept);
    assert_text(kept, "f", "second");
    cis_workspace_close(kept);
    cis_workspace_close(head);
}

static void *writer(void *self)
{
    struct place *p = ((void **)self)[0];
    int n = *(int *)((void **)self)[1];
    struct cis_error err;
    for (int i = 0; i < 20; i++) {
        cis_workspace *w;
        char path[64];
        snprintf(path, sizeof path, "t%d-%d", n, i);
        if (cis_workspace_open(p->tenant, NULL, &w, &err) != CIS_OK ||
            cis_workspace_write(w, path, 0, path, strlen(path), true, &err) != CIS_OK ||
            cis_workspace_commit(w, NULL, NULL, &err) != CIS_OK) {
            fprintf(stderr, "%s: %s\n", path, err.msg);
            return self;
        }
        cis_workspace_close(w);
    }
    return NULL;
}

static enum cis_code count_any(void *self, const char *name, const struct cis_file_info *info)
{
    (void)name, (void)info;
    (*(int *)self)++;
    return CIS_E_OK;
}

static enum cis_code stop_at_once(void *self, const char *name, const struct cis_file_info *info)
{
    (void)name, (void)info;
    (*(int *)self)++;
    return CIS_E_LIMIT;
}

static enum cis_code stop_at_change(void *self, char what, const char *path, const char *from)
{
    (void)what, (void)path, (void)from;
    (*(int *)self)++;
    return CIS_E_LIMIT;
}

static enum cis_code stop_at_commit(void *self, uint64_t epoch, int64_t time_ms, const char *kind,
                                    const char *note, const char *run)
{
    (void)epoch, (void)time_ms, (void)kind, (void)note, (void)run;
    (*(int *)self)++;
    return (enum cis_code)12345; /* no code of cis */
}

static enum cis_code stop_at_publish(void *self, const char *from, const char *branch,
                                     const char *to, int64_t since_ms)
{
    (void)from, (void)branch, (void)to, (void)since_ms;
    (*(int *)self)++;
    return CIS_E_CANCELLED;
}

static void what_a_callback_returns_ends_the_function_that_calls_it(void **state)
{
    struct place *p = *state;
    int n = 0;
    put_commit(p, "a", "one");
    put_commit(p, "b", "two");
    cis_workspace *w = open_at(p, NULL);
    assert_fails(CIS_E_LIMIT, "callback", cis_workspace_list(w, "", stop_at_once, &n, err));
    assert_int_equal(n, 1);
    put(w, "c", "three");
    put(w, "d", "four");
    assert_fails(CIS_E_LIMIT, "callback", cis_workspace_changes(w, stop_at_change, &n, err));
    assert_int_equal(n, 2);
    cis_workspace_close(w);
    assert_fails(CIS_E_LIMIT, "callback",
                 cis_tenant_diff(p->tenant, "main@1", "main@2", stop_at_change, &n, err));
    assert_int_equal(n, 3);
    assert_fails(CIS_E_PROVIDER, "callback",
                 cis_tenant_log(p->tenant, NULL, 10, stop_at_commit, &n, err));
    assert_int_equal(n, 4);
    cis_tenant *bob = NULL;
    assert_ok(cis_tenant_open(p->runtime, "bob", &bob, err));
    assert_ok(cis_workspace_open(bob, NULL, &w, err)); /* which makes the tenant */
    cis_workspace_close(w);
    cis_tenant_close(bob);
    assert_ok(cis_tenant_publish(p->tenant, NULL, "bob", err));
    assert_fails(CIS_E_CANCELLED, "callback",
                 cis_tenant_published(p->tenant, stop_at_publish, &n, err));
    assert_int_equal(n, 5);
}

static void threads_with_files_of_their_own_all_commit(void **state)
{
    pthread_t threads[8];
    int numbers[8];
    void *args[8][2];
    for (int i = 0; i < 8; i++) {
        numbers[i] = i;
        args[i][0] = *state;
        args[i][1] = &numbers[i];
        assert_int_equal(pthread_create(&threads[i], NULL, writer, args[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    cis_workspace *w = open_at(*state, NULL);
    int n = 0;
    assert_ok(cis_workspace_list(w, "", count_any, &n, err));
    assert_int_equal(n, 160);
    cis_workspace_close(w);
}

struct race {
    cis_workspace *w;
    size_t fail_after;
    cis_code code;
};

#define LOSER ((size_t)2 << 20)

static void *write_that_fails(void *arg)
{
    struct race *race = arg;
    char *data = calloc(1, LOSER);
    cis_mem_fail_after(race->fail_after); /* of this thread alone */
    race->code = cis_workspace_write(race->w, "/raced", 16, data, LOSER, false, NULL);
    cis_mem_fail_after(SIZE_MAX);
    free(data);
    return NULL;
}

/* One thread makes the file and fails to fill it; what another wrote to it meanwhile is not taken
 * away with it. */
static void a_write_that_fails_leaves_the_file_of_another_thread(void **state)
{
    cis_workspace *w = open_at(*state, NULL);
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    unsigned failed = 0;
    for (size_t i = 0; i < 400; i++) {
        struct race race = {w, 6 + i % 60, CIS_OK};
        pthread_t thread;
        char got[7];
        size_t n = 0;
        assert_int_equal(pthread_create(&thread, NULL, write_that_fails, &race), 0);
        bool joined = false;
        while (i % 4 != 0 && !joined && cis_workspace_stat(w, "/raced", &info, NULL) != CIS_OK) {
            joined = pthread_tryjoin_np(thread, NULL) == 0;
        }
        cis_code code = cis_workspace_write(w, "/raced", 0, "winner!", 7, false, NULL);
        if (!joined) {
            pthread_join(thread, NULL);
        }
        assert_int_equal(code, CIS_OK);
        failed += race.code != CIS_OK;
        assert_ok(cis_workspace_read(w, "/raced", 0, got, sizeof got, &n, err));
        assert_int_equal(n, 7);
        assert_memory_equal(got, "winner!", 7);
        assert_ok(cis_workspace_remove(w, "/raced", err));
    }
    assert_true(failed != 0);
    for (size_t i = 0; i < 60; i++) { /* alone it leaves nothing */
        struct race race = {w, i, CIS_OK};
        write_that_fails(&race);
        assert_int_equal(cis_workspace_stat(w, "/raced", &info, NULL) == CIS_OK,
                         race.code == CIS_OK);
        if (race.code == CIS_OK) {
            assert_ok(cis_workspace_remove(w, "/raced", err));
        }
    }
    cis_workspace_close(w);
}

static void a_write_follows_a_symlink_that_leads_nowhere_yet(void **state)
{
    cis_workspace *w = open_at(*state, NULL);
    assert_ok(cis_workspace_symlink(w, "target", "/link", err));
    put(w, "/link", "through");
    assert_text(w, "/target", "through");
    cis_workspace_close(w);
}

static cis_code open_published(struct place *p, const char *reader, const char *branch,
                               cis_workspace **out, struct cis_error *err)
{
    struct cis_workspace_options o = CIS_WORKSPACE_OPTIONS_INIT;
    cis_tenant *tenant = NULL;
    o.state = branch;
    o.from_tenant = "default";
    cis_code code = cis_tenant_open(p->runtime, reader, &tenant, err);
    code = code == CIS_OK ? cis_workspace_open(tenant, &o, out, err) : code;
    cis_tenant_close(tenant); /* the workspace goes on */
    return code;
}

static enum cis_code note_published(void *self, const char *from, const char *branch,
                                    const char *to, int64_t since_ms)
{
    char *text = self;
    assert_true(since_ms > 1600000000000ll);
    snprintf(text + strlen(text), 256 - strlen(text), "%s/%s>%s ", from, branch, to);
    return CIS_E_OK;
}

static void a_published_branch_is_read_by_who_it_was_published_to(void **state)
{
    struct place *p = *state;
    cis_workspace *bob = NULL, *w = NULL;
    cis_tenant *reader = NULL;
    char rows[256] = "";
    put_commit(p, "/shared", "for bob");
    assert_fails(CIS_E_NOTFOUND, "bob: no such tenant",
                 cis_tenant_publish(p->tenant, NULL, "bob", err));
    assert_ok(cis_tenant_open(p->runtime, "bob", &reader, err));
    assert_string_equal(cis_tenant_name(reader), "bob");
    assert_ok(cis_workspace_open(reader, NULL, &bob, err)); /* which makes the tenant */
    put(bob, "/mine", "bob's");
    assert_fails(CIS_E_NOTFOUND, "tenant default: no branch main is published to bob",
                 open_published(p, "bob", "main", &w, err));
    assert_ok(cis_tenant_publish(p->tenant, NULL, "bob", err));
    assert_ok(cis_tenant_publish(p->tenant, "main", "bob", err));
    assert_ok(open_published(p, "bob", "main", &w, err));
    assert_text(w, "shared", "for bob");
    assert_fails(CIS_E_DENIED, "shared", cis_workspace_write(w, "shared", 0, "x", 1, true, err));
    assert_fails(CIS_E_DENIED, "", cis_workspace_commit(w, NULL, NULL, err));
    assert_fails(CIS_E_DENIED, "", cis_workspace_save(w, "stolen", err));
    cis_workspace_close(w);
    assert_ok(cis_tenant_published(reader, note_published, rows, err));
    assert_string_equal(rows, "default/main>bob ");
    assert_ok(cis_tenant_unpublish(p->tenant, "main", NULL, err));
    assert_fails(CIS_E_DENIED, "branch main is no longer published to bob",
                 open_published(p, "bob", "main", &w, err));
    assert_fails(CIS_E_NOTFOUND, "not published to bob",
                 cis_tenant_unpublish(p->tenant, "main", "bob", err));
    assert_fails(CIS_E_USAGE, "no tenant is given",
                 cis_tenant_publish(p->tenant, "main", NULL, err));
    assert_fails(CIS_E_USAGE, "by its name", open_published(p, "bob", NULL, &w, err));
    assert_fails(CIS_E_USAGE, "by its name", open_published(p, "bob", "main~1", &w, err));
    assert_fails(CIS_E_USAGE, "tenant", cis_tenant_publish(p->tenant, NULL, "b#1", err));
    cis_workspace_close(bob);
    cis_tenant_close(reader);
}

/* A program that was compiled before the last field came. */
static void options_of_an_earlier_size_are_taken(void **state)
{
    struct place *p = *state;
    struct cis_workspace_options o = CIS_WORKSPACE_OPTIONS_INIT;
    cis_workspace *w = NULL;
    o.size = offsetof(struct cis_workspace_options, from_tenant);
    o.from_tenant = "what lies behind it";
    assert_ok(cis_workspace_open(p->tenant, &o, &w, err));
    put(w, "/f", "x");
    cis_workspace_close(w);
    o.size--;
    assert_fails(CIS_E_USAGE, "workspace options: size",
                 cis_workspace_open(p->tenant, &o, &w, err));
}

static void a_runtime_that_keeps_nothing_says_so(void **state)
{
    (void)state;
    cis_runtime *runtime;
    cis_tenant *tenant = NULL;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.compile_in_process = true;
    assert_ok(cis_runtime_new(&config, &runtime, err));
    assert_fails(CIS_E_USAGE, "data_dir", cis_tenant_open(runtime, NULL, &tenant, err));
    assert_null(tenant);
    cis_runtime_free(runtime);
}

static void states_and_tenants_that_cannot_be_are_named(void **state)
{
    struct place *p = *state;
    struct cis_workspace_options o = CIS_WORKSPACE_OPTIONS_INIT;
    cis_workspace *w;
    o.state = "nowhere";
    put_commit(p, "f", "x");
    assert_fails(CIS_E_NOTFOUND, "nowhere", cis_workspace_open(p->tenant, &o, &w, err));
    cis_tenant *tenant = NULL;
    assert_fails(CIS_E_USAGE, "tenant", cis_tenant_open(p->runtime, "Not/Valid", &tenant, err));
    assert_null(tenant);
    assert_ok(cis_tenant_open(p->runtime, "absent", &tenant, err));
    o.state = NULL;
    o.read_only = true;
    assert_fails(CIS_E_NOTFOUND, "absent", cis_workspace_open(tenant, &o, &w, err));
    cis_tenant_close(tenant);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(changes_are_seen_by_others_after_the_commit_only),
        TEST(names_of_a_union_are_not_made_through_the_library),
        TEST(files_directories_and_links_by_path),
        TEST(states_are_kept_compared_and_brought_back),
        TEST(undo_goes_back_redo_comes_forward_and_a_rollback_is_taken_back),
        TEST(notes_are_bounded),
        TEST(a_path_longer_than_a_note_is_restored),
        TEST(a_write_above_the_quota_leaves_everything_as_it_was),
        TEST(a_fork_goes_its_own_way_and_comes_back),
        TEST(who_comes_second_gets_a_conflict_and_loses_nothing),
        TEST(a_published_branch_is_read_by_who_it_was_published_to),
        TEST(options_of_an_earlier_size_are_taken),
        TEST(what_a_callback_returns_ends_the_function_that_calls_it),
        TEST(threads_with_files_of_their_own_all_commit),
        TEST(a_write_that_fails_leaves_the_file_of_another_thread),
        TEST(a_write_follows_a_symlink_that_leads_nowhere_yet),
        cmocka_unit_test(a_runtime_that_keeps_nothing_says_so),
        TEST(states_and_tenants_that_cannot_be_are_named),
    };
#ifdef FX_POSTGRES
    cluster = pgcluster_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pgcluster_stop(cluster);
    return failed;
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
