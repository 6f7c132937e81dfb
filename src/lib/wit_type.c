/* Types of functions as embedders write them → as the engine writes them. */
#include <ctype.h>
#include "lib/provider.h"

#define DEPTH_MAX 32u

struct walk {
    const char *at;
    struct cis_buf *out;
    char open[DEPTH_MAX]; /* 'f' of the function's (, 'r' a result's <, else the bracket */
    unsigned depth;
    size_t param; /* where the parameter begins that is being written */
    size_t nargs;
};

static bool ends_with(const struct cis_buf *out, const char *word)
{
    size_t n = strlen(word);
    return out->len >= n && memcmp(out->ptr + out->len - n, word, n) == 0 &&
           (out->len == n || !isalnum((unsigned char)out->ptr[out->len - n - 1]));
}

static bool opens(struct walk *w, char c)
{
    if (w->depth == DEPTH_MAX) {
        return false;
    }
    bool result = c == '<' && ends_with(w->out, "result"), function = w->depth == 0 && c == '(';
    w->open[w->depth++] = result ? 'r' : function ? 'f' : c;
    cis_buf_byte(w->out, (uint8_t)c);
    return true;
}

static bool step(struct walk *w)
{
    char c = *w->at, top = w->depth != 0 ? w->open[w->depth - 1] : 0;
    if (c == '-' && w->at[1] == '>') {
        w->at++;
        cis_buf_text(w->out, " -> ");
        return w->depth == 0;
    }
    switch (c) {
    case '(':
    case '<':
    case '{':
        return opens(w, c);
    case ')':
    case '>':
    case '}':
        cis_buf_byte(w->out, (uint8_t)c);
        w->depth -= w->depth != 0;
        return c == (top == 'f' || top == '('   ? ')'
                     : top == 'r' || top == '<' ? '>'
                                                : '}') &&
               top != 0;
    case ',':
        cis_buf_text(w->out, top == 'f' || top == 'r' ? ", " : ",");
        w->nargs += top == 'f';
        w->param = top == 'f' ? w->out->len : w->param;
        return w->depth != 0;
    case ':':
        if (top == 'f') { /* the name of a parameter */
            w->out->len = w->param;
            return true;
        }
        break;
    default:
        break;
    }
    cis_buf_byte(w->out, (uint8_t)c);
    return c > ' ' && c < 0x7f;
}

cis_code cis_lib_type_text(const char *text, struct cis_buf *out, size_t *out_nargs,
                           struct cis_error *err)
{
    struct walk w = {.at = text, .out = out};
    bool ok = strncmp(text, "func", 4) == 0;
    for (; ok && *w.at != 0; w.at++) {
        ok = isspace((unsigned char)*w.at) || step(&w);
        if (w.depth == 1 && *w.at == '(' && w.param == 0) {
            w.param = out->len;
        }
    }
    const char *view = cis_buf_cstr(out);
    if (out->failed == CIS_E_NOMEM) {
        return cis_fail(err, CIS_E_NOMEM, "types: out of memory");
    }
    if (!ok || w.depth != 0 || out->failed != CIS_OK || strncmp(view, "func(", 5) != 0 ||
        w.param == 0) {
        return cis_fail(err, CIS_E_USAGE, "\"%.120s\" is not the type of a function", text);
    }
    *out_nargs = view[w.param] == ')' && w.nargs == 0 ? 0 : w.nargs + 1;
    return CIS_OK;
}
