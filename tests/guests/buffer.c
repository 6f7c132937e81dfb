/* Every function of env-buffer; what came back as JSON. Freestanding, no allocator. */
#include "guest.h"

IMPORT("env", "host_memory_get") i32 host_memory_get(i32 key, i32 klen, i32 out, i32 olen);
IMPORT("env", "host_memory_set") i32 host_memory_set(i32 key, i32 klen, i32 val, i32 vlen);
IMPORT("env", "host_memory_delete") i32 host_memory_delete(i32 key, i32 klen);
IMPORT("env", "host_memory_search") i32 host_memory_search(i32 q, i32 qlen, i32 out, i32 olen);
IMPORT("env", "host_ai_chat") i32 host_ai_chat(i32 prompt, i32 plen, i32 out, i32 olen);
IMPORT("env", "host_log") void host_log(i32 level, i32 msg, i32 len);
IMPORT("env", "host_config_get") i32 host_config_get(i32 key, i32 klen, i32 out, i32 olen);
IMPORT("env", "host_config_set") i32 host_config_set(i32 key, i32 klen, i32 val, i32 vlen);
IMPORT("env", "host_http_request")
i32 host_http_request(i32 method, i32 mlen, i32 url, i32 ulen, i32 hdr, i32 hlen, i32 body,
                      i32 blen, i32 out, i32 olen);

static char buf[4096];

static void say_buf(const char *name, i32 n)
{
    if (n > 0) {
        say_text(name, buf, (u32)n);
    } else {
        say_number(name, n);
    }
}

EXPORT("skill_execute") i32 skill_execute(const char *input, i32 len)
{
    static const char url[] = "https://api.example.com/v", headers[] = "{\"x-key\":\"1\"}";
    say_number("set", host_memory_set(P("input"), 5, P(input), len));
    say_buf("get", host_memory_get(P("input"), 5, P(buf), sizeof buf));
    say_number("small", host_memory_get(P("input"), 5, P(buf), 1));
    say_number("search", host_memory_search(P("no such thing"), 13, P(buf), sizeof buf));
    say_number("delete", host_memory_delete(P("input"), 5));
    say_buf("absent", host_memory_get(P("input"), 5, P(buf), sizeof buf));
    say_number("config_set", host_config_set(P("tone"), 4, P("kind"), 4));
    say_buf("config_get", host_config_get(P("tone"), 4, P(buf), sizeof buf));
    say_buf("ai", host_ai_chat(P("hi"), 2, P(buf), sizeof buf));
    host_log(2, P("buffer"), 6);
    say_number("http", host_http_request(P("DELETE"), 6, P(url), sizeof url - 1, P(headers),
                                         sizeof headers - 1, 0, 0, P(buf), sizeof buf));
    return finish();
}
