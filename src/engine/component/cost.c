/* What values that come from a guest cost the host, for each byte that the engine counts of them.
 * The engine counts an item, a field and what a case holds by the size of its value, and names by
 * their length. The host has more of them: the engine's value and the C API's copy of it at the
 * same time, each name in a block of its own, and lists that grew to twice their length. A flag of
 * one letter counts 1 and takes 128. */
#include "engine/component/component_in.h"

#define COUNTED 40u /* the engine's value */
#define COPY 32u    /* the C API's */
#define NAMED 24u   /* either's name beside its value: a record's field has it */
#define NAME_COPY 16u
#define NAMES 64u /* the blocks of a short name, both */
/* Text that is not UTF-8 is made anew, and then copied. */
#define COST_TEXT 6u
#define COST_MOST 64u
/* What is in no list is there once, unless it is many parts. */
#define PARTS_FEW 256u
#define PARTS_MAX 4096u
#define DEPTH_MAX 100u

struct look {
    uint32_t most;
    unsigned parts, depth;
};

/* An allocation of n bytes. */
static uint64_t block(uint64_t n)
{
    return n <= 24 ? 32 : (n + 8 + 15) / 16 * 16;
}

/* One of n items that grew. */
static uint64_t grown(uint64_t n, uint64_t item)
{
    uint64_t room = 4;
    while (room < n) {
        room *= 2;
    }
    return block(room * item);
}

static void note(struct look *l, bool many, uint64_t bytes, uint64_t counted)
{
    uint64_t cost = (bytes + counted - 1) / counted;
    cost = cost < COST_MOST ? cost : COST_MOST;
    if (many && l->most < cost) {
        l->most = (uint32_t)cost;
    }
}

static void look_at(struct look *l, const wasmtime_component_valtype_t *type, bool many,
                    uint64_t place);

static void inside(struct look *l, wasmtime_component_valtype_t *type, bool many, uint64_t place)
{
    l->depth++;
    look_at(l, type, many, place);
    l->depth--;
    wasmtime_component_valtype_delete(type);
}

static void record(struct look *l, const wasmtime_component_record_type_t *r, bool many)
{
    size_t n = wasmtime_component_record_type_field_count(r), len;
    const char *name;
    wasmtime_component_valtype_t type;
    uint64_t all = grown(n, COUNTED + NAMED) + block(n * (COPY + NAME_COPY)) + n * NAMES;
    for (size_t i = 0; i < n && l->most < COST_MOST; i++) {
        if (wasmtime_component_record_type_field_nth(r, i, &name, &len, &type)) {
            inside(l, &type, many, all / n);
        }
    }
}

static void tuple(struct look *l, const wasmtime_component_tuple_type_t *t, bool many)
{
    size_t n = wasmtime_component_tuple_type_types_count(t);
    wasmtime_component_valtype_t type;
    uint64_t all = grown(n, COUNTED) + block(n * COPY);
    for (size_t i = 0; i < n && l->most < COST_MOST; i++) {
        if (wasmtime_component_tuple_type_types_nth(t, i, &type)) {
            inside(l, &type, many, all / n);
        }
    }
}

static void variant(struct look *l, const wasmtime_component_variant_type_t *v, bool many)
{
    size_t n = wasmtime_component_variant_type_case_count(v), len;
    const char *name;
    bool payload;
    wasmtime_component_valtype_t type;
    for (size_t i = 0; i < n && l->most < COST_MOST; i++) {
        if (wasmtime_component_variant_type_case_nth(v, i, &name, &len, &payload, &type) &&
            payload) {
            inside(l, &type, many, block(COUNTED) + block(COPY));
        }
    }
}

static void result(struct look *l, const wasmtime_component_result_type_t *r, bool many)
{
    wasmtime_component_valtype_t type;
    if (wasmtime_component_result_type_ok(r, &type)) {
        inside(l, &type, many, block(COUNTED) + block(COPY));
    }
    if (wasmtime_component_result_type_err(r, &type)) {
        inside(l, &type, many, block(COUNTED) + block(COPY));
    }
}

/* All of them are set; names of one letter, which count least. */
static uint64_t flags(size_t n)
{
    return grown(n, NAMED) + block(n * NAME_COPY) + n * NAMES;
}

/* place: what the place for it costs in what it stands in, which counts as one value. */
static void look_at(struct look *l, const wasmtime_component_valtype_t *type, bool many,
                    uint64_t place)
{
    wasmtime_component_valtype_t in;
    size_t n;
    if (l->parts++ == PARTS_MAX || l->depth > DEPTH_MAX) {
        l->most = COST_MOST;
        return;
    }
    many = many || l->parts > PARTS_FEW;
    note(l, many, place, COUNTED);
    switch (type->kind) {
    case WASMTIME_COMPONENT_VALTYPE_STRING:
        note(l, true, COST_TEXT, 1);
        note(l, many, place + NAMES, COUNTED + 1);
        break;
    case WASMTIME_COMPONENT_VALTYPE_LIST:
        wasmtime_component_list_type_element(type->of.list, &in);
        inside(l, &in, true, many ? grown(1, COUNTED) + block(COPY) : 2 * COUNTED + COPY);
        break;
    case WASMTIME_COMPONENT_VALTYPE_OPTION:
        wasmtime_component_option_type_ty(type->of.option, &in);
        inside(l, &in, many, block(COUNTED) + block(COPY));
        break;
    case WASMTIME_COMPONENT_VALTYPE_RECORD:
        record(l, type->of.record, many);
        break;
    case WASMTIME_COMPONENT_VALTYPE_TUPLE:
        tuple(l, type->of.tuple, many);
        break;
    case WASMTIME_COMPONENT_VALTYPE_VARIANT:
        note(l, many, place + NAMES, COUNTED + 1);
        variant(l, type->of.variant, many);
        break;
    case WASMTIME_COMPONENT_VALTYPE_ENUM:
        note(l, many, place + NAMES, COUNTED + 1);
        break;
    case WASMTIME_COMPONENT_VALTYPE_RESULT:
        result(l, type->of.result, many);
        break;
    case WASMTIME_COMPONENT_VALTYPE_FLAGS:
        n = wasmtime_component_flags_type_names_count(type->of.flags);
        note(l, many, place + flags(n), COUNTED + n);
        break;
    case WASMTIME_COMPONENT_VALTYPE_OWN:
    case WASMTIME_COMPONENT_VALTYPE_BORROW:
        note(l, many, place + block(COPY), COUNTED);
        break;
    default:
        note(l, cis_type_simple(type->kind) == NULL, COST_MOST, 1);
        break;
    }
}

uint32_t cis_cost_of_arguments(const wasmtime_component_func_type_t *type)
{
    size_t n = wasmtime_component_func_type_param_count(type), len;
    struct look l = {.most = CIS_COST_LEAST};
    const char *name;
    wasmtime_component_valtype_t in;
    for (size_t i = 0; i < n && l.most < COST_MOST; i++) {
        if (wasmtime_component_func_type_param_nth(type, i, &name, &len, &in)) {
            inside(&l, &in, false, 0);
        }
    }
    return l.most;
}

uint32_t cis_cost_of_result(const wasmtime_component_func_type_t *type)
{
    struct look l = {.most = CIS_COST_LEAST};
    wasmtime_component_valtype_t in;
    if (wasmtime_component_func_type_result(type, &in)) {
        inside(&l, &in, false, 0);
    }
    return l.most;
}
