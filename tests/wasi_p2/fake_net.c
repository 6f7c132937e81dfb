#include "model.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

struct cis_net {
    int unused;
};
static struct cis_net the_net;
unsigned fake_socks;
static struct cis_sock *last;

cis_code cis_net_new(const struct cis_net_options *options, cis_net **out_net,
                     struct cis_error *err)
{
    (void)options, (void)err;
    *out_net = &the_net;
    return CIS_OK;
}
void cis_net_free(cis_net *net)
{
    (void)net;
}
const char *cis_net_refusal(cis_net *net)
{
    (void)net;
    return "";
}
enum cis_sock_code cis_sock_code_of(int no)
{
    return no == 0 ? CIS_SOCK_OK : no == EAGAIN ? CIS_SOCK_AGAIN : CIS_SOCK_RESET;
}
int cis_sock_errno(enum cis_sock_code code)
{
    return code == CIS_SOCK_OK      ? 0
           : code == CIS_SOCK_AGAIN ? EAGAIN
           : code == CIS_SOCK_STATE ? EINVAL
                                    : ECONNRESET;
}

struct cis_sock *fake_sock_last(void)
{
    return last;
}

enum cis_sock_code cis_sock_new(cis_net *net, enum cis_net_kind kind, int family, cis_sock **out)
{
    (void)net, (void)family;
    struct cis_sock *s = calloc(1, sizeof *s);
    s->used = true;
    s->tcp = kind == CIS_NET_TCP;
    s->state = s->tcp ? CIS_SOCK_UNBOUND : CIS_SOCK_BOUND;
    s->kernel = 1 + chance_size(200000);
    s->in = (struct spring){.seed = chance(TABLE_LEN), .len = chance_size(200000)};
    fake_socks++;
    last = *out = s;
    return CIS_SOCK_OK;
}
void cis_sock_free(cis_sock *s)
{
    if (s != NULL) {
        last = last == s ? NULL : last;
        free(s->out.at);
        free(s);
        fake_socks--;
    }
}
void cis_sock_close(cis_sock *s)
{
    s->state = CIS_SOCK_CLOSED;
}
enum cis_sock_state cis_sock_state(const cis_sock *s)
{
    return (enum cis_sock_state)s->state;
}
enum cis_net_kind cis_sock_kind(const cis_sock *s)
{
    return s->tcp ? CIS_NET_TCP : CIS_NET_UDP;
}
int cis_sock_family(const cis_sock *s)
{
    (void)s;
    return AF_INET;
}
bool cis_sock_wish(const cis_sock *s, bool writes, int *out_fd, short *out_events)
{
    if (s->state == CIS_SOCK_CLOSED || one_in(3)) {
        return false;
    }
    *out_fd = model_always;
    *out_events = writes ? POLLOUT : POLLIN;
    return true;
}
enum cis_sock_code cis_sock_bind_start(cis_sock *s, const struct sockaddr *addr)
{
    (void)s, (void)addr;
    return CIS_SOCK_STATE;
}
enum cis_sock_code cis_sock_bind_finish(cis_sock *s)
{
    (void)s;
    return CIS_SOCK_NOT_IN_PROGRESS;
}
enum cis_sock_code cis_sock_connect_start(cis_sock *s, const struct sockaddr *addr)
{
    (void)addr;
    if (s->state != CIS_SOCK_UNBOUND) {
        return CIS_SOCK_STATE;
    }
    s->state = CIS_SOCK_CONNECTING;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_connect_finish(cis_sock *s)
{
    if (s->state != CIS_SOCK_CONNECTING) {
        return CIS_SOCK_NOT_IN_PROGRESS;
    }
    if (one_in(3)) {
        return CIS_SOCK_AGAIN;
    }
    s->state = CIS_SOCK_CONNECTED;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_listen_start(cis_sock *s)
{
    (void)s;
    return CIS_SOCK_STATE;
}
enum cis_sock_code cis_sock_listen_finish(cis_sock *s)
{
    (void)s;
    return CIS_SOCK_NOT_IN_PROGRESS;
}
enum cis_sock_code cis_sock_accept(cis_sock *s, cis_sock **out_sock)
{
    (void)s, (void)out_sock;
    return CIS_SOCK_STATE;
}

/* The peer reads some of it; the kernel's buffer may become larger or smaller. */
static void move(cis_sock *s)
{
    s->queued -= chance((uint32_t)s->queued + 1);
    if (one_in(8)) {
        s->kernel = 1 + chance_size(200000);
    }
    if (one_in(400)) {
        s->reset = s->out.lossy = true;
    }
}
size_t cis_sock_room(cis_sock *s)
{
    move(s);
    return s->kernel > s->queued ? s->kernel - s->queued : 0;
}
enum cis_sock_code cis_sock_send(cis_sock *s, struct cis_bytes data, size_t *out_n, bool *out_end)
{
    *out_n = 0;
    if (s->state != CIS_SOCK_CONNECTED || s->shut_out) {
        return CIS_SOCK_STATE;
    }
    if (s->reset) {
        *out_end = one_in(2);
        return CIS_SOCK_RESET;
    }
    if (one_in(2)) {
        move(s);
    }
    size_t room = s->kernel > s->queued ? s->kernel - s->queued : 0;
    size_t n = data.len < room ? data.len : room;
    n = n > 1 && one_in(3) ? 1 + chance((uint32_t)n) : n;
    if (n == 0) {
        return CIS_SOCK_AGAIN;
    }
    line_arrived(&s->out, data.ptr, n, "tcp");
    s->queued += n;
    *out_n = n;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_receive(cis_sock *s, void *to, size_t cap, size_t *out_n, bool *out_end)
{
    *out_n = 0;
    if (s->reset) {
        return CIS_SOCK_RESET;
    }
    if (s->in.at == s->in.len) {
        *out_end = true;
        return CIS_SOCK_OK;
    }
    if (cap == 0 || one_in(3)) {
        return CIS_SOCK_AGAIN;
    }
    size_t n = 1 + chance_size(cap - 1);
    const uint8_t *at = spring_at(&s->in, &n);
    memcpy(to, at, n);
    s->in.at += n;
    *out_n = n;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_shutdown(cis_sock *s, int how)
{
    s->shut_in = s->shut_in || how != SHUT_WR;
    s->shut_out = s->shut_out || how != SHUT_RD;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_peer(cis_sock *s, const struct sockaddr *addr)
{
    (void)s, (void)addr;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_receive_from(cis_sock *s, void *to, size_t cap, size_t *out_n,
                                         struct sockaddr_storage *out_from)
{
    (void)s;
    if (one_in(3)) {
        return CIS_SOCK_AGAIN;
    }
    size_t n = chance_size(cap < CIS_SOCK_DATAGRAM_MAX ? cap : CIS_SOCK_DATAGRAM_MAX);
    memcpy(to, model_bytes, n);
    memset(out_from, 0, sizeof *out_from);
    out_from->ss_family = one_in(2) ? AF_INET : AF_INET6;
    *out_n = n;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_send_to(cis_sock *s, struct cis_bytes data, const struct sockaddr *addr)
{
    (void)addr, (void)data;
    s->datagrams_out++;
    return one_in(10) ? CIS_SOCK_AGAIN : one_in(50) ? CIS_SOCK_TOO_LARGE : CIS_SOCK_OK;
}
static enum cis_sock_code address(struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    out->ss_family = AF_INET;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_local(const cis_sock *s, struct sockaddr_storage *out)
{
    (void)s;
    return address(out);
}
enum cis_sock_code cis_sock_remote(const cis_sock *s, struct sockaddr_storage *out)
{
    (void)s;
    return address(out);
}
enum cis_sock_code cis_sock_get(const cis_sock *s, enum cis_sock_option option, uint64_t *out_value)
{
    (void)s, (void)option;
    *out_value = 1;
    return CIS_SOCK_OK;
}
enum cis_sock_code cis_sock_set(cis_sock *s, enum cis_sock_option option, uint64_t value)
{
    if (option == CIS_SOCK_SEND_BUFFER) {
        s->kernel = 1 + (size_t)(value % 300000);
    }
    return CIS_SOCK_OK;
}

struct cis_names {
    unsigned steps;
};
enum cis_sock_code cis_names_ask(cis_net *net, struct cis_str name, cis_names **out_names)
{
    (void)net, (void)name;
    *out_names = calloc(1, sizeof **out_names);
    fake_socks++;
    return CIS_SOCK_OK;
}
void cis_names_free(cis_names *names)
{
    fake_socks -= names != NULL;
    free(names);
}
bool cis_names_step(cis_names *names)
{
    names->steps++;
    return names->steps > 2;
}
bool cis_names_wish(const cis_names *names, int *out_fd, uint64_t *out_at_ns)
{
    *out_fd = model_always;
    *out_at_ns = 0;
    return names->steps <= 2;
}
enum cis_sock_code cis_names_next(cis_names *names, struct sockaddr_storage *out, bool *out_more)
{
    if (names->steps <= 2) {
        return CIS_SOCK_AGAIN;
    }
    *out_more = names->steps++ < 5;
    return address(out);
}
