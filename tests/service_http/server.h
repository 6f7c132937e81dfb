/* A small HTTP/1.1 server for tests: one thread a connection, loopback only, optionally TLS. It
 * does what it is told, also what no server should. Used inside test programs and, as
 * tests/tools/httpd, by tests that drive the cis program.
 *
 * Routes
 *   /echo                  200, text/plain: the request as it was received (head and body)
 *   /hello                 200 "hello"
 *   /status/N              status N with a small body (none for 204 and 304)
 *   /redirect?to=URL       302 (or &status=N first) to URL, percent-decoded
 *   /loop                  302 to /loop
 *   /slow?ms=N             "late" after N milliseconds
 *   /hang                  never answers
 *   /drip                  a header, then a byte at a time, for ever
 *   /huge?bytes=N          N bytes with a content-length
 *   /endless               chunks without end
 *   /chunked               200, three chunks and a trailer
 *   /lie                   announces 100 bytes, sends 10, closes
 *   /close                 closes without a byte
 *   /headers?n=N           N header fields
 *   /gzip                  content-encoding: gzip and bytes that are not
 *   /stream/sink           reads the body without keeping it: "N bytes, trailers: " and those
 *   /stream/mirror         sends it back in chunks as it comes, then its trailers and X-Bytes: N
 *   /stream/ignore         answers 200 "early" before it reads anything, reads nothing
 *   /raw/N                 the N-th scripted response, as it is
 *   /v1/chat/completions   OpenAI style    \
 *   /v1/messages           Anthropic style  > the last user message, its characters reversed
 *   /api/chat              Ollama style    /
 * Anything else is 404. */
#ifndef CIS_TESTS_SERVER_H
#define CIS_TESTS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct httpd_raw {
    const char *bytes;
    size_t len; /* 0: strlen */
    bool hold;  /* keep the connection open afterwards, without another byte */
};

struct httpd_options {
    const char *address;    /* "127.0.0.1", or "::1" */
    uint16_t port;          /* 0: any */
    const char *cert, *key; /* PEM files: TLS */
    const char *log_file;   /* every request is appended, followed by a line "----" */
    const char *require;    /* "Name: value" that the AI routes want, else 401 */
    const struct httpd_raw *raw;
    size_t nraw;
};

typedef struct httpd httpd;

/* NULL when it cannot listen (or TLS files cannot be read). Everything in options is copied. */
httpd *httpd_start(const struct httpd_options *options);
/* Ends every connection and thread. */
void httpd_stop(httpd *server);
uint16_t httpd_port(const httpd *server);
unsigned httpd_connections(httpd *server);
unsigned httpd_requests(httpd *server);
/* Returns once n requests were received in all (their answers may be on the way). */
void httpd_wait_requests(httpd *server, unsigned n);
/* Returns once the server has closed every connection that it has accepted. */
void httpd_wait_closed(httpd *server);
/* The last request, head and body; yours to cis_free. NULL: none. */
char *httpd_last(httpd *server);

#endif
