/* cis_run, cis_execute_wasm and what they leave behind. */
#include "lib/wasi.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"

struct cis_result {
    struct cis_run_outcome outcome;
};

cis_code cis_lib_run(struct cis_lib_request *q, const char *input_json, size_t input_len,
                     cis_result **out_result, struct cis_error *err)
{
    size_t at;
    if (input_json == NULL) {
        input_json = "null";
        input_len = 4;
    }
    if (!cis_json_valid(input_json, input_len, &at)) {
        return cis_fail(err, CIS_E_USAGE, "input: not JSON (at byte %zu)", at);
    }
    q->request.input = cis_bytes_of(input_json, input_len);
    cis_result *result = cis_zalloc(sizeof *result);
    if (result == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "run: out of memory");
    }
    cis_code code = cis_run_execute(&q->request, &result->outcome, err);
    if (code != CIS_OK) {
        cis_free(result);
        return code;
    }
    *out_result = result;
    return CIS_OK;
}

cis_code cis_lib_result_new(cis_code code, const struct cis_error *why, struct cis_buf *output,
                            const char *skill, cis_result **out_result, struct cis_error *err)
{
    cis_result *r = cis_zalloc(sizeof *r);
    if (r == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", skill);
    }
    struct cis_run_outcome *o = &r->outcome;
    o->code = code;
    if (code != CIS_OK) {
        o->error = *why;
    }
    cis_id_new(o->id);
    o->report = CIS_BUF_INIT(SIZE_MAX / 4);
    o->is_json = cis_json_valid(output->ptr, output->len, NULL);
    struct cis_str text = cis_buf_view(output);
    bool large = text.len > CIS_STORED_RESULT_MAX; /* as in every report: see cis_result_output */
    cis_json_object(&o->report,
                    CIS_JSON(CIS_J("schema", 1u), CIS_J("id", o->id), CIS_J_BOOL("native", true),
                             CIS_J("skill", skill), CIS_J("status", cis_run_status(code)),
                             CIS_J("code", cis_code_name(code)),
                             CIS_J_INT("exit_code", cis_code_skill_exit(code)),
                             CIS_J_IF(code != CIS_OK, CIS_J("message", o->error.msg)),
                             large ? CIS_J_NULL("result")
                             : o->is_json && cis_json_reads(text.ptr, text.len)
                                 ? CIS_J_RAW("result", text)
                                 : CIS_J("result", text),
                             CIS_J_IF(large, CIS_J_BOOL("result_omitted", true))));
    cis_code made = cis_buf_check(&o->report, skill, err);
    if (made != CIS_OK) {
        cis_result_free(r);
        return made;
    }
    o->output = *output;
    *output = CIS_BUF_INIT(output->max);
    *out_result = r;
    return CIS_OK;
}

cis_code cis_lib_result_played(const struct cis_recording_outcome *played,
                               struct cis_host_stream std[3], const char *path,
                               cis_result **out_result, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf none = CIS_BUF_INIT(1);
    struct cis_error why = {0};
    cis_result *r = NULL;
    if (played->code != CIS_OK) {
        cis_fail(&why, played->code, "%s", played->message);
    }
    CIS_TRY(cis_lib_result_new(played->code, &why, &none, path, &r, err));
    r->outcome.exited = played->exited;
    r->outcome.exit_code = played->exit_code;
    for (int i = 0; i < 3; i++) {
        r->outcome.std[i] = std[i];
        std[i].kept = CIS_BUF_INIT(0);
    }
    *out_result = r;
    return CIS_OK;
}

cis_code cis_run(cis_runtime *runtime, cis_module *module, const char *input_json, size_t input_len,
                 const struct cis_run_options *options, cis_result **out_result,
                 struct cis_error *err)
{
    CIS_TRY(cis_lib_here(runtime, err));
    struct cis_lib_request q;
    CIS_TRY(cis_lib_request_make(runtime, module, options, &q, err));
    cis_code code = cis_lib_run(&q, input_json, input_len, out_result, err);
    cis_lib_request_done(&q);
    return code;
}

void cis_result_free(cis_result *result)
{
    if (result != NULL) {
        cis_run_outcome_done(&result->outcome);
        cis_free(result);
    }
}

cis_code cis_result_code(const cis_result *result)
{
    return result->outcome.code;
}

const char *cis_result_message(const cis_result *result)
{
    return result->outcome.code != CIS_OK ? result->outcome.error.msg : "";
}

const char *cis_result_output(const cis_result *result, size_t *out_len)
{
    if (out_len != NULL) {
        *out_len = result->outcome.output.len;
    }
    return cis_buf_cstr(&result->outcome.output);
}

const char *cis_result_report(const cis_result *result, size_t *out_len)
{
    if (out_len != NULL) {
        *out_len = result->outcome.report.len;
    }
    return cis_buf_cstr(&result->outcome.report);
}

bool cis_result_exit(const cis_result *result, int32_t *out_code)
{
    *out_code = result->outcome.exit_code;
    return result->outcome.exited;
}

const char *cis_result_stream(const cis_result *result, int stream, size_t *out_len,
                              uint64_t *out_dropped)
{
    static const struct cis_host_stream none;
    const struct cis_host_stream *s =
        stream == 1 || stream == 2 ? &result->outcome.std[stream] : &none;
    if (out_len != NULL) {
        *out_len = s->kept.len;
    }
    if (out_dropped != NULL) {
        *out_dropped = s->dropped;
    }
    return cis_buf_cstr(&s->kept);
}

const char *cis_result_id(const cis_result *result)
{
    return result->outcome.id;
}

const char *cis_result_branch(const cis_result *result)
{
    return result->outcome.branch;
}

cis_code cis_execute_wasm(cis_runtime *runtime, const void *wasm, size_t wasm_len,
                          const char *input_json, size_t input_len, char **out_output,
                          size_t *out_len, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(runtime, err));
    cis_module *module = NULL;
    cis_result *result = NULL;
    CIS_TRY(cis_module_load(runtime, wasm, wasm_len, NULL, &module, err));
    static const char *const own_memory[] = {"memory", NULL};
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.grants = own_memory;
    cis_code code = cis_run(runtime, module, input_json, input_len, &options, &result, err);
    cis_module_unref(module);
    if (code != CIS_OK) {
        return code;
    }
    code = result->outcome.code;
    if (code != CIS_OK) {
        cis_fail(err, code, "%s", result->outcome.error.msg);
    } else {
        size_t len = result->outcome.output.len;
        char *text = (char *)cis_buf_take(&result->outcome.output, NULL);
        *out_output = text != NULL ? text : cis_strdup("");
        if (out_len != NULL) {
            *out_len = len;
        }
        if (*out_output == NULL) {
            code = cis_fail(err, CIS_E_NOMEM, "result: out of memory");
        }
    }
    cis_result_free(result);
    return code;
}

void cis_output_free(char *output)
{
    cis_free(output);
}
