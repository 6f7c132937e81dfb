/* The guest of the whole-process comparison: reads JSON text, adds up its numbers, answers JSON.
 * One source, two ABIs: `cis` (also served by node.js with a few lines of its own) and Extism's. */
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

static char input[65536];
static char output[64];

/* {"sum":N,"numbers":N} of every run of digits. */
static int work(int len)
{
    uint64_t sum = 0, numbers = 0, at = 0;
    for (int i = 0; i < len;) {
        uint64_t value = 0;
        int start = i;
        for (; i < len && input[i] >= '0' && input[i] <= '9'; i++) {
            value = value * 10 + (uint64_t)(input[i] - '0');
        }
        sum += value;
        numbers += i > start;
        i += i == start;
    }
    const char *parts[] = {"{\"sum\":", ",\"numbers\":", "}"};
    const uint64_t values[] = {sum, numbers};
    for (int p = 0; p < 3; p++) {
        for (const char *c = parts[p]; *c != 0; c++) {
            output[at++] = *c;
        }
        if (p < 2) {
            char digits[20];
            int n = 0;
            uint64_t v = values[p];
            do {
                digits[n++] = (char)('0' + v % 10);
                v /= 10;
            } while (v != 0);
            while (n > 0) {
                output[at++] = digits[--n];
            }
        }
    }
    return (int)at;
}

#ifdef EXTISM
IMPORT("extism:host/env", "input_length") uint64_t input_length(void);
IMPORT("extism:host/env", "input_load_u8") uint32_t input_load_u8(uint64_t offset);
IMPORT("extism:host/env", "input_load_u64") uint64_t input_load_u64(uint64_t offset);
IMPORT("extism:host/env", "alloc") uint64_t extism_alloc(uint64_t size);
IMPORT("extism:host/env", "store_u8") void store_u8(uint64_t offset, uint32_t value);
IMPORT("extism:host/env", "output_set") void output_set(uint64_t offset, uint64_t len);

__attribute__((export_name("run"))) int32_t run(void)
{
    uint64_t len = input_length(), i = 0;
    if (len > sizeof input) {
        return 1;
    }
    for (; i + 8 <= len; i += 8) {
        *(uint64_t *)(void *)(input + i) = input_load_u64(i);
    }
    for (; i < len; i++) {
        input[i] = (char)input_load_u8(i);
    }
    uint64_t n = (uint64_t)work((int)len), out = extism_alloc(n);
    for (i = 0; i < n; i++) {
        store_u8(out + i, (uint8_t)output[i]);
    }
    output_set(out, n);
    return 0;
}
#else
IMPORT("cis", "input_len") int64_t input_len(void);
IMPORT("cis", "input_read") int32_t input_read(int64_t offset, void *out, int32_t cap);
IMPORT("cis", "output_write") int32_t output_write(const void *data, int32_t len);

__attribute__((export_name("skill_execute"))) int32_t skill_execute(const char *unused, int32_t len)
{
    (void)unused;
    if (input_len() > (int64_t)sizeof input || input_read(0, input, sizeof input) < len) {
        return 1;
    }
    output_write(output, work(len));
    return 0;
}
#endif
