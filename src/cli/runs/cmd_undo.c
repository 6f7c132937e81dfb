/* `cis runs undo|redo`: taking back what a run changed, and the undo of it: in its branch, and in
 * the folders that it was applied to. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/mem.h"
#include "cli/runs/kept.h"
#include "store/calls.h"

#define UNDO_NOTE "undo of run "
#define REDO_NOTE "redo of run "

struct turns {
    const char *id;
    struct cis_str ref;     /* the branch; borrowed */
    const json_t *mount;    /* of the run's report; NULL: none; borrowed */
    struct cis_view commit; /* of the run */
    struct cis_view last;   /* the newest undo or redo of the run; branch 0: none */
    bool undone;
    bool held; /* the run's commit is one of those that led to the branch's head */
};

/* What version 0.1 wrote had no mark: the note says which run. Its kind is one that nobody else can
 * give a commit, so that no note of a skill or of a command passes for it. */
static bool old_turn(const struct turns *t, const struct cis_fs_commit_row *row,
                     struct cis_str said, bool *out_undone)
{
    static const char *const notes[] = {UNDO_NOTE, REDO_NOTE};
    for (int i = 0; i < 2 && cis_str_is(row->kind, "undo"); i++) {
        size_t n = strlen(notes[i]);
        if (cis_str_starts(said, cis_str_of(notes[i])) &&
            cis_str_is((struct cis_str){said.ptr + n, said.len - n}, t->id)) {
            *out_undone = i == 0;
            return true;
        }
    }
    return false;
}

static bool see_turn(void *self, const struct cis_fs_commit_row *row)
{
    struct turns *t = self;
    struct cis_view commit = {0, 0};
    struct cis_str said = row->note;
    bool undone = false;
    bool marked = cis_history_turned(row, &commit, &undone, &said);
    if ((marked && commit.branch == t->commit.branch && commit.epoch == t->commit.epoch) ||
        old_turn(t, row, said, &undone)) {
        t->last = (struct cis_view){row->branch, row->epoch};
        t->undone = undone;
        t->held = true;
        return false;
    }
    t->held = t->held || (row->branch == t->commit.branch && row->epoch == t->commit.epoch);
    return true;
}

/* ---- the folders that it was applied to ---- */

struct apply_of {
    char ref[CIS_FS_REF_MAX + 1];
    char *guest_path, *folder, *lost; /* lost: why its record cannot be used; NULL: it can */
    int64_t made_ms;
    bool undone, outward, restored;
};
struct applies { /* newest first, all of them: what is left out here stays applied */
    struct apply_of *at;
    size_t n, cap;
    bool full; /* out of memory */
};

static void apply_drop(struct apply_of *apply)
{
    cis_free(apply->guest_path);
    cis_free(apply->folder);
    cis_free(apply->lost);
    *apply = (struct apply_of){.guest_path = NULL};
}

static void applies_done(struct applies *a)
{
    for (size_t i = 0; i < a->n; i++) {
        apply_drop(&a->at[i]);
    }
    cis_free(a->at);
}

static bool take_apply(void *self, const struct cis_cow_applied *applied)
{
    struct applies *a = self;
    if (a->n == a->cap) {
        size_t cap = cis_cap_next(a->cap, 16, CIS_MEM_MAX);
        void *more = cis_realloc_array(a->at, cap, sizeof *a->at);
        if (more == NULL) {
            a->full = true;
            return false;
        }
        a->at = more;
        a->cap = cap;
    }
    struct apply_of *to = &a->at[a->n++];
    to->made_ms = applied->made_ms;
    memcpy(to->ref, applied->ref, sizeof to->ref);
    to->guest_path = cis_strdup(applied->guest_path);
    to->folder = cis_strdup(applied->folder);
    to->lost = applied->lost != NULL ? cis_strdup(applied->lost) : NULL;
    to->undone = applied->undone;
    to->outward = applied->outward;
    to->restored = applied->restored;
    a->full = to->guest_path == NULL || to->folder == NULL ||
              (to->lost == NULL) != (applied->lost == NULL);
    return !a->full;
}

/* Applies that nothing can take back. They are named, and stay when the user said so. */
static cis_code leave_lost(struct cis_fs_cmd *cmd, const struct cis_kept *run, struct applies *a,
                           struct cis_error *err)
{
    size_t kept = 0, n = a->n;
    bool leave = cis_cli_has(cmd->cli, "leave-lost");
    for (size_t i = 0; i < n; i++) {
        struct apply_of mine = a->at[i];
        if (mine.lost == NULL) {
            a->at[i] = a->at[kept];
            a->at[kept++] = mine;
            continue;
        }
        CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
        cis_cli_printable_line(&line, cis_str_of(mine.folder[0] != 0 ? mine.folder : "a folder"));
        cis_buf_text(&line, ": ");
        cis_cli_printable_line(&line, cis_str_of(mine.lost));
        fprintf(stderr, "%s: %s\n", leave ? "left as it is" : "cannot be taken back",
                cis_buf_cstr(&line));
    }
    if (kept != n && !leave) {
        return cis_fail(
            err, CIS_E_EXPIRED,
            "run %s: what it replaced in %zu folders is no longer kept; nothing was changed. "
            "--leave-lost undoes the rest and leaves those folders as they are",
            run->id, n - kept);
    }
    for (size_t i = kept; i < n; i++) {
        apply_drop(&a->at[i]);
    }
    a->n = kept;
    return CIS_OK;
}

/* What a record that came with a backup says of the host that it was made on. */
static size_t applied_before(const struct cis_kept *run)
{
    const json_t *list = json_object_get(run->report, "applied_before"), *mark;
    size_t i, n = 0;
    json_array_foreach(list, i, mark)
    {
        n += !json_is_true(json_object_get(mark, "undone"));
    }
    return run->restored_ms != 0 ? n : 0;
}

/* Those to be turned: applied and not taken back; or the newest of each folder, when it was. */
static cis_code applies_load(struct cis_fs_cmd *cmd, const struct cis_kept *run, bool undo,
                             struct applies *out, struct cis_error *err)
{
    CIS_TRY(cis_app_fs_cache(cmd->app, &cmd->fs_cache, err));
    CIS_TRY(cis_cow_applied_list(cmd->fs_cache, cmd->cli->tenant, run->id, &cmd->stop, take_apply,
                                 out, err));
    if (out->full) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    size_t kept = 0, n = out->n, from = 0;
    for (size_t i = 0; i < n; i++) { /* newest first, whatever is left of them after it */
        if (out->at[i].restored || (run->restored_ms != 0 && out->at[i].lost == NULL &&
                                    out->at[i].made_ms <= run->restored_ms)) {
            from++;
            apply_drop(&out->at[i]);
            continue;
        }
        struct apply_of mine = out->at[i];
        out->at[i] = (struct apply_of){.guest_path = NULL};
        out->at[kept++] = mine;
    }
    from = applied_before(run) != 0 ? applied_before(run) : from;
    if (from != 0) {
        fprintf(
            stderr,
            "run %s: came with a backup; its %zu earlier applies changed folders of another host, "
            "and no folder is changed here\n",
            run->id, from);
    }
    n = kept;
    kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool newest = true;
        for (size_t k = 0; k < i; k++) {
            newest = newest && strcmp(out->at[k].folder, out->at[i].folder) != 0;
        }
        struct apply_of swap = out->at[kept];
        if (undo ? !out->at[i].undone : newest && out->at[i].undone) {
            out->at[kept] = out->at[i];
            out->at[i] = swap;
            kept++;
        }
    }
    for (size_t i = kept; i < n; i++) {
        apply_drop(&out->at[i]);
    }
    out->n = kept;
    return undo ? leave_lost(cmd, run, out, err) : CIS_OK;
}

struct turning {
    struct cis_kept_showing show; /* first: what cis_kept_show() takes */
    struct cis_fs_telling conflicts;
};

static void folder_conflict(void *self, struct cis_str path, const char *why)
{
    struct turning *t = self;
    struct cis_conflict c = {path, why};
    cis_fs_tell_conflict(&t->conflicts, &c);
}

static cis_code undo_folder(struct cis_fs_cmd *cmd, const struct apply_of *apply, bool dry_run,
                            struct turning *t, uint64_t *n, struct cis_error *err)
{
    t->show = (struct cis_kept_showing){.cmd = cmd, .guest_path = apply->guest_path, .err = err};
    struct cis_cow_undo how = {.fs_cache = cmd->fs_cache,
                               .tenant = cmd->cli->tenant,
                               .ref = apply->ref,
                               .dry_run = dry_run,
                               .mends = !cis_cli_has(cmd->cli, "dry-run"),
                               .stop = &cmd->stop,
                               .conflict = folder_conflict,
                               .each = cmd->cli->json || dry_run ? NULL : cis_kept_show,
                               .self = t};
    uint64_t done = 0;
    CIS_TRY(cis_cow_undo(&how, &done, err));
    if (!cmd->cli->json && !dry_run) {
        cis_cli_printf("%s: %llu changes taken back\n", apply->folder, (unsigned long long)done);
    }
    *n += done;
    return CIS_OK;
}

static cis_code redo_folder(struct cis_fs_cmd *cmd, const struct cis_kept *run,
                            const struct apply_of *apply, uint64_t *n, struct cis_error *err)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m;
    size_t i;
    json_array_foreach(mounts, i, m)
    {
        if (cis_kept_is_cow(m) && strcmp(cis_kept_field(m, "guest"), apply->guest_path) == 0) {
            bool own =
                run->restored_ms == 0 && strcmp(cis_kept_field(m, "host"), apply->folder) == 0;
            struct cis_kept_again again = {apply->outward};
            uint64_t done = 0;
            CIS_TRY(cis_kept_apply(cmd, run, m, own ? NULL : apply->folder, &again,
                                   cmd->cli->json ? &done : NULL, err));
            *n += done;
        }
    }
    return CIS_OK;
}

/* Before the branch is turned: a folder that is gone or cannot be read would leave it turned alone.
 */
static cis_code look_folders(const struct applies *applies, struct cis_error *err)
{
    for (size_t i = 0; i < applies->n; i++) {
        const char *folder = applies->at[i].folder;
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno,
                                "%.140s: nothing was done", folder);
        }
        close(fd);
    }
    return CIS_OK;
}

/* ---- the branch ---- */

/* What there is to turn there: *out_there, with the commit in turns. */
static cis_code look_branch(struct cis_fs_cmd *cmd, const struct cis_kept *run, bool undo,
                            struct turns *turns, bool *out_there, struct cis_error *err)
{
    *out_there = false;
    if (turns->commit.branch == 0) {
        return cis_kept_nothing(run, err);
    }
    struct cis_fs_ref now;
    turns->id = run->id;
    CIS_TRY(cis_store_ref_get(cmd->store, cmd->h.tenant, turns->ref, &now, &cmd->stop, err));
    CIS_TRY(cis_history_log(&cmd->h, now.head, 0, false, see_turn, turns, err));
    if (!turns->held && !cis_cli_has(cmd->cli, "branch")) {
        return cis_fail(err, CIS_E_USAGE,
                        "run %s: branch %.*s was set to another state and no longer contains its "
                        "commit; name a branch that does with --branch",
                        run->id, CIS_STR_ARG(turns->ref));
    }
    if (undo == turns->undone) {
        return cis_fail(err, CIS_E_USAGE,
                        undo ? "run %s: already undone (cis runs redo makes its changes again)"
                             : "run %s: it was not undone, so there is nothing to redo",
                        run->id);
    }
    *out_there = true;
    return CIS_OK;
}

/* A cow mount's branch holds more than what the run changed: the union's own records. What the
 * report says was changed is told, where it speaks of this mount alone. */
static uint64_t count_changes(const struct cis_kept *run, const json_t *mount, uint64_t rows)
{
    static const char *const kinds[] = {"added", "modified", "removed", "renamed"};
    const json_t *changes = json_object_get(run->report, "changes"), *m;
    const json_t *files = json_object_get(changes, "files");
    size_t i, committed = 0;
    uint64_t n = 0;
    json_array_foreach(json_object_get(run->report, "mounts"), i, m)
    {
        committed += json_object_get(m, "commit") != NULL || json_object_get(m, "carries") != NULL;
    }
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        n += (uint64_t)json_integer_value(json_object_get(files, kinds[i]));
    }
    bool whole = committed == 1 && json_object_get(files, "incomplete") == NULL;
    return mount != NULL && cis_kept_is_cow(mount) && whole && n != 0 ? n : rows;
}

static cis_code turn_branch(struct cis_fs_cmd *cmd, const struct cis_kept *run,
                            const struct turns *turns, bool dry_run, struct turning *t,
                            struct cis_history_done *done, struct cis_error *err)
{
    char note[64];
    snprintf(note, sizeof note, "%s%s", turns->undone ? REDO_NOTE : UNDO_NOTE, run->id);
    struct cis_history_commit how = {.ref = turns->ref,
                                     .note = note,
                                     .conflict = cis_fs_tell_conflict,
                                     .self = &t->conflicts,
                                     .dry_run = dry_run};
    struct cis_view commit = turns->last.branch != 0 ? turns->last : turns->commit;
    CIS_TRY(cis_history_undo(&cmd->h, commit, &how, done, err));
    done->changes = count_changes(run, turns->mount, done->changes);
    return CIS_OK;
}

/* ---- both ---- */

struct both {
    struct cis_kept run;
    struct applies applies;
    struct turns turns;
    struct cis_str ref;
    bool branch;           /* there is something to turn there */
    struct turns *further; /* of the other mounts, whose branches have commits of their own */
    size_t nfurther;
};

/* A run that wrote to several branches is turned on all of them. */
static cis_code look_further(struct cis_fs_cmd *cmd, bool undo, const json_t *main, struct both *b,
                             struct cis_error *err)
{
    const json_t *mounts = json_object_get(b->run.report, "mounts"), *m;
    size_t i;
    if (cis_fs_branch(cmd).len != 0 || json_array_size(mounts) < 2) {
        return CIS_OK;
    }
    b->further = cis_calloc(json_array_size(mounts), sizeof *b->further);
    if (b->further == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    json_array_foreach(mounts, i, m)
    {
        struct cis_view at;
        struct cis_error why;
        bool there = false;
        const char *branch = cis_kept_branch_of(m);
        cis_code code = m != main && branch != NULL && branch[0] != 0
                            ? cis_kept_commit(cmd, &b->run, m, &at, &why)
                            : CIS_E_NOTFOUND;
        if (code != CIS_OK ||
            (at.branch == b->run.commit.branch && at.epoch == b->run.commit.epoch)) {
            continue;
        }
        struct turns *t = &b->further[b->nfurther];
        *t = (struct turns){.commit = at, .ref = cis_str_of(branch), .mount = m};
        code = look_branch(cmd, &b->run, undo, t, &there, &why);
        if (code == CIS_OK) {
            b->nfurther++;
        } else if (code != CIS_E_USAGE || !t->held || t->undone != undo) { /* else: turned before */
            return cis_fail(err, code, "%s", why.msg);
        }
    }
    return CIS_OK;
}

static cis_code turn_further(struct cis_fs_cmd *cmd, const struct both *b, bool dry_run,
                             struct turning *t, uint64_t *changes, struct cis_error *err)
{
    for (size_t i = 0; i < b->nfurther; i++) {
        struct cis_history_done done = {0};
        CIS_TRY(turn_branch(cmd, &b->run, &b->further[i], dry_run, t, &done, err));
        *changes += done.changes;
        if (!cmd->cli->json && !dry_run) {
            cis_cli_printf("branch %.*s: %llu changes\n", CIS_STR_ARG(b->further[i].ref),
                           (unsigned long long)done.changes);
        }
    }
    return CIS_OK;
}

static cis_code turn_both(struct cis_fs_cmd *cmd, bool undo, const struct both *b,
                          struct turning *t, struct cis_history_done *done, uint64_t *folders,
                          struct cis_error *err)
{
    bool dry_run = cis_cli_has(cmd->cli, "dry-run");
    uint64_t checked = 0, further = 0;
    CIS_TRY(turn_further(cmd, b, true, t, &further, err)); /* as well */
    if (undo && b->applies.n != 0) {                       /* before anything is written */
        CIS_TRY(undo_folder(cmd, &b->applies.at[0], true, t, &checked, err));
        *folders = dry_run ? checked : 0;
    }
    if (!undo) {
        CIS_TRY(look_folders(&b->applies, err));
    }
    if (b->branch) {
        CIS_TRY(turn_branch(cmd, &b->run, &b->turns, dry_run, t, done, err));
        if (b->applies.n != 0 && !cmd->cli->json) { /* also when a folder fails below */
            cis_cli_printf("branch %.*s: %llu changes\n", CIS_STR_ARG(b->ref),
                           (unsigned long long)done->changes);
            fflush(stdout);
        }
    }
    if (!dry_run) {
        further = 0;
        CIS_TRY(turn_further(cmd, b, false, t, &further, err));
    }
    done->changes += further;
    for (size_t i = 0; i < b->applies.n && !(undo && dry_run); i++) {
        CIS_TRY(undo ? undo_folder(cmd, &b->applies.at[i], false, t, folders, err)
                     : redo_folder(cmd, &b->run, &b->applies.at[i], folders, err));
    }
    return CIS_OK;
}

static cis_code tell_both(struct cis_fs_cmd *cmd, const struct both *b, cis_code code,
                          const struct cis_history_done *done, uint64_t folders)
{
    if (b->applies.n == 0 && b->branch) {
        return cis_fs_tell_done(cmd, code, done);
    }
    if (code == CIS_OK && cmd->cli->json) {
        cis_cli_object(
            CIS_JSON(CIS_J("changes", done->changes), CIS_J("branch", done->at.view.branch),
                     CIS_J("epoch", done->at.view.epoch), CIS_J("folder_changes", folders),
                     CIS_J_LIST("conflicts"), CIS_J_LIST_END));
    }
    return code;
}

static void both_done(struct both *b)
{
    applies_done(&b->applies);
    cis_free(b->further);
    cis_kept_done(&b->run);
}

static cis_code turn(struct cis_fs_cmd *cmd, bool undo, struct cis_error *err)
{
    CIS_CLEANUP(both_done) struct both b = {.run = {.code = CIS_OK}};
    struct cis_history_done done = {0};
    struct turning t = {.conflicts = {.cli = cmd->cli}};
    struct cis_error why = {0};
    uint64_t folders = 0;
    CIS_TRY(cis_kept_find(cmd, cmd->cli->args[0], &b.run, err));
    const json_t *main = cis_kept_carrier(&b.run);
    b.ref = cis_fs_branch(cmd);
    if (b.ref.len == 0 && main != NULL) {
        b.ref = cis_str_of(cis_kept_branch_of(main));
    }
    CIS_TRY(applies_load(cmd, &b.run, undo, &b.applies, err));
    b.turns = (struct turns){.commit = b.run.commit, .ref = b.ref, .mount = main};
    cis_code code = look_branch(cmd, &b.run, undo, &b.turns, &b.branch, &why);
    CIS_TRY(look_further(cmd, undo, main, &b, err));
    if (code != CIS_OK &&
        (b.applies.n + b.nfurther == 0 || (code != CIS_E_USAGE && code != CIS_E_NOTFOUND))) {
        return cis_fail(err, code, "%s", why.msg);
    }
    code = turn_both(cmd, undo, &b, &t, &done, &folders, err);
    return tell_both(cmd, &b, code, &done, folders);
}

static cis_code undo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, true, err);
}

static cis_code redo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, false, err);
}

#define TURN_OPTIONS                                                                               \
    {"dry-run", 0, NULL, false, NULL},                                                             \
    {                                                                                              \
        "branch", 0, "NAME", false, NULL                                                           \
    }
static const struct cis_cli_option turn_options[] = {TURN_OPTIONS, {0}};
static const struct cis_cli_option undo_options[] = {
    TURN_OPTIONS, {"leave-lost", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_runs_undo = {
    .name = "runs undo", .options = undo_options, .min_args = 1, .max_args = 1, .fs = undo_verb};

const struct cis_cli_command cis_cmd_runs_redo = {
    .name = "runs redo", .options = turn_options, .min_args = 1, .max_args = 1, .fs = redo_verb};
