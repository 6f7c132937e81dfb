#include "cli/scenario/scenario.h"

#include <string.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/beside.h"
#include "cli/patience.h"
#include "cli/runs/program.h"
#include "config/config.h"

/* ---- the component ---- */

/* A plan is a component, and perhaps another one that is plugged in. */
static const struct plan {
    const char *name, *component, *plug;
} plans[] = {{"a", "static", NULL},
             {"b", "corelibs", "wasi-socket-adapter"},
             {"bp", "corelibs", NULL},
             {"c", "direct", NULL}};

static cis_code add_found(struct cis_scenario *s, const char *name, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = NULL;
    char file[64];
    snprintf(file, sizeof file, "%s.wasm", name);
    CIS_TRY(cis_cli_beside(s->cli, "scheduler", file,
                           "`make build` makes it where the sources of libyaml and jansson can be "
                           "had; or name a component with --component",
                           &path, err));
    return cis_cli_parts_add(&s->parts, NULL, path, err);
}

static cis_code read_parts(struct cis_scenario *s, struct cis_error *err)
{
    const struct cis_cli *cli = s->cli;
    const char *component = cis_cli_value(cli, "component"), *plan = cis_cli_value(cli, "plan");
    if (component != NULL && plan != NULL) {
        return cis_fail(err, CIS_E_USAGE, "--component and --plan: one of them");
    }
    CIS_TRY(cis_cli_parts_init(&s->parts, (size_t)cis_cli_count(cli, "plug") + 2, err));
    if (component != NULL) {
        CIS_TRY(cis_cli_parts_add(&s->parts, NULL, component, err));
    } else {
        const struct plan *p = &plans[0];
        while (plan != NULL && strcmp(p->name, plan) != 0) {
            p++; /* the choices of the option are these */
        }
        CIS_TRY(add_found(s, p->component, err));
        if (p->plug != NULL) {
            CIS_TRY(add_found(s, p->plug, err));
        }
    }
    return cis_cli_parts_plugs(&s->parts, cli, err);
}

static cis_code compile(struct cis_scenario *s, uint32_t slots, struct cis_error *err)
{
    const struct cis_config *c = cis_app_config(s->app);
    struct cis_run_request *r = &s->request;
    struct cis_engine_module_options o = {.name = s->parts.names[0],
                                          .features = (c->memory64 ? CIS_FEATURE_MEMORY64 : 0u) |
                                                      (c->exceptions ? CIS_FEATURE_EXCEPTIONS : 0u),
                                          .memory_limit = r->limits.memory_bytes,
                                          .stop = {CIS_NEVER, s->cli->cancel}};
    CIS_TRY(cis_app_engine(s->app, slots, &r->engine, err));
    cis_patience *patience = cis_patience_begin(s->cli, "compiling", o.name);
    cis_code code =
        s->parts.n > 1
            ? cis_engine_module_load_composed(r->engine, &s->parts.composition, &o, &s->module, err)
            : cis_engine_module_load(r->engine, s->parts.parts[0].wasm, &o, &s->module, err);
    cis_patience_end(patience);
    r->module = s->module;
    return code;
}

/* ---- the scenario ---- */

static cis_code read_scenario(struct cis_scenario *s, struct cis_error *err)
{
    const char *path = s->cli->args[0];
    bool standard = strcmp(path, "-") == 0;
    CIS_CLEANUP(cis_buf_done) struct cis_buf yaml = CIS_BUF_INIT(CIS_SCENARIO_FILE_MAX);
    s->label = standard ? "stdin" : path;
    CIS_TRY(cis_cli_read(standard ? NULL : path, &yaml, err));
    if (!cis_utf8_valid((const char *)yaml.ptr, yaml.len)) {
        return cis_fail(err, CIS_E_INVALID, "%.200s: not text in UTF-8", s->label);
    }
    cis_buf_text(&s->invoke, "run-scenario(");
    cis_buf_json(&s->invoke, cis_buf_view(&yaml));
    cis_buf_text(&s->invoke, ")");
    return cis_buf_check(&s->invoke, "scenario", err);
}

cis_code cis_scenario_open(struct cis_scenario *s, struct cis_cli *cli, uint32_t slots,
                           struct cis_error *err)
{
    *s = (struct cis_scenario){.cli = cli, .label = cli->args[0]};
    struct cis_run_request *r = &s->request;
    s->invoke = CIS_BUF_INIT(6 * CIS_SCENARIO_FILE_MAX + 64);
    CIS_TRY(cis_app_open(cli, &s->app, err));
    CIS_TRY(read_scenario(s, err));
    CIS_TRY(cis_program_limits(cli, cis_app_config(s->app), r, err));
    CIS_TRY(cis_program_grants(cli, &s->grants, err));
    if (cis_grants_has(&s->grants, CIS_GRANT_HTTP)) {
        CIS_TRY(cis_app_http(s->app, &r->services.http, err));
    }
    CIS_TRY(read_parts(s, err));
    CIS_TRY(compile(s, slots, err));
    r->tenant = cli->tenant;
    r->skill = "file:scenario";
    r->grants = &s->grants;
    r->cancel = cli->cancel;
    r->output_max = CIS_SCENARIO_RESULT_MAX;
    r->dns_servers = cis_app_config(s->app)->dns_servers;
    return CIS_OK;
}

void cis_scenario_close(struct cis_scenario *s)
{
    cis_engine_module_unref(s->module);
    cis_grants_done(&s->grants);
    cis_cli_parts_done(&s->parts);
    cis_buf_done(&s->invoke);
    cis_app_close(s->app);
}

/* ---- what it returned ---- */

/* The code point of "{1f4c8}" at *at, which ends behind it. */
static bool code_point(struct cis_str text, size_t *at, uint32_t *out)
{
    uint32_t value = 0;
    size_t i = *at;
    if (i >= text.len || text.ptr[i++] != '{') {
        return false;
    }
    for (; i < text.len && text.ptr[i] != '}' && value <= 0x10ffff; i++) {
        char c = text.ptr[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                                                : 16;
        if (digit == 16) {
            return false;
        }
        value = value << 4 | digit;
    }
    *at = i + 1;
    *out = value;
    return i < text.len && value <= 0x10ffff;
}

static void put_utf8(struct cis_buf *out, uint32_t c)
{
    if (c < 0x80) {
        cis_buf_byte(out, (uint8_t)c);
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    cis_buf_byte(out, (uint8_t)(lead[more] | c >> (6 * more)));
    while (more-- > 0) {
        cis_buf_byte(out, (uint8_t)(0x80 | (c >> (6 * more) & 0x3f)));
    }
}

/* Text between quotes as cis writes values of components. */
static bool unquote(struct cis_str text, struct cis_buf *out)
{
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i++];
        uint32_t point;
        if (c != '\\') {
            cis_buf_byte(out, (uint8_t)c);
            continue;
        }
        if (i == text.len) {
            return false;
        }
        c = text.ptr[i++];
        if (c == 'u') {
            if (!code_point(text, &i, &point)) {
                return false;
            }
            put_utf8(out, point);
        } else {
            cis_buf_byte(out, (uint8_t)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c));
        }
    }
    return true;
}

cis_code cis_scenario_result(const struct cis_run_outcome *outcome, bool *out_ok,
                             struct cis_buf *out_text, struct cis_error *err)
{
    struct cis_str text = cis_str_trim(cis_buf_view(&outcome->output));
    struct cis_str heads[] = {CIS_STR("err(\""), CIS_STR("ok(\"")}, tail = CIS_STR("\")");
    for (size_t i = 0; i < 2; i++) {
        size_t around = heads[i].len + tail.len;
        if (cis_str_starts(text, heads[i]) && text.len >= around &&
            memcmp(text.ptr + text.len - tail.len, tail.ptr, tail.len) == 0) {
            struct cis_str inside = {text.ptr + heads[i].len, text.len - around};
            if (!unquote(inside, out_text)) {
                break;
            }
            *out_ok = i == 1;
            return cis_buf_check(out_text, "result", err);
        }
    }
    return cis_fail(err, CIS_E_INVALID,
                    "the component's run-scenario returned no result<string, string>");
}

/* The number that begins at *at. */
static bool number_at(struct cis_str text, size_t *at, unsigned *out)
{
    size_t begin = *at;
    for (*out = 0;
         *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9' && *out < 100000000;
         ++*at) {
        *out = *out * 10 + (unsigned)(text.ptr[*at] - '0');
    }
    return *at > begin;
}

static struct cis_str without(struct cis_str text, const char *head)
{
    size_t n = strlen(head);
    return cis_str_starts(text, cis_str_of(head)) ? (struct cis_str){text.ptr + n, text.len - n}
                                                  : text;
}

void cis_scenario_place(struct cis_str text, struct cis_str *out_what, unsigned *out_line,
                        unsigned *out_column)
{
    static const struct cis_str line = {" at line ", 9}, column = {" column ", 8};
    text = without(text, "Scenario execution failed: ");
    text = without(text, "Failed to parse scenario YAML: failed to parse scenario: ");
    text = without(text, "Scenario validation failed: ");
    *out_what = text;
    *out_line = *out_column = 0;
    for (size_t i = text.len; i > 0;) { /* the last one: before it may stand anything */
        i--;
        struct cis_str rest = {text.ptr + i, text.len - i};
        if (!cis_str_starts(rest, line)) {
            continue;
        }
        size_t at = i + line.len;
        unsigned l, c;
        bool ok = number_at(text, &at, &l);
        rest = (struct cis_str){text.ptr + at, text.len - at};
        ok = ok && cis_str_starts(rest, column);
        at += ok ? column.len : 0;
        if (ok && number_at(text, &at, &c) && at == text.len) {
            *out_what = (struct cis_str){text.ptr, i};
            *out_line = l;
            *out_column = c;
        }
        return;
    }
}

cis_code cis_scenario_wrong(const struct cis_scenario *s, struct cis_str text,
                            struct cis_error *err)
{
    struct cis_str what;
    unsigned line, column;
    cis_scenario_place(text, &what, &line, &column);
    what.len = cis_utf8_floor(what.ptr, what.len, 400);
    if (line == 0) {
        return cis_fail(err, CIS_E_INVALID, "%.200s: " CIS_STR_FMT, s->label, CIS_STR_ARG(what));
    }
    return cis_fail(err, CIS_E_INVALID, "%.200s:%u:%u: " CIS_STR_FMT, s->label, line, column,
                    CIS_STR_ARG(what));
}
