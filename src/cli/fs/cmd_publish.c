/* `cis fs publish|unpublish|published`: which tenants may read which branch. */
#include <inttypes.h>
#include "base/clock.h"
#include "base/mem.h"
#include "cli/fs/fs.h"

static cis_code check_tenant(const char *name, struct cis_error *err)
{
    return cis_tenant_valid(cis_str_of(name))
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE, "%.80s: not a valid name for a tenant", name);
}

/* --to as often as given, and what stands behind the branch: `--to one two three`. *out is for
 * cis_free, also after an error. */
static cis_code readers_of(const struct cis_cli *cli, struct cis_str **out, size_t *out_n,
                           struct cis_error *err)
{
    size_t n = 0, ntos = 0;
    while (cis_cli_nth(cli, "to", (int)ntos) != NULL) {
        ntos++;
    }
    if (ntos == 0 && cli->nargs > 1) {
        return cis_fail(err, CIS_E_USAGE, "%.80s: put --to before the names of tenants",
                        cli->args[1]);
    }
    struct cis_str *to = *out = cis_calloc(cis_size_add(ntos, (size_t)cli->nargs), sizeof *to);
    if (to == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    while (n < ntos) {
        to[n] = cis_str_of(cis_cli_nth(cli, "to", (int)n));
        n++;
    }
    for (int i = 1; i < cli->nargs; i++) {
        to[n++] = cis_str_of(cli->args[i]);
    }
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(check_tenant(to[i].ptr, err));
    }
    *out_n = n;
    return CIS_OK;
}

static cis_code change(struct cis_fs_cmd *cmd, bool publish, struct cis_error *err)
{
    const struct cis_cli *cli = cmd->cli;
    const struct cis_store_fs_ops *fs = cmd->store->fs;
    bool all = cis_cli_has(cli, "all");
    size_t n = 0;
    CIS_CLEANUP(cis_freep) struct cis_str *to = NULL;
    CIS_TRY(readers_of(cli, &to, &n, err));
    if ((n == 0) != all) {
        return cis_fail(err, CIS_E_USAGE,
                        publish ? "--to TENANT is missing" : "give either --to TENANT or --all");
    }
    struct cis_str branch = cis_str_of(cli->args[0]);
    CIS_TRY(publish
                ? fs->publish_put(cmd->store, cmd->h.tenant, branch, to, n, &cmd->stop, err)
                : fs->publish_remove(cmd->store, cmd->h.tenant, branch, to, n, &cmd->stop, err));
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL(publish ? "published" : "unpublished", true)));
    }
    return CIS_OK;
}

static cis_code publish_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return change(cmd, true, err);
}

static const struct cis_cli_option publish_options[] = {{"to", 0, "TENANT", true, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_publish = {.name = "fs publish",
                                                   .options = publish_options,
                                                   .min_args = 1,
                                                   .max_args = -1,
                                                   .fs = publish_verb};

/* ---- unpublish ---- */
static cis_code unpublish_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return change(cmd, false, err);
}

static const struct cis_cli_option unpublish_options[] = {
    {"to", 0, "TENANT", true, NULL}, {"all", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_unpublish = {.name = "fs unpublish",
                                                     .options = unpublish_options,
                                                     .min_args = 1,
                                                     .max_args = -1,
                                                     .fs = unpublish_verb};

/* ---- published ---- */
struct listing {
    struct cis_buf line;
    bool json, mine;
};

static bool list_row(void *self, const struct cis_fs_publish *row)
{
    struct listing *l = self;
    const char *who = l->mine ? row->to : row->tenant;
    char when[32];
    cis_clock_iso(row->since_ms, when);
    if (l->json) {
        cis_cli_item(CIS_JSON(CIS_J("branch", row->ref), CIS_J(l->mine ? "to" : "from", who),
                              CIS_J("since", when)));
    } else {
        cis_buf_printf(&l->line, "%s %-24s %s  %s\n", l->mine ? "to  " : "from", who, when,
                       row->ref);
    }
    cis_fs_flush(&l->line);
    return true;
}

static void listing_done(struct listing *l)
{
    cis_buf_done(&l->line);
}

static cis_code published_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const struct cis_store_fs_ops *fs = cmd->store->fs;
    CIS_CLEANUP(listing_done)
    struct listing l = {.line = CIS_BUF_INIT(1u << 20), .json = cmd->cli->json, .mine = true};
    cis_cli_list(cmd->cli, "by_me");
    CIS_TRY(fs->published_by(cmd->store, cmd->h.tenant, list_row, &l, &cmd->stop, err));
    l.mine = false;
    cis_cli_list_next("to_me");
    CIS_TRY(fs->published_to(cmd->store, cmd->h.tenant, list_row, &l, &cmd->stop, err));
    cis_cli_list_end(NULL);
    return CIS_OK;
}

const struct cis_cli_command cis_cmd_fs_published = {.name = "fs published", .fs = published_verb};
