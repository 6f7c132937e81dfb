/* Runs of programs that are recorded, and recorded ones played again. */
#include "run/replay.h"

#include <errno.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/json_write.h"
#include "lib/wasi.h"

/* ---- recording ---- */

static void about(const cis_wasi_config *config, const cis_engine_module *module,
                  struct cis_buf *out)
{
    char when[32];
    cis_clock_iso(cis_clock_wall_ms(), when);
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("cis", CIS_VERSION),
                                 CIS_J("command", "libcis"), CIS_J_LIST("arguments")));
    for (size_t i = 0; i < config->args.n; i++) {
        cis_json_write(out, CIS_JSON(CIS_J(NULL, config->args.at[i])));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END,
                                 CIS_J("module", cis_engine_module_info(module)->sha256_hex),
                                 CIS_J("started", when), CIS_J_CLOSE));
}

/* The module once more, compiled so that its NaNs are always the same. */
static cis_code load(const cis_wasi_config *config, cis_module *module,
                     const struct cis_limits *limits, cis_engine_module **out,
                     struct cis_error *err)
{
    struct cis_engine_module_options o = {.name = module->name,
                                          .features =
                                              module->runtime->features | CIS_FEATURE_CANONICAL_NAN,
                                          .fuel = limits->fuel != 0,
                                          .memory_limit = limits->memory_bytes,
                                          .stop = {CIS_NEVER, config->cancel}};
    return cis_engine_module_load(module->runtime->engine, cis_bytes_of(module->bytes, module->len),
                                  &o, out, err);
}

cis_code cis_lib_record(const cis_wasi_config *config, cis_module *module,
                        struct cis_lib_recording *r, struct cis_run_request *request,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_RECORDING_ABOUT_MAX);
    *r = (struct cis_lib_recording){0};
    if (config->record == NULL) {
        return CIS_OK;
    }
    CIS_TRY(load(config, module, &request->limits, &r->module, err));
    about(config, r->module, &text);
    struct cis_recording_source source = {.module = cis_bytes_of(module->bytes, module->len),
                                          .name = module->name,
                                          .about = cis_buf_view(&text),
                                          .program = true,
                                          .without = config->without,
                                          .wasi =
                                              config->features | config->runtime->wasi_features};
    cis_code code = cis_buf_check(&text, config->record, err);
    code =
        code == CIS_OK ? cis_recording_record(config->record, &source, &r->recording, err) : code;
    if (code != CIS_OK) {
        cis_lib_recording_done(r);
        return code;
    }
    request->module = r->module;
    request->recording = r->recording;
    return CIS_OK;
}

void cis_lib_recording_done(struct cis_lib_recording *r)
{
    cis_recording_free(r->recording);
    cis_engine_module_unref(r->module);
    *r = (struct cis_lib_recording){0};
}

/* ---- playing ---- */

struct play {
    struct cis_host_stream std[3];
};

static cis_code keep(struct cis_host_stream *s, const void *data, size_t len)
{
    size_t room = s->kept.max - s->kept.len, n = len < room ? len : room;
    cis_buf_add(&s->kept, data, n);
    s->dropped += len - n;
    return CIS_OK;
}

static cis_code call(struct cis_host_stream *s, const void *data, size_t len, struct cis_error *err)
{
    const uint8_t *at = data;
    while (len != 0) {
        size_t n = 0;
        int rc = s->write(s->self, at, len, &n);
        if (rc != 0 || n == 0 || n > len) {
            return cis_fail_sys(err, CIS_E_IO, rc != 0 ? rc : EIO, "output of the replay");
        }
        at += n;
        len -= n;
    }
    return CIS_OK;
}

static cis_code show(void *self, unsigned stream, const void *data, size_t len,
                     struct cis_error *err)
{
    struct play *p = self;
    struct cis_host_stream *s = &p->std[stream];
    int rc;
    switch (s->kind) {
    case CIS_STREAM_KEEP:
        return keep(s, data, len);
    case CIS_STREAM_FD:
        rc = cis_fd_write_all(s->fd, data, len);
        return rc == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, rc, "output of the replay");
    case CIS_STREAM_CALL:
        return call(s, data, len, err);
    default:
        return CIS_OK; /* nobody listens */
    }
}

static cis_code play(const cis_wasi_config *config, const char *path, struct play *p,
                     struct cis_recording_outcome *out, struct cis_error *err)
{
    uint64_t ns;
    if (config->time_ms == 0 || __builtin_mul_overflow(config->time_ms, CIS_NS_PER_MS, &ns)) {
        ns = CIS_NEVER;
    }
    struct cis_replay_request r = {
        .engine = config->runtime->engine,
        .memory_max = config->memory != 0 ? config->memory : config->runtime->max_memory,
        .stop = {cis_clock_after(cis_clock_mono_ns(), ns), config->cancel},
        .show = show,
        .show_self = p};
    CIS_TRY(cis_recording_open(path, &r.recording, err));
    cis_code code = cis_run_replay(&r, out, err);
    cis_recording_free(r.recording);
    return code;
}

cis_code cis_wasi_replay(const cis_wasi_config *config, const char *path, cis_result **out_result,
                         struct cis_error *err)
{
    CIS_TRY(cis_lib_here(config->runtime, err));
    struct play p;
    struct cis_recording_outcome o = {0};
    if (!cis_lib_wasi_usable(config)) {
        return cis_fail(err, config->first.code, "%s", config->first.msg);
    }
    for (int i = 0; i < 3; i++) {
        p.std[i] = config->std[i];
        p.std[i].kept = CIS_BUF_INIT(config->keep_max[i]);
    }
    cis_code code = play(config, path, &p, &o, err);
    code = code == CIS_OK ? cis_lib_result_played(&o, p.std, path, out_result, err) : code;
    for (int i = 0; i < 3 && code != CIS_OK; i++) {
        cis_buf_done(&p.std[i].kept);
    }
    return code;
}
