/* Replays: the module of a recording, linked to rows that name its host functions and are never
 * called. Interfaces that an embedder provided are linked as the component imports them. */
#include "run/replay.h"

#include "run/program.h"
#include "run/session.h"

/* By module, name and type: which ABI it was makes no difference when nobody is asked. */
static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    (void)self;
    size_t n;
    const struct cis_hostfn_table *const *tables = cis_skillabi_tables(&n);
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_hostfn *row = &tables[t]->rows[i];
            if (cis_str_is(import->name, row->name) && cis_str_is(import->module, row->module) &&
                strcmp(row->type, import->type) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

/* As the run was linked: what was left out then, others may have provided. */
static const struct cis_ifacefn *function(void *self, struct cis_str interface, struct cis_str name)
{
    const struct cis_recording_head *head = self;
    const struct cis_iface_provider *skills = &cis_skillabi_provider;
    return head->program ? cis_run_built_in(interface, name, head->without, head->wasi)
                         : skills->function(skills->self, interface, name);
}

static const struct cis_iface_resource *resource(void *self, struct cis_str interface,
                                                 struct cis_str name)
{
    const struct cis_recording_head *head = self;
    const struct cis_iface_provider *skills = &cis_skillabi_provider;
    return head->program ? cis_run_built_in_resource(interface, name, head->without)
                         : skills->resource(skills->self, interface, name);
}

static cis_code link(const struct cis_recording_head *head, cis_engine_module *module,
                     const struct cis_stop *stop, cis_linked **out, struct cis_error *err)
{
    const struct cis_iface_provider provider = {.function = function,
                                                .resource = resource,
                                                .self = (void *)(uintptr_t)head,
                                                .recorded = true};
    return head->component ? cis_component_link(module, &provider, stop, out, err)
                           : cis_linked_new_recorded(module, resolve, NULL, out, err);
}

static void trace(void *self, const struct cis_hostfn *row, const union cis_slot *args,
                  const union cis_slot *result, cis_code code, uint64_t ns)
{
    const struct cis_replay_request *r = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(4096);
    cis_trace_text(&line, cis_recording_instance(r->recording), row, args, result, code, ns);
    r->trace(r->trace_self, cis_buf_cstr(&line));
}

static void trace_typed(void *self, const struct cis_ifacefn *row, const cis_val *args,
                        size_t nargs, const cis_val *result, cis_code code, uint64_t ns)
{
    const struct cis_replay_request *r = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(16384);
    cis_trace_typed_text(&line, row, args, nargs, result, code, ns);
    r->trace(r->trace_self, cis_buf_cstr(&line));
}

static cis_code load(const struct cis_replay_request *r, cis_engine_module **out,
                     struct cis_error *err)
{
    const struct cis_recording_head *head = cis_recording_head(r->recording);
    bool given = r->module.len != 0;
    struct cis_engine_module_options o = {.name = given ? r->module_name : head->name,
                                          .features = head->features,
                                          .fuel = head->metered,
                                          .memory_limit = head->limits.memory_bytes,
                                          .stop = r->stop};
    return cis_engine_module_load(r->engine, given ? r->module : head->module, &o, out, err);
}

cis_code cis_run_replay(const struct cis_replay_request *r, struct cis_recording_outcome *out,
                        struct cis_error *err)
{
    cis_engine_module *module = NULL;
    cis_linked *program = NULL;
    CIS_TRY(load(r, &module, err));
    cis_code code = link(cis_recording_head(r->recording), module, &r->stop, &program, err);
    if (code == CIS_OK) {
        struct cis_replay_request mine = *r;
        struct cis_recording_player player = {
            .engine = r->engine,
            .program = program,
            .options = {.stop = r->stop,
                        .trace = r->trace != NULL ? trace : NULL,
                        .trace_iface = r->trace != NULL ? trace_typed : NULL,
                        .trace_self = &mine},
            .memory_max = r->memory_max,
            .host_max = r->host_max != 0 ? r->host_max : CIS_HOST_BYTES_DEFAULT,
            .show = r->show,
            .show_self = r->show_self};
        code = cis_recording_play(r->recording, &player, out, err);
    }
    cis_linked_unref(program);
    cis_engine_module_unref(module);
    return code;
}
