/* `cis fs log|diff`: what happened. */
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "cli/fs/fs.h"
#include "history/text.h"
#include "store/calls.h"

/* ---- log ---- */
struct logging {
    bool json;
    struct cis_buf line;
};

static bool log_row(void *self, const struct cis_fs_commit_row *row)
{
    struct logging *l = self;
    char when[32];
    cis_clock_iso(row->time_ms, when);
    if (l->json) {
        cis_cli_item(CIS_JSON(CIS_J("branch", row->branch), CIS_J("epoch", row->epoch),
                              CIS_J("time", when), CIS_J("files", row->files),
                              CIS_J("bytes", row->bytes), CIS_J("run", row->run),
                              CIS_J("kind", row->kind), CIS_J("note", row->note)));
    } else {
        cis_buf_printf(&l->line, "@%-6" PRIu64 " %s  ", row->epoch, when);
        cis_cli_printable_column(&l->line, row->kind, 8);
        cis_buf_byte(&l->line, ' ');
        if (row->run[0] != 0) {
            cis_cli_printable_line(&l->line, cis_str_of(row->run));
            cis_buf_text(&l->line, "  ");
        }
        cis_cli_printable_line(&l->line, row->note);
        cis_buf_byte(&l->line, '\n');
    }
    cis_fs_flush(&l->line);
    return true;
}

static cis_code log_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_rev rev;
    uint64_t limit = 50;
    struct logging l = {.json = cmd->cli->json, .line = CIS_BUF_INIT(1u << 20)};
    if (!cis_cli_number(cmd->cli, "limit", &limit) || limit > UINT32_MAX) {
        return cis_fail(err, CIS_E_USAGE, "--limit: not a number of commits");
    }
    CIS_TRY(cis_history_resolve(
        &cmd->h, cmd->cli->nargs != 0 ? cis_str_of(cmd->cli->args[0]) : cis_fs_branch(cmd), &rev,
        err));
    cis_cli_list(cmd->cli, "commits");
    cis_code code = cis_history_log(&cmd->h, rev.view, (uint32_t)limit, false, log_row, &l, err);
    cis_buf_done(&l.line);
    CIS_TRY(code);
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option log_options[] = {
    {"limit", 0, "N", false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_log = {
    .name = "fs log", .options = log_options, .max_args = 1, .fs = log_verb};

/* ---- diff ---- */
#define TEXT_MAX CIS_TEXT_DIFF_MAX

struct diffing {
    struct cis_fs_cmd *cmd;
    struct cis_view view[2];
    bool json, text, zero;
    const char *below; /* only paths at or below it, "" for all */
    struct cis_buf line;
    cis_code code;
    struct cis_error *err;
};

static bool wanted(const struct diffing *d, struct cis_str path, bool cut)
{
    struct cis_str below = cis_str_of(d->below);
    return below.len == 0 || cut || /* where it begins is not told */
           (cis_str_starts(path, below) && (path.len == below.len || path.ptr[below.len] == '/'));
}

struct side {
    struct cis_buf text;
    bool readable;
};

static bool read_row(void *self, const struct cis_fs_inode *row)
{
    struct cis_fs_inode *out = self;
    uint8_t *data = NULL;
    *out = *row;
    if (row->data.len != 0) {
        data = cis_alloc(row->data.len);
        if (data == NULL) {
            out->ino = 0;
            return false;
        }
        memcpy(data, row->data.ptr, row->data.len);
    }
    out->data.ptr = data;
    return false;
}

/* *out_there: it is there, and has at most `most` bytes, which are in out. */
static cis_code read_all(struct diffing *d, int n, uint64_t ino, uint64_t most, struct cis_buf *out,
                         bool *out_there)
{
    struct cis_fs_inode row = {0};
    const struct cis_history *h = &d->cmd->h;
    CIS_TRY(cis_store_inodes(h->store, h->tenant,
                             &(struct cis_fs_inode_query){.at = d->view[n], .inos = &ino, .n = 1},
                             read_row, &row, h->stop, d->err));
    CIS_CLEANUP(cis_freep) void *data = (void *)(uintptr_t)row.data.ptr;
    (void)data;
    *out_there = row.ino != 0 && row.size <= most;
    if (*out_there && S_ISLNK(row.mode)) { /* where it leads is in the row */
        cis_buf_add(out, row.data.ptr, row.data.len);
        return cis_buf_check(out, "diff", d->err);
    }
    uint8_t *at = *out_there && row.size != 0 ? cis_buf_reserve(out, (size_t)row.size) : NULL;
    if (at != NULL) {
        CIS_TRY(cis_history_read(h, d->view[n], &row, 0, at, (size_t)row.size, d->err));
        out->len += (size_t)row.size;
    }
    return cis_buf_check(out, "diff", d->err);
}

/* Text of at most TEXT_MAX bytes, else readable stays false. */
static cis_code read_side(struct diffing *d, int n, uint64_t ino, uint32_t mode, uint64_t size,
                          struct side *out)
{
    bool there;
    if (mode == 0) {
        out->readable = true; /* not there: empty */
        return CIS_OK;
    }
    if (!S_ISREG(mode) || size > TEXT_MAX) {
        return CIS_OK;
    }
    CIS_TRY(read_all(d, n, ino, TEXT_MAX, &out->text, &there));
    out->readable = there && cis_text_is(cis_buf_bytes(&out->text));
    return CIS_OK;
}

/* Where the change leaves a symlink leading; empty: it is none. */
static cis_code read_target(struct diffing *d, const struct cis_change *c, struct cis_buf *out)
{
    bool there;
    return S_ISLNK(c->mode) ? read_all(d, 1, c->ino, PATH_MAX, out, &there) : CIS_OK;
}

cis_code cis_fs_show_text(const struct cis_buf *old_text, const struct cis_buf *new_text,
                          struct cis_buf *old_label, struct cis_buf *new_label,
                          const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64u << 20);
    struct cis_error why;
    cis_code code =
        cis_text_diff(cis_buf_bytes(old_text), cis_buf_bytes(new_text), cis_buf_view(old_label),
                      cis_buf_view(new_label), 3, &out, stop, &why);
    if (code == CIS_E_LIMIT) { /* this file's alone: those behind it are shown */
        cis_buf_done(&out);
        out = (struct cis_buf)CIS_BUF_INIT(4u << 20);
        cis_buf_printf(&out, "files %s and %s differ: %s\n", cis_buf_cstr(old_label),
                       cis_buf_cstr(new_label), why.msg);
    } else if (code != CIS_OK) {
        return cis_fail(err, code, "%s", why.msg);
    }
    cis_cli_foreign(out.ptr, out.len);
    return CIS_OK;
}

static cis_code text_diff(struct diffing *d, const struct cis_change *c)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf from = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf to = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64u << 20);
    struct side a = {.text = CIS_BUF_INIT(TEXT_MAX)}, b = {.text = CIS_BUF_INIT(TEXT_MAX)};
    cis_code code = read_side(d, 0, c->old_ino, c->old_mode, c->old_size, &a);
    if (code == CIS_OK) {
        code = read_side(d, 1, c->ino, c->mode, c->size, &b);
    }
    struct cis_str old_path = c->from.len != 0 ? c->from : c->path;
    cis_fs_label(&from, "a/", c->old_mode != 0, old_path);
    cis_fs_label(&to, "b/", c->mode != 0, c->path);
    if (code == CIS_OK && a.readable && b.readable) {
        code = cis_fs_show_text(&a.text, &b.text, &from, &to, d->cmd->h.stop, d->err);
    } else if (code == CIS_OK && c->content && (S_ISREG(c->mode) || S_ISREG(c->old_mode))) {
        cis_buf_printf(&out, "binary files %s and %s differ\n", cis_buf_cstr(&from),
                       cis_buf_cstr(&to));
    }
    cis_buf_done(&a.text);
    cis_buf_done(&b.text);
    CIS_TRY(code);
    cis_cli_foreign(out.ptr, out.len);
    return CIS_OK;
}

static void json_change(const struct cis_change *c, struct cis_str target)
{
    char mode[8], old_mode[8];
    snprintf(mode, sizeof mode, "%04o", c->mode & 07777);
    snprintf(old_mode, sizeof old_mode, "%04o", c->old_mode & 07777);
    cis_cli_item(CIS_JSON(
        CIS_J("change", cis_fs_change_word(c->what)), CIS_J("path", c->path),
        CIS_J_IF(c->cut, CIS_J_BOOL("cut", true)),
        CIS_J_IF(c->from.len != 0, CIS_J("from", c->from)),
        CIS_J("type", cis_fs_type(c->mode != 0 ? c->mode : c->old_mode)),
        CIS_J("content", c->content), CIS_J_IF(target.len != 0, CIS_J("target", target)),
        CIS_J_IF(c->mode != 0, CIS_J("mode", mode)), CIS_J_IF(c->mode != 0, CIS_J("size", c->size)),
        CIS_J_IF(c->old_mode != 0, CIS_J("old_mode", old_mode)),
        CIS_J_IF(c->old_mode != 0, CIS_J("old_size", c->old_size))));
}

static void line_change(struct diffing *d, const struct cis_change *c, struct cis_str target)
{
    cis_buf_printf(&d->line, "%c ", c->what);
    if (c->from.len != 0) {
        cis_fs_name(&d->line, c->from);
        cis_buf_text(&d->line, " -> ");
    }
    cis_fs_name(&d->line, c->path.len != 0 ? c->path : CIS_STR("/"));
    if (S_ISDIR(c->mode != 0 ? c->mode : c->old_mode)) {
        cis_buf_byte(&d->line, '/');
    } else if (target.len != 0) {
        cis_buf_text(&d->line, " -> ");
        cis_fs_name(&d->line, target);
    } else if (c->what == 'M' && c->content) {
        cis_buf_printf(&d->line, "  %" PRIu64 " -> %" PRIu64, c->old_size, c->size);
    } else if (c->what == 'A' || c->what == 'D') {
        cis_buf_printf(&d->line, "  %" PRIu64, c->what == 'A' ? c->size : c->old_size);
    }
    if (c->mode != 0 && c->old_mode != 0 && c->mode != c->old_mode) {
        cis_buf_printf(&d->line, "  mode %04o -> %04o", c->old_mode & 07777, c->mode & 07777);
    }
    cis_buf_byte(&d->line, '\n');
}

static bool take_change(void *self, const struct cis_change *c)
{
    struct diffing *d = self;
    if (!wanted(d, c->path, c->cut) && !wanted(d, c->from, c->cut)) {
        return true;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(PATH_MAX);
    d->code = read_target(d, c, &target);
    if (d->code != CIS_OK) {
        return false;
    }
    if (d->json) {
        json_change(c, cis_buf_view(&target));
    } else if (d->zero) {
        cis_fs_change_raw(&d->line, c->what, c->from, "",
                          c->path.len != 0 ? c->path : CIS_STR("/"));
    } else if (!d->text || !S_ISREG(c->mode != 0 ? c->mode : c->old_mode) || !c->content) {
        line_change(d, c, cis_buf_view(&target));
    }
    cis_fs_flush(&d->line);
    if (d->text && !d->json && !d->zero) {
        d->code = text_diff(d, c);
    }
    return d->code == CIS_OK;
}

cis_code cis_fs_show_diff(struct cis_fs_cmd *cmd, struct cis_view a, struct cis_view b,
                          struct cis_error *err)
{
    const char *below = cis_cli_value(cmd->cli, "path");
    struct diffing d = {.cmd = cmd,
                        .json = cmd->cli->json,
                        .text = cis_cli_has(cmd->cli, "text"),
                        .zero = cis_cli_has(cmd->cli, "null"),
                        .line = CIS_BUF_INIT(64u << 20),
                        .err = err};
    while (below != NULL && *below == '/') {
        below++;
    }
    d.below = below != NULL ? below : "";
    d.view[0] = a;
    d.view[1] = b;
    cis_code code = cis_history_diff(&cmd->h, a, b, take_change, &d, err);
    cis_buf_done(&d.line);
    CIS_TRY(code);
    return d.code;
}

static cis_code diff_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const struct cis_cli *cli = cmd->cli;
    struct cis_rev a, b;
    CIS_TRY(cis_history_resolve(&cmd->h, cis_str_of(cli->args[0]), &a, err));
    CIS_TRY(cis_history_resolve(&cmd->h, cli->nargs > 1 ? cis_str_of(cli->args[1]) : CIS_STR(""),
                                &b, err));
    cis_cli_list(cli, "changes");
    CIS_TRY(cis_fs_show_diff(cmd, a.view, b.view, err));
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option diff_options[] = {{"text", 0, NULL, false, NULL},
                                                     {"path", 0, "PATH", false, NULL},
                                                     {"null", 'z', NULL, false, NULL},
                                                     {0}};

const struct cis_cli_command cis_cmd_fs_diff = {
    .name = "fs diff", .options = diff_options, .min_args = 1, .max_args = 2, .fs = diff_verb};
