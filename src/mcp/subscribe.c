/* Subscriptions: what changed, told to who asked for it. In the revision of 2026 a request listens
 * until it is cancelled; before it a session names what it wants, and is told by its line, or over
 * HTTP by a stream that it opened. What runs of this server change is told, and what
 * an install does: no other process is asked. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/mem.h"

#define FILES "cis:///files/"
#define URIS_MAX 256u /* of one request that listens */
#define URI_MAX 8192u

/* The path in the tree that a URI is about; the URI itself of what a skill declares (no path begins
 * as one). False: nothing that can be subscribed to. */
static bool path_of(const struct mcp_call *call, struct cis_str uri, struct cis_buf *out)
{
    struct cis_error ignored;
    if (uri.ptr == NULL || uri.len > URI_MAX || memchr(uri.ptr, 0, uri.len) != NULL) {
        return false;
    }
    if (cis_str_starts(uri, CIS_STR(FILES))) {
        struct cis_str rest = {uri.ptr + strlen(FILES), uri.len - strlen(FILES)};
        return cis_mcp_resource_path(rest, out, &ignored) == CIS_OK;
    }
    json_t *values = json_object();
    bool declared = cis_mcp_declared_find(call->lists, uri, values) != NULL;
    json_decref(values);
    cis_buf_str(out, uri);
    return declared;
}

/* ---- the revision of 2026: a request that listens ---- */

bool cis_mcp_listen_begin(struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_mcp *m = call->mcp;
    const json_t *wanted = json_object_get(call->message.params, "notifications");
    const json_t *uris = cis_mcp_member(wanted, "resourceSubscriptions");
    bool full = cis_mcp_listeners_full(m);
    if (!json_is_object(wanted) || (uris != NULL && !json_is_array(uris)) ||
        json_array_size(uris) > URIS_MAX || full) {
        cis_mcp_refuse(out, full ? MCP_INTERNAL : MCP_PARAMS,
                       full ? "more than %u subscriptions"
                            : "notifications: must be an object; at most %u resourceSubscriptions",
                       full ? MCP_LISTENERS_MAX : URIS_MAX);
        return false;
    }
    call->listens = json_object();
    for (size_t i = 0; i < json_array_size(uris); i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
        json_t *uri = json_array_get(uris, i);
        struct cis_str text = {json_string_value(uri), json_string_length(uri)};
        if (path_of(call, text, &path)) {
            json_object_set_new(call->listens, json_string_value(uri),
                                cis_mcp_text(cis_buf_view(&path)));
        }
    }
    for (enum mcp_list list = 0; list < MCP_LIST_COUNT; list++) {
        bool asked = json_is_true(json_object_get(wanted, cis_mcp_list_filter(list)));
        call->listens_lists |= asked ? MCP_LIST_BIT(list) : 0;
    }
    cis_mcp_lists_unref(call->lists); /* it may outlive many of them */
    call->lists = NULL;
    if (call->listens == NULL) {
        cis_mcp_refuse(out, MCP_INTERNAL, "out of memory");
    }
    return call->listens != NULL;
}

/* ---- before it ---- */

void cis_mcp_subscribe(struct mcp_call *call, struct mcp_reply *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
    struct cis_mcp *m = call->mcp;
    static const uint8_t nobody[CIS_MAC_BYTES]; /* the line's */
    struct cis_str uri = cis_mcp_field(call->message.params, "uri");
    if (call->exchange != NULL && memcmp(call->session, nobody, sizeof nobody) == 0) {
        cis_mcp_refuse(out, MCP_INVALID,
                       "resources/subscribe: a session is told of changes, by the stream that it "
                       "opens, and this request has no Mcp-Session-Id");
        return;
    }
    if (!path_of(call, uri, &path)) {
        cis_mcp_refuse(out, uri.ptr != NULL ? MCP_NO_RESOURCE : MCP_PARAMS,
                       "resources/subscribe: uri must be a file of the folder (" FILES
                       "PATH) or what a skill declares");
        return;
    }
    bool kept = cis_mcp_watch_add(m, call->session, cis_buf_cstr(&path), uri);
    if (kept) {
        cis_mcp_result(call, json_object(), false, out);
    } else {
        cis_mcp_refuse(out, MCP_INTERNAL, "out of memory, or more than %u subscriptions",
                       MCP_WATCHES_MAX);
    }
}

void cis_mcp_unsubscribe(struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_str uri = cis_mcp_field(call->message.params, "uri");
    cis_mcp_watch_drop(call->mcp, call->session, uri); /* without a session there is none */
    cis_mcp_result(call, json_object(), false, out);
}
