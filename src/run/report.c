/* The report of a run as JSON. Fields are only ever added. */
#include "run/session.h"

#include <inttypes.h>
#include "base/clock.h"
#include "base/json.h"
#include "base/json_write.h"

const char *cis_run_status(cis_code code)
{
    static const char *const of[] = {
#define CIS_ERROR(name, text, skill_exit, run_exit, http, status, sys) (status),
#include "cis/error.def"
#undef CIS_ERROR
    };
    return (unsigned)code < CIS_E_COUNT_ ? of[code] : "error";
}

static void result(const struct cis_report *r, size_t max, struct cis_buf *out)
{
    struct cis_str value = cis_buf_view(&r->outcome->output);
    bool json = r->outcome->is_json;
    if (value.len == 0) {
        cis_json_write(out, CIS_JSON(CIS_J_NULL("result")));
    } else if (value.len > max) {
        cis_json_write(out, CIS_JSON(CIS_J_NULL("result"), CIS_J_BOOL("result_omitted", true)));
    } else if (json && cis_json_reads(value.ptr, value.len)) {
        cis_json_write(out, CIS_JSON(CIS_J_RAW("result", cis_str_trim(value))));
    } else {
        cis_json_write(out,
                       CIS_JSON(CIS_J_IF(json, CIS_J_NULL("result")), CIS_J("result_text", value)));
    }
}

static void grants(const char *name, const uint64_t *counts, struct cis_buf *out)
{
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(name)));
    for (unsigned g = 1; g < CIS_GRANT_COUNT; g++) {
        if (counts[g] != 0) {
            cis_json_write(out, CIS_JSON(CIS_J(cis_grant_name((enum cis_grant)g), counts[g])));
        }
    }
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE));
}

static void limit(const struct cis_report *r, struct cis_buf *out)
{
    const char *name = NULL;
    uint64_t configured = 0, reached = 0;
    if (r->end != NULL && r->end->limit != NULL) {
        name = r->end->limit;
        configured = r->end->configured;
        reached = r->end->reached;
    } else if (r->usage->memory_limit_hit) {
        name = "memory";
        configured = r->session->request.limits.memory_bytes;
        reached = r->usage->memory_limit_asked;
    }
    if (name != NULL) {
        cis_json_write(out, CIS_JSON(CIS_J_OPEN("limit_hit"), CIS_J("limit", name),
                                     CIS_J("configured", configured), CIS_J("reached", reached),
                                     CIS_J_CLOSE));
    }
}

/* ---- files ---- */

/* A path as the program knows it; of one that is too long its end. */
static void path_in_guest(struct cis_buf *out, const char *name, const char *guest_path,
                          struct cis_str path, bool cut)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4 * CIS_LAYERED_PATH_MAX);
    const char *slash = strcmp(guest_path, "/") == 0 ? "" : "/";
    cis_buf_printf(&text, "%s%s%s", guest_path, slash, cut ? "…/" : "");
    cis_buf_str(&text, path);
    cis_json_write(out, CIS_JSON(CIS_J(name, cis_buf_view(&text))));
}

static bool collect(void *self, const char *guest_path, const struct cis_layered_change *c)
{
    struct cis_file_changes *f = self;
    f->added += c->what == 'A';
    f->modified += c->what == 'M';
    f->removed += c->what == 'D';
    f->renamed += c->what == 'R';
    f->special += c->what != 'D' && !S_ISREG(c->mode) && !S_ISDIR(c->mode) && !S_ISLNK(c->mode);
    if (f->told == CIS_REPORT_PATHS || f->paths.len > CIS_REPORT_PATHS_BYTES) {
        return true;
    }
    struct cis_str what = {&c->what, 1};
    cis_json_write(&f->paths, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("what", what)));
    path_in_guest(&f->paths, "path", guest_path, c->path, c->cut);
    if (c->from.len != 0) {
        path_in_guest(&f->paths, "from", guest_path, c->from, c->cut);
    }
    cis_json_write(&f->paths,
                   CIS_JSON(CIS_J_IF(c->what != 'D', CIS_J("size", c->size)), CIS_J_CLOSE));
    f->told++;
    return true;
}

void cis_file_changes_collect(cis_run_files *files, const struct cis_stop *stop,
                              struct cis_file_changes *out)
{
    *out = (struct cis_file_changes){.paths = CIS_BUF_INIT(4u << 20)};
    if (files != NULL && cis_run_files_dirty(files)) {
        out->unknown = cis_run_files_changes(files, collect, out, stop, NULL) != CIS_OK;
    }
}

void cis_file_changes_write(const struct cis_file_changes *f, struct cis_buf *out)
{
    uint64_t all = f->added + f->modified + f->removed + f->renamed;
    cis_json_write(
        out, CIS_JSON(CIS_J_OPEN("files"), CIS_J("added", f->added), CIS_J("modified", f->modified),
                      CIS_J("removed", f->removed), CIS_J("renamed", f->renamed),
                      CIS_J_IF(f->special != 0, CIS_J("special", f->special)),
                      CIS_J_IF(f->unknown, CIS_J_BOOL("incomplete", true)), CIS_J_LIST("paths"),
                      CIS_J_RAW(NULL, cis_buf_view(&f->paths)), CIS_J_LIST_END,
                      CIS_J_IF(all > f->told, CIS_J("omitted", all - f->told)), CIS_J_CLOSE));
}

void cis_report_mounts(const cis_run_files *files, struct cis_buf *out)
{
    size_t n = 0;
    const struct cis_run_mounted *m = files != NULL ? cis_run_files_mounted(files, &n) : NULL;
    if (n == 0) {
        return;
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST("mounts")));
    for (const struct cis_run_mounted *end = m + n; m < end; m++) {
        cis_json_object(out,
                        CIS_JSON(CIS_J("kind", m->kind), CIS_J("guest", m->guest_path),
                                 CIS_J_IF(m->host != NULL, CIS_J("host", m->host)),
                                 CIS_J_IF(m->branch != NULL, CIS_J("branch", m->branch)),
                                 CIS_J_IF(m->from != NULL, CIS_J("from", m->from)),
                                 CIS_J_IF(m->base.branch != 0, CIS_J("base_epoch", m->base.epoch)),
                                 CIS_J("read_only", m->read_only),
                                 CIS_J_IF(m->fork != NULL, CIS_J("fork", m->fork)),
                                 CIS_J_IF(m->carries, CIS_J_BOOL("carries", true)),
                                 CIS_J_IF(m->committed, CIS_J("epoch", m->after.epoch)),
                                 CIS_J_IF(m->committed, CIS_J_OPEN("commit")),
                                 CIS_J_IF(m->committed, CIS_J("branch", m->after.branch)),
                                 CIS_J_IF(m->committed, CIS_J("epoch", m->after.epoch)),
                                 CIS_J_IF(m->committed, CIS_J_CLOSE)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
}

static void changes(const struct cis_report *r, struct cis_buf *out)
{
    const struct cis_session_changes *c = r->changes;
    size_t set = 0, removed = 0;
    for (size_t i = 0; i < c->nmemory; i++) {
        removed += c->memory[i].value == NULL;
        set += c->memory[i].value != NULL;
    }
    cis_json_write(out, CIS_JSON(CIS_J_OPEN("changes"), CIS_J("committed", r->committed),
                                 CIS_J("memory_set", set), CIS_J("memory_deleted", removed),
                                 CIS_J("config_set", c->nconfig), CIS_J_LIST("memory_keys")));
    for (size_t i = 0; i < c->nmemory && i < 100; i++) {
        struct cis_str key = {c->memory[i].key, c->memory[i].key_len};
        cis_json_write(out, CIS_JSON(CIS_J(NULL, key)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
    if (r->session->files != NULL) {
        cis_file_changes_write(r->files, out);
    }
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE));
}

/* A program's own end, beside what cis made of it, and what of its output was kept. */
static void program(const struct cis_report *r, struct cis_buf *out)
{
    static const char *const names[][2] = {{"stdout_bytes", "stdout_dropped"},
                                           {"stderr_bytes", "stderr_dropped"}};
    const struct cis_run_outcome *o = r->outcome;
    cis_json_write(out, CIS_JSON(CIS_J("exited", o->exited),
                                 CIS_J_IF(o->exited, CIS_J_INT("guest_exit_code", o->exit_code))));
    for (size_t i = 0; i < 2; i++) {
        const struct cis_host_stream *s = &r->session->host.wasi_env.std[i + 1];
        if (s->kind == CIS_STREAM_KEEP || s->dropped != 0) {
            cis_json_write(
                out, CIS_JSON(CIS_J(names[i][0], s->kept.len), CIS_J(names[i][1], s->dropped)));
        }
    }
}

void cis_report_write(const struct cis_report *r, size_t result_max, struct cis_buf *out)
{
    const cis_session *s = r->session;
    const struct cis_host *h = &s->host;
    char started[32], ended[32];
    cis_clock_iso(s->started_ms, started);
    cis_clock_iso(r->ended_ms, ended);
    uint64_t healed = s->request.store != NULL ? atomic_load(&s->request.store->healed) : 0;
    const struct cis_limits *limits = &s->request.limits;
    const char *code = s->request.compiled_code;
    cis_json_write(
        out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u), CIS_J("id", s->id),
                      CIS_J("skill", s->request.skill), CIS_J("tenant", s->request.tenant),
                      CIS_J("status", cis_run_status(r->outcome->code)),
                      CIS_J("code", cis_code_name(r->outcome->code)),
                      CIS_J_INT("exit_code", cis_run_exit_code(s, r->outcome)),
                      CIS_J_IF(r->outcome->code != CIS_OK, CIS_J("message", r->outcome->error.msg)),
                      CIS_J_IF(r->outcome->question.len != 0,
                               CIS_J_RAW("question", cis_buf_view(&r->outcome->question))),
                      CIS_J_IF(s->request.program == NULL, CIS_J("skill_code", r->skill_code))));
    if (s->request.program != NULL) {
        program(r, out);
    }
    cis_json_write(
        out,
        CIS_JSON(CIS_J_IF(r->entry != NULL, CIS_J("entry", r->entry)),
                 CIS_J("module", cis_engine_module_info(s->request.module)->sha256_hex),
                 CIS_J_IF(code != NULL, CIS_J("compiled_code", code)), CIS_J("started", started),
                 CIS_J("ended", ended), CIS_J("wall_us", r->wall_ns / 1000),
                 CIS_J("guest_us", r->usage->cpu_ns / 1000),
                 CIS_J("wait_us", r->usage->wait_ns / 1000),
                 CIS_J("memory_peak", r->usage->memory_peak),
                 CIS_J("memory_limit", limits->memory_bytes),
                 CIS_J("time_limit_ms",
                       s->request.time_ns == CIS_NEVER ? 0 : s->request.time_ns / CIS_NS_PER_MS),
                 CIS_J("host_bytes_peak", h->budget.peak),
                 CIS_J_IF(limits->fuel != 0, CIS_J("fuel", r->usage->fuel)),
                 CIS_J_IF(limits->fuel != 0, CIS_J("fuel_limit", limits->fuel)),
                 CIS_J("input_bytes", h->input.len), CIS_J("output_bytes", r->outcome->output.len),
                 CIS_J("host_calls", r->usage->host_calls), CIS_J_OPEN("grants")));
    grants("used", r->usage->grants_used, out);
    grants("refused", r->usage->grants_refused, out);
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE));
    limit(r, out);
    cis_report_mounts(s->files, out);
    changes(r, out);
    cis_json_write(
        out, CIS_JSON(CIS_J_IF(healed != s->healed, CIS_J("store_repaired", healed - s->healed))));
    if (h->ai_calls != 0) {
        cis_json_write(out, CIS_JSON(CIS_J_OPEN("ai"), CIS_J("calls", h->ai_calls),
                                     CIS_J("tokens", h->ai_tokens), CIS_J_CLOSE));
    }
    if (h->http_calls != 0) {
        cis_json_write(out, CIS_JSON(CIS_J_OPEN("http"), CIS_J("calls", h->http_calls),
                                     CIS_J("bytes_in", h->http_bytes_in),
                                     CIS_J("bytes_out", h->http_bytes_out), CIS_J_CLOSE));
    }
    const char *trace = r->outcome->backtrace;
    cis_json_write(
        out, CIS_JSON(CIS_J("log_lines", h->log_lines), CIS_J("log_dropped", h->log_dropped),
                      CIS_J_LIST("log"), CIS_J_RAW(NULL, cis_buf_view(&h->log)), CIS_J_LIST_END,
                      CIS_J_IF(trace != NULL && trace[0] != 0, CIS_J("backtrace", trace))));
    result(r, result_max, out);
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE));
}
