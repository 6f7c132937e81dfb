/* What the test server answers, whatever it is reached through: the program http-server over
 * sockets, or the component over wasi:http/incoming-handler.
 *
 * Routes (bodies are JSON unless said)
 *   GET  /asset        the address of the server and {"asset":{"path":"/asset","version":"v1"}}
 *   POST /asset        "result" is the JSON that was sent
 *   GET  /health       "status":"ok"
 *   GET  /json         "payload"
 *   GET  /delay/MS     as /health, after MS milliseconds (at most 60,000)
 *   GET  /chunked      as /health, in chunks
 *   GET  /eof          as /health, without a length: the end of the connection ends the body
 *   GET  /status/N     status N (100 to 599)
 *   GET  /short        announces more than it sends
 *   GET  /long         status 500 and 1,000 bytes of text
 *   GET  /close        closes the connection without an answer
 * Anything else is 404. */
#ifndef HTTP_SERVER_ROUTES_H
#define HTTP_SERVER_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum framing { REPLY_LENGTH, REPLY_CHUNKS, REPLY_END, REPLY_SHORT };
#define REPLY_MISSING 100 /* bytes that REPLY_SHORT announces and does not send */

struct reply {
    int status;
    bool bare; /* the status has no body */
    enum framing framing;
    uint64_t delay_ms;
    char *body; /* JSON */
    size_t len;
};

/* false: no answer, the connection is closed. ip and port are the server's. */
bool reply_of(const char *method, const char *path, const char *body, size_t body_len,
              const char *ip, int port, struct reply *out);
void reply_done(struct reply *r);

#endif
