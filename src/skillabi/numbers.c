/* The numbers convention: `--method add --input '[1,1]'` calls add(1, 1) and prints 2. */
#include "skillabi/abi.h"
#include "base/wraps.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/float.h"

#define ARGS_MAX 64           /* parameters or results of one function */
#define INPUT_MAX (64u << 10) /* 64 numbers need no more */

static void json_drop(json_t **json)
{
    json_decref(*json);
}

static bool whole(const json_t *json, int64_t low, double high, int64_t *out)
{
    if (json_is_integer(json)) {
        *out = json_integer_value(json);
        return *out >= low && (double)*out <= high;
    }
    if (json_is_real(json)) {
        double d = json_real_value(json);
        if (d >= (double)low && d <= high && floor(d) == d && fabs(d) <= 9007199254740992.0) {
            *out = (int64_t)d;
            return true;
        }
    }
    return false;
}

/* JSON numbers above 2^63 are no integers to most tools: text carries an i64 in full. */
CIS_WRAPS static bool i64_text(const json_t *json, int64_t *out)
{
    const char *text = json_string_value(json);
    uint64_t value;
    if (text == NULL) {
        return false;
    }
    bool minus = text[0] == '-';
    if (!cis_str_u64(cis_str_of(text + (minus ? 1 : 0)), &value) ||
        (minus && value > (uint64_t)INT64_MAX + 1)) {
        return false;
    }
    *out = (int64_t)(minus ? 0 - value : value);
    return true;
}

static bool argument(char type, const json_t *json, union cis_slot *out)
{
    int64_t n;
    *out = (union cis_slot){.i64 = 0};
    switch (type) {
    case 'i':
        if (!whole(json, INT32_MIN, UINT32_MAX, &n)) {
            return false;
        }
        out->u32 = (uint32_t)n;
        return true;
    case 'I':
        if (!whole(json, INT64_MIN, 9223372036854775807.0, &n) && !i64_text(json, &n)) {
            return false;
        }
        out->i64 = n;
        return true;
    case 'f':
        out->f32 = (float)json_number_value(json);
        return json_is_number(json);
    case 'F':
        out->f64 = json_number_value(json);
        return json_is_number(json);
    default:
        return false;
    }
}

static void real(double value, bool single, struct cis_buf *out)
{
    if (isnan(value) || isinf(value)) { /* no JSON number: text */
        cis_buf_text(out, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    char text[CIS_FLOAT_TEXT_MAX];
    cis_float_exact(value, single, text);
    cis_buf_text(out, text);
}

static void result(char type, const union cis_slot *slot, struct cis_buf *out)
{
    switch (type) {
    case 'i':
        cis_buf_printf(out, "%" PRId32, slot->i32);
        break;
    case 'I':
        cis_buf_printf(out, "%" PRId64, slot->i64);
        break;
    case 'f':
        real((double)slot->f32, true, out);
        break;
    default:
        real(slot->f64, false, out);
        break;
    }
}

/* One text for a wrong list: what the function takes. */
static cis_code wrong(const struct cis_skillabi_plan *plan, const char *what, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf type = CIS_BUF_INIT(CIS_ERROR_MSG_MAX);
    cis_abi_type_text(plan->entry_type, &type);
    int name = plan->entry.len > 64 ? 64 : (int)plan->entry.len;
    return cis_fail(err, CIS_E_USAGE, "%.*s%s: %s; the input is a JSON array of its numbers", name,
                    plan->entry.ptr, cis_buf_cstr(&type), what);
}

static cis_code arguments(const struct cis_skillabi_plan *plan, size_t nparams,
                          struct cis_bytes input, union cis_slot *io, struct cis_error *err)
{
    struct cis_str text = cis_str_trim((struct cis_str){(const char *)input.ptr, input.len});
    if (text.len > INPUT_MAX) {
        return wrong(plan, "the input is too long", err);
    }
    bool nothing = text.len == 0 || cis_str_is(text, "null") || cis_str_is(text, "{}");
    if (nothing) {
        return nparams == 0 ? CIS_OK : wrong(plan, "no arguments given", err);
    }
    CIS_CLEANUP(json_drop)
    json_t *json = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    if (json == NULL) {
        return wrong(plan, "the input is not JSON", err);
    }
    bool list = json_is_array(json);
    if ((list ? json_array_size(json) : 1) != nparams) {
        return wrong(plan, "wrong number of arguments", err);
    }
    for (size_t i = 0; i < nparams; i++) {
        if (!argument(plan->entry_type[i], list ? json_array_get(json, i) : json, &io[i])) {
            char what[64];
            snprintf(what, sizeof what, "argument %zu does not fit its type", i + 1);
            return wrong(plan, what, err);
        }
    }
    return CIS_OK;
}

cis_code cis_abi_numbers(cis_engine_instance *instance, const struct cis_skillabi_plan *plan,
                         struct cis_bytes input, struct cis_buf *out, struct cis_error *err)
{
    const char *type = plan->entry_type;
    size_t nparams = strcspn(type, ":");
    const char *results = type[nparams] == ':' ? type + nparams + 1 : "";
    size_t nresults = strlen(results);
    if (nparams > ARGS_MAX || nresults > ARGS_MAX || strspn(type, "iIfF:") != strlen(type)) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%.*s: only functions of at most %d i32, i64, f32, f64 are called",
                        plan->entry.len > 64 ? 64 : (int)plan->entry.len, plan->entry.ptr,
                        ARGS_MAX);
    }
    union cis_slot io[ARGS_MAX] = {{.i64 = 0}};
    CIS_TRY(arguments(plan, nparams, input, io, err));
    CIS_TRY(cis_engine_instance_call(instance, plan->entry, type, io, err));
    if (nresults == 0) {
        cis_buf_text(out, "null");
    }
    for (size_t i = 0; i < nresults; i++) {
        cis_buf_text(out, i != 0 ? "," : nresults > 1 ? "[" : "");
        result(results[i], &io[i], out);
    }
    cis_buf_text(out, nresults > 1 ? "]" : "");
    return cis_buf_check(out, "result", err);
}
