/* Any events on the recording of a fixed component: played to the end, different, or damaged, each
 * with a reason; no handler is ever asked. The first byte says which component: one of cis:skill's
 * interfaces, whose values are decoded, or one of WASI 0.2, whose answers are slices. What follows
 * is all that follows CIS_RECORDING_START on a recording; frames and checksums are put around it
 * here. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/varint.h"
#include "engine/code/document.h"
#include "engine/recording/recording.h"
#include "skillabi/skillabi.h"
#include "recording_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_MAX (16u << 20)
#define HOST_MAX (8u << 20)

struct fixed {
    struct cis_buf bytes;
    cis_linked *program;
};
static struct fixed fixed[2];
static cis_engine *engine;
static uint64_t shown;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static cis_code show(void *self, unsigned stream, const void *data, size_t len,
                     struct cis_error *err)
{
    (void)self, (void)err;
    require(stream == 1 || stream == 2);
    for (size_t i = 0; i < len; i++) { /* every byte can be read */
        shown += ((const uint8_t *)data)[i];
    }
    return CIS_OK;
}

static const struct cis_engine_module_options options = {
    .name = "fuzz", .features = CIS_FEATURE_CANONICAL_NAN, .stop = {.deadline_ns = CIS_NEVER}};

static void load(struct fixed *f, const char *path, bool core)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(8u << 20);
    cis_engine_module *image = NULL;
    f->bytes = CIS_BUF_INIT(8u << 20);
    require(cis_file_read(path, core ? &file : &f->bytes, NULL) == CIS_OK);
    require(!core || cis_component_make(cis_buf_bytes(&file), (struct cis_bytes){0}, &options,
                                        &f->bytes, NULL) == CIS_OK);
    require(cis_engine_module_load(engine, cis_buf_bytes(&f->bytes), &options, &image, NULL) ==
            CIS_OK);
    require(cis_component_link(image, &cis_skillabi_provider, NULL, &f->program, NULL) == CIS_OK);
    cis_engine_module_unref(image);
}

static void end(void)
{
    for (int i = 0; i < 2; i++) {
        cis_linked_unref(fixed[i].program);
        cis_buf_done(&fixed[i].bytes);
    }
    cis_engine_close(engine);
}

static void begin(void)
{
    struct cis_engine_options o = {.pool_slots = 2, .cpu_slots = 1, .compile_in_process = true};
    require(cis_engine_open(&o, &engine, NULL) == CIS_OK && atexit(end) == 0);
    load(&fixed[0], CIS_TEST_SOURCE_DIR "/tests/guests/component_all.wat", false);
    load(&fixed[1], CIS_GUESTS_DIR "/wasi_edges.wasm", true);
}

static void put_number(struct cis_buf *out, uint64_t value)
{
    uint8_t bytes[CIS_VARINT_MAX];
    cis_buf_add(out, bytes, cis_varint_put(bytes, value));
}

static int recording_of(const struct fixed *f, const uint8_t *data, size_t size)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(16u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(16u << 20);
    static const uint8_t start[RECORDING_START] = "cistape\n\1\0\0";
    put_number(&bytes, 6);
    cis_buf_text(&bytes, "48.0.8");
    put_number(&bytes, CIS_FEATURE_CANONICAL_NAN);
    put_number(&bytes, 4); /* a component */
    put_number(&bytes, 4);
    cis_buf_text(&bytes, "fuzz");
    put_number(&bytes, 0);
    put_number(&bytes, f->bytes.len);
    cis_buf_add(&bytes, f->bytes.ptr, f->bytes.len);
    put_number(&bytes, 1); /* CIS_RECORDING_START */
    put_number(&bytes, MEMORY_MAX);
    put_number(&bytes, 10000);
    put_number(&bytes, 0);
    put_number(&bytes, HOST_MAX);
    cis_buf_add(&bytes, data, size);
    recording_put_frames(start, bytes.ptr, bytes.len, &file);
    int fd = memfd_create("recording", MFD_CLOEXEC);
    require(fd >= 0 && cis_fd_write_all(fd, file.ptr, file.len) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (engine == NULL) {
        begin();
    }
    if (size == 0) {
        return 0;
    }
    const struct fixed *f = &fixed[data[0] & 1];
    char path[64];
    int fd = recording_of(f, data + 1, size - 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    cis_recording *recording = NULL;
    struct cis_error err = {0};
    struct cis_recording_outcome outcome;
    require(cis_recording_open(path, &recording, &err) == CIS_OK);
    struct cis_recording_player player = {
        .engine = engine,
        .program = f->program,
        .options = {.stop = {cis_clock_after(cis_clock_mono_ns(), 200 * CIS_NS_PER_MS), NULL}},
        .memory_max = MEMORY_MAX,
        .show = show};
    cis_code code = cis_recording_play(recording, &player, &outcome, &err);
    if (getenv("FUZZ_SAYS") != NULL) {
        fprintf(stderr, "%s: %s\n", cis_code_name(code), code == CIS_OK ? "played" : err.msg);
    }
    require(code == CIS_OK || (err.code == code && err.msg[0] != 0));
    require(code == CIS_OK || code == CIS_E_DIVERGED || code == CIS_E_DAMAGED ||
            code == CIS_E_DEADLINE || code == CIS_E_BUDGET);
    cis_recording_free(recording);
    close(fd);
    return 0;
}
