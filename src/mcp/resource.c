/* Resources: files of the served tree, runs of this server and what they changed. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "history/text.h"

#define FILES "cis:///files/"
#define RUNS "cis:///runs/"
#define DIFF "/diff"
#define BYTES_MAX ((size_t)16 << 20) /* of a file as a resource */

/* ---- lists ---- */

void cis_mcp_resources_list(const struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_mcp *m = call->mcp;
    const struct mcp_declared_list *declared = &call->lists->resources;
    struct mcp_run run;
    size_t total = 0, from, to;
    while (total < CIS_MCP_RUNS_MAX && cis_mcp_run_nth(m, total, &run)) {
        total++;
    }
    total += declared->n;
    if (!cis_mcp_page(call->message.params, total, &from, &to, out)) {
        return;
    }
    json_t *list = json_array();
    size_t i = from;
    for (; i < to && i < declared->n; i++) {
        json_array_append(list, declared->at[i].item);
    }
    for (; i < to && cis_mcp_run_nth(m, i - declared->n, &run); i++) {
        json_array_append_new(
            list, json_pack("{s:o,s:o,s:s}", "uri", json_sprintf(RUNS "%s", run.id), "name",
                            cis_mcp_text_of(run.what), "mimeType", "application/json"));
    }
    json_t *result = json_pack("{s:o}", "resources", list);
    if (to < total) {
        json_object_set_new(result, "nextCursor", json_sprintf("%zu", to));
    }
    cis_mcp_result(call, result, true, out);
}

void cis_mcp_resources_templates(const struct mcp_call *call, struct mcp_reply *out)
{
    const struct mcp_declared_list *more = &call->lists->templates;
    size_t from, to;
    if (!cis_mcp_page(call->message.params, more->n, &from, &to, out)) {
        return;
    }
    json_t *list =
        from != 0 ? json_array()
                  : json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s}]", "uriTemplate",
                              FILES "{+path}", "name", "file", "description",
                              "A file of the folder", "uriTemplate", RUNS "{id}", "name", "run",
                              "description", "A run of this server", "mimeType", "application/json",
                              "uriTemplate", RUNS "{id}" DIFF, "name", "diff", "description",
                              "What a run of this server changed", "mimeType", "text/x-diff");
    for (size_t i = from; i < to; i++) {
        json_array_append(list, more->at[i].item);
    }
    json_t *result = json_pack("{s:o}", "resourceTemplates", list);
    if (to < more->n) {
        json_object_set_new(result, "nextCursor", json_sprintf("%zu", to));
    }
    cis_mcp_result(call, result, true, out);
}

/* ---- reading ---- */

void cis_mcp_base64(struct cis_bytes bytes, struct cis_buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = (uint32_t)bytes.ptr[i] << 16;
        v |= n > 1 ? (uint32_t)bytes.ptr[i + 1] << 8 : 0;
        v |= n > 2 ? bytes.ptr[i + 2] : 0;
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};
        four[3] = n < 3 ? '=' : four[3];
        four[2] = n < 2 ? '=' : four[2];
        cis_buf_add(out, four, sizeof four);
    }
}

static cis_code read_file(struct mcp_call *call, struct cis_str rest, struct cis_buf *out,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
    CIS_TRY(cis_mcp_resource_path(rest, &path, err));
    CIS_TRY(cis_mcp_tree_open(call, "resource", false, &t, err));
    return cis_mcp_tree_read(&t, cis_str_of(cis_buf_cstr(&path)), BYTES_MAX, out, err);
}

static void show_run(const struct mcp_run *run, struct cis_buf *out)
{
    char when[32];
    cis_clock_iso(run->time_ms, when);
    json_t *all = json_pack("{s:s,s:s,s:s,s:b,s:b,s:o}", "run", run->id, "time", when, "status",
                            run->status, "changed", run->commit.branch != 0 ? 1 : 0, "undone",
                            run->undone ? 1 : 0, "what", cis_mcp_text_of(run->what));
    cis_mcp_dump(all, out);
    json_decref(all);
}

static cis_code read_any(struct mcp_call *call, struct cis_str uri, struct cis_buf *out,
                         const char **out_type, struct cis_error *err)
{
    struct mcp_run run;
    if (cis_str_starts(uri, CIS_STR(FILES))) {
        struct cis_str rest = {uri.ptr + strlen(FILES), uri.len - strlen(FILES)};
        return read_file(call, rest, out, err);
    }
    if (!cis_str_starts(uri, CIS_STR(RUNS))) {
        return cis_fail(err, CIS_E_NOTFOUND, "%.100s: this server has no such resource", uri.ptr);
    }
    struct cis_str id = {uri.ptr + strlen(RUNS), uri.len - strlen(RUNS)};
    bool diff =
        id.len > strlen(DIFF) && memcmp(id.ptr + id.len - strlen(DIFF), DIFF, strlen(DIFF)) == 0;
    id.len -= diff ? strlen(DIFF) : 0;
    CIS_TRY(cis_mcp_run_find(call->mcp, id, &run, err));
    *out_type = diff ? "text/x-diff" : "application/json";
    if (!diff) {
        show_run(&run, out);
        return cis_buf_check(out, "run", err);
    }
    return cis_mcp_run_show(call, &run, out, err);
}

static json_t *contents(struct cis_str uri, const struct cis_buf *bytes, const char *type)
{
    bool text = cis_text_is(cis_buf_bytes(bytes));
    CIS_CLEANUP(cis_buf_done) struct cis_buf blob = CIS_BUF_INIT(2 * BYTES_MAX);
    if (!text) {
        cis_mcp_base64(cis_buf_bytes(bytes), &blob);
    }
    json_t *one = json_pack("{s:o,s:o,s:s}", "uri", cis_mcp_text(uri), text ? "text" : "blob",
                            cis_mcp_text(cis_buf_view(text ? bytes : &blob)), "mimeType",
                            type != NULL ? type
                            : text       ? "text/plain"
                                         : "application/octet-stream");
    return json_pack("{s:[o]}", "contents", one);
}

/* What a skill declares: a file of it, or what its method gives for the values in the uri. */
static void read_declared(struct mcp_call *call, const struct mcp_declared *d, struct cis_str uri,
                          json_t *values, struct mcp_reply *out)
{
    struct mcp_result r = {.text = CIS_BUF_INIT(BYTES_MAX)};
    if (d->tool.method == NULL) {
        cis_mcp_result(call, contents(uri, &d->bytes, d->mime_type), true, out);
        return;
    }
    json_object_set_new(values, "uri", cis_mcp_text(uri));
    if (cis_mcp_tool_give(call, &d->tool, values, &r, out)) {
        json_t *result = contents(uri, &r.text, d->mime_type);
        json_object_set_new(result, "_meta", cis_mcp_run_meta(&r));
        cis_mcp_result(call, result, true, out);
    }
    cis_mcp_result_done(&r);
}

void cis_mcp_resources_read(struct mcp_call *call, struct mcp_reply *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(BYTES_MAX + 65536);
    struct cis_str uri = cis_mcp_field(call->message.params, "uri");
    const char *type = NULL;
    struct cis_error err = {0};
    if (uri.ptr == NULL) {
        cis_mcp_refuse(out, MCP_PARAMS, "resources/read: uri is missing");
        return;
    }
    json_t *values = json_object();
    const struct mcp_declared *declared = cis_mcp_declared_find(call->lists, uri, values);
    if (declared != NULL) {
        read_declared(call, declared, uri, values, out);
        json_decref(values);
        return;
    }
    json_decref(values);
    cis_code code = read_any(call, uri, &bytes, &type, &err);
    if (code == CIS_OK) {
        cis_mcp_result(call, contents(uri, &bytes, type), true, out);
        return;
    }
    bool missing = code == CIS_E_NOTFOUND || code == CIS_E_DENIED || code == CIS_E_USAGE;
    cis_mcp_refuse(out,
                   !missing       ? MCP_INTERNAL
                   : call->modern ? MCP_PARAMS
                                  : MCP_NO_RESOURCE,
                   "%s", err.msg);
    out->data = json_pack("{s:o}", "uri", cis_mcp_text(uri));
}
