/* Completion of arguments: ids of runs, and paths of the served tree. */
#include "mcp/internal.h"

#include <fcntl.h>

#define COMPLETED_MAX 100u

struct completing {
    struct cis_str before, begin; /* what the value has before its last slash, and behind it */
    json_t *values;
    bool more;
};

static void add(struct completing *c, json_t *value)
{
    c->more = json_array_size(c->values) == COMPLETED_MAX;
    if (c->more) {
        json_decref(value);
    } else {
        json_array_append_new(c->values, value);
    }
}

static void complete_ids(struct mcp_call *call, struct cis_str value, struct completing *c)
{
    struct mcp_run run;
    for (size_t i = 0; !c->more && cis_mcp_run_nth(call->mcp, i, &run); i++) {
        if (cis_str_starts(cis_str_of(run.id), value)) {
            add(c, json_string(run.id));
        }
    }
}

static bool take_entry(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    struct completing *c = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(4 * CIS_VFS_PATH_MAX);
    (void)attr;
    if (!cis_str_starts(e->name, c->begin) || !cis_utf8_valid(e->name.ptr, e->name.len) ||
        cis_str_is(e->name, ".") || cis_str_is(e->name, "..") ||
        cis_str_is(e->name, CIS_CONTROL_NAME)) {
        return true;
    }
    cis_buf_str(&path, c->before);
    cis_mcp_resource_escape(e->name, &path);
    cis_buf_text(&path, S_ISDIR(e->type) ? "/" : "");
    if (path.failed == CIS_OK) {
        add(c, cis_mcp_text(cis_buf_view(&path)));
    }
    return !c->more;
}

/* A folder that cannot be looked into completes nothing. */
static void complete_paths(struct mcp_call *call, struct cis_str value, struct completing *c)
{
    CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf folder = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
    size_t cut = value.len;
    while (cut != 0 && value.ptr[cut - 1] != '/') {
        cut--;
    }
    c->before = (struct cis_str){value.ptr, cut};
    c->begin = (struct cis_str){value.ptr + cut, value.len - cut};
    struct cis_error ignored;
    struct cis_str above = {value.ptr, cut != 0 ? cut - 1 : 0}; /* without its slash */
    cis_code code = cis_mcp_resource_path(above, &folder, &ignored);
    if (code != CIS_OK || cis_mcp_tree_open(call, "completion", false, &t, &ignored) != CIS_OK) {
        return;
    }
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    int rc = cis_at_open(t.root, &t.vfs, cis_buf_view(&folder),
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY | O_DIRECTORY, 0}, &file,
                         &attr);
    if (rc == 0) {
        (void)cis_vfs_readdir(file, &t.vfs, 0, false, take_entry, c);
    }
    cis_vfs_file_close(file);
}

void cis_mcp_complete(struct mcp_call *call, struct mcp_reply *out)
{
    const json_t *argument = json_object_get(call->message.params, "argument");
    const json_t *ref = json_object_get(call->message.params, "ref");
    struct cis_str name = cis_mcp_field(argument, "name"), value = cis_mcp_field(argument, "value");
    if (name.ptr == NULL || value.ptr == NULL || !json_is_object(ref)) {
        cis_mcp_refuse(out, MCP_PARAMS, "completion/complete: ref and argument are missing");
        return;
    }
    struct completing c = {.values = json_array()};
    bool resource = !cis_str_is(cis_mcp_field(ref, "type"), "ref/prompt");
    if (resource && cis_str_is(name, "id")) {
        complete_ids(call, value, &c);
    } else if (resource && cis_str_is(name, "path") && !cis_str_starts(value, CIS_STR("/"))) {
        complete_paths(call, value, &c);
    }
    cis_mcp_result(
        call,
        json_pack("{s:{s:o,s:b}}", "completion", "values", c.values, "hasMore", c.more ? 1 : 0),
        false, out);
}
