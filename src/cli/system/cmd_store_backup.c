/* `cis store backup|restore`: all tenants of a store in one file, and a store made of such a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/fs/fs.h"
#include "cli/store.h"
#include "config/config.h"
#include "store/backup.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/repair/repair.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

struct copying {
    struct cis_cli *cli;
    cis_app *app;
    const char *store, *path; /* settings; DEST or SRC */
    struct cis_stop stop;
    const char *doing; /* for the line on a terminal */
    uint64_t shown_ns;
    bool shown;
};

typedef cis_code copying_verb(struct copying *c, struct cis_error *err);

static void line_end(struct copying *c)
{
    if (c->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        c->shown = false;
    }
}

static int with_copying(struct cis_cli *cli, copying_verb *verb)
{
    struct cis_error err = {0};
    struct copying c = {.cli = cli, .path = cli->args[0], .stop = {CIS_NEVER, cli->cancel}};
    cis_code code = cis_app_open(cli, &c.app, &err);
    if (code == CIS_OK) {
        c.store = cis_app_config(c.app)->store;
        code = verb(&c, &err);
    }
    line_end(&c);
    cis_app_close(c.app);
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

/* ---- what is told meanwhile ---- */
static void moved(void *self, struct cis_str tenant, uint64_t bytes)
{
    struct copying *c = self;
    uint64_t now = cis_clock_mono_ns();
    c->shown_ns = c->shown_ns == 0 ? now + CIS_NS_PER_S : c->shown_ns;
    if (now < c->shown_ns || c->cli->json || !isatty(STDERR_FILENO)) {
        return;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(4096);
    cis_buf_printf(&line, "\r\033[K%s ", c->doing);
    cis_fs_size(&line, bytes);
    cis_buf_text(&line, "  ");
    cis_cli_printable_line(&line, tenant);
    fputs(cis_buf_cstr(&line), stderr);
    fflush(stderr);
    c->shown = true;
    c->shown_ns = now + 200 * CIS_NS_PER_MS;
}

static void fault(void *self, const char *text)
{
    struct copying *c = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(4096);
    line_end(c);
    cis_buf_text(&line, "damaged: ");
    cis_cli_printable_line(&line, cis_str_of(text));
    cis_buf_byte(&line, '\n');
    fputs(cis_buf_cstr(&line), stderr);
}

static void summary(const struct copying *c, const char *what, const struct cis_backup_summary *sum,
                    const char *kept)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    char at[32];
    cis_clock_iso(sum->created_ms, at);
    if (c->cli->json) {
        cis_cli_object(CIS_JSON(
            CIS_J(what, c->path), CIS_J("created", at), CIS_J("tenants", sum->counts.tenants),
            CIS_J("rows", sum->counts.rows), CIS_J("chunks", sum->counts.chunks),
            CIS_J("chunk_bytes", sum->counts.bytes), CIS_J("size", sum->size),
            CIS_J_BOOL("verified", true), kept != NULL ? CIS_J("kept", kept) : CIS_J_NULL("kept")));
    } else {
        cis_buf_printf(&line, "%" PRIu64 " tenants, %" PRIu64 " rows, %" PRIu64 " chunks (",
                       sum->counts.tenants, sum->counts.rows, sum->counts.chunks);
        cis_fs_size(&line, sum->counts.bytes);
        cis_buf_printf(&line, "), as of %s: every hash was read back\n", at);
        if (kept != NULL) {
            cis_buf_text(&line, "what was there before is kept in ");
            cis_cli_printable_line(&line, cis_str_of(kept));
            cis_buf_byte(&line, '\n');
        }
    }
    cis_cli_out(line.ptr, line.len);
}

/* ---- backup ---- */
/* The folder that the file will be in. Caller frees. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? cis_strdup(".")
           : slash == path ? cis_strdup("/")
                           : cis_strndup(path, (size_t)(slash - path));
}

static cis_code dest_check(const struct copying *c, const cis_store *store, bool replace,
                           struct cis_error *err)
{
    struct stat st;
    CIS_CLEANUP(cis_freep) char *folder = folder_of(c->path);
    bool within = false;
    if (folder == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
    }
    if (store->folder != NULL) {
        CIS_TRY(cis_folder_within(folder, store->folder, &within, err));
    }
    if (within) {
        return cis_fail(err, CIS_E_USAGE,
                        "%s: this is within the store's folder, and would be lost with it",
                        c->path);
    }
    if (lstat(c->path, &st) != 0) {
        return errno == ENOENT ? CIS_OK : cis_fail_sys(err, CIS_E_IO, errno, "%s", c->path);
    }
    if (!S_ISREG(st.st_mode)) {
        return cis_fail(err, CIS_E_USAGE, "%s: not a file", c->path);
    }
    return replace ? CIS_OK
                   : cis_fail(err, CIS_E_EXISTS,
                              "%s: exists already (give --replace to write over it)", c->path);
}

static void fd_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* Through a descriptor of its own, from the disk. */
static cis_code read_back(struct copying *c, const char *path, const struct cis_backup_watch *watch,
                          const struct cis_backup_summary *wrote, struct cis_error *err)
{
    struct cis_backup_summary got;
    CIS_CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s: cannot read it back", path);
    }
    c->doing = "reading back";
    CIS_TRY(cis_backup_read(fd, NULL, watch, &got, &c->stop, err));
    return got.size == wrote->size && got.created_ms == wrote->created_ms &&
                   got.counts.rows == wrote->counts.rows
               ? CIS_OK
               : cis_fail(err, CIS_E_DAMAGED,
                          "%s: does not contain what was written to it; check the disk", path);
}

static cis_code backup_verb(struct copying *c, struct cis_error *err)
{
    cis_store *store;
    struct cis_backup_summary sum = {.faults = 0};
    const struct cis_backup_watch watch = {c, moved, fault};
    bool replace = cis_cli_has(c->cli, "replace");
    CIS_TRY(cis_cli_store_find(c->store, err));
    CIS_TRY(cis_app_store(c->app, &store, err));
    CIS_TRY(dest_check(c, store, replace, err));
    CIS_CLEANUP(cis_file_beside_drop) struct cis_file_beside file = CIS_FILE_BESIDE_INIT;
    CIS_TRY(cis_file_beside_open(c->path, 0600, &file, err));
    if (file.temp == NULL || fchmod(file.fd, 0600) != 0) { /* it holds keys */
        return cis_fail(err, CIS_E_USAGE, "%s: not a file", c->path);
    }
    c->doing = "writing";
    CIS_TRY(cis_backup_write(store, file.fd, &watch, &sum, &c->stop, err));
    CIS_TRY(read_back(c, file.temp, &watch, &sum, err));
    CIS_TRY(cis_stop_check(&c->stop, "backup", err));
    CIS_TRY(replace ? cis_file_beside_done(&file, err) : cis_file_beside_done_new(&file, err));
    line_end(c);
    summary(c, "backup", &sum, NULL);
    return CIS_OK;
}

static int run_backup(struct cis_cli *cli)
{
    return with_copying(cli, backup_verb);
}

/* ---- restore ---- */
static cis_code source_open(const struct copying *c, int *out_fd, struct cis_error *err)
{
    struct stat st;
    CIS_CLEANUP(fd_close) int fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s", c->path);
    }
    if (!S_ISREG(st.st_mode)) {
        return cis_fail(err, CIS_E_USAGE, "%s: not a file", c->path);
    }
    *out_fd = fd;
    fd = -1;
    return CIS_OK;
}

static void target_free(struct cis_backup_target **target)
{
    if (*target != NULL) {
        (*target)->free(*target);
    }
}

static cis_code target_open(const struct copying *c, struct cis_backup_target **out,
                            struct cis_error *err)
{
    bool replace = cis_cli_has(c->cli, "replace");
    if (!cis_store_postgres_is_url(cis_str_of(c->store))) {
        return cis_store_sqlite_restore(c->store + strlen("sqlite:"), replace, out, err);
    }
    return cis_pg_restore(c->store, replace, out, &c->stop, err);
}

static bool no_tenant(void *self, const struct cis_tenant *tenant)
{
    (void)self;
    (void)tenant;
    return true;
}

static cis_code restore_verb(struct copying *c, struct cis_error *err)
{
    CIS_CLEANUP(fd_close) int fd = -1;
    CIS_CLEANUP(target_free) struct cis_backup_target *target = NULL;
    const struct cis_backup_watch watch = {c, moved, NULL};
    struct cis_backup_summary proved, sum;
    cis_store *store;
    CIS_TRY(source_open(c, &fd, err));
    c->doing = "checking";
    CIS_TRY(cis_backup_read(fd, NULL, &watch, &proved, &c->stop, err));
    CIS_TRY(target_open(c, &target, err));
    c->doing = "restoring";
    CIS_TRY(cis_backup_read(fd, &target->sink, &watch, &sum, &c->stop, err));
    CIS_TRY(target->done(target, &sum.counts, &c->stop, err));
    /* The embedded store makes its catalogue when it is opened. */
    CIS_TRY(cis_app_store(c->app, &store, err));
    CIS_TRY(cis_store_tenant_list(store, no_tenant, NULL, &c->stop, err));
    line_end(c);
    summary(c, "restored", &sum, target->kept);
    return CIS_OK;
}

static int run_restore(struct cis_cli *cli)
{
    return with_copying(cli, restore_verb);
}

static const struct cis_cli_option backup_options[] = {{"replace", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_store_backup = {.name = "store backup",
                                                     .options = backup_options,
                                                     .min_args = 1,
                                                     .max_args = 1,
                                                     .run = run_backup};

static const struct cis_cli_option restore_options[] = {{"replace", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_store_restore = {.name = "store restore",
                                                      .options = restore_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .run = run_restore};
