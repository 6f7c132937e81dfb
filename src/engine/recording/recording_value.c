/* Values of components on a recording: what crosses between a component and its host, as bytes.
 * Values of the engine are written whole, with the names of their fields and cases; arguments and
 * answers of functions with a shape as their flat structs have them. What is read is not trusted:
 * each length is bounded by the bytes that are there. */
#include "base/mem.h"
#include "base/varint.h"
#include "engine/recording/recording_component.h"

#define DEPTH_MAX 100u
#define FIELD_COST 80u
#define CASE_COST 256u  /* its name and what it holds, a block each, ours and the engine's */
#define BYTES_TAG 0xffu /* a list of bytes */

typedef wasmtime_component_val_t val_t;

/* ---- writing ---- */

static void put_number(struct cis_buf *out, uint64_t n)
{
    uint8_t bytes[CIS_VARINT_MAX];
    cis_buf_add(out, bytes, cis_varint_put(bytes, n));
}

static void put_text(struct cis_buf *out, struct cis_str text)
{
    put_number(out, text.len);
    cis_buf_str(out, text);
}

static bool is_bytes(const cis_val *list)
{
    return cis_val_len(list) != 0 && cis_val_kind_of(cis_val_at(list, 0)) == WASMTIME_COMPONENT_U8;
}

static void put_list(const cis_recording *recording, const cis_val *list, struct cis_buf *out)
{
    size_t n = cis_val_len(list);
    uint8_t *room = is_bytes(list) ? NULL : (uint8_t *)"";
    if (room == NULL) {
        cis_buf_byte(out, BYTES_TAG);
        put_number(out, n);
        room = cis_buf_reserve(out, n);
        if (room != NULL) {
            cis_val_copy_bytes(list, room);
            out->len += n;
        }
        return;
    }
    cis_buf_byte(out, WASMTIME_COMPONENT_LIST);
    put_number(out, n);
    for (size_t i = 0; i < n; i++) {
        cis_recording_val_put(recording, cis_val_at(list, i), out);
    }
}

/* Its number was noted when it was made; the engine does not tell it again. */
static void put_resource(const cis_recording *recording, const val_t *v, struct cis_buf *out)
{
    const struct cis_recording_own *own =
        (const struct cis_recording_own *)(const void *)recording->owns.ptr;
    size_t n = recording->owns.len / sizeof *own;
    for (size_t i = n; i > 0;) {
        i--;
        if (own[i].any == v->of.resource) {
            put_number(out, own[i].kind);
            put_number(out, own[i].rep);
            return;
        }
    }
    put_number(out, 0);
    put_number(out, 0);
}

static void put_inner(const cis_recording *recording, const cis_val *inner, struct cis_buf *out)
{
    cis_buf_byte(out, inner != NULL);
    if (inner != NULL) {
        cis_recording_val_put(recording, inner, out);
    }
}

void cis_recording_val_put(const cis_recording *recording, const cis_val *val, struct cis_buf *out)
{
    const val_t *v = (const val_t *)val;
    uint8_t kind = cis_val_kind_of(val);
    if (kind == WASMTIME_COMPONENT_LIST) {
        put_list(recording, val, out);
        return;
    }
    cis_buf_byte(out, kind);
    switch (kind) {
    case WASMTIME_COMPONENT_F32:
    case WASMTIME_COMPONENT_F64: {
        double n = cis_val_float(val);
        cis_buf_add(out, &n, sizeof n);
        break;
    }
    case WASMTIME_COMPONENT_S8:
    case WASMTIME_COMPONENT_S16:
    case WASMTIME_COMPONENT_S32:
    case WASMTIME_COMPONENT_S64:
        put_number(out, (uint64_t)cis_val_int(val));
        break;
    case WASMTIME_COMPONENT_STRING:
    case WASMTIME_COMPONENT_ENUM:
        put_text(out, cis_val_text(val));
        break;
    case WASMTIME_COMPONENT_RECORD:
    case WASMTIME_COMPONENT_TUPLE:
        put_number(out, cis_val_len(val));
        for (size_t i = 0; i < cis_val_len(val); i++) {
            if (kind == WASMTIME_COMPONENT_RECORD) {
                put_text(out, cis_val_field_name(val, i));
            }
            cis_recording_val_put(recording, cis_val_at(val, i), out);
        }
        break;
    case WASMTIME_COMPONENT_FLAGS:
        put_number(out, cis_val_len(val));
        for (size_t i = 0; i < cis_val_len(val); i++) {
            put_text(out, cis_val_flag(val, i));
        }
        break;
    case WASMTIME_COMPONENT_VARIANT:
        put_text(out, cis_val_text(val));
        put_inner(recording, cis_val_inner(val), out);
        break;
    case WASMTIME_COMPONENT_OPTION:
        put_inner(recording, cis_val_inner(val), out);
        break;
    case WASMTIME_COMPONENT_RESULT:
        cis_buf_byte(out, cis_val_is_ok(val));
        put_inner(recording, cis_val_inner(val), out);
        break;
    case WASMTIME_COMPONENT_RESOURCE:
        put_resource(recording, v, out);
        break;
    default:
        put_number(out, cis_val_uint(val));
        break;
    }
}

/* ---- reading ---- */

static cis_code bad(struct cis_error *err)
{
    return cis_fail(err, CIS_E_DAMAGED, "a value of unknown kind");
}

static cis_code get_byte(struct cis_recording_bytes *in, uint8_t *out, struct cis_error *err)
{
    if (in->at >= in->bytes.len) {
        return bad(err);
    }
    *out = in->bytes.ptr[in->at++];
    return CIS_OK;
}

static cis_code get_number(struct cis_recording_bytes *in, uint64_t *out, struct cis_error *err)
{
    return cis_varint_get(in->bytes, &in->at, out) ? CIS_OK : bad(err);
}

/* Of what follows: each has one byte at least, of those that no list around it has a claim to. */
static cis_code get_count(struct cis_recording_bytes *in, size_t *out, struct cis_error *err)
{
    uint64_t n = 0;
    CIS_TRY(get_number(in, &n, err));
    size_t left = in->bytes.len - in->at;
    if (n > (left > in->owed ? left - in->owed : 0)) {
        return bad(err);
    }
    *out = (size_t)n;
    return CIS_OK;
}

static cis_code get_text(struct cis_recording_bytes *in, struct cis_str *out, struct cis_error *err)
{
    size_t n = 0;
    CIS_TRY(get_count(in, &n, err));
    *out = (struct cis_str){(const char *)in->bytes.ptr + in->at, n};
    in->at += n;
    return cis_utf8_valid(out->ptr, out->len) ? CIS_OK : bad(err);
}

static cis_code get_val(cis_engine_instance *instance, struct cis_recording_bytes *in,
                        unsigned depth, cis_val *out, struct cis_error *err);

static cis_code get_items(cis_engine_instance *instance, struct cis_recording_bytes *in,
                          unsigned depth, uint8_t kind, cis_val *out, struct cis_error *err)
{
    size_t n = 0;
    struct cis_str name = {"", 0};
    CIS_TRY(get_count(in, &n, err));
    if (kind == WASMTIME_COMPONENT_LIST) {
        CIS_TRY(cis_val_set_list(instance, out, n, err));
    } else {
        CIS_TRY(cis_val_charge(instance, FIELD_COST * (uint64_t)n, err));
    }
    if (kind == WASMTIME_COMPONENT_TUPLE) {
        cis_val_set_tuple(out, n);
    } else if (kind == WASMTIME_COMPONENT_RECORD) {
        cis_val_set_fields(out, n);
    }
    in->owed += n;
    for (size_t i = 0; i < n; i++) {
        in->owed--;
        if (kind == WASMTIME_COMPONENT_RECORD) {
            CIS_TRY(get_text(in, &name, err));
            cis_val_name_field(out, i, name);
        }
        CIS_TRY(get_val(instance, in, depth, cis_val_item(out, i), err));
    }
    return CIS_OK;
}

static cis_code get_flags(cis_engine_instance *instance, struct cis_recording_bytes *in,
                          cis_val *out, struct cis_error *err)
{
    struct cis_str names[64];
    size_t n = 0;
    CIS_TRY(get_count(in, &n, err));
    if (n > sizeof names / sizeof *names) {
        return bad(err);
    }
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(get_text(in, &names[i], err));
    }
    return cis_val_set_flags(instance, out, names, n, err);
}

/* What a case, an option or a result holds. */
static cis_code get_inner(cis_engine_instance *instance, struct cis_recording_bytes *in,
                          unsigned depth, uint8_t kind, struct cis_str name, bool is_ok,
                          cis_val *out, struct cis_error *err)
{
    uint8_t some = 0;
    cis_val *inner = NULL;
    CIS_TRY(get_byte(in, &some, err));
    CIS_TRY(cis_val_charge(instance, CASE_COST + 2 * (uint64_t)name.len, err));
    if (kind == WASMTIME_COMPONENT_VARIANT) {
        cis_val_set_case(out, name, some != 0 ? &inner : NULL);
    } else if (kind == WASMTIME_COMPONENT_RESULT) {
        cis_val_set_result(out, is_ok, some != 0 ? &inner : NULL);
    } else if (some != 0) {
        inner = cis_val_set_some(out);
    } else {
        cis_val_set_none(out);
    }
    return inner != NULL ? get_val(instance, in, depth, inner, err) : CIS_OK;
}

static cis_code get_float(struct cis_recording_bytes *in, uint8_t kind, cis_val *out,
                          struct cis_error *err)
{
    double n;
    if (in->bytes.len - in->at < sizeof n) {
        return bad(err);
    }
    memcpy(&n, in->bytes.ptr + in->at, sizeof n);
    in->at += sizeof n;
    if (kind == WASMTIME_COMPONENT_F32) {
        cis_val_set_f32(out, (float)n);
    } else {
        cis_val_set_f64(out, n);
    }
    return CIS_OK;
}

/* A resource of an embedder is of another kind here: of the one that stands for all of those. */
static uint32_t kind_here(const cis_engine_instance *instance, uint32_t then)
{
    const struct cis_component_program *p = cis_component_of(instance->program);
    for (size_t i = 0; i < p->nifaces; i++) {
        if (p->ifaces[i].resource != NULL && p->ifaces[i].resource->kind == then) {
            return then;
        }
    }
    return CIS_KIND_UNKNOWN;
}

static cis_code get_scalar(cis_engine_instance *instance, struct cis_recording_bytes *in,
                           uint8_t kind, cis_val *out, struct cis_error *err)
{
    uint64_t n = 0, rep = 0;
    CIS_TRY(get_number(in, &n, err));
    switch (kind) {
    case WASMTIME_COMPONENT_RESOURCE:
        CIS_TRY(get_number(in, &rep, err));
        return n <= UINT32_MAX && rep <= UINT32_MAX
                   ? cis_val_set_own(instance, out, kind_here(instance, (uint32_t)n), (uint32_t)rep,
                                     err)
                   : bad(err);
    case WASMTIME_COMPONENT_CHAR:
        return n <= UINT32_MAX ? cis_val_set_char(out, (uint32_t)n, err) : bad(err);
    case WASMTIME_COMPONENT_BOOL:
    case WASMTIME_COMPONENT_S8:
    case WASMTIME_COMPONENT_U8:
    case WASMTIME_COMPONENT_S16:
    case WASMTIME_COMPONENT_U16:
    case WASMTIME_COMPONENT_S32:
    case WASMTIME_COMPONENT_U32:
    case WASMTIME_COMPONENT_S64:
    case WASMTIME_COMPONENT_U64:
        cis_val_set_number(out, kind, n);
        return CIS_OK;
    default:
        return bad(err);
    }
}

static cis_code get_val(cis_engine_instance *instance, struct cis_recording_bytes *in,
                        unsigned depth, cis_val *out, struct cis_error *err)
{
    uint8_t kind = 0, is_ok = 0;
    struct cis_str text = {"", 0};
    size_t n = 0;
    CIS_TRY(get_byte(in, &kind, err));
    if (depth++ == DEPTH_MAX) {
        return bad(err);
    }
    switch (kind) {
    case BYTES_TAG:
        CIS_TRY(get_count(in, &n, err));
        in->at += n;
        return cis_val_set_bytes(instance, out, cis_bytes_of(in->bytes.ptr + in->at - n, n), err);
    case WASMTIME_COMPONENT_F32:
    case WASMTIME_COMPONENT_F64:
        return get_float(in, kind, out, err);
    case WASMTIME_COMPONENT_STRING:
        CIS_TRY(get_text(in, &text, err));
        return cis_val_set_text(instance, out, text, err);
    case WASMTIME_COMPONENT_ENUM:
        CIS_TRY(get_text(in, &text, err));
        CIS_TRY(cis_val_charge(instance, CASE_COST + 2 * (uint64_t)text.len, err));
        cis_val_set_enum(out, text);
        return CIS_OK;
    case WASMTIME_COMPONENT_LIST:
    case WASMTIME_COMPONENT_RECORD:
    case WASMTIME_COMPONENT_TUPLE:
        return get_items(instance, in, depth, kind, out, err);
    case WASMTIME_COMPONENT_FLAGS:
        return get_flags(instance, in, out, err);
    case WASMTIME_COMPONENT_RESULT:
        CIS_TRY(get_byte(in, &is_ok, err));
        return get_inner(instance, in, depth, kind, text, is_ok != 0, out, err);
    case WASMTIME_COMPONENT_VARIANT:
        CIS_TRY(get_text(in, &text, err));
        return get_inner(instance, in, depth, kind, text, false, out, err);
    case WASMTIME_COMPONENT_OPTION:
        return get_inner(instance, in, depth, kind, text, false, out, err);
    default:
        return get_scalar(instance, in, kind, out, err);
    }
}

cis_code cis_recording_val_get(cis_engine_instance *instance, struct cis_recording_bytes *in,
                               cis_val *out, struct cis_error *err)
{
    cis_code code = get_val(instance, in, 0, out, err);
    if (code == CIS_OK || code == CIS_E_NOMEM || code == CIS_E_BUDGET) {
        return code;
    }
    err->code = CIS_E_DAMAGED; /* what no guest and no host could have given */
    return CIS_E_DAMAGED;
}

/* ---- functions with a shape ---- */

/* Are the items of its list pairs? Of single ones the second is what it was before. */
static bool has_pairs(enum cis_shape shape)
{
    return shape == CIS_SHAPE_TEXT_PAIRS || shape == CIS_SHAPE_FIELD_ENTRIES ||
           shape == CIS_SHAPE_FIELD_FROM || shape == CIS_SHAPE_NET_RECEIVE ||
           shape == CIS_SHAPE_NET_SEND;
}

/* Lists that the engine reads of an answer of this shape, whatever else a recording has. */
static bool lacks_list(enum cis_shape shape, const struct cis_answer *a)
{
    bool numbers = shape == CIS_SHAPE_POLL || shape == CIS_SHAPE_GET_NAMED;
    bool items = shape == CIS_SHAPE_TEXTS || shape == CIS_SHAPE_TEXT_PAIRS ||
                 shape == CIS_SHAPE_FIELD_GET || shape == CIS_SHAPE_FIELD_ENTRIES ||
                 shape == CIS_SHAPE_NET_RECEIVE || shape == CIS_SHAPE_GET_NAMED;
    return a->nitems != 0 && ((numbers && a->numbers == NULL) || (items && a->items == NULL));
}

/* What an argument points to, side by side: its bytes, or the items of a list with their lengths.
 */
cis_code cis_recording_typed_text(enum cis_shape shape, const struct cis_typed *arg,
                                  struct cis_buf *list, struct cis_bytes *out,
                                  struct cis_error *err)
{
    *out = arg->bytes;
    if (arg->reps != NULL) {
        *out = cis_bytes_of(arg->reps, arg->nitems * sizeof *arg->reps);
    } else if (arg->items != NULL) {
        cis_buf_reset(list);
        for (size_t i = 0; i < arg->nitems; i++) {
            const struct cis_pair *p = &arg->items[i];
            put_text(list, (struct cis_str){(const char *)p->first.ptr, p->first.len});
            if (has_pairs(shape)) {
                put_text(list, (struct cis_str){(const char *)p->second.ptr, p->second.len});
            }
        }
        *out = cis_buf_bytes(list);
    }
    return cis_buf_check(list, "a list", err);
}

void cis_recording_put_answer(cis_recording *recording, enum cis_shape shape,
                              const struct cis_answer *a)
{
    size_t n = sizeof a->n / sizeof *a->n;
    while (n > 0 && a->n[n - 1] == 0) {
        n--;
    }
    cis_recording_put_number(recording, (a->failed ? 1u : 0u) | (a->has ? 2u : 0u) |
                                            (a->items != NULL ? 4u : 0u) |
                                            (a->numbers != NULL ? 8u : 0u));
    cis_recording_put_number(recording, a->error);
    cis_recording_put_number(recording, a->rep);
    cis_recording_put_number(recording, a->kind);
    cis_recording_put_number(recording, n);
    for (size_t i = 0; i < n; i++) {
        cis_recording_put_number(recording, a->n[i]);
    }
    cis_recording_put_text(recording, (struct cis_str){(const char *)a->bytes.ptr, a->bytes.len});
    cis_recording_put_number(recording, a->nitems);
    for (size_t i = 0; a->items != NULL && i < a->nitems; i++) {
        const struct cis_bytes *f = &a->items[i].first, *s = &a->items[i].second;
        cis_recording_put_text(recording, (struct cis_str){(const char *)f->ptr, f->len});
        if (has_pairs(shape)) {
            cis_recording_put_text(recording, (struct cis_str){(const char *)s->ptr, s->len});
        }
    }
    for (size_t i = 0; a->numbers != NULL && i < a->nitems; i++) {
        cis_recording_put_number(recording, a->numbers[i]);
    }
}

/* The length of what was added to the answer's bytes. */
static size_t get_part(cis_recording *recording)
{
    size_t before = recording->answer.len;
    cis_recording_get_long(recording, &recording->answer);
    return recording->answer.len - before;
}

static bool get_room(cis_recording *recording, size_t n)
{
    if (n > CIS_RECORDING_ITEMS_MAX) {
        cis_recording_damaged(recording, "a list that is too long");
    } else if (n > recording->nitems) {
        struct cis_pair *pairs = cis_realloc_array(recording->pairs, n, sizeof *pairs);
        recording->pairs = pairs != NULL ? pairs : recording->pairs;
        uint32_t *numbers = cis_realloc_array(recording->numbers, n, sizeof *numbers);
        recording->numbers = numbers != NULL ? numbers : recording->numbers;
        if (pairs == NULL || numbers == NULL) {
            cis_fail(&recording->failed, CIS_E_NOMEM, "%s: out of memory", recording->path);
        } else {
            recording->nitems = n;
        }
    }
    return recording->failed.code == CIS_OK;
}

static uint32_t get_u32(cis_recording *recording)
{
    uint64_t n = cis_recording_get_number(recording);
    if (n > UINT32_MAX) {
        cis_recording_damaged(recording, "a number that is too large");
    }
    return (uint32_t)n;
}

/* Bytes may move while they are read: places are known when all are there. */
static void place(cis_recording *recording, size_t first, struct cis_answer *out)
{
    const uint8_t *at = recording->answer.ptr;
    out->bytes = cis_bytes_of(at, first);
    at = at != NULL ? at + first : at;
    for (size_t i = 0; out->items != NULL && i < out->nitems; i++) {
        struct cis_bytes *parts[] = {&recording->pairs[i].first, &recording->pairs[i].second};
        for (size_t k = 0; k < 2; k++) {
            parts[k]->ptr = at;
            at = at != NULL ? at + parts[k]->len : at;
        }
    }
}

void cis_recording_get_answer(cis_recording *recording, enum cis_shape shape,
                              struct cis_answer *out)
{
    struct cis_answer a = {0};
    uint64_t bits = cis_recording_get_number(recording);
    a.failed = (bits & 1) != 0;
    a.has = (bits & 2) != 0;
    a.error = get_u32(recording);
    a.rep = get_u32(recording);
    a.kind = get_u32(recording);
    uint64_t n = cis_recording_get_number(recording);
    if (bits > 15 || n > sizeof a.n / sizeof *a.n) {
        cis_recording_damaged(recording, "a result that no host function returns");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        a.n[i] = cis_recording_get_number(recording);
    }
    cis_buf_reset(&recording->answer);
    size_t first = get_part(recording);
    a.nitems = (size_t)cis_recording_get_number(recording);
    if (recording->failed.code != CIS_OK || !get_room(recording, a.nitems)) {
        return;
    }
    a.items = (bits & 4) != 0 ? recording->pairs : NULL;
    a.numbers = (bits & 8) != 0 ? recording->numbers : NULL;
    if (a.items == NULL && a.numbers == NULL) {
        a.nitems = 0;
    }
    if (lacks_list(shape, &a)) {
        cis_recording_damaged(recording, "a result that no host function returns");
        return;
    }
    for (size_t i = 0; a.items != NULL && i < a.nitems && recording->failed.code == CIS_OK; i++) {
        recording->pairs[i].first.len = get_part(recording);
        recording->pairs[i].second.len = has_pairs(shape) ? get_part(recording) : 0;
    }
    for (size_t i = 0; a.numbers != NULL && i < a.nitems && recording->failed.code == CIS_OK; i++) {
        recording->numbers[i] = get_u32(recording);
    }
    if (recording->failed.code == CIS_OK) {
        place(recording, first, &a);
        *out = a;
    }
}
