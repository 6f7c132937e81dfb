/* The report of a run as JSON. Fields are only ever added. */
#include "run/session.h"

#include <inttypes.h>
#include "base/clock.h"
#include "base/json.h"

const char *cis_run_status(cis_code code)
{
    static const char *const of[] = {
#define CIS_ERROR(name, text, skill_exit, run_exit, http, status, sys) (status),
#include "cis/error.def"
#undef CIS_ERROR
    };
    return (unsigned)code < CIS_E_COUNT_ ? of[code] : "error";
}

static void field_text(struct cis_buf *out, const char *name, struct cis_str text)
{
    cis_buf_printf(out, ",\"%s\":", name);
    cis_buf_json(out, text);
}

static void field_u64(struct cis_buf *out, const char *name, uint64_t value)
{
    cis_buf_printf(out, ",\"%s\":%" PRIu64, name, value);
}

static void result(const struct cis_report *r, size_t max, struct cis_buf *out)
{
    struct cis_str value = cis_buf_view(&r->outcome->output);
    if (value.len == 0) {
        cis_buf_text(out, ",\"result\":null");
    } else if (value.len > max) {
        cis_buf_text(out, ",\"result\":null,\"result_omitted\":true");
    } else if (r->outcome->is_json && cis_json_reads(value.ptr, value.len)) {
        cis_buf_text(out, ",\"result\":");
        cis_buf_str(out, cis_str_trim(value));
    } else {
        cis_buf_text(out, r->outcome->is_json ? ",\"result\":null" : "");
        field_text(out, "result_text", value);
    }
}

static void grants(const struct cis_engine_instance_usage *usage, struct cis_buf *out)
{
    const uint64_t *lists[] = {usage->grants_used, usage->grants_refused};
    static const char *const names[] = {"used", "refused"};
    cis_buf_text(out, ",\"grants\":{");
    for (int l = 0; l < 2; l++) {
        cis_buf_printf(out, "%s\"%s\":{", l != 0 ? "," : "", names[l]);
        bool first = true;
        for (unsigned g = 1; g < CIS_GRANT_COUNT; g++) {
            if (lists[l][g] != 0) {
                cis_buf_printf(out, "%s\"%s\":%" PRIu64, first ? "" : ",",
                               cis_grant_name((enum cis_grant)g), lists[l][g]);
                first = false;
            }
        }
        cis_buf_byte(out, '}');
    }
    cis_buf_byte(out, '}');
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
        cis_buf_printf(out,
                       ",\"limit_hit\":{\"limit\":\"%s\",\"configured\":%" PRIu64
                       ",\"reached\":%" PRIu64 "}",
                       name, configured, reached);
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
    field_text(out, name, cis_buf_view(&text));
}

static bool collect(void *self, const char *guest_path, const struct cis_layered_change *c)
{
    struct cis_file_changes *f = self;
    f->added += c->what == 'A';
    f->modified += c->what == 'M';
    f->removed += c->what == 'D';
    f->renamed += c->what == 'R';
    if (f->told == CIS_REPORT_PATHS || f->paths.len > CIS_REPORT_PATHS_BYTES) {
        return true;
    }
    cis_buf_printf(&f->paths, "%s{\"what\":\"%c\"", f->told != 0 ? "," : "", c->what);
    path_in_guest(&f->paths, "path", guest_path, c->path, c->cut);
    if (c->from.len != 0) {
        path_in_guest(&f->paths, "from", guest_path, c->from, c->cut);
    }
    if (c->what != 'D') {
        field_u64(&f->paths, "size", c->size);
    }
    cis_buf_byte(&f->paths, '}');
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
    cis_buf_printf(out,
                   ",\"files\":{\"added\":%" PRIu64 ",\"modified\":%" PRIu64 ",\"removed\":%" PRIu64
                   ",\"renamed\":%" PRIu64,
                   f->added, f->modified, f->removed, f->renamed);
    if (f->unknown) {
        cis_buf_text(out, ",\"incomplete\":true");
    }
    cis_buf_text(out, ",\"paths\":[");
    cis_buf_str(out, cis_buf_view(&f->paths));
    cis_buf_byte(out, ']');
    uint64_t all = f->added + f->modified + f->removed + f->renamed;
    if (all > f->told) {
        field_u64(out, "omitted", all - f->told);
    }
    cis_buf_byte(out, '}');
}

void cis_report_mounts(const cis_run_files *files, struct cis_buf *out)
{
    size_t n = 0;
    const struct cis_run_mounted *m = files != NULL ? cis_run_files_mounted(files, &n) : NULL;
    if (n == 0) {
        return;
    }
    cis_buf_text(out, ",\"mounts\":[");
    for (size_t i = 0; i < n; i++) {
        cis_buf_printf(out, "%s{\"kind\":\"%s\"", i != 0 ? "," : "", m[i].kind);
        field_text(out, "guest", cis_str_of(m[i].guest_path));
        if (m[i].host != NULL) {
            field_text(out, "host", cis_str_of(m[i].host));
        }
        if (m[i].branch != NULL) {
            field_text(out, "branch", cis_str_of(m[i].branch));
        }
        if (m[i].from != NULL) {
            field_text(out, "from", cis_str_of(m[i].from));
        }
        if (m[i].base.branch != 0) {
            field_u64(out, "base_epoch", m[i].base.epoch);
        }
        cis_buf_printf(out, ",\"read_only\":%s", m[i].read_only ? "true" : "false");
        if (m[i].fork != NULL) {
            field_text(out, "fork", cis_str_of(m[i].fork));
        }
        if (m[i].carries) {
            cis_buf_text(out, ",\"carries\":true");
        }
        if (m[i].committed) {
            field_u64(out, "epoch", m[i].after.epoch);
            cis_buf_printf(out, ",\"commit\":{\"branch\":%" PRIu64 ",\"epoch\":%" PRIu64 "}",
                           m[i].after.branch, m[i].after.epoch);
        }
        cis_buf_byte(out, '}');
    }
    cis_buf_byte(out, ']');
}

static void changes(const struct cis_report *r, struct cis_buf *out)
{
    const struct cis_session_changes *c = r->changes;
    size_t set = 0, removed = 0;
    for (size_t i = 0; i < c->nmemory; i++) {
        removed += c->memory[i].value == NULL;
        set += c->memory[i].value != NULL;
    }
    cis_buf_printf(out,
                   ",\"changes\":{\"committed\":%s,\"memory_set\":%zu,\"memory_deleted\":%zu,"
                   "\"config_set\":%zu,\"memory_keys\":[",
                   r->committed ? "true" : "false", set, removed, c->nconfig);
    for (size_t i = 0; i < c->nmemory && i < 100; i++) {
        if (i != 0) {
            cis_buf_byte(out, ',');
        }
        cis_buf_json(out, (struct cis_str){c->memory[i].key, c->memory[i].key_len});
    }
    cis_buf_byte(out, ']');
    if (r->session->files != NULL) {
        cis_file_changes_write(r->files, out);
    }
    cis_buf_byte(out, '}');
}

/* A program's own end, beside what cis made of it, and what of its output was kept. */
static void program(const struct cis_report *r, struct cis_buf *out)
{
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    const struct cis_run_outcome *o = r->outcome;
    cis_buf_printf(out, ",\"exited\":%s", o->exited ? "true" : "false");
    if (o->exited) {
        cis_buf_printf(out, ",\"guest_exit_code\":%" PRId32, o->exit_code);
    }
    for (size_t i = 1; i < 3; i++) {
        const struct cis_host_stream *s = &r->session->host.wasi_env.std[i];
        if (s->kind == CIS_STREAM_KEEP || s->dropped != 0) {
            cis_buf_printf(out, ",\"%s_bytes\":%zu,\"%s_dropped\":%" PRIu64, names[i], s->kept.len,
                           names[i], s->dropped);
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
    cis_buf_printf(out, "{\"schema\":1,\"id\":\"%s\"", s->id);
    field_text(out, "skill", cis_str_of(s->request.skill));
    field_text(out, "tenant", cis_str_of(s->request.tenant));
    cis_buf_printf(out, ",\"status\":\"%s\",\"code\":\"%s\",\"exit_code\":%d",
                   cis_run_status(r->outcome->code), cis_code_name(r->outcome->code),
                   cis_run_exit_code(s, r->outcome));
    if (r->outcome->code != CIS_OK) {
        field_text(out, "message", cis_str_of(r->outcome->error.msg));
    }
    if (s->request.program == NULL) {
        cis_buf_printf(out, ",\"skill_code\":%" PRId64, r->skill_code);
    } else {
        program(r, out);
    }
    if (r->entry != NULL) {
        field_text(out, "entry", cis_str_of(r->entry));
    }
    field_text(out, "module", cis_str_of(cis_engine_module_info(s->request.module)->sha256_hex));
    if (s->request.compiled_code != NULL) {
        field_text(out, "compiled_code", cis_str_of(s->request.compiled_code));
    }
    cis_buf_printf(out, ",\"started\":\"%s\",\"ended\":\"%s\"", started, ended);
    field_u64(out, "wall_us", r->wall_ns / 1000);
    field_u64(out, "guest_us", r->usage->cpu_ns / 1000);
    field_u64(out, "wait_us", r->usage->wait_ns / 1000);
    field_u64(out, "memory_peak", r->usage->memory_peak);
    field_u64(out, "memory_limit", s->request.limits.memory_bytes);
    field_u64(out, "time_limit_ms",
              s->request.time_ns == CIS_NEVER ? 0 : s->request.time_ns / CIS_NS_PER_MS);
    field_u64(out, "host_bytes_peak", h->budget.peak);
    if (s->request.limits.fuel != 0) {
        field_u64(out, "fuel", r->usage->fuel);
        field_u64(out, "fuel_limit", s->request.limits.fuel);
    }
    field_u64(out, "input_bytes", h->input.len);
    field_u64(out, "output_bytes", r->outcome->output.len);
    field_u64(out, "host_calls", r->usage->host_calls);
    grants(r->usage, out);
    limit(r, out);
    cis_report_mounts(s->files, out);
    changes(r, out);
    uint64_t healed = s->request.store != NULL ? atomic_load(&s->request.store->healed) : 0;
    if (healed != s->healed) {
        field_u64(out, "store_repaired", healed - s->healed);
    }
    if (h->ai_calls != 0) {
        cis_buf_printf(out, ",\"ai\":{\"calls\":%" PRIu64 ",\"tokens\":%" PRIu64 "}", h->ai_calls,
                       h->ai_tokens);
    }
    if (h->http_calls != 0) {
        cis_buf_printf(out,
                       ",\"http\":{\"calls\":%" PRIu64 ",\"bytes_in\":%" PRIu64
                       ",\"bytes_out\":%" PRIu64 "}",
                       h->http_calls, h->http_bytes_in, h->http_bytes_out);
    }
    cis_buf_printf(out, ",\"log_lines\":%" PRIu64 ",\"log_dropped\":%" PRIu64 ",\"log\":[",
                   h->log_lines, h->log_dropped);
    cis_buf_str(out, cis_buf_view(&h->log));
    cis_buf_byte(out, ']');
    if (r->outcome->backtrace != NULL && r->outcome->backtrace[0] != 0) {
        field_text(out, "backtrace", cis_str_of(r->outcome->backtrace));
    }
    result(r, result_max, out);
    cis_buf_byte(out, '}');
}
