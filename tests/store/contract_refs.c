/* The contract of what is versioned, but for reading trees: memory at views, refs, forks, rollback,
 * leases, snapshots, pins, tenants. */
#include "harness.h"

#include <inttypes.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/crypto.h"
#include "store/holder.h"
#include "contract_refs.h"
#include "store/calls.h"

/* ---- memory at a view ---- */

static void memory_is_read_as_it_was_at_the_view(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view one = refs_put(s, "", "k", "first"), two = refs_put(s, "", "j", "other");
    struct cis_view three = refs_put(s, "", "k", "second"), four = refs_put(s, "", "k", NULL);
    struct cis_view five = refs_put(s, "", "k", "third");
    assert_int_equal(two.epoch, one.epoch + 1);
    refs_assert_memory(s, one, "k=first ");
    refs_assert_memory(s, two, "j=other k=first ");
    refs_assert_memory(s, three, "j=other k=second ");
    refs_assert_memory(s, four, "j=other ");
    refs_assert_memory(s, five, "j=other k=third ");
    refs_assert_memory(s, CIS_VIEW_HEAD, "j=other k=third ");
    refs_assert_memory(s, (struct cis_view){one.branch, 0}, "");
    refs_assert_key(s, three, "k", "second");
    refs_assert_key(s, four, "k", NULL);
    refs_assert_found(s, two, "first", "k=first ");
    refs_assert_found(s, three, "first", "");
    refs_assert_found(s, three, "second", "k=second ");
    refs_assert_found(s, four, "second", "");
    refs_assert_found(s, CIS_VIEW_HEAD, "th", "k=third j=other ");
    refs_assert_found(s, two, "k", "k=first ");
    refs_assert_found(s, four, "k", "");
}

static void one_commit_may_write_a_key_more_than_once(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_kv_op ops[] = {store_put("a", "k", "draft"), store_put("a", "k", "final"),
                              store_put("a", "gone", "x"),  store_del("a", "gone"),
                              store_put("a", "back", "y"),  store_del("a", "back"),
                              store_put("a", "back", "z")};
    struct cis_fs_committed done;
    assert_ok(refs_commit(s, "", ops, 7, &done, err));
    refs_assert_memory(s, done.view, "back=z k=final ");
    refs_assert_found(s, done.view, "draft", "");
    refs_assert_found(s, done.view, "final", "k=final ");
}

static void a_view_that_never_was_is_not_found(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view one = refs_put(s, "", "k", "v"), out;
    bool found;
    struct cis_view later = {one.branch, one.epoch + 1}, other = {one.branch + 7, 0};
    assert_fails(CIS_E_NOTFOUND, "no such",
                 cis_store_kv_get(s, T,
                                  &(struct cis_kv_get_query){later, CIS_STR("a"), CIS_STR("k"),
                                                             refs_note_entry, NULL},
                                  &found, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no such", cis_store_view_check(s, T, later, &out, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no such", cis_store_view_check(s, T, other, &out, NULL, err));
    assert_ok(cis_store_view_check(s, T, one, &out, NULL, err));
    assert_int_equal(out.branch, one.branch);
    assert_int_equal(out.epoch, one.epoch);
}

static void squashing_leaves_what_a_view_from_the_floor_on_or_one_that_is_held_sees(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "1");
    refs_put(s, "", "gone", "x");
    struct cis_view held = refs_put(s, "", "k", "2");
    refs_put(s, "", "gone", NULL);
    refs_put(s, "", "k", "3");
    struct cis_view fork = refs_put(s, "", "k", "4");
    refs_put(s, "", "k", "5");
    struct cis_view floor = refs_put(s, "", "j", "text");
    struct cis_view last = refs_put(s, "", "k", "6");
    struct cis_fs_snapshot snapshot = {.view = held, .name = "held"};
    assert_ok(cis_store_snapshot_put(s, T, &snapshot, NULL, err));
    refs_fork(s, fork, "side");
    refs_put(s, "side", "gone", "again");
    refs_put(s, "side", "gone", NULL);
    assert_ok(cis_store_squash(
        s, T, &(struct cis_fs_squash_request){floor.branch, floor.epoch, NULL, 0}, NULL, err));
    refs_assert_memory(s, held, "gone=x k=2 ");
    refs_assert_memory(s, fork, "k=4 ");
    refs_assert_memory(s, floor, "j=text k=5 ");
    refs_assert_memory(s, last, "j=text k=6 ");
    refs_assert_found(s, held, "gone", "gone=x ");
    refs_assert_found(s, last, "text", "j=text ");
    struct cis_view side = refs_ref(s, "side").head, old = {floor.branch, floor.epoch - 1};
    refs_assert_memory(s, side, "k=4 ");
    assert_ok(cis_store_squash(
        s, T, &(struct cis_fs_squash_request){side.branch, side.epoch, NULL, 0}, NULL, err));
    refs_assert_memory(s, side, "k=4 ");
    uint64_t bytes, keys;
    assert_fails(CIS_E_EXPIRED, "expired", cis_store_kv_usage(s, T, old, &bytes, &keys, NULL, err));
    refs_put(s, "", "gone", "new");
    refs_assert_memory(s, CIS_VIEW_HEAD, "gone=new j=text k=6 ");
}

/* ---- forks ---- */

static void a_fork_begins_with_what_was_there_and_goes_its_own_way(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view at = refs_put(s, "", "k", "old");
    refs_put(s, "", "both", "x");
    struct cis_view base = refs_put(s, "", "mine", "1");
    refs_fork(s, base, "side");
    struct cis_fs_ref side = refs_ref(s, "side"), first = refs_ref(s, "main");
    assert_int_equal(side.head.epoch, base.epoch);
    assert_int_equal(side.parent, base.branch);
    assert_int_equal(side.fork_epoch, base.epoch);
    assert_true(first.current && !side.current);
    refs_put(s, "main", "k", "main's");
    refs_put(s, "side", "k", "side's");
    refs_put(s, "side", "mine", NULL);
    refs_put(s, "main", "late", "2");
    refs_assert_memory(s, refs_ref(s, "main").head, "both=x k=main's late=2 mine=1 ");
    refs_assert_memory(s, refs_ref(s, "side").head, "both=x k=side's ");
    refs_assert_memory(s, side.head, "both=x k=old mine=1 ");
    refs_assert_memory(s, (struct cis_view){side.head.branch, at.epoch}, "k=old ");
    refs_assert_found(s, refs_ref(s, "side").head, "main's", "");
    refs_assert_found(s, refs_ref(s, "side").head, "side's", "k=side's ");
    struct cis_view owner;
    assert_ok(cis_store_view_check(s, T, (struct cis_view){side.head.branch, at.epoch}, &owner,
                                   NULL, err));
    assert_int_equal(owner.branch, base.branch);
}

static void forks_of_forks_see_each_ancestor_up_to_where_they_left_it(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    char name[16], before[16] = "main", key[16];
    refs_put(s, "main", "k00", "0");
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof name, "f%02d", i);
        snprintf(key, sizeof key, "k%02d", i);
        refs_fork(s, refs_ref(s, before).head, name);
        refs_put(s, before, "later", "unseen"); /* after the fork: not for the child */
        refs_put(s, name, key, "1");
        refs_put(s, name, "depth", name);
        memcpy(before, name, sizeof before);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf want = CIS_BUF_INIT(4096);
    cis_buf_text(&want, "depth=f20 k00=0 ");
    for (int i = 1; i <= 20; i++) {
        cis_buf_printf(&want, "k%02d=1 ", i);
    }
    refs_assert_memory(s, refs_ref(s, "f20").head, cis_buf_cstr(&want));
    refs_assert_memory(s, refs_ref(s, "f01").head, "depth=f01 k00=0 k01=1 later=unseen ");
}

static bool count_ref(void *self, const struct cis_fs_ref *r)
{
    (void)r;
    ++*(size_t *)self;
    return true;
}

static void forks_of_one_call_are_made_all_or_none(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view base = refs_put(s, "", "k", "v");
    struct cis_str twice[] = {CIS_STR("one"), CIS_STR("two"), CIS_STR("one")};
    struct cis_str bad[] = {CIS_STR("fine"), CIS_STR("../no")};
    size_t n = 0;
    assert_fails(CIS_E_EXISTS, "one: exists", cis_store_fork(s, T, base, twice, 3, NULL, err));
    assert_fails(CIS_E_EXISTS, "main",
                 cis_store_fork(s, T, base, &(struct cis_str){"main", 4}, 1, NULL, err));
    assert_fails(CIS_E_INVALID, "not a valid name", cis_store_fork(s, T, base, bad, 2, NULL, err));
    assert_ok(cis_store_ref_list(s, T, count_ref, &n, NULL, err));
    assert_int_equal(n, 1);
    assert_ok(cis_store_fork(s, T, base, twice, 2, NULL, err));
    n = 0;
    assert_ok(cis_store_ref_list(s, T, count_ref, &n, NULL, err));
    assert_int_equal(n, 3);
    n = 0;
    assert_ok(cis_store_branches(s, T, count_ref, &n, NULL, err));
    assert_int_equal(n, 3);
}

/* ---- moving, switching, removing ---- */

static void a_rollback_is_a_new_branch_under_the_same_name(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view good = refs_put(s, "", "k", "good"), bad = refs_put(s, "", "k", "bad"), head;
    assert_fails(CIS_E_CONFLICT, "changed meanwhile",
                 cis_store_ref_move(
                     s, T,
                     &(struct cis_fs_move_request){CIS_STR("main"), good, good, 0, CIS_STR("")},
                     &head, NULL, err));
    assert_ok(cis_store_ref_move(
        s, T, &(struct cis_fs_move_request){CIS_STR("main"), bad, good, 0, CIS_STR("")}, &head,
        NULL, err));
    refs_assert_memory(s, CIS_VIEW_HEAD, "k=good ");
    refs_assert_memory(s, bad, "k=bad ");
    assert_int_not_equal(head.branch, bad.branch);
    assert_int_equal(head.epoch, good.epoch);
    struct cis_view next = refs_put(s, "", "j", "more");
    assert_int_equal(next.branch, head.branch);
    assert_int_equal(next.epoch, good.epoch + 1);
    refs_assert_memory(s, CIS_VIEW_HEAD, "j=more k=good ");
    /* What was rolled back can be come back to. */
    assert_ok(cis_store_ref_move(
        s, T, &(struct cis_fs_move_request){CIS_STR("main"), next, bad, 0, CIS_STR("")}, &head,
        NULL, err));
    refs_assert_memory(s, CIS_VIEW_HEAD, "k=bad ");
}

static void commands_without_a_branch_use_the_current_one(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_fork(s, refs_put(s, "", "k", "v"), "side");
    assert_fails(CIS_E_NOTFOUND, "no such branch",
                 cis_store_ref_switch(s, T, CIS_STR("ghost"), NULL, err));
    assert_ok(cis_store_ref_switch(s, T, CIS_STR("side"), NULL, err));
    assert_string_equal(refs_ref(s, "").name, "side");
    refs_put(s, "", "k", "w");
    refs_assert_memory(s, CIS_VIEW_HEAD, "k=w ");
    refs_assert_memory(s, refs_ref(s, "main").head, "k=v ");
    assert_fails(CIS_E_USAGE, "current",
                 cis_store_ref_remove(s, T, CIS_STR("side"), CIS_STR(""), NULL, err));
    assert_ok(cis_store_ref_remove(s, T, CIS_STR("main"), CIS_STR(""), NULL, err));
    assert_fails(CIS_E_NOTFOUND, "main: no such branch",
                 cis_store_ref_remove(s, T, CIS_STR("main"), CIS_STR(""), NULL, err));
    refs_assert_memory(s, CIS_VIEW_HEAD, "k=w "); /* a fork needs the branch, not the name */
    struct cis_kv_op op = store_put("a", "k", "x");
    assert_fails(CIS_E_NOTFOUND, "no such branch", refs_commit(s, "main", &op, 1, NULL, err));
}

static void a_made_branch_expires_with_the_head_that_was_looked_at(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view at = refs_put(s, "", "k", "v");
    struct cis_str side = CIS_STR("side");
    uint64_t fence = 0;
    refs_fork(s, at, "side");
    struct cis_view first = refs_ref(s, "side").head, now = refs_put(s, "side", "k", "w");
    assert_fails(CIS_E_CONFLICT, "changed meanwhile",
                 cis_store_ref_expire(s, T, side, first, NULL, err));
    refs_assert_memory(s, now, "k=w ");
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){side, "somebody", 0, 60000},
                              &fence, NULL, err));
    assert_fails(CIS_E_CONFLICT, "in use", cis_store_ref_expire(s, T, side, now, NULL, err));
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){side, "somebody", fence, 0},
                              &fence, NULL, err));
    assert_ok(cis_store_ref_switch(s, T, side, NULL, err));
    assert_fails(CIS_E_CONFLICT, "changed meanwhile",
                 cis_store_ref_expire(s, T, side, now, NULL, err));
    assert_ok(cis_store_ref_switch(s, T, CIS_STR("main"), NULL, err));
    assert_ok(cis_store_ref_expire(s, T, side, now, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no such branch",
                 cis_store_ref_expire(s, T, side, now, NULL, err));
}

static void a_branch_is_leased_to_one_holder(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view base = refs_put(s, "", "k", "v");
    uint64_t one = 0, two = 0, fence = 0;
    struct cis_str m = CIS_STR("main");
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "mount of /a", 0, 60000},
                              &one, NULL, err));
    assert_true(one != 0);
    assert_fails(CIS_E_CONFLICT, "in use by mount of /a",
                 cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "mount of /b", 0, 60000},
                                 &two, NULL, err));
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "mount of /a", one, 60000},
                              &fence, NULL, err));
    assert_int_equal(fence, one);
    assert_string_equal(refs_ref(s, "main").holder, "mount of /a");
    assert_int_equal(refs_ref(s, "main").fence, one);
    struct cis_kv_op op = store_put("a", "k", "w");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, T, &c, NULL, err)); /* memory alone: the lease is on the files */
    c.fence = one + 1;
    assert_fails(CIS_E_CONFLICT, "lease on the branch was lost",
                 cis_store_commit(s, T, &c, NULL, err));
    c.fence = one;
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    assert_fails(CIS_E_CONFLICT, "in use by",
                 cis_store_ref_move(s, T,
                                    &(struct cis_fs_move_request){m, refs_ref(s, "main").head, base,
                                                                  0, CIS_STR("")},
                                    NULL, NULL, err));
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "mount of /a", one, 0},
                              &fence, NULL, err));
    assert_int_equal(refs_ref(s, "main").fence, 0);
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "mount of /b", 0, 60000},
                              &two, NULL, err));
    assert_true(two > one);
    assert_fails(CIS_E_CONFLICT, "",
                 cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "mount of /a", one, 9},
                                 &fence, NULL, err));
    assert_fails(CIS_E_CONFLICT, "lost", cis_store_commit(s, T, &c, NULL, err));
}

/* How a process that has ended called itself. */
static void ended_holder(char out[CIS_HOLDER_MAX])
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        cis_holder_name(out, "mount", "/gone");
        _exit(write(ends[1], out, CIS_HOLDER_MAX) == (ssize_t)CIS_HOLDER_MAX ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], out, CIS_HOLDER_MAX), CIS_HOLDER_MAX);
    close(ends[0]);
    close(ends[1]);
}

static void the_lease_of_a_process_that_ended_is_given_back_at_once(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    char gone[CIS_HOLDER_MAX] = "", here[CIS_HOLDER_MAX];
    struct cis_fs_ref ref;
    uint64_t fence = 0;
    refs_put(s, "", "k", "v");
    ended_holder(gone);
    cis_holder_name(here, "mount", "/here");
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){CIS_STR("main"), here, 0, 60000},
                              &fence, NULL, err));
    assert_ok(cis_store_ref_held(s, T, CIS_STR("main"), &ref, NULL, err));
    assert_int_equal(ref.fence, fence);
    assert_string_equal(ref.holder, here);
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){CIS_STR("main"), here, fence, 0},
                              &fence, NULL, err));
    fence = 0;
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){CIS_STR("main"), gone, 0, 60000},
                              &fence, NULL, err));
    assert_ok(cis_store_ref_held(s, T, CIS_STR("main"), &ref, NULL, err));
    assert_int_equal(ref.fence, 0);
    assert_int_equal(refs_ref(s, "main").fence, 0);
}

static void a_lease_that_ran_out_is_given_to_the_next(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    uint64_t one = 0, two = 0;
    struct cis_str m = CIS_STR("main");
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "a", 0, 1}, &one, NULL, err));
    while (refs_ref(s, "main").fence != 0) {
    }
    assert_ok(
        cis_store_lease(s, T, &(struct cis_fs_lease_request){m, "b", 0, 60000}, &two, NULL, err));
    assert_true(two > one);
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
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view one = refs_put(s, "", "k", "1"), two = refs_put(s, "", "k", "2");
    struct cis_fs_snapshot b = snapshot(one, "b"), a = snapshot(two, "a");
    assert_ok(cis_store_snapshot_put(s, T, &b, NULL, err));
    assert_ok(cis_store_snapshot_put(s, T, &a, NULL, err));
    assert_fails(CIS_E_EXISTS, "b: exists", cis_store_snapshot_put(s, T, &b, NULL, err));
    b.view.epoch = 99;
    assert_fails(CIS_E_NOTFOUND, "no such", cis_store_snapshot_put(s, T, &b, NULL, err));
    struct cis_fs_snapshot bad = snapshot(one, "-x");
    assert_fails(CIS_E_INVALID, "not a valid name", cis_store_snapshot_put(s, T, &bad, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(cis_store_snapshots(s, T, CIS_STR(""), note_snapshot, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "b:1:why a:2:why ");
    cis_buf_reset(&out);
    assert_ok(cis_store_snapshots(s, T, CIS_STR("a"), note_snapshot, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "a:2:why ");
    assert_fails(CIS_E_NOTFOUND, "c: no such snapshot",
                 cis_store_snapshots(s, T, CIS_STR("c"), note_snapshot, &out, NULL, err));
    struct cis_tenant quota = {.quota_snapshots = 2};
    assert_ok(cis_store_tenant_quota(s, T, &quota, NULL, err));
    struct cis_fs_snapshot third = snapshot(one, "third");
    assert_fails(CIS_E_QUOTA, "quota is 2", cis_store_snapshot_put(s, T, &third, NULL, err));
    assert_ok(cis_store_snapshot_remove(s, T, CIS_STR("a"), NULL, err));
    assert_fails(CIS_E_NOTFOUND, "a: no such",
                 cis_store_snapshot_remove(s, T, CIS_STR("a"), NULL, err));
    assert_ok(cis_store_snapshot_put(s, T, &third, NULL, err));
}

static bool keep_pin(void *self, const struct cis_fs_pin *pin)
{
    *(struct cis_fs_pin *)self = *pin;
    return true;
}

static void pins_hold_a_view_until_they_lapse(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_view one = refs_put(s, "", "k", "1");
    uint64_t id = 0, brief = 0;
    struct cis_fs_pin pin = {0};
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){one, 0, 60000}, &id, NULL, err));
    assert_true(id != 0);
    assert_ok(cis_store_pins(s, T, keep_pin, &pin, NULL, err));
    assert_int_equal(pin.id, id);
    assert_int_equal(pin.view.epoch, one.epoch);
    /* It lapses by one clock and is shown by another, which are not read at the same moment. */
    assert_in_range(pin.until_ms - pin.since_ms + 5000, 60000, 70000);
    int64_t until = pin.until_ms;
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){one, id, 120000}, &id, NULL, err));
    assert_ok(cis_store_pins(s, T, keep_pin, &pin, NULL, err));
    assert_true(pin.until_ms >= until + 55000);
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){one, id, 0}, NULL, NULL, err));
    pin.id = 0;
    assert_ok(cis_store_pins(s, T, keep_pin, &pin, NULL, err));
    assert_int_equal(pin.id, 0);
    assert_fails(CIS_E_EXPIRED, "has expired",
                 cis_store_pin(s, T, &(struct cis_fs_pin_request){one, id, 1000}, &id, NULL, err));
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){one, 0, 1}, &brief, NULL, err));
    struct timespec nap = {0, 20000000}; /* past the pin's end */
    nanosleep(&nap, NULL);
    assert_fails(
        CIS_E_EXPIRED, "has expired",
        cis_store_pin(s, T, &(struct cis_fs_pin_request){one, brief, 1000}, &id, NULL, err));
    struct cis_view never = {one.branch, 77};
    assert_fails(CIS_E_NOTFOUND, "no such",
                 cis_store_pin(s, T, &(struct cis_fs_pin_request){never, 0, 1000}, &id, NULL, err));
}

/* ---- tenants ---- */

static bool note_tenant(void *self, const struct cis_tenant *t)
{
    cis_buf_printf(self, "%s:%" PRIu64 " ", t->name, t->quota_files);
    return true;
}

static bool keep_inode(void *self, const struct cis_fs_inode *inode)
{
    *(struct cis_fs_inode *)self = *inode;
    return true;
}

static void a_tenant_begins_with_a_root_of_the_given_owner(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    struct cis_str name = CIS_STR("bob");
    struct cis_fs_ref main;
    struct cis_fs_inode root = {0};
    uint64_t one = CIS_FS_ROOT;
    assert_ok(cis_store_tenant_create(s, name, 1000, 1001, NULL, err));
    assert_ok(cis_store_ref_get(s, name, CIS_STR(""), &main, NULL, err));
    assert_string_equal(main.name, "main");
    assert_int_equal(main.files, 0);
    assert_ok(cis_store_inodes(s, name, &(struct cis_fs_inode_query){main.head, &one, 1},
                               keep_inode, &root, NULL, err));
    assert_int_equal(root.mode, 040755);
    assert_int_equal(root.nlink, 2);
    assert_int_equal(root.uid, 1000);
    assert_int_equal(root.gid, 1001);
    assert_int_equal(root.parent, CIS_FS_ROOT);
}

static void tenants_are_made_listed_limited_and_deleted(void **state)
{
    struct refs_fixture *f = *state;
    cis_store *s = f->s;
    struct cis_str b = CIS_STR("bob"), a = CIS_STR("ann");
    struct cis_tenant t = {.quota_files = 7}, u, again;
    assert_fails(CIS_E_NOTFOUND, "bob", cis_store_tenant_get(s, b, &t, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "bob", cis_store_tenant_quota(s, b, &t, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "bob", cis_store_tenant_delete(s, b, NULL, err));
    assert_ok(cis_store_tenant_create(s, b, 1000, 1000, NULL, err));
    assert_ok(cis_store_tenant_create(s, a, 0, 0, NULL, err));
    assert_fails(CIS_E_EXISTS, "bob", cis_store_tenant_create(s, b, 0, 0, NULL, err));
    assert_fails(CIS_E_INVALID, "tenant",
                 cis_store_tenant_create(s, CIS_STR("A"), 0, 0, NULL, err));
    assert_ok(cis_store_tenant_quota(s, b, &t, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(cis_store_tenant_list(s, note_tenant, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "ann:0 bob:7 ");
    assert_ok(cis_store_tenant_get(s, a, &t, NULL, err));
    assert_ok(cis_store_tenant_get(s, b, &u, NULL, err));
    assert_string_equal(u.name, "bob");
    assert_int_equal(u.quota_files, 7);
    assert_memory_not_equal(t.key, u.key, sizeof t.key);
    cis_store_close(f->s);
    s = f->s = refs_backend->open(f->place);
    assert_ok(cis_store_tenant_get(s, b, &again, NULL, err));
    assert_memory_equal(again.key, u.key, sizeof u.key);
}

static void a_deleted_tenant_is_gone_and_its_name_free(void **state)
{
    cis_store *s = ((struct refs_fixture *)*state)->s;
    refs_put(s, "", "k", "v");
    struct cis_tenant before, after;
    assert_ok(cis_store_tenant_get(s, T, &before, NULL, err));
    assert_ok(cis_store_tenant_delete(s, T, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "default", cis_store_tenant_get(s, T, &after, NULL, err));
    refs_assert_memory(s, CIS_VIEW_HEAD, "");
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(cis_store_tenant_list(s, note_tenant, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "");
    struct cis_view first = refs_put(s, "", "k", "new");
    assert_int_equal(first.epoch, 1);
    assert_ok(cis_store_tenant_get(s, T, &after, NULL, err));
    assert_memory_not_equal(before.key, after.key, sizeof before.key);
    refs_assert_memory(s, CIS_VIEW_HEAD, "k=new ");
}

int store_contract_refs_run(const struct store_backend *which)
{
    refs_backend = which;
#define TEST(name) cmocka_unit_test_setup_teardown(name, refs_setup, refs_teardown)
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
        TEST(a_made_branch_expires_with_the_head_that_was_looked_at),
        TEST(a_branch_is_leased_to_one_holder),
        TEST(the_lease_of_a_process_that_ended_is_given_back_at_once),
        TEST(a_lease_that_ran_out_is_given_to_the_next),
        TEST(snapshots_name_views_for_good),
        TEST(pins_hold_a_view_until_they_lapse),
        TEST(a_tenant_begins_with_a_root_of_the_given_owner),
        TEST(tenants_are_made_listed_limited_and_deleted),
        TEST(a_deleted_tenant_is_gone_and_its_name_free),
    };
    int failed = cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
    return failed + refs_commits_run(which->name);
}
