/* A call across the boundary of two components that are composed into one, beside the same call
 * relayed by the host from one instance to the other.
 *
 *   compose_bench */
#include <string.h>
#include "bench/measure.h"
#include "cis/cis.h"
#include "cis/component.h"

enum { ROUNDS = 9, CALLS = 200000 };

#define GIVER                                                                                      \
    "(component $giver (core module $m (func (export \"f\") (param i32) (result i32)"              \
    "  (i32.add (local.get 0) (i32.const 1))))"                                                    \
    " (core instance $i (instantiate $m))"                                                         \
    " (func $f (param \"x\" u32) (result u32) (canon lift (core func $i \"f\")))"                  \
    " (instance $e (export \"f\" (func $f))) (export \"a:b/c\" (instance $e)))"
/* go(n): f of f of … of 0. */
#define USER                                                                                       \
    "(component $user (import \"a:b/c\" (instance $in (export \"f\""                               \
    "   (func (param \"x\" u32) (result u32)))))"                                                  \
    " (core func $low (canon lower (func $in \"f\")))"                                             \
    " (core module $m (import \"in\" \"f\" (func $f (param i32) (result i32)))"                    \
    "  (func (export \"go\") (param i32) (result i32) (local i32)"                                 \
    "   (loop $l (local.set 1 (call $f (local.get 1)))"                                            \
    "    (br_if $l (i32.lt_u (local.get 1) (local.get 0)))) (local.get 1)))"                       \
    " (core instance $i (instantiate $m (with \"in\" (instance (export \"f\" (func $low))))))"     \
    " (func (export \"go\") (param \"n\" u32) (result u32) (canon lift (core func $i \"go\"))))"

static const char giver[] = GIVER, user[] = USER;
static const char composed[] =
    "(component " GIVER USER " (instance $g (instantiate $giver))"
    " (instance $u (instantiate $user (with \"a:b/c\" (instance $g \"a:b/c\"))))"
    " (export \"go\" (func $u \"go\")))";

static void must(enum cis_code code, const struct cis_error *err)
{
    if (code != CIS_E_OK) {
        fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
}

/* The host hands the call on to the other instance. */
static enum cis_code relay(void *self, cis_wit_call *call)
{
    cis_component *other = self;
    cis_wit_call *on = NULL;
    struct cis_error err = {0};
    enum cis_code code = cis_component_begin(other, "a:b/c#f", "func(x: u32) -> u32", &on, &err);
    if (code == CIS_E_OK) {
        cis_wit_set_u32(cis_wit_param(on, 0), (uint32_t)cis_wit_uint(cis_wit_arg(call, 0)));
        code = cis_wit_perform(on, &err);
    }
    if (code == CIS_E_OK) {
        cis_wit_set_u32(cis_wit_result(call), (uint32_t)cis_wit_uint(cis_wit_result(on)));
    }
    cis_wit_call_free(on);
    return code == CIS_E_OK ? code : cis_wit_fail(call, code, err.msg);
}

/* The host answers itself: what a call of it costs at least. */
static enum cis_code answer(void *self, cis_wit_call *call)
{
    (void)self;
    cis_wit_set_u32(cis_wit_result(call), (uint32_t)cis_wit_uint(cis_wit_arg(call, 0)) + 1);
    return CIS_E_OK;
}

static cis_component *opened(cis_runtime *runtime, const char *text, cis_wit_fn *f, void *self)
{
    struct cis_error err = {0};
    cis_wasi_config *config = NULL;
    cis_provider *provider = NULL;
    cis_module *module = NULL;
    cis_component *made = NULL;
    must(cis_wasi_config_new(runtime, &config, &err), &err);
    if (f != NULL) {
        must(cis_provider_new(&provider, &err), &err);
        cis_provider_interface(provider, "a:b/c");
        cis_provider_function(provider, "f", "func(x: u32) -> u32", f, self);
        cis_wasi_config_provide(config, provider);
    }
    must(cis_module_load(runtime, text, strlen(text), "part", &module, &err), &err);
    must(cis_component_open(config, module, &made, &err), &err);
    return made; /* the rest lives as long as the program */
}

/* ns a call */
static double measured(cis_component *c)
{
    struct cis_error err = {0};
    cis_wit_call *call = NULL;
    must(cis_component_begin(c, "go", "func(n: u32) -> u32", &call, &err), &err);
    cis_wit_set_u32(cis_wit_param(call, 0), CALLS);
    double begin = bench_now();
    must(cis_wit_perform(call, &err), &err);
    double took = (bench_now() - begin) / CALLS;
    if (cis_wit_uint(cis_wit_result(call)) != CALLS) {
        fprintf(stderr, "wrong result\n");
        exit(1);
    }
    cis_wit_call_free(call);
    return took;
}

int main(void)
{
    static const char *const names[] = {"across a composed boundary", "answered by the host",
                                        "relayed by the host to the other instance"};
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_error err = {0};
    cis_runtime *runtime = NULL;
    double t[3][ROUNDS];
    config.compile_in_process = true;
    must(cis_runtime_new(&config, &runtime, &err), &err);
    cis_component *parts[] = {opened(runtime, composed, NULL, NULL),
                              opened(runtime, user, answer, NULL),
                              opened(runtime, user, relay, opened(runtime, giver, NULL, NULL))};
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < 3; i++) {
            t[i][r] = measured(parts[i]);
        }
    }
    double medians[3];
    for (int i = 0; i < 3; i++) {
        struct bench_spread s = bench_spread(t[i], ROUNDS);
        medians[i] = s.median;
        printf("%-44s %8.1f ns a call (%.1f to %.1f)\n", names[i], s.median, s.min, s.max);
    }
    printf("goal: composed at least 5 times as fast as relayed (%.1f): %s\n",
           medians[2] / medians[0], medians[2] >= 5 * medians[0] ? "reached" : "missed");
    return 0;
}
