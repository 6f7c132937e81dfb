/* Reading a module that may be hostile. Validation is not linear: a few megabytes can ask for
 * minutes (branches that carry a thousand values each) or gigabytes (types), and neither the
 * validator nor the text parser can be stopped half way. And the readers of components do not live
 * through all of them: types that are inside each other deep enough overflow the stack or meet an
 * assertion, in a few kilobytes. So whatever is not a small core module is read by the compiler's
 * child process, under its limits; this process sees the JSON of the scan and the binary of a text.
 */
#include "base/mem.h"
#include "engine/code/child.h"

#define SMALL 65536u              /* the worst text or binary of this size costs under a second */
#define SCAN_JSON_MAX (64u << 20) /* the glue's own limit is 32 MiB before escaping */

static cis_code here(struct cis_bytes wasm, const struct cis_engine_module_options *options,
                     struct cis_buf *out_binary, struct cis_buf *out_json, struct cis_error *err)
{
    const char *name = options->name != NULL ? options->name : "module";
    CIS_TRY(cis_module_binary(wasm, name, out_binary, err));
    return cis_scan_json(out_binary->len != 0 ? cis_buf_bytes(out_binary) : wasm, options, out_json,
                         err);
}

cis_code cis_child_examine(struct cis_bytes wasm, const char *name, unsigned features,
                           struct cis_buf *out, struct cis_error *err)
{
    const struct cis_engine_module_options options = {.name = name, .features = features};
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(SCAN_JSON_MAX);
    CIS_TRY(here(wasm, &options, out, &json, err));
    cis_child_scan_end(&json, out);
    return cis_buf_check(out, name, err);
}

void cis_child_scan_end(const struct cis_buf *json, struct cis_buf *out)
{
    struct cis_child_scan end = {json->len};
    cis_buf_add(out, json->ptr, json->len);
    cis_buf_add(out, &end, sizeof end);
}

cis_code cis_child_scan_split(struct cis_buf *answer, const char *name, struct cis_buf *out_json,
                              struct cis_error *err)
{
    struct cis_child_scan end;
    size_t left = answer->len - sizeof end;
    if (answer->len >= sizeof end) {
        memcpy(&end, answer->ptr + left, sizeof end);
    }
    if (answer->len < sizeof end || end.json_len > left) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: the compiler's answer is damaged", name);
    }
    answer->len = left - (size_t)end.json_len;
    cis_buf_add(out_json, answer->ptr + answer->len, (size_t)end.json_len);
    return cis_buf_check(out_json, name, err);
}

static cis_code in_child(struct cis_bytes wasm, const struct cis_engine_module_options *options,
                         const struct cis_child_limits *limits, struct cis_buf *out_binary,
                         struct cis_buf *out_json, struct cis_error *err)
{
    const char *name = options->name != NULL ? options->name : "module";
    struct cis_child_work work = {.job = CIS_CHILD_SCAN,
                                  .input = &wasm,
                                  .ninput = 1,
                                  .name = name,
                                  .doing = "reading",
                                  .features = options->features,
                                  .stop = options->stop};
    if (work.stop.deadline_ns == 0) {
        work.stop.deadline_ns = CIS_NEVER;
    }
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf answer = CIS_BUF_INIT((size_t)CIS_MODULE_MAX + SCAN_JSON_MAX);
    uint64_t unused;
    CIS_TRY(cis_child_run(limits, &work, &unused, &answer, err));
    CIS_TRY(cis_child_scan_split(&answer, name, out_json, err));
    cis_buf_move(&answer, out_binary);
    return cis_buf_check(out_binary, name, err);
}

static const uint8_t magic[4] = {0, 'a', 's', 'm'}, core[4] = {1, 0, 0, 0};

static bool is_core(struct cis_bytes binary)
{
    return binary.len >= 8 && memcmp(binary.ptr, magic, 4) == 0 &&
           memcmp(binary.ptr + 4, core, 4) == 0;
}

static bool has(struct cis_bytes text, const char *word)
{
    return text.len != 0 && memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

/* Of a text it is a guess, for the turn of the child that is taken before: one that makes a
 * component says so, or has it as bytes ("module binary"). */
bool cis_module_is_read_apart(struct cis_bytes wasm)
{
    return wasm.len > SMALL || (wasm.len >= 8 && memcmp(wasm.ptr, magic, 4) == 0
                                    ? !is_core(wasm)
                                    : has(wasm, "component") || has(wasm, "binary"));
}

/* What a text makes is seen in its binary, whatever words it has. */
static cis_code here_or_not(struct cis_bytes wasm, const struct cis_engine_module_options *options,
                            const struct cis_child_limits *limits, struct cis_buf *out_binary,
                            struct cis_buf *out_json, struct cis_error *err)
{
    const char *name = options->name != NULL ? options->name : "module";
    CIS_TRY(cis_module_binary(wasm, name, out_binary, err));
    struct cis_bytes binary = out_binary->len != 0 ? cis_buf_bytes(out_binary) : wasm;
    return is_core(binary) ? cis_scan_json(binary, options, out_json, err)
                           : in_child(wasm, options, limits, out_binary, out_json, err);
}

cis_code cis_module_examine(struct cis_bytes wasm, const uint8_t digest[CIS_SHA256_BYTES],
                            const struct cis_engine_module_options *options,
                            const struct cis_child_limits *limits, struct cis_buf *out_binary,
                            struct cis_engine_module_info **out_info, struct cis_error *err)
{
    const char *name = options->name != NULL ? options->name : "module";
    if (wasm.len > CIS_MODULE_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %u bytes", name, CIS_MODULE_MAX);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(SCAN_JSON_MAX);
    if (limits->program == NULL) {
        CIS_TRY(here(wasm, options, out_binary, &json, err));
    } else if (!cis_module_is_read_apart(wasm)) {
        CIS_TRY(here_or_not(wasm, options, limits, out_binary, &json, err));
    } else {
        CIS_TRY(in_child(wasm, options, limits, out_binary, &json, err));
    }
    return cis_info_from_json(cis_buf_view(&json), digest, out_info, err);
}

cis_code cis_engine_module_scan(struct cis_bytes wasm,
                                const struct cis_engine_module_options *options,
                                struct cis_engine_module_info **out_info, struct cis_error *err)
{
    CIS_TRY(cis_crypto_init(err));
    const struct cis_child_limits limits = {.program = options->compiler,
                                            .memory_bytes = options->compile_memory,
                                            .ns = options->compile_ns};
    CIS_CLEANUP(cis_buf_done) struct cis_buf converted = CIS_BUF_INIT(CIS_MODULE_MAX);
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256(wasm, digest);
    return cis_module_examine(wasm, digest, options, &limits, &converted, out_info, err);
}
