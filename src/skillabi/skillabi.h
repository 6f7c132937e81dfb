/* The CIS guest ABIs: tables of host functions, which of them a module uses, its entry point, and
 * how input and output travel. Facts are in docs/abi.md (generated from the tables). */
#ifndef CIS_SKILLABI_SKILLABI_H
#define CIS_SKILLABI_SKILLABI_H

#include "engine/component/component.h"
#include "host/host.h"

/* All core tables: env-packed, env-buffer, cis-direct, cis-sdk, env-plain, cis-io, cis-agent, and
 * WASI's.
 * For linking, inspect, docs/abi.md and the test that no row lacks a test. */
const struct cis_hostfn_table *const *cis_skillabi_tables(size_t *out_n);

/* The interfaces of components; the same uses. */
const struct cis_iface_table *const *cis_skillabi_interfaces(size_t *out_n);

/* Questions and progress, which programs may import beside WASI: the core functions, and the
 * interface cis:skill/agent of components. NULL: no such. */
const struct cis_hostfn *cis_skillabi_agent_row(const struct cis_extern *import);
const struct cis_ifacefn *cis_skillabi_agent_function(struct cis_str interface,
                                                      struct cis_str name);

enum cis_convention { CIS_CONVENTION_AUTO, CIS_CONVENTION_TEXT, CIS_CONVENTION_NUMBERS };

struct cis_skillabi_options {
    const char *abi; /* NULL: by the imports; else the name of a table: only its rows (and cis-io,
                        wasi) are linked where names collide */
    const char *method; /* NULL: probe */
    const char *event;  /* NULL: "run" */
    enum cis_convention convention;
    bool no_wasi;  /* the runtime's enable_wasi is off: WASI imports are provided by nobody */
    uint32_t wasi; /* unstable features of WASI 0.2: CIS_WASI_* of wasi/p2/p2.h */
    bool kept;     /* a further call of a guest that was started before: _initialize and skill_init
                     have run, and skill_shutdown waits for the last call */
};

/* What would be used; for inspect and before a run. Strings are static or point into the info. */
struct cis_skillabi_plan {
    const char *abis[12]; /* tables in use */
    size_t nabis;
    struct cis_str entry;   /* export that is called; empty when none */
    const char *entry_type; /* its function type */
    const char *kind;       /* "event" "handle-event" "text" "execute" "main" "command" "method"
                               "init" "numbers" "component" */
    const char
        *allocator;  /* "malloc" "alloc" "cabi_realloc" "__wbindgen_malloc" "memory.grow" "" */
    uint32_t grants; /* enum cis_grant bits that its imports would need */
    bool has_init, has_shutdown;
};
/* CIS_E_ENTRY lists the exports; CIS_E_IMPORT names an import nobody provides; CIS_E_UNSUPPORTED
 * for what this build does not run. The plan is filled as far as known even on failure. */
cis_code cis_skillabi_plan(const struct cis_engine_module_info *info,
                           const struct cis_skillabi_options *options,
                           struct cis_skillabi_plan *out, struct cis_error *err);
/* All that a component of a skill may import: cis:skill and WASI 0.2, its unstable parts too. For
 * replays, which call none of it. */
extern const struct cis_iface_provider cis_skillabi_provider;
/* Binds the module to the rows chosen by the plan's rules. stop (may be NULL) as for
 * cis_component_link. */
cis_code cis_skillabi_link(cis_engine_module *module, const struct cis_skillabi_options *options,
                           const struct cis_stop *stop, cis_linked **out_program,
                           struct cis_error *err);

/* What a reactor needs before its exports may be called: _initialize, once. cis_skillabi_run does
 * it; who calls exports by cis_engine_instance_call does it first. */
cis_code cis_skillabi_start(cis_engine_instance *instance, struct cis_error *err);

/* Initialise with zeros or a CIS_BUF_INIT value; untouched on failure. */
struct cis_skillabi_result {
    struct cis_buf value; /* the result as JSON text or the bytes the guest wrote; owned */
    bool is_json;
    bool success; /* false: the skill reported failure (exit 1) */
    int64_t code; /* the entry point's own code, 0 when it has none */
};
/* skill_init, the entry point or method with the host's input, skill_shutdown. CIS_OK also for a
 * skill that reports failure; other codes as cis_engine_instance_call. */
cis_code cis_skillabi_run(cis_engine_instance *instance, struct cis_host *host,
                          const struct cis_skillabi_options *options,
                          struct cis_skillabi_result *out, struct cis_error *err);

/* Text form of "ii:i": "(i32, i32) -> i32". */
void cis_abi_type_text(const char *type, struct cis_buf *out);

#endif
