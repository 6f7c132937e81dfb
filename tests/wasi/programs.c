/* How programs end, what they are given, and modules of odd shapes. */
#include "base/file.h"
#include "engine/code/document.h"
#include "wasi/special.h"

#define SAYS(got, text) assert_string_equal(got, text)

/* A run without files whose outcome is looked at. */
void special_run(const char *file, const char *const *args, struct cis_host_stream *std,
                 struct suite_result *out)
{
    struct suite_how how = {.file = file, .std = std};
    for (size_t i = 0; args != NULL && args[i] != NULL; i++) {
        how.args[i] = args[i];
    }
    suite_run(NULL, &how, out);
}

/* wasi:cli/exit.exit, which all adapters call, takes a result: 0 or 1. */
void special_exits(const char *file, const char *const *args, int code)
{
    struct suite_result r;
    code = suite_adapter() != NULL ? code != 0 : code;
    special_run(file, args, NULL, &r);
    if (r.outcome.exit_code != code) {
        fail_msg("%s %s: exit code %d, wanted %d; %s %s", file, args != NULL ? args[0] : "",
                 r.outcome.exit_code, code, r.outcome.error.msg, r.text);
    }
    suite_done(&r);
}

/* ---- how programs end ---- */

static void the_exit_code_is_the_programs_own(void **state)
{
    (void)state;
    static const char *const ways[] = {"exit", "return", "_Exit"};
    static const int codes[] = {0, 1, 2, 42, 125, 126, 127, 128, 255};
    for (size_t w = 0; w < 3; w++) {
        for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
            char code[8];
            snprintf(code, sizeof code, "%d", codes[i]);
            special_exits("args", (const char *const[]){ways[w], code, NULL}, codes[i]);
        }
    }
}

static void what_was_printed_is_there_when_the_program_has_ended(void **state)
{
    (void)state;
    struct suite_result r;
    special_run("args", (const char *const[]){"return", "3", NULL}, NULL, &r);
    SAYS(r.text, "last words");
    suite_done(&r);
    special_run("args", (const char *const[]){"_Exit", "3", NULL}, NULL, &r);
    SAYS(r.text, ""); /* it was in the program's own buffer */
    suite_done(&r);
}

static void a_trap_is_no_exit(void **state)
{
    (void)state;
    struct suite_result r;
    special_run("args", (const char *const[]){"trap", NULL}, NULL, &r);
    assert_int_equal(r.outcome.code, CIS_E_TRAP);
    assert_false(r.outcome.exited);
    suite_done(&r);
}

/* Text of components is UTF-8; other bytes are refused, not changed. */
static void arguments_of_a_component(void)
{
    static const char *const env[] = {"A=1", "EMPTY=", "B=two words", "C=\xc3\xa9=x", NULL};
    struct suite_how how = {
        .file = "args", .args = {"", "two words", "\xc3\xa9\n", "--x=y"}, .env = env};
    struct suite_result r;
    suite_run(NULL, &how, &r);
    SAYS(r.text, "[][two words][\xc3\xa9\n][--x=y]{A=1}{EMPTY=}{B=two words}{C=\xc3\xa9=x} 5 26\n");
    suite_done(&r);
    how.args[2] = "\xff";
    suite_run(NULL, &how, &r);
    assert_int_equal(r.outcome.code, CIS_E_INVALID);
    assert_non_null(strstr(r.outcome.error.msg, "not UTF-8"));
    suite_done(&r);
}

static void arguments_and_environment_arrive_as_they_were_given(void **state)
{
    (void)state;
    if (suite_adapter() != NULL) {
        arguments_of_a_component();
        return;
    }
    static const char *const env[] = {"A=1", "EMPTY=", "B=two words", "C=\xff=x", NULL};
    struct suite_how how = {
        .file = "args", .args = {"", "two words", "\xff\n", "--x=y"}, .env = env};
    struct suite_result r;
    suite_run(NULL, &how, &r);
    SAYS(r.text, "[][two words][\xff\n][--x=y]{A=1}{EMPTY=}{B=two words}{C=\xff=x} 5 25\n");
    suite_done(&r);
}

/* ---- odd modules ---- */

static void modules_of_every_shape_run(void **state)
{
    (void)state;
    struct suite_result r;
    if (suite_adapter() == NULL) { /* adapters need the program's memory */
        special_exits("no_memory", NULL, 21 + 4 * 8);
        special_exits("hidden_memory", NULL, 21);
    }
    special_exits("start_first", NULL, 13);
    if (suite_adapter() == NULL) { /* of the older module */
        special_exits("exit_in_start", NULL, 11);
        special_exits("unused", NULL, 6);
        special_exits("raise", NULL, 134);
    }
    if (suite_adapter() != NULL) { /* a reactor is a library: functions of it are called by name */
        special_run("reactor", NULL, NULL, &r);
        assert_int_equal(r.outcome.code, CIS_E_ENTRY);
        suite_done(&r);
        return;
    }
    special_run("reactor", NULL, NULL, &r);
    assert_int_equal(r.outcome.code, CIS_OK);
    SAYS(r.text, "ok reactor\n");
    suite_done(&r);
}

/* The message of a run that could not begin, wherever it is told. */
static void refused(const char *file, const char *const *texts)
{
    struct suite_how how = {.file = file};
    struct suite_result r;
    struct cis_error err = {0};
    cis_code code = suite_try(NULL, &how, &r, &err);
    const char *msg = code != CIS_OK ? err.msg : r.outcome.error.msg;
    assert_int_equal(code != CIS_OK ? code : r.outcome.code, CIS_E_IMPORT);
    for (size_t i = 0; texts[i] != NULL; i++) {
        if (strstr(msg, texts[i]) == NULL) {
            fail_msg("%s: \"%s\" lacks \"%s\"", file, msg, texts[i]);
        }
    }
    if (code == CIS_OK) {
        suite_done(&r);
    }
}

/* No component is made of them, for the same reason. */
static void no_component_of(const char *file, const char *text)
{
    char path[512];
    struct cis_engine_module_options o = {.name = file};
    struct cis_error why = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf wasm = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf made = CIS_BUF_INIT(1u << 20);
    snprintf(path, sizeof path, "%s/wasi_%s.wasm", CIS_GUESTS_DIR, file);
    assert_ok(cis_file_read(path, &wasm, err));
    assert_int_equal(cis_component_make(cis_buf_bytes(&wasm),
                                        cis_bytes_of(suite_adapter(), strlen(suite_adapter())), &o,
                                        &made, &why),
                     CIS_E_INVALID);
    if (strstr(why.msg, text) == NULL) {
        fail_msg("%s: \"%s\" lacks \"%s\"", file, why.msg, text);
    }
}

static void imports_that_nobody_provides_are_known_by_name(void **state)
{
    (void)state;
    if (suite_adapter() != NULL) {
        no_component_of("unknown", "somebody");
        no_component_of("other_type", "fd_close");
        no_component_of("newer", "wasi_unstable");
        return;
    }
    refused("unknown",
            (const char *const[]){"wasi_snapshot_preview1.fd_telepathy (i:i)", "and 1 more", NULL});
    refused("other_type", (const char *const[]){"wasi_snapshot_preview1.fd_close (I:i)", NULL});
    refused("newer", (const char *const[]){"wasi_unstable.sock_accept", NULL});
    /* Who tells the user names each. */
    const struct cis_engine_module_info *info =
        cis_engine_module_info(suite_image("unknown", false));
    char missing[256] = "";
    for (size_t i = 0; i < info->nimports; i++) {
        if (!cis_run_provides(&info->imports[i])) {
            strncat(missing, info->imports[i].name.ptr, info->imports[i].name.len);
            strncat(missing, " ", 2);
        }
    }
    assert_string_equal(missing, "fd_telepathy something ");
    struct suite_how how = {.file = "unknown", .trap_unknown = true};
    struct suite_result r;
    suite_run(NULL, &how, &r);
    assert_int_equal(r.outcome.exit_code, 5);
    suite_done(&r);
}

#define T(f) cmocka_unit_test(f)
const struct CMUnitTest *special_programs(size_t *out_n)
{
    static const struct CMUnitTest tests[] = {
        T(the_exit_code_is_the_programs_own),
        T(what_was_printed_is_there_when_the_program_has_ended),
        T(a_trap_is_no_exit),
        T(arguments_and_environment_arrive_as_they_were_given),
        T(modules_of_every_shape_run),
        T(imports_that_nobody_provides_are_known_by_name),
    };
    *out_n = sizeof tests / sizeof *tests;
    return tests;
}
