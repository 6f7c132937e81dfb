/* What a method answers with: its result with what the protocol adds to it, and pages of lists. */
#include "mcp/internal.h"

json_t *cis_mcp_server_info(const struct cis_mcp *m)
{
    return json_pack("{s:s,s:s,s:s}", "name", "cis", "title", "cis: folders with undo", "version",
                     m->o.version);
}

void cis_mcp_result(const struct mcp_call *call, json_t *result, bool cacheable,
                    struct mcp_reply *out)
{
    if (result != NULL && call->modern) {
        json_t *meta = json_object_get(result, "_meta");
        if (meta == NULL) {
            meta = json_object();
            json_object_set_new(result, "_meta", meta);
        }
        json_object_set_new(meta, MCP_META "serverInfo", cis_mcp_server_info(call->mcp));
        json_object_set_new(result, "resultType", json_string("complete"));
        if (cacheable) { /* what is listed and read may change with the next call */
            json_object_set_new(result, "ttlMs", json_integer(0));
            json_object_set_new(result, "cacheScope", json_string("private"));
        }
    }
    out->result = result;
}

/* ---- pages ---- */

#define PAGE 100u

/* A cursor is the number of what comes next. */
bool cis_mcp_page(const json_t *params, size_t total, size_t *out_from, size_t *out_to,
                  struct mcp_reply *reply)
{
    const json_t *cursor = cis_mcp_member(params, "cursor");
    uint64_t from = 0;
    if (cursor != NULL && (!cis_str_u64(cis_mcp_field(params, "cursor"), &from) || from > total)) {
        cis_mcp_refuse(reply, MCP_PARAMS, "cursor: this server did not give it");
        return false;
    }
    *out_from = (size_t)from;
    *out_to = total - *out_from > PAGE ? *out_from + PAGE : total;
    return true;
}
