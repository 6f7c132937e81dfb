/* What a new user gets wrong: one clear line, the right exit code, and an object with --json. */
#include "system/system.h"
#include "system/guests.h"

#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

/* --json: stdout is one error object with this code. */
static void assert_error_object(struct sys *s, const char *code)
{
    json_t *root = json_loads(sys_out(s), 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "schema")), 1);
    json_t *error = json_object_get(root, "error");
    const char *got = json_string_value(json_object_get(error, "code"));
    if (got == NULL || strcmp(got, code) != 0) {
        fail_msg("stdout is no error object of %s: %.500s", code, sys_out(s));
    }
    assert_non_null(json_string_value(json_object_get(error, "message")));
    json_decref(root);
}

static int count_lines(const char *text)
{
    int n = 0;
    for (; *text != 0; text++) {
        n += *text == '\n';
    }
    return n;
}

static void wrong_usage_is_an_object_too_with_json(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(s, 2, cis(s, "skill", "run", "--json"));
    assert_error_object(s, "USAGE");
    assert_exit(s, 2, cis(s, "skill", "run", "--no-such-option", "--json"));
    assert_error_object(s, "USAGE");
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", wat, "--time", "soon", "--json"));
    assert_error_object(s, "USAGE");
    assert_exit(s, 2, cis(s, "memory", "get", "k", "--json"));
    assert_error_object(s, "USAGE");
    assert_exit(s, 2, cis(s, "skill", "no-such-verb", "--json"));
    assert_error_object(s, "USAGE");
    assert_exit(s, 2, cis(s, "skill", "run"));
    assert_string_equal(sys_out(s), "");
    free(wat);
}

static void an_unknown_command_is_one_line_that_says_where_to_look(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 2, cis(s, "no-such-command"));
    assert_string_equal(sys_err(s), "cis: no command no-such-command (see cis help)\n");
    assert_exit(s, 2, cis(s, "skill", "no-such-verb"));
    assert_string_equal(sys_err(s), "cis: no command skill no-such-verb (see cis skill --help)\n");
    assert_exit(s, 2, cis(s, "skill"));
    assert_contains(sys_err(s), "skill install");
    assert_lacks(sys_err(s), "memory get");
    assert_exit(s, 2, cis(s, "no\x1b[31m\ncommand"));
    assert_int_equal(count_lines(sys_err(s)), 1);
    assert_lacks(sys_err(s), "\x1b");
}

/* The writer's open returns when cis has opened the other end; then cis waits for bytes that never
 * come, and the first signal must do. */
static void a_signal_ends_a_command_that_waits_for_its_input(void **state)
{
    struct sys *s = *state;
    char fifo[4200];
    snprintf(fifo, sizeof fifo, "%s/fifo", s->home);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    char input[4300];
    snprintf(input, sizeof input, "@%s", fifo);
    char *wat = sys_wat(s, "add.wat", GUEST_ADD);
    const char *const waits[][8] = {
        {CIS_PROGRAM, "skill", "run", "--json", "--wasm", fifo},
        {CIS_PROGRAM, "inspect", "--json", fifo},
        {CIS_PROGRAM, "skill", "run", "--json", "--wasm", wat, "--input", input}};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        const char *argv[16] = {"/bin/sh", "-c",
                                "fifo=$1; shift; \"$@\" & p=$!; exec 3>\"$fifo\"; kill -TERM $p; "
                                "wait $p",
                                "sh", fifo};
        for (int k = 0; k < 8 && waits[i][k] != NULL; k++) {
            argv[5 + k] = waits[i][k];
        }
        assert_exit(s, 130, sys_exec(s, argv));
        assert_error_object(s, "CANCELLED");
    }
    free(wat);
}

static void what_is_no_file_is_never_installed_nor_waited_for(void **state)
{
    struct sys *s = *state;
    static const char *const names[] = {"skill.wasm", "skill.wat", "skill.tar.gz"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char fifo[4200];
        snprintf(fifo, sizeof fifo, "%s/%s", s->home, names[i]);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        assert_exit(s, 2, cis(s, "skill", "install", fifo, "--yes", "--json"));
        assert_error_object(s, "USAGE");
        assert_contains(sys_err(s), names[i]);
    }
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", "/dev/zero", "--json"));
    assert_error_object(s, "LIMIT");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", s->home, "--json"));
    assert_error_object(s, "INVALID");
}

static void a_home_that_cannot_be_made_is_named_with_the_way_out(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "add.wat", GUEST_ADD);
    char home[4400];
    snprintf(home, sizeof home, "%s/add.wat/home", s->home); /* below a file: for root, too */
    assert_exit(s, 7, cis(s, "skill", "run", "--wasm", wat, "--home", home, "--json"));
    assert_error_object(s, "IO");
    assert_contains(sys_err(s), "CIS_HOME");
    assert_int_equal(count_lines(sys_err(s)), 1);
    free(wat);
}

static void two_processes_on_one_home_lose_nothing(void **state)
{
    struct sys *s = *state;
    const char *const argv[] = {"/bin/sh", "-c",
                                "put() { for i in 1 2 3 4 5 6 7 8; do \"$0\" memory set $1$i v "
                                "--skill s || exit 9; done; }; "
                                "put a & p=$!; put b & q=$!; wait $p && wait $q",
                                CIS_PROGRAM, NULL};
    assert_exit(s, 0, sys_exec(s, argv));
    assert_exit(s, 0, cis(s, "memory", "list", "--skill", "s"));
    assert_int_equal(count_lines(sys_out(s)), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wrong_usage_is_an_object_too_with_json, sys_setup,
                                        sys_teardown),
        cmocka_unit_test_setup_teardown(an_unknown_command_is_one_line_that_says_where_to_look,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(a_signal_ends_a_command_that_waits_for_its_input, sys_setup,
                                        sys_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_never_installed_nor_waited_for,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(a_home_that_cannot_be_made_is_named_with_the_way_out,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(two_processes_on_one_home_lose_nothing, sys_setup,
                                        sys_teardown),
    };
    return cmocka_run_group_tests_name("front door", tests, NULL, NULL);
}
