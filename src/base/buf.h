/* A growable byte buffer whose maximum is given at init. Failure is sticky: append many, check once
 * with cis_buf_check. Not for sharing between threads. */
#ifndef CIS_BASE_BUF_H
#define CIS_BASE_BUF_H

#include <stdarg.h>
#include "base/error.h"
#include "base/str.h"

struct cis_buf {
    uint8_t *ptr; /* NUL follows the last byte whenever ptr is not NULL */
    size_t len, cap, max;
    cis_code failed; /* CIS_E_LIMIT: over max; CIS_E_NOMEM */
};

#define CIS_BUF_INIT(max_bytes) ((struct cis_buf){NULL, 0, 0, (max_bytes), CIS_OK})

void cis_buf_done(struct cis_buf *buf);
/* Keeps the memory, forgets content and failure. */
void cis_buf_reset(struct cis_buf *buf);
void cis_buf_add(struct cis_buf *buf, const void *ptr, size_t len);
void cis_buf_str(struct cis_buf *buf, struct cis_str text);
void cis_buf_text(struct cis_buf *buf, const char *text);
void cis_buf_byte(struct cis_buf *buf, uint8_t byte);
void cis_buf_printf(struct cis_buf *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void cis_buf_vprintf(struct cis_buf *buf, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
/* text as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. What could steer a terminal is
 * an escape (cis_utf8_steers). */
void cis_buf_json(struct cis_buf *buf, struct cis_str text);
/* Room for len more bytes; NULL when sticky-failed. The caller fills it and adds to buf->len. */
uint8_t *cis_buf_reserve(struct cis_buf *buf, size_t len);
/* CIS_OK, or the sticky failure with `what` named in err. */
cis_code cis_buf_check(const struct cis_buf *buf, const char *what, struct cis_error *err);
/* Gives the memory away (free with cis_free); buf is empty afterwards. NULL when empty or failed.
 */
uint8_t *cis_buf_take(struct cis_buf *buf, size_t *out_len);
/* from becomes empty, to has its memory; what to had is gone. More than to may hold is its failure.
 */
void cis_buf_move(struct cis_buf *from, struct cis_buf *to);
/* NUL-terminated content, "" when empty. Borrowed. */
const char *cis_buf_cstr(const struct cis_buf *buf);

static inline struct cis_str cis_buf_view(const struct cis_buf *buf)
{
    return (struct cis_str){(const char *)buf->ptr, buf->len};
}

static inline struct cis_bytes cis_buf_bytes(const struct cis_buf *buf)
{
    return (struct cis_bytes){buf->ptr, buf->len};
}

#endif
