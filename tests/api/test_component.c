/* Interfaces in C and calls of exports, through the public headers alone: every kind of value,
 * objects that are dropped exactly once however a run ends, versions, clashes, wrong types. */
#include <pthread.h>
#include <unistd.h>
#include "base/file.h"
#include "harness.h"
#include "orders.h"

struct place {
    cis_runtime *runtime;
    cis_module *module;
    cis_provider *provider;
};

/* Of another type than it says. */
static enum cis_code f_wrong(void *self, cis_wit_call *call)
{
    (void)self;
    cis_wit_set_u8(cis_wit_result(call), 1);
    return CIS_E_OK;
}

static enum cis_code f_not_text(void *self, cis_wit_call *call)
{
    (void)self;
    cis_wit_set_text(call, cis_wit_result(call), "\xff", 1);
    return CIS_E_OK;
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_error err;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.compile_in_process = true;
    made = dropped = closed = 0;
    last_data = NULL;
    *state = p;
    int code = cis_runtime_new(&config, &p->runtime, &err) == CIS_OK &&
                       cis_module_load(p->runtime, orders_guest, strlen(orders_guest), "shop",
                                       &p->module, &err) == CIS_OK
                   ? 0
                   : -1;
    p->provider = provider_new(f_hello);
    return code;
}

static int teardown(void **state)
{
    struct place *p = *state;
    cis_module_unref(p->module);
    cis_provider_free(p->provider);
    cis_runtime_free(p->runtime);
    free(p);
    return 0;
}

static cis_wasi_config *run_new(struct place *p)
{
    cis_wasi_config *run = NULL;
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    return run;
}

static cis_component *open_one(struct place *p, cis_wasi_config *run)
{
    cis_component *c = NULL;
    cis_wasi_config_provide(run, p->provider);
    assert_ok(cis_component_open(run, p->module, &c, err));
    return c;
}

static void assert_eval(cis_component *c, const char *call, const char *expected)
{
    char *text = NULL;
    assert_ok(cis_component_eval(c, call, &text, err));
    assert_string_equal(text, expected);
    cis_output_free(text);
}

static cis_result *invoke(struct place *p, const char *call, cis_cancel *cancel)
{
    cis_wasi_config *run = run_new(p);
    cis_result *result = NULL;
    cis_wasi_config_provide(run, p->provider);
    cis_wasi_config_invoke(run, call);
    cis_wasi_config_cancel(run, cancel);
    assert_ok(cis_wasi_run(run, p->module, &result, err));
    cis_wasi_config_free(run);
    return result;
}

/* ---- recorded and played ---- */

/* Recorded with the provider, played with a runtime that has none of it: the same end. */
static void assert_played(struct place *p, cis_provider *provider, const char *without,
                          cis_module *module, const char *call)
{
    char *dir = test_dir_new(), path[300];
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    cis_runtime *elsewhere = NULL;
    cis_wasi_config *run = run_new(p), *again = NULL;
    cis_result *first = NULL, *played = NULL;
    snprintf(path, sizeof path, "%s/run.recording", dir);
    cis_wasi_config_without(run, without);
    cis_wasi_config_provide(run, provider);
    cis_wasi_config_invoke(run, call);
    cis_wasi_config_record(run, path);
    assert_ok(cis_wasi_run(run, module, &first, err));
    int before = made + dropped + closed;
    config.compile_in_process = true;
    assert_ok(cis_runtime_new(&config, &elsewhere, err));
    assert_ok(cis_wasi_config_new(elsewhere, &again, err));
    for (int i = 0; i < 2; i++) {
        assert_ok(cis_wasi_replay(again, path, &played, err));
        assert_int_equal(cis_result_code(played), cis_result_code(first));
        assert_string_equal(cis_result_message(played), cis_result_message(first));
        assert_string_equal(cis_result_stream(played, 1, NULL, NULL),
                            cis_result_output(first, NULL));
        cis_result_free(played);
    }
    assert_int_equal(made + dropped + closed, before); /* nobody was asked */
    cis_result_free(first);
    cis_wasi_config_free(run);
    cis_wasi_config_free(again);
    cis_runtime_free(elsewhere);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

static void runs_with_interfaces_in_c_are_played_without_them(void **state)
{
    struct place *p = *state;
    static const char *const calls[] = {
        "many(5)",       "give(3)", "give(9)",   "leave(3)", "leave(7)", /* a trap */
        "nothing()",     "add(5)",  "add(2000)", "add(13)", /* the function ends the run */
        "greet(\"you\")"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_played(p, p->provider, NULL, p->module, calls[i]);
    }
    assert_true(made > 5 && closed == 1);
}

static enum cis_code f_dice(void *self, cis_wit_call *call)
{
    (void)self;
    cis_wit_set_u64(cis_wit_result(call), 6);
    return CIS_OK;
}

/* What is built in answers in another way than what stood in its place. */
static void what_stood_in_for_a_package_is_played_too(void **state)
{
    struct place *p = *state;
    static const char DICE[] =
        "(component (import \"wasi:random/random@0.2.0\" (instance $i"
        "  (export \"get-random-u64\" (func (result u64)))))"
        " (core func $f (canon lower (func $i \"get-random-u64\")))"
        " (core module $m (import \"i\" \"f\" (func $f (result i64)))"
        "  (func (export \"roll\") (result i64) (call $f)))"
        " (core instance $g (instantiate $m (with \"i\" (instance (export \"f\" (func $f))))))"
        " (func (export \"roll\") (result u64) (canon lift (core func $g \"roll\"))))";
    cis_provider *dice = NULL;
    cis_module *module = NULL;
    assert_ok(cis_provider_new(&dice, err));
    cis_provider_interface(dice, "wasi:random/random@0.2.3");
    cis_provider_function(dice, "get-random-u64", "func() -> u64", f_dice, NULL);
    assert_ok(cis_module_load(p->runtime, DICE, sizeof DICE - 1, "dice", &module, err));
    assert_played(p, dice, "wasi:random", module, "roll()");
    cis_module_unref(module);
    cis_provider_free(dice);
}

static void instance_that_is_kept_is_not_recorded(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_component *c = NULL;
    cis_wasi_config_provide(run, p->provider);
    cis_wasi_config_record(run, "/nowhere/run.recording");
    assert_fails(CIS_E_UNSUPPORTED, "an instance that is kept cannot be recorded",
                 cis_component_open(run, p->module, &c, err));
    cis_wasi_config_record(run, NULL);
    assert_ok(cis_component_open(run, p->module, &c, err));
    cis_component_close(c);
    cis_wasi_config_free(run);
}

/* ---- what works ---- */

static void functions_in_c_are_called_with_values_and_text(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_component *c = open_one(p, run);
    assert_eval(c, "greet(\"you\")", "\"hello you\"");
    assert_eval(c, "add(5)", "ok(5)");
    assert_eval(c, "add(2000)", "err(\"too many\")");
    assert_eval(c, "nothing()", "");
    cis_wit_call *call = NULL;
    size_t len = 0;
    assert_ok(cis_component_begin(c, "greet", "func(x: string) -> string", &call, err));
    cis_wit_set_text(call, cis_wit_param(call, 0), "me", 2);
    assert_ok(cis_wit_perform(call, err));
    assert_true(cis_wit_is(cis_wit_result(call), "hello me"));
    cis_wit_text(cis_wit_result(call), &len);
    assert_int_equal(len, 8);
    cis_wit_call_free(call);
    assert_ok(cis_component_begin(c, "add", "func(u32) -> result<u64, string>", &call, err));
    cis_wit_set_u32(cis_wit_param(call, 0), 9);
    assert_ok(cis_wit_perform(call, err));
    assert_true(cis_wit_is_ok(cis_wit_result(call)));
    assert_int_equal(cis_wit_uint(cis_wit_inner(cis_wit_result(call))), 9);
    cis_wit_call_free(call);
    assert_ok(cis_component_begin(c, "nothing", "func()", &call, err));
    assert_ok(cis_wit_perform(call, err));
    cis_wit_call_free(call);
    cis_component_close(c);
    cis_wasi_config_free(run);
    assert_int_equal(made, dropped);
}

static void run_has_interfaces_and_data_of_its_own(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_result *result = NULL;
    int data;
    cis_wasi_config_provide(run, p->provider);
    cis_wasi_config_data(run, &data);
    cis_wasi_config_invoke(run, "add(7)");
    assert_ok(cis_wasi_run(run, p->module, &result, err));
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    assert_string_equal(cis_result_output(result, NULL), "ok(7)\n");
    assert_ptr_equal(last_data, &data);
    cis_result_free(result);
    cis_wasi_config_free(run);
    assert_int_equal(made, 1);
    assert_int_equal(dropped, 1);
}

static void handed_over_is_dropped_unless_it_is_taken(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_component *c = open_one(p, run);
    assert_eval(c, "give(3)", "3");
    assert_int_equal(dropped, 1);
    assert_int_equal(closed, 0);
    assert_eval(c, "give(9)", "9");
    assert_int_equal(dropped, 1);
    assert_int_equal(closed, 1);
    cis_component_close(c);
    cis_wasi_config_free(run);
    assert_int_equal(made, dropped + closed);
}

static void many_objects_pass_in_constant_memory(void **state)
{
    struct place *p = *state;
    cis_result *result = invoke(p, "many(100000)", NULL);
    assert_string_equal(cis_result_output(result, NULL), "200000\n");
    assert_int_equal(made, 100000);
    assert_int_equal(dropped, 100000);
    cis_result_free(result);
}

/* Of each kind one: read and built again, with a wait in between. */
static enum cis_code f_echo(void *self, cis_wit_call *call)
{
    static const char *const names[] = {"chr",  "data", "pair", "opt",  "mode", "perms",
                                        "what", "n",    "m",    "list", "more"};
    const cis_wit *in = cis_wit_arg(call, 0), *what = cis_wit_field(in, "what");
    cis_wit *out = cis_wit_result(call), *to;
    uint8_t data[16];
    uint64_t left = 0;
    size_t len, n = 0;
    (void)self;
    cis_wit_block(call);
    assert_int_equal(cis_wit_unblock(call), CIS_E_OK);
    assert_true(cis_wit_alive(call, &left));
    assert_true(left > 0);
    assert_null(cis_wit_arg(call, 1));
    assert_null(cis_wit_field(in, "other"));
    assert_null(cis_wit_at(in, 11));
    assert_null(cis_wit_object(call, NULL));
    cis_wit_set_record(call, out, names, 11);
    cis_wit_set_char(call, cis_wit_item(call, out, 0),
                     (uint32_t)cis_wit_uint(cis_wit_field(in, "chr")));
    len = cis_wit_len(cis_wit_field(in, "data"));
    assert_true(len <= sizeof data);
    cis_wit_bytes(cis_wit_field(in, "data"), data);
    cis_wit_set_bytes(call, cis_wit_item(call, out, 1), data, len);
    to = cis_wit_item(call, out, 2);
    cis_wit_set_tuple(call, to, 2);
    cis_wit_set_s8(cis_wit_item(call, to, 0),
                   (int8_t)cis_wit_int(cis_wit_at(cis_wit_field(in, "pair"), 0)));
    cis_wit_set_f32(cis_wit_item(call, to, 1),
                    (float)cis_wit_float(cis_wit_at(cis_wit_field(in, "pair"), 1)));
    to = cis_wit_item(call, out, 3);
    if (cis_wit_inner(cis_wit_field(in, "opt")) == NULL) {
        cis_wit_set_none(to);
    } else {
        cis_wit_set_bool(cis_wit_set_some(to),
                         cis_wit_uint(cis_wit_inner(cis_wit_field(in, "opt"))) != 0);
    }
    cis_wit_set_enum(call, cis_wit_item(call, out, 4),
                     cis_wit_is(cis_wit_field(in, "mode"), "slow") ? "slow" : "fast");
    const char *perms[2];
    for (size_t i = 0; i < 2; i++) {
        if (cis_wit_has_flag(cis_wit_field(in, "perms"), i == 0 ? "r" : "w")) {
            perms[n++] = i == 0 ? "r" : "w";
        }
    }
    cis_wit_set_flags(call, cis_wit_item(call, out, 5), perms, n);
    if (cis_wit_is(what, "text")) {
        const char *text = cis_wit_text(cis_wit_inner(what), &len);
        cis_wit_set_text(call, cis_wit_set_case(call, cis_wit_item(call, out, 6), "text", true),
                         text, len);
    } else {
        cis_wit_set_case(call, cis_wit_item(call, out, 6), "nothing", false);
    }
    cis_wit_set_s16(cis_wit_item(call, out, 7), (int16_t)cis_wit_int(cis_wit_field(in, "n")));
    cis_wit_set_u16(cis_wit_item(call, out, 8), (uint16_t)cis_wit_uint(cis_wit_field(in, "m")));
    to = cis_wit_item(call, out, 9);
    n = cis_wit_len(cis_wit_field(in, "list"));
    cis_wit_set_list(call, to, n);
    for (size_t i = 0; i < n; i++) {
        cis_wit_set_f64(cis_wit_item(call, to, i),
                        cis_wit_float(cis_wit_at(cis_wit_field(in, "list"), i)));
    }
    assert_null(cis_wit_item(call, to, n));
    assert_null(cis_wit_item(call, NULL, 0));
    cis_wit_set_u64(cis_wit_item(call, out, 10), cis_wit_uint(cis_wit_field(in, "more")));
    return CIS_E_OK;
}

#define EVERY                                                                                      \
    "record{chr: char, data: list<u8>, pair: tuple<s8, f32>, opt: option<bool>, "                  \
    "mode: enum{fast, slow}, perms: flags{r, w}, what: variant{nothing, text(string)}, n: s16, "   \
    "m: u16, list: list<f64>, more: u64}"

static const char ECHO_GUEST[] =
    "(component"
    " (import \"acme:shop/echo@1.0.0\" (instance $x"
    "  (type $m_ (enum \"fast\" \"slow\")) (export \"mode\" (type $m (eq $m_)))"
    "  (type $p_ (flags \"r\" \"w\")) (export \"perms\" (type $p (eq $p_)))"
    "  (type $w_ (variant (case \"nothing\") (case \"text\" string)))"
    "  (export \"what\" (type $w (eq $w_)))"
    "  (type $e_ (record (field \"chr\" char) (field \"data\" (list u8))"
    "   (field \"pair\" (tuple s8 f32)) (field \"opt\" (option bool)) (field \"mode\" $m)"
    "   (field \"perms\" $p) (field \"what\" $w) (field \"n\" s16) (field \"m\" u16)"
    "   (field \"list\" (list f64)) (field \"more\" u64)))"
    "  (export \"every\" (type $e (eq $e_)))"
    "  (export \"echo\" (func (param \"x\" $e) (result $e)))))"
    " (core module $libc (memory (export \"memory\") 1) (global $at (mut i32) (i32.const 4096))"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local $p i32)"
    "   (local.set $p (i32.and (i32.add (global.get $at) (i32.const 7)) (i32.const -8)))"
    "   (global.set $at (i32.add (local.get $p) (local.get 3)))"
    "   (local.get $p)))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $mem))"
    " (alias core export $libc \"realloc\" (core func $realloc))"
    " (alias export $x \"every\" (type $e_t)) (alias export $x \"echo\" (func $echo))"
    " (core func $echo_c (canon lower (func $echo) (memory $mem) (realloc $realloc)))"
    " (core module $m (import \"x\" \"echo\" (func $echo (param i32 i32)))"
    "  (import \"x\" \"memory\" (memory 1))"
    "  (func (export \"echo\") (param i32) (result i32)"
    "   (call $echo (local.get 0) (i32.const 1024)) (i32.const 1024)))"
    " (core instance $run (instantiate $m (with \"x\" (instance"
    "  (export \"echo\" (func $echo_c)) (export \"memory\" (memory $mem))))))"
    " (export $e_x \"every\" (type $e_t))"
    " (func (export \"echo\") (param \"x\" $e_x) (result $e_x)"
    "  (canon lift (core func $run \"echo\") (memory $mem) (realloc $realloc))))";

static cis_provider *echo_provider(void)
{
    cis_provider *p = NULL;
    assert_ok(cis_provider_new(&p, err));
    cis_provider_interface(p, "acme:shop/echo@1.0.0");
    cis_provider_function(p, "echo", "func(x: " EVERY ") -> " EVERY, f_echo, NULL);
    return p;
}

static void every_kind_of_value_goes_both_ways(void **state)
{
    struct place *p = *state;
    cis_provider *provider = echo_provider();
    cis_module *module = NULL;
    cis_component *c = NULL;
    cis_wasi_config *run = run_new(p);
    static const char *const texts[] = {
        "{chr: 'x', data: [1, 255], pair: (-5, 0.5), opt: some(true), mode: slow, perms: {r, w}, "
        "what: text(\"t\"), n: -32768, m: 65535, list: [1.25, -2], more: 18446744073709551615}",
        "{chr: 'y', data: [], pair: (127, -1), mode: fast, perms: {}, what: nothing, n: 0, m: 0, "
        "list: [], more: 0}"};
    assert_ok(cis_module_load(p->runtime, ECHO_GUEST, sizeof ECHO_GUEST - 1, "echo", &module, err));
    cis_wasi_config_provide(run, provider);
    cis_wasi_config_provide(run, p->provider); /* two at once */
    assert_ok(cis_component_open(run, module, &c, err));
    for (size_t i = 0; i < 2; i++) {
        char call[512];
        snprintf(call, sizeof call, "echo(%s)", texts[i]);
        assert_eval(c, call, texts[i]);
    }
    cis_component_close(c);
    cis_wasi_config_free(run);
    cis_module_unref(module);
    cis_provider_free(provider);
}

/* ---- however a run ends ---- */

static void objects_are_dropped_once_when_the_run_is_over(void **state)
{
    struct place *p = *state;
    cis_result *result = invoke(p, "leave(100)", NULL);
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    cis_result_free(result);
    assert_int_equal(made, 100);
    assert_int_equal(dropped, 100);
}

static void objects_are_dropped_once_when_the_guest_traps(void **state)
{
    struct place *p = *state;
    cis_result *result = invoke(p, "leave(7)", NULL);
    assert_int_equal(cis_result_code(result), CIS_E_TRAP);
    cis_result_free(result);
    assert_int_equal(made, 7);
    assert_int_equal(dropped, 7);
}

static void *fire(void *cancel)
{
    while (made < 8) {
        usleep(1000);
    }
    cis_cancel_fire(cancel);
    return NULL;
}

static void objects_are_dropped_once_when_the_run_is_cancelled(void **state)
{
    struct place *p = *state;
    cis_cancel *cancel = NULL;
    pthread_t thread;
    assert_ok(cis_cancel_new(&cancel, err));
    assert_int_equal(pthread_create(&thread, NULL, fire, cancel), 0);
    cis_result *result = invoke(p, "leave(8)", cancel);
    pthread_join(thread, NULL);
    assert_int_equal(cis_result_code(result), CIS_E_CANCELLED);
    cis_result_free(result);
    cis_cancel_unref(cancel);
    assert_int_equal(made, 8);
    assert_int_equal(dropped, 8);
}

static void error_of_a_function_ends_the_run_with_its_message(void **state)
{
    struct place *p = *state;
    cis_result *result = invoke(p, "add(13)", NULL);
    assert_int_equal(cis_result_code(result), CIS_E_PROVIDER);
    assert_non_null(strstr(cis_result_message(result), "[method]order.add: thirteen is not sold"));
    cis_result_free(result);
    assert_int_equal(made, dropped);
}

static void handles_are_capped(void **state)
{
    struct place *p = *state;
    cis_result *result = invoke(p, "leave(2000000)", NULL);
    assert_int_not_equal(cis_result_code(result), CIS_E_OK);
    cis_result_free(result);
    assert_true(made <= 100000 + 64 + 1);
    assert_int_equal(made, dropped);
}

/* A component that forgets pollables meets the number that its embedder named. */
static const char FORGETFUL[] =
    "(component"
    " (import \"wasi:io/poll@0.2.0\" (instance $poll (export \"pollable\" (type (sub resource)))))"
    " (alias export $poll \"pollable\" (type $p))"
    " (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $mono"
    "  (alias outer 1 $p (type $outer)) (export \"pollable\" (type $pp (eq $outer)))"
    "  (export \"subscribe-duration\" (func (param \"when\" u64) (result (own $pp))))))"
    " (alias export $mono \"subscribe-duration\" (func $make))"
    " (core func $lowered (canon lower (func $make)))"
    " (core module $m (import \"x\" \"make\" (func $make (param i64) (result i32)))"
    "  (func (export \"fill\") (param $n i32) (result i32) (loop $more"
    "   (drop (call $make (i64.const 1000000000000)))"
    "   (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 5)))"
    " (core instance $i (instantiate $m (with \"x\" (instance (export \"make\" (func $lowered))))))"
    " (func (export \"fill\") (param \"n\" u32) (result u32) (canon lift (core func $i "
    "\"fill\"))))";

static void handles_are_as_many_as_the_embedder_says(void **state)
{
    struct place *p = *state;
    static const struct {
        uint32_t max;
        const char *call;
        cis_code code; /* CIS_E_USAGE: the run does not start */
    } rows[] = {{100, "fill(100)", CIS_OK},
                {100, "fill(101)", CIS_E_LIMIT},
                {0, "fill(5000)", CIS_OK},
                {15, "fill(1)", CIS_E_USAGE},
                {100001, "fill(1)", CIS_E_USAGE}};
    cis_module *m = NULL;
    assert_ok(cis_module_load(p->runtime, FORGETFUL, sizeof FORGETFUL - 1, "forgetful", &m, err));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cis_wasi_config *run = run_new(p);
        cis_result *result = NULL;
        cis_wasi_config_handles(run, rows[i].max);
        cis_wasi_config_invoke(run, rows[i].call);
        if (rows[i].code == CIS_E_USAGE) {
            assert_fails(CIS_E_USAGE, "handles", cis_wasi_run(run, m, &result, err));
            cis_wasi_config_free(run);
            continue;
        }
        assert_ok(cis_wasi_run(run, m, &result, err));
        assert_int_equal(cis_result_code(result), rows[i].code);
        if (rows[i].code != CIS_OK) {
            assert_non_null(
                strstr(cis_result_message(result), "limit \"handles\" reached: 101 of 100"));
        }
        cis_result_free(result);
        cis_wasi_config_free(run);
    }
    cis_module_unref(m);
}

/* ---- threads ---- */

static void *work(void *arg)
{
    struct place *p = arg;
    for (int i = 0; i < 5; i++) {
        cis_result *result = invoke(p, "many(200)", NULL);
        assert_string_equal(cis_result_output(result, NULL), "400\n");
        cis_result_free(result);
    }
    return NULL;
}

static void runs_of_many_threads_share_a_provider(void **state)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, *state), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(made, 4000);
    assert_int_equal(dropped, 4000);
}

static void provider_that_was_freed_lives_as_long_as_it_is_used(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 10; i++) {
        cis_provider_free(p->provider);
        p->provider = provider_new(f_hello);
        cis_wasi_config *run = run_new(p);
        cis_component *c = open_one(p, run);
        cis_provider_free(p->provider);
        assert_eval(c, "give(1)", "1");
        cis_component_close(c);
        cis_wasi_config_free(run);
        p->provider = provider_new(f_hello);
    }
}

/* ---- refusals ---- */

static void missing_interface_is_named(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_component *c = NULL;
    assert_fails(CIS_E_IMPORT, "acme:shop/orders@1.1.3.order, which nothing provides",
                 cis_component_open(run, p->module, &c, err));
    cis_wasi_config_free(run);
}

static void other_types_and_versions_are_refused(void **state)
{
    struct place *p = *state;
    static const char *const interfaces[] = {"acme:shop/orders@2.0.0", "acme:shop/orders@0.1.0",
                                             "acme:shop/order@1.2.0"};
    for (size_t i = 0; i < 4; i++) {
        cis_provider *other = NULL;
        cis_component *c = NULL;
        cis_wasi_config *run = run_new(p);
        assert_ok(cis_provider_new(&other, err));
        cis_provider_interface(other, i < 3 ? interfaces[i] : ORDERS);
        cis_provider_resource(other, "order", NULL, NULL);
        cis_provider_function(other, "[constructor]order", "func() -> own<order>", f_new, NULL);
        cis_provider_function(other, "[method]order.add",
                              "func(borrow<order>, u64) -> result<u64, string>", f_add, NULL);
        cis_provider_function(other, "close", "func(own<order>) -> u32", f_close, NULL);
        cis_provider_function(other, "hello", "func(string) -> string", f_hello, "");
        cis_wasi_config_provide(run, other);
        assert_fails(CIS_E_IMPORT, i < 3 ? "@1.1.3" : "order.add with another type",
                     cis_component_open(run, p->module, &c, err));
        cis_wasi_config_free(run);
        cis_provider_free(other);
    }
}

static void clashes_are_refused(void **state)
{
    struct place *p = *state;
    cis_provider *other = provider_new(f_hello);
    cis_result *result = NULL;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_provide(run, p->provider);
    cis_wasi_config_provide(run, other);
    assert_fails(CIS_E_EXISTS, "orders@1.2.0.[constructor]order: is provided already",
                 cis_wasi_run(run, p->module, &result, err));
    cis_wasi_config_free(run);
    cis_provider_free(other);
    assert_ok(cis_provider_new(&other, err));
    cis_provider_interface(other, "wasi:clocks/monotonic-clock@0.2.3");
    cis_provider_function(other, "now", "func() -> u64", f_hello, NULL);
    run = run_new(p);
    cis_wasi_config_provide(run, other);
    assert_fails(CIS_E_EXISTS, "wasi:clocks/monotonic-clock@0.2.3.now",
                 cis_wasi_run(run, p->module, &result, err));
    cis_wasi_config_free(run);
    cis_provider_free(other);
}

static void step_that_cannot_be_done_is_the_error_of_the_run(void **state)
{
    struct place *p = *state;
    static const char *const types[] = {"",          "string",         "func",         "func(u32",
                                        "func(u32}", "func() -> u32)", "func(\xff) ->"};
    for (size_t i = 0; i < sizeof types / sizeof *types + 2; i++) {
        cis_provider *bad = NULL;
        cis_result *result = NULL;
        cis_wasi_config *run = run_new(p);
        assert_ok(cis_provider_new(&bad, err));
        if (i != 0) {
            cis_provider_interface(bad, i == 1 ? "orders" : ORDERS);
        }
        cis_provider_function(bad, "f", i < 2 ? "func()" : types[i - 2], f_hello, NULL);
        cis_wasi_config_provide(run, bad);
        assert_fails(CIS_E_USAGE, i == 0 ? "f: call cis_provider_interface first" : "\"",
                     cis_wasi_run(run, p->module, &result, err));
        cis_wasi_config_free(run);
        cis_provider_free(bad);
    }
}

static void mistakes_of_a_function_end_the_run_and_not_the_process(void **state)
{
    struct place *p = *state;
    cis_wit_fn *const bad[] = {f_wrong, f_not_text};
    for (size_t i = 0; i < 2; i++) {
        cis_provider_free(p->provider);
        p->provider = provider_new(bad[i]);
        cis_result *result = invoke(p, "greet(\"x\")", NULL);
        assert_int_not_equal(cis_result_code(result), CIS_E_OK);
        assert_true(cis_result_message(result)[0] != 0);
        cis_result_free(result);
    }
}

static void wrong_calls_are_refused_and_say_why(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_component *c = open_one(p, run);
    cis_wit_call *call = NULL, *second = NULL;
    char *text = NULL;
    assert_fails(CIS_E_USAGE, "add", cis_component_eval(c, "add(\"x\")", &text, err));
    assert_fails(CIS_E_ENTRY, "sub", cis_component_eval(c, "sub(1)", &text, err));
    assert_fails(CIS_E_USAGE, "is not the type", cis_component_begin(c, "add", "u32", &call, err));
    assert_fails(CIS_E_UNSUPPORTED, "resources",
                 cis_component_begin(c, "add", "func(own<order>)", &call, err));
    assert_ok(cis_component_begin(c, "add", "func(u32) -> u32", &call, err));
    assert_fails(CIS_E_USAGE, "another call",
                 cis_component_begin(c, "add", "func()", &second, err));
    assert_null(cis_wit_param(call, 1));
    assert_fails(CIS_E_ENTRY, "of type func(u32) -> u32", cis_wit_perform(call, err));
    assert_fails(CIS_E_USAGE, "once", cis_wit_perform(call, err));
    cis_wit_call_free(call);
    assert_ok(cis_component_begin(c, "greet", "func(string) -> string", &call, err));
    cis_wit_set_text(call, cis_wit_param(call, 0), "\xff", 1);
    assert_fails(CIS_E_INVALID, "UTF-8", cis_wit_perform(call, err));
    cis_wit_call_free(call);
    assert_eval(c, "greet(\"still\")", "\"hello still\"");
    cis_component_close(c);
    cis_wasi_config_free(run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(functions_in_c_are_called_with_values_and_text),
        TEST(runs_with_interfaces_in_c_are_played_without_them),
        TEST(what_stood_in_for_a_package_is_played_too),
        TEST(instance_that_is_kept_is_not_recorded),
        TEST(run_has_interfaces_and_data_of_its_own),
        TEST(handed_over_is_dropped_unless_it_is_taken),
        TEST(many_objects_pass_in_constant_memory),
        TEST(every_kind_of_value_goes_both_ways),
        TEST(objects_are_dropped_once_when_the_run_is_over),
        TEST(objects_are_dropped_once_when_the_guest_traps),
        TEST(objects_are_dropped_once_when_the_run_is_cancelled),
        TEST(error_of_a_function_ends_the_run_with_its_message),
        TEST(handles_are_capped),
        TEST(handles_are_as_many_as_the_embedder_says),
        TEST(runs_of_many_threads_share_a_provider),
        TEST(provider_that_was_freed_lives_as_long_as_it_is_used),
        TEST(missing_interface_is_named),
        TEST(other_types_and_versions_are_refused),
        TEST(clashes_are_refused),
        TEST(step_that_cannot_be_done_is_the_error_of_the_run),
        TEST(mistakes_of_a_function_end_the_run_and_not_the_process),
        TEST(wrong_calls_are_refused_and_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
