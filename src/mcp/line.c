/* Lines of a descriptor that may keep us waiting. */
#include "mcp/internal.h"

#include <errno.h>
#include <unistd.h>
#include "base/mem.h"

#define PIECE ((size_t)65536)
#define KEPT ((size_t)1 << 20) /* of the buffer, once a long line is done with */

static cis_code read_more(struct mcp_lines *l, struct cis_error *err)
{
    if (l->start != 0) {
        memmove(l->buf.ptr, l->buf.ptr + l->start, l->buf.len - l->start);
        l->buf.len -= l->start;
        l->seen -= l->start;
        l->start = 0;
    }
    if (l->buf.len == 0 && l->buf.cap > KEPT) {
        cis_buf_done(&l->buf);
        l->buf = CIS_BUF_INIT(CIS_MCP_LINE_MAX + 2 * PIECE);
    }
    uint8_t *at = cis_buf_reserve(&l->buf, PIECE);
    if (at == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "stdin: out of memory");
    }
    CIS_TRY(cis_stop_wait(l->stop, l->fd, POLLIN, "stdin", err));
    ssize_t n = read(l->fd, at, PIECE);
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        return cis_fail_sys(err, CIS_E_IO, errno, "stdin");
    }
    l->ended = n == 0;
    l->buf.len += n > 0 ? (size_t)n : 0;
    return CIS_OK;
}

/* What there is of a line that is too long is forgotten, and what comes of it. */
static void skip(struct mcp_lines *l)
{
    l->start = l->seen = l->buf.len;
    l->skipping = true;
}

cis_code cis_mcp_line_next(struct mcp_lines *l, enum mcp_line *out, struct cis_str *out_text,
                           struct cis_error *err)
{
    for (;;) {
        const uint8_t *from = l->buf.ptr + l->seen;
        const uint8_t *end = l->buf.len > l->seen ? memchr(from, '\n', l->buf.len - l->seen) : NULL;
        size_t at = end != NULL ? (size_t)(end - l->buf.ptr) : l->buf.len;
        size_t len = at - l->start;
        if (end == NULL && !l->ended && len <= CIS_MCP_LINE_MAX) {
            l->seen = l->buf.len;
            CIS_TRY(read_more(l, err));
            continue;
        }
        bool skipped = l->skipping;
        const char *text = (const char *)l->buf.ptr + l->start;
        if (end == NULL && !l->ended) {
            skip(l);
        } else {
            l->start = l->seen = end != NULL ? at + 1 : at;
            l->skipping = false;
        }
        if (end == NULL && l->ended && len == 0) {
            *out = MCP_LINE_END;
            return CIS_OK;
        }
        if (skipped) {
            continue; /* told when it became too long */
        }
        *out = len > CIS_MCP_LINE_MAX ? MCP_LINE_LONG : MCP_LINE;
        *out_text = (struct cis_str){text, len};
        return CIS_OK;
    }
}
