/* run_apply: what a run changed comes to the folder, when the person says so. What is shown is what
 * is applied: a commit does not change, and what somebody changed in the folder meanwhile is a
 * conflict. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/crypto.h"
#include "base/mem.h"

#define KEY "cis/apply" /* no key of a skill has a slash */
#define SHOWN 40u
#define SHOWN_BYTES 3500u

struct applying {
    struct cis_buf text; /* lines that the person, or the model, is shown */
    unsigned n, shown;
    uint8_t list[CIS_SHA256_BYTES]; /* of all changes, shown or not */
};

static void applying_done(struct applying *a)
{
    cis_buf_done(&a->text);
}

static void add_line(struct applying *a, const char *what, struct cis_str path, const char *why)
{
    a->n++;
    if (a->shown < SHOWN && a->text.len < SHOWN_BYTES) {
        a->shown++;
        cis_buf_printf(&a->text, "\n%s ", what);
        cis_buf_json(&a->text, path); /* quoted: a name is never more than a part of its line */
        cis_buf_text(&a->text, why[0] != 0 ? ": " : "");
        cis_buf_text(&a->text, why);
    }
}

static bool take_change(void *self, const struct cis_union_change *c)
{
    struct applying *a = self;
    const char what[2] = {c->what, 0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf from = CIS_BUF_INIT(8 * CIS_VFS_PATH_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(CIS_MEM_MAX);
    if (c->from.len != 0) {
        cis_buf_text(&from, "from ");
        cis_buf_json(&from, c->from);
    }
    add_line(a, what, c->path, cis_buf_cstr(&from));
    cis_buf_add(&all, a->list, sizeof a->list);
    cis_buf_text(&all, what);
    cis_buf_json(&all, c->path);
    cis_buf_json(&all, c->from);
    cis_sha256(cis_buf_bytes(&all), a->list);
    return all.failed == CIS_OK;
}

static void take_conflict(void *self, struct cis_str path, const char *why)
{
    add_line(self, "conflict:", path, why);
}

static void take_left_out(void *self, struct cis_str path, uint32_t mode)
{
    struct applying *a = self;
    (void)mode;
    if (a->text.len < SHOWN_BYTES) {
        cis_buf_text(&a->text, "\nleft out (no file): ");
        cis_buf_json(&a->text, path);
    }
}

static cis_code apply(struct mcp_call *call, const struct mcp_run *run, bool dry,
                      struct applying *a, uint64_t *out_n, struct cis_error *err)
{
    const struct cis_mcp *m = call->mcp;
    const struct cis_cow_options options = {.fs_cache = m->o.fs_cache,
                                            .tenant = m->o.tenant,
                                            .at = run->commit,
                                            .folder = m->folder,
                                            .exact = true,
                                            .stop = &call->stop};
    const struct cis_cow_apply how = {.run = run->id,
                                      .guest_path = run->skill ? CIS_RUN_SKILL_WORKSPACE : "/",
                                      .dry_run = dry,
                                      .conflict = take_conflict,
                                      .left_out = dry ? take_left_out : NULL,
                                      .each = dry ? take_change : NULL,
                                      .self = a};
    cis_cow *cow = NULL;
    struct cis_error why = {0};
    cis_code code = cis_cow_open(&options, &cow, &why);
    code = code == CIS_OK ? cis_cow_apply(cow, &how, out_n, &why) : code;
    cis_cow_close(cow);
    if (code != CIS_OK) {
        const char *first =
            code == CIS_E_CONFLICT ? strstr(cis_buf_cstr(&a->text), "conflict") : "";
        int n = first != NULL ? (int)strcspn(first, "\n") : 0;
        return cis_fail(err, code, "run %s: %.100s %.*s", run->id, why.msg, n < 80 ? n : 80,
                        first != NULL ? first : "");
    }
    return CIS_OK;
}

static cis_code ask(struct mcp_call *call, const struct mcp_run *run, const struct applying *a,
                    struct cis_error *err)
{
    char more[64] = "", list[2 * CIS_SHA256_BYTES + 1];
    if (a->n > a->shown) {
        snprintf(more, sizeof more, "\nand %u more changes that are NOT SHOWN HERE",
                 a->n - a->shown);
    }
    cis_hex(a->list, sizeof a->list, list);
    json_t *message = json_sprintf("may run %s of branch %s, and what came before it there, change "
                                   "the folder %s? %u change%s:%s%s",
                                   run->id, call->mcp->branch, call->mcp->folder, a->n,
                                   a->n == 1 ? "" : "s", cis_buf_cstr(&a->text), more);
    json_t *request = json_pack("{s:o,s:{s:s,s:{s:{s:s,s:s,s:[s,s],s:[s,s],s:s}},s:[s]}}",
                                "message", message, "schema", "type", "object", "properties",
                                "apply", "type", "string", "title", "Apply it", "enum", "no", "yes",
                                "enumNames", "No", "Yes", "default", "no", "required", "apply");
    json_t *about = json_pack("{s:s,s:s}", "run", run->id, "list", list);
    struct mcp_question q = {.key = KEY, .who = "cis", .request = request, .about = about};
    cis_code code = request != NULL
                        ? cis_mcp_ask(call, &q, err)
                        : cis_fail(err, CIS_E_INVALID, "run %s: cannot be shown", run->id);
    json_decref(request);
    json_decref(about);
    return code;
}

static cis_code may_be(const struct mcp_run *run, struct cis_error *err)
{
    if (run->commit.branch == 0 || run->undone) {
        return cis_fail(err, CIS_E_FAILED, "run %s: %s", run->id,
                        run->undone ? "is undone (run_redo brings it back)" : "changed nothing");
    }
    return CIS_OK;
}

/* Did the person say yes to this very run, and to all that it would change now? */
static cis_code allowed(struct mcp_call *call, const struct mcp_run *run, struct cis_error *err)
{
    CIS_CLEANUP(applying_done) struct applying now = {.text = CIS_BUF_INIT(65536)};
    const json_t *about, *content = cis_mcp_ask_content(call, KEY, &about);
    char list[2 * CIS_SHA256_BYTES + 1];
    struct mcp_run again;
    uint64_t n;
    bool same = cis_str_is(cis_mcp_field(about, "run"), run->id);
    if (!same || !cis_str_is(cis_mcp_field(content, "apply"), "yes")) {
        return cis_fail(err, CIS_E_DENIED, "run %s: the person said no", run->id);
    }
    CIS_TRY(cis_mcp_run_find(call->mcp, cis_str_of(run->id), &again, err));
    CIS_TRY(may_be(&again, err));
    CIS_TRY(apply(call, run, true, &now, &n, err));
    cis_hex(now.list, sizeof now.list, list);
    return cis_str_is(cis_mcp_field(about, "list"), list)
               ? CIS_OK
               : cis_fail(err, CIS_E_DENIED,
                          "run %s: the folder or the branch changed since the person was asked; "
                          "nothing was done: ask again",
                          run->id);
}

cis_code cis_mcp_run_apply(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(applying_done) struct applying a = {.text = CIS_BUF_INIT(65536)};
    struct mcp_run run;
    uint64_t n = 0;
    (void)tool;
    CIS_TRY(cis_mcp_run_find(call->mcp, cis_mcp_field(arguments, "run"), &run, err));
    CIS_TRY(may_be(&run, err));
    if (cis_mcp_ask_content(call, KEY, NULL) == NULL) {
        CIS_TRY(apply(call, &run, true, &a, &n, err));
        if (n != 0) {
            return ask(call, &run, &a, err);
        }
        cis_buf_printf(&out->text, "run %s: the folder is so already\n", run.id);
        return CIS_OK;
    }
    CIS_TRY(allowed(call, &run, err));
    CIS_TRY(apply(call, &run, false, &a, &n, err));
    cis_buf_printf(&out->text, "applied run %s: %llu changes of the folder\n", run.id,
                   (unsigned long long)n);
    return CIS_OK;
}
