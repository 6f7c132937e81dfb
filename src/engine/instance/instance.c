/* Guests: a store with its limits, an instance in it, calls into it, and its end. */
#include "engine/instance/instance.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/instance/internal.h"

#define MEMORY_DEFAULT (128ull << 20)
#define STATE_UNIT 65536u /* of what the engine keeps beside memories: below one it is free */

/* ---- deadline, cancellation, slices ---- */

/* A deadline may have passed before it was armed. */
static uint64_t since(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static cis_code out_of_time(cis_engine_instance *instance, uint64_t now)
{
    uint64_t limit = since(instance->armed_ns, instance->stop.deadline_ns);
    return cis_engine_instance_ended(
        instance, CIS_E_DEADLINE, "time", limit, since(instance->armed_ns, now),
        "time limit of %llu ms reached", (unsigned long long)(limit / CIS_NS_PER_MS));
}

static cis_code stop_check(cis_engine_instance *instance, uint64_t now)
{
    if (cis_cancel_fired(instance->stop.cancel)) {
        return cis_engine_instance_ended(instance, CIS_E_CANCELLED, NULL, 0, 0, "cancelled");
    }
    if (now >= instance->stop.deadline_ns) {
        return out_of_time(instance, now);
    }
    return CIS_OK;
}

/* No slot came in time, or the wait was cancelled. */
static cis_code slot_lost(cis_engine_instance *instance, cis_code code)
{
    if (code == CIS_E_DEADLINE) {
        return out_of_time(instance, cis_clock_mono_ns());
    }
    return cis_engine_instance_ended(instance, code, NULL, 0, 0,
                                     code == CIS_E_CANCELLED ? "cancelled"
                                                             : "cpu slots: out of memory");
}

static cis_code slot_take(cis_engine_instance *instance)
{
    cis_code code = cis_slots_take(instance->engine->slots, &instance->turn, &instance->stop, NULL);
    return code == CIS_OK ? stop_check(instance, instance->turn.slice_ns)
                          : slot_lost(instance, code);
}

cis_code cis_engine_instance_pause(cis_engine_instance *instance)
{
    uint64_t now = cis_clock_mono_ns();
    CIS_TRY(stop_check(instance, now));
    cis_code code =
        cis_slots_tick(instance->engine->slots, &instance->turn, now, &instance->stop, NULL);
    return code == CIS_OK ? stop_check(instance, instance->turn.slice_ns)
                          : slot_lost(instance, code);
}

/* Each tick while guest code runs. */
static wasmtime_error_t *on_epoch(wasmtime_context_t *context, void *data, uint64_t *delta,
                                  wasmtime_update_deadline_kind_t *kind)
{
    (void)context;
    cis_engine_instance *instance = data;
    cis_code code = cis_engine_instance_pause(instance);
    if (code == CIS_OK && CIS_HOOKED(instance, tick)) {
        code = instance->hooks->tick(instance);
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
    cis_engine_instance *instance;
    wasmtime_error_t *(*fn)(cis_engine_instance *instance, void *arg); /* a component's call */
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
    cis_engine_instance *instance = e->instance;
    if (e->fn != NULL) {
        e->error = e->fn(instance, e->arg);
    } else if (e->func == NULL) {
        e->error = instance->program->kind->instantiate(instance, &e->trap);
    } else {
        e->error = wasmtime_func_call_unchecked(instance->context, e->func,
                                                (wasmtime_val_raw_t *)e->io, e->nio, &e->trap);
    }
}

/* Runs guest code: with a CPU slot, on a stack with room, the epoch armed. */
static cis_code execute(struct entry *e, struct cis_error *err)
{
    cis_engine_instance *instance = e->instance;
    bool outer = instance->depth == 0;
    if (outer && slot_take(instance) != CIS_OK) {
        cis_slots_give(instance->engine->slots, &instance->turn);
        return cis_engine_instance_end_fail(instance, err);
    }
    if (!instance->turn.held) {
        return cis_fail(err, CIS_E_INTERNAL, "guest called between block and unblock");
    }
    if (outer) {
        wasmtime_context_set_epoch_deadline(instance->context, 1);
    }
    instance->depth++;
    struct cis_error low = {0};
    uint64_t before = cis_glue_heap_short();
    cis_code code = cis_stack_run(&instance->stack, !outer, enter, e, &low);
    code = code == CIS_OK ? cis_engine_enough(before, instance->program->module->name, &low) : code;
    instance->depth--;
    instance->mem_fresh = false;
    if (outer) {
        cis_slots_give(instance->engine->slots, &instance->turn);
    }
    if (code != CIS_OK) {
        (void)cis_engine_instance_ended_with(instance, &low);
    }
    if (e->error != NULL || e->trap != NULL) {
        return cis_engine_instance_unwound(instance, e->error, e->trap, err);
    }
    return instance->end.code == CIS_OK ? CIS_OK : cis_engine_instance_end_fail(instance, err);
}

cis_code cis_engine_instance_execute(cis_engine_instance *instance,
                                     wasmtime_error_t *(*fn)(cis_engine_instance *instance,
                                                             void *arg),
                                     void *arg, struct cis_error *err)
{
    struct entry e = {.instance = instance, .fn = fn, .arg = arg};
    return execute(&e, err);
}

/* ---- making and freeing ---- */

static cis_code too_large(cis_engine_instance *instance, uint64_t asked)
{
    instance->memory_limit_hit = true;
    instance->memory_limit_asked = asked;
    return cis_engine_instance_ended(instance, CIS_E_MEMORY, "memory",
                                     instance->limits.memory_bytes, asked,
                                     "%s: needs %llu bytes of memory to start, the limit is %llu",
                                     instance->program->module->name, (unsigned long long)asked,
                                     (unsigned long long)instance->limits.memory_bytes);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* What can be said before anything is made: the module's own minimums, and what the engine will
 * keep for its instances. */
static cis_code check_minimums(cis_engine_instance *instance)
{
    const struct cis_engine_module_info *info = instance->program->module->info;
    uint64_t need = info->state_bytes - info->state_bytes % STATE_UNIT;
    instance->state_bytes = need;
    if (!info->component) { /* modules of a component share memories: the limiter counts them */
        need = sum(need, info->table_elements < UINT64_MAX / 16 ? info->table_elements * 8
                                                                : UINT64_MAX / 2);
        need = sum(need, info->min_memory_bytes);
    }
    return need > instance->limits.memory_bytes ? too_large(instance, need) : CIS_OK;
}

static cis_code set_fuel(cis_engine_instance *instance, uint64_t fuel)
{
    const cis_engine_module *module = instance->program->module;
    if (!module->profile->fuel) {
        if (fuel == 0) {
            return CIS_OK;
        }
        return cis_engine_instance_ended(instance, CIS_E_USAGE, NULL, 0, 0,
                                         "%s: was compiled without fuel metering", module->name);
    }
    instance->limits.fuel = fuel;
    wasmtime_error_t *e =
        wasmtime_context_set_fuel(instance->context, fuel != 0 ? fuel : UINT64_MAX);
    if (e != NULL) {
        wasmtime_error_delete(e);
        return cis_engine_instance_ended(instance, CIS_E_INTERNAL, NULL, 0, 0,
                                         "fuel cannot be set");
    }
    return CIS_OK;
}

static cis_code make_store(cis_engine_instance *instance)
{
    instance->store = wasmtime_store_new(instance->program->module->profile->wasm, instance, NULL);
    instance->context = wasmtime_store_context(instance->store);
    cis_engine_instance_limiter(instance);
    if (instance->program->kind->limits != NULL) {
        instance->program->kind->limits(instance);
    }
    wasmtime_store_epoch_deadline_callback(instance->store, on_epoch, instance, NULL);
    return set_fuel(instance, instance->limits.fuel);
}

static cis_code instantiate(cis_engine_instance *instance)
{
    struct entry e = {.instance = instance};
    cis_code code = execute(&e, NULL);
    /* The limiter's no at instantiation comes back as an error without a trap code. */
    if (code == CIS_E_LIMIT && instance->memory_limit_hit) {
        instance->end.code = CIS_OK;
        return too_large(instance, instance->memory_limit_asked);
    }
    if (code == CIS_OK && instance->program->kind->instantiated != NULL) {
        instance->program->kind->instantiated(instance);
    }
    return code;
}

static cis_code start(cis_engine_instance *instance, const struct cis_engine_instance_options *o)
{
    struct cis_error err = {0};
    cis_slots_join(o->tenant, o->weight, &instance->turn);
    CIS_TRY(check_minimums(instance));
    struct cis_profile *profile = instance->program->module->profile;
    cis_code code = cis_pool_enter(&profile->pool, &instance->stop, &instance->pool_cell, &err);
    if (code == CIS_E_LIMIT) {
        return cis_engine_instance_ended(instance, code, "pool", profile->pool.total,
                                         profile->pool.total, "%s", err.msg);
    }
    if (code != CIS_OK) {
        return cis_engine_instance_ended_with(instance, &err);
    }
    instance->in_pool = true;
    uint64_t before = cis_glue_heap_short();
    CIS_TRY(make_store(instance));
    if (cis_engine_enough(before, instance->program->module->name, &err) != CIS_OK) {
        return cis_engine_instance_ended_with(instance, &err);
    }
    CIS_TRY(instantiate(instance));
    instance->started = true;
    return CIS_OK;
}

static cis_code start_watched(cis_engine_instance *instance,
                              const struct cis_engine_instance_options *o)
{
    if (!CIS_HOOKED(instance, start)) {
        return start(instance, o);
    }
    struct cis_error err = {0};
    if (instance->hooks->start(instance, &instance->limits, &err) != CIS_OK) {
        return cis_engine_instance_ended_with(instance, &err);
    }
    cis_code code = start(instance, o);
    if (instance->hooks->returned(instance, ":", NULL, code, &err) != CIS_OK) {
        code = cis_engine_instance_ended_with(instance, &err);
    }
    return code;
}

cis_code cis_engine_instance_new(cis_engine *engine, cis_linked *program,
                                 const struct cis_engine_instance_options *options,
                                 cis_engine_instance **out_instance, struct cis_error *err)
{
    cis_engine_instance *instance = cis_zalloc(sizeof *instance);
    if (instance == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "guest: out of memory");
    }
    instance->engine = engine;
    instance->program = program;
    instance->limits = options->limits;
    if (instance->limits.memory_bytes == 0) {
        instance->limits.memory_bytes = MEMORY_DEFAULT;
    }
    instance->own_budget.limit = options->limits.host_bytes;
    instance->budget = options->budget != NULL ? options->budget : &instance->own_budget;
    instance->stop = options->stop;
    instance->armed_ns = cis_clock_mono_ns();
    instance->grants = options->grants;
    instance->host = options->host;
    instance->trace = options->trace;
    instance->trace_iface = options->trace_iface;
    instance->trace_self = options->trace_self;
    instance->hooks = options->hooks;
    instance->hooks_self = options->hooks_self;
    if (CIS_HOOKED(instance, watch)) {
        instance->hooks->watch(instance->hooks_self, instance);
    }
    instance->observed = instance->trace != NULL || instance->hooks != NULL;
    *out_instance = instance;
    return start_watched(instance, options) == CIS_OK ? CIS_OK
                                                      : cis_engine_instance_end_fail(instance, err);
}

void cis_engine_instance_free(cis_engine_instance *instance)
{
    if (instance == NULL) {
        return;
    }
    if (CIS_HOOKED(instance, watch)) {
        instance->hooks->watch(instance->hooks_self, NULL);
    }
    if (instance->store != NULL) {
        wasmtime_store_delete(instance->store);
    }
    cis_slots_leave(instance->engine->slots, &instance->turn);
    if (instance->in_pool) {
        cis_pool_leave(&instance->program->module->profile->pool, instance->pool_cell);
    }
    cis_free(instance->backtrace);
    cis_free(instance);
}

void cis_engine_instance_rearm(cis_engine_instance *instance, const struct cis_stop *stop,
                               uint64_t fuel)
{
    if (instance->end.code != CIS_OK) {
        return;
    }
    instance->stop = *stop;
    instance->armed_ns = cis_clock_mono_ns();
    if (CIS_HOOKED(instance, rearm)) {
        instance->hooks->rearm(instance, fuel);
    }
    (void)set_fuel(instance, fuel);
}

/* ---- calls ---- */

cis_code cis_engine_instance_call(cis_engine_instance *instance, struct cis_str name,
                                  const char *type, union cis_slot *io, struct cis_error *err)
{
    if (instance->end.code != CIS_OK) {
        return cis_engine_instance_end_fail(instance, err);
    }
    const cis_engine_module *module = instance->program->module;
    const struct cis_extern *export = cis_engine_module_export(module, name);
    if (export == NULL || export->kind != CIS_EXTERN_FUNC || strcmp(export->type, type) != 0) {
        return cis_fail(err, CIS_E_ENTRY, "%s: exports no function " CIS_STR_FMT " of type (%s)",
                        module->name, CIS_STR_ARG(name), type);
    }
    if (instance->depth >= CIS_CALL_DEPTH_MAX) {
        (void)cis_engine_instance_ended(instance, CIS_E_TRAP, NULL, 0, 0,
                                        "%s: calls between guest and host nested deeper than %u",
                                        module->name, CIS_CALL_DEPTH_MAX);
        return cis_engine_instance_end_fail(instance, err);
    }
    wasmtime_extern_t item;
    if (!wasmtime_instance_export_get(instance->context, &instance->instance, name.ptr, name.len,
                                      &item) ||
        item.kind != WASMTIME_EXTERN_FUNC) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: export " CIS_STR_FMT " is lost", module->name,
                        CIS_STR_ARG(name));
    }
    struct entry e = {
        .instance = instance, .func = &item.of.func, .io = io, .nio = cis_functype_slots(type)};
    if (!CIS_HOOKED(instance, call)) {
        return execute(&e, err);
    }
    CIS_TRY(instance->hooks->call(instance, export, io, err));
    cis_code code = execute(&e, err);
    cis_code noted =
        instance->hooks->returned(instance, type, io, code, code == CIS_OK ? err : NULL);
    return code != CIS_OK ? code : noted;
}

void cis_engine_instance_block(cis_engine_instance *instance)
{
    cis_slots_give(instance->engine->slots, &instance->turn);
}

cis_code cis_engine_instance_unblock(cis_engine_instance *instance, struct cis_error *err)
{
    if (instance->turn.held) {
        return CIS_OK;
    }
    /* Before and after the guest's own code there is none to come back to. */
    cis_code code =
        instance->depth != 0 ? slot_take(instance) : stop_check(instance, cis_clock_mono_ns());
    if (code != CIS_OK) {
        return cis_engine_instance_end_fail(instance, err);
    }
    return CIS_OK;
}

/* ---- ends and answers ---- */

cis_code cis_engine_instance_exit(cis_engine_instance *instance, int32_t code,
                                  struct cis_error *err)
{
    if (instance->end.code == CIS_OK) {
        (void)cis_engine_instance_ended(instance, CIS_E_FAILED, NULL, 0, 0, "exited with code %d",
                                        code);
        instance->end.exited = true;
        instance->end.exit_code = code;
    }
    return cis_engine_instance_end_fail(instance, err);
}

cis_code cis_engine_instance_limit(cis_engine_instance *instance, cis_code code, const char *limit,
                                   uint64_t configured, uint64_t reached, struct cis_error *err)
{
    (void)cis_engine_instance_ended(instance, code, limit, configured, reached,
                                    "limit \"%s\" reached: %llu of %llu", limit,
                                    (unsigned long long)reached, (unsigned long long)configured);
    return cis_engine_instance_end_fail(instance, err);
}

void cis_engine_instance_defect(cis_engine_instance *instance, const struct cis_error *error)
{
    (void)cis_engine_instance_ended_with(instance, error);
}

void cis_engine_instance_refused(cis_engine_instance *instance, unsigned grant)
{
    if (grant < 16) {
        instance->grants_refused[grant]++;
        instance->grants_used[grant] -= instance->grants_used[grant] != 0;
    }
}

void *cis_engine_instance_host(const cis_engine_instance *instance)
{
    return instance->host;
}

struct cis_budget *cis_engine_instance_budget(cis_engine_instance *instance)
{
    return instance->budget;
}

const struct cis_stop *cis_engine_instance_stop(const cis_engine_instance *instance)
{
    return &instance->stop;
}

const struct cis_limits *cis_engine_instance_limits(const cis_engine_instance *instance)
{
    return &instance->limits;
}

const struct cis_engine_instance_end *cis_engine_instance_end(const cis_engine_instance *instance)
{
    return &instance->end;
}

cis_linked *cis_engine_instance_linked(const cis_engine_instance *instance)
{
    return instance->program;
}

void cis_engine_instance_usage(cis_engine_instance *instance, struct cis_engine_instance_usage *out)
{
    *out = (struct cis_engine_instance_usage){.cpu_ns = instance->turn.cpu_ns,
                                              .wait_ns = instance->turn.wait_ns,
                                              .memory_bytes = instance->memory_bytes,
                                              .memory_peak = instance->memory_peak,
                                              .host_calls = instance->host_calls,
                                              .memory_limit_hit = instance->memory_limit_hit,
                                              .memory_limit_asked = instance->memory_limit_asked};
    memcpy(out->grants_used, instance->grants_used, sizeof out->grants_used);
    memcpy(out->grants_refused, instance->grants_refused, sizeof out->grants_refused);
    if (instance->turn.held) {
        out->cpu_ns += cis_clock_mono_ns() - instance->turn.charged_ns;
    }
    uint64_t left = 0;
    if (instance->limits.fuel != 0 && instance->context != NULL) {
        wasmtime_error_t *e = wasmtime_context_get_fuel(instance->context, &left);
        if (e == NULL) {
            out->fuel = instance->limits.fuel - left;
        } else {
            wasmtime_error_delete(e);
        }
    }
}
