/* `cis memory` and `cis runs`, as a user types them, on both databases. */
#include "stored.h"

#include <sys/stat.h>

static const char *const writer =
    "(module (import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    "(import \"env\" \"host_log\" (func $log (param i32 i32 i32)))"
    "(memory (export \"memory\") 1) (data (i32.const 0) \"key\") (data (i32.const 16) \"a value\")"
    "(func (export \"skill_execute\") (param i32 i32) (result i32)"
    " (call $log (i32.const 1) (i32.const 16) (i32.const 7))"
    " (drop (call $set (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 7))) (i32.const 0)))";

static void set(struct sys *s, const char *key, const char *value)
{
    assert_exit(s, 0, cis(s, "memory", "set", key, value, "--skill", "wiz"));
}

/* Its files did not change, and its memory did. */
static void the_diff_of_a_run_shows_what_it_remembered(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(s, "writer.wat", writer);
    assert_exit(
        s, 0, cis(s, "skill", "install", guest, "--name", "writer", "--allow", "memory", "--yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "writer"));
    assert_exit(s, 0, cis(s, "runs", "diff", "last"));
    assert_string_equal(sys_out(s), "A memory writer key  7\n");
    assert_exit(s, 0, cis(s, "runs", "diff", "last", "--json"));
    assert_string_equal(sys_out(s), "{\"schema\":1,\"changes\":[{\"change\":\"added\",\"memory\":"
                                    "\"writer\",\"key\":\"key\",\"size\":7,\"old_size\":0}]}\n");
    assert_exit(s, 0, cis(s, "memory", "set", "key", "other", "--skill", "writer"));
    assert_exit(s, 0, cis(s, "skill", "run", "writer"));
    assert_exit(s, 0, cis(s, "runs", "diff", "last"));
    assert_string_equal(sys_out(s), "M memory writer key  5 -> 7\n");
    assert_exit(s, 0, cis(s, "skill", "run", "writer"));
    assert_exit(s, 0, cis(s, "runs", "diff", "last")); /* the same value again is no change */
    assert_string_equal(sys_out(s), "");
    free(guest);
}

static void get_prints_exactly_the_bytes_that_were_set(void **state)
{
    struct sys *s = *state;
    static const uint8_t bytes[] = {0, 1, 0xff, '\n', 'x', 0};
    set(s, "text", "no newline");
    assert_exit(s, 0, cis(s, "memory", "get", "text", "--skill", "wiz"));
    assert_string_equal(sys_out(s), "no newline");
    s->input = cis_bytes_of(bytes, sizeof bytes);
    set(s, "binary", "-");
    s->input = (struct cis_bytes){NULL, 0};
    assert_exit(s, 0, cis(s, "memory", "get", "binary", "--skill", "wiz"));
    assert_int_equal(s->last.output.len, sizeof bytes);
    assert_memory_equal(s->last.output.ptr, bytes, sizeof bytes);
    assert_exit(s, 0, cis(s, "memory", "get", "binary", "--skill", "wiz", "--json"));
    assert_contains(sys_out(s),
                    "{\"schema\":1,\"ns\":\"file:wiz\",\"key\":\"binary\",\"base64\":\"");
}

static void a_bare_files_memory_is_found_by_its_stem(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(s, "my-guest.wat", writer);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest));
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", "my-guest"));
    assert_string_equal(sys_out(s), "a value");
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", "file:my-guest"));
    assert_exit(s, 3, cis(s, "memory", "get", "key", "--skill", "my-guest", "--tenant", "other"));
    assert_contains(sys_err(s), "no such key in the memory of my-guest");
    free(guest);
}

/* Two files that have nothing to do with each other; what was kept under the name alone goes to the
 * first. */
static void files_of_one_name_have_each_its_own_memory(void **state)
{
    struct sys *s = *state;
    char dir[4200], line[9000];
    snprintf(dir, sizeof dir, "%s/two", s->home);
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    char *one = sys_wat(s, "same.wat", writer), *two = sys_wat(s, "two/same.wat", writer);
    assert_exit(s, 0, cis(s, "memory", "set", "old", "1", "--skill", "same"));
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", one));
    assert_contains(sys_err(s), "1 keys that were kept for the name same belong to ");
    assert_exit(s, 0, cis(s, "memory", "get", "old", "--skill", "same"));
    assert_string_equal(sys_out(s), "1");
    assert_exit(s, 3, cis(s, "memory", "get", "key", "--skill", two)); /* it has not run yet */
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", two));
    assert_lacks(sys_err(s), "were kept");
    assert_exit(s, 0, cis(s, "memory", "list", "--skill", "same"));
    char *real_one = realpath(one, NULL), *real_two = realpath(two, NULL);
    snprintf(line, sizeof line, "file:%s\tkey\t", real_one);
    assert_contains(sys_out(s), line);
    snprintf(line, sizeof line, "file:%s\tkey\t", real_two);
    assert_contains(sys_out(s), line);
    assert_exit(s, 2, cis(s, "memory", "get", "key", "--skill", "same"));
    assert_contains(sys_err(s), real_one);
    assert_contains(sys_err(s), real_two);
    assert_exit(s, 2, cis(s, "memory", "set", "key", "x", "--skill", "same"));
    assert_exit(s, 0, cis(s, "memory", "set", "key", "x", "--skill", two));
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", one));
    assert_string_equal(sys_out(s), "a value");
    free(real_one);
    free(real_two);
    free(one);
    free(two);
}

static void list_pages_by_prefix_and_after(void **state)
{
    struct sys *s = *state;
    set(s, "a/1", "x");
    set(s, "a/2", "xy");
    set(s, "a/3", "xyz");
    set(s, "b", "");
    assert_exit(s, 0,
                cis(s, "memory", "list", "--skill", "wiz", "--prefix", "a/", "--after", "a/1",
                    "--limit", "1"));
    assert_contains(sys_out(s), "a/2\t2\t");
    assert_lacks(sys_out(s), "a/3");
    assert_exit(s, 0, cis(s, "memory", "list", "--json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"entries\":[{\"ns\":\"file:wiz\",\"key\":\"a/1\","
                                "\"bytes\":1,\"public\":false");
    assert_exit(s, 2, cis(s, "memory", "list", "--prefix", "a"));
    assert_exit(s, 2, cis(s, "memory", "list", "--limit", "x"));
}

static void search_finds_parts_of_words_and_shows_no_control_characters(void **state)
{
    struct sys *s = *state;
    set(s, "note", "remember the \x1b[31mmilk\nand more");
    set(s, "other", "bread");
    assert_exit(s, 0, cis(s, "memory", "search", "emembe"));
    assert_string_equal(sys_out(s), "file:wiz\tnote\tremember the ?[31mmilk and more\n");
    assert_exit(s, 0, cis(s, "memory", "search", "milk", "--json"));
    assert_contains(sys_out(s), "\"value\":\"remember the \\u001b[31mmilk\\nand more\"");
    assert_exit(s, 0, cis(s, "memory", "search", "absent"));
    assert_string_equal(sys_out(s), "");
    assert_exit(s, 0, cis(s, "memory", "search", "\" OR key:*"));
}

static void deleting_what_is_not_there_says_so(void **state)
{
    struct sys *s = *state;
    set(s, "k", "v");
    assert_exit(s, 0, cis(s, "memory", "delete", "k", "--skill", "wiz"));
    assert_exit(s, 3, cis(s, "memory", "delete", "k", "--skill", "wiz"));
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "wiz"));
    assert_exit(s, 2, cis(s, "memory", "get", "k"));
    assert_contains(sys_err(s), "--skill NAME is missing");
    assert_exit(s, 2, cis(s, "memory", "set", "k", "v", "--skill", "wiz", "--public", "--private"));
}

static void an_export_imports_into_another_tenant_or_not_at_all(void **state)
{
    struct sys *s = *state;
    char path[4200];
    struct stat st;
    set(s, "k1", "one");
    assert_exit(
        s, 0,
        cis(s, "memory", "set", "k2", "two", "--skill", "wiz", "--public", "--category", "notes"));
    snprintf(path, sizeof path, "%s/dump.jsonl", s->home);
    assert_exit(s, 0, cis(s, "memory", "export", "-o", path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_exit(s, 0, cis(s, "memory", "import", path, "--tenant", "two"));
    assert_string_equal(sys_out(s), "2 entries imported\n");
    assert_exit(s, 0, cis(s, "memory", "get", "k2", "--skill", "wiz", "--tenant", "two", "--json"));
    assert_contains(sys_out(s), "\"value\":\"two\",\"public\":true,\"category\":\"notes\"");
    assert_exit(s, 0, cis(s, "memory", "export"));
    char *text = NULL;
    assert_true(asprintf(&text, "%snot json\n", sys_out(s)) > 0);
    const char *bad = sys_file(s, "bad.jsonl", text, strlen(text));
    assert_exit(s, 3, cis(s, "memory", "import", bad, "--tenant", "three"));
    assert_contains(sys_err(s), "line 3: not JSON");
    assert_exit(s, 0, cis(s, "memory", "list", "--tenant", "three"));
    assert_string_equal(sys_out(s), "");
    free(text);
}

static void the_configured_quota_holds_for_the_command_line_too(void **state)
{
    struct sys *s = *state;
    s->env[1] = "CIS_LIMITS_MEMORY_QUOTA=10";
    assert_exit(s, 4, cis(s, "memory", "set", "key", "12345678", "--skill", "wiz"));
    assert_contains(sys_err(s), "quota");
    assert_exit(s, 0, cis(s, "memory", "set", "key", "1234567", "--skill", "wiz"));
    s->env[1] = NULL;
}

static void runs_are_listed_and_shown_by_a_prefix_of_their_id(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(s, "my-guest.wat", writer), id[27];
    assert_exit(s, 0, cis(s, "runs", "list"));
    assert_string_equal(sys_out(s), "");
    for (int i = 0; i < 2; i++) {
        assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest));
    }
    assert_exit(s, 0, cis(s, "runs", "list", "--skill", "my-guest", "--limit", "1"));
    assert_contains(sys_out(s), "  ok ");
    assert_contains(sys_out(s), "  file:my-guest\n");
    memcpy(id, sys_out(s), 26);
    id[26] = 0;
    assert_exit(s, 0, cis(s, "runs", "show", id));
    assert_contains(sys_out(s), "status           ok\n");
    assert_contains(sys_out(s), "log:\n  info  a value\n");
    id[25] = 0;
    assert_exit(s, 0, cis(s, "runs", "show", id, "--json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"id\":\"01");
    assert_contains(sys_out(s), "\"memory_set\":1");
    assert_exit(s, 2, cis(s, "runs", "show", "0"));
    assert_contains(sys_err(s), "more than one run begins so");
    assert_exit(s, 3, cis(s, "runs", "show", "7ZZZZ"));
    assert_exit(s, 0, cis(s, "runs", "list", "--json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"runs\":[{\"id\":\"01");
    assert_exit(s, 0, cis(s, "runs", "list", "--tenant", "other", "--json"));
    assert_string_equal(sys_out(s), "{\"schema\":1,\"runs\":[]}\n");
    free(guest);
}

#ifndef FS_POSTGRES
static void a_damaged_store_is_exit_7_and_names_the_file(void **state)
{
    struct sys *s = *state;
    s->env[0] = NULL; /* where it is by default */
    set(s, "k", "v");
    assert_exit(s, 0, cis(s, "memory", "list", "--skill", "wiz"));
    char wal[4300];
    const char *path = sys_file(s, "data/tenants/default.db", "no database here, not at all", 28);
    snprintf(wal, sizeof wal, "%s-wal", path);
    assert_int_equal(unlink(wal), 0);
    assert_exit(s, 7, cis(s, "memory", "get", "k", "--skill", "wiz"));
    assert_contains(sys_err(s), "default.db");
    assert_contains(sys_err(s), "cis store check");
    assert_exit(s, 7, cis(s, "runs", "list"));
    static const char *const verbs[] = {"ls", "find", "tree", "du"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        assert_exit(s, 7, cis(s, "fs", verbs[i]));
        assert_contains(sys_err(s), "default.db");
        assert_contains(sys_err(s), "cis store check");
    }
    assert_exit(s, 7, cis(s, "fs", "ls", "--json"));
    assert_lacks(sys_err(s), "cis store check"); /* a program reads the code */
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_diff_of_a_run_shows_what_it_remembered),
        TEST(get_prints_exactly_the_bytes_that_were_set),
        TEST(a_bare_files_memory_is_found_by_its_stem),
        TEST(files_of_one_name_have_each_its_own_memory),
        TEST(list_pages_by_prefix_and_after),
        TEST(search_finds_parts_of_words_and_shows_no_control_characters),
        TEST(deleting_what_is_not_there_says_so),
        TEST(an_export_imports_into_another_tenant_or_not_at_all),
        TEST(the_configured_quota_holds_for_the_command_line_too),
        TEST(runs_are_listed_and_shown_by_a_prefix_of_their_id),
#ifndef FS_POSTGRES
        TEST(a_damaged_store_is_exit_7_and_names_the_file),
#endif
    };
    return STORED_MAIN("memory and runs", tests);
}
