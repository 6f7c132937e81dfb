/* The contract of the stored quota: whatever rows a tenant makes count in it, what removes has room
 * above it, and what goes is taken off again. */
#include "harness.h"

#include <sys/stat.h>
#include "tree.h"
#include "store/calls.h"

#define ROOM (256u << 10)

static uint64_t stored(cis_store *s)
{
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    return tenant.stored;
}

/* From here on the tenant may store so much more. */
static uint64_t limit(cis_store *s, uint64_t more)
{
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    tenant.quota_stored = tenant.stored + more;
    assert_ok(cis_store_tenant_quota(s, T, &tenant, NULL, err));
    return tenant.quota_stored;
}

typedef cis_code maker(cis_store *s, int i);

/* One after another until there is no room. */
static int fill(cis_store *s, maker *make, uint64_t most)
{
    cis_code code = CIS_OK;
    int n = 0;
    for (; code == CIS_OK && n < 20000; n += code == CIS_OK) {
        code = make(s, n);
    }
    assert_int_equal(code, CIS_E_QUOTA);
    assert_true(stored(s) <= most);
    return n;
}

static cis_code make_small_file(cis_store *s, int i)
{
    char name[32], text[CIS_FS_INLINE_MAX + 1];
    snprintf(name, sizeof name, "f%d", i);
    memset(text, 'x', CIS_FS_INLINE_MAX);
    text[CIS_FS_INLINE_MAX] = 0;
    struct tree *t = tree_new(s, "main");
    (void)tree_file(t, CIS_FS_ROOT, name, text);
    return tree_try(t, NULL, NULL);
}

static cis_code overwrite(cis_store *s, int i)
{
    char text[CIS_FS_INLINE_MAX + 1];
    memset(text, 'a' + i % 20, CIS_FS_INLINE_MAX);
    text[CIS_FS_INLINE_MAX] = 0;
    struct tree *t = tree_new(s, "main");
    tree_text(t, tree_find(s, tree_head(s, "main"), "f"), text);
    return tree_try(t, NULL, NULL);
}

static cis_code make_long_names(cis_store *s, int i)
{
    char name[CIS_FS_NAME_MAX + 1];
    struct tree *t = tree_new(s, "main");
    for (int k = 0; k < 20; k++) {
        memset(name, 'n', CIS_FS_NAME_MAX);
        name[CIS_FS_NAME_MAX] = 0;
        snprintf(name, 32, "%d-%d", i, k);
        name[strlen(name)] = 'n';
        (void)tree_file(t, CIS_FS_ROOT, name, "");
    }
    return tree_try(t, NULL, NULL);
}

static cis_code change_mode(cis_store *s, int i)
{
    struct tree *t = tree_new(s, "main");
    tree_row(t, tree_find(s, tree_head(s, "main"), "f"))->mode =
        S_IFREG | (i % 2 != 0 ? 0600 : 0644);
    return tree_try(t, NULL, NULL);
}

/* value NULL: removed. */
static cis_code memory_op(cis_store *s, const char *value, struct cis_error *err)
{
    struct cis_kv_op op = {.ns = CIS_STR("skill"), .key = CIS_STR("key"), .remove = value == NULL};
    op.value = value != NULL ? cis_bytes_of(value, strlen(value)) : (struct cis_bytes){NULL, 0};
    struct cis_store_commit commit = {.kv = &op, .nkv = 1};
    return cis_store_commit(s, T, &commit, NULL, err);
}

static cis_code set_memory(cis_store *s, int i)
{
    char value[4096];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    value[0] = (char)('a' + i % 20);
    return memory_op(s, value, NULL);
}

static cis_code make_fork(cis_store *s, int i)
{
    char name[32];
    snprintf(name, sizeof name, "fork-%d", i);
    struct cis_str ref = cis_str_of(name);
    return cis_store_fork(s, T, tree_head(s, "main"), &ref, 1, NULL, NULL);
}

static cis_code make_snapshot(cis_store *s, int i)
{
    struct cis_fs_snapshot snapshot = {.view = tree_head(s, "main"), .note = CIS_STR("a note")};
    snprintf(snapshot.name, sizeof snapshot.name, "s-%d", i);
    return cis_store_snapshot_put(s, T, &snapshot, NULL, NULL);
}

static cis_code roll_back(cis_store *s, int i)
{
    struct cis_fs_ref ref;
    struct cis_view head, zero = {1, 0};
    CIS_TRY(make_small_file(s, i)); /* to where it is already would be no move */
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
    return cis_store_ref_move(
        s, T, &(struct cis_fs_move_request){CIS_STR("main"), ref.head, zero, 0, CIS_STR("back")},
        &head, NULL, NULL);
}

static void every_kind_of_row_counts(void **state)
{
    static const struct {
        maker *make;
        int most; /* bytes that one adds at least are ROOM / most */
    } kinds[] = {{make_small_file, ROOM / 1024}, {overwrite, ROOM / 1024},
                 {make_long_names, ROOM / 5100}, {change_mode, ROOM / 200},
                 {set_memory, ROOM / 4096},      {make_fork, ROOM / 300},
                 {make_snapshot, ROOM / 300},    {roll_back, ROOM / 1300}};
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    (void)tree_file(t, CIS_FS_ROOT, "f", "text");
    (void)tree_commit(t);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        uint64_t most = limit(s, ROOM);
        int n = fill(s, kinds[i].make, most);
        assert_true(n > 0 && n <= kinds[i].most);
    }
}

static cis_code record(cis_store *s, int i)
{
    static char report[16384];
    struct cis_run_row run = {.skill = CIS_STR("file:x"), .status = CIS_STR("ok")};
    snprintf(run.id, sizeof run.id, "01KAJ2ABCDEFGHJKMNPQR%05d", i);
    memset(report, ' ', sizeof report);
    run.report = (struct cis_str){report, sizeof report};
    struct cis_store_commit commit = {.run = &run};
    return cis_store_commit(s, T, &commit, NULL, NULL);
}

static void records_of_runs_have_some_room_above_the_quota_and_no_more(void **state)
{
    cis_store *s = fs_store(state);
    uint64_t most = limit(s, ROOM);
    (void)fill(s, make_small_file, most);
    assert_ok(record(s, 99999));
    (void)fill(s, record, most + most / 2 + (512u << 10));
    assert_fails(CIS_E_QUOTA, "", make_small_file(s, 20000));
    struct tree *t = tree_new(s, "main"); /* and they left some for removing */
    tree_unlink(t, CIS_FS_ROOT, "f0", tree_find(s, tree_head(s, "main"), "f0"));
    (void)tree_commit(t);
}

static void everything_can_be_removed_when_the_quota_is_used_up(void **state)
{
    cis_store *s = fs_store(state);
    uint64_t most = limit(s, ROOM);
    assert_ok(set_memory(s, 0));
    assert_ok(make_fork(s, 0));
    assert_ok(make_snapshot(s, 0));
    struct tree *t = tree_new(s, "main"); /* a second name */
    uint64_t twice = tree_file(t, CIS_FS_ROOT, "twice", "text");
    tree_name(t, CIS_FS_ROOT, "again", twice, S_IFREG);
    tree_row(t, twice)->nlink = 2;
    (void)tree_commit(t);
    int n = fill(s, make_small_file, most);
    t = tree_new(s, "main");
    tree_row(t, twice)->nlink = 1;
    tree_name(t, CIS_FS_ROOT, "again", 0, 0);
    (void)tree_commit(t);
    assert_ok(memory_op(s, NULL, err));
    for (int i = 0; i < n; i++) { /* one by one costs most */
        char name[32];
        snprintf(name, sizeof name, "f%d", i);
        t = tree_new(s, "main");
        tree_unlink(t, CIS_FS_ROOT, name, tree_find(s, tree_head(s, "main"), name));
        (void)tree_commit(t);
    }
    assert_true(stored(s) <= 2 * most + (1u << 20));
    assert_ok(cis_store_ref_remove(s, T, CIS_STR("fork-0"), CIS_STR(""), NULL, err));
    assert_ok(cis_store_snapshot_remove(s, T, CIS_STR("s-0"), NULL, err));
    assert_fails(CIS_E_QUOTA, "cis fs gc", ({
                     struct tree *more = tree_new(s, "main");
                     (void)tree_file(more, CIS_FS_ROOT, "new", "");
                     tree_try(more, NULL, err);
                 }));
}

static bool note_id(void *self, const struct cis_fs_ref *ref)
{
    *(uint64_t *)self = ref->head.branch;
    return true;
}

static void what_goes_is_taken_off(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_str name = CIS_STR("side");
    uint64_t branch = 0;
    assert_ok(make_small_file(s, 0));
    uint64_t before = stored(s);
    assert_ok(cis_store_fork(s, T, tree_head(s, "main"), &name, 1, NULL, err));
    struct tree *t = tree_new(s, "side");
    (void)tree_file(t, CIS_FS_ROOT, "g", "text");
    (void)tree_commit(t);
    assert_true(stored(s) > before);
    assert_ok(cis_store_ref_remove(s, T, name, CIS_STR(""), NULL, err));
    assert_ok(cis_store_branches(s, T, note_id, &branch, NULL, err));
    assert_ok(cis_store_branch_remove(s, T, branch, NULL, err));
    assert_int_equal(stored(s), before);
}

/* Two that set one limit each at the same moment both have it set. */
static void a_limit_that_is_not_named_stays(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_tenant one = {.quota_files = 1000,
                             .quota_bytes = CIS_QUOTA_KEEP,
                             .quota_stored = CIS_QUOTA_KEEP,
                             .quota_snapshots = 7},
                      other = {.quota_files = CIS_QUOTA_KEEP,
                               .quota_bytes = INT64_MAX - 1,
                               .quota_stored = 1u << 30,
                               .quota_snapshots = CIS_QUOTA_KEEP},
                      now;
    assert_ok(make_small_file(s, 0));
    assert_ok(cis_store_tenant_quota(s, T, &one, NULL, err));
    assert_ok(cis_store_tenant_quota(s, T, &other, NULL, err));
    assert_ok(cis_store_tenant_get(s, T, &now, NULL, err));
    assert_int_equal(now.quota_files, 1000);
    assert_int_equal(now.quota_bytes, INT64_MAX - 1);
    assert_int_equal(now.quota_stored, 1u << 30);
    assert_int_equal(now.quota_snapshots, 7);
}

const struct fs_test fs_tests_stored[] = {
    FS_TEST(every_kind_of_row_counts),
    FS_TEST(records_of_runs_have_some_room_above_the_quota_and_no_more),
    FS_TEST(everything_can_be_removed_when_the_quota_is_used_up),
    FS_TEST(what_goes_is_taken_off),
    FS_TEST(a_limit_that_is_not_named_stays),
    {NULL, NULL},
};
