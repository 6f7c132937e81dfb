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

struct pieces {
    struct cis_buf all; /* the keys of all pieces, packed as one */
    size_t n, longest;
    uint64_t stop_at; /* piece; 0: none */
    bool ended;
};

static bool take_piece(void *self, const struct cis_fs_commit_row *row)
{
    struct pieces *p = self;
    struct cis_key key;
    size_t at = 0;
    assert_false(p->ended);
    for (bool more = true;;) {
        assert_ok(cis_keys_next(row->keys, &at, &key, &more, err));
        if (!more) {
            break;
        }
        cis_keys_add(&p->all, &key);
    }
    p->longest = row->keys.len > p->longest ? row->keys.len : p->longest;
    p->ended = !row->keys_more;
    return ++p->n != p->stop_at;
}

static void long_keys(struct cis_buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[CIS_STORE_KEY_MAX + 1], ns[CIS_STORE_NAME_MAX + 1];
        memset(text, 'k', sizeof text);
        memset(ns, 'n', sizeof ns);
        (void)!snprintf(ns, 16, "%08zu", i);
        ns[8] = 'n';
        struct cis_key key = {.kind = CIS_KEY_MEMORY,
                              .ns = {ns, i % 3 == 0 ? CIS_STORE_NAME_MAX : 9},
                              .name = {text, 1 + i * 7 % CIS_STORE_KEY_MAX}};
        cis_keys_add(out, &key);
    }
}

static void keys_in_parts_that_end_anywhere_are_given_whole(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(8u << 20);
    static const size_t sizes[] = {CIS_KEYS_PART, CIS_KEYS_PART - 1, 100001, 4096};
    long_keys(&all, 2000);
    assert_true(all.len > 4 * CIS_KEYS_PIECE);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CIS_CLEANUP(cis_keys_cut_done) struct cis_keys_cut cut = {NULL, 0, 0};
        struct pieces p = {.all = CIS_BUF_INIT(8u << 20)};
        for (int turn = 0; turn < 2; turn++) { /* of two commits, one after the other */
            p.ended = false;
            cis_buf_reset(&p.all);
            for (size_t at = 0; at < all.len; at += sizes[i]) {
                size_t len = all.len - at < sizes[i] ? all.len - at : sizes[i];
                struct cis_fs_commit_row row = {.epoch = 1, .keys = {all.ptr + at, len}};
                bool wanted = false;
                assert_ok(cis_keys_part(&cut, &row, all.len, take_piece, &p, &wanted, err));
                assert_true(wanted);
            }
            assert_true(p.ended && p.all.len == all.len);
            assert_memory_equal(p.all.ptr, all.ptr, all.len);
        }
        assert_true(p.longest <= CIS_KEYS_PIECE);
        cis_buf_done(&p.all);
    }
}

static bool see_damage(void *self, const struct cis_fs_commit_row *row)
{
    struct cis_key key;
    size_t at = 0;
    bool more = true;
    while (more && cis_keys_next(row->keys, &at, &key, &more, NULL) == CIS_OK) {
    }
    *(bool *)self = more;
    return true;
}

static void malformed_keys_in_parts_are_damage(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(8u << 20);
    long_keys(&all, 1000);
    memset(all.ptr + all.len / 2, 0xee, 3000); /* no key is as long */
    CIS_CLEANUP(cis_keys_cut_done) struct cis_keys_cut cut = {NULL, 0, 0};
    bool told = false;
    for (size_t at = 0; at < all.len && !told; at += CIS_KEYS_PART) {
        size_t len = all.len - at < CIS_KEYS_PART ? all.len - at : CIS_KEYS_PART;
        struct cis_fs_commit_row row = {.epoch = 1, .keys = {all.ptr + at, len}};
        bool wanted = true;
        assert_ok(cis_keys_part(&cut, &row, all.len, see_damage, &told, &wanted, err));
    }
    assert_true(told);
    struct cis_fs_commit_row odd = {.epoch = 1, .keys = {all.ptr, 10}};
    struct cis_keys_cut fresh = {NULL, 0, 0};
    bool wanted;
    assert_fails(CIS_E_DAMAGED, "a part of 10 bytes",
                 cis_keys_part(&fresh, &odd, 9, take_piece, NULL, &wanted, err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_back_in_order_as_they_were),
        cmocka_unit_test(no_bytes_are_no_keys),
        cmocka_unit_test(a_cut_blob_is_damage_or_fewer_keys),
        cmocka_unit_test(malformed_keys_are_damage),
        cmocka_unit_test(keys_in_parts_that_end_anywhere_are_given_whole),
        cmocka_unit_test(malformed_keys_in_parts_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
