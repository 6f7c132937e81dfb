/* Undo and redo in the branch of a folder: each file that the run changed becomes what it was, if
 * it is still what the run made of it. It is a run itself. */
#include "mcp/internal.h"

#include <errno.h>
#include <stdio.h>
#include "base/mem.h"

#define BYTES_MAX ((size_t)64 << 20) /* of one file */

struct turning {
    struct mcp_tree tree;
    struct mcp_side was, is; /* what it becomes, what it has to be now */
    struct cis_buf target, expected, now;
};

static void turning_done(struct turning *t)
{
    cis_mcp_tree_close(&t->tree);
    cis_mcp_side_close(&t->was);
    cis_mcp_side_close(&t->is);
    cis_buf_done(&t->target);
    cis_buf_done(&t->expected);
    cis_buf_done(&t->now);
}

static cis_code look_now(struct turning *t, struct cis_str path, enum mcp_there *out,
                         struct cis_error *err)
{
    struct cis_vfs_attr attr;
    int rc =
        cis_at_stat(t->tree.root, &t->tree.vfs, path, CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW, &attr);
    if (rc == ENOENT || rc == ENOTDIR) {
        *out = MCP_ABSENT;
        return CIS_OK;
    }
    if (rc != 0) {
        return cis_mcp_tree_fail(&t->tree, rc, path, err);
    }
    *out = S_ISREG(attr.mode) ? MCP_FILE : MCP_OTHER;
    return S_ISREG(attr.mode) ? cis_mcp_tree_read(&t->tree, path, BYTES_MAX, &t->now, err) : CIS_OK;
}

static cis_code turn_file(struct turning *t, struct cis_str path, enum mcp_there target,
                          struct cis_error *err)
{
    if (target == MCP_FILE) {
        return cis_mcp_tree_put(&t->tree, path, cis_buf_view(&t->target), err);
    }
    int rc = cis_at_unlink(t->tree.root, &t->tree.vfs, path, CIS_WALK_CHROOT);
    if (rc != 0) {
        return cis_mcp_tree_fail(&t->tree, rc, path, err);
    }
    cis_mcp_tree_changed(&t->tree, 'D', path, 0);
    return CIS_OK;
}

/* Folders that the run made go in a second round, if nothing else is in them. */
static cis_code turn_path(struct turning *t, struct cis_str path, bool folders,
                          struct cis_error *err)
{
    enum mcp_there target, expected, now = MCP_ABSENT;
    cis_buf_reset(&t->target);
    cis_buf_reset(&t->expected);
    cis_buf_reset(&t->now);
    CIS_TRY(cis_mcp_side_read(&t->was, path.ptr, &t->target, &target, err));
    CIS_TRY(cis_mcp_side_read(&t->is, path.ptr, &t->expected, &expected, err));
    if (target == MCP_UNREAD || expected == MCP_UNREAD) {
        return cis_fail(err, CIS_E_LIMIT,
                        "%.100s: longer than %zu bytes, or not to be read; nothing was done: the "
                        "user takes it back (cis runs undo)",
                        path.ptr, BYTES_MAX);
    }
    if (folders || target == MCP_OTHER || expected == MCP_OTHER) {
        if (folders && target == MCP_ABSENT && expected == MCP_OTHER &&
            cis_at_rmdir(t->tree.root, &t->tree.vfs, path, CIS_WALK_CHROOT) == 0) {
            cis_mcp_tree_changed(&t->tree, 'D', path, 0);
        }
        return CIS_OK;
    }
    CIS_TRY(look_now(t, path, &now, err));
    bool same = now == expected &&
                (now != MCP_FILE || cis_str_eq(cis_buf_view(&t->now), cis_buf_view(&t->expected)));
    if (!same) {
        return cis_fail(err, CIS_E_CONFLICT, "%.120s: was changed since; nothing was done",
                        path.ptr);
    }
    return target == MCP_ABSENT && expected == MCP_ABSENT ? CIS_OK
                                                          : turn_file(t, path, target, err);
}

static cis_code turn_all(struct turning *t, const json_t *changes, struct cis_error *err)
{
    size_t n = json_array_size(changes);
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(turn_path(t, cis_mcp_field(json_array_get(changes, i), "path"), false, err));
    }
    for (size_t i = n; i-- > 0;) {
        CIS_TRY(turn_path(t, cis_mcp_field(json_array_get(changes, i), "path"), true, err));
    }
    return CIS_OK;
}

static cis_code turn(struct turning *t, struct mcp_call *call, struct cis_view from,
                     struct cis_error *err)
{
    struct cis_view before = {from.branch, from.epoch - 1};
    json_t *changes = json_array();
    size_t omitted = 0;
    cis_code code = cis_mcp_diff(call, before, from, NULL, changes, &omitted, err);
    if (code == CIS_OK && omitted != 0) {
        code = cis_fail(err, CIS_E_LIMIT,
                        "more than %zu names are changed; nothing was done: the user takes it back "
                        "(cis runs undo)",
                        json_array_size(changes));
    }
    code = code == CIS_OK ? cis_mcp_side_open(call, before, &t->was, err) : code;
    code = code == CIS_OK ? cis_mcp_side_open(call, from, &t->is, err) : code;
    code = code == CIS_OK ? turn_all(t, changes, err) : code;
    json_decref(changes);
    return code;
}

cis_code cis_mcp_turn_cow(struct mcp_call *call, const struct mcp_tool *tool, struct mcp_run *run,
                          struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(turning_done)
    struct turning t = {.target = CIS_BUF_INIT(BYTES_MAX + 65536),
                        .expected = CIS_BUF_INIT(BYTES_MAX + 65536),
                        .now = CIS_BUF_INIT(BYTES_MAX + 65536)};
    struct cis_view from = run->turned.branch != 0 ? run->turned : run->commit;
    struct mcp_run mine;
    if (run->skill) {
        return cis_fail(
            err, CIS_E_UNSUPPORTED,
            "run %s: a skill made it on a folder; only the user can undo it (cis runs undo)",
            run->id);
    }
    CIS_TRY(cis_mcp_tree_open(call, tool->name, true, &t.tree, err));
    snprintf(t.tree.what, sizeof t.tree.what, "%s %s", tool->name, run->id);
    CIS_TRY(cis_mcp_tree_end(&t.tree, turn(&t, call, from, err), out, err));
    CIS_TRY(cis_mcp_run_find(call->mcp, cis_str_of(t.tree.id), &mine, err));
    run->turned = mine.commit.branch != 0 ? mine.commit : run->turned;
    memcpy(out->run, run->id, sizeof out->run);
    return CIS_OK;
}
