/* `cis runs list|show`: records of finished runs. */
#include "cli/runs/kept.h"
#include "cli/memory/memory_names.h"

#include <inttypes.h>
#include <jansson.h>
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/runs/kept.h"
#include "store/calls.h"

struct listing {
    bool json;
    uint64_t n;
};

static bool print_row(void *self, const struct cis_run_row *row)
{
    struct listing *l = self;
    char started[32];
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    cis_clock_iso(row->started_ms, started);
    if (l->json) {
        cis_cli_item(CIS_JSON(CIS_J("id", row->id), CIS_J("skill", row->skill),
                              CIS_J("status", row->status), CIS_J_INT("exit_code", row->exit_code),
                              CIS_J("started", started), CIS_J("started_ms", row->started_ms),
                              CIS_J("ended_ms", row->ended_ms)));
    } else {
        cis_cli_printable_line(&line, cis_str_of(row->id));
        cis_buf_printf(&line, "  %s  ", started);
        cis_cli_printable_column(&line, row->status, 9);
        cis_buf_printf(&line, " %3d %6" PRIu64 " ms  ", row->exit_code,
                       (uint64_t)row->ended_ms - (uint64_t)row->started_ms);
        cis_cli_printable_line(&line, row->skill);
        cis_buf_byte(&line, '\n');
    }
    cis_cli_out(line.ptr, line.len);
    l->n++;
    return true;
}

static cis_code list_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    struct listing l = {.json = cmd->cli->json};
    uint64_t most = 20;
    (void)cis_cli_number(cmd->cli, "limit", &most); /* run_list() has looked at it */
    uint32_t limit = (uint32_t)most;
    cis_cli_list(cmd->cli, "runs");
    struct cis_str skill = cis_str_of(cmd->given);
    CIS_TRY(cis_store_run_list(cmd->store, cmd->tenant,
                               &(struct cis_run_query){.skill = skill, .limit = limit}, print_row,
                               &l, &cmd->stop, err));
    if (l.n == 0 && cmd->stem[0] != 0) { /* no such skill ran: a bare file of that name? */
        char file[CIS_FILE_NS_MAX];
        snprintf(file, sizeof file, "file:%.290s", cmd->stem);
        CIS_TRY(
            cis_store_run_list(cmd->store, cmd->tenant,
                               &(struct cis_run_query){.skill = cis_str_of(file), .limit = limit},
                               print_row, &l, &cmd->stop, err));
    }
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static int run_list(struct cis_cli *cli)
{
    uint64_t limit = 20;
    if (!cis_cli_number(cli, "limit", &limit)) {
        return cis_code_skill_exit(CIS_E_USAGE);
    }
    if (limit > UINT32_MAX) {
        return cis_cli_usage(cli, "--limit %" PRIu64 ": too many", limit);
    }
    return cis_memory_run(cli, list_verb);
}

static const struct cis_cli_option list_options[] = {
    {"skill", 0, "NAME", false, NULL}, {"limit", 0, "N", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_runs_list = {
    .name = "runs list", .options = list_options, .run = run_list};

/* ---- show ---- */

/* One line "name: value" for each simple field; lists and objects as compact JSON. */
static void summarise(struct cis_buf *out, const json_t *report)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)report, name, value)
    {
        if (strcmp(name, "schema") == 0 || strcmp(name, "log") == 0 ||
            (json_is_object(value) && json_object_size(value) == 0)) {
            continue;
        }
        cis_buf_printf(out, "%-16s ", name);
        if (json_is_string(value)) {
            cis_cli_printable_line(
                out, (struct cis_str){json_string_value(value), json_string_length(value)});
        } else {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
            cis_cli_printable_line(out, cis_str_of(text != NULL ? text : "?"));
            cis_free(text);
        }
        cis_buf_byte(out, '\n');
    }
}

static void show_log(struct cis_buf *out, const json_t *report)
{
    size_t i;
    const json_t *line;
    const json_t *log = json_object_get(report, "log");
    if (json_array_size(log) != 0) {
        cis_buf_text(out, "log:\n");
    }
    json_array_foreach(log, i, line)
    {
        const char *text = json_string_value(json_object_get(line, "text"));
        const char *level = json_string_value(json_object_get(line, "level"));
        cis_buf_printf(out, "  %-5s ", level != NULL ? level : "");
        cis_cli_printable(out, cis_str_of(text != NULL ? text : json_string_value(line)));
        cis_buf_byte(out, '\n');
    }
}

struct shown {
    bool json;
    struct cis_buf text; /* without the last brace, or the lines */
    char id[27];
    cis_code code;
    struct cis_error error;
};

/* As it was stored, or as it can be read. */
static bool print_json(struct shown *s, const struct cis_run_row *row, const json_t *report)
{
    if (cis_json_reads(row->report.ptr, row->report.len)) {
        cis_buf_add(&s->text, row->report.ptr, row->report.len);
    } else {
        CIS_CLEANUP(cis_freep) char *text = json_dumps(report, JSON_COMPACT);
        if (text == NULL) {
            return false;
        }
        cis_buf_text(&s->text, text);
    }
    s->text.len -= s->text.len > 1 ? 1 : 0; /* the last brace comes after the commit */
    return true;
}

static bool print_run(void *self, const struct cis_run_row *row)
{
    struct shown *s = self;
    memcpy(s->id, row->id, sizeof s->id);
    json_t *report = cis_kept_report(row->report);
    if (report == NULL || (s->json && !print_json(s, row, report))) {
        json_decref(report);
        s->code = cis_fail(&s->error, CIS_E_STORE, "run %s: its report is damaged", row->id);
        return false;
    }
    if (!s->json) {
        summarise(&s->text, report);
        show_log(&s->text, report);
    }
    json_decref(report);
    s->code = cis_buf_check(&s->text, "report", &s->error);
    return false;
}

static bool print_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct shown *s = self;
    if (s->json) {
        cis_json_write(&s->text, CIS_JSON(CIS_J_OPEN("commit"), CIS_J("branch", row->branch),
                                          CIS_J("epoch", row->epoch), CIS_J_CLOSE));
    } else {
        cis_buf_printf(&s->text, "commit           branch %" PRIu64 ", epoch %" PRIu64 "\n",
                       row->branch, row->epoch);
    }
    return false;
}

/* The report as it was recorded, and the commit that it came with, which it could not know. */
static cis_code show(struct cis_memory_cmd *cmd, struct cis_str id, struct shown *s,
                     struct cis_error *err)
{
    cis_store *store = cmd->store;
    CIS_TRY(cis_store_run_get(store, cmd->tenant, id, print_run, s, &cmd->stop, err));
    if (s->code != CIS_OK) {
        return cis_fail(err, s->code, "%s", s->error.msg);
    }
    cis_code code =
        cis_store_commit_of_run(store, cmd->tenant, s->id, print_commit, s, &cmd->stop, err);
    CIS_TRY(code == CIS_E_NOTFOUND ? CIS_OK : code);
    cis_buf_text(&s->text, s->json ? "}\n" : "");
    CIS_TRY(cis_buf_check(&s->text, "report", err));
    cis_cli_out(s->text.ptr, s->text.len);
    return CIS_OK;
}

static cis_code show_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    struct shown s = {
        .json = cmd->cli->json, .text = CIS_BUF_INIT(5u * CIS_STORE_REPORT_MAX), .code = CIS_OK};
    CIS_CLEANUP(cis_buf_done) struct cis_buf id = CIS_BUF_INIT(4096);
    CIS_TRY(cis_kept_id(cmd->store, cmd->tenant, cmd->cli->args[0], &cmd->stop, &id, err));
    cis_code code = show(cmd, cis_buf_view(&id), &s, err);
    cis_buf_done(&s.text);
    return code;
}

const struct cis_cli_command cis_cmd_runs_show = {
    .name = "runs show", .min_args = 1, .max_args = 1, .memory = show_verb};
