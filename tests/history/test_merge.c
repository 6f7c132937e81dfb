/* The merge matrix: what each side did to the same name or file, and what comes of it. */
#include "fixture.h"

#include <unistd.h>
#include "history/maintain.h"
#include "store/calls.h"

static bool note_conflict(void *self, const struct cis_conflict *c)
{
    cis_buf_printf(self, "%.*s: %s\n", (int)c->path.len, c->path.ptr, c->why);
    return true;
}

static void nothing(struct fx *fx, const char *ref)
{
    (void)fx;
    (void)ref;
}
static void change(struct fx *fx, const char *ref)
{
    fx_text(fx, ref, "d/f", ref);
}
static void change_alike(struct fx *fx, const char *ref)
{
    fx_text(fx, ref, "d/f", "the same on both");
}
static void mode(struct fx *fx, const char *ref)
{
    fx_chmod(fx, ref, "d/f", 0600);
}
static void drop(struct fx *fx, const char *ref)
{
    fx_remove(fx, ref, "d/f");
}
static void drop_all(struct fx *fx, const char *ref)
{
    fx_remove(fx, ref, "d");
}
static void rename_file(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d/f", "d/renamed");
}
static void rename_other(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d/f", ref);
}
static void rename_dir(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d", "moved");
}
static void move_dir(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d", "elsewhere");
}
static void add(struct fx *fx, const char *ref)
{
    char name[64];
    snprintf(name, sizeof name, "d/new-%s", ref);
    fx_text(fx, ref, name, ref);
}
static void add_alike(struct fx *fx, const char *ref)
{
    fx_text(fx, ref, "d/new", ref);
}
static void add_link(struct fx *fx, const char *ref)
{
    fx_link(fx, ref, "d/f", "d/second");
}
static void replace(struct fx *fx, const char *ref)
{
    fx_remove(fx, ref, "d/f");
    fx_text(fx, ref, "d/f", ref);
}
static void below_e(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d", "e/d");
}
static void below_d(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "e", "d/e");
}
static void memory(struct fx *fx, const char *ref)
{
    fx_memory(fx, ref, "key", ref);
}
static void dir_mode(struct fx *fx, const char *ref)
{
    fx_chmod(fx, ref, "d", ref[0] == 'o' ? 0711 : 0700);
}
static void big_change(struct fx *fx, const char *ref)
{
    char *text = calloc(1, 200001);
    memset(text, ref[0], 200000);
    fx_text(fx, ref, "d/big", text);
    free(text);
}

static void drop_empty(struct fx *fx, const char *ref)
{
    fx_remove(fx, ref, "e");
}
static void rename_empty(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "e", "renamed");
}

struct cell {
    void (*theirs)(struct fx *fx, const char *ref), (*ours)(struct fx *fx, const char *ref);
    const char *conflicts; /* NULL: it merges */
    const char *there;     /* a line of the result, without inode and time */
};
#define THIS "theirs"
static const struct cell cells[] = {
    {change, nothing, NULL, "d/f 100644 1 6 "},
    {nothing, change, NULL, "d/f 100644 1 4 "},
    {change, change, "d/f: changed on both sides\n", NULL},
    {change, add, NULL, "d/f 100644 1 6 "},
    {change, mode, "d/f: changed on both sides\n", NULL},
    {mode, nothing, NULL, "d/f 100600 "},
    {change, drop, "d/f: changed there, removed here\n", NULL},
    {drop, change, "d/f: removed there, changed here\n", NULL},
    {drop, drop, NULL, NULL},
    {drop, nothing, NULL, NULL},
    {drop_all, nothing, NULL, "e 40755"},
    {drop_all, add, "d: removed there, has other names here\n", NULL},
    {add, drop_all, "d/new-theirs: its directory was removed here\n", NULL},
    {change, rename_file, NULL, "d/renamed 100644 1 6 "},
    {rename_file, change, NULL, "d/renamed 100644 1 4 "},
    {rename_file, rename_file, NULL, "d/renamed 100644 1 3 "},
    {rename_other, rename_other, "ours: renamed on both sides\n", NULL},
    {rename_dir, move_dir, "elsewhere: renamed on both sides\n", NULL},
    {rename_dir, rename_dir, NULL, "moved/f 100644 1 3 "},
    {rename_dir, change, NULL, "moved/f 100644 1 4 "},
    {change, rename_dir, NULL, "moved/f 100644 1 6 "},
    {add, rename_dir, NULL, "moved/new-theirs 100644 1 6 "},
    {rename_dir, drop_all, "moved: named anew there, removed here\n", NULL},
    {drop_all, rename_dir, "removed there, ", NULL},
    {drop_empty, rename_empty, "renamed: removed there, renamed here\n", NULL},
    {drop, rename_file, "d/renamed: removed there, renamed here\n", NULL},
    {drop, add_link, "d/f: removed there, renamed here\n", NULL},
    {add, add, NULL, "d/new-theirs 100644 1 6 "},
    {add_alike, add_alike, "d/new: added on both sides\n", NULL},
    {add_link, nothing, NULL, "d/second 100644 2 3 "},
    {add_link, change, NULL, "d/second 100644 2 4 "},
    {add_link, drop, "named anew there, removed here\n", NULL},
    {replace, nothing, NULL, "d/f 100644 1 6 "},
    {replace, replace, "d/f: another file on both sides\n", NULL},
    {replace, change, "d/f: removed there, changed here\n", NULL},
    {below_e, below_d, "would be inside itself", NULL},
    {below_e, nothing, NULL, "e/d/f 100644 1 3 "},
    {memory, nothing, NULL, NULL},
    {memory, memory, "memory skill key: changed on both sides\n", NULL},
    {dir_mode, nothing, NULL, "d 40700 "},
    {dir_mode, dir_mode, "d: attributes changed on both sides\n", NULL},
    {dir_mode, add, NULL, "d 40700 "},
    {big_change, nothing, NULL, "d/big 100644 1 200000 "},
    {big_change, big_change, "d/big: changed on both sides\n", NULL},
};

static void run_cell(struct fx *fx, size_t n)
{
    const struct cell *c = &cells[n];
    struct cis_history_done done = {0};
    struct cis_error why = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(65536);
    struct cis_view main_head = fx_head(fx, "main");
    fx_fork(fx, main_head, "ours");
    fx_fork(fx, main_head, THIS);
    c->ours(fx, "ours");
    c->theirs(fx, THIS);
    struct cis_view before = fx_head(fx, "ours");
    struct cis_history_commit how = {
        .ref = CIS_STR("ours"), .note = "merge", .conflict = note_conflict, .self = &told};
    cis_code code = cis_history_merge(&fx->h, fx_head(fx, THIS), &how, &done, &why);
    if (c->conflicts != NULL) {
        if (code != CIS_E_CONFLICT || strstr(cis_buf_cstr(&told), c->conflicts) == NULL) {
            fail_msg("cell %zu: %s \"%s\": conflicts \"%s\", not \"%s\"", n, cis_code_name(code),
                     why.msg, cis_buf_cstr(&told), c->conflicts);
        }
        assert_int_equal(fx_head(fx, "ours").epoch, before.epoch); /* nothing half done */
    } else {
        char *dump = fx_dump(&fx->h, fx_head(fx, "ours"));
        if (code != CIS_OK || (c->there != NULL && strstr(dump, c->there) == NULL)) {
            fail_msg("cell %zu: %s \"%s\"\n%s lacks \"%s\"", n, cis_code_name(code), why.msg, dump,
                     c->there != NULL ? c->there : "");
        }
        free(dump);
        /* A second time there is nothing to take. */
        before = fx_head(fx, "ours");
        assert_ok(cis_history_merge(&fx->h, fx_head(fx, THIS), &how, &done, err));
        assert_int_equal(done.changes, 0);
        assert_int_equal(fx_head(fx, "ours").epoch, before.epoch);
    }
    fx_whole(fx);
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("ours"), CIS_STR(""), NULL, err));
    assert_ok(cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR(THIS), CIS_STR(""), NULL, err));
}

static void every_pair_of_changes_merges_or_is_a_named_conflict(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "d/f", "old");
    fx_text(fx, "main", "d/g", "old");
    fx_mkdir(fx, "main", "e");
    fx_memory(fx, "main", "key", "old");
    char *text = calloc(1, 150001);
    memset(text, 'x', 150000);
    fx_text(fx, "main", "d/big", text);
    free(text);
    for (size_t n = 0; n < sizeof cells / sizeof *cells; n++) {
        run_cell(fx, n);
    }
}

static void changes_that_are_alike_are_no_conflict(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    fx_text(fx, "main", "d/f", "old");
    fx_fork(fx, fx_head(fx, "main"), "side");
    change_alike(fx, "side");
    struct cis_history_commit to_side = {.ref = CIS_STR("side"), .note = "merge"};
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    fx_text(fx, "main", "other", "x");
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "main"), &to_side, &done, err));
    char *a = fx_dump(&fx->h, fx_head(fx, "main")), *b = fx_dump(&fx->h, fx_head(fx, "side"));
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void branches_that_merge_again_and_again_go_from_the_last_time(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    struct cis_history_commit back = {.ref = CIS_STR("side"), .note = "merge"};
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    for (int i = 0; i < 6; i++) {
        char text[16], name[16];
        snprintf(text, sizeof text, "round %d", i);
        snprintf(name, sizeof name, "m%d", i);
        fx_text(fx, "side", "f", text); /* changed on one side since the last merge */
        fx_text(fx, "main", name, text);
        assert_ok(cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
        if (i % 2 == 0) {
            assert_ok(cis_history_merge(&fx->h, fx_head(fx, "main"), &back, &done, err));
            char *a = fx_dump(&fx->h, fx_head(fx, "main"));
            char *b = fx_dump(&fx->h, fx_head(fx, "side"));
            assert_string_equal(a, b);
            free(a);
            free(b);
        }
    }
    fx_text(fx, "main", "f", "here");
    fx_text(fx, "side", "f", "there");
    assert_fails(CIS_E_CONFLICT, "f: changed on both sides",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    fx_whole(fx);
}

static void a_mounted_branch_takes_no_merge(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    uint64_t fence;
    struct cis_view head;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "f", "1");
    assert_ok(
        cis_store_lease(fx->store, fx->h.tenant,
                        &(struct cis_fs_lease_request){CIS_STR("main"), "mount /mnt", 0, 60000},
                        &fence, NULL, err));
    assert_fails(CIS_E_CONFLICT, "mount /mnt",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    assert_fails(CIS_E_CONFLICT, "mount /mnt",
                 cis_history_rollback(&fx->h, CIS_STR("main"), fx_head(fx, "side"), CIS_STR("test"),
                                      &head, err));
}

static void a_dry_run_finds_conflicts_and_changes_nothing(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge", .dry_run = true};
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "f", "1");
    struct cis_view before = fx_head(fx, "main");
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    assert_true(done.changes > 0);
    assert_int_equal(fx_head(fx, "main").epoch, before.epoch);
    fx_text(fx, "main", "f", "2");
    assert_fails(CIS_E_CONFLICT, "f: changed on both sides",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
}

/* How often the names of a branch are gone through. */
static const struct cis_store_fs_ops *store_ops;
static unsigned name_scans;

static cis_code count_scan(cis_store *store, struct cis_str tenant,
                           const struct cis_fs_scan_query *query, cis_fs_row_each *each, void *self,
                           const struct cis_stop *stop, struct cis_error *err)
{
    name_scans += query->table == CIS_FS_DIRENTS ? 1 : 0;
    return store_ops->scan(store, tenant, query, each, self, stop, err);
}

#define CONFLICTS 60

static void all_conflicts_are_named_by_one_look_at_the_names_of_each_side(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(1u << 20);
    struct cis_history_commit how = {
        .ref = CIS_STR("main"), .note = "merge", .conflict = note_conflict, .self = &told};
    char path[32], line[80];
    for (int i = 0; i < CONFLICTS; i++) {
        snprintf(path, sizeof path, "d%d/f%d", i % 3, i);
        fx_text(fx, "main", path, "0");
    }
    fx_fork(fx, fx_head(fx, "main"), "side");
    for (int i = 0; i < CONFLICTS; i++) {
        snprintf(path, sizeof path, "d%d/f%d", i % 3, i);
        fx_text(fx, "side", path, "1");
        if (i % 2 == 0) {
            fx_text(fx, "main", path, "2");
        } else {
            fx_remove(fx, "main", path);
        }
    }
    store_ops = fx->store->fs;
    struct cis_store_fs_ops counting = *store_ops;
    counting.scan = count_scan;
    fx->store->fs = &counting;
    name_scans = 0;
    cis_code code = cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, NULL);
    fx->store->fs = store_ops;
    assert_int_equal(code, CIS_E_CONFLICT);
    for (int i = 0; i < CONFLICTS; i++) {
        snprintf(line, sizeof line, "d%d/f%d: %s\n", i % 3, i,
                 i % 2 == 0 ? "changed on both sides" : "changed there, removed here");
        assert_non_null(strstr(cis_buf_cstr(&told), line));
    }
    assert_in_range(name_scans, 1, 6); /* of two branches each */
}

/* ---- trees stay whole ---- */
static cis_code undo(struct fx *fx, struct cis_view commit, struct cis_history_done *done,
                     struct cis_error *err)
{
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "undo"};
    return cis_history_undo(&fx->h, commit, &how, done, err);
}

static void undo_of_a_directory_that_was_renamed_since_is_a_conflict(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    fx_mkdir(fx, "main", "d");
    struct cis_view made = fx_head(fx, "main");
    fx_rename(fx, "main", "d", "e");
    assert_fails(CIS_E_CONFLICT, "e: removed there, renamed here", undo(fx, made, &done, err));
    fx_whole(fx);
    assert_int_not_equal(fx_ino(fx, "main", "e"), 0);
    assert_ok(undo(fx, fx_head(fx, "main"), &done, err)); /* the rename first, then it goes */
    assert_ok(undo(fx, made, &done, err));
    fx_whole(fx);
}

static void undo_of_a_file_that_was_renamed_or_linked_since_is_a_conflict(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    fx_text(fx, "main", "a", "1");
    struct cis_view made = fx_head(fx, "main");
    fx_link(fx, "main", "a", "b");
    assert_fails(CIS_E_CONFLICT, "removed there, renamed here", undo(fx, made, &done, err));
    fx_remove(fx, "main", "a");
    assert_fails(CIS_E_CONFLICT, "removed there, renamed here", undo(fx, made, &done, err));
    fx_whole(fx);
}

/* A fault of ours further up must not reach the store. */
static void an_edit_that_would_break_the_tree_is_refused(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct edit_file *file;
    fx_text(fx, "main", "d/f", "1");
    uint64_t dir = fx_ino(fx, "main", "d"), ino = fx_ino(fx, "main", "d/f");
    struct cis_view before = fx_head(fx, "main");
    for (int kind = 0; kind < 6; kind++) {
        struct edit e;
        assert_ok(cis_edit_open(&e, &fx->h, CIS_STR("main"), err));
        struct cis_str f = CIS_STR("f"), d = CIS_STR("d"), x = CIS_STR("x");
        if (kind == 0) { /* a directory goes, its file stays */
            assert_ok(cis_edit_name(&e, CIS_FS_ROOT, d, (struct edit_end){dir, 0040000},
                                    (struct edit_end){0, 0}, err));
        } else if (kind == 1) { /* it goes and keeps its name */
            assert_ok(cis_edit_name(&e, dir, f, (struct edit_end){ino, 0100000},
                                    (struct edit_end){0, 0}, err));
            assert_ok(cis_edit_file(&e, dir, &file, err));
            file->gone = true;
        } else if (kind == 2) { /* a second name for it */
            assert_ok(cis_edit_name(&e, CIS_FS_ROOT, x, (struct edit_end){0, 0},
                                    (struct edit_end){dir, 0040000}, err));
        } else if (kind == 3) { /* a name for nothing */
            assert_ok(cis_edit_name(&e, CIS_FS_ROOT, x, (struct edit_end){0, 0},
                                    (struct edit_end){ino + 1000, 0100000}, err));
        } else if (kind == 4) { /* below itself */
            assert_ok(cis_edit_name(&e, CIS_FS_ROOT, d, (struct edit_end){dir, 0040000},
                                    (struct edit_end){0, 0}, err));
            assert_ok(cis_edit_name(&e, dir, x, (struct edit_end){0, 0},
                                    (struct edit_end){dir, 0040000}, err));
        } else { /* of another type than the file */
            assert_ok(cis_edit_name(&e, CIS_FS_ROOT, x, (struct edit_end){0, 0},
                                    (struct edit_end){ino, 0120000}, err));
        }
        assert_fails(CIS_E_DAMAGED, "nothing was changed",
                     cis_edit_commit(&e, "fs", "broken", &done, err));
        cis_edit_done(&e);
        assert_int_equal(fx_head(fx, "main").epoch, before.epoch);
    }
    fx_whole(fx);
}

static void two_commits_that_bring_one_file_back_are_a_conflict(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    fx_text(fx, "main", "a", "1");
    uint64_t ino = fx_ino(fx, "main", "a");
    struct cis_view had = fx_head(fx, "main");
    fx_remove(fx, "main", "a");
    struct edit e[2];
    for (int i = 0; i < 2; i++) { /* both look before either commits, and give it other names */
        struct numbers one = {.at = &ino, .n = 1};
        struct rows rows = {0};
        assert_ok(cis_edit_open(&e[i], &fx->h, CIS_STR("main"), err));
        assert_ok(cis_rows_read(&fx->h, had, &one, &rows, err));
        assert_ok(cis_edit_put(&e[i], &rows.at[0], err));
        assert_ok(cis_edit_name(&e[i], CIS_FS_ROOT, cis_str_of(i == 0 ? "x" : "y"),
                                (struct edit_end){0, 0}, (struct edit_end){ino, 0100000}, err));
        cis_rows_done(&rows);
    }
    assert_ok(cis_edit_commit(&e[0], "merge", "first", &done, err));
    assert_fails(CIS_E_CONFLICT, "another run changed",
                 cis_edit_commit(&e[1], "merge", "second", &done, err));
    cis_edit_done(&e[0]);
    cis_edit_done(&e[1]);
    fx_whole(fx);
}

/* ---- what is the same ---- */
static void big_text(struct fx *fx, const char *ref, const char *path, char c)
{
    char *text = malloc(100000);
    memset(text, c, 100000);
    fx_write(fx, ref, path, text, 100000);
    free(text);
}

static bool count_change(void *self, const struct cis_change *change)
{
    *(int *)self += change->content ? 1 : 100;
    return true;
}

static void files_of_one_size_time_and_epoch_are_compared_by_their_content(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    int changes = 0;
    fx_at(1000000);
    big_text(fx, "main", "f", 'a');
    fx_text(fx, "main", "small", "a");
    fx_fork(fx, fx_head(fx, "main"), "side");
    big_text(fx, "main", "f", 'm');
    fx_text(fx, "main", "small", "m");
    big_text(fx, "side", "f", 's');
    fx_text(fx, "side", "small", "s");
    assert_int_equal(fx_head(fx, "main").epoch, fx_head(fx, "side").epoch);
    assert_ok(cis_history_diff(&fx->h, fx_head(fx, "main"), fx_head(fx, "side"), count_change,
                               &changes, err));
    assert_int_equal(changes, 2);
    assert_fails(CIS_E_CONFLICT, "changed on both sides, and 1 more",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    fx_fork(fx, (struct cis_view){1, 2}, "only");
    big_text(fx, "only", "f", 'o'); /* as main: of one size, time and epoch with side's */
    struct cis_history_commit only = {.ref = CIS_STR("only"), .note = "merge"};
    assert_fails(CIS_E_CONFLICT, "f: changed on both sides",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &only, &done, err));
    fx_at(0);
}

/* ---- bases ---- */
static cis_code merge_into(struct fx *fx, const char *ref, struct cis_view theirs,
                           struct cis_error *err)
{
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = cis_str_of(ref), .note = "merge"};
    return cis_history_merge(&fx->h, theirs, &how, &done, err);
}

static void collect(struct fx *fx)
{
    struct cis_retention keep = {.runs = 0, .grace_ms = 1};
    struct cis_gc_counts out;
    usleep(3000);
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
}

static void what_was_removed_stays_so_when_an_older_state_is_merged(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "secret", "1");
    struct cis_view older = fx_head(fx, "side");
    fx_text(fx, "side", "other", "1");
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    fx_remove(fx, "main", "secret");
    struct cis_view before = fx_head(fx, "main");
    assert_ok(merge_into(fx, "main", older, err));
    assert_int_equal(fx_head(fx, "main").epoch, before.epoch);
    fx_text(fx, "side", "more", "1");
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    assert_int_equal(fx_ino(fx, "main", "secret"), 0);
    assert_int_not_equal(fx_ino(fx, "main", "more"), 0);
}

static void what_was_removed_stays_so_when_it_came_through_a_branch_that_is_gone(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "dev");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "dev", "secret", "1");
    fx_fork(fx, fx_head(fx, "dev"), "of-dev");
    fx_text(fx, "of-dev", "also", "1");
    assert_ok(merge_into(fx, "side", fx_head(fx, "of-dev"), err));
    fx_text(fx, "side", "own", "1");
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    fx_remove(fx, "main", "secret");
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("side"), CIS_STR(""), NULL, err));
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("of-dev"), CIS_STR(""), NULL, err));
    collect(fx);
    collect(fx);
    struct cis_branches branches = {0};
    assert_ok(cis_branches_load(&fx->h, &branches, err));
    assert_int_equal(branches.n, 2);
    cis_branches_done(&branches);
    fx_text(fx, "dev", "more", "1");
    assert_ok(merge_into(fx, "main", fx_head(fx, "dev"), err));
    assert_int_equal(fx_ino(fx, "main", "secret"), 0);
    assert_int_not_equal(fx_ino(fx, "main", "more"), 0);
    fx_whole(fx);
}

static void merges_that_the_first_version_recorded_count(void **state)
{
    struct fx *fx = *state;
    struct edit e;
    struct cis_history_done done;
    char note[64];
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "secret", "1");
    struct cis_view merged = fx_head(fx, "side");
    snprintf(note, sizeof note, "cis fs merge side [merged %u@%u]", (unsigned)merged.branch,
             (unsigned)merged.epoch);
    assert_ok(cis_edit_open(&e, &fx->h, CIS_STR("main"), err));
    e.always = true; /* it came, and went before anybody looked */
    assert_ok(cis_edit_commit(&e, "merge", note, &done, err));
    cis_edit_done(&e);
    fx_text(fx, "side", "more", "1");
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    assert_int_equal(fx_ino(fx, "main", "secret"), 0);
    assert_int_not_equal(fx_ino(fx, "main", "more"), 0);
    /* A note of another command says nothing, whatever it ends with. */
    fx_fork(fx, (struct cis_view){1, 1}, "third");
    assert_ok(cis_edit_open(&e, &fx->h, CIS_STR("third"), err));
    e.always = true;
    assert_ok(cis_edit_commit(&e, "fs", note, &done, err));
    cis_edit_done(&e);
    assert_ok(merge_into(fx, "third", fx_head(fx, "side"), err));
    assert_int_not_equal(fx_ino(fx, "third", "secret"), 0);
}

static void merges_that_overlap_bring_nothing_back(void **state)
{
    struct fx *fx = *state;
    for (int first = 0; first < 2; first++) {
        char a[8], b[8];
        snprintf(a, sizeof a, "a%d", first);
        snprintf(b, sizeof b, "b%d", first);
        fx_text(fx, "main", "f", first == 0 ? "0" : "1");
        fx_fork(fx, fx_head(fx, "main"), a);
        fx_fork(fx, fx_head(fx, "main"), b);
        fx_text(fx, a, "secret", "1");
        fx_text(fx, b, "own", "1");
        struct cis_view a1 = fx_head(fx, a), b1 = fx_head(fx, b);
        assert_ok(merge_into(fx, first == 0 ? a : b, first == 0 ? b1 : a1, err));
        assert_ok(merge_into(fx, first == 0 ? b : a, first == 0 ? a1 : b1, err));
        fx_remove(fx, a, "secret");
        fx_text(fx, b, "own", "2");
        collect(fx);
        assert_ok(merge_into(fx, a, fx_head(fx, b), err));
        assert_int_equal(fx_ino(fx, a, "secret"), 0);
        assert_ok(merge_into(fx, b, fx_head(fx, a), err));
        assert_int_equal(fx_ino(fx, b, "secret"), 0);
        char *x = fx_dump(&fx->h, fx_head(fx, a)), *y = fx_dump(&fx->h, fx_head(fx, b));
        assert_string_equal(x, y);
        free(x);
        free(y);
    }
    fx_whole(fx);
}

static void a_merge_that_changes_nothing_is_remembered(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_fork(fx, fx_head(fx, "main"), "third");
    fx_text(fx, "third", "secret", "1");
    assert_ok(merge_into(fx, "main", fx_head(fx, "third"), err));
    assert_ok(merge_into(fx, "side", fx_head(fx, "third"), err));
    struct cis_view before = fx_head(fx, "main");
    char *x = fx_dump(&fx->h, before);
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    char *y = fx_dump(&fx->h, fx_head(fx, "main"));
    assert_string_equal(x, y);
    assert_int_equal(fx_head(fx, "main").epoch, before.epoch + 1);
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    assert_int_equal(fx_head(fx, "main").epoch, before.epoch + 1);
    fx_whole(fx);
    free(x);
    free(y);
}

static void merges_go_on_from_the_last_time_after_gc(void **state)
{
    struct fx *fx = *state;
    char name[16];
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "secret", "1");
    big_text(fx, "side", "big", '1');
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    fx_remove(fx, "main", "secret");
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "n%d", i);
        fx_text(fx, "side", name, "1");
        fx_text(fx, "main", "f", name);
        collect(fx);
    }
    big_text(fx, "side", "big", '2');
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    assert_int_equal(fx_ino(fx, "main", "secret"), 0);
    assert_int_not_equal(fx_ino(fx, "main", "n5"), 0);
    fx_whole(fx);
}

static bool take_lasting(void *self, const struct cis_fs_pin *pin)
{
    return pin->until_ms != INT64_MAX || cis_numbers_add(self, pin->id, NULL) == CIS_OK;
}

static bool count_passing(void *self, const struct cis_fs_pin *pin)
{
    *(unsigned *)self += pin->until_ms != INT64_MAX;
    return true;
}

static unsigned passing_pins(struct fx *fx)
{
    unsigned n = 0;
    assert_ok(cis_store_pins(fx->store, fx->h.tenant, count_passing, &n, NULL, err));
    return n;
}

/* What a merge looks at is pinned while it does: the states and each base. */
static void no_pin_outlives_a_merge_however_it_ends(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    unsigned before = passing_pins(fx);
    for (int i = 0; i < 3; i++) { /* the second from a base that is a merge; the third conflicts */
        char name[8];
        snprintf(name, sizeof name, "n%d", i);
        fx_text(fx, "side", i < 2 ? name : "f", "theirs");
        fx_text(fx, "main", "f", "ours");
        assert_int_equal(merge_into(fx, "main", fx_head(fx, "side"), NULL),
                         i < 2 ? CIS_OK : CIS_E_CONFLICT);
        assert_int_equal(passing_pins(fx), before);
        assert_int_equal(merge_into(fx, "side", fx_head(fx, "main"), NULL),
                         i < 2 ? CIS_OK : CIS_E_CONFLICT);
        assert_int_equal(passing_pins(fx), before);
    }
}

static void a_merge_whose_base_went_goes_from_the_fork_and_is_careful(void **state)
{
    struct fx *fx = *state;
    struct numbers pins = {0};
    fx_text(fx, "main", "f", "0");
    fx_text(fx, "main", "turned", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "secret", "1");
    fx_text(fx, "side", "turned", "1");
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err));
    fx_text(fx, "side", "later", "1");
    fx_text(fx, "main", "own", "1");
    assert_ok(cis_store_pins(fx->store, fx->h.tenant, take_lasting, &pins, NULL, err));
    assert_int_equal(pins.n, 1);
    for (int i = 0; i < 2; i++) { /* as a program did that did not know of them */
        uint64_t id;
        assert_ok(
            cis_store_squash(fx->store, fx->h.tenant,
                             &(struct cis_fs_squash_request){fx_head(fx, "side").branch,
                                                             fx_head(fx, "side").epoch, NULL, 0},
                             NULL, err));
        if (i == 0) {
            assert_ok(cis_store_pin(
                fx->store, fx->h.tenant,
                &(struct cis_fs_pin_request){fx_head(fx, "side"), pins.at[0], 0}, &id, NULL, err));
        }
    }
    collect(fx);
    assert_ok(merge_into(fx, "main", fx_head(fx, "side"), err)); /* only what side did since */
    assert_int_not_equal(fx_ino(fx, "main", "later"), 0);
    cis_numbers_done(&pins);
    fx_whole(fx);
}

static bool no_value(void *self, const struct cis_kv_entry *entry)
{
    (void)self;
    (void)entry;
    return true;
}

/* As a program did that did not know of them. */
static void forget_bases(struct fx *fx)
{
    struct numbers pins = {0};
    uint64_t id;
    assert_ok(cis_store_pins(fx->store, fx->h.tenant, take_lasting, &pins, NULL, err));
    assert_int_not_equal(pins.n, 0);
    for (size_t i = 0; i < pins.n; i++) {
        assert_ok(cis_store_pin(fx->store, fx->h.tenant,
                                &(struct cis_fs_pin_request){{1, 0}, pins.at[i], 0}, &id, NULL,
                                err));
    }
    cis_numbers_done(&pins);
}

static void a_snapshot_is_merged_from_the_last_time_after_gc(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "own", "1");
    fx_text(fx, "main", "secret", "1");
    assert_ok(merge_into(fx, "side", fx_head(fx, "main"), err));
    struct cis_view kept = fx_head(fx, "side");
    fx_snapshot(fx, kept, "release");
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("side"), CIS_STR(""), NULL, err));
    fx_remove(fx, "main", "secret");
    for (int i = 0; i < 4; i++) {
        fx_text(fx, "main", "f", i % 2 == 0 ? "1" : "2");
        collect(fx);
    }
    assert_ok(merge_into(fx, "main", kept, err));
    assert_int_equal(fx_ino(fx, "main", "secret"), 0);
    assert_int_not_equal(fx_ino(fx, "main", "own"), 0);
    fx_whole(fx);
}

static void a_merge_goes_on_when_its_base_and_what_led_to_it_are_forgotten(void **state)
{
    struct fx *fx = *state;
    struct cis_view zero = {fx_head(fx, "main").branch, 0};
    fx_text(fx, "main", "f", "0");
    fx_memory(fx, "main", "k", "1");
    collect(fx); /* forgets what these changed */
    fx_fork(fx, zero, "apart");
    fx_text(fx, "apart", "own", "1");
    fx_text(fx, "main", "g", "0");
    assert_ok(merge_into(fx, "apart", fx_head(fx, "main"), err));
    fx_memory(fx, "apart", "theirs", "1");
    fx_text(fx, "main", "later", "1");
    forget_bases(fx);
    assert_ok(cis_store_squash(
        fx->store, fx->h.tenant,
        &(struct cis_fs_squash_request){zero.branch, fx_head(fx, "main").epoch, NULL, 0}, NULL,
        err));
    assert_ok(merge_into(fx, "main", fx_head(fx, "apart"), err));
    assert_int_not_equal(fx_ino(fx, "main", "own"), 0);
    assert_int_not_equal(fx_ino(fx, "main", "later"), 0);
    bool found;
    assert_ok(cis_store_kv_get(fx->store, fx->h.tenant,
                               &(struct cis_kv_get_query){fx_head(fx, "main"), CIS_STR("skill"),
                                                          CIS_STR("theirs"), no_value, NULL},
                               &found, NULL, err));
    assert_true(found);
    fx_whole(fx);
}

static void what_both_touched_since_a_base_that_is_too_old_is_a_conflict(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "secret", "1");
    struct cis_view merged = fx_head(fx, "side");
    assert_ok(merge_into(fx, "main", merged, err));
    fx_text(fx, "side", "later", "1");
    struct numbers pins = {0};
    uint64_t id;
    assert_ok(cis_store_pins(fx->store, fx->h.tenant, take_lasting, &pins, NULL, err));
    assert_ok(cis_store_pin(fx->store, fx->h.tenant,
                            &(struct cis_fs_pin_request){merged, pins.at[0], 0}, &id, NULL, err));
    assert_ok(cis_store_squash(
        fx->store, fx->h.tenant,
        &(struct cis_fs_squash_request){merged.branch, merged.epoch + 1, NULL, 0}, NULL, err));
    fx_remove(fx, "main", "secret");
    assert_fails(CIS_E_CONFLICT, "secret", merge_into(fx, "main", fx_head(fx, "side"), err));
    cis_numbers_done(&pins);
    fx_whole(fx);
}

/* side took it back after main got it: by the fork alone, side would have done nothing. */
static void memory_that_both_touched_since_a_base_that_is_too_old_is_a_conflict(void **state)
{
    struct fx *fx = *state;
    fx_memory(fx, "main", "k", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_memory(fx, "side", "k", "1");
    struct cis_view merged = fx_head(fx, "side");
    assert_ok(merge_into(fx, "main", merged, err));
    fx_memory(fx, "side", "k", "0");
    struct numbers pins = {0};
    uint64_t id;
    assert_ok(cis_store_pins(fx->store, fx->h.tenant, take_lasting, &pins, NULL, err));
    assert_ok(cis_store_pin(fx->store, fx->h.tenant,
                            &(struct cis_fs_pin_request){merged, pins.at[0], 0}, &id, NULL, err));
    assert_ok(cis_store_squash(
        fx->store, fx->h.tenant,
        &(struct cis_fs_squash_request){merged.branch, merged.epoch + 1, NULL, 0}, NULL, err));
    assert_fails(CIS_E_CONFLICT, "memory skill k: changed on both sides",
                 merge_into(fx, "main", fx_head(fx, "side"), err));
    cis_numbers_done(&pins);
    fx_whole(fx);
}

static void a_merge_of_very_many_branches_is_remembered_to_the_end(void **state)
{
    struct fx *fx = *state;
    char name[24];
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "all");
    for (int i = 0; i < 120; i++) {
        snprintf(name, sizeof name, "agent-%d", i);
        fx_fork(fx, fx_head(fx, "main"), name);
        fx_text(fx, name, name, "1");
        assert_ok(merge_into(fx, "all", fx_head(fx, name), err));
    }
    assert_ok(merge_into(fx, "main", fx_head(fx, "all"), err));
    fx_remove(fx, "main", "agent-0");
    fx_remove(fx, "main", "agent-119");
    assert_ok(
        cis_store_ref_remove(fx->store, fx->h.tenant, CIS_STR("all"), CIS_STR(""), NULL, err));
    collect(fx);
    struct cis_view before = fx_head(fx, "main");
    for (int i = 0; i < 120; i++) {
        snprintf(name, sizeof name, "agent-%d", i);
        assert_ok(merge_into(fx, "main", fx_head(fx, name), err));
        assert_int_equal(fx_head(fx, "main").epoch, before.epoch);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_pair_of_changes_merges_or_is_a_named_conflict),
        TEST(changes_that_are_alike_are_no_conflict),
        TEST(branches_that_merge_again_and_again_go_from_the_last_time),
        TEST(a_mounted_branch_takes_no_merge),
        TEST(a_dry_run_finds_conflicts_and_changes_nothing),
        TEST(all_conflicts_are_named_by_one_look_at_the_names_of_each_side),
        TEST(undo_of_a_directory_that_was_renamed_since_is_a_conflict),
        TEST(undo_of_a_file_that_was_renamed_or_linked_since_is_a_conflict),
        TEST(an_edit_that_would_break_the_tree_is_refused),
        TEST(two_commits_that_bring_one_file_back_are_a_conflict),
        TEST(files_of_one_size_time_and_epoch_are_compared_by_their_content),
        TEST(what_was_removed_stays_so_when_an_older_state_is_merged),
        TEST(what_was_removed_stays_so_when_it_came_through_a_branch_that_is_gone),
        TEST(merges_that_the_first_version_recorded_count),
        TEST(merges_that_overlap_bring_nothing_back),
        TEST(a_merge_that_changes_nothing_is_remembered),
        TEST(merges_go_on_from_the_last_time_after_gc),
        TEST(no_pin_outlives_a_merge_however_it_ends),
        TEST(a_merge_whose_base_went_goes_from_the_fork_and_is_careful),
        TEST(a_snapshot_is_merged_from_the_last_time_after_gc),
        TEST(a_merge_goes_on_when_its_base_and_what_led_to_it_are_forgotten),
        TEST(what_both_touched_since_a_base_that_is_too_old_is_a_conflict),
        TEST(memory_that_both_touched_since_a_base_that_is_too_old_is_a_conflict),
        TEST(a_merge_of_very_many_branches_is_remembered_to_the_end),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
