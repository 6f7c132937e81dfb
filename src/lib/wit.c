/* cis_wit: values of calls for embedders. A thin cover over the engine's values that survives every
 * mistake: reading what is not there gives nothing, a step that cannot be done fails the call. */
#include "lib/wit.h"

#include "base/clock.h"

static const cis_val *in(const cis_wit *value)
{
    return (const cis_val *)value;
}

static cis_val *inout(cis_wit *value)
{
    return (cis_val *)value;
}

/* ---- the call ---- */

cis_code cis_lib_wit_handler(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                             struct cis_error *err)
{
    const struct cis_ifacefn *row = cis_engine_instance_row(instance);
    const struct cis_lib_function *f =
        (const void *)((const uint8_t *)row - offsetof(struct cis_lib_function, row));
    cis_wit_call call = {
        .instance = instance, .function = f, .args = args, .nargs = f->nargs, .result = result};
    cis_engine_instance_block(
        instance); /* what the function does is its own: it may run other guests */
    cis_code code = cis_error_foreign(NULL, f->call(f->self, &call), row->name);
    cis_lib_objects_settle(instance);
    cis_code back = cis_engine_instance_unblock(instance, code == CIS_OK ? err : NULL);
    if (code == CIS_OK && back != CIS_OK) {
        return back;
    }
    if (code == CIS_OK) {
        code = call.first.code;
    }
    return code == CIS_OK ? CIS_OK
                          : cis_fail(err, code, "%s.%s: %s", row->interface, row->name,
                                     call.first.msg[0] != 0 ? call.first.msg : cis_code_text(code));
}

const cis_wit *cis_wit_arg(const cis_wit_call *call, size_t i)
{
    return i < call->nargs ? (const cis_wit *)cis_val_nth(call->args, i) : NULL;
}

cis_wit *cis_wit_result(cis_wit_call *call)
{
    return (cis_wit *)call->result;
}

void *cis_wit_data(const cis_wit_call *call)
{
    const struct cis_lib_embedder *e =
        call->instance != NULL ? cis_host_of(call->instance)->embedder : NULL;
    return e != NULL ? e->data : NULL;
}

enum cis_code cis_wit_fail(cis_wit_call *call, enum cis_code code, const char *message)
{
    if (code == CIS_OK || (unsigned)code >= CIS_E_COUNT_) {
        code = CIS_E_INTERNAL;
    }
    return cis_fail(&call->first, code, "%s", message != NULL ? message : cis_code_text(code));
}

/* The guest has given its slot back already, for the whole function. */
void cis_wit_block(cis_wit_call *call)
{
    (void)call;
}

enum cis_code cis_wit_unblock(cis_wit_call *call)
{
    return call->instance != NULL ? cis_host_alive(cis_host_of(call->instance), &call->first)
                                  : call->first.code;
}

bool cis_wit_alive(const cis_wit_call *call, uint64_t *out_left_ms)
{
    if (call->instance == NULL) {
        if (out_left_ms != NULL) {
            *out_left_ms = 0;
        }
        return false;
    }
    const struct cis_host *host = cis_host_of(call->instance);
    uint64_t now = cis_clock_mono_ns(), end = host->call.deadline_ns;
    if (out_left_ms != NULL) {
        *out_left_ms = end == CIS_NEVER ? UINT64_MAX : now < end ? (end - now) / CIS_NS_PER_MS : 0;
    }
    return cis_host_alive(host, NULL) == CIS_OK;
}

/* ---- reading ---- */

uint64_t cis_wit_uint(const cis_wit *value)
{
    return value != NULL ? cis_val_uint(in(value)) : 0;
}

int64_t cis_wit_int(const cis_wit *value)
{
    return value != NULL ? cis_val_int(in(value)) : 0;
}

double cis_wit_float(const cis_wit *value)
{
    return value != NULL ? cis_val_float(in(value)) : 0;
}

const char *cis_wit_text(const cis_wit *value, size_t *out_len)
{
    struct cis_str text = value != NULL ? cis_val_text(in(value)) : CIS_STR("");
    if (out_len != NULL) {
        *out_len = text.len;
    }
    return text.ptr;
}

bool cis_wit_is(const cis_wit *value, const char *text)
{
    return value != NULL && cis_str_is(cis_val_text(in(value)), text);
}

size_t cis_wit_len(const cis_wit *value)
{
    return value != NULL && !cis_val_is_flags(in(value)) ? cis_val_len(in(value)) : 0;
}

const cis_wit *cis_wit_at(const cis_wit *value, size_t i)
{
    return i < cis_wit_len(value) ? (const cis_wit *)cis_val_at(in(value), i) : NULL;
}

const cis_wit *cis_wit_field(const cis_wit *record, const char *name)
{
    for (size_t i = 0; record != NULL && cis_val_is_record(in(record)) && i < cis_wit_len(record);
         i++) {
        if (cis_str_is(cis_val_field_name(in(record), i), name)) {
            return cis_wit_at(record, i);
        }
    }
    return NULL;
}

void cis_wit_bytes(const cis_wit *list, void *out)
{
    uint8_t *to = out;
    for (size_t i = 0; i < cis_wit_len(list); i++) {
        to[i] = (uint8_t)cis_val_uint(cis_val_at(in(list), i));
    }
}

bool cis_wit_has_flag(const cis_wit *flags, const char *name)
{
    return flags != NULL && cis_val_has_flag(in(flags), name);
}

const cis_wit *cis_wit_inner(const cis_wit *value)
{
    return value != NULL ? (const cis_wit *)cis_val_inner(in(value)) : NULL;
}

bool cis_wit_is_ok(const cis_wit *result)
{
    return result != NULL && cis_val_is_ok(in(result));
}

/* What one provider made, another does not get: it would take it for something of its own. */
static struct cis_lib_object *object_of(const cis_wit_call *call, const cis_wit *value)
{
    struct cis_lib_object *o = value != NULL && call->instance != NULL
                                   ? cis_lib_object_at(call->instance, cis_val_rep(in(value)))
                                   : NULL;
    bool foreign =
        o != NULL && call->function != NULL && call->function->provider != o->type->provider;
    return o != NULL && !foreign && !o->taken ? o : NULL;
}

void *cis_wit_object(const cis_wit_call *call, const cis_wit *value)
{
    const struct cis_lib_object *o = object_of(call, value);
    return o != NULL ? o->object : NULL;
}

void *cis_wit_take(cis_wit_call *call, const cis_wit *value)
{
    struct cis_lib_object *o = object_of(call, value);
    if (o == NULL || !o->given) {
        return NULL;
    }
    o->taken = true;
    return o->object;
}

/* ---- building ---- */

static bool can(const cis_wit_call *call, const cis_wit *out)
{
    return out != NULL && call->first.code == CIS_OK;
}

/* Remembers the first failure; it fails the call when the function returns. */
static void note(cis_wit_call *call, cis_code code, const struct cis_error *why)
{
    if (code != CIS_OK && call->first.code == CIS_OK) {
        call->first = *why;
    }
}

#define SIMPLE(name, type)                                                                         \
    void cis_wit_set_##name(cis_wit *out, type n)                                                  \
    {                                                                                              \
        if (out != NULL) {                                                                         \
            cis_val_set_##name(inout(out), n);                                                     \
        }                                                                                          \
    }
SIMPLE(bool, bool)
SIMPLE(u8, uint8_t)
SIMPLE(u16, uint16_t)
SIMPLE(u32, uint32_t)
SIMPLE(u64, uint64_t)
SIMPLE(s8, int8_t)
SIMPLE(s16, int16_t)
SIMPLE(s32, int32_t)
SIMPLE(s64, int64_t)
SIMPLE(f32, float)
SIMPLE(f64, double)
#undef SIMPLE

void cis_wit_set_char(cis_wit_call *call, cis_wit *out, uint32_t scalar)
{
    struct cis_error why;
    if (can(call, out)) {
        note(call, cis_val_set_char(inout(out), scalar, &why), &why);
    }
}

void cis_wit_set_text(cis_wit_call *call, cis_wit *out, const char *text, size_t len)
{
    struct cis_error why;
    if (can(call, out)) {
        note(call, cis_val_set_text(call->instance, inout(out), (struct cis_str){text, len}, &why),
             &why);
    }
}

void cis_wit_set_bytes(cis_wit_call *call, cis_wit *out, const void *data, size_t len)
{
    struct cis_error why;
    if (can(call, out)) {
        note(call, cis_val_set_bytes(call->instance, inout(out), cis_bytes_of(data, len), &why),
             &why);
    }
}

/* The engine takes names for UTF-8. */
static bool is_name(cis_wit_call *call, const char *name)
{
    struct cis_error why;
    if (cis_utf8_valid(name, strlen(name))) {
        return true;
    }
    note(call, cis_fail(&why, CIS_E_INVALID, "a name is not UTF-8"), &why);
    return false;
}

void cis_wit_set_enum(cis_wit_call *call, cis_wit *out, const char *name)
{
    if (can(call, out) && is_name(call, name)) {
        cis_val_set_enum(inout(out), cis_str_of(name));
    }
}

void cis_wit_set_flags(cis_wit_call *call, cis_wit *out, const char *const *names, size_t n)
{
    struct cis_str texts[64];
    struct cis_error why;
    if (!can(call, out)) {
        return;
    }
    if (n > sizeof texts / sizeof *texts) {
        note(call, cis_fail(&why, CIS_E_LIMIT, "more than 64 flags"), &why);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_name(call, names[i])) {
            return;
        }
        texts[i] = cis_str_of(names[i]);
    }
    note(call, cis_val_set_flags(call->instance, inout(out), texts, n, &why), &why);
}

void cis_wit_set_none(cis_wit *out)
{
    if (out != NULL) {
        cis_val_set_none(inout(out));
    }
}

cis_wit *cis_wit_set_some(cis_wit *out)
{
    return out != NULL ? (cis_wit *)cis_val_set_some(inout(out)) : NULL;
}

static cis_wit *set_result(cis_wit_call *call, cis_wit *out, bool ok, bool has)
{
    cis_val *inner = NULL;
    if (can(call, out)) {
        cis_val_set_result(inout(out), ok, has ? &inner : NULL);
    }
    return (cis_wit *)inner;
}

cis_wit *cis_wit_set_ok(cis_wit_call *call, cis_wit *out, bool has)
{
    return set_result(call, out, true, has);
}

cis_wit *cis_wit_set_error(cis_wit_call *call, cis_wit *out, bool has)
{
    return set_result(call, out, false, has);
}

cis_wit *cis_wit_set_case(cis_wit_call *call, cis_wit *out, const char *name, bool has)
{
    cis_val *inner = NULL;
    if (can(call, out) && is_name(call, name)) {
        cis_val_set_variant(inout(out), name, has ? &inner : NULL);
    }
    return (cis_wit *)inner;
}

void cis_wit_set_list(cis_wit_call *call, cis_wit *out, size_t n)
{
    struct cis_error why;
    if (can(call, out)) {
        note(call, cis_val_set_list(call->instance, inout(out), n, &why), &why);
    }
}

#define FIELDS_MAX 1000u

static bool few(cis_wit_call *call, size_t n)
{
    struct cis_error why;
    if (n > FIELDS_MAX) {
        note(call, cis_fail(&why, CIS_E_LIMIT, "more than %u fields", FIELDS_MAX), &why);
    }
    return n <= FIELDS_MAX;
}

void cis_wit_set_tuple(cis_wit_call *call, cis_wit *out, size_t n)
{
    if (can(call, out) && few(call, n)) {
        cis_val_set_tuple(inout(out), n);
    }
}

void cis_wit_set_record(cis_wit_call *call, cis_wit *out, const char *const *names, size_t n)
{
    if (!can(call, out) || !few(call, n)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_name(call, names[i])) {
            return;
        }
    }
    cis_val_set_record(inout(out), names, n);
}

cis_wit *cis_wit_item(cis_wit_call *call, cis_wit *value, size_t i)
{
    return can(call, value) && i < cis_wit_len(value) ? (cis_wit *)cis_val_item(inout(value), i)
                                                      : NULL;
}

void cis_wit_set_object(cis_wit_call *call, cis_wit *out, const char *resource, void *object)
{
    const struct cis_lib_function *f = call->function;
    bool own;
    const struct cis_lib_resource *type =
        f != NULL ? cis_lib_resource_of(f->provider, cis_str_of(f->interface->text),
                                        cis_str_of(resource), &own)
                  : NULL;
    struct cis_error why;
    uint32_t rep = 0;
    cis_code code;
    if (type == NULL) {
        note(call, cis_fail(&why, CIS_E_USAGE, "no such resource: %.60s", resource), &why);
        return;
    }
    code = !can(call, out) ? CIS_E_FAILED
                           : cis_lib_object_new(call->instance, type, object, &rep, &why);
    if (code == CIS_OK) {
        code = cis_val_set_own(call->instance, inout(out), type->row.kind, rep, &why);
        if (code != CIS_OK) {
            cis_lib_object_forget(call->instance, rep);
        }
    } else if (out == NULL || call->first.code != CIS_OK) {
        why = (struct cis_error){.code = CIS_E_USAGE, .msg = "a resource has no place to go to"};
    }
    note(call, code, &why);
    if (code != CIS_OK && type->drop != NULL) {
        type->drop(type->self, object);
    }
}
