/* Packed attributes and what names and times are: store/row.h, store/fs.h. */
#include "harness.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "store/row.h"

static struct cis_fs_inode file_row(void)
{
    struct cis_fs_time t = {1700000000, 123456789};
    return (struct cis_fs_inode){.ino = 7,
                                 .epoch = 9,
                                 .mode = S_IFREG | 0644,
                                 .nlink = 1,
                                 .uid = 1000,
                                 .gid = 1000,
                                 .size = 5,
                                 .is_inline = true,
                                 .atime = t,
                                 .mtime = t,
                                 .ctime = t,
                                 .btime = t,
                                 .data = {(const uint8_t *)"hello", 5}};
}

static void assert_same(const struct cis_fs_inode *a, const struct cis_fs_inode *b)
{
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->nlink, b->nlink);
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->gid, b->gid);
    assert_true(a->rdev == b->rdev && a->size == b->size && a->stored == b->stored &&
                a->parent == b->parent);
    assert_int_equal(cis_fs_time_cmp(a->atime, b->atime), 0);
    assert_int_equal(cis_fs_time_cmp(a->mtime, b->mtime), 0);
    assert_int_equal(cis_fs_time_cmp(a->ctime, b->ctime), 0);
    assert_int_equal(cis_fs_time_cmp(a->btime, b->btime), 0);
    assert_true(a->gone == b->gone && a->is_inline == b->is_inline);
}

static size_t back_and_forth(const struct cis_fs_inode *in)
{
    uint8_t packed[CIS_ROW_MAX];
    size_t len = cis_inode_pack(in, packed);
    assert_true(len <= CIS_ROW_MAX);
    struct cis_fs_inode out = {.ino = 3, .epoch = 4, .data = {packed, 1}};
    assert_ok(cis_inode_unpack(cis_bytes_of(packed, len), &out, err));
    assert_same(in, &out);
    assert_true(out.ino == 3 && out.epoch == 4 && out.data.ptr == packed && out.data.len == 1);
    /* Every shorter form is refused, and so is a byte more. */
    for (size_t cut = 0; cut < len; cut++) {
        assert_fails(CIS_E_DAMAGED, "inode",
                     cis_inode_unpack(cis_bytes_of(packed, cut), &out, err));
    }
    if (len < CIS_ROW_MAX) {
        packed[len] = 0;
        assert_fails(CIS_E_DAMAGED, "inode",
                     cis_inode_unpack(cis_bytes_of(packed, len + 1), &out, err));
    }
    return len;
}

static void attributes_come_back_as_they_were(void **state)
{
    (void)state;
    struct cis_fs_inode in = file_row();
    assert_true(back_and_forth(&in) <= 32); /* a fresh file: this is what a million of them cost */
    in.atime = (struct cis_fs_time){-1, 999999999};
    in.ctime = (struct cis_fs_time){INT64_MAX, 0};
    in.btime = (struct cis_fs_time){INT64_MIN, 1};
    back_and_forth(&in);
    in = (struct cis_fs_inode){.mode = S_IFDIR | 01777, .nlink = 2, .parent = 1};
    back_and_forth(&in);
    in = (struct cis_fs_inode){.mode = S_IFLNK | 0777, .nlink = 1, .size = CIS_FS_TARGET_MAX};
    back_and_forth(&in);
    in = (struct cis_fs_inode){.mode = S_IFBLK, .nlink = 1, .rdev = UINT64_MAX};
    back_and_forth(&in);
    in = (struct cis_fs_inode){.mode = S_IFREG | 0600, .gone = true};
    back_and_forth(&in);
    in = (struct cis_fs_inode){.mode = S_IFDIR | 0700, .gone = true};
    back_and_forth(&in);
}

/* With the major number in the upper half: 0.1 took them so from folders of the host. */
static void devices_that_an_older_version_stored_keep_their_numbers(void **state)
{
    (void)state;
    static const uint64_t rows[] = {259ull << 32 | 70000, 1ull << 32 | 3, 4095ull << 32 | 0xfffff};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dev_t rdev = makedev((unsigned)(rows[i] >> 32), (unsigned)rows[i]);
        assert_int_equal(cis_fs_device(rows[i]), rdev);
        assert_int_equal(cis_fs_device(rdev), rdev);
    }
    assert_int_equal(cis_fs_device(0), 0);
    assert_int_equal(cis_fs_device(300), 300);
}

static void the_largest_row_has_room(void **state)
{
    (void)state;
    struct cis_fs_time far = {INT64_MIN, 999999999};
    struct cis_fs_inode in = {.mode = S_IFCHR | 07777,
                              .nlink = UINT32_MAX,
                              .uid = UINT32_MAX,
                              .gid = UINT32_MAX,
                              .rdev = UINT64_MAX,
                              .stored = INT64_MAX,
                              .atime = far,
                              .mtime = {INT64_MAX, 999999999},
                              .ctime = far,
                              .btime = far};
    back_and_forth(&in);
    in = file_row();
    in.is_inline = false;
    in.size = CIS_FS_SIZE_MAX;
    in.stored = INT64_MAX;
    back_and_forth(&in);
}

static void attributes_that_no_writer_makes_are_damage(void **state)
{
    (void)state;
    struct cis_fs_inode bad[12];
    for (size_t i = 0; i < 12; i++) {
        bad[i] = file_row();
    }
    bad[0].mode = 0644;              /* no type */
    bad[1].mode = S_IFREG | 0200000; /* bits outside */
    bad[2].parent = 5;               /* files have none */
    bad[3].rdev = 1;
    bad[4].size = CIS_FS_INLINE_MAX + 1;
    bad[5].is_inline = false, bad[5].size = (uint64_t)CIS_FS_SIZE_MAX + 1;
    bad[6].mode = S_IFDIR | 0755, bad[6].is_inline = false, bad[6].parent = 1; /* size 5 */
    bad[7].mode = S_IFDIR | 0755, bad[7].is_inline = false, bad[7].size = 0;   /* no parent */
    bad[8].mode = S_IFLNK | 0777;                                              /* inline */
    bad[9].mode = S_IFLNK | 0777, bad[9].is_inline = false, bad[9].size = 4096;
    bad[10].mode = S_IFIFO | 0600, bad[10].is_inline = false;
    bad[11].mtime.ns = 1000000000;
    for (size_t i = 0; i < 12; i++) {
        uint8_t packed[CIS_ROW_MAX];
        size_t len = cis_inode_pack(&bad[i], packed);
        struct cis_fs_inode out = {.ino = 42};
        assert_fails(CIS_E_DAMAGED, "inode",
                     cis_inode_unpack(cis_bytes_of(packed, len), &out, err));
        assert_true(out.ino == 42 && out.mode == 0); /* untouched */
    }
}

static void unknown_versions_and_flags_are_refused(void **state)
{
    (void)state;
    uint8_t packed[CIS_ROW_MAX];
    struct cis_fs_inode in = file_row(), out = {0};
    size_t len = cis_inode_pack(&in, packed);
    packed[0] = 2;
    assert_fails(CIS_E_DAMAGED, "version", cis_inode_unpack(cis_bytes_of(packed, len), &out, err));
    packed[0] = 1;
    packed[1] |= 0x20;
    assert_fails(CIS_E_DAMAGED, "malformed",
                 cis_inode_unpack(cis_bytes_of(packed, len), &out, err));
}

static void a_time_stored_apart_though_it_is_the_same_is_refused(void **state)
{
    (void)state;
    uint8_t packed[CIS_ROW_MAX];
    struct cis_fs_inode in = file_row(), out = {0};
    size_t len = cis_inode_pack(&in, packed);
    memcpy(packed + len, packed + len - 10, 10); /* mtime: 5 bytes of seconds, 4 or 5 of the rest */
    packed[1] |= 4;
    assert_fails(CIS_E_DAMAGED, "malformed",
                 cis_inode_unpack(cis_bytes_of(packed, len + 9), &out, err));
}

static void ref_names_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {"main", "a", "_x", "A/b/c", "run@01", "v1.2-rc_3", "a/.b"};
    static const char *const bad[] = {"",    "a/", "/a",  "-a", ".a",  "a..b",
                                      "a b", "@x", "a\n", "ä",  "a:b", "a*"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(cis_fs_ref_valid(cis_str_of(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(cis_fs_ref_valid(cis_str_of(bad[i])));
    }
    char name[CIS_FS_REF_MAX + 1];
    memset(name, 'x', sizeof name);
    assert_true(cis_fs_ref_valid((struct cis_str){name, CIS_FS_REF_MAX}));
    assert_false(cis_fs_ref_valid((struct cis_str){name, CIS_FS_REF_MAX + 1}));
}

static void entry_names_are_bytes_without_slash_and_nul(void **state)
{
    (void)state;
    char name[CIS_FS_NAME_MAX + 1];
    memset(name, 'x', sizeof name);
    assert_true(cis_fs_name_valid((struct cis_str){name, CIS_FS_NAME_MAX}));
    assert_false(cis_fs_name_valid((struct cis_str){name, CIS_FS_NAME_MAX + 1}));
    assert_true(cis_fs_name_valid(CIS_STR("\xff\x01 ...")));
    assert_true(cis_fs_name_valid(CIS_STR("...")));
    assert_false(cis_fs_name_valid(CIS_STR(".")));
    assert_false(cis_fs_name_valid(CIS_STR("..")));
    assert_false(cis_fs_name_valid(CIS_STR("")));
    assert_false(cis_fs_name_valid(CIS_STR("a/b")));
    assert_false(cis_fs_name_valid(CIS_STR("a\0b")));
}

static void times_compare_by_seconds_then_nanoseconds(void **state)
{
    (void)state;
    struct cis_fs_time a = {-5, 10}, b = {-5, 11}, c = {4, 0};
    assert_int_equal(cis_fs_time_cmp(a, b), -1);
    assert_int_equal(cis_fs_time_cmp(b, a), 1);
    assert_int_equal(cis_fs_time_cmp(c, b), 1);
    assert_int_equal(cis_fs_time_cmp(b, c), -1);
    assert_int_equal(cis_fs_time_cmp(a, a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_come_back_as_they_were),
        cmocka_unit_test(devices_that_an_older_version_stored_keep_their_numbers),
        cmocka_unit_test(the_largest_row_has_room),
        cmocka_unit_test(attributes_that_no_writer_makes_are_damage),
        cmocka_unit_test(unknown_versions_and_flags_are_refused),
        cmocka_unit_test(a_time_stored_apart_though_it_is_the_same_is_refused),
        cmocka_unit_test(ref_names_are_checked),
        cmocka_unit_test(entry_names_are_bytes_without_slash_and_nul),
        cmocka_unit_test(times_compare_by_seconds_then_nanoseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
