/* The contract of what is versioned, but for reading trees: memory at views, refs, forks, rollback,
 * leases, the log, snapshots, pins, tenants, and commits of files as the log shows them. */
#include "harness.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "store/commit.h"
#include "contract.h"

static const struct store_backend *backend;

struct fixture {
    void *place;
    cis_store *s;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->place = backend->place_new();
    f->s = backend->open(f->place);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->s->ops->close(f->s);
    backend->place_free(f->place);
    free(f);
    return 0;
}

/* ---- short forms ---- */

static cis_code commit_to(cis_store *s, const char *ref, const struct cis_kv_op *ops, size_t n,
                          struct cis_fs_committed *out, struct cis_error *err)
{
    struct cis_store_commit c = {.ref = cis_str_of(ref), .kv = ops, .nkv = n, .out = out};
    return s->ops->commit(s, T, &c, NULL, err);
}

/* Puts (or with value NULL removes) one key and gives the view that has it. */
static struct cis_view put(cis_store *s, const char *ref, const char *key, const char *value)
{
    struct cis_kv_op op = value != NULL ? store_put("a", key, value) : store_del("a", key);
    struct cis_fs_committed done = {{0, 0}, 0, 0};
    assert_ok(commit_to(s, ref, &op, 1, &done, err));
    return done.view;
}

static struct cis_fs_ref ref(cis_store *s, const char *name)
{
    struct cis_fs_ref r;
    assert_ok(s->fs->ref_get(s, T, cis_str_of(name), &r, NULL, err));
    return r;
}

static void fork_at(cis_store *s, struct cis_view from, const char *name)
{
    struct cis_str n = cis_str_of(name);
    assert_ok(s->fs->fork(s, T, from, &n, 1, NULL, err));
}

static bool note_entry(void *self, const struct cis_kv_entry *e)
{
    cis_buf_str(self, e->key.len != 0 ? e->key : e->ns);
    if (e->value.ptr != NULL) {
        cis_buf_byte(self, '=');
        cis_buf_add(self, e->value.ptr, e->value.len);
    }
    cis_buf_byte(self, ' ');
    return true;
}

/* All of a's memory at the view through every way of reading it. */
static void assert_memory(cis_store *s, struct cis_view at, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536), all = CIS_BUF_INIT(65536);
    struct cis_kv_query query = {.ns = CIS_STR("a"), .values = true};
    assert_ok(s->ops->kv_list(s, T, at, &query, note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
    query.ns = (struct cis_str){NULL, 0};
    assert_ok(s->ops->kv_list(s, T, at, &query, note_entry, &all, NULL, err));
    assert_string_equal(cis_buf_cstr(&all), expected);
    cis_buf_reset(&all);
    assert_ok(s->ops->kv_namespaces(s, T, at, note_entry, &all, NULL, err));
    assert_string_equal(cis_buf_cstr(&all), expected[0] != 0 ? "a " : "");
    uint64_t bytes = 0, keys = 0, want_bytes = 0, want_keys = 0;
    for (const char *c = expected; *c != 0; c++) {
        want_bytes += *c != '=' && *c != ' ';
        want_keys += *c == ' ';
    }
    assert_ok(s->ops->kv_usage(s, T, at, &bytes, &keys, NULL, err));
    assert_int_equal(bytes, want_bytes);
    assert_int_equal(keys, want_keys);
}

static void assert_key(cis_store *s, struct cis_view at, const char *key, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    bool found = false;
    assert_ok(s->ops->kv_get(s, T, at, CIS_STR("a"), cis_str_of(key), note_entry, &out, &found,
                             NULL, err));
    assert_int_equal(found, expected != NULL);
    if (expected != NULL) {
        char line[100];
        snprintf(line, sizeof line, "%s=%s ", key, expected);
        assert_string_equal(cis_buf_cstr(&out), line);
    }
}

static void assert_found(cis_store *s, struct cis_view at, const char *query, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(s->ops->kv_search(s, T, at, CIS_STR("a"), cis_str_of(query), 100, note_entry, &out,
                                NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

/* ---- memory at a view ---- */

static void memory_is_read_as_it_was_at_the_view(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view one = put(s, "", "k", "first"), two = put(s, "", "j", "other");
    struct cis_view three = put(s, "", "k", "second"), four = put(s, "", "k", NULL);
    struct cis_view five = put(s, "", "k", "third");
    assert_int_equal(two.epoch, one.epoch + 1);
    assert_memory(s, one, "k=first ");
    assert_memory(s, two, "j=other k=first ");
    assert_memory(s, three, "j=other k=second ");
    assert_memory(s, four, "j=other ");
    assert_memory(s, five, "j=other k=third ");
    assert_memory(s, CIS_VIEW_HEAD, "j=other k=third ");
    assert_memory(s, (struct cis_view){one.branch, 0}, "");
    assert_key(s, three, "k", "second");
    assert_key(s, four, "k", NULL);
    assert_found(s, two, "first", "k=first ");
    assert_found(s, three, "first", "");
    assert_found(s, three, "second", "k=second ");
    assert_found(s, four, "second", "");
    assert_found(s, CIS_VIEW_HEAD, "th", "k=third j=other ");
    assert_found(s, two, "k", "k=first ");
    assert_found(s, four, "k", "");
}

static void one_commit_may_write_a_key_more_than_once(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_kv_op ops[] = {store_put("a", "k", "draft"), store_put("a", "k", "final"),
                              store_put("a", "gone", "x"),  store_del("a", "gone"),
                              store_put("a", "back", "y"),  store_del("a", "back"),
                              store_put("a", "back", "z")};
    struct cis_fs_committed done;
    assert_ok(commit_to(s, "", ops, 7, &done, err));
    assert_memory(s, done.view, "back=z k=final ");
    assert_found(s, done.view, "draft", "");
    assert_found(s, done.view, "final", "k=final ");
}

static void a_view_that_never_was_is_not_found(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view one = put(s, "", "k", "v"), out;
    bool found;
    struct cis_view later = {one.branch, one.epoch + 1}, other = {one.branch + 7, 0};
    assert_fails(CIS_E_NOTFOUND, "not there",
                 s->ops->kv_get(s, T, later, CIS_STR("a"), CIS_STR("k"), note_entry, NULL, &found,
                                NULL, err));
    assert_fails(CIS_E_NOTFOUND, "not there", s->fs->view_check(s, T, later, &out, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "not there", s->fs->view_check(s, T, other, &out, NULL, err));
    assert_ok(s->fs->view_check(s, T, one, &out, NULL, err));
    assert_int_equal(out.branch, one.branch);
    assert_int_equal(out.epoch, one.epoch);
}

static void squashing_leaves_what_a_view_from_the_floor_on_or_one_that_is_held_sees(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "1");
    put(s, "", "gone", "x");
    struct cis_view held = put(s, "", "k", "2");
    put(s, "", "gone", NULL);
    put(s, "", "k", "3");
    struct cis_view fork = put(s, "", "k", "4");
    put(s, "", "k", "5");
    struct cis_view floor = put(s, "", "j", "text");
    struct cis_view last = put(s, "", "k", "6");
    struct cis_fs_snapshot snapshot = {.view = held, .name = "held"};
    assert_ok(s->fs->snapshot_put(s, T, &snapshot, NULL, err));
    fork_at(s, fork, "side");
    put(s, "side", "gone", "again");
    put(s, "side", "gone", NULL);
    assert_ok(s->fs->squash(s, T, floor.branch, floor.epoch, NULL, 0, NULL, err));
    assert_memory(s, held, "gone=x k=2 ");
    assert_memory(s, fork, "k=4 ");
    assert_memory(s, floor, "j=text k=5 ");
    assert_memory(s, last, "j=text k=6 ");
    assert_found(s, held, "gone", "gone=x ");
    assert_found(s, last, "text", "j=text ");
    struct cis_view side = ref(s, "side").head, old = {floor.branch, floor.epoch - 1};
    assert_memory(s, side, "k=4 ");
    assert_ok(s->fs->squash(s, T, side.branch, side.epoch, NULL, 0, NULL, err));
    assert_memory(s, side, "k=4 ");
    uint64_t bytes, keys;
    assert_fails(CIS_E_EXPIRED, "expired", s->ops->kv_usage(s, T, old, &bytes, &keys, NULL, err));
    put(s, "", "gone", "new");
    assert_memory(s, CIS_VIEW_HEAD, "gone=new j=text k=6 ");
}

/* ---- forks ---- */

static void a_fork_begins_with_what_was_there_and_goes_its_own_way(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view at = put(s, "", "k", "old");
    put(s, "", "both", "x");
    struct cis_view base = put(s, "", "mine", "1");
    fork_at(s, base, "side");
    struct cis_fs_ref side = ref(s, "side"), first = ref(s, "main");
    assert_int_equal(side.head.epoch, base.epoch);
    assert_int_equal(side.parent, base.branch);
    assert_int_equal(side.fork_epoch, base.epoch);
    assert_true(first.current && !side.current);
    put(s, "main", "k", "main's");
    put(s, "side", "k", "side's");
    put(s, "side", "mine", NULL);
    put(s, "main", "late", "2");
    assert_memory(s, ref(s, "main").head, "both=x k=main's late=2 mine=1 ");
    assert_memory(s, ref(s, "side").head, "both=x k=side's ");
    assert_memory(s, side.head, "both=x k=old mine=1 ");
    assert_memory(s, (struct cis_view){side.head.branch, at.epoch}, "k=old ");
    assert_found(s, ref(s, "side").head, "main's", "");
    assert_found(s, ref(s, "side").head, "side's", "k=side's ");
    struct cis_view owner;
    assert_ok(
        s->fs->view_check(s, T, (struct cis_view){side.head.branch, at.epoch}, &owner, NULL, err));
    assert_int_equal(owner.branch, base.branch);
}

static void forks_of_forks_see_each_ancestor_up_to_where_they_left_it(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    char name[16], before[16] = "main", key[16];
    put(s, "main", "k00", "0");
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof name, "f%02d", i);
        snprintf(key, sizeof key, "k%02d", i);
        fork_at(s, ref(s, before).head, name);
        put(s, before, "later", "unseen"); /* after the fork: not for the child */
        put(s, name, key, "1");
        put(s, name, "depth", name);
        memcpy(before, name, sizeof before);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf want = CIS_BUF_INIT(4096);
    cis_buf_text(&want, "depth=f20 k00=0 ");
    for (int i = 1; i <= 20; i++) {
        cis_buf_printf(&want, "k%02d=1 ", i);
    }
    assert_memory(s, ref(s, "f20").head, cis_buf_cstr(&want));
    assert_memory(s, ref(s, "f01").head, "depth=f01 k00=0 k01=1 later=unseen ");
}

static bool count_ref(void *self, const struct cis_fs_ref *r)
{
    (void)r;
    ++*(size_t *)self;
    return true;
}

static void forks_of_one_call_are_made_all_or_none(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view base = put(s, "", "k", "v");
    struct cis_str twice[] = {CIS_STR("one"), CIS_STR("two"), CIS_STR("one")};
    struct cis_str bad[] = {CIS_STR("fine"), CIS_STR("../no")};
    size_t n = 0;
    assert_fails(CIS_E_EXISTS, "one: exists", s->fs->fork(s, T, base, twice, 3, NULL, err));
    assert_fails(CIS_E_EXISTS, "main",
                 s->fs->fork(s, T, base, &(struct cis_str){"main", 4}, 1, NULL, err));
    assert_fails(CIS_E_INVALID, "not a name", s->fs->fork(s, T, base, bad, 2, NULL, err));
    assert_ok(s->fs->ref_list(s, T, count_ref, &n, NULL, err));
    assert_int_equal(n, 1);
    assert_ok(s->fs->fork(s, T, base, twice, 2, NULL, err));
    n = 0;
    assert_ok(s->fs->ref_list(s, T, count_ref, &n, NULL, err));
    assert_int_equal(n, 3);
    n = 0;
    assert_ok(s->fs->branches(s, T, count_ref, &n, NULL, err));
    assert_int_equal(n, 3);
}

/* ---- moving, switching, removing ---- */

static void a_rollback_is_a_new_branch_under_the_same_name(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view good = put(s, "", "k", "good"), bad = put(s, "", "k", "bad"), head;
    assert_fails(CIS_E_CONFLICT, "changed meanwhile",
                 s->fs->ref_move(s, T, CIS_STR("main"), good, good, 0, &head, NULL, err));
    assert_ok(s->fs->ref_move(s, T, CIS_STR("main"), bad, good, 0, &head, NULL, err));
    assert_memory(s, CIS_VIEW_HEAD, "k=good ");
    assert_memory(s, bad, "k=bad ");
    assert_int_not_equal(head.branch, bad.branch);
    assert_int_equal(head.epoch, good.epoch);
    struct cis_view next = put(s, "", "j", "more");
    assert_int_equal(next.branch, head.branch);
    assert_int_equal(next.epoch, good.epoch + 1);
    assert_memory(s, CIS_VIEW_HEAD, "j=more k=good ");
    /* What was rolled back can be come back to. */
    assert_ok(s->fs->ref_move(s, T, CIS_STR("main"), next, bad, 0, &head, NULL, err));
    assert_memory(s, CIS_VIEW_HEAD, "k=bad ");
}

static void commands_without_a_branch_use_the_current_one(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    fork_at(s, put(s, "", "k", "v"), "side");
    assert_fails(CIS_E_NOTFOUND, "no such branch",
                 s->fs->ref_switch(s, T, CIS_STR("ghost"), NULL, err));
    assert_ok(s->fs->ref_switch(s, T, CIS_STR("side"), NULL, err));
    assert_string_equal(ref(s, "").name, "side");
    put(s, "", "k", "w");
    assert_memory(s, CIS_VIEW_HEAD, "k=w ");
    assert_memory(s, ref(s, "main").head, "k=v ");
    assert_fails(CIS_E_USAGE, "current", s->fs->ref_remove(s, T, CIS_STR("side"), NULL, err));
    assert_ok(s->fs->ref_remove(s, T, CIS_STR("main"), NULL, err));
    assert_fails(CIS_E_NOTFOUND, "main: no such branch",
                 s->fs->ref_remove(s, T, CIS_STR("main"), NULL, err));
    assert_memory(s, CIS_VIEW_HEAD, "k=w "); /* a fork needs the branch, not the name */
    struct cis_kv_op op = store_put("a", "k", "x");
    assert_fails(CIS_E_NOTFOUND, "no such branch", commit_to(s, "main", &op, 1, NULL, err));
}

static void a_branch_is_leased_to_one_holder(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view base = put(s, "", "k", "v");
    uint64_t one = 0, two = 0, fence = 0;
    struct cis_str m = CIS_STR("main");
    assert_ok(s->fs->lease(s, T, m, "mount of /a", 0, 60000, &one, NULL, err));
    assert_true(one != 0);
    assert_fails(CIS_E_CONFLICT, "in use by mount of /a",
                 s->fs->lease(s, T, m, "mount of /b", 0, 60000, &two, NULL, err));
    assert_ok(s->fs->lease(s, T, m, "mount of /a", one, 60000, &fence, NULL, err));
    assert_int_equal(fence, one);
    assert_string_equal(ref(s, "main").holder, "mount of /a");
    assert_int_equal(ref(s, "main").fence, one);
    struct cis_kv_op op = store_put("a", "k", "w");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_fails(CIS_E_CONFLICT, "leased", s->ops->commit(s, T, &c, NULL, err));
    c.fence = one;
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    assert_fails(CIS_E_CONFLICT, "in use by",
                 s->fs->ref_move(s, T, m, ref(s, "main").head, base, 0, NULL, NULL, err));
    assert_ok(s->fs->lease(s, T, m, "mount of /a", one, 0, &fence, NULL, err));
    assert_int_equal(ref(s, "main").fence, 0);
    assert_ok(s->fs->lease(s, T, m, "mount of /b", 0, 60000, &two, NULL, err));
    assert_true(two > one);
    assert_fails(CIS_E_CONFLICT, "",
                 s->fs->lease(s, T, m, "mount of /a", one, 9, &fence, NULL, err));
    assert_fails(CIS_E_CONFLICT, "lost", s->ops->commit(s, T, &c, NULL, err));
}

static void a_lease_that_ran_out_is_given_to_the_next(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    uint64_t one = 0, two = 0;
    struct cis_str m = CIS_STR("main");
    assert_ok(s->fs->lease(s, T, m, "a", 0, 1, &one, NULL, err));
    while (ref(s, "main").fence != 0) {
    }
    assert_ok(s->fs->lease(s, T, m, "b", 0, 60000, &two, NULL, err));
    assert_true(two > one);
}

/* ---- the log ---- */

static bool note_commit(void *self, const struct cis_fs_commit_row *row)
{
    cis_buf_printf(self, "%" PRIu64 ":%.*s:%.*s:%s:%s ", row->epoch, (int)row->kind.len,
                   row->kind.ptr, (int)row->note.len, row->note.ptr, row->run[0] != 0 ? "run" : "-",
                   row->keys.len != 0 ? "keys" : "-");
    return true;
}

static void the_log_lists_commits_of_a_branch_both_ways(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view one = put(s, "", "a", "1");
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.run = &run, .kv = &op, .nkv = 1, .note = "a note"};
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    c.run = NULL;
    c.kind = "import";
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(s->fs->commits(s, T, one.branch, 0, UINT64_MAX, false, 0, true, note_commit, &out,
                             NULL, err));
    assert_string_equal(cis_buf_cstr(&out),
                        "1:memory::-:keys 2:run:a note:run:keys 3:import:a note:-:keys ");
    cis_buf_reset(&out);
    assert_ok(s->fs->commits(s, T, one.branch, 1, 3, true, 1, false, note_commit, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "3:import:a note:-:- ");
    cis_buf_reset(&out);
    assert_ok(s->fs->commit_of_run(s, T, run.id, note_commit, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "2:run:a note:run:keys ");
    store_run_row(&run, "a", "ok");
    assert_fails(CIS_E_NOTFOUND, "no commit",
                 s->fs->commit_of_run(s, T, run.id, note_commit, &out, NULL, err));
}

static void a_run_is_committed_once(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.run = &run, .kv = &op, .nkv = 1};
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    op = store_put("a", "k", "again");
    assert_fails(CIS_E_EXISTS, run.id, s->ops->commit(s, T, &c, NULL, err));
    assert_memory(s, CIS_VIEW_HEAD, "k=v ");
    assert_int_equal(ref(s, "").head.epoch, 1);
}

static void a_record_or_config_alone_makes_no_epoch(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op config = store_put("a", "mode", "fast");
    struct cis_fs_commit nothing = {.base = ref(s, "").head};
    struct cis_fs_committed done = {{9, 9}, 9, 9};
    struct cis_store_commit c = {
        .run = &run, .config = &config, .nconfig = 1, .fs = &nothing, .out = &done};
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    assert_int_equal(ref(s, "").head.epoch, 1);
    assert_int_equal(done.view.epoch, 1);
    assert_int_equal(done.view.branch, nothing.base.branch);
}

/* ---- files, as the log shows them ---- */

struct file {
    struct cis_fs_dirent dirent;
    struct cis_fs_change change;
    struct cis_fs_delta delta;
    struct cis_fs_commit fs;
};

/* A new file of `size` inline bytes in the root. */
static void file_new(cis_store *s, struct file *f, const char *name, size_t size)
{
    static const uint8_t zeros[CIS_FS_INLINE_MAX];
    struct cis_fs_time now = {1700000000, 5};
    uint64_t ino = 0;
    assert_ok(s->fs->reserve_inodes(s, T, 1, &ino, NULL, err));
    *f = (struct file){
        .dirent = {.parent = 1, .ino = ino, .mode = S_IFREG, .name = cis_str_of(name)},
        .change = {.kind = CIS_FS_PUT,
                   .is_new = true,
                   .inode = {.ino = ino,
                             .mode = S_IFREG | 0644,
                             .nlink = 1,
                             .size = size,
                             .atime = now,
                             .mtime = now,
                             .ctime = now,
                             .btime = now,
                             .is_inline = true,
                             .data = {zeros, size}}},
        .delta = {.ino = 1, .mtime = now, .ctime = now}};
    f->fs = (struct cis_fs_commit){.base = ref(s, "").head,
                                   .dirents = &f->dirent,
                                   .ndirents = 1,
                                   .changes = &f->change,
                                   .nchanges = 1,
                                   .deltas = &f->delta,
                                   .ndeltas = 1,
                                   .files = 1,
                                   .bytes = (int64_t)size};
}

static cis_code file_commit(cis_store *s, const struct file *f, struct cis_fs_committed *out,
                            struct cis_error *err)
{
    struct cis_store_commit c = {.fs = &f->fs, .kind = "fs", .out = out};
    return s->ops->commit(s, T, &c, NULL, err);
}

static void files_of_two_writers_merge_and_the_same_name_conflicts(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    struct file one, two, same;
    file_new(s, &one, "one", 10);
    file_new(s, &two, "two", 20);
    file_new(s, &same, "one", 30);
    struct cis_fs_committed done;
    assert_ok(file_commit(s, &one, &done, err));
    assert_int_equal(done.files, 1);
    assert_ok(file_commit(s, &two, &done, err));
    assert_int_equal(done.files, 2);
    assert_int_equal(done.bytes, 30);
    assert_fails(CIS_E_CONFLICT, "one", file_commit(s, &same, &done, err));
    struct cis_fs_ref r = ref(s, "");
    assert_int_equal(r.files, 2);
    assert_int_equal(r.bytes, 30);
    assert_int_equal(r.head.epoch, 3);
}

static void files_and_memory_are_one_commit(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    struct file one, clash;
    file_new(s, &one, "one", 10);
    file_new(s, &clash, "one", 10);
    struct cis_kv_op op = store_put("a", "k", "w");
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_store_commit c = {.run = &run, .fs = &one.fs, .kv = &op, .nkv = 1};
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    store_run_row(&run, "a", "ok");
    op = store_put("a", "k", "never");
    c.fs = &clash.fs;
    assert_fails(CIS_E_CONFLICT, "one", s->ops->commit(s, T, &c, NULL, err));
    assert_memory(s, CIS_VIEW_HEAD, "k=w ");
    assert_int_equal(ref(s, "").head.epoch, 2);
    assert_fails(CIS_E_NOTFOUND, "no such run",
                 s->ops->run_get(s, T, cis_str_of(run.id), NULL, NULL, NULL, err));
}

static void quotas_of_files_and_bytes_hold_at_the_head(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    struct cis_tenant quota = {.quota_files = 2, .quota_bytes = 25};
    assert_ok(s->fs->tenant_quota(s, T, &quota, NULL, err));
    struct file one, big, two, three;
    file_new(s, &one, "one", 10);
    assert_ok(file_commit(s, &one, NULL, err));
    file_new(s, &big, "big", 16);
    assert_fails(CIS_E_QUOTA, "the quota is 25", file_commit(s, &big, NULL, err));
    file_new(s, &two, "two", 15);
    assert_ok(file_commit(s, &two, NULL, err));
    file_new(s, &three, "three", 0);
    assert_fails(CIS_E_QUOTA, "the quota is 2", file_commit(s, &three, NULL, err));
}

static void strict_memory_conflicts_and_ordinary_memory_does_not(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view base = put(s, "", "k", "v");
    put(s, "", "k", "w");
    struct cis_kv_op op = store_put("a", "k", "x"), other = store_put("a", "j", "x");
    struct cis_store_commit c = {.kv = &op, .nkv = 1, .base = base, .strict_memory = true};
    assert_fails(CIS_E_CONFLICT, "k", s->ops->commit(s, T, &c, NULL, err));
    c.kv = &other;
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    c = (struct cis_store_commit){.kv = &op, .nkv = 1, .base = base};
    assert_ok(s->ops->commit(s, T, &c, NULL, err));
    assert_memory(s, CIS_VIEW_HEAD, "j=x k=x ");
}

#define CROWD 64
#define CROWD_FILES 4

struct writer {
    cis_store *s;
    int id;
    unsigned conflicts;
};

/* Each commits files of its own names, all from the base that it saw last. */
static void *write_files(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < CROWD_FILES; i++) {
        char name[32];
        struct file f;
        snprintf(name, sizeof name, "w%02d-%02d", w->id, i);
        file_new(w->s, &f, name, 7);
        struct cis_error err = {0};
        if (file_commit(w->s, &f, NULL, &err) != CIS_OK) {
            fprintf(stderr, "%s: %s\n", name, err.msg);
            abort();
        }
        snprintf(name, sizeof name, "same-%02d", i);
        file_new(w->s, &f, name, 3);
        f.fs.base.epoch = 1; /* before anybody wrote it */
        cis_code code = file_commit(w->s, &f, NULL, &err);
        if (code != CIS_OK && code != CIS_E_CONFLICT) {
            fprintf(stderr, "%s: %s\n", name, err.msg);
            abort();
        }
        w->conflicts += code == CIS_E_CONFLICT;
    }
    return NULL;
}

static void writers_of_distinct_names_all_commit_and_of_the_same_name_one(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    pthread_t threads[CROWD];
    struct writer writers[CROWD];
    unsigned conflicts = 0;
    for (int i = 0; i < CROWD; i++) {
        writers[i] = (struct writer){s, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_files, &writers[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
        conflicts += writers[i].conflicts;
    }
    assert_int_equal(conflicts, (CROWD - 1) * CROWD_FILES);
    struct cis_fs_ref r = ref(s, "");
    assert_int_equal(r.files, CROWD * CROWD_FILES + CROWD_FILES);
    assert_int_equal(r.bytes, CROWD * CROWD_FILES * 7 + CROWD_FILES * 3);
    assert_int_equal(r.head.epoch, 1 + CROWD * CROWD_FILES + CROWD_FILES);
}

/* All write the same strict key from the same base. */
static void *write_strict(void *arg)
{
    struct writer *w = arg;
    char value[16];
    snprintf(value, sizeof value, "%d", w->id);
    struct cis_kv_op op = store_put("a", "same", value);
    struct cis_store_commit c = {
        .kv = &op, .nkv = 1, .strict_memory = true, .base = {1, (uint64_t)w->conflicts}};
    struct cis_error err = {0};
    cis_code code = w->s->ops->commit(w->s, T, &c, NULL, &err);
    if (code != CIS_OK && code != CIS_E_CONFLICT) {
        fprintf(stderr, "strict: %s\n", err.msg);
        abort();
    }
    w->conflicts = code == CIS_E_CONFLICT;
    return NULL;
}

static void of_writers_of_one_strict_key_one_wins_each_round(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    for (unsigned round = 1; round <= 4; round++) {
        assert_int_equal(put(s, "", "other", "x").epoch, 2 * round - 1);
        pthread_t threads[CROWD];
        struct writer writers[CROWD];
        unsigned conflicts = 0;
        for (int i = 0; i < CROWD; i++) {
            writers[i] = (struct writer){s, i, 2 * round - 1};
            assert_int_equal(pthread_create(&threads[i], NULL, write_strict, &writers[i]), 0);
        }
        for (int i = 0; i < CROWD; i++) {
            pthread_join(threads[i], NULL);
            conflicts += writers[i].conflicts;
        }
        assert_int_equal(conflicts, CROWD - 1);
    }
}

/* Each writes files of 7 bytes until it is refused. */
static void *write_until_full(void *arg)
{
    struct writer *w = arg;
    for (int i = 0;; i++) {
        char name[32];
        struct file f;
        snprintf(name, sizeof name, "w%02d-%03d", w->id, i);
        file_new(w->s, &f, name, 7);
        struct cis_error err = {0};
        cis_code code = file_commit(w->s, &f, NULL, &err);
        if (code == CIS_E_QUOTA) {
            return NULL;
        }
        if (code != CIS_OK) {
            fprintf(stderr, "%s: %s\n", name, err.msg);
            abort();
        }
    }
}

static void fill(cis_store *s)
{
    pthread_t threads[16];
    struct writer writers[16];
    for (int i = 0; i < 16; i++) {
        writers[i] = (struct writer){s, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_until_full, &writers[i]), 0);
    }
    for (int i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void a_quota_is_filled_by_many_to_the_last_file_and_never_over(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    struct cis_tenant quota = {.quota_files = 101};
    assert_ok(s->fs->tenant_quota(s, T, &quota, NULL, err));
    fill(s);
    assert_int_equal(ref(s, "").files, 101);
    assert_int_equal(ref(s, "").bytes, 707);
}

static void a_quota_is_filled_by_many_to_the_last_byte_and_never_over(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    struct cis_tenant quota = {.quota_bytes = 700};
    assert_ok(s->fs->tenant_quota(s, T, &quota, NULL, err));
    fill(s);
    assert_int_equal(ref(s, "").bytes, 700);
    assert_int_equal(ref(s, "").files, 100);
    struct file more;
    file_new(s, &more, "one", 1);
    assert_fails(CIS_E_QUOTA, "700", file_commit(s, &more, NULL, err));
    file_new(s, &more, "none", 0);
    assert_ok(file_commit(s, &more, NULL, err));
}

static void inode_numbers_are_given_once(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    uint64_t one = 0, two = 0;
    assert_ok(s->fs->reserve_inodes(s, T, 1000, &one, NULL, err));
    assert_ok(s->fs->reserve_inodes(s, T, 1, &two, NULL, err));
    assert_true(one > CIS_FS_ROOT);
    assert_true(two >= one + 1000 || two < one);
    assert_fails(CIS_E_INVALID, "none", s->fs->reserve_inodes(s, T, 0, &two, NULL, err));
}

/* ---- snapshots and pins ---- */

static bool note_snapshot(void *self, const struct cis_fs_snapshot *s)
{
    cis_buf_printf(self, "%s:%" PRIu64 ":%.*s ", s->name, s->view.epoch, (int)s->note.len,
                   s->note.ptr);
    assert_int_equal(strlen(s->id), 26);
    return true;
}

static struct cis_fs_snapshot snapshot(struct cis_view view, const char *name)
{
    struct cis_fs_snapshot s = {.view = view, .note = CIS_STR("why")};
    snprintf(s.name, sizeof s.name, "%s", name);
    return s;
}

static void snapshots_name_views_for_good(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view one = put(s, "", "k", "1"), two = put(s, "", "k", "2");
    struct cis_fs_snapshot b = snapshot(one, "b"), a = snapshot(two, "a");
    assert_ok(s->fs->snapshot_put(s, T, &b, NULL, err));
    assert_ok(s->fs->snapshot_put(s, T, &a, NULL, err));
    assert_fails(CIS_E_EXISTS, "b: exists", s->fs->snapshot_put(s, T, &b, NULL, err));
    b.view.epoch = 99;
    assert_fails(CIS_E_NOTFOUND, "not there", s->fs->snapshot_put(s, T, &b, NULL, err));
    struct cis_fs_snapshot bad = snapshot(one, "-x");
    assert_fails(CIS_E_INVALID, "not a name", s->fs->snapshot_put(s, T, &bad, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(s->fs->snapshots(s, T, CIS_STR(""), note_snapshot, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "b:1:why a:2:why ");
    cis_buf_reset(&out);
    assert_ok(s->fs->snapshots(s, T, CIS_STR("a"), note_snapshot, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "a:2:why ");
    assert_fails(CIS_E_NOTFOUND, "c: no such snapshot",
                 s->fs->snapshots(s, T, CIS_STR("c"), note_snapshot, &out, NULL, err));
    struct cis_tenant quota = {.quota_snapshots = 2};
    assert_ok(s->fs->tenant_quota(s, T, &quota, NULL, err));
    struct cis_fs_snapshot third = snapshot(one, "third");
    assert_fails(CIS_E_QUOTA, "quota is 2", s->fs->snapshot_put(s, T, &third, NULL, err));
    assert_ok(s->fs->snapshot_remove(s, T, CIS_STR("a"), NULL, err));
    assert_fails(CIS_E_NOTFOUND, "a: no such",
                 s->fs->snapshot_remove(s, T, CIS_STR("a"), NULL, err));
    assert_ok(s->fs->snapshot_put(s, T, &third, NULL, err));
}

static bool keep_pin(void *self, const struct cis_fs_pin *pin)
{
    *(struct cis_fs_pin *)self = *pin;
    return true;
}

static void pins_hold_a_view_until_they_lapse(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    struct cis_view one = put(s, "", "k", "1");
    uint64_t id = 0, brief = 0;
    struct cis_fs_pin pin = {0};
    assert_ok(s->fs->pin(s, T, one, 0, 60000, &id, NULL, err));
    assert_true(id != 0);
    assert_ok(s->fs->pins(s, T, keep_pin, &pin, NULL, err));
    assert_int_equal(pin.id, id);
    assert_int_equal(pin.view.epoch, one.epoch);
    assert_int_equal(pin.until_ms - pin.since_ms, 60000);
    int64_t until = pin.until_ms;
    assert_ok(s->fs->pin(s, T, one, id, 120000, &id, NULL, err));
    assert_ok(s->fs->pins(s, T, keep_pin, &pin, NULL, err));
    assert_true(pin.until_ms >= until + 60000);
    assert_ok(s->fs->pin(s, T, one, id, 0, NULL, NULL, err));
    pin.id = 0;
    assert_ok(s->fs->pins(s, T, keep_pin, &pin, NULL, err));
    assert_int_equal(pin.id, 0);
    assert_fails(CIS_E_EXPIRED, "lapsed", s->fs->pin(s, T, one, id, 1000, &id, NULL, err));
    assert_ok(s->fs->pin(s, T, one, 0, 1, &brief, NULL, err));
    struct timespec nap = {0, 20000000}; /* past the pin's end */
    nanosleep(&nap, NULL);
    assert_fails(CIS_E_EXPIRED, "lapsed", s->fs->pin(s, T, one, brief, 1000, &id, NULL, err));
    struct cis_view never = {one.branch, 77};
    assert_fails(CIS_E_NOTFOUND, "not there", s->fs->pin(s, T, never, 0, 1000, &id, NULL, err));
}

/* ---- tenants ---- */

static bool note_tenant(void *self, const struct cis_tenant *t)
{
    cis_buf_printf(self, "%s:%" PRIu64 " ", t->name, t->quota_files);
    return true;
}

static void tenants_are_made_listed_limited_and_deleted(void **state)
{
    struct fixture *f = *state;
    cis_store *s = f->s;
    struct cis_str b = CIS_STR("bob"), a = CIS_STR("ann");
    struct cis_tenant t = {.quota_files = 7}, u, again;
    assert_fails(CIS_E_NOTFOUND, "bob", s->fs->tenant_get(s, b, &t, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "bob", s->fs->tenant_quota(s, b, &t, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "bob", s->fs->tenant_delete(s, b, NULL, err));
    assert_ok(s->fs->tenant_create(s, b, 1000, 1000, NULL, err));
    assert_ok(s->fs->tenant_create(s, a, 0, 0, NULL, err));
    assert_fails(CIS_E_EXISTS, "bob", s->fs->tenant_create(s, b, 0, 0, NULL, err));
    assert_fails(CIS_E_INVALID, "tenant", s->fs->tenant_create(s, CIS_STR("A"), 0, 0, NULL, err));
    assert_ok(s->fs->tenant_quota(s, b, &t, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(s->fs->tenant_list(s, note_tenant, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "ann:0 bob:7 ");
    assert_ok(s->fs->tenant_get(s, a, &t, NULL, err));
    assert_ok(s->fs->tenant_get(s, b, &u, NULL, err));
    assert_string_equal(u.name, "bob");
    assert_int_equal(u.quota_files, 7);
    assert_memory_not_equal(t.key, u.key, sizeof t.key);
    f->s->ops->close(f->s);
    s = f->s = backend->open(f->place);
    assert_ok(s->fs->tenant_get(s, b, &again, NULL, err));
    assert_memory_equal(again.key, u.key, sizeof u.key);
}

static void a_deleted_tenant_is_gone_and_its_name_free(void **state)
{
    cis_store *s = ((struct fixture *)*state)->s;
    put(s, "", "k", "v");
    struct cis_tenant before, after;
    assert_ok(s->fs->tenant_get(s, T, &before, NULL, err));
    assert_ok(s->fs->tenant_delete(s, T, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "default", s->fs->tenant_get(s, T, &after, NULL, err));
    assert_memory(s, CIS_VIEW_HEAD, "");
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(s->fs->tenant_list(s, note_tenant, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "");
    struct cis_view first = put(s, "", "k", "new");
    assert_int_equal(first.epoch, 1);
    assert_ok(s->fs->tenant_get(s, T, &after, NULL, err));
    assert_memory_not_equal(before.key, after.key, sizeof before.key);
    assert_memory(s, CIS_VIEW_HEAD, "k=new ");
}

int store_contract_refs_run(const struct store_backend *which)
{
    backend = which;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(memory_is_read_as_it_was_at_the_view),
        TEST(one_commit_may_write_a_key_more_than_once),
        TEST(a_view_that_never_was_is_not_found),
        TEST(squashing_leaves_what_a_view_from_the_floor_on_or_one_that_is_held_sees),
        TEST(a_fork_begins_with_what_was_there_and_goes_its_own_way),
        TEST(forks_of_forks_see_each_ancestor_up_to_where_they_left_it),
        TEST(forks_of_one_call_are_made_all_or_none),
        TEST(a_rollback_is_a_new_branch_under_the_same_name),
        TEST(commands_without_a_branch_use_the_current_one),
        TEST(a_branch_is_leased_to_one_holder),
        TEST(a_lease_that_ran_out_is_given_to_the_next),
        TEST(the_log_lists_commits_of_a_branch_both_ways),
        TEST(a_run_is_committed_once),
        TEST(a_record_or_config_alone_makes_no_epoch),
        TEST(files_of_two_writers_merge_and_the_same_name_conflicts),
        TEST(files_and_memory_are_one_commit),
        TEST(quotas_of_files_and_bytes_hold_at_the_head),
        TEST(strict_memory_conflicts_and_ordinary_memory_does_not),
        TEST(writers_of_distinct_names_all_commit_and_of_the_same_name_one),
        TEST(of_writers_of_one_strict_key_one_wins_each_round),
        TEST(a_quota_is_filled_by_many_to_the_last_file_and_never_over),
        TEST(a_quota_is_filled_by_many_to_the_last_byte_and_never_over),
        TEST(inode_numbers_are_given_once),
        TEST(snapshots_name_views_for_good),
        TEST(pins_hold_a_view_until_they_lapse),
        TEST(tenants_are_made_listed_limited_and_deleted),
        TEST(a_deleted_tenant_is_gone_and_its_name_free),
    };
    return cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
}
