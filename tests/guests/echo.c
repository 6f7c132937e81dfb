/* The input comes back, by each way in and out that a guest without a libc has. */
#include "guest.h"

IMPORT("cis", "input_len") i64 cis_input_len(void);
IMPORT("cis", "input_read") i32 cis_input_read(i64 offset, i32 ptr, i32 cap);

static char chunk[50000];

EXPORT("skill_execute") i32 skill_execute(const char *input, i32 len)
{
    return cis_output_write(P(input), len);
}

EXPORT("execute") const char *execute(const char *input)
{
    return input;
}

EXPORT("skill_chunks") i32 skill_chunks(void)
{
    i64 at = 0;
    while (at < cis_input_len()) {
        i32 n = cis_input_read(at, P(chunk), sizeof chunk);
        if (n <= 0 || cis_output_write(P(chunk), n) != 0) {
            return -1;
        }
        at += n;
    }
    return 0;
}
