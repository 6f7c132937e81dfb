/* `cis fs unlock`: a lease is broken by name. */
#include "cli/fs/fs.h"

static cis_code unlock_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const struct cis_store_fs_ops *fs = cmd->store->fs;
    struct cis_str name = cis_str_of(cmd->cli->args[0]);
    struct cis_fs_ref ref;
    CIS_TRY(fs->ref_get(cmd->store, cmd->h.tenant, name, &ref, &cmd->stop, err));
    if (ref.fence != 0) {
        CIS_TRY(
            fs->lease(cmd->store, cmd->h.tenant,
                      &(struct cis_fs_lease_request){.ref = name, .holder = "", .fence = ref.fence},
                      NULL, &cmd->stop, err));
    }
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL("unlocked", ref.fence != 0)));
    } else if (ref.fence != 0) {
        cis_cli_printf("%s: was in use by %s\n", ref.name, ref.holder);
    } else {
        cis_cli_printf("%s: not in use\n", ref.name);
    }
    return CIS_OK;
}

static const struct cis_cli_option unlock_options[] = {{0}};

const struct cis_cli_command cis_cmd_fs_unlock = {.name = "fs unlock",
                                                  .options = unlock_options,
                                                  .min_args = 1,
                                                  .max_args = 1,
                                                  .fs = unlock_verb};
