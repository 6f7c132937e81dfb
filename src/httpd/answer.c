/* Exchanges: an answer is laid ready by any thread, and written by the one that serves. */
#include "httpd/internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/mem.h"

#define ANSWER_HEAD_MAX ((size_t)4096)

static const char *reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } reasons[] = {{200, "OK"},
                   {202, "Accepted"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {406, "Not Acceptable"},
                   {408, "Request Timeout"},
                   {413, "Content Too Large"},
                   {415, "Unsupported Media Type"},
                   {417, "Expectation Failed"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Status";
}

/* length SIZE_MAX: in chunks, or until the connection is closed. */
void cis_httpd_head_write(struct cis_buf *out, unsigned status, const char *type,
                          const char *fields, size_t length, bool close)
{
    cis_buf_printf(out, "HTTP/1.1 %u %s\r\n", status, reason(status));
    if (type != NULL) {
        cis_buf_printf(out, "Content-Type: %s\r\n", type);
    }
    if (fields != NULL) {
        cis_buf_text(out, fields);
    }
    if (length != SIZE_MAX) {
        cis_buf_printf(out, "Content-Length: %zu\r\n", length);
    } else if (!close) {
        cis_buf_text(out, "Transfer-Encoding: chunked\r\n");
    }
    cis_buf_text(out, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    cis_buf_text(out, close ? "Connection: close\r\n\r\n" : "\r\n");
}

/* ---- lifetimes ---- */

struct httpd_shared *cis_httpd_shared_new(const struct cis_httpd_options *o)
{
    struct httpd_shared *s = cis_zalloc(sizeof *s);
    int wake = s != NULL ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    if (wake < 0) {
        cis_free(s);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    atomic_init(&s->waiting, 0);
    pthread_mutex_init(&s->lock, NULL);
    s->wake = wake;
    s->stream_max = o->stream_max;
    s->answers_max = o->answers_max;
    return s;
}

void cis_httpd_shared_unref(struct httpd_shared *s)
{
    if (s != NULL && atomic_fetch_sub(&s->refs, 1) == 1) {
        close(s->wake);
        pthread_mutex_destroy(&s->lock);
        cis_free(s);
    }
}

cis_httpd_exchange *cis_httpd_exchange_new(struct httpd_conn *conn)
{
    cis_httpd_exchange *x = cis_zalloc(sizeof *x);
    if (x == NULL) {
        return NULL;
    }
    cis_lock_alone(httpd_lock);
    atomic_init(&x->refs, 1);
    x->shared = conn->server->shared;
    atomic_fetch_add(&x->shared->refs, 1);
    x->conn = conn;
    x->out = CIS_BUF_INIT(CIS_MEM_MAX);
    x->old = conn->head.request.old;
    x->close = conn->head.close;
    x->head_only = cis_str_is(conn->head.request.method, "HEAD");
    return x;
}

cis_httpd_exchange *cis_httpd_ref(cis_httpd_exchange *x)
{
    atomic_fetch_add(&x->refs, 1);
    return x;
}

void cis_httpd_unref(cis_httpd_exchange *x)
{
    if (x != NULL && atomic_fetch_sub(&x->refs, 1) == 1) {
        cis_lock_alone(httpd_lock);
        atomic_fetch_sub(&x->shared->waiting, x->out.len);
        cis_buf_done(&x->out);
        if (x->drop != NULL) {
            x->drop(x->tag);
        }
        cis_httpd_shared_unref(x->shared);
        cis_free(x);
    }
}

bool cis_httpd_tag(cis_httpd_exchange *x, void *tag, void (*drop)(void *tag)) CIS_TAKES(httpd_lock)
{
    cis_mutex_lock(&x->shared->lock, httpd_lock);
    bool there = x->conn != NULL && !x->half;
    if (there) {
        x->tag = tag;
        x->drop = drop;
    }
    cis_mutex_unlock(&x->shared->lock, httpd_lock);
    return there;
}

/* ---- from any thread ---- */

/* It has something for the thread that serves. */
static void list(cis_httpd_exchange *x) CIS_REQUIRES(httpd_lock)
{
    struct httpd_shared *s = x->shared;
    if (!x->listed) {
        x->listed = true;
        cis_httpd_ref(x);
        x->next = s->ready;
        s->ready = x;
    }
}

static void wake(const struct httpd_shared *s)
{
    uint64_t one = 1;
    while (write(s->wake, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* Takes the text. False: it is not kept, and nobody is to get the rest. What others do not read is
 * nothing to it: what may be begun while they do not is for the owner to say, by cis_httpd_full. */
static bool lay(cis_httpd_exchange *x, struct cis_buf *text, size_t most) CIS_REQUIRES(httpd_lock)
{
    struct httpd_shared *s = x->shared;
    size_t len = text->len;
    bool fits = text->failed == CIS_OK && len <= most && x->out.len <= most - len;
    if (fits && x->out.len == 0) {
        struct cis_buf empty = x->out;
        x->out = *text;
        x->out.max = CIS_MEM_MAX;
        *text = empty;
    } else if (fits) {
        cis_buf_str(&x->out, cis_buf_view(text));
        fits = x->out.failed == CIS_OK;
    }
    if (fits) {
        atomic_fetch_add(&s->waiting, len);
    }
    x->lost = x->lost || !fits;
    return fits;
}

static bool is_full(const struct httpd_shared *s)
{
    return atomic_load(&s->waiting) > s->answers_max;
}

bool cis_httpd_full(const cis_httpd_exchange *x)
{
    return is_full(x->shared);
}

bool cis_httpd_there(cis_httpd_exchange *x) CIS_TAKES(httpd_lock)
{
    cis_mutex_lock(&x->shared->lock, httpd_lock);
    bool there = x->conn != NULL && !x->lost && !x->half;
    cis_mutex_unlock(&x->shared->lock, httpd_lock);
    return there;
}

bool cis_httpd_answer(cis_httpd_exchange *x, unsigned status, const char *type, const char *fields,
                      struct cis_str body) CIS_TAKES(httpd_lock)
{
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf text = CIS_BUF_INIT(cis_size_add(body.len, ANSWER_HEAD_MAX));
    bool close = x->close || x->old;
    cis_httpd_head_write(&text, status, body.len != 0 ? type : NULL, fields, body.len, close);
    if (!x->head_only) {
        cis_buf_str(&text, body);
    }
    struct httpd_shared *s = x->shared;
    cis_mutex_lock(&s->lock, httpd_lock);
    bool now = x->conn != NULL && !x->begun && !x->ended;
    if (now) {
        lay(x, &text, CIS_MEM_MAX);
        x->begun = x->ended = true;
        list(x);
    }
    cis_mutex_unlock(&s->lock, httpd_lock);
    if (now) {
        wake(s);
    }
    return now;
}

bool cis_httpd_stream(cis_httpd_exchange *x, const char *type, struct cis_str piece)
    CIS_TAKES(httpd_lock)
{
    struct httpd_shared *s = x->shared;
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf text = CIS_BUF_INIT(cis_size_add(piece.len, ANSWER_HEAD_MAX));
    cis_mutex_lock(&s->lock, httpd_lock);
    bool good = x->conn != NULL && !x->ended && !x->lost && !is_full(s);
    if (good && !x->begun) {
        cis_httpd_head_write(&text, 200, type, NULL, SIZE_MAX, x->close || x->old);
        x->begun = true;
    }
    if (good && piece.len != 0 && (x->old || x->close)) {
        cis_buf_str(&text, piece);
    } else if (good && piece.len != 0) {
        cis_buf_printf(&text, "%zx\r\n", piece.len);
        cis_buf_str(&text, piece);
        cis_buf_text(&text, "\r\n");
    }
    bool laid = good && lay(x, &text, s->stream_max);
    if (good) {
        list(x);
    }
    cis_mutex_unlock(&s->lock, httpd_lock);
    if (good) { /* also when he is to be gone now */
        wake(s);
    }
    return laid;
}

bool cis_httpd_streams(cis_httpd_exchange *x) CIS_TAKES(httpd_lock)
{
    cis_mutex_lock(&x->shared->lock, httpd_lock);
    bool begun = x->begun;
    cis_mutex_unlock(&x->shared->lock, httpd_lock);
    return begun;
}

bool cis_httpd_end(cis_httpd_exchange *x, struct cis_str last) CIS_TAKES(httpd_lock)
{
    struct httpd_shared *s = x->shared;
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf text = CIS_BUF_INIT(cis_size_add(last.len, ANSWER_HEAD_MAX));
    bool chunked = !x->old && !x->close;
    if (chunked && last.len != 0) {
        cis_buf_printf(&text, "%zx\r\n", last.len);
    }
    cis_buf_str(&text, last);
    if (chunked) {
        cis_buf_text(&text, last.len != 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
    }
    cis_mutex_lock(&s->lock, httpd_lock);
    bool now = x->conn != NULL && x->begun && !x->ended;
    if (now) {
        /* With the end, not before it: only what has ended may be more than a stream may hold. */
        if (text.len != 0 || text.failed != CIS_OK) {
            lay(x, &text, CIS_MEM_MAX);
        }
        x->ended = true;
        list(x);
    }
    cis_mutex_unlock(&s->lock, httpd_lock);
    if (now) {
        wake(s);
    }
    return now;
}
