/* Memory as JSON lines: reading. All lines are read before anything is written. */
#include <jansson.h>
#include "base/mem.h"
#include "service/memory/memory.h"
#include "store/calls.h"

struct line {
    json_t *json; /* owns the strings that the op points to */
    uint8_t *decoded[3];
};

struct importer {
    struct line *lines;
    struct cis_kv_op *ops;
    size_t n, cap;
};

static void importer_done(struct importer *im)
{
    for (size_t i = 0; i < im->n; i++) {
        json_decref(im->lines[i].json);
        for (int k = 0; k < 3; k++) {
            cis_free(im->lines[i].decoded[k]);
        }
    }
    cis_free(im->lines);
    cis_free(im->ops);
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict: whole groups of four, padding only at the end, no stray bits. */
static bool unbase64(struct cis_str text, uint8_t *out, size_t *out_len)
{
    size_t n = 0;
    if (text.len % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i += 4) {
        const char *q = text.ptr + i;
        bool last = i + 4 == text.len;
        int pad = last && q[3] == '=' ? (q[2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;
        for (int k = 0; k < 4 - pad; k++) {
            int d = digit(q[k]);
            if (d < 0) {
                return false;
            }
            v |= (uint32_t)d << (18 - 6 * k);
        }
        if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0)) {
            return false;
        }
        for (int k = 0; k < 3 - pad; k++) {
            out[n++] = (uint8_t)(v >> (16 - 8 * k));
        }
    }
    *out_len = n;
    return true;
}

/* Exactly one of the two fields. */
static cis_code take_bytes(const json_t *json, const char *text_name, const char *binary_name,
                           uint8_t **decoded, struct cis_bytes *out, struct cis_error *err)
{
    const json_t *text = json_object_get(json, text_name);
    const json_t *binary = json_object_get(json, binary_name);
    if ((text != NULL) == (binary != NULL) || !json_is_string(text != NULL ? text : binary)) {
        return cis_fail(err, CIS_E_INVALID, "must have \"%s\" or \"%s\", a string", text_name,
                        binary_name);
    }
    const json_t *given = text != NULL ? text : binary;
    struct cis_str s = {json_string_value(given), json_string_length(given)};
    if (text != NULL) {
        *out = cis_bytes_of(s.ptr, s.len);
        return CIS_OK;
    }
    *decoded = cis_alloc(s.len);
    if (*decoded == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "import: out of memory");
    }
    size_t n;
    if (!unbase64(s, *decoded, &n)) {
        return cis_fail(err, CIS_E_INVALID, "\"%s\" is not base64", binary_name);
    }
    *out = cis_bytes_of(*decoded, n);
    return CIS_OK;
}

static cis_code read_fields(struct line *line, struct cis_str into_ns, struct cis_kv_op *op,
                            struct cis_error *err)
{
    const json_t *json = line->json;
    const json_t *schema = json_object_get(json, "schema");
    const json_t *is_public = json_object_get(json, "public");
    const json_t *category = json_object_get(json, "category");
    if (!json_is_integer(schema) || json_integer_value(schema) != 1) {
        return cis_fail(err, CIS_E_INVALID, "\"schema\" is not 1");
    }
    if (is_public != NULL && !json_is_boolean(is_public)) {
        return cis_fail(err, CIS_E_INVALID, "\"public\" is not true or false");
    }
    if (category != NULL && !json_is_string(category)) {
        return cis_fail(err, CIS_E_INVALID, "\"category\" is not a string");
    }
    struct cis_bytes ns = {(const uint8_t *)into_ns.ptr, into_ns.len}, key;
    if (into_ns.ptr == NULL) {
        CIS_TRY(take_bytes(json, "ns", "ns_base64", &line->decoded[0], &ns, err));
    }
    CIS_TRY(take_bytes(json, "key", "key_base64", &line->decoded[1], &key, err));
    CIS_TRY(take_bytes(json, "value", "base64", &line->decoded[2], &op->value, err));
    op->ns = (struct cis_str){(const char *)ns.ptr, ns.len};
    op->key = (struct cis_str){(const char *)key.ptr, key.len};
    op->is_public = json_is_true(is_public) ? 1 : 0;
    op->category = category != NULL
                       ? (struct cis_str){json_string_value(category), json_string_length(category)}
                       : (struct cis_str){"", 0};
    struct cis_store_commit alone = {.kv = op, .nkv = 1};
    return cis_store_commit_check(&alone, err);
}

static bool grow(struct importer *im)
{
    if (im->n < im->cap) {
        return true;
    }
    size_t cap = cis_cap_next(im->cap, 64, CIS_MEM_MAX);
    struct line *lines = cis_realloc_array(im->lines, cap, sizeof *lines);
    if (lines != NULL) {
        im->lines = lines;
    }
    struct cis_kv_op *ops = cis_realloc_array(im->ops, cap, sizeof *ops);
    if (ops != NULL) {
        im->ops = ops;
    }
    if (lines == NULL || ops == NULL) {
        return false;
    }
    im->cap = cap;
    return true;
}

static cis_code read_line(struct importer *im, struct cis_str text, struct cis_str into_ns,
                          struct cis_error *err)
{
    if (!grow(im)) {
        return cis_fail(err, CIS_E_NOMEM, "import: out of memory");
    }
    json_error_t why;
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (json == NULL) {
        return cis_fail(err, CIS_E_INVALID, "not JSON: %s", why.text);
    }
    im->lines[im->n] = (struct line){.json = json};
    im->ops[im->n] = (struct cis_kv_op){.is_public = 0};
    im->n++; /* from here on importer_done frees it */
    if (!json_is_object(json)) {
        return cis_fail(err, CIS_E_INVALID, "not a JSON object");
    }
    return read_fields(&im->lines[im->n - 1], into_ns, &im->ops[im->n - 1], err);
}

cis_code cis_memory_import(const struct cis_store_memory *memory, struct cis_str tenant,
                           struct cis_str into_ns, struct cis_str text, uint64_t *out_count,
                           const struct cis_stop *stop, struct cis_error *err)
{
    if (text.len > CIS_MEMORY_IMPORT_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "import: the input has %zu bytes; at most %u are allowed",
                        text.len, CIS_MEMORY_IMPORT_MAX);
    }
    CIS_CLEANUP(importer_done) struct importer im = {0};
    for (size_t number = 1; text.len != 0; number++) {
        struct cis_str line;
        (void)cis_str_split(&text, '\n', &line);
        if (cis_str_trim(line).len == 0) {
            continue;
        }
        cis_code code = read_line(&im, line, into_ns, err);
        if (code != CIS_OK) {
            return cis_error_prefix(err, code, "line %zu", number);
        }
    }
    struct cis_store_commit commit = {.kv = im.ops,
                                      .nkv = im.n,
                                      .quota_bytes = memory->quota_bytes,
                                      .quota_keys = memory->quota_keys};
    CIS_TRY(cis_store_commit(memory->store, tenant, &commit, stop, err));
    *out_count = im.n;
    return CIS_OK;
}
