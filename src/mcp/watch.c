/* Who is told of changes: requests that listen, and sessions, by their line, or over HTTP by a
 * stream that they opened. What runs of this server change is told, and what an
 * install does: no other process is asked. */
#include "mcp/internal.h"

#include "base/mem.h"

/* What a session of the revisions before 2026 wants. */
struct mcp_watch {
    uint8_t session[CIS_MAC_BYTES]; /* zero: the line's */
    char *path;                     /* what is watched, as it is told of changes */
    char *uri;                      /* as the client named it */
};

static void watch_done(struct mcp_watch *w)
{
    cis_free(w->path);
    cis_free(w->uri);
}

void cis_mcp_watches_done(struct cis_mcp *m)
{
    cis_lock_alone(mcp_lock);
    for (size_t i = 0; i < m->nwatches; i++) {
        watch_done(&m->watches[i]);
    }
    cis_free(m->watches);
}

/* ---- requests that listen ---- */

bool cis_mcp_listeners_full(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    bool full = m->nlisteners >= MCP_LISTENERS_MAX;
    cis_mutex_unlock(&m->lock, mcp_lock);
    return full;
}

static json_t *meta_of(const struct mcp_call *call)
{
    return json_pack("{s:o}", MCP_META "subscriptionId", json_deep_copy(call->message.id));
}

static json_t *note(const char *method, json_t *params)
{
    return json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method", method, "params", params);
}

void cis_mcp_listen(struct mcp_call *call)
{
    struct cis_mcp *m = call->mcp;
    json_t *uris = json_array(), *path;
    const char *uri;
    json_object_foreach(call->listens, uri, path)
    {
        json_array_append_new(uris, json_string(uri));
    }
    json_t *agreed = json_object();
    if (json_array_size(uris) != 0) {
        json_object_set(agreed, "resourceSubscriptions", uris);
    }
    json_decref(uris);
    for (enum mcp_list list = 0; list < MCP_LIST_COUNT; list++) {
        if ((call->listens_lists & MCP_LIST_BIT(list)) != 0) {
            json_object_set_new(agreed, cis_mcp_list_filter(list), json_true());
        }
    }
    cis_mcp_note(m, call,
                 note("notifications/subscriptions/acknowledged",
                      json_pack("{s:o,s:o}", "notifications", agreed, "_meta", meta_of(call))));
    call->next = m->listeners;
    m->listeners = call;
    m->nlisteners++;
}

void cis_mcp_listen_end(struct mcp_call *call, struct mcp_reply *out)
{
    cis_mcp_result(call, json_pack("{s:o}", "_meta", meta_of(call)), false, out);
}

/* ---- sessions ---- */

bool cis_mcp_listen_stream(struct mcp_call *call) CIS_TAKES(mcp_lock)
{
    struct cis_mcp *m = call->mcp;
    cis_mutex_lock(&m->lock, mcp_lock);
    bool taken = m->nlisteners < MCP_LISTENERS_MAX && !m->ending;
    if (taken) {
        cis_httpd_stream(call->exchange, MCP_STREAM_TYPE, CIS_STR(": \n\n")); /* it is there */
        call->next = m->listeners;
        m->listeners = call;
        m->nlisteners++;
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
    return taken;
}

static bool has_stream(const struct cis_mcp *m, const uint8_t *session) CIS_REQUIRES(mcp_lock)
{
    static const uint8_t line[CIS_MAC_BYTES];
    if (memcmp(session, line, sizeof line) == 0) {
        return true;
    }
    for (const struct mcp_call *c = m->listeners; c != NULL; c = c->next) {
        if (!c->modern && memcmp(c->session, session, sizeof c->session) == 0) {
            return true;
        }
    }
    return false;
}

/* The place of what this session has of this uri, else of the oldest that nobody can be told of, if
 * all are taken; nwatches: none. */
static size_t place_of(const struct cis_mcp *m, const uint8_t *session, struct cis_str uri)
    CIS_REQUIRES(mcp_lock)
{
    size_t dead = m->nwatches;
    for (size_t i = 0; i < m->nwatches; i++) {
        const struct mcp_watch *w = &m->watches[i];
        if (cis_str_is(uri, w->uri) && memcmp(w->session, session, sizeof w->session) == 0) {
            return i;
        }
        if (dead == m->nwatches && m->nwatches == MCP_WATCHES_MAX && !has_stream(m, w->session)) {
            dead = i;
        }
    }
    return dead;
}

/* Takes what is in *one. */
static bool keep(struct cis_mcp *m, struct mcp_watch *one) CIS_REQUIRES(mcp_lock)
{
    size_t at = place_of(m, one->session, cis_str_of(one->uri));
    if (m->watches == NULL) {
        m->watches = cis_calloc(MCP_WATCHES_MAX, sizeof *m->watches);
    }
    if (m->watches == NULL || at == MCP_WATCHES_MAX) {
        watch_done(one);
        return false;
    }
    if (at == m->nwatches) {
        m->nwatches++;
    } else {
        watch_done(&m->watches[at]);
    }
    m->watches[at] = *one;
    return true;
}

bool cis_mcp_watch_add(struct cis_mcp *m, const uint8_t session[CIS_MAC_BYTES], const char *path,
                       struct cis_str uri) CIS_TAKES(mcp_lock)
{
    struct mcp_watch one = {.path = cis_strdup(path), .uri = cis_strndup(uri.ptr, uri.len)};
    memcpy(one.session, session, sizeof one.session);
    if (one.path == NULL || one.uri == NULL) {
        watch_done(&one);
        return false;
    }
    cis_mutex_lock(&m->lock, mcp_lock);
    bool kept = keep(m, &one);
    cis_mutex_unlock(&m->lock, mcp_lock);
    return kept;
}

void cis_mcp_watch_drop(struct cis_mcp *m, const uint8_t session[CIS_MAC_BYTES], struct cis_str uri)
    CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    for (size_t i = 0; i < m->nwatches; i++) {
        struct mcp_watch *w = &m->watches[i];
        if (cis_str_is(uri, w->uri) && memcmp(w->session, session, sizeof w->session) == 0) {
            watch_done(w);
            memmove(w, w + 1, (--m->nwatches - i) * sizeof *w);
            break;
        }
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
}

/* ---- telling ---- */

struct mcp_call *cis_mcp_listeners_take(struct cis_mcp *m, bool all)
{
    struct mcp_call *left = NULL;
    for (struct mcp_call **at = &m->listeners; *at != NULL;) {
        struct mcp_call *c = *at;
        if (!all && !cis_cancel_fired(c->cancel)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        m->nlisteners--;
        c->next = left;
        left = c;
    }
    return left;
}

static void tell_watches(struct cis_mcp *m, const json_t *paths) CIS_REQUIRES(mcp_lock)
{
    static const uint8_t line[CIS_MAC_BYTES];
    for (size_t i = 0; i < m->nwatches; i++) {
        const struct mcp_watch *w = &m->watches[i];
        struct mcp_call *stream = m->listeners;
        bool by_line = memcmp(w->session, line, sizeof line) == 0;
        if (json_object_get(paths, w->path) == NULL) {
            continue;
        }
        while (stream != NULL &&
               (stream->modern || memcmp(stream->session, w->session, sizeof line) != 0)) {
            stream = stream->next;
        }
        if (by_line || stream != NULL) {
            cis_mcp_note(m, by_line ? NULL : stream,
                         note("notifications/resources/updated",
                              json_pack("{s:o}", "uri", cis_mcp_text_of(w->uri))));
        }
    }
}

static void tell_listener(struct cis_mcp *m, struct mcp_call *call, const json_t *paths)
    CIS_REQUIRES(mcp_lock)
{
    const char *uri;
    json_t *watched;
    json_object_foreach(call->listens, uri, watched)
    {
        if (json_object_get(paths, json_string_value(watched)) != NULL) {
            cis_mcp_note(m, call,
                         note("notifications/resources/updated",
                              json_pack("{s:s,s:o}", "uri", uri, "_meta", meta_of(call))));
        }
    }
}

/* One look for each path that is watched, however many were changed: all others wait meanwhile. */
void cis_mcp_changed(struct cis_mcp *m, const json_t *changes) CIS_TAKES(mcp_lock)
{
    json_t *paths = json_object();
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const char *path = json_string_value(json_object_get(json_array_get(changes, i), "path"));
        if (path != NULL) {
            json_object_set_new(paths, path, json_true());
        }
    }
    cis_mutex_lock(&m->lock, mcp_lock);
    tell_watches(m, paths);
    for (struct mcp_call *c = m->listeners; c != NULL; c = c->next) {
        tell_listener(m, c, paths);
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
    json_decref(paths);
}

/* ---- lists ---- */

static const struct {
    const char *method, *filter;
} of_list[MCP_LIST_COUNT] = {
    [MCP_LIST_TOOLS] = {"notifications/tools/list_changed", "toolsListChanged"},
    [MCP_LIST_PROMPTS] = {"notifications/prompts/list_changed", "promptsListChanged"},
    [MCP_LIST_RESOURCES] = {"notifications/resources/list_changed", "resourcesListChanged"},
};

const char *cis_mcp_list_filter(enum mcp_list list)
{
    return of_list[list].filter;
}

/* Sessions are told of every list, a request that listens of those it asked for. */
static void tell_list(struct cis_mcp *m, enum mcp_list list) CIS_REQUIRES(mcp_lock)
{
    const char *method = of_list[list].method;
    if (m->line_told) {
        cis_mcp_note(m, NULL, json_pack("{s:s,s:s}", "jsonrpc", "2.0", "method", method));
    }
    for (struct mcp_call *c = m->listeners; c != NULL; c = c->next) {
        if (!c->modern) {
            cis_mcp_note(m, c, json_pack("{s:s,s:s}", "jsonrpc", "2.0", "method", method));
        } else if ((c->listens_lists & MCP_LIST_BIT(list)) != 0) {
            cis_mcp_note(m, c, note(method, json_pack("{s:o}", "_meta", meta_of(c))));
        }
    }
}

void cis_mcp_lists_tell(struct cis_mcp *m, unsigned lists) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    for (enum mcp_list list = 0; list < MCP_LIST_COUNT; list++) {
        if ((lists & MCP_LIST_BIT(list)) != 0) {
            tell_list(m, list);
        }
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
}
