/* action.h by a call of another component: scheduler:actions-http/http-component, which waits until
 * the action is over. Its outcome has a status in its detail, and of a body what is there. */
#include <stdlib.h>
#include <string.h>
#include "action.h"
#include "actions.h"

GUEST_IMPORT(ACTIONS, "init-component") void init_component(struct guest_said *out);
GUEST_IMPORT(ACTIONS, "release-component") void release_component(struct guest_said *out);
GUEST_IMPORT(ACTIONS, "do-http-action")
void do_http_action(const char *id, size_t id_len, const char *call, size_t call_len,
                    const char *with, size_t with_len, const struct guest_export *exports,
                    size_t nexports, struct guest_outcome *out);

struct action {
    struct outcome outcome;
};

bool actions_begin(char **out_error)
{
    struct guest_said said = {0};
    init_component(&said);
    if (said.failed) {
        *out_error = need_text(said.text.at, said.text.len);
        guest_free(said.text.at);
    }
    return !said.failed;
}

void actions_end(void)
{
    struct guest_said said = {0};
    release_component(&said);
    if (said.failed) {
        guest_free(said.text.at);
    }
}

void session_free(struct session *s)
{
    (void)s; /* there is none: each action is whole */
}

static struct guest_text of(const char *s)
{
    /* The callee gets a copy; nothing is written through it. */
    return (struct guest_text){(char *)(uintptr_t)s, s != NULL ? strlen(s) : 0};
}

static struct guest_maybe maybe(const char *s)
{
    return (struct guest_maybe){s != NULL, of(s)};
}

/* "GET URL status=404 body=…": the URL may hold anything, so the last one counts. */
static void read_detail(struct outcome *o, const char *detail, bool failed)
{
    const char *at = NULL;
    for (const char *next = detail; (next = strstr(next, " status=")) != NULL; next += 8) {
        at = next + 8;
        if (strncmp(at + strspn(at, "0123456789"), " body=", 6) == 0) {
            break; /* behind it is the server's text */
        }
    }
    uint64_t status = 0;
    size_t digits = at != NULL ? strspn(at, "0123456789") : 0;
    if (at == NULL || !number_of(at, digits, 599, &status)) {
        status = 200;
        if (failed) {
            o->error = need_text(detail, strlen(detail));
            return;
        }
    }
    o->status = (int)status;
    const char *body = at != NULL && strncmp(at + digits, " body=", 6) == 0 ? at + digits + 6 : "";
    o->body_kept = strlen(body);
    o->body_len = o->body_kept;
    o->body = need_text(body, o->body_kept);
}

/* What kept it from being answered, by the words of the error. */
static enum net_error kind_of(const char *error)
{
    static const struct {
        const char *word;
        enum net_error is;
    } rows[] = {{"ConnectionRefused", NET_REFUSED},   {"ConnectionReset", NET_RESET},
                {"ConnectionAborted", NET_ABORTED},   {"NetworkUnreachable", NET_UNREACHABLE},
                {"AddressAlreadyInUse", NET_IN_USE},  {"AddressNotAvailable", NET_NOT_AVAILABLE},
                {"AccessDenied", NET_DENIED},         {"OperationTimedOut", NET_TIMEOUT},
                {"Operation timed out", NET_TIMEOUT}, {"NameNotFound", NET_NO_NAME}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = strlen(rows[i].word), len = strlen(error);
        if (len >= n && strcmp(error + len - n, rows[i].word) == 0) {
            return rows[i].is;
        }
    }
    return NET_OK;
}

struct action *action_begin(const struct action_def *def, const json_t *with, uint64_t now,
                            struct session **session)
{
    struct action *a = need(sizeof *a);
    struct guest_outcome said = {0};
    char *params = json_dumps(with, JSON_COMPACT);
    struct guest_export *exports = need(def->nexports * sizeof *exports);
    char **initial = need(def->nexports * sizeof *initial);
    (void)now;
    (void)session;
    for (size_t i = 0; i < def->nexports; i++) {
        const struct export_def *x = &def->exports[i];
        initial[i] =
            x->initial != NULL ? json_dumps(x->initial, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        exports[i] =
            (struct guest_export){of(x->type), of(x->name), maybe(x->scope), maybe(initial[i])};
    }
    do_http_action(def->id, strlen(def->id), def->call, strlen(def->call),
                   params != NULL ? params : "{}", params != NULL ? strlen(params) : 2, exports,
                   def->nexports, &said);
    struct guest_text text = said.failed            ? said.is.error
                             : said.is.ok.detail.is ? said.is.ok.detail.text
                                                    : (struct guest_text){0};
    char *detail = need_text(text.at, text.len);
    guest_free(text.at);
    if (said.failed) {
        a->outcome.error = detail;
    } else {
        read_detail(&a->outcome, detail, said.is.ok.failed);
        a->outcome.detail = detail;
    }
    if (a->outcome.error != NULL) {
        a->outcome.net = kind_of(a->outcome.error);
    }
    for (size_t i = 0; i < def->nexports; i++) {
        free(initial[i]);
    }
    free(initial);
    free(exports);
    free(params);
    return a;
}

bool action_step(struct action *a, uint64_t now, struct outcome *out)
{
    (void)now;
    *out = a->outcome;
    a->outcome = (struct outcome){0};
    return true;
}

struct net_socket *action_socket(const struct action *a)
{
    (void)a;
    return NULL;
}

uint64_t action_deadline(const struct action *a)
{
    (void)a;
    return 0;
}

void action_free(struct action *a)
{
    outcome_done(&a->outcome);
    free(a);
}
