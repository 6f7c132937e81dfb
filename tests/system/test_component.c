/* Components as a user runs them. */
#include "system/system.h"

#define ALL CIS_TEST_SOURCE_DIR "/tests/guests/component_all.wat"

static void a_component_runs_and_its_result_is_the_output(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", ALL, "--input", "\"eHello\""));
    assert_string_equal(sys_out(s), "Hello\n");
    assert_exit(s, 1, cis(s, "skill", "run", "--wasm", ALL, "--input", "\"Eno luck\""));
    assert_contains(sys_out(s), "\"error\":\"no luck\"");
}

static void its_memory_is_kept_and_read_by_the_next_run(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", ALL, "--input", "\"sblue\"", "--json"));
    assert_contains(sys_out(s), "\"grants\":{\"used\":{\"memory_write\":1},\"refused\":{}}");
    assert_contains(sys_out(s), "\"changes\":{\"committed\":true,\"memory_set\":1");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", ALL, "--input", "\"gk\""));
    assert_string_equal(sys_out(s), "blue\n");
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "component_all"));
    assert_contains(sys_out(s), "blue");
}

static void inspect_shows_interfaces_entry_and_grants(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "inspect", ALL, "--json"));
    assert_contains(sys_out(s), "\"layer\":\"component\"");
    assert_contains(sys_out(s), "{\"name\":\"cis:skill/ai@0.1.7\",\"kind\":\"instance\"");
    assert_contains(sys_out(s), "\"exports\":[{\"name\":\"run\",\"kind\":\"func\"");
    assert_contains(sys_out(s), "\"abis\":[\"cis:skill\"],\"entry\":\"run\"");
    assert_contains(sys_out(s), "\"needs\":[\"memory_read\",\"memory_write\",\"ai\",\"http\"]");
    assert_contains(sys_out(s), "\"runs\":true");
    assert_contains(sys_out(s), "\"wit\":\"package root:component;");
    assert_exit(s, 0, cis(s, "inspect", ALL));
    assert_contains(sys_out(s), "runs: yes\n\npackage root:component;");
    assert_contains(sys_out(s), "  export run: func(input: string) -> result<string, string>;\n");
    assert_exit(s, 0, cis(s, "inspect", CIS_GUESTS_DIR "/cat.wasm", "--json"));
    assert_lacks(sys_out(s), "wit\":");
    char *wasi =
        sys_wat(s, "wasi.wat", "(component (import \"wasi:cli/stdout@0.2.3\" (instance)))");
    assert_exit(s, 0, cis(s, "inspect", wasi));
    assert_contains(sys_out(s), "  wasi:cli/stdout@0.2.3  instance");
    assert_contains(sys_out(s), "package wasi:cli@0.2.3 {\n  interface stdout");
    assert_contains(
        sys_out(s),
        "runs: no: a component is entered by its exported function run, or wasi:cli/run");
    free(wasi);
}

static void an_installed_component_runs_by_name(void **state)
{
    struct sys *s = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(1u << 20);
    char path[4200];
    assert_ok(cis_file_read(ALL, &wat, err));
    static const char manifest[] =
        "[skill]\nname = \"typed\"\nversion = \"1.0.0\"\ntype = \"component\"\n"
        "entry = \"skill.wat\"\n[permissions]\nmemory_read = true\nmemory_write = true\n";
    snprintf(path, sizeof path, "%s/typed", s->home);
    assert_ok(cis_file_mkdirs(path, 0700, err));
    sys_file(s, "typed/skill.wat", wat.ptr, wat.len);
    sys_file(s, "typed/skill.toml", manifest, sizeof manifest - 1);
    assert_exit(s, 0, cis(s, "skill", "install", path, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "typed", "--input", "\"sred\""));
    assert_exit(s, 0, cis(s, "skill", "run", "typed", "--input", "\"gk\""));
    assert_string_equal(sys_out(s), "red\n");
    assert_exit(s, 0, cis(s, "skill", "run", "typed", "--input", "\"ahow\""));
    assert_string_equal(sys_out(s), "err 0\n");
}

static void sixty_four_mebibytes_pass_through_a_component(void **state)
{
    struct sys *s = *state;
    size_t n = ((size_t)64 << 20) + 3;
    char *text = cis_alloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    memcpy(text, "\"e", 2);
    text[n - 1] = '"';
    s->input = cis_bytes_of(text, n);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", ALL, "--input", "-", "--memory", "256MiB"));
    assert_int_equal(s->last.output.len, ((size_t)64 << 20) + 1);
    assert_memory_equal(s->last.output.ptr, text + 2, (size_t)64 << 20);
    cis_free(text);
}

static void a_refused_call_is_reported_and_traced(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", ALL, "--input", "\"hhttps://example.com/\"",
                    "--trace", "host", "--json"));
    assert_contains(sys_out(s), "\"refused\":{\"http\":1}");
    assert_contains(sys_out(s), "\"result_text\":\"err 0\"");
    assert_contains(sys_err(s), "host  cis:skill/http.send(request={method: \"GET\", url: "
                                "\"https://example.com/\", headers: [(\"X-Ask\", \"yes\")], body: "
                                "none}) = err(denied)");
}

static void what_nothing_provides_is_refused_by_name(void **state)
{
    struct sys *s = *state;
    char *wasi =
        sys_wat(s, "wasi.wat", "(component (import \"wasi:cli/stdout@0.3.0\" (instance)))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", wasi));
    assert_contains(sys_err(s), "imports wasi:cli/stdout@0.3.0: needs WASI 0.3");
    char *gpu = sys_wat(s, "gpu.wat", "(component (import \"acme:gpu/cores@1.0.0\" (instance)))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", gpu));
    assert_contains(sys_err(s), "imports acme:gpu/cores@1.0.0 (instance), which nothing provides");
    free(wasi);
    free(gpu);
}

static void its_limits_and_traps_have_the_exit_codes_of_modules(void **state)
{
    struct sys *s = *state;
    assert_exit(
        s, 6,
        cis(s, "skill", "run", "--wasm", ALL, "--input", "\"L\"", "--time", "100ms", "--json"));
    assert_contains(sys_out(s), "\"limit\":\"time\",\"configured\":100");
    assert_exit(s, 6,
                cis(s, "skill", "run", "--wasm", ALL, "--input", "\"L\"", "--fuel", "100000"));
    assert_contains(sys_err(s), "fuel");
    assert_exit(
        s, 5,
        cis(s, "skill", "run", "--wasm", ALL, "--input", "\"M\"", "--memory", "64MiB", "--json"));
    assert_contains(sys_out(s), "\"limit_hit\":{\"limit\":\"memory\",\"configured\":67108864");
    assert_exit(s, 5, cis(s, "skill", "run", "--wasm", ALL, "--input", "\"T\""));
    assert_contains(sys_err(s), "0: inner_most (");
}

static void core_module_becomes_a_component_whose_interfaces_are_shown(void **state)
{
    struct sys *s = *state;
    char made[600], other[600];
    snprintf(made, sizeof made, "%s/cat.component.wasm", s->home);
    snprintf(other, sizeof other, "%s/reactor.component.wasm", s->home);
    assert_exit(s, 0, cis(s, "component", "new", CIS_GUESTS_DIR "/cat.wasm", "-o", made));
    assert_exit(s, 0, cis(s, "component", "wit", made));
    assert_contains(sys_out(s), "import wasi:io/streams@0.2");
    assert_contains(sys_out(s), "export wasi:cli/run@0.2");
    assert_exit(s, 0, cis(s, "component", "wit", made, "--json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"wit\":\"package ");
    assert_exit(s, 0, cis(s, "component", "new", CIS_GUESTS_DIR "/cat.wasm", "-o", "-"));
    assert_true(s->last.output.len > 8 && memcmp(s->last.output.ptr, "\0asm\x0d", 5) == 0);
    /* Without _start it is a reactor: nothing is exported as a command. */
    s->input = cis_bytes_of("(module (memory (export \"memory\") 1))", 37);
    assert_exit(s, 0, cis(s, "component", "new", "-", "-o", other));
    s->input = cis_bytes_of(NULL, 0);
    assert_exit(s, 0, cis(s, "component", "wit", other));
    assert_null(strstr(sys_out(s), "wasi:cli/run"));
}

static void the_adapter_says_which_version_of_wasi_is_imported(void **state)
{
    struct sys *s = *state;
    static const char *const versions[] = {"0.2.0", "0.2.3", "0.2.12"};
    char made[600], import[64];
    snprintf(made, sizeof made, "%s/cat.component.wasm", s->home);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        assert_exit(s, 0,
                    cis(s, "component", "new", CIS_GUESTS_DIR "/cat.wasm", "--adapter", versions[i],
                        "-o", made));
        assert_exit(s, 0, cis(s, "component", "wit", made));
        snprintf(import, sizeof import, "import wasi:io/streams@%s;", versions[i]);
        assert_contains(sys_out(s), import);
        s->input = cis_bytes_of("through", 7);
        assert_exit(s, 0, cis(s, "run", made));
        assert_string_equal(sys_out(s), "through");
        s->input = cis_bytes_of(NULL, 0);
    }
    assert_exit(
        s, 3,
        cis(s, "component", "new", CIS_GUESTS_DIR "/cat.wasm", "--adapter", "0.2.99", "-o", made));
    assert_contains(sys_err(s), "0.2.0, 0.2.3, 0.2.12");
}

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

static void a_command_of_wasi_is_a_skill_with_its_files(void **state)
{
    struct sys *s = *state;
    const char *notes = component_of(s, "notes");
    assert_exit(s, 0, cis(s, "inspect", notes));
    assert_contains(sys_out(s), "abis: wasi\n");
    assert_contains(sys_out(s), " (command)\n");
    assert_contains(sys_out(s), "grants needed: fs_read clocks\n");
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", notes, "--input", "\"one\"", "--allow", "fs=rw"));
    assert_string_equal(sys_out(s), "{\"lines\":1}");
    assert_exit(s, 1,
                cis(s, "skill", "run", "--wasm", notes, "--input", "\"fail\"", "--allow", "fs=rw"));
    assert_exit(s, 0, cis(s, "fs", "cat", "/log.txt"));
    assert_string_equal(sys_out(s), "\"one\"\n");
    /* Without the grant there is nothing to open. */
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", notes, "--input", "\"two\""));
    assert_contains(sys_out(s), "error");
}

static void a_typed_skill_has_wasi_beside_its_own_interfaces(void **state)
{
    struct sys *s = *state;
    const char *says = component_of(s, "component_says");
    /* What it prints is told, what it returns is the result. */
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", says, "--input", "\"p\""));
    assert_string_equal(sys_out(s), "\"answer\"\n");
    assert_contains(sys_err(s), "printed\n");
    assert_contains(sys_err(s), "complained\n");
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", says, "--input", "\"f\"", "--allow", "fs=rw"));
    assert_exit(s, 0, cis(s, "fs", "cat", "/said.txt"));
    assert_string_equal(sys_out(s), "kept\n");
    assert_exit(s, 1, cis(s, "skill", "run", "--wasm", says, "--input", "\"f\""));
    assert_contains(sys_out(s), "\"error\":\"no file\"");
    s->env[0] = "SAID=so";
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", says, "--input", "\"v\"", "--allow", "env=SAID"));
    assert_string_equal(sys_out(s), "so\n");
    assert_exit(s, 1, cis(s, "skill", "run", "--wasm", says, "--input", "\"v\""));
    s->env[0] = NULL;
    assert_exit(s, 1, cis(s, "skill", "run", "--wasm", says, "--input", "\"x\""));
    assert_contains(sys_out(s), "\"success\":false,\"code\":1"); /* all that its adapter tells */
}

static void what_is_no_component_is_refused_by_name(void **state)
{
    struct sys *s = *state;
    char made[600];
    snprintf(made, sizeof made, "%s/x.wasm", s->home);
    assert_exit(s, 3, cis(s, "component", "wit", CIS_GUESTS_DIR "/cat.wasm"));
    assert_contains(sys_err(s), "is a core module");
    assert_exit(s, 3, cis(s, "component", "new", CIS_GUESTS_DIR "/abi_sdk.wasm", "-o", made));
    assert_contains(sys_err(s), "abi_sdk.wasm: ");
    assert_exit(s, 2, cis(s, "component", "new", CIS_GUESTS_DIR "/cat.wasm"));
    assert_exit(s, 3,
                cis(s, "component", "new", CIS_GUESTS_DIR "/cat.wasm", "-o", made, "--adapter",
                    CIS_GUESTS_DIR "/notes.wasm"));
    s->input = cis_bytes_of("\0asm\x0d\0\1\0\7\xff\xff", 11);
    assert_exit(s, 3, cis(s, "component", "wit", "-"));
    s->input = cis_bytes_of(NULL, 0);
    struct cis_error err;
    struct cis_buf none = CIS_BUF_INIT(64);
    assert_int_equal(cis_file_read(made, &none, &err), CIS_E_NOTFOUND); /* nothing half made */
    cis_buf_done(&none);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_component_runs_and_its_result_is_the_output),
        T(its_memory_is_kept_and_read_by_the_next_run),
        T(inspect_shows_interfaces_entry_and_grants),
        T(an_installed_component_runs_by_name),
        T(sixty_four_mebibytes_pass_through_a_component),
        T(a_refused_call_is_reported_and_traced),
        T(what_nothing_provides_is_refused_by_name),
        T(its_limits_and_traps_have_the_exit_codes_of_modules),
        T(core_module_becomes_a_component_whose_interfaces_are_shown),
        T(the_adapter_says_which_version_of_wasi_is_imported),
        T(a_command_of_wasi_is_a_skill_with_its_files),
        T(a_typed_skill_has_wasi_beside_its_own_interfaces),
        T(what_is_no_component_is_refused_by_name),
    };
    return cmocka_run_group_tests_name("components", tests, NULL, NULL);
}
