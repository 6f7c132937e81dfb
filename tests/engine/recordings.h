/* What the tests of recordings share: a host that never answers the same twice, guests that use all
 * of it, runs that are recorded and played, and recordings taken apart and put together again. */
#ifndef CIS_TESTS_ENGINE_RECORDINGS_H
#define CIS_TESTS_ENGINE_RECORDINGS_H

#include <fcntl.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/le.h"
#include "base/mem.h"
#include "engine/recording/recording.h"
#include "guests.h"
#include "recording_file.h"

static uint64_t recording_ticks = 1000; /* goes on over all runs */

static inline cis_code h_now(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)g;
    (void)err;
    recording_ticks += 17;
    io[0].i64 = (int64_t)recording_ticks;
    return CIS_OK;
}

static inline cis_code h_real(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)g;
    (void)err;
    recording_ticks += 17;
    io[0].f64 = (double)recording_ticks / 3;
    return CIS_OK;
}

/* Fills [ptr, ptr+len) with bytes that are new each time. */
static inline cis_code h_fill(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    uint32_t len = io[1].u32;
    uint8_t *p = cis_engine_instance_out(g, io[0].u32, len);
    if (p == NULL) {
        return cis_fail(err, CIS_E_BADPTR, "fill: outside");
    }
    for (uint32_t i = 0; i < len; i++) {
        p[i] = (uint8_t)((recording_ticks += 7) >> 2);
    }
    return CIS_OK;
}

/* Asks for three places with 60,000 bytes and writes nine of them, then four bytes elsewhere. */
static inline cis_code h_few(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    uint32_t ptr = io[0].u32;
    uint8_t *a = cis_engine_instance_out(g, ptr + 50000, 6);
    uint8_t *b = cis_engine_instance_out(g, ptr, 40000);
    (void)cis_engine_instance_out(g, ptr + 40000, 10000);
    memset(a, (int)(uint8_t)(recording_ticks += 7), 6);
    memset(b, (int)(uint8_t)(recording_ticks += 7), 3);
    cis_engine_instance_wrote(g, 9);
    memset(cis_engine_instance_out(g, ptr + 60000, 4), (int)(uint8_t)(recording_ticks += 7), 4);
    io[0].i32 = 9;
    return CIS_OK;
}

/* Two thousand places, a byte in each. */
static inline cis_code h_dots(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    for (uint32_t i = 0; i < 2000; i++) {
        uint8_t *p = cis_engine_instance_out(g, io[0].u32 + i * 3, 1);
        *p = (uint8_t)(recording_ticks += 7);
    }
    return CIS_OK;
}

/* Reads what it is writing: the bytes are the recording's own when it is played. */
static inline cis_code h_twice(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    uint8_t *p = cis_engine_instance_out(g, io[0].u32, 8);
    memset(p, (int)(uint8_t)(recording_ticks += 7), 8);
    const uint8_t *again = cis_engine_instance_at(g, io[0].u32 + 4, 8);
    return again[0] == p[4] ? CIS_OK : CIS_E_INTERNAL;
}

static inline cis_code h_say(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    const void *p;
    CIS_TRY(cis_engine_instance_span(g, io[1].u32, io[2].u32, "say", &p, err));
    cis_engine_instance_shown(g, io[0].u32, p, io[2].u32);
    return CIS_OK;
}

static inline cis_code h_tell(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)io;
    (void)err;
    cis_engine_instance_shown(g, 2, "told by the host\n", 17);
    return CIS_OK;
}

static inline cis_code h_more(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    uint64_t at = 0;
    if (cis_engine_instance_grow(g, io[0].u32, &at, err) != CIS_OK) {
        io[0].i32 = -1;
        return CIS_OK;
    }
    memset(cis_engine_instance_out(g, at, 16), (int)(uint8_t)(recording_ticks += 7), 16);
    io[0].i32 = (int32_t)at;
    return CIS_OK;
}

/* Writes, calls the guest, writes again. */
static inline cis_code h_down(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    union cis_slot arg[1] = {{.i32 = io[0].i32}};
    uint8_t *p = cis_engine_instance_out(g, 256, 4);
    cis_put_le32(p, (uint32_t)(recording_ticks += 7));
    CIS_TRY(cis_engine_instance_call(g, CIS_STR("down"), "i:i", arg, err));
    p = cis_engine_instance_out(g, 260, 4);
    cis_put_le32(p, (uint32_t)(recording_ticks += 7));
    io[0] = arg[0];
    return CIS_OK;
}

static inline cis_code h_work(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    return cis_engine_instance_burn(g, (recording_ticks += 7) % 100 + io[0].u32, err);
}

static inline cis_code h_late(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)g;
    (void)io;
    return cis_fail(err, CIS_E_DEADLINE, "a wait took too long");
}

static const struct cis_hostfn recording_rows[] = {
    {"t", "now", ":I", 0, 1, false, 0, h_now, "", ""},
    {"t", "real", ":F", 0, 1, false, 0, h_real, "", ""},
    {"t", "fill", "ii:", 0, 1, false, 0, h_fill, "ptr,len", ""},
    {"t", "few", "i:i", 0, 1, false, 0, h_few, "ptr", ""},
    {"t", "dots", "i:", 0, 1, false, 0, h_dots, "ptr", ""},
    {"t", "twice", "i:", 0, 1, false, 0, h_twice, "ptr", ""},
    {"t", "say", "iii:", 0, 1, false, 0, h_say, "stream,ptr,len", ""},
    {"t", "tell", ":", 0, 1, false, 0, h_tell, "", ""},
    {"t", "more", "i:i", 0, 1, false, 0, h_more, "bytes", ""},
    {"t", "down", "i:i", 0, 1, false, 0, h_down, "n", ""},
    {"t", "work", "i:", 0, 1, false, 0, h_work, "units", ""},
    {"t", "late", ":", 0, 1, false, 0, h_late, "", ""},
};

static inline const struct cis_hostfn *recording_resolve(void *self,
                                                         const struct cis_extern *import)
{
    for (size_t i = 0; i < sizeof recording_rows / sizeof *recording_rows; i++) {
        const struct cis_hostfn *row = &recording_rows[i];
        if (cis_str_is(import->name, row->name) && strcmp(import->type, row->type) == 0) {
            return row;
        }
    }
    return test_resolve(self, import);
}

/* ---- recording and playing ---- */

struct recordings {
    cis_engine *engine;
    char *dir;
    char path[400];
    struct test_host host;
    struct cis_limits limits;
    uint64_t time_ns;
    uint64_t bytes_max; /* of the recording; 0: the default */
    bool fuel;
    cis_engine_instance *guest; /* while a run is recorded */
    cis_recording *recording;
    cis_linked *program;
    struct cis_buf shown[3];
    bool fire_when_shown;
    uint64_t play_ns; /* that it may be played for; 0: 20 s */
    struct cis_recording_outcome outcome;
    struct cis_error err;
};

static inline cis_engine_module *recording_image(struct recordings *f, struct cis_bytes module,
                                                 bool fuel, unsigned features)
{
    cis_engine_module *image = NULL;
    struct cis_engine_module_options o = {.name = "guest.wat",
                                          .fuel = fuel,
                                          .features = features,
                                          .stop = {.deadline_ns = CIS_NEVER}};
    assert_ok(cis_engine_module_load(f->engine, module, &o, &image, err));
    return image;
}

/* Up to the guest's start; its code. */
static inline cis_code recording_begin(struct recordings *f, const char *wat)
{
    struct cis_bytes module = cis_bytes_of(wat, strlen(wat));
    struct cis_recording_source source = {
        .module = module, .name = "guest.wat", .about = CIS_STR("{\"args\":[]}"), .program = true};
    source.bytes_max = f->bytes_max;
    cis_engine_module *image = recording_image(f, module, f->fuel, CIS_FEATURE_CANONICAL_NAN);
    assert_ok(cis_linked_new(image, recording_resolve, NULL, &f->program, err));
    cis_engine_module_unref(image);
    assert_ok(cis_recording_record(f->path, &source, &f->recording, err));
    struct cis_engine_instance_options o = options_for(&f->host);
    if (f->limits.memory_bytes != 0) {
        o.limits = f->limits;
    }
    cis_recording_watch(f->recording, &o);
    o.stop.cancel = f->host.fire;
    o.stop.deadline_ns =
        f->time_ns != 0 ? cis_clock_after(cis_clock_mono_ns(), f->time_ns) : CIS_NEVER;
    return cis_engine_instance_new(f->engine, f->program, &o, &f->guest, &f->err);
}

static inline cis_code recording_call(struct recordings *f, const char *name, const char *type,
                                      union cis_slot *io)
{
    return cis_engine_instance_call(f->guest, cis_str_of(name), type, io, &f->err);
}

/* The end mark says how the guest ended. */
static inline cis_code recording_end(struct recordings *f)
{
    const struct cis_engine_instance_end *end = cis_engine_instance_end(f->guest);
    struct cis_recording_outcome o = {
        .code = end->code, .exited = end->exited, .exit_code = end->exit_code};
    snprintf(o.message, sizeof o.message, "%s", end->error.msg);
    cis_engine_instance_free(f->guest);
    f->guest = NULL;
    struct cis_error err = {0};
    cis_code code = cis_recording_finish(f->recording, &o, &err);
    if (code != CIS_OK) {
        f->err = err;
    }
    cis_recording_free(f->recording);
    f->recording = NULL;
    cis_linked_unref(f->program);
    f->program = NULL;
    return code;
}

/* Records the call of "run". */
static inline void recording_run(struct recordings *f, const char *wat)
{
    union cis_slot io[1] = {{0}};
    if (recording_begin(f, wat) == CIS_OK) {
        (void)recording_call(f, "run", ":", io);
    }
    assert_ok(recording_end(f));
}

static inline cis_code recording_shown(void *self, unsigned stream, const void *data, size_t len,
                                       struct cis_error *err)
{
    (void)err;
    struct recordings *f = self;
    cis_buf_add(&f->shown[stream], data, len);
    if (f->fire_when_shown) {
        cis_cancel_fire(f->host.fire);
    }
    return CIS_OK;
}

static inline cis_code h_nobody(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)g;
    (void)io;
    (void)err;
    fail_msg("a host function was asked while a recording was played");
    return CIS_E_INTERNAL;
}

/* The same rows, and nobody behind them. */
static inline const struct cis_hostfn *nobody_resolve(void *self, const struct cis_extern *import)
{
    static struct cis_hostfn rows[64];
    static size_t n;
    const struct cis_hostfn *row = recording_resolve(self, import);
    for (size_t i = 0; i < n; i++) {
        if (row != NULL && rows[i].doc == (const char *)row) {
            return &rows[i];
        }
    }
    if (row == NULL || n == sizeof rows / sizeof *rows) {
        return NULL;
    }
    rows[n] = *row;
    rows[n].handler = h_nobody;
    rows[n].doc = (const char *)row; /* which one it stands for */
    return &rows[n++];
}

/* Plays f->path. */
static inline cis_code recording_play(struct recordings *f)
{
    cis_recording *recording = NULL;
    cis_buf_reset(&f->shown[1]);
    cis_buf_reset(&f->shown[2]);
    f->err = (struct cis_error){0};
    cis_code code = cis_recording_open(f->path, &recording, &f->err);
    if (code != CIS_OK) {
        return code;
    }
    const struct cis_recording_head *head = cis_recording_head(recording);
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    struct cis_engine_module_options o = {.name = head->name,
                                          .fuel = head->metered,
                                          .features = head->features,
                                          .stop = {.deadline_ns = CIS_NEVER}};
    code = cis_engine_module_load(f->engine, head->module, &o, &image, &f->err);
    if (code == CIS_OK) {
        code = cis_linked_new(image, nobody_resolve, NULL, &program, &f->err);
    }
    if (code == CIS_OK) {
        struct cis_recording_player player = {
            .engine = f->engine,
            .program = program,
            .options = {.stop = {cis_clock_after(cis_clock_mono_ns(),
                                                 f->play_ns != 0 ? f->play_ns : 20 * CIS_NS_PER_S),
                                 f->host.fire}},
            .memory_max = 64u << 20,
            .show = recording_shown,
            .show_self = f};
        code = cis_recording_play(recording, &player, &f->outcome, &f->err);
    }
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    cis_recording_free(recording);
    return code;
}

static inline void assert_played(struct recordings *f, cis_code outcome)
{
    cis_code code = recording_play(f);
    if (code != CIS_OK) {
        fail_msg("%s: %s", cis_code_name(code), f->err.msg);
    }
    assert_int_equal(f->outcome.code, outcome);
}

static inline void assert_differs(struct recordings *f, const char *message)
{
    assert_int_equal(recording_play(f), CIS_E_DIVERGED);
    assert_string_equal(f->err.msg, message);
}

/* ---- taking recordings apart ---- */

static inline void recording_read(const struct recordings *f, struct cis_buf *out)
{
    assert_ok(cis_file_read(f->path, out, err));
}

static inline void recording_write(const struct recordings *f, const void *data, size_t len)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(cis_fd_write_all(fd, data, len), 0);
    close(fd);
}

static inline void recording_frame(struct recordings *f, const uint8_t *start, const uint8_t *bytes,
                                   size_t len)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64u << 20);
    recording_put_frames(start, bytes, len, &out);
    recording_write(f, out.ptr, out.len);
}

/* Changes the one place where `from` stands, under a fresh checksum. */
static inline void recording_edit(struct recordings *f, const void *from, const void *to,
                                  size_t len)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(64u << 20);
    recording_read(f, &file);
    recording_unframe(&file, &bytes);
    uint8_t *at = memmem(bytes.ptr, bytes.len, from, len);
    assert_non_null(at);
    assert_null(memmem(at + 1, bytes.len - (size_t)(at + 1 - bytes.ptr), from, len));
    memcpy(at, to, len);
    recording_frame(f, file.ptr, bytes.ptr, bytes.len);
}

#define recording_edit_text(f, from, to)                                                           \
    (assert_int_equal(sizeof from, sizeof to), recording_edit(f, from, to, sizeof from - 1))

static inline int recordings_setup(void **state)
{
    struct recordings *f = calloc(1, sizeof *f);
    f->engine = engine_with(16, 2);
    f->dir = test_dir_new();
    snprintf(f->path, sizeof f->path, "%s/run.recording", f->dir);
    f->shown[1] = f->shown[2] = CIS_BUF_INIT(64u << 20);
    *state = f;
    return 0;
}

static inline int recordings_teardown(void **state)
{
    struct recordings *f = *state;
    cis_engine_instance_free(f->guest);
    cis_recording_free(f->recording);
    cis_linked_unref(f->program);
    cis_buf_done(&f->shown[1]);
    cis_buf_done(&f->shown[2]);
    cis_cancel_unref(f->host.fire);
    assert_idle(f->engine);
    cis_engine_close(f->engine);
    cis_code code = cis_file_remove_tree(f->dir, NULL);
    free(f->dir);
    free(f);
    return code == CIS_OK ? 0 : 1;
}

#endif
