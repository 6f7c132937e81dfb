/* The served tree as one call sees it, and the run that a change is. */
#include "mcp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "run/report.h"
#include "store/calls.h"

/* ---- paths ---- */

cis_code cis_mcp_path_check(struct cis_str path, struct cis_error *err)
{
    struct cis_str rest = path, name;
    if (path.len == 0 || path.ptr[0] != '/') {
        return cis_fail(err, CIS_E_USAGE, "path: does not begin with / (the root of the folder)");
    }
    if (path.len >= CIS_VFS_PATH_MAX || memchr(path.ptr, 0, path.len) != NULL) {
        return cis_fail(err, CIS_E_USAGE, "path: longer than %u bytes, or with a zero byte",
                        CIS_VFS_PATH_MAX - 1);
    }
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &name);
        if (cis_str_is(name, "..") || cis_str_is(name, ".")) {
            return cis_fail(err, CIS_E_DENIED, "%.160s: must not contain \".\" or \"..\"",
                            path.ptr);
        }
        if (cis_str_is(name, CIS_CONTROL_NAME) || cis_str_starts(name, CIS_STR(CIS_VFS_KEPT))) {
            return cis_fail(err, CIS_E_DENIED, "%.160s: cis uses this name itself; programs cannot",
                            path.ptr);
        }
    }
    return CIS_OK;
}

cis_code cis_mcp_tree_fail(struct mcp_tree *t, int rc, struct cis_str path, struct cis_error *err)
{
    int len = path.len > 160 ? 160 : (int)path.len;
    if (cis_vfs_told(&t->why, rc)) {
        return cis_fail(err, t->why.code, "%.*s: %s", len, path.ptr, t->why.msg);
    }
    return cis_vfs_fail(err, rc, "%.*s", len, path.ptr);
}

/* ---- opening ---- */

cis_code cis_mcp_tree_open(struct mcp_call *call, const char *tool, bool write, struct mcp_tree *t,
                           struct cis_error *err)
{
    struct cis_mcp *m = call->mcp;
    struct cis_run_mount mount = {
        .guest_path = "/", .host = m->o.folder, .exact = true, .branch = m->branch};
    mount.mode = m->o.folder != NULL ? CIS_MOUNT_COW : CIS_MOUNT_RW;
    *t = (struct mcp_tree){.call = call,
                           .mcp = m,
                           .tool = tool,
                           .budget = {.limit = m->o.host_bytes},
                           .started_ms = cis_clock_wall_ms(),
                           .started_ns = cis_clock_mono_ns(),
                           .changes = json_array()};
    t->vfs = (struct cis_vfs_call){.uid = getuid(),
                                   .gid = getgid(),
                                   .umask = 022,
                                   .stop = &call->stop,
                                   .err = &t->why,
                                   .budget = &t->budget};
    cis_id_new(t->id);
    struct cis_run_files_options o = {.fs_cache = m->o.fs_cache,
                                      .store = cis_fs_cache_store(m->o.fs_cache),
                                      .tenant = m->o.tenant,
                                      .run_id = t->id,
                                      .note = tool,
                                      .mounts = &mount,
                                      .nmounts = 1,
                                      .read_only = !write,
                                      .budget = &t->budget,
                                      .stop = &call->stop};
    CIS_TRY(t->changes != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory"));
    CIS_TRY(cis_run_files_open(&o, &t->files, err));
    size_t n = 0;
    const struct cis_wasi_env_dir *dirs = cis_run_files_dirs(t->files, &n);
    t->root = n == 1 ? dirs[0].dir : NULL;
    return t->root != NULL ? CIS_OK : cis_fail(err, CIS_E_INTERNAL, "the tree has no root");
}

void cis_mcp_tree_close(struct mcp_tree *t)
{
    cis_run_files_close(t->files);
    json_decref(t->changes);
    t->files = NULL;
    t->changes = NULL;
}

cis_code cis_mcp_tree_read(struct mcp_tree *t, struct cis_str path, size_t most,
                           struct cis_buf *out, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    int rc = cis_at_open(t->root, &t->vfs, path,
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY, 0}, &file, &attr);
    if (rc == 0 && !S_ISREG(attr.mode)) {
        rc = S_ISDIR(attr.mode) ? EISDIR : EINVAL;
    }
    if (rc == 0 && attr.size > most) {
        cis_vfs_file_close(file);
        return cis_fail(err, CIS_E_LIMIT, "%.140s: has %" PRIu64 " bytes, at most %zu are read",
                        path.ptr, attr.size, most);
    }
    while (rc == 0) {
        size_t n = 0, want = (size_t)attr.size + 1 - out->len;
        uint8_t *at = out->len > most ? NULL : cis_buf_reserve(out, want);
        if (at == NULL) {
            break;
        }
        struct iovec v = {at, want};
        rc = cis_vfs_read(file, &t->vfs, &v, 1, out->len, &n);
        if (rc != 0 || n == 0) {
            break;
        }
        out->len += n;
        attr.size += n == want ? 65536 : 0; /* a folder's file that grows meanwhile */
        rc = cis_stop_check(&t->call->stop, "read", &t->why) == CIS_OK ? 0 : EINTR;
    }
    cis_vfs_file_close(file);
    if (rc != 0) {
        return cis_mcp_tree_fail(t, rc, path, err);
    }
    return cis_buf_check(out, path.ptr, err);
}

/* ---- the end of a run ---- */

void cis_mcp_tree_changed(struct mcp_tree *t, char what, struct cis_str path, uint64_t size)
{
    json_t *change = json_pack("{s:s%,s:o,s:I}", "what", &what, (size_t)1, "path",
                               cis_mcp_text(path), "size", (json_int_t)size);
    json_array_append_new(t->changes, change);
}

/* As many as the report of any run has. */
static void write_paths(const json_t *changes, struct cis_buf *out)
{
    size_t i, from = out->len, n = json_array_size(changes);
    cis_json_write(out, CIS_JSON(CIS_J_LIST("paths")));
    for (i = 0; i < n && i < CIS_REPORT_PATHS && out->len - from <= CIS_REPORT_PATHS_BYTES; i++) {
        cis_buf_text(out, i != 0 ? "," : "");
        cis_mcp_dump(json_array_get(changes, i), out);
    }
    cis_buf_byte(out, ']');
    cis_json_write(out, CIS_JSON(CIS_J_IF(i < n, CIS_J("omitted", n - i))));
}

static void write_report(const struct mcp_tree *t, struct cis_str skill, cis_code code,
                         const struct cis_error *why, int64_t ended_ms, bool committed,
                         struct cis_buf *out)
{
    const struct cis_mcp *m = t->mcp;
    char started[32], ended[32];
    cis_clock_iso(t->started_ms, started);
    cis_clock_iso(ended_ms, ended);
    size_t n = 0;
    const struct cis_run_mounted *mounted = cis_run_files_mounted(t->files, &n);
    cis_json_write(
        out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u), CIS_J("id", t->id),
                      CIS_J("skill", skill), CIS_J("tenant", m->o.tenant),
                      CIS_J("status", cis_run_status(code)), CIS_J("code", cis_code_name(code)),
                      CIS_J_INT("exit_code", cis_code_run_exit(code)),
                      CIS_J_IF(code != CIS_OK, CIS_J("message", why->msg)), CIS_J("entry", t->tool),
                      CIS_J("started", started), CIS_J("ended", ended),
                      CIS_J("wall_us", (cis_clock_mono_ns() - t->started_ns) / 1000),
                      CIS_J("time_limit_ms", (uint64_t)(m->o.time_ns / CIS_NS_PER_MS)),
                      CIS_J("host_bytes_peak", t->budget.peak)));
    cis_json_write(
        out, CIS_JSON(CIS_J_LIST("mounts"), CIS_J_OPEN(NULL),
                      CIS_J("kind", m->o.folder != NULL ? "cow" : "workspace"), CIS_J("guest", "/"),
                      CIS_J("branch", m->branch),
                      CIS_J_IF(n == 1 && mounted->host != NULL, CIS_J("host", mounted->host)),
                      CIS_J_BOOL("read_only", false),
                      CIS_J_IF(committed, CIS_J_BOOL("carries", true)), CIS_J_CLOSE, CIS_J_LIST_END,
                      CIS_J_OPEN("changes"), CIS_J("committed", committed), CIS_J_OPEN("files")));
    write_paths(committed ? t->changes : NULL, out);
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE, CIS_J_CLOSE, CIS_J_CLOSE));
}

static cis_code write_run(struct mcp_tree *t, cis_code how, const struct cis_error *why,
                          bool committed, struct cis_fs_committed *done, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf report = CIS_BUF_INIT((size_t)1 << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf skill = CIS_BUF_INIT(256);
    struct cis_str tenant = cis_str_of(t->mcp->o.tenant);
    int64_t ended_ms = cis_clock_wall_ms();
    cis_buf_printf(&skill, "mcp:%s", t->tool);
    write_report(t, cis_buf_view(&skill), how, why, ended_ms, committed, &report);
    CIS_TRY(cis_buf_check(&report, "report", err));
    struct cis_run_row row = {.skill = cis_buf_view(&skill),
                              .status = cis_str_of(cis_run_status(how)),
                              .exit_code = cis_code_run_exit(how),
                              .started_ms = t->started_ms,
                              .ended_ms = ended_ms,
                              .report = cis_buf_view(&report)};
    memcpy(row.id, t->id, sizeof row.id);
    struct cis_store_commit with = {.run = &row, .note = t->what, .out = done};
    if (committed) {
        return cis_run_files_commit(t->files, &with, &t->call->stop, err);
    }
    cis_store *store = cis_fs_cache_store(t->mcp->o.fs_cache);
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), CIS_STORE_LOCK_NS), NULL};
    with.note = NULL;
    with.out = NULL;
    return cis_store_commit(store, tenant, &with, &stop, err);
}

static void note_run(const struct mcp_tree *t, cis_code code, struct cis_view commit)
{
    struct mcp_run run = {.commit = commit, .time_ms = t->started_ms};
    memcpy(run.id, t->id, sizeof run.id);
    snprintf(run.status, sizeof run.status, "%s", cis_run_status(code));
    snprintf(run.what, sizeof run.what, "%s", t->what);
    cis_mcp_run_add(t->mcp, &run);
}

cis_code cis_mcp_tree_end(struct mcp_tree *t, cis_code code, struct mcp_result *out,
                          struct cis_error *err)
{
    struct cis_error why = {.code = code}, lost;
    struct cis_view commit = {0, 0};
    if (code != CIS_OK) {
        why = *err;
    } else if (cis_run_files_dirty(t->files)) {
        size_t n = 0;
        code = write_run(t, CIS_OK, &why, true, NULL, &why);
        const struct cis_run_mounted *mounted = cis_run_files_mounted(t->files, &n);
        commit = code == CIS_OK && n == 1 ? mounted->after : commit;
    } else {
        code = write_run(t, CIS_OK, &why, false, NULL, &why);
    }
    if (code != CIS_OK) {
        json_array_clear(t->changes);
        if (write_run(t, code, &why, false, NULL, &lost) != CIS_OK) {
            return cis_fail(err, code, "%s", why.msg); /* no record, so no run to name */
        }
    }
    note_run(t, code, commit);
    memcpy(out->run, t->id, sizeof out->run);
    out->changes = json_incref(t->changes);
    if (code == CIS_E_CONFLICT) {
        return cis_fail(err, code, "%.80s: run %s: %.100s; nothing was changed: read it again",
                        t->what, t->id, why.msg);
    }
    return code == CIS_OK ? CIS_OK : cis_fail(err, code, "%s", why.msg);
}
