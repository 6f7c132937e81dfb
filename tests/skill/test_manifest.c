/* Every key of skill.toml, its wrong types with their lines, the flat shape, settings. */
#include "harness.h"

#include <stdbool.h>
#include "base/mem.h"
#include "skill/manifest.h"

static cis_code parse(const char *toml, struct cis_manifest *m, struct cis_error *err)
{
    return cis_manifest_parse(cis_str_of(toml), "skill.toml", m, err);
}

static void grants_are(const struct cis_grants *set, const char *expected)
{
    struct cis_buf json = CIS_BUF_INIT(65536);
    cis_grants_json(set, &json);
    assert_string_equal(cis_buf_cstr(&json), expected);
    cis_buf_done(&json);
}

static void every_key_is_read(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(
        parse("[skill]\n"
              "name = \"web-reader\"\nversion = \"1.2.3-rc.1+b5\"\ndescription = \"Reads\"\n"
              "author = \"A\"\ntype = \"component\"\nentry = \"./bin/x.wasm\"\n"
              "license = \"MIT\"\nhomepage = \"https://example.com\"\nabi = \"cis-sdk\"\n"
              "[permissions]\n"
              "memory_read = true\nmemory_write = true\nai_call = true\nnetwork = false\n"
              "filesystem = \"ro\"\ncommand = false\nhttp = [\"https://api.example.com\"]\n"
              "net = [\"tcp:db.example.com:5432\"]\nenv = [\"LANG\"]\nclocks = true\n"
              "random = true\ndns = true\n"
              "[limits]\nmemory = \"64MiB\"\ntime = \"1500ms\"\nfuel = 1000000\n"
              "output = 4096\nfiles = 7\n"
              "[integrity]\nsha256 = \"ABababababababababababababababab"
              "abababababababababababababababab\"\n"
              "[exports]\nconvention = \"text\"\nentry = \"go\"\n"
              "functions = [\"go\", { name = \"add\", convention = \"numbers\" }]\n"
              "events = [\"run\"]\ncommands = [{ name = \"tidy\", description = \"Tidies\" }]\n"
              "[config.schema]\n"
              "level = { type = \"integer\", required = true, description = \"How much\" }\n"
              "mode = { type = \"string\", enum = [\"a\", \"b\"] }\n"
              "[config.defaults]\nmode = \"a\"\n"
              "[[dependencies]]\nname = \"other\"\nversion = \"^1\"\n",
              &m, err));
    assert_string_equal(m.name, "web-reader");
    assert_string_equal(m.version, "1.2.3-rc.1+b5");
    assert_string_equal(m.description, "Reads");
    assert_string_equal(m.author, "A");
    assert_int_equal(m.type, CIS_SKILL_COMPONENT);
    assert_string_equal(m.entry, "bin/x.wasm");
    assert_string_equal(m.license, "MIT");
    assert_string_equal(m.homepage, "https://example.com");
    assert_string_equal(m.abi, "cis-sdk");
    assert_false(m.asks_command);
    assert_false(m.bare);
    assert_true(cis_grants_has(&m.asked, CIS_GRANT_FS_READ));
    assert_false(cis_grants_has(&m.asked, CIS_GRANT_FS_WRITE));
    assert_false(m.asked.network);
    assert_int_equal(m.asked.nhttp, 1);
    assert_int_equal(m.asked.nnet, 1);
    assert_true(cis_grants_env(&m.asked, CIS_STR("LANG")));
    assert_true(cis_grants_has(&m.asked, CIS_GRANT_DNS));
    assert_int_equal(m.limits.memory_bytes, 64u << 20);
    assert_int_equal(m.limits.time_ns, 1500000000u);
    assert_int_equal(m.limits.fuel, 1000000);
    assert_int_equal(m.limits.output_bytes, 4096);
    assert_int_equal(m.limits.files, 7);
    assert_int_equal(m.sha256[0], 'a');
    assert_string_equal(m.method, "go");
    assert_int_equal(m.nexports, 4);
    assert_int_equal(cis_manifest_convention(&m, CIS_STR("add")), CIS_EXPORT_NUMBERS);
    assert_int_equal(cis_manifest_convention(&m, CIS_STR("go")), CIS_EXPORT_TEXT);
    bool command = false;
    for (size_t i = 0; i < m.nexports; i++) {
        command = command || (m.exports[i].kind == CIS_EXPORT_COMMAND &&
                              strcmp(m.exports[i].description, "Tidies") == 0);
    }
    assert_true(command);
    assert_true(m.has_schema);
    assert_int_equal(m.nsettings, 2);
    assert_string_equal(cis_manifest_setting_find(&m, CIS_STR("mode"))->fallback, "a");
    assert_true(cis_manifest_setting_find(&m, CIS_STR("level"))->required);
    assert_int_equal(m.ndependencies, 1);
    assert_string_equal(m.dependencies[0].version, "^1");
    assert_int_equal(m.nwarnings, 0);
    cis_manifest_done(&m);
}

static void what_is_not_given_has_a_default(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(parse("[skill]\nname = \"a\"\nversion = \"1.0.0\"\n", &m, err));
    assert_string_equal(m.entry, "skill.wasm");
    assert_int_equal(m.type, CIS_SKILL_WASM);
    assert_null(m.abi);
    assert_null(m.method);
    assert_int_equal(m.asked.bits, 0);
    assert_int_equal(m.limits.memory_bytes, 0);
    assert_false(m.has_schema);
    cis_manifest_done(&m);
}

static void the_flat_shape_is_read(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(parse("name = \"flat\"\nversion = \"0.1.0\"\ndescription = \"d\"\nauthor = \"a\"\n"
                    "skill_type = \"wasm\"\npath = \"target/x.wasm\"\n"
                    "permissions = [\"memory_read\", \"ai_call\", \"http=https://a.example\"]\n",
                    &m, err));
    assert_string_equal(m.name, "flat");
    assert_string_equal(m.entry, "target/x.wasm");
    grants_are(&m.asked, "[\"ai\",\"http=https://a.example\",\"memory=read\"]");
    assert_int_equal(m.nwarnings, 0);
    cis_manifest_done(&m);
}

static void an_unknown_key_is_a_warning_that_names_it_and_its_line(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(parse("[skill]\nname = \"a\"\nversion = \"1.0.0\"\ncolour = \"red\"\n\n"
                    "[permissions]\nroot = true\n",
                    &m, err));
    assert_int_equal(m.nwarnings, 2);
    const char *skill = m.warnings[strstr(m.warnings[0], "colour") != NULL ? 0 : 1];
    const char *permission = m.warnings[strstr(m.warnings[0], "colour") != NULL ? 1 : 0];
    assert_string_equal(skill, "skill.toml:4: skill.colour: unknown key, ignored");
    assert_string_equal(permission, "skill.toml:7: permissions.root: unknown key, ignored");
    assert_int_equal(m.asked.bits, 0);
    cis_manifest_done(&m);
}

/* Line 4 of each holds the mistake. */
#define HEAD "[skill]\nname = \"a\"\nversion = \"1.0.0\"\n"

static void a_wrong_type_or_value_is_an_error_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *toml, *message;
    } cases[] = {
        {"description = 1\n", "skill.toml:4: skill.description: must be a string, is an integer"},
        {"author = []\n", "skill.toml:4: skill.author: must be a string, is an array"},
        {"license = true\n", "skill.toml:4: skill.license: must be a string"},
        {"homepage = 1.5\n", "skill.toml:4: skill.homepage: must be a string, is a float"},
        {"abi = {}\n", "skill.toml:4: skill.abi: must be a string, is a table"},
        {"type = \"elf\"\n", "skill.toml:4: skill.type: \"elf\" is not"},
        {"type = 1\n", "skill.toml:4: skill.type: must be"},
        {"entry = \"../x.wasm\"\n", "skill.toml:4: skill.entry: "},
        {"entry = \"/x.wasm\"\n", "skill.toml:4: skill.entry: "},
        {"entry = \"\"\n", "skill.toml:4: skill.entry: "},
        {"[permissions]\nmemory_read = \"yes\"\n",
         "skill.toml:5: permissions.memory_read: must be true or false, is a string"},
        {"[permissions]\nmemory_write = 1\n", "skill.toml:5: permissions.memory_write: must"},
        {"[permissions]\nai_call = []\n", "skill.toml:5: permissions.ai_call: must"},
        {"[permissions]\nnetwork = \"true\"\n", "skill.toml:5: permissions.network: must"},
        {"[permissions]\nclocks = 0\n", "skill.toml:5: permissions.clocks: must"},
        {"[permissions]\nrandom = 0\n", "skill.toml:5: permissions.random: must"},
        {"[permissions]\ndns = 0\n", "skill.toml:5: permissions.dns: must"},
        {"[permissions]\ncommand = \"sh\"\n", "skill.toml:5: permissions.command: must"},
        {"[permissions]\nfilesystem = 7\n", "skill.toml:5: permissions.filesystem: must be \"ro\""},
        {"[permissions]\nfilesystem = \"rx\"\n", "skill.toml:5: permissions.filesystem: "},
        {"[permissions]\nhttp = \"https://a.example\"\n",
         "skill.toml:5: permissions.http: must be an array"},
        {"[permissions]\nhttp = [\n1]\n", "skill.toml:6: permissions.http.0: must be a string"},
        {"[permissions]\nhttp = [\"https://a.example/path\"]\n",
         "skill.toml:5: permissions.http.0: "},
        {"[permissions]\nnet = [\"carrier-pigeon:x:1\"]\n", "skill.toml:5: permissions.net.0: "},
        {"[permissions]\nenv = [true]\n", "skill.toml:5: permissions.env.0: must be a string"},
        {"[limits]\nmemory = true\n", "skill.toml:5: limits.memory: must be a size"},
        {"[limits]\nmemory = \"lots\"\n", "skill.toml:5: limits.memory: \"lots\" is not a size"},
        {"[limits]\nmemory = 0\n", "skill.toml:5: limits.memory: must be more than 0"},
        {"[limits]\ntime = \"soon\"\n", "skill.toml:5: limits.time: \"soon\" is not a time"},
        {"[limits]\ntime = -1\n", "skill.toml:5: limits.time: must be more than 0"},
        {"[limits]\nfuel = \"1\"\n", "skill.toml:5: limits.fuel: must be an integer"},
        {"[limits]\nfuel = -1\n", "skill.toml:5: limits.fuel: must be more than 0"},
        {"[limits]\nfiles = 1.5\n", "skill.toml:5: limits.files: must be an integer"},
        {"[limits]\noutput = []\n", "skill.toml:5: limits.output: must be a size"},
        {"[integrity]\nsha256 = \"12\"\n",
         "skill.toml:5: integrity.sha256: must be 64 hexadecimal digits"},
        {"[integrity]\nsignature = 1\n", "skill.toml:5: integrity.signature: must be a string"},
        {"[integrity]\nkey = \"zz\"\n", "skill.toml:5: integrity.key: must be 64 hex"},
        {"[exports]\nfunctions = \"f\"\n", "skill.toml:5: exports.functions: must be an array"},
        {"[exports]\nfunctions = [1]\n", "skill.toml:5: exports.functions.0: must be a name"},
        {"[exports]\nfunctions = [{}]\n", "skill.toml:5: exports.functions.0: has no name"},
        {"[exports]\nevents = [[]]\n", "skill.toml:5: exports.events.0: must be a name"},
        {"[exports]\ncommands = [{ name = 1 }]\n",
         "skill.toml:5: exports.commands.0.name: must be a string"},
        {"[exports]\nconvention = \"morse\"\n", "skill.toml:5: exports.convention: \"morse\""},
        {"[exports]\nentry = 1\n", "skill.toml:5: exports.entry: must be a string"},
        {"[config]\nschema = 1\n", "skill.toml:5: config.schema: must be a table"},
        {"[config.schema]\nk = { type = \"blob\" }\n", "skill.toml:5: config.schema.k.type: "},
        {"[config.schema]\nk = { required = 1 }\n", "skill.toml:5: config.schema.k.required: "},
        {"[config.schema]\nk = { enum = 1 }\n", "skill.toml:5: config.schema.k.enum: must be an"},
        {"[config.schema]\nk = 1\n", "skill.toml:5: config.schema.k: must be the name of a type"},
        {"[config]\ndefaults = 1\n", "skill.toml:5: config.defaults: must be a table"},
        {"[config.schema]\nk = \"integer\"\n[config.defaults]\nk = \"x\"\n",
         "skill.toml:7: config.defaults.k: "},
        {"[dependencies]\nx = \"1\"\n", "skill.toml:4: dependencies: must be an array"},
        {"[[dependencies]]\nversion = \"1\"\n", "dependencies.0: has no name"},
        {"[[dependencies]]\nname = 1\n", "skill.toml:5: dependencies.0.name: must be a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cis_buf text = CIS_BUF_INIT(65536);
        struct cis_manifest m = CIS_MANIFEST_INIT;
        cis_buf_printf(&text, "%s%s", HEAD, cases[i].toml);
        assert_fails(CIS_E_INVALID, cases[i].message, parse(cis_buf_cstr(&text), &m, err));
        assert_null(m.name);
        cis_buf_done(&text);
    }
}

static void names_and_versions_are_checked(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    static const char *const bad_names[] = {"",     "A",  "a b", "file:x", "a/b",  "../x",
                                            ".git", "-a", "a@1", "ä",      "a\\nb"};
    static const char *const bad_versions[] = {"1",      "1.0",    "1.0.0.0",    "01.0.0", "1.0.0-",
                                               "v1.0.0", "1.0.0+", "1.0.0-a..b", "1.0.0 "};
    char text[512];
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++) {
        snprintf(text, sizeof text, "[skill]\nname = \"%s\"\nversion = \"1.0.0\"\n", bad_names[i]);
        assert_fails(CIS_E_INVALID, "skill.toml:2: skill.name: ", parse(text, &m, err));
    }
    for (size_t i = 0; i < sizeof bad_versions / sizeof bad_versions[0]; i++) {
        snprintf(text, sizeof text, "[skill]\nname = \"a\"\nversion = \"%s\"\n", bad_versions[i]);
        assert_fails(CIS_E_INVALID, "skill.toml:3: skill.version: ", parse(text, &m, err));
    }
    assert_fails(CIS_E_INVALID, "skill.name is missing", parse("[skill]\n", &m, err));
    char name[300];
    memset(name, 'a', sizeof name);
    assert_true(cis_skill_name_valid((struct cis_str){name, CIS_SKILL_NAME_MAX}));
    assert_false(cis_skill_name_valid((struct cis_str){name, CIS_SKILL_NAME_MAX + 1}));
}

static void a_missing_version_is_a_warning(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(parse("[skill]\nname = \"a\"\n", &m, err));
    assert_string_equal(m.version, "0.0.0");
    assert_int_equal(m.nwarnings, 1);
    cis_manifest_done(&m);
}

static void broken_toml_names_the_line(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_fails(CIS_E_INVALID, "skill.toml:2", parse("[skill]\nname = \n", &m, err));
    assert_fails(CIS_E_INVALID, "skill.toml",
                 parse("[skill]\nname = \"a\"\nname = \"b\"\n", &m, err));
    assert_fails(CIS_E_INVALID, "skill.toml", parse("[skill]\nname = \"\xff\"\n", &m, err));
    assert_fails(CIS_E_INVALID, "skill.toml", parse("skill = 1\n", &m, err));
}

static void a_manifest_over_a_mebibyte_is_refused(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    char *big = cis_alloc(CIS_MANIFEST_MAX + 2);
    memset(big, '#', CIS_MANIFEST_MAX + 1);
    big[CIS_MANIFEST_MAX + 1] = 0;
    assert_fails(CIS_E_LIMIT, "larger than", parse(big, &m, err));
    cis_free(big);
}

static void command_is_noted_and_never_becomes_a_grant(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(parse(HEAD "[permissions]\ncommand = true\n", &m, err));
    assert_true(m.asks_command);
    assert_int_equal(m.asked.bits, 0);
    cis_manifest_done(&m);
    assert_ok(parse("name = \"a\"\nversion = \"1.0.0\"\npermissions = [\"command\"]\n", &m, err));
    assert_true(m.asks_command);
    assert_int_equal(m.asked.bits, 0);
    cis_manifest_done(&m);
}

static void a_file_cannot_call_itself_bare(void **state)
{
    (void)state;
    static const char *const tries[] = {"bare = true\n" HEAD, HEAD "bare = true\n",
                                        "bare = true\nname = \"a\"\nversion = \"1.0.0\"\n"};
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        struct cis_manifest m = CIS_MANIFEST_INIT, row = CIS_MANIFEST_INIT;
        assert_ok(parse(tries[i], &m, err));
        assert_false(m.bare);
        assert_int_equal(m.nwarnings, 1);
        assert_ok(cis_manifest_parse_row(cis_str_of(m.json), &row, err));
        assert_false(row.bare); /* nor through the registry */
        cis_manifest_done(&m);
        cis_manifest_done(&row);
    }
    struct cis_manifest bare = CIS_MANIFEST_INIT, row = CIS_MANIFEST_INIT;
    assert_ok(cis_manifest_bare(CIS_STR("b"), CIS_STR("skill.wasm"), false, &bare, err));
    assert_ok(cis_manifest_parse_row(cis_str_of(bare.json), &row, err));
    assert_true(bare.bare && row.bare);
    assert_string_equal(bare.json, row.json);
    cis_manifest_done(&bare);
    cis_manifest_done(&row);
}

static void a_manifest_is_the_same_after_the_registry(void **state)
{
    (void)state;
    struct cis_manifest a = CIS_MANIFEST_INIT, b = CIS_MANIFEST_INIT;
    assert_ok(parse(HEAD "[permissions]\nai_call = true\nhttp = [\"https://b.example\"]\n"
                         "[limits]\ntime = 2.5\n[config.defaults]\nn = 3\nlist = [1, \"x\"]\n",
                    &a, err));
    assert_ok(cis_manifest_parse_row(cis_str_of(a.json), &b, err));
    assert_string_equal(a.json, b.json);
    assert_int_equal(b.limits.time_ns, 2500000000u);
    assert_string_equal(cis_manifest_setting_find(&b, CIS_STR("n"))->fallback, "3");
    assert_string_equal(cis_manifest_setting_find(&b, CIS_STR("list"))->fallback, "[1,\"x\"]");
    cis_manifest_done(&a);
    cis_manifest_done(&b);
}

static void what_is_signed_leaves_out_the_signature_alone(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    char text[512], sig[129];
    memset(sig, 'a', 128);
    sig[128] = 0;
    snprintf(text, sizeof text, HEAD "[integrity]\nkey = \"%.64s\"\nsignature = \"%s\"\n", sig,
             sig);
    assert_ok(parse(text, &m, err));
    assert_true(m.has_signature);
    assert_non_null(strstr(m.json, "signature"));
    assert_null(strstr(m.unsigned_json, "signature"));
    assert_non_null(strstr(m.unsigned_json, "\"key\""));
    cis_manifest_done(&m);
    snprintf(text, sizeof text, HEAD "[integrity]\nsignature = \"%s\"\n", sig);
    assert_fails(CIS_E_INVALID, "skill.toml:5: integrity.signature: needs integrity.key",
                 parse(text, &m, err));
}

static void settings_are_checked_by_the_schema(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(parse(HEAD "[config.schema]\ni = \"integer\"\nn = \"number\"\nb = \"boolean\"\n"
                         "s = \"string\"\na = \"array\"\no = \"object\"\n"
                         "e = { type = \"integer\", enum = [1, 2] }\n",
                    &m, err));
    static const struct {
        const char *key, *value;
        bool ok;
    } cases[] = {
        {"i", "12", true},  {"i", "1.5", false},      {"i", "x", false},     {"i", "", false},
        {"n", "1.5", true}, {"n", "7", true},         {"n", "\"7\"", false}, {"b", "true", true},
        {"b", "1", false},  {"s", "x", true},         {"s", "", true},       {"a", "[1]", true},
        {"a", "{}", false}, {"o", "{\"a\":1}", true}, {"o", "[", false},     {"e", "2", true},
        {"e", "3", false},  {"nope", "1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cis_error err = {0};
        cis_code code = cis_manifest_setting_check(&m, cis_str_of(cases[i].key),
                                                   cis_str_of(cases[i].value), &err);
        if (code != (cases[i].ok ? CIS_OK : CIS_E_USAGE)) {
            fail_msg("%s = %s: %s", cases[i].key, cases[i].value, err.msg);
        }
    }
    cis_manifest_done(&m);
    /* Without a schema any key goes. */
    assert_ok(parse(HEAD, &m, err));
    assert_ok(cis_manifest_setting_check(&m, CIS_STR("any"), CIS_STR("thing"), err));
    assert_fails(CIS_E_USAGE, "text",
                 cis_manifest_setting_check(&m, CIS_STR("k"), (struct cis_str){"\xff", 1}, err));
    cis_manifest_done(&m);
}

static void the_outer_form_of_json_schema_is_read(void **state)
{
    (void)state;
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(parse(HEAD "[config.schema]\ntype = \"object\"\nrequired = [\"url\"]\n"
                         "[config.schema.properties]\nurl = { type = \"string\" }\n",
                    &m, err));
    assert_int_equal(m.nsettings, 1);
    assert_true(m.settings[0].required && m.settings[0].in_schema);
    cis_manifest_done(&m);
}

static void limits_meet_at_the_smaller(void **state)
{
    (void)state;
    struct cis_skill_limits a = {.memory_bytes = 10, .time_ns = 5, .files = 3};
    struct cis_skill_limits b = {.memory_bytes = 7, .time_ns = 9, .fuel = 4};
    struct cis_skill_limits both = cis_skill_limits_meet(&a, &b);
    assert_int_equal(both.memory_bytes, 7);
    assert_int_equal(both.time_ns, 5);
    assert_int_equal(both.fuel, 4);
    assert_int_equal(both.output_bytes, 0);
    assert_int_equal(both.files, 3);
}

static void paths_stay_inside(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b.c", "a b", "...", "ü/x", "a/.hidden"};
    static const char *const bad[] = {"",    "/a",   "a/",  "a//b",  "..",       "a/../b", ".",
                                      "./a", "a\\b", "a\n", "a\x7f", "\xc2\x80", "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(cis_skill_path_valid(cis_str_of(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(cis_skill_path_valid(cis_str_of(bad[i])));
    }
    assert_false(cis_skill_path_valid((struct cis_str){"a\0b", 3}));
    char deep[80] = "a";
    for (int i = 0; i < 32; i++) {
        strncat(deep, "/a", 3);
    }
    assert_false(cis_skill_path_valid(cis_str_of(deep)));
    deep[63] = 0;
    assert_true(cis_skill_path_valid(cis_str_of(deep)));
}

static void a_failing_allocation_is_an_error_and_no_leak(void **state)
{
    (void)state;
    const char *toml =
        HEAD "x = 1\n[permissions]\nai_call = true\nhttp = [\"https://a.example\"]\n"
             "[exports]\nfunctions = [\"f\"]\n[config.schema]\n"
             "k = { enum = [\"a\"], default = \"a\" }\n[[dependencies]]\nname=\"d\"\n";
    struct cis_manifest m = CIS_MANIFEST_INIT;
    bool done = false;
    for (size_t n = 0; n < 2000 && !done; n++) {
        struct cis_error err = {0};
        cis_mem_fail_after(n);
        cis_code code = parse(toml, &m, &err);
        cis_mem_fail_after(SIZE_MAX);
        if (code == CIS_OK) {
            done = true;
            cis_manifest_done(&m);
        } else if (code != CIS_E_NOMEM) {
            fail_msg("after %zu allocations: %s (%s)", n, err.msg, cis_code_name(code));
        }
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(what_is_not_given_has_a_default),
        cmocka_unit_test(the_flat_shape_is_read),
        cmocka_unit_test(an_unknown_key_is_a_warning_that_names_it_and_its_line),
        cmocka_unit_test(a_wrong_type_or_value_is_an_error_with_its_line),
        cmocka_unit_test(names_and_versions_are_checked),
        cmocka_unit_test(a_missing_version_is_a_warning),
        cmocka_unit_test(broken_toml_names_the_line),
        cmocka_unit_test(a_manifest_over_a_mebibyte_is_refused),
        cmocka_unit_test(command_is_noted_and_never_becomes_a_grant),
        cmocka_unit_test(a_file_cannot_call_itself_bare),
        cmocka_unit_test(a_manifest_is_the_same_after_the_registry),
        cmocka_unit_test(what_is_signed_leaves_out_the_signature_alone),
        cmocka_unit_test(settings_are_checked_by_the_schema),
        cmocka_unit_test(the_outer_form_of_json_schema_is_read),
        cmocka_unit_test(limits_meet_at_the_smaller),
        cmocka_unit_test(paths_stay_inside),
        cmocka_unit_test(a_failing_allocation_is_an_error_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
