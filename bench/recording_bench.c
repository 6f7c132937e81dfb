/* What a recording costs: host calls without one, recorded, and played; calls that only answer,
 * that write 4 KiB into the guest, and that read 4 KiB of it; and how fast large writes are
 * recorded. The peer of each row is the same guest without a recording, in the same run. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "bench/measure.h"
#include "engine/recording/recording.h"

enum { ROUNDS = 5, CALLS = 200000, LARGE = 400, LARGE_BYTES = 1 << 20 };

static const char text[] =
    "(module (import \"e\" \"answer\" (func $a (param i32) (result i32)))"
    " (import \"e\" \"write\" (func $w (param i32) (result i32)))"
    " (import \"e\" \"read\" (func $r (param i32) (result i32)))"
    " (memory (export \"memory\") 40)"
    " (func (export \"answer\") (param i32) (loop $l (drop (call $a (local.get 0)))"
    "  (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))"
    " (func (export \"write\") (param i32) (loop $l (drop (call $w (i32.const 4096)))"
    "  (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))"
    " (func (export \"large\") (param i32) (loop $l (drop (call $w (i32.const 1048576)))"
    "  (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))"
    " (func (export \"read\") (param i32) (loop $l (drop (call $r (i32.const 4096)))"
    "  (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))";

static void must(cis_code code, const struct cis_error *err)
{
    if (code != CIS_OK) {
        fprintf(stderr, "recording_bench: %s\n", err->msg);
        exit(1);
    }
}

static cis_code answer(cis_engine_instance *guest, union cis_slot *io, struct cis_error *err)
{
    (void)guest;
    (void)io;
    (void)err;
    return CIS_OK;
}

static cis_code write_some(cis_engine_instance *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    static unsigned char n;
    memset(cis_engine_instance_out(guest, 4096, io[0].u32), ++n, io[0].u32);
    return CIS_OK;
}

static cis_code read_some(cis_engine_instance *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    const unsigned char *at = cis_engine_instance_at(guest, 4096, io[0].u32);
    io[0].i32 = at[17];
    return CIS_OK;
}

static const struct cis_hostfn rows[] = {
    {"e", "answer", "i:i", 0, 1, false, 0, answer, "n", ""},
    {"e", "write", "i:i", 0, 1, false, 0, write_some, "n", ""},
    {"e", "read", "i:i", 0, 1, false, 0, read_some, "n", ""},
};

static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    (void)self;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (cis_str_is(import->name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

struct bench {
    cis_engine *engine;
    cis_linked *program;
    char path[64];
};

static double run(const struct bench *b, const char *name, int n, bool recorded)
{
    struct cis_error err = {0};
    cis_recording *recording = NULL;
    cis_engine_instance *guest = NULL;
    struct cis_recording_source source = {.module = cis_bytes_of(text, sizeof text - 1),
                                          .name = "bench.wat"};
    struct cis_engine_instance_options o = {.limits = {.memory_bytes = 64u << 20},
                                            .stop = {.deadline_ns = CIS_NEVER}};
    if (recorded) {
        must(cis_recording_record(b->path, &source, &recording, &err), &err);
        cis_recording_watch(recording, &o);
    }
    must(cis_engine_instance_new(b->engine, b->program, &o, &guest, &err), &err);
    union cis_slot io[1] = {{.i32 = n}};
    double start = bench_now();
    must(cis_engine_instance_call(guest, cis_str_of(name), "i:", io, &err), &err);
    double ns = (bench_now() - start) / n;
    cis_engine_instance_free(guest);
    if (recorded) {
        struct cis_recording_outcome outcome = {.code = CIS_OK};
        must(cis_recording_finish(recording, &outcome, &err), &err);
        cis_recording_free(recording);
    }
    return ns;
}

static double play(const struct bench *b, int n)
{
    struct cis_error err = {0};
    cis_recording *recording = NULL;
    struct cis_recording_outcome outcome;
    struct cis_recording_player player = {.engine = b->engine,
                                          .program = b->program,
                                          .options = {.stop = {.deadline_ns = CIS_NEVER}}};
    must(cis_recording_open(b->path, &recording, &err), &err);
    double start = bench_now();
    must(cis_recording_play(recording, &player, &outcome, &err), &err);
    double ns = (bench_now() - start) / n;
    cis_recording_free(recording);
    return ns;
}

static void row(const struct bench *b, const char *name, const char *label, int n)
{
    double plain[ROUNDS], recorded[ROUNDS], played[ROUNDS];
    struct stat st = {0};
    for (int r = 0; r < ROUNDS; r++) {
        plain[r] = run(b, name, n, false);
        recorded[r] = run(b, name, n, true);
        played[r] = play(b, n);
    }
    if (stat(b->path, &st) != 0) {
        st.st_size = 0;
    }
    printf("  %-30s %10.1f ns, recorded %10.1f ns (%.1f to %.1f), played %10.1f ns, %.0f bytes "
           "a call\n",
           label, bench_spread(plain, ROUNDS).median, bench_spread(recorded, ROUNDS).median,
           bench_spread(recorded, ROUNDS).min, bench_spread(recorded, ROUNDS).max,
           bench_spread(played, ROUNDS).median, (double)st.st_size / n);
}

int main(void)
{
    struct bench b = {.path = "/tmp/cis-bench-recording-XXXXXX"};
    struct cis_error err = {0};
    struct cis_engine_options eo = {.pool_slots = 4, .cpu_slots = 1, .compile_in_process = true};
    struct cis_engine_module_options io = {.name = "bench.wat",
                                           .features = CIS_FEATURE_CANONICAL_NAN,
                                           .stop = {.deadline_ns = CIS_NEVER}};
    cis_engine_module *image = NULL;
    int fd = mkstemp(b.path);
    if (fd < 0) {
        return 1;
    }
    close(fd);
    must(cis_engine_open(&eo, &b.engine, &err), &err);
    must(cis_engine_module_load(b.engine, cis_bytes_of(text, sizeof text - 1), &io, &image, &err),
         &err);
    must(cis_linked_new(image, resolve, NULL, &b.program, &err), &err);
    cis_engine_module_unref(image);
    printf("a host call without a recording\n");
    row(&b, "answer", "that only answers", CALLS);
    row(&b, "write", "that writes 4 KiB", CALLS / 10);
    row(&b, "read", "that reads 4 KiB", CALLS / 10);
    row(&b, "large", "that writes 1 MiB", LARGE);
    printf("  1 MiB writes, recorded: %.0f MiB/s\n",
           1e9 / run(&b, "large", LARGE, true) * LARGE_BYTES / (1 << 20));
    cis_linked_unref(b.program);
    cis_engine_close(b.engine);
    unlink(b.path);
    return 0;
}
