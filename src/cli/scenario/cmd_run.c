/* `cis scenario run`: a load test by the scheduler's component, in one instance or several. */
#include <string.h>
#include "base/json_write.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/front.h"
#include "cli/scenario/instances.h"

#define PAGE_MAX ((size_t)64 << 20)

struct job {
    struct cis_scenario scenario;
    struct cis_scenario_instances all;
    bool has_instances, cancelled;
    struct cis_buf failures; /* lines */
    struct cis_buf said;     /* by a component without records: its own summary */
};

/* ---- before ---- */

static cis_code number_of_instances(const struct cis_cli *cli, uint64_t *out, struct cis_error *err)
{
    *out = 1;
    if (!cis_cli_number(cli, "parallel", out)) {
        return cis_fail(err, CIS_E_USAGE, "%s", ""); /* told already */
    }
    if (*out == 0 || *out > CIS_LOADTEST_INSTANCES_MAX) {
        return cis_fail(err, CIS_E_USAGE, "--parallel: not a number of 1 to %u",
                        CIS_LOADTEST_INSTANCES_MAX);
    }
    return CIS_OK;
}

static cis_code prepare(struct job *j, struct cis_cli *cli, struct cis_error *err)
{
    struct cis_scenario *s = &j->scenario;
    const char *report = cis_cli_value(cli, "report");
    uint64_t n;
    CIS_TRY(number_of_instances(cli, &n, err));
    if (report != NULL) { /* before anything runs: a test that is repeated is load again */
        CIS_TRY(cis_file_can_put(report, err));
    }
    CIS_TRY(cis_scenario_open(s, cli, n > 1 ? 0 : CIS_APP_RUN_SLOTS, err));
    CIS_TRY(cis_app_run_store(s->app, &s->request.store, err));
    j->has_instances = true;
    return cis_scenario_instances_init(&j->all, s, (size_t)n, err);
}

/* ---- after ---- */

/* What became of an instance; CIS_OK: it told its summary. */
static cis_code check(struct job *j, const struct cis_scenario_instance *i, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_SCENARIO_RESULT_MAX);
    const struct cis_run_outcome *o = &i->outcome;
    bool ok;
    if (i->code != CIS_OK) {
        return cis_fail(err, i->code, "%s", i->why.msg);
    }
    if (!cis_scenario_answered(o)) {
        return cis_fail(err, o->code, "%s", o->error.msg);
    }
    CIS_TRY(cis_scenario_result(o, &ok, &text, err));
    if (!ok) {
        (void)cis_scenario_wrong(&j->scenario, cis_buf_view(&text), err);
        return err->code = CIS_E_FAILED;
    }
    if (!cis_loadtest_any(j->all.test)) {
        cis_buf_str(&j->said, cis_buf_view(&text));
        return cis_buf_check(&j->said, "summaries", err);
    }
    return CIS_OK;
}

/* The first instance that ended badly speaks for all. */
static cis_code check_all(struct job *j, struct cis_error *err)
{
    cis_code code = CIS_OK;
    for (size_t i = 0; i < j->all.n && code == CIS_OK; i++) {
        code = check(j, &j->all.list[i], err);
    }
    if (j->all.broken) {
        *err = j->all.broken_why;
        return err->code;
    }
    j->cancelled = code == CIS_E_CANCELLED;
    if (code == CIS_OK && cis_loadtest_any(j->all.test) && !cis_loadtest_ended(j->all.test)) {
        return cis_fail(err, CIS_E_INVALID, "the component ended without its last record");
    }
    return code;
}

static void put_json(const struct job *j, const struct cis_error *why, struct cis_buf *out)
{
    struct cis_str rest = cis_buf_view(&j->failures), line;
    bool ok = why->code == CIS_OK && rest.len == 0;
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u), CIS_J("ok", ok),
                                 CIS_J("cancelled", j->cancelled), CIS_J_LIST("failures")));
    while (rest.len > 0) {
        (void)cis_str_split(&rest, '\n', &line);
        cis_json_write(out, CIS_JSON(CIS_J(NULL, line)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
    if (why->code != CIS_OK) {
        cis_json_write(out, CIS_JSON(CIS_J_OPEN("error"), CIS_J("code", cis_code_name(why->code)),
                                     CIS_J("message", why->msg), CIS_J_CLOSE));
    }
    cis_loadtest_json(j->all.test, out);
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE));
    cis_buf_byte(out, '\n');
}

static cis_code write_report(const struct job *j, const char *when, const struct cis_error *why,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf page = CIS_BUF_INIT(PAGE_MAX);
    const char *path = cis_cli_value(j->scenario.cli, "report");
    size_t n = path != NULL ? strlen(path) : 0;
    if (path == NULL) {
        return CIS_OK;
    }
    if (n > 5 && strcmp(path + n - 5, ".json") == 0) {
        put_json(j, why, &page);
    } else {
        struct cis_loadtest_page about = {cis_str_of(when), cis_buf_view(&j->failures),
                                          why->code != CIS_OK ? why->msg : NULL};
        cis_loadtest_html(j->all.test, &about, &page);
    }
    CIS_TRY(cis_buf_check(&page, "report", err));
    return cis_file_put(path, cis_buf_bytes(&page), 0600, err);
}

static void print_summary(const struct job *j, const struct cis_error *why)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(PAGE_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf safe = CIS_BUF_INIT(3 * PAGE_MAX);
    if (j->scenario.cli->json) {
        put_json(j, why, &safe);
    } else if (cis_loadtest_any(j->all.test)) {
        cis_loadtest_text(j->all.test, &text);
        cis_cli_printable(&safe, cis_buf_view(&text));
    } else {
        cis_cli_printable(&safe, cis_buf_view(&j->said));
    }
    cis_cli_out(safe.ptr, safe.len);
}

static void say(const struct job *j, struct cis_str text)
{
    cis_scenario_say(&j->all, "cis scenario run: ", text);
}

static void tell(const struct job *j, const struct cis_error *why)
{
    struct cis_str rest = cis_buf_view(&j->failures), line;
    CIS_CLEANUP(cis_buf_done) struct cis_buf more = CIS_BUF_INIT(200);
    if (j->all.not_shown > 0) {
        cis_buf_printf(&more, "%llu more lines of the component are not shown (--verbose)",
                       (unsigned long long)j->all.not_shown);
        say(j, cis_buf_view(&more));
    }
    if (why->code == CIS_OK && !cis_loadtest_any(j->all.test)) {
        say(j, CIS_STR("the component tells no numbers: nothing was checked"));
    }
    while (rest.len > 0) {
        (void)cis_str_split(&rest, '\n', &line);
        say(j, line);
    }
    if (why->code != CIS_OK) { /* with --json it is a part of the summary */
        cis_cli_tell(j->scenario.cli->command, false, why->code, why->msg);
    }
}

static int finish(struct job *j, const char *when)
{
    struct cis_error why = {0}, err = {0};
    cis_code code = check_all(j, &why);
    bool any = cis_loadtest_any(j->all.test);
    bool failed = any && cis_loadtest_failures(j->all.test, &j->failures);
    int exit = code != CIS_OK ? cis_code_run_exit(code) : failed ? 1 : 0;
    print_summary(j, &why);
    tell(j, &why);
    if (write_report(j, when, &why, &err) != CIS_OK) {
        cis_cli_tell(j->scenario.cli->command, false, err.code, err.msg);
        exit = exit == 0 ? cis_code_run_exit(err.code) : exit;
    }
    return exit;
}

static int run(struct cis_cli *cli)
{
    struct job *j CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *j);
    struct cis_error err = {0};
    char when[32];
    if (j == NULL) {
        cis_fail(&err, CIS_E_NOMEM, "out of memory");
        return cis_cli_fail(cli, &err), cis_code_run_exit(err.code);
    }
    j->failures = CIS_BUF_INIT(1u << 20);
    j->said = CIS_BUF_INIT(CIS_SCENARIO_RESULT_MAX);
    cis_clock_iso(cis_clock_wall_ms(), when);
    cis_code code = prepare(j, cli, &err);
    code = code == CIS_OK ? cis_scenario_instances_run(&j->all, &err) : code;
    int exit = code == CIS_OK ? finish(j, when) : cis_code_run_exit(code);
    if (code != CIS_OK && (code != CIS_E_USAGE || err.msg[0] != 0)) {
        cis_cli_fail(cli, &err);
    }
    if (j->has_instances) {
        cis_scenario_instances_done(&j->all);
    }
    cis_buf_done(&j->failures);
    cis_buf_done(&j->said);
    cis_scenario_close(&j->scenario);
    return exit;
}

static const struct cis_cli_option options[] = {CIS_SCENARIO_OPTIONS,
                                                {"allow", 0, "GRANT", true, NULL},
                                                {"net", 0, "RULE", true, NULL},
                                                {"http", 0, "ORIGIN", true, NULL},
                                                {"sockets", 0, "N", false, NULL},
                                                {"parallel", 0, "N", false, NULL},
                                                {"report", 0, "FILE", false, NULL},
                                                {"verbose", 'v', NULL, false, NULL},
                                                {0}};

const struct cis_cli_command cis_cmd_scenario_run = {.name = "scenario run",
                                                     .options = options,
                                                     .min_args = 1,
                                                     .max_args = 1,
                                                     .run_exits = true,
                                                     .run = run};
