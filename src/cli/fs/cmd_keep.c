/* `cis fs gc|fsck|quota`: keeping a tenant in bounds and whole. */
#include <inttypes.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "cli/fs/fs.h"
#include "history/maintain.h"
#include "store/calls.h"

static cis_code gc_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_retention keep = CIS_RETENTION_DEFAULT;
    struct cis_gc_counts c = {0};
    uint64_t age_ns = (uint64_t)keep.age_ms * CIS_NS_PER_MS;
    if (!cis_cli_number(cmd->cli, "keep-runs", &keep.runs) ||
        !cis_cli_duration(cmd->cli, "keep-age", &age_ns)) {
        return cis_fail(err, CIS_E_USAGE,
                        "--keep-runs takes a number, --keep-age a time such as 48h");
    }
    keep.age_ms = (int64_t)(age_ns / CIS_NS_PER_MS);
    keep.dry_run = cis_cli_has(cmd->cli, "dry-run");
    CIS_TRY(cis_history_gc(&cmd->h, &keep, &c, err));
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("branches", c.branches), CIS_J("rows", c.rows),
                                CIS_J("rows_kept", c.rows_kept), CIS_J("chunks", c.chunks),
                                CIS_J("bytes", c.bytes)));
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(4096);
    cis_buf_printf(&line, "%s %" PRIu64 " branches, %" PRIu64 " rows, %" PRIu64 " chunks (",
                   keep.dry_run ? "would remove" : "removed", c.branches, c.rows, c.chunks);
    cis_fs_size(&line, c.bytes);
    cis_buf_printf(&line, "); kept %" PRIu64 " rows\n", c.rows_kept);
    cis_fs_flush(&line);
    return CIS_OK;
}

static const struct cis_cli_option gc_options[] = {{"keep-runs", 0, "N", false, NULL},
                                                   {"keep-age", 0, "TIME", false, NULL},
                                                   {"dry-run", 0, NULL, false, NULL},
                                                   {0}};

const struct cis_cli_command cis_cmd_fs_gc = {
    .name = "fs gc", .options = gc_options, .fs = gc_verb};

/* ---- fsck ---- */
struct checking {
    bool json;
    struct cis_buf line;
    bool content; /* of a file is damaged or gone */
};

static bool tell_fault(void *self, const struct cis_fault *f)
{
    struct checking *c = self;
    if (c->json) {
        cis_cli_item(
            CIS_JSON(CIS_J("what", f->what), CIS_J("path", f->path), CIS_J("text", f->text)));
    } else {
        cis_buf_printf(&c->line, "%s ", f->what);
        if (f->path.len != 0) {
            cis_fs_name(&c->line, f->path);
            cis_buf_text(&c->line, ": ");
        }
        cis_cli_printable_line(&c->line, f->text);
        cis_buf_byte(&c->line, '\n');
    }
    c->content |= strcmp(f->what, "chunk") == 0;
    cis_fs_flush(&c->line);
    return true;
}

static cis_code fsck_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct checking c = {.json = cmd->cli->json, .line = CIS_BUF_INIT(16u << 20)};
    struct cis_fsck_counts n = {0};
    cis_cli_list(cmd->cli, "faults");
    cis_code code =
        cis_history_fsck(&cmd->h, cis_cli_has(cmd->cli, "data"), tell_fault, &c, &n, err);
    cis_buf_done(&c.line);
    CIS_TRY(code);
    if (c.json) {
        cis_cli_list_end(CIS_JSON(CIS_J("views", n.views), CIS_J("names", n.names),
                                  CIS_J("files", n.files), CIS_J("chunks", n.chunks)));
    } else {
        cis_cli_printf("%" PRIu64 " states, %" PRIu64 " names, %" PRIu64 " files, %" PRIu64
                       " chunks%s: %" PRIu64 " faults\n",
                       n.views, n.names, n.files, n.chunks,
                       cis_cli_has(cmd->cli, "data") ? " read" : "", n.faults);
        if (c.content) {
            cis_cli_printf("damaged content is repaired wherever it is used when the same content "
                           "is written again: cis fs put FILE PATH, with a good copy of FILE\n");
        }
    }
    return n.faults == 0 ? CIS_OK : cis_fail(err, CIS_E_DAMAGED, "%" PRIu64 " faults", n.faults);
}

static const struct cis_cli_option fsck_options[] = {{"data", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_fsck = {
    .name = "fs fsck", .options = fsck_options, .fs = fsck_verb};

/* ---- quota ---- */
static void quota_line(struct cis_buf *out, const char *what, uint64_t used, uint64_t most,
                       bool bytes)
{
    cis_buf_printf(out, "%-10s ", what);
    if (bytes) {
        cis_fs_size(out, used);
    } else {
        cis_buf_printf(out, "%" PRIu64, used);
    }
    cis_buf_text(out, " of ");
    if (most == 0) {
        cis_buf_text(out, "no limit");
    } else if (bytes) {
        cis_fs_size(out, most);
    } else {
        cis_buf_printf(out, "%" PRIu64, most);
    }
    cis_buf_byte(out, '\n');
}

static cis_code quota_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_tenant t;
    struct cis_fs_ref ref;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    CIS_TRY(cis_store_tenant_get(cmd->store, cmd->h.tenant, &t, &cmd->stop, err));
    CIS_TRY(
        cis_store_ref_get(cmd->store, cmd->h.tenant, cis_fs_branch(cmd), &ref, &cmd->stop, err));
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("files", ref.files), CIS_J("files_max", t.quota_files),
                                CIS_J("bytes", ref.bytes), CIS_J("bytes_max", t.quota_bytes),
                                CIS_J("stored", t.stored), CIS_J("stored_max", t.quota_stored),
                                CIS_J("snapshots", t.snapshots),
                                CIS_J("snapshots_max", t.quota_snapshots)));
    } else {
        quota_line(&out, "files", ref.files, t.quota_files, false);
        quota_line(&out, "bytes", ref.bytes, t.quota_bytes, true);
        quota_line(&out, "stored", t.stored, t.quota_stored, true);
        quota_line(&out, "snapshots", t.snapshots, t.quota_snapshots, false);
    }
    cis_wipe(t.key, sizeof t.key);
    cis_fs_flush(&out);
    return CIS_OK;
}

static const struct cis_cli_option quota_options[] = {{"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_quota = {
    .name = "fs quota", .options = quota_options, .fs = quota_verb};
