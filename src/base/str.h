/* Borrowed views of text and bytes: pointer and length travel together and own nothing. */
#ifndef CIS_BASE_STR_H
#define CIS_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cis_str { /* text, not NUL-terminated */
    const char *ptr;
    size_t len;
};

struct cis_str_pair {
    struct cis_str key, value;
};

struct cis_bytes {
    const uint8_t *ptr;
    size_t len;
};

#define CIS_STR(literal) ((struct cis_str){(literal), sizeof(literal) - 1})
#define CIS_STR_FMT "%.*s"
#define CIS_STR_ARG(s) ((int)((s).len > 4096 ? 4096 : (s).len)), (s).ptr

static inline struct cis_str cis_str_of(const char *text)
{
    return (struct cis_str){text, text != NULL ? strlen(text) : 0};
}

static inline struct cis_bytes cis_bytes_of(const void *ptr, size_t len)
{
    return (struct cis_bytes){ptr, len};
}

static inline bool cis_str_eq(struct cis_str a, struct cis_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool cis_str_is(struct cis_str a, const char *text)
{
    return cis_str_eq(a, cis_str_of(text));
}

/* By bytes, a prefix first: <0, 0, >0. */
static inline int cis_str_cmp(struct cis_str a, struct cis_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n != 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

bool cis_str_starts(struct cis_str text, struct cis_str prefix);
/* Splits at the first sep: *head is what comes before, *text what comes after. False: no sep, *head
 * is all and *text is empty. */
bool cis_str_split(struct cis_str *text, char sep, struct cis_str *head);
struct cis_str cis_str_trim(struct cis_str text);
/* Strict: digits only, no sign, no overflow, not empty. */
bool cis_str_u64(struct cis_str text, uint64_t *out);
/* The same of 1 to 10 octal digits. */
bool cis_str_octal(struct cis_str text, uint32_t *out);
/* "128MiB", "64KiB", "1GiB", "512", also K M G (binary) with optional B. */
bool cis_str_size(struct cis_str text, uint64_t *out_bytes);
/* "30s", "1500ms", "2m", "1h", plain number = seconds. Nanoseconds. */
bool cis_str_duration(struct cis_str text, uint64_t *out_ns);
/* Well-formed UTF-8 (no surrogates, no overlong forms, ≤ U+10FFFF). */
bool cis_utf8_valid(const void *ptr, size_t len);
/* Does the character at ptr (of len bytes, well-formed) steer a terminal, or how a line reads? C0,
 * DEL and C1 do; so do U+2028–U+202E and U+2066–U+2069, which end lines and turn their order
 * around. */
bool cis_utf8_steers(const void *ptr, size_t len);
/* That, or a character without looks of its own, in which a text can be hidden from a person that a
 * model reads: zero-width ones but joiners, tags (also those of the flags of England, Scotland and
 * Wales), variation selectors of plane 14. */
bool cis_utf8_hides(const void *ptr, size_t len);
/* The code point of the one character at ptr, well-formed. */
uint32_t cis_utf8_value(const void *ptr, size_t len);
/* Largest n ≤ cap such that the first n bytes end on a character boundary. */
size_t cis_utf8_floor(const void *ptr, size_t len, size_t cap);
/* Lower-case hexadecimal; out has 2*len+1 bytes. */
void cis_hex(const void *ptr, size_t len, char *out);
bool cis_unhex(struct cis_str text, uint8_t *out, size_t out_len);

#endif
