/* Log lines of skills to the client that asked for them: notifications/message, by level. In the
 * revision of 2026 a request says which it wants, and else gets none; before it a session does. */
#include "mcp/internal.h"

static const char *const levels[] = {"debug", "info",     "notice", "warning",
                                     "error", "critical", "alert",  "emergency"};

int cis_mcp_log_rank(struct cis_str level)
{
    for (int i = 0; i < (int)(sizeof levels / sizeof *levels); i++) {
        if (cis_str_is(level, levels[i])) {
            return i;
        }
    }
    return MCP_LOG_NONE;
}

void cis_mcp_log_set(struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_str level = cis_mcp_field(call->message.params, "level");
    int rank = cis_mcp_log_rank(level);
    if (rank == MCP_LOG_NONE) {
        cis_mcp_refuse(out, MCP_PARAMS,
                       "level: must be debug, info, notice, warning, error, "
                       "critical, alert or emergency");
        return;
    }
    if (call->exchange == NULL) { /* others share this server: it is no session's to set */
        call->mcp->log_rank = rank;
    }
    cis_mcp_result(call, json_object(), false, out);
}

void cis_mcp_log_line(struct mcp_call *call, const char *skill, enum cis_log_level level,
                      struct cis_str text)
{
    static const int ranks[] = {0, 0, 1, 3, 4}; /* trace, debug, info, warn, error */
    unsigned n = (unsigned)level;
    int rank = n < sizeof ranks / sizeof *ranks ? ranks[n] : 1;
    if (call->log_rank == MCP_LOG_NONE || rank < call->log_rank) {
        return;
    }
    (void)cis_mcp_tell(call, json_pack("{s:s,s:s,s:{s:s,s:s,s:o}}", "jsonrpc", "2.0", "method",
                                       "notifications/message", "params", "level", levels[rank],
                                       "logger", skill, "data", cis_mcp_text(text)));
}
