/* Where a request ends: what two servers could read in two ways is refused (RFC 9112). */
#include "harness.h"

#include "httpd/internal.h"

#define HEAD(lines) "POST /mcp HTTP/1.1\r\nHost: h\r\n" lines "\r\n"

/* The status it is refused with, 0: it is whole, 1: it is not whole. */
static unsigned status_of(const char *text, size_t len, struct httpd_head *out)
{
    struct cis_httpd_refusal why = {0};
    size_t seen = 0;
    uint8_t *exact = malloc(len + 1); /* a sanitizer sees one byte too many */
    memcpy(exact, text, len);
    enum httpd_status status = cis_httpd_head(cis_bytes_of(exact, len), &seen, out, &why);
    unsigned got = status == HTTPD_WHOLE ? 0 : status == HTTPD_PART ? 1 : why.status;
    if (status == HTTPD_WHOLE) { /* texts are in what is freed */
        assert_true(out->len <= len);
    }
    free(exact);
    return got;
}
#define assert_status(want, text)                                                                  \
    do {                                                                                           \
        struct httpd_head head_;                                                                   \
        unsigned got_ = status_of(text, sizeof(text) - 1, &head_);                                 \
        if (got_ != (want)) {                                                                      \
            fail_msg("%u, not %u: %s", got_, (unsigned)(want), text);                              \
        }                                                                                          \
    } while (0)

static void a_good_head_is_read(void **state)
{
    (void)state;
    static const char text[] = HEAD("Content-Length: 5\r\nX-A:  b c \t\r\nx-a: 2\r\n") "hello";
    struct cis_httpd_refusal why;
    struct httpd_head head;
    struct cis_str value;
    size_t seen = 0;
    assert_int_equal(cis_httpd_head(cis_bytes_of(text, sizeof text - 1), &seen, &head, &why),
                     HTTPD_WHOLE);
    assert_int_equal(head.len, sizeof text - 1 - 5);
    assert_int_equal(head.body, HTTPD_LENGTH);
    assert_int_equal(head.length, 5);
    assert_false(head.close || head.expects || head.request.old);
    assert_true(cis_str_is(head.request.method, "POST"));
    assert_true(cis_str_is(head.request.target, "/mcp"));
    assert_true(cis_str_is(head.request.host, "h"));
    assert_int_equal(cis_httpd_field(&head.request, "X-a", &value), 2);
    assert_true(cis_str_is(value, "b c"));
    assert_int_equal(cis_httpd_field(&head.request, "X-b", &value), 0);
}

static void a_head_that_comes_byte_by_byte_is_whole_with_its_last(void **state)
{
    (void)state;
    static const char text[] = "\r\n" HEAD("Transfer-Encoding: chunked\r\n");
    struct cis_httpd_refusal why;
    struct httpd_head head;
    size_t seen = 0;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        assert_int_equal(cis_httpd_head(cis_bytes_of(text, n), &seen, &head, &why), HTTPD_PART);
    }
    assert_int_equal(cis_httpd_head(cis_bytes_of(text, sizeof text - 1), &seen, &head, &why),
                     HTTPD_WHOLE);
    assert_int_equal(head.body, HTTPD_CHUNKED);
}

static void what_may_be_said_is_understood(void **state)
{
    (void)state;
    assert_status(0, HEAD(""));
    assert_status(0, HEAD("Content-Length: 0\r\n"));
    assert_status(0, HEAD("Content-Length: 007\r\n"));
    assert_status(0, HEAD("Transfer-Encoding: CHUNKED\r\n"));
    assert_status(0, HEAD("Expect: 100-Continue\r\n"));
    assert_status(0, HEAD("Connection: close\r\n"));
    assert_status(0, HEAD("Empty:\r\n"));
    assert_status(0, "GET / HTTP/1.0\r\n\r\n");
    assert_status(0, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(0, "GET http://h:80/x?y HTTP/1.1\r\nHost: h:80\r\n\r\n");
    assert_status(0, "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(1, "GET / HTTP/1.1\r\nHost: h\r\n");
    assert_status(1, "GET / HTTP/1.1\r\nHost: h\r\n\r");
    assert_status(1, "");
}

static void lines_that_end_otherwise_are_refused(void **state)
{
    (void)state;
    assert_status(400, "POST /mcp HTTP/1.1\nHost: h\n\n");
    assert_status(400, "POST /mcp HTTP/1.1\r\nHost: h\n\r\n");
    assert_status(400, HEAD("A: b\nContent-Length: 5\r\n"));
    assert_status(400, HEAD("A: b\rContent-Length: 5\r\n"));
    assert_status(400, HEAD("A: b\r\r\n"));
    assert_status(400, "\nPOST /mcp HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "\r\n\r\nPOST /mcp HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, HEAD("A: b\r\n folded\r\n"));
    assert_status(400, HEAD("A: b\r\n\tfolded\r\n"));
    assert_status(400, HEAD(" A: b\r\n"));
}

static void a_body_that_could_end_in_two_places_is_refused(void **state)
{
    (void)state;
    assert_status(400, HEAD("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"));
    assert_status(400, HEAD("Content-Length: 5\r\nContent-Length: 5\r\n"));
    assert_status(400, HEAD("Content-Length: 5\r\ncontent-length: 6\r\n"));
    assert_status(400, HEAD("Content-Length: 5, 5\r\n"));
    assert_status(400, HEAD("Content-Length: +5\r\n"));
    assert_status(400, HEAD("Content-Length: -1\r\n"));
    assert_status(400, HEAD("Content-Length: 0x5\r\n"));
    assert_status(400, HEAD("Content-Length: 5 5\r\n"));
    assert_status(400, HEAD("Content-Length: 5;\r\n"));
    assert_status(400, HEAD("Content-Length:\r\n"));
    assert_status(400, HEAD("Content-Length: 99999999999999999999\r\n"));
    assert_status(400, HEAD("Content-Length: 18446744073709551617\r\n"));
    assert_status(400, HEAD("Content-Length : 5\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: chunked, chunked\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: gzip, chunked\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: identity\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: xchunked\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: chunked;q=1\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: \"chunked\"\r\n"));
    assert_status(400, HEAD("Transfer-Encoding: \x0b"
                            "chunked\r\n"));
    assert_status(400, HEAD("Transfer-Encoding:\r\n"));
    assert_status(400, HEAD("Transfer-Encoding : chunked\r\n"));
    assert_status(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void a_host_that_could_be_two_is_refused(void **state)
{
    (void)state;
    assert_status(400, "GET / HTTP/1.1\r\n\r\n");
    assert_status(400, HEAD("Host: h\r\n"));
    assert_status(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_status(400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n");
    assert_status(400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n");
    assert_status(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    assert_status(400, "GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "GET http://a@h/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n");
    assert_status(400, "GET * HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    static const char zero[] = "POST /mcp HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n";
    struct httpd_head head;
    assert_int_equal(status_of(zero, sizeof zero - 1, &head), 400);
    assert_status(400, "GET / HTTP/2.0\r\nHost: h\r\n\r\n");
    assert_status(400, "GET / HTTP/1.10\r\nHost: h\r\n\r\n");
    assert_status(400, "GET / http/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "GET /\r\nHost: h\r\n\r\n");
    assert_status(400, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "GET / HTTP/1.1 \r\nHost: h\r\n\r\n");
    assert_status(400, "G@T / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, "GET x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(400, HEAD("no colon\r\n"));
    assert_status(400, HEAD(": no name\r\n"));
    assert_status(400, HEAD("na me: x\r\n"));
    assert_status(400, HEAD("A: \x01\r\n"));
    assert_status(400, HEAD("A: \x7f\r\n"));
    assert_status(400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_status(400, "\x16\x03\x01\x02\r\n\r\n");
    assert_status(417, HEAD("Expect: 200-ok\r\n"));
    assert_status(417, HEAD("Expect: 100-continue\r\nExpect: 100-continue\r\n"));
}

static void a_head_is_bounded(void **state)
{
    (void)state;
    struct httpd_head head;
    struct cis_buf text = CIS_BUF_INIT(1 << 20);
    cis_buf_text(&text, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (unsigned i = 1; i < CIS_HTTPD_FIELDS_MAX; i++) {
        cis_buf_printf(&text, "F%u: x\r\n", i);
    }
    size_t whole = text.len;
    cis_buf_text(&text, "\r\n");
    assert_int_equal(status_of((char *)text.ptr, text.len, &head), 0);
    text.len = whole;
    cis_buf_text(&text, "One: more\r\n\r\n");
    assert_int_equal(status_of((char *)text.ptr, text.len, &head), 431);
    for (size_t len = CIS_HTTPD_HEAD_MAX - 1; len <= CIS_HTTPD_HEAD_MAX + 1; len++) {
        cis_buf_reset(&text);
        cis_buf_text(&text, "GET / HTTP/1.1\r\nHost: h\r\nA: ");
        while (text.len + 4 < len) {
            cis_buf_byte(&text, 'x');
        }
        cis_buf_text(&text, "\r\n\r\n");
        assert_int_equal(status_of((char *)text.ptr, text.len, &head),
                         len > CIS_HTTPD_HEAD_MAX ? 431 : 0);
        assert_int_equal(status_of((char *)text.ptr, text.len - 1, &head),
                         len > CIS_HTTPD_HEAD_MAX ? 431 : 1);
    }
    cis_buf_done(&text);
}

/* ---- chunks ---- */

/* 0: whole, and *out what it holds; 1: not whole; else the status. In pieces of n bytes. */
static unsigned unchunk(const char *text, size_t len, size_t n, struct cis_buf *out)
{
    struct httpd_chunks chunks = {0};
    struct cis_httpd_refusal why = {0};
    cis_buf_reset(out);
    for (size_t at = 0; at < len && chunks.at != CHUNK_DONE;) {
        size_t used = 0, piece = len - at < n ? len - at : n;
        if (!cis_httpd_chunks(&chunks, cis_bytes_of(text + at, piece), &used, out, &why)) {
            return why.status;
        }
        assert_true(used == piece || chunks.at == CHUNK_DONE);
        at += used;
    }
    return chunks.at == CHUNK_DONE ? 0 : 1;
}

static void chunks_are_joined_however_they_come(void **state)
{
    (void)state;
    static const char text[] = "5\r\nhello\r\n0A;x=\"y\"\r\n 123456789\r\n0;last\r\n\r\nGET /";
    struct cis_buf out = CIS_BUF_INIT(100);
    for (size_t n = 1; n < sizeof text; n++) {
        assert_int_equal(unchunk(text, sizeof text - 1, n, &out), 0);
        assert_string_equal(cis_buf_cstr(&out), "hello 123456789");
    }
    for (size_t len = 0; len < sizeof text - 1 - 5; len++) {
        assert_int_equal(unchunk(text, len, len, &out), 1);
    }
    cis_buf_done(&out);
}

static void chunks_that_could_be_read_otherwise_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\r\n",
                                      ";\r\n",
                                      "x\r\n",
                                      "-1\r\n",
                                      "+1\r\n",
                                      " 1\r\na",
                                      "1 \r\na",
                                      "1\na\r\n",
                                      "1\ra",
                                      "0x1\r\na",
                                      "1\r\nab",
                                      "1\r\na\n",
                                      "1\r\na\rb",
                                      "1\r\na0\r\n",
                                      "0\r\nTrailer: x\r\n\r\n",
                                      "0\r\n\n",
                                      "0\r\nx",
                                      "0\n\r\n",
                                      "000000001\r\na",
                                      "ffffffffffffffff1\r\n",
                                      "1;\nx\r\na\r\n",
                                      "1;\x01\r\na\r\n",
                                      "1;a\rb\r\na\r\n"};
    struct cis_buf out = CIS_BUF_INIT(100);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (unchunk(bad[i], strlen(bad[i]), 7, &out) != 400) {
            fail_msg("not refused: %s", bad[i]);
        }
    }
    struct cis_buf many = CIS_BUF_INIT(1 << 20);
    for (int i = 0; i < 5000; i++) {
        cis_buf_text(&many, "1;x\r\na\r\n");
    }
    out.max = 1 << 20;
    assert_int_equal(unchunk((char *)many.ptr, many.len, 4096, &out), 400); /* extensions */
    out.max = 10;
    assert_int_equal(unchunk("b\r\n12345678901\r\n0\r\n\r\n", 21, 100, &out), 413);
    cis_buf_done(&many);
    cis_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_head_is_read),
        cmocka_unit_test(a_head_that_comes_byte_by_byte_is_whole_with_its_last),
        cmocka_unit_test(what_may_be_said_is_understood),
        cmocka_unit_test(chunks_are_joined_however_they_come),
        cmocka_unit_test(lines_that_end_otherwise_are_refused),
        cmocka_unit_test(a_body_that_could_end_in_two_places_is_refused),
        cmocka_unit_test(a_host_that_could_be_two_is_refused),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(a_head_is_bounded),
        cmocka_unit_test(chunks_that_could_be_read_otherwise_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
