#include "base/json.h"

struct scan {
    const uint8_t *p, *end;
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

static bool number(struct scan *s)
{
    if (s->p < s->end && *s->p == '-') {
        s->p++;
    }
    if (s->p < s->end && *s->p == '0') {
        s->p++;
    } else if (!digits(s)) {
        return false;
    }
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!digits(s)) {
            return false;
        }
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) {
            s->p++;
        }
        return digits(s);
    }
    return true;
}

static bool hex4(const uint8_t *p)
{
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i] | 0x20;
        if (!((c >= '0' && c <= '9' && p[i] < 0x40) || (c >= 'a' && c <= 'f' && p[i] >= 0x40))) {
            return false;
        }
    }
    return true;
}

static bool string(struct scan *s)
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
            if (s->end - s->p < 5 || !hex4(s->p + 1)) {
                return false;
            }
            s->p += 4;
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
        return string(s);
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
    if (s->p == s->end || *s->p != '"' || !string(s)) {
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

bool cis_json_valid(const void *text, size_t len, size_t *out_at)
{
    struct scan s = {text, (const uint8_t *)text + len};
    bool ok = value(&s);
    if (ok) {
        space(&s);
        ok = s.p == s.end;
    }
    if (out_at != NULL) {
        *out_at = (size_t)(s.p - (const uint8_t *)text);
    }
    return ok;
}
