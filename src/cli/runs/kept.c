/* Finding a run, its mounts and its changes. */
#include "cli/runs/kept.h"

#include <inttypes.h>
#include <sys/stat.h>
#include "base/json.h"
#include "base/mem.h"
#include "history/text.h"
#include "store/calls.h"

/* ---- which run ---- */

void cis_kept_done(struct cis_kept *run)
{
    json_decref(run->report);
}

static bool take_id(void *self, const struct cis_run_row *row)
{
    memcpy(self, row->id, sizeof row->id);
    return false;
}

cis_code cis_kept_id(cis_store *store, struct cis_str tenant, const char *given,
                     const struct cis_stop *stop, struct cis_buf *out, struct cis_error *err)
{
    char id[27] = "";
    if (strcmp(given, "last") != 0) {
        for (const char *p = given; *p != 0; p++) {
            cis_buf_byte(out, *p >= 'a' && *p <= 'z' ? (uint8_t)(*p - ('a' - 'A')) : (uint8_t)*p);
        }
        return cis_buf_check(out, "run", err);
    }
    CIS_TRY(cis_store_run_list(store, tenant,
                               &(struct cis_run_query){.skill = cis_str_of(NULL), .limit = 1},
                               take_id, id, stop, err));
    cis_buf_text(out, id);
    return id[0] != 0 ? cis_buf_check(out, "run", err)
                      : cis_fail(err, CIS_E_NOTFOUND, "last: there are no runs");
}

static json_t *text_of(struct cis_str value)
{
    return json_stringn(value.ptr, value.len);
}

/* Reports of 0.1 hold the result as the guest wrote it. Member by member, so that it cannot hide
 * what we wrote beside it. */
static json_t *by_members(struct cis_str text)
{
    json_t *report = json_object();
    struct cis_str name, value;
    for (size_t at = 0; report != NULL && cis_json_member(text, &at, &name, &value);) {
        json_t *one = json_loadb(value.ptr, value.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        bool result = one == NULL && cis_str_is(name, "result");
        one = one != NULL ? one : text_of(value);
        if (result && json_object_set_new(report, "result_text", one) == 0) {
            one = json_null();
        }
        if (json_object_setn_new(report, name.ptr, name.len, one) != 0) {
            json_decref(report);
            report = NULL;
        }
    }
    return report;
}

json_t *cis_kept_report(struct cis_str text)
{
    json_t *report = NULL;
    if (cis_json_reads(text.ptr, text.len)) {
        report = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, NULL);
    } else if (cis_json_valid(text.ptr, text.len, NULL)) {
        report = by_members(text);
    }
    if (report != NULL && !json_is_object(report)) {
        json_decref(report);
        report = NULL;
    }
    return report;
}

static bool take_run(void *self, const struct cis_run_row *row)
{
    struct cis_kept *run = self;
    memcpy(run->id, row->id, sizeof run->id);
    run->started_ms = row->started_ms;
    run->restored_ms = cis_run_restored_ms(row->report);
    run->report = cis_kept_report(row->report);
    if (run->report == NULL) {
        run->code = cis_fail(&run->why, CIS_E_STORE, "run %s: its report is damaged", row->id);
    }
    return false;
}

static bool take_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct cis_kept *run = self;
    run->commit = (struct cis_view){row->branch, row->epoch};
    return false;
}

cis_code cis_kept_find(struct cis_fs_cmd *cmd, const char *given, struct cis_kept *out,
                       struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf id = CIS_BUF_INIT(4096);
    cis_store *store = cmd->store;
    CIS_TRY(cis_kept_id(store, cmd->h.tenant, given, &cmd->stop, &id, err));
    CIS_TRY(
        cis_store_run_get(store, cmd->h.tenant, cis_buf_view(&id), take_run, out, &cmd->stop, err));
    if (out->code != CIS_OK) {
        return cis_fail(err, out->code, "%s", out->why.msg);
    }
    cis_code code =
        cis_store_commit_of_run(store, cmd->h.tenant, out->id, take_commit, out, &cmd->stop, err);
    return code == CIS_E_NOTFOUND ? CIS_OK : code;
}

const char *cis_kept_field(const json_t *mount, const char *name)
{
    const char *text = json_string_value(json_object_get(mount, name));
    return text != NULL ? text : "";
}

bool cis_kept_is_cow(const json_t *mount)
{
    return strcmp(cis_kept_field(mount, "kind"), "cow") == 0;
}

const char *cis_kept_branch_of(const json_t *mount)
{
    const char *fork = cis_kept_field(mount, "fork");
    return *fork != 0 ? fork : cis_kept_field(mount, "branch");
}

const json_t *cis_kept_carrier(const struct cis_kept *run)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m, *cow = NULL;
    size_t i;
    json_array_foreach(mounts, i, m)
    {
        if (strcmp(cis_kept_field(m, "kind"), "workspace") == 0 &&
            !json_is_true(json_object_get(m, "read_only"))) {
            return m;
        }
        cow = cow == NULL && cis_kept_is_cow(m) ? m : cow;
    }
    return cow;
}

cis_code cis_kept_nothing(const struct cis_kept *run, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOTFOUND, "run %s: none of its changes were kept (status %s)",
                    run->id, cis_kept_field(run->report, "status"));
}

bool cis_kept_ended_well(const struct cis_kept *run)
{
    return strcmp(cis_kept_field(run->report, "status"), "ok") == 0;
}

/* ---- the commit of a mount's changes ---- */

static bool commit_in(const json_t *mount, struct cis_view *out)
{
    const json_t *commit = json_object_get(mount, "commit");
    json_int_t branch = json_integer_value(json_object_get(commit, "branch"));
    json_int_t epoch = json_integer_value(json_object_get(commit, "epoch"));
    *out = (struct cis_view){(uint64_t)branch, (uint64_t)epoch};
    return branch > 0 && epoch > 0;
}

static bool may_write(const json_t *mount)
{
    return (cis_kept_is_cow(mount) || strcmp(cis_kept_field(mount, "kind"), "workspace") == 0) &&
           !json_is_true(json_object_get(mount, "read_only"));
}

struct guess {
    const char *run;
    struct cis_view own, oldest; /* branch 0: none */
};

static bool look(void *self, const struct cis_fs_commit_row *row)
{
    struct guess *g = self;
    g->oldest = (struct cis_view){row->branch, row->epoch}; /* newest first: the last one stays */
    g->own = strcmp(row->run, g->run) == 0 ? g->oldest : g->own;
    return g->own.branch == 0;
}

/* Records of version 0.1 say which branch a mount's changes went to, and not which commit of it
 * they are. It is known where only one mount wrote, of the branch whose commit has the record, and
 * of a branch that the run made, whose first commit it is. The branch's head is never taken for it.
 */
static cis_code commit_guessed(struct cis_fs_cmd *cmd, const struct cis_kept *run,
                               const json_t *mount, struct cis_view *out, struct cis_error *err)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m;
    const char *branch = cis_kept_branch_of(mount);
    struct cis_fs_ref ref;
    size_t i, writers = 0;
    json_array_foreach(mounts, i, m)
    {
        writers += may_write(m);
    }
    if (writers == 1) {
        *out = run->commit;
        return out->branch != 0 ? CIS_OK : cis_kept_nothing(run, err);
    }
    CIS_TRY(
        cis_store_ref_get(cmd->store, cmd->h.tenant, cis_str_of(branch), &ref, &cmd->stop, err));
    struct guess g = {.run = run->id};
    CIS_TRY(cis_history_log(&cmd->h, ref.head, 0, false, look, &g, err));
    *out = g.own.branch != 0 ? g.own : g.oldest;
    if (g.own.branch == 0 && strstr(branch, run->id) == NULL) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "run %s: an earlier version of cis wrote its record, which does not say "
                        "which commit of branch %s it made; see cis fs log %s",
                        run->id, branch, branch);
    }
    return out->branch != 0 ? CIS_OK : cis_kept_nothing(run, err);
}

cis_code cis_kept_commit(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                         struct cis_view *out, struct cis_error *err)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m;
    size_t i;
    if (commit_in(mount, out)) {
        return CIS_OK;
    }
    if (json_is_true(json_object_get(mount, "carries"))) {
        *out = run->commit;
        return out->branch != 0 ? CIS_OK : cis_kept_nothing(run, err);
    }
    json_array_foreach(mounts, i, m)
    {
        struct cis_view ignored;
        if (commit_in(m, &ignored) || json_object_get(m, "carries") != NULL) {
            return cis_kept_nothing(run, err); /* the record names commits: this one has none */
        }
    }
    return may_write(mount) ? commit_guessed(cmd, run, mount, out, err)
                            : cis_kept_nothing(run, err);
}

cis_code cis_kept_open_cow(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                           const char *folder, cis_cow **out, struct cis_error *err)
{
    struct cis_cow_options o = {.tenant = cmd->cli->tenant,
                                .folder = folder != NULL ? folder : cis_kept_field(mount, "host"),
                                .exact = folder == NULL,
                                .stop = &cmd->stop};
    CIS_TRY(cis_kept_commit(cmd, run, mount, &o.at, err));
    CIS_TRY(cis_app_fs_cache(cmd->app, &cmd->fs_cache, err));
    o.fs_cache = cmd->fs_cache;
    return cis_cow_open(&o, out, err);
}

/* ---- changes ---- */

#define CUT "…/" /* stands for the beginning of a path that is too long */

/* Of one file alone, which does not end the list: it is too long, it may not be read, it is no
 * file. */
static bool one_files(cis_code code)
{
    return code == CIS_E_LIMIT || code == CIS_E_DENIED || code == CIS_E_NOTFOUND ||
           code == CIS_E_INVALID;
}

static cis_code read_side(struct cis_kept_showing *s, struct cis_str path, bool folder,
                          struct cis_buf *out, bool *out_text)
{
    struct cis_error why;
    cis_code code = cis_cow_read(s->cow, path, folder, out, &why);
    *out_text = code == CIS_OK && cis_text_is(cis_buf_bytes(out));
    return code == CIS_OK || one_files(code) ? CIS_OK : cis_fail(s->err, code, "%s", why.msg);
}

/* Where the folder has what the branch has at path: below a folder that the run renamed, it is
 * below the old name of that. */
static cis_code old_path(const struct cis_kept_showing *s, const struct cis_union_change *c,
                         struct cis_buf *out)
{
    struct cis_str path = c->from.len != 0 ? c->from : c->path;
    const char *from = NULL;
    size_t len = c->from.len != 0 ? 0 : path.len;
    while (len > 0 && from == NULL) {
        len--;
        from =
            path.ptr[len] == '/' ? cis_map_get(&s->moved, (struct cis_str){path.ptr, len}) : NULL;
    }
    cis_buf_text(out, from != NULL ? from : "");
    cis_buf_add(out, path.ptr + (from != NULL ? len : 0), path.len - (from != NULL ? len : 0));
    return cis_buf_check(out, "diff", s->err);
}

static cis_code note_moved(struct cis_kept_showing *s, const struct cis_union_change *c)
{
    char *from = cis_strndup(c->from.ptr, c->from.len);
    void *old = NULL;
    cis_code code = from != NULL ? cis_map_set(&s->moved, c->path, from, &old, s->err)
                                 : cis_fail(s->err, CIS_E_NOMEM, "out of memory");
    cis_free(code == CIS_OK ? old : from);
    return code;
}

void cis_kept_showing_done(struct cis_kept_showing *s)
{
    cis_map_done(&s->moved, cis_free);
}

static cis_code text_diff(struct cis_kept_showing *s, const struct cis_union_change *c)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf was = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf old = CIS_BUF_INIT(CIS_TEXT_DIFF_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf now = CIS_BUF_INIT(CIS_TEXT_DIFF_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1u << 20);
    bool text_a = true, text_b = true;
    CIS_TRY(old_path(s, c, &was));
    if (c->what != 'A') {
        CIS_TRY(read_side(s, cis_buf_view(&was), true, &old, &text_a));
    }
    if (c->what != 'D') {
        CIS_TRY(read_side(s, c->path, false, &now, &text_b));
    }
    cis_fs_label(&a, "a/", c->what != 'A', cis_buf_view(&was));
    cis_fs_label(&b, "b/", c->what != 'D', c->path);
    if (text_a && text_b) {
        return cis_fs_show_text(&old, &now, &a, &b, &s->cmd->stop, s->err);
    }
    cis_buf_printf(&out, "binary files %s and %s differ\n", cis_buf_cstr(&a), cis_buf_cstr(&b));
    cis_cli_foreign(out.ptr, out.len);
    return CIS_OK;
}

/* By an apply: see cis_cow_apply. */
static bool is_left_out(const struct cis_union_change *c)
{
    return c->what != 'D' && !S_ISREG(c->mode) && !S_ISDIR(c->mode) && !S_ISLNK(c->mode);
}

static void json_change(const struct cis_kept_showing *s, const struct cis_union_change *c)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_UNION_PATH_MAX);
    cis_buf_text(&path, c->cut ? CUT : "");
    cis_buf_str(&path, c->path);
    cis_cli_item(CIS_JSON(
        CIS_J("change", cis_fs_change_word(c->what)), CIS_J("mount", s->guest_path),
        CIS_J("path", cis_buf_view(&path)), CIS_J_IF(c->cut, CIS_J_BOOL("cut", true)),
        CIS_J_IF(c->from.len != 0, CIS_J("from", c->from)), CIS_J("type", cis_fs_type(c->mode)),
        CIS_J_IF(c->target.len != 0, CIS_J("target", c->target)),
        CIS_J_IF(is_left_out(c), CIS_J_BOOL("left_out", true)),
        CIS_J_IF(c->what != 'D', CIS_J("size", c->size)),
        CIS_J_IF(c->what == 'D' || c->what == 'M', CIS_J("old_size", c->old_size))));
}

static void line_change(const struct cis_union_change *c, struct cis_buf *out)
{
    cis_buf_printf(out, "%c ", c->what);
    if (c->from.len != 0) {
        cis_fs_name(out, c->from);
        cis_buf_text(out, " -> ");
    }
    cis_cli_quoted(out, c->cut ? CUT : "", c->path);
    if (S_ISDIR(c->mode)) {
        cis_buf_byte(out, '/');
    } else if (c->target.len != 0) {
        cis_buf_text(out, " -> ");
        cis_fs_name(out, c->target);
    } else if (is_left_out(c)) {
        cis_buf_printf(out, "  a %s: an apply leaves it out", cis_fs_type(c->mode));
    } else if (c->what == 'M') {
        cis_buf_printf(out, "  %" PRIu64 " -> %" PRIu64, c->old_size, c->size);
    } else if (c->what != 'R') {
        cis_buf_printf(out, "  %" PRIu64, c->what == 'A' ? c->size : c->old_size);
    }
    cis_buf_byte(out, '\n');
}

bool cis_kept_show(void *self, const struct cis_union_change *c)
{
    struct cis_kept_showing *s = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    bool text = s->text && !s->zero && !s->cmd->cli->json && S_ISREG(c->mode) && !c->cut;
    if (s->text && !s->zero && !s->cmd->cli->json && c->what == 'R' && S_ISDIR(c->mode)) {
        s->code = note_moved(s, c);
        if (s->code != CIS_OK) {
            return false;
        }
    }
    if (s->cmd->cli->json) {
        json_change(s, c);
    } else if (s->zero) {
        cis_fs_change_raw(&line, c->what, c->from, c->cut ? CUT : "", c->path);
    } else if (!text) {
        line_change(c, &line);
    }
    cis_fs_flush(&line);
    if (text) {
        s->code = text_diff(s, c);
    }
    return s->code == CIS_OK;
}
