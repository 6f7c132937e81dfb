/* What the C guests share: imports, exports, and a JSON text in a buffer. No libc is needed. */
#ifndef GUEST_H
#define GUEST_H

typedef int i32;
typedef unsigned u32;
typedef long long i64;

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define P(ptr) ((i32)(long)(ptr))

IMPORT("cis", "output_write") i32 cis_output_write(i32 ptr, i32 len);

static char out[65536];
static u32 out_len;

static inline u32 len_of(const char *text)
{
    u32 n = 0;
    while (text[n] != 0) {
        n++;
    }
    return n;
}

static inline void put(const char *text, u32 len)
{
    for (u32 i = 0; i < len && out_len < sizeof out; i++) {
        out[out_len++] = text[i];
    }
}

static inline void key(const char *name)
{
    put(out_len == 0 ? "{" : ",", 1);
    put("\"", 1);
    put(name, len_of(name));
    put("\":", 2);
}

static inline void say_number(const char *name, i64 value)
{
    char digits[24];
    u32 n = 0;
    unsigned long long v = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    key(name);
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    if (value < 0) {
        put("-", 1);
    }
    while (n != 0) {
        put(&digits[--n], 1);
    }
}

/* The tests' texts need no escapes. */
static inline void say_text(const char *name, const char *text, u32 len)
{
    key(name);
    put("\"", 1);
    put(text, len);
    put("\"", 1);
}

/* What a call left in text, or the code that it answered instead. */
static inline void say_got(const char *name, const char *text, i32 n)
{
    if (n < 0) {
        say_number(name, n);
    } else {
        say_text(name, text, (u32)n);
    }
}

static inline i32 finish(void)
{
    put("}", 1);
    return cis_output_write(P(out), (i32)out_len);
}

#endif
