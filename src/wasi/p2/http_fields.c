/* wasi:http/types: fields. Names keep their spelling and are compared without case; what a set may
 * hold is bounded by number and by bytes, and charged. */
#include "wasi/p2/http.h"

#include <strings.h>
#include "base/mem.h"
#include "policy/header.h"

enum { INVALID_SYNTAX, FORBIDDEN, IMMUTABLE }; /* header-error */

#define FIELD_BYTES 64u /* what one is taken to cost beside its text */

static struct cis_str name_of(const struct p2_field *field)
{
    return (struct cis_str){field->name, field->name_len};
}

static bool same_name(const struct p2_field *field, struct cis_str name)
{
    return field->name_len == name.len && strncasecmp(field->name, name.ptr, name.len) == 0;
}

static struct cis_str text_of(struct cis_bytes bytes)
{
    return (struct cis_str){(const char *)bytes.ptr, bytes.len};
}

/* ---- sets ---- */

cis_code cis_p2_fields_new(cis_engine_instance *instance, struct p2_fields **out,
                           struct cis_error *err)
{
    CIS_TRY(cis_p2_http_charge(instance, sizeof **out, err));
    struct p2_fields *fields = cis_zalloc(sizeof *fields);
    if (fields == NULL) {
        cis_budget_release(cis_engine_instance_budget(instance), sizeof *fields);
        return cis_fail(err, CIS_E_NOMEM, "fields: out of memory");
    }
    fields->refs = 1;
    fields->charged = sizeof *fields;
    *out = fields;
    return CIS_OK;
}

void cis_p2_fields_unref(struct cis_host *host, struct p2_fields *fields)
{
    if (fields == NULL || --fields->refs != 0) {
        return;
    }
    for (size_t i = 0; i < fields->n; i++) {
        cis_free(fields->at[i].name);
    }
    cis_budget_release(&host->budget, fields->charged);
    cis_free(fields->at);
    cis_free(fields);
}

static cis_code make_room(cis_engine_instance *instance, struct p2_fields *fields,
                          struct cis_error *err)
{
    if (fields->n < fields->cap) {
        return CIS_OK;
    }
    size_t cap = cis_cap_next(fields->cap, 8, CIS_MEM_MAX);
    uint64_t more = (cap - fields->cap) * sizeof *fields->at;
    CIS_TRY(cis_p2_http_charge(instance, more, err));
    struct p2_field *at = cis_realloc_array(fields->at, cap, sizeof *at);
    if (at == NULL) {
        cis_budget_release(cis_engine_instance_budget(instance), more);
        return cis_fail(err, CIS_E_NOMEM, "fields: out of memory");
    }
    fields->charged += more;
    fields->at = at;
    fields->cap = cap;
    return CIS_OK;
}

cis_code cis_p2_fields_add(cis_engine_instance *instance, struct p2_fields *fields,
                           struct cis_str name, struct cis_str value, bool *out_full,
                           struct cis_error *err)
{
    uint64_t bytes = (uint64_t)name.len + value.len + 4;
    *out_full = fields->n == P2_FIELDS_MAX || fields->bytes + bytes > CIS_HTTP_FIELDS_MAX;
    if (*out_full) {
        return CIS_OK;
    }
    CIS_TRY(make_room(instance, fields, err));
    CIS_TRY(cis_p2_http_charge(instance, bytes + FIELD_BYTES, err));
    char *text = cis_alloc(cis_size_add(name.len, cis_size_add(value.len, 2)));
    if (text == NULL) {
        cis_budget_release(cis_engine_instance_budget(instance), bytes + FIELD_BYTES);
        return cis_fail(err, CIS_E_NOMEM, "fields: out of memory");
    }
    struct p2_field *field = &fields->at[fields->n++];
    *field = (struct p2_field){.name = text,
                               .value = text + name.len + 1,
                               .name_len = (uint32_t)name.len,
                               .value_len = (uint32_t)value.len};
    memcpy(field->name, name.ptr, name.len);
    field->name[name.len] = 0;
    if (value.len != 0) {
        memcpy(field->value, value.ptr, value.len);
    }
    field->value[value.len] = 0;
    fields->bytes += bytes;
    fields->charged += bytes + FIELD_BYTES;
    return CIS_OK;
}

static void remove_all(cis_engine_instance *instance, struct p2_fields *fields, struct cis_str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < fields->n; i++) {
        struct p2_field field = fields->at[i];
        if (!same_name(&field, name)) {
            fields->at[kept++] = field;
            continue;
        }
        uint64_t bytes = (uint64_t)field.name_len + field.value_len + 4;
        fields->bytes -= bytes;
        fields->charged -= bytes + FIELD_BYTES;
        cis_budget_release(cis_engine_instance_budget(instance), bytes + FIELD_BYTES);
        cis_free(field.name);
    }
    fields->n = kept;
}

cis_code cis_p2_fields_give(cis_engine_instance *instance, struct p2_fields *fields,
                            uint32_t parent, uint32_t *out_rep, struct cis_error *err)
{
    struct p2_thing *thing;
    cis_code code = cis_p2_new(instance, P2_FIELDS, parent, out_rep, &thing, err);
    if (code != CIS_OK) {
        cis_p2_fields_unref(cis_host_of(instance), fields);
        return code;
    }
    thing->fields = fields;
    return CIS_OK;
}

cis_code cis_p2_fields_take(cis_engine_instance *instance, uint32_t rep, struct p2_fields **out,
                            struct cis_error *err)
{
    CIS_TRY(cis_p2_alone(instance, rep, err));
    struct p2_fields *fields = cis_p2_at(instance, rep)->fields;
    fields->refs++;
    *out = fields;
    return cis_p2_drop(instance, rep, err);
}

bool cis_p2_fields_length(const struct p2_fields *fields, uint64_t *out_length)
{
    bool found = false;
    *out_length = UINT64_MAX;
    for (size_t i = 0; i < fields->n; i++) {
        uint64_t length;
        if (!same_name(&fields->at[i], CIS_STR("content-length"))) {
            continue;
        }
        struct cis_str text = {fields->at[i].value, fields->at[i].value_len};
        if (!cis_str_u64(cis_str_trim(text), &length) || length > INT64_MAX ||
            (found && length != *out_length)) {
            return false;
        }
        found = true;
        *out_length = length;
    }
    return true;
}

/* The length is not among them: it says how the message is framed. */
size_t cis_p2_fields_list(const struct p2_fields *fields, struct cis_http_header *list)
{
    size_t n = 0;
    for (size_t i = 0; i < fields->n; i++) {
        const struct p2_field *field = &fields->at[i];
        if (!cis_header_of_host(name_of(field))) {
            list[n++] = (struct cis_http_header){field->name, field->value};
        }
    }
    return n;
}

/* ---- what guests may put into them ---- */

/* A length is the guest's to say, and held against what it writes. */
static bool forbidden(struct cis_str name)
{
    return cis_header_of_host(name) &&
           !(name.len == 14 && strncasecmp(name.ptr, "content-length", 14) == 0);
}

static bool check(const struct p2_fields *fields, struct cis_str name, uint32_t *out_error)
{
    *out_error = fields->immutable         ? IMMUTABLE
                 : !cis_header_token(name) ? INVALID_SYNTAX
                                           : FORBIDDEN;
    return !fields->immutable && cis_header_token(name) && !forbidden(name);
}

/* *out_failed, *out_error: the guest's answer when it is not added. */
static cis_code add(cis_engine_instance *instance, struct p2_fields *fields, struct cis_str name,
                    struct cis_str value, bool *out_failed, uint32_t *out_error,
                    struct cis_error *err)
{
    bool full = false;
    *out_failed = !check(fields, name, out_error);
    if (!*out_failed && !cis_header_value(value)) {
        *out_failed = true;
        *out_error = INVALID_SYNTAX;
    }
    if (*out_failed) {
        return CIS_OK;
    }
    CIS_TRY(cis_p2_fields_add(instance, fields, name, value, &full, err));
    *out_failed = full; /* there is no case for it: what the host does not take is forbidden */
    *out_error = FORBIDDEN;
    return CIS_OK;
}

static struct p2_fields *fields_at(cis_engine_instance *instance, uint64_t rep)
{
    return cis_p2_at(instance, rep)->fields;
}

/* ---- handlers ---- */

cis_code cis_p2_fields_constructor(cis_engine_instance *instance, const struct cis_typed *args,
                                   struct cis_answer *out, struct cis_error *err)
{
    (void)args;
    struct p2_fields *fields;
    CIS_TRY(cis_p2_fields_new(instance, &fields, err));
    out->kind = P2_FIELDS;
    return cis_p2_fields_give(instance, fields, P2_NO_PARENT, &out->rep, err);
}

cis_code cis_p2_fields_from_list(cis_engine_instance *instance, const struct cis_typed *args,
                                 struct cis_answer *out, struct cis_error *err)
{
    struct p2_fields *fields;
    if (args[0].n != 0) { /* more than the engine hands over */
        out->failed = true;
        out->error = FORBIDDEN;
        return CIS_OK;
    }
    CIS_TRY(cis_engine_instance_burn(instance, args[0].nitems, err));
    CIS_TRY(cis_p2_fields_new(instance, &fields, err));
    cis_code code = CIS_OK;
    for (size_t i = 0; i < args[0].nitems && code == CIS_OK && !out->failed; i++) {
        const struct cis_pair *item = &args[0].items[i];
        code = add(instance, fields, text_of(item->first), text_of(item->second), &out->failed,
                   &out->error, err);
    }
    if (code != CIS_OK || out->failed) {
        cis_p2_fields_unref(cis_host_of(instance), fields);
        return code;
    }
    out->kind = P2_FIELDS;
    return cis_p2_fields_give(instance, fields, P2_NO_PARENT, &out->rep, err);
}

cis_code cis_p2_fields_get(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    const struct p2_fields *fields = fields_at(instance, args[0].n);
    struct cis_pair *items;
    CIS_TRY(cis_engine_instance_burn(instance, fields->n, err));
    CIS_TRY(cis_p2_pairs(instance, fields->n, &items, err));
    for (size_t i = 0; i < fields->n; i++) {
        if (same_name(&fields->at[i], text_of(args[1].bytes))) {
            items[out->nitems++].first = cis_bytes_of(fields->at[i].value, fields->at[i].value_len);
        }
    }
    out->items = items;
    return CIS_OK;
}

cis_code cis_p2_fields_entries(cis_engine_instance *instance, const struct cis_typed *args,
                               struct cis_answer *out, struct cis_error *err)
{
    const struct p2_fields *fields = fields_at(instance, args[0].n);
    struct cis_pair *items;
    CIS_TRY(cis_engine_instance_burn(instance, fields->n, err));
    CIS_TRY(cis_p2_pairs(instance, fields->n, &items, err));
    for (size_t i = 0; i < fields->n; i++) {
        items[i].first = cis_bytes_of(fields->at[i].name, fields->at[i].name_len);
        items[i].second = cis_bytes_of(fields->at[i].value, fields->at[i].value_len);
    }
    out->items = items;
    out->nitems = fields->n;
    return CIS_OK;
}

cis_code cis_p2_fields_append(cis_engine_instance *instance, const struct cis_typed *args,
                              struct cis_answer *out, struct cis_error *err)
{
    return add(instance, fields_at(instance, args[0].n), text_of(args[1].bytes),
               text_of(args[2].bytes), &out->failed, &out->error, err);
}

/* All values are checked before any takes the place of those that are there. */
cis_code cis_p2_fields_set(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    struct p2_fields *fields = fields_at(instance, args[0].n);
    struct cis_str name = text_of(args[1].bytes);
    const struct cis_typed *values = &args[2];
    out->failed = !check(fields, name, &out->error);
    if (!out->failed && values->n != 0) {
        out->failed = true;
        out->error = FORBIDDEN;
    }
    for (size_t i = 0; i < values->nitems && !out->failed; i++) {
        out->failed = !cis_header_value(text_of(values->items[i].first));
        out->error = INVALID_SYNTAX;
    }
    if (out->failed) {
        return CIS_OK;
    }
    CIS_TRY(cis_engine_instance_burn(instance, fields->n + values->nitems, err));
    remove_all(instance, fields, name);
    for (size_t i = 0; i < values->nitems && !out->failed; i++) {
        CIS_TRY(add(instance, fields, name, text_of(values->items[i].first), &out->failed,
                    &out->error, err));
    }
    return CIS_OK;
}

cis_code cis_p2_fields_has(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const struct http_named *a = args;
    const struct p2_fields *fields = fields_at(instance, a->self);
    bool *found = result;
    CIS_TRY(cis_engine_instance_burn(instance, fields->n, err));
    for (size_t i = 0; i < fields->n && !*found; i++) {
        *found = same_name(&fields->at[i], a->name);
    }
    return CIS_OK;
}

cis_code cis_p2_fields_delete(cis_engine_instance *instance, const void *args, void *result,
                              struct cis_error *err)
{
    const struct http_named *a = args;
    struct p2_fields *fields = fields_at(instance, a->self);
    struct http_header_done *r = result;
    CIS_TRY(cis_engine_instance_burn(instance, fields->n, err));
    r->failed = !check(fields, a->name, &r->error);
    if (!r->failed) {
        r->error = 0;
        remove_all(instance, fields, a->name);
    }
    return CIS_OK;
}

cis_code cis_p2_fields_clone(cis_engine_instance *instance, const struct cis_typed *args,
                             struct cis_answer *out, struct cis_error *err)
{
    const struct p2_fields *from = fields_at(instance, args[0].n);
    struct p2_fields *fields;
    bool full;
    CIS_TRY(cis_engine_instance_burn(instance, from->n, err));
    CIS_TRY(cis_p2_fields_new(instance, &fields, err));
    for (size_t i = 0; i < from->n; i++) {
        const struct p2_field *field = &from->at[i];
        cis_code code =
            cis_p2_fields_add(instance, fields, name_of(field),
                              (struct cis_str){field->value, field->value_len}, &full, err);
        if (code != CIS_OK) {
            cis_p2_fields_unref(cis_host_of(instance), fields);
            return code;
        }
    }
    out->kind = P2_FIELDS;
    return cis_p2_fields_give(instance, fields, P2_NO_PARENT, &out->rep, err);
}
