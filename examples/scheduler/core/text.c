#include "text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *need_more(void *old, size_t n)
{
    void *at = realloc(old, n != 0 ? n : 1);
    if (at == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return at;
}

void *need(size_t n)
{
    void *at = calloc(1, n != 0 ? n : 1);
    return at != NULL ? at : need_more(NULL, SIZE_MAX);
}

char *need_text(const char *at, size_t n)
{
    char *copy = need(n + 1);
    memcpy(copy, at, n);
    return copy;
}

void text_put(struct text *t, const char *at, size_t n)
{
    if (n > t->max - t->len) {
        n = t->max - t->len;
        t->cut = true;
    }
    if (t->at == NULL || n >= t->cap - t->len) {
        size_t cap = t->cap < 64 ? 64 : t->cap;
        while (n >= cap - t->len) {
            cap *= 2;
        }
        t->at = need_more(t->at, cap);
        t->cap = cap;
    }
    if (n > 0) {
        memcpy(t->at + t->len, at, n);
        t->len += n;
    }
    t->at[t->len] = '\0';
}

void text_add(struct text *t, const char *s)
{
    text_put(t, s, strlen(s));
}

void text_number(struct text *t, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    text_put(t, digits + at, sizeof digits - at);
}

void text_format(struct text *t, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    if ((size_t)n < sizeof small) {
        text_put(t, small, (size_t)n);
        return;
    }
    char *large = need((size_t)n + 1);
    va_start(args, format);
    vsnprintf(large, (size_t)n + 1, format, args);
    va_end(args);
    text_put(t, large, (size_t)n);
    free(large);
}

void text_clear(struct text *t)
{
    t->len = 0;
    t->cut = false;
    if (t->at != NULL) {
        t->at[0] = '\0';
    }
}

void text_done(struct text *t)
{
    free(t->at);
    *t = (struct text){.max = t->max};
}

char *text_take(struct text *t)
{
    text_put(t, "", 0);
    char *at = t->at;
    *t = (struct text){.max = t->max};
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct slice slice_trim(const char *at, size_t n)
{
    while (n > 0 && is_blank(*at)) {
        at++, n--;
    }
    while (n > 0 && is_blank(at[n - 1])) {
        n--;
    }
    return (struct slice){at, n};
}

bool slice_is(struct slice s, const char *what)
{
    return s.len == strlen(what) && memcmp(s.at, what, s.len) == 0;
}

bool number_of(const char *at, size_t n, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (n == 0 || n > 20) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned digit = (unsigned char)at[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return value <= max;
}

bool duration_of(const char *s, uint64_t *out_ns)
{
    struct slice d = slice_trim(s, strlen(s));
    uint64_t unit, n;
    size_t cut = 1;
    if (d.len >= 2 && memcmp(d.at + d.len - 2, "ms", 2) == 0) {
        unit = 1000000;
        cut = 2;
    } else if (d.len >= 1 && d.at[d.len - 1] == 's') {
        unit = 1000000000;
    } else if (d.len >= 1 && d.at[d.len - 1] == 'm') {
        unit = UINT64_C(60000000000);
    } else {
        return false;
    }
    d = slice_trim(d.at, d.len - cut);
    if (!number_of(d.at, d.len, UINT64_C(1000000000000000000) / unit, &n)) {
        return false;
    }
    *out_ns = n * unit;
    return true;
}
