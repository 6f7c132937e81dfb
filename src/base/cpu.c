#include "base/cpu.h"

static bool has_crc32c, has_sha256;

#if defined(__x86_64__)
#include <cpuid.h>

__attribute__((constructor)) static void ask(void)
{
    unsigned a, b, c, d, sets = 0;
    __cpuid(1, a, b, c, d); /* every processor of this kind has it */
    has_crc32c = (c & bit_SSE4_2) != 0;
    bool words = (c & bit_SSE4_1) != 0;
    if (__get_cpuid_count(7, 0, &a, &sets, &c, &d) != 0) {
        has_sha256 = words && (sets & bit_SHA) != 0;
    }
}
#endif

bool cis_cpu_has_crc32c(void)
{
    return has_crc32c;
}

bool cis_cpu_has_sha256(void)
{
    return has_sha256;
}
