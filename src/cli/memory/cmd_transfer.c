/* `cis memory export|import`: namespaces as JSON lines. */
#include "cli/memory/memory_names.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"
#include "service/memory/memory.h"

/* ---- export: to stdout, or to a temporary file that takes the name when it is whole ---- */

struct target {
    struct cis_file_beside file;
    bool to_file; /* or to stdout */
    int sys;
};

static void target_done(struct target *t)
{
    cis_file_beside_drop(&t->file);
}

static cis_code target_write(void *self, const void *data, size_t len)
{
    struct target *t = self;
    if (!t->to_file) {
        cis_cli_out(data, len);
        return CIS_OK; /* a full stdout is told at the end of main */
    }
    t->sys = cis_fd_write_all(t->file.fd, data, len);
    return cis_code_of_errno(t->sys);
}

static cis_code export_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    const char *path = cis_cli_value(cmd->cli, "output");
    CIS_CLEANUP(target_done)
    struct target t = {.file = CIS_FILE_BESIDE_INIT, .to_file = path != NULL};
    struct cis_str ns;
    CIS_TRY(cis_memory_cmd_ns(cmd, &ns, err));
    if (path != NULL) { /* memory is private */
        CIS_TRY(cis_file_beside_open(path, 0600, &t.file, err));
    }
    struct cis_sink sink = {&t, target_write};
    cis_code code = cis_memory_export(cmd->store, cmd->tenant, ns, &sink, &cmd->stop, err);
    if (t.sys != 0) {
        return cis_fail_sys(err, CIS_E_IO, t.sys, "%s", path);
    }
    return code == CIS_OK && path != NULL ? cis_file_beside_done(&t.file, err) : code;
}

static cis_code import_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    const struct cis_config *config = cis_app_config(cmd->app);
    const char *path = cmd->cli->args[0];
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_MEMORY_IMPORT_MAX);
    CIS_TRY(cis_cli_read(strcmp(path, "-") == 0 ? NULL : path, &text, err));
    struct cis_str ns;
    CIS_TRY(cis_memory_cmd_ns(cmd, &ns, err));
    struct cis_store_memory memory;
    cis_store_memory_init(&memory, cmd->store, config->memory_quota_bytes,
                          config->memory_quota_keys);
    uint64_t n = 0;
    cis_code code =
        cis_memory_import(&memory, cmd->tenant, ns, cis_buf_view(&text), &n, &cmd->stop, err);
    if (code == CIS_E_INVALID) {
        return cis_error_prefix(err, code, "%s", path);
    }
    if (code == CIS_OK) {
        if (cmd->cli->json) {
            cis_cli_object(CIS_JSON(CIS_J("imported", n)));
        } else {
            cis_cli_printf("%" PRIu64 " entries imported\n", n);
        }
    }
    return code;
}

static const struct cis_cli_option export_options[] = {
    {"skill", 0, "NAME", false, NULL}, {"output", 'o', "FILE", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_memory_export = {
    .name = "memory export", .options = export_options, .memory = export_verb};

static const struct cis_cli_option import_options[] = {{"skill", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_memory_import = {.name = "memory import",
                                                      .options = import_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .memory = import_verb};
