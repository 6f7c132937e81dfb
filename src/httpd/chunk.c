/* A body in chunks (RFC 9112 §7.1). Extensions are looked over and mean nothing; trailers are
 * refused: nobody here would read them, and others on the way may take them for fields of the head.
 */
#include "httpd/internal.h"

#define SIZE_DIGITS 8u
#define EXTENSIONS_MAX ((size_t)4096) /* of one body */

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool size_byte(struct httpd_chunks *c, uint8_t byte)
{
    int digit = hex(byte);
    if (digit >= 0) {
        c->left = c->left * 16 + (unsigned)digit;
        return ++c->digits <= SIZE_DIGITS;
    }
    c->at = byte == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return c->digits != 0 && (byte == ';' || byte == '\r');
}

/* One byte that is not data. */
static bool step(struct httpd_chunks *c, uint8_t byte)
{
    switch (c->at) {
    case CHUNK_SIZE:
        return size_byte(c, byte);
    case CHUNK_EXTENSION:
        c->at = byte == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return ++c->extension <= EXTENSIONS_MAX &&
               (byte == '\r' || byte == '\t' || (byte >= 0x20 && byte != 0x7f));
    case CHUNK_SIZE_LF:
        c->at = c->left != 0 ? CHUNK_DATA : CHUNK_END_CR;
        return byte == '\n';
    case CHUNK_CR:
        c->at = CHUNK_LF;
        return byte == '\r';
    case CHUNK_LF:
        c->at = CHUNK_SIZE;
        c->digits = 0;
        return byte == '\n';
    case CHUNK_END_CR:
        c->at = CHUNK_END_LF;
        return byte == '\r';
    case CHUNK_END_LF:
        c->at = CHUNK_DONE;
        return byte == '\n';
    case CHUNK_DATA:
    case CHUNK_DONE:
        break;
    }
    return false;
}

bool cis_httpd_chunks(struct httpd_chunks *c, struct cis_bytes in, size_t *out_used,
                      struct cis_buf *body, struct cis_httpd_refusal *why)
{
    size_t at = 0;
    while (at < in.len && c->at != CHUNK_DONE) {
        if (c->at != CHUNK_DATA) {
            if (!step(c, in.ptr[at++])) {
                cis_httpd_refuse(why, 400, "a chunk of the body is malformed");
                return false;
            }
            if (c->at == CHUNK_DATA && c->left > body->max - body->len) {
                cis_httpd_refuse(why, 413, "a body of more than %zu bytes", body->max);
                return false;
            }
            continue;
        }
        size_t n = c->left < in.len - at ? (size_t)c->left : in.len - at;
        cis_buf_add(body, in.ptr + at, n);
        if (body->failed != CIS_OK) {
            cis_httpd_refuse(why, 503, "out of memory");
            return false;
        }
        at += n;
        c->left -= n;
        c->at = c->left == 0 ? CHUNK_CR : CHUNK_DATA;
    }
    *out_used = at;
    return true;
}
