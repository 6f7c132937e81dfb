#include "base/error.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
    int skill_exit, run_exit, http;
} codes[CIS_E_COUNT_] = {
#define CIS_ERROR(name, text, skill_exit, run_exit, http, ...)                                     \
    {#name, text, skill_exit, run_exit, http},
#include "cis/error.def"
#undef CIS_ERROR
};

static unsigned row(cis_code code)
{
    return (unsigned)code < CIS_E_COUNT_ ? (unsigned)code : (unsigned)CIS_E_INTERNAL;
}

const char *cis_code_name(cis_code code)
{
    return codes[row(code)].name;
}

const char *cis_code_text(cis_code code)
{
    return codes[row(code)].text;
}

int cis_code_skill_exit(cis_code code)
{
    return codes[row(code)].skill_exit;
}

int cis_code_run_exit(cis_code code)
{
    return codes[row(code)].run_exit;
}

int cis_code_http_status(cis_code code)
{
    return codes[row(code)].http;
}

/* A message is one line whatever a guest put into it, and never ends inside a character. */
static void tidy(char *msg, size_t len, int cut)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)msg[i];
        if (c < 0x20 || c == 0x7f) {
            msg[i] = c == '\n' || c == '\t' ? ' ' : '?';
        }
    }
    if (cut && len > 0) {
        size_t back = len;
        while (back > 0 && ((unsigned char)msg[back - 1] & 0xC0) == 0x80) {
            back--;
        }
        if (back > 0 && (unsigned char)msg[back - 1] >= 0xC0) {
            unsigned char lead = (unsigned char)msg[back - 1];
            size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
            if (len - (back - 1) < want) {
                msg[back - 1] = 0;
            }
        }
    }
}

cis_code cis_fail_v(struct cis_error *err, cis_code code, const char *fmt, va_list args)
{
    if (err != NULL) {
        char text[CIS_ERROR_MSG_MAX]; /* an argument may point into err->msg itself */
        int n = vsnprintf(text, sizeof text, fmt, args);
        int cut = n >= (int)sizeof text;
        tidy(text, strlen(text), cut);
        memcpy(err->msg, text, sizeof text);
        err->code = code;
        err->sys = 0;
    }
    return code;
}

cis_code cis_fail(struct cis_error *err, cis_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cis_fail_v(err, code, fmt, args);
    va_end(args);
    return code;
}

cis_code cis_fail_sys(struct cis_error *err, cis_code code, int sys, const char *fmt, ...)
{
    if (err == NULL) {
        return code;
    }
    char text[CIS_ERROR_MSG_MAX], why[80];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cis_fail(err, code, "%s%s%s", text, sys != 0 ? ": " : "",
             sys != 0 ? strerror_r(sys, why, sizeof why) : "");
    err->sys = sys;
    return code;
}

cis_code cis_error_foreign(struct cis_error *err, cis_code code, const char *who)
{
    if (code == CIS_OK) {
        return code;
    }
    cis_code known = (unsigned)code < CIS_E_COUNT_ ? code : CIS_E_PROVIDER;
    if (err == NULL) {
        return known;
    }
    size_t len = strnlen(err->msg, sizeof err->msg);
    int cut = len == sizeof err->msg;
    len -= (size_t)cut;
    err->msg[len] = 0;
    tidy(err->msg, len, cut);
    if (len == 0) {
        return cis_fail(err, known, "%s: %s", who,
                        known == code ? cis_code_text(known)
                                      : "returned a value that is not an error code of cis");
    }
    err->code = known;
    return known;
}

cis_code cis_error_prefix(struct cis_error *err, cis_code code, const char *fmt, ...)
{
    if (err == NULL) {
        return code;
    }
    char text[CIS_ERROR_MSG_MAX];
    int sys = err->sys;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cis_fail(err, code, "%s: %s", text, err->msg);
    err->sys = sys;
    return code;
}
