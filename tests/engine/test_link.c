/* Linking costs what a component imports, once: types that are imported a thousand times, the
 * deadline, and failures that are known. */
#include "base/clock.h"
#include "engine/component/component.h"
#include "engine/fixture.h"

#define TOO_LONG (4 * CIS_NS_PER_S) /* of this process: ten times what it takes */

static cis_engine *engine;
static size_t asked;

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * CIS_NS_PER_S + (uint64_t)t.tv_nsec;
}

static int open_engine(void **state)
{
    struct cis_error why;
    const struct cis_engine_options o = {.pool_slots = 4, .compile_in_process = true};
    (void)state;
    asked = 0;
    return cis_engine_open(&o, &engine, &why) == CIS_OK ? 0 : -1;
}

static int close_engine(void **state)
{
    (void)state;
    cis_engine_close(engine);
    return 0;
}

static cis_code never(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                      struct cis_error *err)
{
    (void)guest, (void)args, (void)result;
    return cis_fail(err, CIS_E_INTERNAL, "called");
}

static const struct cis_ifacefn row = {
    .interface = "a:b/c", .name = "f", .type = "func()", .handler = never, .params = "", .doc = ""};

static const struct cis_ifacefn *find(void *self, struct cis_str interface, struct cis_str name)
{
    asked++;
    return self == NULL && cis_str_starts(interface, CIS_STR("a:b/")) && name.ptr[0] == 'f' ? &row
                                                                                            : NULL;
}

static const struct cis_iface_resource *find_resource(void *self, struct cis_str interface,
                                                      struct cis_str name)
{
    static const struct cis_iface_resource one = {"a:", "r", 1, NULL, NULL};
    (void)self, (void)interface, (void)name;
    return &one;
}

/* One type of an interface with so many items, imported so often. */
static cis_engine_module *image_of(bool functions, size_t items, size_t imports)
{
    static struct cis_buf text = CIS_BUF_INIT(16u << 20);
    cis_engine_module *image = NULL;
    const struct cis_engine_module_options o = {.name = "c"};
    cis_buf_text(&text, "(component (type $t (instance");
    for (size_t i = 0; i < items; i++) {
        if (functions) {
            cis_buf_printf(&text, "(export \"f%zu\" (func))", i);
        } else {
            cis_buf_printf(&text, "(export \"r%zu\" (type (sub resource)))", i);
        }
    }
    cis_buf_text(&text, "))");
    for (size_t i = 0; i < imports; i++) {
        cis_buf_printf(&text, "(import \"a:b/i%zu\" (instance (type $t)))", i);
    }
    cis_buf_text(&text, ")");
    assert_ok(cis_engine_module_load(engine, cis_buf_bytes(&text), &o, &image, err));
    cis_buf_done(&text);
    return image;
}

static void a_type_that_is_imported_a_thousand_times_is_too_much(void **state)
{
    (void)state;
    const struct cis_iface_provider all = {.function = find},
                                    none = {.function = find, .self = &asked};
    cis_engine_module *image = image_of(true, 900, 900);
    cis_linked *program = NULL;
    uint64_t begin = cpu_ns();
    assert_fails(CIS_E_LIMIT, "imports more than",
                 cis_component_link(image, &all, NULL, &program, err));
    assert_fails(CIS_E_LIMIT, "imports more than",
                 cis_component_link(image, &none, NULL, &program, err));
    assert_true(cpu_ns() - begin < TOO_LONG);
    cis_engine_module_unref(image);
}

static void nine_thousand_functions_of_one_interface_link_at_once(void **state)
{
    (void)state;
    const struct cis_iface_provider all = {.function = find};
    cis_engine_module *image = image_of(true, 9000, 1);
    cis_linked *program = NULL;
    uint64_t begin = cpu_ns();
    assert_ok(cis_component_link(image, &all, NULL, &program, err));
    assert_true(cpu_ns() - begin < TOO_LONG);
    cis_linked_unref(program);
    cis_engine_module_unref(image);
}

static void resources_are_counted_over_all_interfaces(void **state)
{
    (void)state;
    const struct cis_iface_provider all = {.function = find, .resource = find_resource};
    cis_linked *program = NULL;
    cis_engine_module *image = image_of(false, 90, 10);
    assert_ok(cis_component_link(image, &all, NULL, &program, err));
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    image = image_of(false, 90, 12);
    assert_fails(CIS_E_LIMIT, "resources", cis_component_link(image, &all, NULL, &program, err));
    cis_engine_module_unref(image);
}

static void the_deadline_and_a_cancellation_end_it(void **state)
{
    (void)state;
    const struct cis_iface_provider all = {.function = find};
    const struct cis_stop over = {.deadline_ns = 1};
    struct cis_stop fired = {.deadline_ns = CIS_NEVER};
    cis_linked *program = NULL;
    cis_engine_module *image = image_of(true, 2000, 2);
    assert_ok(cis_cancel_new(&fired.cancel, err));
    cis_cancel_fire(fired.cancel);
    assert_fails(CIS_E_DEADLINE, "link", cis_component_link(image, &all, &over, &program, err));
    assert_fails(CIS_E_CANCELLED, "link", cis_component_link(image, &all, &fired, &program, err));
    assert_ok(cis_component_link(image, &all, NULL, &program, err)); /* it was the moment's fault */
    cis_linked_unref(program);
    cis_cancel_unref(fired.cancel);
    cis_engine_module_unref(image);
}

static void a_failure_is_known_to_who_provides_the_same(void **state)
{
    (void)state;
    const struct cis_iface_provider none = {.function = find,
                                            .self = &asked,
                                            .id = cis_iface_provider_id(CIS_STR("none"))},
                                    unnamed = {.function = find, .self = &asked},
                                    all = {.function = find,
                                           .id = cis_iface_provider_id(CIS_STR("all"))};
    cis_linked *program = NULL;
    cis_engine_module *image = image_of(true, 10, 10);
    for (int i = 0; i < 3; i++) {
        assert_fails(CIS_E_IMPORT, "a:b/i0.f0",
                     cis_component_link(image, &none, NULL, &program, err));
        assert_int_equal(asked, 100);
    }
    assert_fails(CIS_E_IMPORT, "a:b/i0.f0",
                 cis_component_link(image, &unnamed, NULL, &program, err));
    assert_int_equal(asked, 200);
    assert_ok(cis_component_link(image, &all, NULL, &program, err));
    cis_linked_unref(program);
    cis_engine_module_unref(image);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_engine, close_engine)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_type_that_is_imported_a_thousand_times_is_too_much),
        TEST(nine_thousand_functions_of_one_interface_link_at_once),
        TEST(resources_are_counted_over_all_interfaces),
        TEST(the_deadline_and_a_cancellation_end_it),
        TEST(a_failure_is_known_to_who_provides_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
