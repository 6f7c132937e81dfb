#include "store/text.h"

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t count_chars(const char *ptr, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += ((unsigned char)ptr[i] & 0xC0) != 0x80;
    }
    return n;
}

cis_code cis_query_parse(struct cis_str text, struct cis_query *out, struct cis_error *err)
{
    while (text.len != 0 && is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len != 0 && is_space(text.ptr[text.len - 1])) {
        text.len--;
    }
    if (text.len == 0) {
        return cis_fail(err, CIS_E_INVALID, "search: the query is empty");
    }
    if (text.len > CIS_QUERY_MAX) {
        return cis_fail(err, CIS_E_INVALID,
                        "search: the query has %zu bytes; at most %u are allowed", text.len,
                        CIS_QUERY_MAX);
    }
    if (!cis_utf8_valid(text.ptr, text.len) || memchr(text.ptr, 0, text.len) != NULL) {
        return cis_fail(err, CIS_E_INVALID, "search: the query is not text (UTF-8 without NUL)");
    }
    out->whole = text;
    out->chars = count_chars(text.ptr, text.len);
    out->nwords = 0;
    for (size_t i = 0; i < text.len && out->nwords < CIS_QUERY_WORDS_MAX;) {
        size_t start = i;
        while (i < text.len && !is_space(text.ptr[i])) {
            out->folded[i] = fold(text.ptr[i]);
            i++;
        }
        if (i > start) {
            out->words[out->nwords++] = (struct cis_query_word){
                {out->folded + start, i - start}, count_chars(text.ptr + start, i - start)};
        }
        while (i < text.len && is_space(text.ptr[i])) {
            i++;
        }
    }
    return CIS_OK;
}

struct cis_str cis_text_of(struct cis_bytes value)
{
    const char *ptr = (const char *)value.ptr;
    size_t len = cis_utf8_floor(ptr, value.len, CIS_TEXT_MAX);
    if (len == 0 || memchr(ptr, 0, len) != NULL || !cis_utf8_valid(ptr, len)) {
        return (struct cis_str){"", 0};
    }
    return (struct cis_str){ptr, len};
}

static struct cis_str folded(struct cis_str text, struct cis_buf *scratch)
{
    cis_buf_reset(scratch);
    char *to = (char *)cis_buf_reserve(scratch, text.len);
    if (to == NULL) {
        return (struct cis_str){"", 0};
    }
    for (size_t i = 0; i < text.len; i++) {
        to[i] = fold(text.ptr[i]);
    }
    return (struct cis_str){to, text.len};
}

bool cis_query_match(const struct cis_query *query, size_t below, struct cis_str key,
                     struct cis_str text, struct cis_buf *scratch)
{
    uint32_t missing = 0;
    for (size_t i = 0; i < query->nwords; i++) {
        missing |= query->words[i].chars < below ? 1u << i : 0;
    }
    const struct cis_str parts[2] = {key, text};
    for (size_t p = 0; p < 2 && missing != 0; p++) {
        struct cis_str in = folded(parts[p], scratch);
        for (size_t i = 0; i < query->nwords; i++) {
            struct cis_str w = query->words[i].text;
            if (((missing >> i) & 1u) != 0 && memmem(in.ptr, in.len, w.ptr, w.len) != NULL) {
                missing &= ~(1u << i);
            }
        }
    }
    return missing == 0 && scratch->failed == CIS_OK;
}
