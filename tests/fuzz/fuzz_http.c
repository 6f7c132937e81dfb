/* Any bytes as what a client sends to `cis mcp --http`: a head, a body with a length or in chunks,
 * a message of JSON-RPC, and the next request; and as what it sends by a line: a message alone.
 * Read at once and in pieces it is the same. libFuzzer target; replay.c runs it over the corpus. */
#include <stdint.h>
#include <stdlib.h>
#include "httpd/internal.h"
#include "mcp/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX ((size_t)65536)

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Not looked at before up to *seen, which grows piece by piece. */
static enum httpd_status read_head(struct cis_bytes in, size_t step, struct httpd_head *out)
{
    struct cis_httpd_refusal why = {0};
    size_t seen = 0;
    enum httpd_status status = HTTPD_PART;
    for (size_t n = step < in.len ? step : in.len; status == HTTPD_PART; n += step) {
        n = n < in.len ? n : in.len;
        status = cis_httpd_head(cis_bytes_of(in.ptr, n), &seen, out, &why);
        require(seen <= n && (status != HTTPD_REFUSED || why.status >= 400));
        if (n == in.len) {
            break;
        }
    }
    return status;
}

static bool read_chunks(struct cis_bytes in, size_t step, struct cis_buf *body, size_t *out_used)
{
    struct httpd_chunks chunks = {0};
    struct cis_httpd_refusal why;
    size_t at = 0, used = 0;
    while (at < in.len && chunks.at != CHUNK_DONE) {
        size_t n = in.len - at < step ? in.len - at : step;
        if (!cis_httpd_chunks(&chunks, cis_bytes_of(in.ptr + at, n), &used, body, &why)) {
            return false;
        }
        require(used == n || chunks.at == CHUNK_DONE);
        at += used;
    }
    *out_used = at;
    return chunks.at == CHUNK_DONE;
}

static void take_message(struct cis_str text)
{
    struct mcp_message message = {0};
    struct mcp_reply reply = {0};
    struct cis_buf line = CIS_BUF_INIT(1 << 20);
    enum mcp_kind kind = cis_mcp_message_read(text, &message, &reply);
    require((kind == MCP_BROKEN) == (reply.code != 0));
    require(kind != MCP_REQUEST || (message.id != NULL && message.method != NULL));
    if (kind == MCP_BROKEN || kind == MCP_REQUEST) {
        cis_mcp_answer(message.id, &reply, &line);
        require(line.len > 2 && line.ptr[line.len - 1] == '\n' &&
                memchr(line.ptr, '\n', line.len - 1) == NULL);
    }
    cis_buf_done(&line);
    cis_mcp_reply_done(&reply);
    json_decref(message.all);
}

/* How many bytes were of it; 0: the connection ends there. */
static size_t take_request(struct cis_bytes in)
{
    struct httpd_head head, again;
    enum httpd_status status = read_head(in, in.len, &head);
    require(read_head(in, 7, &again) == status || in.len > CIS_HTTPD_HEAD_MAX);
    if (status != HTTPD_WHOLE) {
        return 0;
    }
    require(head.len <= in.len && head.len == again.len && head.body == again.body);
    struct cis_bytes rest = {in.ptr + head.len, in.len - head.len};
    struct cis_buf body = CIS_BUF_INIT(BODY_MAX), same = CIS_BUF_INIT(BODY_MAX);
    size_t used = 0, used_again = 0;
    bool whole = head.body == HTTPD_NO_BODY;
    if (head.body == HTTPD_CHUNKED) {
        whole = read_chunks(rest, rest.len, &body, &used);
        require(read_chunks(rest, 3, &same, &used_again) == whole);
        require(!whole ||
                (used == used_again && cis_str_eq(cis_buf_view(&body), cis_buf_view(&same))));
    } else if (head.body == HTTPD_LENGTH && head.length <= rest.len && head.length <= BODY_MAX) {
        used = (size_t)head.length;
        cis_buf_add(&body, rest.ptr, used);
        whole = true;
    }
    if (whole) {
        take_message(cis_buf_view(&body));
    }
    cis_buf_done(&body);
    cis_buf_done(&same);
    return whole ? head.len + used : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_message((struct cis_str){(const char *)data, size});
    for (size_t at = 0; at < size;) {
        size_t n = take_request(cis_bytes_of(data + at, size - at));
        if (n == 0) {
            break;
        }
        at += n;
    }
    return 0;
}
