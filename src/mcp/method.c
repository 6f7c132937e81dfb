/* Methods of the protocol, and its eras. A request that says its version in _meta is of 2026-07-28,
 * which knows no session; others belong to the session that initialize began. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/mem.h"

static const char *const legacy_versions[] = {"2025-11-25", "2025-06-18"};

static const char instructions[] =
    "Files of one folder with undo. Paths begin with / which is the folder's root. Each call that "
    "changes files is one run: its result names it (_meta \"cis/run\"), run_diff shows what it "
    "changed and run_undo takes it back.";

enum era { ERA_MODERN = 1, ERA_LEGACY = 2, ERA_BOTH = 3 };
typedef void method_run(struct mcp_call *call, struct mcp_reply *out);
struct method {
    const char *name;
    enum era eras;
    bool queued; /* it asks the store, or runs something */
    method_run *run;
};

static json_t *capabilities(void)
{
    return json_pack("{s:{s:b},s:{s:b,s:b},s:{s:b},s:{},s:{}}", "tools", "listChanged", 1,
                     "resources", "listChanged", 1, "subscribe", 1, "prompts", "listChanged", 1,
                     "completions", "logging");
}

const char *cis_mcp_legacy(struct cis_str version)
{
    for (size_t i = 0; i < sizeof legacy_versions / sizeof *legacy_versions; i++) {
        if (cis_str_is(version, legacy_versions[i])) {
            return legacy_versions[i];
        }
    }
    return NULL;
}

/* A form is what it is asked by; {} is a form, too. */
static bool can_ask(const json_t *capabilities)
{
    const json_t *elicitation = json_object_get(capabilities, "elicitation");
    return json_is_object(elicitation) && (json_object_get(elicitation, "url") == NULL ||
                                           json_object_get(elicitation, "form") != NULL);
}

static void take_capabilities(struct mcp_call *call, const json_t *capabilities)
{
    call->elicits = can_ask(capabilities);
    call->samples = json_is_object(json_object_get(capabilities, "sampling"));
    call->roots = json_is_object(json_object_get(capabilities, "roots"));
}

static void initialize(struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_mcp *m = call->mcp;
    struct cis_str asked = cis_mcp_field(call->message.params, "protocolVersion");
    if (asked.ptr == NULL) {
        cis_mcp_refuse(out, MCP_PARAMS, "initialize: protocolVersion is missing");
        return;
    }
    const char *agreed = cis_mcp_legacy(asked);
    agreed = agreed != NULL ? agreed : legacy_versions[0];
    take_capabilities(call, json_object_get(call->message.params, "capabilities"));
    if (call->exchange == NULL) {
        m->legacy = agreed;
        m->elicits = call->elicits;
        m->samples = call->samples;
        m->roots = call->roots;
    }
    out->result =
        json_pack("{s:s,s:o,s:o,s:s}", "protocolVersion", agreed, "capabilities", capabilities(),
                  "serverInfo", cis_mcp_server_info(m), "instructions", instructions);
}

static void discover(struct mcp_call *call, struct mcp_reply *out)
{
    json_t *result =
        json_pack("{s:[s,s,s],s:o,s:s}", "supportedVersions", MCP_MODERN, legacy_versions[0],
                  legacy_versions[1], "capabilities", capabilities(), "instructions", instructions);
    cis_mcp_result(call, result, true, out);
}

static void ping(struct mcp_call *call, struct mcp_reply *out)
{
    cis_mcp_result(call, json_object(), false, out);
}

static void tools_list(struct mcp_call *call, struct mcp_reply *out)
{
    cis_mcp_tools_list(call, out);
}

static void resources_list(struct mcp_call *call, struct mcp_reply *out)
{
    cis_mcp_resources_list(call, out);
}

static void resources_templates(struct mcp_call *call, struct mcp_reply *out)
{
    cis_mcp_resources_templates(call, out);
}

static void prompts_list(struct mcp_call *call, struct mcp_reply *out)
{
    cis_mcp_prompts_list(call, out);
}

static const struct method methods[] = {
    {"initialize", ERA_LEGACY, false, initialize},
    {"server/discover", ERA_MODERN, false, discover},
    {"ping", ERA_LEGACY, false, ping},
    {"tools/list", ERA_BOTH, false, tools_list},
    {"tools/call", ERA_BOTH, true, cis_mcp_tools_call},
    {"resources/list", ERA_BOTH, false, resources_list},
    {"resources/templates/list", ERA_BOTH, false, resources_templates},
    {"resources/read", ERA_BOTH, true, cis_mcp_resources_read},
    {"resources/subscribe", ERA_LEGACY, false, cis_mcp_subscribe},
    {"resources/unsubscribe", ERA_LEGACY, false, cis_mcp_unsubscribe},
    {"subscriptions/listen", ERA_MODERN, true, NULL}, /* it is no work */
    {"logging/setLevel", ERA_LEGACY, false, cis_mcp_log_set},
    {"prompts/list", ERA_BOTH, false, prompts_list},
    {"prompts/get", ERA_BOTH, true, cis_mcp_prompts_get},
    {"completion/complete", ERA_BOTH, true, cis_mcp_complete},
};

static const struct method *find(const char *name, enum era era)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].name, name) == 0 && (methods[i].eras & era) != 0) {
            return &methods[i];
        }
    }
    return NULL;
}

/* ---- which era ---- */

static void other_version(struct cis_str asked, struct mcp_reply *out)
{
    cis_mcp_refuse(out, MCP_VERSION, "protocol version %.40s: not one of this server's",
                   asked.ptr != NULL ? asked.ptr : "");
    out->data = json_pack("{s:[s,s,s],s:o}", "supported", MCP_MODERN, legacy_versions[0],
                          legacy_versions[1], "requested", cis_mcp_text(asked));
}

/* False: refused. */
static bool take_era(const struct cis_mcp *m, struct mcp_call *call, struct mcp_reply *out)
{
    const json_t *meta = json_object_get(call->message.params, "_meta");
    const json_t *version = json_object_get(meta, MCP_META "protocolVersion");
    const json_t *token = json_object_get(meta, "progressToken");
    const char *name = call->message.method;
    call->token = cis_mcp_id_good(token) ? token : NULL;
    call->modern = version != NULL;
    if (call->modern) {
        take_capabilities(call, json_object_get(meta, MCP_META "clientCapabilities"));
        call->log_rank = cis_mcp_log_rank(cis_mcp_field(meta, MCP_META "logLevel"));
    } else if (call->exchange == NULL) {
        call->elicits = m->elicits;
        call->samples = m->samples;
        call->roots = m->roots;
        call->log_rank = m->log_rank;
    } else {
        call->log_rank = MCP_LOG_INFO;
    }
    if (!call->modern) {
        bool first = strcmp(name, "initialize") == 0 || strcmp(name, "ping") == 0;
        const char *legacy = call->exchange != NULL ? call->legacy : m->legacy;
        if (legacy == NULL && !first) {
            cis_mcp_refuse(out, MCP_INVALID,
                           "no session: begin with initialize, or give " MCP_META
                           "protocolVersion in _meta");
        }
        return legacy != NULL || first;
    }
    struct cis_str asked = cis_mcp_field(meta, MCP_META "protocolVersion");
    if (!cis_str_is(asked, MCP_MODERN)) {
        other_version(asked, out);
        return false;
    }
    if (!json_is_object(json_object_get(meta, MCP_META "clientCapabilities"))) {
        cis_mcp_refuse(out, MCP_PARAMS, "_meta: " MCP_META "clientCapabilities is missing");
        return false;
    }
    return true;
}

static bool in_lane(const struct mcp_call *call)
{
    const struct mcp_lists *lists = call->lists;
    const json_t *params = call->message.params;
    if (strcmp(call->message.method, "prompts/get") == 0 ||
        (strcmp(call->message.method, "resources/read") == 0 &&
         cis_mcp_declared_runs(lists, cis_mcp_field(params, "uri")))) {
        return false;
    }
    if (strcmp(call->message.method, "tools/call") != 0) {
        return true; /* what reads files sees what the call before it wrote */
    }
    const struct mcp_tool *tool = cis_mcp_tool_find(lists, cis_mcp_field(params, "name"));
    return tool == NULL || tool->lane;
}

bool cis_mcp_method_now(struct cis_mcp *m, struct mcp_call *call, struct mcp_reply *out)
{
    if (!take_era(m, call, out)) {
        return true;
    }
    const struct method *method =
        find(call->message.method, call->modern ? ERA_MODERN : ERA_LEGACY);
    if (method == NULL) {
        cis_mcp_refuse(out, MCP_NO_METHOD, "%.80s: this server has no such method",
                       call->message.method);
        return true;
    }
    if (method->run == NULL) {
        return !cis_mcp_listen_begin(call, out);
    }
    bool text = method->run == cis_mcp_prompts_get &&
                !cis_mcp_prompt_runs(call->lists, cis_mcp_field(call->message.params, "name"));
    if (method->queued && !text) {
        call->lane = in_lane(call);
        return false;
    }
    method->run(call, out);
    return true;
}

void cis_mcp_method_run(struct mcp_call *call, struct mcp_reply *out)
{
    const struct method *method =
        find(call->message.method, call->modern ? ERA_MODERN : ERA_LEGACY);
    if (method != NULL) {
        method->run(call, out);
    }
}
