#include "harness.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "service/memory/memory.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

struct fixture {
    char *dir;
    cis_store *store;
    struct cis_store_memory memory;
    struct cis_stop stop;
    struct cis_call call, other;
    struct cis_budget budget;
    cis_memory_view *view;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->dir = test_dir_new();
    assert_ok(cis_store_sqlite_open(f->dir, &f->store, err));
    cis_store_memory_init(&f->memory, f->store, 0, 0);
    f->stop = (struct cis_stop){CIS_NEVER, NULL};
    f->call = (struct cis_call){
        .tenant = "default", .skill = "me", .deadline_ns = CIS_NEVER, .stop = &f->stop};
    f->other = f->call;
    f->other.skill = "file:other";
    f->budget.limit = 32u << 20;
    assert_ok(cis_memory_view_new(&f->memory.service, &f->call, &f->budget, &f->view, err));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_memory_view_free(f->view);
    assert_int_equal(f->budget.used, 0);
    cis_store_close(f->store);
    assert_ok(cis_file_remove_tree(f->dir, err));
    free(f->dir);
    free(f);
    return 0;
}

static void store_set(struct fixture *f, const char *ns, const char *key, const char *value,
                      int is_public)
{
    struct cis_kv_op op = {.ns = cis_str_of(ns),
                           .key = cis_str_of(key),
                           .value = cis_bytes_of(value, strlen(value)),
                           .remove = value[0] == 0,
                           .is_public = (int8_t)is_public};
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(f->store, CIS_STR("default"), &c, NULL, err));
}

static void assert_sees(cis_memory_view *view, const char *key, const char *expected)
{
    struct cis_bytes value = {NULL, 0};
    bool found = false;
    assert_ok(cis_memory_view_get(view, cis_str_of(key), &value, &found, err));
    assert_int_equal(found, expected != NULL);
    if (expected != NULL) {
        assert_int_equal(value.len, strlen(expected));
        assert_memory_equal(value.ptr, expected, value.len);
    }
}

static void view_set(struct fixture *f, const char *key, const char *value)
{
    assert_ok(
        cis_memory_view_set(f->view, cis_str_of(key), cis_bytes_of(value, strlen(value)), err));
}

static void assert_finds(cis_memory_view *view, const char *query, uint32_t limit,
                         const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_memory_view_search(view, cis_str_of(query), limit, &out, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static void writes_are_seen_by_the_run_at_once_and_by_others_after_the_commit(void **state)
{
    struct fixture *f = *state;
    cis_memory_view *second = NULL;
    assert_ok(cis_memory_view_new(&f->memory.service, &f->call, &f->budget, &second, err));
    view_set(f, "k", "v");
    view_set(f, "empty", "");
    assert_sees(f->view, "k", "v");
    assert_sees(f->view, "empty", "");
    assert_sees(second, "k", NULL);
    cis_memory_view_free(second);
    const struct cis_memory_op *ops;
    size_t n;
    assert_ok(cis_memory_view_ops(f->view, &ops, &n, err));
    assert_int_equal(n, 2);
    assert_ok(f->memory.service.commit(f->memory.service.self, &f->call, ops, n, err));
    assert_ok(cis_memory_view_new(&f->memory.service, &f->call, &f->budget, &second, err));
    assert_sees(second, "k", "v");
    assert_sees(second, "empty", "");
    cis_memory_view_free(second);
}

static void reads_repeat_whatever_others_commit(void **state)
{
    struct fixture *f = *state;
    store_set(f, "me", "k", "old", -1);
    assert_sees(f->view, "k", "old");
    assert_sees(f->view, "absent", NULL);
    store_set(f, "me", "k", "new", -1);
    store_set(f, "me", "absent", "there", -1);
    assert_sees(f->view, "k", "old");
    assert_sees(f->view, "absent", NULL);
}

/* Also of keys that the run has not looked at before, and in search. */
static void all_reads_of_a_run_see_one_state(void **state)
{
    struct fixture *f = *state;
    cis_memory_view *later = NULL, *before = NULL;
    assert_ok(cis_memory_view_new(&f->memory.service, &f->call, &f->budget, &before, err));
    assert_sees(before, "j", NULL); /* there is no such tenant yet, and that is a state too */
    store_set(f, "me", "k", "old", -1);
    store_set(f, "me", "j", "first text", -1);
    assert_sees(f->view, "k", "old");
    store_set(f, "me", "k", "new", -1);
    store_set(f, "me", "j", "second text", -1);
    store_set(f, "me", "fresh", "more text", -1);
    assert_sees(f->view, "j", "first text");
    assert_sees(f->view, "fresh", NULL);
    assert_finds(f->view, "text", 10,
                 "[{\"key\":\"j\",\"value\":\"first text\",\"domain\":\"Private\","
                 "\"category\":\"\"}]");
    assert_sees(before, "k", NULL);
    assert_finds(before, "text", 10, "[]");
    assert_ok(cis_memory_view_new(&f->memory.service, &f->call, &f->budget, &later, err));
    assert_sees(later, "j", "second text");
    cis_memory_view_free(later);
    cis_memory_view_free(before);
}

static void ops_are_the_net_changes_in_order_of_first_write(void **state)
{
    struct fixture *f = *state;
    store_set(f, "me", "c", "base", -1);
    assert_sees(f->view, "c", "base");
    const struct cis_memory_op *ops;
    size_t n;
    assert_ok(cis_memory_view_ops(f->view, &ops, &n, err));
    assert_int_equal(n, 0);
    assert_null(ops);
    view_set(f, "b", "1");
    assert_ok(cis_memory_view_delete(f->view, CIS_STR("c"), err));
    view_set(f, "a", "2");
    view_set(f, "b", "3");
    assert_sees(f->view, "c", NULL);
    assert_ok(cis_memory_view_ops(f->view, &ops, &n, err));
    assert_int_equal(n, 3);
    assert_memory_equal(ops[0].key, "b", 1);
    assert_memory_equal(ops[0].value, "3", 1);
    assert_memory_equal(ops[1].key, "c", 1);
    assert_null(ops[1].value);
    assert_memory_equal(ops[2].key, "a", 1);
}

static void public_entries_of_others_are_read_by_skill_and_key(void **state)
{
    struct fixture *f = *state;
    store_set(f, "file:other", "open", "shared", 1);
    store_set(f, "file:other", "shut", "secret", 0);
    assert_sees(f->view, "@file:other/open", "shared");
    assert_sees(f->view, "@file:other/shut", NULL);
    assert_sees(f->view, "@file:other/", NULL);
    assert_sees(f->view, "@/open", NULL);
    assert_sees(f->view, "@", NULL);
    assert_sees(f->view, "open", NULL);
    view_set(f, "@file:other/open", "mine");
    assert_sees(f->view, "@file:other/open", "mine");
}

static void namespaces_that_only_look_alike_stay_apart(void **state)
{
    struct fixture *f = *state;
    store_set(f, "file:me", "k", "file's", 0);
    store_set(f, "m", "ek", "prefix", 0);
    assert_sees(f->view, "k", NULL);
    assert_sees(f->view, "@file:me/k", NULL);
    assert_sees(f->view, "@m/ek", NULL);
    assert_finds(f->view, "prefix", 10, "[]");
}

static void search_merges_own_writes_with_what_is_stored(void **state)
{
    struct fixture *f = *state;
    store_set(f, "me", "a", "red apple", -1);
    store_set(f, "me", "b", "red pear", -1);
    store_set(f, "me", "c", "red plum", 1);
    store_set(f, "file:other", "p", "red paint", 1);
    store_set(f, "file:other", "q", "red secret", 0);
    view_set(f, "b", "green pear");
    view_set(f, "new", "a RED \"rose\"");
    assert_ok(cis_memory_view_delete(f->view, CIS_STR("a"), err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_memory_view_search(f->view, CIS_STR("red"), 10, &out, err));
    assert_non_null(strstr(cis_buf_cstr(&out),
                           "[{\"key\":\"new\",\"value\":\"a RED \\\"rose\\\"\",\"domain\":"
                           "\"Private\",\"category\":\"\"},"));
    assert_non_null(strstr(cis_buf_cstr(&out), "{\"key\":\"c\",\"value\":\"red plum\",\"domain\":"
                                               "\"Public\",\"category\":\"\"}"));
    assert_non_null(strstr(cis_buf_cstr(&out), "{\"key\":\"@file:other/p\",\"value\":"));
    assert_null(strstr(cis_buf_cstr(&out), "apple"));
    assert_null(strstr(cis_buf_cstr(&out), "pear"));
    assert_null(strstr(cis_buf_cstr(&out), "secret"));
    assert_finds(f->view, "green", 10,
                 "[{\"key\":\"b\",\"value\":\"green pear\",\"domain\":\"Private\","
                 "\"category\":\"\"}]");
    assert_finds(f->view, "red", 0, "[]");
    assert_finds(f->view, "red", 1,
                 "[{\"key\":\"new\",\"value\":\"a RED \\\"rose\\\"\",\"domain\":\"Private\","
                 "\"category\":\"\"}]");
    assert_finds(f->view, "unheard", 10, "[]");
}

static void search_puts_an_exact_key_before_what_was_written_earlier(void **state)
{
    struct fixture *f = *state;
    view_set(f, "note", "the plan");
    view_set(f, "plan", "x");
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_memory_view_search(f->view, CIS_STR("plan"), 10, &out, err));
    assert_non_null(strstr(cis_buf_cstr(&out), "[{\"key\":\"plan\""));
    assert_non_null(strstr(cis_buf_cstr(&out), ",{\"key\":\"note\""));
}

static void search_puts_a_stored_exact_key_before_own_writes(void **state)
{
    struct fixture *f = *state;
    store_set(f, "me", "plan", "x", -1);
    view_set(f, "note", "the plan");
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_memory_view_search(f->view, CIS_STR("plan"), 10, &out, err));
    assert_non_null(strstr(cis_buf_cstr(&out), "[{\"key\":\"plan\""));
    assert_non_null(strstr(cis_buf_cstr(&out), ",{\"key\":\"note\""));
}

static void keys_and_values_outside_the_limits_are_refused(void **state)
{
    struct fixture *f = *state;
    char *big = calloc(1, CIS_MEMORY_VALUE_MAX + 1);
    struct cis_str none = {"", 0}, wide = {big, CIS_MEMORY_KEY_MAX + 1};
    struct cis_bytes v = {(const uint8_t *)big, 1};
    bool found;
    assert_fails(CIS_E_INVALID, "key has 0", cis_memory_view_set(f->view, none, v, err));
    assert_fails(CIS_E_INVALID, "key has 1025", cis_memory_view_delete(f->view, wide, err));
    assert_fails(CIS_E_INVALID, "key has 1025",
                 cis_memory_view_get(f->view, wide, &v, &found, err));
    v.len = CIS_MEMORY_VALUE_MAX + 1;
    assert_fails(CIS_E_INVALID, "value has 10485761",
                 cis_memory_view_set(f->view, CIS_STR("k"), v, err));
    assert_fails(CIS_E_INVALID, "empty", cis_memory_view_search(f->view, none, 1, NULL, err));
    free(big);
}

static void everything_held_is_charged_before_it_is_allocated(void **state)
{
    struct fixture *f = *state;
    static char big[100000];
    memset(big, 'x', sizeof big - 1);
    store_set(f, "me", "big", big, -1);
    f->budget.limit = 50000;
    struct cis_bytes v;
    bool found;
    assert_fails(CIS_E_BUDGET, "host-side budget",
                 cis_memory_view_get(f->view, CIS_STR("big"), &v, &found, err));
    assert_int_equal(f->budget.used, 0);
    assert_fails(CIS_E_BUDGET, "host-side budget",
                 cis_memory_view_set(f->view, CIS_STR("k"), cis_bytes_of(big, 60000), err));
    assert_int_equal(f->budget.used, 0);
    cis_code code = CIS_OK;
    for (int i = 0; code == CIS_OK && i < 100000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        code = cis_memory_view_get(f->view, cis_str_of(key), &v, &found, NULL);
    }
    assert_int_equal(code, CIS_E_BUDGET);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1 << 20);
    assert_fails(CIS_E_BUDGET, "host-side budget",
                 cis_memory_view_search(f->view, CIS_STR("xxxx"), 10, &out, err));
}

static cis_code count_burnt(void *self, uint64_t units, struct cis_error *err)
{
    uint64_t *burnt = self;
    *burnt += units;
    return *burnt < 64u << 20 ? CIS_OK : cis_fail(err, CIS_E_FUEL, "fuel used up");
}

static enum cis_code finds_nothing(void *self, const struct cis_call *call, const char *query,
                                   size_t query_len, uint32_t limit, cis_memory_hit_fn *each,
                                   void *each_self, struct cis_error *err)
{
    (void)self, (void)call, (void)query, (void)query_len, (void)limit;
    (void)each, (void)each_self, (void)err;
    return CIS_E_OK;
}

/* How much there is of them is the guest's choice. */
static void search_of_own_writes_ends_with_the_run_and_costs_what_it_looks_at(void **state)
{
    static char big[60000];
    char key[8];
    uint64_t burnt = 0;
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_budget budget = {.limit = 64u << 20};
    struct cis_call call = CIS_CALL_INIT;
    struct cis_memory_service service = CIS_MEMORY_SERVICE_INIT;
    cis_memory_view *view = NULL;
    (void)state;
    call.stop = &stop;
    service.search = finds_nothing;
    assert_ok(cis_memory_view_new(&service, &call, &budget, &view, err));
    memset(big, 'a', sizeof big);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_ok(cis_memory_view_set(view, cis_str_of(key), cis_bytes_of(big, sizeof big), err));
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1 << 20);
    cis_memory_view_pause(view, (struct cis_memory_pause){&burnt, NULL, NULL, count_burnt});
    assert_ok(cis_memory_view_search(view, CIS_STR("aab aba"), 10, &out, err));
    assert_in_range(burnt, 30u << 20, 40u << 20); /* 12 MB, and two words */
    cis_buf_reset(&out);
    assert_fails(CIS_E_FUEL, "fuel",
                 cis_memory_view_search(view, CIS_STR("aab aba"), 10, &out, err));
    burnt = 0;
    stop.deadline_ns = 1;
    cis_buf_reset(&out);
    assert_fails(CIS_E_DEADLINE, "memory: search",
                 cis_memory_view_search(view, CIS_STR("aab"), 10, &out, err));
    assert_int_equal(burnt, 0);
    cis_memory_view_free(view);
}

static void overwriting_gives_the_old_value_back_to_the_budget(void **state)
{
    struct fixture *f = *state;
    static char big[10000];
    memset(big, 'x', sizeof big - 1);
    view_set(f, "k", big);
    uint64_t used = f->budget.used;
    for (int i = 0; i < 1000; i++) {
        view_set(f, "k", big);
    }
    assert_int_equal(f->budget.used, used);
    view_set(f, "k", "");
    assert_int_equal(f->budget.used, used - strlen(big));
}

static void without_a_service_every_call_says_so(void **state)
{
    struct fixture *f = *state;
    cis_memory_view *bare = NULL;
    assert_ok(cis_memory_view_new(NULL, &f->call, &f->budget, &bare, err));
    struct cis_bytes v = {(const uint8_t *)"", 0};
    bool found;
    assert_fails(CIS_E_PROVIDER, "no memory service",
                 cis_memory_view_get(bare, CIS_STR("k"), &v, &found, err));
    assert_fails(CIS_E_PROVIDER, "no memory service",
                 cis_memory_view_set(bare, CIS_STR("k"), v, err));
    const struct cis_memory_op *ops;
    size_t n = 9;
    assert_ok(cis_memory_view_ops(bare, &ops, &n, err));
    assert_int_equal(n, 0);
    cis_memory_view_free(bare);
}

/* A service that is not the store's, and what a run does around its calls. */
struct around {
    unsigned begun, called, ended;
    cis_code code; /* what end answers */
};

static cis_code around_get(void *self, const struct cis_call *call, const char *key, size_t key_len,
                           struct cis_sink *out, bool *out_found, struct cis_error *error)
{
    (void)call, (void)key, (void)key_len, (void)error;
    struct around *a = self;
    assert_int_equal(a->begun, ++a->called);
    *out_found = out->write(out->self, "v", 1) == CIS_OK;
    return CIS_OK;
}

static cis_code around_search(void *self, const struct cis_call *call, const char *query,
                              size_t query_len, uint32_t limit, cis_memory_hit_fn *each,
                              void *each_self, struct cis_error *error)
{
    (void)call, (void)query, (void)query_len, (void)limit, (void)each_self, (void)each;
    (void)error;
    struct around *a = self;
    assert_int_equal(a->begun, ++a->called);
    return CIS_OK;
}

/* A service of an embedder, whose hits have another size. */
static cis_code odd_search(void *self, const struct cis_call *call, const char *query,
                           size_t query_len, uint32_t limit, cis_memory_hit_fn *each,
                           void *each_self, struct cis_error *error)
{
    (void)query, (void)query_len, (void)limit, (void)error;
    struct {
        struct cis_memory_hit hit;
        uint64_t more;
    } odd = {.hit = CIS_MEMORY_HIT_INIT};
    odd.hit.size = *(const uint32_t *)self;
    odd.hit.skill = call->skill;
    odd.hit.key = "k";
    odd.hit.key_len = 1;
    odd.hit.value = "v";
    odd.hit.value_len = 1;
    return each(each_self, &odd.hit);
}

static void hits_of_a_service_are_taken_by_their_size(void **state)
{
    struct fixture *f = *state;
    struct cis_memory_service service = CIS_MEMORY_SERVICE_INIT;
    uint32_t size = 0;
    service.self = &size;
    service.get = around_get;
    service.search = odd_search;
    const uint32_t good[] = {sizeof(struct cis_memory_hit), sizeof(struct cis_memory_hit) + 8};
    for (size_t i = 0; i < 2; i++) {
        cis_memory_view *view = NULL;
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
        size = good[i];
        assert_ok(cis_memory_view_new(&service, &f->call, &f->budget, &view, err));
        assert_ok(cis_memory_view_search(view, CIS_STR("v"), 5, &out, err));
        assert_true(out.len > 2);
        cis_memory_view_free(view);
    }
    cis_memory_view *view = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    size = sizeof(struct cis_memory_hit) - 1;
    assert_ok(cis_memory_view_new(&service, &f->call, &f->budget, &view, err));
    assert_fails(CIS_E_PROVIDER, "CIS_MEMORY_HIT_INIT",
                 cis_memory_view_search(view, CIS_STR("v"), 5, &out, err));
    cis_memory_view_free(view);
}

static void around_begin(void *self)
{
    struct around *a = self;
    assert_int_equal(a->ended, a->begun++);
}

static cis_code around_end(void *self, struct cis_error *error)
{
    struct around *a = self;
    assert_int_equal(a->begun, ++a->ended);
    return a->code == CIS_OK ? CIS_OK : cis_fail(error, a->code, "no slot came free");
}

static void what_the_end_of_a_pause_answers_ends_the_call(void **state)
{
    struct fixture *f = *state;
    struct around a = {0};
    struct cis_memory_service service = CIS_MEMORY_SERVICE_INIT;
    service.self = &a;
    service.get = around_get;
    service.search = around_search;
    cis_memory_view *view;
    assert_ok(cis_memory_view_new(&service, &f->call, &f->budget, &view, err));
    cis_memory_view_pause(view, (struct cis_memory_pause){&a, around_begin, around_end, NULL});
    assert_sees(view, "k", "v");
    assert_finds(view, "q", 5, "[]");
    assert_int_equal(a.ended, 2);
    a.code = CIS_E_DEADLINE;
    struct cis_bytes value;
    bool found;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_fails(CIS_E_DEADLINE, "no slot came free",
                 cis_memory_view_get(view, CIS_STR("other"), &value, &found, err));
    assert_fails(CIS_E_DEADLINE, "no slot came free",
                 cis_memory_view_search(view, CIS_STR("q"), 5, &out, err));
    assert_int_equal(a.ended, 4);
    cis_memory_view_free(view);
}

static void the_service_of_a_store_is_recognised(void **state)
{
    struct fixture *f = *state;
    struct cis_memory_service foreign = CIS_MEMORY_SERVICE_INIT;
    assert_ptr_equal(cis_store_memory_of(&f->memory.service), &f->memory);
    assert_null(cis_store_memory_of(&foreign));
    assert_null(cis_store_memory_of(NULL));
}

static void the_quota_refuses_the_commit_of_the_service(void **state)
{
    struct fixture *f = *state;
    f->memory.quota_bytes = 10;
    struct cis_memory_op op = {"key", 3, "12345678", 8};
    assert_fails(CIS_E_QUOTA, "quota",
                 f->memory.service.commit(f->memory.service.self, &f->call, &op, 1, err));
    op.value_len = 7;
    assert_ok(f->memory.service.commit(f->memory.service.self, &f->call, &op, 1, err));
}

static enum cis_code note_key(void *self, const char *key, size_t key_len, size_t value_len)
{
    cis_buf_printf(self, "%.*s:%zu ", (int)key_len, key, value_len);
    return CIS_E_OK;
}

static void the_service_lists_own_keys_with_a_prefix(void **state)
{
    struct fixture *f = *state;
    store_set(f, "me", "a/1", "one", -1);
    store_set(f, "me", "a/2", "four", -1);
    store_set(f, "me", "b", "x", -1);
    store_set(f, "file:other", "a/3", "x", 1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    assert_ok(
        f->memory.service.list(f->memory.service.self, &f->call, "a/", 2, 10, note_key, &out, err));
    assert_string_equal(cis_buf_cstr(&out), "a/1:3 a/2:4 ");
}

/* ---- export and import ---- */

static enum cis_code to_buf(void *self, const void *data, size_t len)
{
    cis_buf_add(self, data, len);
    return ((struct cis_buf *)self)->failed;
}

static void export_all(struct fixture *f, const char *tenant, struct cis_buf *out)
{
    struct cis_sink sink = {out, to_buf};
    assert_ok(cis_memory_export(f->store, cis_str_of(tenant), (struct cis_str){NULL, 0}, &sink,
                                NULL, err));
}

static void what_is_exported_imports_as_the_same(void **state)
{
    struct fixture *f = *state;
    static const uint8_t binary[] = {0, 0xff, 1, 0x80, 7};
    for (size_t n = 0; n <= 5; n++) {
        char key[8] = {'b', (char)('0' + n), (char)0xfe, 0};
        struct cis_kv_op op = {.ns = CIS_STR("me"),
                               .key = {key, n % 2 != 0 ? 2 : 4},
                               .value = {binary, n},
                               .is_public = (int8_t)(n % 2),
                               .category = CIS_STR("cat \"x\"")};
        struct cis_store_commit c = {.kv = &op, .nkv = 1};
        assert_ok(cis_store_commit(f->store, CIS_STR("default"), &c, NULL, err));
    }
    store_set(f, "file:other", "text", "line one\nline \"two\" \xE2\x82\xAC", 1);
    uint8_t digits[48]; /* as base64: each of its 64 digits, in order */
    for (unsigned i = 0; i < 16; i++) {
        unsigned v = (4 * i) << 18 | (4 * i + 1) << 12 | (4 * i + 2) << 6 | (4 * i + 3);
        memcpy(digits + 3 * i, (uint8_t[]){(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}, 3);
    }
    struct cis_kv_op all = {.ns = CIS_STR("me"), .key = CIS_STR("digits"), .value = {digits, 48}};
    struct cis_store_commit c = {.kv = &all, .nkv = 1};
    assert_ok(cis_store_commit(f->store, CIS_STR("default"), &c, NULL, err));
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf first = CIS_BUF_INIT(65536), second = CIS_BUF_INIT(65536);
    export_all(f, "default", &first);
    static const char *const encoded[] = {"\"AA==\"", "\"AP8=\"", "\"AP8BgA==\"", "\"AP8BgAc=\""};
    for (size_t i = 0; i < sizeof encoded / sizeof *encoded; i++) {
        assert_non_null(strstr(cis_buf_cstr(&first), encoded[i]));
    }
    uint64_t n = 0;
    assert_ok(cis_memory_import(&f->memory, CIS_STR("copy"), (struct cis_str){NULL, 0},
                                cis_buf_view(&first), &n, NULL, err));
    assert_int_equal(n, 8);
    export_all(f, "copy", &second);
    /* updated_ms may differ: compare up to it, line by line. */
    struct cis_str a = cis_buf_view(&first), b = cis_buf_view(&second), la, lb;
    while (a.len != 0) {
        (void)cis_str_split(&a, '\n', &la);
        (void)cis_str_split(&b, '\n', &lb);
        const char *end = memmem(la.ptr, la.len, ",\"updated_ms\"", 13);
        assert_non_null(end);
        assert_memory_equal(la.ptr, lb.ptr, (size_t)(end - la.ptr));
    }
    assert_int_equal(b.len, 0);
}

static void a_damaged_line_is_named_and_nothing_is_imported(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "{",
        "[]",
        "{\"schema\":2,\"ns\":\"a\",\"key\":\"k\",\"value\":\"v\"}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"k\"}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"k\",\"value\":\"v\",\"base64\":\"AA==\"}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"k\",\"base64\":\"A\"}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"k\",\"base64\":\"AB==\"}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"k\",\"base64\":\"AA=A\"}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"\",\"value\":\"v\"}",
        "{\"schema\":1,\"ns\":\"\",\"key\":\"k\",\"value\":\"v\"}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"k\",\"value\":1}",
        "{\"schema\":1,\"ns\":\"a\",\"key\":\"k\",\"value\":\"v\",\"public\":1}",
        "{\"schema\":1,\"schema\":1,\"ns\":\"a\",\"key\":\"k\",\"value\":\"v\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
        cis_buf_text(&text, "{\"schema\":1,\"ns\":\"me\",\"key\":\"k\",\"value\":\"v\"}\n\n");
        cis_buf_text(&text, bad[i]);
        uint64_t n = 7;
        assert_fails(CIS_E_INVALID, "line 3: ",
                     cis_memory_import(&f->memory, CIS_STR("default"), (struct cis_str){NULL, 0},
                                       cis_buf_view(&text), &n, NULL, err));
        assert_int_equal(n, 7);
    }
    assert_sees(f->view, "k", NULL);
}

static void an_import_goes_into_one_namespace_under_the_quota(void **state)
{
    struct fixture *f = *state;
    struct cis_str text = CIS_STR("{\"schema\":1,\"ns\":\"x\",\"key\":\"k1\",\"value\":\"123\"}\r\n"
                                  "{\"schema\":1,\"key\":\"k2\",\"value\":\"123\"}");
    f->memory.quota_bytes = 9;
    uint64_t n = 0;
    assert_fails(
        CIS_E_QUOTA, "quota",
        cis_memory_import(&f->memory, CIS_STR("default"), CIS_STR("me"), text, &n, NULL, err));
    f->memory.quota_bytes = 10;
    assert_ok(
        cis_memory_import(&f->memory, CIS_STR("default"), CIS_STR("me"), text, &n, NULL, err));
    assert_int_equal(n, 2);
    assert_sees(f->view, "k2", "123");
}

/* ---- memory ---- */

static cis_code all_verbs(struct fixture *f, struct cis_error *err)
{
    cis_memory_view *view = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    cis_code code = cis_memory_view_new(&f->memory.service, &f->call, &f->budget, &view, err);
    struct cis_bytes v;
    bool found;
    const struct cis_memory_op *ops;
    size_t n;
#define STEP(call) code = code != CIS_OK ? code : (call)
    STEP(cis_memory_view_get(view, CIS_STR("stored"), &v, &found, err));
    STEP(cis_memory_view_set(view, CIS_STR("k"), cis_bytes_of("some text", 9), err));
    STEP(cis_memory_view_delete(view, CIS_STR("gone"), err));
    STEP(cis_memory_view_search(view, CIS_STR("text"), 5, &out, err));
    STEP(cis_memory_view_ops(view, &ops, &n, err));
    STEP(f->memory.service.commit(f->memory.service.self, &f->call, ops, n, err));
    uint64_t count;
    STEP(cis_memory_import(&f->memory, CIS_STR("default"), CIS_STR("me"),
                           CIS_STR("{\"schema\":1,\"key\":\"i\",\"base64\":\"AAAA\"}"), &count,
                           NULL, err));
    struct cis_sink sink = {&out, to_buf};
    STEP(cis_memory_export(f->store, CIS_STR("default"), CIS_STR("me"), &sink, NULL, err));
    cis_memory_view_free(view);
    return code;
}

static void every_failed_allocation_is_an_error_and_nothing_leaks(void **state)
{
    struct fixture *f = *state;
    store_set(f, "me", "stored", "stored text", -1);
    int failed = 0;
    /* Some allocations may fail without harm (shrinking a value), so success is no sign of the end.
     */
    for (size_t n = 0; n < 120; n++) {
        struct cis_error err = {0};
        cis_mem_fail_after(n);
        cis_code code = all_verbs(f, &err);
        cis_mem_fail_after(SIZE_MAX);
        assert_int_equal(f->budget.used, 0);
        /* A sink that ran out of memory inside the export refuses more: that is said as such. */
        if (code != CIS_OK && code != CIS_E_NOMEM && code != CIS_E_IO) {
            fail_msg("allocation %zu: %s: %s", n, cis_code_name(code), err.msg);
        }
        failed += code != CIS_OK;
    }
    assert_true(failed > 15);
    assert_ok(all_verbs(f, err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_are_seen_by_the_run_at_once_and_by_others_after_the_commit),
        TEST(reads_repeat_whatever_others_commit),
        TEST(all_reads_of_a_run_see_one_state),
        TEST(ops_are_the_net_changes_in_order_of_first_write),
        TEST(public_entries_of_others_are_read_by_skill_and_key),
        TEST(namespaces_that_only_look_alike_stay_apart),
        TEST(search_merges_own_writes_with_what_is_stored),
        TEST(search_puts_an_exact_key_before_what_was_written_earlier),
        TEST(search_puts_a_stored_exact_key_before_own_writes),
        TEST(keys_and_values_outside_the_limits_are_refused),
        TEST(everything_held_is_charged_before_it_is_allocated),
        cmocka_unit_test(search_of_own_writes_ends_with_the_run_and_costs_what_it_looks_at),
        TEST(overwriting_gives_the_old_value_back_to_the_budget),
        TEST(without_a_service_every_call_says_so),
        TEST(hits_of_a_service_are_taken_by_their_size),
        TEST(what_the_end_of_a_pause_answers_ends_the_call),
        TEST(the_service_of_a_store_is_recognised),
        TEST(the_quota_refuses_the_commit_of_the_service),
        TEST(the_service_lists_own_keys_with_a_prefix),
        TEST(what_is_exported_imports_as_the_same),
        TEST(a_damaged_line_is_named_and_nothing_is_imported),
        TEST(an_import_goes_into_one_namespace_under_the_quota),
        TEST(every_failed_allocation_is_an_error_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("service/memory", tests, NULL, NULL);
}
