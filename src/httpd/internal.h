/* Inside httpd/: heads, chunks, connections. */
#ifndef CIS_HTTPD_INTERNAL_H
#define CIS_HTTPD_INTERNAL_H

#include <netinet/in.h>
#include <stdatomic.h>
#include "base/lock.h"
#include "httpd/httpd.h"

/* ---- head.c ---- */
enum httpd_body { HTTPD_NO_BODY, HTTPD_LENGTH, HTTPD_CHUNKED };
struct httpd_head {
    struct cis_httpd_request request; /* in the bytes that were read */
    size_t len;
    enum httpd_body body;
    uint64_t length; /* HTTPD_LENGTH */
    bool close;      /* nothing comes after this request */
    bool expects;    /* 100 Continue */
};
enum httpd_status { HTTPD_PART, HTTPD_WHOLE, HTTPD_REFUSED };
/* Of bytes that begin with a request. *seen: how many of them were looked at before, 0 at first. */
enum httpd_status cis_httpd_head(struct cis_bytes in, size_t *seen, struct httpd_head *out,
                                 struct cis_httpd_refusal *why);
void cis_httpd_refuse(struct cis_httpd_refusal *out, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- chunk.c ---- */
struct httpd_chunks { /* zero at first */
    enum {
        CHUNK_SIZE,
        CHUNK_EXTENSION,
        CHUNK_SIZE_LF,
        CHUNK_DATA,
        CHUNK_CR,
        CHUNK_LF,
        CHUNK_END_CR,
        CHUNK_END_LF,
        CHUNK_DONE
    } at;
    unsigned digits;
    size_t extension; /* bytes of extensions so far */
    uint64_t left;    /* of this chunk */
};
/* Takes bytes until the body is whole (at: CHUNK_DONE) or there are no more; what they hold is
 * added to body. *out_used of them were taken. False: refused. */
bool cis_httpd_chunks(struct httpd_chunks *chunks, struct cis_bytes in, size_t *out_used,
                      struct cis_buf *body, struct cis_httpd_refusal *why);

/* ---- listen.c ---- */
#define HTTPD_ADDRESS_MAX 80u
cis_code cis_httpd_listen(const char *address, int *out_fd, bool *out_loopback,
                          char out_name[HTTPD_ADDRESS_MAX], struct cis_error *err);
void cis_httpd_name(const struct sockaddr_storage *addr, char out[HTTPD_ADDRESS_MAX]);

/* ---- connections ---- */
CIS_LOCK_CLASS(httpd_lock);

struct cis_httpd_exchange {
    atomic_uint refs;
    struct httpd_shared *shared;
    struct httpd_conn *conn CIS_GUARDED_BY(httpd_lock);  /* NULL: nobody is there */
    cis_httpd_exchange *next CIS_GUARDED_BY(httpd_lock); /* of those that have something to write */
    struct cis_buf out CIS_GUARDED_BY(httpd_lock);
    bool listed CIS_GUARDED_BY(httpd_lock), begun CIS_GUARDED_BY(httpd_lock),
        ended CIS_GUARDED_BY(httpd_lock), lost CIS_GUARDED_BY(httpd_lock),
        half CIS_GUARDED_BY(httpd_lock);
    bool old, head_only, close; /* of the request */
    void *tag CIS_GUARDED_BY(httpd_lock);
    void (*drop)(void *tag) CIS_GUARDED_BY(httpd_lock);
};

/* What exchanges and the server share; it outlives the server when an exchange does. */
struct httpd_shared {
    atomic_uint refs;
    pthread_mutex_t lock;
    int wake; /* an eventfd */
    size_t stream_max, answers_max;
    atomic_size_t waiting; /* bytes of answers that are not written yet */
    cis_httpd_exchange *ready CIS_GUARDED_BY(httpd_lock);
};

enum httpd_state {
    CONN_HEAD, /* a request is waited for, or its head is being read */
    CONN_BODY,
    CONN_BUSY,  /* the owner has the request */
    CONN_DRAIN, /* nothing more is said: what still comes is thrown away, so that the answer is read
                 */
    CONN_GONE,  /* closed; freed when all events of this turn are done with */
};
struct httpd_conn {
    cis_httpd *server;
    struct httpd_conn *next, *before;
    int fd;
    enum httpd_state state;
    uint32_t events; /* that epoll was asked for */
    uint64_t deadline_ns, active_ns;
    uint64_t since_ns; /* since when there is something in `out` */
    struct cis_buf in, body, out;
    size_t seen, used, out_at; /* used: bytes of `in` that belong to this request */
    size_t owed;               /* of out, not written: counted in shared->waiting */
    struct httpd_head head;
    struct httpd_chunks chunks;
    uint64_t left; /* of a body with a length */
    cis_httpd_exchange *exchange;
    bool closing; /* after what is in out */
    bool known;   /* a head of it was good: it is of who may be here */
    bool half;    /* the peer has closed his side, and may read still */
    char local[HTTPD_ADDRESS_MAX];
};

struct cis_httpd {
    struct cis_httpd_options o;
    struct httpd_shared *shared;
    char address[HTTPD_ADDRESS_MAX];
    bool loopback, ending;
    int listener, epoll;
    struct httpd_conn *conns, *gone;
    size_t nconns, busy;
    size_t bodies;    /* bytes of bodies that are being read */
    uint64_t rest_ns; /* no connection is accepted before: descriptors ran out */
};

/* answer.c */
cis_httpd_exchange *cis_httpd_exchange_new(struct httpd_conn *conn);
void cis_httpd_head_write(struct cis_buf *out, unsigned status, const char *type,
                          const char *fields, size_t length, bool close);
struct httpd_shared *cis_httpd_shared_new(const struct cis_httpd_options *options);
void cis_httpd_shared_unref(struct httpd_shared *shared);

/* conn.c */
void cis_httpd_accept(cis_httpd *server);
void cis_httpd_conn_ready(struct httpd_conn *conn, uint32_t events);
void cis_httpd_conn_close(struct httpd_conn *conn);
void cis_httpd_conn_late(struct httpd_conn *conn); /* its deadline has passed */
/* Writes what its exchange has for it. */
void cis_httpd_conn_flush(struct httpd_conn *conn);
void cis_httpd_conns_free(cis_httpd *server); /* those that are gone */

#endif
