/* Settings: defaults, file, environment and flags over one another, and what is refused. */
#include "harness.h"

#include <sys/stat.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/internal.h"

static char *home;
static struct cis_config *config;
static struct cis_config_flags flags;

static int setup(void **state)
{
    (void)state;
    static const char *const names[] = {"CIS_HOME",       "CIS_STORE",       "CIS_LIMITS_MEMORY",
                                        "CIS_AI_MODEL",   "CIS_TENANT",      "XDG_DATA_HOME",
                                        "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "CIS_LIMITS_TIME",
                                        "DATABASE_URL",   "TARBOX_TENANT_ID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }
    home = test_dir_new();
    flags = (struct cis_config_flags){.home = home};
    config = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_config_free(config);
    assert_ok(cis_file_remove_tree(home, err));
    free(home);
    return 0;
}

static void write_file(const char *text, unsigned mode)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(home, "config");
    CIS_CLEANUP(cis_freep) char *file = cis_path_join(dir, "config.toml");
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    assert_ok(cis_file_write(file, cis_bytes_of(text, strlen(text)), mode, err));
    assert_int_equal(chmod(file, mode), 0);
}

struct wanted {
    const char *name;
    char value[256], origin[64];
};

static void look(void *self, const char *name, const char *value, const char *origin)
{
    struct wanted *w = self;
    if (strcmp(w->name, name) == 0) {
        snprintf(w->value, sizeof w->value, "%s", value);
        snprintf(w->origin, sizeof w->origin, "%s", origin);
    }
}

static void assert_setting(const char *name, const char *value, const char *origin)
{
    struct wanted w = {.name = name};
    cis_config_each(config, &w, look);
    assert_string_equal(w.value, value);
    assert_string_equal(w.origin, origin);
}

/* ---- where values come from ---- */
static void without_anything_the_defaults_hold(void **state)
{
    (void)state;
    assert_ok(cis_config_load(&flags, &config, err));
    assert_int_equal(config->memory, 128u << 20);
    assert_int_equal(config->time_ns, 30 * CIS_NS_PER_S);
    assert_int_equal(config->max_memory, 512u << 20);
    assert_int_equal(config->max_execution_time_ns, 30000 * CIS_NS_PER_MS);
    assert_true(config->enable_wasi);
    assert_string_equal(config->ai_provider, "none");
    assert_string_equal(config->signature_policy, "warn");
    assert_string_equal(config->tenant, "default");
    assert_null(config->ca_file);
    assert_true(config->ai_temperature < 0);
    assert_null(config->warnings);
    assert_setting("limits.memory", "128MiB", "default");
    assert_setting("limits.time", "30s", "default");
    assert_setting("limits.history_bytes", "2GiB", "default");
    assert_setting("config_file", config->file, "absent");
}

static void the_file_sets_values_and_their_lines_are_known(void **state)
{
    (void)state;
    write_file("# comment\n"
               "tenant = \"acme\"\n"
               "[limits]\n"
               "memory = \"64MiB\"\n"
               "time = 5\n"
               "output = 1048576\n"
               "[runtime]\n"
               "max_execution_time = 1500\n"
               "enable_wasi = false\n"
               "[engine]\n"
               "slots = 3\n"
               "[ai]\n"
               "provider = \"openai\"\n"
               "temperature = 0.5\n"
               "command_args = [\"-a\", \"b c\"]\n",
               0600);
    assert_ok(cis_config_load(&flags, &config, err));
    assert_int_equal(config->memory, 64u << 20);
    assert_int_equal(config->time_ns, 5 * CIS_NS_PER_S);
    assert_int_equal(config->output_max, 1u << 20);
    assert_int_equal(config->max_execution_time_ns, 1500 * CIS_NS_PER_MS);
    assert_false(config->enable_wasi);
    assert_int_equal(config->slots, 3);
    assert_string_equal(config->ai_command_args[1], "b c");
    assert_null(config->ai_command_args[2]);
    assert_setting("tenant", "acme", "config.toml:2");
    assert_setting("limits.memory", "64MiB", "config.toml:4");
    assert_setting("runtime.max_execution_time", "1500ms", "config.toml:8");
    assert_setting("ai.temperature", "0.5", "config.toml:14");
    assert_setting("ai.command_args", "\"-a\" \"b c\"", "config.toml:15");
    assert_setting("limits.output", "1MiB", "config.toml:6");
    assert_null(config->warnings);
}

static void the_environment_is_over_the_file_and_flags_over_both(void **state)
{
    (void)state;
    write_file("store = \"sqlite:/from/file\"\n[limits]\nmemory = \"64MiB\"\n", 0600);
    setenv("CIS_LIMITS_MEMORY", "32MiB", 1);
    setenv("CIS_AI_MODEL", "m", 1);
    setenv("CIS_TENANT", "", 1); /* empty: not set */
    assert_ok(cis_config_load(&flags, &config, err));
    assert_setting("limits.memory", "32MiB", "environment CIS_LIMITS_MEMORY");
    assert_setting("ai.model", "m", "environment CIS_AI_MODEL");
    assert_setting("tenant", "default", "default");
    assert_setting("store", "sqlite:/from/file", "config.toml:1");
    cis_config_free(config);
    setenv("CIS_STORE", "postgres://u@h/db", 1);
    assert_ok(cis_config_load(&flags, &config, err));
    assert_setting("store", "postgres://u@h/db", "environment CIS_STORE");
    cis_config_free(config);
    flags.store = "sqlite:/from/flag";
    assert_ok(cis_config_load(&flags, &config, err));
    assert_setting("store", "sqlite:/from/flag", "flag --store");
}

static void names_of_other_programs_count_where_nothing_else_does(void **state)
{
    (void)state;
    setenv("DATABASE_URL", "postgresql://u:secret@h/db", 1);
    setenv("TARBOX_TENANT_ID", "box", 1);
    assert_ok(cis_config_load(&flags, &config, err));
    assert_setting("store", "postgresql://u:***@h/db", "environment DATABASE_URL");
    assert_setting("tenant", "box", "environment TARBOX_TENANT_ID");
    assert_string_equal(config->store, "postgresql://u:secret@h/db");
    cis_config_free(config);
    setenv("DATABASE_URL", "mysql://u@h/db", 1); /* another program's */
    setenv("CIS_TENANT", "mine", 1);
    assert_ok(cis_config_load(&flags, &config, err));
    assert_setting("tenant", "mine", "environment CIS_TENANT");
    assert_non_null(strstr(config->store, "sqlite:"));
    cis_config_free(config);
    setenv("DATABASE_URL", "postgres://u@h/db", 1);
    write_file("store = \"sqlite:/from/file\"\ntenant = \"filed\"\n", 0600);
    unsetenv("CIS_TENANT");
    assert_ok(cis_config_load(&flags, &config, err));
    assert_setting("store", "sqlite:/from/file", "config.toml:1");
    assert_setting("tenant", "filed", "config.toml:2");
}

static void folders_follow_home_then_xdg(void **state)
{
    (void)state;
    char expected[4096];
    assert_ok(cis_config_load(&flags, &config, err));
    snprintf(expected, sizeof expected, "%s/data", home);
    assert_setting("data_dir", expected, "flag --home");
    snprintf(expected, sizeof expected, "sqlite:%s/data", home);
    assert_setting("store", expected, "default");
    cis_config_free(config);
    setenv("CIS_HOME", home, 1);
    assert_ok(cis_config_load(NULL, &config, err));
    snprintf(expected, sizeof expected, "%s/cache", home);
    assert_setting("cache_dir", expected, "environment CIS_HOME");
    cis_config_free(config);
    unsetenv("CIS_HOME");
    setenv("XDG_DATA_HOME", home, 1);
    setenv("XDG_CACHE_HOME", "relative", 1); /* ignored, as the standard says */
    setenv("XDG_CONFIG_HOME", home, 1);
    char *old = cis_strdup(getenv("HOME") != NULL ? getenv("HOME") : "/");
    setenv("HOME", "/home/u", 1);
    assert_ok(cis_config_load(NULL, &config, err));
    snprintf(expected, sizeof expected, "%s/cis", home);
    assert_setting("data_dir", expected, "environment XDG_DATA_HOME");
    assert_setting("cache_dir", "/home/u/.cache/cis", "default");
    snprintf(expected, sizeof expected, "%s/cis/config.toml", home);
    assert_setting("config_file", expected, "absent");
    setenv("HOME", old, 1);
    cis_free(old);
}

static void a_relative_home_becomes_absolute(void **state)
{
    (void)state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(home), 0);
    flags.home = "sub";
    cis_code code = cis_config_load(&flags, &config, NULL);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(code, CIS_OK);
    assert_int_equal(config->data_dir[0], '/');
    assert_non_null(strstr(config->data_dir, "/sub/data"));
}

/* ---- what is wrong ---- */
static void unknown_keys_and_tables_are_warnings_that_name_them(void **state)
{
    (void)state;
    write_file("colour = 1\n[limits]\nmemroy = 1\n[deep.er]\nx = 1\n", 0600);
    assert_ok(cis_config_load(&flags, &config, err));
    assert_non_null(config->warnings);
    unsigned found = 0;
    for (size_t i = 0; config->warnings[i] != NULL; i++) {
        found |= strstr(config->warnings[i], ":1: unknown key colour") != NULL ? 1u : 0;
        found |= strstr(config->warnings[i], ":3: unknown key limits.memroy") != NULL ? 2u : 0;
        found |= strstr(config->warnings[i], "unknown table deep") != NULL ? 4u : 0;
    }
    assert_int_equal(found, 7);
}

static void wrong_types_and_values_are_errors_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[limits]\nmemory = true\n", "config.toml:2: limits.memory: expected a size"},
        {"[limits]\nmemory = \"lots\"\n", "config.toml:2: limits.memory: expected a size"},
        {"[limits]\n\nmemory = -1\n", "config.toml:3: limits.memory: expected a size"},
        {"[limits]\nmemory = 1\n", "out of range (64KiB to 4GiB)"},
        {"[limits]\nmemory = \"99TiB\"\n", "out of range"},
        {"[limits]\ntime = \"30 parsecs\"\n", "limits.time: expected a time"},
        {"[limits]\ntime = 0\n", "out of range"},
        {"[limits]\nfuel = \"much\"\n", "limits.fuel: expected a whole number"},
        {"[limits]\nfuel = 1.5\n", "limits.fuel: expected a whole number"},
        {"limits = 3\n", "unknown"},
        {"tenant = 7\n", "tenant: expected a text"},
        {"tenant = \"\"\n", "tenant: expected text"},
        {"tenant = \"a\\u0000b\"\n", "tenant: expected text"},
        {"[engine]\nslots = 5000\n", "engine.slots: out of range (0 to 4096)"},
        {"[cache]\nnames = 511\n", "config.toml:2: cache.names: out of range (512 to 16777216)"},
        {"[cache]\ninodes = 0\n", "cache.inodes: out of range"},
        {"[cache]\ncontent = \"65GiB\"\n", "cache.content: out of range (1MiB to 64GiB)"},
        {"[cache]\npages = \"1KiB\"\n", "cache.pages: out of range (1MiB to 64GiB)"},
        {"[cache]\npages = \"18446744073709551616\"\n", "cache.pages: expected a size"},
        {"[cache]\nmodules = -1\n", "cache.modules: expected a whole number"},
        {"[cache]\nmodules = 65537\n", "cache.modules: out of range (1 to 65536)"},
        {"[engine]\nmemory64 = 1\n", "expected true or false"},
        {"[engine]\nmemory64 = \"true\"\n", "expected true or false"},
        {"[skills]\nsignature_policy = \"maybe\"\n", "expected one of off|warn|require"},
        {"[ai]\nprovider = \"offer\"\n", "expected one of none|"},
        {"[ai]\nprovider = \"none|openai\"\n", "expected one of none|"},
        {"[ai]\ntemperature = 3.0\n", "out of range (0 to 2)"},
        {"[ai]\ntemperature = nan\n", "ai.temperature"},
        {"[ai]\ncommand_args = [1]\n", "item 1 is not a text"},
        {"[ai]\ncommand_args = \"-a\"\n", "expected a list"},
        {"[ai]\napi_key = \"sk-secret\"\n", "a key does not belong in this file"},
        {"[limits\n", "config.toml:1"},
        {"tenant = \"a\"\ntenant = \"b\"\n", "config.toml:2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(cases[i].text, 0600);
        struct cis_error err = {0};
        cis_code code = cis_config_load(&flags, &config, &err);
        if (strcmp(cases[i].message, "unknown") == 0) {
            assert_int_equal(code, CIS_OK);
            assert_non_null(strstr(config->warnings[0], "unknown key limits"));
            cis_config_free(config);
            config = NULL;
            continue;
        }
        if (code != CIS_E_INVALID || strstr(err.msg, cases[i].message) == NULL) {
            fail_msg("%s: %s (%s)", cases[i].text, err.msg, cis_code_name(code));
        }
        assert_null(strstr(err.msg, "sk-secret"));
    }
}

static void a_bad_variable_or_flag_is_a_usage_error_that_names_it(void **state)
{
    (void)state;
    setenv("CIS_LIMITS_TIME", "soon", 1);
    assert_fails(CIS_E_USAGE, "environment CIS_LIMITS_TIME: expected a time",
                 cis_config_load(&flags, &config, err));
    unsetenv("CIS_LIMITS_TIME");
    static const char *const stores[] = {"mysql://x", "sqlite:", "", "/plain/path"};
    for (size_t i = 0; i < sizeof stores / sizeof *stores; i++) {
        flags.store = stores[i];
        assert_fails(CIS_E_USAGE, "sqlite:DIR", cis_config_load(&flags, &config, err));
    }
    flags.store = NULL;
    flags.home = "";
    assert_fails(CIS_E_USAGE, "--home", cis_config_load(&flags, &config, err));
}

static void a_file_that_anybody_may_write_is_refused(void **state)
{
    (void)state;
    write_file("tenant = \"x\"\n", 0606);
    assert_fails(CIS_E_DENIED, "anybody may write", cis_config_load(&flags, &config, err));
}

static void a_folder_that_anybody_may_write_is_refused(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(home, "config");
    write_file("tenant = \"x\"\n", 0600);
    assert_int_equal(chmod(dir, 0777), 0);
    assert_fails(CIS_E_DENIED, "config: anybody may write", cis_config_load(&flags, &config, err));
    assert_int_equal(chmod(dir, 0700), 0);
    assert_int_equal(chmod(home, 0777), 0);
    assert_fails(CIS_E_DENIED, "anybody may write", cis_config_load(&flags, &config, err));
    assert_int_equal(chmod(home, 01777), 0); /* as /tmp is: nobody replaces what is another's */
    assert_ok(cis_config_load(&flags, &config, err));
    assert_int_equal(chmod(home, 0700), 0);
}

/* Only root can give a file away, so only then is there one to refuse. */
static void what_belongs_to_another_user_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        not_tested("root", "only root can give a file away");
    }
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(home, "config");
    CIS_CLEANUP(cis_freep) char *file = cis_path_join(dir, "config.toml");
    const char *const paths[] = {file, dir, home};
    write_file("tenant = \"x\"\n", 0600);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(chown(paths[i], 12345, (gid_t)-1), 0);
        assert_fails(CIS_E_DENIED, "another user (uid 12345)",
                     cis_config_load(&flags, &config, err));
        assert_int_equal(chown(paths[i], 0, (gid_t)-1), 0);
    }
    assert_ok(cis_config_load(&flags, &config, err));
}

static void a_huge_file_is_refused(void **state)
{
    (void)state;
    size_t len = (1u << 20) + 2;
    char *text = cis_alloc(len);
    memset(text, '\n', len - 1);
    text[len - 1] = 0;
    write_file(text, 0600);
    cis_free(text);
    assert_fails(CIS_E_LIMIT, "config.toml", cis_config_load(&flags, &config, err));
}

static void no_allocation_failure_leaks_or_crashes(void **state)
{
    (void)state;
    write_file("tenant = \"acme\"\nodd = 1\n[ai]\ncommand_args = [\"a\", \"b\"]\n", 0600);
    for (size_t n = 0;; n++) {
        cis_mem_fail_after(n);
        cis_code code = cis_config_load(&flags, &config, NULL);
        cis_mem_fail_after(SIZE_MAX);
        if (code == CIS_OK) {
            break;
        }
        assert_null(config);
        assert_true(n < 2000);
    }
    assert_string_equal(config->tenant, "acme");
}

static void a_folder_of_the_xdg_form_that_others_may_write_is_refused(void **state)
{
    static const char *const names[] = {"XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"};
    (void)state;
    flags.home = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv(names[i], home, 1);
    }
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(home, "cis");
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(chmod(dir, 0777), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) { /* each of them alone */
        char other[300];
        snprintf(other, sizeof other, "%s/none", home);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            setenv(names[k], k == i ? home : other, 1);
        }
        assert_fails(CIS_E_DENIED, "cis: anybody may write", cis_config_load(&flags, &config, err));
    }
    assert_int_equal(chmod(dir, 0700), 0);
    assert_ok(cis_config_load(&flags, &config, err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }
}

/* ---- every row of settings.def ---- */
static void set_by_variable(const struct cis_setting *s, const char *value, bool right)
{
    char variable[CIS_SETTING_VARIABLE];
    cis_setting_variable(s, variable);
    setenv(variable, value, 1);
    struct cis_error err = {0};
    cis_code code = cis_config_load(&flags, &config, &err);
    if (code != (right ? CIS_OK : CIS_E_USAGE) || (!right && strstr(err.msg, variable) == NULL)) {
        fail_msg("%s=%s: %s (%s)", variable, value, err.msg, cis_code_name(code));
    }
    if (right) {
        struct wanted w = {.name = s->name};
        cis_config_each(config, &w, look);
        if (strcmp(w.value, value) != 0) {
            fail_msg("%s=%s is shown as %s", variable, value, w.value);
        }
        assert_non_null(strstr(w.origin, "environment"));
    }
    cis_config_free(config);
    config = NULL;
    unsetenv(variable);
}

static void number_by_variable(const struct cis_setting *s, uint64_t value, bool right)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(64);
    cis_setting_number(s, value, &text);
    set_by_variable(s, cis_buf_cstr(&text), right);
}

static void every_number_takes_its_bounds_and_refuses_what_is_beyond(void **state)
{
    (void)state;
    unsigned tested = 0;
    for (size_t i = 0; i < cis_settings_count; i++) {
        const struct cis_setting *s = &cis_settings[i];
        bool time = s->kind == CIS_SETTING_TIME || s->kind == CIS_SETTING_MILLIS;
        bool number = s->kind == CIS_SETTING_SIZE || s->kind == CIS_SETTING_U64 ||
                      s->kind == CIS_SETTING_U32 || time;
        if (!number) {
            continue;
        }
        tested++;
        uint64_t step = time ? CIS_NS_PER_MS : 1;
        bool automatic = s->def != NULL && strcmp(s->def, "0") == 0;
        number_by_variable(s, s->min, true);
        number_by_variable(s, s->max, true);
        number_by_variable(s, s->max + step, false);
        if (s->min > step || (s->min == step && !automatic)) {
            number_by_variable(s, s->min - step, false);
        }
        if (automatic) {
            set_by_variable(s, time ? "0s" : "0", true);
        }
    }
    assert_true(tested > 20);
}

static void every_other_setting_takes_what_its_row_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < cis_settings_count; i++) {
        const struct cis_setting *s = &cis_settings[i];
        struct cis_str rest = cis_str_of(s->choices), one;
        while (s->kind == CIS_SETTING_CHOICE && rest.len != 0) {
            char text[64];
            cis_str_split(&rest, '|', &one);
            snprintf(text, sizeof text, CIS_STR_FMT, CIS_STR_ARG(one));
            set_by_variable(s, text, true);
            set_by_variable(s, "neither", false);
        }
        if (s->kind == CIS_SETTING_BOOL) {
            set_by_variable(s, "true", true);
            set_by_variable(s, "false", true);
            set_by_variable(s, "maybe", false);
        }
        if (s->kind == CIS_SETTING_TEXT && i != 0) { /* 0: store, of a form of its own */
            set_by_variable(s, "text", true);
        }
    }
}

static void every_setting_has_its_line_for_the_manual(void **state)
{
    (void)state;
    for (size_t i = 0; i < cis_settings_count; i++) {
        const struct cis_setting *s = &cis_settings[i];
        size_t n = strlen(s->help);
        bool capital = s->help[0] >= 'A' && s->help[0] <= 'Z';
        if (n < 8 || strchr(s->help, '\n') != NULL || s->help[n - 1] == '.' || capital) {
            fail_msg("%s: \"%s\" is not one line in lower case without a full stop", s->name,
                     s->help);
        }
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(s->name, cis_settings[k].name);
        }
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_anything_the_defaults_hold),
        T(the_file_sets_values_and_their_lines_are_known),
        T(the_environment_is_over_the_file_and_flags_over_both),
        T(names_of_other_programs_count_where_nothing_else_does),
        T(folders_follow_home_then_xdg),
        T(a_relative_home_becomes_absolute),
        T(unknown_keys_and_tables_are_warnings_that_name_them),
        T(wrong_types_and_values_are_errors_with_their_line),
        T(every_number_takes_its_bounds_and_refuses_what_is_beyond),
        T(every_other_setting_takes_what_its_row_names),
        T(every_setting_has_its_line_for_the_manual),
        T(a_bad_variable_or_flag_is_a_usage_error_that_names_it),
        T(a_file_that_anybody_may_write_is_refused),
        T(a_folder_that_anybody_may_write_is_refused),
        T(what_belongs_to_another_user_is_refused),
        T(a_folder_of_the_xdg_form_that_others_may_write_is_refused),
        T(a_huge_file_is_refused),
        T(no_allocation_failure_leaks_or_crashes),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
