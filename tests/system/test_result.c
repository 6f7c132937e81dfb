/* What a skill says is no business of those who take its run back: results that no reader takes,
 * logs that fill a report. On SQLite and on a private PostgreSQL server. */
#include "stored.h"

#include <jansson.h>
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))

/* RFC 8259 allows them all. */
static const char *const results[] = {
    "1e999",
    "\"\\ud800\"",
    "123456789012345678901234567890",
    "{\"a\\u0000b\":1}",
    "{\"a\":[1,\"\\udc00\",-1e400]}",
};

/* A skill that keeps "value" as "key" and gives these bytes as its result; says: log lines. */
static char *skill(struct sys *s, const char *result, unsigned says)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(65536);
    cis_buf_text(
        &wat, "(module (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"
              "(import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32)"
              " (result i32))) (import \"env\" \"host_log\" (func $log (param i32 i32 i32)))"
              "(memory (export \"memory\") 2) (data (i32.const 0) \"key\")"
              "(data (i32.const 16) \"value\") (data (i32.const 64) \"");
    for (const char *p = result; *p != 0; p++) {
        cis_buf_printf(&wat, "\\%02x", (unsigned char)*p);
    }
    cis_buf_printf(&wat,
                   "\") (func (export \"skill_execute\") (param i32 i32) (result i32) (local i32)"
                   "(memory.fill (i32.const 65536) (i32.const 34) (i32.const 10000))"
                   "(local.set 2 (i32.const %u)) (block (loop (br_if 1 (i32.eqz (local.get 2)))"
                   "(local.set 2 (i32.sub (local.get 2) (i32.const 1)))"
                   "(call $log (i32.const 1) (i32.const 65536) (i32.const 10000)) (br 0)))"
                   "(drop (call $set (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 5)))"
                   "(drop (call $out (i32.const 64) (i32.const %zu))) (i32.const 0)))",
                   says, strlen(result));
    return sys_wat(s, "odd.wat", cis_buf_cstr(&wat));
}

static json_t *parsed(struct sys *s)
{
    json_error_t why;
    json_t *root = json_loads(sys_out(s), JSON_ALLOW_NUL, &why);
    if (root == NULL) {
        fail_msg("not JSON: %s: %.2000s", why.text, sys_out(s));
    }
    return root;
}

static void newest(struct sys *s, char out[32])
{
    ok(s, "runs", "list", "--limit", "1", "--json");
    json_t *list = parsed(s);
    json_t *row = json_array_get(json_object_get(list, "runs"), 0);
    assert_non_null(row);
    snprintf(out, 32, "%s", json_string_value(json_object_get(row, "id")));
    json_decref(list);
}

static void value_is(struct sys *s, bool there)
{
    assert_int_equal(cis(s, "memory", "get", "key", "--skill", "odd"), there ? 0 : 3);
    if (there) {
        assert_contains(sys_out(s), "value");
    }
}

static void a_result_that_no_reader_takes_hides_no_run(void **state)
{
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        char id[32], *wat = skill(s, results[i], 0);
        assert_exit(s, 0,
                    cis(s, "skill", "run", "--wasm", wat, "--input", "null", "--allow", "memory"));
        assert_contains(sys_out(s), results[i]);
        value_is(s, true);
        newest(s, id);
        ok(s, "runs", "show", id);
        assert_contains(sys_out(s), "result_text");
        ok(s, "runs", "show", id, "--json");
        json_t *report = parsed(s);
        assert_string_equal(json_string_value(json_object_get(report, "result_text")), results[i]);
        assert_true(json_is_null(json_object_get(report, "result")));
        json_decref(report);
        ok(s, "runs", "diff", id);
        ok(s, "runs", "undo", id);
        value_is(s, false);
        ok(s, "runs", "redo", id);
        value_is(s, true);
        ok(s, "runs", "undo", id);
        free(wat);
    }
}

static void a_log_that_is_full_leaves_the_run_its_record(void **state)
{
    struct sys *s = *state;
    char id[32], *wat = skill(s, "1", 2000);
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", wat, "--input", "null", "--allow", "memory"));
    value_is(s, true);
    newest(s, id);
    ok(s, "runs", "show", id, "--json");
    json_t *report = parsed(s);
    assert_true(json_integer_value(json_object_get(report, "log_dropped")) > 0);
    assert_true(json_integer_value(json_object_get(report, "log_lines")) > 100);
    json_decref(report);
    ok(s, "runs", "undo", id);
    value_is(s, false);
    free(wat);
}

/* As 0.1 wrote them: the result as it came from the guest, in the middle of the rest. */
static void a_report_of_an_older_version_is_read_around_its_result(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    ok(s, "memory", "set", "other", "x", "--skill", "odd");
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf report = CIS_BUF_INIT(4096);
        struct cis_run_row row = {.skill = CIS_STR("odd"), .status = CIS_STR("ok")};
        struct cis_kv_op op = {.ns = CIS_STR("odd"),
                               .key = CIS_STR("key"),
                               .value = cis_bytes_of("value", 5),
                               .is_public = -1};
        snprintf(row.id, sizeof row.id, "01KAJ2E4M5V3Q8Z6W7X9Y0AB%02zu", i);
        cis_buf_printf(&report,
                       "{\"schema\":1,\"id\":\"%s\",\"skill\":\"odd\",\"status\":\"ok\","
                       "\"result\":%s,\"log\":[],\"changes\":{\"committed\":true}}",
                       row.id, results[i]);
        row.report = cis_buf_view(&report);
        struct cis_store_commit commit = {.run = &row, .kv = &op, .nkv = 1};
        cis_store *store = NULL;
        if (w->url != NULL) {
            assert_ok(cis_store_postgres_open(w->url, NULL, &store, NULL, err));
        } else {
            char place[4200];
            snprintf(place, sizeof place, "%s/store", s->home);
            assert_ok(cis_store_sqlite_open(place, &store, err));
        }
        assert_ok(cis_store_commit(store, CIS_STR("default"), &commit, NULL, err));
        cis_store_close(store);
        value_is(s, true);
        ok(s, "runs", "show", row.id);
        ok(s, "runs", "show", row.id, "--json");
        json_t *shown = parsed(s);
        assert_string_equal(json_string_value(json_object_get(shown, "result_text")), results[i]);
        assert_string_equal(json_string_value(json_object_get(shown, "status")), "ok");
        assert_non_null(json_object_get(shown, "commit"));
        json_decref(shown);
        ok(s, "runs", "undo", row.id);
        value_is(s, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_result_that_no_reader_takes_hides_no_run),
        TEST(a_log_that_is_full_leaves_the_run_its_record),
        TEST(a_report_of_an_older_version_is_read_around_its_result),
    };
    return STORED_MAIN("result", tests);
}
