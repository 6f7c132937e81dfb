#include "base/json.h"

/* Numbers from here on are not read back for sure. */
#define WHOLE_MAX "9223372036854775807"
#define EXPONENT_MAX 300u

struct scan {
    const uint8_t *p, *end;
    bool reads; /* only what the reader takes */
};

static void space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) {
        s->p++;
    }
}

static bool word(struct scan *s, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0) {
        return false;
    }
    s->p += n;
    return true;
}

static bool digits(struct scan *s)
{
    const uint8_t *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }
    return s->p != from;
}

/* from: its first digit. */
static bool whole_reads(const uint8_t *from, size_t n)
{
    size_t most = sizeof WHOLE_MAX - 1;
    return n < most || (n == most && memcmp(from, WHOLE_MAX, most) <= 0);
}

static bool real_reads(size_t whole, bool less, const uint8_t *exponent, const uint8_t *end)
{
    uint64_t e = 0;
    for (const uint8_t *p = exponent; p < end && e <= EXPONENT_MAX; p++) {
        e = e * 10 + (*p - '0');
    }
    return whole <= EXPONENT_MAX && (less || whole + e <= EXPONENT_MAX);
}

static bool number(struct scan *s)
{
    if (s->p < s->end && *s->p == '-') {
        s->p++;
    }
    const uint8_t *from = s->p, *exponent = s->end;
    bool real = false, less = true;
    if (s->p < s->end && *s->p == '0') {
        s->p++;
    } else if (!digits(s)) {
        return false;
    }
    size_t whole = (size_t)(s->p - from);
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        real = true;
        if (!digits(s)) {
            return false;
        }
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        real = true;
        less = s->p < s->end && *s->p == '-';
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) {
            s->p++;
        }
        exponent = s->p;
        if (!digits(s)) {
            return false;
        }
    }
    return !s->reads || (real ? real_reads(whole, less, exponent, s->p) : whole_reads(from, whole));
}

static bool hex4(const uint8_t *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        bool digit = p[i] >= '0' && p[i] <= '9';
        uint8_t letter = p[i] | 0x20;
        if (!digit && !(p[i] >= 'A' && letter >= 'a' && letter <= 'f')) {
            return false;
        }
        *out = *out << 4 | (uint32_t)(digit ? p[i] - '0' : letter - 'a' + 10);
    }
    return true;
}

/* At the u of an escape; ends at its last digit. */
static bool unicode(struct scan *s, bool name)
{
    uint32_t c, low;
    if (s->end - s->p < 5 || !hex4(s->p + 1, &c)) {
        return false;
    }
    s->p += 4;
    if (!s->reads || (c & 0xF800) != 0xD800) {
        return !s->reads || c != 0 || !name;
    }
    if (c >= 0xDC00 || s->end - s->p < 7 || s->p[1] != '\\' || s->p[2] != 'u' ||
        !hex4(s->p + 3, &low) || (low & 0xFC00) != 0xDC00) {
        return false; /* half a pair */
    }
    s->p += 6;
    return true;
}

static bool string(struct scan *s, bool name)
{
    const uint8_t *from = ++s->p;
    for (; s->p < s->end && *s->p != '"'; s->p++) {
        if (*s->p < 0x20) {
            return false;
        }
        if (*s->p != '\\') {
            continue;
        }
        if (++s->p == s->end) {
            return false;
        }
        if (*s->p == 'u') {
            if (!unicode(s, name)) {
                return false;
            }
        } else if (*s->p == 0 || strchr("\"\\/bfnrt", *s->p) == NULL) {
            return false;
        }
    }
    if (s->p == s->end || !cis_utf8_valid(from, (size_t)(s->p - from))) {
        return false;
    }
    s->p++;
    return true;
}

static bool scalar(struct scan *s)
{
    switch (*s->p) {
    case '"':
        return string(s, false);
    case 't':
        return word(s, "true");
    case 'f':
        return word(s, "false");
    case 'n':
        return word(s, "null");
    default:
        return number(s);
    }
}

static bool key(struct scan *s)
{
    space(s);
    if (s->p == s->end || *s->p != '"' || !string(s, true)) {
        return false;
    }
    space(s);
    return word(s, ":");
}

/* A stack of bits (object or array) instead of recursion: the text is not trusted. */
static bool value(struct scan *s)
{
    uint8_t open[CIS_JSON_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        space(s);
        if (s->p == s->end) {
            return false;
        }
        bool object = *s->p == '{';
        if (object || *s->p == '[') {
            if (depth == CIS_JSON_DEPTH_MAX) {
                return false;
            }
            s->p++;
            space(s);
            if (s->p < s->end && *s->p == (object ? '}' : ']')) {
                s->p++;
            } else {
                open[depth++] = object;
                if (object && !key(s)) {
                    return false;
                }
                continue;
            }
        } else if (!scalar(s)) {
            return false;
        }
        for (;;) { /* a value ended: what follows depends on what it is in */
            if (depth == 0) {
                return true;
            }
            space(s);
            if (s->p == s->end) {
                return false;
            }
            uint8_t c = *s->p++;
            if (c == ',') {
                if (open[depth - 1] && !key(s)) {
                    return false;
                }
                break;
            }
            if (c != (open[depth - 1] ? '}' : ']')) {
                s->p--;
                return false;
            }
            depth--;
        }
    }
}

static bool check(struct scan *s)
{
    bool ok = value(s);
    if (ok) {
        space(s);
        ok = s->p == s->end;
    }
    return ok;
}

bool cis_json_valid(const void *text, size_t len, size_t *out_at)
{
    const uint8_t *from = text != NULL ? text : (const uint8_t *)"";
    struct scan s = {from, from + len, false};
    bool ok = check(&s);
    if (out_at != NULL) {
        *out_at = (size_t)(s.p - from);
    }
    return ok;
}

bool cis_json_reads(const void *text, size_t len)
{
    struct scan s = {text, (const uint8_t *)text + len, true};
    return check(&s);
}

bool cis_json_member(struct cis_str text, size_t *at, struct cis_str *out_name,
                     struct cis_str *out_value)
{
    const uint8_t *start = (const uint8_t *)text.ptr;
    struct scan s = {start + *at, start + text.len, false};
    space(&s);
    if (!word(&s, *at == 0 ? "{" : ",")) {
        return false;
    }
    space(&s);
    const uint8_t *name = s.p + 1;
    if (s.p == s.end || *s.p != '"' || !string(&s, true)) {
        return false;
    }
    *out_name = (struct cis_str){(const char *)name, (size_t)(s.p - 1 - name)};
    space(&s);
    if (!word(&s, ":")) {
        return false;
    }
    space(&s);
    const uint8_t *from = s.p;
    if (!value(&s)) {
        return false;
    }
    *out_value = (struct cis_str){(const char *)from, (size_t)(s.p - from)};
    *at = (size_t)(s.p - start);
    return true;
}
