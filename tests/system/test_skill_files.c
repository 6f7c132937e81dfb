/* Skills that are WASI programs, and their workspace: there with the grant, committed with the run,
 * absent without. On SQLite and on a private PostgreSQL server. */
#include "stored.h"

#define NOTES CIS_GUESTS_DIR "/notes.wasm"

#define RUN(s, input, ...)                                                                         \
    cis((s), "skill", "run", "--wasm", NOTES, "--input", (input), __VA_ARGS__)

static void log_is(struct sys *s, const char *text)
{
    int code = cis(s, "fs", "cat", "/log.txt");
    assert_int_equal(code == 0, text != NULL);
    if (text != NULL) {
        assert_string_equal(sys_out(s), text);
    }
}

static void command_reads_json_writes_json_and_keeps_its_files(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN(s, "\"one\"", "--allow", "fs=rw"));
    assert_string_equal(sys_out(s), "{\"lines\":1}");
    assert_exit(s, 0, RUN(s, "\"two\"", "--allow", "fs=rw"));
    assert_string_equal(sys_out(s), "{\"lines\":2}");
    log_is(s, "\"one\"\n\"two\"\n");
}

static void without_the_grant_there_is_no_workspace(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN(s, "\"one\"", "--json"));
    assert_non_null(strstr(sys_out(s), "error"));
    log_is(s, NULL);
}

static void read_grant_reads_and_does_not_write(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN(s, "\"one\"", "--allow", "fs=rw"));
    assert_exit(s, 0, RUN(s, "\"read\"", "--allow", "fs=ro"));
    assert_string_equal(sys_out(s), "{\"lines\":1}");
    assert_exit(s, 0, RUN(s, "\"two\"", "--allow", "fs=ro"));
    assert_non_null(strstr(sys_out(s), "Read-only file system"));
    log_is(s, "\"one\"\n");
}

static void failure_discards_the_files_unless_they_are_always_kept(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 1, RUN(s, "\"fail\"", "--allow", "fs=rw"));
    log_is(s, NULL);
    assert_exit(s, 1, RUN(s, "\"fail\"", "--allow", "fs=rw", "--tx", "always"));
    log_is(s, "\"fail\"\n");
    assert_exit(s, 0, RUN(s, "\"one\"", "--allow", "fs=rw", "--tx", "discard"));
    log_is(s, "\"fail\"\n");
}

static void installed_skill_gets_what_its_manifest_asked_for(void **state)
{
    struct sys *s = *state;
    char folder[600], path[700];
    struct cis_buf wasm = CIS_BUF_INIT(1u << 20);
    static const char manifest[] = "[skill]\nname = \"notes\"\nversion = \"1.0.0\"\n"
                                   "[permissions]\nfilesystem = \"rw\"\n";
    snprintf(folder, sizeof folder, "%s/notes", s->home);
    assert_ok(cis_file_mkdirs(folder, 0700, err));
    assert_ok(cis_file_read(NOTES, &wasm, err));
    snprintf(path, sizeof path, "%s/skill.wasm", folder);
    assert_ok(cis_file_write(path, cis_buf_bytes(&wasm), 0600, err));
    snprintf(path, sizeof path, "%s/skill.toml", folder);
    assert_ok(cis_file_write(path, cis_bytes_of(manifest, sizeof manifest - 1), 0600, err));
    cis_buf_done(&wasm);
    assert_exit(s, 0, cis(s, "skill", "install", folder, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "notes", "--input", "\"mine\""));
    log_is(s, "\"mine\"\n");
    assert_exit(s, 0, cis(s, "skill", "run", "notes", "--input", "\"more\"", "--deny", "fs=rw"));
    log_is(s, "\"mine\"\n");
}

static void run_of_a_skill_is_undone_with_its_files(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN(s, "\"one\"", "--allow", "fs=rw"));
    assert_exit(s, 0, RUN(s, "\"two\"", "--allow", "fs=rw"));
    assert_exit(s, 0, cis(s, "fs", "undo"));
    log_is(s, "\"one\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(command_reads_json_writes_json_and_keeps_its_files),
        TEST(without_the_grant_there_is_no_workspace),
        TEST(read_grant_reads_and_does_not_write),
        TEST(failure_discards_the_files_unless_they_are_always_kept),
        TEST(installed_skill_gets_what_its_manifest_asked_for),
        TEST(run_of_a_skill_is_undone_with_its_files),
    };
    return STORED_MAIN("skill files", tests);
}
