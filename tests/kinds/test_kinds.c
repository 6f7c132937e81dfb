/* Every function of every interface, declared by a component with another type than it has: another
 * resource in each place, owned for borrowed, another width or element, a field, a case or a
 * parameter more or less. None links, whoever provides the interfaces, and the refusal names the
 * function. A sample; `all` for all of them. */
#include <stdatomic.h>
#include "cis/component.h"
#include "engine/component/component.h"
#include "engine/code/module.h"
#include "engine/instance/linked.h"
#include "harness.h"
#include "kinds/types.h"
#include "lib/provider.h"
#include "provider/corelibs/corelibs.h"
#include "run/program.h"
#include "skillabi/skillabi.h"
#include "wasi/p2/p2.h"

#define RESOURCES 64u
#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool every;       /* no sample */
static unsigned sampled; /* one in so many, by a generator of its own */

static struct {
    cis_engine *engine;
    const struct cis_iface_provider *providers[4];
    size_t nproviders;
    struct resource resources[RESOURCES]; /* those that the interfaces have, and one more */
    size_t nresources;
    const struct cis_ifacefn *row;
    char interface[160];
    struct func f;
    size_t tried, invalid, linked;
    uint64_t random;
} the;

static uint32_t next_random(void)
{
    the.random ^= the.random << 13;
    the.random ^= the.random >> 7;
    the.random ^= the.random << 17;
    return (uint32_t)(the.random >> 32);
}

/* ---- who provides ---- */

static const struct cis_ifacefn *built_in(void *self, struct cis_str interface, struct cis_str name)
{
    (void)self;
    return cis_run_built_in(interface, name, NULL, CIS_WASI_ALL);
}

static const struct cis_iface_resource *built_in_resource(void *self, struct cis_str interface,
                                                          struct cis_str name)
{
    (void)self;
    return cis_run_built_in_resource(interface, name, NULL);
}

static const struct cis_iface_provider
    programs = {.function = built_in, .resource = built_in_resource},
    trapping = {.function = built_in, .resource = built_in_resource, .trap_unknown = true},
    replayed = {.function = built_in, .resource = built_in_resource, .recorded = true};

/* ---- one component ---- */

static bool uses(const struct type *t, const char *name)
{
    if (t == NULL) {
        return false;
    }
    bool found = (t->kind == T_OWN || t->kind == T_BORROW) && cis_str_is(t->name, name);
    for (size_t i = 0; i < t->nkids && !found; i++) {
        found = uses(t->kids[i], name);
    }
    return found;
}

static bool named(const struct func *f, const char *name)
{
    bool found = uses(f->result, name);
    for (size_t i = 0; i < f->nparams && !found; i++) {
        found = uses(f->params[i], name);
    }
    const char *dot = strchr(the.row->name, ']'); /* "[method]name.f" is about a resource, too */
    size_t n = dot != NULL ? strcspn(dot + 1, ".") : 0;
    return found || (n == strlen(name) && n != 0 && memcmp(dot + 1, name, n) == 0);
}

/* The names of resources that the component declares; alias: one that is the same as another. */
static size_t declared(const struct resource *alias, struct resource *out)
{
    size_t n = 0;
    for (size_t i = 0; i < the.nresources; i++) {
        const char *name = the.resources[i].name;
        bool both = alias != NULL && (strcmp(name, alias->name) == 0);
        bool first = alias != NULL && strcmp(name, alias->same) == 0;
        if (!both && (first || named(&the.f, name))) {
            out[n++] = the.resources[i];
        }
    }
    if (alias != NULL) {
        out[n++] = *alias;
    }
    return n;
}

static cis_code load(const struct resource *alias, struct cis_buf *text, cis_engine_module **out,
                     struct cis_error *err)
{
    struct resource resources[RESOURCES + 1];
    size_t n = declared(alias, resources);
    const struct cis_engine_module_options o = {.name = "k"};
    func_component(&the.f, the.interface, the.row->name, resources, n, text);
    assert_int_equal(text->failed, CIS_OK);
    return cis_engine_module_load(the.engine, cis_buf_bytes(text), &o, out, err);
}

/* As it is: everybody provides it. */
static void links(void)
{
    struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_engine_module *image = NULL;
    struct cis_error why = {0};
    if (load(NULL, &text, &image, &why) != CIS_OK) {
        fail_msg("%s.%s: %s\n%s", the.row->interface, the.row->name, why.msg, cis_buf_cstr(&text));
    }
    for (size_t i = 0; i < the.nproviders; i++) {
        cis_linked *program = NULL;
        if (cis_component_link(image, the.providers[i], NULL, &program, &why) != CIS_OK) {
            fail_msg("%s.%s by %zu: %s", the.row->interface, the.row->name, i, why.msg);
        }
        cis_linked_unref(program);
        the.linked++;
    }
    cis_engine_module_unref(image);
    cis_buf_done(&text);
}

/* Invalid as a component, or refused by name. */
static void is_refused(const struct resource *alias)
{
    struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_engine_module *image = NULL;
    struct cis_error why = {0};
    if (!every && next_random() % sampled != 0) {
        return;
    }
    the.tried++;
    cis_code code = load(alias, &text, &image, &why);
    if (code == CIS_E_INVALID) {
        the.invalid++;
    } else if (code != CIS_OK) {
        fail_msg("%s.%s: %s", the.row->interface, the.row->name, why.msg);
    }
    for (size_t i = 0; code == CIS_OK && i < the.nproviders; i++) {
        cis_linked *program = NULL;
        cis_code linked = cis_component_link(image, the.providers[i], NULL, &program, &why);
        if (linked != CIS_E_IMPORT || strstr(why.msg, the.interface) == NULL) {
            fail_msg("%s.%s by %zu is %s (%s):\n%s", the.row->interface, the.row->name, i,
                     cis_code_name(linked), why.msg, cis_buf_cstr(&text));
        }
    }
    cis_engine_module_unref(image);
    cis_buf_done(&text);
}

/* ---- one change ---- */

static void other_resources(struct type *t)
{
    const struct type was = *t;
    for (size_t i = 0; i < the.nresources; i++) {
        t->name = cis_str_of(the.resources[i].name);
        if (!cis_str_eq(t->name, was.name)) {
            is_refused(NULL);
        }
    }
    t->name = was.name;
    t->kind = was.kind == T_OWN ? T_BORROW : T_OWN;
    is_refused(NULL);
    t->kind = T_SIMPLE;
    t->name = CIS_STR("u32"); /* a number for the handle */
    is_refused(NULL);
    *t = was;
}

static uint32_t kind_of(const char *name)
{
    const struct cis_iface_provider *by = the.providers[0];
    const struct cis_iface_resource *r =
        by->resource(by->self, cis_str_of(the.interface), cis_str_of(name));
    return r != NULL ? r->kind : UINT32_MAX;
}

/* Under its own name the interface exports another resource. */
static void other_meanings(void)
{
    for (size_t i = 0; i < the.nresources; i++) {
        for (size_t k = 0; k < the.nresources; k++) {
            struct resource alias = the.resources[i];
            if (named(&the.f, alias.name) &&
                kind_of(alias.name) != kind_of(the.resources[k].name)) {
                memcpy(alias.same, the.resources[k].name, sizeof alias.same);
                is_refused(&alias);
            }
        }
    }
}

static void other_simples(struct type *t)
{
    static const char *const simple[] = {"bool", "s8",  "u8",  "s16", "u16",  "s32",   "u32",
                                         "s64",  "u64", "f32", "f64", "char", "string"};
    const struct type was = *t;
    for (size_t i = 0; i < COUNT(simple); i++) {
        t->name = cis_str_of(simple[i]);
        if (!cis_str_eq(t->name, was.name)) {
            is_refused(NULL);
        }
    }
    *t = was;
}

static void other_labels(struct type *t)
{
    struct type *extra = type_new(&the.f, T_SIMPLE, "u8");
    const struct type was = *t;
    bool plain = t->kind == T_ENUM || t->kind == T_FLAGS;
    t->labels[was.nkids - 1] = CIS_STR("renamed");
    is_refused(NULL);
    *t = was;
    if (t->nkids < (t->kind == T_FLAGS ? 32 : KIDS_MAX)) {
        t->labels[t->nkids] = CIS_STR("added");
        t->kids[t->nkids++] = t->kind == T_RECORD ? extra : NULL;
        is_refused(NULL);
        *t = was;
    }
    if (t->nkids > 1) {
        t->nkids--;
        is_refused(NULL);
        t->nkids++;
        t->labels[0] = was.labels[1];
        t->labels[1] = was.labels[0];
        t->kids[0] = was.kids[1];
        t->kids[1] = was.kids[0];
        is_refused(NULL);
        *t = was;
    }
    for (size_t i = 0; i < t->nkids && t->kind == T_VARIANT; i++) {
        t->kids[i] = t->kids[i] != NULL ? NULL : extra;
        is_refused(NULL);
        *t = was;
    }
    t->kind = plain ? (was.kind == T_ENUM ? T_FLAGS : T_ENUM) : t->kind;
    if (plain && t->nkids <= 32) {
        is_refused(NULL);
    }
    *t = was;
}

static void other_insides(struct type *t)
{
    struct type *extra = type_new(&the.f, T_SIMPLE, "u8");
    const struct type was = *t;
    if (t->kind == T_TUPLE) {
        t->kids[t->nkids++] = extra;
        is_refused(NULL);
        *t = was;
        if (--t->nkids != 0) {
            is_refused(NULL);
        }
        *t = was;
        return;
    }
    t->kind = was.kind == T_LIST ? T_OPTION : T_LIST;
    is_refused(NULL);
    t->kind = T_TUPLE;
    is_refused(NULL);
    *t = was;
}

static void other_results(struct type *t)
{
    struct type *extra = type_new(&the.f, T_SIMPLE, "u8");
    const struct type was = *t;
    for (size_t i = 0; i < 2; i++) {
        t->kids[i] = was.kids[i] != NULL ? NULL : extra;
        is_refused(NULL);
        *t = was;
    }
    if (t->kids[0] != NULL || t->kids[1] != NULL) {
        t->kids[0] = was.kids[1];
        t->kids[1] = was.kids[0];
        is_refused(NULL);
    }
    *t = was;
}

static void other_types(struct type *t)
{
    switch (t->kind) {
    case T_OWN:
    case T_BORROW:
        other_resources(t);
        break;
    case T_SIMPLE:
        other_simples(t);
        break;
    case T_RESULT:
        other_results(t);
        break;
    case T_LIST:
    case T_OPTION:
    case T_TUPLE:
        other_insides(t);
        break;
    default:
        other_labels(t);
        break;
    }
}

static void other_parameters(void)
{
    struct func *f = &the.f;
    struct type *extra = type_new(f, T_SIMPLE, "u32"), *result = f->result;
    f->params[f->nparams++] = extra;
    is_refused(NULL);
    f->nparams--;
    if (f->nparams != 0) {
        f->nparams--;
        is_refused(NULL);
        f->nparams++;
    }
    for (size_t i = 0; i + 1 < f->nparams; i++) { /* two of them the other way round */
        struct type *one = f->params[i], *two = f->params[i + 1];
        struct cis_buf a = CIS_BUF_INIT(1u << 16), b = CIS_BUF_INIT(1u << 16);
        func_text(f, &a);
        f->params[i] = two;
        f->params[i + 1] = one;
        func_text(f, &b);
        if (strcmp(cis_buf_cstr(&a), cis_buf_cstr(&b)) != 0) {
            is_refused(NULL);
        }
        f->params[i] = one;
        f->params[i + 1] = two;
        cis_buf_done(&a);
        cis_buf_done(&b);
    }
    f->result = result != NULL ? NULL : extra;
    is_refused(NULL);
    f->result = result;
}

static void try_row(const struct cis_ifacefn *row, const char *version)
{
    the.row = row;
    snprintf(the.interface, sizeof the.interface, "%s%s%s", row->interface,
             version != NULL ? "@" : "", version != NULL ? version : "");
    func_parse(row->type, &the.f);
    if (the.f.failed) {
        fail_msg("%s.%s: \"%s\" is no type", row->interface, row->name, row->type);
    }
    links();
    size_t n = the.f.nnodes;
    for (size_t i = 0; i < n; i++) {
        other_types(&the.f.nodes[i]);
    }
    other_parameters();
    other_meanings();
}

/* ---- the interfaces ---- */

static void have(const char *name)
{
    for (size_t i = 0; i < the.nresources; i++) {
        if (strcmp(the.resources[i].name, name) == 0) {
            return;
        }
    }
    assert_true(the.nresources < RESOURCES);
    snprintf(the.resources[the.nresources++].name, sizeof the.resources[0].name, "%s", name);
}

/* Resources that the rows name, and one that nobody has. */
static void collect(const struct cis_iface_table *table)
{
    for (size_t i = 0; i < table->nrows; i++) {
        func_parse(table->rows[i].type, &the.f);
        for (size_t k = 0; k < the.f.nnodes; k++) {
            const struct type *t = &the.f.nodes[k];
            if (t->kind == T_OWN || t->kind == T_BORROW) {
                char name[64];
                snprintf(name, sizeof name, CIS_STR_FMT, CIS_STR_ARG(t->name));
                have(name);
            }
        }
    }
}

static void begin(unsigned one_in, const struct cis_iface_provider *const *providers, size_t n)
{
    the.nresources = the.tried = the.invalid = the.linked = 0;
    the.nproviders = n;
    memcpy(the.providers, providers, n * sizeof *providers);
    the.random = 0x9e3779b97f4a7c15u ^ test_seed();
    sampled = one_in;
}

static void end(void)
{
    print_message("%zu types refused, %zu of them as components already; %zu links as they are\n",
                  the.tried, the.invalid, the.linked);
    assert_true(the.tried > 20 && the.invalid < the.tried);
}

static void table_of(const struct cis_iface_table *table)
{
    for (size_t i = 0; i < table->nrows; i++) {
        try_row(&table->rows[i], table->version);
    }
}

static void wasi_links_with_its_own_types_alone(void **state)
{
    (void)state;
    const struct cis_iface_provider *const who[] = {&programs, &trapping, &replayed,
                                                    &cis_skillabi_provider};
    size_t n;
    const struct cis_iface_table *const *tables = cis_wasi_p2_tables(&n);
    begin(12, who, COUNT(who));
    for (size_t i = 0; i < n; i++) {
        collect(tables[i]);
    }
    have("nobodys");
    for (size_t i = 0; i < n; i++) {
        table_of(tables[i]);
    }
    end();
}

static void core_libs_link_with_their_own_types_alone(void **state)
{
    (void)state;
    const struct cis_iface_provider *const who[] = {&programs, &trapping, &replayed};
    begin(4, who, COUNT(who));
    collect(&cis_corelibs_table);
    have("nobodys");
    table_of(&cis_corelibs_table);
    end();
}

static void cis_skill_links_with_its_own_types_alone(void **state)
{
    (void)state;
    const struct cis_iface_provider *const who[] = {&cis_skillabi_provider};
    size_t n;
    const struct cis_iface_table *const *tables = cis_skillabi_interfaces(&n);
    begin(4, who, COUNT(who));
    have("nobodys");
    for (size_t i = 0; i < n; i++) {
        table_of(tables[i]);
    }
    end();
}

static enum cis_code never(void *self, cis_wit_call *call)
{
    (void)self;
    return cis_wit_fail(call, CIS_E_INTERNAL, "called");
}

static void interfaces_of_an_embedder_link_with_their_own_types_alone(void **state)
{
    (void)state;
    static const char *const types[] = {
        "func(self: borrow<order>, other: borrow<item>) -> result<own<item>, string>",
        "func(all: list<borrow<order>>, n: u32) -> option<own<order>>",
        "func(o: own<order>, i: option<own<item>>) -> tuple<own<item>, u8>",
        "func(r: record { a: u8, b: list<string> }) -> variant { none, some(u64), more(char) }",
        "func(e: enum { a, b, c }, f: flags { x, y }) -> result<list<u8>, enum { no, never }>",
        "func(a: s8, b: f32, c: list<tuple<u16, s64>>, d: bool) -> result"};
    cis_provider *p = NULL;
    struct cis_lib_set *set = NULL;
    assert_ok(cis_provider_new(&p, err));
    cis_provider_interface(p, "acme:shop/orders@1.2.0");
    cis_provider_resource(p, "order", NULL, NULL);
    cis_provider_resource(p, "item", NULL, NULL);
    for (size_t i = 0; i < COUNT(types); i++) {
        char name[32];
        snprintf(name, sizeof name, i == 0 ? "[method]order.add" : "f%zu", i);
        cis_provider_function(p, name, types[i], never, NULL);
    }
    assert_ok(cis_lib_set_add(&set, p, NULL, 0, err));
    struct cis_iface_provider own = cis_lib_set_provider(set);
    own.id = 0; /* or what the first said of a component would be the others' answer, too */
    struct cis_iface_provider traps = own, recording = own;
    traps.trap_unknown = true;
    recording.recorded = true;
    const struct cis_iface_provider *const who[] = {&own, &traps, &recording};
    begin(1, who, COUNT(who));
    have("order");
    have("item");
    have("nobodys");
    for (size_t i = 0; i < p->functions.n; i++) {
        const struct cis_lib_function *f = p->functions.at[i];
        try_row(&f->row, NULL);
    }
    end();
    cis_lib_set_unref(set);
    cis_provider_free(p);
}

static int open_engine(void **state)
{
    (void)state;
    struct cis_error why;
    const struct cis_engine_options o = {.pool_slots = 4, .compile_in_process = true};
    return cis_engine_open(&o, &the.engine, &why) == CIS_OK ? 0 : -1;
}

static int close_engine(void **state)
{
    (void)state;
    cis_engine_close(the.engine);
    return 0;
}

int main(int argc, char **argv)
{
    every = argc > 1 && strcmp(argv[1], "all") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wasi_links_with_its_own_types_alone),
        cmocka_unit_test(core_libs_link_with_their_own_types_alone),
        cmocka_unit_test(cis_skill_links_with_its_own_types_alone),
        cmocka_unit_test(interfaces_of_an_embedder_link_with_their_own_types_alone),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
