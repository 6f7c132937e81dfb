/* What the tests of guests and slots share: an engine, a table of host functions with every kind of
 * behaviour, and modules written in text. */
#ifndef CIS_TESTS_ENGINE_GUESTS_H
#define CIS_TESTS_ENGINE_GUESTS_H

#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "engine/instance/instance.h"

#define GRANT 1 /* any grant: the engine knows only bits */

struct test_host {
    unsigned calls;
    int32_t last;
    cis_cancel *fire;
    atomic_bool holding, release; /* t.hold: spins with its slot, t.block: without */
    cis_code nested;
};

static inline struct test_host *host_of(cis_engine_instance *guest)
{
    return cis_engine_instance_host(guest);
}

static inline cis_code h_note(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    host_of(g)->calls++;
    host_of(g)->last = io[0].i32;
    return CIS_OK;
}

static inline cis_code h_sum(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    const void *p = NULL;
    uint32_t len = io[1].u32, sum = 0;
    CIS_TRY(cis_engine_instance_span(g, io[0].u32, len, "t.sum", &p, err));
    for (uint32_t i = 0; i < len; i++) {
        sum += ((const uint8_t *)p)[i];
    }
    io[0].u32 = sum;
    return CIS_OK;
}

static inline cis_code h_mix(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)g;
    (void)err;
    io[0].f64 = (double)io[0].i64 + (double)io[1].f32 + io[2].f64;
    return CIS_OK;
}

static inline cis_code h_exit(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    return cis_engine_instance_exit(g, io[0].i32, err);
}

static inline cis_code h_back(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    return cis_engine_instance_call(g, CIS_STR("down"), "i:i", io, err);
}

static inline cis_code h_swallow(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    host_of(g)->nested = cis_engine_instance_call(g, CIS_STR("boom"), ":", io, NULL);
    io[0].i32 = 1;
    return CIS_OK;
}

static inline cis_code h_output(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)io;
    return cis_engine_instance_limit(g, CIS_E_BUDGET, "output", 10, 11, err);
}

static inline cis_code h_fire(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)io;
    (void)err;
    cis_cancel_fire(host_of(g)->fire);
    return CIS_OK;
}

static inline void spin(struct test_host *h)
{
    atomic_store(&h->holding, true);
    while (!atomic_load(&h->release)) {
        sched_yield();
    }
}

static inline cis_code h_hold(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)io;
    (void)err;
    spin(host_of(g));
    return CIS_OK;
}

static inline cis_code h_block(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)io;
    cis_engine_instance_block(g);
    spin(host_of(g));
    return cis_engine_instance_unblock(g, err);
}

static inline cis_code h_refused(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    cis_engine_instance_refused(g, GRANT);
    io[0].i32 = -1;
    return CIS_OK;
}

static inline cis_code h_silent(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    (void)g;
    (void)io;
    (void)err;
    return CIS_E_IO;
}

static const struct cis_hostfn test_rows[] = {
    {"t", "note", "i:", 0, 1, false, 0, h_note, "n", ""},
    {"t", "sum", "ii:i", 0, 1, false, 0, h_sum, "ptr,len", ""},
    {"t", "mix", "IfF:F", 0, 1, false, 0, h_mix, "a,b,c", ""},
    {"t", "guarded", "i:i", GRANT, 10, false, -7, h_note, "n", ""},
    {"t", "guarded64", "i:I", GRANT, 1, false, -8, h_note, "n", ""},
    {"t", "guardedf", "i:F", GRANT, 1, false, -2, h_note, "n", ""},
    {"t", "must", "i:", GRANT, 1, true, 0, h_note, "n", ""},
    {"t", "exit", "i:", 0, 1, false, 0, h_exit, "code", ""},
    {"t", "back", "i:i", 0, 1, false, 0, h_back, "n", ""},
    {"t", "swallow", ":i", 0, 1, false, 0, h_swallow, "", ""},
    {"t", "output", ":", 0, 1, false, 0, h_output, "", ""},
    {"t", "fire", ":", 0, 1, false, 0, h_fire, "", ""},
    {"t", "hold", ":", 0, 1, false, 0, h_hold, "", ""},
    {"t", "block", ":", 0, 1, false, 0, h_block, "", ""},
    {"t", "refused", ":i", GRANT, 1, false, 0, h_refused, "", ""},
    {"t", "silent", ":", 0, 1, false, 0, h_silent, "", ""},
};

static inline const struct cis_hostfn *test_resolve(void *self, const struct cis_extern *import)
{
    (void)self;
    for (size_t i = 0; i < sizeof test_rows / sizeof *test_rows; i++) {
        const struct cis_hostfn *row = &test_rows[i];
        if (cis_str_is(import->module, row->module) && cis_str_is(import->name, row->name) &&
            strcmp(import->type, row->type) == 0) {
            return row;
        }
    }
    return NULL;
}

static inline cis_engine *engine_with(uint32_t pool_slots, uint32_t cpu_slots)
{
    cis_engine *engine = NULL;
    struct cis_engine_options o = {.pool_slots = pool_slots,
                                   .slot_bytes = 64u << 20,
                                   .cpu_slots = cpu_slots,
                                   .compile_in_process = true};
    assert_ok(cis_engine_open(&o, &engine, err));
    return engine;
}

static inline cis_engine_module *image_with(cis_engine *engine, const char *wat, bool fuel)
{
    cis_engine_module *image = NULL;
    struct cis_engine_module_options o = {
        .name = "guest.wat", .fuel = fuel, .stop = {.deadline_ns = CIS_NEVER}};
    assert_ok(cis_engine_module_load(engine, cis_bytes_of(wat, strlen(wat)), &o, &image, err));
    return image;
}

/* A linked program; the image is kept by it. */
static inline cis_linked *program_with(cis_engine *engine, const char *wat, bool fuel)
{
    cis_linked *program = NULL;
    cis_engine_module *image = image_with(engine, wat, fuel);
    assert_ok(cis_linked_new(image, test_resolve, NULL, &program, err));
    cis_engine_module_unref(image);
    return program;
}

static inline struct cis_engine_instance_options options_for(struct test_host *host)
{
    return (struct cis_engine_instance_options){
        .limits = {.memory_bytes = 16u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = CIS_NEVER},
        .host = host};
}

static inline cis_engine_instance *guest_with(cis_engine *engine, cis_linked *program,
                                              const struct cis_engine_instance_options *options)
{
    cis_engine_instance *guest = NULL;
    assert_ok(cis_engine_instance_new(engine, program, options, &guest, err));
    return guest;
}

/* Spins until the engine counts that many waiters: a state, not a time. */
static inline void await_waiting(cis_engine *engine, uint64_t n)
{
    struct cis_engine_stats s;
    do {
        sched_yield();
        cis_engine_stats(engine, &s);
    } while (s.slots_waiting != n);
}

static inline void assert_idle(cis_engine *engine)
{
    struct cis_engine_stats s;
    cis_engine_stats(engine, &s);
    assert_int_equal(s.slots_busy, 0);
    assert_int_equal(s.slots_waiting, 0);
    assert_int_equal(s.pool_live, 0);
    assert_int_equal(s.ondemand_live, 0);
}

#endif
