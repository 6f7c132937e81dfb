#include "routes.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX 60000

static bool number_after(const char *path, const char *prefix, long min, long max, long *out)
{
    size_t n = strlen(prefix);
    char *rest;
    if (strncmp(path, prefix, n) != 0 || path[n] < '0' || path[n] > '9') {
        return false;
    }
    errno = 0;
    *out = strtol(path + n, &rest, 10);
    return errno == 0 && *rest == '\0' && *out >= min && *out <= max;
}

/* POST /asset: what was sent. */
static void put_sent(json_t *reply, const char *body, size_t n, struct reply *out)
{
    json_t *sent = json_loadb(body, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    out->status = sent != NULL ? 200 : 400;
    if (sent != NULL) {
        json_object_set_new(reply, "result", sent);
    } else {
        json_object_set_new(reply, "error", json_string("the body is not JSON"));
    }
}

static void put_long(json_t *reply, struct reply *out)
{
    char many[1001];
    memset(many, 'x', 1000);
    many[1000] = '\0';
    out->status = 500;
    json_object_set_new(reply, "text", json_string(many));
}

/* As /health, in another way. */
static bool is_other_health(const char *path, struct reply *out)
{
    long n;
    if (number_after(path, "/delay/", 0, DELAY_MAX, &n)) {
        out->delay_ms = (uint64_t)n;
        return true;
    }
    out->framing = strcmp(path, "/chunked") == 0 ? REPLY_CHUNKS
                   : strcmp(path, "/eof") == 0   ? REPLY_END
                   : strcmp(path, "/short") == 0 ? REPLY_SHORT
                                                 : REPLY_LENGTH;
    return out->framing != REPLY_LENGTH;
}

static void route(const char *method, const char *path, const char *body, size_t body_len,
                  json_t *reply, struct reply *out)
{
    long n;
    bool get = strcmp(method, "GET") == 0;
    if (strcmp(path, "/asset") == 0 && get) {
        json_object_set_new(reply, "asset",
                            json_pack("{s:s, s:s}", "path", "/asset", "version", "v1"));
    } else if (strcmp(path, "/asset") == 0 && strcmp(method, "POST") == 0) {
        put_sent(reply, body, body_len, out);
    } else if (strcmp(path, "/json") == 0 && get) {
        json_object_set_new(
            reply, "payload",
            json_pack("{s:s, s:s}", "message", "hello from demo server", "version", "v1"));
    } else if ((strcmp(path, "/health") == 0 && get) || is_other_health(path, out)) {
        json_object_set_new(reply, "status", json_string("ok"));
    } else if (number_after(path, "/status/", 100, 599, &n)) {
        out->status = (int)n;
    } else if (strcmp(path, "/long") == 0) {
        put_long(reply, out);
    } else {
        out->status = 404;
        json_object_set_new(reply, "error", json_string("no such route"));
    }
}

bool reply_of(const char *method, const char *path, const char *body, size_t body_len,
              const char *ip, int port, struct reply *out)
{
    *out = (struct reply){.status = 200};
    if (strcmp(path, "/close") == 0) {
        return false;
    }
    json_t *reply = json_pack("{s:s, s:i}", "ip", ip, "port", port);
    if (reply == NULL) {
        return false;
    }
    route(method, path, body, body_len, reply, out);
    json_object_set_new(reply, "status_code", json_integer(out->status));
    out->bare = out->status == 204 || out->status == 304 || out->status < 200;
    out->body = json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS);
    out->len = out->body != NULL ? strlen(out->body) : 0;
    json_decref(reply);
    return out->body != NULL;
}

void reply_done(struct reply *r)
{
    free(r->body);
    *r = (struct reply){0};
}
