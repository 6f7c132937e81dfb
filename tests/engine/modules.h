/* Binary modules made up by the tests, where text cannot say it. */
#ifndef CIS_TESTS_ENGINE_MODULES_H
#define CIS_TESTS_ENGINE_MODULES_H

#include "base/buf.h"

static inline void put_leb(struct cis_buf *b, uint32_t n)
{
    do {
        uint8_t byte = n & 127;
        n >>= 7;
        cis_buf_byte(b, n != 0 ? byte | 128 : byte);
    } while (n != 0);
}

static inline void put_section(struct cis_buf *out, uint8_t id, struct cis_buf *body)
{
    cis_buf_byte(out, id);
    put_leb(out, (uint32_t)body->len);
    cis_buf_add(out, body->ptr, body->len);
    cis_buf_reset(body);
}

static inline void put_header(struct cis_buf *out)
{
    cis_buf_add(out, "\0asm\1\0\0\0", 8);
}

/* A small function that is enormous work for the compiler: every one of `loops` loop headers gets a
 * parameter for each of `locals` variables. */
static inline void put_bomb(struct cis_buf *out, uint32_t locals, uint32_t loops)
{
    struct cis_buf s = CIS_BUF_INIT(1u << 22), body = CIS_BUF_INIT(1u << 22);
    put_header(out);
    cis_buf_add(&s, "\1\x60\0\0", 4);
    put_section(out, 1, &s);
    cis_buf_add(&s, "\1\0", 2);
    put_section(out, 3, &s);
    put_leb(&body, 1);
    put_leb(&body, locals);
    cis_buf_byte(&body, 0x7f);
    for (uint32_t i = 0; i < loops; i++) {
        cis_buf_add(&body, "\x03\x40\x20\x00\x0d\x00\x0b", 7); /* loop, local.get 0, br_if 0, end */
    }
    for (uint32_t i = 0; i < locals; i++) { /* local.get i, drop */
        cis_buf_byte(&body, 0x20);
        put_leb(&body, i);
        cis_buf_byte(&body, 0x1a);
    }
    cis_buf_byte(&body, 0x0b);
    put_leb(&s, 1);
    put_leb(&s, (uint32_t)body.len);
    cis_buf_add(&s, body.ptr, body.len);
    put_section(out, 10, &s);
    cis_buf_done(&s);
    cis_buf_done(&body);
}

/* Seconds of validation for a few bytes: each block takes and gives a thousand values. */
static inline void put_slow_to_read(struct cis_buf *out, uint32_t blocks)
{
    struct cis_buf s = CIS_BUF_INIT(1u << 23), body = CIS_BUF_INIT(1u << 23);
    put_header(out);
    cis_buf_add(&s, "\2\x60\0\0\x60", 5);
    for (int list = 0; list < 2; list++) {
        put_leb(&s, 1000);
        for (int i = 0; i < 1000; i++) {
            cis_buf_byte(&s, 0x7f);
        }
    }
    put_section(out, 1, &s);
    cis_buf_add(&s, "\1\0", 2);
    put_section(out, 3, &s);
    cis_buf_byte(&body, 0);
    for (int i = 0; i < 1000; i++) {
        cis_buf_add(&body, "\x41\0", 2);
    }
    for (uint32_t i = 0; i < blocks; i++) {
        cis_buf_add(&body, "\x02\x01\x0b", 3);
    }
    for (int i = 0; i < 1000; i++) {
        cis_buf_byte(&body, 0x1a);
    }
    cis_buf_byte(&body, 0x0b);
    put_leb(&s, 1);
    put_leb(&s, (uint32_t)body.len);
    cis_buf_add(&s, body.ptr, body.len);
    put_section(out, 10, &s);
    cis_buf_done(&s);
    cis_buf_done(&body);
}

/* Gigabytes of validation: types of a thousand values, no two the same. */
static inline void put_large_to_read(struct cis_buf *out, uint32_t types)
{
    struct cis_buf s = CIS_BUF_INIT(256u << 20);
    put_header(out);
    put_leb(&s, types);
    for (uint32_t t = 0; t < types; t++) {
        cis_buf_byte(&s, 0x60);
        put_leb(&s, 1000);
        for (uint32_t i = 0; i < 1000; i++) {
            cis_buf_byte(&s, i < 20 && (t >> i & 1) != 0 ? 0x7e : 0x7f);
        }
        cis_buf_byte(&s, 0);
    }
    put_section(out, 1, &s);
    cis_buf_done(&s);
}

#endif
