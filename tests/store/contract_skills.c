/* The contract of installed skills (store/store.h): a change of one stands only if the skill is
 * still what the change was computed from, whoever else changes it. */
#include "harness.h"

#include <pthread.h>
#include "base/mem.h"
#include "contract.h"
#include "store/calls.h"

static const struct store_backend *backend;

struct fixture {
    void *place;
    cis_store *store, *other; /* the same, as another process has it open */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->place = backend->place_new();
    f->store = backend->open(f->place);
    f->other = backend->open(f->place);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->store);
    cis_store_close(f->other);
    backend->place_free(f->place);
    free(f);
    return 0;
}

#define WEB CIS_STR("web")
static const struct cis_skill_row web = {.name = CIS_STR("web"),
                                         .version = CIS_STR("1.0.0"),
                                         .source = CIS_STR("/x"),
                                         .sha256 = CIS_STR("00"),
                                         .manifest = CIS_STR("{}"),
                                         .grants = CIS_STR("[\"ai\"]"),
                                         .signer = CIS_STR(""),
                                         .digest = CIS_STR("11")};

struct seen {
    char stamp[CIS_SKILL_STAMP_LEN + 1], text[1000];
};

static bool take(void *self, const struct cis_skill_row *row)
{
    struct seen *seen = self;
    size_t at = strlen(seen->text);
    cis_skill_row_stamp(row, seen->stamp);
    snprintf(seen->text + at, sizeof seen->text - at, "%.*s@%.*s:%.*s ", CIS_STR_ARG(row->name),
             CIS_STR_ARG(row->version), CIS_STR_ARG(row->grants));
    return true;
}

static struct seen look(cis_store *s, struct cis_str name)
{
    struct seen seen = {"", ""};
    assert_ok(cis_store_skill_get(s, T, name, take, &seen, NULL, err));
    return seen;
}

static struct seen list(cis_store *s)
{
    struct seen seen = {"", ""};
    assert_ok(cis_store_skill_list(s, T, take, &seen, NULL, err));
    return seen;
}

static bool note(void *self, const struct cis_kv_entry *e)
{
    cis_buf_printf(self, "%.*s=%.*s ", CIS_STR_ARG(e->key), (int)e->value.len,
                   (const char *)e->value.ptr);
    return true;
}

static void has_config(cis_store *s, struct cis_str name, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    assert_ok(cis_store_config_list(s, T, name, note, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void skills_are_put_replaced_listed_and_removed_with_their_config(void **state)
{
    cis_store *s = ((struct fixture *)*state)->store;
    struct cis_skill_row row = web;
    assert_ok(store_skill_add(s, T, &row, err));
    row.name = CIS_STR("art");
    assert_ok(store_skill_add(s, T, &row, err));
    row.version = CIS_STR("2.0.0");
    row.grants = CIS_STR("[]");
    struct seen art = look(s, row.name);
    struct cis_skill_change change = {.name = row.name, .was = art.stamp, .had = -1, .row = &row};
    assert_ok(cis_store_skill_change(s, T, &change, NULL, err));
    assert_string_equal(list(s).text, "art@2.0.0:[] web@1.0.0:[\"ai\"] ");
    struct cis_kv_op config = store_put("art", "k", "v"), memory = store_put("art", "k", "kept");
    assert_ok(cis_store_config_apply(s, T, &config, 1, NULL, err));
    assert_ok(store_apply(s, &memory, 1, err));
    art = look(s, row.name);
    struct cis_skill_change removal = {
        .name = row.name, .was = art.stamp, .had = -1, .remove = true};
    assert_ok(cis_store_skill_change(s, T, &removal, NULL, err));
    assert_string_equal(list(s).text, "web@1.0.0:[\"ai\"] ");
    has_config(s, row.name, "");
    char *kept = store_get(s, "art", "k");
    assert_string_equal(kept, "kept");
    free(kept);
    removal.was = "";
    assert_fails(CIS_E_NOTFOUND, "art: not installed",
                 cis_store_skill_change(s, T, &removal, NULL, err));
}

/* Another host changes the skill between reading it and writing what was computed from that. */
static void a_change_stands_only_on_what_was_read(void **state)
{
    struct fixture *f = *state;
    struct cis_skill_row row = web;
    assert_ok(store_skill_add(f->store, T, &row, err));
    assert_fails(CIS_E_CONFLICT, "web: was changed meanwhile",
                 store_skill_add(f->other, T, &row, err));
    struct seen before = look(f->store, WEB);
    struct cis_kv_op secret = store_put("web", "key", "secret");
    struct cis_skill_change revoke = {.name = WEB, .was = before.stamp, .had = -1, .row = &row};
    row.grants = CIS_STR("[]");
    assert_ok(cis_store_skill_change(f->other, T, &revoke, NULL, err));
    struct cis_skill_row wider = web;
    wider.grants = CIS_STR("[\"ai\",\"http\"]");
    const struct cis_skill_change late[] = {
        {.name = WEB, .was = before.stamp, .had = -1, .row = &wider},
        {.name = WEB, .was = before.stamp, .had = -1, .remove = true},
        {.name = WEB, .was = before.stamp, .had = -1, .config = &secret, .nconfig = 1},
        {.name = WEB, .was = "", .had = -1, .row = &wider}};
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        assert_fails(CIS_E_CONFLICT, "web: was changed meanwhile",
                     cis_store_skill_change(f->store, T, &late[i], NULL, err));
    }
    assert_string_equal(list(f->store).text, "web@1.0.0:[] ");
    has_config(f->store, WEB, "");
    struct seen now = look(f->store, WEB);
    struct cis_skill_change removal = {.name = WEB, .was = now.stamp, .had = -1, .remove = true};
    assert_ok(cis_store_skill_change(f->other, T, &removal, NULL, err));
    assert_fails(CIS_E_CONFLICT, "web: was changed meanwhile", /* it does not come back */
                 cis_store_skill_change(f->store, T,
                                        &(struct cis_skill_change){
                                            .name = WEB, .was = now.stamp, .had = -1, .row = &row},
                                        NULL, err));
    assert_string_equal(list(f->store).text, "");
}

static void every_field_of_a_row_is_in_its_stamp(void **state)
{
    (void)state;
    char first[CIS_SKILL_STAMP_LEN + 1], other[CIS_SKILL_STAMP_LEN + 1];
    struct cis_skill_row rows[9];
    cis_skill_row_stamp(&web, first);
    for (int i = 0; i < 9; i++) {
        rows[i] = web;
    }
    rows[0].name = rows[1].version = rows[2].source = rows[3].sha256 = rows[4].manifest =
        rows[5].grants = rows[6].signer = rows[7].digest = CIS_STR("?");
    rows[8].installed_ms++;
    for (int i = 0; i < 9; i++) {
        cis_skill_row_stamp(&rows[i], other);
        assert_string_not_equal(first, other);
    }
    rows[0] = web; /* where a field ends is part of it */
    rows[0].sha256 = CIS_STR("0");
    rows[0].manifest = CIS_STR("0{}");
    cis_skill_row_stamp(&rows[0], other);
    assert_string_not_equal(first, other);
}

static void a_change_is_whole_or_not_at_all_with_its_config(void **state)
{
    struct fixture *f = *state;
    struct cis_skill_row row = web;
    struct cis_kv_op key = store_put("web", "key", "secret"), owner = store_put("memory", "k", "v");
    assert_ok(store_skill_add(f->store, T, &row, err));
    struct seen was = look(f->store, WEB);
    assert_ok(cis_store_skill_change(
        f->store, T,
        &(struct cis_skill_change){
            .name = WEB, .was = was.stamp, .had = 0, .config = &key, .nconfig = 1},
        NULL, err));
    has_config(f->store, WEB, "key=secret ");
    row.version = CIS_STR("2.0.0");
    struct cis_skill_change anew = {.name = WEB,
                                    .was = was.stamp,
                                    .had = 0,
                                    .row = &row,
                                    .clear = true,
                                    .config = &owner,
                                    .nconfig = 1};
    assert_fails(CIS_E_CONFLICT, "web: was changed meanwhile", /* it has a key by now */
                 cis_store_skill_change(f->store, T, &anew, NULL, err));
    anew.had = 1;
    char *big = calloc(1, CIS_STORE_CONFIG_BYTES_MAX / 4 * 3);
    owner.value = cis_bytes_of(big, CIS_STORE_CONFIG_BYTES_MAX / 4 * 3);
    struct cis_kv_op full = owner;
    full.key = CIS_STR("other");
    assert_ok(cis_store_config_apply(f->store, T, &full, 1, NULL, err));
    assert_fails(CIS_E_QUOTA, "config of memory",
                 cis_store_skill_change(f->store, T, &anew, NULL, err));
    free(big);
    assert_string_equal(list(f->store).text, "web@1.0.0:[\"ai\"] ");
    has_config(f->store, WEB, "key=secret ");
    owner.value = cis_bytes_of("v", 1);
    full.remove = true;
    assert_ok(cis_store_config_apply(f->store, T, &full, 1, NULL, err));
    assert_ok(cis_store_skill_change(f->store, T, &anew, NULL, err));
    assert_string_equal(list(f->store).text, "web@2.0.0:[\"ai\"] ");
    has_config(f->store, WEB, "");
    has_config(f->store, CIS_STR("memory"), "k=v ");
}

/* ---- many at once ---- */
#define CROWD 8
#define CHANGES 20

struct member {
    cis_store *store;
    int done;
};

static cis_code count_one(cis_store *s, struct cis_error *err)
{
    struct seen seen = {"", ""};
    char version[16];
    struct cis_skill_row row = web;
    cis_code code = cis_store_skill_get(s, T, WEB, take, &seen, NULL, err);
    if (code != CIS_OK && code != CIS_E_NOTFOUND) {
        return code;
    }
    int n = 0; /* its version counts the changes */
    (void)sscanf(seen.text, "web@%d", &n);
    snprintf(version, sizeof version, "%d", n + 1);
    row.version = cis_str_of(version);
    const struct cis_skill_change change = {.name = WEB, .was = seen.stamp, .had = -1, .row = &row};
    return cis_store_skill_change(s, T, &change, NULL, err);
}

static void *change_often(void *arg)
{
    struct member *me = arg;
    while (me->done < CHANGES) {
        struct cis_error err = {0};
        cis_code code = count_one(me->store, &err);
        if (code != CIS_OK && code != CIS_E_CONFLICT) {
            fprintf(stderr, "change: %s\n", err.msg);
            abort();
        }
        me->done += code == CIS_OK;
    }
    return NULL;
}

static void of_many_changes_at_once_none_is_lost(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[CROWD];
    struct member crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct member){i % 2 == 0 ? f->store : f->other, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, change_often, &crowd[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_string_equal(list(f->store).text, "web@160:[\"ai\"] ");
}

int store_contract_skills_run(const struct store_backend *which)
{
    backend = which;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(skills_are_put_replaced_listed_and_removed_with_their_config),
        TEST(a_change_stands_only_on_what_was_read),
        TEST(every_field_of_a_row_is_in_its_stamp),
        TEST(a_change_is_whole_or_not_at_all_with_its_config),
        TEST(of_many_changes_at_once_none_is_lost),
    };
    return cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
}
