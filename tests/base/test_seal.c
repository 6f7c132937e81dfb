/* base/seal.h: texts that others keep, and key files. */
#include "harness.h"

#include <sys/stat.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/seal.h"

static const uint8_t key[CIS_KEY_FILE_BYTES] = {1, 2, 3}, other[CIS_KEY_FILE_BYTES] = {1, 2, 4};

static struct cis_bytes bytes(const char *text)
{
    return cis_bytes_of(text, strlen(text));
}

static cis_code unseal(const uint8_t *with, const char *beside, struct cis_str text,
                       struct cis_buf *out, struct cis_error *err)
{
    cis_buf_reset(out);
    return cis_unseal(with, bytes(beside), text, out, err);
}

static void what_is_sealed_comes_back_whole(void **state)
{
    (void)state;
    static char long_text[100000];
    memset(long_text, 'x', sizeof long_text - 1);
    const char *const texts[] = {"", "a", "some text", long_text};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct cis_buf one = CIS_BUF_INIT(CIS_SEAL_MAX), two = CIS_BUF_INIT(CIS_SEAL_MAX);
        struct cis_buf out = CIS_BUF_INIT(CIS_SEAL_MAX);
        assert_ok(cis_seal(key, bytes("beside"), bytes(texts[i]), &one, err));
        assert_ok(cis_seal(key, bytes("beside"), bytes(texts[i]), &two, err));
        assert_false(cis_str_eq(cis_buf_view(&one), cis_buf_view(&two))); /* never twice the same */
        assert_ok(unseal(key, "beside", cis_buf_view(&one), &out, err));
        assert_true(cis_str_is(cis_buf_view(&out), texts[i]));
        cis_buf_done(&one);
        cis_buf_done(&two);
        cis_buf_done(&out);
    }
}

static void any_change_another_key_or_place_is_refused(void **state)
{
    (void)state;
    struct cis_buf sealed = CIS_BUF_INIT(4096), out = CIS_BUF_INIT(4096);
    assert_ok(cis_seal(key, bytes("beside"), bytes("text"), &sealed, err));
    struct cis_str text = cis_buf_view(&sealed);
    assert_fails(CIS_E_DENIED, "not sealed here", unseal(other, "beside", text, &out, err));
    assert_fails(CIS_E_DENIED, "not sealed here", unseal(key, "besidf", text, &out, err));
    assert_fails(CIS_E_DENIED, "not sealed here", unseal(key, "", text, &out, err));
    for (size_t i = 0; i < sealed.len; i++) {
        uint8_t was = sealed.ptr[i];
        sealed.ptr[i] = was == 'A' ? 'B' : 'A';
        assert_fails(CIS_E_DENIED, "", unseal(key, "beside", text, &out, err));
        sealed.ptr[i] = was;
        struct cis_str cut = {text.ptr, i};
        assert_fails(CIS_E_DENIED, "", unseal(key, "beside", cut, &out, err));
        assert_int_equal(out.len, 0);
    }
    struct cis_str huge = {NULL, CIS_SEAL_MAX + 1};
    assert_fails(CIS_E_DENIED, "longer", unseal(key, "beside", huge, &out, err));
    struct cis_bytes too_much = {key, CIS_SEAL_MAX / 2 + 1};
    assert_fails(CIS_E_LIMIT, "seal", cis_seal(key, bytes(""), too_much, &out, err));
    cis_buf_done(&sealed);
    cis_buf_done(&out);
}

static void a_key_is_made_once_for_its_user_alone(void **state)
{
    (void)state;
    char *dir = test_dir_new();
    CIS_CLEANUP(cis_freep) char *sub = cis_path_join(dir, "a/b");
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(sub, "x.key");
    uint8_t first[CIS_KEY_FILE_BYTES], again[CIS_KEY_FILE_BYTES];
    struct stat st;
    assert_ok(cis_key_file(path, "key", first, err));
    assert_ok(cis_key_file(path, "key", again, err));
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    assert_fails(CIS_E_DENIED, "0600", cis_key_file(path, "key", again, err));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 31), 0);
    assert_fails(CIS_E_DENIED, "damaged", cis_key_file(path, "key", again, err));
    assert_int_equal(truncate(path, 33), 0);
    assert_fails(CIS_E_DENIED, "damaged", cis_key_file(path, "key", again, err));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_fails(CIS_E_DENIED, "the key", cis_key_file(path, "key", again, err));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* keeps nobody waiting */
    assert_fails(CIS_E_DENIED, "0600", cis_key_file(path, "key", again, err));
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

int main(void)
{
    assert_ok(cis_crypto_init(err));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_comes_back_whole),
        cmocka_unit_test(any_change_another_key_or_place_is_refused),
        cmocka_unit_test(a_key_is_made_once_for_its_user_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
