/* Every function of env-plain, behind skill_on_event. With the allocator of wasi-libc. */
#include "guest.h"

struct text {
    const char *ptr;
    u32 len;
};
IMPORT("env", "memory_get") i32 memory_get(i32 key, i32 klen, struct text *result);
IMPORT("env", "memory_set") i32 memory_set(i32 key, i32 klen, i32 val, i32 vlen);
IMPORT("env", "ai_chat") i32 ai_chat(i32 prompt, i32 plen, struct text *result);
IMPORT("env", "log") void plain_log(i32 level, i32 llen, i32 msg, i32 mlen);
IMPORT("env", "http_post")
i32 http_post(i32 url, i32 ulen, i32 body, i32 blen, struct text *result);

EXPORT("skill_on_event") i32 skill_on_event(const char *event, i32 elen, const char *data, i32 dlen)
{
    static const char url[] = "https://api.example.com/v";
    struct text text = {0, 0};
    say_text("event", event, (u32)elen);
    say_number("absent", memory_get(P("k"), 1, &text));
    say_number("set", memory_set(P("k"), 1, P(data), dlen));
    say_number("get", memory_get(P("k"), 1, &text));
    say_text("value", text.ptr, text.len);
    say_number("ai", ai_chat(P("hi"), 2, &text));
    say_text("answer", text.ptr, text.len);
    plain_log(P("warn"), 4, P("plain"), 5);
    say_number("http", http_post(P(url), sizeof url - 1, P("ping"), 4, &text));
    say_text("body", text.ptr, text.len);
    return finish();
}
