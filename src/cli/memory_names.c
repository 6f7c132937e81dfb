#include "cli/memory_names.h"

#include <string.h>

cis_code cis_memory_cmd_open(struct cis_cli *cli, struct cis_memory_cmd *out, struct cis_error *err)
{
    const char *skill = cis_cli_value(cli, "skill");
    out->cli = cli;
    if (skill != NULL) {
        size_t n = strlen(skill);
        if (n == 0 || n > CIS_STORE_NAME_MAX) {
            return cis_fail(err, CIS_E_USAGE, "--skill: a name has 1 to %u bytes",
                            CIS_STORE_NAME_MAX);
        }
        snprintf(out->own, sizeof out->own, "%s", skill);
        if (strchr(skill, ':') == NULL && n + strlen("file:") <= CIS_STORE_NAME_MAX) {
            snprintf(out->file, sizeof out->file, "file:%s", skill);
        }
    }
    CIS_TRY(cis_app_open(cli, &out->app, err));
    out->tenant = cis_str_of(cli->tenant);
    CIS_TRY(cis_app_store(out->app, &out->store, err));
    out->stop = cis_app_stop(out->app);
    return CIS_OK;
}

void cis_memory_cmd_done(struct cis_memory_cmd *cmd)
{
    cis_app_close(cmd->app);
}

static bool note_skill(void *self, const struct cis_skill_row *row)
{
    (void)row;
    *(bool *)self = true;
    return false;
}

static bool note_entry(void *self, const struct cis_kv_entry *entry)
{
    (void)entry;
    *(bool *)self = true;
    return false;
}

cis_code cis_memory_cmd_ns(struct cis_memory_cmd *cmd, struct cis_str *out, struct cis_error *err)
{
    if (cmd->own[0] == 0) {
        *out = (struct cis_str){NULL, 0};
        return CIS_OK;
    }
    const struct cis_store_ops *ops = cmd->store->ops;
    bool mine = cmd->file[0] == 0;
    if (!mine) {
        struct cis_error why;
        cis_code code = ops->skill_get(cmd->store, cmd->tenant, cis_str_of(cmd->own), note_skill,
                                       &mine, &cmd->stop, &why);
        if (code != CIS_OK && code != CIS_E_NOTFOUND) {
            if (err != NULL) {
                *err = why;
            }
            return code;
        }
    }
    if (!mine) {
        struct cis_kv_query query = {.ns = cis_str_of(cmd->own), .limit = 1};
        CIS_TRY(ops->kv_list(cmd->store, cmd->tenant, CIS_VIEW_HEAD, &query, note_entry, &mine,
                             &cmd->stop, err));
    }
    *out = cis_str_of(mine ? cmd->own : cmd->file);
    return CIS_OK;
}

cis_code cis_memory_cmd_find(struct cis_memory_cmd *cmd, struct cis_str key, cis_kv_each *each,
                             void *self, struct cis_str *out_ns, struct cis_error *err)
{
    const char *const names[] = {cmd->own, cmd->file};
    for (int i = 0; i < 2 && names[i][0] != 0; i++) {
        bool found = false;
        CIS_TRY(cmd->store->ops->kv_get(cmd->store, cmd->tenant, CIS_VIEW_HEAD,
                                        cis_str_of(names[i]), key, each, self, &found, &cmd->stop,
                                        err));
        if (found) {
            *out_ns = cis_str_of(names[i]);
            return CIS_OK;
        }
    }
    return cis_fail(err, CIS_E_NOTFOUND, "%s: no such key in the memory of %s", key.ptr, cmd->own);
}
