/* Every function of env-packed; what came back as JSON. With the allocator of wasi-libc. */
#include "guest.h"

IMPORT("env", "host_memory_get") i64 host_memory_get(i32 key, i32 klen);
IMPORT("env", "host_memory_set") i32 host_memory_set(i32 key, i32 klen, i32 val, i32 vlen);
IMPORT("env", "host_memory_delete") i32 host_memory_delete(i32 key, i32 klen);
IMPORT("env", "host_ai_chat") i64 host_ai_chat(i32 prompt, i32 plen);
IMPORT("env", "host_log") void host_log(i32 level, i32 msg, i32 len);
IMPORT("env", "host_http_post") i64 host_http_post(i32 url, i32 ulen, i32 body, i32 blen);

static void say_packed(const char *name, i64 packed)
{
    if (packed == 0) {
        say_number(name, 0);
    } else {
        say_text(name, (const char *)(long)(u32)(packed >> 32), (u32)packed);
    }
}

EXPORT("skill_execute") i32 skill_execute(const char *input, i32 len)
{
    static const char url[] = "https://api.example.com/v";
    say_number("set", host_memory_set(P("input"), 5, P(input), len));
    say_packed("get", host_memory_get(P("input"), 5));
    say_number("set_empty", host_memory_set(P("empty"), 5, 0, 0));
    say_packed("get_empty", host_memory_get(P("empty"), 5));
    say_number("delete", host_memory_delete(P("input"), 5));
    say_packed("absent", host_memory_get(P("input"), 5));
    say_packed("ai", host_ai_chat(P("hi"), 2));
    host_log(1, P("packed"), 6);
    say_packed("http", host_http_post(P(url), sizeof url - 1, P("ping"), 4));
    return finish();
}
