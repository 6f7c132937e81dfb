/* How the content of a block is packed: store/chunk.h. */
#include "harness.h"

#include "base/crypto.h"
#include "base/le.h"
#include "base/mem.h"
#include "store/chunk.h"

static uint8_t content[CIS_FS_BLOCK], packed[CIS_CHUNK_PACKED_MAX], got[CIS_FS_BLOCK];
static cis_chunk_codec *codec;

static int setup(void **state)
{
    (void)state;
    return cis_chunk_codec_new(&codec, NULL) == CIS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    cis_chunk_codec_free(codec);
    return 0;
}

static void fill_text(size_t len)
{
    for (size_t i = 0; i < len; i++) {
        content[i] = (uint8_t)((uint8_t) "the quick brown fox "[i % 20] + (i / 977) % 3);
    }
}

static void fill_noise(size_t len)
{
    cis_random_bytes(content, len);
}

/* What a backend does for one read: plan, fetch just that, unpack. */
static cis_code read_range(size_t packed_len, uint32_t off, uint32_t len, struct cis_error *err)
{
    uint32_t from, n;
    CIS_TRY(
        cis_chunk_plan(packed, (uint32_t)(packed_len - CIS_CHUNK_HEAD), off, len, &from, &n, err));
    assert_true(from + n <= packed_len - CIS_CHUNK_HEAD);
    memset(got, 0xee, sizeof got);
    uint8_t *piece = malloc(n != 0 ? n : 1); /* of the exact size */
    memcpy(piece, packed + CIS_CHUNK_HEAD + from, n);
    cis_code code = cis_chunk_unpack(codec, packed, cis_bytes_of(piece, n), off, len, got, err);
    free(piece);
    return code;
}

static void assert_range(size_t packed_len, uint32_t content_len, uint32_t off, uint32_t len)
{
    assert_ok(read_range(packed_len, off, len, err));
    for (uint32_t i = 0; i < len; i++) {
        uint8_t expected = off + i < content_len ? content[off + i] : 0;
        if (got[i] != expected) {
            fail_msg("content of %u, read %u+%u: byte %u is %u, not %u", content_len, off, len, i,
                     got[i], expected);
        }
    }
}

static void every_range_of_every_length_reads_back(void **state)
{
    (void)state;
    static const uint32_t lens[] = {1,    63,   64,    65,    4095,  4096,        4097,
                                    8192, 9000, 32767, 32768, 65535, CIS_FS_BLOCK};
    static const uint32_t offs[] = {0, 1, 4095, 4096, 4097, 30000, 61440, 65535};
    for (int noise = 0; noise < 2; noise++) {
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
            noise != 0 ? fill_noise(lens[i]) : fill_text(lens[i]);
            size_t n = cis_chunk_pack(codec, cis_bytes_of(content, lens[i]), true, packed);
            assert_true(n <= CIS_CHUNK_HEAD + lens[i]);
            assert_int_equal(cis_chunk_len(packed), lens[i]);
            for (size_t k = 0; k < sizeof offs / sizeof *offs; k++) {
                uint32_t rest = CIS_FS_BLOCK - offs[k];
                assert_range(n, lens[i], offs[k], 1);
                assert_range(n, lens[i], offs[k], rest);
                assert_range(n, lens[i], offs[k], rest < 4096 ? rest : 4096);
                assert_range(n, lens[i], offs[k], 0);
            }
        }
    }
}

static void compression_is_kept_when_it_saves_an_eighth(void **state)
{
    (void)state;
    fill_text(CIS_FS_BLOCK);
    size_t n = cis_chunk_pack(codec, cis_bytes_of(content, CIS_FS_BLOCK), true, packed);
    assert_int_equal(packed[3], CIS_CHUNK_ZSTD);
    assert_true(n < CIS_FS_BLOCK / 4);
    n = cis_chunk_pack(codec, cis_bytes_of(content, CIS_FS_BLOCK), false, packed);
    assert_int_equal(packed[3], CIS_CHUNK_RAW);
    assert_int_equal(n, CIS_CHUNK_PACKED_MAX);
    fill_noise(CIS_FS_BLOCK);
    n = cis_chunk_pack(codec, cis_bytes_of(content, CIS_FS_BLOCK), true, packed);
    assert_int_equal(packed[3], CIS_CHUNK_RAW);
    /* A sixteenth saved is not worth it, a quarter is. */
    memset(content, 0, CIS_FS_BLOCK / 16);
    cis_chunk_pack(codec, cis_bytes_of(content, CIS_FS_BLOCK), true, packed);
    assert_int_equal(packed[3], CIS_CHUNK_RAW);
    memset(content, 0, CIS_FS_BLOCK / 4);
    n = cis_chunk_pack(codec, cis_bytes_of(content, CIS_FS_BLOCK), true, packed);
    assert_int_equal(packed[3], CIS_CHUNK_ZSTD);
    assert_range(n, CIS_FS_BLOCK, 10000, 20000);
}

static void a_small_read_of_a_plain_chunk_needs_only_its_pieces(void **state)
{
    (void)state;
    fill_noise(CIS_FS_BLOCK);
    size_t n = cis_chunk_pack(codec, cis_bytes_of(content, 50000), true, packed);
    uint32_t off, len, payload = (uint32_t)(n - CIS_CHUNK_HEAD);
    assert_ok(cis_chunk_plan(packed, payload, 5000, 100, &off, &len, err));
    assert_true(off == 4096 && len == 4096);
    assert_ok(cis_chunk_plan(packed, payload, 4095, 2, &off, &len, err));
    assert_true(off == 0 && len == 8192);
    assert_ok(cis_chunk_plan(packed, payload, 49999, 4096, &off, &len, err));
    assert_true(off == 49152 && len == 50000 - 49152);
    assert_ok(cis_chunk_plan(packed, payload, 50000, 4096, &off, &len, err));
    assert_int_equal(len, 0);
}

/* Every single flipped bit is found by a read of all, or changes nothing that is read. */
static void flip_each_bit(size_t n, uint32_t len)
{
    for (size_t bit = 0; bit<n * 8; bit += n> 2000 ? 61 : 1) {
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct cis_error err = {0};
        cis_code code = read_range(n, 0, CIS_FS_BLOCK, &err);
        if (code == CIS_OK) { /* zstd may have bits that mean nothing; content must be right */
            assert_memory_equal(got, content, len);
        } else {
            assert_int_equal(code, CIS_E_DAMAGED);
        }
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_range(n, len, 0, CIS_FS_BLOCK);
}

static void a_flipped_bit_is_damage_and_never_a_wrong_answer(void **state)
{
    (void)state;
    fill_noise(CIS_FS_BLOCK);
    memset(content + 300, 0, CIS_FS_BLOCK - 300);
    flip_each_bit(cis_chunk_pack(codec, cis_bytes_of(content, 300), false, packed), 300);
    fill_text(20000);
    memset(content + 20000, 0, CIS_FS_BLOCK - 20000);
    flip_each_bit(cis_chunk_pack(codec, cis_bytes_of(content, 20000), true, packed), 20000);
    fill_noise(CIS_FS_BLOCK);
    flip_each_bit(cis_chunk_pack(codec, cis_bytes_of(content, CIS_FS_BLOCK), true, packed),
                  CIS_FS_BLOCK);
}

static void a_flipped_bit_of_the_head_never_moves_where_zeros_begin(void **state)
{
    (void)state;
    fill_text(20000);
    size_t n = cis_chunk_pack(codec, cis_bytes_of(content, 20000), true, packed);
    for (size_t bit = 0; bit < 64; bit++) {
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct cis_error err = {0};
        assert_int_equal(cis_chunk_len(packed), 0);
        assert_int_equal(read_range(n, 19000, 2000, &err), CIS_E_DAMAGED);
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void a_damaged_head_is_no_content_of_zeros(void **state)
{
    (void)state;
    fill_text(20000);
    size_t n = cis_chunk_pack(codec, cis_bytes_of(content, 20000), true, packed);
    packed[4] ^= 1;
    assert_fails(CIS_E_DAMAGED, "its head is damaged",
                 cis_chunk_unpack(codec, packed,
                                  cis_bytes_of(packed + CIS_CHUNK_HEAD, n - CIS_CHUNK_HEAD), 0, 100,
                                  got, err));
}

static void damage_in_one_piece_leaves_the_others_readable(void **state)
{
    (void)state;
    fill_noise(CIS_FS_BLOCK);
    size_t n = cis_chunk_pack(codec, cis_bytes_of(content, CIS_FS_BLOCK), false, packed);
    packed[CIS_CHUNK_HEAD + 5000] ^= 1;
    assert_range(n, CIS_FS_BLOCK, 0, 4096);
    assert_range(n, CIS_FS_BLOCK, 8192, CIS_FS_BLOCK - 8192);
    assert_fails(CIS_E_DAMAGED, "checksum differs at byte 4096", read_range(n, 8000, 100, err));
    assert_fails(CIS_E_DAMAGED, "checksum differs at byte 4096",
                 read_range(n, 0, CIS_FS_BLOCK, err));
}

static void a_cut_payload_is_damage(void **state)
{
    (void)state;
    fill_text(20000);
    size_t n = cis_chunk_pack(codec, cis_bytes_of(content, 20000), true, packed);
    for (size_t cut = CIS_CHUNK_HEAD; cut < n; cut += 7) {
        struct cis_error err = {0};
        assert_int_equal(read_range(cut, 100, 100, &err), CIS_E_DAMAGED);
    }
    n = cis_chunk_pack(codec, cis_bytes_of(content, 20000), false, packed);
    assert_fails(CIS_E_DAMAGED, "bytes are stored for", read_range(n - 1, 0, 1, err));
    assert_fails(CIS_E_DAMAGED, "bytes where",
                 cis_chunk_unpack(codec, packed, cis_bytes_of(packed + CIS_CHUNK_HEAD, 4095), 0, 1,
                                  got, err));
}

static void the_hash_is_keyed_and_ignores_zeros_at_the_end(void **state)
{
    (void)state;
    uint8_t key[32] = {1}, other[32] = {2}, a[32], b[32];
    fill_text(CIS_FS_BLOCK);
    memset(content + 1000, 0, CIS_FS_BLOCK - 1000);
    cis_chunk_hash(key, cis_bytes_of(content, 1000), a);
    static const size_t lens[] = {1001, 1007, 1008, 1009, 4096, CIS_FS_BLOCK};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        cis_chunk_hash(key, cis_bytes_of(content, lens[i]), b);
        assert_memory_equal(a, b, 32);
    }
    cis_chunk_hash(key, cis_bytes_of(content, 999), b);
    assert_memory_not_equal(a, b, 32);
    cis_chunk_hash(other, cis_bytes_of(content, 1000), b);
    assert_memory_not_equal(a, b, 32);
    cis_chunk_hash(key, cis_bytes_of(content + 1000, 16), a);
    cis_chunk_hash(key, cis_bytes_of(content + 1000, 64536), b);
    assert_memory_equal(a, b, 32);
}

static void a_codec_that_gets_no_memory_says_so(void **state)
{
    (void)state;
    cis_chunk_codec *none = NULL;
    cis_mem_fail_after(0);
    assert_fails(CIS_E_NOMEM, "out of memory", cis_chunk_codec_new(&none, err));
    cis_mem_fail_after(SIZE_MAX);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_of_every_length_reads_back),
        cmocka_unit_test(compression_is_kept_when_it_saves_an_eighth),
        cmocka_unit_test(a_small_read_of_a_plain_chunk_needs_only_its_pieces),
        cmocka_unit_test(a_flipped_bit_is_damage_and_never_a_wrong_answer),
        cmocka_unit_test(a_flipped_bit_of_the_head_never_moves_where_zeros_begin),
        cmocka_unit_test(a_damaged_head_is_no_content_of_zeros),
        cmocka_unit_test(damage_in_one_piece_leaves_the_others_readable),
        cmocka_unit_test(a_cut_payload_is_damage),
        cmocka_unit_test(the_hash_is_keyed_and_ignores_zeros_at_the_end),
        cmocka_unit_test(a_codec_that_gets_no_memory_says_so),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
