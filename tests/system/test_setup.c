/* `cis config show` and `cis doctor`, and what the settings do; a WASI command as a skill. */
#include "system/system.h"

#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_config(struct sys *s, const char *text)
{
    char dir[4200];
    snprintf(dir, sizeof dir, "%s/config", s->home);
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    sys_file(s, "config/config.toml", text, strlen(text));
}

static void config_show_tells_each_value_and_where_it_came_from(void **state)
{
    struct sys *s = *state;
    write_config(s, "[limits]\nmemory = \"64MiB\"\n[ai]\nmodel = \"m\"\n"
                    "[cache]\ncontent = \"3MiB\"\nmodules = 7\n");
    s->env[0] = "CIS_LIMITS_TIME=5s";
    s->env[1] = "CIS_CACHE_NAMES=1000";
    assert_exit(s, 0, cis(s, "config", "show"));
    assert_contains(sys_out(s), "3MiB  (config.toml:6)");
    assert_contains(sys_out(s), "7  (config.toml:7)");
    assert_contains(sys_out(s), "1000  (environment CIS_CACHE_NAMES)");
    assert_contains(sys_out(s), "128MiB  (default)");
    s->env[1] = NULL;
    assert_contains(sys_out(s), "64MiB  (config.toml:2)");
    assert_contains(sys_out(s), "5s  (environment CIS_LIMITS_TIME)");
    assert_contains(sys_out(s), "1GiB  (default)");
    assert_exit(s, 0, cis(s, "config", "show", "--json"));
    json_t *root = json_loads(sys_out(s), 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "schema")), 1);
    bool found = false;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(root, "settings"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (strcmp(name, "limits.memory") == 0) {
            found = true;
            assert_string_equal(json_string_value(json_object_get(item, "value")), "64MiB");
            assert_string_equal(json_string_value(json_object_get(item, "origin")),
                                "config.toml:2");
        }
    }
    assert_true(found);
    json_decref(root);
}

/* docs/config.md names every setting. */
static void every_setting_is_documented(void **state)
{
    struct sys *s = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf page = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(CIS_TEST_SOURCE_DIR "/docs/config.md", &page, err));
    assert_exit(s, 0, cis(s, "config", "show", "--json"));
    json_t *all = json_loads(sys_out(s), 0, NULL);
    json_t *settings = json_object_get(all, "settings");
    assert_true(json_array_size(settings) > 30);
    for (size_t i = 0; i < json_array_size(settings); i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "`%s`",
                 json_string_value(json_object_get(json_array_get(settings, i), "name")));
        assert_contains(cis_buf_cstr(&page), quoted);
    }
    json_decref(all);
}

static void a_broken_config_is_named_with_its_line_and_nothing_runs(void **state)
{
    struct sys *s = *state;
    write_config(s, "[limits]\n\nmemory = true\n");
    assert_exit(s, 3, cis(s, "config", "show"));
    assert_contains(sys_err(s), "config.toml:3: limits.memory: expected a size");
    assert_exit(s, 3, cis(s, "cache", "list"));
    write_config(s, "[limits]\nmemroy = 1\n");
    assert_exit(s, 0, cis(s, "config", "show"));
    assert_contains(sys_err(s), "config.toml:2: unknown key limits.memroy");
    s->env[0] = "CIS_LIMITS_TIME=soon";
    assert_exit(s, 2, cis(s, "config", "show"));
    assert_contains(sys_err(s), "CIS_LIMITS_TIME");
}

static void doctor_finds_a_fresh_installation_in_order(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "doctor"));
    assert_contains(sys_out(s), "Wasmtime");
    assert_contains(sys_out(s), "sqlite 3.");
    assert_contains(sys_out(s), "vm.max_map_count");
    assert_exit(s, 0, cis(s, "doctor", "--json"));
    json_t *root = json_loads(sys_out(s), 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "schema")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "bad")), 0);
    assert_true(json_array_size(json_object_get(root, "checks")) >= 10);
    json_decref(root);
}

static void doctor_names_what_is_bad_and_ends_with_7(void **state)
{
    struct sys *s = *state;
    char dir[4200];
    snprintf(dir, sizeof dir, "%s/cache", s->home);
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    assert_int_equal(chmod(dir, 0777), 0);
    assert_exit(s, 7, cis(s, "doctor"));
    assert_contains(sys_out(s), "others may write it");
    assert_int_equal(chmod(dir, 0700), 0);
    write_config(s, "[http]\nca_file = \"/nonexistent.pem\"\n");
    assert_exit(s, 7, cis(s, "doctor"));
    assert_contains(sys_out(s), "http.ca_file");
}

static void doctor_says_when_a_folder_cannot_be_made(void **state)
{
    struct sys *s = *state;
    sys_file(s, "file", "", 0);
    char home[4200];
    snprintf(home, sizeof home, "%s/file/home", s->home); /* below a file: for root, too */
    assert_exit(s, 7, cis(s, "doctor", "--home", home));
    assert_contains(sys_out(s), "file/home/config: cannot be made");
    assert_lacks(sys_out(s), "made at first use");
}

/* A small disk of the test's own, in a mount namespace; where those are refused there is no test.
 */
static void doctor_names_a_full_disk_and_what_was_stored_stays(void **state)
{
    struct sys *s = *state;
    const char *const can[] = {
        "/usr/bin/unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", s->home, NULL};
    if (access(can[0], X_OK) != 0 || sys_exec(s, can) != 0) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    static const char script[] = "mount -t tmpfs -o size=4m tmpfs \"$CIS_HOME\" || exit 90; "
                                 "\"$0\" memory set kept v --skill s || exit 91; "
                                 "echo text > \"$CIS_HOME/docs\"; "
                                 "dd if=/dev/zero of=\"$CIS_HOME/fill\" bs=4k 2>/dev/null; "
                                 "\"$0\" memory set lost v --skill s --json; echo \"exit $?\"; "
                                 "\"$0\" fs put \"$CIS_HOME/docs\" /d 2>&1; echo \"put $?\"; "
                                 "\"$0\" memory get kept --skill s; echo; \"$0\" doctor";
    const char *const argv[] = {can[0], "-m", "sh", "-c", script, CIS_PROGRAM, NULL};
    assert_exit(s, 7, sys_exec(s, argv));
    assert_contains(sys_err(s), "the disk is full");
    assert_contains(sys_out(s), "\"code\":\"STORE\"");
    assert_contains(sys_out(s), "exit 7\n");
    /* Not the source: it can be read. */
    assert_contains(sys_out(s), "docs: cannot write the copy: No space left on device\nput ");
    assert_lacks(sys_out(s), "put 0");
    assert_contains(sys_out(s), "\nv\n");
    assert_contains(sys_out(s), "its disk is full");
}

static void a_config_that_is_no_file_is_refused_not_waited_for(void **state)
{
    struct sys *s = *state;
    char path[4200];
    snprintf(path, sizeof path, "%s/config", s->home);
    assert_ok(cis_file_mkdirs(path, 0700, err));
    snprintf(path, sizeof path, "%s/config/config.toml", s->home);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_exit(s, 3, cis(s, "runs", "list"));
    assert_contains(sys_err(s), "config.toml: not a regular file");
    assert_exit(s, 4, cis(s, "skill", "sign", s->home, "--key", path));
    assert_contains(sys_err(s), "only its owner may read");
    assert_int_equal(unlink(path), 0);
}

static void doctor_looks_for_the_ai_key_and_never_prints_it(void **state)
{
    struct sys *s = *state;
    write_config(s, "[ai]\nprovider = \"openai\"\nmodel = \"m-1\"\napi_key_env = \"MY_KEY\"\n");
    assert_exit(s, 7, cis(s, "doctor"));
    assert_contains(sys_out(s), "MY_KEY");
    s->env[0] = "MY_KEY=sk-very-secret-key";
    assert_exit(s, 0, cis(s, "doctor"));
    assert_contains(sys_out(s), "openai m-1 at https://api.openai.com/v1");
    assert_lacks(sys_out(s), "sk-very");
    assert_exit(s, 0, cis(s, "doctor", "--json"));
    assert_lacks(sys_out(s), "sk-very");
    assert_exit(s, 0, cis(s, "config", "show"));
    assert_lacks(sys_out(s), "sk-very");
    write_config(s, "[ai]\nprovider = \"command\"\ncommand = \"no-such-program-here\"\n"
                    "unsafe_command = true\n");
    assert_exit(s, 7, cis(s, "doctor"));
    assert_contains(sys_out(s), "no such program");
}

/* Copies stdin to stdout, writes "hm\n" to stderr, exits with 3 when stdin was empty. */
#define GUEST_CAT                                                                                  \
    "(module (import \"wasi_snapshot_preview1\" \"fd_read\""                                       \
    "  (func $r (param i32 i32 i32 i32) (result i32)))"                                            \
    " (import \"wasi_snapshot_preview1\" \"fd_write\""                                             \
    "  (func $w (param i32 i32 i32 i32) (result i32)))"                                            \
    " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $x (param i32)))"                     \
    " (import \"wasi_snapshot_preview1\" \"path_open\""                                            \
    "  (func $o (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"                        \
    " (memory (export \"memory\") 2) (data (i32.const 32) \"hm\\n/etc/passwd\")"                   \
    " (func (export \"_start\") (local $n i32)"                                                    \
    "  (if (i32.ne (call $o (i32.const 3) (i32.const 0) (i32.const 35) (i32.const 11)"             \
    "   (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 60))"                   \
    "   (i32.const 8)) (then unreachable))"                                                        \
    "  (i32.store (i32.const 0) (i32.const 1000)) (i32.store (i32.const 4) (i32.const 65536))"     \
    "  (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))"                  \
    "  (local.set $n (i32.load (i32.const 16)))"                                                   \
    "  (i32.store (i32.const 4) (local.get $n))"                                                   \
    "  (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))"                  \
    "  (i32.store (i32.const 0) (i32.const 32)) (i32.store (i32.const 4) (i32.const 3))"           \
    "  (drop (call $w (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))"                  \
    "  (if (i32.eq (local.get $n) (i32.const 2)) (then (call $x (i32.const 3))))))"

static void a_wasi_command_reads_its_input_and_writes_its_output(void **state)
{
    struct sys *s = *state;
    char *cat = sys_wat(s, "cat.wat", GUEST_CAT);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", cat, "--input", "{\"a\":[1,2]}"));
    assert_contains(sys_out(s), "{\"a\":[1,2]}");
    assert_contains(sys_err(s), "hm");
    assert_exit(s, 1, cis(s, "skill", "run", "--wasm", cat, "--input", "{}"));
    assert_contains(sys_err(s), "3");
    free(cat);
}

#define T(f) cmocka_unit_test_setup_teardown(f, sys_setup, sys_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(config_show_tells_each_value_and_where_it_came_from),
        T(doctor_finds_a_fresh_installation_in_order),
        T(a_wasi_command_reads_its_input_and_writes_its_output),
        T(every_setting_is_documented),
        T(a_broken_config_is_named_with_its_line_and_nothing_runs),
        T(doctor_names_what_is_bad_and_ends_with_7),
        T(doctor_says_when_a_folder_cannot_be_made),
        T(doctor_names_a_full_disk_and_what_was_stored_stays),
        T(a_config_that_is_no_file_is_refused_not_waited_for),
        T(doctor_looks_for_the_ai_key_and_never_prints_it),
    };
    return cmocka_run_group_tests_name("system_setup", tests, NULL, NULL);
}
