/* Packed changed keys: store/commit.h. */
#include "harness.h"

#include <sys/stat.h>
#include "store/commit.h"

static const struct cis_key keys[] = {
    {.kind = CIS_KEY_DIRENT, .ino = 1, .target = 9, .type = S_IFREG, .name = {"a", 1}},
    {.kind = CIS_KEY_DIRENT, .ino = 1, .name = {"a\xff", 2}},
    {.kind = CIS_KEY_DIRENT, .ino = 1, .target = UINT64_MAX, .type = S_IFDIR, .name = {"b", 1}},
    {.kind = CIS_KEY_DIRENT, .ino = 300, .target = 2, .type = S_IFSOCK, .name = {"A", 1}},
    {.kind = CIS_KEY_INODE, .ino = 9, .target = 0},
    {.kind = CIS_KEY_INODE, .ino = 10, .target = 1},
    {.kind = CIS_KEY_DIRATTR, .ino = 1},
    {.kind = CIS_KEY_DIRGONE, .ino = UINT64_MAX},
    {.kind = CIS_KEY_MOVED, .ino = 5, .target = 1},
    {.kind = CIS_KEY_MEMORY, .ns = {"n", 1}, .name = {"k\0\xfe", 3}},
    {.kind = CIS_KEY_MEMORY, .ns = {"na", 2}, .name = {"a", 1}},
    {.kind = CIS_KEY_DIRTIME, .ino = 1},
};
#define KEYS (sizeof keys / sizeof *keys)

static void keys_come_back_in_order_as_they_were(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf blob = CIS_BUF_INIT(4096);
    struct cis_key key;
    size_t at = 0;
    bool more;
    for (size_t i = 0; i < KEYS; i++) {
        cis_keys_add(&blob, &keys[i]);
        assert_true(i == 0 || cis_key_cmp(&keys[i - 1], &keys[i]) < 0);
        assert_int_equal(cis_key_cmp(&keys[i], &keys[i]), 0);
    }
    for (size_t i = 0; i < KEYS; i++) {
        assert_ok(cis_keys_next(cis_buf_bytes(&blob), &at, &key, &more, err));
        assert_true(more && key.kind == keys[i].kind && key.ino == keys[i].ino &&
                    key.target == keys[i].target && key.type == keys[i].type);
        assert_true(cis_str_eq(key.name, keys[i].name) && cis_str_eq(key.ns, keys[i].ns));
    }
    assert_ok(cis_keys_next(cis_buf_bytes(&blob), &at, &key, &more, err));
    assert_false(more);
}

static void no_bytes_are_no_keys(void **state)
{
    (void)state;
    struct cis_key key;
    size_t at = 0;
    bool more = true;
    assert_ok(cis_keys_next((struct cis_bytes){NULL, 0}, &at, &key, &more, err));
    assert_false(more);
}

/* What a cut blob gives is a part of its keys and then the end or an error, never other keys. */
static void a_cut_blob_is_damage_or_fewer_keys(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf blob = CIS_BUF_INIT(4096);
    for (size_t i = 0; i < KEYS; i++) {
        cis_keys_add(&blob, &keys[i]);
    }
    for (size_t cut = 1; cut < blob.len; cut++) {
        struct cis_error err = {0};
        struct cis_key key;
        size_t at = 0, n = 0;
        bool more = true;
        cis_code code = CIS_OK;
        for (;; n++) {
            code = cis_keys_next(cis_bytes_of(blob.ptr, cut), &at, &key, &more, &err);
            if (code != CIS_OK || !more) {
                break;
            }
            assert_int_equal(cis_key_cmp(&key, &keys[n]), 0);
        }
        assert_true(n < KEYS && (code == CIS_OK || code == CIS_E_DAMAGED));
        assert_true(cut != 1 || code == CIS_E_DAMAGED); /* a version alone is nothing */
    }
}

static void malformed_keys_are_damage(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x02\x03\x01",               /* another version */
        "\x01\x08\x01",               /* no such kind */
        "\x01\x03\x80\x00",           /* a number in a long form */
        "\x01\x01\x01\x01/\x01\x08",  /* a name with a slash */
        "\x01\x01\x01\x02..\x01\x08", /* ".." */
        "\x01\x01\x01\x01x\x01\x07",  /* no such type */
        "\x01\x01\x01\x7fx",          /* a name longer than the blob */
        "\x01\x02\x01\x02",           /* gone: 0 or 1 */
        "\x01\x01\x01\x01x\x01\x18",  /* a type out of range */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t at = 0;
        bool more;
        struct cis_key key;
        assert_fails(
            CIS_E_DAMAGED, "changed keys",
            cis_keys_next(cis_bytes_of(bad[i], strlen(bad[i]) + (i == 2)), &at, &key, &more, err));
    }
    static const uint8_t zero_ino[] = {1, CIS_KEY_DIRATTR, 0};
    static const uint8_t typed_whiteout[] = {1, CIS_KEY_DIRENT, 1, 1, 'x', 0, 8};
    static const uint8_t no_parent[] = {1, CIS_KEY_MOVED, 1, 0};
    const struct cis_bytes more_bad[] = {{zero_ino, sizeof zero_ino},
                                         {typed_whiteout, sizeof typed_whiteout},
                                         {no_parent, sizeof no_parent}};
    for (size_t i = 0; i < 3; i++) {
        size_t at = 0;
        bool more;
        struct cis_key key;
        assert_fails(CIS_E_DAMAGED, "changed keys",
                     cis_keys_next(more_bad[i], &at, &key, &more, err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_back_in_order_as_they_were),
        cmocka_unit_test(no_bytes_are_no_keys),
        cmocka_unit_test(a_cut_blob_is_damage_or_fewer_keys),
        cmocka_unit_test(malformed_keys_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
