/* Components, recorded and played: programs of WASI 0.2, typed skills, calls as text. */
#include "system/replay.h"

#define ALL CIS_TEST_SOURCE_DIR "/tests/guests/component_all.wat"
#define ADD                                                                                        \
    "(component (core module $m (func (export \"add\") (param i32 i32) (result i32)"               \
    " (i32.add (local.get 0) (local.get 1)))) (core instance $i (instantiate $m))"                 \
    " (func (export \"add\") (param \"a\" u32) (param \"b\" u32) (result u32)"                     \
    " (canon lift (core func $i \"add\"))))"

/* The component of a guest; valid until the next one. */
static const char *component_of(struct sys *s, const char *guest)
{
    static char made[600];
    char core[600];
    snprintf(core, sizeof core, "%s/%s.wasm", CIS_GUESTS_DIR, guest);
    snprintf(made, sizeof made, "%s/%s.component.wasm", s->home, guest);
    assert_exit(s, 0, cis(s, "component", "new", core, "-o", made));
    return made;
}

static void a_component_finds_the_same_world_again(void **state)
{
    struct sys *s = *state;
    const char *world = component_of(s, "world");
    s->input = cis_bytes_of("some\ninput\n", 11);
    assert_same(s, 0, RUN(s, "--dir", folder(s, "rw", ""), world, "/d", "0"));
    assert_contains(sys_out(s), "write 200000\npread 5000 ");
    assert_contains(sys_out(s), "entry file\n");
    struct said first = take(s, 0);
    assert_same(
        s, 0, RUN(s, "--dir", folder(s, "cow", ":cow"), "--env", "HELLO=there", world, "/d", "0"));
    assert_contains(sys_out(s), "environment there\n");
    assert_string_not_equal(sys_out(s), first.out);
    said_done(&first);
    assert_same(s, 0, RUN(s, "-w", world, "/workspace", "0"));
    assert_same(s, 1, RUN(s, world, "/nowhere", "9"));
}

static void every_end_of_a_component_is_played(void **state)
{
    struct sys *s = *state;
    const char *world = component_of(s, "world");
    s->input = cis_bytes_of("few", 3);
    assert_same(s, 134, RUN(s, world, "/d", "trap"));
    assert_contains(sys_err(s), "at its end: trap\n");
    assert_same(s, 124, RUN(s, "--time", "1s", world, "/d", "spin"));
    assert_contains(sys_err(s), "at its end: spin\n");
    assert_same(s, 125, RUN(s, "--fuel", "40000", world, "/d", "0"));
    assert_same(s, 0,
                RUN(s, "--fuel", "1000000000", "--dir", folder(s, "f", ""), world, "/d", "0"));
    assert_same(s, 0, RUN(s, "--memory", "32MiB", world, "/d", "0"));
    assert_contains(sys_out(s), "100 MiB: no\n");
}

static void what_came_through_sockets_is_played_without_a_network(void **state)
{
    struct sys *s = *state;
    static const char *const scenes[][2] = {{"tcp", "4"}, {"tcp", "6"},       {"udp", "4"},
                                            {"udp", "6"}, {"udp-peer", NULL}, {"drops", NULL}};
    const char *net = component_of(s, "net");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        assert_same(s, 0,
                    RUN(s, "--wasi", "network-error-code", "--net", "tcp:localhost:*", "--net",
                        "udp:localhost:*", "--net", "listen:localhost:*", net, scenes[i][0],
                        scenes[i][1]));
        assert_contains(sys_out(s), "ok\n");
    }
}

static void a_drop_that_trapped_traps_again(void **state)
{
    struct sys *s = *state;
    const char *net = component_of(s, "net");
    for (int i = 0; i < 8; i++) {
        char number[8];
        snprintf(number, sizeof number, "%d", i);
        assert_same(s, 134,
                    RUN(s, "--wasi", "network-error-code", "--net", "tcp:localhost:*", "--net",
                        "udp:localhost:*", "--net", "listen:localhost:*", net, "early", number));
        assert_contains(sys_err(s), "dropped, gave away or finished");
    }
}

/* Linked as they were then: what was missing is missing again. */
static void what_trapped_for_want_of_a_provider_traps_again(void **state)
{
    struct sys *s = *state;
    static const char *const imports[][2] = {{"acme:gpu/cores@1.2.0", "count"},
                                             {"wasi:sockets/network@0.2.0", "network-error-code"},
                                             {"wasi:random/random@0.2.0", "get-random-u64"}};
    for (size_t i = 0; i < 3; i++) {
        char text[1000], name[200];
        snprintf(text, sizeof text,
                 "(component (import \"%s\" (instance $i (export \"%s\" (func (result u64)))))"
                 " (core func $f (canon lower (func $i \"%s\")))"
                 " (core module $m (import \"i\" \"f\" (func $f (result i64)))"
                 "  (func (export \"f\") (result i64) (call $f)))"
                 " (core instance $g (instantiate $m (with \"i\" (instance"
                 "  (export \"f\" (func $f))))))"
                 " (func (export \"f\") (result u64) (canon lift (core func $g \"f\"))))",
                 imports[i][0], imports[i][1], imports[i][1]);
        snprintf(name, sizeof name, "called %s.%s, which nothing provides", imports[i][0],
                 imports[i][1]);
        char *wat = sys_wat(s, "missing.wat", text);
        assert_same(
            s, 134,
            RUN(s, "--trap-unknown-imports", "--without", "wasi:random", "--invoke", "f()", wat));
        assert_contains(sys_err(s), name);
        free(wat);
    }
}

static void typed_skills_are_played_without_their_services(void **state)
{
    struct sys *s = *state;
    static const char *const inputs[] = {"\"eHello\"",
                                         "\"sblue\"",
                                         "\"gk\"",
                                         "\"Sbytes\"",
                                         "\"Gk\"",
                                         "\"dk\"",
                                         "\"lwarned\"",
                                         "\"Cred\"",
                                         "\"ck\"",
                                         "\"qblue\"",
                                         "\"hhttps://example.com/\""};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        assert_same(s, 0, RECORD(s, ALL, "--input", inputs[i]));
    }
    assert_same(s, 1, RECORD(s, ALL, "--input", "\"Eno luck\""));
    assert_same(s, 5, RECORD(s, ALL, "--input", "\"T\""));
    assert_same(s, 6, RECORD(s, ALL, "--input", "\"L\"", "--fuel", "100000"));
    const char *says = component_of(s, "component_says");
    assert_same(s, 0, RECORD(s, says, "--input", "\"p\""));
    assert_same(s, 0, RECORD(s, says, "--input", "\"f\"", "--allow", "fs=rw"));
    assert_same(s, 1, RECORD(s, says, "--input", "\"x\""));
}

static void a_call_as_text_is_played_with_what_it_printed(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", ADD);
    assert_same(s, 0, RUN(s, "--invoke", "add(20, 22)", add));
    assert_string_equal(sys_out(s), "42\n");
    assert_same(s, 2, RUN(s, "--invoke", "add(20, \"x\")", add)); /* the guest was not reached */
    assert_same(s, 0, RUN(s, "--invoke", "add(1, 2)", add));
    edit(s, "i32.add", "i32.sub");
    assert_exit(s, 125, cis(s, "replay", recording_of(s)));
    assert_contains(sys_err(s), "after call 0: the guest returns another result");
    free(add);
}

static void the_first_call_of_a_component_that_differs_is_named(void **state)
{
    struct sys *s = *state;
    const char *world = component_of(s, "world");
    assert_exit(s, 0, RUN(s, "--dir", folder(s, "d", ""), world, "/d", "0"));
    edit(s, "environment %s", "ENVIRONMENT %s");
    assert_exit(s, 125, cis(s, "replay", recording_of(s)));
    assert_contains(sys_err(s), "cis replay: call ");
    assert_contains(sys_err(s), "(wasi:io/streams.[method]output-stream.");
    assert_contains(sys_err(s), " bytes here) is not the recorded one");
    assert_exit(s, 0, RECORD(s, ALL, "--input", "\"sblue\""));
    edit(s, "sblue", "sblau"); /* what the host gave it */
    assert_exit(s, 125, cis(s, "replay", recording_of(s)));
    assert_contains(sys_err(s),
                    "call 1 (cis:skill/memory.set): the arguments are not the recorded");
}

static void a_replay_of_a_component_touches_nothing(void **state)
{
    struct sys *s = *state;
    char path[4300];
    struct stat st;
    const char *world = component_of(s, "world");
    assert_exit(s, 0, RUN(s, "--dir", folder(s, "gone", ""), world, "/d", "0"));
    snprintf(path, sizeof path, "%s/gone", s->home);
    struct cis_error err;
    assert_int_equal(cis_file_remove_tree(path, &err), CIS_OK);
    assert_exit(s, 0, replay_elsewhere(s));
    assert_int_not_equal(stat(path, &st), 0);
    assert_exit(s, 0, RECORD(s, ALL, "--input", "\"sblue\""));
    assert_exit(s, 0, cis(s, "memory", "delete", "k", "--skill", "component_all"));
    assert_exit(s, 0, cis(s, "replay", recording_of(s), "--trace", "host"));
    assert_contains(sys_err(s), "host  cis:skill/memory.set(key=\"k\", value=\"blue\") = ok");
    assert_exit(s, 0, RECORD(s, ALL, "--input", "\"gk\""));
    assert_string_equal(sys_out(s), "none\n");
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_component_finds_the_same_world_again),
        T(every_end_of_a_component_is_played),
        T(what_came_through_sockets_is_played_without_a_network),
        T(a_drop_that_trapped_traps_again),
        T(what_trapped_for_want_of_a_provider_traps_again),
        T(typed_skills_are_played_without_their_services),
        T(a_call_as_text_is_played_with_what_it_printed),
        T(the_first_call_of_a_component_that_differs_is_named),
        T(a_replay_of_a_component_touches_nothing),
    };
    return cmocka_run_group_tests_name("components replayed", tests, NULL, NULL);
}
