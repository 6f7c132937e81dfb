/* Trusted keys and key files. */
#include "util.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const uint8_t K1[32] = {1}, K2[32] = {2};

static const struct cis_key *find_key(const struct cis_keyring *ring, const uint8_t *key)
{
    char hex[65];
    cis_hex(key, CIS_ED25519_PUBLIC_BYTES, hex);
    return cis_keyring_find(ring, cis_str_of(hex));
}

static void a_trusted_key_is_found_until_it_is_untrusted(void **state)
{
    struct world *w = *state;
    struct cis_keyring ring = CIS_KEYRING_INIT;
    assert_ok(cis_keyring_load(w->config, &ring, err));
    assert_int_equal(ring.nkeys, 0);
    assert_ok(cis_keyring_trust(w->config, K1, CIS_STR("alice"), err));
    assert_ok(cis_keyring_trust(w->config, K2, CIS_STR(""), err));
    assert_ok(cis_keyring_load(w->config, &ring, err));
    assert_int_equal(ring.nkeys, 2);
    assert_string_equal(find_key(&ring, K1)->label, "alice");
    assert_non_null(find_key(&ring, K2));
    cis_keyring_done(&ring);
    assert_ok(cis_keyring_untrust(w->config, CIS_STR("alice"), err));
    assert_ok(cis_keyring_load(w->config, &ring, err));
    assert_null(find_key(&ring, K1));
    assert_non_null(find_key(&ring, K2));
    char hex[65];
    memcpy(hex, ring.keys[0].hex, sizeof hex);
    cis_keyring_done(&ring);
    assert_ok(cis_keyring_untrust(w->config, cis_str_of(hex), err));
}

static void trusting_twice_changes_the_name_only(void **state)
{
    struct world *w = *state;
    struct cis_keyring ring = CIS_KEYRING_INIT;
    assert_ok(cis_keyring_trust(w->config, K1, CIS_STR("old"), err));
    assert_ok(cis_keyring_trust(w->config, K1, CIS_STR("new \"name\""), err));
    assert_ok(cis_keyring_trust(w->config, K1, CIS_STR(""), err));
    assert_ok(cis_keyring_load(w->config, &ring, err));
    assert_int_equal(ring.nkeys, 1);
    assert_string_equal(ring.keys[0].label, "new \"name\"");
    cis_keyring_done(&ring);
}

static void what_is_not_trusted_cannot_be_untrusted(void **state)
{
    struct world *w = *state;
    assert_fails(CIS_E_NOTFOUND, "no trusted key",
                 cis_keyring_untrust(w->config, CIS_STR("bob"), err));
    assert_ok(cis_keyring_trust(w->config, K1, CIS_STR("same"), err));
    assert_ok(cis_keyring_trust(w->config, K2, CIS_STR("same"), err));
    assert_fails(CIS_E_USAGE, "more than one",
                 cis_keyring_untrust(w->config, CIS_STR("same"), err));
    assert_fails(CIS_E_NOTFOUND, "no trusted key",
                 cis_keyring_untrust(w->config, CIS_STR(""), err));
    assert_fails(CIS_E_USAGE, "one line",
                 cis_keyring_trust(w->config, K1, CIS_STR("two\nlines"), err));
}

static void a_damaged_keyring_is_an_error_not_an_empty_one(void **state)
{
    struct world *w = *state;
    static const char *const broken[] = {
        "", "{", "[]", "{\"keys\":1}", "{\"keys\":[{}]}", "{\"keys\":[{\"key\":\"12\"}]}"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct cis_keyring ring = CIS_KEYRING_INIT;
        put_text(w->config, "trusted-keys.json", broken[i]);
        assert_fails(CIS_E_INVALID, "trusted-keys.json", cis_keyring_load(w->config, &ring, err));
        assert_fails(CIS_E_INVALID, "trusted-keys.json",
                     cis_keyring_trust(w->config, K1, CIS_STR(""), err));
    }
}

static void a_keyring_that_others_may_write_is_refused(void **state)
{
    struct world *w = *state;
    struct cis_keyring ring = CIS_KEYRING_INIT;
    assert_ok(cis_keyring_trust(w->config, K1, CIS_STR("alice"), err));
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(w->config, "trusted-keys.json");
    assert_int_equal(chmod(path, 0666), 0);
    assert_fails(CIS_E_DENIED, "anybody may write", cis_keyring_load(w->config, &ring, err));
    assert_fails(CIS_E_DENIED, "anybody may write",
                 cis_keyring_trust(w->config, K2, CIS_STR(""), err));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(w->config, 0777), 0);
    assert_fails(CIS_E_DENIED, "anybody may write", cis_keyring_load(w->config, &ring, err));
    assert_int_equal(chmod(w->config, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
        assert_fails(CIS_E_DENIED, "another user", cis_keyring_load(w->config, &ring, err));
    } else {
        note_not_tested("root", __func__, "only root can give a file away");
    }
}

static void concurrent_changes_lose_no_key(void **state)
{
    struct world *w = *state;
    pid_t pids[4];
    for (int p = 0; p < 4; p++) {
        pids[p] = fork();
        if (pids[p] == 0) {
            int bad = 0;
            for (int i = 0; i < 8; i++) {
                uint8_t key[32] = {(uint8_t)p, (uint8_t)i, 9};
                bad |= cis_keyring_trust(w->config, key, CIS_STR("k"), NULL) != CIS_OK;
            }
            _exit(bad);
        }
    }
    for (int p = 0; p < 4; p++) {
        int status;
        assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
        assert_int_equal(status, 0);
    }
    struct cis_keyring ring = CIS_KEYRING_INIT;
    assert_ok(cis_keyring_load(w->config, &ring, err));
    assert_int_equal(ring.nkeys, 32);
    cis_keyring_done(&ring);
}

static void a_generated_pair_signs_and_verifies(void **state)
{
    struct world *w = *state;
    char path[160], pub_path[170];
    snprintf(path, sizeof path, "%s/key", w->work);
    snprintf(pub_path, sizeof pub_path, "%s.pub", path);
    uint8_t pub[32], again[32], secret[64], sig[64];
    assert_ok(cis_key_generate(path, pub, err));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok(cis_key_read_public(pub_path, again, err));
    assert_memory_equal(pub, again, 32);
    assert_ok(cis_key_read_secret(path, secret, err));
    cis_ed25519_sign(secret, cis_bytes_of("x", 1), sig);
    assert_true(cis_ed25519_verify(pub, cis_bytes_of("x", 1), sig));
    char hex[65];
    cis_hex(pub, 32, hex);
    assert_ok(cis_key_read_public(hex, again, err));
    assert_memory_equal(pub, again, 32);
    assert_fails(CIS_E_EXISTS, path, cis_key_generate(path, pub, err));
}

static void a_key_that_cannot_be_written_whole_leaves_no_file(void **state)
{
    struct world *w = *state;
    char path[160], pub_path[170];
    snprintf(path, sizeof path, "%s/key", w->work);
    snprintf(pub_path, sizeof pub_path, "%s.pub", path);
    uint8_t pub[32];
    struct rlimit before;
    struct stat st;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct sigaction ignore = {.sa_handler = SIG_IGN}, handler;
    sigaction(SIGXFSZ, &ignore, &handler);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){40, before.rlim_max}); /* a part of the secret fits */
    cis_code code = cis_key_generate(path, pub, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    sigaction(SIGXFSZ, &handler, NULL);
    assert_int_equal(code, CIS_E_IO);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(stat(pub_path, &st), -1);
    assert_ok(cis_key_generate(path, pub, err)); /* nothing is in the way */
    assert_int_equal(unlink(path), 0);
    assert_fails(CIS_E_EXISTS, pub_path, cis_key_generate(path, pub, err));
    assert_int_equal(stat(path, &st), -1); /* no half pair, and nobody's file is removed */
    assert_int_equal(stat(pub_path, &st), 0);
}

static void a_secret_key_that_others_may_read_is_refused(void **state)
{
    struct world *w = *state;
    char path[160];
    snprintf(path, sizeof path, "%s/key", w->work);
    uint8_t pub[32], secret[64];
    assert_ok(cis_key_generate(path, pub, err));
    assert_int_equal(chmod(path, 0640), 0);
    assert_fails(CIS_E_DENIED, "chmod 600", cis_key_read_secret(path, secret, err));
    put_text(w->work, "junk", "cis-ed25519-secret 12\n");
    snprintf(path, sizeof path, "%s/junk", w->work);
    assert_fails(CIS_E_INVALID, "not a secret key", cis_key_read_secret(path, secret, err));
    assert_fails(CIS_E_INVALID, "not a public key", cis_key_read_public(path, pub, err));
    assert_fails(CIS_E_NOTFOUND, "neither", cis_key_read_public("no-such-file", pub, err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_world, teardown_world)

int main(void)
{
    if (cis_crypto_init(NULL) != CIS_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(a_trusted_key_is_found_until_it_is_untrusted),
        TEST(trusting_twice_changes_the_name_only),
        TEST(what_is_not_trusted_cannot_be_untrusted),
        TEST(a_damaged_keyring_is_an_error_not_an_empty_one),
        TEST(a_keyring_that_others_may_write_is_refused),
        TEST(concurrent_changes_lose_no_key),
        TEST(a_generated_pair_signs_and_verifies),
        TEST(a_key_that_cannot_be_written_whole_leaves_no_file),
        TEST(a_secret_key_that_others_may_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
