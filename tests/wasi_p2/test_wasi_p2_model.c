/* Random sequences of every operation on streams, bodies, sockets and pollables, beside a model
 * that knows what was promised, what was written in which order, and what has arrived. Arguments:
 * how many sequences, and the number of the first. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include "base/clock.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/vfs.h"
#include "wasi/p2/held.h"
#include "wasi/p2/http.h"
#include "wasi/p2/sockets.h"

#define HANDLES 48u
#define LINES 64u
#define STEPS 60u
#define CHILDREN 4096u
#define CONTENT ((size_t)1 << 20)

uint64_t chance_state = 1;
static uint8_t table[TABLE_LEN + 300000];
const uint8_t *const model_bytes = table;
int model_always;

static unsigned long sequences = 5000, first;
static unsigned children[CHILDREN]; /* of each entry that lives, by its number */

size_t chance_size(size_t max)
{
    static const size_t borders[] = {1, 4095, 4096, 4097, 16384, 32768, 65535, 65536, 65537};
    size_t n = 0;
    switch (chance(8)) {
    case 0:
        n = borders[chance(9)];
        break;
    case 1:
        n = max;
        break;
    case 2:
        n = chance((uint32_t)(max < 70000 ? max : 70000) + 1);
        break;
    default:
        n = chance(700);
        break;
    }
    return n < max ? n : max;
}

/* ---- lines and springs ---- */

void line_sent(struct line *line, const void *data, size_t len)
{
    if (len == 0 || line->lossy) {
        return;
    }
    if (line->len + len > line->cap) {
        line->cap = 2 * (line->len + len);
        line->at = realloc(line->at, line->cap);
        assert_non_null(line->at);
    }
    memcpy(line->at + line->len, data, len);
    line->len += len;
    line->sent += len;
}

void line_arrived(struct line *line, const void *data, size_t len, const char *where)
{
    if (line->lossy) { /* some of what came before may be missing */
        return;
    }
    if (len > line->len || memcmp(line->at, data, len) != 0) {
        fail_msg("%s: %zu bytes after %llu are not those that were written next (%zu are due)",
                 where, len, (unsigned long long)line->arrived, line->len);
    }
    line->len -= len;
    memmove(line->at, line->at + len, line->len);
    line->arrived += len;
}

const uint8_t *spring_at(const struct spring *spring, size_t *inout_len)
{
    uint64_t left = spring->len - spring->at;
    *inout_len = *inout_len < left ? *inout_len : (size_t)left;
    size_t at = (size_t)((spring->seed + spring->at) % TABLE_LEN);
    *inout_len = *inout_len < TABLE_LEN - at ? *inout_len : TABLE_LEN - at;
    return table + at;
}

/* ---- the run ---- */

enum kind {
    NONE,
    OUT,
    IN,
    BODY,
    REQUEST,
    RESPONSE_OUT,
    FUTURE,
    RESPONSE,
    IN_BODY,
    IN_REQUEST,
    OUTPARAM,
    TRAILERS,
    POLLABLE,
    TCP,
    UDP,
    UDP_IN,
    UDP_OUT,
    LOOKUP,
    FILE_HANDLE,
    FIELDS,
    OTHER
};

struct handle {
    enum kind kind;
    uint32_t rep;
    uint32_t parent; /* 0: it is nobody's child */
    uint64_t promised;
    bool unasked;      /* OUT: after a splice what is permitted is not known until it is asked */
    bool failed;       /* it has said so once: from here on it only must not harm */
    bool ended;        /* IN: a read has failed, so that all that follow say closed */
    struct line *line; /* OUT, BODY, REQUEST: where its bytes go; NULL: nobody compares */
    struct spring *spring;  /* IN: where they come from, up to what was read; NULL: not known */
    struct spring own;      /* what that points to, but for standard input */
    uint64_t length, wrote; /* BODY and its OUT: of the message; UINT64_MAX: not known */
    struct cis_sock *sock;
    bool file, append; /* OUT, IN */
    size_t offset;
};

static struct cis_engine_instance guest;
static struct cis_host host;
static struct handle handles[HANDLES];
static struct line lines[LINES];
static unsigned nlines;
static struct line std_lines[3];
static uint8_t content[CONTENT]; /* of the file */
static size_t content_len;
static bool over;   /* the run has ended: a trap, a limit */
static bool inside; /* a request that came in is being answered */
static uint32_t file_rep;
static cis_vfs *folder;
static cis_ns *ns;
static cis_dir *root;
static struct cis_wasi_env_dir world_dir;
static char *folder_path;

struct line *model_line(const char *url)
{
    const char *slash = strrchr(url, '/');
    unsigned long n = strtoul(slash + 1, NULL, 10);
    assert_true(n < nlines);
    return &lines[n];
}

static struct handle *put(enum kind kind, uint32_t rep)
{
    for (size_t i = 0; i < HANDLES; i++) {
        if (handles[i].kind == NONE) {
            handles[i] = (struct handle){.kind = kind, .rep = rep, .length = UINT64_MAX};
            return &handles[i];
        }
    }
    assert_int_equal(cis_p2_drop(&guest, rep, NULL), CIS_OK);
    return NULL;
}

static struct handle *put_child(enum kind kind, uint32_t rep, const struct handle *parent)
{
    uint32_t of = parent->rep; /* what points to it is gone when there is no room */
    struct handle *h = put(kind, rep);
    assert_true(of < CHILDREN);
    if (h != NULL) {
        h->parent = of;
        children[of]++;
    }
    return h;
}

/* It is to be dropped or given away. While it has children that is a trap, which is tried now and
 * then. */
static bool goes(const struct handle *h)
{
    return children[h->rep] == 0 || one_in(20);
}

static void is_gone(uint32_t rep, uint32_t parent)
{
    assert_true(over || children[rep] == 0); /* else it had to trap */
    children[parent] -= parent != 0 && !over;
}

static struct handle *any(enum kind kind)
{
    size_t from = chance(HANDLES);
    for (size_t i = 0; i < HANDLES; i++) {
        struct handle *h = &handles[(from + i) % HANDLES];
        if (h->kind == kind) {
            return h;
        }
    }
    return NULL;
}

/* What a handler returned. A code that is not CIS_OK ends the run, as it does in an engine. */
static bool went(cis_code code)
{
    if (code != CIS_OK || guest.end.code != CIS_OK) {
        cis_code why = code != CIS_OK ? code : guest.end.code;
        assert_true(why == CIS_E_TRAP || why == CIS_E_BUDGET);
        over = true;
        return false;
    }
    return true;
}

static bool typed(cis_typed_handler *handler, uint64_t self, uint64_t n, struct cis_bytes bytes,
                  struct cis_answer *out)
{
    struct cis_error err = {0};
    const struct cis_typed args[4] = {{.n = self}, {.n = n, .bytes = bytes}};
    *out = (struct cis_answer){0};
    return went(handler(&guest, args, out, &err));
}

static bool structs(cis_structs_handler *handler, const void *args, void *result, size_t size)
{
    struct cis_error err = {0};
    memset(result, 0, size);
    return went(handler(&guest, args, result, &err));
}

/* An error that a stream handed out is a resource too. */
static void failed(struct handle *h, const struct cis_answer *out)
{
    h->failed = true;
    if (h->line != NULL) {
        h->line->lossy = true;
    }
    if (out->error == 0 && out->kind == P2_ERROR) {
        put(OTHER, out->rep);
    }
}

/* Does it have to be right what this stream says? */
static bool sound(const struct handle *h)
{
    return !h->failed && (h->line == NULL || !h->line->lossy);
}

/* ---- what streams are over ---- */

static void took(struct handle *h, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    if (h->file) {
        size_t at = h->append ? content_len : h->offset;
        assert_true(at + len <= CONTENT);
        if (at > content_len) {
            memset(content + content_len, 0, at - content_len);
        }
        memcpy(content + at, data, len);
        content_len = at + len > content_len ? at + len : content_len;
        h->offset += h->append ? 0 : len;
    } else if (h->line != NULL) {
        line_sent(h->line, data, len);
    }
    h->wrote += len;
}

/* The model has to know of bytes before they are written: they may arrive at once. */
struct before {
    size_t len, sent;
    uint64_t wrote;
};

static bool room_in_file(const struct handle *h, size_t len)
{
    return !h->file || (h->append ? content_len : h->offset) + len <= CONTENT;
}

static bool too_long(const struct handle *h, size_t len)
{
    return h->length != UINT64_MAX && h->wrote + len > h->length;
}

/* A message that is not sent holds one chunk: who waits for more room in it waits for ever. */
static bool waits_for_ever(const struct handle *h, size_t len)
{
    return h->line != NULL && h->line->waits && h->wrote + len > 65536;
}

static void write_step(struct handle *h, bool blocking, bool zero)
{
    static const uint8_t zeros[70000];
    struct cis_answer out;
    size_t most = blocking ? 4096 : (size_t)h->promised;
    size_t len = one_in(60) ? most + 1 + chance(5000) : one_in(3) ? most : chance_size(most);
    const uint8_t *data = zero ? zeros : table + chance(TABLE_LEN);
    if (!room_in_file(h, len) || len > sizeof zeros || (blocking && waits_for_ever(h, len))) {
        return;
    }
    if (len > most && !blocking && h->unasked) {
        return;
    }
    if (len > most) {
        uint64_t sent = h->line != NULL ? h->line->sent : 0;
        bool good = zero ? typed(blocking ? cis_p2_out_blocking_zeroes : cis_p2_out_zeroes, h->rep,
                                 len, (struct cis_bytes){0}, &out)
                         : typed(blocking ? cis_p2_out_blocking_write : cis_p2_out_write, h->rep, 0,
                                 cis_bytes_of(data, len), &out);
        assert_false(good); /* more than was permitted is a trap */
        assert_true(h->line == NULL || h->line->sent == sent);
        return;
    }
    bool refused = too_long(h, len), was = sound(h);
    if (refused && h->line != NULL) {
        h->line->lossy = true;
    }
    took(h, data, len);
    bool good = zero ? typed(blocking ? cis_p2_out_blocking_zeroes : cis_p2_out_zeroes, h->rep, len,
                             (struct cis_bytes){0}, &out)
                     : typed(blocking ? cis_p2_out_blocking_write : cis_p2_out_write, h->rep, 0,
                             cis_bytes_of(data, len), &out);
    if (!good) {
        fail_msg("a write of %zu bytes of %zu ended the run: %s", len, most, guest.end.error.msg);
    }
    h->promised -= len < h->promised ? len : h->promised;
    if (out.failed) {
        if (was && !refused && sound(h)) {
            fail_msg("a write of %zu bytes of %zu that were permitted failed", len, most);
        }
        failed(h, &out);
    } else if (blocking && sound(h) && h->line != NULL && !h->line->waits) {
        assert_int_equal(h->line->len, 0); /* flushed: everything has arrived */
    }
}

static void check_step(struct handle *h)
{
    struct cis_answer out;
    bool was = sound(h);
    if (!typed(cis_p2_out_check, h->rep, 0, (struct cis_bytes){0}, &out)) {
        return;
    }
    if (out.failed) {
        assert_true(!was || !sound(h));
        failed(h, &out);
        h->promised = 0;
        return;
    }
    assert_true(out.n[0] <= 65536);
    h->promised = out.n[0];
    h->unasked = false;
}

static void flush_step(struct handle *h, bool blocking)
{
    struct cis_answer out;
    bool was = sound(h);
    if (!typed(blocking ? cis_p2_out_blocking_flush : cis_p2_out_flush, h->rep, 0,
               (struct cis_bytes){0}, &out)) {
        return;
    }
    if (out.failed) {
        assert_true(!was || !sound(h));
        failed(h, &out);
    } else if (blocking && sound(h) && h->line != NULL && !h->line->waits) {
        assert_int_equal(h->line->len, 0);
    }
}

/* ---- reading ---- */

static void came(struct handle *h, const uint8_t *data, size_t len, size_t skipped)
{
    size_t n = len + skipped;
    if (h->file && n != 0) {
        assert_true(h->offset + n <= content_len);
        assert_true(len == 0 || memcmp(content + h->offset, data, len) == 0);
        h->offset += n;
    }
}

/* A source's bytes are compared as they are read: the fake has moved its spring by then. */
static void check_spring(const struct spring *before, const uint8_t *data, size_t len)
{
    struct spring s = *before;
    while (len != 0) {
        size_t n = len;
        const uint8_t *at = spring_at(&s, &n);
        assert_true(n != 0);
        assert_memory_equal(at, data, n);
        s.at += n;
        data += n;
        len -= n;
    }
}

static struct spring std_spring;

static void read_step(struct handle *h, bool blocking, bool skips)
{
    struct cis_answer out;
    uint64_t len = chance_size(100000);
    bool known = h->spring != NULL && !h->failed;
    struct spring before = known ? *h->spring : (struct spring){0};
    cis_typed_handler *handler = skips ? (blocking ? cis_p2_in_blocking_skip : cis_p2_in_skip)
                                       : (blocking ? cis_p2_in_blocking_read : cis_p2_in_read);
    if (!typed(handler, h->rep, len, (struct cis_bytes){0}, &out)) {
        return;
    }
    if (h->ended) {
        assert_true(out.failed && out.error == 1);
    }
    if (out.failed) {
        h->ended = !h->file && h->spring != &std_spring;
        failed(h, &out);
        return;
    }
    size_t got = skips ? (size_t)out.n[0] : out.bytes.len;
    assert_true(got <= len);
    if (known) {
        check_spring(&before, skips ? table : out.bytes.ptr, skips ? 0 : got);
        h->spring->at = before.at + got;
    }
    came(h, out.bytes.ptr, skips ? 0 : got, skips ? got : 0);
}

/* Between files and other streams; what goes over is compared at its end. */
static void splice_step(struct handle *to, struct handle *from, bool blocking)
{
    struct cis_answer out;
    size_t len = chance_size(100000);
    const struct cis_typed args[3] = {{.n = to->rep}, {.n = from->rep}, {.n = len}};
    struct cis_error err = {0};
    uint8_t *copy = NULL;
    size_t most = 65536;
    if (!room_in_file(to, most) || (blocking && waits_for_ever(to, most)) || from->spring == NULL ||
        from->failed || to->failed) {
        return;
    }
    /* What the source would give next is what may be written. */
    copy = malloc(most);
    struct spring s = *from->spring;
    size_t have = 0;
    while (have < most) {
        size_t n = most - have;
        const uint8_t *at = spring_at(&s, &n);
        if (n == 0) {
            break;
        }
        memcpy(copy + have, at, n);
        s.at += n;
        have += n;
    }
    struct line *line = to->line;
    if (line != NULL) { /* more than will be sent; taken back below */
        line_sent(line, copy, have);
    }
    out = (struct cis_answer){0};
    bool good =
        went((blocking ? cis_p2_out_blocking_splice : cis_p2_out_splice)(&guest, args, &out, &err));
    size_t n = good && !out.failed ? (size_t)out.n[0] : 0;
    assert_true(n <= have || from->failed);
    if (line != NULL && !line->lossy) {
        assert_true(line->len >= have - n); /* no more than that has arrived */
        line->len -= have - n;
        line->sent -= have - n;
    }
    if (good && n != 0) {
        from->spring->at += n;
        if (to->file) {
            took(to, copy, n);
        } else {
            if (too_long(to, n) && line != NULL) {
                line->lossy = true;
            }
            to->wrote += n;
        }
    }
    free(copy);
    to->promised = 0;
    to->unasked = true;
    if (good && out.failed) { /* either of them */
        failed(to, &out);
        from->failed = true;
        if (from->line != NULL) {
            from->line->lossy = true;
        }
    }
}

/* ---- HTTP ---- */

static uint32_t make_fields(uint64_t length)
{
    struct cis_answer out;
    struct cis_error err = {0};
    char text[32];
    if (!typed(cis_p2_fields_constructor, 0, 0, (struct cis_bytes){0}, &out)) {
        return 0;
    }
    uint32_t rep = out.rep;
    if (length != UINT64_MAX) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)length);
        const struct cis_typed args[3] = {
            {.n = rep},
            {.bytes = cis_bytes_of("content-length", 14)},
            {.bytes = cis_bytes_of(text, strlen(text))},
        };
        out = (struct cis_answer){0};
        went(cis_p2_fields_append(&guest, args, &out, &err));
    }
    return rep;
}

static void stream_of_body(struct handle *body)
{
    struct http_made made;
    if (!structs(cis_p2_out_body_stream, &body->rep, &made, sizeof made) || made.failed) {
        return;
    }
    struct handle *h = put_child(OUT, made.rep, body);
    if (h != NULL) {
        h->line = body->line;
        h->length = body->length;
        h->wrote = body->wrote;
    }
}

static void body_of_message(struct handle *message)
{
    struct http_made made;
    if (!structs(cis_p2_message_body, &message->rep, &made, sizeof made) || made.failed) {
        return;
    }
    struct handle *body = put(BODY, made.rep);
    if (body == NULL) {
        message->line->lossy = true;
        return;
    }
    body->line = message->line;
    body->length = message->length;
    stream_of_body(body);
}

static struct handle *message_step(bool answers)
{
    uint32_t rep = 0;
    uint64_t length = one_in(3) ? chance_size(150000) : UINT64_MAX;
    if (nlines == LINES) {
        return NULL;
    }
    uint32_t fields = make_fields(length);
    if (over || !structs(answers ? cis_p2_out_response_constructor : cis_p2_out_request_constructor,
                         &fields, &rep, sizeof rep)) {
        return NULL;
    }
    struct handle *h = put(answers ? RESPONSE_OUT : REQUEST, rep);
    if (h == NULL) {
        return NULL;
    }
    char path[16];
    h->line = &lines[nlines];
    h->line->waits = true;
    h->length = length;
    if (!answers) {
        struct http_done done;
        snprintf(path, sizeof path, "/%u", nlines);
        struct http_set_text a = {rep, {true, CIS_STR("a.example")}};
        structs(cis_p2_message_set_authority, &a, &done, sizeof done);
        a.text.text = cis_str_of(path);
        structs(cis_p2_message_set_path, &a, &done, sizeof done);
        struct http_set_scheme s = {rep, {true, {HTTP_SCHEME_HTTP, {NULL, 0}}}};
        structs(cis_p2_message_set_scheme, &s, &done, sizeof done);
    }
    nlines++;
    if (!one_in(4)) {
        body_of_message(h);
    }
    return h;
}

static void send_step(struct handle *request)
{
    struct http_made_error made;
    const struct http_handling a = {.request = request->rep};
    request->kind = NONE;
    struct line *line = request->line;
    if (!structs(cis_p2_http_handle, &a, &made, sizeof made)) {
        return;
    }
    if (made.failed) {
        line->lossy = true;
        return;
    }
    struct spring from = fake_opened.len != 0 ? fake_opened : (struct spring){0};
    struct handle *h = put(FUTURE, made.rep);
    if (h == NULL) {
        line->lossy = true;
    } else {
        h->line = line;
        h->own = from;
    }
}

static void finish_step(struct handle *body)
{
    struct http_done_error done;
    const struct http_finish a = {.self = body->rep};
    struct line *line = body->line;
    /* Whatever its stream says from now on, it is over; nothing more will be written. */
    for (size_t i = 0; i < HANDLES; i++) {
        if (handles[i].kind == OUT && handles[i].line == line) {
            line->lossy = true;
        }
    }
    body->kind = NONE;
    bool early = children[a.self] != 0;
    unsigned finishes = fake_finishes;
    if (structs(cis_p2_out_body_finish, &a, &done, sizeof done) && done.failed) {
        line->lossy = true;
    }
    /* The trap comes first: a request that is cut short never looks like a whole one. */
    assert_true(!early || fake_finishes == finishes);
    is_gone(a.self, 0);
}

static void future_step(struct handle *future)
{
    struct http_got_response got;
    if (!structs(cis_p2_future_response_get, &future->rep, &got, sizeof got) || !got.has ||
        got.outer.failed || got.outer.inner.failed) {
        return;
    }
    struct spring from = future->own;
    struct handle *h = put(RESPONSE, got.outer.inner.rep);
    if (h != NULL) {
        h->own = from;
    }
}

static void consume_step(struct handle *message)
{
    struct http_made made;
    cis_structs_handler *handler =
        message->kind == RESPONSE ? cis_p2_in_response_consume : cis_p2_in_request_consume;
    if (structs(handler, &message->rep, &made, sizeof made) && !made.failed) {
        struct spring from = message->own;
        struct handle *h = put(IN_BODY, made.rep);
        if (h != NULL) {
            h->own = from;
        }
    }
}

static void in_stream_step(struct handle *body)
{
    struct http_made made;
    if (structs(cis_p2_in_body_stream, &body->rep, &made, sizeof made) && !made.failed) {
        /* the fake compares nothing of it: its bytes are those of the next test */
        put_child(IN, made.rep, body);
    }
}

static void in_finish_step(struct handle *body)
{
    uint32_t rep, self = body->rep;
    body->kind = NONE;
    if (structs(cis_p2_in_body_finish, &self, &rep, sizeof rep)) {
        put(TRAILERS, rep);
    }
    is_gone(self, 0);
}

static void trailers_step(struct handle *h)
{
    struct http_got_trailers got;
    if (structs(cis_p2_future_trailers_get, &h->rep, &got, sizeof got) && got.has &&
        !got.outer.failed && !got.outer.inner.failed && got.outer.inner.trailers.has) {
        put(FIELDS, got.outer.inner.trailers.rep);
    }
}

/* ---- sockets ---- */

static void tcp_step(void)
{
    struct p2_net_one made;
    uint32_t family = 0;
    if (!structs(cis_p2_tcp_create, &family, &made, sizeof made) || made.failed) {
        return;
    }
    struct cis_sock *sock = fake_sock_last();
    struct handle *h = put(TCP, made.rep);
    if (h == NULL) {
        return;
    }
    h->sock = sock;
    struct p2_net_done done;
    struct p2_self_address a = {.self = made.rep};
    structs(cis_p2_tcp_start_connect, &a, &done, sizeof done);
}

static void connect_step(struct handle *tcp)
{
    struct p2_net_two two;
    struct p2_self a = {tcp->rep};
    if (!structs(cis_p2_tcp_finish_connect, &a, &two, sizeof two) || two.failed) {
        return;
    }
    struct handle *in = put_child(IN, two.rep[0], tcp), *out = put_child(OUT, two.rep[1], tcp);
    if (in != NULL) {
        in->sock = tcp->sock;
        in->own = tcp->sock->in;
        in->spring = &in->own;
    }
    if (out != NULL) {
        out->line = &tcp->sock->out;
        out->sock = tcp->sock;
    }
}

static void shutdown_step(struct handle *tcp)
{
    struct p2_net_done done;
    struct p2_self_number a = {tcp->rep, chance(3)};
    for (size_t i = 0; a.n != 0 && i < HANDLES; i++) {
        if (handles[i].kind == OUT && handles[i].sock == tcp->sock) {
            handles[i].failed = true; /* closed; what it has taken still arrives */
        }
    }
    structs(cis_p2_tcp_shutdown, &a, &done, sizeof done);
}

static void udp_step(void)
{
    struct p2_net_one made;
    uint32_t family = 0;
    if (!structs(cis_p2_udp_create, &family, &made, sizeof made) || made.failed) {
        return;
    }
    put(UDP, made.rep);
}

static void udp_streams_step(struct handle *udp)
{
    struct {
        uint32_t self;
        struct p2_maybe_address remote;
    } a = {.self = udp->rep};
    struct p2_net_two two;
    if (!structs(cis_p2_udp_stream, &a, &two, sizeof two) || two.failed) {
        return;
    }
    put_child(UDP_IN, two.rep[0], udp);
    put_child(UDP_OUT, two.rep[1], udp);
}

static void udp_send_step(struct handle *h)
{
    struct cis_answer out;
    struct cis_pair items[20];
    struct cis_datagram_address to = {.family = 4, .port = 9};
    struct cis_error err = {0};
    if (one_in(2)) {
        if (typed(cis_p2_udp_check_send, h->rep, 0, (struct cis_bytes){0}, &out) && !out.failed) {
            h->promised = out.n[0];
        }
        return;
    }
    size_t n = one_in(30) ? 20 : chance((uint32_t)h->promised + 1);
    for (size_t i = 0; i < n; i++) {
        items[i].first = cis_bytes_of(table + chance(1000), chance(3000));
        items[i].second = one_in(2) ? cis_bytes_of(&to, sizeof to) : (struct cis_bytes){NULL, 0};
    }
    const struct cis_typed args[2] = {{.n = h->rep}, {.items = items, .nitems = n}};
    out = (struct cis_answer){0};
    bool good = went(cis_p2_udp_send(&guest, args, &out, &err));
    if (good && !out.failed && n != 0) {
        assert_true(n <= h->promised && out.n[0] <= n);
        h->promised = 0;
    }
}

static void udp_receive_step(struct handle *h)
{
    struct cis_answer out;
    if (typed(cis_p2_udp_receive, h->rep, chance(20), (struct cis_bytes){0}, &out) && !out.failed) {
        for (size_t i = 0; i < out.nitems; i++) {
            assert_memory_equal(out.items[i].first.ptr, table, out.items[i].first.len);
        }
    }
}

static void resize_step(struct handle *tcp)
{
    struct cis_answer out;
    typed(cis_p2_sock_set_send, tcp->rep, 1 + chance_size(200000), (struct cis_bytes){0}, &out);
}

static void names_step(void)
{
    struct {
        uint32_t network;
        struct cis_str name;
    } a = {0, CIS_STR("a.example")};
    struct p2_net_one made;
    if (structs(cis_p2_names_resolve, &a, &made, sizeof made) && !made.failed) {
        put(LOOKUP, made.rep);
    }
}

static void lookup_step(struct handle *h)
{
    struct p2_net_maybe_ip got;
    structs(cis_p2_names_next, &h->rep, &got, sizeof got);
}

/* ---- files and standard streams ---- */

static void file_stream_step(void)
{
    struct cis_answer out;
    uint64_t offset = one_in(2) ? chance((uint32_t)content_len + 1) : chance_size(100000);
    unsigned way = chance(3);
    cis_typed_handler *handler = way == 0   ? cis_p2_fs_read_stream
                                 : way == 1 ? cis_p2_fs_write_stream
                                            : cis_p2_fs_append_stream;
    if (!typed(handler, file_rep, offset, (struct cis_bytes){0}, &out) || out.failed) {
        return;
    }
    struct handle *h = put(way == 0 ? IN : OUT, out.rep);
    if (h != NULL) {
        h->file = true;
        h->append = way == 2;
        h->offset = (size_t)offset;
    }
}

static int call_read(void *self, void *buf, size_t len, size_t *out_n)
{
    (void)self;
    size_t n = len > 1 && one_in(2) ? 1 + chance((uint32_t)len) : len;
    struct spring at = std_spring;
    const uint8_t *from = spring_at(&at, &n);
    memcpy(buf, from, n);
    *out_n = n;
    return 0;
}

static int call_write(void *self, const void *data, size_t len, size_t *out_n)
{
    size_t n = len > 1 && one_in(2) ? 1 + chance((uint32_t)len - 1) : len;
    line_arrived(self, data, n, "standard stream");
    *out_n = n;
    return 0;
}

static void std_step(void)
{
    struct cis_answer out;
    unsigned which = chance(3);
    cis_typed_handler *handler = which == 0   ? cis_p2_stdin
                                 : which == 1 ? cis_p2_stdout
                                              : cis_p2_stderr;
    if (!typed(handler, 0, 0, (struct cis_bytes){0}, &out)) {
        return;
    }
    struct handle *h = put(which == 0 ? IN : OUT, out.rep);
    if (h != NULL && which == 0) {
        h->spring = &std_spring;
    } else if (h != NULL && which == 1) {
        h->line = &std_lines[1];
    }
}

/* ---- waiting ---- */

static void subscribe_step(void)
{
    static const enum kind kinds[] = {OUT, IN, FUTURE, TCP, UDP, UDP_IN, UDP_OUT, TRAILERS, LOOKUP};
    enum kind kind = kinds[chance(sizeof kinds / sizeof *kinds)];
    const struct handle *h = any(kind);
    struct cis_answer out;
    if (h == NULL) {
        if (typed(cis_p2_mono_duration, chance(2000), 0, (struct cis_bytes){0}, &out)) {
            put(POLLABLE, out.rep);
        }
        return;
    }
    cis_typed_handler *handler = kind == OUT                          ? cis_p2_out_subscribe
                                 : kind == IN                         ? cis_p2_in_subscribe
                                 : kind == UDP_IN                     ? cis_p2_udp_in_subscribe
                                 : kind == UDP_OUT                    ? cis_p2_udp_out_subscribe
                                 : kind == FUTURE || kind == TRAILERS ? cis_p2_future_subscribe
                                                                      : cis_p2_source_subscribe;
    if (typed(handler, h->rep, 0, (struct cis_bytes){0}, &out)) {
        put_child(POLLABLE, out.rep, h);
    }
}

static void poll_step(struct handle *h)
{
    struct cis_answer out;
    struct cis_error err = {0};
    uint32_t reps[HANDLES + 1];
    size_t n = 0;
    if (one_in(2)) {
        typed(cis_p2_poll_ready, h->rep, 0, (struct cis_bytes){0}, &out);
        return;
    }
    for (size_t i = 0; i < HANDLES; i++) {
        if (handles[i].kind == POLLABLE && one_in(2)) {
            reps[n++] = handles[i].rep;
        }
    }
    out = (struct cis_answer){0};
    typed(cis_p2_mono_duration, 0, 0, (struct cis_bytes){0}, &out); /* so that it comes back */
    reps[n++] = out.rep;
    struct cis_answer polled = {0};
    const struct cis_typed args[1] = {{.reps = reps, .nitems = n}};
    if (went(cis_p2_poll(&guest, args, &polled, &err))) {
        assert_true(polled.nitems >= 1 && polled.nitems <= n);
        for (size_t i = 0; i < polled.nitems; i++) {
            assert_true(polled.numbers[i] < n);
        }
    }
    assert_int_equal(cis_p2_drop(&guest, out.rep, NULL), CIS_OK);
}

/* ---- ends ---- */

static void drop_step(struct handle *h)
{
    struct cis_error err = {0};
    uint32_t rep = h->rep, parent = h->parent;
    if (h->line != NULL && h->kind != OUT && h->kind != TCP) { /* what it was part of is cut */
        h->line->lossy = true;
    }
    h->kind = NONE;
    went(cis_p2_drop(&guest, rep, &err));
    is_gone(rep, parent);
}

static void answer_step(struct handle *param)
{
    struct handle *response = any(RESPONSE_OUT);
    struct http_outparam a = {.self = param->rep};
    uint8_t nothing;
    param->kind = NONE;
    if (response == NULL || one_in(6)) {
        a.response.failed = true;
        a.response.error.is = 3;
    } else {
        a.response.rep = response->rep;
        response->kind = NONE;
        response->line->lossy = true; /* the fake that it goes to compares nothing */
    }
    structs(cis_p2_outparam_set, &a, &nothing, sizeof nothing);
}

static void step(void)
{
    struct handle *h;
    switch (chance(44)) {
    case 0:
        message_step(false);
        break;
    case 1:
        std_step();
        break;
    case 2:
        file_stream_step();
        break;
    case 3:
        tcp_step();
        break;
    case 4:
        if (one_in(2)) {
            udp_step();
        } else {
            names_step();
        }
        break;
    case 5:
    case 6:
        if ((h = any(REQUEST)) != NULL) {
            send_step(h);
        }
        break;
    case 7:
    case 8:
        if ((h = any(TCP)) != NULL) {
            connect_step(h);
        }
        break;
    case 9:
        if ((h = any(TCP)) != NULL) {
            resize_step(h);
        }
        break;
    case 10:
        if ((h = any(TCP)) != NULL && one_in(3)) {
            shutdown_step(h);
        }
        break;
    case 11:
        if ((h = any(UDP)) != NULL) {
            udp_streams_step(h);
        }
        break;
    case 12:
        if ((h = any(UDP_OUT)) != NULL) {
            udp_send_step(h);
        }
        break;
    case 13:
        if ((h = any(UDP_IN)) != NULL) {
            udp_receive_step(h);
        }
        break;
    case 14:
        if ((h = any(LOOKUP)) != NULL) {
            lookup_step(h);
        }
        break;
    case 15:
    case 16:
        subscribe_step();
        break;
    case 17:
    case 18:
        if ((h = any(POLLABLE)) != NULL) {
            poll_step(h);
        }
        break;
    case 19:
        if ((h = any(FUTURE)) != NULL) {
            future_step(h);
        }
        break;
    case 20:
        if ((h = any(one_in(2) ? RESPONSE : IN_REQUEST)) != NULL) {
            consume_step(h);
        }
        break;
    case 21:
        if ((h = any(IN_BODY)) != NULL) {
            in_stream_step(h);
        }
        break;
    case 22:
        if ((h = any(IN_BODY)) != NULL && goes(h) && one_in(3)) {
            in_finish_step(h);
        }
        break;
    case 23:
        if ((h = any(TRAILERS)) != NULL) {
            trailers_step(h);
        }
        break;
    case 24:
        if ((h = any(BODY)) != NULL && goes(h) && one_in(2)) {
            finish_step(h);
        }
        break;
    case 25:
        if ((h = &handles[chance(HANDLES)])->kind != NONE && goes(h)) {
            drop_step(h);
        }
        break;
    case 26:
    case 27:
    case 28:
        if ((h = any(IN)) != NULL) {
            read_step(h, one_in(3), one_in(4));
        }
        break;
    case 29:
    case 30:
        if ((h = any(OUT)) != NULL) {
            struct handle *from = any(IN);
            if (from != NULL) {
                splice_step(h, from, one_in(2));
            }
        }
        break;
    case 31:
        if ((h = any(OUT)) != NULL) {
            flush_step(h, one_in(2));
        }
        break;
    case 32:
        if (inside && (h = any(OUTPARAM)) != NULL) {
            answer_step(h);
        }
        break;
    case 33:
        if (inside) {
            message_step(true);
        }
        break;
    default:
        if ((h = any(OUT)) != NULL) {
            if (one_in(3)) {
                check_step(h);
            } else {
                write_step(h, one_in(3), one_in(6));
            }
        }
        break;
    }
}

/* ---- a request that comes in: its call is a sequence of its own ---- */

static uint32_t given[2];

struct cis_vals {
    int unused;
};
static struct cis_vals the_vals;

cis_code cis_vals_new(cis_engine_instance *g, size_t nargs, cis_vals **out_vals,
                      struct cis_error *err)
{
    (void)g, (void)nargs, (void)err;
    *out_vals = &the_vals;
    return CIS_OK;
}
void cis_vals_free(cis_vals *vals)
{
    (void)vals;
}
void cis_vals_drop(cis_vals *vals)
{
    (void)vals;
}
cis_val *cis_vals_arg(cis_vals *vals, size_t i)
{
    (void)vals;
    return (cis_val *)&given[i];
}
cis_code cis_val_set_own(cis_engine_instance *g, cis_val *out, uint32_t kind, uint32_t rep,
                         struct cis_error *err)
{
    (void)g, (void)kind, (void)err;
    *(uint32_t *)(void *)out = rep;
    return CIS_OK;
}

cis_code cis_component_call(cis_engine_instance *g, struct cis_str name, const char *type,
                            cis_vals *vals, struct cis_error *err)
{
    (void)g, (void)name, (void)type, (void)vals;
    inside = true;
    put(IN_REQUEST, given[0]);
    put(OUTPARAM, given[1]);
    for (unsigned i = 0; i < STEPS && !over; i++) {
        step();
    }
    inside = false;
    return over ? cis_fail(err, CIS_E_TRAP, "ended") : CIS_OK;
}

static uint64_t told, asked, told_sum;

static enum cis_code incoming_read(void *self, void *to, size_t cap, size_t *out_n,
                                   struct cis_error *why)
{
    (void)self;
    if (one_in(3)) {
        return cis_error_errno(why, EAGAIN);
    }
    size_t n = asked > 150000 || cap == 0 ? 0 : 1 + chance_size(cap - 1);
    memset(to, 7, n);
    asked += n;
    *out_n = n;
    return cis_error_errno(why, one_in(300) ? EIO : 0);
}
static enum cis_code incoming_head(void *self, const struct cis_http_head *head,
                                   struct cis_error *why)
{
    (void)self, (void)head;
    return cis_error_errno(why, one_in(4) ? EAGAIN : 0);
}
static enum cis_code incoming_write(void *self, const void *data, size_t len, size_t *out_n,
                                    struct cis_error *why)
{
    (void)self;
    if (one_in(3)) {
        return cis_error_errno(why, EAGAIN);
    }
    if (one_in(300)) {
        return cis_error_errno(why, EIO);
    }
    *out_n = 1 + chance((uint32_t)len);
    *out_n = *out_n < len ? *out_n : len;
    told_sum += ((const uint8_t *)data)[*out_n - 1]; /* so that the sanitizer sees the read */
    told += *out_n;
    return CIS_E_OK;
}
static enum cis_code incoming_end(void *self, const struct cis_http_header *trailers,
                                  size_t ntrailers, struct cis_error *why)
{
    (void)self, (void)trailers, (void)ntrailers;
    return cis_error_errno(why, one_in(4) ? EAGAIN : 0);
}

static void incoming(void)
{
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    struct cis_http_answer answer;
    struct cis_error err = {0};
    in.method = one_in(5) ? "HEAD" : "POST";
    in.scheme = "http";
    in.authority = "b.example";
    in.path = "/";
    in.read = incoming_read;
    in.head = incoming_head;
    in.write = incoming_write;
    in.end = incoming_end;
    in.read_fd = in.write_fd = model_always;
    told = asked = 0;
    cis_code code =
        cis_wasi_p2_handle(&guest, CIS_STR("wasi:http/incoming-handler@0.2.0"), &in, &answer, &err);
    if (code == CIS_OK) {
        assert_int_equal(answer.body_out, told);
    }
}

/* ---- a sequence ---- */

static void open_file(void)
{
    struct cis_answer out;
    struct cis_error err = {0};
    assert_int_equal(cis_p2_directories(&guest, NULL, &(struct cis_answer){0}, &err), CIS_OK);
    const struct cis_typed args[5] = {
        {.n = 1}, {.n = 0}, {.bytes = cis_bytes_of("file", 4)}, {.n = 1 | 8}, {.n = 1 | 2}};
    out = (struct cis_answer){0};
    assert_int_equal(cis_p2_fs_open(&guest, args, &out, &err), CIS_OK);
    assert_false(out.failed);
    file_rep = out.rep;
    content_len = 0;
}

static void begin(void)
{
    static struct cis_call call = {.size = sizeof call, .tenant = "default", .skill = "model"};
    memset(handles, 0, sizeof handles);
    memset(children, 0, sizeof children);
    nlines = 0;
    over = false;
    host = (struct cis_host){.call = call,
                             .budget = {.limit = 512u << 20},
                             .output = CIS_BUF_INIT(1u << 20),
                             .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
                             .log = CIS_BUF_INIT(1u << 20),
                             .log_lines_max = 1000};
    host.services.http = &fake_http;
    host.grants.network = true;
    host.grants.bits = UINT32_MAX;
    host.wasi_env.dirs = &world_dir;
    host.wasi_env.ndirs = 1;
    host.wasi_env.std[0] = (struct cis_host_stream){.kind = CIS_STREAM_CALL, .read = call_read};
    host.wasi_env.std[1] = (struct cis_host_stream){
        .kind = CIS_STREAM_CALL, .write = call_write, .self = &std_lines[1]};
    host.wasi_env.std[2] =
        (struct cis_host_stream){.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(100000)};
    std_spring = (struct spring){.seed = chance(TABLE_LEN), .len = chance_size(300000)};
    fake_guest_init(&guest, &host, 0);
    guest.stop.deadline_ns = cis_clock_mono_ns() + 20 * CIS_NS_PER_S;
}

/* Everything that was held is given back. */
static void end(void)
{
    cis_wasi_p2_end(&host);
    cis_host_net_end(&host);
    assert_int_equal(fake_socks, 0);
    assert_int_equal(fake_exchanges, 0);
    uint64_t kept = host.wasi_env.std[2].kept.len + (uint64_t)host.log.len;
    if (host.budget.used != kept) {
        fail_msg("charged %llu, kept %zu, log %zu", (unsigned long long)host.budget.used,
                 host.wasi_env.std[2].kept.len, host.log.len);
    }
    cis_buf_done(&host.wasi_env.std[2].kept);
    cis_buf_done(&host.log);
    cis_buf_done(&host.output);
    cis_buf_done(&host.errors);
    fake_guest_done(&guest);
    struct line *all[] = {std_lines, lines};
    const size_t n[] = {3, LINES};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < n[i]; k++) {
            free(all[i][k].at);
            all[i][k] = (struct line){0};
        }
    }
}

static void one_sequence(void)
{
    begin();
    open_file();
    for (unsigned i = 0; i < STEPS && !over; i++) {
        step();
        if (!over && one_in(80)) {
            incoming();
        }
    }
    end();
}

static int setup(void **state)
{
    (void)state;
    chance_state = 88172645463325252ull;
    for (size_t i = 0; i < sizeof table; i++) {
        table[i] = (uint8_t)(i < TABLE_LEN ? chance(256) : table[i - TABLE_LEN]);
    }
    model_always = eventfd(1, EFD_CLOEXEC);
    folder_path = test_dir_new();
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_vfs_call call = {0};
    assert_ok(cis_hostdir_open(folder_path, &o, &folder, err));
    assert_ok(cis_ns_new(&ns, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), folder, 0, false, err));
    assert_int_equal(cis_dir_root(ns, &call, CIS_STR("/"), &root), 0);
    world_dir = (struct cis_wasi_env_dir){CIS_STR("/"), root};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char path[4096];
    cis_dir_free(root);
    cis_ns_free(ns);
    cis_vfs_close(folder);
    snprintf(path, sizeof path, "%s/file", folder_path);
    unlink(path);
    rmdir(folder_path);
    free(folder_path);
    close(model_always);
    return 0;
}

static void streams_keep_promise_order_and_content(void **state)
{
    (void)state;
    uint64_t seed = getenv("CIS_TEST_SEED") != NULL ? test_seed() : 1;
    for (unsigned long i = first; i < first + sequences; i++) {
        chance_state = (seed + i) * 0x9E3779B97F4A7C15ull | 1;
        if (getenv("CIS_TEST_TALK") != NULL) {
            print_message("sequence %lu\n", i);
        }
        one_sequence();
    }
    print_message("%lu sequences\n", sequences);
}

/* ---- the attacks that the model was written for, alone ---- */

static struct cis_answer said;

/* A body that waits for its request: promised, then used up by writes that block. */
static void blocking_writes_use_up_what_was_promised_for_a_body(void **state)
{
    (void)state;
    uint8_t block[4096] = {1};
    chance_state = 12345;
    begin();
    open_file();
    struct handle *h = NULL;
    while (h == NULL || h->length != UINT64_MAX) {
        if ((h = message_step(false)) != NULL && h->length == UINT64_MAX && any(OUT) == NULL) {
            body_of_message(h);
        }
        h = any(OUT);
    }
    assert_true(typed(cis_p2_out_check, h->rep, 0, (struct cis_bytes){0}, &said));
    assert_int_equal(said.n[0], 65536);
    for (int i = 0; i < 16; i++) { /* as much as the body may hold */
        assert_true(typed(cis_p2_out_blocking_write, h->rep, 0, cis_bytes_of(block, 4096), &said));
        assert_false(said.failed);
    }
    h->line->lossy = true;
    assert_false(typed(cis_p2_out_write, h->rep, 0, cis_bytes_of(table, 65536), &said));
    assert_true(over);
    end();
}

static void bytes_that_wait_for_the_kernel_are_not_overtaken(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 400; seed++) {
        chance_state = seed * 0x9E3779B97F4A7C15ull | 1;
        begin();
        open_file();
        tcp_step();
        struct handle *tcp = any(TCP), *out;
        while ((out = any(OUT)) == NULL) {
            connect_step(tcp);
        }
        for (int i = 0; i < 60 && !out->failed && !over; i++) {
            check_step(out);
            resize_step(tcp); /* the kernel's buffer becomes smaller than what was promised */
            while (out->promised != 0 && !out->failed && !over) {
                size_t n = 1 + chance((uint32_t)out->promised);
                took(out, table + seed, n);
                assert_true(
                    typed(cis_p2_out_write, out->rep, 0, cis_bytes_of(table + seed, n), &said));
                out->promised -= n;
                if (said.failed) {
                    failed(out, &said);
                }
            }
        }
        end();
    }
}

static size_t count_of(enum kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < HANDLES; i++) {
        n += handles[i].kind == kind;
    }
    return n;
}

/* Its promise was of a socket that may have another peer now. */
static void datagrams_of_a_pair_that_was_replaced_are_not_sent(void **state)
{
    (void)state;
    chance_state = 12345;
    begin();
    open_file();
    for (struct handle *udp = NULL; udp == NULL; udp = any(UDP)) {
        udp_step();
    }
    while (count_of(UDP_OUT) == 0) {
        udp_streams_step(any(UDP));
    }
    struct handle *old = any(UDP_OUT);
    struct cis_pair item = {.first = cis_bytes_of(table, 10)};
    const struct cis_typed args[2] = {{.n = old->rep}, {.items = &item, .nitems = 1}};
    struct cis_error err = {0};
    do {
        assert_true(typed(cis_p2_udp_check_send, old->rep, 0, (struct cis_bytes){0}, &said));
    } while (said.failed || said.n[0] == 0);
    while (count_of(UDP_OUT) == 1) {
        udp_streams_step(any(UDP));
    }
    said = (struct cis_answer){0};
    assert_true(went(cis_p2_udp_send(&guest, args, &said, &err)));
    assert_true(said.failed);
    assert_int_equal(fake_sock_last()->datagrams_out, 0);
    end();
}

static void a_queue_without_room_ends_the_run_and_writes_nothing(void **state)
{
    (void)state;
    struct p2_held held = {0};
    begin();
    assert_int_equal(cis_p2_held_add(&guest, &held, cis_bytes_of(table, 65536)), 0);
    assert_int_equal(cis_p2_held_add(&guest, &held, cis_bytes_of(table, 1)), EIO);
    assert_int_equal(guest.end.code, CIS_E_INTERNAL);
    assert_non_null(strstr(guest.end.error.msg, "internal error"));
    assert_int_equal(held.len, 65536);
    cis_p2_held_gone(&held, 65530);
    guest.end.code = CIS_OK;
    assert_int_equal(cis_p2_held_add(&guest, &held, cis_bytes_of(table, 60000)), 0);
    assert_memory_equal(p2_held_bytes(&held).ptr, table + 65530, 6);
    assert_memory_equal(p2_held_bytes(&held).ptr + 6, table, 60000);
    cis_p2_held_done(&held);
    end();
}

static void fake_close_nothing(void *self, void *exchange)
{
    (void)self, (void)exchange;
}

static cis_code read_too_much(void *self, void *exchange, void *to, size_t cap, size_t *out_n)
{
    (void)self, (void)exchange, (void)to;
    *out_n = cap + 1;
    return CIS_OK;
}

static void a_service_that_reads_more_than_there_is_room_for_is_not_believed(void **state)
{
    (void)state;
    struct cis_http_service liar = fake_http;
    struct fake_exchange peer = {0};
    uint8_t block[16];
    liar.read = read_too_much;
    liar.close = fake_close_nothing;
    begin();
    open_file();
    struct p2_exchange *x = cis_p2_exchange_new(&host, &liar, 0);
    assert_non_null(x);
    x->handle = &peer;
    assert_int_equal(cis_p2_exchange_take(x, block, sizeof block), 0);
    assert_int_equal(x->fault, CIS_HTTP_INTERNAL);
    cis_p2_source_unref(&host, &x->source);
    end();
}

static enum cis_http_fault told_fault;

static void poll_with_a_fault(void *self, void *exchange, bool wanted, struct cis_http_state *out)
{
    (void)self, (void)exchange, (void)wanted;
    *out = (struct cis_http_state){.size = sizeof *out, .fault = told_fault, .fd = -1};
}

/* What a guest is given names a case of wasi:http's error-code, whatever a service says. */
static void a_fault_that_is_none_is_not_passed_on(void **state)
{
    (void)state;
    static const int faults[] = {CIS_HTTP_INTERNAL + 1, 1000, -1};
    struct cis_http_service liar = fake_http;
    struct fake_exchange peer = {0};
    struct http_error error;
    liar.poll = poll_with_a_fault;
    liar.close = fake_close_nothing;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        begin();
        open_file();
        told_fault = (enum cis_http_fault)faults[i];
        struct p2_exchange *x = cis_p2_exchange_new(&host, &liar, 0);
        assert_non_null(x);
        x->handle = &peer;
        cis_p2_exchange_look(NULL, x, true);
        assert_int_equal(x->fault, CIS_HTTP_INTERNAL);
        cis_p2_http_error(&error, x->fault);
        assert_int_equal(error.is, CIS_HTTP_INTERNAL - 1);
        cis_p2_source_unref(&host, &x->source);
        end();
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        sequences = strtoul(argv[1], NULL, 10);
        first = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocking_writes_use_up_what_was_promised_for_a_body),
        cmocka_unit_test(bytes_that_wait_for_the_kernel_are_not_overtaken),
        cmocka_unit_test(datagrams_of_a_pair_that_was_replaced_are_not_sent),
        cmocka_unit_test(a_queue_without_room_ends_the_run_and_writes_nothing),
        cmocka_unit_test(a_service_that_reads_more_than_there_is_room_for_is_not_believed),
        cmocka_unit_test(a_fault_that_is_none_is_not_passed_on),
        cmocka_unit_test(streams_keep_promise_order_and_content),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    return failed + out_body_run();
}
