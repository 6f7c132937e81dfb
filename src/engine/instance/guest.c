/* Guests: a store with its limits, an instance in it, calls into it, and its end. */
#include "engine/instance/guest.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/instance/instance.h"

#define MEMORY_DEFAULT (128ull << 20)
#define STATE_UNIT 65536u /* of what the engine keeps beside memories: below one it is free */

/* ---- deadline, cancellation, slices ---- */

/* A deadline may have passed before it was armed. */
static uint64_t since(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static cis_code out_of_time(cis_guest *guest, uint64_t now)
{
    uint64_t limit = since(guest->armed_ns, guest->stop.deadline_ns);
    return cis_guest_ended(guest, CIS_E_DEADLINE, "time", limit, since(guest->armed_ns, now),
                           "time limit of %llu ms reached",
                           (unsigned long long)(limit / CIS_NS_PER_MS));
}

static cis_code stop_check(cis_guest *guest, uint64_t now)
{
    if (cis_cancel_fired(guest->stop.cancel)) {
        return cis_guest_ended(guest, CIS_E_CANCELLED, NULL, 0, 0, "cancelled");
    }
    if (now >= guest->stop.deadline_ns) {
        return out_of_time(guest, now);
    }
    return CIS_OK;
}

/* No slot came in time, or the wait was cancelled. */
static cis_code slot_lost(cis_guest *guest, cis_code code)
{
    if (code == CIS_E_DEADLINE) {
        return out_of_time(guest, cis_clock_mono_ns());
    }
    return cis_guest_ended(guest, code, NULL, 0, 0,
                           code == CIS_E_CANCELLED ? "cancelled" : "cpu slots: out of memory");
}

static cis_code slot_take(cis_guest *guest)
{
    cis_code code = cis_slots_take(guest->engine->slots, &guest->turn, &guest->stop, NULL);
    return code == CIS_OK ? stop_check(guest, guest->turn.slice_ns) : slot_lost(guest, code);
}

/* Each tick while guest code runs. */
static wasmtime_error_t *on_epoch(wasmtime_context_t *context, void *data, uint64_t *delta,
                                  wasmtime_update_deadline_kind_t *kind)
{
    (void)context;
    cis_guest *guest = data;
    uint64_t now = cis_clock_mono_ns();
    cis_code code = stop_check(guest, now);
    if (code == CIS_OK) {
        code = cis_slots_tick(guest->engine->slots, &guest->turn, now, &guest->stop, NULL);
        code = code == CIS_OK ? stop_check(guest, guest->turn.slice_ns) : slot_lost(guest, code);
    }
    if (code == CIS_OK && CIS_HOOKED(guest, tick)) {
        code = guest->hooks->tick(guest);
    }
    if (code != CIS_OK) {
        return wasmtime_error_new("ended by its limits");
    }
    *delta = 1;
    *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
    return NULL;
}

/* ---- entering ---- */

struct entry {
    cis_guest *guest;
    wasmtime_error_t *(*fn)(cis_guest *guest, void *arg); /* a component's call */
    void *arg;
    const wasmtime_func_t *func; /* neither: instantiate */
    union cis_slot *io;
    size_t nio;
    wasmtime_error_t *error;
    wasm_trap_t *trap;
};

static void enter(void *arg)
{
    struct entry *e = arg;
    cis_guest *guest = e->guest;
    if (e->fn != NULL) {
        e->error = e->fn(guest, e->arg);
    } else if (e->func == NULL) {
        e->error = guest->program->kind->instantiate(guest, &e->trap);
    } else {
        e->error = wasmtime_func_call_unchecked(guest->context, e->func,
                                                (wasmtime_val_raw_t *)e->io, e->nio, &e->trap);
    }
}

/* Runs guest code: with a CPU slot, on a stack with room, the epoch armed. */
static cis_code execute(struct entry *e, struct cis_error *err)
{
    cis_guest *guest = e->guest;
    bool outer = guest->depth == 0;
    if (outer && slot_take(guest) != CIS_OK) {
        cis_slots_give(guest->engine->slots, &guest->turn);
        return cis_guest_end_fail(guest, err);
    }
    if (!guest->turn.held) {
        return cis_fail(err, CIS_E_INTERNAL, "guest called between block and unblock");
    }
    if (outer) {
        wasmtime_context_set_epoch_deadline(guest->context, 1);
    }
    guest->depth++;
    struct cis_error low = {0};
    uint64_t before = cis_glue_heap_short();
    cis_code code = cis_stack_run(&guest->stack, !outer, enter, e, &low);
    code = code == CIS_OK ? cis_engine_enough(before, guest->program->image->name, &low) : code;
    guest->depth--;
    guest->mem_fresh = false;
    if (outer) {
        cis_slots_give(guest->engine->slots, &guest->turn);
    }
    if (code != CIS_OK) {
        (void)cis_guest_ended_with(guest, &low);
    }
    if (e->error != NULL || e->trap != NULL) {
        return cis_guest_unwound(guest, e->error, e->trap, err);
    }
    return guest->end.code == CIS_OK ? CIS_OK : cis_guest_end_fail(guest, err);
}

cis_code cis_guest_execute(cis_guest *guest, wasmtime_error_t *(*fn)(cis_guest *guest, void *arg),
                           void *arg, struct cis_error *err)
{
    struct entry e = {.guest = guest, .fn = fn, .arg = arg};
    return execute(&e, err);
}

/* ---- making and freeing ---- */

static cis_code too_large(cis_guest *guest, uint64_t asked)
{
    guest->memory_limit_hit = true;
    guest->memory_limit_asked = asked;
    return cis_guest_ended(guest, CIS_E_MEMORY, "memory", guest->limits.memory_bytes, asked,
                           "%s: needs %llu bytes of memory to start, the limit is %llu",
                           guest->program->image->name, (unsigned long long)asked,
                           (unsigned long long)guest->limits.memory_bytes);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* What can be said before anything is made: the module's own minimums, and what the engine will
 * keep for its instances. */
static cis_code check_minimums(cis_guest *guest)
{
    const struct cis_image_info *info = guest->program->image->info;
    uint64_t need = info->state_bytes - info->state_bytes % STATE_UNIT;
    guest->state_bytes = need;
    if (!info->component) { /* modules of a component share memories: the limiter counts them */
        need = sum(need, info->table_elements < UINT64_MAX / 16 ? info->table_elements * 8
                                                                : UINT64_MAX / 2);
        need = sum(need, info->min_memory_bytes);
    }
    return need > guest->limits.memory_bytes ? too_large(guest, need) : CIS_OK;
}

static cis_code set_fuel(cis_guest *guest, uint64_t fuel)
{
    const cis_image *image = guest->program->image;
    if (!image->profile->fuel) {
        if (fuel == 0) {
            return CIS_OK;
        }
        return cis_guest_ended(guest, CIS_E_USAGE, NULL, 0, 0,
                               "%s: was compiled without fuel metering", image->name);
    }
    guest->limits.fuel = fuel;
    wasmtime_error_t *e = wasmtime_context_set_fuel(guest->context, fuel != 0 ? fuel : UINT64_MAX);
    if (e != NULL) {
        wasmtime_error_delete(e);
        return cis_guest_ended(guest, CIS_E_INTERNAL, NULL, 0, 0, "fuel cannot be set");
    }
    return CIS_OK;
}

static cis_code make_store(cis_guest *guest)
{
    guest->store = wasmtime_store_new(guest->program->image->profile->wasm, guest, NULL);
    guest->context = wasmtime_store_context(guest->store);
    cis_guest_limiter(guest);
    if (guest->program->kind->limits != NULL) {
        guest->program->kind->limits(guest);
    }
    wasmtime_store_epoch_deadline_callback(guest->store, on_epoch, guest, NULL);
    return set_fuel(guest, guest->limits.fuel);
}

static cis_code instantiate(cis_guest *guest)
{
    struct entry e = {.guest = guest};
    cis_code code = execute(&e, NULL);
    /* The limiter's no at instantiation comes back as an error without a trap code. */
    if (code == CIS_E_LIMIT && guest->memory_limit_hit) {
        guest->end.code = CIS_OK;
        return too_large(guest, guest->memory_limit_asked);
    }
    if (code == CIS_OK && guest->program->kind->instantiated != NULL) {
        guest->program->kind->instantiated(guest);
    }
    return code;
}

static cis_code start(cis_guest *guest, const struct cis_guest_options *o)
{
    struct cis_error err = {0};
    cis_slots_join(o->tenant, o->weight, &guest->turn);
    CIS_TRY(check_minimums(guest));
    struct cis_profile *profile = guest->program->image->profile;
    cis_code code = cis_pool_enter(&profile->pool, &guest->stop, &guest->pool_cell, &err);
    if (code == CIS_E_LIMIT) {
        return cis_guest_ended(guest, code, "pool", profile->pool.total, profile->pool.total, "%s",
                               err.msg);
    }
    if (code != CIS_OK) {
        return cis_guest_ended_with(guest, &err);
    }
    guest->in_pool = true;
    uint64_t before = cis_glue_heap_short();
    CIS_TRY(make_store(guest));
    if (cis_engine_enough(before, guest->program->image->name, &err) != CIS_OK) {
        return cis_guest_ended_with(guest, &err);
    }
    CIS_TRY(instantiate(guest));
    guest->started = true;
    return CIS_OK;
}

static cis_code start_watched(cis_guest *guest, const struct cis_guest_options *o)
{
    if (!CIS_HOOKED(guest, start)) {
        return start(guest, o);
    }
    struct cis_error err = {0};
    if (guest->hooks->start(guest, &guest->limits, &err) != CIS_OK) {
        return cis_guest_ended_with(guest, &err);
    }
    cis_code code = start(guest, o);
    if (guest->hooks->returned(guest, ":", NULL, code, &err) != CIS_OK) {
        code = cis_guest_ended_with(guest, &err);
    }
    return code;
}

cis_code cis_guest_new(cis_engine *engine, cis_program *program,
                       const struct cis_guest_options *options, cis_guest **out_guest,
                       struct cis_error *err)
{
    cis_guest *guest = cis_zalloc(sizeof *guest);
    if (guest == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "guest: out of memory");
    }
    guest->engine = engine;
    guest->program = program;
    guest->limits = options->limits;
    if (guest->limits.memory_bytes == 0) {
        guest->limits.memory_bytes = MEMORY_DEFAULT;
    }
    guest->own_budget.limit = options->limits.host_bytes;
    guest->budget = options->budget != NULL ? options->budget : &guest->own_budget;
    guest->stop = options->stop;
    guest->armed_ns = cis_clock_mono_ns();
    guest->grants = options->grants;
    guest->host = options->host;
    guest->trace = options->trace;
    guest->trace_iface = options->trace_iface;
    guest->trace_self = options->trace_self;
    guest->hooks = options->hooks;
    guest->hooks_self = options->hooks_self;
    if (CIS_HOOKED(guest, watch)) {
        guest->hooks->watch(guest->hooks_self, guest);
    }
    guest->observed = guest->trace != NULL || guest->hooks != NULL;
    *out_guest = guest;
    return start_watched(guest, options) == CIS_OK ? CIS_OK : cis_guest_end_fail(guest, err);
}

void cis_guest_free(cis_guest *guest)
{
    if (guest == NULL) {
        return;
    }
    if (CIS_HOOKED(guest, watch)) {
        guest->hooks->watch(guest->hooks_self, NULL);
    }
    if (guest->store != NULL) {
        wasmtime_store_delete(guest->store);
    }
    cis_slots_leave(guest->engine->slots, &guest->turn);
    if (guest->in_pool) {
        cis_pool_leave(&guest->program->image->profile->pool, guest->pool_cell);
    }
    cis_free(guest->backtrace);
    cis_free(guest);
}

void cis_guest_rearm(cis_guest *guest, const struct cis_stop *stop, uint64_t fuel)
{
    if (guest->end.code != CIS_OK) {
        return;
    }
    guest->stop = *stop;
    guest->armed_ns = cis_clock_mono_ns();
    if (CIS_HOOKED(guest, rearm)) {
        guest->hooks->rearm(guest, fuel);
    }
    (void)set_fuel(guest, fuel);
}

/* ---- calls ---- */

cis_code cis_guest_call(cis_guest *guest, struct cis_str name, const char *type, union cis_slot *io,
                        struct cis_error *err)
{
    if (guest->end.code != CIS_OK) {
        return cis_guest_end_fail(guest, err);
    }
    const cis_image *image = guest->program->image;
    const struct cis_extern *export = cis_image_export(image, name);
    if (export == NULL || export->kind != CIS_EXTERN_FUNC || strcmp(export->type, type) != 0) {
        return cis_fail(err, CIS_E_ENTRY, "%s: exports no function " CIS_STR_FMT " of type (%s)",
                        image->name, CIS_STR_ARG(name), type);
    }
    if (guest->depth >= CIS_CALL_DEPTH_MAX) {
        (void)cis_guest_ended(guest, CIS_E_TRAP, NULL, 0, 0,
                              "%s: calls between guest and host nested deeper than %u", image->name,
                              CIS_CALL_DEPTH_MAX);
        return cis_guest_end_fail(guest, err);
    }
    wasmtime_extern_t item;
    if (!wasmtime_instance_export_get(guest->context, &guest->instance, name.ptr, name.len,
                                      &item) ||
        item.kind != WASMTIME_EXTERN_FUNC) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: export " CIS_STR_FMT " is lost", image->name,
                        CIS_STR_ARG(name));
    }
    struct entry e = {
        .guest = guest, .func = &item.of.func, .io = io, .nio = cis_functype_slots(type)};
    if (!CIS_HOOKED(guest, call)) {
        return execute(&e, err);
    }
    CIS_TRY(guest->hooks->call(guest, export, io, err));
    cis_code code = execute(&e, err);
    cis_code noted = guest->hooks->returned(guest, type, io, code, code == CIS_OK ? err : NULL);
    return code != CIS_OK ? code : noted;
}

void cis_guest_block(cis_guest *guest)
{
    cis_slots_give(guest->engine->slots, &guest->turn);
}

cis_code cis_guest_unblock(cis_guest *guest, struct cis_error *err)
{
    if (guest->turn.held) {
        return CIS_OK;
    }
    if (slot_take(guest) != CIS_OK) {
        return cis_guest_end_fail(guest, err);
    }
    return CIS_OK;
}

/* ---- ends and answers ---- */

cis_code cis_guest_exit(cis_guest *guest, int32_t code, struct cis_error *err)
{
    if (guest->end.code == CIS_OK) {
        (void)cis_guest_ended(guest, CIS_E_FAILED, NULL, 0, 0, "exited with code %d", code);
        guest->end.exited = true;
        guest->end.exit_code = code;
    }
    return cis_guest_end_fail(guest, err);
}

cis_code cis_guest_limit(cis_guest *guest, cis_code code, const char *limit, uint64_t configured,
                         uint64_t reached, struct cis_error *err)
{
    (void)cis_guest_ended(guest, code, limit, configured, reached,
                          "limit \"%s\" reached: %llu of %llu", limit, (unsigned long long)reached,
                          (unsigned long long)configured);
    return cis_guest_end_fail(guest, err);
}

void cis_guest_defect(cis_guest *guest, const struct cis_error *error)
{
    (void)cis_guest_ended_with(guest, error);
}

void cis_guest_refused(cis_guest *guest, unsigned grant)
{
    if (grant < 16) {
        guest->grants_refused[grant]++;
        guest->grants_used[grant] -= guest->grants_used[grant] != 0;
    }
}

void *cis_guest_host(const cis_guest *guest)
{
    return guest->host;
}

struct cis_budget *cis_guest_budget(cis_guest *guest)
{
    return guest->budget;
}

const struct cis_stop *cis_guest_stop(const cis_guest *guest)
{
    return &guest->stop;
}

const struct cis_limits *cis_guest_limits(const cis_guest *guest)
{
    return &guest->limits;
}

const struct cis_guest_end *cis_guest_end(const cis_guest *guest)
{
    return &guest->end;
}

cis_program *cis_guest_program(const cis_guest *guest)
{
    return guest->program;
}

void cis_guest_usage(cis_guest *guest, struct cis_guest_usage *out)
{
    *out = (struct cis_guest_usage){.cpu_ns = guest->turn.cpu_ns,
                                    .wait_ns = guest->turn.wait_ns,
                                    .memory_bytes = guest->memory_bytes,
                                    .memory_peak = guest->memory_peak,
                                    .host_calls = guest->host_calls,
                                    .memory_limit_hit = guest->memory_limit_hit,
                                    .memory_limit_asked = guest->memory_limit_asked};
    memcpy(out->grants_used, guest->grants_used, sizeof out->grants_used);
    memcpy(out->grants_refused, guest->grants_refused, sizeof out->grants_refused);
    if (guest->turn.held) {
        out->cpu_ns += cis_clock_mono_ns() - guest->turn.charged_ns;
    }
    uint64_t left = 0;
    if (guest->limits.fuel != 0 && guest->context != NULL) {
        wasmtime_error_t *e = wasmtime_context_get_fuel(guest->context, &left);
        if (e == NULL) {
            out->fuel = guest->limits.fuel - left;
        } else {
            wasmtime_error_delete(e);
        }
    }
}
