/* Driving an exchange: what curl asks and tells, and what is done without waiting. */
#include "service/http/stream.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

#define TURNS 64u /* rounds of one look, so that a fast peer cannot keep the thread */

/* ---- what curl calls ---- */

static int on_watch(CURL *easy, curl_socket_t fd, int what, void *self, void *socket_self)
{
    (void)easy, (void)socket_self;
    const struct cis_http_stream *s = self;
    struct epoll_event event = {.data.fd = fd};
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events =
        ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0) {
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
}

static void on_connected(void *self)
{
    struct cis_http_stream *s = self;
    s->connected = true;
    s->moved_ns = cis_clock_mono_ns();
}

static size_t on_read(char *to, size_t size, size_t n, void *self)
{
    struct cis_http_stream *s = self;
    struct cis_http_pipe *up = &s->up;
    size_t take = size * n < up->len ? size * n : up->len;
    if (take == 0) {
        up->paused = !s->finished;
        return s->finished ? 0 : CURL_READFUNC_PAUSE;
    }
    memcpy(to, up->at + up->pos, take);
    up->len -= take;
    up->pos = up->len != 0 ? up->pos + take : 0;
    s->moved_ns = cis_clock_mono_ns();
    return take;
}

static int on_trailers(struct curl_slist **out, void *self)
{
    struct cis_http_stream *s = self;
    *out = cis_take(&s->trailers); /* curl frees them */
    return CURL_TRAILERFUNC_OK;
}

static size_t on_body(char *data, size_t size, size_t n, void *self)
{
    struct cis_http_stream *s = self;
    struct cis_http_pipe *down = &s->down;
    size_t len = size * n;
    if (down->len + len > CIS_HTTP_STREAM_BUF) {
        down->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (!cis_http_reply_body(&s->reply, data, len)) {
        return 0;
    }
    if (down->pos + down->len + len > CIS_HTTP_STREAM_BUF) {
        memmove(down->at, down->at + down->pos, down->len);
        down->pos = 0;
    }
    memcpy(down->at + down->pos + down->len, data, len);
    down->len += len;
    s->moved_ns = cis_clock_mono_ns();
    return len;
}

static CURLcode set_request(struct cis_http_stream *s)
{
    CURL *c = s->lane->easy;
    CURLcode e = CURLE_OK;
    bool sends = s->length != 0 && !(s->finished && s->up.total == 0 && s->trailers == NULL);
    bool empty = strcmp(s->method, "POST") == 0 || strcmp(s->method, "PUT") == 0 ||
                 strcmp(s->method, "PATCH") == 0;
#define SET(option, value) (e = e != CURLE_OK ? e : curl_easy_setopt(c, CURLOPT_##option, (value)))
    SET(CONNECTTIMEOUT_MS, (long)INT32_MAX); /* time is kept here */
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, s);
    SET(HTTPHEADER, s->fields);
    if (s->reply.head) {
        SET(NOBODY, 1L);
        return e;
    }
    if (sends) {
        SET(UPLOAD, 1L);
        SET(INFILESIZE_LARGE, s->length != UINT64_MAX ? (curl_off_t)s->length : (curl_off_t)-1);
        SET(READFUNCTION, on_read);
        SET(READDATA, s);
        SET(TRAILERFUNCTION, on_trailers);
        SET(TRAILERDATA, s);
    } else if (empty) {
        SET(POST, 1L);
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)0);
        SET(POSTFIELDS, "");
    } else {
        SET(HTTPGET, 1L);
    }
    SET(CUSTOMREQUEST, s->method);
#undef SET
    return e;
}

/* ---- ends ---- */

static void let_go(struct cis_http_stream *s, bool keep)
{
    struct cis_http_lane *lane = cis_take(&s->lane);
    if (s->stage == CIS_HTTP_RUNNING) {
        curl_multi_remove_handle(lane->multi, lane->easy);
    }
    s->stage = CIS_HTTP_OVER;
    if (lane == NULL) {
        return;
    }
    curl_easy_reset(lane->easy);
    curl_easy_setopt(lane->easy, CURLOPT_NOSIGNAL, 1L);
    curl_multi_setopt(lane->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    curl_multi_setopt(lane->multi, CURLMOPT_SOCKETDATA, NULL);
    if (keep) {
        cis_http_lane_keep(s->client, lane);
    } else {
        cis_http_lane_free(lane);
    }
    curl_slist_free_all(cis_take(&s->fields));
}

void cis_http_stream_fail(struct cis_http_stream *s, enum cis_http_fault fault)
{
    if (s->stage != CIS_HTTP_OVER) {
        s->fault = fault;
        let_go(s, false);
    }
}

void cis_http_stream_free(struct cis_http_stream *s)
{
    if (s == NULL) {
        return;
    }
    if (s->stage != CIS_HTTP_OVER) {
        let_go(s, false);
    }
    cis_net_lookup_free(s->lookup);
    cis_http_wire_done(&s->wire);
    cis_http_reply_done(&s->reply);
    cis_buf_done(&s->trailing);
    curl_slist_free_all(s->fields);
    curl_slist_free_all(s->trailers);
    cis_url_done(&s->url);
    cis_free(s->method);
    cis_free(s->up.at);
    cis_free(s->down.at);
    if (s->epoll_fd >= 0) {
        close(s->epoll_fd);
    }
    cis_free(s);
}

/* ---- stages ---- */

static enum cis_http_fault lookup_fault(const cis_net_lookup *lookup)
{
    const struct sockaddr_storage *list;
    const char *why;
    size_t n;
    switch (cis_net_lookup_result(lookup, &list, &n, &why)) {
    case CIS_NET_FOUND: /* but not where it may go */
        return CIS_HTTP_IP_PROHIBITED;
    case CIS_NET_NO_ANSWER:
        return CIS_HTTP_DNS_TIMEOUT;
    case CIS_NET_NO_MEMORY:
        return CIS_HTTP_INTERNAL;
    default:
        return CIS_HTTP_DNS_ERROR;
    }
}

static cis_code check(const struct cis_http_stream *s, const struct cis_net_addrs *addrs)
{
    for (size_t i = 0; i < addrs->n; i++) {
        CIS_TRY(cis_policy_addr_check(s->grants, &s->url, (const struct sockaddr *)&addrs->list[i],
                                      NULL));
    }
    return CIS_OK;
}

static void look_up(struct cis_http_stream *s)
{
    CIS_CLEANUP(cis_net_addrs_done) struct cis_net_addrs addrs = {NULL, 0};
    if (s->connect_ns == 0) {
        cis_http_stream_fail(s, CIS_HTTP_CONNECT_TIMEOUT);
        return;
    }
    if (!cis_net_lookup_step(s->lookup)) {
        return;
    }
    cis_code code = cis_net_lookup_addrs(s->lookup, s->url.host, s->url.port, &addrs, NULL);
    code = code != CIS_OK ? code : check(s, &addrs);
    if (code != CIS_OK) {
        cis_http_stream_fail(s, lookup_fault(s->lookup));
    } else if (cis_http_lane_new(&s->url, &s->call, &addrs, &s->lane, NULL) != CIS_OK) {
        cis_http_stream_fail(s, CIS_HTTP_INTERNAL);
    } else {
        s->stage = CIS_HTTP_HELD;
    }
    cis_net_lookup_free(cis_take(&s->lookup));
}

static void begin(struct cis_http_stream *s)
{
    if (s->connect_ns == 0 || s->first_byte_ns == 0) {
        cis_http_stream_fail(s,
                             s->connect_ns == 0 ? CIS_HTTP_CONNECT_TIMEOUT : CIS_HTTP_READ_TIMEOUT);
        return;
    }
    s->wire.lane = s->lane;
    s->wire.reply = &s->reply;
    s->wire.method = s->method;
    s->wire.connected = on_connected;
    s->wire.connected_self = s;
    s->begun_ns = s->moved_ns = cis_clock_mono_ns();
    CURLM *multi = s->lane->multi;
    cis_code code = cis_http_wire_set(&s->wire, s->client, &s->url, NULL);
    if (code != CIS_OK || set_request(s) != CURLE_OK ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_watch) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, s) != CURLM_OK ||
        curl_multi_add_handle(multi, s->lane->easy) != CURLM_OK) {
        cis_http_stream_fail(s, code == CIS_E_INVALID ? CIS_HTTP_URI_INVALID : CIS_HTTP_INTERNAL);
        return;
    }
    s->stage = CIS_HTTP_RUNNING;
}

/* Curl goes on where it was told to wait, if there is a reason now. */
static void resume(struct cis_http_stream *s)
{
    bool up = s->up.paused && (s->up.len != 0 || s->finished);
    bool down = s->down.paused && s->down.len == 0;
    if (up || down) {
        s->up.paused = s->up.paused && !up;
        s->down.paused = s->down.paused && !down;
        int still = (s->up.paused ? CURLPAUSE_SEND : 0) | (s->down.paused ? CURLPAUSE_RECV : 0);
        curl_easy_pause(s->lane->easy, still);
    }
}

static void ended(struct cis_http_stream *s, CURLcode result)
{
    enum cis_http_fault fault = cis_http_verdict_fault(&s->wire, result);
    if (fault == CIS_HTTP_FINE) {
        s->whole = true;
        let_go(s, true);
    } else if (s->whole) { /* the response is here; what is lost was the request's */
        let_go(s, false);
    } else {
        cis_http_stream_fail(s, fault);
    }
}

/* One round of curl; false: there was nothing to do. */
static bool turn(struct cis_http_stream *s)
{
    struct epoll_event events[4];
    CURLM *multi = s->lane->multi;
    int running, left;
    long ms = -1;
    int n = epoll_wait(s->epoll_fd, events, 4, 0);
    for (int i = 0; i < n; i++) {
        int mask = ((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                   ((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                   ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
    }
    curl_multi_timeout(multi, &ms);
    if (ms == 0) {
        curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    const CURLMsg *msg = curl_multi_info_read(multi, &left);
    if (msg != NULL && msg->msg == CURLMSG_DONE) {
        ended(s, msg->data.result);
        return false;
    }
    return n > 0 || ms == 0;
}

static void run(struct cis_http_stream *s)
{
    resume(s);
    for (unsigned i = 0; i < TURNS && s->stage == CIS_HTTP_RUNNING && turn(s); i++) {
        if (s->down.len != 0 && s->up.len == 0) {
            break; /* there is something to hand over first */
        }
    }
    const struct cis_http_reply *r = &s->reply;
    bool bodiless = r->head || r->status == 204 || r->status == 304;
    if (r->final && (bodiless || (r->has_length && r->body == r->length))) {
        s->whole = true; /* curl may be sending still */
    }
    long ms = -1;
    if (s->stage == CIS_HTTP_RUNNING) {
        curl_multi_timeout(s->lane->multi, &ms);
        s->at_ns =
            ms < 0 ? CIS_NEVER : cis_clock_after(cis_clock_mono_ns(), (uint64_t)ms * CIS_NS_PER_MS);
    }
}

uint64_t cis_http_stream_until(const struct cis_http_stream *s, enum cis_http_fault *out_fault)
{
    *out_fault = CIS_HTTP_READ_TIMEOUT;
    if (s->stage != CIS_HTTP_RUNNING || s->whole) {
        return CIS_NEVER;
    }
    if (!s->connected) {
        *out_fault = CIS_HTTP_CONNECT_TIMEOUT;
        return cis_clock_after(s->begun_ns, s->connect_ns);
    }
    if (!s->reply.final) {
        return cis_clock_after(s->moved_ns, s->first_byte_ns);
    }
    return s->down.len == 0 && !s->down.paused ? cis_clock_after(s->moved_ns, s->between_ns)
                                               : CIS_NEVER;
}

void cis_http_stream_advance(struct cis_http_stream *s, bool wanted)
{
    enum cis_http_fault fault;
    if (s->stage == CIS_HTTP_LOOKING) {
        look_up(s);
    }
    if (s->stage == CIS_HTTP_HELD &&
        (wanted || s->finished || s->length != UINT64_MAX || s->up.total != 0)) {
        begin(s);
    }
    if (s->stage == CIS_HTTP_RUNNING) {
        run(s);
    }
    uint64_t until = cis_http_stream_until(s, &fault);
    if (until != CIS_NEVER && until <= cis_clock_mono_ns()) {
        cis_http_stream_fail(s, fault);
    }
}
