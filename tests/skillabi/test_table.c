/* The tables against the ABI as it is written down: every row, its type, its grant, what it answers
 * when refused and when it is lied to. */
#include "skillabi/fixture.h"

struct spec {
    const char *abi, *module, *name, *type;
    enum cis_grant grant;
    int64_t refused; /* without the grant */
    int64_t lied;    /* all arguments -1, everything granted; the clock stands at 1234 ms */
};

#define R CIS_GRANT_MEMORY_READ
#define W CIS_GRANT_MEMORY_WRITE
#define AI CIS_GRANT_AI
#define HTTP CIS_GRANT_HTTP
#define NONE CIS_GRANT_NONE

static const struct spec specs[] = {
    {"env-packed", "env", "host_memory_get", "ii:I", R, 0, 0},
    {"env-packed", "env", "host_memory_set", "iiii:i", W, -1, -1},
    {"env-packed", "env", "host_memory_delete", "ii:i", W, -1, -1},
    {"env-packed", "env", "host_ai_chat", "ii:I", AI, 0, 0},
    {"env-packed", "env", "host_log", "iii:", NONE, 0, 0},
    {"env-packed", "env", "host_http_post", "iiii:I", HTTP, 0, 0},
    {"env-buffer", "env", "host_memory_get", "iiii:i", R, -1, -2},
    {"env-buffer", "env", "host_memory_set", "iiii:i", W, -1, -2},
    {"env-buffer", "env", "host_memory_delete", "ii:i", W, -1, -2},
    {"env-buffer", "env", "host_memory_search", "iiii:i", R, -1, -2},
    {"env-buffer", "env", "host_ai_chat", "iiii:i", AI, -1, -2},
    {"env-buffer", "env", "host_log", "iii:", NONE, 0, 0},
    {"env-buffer", "env", "host_config_get", "iiii:i", NONE, -1, -2},
    {"env-buffer", "env", "host_config_set", "iiii:i", NONE, -1, -2},
    {"env-buffer", "env", "host_http_request", "iiiiiiiiii:i", HTTP, -1, -2},
    {"cis-direct", "cis", "ai_prompt", "iiii:i", AI, -1, -1},
    {"cis-direct", "cis", "memory_get", "iiii:i", R, -1, -1},
    {"cis-direct", "cis", "memory_set", "iiii:", W, 0, 0},
    {"cis-direct", "cis", "http_request", "iiiiii:i", HTTP, -1, -1},
    {"cis-sdk", "cis", "host_log", "iii:", NONE, 0, 0},
    {"cis-sdk", "cis", "host_memory_get", "iiii:i", R, -8, -2},
    {"cis-sdk", "cis", "host_memory_set", "iiii:i", W, -8, -2},
    {"cis-sdk", "cis", "host_memory_delete", "ii:i", W, -8, -2},
    {"cis-sdk", "cis", "host_ai_chat", "iiii:i", AI, -8, -2},
    {"cis-sdk", "cis", "host_http_post", "iiiiii:i", HTTP, -8, -2},
    {"cis-sdk", "cis", "host_now", ":I", CIS_GRANT_CLOCKS, -8, 1234},
    {"cis-sdk", "cis", "host_alloc", "i:i", NONE, 0, 0},
    {"cis-sdk", "cis", "host_free", "ii:", NONE, 0, 0},
    {"env-plain", "env", "memory_get", "iii:i", R, -1, -1},
    {"env-plain", "env", "memory_set", "iiii:i", W, -1, -1},
    {"env-plain", "env", "ai_chat", "iii:i", AI, -1, -1},
    {"env-plain", "env", "log", "iiii:", NONE, 0, 0},
    {"env-plain", "env", "http_post", "iiiii:i", HTTP, -1, -1},
    {"cis-agent", "cis", "host_ask", "iiiiii:i", NONE, 0, -2},
    {"cis-agent", "cis", "host_progress", "iiii:i", NONE, 0, -2},
    {"cis-io", "cis", "input_len", ":I", NONE, 0, 0},
    {"cis-io", "cis", "input_read", "Iii:i", NONE, 0, -2},
    {"cis-io", "cis", "output_write", "ii:i", NONE, 0, -2},
};
#define NSPECS (sizeof specs / sizeof *specs)

static const struct cis_hostfn *row_of(const struct spec *s)
{
    size_t n;
    const struct cis_hostfn_table *const *tables = cis_skillabi_tables(&n);
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; strcmp(tables[t]->abi, s->abi) == 0 && i < tables[t]->nrows; i++) {
            const struct cis_hostfn *row = &tables[t]->rows[i];
            if (strcmp(row->name, s->name) == 0 && strcmp(row->type, s->type) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

static bool has_spec(const struct cis_hostfn *row)
{
    for (size_t i = 0; i < NSPECS; i++) {
        if (row_of(&specs[i]) == row) {
            return true;
        }
    }
    return false;
}

static void tables_hold_the_rows_of_the_abi_and_no_others(void **state)
{
    (void)state;
    size_t n;
    const struct cis_hostfn_table *const *tables = cis_skillabi_tables(&n);
    for (size_t t = 0; t < n; t++) {
        bool wasi = strncmp(tables[t]->abi, "wasi_", 5) == 0;
        for (size_t i = 0; i < tables[t]->nrows && !wasi; i++) {
            const struct cis_hostfn *row = &tables[t]->rows[i];
            if (!has_spec(row)) {
                fail_msg("%s.%s %s of %s has no line in the list at the top of " __FILE__,
                         row->module, row->name, row->type, tables[t]->abi);
            }
        }
    }
    for (size_t i = 0; i < NSPECS; i++) {
        const struct cis_hostfn *row = row_of(&specs[i]);
        if (row == NULL) {
            fail_msg("%s lacks %s.%s %s", specs[i].abi, specs[i].module, specs[i].name,
                     specs[i].type);
        }
        assert_string_equal(row->module, specs[i].module);
        assert_int_equal(row->grant, specs[i].grant);
        assert_int_equal(row->denied, specs[i].refused);
        bool set = strcmp(specs[i].abi, "cis-direct") == 0 && specs[i].grant == W;
        assert_int_equal(row->ends_when_denied, set);
    }
}

static void every_row_says_what_its_parameters_are_and_what_it_does(void **state)
{
    (void)state;
    size_t n;
    const struct cis_hostfn_table *const *tables = cis_skillabi_tables(&n);
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_hostfn *row = &tables[t]->rows[i];
            size_t names = row->params[0] != 0 ? 1 : 0;
            for (const char *p = row->params; *p != 0; p++) {
                names += *p == ',' ? 1 : 0;
            }
            if (names != strcspn(row->type, ":") || strlen(row->doc) < 10) {
                fail_msg("%s.%s: \"%s\" for type %s", row->module, row->name, row->params,
                         row->type);
            }
        }
    }
}

/* Calls a row with the same number in every argument. */
static int64_t call_row(struct abi *a, const struct spec *s, int v, bool *out_ended)
{
    int64_t value;
    if (s->type[0] == 'I') {
        cis_code code = abi_call_code(a, s->name, (int64_t)v, v, v);
        *out_ended = code != CIS_OK;
        value = code == CIS_OK ? abi_call(a, s->name, (int64_t)v, v, v) : 0;
    } else {
        cis_code code = abi_call_code(a, s->name, v, v, v, v, v, v, v, v, v, v);
        *out_ended = code != CIS_OK;
        value = code == CIS_OK ? abi_call(a, s->name, v, v, v, v, v, v, v, v, v, v) : 0;
    }
    return value;
}

static void every_row_with_a_grant_answers_its_denied_value_without_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSPECS; i++) {
        const struct spec *s = &specs[i];
        if (s->grant == NONE) {
            continue;
        }
        struct abi a;
        abi_init(&a);
        a.host.no_clock = true;
        abi_open_table(&a, s->abi, true, "");
        bool ended;
        int64_t value = call_row(&a, s, 0, &ended);
        bool set = strcmp(s->type, "iiii:") == 0;
        if (set ? a.err.code != CIS_E_DENIED : ended || value != s->refused) {
            fail_msg("%s %s: %lld (%s)", s->abi, s->name, (long long)value, a.err.msg);
        }
        assert_true(abi_refused(&a, s->grant) > 0);
        assert_int_equal(a.fake.gets + a.fake.chats + a.fake.sends, 0);
        abi_close(&a);
    }
}

static void every_row_survives_arguments_that_are_all_minus_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSPECS; i++) {
        const struct spec *s = &specs[i];
        struct abi a;
        abi_init(&a);
        a.host.fixed_clock = true;
        a.host.clock_ns = 1234ull * 1000000;
        abi_open_table(&a, s->abi, true, ALL_GRANTS);
        bool ended;
        int64_t value = call_row(&a, s, -1, &ended);
        bool set = strcmp(s->type, "iiii:") == 0 && s->grant == W;
        if (set ? a.err.code != CIS_E_BADPTR
                : ended || (strchr(s->type, ':')[1] != 0 && value != s->lied)) {
            fail_msg("%s %s: %lld (%s)", s->abi, s->name, (long long)value, a.err.msg);
        }
        assert_int_equal(a.fake.gets + a.fake.chats + a.fake.sends, 0);
        abi_close(&a);
    }
}

/* The last byte of the memory is in it, the next is not. */
static void a_key_may_end_at_the_end_of_the_memory_and_not_one_byte_later(void **state)
{
    (void)state;
    static const char *const abis[] = {"env-packed", "env-buffer", "cis-sdk"};
    for (size_t i = 0; i < 3; i++) {
        struct abi a;
        abi_init(&a);
        abi_open_table(&a, abis[i], true, ALL_GRANTS);
        int end = 2 * 65536;
        assert_true(abi_call(&a, "host_memory_set", end - 4, 4, 0, 0) >= 0);
        assert_true(abi_call(&a, "host_memory_set", end - 4, 5, 0, 0) < 0);
        assert_true(abi_call(&a, "host_memory_set", 0, 4, end, 1) < 0);
        assert_true(abi_call(&a, "host_memory_set", 0, 4, end, 0) >= 0);
        abi_close(&a);
    }
}

int table_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_hold_the_rows_of_the_abi_and_no_others),
        cmocka_unit_test(every_row_says_what_its_parameters_are_and_what_it_does),
        cmocka_unit_test(a_key_may_end_at_the_end_of_the_memory_and_not_one_byte_later),
        cmocka_unit_test(every_row_with_a_grant_answers_its_denied_value_without_it),
        cmocka_unit_test(every_row_survives_arguments_that_are_all_minus_one),
    };
    return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}

static void every_row_of_every_abi_was_called_by_this_suite(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSPECS; i++) {
        const struct cis_hostfn *row = row_of(&specs[i]);
        assert_non_null(row);
        if (!abi_was_called(row)) {
            fail_msg("no test calls %s of %s", specs[i].name, specs[i].abi);
        }
    }
}

int coverage_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_every_abi_was_called_by_this_suite),
    };
    return cmocka_run_group_tests_name("coverage", tests, NULL, NULL);
}
