/* The C struct that a type's text describes: parsed once when a program is linked. The grammar is
 * that of typetext.c, and the texts are constants of this program: what does not parse is a mistake
 * in a table. */
#include "engine/component/layout.h"

#include "base/mem.h"

#define NODES_MAX 4000u
#define DEPTH_MAX 16u

struct parser {
    struct cis_layout *into;
    const struct cis_iface_provider *from;
    struct cis_str interface, rest;
    unsigned depth;
    uint32_t cap;
    bool failed, nomem;
};

static uint32_t parse_type(struct parser *p);

static bool eat(struct parser *p, const char *text)
{
    size_t n = strlen(text);
    if (p->rest.len < n || memcmp(p->rest.ptr, text, n) != 0) {
        return false;
    }
    p->rest.ptr += n;
    p->rest.len -= n;
    return true;
}

static void want(struct parser *p, const char *text)
{
    if (!eat(p, text)) {
        p->failed = true;
    }
}

static struct cis_str parse_name(struct parser *p)
{
    size_t n = 0;
    while (n < p->rest.len && strchr("(){}<>,: ", p->rest.ptr[n]) == NULL) {
        n++;
    }
    struct cis_str name = {p->rest.ptr, n};
    p->failed = p->failed || n == 0;
    p->rest.ptr += n;
    p->rest.len -= n;
    return name;
}

static struct cis_layout_node *at(struct parser *p, uint32_t i)
{
    return &p->into->nodes[i];
}

/* Node 0 is the one that says that there is none; it also takes what a failed parse writes. */
static uint32_t new_node(struct parser *p, uint8_t kind, uint32_t size)
{
    struct cis_layout *l = p->into;
    if (l->n == p->cap) {
        size_t cap = cis_cap_next(p->cap, 16, NODES_MAX);
        struct cis_layout_node *more = cis_realloc_array(l->nodes, cap, sizeof *more);
        if (more == NULL) {
            p->failed = p->nomem = true;
            return 0;
        }
        l->nodes = more;
        p->cap = (uint32_t)cap;
    }
    l->nodes[l->n] = (struct cis_layout_node){.kind = kind,
                                              .size = size,
                                              .align = size > 8    ? 8
                                                       : size != 0 ? size
                                                                   : 1};
    return l->n++;
}

static void link_child(struct parser *p, uint32_t parent, uint32_t *last, uint32_t child)
{
    if (p->failed) {
        return;
    }
    *(*last == 0 ? &at(p, parent)->first : &at(p, *last)->next) = child;
    at(p, parent)->nkids++;
    *last = child;
}

static uint32_t round_up(uint32_t n, uint32_t align)
{
    return (n + align - 1) / align * align;
}

/* Fields one behind the other, as C does. */
static void lay_struct(struct parser *p, uint32_t node)
{
    uint32_t size = 0, align = 1;
    for (uint32_t i = at(p, node)->first; i != 0; i = at(p, i)->next) {
        size = round_up(size, at(p, i)->align);
        at(p, i)->offset = size;
        size += at(p, i)->size;
        align = at(p, i)->align > align ? at(p, i)->align : align;
    }
    at(p, node)->size = round_up(size, align);
    at(p, node)->align = align;
}

/* A tag of so many bytes, then a union of the children. */
static void lay_union(struct parser *p, uint32_t node, uint32_t tag)
{
    uint32_t size = 0, align = 1;
    for (uint32_t i = at(p, node)->first; i != 0; i = at(p, i)->next) {
        size = at(p, i)->size > size ? at(p, i)->size : size;
        align = at(p, i)->align > align ? at(p, i)->align : align;
    }
    uint32_t offset = round_up(tag, align);
    for (uint32_t i = at(p, node)->first; i != 0; i = at(p, i)->next) {
        at(p, i)->offset = offset;
    }
    align = tag > align ? tag : align;
    at(p, node)->size = round_up(offset + size, align);
    at(p, node)->align = align;
}

static uint32_t parse_record(struct parser *p)
{
    uint32_t node = new_node(p, WASMTIME_COMPONENT_RECORD, 0), last = 0;
    do {
        struct cis_str name = parse_name(p);
        want(p, ":");
        uint32_t field = parse_type(p);
        link_child(p, node, &last, field);
        if (!p->failed) {
            at(p, field)->name = name;
        }
    } while (!p->failed && eat(p, ","));
    want(p, "}");
    return node;
}

static uint32_t parse_tuple(struct parser *p)
{
    uint32_t node = new_node(p, WASMTIME_COMPONENT_TUPLE, 0), last = 0;
    do {
        link_child(p, node, &last, parse_type(p));
    } while (!p->failed && eat(p, ","));
    want(p, ">");
    return node;
}

/* Cases of a variant; of an enum or flags, which have no payloads. */
static uint32_t parse_cases(struct parser *p, uint8_t kind)
{
    uint32_t node = new_node(p, kind, 4), last = 0;
    do {
        struct cis_str name = parse_name(p);
        bool payload = kind == WASMTIME_COMPONENT_VARIANT && eat(p, "(");
        uint32_t one = payload ? parse_type(p) : new_node(p, CIS_LAYOUT_NOTHING, 0);
        if (payload) {
            want(p, ")");
        }
        link_child(p, node, &last, one);
        if (!p->failed) {
            at(p, one)->name = name;
        }
    } while (!p->failed && eat(p, ","));
    want(p, "}");
    p->failed = p->failed || (kind == WASMTIME_COMPONENT_FLAGS && at(p, node)->nkids > 32);
    return node;
}

static uint32_t parse_result(struct parser *p)
{
    uint32_t node = new_node(p, WASMTIME_COMPONENT_RESULT, 0), last = 0;
    uint32_t ok = 0, error = 0;
    if (eat(p, "<")) {
        ok = eat(p, "_") ? new_node(p, CIS_LAYOUT_NOTHING, 0) : parse_type(p);
        error = eat(p, ", ") ? parse_type(p) : new_node(p, CIS_LAYOUT_NOTHING, 0);
        want(p, ">");
    } else {
        ok = new_node(p, CIS_LAYOUT_NOTHING, 0);
        error = new_node(p, CIS_LAYOUT_NOTHING, 0);
    }
    link_child(p, node, &last, ok);
    link_child(p, node, &last, error);
    return node;
}

static uint32_t parse_inside(struct parser *p, uint8_t kind, uint32_t size)
{
    uint32_t node = new_node(p, kind, size), last = 0;
    link_child(p, node, &last, parse_type(p));
    want(p, ">");
    return node;
}

static uint32_t parse_resource(struct parser *p, bool owned)
{
    uint32_t node = new_node(p, WASMTIME_COMPONENT_RESOURCE, 4);
    struct cis_str name = parse_name(p);
    want(p, ">");
    const struct cis_iface_resource *r =
        p->from->resource != NULL ? p->from->resource(p->from->self, p->interface, name) : NULL;
    p->failed = p->failed || r == NULL;
    if (!p->failed) {
        at(p, node)->owned = owned;
        at(p, node)->resource = r;
    }
    return node;
}

static uint32_t parse_simple(struct parser *p)
{
    static const struct {
        const char *name;
        uint8_t kind, size;
    } simple[] = {
        {"bool", WASMTIME_COMPONENT_BOOL, sizeof(bool)},
        {"s8", WASMTIME_COMPONENT_S8, 1},
        {"u8", WASMTIME_COMPONENT_U8, 1},
        {"s16", WASMTIME_COMPONENT_S16, 2},
        {"u16", WASMTIME_COMPONENT_U16, 2},
        {"s32", WASMTIME_COMPONENT_S32, 4},
        {"u32", WASMTIME_COMPONENT_U32, 4},
        {"s64", WASMTIME_COMPONENT_S64, 8},
        {"u64", WASMTIME_COMPONENT_U64, 8},
        {"f32", WASMTIME_COMPONENT_F32, 4},
        {"f64", WASMTIME_COMPONENT_F64, 8},
        {"char", WASMTIME_COMPONENT_CHAR, 4},
        {"string", WASMTIME_COMPONENT_STRING, 16},
    };
    struct cis_str name = parse_name(p);
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
        if (cis_str_is(name, simple[i].name)) {
            return new_node(p, simple[i].kind, simple[i].size);
        }
    }
    p->failed = true;
    return 0;
}

static uint32_t parse_any(struct parser *p)
{
    uint32_t node;
    if (eat(p, "list<")) {
        return parse_inside(p, WASMTIME_COMPONENT_LIST, 16);
    } else if (eat(p, "option<")) {
        node = parse_inside(p, WASMTIME_COMPONENT_OPTION, 0);
    } else if (eat(p, "tuple<")) {
        node = parse_tuple(p);
    } else if (eat(p, "record{")) {
        node = parse_record(p);
    } else if (eat(p, "variant{")) {
        node = parse_cases(p, WASMTIME_COMPONENT_VARIANT);
    } else if (eat(p, "enum{")) {
        return parse_cases(p, WASMTIME_COMPONENT_ENUM);
    } else if (eat(p, "flags{")) {
        return parse_cases(p, WASMTIME_COMPONENT_FLAGS);
    } else if (eat(p, "own<")) {
        return parse_resource(p, true);
    } else if (eat(p, "borrow<")) {
        return parse_resource(p, false);
    } else if (eat(p, "result")) {
        node = parse_result(p);
    } else {
        return parse_simple(p);
    }
    if (p->failed) {
        return 0;
    }
    uint8_t kind = at(p, node)->kind;
    if (kind == WASMTIME_COMPONENT_RECORD || kind == WASMTIME_COMPONENT_TUPLE) {
        lay_struct(p, node);
    } else {
        lay_union(p, node, kind == WASMTIME_COMPONENT_VARIANT ? 4 : 1);
    }
    return node;
}

static uint32_t parse_type(struct parser *p)
{
    if (p->failed || p->depth > DEPTH_MAX) {
        p->failed = true;
        return 0;
    }
    p->depth++;
    uint32_t node = parse_any(p);
    p->depth--;
    return node;
}

static void parse_func(struct parser *p)
{
    uint32_t last = 0;
    new_node(p, CIS_LAYOUT_NOTHING, 0); /* 0: none */
    uint32_t args = new_node(p, WASMTIME_COMPONENT_TUPLE, 0);
    want(p, "func(");
    if (!eat(p, ")")) {
        do {
            link_child(p, args, &last, parse_type(p));
        } while (!p->failed && eat(p, ", "));
        want(p, ")");
    }
    if (!p->failed) {
        lay_struct(p, args);
        p->into->args = args;
        p->into->result = eat(p, " -> ") ? parse_type(p) : 0;
    }
    p->failed = p->failed || p->rest.len != 0;
}

cis_code cis_layout_new(const struct cis_ifacefn *row, const struct cis_iface_provider *from,
                        struct cis_str interface, struct cis_layout **out_layout,
                        struct cis_error *err)
{
    struct cis_layout *l = cis_zalloc(sizeof *l);
    if (l == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "host functions: out of memory");
    }
    struct parser p = {
        .into = l, .from = from, .interface = interface, .rest = cis_str_of(row->type)};
    parse_func(&p);
    if (p.failed) {
        cis_layout_free(l);
        return p.nomem
                   ? cis_fail(err, CIS_E_NOMEM, "host functions: out of memory")
                   : cis_fail(err, CIS_E_INTERNAL, "host function %s.%s: its type has no layout",
                              row->interface, row->name);
    }
    uint32_t args = l->nodes[l->args].size, result = l->result != 0 ? l->nodes[l->result].size : 0;
    if (args != row->args_size || result != row->result_size || args > CIS_LAYOUT_MAX ||
        result > CIS_LAYOUT_MAX) {
        cis_layout_free(l);
        return cis_fail(err, CIS_E_INTERNAL,
                        "host function %s.%s: its structs have %u and %u bytes, its type %u and %u "
                        "(at most %u)",
                        row->interface, row->name, row->args_size, row->result_size, args, result,
                        CIS_LAYOUT_MAX);
    }
    *out_layout = l;
    return CIS_OK;
}

void cis_layout_free(struct cis_layout *layout)
{
    if (layout != NULL) {
        cis_free(layout->nodes);
        cis_free(layout);
    }
}
