/* What an embedder says of the network of its runs and of unstable parts of WASI: servers for
 * names, sockets at once, features, packages that are left out. The guest is tests/guests/net.c. */
#include "base/clock.h"
#include "base/file.h"
#include "cis/cis.h"
#include "engine/code/document.h"
#include "harness.h"
#include "service_http/dns_server.h"

static struct cis_buf net = CIS_BUF_INIT(8u << 20);

struct place {
    cis_runtime *runtime;
    cis_module *module;
    cis_wasi_config *run;
};

static struct place begin(const char *dns_servers, const char *features)
{
    struct place p = {0};
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.compile_in_process = true;
    config.dns_servers = dns_servers;
    config.wasi_features = features;
    assert_ok(cis_runtime_new(&config, &p.runtime, err));
    assert_ok(cis_module_load(p.runtime, net.ptr, net.len, "net", &p.module, err));
    assert_ok(cis_wasi_config_new(p.runtime, &p.run, err));
    return p;
}

static void end(struct place *p)
{
    cis_wasi_config_free(p->run);
    cis_module_unref(p->module);
    cis_runtime_free(p->runtime);
}

/* One scene of the guest, and what it says. */
static void assert_scene(struct place *p, const char *verb, const char *argument, const char *says)
{
    cis_result *r = NULL;
    const char *words[] = {"net", verb, argument};
    for (size_t i = 0; i < 3; i++) {
        cis_wasi_config_arg(p->run, words[i]);
    }
    assert_ok(cis_wasi_run(p->run, p->module, &r, err));
    if (cis_result_code(r) != CIS_OK || strcmp(cis_result_stream(r, 1, NULL, NULL), says) != 0) {
        fail_msg("%s: %s%s", verb, cis_result_message(r), cis_result_stream(r, 1, NULL, NULL));
    }
    cis_result_free(r);
}

static void names_are_asked_of_the_servers_that_were_given(void **state)
{
    (void)state;
    static const struct dns_row rows[] = {
        {"public", DNS_ADDRS, {"8.8.8.8", "9.9.9.9"}, {"2606:4700::1"}, 0}};
    dns_server *dns = dns_start(rows, 1);
    assert_non_null(dns);
    struct place p = begin(dns_address(dns), "network-error-code");
    cis_wasi_config_allow(p.run, "dns");
    /* Both families, in no order that is promised: what the guest says is looked at by its parts.
     */
    cis_result *r = NULL;
    cis_wasi_config_arg(p.run, "net");
    cis_wasi_config_arg(p.run, "lookup");
    cis_wasi_config_arg(p.run, "public.test");
    assert_ok(cis_wasi_run(p.run, p.module, &r, err));
    const char *said = cis_result_stream(r, 1, NULL, NULL);
    assert_non_null(strstr(said, "8.8.8.8\n"));
    assert_non_null(strstr(said, "9.9.9.9\n"));
    assert_non_null(strstr(said, "2606:4700:0:0:0:0:0:1\n"));
    assert_true(dns_questions(dns) >= 2);
    cis_result_free(r);
    end(&p);
    dns_stop(dns);
}

static void servers_and_features_that_are_none_are_refused(void **state)
{
    (void)state;
    cis_runtime *runtime = NULL;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.dns_servers = "not an address";
    assert_fails(CIS_E_USAGE, "not a list of addresses", cis_runtime_new(&config, &runtime, err));
    config.dns_servers = NULL;
    config.wasi_features = "clocks-timezone,everything";
    assert_fails(CIS_E_USAGE, "wasi_features: everything: not an unstable feature",
                 cis_runtime_new(&config, &runtime, err));
    assert_null(runtime);
}

static void sockets_of_a_run_are_as_many_as_it_says(void **state)
{
    (void)state;
    struct place p = begin(NULL, "network-error-code");
    cis_wasi_config_sockets(p.run, 7);
    assert_scene(&p, "unlimited", "100", "7 sockets\nok\n");
    end(&p);
    p = begin(NULL, "network-error-code");
    assert_scene(&p, "unlimited", "2000", "1024 sockets\nok\n");
    end(&p);
}

static void unstable_parts_are_there_for_runs_that_ask(void **state)
{
    (void)state;
    struct place p = begin(NULL, "clocks-timezone"); /* another one */
    cis_result *r = NULL;
    struct cis_error why = {0};
    enum cis_code code = cis_wasi_run(p.run, p.module, &r, &why);
    if (code == CIS_OK) {
        code = cis_result_code(r);
        cis_fail(&why, code, "%s", cis_result_message(r));
        cis_result_free(r);
    }
    assert_int_equal(code, CIS_E_IMPORT);
    assert_non_null(strstr(why.msg, "network-error-code (unstable: --wasi network-error-code)"));
    cis_wasi_config_features(p.run, "network-error-code");
    assert_scene(&p, "unlimited", "1", "1 sockets\nok\n");
    cis_wasi_config_features(p.run, "tea");
    assert_fails(CIS_E_USAGE, "tea: not an unstable feature",
                 cis_wasi_run(p.run, p.module, &r, err));
    end(&p);
}

static enum cis_code offset(void *self, cis_wit_call *call)
{
    (void)self;
    cis_wit_set_s32(cis_wit_result(call), 42);
    return CIS_OK;
}

static cis_provider *own_zone(void)
{
    cis_provider *zone = NULL;
    assert_ok(cis_provider_new(&zone, err));
    cis_provider_interface(zone, "wasi:clocks/timezone@0.2.3");
    cis_provider_function(zone, "utc-offset",
                          "func(when: record { seconds: u64, nanoseconds: u32 }) -> s32", offset,
                          NULL);
    return zone;
}

static void an_embedder_may_provide_what_is_off(void **state)
{
    (void)state;
    struct place p = begin(NULL, NULL);
    cis_provider *zone = own_zone();
    cis_result *r = NULL;
    cis_wasi_config_features(p.run, "network-error-code");
    cis_wasi_config_provide(p.run, zone);
    assert_scene(&p, "unlimited", "1", "1 sockets\nok\n");
    end(&p);
    p = begin(NULL, "clocks-timezone");
    cis_wasi_config_provide(p.run, zone);
    assert_fails(CIS_E_EXISTS, "is provided already", cis_wasi_run(p.run, p.module, &r, err));
    end(&p);
    cis_provider_free(zone);
}

static void only_what_is_built_in_can_be_left_out(void **state)
{
    (void)state;
    struct place p = begin(NULL, NULL);
    cis_result *r = NULL;
    cis_wasi_config_without(p.run, "wasi:http");
    cis_wasi_config_without(p.run, NULL);
    cis_wasi_config_without(p.run, "wasi:htp");
    assert_fails(CIS_E_USAGE, "wasi:htp: not a built-in package: scheduler:core-libs, wasi:io",
                 cis_wasi_run(p.run, p.module, &r, err));
    end(&p);
}

static int setup(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf wasm = CIS_BUF_INIT(8u << 20);
    struct cis_engine_module_options o = {.name = "net", .stop = {.deadline_ns = CIS_NEVER}};
    assert_ok(cis_file_read(CIS_GUESTS_DIR "/net.wasm", &wasm, err));
    assert_ok(cis_component_make(cis_buf_bytes(&wasm), (struct cis_bytes){0}, &o, &net, err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_buf_done(&net);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_asked_of_the_servers_that_were_given),
        cmocka_unit_test(servers_and_features_that_are_none_are_refused),
        cmocka_unit_test(sockets_of_a_run_are_as_many_as_it_says),
        cmocka_unit_test(unstable_parts_are_there_for_runs_that_ask),
        cmocka_unit_test(an_embedder_may_provide_what_is_off),
        cmocka_unit_test(only_what_is_built_in_can_be_left_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
