/* Every function of cis-direct, behind execute(ptr) -> ptr with alloc and dealloc. */
#include "guest.h"

IMPORT("cis", "ai_prompt") i32 ai_prompt(i32 prompt, i32 plen, i32 result, i32 cap);
IMPORT("cis", "memory_get") i32 memory_get(i32 key, i32 klen, i32 value, i32 cap);
IMPORT("cis", "memory_set") void memory_set(i32 key, i32 klen, i32 val, i32 vlen);
IMPORT("cis", "http_request")
i32 http_request(i32 url, i32 ulen, i32 body, i32 blen, i32 result, i32 cap);

static char heap[65536], buf[4096];
static u32 used;

EXPORT("alloc") char *alloc(u32 size)
{
    u32 at = used;
    if (size > sizeof heap - used) {
        return 0;
    }
    used += (size + 15) & ~15u;
    return heap + at;
}

EXPORT("dealloc") void dealloc(char *ptr, u32 size)
{
    if (ptr + ((size + 15) & ~15u) == heap + used) {
        used = (u32)(ptr - heap);
    }
}

EXPORT("heap_used") u32 heap_used(void)
{
    return used;
}

EXPORT("execute") char *execute(const char *input)
{
    static const char url[] = "https://api.example.com/v";
    out_len = 0;
    say_number("absent", memory_get(P("input"), 5, P(buf), sizeof buf));
    memory_set(P("input"), 5, P(input), (i32)len_of(input));
    say_got("get", buf, memory_get(P("input"), 5, P(buf), sizeof buf));
    say_number("length", memory_get(P("input"), 5, 0, 0));
    say_got("ai", buf, ai_prompt(P("hi"), 2, P(buf), sizeof buf));
    say_got("http", buf, http_request(P(url), sizeof url - 1, 0, 0, P(buf), sizeof buf));
    put("}\0", 2);
    return out;
}
