#include "detail.h"
#include <string.h>

/* "Connection refused" as one word: ConnectionRefused. */
static void put_word(struct text *out, const char *s)
{
    bool begins = true;
    for (; *s != '\0'; s++) {
        if (*s != ' ') {
            char c = begins && *s >= 'a' && *s <= 'z' ? (char)(*s - 32) : *s;
            text_put(out, &c, 1);
        }
        begins = *s == ' ';
    }
}

static void put_failure(struct text *out, const struct outcome *o, const char *bind)
{
    text_add(out, "HTTP request failed: ");
    if (o->failure == FAILED_URL) {
        text_format(out, "Failed to parse URL: %s", o->cause);
    } else if (o->failure == FAILED_BIND) {
        text_format(out, "Failed to bind to source IP %.300s: ", bind);
        put_word(out, net_error_text(o->net));
    } else if (o->failure == FAILED_CONNECT) {
        text_put(out, o->cause, strlen(o->cause) - strlen(net_error_text(o->net)));
        put_word(out, net_error_text(o->net));
    } else {
        text_add(out, o->cause);
    }
}

static void put_answer(struct text *out, const struct outcome *o)
{
    if (o->status >= 200 && o->status < 300) {
        text_format(out, " status=%d body_len=%llu", o->status, (unsigned long long)o->body_len);
        if (o->from != NULL) {
            text_format(out, " from_ip=%s", o->from);
        }
        return;
    }
    size_t n = o->body_kept < 200 ? o->body_kept : 200;
    while (n > 0 && n < o->body_kept && ((unsigned char)o->body[n] & 0xc0) == 0x80) {
        n--; /* not in the middle of a character */
    }
    text_format(out, " status=%d body=", o->status);
    text_put(out, o->body, n);
    text_add(out, n < o->body_kept ? "..." : "");
}

/* UTF-8, for a detail is text: what is not becomes '?'. */
static void make_text(char *s)
{
    json_t *is = json_string(s);
    for (; is == NULL && *s != '\0'; s++) {
        *s = (unsigned char)*s > 0x7e ? '?' : *s;
    }
    json_decref(is);
}

bool action_run(const struct action_def *given, const json_t *with, const char *url,
                char **out_detail)
{
    struct text detail = TEXT_INIT(8000);
    struct action_def def = *given;
    struct session *session = NULL;
    struct outcome o = {0};
    if (strstr(url, "{{") != NULL) {
        text_format(&detail, "skip unresolved template url=%s", url);
        *out_detail = text_take(&detail);
        return true;
    }
    const char *timeout = json_string_value(json_object_get(with, "timeout"));
    if (timeout == NULL || !duration_of(timeout, &def.timeout)) {
        def.timeout = 30 * SECOND;
    }
    struct action *a = action_begin(&def, with, net_now(), &session);
    while (!action_step(a, net_now(), &o)) {
        struct net_socket *s = action_socket(a);
        net_wait(&s, s != NULL, action_deadline(a));
    }
    action_free(a);
    session_free(session);
    if (o.detail != NULL) {
        text_add(&detail, o.detail);
    } else if (o.error != NULL) {
        put_failure(&detail, &o, json_string_value(json_object_get(with, "bind_ip")));
    } else {
        text_format(&detail, "%s %.4000s", def.call, url);
        put_answer(&detail, &o);
    }
    bool good = o.error == NULL && o.status >= 200 && o.status <= 299;
    outcome_done(&o);
    make_text(detail.at);
    *out_detail = text_take(&detail);
    return good;
}
