#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "store/text.h"
#include "contract.h"
#include "store/calls.h"

static const struct store_backend *backend;

struct fixture {
    void *place;
    cis_store *store;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->place = backend->place_new();
    f->store = backend->open(f->place);
    *state = f;
    return 0;
}

/* Whatever a test did: what is stored was counted. */
static void assert_counted(cis_store *s)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    cis_code code = cis_store_check(s, T, &faults, NULL, NULL);
    const char *at = code == CIS_OK ? strstr(cis_buf_cstr(&faults), "stored bytes") : NULL;
    if (at != NULL) {
        fail_msg("%s", at);
    }
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_counted(f->store);
    cis_store_close(f->store);
    backend->place_free(f->place);
    free(f);
    return 0;
}

static cis_store *store_of(void **state)
{
    return ((struct fixture *)*state)->store;
}

/* ---- short forms ---- */

cis_code store_skill_add(cis_store *store, struct cis_str tenant, const struct cis_skill_row *row,
                         struct cis_error *err)
{
    const struct cis_skill_change change = {.name = row->name, .was = "", .had = -1, .row = row};
    return cis_store_skill_change(store, tenant, &change, NULL, err);
}

struct cis_kv_op store_put(const char *ns, const char *key, const char *value)
{
    return (struct cis_kv_op){.ns = cis_str_of(ns),
                              .key = cis_str_of(key),
                              .value = cis_bytes_of(value, strlen(value)),
                              .is_public = -1};
}

struct cis_kv_op store_del(const char *ns, const char *key)
{
    return (struct cis_kv_op){.ns = cis_str_of(ns), .key = cis_str_of(key), .remove = true};
}

void store_run_row(struct cis_run_row *out, const char *skill, const char *status)
{
    *out = (struct cis_run_row){.skill = cis_str_of(skill),
                                .status = cis_str_of(status),
                                .started_ms = cis_clock_wall_ms(),
                                .ended_ms = cis_clock_wall_ms(),
                                .report = CIS_STR("{\"schema\":1}")};
    cis_id_new(out->id);
}

cis_code store_apply(cis_store *store, const struct cis_kv_op *ops, size_t n, struct cis_error *err)
{
    struct cis_store_commit commit = {.kv = ops, .nkv = n};
    return cis_store_commit(store, T, &commit, NULL, err);
}

static bool keep_value(void *self, const struct cis_kv_entry *entry)
{
    *(char **)self = strndup((const char *)entry->value.ptr, entry->value.len);
    return true;
}

char *store_get(cis_store *store, const char *ns, const char *key)
{
    char *value = NULL;
    bool found = false;
    assert_ok(cis_store_kv_get(store, T,
                               &(struct cis_kv_get_query){CIS_VIEW_HEAD, cis_str_of(ns),
                                                          cis_str_of(key), keep_value, &value},
                               &found, NULL, err));
    assert_int_equal(found, value != NULL);
    return value;
}

static void assert_value(cis_store *store, const char *ns, const char *key, const char *expected)
{
    char *value = store_get(store, ns, key);
    if (expected == NULL) {
        assert_null(value);
    } else {
        assert_non_null(value);
        assert_string_equal(value, expected);
    }
    free(value);
}

/* Rows as text: "ns/key=value " each. */
static bool note_entry(void *self, const struct cis_kv_entry *e)
{
    struct cis_buf *out = self;
    cis_buf_str(out, e->ns);
    cis_buf_byte(out, '/');
    cis_buf_str(out, e->key);
    if (e->value.ptr != NULL) {
        cis_buf_byte(out, '=');
        cis_buf_add(out, e->value.ptr, e->value.len < 20 ? e->value.len : 20);
    }
    cis_buf_byte(out, ' ');
    return true;
}

static void assert_list(cis_store *store, const struct cis_kv_query *query, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_store_kv_list(store, T, query, note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void assert_search(cis_store *store, const char *ns, const char *query, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    struct cis_str in = ns != NULL ? cis_str_of(ns) : (struct cis_str){NULL, 0};
    assert_ok(cis_store_kv_search(
        store, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, in, cis_str_of(query), 100},
        note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void assert_usage(cis_store *store, uint64_t bytes, uint64_t keys)
{
    uint64_t b = 99, k = 99;
    assert_ok(cis_store_kv_usage(store, T, CIS_VIEW_HEAD, &b, &k, NULL, err));
    assert_int_equal(b, bytes);
    assert_int_equal(k, keys);
}

/* ---- key-value ---- */

static void what_was_committed_is_read_back_also_after_opening_again(void **state)
{
    struct fixture *f = *state;
    struct cis_kv_op ops[] = {store_put("a", "k", "one"), store_put("b", "k", "two")};
    assert_ok(store_apply(f->store, ops, 2, err));
    assert_value(f->store, "a", "k", "one");
    cis_store_close(f->store);
    f->store = backend->open(f->place);
    assert_value(f->store, "b", "k", "two");
    assert_value(f->store, "b", "other", NULL);
}

static void a_key_is_replaced_and_deleted_and_usage_follows(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op ops[] = {store_put("a", "key", "12345"), store_put("a", "key", "1"),
                              store_put("a", "k2", "")};
    assert_ok(store_apply(s, ops, 3, err));
    assert_value(s, "a", "key", "1");
    assert_value(s, "a", "k2", "");
    assert_usage(s, 3 + 1 + 2, 2);
    struct cis_kv_op del[] = {store_del("a", "key"), store_del("a", "never")};
    assert_ok(store_apply(s, del, 2, err));
    assert_value(s, "a", "key", NULL);
    assert_usage(s, 2, 1);
}

static void keys_and_values_are_any_bytes(void **state)
{
    cis_store *s = store_of(state);
    static const char key[] = {0, (char)0xff, 'k', 0};
    static const uint8_t value[] = {0, 1, 0xfe, 0, 0x80};
    struct cis_kv_op op = {.ns = CIS_STR("a"), .key = {key, 4}, .value = {value, 5}};
    assert_ok(store_apply(s, &op, 1, err));
    char *got = NULL;
    bool found = false;
    assert_ok(cis_store_kv_get(
        s, T, &(struct cis_kv_get_query){CIS_VIEW_HEAD, op.ns, op.key, keep_value, &got}, &found,
        NULL, err));
    assert_true(found);
    free(got);
    assert_usage(s, 9, 1);
}

static bool keep_flags(void *self, const struct cis_kv_entry *entry)
{
    struct cis_buf *out = self;
    cis_buf_printf(out, "%s:%.*s:%d", entry->is_public ? "public" : "private",
                   (int)entry->category.len, entry->category.ptr, (int)entry->version);
    return true;
}

static void assert_flags(cis_store *s, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    bool found;
    assert_ok(cis_store_kv_get(
        s, T,
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("k"), keep_flags, &out},
        &found, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void public_flag_and_category_stay_unless_given(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(s, &op, 1, err));
    assert_flags(s, "private::1");
    op.is_public = 1;
    op.category = CIS_STR("notes");
    assert_ok(store_apply(s, &op, 1, err));
    assert_flags(s, "public:notes:2");
    op = store_put("a", "k", "w");
    assert_ok(store_apply(s, &op, 1, err));
    assert_flags(s, "public:notes:3");
    op.is_public = 0;
    op.category = (struct cis_str){"", 0};
    assert_ok(store_apply(s, &op, 1, err));
    assert_flags(s, "private::4");
}

static void a_list_is_in_byte_order_with_prefix_after_and_limit(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op ops[] = {store_put("n", "b", "2"),    store_put("n", "a/2", "y"),
                              store_put("n", "a/1", "x"),  store_put("n", "a0", "z"),
                              store_put("n", "a", "r"),    store_put("n", "\xff\xff", "f"),
                              store_put("m", "a/9", "no"), store_put("n", "a/", "s")};
    assert_ok(store_apply(s, ops, 8, err));
    struct cis_str n = CIS_STR("n");
    assert_list(s, &(struct cis_kv_query){.ns = n, .values = true},
                "n/a=r n/a/=s n/a/1=x n/a/2=y n/a0=z n/b=2 n/\xff\xff=f ");
    assert_list(s, &(struct cis_kv_query){.ns = n, .prefix = CIS_STR("a/")}, "n/a/ n/a/1 n/a/2 ");
    assert_list(s,
                &(struct cis_kv_query){
                    .ns = n, .prefix = CIS_STR("a/"), .after = CIS_STR("a/1"), .limit = 5},
                "n/a/2 ");
    assert_list(s, &(struct cis_kv_query){.ns = n, .prefix = CIS_STR("a/"), .after = CIS_STR("a/")},
                "n/a/1 n/a/2 ");
    assert_list(s, &(struct cis_kv_query){.ns = n, .prefix = CIS_STR("b"), .after = CIS_STR("a")},
                "n/b ");
    assert_list(s, &(struct cis_kv_query){.ns = n, .after = CIS_STR("b")}, "n/\xff\xff ");
    assert_list(s, &(struct cis_kv_query){.ns = n, .prefix = CIS_STR("\xff")}, "n/\xff\xff ");
    assert_list(s, &(struct cis_kv_query){.ns = n, .after = CIS_STR(""), .limit = 1}, "n/a ");
    assert_list(s, &(struct cis_kv_query){.limit = 2}, "m/a/9 n/a ");
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(100);
    assert_ok(cis_store_kv_namespaces(s, T, CIS_VIEW_HEAD, note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "m/ n/ ");
}

static void an_unknown_tenant_is_empty_and_not_made(void **state)
{
    cis_store *s = store_of(state);
    struct cis_str t = CIS_STR("ghost");
    bool found = true;
    assert_ok(cis_store_kv_get(
        s, t,
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("k"), note_entry, NULL},
        &found, NULL, err));
    assert_false(found);
    uint64_t bytes, keys;
    assert_ok(cis_store_kv_usage(s, t, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(bytes + keys, 0);
    assert_fails(CIS_E_NOTFOUND, "no such run",
                 cis_store_run_get(s, t, CIS_STR("01"), NULL, NULL, NULL, err));
}

static void tenants_do_not_see_each_other(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op op = store_put("a", "k", "mine");
    op.is_public = 1;
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, CIS_STR("one"), &c, NULL, err));
    bool found = true;
    assert_ok(cis_store_kv_get(
        s, CIS_STR("two"),
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("k"), note_entry, NULL},
        &found, NULL, err));
    assert_false(found);
}

static void names_and_sizes_outside_the_limits_are_refused(void **state)
{
    cis_store *s = store_of(state);
    static const char *const bad[] = {"", "A", "../x", ".x", "a/b", "-", "a b", "a\xc3\xa9"};
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(CIS_E_INVALID, "tenant",
                     cis_store_commit(s, cis_str_of(bad[i]), &c, NULL, err));
    }
    char *big = calloc(1, CIS_STORE_VALUE_MAX + 1);
    op.key = (struct cis_str){big, CIS_STORE_KEY_MAX + 1};
    assert_fails(CIS_E_INVALID, "key has 1025", store_apply(s, &op, 1, err));
    op.key.len = 0;
    assert_fails(CIS_E_INVALID, "key has 0", store_apply(s, &op, 1, err));
    op = store_put("a", "k", "v");
    op.value = cis_bytes_of(big, CIS_STORE_VALUE_MAX + 1);
    assert_fails(CIS_E_INVALID, "value has 10485761", store_apply(s, &op, 1, err));
    op.value.len--;
    assert_ok(store_apply(s, &op, 1, err));
    assert_usage(s, CIS_STORE_VALUE_MAX + 1, 1);
    free(big);
}

/* ---- search ---- */

static void search_finds_substrings_and_all_words_in_any_order(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op ops[] = {store_put("a", "fruit", "red apples and pears"),
                              store_put("a", "tree", "an Apple tree is tall"),
                              store_put("a", "pear", "green")};
    assert_ok(store_apply(s, ops, 3, err));
    assert_search(s, "a", "pears apples", "a/fruit=red apples and pears ");
    assert_search(s, "a", "PPLE TR", "a/tree=an Apple tree is tal ");
    assert_search(s, "a", "pear", "a/pear=green a/fruit=red apples and pears ");
    assert_search(s, "a", "nothing", "");
    assert_search(s, "a", "is", "a/tree=an Apple tree is tal ");
    assert_search(s, "a", "apple is", "a/tree=an Apple tree is tal ");
}

static void search_follows_changes_and_deletions(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op op = store_put("a", "k", "first text");
    assert_ok(store_apply(s, &op, 1, err));
    op = store_put("a", "k", "second text");
    assert_ok(store_apply(s, &op, 1, err));
    assert_search(s, "a", "first", "");
    assert_search(s, "a", "second", "a/k=second text ");
    op = store_del("a", "k");
    assert_ok(store_apply(s, &op, 1, err));
    assert_search(s, "a", "second", "");
    assert_search(s, "a", "text", "");
}

static void search_sees_own_entries_and_public_ones_of_others_only(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op ops[] = {store_put("a", "mine", "shared word"),
                              store_put("b", "open", "shared word"),
                              store_put("b", "shut", "shared word")};
    ops[1].is_public = 1;
    assert_ok(store_apply(s, ops, 3, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    assert_ok(cis_store_kv_search(
        s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("shared"), 100},
        note_entry, &out, NULL, err));
    assert_non_null(strstr(cis_buf_cstr(&out), "a/mine"));
    assert_non_null(strstr(cis_buf_cstr(&out), "b/open"));
    assert_null(strstr(cis_buf_cstr(&out), "b/shut"));
    assert_search(s, "a", "shut", "");
    assert_search(s, "a", "sh", "b/open=shared word a/mine=shared word ");
    assert_search(s, NULL, "shut", "b/shut=shared word ");
}

static void search_takes_no_syntax_from_the_query(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op op = store_put("a", "k", "say \"hello\" AND NOT key:* OR (this)");
    assert_ok(store_apply(s, &op, 1, err));
    static const char *const odd[] = {"\"",   "\"\"\"", "hello\"", "key:*",  "(this)", "AND NOT",
                                      "key:", "OR (",   "^key",    "a NEAR", "-hello", "{key}: x",
                                      "'",    "%",      "*",       "\\"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
        assert_ok(cis_store_kv_search(
            s, T,
            &(struct cis_kv_search_query){CIS_VIEW_HEAD, CIS_STR("a"), cis_str_of(odd[i]), 10},
            note_entry, &out, NULL, err));
        bool there = strstr("say \"hello\" AND NOT key:* OR (this)", odd[i]) != NULL;
        assert_int_equal(out.len != 0, there);
    }
}

static void search_queries_are_bounded_text(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(s, &op, 1, err));
    char big[CIS_QUERY_MAX + 2];
    memset(big, 'x', sizeof big);
    struct cis_str a = CIS_STR("a");
    assert_fails(CIS_E_INVALID, "query has 4098",
                 cis_store_kv_search(s, T,
                                     &(struct cis_kv_search_query){
                                         CIS_VIEW_HEAD, a, (struct cis_str){big, sizeof big}, 10},
                                     note_entry, NULL, NULL, err));
    assert_fails(CIS_E_INVALID, "empty",
                 cis_store_kv_search(
                     s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, a, CIS_STR(" \t"), 10},
                     note_entry, NULL, NULL, err));
    assert_fails(CIS_E_INVALID, "not text",
                 cis_store_kv_search(
                     s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, a, CIS_STR("a\xff"), 10},
                     note_entry, NULL, NULL, err));
    for (size_t i = 0; i < CIS_QUERY_MAX; i += 4) {
        memcpy(big + i, "abc ", 4);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    assert_ok(cis_store_kv_search(
        s, T,
        &(struct cis_kv_search_query){CIS_VIEW_HEAD, a, (struct cis_str){big, CIS_QUERY_MAX}, 10},
        note_entry, &out, NULL, err));
}

static void search_finds_binary_values_by_key_and_long_ones_by_their_beginning(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op ops[] = {store_put("a", "picture", ""), store_put("a", "long", "")};
    ops[0].value = cis_bytes_of("\x89PNG needle\0needle", 18);
    char *text = malloc(200000);
    memset(text, 'x', 200000);
    memcpy(text + 100, "needle", 6);
    memcpy(text + 150000, "faraway", 7);
    ops[1].value = cis_bytes_of(text, 200000);
    assert_ok(store_apply(s, ops, 2, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    assert_search(s, "a", "needle", "a/long=xxxxxxxxxxxxxxxxxxxx ");
    assert_search(s, "a", "pictu", "a/picture=\x89PNG needle");
    assert_search(s, "a", "faraway", "");
    struct cis_kv_op del[] = {store_del("a", "picture"), store_del("a", "long")};
    assert_ok(store_apply(s, del, 2, err));
    assert_search(s, "a", "needle", "");
    free(text);
}

static void search_finds_two_chinese_characters(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op op = store_put("a", "k", "今天天气很好");
    assert_ok(store_apply(s, &op, 1, err));
    assert_search(s, "a", "天气", "a/k=今天天气很好 ");
    assert_search(s, "a", "天天气", "a/k=今天天气很好 ");
    assert_search(s, "a", "雨", "");
}

/* ---- commits, runs, config ---- */

static void a_commit_is_all_or_nothing(void **state)
{
    cis_store *s = store_of(state);
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op ops[] = {store_put("a", "k1", "12345"), store_put("a", "k2", "12345")};
    struct cis_kv_op config = store_put("a", "mode", "fast");
    struct cis_store_commit c = {
        .run = &run, .kv = ops, .nkv = 2, .config = &config, .nconfig = 1, .quota_bytes = 13};
    assert_fails(CIS_E_QUOTA, "memory bytes: 14 would be used, the quota is 13",
                 cis_store_commit(s, T, &c, NULL, err));
    assert_value(s, "a", "k1", NULL);
    assert_usage(s, 0, 0);
    assert_search(s, "a", "12345", "");
    assert_fails(CIS_E_NOTFOUND, "no such run",
                 cis_store_run_get(s, T, cis_str_of(run.id), NULL, NULL, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    assert_ok(cis_store_config_list(s, T, CIS_STR("a"), note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "");
    c.quota_bytes = 14;
    c.quota_keys = 1;
    assert_fails(CIS_E_QUOTA, "memory keys: 2", cis_store_commit(s, T, &c, NULL, err));
    c.quota_keys = 2;
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    assert_value(s, "a", "k2", "12345");
    assert_fails(CIS_E_EXISTS, run.id, cis_store_commit(s, T, &c, NULL, err));
}

static void a_tenant_over_its_quota_may_shrink(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op ops[] = {store_put("a", "k1", "1234567890"), store_put("a", "k2", "12345")};
    assert_ok(store_apply(s, ops, 2, err));
    struct cis_kv_op shrink = store_put("a", "k1", "1");
    struct cis_store_commit c = {.kv = &shrink, .nkv = 1, .quota_bytes = 5, .quota_keys = 1};
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    shrink = store_put("a", "k1", "12");
    assert_fails(CIS_E_QUOTA, "quota", cis_store_commit(s, T, &c, NULL, err));
}

static bool note_run(void *self, const struct cis_run_row *row)
{
    struct cis_buf *out = self;
    cis_buf_printf(out, "%.*s:%.*s:%d:%zu ", (int)row->skill.len, row->skill.ptr,
                   (int)row->status.len, row->status.ptr, row->exit_code, row->report.len);
    return true;
}

static void runs_are_listed_newest_first_and_found_by_prefix(void **state)
{
    cis_store *s = store_of(state);
    struct cis_run_row runs[3];
    static const char *const ids[] = {"01AAAAAAAAAAAAAAAAAAAAAAAA", "01AAB000000000000000000000",
                                      "01B00000000000000000000000"};
    for (int i = 0; i < 3; i++) {
        store_run_row(&runs[i], i == 1 ? "b" : "a", "ok");
        memcpy(runs[i].id, ids[i], sizeof runs[i].id);
        runs[i].exit_code = i;
        struct cis_store_commit c = {.run = &runs[i]};
        assert_ok(cis_store_commit(s, T, &c, NULL, err));
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    struct cis_str all = {NULL, 0};
    assert_ok(cis_store_run_list(s, T, &(struct cis_run_query){all, 2}, note_run, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "a:ok:2:0 b:ok:1:0 ");
    cis_buf_reset(&out);
    assert_ok(cis_store_run_list(s, T, &(struct cis_run_query){CIS_STR("a"), 0}, note_run, &out,
                                 NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "a:ok:2:0 a:ok:0:0 ");
    cis_buf_reset(&out);
    assert_ok(cis_store_run_get(s, T, CIS_STR("01B"), note_run, &out, NULL, err));
    assert_ok(cis_store_run_get(s, T, cis_str_of(ids[0]), note_run, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "a:ok:2:12 a:ok:0:12 ");
    assert_fails(CIS_E_USAGE, "more than one run",
                 cis_store_run_get(s, T, CIS_STR("01AA"), note_run, &out, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no such run",
                 cis_store_run_get(s, T, CIS_STR("01C"), note_run, &out, NULL, err));
    assert_fails(CIS_E_USAGE, "1 to 26",
                 cis_store_run_get(s, T, CIS_STR(""), note_run, &out, NULL, err));
}

static bool note_text(void *self, const struct cis_run_row *row)
{
    cis_buf_reset(self);
    cis_buf_str(self, row->report);
    return true;
}

static void a_report_is_replaced_if_it_is_still_the_one(void **state)
{
    cis_store *s = store_of(state);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    struct cis_run_row run = {.id = "01AAAAAAAAAAAAAAAAAAAAAAA1",
                              .skill = CIS_STR("a"),
                              .status = CIS_STR("ok"),
                              .report = CIS_STR("{\"schema\":1}")};
    struct cis_store_commit c = {.run = &run};
    struct cis_str id = cis_str_of(run.id), now = CIS_STR("{\"n\":2}");
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
    assert_ok(cis_store_run_report(s, T, id, run.report, now, NULL, err));
    assert_fails(CIS_E_CONFLICT, "changed meanwhile",
                 cis_store_run_report(s, T, id, run.report, CIS_STR("{}"), NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no such run",
                 cis_store_run_report(s, T, CIS_STR("01AAAAAAAAAAAAAAAAAAAAAAA2"), now,
                                      CIS_STR("{}"), NULL, err));
    assert_fails(CIS_E_INVALID, "26 characters",
                 cis_store_run_report(s, T, CIS_STR("01A"), now, CIS_STR("{}"), NULL, err));
    assert_ok(cis_store_run_get(s, T, id, note_text, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "{\"n\":2}");
}

static void where_a_run_was_applied_is_the_first_member_of_its_report(void **state)
{
    static const char *const reports[] = {"{}", "", "{ }", "{\"schema\":1,\"restored_ms\":7}",
                                          "{\"a\":{\"applied\":[1]},\"applied\":[2]}"};
    (void)state;
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        CIS_CLEANUP(cis_buf_done)
        struct cis_buf one = CIS_BUF_INIT(1000), two = CIS_BUF_INIT(1000),
                       three = CIS_BUF_INIT(1000);
        struct cis_str list =
            CIS_STR("[{\"record\":\"applied/X-1\",\"folder\":\"\\\"record\\\":\"}]");
        assert_int_equal(cis_run_report_applied(cis_str_of(reports[i])).len, 0);
        cis_run_report_set_applied(cis_str_of(reports[i]), CIS_STR("[]"), &one);
        cis_run_report_set_applied(cis_buf_view(&one), list, &two);
        assert_true(cis_run_report_valid(cis_buf_view(&two)));
        struct cis_str got = cis_run_report_applied(cis_buf_view(&two));
        assert_true(cis_str_eq(got, list));
        assert_true(cis_run_applied_names(got, CIS_STR("applied/X-1")));
        assert_false(cis_run_applied_names(got, CIS_STR("applied/X-")));
        assert_int_equal(cis_run_restored_ms(cis_buf_view(&two)),
                         cis_run_restored_ms(cis_str_of(reports[i])));
        cis_run_report_restored(cis_buf_view(&two), 9, &three); /* and a backup has none */
        assert_true(cis_run_report_valid(cis_buf_view(&three)));
        assert_int_equal(cis_run_restored_ms(cis_buf_view(&three)), 9);
        assert_int_equal(cis_run_report_applied(cis_buf_view(&three)).len, 0);
    }
}

static void config_is_per_skill_and_bounded(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op ops[] = {store_put("a", "k2", "v2"), store_put("a", "k1", "v1"),
                              store_put("b", "k1", "other")};
    assert_ok(cis_store_config_apply(s, T, ops, 3, NULL, err));
    struct cis_kv_op del = store_del("a", "k2");
    assert_ok(cis_store_config_apply(s, T, &del, 1, NULL, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    assert_ok(cis_store_config_list(s, T, CIS_STR("a"), note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "a/k1=v1 ");
    char *big = calloc(1, CIS_STORE_CONFIG_BYTES_MAX);
    struct cis_kv_op huge = store_put("a", "k9", "");
    huge.value = cis_bytes_of(big, CIS_STORE_CONFIG_BYTES_MAX);
    assert_fails(CIS_E_QUOTA, "config of a", cis_store_config_apply(s, T, &huge, 1, NULL, err));
    free(big);
    cis_buf_reset(&out);
    assert_ok(cis_store_config_list(s, T, CIS_STR("a"), note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "a/k1=v1 ");
}

/* ---- threads and stops ---- */

struct crowd {
    cis_store *store;
    int id;
    uint64_t quota;
    atomic_int *refused;
};

#define CROWD 8
#define CROWD_COMMITS 20

static void *commit_many(void *arg)
{
    struct crowd *me = arg;
    for (int i = 0; i < CROWD_COMMITS; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%02d-%02d", me->id, i);
        struct cis_run_row run;
        store_run_row(&run, "a", "ok");
        struct cis_kv_op op = store_put("a", key, "0123456789");
        struct cis_store_commit c = {
            .run = &run, .kv = &op, .nkv = i % 4 != 3, .quota_bytes = me->quota};
        struct cis_error err = {0};
        cis_code code = cis_store_commit(me->store, T, &c, NULL, &err);
        if (code == CIS_E_QUOTA) {
            atomic_fetch_add(me->refused, 1);
        } else if (code != CIS_OK) {
            fprintf(stderr, "commit: %s\n", err.msg);
            abort();
        }
    }
    return NULL;
}

static void run_crowd(cis_store *s, uint64_t quota, atomic_int *refused)
{
    pthread_t threads[CROWD];
    struct crowd crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct crowd){s, i, quota, refused};
        assert_int_equal(pthread_create(&threads[i], NULL, commit_many, &crowd[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void commits_of_many_threads_are_all_there(void **state)
{
    cis_store *s = store_of(state);
    atomic_int refused = 0;
    run_crowd(s, 0, &refused);
    assert_int_equal(refused, 0);
    assert_usage(s, CROWD * CROWD_COMMITS * 3 / 4 * 16, CROWD * CROWD_COMMITS * 3 / 4);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_store_run_list(s, T, &(struct cis_run_query){(struct cis_str){NULL, 0}, 0},
                                 note_run, &out, NULL, err));
    assert_int_equal(out.len, CROWD * CROWD_COMMITS * strlen("a:ok:0:0 "));
}

static void the_quota_is_exact_under_concurrency(void **state)
{
    cis_store *s = store_of(state);
    atomic_int refused = 0;
    run_crowd(s, 10 * 16 + 15, &refused);
    assert_usage(s, 10 * 16, 10);
    assert_int_equal(refused, CROWD * CROWD_COMMITS * 3 / 4 - 10);
}

static void an_ended_stop_ends_every_operation_before_it_begins(void **state)
{
    cis_store *s = store_of(state);
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(s, &op, 1, err));
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    cis_cancel_fire(cancel);
    struct cis_stop late = {1, NULL}, gone = {CIS_NEVER, cancel};
    bool found;
    assert_fails(CIS_E_DEADLINE, "time limit",
                 cis_store_kv_get(s, T,
                                  &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"),
                                                             CIS_STR("k"), note_entry, NULL},
                                  &found, &late, err));
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_fails(CIS_E_CANCELLED, "cancelled", cis_store_commit(s, T, &c, &gone, err));
    assert_fails(CIS_E_CANCELLED, "cancelled",
                 cis_store_kv_search(
                     s, T,
                     &(struct cis_kv_search_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("abc"), 1},
                     note_entry, NULL, &gone, err));
    cis_cancel_unref(cancel);
    assert_value(s, "a", "k", "v");
}

/* ---- memory ---- */

static cis_code all_operations(cis_store *s, struct cis_error *err)
{
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op ops[] = {store_put("a", "k1", "some text"), store_del("a", "k0")};
    struct cis_store_commit c = {.run = &run, .kv = ops, .nkv = 2};
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    bool found;
    CIS_TRY(cis_store_commit(s, T, &c, NULL, err));
    CIS_TRY(cis_store_kv_get(
        s, T,
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("k1"), note_entry, &out},
        &found, NULL, err));
    CIS_TRY(cis_store_kv_search(
        s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("ext so"), 9},
        note_entry, &out, NULL, err));
    CIS_TRY(cis_store_run_list(s, T, &(struct cis_run_query){(struct cis_str){NULL, 0}, 9},
                               note_run, &out, NULL, err));
    CIS_TRY(cis_store_describe(s, &out, err));
    return CIS_OK;
}

static void every_failed_allocation_is_an_error_and_nothing_breaks(void **state)
{
    struct fixture *f = *state;
    int failed = 0;
    for (int fresh = 0; fresh < 2; fresh++) {
        for (size_t n = 0; n < 60; n++) {
            struct cis_error err = {0};
            if (fresh != 0) {
                cis_store_close(f->store);
                f->store = backend->open(f->place);
            }
            cis_mem_fail_after(n);
            cis_code code = all_operations(f->store, &err);
            cis_mem_fail_after(SIZE_MAX);
            if (code != CIS_OK && code != CIS_E_NOMEM) {
                fail_msg("allocation %zu: %s", n, err.msg);
            }
            failed += code != CIS_OK;
        }
    }
    assert_true(failed > 10);
    assert_ok(all_operations(f->store, err));
    assert_value(f->store, "a", "k1", "some text");
}

int store_contract_run(const struct store_backend *which)
{
    backend = which;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_is_read_back_also_after_opening_again),
        TEST(a_key_is_replaced_and_deleted_and_usage_follows),
        TEST(keys_and_values_are_any_bytes),
        TEST(public_flag_and_category_stay_unless_given),
        TEST(a_list_is_in_byte_order_with_prefix_after_and_limit),
        TEST(an_unknown_tenant_is_empty_and_not_made),
        TEST(tenants_do_not_see_each_other),
        TEST(names_and_sizes_outside_the_limits_are_refused),
        TEST(search_finds_substrings_and_all_words_in_any_order),
        TEST(search_follows_changes_and_deletions),
        TEST(search_sees_own_entries_and_public_ones_of_others_only),
        TEST(search_takes_no_syntax_from_the_query),
        TEST(search_queries_are_bounded_text),
        TEST(search_finds_binary_values_by_key_and_long_ones_by_their_beginning),
        TEST(search_finds_two_chinese_characters),
        TEST(a_commit_is_all_or_nothing),
        TEST(a_tenant_over_its_quota_may_shrink),
        TEST(runs_are_listed_newest_first_and_found_by_prefix),
        TEST(a_report_is_replaced_if_it_is_still_the_one),
        TEST(where_a_run_was_applied_is_the_first_member_of_its_report),
        TEST(config_is_per_skill_and_bounded),
        TEST(commits_of_many_threads_are_all_there),
        TEST(the_quota_is_exact_under_concurrency),
        TEST(an_ended_stop_ends_every_operation_before_it_begins),
        TEST(every_failed_allocation_is_an_error_and_nothing_breaks),
    };
    return cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
}
