/* `cis runs diff|undo|redo|apply`: what a run did to files. */
#include <inttypes.h>
#include <jansson.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/mem.h"
#include "cli/fs.h"
#include "history/text.h"
#include "run/cow.h"

/* ---- which run ---- */

struct run {
    char id[27];
    int64_t started_ms;
    json_t *report;         /* owned */
    struct cis_view commit; /* that carries its record; branch 0: none */
    cis_code code;
    struct cis_error why;
};

static void run_done(struct run *run)
{
    json_decref(run->report);
}

static bool take_run(void *self, const struct cis_run_row *row)
{
    struct run *run = self;
    json_error_t why;
    memcpy(run->id, row->id, sizeof run->id);
    run->started_ms = row->started_ms;
    run->report = json_loadb(row->report.ptr, row->report.len, JSON_ALLOW_NUL, &why);
    if (!json_is_object(run->report)) {
        run->code = cis_fail(&run->why, CIS_E_STORE, "run %s: its report is damaged", row->id);
    }
    return false;
}

static bool take_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct run *run = self;
    run->commit = (struct cis_view){row->branch, row->epoch};
    return false;
}

static cis_code find_run(struct cis_fs_cmd *cmd, const char *given, struct run *out,
                         struct cis_error *err)
{
    char id[27] = "";
    cis_store *store = cmd->store;
    for (size_t i = 0; given[i] != 0 && i < sizeof id - 1; i++) {
        id[i] = given[i] >= 'a' && given[i] <= 'z' ? (char)(given[i] - ('a' - 'A')) : given[i];
    }
    struct cis_str wanted = cis_str_of(strlen(given) < sizeof id ? id : given);
    CIS_TRY(store->ops->run_get(store, cmd->h.tenant, wanted, take_run, out, &cmd->stop, err));
    if (out->code != CIS_OK) {
        return cis_fail(err, out->code, "%s", out->why.msg);
    }
    cis_code code =
        store->fs->commit_of_run(store, cmd->h.tenant, out->id, take_commit, out, &cmd->stop, err);
    return code == CIS_E_NOTFOUND ? CIS_OK : code;
}

static const char *field(const json_t *mount, const char *name)
{
    const char *text = json_string_value(json_object_get(mount, name));
    return text != NULL ? text : "";
}

static bool is_cow(const json_t *mount)
{
    return strcmp(field(mount, "kind"), "cow") == 0;
}

/* Where the changes of a mount went. */
static const char *branch_of(const json_t *mount)
{
    const char *fork = field(mount, "fork");
    return *fork != 0 ? fork : field(mount, "branch");
}

/* The mount whose branch carries the record: the workspace that was written, else the first cow
 * one. NULL: a run without mounts (a skill). */
static const json_t *carrier(const struct run *run)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m, *cow = NULL;
    size_t i;
    json_array_foreach(mounts, i, m)
    {
        if (strcmp(field(m, "kind"), "workspace") == 0 &&
            !json_is_true(json_object_get(m, "read_only"))) {
            return m;
        }
        cow = cow == NULL && is_cow(m) ? m : cow;
    }
    return cow;
}

static cis_code nothing(const struct run *run, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOTFOUND, "run %s: nothing of it was kept in a branch (status %s)",
                    run->id, field(run->report, "status"));
}

/* ---- cow mounts ---- */

/* The state of a cow mount's branch as the run left it: its commit, or the head of a branch that
 * was committed beside it. CIS_E_NOTFOUND: it was not changed. */
static cis_code cow_view(struct cis_fs_cmd *cmd, const struct run *run, const json_t *mount,
                         struct cis_view *out, struct cis_error *err)
{
    struct cis_fs_ref ref;
    CIS_TRY(cmd->store->fs->ref_get(cmd->store, cmd->h.tenant, cis_str_of(branch_of(mount)), &ref,
                                    &cmd->stop, err));
    *out = ref.head.branch == run->commit.branch ? run->commit : ref.head;
    return CIS_OK;
}

static cis_code open_cow(struct cis_fs_cmd *cmd, const struct run *run, const json_t *mount,
                         const char *folder, cis_cow **out, struct cis_error *err)
{
    struct cis_cow_options o = {.tenant = cmd->cli->tenant,
                                .folder = folder != NULL ? folder : field(mount, "host"),
                                .stop = &cmd->stop};
    CIS_TRY(cow_view(cmd, run, mount, &o.at, err));
    CIS_TRY(cis_app_forest(cmd->app, &cmd->forest, err));
    o.forest = cmd->forest;
    return cis_cow_open(&o, out, err);
}

#define HEAD "{\"schema\":1,\"changes\":["

struct showing {
    struct cis_fs_cmd *cmd;
    cis_cow *cow;
    const char *guest;
    bool text, begun; /* begun: the JSON's head is printed */
    uint64_t n;
    cis_code code;
    struct cis_error *err;
};

static cis_code read_side(struct showing *s, struct cis_str path, bool folder, struct cis_buf *out,
                          bool *out_text)
{
    struct cis_error why;
    cis_code code = cis_cow_read(s->cow, path, folder, out, &why);
    *out_text = code == CIS_OK && cis_text_is(cis_buf_bytes(out));
    return code == CIS_OK || code == CIS_E_LIMIT ? CIS_OK : cis_fail(s->err, code, "%s", why.msg);
}

static cis_code text_diff(struct showing *s, const struct cis_union_change *c)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf old = CIS_BUF_INIT(CIS_TEXT_DIFF_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf now = CIS_BUF_INIT(CIS_TEXT_DIFF_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1u << 20);
    bool text_a = true, text_b = true;
    if (c->what != 'A') {
        CIS_TRY(read_side(s, c->path, true, &old, &text_a));
    }
    if (c->what != 'D') {
        CIS_TRY(read_side(s, c->path, false, &now, &text_b));
    }
    cis_buf_text(&a, c->what != 'A' ? "a/" : "/dev/null");
    cis_buf_text(&b, c->what != 'D' ? "b/" : "/dev/null");
    if (c->what != 'A') {
        cis_fs_name(&a, c->path);
    }
    if (c->what != 'D') {
        cis_fs_name(&b, c->path);
    }
    if (text_a && text_b) {
        CIS_TRY(cis_text_diff(cis_buf_bytes(&old), cis_buf_bytes(&now), cis_buf_view(&a),
                              cis_buf_view(&b), 3, &out, s->err));
    } else {
        cis_buf_printf(&out, "binary files %s and %s differ\n", cis_buf_cstr(&a), cis_buf_cstr(&b));
    }
    cis_cli_foreign(out.ptr, out.len);
    return CIS_OK;
}

static void json_change(const struct showing *s, const struct cis_union_change *c,
                        struct cis_buf *out)
{
    cis_buf_printf(out, "%s{\"change\":\"%s\",\"mount\":",
                   s->n != 0  ? ","
                   : s->begun ? ""
                              : HEAD,
                   c->what == 'A'   ? "added"
                   : c->what == 'D' ? "removed"
                   : c->what == 'R' ? "renamed"
                                    : "modified");
    cis_buf_json(out, cis_str_of(s->guest));
    cis_buf_text(out, ",\"path\":");
    cis_buf_json(out, c->path);
    if (c->from.len != 0) {
        cis_buf_text(out, ",\"from\":");
        cis_buf_json(out, c->from);
    }
    cis_buf_printf(out, ",\"type\":\"%s\"", cis_fs_type(c->mode));
    if (c->what != 'D') {
        cis_buf_printf(out, ",\"size\":%" PRIu64, c->size);
    }
    if (c->what == 'D' || c->what == 'M') {
        cis_buf_printf(out, ",\"old_size\":%" PRIu64, c->old_size);
    }
    cis_buf_byte(out, '}');
}

static void line_change(const struct cis_union_change *c, struct cis_buf *out)
{
    cis_buf_printf(out, "%c ", c->what);
    if (c->from.len != 0) {
        cis_fs_name(out, c->from);
        cis_buf_text(out, " -> ");
    }
    cis_fs_name(out, c->path);
    if (S_ISDIR(c->mode)) {
        cis_buf_byte(out, '/');
    } else if (c->what == 'M') {
        cis_buf_printf(out, "  %" PRIu64 " -> %" PRIu64, c->old_size, c->size);
    } else if (c->what != 'R') {
        cis_buf_printf(out, "  %" PRIu64, c->what == 'A' ? c->size : c->old_size);
    }
    cis_buf_byte(out, '\n');
}

static bool show(void *self, const struct cis_union_change *c)
{
    struct showing *s = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    if (s->cmd->cli->json) {
        json_change(s, c, &line);
    } else if (!s->text || !S_ISREG(c->mode)) {
        line_change(c, &line);
    }
    cis_fs_flush(&line);
    if (s->text && !s->cmd->cli->json && S_ISREG(c->mode)) {
        s->code = text_diff(s, c);
    }
    s->n++;
    return s->code == CIS_OK;
}

static cis_code show_cow(struct cis_fs_cmd *cmd, const struct run *run, const json_t *mount,
                         uint64_t *n, struct cis_error *err)
{
    struct showing s = {.cmd = cmd,
                        .guest = field(mount, "guest"),
                        .text = cis_cli_has(cmd->cli, "text"),
                        .begun = true,
                        .n = *n,
                        .err = err};
    cis_code code = open_cow(cmd, run, mount, NULL, &s.cow, err);
    code = code == CIS_OK ? cis_cow_changes(s.cow, show, &s, err) : code;
    cis_cow_close(s.cow);
    *n = s.n;
    return code == CIS_OK ? s.code : code;
}

/* ---- diff ---- */

static bool was_changed(struct cis_fs_cmd *cmd, const struct run *run, const json_t *mount)
{
    struct cis_view ignored;
    struct cis_error why;
    return is_cow(mount) && cow_view(cmd, run, mount, &ignored, &why) != CIS_E_NOTFOUND;
}

static cis_code diff_all(struct cis_fs_cmd *cmd, const struct run *run, bool own,
                         struct cis_error *err)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m;
    struct cis_view before = {run->commit.branch, run->commit.epoch - 1};
    uint64_t n = 0;
    size_t i;
    if (own) {
        CIS_TRY(cis_fs_show_diff(cmd, before, run->commit, &n, err));
    }
    json_array_foreach(mounts, i, m)
    {
        if (was_changed(cmd, run, m)) {
            CIS_TRY(show_cow(cmd, run, m, &n, err));
        }
    }
    return CIS_OK;
}

static cis_code diff_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_CLEANUP(run_done) struct run run = {.code = CIS_OK};
    CIS_TRY(find_run(cmd, cmd->cli->args[0], &run, err));
    const json_t *mounts = json_object_get(run.report, "mounts"), *m, *main = carrier(&run);
    bool own = run.commit.branch != 0 && (main == NULL || !is_cow(main)), any = own;
    size_t i;
    json_array_foreach(mounts, i, m)
    {
        any = any || was_changed(cmd, &run, m);
    }
    if (!any) {
        return nothing(&run, err);
    }
    if (cmd->cli->json) {
        cis_cli_printf(HEAD);
    }
    CIS_TRY(diff_all(cmd, &run, own, err));
    if (cmd->cli->json) {
        cis_cli_printf("]}\n");
    }
    return CIS_OK;
}

static int run_diff(struct cis_cli *cli)
{
    return cis_fs_run(cli, diff_verb);
}

static const struct cis_cli_option diff_options[] = {
    {"text", 0, NULL, "unified diffs of text files of at most 4 MiB", false, NULL},
    {"path", 0, "PATH", "of the workspace: only this file, or what is below this directory", false,
     NULL},
    CIS_FS_END_OPTION};

const struct cis_cli_command cis_cmd_runs_diff = {
    .name = "runs diff",
    .args = "ID",
    .summary = "what a run changed",
    .help =
        "A added, M modified, D removed, R renamed; sizes before and after. Of a workspace it "
        "is the\nrun's own commit. Of a folder that was mounted as cow it is what the branch "
        "makes of the folder\nas that is now: the run's changes, and those of runs before it on "
        "the same branch.",
    .examples = "  cis runs diff 01KAJ2 --text\n",
    .options = diff_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_diff};

/* ---- undo, redo ---- */

#define UNDO_NOTE "undo of run "
#define REDO_NOTE "redo of run "

struct turns {
    const char *id;
    struct cis_view last; /* the newest undo or redo of the run; branch 0: none */
    bool undone;
};

static bool see_turn(void *self, const struct cis_fs_commit_row *row)
{
    struct turns *t = self;
    static const char *const notes[] = {UNDO_NOTE, REDO_NOTE};
    for (int i = 0; i < 2; i++) {
        struct cis_str rest = row->note;
        size_t n = strlen(notes[i]);
        if (cis_str_starts(rest, cis_str_of(notes[i])) &&
            cis_str_is((struct cis_str){rest.ptr + n, rest.len - n}, t->id)) {
            t->last = (struct cis_view){row->branch, row->epoch};
            t->undone = i == 0;
            return false;
        }
    }
    return true;
}

/* The commit of the run as it stands: taken back, and brought back, by commits whose notes say so.
 */
static cis_code find_turns(struct cis_fs_cmd *cmd, const struct run *run, struct cis_str ref,
                           struct turns *out, struct cis_error *err)
{
    struct cis_fs_ref now;
    *out = (struct turns){.id = run->id};
    CIS_TRY(cmd->store->fs->ref_get(cmd->store, cmd->h.tenant, ref, &now, &cmd->stop, err));
    return cis_history_log(&cmd->h, now.head, 0, false, see_turn, out, err);
}

static cis_code turn(struct cis_fs_cmd *cmd, bool undo, struct cis_error *err)
{
    CIS_CLEANUP(run_done) struct run run = {.code = CIS_OK};
    struct cis_history_done done = {0};
    struct turns turns;
    char note[64];
    CIS_TRY(find_run(cmd, cmd->cli->args[0], &run, err));
    const json_t *main = carrier(&run);
    struct cis_str ref = cis_fs_branch(cmd);
    if (ref.len == 0 && main != NULL) {
        ref = cis_str_of(branch_of(main));
    }
    if (run.commit.branch == 0) {
        return nothing(&run, err);
    }
    CIS_TRY(find_turns(cmd, &run, ref, &turns, err));
    if (undo == turns.undone) {
        return cis_fail(err, CIS_E_USAGE,
                        undo ? "run %s: is undone already (cis runs redo brings it back)"
                             : "run %s: is not undone",
                        run.id);
    }
    struct cis_fs_telling t = {.cli = cmd->cli};
    snprintf(note, sizeof note, "%s%s", undo ? UNDO_NOTE : REDO_NOTE, run.id);
    struct cis_history_commit how = {.ref = ref,
                                     .note = note,
                                     .conflict = cis_fs_tell_conflict,
                                     .self = &t,
                                     .dry_run = cis_cli_has(cmd->cli, "dry-run")};
    struct cis_view commit = turns.last.branch != 0 ? turns.last : run.commit;
    return cis_fs_tell_done(cmd, cis_history_undo(&cmd->h, commit, &how, &done, err), &t, &done);
}

static cis_code undo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, true, err);
}

static cis_code redo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, false, err);
}

static int run_undo(struct cis_cli *cli)
{
    return cis_fs_run(cli, undo_verb);
}

static int run_redo(struct cis_cli *cli)
{
    return cis_fs_run(cli, redo_verb);
}

static const struct cis_cli_option turn_options[] = {
    {"dry-run", 0, NULL, "find conflicts, change nothing", false, NULL},
    {"branch", 0, "NAME", "do it on this branch (default: the one that the run wrote to)", false,
     NULL},
    CIS_FS_END_OPTION};

const struct cis_cli_command cis_cmd_runs_undo = {
    .name = "runs undo",
    .args = "ID",
    .summary = "take back what a run changed, and keep what came after it",
    .help = "Files and memory, as one commit. What was changed again since is a conflict: all are "
            "listed,\nnothing is done, and the exit code is 8. Folders of the host that were "
            "mounted without cow\nare not cis's to undo.",
    .examples = "  cis runs undo 01KAJ2\n",
    .options = turn_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_undo};

const struct cis_cli_command cis_cmd_runs_redo = {.name = "runs redo",
                                                  .args = "ID",
                                                  .summary = "take back the undo of a run",
                                                  .help = "By the same rules as `cis runs undo`.",
                                                  .options = turn_options,
                                                  .min_args = 1,
                                                  .max_args = 1,
                                                  .run = run_redo};

/* ---- apply ---- */

struct applying {
    struct showing show; /* first: what show() takes */
    uint64_t conflicts;
};

static void apply_conflict(void *self, struct cis_str path, const char *why)
{
    struct applying *a = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    cis_cli_printable_line(&line, path);
    if (a->conflicts++ < 100) {
        fprintf(stderr, "conflict: %s: %s\n", cis_buf_cstr(&line), why);
    }
}

static const json_t *the_cow(const struct run *run, const char *guest, size_t *out_n)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m, *found = NULL;
    size_t i;
    *out_n = 0;
    json_array_foreach(mounts, i, m)
    {
        if (is_cow(m) && (guest == NULL || strcmp(field(m, "guest"), guest) == 0)) {
            found = m;
            ++*out_n;
        }
    }
    return found;
}

static bool first_commit(void *self, const struct cis_fs_commit_row *row)
{
    memcpy(self, row->run, sizeof row->run);
    return false;
}

static bool take_start(void *self, const struct cis_run_row *row)
{
    *(int64_t *)self = row->started_ms;
    return false;
}

/* When the first run on the branch began: from then on changes of the folder count. */
static cis_code since(struct cis_fs_cmd *cmd, const struct run *run, const json_t *mount,
                      int64_t *out_ms, struct cis_error *err)
{
    char id[27] = "";
    struct cis_view at;
    const cis_store *store = cmd->store;
    CIS_TRY(cow_view(cmd, run, mount, &at, err));
    CIS_TRY(store->fs->commits(cmd->store, cmd->h.tenant, at.branch, 0, at.epoch, false, 1, false,
                               first_commit, id, &cmd->stop, err));
    *out_ms = run->started_ms;
    if (id[0] != 0 && strcmp(id, run->id) != 0) { /* its record may be gone: then this run's time */
        struct cis_error why;
        (void)store->ops->run_get(cmd->store, cmd->h.tenant, cis_str_of(id), take_start, out_ms,
                                  &cmd->stop, &why);
    }
    return CIS_OK;
}

static cis_code apply_to(struct cis_fs_cmd *cmd, const struct run *run, const json_t *mount,
                         struct cis_error *err)
{
    struct applying a = {.show = {.cmd = cmd, .guest = field(mount, "guest"), .err = err}};
    struct cis_cow_apply how = {.dry_run = cis_cli_has(cmd->cli, "dry-run"),
                                .conflict = apply_conflict,
                                .each = show,
                                .self = &a};
    uint64_t n = 0;
    if (!cis_cli_has(cmd->cli, "force")) {
        CIS_TRY(since(cmd, run, mount, &how.since_ms, err));
    }
    cis_code code = open_cow(cmd, run, mount, cis_cli_value(cmd->cli, "to"), &a.show.cow, err);
    code = code == CIS_OK ? cis_cow_apply(a.show.cow, &how, &n, err) : code;
    cis_cow_close(a.show.cow);
    if (cmd->cli->json && (code == CIS_OK || a.show.n != 0)) { /* else the error stands alone */
        cis_cli_printf("%s]}\n", a.show.n == 0 ? HEAD : "");
    } else if (code == CIS_OK && n == 0) {
        cis_cli_printf("nothing to do\n");
    }
    return code;
}

static cis_code apply_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_CLEANUP(run_done) struct run run = {.code = CIS_OK};
    const char *guest = cis_cli_value(cmd->cli, "mount");
    size_t n;
    CIS_TRY(find_run(cmd, cmd->cli->args[0], &run, err));
    const json_t *mount = the_cow(&run, guest, &n);
    if (n == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "run %s: no folder was mounted as cow%s%.80s", run.id,
                        guest != NULL ? " at " : "", guest != NULL ? guest : "");
    }
    if (n > 1) {
        return cis_fail(err, CIS_E_USAGE,
                        "run %s: %zu folders were mounted as cow; --mount says "
                        "which",
                        run.id, n);
    }
    struct cis_view at;
    struct cis_error why;
    if (cow_view(cmd, &run, mount, &at, &why) == CIS_E_NOTFOUND) {
        return nothing(&run, err);
    }
    return apply_to(cmd, &run, mount, err);
}

static int run_apply(struct cis_cli *cli)
{
    return cis_fs_run(cli, apply_verb);
}

static const struct cis_cli_option apply_options[] = {
    {"to", 0, "DIR", "another folder than the one that was mounted", false, NULL},
    {"mount", 0, "GUEST", "of several cow mounts the one that the program found here", false, NULL},
    {"dry-run", 0, NULL, "check, and say what would be done", false, NULL},
    {"force", 0, NULL, "overwrite what was changed in the folder since", false, NULL},
    CIS_FS_END_OPTION};

const struct cis_cli_command cis_cmd_runs_apply = {
    .name = "runs apply",
    .args = "ID",
    .summary = "bring what a run did on a cow mount to the folder",
    .help =
        "Says what it does, as `cis runs diff`. When a file that it would replace or remove was "
        "changed in\nthe folder since the run began, or one that it would make is there, all "
        "those are listed, nothing\nis done, and the exit code is 8. Each file is written "
        "beside and moved to its place; all of them\nare no transaction: what a full disk "
        "stopped can be applied again.",
    .examples = "  cis run --dir .:cow formatter.wasm src/\n  cis runs diff 01KAJ2\n"
                "  cis runs apply 01KAJ2\n",
    .options = apply_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_apply};
