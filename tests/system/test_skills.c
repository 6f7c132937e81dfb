/* Installed skills, as a user types them: install, answers, signatures, settings, new projects. */
#include "system/system.h"

#include <pty.h>
#include <sys/wait.h>

static const char *const writer =
    "(module (import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    "(import \"env\" \"host_log\" (func $log (param i32 i32 i32)))"
    "(memory (export \"memory\") 1) (data (i32.const 0) \"key\") (data (i32.const 16) \"a value\")"
    "(func (export \"skill_execute\") (param i32 i32) (result i32)"
    " (drop (call $set (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 7))) (i32.const 0)))";
static const char *const looper = "(module (memory (export \"memory\") 1)"
                                  "(func (export \"skill_execute\") (param i32 i32) (result i32) "
                                  "(loop $l (br $l)) (i32.const 0)))";

#define MANIFEST                                                                                   \
    "[skill]\nname = \"wiz\"\nversion = \"1.0.0\"\nentry = \"wiz.wat\"\n[permissions]\n"           \
    "memory_read = true\nmemory_write = true\n"

/* HOME/work/wiz; the caller frees it. */
static char *folder(struct sys *s, const char *manifest, const char *wat)
{
    char *dir = NULL;
    assert_true(asprintf(&dir, "%s/work/wiz", s->home) > 0);
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    sys_file(s, "work/wiz/skill.toml", manifest, strlen(manifest));
    sys_file(s, "work/wiz/wiz.wat", wat, strlen(wat));
    return dir;
}

static void an_installed_skill_runs_with_what_was_granted(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s, MANIFEST, writer);
    assert_exit(s, 4, cis(s, "skill", "install", dir));
    assert_contains(sys_err(s), "wiz 1.0.0 asks for:");
    assert_contains(sys_err(s), "memory=write");
    assert_exit(s, 4, cis(s, "skill", "install", dir, "--json"));
    assert_contains(sys_out(s), "\"schema\":1");
    assert_contains(sys_out(s), "\"memory=write\"");
    assert_exit(s, 3, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", "wiz"));
    assert_string_equal(sys_out(s), "a value");
    assert_exit(s, 0, cis(s, "skill", "list"));
    assert_contains(sys_out(s), "wiz");
    assert_exit(s, 0, cis(s, "skill", "info", "wiz"));
    assert_contains(sys_out(s), "may          memory\n");
    assert_exit(s, 0, cis(s, "skill", "verify", "wiz"));
    assert_exit(s, 3, cis(s, "skill", "info", "wiz", "--tenant", "other"));
    assert_exit(s, 0, cis(s, "skill", "remove", "wiz"));
    assert_exit(s, 3, cis(s, "skill", "run", "wiz"));
    free(dir);
}

static void a_revoked_grant_is_refused_in_the_next_run(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s, MANIFEST, writer);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--allow", "memory"));
    assert_exit(s, 0, cis(s, "skill", "revoke", "wiz", "memory=write"));
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 3, cis(s, "memory", "get", "key", "--skill", "wiz"));
    assert_exit(s, 0, cis(s, "skill", "grant", "wiz", "memory=write"));
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", "wiz"));
    assert_exit(s, 4, cis(s, "skill", "grant", "wiz", "network"));
    assert_exit(s, 2, cis(s, "skill", "install", dir, "--allow", "network"));
    free(dir);
}

static void a_changed_file_fails_its_checksum(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s, MANIFEST, writer);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "info", "wiz", "--json"));
    const char *at = strstr(sys_out(s), "\"dir\":\"");
    assert_non_null(at);
    at += strlen("\"dir\":\"");
    char path[4096];
    snprintf(path, sizeof path, "%.*s/wiz.wat", (int)strcspn(at, "\""), at);
    assert_ok(cis_file_write(path, cis_bytes_of(looper, strlen(looper)), 0600, err));
    assert_exit(s, 4, cis(s, "skill", "run", "wiz"));
    assert_contains(sys_err(s), "not what was installed");
    assert_exit(s, 4, cis(s, "skill", "verify", "wiz"));
    free(dir);
}

static void limits_of_the_manifest_hold(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s, MANIFEST "[limits]\ntime = \"200ms\"\n", looper);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 6, cis(s, "skill", "run", "wiz", "--time", "60s"));
    free(dir);
}

static void a_signature_is_required_when_the_configuration_says_so(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s, MANIFEST, writer), key[4096], pub[4100];
    snprintf(key, sizeof key, "%s/k", s->home);
    snprintf(pub, sizeof pub, "%s/k.pub", s->home);
    assert_exit(s, 0, cis(s, "skill", "trust"));
    static const char require[] = "[skills]\nsignature_policy = \"require\"\n";
    char config[4096];
    snprintf(config, sizeof config, "%s/config", s->home);
    assert_ok(cis_file_mkdirs(config, 0700, err));
    sys_file(s, "config/config.toml", require, sizeof require - 1);
    assert_exit(s, 4, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "keygen", key));
    assert_exit(s, 0, cis(s, "skill", "sign", dir, "--key", key));
    assert_exit(s, 4, cis(s, "skill", "install", dir, "--yes"));
    assert_contains(sys_err(s), "cis skill trust ");
    assert_exit(s, 0, cis(s, "skill", "trust", pub, "--name", "me"));
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_contains(sys_out(s), "signed by me");
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 0, cis(s, "skill", "untrust", "me"));
    assert_exit(s, 4, cis(s, "skill", "run", "wiz"));
    free(dir);
}

static void settings_are_typed_in_and_checked(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s,
                       MANIFEST "[config.schema]\nn = { type = \"integer\", required = true }\n"
                                "mode = { type = \"string\", default = \"a\" }\n",
                       writer);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 2, cis(s, "skill", "run", "wiz"));
    assert_contains(sys_err(s), "cis skill config wiz set n VALUE");
    assert_exit(s, 2, cis(s, "skill", "config", "wiz", "set", "n", "many"));
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "set", "n", "7"));
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "get", "n"));
    assert_string_equal(sys_out(s), "7\n");
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "list"));
    assert_contains(sys_out(s), "mode = a  (default)");
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "unset", "n"));
    assert_exit(s, 3, cis(s, "skill", "config", "wiz", "get", "n"));
    assert_exit(s, 2, cis(s, "skill", "config", "wiz", "frob"));
    free(dir);
}

/* What a skill sets by itself is held to its schema, too. It returns 0 when it was answered: 1 to
 * what fits, below 0 to another type and to a key that is not there. */
static const char *const setter =
    "(module (import \"env\" \"host_config_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    "(memory (export \"memory\") 1) (data (i32.const 0) \"n8manyother\")"
    "(func (export \"skill_execute\") (param i32 i32) (result i32)"
    " (if (i32.ge_s (call $set (i32.const 0) (i32.const 1) (i32.const 2) (i32.const 4))"
    "  (i32.const 0)) (then (return (i32.const 2))))"
    " (if (i32.ge_s (call $set (i32.const 6) (i32.const 5) (i32.const 2) (i32.const 4))"
    "  (i32.const 0)) (then (return (i32.const 3))))"
    " (i32.ne (call $set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1))"
    "  (i32.const 1))))";

static void a_skill_cannot_set_what_its_schema_does_not_have(void **state)
{
    struct sys *s = *state;
    char *dir =
        folder(s, MANIFEST "[config.schema]\nn = { type = \"integer\", default = 7 }\n", setter);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "get", "n"));
    assert_string_equal(sys_out(s), "8\n");
    assert_exit(s, 3, cis(s, "skill", "config", "wiz", "get", "other"));
    free(dir);
}

/* Installs on a terminal and answers each question that comes by the next letter, the last one by
 * all that are left ('-': an empty line); asks: something that is said. */
static int install_asked(struct sys *s, const char *dir, const char *answers, const char *asks)
{
    int fd;
    pid_t pid = forkpty(&fd, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("CIS_HOME", s->home, 1);
        execl(CIS_PROGRAM, CIS_PROGRAM, "skill", "install", dir, (char *)NULL);
        _exit(99);
    }
    struct cis_buf text = CIS_BUF_INIT(1 << 20);
    size_t answered = 0;
    char chunk[4096];
    for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;) { /* EIO: the other side is closed */
        cis_buf_add(&text, chunk, (size_t)n);
        const char *question = strstr(cis_buf_cstr(&text) + answered, "[y/N]");
        if (question != NULL) {
            const char line[2] = {*answers, '\n'};
            assert_int_equal(
                cis_fd_write_all(fd, *answers == '-' ? line + 1 : line, *answers == '-' ? 1 : 2),
                0);
            answers += answers[1] != 0;
            answered = (size_t)(question - cis_buf_cstr(&text)) + 5;
        }
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(fd);
    assert_true(answered != 0);
    assert_contains(cis_buf_cstr(&text), asks);
    cis_buf_done(&text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int install_on_terminal(struct sys *s, const char *dir, const char *answers)
{
    return install_asked(s, dir, answers, "memory=write");
}

static void on_a_terminal_the_user_is_asked(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s, MANIFEST, writer);
    assert_int_equal(install_on_terminal(s, dir, "n"), 4);
    assert_exit(s, 3, cis(s, "skill", "info", "wiz"));
    assert_int_equal(install_on_terminal(s, dir, "-"), 4);
    assert_int_equal(install_on_terminal(s, dir, "y"), 0);
    assert_exit(s, 0, cis(s, "skill", "info", "wiz"));
    free(dir);
}

/* Settings (secrets too) and memory go to another maker's package of the name by a word alone. */
static void another_maker_is_asked_for_by_name_and_inherits_by_a_word(void **state)
{
    struct sys *s = *state;
    static const char schema[] = MANIFEST "[config.schema]\nn = { type = \"integer\" }\n";
    static const char other[] = "(module (memory (export \"memory\") 1)"
                                "(func (export \"skill_execute\") (param i32 i32) (result i32)"
                                " (i32.const 0)))";
    static const char asks[] = "wiz 1.0.0 is installed (unsigned); this one is unsigned. It would "
                               "inherit 1 setting (n) and 1 key of memory. Let it?";
    char *dir = folder(s, schema, writer);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "set", "n", "9"));
    free(folder(s, schema, other));
    assert_exit(s, 4, cis(s, "skill", "install", dir, "--yes"));
    assert_contains(sys_err(s), "would inherit 1 setting (n) and 1 key of memory; give --inherit");
    assert_exit(s, 2, cis(s, "skill", "install", dir, "--yes", "--inherit", "maybe"));
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "get", "n")); /* nothing was done */
    assert_string_equal(sys_out(s), "9\n");
    assert_int_equal(install_asked(s, dir, "y", asks), 0);
    assert_exit(s, 0, cis(s, "skill", "config", "wiz", "get", "n"));
    assert_string_equal(sys_out(s), "9\n");
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", "wiz"));
    assert_string_equal(sys_out(s), "a value");
    free(folder(s, schema, looper)); /* and another one again, by the flag */
    assert_exit(s, 0,
                cis(s, "skill", "install", dir, "--yes", "--inherit", "yes", "--allow",
                    "memory=read", "--allow", "memory=write"));
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", "wiz"));
    free(folder(s, schema, other));
    assert_exit(s, 0,
                cis(s, "skill", "install", dir, "--yes", "--inherit", "no", "--allow",
                    "memory=read", "--allow", "memory=write"));
    assert_exit(s, 3, cis(s, "skill", "config", "wiz", "get", "n"));
    assert_exit(s, 3, cis(s, "memory", "get", "key", "--skill", "wiz"));
    free(dir);
}

static void a_no_on_the_terminal_inherits_nothing(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s, MANIFEST, writer);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "wiz"));
    free(folder(s, MANIFEST, looper));
    /* The second question is about what it asks for. */
    assert_int_equal(install_asked(s, dir, "ny", "It would inherit 1 key of memory. Let it?"), 0);
    assert_exit(s, 3, cis(s, "memory", "get", "key", "--skill", "wiz"));
    free(dir);
}

static void an_older_version_is_installed_by_its_flag_alone(void **state)
{
    struct sys *s = *state;
    char *dir =
        folder(s, "[skill]\nname = \"wiz\"\nversion = \"1.10.0\"\nentry = \"wiz.wat\"\n", looper);
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
    free(folder(s, "[skill]\nname = \"wiz\"\nversion = \"1.9.0\"\nentry = \"wiz.wat\"\n", looper));
    assert_exit(s, 4, cis(s, "skill", "install", dir, "--yes"));
    assert_contains(sys_err(s), "1.10.0 is installed and this is 1.9.0: --downgrade");
    assert_exit(s, 0, cis(s, "skill", "info", "wiz"));
    assert_contains(sys_out(s), "1.10.0");
    assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes", "--downgrade"));
    assert_exit(s, 0, cis(s, "skill", "info", "wiz"));
    assert_contains(sys_out(s), "1.9.0");
    free(dir);
}

static void a_hostile_description_does_not_steer_the_terminal(void **state)
{
    struct sys *s = *state;
    char *dir = folder(s,
                       "[skill]\nname = \"wiz\"\nversion = \"1.0.0\"\nentry = \"wiz.wat\"\n"
                       "description = \"\\u001b[2J\\u009b1m gone\"\n",
                       writer);
    assert_exit(s, 0, cis(s, "skill", "install", dir));
    assert_exit(s, 0, cis(s, "skill", "info", "wiz"));
    assert_contains(sys_out(s), "gone");
    assert_lacks(sys_out(s), "\x1b");
    assert_lacks(sys_out(s), "\xc2\x9b");
    free(dir);
}

/* They build with what registries have: skill_new of the acceptance does. */
static void a_new_project_of_another_language_is_whole(void **state)
{
    struct sys *s = *state;
    static const char *const langs[] = {"js", "python", "rust"};
    for (size_t i = 0; i < 3; i++) {
        char dir[4096], path[4200];
        snprintf(dir, sizeof dir, "%s/%s", s->home, langs[i]);
        assert_exit(s, 0, cis(s, "skill", "new", "a.b_c", "--lang", langs[i], "--dir", dir));
        static const char *const files[] = {"Makefile", "README.md", "skill.toml", "cis-skill.wit"};
        for (size_t f = 0; f < 4; f++) {
            snprintf(path, sizeof path, "%s/%s", dir, files[f]);
            assert_int_equal(access(path, R_OK), 0);
        }
        snprintf(path, sizeof path, "! grep -rq @NAME@ %s", dir);
        assert_exit(s, 0, sys_exec(s, (const char *const[]){"sh", "-c", path, NULL}));
    }
    assert_exit(s, 2, cis(s, "skill", "new", "x", "--lang", "perl"));
}

static void a_new_project_builds_and_runs(void **state)
{
    struct sys *s = *state;
    static const char *const langs[] = {"c", "go", "wat"};
    for (size_t i = 0; i < 3; i++) {
        char dir[4096], name[16];
        snprintf(name, sizeof name, "new-%s", langs[i]);
        snprintf(dir, sizeof dir, "%s/%s", s->home, name);
        assert_exit(s, 0, cis(s, "skill", "new", name, "--lang", langs[i], "--dir", dir));
        assert_exit(s, 4, cis(s, "skill", "new", name, "--lang", langs[i], "--dir", dir));
        if (strcmp(langs[i], "go") == 0 &&
            sys_exec(s, (const char *const[]){"sh", "-c", "command -v go", NULL}) != 0) {
            continue; /* no Go on this machine */
        }
        if (strcmp(langs[i], "wat") != 0) {
            static const char *env[] = {"GOTOOLCHAIN=local", "GOPROXY=off", "GOFLAGS=-mod=mod"};
            char cache[4100];
            snprintf(cache, sizeof cache, "GOCACHE=%s/go-cache", s->home);
            for (int e = 0; e < 3; e++) {
                s->env[e] = env[e];
            }
            s->env[3] = cache;
            assert_exit(s, 0, sys_exec(s, (const char *const[]){"make", "-C", dir, NULL}));
        }
        assert_exit(s, 0,
                    sys_exec(s, (const char *const[]){"make", "-C", dir, "test", "CIS=" CIS_PROGRAM,
                                                      NULL}));
        s->env[0] = NULL;
        assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
        assert_exit(s, 0, cis(s, "skill", "run", name, "--input", "{\"name\":\"Ada\"}"));
        assert_contains(sys_out(s), "Ada");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_installed_skill_runs_with_what_was_granted),
        TEST(a_new_project_builds_and_runs),
        TEST(a_new_project_of_another_language_is_whole),
        TEST(limits_of_the_manifest_hold),
        TEST(settings_are_typed_in_and_checked),
        TEST(a_skill_cannot_set_what_its_schema_does_not_have),
        TEST(on_a_terminal_the_user_is_asked),
        TEST(another_maker_is_asked_for_by_name_and_inherits_by_a_word),
        TEST(a_no_on_the_terminal_inherits_nothing),
        TEST(an_older_version_is_installed_by_its_flag_alone),
        TEST(a_revoked_grant_is_refused_in_the_next_run),
        TEST(a_signature_is_required_when_the_configuration_says_so),
        TEST(a_changed_file_fails_its_checksum),
        TEST(a_hostile_description_does_not_steer_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
