/* The shape of compiled skills in the wild: imports nothing, no allocator, exports memory,
 * __data_end, __heap_base and skill_* functions. This one: init, event, shutdown. */
#include "guest.h"

static char kept[4096];

EXPORT("skill_init") i32 skill_init(void)
{
    return 0;
}

EXPORT("skill_handle_event") i32 skill_handle_event(const char *event, i32 len)
{
    static const char want[] = "{\"type\":\"Custom\"";
    for (u32 i = 0; i < sizeof want - 1; i++) {
        if (i >= (u32)len || event[i] != want[i]) {
            return 1;
        }
    }
    for (i32 i = 0; i < len && i < (i32)sizeof kept; i++) {
        kept[i] = event[i];
    }
    return 0;
}

EXPORT("skill_shutdown") i32 skill_shutdown(void)
{
    return 0;
}
