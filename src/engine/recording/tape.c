/* Tapes: made, opened, what stands before the first event and after the last. */
#include "engine/recording/tape.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "engine/recording/tape_component.h"

#define NAME_MAX_BYTES 4096u
#define ENGINE_MAX_BYTES 64u

static cis_code tape_new(const char *path, bool replay, cis_tape **out, struct cis_error *err)
{
    cis_tape *tape = cis_zalloc(sizeof *tape);
    char *own = cis_strdup(path);
    if (tape == NULL || own == NULL) {
        cis_free(tape);
        cis_free(own);
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    tape->fd = -1;
    tape->path = own;
    tape->replay = replay;
    tape->module = CIS_BUF_INIT(CIS_MODULE_MAX);
    tape->about = CIS_BUF_INIT(CIS_TAPE_ABOUT_MAX);
    tape->owns = CIS_BUF_INIT((size_t)16 << 20);
    tape->answer = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    *out = tape;
    return CIS_OK;
}

static void tape_freep(cis_tape **tape)
{
    cis_tape_free(*tape);
}

void cis_tape_free(cis_tape *tape)
{
    if (tape == NULL) {
        return;
    }
    if (tape->fd >= 0) {
        close(tape->fd);
    }
    cis_buf_done(&tape->module);
    cis_buf_done(&tape->about);
    cis_buf_done(&tape->owns);
    cis_buf_done(&tape->answer);
    cis_free(tape->pairs);
    cis_free(tape->numbers);
    cis_free(tape->name);
    cis_free(tape->without);
    cis_free(tape->engine);
    cis_free(tape->frame);
    cis_free(tape->path);
    cis_free(tape);
}

uint64_t cis_tape_calls(const cis_tape *tape)
{
    return tape->calls;
}

cis_guest *cis_tape_guest(const cis_tape *tape)
{
    return tape->guest;
}

/* ---- recording ---- */

cis_code cis_tape_record(const char *path, const struct cis_tape_source *source, cis_tape **out,
                         struct cis_error *err)
{
    CIS_CLEANUP(tape_freep) cis_tape *tape = NULL;
    CIS_TRY(tape_new(path, false, &tape, err));
    if (source->about.len > CIS_TAPE_ABOUT_MAX || source->module.len > CIS_MODULE_MAX ||
        strlen(source->name) >= NAME_MAX_BYTES ||
        (source->without != NULL && strlen(source->without) >= NAME_MAX_BYTES)) {
        return cis_fail(err, CIS_E_LIMIT, "%s: too much is to be said about the run", path);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    struct stat st;
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s: the run cannot be recorded", path);
    }
    tape->fd = fd;
    /* A file that was there before may be open to others, who are not to read this run. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        (void)fchmod(fd, 0600);
    }
    tape->source = *source;
    tape->name = cis_strdup(source->name);
    tape->without = cis_strdup(source->without != NULL ? source->without : "");
    cis_buf_str(&tape->about, source->about);
    if (tape->name == NULL || tape->without == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    tape->source.name = tape->name;
    tape->source.about = cis_buf_view(&tape->about);
    CIS_TRY(cis_buf_check(&tape->about, path, err));
    CIS_TRY(cis_tape_file_begin(tape, fd, err));
    *out = cis_take(&tape);
    return CIS_OK;
}

void cis_tape_put_head(cis_tape *tape, const struct cis_image *image)
{
    const struct cis_tape_source *s = &tape->source;
    cis_tape_put_text(tape, cis_str_of(cis_glue_wasmtime_version()));
    cis_tape_put_number(tape, image->profile->features);
    cis_tape_put_number(tape, (image->profile->fuel ? 1u : 0u) | (s->program ? 2u : 0u) |
                                  (image->component != NULL ? 4u | 8u : 0u));
    if (image->component != NULL) {
        cis_tape_put_text(tape, cis_str_of(tape->without));
        cis_tape_put_number(tape, s->wasi);
    }
    cis_tape_put_text(tape, cis_str_of(s->name));
    cis_tape_put_text(tape, s->about);
    cis_tape_put_number(tape, s->module.len);
    cis_tape_put(tape, s->module.ptr, s->module.len);
}

cis_code cis_tape_finish(cis_tape *tape, const struct cis_tape_outcome *o, struct cis_error *err)
{
    const uint8_t tag = CIS_TAPE_END;
    cis_tape_put(tape, &tag, 1);
    cis_tape_put_number(tape, (uint64_t)o->code);
    cis_tape_put_number(tape, o->exited ? 1 : 0);
    cis_tape_put_number(tape, (uint32_t)o->exit_code);
    cis_tape_put_text(tape, cis_str_of(o->message));
    return cis_tape_file_end(tape, err);
}

/* ---- opening ---- */

static char *get_text(cis_tape *tape, size_t room)
{
    char text[NAME_MAX_BYTES];
    cis_tape_get_text(tape, text, room);
    char *own = cis_strdup(text);
    if (own == NULL && tape->failed.code == CIS_OK) {
        cis_fail(&tape->failed, CIS_E_NOMEM, "%s: out of memory", tape->path);
    }
    return own;
}

static void get_head(cis_tape *tape)
{
    struct cis_tape_head *h = &tape->head;
    tape->engine = get_text(tape, ENGINE_MAX_BYTES);
    uint64_t features = cis_tape_get_number(tape), bits = cis_tape_get_number(tape);
    uint64_t wasi = UINT32_MAX; /* of tapes that do not say: all */
    if ((bits & 8) != 0) {
        tape->without = get_text(tape, NAME_MAX_BYTES);
        wasi = cis_tape_get_number(tape);
    }
    tape->name = get_text(tape, NAME_MAX_BYTES);
    cis_tape_get_long(tape, &tape->about);
    cis_tape_get_long(tape, &tape->module);
    if ((features & ~(uint64_t)CIS_FEATURES_COMPILED) != 0 || bits > 15 || wasi > UINT32_MAX) {
        cis_tape_damaged(tape, "features that no module has");
    }
    if (cis_tape_peek(tape) != CIS_TAPE_START) {
        cis_tape_damaged(tape, "no guest begins");
    }
    h->engine = tape->engine;
    h->features = (unsigned)features;
    h->metered = (bits & 1) != 0;
    h->program = (bits & 2) != 0;
    h->component = (bits & 4) != 0;
    h->without = tape->without != NULL && tape->without[0] != 0 ? tape->without : NULL;
    h->wasi = (uint32_t)wasi;
    h->name = tape->name;
    h->about = cis_buf_view(&tape->about);
    h->module = cis_buf_bytes(&tape->module);
}

cis_code cis_tape_open(const char *path, cis_tape **out, struct cis_error *err)
{
    CIS_CLEANUP(tape_freep) cis_tape *tape = NULL;
    CIS_TRY(tape_new(path, true, &tape, err));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s", path);
    }
    CIS_TRY(cis_tape_file_begin(tape, fd, err));
    get_head(tape);
    CIS_TRY(cis_tape_check(tape, err));
    uint8_t tag;
    cis_tape_get(tape, &tag, 1);
    struct cis_limits *limits = &tape->head.limits;
    limits->memory_bytes = cis_tape_get_number(tape);
    limits->table_elements = cis_tape_get_number(tape);
    limits->fuel = cis_tape_get_number(tape);
    limits->host_bytes = tape->head.component ? cis_tape_get_number(tape) : 0;
    CIS_TRY(cis_tape_check(tape, err));
    *out = cis_take(&tape);
    return CIS_OK;
}

const struct cis_tape_head *cis_tape_head(const cis_tape *tape)
{
    return &tape->head;
}
