#include "cli/fs/fs.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "config/config.h"
#include "store/holder.h"

#define SKIPPED_MAX ((size_t)1 << 20)

static void build_note(struct cis_fs_cmd *cmd)
{
    const struct cis_cli *cli = cmd->cli;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_printf(&text, "cis %s", cli->command->name);
    for (const struct cis_cli_option *o = cli->command->options; o != NULL && o->name != NULL;
         o++) {
        for (int i = 0; cis_cli_nth(cli, o->name, i) != NULL; i++) {
            cis_buf_printf(&text, " --%s%s%s", o->name, o->value != NULL ? " " : "",
                           o->value != NULL ? cis_cli_nth(cli, o->name, i) : "");
        }
    }
    for (int i = 0; i < cli->nargs && text.len < sizeof cmd->note; i++) {
        cis_buf_printf(&text, " %s", cli->args[i]);
    }
    size_t n = cis_utf8_floor(text.ptr, text.len, sizeof cmd->note - 1);
    memcpy(cmd->note, cis_buf_cstr(&text), n);
    cmd->note[n] = 0;
    for (char *p = cmd->note; *p != 0; p++) {
        *p = (unsigned char)*p < 0x20 ? ' ' : *p;
    }
}

static void cmd_done(struct cis_fs_cmd *cmd)
{
    cis_dir_free(cmd->root);
    cis_ns_free(cmd->ns);
    cis_vfs_close(cmd->vfs);
    cis_app_close(cmd->app);
    cis_buf_done(&cmd->skipped);
    if (cmd->shown) {
        fprintf(stderr, "\r\033[K");
    }
}

static void tell_healed(const struct cis_fs_cmd *cmd)
{
    uint64_t n = atomic_load(&cmd->store->healed);
    if (n != 0) {
        fprintf(stderr,
                "cis: %" PRIu64
                " damaged %s of the store %s repaired: the same content was written "
                "again\n",
                n, n == 1 ? "piece" : "pieces", n == 1 ? "was" : "were");
    }
}

/* The tenant that commands work as when nobody said another is there without being made: a store
 * that nobody wrote to is an empty one. Commands that write make their tenant by their commit (and
 * may have read stdin). True: it was not there, and is now. */
static bool made_first(struct cis_fs_cmd *cmd)
{
    struct cis_tenant tenant = {0};
    const struct cis_store_fs_ops *fs = cmd->store->fs;
    struct cis_str name = cmd->h.tenant, command = cis_str_of(cmd->cli->command->name);
    bool reads = cis_str_starts(command, CIS_STR("fs ")) && !cis_str_is(command, "fs put") &&
                 !cis_str_is(command, "fs import");
    if (!reads || !cis_str_is(name, "default")) {
        return false;
    }
    cis_code code = fs->tenant_get(cmd->store, name, &tenant, &cmd->stop, NULL);
    cis_wipe(tenant.key, sizeof tenant.key);
    return code == CIS_E_NOTFOUND &&
           fs->tenant_create(cmd->store, name, getuid(), getgid(), &cmd->stop, NULL) == CIS_OK;
}

static cis_code run_once(struct cis_cli *cli, cis_fs_verb *verb, bool *inout_again,
                         struct cis_error *err)
{
    struct cis_fs_cmd cmd = {
        .cli = cli, .stop = {CIS_NEVER, cli->cancel}, .skipped = CIS_BUF_INIT(SKIPPED_MAX)};
    bool may = *inout_again;
    *inout_again = false;
    cis_code code = cis_app_open(cli, &cmd.app, err);
    if (code == CIS_OK) {
        code = cis_app_store(cmd.app, &cmd.store, err);
    }
    if (code == CIS_OK) {
        cmd.h = (struct cis_history){cmd.store, cis_str_of(cli->tenant), &cmd.stop,
                                     cis_app_config(cmd.app)->history_bytes};
        cmd.call = (struct cis_vfs_call){.uid = getuid(),
                                         .gid = getgid(),
                                         .stop = &cmd.stop,
                                         .err = &cmd.why,
                                         .keeps_set_id =
                                             true}; /* the user's own act on the user's own files */
        build_note(&cmd);
        code = verb(&cmd, err);
        tell_healed(&cmd);
        *inout_again = may && code == CIS_E_NOTFOUND && made_first(&cmd);
    }
    cmd_done(&cmd);
    return code;
}

int cis_fs_run(struct cis_cli *cli, cis_fs_verb *verb)
{
    struct cis_error err = {0};
    bool again = true; /* nothing was printed: without a tenant there is nothing to print */
    cis_code code = run_once(cli, verb, &again, &err);
    if (code != CIS_OK && again) {
        again = false;
        err = (struct cis_error){0};
        code = run_once(cli, verb, &again, &err);
    }
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

struct cis_str cis_fs_branch(const struct cis_fs_cmd *cmd)
{
    const char *branch = cis_cli_value(cmd->cli, "branch");
    return branch != NULL ? cis_str_of(branch) : CIS_STR("");
}

cis_code cis_fs_from(const char *tenant, bool branch, bool state, struct cis_error *err)
{
    if (!cis_tenant_valid(cis_str_of(tenant))) {
        return cis_fail(err, CIS_E_USAGE, "--from %.64s: not a valid name for a tenant", tenant);
    }
    if (!branch || state) {
        return cis_fail(err, CIS_E_USAGE,
                        "--from: another tenant's branch is read at its head; name it with "
                        "--branch (cis fs published lists what there is)");
    }
    return CIS_OK;
}

/* What is written goes to a branch that nobody else holds. */
static cis_code check_lease(struct cis_fs_cmd *cmd, struct cis_str branch, struct cis_error *err)
{
    struct cis_fs_ref ref;
    cis_code code = cis_store_ref_held(cmd->store, cmd->h.tenant, branch, &ref, &cmd->stop, err);
    if (code == CIS_OK && ref.holder[0] != 0) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "branch %s is mounted (%s): change it there, or unmount it first", ref.name,
                        ref.holder);
    }
    /* A tenant that nobody wrote to yet is made by the first commit. */
    return code == CIS_E_NOTFOUND && branch.len == 0 ? CIS_OK : code;
}

cis_code cis_fs_cmd_tree(struct cis_fs_cmd *cmd, bool write, struct cis_error *err)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    const char *at = cis_cli_value(cmd->cli, "at"), *from = cis_cli_value(cmd->cli, "from");
    o.tenant = cmd->h.tenant;
    o.ref = cis_fs_branch(cmd);
    o.kind = "fs";
    o.note = cmd->note;
    o.read_only = !write;
    if (from != NULL) {
        CIS_TRY(cis_fs_from(from, o.ref.len != 0, at != NULL, err));
        o.from = cis_str_of(from);
    }
    if (at != NULL) {
        if (o.ref.len != 0) {
            return cis_fail(err, CIS_E_USAGE, "--at and --branch cannot be used together");
        }
        CIS_TRY(cis_history_resolve(&cmd->h, cis_str_of(at), &cmd->rev, err));
        o.ref = cis_str_of(cmd->rev.ref);
        if (!cmd->rev.head) {
            o.at = cmd->rev.view;
        }
    }
    if (write) {
        CIS_TRY(check_lease(cmd, o.ref, err));
    }
    CIS_TRY(cis_app_fs_cache(cmd->app, &cmd->fs_cache, err));
    CIS_TRY(cis_layered_open(cmd->fs_cache, &o, &cmd->stop, &cmd->vfs, err));
    CIS_TRY(cis_ns_new(&cmd->ns, err));
    CIS_TRY(cis_ns_mount(cmd->ns, CIS_STR("/"), cmd->vfs, 0, false, err));
    int rc = cis_dir_root(cmd->ns, &cmd->call, CIS_STR("/"), &cmd->root);
    return rc == 0 ? CIS_OK : cis_fs_cmd_fail(cmd, rc, "/", err);
}

cis_code cis_fs_cmd_commit(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_store_commit with = {.kind = "fs", .note = cmd->note};
    struct cis_fs_committed out;
    CIS_TRY(cis_stop_check(&cmd->stop, cmd->cli->command->name, err));
    return cis_layered_commit(cmd->vfs, &with, &out, &cmd->stop, err);
}

cis_code cis_fs_cmd_fail(struct cis_fs_cmd *cmd, int rc, const char *path, struct cis_error *err)
{
    if (cis_vfs_told(&cmd->why, rc)) {
        return cis_fail(err, cmd->why.code, "%s: %s", path, cmd->why.msg);
    }
    size_t len = strlen(path);
    if (len > 160) { /* the reason has to fit behind it */
        return cis_vfs_fail(err, rc, "%.70s...%s", path, path + len - 70);
    }
    return cis_vfs_fail(err, rc, "%s", path);
}

cis_code cis_fs_cmd_walk(struct cis_fs_cmd *cmd, const char *path, unsigned flags,
                         struct cis_found *out, struct cis_error *err)
{
    const char *from = path[0] == 0 ? "/" : path;
    int rc = cis_walk(cmd->root, NULL, &cmd->call, cis_str_of(from), flags | CIS_WALK_CHROOT, out);
    return rc == 0 ? CIS_OK : cis_fs_cmd_fail(cmd, rc, path, err);
}

cis_code cis_fs_cmd_find(struct cis_fs_cmd *cmd, const char *path, unsigned flags,
                         struct cis_found *out, struct cis_error *err)
{
    CIS_TRY(cis_fs_cmd_walk(cmd, path, flags, out, err));
    return out->node != 0 ? CIS_OK : cis_fs_cmd_fail(cmd, ENOENT, path, err);
}

void cis_fs_skipped(void *self, struct cis_str path, const struct cis_error *why)
{
    struct cis_fs_cmd *cmd = self;
    (void)path; /* the message begins with it */
    if (cmd->nskipped++ == 0) {
        cmd->skipped_code = why->code;
    }
    if (cmd->skipped.len < SKIPPED_MAX - 4096) {
        cis_buf_text(&cmd->skipped, "cannot read ");
        cis_cli_printable_line(&cmd->skipped, cis_str_of(why->msg));
        cis_buf_byte(&cmd->skipped, '\n');
    }
}

cis_code cis_fs_skipped_told(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    if (cmd->nskipped == 0) {
        return CIS_OK;
    }
    if (cmd->shown) {
        fprintf(stderr, "\r\033[K");
    }
    cis_fd_write_all(STDERR_FILENO, cmd->skipped.ptr, cmd->skipped.len);
    return cis_fail(err, cmd->skipped_code,
                    "%" PRIu64 " could not be read and %s not whole; everything else was copied",
                    cmd->nskipped, cmd->nskipped == 1 ? "is" : "are");
}

/* ---- output ---- */
void cis_fs_name(struct cis_buf *out, struct cis_str name)
{
    cis_cli_quoted(out, "", name);
}

void cis_fs_raw(struct cis_buf *out, struct cis_str name)
{
    cis_buf_str(out, name);
    cis_buf_byte(out, 0);
}

void cis_fs_change_raw(struct cis_buf *out, char what, struct cis_str from, const char *cut,
                       struct cis_str path)
{
    cis_fs_raw(out, (struct cis_str){&what, 1});
    if (from.len != 0) {
        cis_fs_raw(out, from);
    }
    cis_buf_text(out, cut);
    cis_fs_raw(out, path);
}

void cis_fs_label(struct cis_buf *out, const char *prefix, bool there, struct cis_str path)
{
    if (there) {
        cis_cli_quoted(out, prefix, path);
    } else {
        cis_buf_text(out, "/dev/null");
    }
}

const char *cis_fs_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "char-device";
    case S_IFBLK:
        return "block-device";
    default:
        return "unknown";
    }
}

const char *cis_fs_change_word(char what)
{
    return what == 'A' ? "added" : what == 'D' ? "removed" : what == 'R' ? "renamed" : "modified";
}

void cis_fs_mode(uint32_t mode, char out[11])
{
    static const struct {
        uint32_t type;
        char letter;
    } types[] = {{S_IFREG, '-'},  {S_IFDIR, 'd'}, {S_IFLNK, 'l'}, {S_IFIFO, 'p'},
                 {S_IFSOCK, 's'}, {S_IFCHR, 'c'}, {S_IFBLK, 'b'}};
    out[0] = '?';
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        out[0] = (mode & S_IFMT) == types[i].type ? types[i].letter : out[0];
    }
    for (int i = 0; i < 9; i++) {
        out[i + 1] = (mode >> (8 - i) & 1) != 0 ? "rwx"[i % 3] : '-';
    }
    if ((mode & S_ISUID) != 0) {
        out[3] = out[3] == 'x' ? 's' : 'S';
    }
    if ((mode & S_ISGID) != 0) {
        out[6] = out[6] == 'x' ? 's' : 'S';
    }
    if ((mode & S_ISVTX) != 0) {
        out[9] = out[9] == 'x' ? 't' : 'T';
    }
    out[10] = 0;
}

void cis_fs_time(struct cis_buf *out, struct timespec t)
{
    char text[32];
    cis_clock_iso((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000, text);
    cis_buf_text(out, text);
}

void cis_fs_attr_json(struct cis_buf *out, const struct cis_vfs_attr *a)
{
    char mode[8], mtime[32];
    snprintf(mode, sizeof mode, "%04o", a->mode & 07777);
    cis_clock_iso((int64_t)a->mtime.tv_sec * 1000 + a->mtime.tv_nsec / 1000000, mtime);
    cis_json_write(out, CIS_JSON(CIS_J("type", cis_fs_type(a->mode)), CIS_J("mode", mode),
                                 CIS_J("nlink", a->nlink), CIS_J("uid", a->uid),
                                 CIS_J("gid", a->gid), CIS_J("size", a->size),
                                 CIS_J("blocks", a->blocks), CIS_J("ino", a->ino),
                                 CIS_J("mtime", mtime), CIS_J("mtime_ns", a->mtime.tv_nsec)));
}

void cis_fs_size(struct cis_buf *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    while (bytes >> (10 * unit) >= 1024) {
        unit++;
    }
    uint64_t whole = bytes >> (10 * unit), rest = bytes - (whole << (10 * unit));
    if (unit == 0) {
        cis_buf_printf(out, "%" PRIu64 " B", bytes);
        return;
    }
    uint64_t tenths = (rest * 10 + (UINT64_C(1) << (10 * unit - 1))) >> (10 * unit);
    cis_buf_printf(out, "%" PRIu64 ".%" PRIu64 " %s", whole + tenths / 10, tenths % 10,
                   units[unit]);
}

void cis_fs_flush(struct cis_buf *out)
{
    cis_cli_out(out->ptr, out->len);
    cis_buf_reset(out);
}

bool cis_fs_progress(void *self, const struct cis_move_counts *counts, struct cis_str path)
{
    struct cis_fs_cmd *cmd = self;
    struct cis_error ignored;
    if (cis_stop_check(&cmd->stop, "copy", &ignored) != CIS_OK) {
        return false;
    }
    uint64_t now = cis_clock_mono_ns();
    if (cmd->shown_ns == 0) {
        cmd->shown_ns = now + CIS_NS_PER_S;
    }
    if (now < cmd->shown_ns || cmd->cli->json || !isatty(STDERR_FILENO)) {
        return true;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    cis_buf_printf(&line, "\r\033[K%" PRIu64 " files, ", counts->files);
    cis_fs_size(&line, counts->bytes);
    cis_buf_text(&line, "  ");
    size_t from = path.len > 60 ? path.len - 60 : 0;
    cis_cli_printable_line(&line, (struct cis_str){path.ptr + from, path.len - from});
    fputs(cis_buf_cstr(&line), stderr);
    fflush(stderr);
    cmd->shown = true;
    cmd->shown_ns = now + 200 * CIS_NS_PER_MS;
    return true;
}
