#include "base/str.h"

bool cis_str_starts(struct cis_str text, struct cis_str prefix)
{
    return text.len >= prefix.len && memcmp(text.ptr, prefix.ptr, prefix.len) == 0;
}

bool cis_str_split(struct cis_str *text, char sep, struct cis_str *head)
{
    const char *at = text->len != 0 ? memchr(text->ptr, sep, text->len) : NULL;
    if (at == NULL) {
        *head = *text;
        *text = (struct cis_str){text->len != 0 ? text->ptr + text->len : text->ptr, 0};
        return false;
    }
    head->ptr = text->ptr;
    head->len = (size_t)(at - text->ptr);
    text->len -= head->len + 1;
    text->ptr = at + 1;
    return true;
}

struct cis_str cis_str_trim(struct cis_str text)
{
    while (text.len != 0 && strchr(" \t\r\n", text.ptr[0]) != NULL && text.ptr[0] != 0) {
        text.ptr++;
        text.len--;
    }
    while (text.len != 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL &&
           text.ptr[text.len - 1] != 0) {
        text.len--;
    }
    return text;
}

bool cis_str_u64(struct cis_str text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

bool cis_str_octal(struct cis_str text, uint32_t *out)
{
    uint32_t value = 0;
    if (text.len == 0 || text.len > 10) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '7') {
            return false;
        }
        value = value << 3 | (uint32_t)(text.ptr[i] - '0');
    }
    *out = value;
    return true;
}

static bool scaled(struct cis_str text, uint64_t *out, const char *const *units,
                   const uint64_t *factors)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    uint64_t value;
    if (!cis_str_u64((struct cis_str){text.ptr, digits}, &value)) {
        return false;
    }
    struct cis_str unit = {text.ptr + digits, text.len - digits};
    for (size_t i = 0; units[i] != NULL; i++) {
        if (cis_str_is(unit, units[i])) {
            return !__builtin_mul_overflow(value, factors[i], out);
        }
    }
    return false;
}

bool cis_str_size(struct cis_str text, uint64_t *out_bytes)
{
    static const char *const units[] = {"",    "B", "K",  "KB",  "KiB", "M",   "MB",
                                        "MiB", "G", "GB", "GiB", "T",   "TiB", NULL};
    static const uint64_t k = 1024, m = 1024 * 1024, g = 1024 * 1024 * 1024ull;
    const uint64_t factors[] = {1, 1, k, k, k, m, m, m, g, g, g, g * k, g * k};
    return scaled(text, out_bytes, units, factors);
}

bool cis_str_duration(struct cis_str text, uint64_t *out_ns)
{
    static const char *const units[] = {"", "s", "ms", "us", "m", "min", "h", NULL};
    static const uint64_t factors[] = {1000000000ull,  1000000000ull,  1000000ull,      1000ull,
                                       60000000000ull, 60000000000ull, 3600000000000ull};
    return scaled(text, out_ns, units, factors);
}

/* Length of the well-formed character at p, 0 if there is none (Unicode 15 table 3-7). */
static size_t utf8_char(const uint8_t *p, size_t len)
{
    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        return len >= 2 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    }
    if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        if (len < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80) {
            return 0;
        }
        if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)) {
            return 0;
        }
        return 3;
    }
    if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        if (len < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80) {
            return 0;
        }
        if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) {
            return 0;
        }
        return 4;
    }
    return 0;
}

bool cis_utf8_valid(const void *ptr, size_t len)
{
    const uint8_t *p = ptr;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_char(p + i, len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

bool cis_utf8_steers(const void *ptr, size_t len)
{
    const uint8_t *u = ptr;
    if (len == 1) {
        return u[0] < 0x20 || u[0] == 0x7f;
    }
    if (len == 2) {
        return u[0] == 0xC2 && u[1] < 0xA0;
    }
    return len == 3 && u[0] == 0xE2 &&
           ((u[1] == 0x80 && u[2] >= 0xA8 && u[2] <= 0xAE) ||
            (u[1] == 0x81 && u[2] >= 0xA6 && u[2] <= 0xA9));
}

bool cis_utf8_hides(const void *ptr, size_t len)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0x061C, 0x061C}, {0x200B, 0x200B},   {0x200E, 0x200F}, {0x2060, 0x2064},
                  {0xFEFF, 0xFEFF}, {0xE0000, 0xE0FFF}, {0xFFF9, 0xFFFB}};
    uint32_t value = cis_utf8_value(ptr, len);
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        if (value >= hidden[i].first && value <= hidden[i].last) {
            return true;
        }
    }
    return cis_utf8_steers(ptr, len);
}

uint32_t cis_utf8_value(const void *ptr, size_t len)
{
    const uint8_t *u = ptr;
    uint32_t value = len == 1 ? u[0] : u[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        value = value << 6 | (u[i] & 0x3f);
    }
    return value;
}

size_t cis_utf8_floor(const void *ptr, size_t len, size_t cap)
{
    const uint8_t *p = ptr;
    if (len <= cap) {
        return len;
    }
    while (cap > 0 && (p[cap] & 0xC0) == 0x80) {
        cap--;
    }
    return cap;
}

void cis_hex(const void *ptr, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = ptr;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = 0;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool cis_unhex(struct cis_str text, uint8_t *out, size_t out_len)
{
    if (text.len != 2 * out_len) {
        return false;
    }
    for (size_t i = 0; i < out_len; i++) {
        int hi = nibble(text.ptr[2 * i]), lo = nibble(text.ptr[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}
