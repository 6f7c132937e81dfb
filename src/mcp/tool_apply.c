/* run_apply: what a run changed comes to the folder, when the person says so. What is shown is what
 * is applied: a commit does not change, and what somebody changed in the folder meanwhile is a
 * conflict. */
#include "mcp/internal.h"

#include <stdio.h>

#define KEY "cis/apply" /* no key of a skill has a slash */
#define SHOWN 40u
#define SHOWN_BYTES 3500u

struct applying {
    struct cis_buf text; /* lines that the person, or the model, is shown */
    unsigned n;
};

static void applying_done(struct applying *a)
{
    cis_buf_done(&a->text);
}

static void add_line(struct applying *a, const char *what, struct cis_str path, const char *why)
{
    if (a->n++ < SHOWN && a->text.len < SHOWN_BYTES) {
        cis_buf_printf(&a->text, "\n%s ", what);
        cis_buf_json(&a->text, path); /* quoted: a name is never more than a part of its line */
        cis_buf_text(&a->text, why[0] != 0 ? ": " : "");
        cis_buf_text(&a->text, why);
    }
}

static bool take_change(void *self, const struct cis_union_change *c)
{
    char what[2] = {c->what, 0};
    add_line(self, what, c->path, "");
    return true;
}

static void take_conflict(void *self, struct cis_str path, const char *why)
{
    add_line(self, "conflict:", path, why);
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
    json_t *message = json_sprintf(
        "may run %s of branch %s, and what came before it there, change the folder %s?%s%s",
        run->id, call->mcp->branch, call->mcp->folder, cis_buf_cstr(&a->text),
        a->n > SHOWN ? "\n…" : "");
    json_t *request = json_pack("{s:o,s:{s:s,s:{s:{s:s,s:s,s:[s,s],s:[s,s],s:s}},s:[s]}}",
                                "message", message, "schema", "type", "object", "properties",
                                "apply", "type", "string", "title", "Apply it", "enum", "no", "yes",
                                "enumNames", "No", "Yes", "default", "no", "required", "apply");
    json_t *about = json_string(run->id);
    struct mcp_question q = {.key = KEY, .who = "cis", .request = request, .about = about};
    cis_code code = request != NULL
                        ? cis_mcp_ask(call, &q, err)
                        : cis_fail(err, CIS_E_INVALID, "run %s: cannot be shown", run->id);
    json_decref(request);
    json_decref(about);
    return code;
}

/* Did the person say yes to this very run? */
static cis_code allowed(const struct mcp_call *call, const struct mcp_run *run,
                        struct cis_error *err)
{
    const json_t *about, *content = cis_mcp_ask_content(call, KEY, &about);
    bool same = json_is_string(about) && strcmp(json_string_value(about), run->id) == 0;
    return same && cis_str_is(cis_mcp_field(content, "apply"), "yes")
               ? CIS_OK
               : cis_fail(err, CIS_E_DENIED, "run %s: the person said no", run->id);
}

cis_code cis_mcp_run_apply(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(applying_done) struct applying a = {.text = CIS_BUF_INIT(65536)};
    struct mcp_run run;
    uint64_t n = 0;
    (void)tool;
    CIS_TRY(cis_mcp_run_find(call->mcp, cis_mcp_field(arguments, "run"), &run, err));
    if (run.commit.branch == 0 || run.undone) {
        return cis_fail(err, CIS_E_FAILED, "run %s: %s", run.id,
                        run.undone ? "is undone (run_redo brings it back)" : "changed nothing");
    }
    cis_code code = CIS_OK;
    if (cis_mcp_ask_content(call, KEY, NULL) == NULL) {
        code = apply(call, &run, true, &a, &n, err);
        code = code == CIS_OK && n != 0 ? ask(call, &run, &a, err) : code;
        if (code == CIS_OK && n == 0) {
            cis_buf_printf(&out->text, "run %s: the folder is so already\n", run.id);
            return CIS_OK;
        }
    }
    cis_buf_reset(&a.text);
    a.n = 0;
    code = code == CIS_OK ? allowed(call, &run, err) : code;
    code = code == CIS_OK ? apply(call, &run, false, &a, &n, err) : code;
    if (code == CIS_OK) {
        cis_buf_printf(&out->text, "applied run %s: %llu changes of the folder\n", run.id,
                       (unsigned long long)n);
    }
    return code;
}
