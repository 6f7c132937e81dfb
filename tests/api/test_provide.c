/* Interfaces of an embedder for whole programs by the short way, cis_wasi_host_provide: components
 * that are commands, however they end; objects are dropped exactly once. */
#include <pthread.h>
#include <stdatomic.h>
#include "base/file.h"
#include "cis/cis.h"
#include "harness.h"

struct place {
    char *dir;
    cis_runtime *runtime;
    cis_wasi_host *host;
};

static atomic_int made, dropped;

static void drop_order(void *self, void *object)
{
    assert_string_equal(self, "orders");
    dropped++;
    free(object);
}

static enum cis_code f_new(void *self, cis_wit_call *call)
{
    int *o = malloc(sizeof *o);
    (void)self;
    assert_non_null(o);
    *o = made++;
    cis_wit_set_object(call, cis_wit_result(call), "order", o);
    return CIS_E_OK;
}

static cis_provider *provider_new(const char *interface, const char *type)
{
    cis_provider *p = NULL;
    assert_ok(cis_provider_new(&p, err));
    cis_provider_interface(p, interface);
    cis_provider_resource(p, "order", drop_order, "orders");
    cis_provider_function(p, "[constructor]order", type, f_new, NULL);
    return p;
}
#define ORDERS "acme:shop/orders@1.2.0"
#define NEW "func() -> own<order>"

/* wasi:cli/run: three orders, one of them dropped, then what is put in for %s. */
static const char COMMAND[] =
    "(component"
    " (import \"acme:shop/orders@1.1.3\" (instance $x"
    "  (export \"order\" (type $o (sub resource)))"
    "  (export \"[constructor]order\" (func (result (own $o))))))"
    " (alias export $x \"order\" (type $o_t))"
    " (alias export $x \"[constructor]order\" (func $new))"
    " (core func $new_c (canon lower (func $new)))"
    " (core func $drop_c (canon resource.drop $o_t))"
    " (core module $m (import \"x\" \"new\" (func $new (result i32)))"
    "  (import \"x\" \"drop\" (func $drop (param i32)))"
    "  (func (export \"run\") (result i32) (drop (call $new)) (call $drop (call $new))"
    "   (drop (call $new)) %s))"
    " (core instance $i (instantiate $m (with \"x\" (instance"
    "  (export \"new\" (func $new_c)) (export \"drop\" (func $drop_c))))))"
    " (func $run (result (result)) (canon lift (core func $i \"run\")))"
    " (instance $r (export \"run\" (func $run)))"
    " (export \"wasi:cli/run@0.2.3\" (instance $r)))";

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_error err;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    p->dir = test_dir_new();
    config.data_dir = p->dir;
    config.compile_in_process = true;
    made = dropped = 0;
    *state = p;
    return cis_runtime_new(&config, &p->runtime, &err) == CIS_OK &&
                   cis_wasi_host_new(p->runtime, NULL, NULL, &p->host, &err) == CIS_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct cis_error err;
    cis_wasi_host_free(p->host);
    cis_runtime_free(p->runtime);
    int failed = cis_file_remove_tree(p->dir, &err) != CIS_OK;
    free(p->dir);
    free(p);
    return failed;
}

/* The code that a command ends with that ends as `ending` does, and its message. */
static cis_code run(const struct place *p, const char *ending, struct cis_error *err)
{
    char text[2000];
    cis_result *result = NULL;
    snprintf(text, sizeof text, COMMAND, ending);
    CIS_TRY(cis_wasi_host_run(p->host, text, strlen(text), NULL, &result, err));
    cis_code code = cis_result_code(result);
    if (code != CIS_E_OK && err != NULL) {
        *err = (struct cis_error){.code = code};
        snprintf(err->msg, sizeof err->msg, "%s", cis_result_message(result));
    }
    cis_result_free(result);
    return code;
}

static void provide(const struct place *p, const char *interface, const char *type)
{
    cis_provider *provider = provider_new(interface, type);
    cis_wasi_host_provide(p->host, provider);
    cis_provider_free(provider); /* the host keeps it */
}

static void a_command_uses_what_its_host_provides(void **state)
{
    struct place *p = *state;
    provide(p, ORDERS, NEW);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(run(p, "(i32.const 0)", NULL), CIS_E_OK);
        assert_int_equal(made, 3 * i);
        assert_int_equal(dropped, 3 * i);
    }
}

static void objects_are_dropped_once_however_a_command_ends(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *ending;
        cis_code code;
    } ends[] = {{"(i32.const 1)", CIS_E_FAILED},
                {"unreachable", CIS_E_TRAP},
                {"(call $drop (i32.const 77)) (i32.const 0)", CIS_E_TRAP}};
    provide(p, ORDERS, NEW);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        assert_int_equal(run(p, ends[i].ending, NULL), ends[i].code);
        assert_int_equal(made, 3 * (i + 1));
        assert_int_equal(dropped, made);
    }
}

static void objects_are_dropped_once_when_the_time_is_over(void **state)
{
    const struct place *p = *state;
    struct place own = {0};
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.data_dir = p->dir;
    config.compile_in_process = true;
    config.max_execution_time = 300;
    assert_ok(cis_runtime_new(&config, &own.runtime, err));
    assert_ok(cis_wasi_host_new(own.runtime, NULL, NULL, &own.host, err));
    provide(&own, ORDERS, NEW);
    assert_int_equal(run(&own, "(loop $l (br $l)) (i32.const 0)", NULL), CIS_E_DEADLINE);
    assert_int_equal(dropped, made);
    cis_wasi_host_free(own.host);
    cis_runtime_free(own.runtime);
}

static void *work(void *place)
{
    for (int i = 0; i < 5; i++) {
        if (run(place, i == 3 ? "unreachable" : "(i32.const 0)", NULL) !=
            (i == 3 ? CIS_E_TRAP : CIS_E_OK)) {
            return NULL;
        }
    }
    return place;
}

static void commands_of_many_threads_share_what_is_provided(void **state)
{
    struct place *p = *state;
    pthread_t threads[4];
    provide(p, ORDERS, NEW);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, p), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *well = NULL;
        pthread_join(threads[i], &well);
        assert_non_null(well);
    }
    assert_int_equal(made, 60);
    assert_int_equal(dropped, 60);
}

static void what_is_provided_after_a_run_is_there_for_the_next(void **state)
{
    struct place *p = *state;
    assert_fails(CIS_E_IMPORT, "acme:shop/orders@1.1.3.order, which nothing provides",
                 run(p, "(i32.const 0)", err));
    provide(p, ORDERS, NEW);
    assert_int_equal(run(p, "(i32.const 0)", NULL), CIS_E_OK);
    assert_int_equal(made, 3);
}

static void the_same_twice_is_refused(void **state)
{
    struct place *p = *state;
    provide(p, ORDERS, NEW);
    provide(p, ORDERS, NEW);
    assert_fails(CIS_E_EXISTS, "is provided already", run(p, "(i32.const 0)", err));
    assert_int_equal(made, 0);
}

static void another_type_or_version_is_refused_by_name(void **state)
{
    struct place *p = *state;
    provide(p, "acme:shop/orders@2.0.0", NEW);
    assert_fails(CIS_E_IMPORT, "acme:shop/orders@1.1.3", run(p, "(i32.const 0)", err));
    provide(p, ORDERS, "func(n: u32) -> own<order>");
    assert_fails(CIS_E_IMPORT, "[constructor]order with another type",
                 run(p, "(i32.const 0)", err));
    assert_int_equal(made, 0);
}

static void a_type_that_is_none_is_the_error_of_the_next_run(void **state)
{
    struct place *p = *state;
    provide(p, ORDERS, "func( -> order");
    assert_fails(CIS_E_USAGE, "\"func( -> order\"", run(p, "(i32.const 0)", err));
}

/* ---- two providers of one package ---- */

static cis_provider *shop(const char *interface, const char *name, cis_wit_fn *function,
                          const char *type, bool has)
{
    cis_provider *p = NULL;
    assert_ok(cis_provider_new(&p, err));
    cis_provider_interface(p, interface);
    if (has) {
        cis_provider_resource(p, "order", NULL, NULL);
    }
    cis_provider_function(p, name, type, function, NULL);
    return p;
}

static enum cis_code f_made(void *self, cis_wit_call *call)
{
    (void)self;
    cis_wit_set_object(call, cis_wit_result(call), "order", &made);
    return CIS_E_OK;
}

static int looked, foreign;
static enum cis_code f_look(void *self, cis_wit_call *call)
{
    (void)self;
    looked++;
    foreign += cis_wit_object(call, cis_wit_arg(call, 0)) != NULL;
    return CIS_E_OK;
}

/* One makes an order, the other is shown it as its own. */
static const char SHOWN[] =
    "(component"
    " (import \"acme:shop/orders@1.2.0\" (instance $x"
    "  (export \"order\" (type $o (sub resource)))"
    "  (export \"make\" (func (result (own $o))))))"
    " (alias export $x \"order\" (type $o_t))"
    " (import \"acme:shop/bills@1.2.0\" (instance $y"
    "  (export \"order\" (type $o (eq $o_t)))"
    "  (export \"look\" (func (param \"o\" (borrow $o))))))"
    " (core func $make (canon lower (func $x \"make\")))"
    " (core func $look (canon lower (func $y \"look\")))"
    " (core module $m (import \"x\" \"make\" (func $make (result i32)))"
    "  (import \"x\" \"look\" (func $look (param i32)))"
    "  (func (export \"run\") (result i32) (call $look (call $make)) (i32.const 0)))"
    " (core instance $i (instantiate $m (with \"x\" (instance"
    "  (export \"make\" (func $make)) (export \"look\" (func $look))))))"
    " (func $run (result (result)) (canon lift (core func $i \"run\")))"
    " (instance $r (export \"run\" (func $run)))"
    " (export \"wasi:cli/run@0.2.3\" (instance $r)))";

static void what_one_provider_made_is_no_object_of_another(void **state)
{
    struct place *p = *state;
    for (int has = 0; has < 2; has++) { /* bills: without a resource of that name, with one */
        cis_wasi_host *host = NULL;
        cis_result *result = NULL;
        cis_provider *orders =
            shop("acme:shop/orders@1.2.0", "make", f_made, "func() -> own<order>", true);
        cis_provider *bills =
            shop("acme:shop/bills@1.2.0", "look", f_look, "func(o: borrow<order>)", has != 0);
        looked = foreign = 0;
        assert_ok(cis_wasi_host_new(p->runtime, NULL, NULL, &host, err));
        cis_wasi_host_provide(host, orders);
        cis_wasi_host_provide(host, bills);
        struct cis_error why = {0};
        cis_code code = cis_wasi_host_run(host, SHOWN, strlen(SHOWN), NULL, &result, &why);
        code = code == CIS_OK ? cis_result_code(result) : code;
        assert_int_equal(code, has ? CIS_E_IMPORT : CIS_OK);
        assert_int_equal(looked, has ? 0 : 1);
        assert_int_equal(foreign, 0);
        cis_result_free(result);
        cis_provider_free(orders);
        cis_provider_free(bills);
        cis_wasi_host_free(host);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_one_provider_made_is_no_object_of_another),
        TEST(a_command_uses_what_its_host_provides),
        TEST(objects_are_dropped_once_however_a_command_ends),
        TEST(objects_are_dropped_once_when_the_time_is_over),
        TEST(commands_of_many_threads_share_what_is_provided),
        TEST(what_is_provided_after_a_run_is_there_for_the_next),
        TEST(the_same_twice_is_refused),
        TEST(another_type_or_version_is_refused_by_name),
        TEST(a_type_that_is_none_is_the_error_of_the_next_run),
    };
    return cmocka_run_group_tests_name("what hosts provide", tests, NULL, NULL);
}
