/* What is in a module: magic, text to binary, the glue's scan and its JSON as structs. Nothing here
 * compiles. */
#include "engine/code/code.h"

#include <jansson.h>
#include "base/mem.h"

/* The public struct and what its pointers point into. */
struct info_box {
    struct cis_engine_module_info info;
    json_t *root;
    char *text;
    bool table_grows;
    uint64_t max_table, max_table_max; /* largest minimum and maximum of a table */
    uint64_t own_memories;
};

static struct info_box *box_of(const struct cis_engine_module_info *info)
{
    return (struct info_box *)(uintptr_t)info;
}

void cis_engine_module_info_free(struct cis_engine_module_info *info)
{
    if (info == NULL) {
        return;
    }
    struct info_box *box = box_of(info);
    json_decref(box->root);
    cis_free(box->text);
    cis_free(info->imports);
    cis_free(info->exports);
    cis_free(box);
}

/* ---- JSON → struct ---- */

static const char *text_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static struct cis_str view_at(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    return (struct cis_str){text != NULL ? text : "", json_string_length(value)};
}

static uint64_t number_at(json_t *object, const char *key, uint64_t otherwise)
{
    json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

static enum cis_extern_kind kind_of(const char *text)
{
    static const char *const names[] = {"func", "memory", "table", "global", "tag"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum cis_extern_kind)i;
        }
    }
    return CIS_EXTERN_OTHER;
}

static cis_code externs_from(json_t *root, const char *key, struct cis_extern **out, size_t *out_n,
                             struct cis_error *err)
{
    json_t *list = json_object_get(root, key);
    size_t n = json_array_size(list);
    *out = cis_calloc(n != 0 ? n : 1, sizeof **out);
    if (*out == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "scan: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        json_t *item = json_array_get(list, i);
        struct cis_extern *e = &(*out)[i];
        e->module = view_at(item, "module");
        e->name = view_at(item, "name");
        e->kind = kind_of(text_at(item, "kind"));
        e->type = text_at(item, "type");
        e->min_pages = number_at(item, "min", 0);
        e->max_pages = number_at(item, "max", UINT64_MAX);
    }
    *out_n = n;
    return CIS_OK;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static void sizes_from(struct info_box *box)
{
    struct cis_engine_module_info *info = &box->info;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(box->root, "memories"), i, item)
    {
        uint64_t pages = number_at(item, "min", 0), bytes;
        bytes = __builtin_mul_overflow(pages, 65536u, &bytes) ? UINT64_MAX : pages * 65536u;
        info->memories++;
        info->min_memory_bytes = add(info->min_memory_bytes, bytes);
        box->own_memories += json_is_true(json_object_get(item, "imported")) ? 0 : 1;
    }
    json_array_foreach(json_object_get(box->root, "tables"), i, item)
    {
        uint64_t min = number_at(item, "min", 0), max = number_at(item, "max", UINT64_MAX);
        info->tables++;
        info->table_elements = add(info->table_elements, min);
        box->max_table = min > box->max_table ? min : box->max_table;
        box->max_table_max = max > box->max_table_max ? max : box->max_table_max;
    }
    json_array_foreach(json_object_get(box->root, "features"), i, item)
    {
        const char *name = json_string_value(item);
        info->features |= name != NULL && strcmp(name, "memory64") == 0 ? CIS_FEATURE_MEMORY64 : 0u;
        info->features |=
            name != NULL && strcmp(name, "exceptions") == 0 ? CIS_FEATURE_EXCEPTIONS : 0u;
    }
    info->functions = number_at(box->root, "functions", 0);
    info->state_bytes = number_at(box->root, "state_bytes", 0);
    info->component = strcmp(text_at(box->root, "layer"), "component") == 0;
    box->table_grows = json_is_true(json_object_get(box->root, "table_grow"));
}

cis_code cis_info_from_json(struct cis_str json, const uint8_t digest[CIS_SHA256_BYTES],
                            struct cis_engine_module_info **out_info, struct cis_error *err)
{
    struct info_box *box = cis_zalloc(sizeof *box);
    if (box == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "scan: out of memory");
    }
    struct cis_engine_module_info *info = &box->info;
    memcpy(info->sha256, digest, CIS_SHA256_BYTES);
    cis_hex(digest, CIS_SHA256_BYTES, info->sha256_hex);
    box->text = cis_strndup(json.ptr, json.len);
    info->json = box->text;
    json_error_t why;
    /* Names of imports may contain U+0000. */
    box->root = json_loadb(json.ptr, json.len, JSON_ALLOW_NUL, &why);
    cis_code code = CIS_OK;
    if (box->text == NULL) {
        code = cis_fail(err, CIS_E_NOMEM, "scan: out of memory");
    } else if (!json_is_object(box->root)) {
        code = cis_fail(err, CIS_E_INTERNAL, "scan: %s", why.text);
    }
    code = code == CIS_OK ? externs_from(box->root, "imports", &info->imports, &info->nimports, err)
                          : code;
    code = code == CIS_OK ? externs_from(box->root, "exports", &info->exports, &info->nexports, err)
                          : code;
    if (code != CIS_OK) {
        cis_engine_module_info_free(info);
        return code;
    }
    sizes_from(box);
    *out_info = info;
    return CIS_OK;
}

bool cis_info_fits_pool(const struct cis_engine_module_info *info, uint64_t slot_bytes,
                        uint64_t limit)
{
    const struct info_box *box = box_of(info);
    bool tables = info->tables <= CIS_ENGINE_POOL_TABLES &&
                  box->max_table <= CIS_ENGINE_POOL_ELEMENTS &&
                  (box->max_table_max <= CIS_ENGINE_POOL_ELEMENTS || !box->table_grows);
    /* How often a component instantiates its modules is seen when it is loaded into the pool. */
    return tables && box->own_memories <= CIS_ENGINE_POOL_MEMORIES &&
           info->min_memory_bytes <= slot_bytes && limit <= slot_bytes;
}

const struct cis_extern *cis_info_export(const struct cis_engine_module_info *info,
                                         struct cis_str name)
{
    for (size_t i = 0; i < info->nexports; i++) {
        if (cis_str_eq(info->exports[i].name, name)) {
            return &info->exports[i];
        }
    }
    return NULL;
}

/* ---- bytes → scan ---- */

static cis_code refuse_feature(struct cis_str feature, const char *name, struct cis_error *err)
{
    static const struct {
        const char *feature, *text;
    } known[] = {
        {"memory64", "uses 64-bit memory, which is off by default (--enable memory64)"},
        {"exceptions", "uses exceptions, which are off by default (--enable exceptions)"},
        {"externref", "uses host references (externref); the heap they need is off by default "
                      "(--enable exceptions)"},
        {"threads", "uses shared memory or atomics (threads), which cis does not support"},
        {"gc", "uses garbage-collected types, which cis does not support"},
        {"function-references", "uses typed function references, which cis does not support"},
        {"legacy-exceptions", "uses the old exception instructions, which cis does not support "
                              "(build with -mllvm -wasm-use-legacy-eh=false)"},
        {"component-async", "uses component-model async (WASI 0.3), which cis does not support"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (cis_str_is(feature, known[i].feature)) {
            return cis_fail(err, CIS_E_UNSUPPORTED, "%s: %s", name, known[i].text);
        }
    }
    return cis_fail(err, CIS_E_UNSUPPORTED, "%s: uses " CIS_STR_FMT ", which cis does not support",
                    name, CIS_STR_ARG(feature));
}

static bool keep_going(void *self)
{
    return cis_stop_check(self, "scan", NULL) == CIS_OK;
}

cis_code cis_scan_json(struct cis_bytes binary, const struct cis_engine_module_options *options,
                       struct cis_buf *out_json, struct cis_error *err)
{
    const char *name = options->name != NULL ? options->name : "module";
    struct cis_stop stop = options->stop;
    if (stop.deadline_ns == 0) {
        stop.deadline_ns = CIS_NEVER;
    }
    unsigned on = options->features & (CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS);
    struct cis_glue_text text = {0};
    int status = cis_glue_scan(binary.ptr, binary.len, on, keep_going, &stop, &text);
    struct cis_str answer = {text.ptr, text.len};
    cis_code code = CIS_OK;
    switch (status) {
    case CIS_GLUE_SCAN_OK:
        cis_buf_str(out_json, answer);
        code = cis_buf_check(out_json, name, err);
        break;
    case CIS_GLUE_SCAN_FEATURE:
        code = refuse_feature(answer, name, err);
        break;
    case CIS_GLUE_SCAN_TOO_LARGE:
        code = cis_fail(err, CIS_E_LIMIT, "%s: " CIS_STR_FMT, name, CIS_STR_ARG(answer));
        break;
    case CIS_GLUE_SCAN_STOPPED:
        code = cis_stop_check(&stop, name, err);
        break;
    case CIS_GLUE_SCAN_MEMORY:
        code = cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
        break;
    default:
        code = cis_fail(err, CIS_E_INVALID, "%s: not a valid WebAssembly module: " CIS_STR_FMT,
                        name, CIS_STR_ARG(answer));
        break;
    }
    cis_glue_text_free(&text);
    return code;
}

/* Text begins with a parenthesis, after white space and comments. */
static bool looks_like_text(struct cis_bytes wasm)
{
    for (size_t i = 0; i < wasm.len; i++) {
        uint8_t c = wasm.ptr[i];
        if (c == '(' || c == ';') {
            return true;
        }
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return false;
        }
    }
    return false;
}

/* The text parser shows its place in a picture below the message ("--> <anon>:LINE:COLUMN"). */
static cis_code text_error(struct cis_error *err, const char *name, wasmtime_error_t *error)
{
    static const char arrow[] = "<anon>:";
    char text[8192];
    struct cis_str all = {text, cis_glue_error_text(error, NULL, text, sizeof text)}, first;
    const char *at = memmem(all.ptr, all.len, arrow, sizeof arrow - 1);
    if (at == NULL) {
        return cis_engine_fail(err, CIS_E_INVALID, name, error, NULL);
    }
    at += sizeof arrow - 1;
    struct cis_str place = {at, 0};
    size_t left = all.len - (size_t)(at - all.ptr);
    while (place.len < left && strchr("0123456789:", at[place.len]) != NULL) {
        place.len++;
    }
    cis_str_split(&all, '\n', &first);
    cis_fail(err, CIS_E_INVALID, "%s:" CIS_STR_FMT ": " CIS_STR_FMT, name, CIS_STR_ARG(place),
             CIS_STR_ARG(first));
    wasmtime_error_delete(error);
    return CIS_E_INVALID;
}

static cis_code from_text(struct cis_bytes wasm, const char *name, struct cis_buf *out,
                          struct cis_error *err)
{
    if (wasm.len > CIS_MODULE_TEXT_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: WebAssembly text larger than %u bytes", name,
                        CIS_MODULE_TEXT_MAX);
    }
    wasm_byte_vec_t binary = {0};
    wasmtime_error_t *error = wasmtime_wat2wasm((const char *)wasm.ptr, wasm.len, &binary);
    if (error != NULL) {
        return text_error(err, name, error);
    }
    cis_buf_add(out, binary.data, binary.size);
    wasm_byte_vec_delete(&binary);
    return cis_buf_check(out, name, err);
}

cis_code cis_module_binary(struct cis_bytes wasm, const char *name, struct cis_buf *out_binary,
                           struct cis_error *err)
{
    static const uint8_t magic[4] = {0, 'a', 's', 'm'}, elf[4] = {0x7f, 'E', 'L', 'F'};
    static const uint8_t module[4] = {1, 0, 0, 0}, component[4] = {0x0d, 0, 1, 0};
    if (wasm.len > CIS_MODULE_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %u bytes", name, CIS_MODULE_MAX);
    }
    if (wasm.len >= 4 && memcmp(wasm.ptr, elf, 4) == 0) {
        return cis_fail(err, CIS_E_INVALID, "%s: is native code (ELF), not a WebAssembly module",
                        name);
    }
    if (wasm.len < 4 || memcmp(wasm.ptr, magic, 4) != 0) {
        if (looks_like_text(wasm)) {
            return from_text(wasm, name, out_binary, err);
        }
        return cis_fail(err, CIS_E_INVALID,
                        "%s: not WebAssembly (%s, neither the magic \"\\0asm\" nor text)", name,
                        wasm.len == 0 ? "empty" : "wrong magic");
    }
    if (wasm.len < 8) {
        return cis_fail(err, CIS_E_INVALID, "%s: WebAssembly cut off in its header", name);
    }
    if (memcmp(wasm.ptr + 4, module, 4) != 0 && memcmp(wasm.ptr + 4, component, 4) != 0) {
        return cis_fail(err, CIS_E_INVALID, "%s: WebAssembly version %u.%u, layer %u is not known",
                        name, (unsigned)wasm.ptr[4], (unsigned)wasm.ptr[5], (unsigned)wasm.ptr[6]);
    }
    return CIS_OK;
}
