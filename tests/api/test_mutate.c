/* Valid guests with bytes changed, put in, taken out or cut off: whatever comes of it is refused,
 * runs, or ends at a limit, and this process lives. usage: test_mutate [ROUNDS [SEED]] */
#include "harness.h"

#include "base/file.h"
#include "base/mem.h"
#include "cis/cis.h"
#include "engine/code/module.h"
#include "system/guests.h"

static uint64_t seed = 0x9e3779b97f4a7c15u, start;
static unsigned rounds = 4000;

static uint32_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32);
}

/* Bytes that mean something in a module: opcodes, types, long numbers. */
static uint8_t odd_byte(void)
{
    static const uint8_t odd[] = {0,    1,    0x0b, 0x0e, 0x10, 0x11, 0x20, 0x3f, 0x40, 0x41,
                                  0x60, 0x6f, 0x70, 0x7e, 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff};
    uint32_t r = next_random();
    return (r & 1) != 0 ? odd[(r >> 1) % sizeof odd] : (uint8_t)(r >> 8);
}

static void mutate(const struct cis_buf *from, struct cis_buf *out)
{
    cis_buf_reset(out);
    cis_buf_add(out, from->ptr, from->len);
    for (unsigned n = 1 + next_random() % 3; n > 0 && out->len > 9; n--) {
        size_t at = 8 + next_random() % (out->len - 8), left = out->len - at;
        size_t some = 1 + next_random() % 4;
        switch (next_random() % 6) {
        case 0:
            out->ptr[at] = (uint8_t)(out->ptr[at] ^ (1u << (next_random() & 7)));
            break;
        case 1:
            out->ptr[at] = odd_byte();
            break;
        case 2: /* put in */
            cis_buf_add(out, "\0\0\0\0", some);
            memmove(out->ptr + at + some, out->ptr + at, left);
            for (size_t i = 0; i < some; i++) {
                out->ptr[at + i] = odd_byte();
            }
            break;
        case 3: /* take out */
            some = some < left ? some : left;
            memmove(out->ptr + at, out->ptr + at + some, left - some);
            out->len -= some;
            break;
        case 4: /* copy a piece over another */
            some = (some * 8 < left ? some * 8 : left);
            memmove(out->ptr + at, out->ptr + next_random() % (out->len - some + 1), some);
            break;
        default:
            out->len = n == 1 ? at : out->len;
            break;
        }
    }
}

static cis_runtime *runtime_new(void)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.compile_in_process = true;
    config.pool_slots = 4;
    cis_runtime *runtime = NULL;
    assert_ok(cis_runtime_new(&config, &runtime, err));
    return runtime;
}

static void must(bool holds, const char *what, unsigned round)
{
    if (!holds) {
        fail_msg("%s: round %u of seed 0x%llx", what, round, (unsigned long long)start);
    }
}

static void run_loaded(cis_runtime *runtime, cis_module *module, unsigned round)
{
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.memory = 16u << 20;
    options.time_ms = 20;
    options.output_max = 1u << 20;
    cis_result *result = NULL;
    struct cis_error err = {0};
    must(cis_module_inspect(module)[0] == '{', "inspect", round);
    if (cis_run(runtime, module, "{\"a\":1}", 7, &options, &result, &err) == CIS_OK) {
        must(cis_result_code(result) != CIS_E_INTERNAL, "an internal error", round);
        cis_result_free(result);
    } else {
        must(err.code != CIS_E_INTERNAL && err.msg[0] != 0, "an internal error", round);
    }
}

static void attack(cis_runtime *runtime, const struct cis_buf *guest, unsigned *loaded)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf m = CIS_BUF_INIT(1u << 20);
    for (unsigned i = 0; i < rounds; i++) {
        mutate(guest, &m);
        struct cis_engine_module_options scan = {.name = "mutant", .features = next_random() & 3};
        struct cis_engine_module_info *info = NULL;
        struct cis_error err = {0};
        uint8_t *exact = malloc(m.len + 1); /* so that a sanitizer sees one byte too many */
        memcpy(exact, m.ptr, m.len);
        cis_code code = cis_engine_module_scan(cis_bytes_of(exact, m.len), &scan, &info, &err);
        must(code == CIS_OK || err.msg[0] != 0, "a refusal without words", i);
        must(code != CIS_E_INTERNAL, "an internal error", i);
        cis_engine_module_info_free(info);
        cis_module *module = NULL;
        code = cis_module_load(runtime, exact, m.len, "mutant", &module, &err);
        must(code != CIS_E_INTERNAL, "an internal error", i);
        if (code == CIS_OK) {
            ++*loaded;
            run_loaded(runtime, module, i);
            cis_module_unref(module);
        }
        free(exact);
    }
}

static void mutated_guests_never_harm_the_host(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* the compiler's own threads are not instrumented */
#endif
    static const char *const names[] = {"echo", "abi_buffer", "abi_direct", "shape_events"};
    cis_runtime *runtime = runtime_new();
    unsigned loaded = 0;
    start = seed;
    print_message("seed 0x%llx, %u rounds\n", (unsigned long long)seed, rounds);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        snprintf(path, sizeof path, CIS_GUESTS_DIR "/%s.wasm", names[i]);
        CIS_CLEANUP(cis_buf_done) struct cis_buf guest = CIS_BUF_INIT(1u << 19);
        assert_ok(cis_file_read(path, &guest, err));
        attack(runtime, &guest, &loaded);
    }
    print_message("%u mutants were valid and ran\n", loaded);
    assert_true(loaded > rounds / 100); /* else nothing but the scan was tested */
    cis_module *module = NULL;
    cis_result *result = NULL;
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.method = "add";
    assert_ok(cis_module_load(runtime, GUEST_ADD, strlen(GUEST_ADD), "add", &module, err));
    assert_ok(cis_run(runtime, module, "[1,1]", 5, &options, &result, err));
    assert_int_equal(cis_result_code(result), CIS_OK);
    cis_result_free(result);
    cis_module_unref(module);
    cis_runtime_free(runtime);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mutated_guests_never_harm_the_host)};
    rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : rounds;
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : seed;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
