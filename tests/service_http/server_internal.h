#ifndef CIS_TESTS_SERVER_INTERNAL_H
#define CIS_TESTS_SERVER_INTERNAL_H

#include <openssl/ssl.h>
#include <pthread.h>
#include "base/buf.h"
#include "service_http/server.h"

struct httpd_conn {
    struct httpd *server;
    struct httpd_conn *next;
    pthread_t thread;
    int fd;
    SSL *ssl;
    bool head; /* the request is HEAD: no body goes out */
    bool done; /* under server->lock: the thread is about to end */
};

struct httpd {
    char *require, *log_file;
    struct httpd_raw *raw;
    size_t nraw;
    int listener, stop_fd; /* stop_fd: readable once the server stops */
    uint16_t port;
    SSL_CTX *tls;
    pthread_t acceptor;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    struct httpd_conn *conns;
    unsigned nconns, nrequests;
    char *last;
};

/* One request as received. */
struct httpd_request {
    char method[16];
    char target[8192 + 1];
    struct cis_buf head; /* with the empty line */
    struct cis_buf body;
    struct cis_buf trailers; /* lines of them, each with its end */
    bool close;              /* the client asked for it */
    bool chunked, ended;     /* how the body comes; all of it was read */
    uint64_t left;           /* of the body, or of the chunk being read */
};

/* The next bytes of the body, 0 at its end, -1 when broken. Routes below /stream/ read by it; for
 * others everything was read into body. */
ssize_t httpd_body(struct httpd_conn *conn, struct httpd_request *request, void *to, size_t cap);

/* false: the connection is over. */
bool httpd_write(struct httpd_conn *conn, const void *data, size_t len);
/* Sleeps; false when the server stops or the client hung up meanwhile. ms < 0: until then. */
bool httpd_sleep(struct httpd_conn *conn, int ms);
/* Value of a header of the request, trimmed; len 0 when absent. */
struct cis_str httpd_header(const struct httpd_request *request, const char *name);
/* Answers; false: close the connection. */
bool httpd_route(struct httpd_conn *conn, struct httpd_request *request);
bool httpd_reply(struct httpd_conn *conn, unsigned status, const char *type, const char *extra,
                 const void *body, size_t len);
/* The AI routes (ai_routes.c). false in *out_known: not one of them. */
bool httpd_route_ai(struct httpd_conn *conn, struct httpd_request *request, bool *out_known);

#endif
