/* Recordings: made, opened, what stands before the first event and after the last. */
#include "engine/recording/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "engine/recording/recording_component.h"

#define NAME_MAX_BYTES 4096u
#define ENGINE_MAX_BYTES 64u

static cis_code recording_new(const char *path, bool replay, cis_recording **out,
                              struct cis_error *err)
{
    cis_recording *recording = cis_zalloc(sizeof *recording);
    char *own = cis_strdup(path);
    if (recording == NULL || own == NULL) {
        cis_free(recording);
        cis_free(own);
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    recording->fd = -1;
    recording->path = own;
    recording->replay = replay;
    recording->module = CIS_BUF_INIT(CIS_MODULE_MAX);
    recording->about = CIS_BUF_INIT(CIS_RECORDING_ABOUT_MAX);
    recording->owns = CIS_BUF_INIT((size_t)16 << 20);
    recording->answer = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    *out = recording;
    return CIS_OK;
}

static void recording_freep(cis_recording **recording)
{
    cis_recording_free(*recording);
}

void cis_recording_free(cis_recording *recording)
{
    if (recording == NULL) {
        return;
    }
    if (recording->fd >= 0) {
        close(recording->fd);
    }
    cis_buf_done(&recording->module);
    cis_buf_done(&recording->about);
    cis_buf_done(&recording->owns);
    cis_buf_done(&recording->answer);
    cis_free(recording->pairs);
    cis_free(recording->numbers);
    cis_free(recording->name);
    cis_free(recording->without);
    cis_free(recording->engine);
    cis_free(recording->frame);
    cis_free(recording->path);
    cis_free(recording);
}

uint64_t cis_recording_calls(const cis_recording *recording)
{
    return recording->calls;
}

cis_engine_instance *cis_recording_instance(const cis_recording *recording)
{
    return recording->instance;
}

/* ---- recording ---- */

cis_code cis_recording_record(const char *path, const struct cis_recording_source *source,
                              cis_recording **out, struct cis_error *err)
{
    CIS_CLEANUP(recording_freep) cis_recording *recording = NULL;
    CIS_TRY(recording_new(path, false, &recording, err));
    if (source->about.len > CIS_RECORDING_ABOUT_MAX || source->module.len > CIS_MODULE_MAX ||
        strlen(source->name) >= NAME_MAX_BYTES ||
        (source->without != NULL && strlen(source->without) >= NAME_MAX_BYTES)) {
        return cis_fail(err, CIS_E_LIMIT,
                        "%s: the settings of the run are too large to be recorded", path);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    struct stat st;
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s: the run cannot be recorded", path);
    }
    recording->fd = fd;
    /* A file that was there before may be open to others, who are not to read this run. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        (void)fchmod(fd, 0600);
    }
    recording->source = *source;
    recording->name = cis_strdup(source->name);
    recording->without = cis_strdup(source->without != NULL ? source->without : "");
    cis_buf_str(&recording->about, source->about);
    if (recording->name == NULL || recording->without == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    recording->source.name = recording->name;
    recording->source.about = cis_buf_view(&recording->about);
    CIS_TRY(cis_buf_check(&recording->about, path, err));
    CIS_TRY(cis_recording_file_begin(recording, fd, err));
    *out = cis_take(&recording);
    return CIS_OK;
}

void cis_recording_put_head(cis_recording *recording, const struct cis_engine_module *module)
{
    const struct cis_recording_source *s = &recording->source;
    cis_recording_put_text(recording, cis_str_of(cis_glue_wasmtime_version()));
    cis_recording_put_number(recording, module->profile->features);
    cis_recording_put_number(recording, (module->profile->fuel ? 1u : 0u) | (s->program ? 2u : 0u) |
                                            (module->component != NULL ? 4u | 8u : 0u));
    if (module->component != NULL) {
        cis_recording_put_text(recording, cis_str_of(recording->without));
        cis_recording_put_number(recording, s->wasi);
    }
    cis_recording_put_text(recording, cis_str_of(s->name));
    cis_recording_put_text(recording, s->about);
    cis_recording_put_number(recording, s->module.len);
    cis_recording_put(recording, s->module.ptr, s->module.len);
}

cis_code cis_recording_finish(cis_recording *recording, const struct cis_recording_outcome *o,
                              struct cis_error *err)
{
    const uint8_t tag = CIS_RECORDING_END;
    cis_recording_put(recording, &tag, 1);
    cis_recording_put_number(recording, (uint64_t)o->code);
    cis_recording_put_number(recording, o->exited ? 1 : 0);
    cis_recording_put_number(recording, (uint32_t)o->exit_code);
    cis_recording_put_text(recording, cis_str_of(o->message));
    return cis_recording_file_end(recording, err);
}

/* ---- opening ---- */

static char *get_text(cis_recording *recording, size_t room)
{
    char text[NAME_MAX_BYTES];
    cis_recording_get_text(recording, text, room);
    char *own = cis_strdup(text);
    if (own == NULL && recording->failed.code == CIS_OK) {
        cis_fail(&recording->failed, CIS_E_NOMEM, "%s: out of memory", recording->path);
    }
    return own;
}

static void get_head(cis_recording *recording)
{
    struct cis_recording_head *h = &recording->head;
    recording->engine = get_text(recording, ENGINE_MAX_BYTES);
    uint64_t features = cis_recording_get_number(recording),
             bits = cis_recording_get_number(recording);
    uint64_t wasi = UINT32_MAX; /* of recordings that do not say: all */
    if ((bits & 8) != 0) {
        recording->without = get_text(recording, NAME_MAX_BYTES);
        wasi = cis_recording_get_number(recording);
    }
    recording->name = get_text(recording, NAME_MAX_BYTES);
    cis_recording_get_long(recording, &recording->about);
    cis_recording_get_long(recording, &recording->module);
    if ((features & ~(uint64_t)CIS_FEATURES_COMPILED) != 0 || bits > 15 || wasi > UINT32_MAX) {
        cis_recording_damaged(recording, "unknown features of a module");
    }
    if (cis_recording_peek(recording) != CIS_RECORDING_START) {
        cis_recording_damaged(recording, "no guest is started");
    }
    h->engine = recording->engine;
    h->features = (unsigned)features;
    h->metered = (bits & 1) != 0;
    h->program = (bits & 2) != 0;
    h->component = (bits & 4) != 0;
    h->without =
        recording->without != NULL && recording->without[0] != 0 ? recording->without : NULL;
    h->wasi = (uint32_t)wasi;
    h->name = recording->name;
    h->about = cis_buf_view(&recording->about);
    h->module = cis_buf_bytes(&recording->module);
}

cis_code cis_recording_open(const char *path, cis_recording **out, struct cis_error *err)
{
    CIS_CLEANUP(recording_freep) cis_recording *recording = NULL;
    CIS_TRY(recording_new(path, true, &recording, err));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s", path);
    }
    CIS_TRY(cis_recording_file_begin(recording, fd, err));
    get_head(recording);
    CIS_TRY(cis_recording_check(recording, err));
    uint8_t tag;
    cis_recording_get(recording, &tag, 1);
    struct cis_limits *limits = &recording->head.limits;
    limits->memory_bytes = cis_recording_get_number(recording);
    limits->table_elements = cis_recording_get_number(recording);
    limits->fuel = cis_recording_get_number(recording);
    limits->host_bytes = recording->head.component ? cis_recording_get_number(recording) : 0;
    CIS_TRY(cis_recording_check(recording, err));
    *out = cis_take(&recording);
    return CIS_OK;
}

const struct cis_recording_head *cis_recording_head(const cis_recording *recording)
{
    return &recording->head;
}
