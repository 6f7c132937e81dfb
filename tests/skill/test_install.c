/* Install, grants, signatures, checksums: what an unknown skill may and may not do to get in. */
#include "util.h"
#include "store/calls.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

#define MANIFEST "[skill]\nname = \"x\"\nversion = \"1.0.0\"\n"
#define ASKS_AI MANIFEST "[permissions]\nai_call = true\n"
#define ASKS_MORE MANIFEST "[permissions]\nai_call = true\nhttp = [\"https://a.example\"]\n"

/* A module that differs from CORE: the same with a custom section. */
static const uint8_t OTHER[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 0, 2, 1, 'z'};
static const uint8_t ELF[] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0};

static const char *folder(const struct world *w, const char *manifest, const uint8_t *wasm,
                          size_t len)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/skill", w->work);
    assert_ok(cis_file_remove_tree(path, err));
    put_text(path, "skill.toml", manifest);
    put(path, "skill.wasm", wasm, len);
    return path;
}

/* Everything an install does, with answers and without a terminal. */
static cis_code install_as(struct world *w, const char *path, const char *name,
                           const struct cis_install_answers *answers, struct cis_error *err)
{
    CIS_CLEANUP(cis_package_done) struct cis_package p = CIS_PACKAGE_INIT;
    CIS_CLEANUP(cis_install_plan_done) struct cis_install_plan plan = CIS_INSTALL_PLAN_INIT;
    CIS_TRY(cis_package_stage(&w->home, TENANT, path, cis_str_of(name), &p, err));
    CIS_TRY(cis_install_plan_make(&w->home, TENANT, &p, answers, &plan, err));
    return cis_package_commit(&w->home, TENANT, &p, &plan, err);
}

static cis_code install(struct world *w, const char *path, bool yes, const char *allow,
                        const char *deny, struct cis_error *err)
{
    struct cis_str allow_text = cis_str_of(allow), deny_text = cis_str_of(deny);
    struct cis_install_answers answers = {.allow = &allow_text,
                                          .deny = &deny_text,
                                          .nallow = allow != NULL,
                                          .ndeny = deny != NULL,
                                          .yes = yes};
    return install_as(w, path, NULL, &answers, err);
}

static cis_code open_x(struct world *w, struct cis_installed *s, struct cis_error *err)
{
    return cis_skill_open(&w->home, TENANT, CIS_STR("x"), s, err);
}

static void may(struct world *w, const char *expected)
{
    struct cis_installed s = {0};
    struct cis_buf json = CIS_BUF_INIT(65536);
    assert_ok(open_x(w, &s, err));
    cis_grants_json(&s.grants, &json);
    assert_string_equal(cis_buf_cstr(&json), expected);
    cis_buf_done(&json);
    cis_skill_close(&s);
}

/* Folders directly inside. */
static size_t count_dirs(const char *path)
{
    DIR *list = opendir(path);
    assert_non_null(list);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    }
    closedir(list);
    return n;
}

/* ---- happy ---- */

static void an_installed_skill_opens_with_what_was_granted(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    assert_ok(install(w, folder(w, ASKS_AI "[limits]\ntime = 2\n", CORE, sizeof CORE), true, NULL,
                      NULL, err));
    assert_ok(open_x(w, &s, err));
    assert_string_equal(s.name, "x");
    assert_int_equal(s.module.len, sizeof CORE);
    assert_memory_equal(s.module.ptr, CORE, sizeof CORE);
    assert_true(cis_grants_has(&s.grants, CIS_GRANT_AI));
    assert_int_equal(s.manifest.limits.time_ns, 2 * CIS_NS_PER_S);
    assert_string_equal(s.signer, "");
    cis_skill_close(&s);
    assert_ok(cis_skill_verify(&w->home, TENANT, CIS_STR("x"), err));
}

static void a_module_alone_gets_only_what_the_user_names(void **state)
{
    struct world *w = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/x.wasm", w->work);
    put(w->work, "x.wasm", CORE, sizeof CORE);
    assert_ok(install(w, path, true, NULL, NULL, err));
    may(w, "[]");
    assert_ok(install(w, path, false, "ai", NULL, err));
    may(w, "[\"ai\"]");
    struct cis_str grant = CIS_STR("memory");
    assert_ok(cis_skill_grant(&w->home, TENANT, CIS_STR("x"), &grant, 1, err));
    may(w, "[\"ai\",\"memory\"]");
    assert_ok(cis_skill_verify(&w->home, TENANT, CIS_STR("x"), err));
    struct cis_str command = CIS_STR("command");
    assert_fails(CIS_E_DENIED, "reserved",
                 cis_skill_grant(&w->home, TENANT, CIS_STR("x"), &command, 1, err));
}

static void a_name_of_the_user_wins_and_the_longest_name_fits(void **state)
{
    struct world *w = *state;
    char name[CIS_SKILL_NAME_MAX + 1];
    memset(name, 'n', CIS_SKILL_NAME_MAX);
    name[CIS_SKILL_NAME_MAX] = 0;
    struct cis_install_answers none = {0};
    assert_ok(install_as(w, folder(w, MANIFEST, CORE, sizeof CORE), name, &none, err));
    struct cis_installed s = {0};
    assert_ok(cis_skill_open(&w->home, TENANT, cis_str_of(name), &s, err));
    assert_string_equal(s.manifest.name, "x");
    cis_skill_close(&s);
    assert_fails(CIS_E_USAGE, "not a skill's name",
                 install_as(w, folder(w, MANIFEST, CORE, sizeof CORE), "file:x", &none, err));
    assert_fails(CIS_E_NOTFOUND, "no such skill", open_x(w, &s, err));
}

static void a_tenant_does_not_see_the_skills_of_another(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    assert_ok(install(w, folder(w, MANIFEST, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no such skill",
                 cis_skill_open(&w->home, CIS_STR("t2"), CIS_STR("x"), &s, err));
}

static void a_removed_skill_is_gone_with_its_folder(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    assert_ok(install(w, folder(w, MANIFEST, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_ok(open_x(w, &s, err));
    char dir[512];
    snprintf(dir, sizeof dir, "%s", s.dir);
    cis_skill_close(&s);
    assert_true(cis_file_exists(dir));
    assert_ok(cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
    assert_false(cis_file_exists(dir));
    assert_fails(CIS_E_NOTFOUND, "no such skill", open_x(w, &s, err));
    assert_fails(CIS_E_NOTFOUND, "no such skill",
                 cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
}

/* A record that cis did not write: of a hostile backup, or of a server that others write to. */
static void a_record_that_spells_a_path_removes_no_folder(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const struct {
        const char *version, *digest, *manifest;
    } bad[] = {{"../../../../work/my", "project", "1.0.0"},
               {"../../../../work/my", hash, "1.0.0"},
               {"1.0.0", "x/../../../../work/my-project", "1.0.0"},
               {"1.0.0", "", "1.0.0"},
               {"2.0.0", hash, "1.0.0"}};
    put_text(w->work, "my-project/precious", "work");
    put_text(w->work, "my-0123456789abcdef/precious", "work");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[200], path[200];
        snprintf(json, sizeof json,
                 "[\"bare\",{\"skill\":{\"entry\":\"skill.wasm\",\"name\":\"x\",\"type\":\"wasm\","
                 "\"version\":\"%s\"}}]",
                 bad[i].manifest);
        struct cis_skill_row row = {.name = CIS_STR("x"),
                                    .version = cis_str_of(bad[i].version),
                                    .source = CIS_STR("/x"),
                                    .sha256 = cis_str_of(hash),
                                    .manifest = cis_str_of(json),
                                    .grants = CIS_STR("[]"),
                                    .digest = cis_str_of(bad[i].digest)};
        const struct cis_skill_change add = {.name = row.name, .was = "", .had = -1, .row = &row};
        assert_ok(cis_store_skill_change(w->home.store, TENANT, &add, NULL, err));
        assert_fails(CIS_E_DAMAGED, "damaged", open_x(w, &s, err));
        const char *skill = folder(w, MANIFEST, CORE, sizeof CORE);
        assert_fails(CIS_E_DAMAGED, "damaged", install(w, skill, true, NULL, NULL, err));
        assert_ok(cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
        assert_ok(install(w, skill, true, NULL, NULL, err));
        assert_ok(cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
        snprintf(path, sizeof path, "%s/my-project/precious", w->work);
        assert_true(cis_file_exists(path));
        snprintf(path, sizeof path, "%s/my-0123456789abcdef/precious", w->work);
        assert_true(cis_file_exists(path));
        snprintf(path, sizeof path, "%s/my-0123456789abcdef/.unused", w->work);
        assert_false(cis_file_exists(path));
    }
}

static void a_record_that_cannot_be_read_is_refused_and_can_be_removed(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char good[] = "[\"bare\",{\"skill\":{\"entry\":\"skill.wasm\",\"name\":\"x\","
                               "\"type\":\"wasm\",\"version\":\"1.0.0\"}}]";
    const char *const bad[][2] = {
        {"", "[]"},  {"{", "[]"},  {"{}", "[]"},  {"[\"bare\",1]", "[]"},       {good, ""},
        {good, "["}, {good, "{}"}, {good, "[1]"}, {good, "[\"no such grant\"]"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cis_skill_row row = {.name = CIS_STR("x"),
                                    .version = CIS_STR("1.0.0"),
                                    .source = CIS_STR("/x"),
                                    .sha256 = cis_str_of(hash),
                                    .manifest = cis_str_of(bad[i][0]),
                                    .grants = cis_str_of(bad[i][1]),
                                    .digest = cis_str_of(hash)};
        const struct cis_skill_change add = {.name = row.name, .was = "", .had = -1, .row = &row};
        assert_ok(cis_store_skill_change(w->home.store, TENANT, &add, NULL, err));
        assert_fails(CIS_E_DAMAGED, "cis skill remove takes it away", open_x(w, &s, err));
        assert_ok(cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
        assert_fails(CIS_E_NOTFOUND, "no such skill", open_x(w, &s, err));
    }
}

static void an_update_replaces_the_folder_of_the_version_before(void **state)
{
    struct world *w = *state;
    char dir[256];
    snprintf(dir, sizeof dir, "%s/skills/t1/x", w->data);
    for (int i = 0; i < 3; i++) {
        char manifest[128];
        snprintf(manifest, sizeof manifest, "[skill]\nname = \"x\"\nversion = \"1.%d.0\"\n", i / 2);
        assert_ok(install(w, folder(w, manifest, CORE, sizeof CORE), true, NULL, NULL, err));
        assert_int_equal(count_dirs(dir), 1);
        assert_ok(cis_skill_verify(&w->home, TENANT, CIS_STR("x"), err));
    }
}

static void grants_can_be_taken_back_and_given_again(void **state)
{
    struct world *w = *state;
    struct cis_str ai = CIS_STR("ai"), network = CIS_STR("network");
    assert_ok(install(w, folder(w, ASKS_MORE, CORE, sizeof CORE), true, NULL, NULL, err));
    may(w, "[\"ai\",\"http=https://a.example\"]");
    assert_ok(cis_skill_revoke(&w->home, TENANT, CIS_STR("x"), &ai, 1, err));
    may(w, "[\"http=https://a.example\"]");
    assert_ok(cis_skill_grant(&w->home, TENANT, CIS_STR("x"), &ai, 1, err));
    may(w, "[\"ai\",\"http=https://a.example\"]");
    assert_fails(CIS_E_DENIED, "does not ask for network",
                 cis_skill_grant(&w->home, TENANT, CIS_STR("x"), &network, 1, err));
    struct cis_str nonsense = CIS_STR("nonsense=1");
    assert_fails(CIS_E_USAGE, "nonsense",
                 cis_skill_grant(&w->home, TENANT, CIS_STR("x"), &nonsense, 1, err));
}

static bool changed(const struct world *w, struct cis_skill_mark *mark)
{
    return cis_skill_changed(&w->home, TENANT, mark);
}

static void a_change_is_seen_once_and_only_when_it_is_made(void **state)
{
    struct world *w = *state;
    struct cis_skill_mark mark = {{0}};
    struct cis_str ai = CIS_STR("ai");
    char lock[256];
    assert_false(changed(w, &mark)); /* there is no folder yet */
    assert_ok(install(w, folder(w, ASKS_AI, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_true(changed(w, &mark));
    assert_false(changed(w, &mark));
    assert_ok(cis_skill_revoke(&w->home, TENANT, CIS_STR("x"), &ai, 1, err));
    assert_true(changed(w, &mark));
    assert_ok(cis_skill_grant(&w->home, TENANT, CIS_STR("x"), &ai, 1, err));
    snprintf(lock, sizeof lock, "%s/skills/t1/.lock", w->data);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
    assert_false(changed(w, &mark)); /* somebody is at it */
    close(fd);
    assert_true(changed(w, &mark));
    assert_ok(cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
    assert_true(changed(w, &mark));
    assert_false(cis_skill_changed(&w->home, CIS_STR("t2"), &(struct cis_skill_mark){{0}}));
}

static void settings_are_checked_kept_and_dropped_with_the_skill(void **state)
{
    struct world *w = *state;
    const char *manifest = MANIFEST "[config.schema]\nn = { type = \"integer\", default = 3 }\n"
                                    "who = { type = \"string\", required = true }\n";
    struct cis_installed s = {0};
    assert_ok(install(w, folder(w, manifest, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_ok(open_x(w, &s, err));
    assert_int_equal(s.nconfig, 1);
    assert_string_equal(s.config[0].value, "3");
    assert_true(s.config[0].from_default);
    cis_skill_close(&s);
    assert_fails(
        CIS_E_USAGE, "not of type integer",
        cis_skill_config_set(&w->home, TENANT, CIS_STR("x"), CIS_STR("n"), CIS_STR("x"), err));
    assert_fails(
        CIS_E_USAGE, "no such key",
        cis_skill_config_set(&w->home, TENANT, CIS_STR("x"), CIS_STR("z"), CIS_STR("1"), err));
    assert_ok(
        cis_skill_config_set(&w->home, TENANT, CIS_STR("x"), CIS_STR("n"), CIS_STR("7"), err));
    assert_ok(
        cis_skill_config_set(&w->home, TENANT, CIS_STR("x"), CIS_STR("who"), CIS_STR(""), err));
    assert_ok(open_x(w, &s, err));
    assert_int_equal(s.nconfig, 2);
    assert_string_equal(s.config[0].value, "7");
    assert_false(s.config[0].from_default);
    cis_skill_close(&s);
    assert_ok(cis_skill_config_set(&w->home, TENANT, CIS_STR("x"), CIS_STR("n"),
                                   (struct cis_str){NULL, 0}, err));
    assert_ok(open_x(w, &s, err));
    assert_string_equal(s.config[0].value, "3");
    cis_skill_close(&s);
    assert_ok(cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
    assert_ok(install(w, folder(w, manifest, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_ok(open_x(w, &s, err));
    assert_int_equal(s.nconfig, 1);
    cis_skill_close(&s);
}

static void a_required_setting_without_a_value_is_named(void **state)
{
    (void)state;
    struct cis_str_pair other = {CIS_STR("whom"), CIS_STR("me")};
    struct cis_str_pair who = {CIS_STR("who"), CIS_STR("")};
    struct cis_manifest m = CIS_MANIFEST_INIT;
    assert_ok(cis_manifest_parse(
        CIS_STR(MANIFEST "[config.schema]\nwho = { type = \"string\", required = true }\n"),
        "skill.toml", &m, err));
    assert_fails(CIS_E_USAGE, "cis skill config x set who VALUE",
                 cis_skill_config_complete(&m, "x", &other, 1, err));
    assert_ok(cis_skill_config_complete(&m, "x", &who, 1, err));
    cis_manifest_done(&m);
}

/* ---- grants ---- */

static void requests_without_an_answer_install_nothing(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    assert_fails(CIS_E_DENIED, "asks for ai",
                 install(w, folder(w, ASKS_AI, CORE, sizeof CORE), false, NULL, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no such skill", open_x(w, &s, err));
    assert_fails(CIS_E_DENIED, "asks for http=https://a.example",
                 install(w, folder(w, ASKS_MORE, CORE, sizeof CORE), false, "ai", NULL, err));
    assert_ok(install(w, folder(w, ASKS_MORE, CORE, sizeof CORE), false, "http=https://a.example",
                      "ai", err));
    may(w, "[\"http=https://a.example\"]");
}

static void answers_about_what_is_not_asked_are_mistakes(void **state)
{
    struct world *w = *state;
    const char *path = folder(w, ASKS_AI, CORE, sizeof CORE);
    assert_fails(CIS_E_USAGE, "--allow fs=rw: x does not ask for it",
                 install(w, path, true, "fs=rw", NULL, err));
    assert_fails(CIS_E_USAGE, "--deny memory", install(w, path, true, NULL, "memory", err));
    assert_fails(CIS_E_USAGE, "", install(w, path, true, "rubbish", NULL, err));
}

static void one_half_of_memory_can_be_denied(void **state)
{
    struct world *w = *state;
    const char *path = folder(
        w, MANIFEST "[permissions]\nmemory_read = true\nmemory_write = true\n", CORE, sizeof CORE);
    assert_ok(install(w, path, true, NULL, "memory=write", err));
    may(w, "[\"memory=read\"]");
}

static void a_narrower_grant_answers_a_wide_request(void **state)
{
    struct world *w = *state;
    const char *path = folder(w, MANIFEST "[permissions]\nnetwork = true\n", CORE, sizeof CORE);
    assert_ok(install(w, path, false, "http=https://a.example", NULL, err));
    may(w, "[\"http=https://a.example\"]");
}

static void yes_never_widens_an_installed_skill(void **state)
{
    struct world *w = *state;
    assert_ok(install(w, folder(w, ASKS_AI, CORE, sizeof CORE), true, NULL, NULL, err));
    const char *more = folder(w, ASKS_MORE, CORE, sizeof CORE);
    assert_fails(CIS_E_DENIED, "--yes never widens", install(w, more, true, NULL, NULL, err));
    may(w, "[\"ai\"]");
    assert_ok(install(w, more, true, "http=https://a.example", NULL, err));
    may(w, "[\"ai\",\"http=https://a.example\"]");
}

static void what_was_denied_stays_denied_in_an_update(void **state)
{
    struct world *w = *state;
    assert_ok(install(w, folder(w, ASKS_MORE, CORE, sizeof CORE), true, NULL, "ai", err));
    const char *next = folder(w, ASKS_MORE "[limits]\ntime = 1\n", CORE, sizeof CORE);
    assert_ok(install(w, next, true, NULL, NULL, err));
    may(w, "[\"http=https://a.example\"]");
}

static void a_request_taken_back_takes_its_grant_along(void **state)
{
    struct world *w = *state;
    assert_ok(install(w, folder(w, ASKS_MORE, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_ok(install(w, folder(w, ASKS_AI, CORE, sizeof CORE), false, NULL, NULL, err));
    may(w, "[\"ai\"]");
    assert_fails(CIS_E_DENIED, "--yes never widens",
                 install(w, folder(w, ASKS_MORE, CORE, sizeof CORE), true, NULL, NULL, err));
}

static void another_unsigned_module_asks_again(void **state)
{
    struct world *w = *state;
    assert_ok(install(w, folder(w, ASKS_AI, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_fails(CIS_E_DENIED, "asks for ai",
                 install(w, folder(w, ASKS_AI, OTHER, sizeof OTHER), true, NULL, NULL, err));
    struct cis_installed s = {0};
    assert_ok(open_x(w, &s, err));
    assert_int_equal(s.module.len, sizeof CORE); /* the one before is still there */
    cis_skill_close(&s);
    assert_ok(install(w, folder(w, ASKS_AI, OTHER, sizeof OTHER), false, NULL, "ai", err));
    may(w, "[]");
}

/* ---- signatures ---- */

struct signer {
    uint8_t pub[32], secret[64];
    char hex[65];
};

static struct signer signer_new(void)
{
    struct signer s;
    cis_ed25519_keypair(s.pub, s.secret);
    cis_hex(s.pub, 32, s.hex);
    return s;
}

static void a_signed_skill_keeps_its_grants_over_versions(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new();
    assert_ok(cis_keyring_trust(w->config, a.pub, CIS_STR("a"), err));
    const char *path = folder(w, ASKS_AI, CORE, sizeof CORE);
    assert_ok(cis_package_sign(path, a.secret, err));
    assert_ok(install(w, path, true, NULL, NULL, err));
    struct cis_installed s = {0};
    assert_ok(open_x(w, &s, err));
    assert_string_equal(s.signer, a.hex);
    cis_skill_close(&s);
    path = folder(w, ASKS_AI, OTHER, sizeof OTHER);
    assert_ok(cis_package_sign(path, a.secret, err));
    assert_ok(install(w, path, false, NULL, NULL, err)); /* nothing to ask */
    may(w, "[\"ai\"]");
    path = folder(w, ASKS_MORE, OTHER, sizeof OTHER);
    assert_ok(cis_package_sign(path, a.secret, err));
    assert_fails(CIS_E_DENIED, "asks for http=", install(w, path, true, NULL, NULL, err));
}

static void another_signer_asks_again(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new(), b = signer_new();
    assert_ok(cis_keyring_trust(w->config, a.pub, CIS_STR(""), err));
    assert_ok(cis_keyring_trust(w->config, b.pub, CIS_STR(""), err));
    const char *path = folder(w, ASKS_AI, CORE, sizeof CORE);
    assert_ok(cis_package_sign(path, a.secret, err));
    assert_ok(install(w, path, true, NULL, NULL, err));
    path = folder(w, ASKS_AI, CORE, sizeof CORE);
    assert_ok(cis_package_sign(path, b.secret, err));
    assert_fails(CIS_E_DENIED, "would inherit its name", install(w, path, true, NULL, NULL, err));
    struct cis_install_answers inherit = {.yes = true, .inherit = CIS_INHERIT_YES};
    assert_fails(CIS_E_DENIED, "asks for ai", install_as(w, path, NULL, &inherit, err));
    path = folder(w, ASKS_AI, CORE, sizeof CORE); /* the same module, not signed any more */
    assert_fails(CIS_E_DENIED, "would inherit its name", install(w, path, true, NULL, NULL, err));
    assert_fails(CIS_E_DENIED, "asks for ai", install_as(w, path, NULL, &inherit, err));
}

#define SETTINGS MANIFEST "[config.token]\ntype = \"string\"\n"

/* What a run of x keeps. */
static void remember(struct world *w, const char *key, const char *value)
{
    struct cis_installed s = {0};
    assert_ok(open_x(w, &s, err));
    struct cis_kv_op op = {.ns = cis_str_of(s.memory),
                           .key = cis_str_of(key),
                           .value = cis_bytes_of(value, strlen(value)),
                           .is_public = -1};
    struct cis_store_commit commit = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(w->home.store, TENANT, &commit, &w->home.stop, err));
    cis_skill_close(&s);
}

static bool found_entry(void *self, const struct cis_kv_entry *e)
{
    (void)e;
    *(bool *)self = true;
    return false;
}

static bool remembers(struct world *w, const char *key)
{
    struct cis_installed s = {0};
    bool told = false, found = false;
    assert_ok(open_x(w, &s, err));
    assert_ok(cis_store_kv_get(w->home.store, TENANT,
                               &(struct cis_kv_get_query){CIS_VIEW_HEAD, cis_str_of(s.memory),
                                                          cis_str_of(key), found_entry, &told},
                               &found, &w->home.stop, err));
    cis_skill_close(&s);
    return found;
}

static size_t settings(struct world *w)
{
    struct cis_installed s = {0};
    assert_ok(open_x(w, &s, err));
    size_t n = s.nconfig;
    cis_skill_close(&s);
    return n;
}

static void another_maker_inherits_nothing_without_an_answer(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new();
    struct cis_install_answers yes = {.inherit = CIS_INHERIT_YES}, no = {.inherit = CIS_INHERIT_NO};
    assert_ok(cis_keyring_trust(w->config, a.pub, CIS_STR(""), err));
    const char *path = folder(w, SETTINGS, CORE, sizeof CORE);
    assert_ok(cis_package_sign(path, a.secret, err));
    assert_ok(install(w, path, true, NULL, NULL, err));
    assert_ok(cis_skill_config_set(&w->home, TENANT, CIS_STR("x"), CIS_STR("token"),
                                   CIS_STR("secret"), err));
    remember(w, "k", "v");
    path = folder(w, SETTINGS, OTHER, sizeof OTHER); /* not signed */
    assert_fails(CIS_E_DENIED, "1 setting (token) and 1 key of memory",
                 install(w, path, true, NULL, NULL, err));
    assert_true(remembers(w, "k") && settings(w) == 1); /* as it was */
    assert_ok(install_as(w, path, NULL, &no, err));
    assert_int_equal(settings(w), 0);
    assert_false(remembers(w, "k"));
    remember(w, "k2", "v");
    path = folder(w, SETTINGS, CORE, sizeof CORE); /* another unsigned module */
    assert_fails(CIS_E_DENIED, "would inherit 1 key of memory",
                 install(w, path, true, NULL, NULL, err));
    assert_ok(install_as(w, path, NULL, &yes, err));
    assert_true(remembers(w, "k2"));
    assert_false(remembers(w, "k")); /* of the first one, whose memory stays where it was */
    struct cis_kv_query query = {.ns = CIS_STR("x")};
    bool there = false;
    assert_ok(
        cis_store_kv_list(w->home.store, TENANT, &query, found_entry, &there, &w->home.stop, err));
    assert_true(there);
}

static void memory_that_outlives_its_skill_is_not_the_next_ones(void **state)
{
    struct world *w = *state;
    struct cis_install_answers no = {.inherit = CIS_INHERIT_NO};
    assert_ok(install(w, folder(w, MANIFEST, CORE, sizeof CORE), true, NULL, NULL, err));
    remember(w, "k", "v");
    assert_ok(cis_skill_remove(&w->home, TENANT, CIS_STR("x"), err));
    const char *path = folder(w, MANIFEST, OTHER, sizeof OTHER);
    assert_fails(CIS_E_DENIED, "would inherit 1 key of memory",
                 install(w, path, true, NULL, NULL, err));
    assert_ok(install_as(w, path, NULL, &no, err));
    assert_false(remembers(w, "k"));
}

static void an_older_version_needs_a_word(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *a, *b;
    } older[] = {
        {"1.0.0", "2.0.0"},
        {"1.9.0", "1.10.0"},
        {"1.0.0-rc.1", "1.0.0"},
        {"1.0.0-alpha", "1.0.0-beta"},
        {"1.0.0-alpha", "1.0.0-alpha.1"},
        {"1.0.0-2", "1.0.0-10"},
        {"1.0.0-9", "1.0.0-a"},
        {"0.0.0", "99999999999999999999.0.0"},
    };
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        assert_true(cis_version_older(older[i].a, older[i].b));
        assert_false(cis_version_older(older[i].b, older[i].a));
        assert_false(cis_version_older(older[i].a, older[i].a));
    }
    assert_false(cis_version_older("1.0.0+a", "1.0.0+b"));
    struct cis_install_answers down = {.downgrade = true};
    assert_ok(install(w,
                      folder(w, "[skill]\nname = \"x\"\nversion = \"1.10.0\"\n", CORE, sizeof CORE),
                      true, NULL, NULL, err));
    const char *path = folder(w, "[skill]\nname = \"x\"\nversion = \"1.9.0\"\n", CORE, sizeof CORE);
    assert_fails(CIS_E_DENIED, "1.10.0 is installed and this is 1.9.0: --downgrade",
                 install(w, path, true, NULL, NULL, err));
    assert_ok(install_as(w, path, NULL, &down, err));
}

static void a_key_from_the_manifest_itself_never_counts(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new();
    const char *path = folder(w, ASKS_AI, CORE, sizeof CORE);
    assert_ok(cis_package_sign(path, a.secret, err));
    struct cis_package p = CIS_PACKAGE_INIT;
    assert_ok(cis_package_stage(&w->home, TENANT, path, (struct cis_str){NULL, 0}, &p, err));
    assert_int_equal(p.signature, CIS_PACKAGE_UNKNOWN);
    assert_ok(cis_keyring_trust(w->config, a.pub, CIS_STR(""), err));
    assert_ok(cis_package_trust_again(&w->home, &p, err));
    assert_int_equal(p.signature, CIS_PACKAGE_TRUSTED);
    cis_package_done(&p);
    assert_ok(cis_keyring_untrust(w->config, cis_str_of(a.hex), err));
    assert_ok(install(w, path, true, NULL, NULL, err));
    struct cis_installed s = {0};
    assert_ok(open_x(w, &s, err));
    assert_string_equal(s.signer, "");
    cis_skill_close(&s);
    w->home.policy = CIS_SIGNATURE_REQUIRE;
    assert_fails(CIS_E_SIGNATURE, "not trusted", install(w, path, true, NULL, NULL, err));
    assert_fails(CIS_E_SIGNATURE, "not signed", open_x(w, &s, err));
}

static void policy_require_wants_a_trusted_signature_at_install_and_at_run(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new();
    struct cis_installed s = {0};
    w->home.policy = CIS_SIGNATURE_REQUIRE;
    const char *path = folder(w, MANIFEST, CORE, sizeof CORE);
    assert_fails(CIS_E_SIGNATURE, "not signed", install(w, path, true, NULL, NULL, err));
    assert_ok(cis_package_sign(path, a.secret, err));
    assert_fails(CIS_E_SIGNATURE, a.hex, install(w, path, true, NULL, NULL, err));
    assert_ok(cis_keyring_trust(w->config, a.pub, CIS_STR(""), err));
    assert_ok(install(w, path, true, NULL, NULL, err));
    assert_ok(open_x(w, &s, err));
    cis_skill_close(&s);
    assert_ok(cis_keyring_untrust(w->config, cis_str_of(a.hex), err));
    assert_fails(CIS_E_SIGNATURE, "no longer trusted", open_x(w, &s, err));
}

static void policy_off_does_not_look_at_signatures(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new();
    assert_ok(cis_keyring_trust(w->config, a.pub, CIS_STR(""), err));
    const char *path = folder(w, MANIFEST, CORE, sizeof CORE);
    assert_ok(cis_package_sign(path, a.secret, err));
    put_text(path, "more.txt", "added after signing");
    w->home.policy = CIS_SIGNATURE_OFF;
    assert_ok(install(w, path, true, NULL, NULL, err));
    struct cis_installed s = {0};
    assert_ok(open_x(w, &s, err));
    assert_string_equal(s.signer, "");
    cis_skill_close(&s);
}

/* Everything that can be changed in a signed folder. */
static void any_change_after_signing_is_refused(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new();
    assert_ok(cis_keyring_trust(w->config, a.pub, CIS_STR(""), err));
    for (int change = 0; change < 6; change++) {
        const char *path = folder(w, ASKS_AI, CORE, sizeof CORE);
        char name[300];
        put_text(path, "data/words.txt", "words");
        assert_ok(cis_package_sign(path, a.secret, err));
        struct cis_buf toml = CIS_BUF_INIT(65536);
        snprintf(name, sizeof name, "%s/skill.toml", path);
        assert_ok(cis_file_read(name, &toml, err));
        cis_code expected = CIS_E_SIGNATURE;
        switch (change) {
        case 0:
            put_text(path, "data/words.txt", "Words");
            break;
        case 1:
            put_text(path, "data/new.txt", "");
            break;
        case 2:
            snprintf(name, sizeof name, "%s/data/words.txt", path);
            assert_int_equal(unlink(name), 0);
            break;
        case 3: { /* the same bytes under another name */
            char to[300];
            snprintf(name, sizeof name, "%s/data/words.txt", path);
            snprintf(to, sizeof to, "%s/data/wordz.txt", path);
            assert_int_equal(rename(name, to), 0);
            break;
        }
        case 4: /* the manifest */
            cis_buf_text(&toml, "\n[limits]\ntime = 99\n");
            put(path, "skill.toml", toml.ptr, toml.len);
            break;
        default: /* the module: its checksum is in the manifest */
            put(path, "skill.wasm", OTHER, sizeof OTHER);
            expected = CIS_E_CHECKSUM;
        }
        cis_buf_done(&toml);
        assert_fails(expected, "", install(w, path, true, NULL, NULL, err));
    }
}

static void signing_again_replaces_the_signature_and_keeps_the_text(void **state)
{
    struct world *w = *state;
    struct signer a = signer_new(), b = signer_new();
    const char *path = folder(w,
                              "# kept\n[skill]\nname = \"x\" # kept too\nversion = \"1.0.0\"\n"
                              "[integrity] # here\nsha256 = \"\"\n[limits]\nkey = 1\n",
                              CORE, sizeof CORE);
    assert_fails(CIS_E_INVALID, "integrity.sha256", cis_package_sign(path, a.secret, err));
    path = folder(w,
                  "# kept\n[skill]\nname = \"x\" # kept too\nversion = \"1.0.0\"\n"
                  "[integrity] # here\n[limits]\nkey = 1\n",
                  CORE, sizeof CORE);
    assert_ok(cis_package_sign(path, a.secret, err));
    assert_ok(cis_package_sign(path, b.secret, err));
    struct cis_buf toml = CIS_BUF_INIT(65536);
    char name[300];
    snprintf(name, sizeof name, "%s/skill.toml", path);
    assert_ok(cis_file_read(name, &toml, err));
    const char *text = cis_buf_cstr(&toml);
    assert_non_null(strstr(text, "# kept\n"));
    assert_non_null(strstr(text, "# kept too\n"));
    assert_non_null(strstr(text, "[limits]\nkey = 1\n"));
    assert_non_null(strstr(text, b.hex));
    assert_null(strstr(text, a.hex));
    cis_buf_done(&toml);
    /* What cannot be signed line by line is refused and left as it was. */
    path = folder(w, "integrity = { }\n" MANIFEST, CORE, sizeof CORE);
    assert_fails(CIS_E_INVALID, "skill.toml", cis_package_sign(path, a.secret, err));
}

/* ---- refused, broken ---- */

static void what_is_no_wasm_or_of_the_other_layer_is_refused(void **state)
{
    struct world *w = *state;
    assert_fails(CIS_E_INVALID, "",
                 install(w, folder(w, MANIFEST, ELF, sizeof ELF), true, NULL, NULL, err));
    assert_fails(
        CIS_E_INVALID, "is a component, but skill.type says wasm",
        install(w, folder(w, MANIFEST, COMPONENT, sizeof COMPONENT), true, NULL, NULL, err));
    const char *component = "[skill]\nname = \"x\"\nversion = \"1.0.0\"\ntype = \"component\"\n";
    assert_fails(CIS_E_INVALID, "is a core module, but skill.type says component",
                 install(w, folder(w, component, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_ok(install(w, folder(w, component, COMPONENT, sizeof COMPONENT), true, NULL, NULL, err));
}

static void native_and_command_are_refused(void **state)
{
    struct world *w = *state;
    assert_fails(
        CIS_E_UNSUPPORTED, "native",
        install(w,
                folder(w, "[skill]\nname = \"x\"\nversion = \"1.0.0\"\ntype = \"native\"\n", CORE,
                       sizeof CORE),
                true, NULL, NULL, err));
    assert_fails(CIS_E_DENIED, "command",
                 install(w,
                         folder(w, MANIFEST "[permissions]\ncommand = true\n", CORE, sizeof CORE),
                         true, NULL, NULL, err));
}

static void a_wrong_checksum_or_a_missing_part_is_refused(void **state)
{
    struct world *w = *state;
    char manifest[512], path[300];
    snprintf(manifest, sizeof manifest, MANIFEST "[integrity]\nsha256 = \"%064d\"\n", 0);
    assert_fails(CIS_E_CHECKSUM, "integrity.sha256",
                 install(w, folder(w, manifest, CORE, sizeof CORE), true, NULL, NULL, err));
    snprintf(path, sizeof path, "%s/skill.wasm", folder(w, MANIFEST, CORE, sizeof CORE));
    assert_int_equal(unlink(path), 0);
    path[strlen(path) - strlen("/skill.wasm")] = 0;
    assert_fails(CIS_E_NOTFOUND, "the module skill.wasm", install(w, path, true, NULL, NULL, err));
    put_text(w->work, "empty/readme", "x");
    snprintf(path, sizeof path, "%s/empty", w->work);
    assert_fails(CIS_E_NOTFOUND, "no skill.toml", install(w, path, true, NULL, NULL, err));
    snprintf(path, sizeof path, "%s/empty/readme", w->work);
    assert_fails(CIS_E_USAGE, "not a folder", install(w, path, true, NULL, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "nowhere", install(w, "/nowhere", true, NULL, NULL, err));
}

static void a_module_changed_after_the_install_does_not_open(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    char dir[512], path[600];
    assert_ok(install(w, folder(w, MANIFEST, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_ok(open_x(w, &s, err));
    snprintf(dir, sizeof dir, "%s", s.dir);
    cis_skill_close(&s);
    put(dir, "skill.wasm", OTHER, sizeof OTHER);
    assert_fails(CIS_E_CHECKSUM, "not what was installed", open_x(w, &s, err));
    snprintf(path, sizeof path, "%s/skill.wasm", dir);
    assert_int_equal(unlink(path), 0);
    assert_fails(CIS_E_CHECKSUM, "gone", open_x(w, &s, err));
    put(w->work, "good.wasm", CORE, sizeof CORE); /* the right bytes behind a link are no file */
    char good[300];
    snprintf(good, sizeof good, "%s/good.wasm", w->work);
    assert_int_equal(symlink(good, path), 0);
    assert_fails(CIS_E_CHECKSUM, "not a file", open_x(w, &s, err));
    assert_ok(install(w, folder(w, MANIFEST, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_ok(open_x(w, &s, err)); /* installed again: whole again */
    cis_skill_close(&s);
}

static void verify_finds_a_change_of_any_file(void **state)
{
    struct world *w = *state;
    struct cis_installed s = {0};
    const char *path = folder(w, MANIFEST, CORE, sizeof CORE);
    put_text(path, "data.txt", "x");
    assert_ok(install(w, path, true, NULL, NULL, err));
    assert_ok(open_x(w, &s, err));
    put_text(s.dir, "data.txt", "y");
    assert_fails(CIS_E_CHECKSUM, "files", cis_skill_verify(&w->home, TENANT, CIS_STR("x"), err));
    put_text(s.dir, "data.txt", "x");
    assert_ok(cis_skill_verify(&w->home, TENANT, CIS_STR("x"), err));
    put_text(s.dir, "skill.toml", ASKS_AI);
    assert_fails(CIS_E_CHECKSUM, "skill.toml",
                 cis_skill_verify(&w->home, TENANT, CIS_STR("x"), err));
    cis_skill_close(&s);
    may(w, "[]"); /* the registry's manifest counts, not the changed file */
}

static void an_install_planned_against_another_state_is_a_conflict(void **state)
{
    struct world *w = *state;
    struct cis_package p = CIS_PACKAGE_INIT;
    struct cis_install_plan plan = CIS_INSTALL_PLAN_INIT;
    struct cis_install_answers none = {0};
    assert_ok(cis_package_stage(&w->home, TENANT, folder(w, MANIFEST, OTHER, sizeof OTHER),
                                (struct cis_str){NULL, 0}, &p, err));
    assert_ok(cis_install_plan_make(&w->home, TENANT, &p, &none, &plan, err));
    assert_ok(install(w, folder(w, ASKS_AI, CORE, sizeof CORE), true, NULL, NULL, err));
    assert_fails(CIS_E_CONFLICT, "someone else",
                 cis_package_commit(&w->home, TENANT, &p, &plan, err));
    cis_install_plan_done(&plan);
    cis_package_done(&p);
    may(w, "[\"ai\"]");
}

/* The plan waits at a prompt while somebody takes a grant back. */
static void a_grant_revoked_while_the_plan_waits_stays_revoked(void **state)
{
    struct world *w = *state;
    struct cis_package p = CIS_PACKAGE_INIT;
    struct cis_install_plan plan = CIS_INSTALL_PLAN_INIT;
    struct cis_install_answers none = {0};
    struct cis_str ai = CIS_STR("ai");
    const char *path = folder(w, ASKS_AI, CORE, sizeof CORE);
    assert_ok(install(w, path, true, NULL, NULL, err));
    assert_ok(cis_package_stage(&w->home, TENANT, path, (struct cis_str){NULL, 0}, &p, err));
    assert_ok(cis_install_plan_make(&w->home, TENANT, &p, &none, &plan, err));
    assert_ok(cis_skill_revoke(&w->home, TENANT, CIS_STR("x"), &ai, 1, err));
    assert_fails(CIS_E_CONFLICT, "grants were changed",
                 cis_package_commit(&w->home, TENANT, &p, &plan, err));
    cis_install_plan_done(&plan);
    cis_package_done(&p);
    may(w, "[]");
    assert_ok(install(w, path, false, NULL, NULL, err)); /* again: as it is now */
    may(w, "[]");
}

static void what_a_wider_grant_allows_is_not_revoked_in_silence(void **state)
{
    struct world *w = *state;
    struct cis_str narrow = CIS_STR("http=https://a.example.com");
    assert_ok(install(w,
                      folder(w, MANIFEST "[permissions]\nhttp = [\"https://*.example.com\"]\n",
                             CORE, sizeof CORE),
                      true, NULL, NULL, err));
    assert_fails(CIS_E_USAGE, "http=https://*.example.com also allows it",
                 cis_skill_revoke(&w->home, TENANT, CIS_STR("x"), &narrow, 1, err));
    may(w, "[\"http=https://*.example.com\"]");
}

/* Whatever version is there. */
static cis_code install_over(struct world *w, const char *path, struct cis_error *err)
{
    struct cis_install_answers answers = {.yes = true, .downgrade = true};
    return install_as(w, path, NULL, &answers, err);
}

/* Installs two versions in turn until it is killed. */
static void install_for_ever(struct world *w, const char *a, const char *b)
{
    struct world mine = *w;
    if (cis_store_sqlite_open(w->data, &mine.home.store, NULL) != CIS_OK) {
        _exit(1);
    }
    for (;;) {
        struct cis_error err = {0};
        if (install_over(&mine, a, &err) != CIS_OK || install_over(&mine, b, &err) != CIS_OK) {
            fprintf(stderr, "child: %s\n", err.msg);
            _exit(1);
        }
    }
}

static void killed_at_any_moment_it_is_the_old_skill_or_the_new(void **state)
{
    struct world *w = *state;
    char a[300], b[300];
    for (int v = 0; v < 2; v++) {
        char *path = v == 0 ? a : b, manifest[128];
        snprintf(path, sizeof a, "%s/v%d", w->work, v);
        snprintf(manifest, sizeof manifest, "[skill]\nname = \"x\"\nversion = \"1.%d.0\"\n", v);
        put_text(path, "skill.toml", manifest);
        put(path, "skill.wasm", CORE, sizeof CORE);
        for (int i = 0; i < 10; i++) {
            char name[32];
            snprintf(name, sizeof name, "data/f%d", i);
            put_text(path, name, v == 0 ? "old" : "new");
        }
    }
    assert_ok(install(w, a, true, NULL, NULL, err));
    unsigned seed = test_seed();
    const char *rounds = getenv("CIS_KILL_ROUNDS");
    long kills = rounds != NULL ? strtol(rounds, NULL, 10) : 40, survived = 0;
    for (long i = 0; i < kills; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            install_for_ever(w, a, b);
        }
        /* Random moments: this test is about where the kill lands, not about waiting for anything.
         */
        struct timespec pause = {0, 1000l * (1000 + rand_r(&seed) % 40000)};
        nanosleep(&pause, NULL);
        int status;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* it did not fail by itself */
        assert_ok(cis_skill_verify(&w->home, TENANT, CIS_STR("x"), err));
        survived++;
    }
    assert_int_equal(survived, kills);
    /* The next install sweeps what the killed ones left. */
    assert_ok(install_over(w, a, err));
    char dir[256];
    snprintf(dir, sizeof dir, "%s/skills/t1/x", w->data);
    assert_int_equal(count_dirs(dir), 1);
    snprintf(dir, sizeof dir, "%s/skills/t1/.incoming", w->data);
    assert_int_equal(count_dirs(dir), 0);
}

static void new_projects_are_written_whole_and_never_over_another(void **state)
{
    struct world *w = *state;
    static const char *const langs[] = {"c", "go", "wat"};
    for (size_t i = 0; i < 3; i++) {
        char dir[256], path[300];
        snprintf(dir, sizeof dir, "%s/p%zu", w->work, i);
        assert_ok(cis_skill_new(dir, CIS_STR("my-skill"), langs[i], err));
        struct cis_buf toml = CIS_BUF_INIT(65536);
        struct cis_manifest m = CIS_MANIFEST_INIT;
        snprintf(path, sizeof path, "%s/skill.toml", dir);
        assert_ok(cis_file_read(path, &toml, err));
        assert_ok(cis_manifest_parse(cis_buf_view(&toml), "skill.toml", &m, err));
        assert_string_equal(m.name, "my-skill");
        assert_int_equal(m.nwarnings, 0);
        cis_manifest_done(&m);
        cis_buf_done(&toml);
        assert_fails(CIS_E_EXISTS, dir, cis_skill_new(dir, CIS_STR("my-skill"), langs[i], err));
    }
    char dir[256];
    snprintf(dir, sizeof dir, "%s/other", w->work);
    assert_fails(CIS_E_USAGE, "no template", cis_skill_new(dir, CIS_STR("a"), "cobol", err));
    assert_fails(CIS_E_USAGE, "not a skill's name", cis_skill_new(dir, CIS_STR("../a"), "c", err));
    assert_false(cis_file_exists(dir));
    snprintf(dir, sizeof dir, "%s/p2", w->work); /* the text module runs as it is */
    struct cis_install_answers none = {0};
    assert_ok(install_as(w, dir, "x", &none, err));
    may(w, "[]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_world, teardown_world)

int main(void)
{
    if (cis_crypto_init(NULL) != CIS_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(an_installed_skill_opens_with_what_was_granted),
        TEST(a_module_alone_gets_only_what_the_user_names),
        TEST(a_name_of_the_user_wins_and_the_longest_name_fits),
        TEST(a_tenant_does_not_see_the_skills_of_another),
        TEST(a_removed_skill_is_gone_with_its_folder),
        TEST(a_record_that_spells_a_path_removes_no_folder),
        TEST(a_record_that_cannot_be_read_is_refused_and_can_be_removed),
        TEST(an_update_replaces_the_folder_of_the_version_before),
        TEST(grants_can_be_taken_back_and_given_again),
        TEST(a_change_is_seen_once_and_only_when_it_is_made),
        TEST(settings_are_checked_kept_and_dropped_with_the_skill),
        TEST(a_required_setting_without_a_value_is_named),
        TEST(requests_without_an_answer_install_nothing),
        TEST(answers_about_what_is_not_asked_are_mistakes),
        TEST(one_half_of_memory_can_be_denied),
        TEST(a_narrower_grant_answers_a_wide_request),
        TEST(yes_never_widens_an_installed_skill),
        TEST(what_was_denied_stays_denied_in_an_update),
        TEST(a_request_taken_back_takes_its_grant_along),
        TEST(another_unsigned_module_asks_again),
        TEST(a_signed_skill_keeps_its_grants_over_versions),
        TEST(another_signer_asks_again),
        TEST(another_maker_inherits_nothing_without_an_answer),
        TEST(memory_that_outlives_its_skill_is_not_the_next_ones),
        TEST(an_older_version_needs_a_word),
        TEST(a_key_from_the_manifest_itself_never_counts),
        TEST(policy_require_wants_a_trusted_signature_at_install_and_at_run),
        TEST(policy_off_does_not_look_at_signatures),
        TEST(any_change_after_signing_is_refused),
        TEST(signing_again_replaces_the_signature_and_keeps_the_text),
        TEST(what_is_no_wasm_or_of_the_other_layer_is_refused),
        TEST(native_and_command_are_refused),
        TEST(a_wrong_checksum_or_a_missing_part_is_refused),
        TEST(a_module_changed_after_the_install_does_not_open),
        TEST(verify_finds_a_change_of_any_file),
        TEST(an_install_planned_against_another_state_is_a_conflict),
        TEST(a_grant_revoked_while_the_plan_waits_stays_revoked),
        TEST(what_a_wider_grant_allows_is_not_revoked_in_silence),
        TEST(killed_at_any_moment_it_is_the_old_skill_or_the_new),
        TEST(new_projects_are_written_whole_and_never_over_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
