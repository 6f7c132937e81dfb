#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include "base/mem.h"

void cis_buf_done(struct cis_buf *buf)
{
    cis_free(buf->ptr);
    *buf = CIS_BUF_INIT(buf->max);
}

void cis_buf_reset(struct cis_buf *buf)
{
    buf->len = 0;
    buf->failed = CIS_OK;
    if (buf->ptr != NULL) {
        buf->ptr[0] = 0;
    }
}

uint8_t *cis_buf_reserve(struct cis_buf *buf, size_t len)
{
    if (buf->failed != CIS_OK) {
        return NULL;
    }
    if (len > buf->max || buf->len > buf->max - len) {
        buf->failed = CIS_E_LIMIT;
        return NULL;
    }
    size_t need = cis_size_add(cis_size_add(buf->len, len), 1); /* one byte is kept for the NUL */
    if (need > buf->cap) {
        size_t cap = cis_size_add(buf->cap, buf->cap / 2), most = cis_size_add(buf->max, 1);
        cap = cap < most ? cap : most;
        cap = cap > need ? cap : need;
        cap = cap > 64 || most <= 64 ? cap : 64;
        uint8_t *grown = cis_realloc(buf->ptr, cap);
        if (grown == NULL) {
            buf->failed = CIS_E_NOMEM;
            return NULL;
        }
        buf->ptr = grown;
        buf->cap = cap;
    }
    return buf->ptr + buf->len;
}

void cis_buf_add(struct cis_buf *buf, const void *ptr, size_t len)
{
    uint8_t *at = cis_buf_reserve(buf, len);
    if (at != NULL) {
        if (len != 0) {
            memcpy(at, ptr, len);
        }
        buf->len += len;
        buf->ptr[buf->len] = 0;
    }
}

void cis_buf_str(struct cis_buf *buf, struct cis_str text)
{
    cis_buf_add(buf, text.ptr, text.len);
}

void cis_buf_text(struct cis_buf *buf, const char *text)
{
    cis_buf_add(buf, text, strlen(text));
}

void cis_buf_byte(struct cis_buf *buf, uint8_t byte)
{
    cis_buf_add(buf, &byte, 1);
}

void cis_buf_vprintf(struct cis_buf *buf, const char *fmt, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, again);
    va_end(again);
    if (n < 0) {
        buf->failed = CIS_E_INTERNAL;
        return;
    }
    if ((size_t)n < sizeof small) {
        cis_buf_add(buf, small, (size_t)n);
        return;
    }
    uint8_t *at = cis_buf_reserve(buf, (size_t)n);
    if (at != NULL) {
        vsnprintf((char *)at, (size_t)n + 1, fmt, args);
        buf->len += (size_t)n;
    }
}

void cis_buf_printf(struct cis_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cis_buf_vprintf(buf, fmt, args);
    va_end(args);
}

void cis_buf_json(struct cis_buf *buf, struct cis_str text)
{
    cis_buf_byte(buf, '"');
    for (size_t i = 0; i < text.len && buf->failed == CIS_OK;) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\') {
            cis_buf_byte(buf, '\\');
            cis_buf_byte(buf, c);
            i++;
        } else if (c == '\n') {
            cis_buf_text(buf, "\\n");
            i++;
        } else if (c < 0x20 || c == 0x7f) {
            static const char hex[] = "0123456789abcdef";
            const char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            cis_buf_add(buf, escape, sizeof escape);
            i++;
        } else if (c < 0x80) {
            size_t run = i;
            while (run < text.len && (unsigned char)text.ptr[run] >= 0x20 &&
                   (unsigned char)text.ptr[run] < 0x7f && text.ptr[run] != '"' &&
                   text.ptr[run] != '\\') {
                run++;
            }
            cis_buf_add(buf, text.ptr + i, run - i);
            i = run;
        } else {
            size_t n = 1;
            while (n < 4 && i + n < text.len && ((unsigned char)text.ptr[i + n] & 0xC0) == 0x80) {
                n++;
            }
            if (cis_utf8_valid(text.ptr + i, n)) {
                if (cis_utf8_steers(text.ptr + i, n)) {
                    cis_buf_printf(buf, "\\u%04x", (unsigned)cis_utf8_value(text.ptr + i, n));
                } else {
                    cis_buf_add(buf, text.ptr + i, n);
                }
                i += n;
            } else {
                cis_buf_text(buf, "\xEF\xBF\xBD");
                i++;
            }
        }
    }
    cis_buf_byte(buf, '"');
}

cis_code cis_buf_check(const struct cis_buf *buf, const char *what, struct cis_error *err)
{
    if (buf->failed == CIS_E_LIMIT) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %zu bytes", what, buf->max);
    }
    if (buf->failed != CIS_OK) {
        return cis_fail(err, buf->failed, "%s: %s", what, cis_code_text(buf->failed));
    }
    return CIS_OK;
}

uint8_t *cis_buf_take(struct cis_buf *buf, size_t *out_len)
{
    uint8_t *ptr = buf->failed == CIS_OK ? buf->ptr : NULL;
    if (ptr == NULL) {
        cis_free(buf->ptr);
    }
    if (out_len != NULL) {
        *out_len = ptr != NULL ? buf->len : 0;
    }
    *buf = CIS_BUF_INIT(buf->max);
    return ptr;
}

void cis_buf_move(struct cis_buf *from, struct cis_buf *to)
{
    cis_free(to->ptr);
    size_t max = to->max;
    *to = *from;
    *from = CIS_BUF_INIT(from->max);
    to->max = max;
    if (to->failed == CIS_OK && to->len > max) {
        to->failed = CIS_E_LIMIT;
    }
    if (to->ptr != NULL) {
        to->ptr[to->len] = 0;
    }
}

const char *cis_buf_cstr(const struct cis_buf *buf)
{
    return buf->ptr != NULL && buf->failed == CIS_OK ? (const char *)buf->ptr : "";
}
