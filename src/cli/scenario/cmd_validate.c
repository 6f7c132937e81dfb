/* `cis scenario validate`: is a scenario one, before anything is sent? */
#include "cli/scenario/scenario.h"

#include "base/json_write.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/front.h"

#define TIME_NS (10 * CIS_NS_PER_S) /* a component that does not know the mode might run it */

static void print_wrong(const struct cis_scenario *s, struct cis_str text)
{
    struct cis_str what;
    unsigned line, column;
    cis_scenario_place(text, &what, &line, &column);
    if (s->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL("valid", false), CIS_J("message", what),
                                CIS_J_IF(line != 0, CIS_J("line", line)),
                                CIS_J_IF(line != 0, CIS_J("column", column))));
    }
}

static cis_code check(const struct cis_scenario *s, const struct cis_run_outcome *o,
                      bool *out_valid, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_SCENARIO_RESULT_MAX);
    if (!cis_scenario_answered(o)) {
        return cis_fail(err, o->code, "%s", o->error.msg);
    }
    CIS_TRY(cis_scenario_result(o, out_valid, &text, err));
    if (*out_valid) {
        cis_cli_printf("%s", s->cli->json ? "{\"schema\":1,\"valid\":true}\n" : "");
        return CIS_OK;
    }
    print_wrong(s, cis_buf_view(&text));
    return cis_scenario_wrong(s, cis_buf_view(&text), err);
}

static cis_code validate(struct cis_scenario *s, bool *out_valid, struct cis_error *err)
{
    static const char *const env[] = {"SCHEDULER_MODE=check", NULL};
    static const char *const args[] = {"scenario", NULL};
    struct cis_run_program program = {
        .args = args, .env = env, .invoke = cis_buf_cstr(&s->invoke), .invoke_args = args + 1};
    struct cis_run_outcome outcome = {0};
    for (int i = 0; i < 3; i++) { /* what it prints is not asked for */
        program.std[i] = (struct cis_host_stream){.kind = CIS_STREAM_NULL};
    }
    s->request.program = &program;
    s->request.time_ns = s->request.time_ns < TIME_NS ? s->request.time_ns : TIME_NS;
    CIS_TRY(cis_run_execute(&s->request, &outcome, err));
    cis_code code = check(s, &outcome, out_valid, err);
    cis_run_outcome_done(&outcome);
    return code;
}

static int run(struct cis_cli *cli)
{
    struct cis_scenario *s CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *s);
    struct cis_error err = {0};
    bool valid = true;
    cis_code code = s != NULL ? cis_scenario_open(s, cli, CIS_APP_RUN_SLOTS, &err)
                              : cis_fail(&err, CIS_E_NOMEM, "out of memory");
    if (code == CIS_OK) {
        code = validate(s, &valid, &err);
    }
    if (s != NULL) {
        cis_scenario_close(s);
    }
    if (code == CIS_OK) {
        return 0;
    }
    if (!valid && cli->json) { /* said on stdout already, with its place */
        cis_cli_tell(cli->command, false, code, err.msg);
        return 1;
    }
    if (code != CIS_E_USAGE || err.msg[0] != 0) {
        cis_cli_fail(cli, &err);
    }
    return valid ? cis_code_run_exit(code) : 1;
}

static const struct cis_cli_option options[] = {CIS_SCENARIO_OPTIONS, {0}};

const struct cis_cli_command cis_cmd_scenario_validate = {.name = "scenario validate",
                                                          .options = options,
                                                          .min_args = 1,
                                                          .max_args = 1,
                                                          .run_exits = true,
                                                          .run = run};
