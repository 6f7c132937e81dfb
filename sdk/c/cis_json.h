/* Just enough JSON for a skill in C: read members of the input, build the output. Header only.
 * The host has checked that the input is JSON, so reading does not report syntax errors: what is
 * not there, or is of another kind, is absent. */
#ifndef CIS_JSON_SDK_H
#define CIS_JSON_SDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A value inside the text it was read from; len 0: absent. */
struct json {
    const char *at;
    size_t len;
};

static inline size_t json_skip_space(const char *s, size_t i, size_t n)
{
    while (i < n && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r')) {
        i++;
    }
    return i;
}

static inline size_t json_skip_string(const char *s, size_t i, size_t n)
{
    for (i++; i < n && s[i] != '"'; i++) {
        if (s[i] == '\\') {
            i++;
        }
    }
    return i < n ? i + 1 : n;
}

/* Index just past the value that starts at i. No recursion: depth is the guest's own stack. */
static inline size_t json_skip_value(const char *s, size_t i, size_t n)
{
    size_t depth = 0;
    while (i < n) {
        char c = s[i];
        if (c == '"') {
            i = json_skip_string(s, i, n);
        } else if (c == '{' || c == '[') {
            depth++;
            i++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return i;
            }
            depth--;
            i++;
        } else if (depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r')) {
            return i;
        } else {
            i++;
            continue;
        }
        if (depth == 0) {
            return i;
        }
    }
    return n;
}

static inline struct json json_of(const char *text, size_t len)
{
    size_t i = json_skip_space(text, 0, len);
    return (struct json){text + i, json_skip_value(text, i, len) - i};
}

/* One step through an object or array: *cursor starts at 0. key may be NULL (arrays). */
static inline bool json_next(struct json v, size_t *cursor, struct json *key, struct json *value)
{
    if (v.len < 2 || (v.at[0] != '{' && v.at[0] != '[')) {
        return false;
    }
    size_t i = json_skip_space(v.at, *cursor == 0 ? 1 : *cursor, v.len);
    if (i < v.len && v.at[i] == ',') {
        i = json_skip_space(v.at, i + 1, v.len);
    }
    if (i >= v.len || v.at[i] == '}' || v.at[i] == ']') {
        return false;
    }
    if (v.at[0] == '{') {
        size_t end = json_skip_string(v.at, i, v.len);
        if (key != NULL) {
            *key = (struct json){v.at + i, end - i};
        }
        i = json_skip_space(v.at, end, v.len);
        i = json_skip_space(v.at, i < v.len ? i + 1 : i, v.len); /* the colon */
    }
    size_t end = json_skip_value(v.at, i, v.len);
    *value = (struct json){v.at + i, end - i};
    *cursor = end;
    return true;
}

/* The member of an object; absent when there is none. Names are compared as written. */
static inline struct json json_member(struct json object, const char *name)
{
    struct json key, value;
    size_t cursor = 0, len = strlen(name);
    if (object.len == 0 || object.at[0] != '{') {
        return (struct json){NULL, 0};
    }
    while (json_next(object, &cursor, &key, &value)) {
        if (key.len == len + 2 && memcmp(key.at + 1, name, len) == 0) {
            return value;
        }
    }
    return (struct json){NULL, 0};
}

static inline bool json_is_string(struct json v)
{
    return v.len >= 2 && v.at[0] == '"';
}

/* A whole number, or the fallback when it is absent or something else. */
static inline long json_number(struct json v, long fallback)
{
    char text[24] = {0};
    if (v.len == 0 || v.len >= sizeof text ||
        (v.at[0] != '-' && (v.at[0] < '0' || v.at[0] > '9'))) {
        return fallback;
    }
    memcpy(text, v.at, v.len);
    return strtol(text, NULL, 10);
}

static inline unsigned json_hex4(const char *s)
{
    char text[5] = {s[0], s[1], s[2], s[3], 0};
    return (unsigned)strtoul(text, NULL, 16);
}

static inline size_t json_put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* Decoded, with a NUL behind it, yours to free; NULL when it is no string. */
static inline char *json_string(struct json v, size_t *out_len)
{
    char *out = json_is_string(v) ? malloc(v.len) : NULL; /* decoding never makes it longer */
    if (out == NULL) {
        return NULL;
    }
    size_t n = 0;
    for (size_t i = 1; i + 1 < v.len; i++) {
        char c = v.at[i];
        if (c != '\\') {
            out[n++] = c;
            continue;
        }
        c = v.at[++i];
        static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
        const char *plain = strchr(from, c);
        if (c == 'u' && i + 4 < v.len) {
            unsigned u = json_hex4(v.at + i + 1);
            i += 4;
            if (u >= 0xD800 && u < 0xDC00 && i + 6 < v.len && v.at[i + 1] == '\\') {
                u = 0x10000 + ((u - 0xD800) << 10) + (json_hex4(v.at + i + 3) - 0xDC00);
                i += 6;
            }
            n += json_put_utf8(out + n, u);
        } else {
            out[n++] = plain != NULL && c != 0 ? to[plain - from] : c;
        }
    }
    out[n] = 0;
    if (out_len != NULL) {
        *out_len = n;
    }
    return out;
}

/* ---- building text ---- */
struct json_out {
    char *text; /* NUL-terminated; free it */
    size_t len, cap;
    bool failed; /* out of memory: what is there is cut */
};

static inline void json_raw(struct json_out *o, const char *data, size_t len)
{
    if (o->failed || o->len + len + 1 > o->cap) {
        size_t cap = (o->len + len + 1) * 2;
        char *text = o->failed ? NULL : realloc(o->text, cap);
        if (text == NULL) {
            o->failed = true;
            return;
        }
        o->text = text;
        o->cap = cap;
    }
    memcpy(o->text + o->len, data, len);
    o->len += len;
    o->text[o->len] = 0;
}

static inline void json_text(struct json_out *o, const char *text)
{
    json_raw(o, text, strlen(text));
}

static inline void json_int(struct json_out *o, long long value)
{
    /* Not snprintf: it brings the whole of stdio, and its imports, into the guest. */
    char text[24];
    size_t at = sizeof text;
    unsigned long long rest =
        value < 0 ? 0ull - (unsigned long long)value : (unsigned long long)value;
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0) {
        text[--at] = '-';
    }
    json_raw(o, text + at, sizeof text - at);
}

/* A quoted, escaped string. */
static inline void json_quote(struct json_out *o, const char *text, size_t len)
{
    json_text(o, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            char pair[2] = {'\\', (char)c};
            json_raw(o, pair, 2);
        } else if (c < 0x20) {
            char escape[6] = {'\\', 'u', '0', '0', c < 16 ? '0' : '1', "0123456789abcdef"[c & 15]};
            json_raw(o, escape, sizeof escape);
        } else {
            json_raw(o, text + i, 1);
        }
    }
    json_text(o, "\"");
}

#endif
