/* `cis tenant create|list|show|delete|quota`. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "cli/fs/fs.h"
#include "store/calls.h"

static cis_code name_arg(struct cis_fs_cmd *cmd, struct cis_str *out, struct cis_error *err)
{
    *out = cmd->cli->nargs != 0 ? cis_str_of(cmd->cli->args[0]) : cmd->h.tenant;
    return cis_tenant_valid(*out)
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE,
                          "%.*s: not [a-z0-9][a-z0-9._-]* of at most %u characters",
                          CIS_STR_ARG(*out), CIS_TENANT_MAX);
}

/* What is not given stays as it is, also when somebody else sets it at this moment. */
static bool quota_options_read(const struct cis_cli *cli, struct cis_tenant *t)
{
    uint64_t *const limits[] = {&t->quota_files, &t->quota_bytes, &t->quota_stored,
                                &t->quota_snapshots};
    static const char *const names[] = {"files", "bytes", "stored", "snapshots"};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        *limits[i] = CIS_QUOTA_KEEP;
        bool number = i == 0 || i == 3;
        if (!(number ? cis_cli_number(cli, names[i], limits[i])
                     : cis_cli_size(cli, names[i], limits[i]))) {
            return false;
        }
        if (cis_cli_has(cli, names[i]) && *limits[i] >= INT64_MAX) {
            *limits[i] = INT64_MAX - 1;
        }
    }
    return true;
}

static bool quota_given(const struct cis_cli *cli)
{
    return cis_cli_has(cli, "files") || cis_cli_has(cli, "bytes") || cis_cli_has(cli, "stored") ||
           cis_cli_has(cli, "snapshots");
}

#define QUOTA_OPTIONS                                                                              \
    {"files", 0, "N", false, NULL}, {"bytes", 0, "SIZE", false, NULL},                             \
        {"stored", 0, "SIZE", false, NULL},                                                        \
    {                                                                                              \
        "snapshots", 0, "N", false, NULL                                                           \
    }

static void tenant_json(struct cis_buf *out, const struct cis_tenant *t)
{
    char when[32];
    cis_clock_iso(t->created_ms, when);
    cis_json_write(
        out, CIS_JSON(CIS_J("name", t->name), CIS_J("created", when), CIS_J("stored", t->stored),
                      CIS_J("snapshots", t->snapshots), CIS_J("files_max", t->quota_files),
                      CIS_J("bytes_max", t->quota_bytes), CIS_J("stored_max", t->quota_stored),
                      CIS_J("snapshots_max", t->quota_snapshots)));
}

static void limit(struct cis_buf *out, const char *name, uint64_t value, bool bytes)
{
    cis_buf_printf(out, "%s ", name);
    if (value == 0) {
        cis_buf_text(out, "no limit\n");
        return;
    }
    if (bytes) {
        cis_fs_size(out, value);
    } else {
        cis_buf_printf(out, "%" PRIu64, value);
    }
    cis_buf_byte(out, '\n');
}

static cis_code print_tenant(struct cis_fs_cmd *cmd, struct cis_str name, struct cis_error *err)
{
    struct cis_tenant t;
    char when[32];
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    CIS_TRY(cis_store_tenant_get(cmd->store, name, &t, &cmd->stop, err));
    cis_wipe(t.key, sizeof t.key);
    if (cmd->cli->json) {
        cis_json_write(&out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u)));
        tenant_json(&out, &t);
        cis_buf_text(&out, "}\n");
    } else {
        cis_clock_iso(t.created_ms, when);
        cis_buf_printf(&out, "tenant    %s\ncreated   %s\nstored    ", t.name, when);
        cis_fs_size(&out, t.stored);
        cis_buf_printf(&out, "\nsnapshots %" PRIu64 "\nlimits:\n", t.snapshots);
        limit(&out, "  files    ", t.quota_files, false);
        limit(&out, "  bytes    ", t.quota_bytes, true);
        limit(&out, "  stored   ", t.quota_stored, true);
        limit(&out, "  snapshots", t.quota_snapshots, false);
    }
    cis_fs_flush(&out);
    return CIS_OK;
}

/* ---- create ---- */
static cis_code create_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_str name;
    struct cis_tenant t = {.created_ms = 0};
    if (!quota_options_read(cmd->cli, &t)) {
        return cis_fail(err, CIS_E_USAGE, "a limit is neither a number nor a size such as 128MiB");
    }
    CIS_TRY(name_arg(cmd, &name, err));
    CIS_TRY(cis_store_tenant_create(cmd->store, name, getuid(), getgid(), &cmd->stop, err));
    if (quota_given(cmd->cli)) {
        CIS_TRY(cis_store_tenant_quota(cmd->store, name, &t, &cmd->stop, err));
    }
    return cmd->cli->json ? print_tenant(cmd, name, err) : CIS_OK;
}

static const struct cis_cli_option create_options[] = {QUOTA_OPTIONS, {0}};

const struct cis_cli_command cis_cmd_tenant_create = {.name = "tenant create",
                                                      .options = create_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .fs = create_verb};

/* ---- list, show ---- */
struct listing {
    bool json;
    struct cis_buf line;
};

static bool list_tenant(void *self, const struct cis_tenant *t)
{
    struct listing *l = self;
    char when[32];
    if (l->json) {
        cis_buf_byte(&l->line, '{');
        tenant_json(&l->line, t);
        cis_buf_byte(&l->line, '}');
    } else {
        cis_clock_iso(t->created_ms, when);
        cis_buf_printf(&l->line, "%-24s %s  stored ", t->name, when);
        cis_fs_size(&l->line, t->stored);
        cis_buf_byte(&l->line, '\n');
    }
    cis_fs_flush(&l->line);
    return true;
}

static cis_code list_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct listing l = {.json = cmd->cli->json, .line = CIS_BUF_INIT(65536)};
    cis_cli_list(cmd->cli, "tenants");
    cis_code code = cis_store_tenant_list(cmd->store, list_tenant, &l, &cmd->stop, err);
    cis_buf_done(&l.line);
    CIS_TRY(code);
    cis_cli_list_end(NULL);
    return CIS_OK;
}

const struct cis_cli_command cis_cmd_tenant_list = {.name = "tenant list", .fs = list_verb};

static cis_code show_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_str name;
    CIS_TRY(name_arg(cmd, &name, err));
    return print_tenant(cmd, name, err);
}

const struct cis_cli_command cis_cmd_tenant_show = {
    .name = "tenant show", .max_args = 1, .fs = show_verb};

/* ---- delete ---- */
static cis_code delete_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_str name;
    struct cis_tenant t;
    char question[256];
    CIS_TRY(name_arg(cmd, &name, err));
    CIS_TRY(cis_store_tenant_get(cmd->store, name, &t, &cmd->stop, err));
    cis_wipe(t.key, sizeof t.key);
    snprintf(question, sizeof question,
             "delete tenant %s with all its files, memory, runs and skills?", t.name);
    if (!cis_cli_has(cmd->cli, "yes") && !cis_cli_confirm(question)) {
        return cis_fail(err, CIS_E_DENIED, "tenant %s: not confirmed (give --yes)", t.name);
    }
    CIS_TRY(cis_store_tenant_delete(cmd->store, name, &cmd->stop, err));
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL("deleted", true)));
    }
    return CIS_OK;
}

static const struct cis_cli_option delete_options[] = {{"yes", 'y', NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_tenant_delete = {.name = "tenant delete",
                                                      .options = delete_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .fs = delete_verb};

/* ---- quota ---- */
static cis_code quota_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_str name;
    struct cis_tenant t = {.created_ms = 0};
    CIS_TRY(name_arg(cmd, &name, err));
    if (!quota_options_read(cmd->cli, &t)) {
        return cis_fail(err, CIS_E_USAGE, "a limit is neither a number nor a size such as 128MiB");
    }
    if (quota_given(cmd->cli)) {
        CIS_TRY(cis_store_tenant_quota(cmd->store, name, &t, &cmd->stop, err));
    }
    return print_tenant(cmd, name, err);
}

const struct cis_cli_command cis_cmd_tenant_quota = {
    .name = "tenant quota", .options = create_options, .max_args = 1, .fs = quota_verb};
