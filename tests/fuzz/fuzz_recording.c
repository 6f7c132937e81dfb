/* Any events on the recording of one fixed module: played to the end, different, or damaged, each
 * with a reason; no host function is ever asked, and no growth is beyond the limits. The bytes are
 * all that follows CIS_RECORDING_START on a recording; frames and checksums are put around them
 * here. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/varint.h"
#include "engine/recording/recording.h"
#include "recording_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_MAX (4u << 20)

static const char module[] =
    "(module (import \"t\" \"now\" (func $now (result i64)))"
    " (import \"t\" \"more\" (func $more (param i32) (result i32)))"
    " (import \"t\" \"down\" (func $down (param i32) (result i32)))"
    " (import \"t\" \"say\" (func $say (param i32 i32 i32))) (import \"t\" \"tell\" (func $tell))"
    " (import \"t\" \"sum\" (func $sum (param i32 i32) (result i32)))"
    " (import \"t\" \"exit\" (func $exit (param i32)))"
    " (memory (export \"memory\") 1) (table $t 1 funcref)"
    " (func (export \"down\") (param i32) (result i32)"
    "  (drop (table.grow $t (ref.null func) (i32.const 2))) (i32.wrap_i64 (call $now)))"
    " (func (export \"spin\") (loop $l (br $l)))"
    " (func (export \"trap\") (drop (call $now)) unreachable)"
    " (func (export \"mix\") (param i64 f32 f64) (result f64)"
    "  (f64.add (local.get 2) (f64.load (i32.const 32))))"
    " (func (export \"bye\") (call $exit (i32.load (i32.const 0))))"
    " (func (export \"run\") (i64.store (i32.const 0) (call $now))"
    "  (drop (memory.grow (i32.and (i32.load (i32.const 0)) (i32.const 3))))"
    "  (drop (call $more (i32.const 9))) (drop (call $down (i32.const 2))) (call $tell)"
    "  (drop (call $sum (i32.const 0) (i32.const 200)))"
    "  (call $say (i32.const 1) (i32.const 0) (i32.const 8))))";

static cis_engine *engine;
static cis_linked *program;
static uint64_t shown;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static const struct cis_hostfn *no_rows(void *self, const struct cis_extern *import)
{
    (void)self;
    (void)import;
    return NULL;
}

static cis_code show(void *self, unsigned stream, const void *data, size_t len,
                     struct cis_error *err)
{
    (void)self;
    (void)err;
    require(stream == 1 || stream == 2);
    for (size_t i = 0; i < len; i++) { /* every byte can be read */
        shown += ((const uint8_t *)data)[i];
    }
    return CIS_OK;
}

static void setup(void)
{
    struct cis_engine_options o = {.pool_slots = 2, .cpu_slots = 1, .compile_in_process = true};
    struct cis_engine_module_options io = {.name = "fuzz.wat",
                                           .features = CIS_FEATURE_CANONICAL_NAN,
                                           .stop = {.deadline_ns = CIS_NEVER}};
    cis_engine_module *image = NULL;
    require(cis_engine_open(&o, &engine, NULL) == CIS_OK);
    require(cis_engine_module_load(engine, cis_bytes_of(module, sizeof module - 1), &io, &image,
                                   NULL) == CIS_OK);
    require(cis_linked_new_recorded(image, no_rows, NULL, &program, NULL) == CIS_OK);
    cis_engine_module_unref(image);
}

static void put_number(struct cis_buf *out, uint64_t value)
{
    uint8_t bytes[CIS_VARINT_MAX];
    cis_buf_add(out, bytes, cis_varint_put(bytes, value));
}

static int recording_of(const uint8_t *data, size_t size)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(16u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(16u << 20);
    static const uint8_t start[RECORDING_START] = "cistape\n\1\0\0";
    put_number(&bytes, 6);
    cis_buf_text(&bytes, "48.0.8");
    put_number(&bytes, CIS_FEATURE_CANONICAL_NAN);
    put_number(&bytes, 0);
    put_number(&bytes, 8);
    cis_buf_text(&bytes, "fuzz.wat");
    put_number(&bytes, 0);
    put_number(&bytes, sizeof module - 1);
    cis_buf_add(&bytes, module, sizeof module - 1);
    put_number(&bytes, 1); /* CIS_RECORDING_START */
    put_number(&bytes, MEMORY_MAX);
    put_number(&bytes, 1000);
    put_number(&bytes, 0);
    cis_buf_add(&bytes, data, size);
    recording_put_frames(start, bytes.ptr, bytes.len, &file);
    int fd = memfd_create("recording", MFD_CLOEXEC);
    require(fd >= 0 && cis_fd_write_all(fd, file.ptr, file.len) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (engine == NULL) {
        setup();
    }
    char path[64];
    int fd = recording_of(data, size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    cis_recording *recording = NULL;
    struct cis_error err = {0};
    struct cis_recording_outcome outcome;
    require(cis_recording_open(path, &recording, &err) == CIS_OK);
    struct cis_recording_player player = {
        .engine = engine,
        .program = program,
        .options = {.stop = {cis_clock_after(cis_clock_mono_ns(), 50 * CIS_NS_PER_MS), NULL}},
        .memory_max = MEMORY_MAX,
        .show = show};
    cis_code code = cis_recording_play(recording, &player, &outcome, &err);
    require(code == CIS_OK || (err.code == code && err.msg[0] != 0));
    require(code == CIS_OK || code == CIS_E_DIVERGED || code == CIS_E_DAMAGED ||
            code == CIS_E_DEADLINE);
    cis_recording_free(recording);
    close(fd);
    return 0;
}
