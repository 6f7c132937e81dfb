/* Naming states, the log, diff, undo, restore, rollback, other stores. */
#include "fixture.h"

#include "base/file.h"
#include "history/move.h"
#include "history/text.h"
#include "store/calls.h"

static void views_are_the_same(struct cis_view a, struct cis_view b)
{
    assert_int_equal(a.branch, b.branch);
    assert_int_equal(a.epoch, b.epoch);
}

static struct cis_rev rev(struct fx *fx, const char *text)
{
    struct cis_rev out;
    assert_ok(cis_history_resolve(&fx->h, cis_str_of(text), &out, err));
    return out;
}

static void states_have_names(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "a", "1");
    struct cis_view first = fx_head(fx, "main");
    fx_text(fx, "main", "a", "2");
    struct cis_view second = fx_head(fx, "main");
    fx_snapshot(fx, first, "before");
    fx_fork(fx, second, "work@home");
    char text[64];
    views_are_the_same(rev(fx, "").view, second);
    views_are_the_same(rev(fx, "main").view, second);
    views_are_the_same(rev(fx, "main^").view, first);
    views_are_the_same(rev(fx, "main~1").view, first);
    snprintf(text, sizeof text, "main@%llu", (unsigned long long)first.epoch);
    views_are_the_same(rev(fx, text).view, first);
    snprintf(text, sizeof text, "@%llu", (unsigned long long)first.epoch);
    views_are_the_same(rev(fx, text).view, first);
    views_are_the_same(rev(fx, "before").view, first);
    views_are_the_same(rev(fx, "snapshot:before").view, first);
    assert_true(rev(fx, "work@home").head);
    views_are_the_same(rev(fx, "work@home^").view, first);
    assert_string_equal(rev(fx, "").ref, "main");
}

static void a_state_that_is_not_there_is_named_in_the_error(void **state)
{
    struct fx *fx = *state;
    struct cis_rev out;
    fx_text(fx, "main", "a", "1");
    assert_fails(CIS_E_NOTFOUND, "nosuch: no branch",
                 cis_history_resolve(&fx->h, CIS_STR("nosuch"), &out, err));
    assert_fails(CIS_E_NOTFOUND, "main@99",
                 cis_history_resolve(&fx->h, CIS_STR("main@99"), &out, err));
    assert_fails(CIS_E_NOTFOUND, "main~99",
                 cis_history_resolve(&fx->h, CIS_STR("main~99"), &out, err));
    assert_fails(CIS_E_USAGE, "main~x", cis_history_resolve(&fx->h, CIS_STR("main~x"), &out, err));
    assert_fails(CIS_E_NOTFOUND, "snapshot:x",
                 cis_history_resolve(&fx->h, CIS_STR("snapshot:x"), &out, err));
    assert_fails(CIS_E_NOTFOUND, "../x", cis_history_resolve(&fx->h, CIS_STR("../x"), &out, err));
}

struct lines {
    struct cis_buf text;
};

static bool note_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct cis_buf *text = self;
    cis_buf_str(text, row->note);
    cis_buf_byte(text, '\n');
    return true;
}

static void the_log_goes_on_into_the_branch_that_was_forked(void **state)
{
    struct fx *fx = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    fx_text(fx, "main", "one", "1");
    fx_text(fx, "main", "two", "2");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "main", "not-on-side", "x");
    fx_text(fx, "side", "three", "3");
    assert_ok(cis_history_log(&fx->h, fx_head(fx, "side"), 3, false, note_commit, &text, err));
    assert_string_equal(cis_buf_cstr(&text), "three\ntwo\none\n");
}

/* ---- diff ---- */
static bool note_change(void *self, const struct cis_change *c)
{
    struct cis_buf *text = self;
    cis_buf_printf(text, "%c %.*s%s%.*s%s\n", c->what, (int)c->path.len, c->path.ptr,
                   c->from.len != 0 ? " < " : "", (int)c->from.len,
                   c->from.len != 0 ? c->from.ptr : "", c->content ? "" : " (attributes)");
    return true;
}

static void diff_is(struct fx *fx, struct cis_view a, struct cis_view b, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_history_diff(&fx->h, a, b, note_change, &text, err));
    assert_string_equal(cis_buf_cstr(&text), expected);
}

static void diff_names_what_was_added_changed_removed_and_renamed(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "d/changed", "1");
    fx_text(fx, "main", "d/gone", "1");
    fx_text(fx, "main", "d/old-name", "1");
    fx_text(fx, "main", "d/mode", "1");
    fx_text(fx, "main", "d/same", "1");
    struct cis_view a = fx_head(fx, "main");
    fx_text(fx, "main", "d/changed", "2");
    fx_remove(fx, "main", "d/gone");
    fx_rename(fx, "main", "d/old-name", "d/new-name");
    fx_chmod(fx, "main", "d/mode", 0600);
    fx_text(fx, "main", "d/e/new", "x");
    struct cis_view b = fx_head(fx, "main");
    diff_is(fx, a, b,
            "M d/changed\nA d/e\nA d/e/new\nD d/gone\nM d/mode (attributes)\nR d/new-name < "
            "d/old-name (attributes)\n");
    diff_is(fx, b, a,
            "M d/changed\nD d/e\nD d/e/new\nA d/gone\nM d/mode (attributes)\nR d/old-name < "
            "d/new-name (attributes)\n");
    diff_is(fx, a, a, "");
}

struct depths {
    size_t n, cut;
    struct cis_str name;
};

static bool note_depth(void *self, const struct cis_change *c)
{
    struct depths *d = self;
    const size_t mark = strlen(CIS_HISTORY_CUT);
    assert_int_equal(c->what, 'A');
    assert_true(c->path.len <= CIS_HISTORY_PATH_MAX + (c->cut ? mark : 0));
    assert_int_equal(cis_str_starts(c->path, CIS_STR(CIS_HISTORY_CUT)), c->cut);
    if (c->cut) { /* whole names, and as many as fit */
        size_t left = c->path.len - mark;
        assert_int_equal(left % (d->name.len + 1), d->name.len);
        assert_true(left + d->name.len + 1 > CIS_HISTORY_PATH_MAX);
    } else {
        assert_int_equal(c->path.len, (d->n - d->cut + 1) * (d->name.len + 1) - 1);
    }
    d->n++;
    d->cut += c->cut;
    return true;
}

/* A guest makes folders inside each other without end. */
static void diff_tells_the_end_of_a_path_of_any_length(void **state)
{
    struct fx *fx = *state;
    char name[CIS_FS_NAME_MAX + 1] = "";
    memset(name, 'n', 250);
    const struct {
        const char *name;
        size_t n;
    } cases[] = {{name, 3000}, {"d", fx_is_sqlite() ? 70000 : 5000}};
    for (size_t i = 0; i < 2; i++) {
        struct depths d = {.name = cis_str_of(cases[i].name)};
        struct cis_view from = fx_head(fx, "main");
        fx_deep(fx, "main", cases[i].name, cases[i].n);
        assert_ok(cis_history_diff(&fx->h, from, fx_head(fx, "main"), note_depth, &d, err));
        assert_int_equal(d.n, cases[i].n);
        assert_int_equal(d.n - d.cut, (CIS_HISTORY_PATH_MAX + 1) / (d.name.len + 1));
    }
}

static void diff_finds_the_names_of_a_file_that_changed_under_them(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "a/b/c/deep", "1");
    fx_link(fx, "main", "a/b/c/deep", "other");
    fx_fork(fx, fx_head(fx, "main"), "side");
    struct cis_view a = fx_head(fx, "side");
    fx_rename(fx, "side", "a/b", "moved");
    fx_text(fx, "side", "other", "2");
    diff_is(fx, a, fx_head(fx, "side"), "R moved < a/b (attributes)\nM moved/c/deep\nM other\n");
}

static void diff_tells_a_change_of_a_file_that_went_and_came_back_by_its_name(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "old");
    fx_text(fx, "main", "kept", "as it is");
    struct cis_view before = fx_head(fx, "main");
    fx_rename(fx, "main", "f", "away");
    fx_rename(fx, "main", "kept", "too");
    fx_text(fx, "main", "away", "new");
    fx_rename(fx, "main", "away", "f");
    fx_rename(fx, "main", "too", "kept");
    diff_is(fx, before, fx_head(fx, "main"), "M f\n");
}

static void diff_of_two_forks_is_what_both_did(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "same", "1");
    fx_fork(fx, fx_head(fx, "main"), "x");
    fx_fork(fx, fx_head(fx, "main"), "y");
    fx_text(fx, "x", "of-x", "1");
    fx_text(fx, "y", "of-y", "1");
    fx_remove(fx, "y", "same");
    diff_is(fx, fx_head(fx, "x"), fx_head(fx, "y"), "D of-x\nA of-y\nD same\n");
}

static void diff_sees_content_behind_times_that_were_set_back(void **state)
{
    struct fx *fx = *state;
    struct edit e;
    struct edit_file *file;
    fx_text(fx, "main", "a", "1111");
    struct cis_view a = fx_head(fx, "main");
    struct cis_fs_inode was, *row;
    assert_ok(cis_history_row_read(&fx->h, a, fx_ino(fx, "main", "a"), &was, err));
    assert_ok(cis_edit_open(&e, &fx->h, CIS_STR("main"), err));
    assert_ok(cis_edit_file(&e, was.ino, &file, err));
    assert_ok(cis_edit_row(&e, file, &row, err));
    row->data = (struct cis_bytes){(const uint8_t *)"2222", 4};
    row->ctime = e.now;
    file->put = true;
    struct cis_history_done done;
    assert_ok(cis_edit_commit(&e, "fs", "", &done, err));
    cis_edit_done(&e);
    diff_is(fx, a, fx_head(fx, "main"), "M a\n");
}

/* ---- rollback, undo, restore ---- */
static void rollback_is_another_branch_by_the_old_name(void **state)
{
    struct fx *fx = *state;
    struct cis_view head;
    fx_text(fx, "main", "a", "1");
    struct cis_view first = fx_head(fx, "main");
    char *before = fx_dump_exact(&fx->h, first);
    fx_text(fx, "main", "a", "2");
    fx_text(fx, "main", "b", "2");
    struct cis_view later = fx_head(fx, "main");
    assert_ok(cis_history_rollback(&fx->h, CIS_STR("main"), first, CIS_STR("test"), &head, err));
    char *after = fx_dump_exact(&fx->h, fx_head(fx, "main"));
    assert_string_equal(before, after);
    diff_is(fx, later, head, "M a\nD b\n");
    assert_ok(cis_history_rollback(&fx->h, CIS_STR("main"), later, CIS_STR("test"), &head, err));
    diff_is(fx, later, fx_head(fx, "main"), "");
    free(before);
    free(after);
    fx_whole(fx);
}

static void undo_takes_back_one_commit_and_keeps_what_came_after(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "undo"};
    fx_text(fx, "main", "d/a", "1");
    fx_text(fx, "main", "d/b", "1");
    struct cis_view before = fx_head(fx, "main");
    fx_remove(fx, "main", "d");
    struct cis_view removed = fx_head(fx, "main");
    fx_text(fx, "main", "later", "x");
    assert_ok(cis_history_undo(&fx->h, removed, &how, &done, err));
    diff_is(fx, before, fx_head(fx, "main"), "A later\n");
    fx_whole(fx);
    /* And the undo of the undo. */
    assert_ok(cis_history_undo(&fx->h, done.at.view, &how, &done, err));
    diff_is(fx, removed, fx_head(fx, "main"), "A later\n");
    fx_whole(fx);
}

static void undo_of_what_was_changed_since_is_a_conflict(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main")};
    fx_text(fx, "main", "a", "1");
    fx_text(fx, "main", "a", "2");
    struct cis_view second = fx_head(fx, "main");
    fx_text(fx, "main", "a", "3");
    struct cis_view third = fx_head(fx, "main");
    assert_fails(CIS_E_CONFLICT, "a: changed on both sides",
                 cis_history_undo(&fx->h, second, &how, &done, err));
    views_are_the_same(fx_head(fx, "main"), third);
}

struct value {
    char text[16];
};

static bool take_value(void *self, const struct cis_kv_entry *entry)
{
    struct value *v = self;
    snprintf(v->text, sizeof v->text, "%.*s", (int)entry->value.len,
             (const char *)entry->value.ptr);
    return true;
}

static void the_state_before_every_commit_cannot_be_undone(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main")};
    fx_text(fx, "main", "f", "x");
    struct cis_view before = fx_head(fx, "main"), first = {before.branch, 0};
    assert_fails(CIS_E_NOTFOUND, "there is nothing before it",
                 cis_history_undo(&fx->h, first, &how, &done, err));
    struct cis_view now = fx_head(fx, "main");
    assert_true(now.branch == before.branch && now.epoch == before.epoch);
}

static void undo_takes_back_skill_memory_too(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main")};
    fx_memory(fx, "main", "k", "old");
    fx_memory(fx, "main", "k", "new");
    assert_ok(cis_history_undo(&fx->h, fx_head(fx, "main"), &how, &done, err));
    struct value now = {""};
    bool found = false;
    assert_ok(cis_store_kv_get(
        fx->store, fx->h.tenant,
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("skill"), CIS_STR("k"), take_value, &now},
        &found, NULL, err));
    assert_true(found);
    assert_string_equal(now.text, "old");
}

static void restore_makes_a_path_what_it_was_and_nothing_else(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "restore"};
    uint8_t *big = malloc(300000);
    for (size_t i = 0; i < 300000; i++) {
        big[i] = (uint8_t)(i * i >> 7);
    }
    fx_write(fx, "main", "d/big", big, 300000);
    fx_text(fx, "main", "d/e/small", "1");
    fx_link(fx, "main", "d/e/small", "d/e/second");
    struct cis_view old = fx_head(fx, "main");
    fx_remove(fx, "main", "d/e");
    big[70000] ^= 1;
    fx_write(fx, "main", "d/big", big, 300000);
    fx_text(fx, "main", "d/new", "x");
    fx_text(fx, "main", "other", "x");
    struct cis_view head = fx_head(fx, "main");
    assert_ok(cis_history_restore(&fx->h, old, CIS_STR("/d/e/small"), &how, &done, err));
    diff_is(fx, head, fx_head(fx, "main"), "A d/e\nA d/e/small\n");
    assert_ok(cis_history_restore(&fx->h, old, CIS_STR("d"), &how, &done, err));
    diff_is(fx, old, fx_head(fx, "main"), "A other\n");
    assert_int_equal(fx_ino(fx, "main", "d/e/small"), fx_ino(fx, "main", "d/e/second"));
    fx_whole(fx);
    struct cis_view now = fx_head(fx, "main");
    assert_ok(cis_history_restore(&fx->h, old, CIS_STR("d"), &how, &done, err));
    views_are_the_same(now, fx_head(fx, "main"));
    assert_fails(CIS_E_NOTFOUND, "d/nosuch",
                 cis_history_restore(&fx->h, old, CIS_STR("d/nosuch"), &how, &done, err));
    free(big);
}

static void quota(struct fx *fx, uint64_t files, uint64_t bytes)
{
    struct cis_tenant row = {.quota_files = files, .quota_bytes = bytes};
    assert_ok(cis_store_tenant_quota(fx->h.store, fx->h.tenant, &row, NULL, err));
}

static void what_a_quota_refuses_names_the_quota_and_a_file(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "test"};
    char text[601];
    memset(text, 'x', sizeof text - 1);
    text[600] = '\0';
    fx_text(fx, "main", "d/small", "1");
    fx_text(fx, "main", "d/e/big", text);
    fx_text(fx, "main", "d/e/less", "12345");
    struct cis_view old = fx_head(fx, "main");
    fx_fork(fx, old, "other");
    fx_text(fx, "other", "new/deep/one", "1");
    fx_text(fx, "other", "d/e/big", "shorter");
    fx_remove(fx, "main", "d/e");
    struct cis_view removed = fx_head(fx, "main");
    quota(fx, 0, 500);
    const char *why = "bytes of files: 606 would be used, the quota is 500; d/e/big grew the most, "
                      "by 600 bytes";
    assert_fails(CIS_E_QUOTA, why, cis_history_undo(&fx->h, removed, &how, &done, err));
    assert_fails(CIS_E_QUOTA, why,
                 cis_history_restore(&fx->h, old, CIS_STR("d/e"), &how, &done, err));
    quota(fx, 0, 0);
    assert_ok(cis_history_undo(&fx->h, removed, &how, &done, err));
    fx_text(fx, "main", "d/e/big", "");
    struct cis_view cut = fx_head(fx, "main");
    quota(fx, 0, 500); /* its name does not change */
    assert_fails(CIS_E_QUOTA, "d/e/big grew the most, by 600 bytes",
                 cis_history_undo(&fx->h, cut, &how, &done, err));
    assert_ok(fx_back_to(fx, "main", "main~3", err));
    quota(fx, 5, 0);
    assert_fails(CIS_E_QUOTA, "the quota is 5; new is one of 3 new ones",
                 cis_history_merge(&fx->h, fx_head(fx, "other"), &how, &done, err));
    fx_whole(fx);
}

static void restore_of_everything_equals_the_old_state(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "restore"};
    fx_text(fx, "main", "a/x", "1");
    fx_text(fx, "main", "b", "1");
    struct cis_view old = fx_head(fx, "main");
    char *before = fx_dump(&fx->h, old);
    fx_rename(fx, "main", "a", "c");
    fx_remove(fx, "main", "b");
    fx_text(fx, "main", "a", "now a file");
    fx_text(fx, "main", "b/c", "now a folder");
    assert_ok(cis_history_restore(&fx->h, old, CIS_STR("/"), &how, &done, err));
    char *after = fx_dump(&fx->h, fx_head(fx, "main"));
    assert_string_equal(before, after);
    free(before);
    free(after);
    fx_whole(fx);
}

/* ---- other stores ---- */
struct meddler {
    struct fx *other;
    bool commits;
};

/* Cancels, when somebody has committed to the branch that is being made, or nobody. */
static bool meddle(void *self, const struct cis_move_counts *counts, struct cis_str path)
{
    struct meddler *m = self;
    (void)counts, (void)path;
    if (m->commits) {
        m->commits = false;
        fx_text(m->other, "copy", "precious", "of another");
    }
    return false;
}

static void a_sending_that_ends_early_takes_away_its_own_branch_alone(void **state)
{
    struct fx *fx = *state;
    struct fx other = {.dir = test_dir_new()};
    struct cis_move_counts counts;
    struct cis_error ignored;
    struct cis_fs_ref ref;
    fx_open(&other, other.dir);
    fx_text(fx, "main", "small", "x");
    struct meddler m = {&other, false};
    assert_fails(CIS_E_CANCELLED, "",
                 cis_history_send(&fx->h, fx_head(fx, "main"), &other.h, CIS_STR("copy"), "send",
                                  meddle, &m, &counts, err));
    assert_fails(
        CIS_E_NOTFOUND, "copy",
        cis_store_ref_get(other.h.store, other.h.tenant, CIS_STR("copy"), &ref, NULL, err));
    m.commits = true;
    assert_fails(CIS_E_CANCELLED, "",
                 cis_history_send(&fx->h, fx_head(fx, "main"), &other.h, CIS_STR("copy"), "send",
                                  meddle, &m, &counts, err));
    char *there = fx_dump(&other.h, fx_head(&other, "copy"));
    assert_non_null(strstr(there, "precious"));
    free(there);
    fx_close(&other);
    assert_int_equal(cis_file_remove_tree(other.dir, &ignored), CIS_OK);
    free(other.dir);
}

static void only_content_that_the_other_store_lacks_is_sent(void **state)
{
    struct fx *fx = *state;
    struct fx other = {.dir = test_dir_new()};
    struct cis_move_counts counts;
    struct cis_error ignored;
    fx_open(&other, other.dir);
    uint8_t *big = malloc(1u << 20);
    for (size_t i = 0; i < 1u << 20; i++) {
        big[i] = (uint8_t)((i * 2654435761u) >> 13);
    }
    fx_write(fx, "main", "d/big", big, 1u << 20);
    fx_text(fx, "main", "small", "x");
    fx_link(fx, "main", "d/big", "second");
    assert_ok(cis_history_send(&fx->h, fx_head(fx, "main"), &other.h, CIS_STR("copy"), "send", NULL,
                               NULL, &counts, err));
    assert_int_equal(counts.chunks_sent, 16);
    char *here = fx_dump(&fx->h, fx_head(fx, "main"));
    char *there = fx_dump(&other.h, fx_head(&other, "copy"));
    assert_string_equal(here, there);
    free(here);
    free(there);
    big[500000] ^= 1;
    fx_write(fx, "main", "d/big", big, 1u << 20);
    fx_remove(fx, "main", "small");
    assert_ok(cis_history_send(&fx->h, fx_head(fx, "main"), &other.h, CIS_STR("copy"), "send", NULL,
                               NULL, &counts, err));
    assert_int_equal(counts.chunks_sent, 1);
    struct cis_view sent = fx_head(&other, "copy");
    here = fx_dump(&fx->h, fx_head(fx, "main"));
    there = fx_dump(&other.h, sent);
    assert_string_equal(here, there);
    assert_ok(cis_history_send(&fx->h, fx_head(fx, "main"), &other.h, CIS_STR("copy"), "send", NULL,
                               NULL, &counts, err));
    assert_int_equal(counts.chunks_sent, 0);
    diff_is(&other, sent, fx_head(&other, "copy"), "");
    views_are_the_same(sent, fx_head(&other, "copy"));
    fx_whole(&other);
    free(here);
    free(there);
    free(big);
    fx_close(&other);
    assert_int_equal(cis_file_remove_tree(other.dir, &ignored), CIS_OK);
    free(other.dir);
}

/* ---- text ---- */
static void text_is(const char *a, const char *b, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_text_diff(cis_bytes_of(a, strlen(a)), cis_bytes_of(b, strlen(b)), CIS_STR("a"),
                            CIS_STR("b"), 1, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void a_text_diff_is_the_shortest_one(void **state)
{
    (void)state;
    text_is("x\n", "x\n", "");
    text_is("", "x\n", "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n");
    text_is("x\n", "", "--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n");
    text_is("x", "x\n", "--- a\n+++ b\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x\n");
    text_is("a\nb\nc\nd\ne\nf\ng\n", "a\nB\nc\nd\ne\nf\nG\n",
            "--- a\n+++ b\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -6,2 +6,2 @@\n f\n-g\n+G\n");
    text_is("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n",
            "--- a\n+++ b\n@@ -1,7 +1,6 @@\n-a\n+c\n b\n-c\n a\n b\n-b\n a\n+c\n");
}

/* Applies what a diff says to the old text: the new one comes out. */
static char *patch(const char *old, const char *diff)
{
    struct cis_buf out = CIS_BUF_INIT(1u << 24);
    int line = 1;
    const char *at = strstr(diff, "@@");
    while (at != NULL && *at != 0) {
        const char *end = strchr(at, '\n') + 1;
        int from;
        if (sscanf(at, "@@ -%d", &from) == 1) {
            const char *count = strchr(at + 4, ',');
            if (count != NULL && count < strchr(at + 4, ' ') && strncmp(count, ",0 ", 3) == 0) {
                from++; /* behind that line */
            }
            for (; line < from; line++) {
                const char *nl = strchr(old, '\n') + 1;
                cis_buf_add(&out, old, (size_t)(nl - old));
                old = nl;
            }
        } else if (*at == '-' || *at == ' ') {
            if (*at == ' ') {
                cis_buf_add(&out, at + 1, (size_t)(end - at - 1));
            }
            old = strchr(old, '\n') + 1;
            line++;
        } else {
            cis_buf_add(&out, at + 1, (size_t)(end - at - 1));
        }
        at = end;
    }
    cis_buf_text(&out, old);
    char *text = strdup(cis_buf_cstr(&out));
    cis_buf_done(&out);
    return text;
}

static void any_text_diff_turns_one_text_into_the_other(void **state)
{
    unsigned seed = test_seed();
    (void)state;
    for (int round = 0; round < 3000; round++) {
        char a[2048] = "", b[2048] = "";
        size_t na = 0, nb = 0;
        int lines = rand_r(&seed) % 60, kinds = 2 + rand_r(&seed) % 20;
        for (int i = 0; i < lines; i++) {
            char line[8];
            snprintf(line, sizeof line, "%d\n", rand_r(&seed) % kinds);
            if (rand_r(&seed) % 4 != 0) {
                na += (size_t)snprintf(a + na, sizeof a - na, "%s", line);
            }
            if (rand_r(&seed) % 4 != 0) {
                nb += (size_t)snprintf(b + nb, sizeof b - nb, "%s", line);
            }
        }
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 20);
        assert_ok(cis_text_diff(cis_bytes_of(a, na), cis_bytes_of(b, nb), CIS_STR("a"),
                                CIS_STR("b"), (unsigned)rand_r(&seed) % 4, &out, NULL, err));
        char *patched = patch(a, cis_buf_cstr(&out));
        if (strcmp(patched, b) != 0) {
            print_message("old:\n%s%s", a, cis_buf_cstr(&out));
        }
        assert_string_equal(patched, b);
        free(patched);
    }
}

static void texts_that_share_nothing_are_compared_in_bounded_time(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT(1u << 22);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1u << 22);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 24);
    for (int i = 0; i < 100000; i++) {
        cis_buf_printf(&a, "a%d\n", i);
        cis_buf_printf(&b, "b%d\n", i);
    }
    uint64_t from = cis_clock_mono_ns();
    assert_ok(cis_text_diff(cis_buf_bytes(&a), cis_buf_bytes(&b), CIS_STR("a"), CIS_STR("b"), 3,
                            &out, NULL, err));
    assert_true(cis_clock_mono_ns() - from < 20 * CIS_NS_PER_S);
}

static void one_comparison_ends_at_its_stop(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT(1u << 22);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1u << 22);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 24);
    struct cis_error why = {0};
    for (int i = 0; i < 100000; i++) { /* both have each tenth line */
        cis_buf_printf(&a, i % 10 == 0 ? "%d\n" : "a%d\n", i);
        cis_buf_printf(&b, i % 10 == 0 ? "%d\n" : "b%d\n", i);
    }
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), CIS_NS_PER_MS), NULL};
    assert_int_equal(cis_text_diff(cis_buf_bytes(&a), cis_buf_bytes(&b), CIS_STR("a"), CIS_STR("b"),
                                   3, &out, &stop, &why),
                     CIS_E_DEADLINE);
    assert_int_equal(out.len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(states_have_names),
        TEST(a_state_that_is_not_there_is_named_in_the_error),
        TEST(the_log_goes_on_into_the_branch_that_was_forked),
        TEST(diff_names_what_was_added_changed_removed_and_renamed),
        TEST(diff_tells_the_end_of_a_path_of_any_length),
        TEST(diff_finds_the_names_of_a_file_that_changed_under_them),
        TEST(diff_tells_a_change_of_a_file_that_went_and_came_back_by_its_name),
        TEST(diff_of_two_forks_is_what_both_did),
        TEST(diff_sees_content_behind_times_that_were_set_back),
        TEST(rollback_is_another_branch_by_the_old_name),
        TEST(undo_takes_back_one_commit_and_keeps_what_came_after),
        TEST(undo_of_what_was_changed_since_is_a_conflict),
        TEST(undo_takes_back_skill_memory_too),
        TEST(the_state_before_every_commit_cannot_be_undone),
        TEST(what_a_quota_refuses_names_the_quota_and_a_file),
        TEST(restore_makes_a_path_what_it_was_and_nothing_else),
        TEST(restore_of_everything_equals_the_old_state),
        TEST(only_content_that_the_other_store_lacks_is_sent),
        TEST(a_sending_that_ends_early_takes_away_its_own_branch_alone),
        cmocka_unit_test(a_text_diff_is_the_shortest_one),
        cmocka_unit_test(any_text_diff_turns_one_text_into_the_other),
        cmocka_unit_test(texts_that_share_nothing_are_compared_in_bounded_time),
        cmocka_unit_test(one_comparison_ends_at_its_stop),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
