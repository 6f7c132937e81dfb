/* Every function of cis-sdk, behind skill_handle_event. */
#include "guest.h"

IMPORT("cis", "host_log") void host_log(i32 level, i32 msg, i32 len);
IMPORT("cis", "host_memory_get") i32 host_memory_get(i32 key, i32 klen, i32 out, i32 cap);
IMPORT("cis", "host_memory_set") i32 host_memory_set(i32 key, i32 klen, i32 val, i32 vlen);
IMPORT("cis", "host_memory_delete") i32 host_memory_delete(i32 key, i32 klen);
IMPORT("cis", "host_ai_chat") i32 host_ai_chat(i32 prompt, i32 plen, i32 out, i32 cap);
IMPORT("cis", "host_http_post")
i32 host_http_post(i32 url, i32 ulen, i32 body, i32 blen, i32 out, i32 cap);
IMPORT("cis", "host_now") i64 host_now(void);
IMPORT("cis", "host_alloc") i32 host_alloc(i32 size);
IMPORT("cis", "host_free") void host_free(i32 ptr, i32 size);

EXPORT("skill_init") i32 skill_init(void)
{
    host_log(0, P("init"), 4);
    return 0;
}

EXPORT("skill_shutdown") i32 skill_shutdown(void)
{
    host_log(0, P("shutdown"), 8);
    return 0;
}

EXPORT("skill_handle_event") i32 skill_handle_event(const char *event, i32 len)
{
    static const char url[] = "https://api.example.com/v";
    i32 block = host_alloc(1000);
    char *buf = (char *)(long)block;
    say_number("event", len);
    say_number("first", event[0]);
    say_number("absent", host_memory_get(P("k"), 1, block, 1000));
    say_number("set", host_memory_set(P("k"), 1, P("value"), 5));
    say_got("get", buf, host_memory_get(P("k"), 1, block, 1000));
    say_number("delete", host_memory_delete(P("k"), 1));
    say_got("ai", buf, host_ai_chat(P("hi"), 2, block, 1000));
    say_got("http", buf, host_http_post(P(url), sizeof url - 1, P("ping"), 4, block, 1000));
    say_number("now", host_now() > 1600000000000 ? 1 : 0);
    host_free(block, 1000);
    say_number("again", host_alloc(1000) == block ? 1 : 0);
    return finish();
}
