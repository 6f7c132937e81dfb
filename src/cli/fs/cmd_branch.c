/* `cis fs fork|branches|switch|drop|rollback|snapshot|snapshots`: states by name. */
#include <inttypes.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "cli/fs/fs.h"
#include "store/calls.h"

/* The first positional argument, or "" (the current branch). */
static struct cis_str arg(const struct cis_fs_cmd *cmd, int i)
{
    return i < cmd->cli->nargs ? cis_str_of(cmd->cli->args[i]) : CIS_STR("");
}

/* --from REV, --branch or the current head. */
static cis_code base_of(struct cis_fs_cmd *cmd, struct cis_rev *out, struct cis_error *err)
{
    const char *from = cis_cli_value(cmd->cli, "from");
    return cis_history_resolve(&cmd->h, from != NULL ? cis_str_of(from) : cis_fs_branch(cmd), out,
                               err);
}

static cis_code check_name(struct cis_str name, const char *what, struct cis_error *err)
{
    return cis_fs_ref_valid(name) ? CIS_OK
                                  : cis_fail(err, CIS_E_USAGE,
                                             "%.*s: not a valid name for a %s: use letters, digits "
                                             "and ._@/-, at most %u bytes",
                                             CIS_STR_ARG(name), what, CIS_FS_REF_MAX);
}

static void told_view(struct cis_fs_cmd *cmd, struct cis_view v)
{
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("branch", v.branch), CIS_J("epoch", v.epoch)));
    }
}

/* ---- fork ---- */
static cis_code fork_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_rev from;
    uint64_t count = 0;
    if (!cis_cli_number(cmd->cli, "count", &count) || count > 100000 ||
        (count != 0 && cmd->cli->nargs != 1)) {
        return cis_fail(
            err, CIS_E_USAGE,
            "--count must be 1 to 100000 and needs one NAME, with which the new names begin");
    }
    size_t n = count != 0 ? (size_t)count : (size_t)cmd->cli->nargs;
    CIS_CLEANUP(cis_freep) struct cis_str *names = cis_calloc(n, sizeof *names);
    CIS_CLEANUP(cis_freep)
    char(*text)[CIS_FS_REF_MAX + 32] = cis_calloc(n, sizeof *text);
    if (names == NULL || text == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        if (count != 0) {
            snprintf(text[i], sizeof text[i], "%.*s-%zu", (int)CIS_FS_REF_MAX, cmd->cli->args[0],
                     i + 1);
        }
        names[i] = cis_str_of(count != 0 ? text[i] : cmd->cli->args[i]);
        CIS_TRY(check_name(names[i], "branch", err));
        CIS_TRY(cis_fs_ref_check_free(names[i], err));
    }
    CIS_TRY(base_of(cmd, &from, err));
    CIS_TRY(cis_store_fork(cmd->store, cmd->h.tenant, from.view, names, n, &cmd->stop, err));
    if (cis_cli_has(cmd->cli, "switch")) {
        CIS_TRY(cis_store_ref_switch(cmd->store, cmd->h.tenant, names[0], &cmd->stop, err));
    }
    told_view(cmd, from.view);
    return CIS_OK;
}

static const struct cis_cli_option fork_options[] = {{"from", 0, "REV", false, NULL},
                                                     {"count", 0, "N", false, NULL},
                                                     {"switch", 0, NULL, false, NULL},
                                                     {"branch", 0, "NAME", false, NULL},
                                                     {0}};

const struct cis_cli_command cis_cmd_fs_fork = {
    .name = "fs fork", .options = fork_options, .min_args = 1, .max_args = -1, .fs = fork_verb};

/* ---- branches ---- */
struct listing {
    const struct cis_cli *cli;
    struct cis_buf line;
};

static bool list_ref(void *self, const struct cis_fs_ref *r)
{
    struct listing *l = self;
    char when[32];
    cis_clock_iso(r->created_ms, when);
    if (l->cli->json) {
        cis_cli_item(CIS_JSON(CIS_J("name", r->name), CIS_J("current", r->current),
                              CIS_J("branch", r->head.branch), CIS_J("epoch", r->head.epoch),
                              CIS_J("files", r->files), CIS_J("bytes", r->bytes),
                              CIS_J("parent", r->parent), CIS_J("fork_epoch", r->fork_epoch),
                              CIS_J("created", when), CIS_J("holder", r->holder)));
    } else {
        cis_buf_printf(&l->line, "%c %-24s @%-6" PRIu64 " %8" PRIu64 " files ",
                       r->current ? '*' : ' ', r->name, r->head.epoch, r->files);
        cis_fs_size(&l->line, r->bytes);
        if (r->holder[0] != 0) {
            cis_buf_text(&l->line, "  mounted: ");
            cis_cli_printable_line(&l->line, cis_str_of(r->holder));
        }
        cis_buf_byte(&l->line, '\n');
    }
    cis_fs_flush(&l->line);
    return true;
}

static cis_code branches_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct listing l = {.cli = cmd->cli, .line = CIS_BUF_INIT(1u << 20)};
    cis_cli_list(l.cli, "branches");
    cis_code code = cis_store_ref_list(cmd->store, cmd->h.tenant, list_ref, &l, &cmd->stop, err);
    cis_buf_done(&l.line);
    CIS_TRY(code);
    cis_cli_list_end(NULL);
    return CIS_OK;
}

const struct cis_cli_command cis_cmd_fs_branches = {.name = "fs branches", .fs = branches_verb};

/* ---- switch, drop ---- */
static cis_code switch_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_str name = arg(cmd, 0);
    CIS_TRY(check_name(name, "branch", err));
    CIS_TRY(cis_fs_ref_check_writer(name, CIS_STR("switch"), err));
    if (cis_cli_has(cmd->cli, "create")) {
        struct cis_rev from;
        CIS_TRY(cis_fs_ref_check_free(name, err));
        CIS_TRY(base_of(cmd, &from, err));
        CIS_TRY(cis_store_fork(cmd->store, cmd->h.tenant, from.view, &name, 1, &cmd->stop, err));
    }
    CIS_TRY(cis_store_ref_switch(cmd->store, cmd->h.tenant, name, &cmd->stop, err));
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL("switched", true)));
    }
    return CIS_OK;
}

static const struct cis_cli_option switch_options[] = {{"create", 'c', NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_switch = {.name = "fs switch",
                                                  .options = switch_options,
                                                  .min_args = 1,
                                                  .max_args = 1,
                                                  .fs = switch_verb};

static cis_code drop_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    for (int i = 0; i < cmd->cli->nargs; i++) {
        struct cis_str name = arg(cmd, i);
        CIS_TRY(check_name(name, cis_cli_has(cmd->cli, "snapshot") ? "snapshot" : "branch", err));
        CIS_TRY(cis_cli_has(cmd->cli, "snapshot")
                    ? cis_store_snapshot_remove(cmd->store, cmd->h.tenant, name, &cmd->stop, err)
                    : cis_store_ref_remove(cmd->store, cmd->h.tenant, name, cis_str_of(cmd->note),
                                           &cmd->stop, err));
    }
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_INT("dropped", cmd->cli->nargs)));
    }
    return CIS_OK;
}

static const struct cis_cli_option drop_options[] = {{"snapshot", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_drop = {
    .name = "fs drop", .options = drop_options, .min_args = 1, .max_args = -1, .fs = drop_verb};

/* ---- rollback ---- */
static cis_code rollback_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_rev to;
    struct cis_view head;
    CIS_TRY(cis_history_resolve(&cmd->h, arg(cmd, 0), &to, err));
    CIS_TRY(cis_history_rollback(&cmd->h, cis_fs_branch(cmd), to.view, cis_str_of(cmd->note), &head,
                                 err));
    told_view(cmd, head);
    return CIS_OK;
}

static const struct cis_cli_option rollback_options[] = {{"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_rollback = {.name = "fs rollback",
                                                    .options = rollback_options,
                                                    .min_args = 1,
                                                    .max_args = 1,
                                                    .fs = rollback_verb};

/* ---- snapshots ---- */
static cis_code snapshot_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_fs_snapshot s = {.created_ms = 0};
    struct cis_rev of;
    const char *note = cis_cli_value(cmd->cli, "note");
    s.note = cis_str_of(note != NULL ? note : "");
    if (s.note.len > CIS_FS_NOTE_MAX) {
        return cis_fail(err, CIS_E_USAGE, "--note: at most %u bytes", CIS_FS_NOTE_MAX);
    }
    cis_id_new(s.id);
    if (cmd->cli->nargs != 0) {
        CIS_TRY(check_name(arg(cmd, 0), "snapshot", err));
        snprintf(s.name, sizeof s.name, "%s", cmd->cli->args[0]);
    } else {
        snprintf(s.name, sizeof s.name, "%s", s.id);
    }
    CIS_TRY(base_of(cmd, &of, err));
    s.view = of.view;
    CIS_TRY(cis_store_snapshot_put(cmd->store, cmd->h.tenant, &s, &cmd->stop, err));
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("name", s.name), CIS_J("id", s.id),
                                CIS_J("branch", s.view.branch), CIS_J("epoch", s.view.epoch)));
    } else {
        cis_cli_printf("%s\n", s.name);
    }
    return CIS_OK;
}

static const struct cis_cli_option snapshot_options[] = {{"note", 0, "TEXT", false, NULL},
                                                         {"from", 0, "REV", false, NULL},
                                                         {"branch", 0, "NAME", false, NULL},
                                                         {0}};

const struct cis_cli_command cis_cmd_fs_snapshot = {
    .name = "fs snapshot", .options = snapshot_options, .max_args = 1, .fs = snapshot_verb};

static bool list_snapshot(void *self, const struct cis_fs_snapshot *s)
{
    struct listing *l = self;
    char when[32];
    cis_clock_iso(s->created_ms, when);
    if (l->cli->json) {
        cis_cli_item(CIS_JSON(CIS_J("name", s->name), CIS_J("id", s->id),
                              CIS_J("branch", s->view.branch), CIS_J("epoch", s->view.epoch),
                              CIS_J("files", s->files), CIS_J("bytes", s->bytes),
                              CIS_J("created", when), CIS_J("note", s->note)));
    } else {
        cis_buf_printf(&l->line, "%-26s %s %8" PRIu64 " files ", s->name, when, s->files);
        cis_fs_size(&l->line, s->bytes);
        if (s->note.len != 0) {
            cis_buf_text(&l->line, "  ");
            cis_cli_printable_line(&l->line, s->note);
        }
        cis_buf_byte(&l->line, '\n');
    }
    cis_fs_flush(&l->line);
    return true;
}

static cis_code snapshots_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct listing l = {.cli = cmd->cli, .line = CIS_BUF_INIT(1u << 20)};
    cis_cli_list(l.cli, "snapshots");
    cis_code code = cis_store_snapshots(cmd->store, cmd->h.tenant, CIS_STR(""), list_snapshot, &l,
                                        &cmd->stop, err);
    cis_buf_done(&l.line);
    CIS_TRY(code);
    cis_cli_list_end(NULL);
    return CIS_OK;
}

const struct cis_cli_command cis_cmd_fs_snapshots = {.name = "fs snapshots", .fs = snapshots_verb};
