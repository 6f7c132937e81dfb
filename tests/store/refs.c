#include "harness.h"

#include "contract_refs.h"
#include "store/calls.h"

const struct store_backend *refs_backend;

int refs_setup(void **state)
{
    struct refs_fixture *f = calloc(1, sizeof *f);
    f->place = refs_backend->place_new();
    f->s = refs_backend->open(f->place);
    *state = f;
    return 0;
}

int refs_teardown(void **state)
{
    struct refs_fixture *f = *state;
    cis_store_close(f->s);
    refs_backend->place_free(f->place);
    free(f);
    return 0;
}

/* ---- short forms ---- */

cis_code refs_commit(cis_store *s, const char *ref, const struct cis_kv_op *ops, size_t n,
                     struct cis_fs_committed *out, struct cis_error *err)
{
    struct cis_store_commit c = {.ref = cis_str_of(ref), .kv = ops, .nkv = n, .out = out};
    return cis_store_commit(s, T, &c, NULL, err);
}

/* Puts (or with value NULL removes) one key and gives the view that has it. */
struct cis_view refs_put(cis_store *s, const char *ref, const char *key, const char *value)
{
    struct cis_kv_op op = value != NULL ? store_put("a", key, value) : store_del("a", key);
    struct cis_fs_committed done = {{0, 0}, 0, 0};
    assert_ok(refs_commit(s, ref, &op, 1, &done, err));
    return done.view;
}

struct cis_fs_ref refs_ref(cis_store *s, const char *name)
{
    struct cis_fs_ref r;
    assert_ok(cis_store_ref_get(s, T, cis_str_of(name), &r, NULL, err));
    return r;
}

void refs_fork(cis_store *s, struct cis_view from, const char *name)
{
    struct cis_str n = cis_str_of(name);
    assert_ok(cis_store_fork(s, T, from, &n, 1, NULL, err));
}

bool refs_note_entry(void *self, const struct cis_kv_entry *e)
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
void refs_assert_memory(cis_store *s, struct cis_view at, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536), all = CIS_BUF_INIT(65536);
    struct cis_kv_query query = {.at = at, .ns = CIS_STR("a"), .values = true};
    assert_ok(cis_store_kv_list(s, T, &query, refs_note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
    query.ns = (struct cis_str){NULL, 0};
    assert_ok(cis_store_kv_list(s, T, &query, refs_note_entry, &all, NULL, err));
    assert_string_equal(cis_buf_cstr(&all), expected);
    cis_buf_reset(&all);
    assert_ok(cis_store_kv_namespaces(s, T, at, refs_note_entry, &all, NULL, err));
    assert_string_equal(cis_buf_cstr(&all), expected[0] != 0 ? "a " : "");
    uint64_t bytes = 0, keys = 0, want_bytes = 0, want_keys = 0;
    for (const char *c = expected; *c != 0; c++) {
        want_bytes += *c != '=' && *c != ' ';
        want_keys += *c == ' ';
    }
    assert_ok(cis_store_kv_usage(s, T, at, &bytes, &keys, NULL, err));
    assert_int_equal(bytes, want_bytes);
    assert_int_equal(keys, want_keys);
}

void refs_assert_key(cis_store *s, struct cis_view at, const char *key, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    bool found = false;
    assert_ok(cis_store_kv_get(
        s, T, &(struct cis_kv_get_query){at, CIS_STR("a"), cis_str_of(key), refs_note_entry, &out},
        &found, NULL, err));
    assert_int_equal(found, expected != NULL);
    if (expected != NULL) {
        char line[100];
        snprintf(line, sizeof line, "%s=%s ", key, expected);
        assert_string_equal(cis_buf_cstr(&out), line);
    }
}

void refs_assert_found(cis_store *s, struct cis_view at, const char *query, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_store_kv_search(
        s, T, &(struct cis_kv_search_query){at, CIS_STR("a"), cis_str_of(query), 100},
        refs_note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}
