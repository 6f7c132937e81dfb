/* `cis fs ls|tree|find|du`: what is where. */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <sys/stat.h>
#include "cli/fs/fs.h"
#include "history/tree.h"

#define LINE_MAX_BYTES (64u << 20)

/* ---- ls ---- */
struct listing {
    struct cis_fs_cmd *cmd;
    struct cis_buf line;
    bool json, detail, zero;
};

static void long_line(struct cis_buf *line, const struct cis_vfs_attr *a)
{
    char mode[11];
    cis_fs_mode(a->mode, mode);
    cis_buf_printf(line, "%s %3u %5u %5u %12" PRIu64 " ", mode, a->nlink, a->uid, a->gid, a->size);
    cis_fs_time(line, a->mtime);
    cis_buf_byte(line, ' ');
}

static void put_name(struct listing *l, struct cis_str name)
{
    if (l->zero) {
        cis_buf_str(&l->line, name);
    } else {
        cis_fs_name(&l->line, name);
    }
}

static void link_target(struct listing *l, const struct cis_tree_entry *e)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(65536);
    if (S_ISLNK(e->attr->mode) && e->node != 0 &&
        cis_vfs_readlink(e->vfs, &l->cmd->call, e->node, &target) == 0) {
        if (l->json) {
            cis_json_write(&l->line, CIS_JSON(CIS_J("target", cis_buf_view(&target))));
        } else {
            cis_buf_text(&l->line, " -> ");
            put_name(l, cis_buf_view(&target));
        }
    }
}

static cis_code ls_entry(void *self, const struct cis_tree_entry *e, bool *descend,
                         struct cis_error *err)
{
    struct listing *l = self;
    (void)err;
    if (e->depth == 0 && S_ISDIR(e->attr->mode)) {
        return CIS_OK;
    }
    *descend = false;
    if (l->json) {
        cis_json_write(&l->line, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("name", e->name)));
        cis_fs_attr_json(&l->line, e->attr);
        link_target(l, e);
        cis_json_write(&l->line, CIS_JSON(CIS_J_CLOSE));
    } else {
        if (l->detail) {
            long_line(&l->line, e->attr);
        }
        put_name(l, e->name);
        if (l->detail) {
            link_target(l, e);
        } else if (S_ISDIR(e->attr->mode)) {
            cis_buf_byte(&l->line, '/');
        }
        cis_buf_byte(&l->line, l->zero ? 0 : '\n');
    }
    cis_fs_flush(&l->line);
    return CIS_OK;
}

/* The path's own name, for a file that is listed by itself. */
static struct cis_str last_name(const char *path)
{
    struct cis_str all = cis_str_of(path), name = all;
    while (all.len > 1 && all.ptr[all.len - 1] == '/') {
        all.len--;
    }
    for (size_t i = 0; i < all.len; i++) {
        if (all.ptr[i] == '/' && i + 1 < all.len) {
            name = (struct cis_str){all.ptr + i + 1, all.len - i - 1};
        }
    }
    return name.ptr == all.ptr ? all : name;
}

static void listing_done(struct listing *l)
{
    cis_buf_done(&l->line);
}

static cis_code ls_one(struct listing *l, const char *path, struct cis_error *err)
{
    CIS_CLEANUP(cis_found_done) struct cis_found found = {0};
    CIS_TRY(cis_fs_cmd_find(l->cmd, path, CIS_WALK_NOFOLLOW, &found, err));
    return cis_tree_walk(found.vfs, found.node, &found.attr, last_name(path),
                         l->detail || l->json ? CIS_TREE_NODES : 0, &l->cmd->call, ls_entry, l,
                         err);
}

static cis_code ls_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_CLEANUP(listing_done)
    struct listing l = {.cmd = cmd,
                        .line = CIS_BUF_INIT(LINE_MAX_BYTES),
                        .json = cmd->cli->json,
                        .zero = cis_cli_has(cmd->cli, "null"),
                        .detail = cis_cli_has(cmd->cli, "long")};
    const char *none[] = {"/", NULL};
    const char *const *paths = cmd->cli->nargs != 0 ? cmd->cli->args : none;
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    cis_cli_list(cmd->cli, "entries");
    for (int i = 0; paths[i] != NULL; i++) {
        if (cmd->cli->nargs > 1 && !l.json && !l.zero) {
            cis_buf_text(&l.line, i != 0 ? "\n" : "");
            cis_fs_name(&l.line, cis_str_of(paths[i]));
            cis_buf_text(&l.line, ":\n");
            cis_fs_flush(&l.line);
        }
        CIS_TRY(ls_one(&l, paths[i], err));
    }
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option ls_options[] = {
    {"long", 'l', NULL, false, NULL},   {"null", 'z', NULL, false, NULL},
    {"branch", 0, "NAME", false, NULL}, {"at", 0, "REV", false, NULL},
    {"from", 0, "TENANT", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_ls = {
    .name = "fs ls", .options = ls_options, .max_args = -1, .fs = ls_verb};

/* ---- tree ---- */
struct drawing {
    struct cis_buf line;
    struct cis_buf bars; /* one byte a level: is it the last of its directory? */
    uint64_t files, dirs, depth_max;
};

static cis_code draw(void *self, const struct cis_tree_entry *e, bool *descend,
                     struct cis_error *err)
{
    struct drawing *d = self;
    if (d->depth_max != 0 && e->depth >= d->depth_max) {
        *descend = false;
    }
    if (e->depth != 0) {
        d->bars.len = e->depth - 1;
        for (size_t i = 0; i + 1 < e->depth; i++) {
            cis_buf_text(&d->line, d->bars.ptr[i] != 0 ? "    " : "│   ");
        }
        cis_buf_text(&d->line, e->last ? "└── " : "├── ");
        cis_buf_byte(&d->bars, e->last ? 1 : 0);
        *(S_ISDIR(e->attr->mode) ? &d->dirs : &d->files) += 1;
    }
    CIS_TRY(cis_buf_check(&d->bars, "tree", err));
    cis_fs_name(&d->line, e->depth == 0 ? e->path : e->name);
    cis_buf_byte(&d->line, '\n');
    cis_fs_flush(&d->line);
    return CIS_OK;
}

static cis_code tree_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const char *path = cmd->cli->nargs != 0 ? cmd->cli->args[0] : "/";
    CIS_CLEANUP(cis_found_done) struct cis_found found = {0};
    struct drawing d = {.line = CIS_BUF_INIT(LINE_MAX_BYTES), .bars = CIS_BUF_INIT(1u << 20)};
    if (!cis_cli_number(cmd->cli, "depth", &d.depth_max)) {
        return cis_fail(err, CIS_E_USAGE, "--depth: not a number");
    }
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    CIS_TRY(cis_fs_cmd_find(cmd, path, CIS_WALK_NOFOLLOW, &found, err));
    cis_code code = cis_tree_walk(found.vfs, found.node, &found.attr, cis_str_of(path), 0,
                                  &cmd->call, draw, &d, err);
    cis_buf_done(&d.line);
    cis_buf_done(&d.bars);
    CIS_TRY(code);
    cis_cli_printf("\n%" PRIu64 " director%s, %" PRIu64 " file%s\n", d.dirs,
                   d.dirs == 1 ? "y" : "ies", d.files, d.files == 1 ? "" : "s");
    return CIS_OK;
}

static int run_tree(struct cis_cli *cli)
{
    return cli->json ? cis_cli_usage(cli, "the tree has no JSON form; use cis fs find --json")
                     : cis_fs_run(cli, tree_verb);
}

static const struct cis_cli_option tree_options[] = {{"depth", 0, "N", false, NULL},
                                                     {"branch", 0, "NAME", false, NULL},
                                                     {"at", 0, "REV", false, NULL},
                                                     {"from", 0, "TENANT", false, NULL},
                                                     {0}};

const struct cis_cli_command cis_cmd_fs_tree = {
    .name = "fs tree", .options = tree_options, .max_args = 1, .run = run_tree};

/* ---- find ---- */
struct finding {
    struct cis_buf line;
    const char *name, *type;
    bool json, zero;
};

static bool matches(const struct finding *f, const struct cis_tree_entry *e)
{
    if (f->type != NULL && strcmp(f->type, cis_fs_type(e->attr->mode)) != 0) {
        return false;
    }
    if (f->name == NULL) {
        return true;
    }
    char name[CIS_VFS_NAME_MAX + 1];
    if (e->name.len >= sizeof name) {
        return false;
    }
    memcpy(name, e->name.ptr, e->name.len);
    name[e->name.len] = 0;
    return fnmatch(f->name, name, 0) == 0;
}

static cis_code find_entry(void *self, const struct cis_tree_entry *e, bool *descend,
                           struct cis_error *err)
{
    struct finding *f = self;
    (void)descend;
    (void)err;
    if (!matches(f, e)) {
        return CIS_OK;
    }
    if (f->json) {
        cis_json_write(&f->line, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("path", e->path)));
        cis_fs_attr_json(&f->line, e->attr);
        cis_json_write(&f->line, CIS_JSON(CIS_J_CLOSE));
    } else if (f->zero) {
        cis_fs_raw(&f->line, e->path);
    } else {
        cis_fs_name(&f->line, e->path);
        cis_buf_byte(&f->line, '\n');
    }
    cis_fs_flush(&f->line);
    return CIS_OK;
}

static cis_code find_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const char *path = cmd->cli->nargs != 0 ? cmd->cli->args[0] : "/";
    CIS_CLEANUP(cis_found_done) struct cis_found found = {0};
    struct finding f = {.line = CIS_BUF_INIT(LINE_MAX_BYTES),
                        .name = cis_cli_value(cmd->cli, "name"),
                        .type = cis_cli_value(cmd->cli, "type"),
                        .json = cmd->cli->json,
                        .zero = cis_cli_has(cmd->cli, "print0")};
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    CIS_TRY(cis_fs_cmd_find(cmd, path, CIS_WALK_NOFOLLOW, &found, err));
    cis_cli_list(cmd->cli, "entries");
    cis_code code = cis_tree_walk(found.vfs, found.node, &found.attr, cis_str_of(path), 0,
                                  &cmd->call, find_entry, &f, err);
    cis_buf_done(&f.line);
    CIS_TRY(code);
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option find_options[] = {
    {"name", 0, "PATTERN", false, NULL},
    {"type", 0, "TYPE", false, "file|directory|symlink|fifo|socket|char-device|block-device"},
    {"print0", '0', NULL, false, NULL},
    {"branch", 0, "NAME", false, NULL},
    {"at", 0, "REV", false, NULL},
    {"from", 0, "TENANT", false, NULL},
    {0}};

const struct cis_cli_command cis_cmd_fs_find = {
    .name = "fs find", .options = find_options, .max_args = 1, .fs = find_verb};

/* ---- du ---- */
struct usage {
    struct cis_buf line;
    bool json, summary, zero;
    struct {
        uint64_t bytes, stored, files;
    } at[1024]; /* by depth; deeper directories count into the last */
};

static void du_line(struct usage *u, unsigned depth, struct cis_str path)
{
    if (u->json) {
        cis_cli_item(CIS_JSON(CIS_J("path", path), CIS_J("bytes", u->at[depth].bytes),
                              CIS_J("stored", u->at[depth].stored),
                              CIS_J("files", u->at[depth].files)));
    } else {
        cis_buf_printf(&u->line, "%12" PRIu64 " %8" PRIu64 "  ", u->at[depth].bytes,
                       u->at[depth].files);
        if (u->zero) {
            cis_fs_raw(&u->line, path);
        } else {
            cis_fs_name(&u->line, path);
            cis_buf_byte(&u->line, '\n');
        }
    }
    cis_fs_flush(&u->line);
}

static cis_code du_entry(void *self, const struct cis_tree_entry *e, bool *descend,
                         struct cis_error *err)
{
    struct usage *u = self;
    const unsigned most = sizeof u->at / sizeof *u->at - 1;
    unsigned depth = e->depth < most ? e->depth : most;
    (void)descend;
    (void)err;
    if (S_ISDIR(e->attr->mode) && !e->after) {
        memset(&u->at[depth], 0, e->depth < most ? sizeof u->at[depth] : 0);
        return CIS_OK;
    }
    if (!S_ISDIR(e->attr->mode)) {
        unsigned up = e->depth == 0 ? 0 : e->depth - 1 < most ? e->depth - 1 : most;
        u->at[up].bytes += e->attr->size;
        u->at[up].stored += e->attr->blocks * 512;
        u->at[up].files++;
        if (e->depth == 0) {
            du_line(u, 0, e->path);
        }
        return CIS_OK;
    }
    if (!u->summary || e->depth == 0) {
        du_line(u, depth, e->path);
    }
    if (e->depth != 0 && e->depth <= most) {
        u->at[depth - 1].bytes += u->at[depth].bytes;
        u->at[depth - 1].stored += u->at[depth].stored;
        u->at[depth - 1].files += u->at[depth].files + 1;
    }
    return CIS_OK;
}

static cis_code du_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const char *path = cmd->cli->nargs != 0 ? cmd->cli->args[0] : "/";
    CIS_CLEANUP(cis_found_done) struct cis_found found = {0};
    struct usage u = {.line = CIS_BUF_INIT(LINE_MAX_BYTES),
                      .json = cmd->cli->json,
                      .zero = cis_cli_has(cmd->cli, "null"),
                      .summary = cis_cli_has(cmd->cli, "summary")};
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    CIS_TRY(cis_fs_cmd_find(cmd, path, CIS_WALK_NOFOLLOW, &found, err));
    cis_cli_list(cmd->cli, "entries");
    cis_code code = cis_tree_walk(found.vfs, found.node, &found.attr, cis_str_of(path),
                                  CIS_TREE_AFTER, &cmd->call, du_entry, &u, err);
    cis_buf_done(&u.line);
    CIS_TRY(code);
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option du_options[] = {
    {"summary", 's', NULL, false, NULL}, {"null", 'z', NULL, false, NULL},
    {"branch", 0, "NAME", false, NULL},  {"at", 0, "REV", false, NULL},
    {"from", 0, "TENANT", false, NULL},  {0}};

const struct cis_cli_command cis_cmd_fs_du = {
    .name = "fs du", .options = du_options, .max_args = 1, .fs = du_verb};
