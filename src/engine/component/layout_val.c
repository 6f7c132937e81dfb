/* Values of the engine into C structs and back, as a layout says. */
#include "base/mem.h"
#include "engine/component/layout.h"

typedef struct cis_layout_node node_t;

/* ---- lists ---- */

struct chunk {
    struct chunk *next;
    max_align_t bytes[];
};

static cis_code list_room(cis_engine_instance *instance, struct cis_layout_lists *lists, size_t n,
                          size_t size, void **out, struct cis_error *err)
{
    struct chunk *c;
    uint64_t bytes = (uint64_t)n * size; /* n: of a list that exists; size: CIS_LAYOUT_MAX */
    *out = NULL;
    if (bytes == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_val_charge(instance, bytes + sizeof *c, err));
    c = cis_zalloc(cis_size_add(sizeof *c, (size_t)bytes));
    if (c == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "values of a call: out of memory");
    }
    c->next = lists->first;
    lists->first = c;
    *out = c->bytes;
    return CIS_OK;
}

void cis_layout_lists_done(struct cis_layout_lists *lists)
{
    for (struct chunk *c = lists->first, *next; c != NULL; c = next) {
        next = c->next;
        cis_free(c);
    }
    lists->first = NULL;
}

/* ---- names ---- */

static const node_t *kid(const struct cis_layout *l, const node_t *node, uint32_t i)
{
    uint32_t at = node->first;
    for (; at != 0 && i != 0; i--) {
        at = l->nodes[at].next;
    }
    return at != 0 ? &l->nodes[at] : NULL;
}

static bool number_of(const struct cis_layout *l, const node_t *node, struct cis_str name,
                      uint32_t *out)
{
    uint32_t i = 0;
    for (uint32_t at = node->first; at != 0; at = l->nodes[at].next, i++) {
        if (cis_str_eq(l->nodes[at].name, name)) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* ---- decoding ---- */

struct decode {
    cis_engine_instance *instance;
    const struct cis_layout *l;
    struct cis_layout_lists *lists;
    struct cis_error *err;
};

static void put(uint8_t *to, const void *value, size_t n)
{
    memcpy(to, value, n);
}

static cis_code decode(const struct decode *d, const node_t *node, cis_val *val, uint8_t *to);

static cis_code mismatch(struct cis_error *err)
{
    return cis_fail(err, CIS_E_INTERNAL, "a value is not of the type it was linked with");
}

static cis_code decode_list(const struct decode *d, const node_t *node, cis_val *val, uint8_t *to)
{
    const node_t *item = &d->l->nodes[node->first];
    struct cis_bytes out = {NULL, cis_val_len(val)};
    void *room;
    CIS_TRY(list_room(d->instance, d->lists, out.len, item->size, &room, d->err));
    out.ptr = room;
    if (item->kind == WASMTIME_COMPONENT_U8 && out.len != 0) {
        cis_val_copy_bytes(val, room);
    } else {
        for (size_t i = 0; i < out.len; i++) {
            uint8_t *one = (uint8_t *)room + i * item->size;
            CIS_TRY(decode(d, item, cis_val_item(val, i), one));
        }
    }
    put(to, &out, sizeof out);
    return CIS_OK;
}

static cis_code decode_fields(const struct decode *d, const node_t *node, cis_val *val, uint8_t *to)
{
    size_t i = 0;
    if (cis_val_len(val) != node->nkids) {
        return mismatch(d->err);
    }
    for (uint32_t at = node->first; at != 0; at = d->l->nodes[at].next) {
        const node_t *field = &d->l->nodes[at];
        CIS_TRY(decode(d, field, cis_val_item(val, i++), to + field->offset));
    }
    return CIS_OK;
}

/* The payload of a case, if it has one. */
static cis_code decode_inner(const struct decode *d, const node_t *node, cis_val *val, uint8_t *to)
{
    cis_val *inner = cis_val_inner_mut(val);
    if (node->kind == CIS_LAYOUT_NOTHING) {
        return CIS_OK;
    }
    return inner != NULL ? decode(d, node, inner, to + node->offset) : mismatch(d->err);
}

static cis_code decode_case(const struct decode *d, const node_t *node, cis_val *val, uint8_t *to)
{
    uint32_t n;
    if (!number_of(d->l, node, cis_val_text(val), &n)) {
        return mismatch(d->err);
    }
    put(to, &n, sizeof n);
    return node->kind == WASMTIME_COMPONENT_ENUM ? CIS_OK
                                                 : decode_inner(d, kid(d->l, node, n), val, to);
}

static cis_code decode_flags(const struct decode *d, const node_t *node, cis_val *val, uint8_t *to)
{
    uint32_t bits = 0, n;
    for (size_t i = 0; i < cis_val_len(val); i++) {
        if (!number_of(d->l, node, cis_val_flag(val, i), &n)) {
            return mismatch(d->err);
        }
        bits |= 1u << n;
    }
    put(to, &bits, sizeof bits);
    return CIS_OK;
}

static cis_code decode_number(const node_t *node, const cis_val *val, uint8_t *to)
{
    uint64_t n = cis_val_uint(val);
    int64_t s = cis_val_int(val);
    double f = cis_val_float(val);
    float f32 = (float)f;
    switch (node->kind) {
    case WASMTIME_COMPONENT_S8:
    case WASMTIME_COMPONENT_S16:
    case WASMTIME_COMPONENT_S32:
    case WASMTIME_COMPONENT_S64: /* little endian, as all hosts here are */
        put(to, &s, node->size);
        break;
    case WASMTIME_COMPONENT_F32:
        put(to, &f32, sizeof f32);
        break;
    case WASMTIME_COMPONENT_F64:
        put(to, &f, sizeof f);
        break;
    default:
        put(to, &n, node->size);
        break;
    }
    return CIS_OK;
}

static cis_code decode(const struct decode *d, const node_t *node, cis_val *val, uint8_t *to)
{
    if (cis_val_kind_of(val) != node->kind) {
        return mismatch(d->err);
    }
    switch (node->kind) {
    case WASMTIME_COMPONENT_STRING: {
        struct cis_str text = cis_val_text(val);
        put(to, &text, sizeof text);
        return CIS_OK;
    }
    case WASMTIME_COMPONENT_RESOURCE: {
        uint32_t rep, kind;
        bool owned;
        CIS_TRY(cis_val_take_resource(d->instance, val, &kind, &owned, d->err));
        rep = cis_val_rep(val);
        if (!cis_handle_fits(d->instance, node->resource, kind, rep) || owned != node->owned) {
            return mismatch(d->err);
        }
        put(to, &rep, sizeof rep);
        return CIS_OK;
    }
    case WASMTIME_COMPONENT_LIST:
        return decode_list(d, node, val, to);
    case WASMTIME_COMPONENT_RECORD:
    case WASMTIME_COMPONENT_TUPLE:
        return decode_fields(d, node, val, to);
    case WASMTIME_COMPONENT_ENUM:
    case WASMTIME_COMPONENT_VARIANT:
        return decode_case(d, node, val, to);
    case WASMTIME_COMPONENT_FLAGS:
        return decode_flags(d, node, val, to);
    case WASMTIME_COMPONENT_OPTION:
        *to = cis_val_inner(val) != NULL;
        return *to ? decode_inner(d, kid(d->l, node, 0), val, to) : CIS_OK;
    case WASMTIME_COMPONENT_RESULT:
        *to = !cis_val_is_ok(val);
        return decode_inner(d, kid(d->l, node, *to), val, to);
    default:
        return decode_number(node, val, to);
    }
}

cis_code cis_layout_decode(cis_engine_instance *instance, const struct cis_layout *layout,
                           cis_val *args, struct cis_layout_lists *lists, uint8_t *to,
                           struct cis_error *err)
{
    const struct decode d = {instance, layout, lists, err};
    size_t i = 0;
    for (uint32_t at = layout->nodes[layout->args].first; at != 0; at = layout->nodes[at].next) {
        const node_t *arg = &layout->nodes[at];
        CIS_TRY(decode(&d, arg, cis_val_nth_mut(args, i++), to + arg->offset));
    }
    return CIS_OK;
}

/* ---- encoding ---- */

struct encode {
    cis_engine_instance *instance;
    const struct cis_layout *l;
    struct cis_error *err;
};

static cis_code encode(const struct encode *e, const node_t *node, const uint8_t *from,
                       cis_val *out);

static cis_code encode_list(const struct encode *e, const node_t *node, const uint8_t *from,
                            cis_val *out)
{
    const node_t *item = &e->l->nodes[node->first];
    struct cis_bytes list;
    memcpy(&list, from, sizeof list);
    if (item->kind == WASMTIME_COMPONENT_U8) {
        return cis_val_set_bytes(e->instance, out, list, e->err);
    }
    CIS_TRY(cis_val_set_list(e->instance, out, list.len, e->err));
    for (size_t i = 0; i < list.len; i++) {
        CIS_TRY(encode(e, item, list.ptr + i * item->size, cis_val_item(out, i)));
    }
    return CIS_OK;
}

static cis_code encode_fields(const struct encode *e, const node_t *node, const uint8_t *from,
                              cis_val *out)
{
    size_t i = 0;
    CIS_TRY(cis_val_charge(e->instance, 80 * (uint64_t)node->nkids, e->err));
    if (node->kind == WASMTIME_COMPONENT_TUPLE) {
        cis_val_set_tuple(out, node->nkids);
    } else {
        cis_val_set_fields(out, node->nkids);
    }
    for (uint32_t at = node->first; at != 0; at = e->l->nodes[at].next, i++) {
        const node_t *field = &e->l->nodes[at];
        if (node->kind == WASMTIME_COMPONENT_RECORD) {
            cis_val_name_field(out, i, field->name);
        }
        CIS_TRY(encode(e, field, from + field->offset, cis_val_item(out, i)));
    }
    return CIS_OK;
}

static cis_code encode_inner(const struct encode *e, const node_t *node, const uint8_t *from,
                             cis_val *inner)
{
    return node->kind == CIS_LAYOUT_NOTHING ? CIS_OK : encode(e, node, from + node->offset, inner);
}

static cis_code encode_case(const struct encode *e, const node_t *node, const uint8_t *from,
                            cis_val *out)
{
    uint32_t n;
    cis_val *inner = NULL;
    memcpy(&n, from, sizeof n);
    const node_t *one = n < node->nkids ? kid(e->l, node, n) : NULL;
    if (one == NULL) {
        return cis_fail(e->err, CIS_E_INTERNAL,
                        "a handler returned a case that its type does not have");
    }
    if (node->kind == WASMTIME_COMPONENT_ENUM) {
        cis_val_set_enum(out, one->name);
        return CIS_OK;
    }
    cis_val_set_case(out, one->name, one->kind != CIS_LAYOUT_NOTHING ? &inner : NULL);
    return encode_inner(e, one, from, inner);
}

static cis_code encode_flags(const struct encode *e, const node_t *node, const uint8_t *from,
                             cis_val *out)
{
    struct cis_str names[32];
    uint32_t bits, i = 0;
    size_t n = 0;
    memcpy(&bits, from, sizeof bits);
    for (uint32_t at = node->first; at != 0; at = e->l->nodes[at].next, i++) {
        if (bits >> i & 1) {
            names[n++] = e->l->nodes[at].name;
        }
    }
    return cis_val_set_flags(e->instance, out, names, n, e->err);
}

static cis_code encode_result(const struct encode *e, const node_t *node, const uint8_t *from,
                              cis_val *out)
{
    bool failed = *from != 0;
    cis_val *inner = NULL;
    const node_t *one = kid(e->l, node, failed);
    cis_val_set_result(out, !failed, one->kind != CIS_LAYOUT_NOTHING ? &inner : NULL);
    return encode_inner(e, one, from, inner);
}

static cis_code encode_number(const struct encode *e, const node_t *node, const uint8_t *from,
                              cis_val *out)
{
    union {
        uint64_t u;
        float f32;
        double f64;
    } n = {0};
    memcpy(&n, from, node->size);
    switch (node->kind) {
    case WASMTIME_COMPONENT_F32:
        cis_val_set_f32(out, n.f32);
        return CIS_OK;
    case WASMTIME_COMPONENT_F64:
        cis_val_set_f64(out, n.f64);
        return CIS_OK;
    case WASMTIME_COMPONENT_CHAR:
        return cis_val_set_char(out, (uint32_t)n.u, e->err);
    default:
        cis_val_set_number(out, node->kind, n.u);
        return CIS_OK;
    }
}

static cis_code encode(const struct encode *e, const node_t *node, const uint8_t *from,
                       cis_val *out)
{
    switch (node->kind) {
    case WASMTIME_COMPONENT_STRING: {
        struct cis_str text;
        memcpy(&text, from, sizeof text);
        return cis_val_set_text(e->instance, out, text, e->err);
    }
    case WASMTIME_COMPONENT_RESOURCE: {
        uint32_t rep;
        memcpy(&rep, from, sizeof rep);
        return cis_val_set_own(e->instance, out, node->resource->kind, rep, e->err);
    }
    case WASMTIME_COMPONENT_LIST:
        return encode_list(e, node, from, out);
    case WASMTIME_COMPONENT_RECORD:
    case WASMTIME_COMPONENT_TUPLE:
        return encode_fields(e, node, from, out);
    case WASMTIME_COMPONENT_ENUM:
    case WASMTIME_COMPONENT_VARIANT:
        return encode_case(e, node, from, out);
    case WASMTIME_COMPONENT_FLAGS:
        return encode_flags(e, node, from, out);
    case WASMTIME_COMPONENT_OPTION:
        if (*from == 0) {
            cis_val_set_none(out);
            return CIS_OK;
        }
        return encode_inner(e, kid(e->l, node, 0), from, cis_val_set_some(out));
    case WASMTIME_COMPONENT_RESULT:
        return encode_result(e, node, from, out);
    default:
        return encode_number(e, node, from, out);
    }
}

cis_code cis_layout_encode(cis_engine_instance *instance, const struct cis_layout *layout,
                           const uint8_t *from, cis_val *result, struct cis_error *err)
{
    const struct encode e = {instance, layout, err};
    return layout->result == 0 ? CIS_OK : encode(&e, &layout->nodes[layout->result], from, result);
}

bool cis_layout_denied(const struct cis_layout *layout, uint32_t error, uint8_t *result)
{
    const node_t *r = &layout->nodes[layout->result];
    const node_t *e = r->kind == WASMTIME_COMPONENT_RESULT ? kid(layout, r, 1) : NULL;
    if (e == NULL ||
        (e->kind != WASMTIME_COMPONENT_ENUM && e->kind != WASMTIME_COMPONENT_VARIANT) ||
        kid(layout, e, error) == NULL) {
        return false;
    }
    *result = 1;
    memcpy(result + e->offset, &error, sizeof error);
    return true;
}
