/* Checksums and packed integers: base/crc32c.h, base/varint.h. */
#include "harness.h"

#include "base/crc32c.h"
#include "base/varint.h"

static void crc32c_gives_the_published_values(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(cis_crc32c(0, "123456789", 9), 0xe3069283u);
    memset(bytes, 0, sizeof bytes); /* RFC 3720, B.4 */
    assert_int_equal(cis_crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(cis_crc32c(0, bytes, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(cis_crc32c(0, bytes, 32), 0x46dd794eu);
    assert_int_equal(cis_crc32c(0, "", 0), 0);
}

static void crc32c_by_instruction_and_by_table_agree(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 131 + 7);
    }
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; len + from <= sizeof bytes; len++) {
            uint32_t whole = cis_crc32c_table(0, bytes + from, len);
            assert_int_equal(cis_crc32c(0, bytes + from, len), whole);
            uint32_t head = cis_crc32c(0, bytes + from, len / 3);
            assert_int_equal(cis_crc32c(head, bytes + from + len / 3, len - len / 3), whole);
        }
    }
}

static void varints_come_back_and_have_one_form(void **state)
{
    (void)state;
    static const uint64_t values[] = {0,     1,          127,        128,           16383,
                                      16384, UINT32_MAX, INT64_MAX,  1ull << 63,    UINT64_MAX,
                                      255,   1ull << 35, 1ull << 62, UINT64_MAX - 1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t bytes[CIS_VARINT_MAX + 1] = {0};
        size_t len = cis_varint_put(bytes, values[i]), at = 0;
        uint64_t back = 1;
        assert_true(len <= CIS_VARINT_MAX);
        assert_true(cis_varint_get(cis_bytes_of(bytes, len), &at, &back));
        assert_true(back == values[i] && at == len);
        at = 0; /* cut */
        assert_false(cis_varint_get(cis_bytes_of(bytes, len - 1), &at, &back));
        at = 0; /* longer than needed */
        bytes[len - 1] |= 0x80;
        bytes[len] = 0;
        assert_false(cis_varint_get(cis_bytes_of(bytes, len + 1), &at, &back));
    }
    static const uint8_t over[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    size_t at = 0;
    uint64_t value;
    assert_false(cis_varint_get(cis_bytes_of(over, sizeof over), &at, &value));
}

static void zigzag_keeps_every_signed_value(void **state)
{
    (void)state;
    static const int64_t values[] = {0, -1, 1, -64, 63, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_true(cis_unzigzag(cis_zigzag(values[i])) == values[i]);
    }
    assert_int_equal(cis_zigzag(-1), 1);
    assert_int_equal(cis_zigzag(1), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_published_values),
        cmocka_unit_test(crc32c_by_instruction_and_by_table_agree),
        cmocka_unit_test(varints_come_back_and_have_one_form),
        cmocka_unit_test(zigzag_keeps_every_signed_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
