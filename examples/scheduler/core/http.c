#include "http.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- URLs ---- */
static bool is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] <= ' ' || s[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

const char *url_parse(const char *s, struct url *out)
{
    size_t scheme = strncmp(s, "http://", 7) == 0 ? 7 : strncmp(s, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0) {
        return "URL must start with http:// or https://";
    }
    if (!is_plain(s, strlen(s))) {
        return "blanks and control characters are not allowed in a URL";
    }
    const char *host = s + scheme, *path = host + strcspn(host, "/?#");
    const char *host_end = path, *port = NULL;
    if (memchr(host, '@', (size_t)(path - host)) != NULL) {
        return "names of users in a URL are not supported";
    }
    bool v6 = *host == '[';
    if (v6) {
        host++;
        host_end = memchr(host, ']', (size_t)(path - host));
        if (host_end == NULL) {
            return "invalid host";
        }
        port = host_end[1] == ':' ? host_end + 2 : NULL;
        if (port == NULL && host_end + 1 != path) {
            return "invalid host";
        }
    } else if ((port = memchr(host, ':', (size_t)(path - host))) != NULL) {
        host_end = port++;
    }
    uint64_t number = scheme == 8 ? 443 : 80;
    if (host_end == host || host_end - host > 253) {
        return "invalid host";
    }
    if (port != NULL && (!number_of(port, (size_t)(path - port), 65535, &number) || number == 0)) {
        return "invalid port number";
    }
    size_t len = strcspn(path, "#");
    *out = (struct url){
        .tls = scheme == 8, .v6 = v6, .port = (uint16_t)number, .port_given = port != NULL};
    out->host = need_text(host, (size_t)(host_end - host));
    out->path = need(len + 2);
    out->path[0] = '/'; /* "?a=b" begins with it, too */
    memcpy(out->path + (*path != '/'), path, len);
    return NULL;
}

void url_done(struct url *url)
{
    free(url->host);
    free(url->path);
    *url = (struct url){0};
}

/* ---- requests ---- */
static bool is_token(const char *s)
{
    return *s != '\0' && s[strspn(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

const char *request_check(const struct request *r)
{
    const char *name;
    json_t *value;
    if (!is_token(r->method) || strlen(r->method) > 32) {
        return "invalid method";
    }
    json_object_foreach(r->headers, name, value)
    {
        const char *s = json_string_value(value);
        if (s != NULL && (!is_token(name) || s[strcspn(s, "\r\n")] != '\0')) {
            return "invalid header";
        }
        if (s != NULL && strcasecmp(name, "transfer-encoding") == 0) {
            return "Transfer-Encoding cannot be set";
        }
    }
    return NULL;
}

const char *request_write(const struct request *r, struct text *out)
{
    const char *name, *why = request_check(r);
    json_t *value;
    bool host = false, length = false, connection = false;
    if (why != NULL) {
        return why;
    }
    for (const char *c = r->method; *c != '\0'; c++) {
        char upper = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        text_put(out, &upper, 1);
    }
    text_put(out, " ", 1);
    text_add(out, r->url->path);
    text_add(out, " HTTP/1.1\r\n");
    json_object_foreach(r->headers, name, value)
    {
        const char *s = json_string_value(value);
        if (s == NULL) {
            continue;
        }
        host = host || strcasecmp(name, "host") == 0;
        connection = connection || strcasecmp(name, "connection") == 0;
        if (strcasecmp(name, "content-length") == 0) {
            length = true; /* the real one is sent */
            continue;
        }
        text_add(out, name);
        text_put(out, ": ", 2);
        text_add(out, s);
        text_put(out, "\r\n", 2);
    }
    if (!host) {
        text_add(out, r->url->v6 ? "Host: [" : "Host: ");
        text_add(out, r->url->host);
        text_add(out, r->url->v6 ? "]" : "");
        if (r->url->port_given) {
            text_put(out, ":", 1);
            text_number(out, r->url->port);
        }
        text_add(out, "\r\n");
    }
    if (r->has_body || length) {
        text_add(out, "Content-Length: ");
        text_number(out, r->body_len);
        text_put(out, "\r\n", 2);
    }
    if (!connection) {
        text_add(out, r->keep ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
    }
    text_add(out, "\r\n");
    if (r->has_body) {
        text_put(out, r->body, r->body_len);
    }
    return out->cut ? "the request is too large" : NULL;
}

/* ---- responses ---- */
void response_init(struct response *r, bool of_head)
{
    *r = (struct response){.of_head = of_head,
                           .first = true,
                           .body = TEXT_INIT(HTTP_BODY_KEPT),
                           .line = TEXT_INIT(HTTP_HEAD_MAX)};
    text_put(&r->body, "", 0);
}

void response_done(struct response *r)
{
    text_done(&r->body);
    text_done(&r->line);
}

static void bad(struct response *r, const char *why)
{
    r->state = RESPONSE_BAD;
    r->problem = why;
}

static void done(struct response *r)
{
    r->state = RESPONSE_DONE;
}

/* "HTTP/1.1 200 OK". */
static void status_line(struct response *r, const char *line, size_t n)
{
    uint64_t status;
    r->first = false;
    if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
        !number_of(line + 9, 3, 599, &status) || status < 100 || (n > 12 && line[12] != ' ')) {
        bad(r, "invalid status line");
        return;
    }
    r->status = (int)status;
    r->keep = line[7] != '0';
    r->chunked = r->has_length = false;
}

static bool has_word(struct slice list, const char *word)
{
    while (list.len > 0) {
        const char *comma = memchr(list.at, ',', list.len);
        size_t n = comma != NULL ? (size_t)(comma - list.at) : list.len;
        struct slice item = slice_trim(list.at, n);
        if (item.len == strlen(word) && strncasecmp(item.at, word, item.len) == 0) {
            return true;
        }
        n += comma != NULL;
        list.at += n;
        list.len -= n;
    }
    return false;
}

static void field_line(struct response *r, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (colon == NULL || colon == line) {
        bad(r, "invalid header");
        return;
    }
    size_t name = (size_t)(colon - line);
    struct slice value = slice_trim(colon + 1, n - name - 1);
    if (name == 14 && strncasecmp(line, "content-length", 14) == 0) {
        uint64_t length;
        if (!number_of(value.at, value.len, UINT64_MAX / 2, &length) ||
            (r->has_length && length != r->left)) {
            bad(r, "invalid Content-Length");
            return;
        }
        r->left = length;
        r->has_length = true;
    } else if (name == 17 && strncasecmp(line, "transfer-encoding", 17) == 0) {
        r->chunked = has_word(value, "chunked");
        if (!r->chunked) {
            bad(r, "unknown Transfer-Encoding");
        }
    } else if (name == 10 && strncasecmp(line, "connection", 10) == 0) {
        r->keep = has_word(value, "keep-alive") || (r->keep && !has_word(value, "close"));
    }
}

/* The empty line behind the fields. */
static void end_of_head(struct response *r)
{
    if (r->status < 200) { /* another one follows */
        if (r->status == 101) {
            bad(r, "the protocol was switched");
        }
        r->first = true;
        return;
    }
    r->state = RESPONSE_BODY;
    if (r->of_head || r->status == 204 || r->status == 304) {
        done(r);
    } else if (r->chunked) {
        r->part = CHUNK_SIZE;
    } else if (r->has_length) {
        if (r->left == 0) {
            done(r);
        }
    } else {
        r->keep = false; /* its end is the connection's */
    }
}

static void chunk_line(struct response *r, const char *line, size_t n)
{
    uint64_t size = 0;
    size_t digits = 0;
    for (; digits < n && digits < 16; digits++) {
        char c = line[digits];
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16;
        if (d == 16) {
            break;
        }
        size = size << 4 | d;
    }
    if (digits == 0 || size >> 62 != 0 ||
        (digits < n && line[digits] != ';' && line[digits] != ' ' && line[digits] != '\t')) {
        bad(r, "invalid chunk");
        return;
    }
    r->left = size;
    r->part = size == 0 ? CHUNK_TRAILERS : CHUNK_DATA;
}

/* A whole line, without its end. */
static void on_line(struct response *r, const char *line, size_t n)
{
    n -= n > 0 && line[n - 1] == '\r';
    if (r->state == RESPONSE_HEAD) {
        if (r->first) {
            status_line(r, line, n);
        } else if (n == 0) {
            end_of_head(r);
        } else {
            field_line(r, line, n);
        }
    } else if (r->part == CHUNK_SIZE) {
        chunk_line(r, line, n);
    } else if (r->part == CHUNK_END) {
        r->part = CHUNK_SIZE;
        if (n != 0) {
            bad(r, "invalid chunk");
        }
    } else if (n == 0) {
        done(r);
    }
    text_clear(&r->line);
}

static size_t take_line(struct response *r, const char *at, size_t n)
{
    const char *end = memchr(at, '\n', n);
    size_t used = end != NULL ? (size_t)(end - at) : n;
    r->head_len += used + 1;
    if (r->head_len > HTTP_HEAD_MAX) {
        bad(r, "the header is too large");
        return n;
    }
    if (end != NULL && r->line.len == 0) {
        on_line(r, at, used);
    } else {
        text_put(&r->line, at, used);
        if (end == NULL) {
            return n;
        }
        on_line(r, r->line.at, r->line.len);
    }
    if (r->state == RESPONSE_BODY && r->part != CHUNK_TRAILERS) {
        r->head_len = 0;
    }
    return used + 1;
}

static size_t take_body(struct response *r, const char *at, size_t n)
{
    bool counted = r->chunked || r->has_length;
    if (counted && n > r->left) {
        n = (size_t)r->left;
    }
    text_put(&r->body, at, n);
    r->body_len += n;
    if (counted && (r->left -= n) == 0) {
        if (r->chunked) {
            r->part = CHUNK_END;
        } else {
            done(r);
        }
    }
    return n;
}

void response_feed(struct response *r, const char *at, size_t n, size_t *out_used)
{
    size_t used = 0;
    while (used < n && r->state < RESPONSE_DONE) {
        bool lines = r->state == RESPONSE_HEAD || (r->chunked && r->part != CHUNK_DATA);
        used += lines ? take_line(r, at + used, n - used) : take_body(r, at + used, n - used);
    }
    *out_used = used;
}

void response_end(struct response *r)
{
    r->keep = false;
    if (r->state == RESPONSE_BODY && !r->chunked && !r->has_length) {
        done(r);
    } else if (r->state < RESPONSE_DONE) {
        bad(r, r->state == RESPONSE_HEAD && r->first && r->line.len == 0
                   ? "No response data received"
                   : "incomplete HTTP response");
    }
}
